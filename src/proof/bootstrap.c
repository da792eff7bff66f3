/* SPDX-License-Identifier: Apache-2.0
 * Resampling: what else might have come out. A resample is a count for each sample; its median is found by
 * walking the samples in order until half of the counts are passed, so no resample is ever sorted. */
#include "proof/stats.h"

#include <float.h>
#include <math.h>

enum { RESAMPLES_MAX = 1000000 };

/* One side: its samples in ascending order. */
typedef struct S_side {
  fb_place *order;
  size_t count;
} S_side;

/* Scratch of one call, in one block. */
typedef struct S_work {
  S_side a, b;
  uint32_t *counts; /* how often each sample was drawn, by place */
  void *block;
  size_t bytes;
} S_work;

static void S_side_fill(S_side *side, const double *samples, size_t count, fb_place *into) {
  for (size_t i = 0; i < count; i++) into[i] = (fb_place){samples[i], (uint32_t)i};
  fb_places_sort(into, count);
  *side = (S_side){into, count};
}

static fb_status S_work_init(S_work *work, const double *a, size_t a_count, const double *b,
                             size_t b_count, const fb_allocator *allocator, fb_error *err) {
  size_t total = a_count + b_count;
  work->bytes = total * (sizeof(fb_place) + sizeof(uint32_t));
  work->block = fb_alloc(allocator, work->bytes);
  if (!work->block) return fb_fail(err, FB_E_NOMEM, "no memory to resample %zu samples", total);
  fb_place *places = work->block;
  work->counts = (uint32_t *)(void *)(places + total);
  S_side_fill(&work->a, a, a_count, places);
  S_side_fill(&work->b, b, b_count, places + a_count);
  return FB_OK;
}

/* Two draws of 32 bits from each number. A place's chance is off by count / 2^32 of itself at most: a
 * thousandth for the largest sample admitted, far below what resampling resolves. */
static void S_draw(uint32_t *counts, size_t count, fb_random *random) {
  memset(counts, 0, count * sizeof *counts);
  for (size_t i = 0; i < count; i += 2) {
    uint64_t bits = fb_random_u64(random);
    counts[(uint32_t)bits * (uint64_t)count >> 32]++;
    if (i + 1 < count) counts[(bits >> 32) * (uint64_t)count >> 32]++;
  }
}

/* The median of a resample: the middle one, or the mean of the middle two. */
static double S_median(S_side side, const uint32_t *counts) {
  size_t low = (side.count - 1) / 2, high = side.count / 2, passed = 0, i = 0;
  for (; i < side.count; i++) {
    passed += counts[side.order[i].at];
    if (passed > low) break;
  }
  double below = side.order[i].value;
  while (passed <= high) passed += counts[side.order[++i].at];
  return (below + side.order[i].value) / 2;
}

static double S_side_median(S_side side) {
  return (side.order[(side.count - 1) / 2].value + side.order[side.count / 2].value) / 2;
}

static fb_status S_start(fb_bootstrap *bootstrap, size_t resamples, size_t samples,
                         const fb_allocator *allocator, fb_error *err) {
  size_t count = resamples ? resamples : FB_RESAMPLES;
  if (count > RESAMPLES_MAX)
    return fb_fail(err, FB_E_LIMIT, "%zu resamples are more than the %d that are admitted", count,
                   RESAMPLES_MAX);
  *bootstrap = (fb_bootstrap){.count = count, .samples = samples, .allocator = allocator};
  bootstrap->replicates = fb_alloc(allocator, count * sizeof(double));
  if (!bootstrap->replicates) return fb_fail(err, FB_E_NOMEM, "no memory for %zu resamples", count);
  return FB_OK;
}

void fb_bootstrap_release(fb_bootstrap *bootstrap) {
  if (!bootstrap) return;
  fb_free(bootstrap->allocator, bootstrap->replicates, bootstrap->count * sizeof(double));
  *bootstrap = (fb_bootstrap){0};
}

fb_status fb_bootstrap_median(const double *samples, size_t count, size_t resamples,
                              fb_random *random, const fb_allocator *allocator, fb_bootstrap *ret,
                              fb_error *err) {
  S_work work;
  fb_bootstrap made;
  fb_status status = fb_samples_check(samples, count, 1, err);
  if (status == FB_OK) status = S_start(&made, resamples, count, allocator, err);
  if (status != FB_OK) return status;
  status = S_work_init(&work, samples, count, NULL, 0, allocator, err);
  if (status != FB_OK) {
    fb_bootstrap_release(&made);
    return status;
  }
  made.estimate = S_side_median(work.a);
  for (size_t i = 0; i < made.count; i++) {
    S_draw(work.counts, count, random);
    made.replicates[i] = S_median(work.a, work.counts);
  }
  fb_free(allocator, work.block, work.bytes);
  fb_samples_sort(made.replicates, made.count);
  *ret = made;
  return FB_OK;
}

