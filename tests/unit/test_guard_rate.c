/* SPDX-License-Identifier: Apache-2.0
 * Rate limits: tables, random sequences beside naive ones, threads. */
#include "test.h"

#include <flyball/guard.h>

#include <pthread.h>
#include <stdatomic.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define US INT64_C(1000)

/* ── Token bucket ── */

static void test_bucket(void **state) {
  (void)state;
  fb_rate rate;
  int64_t wait;
  assert_int_equal(fb_rate_init(&rate, 10, 10 * US, 3, NULL), FB_OK); /* one a microsecond */
  for (int i = 0; i < 3; i++) {
    assert_true(fb_rate_take(&rate, 1, 5000, &wait));
    assert_int_equal(wait, 0);
  }
  assert_false(fb_rate_take(&rate, 1, 5000, &wait));
  assert_int_equal(wait, 1000);
  assert_false(fb_rate_take(&rate, 2, 5500, &wait));
  assert_int_equal(wait, 1500);
  assert_false(fb_rate_take(&rate, 1, 5999, NULL));
  assert_true(fb_rate_take(&rate, 1, 6000, NULL));
  assert_false(fb_rate_take(&rate, 4, 99000, &wait));
  assert_int_equal(wait, FB_NEVER);
  assert_false(fb_rate_take(&rate, UINT32_MAX, 99000, NULL));
  assert_true(fb_rate_take(&rate, 3, 99000, NULL));
  assert_false(
      fb_rate_take(&rate, 1, -99000, NULL)); /* a clock that steps back gives nothing away */
}

static void test_reserve(void **state) {
  (void)state;
  fb_rate rate;
  int64_t wait;
  assert_int_equal(fb_rate_init(&rate, 1, US, 1, NULL), FB_OK);
  for (int i = 0; i < 5; i++) {
    assert_true(fb_rate_reserve(&rate, 1, 0, 4 * US, &wait));
    assert_int_equal(wait, i * US);
  }
  assert_false(fb_rate_reserve(&rate, 1, 0, 4 * US, &wait));
  assert_int_equal(wait, 5 * US);
  assert_true(fb_rate_reserve(&rate, 1, 1000, 4 * US, &wait));
  assert_false(fb_rate_reserve(&rate, 2, 0, 4 * US, &wait));
  assert_int_equal(wait, FB_NEVER);
}

static void test_refused(void **state) {
  (void)state;
  fb_rate rate;
  fb_rate_window window;
  assert_int_equal(fb_rate_init(&rate, 0, US, 1, NULL), FB_E_USAGE);
  assert_int_equal(fb_rate_init(&rate, 1, 0, 1, NULL), FB_E_USAGE);
  assert_int_equal(fb_rate_init(&rate, 100, US, 1, NULL), FB_E_USAGE);
  assert_int_equal(fb_rate_init(&rate, 1, INT64_MAX, 2, NULL), FB_E_USAGE);
  assert_int_equal(fb_rate_window_init(&window, 0, US, NULL), FB_E_USAGE);
  assert_int_equal(fb_rate_window_init(&window, 65536, US, NULL), FB_E_USAGE);
  assert_int_equal(fb_rate_window_init(&window, 1, 999, NULL), FB_E_USAGE);
  assert_int_equal(fb_rate_window_init(&window, 1, 13 * 3600 * FB_SECOND, NULL), FB_E_USAGE);
}

/* Beside a bucket of fractional tokens that is refilled at each look. */
static void test_bucket_beside_naive(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 5);
  for (int run = 0; run < 200; run++) {
    int64_t interval = 1000 * (1 + (int64_t)fb_random_below(&random, 9));
    int64_t burst = 1 + (int64_t)fb_random_below(&random, 6), now = 1000, before = 1000;
    int64_t tokens = burst * interval; /* in nanoseconds' worth */
    fb_rate rate;
    assert_int_equal(fb_rate_init(&rate, 1, interval, (uint32_t)burst, NULL), FB_OK);
    for (int i = 0; i < 500; i++) {
      now += (int64_t)fb_random_below(&random, (uint64_t)interval * 3);
      tokens = tokens + now - before < burst * interval ? tokens + now - before : burst * interval;
      before = now;
      int64_t cost = 1 + (int64_t)fb_random_below(&random, 3), wait;
      bool may = tokens >= cost * interval;
      assert_int_equal(fb_rate_take(&rate, (uint32_t)cost, now, &wait), may);
      if (may)
        tokens -= cost * interval;
      else
        assert_int_equal(wait, cost > burst ? FB_NEVER : cost * interval - tokens);
    }
  }
}

