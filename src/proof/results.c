/* SPDX-License-Identifier: Apache-2.0
 * Results of runs in memory: series by name, and what a name says about its metric. */
#include "proof/results.h"

#include <math.h>

enum { RESULTS_MAX = 100000 };

void fb_results_init(fb_results *results, const fb_allocator *allocator) {
  *results = (fb_results){.allocator = allocator};
  fb_arena_init(&results->arena, allocator, 0);
}

void fb_results_release(fb_results *results) {
  if (!results) return;
  fb_free(results->allocator, results->items, results->cap * sizeof *results->items);
  fb_arena_release(&results->arena);
  *results = (fb_results){0};
}

const fb_bench_result *fb_results_find(const fb_results *results, const fb_bench_result *like) {
  for (size_t i = 0; i < results->count; i++) {
    const fb_bench_result *item = &results->items[i];
    if (fb_slice_equal(item->workload, like->workload) &&
        fb_slice_equal(item->bench, like->bench) && fb_slice_equal(item->metric, like->metric))
      return item;
  }
  return NULL;
}

bool fb_slice_keep(fb_arena *arena, fb_slice *text) {
  text->ptr = fb_arena_text(arena, *text);
  return text->ptr;
}

static bool S_keep_samples(fb_results *results, fb_bench_result *into,
                           const fb_bench_result *more) {
  size_t total = into->count + more->count;
  double *samples = fb_arena_alloc(&results->arena, total * sizeof *samples);
  if (!samples) return false;
  if (into->count) memcpy(samples, into->samples, into->count * sizeof *samples);
  memcpy(samples + into->count, more->samples, more->count * sizeof *samples);
  into->samples = samples;
  into->count = total;
  return true;
}

static fb_status S_no_memory(fb_error *err) {
  return fb_fail(err, FB_E_NOMEM, "no memory for the results");
}

fb_status fb_results_add(fb_results *results, const fb_bench_result *result, fb_error *err) {
  fb_status status = fb_samples_check(result->samples, result->count, 1, err);
  if (status != FB_OK) return status;
  fb_bench_result *old = (fb_bench_result *)(uintptr_t)fb_results_find(results, result);
  if (old) {
    if (!fb_slice_equal(old->unit, result->unit))
      return fb_fail(err, FB_E_PROOF_RESULT, "`%.*s` comes in %.*s here and in %.*s before",
                     (int)result->metric.len, result->metric.ptr, (int)result->unit.len,
                     result->unit.ptr, (int)old->unit.len, old->unit.ptr);
    if (old->count + result->count > FB_SAMPLES_MAX)
      return fb_fail(err, FB_E_LIMIT, "more than %d samples of one series", FB_SAMPLES_MAX);
    return S_keep_samples(results, old, result) ? FB_OK : S_no_memory(err);
  }
  if (results->count == RESULTS_MAX)
    return fb_fail(err, FB_E_LIMIT, "more than %d series in one run", RESULTS_MAX);
  if (!fb_grow(results->allocator, (void **)&results->items, &results->cap, results->count,
               sizeof *results->items))
    return S_no_memory(err);
  fb_bench_result item = *result;
  item.count = 0;
  if (!fb_slice_keep(&results->arena, &item.bench) ||
      !fb_slice_keep(&results->arena, &item.workload) ||
      !fb_slice_keep(&results->arena, &item.metric) ||
      !fb_slice_keep(&results->arena, &item.unit) || !S_keep_samples(results, &item, result))
    return S_no_memory(err);
  results->items[results->count++] = item;
  return FB_OK;
}

/* ── What names say ── */

static char S_lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool S_contains(fb_slice text, const char *word) {
  size_t len = strlen(word);
  for (size_t i = 0; i + len <= text.len; i++) {
    size_t j = 0;
    while (j < len && S_lower(text.ptr[i + j]) == word[j]) j++;
    if (j == len) return true;
  }
  return false;
}

static bool S_contains_any(fb_slice text, const char *const *words) {
  for (; *words; words++)
    if (S_contains(text, *words)) return true;
  return false;
}

static bool S_per_second(fb_slice unit) {
  static const char *const words[] = {"/s", "per second", NULL};
  return S_contains_any(unit, words);
}

fb_direction fb_direction_of(fb_slice metric, fb_slice unit) {
  static const char *const more[] = {"throughput", "rate",         "ops",     "per_second", "hit",
                                     "success",    "availability", "speedup", "score",      NULL};
  static const char *const less[] = {"error", "miss", "fail", "alarm", NULL};
  if (S_per_second(unit)) return FB_MORE_IS_BETTER;
  if (S_contains_any(metric, less)) return FB_LESS_IS_BETTER;
  return S_contains_any(metric, more) ? FB_MORE_IS_BETTER : FB_LESS_IS_BETTER;
}

static bool S_unit_is(fb_slice unit, const char *const *names) {
  for (; *names; names++)
    if (fb_slice_equal(unit, fb_slice_of(*names))) return true;
  return false;
}

