/* SPDX-License-Identifier: Apache-2.0
 * What aggregates are made of: exact sums against wider arithmetic, multisets against sorted arrays; and failing memory. What
 * rulebooks with aggregates do is told by tests/cases/rules/aggregates.case and compared in test_rule_oracle.c. */
#include "test.h"

#include <flyball/rules.h>

#include <math.h>

#include "rules/exact.h"
#include "rules/multiset.h"

/* ── Sums ── */

/* Doubles that are whole numbers of 2^-20, so that 128 bits hold any sum of them. */
static double S_number(fb_random *random) {
  double number = (double)(int64_t)(fb_random_u64(random) >> fb_random_below(random, 60));
  return ldexp(fb_random_below(random, 2) ? number : -number, -20);
}

/* Rounded once: the difference to what is left is at most half of the last place. */
static double S_rounded(__int128 sum) {
  bool negative = sum < 0;
  unsigned __int128 size = negative ? -(unsigned __int128)sum : (unsigned __int128)sum;
  int low = 0;
  while (size >> low >> 53) low++;
  uint64_t mantissa = (uint64_t)(size >> low);
  if (low) {
    unsigned __int128 rest = size & (((unsigned __int128)1 << low) - 1),
                      half = (unsigned __int128)1 << (low - 1);
    mantissa += rest > half || (rest == half && mantissa & 1);
  }
  double value = ldexp((double)mantissa, low - 20);
  return negative ? -value : value;
}

static void test_sums_are_exact(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 7);
  for (int round = 0; round < 300; round++) {
    fb_exact exact = {0};
    double held[64];
    uint32_t count = 0;
    __int128 sum = 0;
    for (int step = 0; step < 300; step++) {
      if (count == 64 || (count && fb_random_below(&random, 2))) {
        uint32_t at = (uint32_t)fb_random_below(&random, count);
        fb_exact_remove(&exact, held[at]);
        sum -= (__int128)ldexp(held[at], 20);
        held[at] = held[--count];
      } else {
        held[count] = S_number(&random);
        sum += (__int128)ldexp(held[count], 20);
        assert_true(fb_exact_add(&exact, fb_allocator_system(), held[count++]));
      }
      double rest, told = fb_exact_sum(&exact, 0, &rest);
      assert_true(told == S_rounded(sum));
      assert_true(rest == S_rounded(sum - (__int128)ldexp(told, 20)));
      int64_t whole = (int64_t)fb_random_u64(&random);
      assert_true(fb_exact_sum(&exact, whole, NULL) == S_rounded(sum + (__int128)whole * 1048576));
    }
    fb_exact_release(&exact, fb_allocator_system());
  }
}

static void test_sums_of_extremes(void **state) {
  (void)state;
  const fb_allocator *allocator = fb_allocator_system();
  const double values[] = {1.7976931348623157e308, 4.9406564584124654e-324, -1.7976931348623157e308,
                           1.7976931348623157e308, 1e-310};
  fb_exact exact = {0};
  for (int i = 0; i < 5; i++) assert_true(fb_exact_add(&exact, allocator, values[i]));
  assert_true(fb_exact_sum(&exact, 0, NULL) == 1.7976931348623157e308);
  assert_true(fb_exact_add(&exact, allocator, 1.7976931348623157e308));
  assert_true(isinf(fb_exact_sum(&exact, 0, NULL)));
  fb_exact_remove(&exact, 1.7976931348623157e308);
  fb_exact_remove(&exact, 1.7976931348623157e308);
  assert_true(fb_exact_sum(&exact, 0, NULL) == 1e-310 + 4.9406564584124654e-324);
  assert_true(fb_exact_add(&exact, allocator, INFINITY));
  assert_true(fb_exact_sum(&exact, 0, NULL) == INFINITY);
  assert_true(fb_exact_add(&exact, allocator, -INFINITY));
  assert_true(isnan(fb_exact_sum(&exact, 0, NULL)));
  fb_exact_remove(&exact, INFINITY);
  fb_exact_remove(&exact, -INFINITY);
  assert_true(fb_exact_add(&exact, allocator, NAN));
  assert_true(isnan(fb_exact_sum(&exact, 0, NULL)));
  fb_exact_remove(&exact, NAN);
  fb_exact_remove(&exact, 1e-310);
  assert_true(fb_exact_sum(&exact, 0, NULL) == 4.9406564584124654e-324);
  assert_true(fb_exact_sum(&exact, -((__int128)1 << 100), NULL) == -0x1p100);
  fb_exact_release(&exact, allocator);
}

/* ── Multisets ── */

static bool S_next(void *context, const fb_multiset_node *node) {
  int64_t **at = context;
  for (uint64_t i = 0; i < node->count; i++) assert_int_equal(*(*at)++, node->value.as.i);
  return true;
}

