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

/* The value that the probe's field must equal, or that the bound's field is compared with. FB_ABSENT: nothing can fit. */
fb_value fb_probe_key(fb_session *session, const fb_rule_probe *probe);
fb_value fb_bound_key(fb_session *session, const fb_rule_bound *bound);
/* Does the index find more than a few facts from this one on? */
bool fb_join_is_long(const fb_index_memory *index, uint32_t first);

/* ── sorted.c ── */

/* Numbers in the index's order: from … to - 1 may fit, `all` have the fields that are to be equal. */
typedef struct fb_sorted_found {
  uint32_t from, to, all;
  uint64_t least; /* image of the other field */
} fb_sorted_found;

/* What the level's bounds find for what is bound; its index is made if need be. False: the index cannot tell. */
bool fb_sorted_find(fb_session *session, const fb_rule_level *level, fb_sorted_found *ret);

#define FB_SORTED_PATH 24

typedef struct fb_sorted_cursor {
  const fb_sorted_memory *memory;
  uint64_t least;
  uint32_t rank, to; /* of the next; behind the last */
  uint32_t depth, path[FB_SORTED_PATH];
} fb_sorted_cursor;

/* The index is not to change while the cursor is in use. */
void fb_sorted_start(const fb_session *session, uint32_t number, const fb_sorted_found *found,
                     fb_sorted_cursor *cursor);
/* Row + 1; 0 at the end. */
uint32_t fb_sorted_next(fb_sorted_cursor *cursor);

/* Goes through the facts that a level may bind. */
typedef struct fb_cursor {
  const uint32_t *places;
  const fb_alpha_memory *bits;
  const fb_index_memory
      *index;  /* NULL: every fact of the alpha, as there is none, or no memory for it */
  uint32_t at; /* row + 1, or next row of the alpha */
  bool sorted; /* by a sorted index; then `index` is NULL */
  fb_sorted_cursor by;
} fb_cursor;

/* False: there is none. */
bool fb_cursor_start(fb_session *session, const fb_rule *rule, const fb_rule_level *level,
                     fb_cursor *cursor);
/* The place of the next one, 0 at the end. */
uint32_t fb_cursor_next(fb_session *session, fb_cursor *cursor);
/* Does what the level bound fit to the rest? */
bool fb_join_fits(fb_session *session, const fb_rule_level *level, const fb_cursor *cursor);

#endif
