/* SPDX-License-Identifier: Apache-2.0
 * The folder of runs. */
#include "cli/run_store.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *fb_run_standing_name(fb_run_standing standing) {
  static const char *const names[] = {"running", "interrupted", "waiting",  "ok",
                                      "failed",  "timeout",     "cancelled"};
  return names[standing];
}

fb_run_standing fb_run_standing_of(fb_mission_status status, bool held) {
  if (held) return FB_RUN_RUNNING;
  switch (status) {
    case FB_MISSION_OK: return FB_RUN_OK;
    case FB_MISSION_FAILED: return FB_RUN_FAILED;
    case FB_MISSION_TIMEOUT: return FB_RUN_TIMEOUT;
    case FB_MISSION_CANCELLED: return FB_RUN_CANCELLED;
    case FB_MISSION_WAITING: return FB_RUN_WAITING;
    default: return FB_RUN_INTERRUPTED;
  }
}

/* ── The folder ──────────────────────────────────────────────────────────────────────────────── */

static bool S_make_folder(const char *path) {
  char own[4096];
  size_t size = strlen(path) + 1;
  if (size > sizeof own) return false;
  memcpy(own, path, size);
  for (char *at = own + 1; *at; at++) {
    if (*at != '/') continue;
    *at = 0;
    mkdir(own, 0777);
    *at = '/';
  }
  return (mkdir(own, 0700) == 0 || errno == EEXIST) && access(own, W_OK | X_OK) == 0;
}

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
  if (path && S_make_folder(path)) return path;
  own = fb_arena_printf(arena, "%s/flyball-%u", tmp && tmp[0] == '/' ? tmp : "/tmp",
                        (unsigned)getuid());
  path = own ? fb_arena_printf(arena, "%s/runs", own) : NULL;
  if (path && S_make_own_folder(own) && S_make_folder(path)) return path;
  fb_error err;
  fb_fail(&err, FB_E_IO, "there is no folder for the runs: %s cannot be made or is not ours",
          path ? path : "it");
  fb_error_hint(&err, "set XDG_STATE_HOME to a folder that may be written");
  fb_cli_error(cli, &err);
  return NULL;
}

bool fb_run_place_set(const char *runs, const char *id, fb_arena *arena, fb_run_place *ret_place) {
  snprintf(ret_place->id, sizeof ret_place->id, "%s", id);
  ret_place->folder = fb_arena_printf(arena, "%s/%s", runs, id);
  ret_place->journal = fb_arena_printf(arena, "%s/%s/journal", runs, id);
  ret_place->lease = fb_arena_printf(arena, "%s/%s/lease", runs, id);
  return ret_place->folder && ret_place->journal && ret_place->lease;
}

/* ── Names ───────────────────────────────────────────────────────────────────────────────────── */

void fb_run_make_id(char out[64]) {
  const fb_clock *clock = fb_clock_system();
  char time[FB_TIME_TEXT_MAX];
  int64_t now = clock->wall(clock->context);
  size_t at = 0, length = fb_time_format(now / 1000000000, 0, time);
  for (size_t i = 0; i < length && at < 40; i++)
    if (time[i] != '-' && time[i] != ':') out[at++] = time[i];
  snprintf(out + at, 64 - at, "-%03x%05x", (unsigned)(now % 1000000000 / 1000000),
           (unsigned)(fb_random_seed_system() & 0xfffff));
}

/* 20261130T105522Z-… */
int64_t fb_run_id_time(const char *id) {
  char text[24];
  int64_t seconds;
  uint32_t nanos;
  if (strlen(id) < 16 || id[8] != 'T' || id[15] != 'Z') return 0;
  snprintf(text, sizeof text, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", id, id + 4, id + 6, id + 9, id + 11,
           id + 13);
  return fb_time_parse(fb_slice_of(text), &seconds, &nanos) ? seconds : 0;
}

static int S_newest_first(const void *a, const void *b) {
  return strcmp(*(const char *const *)b, *(const char *const *)a);
}

static bool S_push(fb_arena *arena, const char ***ids, size_t *count, size_t *cap,
                   const char *name) {
  if (*count == *cap) {
    size_t more = *cap ? *cap * 2 : 64;
    const char **larger = fb_arena_alloc(arena, more * sizeof *larger);
    if (!larger) return false;
    if (*count) memcpy(larger, *ids, *count * sizeof *larger);
    *ids = larger;
    *cap = more;
  }
  (*ids)[*count] = fb_arena_text(arena, fb_slice_of(name));
  return (*ids)[(*count)++] != NULL;
}

bool fb_run_ids(const char *runs, fb_arena *arena, const char *const **ret_ids, size_t *ret_count) {
  const char **ids = NULL;
  size_t count = 0, cap = 0;
  bool good = true;
  DIR *folder = opendir(runs);
  for (struct dirent *entry; folder && good && (entry = readdir(folder));)
    if (entry->d_name[0] != '.' && strlen(entry->d_name) < 64)
      good = S_push(arena, &ids, &count, &cap, entry->d_name);
  if (folder) closedir(folder);
  if (count) qsort(ids, count, sizeof *ids, S_newest_first);
  *ret_ids = ids;
  *ret_count = count;
  return good;
}

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
    if (found && !exact) return S_unknown(cli, name, found, ids[i]);
    found = ids[i];
    if (latest || exact) break;
  }
  if (!found || !*name) return S_unknown(cli, name, NULL, NULL);
  return fb_run_place_set(runs, found, arena, ret_place)
             ? FB_EXIT_OK
             : fb_cli_fail(cli, FB_E_NOMEM, "out of memory");
}

