/* SPDX-License-Identifier: Apache-2.0
 *
 * What outlives the process. snapshot-N has everything at a quiet point; log-N has what came after it, record by record, until
 * snapshot-N+1 was begun. To restore is to read the newest snapshot that is whole and to do again what the logs from there on say. Two
 * snapshots are kept.
 *
 * A record is {length, kind, number, hash} and its bytes; the hash covers kind, number and bytes, so that what a crash cut off
 * is seen. A snapshot is "flyball-loop-1\n", its SHA-256, and a packed value. Files belong to the machine that wrote them.
 */
#include "loop/engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD_BATCH = 1, RECORD_TICK, RECORD_ACK, RECORD_SCHEDULE, RECORD_RUN, RECORD_RUN_ENDED };
enum { RECORD_MAX = 128 << 20, VERSION = 1 };
static const char S_magic[] = "flyball-loop-1\n";

typedef struct S_head {
  uint32_t length, kind;
  uint64_t number, hash;
} S_head;

static void S_path(const fb_loop *loop, const char *kind, uint64_t number, char out[4096]) {
  snprintf(out, 4096, "%s/%s-%llu", loop->state, kind, (unsigned long long)number);
}

static uint64_t S_hash(const S_head *head, fb_slice bytes) {
  return fb_hash_bytes(bytes.ptr, bytes.len, fb_hash_mix(head->kind, head->number));
}

/* ── Writing the log ─────────────────────────────────────────────────────────────────────────── */

static bool S_write_all(int fd, const char *bytes, size_t length) {
  while (length) {
    ssize_t put = write(fd, bytes, length);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    bytes += put;
    length -= (size_t)put;
  }
  return true;
}

/* A log that failed once is not written any more until the next snapshot: what followed a hole could not be read. */
static void S_log_failed(fb_loop *loop) {
  if (!loop->log_failed)
    fb_loop_say(loop, FB_LOG_ERROR, "the log of facts cannot be written", "error", strerror(errno),
                NULL, NULL);
  loop->log_failed = true;
}

/* `record` has room for a head at its beginning. */
static bool S_append(fb_loop *loop, uint32_t kind, fb_buf *record) {
  if (loop->replaying || loop->log_fd < 0) return true;
  if (loop->log_failed || record->failed) return false;
  S_head head = {
      .length = (uint32_t)(record->len - sizeof head), .kind = kind, .number = ++loop->sequence};
  head.hash = S_hash(&head, (fb_slice){record->ptr + sizeof head, head.length});
  memcpy(record->ptr, &head, sizeof head);
  if (!S_write_all(loop->log_fd, record->ptr, record->len)) {
    S_log_failed(loop);
    return false;
  }
  loop->log_size += record->len;
  return true;
}

static void S_begin(fb_buf *record) {
  static const char zero[sizeof(S_head)];
  fb_buf_init(record, NULL, 0);
  fb_buf_add(record, zero, sizeof zero);
}

static void S_number(fb_buf *record, uint64_t number) {
  fb_buf_add(record, &number, sizeof number);
}

static void S_text(fb_buf *record, fb_slice text) {
  S_number(record, text.len);
  fb_buf_add(record, text.ptr, text.len);
}

static bool S_end(fb_loop *loop, uint32_t kind, fb_buf *record) {
  bool good = S_append(loop, kind, record);
  fb_buf_release(record);
  return good;
}

bool fb_keep_log_batch(fb_loop *loop, const fb_loop_batch *batch, int64_t now) {
  fb_buf record;
  fb_log_facts policy = loop->project->log;
  bool durable = batch->flags & FB_BATCH_DURABLE;
  if (!durable && (policy == FB_LOG_FACTS_NONE || policy == FB_LOG_FACTS_DURABLE)) return true;
  S_begin(&record);
  S_number(&record, (uint64_t)now);
  S_number(&record, batch->flags);
  S_number(&record, (uint64_t)batch->lifetime);
  S_number(&record, batch->place.inode);
  S_number(&record, batch->place.offset);
  S_text(&record, fb_slice_of(batch->source));
  S_text(&record, fb_slice_of(batch->type));
  S_text(&record, (fb_slice){batch->text, batch->length});
  return S_end(loop, RECORD_BATCH, &record);
}

void fb_keep_log_tick(fb_loop *loop, int64_t now) {
  fb_buf record;
  S_begin(&record);
  S_number(&record, (uint64_t)now);
  S_end(loop, RECORD_TICK, &record);
}

void fb_keep_log_ack(fb_loop *loop, const char *sink, uint64_t number) {
  fb_buf record;
  S_begin(&record);
  S_number(&record, number);
  S_text(&record, fb_slice_of(sink));
  S_end(loop, RECORD_ACK, &record);
}

void fb_keep_log_schedule(fb_loop *loop, const char *schedule, int64_t at, int64_t until) {
  fb_buf record;
  S_begin(&record);
  S_number(&record, (uint64_t)at);
  S_number(&record, (uint64_t)until);
  S_text(&record, fb_slice_of(schedule));
  S_end(loop, RECORD_SCHEDULE, &record);
}

void fb_keep_log_run(fb_loop *loop, const fb_loop_run *run, bool ended) {
  fb_buf record;
  S_begin(&record);
  S_text(&record, fb_slice_of(run->id));
  S_text(&record, fb_slice_of(run->name));
  S_text(&record, fb_slice_of(run->inputs));
  S_end(loop, ended ? RECORD_RUN_ENDED : RECORD_RUN, &record);
}

