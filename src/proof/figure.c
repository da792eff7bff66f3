/* SPDX-License-Identifier: Apache-2.0
 * From readings to figures: the median with its interval, and how two candidates compare. */
#include <flyball/proof.h>

#include <stdlib.h>

static const struct {
  const char *name, *unit;
} S_measures[FB_MEASURE_COUNT] = {
    [FB_MEASURE_WALL] = {"wall", "s"},
    [FB_MEASURE_USER] = {"user", "s"},
    [FB_MEASURE_SYSTEM] = {"system", "s"},
    [FB_MEASURE_MEMORY] = {"memory", "B"},
    [FB_MEASURE_FAULTS_MINOR] = {"faults_minor", ""},
    [FB_MEASURE_FAULTS_MAJOR] = {"faults_major", ""},
    [FB_MEASURE_SWITCHES_OWN] = {"switches_own", ""},
    [FB_MEASURE_SWITCHES_FORCED] = {"switches_forced", ""},
    [FB_MEASURE_INSTRUCTIONS] = {"instructions", ""},
    [FB_MEASURE_CYCLES] = {"cycles", ""},
    [FB_MEASURE_CACHE_MISSES] = {"cache_misses", ""},
    [FB_MEASURE_BRANCH_MISSES] = {"branch_misses", ""},
    [FB_MEASURE_ALLOCATIONS] = {"allocations", ""},
    [FB_MEASURE_ALLOCATED] = {"allocated", "B"},
    [FB_MEASURE_ALLOCATED_PEAK] = {"allocated_peak", "B"},
};

const char *fb_measure_name(fb_measure measure) {
  return (unsigned)measure < FB_MEASURE_COUNT ? S_measures[measure].name : "?";
}
const char *fb_measure_unit(fb_measure measure) {
  return (unsigned)measure < FB_MEASURE_COUNT ? S_measures[measure].unit : "";
}

const char *fb_bench_verdict_name(fb_bench_verdict verdict) {
  static const char *const names[] = {"not measured", "same", "less", "more"};
  return (unsigned)verdict < sizeof names / sizeof *names ? names[verdict] : "?";
}

/* The values of one measure; NULL and FB_DONE when a run lacks it. The caller frees `*ret_count` doubles. */
static fb_status S_values(const fb_bench *bench, size_t number, fb_measure measure, double **ret,
                          size_t *ret_count, fb_error *err) {
  const fb_bench_side *side = &bench->sides[number];
  bool counted = measure >= FB_MEASURE_ALLOCATIONS && side->counted_count;
  const fb_reading *readings = counted ? side->counted : side->readings;
  size_t count = counted ? side->counted_count : side->count;
  for (size_t i = 0; i < count; i++)
    if (!fb_reading_has(&readings[i], measure)) return FB_DONE;
  if (count == 0) return FB_DONE;
  double *values = fb_alloc(bench->allocator, count * sizeof *values);
  if (!values) return fb_fail(err, FB_E_NOMEM, "out of memory");
  for (size_t i = 0; i < count; i++) values[i] = readings[i].values[measure];
  *ret = values;
  *ret_count = count;
  return FB_OK;
}

static fb_status S_interval(const double *values, size_t count, fb_random *random,
                            const fb_allocator *allocator, fb_bench_figure *figure, fb_error *err) {
  fb_bootstrap bootstrap;
  if (count < FB_SAMPLES_MIN) return FB_OK;
  fb_status status = fb_bootstrap_median(values, count, 0, random, allocator, &bootstrap, err);
  if (status) return status;
  figure->interval = fb_bootstrap_interval(&bootstrap, 0.95);
  figure->has_interval = true;
  fb_bootstrap_release(&bootstrap);
  return FB_OK;
}

fb_status fb_bench_figure_of(const fb_bench *bench, size_t side, fb_measure measure,
                             fb_random *random, fb_bench_figure *ret, fb_error *err) {
  double *values;
  size_t count;
  fb_bench_figure figure = {0};
  fb_status status = S_values(bench, side, measure, &values, &count, err);
  if (status) return status;
  status = fb_summarize(values, count, bench->allocator, &figure.summary, err);
  if (!status) status = S_interval(values, count, random, bench->allocator, &figure, err);
  fb_free(bench->allocator, values, count * sizeof *values);
  if (!status) *ret = figure;
  return status;
}

static double S_median(double *values, size_t count) {
  fb_samples_sort(values, count);
  return fb_samples_quantile(values, count, 0.5);
}

static bool S_all_positive(const double *values, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!(values[i] > 0)) return false;
  return true;
}

/* a: the reference. Without enough runs there is a ratio and no verdict. */
static fb_status S_ratio(const fb_bench *bench, double *a, size_t a_count, double *b,
                         size_t b_count, fb_random *random, fb_bench_ratio *ret, fb_error *err) {
  const fb_allocator *allocator = bench->allocator;
  size_t least = a_count < b_count ? a_count : b_count;
  if (!S_all_positive(a, a_count) || !S_all_positive(b, b_count)) return FB_OK;
  if (least < FB_SAMPLES_MIN) {
    ret->ratio = S_median(b, b_count) / S_median(a, a_count);
    return FB_OK;
  }
  fb_bootstrap bootstrap;
  fb_rank_test ranks;
  /* Cut short, some may have a run more than others. */
  bool paired = bench->paired && a_count == b_count;
  fb_status status =
      fb_bootstrap_ratio(a, a_count, b, b_count, paired, 0, random, allocator, &bootstrap, err);
  if (status) return status;
  ret->ratio = bootstrap.estimate;
  ret->interval = fb_bootstrap_interval(&bootstrap, 0.95);
  fb_bootstrap_release(&bootstrap);
  status = fb_rank_test_of(a, a_count, b, b_count, allocator, &ranks, err);
  if (status) return status;
  ret->effect = ranks.cliff;
  ret->p = ranks.p;
  ret->verdict = ret->interval.high < 1  ? FB_BENCH_LESS
                 : ret->interval.low > 1 ? FB_BENCH_MORE
                                         : FB_BENCH_SAME;
  return FB_OK;
}

fb_status fb_bench_compare(const fb_bench *bench, size_t side, size_t reference, fb_measure measure,
                           fb_random *random, fb_bench_ratio *ret, fb_error *err) {
  double *a, *b;
  size_t a_count, b_count;
  fb_bench_ratio ratio = {.p = 1};
  fb_status status = S_values(bench, reference, measure, &a, &a_count, err);
  if (!status) {
    status = S_values(bench, side, measure, &b, &b_count, err);
    if (!status) {
      status = S_ratio(bench, a, a_count, b, b_count, random, &ratio, err);
      fb_free(bench->allocator, b, b_count * sizeof *b);
    }
    fb_free(bench->allocator, a, a_count * sizeof *a);
  }
  if (status && status != FB_DONE) return status;
  *ret = ratio;
  return FB_OK;
}
