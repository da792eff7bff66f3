/* SPDX-License-Identifier: Apache-2.0
 * The registry as one JSON object, with quantiles. */
#include "metrics/json.h"

#include <math.h>

void fb_metrics_json_text(fb_buf *out, fb_slice text) {
  size_t start = 0;
  fb_buf_char(out, '"');
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    fb_buf_add(out, text.ptr + start, i - start);
    if (c < 0x20)
      fb_buf_printf(out, "\\u%04x", c);
    else
      fb_buf_add(out, c == '"' ? "\\\"" : "\\\\", 2);
    start = i + 1;
  }
  fb_buf_add(out, text.ptr + start, text.len - start);
  fb_buf_char(out, '"');
}

void fb_metrics_json_double(fb_buf *out, double number) {
  char text[32];
  if (isnan(number))
    fb_buf_text(out, "\"NaN\"");
  else if (isinf(number))
    fb_buf_text(out, number > 0 ? "\"Infinity\"" : "\"-Infinity\"");
  else
    fb_buf_add(out, text, fb_metrics_double(text, number, true));
}

void fb_metrics_json_u64(fb_buf *out, uint64_t number) {
  char text[32];
  fb_buf_add(out, text, fb_metrics_u64(text, number));
}

void fb_metrics_json_key(fb_buf *out, const char *key) {
  fb_buf_add(out, ",\"", 2);
  fb_buf_text(out, key);
  fb_buf_add(out, "\":", 2);
}

static void S_labels(fb_buf *out, const fb_metric *metric, const fb_series *series) {
  fb_buf_text(out, "{\"labels\":{");
  for (size_t i = 0; i < metric->label_count; i++) {
    if (i) fb_buf_char(out, ',');
    fb_metrics_json_text(out, metric->labels[i]);
    fb_buf_char(out, ':');
    fb_metrics_json_text(out, series->values[i]);
  }
  fb_buf_char(out, '}');
}

static void S_quantiles(fb_buf *out, const fb_distribution *distribution) {
  static const struct {
    const char *name;
    double q;
  } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};
  for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
    fb_quantile quantile;
    if (!fb_distribution_quantile(distribution, quantiles[i].q, &quantile)) continue;
    fb_metrics_json_key(out, quantiles[i].name);
    fb_metrics_json_double(out, quantile.value);
  }
}

/* Buckets as pairs of the upper edge and the values up to it; the last, without an edge, is the count. */
static void S_buckets(fb_buf *out, const fb_metric *metric, const fb_distribution *distribution) {
  fb_metrics_json_key(out, "buckets");
  for (size_t i = 0; i < metric->bound_count; i++) {
    fb_buf_text(out, i ? ",[" : "[[");
    fb_metrics_json_double(out, metric->bounds[i]);
    fb_buf_char(out, ',');
    fb_metrics_json_u64(out, fb_distribution_below(distribution, metric->bounds[i]));
    fb_buf_char(out, ']');
  }
  fb_buf_char(out, ']');
}

static void S_histogram(fb_buf *out, const fb_metric *metric, const fb_series *series,
                        fb_distribution *scratch) {
  fb_distribution_clear(scratch);
  if (fb_histogram_read(series->as.histogram, scratch) != FB_OK) {
    out->failed = true;
    return;
  }
  fb_metrics_json_key(out, "count");
  fb_metrics_json_u64(out, scratch->count);
  fb_metrics_json_key(out, "sum");
  fb_metrics_json_double(out, scratch->sum);
  if (scratch->min <= scratch->max) {
    fb_metrics_json_key(out, "min");
    fb_metrics_json_double(out, scratch->min);
    fb_metrics_json_key(out, "max");
    fb_metrics_json_double(out, scratch->max);
  }
  S_quantiles(out, scratch);
  S_buckets(out, metric, scratch);
}

static void S_series(fb_buf *out, const fb_metric *metric, const fb_series *series,
                     fb_distribution *scratch) {
  S_labels(out, metric, series);
  switch (metric->kind) {
    case FB_METRIC_COUNTER:
      fb_metrics_json_key(out, "value");
      fb_metrics_json_u64(out, fb_counter_read(&series->as.counter));
      break;
    case FB_METRIC_GAUGE:
      fb_metrics_json_key(out, "value");
      fb_metrics_json_double(out, fb_gauge_read(&series->as.gauge));
      break;
    case FB_METRIC_HISTOGRAM: S_histogram(out, metric, series, scratch); break;
  }
  fb_buf_char(out, '}');
}

static void S_family(fb_buf *out, const fb_metric *metric, fb_distribution *scratch) {
  static const char *const kinds[] = {"counter", "gauge", "histogram"};
  fb_buf_text(out, "{\"name\":");
  fb_metrics_json_text(out, metric->name);
  fb_metrics_json_key(out, "kind");
  fb_metrics_json_text(out, fb_slice_of(kinds[metric->kind]));
  fb_metrics_json_key(out, "help");
  fb_metrics_json_text(out, metric->help);
  fb_metrics_json_key(out, "unit");
  fb_metrics_json_text(out, metric->unit);
  fb_metrics_json_key(out, "series");
  fb_buf_char(out, '[');
  for (size_t i = 0; i < metric->count; i++) {
    if (i) fb_buf_char(out, ',');
    S_series(out, metric, metric->series[i], scratch);
  }
  fb_buf_text(out, "]}");
}

void fb_metrics_write_json(const fb_metrics *metrics, int64_t now, fb_buf *out) {
  char time[FB_TIME_TEXT_MAX];
  int64_t nanos = ((now % 1000000000) + 1000000000) % 1000000000;
  fb_time_format((now - nanos) / 1000000000, (uint32_t)nanos, time);
  fb_distribution scratch;
  fb_distribution_init(&scratch, metrics->allocator);
  fb_buf_printf(out, "{\"type\":\"flyball.metrics.v1\",\"time\":\"%s\",\"metrics\":[", time);
  for (size_t i = 0; i < metrics->count; i++) {
    if (i) fb_buf_char(out, ',');
    S_family(out, metrics->families[i], &scratch);
  }
  fb_buf_text(out, "]}\n");
  fb_distribution_release(&scratch);
}
