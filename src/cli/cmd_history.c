/* SPDX-License-Identifier: Apache-2.0
 * flyball history: results of many runs, kept in one file. */
#include "cli/proof_io.h"

static int S_import(fb_cli *cli) {
  fb_results results;
  fb_history *history = NULL;
  fb_error err;
  int64_t run = 0;
  int code = FB_EXIT_OK;
  if (cli->operand_count < 2)
    return fb_cli_usage(cli, "as in `flyball history import results.ndjson`", "no file was given");
  fb_results_init(&results, NULL);
  for (size_t i = 1; i < cli->operand_count && code == FB_EXIT_OK; i++)
    code = fb_proof_read(cli, cli->operands[i], &results);
  if (code == FB_EXIT_OK) code = fb_proof_complete(cli, &results);
  if (code == FB_EXIT_OK && results.count == 0)
    code = fb_cli_fail(cli, FB_E_PROOF_RESULT, "there is no result in what was read");
  if (code == FB_EXIT_OK) code = fb_proof_history(cli, true, &history);
  if (code == FB_EXIT_OK && fb_history_add(history, &results, &run, &err) != FB_OK)
    code = fb_cli_error(cli, &err);
  if (code == FB_EXIT_OK && cli->json)
    fb_out_printf(cli,
                  "{\"type\":\"flyball.history.import.v1\",\"run\":%lld,\"results\":%zu,"
                  "\"not_measured\":%zu}\n",
                  (long long)run, results.count, results.not_measured);
  else if (code == FB_EXIT_OK)
    fb_cli_note(cli, "run #%lld: %zu results%s", (long long)run, results.count,
                results.not_measured ? " (and some that were not measured)" : "");
  fb_history_close(history);
  fb_results_release(&results);
  return code;
}

/* ── list ── */

static void S_run_json(fb_cli *cli, const fb_history_run *run) {
  char time[FB_TIME_TEXT_MAX];
  fb_buf line;
  fb_buf_init(&line, NULL, 0);
  fb_time_format(run->run.at / 1000000000, (uint32_t)(run->run.at % 1000000000), time);
  fb_buf_printf(&line,
                "{\"type\":\"flyball.history.run.v1\",\"run\":%lld,\"time\":\"%s\",\"commit\":",
                (long long)run->run.id, time);
  fb_json_write_text(&line, run->run.commit, FB_JSON_COMPACT);
  fb_buf_text(&line, ",\"branch\":");
  fb_json_write_text(&line, run->run.branch, FB_JSON_COMPACT);
  fb_buf_text(&line, ",\"fingerprint\":");
  fb_json_write_text(&line, run->run.fingerprint, FB_JSON_COMPACT);
  fb_buf_printf(&line, ",\"results\":%llu}\n", (unsigned long long)run->results);
  if (fb_out_buf(cli, &line) != FB_OK) fb_cli_fail(cli, FB_E_NOMEM, "no memory for a line");
  fb_buf_release(&line);
}

static void S_list_text(fb_cli *cli, const fb_history_run *runs, size_t count) {
  fb_grid grid;
  fb_grid_init(&grid, 6);
  const char *const head[] = {"run", "time", "commit", "branch", "machine", "results"};
  for (size_t i = 0; i < 6; i++) fb_grid_add(&grid, "%s", head[i]);
  for (size_t i = 0; i < count; i++) {
    char time[FB_TIME_TEXT_MAX];
    const fb_result_run *run = &runs[i].run;
    fb_time_format(run->at / 1000000000, 0, time);
    fb_grid_add(&grid, "#%lld", (long long)run->id);
    fb_grid_add(&grid, "%s", time);
    fb_grid_add(&grid, "%.12s", run->commit.len ? run->commit.ptr : "-");
    fb_grid_add(&grid, "%.40s", run->branch.len ? run->branch.ptr : "-");
    fb_grid_add(&grid, "%.16s", run->fingerprint.len ? run->fingerprint.ptr : "-");
    fb_grid_add(&grid, "%llu", (unsigned long long)runs[i].results);
  }
  fb_grid_print(&grid, cli, 1 << 5);
}