static void test_multisets_are_ordered(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 3);
  fb_multisets sets = {0};
  uint32_t root = 0, other = 0;
  int64_t held[200];
  uint32_t count = 0;
  for (int step = 0; step < 20000; step++) {
    int64_t value = (int64_t)fb_random_below(&random, 50);
    uint32_t at = 0;
    while (at < count && held[at] < value) at++;
    bool there = at < count && held[at] == value;
    assert_int_equal(fb_multiset_rank(&sets, root, fb_int(value)), at);
    assert_int_equal(fb_multiset_find(&sets, root, fb_int(value)) != 0, there);
    if (count < 200 && fb_random_below(&random, 2)) {
      assert_true(fb_multiset_add(&sets, fb_allocator_system(), &root, fb_int(value), 0));
      assert_true(fb_multiset_add(&sets, fb_allocator_system(), &other, fb_int(step), 0));
      memmove(held + at + 1, held + at, (count++ - at) * sizeof *held);
      held[at] = value;
    } else {
      assert_int_equal(fb_multiset_remove(&sets, &root, fb_int(value)), there);
      if (there) memmove(held + at, held + at + 1, (--count - at) * sizeof *held);
    }
    assert_int_equal(fb_multiset_total(&sets, root), count);
    if (count) {
      at = (uint32_t)fb_random_below(&random, count);
      assert_int_equal(sets.nodes[fb_multiset_at(&sets, root, at)].value.as.i, held[at]);
    }
    assert_int_equal(fb_multiset_at(&sets, root, count), 0);
    int64_t *next = held;
    assert_true(fb_multiset_walk(&sets, root, S_next, &next));
    if (step % 1000 == 0) fb_multiset_clear(&sets, &other);
  }
  fb_multisets_release(&sets, fb_allocator_system());
}

/* ── Sessions ── */

static const char S_book[] =
    "rules:\n"
    "  - name: all\n"
    "    when:\n"
    "      - count() as n, sum(o.x) as s, avg(o.y) as a, min(o.t) as m, distinct(o.x + 1) as d, "
    "first(o) as f,"
    " stddev(o.y) as e, percentile(o.x, 50) as p, approx_percentile(o.y, 50) as q, collect(o.t) as "
    "c"
    " by o.g as g, o.x > 1 as big of order as o: o.x < 100\n"
    "      - test: n > 0\n"
    "    then:\n"
    "      - emit: group\n"
    "        with: {g: \"${{ g }}\", all: \"${{ [n, s, a, m, d, f, e, p, q, c] }}\"}\n"
    "  - name: related\n"
    "    when:\n"
    "      - customer as k\n"
    "      - count() as n, sum(o.y) as s of order as o: o.g == k.g && o.t.size() > 0\n"
    "      - test: n < 5\n"
    "    then:\n"
    "      - assert: seen\n"
    "        with: {g: \"${{ k.g }}\", n: \"${{ n }}\", s: \"${{ s }}\"}\n"
    "        logical: true\n"
    "  - name: windows\n"
    "    when:\n"
    "      - count() as n, sum(o.y) as s by o.g as g of order as o within 3s on x\n"
    "      - collect(o.t) as c of order as o last 2\n"
    "    then:\n"
    "      - emit: window\n"
    "        with: {n: \"${{ n }}\", s: \"${{ s }}\", c: \"${{ c }}\"}\n"
    "  - name: ends\n"
    "    when:\n"
    "      - count() as n, last(o.t) as t by o.g as g of order as o tumbling 4s on x as start\n"
    "      - collect(o.x) as c, count() as m of order as o session 2s on x\n"
    "    then:\n"
    "      - assert: ended\n"
    "        with: {t: \"${{ t }}\", c: \"${{ c }}\", s: \"${{ start }}\"}\n"
    "        logical: true\n"
    "  - name: elements\n"
    "    when:\n"
    "      - order as o\n"
    "      - item as i in [o.x, o.x + 1]: i % 2 == 0\n"
    "      - letter as l in [o.t, 'x']: l != 'x'\n"
    "    then:\n"
    "      - assert: letter\n"
    "        with: {l: \"${{ l }}\", i: \"${{ i }}\"}\n"
    "        logical: true\n"
    "expires: {order: 20s on x}\n";

static bool S_load(const fb_allocator *allocator) {
  fb_ruleset *rules = NULL;
  fb_errors errors;
  fb_errors_init(&errors, allocator, 0);
  fb_status status =
      fb_ruleset_read(FB_SLICE(S_book), "test.yaml", allocator, &rules, &errors, NULL);
  fb_ruleset_free(rules);
  fb_errors_release(&errors);
  return status == FB_OK;
}

static fb_ruleset *S_rules;

