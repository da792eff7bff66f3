/* SPDX-License-Identifier: Apache-2.0
 * The registry: families, series, the lock around both. */
#include "metrics/internal.h"

#include <math.h>

enum { MAX_SERIES = 1000 };

static fb_status S_nomem(fb_error *err) {
  return fb_fail(err, FB_E_NOMEM, "out of memory for metrics");
}

/* ── Life ────────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_own_counter(fb_metrics *metrics, const char *name, const char *help,
                               fb_counter **ret, fb_error *err) {
  fb_metric_def def = {.kind = FB_METRIC_COUNTER, .name = name, .help = help};
  fb_metric *metric = NULL;
  fb_status status = fb_metrics_define(metrics, &def, &metric, err);
  return metric ? fb_metric_counter(metric, NULL, ret, err) : status;
}

static fb_status S_own_counters(fb_metrics *metrics, fb_error *err) {
  fb_status status = S_own_counter(metrics, "flyball_metrics_overflows",
                                   "Handles that a limit on series sent to the overflow series.",
                                   &metrics->overflows, err);
  if (status == FB_OK)
    status = S_own_counter(metrics, "flyball_metrics_rejected",
                           "Values of histograms that were negative, infinite or no number.",
                           &metrics->rejected, err);
  if (status == FB_OK)
    status = S_own_counter(metrics, "flyball_metrics_dropped",
                           "Values of histograms for which there was no memory.", &metrics->dropped,
                           err);
  return status;
}

static bool S_copy(fb_metrics *metrics, const char *text, fb_slice *ret) {
  fb_slice from = text ? fb_slice_of(text) : (fb_slice){"", 0};
  const char *copy = fb_arena_text(&metrics->arena, from);
  *ret = (fb_slice){copy, from.len};
  return copy != NULL;
}

fb_status fb_metrics_new(const fb_metrics_options *options, fb_metrics **ret, fb_error *err) {
  fb_metrics_options given = options ? *options : (fb_metrics_options){0};
  const fb_allocator *allocator = given.allocator ? given.allocator : fb_allocator_system();
  fb_metrics *metrics = fb_alloc_zero(allocator, sizeof *metrics);
  if (!metrics) return S_nomem(err);
  metrics->allocator = allocator;
  metrics->clock = given.clock ? given.clock : fb_clock_system();
  metrics->max_series = given.max_series ? given.max_series : MAX_SERIES;
  metrics->created = metrics->clock->wall(metrics->clock->context);
  metrics->last_collector = &metrics->collectors;
  fb_arena_init(&metrics->arena, allocator, 0);
  fb_buf_init(&metrics->key, allocator, 0);
  if (pthread_mutex_init(&metrics->lock, NULL) != 0) {
    fb_free(allocator, metrics, sizeof *metrics);
    return S_nomem(err);
  }
  fb_status status =
      S_copy(metrics, given.service ? given.service : "unknown_service", &metrics->service)
          ? S_own_counters(metrics, err)
          : S_nomem(err);
  if (status == FB_OK)
    *ret = metrics;
  else
    fb_metrics_free(metrics);
  return status;
}

static void S_release_family(const fb_allocator *allocator, fb_metric *metric) {
  for (size_t i = 0; metric->kind == FB_METRIC_HISTOGRAM && i < metric->count; i++)
    fb_histogram_free(metric->series[i]->as.histogram);
  fb_free(allocator, metric->series, metric->cap * sizeof *metric->series);
  fb_table_release(&metric->table);
}

void fb_metrics_free(fb_metrics *metrics) {
  if (!metrics) return;
  const fb_allocator *allocator = metrics->allocator;
  for (size_t i = 0; i < metrics->count; i++) S_release_family(allocator, metrics->families[i]);
  fb_free(allocator, metrics->families, metrics->cap * sizeof *metrics->families);
  while (metrics->pages) {
    fb_page *page = metrics->pages;
    metrics->pages = page->next;
    fb_page_free(allocator, page);
  }
  fb_buf_release(&metrics->key);
  fb_arena_release(&metrics->arena);
  pthread_mutex_destroy(&metrics->lock);
  fb_free(allocator, metrics, sizeof *metrics);
}

/* ── Families ────────────────────────────────────────────────────────────────────────────────── */

