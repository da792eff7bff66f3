/* SPDX-License-Identifier: Apache-2.0
 * flyball cancel: ends a run that goes on, or that would. */
#include "cli/run_job.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int64_t S_now(void) {
  const fb_clock *clock = fb_clock_system();
  return clock->mono(clock->context);
}

/* The process that has the lease; 0: it cannot be told, or is on another machine. */
static pid_t S_holder(const fb_run_place *place) {
  char host[256] = "?";
  fb_buf said;
  pid_t pid = 0;
  fb_buf_init(&said, NULL, 0);
  if (gethostname(host, sizeof host - 1) == 0 && fb_lease_held(place->lease, &said) && said.len &&
      strncmp(said.ptr, "pid ", 4) == 0) {
    char *end;
    long number = strtol(said.ptr + 4, &end, 10);
    if (number > 1 && strncmp(end, " on ", 4) == 0 && strcmp(end + 4, host) == 0)
      pid = (pid_t)number;
  }
  fb_buf_release(&said);
  return pid;
}

static int S_end_process(fb_cli *cli, const fb_run_place *place) {
  const struct timespec pause = {0, 20000000};
  int64_t until = S_now() + fb_cli_duration(cli, "wait", INT64_C(15000000000));
  pid_t pid = S_holder(place);
  if (!pid || kill(pid, SIGTERM) != 0) {
    fb_error err;
    fb_fail(&err, FB_E_RUN_STATE, "the process that works on %s cannot be told to end", place->id);
    fb_error_hint(&err, "is it another user's, or on another machine?");
    return fb_cli_error(cli, &err);
  }
  while (fb_lease_held(place->lease, NULL)) {
    if (S_now() > until)
      return fb_cli_fail(cli, FB_E_RUN_STATE, "%s was told to end, but pid %ld still works on it",
                         place->id, (long)pid);
    nanosleep(&pause, NULL);
  }
  return FB_EXIT_OK;
}

static int S_cancel(fb_run_job *job, const char *name) {
  fb_cli *cli = job->cli;
  int code = fb_run_find(cli, name, &job->arena, &job->place);
  if (code) return code;
  if (fb_lease_held(job->place.lease, NULL)) {
    code = S_end_process(cli, &job->place);
  } else {
    code = fb_run_job_reopen(job, job->place.id);
    if (code) return code;
    fb_error err = {0};
    if (fb_run_end(job->journal, job->past, fb_run_who(&job->arena), &job->arena, &err)) {
      if (err.code == FB_E_RUN_STATE) fb_error_prefix(&err, "%s", job->place.id);
      return fb_cli_error(cli, &err);
    }
  }
  if (!code && cli->json)
    fb_out_printf(cli, "{\"type\":\"flyball.cancel.v1\",\"run\":\"%s\"}\n", job->place.id);
  else if (!code)
    fb_cli_note(cli, "%s is cancelled", job->place.id);
  return code;
}

static int S_run(fb_cli *cli) {
  fb_run_job job;
  int code = FB_EXIT_OUTSIDE;
  if (fb_run_job_init(&job, cli)) code = S_cancel(&job, cli->operands[0]);
  return fb_run_job_end(&job, code);
}

static const fb_option S_options[] = {{.name = "wait",
                                       .kind = FB_OPTION_DURATION,
                                       .value = "TIME",
                                       .help = "Wait so long for its process to end (15s)"},
                                      {0}};

const fb_command fb_command_cancel = {
    .name = "cancel",
    .summary = "End a run",
    .usage = "RUN [OPTION]…",
    .description =
        "Tells the process that works on the run to end (SIGTERM): it starts nothing more, ends "
        "what "
        "runs with all that it started, and records that. A run that no process works on, because "
        "it "
        "waits or was cut off, is recorded as cancelled. `flyball resume` can still go on with it.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball cancel latest", "stop it"}, {0}},
    .operands = FB_OPERANDS_TEXT,
    .min_operands = 1,
    .max_operands = 1,
    .run = S_run,
};
