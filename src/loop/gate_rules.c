/* SPDX-License-Identifier: Apache-2.0
 * Rules over benchmark facts: rows of the gate in, decisions out. */
#include <flyball/loop.h>

typedef struct S_judge {
  const fb_gate_rules *rules;
  fb_error *err; /* the first that a rule met */
  fb_status failed;
} S_judge;

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  S_judge *judge = context;
  (void)session;
  return judge->rules->decision(judge->rules->context, decision);
}

static void S_error(void *context, fb_session *session, const fb_error *err) {
  S_judge *judge = context;
  (void)session;
  if (judge->failed != FB_OK) return;
  judge->failed = err->code;
  if (judge->err) *judge->err = *err;
}

typedef struct S_fact {
  fb_arena *arena;
  fb_map *map;
  bool failed;
} S_fact;

static void S_put(S_fact *fact, const char *key, fb_value value) {
  if (!fact->map || !fb_map_put(fact->map, fact->arena, fb_string(fb_slice_of(key)), value, NULL))
    fact->failed = true;
}

static void S_put_text(S_fact *fact, const char *key, fb_slice text) {
  S_put(fact, key, fb_string(text.ptr ? text : (fb_slice){"", 0}));
}

static void S_put_result(S_fact *fact, const fb_gate_row *row) {
  const fb_bench_result *result = row->result;
  S_put_text(fact, "bench", result->bench);
  S_put_text(fact, "workload", result->workload);
  S_put_text(fact, "metric", result->metric);
  S_put_text(fact, "unit", result->unit);
  S_put_text(fact, "kind", fb_slice_of(fb_figure_kind_name(result->kind)));
  S_put_text(fact, "better",
             result->direction == FB_MORE_IS_BETTER ? FB_SLICE("more") : FB_SLICE("less"));
  S_put(fact, "samples", fb_int((int64_t)result->count));
  S_put(fact, "value", fb_double(row->value));
  if (row->has_interval) {
    S_put(fact, "low", fb_double(row->interval.low));
    S_put(fact, "high", fb_double(row->interval.high));
  }
}

static void S_put_comparison(S_fact *fact, const fb_gate_row *row) {
  const fb_comparison *c = &row->comparison;
  S_put(fact, "past", fb_double(c->a));
  S_put(fact, "past_runs", fb_int((int64_t)row->past_runs));
  S_put(fact, "worse", fb_double(c->worse));
  S_put(fact, "worse_low", fb_double(c->interval.low));
  S_put(fact, "worse_high", fb_double(c->interval.high));
  S_put(fact, "probability", fb_double(c->probability));
}

static fb_status S_assert_row(fb_session *session, const fb_gate_row *row, fb_arena *arena,
                              fb_error *err) {
  S_fact fact = {.arena = arena, .map = fb_map_new(arena, 24)};
  if (row->result) S_put_result(&fact, row);
  if (row->compared) S_put_comparison(&fact, row);
  S_put_text(&fact, "series", row->budget->series);
  S_put_text(&fact, "severity", fb_slice_of(fb_severity_name(row->budget->severity)));
  S_put_text(&fact, "verdict", fb_slice_of(fb_gate_verdict_name(row->verdict)));
  if (fact.failed) return fb_fail(err, FB_E_NOMEM, "no memory for a fact");
  return fb_session_assert(session, FB_SLICE("benchmark"), fact.map, NULL, err);
}

fb_status fb_gate_decide(const fb_gate_rules *rules, const fb_gate_row *rows, size_t count,
                         const fb_allocator *allocator, fb_error *err) {
  S_judge judge = {.rules = rules, .err = err};
  fb_session *session;
  fb_arena arena;
  fb_session_options options = {
      .output = {.decision = S_decision, .error = S_error, .context = &judge}};
  fb_status status = fb_session_new(rules->ruleset, &options, allocator, &session);
  if (status != FB_OK) return fb_fail(err, status, "no session for the gate's rules");
  fb_arena_init(&arena, allocator, 0);
  for (size_t i = 0; i < count && status == FB_OK; i++) {
    status = S_assert_row(session, &rows[i], &arena, err);
    fb_arena_reset(&arena);
  }
  if (status == FB_OK) status = fb_session_fire(session, NULL, err);
  if (status == FB_OK) status = judge.failed;
  fb_arena_release(&arena);
  fb_session_free(session);
  return status;
}
