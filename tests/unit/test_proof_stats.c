/* SPDX-License-Identifier: Apache-2.0
 * The statistics: against numbers worked out by hand, against counting all cases, and by their coverage. */
#include "test.h"

#include <flyball/proof.h>

#include <math.h>

static void S_near(double x, double y, int line) {
  if (fabs(x - y) <= 1e-9 * fmax(1, fabs(y))) return;
  fail_msg("line %d: %.17g is not %.17g", line, x, y);
}
#define NEAR(x, y) S_near(x, y, __LINE__)

static void S_quantiles(void **state) {
  (void)state;
  double one[] = {7}, four[] = {1, 2, 4, 8};
  NEAR(fb_samples_quantile(one, 1, 0), 7);
  NEAR(fb_samples_quantile(one, 1, 1), 7);
  NEAR(fb_samples_quantile(four, 4, 0), 1);
  NEAR(fb_samples_quantile(four, 4, 1), 8);
  NEAR(fb_samples_quantile(four, 4, 0.5), 3);
  NEAR(fb_samples_quantile(four, 4, 0.25), 1.75); /* 0.75 of the way from 1 to 2 */
  NEAR(fb_samples_quantile(four, 4, 0.9), 6.8);   /* at 2.7 */
}

static void S_summary(void **state) {
  (void)state;
  double samples[] = {9, 2, 4, 4, 5, 4, 7, 5};
  fb_summary s;
  assert_int_equal(fb_summarize(samples, 8, NULL, &s, NULL), FB_OK);
  NEAR(s.mean, 5);
  NEAR(s.sd, sqrt(32.0 / 7));
  NEAR(s.median, 4.5);
  NEAR(s.mad, 0.5); /* distances .5 .5 .5 .5 .5 2.5 2.5 4.5 */
  NEAR(s.q1, 4);
  NEAR(s.q3, 5.5);
  assert_int_equal(s.outliers.high_mild, 1); /* 9 > 5.5 + 2.25, not > 5.5 + 4.5 */
  assert_int_equal(s.outliers.low_mild, 0);
  assert_true(samples[0] == 9 && samples[1] == 2); /* left as they were */
}

static void S_outlier_classes(void **state) {
  (void)state;
  /* quartiles 10 and 14, range 4: fences at -2, 4, 20, 26 */
  double sorted[] = {-3, 3, 10, 10, 11, 12, 13, 14, 14, 21, 27};
  fb_outliers o = fb_outliers_of(sorted, 11);
  assert_int_equal(o.low_severe, 1);
  assert_int_equal(o.low_mild, 1);
  assert_int_equal(o.high_mild, 1);
  assert_int_equal(o.high_severe, 1);
  o = fb_outliers_of(sorted, 0);
  assert_int_equal(o.low_severe + o.low_mild + o.high_mild + o.high_severe, 0);
}

static void S_refusals(void **state) {
  (void)state;
  double bad[] = {1, NAN, 2}, good[] = {1, 2, 3}, zero[] = {0, 0, 0};
  fb_summary s;
  fb_bootstrap b;
  fb_random random;
  fb_error err;
  double p;
  fb_random_seed(&random, 1);
  assert_int_equal(fb_summarize(bad, 3, NULL, &s, &err), FB_E_PROOF_SAMPLES);
  assert_string_equal(err.text, "sample 2 is no finite number");
  assert_int_equal(fb_summarize(good, 0, NULL, &s, &err), FB_E_PROOF_SAMPLES);
  assert_int_equal(fb_summarize(good, (size_t)FB_SAMPLES_MAX + 1, NULL, &s, &err), FB_E_LIMIT);
  assert_int_equal(fb_bootstrap_ratio(good, 3, good, 2, true, 0, &random, NULL, &b, &err),
                   FB_E_PROOF_SAMPLES);
  assert_int_equal(fb_bootstrap_ratio(zero, 3, good, 3, false, 0, &random, NULL, &b, &err),
                   FB_E_PROOF_SAMPLES);
  assert_int_equal(fb_bootstrap_median(good, 3, 10000000, &random, NULL, &b, &err), FB_E_LIMIT);
  assert_int_equal(fb_permutation_test(good, 3, good, 2, true, 9, &random, NULL, &p, &err),
                   FB_E_PROOF_SAMPLES);
}

