/* SPDX-License-Identifier: Apache-2.0
 * Summaries of samples and tests by rank. */
#include "proof/stats.h"

#include <math.h>
#include <stdlib.h>

static int S_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

void fb_samples_sort(double *samples, size_t count) {
  if (count > 1) qsort(samples, count, sizeof *samples, S_compare);
}

static int S_compare_places(const void *a, const void *b) {
  const fb_place *x = a, *y = b;
  int order = (x->value > y->value) - (x->value < y->value);
  return order ? order : (x->at > y->at) - (x->at < y->at);
}

void fb_places_sort(fb_place *places, size_t count) {
  if (count > 1) qsort(places, count, sizeof *places, S_compare_places);
}

fb_status fb_samples_check(const double *samples, size_t count, size_t least, fb_error *err) {
  if (count < least)
    return fb_fail(err, FB_E_PROOF_SAMPLES, "%zu samples, and at least %zu are needed", count,
                   least);
  if (count > FB_SAMPLES_MAX)
    return fb_fail(err, FB_E_LIMIT, "%zu samples are more than the %d that are admitted", count,
                   FB_SAMPLES_MAX);
  for (size_t i = 0; i < count; i++)
    if (!isfinite(samples[i]))
      return fb_fail(err, FB_E_PROOF_SAMPLES, "sample %zu is no finite number", i + 1);
  return FB_OK;
}

double fb_samples_quantile(const double *sorted, size_t count, double q) {
  double at = q * (double)(count - 1);
  size_t below = (size_t)at;
  if (below + 1 >= count) return sorted[count - 1];
  double part = at - (double)below;
  return sorted[below] * (1 - part) + sorted[below + 1] * part;
}

fb_outliers fb_outliers_of(const double *sorted, size_t count) {
  fb_outliers found = {0};
  if (count == 0) return found;
  double q1 = fb_samples_quantile(sorted, count, 0.25),
         q3 = fb_samples_quantile(sorted, count, 0.75);
  double range = q3 - q1;
  for (size_t i = 0; i < count; i++) {
    double x = sorted[i];
    if (x < q1 - 3 * range)
      found.low_severe++;
    else if (x < q1 - 1.5 * range)
      found.low_mild++;
    else if (x > q3 + 3 * range)
      found.high_severe++;
    else if (x > q3 + 1.5 * range)
      found.high_mild++;
  }
  return found;
}

/* Welford: no loss where the mean is large and the spread small. */
static void S_moments(fb_summary *summary, const double *samples, size_t count) {
  double mean = 0, squares = 0;
  for (size_t i = 0; i < count; i++) {
    double delta = samples[i] - mean;
    mean += delta / (double)(i + 1);
    squares += delta * (samples[i] - mean);
  }
  summary->mean = mean;
  summary->sd = count > 1 ? sqrt(squares / (double)(count - 1)) : 0;
}

fb_status fb_summarize(const double *samples, size_t count, const fb_allocator *allocator,
                       fb_summary *ret, fb_error *err) {
  fb_status status = fb_samples_check(samples, count, 1, err);
  if (status != FB_OK) return status;
  size_t bytes = count * sizeof *samples;
  double *sorted = fb_alloc(allocator, bytes);
  if (!sorted) return fb_fail(err, FB_E_NOMEM, "no memory to sort %zu samples", count);
  memcpy(sorted, samples, bytes);
  fb_samples_sort(sorted, count);
  fb_summary summary = {.count = count,
                        .min = sorted[0],
                        .q1 = fb_samples_quantile(sorted, count, 0.25),
                        .median = fb_samples_quantile(sorted, count, 0.5),
                        .q3 = fb_samples_quantile(sorted, count, 0.75),
                        .max = sorted[count - 1],
                        .outliers = fb_outliers_of(sorted, count)};
  S_moments(&summary, sorted, count);
  for (size_t i = 0; i < count; i++) sorted[i] = fabs(sorted[i] - summary.median);
  fb_samples_sort(sorted, count);
  summary.mad = fb_samples_quantile(sorted, count, 0.5);
  fb_free(allocator, sorted, bytes);
  *ret = summary;
  return FB_OK;
}

