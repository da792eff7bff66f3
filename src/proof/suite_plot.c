/* SPDX-License-Identifier: Apache-2.0
 * How far the figures of a part are from their targets, as SVG. */
#include "proof/results.h"

#include <math.h>

enum { WIDTH = 760, LABEL = 250, RIGHT = 84, ROW = 22, TOP = 24, DECADES_MAX = 6 };

/* How many times better than its target a figure is (below 1: worse), with the interval; false: cannot be said. */
static bool S_times_better(const fb_gate_row *row, double *ret, fb_interval *ret_interval) {
  const fb_budget *budget = row->budget;
  if (!row->result || (!budget->has_max && !budget->has_min)) return false;
  fb_slice unit = budget->has_max ? budget->max_unit : budget->min_unit;
  double bound = budget->has_max ? budget->max : budget->min;
  double factor = unit.len ? fb_unit_factor(unit, row->result->unit) : 1;
  if (factor <= 0 || bound <= 0 || row->value <= 0 || row->interval.low <= 0) return false;
  bound *= factor;
  *ret = budget->has_max ? bound / row->value : row->value / bound;
  double a = budget->has_max ? bound / row->interval.high : row->interval.low / bound;
  double b = budget->has_max ? bound / row->interval.low : row->interval.high / bound;
  *ret_interval = (fb_interval){a, b};
  return true;
}

typedef struct S_claims {
  double decades; /* to each side of the target */
  size_t count;
} S_claims;

static S_claims S_extent(const fb_suite_part *part) {
  S_claims claims = {.decades = 1};
  for (size_t i = 0; i < part->judged_count; i++) {
    double times;
    fb_interval interval;
    if (!S_times_better(&part->judged[i], &times, &interval)) continue;
    claims.decades = fmax(claims.decades, ceil(fabs(log10(times))));
    claims.count++;
  }
  claims.decades = fmin(claims.decades, DECADES_MAX);
  return claims;
}

static double S_x(const S_claims *claims, double times) {
  double middle = (LABEL + WIDTH - RIGHT) / 2.0, half = (WIDTH - RIGHT - LABEL) / 2.0;
  double part = log10(times) / claims->decades;
  return middle + half * fmin(1, fmax(-1, part));
}

static void S_draw_scale(const S_claims *claims, fb_buf *out) {
  double bottom = TOP + (double)claims->count * ROW;
  int step = claims->decades > 3 ? 2 : 1;
  fb_buf_text(out, "<text x=\"0\" y=\"14\">times better than the target</text>\n");
  for (int d = -(int)claims->decades; d <= (int)claims->decades; d++) {
    if (d % step) continue;
    double x = S_x(claims, pow(10, d));
    fb_buf_printf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.0f\"/>",
                  d ? "fb-grid" : "fb-target", x, TOP - 4, x, bottom);
    fb_buf_printf(out, "<text x=\"%.1f\" y=\"14\" text-anchor=\"middle\">", x);
    if (d == 0)
      fb_buf_text(out, "target");
    else
      fb_buf_printf(out, "%g×", pow(10, d));
    fb_buf_text(out, "</text>\n");
  }
}

/* At most `max` code points. */
static void S_draw_label(fb_slice text, size_t max, double y, fb_buf *out) {
  size_t len = 0, runes = 0;
  uint32_t rune;
  while (len < text.len && runes < max) {
    int step = fb_utf8_decode(text.ptr + len, text.len - len, &rune);
    len += step > 0 ? (size_t)step : 1;
    runes++;
  }
  fb_buf_printf(out, "<text class=\"fb-title\" x=\"0\" y=\"%.1f\">", y + 4);
  fb_html_text(out, (fb_slice){text.ptr, len});
  fb_buf_text(out, len < text.len ? "…</text>" : "</text>");
}

static void S_draw_claim(const S_claims *claims, const fb_suite_part *part, const fb_gate_row *row,
                         double y, fb_buf *out) {
  static const char *const classes[] = {"fb-better", "fb-worse", "fb-sample", "fb-sample",
                                        "fb-median"};
  double times = 1;
  fb_interval interval = {1, 1};
  char label[160];
  fb_claim_label(part, row, label, sizeof label);
  S_times_better(row, &times, &interval);
  const char *kind = classes[fb_claim_of(row)];
  S_draw_label(fb_slice_of(label), 36, y, out);
  double middle = S_x(claims, 1), x = S_x(claims, times);
  fb_buf_printf(out,
                "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"8\" "
                "opacity=\".3\" stroke=\"none\"/>",
                kind, fmin(x, middle), y - 4, fmax(fabs(x - middle), 0.5));
  fb_buf_printf(out, "<line class=\"fb-range\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
                S_x(claims, interval.low), y, S_x(claims, interval.high), y);
  fb_buf_printf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", kind, x, y);
  fb_buf_printf(out,
                times < 1000 ? "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g×</text>\n"
                             : "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.0f×</text>\n",
                WIDTH - 4, y + 4, times);
}

void fb_plot_claims(const fb_suite_part *part, fb_buf *out) {
  S_claims claims = S_extent(part);
  double y = TOP + ROW / 2.0, times;
  fb_interval interval;
  if (claims.count == 0) return;
  fb_buf_printf(
      out,
      "<svg class=\"fb-plot fb-claims\" xmlns=\"http://www.w3.org/2000/svg\" "
      "viewBox=\"0 0 %d %zu\" role=\"img\" aria-label=\"figures beside their targets\">\n",
      WIDTH, TOP + claims.count * ROW + 4);
  S_draw_scale(&claims, out);
  for (size_t i = 0; i < part->judged_count; i++) {
    if (!S_times_better(&part->judged[i], &times, &interval)) continue;
    S_draw_claim(&claims, part, &part->judged[i], y, out);
    y += ROW;
  }
  fb_buf_text(out, "</svg>\n");
}
