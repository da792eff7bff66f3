/* SPDX-License-Identifier: Apache-2.0
 * Another rulebook for a session that goes on. */
#include "test.h"

#include <flyball/rules.h>

static const char S_first[] =
    "facts:\n"
    "  order: {id: int, amount: double, note: any}\n"
    "rules:\n"
    "  - {name: big, when: [{order as o: o.amount > 100.0}], then: [{emit: big, with: {n: \"${{ "
    "o.id }}\"}}]}\n"
    "  - {name: pair, salience: -1, when: [{order as a: a.amount > 50.0}, {order as b: b.id > "
    "a.id}],\n"
    "     then: [{emit: pair, with: {n: \"${{ a.id * 10 + b.id }}\"}}]}\n"
    "  - {name: alarm, when: [{order as o: o.amount > 200.0}], then: [{assert: alarm, with: {id: "
    "\"${{ o.id }}\"}, logical: true}]}\n"
    "  - {name: loud, salience: -9, when: [alarm as x], then: [{emit: loud, with: {n: \"${{ x.id "
    "}}\"}}]}\n";

/* `big` does something else, `pair` waits in a group, `alarm` is gone, `small` is new; types stand the other way round. */
static const char S_second[] =
    "facts:\n"
    "  customer: {name: string}\n"
    "  order: {more: string, amount: double, id: int, note: any}\n"
    "rules:\n"
    "  - {name: small, when: [{order as o: o.amount <= 100.0}], then: [{emit: small, with: {n: "
    "\"${{ o.id }}\"}}]}\n"
    "  - {name: loud, salience: -9, when: [alarm as x], then: [{emit: loud, with: {n: \"${{ x.id "
    "}}\"}}]}\n"
    "  - {name: big, when: [{order as o: o.amount > 100.0}], then: [{emit: BIG, with: {n: \"${{ "
    "o.id }}\"}}]}\n"
    "  - {name: pairs, group: later, when: [{order as a: a.amount > 50.0}, {order as b: b.id > "
    "a.id}],\n"
    "     then: [{emit: PAIR, with: {n: \"${{ a.id * 10 + b.id }}\"}}]}\n";

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
  (void)session;
  fb_buf_printf(context, "%.*s%lld ", (int)decision->type.len, decision->type.ptr,
                (long long)decision->fields->entries[0].value.as.i);
  return FB_OK;
}

static fb_status S_add(fb_session *session, int id, double amount, fb_fact_id *ret_id) {
  fb_entry entries[] = {{fb_string(FB_SLICE("id")), fb_int(id)},
                        {fb_string(FB_SLICE("amount")), fb_double(amount)},
                        {fb_string(FB_SLICE("note")), fb_string(FB_SLICE("a note"))}};
  fb_map map = {.len = 3, .cap = 3, .entries = entries};
  return fb_session_assert(session, FB_SLICE("order"), &map, ret_id, NULL);
}

static const char *S_text(fb_buf *text) {
  fb_buf_char(text, 0);
  text->len = 0;
  return text->ptr;
}

static void test_rules_go_on(void **state) {
  (void)state;
  fb_ruleset *first = S_load(S_first), *second = S_load(S_second);
  fb_session *session;
  fb_buf text;
  fb_fact_id ids[4];
  fb_error err;
  fb_buf_init(&text, NULL, 0);
  fb_session_options options = {.explain = true, .output = {.decision = S_note, .context = &text}};
  assert_int_equal(fb_session_new(first, &options, NULL, &session), FB_OK);
  assert_int_equal(S_add(session, 1, 300, &ids[1]), FB_OK);
  assert_int_equal(S_add(session, 2, 80, &ids[2]), FB_OK);
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  assert_string_equal(S_text(&text), "big1 pair12 loud1 ");
  assert_int_equal(fb_session_count(session, FB_SLICE("alarm")), 1);
  assert_int_equal(S_add(session, 3, 150, &ids[3]), FB_OK); /* big, and two pairs, wait */
  assert_int_equal(fb_session_swap(session, second, &err), FB_OK);
  fb_ruleset_free(first);
  assert_ptr_equal(fb_session_ruleset(session), second);
  assert_int_equal(fb_session_count(session, FB_SLICE("alarm")), 0);
  assert_int_equal(fb_session_count(session, FB_SLICE("order")), 3);
  for (int i = 1; i <= 3; i++) {
    fb_value fact = fb_session_fact(session, ids[i]);
    assert_int_equal(fb_fact_get(fact, FB_SLICE("id")).as.i, i);
    fb_value note = fb_fact_get(fact, FB_SLICE("note"));
    assert_true(fb_slice_equal(fb_value_text(note), FB_SLICE("a note")));
  }
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  assert_string_equal(S_text(&text), "small2 BIG3 ");
  assert_int_equal(fb_session_focus(session, FB_SLICE("later"), &err), FB_OK);
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  assert_string_equal(S_text(&text), "PAIR23 PAIR13 ");
  assert_int_equal(fb_session_rule_statistics(session, 2).firings, 2);
  assert_int_equal(fb_session_rule_statistics(session, 0).firings, 1);
  fb_session_free(session);
  fb_ruleset_free(second);
  fb_buf_release(&text);
}

