/* SPDX-License-Identifier: Apache-2.0
 * Judges all measures of all candidates, and says it for people on a terminal. */
#include "proof/report.h"

#include <math.h>
#include <stdio.h>

fb_status fb_bench_report_judge(fb_bench_report *report, fb_arena *arena, fb_error *err) {
  const fb_bench *bench = report->bench;
  fb_random random;
  fb_random_seed(&random, report->seed);
  report->cells = fb_arena_zero(arena, bench->count * FB_MEASURE_COUNT * sizeof *report->cells);
  if (!report->cells) return fb_fail(err, FB_E_NOMEM, "out of memory");
  for (size_t i = 0; i < bench->count; i++)
    for (unsigned m = 0; m < FB_MEASURE_COUNT; m++) {
      fb_bench_cell *cell = &report->cells[i * FB_MEASURE_COUNT + m];
      fb_status status = fb_bench_figure_of(bench, i, m, &random, &cell->figure, err);
      if (status && status != FB_DONE) return status;
      cell->measured = status == FB_OK;
      if (!cell->measured || i == report->reference) continue;
      status = fb_bench_compare(bench, i, report->reference, m, &random, &cell->ratio, err);
      if (status) return status;
      cell->compared = cell->ratio.ratio > 0;
    }
  return FB_OK;
}

/* ── Words ───────────────────────────────────────────────────────────────────────────────────── */

static void S_scaled(double value, double base, const char *const *units, size_t count,
                     const char *blank, char out[24]) {
  size_t unit = 0;
  while (unit + 1 < count && value >= 0.9995 * base) value /= base, unit++;
  int decimals = value >= 99.95 || (unit == 0 && value == floor(value)) ? 0
                 : value >= 9.995                                       ? 1
                                                                        : 2;
  snprintf(out, 24, "%.*f%s%s", decimals, value, *units[unit] ? blank : "", units[unit]);
}

void fb_measure_format(fb_measure measure, double value, char out[24]) {
  static const char *const bytes[] = {"B", "kB", "MB", "GB", "TB"};
  static const char *const counts[] = {"", "k", "M", "G", "T"};
  const char *unit = fb_measure_unit(measure);
  if (*unit == 's') {
    if (value == 0)
      snprintf(out, 24, "0 s");
    else if (value < 1)
      S_scaled(value * 1e9, 1000, (const char *const[]){"ns", "µs", "ms", "s"}, 4, " ", out);
    else
      snprintf(out, 24, value < 99.95 ? "%.3f s" : "%.1f s", value);
  } else if (*unit == 'B') {
    S_scaled(value, 1000, bytes, 5, " ", out);
  } else {
    S_scaled(value, 1000, counts, 5, " ", out);
  }
}

void fb_ratio_words(fb_measure measure, const fb_bench_ratio *ratio, char out[64]) {
  static const char *const words[2][2] = {{"less", "more"}, {"faster", "slower"}};
  bool time = measure == FB_MEASURE_WALL;
  double r = ratio->ratio;
  if (ratio->verdict == FB_BENCH_NOT_MEASURED)
    snprintf(out, 64, "not measured: too few runs");
  else if (ratio->verdict == FB_BENCH_SAME)
    snprintf(out, 64, "no difference shown");
  else {
    const char *word = words[time][ratio->verdict == FB_BENCH_MORE];
    double factor = time && r < 1 ? 1 / r : r;
    if (time && factor >= 1.995)
      snprintf(out, 64, "%.2f times %s", factor, word);
    else if (!time && (r >= 1.995 || r < 0.1))
      snprintf(out, 64, "%.3g times as much", r);
    else
      snprintf(out, 64, "%.3g %% %s", fabs(r - 1) * 100, word);
  }
}

const char *fb_about_value(const fb_bench_about *about, size_t number) {
  return fb_bench_value(about->parameters, about->parameter_count, number, about->combination);
}

/* ── Text ────────────────────────────────────────────────────────────────────────────────────── */

static const char *S_effect(double effect) {
  double size = fabs(effect);
  return size >= 0.474 ? "large" : size >= 0.33 ? "medium" : size >= 0.147 ? "small" : "negligible";
}

static void S_main_line(const fb_bench_report *report, size_t side, fb_buf *out) {
  const fb_bench_cell *cell = fb_bench_cell_of(report, side, FB_MEASURE_WALL);
  const fb_summary *s = &cell->figure.summary;
  char median[24], low[24], high[24], min[24], max[24];
  if (!cell->measured) {
    fb_buf_text(out, "   time         not measured\n");
    return;
  }
  fb_measure_format(FB_MEASURE_WALL, s->median, median);
  fb_measure_format(FB_MEASURE_WALL, s->min, min);
  fb_measure_format(FB_MEASURE_WALL, s->max, max);
  fb_buf_printf(out, "   time         %s", median);
  if (cell->figure.has_interval) {
    fb_measure_format(FB_MEASURE_WALL, cell->figure.interval.low, low);
    fb_measure_format(FB_MEASURE_WALL, cell->figure.interval.high, high);
    fb_buf_printf(out, "  [%s … %s]", low, high);
  }
  fb_buf_printf(out, "   from %s to %s, %zu run%s\n", min, max, s->count, s->count == 1 ? "" : "s");
}

