/* SPDX-License-Identifier: Apache-2.0
 *
 * Windows: which facts an aggregate takes, by their own times and the session's clock. Nothing here knows the time of day.
 *
 *   sliding   counts a fact as long as its time and the span lie ahead of the clock
 *   last      counts the facts of a group that were asserted last
 *   tumbling, session (batch windows)   take facts in until the clock passes the end of the window; then their result is there, once and for
 *             all, until the clock moves on after the rules have fired. A fact that comes after the end of its window is late, and is left out
 *
 * Times are nanoseconds since 1970 in 64 bits; what lies outside is no time. What waits for the clock stands in ordered sets, so
 * that moving it costs what falls due.
 */
#include "rules/group.h"

#include "data/facts_internal.h"

#include <stdlib.h>

#define NANOS INT64_C(1000000000)

/* ── Times ── */

static bool S_nanos(__int128 nanos, int64_t *ret) {
  if (nanos < INT64_MIN / 2 || nanos > INT64_MAX / 2)
    return false; /* so that a span can be added */
  *ret = (int64_t)nanos;
  return true;
}

bool fb_time_of_value(fb_value value, int64_t *ret) {
  int64_t seconds;
  uint32_t nanos;
  switch (value.kind) {
    case FB_TIMESTAMP: return S_nanos((__int128)value.as.i * NANOS + value.len, ret);
    case FB_INT: return S_nanos((__int128)value.as.i * NANOS, ret);
    case FB_UINT: return S_nanos((__int128)value.as.u * NANOS, ret);
    case FB_DOUBLE:
      if (!(value.as.d > -1e10 && value.as.d < 1e10)) return false;
      return S_nanos((__int128)(value.as.d * 1e9), ret);
    case FB_STRING:
      return fb_time_parse(fb_value_text(value), &seconds, &nanos) &&
             S_nanos((__int128)seconds * NANOS + nanos, ret);
    default: return false;
  }
}

fb_value fb_time_value(int64_t nanos) {
  int64_t seconds = nanos / NANOS, rest = nanos % NANOS;
  if (rest < 0) seconds--, rest += NANOS;
  return fb_timestamp(seconds, (uint32_t)rest);
}

/* Before all times as long as the clock was not moved. */
static int64_t S_now(const fb_session *session) {
  int64_t now;
  if (session->now.kind != FB_TIMESTAMP) return INT64_MIN;
  if (fb_time_of_value(session->now, &now)) return now;
  return session->now.as.i < 0 ? INT64_MIN / 2 : INT64_MAX / 2;
}

/* What stands in an ordered set for a number and something that it is the time of. */
static fb_value S_mark(int64_t time, uint32_t number) {
  return (fb_value){.kind = FB_TIMESTAMP, .len = number, .as = {.i = time}};
}

/* ── What a window asks of a fact ── */

/* False: it has no time; a value that is none is reported. */
static bool S_time(fb_session *session, const fb_rule_aggregate *aggregate, uint32_t row,
                   int64_t *ret) {
  const fb_facts *facts = session->memories[aggregate->source.type].facts;
  fb_value value = fb_facts_cell(facts, row, aggregate->window.field);
  if (fb_time_of_value(value, ret)) return true;
  if (value.kind == FB_ABSENT || value.kind == FB_NULL || session->aggregates->quiet) return false;
  fb_rule_place place = {.node = aggregate->node};
  fb_error err;
  fb_fail(&err, FB_E_RULE_TIME,
          "the time of a fact is a timestamp, a text as RFC 3339 has it, or "
          "seconds since 1970, not this %s",
          fb_kind_name(value.kind));
  fb_session_report(session, aggregate->rule, &place, &err);
  return false;
}

static int64_t S_start_of(const fb_rule_aggregate *aggregate, int64_t time) {
  int64_t span = aggregate->window.span, into = time % span;
  return time - (into < 0 ? into + span : into);
}

/* When the window of a fact that is alone in it ends. */
static int64_t S_end_of(const fb_rule_aggregate *aggregate, int64_t time) {
  return (aggregate->window.kind == FB_WINDOW_TUMBLING ? S_start_of(aggregate, time) : time) +
         aggregate->window.span;
}