static void test_a_clash_changes_nothing(void **state) {
  (void)state;
  static const char *const books[] = {
      "facts:\n  order: {id: int, amount: string, note: any}\nrules: []\n",
      "facts:\n  order: {id: int, amount: double}\nrules: []\n",
      "rules:\n  - {name: a, when: [order], then: [{call: tax}]}\n"};
  static const char *const texts[] = {
      "fact 1, held as `order`, does not fit: ",
      "fact 1, held as `order`, does not fit: there is no field `note` any more",
      "there is no calculator `tax`"};
  static const uint32_t places[][2] = {{2, 28}, {2, 3}, {2, 44}};
  fb_ruleset *first = S_load(S_first);
  fb_session *session;
  fb_buf text;
  fb_error err;
  fb_buf_init(&text, NULL, 0);
  fb_session_options options = {.output = {.decision = S_note, .context = &text}};
  assert_int_equal(fb_session_new(first, &options, NULL, &session), FB_OK);
  assert_int_equal(S_add(session, 1, 300, NULL), FB_OK);
  assert_int_equal(S_add(session, 2, 80, NULL), FB_OK);
  uint64_t memory = fb_session_statistics(session).memory;
  for (int i = 0; i < 3; i++) {
    fb_ruleset *next = S_load(books[i]);
    err = (fb_error){0};
    assert_int_not_equal(fb_session_swap(session, next, &err), FB_OK);
    assert_memory_equal(err.text, texts[i], strlen(texts[i]));
    assert_int_equal(err.line, places[i][0]);
    assert_int_equal(err.column, places[i][1]);
    fb_ruleset_free(next);
    assert_ptr_equal(fb_session_ruleset(session), first);
  }
  assert_in_range(fb_session_statistics(session).memory, memory, memory + 4096);
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  assert_string_equal(S_text(&text), "big1 pair12 loud1 ");
  fb_session_free(session);
  fb_ruleset_free(first);
  fb_buf_release(&text);
}

/* ── Aggregates, windows, elements, facts that expire ── */

static const char S_groups[] =
    "expires: {ping: 100s}\n"
    "rules:\n"
    "  - {name: many, when: [{count() as n by p.host as h of ping as p: true}], then: [{emit: "
    "many, with: {n: \"${{ n }}\"}}]}\n"
    "  - {name: recent, salience: -1, when: [{count() as n of ping as p within 10s: p.host == "
    "1}],\n"
    "     then: [{emit: recent, with: {n: \"${{ n }}\"}}]}\n"
    "  - {name: run, salience: -2, when: [{count() as n by p.host as h of ping as p session 5s: "
    "true}],\n"
    "     then: [{emit: run, with: {n: \"${{ n }}\"}}]}\n"
    "  - {name: tag, salience: -3, when: [ping as p, {t as t in p.tags: t > 1}], then: [{emit: "
    "tag, with: {n: \"${{ t }}\"}}]}\n"
    "  - {name: seen, salience: -4, when: [{max(p.host) as m of ping as p: true}],\n"
    "     then: [{assert: seen, with: {n: \"${{ m }}\"}, logical: true}]}\n";

/* `many` is gone, `recent` asks for more of the same, `run` comes before, elements and `expires` of another span. */
static const char S_regrouped[] =
    "expires: {ping: 30s}\n"
    "rules:\n"
    "  - {name: run, salience: 9, when: [{count() as n by p.host as h of ping as p session 5s: "
    "true}],\n"
    "     then: [{emit: RUN, with: {n: \"${{ n }}\"}}]}\n"
    "  - {name: recent, salience: -1, when: [{count() as n of ping as p within 10s: p.host == 1}, "
    "{test: n > 1}],\n"
    "     then: [{emit: RECENT, with: {n: \"${{ n }}\"}}]}\n"
    "  - {name: total, salience: -2, when: [{sum(p.host) as n of ping as p: true}], then: [{emit: "
    "total, with: {n: \"${{ n }}\"}}]}\n"
    "  - {name: tags, salience: -3, when: [ping as p, {t as t in p.tags: t > 1}], then: [{emit: "
    "TAG, with: {n: \"${{ t }}\"}}]}\n"
    "  - {name: seen, salience: -4, when: [{max(p.host) as m of ping as p: true}],\n"
    "     then: [{assert: seen, with: {n: \"${{ m }}\"}, logical: true}]}\n";

