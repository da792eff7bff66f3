/* SPDX-License-Identifier: Apache-2.0
 * Changes of level: found where they are, in made series and in recorded noise; comparing; what can be seen. */
#include "test.h"

#include <flyball/proof.h>

#include <math.h>

enum { CAP = 50 };

static size_t S_find(const double *series, size_t count, const fb_change_options *options,
                     fb_change *changes) {
  fb_random random;
  size_t found = 99;
  fb_random_seed(&random, 3);
  assert_int_equal(
      fb_changes_find(series, count, options, &random, NULL, changes, CAP, &found, NULL), FB_OK);
  return found;
}

/* Sum of twelve: nearly normal, sd 1. */
static double S_normal(fb_random *random) {
  double sum = -6;
  for (int i = 0; i < 12; i++) sum += fb_random_unit(random);
  return sum;
}

static void S_levels(void **state) {
  (void)state;
  double series[90];
  fb_random random;
  fb_change changes[CAP];
  fb_random_seed(&random, 1);
  for (int i = 0; i < 90; i++) series[i] = (i < 30 ? 100 : i < 60 ? 110 : 95) + S_normal(&random);
  series[10] = 1000; /* one spike is no level */
  assert_int_equal(S_find(series, 90, NULL, changes), 2);
  assert_int_equal(changes[0].at, 30);
  assert_int_equal(changes[1].at, 60);
  assert_true(fabs(changes[0].before - 100) < 1 && fabs(changes[0].after - 110) < 1);
  assert_true(fabs(changes[1].before - 110) < 1 && fabs(changes[1].after - 95) < 1);
  assert_true(changes[0].p <= 0.002);
  /* The first is 10 %, the second 15.8 %: leaving out below 12 % joins the first two levels. */
  assert_int_equal(S_find(series, 90, &(fb_change_options){.smallest = 0.12}, changes), 1);
  assert_int_equal(changes[0].at, 60);
  assert_true(changes[0].before > 100 && changes[0].before < 110);
}

static void S_without_change(void **state) {
  (void)state;
  double flat[40], short_one[] = {1, 1, 1, 1, 9, 9, 9, 9, 9};
  fb_change changes[CAP];
  for (int i = 0; i < 40; i++) flat[i] = 5;
  assert_int_equal(S_find(flat, 40, NULL, changes), 0);
  assert_int_equal(S_find(flat, 0, NULL, changes), 0);
  assert_int_equal(S_find(short_one, 9, NULL, changes), 0); /* five on each side are needed */
}

static void S_refused(void **state) {
  (void)state;
  static double many[FB_SERIES_MAX + 1];
  double bad[] = {1, NAN};
  fb_random random;
  fb_change changes[CAP];
  size_t found;
  fb_random_seed(&random, 1);
  assert_int_equal(
      fb_changes_find(many, FB_SERIES_MAX + 1, NULL, &random, NULL, changes, CAP, &found, NULL),
      FB_E_LIMIT);
  assert_int_equal(fb_changes_find(bad, 2, NULL, &random, NULL, changes, CAP, &found, NULL),
                   FB_E_PROOF_SAMPLES);
  assert_int_equal(fb_changes_find(many, 20, &(fb_change_options){.least = 1}, &random, NULL,
                                   changes, CAP, &found, NULL),
                   FB_E_PROOF_SAMPLES);
}

/* Independent points without a change: alarms as often as the significance says. */
static void S_false_alarms(void **state) {
  (void)state;
  fb_random random;
  fb_change changes[CAP];
  fb_random_seed(&random, 9);
  int alarms = 0;
  for (int round = 0; round < 2000; round++) {
    double series[30];
    for (int i = 0; i < 30; i++) series[i] = 100 + S_normal(&random);
    size_t found;
    fb_change_options options = {.significance = 0.05, .rounds = 99};
    assert_int_equal(
        fb_changes_find(series, 30, &options, &random, NULL, changes, CAP, &found, NULL), FB_OK);
    alarms += found > 0;
  }
  print_message("# alarms at 5 %%: %.1f %%\n", alarms / 20.0);
  assert_in_range(alarms, 60, 135);
}

/* ── Recorded noise ── */

enum { POINTS = 40, VALUES = 4000 };