bool fb_window_admits(fb_session *session, const fb_rule_aggregate *aggregate, uint32_t row,
                      int64_t *ret_time) {
  if (aggregate->window.kind == FB_WINDOW_LAST) return true;
  if (fb_window_ends(&aggregate->window) && session->aggregates->quiet)
    return false; /* see fb_windows_restore */
  if (!S_time(session, aggregate, row, ret_time)) return false;
  const fb_aggregate_memory *memory = &session->aggregates->items[aggregate->number];
  /* A modify takes a fact out and in again: it did not come late. */
  bool again = memory->left_row == row && memory->left_tick == session->tick &&
               aggregate->window.kind == FB_WINDOW_SESSION;
  if (again || S_end_of(aggregate, *ret_time) > S_now(session)) return true;
  session->stats.late += fb_window_ends(&aggregate->window);
  return false;
}

/* ── The last so many facts of a group ── */

static fb_value S_serial(const fb_session *session, const fb_rule_aggregate *aggregate,
                         uint32_t row) {
  return fb_int(
      (int64_t)fb_place_serial(session, session->memories[aggregate->source.type].places[row]));
}

/* The row that is the `keep`th from the end, counted from 0; NONE: there are not so many. */
static uint32_t S_from_end(fb_session *session, const fb_group *group, uint64_t keep) {
  const fb_multisets *sets = &session->aggregates->sets;
  uint64_t total = fb_multiset_total(sets, group->line);
  return keep < total ? sets->nodes[fb_multiset_at(sets, group->line, total - 1 - keep)].row
                      : FB_RULE_NONE;
}

static bool S_is_among_last(fb_session *session, const fb_rule_aggregate *aggregate,
                            const fb_group *group, fb_value serial) {
  const fb_multisets *sets = &session->aggregates->sets;
  uint64_t total = fb_multiset_total(sets, group->line);
  return total - fb_multiset_rank(sets, group->line, serial) <= aggregate->window.keep;
}

static bool S_enter_last(fb_session *session, uint32_t number, uint32_t at, uint32_t row) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_multisets *sets = &session->aggregates->sets;
  fb_group *group = fb_group_at(session, number, at);
  fb_value serial = S_serial(session, aggregate, row);
  if (!fb_multiset_add(sets, &session->allocator, &group->line, serial, row)) return false;
  group->members++;
  fb_group_mark(session, number, at);
  if (!S_is_among_last(session, aggregate, group, serial)) return true;
  if (!fb_group_add(session, number, at, row)) {
    fb_multiset_remove(sets, &group->line, serial);
    group->members--;
    return false;
  }
  uint32_t out = S_from_end(session, group, aggregate->window.keep);
  if (out != FB_RULE_NONE) fb_group_take(session, number, at, out);
  return true;
}

static void S_leave_last(fb_session *session, uint32_t number, uint32_t at, uint32_t row) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_group *group = fb_group_at(session, number, at);
  fb_value serial = S_serial(session, aggregate, row);
  if (S_is_among_last(session, aggregate, group, serial)) {
    uint32_t in = S_from_end(session, group, aggregate->window.keep);
    fb_group_take(session, number, at, row);
    if (in != FB_RULE_NONE && !fb_group_add(session, number, at, in))
      session->aggregates->broken = true;
  }
  fb_multiset_remove(&session->aggregates->sets, &group->line, serial);
  group->members--;
  fb_group_mark(session, number, at);
}

/* ── Batch windows: when a group's first window may end ── */

/* Moves the group's deadline; cannot fail where it had one, whose node is used again. */
static bool S_schedule(fb_session *session, uint32_t number, uint32_t at, int64_t deadline) {
  fb_multisets *sets = &session->aggregates->sets;
  fb_group *group = fb_group_at(session, number, at);
  uint32_t *line = &session->aggregates->items[number].line;
  if (group->scheduled) fb_multiset_remove(sets, line, S_mark(group->deadline, at));
  group->deadline = deadline;
  group->scheduled = fb_multiset_add(sets, &session->allocator, line, S_mark(deadline, at), at);
  return group->scheduled;
}

