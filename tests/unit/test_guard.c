/* SPDX-License-Identifier: Apache-2.0
 * Retry, budget, deadlines. */
#include "test.h"

#include <flyball/guard.h>

#include <pthread.h>

#define MS FB_MILLISECOND
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const fb_attempt FAILED = {.ok = false};
static const fb_attempt OK = {.ok = true};

/* ── Deadlines ── */

static void test_deadline(void **state) {
  (void)state;
  fb_deadline never = fb_deadline_in(5, 0), whole = fb_deadline_in(100, 50);
  assert_int_equal(never.at, FB_NEVER);
  assert_int_equal(fb_deadline_in(100, INT64_MAX).at, FB_NEVER);
  assert_int_equal(fb_deadline_in(-100, 50).at, -50);
  assert_int_equal(whole.at, 150);
  assert_int_equal(fb_deadline_within(whole, 120, 10).at, 130);
  assert_int_equal(fb_deadline_within(whole, 120, 1000).at, 150);
  assert_int_equal(fb_deadline_within(whole, 120, 0).at, 150);
  assert_int_equal(fb_deadline_within(never, 120, 10).at, 130);
  assert_int_equal(fb_deadline_before(whole, 20).at, 130);
  assert_int_equal(fb_deadline_before(never, 20).at, FB_NEVER);
  assert_int_equal(fb_deadline_left(whole, 120), 30);
  assert_int_equal(fb_deadline_left(whole, 150), 0);
  assert_int_equal(fb_deadline_left(whole, 1000), 0);
  assert_int_equal(fb_deadline_left(never, 1000), FB_NEVER);
  assert_false(fb_deadline_passed(whole, 149));
  assert_true(fb_deadline_passed(whole, 150));
}

/* ── Retry: waits ── */

static void S_expect_waits(const fb_retry_policy *policy, const int64_t *waits, size_t count) {
  fb_retry retry;
  int64_t now = 1000, wait;
  assert_int_equal(fb_retry_policy_check(policy, NULL), FB_OK);
  fb_retry_begin(&retry, policy, NULL, now);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(fb_retry_next(&retry, FAILED, now, &wait), FB_RETRY_AGAIN);
    assert_int_equal(wait, waits[i]);
    now += wait + 7;
  }
  assert_int_equal(retry.attempts, count);
}

static void test_backoffs(void **state) {
  (void)state;
  fb_retry_policy policy = {.base = 10, .max = 70};
  S_expect_waits(&policy, (const int64_t[]){10, 10, 10, 10}, 4);
  policy.backoff = FB_BACKOFF_LINEAR;
  S_expect_waits(&policy, (const int64_t[]){10, 20, 30, 40, 50, 60, 70, 70}, 8);
  policy.backoff = FB_BACKOFF_EXPONENTIAL;
  S_expect_waits(&policy, (const int64_t[]){10, 20, 40, 70, 70}, 5);
  policy.factor = 1.5;
  S_expect_waits(&policy, (const int64_t[]){10, 15, 22, 33, 50, 70}, 6);
  policy.max = 0;
  policy.factor = 1000000;
  policy.base = FB_SECOND;
  S_expect_waits(&policy, (const int64_t[]){FB_SECOND, 3600 * FB_SECOND, 3600 * FB_SECOND}, 3);
}

static void test_no_wait_at_all(void **state) {
  (void)state;
  fb_retry_policy policy = {.backoff = FB_BACKOFF_EXPONENTIAL};
  S_expect_waits(&policy, (const int64_t[]){0, 0, 0, 0}, 4);
}