static size_t S_read(const char *workload, double *values) {
  char line[200];
  size_t count = 0, len = strlen(workload);
  FILE *file = fopen(FB_TEST_CASES "/../data/noise.csv", "r");
  assert_non_null(file);
  while (count < VALUES && fgets(line, sizeof line, file)) {
    char *at = strchr(line, ','), *last = strrchr(line, ',');
    if (at && !strncmp(at + 1, workload, len) && at[1 + len] == ',')
      values[count++] = strtod(last + 1, NULL);
  }
  fclose(file);
  return count;
}

static void S_noise(const char *workload, double shift, size_t *ret_windows, size_t *ret_found,
                    size_t *ret_alarms) {
  static double values[VALUES];
  size_t count = S_read(workload, values);
  fb_random random;
  fb_random_seed(&random, 1);
  assert_true(count >= 1000);
  *ret_windows = *ret_found = *ret_alarms = 0;
  for (size_t first = 0; first + POINTS <= count; first += 5) {
    double window[POINTS];
    fb_change changes[CAP];
    size_t at = POINTS / 4 + fb_random_below(&random, POINTS / 2), found, hits = 0;
    for (size_t i = 0; i < POINTS; i++) window[i] = values[first + i] * (i >= at ? 1 + shift : 1);
    fb_change_options options = {.smallest = 0.02};
    assert_int_equal(
        fb_changes_find(window, POINTS, &options, &random, NULL, changes, CAP, &found, NULL),
        FB_OK);
    for (size_t i = 0; i < found; i++) hits += changes[i].at + 3 >= at && changes[i].at <= at + 3;
    ++*ret_windows;
    *ret_found += hits > 0;
    *ret_alarms += found > 0;
  }
}

static void S_recorded_noise(void **state) {
  (void)state;
  static const char *const workloads[] = {"sort", "hash"};
  for (size_t i = 0; i < 2; i++) {
    size_t windows, found, alarms, none;
    S_noise(workloads[i], 0, &windows, &found, &alarms);
    S_noise(workloads[i], 0.05, &windows, &found, &none);
    print_message("# %s: %zu of %zu shifts of 5 %%, %zu alarms\n", workloads[i], found, windows,
                  alarms);
    assert_true(found * 100 >= windows * 95);
    assert_true(alarms * 100 <= windows);
  }
}

/* ── Comparing ── */

static fb_bench_result S_result(const double *samples, size_t count, fb_direction direction) {
  return (fb_bench_result){.bench = FB_SLICE("b"),
                           .workload = FB_SLICE("w"),
                           .metric = FB_SLICE("m"),
                           .direction = direction,
                           .samples = samples,
                           .count = count};
}

static fb_comparison S_compare(double factor, fb_direction direction, size_t count,
                               double threshold, bool exact) {
  double a[100], b[100];
  fb_random random;
  fb_random_seed(&random, 4);
  for (size_t i = 0; i < count; i++) {
    a[i] = 100 + S_normal(&random);
    b[i] = factor * (100 + S_normal(&random));
  }
  fb_bench_result x = S_result(a, count, direction), y = S_result(b, count, direction);
  fb_compare_options options = {.threshold = threshold, .exact = exact};
  fb_comparison c;
  assert_int_equal(fb_compare(&x, &y, &options, &random, NULL, &c, NULL), FB_OK);
  return c;
}

static void S_comparing(void **state) {
  (void)state;
  fb_comparison c = S_compare(1.1, FB_LESS_IS_BETTER, 30, 0.05, false);
  assert_int_equal(c.verdict, FB_COMPARED_WORSE);
  assert_true(c.interval.low < 0.1 && c.interval.high > 0.1 && c.probability > 0.99);
  c = S_compare(1.1, FB_MORE_IS_BETTER, 30, 0.05, false);
  assert_int_equal(c.verdict, FB_COMPARED_BETTER);
  assert_true(c.worse < -0.08 && c.probability < 0.01);
  c = S_compare(0.9, FB_MORE_IS_BETTER, 30, 0.05, false);
  assert_int_equal(c.verdict, FB_COMPARED_WORSE);
  assert_true(fabs(c.worse - 0.1) < 0.01); /* a tenth of the throughput is lost */
  c = S_compare(1, FB_LESS_IS_BETTER, 30, 0.05, false);
  assert_int_equal(c.verdict, FB_COMPARED_SAME);
  c = S_compare(1.05, FB_LESS_IS_BETTER, 30, 0.05, false);
  assert_int_equal(c.verdict, FB_COMPARED_UNCLEAR);
  c = S_compare(2, FB_LESS_IS_BETTER, 5, 0.05, false);
  assert_int_equal(c.verdict, FB_COMPARED_NOT_MEASURED);
  c = S_compare(2, FB_LESS_IS_BETTER, 1, 0.05, true);
  assert_int_equal(c.verdict, FB_COMPARED_WORSE);
}