static fb_status S_ping(fb_session *session, int host, int at) {
  fb_value items[] = {fb_int(1), fb_int(2), fb_int(3)};
  fb_list tags = {.len = 3, .cap = 3, .items = items};
  fb_entry entries[] = {{fb_string(FB_SLICE("host")), fb_int(host)},
                        {fb_string(FB_SLICE("at")), fb_timestamp(at, 0)},
                        {fb_string(FB_SLICE("tags")), fb_list_value(&tags)}};
  fb_map map = {.len = 3, .cap = 3, .entries = entries};
  return fb_session_assert(session, FB_SLICE("ping"), &map, NULL, NULL);
}

static fb_status S_fire_into(fb_session *session, fb_buf *text, const char *want) {
  text->len = 0;
  fb_status status = fb_session_fire(session, NULL, NULL);
  if (status == FB_OK) assert_string_equal(S_text(text), want);
  return status;
}

/* Whatever fails, the session is of one rulebook or the other. */
static fb_status S_regroup(const fb_ruleset *first, const fb_ruleset *second,
                           const fb_allocator *allocator) {
  fb_session *session;
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  fb_session_options options = {.output = {.decision = S_note, .context = &text}};
  fb_status status = fb_session_new(first, &options, allocator, &session);
  if (status != FB_OK) return status;
  status = fb_session_advance(session, fb_timestamp(0, 0), NULL);
  if (status == FB_OK) status = S_ping(session, 1, 1);
  if (status == FB_OK) status = S_fire_into(session, &text, "many1 recent1 tag2 tag3 ");
  if (status == FB_OK) status = fb_session_advance(session, fb_timestamp(4, 0), NULL);
  if (status == FB_OK) status = S_ping(session, 1, 5);
  if (status == FB_OK) status = fb_session_advance(session, fb_timestamp(7, 0), NULL);
  fb_status swapped = FB_OK;
  if (status == FB_OK) status = swapped = fb_session_swap(session, second, NULL);
  if (swapped != FB_OK) {
    fb_status after = S_fire_into(session, &text, "many2 recent2 tag2 tag3 ");
    assert_true(after == FB_OK || after == FB_E_NOMEM);
  }
  if (status == FB_OK) status = S_fire_into(session, &text, "RECENT2 total2 TAG2 TAG3 ");
  if (status == FB_OK) status = fb_session_advance(session, fb_timestamp(11, 0), NULL);
  /* The first of the run is held although it is longer ago than the gap. */
  if (status == FB_OK) status = S_fire_into(session, &text, "RUN2 ");
  if (status == FB_OK) status = fb_session_advance(session, fb_timestamp(31, 0), NULL);
  if (status == FB_OK) status = S_fire_into(session, &text, "total1 ");
  if (status == FB_OK) assert_int_equal(fb_session_count(session, FB_SLICE("seen")), 1);
  if (status == FB_OK) status = fb_session_advance(session, fb_timestamp(99, 0), NULL);
  if (status == FB_OK) status = S_fire_into(session, &text, "total0 ");
  if (status == FB_OK) assert_int_equal(fb_session_count(session, FB_SLICE("")), 0);
  fb_session_free(session);
  fb_buf_release(&text);
  return status;
}

static fb_ruleset *S_group_books[2];

static bool S_regroup_torture(const fb_allocator *allocator) {
  fb_status status = S_regroup(S_group_books[0], S_group_books[1], allocator);
  assert_true(status == FB_OK || status == FB_E_NOMEM);
  return status == FB_OK;
}

static void test_aggregates_go_on(void **state) {
  (void)state;
  S_group_books[0] = S_load(S_groups);
  S_group_books[1] = S_load(S_regrouped);
  assert_int_equal(S_regroup(S_group_books[0], S_group_books[1], NULL), FB_OK);
  fb_test_each_failure(S_regroup_torture);
  for (int i = 0; i < 2; i++) fb_ruleset_free(S_group_books[i]);
}