static int64_t S_first(fb_session *session, const fb_group *group) {
  const fb_multisets *sets = &session->aggregates->sets;
  return sets->nodes[fb_multiset_at(sets, group->line, 0)].value.as.i;
}

static bool S_enter_batch(fb_session *session, uint32_t number, uint32_t at, uint32_t row,
                          int64_t time) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_group *group = fb_group_at(session, number, at);
  fb_multisets *sets = &session->aggregates->sets;
  int64_t end = S_end_of(aggregate, time);
  if (!fb_multiset_add(sets, &session->allocator, &group->line, S_mark(time, row), row))
    return false;
  if (S_first(session, group) == time) group->scanned = INT64_MIN;
  if ((!group->scheduled || end < group->deadline) && !S_schedule(session, number, at, end)) {
    fb_multiset_remove(sets, &group->line, S_mark(time, row));
    return false;
  }
  group->members++;
  return true;
}

/* The deadline is to be no later than the end of the first window. */
static void S_reschedule(fb_session *session, uint32_t number, uint32_t at) {
  fb_group *group = fb_group_at(session, number, at);
  group->scanned = INT64_MIN;
  if (group->line) {
    S_schedule(session, number, at,
               S_end_of(session->set->aggregates[number], S_first(session, group)));
    return;
  }
  fb_multiset_remove(&session->aggregates->sets, &session->aggregates->items[number].line,
                     S_mark(group->deadline, at));
  group->scheduled = false;
  fb_group_mark(session, number, at);
}

static void S_leave_batch(fb_session *session, uint32_t number, uint32_t at, uint32_t row,
                          int64_t time) {
  fb_group *group = fb_group_at(session, number, at);
  fb_multiset_remove(&session->aggregates->sets, &group->line, S_mark(time, row));
  group->members--;
  session->aggregates->items[number].left_row = row;
  session->aggregates->items[number].left_tick = session->tick;
  S_reschedule(session, number, at);
}

/* ── Facts in and out ── */

static bool S_enter_sliding(fb_session *session, uint32_t number, uint32_t at, uint32_t row,
                            int64_t time) {
  fb_multisets *sets = &session->aggregates->sets;
  uint32_t *line = &session->aggregates->items[number].line;
  if (!fb_multiset_add(sets, &session->allocator, line, S_mark(time, row), row)) return false;
  if (!fb_group_add(session, number, at, row)) {
    fb_multiset_remove(sets, line, S_mark(time, row));
    return false;
  }
  fb_group_at(session, number, at)->members++;
  fb_group_mark(session, number, at);
  return true;
}

bool fb_window_enter(fb_session *session, uint32_t number, uint32_t at, uint32_t row,
                     int64_t time) {
  switch (session->set->aggregates[number]->window.kind) {
    case FB_WINDOW_SLIDING: return S_enter_sliding(session, number, at, row, time);
    case FB_WINDOW_LAST: return S_enter_last(session, number, at, row);
    default: return S_enter_batch(session, number, at, row, time);
  }
}

void fb_window_leave(fb_session *session, uint32_t number, uint32_t at, uint32_t row) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  int64_t time = 0;
  if (aggregate->window.kind == FB_WINDOW_LAST) {
    S_leave_last(session, number, at, row);
    return;
  }
  S_time(session, aggregate, row, &time);
  if (fb_window_ends(&aggregate->window)) {
    S_leave_batch(session, number, at, row, time);
    return;
  }
  fb_multiset_remove(&session->aggregates->sets, &memory->line, S_mark(time, row));
  fb_group_take(session, number, at, row);
  memory->groups[at].members--;
  fb_group_mark(session, number, at);
}

/* ── The clock moves ── */

/* What stands first in a line and is due: its number; 0 or more. False: nothing is. */
static bool S_due(const fb_session *session, uint32_t line, int64_t ahead, int64_t *ret_time,
                  uint32_t *ret_number) {
  const fb_multisets *sets = &session->aggregates->sets;
  uint32_t node = fb_multiset_at(sets, line, 0);
  if (!node) return false;
  *ret_time = sets->nodes[node].value.as.i + ahead;
  *ret_number = sets->nodes[node].value.len;
  return true;
}