/* ── Ranks ── */

static void S_ranks_by_hand(void **state) {
  (void)state;
  double a[] = {1, 2, 3}, b[] = {4, 5, 6};
  fb_rank_test t;
  assert_int_equal(fb_rank_test_of(a, 3, b, 3, NULL, &t, NULL), FB_OK);
  assert_true(t.exact);
  NEAR(t.u, 9);
  NEAR(t.cliff, 1);
  NEAR(t.p, 2.0 / 20); /* one of the 20 arrangements, two sides */
  assert_int_equal(fb_rank_test_of(b, 3, a, 3, NULL, &t, NULL), FB_OK);
  NEAR(t.u, 0);
  NEAR(t.cliff, -1);
  NEAR(t.p, 0.1);
  /* With ties: U = 0.5+1+1+1 + … by hand 13; σ² = 16/12 (9 - 60/56), z = (13 - 8 - .5) / σ */
  double c[] = {1, 2, 2, 3}, d[] = {2, 3, 4, 5};
  assert_int_equal(fb_rank_test_of(c, 4, d, 4, NULL, &t, NULL), FB_OK);
  assert_false(t.exact);
  NEAR(t.u, 13.5);
  double ties = 24 + 6; /* three 2s, two 3s */
  NEAR(t.p, erfc((13.5 - 8 - 0.5) / sqrt(16.0 / 12 * (9 - ties / 56)) / sqrt(2)));
  double same[] = {5, 5, 5};
  assert_int_equal(fb_rank_test_of(same, 3, same, 3, NULL, &t, NULL), FB_OK);
  NEAR(t.p, 1);
  NEAR(t.cliff, 0);
}

static double S_u_of_mask(unsigned mask, unsigned total) {
  double u = 0;
  for (unsigned i = 0; i < total; i++)
    for (unsigned j = 0; j < i; j++)
      if ((mask >> i & 1) && !(mask >> j & 1)) u++;
  return u;
}

/* Every arrangement of 4 and 5 samples, counted. */
static void S_exact_p_by_counting(void **state) {
  (void)state;
  for (unsigned mask = 0; mask < 512; mask++) {
    if (__builtin_popcount(mask) != 5) continue;
    double a[4], b[5], u = S_u_of_mask(mask, 9);
    size_t a_count = 0, b_count = 0, extreme = 0, all = 0;
    for (unsigned i = 0; i < 9; i++) *(mask >> i & 1 ? &b[b_count++] : &a[a_count++]) = i;
    for (unsigned other = 0; other < 512; other++) {
      if (__builtin_popcount(other) != 5) continue;
      all++;
      extreme += fabs(S_u_of_mask(other, 9) - 10) >= fabs(u - 10);
    }
    fb_rank_test t;
    assert_int_equal(fb_rank_test_of(a, 4, b, 5, NULL, &t, NULL), FB_OK);
    NEAR(t.u, u);
    NEAR(t.p, fmin(1, u == 10 ? 1 : (double)extreme / (double)all));
  }
}

static void S_cliff_by_pairs(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 7);
  for (int round = 0; round < 200; round++) {
    double a[30], b[40];
    size_t n = 1 + fb_random_below(&random, 30), m = 1 + fb_random_below(&random, 40);
    double more = 0;
    for (size_t i = 0; i < n; i++) a[i] = (double)fb_random_below(&random, 10);
    for (size_t i = 0; i < m; i++) b[i] = (double)fb_random_below(&random, 12);
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < m; j++) more += (b[j] > a[i]) - (b[j] < a[i]);
    fb_rank_test t;
    assert_int_equal(fb_rank_test_of(a, n, b, m, NULL, &t, NULL), FB_OK);
    NEAR(t.cliff, more / (double)(n * m));
    assert_true(t.p > 0 && t.p <= 1);
  }
}