static fb_status S_check_two(const double *a, size_t a_count, const double *b, size_t b_count,
                             bool paired, fb_error *err) {
  fb_status status = fb_samples_check(a, a_count, 1, err);
  if (status == FB_OK) status = fb_samples_check(b, b_count, 1, err);
  if (status == FB_OK && paired && a_count != b_count)
    status = fb_fail(err, FB_E_PROOF_SAMPLES, "%zu and %zu samples are no pairs", a_count, b_count);
  return status;
}

/* A resample may have a median of 0 although the sample has not. Not infinite, so that quantiles between
 * replicates stay numbers. */
static double S_ratio(double a, double b) {
  double ratio = a > 0 ? b / a : DBL_MAX;
  return ratio < DBL_MAX ? ratio : DBL_MAX;
}

static void S_ratio_replicates(fb_bootstrap *made, const S_work *work, fb_random *random) {
  uint32_t *b_counts = work->counts + work->a.count;
  for (size_t i = 0; i < made->count; i++) {
    S_draw(work->counts, work->a.count, random);
    S_draw(b_counts, work->b.count, random);
    made->replicates[i] = S_ratio(S_median(work->a, work->counts), S_median(work->b, b_counts));
  }
  fb_samples_sort(made->replicates, made->count);
}

static fb_status S_ratio_apart(const double *a, size_t a_count, const double *b, size_t b_count,
                               size_t resamples, fb_random *random, const fb_allocator *allocator,
                               fb_bootstrap *ret, fb_error *err) {
  S_work work;
  fb_bootstrap made;
  fb_status status =
      S_start(&made, resamples, a_count < b_count ? a_count : b_count, allocator, err);
  if (status != FB_OK) return status;
  status = S_work_init(&work, a, a_count, b, b_count, allocator, err);
  if (status == FB_OK) {
    double base = S_side_median(work.a), other = S_side_median(work.b);
    if (base > 0 && other > 0) {
      made.estimate = other / base;
      S_ratio_replicates(&made, &work, random);
    } else {
      status = fb_fail(err, FB_E_PROOF_SAMPLES, "a ratio needs medians above 0, not %g and %g",
                       base, other);
    }
    fb_free(allocator, work.block, work.bytes);
  }
  if (status == FB_OK)
    *ret = made;
  else
    fb_bootstrap_release(&made);
  return status;
}

static fb_status S_ratio_paired(const double *a, const double *b, size_t count, size_t resamples,
                                fb_random *random, const fb_allocator *allocator, fb_bootstrap *ret,
                                fb_error *err) {
  double *ratios = fb_alloc(allocator, count * sizeof *ratios);
  if (!ratios) return fb_fail(err, FB_E_NOMEM, "no memory for %zu ratios", count);
  fb_status status = FB_OK;
  for (size_t i = 0; i < count && status == FB_OK; i++) {
    if (a[i] > 0 && b[i] > 0)
      ratios[i] = S_ratio(a[i], b[i]);
    else
      status =
          fb_fail(err, FB_E_PROOF_SAMPLES,
                  "a ratio needs samples above 0, and pair %zu is %g and %g", i + 1, a[i], b[i]);
  }
  if (status == FB_OK)
    status = fb_bootstrap_median(ratios, count, resamples, random, allocator, ret, err);
  fb_free(allocator, ratios, count * sizeof *ratios);
  return status;
}

fb_status fb_bootstrap_ratio(const double *a, size_t a_count, const double *b, size_t b_count,
                             bool paired, size_t resamples, fb_random *random,
                             const fb_allocator *allocator, fb_bootstrap *ret, fb_error *err) {
  fb_status status = S_check_two(a, a_count, b, b_count, paired, err);
  if (status != FB_OK) return status;
  return paired ? S_ratio_paired(a, b, a_count, resamples, random, allocator, ret, err)
                : S_ratio_apart(a, a_count, b, b_count, resamples, random, allocator, ret, err);
}

/* z with P(Z > z) = tail, 0 < tail ≤ 0.5: Newton from above, where it cannot overshoot. */
static double S_normal_above(double tail) {
  double z = 0;
  for (int i = 0; i < 60; i++) {
    double error = erfc(z / M_SQRT2) / 2 - tail, slope = exp(-z * z / 2) / sqrt(2 * M_PI);
    double step = error / slope;
    z += step;
    if (fabs(step) < 1e-12) break;
  }
  return z;
}

