/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/proof.h: measuring that can be believed. Statistics of samples, and what is built on them.
 *
 * Nothing here reads a clock or draws random numbers by itself: whoever calls hands them in, so that the same
 * samples and the same seed give the same verdict on every machine.
 */
#ifndef FLYBALL_PROOF_H
#define FLYBALL_PROOF_H

#include <flyball/data.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ── Statistics ──────────────────────────────────────────────────────────────────────────────── */

/* Samples are finite numbers, in any unit, all in the same. FB_E_PROOF_SAMPLES otherwise, or when there are
 * fewer than a function needs. */

/* With fewer samples no interval between two of them covers the median in 95 of 100 cases: an interval from
 * less is not to be shown. (The whole range of 6 covers it in 96.9 %.) */
enum { FB_SAMPLES_MIN = 6 };

/* More than this are refused (FB_E_LIMIT): bounds time and memory of one call. */
enum { FB_SAMPLES_MAX = 10 << 20 };

/* Ascending, in place. */
FB_API void fb_samples_sort(double *samples, size_t count);

/* Of sorted samples, count ≥ 1, by linear interpolation between neighbours (type 7, as R and NumPy have it).
 * q is within [0, 1]. */
FB_API double fb_quantile(const double *sorted, size_t count, double q);

/* How many lie beyond Tukey's fences: mild 1.5, severe 3 interquartile ranges outside the quartiles. A mild
 * one is not counted as severe and the other way round. */
typedef struct fb_outliers {
  size_t low_severe, low_mild, high_mild, high_severe;
} fb_outliers;

FB_API fb_outliers fb_outliers_of(const double *sorted, size_t count);

typedef struct fb_summary {
  size_t count;
  double min, q1, median, q3, max;
  double mean, sd; /* sd: of the sample (n - 1); 0 for one sample */
  double mad;      /* median of the distances from the median, unscaled */
  fb_outliers outliers;
} fb_summary;

/* `samples` in any order; they are left as they are. count ≥ 1. */
FB_API fb_status fb_summarize(const double *samples, size_t count, const fb_allocator *allocator,
                              fb_summary *ret, fb_error *err);

typedef struct fb_interval {
  double low, high;
} fb_interval;

/* What the estimate would have been had other samples been drawn: `replicates`, ascending. */
typedef struct fb_bootstrap {
  double estimate;
  size_t
      samples; /* of the smaller side: few of them make the intervals wider (0: as many as you like) */
  double *replicates; /* owned */
  size_t count;
  const fb_allocator *allocator;
} fb_bootstrap;

enum { FB_RESAMPLES = 2000 }; /* what 0 means for `resamples` below */

/* Of the median. The time is count × resamples. count ≥ 1 (but see FB_SAMPLES_MIN).
 * Percentiles, not BCa: its acceleration comes from the jackknife, which is known to fail for medians. */
FB_API fb_status fb_bootstrap_median(const double *samples, size_t count, size_t resamples,
                                     fb_random *random, const fb_allocator *allocator,
                                     fb_bootstrap *ret, fb_error *err);

/* Of b / a. Not `paired`: median(b) / median(a), which must be above 0; the sides are drawn apart.
 * `paired`: a[i] and b[i] were measured side by side (interleaved), a_count == b_count, all above 0, and it is
 * the median of b[i] / a[i], so that what disturbed both cancels. (The ratio of the medians of the same pairs
 * drawn together has intervals three times too wide when disturbances are large.) */
FB_API fb_status fb_bootstrap_ratio(const double *a, size_t a_count, const double *b,
                                    size_t b_count, bool paired, size_t resamples,
                                    fb_random *random, const fb_allocator *allocator,
                                    fb_bootstrap *ret, fb_error *err);
FB_API void fb_bootstrap_release(fb_bootstrap *bootstrap);

/* level: 0.95 for a 95 % interval. Percentiles of the replicates, as much further out as Student's t is from
 * the normal distribution for so few samples: without that, intervals from 10 cover 92 % and not 95. */
FB_API fb_interval fb_bootstrap_interval(const fb_bootstrap *bootstrap, double level);
/* Share of the replicates above x: read as the probability that the estimated thing is above x. */
FB_API double fb_bootstrap_above(const fb_bootstrap *bootstrap, double x);

/* Do b's values tend to be larger than a's? By ranks alone, so outliers count no more than others. */
typedef struct fb_rank_test {
  double u; /* Mann-Whitney: pairs with b > a, ties half */
  double
      cliff;  /* Cliff's delta: P(b > a) - P(b < a), from -1 to 1; 0.147 small, 0.33, 0.474 large */
  double p;   /* two-sided: how probable as much is without a difference */
  bool exact; /* p is counted (small samples without ties), else by the normal approximation */
} fb_rank_test;

FB_API fb_status fb_rank_test_of(const double *a, size_t a_count, const double *b, size_t b_count,
                                 const fb_allocator *allocator, fb_rank_test *ret, fb_error *err);

/* Two-sided p of the difference of the medians under random relabelling (`paired`: swapping within pairs).
 * Never 0: (1 + as extreme) / (1 + rounds). rounds 0: FB_RESAMPLES. */
FB_API fb_status fb_permutation_test(const double *a, size_t a_count, const double *b,
                                     size_t b_count, bool paired, size_t rounds, fb_random *random,
                                     const fb_allocator *allocator, double *ret_p, fb_error *err);

#ifdef __cplusplus
}
#endif
#endif