/* ── Resampling ── */

static double S_exponential(fb_random *random) {
  return -log(1 - fb_random_unit(random));
}

/* Skewed samples, whose true median is known: ln 2. */
static void S_median_coverage(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 11);
  for (size_t count = 10; count <= 40; count += 15) {
    int covered = 0, rounds = 1000;
    for (int round = 0; round < rounds; round++) {
      double samples[40];
      fb_bootstrap b;
      for (size_t i = 0; i < count; i++) samples[i] = S_exponential(&random);
      assert_int_equal(fb_bootstrap_median(samples, count, 500, &random, NULL, &b, NULL), FB_OK);
      fb_interval in = fb_bootstrap_interval(&b, 0.95);
      covered += in.low <= log(2) && log(2) <= in.high;
      fb_bootstrap_release(&b);
    }
    print_message("# median of %zu: %.1f %% of the 95 %% intervals cover\n", count,
                  100.0 * covered / rounds);
    assert_in_range(covered, 930, 980);
  }
}

/* b is 1.1 × a in truth. Paired: both share a disturbance that changes from pair to pair. */
static int S_ratio_round(fb_random *random, bool paired, bool shared, double *ret_width) {
  double a[30], b[30];
  fb_bootstrap made;
  for (size_t i = 0; i < 30; i++) {
    double disturbance = shared ? 1 + 0.5 * fb_random_unit(random) : 1;
    a[i] = disturbance * (100 + S_exponential(random));
    b[i] = disturbance * 1.1 * (100 + S_exponential(random));
  }
  assert_int_equal(fb_bootstrap_ratio(a, 30, b, 30, paired, 500, random, NULL, &made, NULL), FB_OK);
  fb_interval in = fb_bootstrap_interval(&made, 0.95);
  fb_bootstrap_release(&made);
  *ret_width += in.high - in.low;
  return in.low <= 1.1 && 1.1 <= in.high;
}

static void S_ratio_coverage(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 13);
  int plain = 0, paired = 0, apart = 0;
  double width[3] = {0};
  for (int round = 0; round < 1000; round++) {
    plain += S_ratio_round(&random, false, false, &width[0]);
    paired += S_ratio_round(&random, true, true, &width[1]);
    apart += S_ratio_round(&random, false, true, &width[2]);
  }
  print_message(
      "# ratio: %.1f %% alone, %.1f %% in pairs cover; mean width %.4f, of the same pairs "
      "taken apart %.4f\n",
      plain / 10.0, paired / 10.0, width[1] / 1000, width[2] / 1000);
  assert_in_range(plain, 930, 980);
  assert_in_range(paired, 930, 980);
  assert_true(apart >= paired && width[1] < width[2] / 3); /* what pairing is for */
}

static void S_bootstrap_reads(void **state) {
  (void)state;
  double replicates[] = {1, 2, 2, 3, 4};
  fb_bootstrap b = {.estimate = 2, .replicates = replicates, .count = 5};
  NEAR(fb_bootstrap_above(&b, 0), 1);
  NEAR(fb_bootstrap_above(&b, 2), 0.4);
  NEAR(fb_bootstrap_above(&b, 4), 0);
  fb_interval in = fb_bootstrap_interval(&b, 0.5);
  NEAR(in.low, 2);
  NEAR(in.high, 3);
  /* 9 degrees: t = 2.262, times sqrt(10/9) = 2.384, beyond which lie 0.0085 of a normal distribution. */
  double even[10001];
  for (int i = 0; i <= 10000; i++) even[i] = i / 10000.0;
  b = (fb_bootstrap){.replicates = even, .count = 10001, .samples = 10};
  in = fb_bootstrap_interval(&b, 0.95);
  assert_true(fabs(in.low - 0.0085) < 0.0003 && fabs(in.high - 0.9915) < 0.0003);
  b.samples = 1000000;
  in = fb_bootstrap_interval(&b, 0.95);
  assert_true(fabs(in.low - 0.025) < 1e-6 && fabs(in.high - 0.975) < 1e-6);
}