/* ── On disk: one sync for all that wait ─────────────────────────────────────────────────────── */

static void S_sync(void *user) {
  fb_loop *loop = user;
  if (fdatasync(loop->log_fd) && errno != EINVAL) loop->log_failed = true;
}

static void S_sync_next(fb_loop *loop);

static void S_synced(void *user) {
  fb_loop *loop = user;
  fb_loop_batch *batch = loop->in_sync;
  loop->in_sync = NULL;
  loop->syncing = false;
  for (fb_loop_batch *next; batch; batch = next) {
    next = batch->next;
    if (loop->log_failed) {
      batch->result.status = FB_E_IO;
      fb_fail(&batch->result.error, FB_E_IO, "the log of facts cannot be written");
    }
    fb_batch_end(loop, batch);
  }
  S_sync_next(loop);
  fb_loop_wake(loop);
}

static void S_sync_next(fb_loop *loop) {
  if (loop->syncing || !loop->durable || loop->saving) return;
  loop->in_sync = loop->durable;
  loop->durable = loop->durable_last = NULL;
  loop->syncing = true;
  if (loop->world->work(loop->world->context, S_sync, S_synced, loop) == FB_OK) return;
  S_sync(loop);
  S_synced(loop);
}

void fb_keep_when_durable(fb_loop *loop, fb_loop_batch *batch) {
  batch->next = NULL;
  if (loop->durable_last)
    loop->durable_last->next = batch;
  else
    loop->durable = batch;
  loop->durable_last = batch;
  S_sync_next(loop);
}

/* ── Snapshot: writing ───────────────────────────────────────────────────────────────────────── */

typedef struct S_save {
  fb_loop *loop;
  fb_arena arena;
  bool failed;
} S_save;

static void S_put(S_save *save, fb_map *map, const char *key, fb_value value) {
  if (!map || !fb_map_put(map, &save->arena, fb_string(fb_slice_of(key)), value, NULL))
    save->failed = true;
}

static void S_push(S_save *save, fb_list *list, const fb_map *map) {
  if (!list || !map || !fb_list_push(list, &save->arena, fb_map_value(map))) save->failed = true;
}

static fb_value S_string(const char *text) {
  return fb_string(fb_slice_of(text));
}

static fb_value S_save_books(S_save *save, fb_error *err) {
  fb_list *list = fb_list_new(&save->arena, 4);
  for (uint32_t i = 0; i < save->loop->book_count && !save->failed; i++) {
    const fb_book *book = &save->loop->books[i];
    fb_map *map = fb_map_new(&save->arena, 4);
    fb_buf bytes;
    fb_buf_init(&bytes, NULL, 0);
    if (fb_session_save(book->session, &bytes, err) || bytes.failed) save->failed = true;
    const void *copy = fb_arena_copy(&save->arena, bytes.ptr, bytes.len);
    save->failed |= !copy;
    S_put(save, map, "name", fb_string(book->plan->name));
    S_put(save, map, "path", S_string(book->plan->path));
    S_put(save, map, "text", fb_string(book->plan->text));
    S_put(save, map, "session", fb_bytes((fb_slice){copy, bytes.len}));
    fb_buf_release(&bytes);
    S_push(save, list, map);
  }
  return list ? fb_list_value(list) : fb_null();
}

static fb_value S_save_deliveries(S_save *save, const fb_loop_sink *sink) {
  fb_list *list = fb_list_new(&save->arena, 4);
  for (const fb_delivery *at = sink->first; at && !save->failed; at = at->next) {
    fb_map *map = fb_map_new(&save->arena, 6);
    S_put(save, map, "n", fb_int((int64_t)at->number));
    S_put(save, map, "at", fb_int(at->at));
    S_put(save, map, "id", S_string(at->id));
    S_put(save, map, "type", S_string(at->type));
    S_put(save, map, "target", S_string(at->target));
    S_put(save, map, "body", fb_bytes((fb_slice){at->body, at->length}));
    S_push(save, list, map);
  }
  return list ? fb_list_value(list) : fb_null();
}

static fb_value S_save_sinks(S_save *save) {
  fb_list *list = fb_list_new(&save->arena, 4);
  for (uint32_t i = 0; i < save->loop->sink_count && !save->failed; i++) {
    const fb_loop_sink *sink = save->loop->sinks[i];
    fb_map *map = fb_map_new(&save->arena, 4);
    S_put(save, map, "name", S_string(sink->name));
    S_put(save, map, "acked", fb_int((int64_t)sink->acked));
    S_put(save, map, "waiting", S_save_deliveries(save, sink));
    S_push(save, list, map);
  }
  return list ? fb_list_value(list) : fb_null();
}

static fb_value S_save_sources(S_save *save) {
  fb_list *list = fb_list_new(&save->arena, 4);
  for (uint32_t i = 0; i < save->loop->source_count && !save->failed; i++) {
    const fb_loop_source *source = save->loop->sources[i];
    fb_map *map = fb_map_new(&save->arena, 5);
    S_put(save, map, "name", S_string(source->name));
    S_put(save, map, "inode", fb_uint(source->place.inode));
    S_put(save, map, "offset", fb_uint(source->place.offset));
    S_put(save, map, "facts", fb_uint(source->facts));
    S_put(save, map, "held",
          fb_bytes(
              (fb_slice){(const char *)source->held, source->held_count * sizeof *source->held}));
    S_push(save, list, map);
  }
  return list ? fb_list_value(list) : fb_null();
}

