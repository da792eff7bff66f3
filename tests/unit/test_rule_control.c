/* SPDX-License-Identifier: Apache-2.0
 * Control of firings: what case files and the oracle do not reach. */
#include "test.h"

#include <flyball/rules.h>

static fb_ruleset *S_load(const char *text) {
  fb_ruleset *rules;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  if (fb_ruleset_read(fb_slice_of(text), "rules.yaml", NULL, &rules, &errors, NULL) != FB_OK)
    fail_msg("%s", errors.items[0].text);
  fb_errors_release(&errors);
  return rules;
}

static fb_status S_note(void *context, fb_session *session, const fb_decision *decision) {
  fb_buf *out = context;
  (void)session;
  fb_value value = decision->fields->len ? decision->fields->entries[0].value : fb_int(0);
  fb_buf_printf(out, "%.*s%lld ", (int)decision->type.len, decision->type.ptr,
                (long long)value.as.i);
  return FB_OK;
}

static fb_status S_add(fb_session *session, const char *type, int n) {
  fb_entry entry = {fb_string(FB_SLICE("n")), fb_int(n)};
  fb_map map = {.len = 1, .cap = 1, .entries = &entry};
  return fb_session_assert(session, fb_slice_of(type), &map, NULL, NULL);
}

/* ── Random ── */

static const char S_random_book[] =
    "strategy: {random: 7}\n"
    "rules:\n"
    "  - {name: r, when: [a as x], then: [{emit: a, with: {n: \"${{ x.n }}\"}}]}\n";

/* What is fired, of six facts, with the strategy and seed given; the session is saved and restored in between if `reborn`. */
static void S_random_run(fb_strategy strategy, uint64_t seed, bool reborn, char out[64]) {
  fb_ruleset *rules = S_load(S_random_book);
  fb_session *session, *again;
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  fb_session_options options = {
      .strategy = strategy, .seed = seed, .output = {.decision = S_note, .context = &text}};
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  for (int n = 1; n <= 6; n++) assert_int_equal(S_add(session, "a", n), FB_OK);
  if (reborn) {
    options.strategy = FB_STRATEGY_DEPTH; /* what was saved counts */
    assert_int_equal(fb_session_clone(session, &options, &again, NULL), FB_OK);
    fb_session_free(session);
    session = again;
  }
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  snprintf(out, 64, "%.*s", (int)text.len, text.ptr);
  fb_session_free(session);
  fb_buf_release(&text);
  fb_ruleset_free(rules);
}

static void test_random(void **state) {
  (void)state;
  char book[64], same[64], other[64];
  int first[7] = {0}, orders = 0;
  S_random_run(FB_STRATEGY_BOOK, 0, false, book);
  S_random_run(FB_STRATEGY_RANDOM, 7, false, same);
  assert_string_equal(book, same);
  S_random_run(FB_STRATEGY_BOOK, 99, true, other);
  assert_string_equal(book, other); /* the rulebook's seed, not that of the options */
  for (uint64_t seed = 0; seed < 600; seed++) {
    S_random_run(FB_STRATEGY_RANDOM, seed, false, other);
    S_random_run(FB_STRATEGY_RANDOM, seed, true, same);
    assert_string_equal(other, same);
    orders += strcmp(other, book) != 0;
    first[other[1] - '0']++;
    for (int n = 1; n <= 6; n++) {
      char one[4] = {'a', (char)('0' + n), ' ', 0};
      assert_non_null(strstr(other, one));
    }
  }
  assert_true(orders > 580);
  for (int n = 1; n <= 6; n++) assert_in_range(first[n], 60, 140); /* 100 each, were it even */
}

static void test_strategy_of_the_options(void **state) {
  (void)state;
  fb_strategy strategy = FB_STRATEGY_BOOK;
  char depth[64], breadth[64];
  S_random_run(FB_STRATEGY_DEPTH, 0, false, depth);
  S_random_run(FB_STRATEGY_BREADTH, 0, false, breadth);
  assert_string_equal(depth, "a6 a5 a4 a3 a2 a1 ");
  assert_string_equal(breadth, "a1 a2 a3 a4 a5 a6 ");
  assert_true(fb_strategy_parse(FB_SLICE("mea"), &strategy) && strategy == FB_STRATEGY_MEA);
  assert_false(fb_strategy_parse(FB_SLICE(""), &strategy));
  assert_string_equal(fb_strategy_name(FB_STRATEGY_SIMPLICITY), "simplicity");
  assert_string_equal(fb_strategy_name(FB_STRATEGY_BOOK), "");
}

