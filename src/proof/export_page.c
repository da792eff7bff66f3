/* SPDX-License-Identifier: Apache-2.0
 * Bench reports for people: Markdown, and a page of HTML that needs nothing else. */
#include "proof/report.h"

#include <math.h>
#include <stdio.h>

/* ── Markdown ────────────────────────────────────────────────────────────────────────────────── */

/* In a cell of a table, as code. */
static void S_code(fb_buf *out, const char *text) {
  bool tick = strchr(text, '`') != NULL;
  fb_buf_text(out, tick ? "`` " : "`");
  for (; *text; text++) {
    if (*text == '|') fb_buf_char(out, '\\');
    fb_buf_char(out, *text == '\n' ? ' ' : *text);
  }
  fb_buf_text(out, tick ? " ``" : "`");
}

static void S_median(const fb_bench_report *report, size_t side, fb_measure measure, fb_buf *out) {
  const fb_bench_cell *cell = fb_bench_cell_of(report, side, measure);
  char text[24];
  if (!cell->measured) {
    fb_buf_text(out, "not available");
    return;
  }
  fb_measure_format(measure, cell->figure.summary.median, text);
  fb_buf_text(out, text);
}

static void S_interval(const fb_bench_cell *cell, fb_buf *out) {
  char low[24], high[24];
  if (!cell->figure.has_interval) {
    fb_buf_text(out, "–");
    return;
  }
  fb_measure_format(FB_MEASURE_WALL, cell->figure.interval.low, low);
  fb_measure_format(FB_MEASURE_WALL, cell->figure.interval.high, high);
  fb_buf_printf(out, "%s … %s", low, high);
}

static void S_verdict(const fb_bench_report *report, size_t side, fb_buf *out) {
  const fb_bench_cell *cell = fb_bench_cell_of(report, side, FB_MEASURE_WALL);
  char words[64];
  if (side == report->reference) {
    fb_buf_text(out, "reference");
    return;
  }
  if (!cell->compared) {
    fb_buf_text(out, "not measured");
    return;
  }
  fb_ratio_words(FB_MEASURE_WALL, &cell->ratio, words);
  fb_buf_text(out, words);
  if (cell->ratio.verdict != FB_BENCH_NOT_MEASURED)
    fb_buf_printf(out, " (%.4g, %.4g … %.4g)", cell->ratio.ratio, cell->ratio.interval.low,
                  cell->ratio.interval.high);
}

static void S_markdown_line(const fb_bench_report *report, size_t side, fb_buf *out) {
  const fb_bench_cell *wall = fb_bench_cell_of(report, side, FB_MEASURE_WALL);
  fb_buf_text(out, "| ");
  S_code(out, report->bench->sides[side].name);
  fb_buf_text(out, " | ");
  S_median(report, side, FB_MEASURE_WALL, out);
  fb_buf_text(out, " | ");
  S_interval(wall, out);
  fb_buf_text(out, " | ");
  S_median(report, side, FB_MEASURE_USER, out);
  fb_buf_text(out, " + ");
  S_median(report, side, FB_MEASURE_SYSTEM, out);
  fb_buf_text(out, " | ");
  S_median(report, side, FB_MEASURE_MEMORY, out);
  fb_buf_printf(out, " | %zu | ", report->bench->sides[side].count);
  S_verdict(report, side, out);
  fb_buf_text(out, " |\n");
}

static void S_markdown_remark(void *context, const char *remark) {
  fb_buf_printf(context, "- %s\n", remark);
}

static void S_machine(const fb_environment *env, fb_buf *out) {
  char memory[24];
  fb_measure_format(FB_MEASURE_MEMORY, env->memory > 0 ? (double)env->memory : 0, memory);
  fb_buf_printf(out, "%s, %d processor%s, %s; %s; %s; %s", env->cpu[0] ? env->cpu : env->machine,
                env->processors, env->processors == 1 ? "" : "s", memory,
                env->system[0] ? env->system : "system not known", env->kernel, env->libc);
}

void fb_bench_write_markdown(const fb_bench_report *report, fb_buf *out) {
  const fb_environment *env = report->environment;
  if (report->name) fb_buf_printf(out, "# %s\n\n", report->name);
  fb_buf_text(
      out,
      "| candidate | median | 95 % interval | user + system | memory | runs | verdict (ratio) |\n");
  fb_buf_text(out, "|---|---:|---:|---:|---:|---:|---|\n");
  for (size_t i = 0; i < report->bench->count; i++) S_markdown_line(report, i, out);
  fb_buf_text(out, "\nMeasured on ");
  S_machine(env, out);
  fb_buf_printf(out, ". Fingerprint `%s`, load %.2f, order by seed %llu.\n", env->fingerprint,
                env->load, (unsigned long long)report->seed);
  fb_buf_text(out, "\n");
  size_t before = out->len;
  fb_bench_remarks(report, S_markdown_remark, out);
  for (size_t i = 0; i < env->warning_count; i++) S_markdown_remark(out, env->warnings[i]);
  if (out->len == before && before) out->ptr[--out->len] = 0;
}