static fb_value S_save_schedules(S_save *save) {
  fb_list *list = fb_list_new(&save->arena, 4);
  for (uint32_t i = 0; i < save->loop->schedule_count && !save->failed; i++) {
    fb_map *map = fb_map_new(&save->arena, 2);
    S_put(save, map, "name", S_string(save->loop->schedules[i].name));
    S_put(save, map, "last", fb_int(save->loop->schedules[i].done));
    S_push(save, list, map);
  }
  return list ? fb_list_value(list) : fb_null();
}

static fb_value S_save_runs(S_save *save) {
  fb_list *list = fb_list_new(&save->arena, 4);
  for (const fb_loop_run *run = save->loop->runs; run && !save->failed; run = run->next) {
    fb_map *map = fb_map_new(&save->arena, 3);
    S_put(save, map, "id", S_string(run->id));
    S_put(save, map, "mission", S_string(run->name));
    S_put(save, map, "inputs", S_string(run->inputs));
    S_push(save, list, map);
  }
  return list ? fb_list_value(list) : fb_null();
}

static fb_status S_pack(fb_loop *loop, fb_buf *out, fb_error *err) {
  S_save save = {.loop = loop};
  fb_error own = {0};
  fb_arena_init(&save.arena, NULL, 0);
  fb_map *map = fb_map_new(&save.arena, 16);
  S_put(&save, map, "version", fb_int(VERSION));
  S_put(&save, map, "project", fb_string(loop->project->name));
  S_put(&save, map, "instance", S_string(loop->instance));
  S_put(&save, map, "at", fb_int(fb_loop_wall(loop)));
  S_put(&save, map, "now", fb_int(loop->now));
  S_put(&save, map, "decisions", fb_int((int64_t)loop->decisions));
  S_put(&save, map, "sequence", fb_int((int64_t)loop->sequence));
  S_put(&save, map, "facts", fb_int((int64_t)loop->facts));
  S_put(&save, map, "firings", fb_int((int64_t)loop->firings));
  S_put(&save, map, "books", S_save_books(&save, &own));
  S_put(&save, map, "sinks", S_save_sinks(&save));
  S_put(&save, map, "sources", S_save_sources(&save));
  S_put(&save, map, "schedules", S_save_schedules(&save));
  S_put(&save, map, "runs", S_save_runs(&save));
  S_put(&save, map, "expiries",
        fb_bytes(
            (fb_slice){(const char *)loop->expiries, loop->expiry_count * sizeof *loop->expiries}));
  fb_status status = FB_OK;
  if (save.failed) {
    status = own.code ? own.code : FB_E_NOMEM;
    fb_fail(err, status, "%s", own.code ? own.text : "no memory for a snapshot");
  } else {
    status = fb_value_pack(out, fb_map_value(map));
    if (status) fb_fail(err, status, "no memory for a snapshot");
  }
  fb_arena_release(&save.arena);
  return status;
}

typedef struct S_writing {
  fb_loop *loop;
  fb_buf bytes;
  uint64_t number;
  int old_log;
  fb_error err;
} S_writing;

static void S_write_snapshot(void *user) {
  S_writing *writing = user;
  fb_loop *loop = writing->loop;
  char path[4096];
  uint8_t digest[FB_DIGEST_SIZE];
  fb_buf file;
  fb_buf_init(&file, NULL, 0);
  fb_digest(fb_buf_slice(&writing->bytes), digest);
  fb_buf_add(&file, S_magic, sizeof S_magic - 1);
  fb_buf_add(&file, digest, sizeof digest);
  fb_buf_add(&file, writing->bytes.ptr, writing->bytes.len);
  S_path(loop, "snapshot", writing->number, path);
  if (file.failed)
    fb_fail(&writing->err, FB_E_NOMEM, "no memory for a snapshot");
  else
    loop->world->write(loop->world->context, path, fb_buf_slice(&file), 0600, &writing->err);
  fb_buf_release(&file);
}

static void S_remove(fb_loop *loop, uint64_t before) {
  char path[4096];
  for (uint64_t number = before; number > 0 && before - number < 8; number--) {
    S_path(loop, "snapshot", number - 1, path);
    unlink(path);
    S_path(loop, "log", number - 1, path);
    unlink(path);
  }
}

static void S_written(void *user) {
  S_writing *writing = user;
  fb_loop *loop = writing->loop;
  loop->saving = false;
  if (writing->old_log >= 0) close(writing->old_log);
  if (writing->err.code) {
    fb_loop_say(loop, FB_LOG_ERROR, "no snapshot was written", "error", writing->err.text, NULL,
                NULL);
  } else {
    loop->snapshot_at = fb_loop_wall(loop);
    S_remove(loop, writing->number - 1);
  }
  fb_buf_release(&writing->bytes);
  free(writing);
  S_sync_next(loop);
}

static int S_new_log(fb_loop *loop, uint64_t number, fb_error *err) {
  char path[4096];
  S_path(loop, "log", number, path);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) {
    fb_fail(err, FB_E_LOOP_STATE, "cannot write %s: %s", path, strerror(errno));
    return -1;
  }
  int folder = open(loop->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder); /* else a log that was synced might not be found after power loss */
    close(folder);
  }
  return fd;
}

/* Those that wait for a log that failed are told so before there is a new one. */
static void S_fail_durable(fb_loop *loop) {
  loop->in_sync = loop->durable;
  loop->durable = loop->durable_last = NULL;
  S_synced(loop);
}