static const double *S_default_bounds(const fb_metric_def *def, size_t *ret_count) {
  static const double seconds[] = {0x1p-20, 0x1p-18, 0x1p-16, 0x1p-14, 0x1p-12, 0x1p-10, 0x1p-8,
                                   0x1p-6,  0x1p-4,  0x1p-2,  1,       4,       16,      64};
  static const double counts[] = {1,      4,      16,     64,     256,    1024,   4096,
                                  0x1p14, 0x1p16, 0x1p18, 0x1p20, 0x1p22, 0x1p24, 0x1p26};
  *ret_count = sizeof counts / sizeof *counts;
  return def->unit && strcmp(def->unit, "seconds") == 0 ? seconds : counts;
}

static bool S_copy_bounds(fb_metrics *metrics, const fb_metric_def *def, fb_metric *metric) {
  if (def->kind != FB_METRIC_HISTOGRAM) return true;
  size_t count = def->bound_count;
  const double *bounds = def->bounds ? def->bounds : S_default_bounds(def, &count);
  metric->bounds = fb_arena_zero(&metrics->arena, count * sizeof *bounds);
  if (!metric->bounds) return false;
  for (size_t i = 0; i < count; i++) metric->bounds[i] = fb_distribution_edge(bounds[i]);
  metric->bound_count = count;
  return true;
}

/* Written once: finding the digits of 2^-20 takes longer than all else in a sample's line. */
static bool S_write_edges(fb_metrics *metrics, fb_metric *metric) {
  for (int way = 0; way < 2 && metric->bounds; way++) {
    metric->edges[way] =
        fb_arena_zero(&metrics->arena, (metric->bound_count + 1) * sizeof(fb_slice));
    if (!metric->edges[way]) return false;
    for (size_t i = 0; i <= metric->bound_count; i++) {
      char text[33];
      size_t len =
          fb_metrics_double(text, i < metric->bound_count ? metric->bounds[i] : INFINITY, way == 1);
      text[len] = 0;
      if (!S_copy(metrics, text, &metric->edges[way][i])) return false;
    }
  }
  return true;
}

static fb_metric *S_make_family(fb_metrics *metrics, const fb_metric_def *def) {
  fb_metric *metric = fb_arena_zero(&metrics->arena, sizeof *metric);
  if (!metric) return NULL;
  metric->owner = metrics;
  metric->kind = def->kind;
  metric->max_series = def->max_series ? def->max_series : metrics->max_series;
  metric->label_count = def->label_count;
  metric->labels = fb_arena_zero(&metrics->arena, (def->label_count + 1) * sizeof *metric->labels);
  if (!metric->labels || !S_copy(metrics, def->name, &metric->name) ||
      !S_copy(metrics, def->help, &metric->help) || !S_copy(metrics, def->unit, &metric->unit) ||
      !S_copy_bounds(metrics, def, metric) || !S_write_edges(metrics, metric))
    return NULL;
  for (size_t i = 0; i < def->label_count; i++)
    if (!S_copy(metrics, def->labels[i], &metric->labels[i])) return NULL;
  fb_table_init(&metric->table, metrics->allocator, fb_random_seed_system());
  return metric;
}

static bool S_same_bounds(const fb_metric *metric, const fb_metric_def *def) {
  if (metric->kind != FB_METRIC_HISTOGRAM) return true;
  size_t count = def->bound_count;
  const double *bounds = def->bounds ? def->bounds : S_default_bounds(def, &count);
  if (count != metric->bound_count) return false;
  for (size_t i = 0; i < count; i++)
    if (fb_distribution_edge(bounds[i]) != metric->bounds[i]) return false;
  return true;
}