bool fb_run_step_path(const char *text, fb_slice *ret_scope, fb_slice *ret_step,
                      uint32_t *ret_item) {
  const char *slash = strrchr(text, '/'), *step = slash ? slash + 1 : text;
  size_t length = strcspn(step, ".[");
  *ret_scope = (fb_slice){text, (size_t)(step - text)};
  *ret_step = (fb_slice){step, length};
  *ret_item = FB_NO_ITEM;
  if (length == 0 || !step[length]) return length > 0;
  char *end;
  errno = 0;
  const char *digits = step + length + 1;
  unsigned long item = strtoul(digits, &end, 10);
  if (end == digits || errno || item >= FB_NO_ITEM) return false;
  *ret_item = (uint32_t)item;
  return step[length] == '[' ? end[0] == ']' && !end[1] : !*end;
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
  char holder[400], host[256] = "?";
  fb_error err = {0};
  if (gethostname(host, sizeof host - 1) != 0) snprintf(host, sizeof host, "?");
  int length = snprintf(holder, sizeof holder, "pid %ld on %s", (long)getpid(), host);
  fb_status status =
      fb_lease_take(place->lease, (fb_slice){holder, (size_t)length}, NULL, ret_lease, &err);
  return status ? fb_cli_error(cli, &err) : FB_EXIT_OK;
}

int fb_run_journal(fb_cli *cli, const fb_run_place *place, bool read_only, bool damaged_ok,
                   fb_journal **ret_journal) {
  const fb_clock *clock = fb_clock_system();
  fb_error err = {0};
  fb_journal_log_options options = {.salt = fb_random_seed_system(),
                                    .created = clock->wall(clock->context),
                                    .read_only = read_only,
                                    .damaged_ok = damaged_ok};
  fb_status status = fb_journal_log_open(place->journal, &options, NULL, ret_journal, &err);
  return status ? fb_cli_error(cli, &err) : FB_EXIT_OK;
}

int fb_run_append(fb_cli *cli, fb_journal *journal, fb_event *event, fb_value payload) {
  const fb_clock *clock = fb_clock_system();
  fb_error err = {0};
  fb_buf buf;
  fb_buf_init(&buf, NULL, 0);
  fb_status status = fb_value_pack(&buf, payload);
  if (status) fb_fail(&err, status, "out of memory");
  event->wall = clock->wall(clock->context);
  event->payload = fb_buf_slice(&buf);
  if (!status) status = journal->append(journal->context, event, &err);
  if (!status && journal->seal(journal->context)) status = journal->commit(journal->context, &err);
  fb_buf_release(&buf);
  return status ? fb_cli_error(cli, &err) : FB_EXIT_OK;
}

/* ── Removing ────────────────────────────────────────────────────────────────────────────────── */

static bool S_empty(int folder) {
  int copy = dup(folder);
  DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
  if (!list) {
    if (copy >= 0) close(copy);
    return false;
  }
  for (struct dirent *entry; (entry = readdir(list));)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
        strcmp(entry->d_name, "lease") != 0)
      unlinkat(folder, entry->d_name, 0);
  closedir(list);
  return true;
}

/* The journal goes first but for the lease: what is left of a removal that was cut off is no run any more. */
bool fb_run_remove(const fb_run_place *place) {
  fb_lease *lease = NULL;
  if (fb_lease_take(place->lease, FB_SLICE("removal"), NULL, &lease, NULL)) return false;
  unlink(place->journal);
  DIR *folder = opendir(place->folder);
  bool good = folder && S_empty(dirfd(folder));
  if (folder) closedir(folder);
  unlink(place->lease);
  fb_lease_release(lease);
  return good && rmdir(place->folder) == 0;
}

typedef struct S_state {
  bool ended;
} S_state;

static void S_see(void *user, const fb_event *event) {
  S_state *state = user;
  state->ended = event->kind == FB_EVENT_RUN_ENDED && event->status != FB_MISSION_WAITING;
}

static bool S_may_go(const fb_run_place *place) {
  S_state state = {false};
  return fb_journal_log_peek(place->journal, NULL, S_see, &state, NULL) == FB_OK && state.ended &&
         !fb_lease_held(place->lease, NULL);
}

size_t fb_run_prune(const char *runs, size_t keep, int64_t age, fb_arena *arena) {
  const fb_clock *clock = fb_clock_system();
  const char *const *ids;
  size_t count, removed = 0;
  int64_t before = age ? (clock->wall(clock->context) - age) / 1000000000 : 0;
  if (!fb_run_ids(runs, arena, &ids, &count)) return 0;
  for (size_t i = count; i-- > 0;) {
    fb_run_place place;
    bool many = keep && i >= keep, old = fb_run_id_time(ids[i]) < before;
    if (!many && !old) break; /* all that follow are newer */
    if (fb_run_place_set(runs, ids[i], arena, &place) && S_may_go(&place) && fb_run_remove(&place))
      removed++;
  }
  return removed;
}
