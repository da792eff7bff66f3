/* SPDX-License-Identifier: Apache-2.0
 * flyball logs: what the programs of a run wrote. */
#include "cli/run_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A stream of one step, and how far it was shown. */
typedef struct S_stream {
  const char *label, *path;
  const char *name; /* "stdout" or "stderr" */
  uint64_t shown;
  fb_buf rest; /* a line that has not ended */
} S_stream;

typedef struct S_logs {
  fb_cli *cli;
  fb_arena arena;
  fb_run_place place;
  const char *run_dir;
  fb_slice scope, step; /* only this one; step.ptr NULL: all */
  uint32_t item;
  S_stream *streams;
  size_t count, cap;
  uint64_t events; /* that were looked at */
} S_logs;

/* ── Which streams ───────────────────────────────────────────────────────────────────────────── */

static bool S_known(const S_logs *logs, const char *path) {
  for (size_t i = 0; i < logs->count; i++)
    if (strcmp(logs->streams[i].path, path) == 0) return true;
  return false;
}

static bool S_add(S_logs *logs, const char *label, const char *ending, const char *name) {
  const char *path = fb_arena_printf(&logs->arena, "%s/%s%s", logs->run_dir, label, ending);
  if (!path || S_known(logs, path)) return path != NULL;
  if (!fb_grow(fb_allocator_system(), (void **)&logs->streams, &logs->cap, logs->count,
               sizeof *logs->streams))
    return false;
  S_stream *stream = &logs->streams[logs->count++];
  *stream = (S_stream){.label = label, .path = path, .name = name};
  fb_buf_init(&stream->rest, NULL, 0);
  return true;
}

static bool S_wanted(const S_logs *logs, const fb_past_step *step) {
  if (!logs->step.ptr) return true;
  return fb_slice_equal(step->scope, logs->scope) && fb_slice_equal(step->id, logs->step) &&
         (logs->item == FB_NO_ITEM || step->item == logs->item);
}

static void S_set_dir(S_logs *logs, const fb_past *past) {
  const fb_value *dir = NULL, *run_dir = NULL;
  if (logs->run_dir) return;
  if (past->about.kind == FB_MAP) {
    dir = fb_map_get_text(past->about.as.map, FB_SLICE("dir"));
    run_dir = fb_map_get_text(past->about.as.map, FB_SLICE("run_dir"));
  }
  if (!run_dir || run_dir->kind != FB_STRING)
    logs->run_dir = logs->place.folder;
  else if (run_dir->as.text[0] == '/' || !dir || dir->kind != FB_STRING)
    logs->run_dir = fb_arena_printf(&logs->arena, "%s", run_dir->as.text);
  else
    logs->run_dir = fb_arena_printf(&logs->arena, "%s/%s", dir->as.text, run_dir->as.text);
}

/* Steps that have begun by now. The journal is read again only if it grew. */
static int S_look(S_logs *logs, bool *ret_any) {
  fb_journal *journal = NULL;
  fb_past *past = NULL;
  fb_error err = {0};
  int code = fb_run_journal(logs->cli, &logs->place, true, true, &journal);
  if (code) return code;
  bool news = fb_journal_log_head(journal).seq != logs->events;
  logs->events = fb_journal_log_head(journal).seq;
  if (news && fb_past_read(journal, NULL, &past, &err)) code = fb_cli_error(logs->cli, &err);
  if (past) S_set_dir(logs, past);
  for (uint32_t i = 0; past && !code && i < past->step_count; i++) {
    const fb_past_step *step = &past->steps[i];
    fb_buf path;
    if (!S_wanted(logs, step) || step->attempts == 0) continue;
    *ret_any = true;
    fb_buf_init(&path, NULL, 0);
    fb_past_step_path(step, &path);
    for (size_t k = 0; k < path.len; k++)
      if (path.ptr[k] == '/') path.ptr[k] = '.';
    const char *label = path.failed ? NULL : fb_arena_text(&logs->arena, fb_buf_slice(&path));
    fb_buf_release(&path);
    if (!label || !logs->run_dir || !S_add(logs, label, ".out", "stdout") ||
        !S_add(logs, label, ".err", "stderr"))
      code = fb_cli_fail(logs->cli, FB_E_NOMEM, "out of memory");
  }
  fb_past_free(past);
  fb_journal_log_close(journal);
  return code;
}

