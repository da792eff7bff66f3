/* SPDX-License-Identifier: Apache-2.0
 * flyball logs: what the programs of a run wrote. */
#include "cli/run_store.h"

#include <time.h>

typedef struct S_logs {
  fb_cli *cli;
  bool raw; /* as it was written */
} S_logs;

/* One step alone is shown as it was written; of several each line tells whose it is. */
static void S_show(void *user, const char *step, const char *stream, fb_slice piece) {
  S_logs *logs = user;
  fb_cli *cli = logs->cli;
  if (cli->json) {
    fb_buf out;
    fb_buf_init(&out, NULL, 0);
    fb_buf_text(&out, "{\"type\":\"flyball.log.v1\",\"step\":");
    fb_json_write_text(&out, fb_slice_of(step), FB_JSON_COMPACT);
    fb_buf_printf(&out, ",\"stream\":\"%s\",\"line\":", stream);
    fb_value value = fb_utf8_valid(piece.ptr, piece.len, NULL) ? fb_string(piece) : fb_bytes(piece);
    fb_json_write(&out, value, FB_JSON_COMPACT);
    fb_buf_text(&out, "}\n");
    fb_out_buf(cli, &out);
    fb_buf_release(&out);
    return;
  }
  if (!logs->raw) fb_out_printf(cli, "%s | ", step);
  fb_out_write(cli, piece.ptr, piece.len);
  if (!logs->raw) fb_out_text(cli, "\n");
}

static int S_follow(fb_cli *cli, const fb_run_place *place, fb_run_logs *logs) {
  const struct timespec pause = {0, 100000000};
  S_logs show = {cli, cli->operand_count > 1 && !cli->json};
  bool follow = fb_cli_has(cli, "follow"), more = false;
  fb_error err = {0};
  for (;;) {
    bool live = fb_lease_held(place->lease, NULL);
    if (fb_run_logs_read(logs, SIZE_MAX, S_show, &show, &more, &err))
      return fb_cli_error(cli, &err);
    fb_out_flush(cli);
    if (!follow || !live || fb_out_failed(cli)) break;
    nanosleep(&pause, NULL);
  }
  fb_run_logs_rest(logs, S_show, &show);
  if (cli->operand_count > 1 && !fb_run_logs_any(logs))
    return fb_cli_fail(cli, FB_E_RUN_STATE, "the run has no step `%s` that began",
                       cli->operands[1]);
  return FB_EXIT_OK;
}

static int S_run(fb_cli *cli) {
  fb_arena arena;
  fb_run_place place;
  fb_run_logs *logs = NULL;
  fb_slice scope, step;
  uint32_t item;
  fb_error err = {0};
  const char *only = cli->operand_count > 1 ? cli->operands[1] : NULL;
  fb_arena_init(&arena, NULL, 0);
  int code = FB_EXIT_OK;
  if (only && !fb_run_step_path(only, &scope, &step, &item))
    code = fb_cli_usage(cli, "as in build, each.3 or fix.3/build", "`%s` is no step", only);
  if (!code) code = fb_run_find(cli, cli->operands[0], &arena, &place);
  if (!code && fb_run_logs_new(&place, only, cli->json, &logs, &err))
    code = fb_cli_error(cli, &err);
  if (!code) code = S_follow(cli, &place, logs);
  fb_run_logs_free(logs);
  fb_arena_release(&arena);
  return code;
}

static const fb_option S_options[] = {
    {.letter = 'f', .name = "follow", .help = "Go on as long as a process works on the run"}, {0}};

const fb_command fb_command_logs = {
    .name = "logs",
    .summary = "Show what the programs of a run wrote",
    .usage = "RUN [STEP] [OPTION]…",
    .description =
        "Prints standard output and standard error of the steps, in the order in which they began, "
        "each line with the name of its step. With STEP only that one's, as it was written. Only "
        "the "
        "last attempt of a step is kept.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball logs -f latest", "while it runs"},
                                     {"flyball logs latest build", "of one step"},
                                     {0}},
    .operands = FB_OPERANDS_TEXT,
    .min_operands = 1,
    .max_operands = 2,
    .run = S_run,
};
