/* SPDX-License-Identifier: Apache-2.0
 * Joins: do facts that are bound fit together, and which facts fit to those that are. */
#include "rules/join.h"

enum { FEW = 8 /* facts: as soon gone through as found by a sorted index */ };

bool fb_join_tell_any(fb_session *session, const fb_rule_join *join, fb_value a, fb_value b) {
  if (join->program) return fb_session_holds(session, join->program, join->rule, &join->place);
  bool failed = false;
  bool holds = fb_test_values(join->op, a, b, &failed);
  if (failed) {
    fb_error err;
    fb_fail(&err, FB_E_CEL_NO_OVERLOAD, "no such overload: %s and %s have no order",
            fb_kind_name(a.kind), fb_kind_name(b.kind));
    fb_session_report(session, join->rule, &join->place, &err);
  }
  return holds;
}

/* Of an expression that the join's field is compared with. */
static fb_value S_evaluate(fb_session *session, const fb_rule_join *join) {
  fb_value value;
  uint64_t steps = session->options.max_steps ? session->options.max_steps : 10000000;
  session->context.steps = steps;
  fb_status status = fb_cel_eval(join->key, session->slots, &session->context, &value, NULL);
  if (FB_LIKELY(status == FB_OK)) return value;
  fb_error err;
  err.code = status;
  session->context.steps = steps;
  if (fb_session_listens(session, status))
    fb_cel_eval(join->key, session->slots, &session->context, &value, &err);
  fb_session_report(session, join->rule, &join->place, &err);
  return fb_absent();
}

fb_value fb_probe_key(fb_session *session, const fb_rule_probe *probe) {
  const fb_rule_join *join = probe->join;
  if (probe->side_b) return fb_join_field(session, join->slot_a, join->field_a);
  return join->key_only ? S_evaluate(session, join)
                        : fb_join_field(session, join->slot_b, join->field_b);
}

fb_value fb_bound_key(fb_session *session, const fb_rule_bound *bound) {
  const fb_rule_join *join = bound->join;
  if (bound->side_b) return fb_join_field(session, join->slot_a, join->field_a);
  return join->program ? S_evaluate(session, join)
                       : fb_join_field(session, join->slot_b, join->field_b);
}

uint32_t fb_join_first(fb_session *session, const fb_rule_level *level) {
  fb_value values[FB_RULE_INDEX_FIELDS];
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  for (uint32_t i = 0; i < level->probe_count; i++)
    values[i] = fb_probe_key(session, &level->probes[i]);
  uint32_t first = fb_index_first(session, level->index, values);
  fb_arena_rewind(&session->scratch, mark);
  return first;
}

bool fb_join_is_long(const fb_index_memory *index, uint32_t first) {
  uint32_t count = 0;
  for (; first && count < FEW; first = index->next[first - 1]) count++;
  return first != 0;
}

/* Goes by the sorted index where it finds less. */
static void S_sort(fb_session *session, const fb_rule_level *level, fb_cursor *cursor) {
  fb_sorted_found found;
  if (!fb_sorted_find(session, level, &found)) return;
  cursor->sorted = true;
  cursor->index = NULL;
  fb_sorted_start(session, level->sorted, &found, &cursor->by);
}

bool fb_cursor_start(fb_session *session, const fb_rule *rule, const fb_rule_level *level,
                     fb_cursor *cursor) {
  const fb_rule_condition *c = &rule->conditions[level->condition];
  cursor->bits = &session->alphas[c->alpha];
  cursor->index = NULL;
  cursor->at = 0;
  cursor->sorted = false;
  if (!cursor->bits->count) return false;
  cursor->places = session->memories[c->type].places;
  if (level->index != FB_RULE_NONE && fb_index_ready(session, level->index)) {
    cursor->index = &session->indexes[level->index];
    cursor->at = fb_join_first(session, level);
    if (!cursor->at) return false;
    if (level->sorted != FB_RULE_NONE && fb_join_is_long(cursor->index, cursor->at))
      S_sort(session, level, cursor);
  } else if (level->sorted != FB_RULE_NONE && cursor->bits->count > FEW) {
    S_sort(session, level, cursor);
  }
  return true;
}

uint32_t fb_cursor_next(fb_session *session, fb_cursor *cursor) {
  if (cursor->index) {
    if (!cursor->at) return 0;
    uint32_t row = cursor->at - 1;
    cursor->at = cursor->index->next[row];
    session->stats.candidates++;
    return cursor->places[row];
  }
  if (cursor->sorted) {
    uint32_t row = fb_sorted_next(&cursor->by);
    session->stats.candidates += row != 0;
    return row ? cursor->places[row - 1] : 0;
  }
  for (size_t word = cursor->at / 64; word < cursor->bits->words; word++) {
    uint64_t bits = cursor->bits->bits[word];
    if (word == cursor->at / 64) bits &= ~UINT64_C(0) << cursor->at % 64;
    if (!bits) continue;
    uint32_t row = (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(bits);
    cursor->at = row + 1;
    session->stats.candidates++;
    return cursor->places[row];
  }
  cursor->at = (uint32_t)(cursor->bits->words * 64);
  return 0;
}

static bool S_fits(fb_session *session, const fb_rule_level *level, const fb_cursor *cursor) {
  for (uint32_t i = 0; !cursor->index && i < level->probe_count; i++)
    if (!fb_join_tell(session, level->probes[i].join)) return false;
  for (uint32_t i = 0; i < level->join_count; i++)
    if (!fb_join_tell(session, level->joins[i])) return false;
  return true;
}

bool fb_join_fits(fb_session *session, const fb_rule_level *level, const fb_cursor *cursor) {
  return fb_profile_use(session, level->use, S_fits(session, level, cursor));
}