/* ── HTML ────────────────────────────────────────────────────────────────────────────────────── */

static void S_escape(fb_buf *out, const char *text) {
  for (; *text; text++) switch (*text) {
      case '<': fb_buf_text(out, "&lt;"); break;
      case '>': fb_buf_text(out, "&gt;"); break;
      case '&': fb_buf_text(out, "&amp;"); break;
      case '"': fb_buf_text(out, "&quot;"); break;
      default: fb_buf_char(out, *text);
    }
}

static const char S_style[] =
    "<style>:root{--ink:#1b1f24;--dim:#5b6570;--paper:#fff;--line:#d8dee4;--bar:#3b6fd4;--good:#"
    "1a7f37;"
    "--bad:#b42318}@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9aa5b1;--paper:#"
    "0f1419;"
    "--line:#30363d;--bar:#6ea0ff;--good:#4ac26b;--bad:#ff7b72}}body{font:15px/1.5 "
    "system-ui,sans-serif;"
    "color:var(--ink);background:var(--paper);max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}th,td{padding:.35rem .6rem;border-bottom:1px solid "
    "var(--line);"
    "text-align:right;vertical-align:top}th:first-child,td:first-child,td:last-child,th:last-child{"
    "text-align:left}"
    "code{font:13px "
    "ui-monospace,monospace;overflow-wrap:anywhere}.less{color:var(--good)}.more{color:var(--bad)}"
    ".dim{color:var(--dim)}svg{width:100%;height:auto}svg text{font:12px "
    "system-ui,sans-serif;fill:var(--ink)}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem "
    "1rem}dt{color:var(--dim)}dd{margin:0}"
    "@media print{body{margin:0;max-width:none}}</style>";

enum { PLOT_LEFT = 220, PLOT_WIDTH = 720, PLOT_ROW = 34, DOTS_MAX = 400 };

typedef struct S_plot {
  double from, to;
} S_plot;

static double S_x(const S_plot *plot, double value) {
  double part = plot->to > plot->from ? (value - plot->from) / (plot->to - plot->from) : 0.5;
  return PLOT_LEFT + part * PLOT_WIDTH;
}

/* A box from quartile to quartile, a line at the median, and every run (or an even choice of them) as a dot. */
static void S_plot_side(const fb_bench_report *report, const S_plot *plot, size_t side,
                        fb_buf *out) {
  const fb_bench_side *data = &report->bench->sides[side];
  const fb_bench_cell *cell = fb_bench_cell_of(report, side, FB_MEASURE_WALL);
  double y = (double)side * PLOT_ROW + PLOT_ROW / 2.0;
  const fb_summary *s = &cell->figure.summary;
  fb_buf_printf(out, "<text x=\"0\" y=\"%.1f\">%zu  ", y + 4, side + 1);
  char name[120];
  snprintf(name, sizeof name, "%.28s", data->name);
  S_escape(out, fb_utf8_valid(name, strlen(name), NULL) ? name : "…");
  fb_buf_text(out, "</text>");
  if (!cell->measured) return;
  size_t step = data->count / DOTS_MAX + 1;
  for (size_t i = 0; i < data->count; i += step)
    fb_buf_printf(
        out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.8\" fill=\"var(--dim)\" opacity=\".45\"/>",
        S_x(plot, data->readings[i].values[FB_MEASURE_WALL]), y + (double)(i * 7919 % 17) - 8);
  double q1 = S_x(plot, s->q1), q3 = S_x(plot, s->q3), median = S_x(plot, s->median);
  fb_buf_printf(
      out,
      "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"14\" fill=\"var(--bar)\" "
      "fill-opacity=\".25\" stroke=\"var(--bar)\"/><line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" "
      "y2=\"%.1f\" stroke=\"var(--bar)\" stroke-width=\"2.5\"/>",
      q1, y - 7, fmax(q3 - q1, 1), median, median, y - 9, y + 9);
}

static void S_plot_all(const fb_bench_report *report, fb_buf *out) {
  S_plot plot = {INFINITY, 0};
  char from[24], to[24];
  size_t count = report->bench->count;
  for (size_t i = 0; i < count; i++) {
    const fb_bench_cell *cell = fb_bench_cell_of(report, i, FB_MEASURE_WALL);
    if (!cell->measured) continue;
    plot.from = fmin(plot.from, cell->figure.summary.min);
    plot.to = fmax(plot.to, cell->figure.summary.max);
  }
  if (!(plot.to >= plot.from)) return;
  double bottom = (double)count * PLOT_ROW;
  fb_measure_format(FB_MEASURE_WALL, plot.from, from);
  fb_measure_format(FB_MEASURE_WALL, plot.to, to);
  fb_buf_printf(out, "<svg role=\"img\" aria-label=\"times of all runs\" viewBox=\"0 0 %d %.0f\">",
                PLOT_LEFT + PLOT_WIDTH + 20, bottom + 24);
  for (size_t i = 0; i < count; i++) S_plot_side(report, &plot, i, out);
  fb_buf_printf(
      out,
      "<line x1=\"%d\" x2=\"%d\" y1=\"%.0f\" y2=\"%.0f\" stroke=\"var(--line)\"/><text x=\"%d\" "
      "y=\"%.0f\">%s</text><text x=\"%d\" y=\"%.0f\" text-anchor=\"end\">%s</text></svg>",
      PLOT_LEFT, PLOT_LEFT + PLOT_WIDTH, bottom, bottom, PLOT_LEFT, bottom + 16, from,
      PLOT_LEFT + PLOT_WIDTH, bottom + 16, to);
}

