/* SPDX-License-Identifier: Apache-2.0
 * flyball gate: may this change go in? */
#include "cli/proof_io.h"

#include <flyball/loop.h>

enum { SPLITS = 200 };

typedef struct S_gate {
  fb_cli *cli;
  fb_budgets budgets;
  fb_results results;
  fb_results baseline; /* of --baseline */
  fb_history_series *past;
  size_t past_count;
  fb_gate_row *rows;
  size_t row_count;
  fb_arena arena;
  fb_random random;
  size_t counts[4]; /* by verdict; those that only warn are in `warned` */
  size_t warned;
  size_t rule_fails;
} S_gate;

/* ── Loading ── */

static fb_status S_budgets(void *into, fb_slice text, const char *name, fb_errors *errors) {
  return fb_budgets_read(text, name, NULL, into, errors);
}

static int S_read_budgets(S_gate *gate) {
  fb_cli *cli = gate->cli;
  const char *path = fb_cli_text(cli, "budget", NULL);
  if (!path)
    return fb_cli_usage(cli, "as in `flyball gate -b budget.yaml results.json`",
                        "no budget file was given: `--budget` is missing");
  return fb_cli_load(cli, path, FB_PROOF_DOCUMENT_MAX, S_budgets, &gate->budgets);
}

/* The results of a file as a past of one run. */
static int S_past_of_file(S_gate *gate, const char *path) {
  int code = fb_proof_read(gate->cli, path, &gate->baseline);
  size_t count = gate->baseline.count;
  if (code != FB_EXIT_OK || count == 0) return code;
  fb_history_series *past = fb_arena_zero(&gate->arena, count * sizeof *past);
  fb_history_point *points = fb_arena_zero(&gate->arena, count * sizeof *points);
  if (!past || !points) return fb_cli_fail(gate->cli, FB_E_NOMEM, "no memory for the baseline");
  for (size_t i = 0; i < count; i++) {
    const fb_bench_result *result = &gate->baseline.items[i];
    points[i] = (fb_history_point){
        .samples = result->samples, .kept = result->count, .count = result->count};
    past[i] = (fb_history_series){*result, &points[i], 1};
  }
  gate->past = past;
  gate->past_count = count;
  return FB_EXIT_OK;
}

static int S_past_of_history(S_gate *gate) {
  fb_history *history = NULL;
  fb_error err;
  const fb_budgets *budgets = &gate->budgets;
  fb_history_filter filter = {.branch = budgets->branch, .last = budgets->runs};
  if (!budgets->any_machine) filter.fingerprint = gate->results.run.fingerprint;
  int code = fb_proof_history(gate->cli, false, &history);
  if (code != FB_EXIT_OK) return code;
  if (fb_history_series_of(history, &filter, &gate->arena, &gate->past, &gate->past_count, &err) !=
      FB_OK)
    code = fb_cli_error(gate->cli, &err);
  fb_history_close(history);
  return code;
}

static bool S_wants_past(const fb_budgets *budgets) {
  for (size_t i = 0; i < budgets->count; i++)
    if (budgets->items[i].has_worse) return true;
  return false;
}

static int S_read_past(S_gate *gate) {
  const char *file = fb_cli_text(gate->cli, "baseline", NULL);
  if (file) return S_past_of_file(gate, file);
  return S_wants_past(&gate->budgets) ? S_past_of_history(gate) : FB_EXIT_OK;
}

/* ── Rows ── */

static void S_row_name(const fb_gate_row *row, fb_buf *name) {
  fb_buf_clear(name);
  if (row->result)
    fb_result_name(row->result, name);
  else
    fb_buf_add(name, row->budget->series.ptr, row->budget->series.len);
}

