/* SPDX-License-Identifier: Apache-2.0
 * Bench reports for machines: JSON and CSV. */
#include "proof/report.h"

#include <stdio.h>

static void S_number(fb_buf *out, double number) {
  char text[32];
  fb_double_format(number, text);
  fb_buf_text(out, text);
}

static void S_member(fb_buf *out, const char *key, double number) {
  fb_buf_printf(out, "\"%s\":", key);
  S_number(out, number);
}

static void S_text(fb_buf *out, const char *text) {
  if (text)
    fb_json_write_text(out, fb_slice_of(text), FB_JSON_HTML_SAFE);
  else
    fb_buf_text(out, "null");
}

/* ── JSON ────────────────────────────────────────────────────────────────────────────────────── */

static void S_samples(const fb_bench_side *side, fb_measure measure, fb_buf *out) {
  bool counted = measure >= FB_MEASURE_ALLOCATIONS && side->counted_count;
  const fb_reading *readings = counted ? side->counted : side->readings;
  size_t count = counted ? side->counted_count : side->count;
  fb_buf_text(out, ",\"samples\":[");
  for (size_t i = 0; i < count; i++) {
    if (i) fb_buf_char(out, ',');
    S_number(out, readings[i].values[measure]);
  }
  fb_buf_char(out, ']');
}

static void S_measure(const fb_bench_report *report, size_t side, fb_measure measure, bool samples,
                      fb_buf *out) {
  const fb_bench_cell *cell = fb_bench_cell_of(report, side, measure);
  const fb_summary *s = &cell->figure.summary;
  fb_buf_printf(out, "\"%s\":", fb_measure_name(measure));
  if (!cell->measured) {
    fb_buf_text(out, "null");
    return;
  }
  fb_buf_printf(out, "{\"unit\":\"%s\",\"runs\":%zu,", fb_measure_unit(measure), s->count);
  S_member(out, "median", s->median);
  if (cell->figure.has_interval) {
    fb_buf_char(out, ',');
    S_member(out, "low", cell->figure.interval.low);
    fb_buf_char(out, ',');
    S_member(out, "high", cell->figure.interval.high);
  }
  const struct {
    const char *key;
    double value;
  } rest[] = {{"min", s->min},   {"q1", s->q1}, {"q3", s->q3},  {"max", s->max},
              {"mean", s->mean}, {"sd", s->sd}, {"mad", s->mad}};
  for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) {
    fb_buf_char(out, ',');
    S_member(out, rest[i].key, rest[i].value);
  }
  fb_buf_printf(out,
                ",\"outliers\":{\"low_severe\":%zu,\"low_mild\":%zu,\"high_mild\":%zu,"
                "\"high_severe\":%zu}",
                s->outliers.low_severe, s->outliers.low_mild, s->outliers.high_mild,
                s->outliers.high_severe);
  if (samples) S_samples(&report->bench->sides[side], measure, out);
  fb_buf_char(out, '}');
}

static void S_ratio(const fb_bench_cell *cell, fb_measure measure, fb_buf *out) {
  fb_buf_printf(out, "\"%s\":{", fb_measure_name(measure));
  S_member(out, "ratio", cell->ratio.ratio);
  if (cell->ratio.verdict != FB_BENCH_NOT_MEASURED) {
    fb_buf_char(out, ',');
    S_member(out, "low", cell->ratio.interval.low);
    fb_buf_char(out, ',');
    S_member(out, "high", cell->ratio.interval.high);
    fb_buf_char(out, ',');
    S_member(out, "effect", cell->ratio.effect);
    fb_buf_char(out, ',');
    S_member(out, "p", cell->ratio.p);
  }
  fb_buf_printf(out, ",\"verdict\":\"%s\"}", fb_bench_verdict_name(cell->ratio.verdict));
}

