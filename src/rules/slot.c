/* SPDX-License-Identifier: Apache-2.0
 *
 * Slots. Most hold facts; a derived one holds a value that follows from what the slots before it hold. An activation has a
 * number for each: of a fact its place, of anything else what the condition's kind makes of it. It must name
 * the same as long as nothing that it follows from changes.
 */
#include "rules/session.h"

static const fb_rule_condition *S_condition(const fb_rule *rule, uint32_t slot) {
  return &rule->conditions[rule->positives[slot]];
}

void fb_slot_bind(fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t number) {
  (void)rule;
  session->places[slot] = number;
  session->slots[slot] = fb_place_value(session, number);
}

void fb_slot_bind_all(fb_session *session, const fb_rule *rule, const uint32_t *places) {
  for (uint32_t slot = 0; slot < rule->positive_count; slot += S_condition(rule, slot)->slot_count)
    fb_slot_bind(session, rule, slot, places[slot]);
}

fb_status fb_slot_next(fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t *number) {
  (void)session;
  (void)rule;
  (void)slot;
  *number = 0;
  return FB_OK;
}

bool fb_slot_stands(fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t number) {
  return fb_alpha_has(session, S_condition(rule, slot)->alpha, session->facts[number].row);
}

bool fb_slot_is_linked(const fb_rule *rule, uint32_t slot) {
  return fb_slot_is_fact(rule, slot);
}

fb_link **fb_slot_links(fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t number) {
  (void)rule;
  (void)slot;
  return fb_memory_links(session, number);
}

int fb_slot_order(const fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t a,
                  uint32_t b) {
  (void)rule;
  (void)slot;
  uint64_t sa = fb_place_serial(session, a), sb = fb_place_serial(session, b);
  return sa == sb ? 0 : sa > sb ? -1 : 1; /* the later fact first */
}
