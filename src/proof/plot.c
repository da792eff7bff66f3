/* SPDX-License-Identifier: Apache-2.0
 * Pictures of series and samples as SVG. */
#include "proof/results.h"

#include <math.h>

void fb_html_text(fb_buf *out, fb_slice text) {
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    switch (c) {
      case '<': fb_buf_text(out, "&lt;"); break;
      case '>': fb_buf_text(out, "&gt;"); break;
      case '&': fb_buf_text(out, "&amp;"); break;
      case '"': fb_buf_text(out, "&quot;"); break;
      case '\'': fb_buf_text(out, "&#39;"); break;
      default:
        if (c >= ' ' || c == '\n' || c == '\t') fb_buf_char(out, (char)c);
    }
  }
}

void fb_plot_style(fb_buf *out) {
  fb_buf_text(
      out,
      ".fb-plot{--fb-ink:#1f2328;--fb-dim:#6e7781;--fb-grid:#d8dee4;--fb-line:#0969da;"
      "--fb-bad:#cf222e;--fb-good:#1a7f37;font:12px system-ui,sans-serif}\n"
      "@media (prefers-color-scheme:dark){.fb-plot{--fb-ink:#e6edf3;--fb-dim:#8b949e;"
      "--fb-grid:#30363d;--fb-line:#58a6ff;--fb-bad:#ff7b72;--fb-good:#56d364}}\n"
      "@media print{.fb-plot{--fb-ink:#000;--fb-dim:#444;--fb-grid:#ccc}}\n"
      ".fb-plot text{fill:var(--fb-dim)}.fb-plot .fb-title{fill:var(--fb-ink);font-weight:600}"
      ".fb-plot .fb-grid{stroke:var(--fb-grid);stroke-width:1}"
      ".fb-plot .fb-path{fill:none;stroke:var(--fb-line);stroke-width:1;opacity:.55}"
      ".fb-plot .fb-dot{fill:var(--fb-line)}.fb-plot .fb-sample{fill:var(--fb-dim);opacity:.45}"
      ".fb-plot .fb-level{stroke:var(--fb-ink);stroke-width:2}"
      ".fb-plot .fb-worse{stroke:var(--fb-bad);fill:var(--fb-bad)}"
      ".fb-plot .fb-better{stroke:var(--fb-good);fill:var(--fb-good)}"
      ".fb-plot line.fb-worse,.fb-plot line.fb-better{stroke-dasharray:4 3}"
      ".fb-plot text.fb-worse,.fb-plot text.fb-better{stroke:none}"
      ".fb-plot .fb-range{stroke:var(--fb-line);stroke-width:6;stroke-linecap:round;opacity:.5}"
      ".fb-plot .fb-median{fill:var(--fb-line)}"
      ".fb-plot .fb-target{stroke:var(--fb-bad);stroke-width:2;stroke-dasharray:3 2}\n");
}

/* ── Axes ── */

enum { WIDTH = 760, HEIGHT = 240, LEFT = 78, RIGHT = 16, TOP = 34, BOTTOM = 26 };

typedef struct S_axis {
  double low, high; /* values */
  double from, to;  /* pixels */
} S_axis;

