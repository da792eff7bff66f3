/* SPDX-License-Identifier: Apache-2.0
 * What the programs of a run wrote: their files, step by step, as they grow. */
#include "loop/runs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_LINE = 1 << 16 };

/* A stream of one step, and how far it was told. */
typedef struct S_stream {
  const char *label, *path;
  const char *name; /* "stdout" or "stderr" */
  uint64_t told;
  fb_buf rest; /* a line that has not ended */
} S_stream;

struct fb_run_logs {
  fb_arena arena;
  fb_run_place place;
  const char *run_dir;
  fb_slice scope, step; /* only this one; step.ptr NULL: all */
  uint32_t item;
  bool lines, any;
  S_stream *streams;
  size_t count, cap;
  uint64_t events; /* that were looked at */
};

static fb_status S_no_memory(fb_error *err) {
  return fb_fail(err, FB_E_NOMEM, "out of memory");
}

fb_status fb_run_logs_new(const fb_run_place *place, const char *step, bool lines,
                          fb_run_logs **ret_logs, fb_error *err) {
  fb_run_logs *logs = fb_alloc_zero(fb_allocator_system(), sizeof *logs);
  if (!logs) return S_no_memory(err);
  fb_arena_init(&logs->arena, NULL, 0);
  logs->item = FB_NO_ITEM;
  logs->lines = lines || !step;
  const char *own = step ? fb_arena_text(&logs->arena, fb_slice_of(step)) : "";
  logs->place = *place;
  logs->place.folder = fb_arena_text(&logs->arena, fb_slice_of(place->folder));
  logs->place.journal = fb_arena_text(&logs->arena, fb_slice_of(place->journal));
  fb_status status = FB_OK;
  if (!own || !logs->place.folder || !logs->place.journal)
    status = S_no_memory(err);
  else if (step && !fb_run_step_path(own, &logs->scope, &logs->step, &logs->item))
    status = fb_fail(err, FB_E_RUN_STATE, "`%s` is no step", step);
  if (status)
    fb_run_logs_free(logs);
  else
    *ret_logs = logs;
  return status;
}

void fb_run_logs_free(fb_run_logs *logs) {
  if (!logs) return;
  for (size_t i = 0; i < logs->count; i++) fb_buf_release(&logs->streams[i].rest);
  fb_free(fb_allocator_system(), logs->streams, logs->cap * sizeof *logs->streams);
  fb_arena_release(&logs->arena);
  fb_free(fb_allocator_system(), logs, sizeof *logs);
}

bool fb_run_logs_any(const fb_run_logs *logs) {
  return logs->any;
}

/* ── Which streams ── */

static bool S_known(const fb_run_logs *logs, const char *path) {
  for (size_t i = 0; i < logs->count; i++)
    if (strcmp(logs->streams[i].path, path) == 0) return true;
  return false;
}

