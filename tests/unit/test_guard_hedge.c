/* SPDX-License-Identifier: Apache-2.0
 * Hedging: when copies are sent, that the delay follows the latencies, and what it does to a tail. */
#include "test.h"

#include <flyball/guard.h>

#include <pthread.h>
#include <stdlib.h>

static fb_hedge *S_new(fb_hedge_config config) {
  fb_hedge *hedge;
  fb_error err;
  assert_int_equal(fb_hedge_new(&config, NULL, &hedge, &err), FB_OK);
  return hedge;
}

static void test_fixed(void **state) {
  (void)state;
  fb_hedge *hedge = S_new((fb_hedge_config){.delay = 50, .copies = 2});
  fb_hedge_call call;
  fb_hedge_begin(&call, hedge, 1000);
  assert_int_equal(fb_hedge_left(&call, 1000), 50);
  assert_int_equal(fb_hedge_left(&call, 900), 150);
  assert_false(fb_hedge_send(&call, 1049));
  assert_true(fb_hedge_send(&call, 1050));
  assert_int_equal(call.copies, 1);
  assert_int_equal(fb_hedge_left(&call, 1060), 40);
  assert_true(fb_hedge_send(&call, 2000));
  assert_int_equal(fb_hedge_left(&call, 9000), FB_NEVER);
  assert_false(fb_hedge_send(&call, 9000));
  fb_hedge_end(&call, 1, FB_RESULT_OK, 500);
  fb_hedge_stats stats = fb_hedge_statistics(hedge);
  assert_int_equal(stats.calls, 1);
  assert_int_equal(stats.copies, 2);
  assert_int_equal(stats.won, 1);
  fb_hedge_begin(&call, hedge, 0);
  fb_hedge_end(&call, 0, FB_RESULT_OK, 10);
  assert_int_equal(fb_hedge_left(&call, 100), FB_NEVER); /* it is over */
  fb_hedge_free(hedge);
}

static void test_budget(void **state) {
  (void)state;
  fb_retry_budget budget;
  assert_int_equal(fb_retry_budget_init(&budget, 3, 0.1, NULL), FB_OK);
  fb_hedge *hedge = S_new((fb_hedge_config){.delay = 10, .budget = &budget});
  uint32_t sent = 0;
  for (int i = 0; i < 100; i++) {
    fb_hedge_call call;
    fb_hedge_begin(&call, hedge, 0);
    sent += fb_hedge_send(&call, 10);
    fb_hedge_end(&call, 0, FB_RESULT_FAILED, 20);
  }
  assert_int_equal(sent, 3);
  assert_int_equal(fb_hedge_statistics(hedge).denied, 97);
  fb_hedge_free(hedge);
}

/* The delay is within a bucket's width of the percentile, and follows when the service gets slower. */
static void test_percentile(void **state) {
  (void)state;
  fb_hedge *hedge = S_new((fb_hedge_config){.percentile = 0.9, .minimum = 1000});
  fb_random random;
  fb_random_seed(&random, 7);
  fb_hedge_call call;
  for (int round = 1; round <= 2; round++) {
    int64_t unit = round * FB_MILLISECOND;
    for (int i = 0; i < 50000; i++) {
      fb_hedge_begin(&call, hedge, 0);
      if (round == 1 && i < 999) assert_int_equal(fb_hedge_left(&call, 0), FB_NEVER);
      fb_hedge_end(&call, 0, FB_RESULT_OK, (int64_t)(fb_random_unit(&random) * 10 * (double)unit));
    }
    double delay = (double)fb_hedge_statistics(hedge).delay, wanted = 9 * (double)unit;
    assert_true(delay > wanted * 0.93 && delay < wanted * 1.09);
  }
  fb_hedge_free(hedge);
}

static void test_bounds(void **state) {
  (void)state;
  int64_t latencies[] = {0, 1, 5 * FB_SECOND, 3600 * FB_SECOND * 24, INT64_MAX, -5};
  for (size_t i = 0; i < sizeof latencies / sizeof *latencies; i++) {
    fb_hedge *hedge = S_new(
        (fb_hedge_config){.percentile = 0.5, .minimum = 1, .least = 2000, .most = 10 * FB_SECOND});
    fb_hedge_call call;
    fb_hedge_begin(&call, hedge, 0);
    fb_hedge_end(&call, 0, FB_RESULT_OK, latencies[i]);
    int64_t delay = fb_hedge_statistics(hedge).delay;
    assert_true(delay >= 2000 && delay <= 10 * FB_SECOND);
    fb_hedge_free(hedge);
  }
}