/* Runs differ by 3 %, samples within a run by 0.1 %: only the past of many runs knows. */
static void S_against_runs(void **state) {
  (void)state;
  double samples[13][10];
  fb_history_point points[12] = {{{0}, 0, 0, NULL, 0}};
  fb_random random;
  fb_random_seed(&random, 8);
  for (int run = 0; run < 13; run++) {
    double level = 100 + 3 * S_normal(&random);
    if (run == 12) level = 104;
    for (int i = 0; i < 10; i++) samples[run][i] = level * (1 + 0.001 * S_normal(&random));
    if (run < 12)
      points[run] =
          (fb_history_point){.median = level, .count = 10, .kept = 10, .samples = samples[run]};
  }
  fb_history_series past = {.points = points, .count = 12};
  fb_bench_result now = S_result(samples[12], 10, FB_LESS_IS_BETTER);
  fb_compare_options options = {.threshold = 0.02};
  fb_comparison c;
  assert_int_equal(fb_compare_history(&past, &now, &options, &random, NULL, &c, NULL), FB_OK);
  assert_int_equal(c.verdict, FB_COMPARED_UNCLEAR);
  for (int i = 0; i < 10; i++) samples[12][i] *= 1.2;
  assert_int_equal(fb_compare_history(&past, &now, &options, &random, NULL, &c, NULL), FB_OK);
  assert_int_equal(c.verdict, FB_COMPARED_WORSE);
  past.count = 0;
  assert_int_equal(fb_compare_history(&past, &now, &options, &random, NULL, &c, NULL),
                   FB_E_PROOF_SAMPLES);
}

/* What is said to be visible is found nearly always, and half of that seldom. */
static void S_visible(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 2);
  int large = 0, small = 0;
  for (int round = 0; round < 100; round++) {
    double series[40], smallest;
    fb_change changes[CAP];
    for (int half = 0; half < 2; half++) {
      for (int i = 0; i < 40; i++) series[i] = 100 + S_normal(&random);
      assert_int_equal(fb_smallest_change(series, 40, 20, NULL, &smallest, NULL), FB_OK);
      for (int i = 20; i < 40; i++) series[i] *= 1 + smallest / (half ? 3 : 1);
      *(half ? &small : &large) += S_find(series, 40, NULL, changes) > 0;
    }
  }
  print_message("# visible: %d of 100; a third of it: %d\n", large, small);
  assert_true(large >= 85 && small <= 40);
}

static bool S_all(const fb_allocator *allocator) {
  double series[12] = {1, 1.1, 1.2, 1, 1.1, 1.2, 3, 3.1, 3.2, 3, 3.1, 3.2}, smallest;
  fb_random random;
  fb_change changes[CAP];
  size_t found;
  fb_comparison c;
  fb_compare_options options = {.threshold = 0.05, .resamples = 10};
  fb_history_point points[6];
  fb_random_seed(&random, 1);
  for (int i = 0; i < 6; i++)
    points[i] = (fb_history_point){.median = series[i], .samples = series, .count = 6, .kept = 6};
  fb_history_series past = {.points = points, .count = 6};
  fb_bench_result a = S_result(series, 6, FB_LESS_IS_BETTER),
                  b = S_result(series + 6, 6, FB_LESS_IS_BETTER);
  return fb_changes_find(series, 12, NULL, &random, allocator, changes, CAP, &found, NULL) ==
             FB_OK &&
         fb_compare(&a, &b, &options, &random, allocator, &c, NULL) == FB_OK &&
         fb_compare_history(&past, &b, &options, &random, allocator, &c, NULL) == FB_OK &&
         fb_smallest_change(series, 12, 5, allocator, &smallest, NULL) == FB_OK;
}

static void S_torture(void **state) {
  (void)state;
  fb_test_each_failure(S_all);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(S_levels),         cmocka_unit_test(S_without_change),
      cmocka_unit_test(S_refused),        cmocka_unit_test(S_false_alarms),
      cmocka_unit_test(S_recorded_noise), cmocka_unit_test(S_comparing),
      cmocka_unit_test(S_against_runs),   cmocka_unit_test(S_visible),
      cmocka_unit_test(S_torture),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
