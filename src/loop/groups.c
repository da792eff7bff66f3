/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/groups.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

fb_status fb_berth_open(const char *runs, const fb_run_group *group, fb_arena *arena,
                        fb_berth *ret_berth, fb_error *err) {
  uint8_t digest[FB_DIGEST_SIZE];
  char hex[33];
  const char *slash = strrchr(runs, '/');
  int before = slash ? (int)(slash + 1 - runs) : 0;
  fb_digest(fb_slice_of(group->name), digest);
  fb_hex(digest, 16, hex);
  const char *all = fb_arena_printf(arena, "%.*sgroups", before, runs);
  const char *folder = all ? fb_arena_printf(arena, "%s/%s", all, hex) : NULL;
  if (!folder) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if ((mkdir(all, 0700) != 0 && errno != EEXIST) || (mkdir(folder, 0700) != 0 && errno != EEXIST))
    return fb_fail(err, FB_E_IO, "cannot make the folder of the group `%s`: %s", group->name,
                   strerror(errno));
  *ret_berth = (fb_berth){.group = *group, .folder = folder, .arena = arena};
  return FB_OK;
}

static const char *S_place(const fb_berth *berth, uint32_t number) {
  return fb_arena_printf(berth->arena, "%s/%u", berth->folder, number);
}

fb_status fb_berth_take(fb_berth *berth, const char *run, long process, fb_lease **ret_lease,
                        fb_error *err) {
  const fb_clock *clock = fb_clock_system();
  char holder[200];
  int length = snprintf(holder, sizeof holder, "%lld %ld run %s\n",
                        (long long)(clock->wall(clock->context) / 1000000), process, run);
  fb_status status = FB_E_LEASE;
  fb_arena_mark mark = fb_arena_save(berth->arena);
  for (uint32_t i = 0; i < berth->group.limit && status == FB_E_LEASE; i++) {
    const char *path = S_place(berth, i);
    status = path ? fb_lease_take(path, (fb_slice){holder, (size_t)length}, NULL, ret_lease, err)
                  : fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  fb_arena_rewind(berth->arena, mark);
  return status;
}

/* "1764536000123 4711 run 2026…": since when (ms), the process, the run. */
typedef struct S_holder {
  long long since;
  long process;
  char who[80];
} S_holder;

static bool S_read_holder(const char *path, S_holder *holder) {
  fb_buf text;
  bool good = false;
  fb_buf_init(&text, NULL, 0);
  if (fb_lease_held(path, &text) && text.ptr) {
    char *end = text.ptr;
    holder->since = strtoll(end, &end, 10);
    holder->process = strtol(end, &end, 10);
    good = *end == ' ' && holder->since > 0;
    if (good)
      snprintf(holder->who, sizeof holder->who, "%.*s", (int)strcspn(end + 1, "\n"), end + 1);
  }
  fb_buf_release(&text);
  return good;
}

static bool S_oldest(const fb_berth *berth, S_holder *ret_holder, char *ret_path, size_t size) {
  bool found = false;
  fb_arena_mark mark = fb_arena_save(berth->arena);
  for (uint32_t i = 0; i < berth->group.limit; i++) {
    S_holder holder;
    const char *path = S_place(berth, i);
    if (!path || !S_read_holder(path, &holder) || (found && holder.since >= ret_holder->since))
      continue;
    *ret_holder = holder;
    snprintf(ret_path, size, "%s", path);
    found = true;
  }
  fb_arena_rewind(berth->arena, mark);
  return found;
}

fb_status fb_berth_refuse(const fb_berth *berth, fb_error *err) {
  S_holder holder;
  char path[4096];
  bool known = S_oldest(berth, &holder, path, sizeof path);
  return fb_fail(err, FB_E_GROUP_BUSY, "the group `%s` is full: %s is in it", berth->group.name,
                 known ? holder.who : "another run");
}

/* What stands in the file may be of one who had the place before, in the instant before the new one has written: only a
 * process that has the file open is one to be ended. */
static bool S_has_open(long process, const char *path) {
  char folder[64], link[400], target[4096], real[4096];
  snprintf(folder, sizeof folder, "/proc/%ld/fd", process);
  DIR *open = realpath(path, real) ? opendir(folder) : NULL;
  bool found = false;
  if (!open) return false;
  for (struct dirent *entry; !found && (entry = readdir(open));) {
    snprintf(link, sizeof link, "%s/%s", folder, entry->d_name);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length <= 0) continue;
    target[length] = 0;
    found = strcmp(target, real) == 0;
  }
  closedir(open);
  return found;
}

bool fb_berth_end_oldest(fb_berth *berth, char who[80]) {
  S_holder holder;
  char path[4096];
  if (!S_oldest(berth, &holder, path, sizeof path)) return false;
  if (holder.process <= 1 || holder.process == berth->told || holder.process == (long)getpid())
    return false;
  if (!S_has_open(holder.process, path) || kill((pid_t)holder.process, SIGTERM) != 0) return false;
  berth->told = holder.process;
  snprintf(who, 80, "%s", holder.who);
  return true;
}

fb_status fb_berth_enter(fb_mission_run *run, const char *runs, const char *id, fb_arena *arena,
                         bool (*gives_up)(void *context), void *context, fb_lease **ret_lease,
                         fb_error *err) {
  fb_run_group group;
  fb_berth berth;
  fb_status status = fb_mission_run_group(run, arena, &group, err);
  if (status || !group.name) return status;
  status = fb_berth_open(runs, &group, arena, &berth, err);
  if (!status) status = fb_berth_take(&berth, id, 0, ret_lease, err);
  if (status == FB_E_LEASE && group.policy == FB_GROUP_REFUSE) return fb_berth_refuse(&berth, err);
  while (status == FB_E_LEASE && !gives_up(context)) {
    char who[80];
    if (group.policy == FB_GROUP_CANCEL_OLD) fb_berth_end_oldest(&berth, who);
    nanosleep(&(struct timespec){0, FB_GROUP_PAUSE}, NULL);
    status = fb_berth_take(&berth, id, 0, ret_lease, err);
  }
  if (status != FB_E_LEASE) return status;
  return fb_fail(err, FB_E_MISSION_CANCELLED, "cancelled while it waited for a place in `%s`",
                 group.name);
}