static void S_html_line(const fb_bench_report *report, size_t side, fb_buf *out) {
  const fb_bench_about *about = &report->about[side];
  const fb_bench_cell *wall = fb_bench_cell_of(report, side, FB_MEASURE_WALL);
  static const fb_measure rest[] = {FB_MEASURE_USER, FB_MEASURE_SYSTEM, FB_MEASURE_MEMORY,
                                    FB_MEASURE_INSTRUCTIONS, FB_MEASURE_ALLOCATIONS};
  fb_buf_printf(out, "<tr><td>%zu <code>", side + 1);
  S_escape(out, report->bench->sides[side].name);
  fb_buf_text(out, "</code>");
  if (strcmp(about->what, report->bench->sides[side].name) != 0) {
    fb_buf_text(out, "<br><code class=\"dim\">");
    S_escape(out, about->what);
    fb_buf_text(out, "</code>");
  }
  fb_buf_text(out, "</td><td>");
  S_median(report, side, FB_MEASURE_WALL, out);
  fb_buf_text(out, "</td><td>");
  S_interval(wall, out);
  for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) {
    fb_buf_text(out, "</td><td>");
    S_median(report, side, rest[i], out);
  }
  fb_buf_printf(out, "</td><td>%zu</td><td class=\"%s\">", report->bench->sides[side].count,
                wall->compared ? fb_bench_verdict_name(wall->ratio.verdict) : "");
  S_verdict(report, side, out);
  fb_buf_text(out, "</td></tr>");
}

static void S_html_remark(void *context, const char *remark) {
  fb_buf_text(context, "<li>");
  S_escape(context, remark);
}

static void S_html_row(fb_buf *out, const char *name, const char *text) {
  fb_buf_printf(out, "<dt>%s</dt><dd>", name);
  S_escape(out, *text ? text : "not known");
  fb_buf_text(out, "</dd>");
}

static void S_html_environment(const fb_bench_report *report, fb_buf *out) {
  const fb_environment *env = report->environment;
  char text[200], time[FB_TIME_TEXT_MAX];
  fb_buf_text(out, "<h2>Machine</h2><dl>");
  S_html_row(out, "Processor", env->cpu);
  snprintf(text, sizeof text, "%d", env->processors);
  S_html_row(out, "Processors", text);
  S_html_row(out, "Governor", env->governor);
  snprintf(text, sizeof text, "%.2f", env->load);
  S_html_row(out, "Load before", env->load < 0 ? "" : text);
  S_html_row(out, "System", env->system);
  S_html_row(out, "Kernel", env->kernel);
  S_html_row(out, "Container", env->container[0] ? env->container : "none found");
  S_html_row(out, "Fingerprint", env->fingerprint);
  fb_time_format(report->wall / 1000000000, 0, time);
  S_html_row(out, "Measured", time);
  snprintf(text, sizeof text, "flyball %s, seed %llu", fb_version(),
           (unsigned long long)report->seed);
  S_html_row(out, "With", text);
  fb_buf_text(out, "</dl>");
}

void fb_bench_write_html(const fb_bench_report *report, fb_buf *out) {
  const char *name = report->name ? report->name : "Benchmark";
  fb_buf_text(out,
              "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
              "content=\"width=device-width\"><title>");
  S_escape(out, name);
  fb_buf_text(out, "</title>");
  fb_buf_text(out, S_style);
  fb_buf_text(out, "<h1>");
  S_escape(out, name);
  fb_buf_text(out, "</h1>");
  S_plot_all(report, out);
  fb_buf_text(
      out,
      "<table><thead><tr><th>Candidate<th>Median<th>95 % interval<th>User<th>System<th>Memory"
      "<th>Instructions<th>Allocations<th>Runs<th>Verdict (ratio of medians)</thead><tbody>");
  for (size_t i = 0; i < report->bench->count; i++) S_html_line(report, i, out);
  fb_buf_text(out, "</tbody></table><ul>");
  fb_bench_remarks(report, S_html_remark, out);
  for (size_t i = 0; i < report->environment->warning_count; i++)
    S_html_remark(out, report->environment->warnings[i]);
  fb_buf_text(out, "</ul>");
  S_html_environment(report, out);
  fb_buf_text(out, "</html>\n");
}