static void S_slide(fb_session *session, uint32_t number) {
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  int64_t time, now = S_now(session);
  uint32_t row;
  bool quiet = session->aggregates->quiet;
  session->aggregates->quiet = true;
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  while (S_due(session, memory->line, aggregate->window.span, &time, &row) && time <= now) {
    fb_window_leave(session, number, memory->group_of[row], row);
    memory->group_of[row] = 0;
    fb_arena_rewind(&session->scratch, mark);
  }
  session->aggregates->quiet = quiet;
}

/* A window that has ended. */
typedef struct S_closed {
  int64_t start, end;
  uint32_t number;
  fb_value *keys, *values;
} S_closed;

typedef struct S_closing {
  S_closed *items;
  size_t count, cap;
} S_closing;

/* How many members the group's first window has, and when it ends. */
static uint64_t S_window(fb_session *session, uint32_t number, fb_group *group, int64_t *ret_end) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  const fb_multisets *sets = &session->aggregates->sets;
  int64_t last = S_first(session, group), span = aggregate->window.span;
  *ret_end = S_end_of(aggregate, last);
  if (aggregate->window.kind == FB_WINDOW_TUMBLING)
    return fb_multiset_rank(sets, group->line, S_mark(*ret_end, 0));
  uint64_t count = 0, total = fb_multiset_total(sets, group->line);
  if (group->scanned != INT64_MIN) {
    last = group->scanned;
    count = fb_multiset_rank(sets, group->line, S_mark(last, 0));
  }
  for (; count < total; count++) {
    int64_t time = sets->nodes[fb_multiset_at(sets, group->line, count)].value.as.i;
    if (time - last >= span) break;
    last = time;
  }
  group->scanned = last;
  *ret_end = last + span;
  return count;
}

/* Takes the first `count` members out of the group, and notes what they make. */
static fb_status S_close(fb_session *session, uint32_t number, uint32_t at, uint64_t count,
                         int64_t end, S_closing *closing) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  fb_multisets *sets = &session->aggregates->sets;
  fb_group *group = &memory->groups[at];
  if (!fb_grow(session->base, (void **)&closing->items, &closing->cap, closing->count,
               sizeof *closing->items))
    return FB_E_NOMEM;
  S_closed *closed = &closing->items[closing->count];
  *closed = (S_closed){.end = end, .number = number};
  closed->start = aggregate->window.kind == FB_WINDOW_TUMBLING ? end - aggregate->window.span
                                                               : S_first(session, group);
  size_t keys = aggregate->key_count * sizeof(fb_value);
  closed->keys = fb_arena_alloc(&session->scratch, keys + sizeof(fb_value));
  closed->values =
      fb_arena_alloc(&session->scratch, (aggregate->fold_count + 1) * sizeof(fb_value));
  if (!closed->keys || !closed->values) return FB_E_NOMEM;
  if (keys) memcpy(closed->keys, fb_group_keys(session, number, at), keys);
  session->aggregates->quiet = false;
  for (uint64_t i = 0; i < count; i++) {
    fb_value first = sets->nodes[fb_multiset_at(sets, group->line, 0)].value;
    if (!fb_group_add(session, number, at, first.len)) return FB_E_NOMEM;
    fb_multiset_remove(sets, &group->line, first);
    memory->group_of[first.len] = 0;
    group->members--;
  }
  closing->count++;
  fb_status status = fb_group_tell(session, number, at, closed->values);
  fb_group_forget(session, number, at);
  return status;
}

static fb_status S_close_due(fb_session *session, uint32_t number, S_closing *closing) {
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  int64_t time, end, now = S_now(session);
  uint32_t at;
  fb_status status = FB_OK;
  while (status == FB_OK && S_due(session, memory->line, 0, &time, &at) && time <= now) {
    fb_group *group = &memory->groups[at];
    uint64_t count = S_window(session, number, group, &end);
    if (end > now) {
      S_schedule(session, number, at, end);
      continue;
    }
    status = S_close(session, number, at, count, end, closing);
    if (status == FB_OK) S_reschedule(session, number, at);
  }
  return status;
}