/* Every jittered wait lies where the definition says, and both ends are come near to. */
static void test_jitter_bounds(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 7);
  for (int jitter = FB_JITTER_NONE; jitter <= FB_JITTER_FULL; jitter++) {
    fb_retry_policy policy = {
        .jitter = (fb_jitter)jitter, .base = 1000000, .backoff = FB_BACKOFF_FIXED};
    int64_t least = INT64_MAX, most = 0, wait;
    fb_retry retry;
    fb_retry_begin(&retry, &policy, &random, 0);
    for (int i = 0; i < 10000; i++) {
      assert_int_equal(fb_retry_next(&retry, FAILED, 0, &wait), FB_RETRY_AGAIN);
      if (wait < least) least = wait;
      if (wait > most) most = wait;
    }
    int64_t floor = jitter == FB_JITTER_FULL ? 0 : jitter == FB_JITTER_EQUAL ? 500000 : 1000000;
    assert_in_range(least, floor, floor + 2000);
    assert_in_range(most, 998000, 1000000);
  }
}

static void test_decorrelated(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 11);
  fb_retry_policy policy = {.backoff = FB_BACKOFF_DECORRELATED, .base = 1000, .max = 50000};
  bool at_max = false;
  for (int run = 0; run < 500; run++) {
    fb_retry retry;
    fb_retry_begin(&retry, &policy, &random, 0);
    int64_t before = 1000, wait;
    for (int i = 0; i < 20; i++) {
      assert_int_equal(fb_retry_next(&retry, FAILED, 0, &wait), FB_RETRY_AGAIN);
      assert_in_range(wait, 1000, before * 3 + 3 < 50000 ? before * 3 + 3 : 50000);
      at_max |= wait == 50000;
      before = wait;
    }
  }
  assert_true(at_max);
}

static void test_same_seed_same_waits(void **state) {
  (void)state;
  fb_retry_policy policy = fb_retry_policy_default();
  policy.attempts = 0;
  fb_random one, two;
  fb_random_seed(&one, 3);
  fb_random_seed(&two, 3);
  fb_retry a, b;
  fb_retry_begin(&a, &policy, &one, 0);
  fb_retry_begin(&b, &policy, &two, 99);
  for (int i = 0; i < 50; i++) {
    int64_t wait_a, wait_b;
    fb_retry_next(&a, FAILED, 0, &wait_a);
    fb_retry_next(&b, FAILED, 99, &wait_b);
    assert_int_equal(wait_a, wait_b);
  }
}

/* ── Retry: ends ── */

static bool S_only_5xx(void *context, int64_t code) {
  ++*(int *)context;
  return code >= 500;
}

static void test_ends(void **state) {
  (void)state;
  int asked = 0;
  fb_retry_policy policy = {.base = 100,
                            .attempts = 3,
                            .total = 250,
                            .after_max = 180,
                            .retryable = S_only_5xx,
                            .context = &asked};
  const struct {
    fb_attempt attempts[3];
    int64_t at[3];
    fb_retry_verdict verdicts[3];
  } table[] = {
      {{{.ok = true}}, {0}, {FB_RETRY_SUCCEEDED}},
      {{{.code = 404}}, {0}, {FB_RETRY_STOP_CODE}},
      {{{.code = 500}, {.ok = true}}, {0, 100}, {FB_RETRY_AGAIN, FB_RETRY_SUCCEEDED}},
      {{{.code = 500}, {.code = 400}}, {0, 100}, {FB_RETRY_AGAIN, FB_RETRY_STOP_CODE}},
      {{{.code = 500}, {.code = 500}, {.code = 500}},
       {0, 1, 2},
       {FB_RETRY_AGAIN, FB_RETRY_AGAIN, FB_RETRY_STOP_ATTEMPTS}},
      {{{.code = 500}, {.code = 500}, {.code = 4}},
       {0, 149, 149},
       {FB_RETRY_AGAIN, FB_RETRY_AGAIN, FB_RETRY_STOP_CODE}},
      {{{.code = 500}, {.code = 500}}, {0, 150}, {FB_RETRY_AGAIN, FB_RETRY_STOP_DEADLINE}},
      {{{.code = 500}, {.code = 500}}, {0, 9999}, {FB_RETRY_AGAIN, FB_RETRY_STOP_DEADLINE}},
      {{{.code = 503, .after = 180}, {.code = 4}}, {0, 180}, {FB_RETRY_AGAIN, FB_RETRY_STOP_CODE}},
      {{{.code = 503, .after = 181}}, {0}, {FB_RETRY_STOP_AFTER}},
      {{{.code = 503, .after = 180}, {.code = 503, .after = 100}},
       {0, 180},
       {FB_RETRY_AGAIN, FB_RETRY_STOP_DEADLINE}},
  };
  for (size_t row = 0; row < COUNT(table); row++) {
    fb_retry retry;
    fb_retry_begin(&retry, &policy, NULL, 5000);
    for (int i = 0; i < 3; i++) {
      int64_t wait = -1;
      fb_retry_verdict verdict =
          fb_retry_next(&retry, table[row].attempts[i], 5000 + table[row].at[i], &wait);
      assert_int_equal(verdict, table[row].verdicts[i]);
      if (verdict == FB_RETRY_AGAIN)
        assert_int_equal(wait, table[row].attempts[i].after ? table[row].attempts[i].after : 100);
      else
        assert_int_equal(wait, -1);
      if (verdict != FB_RETRY_AGAIN) break;
    }
  }
  assert_true(asked > 0);
}