/* A declared field that an aggregate reads is of another type: it begins anew. */
static void test_an_aggregate_of_another_type_begins_anew(void **state) {
  (void)state;
  static const char *const books[] = {
      "facts: {p: {x: int}}\nrules:\n  - {name: a, when: [{sum(q.x) as n of p as q: true}], then: "
      "[{emit: a, with: {n: \"${{ n }}\"}}]}\n",
      "facts: {p: {x: any}}\nrules:\n  - {name: a, when: [{sum(q.x) as n of p as q: true}], then: "
      "[{emit: a, with: {n: \"${{ n }}\"}}]}\n"};
  fb_ruleset *first = S_load(books[0]), *second = S_load(books[1]);
  fb_session *session;
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  fb_session_options options = {.output = {.decision = S_note, .context = &text}};
  assert_int_equal(fb_session_new(first, &options, NULL, &session), FB_OK);
  fb_entry entry = {fb_string(FB_SLICE("x")), fb_int(5)};
  fb_map map = {.len = 1, .cap = 1, .entries = &entry};
  assert_int_equal(fb_session_assert(session, FB_SLICE("p"), &map, NULL, NULL), FB_OK);
  assert_int_equal(S_fire_into(session, &text, "a5 "), FB_OK);
  assert_int_equal(fb_session_swap(session, first, NULL), FB_OK);
  assert_int_equal(S_fire_into(session, &text, ""), FB_OK);
  assert_int_equal(fb_session_swap(session, second, NULL), FB_OK);
  assert_int_equal(S_fire_into(session, &text, "a5 "), FB_OK);
  assert_int_equal(fb_session_count(session, FB_SLICE("")), 1);
  fb_session_free(session);
  fb_ruleset_free(first);
  fb_ruleset_free(second);
  fb_buf_release(&text);
}

static fb_ruleset *S_swap_first, *S_swap_second;

/* Where the swap fails, the session goes on with the first rulebook. */
static bool S_torture(const fb_allocator *allocator) {
  fb_session *session;
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  fb_session_options options = {.explain = true, .output = {.decision = S_note, .context = &text}};
  fb_status status = fb_session_new(S_swap_first, &options, allocator, &session);
  if (status != FB_OK) return false;
  status = S_add(session, 1, 300, NULL);
  if (status == FB_OK) status = S_add(session, 2, 80, NULL);
  if (status == FB_OK) status = fb_session_fire(session, NULL, NULL);
  if (status == FB_OK) status = S_add(session, 3, 150, NULL);
  text.len = 0;
  bool through = false;
  if (status == FB_OK) {
    fb_status swapped = fb_session_swap(session, S_swap_second, NULL);
    assert_true(swapped == FB_OK || swapped == FB_E_NOMEM);
    status = fb_session_fire(session, NULL, NULL);
    through = status == FB_OK && swapped == FB_OK;
    if (status == FB_OK)
      assert_string_equal(S_text(&text), swapped == FB_OK ? "small2 BIG3 " : "big3 pair23 pair13 ");
  }
  fb_session_free(session);
  fb_buf_release(&text);
  return through;
}

static void test_every_allocation_fails(void **state) {
  (void)state;
  S_swap_first = S_load(S_first);
  S_swap_second = S_load(S_second);
  fb_test_each_failure(S_torture);
  fb_ruleset_free(S_swap_first);
  fb_ruleset_free(S_swap_second);
}

/* There and back for long: memory stays what it was, and so does what fires. FB_SOAK_ROUNDS=n: so many times. */
static void test_soak(void **state) {
  (void)state;
  const char *rounds = getenv("FB_SOAK_ROUNDS");
  uint64_t count = rounds ? strtoull(rounds, NULL, 10) : 400, settled = 0;
  fb_ruleset *books[] = {S_load(S_first), S_load(S_second)};
  fb_session *session;
  fb_fact_id held[64] = {0};
  fb_random random;
  fb_random_seed(&random, 1);
  assert_int_equal(fb_session_new(books[0], NULL, NULL, &session), FB_OK);
  for (uint64_t round = 0; round < count; round++) {
    for (int i = 0; i < 20; i++) {
      fb_fact_id *id = &held[fb_random_below(&random, 64)];
      if (*id) assert_int_equal(fb_session_retract(session, *id, NULL), FB_OK);
      int number = (int)fb_random_below(&random, 64);
      assert_int_equal(S_add(session, number, (double)fb_random_below(&random, 300), id), FB_OK);
    }
    if (fb_random_below(&random, 2)) assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
    assert_int_equal(fb_session_swap(session, books[(round + 1) % 2], NULL), FB_OK);
    if (round % 16 == 15) assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
    uint64_t memory = fb_session_statistics(session).memory;
    if (round < count / 2)
      settled = memory > settled ? memory : settled;
    else
      assert_in_range(memory, 0, settled + settled / 4 + 65536);
  }
  uint64_t alarms = fb_session_count(session, FB_SLICE("alarm"));
  assert_true(alarms <= 64);
  fb_session_free(session);
  fb_ruleset_free(books[0]);
  fb_ruleset_free(books[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rules_go_on),
      cmocka_unit_test(test_a_clash_changes_nothing),
      cmocka_unit_test(test_every_allocation_fails),
      cmocka_unit_test(test_aggregates_go_on),
      cmocka_unit_test(test_an_aggregate_of_another_type_begins_anew),
      cmocka_unit_test(test_soak),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
