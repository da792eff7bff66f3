/* SPDX-License-Identifier: Apache-2.0
 *
 * A journal in a file. Appending only copies; writing hashes and hands over to the system; the commit only waits for the
 * disk, and may do that on another thread while more is written.
 */
#include "store/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

/* Room is taken ahead in steps of these: a write within it does not change the file's size, which spares the disk
 * a second write. Bytes. */
enum { LEAST_AHEAD = 64 << 10, MOST_AHEAD = 4 << 20 };

typedef struct S_log {
  fb_journal face;
  const fb_disk *disk;
  const fb_allocator *allocator;
  char *path;
  size_t path_size;
  fb_log_file file;
  fb_journal_head head;    /* committed: the commit's, while one is under way */
  fb_journal_head written; /* of the last event in the file */
  fb_journal_head sealed;  /* what the next commit covers, or the one under way */
  uint64_t synced;         /* seq that is known to be on disk */
  uint64_t end;            /* where the next record goes */
  uint64_t ahead;          /* the file is this large */
  uint64_t appended;       /* last seq given */
  fb_buf open;             /* appended and not written */
  fb_error unwritten;      /* why the last seal could not write */
  uint8_t first[FB_DIGEST_SIZE];
  fb_journal_log_options options;
  bool begun;         /* its header was written, and synced, just now */
  atomic_bool broken; /* what was written may or may not be on disk: nothing more can be promised */
} S_log;

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_append(void *context, fb_event *event, fb_error *err) {
  S_log *log = context;
  if (log->options.read_only) return fb_fail(err, FB_E_IO, "%s is open for reading", log->path);
  event->seq = log->appended + 1;
  size_t before = log->open.len;
  if (!fb_log_encode(event, &log->open)) {
    bool memory = log->open.failed || event->payload.len < UINT32_MAX / 2;
    log->open.len = before;
    log->open.failed = false;
    return memory ? fb_fail(err, FB_E_NOMEM, "out of memory")
                  : fb_fail(err, FB_E_LIMIT, "an event of more than 4 GiB");
  }
  log->appended++;
  return FB_OK;
}

/* Hashes and checks what was appended; *head becomes that of the last. Doing it again gives the same. */
static void S_chain(S_log *log, fb_journal_head *head) {
  for (size_t at = 0; at < log->open.len;) {
    char *record = log->open.ptr + at;
    uint32_t size, check;
    memcpy(&size, record, 4);
    memcpy(&head->seq, record + 8, 8);
    uint64_t ahead = head->seq - log->synced - 1;
    uint32_t into = ahead > UINT32_MAX ? UINT32_MAX : (uint32_t)ahead;
    memcpy(record + FB_LOG_INTO, &into, 4);
    fb_log_hash(head->hash, record, size, head->hash);
    memcpy(record + size - FB_DIGEST_SIZE, head->hash, FB_DIGEST_SIZE);
    check = fb_log_check(record, size, log->file.salt);
    memcpy(record + 4, &check, 4);
    at += size;
  }
}

static void S_take_ahead(S_log *log) {
  uint64_t need = log->end + log->open.len;
  if (need <= log->ahead) return;
  uint64_t more = log->ahead < LEAST_AHEAD  ? LEAST_AHEAD
                  : log->ahead > MOST_AHEAD ? MOST_AHEAD
                                            : log->ahead;
  if (need + more > INT64_MAX) return;
  /* Where it cannot be had the file grows as it is written. */
  if (log->disk->allocate(log->disk->context, log->file.fd, log->ahead, need + more - log->ahead) ==
      0)
    log->ahead = need + more;
}

static fb_status S_put(S_log *log, fb_error *err) {
  size_t done = 0;
  while (done < log->open.len) {
    int64_t put = log->disk->write(log->disk->context, log->file.fd, log->open.ptr + done,
                                   log->open.len - done, log->end + done);
    if (put <= 0) return fb_log_errno("write", log->path, err);
    done += (size_t)put;
  }
  return FB_OK;
}

static fb_status S_write(void *context, fb_error *err) {
  S_log *log = context;
  fb_journal_head head = log->written;
  if (atomic_load_explicit(&log->broken, memory_order_relaxed))
    return fb_fail(err, FB_E_IO, "an earlier write to %s failed", log->path);
  if (log->open.len == 0) return FB_OK;
  S_chain(log, &head);
  S_take_ahead(log);
  fb_status status = S_put(log, err);
  if (status) return status;
  log->written = head;
  log->end += log->open.len;
  if (log->end > log->ahead) log->ahead = log->end;
  fb_buf_clear(&log->open);
  return FB_OK;
}