static void S_row_json(S_gate *gate, const fb_gate_row *row, fb_buf *name) {
  fb_buf line;
  fb_buf_init(&line, NULL, 0);
  fb_buf_text(&line, "{\"type\":\"flyball.gate.row.v1\",\"series\":");
  fb_json_write_text(&line, fb_buf_slice(name), FB_JSON_COMPACT);
  fb_buf_printf(
      &line, ",\"budget_line\":%u,\"severity\":\"%s\",\"warn\":%s,\"verdict\":\"%s\",\"reason\":",
      row->budget->line, fb_severity_name(row->budget->severity),
      row->budget->warns ? "true" : "false", fb_gate_verdict_name(row->verdict));
  fb_json_write_text(&line, fb_slice_of(row->reason), FB_JSON_COMPACT);
  if (row->result) {
    fb_buf_printf(&line, ",\"value\":%.17g,\"samples\":%zu,\"unit\":", row->value,
                  row->result->count);
    fb_json_write_text(&line, row->result->unit, FB_JSON_COMPACT);
  }
  if (row->has_interval)
    fb_buf_printf(&line, ",\"low\":%.17g,\"high\":%.17g", row->interval.low, row->interval.high);
  if (row->compared)
    fb_buf_printf(&line,
                  ",\"past\":%.17g,\"past_runs\":%zu,\"worse\":%.6g,\"worse_low\":%.6g,"
                  "\"worse_high\":%.6g,\"probability\":%.4g",
                  row->comparison.a, row->past_runs, row->comparison.worse,
                  row->comparison.interval.low, row->comparison.interval.high,
                  row->comparison.probability);
  fb_buf_text(&line, "}\n");
  if (fb_out_buf(gate->cli, &line) != FB_OK)
    fb_cli_fail(gate->cli, FB_E_NOMEM, "no memory for a line");
  fb_buf_release(&line);
}

static void S_row_text(fb_grid *grid, const fb_gate_row *row, const fb_buf *name) {
  char value[40] = "-";
  if (row->result) fb_quantity_format(row->value, row->result->unit, value);
  fb_grid_add(grid, "%s%s", fb_gate_verdict_name(row->verdict),
              row->budget->warns && row->verdict >= FB_GATE_FAIL ? " (warning)" : "");
  fb_grid_add(grid, "%s", fb_severity_name(row->budget->severity));
  fb_grid_add(grid, "%s", fb_buf_slice(name).ptr);
  fb_grid_add(grid, "%s", value);
  fb_grid_add(grid, "%s", row->reason);
}

static void S_print_rows(S_gate *gate) {
  fb_buf name;
  fb_grid grid;
  fb_buf_init(&name, NULL, 0);
  fb_grid_init(&grid, 5);
  const char *const head[] = {"verdict", "severity", "series", "value", "why"};
  for (size_t i = 0; i < 5; i++) fb_grid_add(&grid, "%s", head[i]);
  for (size_t i = 0; i < gate->row_count; i++) {
    const fb_gate_row *row = &gate->rows[i];
    S_row_name(row, &name);
    if (gate->cli->json)
      S_row_json(gate, row, &name);
    else
      S_row_text(&grid, row, &name);
    gate->counts[row->verdict]++;
    gate->warned += row->budget->warns && row->verdict >= FB_GATE_FAIL;
  }
  if (gate->cli->json) grid.count = 0;
  fb_grid_print(&grid, gate->cli, 1 << 3);
  fb_buf_release(&name);
}

/* ── Rules ── */

static fb_status S_decision(void *context, const fb_decision *decision) {
  S_gate *gate = context;
  fb_buf line;
  bool fails = fb_slice_equal(decision->type, FB_SLICE("fail"));
  gate->rule_fails += fails;
  fb_buf_init(&line, NULL, 0);
  if (gate->cli->json)
    fb_buf_text(&line, "{\"type\":\"flyball.gate.decision.v1\",\"decision\":");
  else
    fb_buf_printf(&line, "%.*s: %.*s  ", (int)decision->type.len, decision->type.ptr,
                  (int)decision->rule.len, decision->rule.ptr);
  if (gate->cli->json) {
    fb_json_write_text(&line, decision->type, FB_JSON_COMPACT);
    fb_buf_text(&line, ",\"rule\":");
    fb_json_write_text(&line, decision->rule, FB_JSON_COMPACT);
    fb_buf_text(&line, ",\"fields\":");
  }
  fb_json_write(&line, fb_map_value(decision->fields), FB_JSON_COMPACT);
  fb_buf_text(&line, gate->cli->json ? "}\n" : "\n");
  fb_status status = fb_out_buf(gate->cli, &line);
  fb_buf_release(&line);
  return status;
}

/* Beside the budget file, unless the path is absolute. */
static void S_rules_path(const S_gate *gate, fb_buf *path) {
  const char *budget = fb_cli_text(gate->cli, "budget", ""), *slash = strrchr(budget, '/');
  const char *rules = fb_cli_text(gate->cli, "rules", NULL);
  if (!rules && slash && gate->budgets.rules.ptr[0] != '/')
    fb_buf_add(path, budget, (size_t)(slash - budget) + 1);
  fb_buf_text(path, rules ? rules : gate->budgets.rules.ptr);
}

