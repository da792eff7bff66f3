/* SPDX-License-Identifier: Apache-2.0
 * flyball retry: does again what failed, or everything from a step on. */
#include "cli/run_job.h"

static int S_retry(fb_run_job *job, const char *name) {
  const char *from = fb_cli_text(job->cli, "from", NULL);
  int code = fb_run_job_reopen(job, name);
  if (code) return code;
  if (job->past->status == FB_MISSION_OK && !from) {
    fb_cli_note(job->cli, "%s is done: nothing failed (--from STEP does steps again)",
                job->place.id);
    return FB_EXIT_OK;
  }
  fb_error err = {0};
  if (fb_run_forget(job->journal, job->past, from, fb_run_who(&job->arena), &job->arena, &err)) {
    if (from) fb_error_hint(&err, "`flyball show %s --all` lists them", job->place.id);
    return fb_cli_error(job->cli, &err);
  }
  return fb_run_job_go_on(job);
}

static int S_run(fb_cli *cli) {
  fb_run_job job;
  int code = FB_EXIT_OUTSIDE;
  if (fb_run_job_init(&job, cli)) code = S_retry(&job, cli->operands[0]);
  return fb_run_job_end(&job, code);
}

static const fb_option S_options[] = {
    {.name = "from",
     .kind = FB_OPTION_TEXT,
     .value = "STEP",
     .help = "Do this step again, and all that needs it: `build`, an item `each.3`, a step of a "
             "sub-mission `fix.3/build`"},
    FB_RUN_OPTION_PARALLEL,
    FB_RUN_OPTION_QUIET,
    FB_RUN_OPTION_MISSION,
    FB_RUN_OPTION_SIGN,
    FB_OPTION_METRICS,
    {0}};

const fb_command fb_command_retry = {
    .name = "retry",
    .summary = "Do again what failed in a run",
    .usage = "RUN [--from STEP] [OPTION]…",
    .description =
        "Runs the steps of a run again that failed, and those that were left out because of them; "
        "what "
        "is done stays done. With `--from` the step named and everything that needs it is done "
        "again, "
        "also if it went well. A step that was done gets another `FLYBALL_STEP_KEY` when it is "
        "done "
        "again; one that failed keeps its own.\n\n"
        "It stays the same run: its journal has all tries.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball retry latest", "what failed"},
                                     {"flyball retry latest --from each.3", "one item"},
                                     {0}},
    .operands = FB_OPERANDS_TEXT,
    .min_operands = 1,
    .max_operands = 1,
    .run = S_run,
};