fb_figure_kind fb_metric_kind_of(fb_slice metric, fb_slice unit) {
  static const char *const cpu[] = {"cpu", "user", "system", "instruction", "cycles", NULL};
  static const char *const memory[] = {"memory", "rss", "alloc", "heap", "bytes", NULL};
  static const char *const bytes[] = {"B", "KB", "KiB", "kB", "MB", "MiB", "GB", "GiB", NULL};
  static const char *const latency[] = {"latency", "wall", "time", "duration", "p50",
                                        "p95",     "p99",  "p999", NULL};
  static const char *const times[] = {"ns", "us", "µs", "ms", "s", NULL};
  static const char *const rates[] = {"throughput", "per_second", "ops", NULL};
  if (S_per_second(unit) || S_contains_any(metric, rates)) return FB_METRIC_THROUGHPUT;
  if (S_contains_any(metric, cpu)) return FB_METRIC_CPU;
  if (S_contains_any(metric, memory) || S_unit_is(unit, bytes)) return FB_METRIC_MEMORY;
  if (S_contains_any(metric, latency) || S_unit_is(unit, times)) return FB_METRIC_LATENCY;
  return FB_METRIC_OTHER;
}

const char *fb_figure_kind_name(fb_figure_kind kind) {
  static const char *const names[] = {"latency", "throughput", "cpu", "memory", "other"};
  return names[kind];
}

void fb_result_name(const fb_bench_result *result, fb_buf *out) {
  fb_buf_add(out, result->bench.ptr, result->bench.len);
  if (result->bench.len) fb_buf_char(out, '/');
  fb_buf_add(out, result->workload.ptr, result->workload.len);
  fb_buf_char(out, '/');
  fb_buf_add(out, result->metric.ptr, result->metric.len);
}

/* Goes back to the last `*` only, which is enough: linear but for repeated parts. */
bool fb_glob_match(fb_slice pattern, fb_slice text) {
  size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
  while (t < text.len) {
    if (p < pattern.len && pattern.ptr[p] == '*') {
      star = p++;
      from = t;
    } else if (p < pattern.len && (pattern.ptr[p] == '?' || pattern.ptr[p] == text.ptr[t])) {
      p++;
      t++;
    } else if (star != SIZE_MAX) {
      p = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.len && pattern.ptr[p] == '*') p++;
  return p == pattern.len;
}

/* ── For people ── */

typedef struct S_scale {
  double factor;
  const char *name;
} S_scale;

static void S_scaled(double value, const S_scale *scales, char out[40]) {
  const S_scale *at = scales;
  for (; at[1].name; at++)
    if (fabs(value) >= at->factor * (1 - 1e-12)) break; /* 1e9 ns × 1e-9 is not quite 1 s */
  double shown = value / at->factor;
  if (fabs(shown - round(shown)) <= 1e-12 * fabs(shown)) shown = round(shown);
  int decimals = fabs(shown) >= 1000 ? 0 : fabs(shown) >= 10 ? 1 : 2;
  if (shown == floor(shown) && fabs(shown) < 1000) decimals = 0;
  snprintf(out, 40, "%.*f%s", decimals, shown, at->name);
}

/* Seconds in a unit of time; 0: it is none. */
static double S_seconds_of(fb_slice unit) {
  static const struct {
    const char *name;
    double seconds;
  } units[] = {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"µs", 1e-6}, {"ns", 1e-9}};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (fb_slice_equal(unit, fb_slice_of(units[i].name))) return units[i].seconds;
  return 0;
}

void fb_quantity_format(double value, fb_slice unit, char out[40]) {
  static const S_scale times[] = {
      {1, " s"}, {1e-3, " ms"}, {1e-6, " µs"}, {1e-9, " ns"}, {0, NULL}};
  static const S_scale bytes[] = {{1e9, " GB"}, {1e6, " MB"}, {1e3, " kB"}, {1, " B"}, {0, NULL}};
  static const S_scale plain[] = {{1e9, " G"}, {1e6, " M"}, {1, ""}, {0, NULL}};
  double seconds = S_seconds_of(unit);
  if (seconds > 0) {
    S_scaled(value * seconds, times, out);
  } else if (fb_slice_equal(unit, FB_SLICE("B")) || fb_slice_equal(unit, FB_SLICE("bytes"))) {
    S_scaled(value, bytes, out);
  } else {
    S_scaled(value, fabs(value) < 1 ? plain + 2 : plain, out);
    size_t len = strlen(out);
    const char *blank =
        !unit.len || out[len - 1] > '9' || unit.ptr[0] == '%' || unit.ptr[0] == '/' ? "" : " ";
    snprintf(out + len, 40 - len, "%s%.*s", blank, (int)(unit.len < 20 ? unit.len : 20),
             unit.ptr ? unit.ptr : "");
  }
}