/* ── Showing ─────────────────────────────────────────────────────────────────────────────────── */

static void S_line(S_logs *logs, const S_stream *stream, fb_slice line) {
  fb_cli *cli = logs->cli;
  if (cli->json) {
    fb_buf out;
    fb_buf_init(&out, NULL, 0);
    fb_buf_text(&out, "{\"type\":\"flyball.log.v1\",\"step\":");
    fb_json_write_text(&out, fb_slice_of(stream->label), FB_JSON_COMPACT);
    fb_buf_printf(&out, ",\"stream\":\"%s\",\"line\":", stream->name);
    fb_value value = fb_utf8_valid(line.ptr, line.len, NULL) ? fb_string(line) : fb_bytes(line);
    fb_json_write(&out, value, FB_JSON_COMPACT);
    fb_buf_text(&out, "}\n");
    fb_out_buf(cli, &out);
    fb_buf_release(&out);
    return;
  }
  fb_out_printf(cli, "%s | ", stream->label);
  fb_out_write(cli, line.ptr, line.len);
  fb_out_text(cli, "\n");
}

/* One step alone is shown as it was written; of several each line tells whose it is. */
static void S_show(S_logs *logs, S_stream *stream, const char *bytes, size_t length) {
  if (logs->step.ptr && !logs->cli->json) {
    fb_out_write(logs->cli, bytes, length);
    return;
  }
  while (length) {
    const char *end = memchr(bytes, '\n', length);
    size_t part = end ? (size_t)(end - bytes) : length;
    fb_buf_add(&stream->rest, bytes, part);
    if (end || stream->rest.len > 1 << 16) {
      S_line(logs, stream, fb_buf_slice(&stream->rest));
      fb_buf_clear(&stream->rest);
    }
    part += end ? 1 : 0;
    bytes += part;
    length -= part;
  }
}

/* Shows what is new. A file that was begun anew (another attempt) is shown from its beginning. */
static void S_more(S_logs *logs, S_stream *stream) {
  char bytes[65536];
  struct stat info;
  int fd = open(stream->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (fstat(fd, &info) == 0 && (uint64_t)info.st_size < stream->shown) stream->shown = 0;
  while (!fb_out_failed(logs->cli)) {
    ssize_t got = pread(fd, bytes, sizeof bytes, (off_t)stream->shown);
    if (got <= 0) break;
    stream->shown += (uint64_t)got;
    S_show(logs, stream, bytes, (size_t)got);
  }
  close(fd);
}

static int S_follow(S_logs *logs) {
  const struct timespec pause = {0, 100000000};
  bool follow = fb_cli_has(logs->cli, "follow"), any = false;
  int code;
  for (;;) {
    bool live = fb_lease_held(logs->place.lease, NULL);
    code = S_look(logs, &any);
    for (size_t i = 0; !code && i < logs->count; i++) S_more(logs, &logs->streams[i]);
    fb_out_flush(logs->cli);
    if (code || !follow || !live || fb_out_failed(logs->cli)) break;
    nanosleep(&pause, NULL);
  }
  for (size_t i = 0; i < logs->count; i++)
    if (logs->streams[i].rest.len)
      S_line(logs, &logs->streams[i], fb_buf_slice(&logs->streams[i].rest));
  if (!code && logs->step.ptr && !any)
    code = fb_cli_fail(logs->cli, FB_E_RUN_STATE, "the run has no step `%s` that began",
                       logs->cli->operands[1]);
  return code;
}

static int S_run(fb_cli *cli) {
  S_logs logs = {.cli = cli, .item = FB_NO_ITEM};
  fb_arena_init(&logs.arena, NULL, 0);
  int code = FB_EXIT_OK;
  if (cli->operand_count > 1 &&
      !fb_run_step_path(cli->operands[1], &logs.scope, &logs.step, &logs.item))
    code = fb_cli_usage(cli, "as in build, each.3 or fix.3/build", "`%s` is no step",
                        cli->operands[1]);
  if (!code) code = fb_run_find(cli, cli->operands[0], &logs.arena, &logs.place);
  if (!code) code = S_follow(&logs);
  for (size_t i = 0; i < logs.count; i++) fb_buf_release(&logs.streams[i].rest);
  fb_free(fb_allocator_system(), logs.streams, logs.cap * sizeof *logs.streams);
  fb_arena_release(&logs.arena);
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