static int S_list(fb_cli *cli) {
  fb_history *history = NULL;
  fb_history_run *runs;
  size_t count;
  fb_arena arena;
  fb_error err;
  fb_history_filter filter = {.branch = fb_slice_of(fb_cli_text(cli, "branch", "")),
                              .fingerprint = fb_slice_of(fb_cli_text(cli, "machine", "")),
                              .last = fb_cli_number(cli, "last", 0)};
  int code = fb_proof_history(cli, false, &history);
  if (code != FB_EXIT_OK) return code;
  fb_arena_init(&arena, NULL, 0);
  if (fb_history_runs(history, &filter, &arena, &runs, &count, &err) != FB_OK)
    code = fb_cli_error(cli, &err);
  else if (!cli->json)
    S_list_text(cli, runs, count);
  else
    for (size_t i = 0; i < count; i++) S_run_json(cli, &runs[i]);
  fb_arena_release(&arena);
  fb_history_close(history);
  return code;
}

/* ── prune ── */

static int S_prune(fb_cli *cli) {
  fb_history *history = NULL;
  fb_error err;
  uint64_t removed = 0;
  const fb_clock *clock = fb_clock_system();
  int64_t age = fb_cli_duration(cli, "older", 0);
  size_t keep = fb_cli_number(cli, "keep", 0);
  if (!age && !keep)
    return fb_cli_usage(cli, "as in `flyball history prune --keep 500`",
                        "neither `--keep` nor `--older` was given");
  int code = fb_proof_history(cli, true, &history);
  if (code != FB_EXIT_OK) return code;
  int64_t before = age ? clock->wall(clock->context) - age : 0;
  if (fb_history_prune(history, before, keep, &removed, &err) != FB_OK)
    code = fb_cli_error(cli, &err);
  else if (cli->json)
    fb_out_printf(cli, "{\"type\":\"flyball.history.prune.v1\",\"removed\":%llu}\n",
                  (unsigned long long)removed);
  else
    fb_cli_note(cli, "%llu runs removed", (unsigned long long)removed);
  fb_history_close(history);
  return code;
}

static int S_run(fb_cli *cli) {
  const char *verb = cli->operands[0];
  if (!strcmp(verb, "import")) return S_import(cli);
  if (cli->operand_count > 1 && (!strcmp(verb, "list") || !strcmp(verb, "prune")))
    return fb_cli_usage(cli, NULL, "`%s` takes no file", verb);
  if (!strcmp(verb, "list")) return S_list(cli);
  if (!strcmp(verb, "prune")) return S_prune(cli);
  return fb_cli_usage(cli, "import, list or prune",
                      "`%s` is nothing that can be done with a history", verb);
}

static const char *const S_verbs[] = {"import", "list", "prune", NULL};

static const fb_option S_options[] = {
    FB_OPTION_HISTORY,
    {0, "commit", FB_OPTION_TEXT, "HASH",
     "Commit that was measured; else what CI's variables or the git checkout say", NULL,
     "FLYBALL_COMMIT", false},
    {0, "branch", FB_OPTION_TEXT, "NAME", "Its branch; with `list`: only of this branch", NULL,
     "FLYBALL_BRANCH", false},
    {0, "machine", FB_OPTION_TEXT, "NAME",
     "Machine that measured, if not the fingerprint that the results have; with `list`: only of "
     "this one",
     NULL, "FLYBALL_MACHINE", false},
    {0, "time", FB_OPTION_TEXT, "TIME", "When it was measured (RFC 3339); now if not given", NULL,
     NULL, false},
    {0, "last", FB_OPTION_NUMBER, "N", "With `list`: only the newest", NULL, NULL, false},
    {0, "keep", FB_OPTION_NUMBER, "N", "With `prune`: keep so many runs of each branch and machine",
     NULL, NULL, false},
    {0, "older", FB_OPTION_DURATION, "AGE", "With `prune`: remove what is older", NULL, NULL,
     false},
    {0}};

const fb_command fb_command_history = {
    .name = "history",
    .summary = "Keep the results of benchmarks",
    .usage = "import RESULTS… | list | prune",
    .description =
        "`import` adds what the files hold (`-`: stdin) as one run: results of `flyball bench "
        "--json`, of the programs in bench/, records of `flyball.result.v1`, exports of hyperfine "
        "and of Google Benchmark. `list` shows the runs, oldest first. `prune` removes old "
        "ones.\n\n"
        "The history is one SQLite file, so that CI can keep it as an artifact or a cache. "
        "`flyball compare`, `flyball trend` and `flyball gate` read it.",
    .options = S_options,
    .examples =
        (const fb_example[]){
            {"flyball history import results.json", "of this checkout's commit"},
            {"flyball history import --commit 1a2b3c4 --branch main results.json", "of another"},
            {"flyball history prune --keep 500", "when it grows too large"},
            {0}},
    .operands = FB_OPERANDS_CHOICE,
    .operand_choices = S_verbs,
    .min_operands = 1,
    .max_operands = UINT32_MAX,
    .run = S_run,
};
