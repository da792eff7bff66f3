/* SPDX-License-Identifier: Apache-2.0
 * flyball trend: where did a series change its level, and at which commit? */
#include "cli/proof_io.h"

#include <unistd.h>
#include <sys/stat.h>

enum { CHANGES_MAX = 200, SPARK_WIDTH = 60 };

typedef struct S_trend {
  fb_cli *cli;
  fb_change_options options;
  fb_random random;
  size_t worse;
} S_trend;

static bool S_is_worse(const fb_history_series *series, const fb_change *change) {
  return (change->after > change->before) == (series->head.direction == FB_LESS_IS_BETTER);
}

static void S_commit_json(fb_buf *line, const fb_history_series *series, const fb_change *change) {
  const fb_result_run *run = &series->points[change->at].run;
  char time[FB_TIME_TEXT_MAX];
  fb_time_format(run->at / 1000000000, 0, time);
  fb_buf_printf(line, "{\"run\":%lld,\"time\":\"%s\",\"commit\":", (long long)run->id, time);
  fb_json_write_text(line, run->commit, FB_JSON_COMPACT);
  fb_buf_text(line, ",\"commit_before\":");
  fb_json_write_text(line, series->points[change->at - 1].run.commit, FB_JSON_COMPACT);
  fb_buf_printf(
      line, ",\"before\":%.17g,\"after\":%.17g,\"change\":%.6g,\"p\":%.4g,\"verdict\":\"%s\"}",
      change->before, change->after, change->before != 0 ? change->after / change->before - 1 : 0,
      change->p, S_is_worse(series, change) ? "worse" : "better");
}

static int S_print_json(S_trend *trend, const fb_history_series *series, const fb_change *changes,
                        size_t count, double smallest) {
  fb_buf line, name;
  fb_buf_init(&line, NULL, 0);
  fb_buf_init(&name, NULL, 0);
  fb_result_name(&series->head, &name);
  fb_buf_text(&line, "{\"type\":\"flyball.trend.v1\",\"series\":");
  fb_json_write_text(&line, fb_buf_slice(&name), FB_JSON_COMPACT);
  fb_buf_text(&line, ",\"unit\":");
  fb_json_write_text(&line, series->head.unit, FB_JSON_COMPACT);
  fb_buf_printf(&line, ",\"points\":%zu,\"smallest_visible\":%.4g,\"changes\":[", series->count,
                smallest);
  for (size_t i = 0; i < count; i++) {
    if (i) fb_buf_char(&line, ',');
    S_commit_json(&line, series, &changes[i]);
  }
  fb_buf_text(&line, "]}\n");
  fb_status status = name.failed ? FB_E_NOMEM : fb_out_buf(trend->cli, &line);
  fb_buf_release(&line);
  fb_buf_release(&name);
  return status == FB_OK ? FB_EXIT_OK : fb_cli_fail(trend->cli, FB_E_NOMEM, "no memory for a line");
}

static void S_print_change(fb_cli *cli, const fb_history_series *series, const fb_change *change) {
  const fb_result_run *run = &series->points[change->at].run;
  char before[40], after[40], time[FB_TIME_TEXT_MAX];
  fb_quantity_format(change->before, series->head.unit, before);
  fb_quantity_format(change->after, series->head.unit, after);
  fb_time_format(run->at / 1000000000, 0, time);
  fb_out_printf(cli, "  %-6s %+.1f %%  %s → %s  at %.12s (run #%lld, %s; p %.3f)\n",
                S_is_worse(series, change) ? "worse" : "better",
                change->before != 0 ? (change->after / change->before - 1) * 100 : 0, before, after,
                run->commit.len ? run->commit.ptr : "no commit", (long long)run->id, time,
                change->p);
}

