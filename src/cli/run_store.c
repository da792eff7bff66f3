/* SPDX-License-Identifier: Apache-2.0
 * The folder of runs. */
#include "cli/run_store.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ── The folder ──────────────────────────────────────────────────────────────────────────────── */

/* In a folder that all may write to, somebody else may have made ours before us. */
static bool S_make_own_folder(const char *path) {
  struct stat info;
  if (mkdir(path, 0700) != 0 && errno != EEXIST) return false;
  return lstat(path, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == getuid() &&
         (info.st_mode & 022) == 0;
}

const char *fb_runs_folder(fb_cli *cli, fb_arena *arena) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME"), *tmp = getenv("TMPDIR");
  const char *path = NULL, *own;
  if (state && state[0] == '/')
    path = fb_arena_printf(arena, "%s/flyball/runs", state);
  else if (home && home[0] == '/')
    path = fb_arena_printf(arena, "%s/.local/state/flyball/runs", home);
  if (path && fb_run_make_folder(path)) return path;
  own = fb_arena_printf(arena, "%s/flyball-%u", tmp && tmp[0] == '/' ? tmp : "/tmp",
                        (unsigned)getuid());
  path = own ? fb_arena_printf(arena, "%s/runs", own) : NULL;
  if (path && S_make_own_folder(own) && fb_run_make_folder(path)) return path;
  fb_error err;
  fb_fail(&err, FB_E_IO, "there is no folder for the runs: %s cannot be made or is not ours",
          path ? path : "it");
  fb_error_hint(&err, "set XDG_STATE_HOME to a folder that may be written");
  fb_cli_error(cli, &err);
  return NULL;
}

const char *fb_cli_state_folder(fb_cli *cli, fb_slice name, fb_arena *arena) {
  const char *given = fb_cli_text(cli, "state", NULL), *service = getenv("STATE_DIRECTORY");
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME"), *path;
  if (given) return given;
  if (service && service[0] == '/') return service;
  if ((!state || state[0] != '/') && (!home || home[0] != '/')) {
    fb_cli_usage(cli, "--state FOLDER", "there is no home for what the project holds");
    return NULL;
  }
  bool own = state && state[0] == '/';
  path = fb_arena_printf(arena, "%s%s/flyball/projects/%.*s", own ? state : home,
                         own ? "" : "/.local/state", (int)name.len, name.ptr);
  if (!path) fb_cli_fail(cli, FB_E_NOMEM, "out of memory");
  return path;
}

/* ── Names ───────────────────────────────────────────────────────────────────────────────────── */

static bool S_is(const char *id, const char *name) {
  const char *last = strrchr(id, '-');
  size_t length = strlen(name);
  return strncmp(id, name, length) == 0 || (last && strncmp(last + 1, name, length) == 0);
}

static bool S_has_journal(const char *runs, const char *id) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s/journal", runs, id);
  return access(path, F_OK) == 0;
}

static int S_unknown(fb_cli *cli, const char *name, const char *first, const char *second) {
  fb_error err;
  if (first)
    fb_fail(&err, FB_E_RUN_UNKNOWN, "`%s` is the beginning of several runs: %s, %s", name, first,
            second);
  else
    fb_fail(&err, FB_E_RUN_UNKNOWN, "there is no run `%s`", name);
  fb_error_hint(&err, "`flyball runs` lists them");
  return fb_cli_error(cli, &err);
}

/* One that was cut off before its first event is not meant by `latest`. */
static bool S_has_begun(const char *runs, const char *id, fb_arena *arena) {
  fb_run_row row;
  fb_arena_mark mark = fb_arena_save(arena);
  bool begun = !fb_run_look(runs, id, arena, &row) || row.any || row.standing == FB_RUN_RUNNING;
  fb_arena_rewind(arena, mark);
  return begun;
}

int fb_run_find(fb_cli *cli, const char *name, fb_arena *arena, fb_run_place *ret_place) {
  const char *const *ids, *found = NULL;
  const char *runs = fb_runs_folder(cli, arena);
  size_t count;
  bool latest = strcmp(name, "latest") == 0;
  if (!runs) return FB_EXIT_OUTSIDE;
  if (!fb_run_ids(runs, arena, &ids, &count)) return fb_cli_fail(cli, FB_E_NOMEM, "out of memory");
  for (size_t i = 0; i < count; i++) {
    bool exact = strcmp(ids[i], name) == 0;
    if (!(latest || S_is(ids[i], name)) || !S_has_journal(runs, ids[i])) continue;
    if (latest && !S_has_begun(runs, ids[i], arena)) continue;
    if (found && !exact) return S_unknown(cli, name, found, ids[i]);
    found = ids[i];
    if (latest || exact) break;
  }
  if (!found || !*name) return S_unknown(cli, name, NULL, NULL);
  return fb_run_place_set(runs, found, arena, ret_place)
             ? FB_EXIT_OK
             : fb_cli_fail(cli, FB_E_NOMEM, "out of memory");
}

const char *fb_run_who(fb_arena *arena) {
  char host[256] = "?";
  const char *user = getenv("LOGNAME");
  if (!user || !*user || !fb_utf8_valid(user, strlen(user), NULL)) user = getenv("USER");
  if (gethostname(host, sizeof host - 1) != 0) snprintf(host, sizeof host, "?");
  if (!user || !*user || !fb_utf8_valid(user, strlen(user), NULL))
    return fb_arena_printf(arena, "uid %u on %s", (unsigned)getuid(), host);
  return fb_arena_printf(arena, "%.100s (uid %u) on %s", user, (unsigned)getuid(), host);
}

/* ── Lease and journal ───────────────────────────────────────────────────────────────────────── */

int fb_run_take(fb_cli *cli, const fb_run_place *place, fb_lease **ret_lease) {
  fb_error err = {0};
  return fb_run_lease(place, ret_lease, &err) ? fb_cli_error(cli, &err) : FB_EXIT_OK;
}

int fb_run_journal(fb_cli *cli, const fb_run_place *place, bool read_only, bool damaged_ok,
                   fb_journal **ret_journal) {
  fb_error err = {0};
  return fb_run_open(place, read_only, damaged_ok, ret_journal, &err) ? fb_cli_error(cli, &err)
                                                                      : FB_EXIT_OK;
}