static int S_load_rules(S_gate *gate, fb_ruleset **ret) {
  fb_buf path;
  fb_buf_init(&path, NULL, 0);
  S_rules_path(gate, &path);
  int code = path.failed ? fb_cli_fail(gate->cli, FB_E_NOMEM, "no memory for a path")
                         : fb_cli_ruleset(gate->cli, path.ptr, ret);
  fb_buf_release(&path);
  return code;
}

static int S_apply_rules(S_gate *gate) {
  fb_ruleset *ruleset = NULL;
  fb_error err;
  if (!gate->budgets.rules.len && !fb_cli_has(gate->cli, "rules")) return FB_EXIT_OK;
  int code = S_load_rules(gate, &ruleset);
  if (code != FB_EXIT_OK) return code;
  fb_gate_rules rules = {ruleset, S_decision, gate};
  if (fb_gate_decide(&rules, gate->rows, gate->row_count, NULL, &err) != FB_OK)
    code = fb_cli_error(gate->cli, &err);
  fb_ruleset_free(ruleset);
  return code;
}

/* ── Verdict ── */

static int S_verdict(S_gate *gate) {
  fb_cli *cli = gate->cli;
  size_t failed = gate->counts[FB_GATE_FAIL] + gate->counts[FB_GATE_NOT_MEASURED] - gate->warned;
  bool unclear = fb_cli_has(cli, "strict") && gate->counts[FB_GATE_UNCLEAR];
  bool no = failed || gate->rule_fails || unclear;
  if (cli->json)
    fb_out_printf(cli,
                  "{\"type\":\"flyball.gate.v1\",\"passed\":%zu,\"unclear\":%zu,\"failed\":%zu,"
                  "\"not_measured\":%zu,\"rules_failed\":%zu,\"verdict\":\"%s\"}\n",
                  gate->counts[FB_GATE_PASS], gate->counts[FB_GATE_UNCLEAR],
                  gate->counts[FB_GATE_FAIL], gate->counts[FB_GATE_NOT_MEASURED], gate->rule_fails,
                  no ? "fail" : "pass");
  else
    fb_out_printf(cli, "%s: %zu passed, %zu unclear, %zu failed, %zu not measured%s\n",
                  no ? "FAIL" : "PASS", gate->counts[FB_GATE_PASS], gate->counts[FB_GATE_UNCLEAR],
                  gate->counts[FB_GATE_FAIL], gate->counts[FB_GATE_NOT_MEASURED],
                  gate->rule_fails ? "; rules say fail" : "");
  return no ? FB_EXIT_NO : FB_EXIT_OK;
}

static int S_judge(S_gate *gate) {
  fb_error err;
  int code = S_read_past(gate);
  if (code != FB_EXIT_OK) return code;
  if (fb_gate_judge(&gate->budgets, &gate->results, gate->past, gate->past_count, &gate->random,
                    &gate->arena, &gate->rows, &gate->row_count, &err) != FB_OK)
    return fb_cli_error(gate->cli, &err);
  S_print_rows(gate);
  code = S_apply_rules(gate);
  return code == FB_EXIT_OK ? S_verdict(gate) : code;
}

static int S_run_gate(S_gate *gate) {
  fb_cli *cli = gate->cli;
  int code = FB_EXIT_OK;
  if (!cli->operand_count) code = fb_proof_read(cli, "-", &gate->results);
  for (size_t i = 0; i < cli->operand_count && code == FB_EXIT_OK; i++)
    code = fb_proof_read(cli, cli->operands[i], &gate->results);
  if (code == FB_EXIT_OK) code = fb_proof_machine(cli, &gate->results);
  return code == FB_EXIT_OK ? S_judge(gate) : code;
}

/* ── A/A: how often would it be wrong? ── */

typedef struct S_alarms {
  size_t within, within_of;   /* halves of one run against each other */
  size_t between, between_of; /* each run against those before it */
} S_alarms;

