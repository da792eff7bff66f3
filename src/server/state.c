/* SPDX-License-Identifier: Apache-2.0
 * The folder of what outlives the server. A file in it is whole or not there, whenever the power goes. */
#include "server/server.h"

#include "loop/runs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_PATH = 4096 };

fb_status fb_state_open(fb_server *server, fb_error *err) {
  const char *folder = server->options.state;
  if (!folder) return FB_OK;
  const char *lease = fb_arena_printf(&server->arena, "%s/server.lease", folder);
  if (!lease) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (!fb_run_make_folder(folder))
    return fb_fail(err, FB_E_SERVER_OPTION, "the state's folder %s cannot be made, or not written",
                   folder);
  fb_status status = fb_lease_take(lease, FB_SLICE("server"), NULL, &server->lease, err);
  if (status == FB_E_LEASE) {
    fb_fail(err, FB_E_SERVER_STATE, "another server works in %s", folder);
    fb_error_hint(err, "give each a folder of its own: --state DIR");
    return FB_E_SERVER_STATE;
  }
  return status;
}

const char *fb_state_path(const fb_server *server, fb_arena *arena, const char *format, ...) {
  char rest[MOST_PATH];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(rest, sizeof rest, format, args);
  va_end(args);
  if (length < 0 || length >= (int)sizeof rest) return NULL;
  return fb_arena_printf(arena, "%s/%s", server->options.state, rest);
}

/* The folder that the file is in. */
static bool S_parent(const char *path, char out[MOST_PATH]) {
  const char *slash = strrchr(path, '/');
  if (!slash || slash == path || slash - path >= MOST_PATH) return false;
  memcpy(out, path, (size_t)(slash - path));
  out[slash - path] = 0;
  return true;
}

static bool S_all(int fd, fb_slice bytes) {
  while (bytes.len) {
    ssize_t done = write(fd, bytes.ptr, bytes.len);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return false;
    bytes.ptr += done;
    bytes.len -= (size_t)done;
  }
  return true;
}

fb_status fb_state_sync(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FB_E_IO;
  bool good = fsync(fd) == 0;
  close(fd);
  return good ? FB_OK : FB_E_IO;
}

fb_status fb_state_write(const char *path, fb_slice head, fb_slice text, fb_error *err) {
  char folder[MOST_PATH], fresh[MOST_PATH + 8];
  if (!S_parent(path, folder) || !fb_run_make_folder(folder))
    return fb_fail(err, FB_E_IO, "the state's folder cannot be written");
  snprintf(fresh, sizeof fresh, "%s.new", path);
  int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool good = fd >= 0 && S_all(fd, head) && S_all(fd, text) && fsync(fd) == 0;
  int why = errno;
  if (fd >= 0 && close(fd) != 0) good = false;
  good = good && rename(fresh, path) == 0;
  if (good && fb_state_sync(folder) == FB_OK) return FB_OK;
  unlink(fresh);
  return fb_fail(err, why == ENOSPC || why == EDQUOT ? FB_E_DISK_FULL : FB_E_IO,
                 "the state cannot be kept: %s", strerror(why));
}

fb_status fb_state_read(const char *path, uint64_t max, fb_buf *out) {
  char bytes[64 << 10];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? FB_DONE : FB_E_IO;
  ssize_t got = 1;
  while (got > 0 && out->len <= max && !out->failed) {
    got = read(fd, bytes, sizeof bytes);
    if (got < 0 && errno == EINTR)
      got = 1;
    else if (got > 0)
      fb_buf_add(out, bytes, (size_t)got);
  }
  close(fd);
  if (out->failed) return FB_E_NOMEM;
  return got == 0 ? FB_OK : FB_E_IO;
}

static int S_by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *const *fb_state_list(const char *folder, fb_arena *arena, size_t *ret_count) {
  const char **names = NULL;
  size_t count = 0, cap = 0;
  DIR *list = opendir(folder);
  for (struct dirent *entry; list && (entry = readdir(list));) {
    size_t length = strlen(entry->d_name);
    if (entry->d_name[0] == '.' || (length > 4 && !strcmp(entry->d_name + length - 4, ".new")))
      continue;
    if (count == cap) {
      cap = cap ? 2 * cap : 32;
      const char **more = fb_arena_alloc(arena, cap * sizeof *more);
      if (!more) break;
      if (count) memcpy(more, names, count * sizeof *names);
      names = more;
    }
    names[count] = fb_arena_text(arena, fb_slice_of(entry->d_name));
    if (!names[count]) break;
    count++;
  }
  if (list) closedir(list);
  if (count) qsort(names, count, sizeof *names, S_by_name);
  *ret_count = count;
  return names;
}

void fb_state_remove(const char *folder) {
  fb_arena arena;
  size_t count;
  fb_arena_init(&arena, NULL, 0);
  const char *const *names = fb_state_list(folder, &arena, &count);
  for (size_t i = 0; i < count; i++) {
    const char *path = fb_arena_printf(&arena, "%s/%s", folder, names[i]);
    if (path) unlink(path);
  }
  rmdir(folder);
  fb_arena_release(&arena);
}