/* ── Everything at once, for limits and for lack of memory ── */

static const char S_book[] =
    "strategy: lex\n"
    "rules:\n"
    "  - name: pair\n"
    "    salience: \"${{ y.n }}\"\n"
    "    when: [{a as x: x.n > 0}, {a as y: y.n > x.n}, not block]\n"
    "    then: [{emit: p, with: {n: \"${{ x.n * 10 + y.n }}\"}}, {focus: [two, one]}]\n"
    "  - name: one\n"
    "    group: one\n"
    "    auto_focus: true\n"
    "    when: [{a as x: x.n > 2}]\n"
    "    then: [{call: same, with: {n: \"${{ x.n }}\"}, as: r}, {emit: o, with: {n: \"${{ r[0] "
    "}}\"}}, {run: m}, {assert: b, with: {n: \"${{ x.n }}\"}, "
    "logical: true}]\n"
    "  - name: two\n"
    "    group: two\n"
    "    effective: {from: \"2026-01-01T00:00:00Z\"}\n"
    "    when: [b as x]\n"
    "    then: [{emit: t, with: {n: \"${{ x.n }}\"}}]\n";

static const char S_fired[] = "o3 m p23 p13 p12 | t3 ";

static fb_ruleset *S_rules;

static fb_status S_same(void *context, const fb_map *args, fb_arena *arena, fb_value *ret,
                        fb_error *err) {
  (void)context;
  (void)err;
  fb_list *list = fb_list_new(arena, 1);
  if (!list || !fb_list_push(list, arena, args->entries[0].value)) return FB_E_NOMEM;
  *ret = fb_list_value(list);
  return FB_OK;
}

static fb_status S_mission(void *context, fb_session *session, const fb_decision *mission) {
  (void)session;
  fb_buf_printf(context, "%.*s ", (int)mission->type.len, mission->type.ptr);
  return FB_OK;
}

static const fb_parameter S_number = {"n", FB_FIELD_INT, false};
static const fb_calculator S_calculators[] = {{"same", &S_number, 1, S_same, NULL}};

static bool S_everything(const fb_allocator *allocator) {
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  fb_session *session = NULL, *again = NULL;
  fb_session_options options = {.calculators = S_calculators,
                                .calculator_count = 1,
                                .output = {.decision = S_note, .run = S_mission, .context = &text}};
  fb_status status = fb_session_new(S_rules, &options, allocator, &session);
  for (int n = 1; n <= 3 && status == FB_OK; n++) status = S_add(session, "a", n);
  if (status == FB_OK) status = fb_session_fire(session, NULL, NULL);
  fb_buf_text(&text, "| ");
  if (status == FB_OK) status = fb_session_focus(session, FB_SLICE("two"), NULL);
  if (status == FB_OK) status = fb_session_clone(session, NULL, &again, NULL);
  if (status == FB_OK) status = fb_session_advance(again, fb_timestamp(1800000000, 0), NULL);
  if (status == FB_OK) status = fb_session_focus(again, FB_SLICE("two"), NULL);
  if (status == FB_OK) status = fb_session_fire(again, NULL, NULL);
  if (status == FB_OK)
    assert_string_equal((fb_buf_char(&text, 0), text.ptr), S_fired);
  else
    assert_int_equal(status, FB_E_NOMEM);
  fb_session_free(again);
  fb_session_free(session);
  fb_buf_release(&text);
  return status == FB_OK;
}

static void test_every_allocation_fails(void **state) {
  (void)state;
  S_rules = S_load(S_book);
  assert_true(S_everything(fb_allocator_system()));
  fb_test_each_failure(S_everything);
  fb_ruleset_free(S_rules);
}

static bool S_read(const fb_allocator *allocator) {
  fb_ruleset *rules;
  fb_errors errors;
  fb_errors_init(&errors, allocator, 0);
  fb_status status = fb_ruleset_read(FB_SLICE(S_book), "b.yaml", allocator, &rules, &errors, NULL);
  if (status == FB_OK) fb_ruleset_free(rules);
  fb_errors_release(&errors);
  return status == FB_OK;
}

