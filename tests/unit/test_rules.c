/* SPDX-License-Identifier: Apache-2.0
 * The calls of rules.h that case files cannot make: batches, queries, sharing, deadlines, failing memory. */
#include "test.h"

#include <flyball/rules.h>

static fb_ruleset *S_rules(const char *text) {
  fb_ruleset *rules = NULL;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  if (fb_ruleset_read(fb_slice_of(text), "test.yaml", NULL, &rules, &errors, NULL) != FB_OK)
    fail_msg("%s", errors.items[0].text);
  fb_errors_release(&errors);
  return rules;
}

static fb_status S_add(fb_session *session, const char *type, const char *field, int64_t value,
                       fb_fact_id *ret_id, fb_error *err) {
  fb_entry entry = {fb_string(fb_slice_of(field)), fb_int(value)};
  fb_map map = {.len = 1, .cap = 1, .entries = &entry};
  return fb_session_assert(session, fb_slice_of(type), &map, ret_id, err);
}

static fb_status S_count_decision(void *context, fb_session *session, const fb_decision *decision) {
  (void)session;
  (void)decision;
  ++*(int *)context;
  return FB_OK;
}

static const char S_simple[] =
    "rules:\n"
    "  - name: big\n"
    "    when:\n"
    "      - n as x: x.v > 5\n"
    "    then:\n"
    "      - emit: big\n"
    "        with: {v: \"${{ x.v }}\"}\n";

static const char S_all[] =
    "facts:\n"
    "  order: {id: int, customer: int, amount: double}\n"
    "rules:\n"
    "  - name: review\n"
    "    salience: 5\n"
    "    when:\n"
    "      - order as o: o.amount > 10.0 && o.id != 77\n"
    "      - customer as c: c.id == o.customer && c.tier == 'bronze'\n"
    "      - not review as r: r.order == o.id\n"
    "    then:\n"
    "      - assert: review\n"
    "        with: {order: \"${{ o.id }}\", list: [1, \"${{ c.tier + 'x' }}\"]}\n"
    "      - emit: review\n"
    "        with: {order: \"${{ o.id }}\", tier: \"${{ c.tier }}\"}\n"
    "  - name: done\n"
    "    when:\n"
    "      - review as r\n"
    "      - order as o: o.id == r.order\n"
    "      - exists customer as c: c.id + 0 == o.customer\n"
    "    then:\n"
    "      - modify: o\n"
    "        with: {amount: 0}\n"
    "      - retract: r\n"
    "      - log: done with ${{ o.id }}\n";

static void test_two_sessions_share_rules(void **state) {
  (void)state;
  fb_ruleset *rules = S_rules(S_simple);
  fb_session *a, *b;
  int count_a = 0, count_b = 0;
  fb_session_options options = {.output = {.decision = S_count_decision, .context = &count_a}};
  assert_int_equal(fb_session_new(rules, &options, NULL, &a), FB_OK);
  options.output.context = &count_b;
  assert_int_equal(fb_session_new(rules, &options, NULL, &b), FB_OK);
  for (int64_t i = 0; i < 10; i++)
    assert_int_equal(S_add(i % 2 ? a : b, "n", "v", i, NULL, NULL), FB_OK);
  uint64_t firings;
  assert_int_equal(fb_session_fire(a, &firings, NULL), FB_OK);
  assert_int_equal(firings, 2);
  assert_int_equal(fb_session_fire(b, &firings, NULL), FB_OK);
  assert_int_equal(firings, 2);
  assert_int_equal(count_a, 2);
  assert_int_equal(count_b, 2);
  assert_ptr_equal(fb_session_ruleset(a), rules);
  fb_session_free(a);
  fb_session_free(b);
  fb_ruleset_free(rules);
}

