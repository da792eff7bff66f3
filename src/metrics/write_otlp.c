/* SPDX-License-Identifier: Apache-2.0
 * OpenTelemetry's ExportMetricsServiceRequest in protocol buffers' JSON: 64-bit integers are texts, field names in
 * camel case, an enum by its number. */
#include "metrics/json.h"

enum { CUMULATIVE = 2 };

static void S_quoted_u64(fb_buf *out, const char *key, uint64_t number) {
  fb_metrics_json_key(out, key);
  fb_buf_char(out, '"');
  fb_metrics_json_u64(out, number);
  fb_buf_char(out, '"');
}

static void S_attribute(fb_buf *out, fb_slice name, fb_slice value) {
  fb_buf_text(out, "{\"key\":");
  fb_metrics_json_text(out, name);
  fb_buf_text(out, ",\"value\":{\"stringValue\":");
  fb_metrics_json_text(out, value);
  fb_buf_text(out, "}}");
}

static void S_point_head(fb_buf *out, const fb_metric *metric, const fb_series *series,
                         int64_t now) {
  fb_buf_text(out, "{\"attributes\":[");
  for (size_t i = 0; i < metric->label_count; i++) {
    if (i) fb_buf_char(out, ',');
    S_attribute(out, metric->labels[i], series->values[i]);
  }
  fb_buf_char(out, ']');
  if (metric->kind != FB_METRIC_GAUGE)
    S_quoted_u64(out, "startTimeUnixNano", (uint64_t)series->created);
  S_quoted_u64(out, "timeUnixNano", (uint64_t)now);
}

static void S_histogram(fb_buf *out, const fb_metric *metric, const fb_series *series) {
  fb_bucket_counts counts;
  fb_histogram_count(series->as.histogram, metric->bounds, metric->bound_count, &counts);
  S_quoted_u64(out, "count", counts.total);
  fb_metrics_json_key(out, "sum");
  fb_metrics_json_double(out, counts.sum);
  if (counts.min <= counts.max) {
    fb_metrics_json_key(out, "min");
    fb_metrics_json_double(out, counts.min);
    fb_metrics_json_key(out, "max");
    fb_metrics_json_double(out, counts.max);
  }
  fb_metrics_json_key(out, "bucketCounts");
  for (size_t i = 0; i <= metric->bound_count; i++) {
    fb_buf_text(out, i ? ",\"" : "[\"");
    fb_metrics_json_u64(out, counts.counts[i]);
    fb_buf_char(out, '"');
  }
  fb_buf_char(out, ']');
  fb_metrics_json_key(out, "explicitBounds");
  for (size_t i = 0; i < metric->bound_count; i++) {
    fb_buf_char(out, i ? ',' : '[');
    fb_metrics_json_double(out, metric->bounds[i]);
  }
  fb_buf_char(out, ']');
}

static void S_point(fb_buf *out, const fb_metric *metric, const fb_series *series, int64_t now) {
  S_point_head(out, metric, series, now);
  switch (metric->kind) {
    case FB_METRIC_COUNTER: { /* a signed field: what would not fit is clamped, not turned negative */
      uint64_t value = fb_counter_read(&series->as.counter);
      S_quoted_u64(out, "asInt", value > INT64_MAX ? INT64_MAX : value);
      break;
    }
    case FB_METRIC_GAUGE:
      fb_metrics_json_key(out, "asDouble");
      fb_metrics_json_double(out, fb_gauge_read(&series->as.gauge));
      break;
    case FB_METRIC_HISTOGRAM: S_histogram(out, metric, series); break;
  }
  fb_buf_char(out, '}');
}

/* UCUM has codes of its own for the units that are common; others stand in braces. */
static void S_unit(fb_buf *out, fb_slice unit) {
  fb_metrics_json_key(out, "unit");
  if (fb_slice_equal(unit, FB_SLICE("seconds")))
    fb_buf_text(out, "\"s\"");
  else if (fb_slice_equal(unit, FB_SLICE("bytes")))
    fb_buf_text(out, "\"By\"");
  else if (fb_slice_equal(unit, FB_SLICE("ratio")))
    fb_buf_text(out, "\"1\"");
  else
    fb_buf_printf(out, "\"{%.*s}\"", (int)unit.len, unit.ptr);
}

static void S_family(fb_buf *out, const fb_metric *metric, int64_t now) {
  static const char *const fields[] = {"sum", "gauge", "histogram"};
  fb_buf_text(out, "{\"name\":");
  fb_metrics_json_text(out, metric->name);
  fb_metrics_json_key(out, "description");
  fb_metrics_json_text(out, metric->help);
  if (metric->unit.len) S_unit(out, metric->unit);
  fb_metrics_json_key(out, fields[metric->kind]);
  fb_buf_char(out, '{');
  if (metric->kind != FB_METRIC_GAUGE)
    fb_buf_printf(out, "\"aggregationTemporality\":%d,", CUMULATIVE);
  if (metric->kind == FB_METRIC_COUNTER) fb_buf_text(out, "\"isMonotonic\":true,");
  fb_buf_text(out, "\"dataPoints\":[");
  for (size_t i = 0; i < metric->count; i++) {
    if (i) fb_buf_char(out, ',');
    S_point(out, metric, metric->series[i], now);
  }
  fb_buf_text(out, "]}}");
}

void fb_metrics_write_otlp(const fb_metrics *metrics, int64_t now, fb_buf *out) {
  fb_buf_text(out, "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[");
  S_attribute(out, FB_SLICE("service.name"), metrics->service);
  fb_buf_printf(
      out,
      "]},\"scopeMetrics\":[{\"scope\":{\"name\":\"flyball\",\"version\":\"%s\"},\"metrics\":[",
      fb_version());
  for (size_t i = 0; i < metrics->count; i++) {
    if (i) fb_buf_char(out, ',');
    S_family(out, metrics->families[i], now);
  }
  fb_buf_text(out, "]}]}]}\n");
}
