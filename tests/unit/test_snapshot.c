/* SPDX-License-Identifier: Apache-2.0
 * Snapshots: what comes back, what is refused, damage, failing memory. That a restored session fires what the saved one would
 * have fired, at every step of random histories, is tested in test_rule_oracle.c. */
#include "test.h"

#include <flyball/rules.h>

static const char S_book[] =
    "facts:\n  a: {n: int, d: double, s: string, t: timestamp, l: duration, b: bytes}\n"
    "rules:\n"
    "  - name: pair\n    when: [a as x, b as y: y.n == x.n]\n"
    "    then: [{emit: pair, with: {n: \"${{ x.n }}\"}}]\n"
    "  - name: lonely\n    when: [a as x, not b as y: y.n == x.n]\n"
    "    then: [{emit: lonely, with: {n: \"${{ x.n }}\"}}, {assert: b, with: {n: \"${{ x.n "
    "}}\"}}]\n";
static const char S_other[] =
    "rules:\n  - name: all\n    when: [a as x]\n    then: [{emit: all, with: {n: \"${{ x.n "
    "}}\"}}]\n";
static const char S_strict[] =
    "facts:\n  a: {n: string}\nrules:\n  - name: all\n    when: [a]\n    then: [{emit: all}]\n";

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  fb_buf *log = context;
  (void)session;
  fb_buf_add(log, decision->type.ptr, decision->type.len);
  fb_json_write(log, fb_map_value(decision->fields), FB_JSON_COMPACT);
  return FB_OK;
}

static fb_ruleset *S_load(const char *text) {
  fb_ruleset *rules = NULL;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  if (fb_ruleset_read(fb_slice_of(text), "test.yaml", NULL, &rules, &errors, NULL) != FB_OK)
    fail_msg("%s", errors.items[0].text);
  fb_errors_release(&errors);
  return rules;
}

/* Facts of all kinds of values; one is retracted, so that there is a free place. */
static bool S_fill(fb_session *session, bool nested) {
  fb_value items[] = {fb_int(-5),
                      fb_uint(UINT64_MAX),
                      fb_double(-0.5),
                      fb_string(FB_SLICE("héllo")),
                      fb_null(),
                      fb_bool(true),
                      fb_bytes((fb_slice){"\0\xff", 2}),
                      fb_timestamp(-1, 999999999),
                      fb_duration(-3, 5)};
  fb_list list = {.len = 9, .cap = 9, .items = items};
  fb_entry inside[] = {{fb_string(FB_SLICE("list")), fb_list_value(&list)},
                       {fb_int(7), fb_optional(&items[0])}};
  fb_map map = {.len = 2, .cap = 2, .entries = inside};
  bool good = true;
  for (int64_t i = 0; i < 4; i++) {
    fb_entry a[] = {{fb_string(FB_SLICE("n")), fb_int(i)},
                    {fb_string(FB_SLICE("d")), fb_double(0.1)},
                    {fb_string(FB_SLICE("s")), fb_string(i % 2 ? FB_SLICE("text") : FB_SLICE(""))},
                    {fb_string(FB_SLICE("t")), fb_timestamp(1767225600, 1)},
                    {fb_string(FB_SLICE("l")), fb_duration(-60, 0)},
                    {fb_string(FB_SLICE("b")), fb_bytes(FB_SLICE("bytes"))}};
    fb_entry b[] = {{fb_string(FB_SLICE("n")), fb_int(i * 2)},
                    {fb_string(FB_SLICE("m")), nested ? fb_map_value(&map) : fb_null()}};
    fb_map a_map = {.len = 6, .cap = 6, .entries = a}, b_map = {.len = 2, .cap = 2, .entries = b};
    fb_fact_id id;
    good = fb_session_assert(session, FB_SLICE("a"), &a_map, &id, NULL) == FB_OK && good;
    good = fb_session_assert(session, i ? FB_SLICE("b") : FB_SLICE("open"), &b_map, NULL, NULL) ==
               FB_OK &&
           good;
    if (i == 2) good = good && fb_session_retract(session, id, NULL) == FB_OK;
  }
  return good;
}

static fb_status S_print(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  (void)session;
  fb_buf_printf(context, "%llu %.*s ", (unsigned long long)id,
                (int)fb_facts_type(fact.as.facts)->name.len,
                fb_facts_type(fact.as.facts)->name.ptr);
  fb_json_write(context, fact, FB_JSON_COMPACT);
  return FB_OK;
}