static void S_same_seed_same_answer(void **state) {
  (void)state;
  double a[] = {3, 1, 4, 1, 5, 9, 2, 6};
  fb_interval first = {0}, second = {0};
  for (int i = 0; i < 2; i++) {
    fb_random random;
    fb_bootstrap b;
    fb_random_seed(&random, 42);
    assert_int_equal(fb_bootstrap_median(a, 8, 100, &random, NULL, &b, NULL), FB_OK);
    NEAR(b.estimate, 3.5);
    *(i ? &second : &first) = fb_bootstrap_interval(&b, 0.9);
    fb_bootstrap_release(&b);
  }
  assert_true(first.low == second.low && first.high == second.high);
}

static void S_permutation(void **state) {
  (void)state;
  double a[] = {1, 2, 3, 4, 5, 6}, b[] = {11, 12, 13, 14, 15, 16}, p;
  fb_random random;
  fb_random_seed(&random, 5);
  assert_int_equal(fb_permutation_test(a, 6, b, 6, false, 20000, &random, NULL, &p, NULL), FB_OK);
  assert_true(p < 0.02); /* counted over all 924: medians as far apart only in the 2 + those tied */
  assert_int_equal(fb_permutation_test(a, 6, b, 6, true, 20000, &random, NULL, &p, NULL), FB_OK);
  assert_true(p < 0.25);
  assert_int_equal(fb_permutation_test(a, 6, a, 6, true, 200, &random, NULL, &p, NULL), FB_OK);
  NEAR(p, 1);
  int small = 0; /* under no difference, p ≤ 0.05 in at most 5 of 100 */
  for (int round = 0; round < 1000; round++) {
    double x[12], y[12];
    for (int i = 0; i < 12; i++) {
      x[i] = S_exponential(&random);
      y[i] = S_exponential(&random);
    }
    assert_int_equal(fb_permutation_test(x, 12, y, 12, false, 199, &random, NULL, &p, NULL), FB_OK);
    small += p <= 0.05;
  }
  print_message("# permutation: p <= 0.05 in %.1f %% without a difference\n", small / 10.0);
  assert_in_range(small, 25, 70);
}

static bool S_all(const fb_allocator *allocator) {
  double a[] = {3, 1, 4, 1, 5, 9}, b[] = {2, 7, 1, 8, 2, 8}, p;
  fb_random random;
  fb_summary s;
  fb_rank_test t;
  fb_bootstrap made;
  fb_random_seed(&random, 1);
  if (fb_summarize(a, 6, allocator, &s, NULL) != FB_OK) return false;
  if (fb_rank_test_of(a, 6, b, 6, allocator, &t, NULL) != FB_OK) return false;
  if (fb_permutation_test(a, 6, b, 6, false, 9, &random, allocator, &p, NULL) != FB_OK)
    return false;
  if (fb_bootstrap_median(a, 6, 9, &random, allocator, &made, NULL) != FB_OK) return false;
  fb_bootstrap_release(&made);
  if (fb_bootstrap_ratio(a, 6, b, 6, true, 9, &random, allocator, &made, NULL) != FB_OK)
    return false;
  fb_bootstrap_release(&made);
  return true;
}

static void S_torture(void **state) {
  (void)state;
  fb_test_each_failure(S_all);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(S_quantiles),
      cmocka_unit_test(S_summary),
      cmocka_unit_test(S_outlier_classes),
      cmocka_unit_test(S_refusals),
      cmocka_unit_test(S_ranks_by_hand),
      cmocka_unit_test(S_exact_p_by_counting),
      cmocka_unit_test(S_cliff_by_pairs),
      cmocka_unit_test(S_median_coverage),
      cmocka_unit_test(S_ratio_coverage),
      cmocka_unit_test(S_bootstrap_reads),
      cmocka_unit_test(S_same_seed_same_answer),
      cmocka_unit_test(S_permutation),
      cmocka_unit_test(S_torture),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
