/* SPDX-License-Identifier: Apache-2.0
 * Judges the rows of a suite: each by its own budget, over the results of its part. */
#include "proof/results.h"

typedef struct S_judge {
  fb_suite *suite;
  fb_random *random;
} S_judge;

static fb_status S_no_memory(fb_error *err) {
  return fb_fail(err, FB_E_NOMEM, "no memory for the rows of a suite");
}

static bool S_is_rate(fb_slice unit) {
  return fb_slice_equal(unit, FB_SLICE("/s"));
}

static bool S_wants_rate(const fb_budget *budget) {
  return (budget->has_min && S_is_rate(budget->min_unit)) ||
         (budget->has_max && S_is_rate(budget->max_unit));
}

/* A copy of the samples with each a function of itself. */
static bool S_map_samples(fb_bench_result *result, double factor, bool invert, fb_arena *arena) {
  double *samples = fb_arena_alloc(arena, result->count * sizeof *samples);
  if (!samples) return false;
  for (size_t i = 0; i < result->count; i++) {
    double value = result->samples[i] * factor;
    samples[i] = invert ? 1 / value : value;
  }
  result->samples = samples;
  return true;
}

static bool S_all_above_zero(const fb_bench_result *result) {
  for (size_t i = 0; i < result->count; i++)
    if (!(result->samples[i] > 0)) return false;
  return true;
}

/* The result as the row sees it: of one operation, and as a rate if the bound is one. */
static bool S_view(const fb_suite_row *row, fb_bench_result *result, fb_arena *arena) {
  double seconds = fb_unit_factor(result->unit, FB_SLICE("s")), per = row->per > 0 ? row->per : 1;
  if (S_wants_rate(&row->budget) && seconds > 0 && S_all_above_zero(result)) {
    if (!S_map_samples(result, seconds / per, true, arena)) return false;
    result->unit = FB_SLICE("/s");
    result->direction = FB_MORE_IS_BETTER;
    result->kind = FB_METRIC_THROUGHPUT;
    return true;
  }
  bool rate = result->unit.len >= 2 && !memcmp(result->unit.ptr + result->unit.len - 2, "/s", 2);
  return per == 1 || S_map_samples(result, rate ? per : 1 / per, false, arena);
}

/* The part's results that fit the row, seen as it wants them. */
static bool S_select(const S_judge *judge, const fb_suite_part *part, const fb_suite_row *row,
                     fb_results *ret) {
  fb_arena *arena = &judge->suite->arena;
  size_t count = part->results && !part->trouble ? part->results->count : 0;
  fb_buf name;
  *ret = (fb_results){.items = fb_arena_zero(arena, (count + 1) * sizeof *ret->items)};
  if (!ret->items) return false;
  bool good = true;
  fb_buf_init(&name, judge->suite->allocator, 0);
  for (size_t i = 0; i < count && good; i++) {
    fb_buf_clear(&name);
    fb_result_name(&part->results->items[i], &name);
    if (!fb_glob_match(row->budget.series, fb_buf_slice(&name))) continue;
    ret->items[ret->count] = part->results->items[i];
    good = S_view(row, &ret->items[ret->count++], arena) && !name.failed;
  }
  fb_buf_release(&name);
  return good;
}

static void S_not_measured(fb_gate_row *row, const fb_suite_part *part, const fb_suite_row *claim) {
  if (claim->absent.len)
    snprintf(row->reason, sizeof row->reason, "%.*s", (int)claim->absent.len, claim->absent.ptr);
  else if (part->trouble)
    snprintf(row->reason, sizeof row->reason, "%s", part->trouble);
}

static fb_status S_judge_row(const S_judge *judge, const fb_suite_part *part,
                             const fb_suite_row *row, fb_gate_row **ret, size_t *ret_count,
                             fb_error *err) {
  fb_results results;
  fb_suite *suite = judge->suite;
  fb_budgets budgets = {.items = (fb_budget *)&row->budget, .count = 1};
  if (!S_select(judge, part, row, &results)) return S_no_memory(err);
  if (row->absent.len) results.count = 0;
  fb_status status =
      fb_gate_judge(&budgets, &results, NULL, 0, judge->random, &suite->arena, ret, ret_count, err);
  if (status == FB_OK && results.count == 0) S_not_measured(*ret, part, row);
  return status;
}

static fb_status S_judge_part(const S_judge *judge, fb_suite_part *part, fb_error *err) {
  fb_arena *arena = &judge->suite->arena;
  fb_gate_row **rows = fb_arena_zero(arena, part->row_count * sizeof *rows);
  size_t *counts = fb_arena_zero(arena, part->row_count * sizeof *counts), total = 0;
  if (!rows || !counts) return S_no_memory(err);
  for (size_t i = 0; i < part->row_count; i++) {
    fb_status status = S_judge_row(judge, part, &part->rows[i], &rows[i], &counts[i], err);
    if (status != FB_OK) return status;
    total += counts[i];
  }
  part->judged = fb_arena_alloc(arena, total * sizeof *part->judged);
  if (!part->judged) return S_no_memory(err);
  for (size_t i = 0; i < part->row_count; i++) {
    memcpy(part->judged + part->judged_count, rows[i], counts[i] * sizeof **rows);
    part->judged_count += counts[i];
  }
  return FB_OK;
}