/* ── Ranks ── */

/* Exact p needs a table of a_count × b_count + 1 counts. */
enum { EXACT_SIDE_MAX = 20, EXACT_TABLE = EXACT_SIDE_MAX * EXACT_SIDE_MAX + 1 };

typedef struct S_ranks {
  double u;    /* pairs with b above a, ties half */
  double ties; /* Σ t³ - t over groups of equal values */
} S_ranks;

/* Of the pooled samples, sorted; places below a_count are a's. */
static S_ranks S_count_ranks(const fb_place *pool, size_t a_count, size_t total) {
  S_ranks ranks = {0};
  double a_below = 0;
  for (size_t first = 0, last; first < total; first = last) {
    double a_here = 0, here;
    for (last = first; last < total && pool[last].value == pool[first].value; last++)
      a_here += pool[last].at < a_count;
    here = (double)(last - first);
    ranks.u += (here - a_here) * (a_below + a_here / 2);
    ranks.ties += here * here * here - here;
    a_below += a_here;
  }
  return ranks;
}

/* P(U ≤ u) without ties: the numbers of arrangements with each u are the coefficients of
 * Π (1 - x^(m+i)) / (1 - x^i), i = 1 … n. They stay below 2^53. */
static double S_exact_below(size_t n, size_t m, size_t u) {
  double ways[EXACT_TABLE] = {1}, all = 0, below = 0;
  size_t top = n * m;
  for (size_t i = 1; i <= n; i++) {
    for (size_t k = top; k >= m + i; k--) ways[k] -= ways[k - m - i];
    for (size_t k = i; k <= top; k++) ways[k] += ways[k - i];
  }
  for (size_t k = 0; k <= top; k++) {
    all += ways[k];
    if (k <= u) below += ways[k];
  }
  return below / all;
}

static double S_normal_p(double u, double n, double m, double ties) {
  double total = n + m, mean = n * m / 2;
  double variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)));
  if (variance <= 0) return 1; /* all are equal */
  double far = fabs(u - mean) - 0.5;
  return far <= 0 ? 1 : erfc(far / sqrt(variance) / sqrt(2));
}

fb_status fb_rank_test_of(const double *a, size_t a_count, const double *b, size_t b_count,
                          const fb_allocator *allocator, fb_rank_test *ret, fb_error *err) {
  fb_status status = fb_samples_check(a, a_count, 1, err);
  if (status == FB_OK) status = fb_samples_check(b, b_count, 1, err);
  if (status != FB_OK) return status;
  size_t total = a_count + b_count, bytes = total * sizeof(fb_place);
  fb_place *pool = fb_alloc(allocator, bytes);
  if (!pool) return fb_fail(err, FB_E_NOMEM, "no memory to rank %zu samples", total);
  for (size_t i = 0; i < total; i++)
    pool[i] = (fb_place){i < a_count ? a[i] : b[i - a_count], (uint32_t)i};
  fb_places_sort(pool, total);
  S_ranks ranks = S_count_ranks(pool, a_count, total);
  fb_free(allocator, pool, bytes);
  double pairs = (double)a_count * (double)b_count;
  fb_rank_test test = {.u = ranks.u, .cliff = 2 * ranks.u / pairs - 1};
  test.exact = ranks.ties == 0 && a_count <= EXACT_SIDE_MAX && b_count <= EXACT_SIDE_MAX;
  if (test.exact) {
    double less = ranks.u < pairs - ranks.u ? ranks.u : pairs - ranks.u;
    test.p = fmin(1, 2 * S_exact_below(a_count, b_count, (size_t)less));
  } else {
    test.p = S_normal_p(ranks.u, (double)a_count, (double)b_count, ranks.ties);
  }
  *ret = test;
  return FB_OK;
}