/* The old log stays open until what waits for it is on disk. */
fb_status fb_keep_save(fb_loop *loop, bool wait, fb_error *err) {
  if (loop->saving || loop->syncing) return FB_OK; /* soon enough */
  S_writing *writing = calloc(1, sizeof *writing);
  if (!writing) return fb_fail(err, FB_E_NOMEM, "out of memory");
  writing->loop = loop;
  writing->number = loop->number + 1;
  writing->old_log = loop->log_fd;
  fb_buf_init(&writing->bytes, NULL, 0);
  fb_status status = S_pack(loop, &writing->bytes, err);
  int fd = status ? -1 : S_new_log(loop, writing->number, err);
  if (fd < 0) {
    fb_buf_release(&writing->bytes);
    free(writing);
    return status ? status : FB_E_LOOP_STATE;
  }
  if (loop->log_fd >= 0 && loop->durable && fdatasync(loop->log_fd)) S_log_failed(loop);
  if (loop->log_failed && loop->durable) S_fail_durable(loop);
  loop->number = writing->number;
  loop->log_fd = fd;
  loop->log_size = 0;
  loop->log_failed = false;
  loop->saving = true;
  if (!wait &&
      loop->world->work(loop->world->context, S_write_snapshot, S_written, writing) == FB_OK)
    return FB_OK;
  S_write_snapshot(writing);
  if (writing->err.code && err) *err = writing->err;
  status = writing->err.code;
  S_written(writing);
  return status;
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_reader {
  const char *at, *end;
  bool failed;
} S_reader;

static uint64_t S_take_number(S_reader *reader) {
  uint64_t number = 0;
  if ((size_t)(reader->end - reader->at) < sizeof number) {
    reader->failed = true;
    return 0;
  }
  memcpy(&number, reader->at, sizeof number);
  reader->at += sizeof number;
  return number;
}

static fb_slice S_take_text(S_reader *reader) {
  uint64_t length = S_take_number(reader);
  if (reader->failed || length > (uint64_t)(reader->end - reader->at)) {
    reader->failed = true;
    return (fb_slice){"", 0};
  }
  fb_slice text = {reader->at, (size_t)length};
  reader->at += length;
  return text;
}

static fb_status S_read_file(const char *path, fb_buf *out) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FB_E_IO;
  ssize_t got = 1;
  while (got > 0) {
    if (!fb_buf_reserve(out, 1 << 20)) break;
    got = read(fd, out->ptr + out->len, 1 << 20);
    if (got < 0 && errno == EINTR) {
      got = 1;
      continue;
    }
    if (got > 0) out->len += (size_t)got;
  }
  close(fd);
  return got == 0 ? FB_OK : FB_E_IO;
}

/* Calls `each` with the records that are whole, up to the first that is not. */
static uint64_t S_each_record(fb_slice file, uint64_t *ret_bytes,
                              void (*each)(void *user, uint32_t kind, fb_slice bytes), void *user) {
  uint64_t count = 0;
  size_t at = 0;
  S_head head;
  while (file.len - at >= sizeof head) {
    memcpy(&head, file.ptr + at, sizeof head);
    fb_slice bytes = {file.ptr + at + sizeof head, head.length};
    if (head.length > RECORD_MAX || head.length > file.len - at - sizeof head ||
        S_hash(&head, bytes) != head.hash)
      break;
    if (each) each(user, head.kind, bytes);
    at += sizeof head + head.length;
    count++;
  }
  *ret_bytes = at;
  return count;
}

/* What a log says of those who need nothing more: needed before the facts are given to the rules again. */
static void S_replay_first(void *user, uint32_t kind, fb_slice bytes) {
  fb_loop *loop = user;
  S_reader reader = {.at = bytes.ptr, .end = bytes.ptr + bytes.len};
  char name[FB_NAME_MAX];
  uint64_t number = 0;
  fb_slice text = {"", 0};
  if (kind == RECORD_ACK) {
    number = S_take_number(&reader);
    text = S_take_text(&reader);
  } else if (kind == RECORD_BATCH) {
    S_take_number(&reader);
    bool sink = S_take_number(&reader) & FB_BATCH_SINK;
    S_take_number(&reader);
    S_take_number(&reader);
    number = S_take_number(&reader);
    text = S_take_text(&reader);
    if (!sink) return;
  }
  if (reader.failed || !text.len || text.len >= sizeof name) return;
  snprintf(name, sizeof name, "%.*s", (int)text.len, text.ptr);
  fb_loop_sink *sink = fb_sink_find(loop, name);
  if (sink && number > sink->acked) sink->acked = number;
}

static void S_fire_all(fb_loop *loop) {
  size_t before;
  do {
    fb_books_fire(loop, 0);
    before = loop->expiry_count;
    fb_books_settle(loop);
  } while (loop->expiry_count != before);
}

static void S_replay_batch(fb_loop *loop, S_reader *reader) {
  int64_t now = (int64_t)S_take_number(reader);
  uint32_t flags = (uint32_t)S_take_number(reader);
  int64_t lifetime = (int64_t)S_take_number(reader);
  fb_batch_place place = {.inode = S_take_number(reader)};
  char name[FB_NAME_MAX];
  place.offset = S_take_number(reader);
  fb_slice source = S_take_text(reader), type = S_take_text(reader), text = S_take_text(reader);
  if (reader->failed || source.len >= sizeof name) return;
  snprintf(name, sizeof name, "%.*s", (int)source.len, source.ptr);
  fb_loop_batch *batch = fb_batch_new(text, name, type, lifetime, flags);
  if (!batch) return;
  batch->place = place;
  fb_books_apply(loop, batch, now);
  S_fire_all(loop);
  free(batch);
}

