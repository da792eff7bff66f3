/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into flyball: kills it (SIGKILL) at the point FB_KILL_AT, counted from 1 over everything that it does to a journal:
 * before a write, in the middle of it, before a sync, after it. FB_KILL_COUNT names a file for the number of points.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

static long S_points;

static int S_is_journal(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 8) return 0;
  path[length] = 0;
  return strcmp(path + length - 8, "/journal") == 0;
}

static int S_point(void) {
  const char *at = getenv("FB_KILL_AT");
  return ++S_points == (at ? atol(at) : 0);
}

static void S_die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* With 64-bit offsets it has the name pwrite64, for whoever calls it and here. */
SHOWN ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
  ssize_t (*real)(int, const void *, size_t, off_t) =
      (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
  if (S_is_journal(fd)) {
    if (S_point()) S_die();
    if (S_point()) {
      real(fd, bytes, count / 2, offset);
      S_die();
    }
  }
  return real(fd, bytes, count, offset);
}

SHOWN int fdatasync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  if (!S_is_journal(fd)) return real(fd);
  if (S_point()) S_die();
  int result = real(fd);
  if (S_point()) S_die();
  return result;
}

__attribute__((destructor)) static void S_end(void) {
  const char *path = getenv("FB_KILL_COUNT");
  FILE *file = path ? fopen(path, "w") : NULL;
  if (!file) return;
  fprintf(file, "%ld\n", S_points);
  fclose(file);
}
