/* SPDX-License-Identifier: Apache-2.0
 * flyball show: one run, step by step, as its journal has it. */
#include "cli/proof_io.h"
#include "cli/run_store.h"

static const char *S_state_of(const fb_past_step *step, bool live) {
  if (step->status == FB_STEP_RUNNING && step->waits_for && !live) return "in doubt";
  if (step->status == FB_STEP_RUNNING) return live ? "running" : "in doubt";
  return fb_step_status_name(step->status);
}

/* Items that went well are only counted in the table. */
static bool S_is_quiet(const fb_past_step *step) {
  return step->item != FB_NO_ITEM && step->status == FB_STEP_OK && step->repeats == 0;
}

static void S_time_json(fb_buf *out, const char *key, int64_t wall) {
  char time[FB_TIME_TEXT_MAX];
  if (!wall) return;
  fb_time_format(wall / 1000000000, (uint32_t)(wall % 1000000000), time);
  fb_buf_printf(out, ",\"%s\":\"%s\"", key, time);
}

static void S_text_json(fb_buf *out, const char *key, const char *text) {
  if (!text) return;
  fb_buf_printf(out, ",\"%s\":", key);
  fb_json_write_text(out, fb_slice_of(text), FB_JSON_COMPACT);
}

static void S_step_json(fb_buf *out, const fb_past_step *step, bool live) {
  fb_buf path;
  fb_buf_init(&path, NULL, 0);
  fb_past_step_path(step, &path);
  fb_buf_text(out, "{\"step\":");
  fb_json_write_text(out, fb_buf_slice(&path), FB_JSON_COMPACT);
  fb_buf_release(&path);
  if (step->phase == FB_PHASE_UNDO) fb_buf_text(out, ",\"phase\":\"undo\"");
  if (step->phase == FB_PHASE_FINALLY) fb_buf_text(out, ",\"phase\":\"finally\"");
  fb_buf_printf(out, ",\"state\":\"%s\",\"attempts\":%u,\"repeats\":%u", S_state_of(step, live),
                step->attempts, step->repeats);
  S_time_json(out, "started", step->started);
  S_time_json(out, "ended", step->ended);
  if (step->ended) fb_buf_printf(out, ",\"seconds\":%.6f", (double)step->duration / 1e9);
  if (step->exit_code >= 0) fb_buf_printf(out, ",\"exit\":%d", step->exit_code);
  if (step->signal) fb_buf_printf(out, ",\"signal\":%d", step->signal);
  S_text_json(out, "error", step->error);
  S_text_json(out, "waits_for", step->waits_for);
  S_text_json(out, "note", step->note);
  S_text_json(out, "stdout", step->out_path);
  S_text_json(out, "stderr", step->err_path);
  if (step->decision.kind == FB_MAP) {
    fb_buf_text(out, ",\"decision\":");
    fb_json_write(out, step->decision, FB_JSON_COMPACT);
  }
  fb_buf_char(out, '}');
}

static int S_json(fb_cli *cli, const fb_run_place *place, const fb_past *past, bool live) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_printf(&out, "{\"type\":\"flyball.show.v1\",\"run\":\"%s\",\"state\":\"%s\"", place->id,
                fb_run_standing_name(fb_run_standing_of(past->status, live)));
  S_time_json(&out, "started", past->started);
  S_time_json(&out, "ended", past->ended);
  fb_buf_printf(&out, ",\"sessions\":%u,\"events\":%llu,\"lost\":%llu,\"about\":", past->sessions,
                (unsigned long long)past->events, (unsigned long long)past->lost);
  fb_json_write(&out, past->about, FB_JSON_COMPACT);
  fb_buf_text(&out, ",\"outputs\":");
  fb_json_write(&out, past->outputs, FB_JSON_COMPACT);
  S_text_json(&out, "error", past->error);
  fb_buf_text(&out, ",\"steps\":[");
  const char *between = "";
  for (uint32_t i = 0; i < past->step_count; i++) {
    if (past->steps[i].phase == FB_PHASE_CHECK) continue;
    fb_buf_text(&out, between);
    S_step_json(&out, &past->steps[i], live);
    between = ",";
  }
  fb_buf_text(&out, "]}\n");
  fb_status status = fb_out_buf(cli, &out);
  fb_buf_release(&out);
  return status ? fb_cli_fail(cli, status, "out of memory") : FB_EXIT_OK;
}