static void test_loading_when_allocations_fail(void **state) {
  (void)state;
  fb_test_each_failure(S_read);
}

static void test_clock_and_focus(void **state) {
  (void)state;
  fb_error err;
  fb_session *session;
  S_rules = S_load(S_book);
  assert_true(fb_ruleset_timed(S_rules));
  assert_false(fb_ruleset_stateless(S_rules, &err));
  fb_session_options options = {.stateless = true,
                                .strategy = FB_STRATEGY_LEX,
                                .calculators = S_calculators,
                                .calculator_count = 1};
  assert_int_equal(fb_session_new(S_rules, &options, NULL, &session), FB_E_RULE_STATEFUL);
  assert_int_equal(fb_session_new(S_rules, NULL, NULL, &session), FB_E_RULE_CALL);
  options = (fb_session_options){.calculators = S_calculators, .calculator_count = 1};
  assert_int_equal(fb_session_new(S_rules, &options, NULL, &session), FB_OK);
  assert_int_equal(fb_session_now(session).kind, FB_ABSENT);
  assert_int_equal(fb_session_advance(session, fb_timestamp(5, 1), &err), FB_OK);
  assert_int_equal(fb_session_advance(session, fb_timestamp(5, 1), &err), FB_OK);
  assert_int_equal(fb_session_advance(session, fb_timestamp(5, 0), &err), FB_E_RULE_TIME);
  assert_int_equal(fb_session_advance(session, fb_int(6), &err), FB_E_RULE_TIME);
  assert_int_equal(fb_session_now(session).len, 1);
  assert_int_equal(fb_session_focus(session, FB_SLICE("one"), &err), FB_OK);
  assert_int_equal(fb_session_focus(session, FB_SLICE("main"), &err), FB_OK);
  assert_int_equal(fb_session_focus(session, FB_SLICE(""), &err), FB_E_RULE_GROUP);
  fb_status status = FB_OK;
  for (int i = 0; i < 70000 && status == FB_OK; i++)
    status = fb_session_focus(session, fb_slice_of(i % 2 ? "one" : "two"), &err);
  assert_int_equal(status, FB_E_LIMIT);
  assert_int_equal(fb_session_reset(session), FB_OK);
  assert_int_equal(fb_session_now(session).kind, FB_ABSENT);
  assert_string_equal(fb_ruleset_rule(S_rules, 1).group.ptr, "one");
  assert_true(fb_ruleset_rule(S_rules, 0).salience_computed);
  fb_session_free(session);
  fb_ruleset_free(S_rules);
}

static void test_profile(void **state) {
  (void)state;
  fb_ruleset *rules = S_load(
      "rules:\n"
      "  - name: r\n"
      "    when: [{a as x: x.n > 1}, {any: [b, {c as y: y.n == x.n}]}]\n"
      "    then: [halt]\n");
  for (int profile = 0; profile < 2; profile++) {
    fb_session *session;
    fb_condition_stats c;
    fb_session_options options = {.profile = profile};
    assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
    for (int n = 0; n < 4; n++) {
      assert_int_equal(S_add(session, "a", n), FB_OK);
      assert_int_equal(S_add(session, "c", n), FB_OK);
    }
    while (fb_session_fire(session, NULL, NULL) == FB_OK && fb_session_halted(session)) continue;
    assert_int_equal(fb_session_statistics(session).firings, 2);
    assert_true(fb_session_condition_statistics(session, 0, 0, &c));
    assert_int_equal(c.passed, profile ? 2 : 0);
    assert_true(fb_slice_equal(c.text, FB_SLICE("a as x")));
    assert_true(fb_session_condition_statistics(session, 0, 1, &c));
    assert_int_equal(c.passed, 0);
    assert_int_equal(c.line, 3);
    assert_true(fb_session_condition_statistics(session, 0, 3, &c));
    assert_true(fb_slice_equal(c.text, FB_SLICE("c as y")));
    assert_int_equal(c.passed, profile ? 4 : 0);
    assert_int_equal(c.nanos, 0); /* no clock */
    assert_false(fb_session_condition_statistics(session, 0, 4, &c));
    fb_session_free(session);
  }
  fb_ruleset_free(rules);
}