static void test_a_clone_goes_on_alike(void **state) {
  (void)state;
  fb_ruleset *rules = S_load(S_book);
  fb_buf logs[2];
  fb_session *sessions[2];
  for (int i = 0; i < 2; i++) fb_buf_init(&logs[i], NULL, 0);
  fb_session_options options = {.max_firings = 2,
                                .output = {.decision = S_decision, .context = &logs[0]}};
  assert_int_equal(fb_session_new(rules, &options, NULL, &sessions[0]), FB_OK);
  assert_true(S_fill(sessions[0], true));
  assert_int_equal(fb_session_fire(sessions[0], NULL, NULL), FB_E_RULE_LIMIT);
  fb_buf_clear(&logs[0]);
  options.output.context = &logs[1];
  assert_int_equal(fb_session_clone(sessions[0], &options, &sessions[1], NULL), FB_OK);
  for (int i = 0; i < 2; i++) {
    fb_session_query(sessions[i], FB_SLICE(""), FB_SLICE(""), S_print, &logs[i], NULL);
    while (fb_session_fire(sessions[i], NULL, NULL) == FB_E_RULE_LIMIT) continue;
    fb_session_query(sessions[i], FB_SLICE(""), FB_SLICE(""), S_print, &logs[i], NULL);
    fb_buf_char(&logs[i], 0);
  }
  assert_string_equal(logs[0].ptr, logs[1].ptr);
  assert_non_null(strstr(logs[0].ptr, "lonely"));
  assert_non_null(
      strstr(logs[0].ptr, "\"list\":[-5,18446744073709551615,-0.5,\"héllo\",null,true,"));
  fb_session_stats a = fb_session_statistics(sessions[0]), b = fb_session_statistics(sessions[1]);
  a.memory = b.memory = 0;
  assert_memory_equal(&a, &b, sizeof a);
  for (int i = 0; i < 2; i++) {
    fb_session_free(sessions[i]);
    fb_buf_release(&logs[i]);
  }
  fb_ruleset_free(rules);
}

static void S_snapshot(const fb_ruleset *rules, fb_buf *out) {
  fb_session *session;
  assert_int_equal(fb_session_new(rules, NULL, NULL, &session), FB_OK);
  assert_true(S_fill(session, true));
  assert_int_equal(fb_session_save(session, out, NULL), FB_OK);
  fb_session_free(session);
}

static void test_other_rulebooks(void **state) {
  (void)state;
  fb_ruleset *rules = S_load(S_book), *other = S_load(S_other), *strict = S_load(S_strict);
  fb_buf snapshot, log;
  fb_session *session;
  fb_error err;
  fb_buf_init(&snapshot, NULL, 0);
  fb_buf_init(&log, NULL, 0);
  S_snapshot(rules, &snapshot);
  fb_session_options options = {.output = {.decision = S_decision, .context = &log}};
  fb_slice bytes = fb_buf_slice(&snapshot);
  assert_int_equal(fb_session_restore(other, &options, NULL, bytes, false, &session, &err),
                   FB_E_RULE_BOOK);
  assert_int_equal(fb_session_restore(strict, &options, NULL, bytes, true, &session, &err),
                   FB_E_FACT_FIELD);
  assert_int_equal(fb_session_restore(other, &options, NULL, bytes, true, &session, &err), FB_OK);
  assert_int_equal(fb_session_count(session, FB_SLICE("")), 7);
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  fb_buf_char(&log, 0);
  assert_string_equal(log.ptr, "all{\"n\":3}all{\"n\":1}all{\"n\":0}"); /* the latest first */
  fb_session_free(session);
  options.explain = true; /* the saved session had fired nothing: there is nothing to explain yet */
  assert_int_equal(fb_session_restore(rules, &options, NULL, bytes, false, &session, &err), FB_OK);
  fb_session_free(session);
  fb_buf_release(&snapshot);
  fb_buf_release(&log);
  fb_ruleset_free(rules);
  fb_ruleset_free(other);
  fb_ruleset_free(strict);
}

static void test_damage(void **state) {
  (void)state;
  fb_ruleset *rules = S_load(S_book);
  fb_buf snapshot;
  fb_session *session = NULL;
  fb_buf_init(&snapshot, NULL, 0);
  S_snapshot(rules, &snapshot);
  for (size_t len = 0; len < snapshot.len; len++) {
    fb_error err;
    assert_int_equal(
        fb_session_restore(rules, NULL, NULL, (fb_slice){snapshot.ptr, len}, false, &session, &err),
        FB_E_RULE_SNAPSHOT);
    snapshot.ptr[len] ^= 0x11;
    assert_int_equal(
        fb_session_restore(rules, NULL, NULL, fb_buf_slice(&snapshot), false, &session, &err),
        FB_E_RULE_SNAPSHOT);
    snapshot.ptr[len] ^= 0x11;
  }
  assert_null(session);
  fb_buf_release(&snapshot);
  fb_ruleset_free(rules);
}

static fb_ruleset *S_torture_rules;

static bool S_torture(const fb_allocator *allocator) {
  fb_session *session, *clone;
  fb_session_options options = {.explain = true, .max_firings = 1};
  if (fb_session_new(S_torture_rules, &options, allocator, &session) != FB_OK) return false;
  bool good = S_fill(session, false);
  good = good && fb_session_fire(session, NULL, NULL) == FB_E_RULE_LIMIT;
  fb_session_stats before = fb_session_statistics(session);
  fb_status status = good ? fb_session_clone(session, NULL, &clone, NULL) : FB_E_NOMEM;
  assert_int_equal(fb_session_statistics(session).memory, before.memory);
  if (status == FB_OK) {
    assert_int_equal(fb_session_statistics(clone).agenda, before.agenda);
    fb_session_free(clone);
  }
  fb_session_free(session);
  return status == FB_OK;
}

static void test_every_allocation_fails(void **state) {
  (void)state;
  S_torture_rules = S_load(S_book);
  fb_test_each_failure(S_torture);
  fb_ruleset_free(S_torture_rules);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_clone_goes_on_alike),
      cmocka_unit_test(test_other_rulebooks),
      cmocka_unit_test(test_damage),
      cmocka_unit_test(test_every_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