typedef struct S_open_run {
  char id[64], name[FB_NAME_MAX];
  fb_slice inputs;
  bool ended;
} S_open_run;

typedef struct S_restoring {
  fb_loop *loop;
  S_open_run *runs;
  size_t count, cap;
  uint64_t records;
} S_restoring;

static void S_note_run(S_restoring *restoring, fb_slice id, fb_slice name, fb_slice inputs,
                       bool ended) {
  for (size_t i = 0; i < restoring->count; i++)
    if (fb_slice_equal(fb_slice_of(restoring->runs[i].id), id)) {
      restoring->runs[i].ended = ended;
      return;
    }
  if (!fb_grow(NULL, (void **)&restoring->runs, &restoring->cap, restoring->count,
               sizeof *restoring->runs))
    return;
  S_open_run *run = &restoring->runs[restoring->count++];
  *run = (S_open_run){.ended = ended};
  snprintf(run->id, sizeof run->id, "%.*s", (int)(id.len < 64 ? id.len : 63), id.ptr);
  snprintf(run->name, sizeof run->name, "%.*s",
           (int)(name.len < FB_NAME_MAX ? name.len : FB_NAME_MAX - 1), name.ptr);
  char *copy = malloc(inputs.len + 1);
  if (copy) memcpy(copy, inputs.ptr, inputs.len);
  run->inputs = (fb_slice){copy, copy ? inputs.len : 0};
}

static void S_replay(void *user, uint32_t kind, fb_slice bytes) {
  S_restoring *restoring = user;
  fb_loop *loop = restoring->loop;
  S_reader reader = {.at = bytes.ptr, .end = bytes.ptr + bytes.len};
  restoring->records++;
  if (kind == RECORD_BATCH) {
    S_replay_batch(loop, &reader);
  } else if (kind == RECORD_TICK) {
    fb_books_advance(loop, (int64_t)S_take_number(&reader));
    S_fire_all(loop);
  } else if (kind == RECORD_SCHEDULE) {
    int64_t at = (int64_t)S_take_number(&reader), until = (int64_t)S_take_number(&reader);
    fb_slice name = S_take_text(&reader);
    char text[FB_NAME_MAX];
    snprintf(text, sizeof text, "%.*s", (int)(name.len < FB_NAME_MAX ? name.len : FB_NAME_MAX - 1),
             name.ptr);
    fb_loop_schedule *schedule = fb_schedule_find(loop, text);
    if (!schedule || reader.failed) return;
    schedule->done = until;
    if (schedule->plan->mission.len) fb_schedule_run(schedule, at);
  } else if (kind == RECORD_RUN || kind == RECORD_RUN_ENDED) {
    fb_slice id = S_take_text(&reader), name = S_take_text(&reader), inputs = S_take_text(&reader);
    if (!reader.failed) S_note_run(restoring, id, name, inputs, kind == RECORD_RUN_ENDED);
  }
}

/* ── Snapshot: reading ───────────────────────────────────────────────────────────────────────── */

static const fb_value *S_get(fb_value map, const char *key, fb_kind kind) {
  static const fb_value none = {.kind = FB_ABSENT};
  const fb_value *value = map.kind == FB_MAP ? fb_map_get_text(map.as.map, fb_slice_of(key)) : NULL;
  return value && value->kind == kind ? value : &none;
}

static int64_t S_get_int(fb_value map, const char *key) {
  const fb_value *value = S_get(map, key, FB_INT);
  if (value->kind == FB_INT) return value->as.i;
  value = S_get(map, key, FB_UINT);
  return value->kind == FB_UINT ? (int64_t)value->as.u : 0;
}

static fb_slice S_get_text(fb_value map, const char *key, fb_kind kind) {
  const fb_value *value = S_get(map, key, kind);
  return value->kind == kind ? fb_value_text(*value) : (fb_slice){"", 0};
}

static fb_status S_unpack(fb_slice file, fb_arena *arena, fb_value *ret_value, fb_error *err) {
  uint8_t digest[FB_DIGEST_SIZE];
  size_t head = sizeof S_magic - 1 + FB_DIGEST_SIZE;
  if (file.len < head || memcmp(file.ptr, S_magic, sizeof S_magic - 1) != 0)
    return fb_fail(err, FB_E_LOOP_STATE, "it is no snapshot of this version");
  fb_slice bytes = {file.ptr + head, file.len - head};
  fb_digest(bytes, digest);
  if (memcmp(digest, file.ptr + sizeof S_magic - 1, sizeof digest) != 0)
    return fb_fail(err, FB_E_LOOP_STATE, "it is damaged");
  return fb_value_unpack(bytes, arena, ret_value, err);
}

/* What went by the rulebook as it was then goes on by it, until the logs are done; then the new one takes its place. */
static fb_status S_load_book(fb_loop *loop, fb_book *book, fb_value saved, fb_ruleset **ret_old,
                             fb_error *err) {
  fb_slice text = S_get_text(saved, "text", FB_STRING);
  fb_slice session = S_get_text(saved, "session", FB_BYTES);
  char path[1024];
  fb_errors errors;
  if (fb_slice_equal(text, book->plan->text))
    return fb_book_restore(loop, book, book->plan->set, session, false, err);
  fb_slice name = S_get_text(saved, "path", FB_STRING);
  snprintf(path, sizeof path, "%.*s", (int)(name.len < 1023 ? name.len : 1023), name.ptr);
  fb_errors_init(&errors, NULL, 1);
  fb_status status = fb_ruleset_read(text, path, NULL, ret_old, &errors, NULL);
  fb_errors_release(&errors);
  if (!status) return fb_book_restore(loop, book, *ret_old, session, false, err);
  /* a rulebook that this version does not read any more */
  return fb_book_restore(loop, book, book->plan->set, session, true, err);
}