/* ── Limits ── */

static const char S_growing_book[] =
    "rules:\n"
    "  - {name: grow, when: [{seed as x: x.n >= 0}], then: [{assert: seed, with: {n: \"${{ x.n + 1 "
    "}}\"}}]}\n"
    "  - {name: pair, when: [a as x, {a as y: y.n == x.n}], then: [{emit: p, with: {n: \"${{ x.n "
    "}}\"}}]}\n";

static void test_memory_limit(void **state) {
  (void)state;
  enum { MOST = 400000 };
  fb_ruleset *rules = S_load(S_growing_book);
  fb_session *session;
  fb_fact_id ids[20000];
  fb_error err;
  fb_status status = FB_OK;
  int held = 0;
  fb_session_options options = {.max_memory = MOST};
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  for (; status == FB_OK && held < 20000; held += status == FB_OK) {
    fb_entry entry = {fb_string(FB_SLICE("n")), fb_int(held)};
    fb_map map = {.len = 1, .cap = 1, .entries = &entry};
    status = fb_session_assert(session, FB_SLICE("a"), &map, &ids[held], &err);
  }
  assert_int_equal(status, FB_E_RULE_LIMIT);
  assert_string_equal(err.text, "the session would take more than 400000 bytes, its limit");
  assert_true(fb_session_statistics(session).memory <= MOST);
  assert_int_equal(fb_session_count(session, FB_SLICE("a")), held);
  assert_true(held > 100);
  /* What goes makes room, and the rest fires. */
  for (int i = 0; i < 50; i++) assert_int_equal(fb_session_retract(session, ids[i], &err), FB_OK);
  for (int i = 0; i < 50; i++) assert_int_equal(S_add(session, "a", i), FB_OK);
  assert_int_equal(fb_session_fire(session, NULL, &err), FB_OK);
  assert_int_equal(fb_session_statistics(session).firings, held);
  /* A rule that grows without end. */
  assert_int_equal(fb_session_reset(session), FB_OK);
  assert_int_equal(S_add(session, "seed", 1), FB_OK);
  assert_int_equal(fb_session_fire(session, NULL, &err), FB_E_RULE_LIMIT);
  assert_int_equal(err.line, 2);
  assert_true(fb_session_count(session, FB_SLICE("seed")) > 100);
  assert_true(fb_session_statistics(session).memory <= MOST + MOST / 8);
  assert_int_equal(fb_session_reset(session), FB_OK);
  assert_int_equal(S_add(session, "a", 1), FB_OK);
  assert_int_equal(fb_session_fire(session, NULL, &err), FB_OK);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

static int64_t S_now;

static int64_t S_tick(void *context) {
  (void)context;
  return S_now += 1000;
}

static void test_time_limit(void **state) {
  (void)state;
  fb_ruleset *rules = S_load(S_growing_book);
  fb_session *session;
  fb_error err;
  uint64_t fired;
  fb_clock clock = {S_tick, S_tick, NULL};
  fb_session_options options = {.clock = &clock, .deadline = 1000000};
  S_now = 0;
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  assert_int_equal(S_add(session, "seed", 1), FB_OK);
  assert_int_equal(fb_session_fire(session, &fired, &err), FB_E_RULE_LIMIT);
  assert_string_equal(err.text,
                      "the time that the session may take is over; rule `grow` was to fire next");
  assert_true(fired > 0);
  assert_int_equal(fb_session_count(session, FB_SLICE("seed")), fired + 1);
  /* Nothing is lost: with more time it goes on. */
  fb_session_set_deadline(session, S_now + 1000000);
  uint64_t before = fired;
  assert_int_equal(fb_session_fire(session, &fired, &err), FB_E_RULE_LIMIT);
  assert_int_equal(fb_session_count(session, FB_SLICE("seed")), before + fired + 1);
  assert_int_equal(S_add(session, "a", 5), FB_OK);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_strategy_of_the_options),
      cmocka_unit_test(test_clock_and_focus),
      cmocka_unit_test(test_profile),
      cmocka_unit_test(test_memory_limit),
      cmocka_unit_test(test_time_limit),
      cmocka_unit_test(test_loading_when_allocations_fail),
      cmocka_unit_test(test_every_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
