/* SPDX-License-Identifier: Apache-2.0
 * flyball runs: which runs there are and how they stand. */
#include "cli/proof_io.h"
#include "cli/run_store.h"

static void S_json(fb_cli *cli, const fb_run_row *row) {
  char time[FB_TIME_TEXT_MAX];
  fb_buf line;
  fb_buf_init(&line, NULL, 0);
  fb_buf_printf(&line, "{\"type\":\"flyball.run.v1\",\"run\":\"%s\",\"mission\":", row->id);
  fb_json_write_text(&line, fb_slice_of(row->mission), FB_JSON_COMPACT);
  fb_time_format(row->started / 1000000000, (uint32_t)(row->started % 1000000000), time);
  fb_buf_printf(&line, ",\"state\":\"%s\",\"started\":\"%s\"", fb_run_standing_name(row->standing),
                time);
  if (row->ended)
    fb_buf_printf(&line, ",\"seconds\":%.6f", (double)(row->ended - row->started) / 1e9);
  fb_buf_text(&line, "}\n");
  if (fb_out_buf(cli, &line)) fb_cli_fail(cli, FB_E_NOMEM, "out of memory");
  fb_buf_release(&line);
}

static void S_text(fb_grid *grid, const fb_run_row *row) {
  char time[FB_TIME_TEXT_MAX], took[FB_TIME_TEXT_MAX + 1] = "";
  size_t length = 0;
  fb_time_format(row->started / 1000000000, 0, time);
  if (row->ended && row->ended >= row->started)
    length = fb_duration_format((row->ended - row->started) / 1000000 * 1000000, took);
  fb_grid_add(grid, "%s", row->id);
  fb_grid_add(grid, "%s", fb_run_standing_name(row->standing));
  fb_grid_add(grid, "%s", time);
  fb_grid_add(grid, "%.*s", (int)length, took);
  fb_grid_add(grid, "%s", row->mission);
}

/* One that was cut off before its first event has done nothing, and is none. */
static bool S_wanted(fb_cli *cli, const fb_run_row *row) {
  if (!row->any && row->standing != FB_RUN_RUNNING) return false;
  const char *state = fb_cli_text(cli, "state", NULL), *mission = fb_cli_text(cli, "mission", NULL);
  if (state && strcmp(state, fb_run_standing_name(row->standing)) != 0) return false;
  return !mission || strcmp(mission, row->mission) == 0;
}

static int S_list(fb_cli *cli, const char *runs, fb_arena *arena) {
  const char *const *ids;
  size_t count, shown = 0, most = fb_cli_number(cli, "limit", 20), skipped = 0;
  fb_grid grid;
  if (!fb_run_ids(runs, arena, &ids, &count)) return fb_cli_fail(cli, FB_E_NOMEM, "out of memory");
  static const char *const head[] = {"run", "state", "started", "took", "mission"};
  fb_grid_init(&grid, 5);
  for (size_t i = 0; i < 5; i++) fb_grid_add(&grid, "%s", head[i]);
  for (size_t i = 0; i < count; i++) {
    fb_run_row row;
    fb_arena_mark mark = fb_arena_save(arena);
    if (most && shown == most) {
      skipped = count - i;
      break;
    }
    bool wanted = fb_run_look(runs, ids[i], arena, &row) && S_wanted(cli, &row);
    fb_arena_rewind(arena, mark);
    if (!wanted) continue;
    shown++;
    if (cli->json)
      S_json(cli, &row);
    else
      S_text(&grid, &row);
  }
  if (!cli->json && shown)
    fb_grid_print(&grid, cli, 1 << 3);
  else
    fb_grid_release(&grid);
  if (!cli->json && !shown) fb_cli_note(cli, "no runs");
  if (skipped) fb_cli_note(cli, "… and %zu older ones (--limit 0 shows all)", skipped);
  return FB_EXIT_OK;
}

static int S_prune(fb_cli *cli, const char *runs, fb_arena *arena) {
  size_t keep = fb_cli_number(cli, "keep", 0);
  int64_t age = fb_cli_duration(cli, "older", 0);
  if (!keep && !age)
    return fb_cli_usage(cli, "as in `flyball runs prune --keep 100`",
                        "neither `--keep` nor `--older` was given");
  size_t removed = fb_run_prune(runs, keep, age, arena);
  if (cli->json)
    fb_out_printf(cli, "{\"type\":\"flyball.runs.prune.v1\",\"removed\":%zu}\n", removed);
  else
    fb_cli_note(cli, "%zu runs removed", removed);
  return FB_EXIT_OK;
}

static int S_run(fb_cli *cli) {
  fb_arena arena;
  const char *verb = cli->operand_count ? cli->operands[0] : "list";
  fb_arena_init(&arena, NULL, 0);
  const char *runs = fb_runs_folder(cli, &arena);
  int code = FB_EXIT_OUTSIDE;
  if (runs && strcmp(verb, "list") == 0)
    code = S_list(cli, runs, &arena);
  else if (runs && strcmp(verb, "prune") == 0)
    code = S_prune(cli, runs, &arena);
  else if (runs)
    code = fb_cli_usage(cli, "list or prune; `flyball show RUN` shows one",
                        "`%s` is nothing that can be done with runs", verb);
  fb_arena_release(&arena);
  return code;
}

static const char *const S_verbs[] = {"list", "prune", NULL};
static const char *const S_states[] = {"running", "interrupted", "waiting",   "ok",
                                       "failed",  "timeout",     "cancelled", NULL};

static const fb_option S_options[] = {{.letter = 's',
                                       .name = "state",
                                       .kind = FB_OPTION_CHOICE,
                                       .value = "STATE",
                                       .help = "Only runs that stand so",
                                       .choices = S_states},
                                      {.name = "mission",
                                       .kind = FB_OPTION_TEXT,
                                       .value = "NAME",
                                       .help = "Only runs of the mission of this name"},
                                      {.letter = 'l',
                                       .name = "limit",
                                       .kind = FB_OPTION_NUMBER,
                                       .value = "N",
                                       .help = "Show so many (20; 0: all)"},
                                      {.name = "keep",
                                       .kind = FB_OPTION_NUMBER,
                                       .value = "N",
                                       .help = "With `prune`: keep the newest N"},
                                      {.name = "older",
                                       .kind = FB_OPTION_DURATION,
                                       .value = "AGE",
                                       .help = "With `prune`: remove what is older"},
                                      {0}};

const fb_command fb_command_runs = {
    .name = "runs",
    .summary = "List the runs of missions",
    .usage = "[list | prune] [OPTION]…",
    .description =
        "Shows the runs of this user, newest first, and how they stand: `running` (a process works "
        "on "
        "it), `interrupted` (its process is gone, `flyball resume` goes on), `waiting` (for "
        "somebody's "
        "decision), `ok`, `failed`, `timeout`, `cancelled`.\n\n"
        "`prune` removes runs that have ended, with all that was kept of them. `flyball run` does "
        "so by "
        "itself beyond 1,000 runs or 90 days.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball runs --state interrupted", "what a crash cut off"},
                                     {"flyball runs prune --keep 100", "only the newest"},
                                     {0}},
    .operands = FB_OPERANDS_CHOICE,
    .operand_choices = S_verbs,
    .max_operands = 1,
    .run = S_run,
};