static void test_refused(void **state) {
  (void)state;
  fb_hedge_config bad[] = {{0},
                           {.delay = -1},
                           {.delay = 1, .percentile = 1},
                           {.percentile = -0.5},
                           {.delay = 1, .least = 5, .most = 4},
                           {.delay = 1, .copies = 17}};
  fb_hedge *hedge = NULL;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    fb_error err = {0};
    assert_int_equal(fb_hedge_new(&bad[i], NULL, &hedge, &err), FB_E_USAGE);
    assert_non_null(strstr(err.text, "hedge"));
  }
  assert_null(hedge);
  fb_hedge_free(NULL);
}

/* What it is for: one call in fifty takes a hundred times as long; hedged at the 95th percentile the 99th comes
 * down to about twice the usual, for at most a tenth more calls. */
static int S_order(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}
static int64_t S_latency(fb_random *random) {
  double base = (8 + 4 * fb_random_unit(random)) * (double)FB_MILLISECOND;
  return (int64_t)(fb_random_unit(random) < 0.02 ? base * 100 : base);
}
static void test_tail(void **state) {
  (void)state;
  enum { CALLS = 20000 };
  static int64_t plain[CALLS], hedged[CALLS];
  fb_hedge_config config = fb_hedge_config_default();
  fb_hedge *hedge = S_new(config);
  fb_random random;
  fb_random_seed(&random, 11);
  for (int i = 0; i < CALLS; i++) {
    fb_hedge_call call;
    int64_t first = S_latency(&random), at = 0;
    plain[i] = hedged[i] = first;
    fb_hedge_begin(&call, hedge, 0);
    if (fb_hedge_left(&call, 0) < first && fb_hedge_send(&call, at = fb_hedge_left(&call, 0))) {
      int64_t second = S_latency(&random);
      if (at + second < first) hedged[i] = at + second;
      fb_hedge_end(&call, hedged[i] < first, FB_RESULT_OK, hedged[i] < first ? second : first);
    } else {
      fb_hedge_end(&call, 0, FB_RESULT_OK, first);
    }
  }
  qsort(plain, CALLS, sizeof *plain, S_order);
  qsort(hedged, CALLS, sizeof *hedged, S_order);
  assert_true(plain[CALLS * 99 / 100] > 500 * FB_MILLISECOND);
  assert_true(hedged[CALLS * 99 / 100] < 30 * FB_MILLISECOND);
  assert_true(fb_hedge_statistics(hedge).copies < CALLS / 10);
  fb_hedge_free(hedge);
}

enum { THREADS = 4, EACH = 20000 };
static void *S_thread(void *context) {
  for (int i = 0; i < EACH; i++) {
    fb_hedge_call call;
    fb_hedge_begin(&call, context, 0);
    fb_hedge_end(&call, 0, FB_RESULT_OK, FB_MILLISECOND);
  }
  return NULL;
}
static void test_threads(void **state) {
  (void)state;
  fb_hedge *hedge = S_new((fb_hedge_config){.percentile = 0.5});
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, S_thread, hedge), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  fb_hedge_stats stats = fb_hedge_statistics(hedge);
  assert_int_equal(stats.calls, THREADS * EACH);
  assert_true(stats.delay >= FB_MILLISECOND && stats.delay < FB_MILLISECOND * 107 / 100);
  fb_hedge_free(hedge);
}

static bool S_make(const fb_allocator *allocator) {
  fb_hedge_config config = fb_hedge_config_default();
  fb_hedge *hedge = NULL;
  fb_status status = fb_hedge_new(&config, allocator, &hedge, NULL);
  fb_hedge_free(hedge);
  return status == FB_OK;
}
static void test_memory(void **state) {
  (void)state;
  fb_test_each_failure(S_make);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fixed),      cmocka_unit_test(test_budget),
      cmocka_unit_test(test_percentile), cmocka_unit_test(test_bounds),
      cmocka_unit_test(test_refused),    cmocka_unit_test(test_tail),
      cmocka_unit_test(test_threads),    cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests_name("guard_hedge", tests, NULL, NULL);
}