static fb_status S_try_halves(S_gate *gate, const fb_history_series *series,
                              const fb_compare_options *options, S_alarms *alarms, fb_error *err) {
  for (int round = 0; round < SPLITS; round++) {
    const fb_history_point *point = &series->points[fb_random_below(&gate->random, series->count)];
    size_t half = point->kept / 2;
    if (half < FB_SAMPLES_MIN) continue;
    fb_arena_mark mark = fb_arena_save(&gate->arena);
    double *samples = fb_arena_copy(&gate->arena, point->samples, point->kept * sizeof *samples);
    if (!samples) return fb_fail(err, FB_E_NOMEM, "no memory for samples");
    fb_random_shuffle(&gate->random, samples, point->kept);
    fb_bench_result a = series->head, b = series->head;
    fb_comparison c;
    a.samples = samples;
    b.samples = samples + half;
    a.count = b.count = half;
    fb_status status = fb_compare(&a, &b, options, &gate->random, NULL, &c, err);
    fb_arena_rewind(&gate->arena, mark);
    if (status != FB_OK) return status;
    alarms->within_of++;
    alarms->within += c.verdict == FB_COMPARED_WORSE;
  }
  return FB_OK;
}

static fb_status S_try_runs(S_gate *gate, const fb_history_series *series,
                            const fb_compare_options *options, S_alarms *alarms, fb_error *err) {
  for (size_t i = FB_SAMPLES_MIN; i < series->count; i++) {
    const fb_history_point *point = &series->points[i];
    size_t runs = i < gate->budgets.runs ? i : gate->budgets.runs;
    fb_history_series past = {series->head, series->points + i - runs, runs};
    fb_bench_result b = series->head;
    fb_comparison c;
    b.samples = point->samples;
    b.count = point->kept;
    fb_status status = fb_compare_history(&past, &b, options, &gate->random, NULL, &c, err);
    if (status != FB_OK) return status;
    if (c.verdict == FB_COMPARED_NOT_MEASURED) continue;
    alarms->between_of++;
    alarms->between += c.verdict == FB_COMPARED_WORSE;
  }
  return FB_OK;
}

static void S_add_rate(fb_grid *grid, size_t alarms, size_t of) {
  if (of)
    fb_grid_add(grid, "%zu of %zu", alarms, of);
  else
    fb_grid_add(grid, "not measured");
}

static int S_try_series(S_gate *gate, const fb_budget *budget, const fb_history_series *series,
                        const char *name, fb_grid *grid, S_alarms *all) {
  S_alarms alarms = {0};
  fb_error err;
  fb_compare_options options = {
      .threshold = budget->by_kind ? fb_worse_of(series->head.kind) : budget->worse,
      .confidence = gate->budgets.confidence,
      .resamples = 500};
  fb_status status = S_try_halves(gate, series, &options, &alarms, &err);
  if (status == FB_OK) status = S_try_runs(gate, series, &options, &alarms, &err);
  if (status != FB_OK) return fb_cli_error(gate->cli, &err);
  if (gate->cli->json) {
    fb_out_printf(gate->cli,
                  "{\"type\":\"flyball.gate.aa.v1\",\"series\":\"%s\",\"threshold\":%.4g,"
                  "\"within\":%zu,\"within_of\":%zu,\"between\":%zu,\"between_of\":%zu}\n",
                  name, options.threshold, alarms.within, alarms.within_of, alarms.between,
                  alarms.between_of);
  }
  fb_grid_add(grid, "%s", name);
  fb_grid_add(grid, "%.3g %%", options.threshold * 100);
  S_add_rate(grid, alarms.within, alarms.within_of);
  S_add_rate(grid, alarms.between, alarms.between_of);
  all->within += alarms.within;
  all->within_of += alarms.within_of;
  all->between += alarms.between;
  all->between_of += alarms.between_of;
  return FB_EXIT_OK;
}

static int S_try_all(S_gate *gate, fb_grid *grid, S_alarms *all) {
  fb_buf name;
  int code = FB_EXIT_OK;
  fb_buf_init(&name, NULL, 0);
  for (size_t i = 0; i < gate->budgets.count; i++) {
    const fb_budget *budget = &gate->budgets.items[i];
    for (size_t k = 0; k < gate->past_count && budget->has_worse && code == FB_EXIT_OK; k++) {
      fb_buf_clear(&name);
      fb_result_name(&gate->past[k].head, &name);
      if (!name.failed && !budget->exact && fb_glob_match(budget->series, fb_buf_slice(&name)))
        code = S_try_series(gate, budget, &gate->past[k], name.ptr, grid, all);
    }
  }
  fb_buf_release(&name);
  return code;
}

