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
bool fb_join_tell(fb_session *session, const fb_rule_join *join);
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