fb_status fb_suite_judge(fb_suite *suite, fb_random *random, fb_error *err) {
  S_judge judge = {suite, random};
  for (size_t i = 0; i < suite->part_count; i++) {
    suite->parts[i].judged_count = 0;
    fb_status status = S_judge_part(&judge, &suite->parts[i], err);
    if (status != FB_OK) return status;
  }
  return FB_OK;
}

fb_status fb_suite_alert_add(fb_suite *suite, fb_slice type, fb_slice rule, fb_slice fields,
                             fb_error *err) {
  fb_suite_alert alert = {type, rule, fields};
  if (!fb_slice_keep(&suite->arena, &alert.type) || !fb_slice_keep(&suite->arena, &alert.rule) ||
      !fb_slice_keep(&suite->arena, &alert.fields) ||
      !fb_grow(suite->allocator, (void **)&suite->alerts, &suite->alert_cap, suite->alert_count,
               sizeof alert))
    return fb_fail(err, FB_E_NOMEM, "no memory for a decision");
  suite->alerts[suite->alert_count++] = alert;
  return FB_OK;
}

/* ── What came of it ── */

const fb_suite_row *fb_suite_row_of(const fb_suite_part *part, const fb_gate_row *judged) {
  for (size_t i = 0; i < part->row_count; i++)
    if (&part->rows[i].budget == judged->budget) return &part->rows[i];
  return NULL;
}

void fb_claim_label(const fb_suite_part *part, const fb_gate_row *judged, char *out, size_t size) {
  const fb_suite_row *row = fb_suite_row_of(part, judged);
  size_t rows = 0;
  for (size_t i = 0; i < part->judged_count; i++) rows += part->judged[i].budget == judged->budget;
  int len = snprintf(out, size, "%.*s", (int)row->name.len, row->name.ptr);
  if (rows > 1 && judged->result && len > 0 && (size_t)len < size)
    snprintf(out + len, size - (size_t)len, " (%.*s)", (int)judged->result->workload.len,
             judged->result->workload.ptr);
  size_t end = strlen(out);
  while (end && !fb_utf8_valid(out, end, NULL)) out[--end] = 0; /* cut within a character */
}

static bool S_has_bound(const fb_budget *budget) {
  return budget->has_max || budget->has_min || budget->has_worse;
}

fb_claim fb_claim_of(const fb_gate_row *row) {
  switch (row->verdict) {
    case FB_GATE_PASS: return S_has_bound(row->budget) ? FB_CLAIM_MET : FB_CLAIM_SHOWN;
    case FB_GATE_FAIL: return FB_CLAIM_MISSED;
    case FB_GATE_UNCLEAR: return FB_CLAIM_UNCLEAR;
    case FB_GATE_NOT_MEASURED: break;
  }
  return FB_CLAIM_NOT_MEASURED;
}

const char *fb_claim_name(fb_claim claim) {
  static const char *const names[] = {"met", "missed", "unclear", "not measured", "measured"};
  return names[claim];
}

void fb_suite_count(const fb_suite *suite, size_t counts[FB_CLAIM_COUNT]) {
  memset(counts, 0, FB_CLAIM_COUNT * sizeof *counts);
  for (size_t i = 0; i < suite->part_count; i++)
    for (size_t k = 0; k < suite->parts[i].judged_count; k++)
      counts[fb_claim_of(&suite->parts[i].judged[k])]++;
}

static size_t S_target(const char *sign, double bound, fb_slice unit, const fb_gate_row *row,
                       char *out, size_t size) {
  char text[40];
  fb_slice own = row->result ? row->result->unit : unit;
  double factor = unit.len ? fb_unit_factor(unit, own) : 1;
  fb_quantity_format(factor > 0 ? bound * factor : bound, factor > 0 ? own : unit, text);
  int len = snprintf(out, size, "%s %s", sign, text);
  return len > 0 && (size_t)len < size ? (size_t)len : 0;
}

void fb_claim_target(const fb_gate_row *row, char *out, size_t size) {
  const fb_budget *budget = row->budget;
  size_t at = 0;
  out[0] = 0;
  if (budget->has_min) at = S_target("≥", budget->min, budget->min_unit, row, out, size);
  if (budget->has_max && at) at += (size_t)snprintf(out + at, size - at, ", ");
  if (budget->has_max) S_target("≤", budget->max, budget->max_unit, row, out + at, size - at);
}
