/* SPDX-License-Identifier: Apache-2.0
 * Prometheus text 0.0.4 and OpenMetrics 1.0. They differ in: the name of a counter's family (with or without
 * _total), UNIT, quotes in HELP, the spelling of `le`, _created and the last line. */
#include "metrics/internal.h"

typedef struct fb_text_writer {
  fb_buf *out;
  bool open;    /* OpenMetrics */
  bool created; /* _created too */
} fb_text_writer;

/* Writes text[0 .. len) with \ and line ends escaped, quotes only where asked. */
static void S_escaped(fb_buf *out, fb_slice text, bool quotes) {
  size_t start = 0;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if (c != '\\' && c != '\n' && !(c == '"' && quotes)) continue;
    fb_buf_add(out, text.ptr + start, i - start);
    fb_buf_add(out, c == '\n' ? "\\n" : c == '"' ? "\\\"" : "\\\\", 2);
    start = i + 1;
  }
  fb_buf_add(out, text.ptr + start, text.len - start);
}

void fb_metrics_write_label(fb_buf *out, fb_slice name, fb_slice value) {
  fb_buf_add(out, name.ptr, name.len);
  fb_buf_add(out, "=\"", 2);
  S_escaped(out, value, true);
  fb_buf_char(out, '"');
}

static void S_slice(fb_buf *out, fb_slice text) {
  fb_buf_add(out, text.ptr, text.len);
}

static void S_comment(const fb_text_writer *writer, const char *word, const fb_metric *metric) {
  fb_buf_text(writer->out, word);
  S_slice(writer->out, metric->name);
  if (metric->kind == FB_METRIC_COUNTER && !writer->open) fb_buf_text(writer->out, "_total");
  fb_buf_char(writer->out, ' ');
}

static void S_head(const fb_text_writer *writer, const fb_metric *metric) {
  static const char *const kinds[] = {"counter\n", "gauge\n", "histogram\n"};
  if (metric->help.len) {
    S_comment(writer, "# HELP ", metric);
    S_escaped(writer->out, metric->help, writer->open);
    fb_buf_char(writer->out, '\n');
  }
  S_comment(writer, "# TYPE ", metric);
  fb_buf_text(writer->out, kinds[metric->kind]);
  if (writer->open && metric->unit.len) {
    S_comment(writer, "# UNIT ", metric);
    S_slice(writer->out, metric->unit);
    fb_buf_char(writer->out, '\n');
  }
}

static char *S_put(char *at, fb_slice text) {
  if (text.len) memcpy(at, text.ptr, text.len);
  return at + text.len;
}

/* name, suffix, {labels, le="…"} and a blank, with room for a number and a line end after it. NULL: no memory. One
 * reservation a line: most of a scrape is here. */
static char *S_sample(fb_buf *out, const fb_metric *metric, const fb_series *series,
                      fb_slice suffix, fb_slice le) {
  if (!fb_buf_reserve(out, metric->name.len + suffix.len + series->labels.len + le.len + 64))
    return NULL;
  char *at = S_put(out->ptr + out->len, metric->name);
  at = S_put(at, suffix);
  if (series->labels.len || le.len) {
    *at++ = '{';
    at = S_put(at, series->labels);
    if (le.len) {
      if (series->labels.len) *at++ = ',';
      at = S_put(at, FB_SLICE("le=\""));
      at = S_put(at, le);
      *at++ = '"';
    }
    *at++ = '}';
  }
  *at++ = ' ';
  return at;
}

static void S_end(fb_buf *out, char *at) {
  *at++ = '\n';
  *at = 0;
  out->len = (size_t)(at - out->ptr);
}

static void S_sample_u64(fb_buf *out, const fb_metric *metric, const fb_series *series,
                         fb_slice suffix, fb_slice le, uint64_t number) {
  char *at = S_sample(out, metric, series, suffix, le);
  if (at) S_end(out, at + fb_metrics_u64(at, number));
}

static void S_sample_double(fb_buf *out, const fb_metric *metric, const fb_series *series,
                            fb_slice suffix, double number) {
  char *at = S_sample(out, metric, series, suffix, (fb_slice){"", 0});
  if (at) S_end(out, at + fb_metrics_double(at, number, false));
}

/* Seconds with nine places: a double could not hold them. */
static void S_created(const fb_text_writer *writer, const fb_metric *metric,
                      const fb_series *series) {
  if (!writer->open || !writer->created) return;
  char *at = S_sample(writer->out, metric, series, FB_SLICE("_created"), (fb_slice){"", 0});
  if (!at) return;
  uint64_t nanos = series->created > 0 ? (uint64_t)series->created : 0;
  at += fb_metrics_u64(at, nanos / 1000000000);
  char fraction[32];
  fb_metrics_u64(fraction, 1000000000 + nanos % 1000000000);
  *at++ = '.';
  memcpy(at, fraction + 1, 9);
  S_end(writer->out, at + 9);
}

static void S_histogram(const fb_text_writer *writer, const fb_metric *metric,
                        const fb_series *series) {
  fb_bucket_counts counts;
  fb_histogram_count(series->as.histogram, metric->bounds, metric->bound_count, &counts);
  uint64_t total = 0;
  for (size_t i = 0; i <= metric->bound_count; i++) {
    total += counts.counts[i];
    S_sample_u64(writer->out, metric, series, FB_SLICE("_bucket"), metric->edges[writer->open][i],
                 total);
  }
  S_sample_double(writer->out, metric, series, FB_SLICE("_sum"), counts.sum);
  S_sample_u64(writer->out, metric, series, FB_SLICE("_count"), (fb_slice){"", 0}, counts.total);
  S_created(writer, metric, series);
}

static void S_series(const fb_text_writer *writer, const fb_metric *metric,
                     const fb_series *series) {
  fb_slice none = {"", 0};
  switch (metric->kind) {
    case FB_METRIC_COUNTER:
      S_sample_u64(writer->out, metric, series, FB_SLICE("_total"), none,
                   fb_counter_read(&series->as.counter));
      S_created(writer, metric, series);
      break;
    case FB_METRIC_GAUGE:
      S_sample_double(writer->out, metric, series, none, fb_gauge_read(&series->as.gauge));
      break;
    case FB_METRIC_HISTOGRAM: S_histogram(writer, metric, series); break;
  }
}

void fb_metrics_write_text(const fb_metrics *metrics, bool open, unsigned style, fb_buf *out) {
  fb_text_writer writer = {out, open, style & FB_METRICS_CREATED};
  for (size_t i = 0; i < metrics->count; i++) {
    const fb_metric *metric = metrics->families[i];
    S_head(&writer, metric);
    for (size_t j = 0; j < metric->count; j++) S_series(&writer, metric, metric->series[j]);
  }
  if (open) fb_buf_text(out, "# EOF\n");
}
