/* SPDX-License-Identifier: Apache-2.0
 * The search for matches when their turn comes: where it is cut off, it goes on. What it finds, and in which order, is told by
 * test_rule_oracle.c. */
#include "test.h"

#include <flyball/rules.h>

/* Streamed, collected and sorted, merged (a fact at two conditions), with guards; nothing changes facts. */
static const char S_book[] =
    "rules:\n"
    "- {name: streamed, when: [a as x, {b as y: 'y.k == x.k'}, b as z], then: [{log: s}]}\n"
    "- {name: collected, when: [a as x, b as y, {c as z: 'z.k == x.k && z.n == y.n'}], then: "
    "[{log: c}]}\n"
    "- {name: merged, when: [b as x, {b as y: 'y.k == x.k'}], then: [{log: m}]}\n"
    "- {name: guarded, when: [a as x, {b as y: 'y.k == x.k'}, {not c as z: 'z.n == y.n'}], then: "
    "[{log: g}]}\n";
static const char S_search[] =
    "rules:\n"
    "- {name: r, when: [a as x, b as y, {test: 'x.n + y.n < 0'}], then: [{log: never}]}\n"
    "- {name: last, salience: -1, when: [a as x: 'x.n == 0'], then: [{log: last}]}\n";

static fb_ruleset *S_rules(const char *text) {
  fb_ruleset *rules = NULL;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  if (fb_ruleset_read(fb_slice_of(text), "test.yaml", NULL, &rules, &errors, NULL) != FB_OK)
    fail_msg("%s", errors.items[0].text);
  fb_errors_release(&errors);
  return rules;
}

static void S_assert(fb_session *session, const char *type, int64_t k, int64_t n) {
  fb_entry entries[] = {{fb_string(FB_SLICE("k")), fb_int(k)},
                        {fb_string(FB_SLICE("n")), fb_int(n)}};
  fb_map map = {.len = 2, .cap = 2, .entries = entries};
  assert_int_equal(fb_session_assert(session, fb_slice_of(type), &map, NULL, NULL), FB_OK);
}

static void S_fired(void *context, fb_session *session, uint32_t rule, uint64_t firing) {
  fb_buf *log = context;
  (void)session;
  (void)firing;
  fb_buf_printf(log, "%u", rule);
}

/* Fires until nothing is left, with one allocation failing on the way; returns how often fire failed. */
static int S_fire_all(const fb_ruleset *rules, size_t fail_at, bool *ret_reached, fb_buf *log) {
  fb_test_memory memory = {0};
  fb_allocator allocator = {fb_test_resize, &memory};
  fb_session_options options = {.output = {.fired = S_fired, .context = log}};
  fb_session *session;
  int failures = 0;
  assert_int_equal(fb_session_new(rules, &options, &allocator, &session), FB_OK);
  for (int i = 0; i < 12; i++) {
    S_assert(session, "a", i % 3, i % 4);
    S_assert(session, "b", i % 3, i % 4);
    if (i % 2) S_assert(session, "c", i % 3, i);
  }
  memory.fail_at = fail_at ? memory.calls + fail_at : 0;
  fb_status status;
  while ((status = fb_session_fire(session, NULL, NULL)) != FB_OK) {
    assert_int_equal(status, FB_E_NOMEM);
    if (++failures > 1) break;
  }
  *ret_reached = memory.calls >= memory.fail_at;
  fb_session_free(session);
  assert_int_equal(memory.live, 0);
  return failures;
}

static void test_firing_goes_on_after_each_failure(void **state) {
  fb_ruleset *rules = S_rules(S_book);
  fb_buf whole, log;
  bool reached = true;
  int failures = 0;
  (void)state;
  fb_buf_init(&whole, NULL, 0);
  assert_int_equal(S_fire_all(rules, 0, &reached, &whole), 0);
  assert_true(whole.len > 100);
  reached = true;
  for (size_t at = 1; reached; at++) {
    fb_buf_init(&log, NULL, 0);
    failures += S_fire_all(rules, at, &reached, &log);
    assert_string_equal(log.ptr, whole.ptr);
    fb_buf_release(&log);
  }
  assert_true(failures > 3);
  fb_buf_release(&whole);
  fb_ruleset_free(rules);
}

static int64_t S_tick(void *context) {
  int64_t *now = context;
  return ++*now;
}

static void test_a_deadline_ends_a_search_that_goes_on_later(void **state) {
  fb_ruleset *rules = S_rules(S_search);
  int64_t now = 0;
  fb_clock clock = {.mono = S_tick, .context = &now};
  fb_session_options options = {.clock = &clock};
  fb_session *session;
  fb_error err;
  (void)state;
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  for (int i = 0; i < 300; i++) S_assert(session, "a", 0, i);
  for (int i = 0; i < 300; i++) S_assert(session, "b", 0, i);
  int cut = 0;
  fb_status status;
  do {
    fb_session_set_deadline(session, now + 3);
    status = fb_session_fire(session, NULL, &err);
    if (status != FB_OK) {
      assert_int_equal(status, FB_E_RULE_LIMIT);
      assert_non_null(strstr(err.text, "the time that the session may take is over"));
      cut++;
    }
  } while (status != FB_OK && cut < 1000);
  assert_int_equal(status, FB_OK);
  assert_true(cut > 3);
  assert_int_equal(fb_session_statistics(session).firings, 1);
  /* Each pair was looked at once from either side: nothing was begun anew. */
  assert_true(fb_session_statistics(session).candidates <= 2 * 300 * 300);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

/* Either it was refused, and is made the next time, or the session has to be reset; which is told apart. */
static bool S_retract_fails(const fb_ruleset *rules, size_t fail_at, bool *ret_reached) {
  fb_test_memory memory = {0};
  fb_allocator allocator = {fb_test_resize, &memory};
  fb_session *session;
  uint64_t fired = 0;
  assert_int_equal(fb_session_new(rules, NULL, &allocator, &session), FB_OK);
  S_assert(session, "b", 1, 1);
  for (int i = 0; i < 20; i++) S_assert(session, "a", 1, i);
  memory.fail_at = memory.calls + fail_at;
  fb_status status = fb_session_retract(session, 1, NULL);
  *ret_reached = memory.calls >= memory.fail_at;
  bool lost = fb_session_fire(session, &fired, NULL) == FB_E_RULE_SESSION;
  bool refused = status != FB_OK && !lost;
  if (refused) {
    assert_int_equal(fired, 0);
    assert_int_equal(fb_session_count(session, FB_SLICE("b")), 1);
    assert_int_equal(fb_session_retract(session, 1, NULL), FB_OK);
    assert_int_equal(fb_session_fire(session, &fired, NULL), FB_OK);
  }
  if (!lost) assert_int_equal(fired, 20);
  fb_session_free(session);
  assert_int_equal(memory.live, 0);
  return refused;
}

static void test_a_change_is_refused_before_it_is_made(void **state) {
  fb_ruleset *rules =
      S_rules("rules: [{name: r, when: [a as x, {not b as y: 'y.k == x.k'}], then: [{log: r}]}]");
  bool reached = true;
  int refused = 0;
  (void)state;
  for (size_t at = 1; reached; at++) refused += S_retract_fails(rules, at, &reached);
  assert_true(refused > 0);
  fb_ruleset_free(rules);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_firing_goes_on_after_each_failure),
      cmocka_unit_test(test_a_deadline_ends_a_search_that_goes_on_later),
      cmocka_unit_test(test_a_change_is_refused_before_it_is_made),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
