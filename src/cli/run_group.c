/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_group.h"

#include "loop/groups.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t S_signal;

static void S_caught(int number) {
  S_signal = number;
}

/* FB_E_LEASE as long as the group is full. */
static fb_status S_look(fb_run_job *job, fb_berth *berth, fb_error *err) {
  char who[80];
  if (berth->group.policy == FB_GROUP_CANCEL_OLD && fb_berth_end_oldest(berth, who) &&
      !fb_cli_has(job->cli, "quiet"))
    fb_cli_note(job->cli, "the group `%s` is full: %s is ended", berth->group.name, who);
  nanosleep(&(struct timespec){0, FB_GROUP_PAUSE}, NULL);
  return S_signal ? FB_E_LEASE : fb_berth_take(berth, job->place.id, getpid(), &job->group, err);
}

static fb_status S_wait(fb_run_job *job, fb_berth *berth, fb_error *err) {
  static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
  enum { COUNT = sizeof signals / sizeof *signals };
  struct sigaction old[COUNT], own = {.sa_handler = S_caught};
  fb_status status = FB_E_LEASE;
  S_signal = 0;
  for (int i = 0; i < COUNT; i++) sigaction(signals[i], &own, &old[i]);
  if (berth->group.policy == FB_GROUP_WAIT && !fb_cli_has(job->cli, "quiet"))
    fb_cli_note(job->cli, "the group `%s` is full: waiting for a place", berth->group.name);
  while (status == FB_E_LEASE && !S_signal) status = S_look(job, berth, err);
  for (int i = 0; i < COUNT; i++) sigaction(signals[i], &old[i], NULL);
  return status;
}

int fb_run_group_enter(fb_run_job *job) {
  fb_run_group group;
  fb_berth berth = {0};
  fb_error err = {0};
  fb_status status = fb_mission_run_group(job->run, &job->arena, &group, &err);
  if (!status && !group.name) return FB_EXIT_OK;
  const char *runs = status ? NULL : fb_runs_folder(job->cli, &job->arena);
  if (!status && !runs) return FB_EXIT_OUTSIDE;
  if (!status) status = fb_berth_open(runs, &group, &job->arena, &berth, &err);
  if (!status) status = fb_berth_take(&berth, job->place.id, getpid(), &job->group, &err);
  if (status == FB_E_LEASE && group.policy == FB_GROUP_REFUSE) {
    fb_berth_refuse(&berth, &err);
    fb_cli_error(job->cli, &err);
    return FB_EXIT_NO;
  }
  if (status == FB_E_LEASE) status = S_wait(job, &berth, &err);
  if (status == FB_E_LEASE) return 128 + S_signal;
  return status ? fb_cli_error(job->cli, &err) : FB_EXIT_OK;
}
