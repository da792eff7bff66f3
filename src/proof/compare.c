/* SPDX-License-Identifier: Apache-2.0
 * Is b worse than a, by how much, and how sure is that? */
#include "proof/results.h"

#include <math.h>

const char *fb_comparison_verdict_name(fb_comparison_verdict verdict) {
  static const char *const names[] = {"not measured", "same", "better", "worse", "unclear"};
  return names[verdict];
}

/* b / a as a share of a by which b is worse. */
static double S_worse(double ratio, fb_direction direction) {
  return direction == FB_MORE_IS_BETTER ? 1 - ratio : ratio - 1;
}

static fb_interval S_worse_interval(fb_interval ratio, fb_direction direction) {
  double x = S_worse(ratio.low, direction), y = S_worse(ratio.high, direction);
  return (fb_interval){fmin(x, y), fmax(x, y)};
}

static double S_probability(const fb_bootstrap *ratios, fb_direction direction, double threshold) {
  return direction == FB_MORE_IS_BETTER ? 1 - fb_bootstrap_above(ratios, 1 - threshold)
                                        : fb_bootstrap_above(ratios, 1 + threshold);
}

static double S_confidence(const fb_compare_options *options) {
  return options->confidence > 0 ? options->confidence : 0.95;
}

/* Both bounds of the interval are one-sided at (1 + confidence) / 2 for "same", which is two statements;
 * "worse" and "better" are one, at the confidence itself. `better` is its probability. */
static void S_judge(fb_comparison *made, double better, const fb_compare_options *options) {
  double sure = S_confidence(options), within = options->threshold;
  if (made->probability >= sure)
    made->verdict = FB_COMPARED_WORSE;
  else if (better >= sure)
    made->verdict = FB_COMPARED_BETTER;
  else if (made->interval.low >= -within && made->interval.high <= within)
    made->verdict = FB_COMPARED_SAME;
  else
    made->verdict = FB_COMPARED_UNCLEAR;
}

static fb_status S_median(const fb_bench_result *result, const fb_allocator *allocator, double *ret,
                          fb_error *err) {
  fb_summary summary;
  fb_status status = fb_summarize(result->samples, result->count, allocator, &summary, err);
  if (status == FB_OK) *ret = summary.median;
  return status;
}

/* Values that repeat exactly: the difference is what it is. */
static fb_status S_compare_exact(fb_comparison *made, fb_direction direction,
                                 const fb_compare_options *options, fb_error *err) {
  if (!(made->a > 0))
    return fb_fail(err, FB_E_PROOF_SAMPLES, "a ratio needs a value above 0, not %g", made->a);
  made->worse = S_worse(made->b / made->a, direction);
  made->interval = (fb_interval){made->worse, made->worse};
  made->probability = made->worse > options->threshold;
  made->p = 1;
  S_judge(made, made->worse < -options->threshold, options);
  return FB_OK;
}

static void S_take_ratios(fb_comparison *made, const fb_bootstrap *ratios, fb_direction direction,
                          const fb_compare_options *options) {
  made->worse = S_worse(ratios->estimate, direction);
  made->interval =
      S_worse_interval(fb_bootstrap_interval(ratios, S_confidence(options)), direction);
  made->probability = S_probability(ratios, direction, options->threshold);
  double better = 1 - S_probability(ratios, direction, -options->threshold);
  S_judge(made, better, options);
}

static fb_status S_compare_samples(const fb_bench_result *a, const fb_bench_result *b,
                                   const fb_compare_options *options, fb_random *random,
                                   const fb_allocator *allocator, fb_comparison *made,
                                   fb_error *err) {
  fb_bootstrap ratios;
  fb_rank_test ranks;
  fb_status status =
      fb_rank_test_of(a->samples, a->count, b->samples, b->count, allocator, &ranks, err);
  if (status == FB_OK)
    status = fb_bootstrap_ratio(a->samples, a->count, b->samples, b->count,
                                options->paired && a->count == b->count, options->resamples, random,
                                allocator, &ratios, err);
  if (status != FB_OK) return status;
  made->cliff = ranks.cliff;
  made->p = ranks.p;
  S_take_ratios(made, &ratios, b->direction, options);
  fb_bootstrap_release(&ratios);
  return FB_OK;
}

fb_status fb_compare(const fb_bench_result *a, const fb_bench_result *b,
                     const fb_compare_options *options, fb_random *random,
                     const fb_allocator *allocator, fb_comparison *ret, fb_error *err) {
  fb_comparison made = {.p = 1, .a_count = a->count, .b_count = b->count};
  fb_status status = S_median(a, allocator, &made.a, err);
  if (status == FB_OK) status = S_median(b, allocator, &made.b, err);
  if (status != FB_OK) return status;
  if (options->exact)
    status = S_compare_exact(&made, b->direction, options, err);
  else if (a->count >= FB_SAMPLES_MIN && b->count >= FB_SAMPLES_MIN)
    status = S_compare_samples(a, b, options, random, allocator, &made, err);
  else if (made.a > 0)
    made.worse = S_worse(made.b / made.a, b->direction);
  if (status == FB_OK) *ret = made;
  return status;
}