static void test_retry_after_is_spread(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 1);
  fb_retry_policy policy = {.base = 1000, .jitter = FB_JITTER_FULL};
  int64_t least = INT64_MAX, most = 0, wait;
  for (int i = 0; i < 1000; i++) {
    fb_retry retry;
    fb_retry_begin(&retry, &policy, &random, 0);
    fb_retry_next(&retry, (fb_attempt){.after = 50000}, 0, &wait);
    assert_in_range(wait, 50000, 51000);
    if (wait < least) least = wait;
    if (wait > most) most = wait;
  }
  assert_true(most - least > 900);
  fb_retry retry;
  fb_retry_begin(&retry, &policy, &random, 0);
  assert_int_equal(fb_retry_next(&retry, (fb_attempt){.after = INT64_MAX}, 0, &wait),
                   FB_RETRY_AGAIN);
  assert_true(wait > 0);
}

static void test_callers_deadline(void **state) {
  (void)state;
  fb_retry_policy policy = {.base = 100, .total = 1000};
  fb_retry retry;
  int64_t wait;
  fb_retry_begin(&retry, &policy, NULL, 0);
  fb_retry_until(&retry, (fb_deadline){2000});
  assert_int_equal(retry.deadline, 1000);
  fb_retry_until(&retry, (fb_deadline){300});
  assert_int_equal(fb_retry_next(&retry, FAILED, 100, &wait), FB_RETRY_AGAIN);
  /* A clock that steps back is no time passed, not a failure. */
  assert_int_equal(fb_retry_next(&retry, FAILED, -500, &wait), FB_RETRY_AGAIN);
  assert_int_equal(fb_retry_next(&retry, FAILED, 200, &wait), FB_RETRY_STOP_DEADLINE);
}

static void test_policies_refused(void **state) {
  (void)state;
  const fb_retry_policy bad[] = {
      {.backoff = (fb_backoff)9},
      {.jitter = (fb_jitter)3},
      {.base = -1},
      {.total = -1},
      {.after_max = -1},
      {.base = 10, .max = 9},
      {.factor = 0.5},
      {.factor = 1e9},
      {.backoff = FB_BACKOFF_DECORRELATED},
  };
  for (size_t i = 0; i < COUNT(bad); i++) {
    fb_error err;
    assert_int_equal(fb_retry_policy_check(&bad[i], &err), FB_E_USAGE);
    assert_true(strlen(err.text) > 10);
  }
  fb_retry_policy policy = fb_retry_policy_default();
  assert_int_equal(fb_retry_policy_check(&policy, NULL), FB_OK);
}

