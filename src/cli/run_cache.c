/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_cache.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const char *fb_run_cache_folder(fb_cli *cli, fb_arena *arena) {
  const char *runs = fb_runs_folder(cli, arena);
  if (!runs) return NULL;
  const char *path = fb_run_cache_of(runs, arena);
  if (!path)
    fb_cli_fail(cli, FB_E_IO, "cannot make the cache beside %s: %s", runs, strerror(errno));
  return path;
}

/* Only what is named as entries are: half-written files of others are left alone. */
static bool S_is_entry(const char *name) {
  return strlen(name) == 2 * FB_DIGEST_SIZE &&
         strspn(name, "0123456789abcdef") == 2 * FB_DIGEST_SIZE;
}

size_t fb_run_cache_each(const char *folder,
                         bool (*each)(void *user, const char *path, const char *name, int64_t made),
                         void *user) {
  DIR *dir = opendir(folder);
  size_t removed = 0;
  if (!dir) return 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    char path[4096];
    struct stat info;
    if (!S_is_entry(entry->d_name) ||
        (size_t)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= sizeof path ||
        stat(path, &info) != 0)
      continue;
    if (!each(user, path, entry->d_name, info.st_mtime) && unlink(path) == 0) removed++;
  }
  closedir(dir);
  return removed;
}

static bool S_young(void *user, const char *path, const char *name, int64_t made) {
  (void)path;
  (void)name;
  return made >= *(const int64_t *)user;
}

size_t fb_run_cache_prune(const char *folder, int64_t seconds) {
  int64_t since = (int64_t)time(NULL) - seconds;
  return fb_run_cache_each(folder, S_young, &since);
}