static fb_status S_order(fb_session *session, int64_t i, fb_fact_id *ret_id) {
  static const char *const texts[] = {"a", "bb", "ccc"};
  fb_entry entries[] = {{fb_string(FB_SLICE("g")), fb_int(i % 2)},
                        {fb_string(FB_SLICE("x")), fb_int(i)},
                        {fb_string(FB_SLICE("y")), fb_double(0.1 * (double)i)},
                        {fb_string(FB_SLICE("t")), fb_string(fb_slice_of(texts[i % 3]))}};
  fb_map map = {.len = 4, .cap = 4, .entries = entries};
  return fb_session_assert(session, FB_SLICE("order"), &map, ret_id, NULL);
}

static bool S_change(fb_session *session, fb_fact_id id) {
  fb_entry change[] = {{fb_string(FB_SLICE("g")), fb_int(7)},
                       {fb_string(FB_SLICE("t")), fb_string(FB_SLICE("new"))}};
  fb_map map = {.len = 2, .cap = 2, .entries = change};
  return !id || fb_session_modify(session, id, &map, NULL) == FB_OK;
}

static bool S_run(const fb_allocator *allocator) {
  fb_session *session, *clone = NULL;
  if (fb_session_new(S_rules, NULL, allocator, &session) != FB_OK) return false;
  fb_fact_id id = 0, last = 0;
  bool good = true;
  fb_entry entry = {fb_string(FB_SLICE("g")), fb_int(1)};
  fb_map map = {.len = 1, .cap = 1, .entries = &entry};
  good = fb_session_assert(session, FB_SLICE("customer"), &map, NULL, NULL) == FB_OK;
  for (int64_t i = 0; i < 12; i++) {
    fb_status status = S_order(session, i, i == 5 ? &id : &last);
    good = status == FB_OK && good;
    if (i == 7) good = fb_session_fire(session, NULL, NULL) == FB_OK && good;
    if (i % 4 == 3)
      good = fb_session_advance(session, fb_timestamp(i - 3, 0), NULL) == FB_OK && good;
  }
  good = S_change(session, id) && good;
  good = fb_session_fire(session, NULL, NULL) == FB_OK && good;
  if (last) good = fb_session_retract(session, last, NULL) == FB_OK && good;
  good = fb_session_clone(session, NULL, &clone, NULL) == FB_OK && good;
  if (clone) {
    good = fb_session_advance(clone, fb_timestamp(25, 0), NULL) == FB_OK && good;
    good = fb_session_fire(clone, NULL, NULL) == FB_OK && good;
    fb_value kept = fb_session_fact(clone, id);
    good = (kept.kind == FB_ABSENT || S_change(clone, id)) && good;
    good = fb_session_fire(clone, NULL, NULL) == FB_OK && good;
  }
  good = fb_session_fire(session, NULL, NULL) == FB_OK && good;
  good = fb_session_statistics(session).errors == 0 && good;
  fb_session_free(clone);
  fb_session_free(session);
  return good;
}

static void test_every_allocation_of_loading_fails(void **state) {
  (void)state;
  fb_test_each_failure(S_load);
}

static void test_every_allocation_of_running_fails(void **state) {
  (void)state;
  fb_test_each_failure(S_run);
}

/* Results are the session's own: nobody else makes, sees or changes them. */
static void test_results_are_hidden(void **state) {
  (void)state;
  fb_session *session;
  fb_error err;
  assert_int_equal(fb_session_new(S_rules, NULL, NULL, &session), FB_OK);
  fb_map none = {0};
  assert_int_equal(fb_session_assert(session, FB_SLICE("@0"), &none, NULL, &err), FB_E_FACT_TYPE);
  fb_fact_id id;
  assert_int_equal(S_order(session, 3, &id), FB_OK);
  assert_int_equal(fb_session_fire(session, NULL, NULL), FB_OK);
  assert_int_equal(fb_session_count(session, FB_SLICE("order")), 1);
  assert_int_equal(fb_session_count(session, FB_SLICE("letter")), 1);
  assert_int_equal(fb_session_count(session, FB_SLICE("")), 2);
  fb_session_stats stats = fb_session_statistics(session);
  assert_int_equal(stats.facts_peak, 2);
  assert_int_equal(stats.asserted, 2);
  assert_int_equal(fb_session_swap(session, S_rules, &err), FB_OK);
  assert_int_equal(fb_session_count(session, FB_SLICE("")), 2);
  int found = 0;
  for (fb_fact_id other = 1; other < 12; other++) {
    fb_value fact = fb_session_fact(session, other);
    if (fact.kind == FB_FACT) assert_true(fb_facts_type(fact.as.facts)->name.ptr[0] != '@');
    found += fact.kind == FB_FACT;
    if (fact.kind == FB_ABSENT)
      assert_int_equal(fb_session_retract(session, other, NULL), FB_E_RULE_FACT);
  }
  assert_int_equal(found, 2);
  fb_session_free(session);
}