/* ── For people ──────────────────────────────────────────────────────────────────────────────── */

static const char *S_about(const fb_past *past, const char *key) {
  const fb_value *value =
      past->about.kind == FB_MAP ? fb_map_get_text(past->about.as.map, fb_slice_of(key)) : NULL;
  return value && value->kind == FB_STRING ? value->as.text : NULL;
}

static void S_line(fb_cli *cli, const char *name, const char *text) {
  if (text && *text) fb_out_printf(cli, "%-9s %s\n", name, text);
}

static void S_head(fb_cli *cli, const fb_run_place *place, const fb_past *past, bool live) {
  char time[FB_TIME_TEXT_MAX];
  const char *state = fb_run_standing_name(fb_run_standing_of(past->status, live));
  fb_time_format(past->started / 1000000000, 0, time);
  S_line(cli, "run", place->id);
  S_line(cli, "mission", S_about(past, "mission"));
  S_line(cli, "file", S_about(past, "file"));
  S_line(cli, "by", S_about(past, "by"));
  S_line(cli, "started", time);
  if (past->sessions > 1)
    fb_out_printf(cli, "%-9s %s, %u times gone on with\n", "state", state, past->sessions - 1);
  else
    S_line(cli, "state", state);
  S_line(cli, "error", past->error);
  if (past->lost)
    fb_out_printf(cli, "%-9s a part of it cannot be read (flyball audit verify)\n", "journal");
}

static void S_detail(const fb_past_step *step, fb_buf *out) {
  if (step->waits_for) fb_buf_printf(out, "waits: %s", step->waits_for);
  if (step->error) fb_buf_printf(out, "%s%s", out->len ? ", " : "", step->error);
  if (step->note && !step->error) fb_buf_printf(out, "%s%s", out->len ? ", " : "", step->note);
  if (step->repeats) fb_buf_printf(out, "%srepeated after a crash", out->len ? ", " : "");
  const fb_value *word = step->decision.kind == FB_MAP
                             ? fb_map_get_text(step->decision.as.map, FB_SLICE("decision"))
                             : NULL;
  const fb_value *by = word ? fb_map_get_text(step->decision.as.map, FB_SLICE("by")) : NULL;
  if (word && word->kind == FB_STRING)
    fb_buf_printf(out, "%s%s by %s", out->len ? ", " : "", word->as.text,
                  by && by->kind == FB_STRING ? by->as.text : "somebody");
  for (size_t i = 0; i < out->len; i++)
    if ((unsigned char)out->ptr[i] < ' ') out->ptr[i] = ' ';
}

static void S_row(fb_grid *grid, const fb_past_step *step, bool live) {
  char took[FB_TIME_TEXT_MAX + 1] = "";
  size_t length = step->ended && step->attempts ? fb_duration_format(step->duration, took) : 0;
  fb_buf path, detail;
  fb_buf_init(&path, NULL, 0);
  fb_buf_init(&detail, NULL, 0);
  fb_past_step_path(step, &path);
  S_detail(step, &detail);
  static const char *const phases[] = {"", " (check)", " (undo)", " (finally)"};
  fb_grid_add(grid, "%s%s", path.len ? path.ptr : "", phases[step->phase & 3]);
  fb_grid_add(grid, "%s", S_state_of(step, live));
  fb_grid_add(grid, "%u", step->attempts);
  fb_grid_add(grid, "%.*s", (int)length, took);
  fb_grid_add(grid, "%.200s", detail.len ? detail.ptr : "");
  fb_buf_release(&path);
  fb_buf_release(&detail);
}