static fb_value S_find_saved(fb_value list, fb_slice name) {
  for (uint32_t i = 0; list.kind == FB_LIST && i < list.as.list->len; i++)
    if (fb_slice_equal(S_get_text(list.as.list->items[i], "name", FB_STRING), name))
      return list.as.list->items[i];
  return fb_absent();
}

static void S_load_sinks(fb_loop *loop, fb_value list) {
  for (uint32_t i = 0; i < loop->sink_count; i++) {
    fb_loop_sink *sink = loop->sinks[i];
    fb_value saved = S_find_saved(list, fb_slice_of(sink->name));
    sink->acked = UINT64_MAX; /* a new one: what was decided before is not for it */
    if (saved.kind == FB_ABSENT) continue;
    sink->acked = (uint64_t)S_get_int(saved, "acked");
    fb_value waiting = *S_get(saved, "waiting", FB_LIST);
    for (uint32_t k = 0; waiting.kind == FB_LIST && k < waiting.as.list->len; k++) {
      fb_value one = waiting.as.list->items[k];
      char id[FB_DECISION_ID];
      fb_slice text = S_get_text(one, "id", FB_STRING);
      snprintf(id, sizeof id, "%.*s",
               (int)(text.len < FB_DECISION_ID ? text.len : FB_DECISION_ID - 1), text.ptr);
      fb_sink_put(sink, (uint64_t)S_get_int(one, "n"), S_get_int(one, "at"), id,
                  S_get_text(one, "type", FB_STRING), S_get_text(one, "target", FB_STRING),
                  S_get_text(one, "body", FB_BYTES));
    }
  }
}

static void S_load_sources(fb_loop *loop, fb_value list) {
  for (uint32_t i = 0; i < loop->source_count; i++) {
    fb_loop_source *source = loop->sources[i];
    fb_value saved = S_find_saved(list, fb_slice_of(source->name));
    if (saved.kind == FB_ABSENT) continue;
    source->place =
        (fb_batch_place){(uint64_t)S_get_int(saved, "inode"), (uint64_t)S_get_int(saved, "offset")};
    source->facts = (uint64_t)S_get_int(saved, "facts");
    fb_slice held = S_get_text(saved, "held", FB_BYTES);
    size_t count = held.len / sizeof *source->held;
    for (size_t k = 0; k < count; k++) {
      if (!fb_grow(NULL, (void **)&source->held, &source->held_cap, source->held_count,
                   sizeof *source->held))
        return;
      memcpy(&source->held[source->held_count++], held.ptr + k * sizeof *source->held,
             sizeof *source->held);
    }
  }
}

static void S_load_rest(fb_loop *loop, fb_value saved) {
  fb_slice instance = S_get_text(saved, "instance", FB_STRING);
  fb_slice expiries = S_get_text(saved, "expiries", FB_BYTES);
  if (instance.len && instance.len < sizeof loop->instance)
    snprintf(loop->instance, sizeof loop->instance, "%.*s", (int)instance.len, instance.ptr);
  loop->decisions = (uint64_t)S_get_int(saved, "decisions");
  loop->sequence = (uint64_t)S_get_int(saved, "sequence");
  loop->facts = (uint64_t)S_get_int(saved, "facts");
  loop->firings = (uint64_t)S_get_int(saved, "firings");
  loop->now = S_get_int(saved, "now");
  S_load_sinks(loop, *S_get(saved, "sinks", FB_LIST));
  S_load_sources(loop, *S_get(saved, "sources", FB_LIST));
  fb_value schedules = *S_get(saved, "schedules", FB_LIST);
  for (uint32_t i = 0; i < loop->schedule_count; i++) {
    fb_value one = S_find_saved(schedules, fb_slice_of(loop->schedules[i].name));
    if (one.kind != FB_ABSENT) loop->schedules[i].done = S_get_int(one, "last");
  }
  for (size_t i = 0; i + sizeof(fb_expiry) <= expiries.len; i += sizeof(fb_expiry)) {
    fb_expiry expiry;
    memcpy(&expiry, expiries.ptr + i, sizeof expiry);
    fb_expiry_add(loop, expiry);
  }
}

/* ── Restoring ───────────────────────────────────────────────────────────────────────────────── */

enum { MOST_BOOKS = 1000 };

/* Facts with a lifetime would stay for ever: their new names are not known. */
static fb_status S_start_anew(fb_loop *loop, uint32_t number, fb_error *err) {
  fb_book *book = &loop->books[number];
  fb_buf bytes;
  for (size_t i = 0; i < loop->expiry_count; i++)
    if (loop->expiries[i].book == number)
      fb_session_retract(book->session, loop->expiries[i].fact, NULL);
  for (uint32_t i = 0; i < loop->source_count; i++)
    for (size_t k = 0; k < loop->sources[i]->held_count; k++)
      if (loop->sources[i]->held[k].book == number)
        fb_session_retract(book->session, loop->sources[i]->held[k].fact, NULL);
  fb_buf_init(&bytes, NULL, 0);
  fb_status status = fb_session_save(book->session, &bytes, err);
  if (!status)
    status = fb_book_restore(loop, book, book->plan->set, fb_buf_slice(&bytes), true, err);
  fb_buf_release(&bytes);
  fb_loop_say(loop, FB_LOG_WARN, "a rulebook with aggregates has changed: its rules decide anew",
              "rulebook", book->plan->path, NULL, NULL);
  return status;
}

