/* SPDX-License-Identifier: Apache-2.0
 *
 * Slots. Most hold facts; a derived one holds a value that follows from what the slots before it hold. An activation has a
 * number for each: of a fact its place, of anything else what the condition's kind makes of it. It must name
 * the same as long as nothing that it follows from changes.
 */
#include "data/facts_internal.h"
#include "rules/session.h"

static const fb_rule_condition *S_condition(const fb_rule *rule, uint32_t slot) {
  return &rule->conditions[rule->positives[slot]];
}

/* ── Elements: numbered from 1 ── */

/* The list that the slot's element is of, for what is bound; NULL: there is none, which is reported unless it is for
 * want of a field. FB_E_NOMEM or FB_OK. */
static fb_status S_list(fb_session *session, const fb_rule *rule, const fb_rule_condition *c,
                        const fb_list **ret) {
  fb_rule_place place = {.node = c->node};
  fb_value value = fb_absent();
  fb_error err = {0};
  fb_status status = FB_OK;
  *ret = NULL;
  if (c->range_field != FB_RULE_NONE) {
    fb_value fact = session->slots[c->range_slot];
    value = fb_facts_cell(fact.as.facts, fact.len, c->range_field);
  } else {
    session->context.steps = session->options.max_steps ? session->options.max_steps : 10000000;
    status = fb_cel_eval(c->range, session->slots, &session->context, &value, &err);
  }
  if (status == FB_E_NOMEM) return status;
  if (status == FB_OK && value.kind == FB_LIST) *ret = value.as.list;
  if (status == FB_OK && (*ret || value.kind == FB_ABSENT || value.kind == FB_NULL)) return FB_OK;
  if (status == FB_OK)
    fb_fail(&err, FB_E_CEL_NO_OVERLOAD, "no such overload: %s has no elements",
            fb_kind_name(value.kind));
  fb_session_report(session, rule->number, &place, &err);
  return FB_OK;
}

static fb_value S_element(fb_session *session, const fb_rule *rule, uint32_t slot,
                          uint32_t number) {
  const fb_list *list;
  if (S_list(session, rule, S_condition(rule, slot), &list) != FB_OK) list = NULL;
  return list && number && number <= list->len ? list->items[number - 1] : fb_absent();
}

/* ── Slots ── */

void fb_slot_bind(fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t number) {
  session->places[slot] = number;
  session->slots[slot] = fb_slot_is_fact(rule, slot) ? fb_place_value(session, number)
                                                     : S_element(session, rule, slot, number);
}

void fb_slot_bind_all(fb_session *session, const fb_rule *rule, const uint32_t *places) {
  for (uint32_t slot = 0; slot < rule->positive_count; slot += S_condition(rule, slot)->slot_count)
    fb_slot_bind(session, rule, slot, places[slot]);
}

fb_status fb_slot_next(fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t *number) {
  const fb_list *list;
  fb_status status = S_list(session, rule, S_condition(rule, slot), &list);
  *number = list && *number < list->len ? *number + 1 : 0;
  return status;
}

bool fb_slot_stands(fb_session *session, const fb_rule *rule, uint32_t slot, uint32_t number) {
  if (!fb_slot_is_fact(rule, slot)) return S_element(session, rule, slot, number).kind != FB_ABSENT;
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
  if (!fb_slot_is_fact(rule, slot)) return a < b ? -1 : a > b; /* as the list has them */
  uint64_t sa = fb_place_serial(session, a), sb = fb_place_serial(session, b);
  return sa == sb ? 0 : sa > sb ? -1 : 1; /* the later fact first */
}