static void S_about(const fb_bench_report *report, size_t side, fb_buf *out) {
  const fb_bench_about *about = &report->about[side];
  fb_buf_text(out, "{\"name\":");
  S_text(out, report->bench->sides[side].name);
  fb_buf_printf(out, ",\"kind\":\"%s\",\"what\":", about->kind);
  S_text(out, about->what);
  fb_buf_printf(out, ",\"runs\":%zu", report->bench->sides[side].count);
  if (about->command)
    fb_buf_printf(out, ",\"shell\":%s,\"failures\":%llu",
                  about->command->in_shell ? "true" : "false",
                  (unsigned long long)about->command->failures);
  if (about->work) {
    fb_buf_text(out, ",\"work\":");
    S_text(out, about->work);
  }
  if (!about->parameter_count) return;
  fb_buf_text(out, ",\"parameters\":{");
  for (size_t i = 0; i < about->parameter_count; i++) {
    if (i) fb_buf_char(out, ',');
    S_text(out, about->parameters[i].name);
    fb_buf_char(out, ':');
    S_text(out, fb_about_value(about, i));
  }
  fb_buf_char(out, '}');
}

static void S_side(const fb_bench_report *report, size_t side, bool samples, fb_buf *out) {
  S_about(report, side, out);
  fb_buf_text(out, ",\"measures\":{");
  for (unsigned m = 0; m < FB_MEASURE_COUNT; m++) {
    if (m) fb_buf_char(out, ',');
    S_measure(report, side, m, samples, out);
  }
  fb_buf_char(out, '}');
  if (side != report->reference) {
    bool any = false;
    fb_buf_text(out, ",\"against_reference\":{");
    for (unsigned m = 0; m < FB_MEASURE_COUNT; m++) {
      const fb_bench_cell *cell = fb_bench_cell_of(report, side, m);
      if (!cell->compared) continue;
      if (any) fb_buf_char(out, ',');
      any = true;
      S_ratio(cell, m, out);
    }
    fb_buf_char(out, '}');
  }
  fb_buf_char(out, '}');
}

static void S_time(int64_t wall, fb_buf *out) {
  char text[FB_TIME_TEXT_MAX];
  size_t len = fb_time_format(wall / 1000000000, 0, text);
  fb_buf_char(out, '"');
  fb_buf_add(out, text, len);
  fb_buf_char(out, '"');
}

static void S_remark(void *context, const char *remark) {
  fb_buf *out = context;
  if (out->len && out->ptr[out->len - 1] != '[') fb_buf_char(out, ',');
  S_text(out, remark);
}

void fb_bench_write_json(const fb_bench_report *report, bool samples, fb_buf *out) {
  const fb_bench *bench = report->bench;
  fb_buf_text(out, "{\"type\":\"flyball.bench.v1\",\"name\":");
  S_text(out, report->name);
  fb_buf_text(out, ",\"time\":");
  S_time(report->wall, out);
  fb_buf_char(out, ',');
  S_member(out, "elapsed", 1e-9 * (double)bench->elapsed);
  fb_buf_printf(out, ",\"seed\":%llu,\"reference\":%zu,\"paired\":%s,\"complete\":%s",
                (unsigned long long)report->seed, report->reference,
                bench->paired ? "true" : "false",
                bench->ended || bench->cut_short ? "false" : "true");
  fb_buf_text(out, ",\"shell_cost\":");
  if (report->shell_cost)
    S_number(out, report->shell_cost->values[FB_MEASURE_WALL]);
  else
    fb_buf_text(out, "null");
  fb_buf_text(out, ",\"environment\":{");
  fb_environment_json(report->environment, out);
  fb_buf_text(out, "},\"remarks\":[");
  fb_bench_remarks(report, S_remark, out);
  fb_buf_text(out, "],\"candidates\":[");
  for (size_t i = 0; i < bench->count; i++) {
    if (i) fb_buf_char(out, ',');
    S_side(report, i, samples, out);
  }
  fb_buf_text(out, "]}\n");
}

/* ── CSV ─────────────────────────────────────────────────────────────────────────────────────── */