static fb_status S_take_new_books(fb_loop *loop, fb_ruleset **old, fb_error *err) {
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < loop->book_count && !status; i++) {
    if (!old[i]) continue;
    status = fb_session_swap(loop->books[i].session, loop->books[i].plan->set, err);
    if (status == FB_E_RULE_AGGREGATE) status = S_start_anew(loop, i, err);
    loop->books[i].more = true;
  }
  return status;
}

static fb_status S_load_books(fb_loop *loop, fb_value saved, fb_ruleset **old, fb_error *err) {
  fb_value list = *S_get(saved, "books", FB_LIST);
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < loop->book_count && !status; i++) {
    fb_value one = S_find_saved(list, loop->books[i].plan->name);
    if (one.kind != FB_ABSENT) status = S_load_book(loop, &loop->books[i], one, &old[i], err);
  }
  return status;
}

static void S_logs(S_restoring *restoring, uint64_t from, bool first) {
  fb_loop *loop = restoring->loop;
  for (uint64_t number = from;; number++) {
    char path[4096];
    fb_buf file;
    uint64_t bytes = 0;
    S_path(loop, "log", number, path);
    fb_buf_init(&file, NULL, 0);
    if (S_read_file(path, &file) != FB_OK) {
      fb_buf_release(&file);
      return;
    }
    S_each_record(fb_buf_slice(&file), &bytes, first ? S_replay_first : S_replay,
                  first ? (void *)loop : restoring);
    if (!first && bytes < file.len)
      fb_loop_say(loop, FB_LOG_WARN, "the end of a log was cut off", "file", path, NULL, NULL);
    fb_buf_release(&file);
    if (number > loop->number) loop->number = number;
  }
}

static void S_resume(S_restoring *restoring, fb_value saved) {
  fb_loop *loop = restoring->loop;
  fb_value runs = *S_get(saved, "runs", FB_LIST);
  for (uint32_t i = 0; runs.kind == FB_LIST && i < runs.as.list->len; i++) {
    fb_value one = runs.as.list->items[i];
    fb_slice id = S_get_text(one, "id", FB_STRING);
    bool known = false;
    for (size_t k = 0; k < restoring->count; k++)
      known |= fb_slice_equal(fb_slice_of(restoring->runs[k].id), id);
    if (!known)
      S_note_run(restoring, id, S_get_text(one, "mission", FB_STRING),
                 S_get_text(one, "inputs", FB_STRING), false);
  }
  for (size_t i = 0; i < restoring->count; i++) {
    S_open_run *run = &restoring->runs[i];
    fb_error err = {0};
    if (!run->ended && run->inputs.ptr &&
        fb_loop_runs_start(loop, run->id, fb_slice_of(run->name), run->inputs, true, &err))
      fb_loop_say(loop, FB_LOG_ERROR, "a run cannot be gone on with", "run", run->id, "error",
                  err.text);
    free((void *)(uintptr_t)run->inputs.ptr);
  }
  free(restoring->runs);
}

/* The numbers of the snapshots, the newest first. */
static size_t S_snapshots(const char *state, uint64_t numbers[16]) {
  DIR *folder = opendir(state);
  size_t count = 0;
  for (struct dirent *entry; folder && (entry = readdir(folder));) {
    char *end;
    if (strncmp(entry->d_name, "snapshot-", 9) != 0) continue;
    uint64_t number = strtoull(entry->d_name + 9, &end, 10);
    if (*end || end == entry->d_name + 9 || count == 16) continue;
    size_t at = count++;
    for (; at && numbers[at - 1] < number; at--) numbers[at] = numbers[at - 1];
    numbers[at] = number;
  }
  if (folder) closedir(folder);
  return count;
}

/* FB_DONE: there is none. */
static fb_status S_newest(fb_loop *loop, fb_arena *arena, fb_value *ret_saved, uint64_t *ret_number,
                          fb_error *err) {
  uint64_t numbers[16];
  size_t count = S_snapshots(loop->state, numbers);
  for (size_t i = 0; i < count; i++) {
    char path[4096];
    fb_buf file;
    S_path(loop, "snapshot", numbers[i], path);
    fb_buf_init(&file, NULL, 0);
    fb_status status = S_read_file(path, &file);
    if (status)
      fb_fail(err, status, "it cannot be read");
    else
      status = S_unpack(fb_buf_slice(&file), arena, ret_saved, err);
    fb_buf_release(&file);
    if (numbers[i] > loop->number) loop->number = numbers[i];
    if (!status) {
      *ret_number = numbers[i];
      return FB_OK;
    }
    fb_loop_say(loop, FB_LOG_ERROR, "a snapshot was passed over", "file", path, "error", err->text);
  }
  return count ? FB_E_LOOP_STATE : FB_DONE;
}

