/* SPDX-License-Identifier: Apache-2.0
 * Judges results by budgets. What was not measured, or not often enough, has not passed. */
#include "proof/results.h"

#include <math.h>

const char *fb_severity_name(fb_severity severity) {
  static const char *const names[] = {"minor", "major", "critical"};
  return names[severity];
}

const char *fb_gate_verdict_name(fb_gate_verdict verdict) {
  static const char *const names[] = {"pass", "unclear", "fail", "not measured"};
  return names[verdict];
}

typedef struct S_gate {
  const fb_budgets *budgets;
  const fb_history_series *past;
  size_t past_count;
  fb_random *random;
  fb_arena *arena;
} S_gate;

static void S_verdict(fb_gate_row *row, fb_gate_verdict verdict, const char *format, ...)
    FB_PRINTF(3, 4);
/* The worst counts, and its reason; the enum is in that order. */
static void S_verdict(fb_gate_row *row, fb_gate_verdict verdict, const char *format, ...) {
  va_list args;
  if (verdict < row->verdict || (verdict == row->verdict && row->reason[0])) return;
  row->verdict = verdict;
  va_start(args, format);
  vsnprintf(row->reason, sizeof row->reason, format, args);
  va_end(args);
}

static double S_confidence(const S_gate *gate) {
  return gate->budgets->confidence > 0 ? gate->budgets->confidence : 0.95;
}

/* ── Against a fixed bound ── */

static void S_judge_bound(fb_gate_row *row, double bound, fb_slice unit, bool is_max) {
  fb_slice own = row->result->unit;
  double factor = unit.len ? fb_unit_factor(unit, own) : 1;
  char limit[40], value[40];
  if (factor <= 0) {
    S_verdict(row, FB_GATE_NOT_MEASURED, "the bound is in %.*s and the result in %.*s",
              (int)unit.len, unit.ptr, (int)own.len, own.ptr);
    return;
  }
  bound *= factor;
  fb_quantity_format(bound, own, limit);
  fb_quantity_format(row->value, own, value);
  double near = is_max ? row->interval.low : row->interval.high;
  double far = is_max ? row->interval.high : row->interval.low;
  bool inside = is_max ? far <= bound : far >= bound;
  bool outside = is_max ? near > bound : near < bound;
  const char *side = is_max ? "at most" : "at least";
  if (inside)
    S_verdict(row, FB_GATE_PASS, "%s; %s %s", value, side, limit);
  else if (outside)
    S_verdict(row, FB_GATE_FAIL, "%s, and %s %s is allowed", value, side, limit);
  else
    S_verdict(row, FB_GATE_UNCLEAR, "%s; the bound of %s lies within the interval", value, limit);
}

/* ── Against the past ── */

static const fb_history_series *S_find_past(const S_gate *gate, const fb_bench_result *result) {
  for (size_t i = 0; i < gate->past_count; i++) {
    const fb_bench_result *head = &gate->past[i].head;
    if (fb_slice_equal(head->workload, result->workload) &&
        fb_slice_equal(head->metric, result->metric) &&
        fb_slice_equal(head->bench, result->bench) && fb_slice_equal(head->unit, result->unit))
      return &gate->past[i];
  }
  return NULL;
}

double fb_worse_of(fb_figure_kind kind) {
  static const double shares[] = {0.15, 0.10, 0.20, 0.25, 0.20};
  return shares[kind];
}

static double S_allowed(const fb_gate_row *row) {
  return row->budget->by_kind ? fb_worse_of(row->result->kind) : row->budget->worse;
}

static void S_judge_comparison(fb_gate_row *row) {
  const fb_comparison *c = &row->comparison;
  double allowed = S_allowed(row) * 100;
  switch (c->verdict) {
    case FB_COMPARED_NOT_MEASURED:
      S_verdict(row, FB_GATE_NOT_MEASURED, "%zu samples here and %zu in the past; %d are needed",
                c->b_count, c->a_count, FB_SAMPLES_MIN);
      break;
    case FB_COMPARED_WORSE:
      S_verdict(row, FB_GATE_FAIL, "%.1f %% worse, and %.3g %% is allowed (%.3g %% sure)",
                c->worse * 100, allowed, c->probability * 100);
      break;
    case FB_COMPARED_UNCLEAR:
      if (c->interval.high > S_allowed(row))
        S_verdict(row, FB_GATE_UNCLEAR, "between %.1f %% and %.1f %% worse; %.3g %% is allowed",
                  c->interval.low * 100, c->interval.high * 100, allowed);
      else
        S_verdict(row, FB_GATE_PASS, "not more than %.3g %% worse", allowed);
      break;
    case FB_COMPARED_SAME:
    case FB_COMPARED_BETTER: S_verdict(row, FB_GATE_PASS, "%+.1f %% (worse is +)", c->worse * 100);
  }
}