static bool S_add(fb_run_logs *logs, const char *label, const char *ending, const char *name) {
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

static bool S_wanted(const fb_run_logs *logs, const fb_past_step *step) {
  if (!logs->step.ptr) return true;
  return fb_slice_equal(step->scope, logs->scope) && fb_slice_equal(step->id, logs->step) &&
         (logs->item == FB_NO_ITEM || step->item == logs->item);
}

const char *fb_run_dir_of(const fb_past *past, const fb_run_place *place, fb_arena *arena) {
  const fb_value *dir = NULL, *run_dir = NULL;
  if (past->about.kind == FB_MAP) {
    dir = fb_map_get_text(past->about.as.map, FB_SLICE("dir"));
    run_dir = fb_map_get_text(past->about.as.map, FB_SLICE("run_dir"));
  }
  if (!run_dir || run_dir->kind != FB_STRING) return place->folder;
  if (run_dir->as.text[0] == '/' || !dir || dir->kind != FB_STRING)
    return fb_arena_printf(arena, "%s", run_dir->as.text);
  return fb_arena_printf(arena, "%s/%s", dir->as.text, run_dir->as.text);
}

/* "fix.3.build", as its files are called. NULL: no memory. */
const char *fb_run_label_of(const fb_past_step *step, fb_arena *arena) {
  fb_buf path;
  fb_buf_init(&path, NULL, 0);
  fb_past_step_path(step, &path);
  for (size_t k = 0; k < path.len; k++)
    if (path.ptr[k] == '/') path.ptr[k] = '.';
  const char *label = path.failed ? NULL : fb_arena_text(arena, fb_buf_slice(&path));
  fb_buf_release(&path);
  return label;
}

/* Steps that have begun by now. The journal is read again only if it grew. */
static fb_status S_look(fb_run_logs *logs, fb_error *err) {
  fb_journal *journal = NULL;
  fb_past *past = NULL;
  if (access(logs->place.journal, F_OK) != 0) return FB_OK; /* it has only just begun */
  fb_status status = fb_run_open(&logs->place, true, true, &journal, err);
  if (status) return status;
  bool news = fb_journal_log_head(journal).seq != logs->events;
  logs->events = fb_journal_log_head(journal).seq;
  if (news) status = fb_past_read(journal, NULL, &past, err);
  if (past && !logs->run_dir) logs->run_dir = fb_run_dir_of(past, &logs->place, &logs->arena);
  if (past && !logs->run_dir) status = S_no_memory(err);
  for (uint32_t i = 0; past && !status && i < past->step_count; i++) {
    const fb_past_step *step = &past->steps[i];
    if (!S_wanted(logs, step) || step->attempts == 0) continue;
    logs->any = true;
    const char *label = fb_run_label_of(step, &logs->arena);
    if (!label || !S_add(logs, label, ".out", "stdout") || !S_add(logs, label, ".err", "stderr"))
      status = S_no_memory(err);
  }
  fb_past_free(past);
  fb_journal_log_close(journal);
  return status;
}

/* ── Telling ── */

static void S_tell(fb_run_logs *logs, S_stream *stream, const char *bytes, size_t length,
                   fb_run_log_fn *each, void *user) {
  if (!logs->lines) {
    each(user, stream->label, stream->name, (fb_slice){bytes, length});
    return;
  }
  while (length) {
    const char *end = memchr(bytes, '\n', length);
    size_t part = end ? (size_t)(end - bytes) : length;
    fb_buf_add(&stream->rest, bytes, part);
    if (end || stream->rest.len > MOST_LINE) {
      each(user, stream->label, stream->name, fb_buf_slice(&stream->rest));
      fb_buf_clear(&stream->rest);
    }
    part += end ? 1 : 0;
    bytes += part;
    length -= part;
  }
}

/* A file that was begun anew (another attempt) is told from its beginning. True: there is more. */
static bool S_more(fb_run_logs *logs, S_stream *stream, size_t most, fb_run_log_fn *each,
                   void *user) {
  char bytes[65536];
  struct stat info;
  bool more = false;
  int fd = open(stream->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  if (fstat(fd, &info) == 0 && (uint64_t)info.st_size < stream->told) stream->told = 0;
  for (size_t told = 0; !more;) {
    ssize_t got = pread(fd, bytes, sizeof bytes, (off_t)stream->told);
    if (got <= 0) break;
    stream->told += (uint64_t)got;
    told += (size_t)got;
    S_tell(logs, stream, bytes, (size_t)got, each, user);
    more = told >= most;
  }
  close(fd);
  return more;
}

fb_status fb_run_logs_read(fb_run_logs *logs, size_t most, fb_run_log_fn *each, void *user,
                           bool *ret_more, fb_error *err) {
  fb_status status = S_look(logs, err);
  *ret_more = false;
  for (size_t i = 0; !status && i < logs->count; i++)
    if (S_more(logs, &logs->streams[i], most, each, user)) *ret_more = true;
  return status;
}

void fb_run_logs_rest(fb_run_logs *logs, fb_run_log_fn *each, void *user) {
  for (size_t i = 0; i < logs->count; i++) {
    S_stream *stream = &logs->streams[i];
    if (stream->rest.len) each(user, stream->label, stream->name, fb_buf_slice(&stream->rest));
    fb_buf_clear(&stream->rest);
  }
}