static fb_status S_restore(fb_loop *loop, fb_value saved, uint64_t number, fb_error *err) {
  S_restoring restoring = {.loop = loop};
  fb_ruleset **old = calloc(loop->book_count, sizeof *old);
  if (!old) return fb_fail(err, FB_E_NOMEM, "out of memory");
  S_load_rest(loop, saved);
  fb_status status = S_load_books(loop, saved, old, err);
  if (!status) {
    S_logs(&restoring, number, true);
    S_logs(&restoring, number, false);
    status = S_take_new_books(loop, old, err);
  }
  if (!status) {
    for (uint32_t i = 0; i < loop->sink_count; i++)
      if (loop->sinks[i]->acked == UINT64_MAX) loop->sinks[i]->acked = loop->decisions;
    loop->replaying = false;
    fb_books_fire(loop, 0); /* what new rules have to say */
  }
  for (uint32_t i = 0; i < loop->book_count; i++) fb_ruleset_free(status ? NULL : old[i]);
  free(old);
  if (!status) S_resume(&restoring, saved);
  char text[32];
  snprintf(text, sizeof text, "%llu", (unsigned long long)restoring.records);
  if (!status)
    fb_loop_say(loop, FB_LOG_INFO, "the state was restored", "records", text, NULL, NULL);
  return status;
}

fb_status fb_keep_restore(fb_loop *loop, fb_error *err) {
  fb_arena arena;
  fb_value saved;
  uint64_t number = 0;
  fb_arena_init(&arena, NULL, 0);
  loop->replaying = true;
  fb_status status = S_newest(loop, &arena, &saved, &number, err);
  if (!status) status = S_restore(loop, saved, number, err);
  if (status == FB_DONE) status = FB_OK;
  loop->replaying = false;
  fb_arena_release(&arena);
  for (uint32_t i = 0; i < loop->source_count; i++)
    loop->sources[i]->read = loop->sources[i]->place;
  for (uint32_t i = 0; i < loop->schedule_count; i++) {
    loop->schedules[i].last = loop->schedules[i].done;
    loop->schedules[i].next = 0; /* looked at first */
  }
  if (status) {
    fb_error_prefix(err, "%s", loop->state);
    fb_error_hint(err, "move the folder away to begin anew, without what was held");
    return FB_E_LOOP_STATE;
  }
  return fb_keep_save(loop, true, err);
}

/* ── Opening ─────────────────────────────────────────────────────────────────────────────────── */

static bool S_make_folder(const char *path) {
  char own[4096];
  snprintf(own, sizeof own, "%s", path);
  for (char *at = own + 1; *at; at++) {
    if (*at != '/') continue;
    *at = 0;
    mkdir(own, 0755);
    *at = '/';
  }
  return (mkdir(own, 0700) == 0 || errno == EEXIST) && access(own, W_OK | X_OK) == 0;
}

fb_status fb_keep_open(fb_loop *loop, fb_error *err) {
  char path[4096], holder[64];
  if (!S_make_folder(loop->state))
    return fb_fail(err, FB_E_LOOP_STATE, "cannot write to %s: %s", loop->state, strerror(errno));
  if (!S_make_folder(loop->runs_folder))
    return fb_fail(err, FB_E_LOOP_STATE, "cannot write to %s: %s", loop->runs_folder,
                   strerror(errno));
  snprintf(path, sizeof path, "%s/lease", loop->state);
  int length = snprintf(holder, sizeof holder, "pid %ld", (long)getpid());
  return fb_lease_take(path, (fb_slice){holder, (size_t)length}, NULL, &loop->lease, err);
}

void fb_keep_close(fb_loop *loop) {
  if (loop->log_fd >= 0) close(loop->log_fd);
  loop->log_fd = -1;
  fb_lease_release(loop->lease);
  loop->lease = NULL;
}

/* ── Looking for damage ──────────────────────────────────────────────────────────────────────── */

static void S_check_log(const char *folder, const char *name,
                        void (*tell)(void *user, const char *text), void *user) {
  char path[4096], text[4300];
  fb_buf file;
  uint64_t bytes = 0;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  fb_buf_init(&file, NULL, 0);
  fb_status status = S_read_file(path, &file);
  if (status)
    snprintf(text, sizeof text, "%s cannot be read", name);
  else
    S_each_record(fb_buf_slice(&file), &bytes, NULL, NULL);
  if (!status && bytes < file.len)
    snprintf(text, sizeof text, "%s is cut off or damaged at byte %llu of %zu", name,
             (unsigned long long)bytes, file.len);
  if (status || bytes < file.len) tell(user, text);
  fb_buf_release(&file);
}

static void S_check_snapshot(const char *folder, const char *name,
                             void (*tell)(void *user, const char *text), void *user) {
  char path[4096], text[1000];
  fb_buf file;
  fb_arena arena;
  fb_value value;
  fb_error err = {0};
  snprintf(path, sizeof path, "%s/%s", folder, name);
  fb_buf_init(&file, NULL, 0);
  fb_arena_init(&arena, NULL, 0);
  if (S_read_file(path, &file))
    fb_fail(&err, FB_E_IO, "it cannot be read");
  else
    S_unpack(fb_buf_slice(&file), &arena, &value, &err);
  if (err.code) {
    snprintf(text, sizeof text, "%.200s: %s", name, err.text);
    tell(user, text);
  }
  fb_arena_release(&arena);
  fb_buf_release(&file);
}

fb_status fb_loop_state_check(const char *folder, const fb_allocator *allocator,
                              void (*tell)(void *user, const char *text), void *user) {
  (void)allocator;
  DIR *list = opendir(folder);
  if (!list) return FB_E_IO;
  for (struct dirent *entry; (entry = readdir(list));) {
    if (strncmp(entry->d_name, "log-", 4) == 0) S_check_log(folder, entry->d_name, tell, user);
    if (strncmp(entry->d_name, "snapshot-", 9) == 0 && !strchr(entry->d_name, '.'))
      S_check_snapshot(folder, entry->d_name, tell, user);
  }
  closedir(list);
  return FB_OK;
}