static void S_value(const fb_bench_report *report, size_t side, fb_measure measure,
                    const char *before, const char *after, fb_buf *out) {
  const fb_bench_cell *cell = fb_bench_cell_of(report, side, measure);
  char text[24];
  if (!cell->measured) {
    fb_buf_printf(out, "%snot available%s", before, after);
    return;
  }
  fb_measure_format(measure, cell->figure.summary.median, text);
  fb_buf_printf(out, "%s%s%s", before, text, after);
}

static bool S_has(const fb_bench_report *report, size_t side, fb_measure measure) {
  return fb_bench_cell_of(report, side, measure)->measured;
}

static void S_counters(const fb_bench_report *report, size_t side, fb_buf *out) {
  if (S_has(report, side, FB_MEASURE_USER)) {
    S_value(report, side, FB_MEASURE_USER, "   processor    user ", "", out);
    S_value(report, side, FB_MEASURE_SYSTEM, ", system ", "\n", out);
  }
  if (S_has(report, side, FB_MEASURE_MEMORY)) {
    S_value(report, side, FB_MEASURE_MEMORY, "   memory       ", " at most", out);
    S_value(report, side, FB_MEASURE_FAULTS_MINOR, "; page faults ", "", out);
    S_value(report, side, FB_MEASURE_FAULTS_MAJOR, " + ", " from disk", out);
    S_value(report, side, FB_MEASURE_SWITCHES_OWN, "; switches ", "", out);
    S_value(report, side, FB_MEASURE_SWITCHES_FORCED, " + ", " forced\n", out);
  }
  if (S_has(report, side, FB_MEASURE_INSTRUCTIONS)) {
    S_value(report, side, FB_MEASURE_INSTRUCTIONS, "   counters     ", " instructions", out);
    S_value(report, side, FB_MEASURE_CYCLES, ", ", " cycles", out);
    S_value(report, side, FB_MEASURE_CACHE_MISSES, ", ", " cache misses", out);
    S_value(report, side, FB_MEASURE_BRANCH_MISSES, ", ", " branch misses\n", out);
  } else {
    fb_buf_text(out, "   counters     not available\n");
  }
  if (S_has(report, side, FB_MEASURE_ALLOCATIONS)) {
    S_value(report, side, FB_MEASURE_ALLOCATIONS, "   allocations  ", "", out);
    S_value(report, side, FB_MEASURE_ALLOCATED, " of ", " together", out);
    S_value(report, side, FB_MEASURE_ALLOCATED_PEAK, ", ", " held at most\n", out);
  } else if (report->bench->sides[side].counted_count) {
    fb_buf_text(out, "   allocations  not available (a static program?)\n");
  }
}

static void S_work(const fb_bench_about *about, fb_buf *out) {
  if (about->work) fb_buf_printf(out, "   work         %s\n", about->work);
}

static void S_outliers(const fb_bench_report *report, size_t side, fb_buf *out) {
  const fb_bench_cell *cell = fb_bench_cell_of(report, side, FB_MEASURE_WALL);
  const fb_outliers *o = &cell->figure.summary.outliers;
  if (!cell->measured || o->low_mild + o->low_severe + o->high_mild + o->high_severe == 0) return;
  fb_buf_printf(out, "   outliers     ");
  const struct {
    size_t count;
    const char *name;
  } kinds[] = {{o->low_severe, "far below"},
               {o->low_mild, "below"},
               {o->high_mild, "above"},
               {o->high_severe, "far above"}};
  bool any = false;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (!kinds[i].count) continue;
    fb_buf_printf(out, "%s%zu %s", any ? ", " : "", kinds[i].count, kinds[i].name);
    any = true;
  }
  fb_buf_char(out, '\n');
}

static void S_compared(const fb_bench_report *report, size_t side, fb_measure measure,
                       const char *label, fb_buf *out) {
  const fb_bench_cell *cell = fb_bench_cell_of(report, side, measure);
  char words[64];
  if (!cell->compared) return;
  if (measure != FB_MEASURE_WALL && cell->ratio.verdict < FB_BENCH_LESS) return;
  fb_ratio_words(measure, &cell->ratio, words);
  fb_buf_printf(out, "   %s%s", label, words);
  if (cell->ratio.verdict != FB_BENCH_NOT_MEASURED)
    fb_buf_printf(out, "   ratio %.4g [%.4g … %.4g], effect %s", cell->ratio.ratio,
                  cell->ratio.interval.low, cell->ratio.interval.high,
                  S_effect(cell->ratio.effect));
  fb_buf_char(out, '\n');
}