static int S_print_text(S_trend *trend, const fb_history_series *series, const double *medians,
                        const fb_change *changes, size_t count, double smallest) {
  fb_cli *cli = trend->cli;
  char newest[40];
  fb_buf line;
  fb_buf_init(&line, NULL, 0);
  fb_result_name(&series->head, &line);
  fb_buf_text(&line, "\n  ");
  fb_plot_spark(medians, series->count, SPARK_WIDTH, &line);
  fb_quantity_format(medians[series->count - 1], series->head.unit, newest);
  fb_buf_printf(&line, "  %s, %zu points", newest, series->count);
  if (smallest > 0) fb_buf_printf(&line, ", changes below %.1f %% cannot be seen", smallest * 100);
  fb_buf_char(&line, '\n');
  fb_status status = fb_out_buf(cli, &line);
  fb_buf_release(&line);
  if (status != FB_OK) return fb_cli_fail(cli, status, "no memory for a line");
  for (size_t i = 0; i < count; i++) S_print_change(cli, series, &changes[i]);
  if (series->count < 2 * 5)
    fb_out_text(cli, "  not measured: 10 points are needed to look for a change\n");
  else if (!count)
    fb_out_text(cli, "  no change\n");
  return FB_EXIT_OK;
}

/* ── SVG ── */

/* The series' name with what a file name may not have replaced. */
static void S_file_name(const fb_history_series *series, const char *folder, fb_buf *path) {
  fb_buf_printf(path, "%s/", folder);
  size_t start = path->len;
  fb_result_name(&series->head, path);
  for (size_t i = start; i < path->len; i++) {
    char c = path->ptr[i];
    bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.';
    if (!plain) path->ptr[i] = '-';
  }
  fb_buf_text(path, ".svg");
}

static int S_write_svg(S_trend *trend, const fb_history_series *series, const fb_change *changes,
                       size_t count) {
  fb_cli *cli = trend->cli;
  const char *folder = fb_cli_text(cli, "svg", NULL);
  fb_buf picture, path;
  if (!folder) return FB_EXIT_OK;
  if (mkdir(folder, 0777) != 0 && errno != EEXIST)
    return fb_cli_fail(cli, FB_E_IO, "the folder %s cannot be made: %s", folder, strerror(errno));
  fb_buf_init(&picture, NULL, 0);
  fb_buf_init(&path, NULL, 0);
  S_file_name(series, folder, &path);
  fb_plot_trend(series, changes, count, true, &picture);
  int code = FB_EXIT_OK;
  FILE *file = path.failed || picture.failed ? NULL : fopen(path.ptr, "we");
  if (path.failed || picture.failed)
    code = fb_cli_fail(cli, FB_E_NOMEM, "no memory for a picture");
  else if (!file || fwrite(picture.ptr, 1, picture.len, file) != picture.len)
    code = fb_cli_fail(cli, FB_E_IO, "%s cannot be written: %s", path.ptr, strerror(errno));
  if (file && fclose(file) != 0 && code == FB_EXIT_OK)
    code = fb_cli_fail(cli, FB_E_IO, "%s cannot be written: %s", path.ptr, strerror(errno));
  if (code == FB_EXIT_OK) fb_cli_note(cli, "%s", path.ptr);
  fb_buf_release(&path);
  fb_buf_release(&picture);
  return code;
}

/* ── One series ── */

static int S_look(S_trend *trend, const fb_history_series *series, fb_arena *arena) {
  fb_change changes[CHANGES_MAX];
  size_t count = 0;
  double smallest = 0, *medians = fb_arena_alloc(arena, series->count * sizeof *medians);
  fb_error err;
  fb_history_series newest = *series;
  if (!medians) return fb_cli_fail(trend->cli, FB_E_NOMEM, "no memory for a series");
  if (newest.count > FB_SERIES_MAX) {
    newest.points += newest.count - FB_SERIES_MAX;
    newest.count = FB_SERIES_MAX;
  }
  for (size_t i = 0; i < newest.count; i++) medians[i] = newest.points[i].median;
  fb_status status = fb_changes_find(medians, newest.count, &trend->options, &trend->random, NULL,
                                     changes, CHANGES_MAX, &count, &err);
  if (status == FB_OK) status = fb_smallest_change(medians, newest.count, 5, NULL, &smallest, &err);
  if (status != FB_OK) return fb_cli_error(trend->cli, &err);
  for (size_t i = 0; i < count; i++) trend->worse += S_is_worse(&newest, &changes[i]);
  int code = trend->cli->json ? S_print_json(trend, &newest, changes, count, smallest)
                              : S_print_text(trend, &newest, medians, changes, count, smallest);
  return code == FB_EXIT_OK ? S_write_svg(trend, &newest, changes, count) : code;
}