/* The last to end first, so that what the first sets off fires first. */
static int S_later(const void *pa, const void *pb, void *context) {
  const S_closed *a = pa, *b = pb;
  const fb_ruleset *set = context;
  if (a->end != b->end) return a->end > b->end ? -1 : 1;
  if (a->number != b->number) return a->number > b->number ? -1 : 1;
  for (uint32_t i = 0; i < set->aggregates[a->number]->key_count; i++) {
    int order = fb_value_order(b->keys[i], a->keys[i]);
    if (order) return order;
  }
  return 0;
}

static fb_status S_stand(fb_session *session, uint32_t number, uint32_t place) {
  bool good = fb_multiset_add(&session->aggregates->sets, &session->allocator,
                              &session->aggregates->items[number].standing,
                              fb_int((int64_t)fb_place_serial(session, place)), place);
  return good ? FB_OK : FB_E_NOMEM;
}

static fb_status S_assert_closed(fb_session *session, const S_closing *closing) {
  fb_status status = FB_OK;
  for (size_t i = 0; i < closing->count && status == FB_OK; i++) {
    const S_closed *closed = &closing->items[i];
    uint32_t place;
    status = fb_result_assert(session, closed->number, closed->keys, closed->values,
                              fb_time_value(closed->start), &place);
    if (status == FB_OK) status = S_stand(session, closed->number, place);
  }
  return status;
}

/* The results of windows that have ended, which the rules have seen. */
static fb_status S_retire(fb_session *session) {
  fb_aggregates *all = session->aggregates;
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < session->set->aggregate_count && status == FB_OK; i++) {
    uint32_t *standing = &all->items[i].standing, node;
    while (status == FB_OK && (node = fb_multiset_at(&all->sets, *standing, 0))) {
      uint32_t place = all->sets.nodes[node].row;
      fb_multiset_remove(&all->sets, standing, all->sets.nodes[node].value);
      status = fb_result_retract(session, place);
      if (status == FB_OK) status = fb_logical_withdraw(session);
    }
    status = fb_session_tidy(session, session->set->aggregates[i]->type, status, NULL);
  }
  return status;
}

static fb_status S_expire(fb_session *session) {
  fb_status status = FB_OK;
  int64_t time, now = S_now(session);
  uint32_t place;
  while (status == FB_OK && S_due(session, session->aggregates->expiry, 0, &time, &place) &&
         time <= now) {
    status = fb_logical_remove(session, place);
    if (status == FB_OK) status = fb_logical_withdraw(session);
  }
  return status;
}

fb_status fb_windows_advance(fb_session *session) {
  fb_aggregates *all = session->aggregates;
  fb_status status = FB_OK;
  if (!all) return FB_OK;
  S_closing closing = {0};
  session->deriving = true;
  if (all->told) status = S_retire(session);
  all->told = false;
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  for (uint32_t i = 0; i < session->set->aggregate_count && status == FB_OK; i++) {
    const fb_rule_aggregate *aggregate = session->set->aggregates[i];
    if (aggregate->window.kind == FB_WINDOW_SLIDING)
      S_slide(session, i);
    else if (fb_window_ends(&aggregate->window))
      status = S_close_due(session, i, &closing);
  }
  if (status == FB_OK && closing.count > 1)
    qsort_r(closing.items, closing.count, sizeof *closing.items, S_later, (void *)session->set);
  if (status == FB_OK) status = S_assert_closed(session, &closing);
  fb_free(session->base, closing.items, closing.cap * sizeof *closing.items);
  fb_arena_rewind(&session->scratch, mark);
  session->deriving = false;
  if (status == FB_OK) status = S_expire(session);
  return status == FB_OK && all->broken ? FB_E_NOMEM : status;
}

void fb_windows_told(fb_session *session) {
  if (session->aggregates) session->aggregates->told = true;
}

fb_value fb_session_due(const fb_session *session) {
  fb_aggregates *all = session->aggregates;
  int64_t time, least = INT64_MAX;
  uint32_t number;
  if (!all) return fb_absent();
  if (S_due(session, all->expiry, 0, &time, &number)) least = time;
  for (uint32_t i = 0; i < session->set->aggregate_count; i++) {
    const fb_rule_window *window = &session->set->aggregates[i]->window;
    int64_t ahead = window->kind == FB_WINDOW_SLIDING ? window->span : 0;
    if (S_due(session, all->items[i].line, ahead, &time, &number) && time < least) least = time;
  }
  return least == INT64_MAX ? fb_absent() : fb_time_value(least);
}