/* ── Against runs of the past ── */

/* One replicate for each resample of b's median: the past level is resampled from the medians of its runs, and b
 * gets the deviation of a run drawn from them, since it is one run like those. */
static void S_add_run_noise(fb_bootstrap *b, const fb_bootstrap *level, const double *medians,
                            size_t runs, fb_random *random) {
  for (size_t i = 0; i < b->count; i++) {
    double deviation = medians[fb_random_below(random, runs)] / level->estimate;
    double past = level->replicates[fb_random_below(random, level->count)];
    b->replicates[i] = b->replicates[i] * deviation / past;
  }
  b->estimate /= level->estimate;
  fb_samples_sort(b->replicates, b->count);
}

static fb_status S_check_above_zero(const double *medians, size_t count, double b, fb_error *err) {
  bool good = b > 0;
  for (size_t i = 0; i < count; i++) good = good && medians[i] > 0;
  return good ? FB_OK
              : fb_fail(err, FB_E_PROOF_SAMPLES, "a ratio needs medians above 0 in all runs");
}

static fb_status S_compare_medians(const double *medians, size_t runs, const fb_bench_result *b,
                                   const fb_compare_options *options, fb_random *random,
                                   const fb_allocator *allocator, fb_comparison *made,
                                   fb_error *err) {
  fb_bootstrap level, ratios;
  fb_status status = S_check_above_zero(medians, runs, made->b, err);
  if (status == FB_OK)
    status = fb_bootstrap_median(medians, runs, options->resamples, random, allocator, &level, err);
  if (status != FB_OK) return status;
  status = fb_bootstrap_median(b->samples, b->count, options->resamples, random, allocator, &ratios,
                               err);
  if (status == FB_OK) {
    S_add_run_noise(&ratios, &level, medians, runs, random);
    ratios.samples = runs < b->count ? runs : b->count;
    made->a = level.estimate;
    S_take_ratios(made, &ratios, b->direction, options);
    fb_bootstrap_release(&ratios);
  }
  fb_bootstrap_release(&level);
  return status;
}

fb_status fb_compare_history(const fb_history_series *past, const fb_bench_result *b,
                             const fb_compare_options *options, fb_random *random,
                             const fb_allocator *allocator, fb_comparison *ret, fb_error *err) {
  if (past->count < FB_SAMPLES_MIN || options->exact) {
    fb_bench_result newest = past->head;
    newest.samples = past->count ? past->points[past->count - 1].samples : NULL;
    newest.count = past->count ? past->points[past->count - 1].kept : 0;
    return fb_compare(&newest, b, options, random, allocator, ret, err);
  }
  size_t bytes = past->count * sizeof(double);
  double *medians = fb_alloc(allocator, bytes);
  if (!medians) return fb_fail(err, FB_E_NOMEM, "no memory for %zu medians", past->count);
  for (size_t i = 0; i < past->count; i++) medians[i] = past->points[i].median;
  fb_comparison made = {.p = 1, .a_count = past->count, .b_count = b->count};
  fb_rank_test ranks;
  fb_status status = S_median(b, allocator, &made.b, err);
  if (status == FB_OK && b->count >= FB_SAMPLES_MIN)
    status = S_compare_medians(medians, past->count, b, options, random, allocator, &made, err);
  if (status == FB_OK)
    status = fb_rank_test_of(medians, past->count, &made.b, 1, allocator, &ranks, err);
  if (status == FB_OK) {
    made.cliff = ranks.cliff;
    made.p = ranks.p;
    *ret = made;
  }
  fb_free(allocator, medians, bytes);
  return status;
}

/* ── How small a change could be seen ── */

/* For normal noise, the median of |difference of neighbours| is 0.9539 of its standard deviation. Simulation says how
 * many standard errors of the difference of two levels are found in nine of ten cases at the usual significance
 * (tests/unit/test_proof_change.c holds it to that). */
fb_status fb_smallest_change(const double *series, size_t count, size_t after,
                             const fb_allocator *allocator, double *ret, fb_error *err) {
  *ret = 0;
  if (count < 6 || after == 0 || after >= count) return FB_OK;
  size_t bytes = (count - 1) * sizeof(double);
  double *steps = fb_alloc(allocator, bytes);
  if (!steps) return fb_fail(err, FB_E_NOMEM, "no memory for a series of %zu points", count);
  for (size_t i = 1; i < count; i++) steps[i - 1] = fabs(series[i] - series[i - 1]);
  fb_samples_sort(steps, count - 1);
  double sd = fb_samples_quantile(steps, count - 1, 0.5) / 0.9539;
  fb_free(allocator, steps, bytes);
  double level;
  fb_bench_result all = {.samples = series, .count = count};
  fb_status status = S_median(&all, allocator, &level, err);
  if (status == FB_OK && level != 0)
    *ret = 5.9 * sd / fabs(level) * sqrt(1 / (double)after + 1 / (double)(count - after));
  return status;
}