/* Student's t for the same tail, by Cornish and Fisher's expansion: within 1 % for 5 degrees and more. */
static double S_student(double z, double degrees) {
  double z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z, n = degrees;
  return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n);
}

/* Hesterberg's expanded percentile. */
static double S_tail(double level, size_t samples) {
  double tail = (1 - level) / 2;
  if (samples < 2 || tail <= 0 || tail >= 0.5) return tail;
  double n = (double)samples;
  return erfc(S_student(S_normal_above(tail), n - 1) * sqrt(n / (n - 1)) / M_SQRT2) / 2;
}

fb_interval fb_bootstrap_interval(const fb_bootstrap *bootstrap, double level) {
  double tail = S_tail(level, bootstrap->samples);
  return (fb_interval){fb_samples_quantile(bootstrap->replicates, bootstrap->count, tail),
                       fb_samples_quantile(bootstrap->replicates, bootstrap->count, 1 - tail)};
}

double fb_bootstrap_above(const fb_bootstrap *bootstrap, double x) {
  size_t low = 0, high = bootstrap->count; /* the first above x */
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (bootstrap->replicates[middle] > x)
      high = middle;
    else
      low = middle + 1;
  }
  return (double)(bootstrap->count - low) / (double)bootstrap->count;
}

/* ── Permutation ── */

/* The pooled samples in order, and for each place whether it is b's in this round. */
typedef struct S_pool {
  fb_place *order;
  uint8_t *in_b;
  size_t a_count, total;
} S_pool;

static double S_group_median(const S_pool *pool, bool b) {
  size_t count = b ? pool->total - pool->a_count : pool->a_count;
  size_t low = (count - 1) / 2, high = count / 2, passed = 0;
  double below = 0;
  for (size_t i = 0;; i++) {
    if (pool->in_b[pool->order[i].at] != b) continue;
    if (passed == low) below = pool->order[i].value;
    if (passed++ == high) return (below + pool->order[i].value) / 2;
  }
}

static double S_difference(const S_pool *pool) {
  return fabs(S_group_median(pool, true) - S_group_median(pool, false));
}

static void S_relabel(S_pool *pool, bool paired, fb_random *random) {
  if (paired) {
    for (size_t i = 0; i < pool->a_count; i++) {
      uint8_t swap = fb_random_u64(random) >> 63;
      pool->in_b[i] = swap;
      pool->in_b[pool->a_count + i] = !swap;
    }
    return;
  }
  for (size_t i = pool->total - 1; i > 0; i--) { /* Fisher and Yates */
    size_t j = fb_random_below(random, i + 1);
    uint8_t held = pool->in_b[i];
    pool->in_b[i] = pool->in_b[j];
    pool->in_b[j] = held;
  }
}

static double S_permute(S_pool *pool, bool paired, size_t rounds, fb_random *random) {
  double seen = S_difference(pool);
  size_t extreme = 0;
  for (size_t i = 0; i < rounds; i++) {
    S_relabel(pool, paired, random);
    extreme += S_difference(pool) >= seen;
  }
  return (double)(1 + extreme) / (double)(1 + rounds);
}

fb_status fb_permutation_test(const double *a, size_t a_count, const double *b, size_t b_count,
                              bool paired, size_t rounds, fb_random *random,
                              const fb_allocator *allocator, double *ret_p, fb_error *err) {
  fb_status status = S_check_two(a, a_count, b, b_count, paired, err);
  if (status != FB_OK) return status;
  if (rounds > RESAMPLES_MAX)
    return fb_fail(err, FB_E_LIMIT, "%zu rounds are more than the %d that are admitted", rounds,
                   RESAMPLES_MAX);
  S_pool pool = {.a_count = a_count, .total = a_count + b_count};
  size_t bytes = pool.total * (sizeof(fb_place) + 1);
  pool.order = fb_alloc(allocator, bytes);
  if (!pool.order) return fb_fail(err, FB_E_NOMEM, "no memory to permute %zu samples", pool.total);
  pool.in_b = (uint8_t *)(pool.order + pool.total);
  for (size_t i = 0; i < pool.total; i++) {
    pool.order[i] = (fb_place){i < a_count ? a[i] : b[i - a_count], (uint32_t)i};
    pool.in_b[i] = i >= a_count;
  }
  fb_places_sort(pool.order, pool.total);
  *ret_p = S_permute(&pool, paired, rounds ? rounds : FB_RESAMPLES, random);
  fb_free(allocator, pool.order, bytes);
  return FB_OK;
}