/* ── Budget ── */

static void test_budget(void **state) {
  (void)state;
  fb_retry_budget budget;
  assert_int_equal(fb_retry_budget_init(&budget, 0, 0.1, NULL), FB_E_USAGE);
  assert_int_equal(fb_retry_budget_init(&budget, 3, 0, NULL), FB_E_USAGE);
  assert_int_equal(fb_retry_budget_init(&budget, 3, 1.5, NULL), FB_E_USAGE);
  assert_int_equal(fb_retry_budget_init(&budget, 3, 0.25, NULL), FB_OK);
  fb_retry_policy policy = {.budget = &budget};
  fb_retry retry;
  int64_t wait;
  fb_retry_begin(&retry, &policy, NULL, 0);
  for (int i = 0; i < 3; i++)
    assert_int_equal(fb_retry_next(&retry, FAILED, 0, &wait), FB_RETRY_AGAIN);
  assert_int_equal(fb_retry_next(&retry, FAILED, 0, &wait), FB_RETRY_STOP_BUDGET);
  for (int i = 0; i < 3; i++) fb_retry_next(&retry, OK, 0, &wait);
  assert_int_equal(fb_retry_next(&retry, FAILED, 0, &wait), FB_RETRY_STOP_BUDGET);
  fb_retry_next(&retry, OK, 0, &wait);
  assert_int_equal(fb_retry_next(&retry, FAILED, 0, &wait), FB_RETRY_AGAIN);
  for (int i = 0; i < 100; i++) fb_retry_next(&retry, OK, 0, &wait);
  assert_int_equal(budget.level, budget.max);
}

typedef struct S_spender {
  fb_retry_budget *budget;
  int64_t spent, deposits;
} S_spender;

static void *S_spend(void *context) {
  S_spender *spender = context;
  for (int i = 0; i < 20000; i++) {
    if (i % 3 == 0) {
      fb_retry_budget_deposit(spender->budget);
      spender->deposits++;
    }
    spender->spent += fb_retry_budget_withdraw(spender->budget);
  }
  return NULL;
}

/* However threads interleave, no token is spent that nobody put in. */
static void test_budget_shared(void **state) {
  (void)state;
  fb_retry_budget budget;
  S_spender spenders[4];
  pthread_t threads[4];
  assert_int_equal(fb_retry_budget_init(&budget, 10, 0.5, NULL), FB_OK);
  for (int i = 0; i < 4; i++) {
    spenders[i] = (S_spender){&budget, 0, 0};
    assert_int_equal(pthread_create(&threads[i], NULL, S_spend, &spenders[i]), 0);
  }
  int64_t spent = 0, deposits = 0;
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
    spent += spenders[i].spent;
    deposits += spenders[i].deposits;
  }
  assert_true(spent * 1000 <= 10000 + deposits * 500 - budget.level);
  assert_in_range(budget.level, 0, 999); /* there was always more demand */
}

static void test_names(void **state) {
  (void)state;
  for (int i = FB_RETRY_AGAIN; i <= FB_RETRY_STOP_AFTER; i++)
    assert_string_not_equal(fb_retry_verdict_name((fb_retry_verdict)i), "?");
  assert_string_equal(fb_retry_verdict_name((fb_retry_verdict)99), "?");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_deadline),
      cmocka_unit_test(test_backoffs),
      cmocka_unit_test(test_no_wait_at_all),
      cmocka_unit_test(test_jitter_bounds),
      cmocka_unit_test(test_decorrelated),
      cmocka_unit_test(test_same_seed_same_waits),
      cmocka_unit_test(test_ends),
      cmocka_unit_test(test_retry_after_is_spread),
      cmocka_unit_test(test_callers_deadline),
      cmocka_unit_test(test_policies_refused),
      cmocka_unit_test(test_budget),
      cmocka_unit_test(test_budget_shared),
      cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
