/* SPDX-License-Identifier: Apache-2.0
 * flyball resume: goes on with a run that was cut off, cancelled, or waited. */
#include "cli/run_job.h"

static int S_resume(fb_run_job *job, const char *name) {
  int code = fb_run_job_reopen(job, name);
  if (code) return code;
  fb_mission_status status = job->past->status;
  if (status == FB_MISSION_OK) {
    fb_cli_note(job->cli, "%s is done: there is nothing to go on with", job->place.id);
    return FB_EXIT_OK;
  }
  if (status == FB_MISSION_FAILED || status == FB_MISSION_TIMEOUT) {
    fb_error err;
    fb_fail(&err, FB_E_RUN_STATE, "%s has ended: %s", job->place.id,
            fb_mission_status_name(status));
    fb_error_hint(&err, "`flyball retry %s` does again what failed", job->place.id);
    return fb_cli_error(job->cli, &err);
  }
  return fb_run_job_go_on(job);
}

static int S_run(fb_cli *cli) {
  fb_run_job job;
  int code = FB_EXIT_OUTSIDE;
  if (fb_run_job_init(&job, cli)) code = S_resume(&job, cli->operands[0]);
  return fb_run_job_end(&job, code);
}

static const fb_option S_options[] = {FB_RUN_OPTION_PARALLEL, FB_RUN_OPTION_QUIET,
                                      FB_RUN_OPTION_MISSION,  FB_RUN_OPTION_SIGN,
                                      FB_OPTION_METRICS,      {0}};

const fb_command fb_command_resume = {
    .name = "resume",
    .summary = "Go on with a run that was cut off",
    .usage = "RUN [OPTION]…",
    .description =
        "Goes on where the journal of the run ends: steps that are done are not done again, what "
        "they "
        "gave is read back. The mission is read again from its file, in the folder that the run "
        "was "
        "started in; if it was edited, steps that are written as they were keep their results, "
        "others are run, with all that needs them.\n\n"
        "A step that was going on when the run was cut off is in doubt: it may have had its effect "
        "or "
        "not. By its `semantics` it is run again (`pure`, `idempotent`, `at-least-once`), its "
        "`check` is "
        "asked, or, with `once`, the run ends waiting for `flyball approve RUN STEP`. What becomes "
        "of "
        "each is told before anything starts.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball resume latest", "after a crash"}, {0}},
    .operands = FB_OPERANDS_TEXT,
    .min_operands = 1,
    .max_operands = 1,
    .run = S_run,
};
