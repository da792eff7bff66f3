/* SPDX-License-Identifier: Apache-2.0
 * Joins, and the facts that a level of a walk may bind: for match.c and lazy.c. */
#ifndef FB_RULES_JOIN_H
#define FB_RULES_JOIN_H

#include "data/facts_internal.h"
#include "rules/session.h"

static inline void fb_join_bind(fb_session *session, uint32_t slot, uint32_t place) {
  session->places[slot] = place;
  session->slots[slot] = fb_place_value(session, place);
}
static inline fb_value fb_join_field(const fb_session *session, uint32_t slot, uint32_t field) {
  fb_value fact = session->slots[slot];
  return fb_facts_cell(fact.as.facts, fact.len, field);
}
/* Does the join hold for what is bound? A failure is reported. */
bool fb_join_tell_any(fb_session *session, const fb_rule_join *join, fb_value a, fb_value b);
static inline bool fb_join_tell(fb_session *session, const fb_rule_join *join) {
  if (join->program) return fb_join_tell_any(session, join, fb_absent(), fb_absent());
  fb_value a = fb_join_field(session, join->slot_a, join->field_a),
           b = fb_join_field(session, join->slot_b, join->field_b);
  if (FB_UNLIKELY(a.kind != FB_INT || b.kind != FB_INT))
    return fb_join_tell_any(session, join, a, b);
  switch (join->op) {
    case FB_RULE_EQ: return a.as.i == b.as.i;
    case FB_RULE_NE: return a.as.i != b.as.i;
    case FB_RULE_LT: return a.as.i < b.as.i;
    case FB_RULE_LE: return a.as.i <= b.as.i;
    case FB_RULE_GT: return a.as.i > b.as.i;
    default: return a.as.i >= b.as.i;
  }
}
/* Of the group that the level's probes find, for what is bound: the first row + 1, or 0. The index is ready. */
uint32_t fb_join_first(fb_session *session, const fb_rule_level *level);

/* Goes through the facts that a level may bind. */
typedef struct fb_cursor {
  const uint32_t *places;
  const fb_alpha_memory *bits;
  const fb_index_memory
      *index;  /* NULL: every fact of the alpha, as there is none, or no memory for it */
  uint32_t at; /* row + 1, or next row of the alpha */
} fb_cursor;

/* False: there is none. */
bool fb_cursor_start(fb_session *session, const fb_rule *rule, const fb_rule_level *level,
                     fb_cursor *cursor);
/* The place of the next one, 0 at the end. */
uint32_t fb_cursor_next(fb_session *session, fb_cursor *cursor);
/* Does what the level bound fit to the rest? */
bool fb_join_fits(fb_session *session, const fb_rule_level *level, const fb_cursor *cursor);

#endif