static bool S_same(const fb_metric *metric, const fb_metric_def *def) {
  if (metric->kind != def->kind || metric->label_count != def->label_count ||
      !fb_slice_equal(metric->help, fb_slice_of(def->help)) ||
      !fb_slice_equal(metric->unit, fb_slice_of(def->unit)))
    return false;
  for (size_t i = 0; i < def->label_count; i++)
    if (!fb_slice_equal(metric->labels[i], fb_slice_of(def->labels[i]))) return false;
  return S_same_bounds(metric, def);
}

/* Where the name is or would be. */
static size_t S_place_of_family(const fb_metrics *metrics, fb_slice name) {
  size_t low = 0, high = metrics->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (fb_slice_compare(metrics->families[middle]->name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static fb_status S_define(fb_metrics *metrics, const fb_metric_def *def, fb_metric **ret,
                          fb_error *err) {
  fb_slice name = fb_slice_of(def->name);
  size_t at = S_place_of_family(metrics, name);
  fb_metric *metric = at < metrics->count ? metrics->families[at] : NULL;
  if (metric && fb_slice_equal(metric->name, name)) {
    if (!S_same(metric, def))
      return fb_fail(err, FB_E_METRIC_CONFLICT, "%.80s is already defined as something else",
                     def->name);
    *ret = metric;
    return FB_OK;
  }
  fb_arena_mark mark = fb_arena_save(&metrics->arena);
  if (!fb_grow(metrics->allocator, (void **)&metrics->families, &metrics->cap, metrics->count,
               sizeof metric) ||
      !(metric = S_make_family(metrics, def))) {
    fb_arena_rewind(&metrics->arena, mark);
    return S_nomem(err);
  }
  memmove(metrics->families + at + 1, metrics->families + at,
          (metrics->count - at) * sizeof metric);
  metrics->families[at] = metric;
  metrics->count++;
  *ret = metric;
  return FB_OK;
}

fb_status fb_metrics_define(fb_metrics *metrics, const fb_metric_def *def, fb_metric **ret,
                            fb_error *err) {
  fb_status status = fb_metric_check(def, err);
  if (status != FB_OK) return status;
  pthread_mutex_lock(&metrics->lock);
  status = S_define(metrics, def, ret, err);
  pthread_mutex_unlock(&metrics->lock);
  return status;
}

/* ── Series ──────────────────────────────────────────────────────────────────────────────────── */

static bool S_new_cell(fb_metrics *metrics, fb_counter *counter) {
  fb_page *page = metrics->pages;
  if (!page || page->used == FB_PAGE_CELLS) {
    page = fb_lines_new(metrics->allocator, sizeof *page);
    if (!page) return false;
    page->owner = metrics;
    page->next = metrics->pages;
    metrics->pages = page;
  }
  *counter = (fb_counter){page, page->used++};
  return true;
}

static bool S_copy_values(fb_metric *metric, const fb_slice *values, fb_series *series) {
  fb_arena *arena = &metric->owner->arena;
  series->values = fb_arena_zero(arena, (metric->label_count + 1) * sizeof *values);
  if (!series->values) return false;
  for (size_t i = 0; i < metric->label_count; i++) {
    const char *copy = fb_arena_text(arena, values[i]);
    if (!copy) return false;
    series->values[i] = (fb_slice){copy, values[i].len};
  }
  series->labels.len = metric->owner->key.len;
  series->labels.ptr = fb_arena_text(arena, fb_buf_slice(&metric->owner->key));
  return series->labels.ptr != NULL;
}

/* A line of its own for each, since gauges lie in it. */
static fb_series *S_make_series(fb_metric *metric, const fb_slice *values) {
  fb_metrics *metrics = metric->owner;
  size_t size = (sizeof(fb_series) + FB_LINE - 1) / FB_LINE * FB_LINE;
  fb_series *series = fb_arena_alloc_aligned(&metrics->arena, size, FB_LINE);
  if (!series) return NULL;
  memset(series, 0, size);
  series->created = metrics->clock->wall(metrics->clock->context);
  if (!S_copy_values(metric, values, series)) return NULL;
  switch (metric->kind) {
    case FB_METRIC_COUNTER: return S_new_cell(metrics, &series->as.counter) ? series : NULL;
    case FB_METRIC_HISTOGRAM:
      return (series->as.histogram = fb_histogram_new(metrics)) ? series : NULL;
    case FB_METRIC_GAUGE: break;
  }
  return series;
}

static size_t S_place_of_series(const fb_metric *metric, fb_slice labels) {
  size_t low = 0, high = metric->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (fb_slice_compare(metric->series[middle]->labels, labels) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The key is in metrics->key. What can fail comes before what cannot be undone. */
static fb_series *S_add_series(fb_metric *metric, const fb_slice *values) {
  fb_metrics *metrics = metric->owner;
  fb_arena_mark mark = fb_arena_save(&metrics->arena);
  fb_slice key = fb_buf_slice(&metrics->key);
  if (!fb_grow(metrics->allocator, (void **)&metric->series, &metric->cap, metric->count,
               sizeof(fb_series *)) ||
      !fb_table_put(&metric->table, key, NULL))
    return NULL;
  fb_series *series = S_make_series(metric, values);
  if (!series) {
    fb_table_remove(&metric->table, key);
    fb_arena_rewind(&metrics->arena, mark);
    return NULL;
  }
  fb_table_slot *slot = fb_table_get(&metric->table, key);
  slot->key = series->labels;
  slot->value.ptr = series;
  size_t at = S_place_of_series(metric, series->labels);
  memmove(metric->series + at + 1, metric->series + at, (metric->count - at) * sizeof series);
  metric->series[at] = series;
  metric->count++;
  return series;
}

/* Finds, with the key put into metrics->key; *ret_failed when there is no memory for it. */
static fb_series *S_find_series(fb_metric *metric, const fb_slice *values, bool *ret_failed) {
  fb_buf *key = &metric->owner->key;
  fb_buf_clear(key);
  fb_buf_reserve(key, 1); /* so that the key of no labels is a text too */
  for (size_t i = 0; i < metric->label_count; i++) {
    if (i) fb_buf_char(key, ',');
    fb_metrics_write_label(key, metric->labels[i], values[i]);
  }
  *ret_failed = key->failed;
  if (key->failed) return NULL;
  fb_table_slot *slot = fb_table_get(&metric->table, fb_buf_slice(key));
  return slot ? slot->value.ptr : NULL;
}

static fb_series *S_resolve_locked(fb_metric *metric, const fb_slice *values) {
  bool failed;
  fb_series *series = S_find_series(metric, values, &failed);
  if (series || failed) return series;
  if (metric->count < metric->max_series || metric->label_count == 0)
    return S_add_series(metric, values);
  fb_slice overflow[FB_METRIC_LABELS_MAX];
  for (size_t i = 0; i < metric->label_count; i++) overflow[i] = FB_SLICE(FB_METRIC_OVERFLOW);
  series = S_find_series(metric, overflow, &failed);
  if (!series && !failed) series = S_add_series(metric, overflow);
  if (series) fb_counter_add(metric->owner->overflows, 1);
  return series;
}

/* NULL: *ret_status tells why. */
static fb_series *S_resolve(fb_metric *metric, fb_metric_kind kind, const fb_slice *values,
                            fb_status *ret_status, fb_error *err) {
  if (metric->kind != kind) {
    *ret_status = fb_fail(err, FB_E_METRIC_CONFLICT, "%.80s is of another kind", metric->name.ptr);
    return NULL;
  }
  for (size_t i = 0; i < metric->label_count; i++) {
    if (fb_utf8_valid(values[i].ptr, values[i].len, NULL)) continue;
    *ret_status = fb_fail(err, FB_E_METRIC_LABEL, "the value of %.80s of %.80s is not UTF-8",
                          metric->labels[i].ptr, metric->name.ptr);
    return NULL;
  }
  pthread_mutex_lock(&metric->owner->lock);
  fb_series *series = S_resolve_locked(metric, values);
  pthread_mutex_unlock(&metric->owner->lock);
  *ret_status = series ? FB_OK : S_nomem(err);
  return series;
}

fb_status fb_metric_counter(fb_metric *metric, const fb_slice *values, fb_counter **ret,
                            fb_error *err) {
  fb_status status;
  fb_series *series = S_resolve(metric, FB_METRIC_COUNTER, values, &status, err);
  if (series) *ret = &series->as.counter;
  return status;
}

fb_status fb_metric_gauge(fb_metric *metric, const fb_slice *values, fb_gauge **ret,
                          fb_error *err) {
  fb_status status;
  fb_series *series = S_resolve(metric, FB_METRIC_GAUGE, values, &status, err);
  if (series) *ret = &series->as.gauge;
  return status;
}

fb_status fb_metric_histogram(fb_metric *metric, const fb_slice *values, fb_histogram **ret,
                              fb_error *err) {
  fb_status status;
  fb_series *series = S_resolve(metric, FB_METRIC_HISTOGRAM, values, &status, err);
  if (series) *ret = series->as.histogram;
  return status;
}

/* ── Scraping ────────────────────────────────────────────────────────────────────────────────── */

fb_status fb_metrics_on_scrape(fb_metrics *metrics, fb_metrics_collector *call, void *context,
                               fb_error *err) {
  pthread_mutex_lock(&metrics->lock);
  fb_collector *collector = fb_arena_zero(&metrics->arena, sizeof *collector);
  if (collector) {
    collector->call = call;
    collector->context = context;
    *metrics->last_collector = collector;
    metrics->last_collector = &collector->next;
  }
  pthread_mutex_unlock(&metrics->lock);
  return collector ? FB_OK : S_nomem(err);
}

/* Without the lock, since a collector may define and resolve. */
static void S_collect(fb_metrics *metrics) {
  pthread_mutex_lock(&metrics->lock);
  fb_collector *collector = metrics->collectors;
  while (collector) {
    pthread_mutex_unlock(&metrics->lock);
    collector->call(collector->context);
    pthread_mutex_lock(&metrics->lock);
    collector = collector->next;
  }
  pthread_mutex_unlock(&metrics->lock);
}

const char *fb_metrics_content_type(fb_metrics_format format) {
  switch (format) {
    case FB_METRICS_PROMETHEUS: return "text/plain; version=0.0.4; charset=utf-8";
    case FB_METRICS_OPENMETRICS:
      return "application/openmetrics-text; version=1.0.0; charset=utf-8";
    case FB_METRICS_JSON:
    case FB_METRICS_OTLP: break;
  }
  return "application/json";
}

fb_status fb_metrics_write(fb_metrics *metrics, fb_metrics_format format, unsigned style,
                           fb_buf *out, fb_error *err) {
  size_t start = out->len;
  int64_t now = metrics->clock->wall(metrics->clock->context);
  if (out->failed) return S_nomem(err);
  S_collect(metrics);
  pthread_mutex_lock(&metrics->lock);
  switch (format) {
    case FB_METRICS_PROMETHEUS: fb_metrics_write_text(metrics, false, style, out); break;
    case FB_METRICS_OPENMETRICS: fb_metrics_write_text(metrics, true, style, out); break;
    case FB_METRICS_JSON: fb_metrics_write_json(metrics, now, out); break;
    case FB_METRICS_OTLP: fb_metrics_write_otlp(metrics, now, out); break;
  }
  pthread_mutex_unlock(&metrics->lock);
  if (!out->failed) return FB_OK;
  out->failed = false;
  out->len = start;
  if (out->ptr) out->ptr[start] = 0;
  return S_nomem(err);
}