/* RFC 4180. A text that a spreadsheet would take for a formula gets an apostrophe. */
static void S_cell(fb_buf *out, const char *text) {
  bool formula = *text && strchr("=+-@", *text);
  if (!formula && !strpbrk(text, ",\"\r\n")) {
    fb_buf_text(out, text);
    return;
  }
  fb_buf_text(out, formula ? "\"'" : "\"");
  for (; *text; text++) {
    if (*text == '"') fb_buf_char(out, '"');
    fb_buf_char(out, *text);
  }
  fb_buf_char(out, '"');
}

static const fb_measure S_csv_medians[] = {FB_MEASURE_USER,        FB_MEASURE_SYSTEM,
                                           FB_MEASURE_MEMORY,      FB_MEASURE_INSTRUCTIONS,
                                           FB_MEASURE_ALLOCATIONS, FB_MEASURE_ALLOCATED};
enum { CSV_MEDIANS = sizeof S_csv_medians / sizeof *S_csv_medians };

static void S_csv_header(const fb_bench_report *report, fb_buf *out) {
  const fb_bench_about *about = &report->about[0];
  fb_buf_text(out, "name,command,runs,median,low,high,mean,sd,min,max");
  for (size_t i = 0; i < CSV_MEDIANS; i++)
    fb_buf_printf(out, ",%s", fb_measure_name(S_csv_medians[i]));
  fb_buf_text(out, ",ratio,ratio_low,ratio_high,verdict");
  for (size_t i = 0; i < about->parameter_count; i++)
    fb_buf_printf(out, ",parameter_%s", about->parameters[i].name);
  fb_buf_text(out, "\n");
}

/* An empty cell is "not measured". */
static void S_csv_number(fb_buf *out, bool known, double number) {
  fb_buf_char(out, ',');
  if (known) S_number(out, number);
}

static void S_csv_line(const fb_bench_report *report, size_t side, fb_buf *out) {
  const fb_bench_about *about = &report->about[side];
  const fb_bench_cell *wall = fb_bench_cell_of(report, side, FB_MEASURE_WALL);
  const fb_summary *s = &wall->figure.summary;
  bool judged = wall->compared && wall->ratio.verdict != FB_BENCH_NOT_MEASURED;
  S_cell(out, report->bench->sides[side].name);
  fb_buf_char(out, ',');
  S_cell(out, about->what);
  fb_buf_printf(out, ",%zu", report->bench->sides[side].count);
  S_csv_number(out, wall->measured, s->median);
  S_csv_number(out, wall->figure.has_interval, wall->figure.interval.low);
  S_csv_number(out, wall->figure.has_interval, wall->figure.interval.high);
  S_csv_number(out, wall->measured, s->mean);
  S_csv_number(out, wall->measured, s->sd);
  S_csv_number(out, wall->measured, s->min);
  S_csv_number(out, wall->measured, s->max);
  for (size_t i = 0; i < CSV_MEDIANS; i++) {
    const fb_bench_cell *cell = fb_bench_cell_of(report, side, S_csv_medians[i]);
    S_csv_number(out, cell->measured, cell->figure.summary.median);
  }
  S_csv_number(out, wall->compared, wall->ratio.ratio);
  S_csv_number(out, judged, wall->ratio.interval.low);
  S_csv_number(out, judged, wall->ratio.interval.high);
  fb_buf_printf(
      out, ",%s",
      side == report->reference ? "reference" : fb_bench_verdict_name(wall->ratio.verdict));
  for (size_t i = 0; i < about->parameter_count; i++) {
    fb_buf_char(out, ',');
    S_cell(out, fb_about_value(about, i));
  }
  fb_buf_char(out, '\n');
}

void fb_bench_write_csv(const fb_bench_report *report, fb_buf *out) {
  S_csv_header(report, out);
  for (size_t i = 0; i < report->bench->count; i++) S_csv_line(report, i, out);
}
