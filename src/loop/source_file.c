/* SPDX-License-Identifier: Apache-2.0
 * Files that grow, and folders whose files come and go. Both are looked at now and then: that works on every file system. */
#include "loop/engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1 << 20, MOST_FILES = 10000 };
#define S_POLL INT64_C(200000000)

/* ── tail ────────────────────────────────────────────────────────────────────────────────────── */

void fb_tail_close(fb_loop_source *source) {
  if (source->fd >= 0) close(source->fd);
  source->fd = -1;
}

/* Where it begins: behind what was read of this very file; at its end, if it was there when we first looked. */
static void S_begin(fb_loop_source *source, const struct stat *info) {
  uint64_t size = (uint64_t)info->st_size;
  bool known = source->place.inode != 0;
  if (known && source->place.inode == info->st_ino)
    source->read.offset = source->place.offset <= size ? source->place.offset : 0;
  else
    source->read.offset = !known && !source->scanned && source->plan->from_here ? size : 0;
  source->read.inode = info->st_ino;
  source->place = source->read;
  source->rest.len = 0;
}

static bool S_open(fb_loop_source *source) {
  struct stat info;
  char text[200];
  source->fd = open(source->plan->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (source->fd >= 0 && fstat(source->fd, &info) == 0 && S_ISREG(info.st_mode)) {
    S_begin(source, &info);
    source->scanned = true;
    fb_source_good(source);
    return true;
  }
  bool missing = source->fd < 0 && errno == ENOENT;
  snprintf(text, sizeof text, "%.150s: %s", source->plan->path,
           source->fd < 0 ? strerror(errno) : "not a file");
  fb_tail_close(source);
  source->scanned = true; /* one that comes later is read from its beginning */
  if (!missing || source->state[0] != 'f') fb_source_fail(source, text);
  return false;
}

static void S_lines(fb_loop_source *source, fb_slice text) {
  uint32_t flags;
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_records_lines(&source->plan->parse, text, fb_loop_wall(source->loop), &out, &flags);
  if (out.failed)
    fb_source_fail(source, "no memory for its lines");
  else if (out.len)
    fb_source_give(source, fb_buf_slice(&out), flags);
  fb_buf_release(&out);
}

/* Whole lines become facts; what is behind the last newline waits for its end. */
static void S_take(fb_loop_source *source, bool whole) {
  const char *bytes = source->rest.ptr ? source->rest.ptr : "";
  size_t length = source->rest.len;
  while (length && bytes[length - 1] != '\n') length--;
  if (whole) length = source->rest.len;
  if (!length && source->rest.len > LINE_MAX_BYTES) {
    fb_source_fail(source, "a line is longer than 1 MiB, and was passed over");
    source->rest.len = 0;
    source->skipping = true;
  }
  if (!length || !source->rest.ptr) return;
  fb_slice lines = {bytes, length};
  if (source->skipping) { /* the end of a line that was too long */
    const char *newline = memchr(bytes, '\n', length);
    size_t skip = newline ? (size_t)(newline - bytes) + 1 : length;
    lines = (fb_slice){bytes + skip, length - skip};
    source->skipping = !newline;
  }
  char *copy = lines.len ? malloc(lines.len) : NULL;
  if (copy) memcpy(copy, lines.ptr, lines.len);
  source->rest.len -= length;
  memmove(source->rest.ptr, source->rest.ptr + length, source->rest.len);
  if (copy) S_lines(source, (fb_slice){copy, lines.len});
  if (!source->waiting)
    source->place = (fb_batch_place){source->read.inode, source->read.offset - source->rest.len};
  free(copy);
}

/* -1: it failed. */
static ssize_t S_read(fb_loop_source *source) {
  if (!fb_buf_reserve(&source->rest, FB_CHUNK_BYTES)) {
    source->rest.failed = false;
    return -1;
  }
  ssize_t got = pread(source->fd, source->rest.ptr + source->rest.len, FB_CHUNK_BYTES,
                      (off_t)source->read.offset);
  if (got > 0) {
    source->rest.len += (size_t)got;
    source->read.offset += (uint64_t)got;
  }
  return got;
}

/* Nothing more comes: was it cut short, or is another file at its path? True: there is more to do at once. */
static bool S_turned(fb_loop_source *source) {
  struct stat own, now;
  if (fstat(source->fd, &own) == 0 && (uint64_t)own.st_size < source->read.offset) {
    fb_loop_say(source->loop, FB_LOG_INFO, "a file was cut short", "source", source->name, NULL,
                NULL);
    source->read.offset = 0;
    source->rest.len = 0;
    source->place = source->read;
    return true;
  }
  if (stat(source->plan->path, &now) || now.st_ino == own.st_ino) return false;
  if (source->rest.len) {
    S_take(source, true); /* a last line without an end */
    if (source->waiting) return false;
  }
  fb_tail_close(source);
  return true;
}

void fb_tail_poll(fb_loop_source *source) {
  if (source->fd < 0 && !S_open(source)) {
    fb_source_again(source, S_POLL);
    return;
  }
  ssize_t got = S_read(source);
  if (got > 0) S_take(source, false);
  if (got < 0) fb_source_fail(source, strerror(errno));
  if (source->waiting) return; /* the end of its batch asks again */
  bool more = got == FB_CHUNK_BYTES || (got == 0 && S_turned(source));
  if (!source->waiting) fb_source_again(source, more ? 0 : S_POLL);
}

/* ── watch ───────────────────────────────────────────────────────────────────────────────────── */

typedef struct fb_seen_file {
  char *name;
  uint64_t inode, size;
  int64_t modified; /* ns */
} fb_seen_file;

static void S_free_files(fb_seen_file *files, size_t count) {
  for (size_t i = 0; i < count; i++) free(files[i].name);
  free(files);
}

void fb_watch_free(fb_loop_source *source) {
  S_free_files(source->files, source->file_count);
  source->files = NULL;
  source->file_count = 0;
}

static int S_by_name(const void *a, const void *b) {
  return strcmp(((const fb_seen_file *)a)->name, ((const fb_seen_file *)b)->name);
}

static bool S_see(const char *folder, const char *name, fb_seen_file *file) {
  char path[4096];
  struct stat info;
  if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path ||
      stat(path, &info) || !S_ISREG(info.st_mode))
    return false;
  *file =
      (fb_seen_file){.name = strdup(name),
                     .inode = info.st_ino,
                     .size = (uint64_t)info.st_size,
                     .modified = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec};
  return file->name != NULL;
}