static fb_status S_judge_past(S_gate *gate, fb_gate_row *row, fb_error *err) {
  const fb_history_series *past = S_find_past(gate, row->result);
  if (!past || past->count == 0) {
    S_verdict(row, FB_GATE_NOT_MEASURED, "there is no past to compare with");
    return FB_OK;
  }
  fb_compare_options options = {
      .threshold = S_allowed(row), .confidence = S_confidence(gate), .exact = row->budget->exact};
  fb_error mine;
  fb_status status = fb_compare_history(past, row->result, &options, gate->random,
                                        gate->arena->allocator, &row->comparison, &mine);
  row->past_runs = past->count;
  if (status == FB_E_PROOF_SAMPLES) { /* a value of 0: no ratio */
    S_verdict(row, FB_GATE_NOT_MEASURED, "%s", mine.text);
    return FB_OK;
  }
  if (status != FB_OK) return fb_fail(err, status, "%s", mine.text);
  row->compared = row->comparison.verdict != FB_COMPARED_NOT_MEASURED;
  S_judge_comparison(row);
  return FB_OK;
}

/* ── Rows ── */

static fb_status S_measure(S_gate *gate, fb_gate_row *row, fb_error *err) {
  const fb_bench_result *result = row->result;
  const fb_allocator *allocator = gate->arena->allocator;
  fb_bootstrap bootstrap;
  fb_summary summary;
  fb_status status = fb_summarize(result->samples, result->count, allocator, &summary, err);
  if (status != FB_OK) return status;
  row->value = summary.median;
  row->interval = (fb_interval){summary.median, summary.median};
  if (result->count < FB_SAMPLES_MIN) return FB_OK;
  status = fb_bootstrap_median(result->samples, result->count, 0, gate->random, allocator,
                               &bootstrap, err);
  if (status != FB_OK) return status;
  row->interval = fb_bootstrap_interval(&bootstrap, S_confidence(gate));
  row->has_interval = true;
  fb_bootstrap_release(&bootstrap);
  return FB_OK;
}

static fb_status S_judge_row(S_gate *gate, fb_gate_row *row, fb_error *err) {
  const fb_budget *budget = row->budget;
  fb_status status = S_measure(gate, row, err);
  if (status != FB_OK) return status;
  if (!row->has_interval && !budget->exact && (budget->has_max || budget->has_min))
    S_verdict(row, FB_GATE_NOT_MEASURED, "%zu samples; %d are needed for an interval",
              row->result->count, FB_SAMPLES_MIN);
  if (budget->has_max) S_judge_bound(row, budget->max, budget->max_unit, true);
  if (budget->has_min) S_judge_bound(row, budget->min, budget->min_unit, false);
  return budget->has_worse ? S_judge_past(gate, row, err) : FB_OK;
}

static bool S_fits(const fb_budget *budget, const fb_bench_result *result, fb_buf *name) {
  fb_buf_clear(name);
  fb_result_name(result, name);
  return fb_glob_match(budget->series, fb_buf_slice(name));
}

/* How many rows there will be: every pair that fits, and one for each budget without any. */
static size_t S_count_rows(const fb_budgets *budgets, const fb_results *results, fb_buf *name) {
  size_t rows = 0;
  for (size_t i = 0; i < budgets->count; i++) {
    size_t before = rows;
    for (size_t k = 0; k < results->count; k++)
      rows += S_fits(&budgets->items[i], &results->items[k], name);
    rows += rows == before;
  }
  return rows;
}

static fb_status S_judge_all(S_gate *gate, const fb_results *results, fb_buf *name,
                             fb_gate_row *rows, fb_error *err) {
  size_t at = 0;
  for (size_t i = 0; i < gate->budgets->count; i++) {
    const fb_budget *budget = &gate->budgets->items[i];
    size_t before = at;
    for (size_t k = 0; k < results->count; k++) {
      if (!S_fits(budget, &results->items[k], name)) continue;
      rows[at] = (fb_gate_row){.budget = budget, .result = &results->items[k]};
      fb_status status = S_judge_row(gate, &rows[at++], err);
      if (status != FB_OK) return status;
    }
    if (at != before) continue;
    rows[at] = (fb_gate_row){.budget = budget};
    S_verdict(&rows[at++], FB_GATE_NOT_MEASURED, "no result fits `%.*s`", (int)budget->series.len,
              budget->series.ptr);
  }
  return name->failed ? fb_fail(err, FB_E_NOMEM, "no memory for a name") : FB_OK;
}

fb_status fb_gate_judge(const fb_budgets *budgets, const fb_results *results,
                        const fb_history_series *past, size_t past_count, fb_random *random,
                        fb_arena *arena, fb_gate_row **ret, size_t *ret_count, fb_error *err) {
  S_gate gate = {budgets, past, past_count, random, arena};
  fb_buf name;
  fb_buf_init(&name, arena->allocator, 0);
  size_t count = S_count_rows(budgets, results, &name);
  fb_gate_row *rows = name.failed ? NULL : fb_arena_zero(arena, count * sizeof *rows);
  fb_status status = rows ? S_judge_all(&gate, results, &name, rows, err)
                          : fb_fail(err, FB_E_NOMEM, "no memory for %zu rows", count);
  fb_buf_release(&name);
  if (status != FB_OK) return status;
  *ret = rows;
  *ret_count = count;
  return FB_OK;
}