static int S_look_at_all(S_trend *trend, fb_history *history) {
  fb_cli *cli = trend->cli;
  fb_history_series *series;
  size_t count;
  fb_arena arena;
  fb_error err;
  fb_history_filter filter = {.branch = fb_slice_of(fb_cli_text(cli, "branch", "")),
                              .fingerprint = fb_slice_of(fb_cli_text(cli, "machine", "")),
                              .series = fb_slice_of(cli->operand_count ? cli->operands[0] : ""),
                              .last = fb_cli_number(cli, "last", 0)};
  fb_arena_init(&arena, NULL, 0);
  int code = FB_EXIT_OK;
  if (fb_history_series_of(history, &filter, &arena, &series, &count, &err) != FB_OK)
    code = fb_cli_error(cli, &err);
  else if (count == 0)
    code = fb_cli_fail(cli, FB_E_PROOF_HISTORY, "no series of the history fits");
  else
    for (size_t i = 0; i < count && code == FB_EXIT_OK; i++)
      code = S_look(trend, &series[i], &arena);
  fb_arena_release(&arena);
  return code;
}

static int S_run(fb_cli *cli) {
  S_trend trend = {.cli = cli};
  fb_history *history = NULL;
  if (!fb_proof_share(cli, "smallest", 0.02, &trend.options.smallest) ||
      !fb_proof_share(cli, "significance", 0.002, &trend.options.significance))
    return FB_EXIT_USAGE;
  if (trend.options.significance < 0.001 || trend.options.significance >= 1)
    return fb_cli_usage(cli, NULL, "`--significance` is from 0.1%% to below 100%%");
  trend.options.rounds = (size_t)(2 / trend.options.significance);
  fb_proof_random(cli, &trend.random);
  int code = fb_proof_history(cli, false, &history);
  if (code != FB_EXIT_OK) return code;
  code = S_look_at_all(&trend, history);
  fb_history_close(history);
  if (code == FB_EXIT_OK && fb_cli_has(cli, "fail") && trend.worse) code = FB_EXIT_NO;
  return code;
}

static const fb_option S_options[] = {
    {0, "branch", FB_OPTION_TEXT, "NAME", "Only runs of this branch", NULL, NULL, false},
    {0, "machine", FB_OPTION_TEXT, "NAME", "Only runs of this fingerprint", NULL, NULL, false},
    {0, "last", FB_OPTION_NUMBER, "N", "Only the newest runs", NULL, NULL, false},
    {0, "smallest", FB_OPTION_TEXT, "SHARE", "Leave out smaller changes; 2% if not given", NULL,
     NULL, false},
    {0, "significance", FB_OPTION_TEXT, "SHARE",
     "How often a series without a change may seem to have one; 0.2% if not given", NULL, NULL,
     false},
    {0, "svg", FB_OPTION_FILE, "FOLDER", "Draw each series into a file there", NULL, NULL, false},
    {0, "fail", FB_OPTION_FLAG, NULL, "Exit with 1 if any change is for the worse", NULL, NULL,
     false},
    FB_OPTION_HISTORY,
    FB_OPTION_SEED,
    {0}};

const fb_command fb_command_trend = {
    .name = "trend",
    .summary = "Find where a series of results changed, and at which commit",
    .usage = "[OPTION]… [SERIES]",
    .description =
        "Goes through the history's series (SERIES is a pattern of bench/workload/metric, all if "
        "not given) and finds the points from which on the level is another one: E-divisive means "
        "over the ranks, each change confirmed by a permutation test. A change needs five points "
        "on each side.\n\n"
        "It also says how small a change could be and still be seen in the noise of the series. "
        "Where that is too large, more samples a point, or candidates measured in turns "
        "(`flyball bench` with both), help.",
    .options = S_options,
    .examples =
        (const fb_example[]){{"flyball trend --branch main", "all series of a branch"},
                             {"flyball trend --svg pictures 'parse/*/wall'", "drawn, some of them"},
                             {0}},
    .operands = FB_OPERANDS_TEXT,
    .max_operands = 1,
    .run = S_run,
};