/* ── Sliding window ── */

static void test_window(void **state) {
  (void)state;
  fb_rate_window rate;
  int64_t wait;
  assert_int_equal(fb_rate_window_init(&rate, 10, 1000 * US, NULL), FB_OK);
  for (int i = 0; i < 10; i++) assert_true(fb_rate_window_take(&rate, 1, 500 * US, &wait));
  assert_false(fb_rate_window_take(&rate, 1, 600 * US, &wait));
  assert_int_equal(wait, 500 * US); /* at 1100: nine tenths of ten, and one */
  assert_false(fb_rate_window_take(&rate, 1, 1099 * US, NULL));
  assert_true(fb_rate_window_take(&rate, 1, 1100 * US, NULL));
  assert_false(fb_rate_window_take(&rate, 1, 1150 * US, &wait));
  assert_int_equal(wait, 50 * US);
  assert_false(fb_rate_window_take(&rate, 1, 900 * US, NULL)); /* the clock stepped back */
  assert_false(fb_rate_window_take(&rate, 11, 9000 * US, &wait));
  assert_int_equal(wait, FB_NEVER);
  assert_true(fb_rate_window_take(&rate, 10, 9000 * US, NULL));
}

static void test_window_beside_naive(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 6);
  for (int run = 0; run < 100; run++) {
    enum { WINDOWS = 2000 };
    static uint64_t counts[WINDOWS + 2];
    memset(counts, 0, sizeof counts);
    uint64_t window = 1000 + fb_random_below(&random, 5000),
             limit = 1 + fb_random_below(&random, 20);
    uint64_t hurry = 1 + fb_random_below(&random, window), now = 0;
    fb_rate_window rate;
    assert_int_equal(fb_rate_window_init(&rate, (uint32_t)limit, (int64_t)window, NULL), FB_OK);
    for (int i = 0; i < 1500; i++) {
      now += fb_random_below(&random, hurry);
      uint64_t number = now / window, cost = 1 + fb_random_below(&random, 2);
      uint64_t before = number ? counts[number - 1] : 0;
      bool may =
          before * (window - now % window) + (counts[number] + cost) * window <= limit * window;
      int64_t wait;
      assert_int_equal(fb_rate_window_take(&rate, (uint32_t)cost, (int64_t)now, &wait), may);
      if (may) {
        counts[number] += cost;
      } else if (wait != FB_NEVER) { /* then, and not before, there would be room */
        fb_rate_window copy = rate;
        assert_true(wait > 0);
        assert_true(fb_rate_window_take(&copy, (uint32_t)cost, (int64_t)now + wait, NULL));
        copy = rate;
        assert_false(fb_rate_window_take(&copy, (uint32_t)cost, (int64_t)now + wait - 1, NULL));
      }
    }
  }
}

/* ── Keys ── */

static fb_rate_keys *S_keys(fb_rate_keys_config config) {
  fb_rate_keys *rates = NULL;
  assert_int_equal(fb_rate_keys_new(&config, NULL, &rates, NULL), FB_OK);
  return rates;
}

static bool S_take(fb_rate_keys *rates, int key, int64_t now, int64_t *ret_wait) {
  char name[32];
  int len = snprintf(name, sizeof name, "caller %d", key);
  return fb_rate_keys_take(rates, (fb_slice){name, (size_t)len}, 1, now, ret_wait);
}

/* Each key as if it had a bucket of its own. */
static void test_keys_beside_buckets(void **state) {
  (void)state;
  enum { KEYS = 60 };
  fb_rate buckets[KEYS];
  fb_random random;
  fb_random_seed(&random, 8);
  fb_rate_keys *rates =
      S_keys((fb_rate_keys_config){.tokens = 1, .per = US, .burst = 4, .keys = 4096});
  for (int i = 0; i < KEYS; i++) fb_rate_init(&buckets[i], 1, US, 4, NULL);
  int64_t now = 0;
  for (int i = 0; i < 50000; i++) {
    now += (int64_t)fb_random_below(&random, 40);
    int key = (int)fb_random_below(&random, KEYS);
    int64_t wait, expected;
    assert_int_equal(S_take(rates, key, now, &wait),
                     fb_rate_take(&buckets[key], 1, now, &expected));
    assert_int_equal(wait, expected);
  }
  assert_true(fb_rate_keys_count(rates, now) > 0);
  assert_int_equal(fb_rate_keys_count(rates, now + 4 * US), 0); /* all expired */
  int64_t wait;
  assert_false(fb_rate_keys_take(rates, FB_SLICE("x"), 5, now, &wait));
  assert_int_equal(wait, FB_NEVER);
  fb_rate_keys_free(rates);
}