static void test_facts_by_id(void **state) {
  (void)state;
  fb_ruleset *rules = S_rules(S_simple);
  fb_session *session;
  fb_fact_id first, second, third;
  fb_error err;
  assert_int_equal(fb_session_new(rules, NULL, NULL, &session), FB_OK);
  assert_int_equal(S_add(session, "n", "v", 1, &first, NULL), FB_OK);
  assert_int_equal(S_add(session, "n", "v", 2, &second, NULL), FB_OK);
  assert_int_equal(first, 1);
  assert_int_equal(fb_fact_get(fb_session_fact(session, second), FB_SLICE("v")).as.i, 2);
  assert_int_equal(fb_session_retract(session, first, &err), FB_OK);
  assert_int_equal(fb_session_fact(session, first).kind, FB_ABSENT);
  assert_int_equal(fb_session_retract(session, first, &err), FB_E_RULE_FACT);
  assert_int_equal(S_add(session, "n", "v", 3, &third, NULL), FB_OK);
  assert_int_equal((uint32_t)third, 1);
  assert_int_not_equal(third, first);
  assert_int_equal(fb_session_fact(session, first).kind, FB_ABSENT);
  assert_int_equal(fb_session_fact(session, 0).kind, FB_ABSENT);
  assert_int_equal(fb_session_fact(session, UINT64_MAX).kind, FB_ABSENT);
  assert_int_equal(fb_session_count(session, FB_SLICE("n")), 2);
  assert_int_equal(fb_session_count(session, FB_SLICE("m")), 0);
  assert_int_equal(fb_session_reset(session), FB_OK);
  assert_int_equal(fb_session_count(session, FB_SLICE("")), 0);
  assert_int_equal(S_add(session, "n", "v", 9, &first, NULL), FB_OK);
  assert_int_equal(first, 1);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

static fb_status S_sum(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  (void)session;
  (void)id;
  *(int64_t *)context += fb_fact_get(fact, FB_SLICE("v")).as.i;
  return FB_OK;
}

static void test_batches_and_queries(void **state) {
  (void)state;
  static const char text[] =
      "{\"type\":\"n\",\"v\":1}\n{\"type\":\"n\",\"v\":7}\n{\"type\":\"m\",\"v\":9}\n{\"type\":"
      "\"n\",\"v\":8}\n";
  fb_ruleset *rules = S_rules(S_simple);
  fb_session *session;
  fb_stream *stream;
  fb_batch batch;
  fb_errors errors;
  fb_memory_source memory = {FB_SLICE(text)};
  int decisions = 0;
  fb_session_options options = {.output = {.decision = S_count_decision, .context = &decisions}};
  fb_errors_init(&errors, NULL, 0);
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  assert_int_equal(fb_stream_open(fb_source_memory(&memory), fb_session_schema(session), NULL, NULL,
                                  &stream, NULL),
                   FB_OK);
  while (fb_stream_next(stream, &batch, &errors) == FB_OK)
    for (size_t i = 0; i < batch.run_count; i++) {
      fb_fact_id ids[4];
      uint32_t done;
      assert_int_equal(fb_session_assert_rows(session, batch.runs[i].facts, batch.runs[i].first,
                                              batch.runs[i].count, ids, &done, NULL),
                       FB_OK);
      assert_int_equal(done, batch.runs[i].count);
      assert_true(ids[0] != 0);
    }
  fb_stream_free(stream);
  assert_int_equal(fb_errors_total(&errors), 0);
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  assert_int_equal(decisions, 2);
  int64_t sum = 0;
  assert_int_equal(
      fb_session_query(session, FB_SLICE("n"), FB_SLICE("fact.v > 5"), S_sum, &sum, &errors),
      FB_OK);
  assert_int_equal(sum, 15);
  sum = 0;
  assert_int_equal(fb_session_query(session, FB_SLICE(""), FB_SLICE(""), S_sum, &sum, &errors),
                   FB_OK);
  assert_int_equal(sum, 25);
  assert_int_not_equal(
      fb_session_query(session, FB_SLICE("n"), FB_SLICE("fact.v >"), S_sum, &sum, &errors), FB_OK);
  assert_int_equal(fb_errors_total(&errors), 1);
  fb_errors_release(&errors);
  fb_session_stats stats = fb_session_statistics(session);
  assert_int_equal(stats.facts, 4);
  assert_int_equal(stats.firings, 2);
  assert_true(stats.memory > 0);
  assert_int_equal(fb_session_rule_statistics(session, 0).firings, 2);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

static int64_t S_tick(void *context) {
  return ++*(int64_t *)context;
}

static void test_deadline(void **state) {
  (void)state;
  fb_ruleset *rules = S_rules(
      "rules: [{name: r, when: [n as x], then: [{assert: n, with: {v: '${{ x.v + 1 }}'}}]}]");
  int64_t now = 0;
  fb_clock clock = {S_tick, S_tick, &now};
  fb_session_options options = {.clock = &clock, .deadline = 1000};
  fb_session *session;
  fb_error err;
  uint64_t firings;
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  assert_int_equal(S_add(session, "n", "v", 1, NULL, NULL), FB_OK);
  assert_int_equal(fb_session_fire(session, &firings, &err), FB_E_RULE_LIMIT);
  assert_int_equal(err.line, 1);
  assert_true(firings > 10 && firings < 1000);
  fb_session_set_deadline(session, now + 1000);
  assert_int_equal(fb_session_fire(session, &firings, &err), FB_E_RULE_LIMIT);
  assert_true(firings > 10);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

static fb_status S_refuse(void *context, fb_session *session, const fb_decision *decision) {
  (void)session;
  (void)decision;
  return ++*(int *)context == 2 ? FB_E_IO : FB_OK;
}

static void test_a_decision_that_nobody_takes(void **state) {
  (void)state;
  fb_ruleset *rules = S_rules(S_simple);
  int count = 0;
  fb_session_options options = {.output = {.decision = S_refuse, .context = &count}};
  fb_session *session;
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  for (int64_t i = 10; i < 15; i++)
    assert_int_equal(S_add(session, "n", "v", i, NULL, NULL), FB_OK);
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_E_IO);
  assert_int_equal(count, 2);
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  assert_int_equal(count, 5);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

static void test_places_are_reused(void **state) {
  (void)state;
  fb_ruleset *rules = S_rules(S_all);
  fb_session *session;
  assert_int_equal(fb_session_new(rules, NULL, NULL, &session), FB_OK);
  size_t held = 0;
  for (int round = 0; round < 50; round++) {
    fb_fact_id ids[200];
    for (int i = 0; i < 200; i++)
      assert_int_equal(S_add(session, "customer", "id", i, &ids[i], NULL), FB_OK);
    for (int i = 0; i < 200; i++)
      assert_int_equal(fb_session_retract(session, ids[(i * 7) % 200], NULL), FB_OK);
    if (round == 1) held = fb_session_statistics(session).memory;
  }
  assert_int_equal(fb_session_statistics(session).memory, held);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

/* ── Failing memory ── */

static const char S_maintained[] =
    "rules:\n"
    "  - name: known\n"
    "    when:\n"
    "      - order as o: o.amount > 20\n"
    "      - exists customer as c: c.id == o.customer\n"
    "      - not ban as b: b.order == o.id\n"
    "    then:\n"
    "      - assert: known\n"
    "        logical: true\n"
    "      - assert: pass\n"
    "        with: {order: \"${{ o.id }}\"}\n"
    "        logical: true\n"
    "  - name: tell\n"
    "    when:\n"
    "      - pass as p\n"
    "      - known\n"
    "    then:\n"
    "      - emit: pass\n"
    "      - assert: ban\n"
    "        with: {order: \"${{ p.order }}\"}\n";

static bool S_load(const fb_allocator *allocator) {
  fb_ruleset *rules = NULL;
  fb_errors errors;
  fb_errors_init(&errors, allocator, 0);
  fb_status status =
      fb_ruleset_read(FB_SLICE(S_all), "test.yaml", allocator, &rules, &errors, NULL);
  fb_ruleset_free(rules);
  fb_errors_release(&errors);
  return status == FB_OK;
}

static fb_ruleset *S_torture_rules;

static fb_status S_why(void *context, fb_session *session, const fb_decision *decision) {
  fb_value why;
  return fb_session_why(session, decision, context, &why);
}

static bool S_run(const fb_allocator *allocator) {
  fb_session *session;
  fb_arena arena;
  fb_arena_init(&arena, allocator, 0);
  fb_session_options options = {.explain = true, .output = {.decision = S_why, .context = &arena}};
  if (fb_session_new(S_torture_rules, &options, allocator, &session) != FB_OK) return false;
  fb_fact_id id = 0;
  bool good = true;
  for (int64_t i = 0; i < 3; i++) {
    fb_entry customer[] = {{fb_string(FB_SLICE("id")), fb_int(i)},
                           {fb_string(FB_SLICE("tier")), fb_string(FB_SLICE("bronze"))}};
    fb_entry order[] = {{fb_string(FB_SLICE("id")), fb_int(i)},
                        {fb_string(FB_SLICE("customer")), fb_int(i)},
                        {fb_string(FB_SLICE("amount")), fb_int(20 + i)}};
    fb_map customer_map = {.len = 2, .cap = 2, .entries = customer},
           order_map = {.len = 3, .cap = 3, .entries = order};
    uint64_t before = fb_session_count(session, FB_SLICE(""));
    fb_status status = fb_session_assert(session, FB_SLICE("customer"), &customer_map, NULL, NULL);
    assert_int_equal(fb_session_count(session, FB_SLICE("")), before + (status == FB_OK));
    good = good && status == FB_OK;
    good = fb_session_assert(session, FB_SLICE("order"), &order_map, &id, NULL) == FB_OK && good;
  }
  fb_entry change = {fb_string(FB_SLICE("customer")), fb_int(0)};
  fb_map map = {.len = 1, .cap = 1, .entries = &change};
  if (id) good = fb_session_modify(session, id, &map, NULL) == FB_OK && good;
  good = fb_session_fire(session, NULL, NULL) == FB_OK && good;
  if (id) good = fb_session_retract(session, id, NULL) == FB_OK && good;
  good = fb_session_statistics(session).errors == 0 && good;
  fb_session_free(session);
  fb_arena_release(&arena);
  return good;
}

static void test_every_allocation_of_loading_fails(void **state) {
  (void)state;
  fb_test_each_failure(S_load);
}

static void test_every_allocation_of_running_fails(void **state) {
  (void)state;
  S_torture_rules = S_rules(S_all);
  fb_test_each_failure(S_run);
  fb_ruleset_free(S_torture_rules);
  S_torture_rules = S_rules(S_maintained);
  fb_test_each_failure(S_run);
  fb_ruleset_free(S_torture_rules);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_two_sessions_share_rules),
      cmocka_unit_test(test_facts_by_id),
      cmocka_unit_test(test_batches_and_queries),
      cmocka_unit_test(test_deadline),
      cmocka_unit_test(test_a_decision_that_nobody_takes),
      cmocka_unit_test(test_places_are_reused),
      cmocka_unit_test(test_every_allocation_of_loading_fails),
      cmocka_unit_test(test_every_allocation_of_running_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