static void S_side(const fb_bench_report *report, size_t side, fb_buf *out) {
  const fb_bench_about *about = &report->about[side];
  fb_buf_printf(out, "%zu  %s%s", side + 1, report->bench->sides[side].name,
                about->command && about->command->in_shell ? "   (in a shell)" : "");
  for (size_t i = 0; i < about->parameter_count; i++)
    fb_buf_printf(out, "%s%s=%s", i ? ", " : "   ", about->parameters[i].name,
                  fb_about_value(about, i));
  fb_buf_char(out, '\n');
  S_main_line(report, side, out);
  S_work(about, out);
  S_counters(report, side, out);
  S_outliers(report, side, out);
  if (about->command && about->command->failures)
    fb_buf_printf(out, "   failures     %llu of %llu runs ended with an error\n",
                  (unsigned long long)about->command->failures,
                  (unsigned long long)about->command->runs);
  if (side != report->reference) {
    char label[48];
    snprintf(label, sizeof label, "against %zu    ", report->reference + 1);
    S_compared(report, side, FB_MEASURE_WALL, label, out);
    S_compared(report, side, FB_MEASURE_MEMORY, "  memory     ", out);
    S_compared(report, side, FB_MEASURE_INSTRUCTIONS, "  instr.     ", out);
  }
}

void fb_bench_write_text(const fb_bench_report *report, fb_buf *out) {
  if (report->name) fb_buf_printf(out, "%s\n\n", report->name);
  for (size_t i = 0; i < report->bench->count; i++) {
    if (i) fb_buf_char(out, '\n');
    S_side(report, i, out);
  }
}

/* ── Remarks ─────────────────────────────────────────────────────────────────────────────────── */

static void S_say(void (*say)(void *context, const char *remark), void *context, const char *format,
                  ...) FB_PRINTF(3, 4);
static void S_say(void (*say)(void *context, const char *remark), void *context, const char *format,
                  ...) {
  char text[320];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  say(context, text);
}

/* Elapsed time that shows nothing while processor time does: others disturbed. */
static void S_user_remark(const fb_bench_report *report, size_t i,
                          void (*say)(void *context, const char *remark), void *context) {
  const fb_bench_cell *wall = fb_bench_cell_of(report, i, FB_MEASURE_WALL);
  const fb_bench_cell *user = fb_bench_cell_of(report, i, FB_MEASURE_USER);
  if (!wall->compared || !user->compared || wall->ratio.verdict != FB_BENCH_SAME ||
      (user->ratio.verdict != FB_BENCH_LESS && user->ratio.verdict != FB_BENCH_MORE))
    return;
  S_say(say, context,
        "%s: no difference in elapsed time is shown, but in user time: %.4g times the "
        "reference's (%.4g … %.4g)",
        report->bench->sides[i].name, user->ratio.ratio, user->ratio.interval.low,
        user->ratio.interval.high);
}

static void S_side_remarks(const fb_bench_report *report, size_t i,
                           void (*say)(void *context, const char *remark), void *context) {
  const fb_bench_side *side = &report->bench->sides[i];
  const fb_bench_cell *cell = fb_bench_cell_of(report, i, FB_MEASURE_WALL);
  const fb_bench_command *command = report->about[i].command;
  if (!cell->measured) return;
  const fb_summary *s = &cell->figure.summary;
  double fence = s->q3 + 3 * (s->q3 - s->q1), first = side->readings[0].values[FB_MEASURE_WALL];
  size_t far = s->outliers.low_severe + s->outliers.high_severe;
  if (s->count >= FB_SAMPLES_MIN && first > fence && first > 1.1 * s->median)
    S_say(say, context,
          "%s: the first run was much slower than the rest; warm up with `--warmup`, or make "
          "each run start cold with `--prepare`",
          side->name);
  if (s->count >= 20 && far * 10 > s->count)
    S_say(say, context, "%s: %zu of %zu runs are far off; something else disturbs the machine",
          side->name, far, s->count);
  if (s->count < FB_SAMPLES_MIN)
    S_say(say, context, "%s: %zu runs are too few for an interval; it takes %d", side->name,
          s->count, FB_SAMPLES_MIN);
  if (command && command->below_shell)
    S_say(say, context,
          "%s: %llu of %llu runs took no longer than the shell alone; measure it without a shell",
          side->name, (unsigned long long)command->below_shell, (unsigned long long)command->runs);
}

void fb_bench_remarks(const fb_bench_report *report, void (*say)(void *context, const char *remark),
                      void *context) {
  bool some = false, all = true;
  for (size_t i = 0; i < report->bench->count; i++) {
    const fb_bench_command *command = report->about[i].command;
    bool in_shell = command && command->in_shell;
    some |= in_shell;
    all &= in_shell;
    S_side_remarks(report, i, say, context);
    S_user_remark(report, i, say, context);
  }
  if (some && !all)
    S_say(say, context,
          "some candidates ran in a shell and others did not: the shell's time was taken off, "
          "but it varies; `-S` runs all in one");
  if (report->bench->ended) S_say(say, context, "interrupted: these are the runs until then");
  if (report->bench->cut_short)
    S_say(say, context, "the time limit was reached before all runs were done");
}