/* ── Facts that expire ── */

static bool S_expiry(const fb_session *session, uint32_t place, int64_t *ret) {
  const fb_fact *fact = &session->facts[place];
  if (fact->type >= session->set->type_count) return false;
  const fb_rule_type *type = &session->set->types[fact->type];
  if (!type->expires) return false;
  const fb_facts *facts = session->memories[fact->type].facts;
  if (!fb_time_of_value(fb_facts_get(facts, fact->row, type->time_field), ret)) return false;
  *ret += type->expires;
  return true;
}

fb_status fb_expiry_enter(fb_session *session, uint32_t place) {
  int64_t time;
  if (!session->aggregates || !S_expiry(session, place, &time)) return FB_OK;
  return fb_multiset_add(&session->aggregates->sets, &session->allocator,
                         &session->aggregates->expiry, S_mark(time, place), place)
             ? FB_OK
             : FB_E_NOMEM;
}

void fb_expiry_leave(fb_session *session, uint32_t place) {
  int64_t time;
  if (session->aggregates && S_expiry(session, place, &time))
    fb_multiset_remove(&session->aggregates->sets, &session->aggregates->expiry,
                       S_mark(time, place));
}

/* ── The facts' own times ── */

fb_value fb_session_time_of(const fb_session *session, const fb_facts *facts, uint32_t row) {
  uint32_t type = fb_facts_type(facts)->id;
  int64_t time;
  if (type >= session->set->type_count || !session->set->types[type].timed) return fb_absent();
  fb_value value = fb_facts_get(facts, row, session->set->types[type].time_field);
  return fb_time_of_value(value, &time) ? fb_time_value(time) : fb_absent();
}

bool fb_ruleset_windowed(const fb_ruleset *ruleset) {
  return ruleset->windowed;
}

/* ── Snapshots: which facts batch windows still hold ── */

static uint32_t S_group_of(const fb_session *session, uint32_t number, uint32_t place) {
  const fb_aggregate_memory *memory = &session->aggregates->items[number];
  uint32_t row = session->facts[place].row;
  return row < memory->row_cap ? memory->group_of[row] : 0;
}

static bool S_is_source(const fb_session *session, uint32_t number, uint32_t place) {
  const fb_fact *fact = &session->facts[place];
  return fact->row != FB_RULE_NONE && fact->type == session->set->aggregates[number]->source.type;
}

uint32_t fb_window_next(const fb_session *session, uint32_t number, uint32_t place) {
  while (++place < session->fact_count)
    if (S_is_source(session, number, place) && S_group_of(session, number, place)) return place;
  return 0;
}

bool fb_windows_are_told(const fb_session *session) {
  return session->aggregates && session->aggregates->told;
}

bool fb_window_ends_at_all(const fb_ruleset *set, uint32_t number) {
  return fb_window_ends(&set->aggregates[number]->window);
}

fb_status fb_window_restore(fb_session *session, uint32_t number, uint32_t place) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  int64_t time;
  if (!place || place >= session->fact_count || !S_is_source(session, number, place) ||
      !session->set->rules[aggregate->rule].info.enabled ||
      !fb_alpha_has(session, aggregate->source.alpha, session->facts[place].row) ||
      S_group_of(session, number, place))
    return FB_E_RULE_SNAPSHOT;
  session->aggregates->quiet = true;
  bool timed = S_time(session, aggregate, session->facts[place].row, &time);
  bool good = timed && fb_group_enter(session, number, session->facts[place].row, time);
  session->aggregates->quiet = false;
  if (good && S_group_of(session, number, place)) return FB_OK;
  return timed && !good ? FB_E_NOMEM : FB_E_RULE_SNAPSHOT;
}

fb_status fb_window_adopt(fb_session *session, uint32_t number, uint32_t place) {
  return S_stand(session, number, place);
}