/* A limit that is met while results follow leaves the others for the next time. */
static void test_a_limit_leaves_the_session_usable(void **state) {
  (void)state;
  static const char book[] =
      "rules:\n"
      "  - {name: r, when: [{count() as n by o.k as k of order as o: true}, {other as x: x.k != "
      "k}, {other as y: y.k != x.k}],\n"
      "     then: [{assert: seen, with: {k: \"${{ k }}\"}, logical: true}]}\n"
      "  - {name: s, when: [\"count() as n of seen\"], then: [{log: \"${{ n }}\"}]}\n";
  fb_ruleset *rules;
  fb_session *session;
  fb_error err;
  assert_int_equal(fb_ruleset_read(FB_SLICE(book), "b.yaml", NULL, &rules, NULL, NULL), FB_OK);
  fb_session_options options = {.max_candidates = 100, .strategy = FB_STRATEGY_BREADTH};
  assert_int_equal(fb_session_new(rules, &options, NULL, &session), FB_OK);
  for (int i = 0; i < 40; i++) {
    fb_entry entry = {fb_string(FB_SLICE("k")), fb_int(i % 10)};
    const fb_map map = {.len = 1, .cap = 1, .entries = &entry};
    fb_slice type = i < 10 ? FB_SLICE("other") : FB_SLICE("order");
    assert_int_equal(fb_session_assert(session, type, &map, NULL, NULL), FB_OK);
  }
  int limits = 0;
  fb_status status;
  while ((status = fb_session_fire(session, NULL, &err)) == FB_E_RULE_LIMIT) {
    assert_non_null(strstr(err.text, "results of aggregates met more than 100 facts"));
    assert_true(++limits < 20);
  }
  assert_int_equal(status, FB_OK);
  assert_true(limits > 1);
  assert_int_equal(fb_session_count(session, FB_SLICE("seen")), 10);
  assert_int_equal(fb_session_count(session, FB_SLICE("order")), 30);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

/* Facts that come after their window has ended are counted, and the count is saved. */
static void test_late_facts_are_counted(void **state) {
  (void)state;
  static const char book[] =
      "rules:\n"
      "  - {name: r, when: [\"count() as n of p tumbling 10s\"], then: [{log: \"${{ n }}\"}]}\n"
      "  - {name: s, when: [\"count() as n of p session 3s\"], then: [{log: \"${{ n }}\"}]}\n";
  fb_ruleset *rules;
  fb_session *session, *clone;
  assert_int_equal(fb_ruleset_read(FB_SLICE(book), "b.yaml", NULL, &rules, NULL, NULL), FB_OK);
  assert_int_equal(fb_session_new(rules, NULL, NULL, &session), FB_OK);
  assert_int_equal(fb_session_advance(session, fb_timestamp(15, 0), NULL), FB_OK);
  static const int times[] = {14, 12, 9, 30};
  for (int i = 0; i < 4; i++) {
    fb_entry entry = {fb_string(FB_SLICE("at")), fb_timestamp(times[i], 0)};
    const fb_map map = {.len = 1, .cap = 1, .entries = &entry};
    assert_int_equal(fb_session_assert(session, FB_SLICE("p"), &map, NULL, NULL), FB_OK);
  }
  assert_int_equal(fb_session_statistics(session).late, 3); /* 12 for one window, 9 for both */
  assert_int_equal(fb_session_clone(session, NULL, &clone, NULL), FB_OK);
  assert_int_equal(fb_session_statistics(clone).late, 3);
  assert_int_equal(fb_session_swap(clone, rules, NULL), FB_OK);
  assert_int_equal(fb_session_statistics(clone).late, 3);
  fb_session_free(clone);
  fb_session_free(session);
  fb_ruleset_free(rules);
}

static int S_setup(void **state) {
  (void)state;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_status status = fb_ruleset_read(FB_SLICE(S_book), "test.yaml", NULL, &S_rules, &errors, NULL);
  if (status != FB_OK) print_error("%s\n", errors.items[0].text);
  fb_errors_release(&errors);
  return status;
}

static int S_teardown(void **state) {
  (void)state;
  fb_ruleset_free(S_rules);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sums_are_exact),
      cmocka_unit_test(test_sums_of_extremes),
      cmocka_unit_test(test_multisets_are_ordered),
      cmocka_unit_test(test_results_are_hidden),
      cmocka_unit_test(test_a_limit_leaves_the_session_usable),
      cmocka_unit_test(test_late_facts_are_counted),
      cmocka_unit_test(test_every_allocation_of_loading_fails),
      cmocka_unit_test(test_every_allocation_of_running_fails),
  };
  return cmocka_run_group_tests(tests, S_setup, S_teardown);
}