/* NULL: an error is told. */
static fb_seen_file *S_scan(fb_loop_source *source, size_t *ret_count) {
  const char *path = source->plan->path, *glob = source->plan->glob;
  fb_seen_file *files = NULL;
  size_t count = 0, cap = 0;
  char text[200];
  DIR *folder = opendir(path);
  if (!folder) {
    snprintf(text, sizeof text, "%.150s: %s", path, strerror(errno));
    fb_source_fail(source, text);
    return NULL;
  }
  for (struct dirent *entry; (entry = readdir(folder)) && count < MOST_FILES;) {
    if (entry->d_name[0] == '.' || (glob && fnmatch(glob, entry->d_name, 0) != 0)) continue;
    if (!fb_utf8_valid(entry->d_name, strlen(entry->d_name), NULL)) continue;
    if (!fb_grow(NULL, (void **)&files, &cap, count, sizeof *files)) break;
    if (S_see(path, entry->d_name, &files[count])) count++;
  }
  closedir(folder);
  if (count == MOST_FILES)
    fb_source_fail(source, "more than 10,000 files: the others are not seen");
  if (!files) files = calloc(1, sizeof *files);
  if (files) qsort(files, count, sizeof *files, S_by_name);
  *ret_count = count;
  return files;
}

static void S_tell(fb_loop_source *source, const fb_seen_file *file, const char *event,
                   fb_buf *out) {
  char time[FB_TIME_TEXT_MAX];
  fb_buf path;
  fb_time_format(file->modified / 1000000000, 0, time);
  fb_buf_init(&path, NULL, 0);
  fb_buf_printf(&path, "%s/%s", source->plan->path, file->name);
  fb_buf_text(out, "{\"type\":");
  fb_json_write_text(out, source->plan->parse.type, FB_JSON_COMPACT);
  fb_buf_printf(out, ",\"event\":\"%s\",\"name\":", event);
  fb_json_write_text(out, fb_slice_of(file->name), FB_JSON_COMPACT);
  fb_buf_text(out, ",\"path\":");
  fb_json_write_text(out, fb_buf_slice(&path), FB_JSON_COMPACT);
  fb_buf_printf(out, ",\"size\":%llu,\"modified\":\"%s\"}\n", (unsigned long long)file->size, time);
  fb_buf_release(&path);
}

static void S_compare(fb_loop_source *source, const fb_seen_file *files, size_t count,
                      fb_buf *out) {
  size_t old = 0, now = 0;
  while (old < source->file_count || now < count) {
    int order = old == source->file_count ? 1
                : now == count            ? -1
                                          : strcmp(source->files[old].name, files[now].name);
    if (order < 0) {
      S_tell(source, &source->files[old++], "deleted", out);
      continue;
    }
    if (order > 0) {
      S_tell(source, &files[now++], source->scanned ? "created" : "found", out);
      continue;
    }
    const fb_seen_file *a = &source->files[old++], *b = &files[now++];
    if (a->inode != b->inode || a->size != b->size || a->modified != b->modified)
      S_tell(source, b, "changed", out);
  }
}

void fb_watch_poll(fb_loop_source *source) {
  size_t count;
  fb_buf out;
  fb_seen_file *files = S_scan(source, &count);
  if (files) {
    fb_buf_init(&out, NULL, 0);
    S_compare(source, files, count, &out);
    if (source->state[0] == 'f' && count < MOST_FILES) fb_source_good(source);
    if (!out.failed) fb_source_give(source, fb_buf_slice(&out), 0);
    fb_buf_release(&out);
    fb_watch_free(source);
    source->files = files;
    source->file_count = count;
    source->scanned = true;
  }
  if (!source->waiting) fb_source_again(source, source->plan->every);
}