static void S_table(fb_cli *cli, const fb_past *past, bool live) {
  static const char *const head[] = {"step", "state", "tries", "time", "detail"};
  fb_grid grid;
  uint32_t quiet = 0;
  fb_grid_init(&grid, 5);
  for (size_t i = 0; i < 5; i++) fb_grid_add(&grid, "%s", head[i]);
  for (uint32_t i = 0; i < past->step_count; i++) {
    const fb_past_step *step = &past->steps[i];
    if (S_is_quiet(step) && !fb_cli_has(cli, "all"))
      quiet++;
    else if (step->phase != FB_PHASE_CHECK)
      S_row(&grid, step, live);
  }
  fb_out_text(cli, "\n");
  fb_grid_print(&grid, cli, 1 << 2 | 1 << 3);
  if (quiet) fb_out_printf(cli, "… and %u items that went well (--all shows them)\n", quiet);
}

static void S_outputs(fb_cli *cli, const fb_past *past) {
  fb_buf out;
  if (past->outputs.kind != FB_MAP || past->outputs.as.map->len == 0) return;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "\noutputs\n");
  fb_json_write(&out, past->outputs, FB_JSON_PRETTY);
  fb_buf_char(&out, '\n');
  fb_out_buf(cli, &out);
  fb_buf_release(&out);
}

static void S_what_next(fb_cli *cli, const fb_run_place *place, const fb_past *past, bool live) {
  switch (fb_run_standing_of(past->status, live)) {
    case FB_RUN_INTERRUPTED:
    case FB_RUN_CANCELLED: fb_cli_note(cli, "go on with: flyball resume %s", place->id); break;
    case FB_RUN_WAITING: fb_cli_note(cli, "decide with: flyball approve %s STEP", place->id); break;
    case FB_RUN_FAILED:
    case FB_RUN_TIMEOUT: fb_cli_note(cli, "try again with: flyball retry %s", place->id); break;
    default: break;
  }
}

static int S_run(fb_cli *cli) {
  fb_arena arena;
  fb_run_place place;
  fb_journal *journal = NULL;
  fb_past *past = NULL;
  fb_error err = {0};
  fb_arena_init(&arena, NULL, 0);
  int code = fb_run_find(cli, cli->operands[0], &arena, &place);
  bool live = !code && fb_lease_held(place.lease, NULL);
  if (!code) code = fb_run_journal(cli, &place, true, true, &journal);
  if (!code && fb_past_read(journal, NULL, &past, &err)) code = fb_cli_error(cli, &err);
  if (!code && cli->json) code = S_json(cli, &place, past, live);
  if (!code && !cli->json) {
    S_head(cli, &place, past, live);
    S_table(cli, past, live);
    S_outputs(cli, past);
    S_what_next(cli, &place, past, live);
  }
  fb_past_free(past);
  fb_journal_log_close(journal);
  fb_arena_release(&arena);
  return code;
}

static const fb_option S_options[] = {
    {.letter = 'a', .name = "all", .help = "Show items of a `for_each` that went well, too"}, {0}};

const fb_command fb_command_show = {
    .name = "show",
    .summary = "Show a run, step by step",
    .usage = "RUN [OPTION]…",
    .description =
        "Tells from the journal how a run stands and what became of each step: tries, duration, "
        "error, "
        "decisions. A step that was going on when the run was cut off is `in doubt`: it may have "
        "had "
        "its effect or not.\n\n"
        "A run is named by its id, by the beginning of it or of its last part, or by `latest`.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball show latest", "the newest run"},
                                     {"flyball show 3fa2 --json", "as JSON"},
                                     {0}},
    .operands = FB_OPERANDS_TEXT,
    .min_operands = 1,
    .max_operands = 1,
    .run = S_run,
};