static bool S_seal(void *context) {
  S_log *log = context;
  log->synced = log->head.seq; /* no commit is under way */
  log->unwritten.code = FB_OK;
  S_write(log, &log->unwritten);
  log->sealed = log->written;
  return log->unwritten.code || log->sealed.seq > log->head.seq;
}

static fb_status S_commit(void *context, fb_error *err) {
  S_log *log = context;
  if (log->unwritten.code) {
    if (err) *err = log->unwritten;
    return log->unwritten.code;
  }
  if (log->sealed.seq == log->head.seq) return FB_OK;
  if (!log->options.unsynced && log->disk->sync(log->disk->context, log->file.fd) != 0) {
    atomic_store_explicit(&log->broken, true, memory_order_relaxed);
    return fb_log_errno("write", log->path, err);
  }
  log->head = log->sealed;
  return FB_OK;
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_walk {
  uint64_t offset, seq;
  fb_status (*each)(void *user, const fb_event *event);
  void *user;
} S_walk;

static fb_status S_damaged(const S_log *log, uint64_t seq, uint64_t offset, fb_error *err) {
  fb_fail(err, FB_E_JOURNAL_DAMAGED, "%s: event %llu, at byte %llu, cannot be read", log->path,
          (unsigned long long)seq, (unsigned long long)offset);
  fb_error_hint(err, "`flyball audit verify` tells all that is wrong; what comes before is good");
  return FB_E_JOURNAL_DAMAGED;
}

/* Bytes that are no record: the cut end of the last write, or damage before records that are good. */
static fb_status S_skip(S_log *log, S_walk *walk, bool *ret_end, fb_error *err) {
  uint64_t next = 0;
  fb_log_found found;
  fb_status status = fb_log_is_torn(&log->file, walk->offset, walk->seq + 1, ret_end, err);
  if (status || *ret_end) return status;
  status = fb_log_find(&log->file, walk->offset + 8, &next, &found, err);
  *ret_end = !status && found == FB_LOG_END;
  if (status || *ret_end) return status;
  if (!log->options.damaged_ok) return S_damaged(log, walk->seq + 1, walk->offset, err);
  walk->offset = next;
  fb_event lost = {.kind = FB_EVENT_NOTE, .flags = FB_EVENT_LOST, .item = FB_NO_ITEM, .code = -1};
  return walk->each ? walk->each(walk->user, &lost) : FB_OK;
}

static fb_status S_take(S_log *log, S_walk *walk, const char *record, uint32_t size,
                        fb_error *err) {
  fb_event event;
  fb_log_decode(record, &event);
  if (event.seq != walk->seq + 1 && !log->options.damaged_ok)
    return S_damaged(log, walk->seq + 1, walk->offset, err);
  bool repeated = event.seq <= walk->seq;
  if (!repeated) {
    walk->seq = event.seq;
    memcpy(log->head.hash, record + size - FB_DIGEST_SIZE, FB_DIGEST_SIZE);
  }
  walk->offset += size;
  return walk->each && !repeated ? walk->each(walk->user, &event) : FB_OK;
}

/* From the first event to the last that is good. Sets head and end. */
static fb_status S_walk_all(S_log *log, S_walk *walk, uint64_t limit, fb_error *err) {
  bool end = false;
  fb_status status = FB_OK;
  walk->offset = FB_LOG_HEADER;
  memcpy(log->head.hash, log->first, FB_DIGEST_SIZE);
  while (!status && !end && walk->offset < limit) {
    const char *record;
    uint32_t size;
    fb_log_found found;
    status = fb_log_look(&log->file, walk->offset, &found, &record, &size, err);
    if (status) return status;
    if (found == FB_LOG_END) break;
    if (found == FB_LOG_BAD)
      status = S_skip(log, walk, &end, err);
    else
      status = S_take(log, walk, record, size, err);
  }
  log->head.seq = walk->seq;
  return status;
}

static fb_status S_read(void *context, fb_status (*each)(void *user, const fb_event *event),
                        void *user, fb_error *err) {
  S_log *log = context;
  S_walk walk = {.each = each, .user = user};
  fb_journal_head head = log->head;
  log->file.window.len = 0; /* it may have been written since */
  if (log->file.size < log->end) log->file.size = log->end;
  fb_status status = S_walk_all(log, &walk, log->end, err);
  log->head = head;
  return status;
}

/* ── Open and close ──────────────────────────────────────────────────────────────────────────── */

/* The header is on disk before anything is written behind it: a file that is no longer than it may have a part of one, or zeros, and
 * never had an event. */
static bool S_is_new(S_log *log, int fd) {
  char header[FB_LOG_HEADER] = {0};
  uint8_t digest[FB_DIGEST_SIZE];
  int64_t size = log->disk->size(log->disk->context, fd);
  if (size < 0 || size > FB_LOG_HEADER) return false;
  if (log->disk->read(log->disk->context, fd, header, sizeof header, 0) < FB_LOG_HEADER)
    return true;
  fb_digest((fb_slice){header, 32}, digest);
  return memcmp(digest, header + 32, sizeof digest) != 0;
}

static fb_status S_begin(S_log *log, int fd, fb_error *err) {
  const fb_disk *disk = log->disk;
  char header[FB_LOG_HEADER];
  bool good = disk->truncate(disk->context, fd, 0) == 0;
  fb_log_make_header(header, log->options.salt, log->options.created);
  for (size_t done = 0; good && done < sizeof header;) {
    int64_t put = disk->write(disk->context, fd, header + done, sizeof header - done, done);
    good = put > 0;
    done += good ? (size_t)put : 0;
  }
  if (good && !log->options.unsynced)
    good = disk->sync(disk->context, fd) == 0 && disk->sync_folder(disk->context, log->path) == 0;
  return good ? FB_OK : fb_log_errno("write", log->path, err);
}

/* A file that has no event is begun anew. */
static fb_status S_create(S_log *log, fb_error *err) {
  const fb_disk *disk = log->disk;
  int fd = disk->open(disk->context, log->path, O_RDWR | O_CREAT);
  if (fd < 0) return fb_log_errno("make", log->path, err);
  log->begun = S_is_new(log, fd);
  fb_status status = log->begun ? S_begin(log, fd, err) : FB_OK;
  disk->close(disk->context, fd);
  return status;
}

static fb_status S_open(S_log *log, fb_error *err) {
  S_walk walk = {0};
  fb_status status = log->options.read_only ? FB_OK : S_create(log, err);
  if (!status)
    status =
        fb_log_open_file(&log->file, log->options.read_only ? O_RDONLY : O_RDWR, log->first, err);
  if (!status) status = S_walk_all(log, &walk, log->file.size, err);
  if (status) return status;
  log->appended = log->synced = walk.seq;
  log->written = log->sealed = log->head;
  log->end = walk.offset;
  log->ahead = log->file.size;
  /* Whoever was killed may have left events that are not on disk yet: what follows must not get there before them. */
  if (!log->options.read_only && !log->options.unsynced && !log->begun &&
      log->disk->sync(log->disk->context, log->file.fd) != 0)
    return fb_log_errno("write", log->path, err);
  /* What a crash cut off must not stand behind what is written next. */
  if (log->options.read_only || log->end >= log->file.size) return FB_OK;
  if (log->disk->truncate(log->disk->context, log->file.fd, log->end) != 0)
    return fb_log_errno("write", log->path, err);
  log->ahead = log->end;
  return FB_OK;
}

fb_status fb_journal_log_open(const char *path, const fb_journal_log_options *options,
                              const fb_allocator *allocator, fb_journal **ret_journal,
                              fb_error *err) {
  if (!allocator) allocator = fb_allocator_system();
  S_log *log = fb_alloc_zero(allocator, sizeof *log);
  if (!log) return fb_fail(err, FB_E_NOMEM, "out of memory");
  log->face = (fb_journal){S_append, S_write, S_seal, S_commit, S_read, log};
  log->allocator = allocator;
  log->options = *options;
  log->file.disk = log->disk = options->disk ? options->disk : fb_disk_system();
  log->file.fd = -1;
  log->path_size = strlen(path) + 1;
  log->path = fb_alloc(allocator, log->path_size);
  fb_buf_init(&log->open, allocator, 0);
  fb_buf_init(&log->file.window, allocator, 0);
  fb_status status = log->path ? FB_OK : fb_fail(err, FB_E_NOMEM, "out of memory");
  if (!status) {
    memcpy(log->path, path, log->path_size);
    log->file.path = log->path;
    status = S_open(log, err);
  }
  if (status)
    fb_journal_log_close(&log->face);
  else
    *ret_journal = &log->face;
  return status;
}

void fb_journal_log_close(fb_journal *journal) {
  if (!journal) return;
  S_log *log = journal->context;
  /* Best effort: what is behind the end is zeros. */
  if (log->file.fd >= 0 && !log->options.read_only && log->ahead > log->end &&
      log->disk->truncate(log->disk->context, log->file.fd, log->end) == 0)
    log->ahead = log->end;
  fb_log_close_file(&log->file);
  fb_buf_release(&log->open);
  fb_free(log->allocator, log->path, log->path_size);
  fb_free(log->allocator, log, sizeof *log);
}

fb_journal_head fb_journal_log_head(const fb_journal *journal) {
  return ((const S_log *)journal->context)->head;
}