/* More keys than there is room for, either way: the memory is what it was. */
static void test_keys_full(void **state) {
  (void)state;
  for (int strict = 0; strict <= 1; strict++) {
    fb_rate_keys *rates =
        S_keys((fb_rate_keys_config){.tokens = 1, .per = FB_SECOND, .keys = 64, .strict = strict});
    size_t memory = fb_rate_keys_memory(rates), let = 0;
    int64_t wait;
    for (int key = 0; key < 10000; key++) let += S_take(rates, key, 0, &wait);
    assert_int_equal(fb_rate_keys_memory(rates), memory);
    assert_true(memory < 16384);
    if (strict)
      assert_in_range(let, 64, 112);
    else
      assert_int_equal(let, 10000);
    assert_in_range(fb_rate_keys_count(rates, 0), 64, 112);
    assert_true(S_take(rates, 77777, FB_SECOND, NULL));
    fb_rate_keys_free(rates);
  }
}

static bool S_create(const fb_allocator *allocator) {
  fb_rate_keys *rates = NULL;
  fb_status status =
      fb_rate_keys_new(&(fb_rate_keys_config){.tokens = 1, .per = US}, allocator, &rates, NULL);
  if (status == FB_OK) S_take(rates, 1, 0, NULL);
  fb_rate_keys_free(rates);
  return status == FB_OK;
}

static void test_memory(void **state) {
  (void)state;
  fb_test_each_failure(S_create);
  fb_rate_keys *rates = NULL;
  assert_int_equal(
      fb_rate_keys_new(&(fb_rate_keys_config){.tokens = 1, .per = US, .keys = UINT32_MAX}, NULL,
                       &rates, NULL),
      FB_E_USAGE);
  assert_int_equal(fb_rate_keys_new(&(fb_rate_keys_config){0}, NULL, &rates, NULL), FB_E_USAGE);
}

/* ── Threads ── */

typedef struct S_crowd {
  fb_rate rate;
  fb_rate_window window;
  fb_rate_keys *keys;
  _Atomic int64_t now;
  _Atomic uint64_t let[3];
} S_crowd;

static void *S_run(void *context) {
  S_crowd *crowd = context;
  for (int i = 0; i < 20000; i++) {
    int64_t now = atomic_fetch_add(&crowd->now, 1);
    if (fb_rate_take(&crowd->rate, 1, now, NULL)) atomic_fetch_add(&crowd->let[0], 1);
    if (fb_rate_window_take(&crowd->window, 1, now, NULL)) atomic_fetch_add(&crowd->let[1], 1);
    if (fb_rate_keys_take(crowd->keys, FB_SLICE("all"), 1, now, NULL))
      atomic_fetch_add(&crowd->let[2], 1);
  }
  return NULL;
}

/* 80 µs at one a microsecond with a burst of 20; and at most 100 in the first window of 1 s. */
static void test_threads(void **state) {
  (void)state;
  S_crowd crowd = {.keys = S_keys((fb_rate_keys_config){.tokens = 1, .per = US, .burst = 20})};
  pthread_t threads[4];
  fb_rate_init(&crowd.rate, 1, US, 20, NULL);
  fb_rate_window_init(&crowd.window, 100, FB_SECOND, NULL);
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, S_run, &crowd), 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  assert_in_range(crowd.let[0], 95, 100);
  assert_int_equal(crowd.let[1], 100);
  assert_in_range(crowd.let[2], 95, 100);
  fb_rate_keys_free(crowd.keys);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bucket),
      cmocka_unit_test(test_reserve),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_bucket_beside_naive),
      cmocka_unit_test(test_window),
      cmocka_unit_test(test_window_beside_naive),
      cmocka_unit_test(test_keys_beside_buckets),
      cmocka_unit_test(test_keys_full),
      cmocka_unit_test(test_memory),
      cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests_name("guard_rate", tests, NULL, NULL);
}