/* The history is what is judged: every run of it is taken to be as good as those before. */
static int S_run_aa(S_gate *gate) {
  fb_cli *cli = gate->cli;
  S_alarms all = {0};
  fb_grid grid;
  size_t runs = gate->budgets.runs;
  if (cli->operand_count)
    return fb_cli_usage(cli, NULL, "`--aa` judges the history: it takes no results");
  gate->budgets.runs = FB_SERIES_MAX;
  int code = S_past_of_history(gate);
  gate->budgets.runs = runs;
  if (code != FB_EXIT_OK) return code;
  fb_grid_init(&grid, 4);
  const char *const head[] = {"series", "worse by", "halves of a run", "runs against earlier ones"};
  for (size_t i = 0; i < 4; i++) fb_grid_add(&grid, "%s", head[i]);
  code = S_try_all(gate, &grid, &all);
  if (cli->json) grid.count = 0;
  fb_grid_print(&grid, cli, 0xe);
  if (code != FB_EXIT_OK) return code;
  size_t of = all.within_of + all.between_of, alarms = all.within + all.between;
  double allowed = 1 - (gate->budgets.confidence > 0 ? gate->budgets.confidence : 0.95);
  if (!cli->json && of)
    fb_out_printf(cli, "false alarms: %zu of %zu (%.2f %%; %.3g %% are expected at most)\n", alarms,
                  of, 100.0 * (double)alarms / (double)of, allowed * 100);
  else if (!cli->json)
    fb_out_text(
        cli, "false alarms: not measured (7 runs of the past, or 12 samples in one, are needed)\n");
  return of && (double)alarms <= allowed * (double)of ? FB_EXIT_OK : FB_EXIT_NO;
}

static int S_run(fb_cli *cli) {
  S_gate gate = {.cli = cli};
  int code = S_read_budgets(&gate);
  if (code != FB_EXIT_OK) return code;
  fb_proof_random(cli, &gate.random);
  fb_results_init(&gate.results, NULL);
  fb_results_init(&gate.baseline, NULL);
  fb_arena_init(&gate.arena, NULL, 0);
  code = fb_cli_has(cli, "aa") ? S_run_aa(&gate) : S_run_gate(&gate);
  fb_arena_release(&gate.arena);
  fb_results_release(&gate.baseline);
  fb_results_release(&gate.results);
  fb_budgets_release(&gate.budgets);
  return code;
}

static const fb_option S_options[] = {
    {'b', "budget", FB_OPTION_FILE, "FILE", "The budget file", NULL, "FLYBALL_BUDGET", false},
    {0, "baseline", FB_OPTION_FILE, "FILE",
     "Compare with the results in this file instead of the history", NULL, NULL, false},
    {'r', "rules", FB_OPTION_FILE, "FILE", "A rulebook to decide by, instead of the budget file's",
     NULL, NULL, false},
    {0, "strict", FB_OPTION_FLAG, NULL, "What is unclear fails too", NULL, NULL, false},
    {0, "aa", FB_OPTION_FLAG, NULL,
     "Judge the history by itself: how often does the gate raise a false alarm?", NULL, NULL,
     false},
    {0, "machine", FB_OPTION_TEXT, "NAME", "Machine that measured, if the results do not say it",
     NULL, "FLYBALL_MACHINE", false},
    FB_OPTION_HISTORY,
    FB_OPTION_SEED,
    {0}};

const fb_command fb_command_gate = {
    .name = "gate",
    .summary = "Pass or fail results by budgets",
    .usage = "-b BUDGET [OPTION]… [RESULTS]…",
    .description =
        "Reads results (as `flyball history import` does; `-` or none: stdin) and judges each "
        "series that the budget file names: by fixed bounds (`max`, `min`), and by how much worse "
        "it is than the past (`worse`), which are the newest runs of the history or a file of "
        "results.\n\n"
        "A bound is broken when the whole interval is beyond it; a series is worse when that is "
        "as sure as the file's `confidence`. What may be worse but is not shown to be is "
        "`unclear`, and passes unless `--strict` is given. A budget that no result fits, or too "
        "few samples, is `not measured`, and fails: a gate that did not look is not open.\n\n"
        "With `rules` every row is also a fact `benchmark`, and a decision `fail` of the rulebook "
        "fails the gate.\n\n"
        "The exit code is 0 or 1.",
    .options = S_options,
    .examples =
        (const fb_example[]){
            {"flyball gate -b budget.yaml results.json", "against the history"},
            {"flyball gate -b budget.yaml --baseline main.json results.json", "against a file"},
            {"flyball gate -b budget.yaml --aa", "what its verdicts are worth"},
            {0}},
    .operands = FB_OPERANDS_FILES,
    .max_operands = UINT32_MAX,
    .run = S_run,
};