static double S_at(const S_axis *axis, double value) {
  return axis->from + (value - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

/* 1, 2 or 5 times a power of ten, so that about `wanted` of them fit. */
static double S_tick_step(double range, int wanted) {
  double step = pow(10, floor(log10(range / wanted)));
  while (range / step > wanted * 1.01)
    step *= range / (step * 2) <= wanted ? 2 : range / (step * 5) <= wanted ? 5 : 10;
  return step;
}

/* A bit more than the values take; never empty. */
static void S_fit(S_axis *axis, double low, double high) {
  double room = high > low ? (high - low) * 0.08 : high != 0 ? fabs(high) * 0.05 : 1;
  axis->low = low - room;
  axis->high = high + room;
  if (low >= 0 && axis->low < 0) axis->low = 0;
}

static void S_draw_ticks(const S_axis *y, fb_slice unit, fb_buf *out) {
  double step = S_tick_step(y->high - y->low, 5);
  int64_t first = (int64_t)ceil(y->low / step), last = (int64_t)floor(y->high / step);
  for (int64_t tick = first; tick <= last; tick++) {
    char label[40];
    double value = (double)tick * step, at = S_at(y, value);
    fb_quantity_format(fabs(value) < step / 1e6 ? 0 : value, unit, label);
    fb_buf_printf(out, "<line class=\"fb-grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>",
                  LEFT, at, WIDTH - RIGHT, at);
    fb_buf_printf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 8, at + 4);
    fb_html_text(out, fb_slice_of(label));
    fb_buf_text(out, "</text>\n");
  }
}

static void S_open(int width, int height, bool alone, fb_buf *out) {
  fb_buf_printf(out,
                "<svg class=\"fb-plot\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                "role=\"img\"%s>\n",
                width, height, alone ? " width=\"760\"" : "");
  if (!alone) return;
  fb_buf_text(out, "<style>");
  fb_plot_style(out);
  fb_buf_text(out, "</style>\n");
}

/* ── Trend ── */

static S_axis S_value_axis(const fb_history_series *series) {
  S_axis y = {.from = HEIGHT - BOTTOM, .to = TOP};
  double low = INFINITY, high = -INFINITY;
  for (size_t i = 0; i < series->count; i++) {
    low = fmin(low, series->points[i].median);
    high = fmax(high, series->points[i].median);
  }
  S_fit(&y, low, high);
  return y;
}

static void S_draw_points(const fb_history_series *series, const S_axis *x, const S_axis *y,
                          fb_buf *out) {
  fb_buf_text(out, "<path class=\"fb-path\" d=\"");
  for (size_t i = 0; i < series->count; i++)
    fb_buf_printf(out, "%c%.1f %.1f", i ? 'L' : 'M', S_at(x, (double)i),
                  S_at(y, series->points[i].median));
  fb_buf_text(out, "\"/>\n");
  for (size_t i = 0; i < series->count; i++) {
    const fb_history_point *point = &series->points[i];
    char value[40], time[FB_TIME_TEXT_MAX];
    fb_quantity_format(point->median, series->head.unit, value);
    fb_time_format(point->run.at / 1000000000, 0, time);
    fb_buf_printf(out, "<circle class=\"fb-dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>",
                  S_at(x, (double)i), S_at(y, point->median), series->count > 200 ? "1.5" : "2.5");
    fb_html_text(out, fb_slice_of(value));
    fb_buf_text(out, "\n");
    fb_html_text(out, point->run.commit);
    fb_buf_printf(out, "\n%s</title></circle>\n", time);
  }
}

static void S_draw_levels(const fb_history_series *series, const fb_change *changes, size_t count,
                          const S_axis *x, const S_axis *y, fb_buf *out) {
  for (size_t i = 0; i <= count && count; i++) {
    double first = i ? (double)changes[i - 1].at - 0.5 : 0;
    double last = i < count ? (double)changes[i].at - 0.5 : (double)(series->count - 1);
    double level = S_at(y, i < count ? changes[i].before : changes[count - 1].after);
    fb_buf_printf(out,
                  "<line class=\"fb-level\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                  S_at(x, first), level, S_at(x, last), level);
  }
}

static void S_draw_changes(const fb_history_series *series, const fb_change *changes, size_t count,
                           const S_axis *x, fb_buf *out) {
  for (size_t i = 0; i < count; i++) {
    const fb_change *change = &changes[i];
    bool worse = (change->after > change->before) == (series->head.direction == FB_LESS_IS_BETTER);
    const char *how = worse ? "worse" : "better";
    double at = S_at(x, (double)change->at - 0.5);
    fb_slice commit = series->points[change->at].run.commit;
    fb_buf_printf(out, "<line class=\"fb-%s\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", how,
                  at, TOP, at, HEIGHT - BOTTOM);
    fb_buf_printf(out, "<text class=\"fb-%s\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">", how,
                  at > WIDTH / 2.0 ? at - 4 : at + 4, TOP + 10 + 14 * (int)(i % 3),
                  at > WIDTH / 2.0 ? "end" : "start");
    fb_html_text(out, (fb_slice){commit.ptr, commit.len < 10 ? commit.len : 10});
    fb_buf_printf(out, " %+.1f %%</text>\n",
                  change->before != 0 ? (change->after / change->before - 1) * 100 : 0);
  }
}

void fb_plot_trend(const fb_history_series *series, const fb_change *changes, size_t count,
                   bool alone, fb_buf *out) {
  S_axis x = {0, series->count > 1 ? (double)(series->count - 1) : 1, LEFT + 6, WIDTH - RIGHT - 6};
  S_axis y = S_value_axis(series);
  S_open(WIDTH, HEIGHT, alone, out);
  fb_buf_text(out, "<text class=\"fb-title\" x=\"8\" y=\"18\">");
  fb_buf name;
  fb_buf_init(&name, out->allocator, 0);
  fb_result_name(&series->head, &name);
  fb_html_text(out, fb_buf_slice(&name));
  out->failed = out->failed || name.failed;
  fb_buf_release(&name);
  fb_buf_text(out, "</text>\n");
  if (series->count) {
    S_draw_ticks(&y, series->head.unit, out);
    S_draw_points(series, &x, &y, out);
    S_draw_levels(series, changes, count, &x, &y, out);
    S_draw_changes(series, changes, count, &x, out);
  }
  fb_buf_text(out, "</svg>\n");
}

/* ── Strip ── */

enum { STRIP_WIDTH = 320, STRIP_HEIGHT = 34, STRIP_DOTS = 200 };

void fb_plot_strip_draw(const fb_plot_strip *strip, fb_buf *out) {
  S_axis x = {.from = 6, .to = STRIP_WIDTH - 6};
  double low = strip->median, high = strip->median;
  for (size_t i = 0; i < strip->count; i++) {
    low = fmin(low, strip->samples[i]);
    high = fmax(high, strip->samples[i]);
  }
  /* A target far off would squeeze the samples to a point: then it is left to the table. */
  bool near = strip->has_target && fabs(strip->target - strip->median) <=
                                       20 * fmax(high - low, fabs(strip->median) * 0.05);
  if (near) {
    low = fmin(low, strip->target);
    high = fmax(high, strip->target);
  }
  S_fit(&x, low, high);
  S_open(STRIP_WIDTH, STRIP_HEIGHT, false, out);
  fb_buf_text(out, "<title>");
  fb_html_text(out, fb_slice_of(strip->label));
  fb_buf_printf(out, "</title><line class=\"fb-grid\" x1=\"0\" y1=\"17\" x2=\"%d\" y2=\"17\"/>",
                STRIP_WIDTH);
  size_t step = strip->count / STRIP_DOTS + 1;
  for (size_t i = 0; i < strip->count; i += step)
    fb_buf_printf(out, "<circle class=\"fb-sample\" cx=\"%.1f\" cy=\"%d\" r=\"2\"/>",
                  S_at(&x, strip->samples[i]), 11 + (int)(i * 7 % 13));
  if (strip->has_interval)
    fb_buf_printf(out, "<line class=\"fb-range\" x1=\"%.1f\" y1=\"17\" x2=\"%.1f\" y2=\"17\"/>",
                  S_at(&x, fmax(strip->interval.low, x.low)),
                  S_at(&x, fmin(strip->interval.high, x.high)));
  fb_buf_printf(out, "<circle class=\"fb-median\" cx=\"%.1f\" cy=\"17\" r=\"4\"/>",
                S_at(&x, strip->median));
  if (near)
    fb_buf_printf(out, "<line class=\"fb-target\" x1=\"%.1f\" y1=\"2\" x2=\"%.1f\" y2=\"32\"/>",
                  S_at(&x, strip->target), S_at(&x, strip->target));
  fb_buf_text(out, "</svg>\n");
}

/* ── Terminal ── */

void fb_plot_spark(const double *values, size_t count, size_t width, fb_buf *out) {
  static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  size_t first = count > width ? count - width : 0;
  double low = INFINITY, high = -INFINITY;
  for (size_t i = first; i < count; i++) {
    low = fmin(low, values[i]);
    high = fmax(high, values[i]);
  }
  for (size_t i = first; i < count; i++) {
    double part = high > low ? (values[i] - low) / (high - low) : 0.5;
    fb_buf_text(out, bars[(int)fmin(7, part * 8)]);
  }
}
