/* SPDX-License-Identifier: Apache-2.0
 * flyball retry: does again what failed, or everything from a step on. */
#include "cli/run_job.h"

static bool S_has_step(const fb_past *past, fb_slice scope, fb_slice step, uint32_t item) {
  for (uint32_t i = 0; i < past->step_count; i++) {
    const fb_past_step *known = &past->steps[i];
    if (fb_slice_equal(known->scope, scope) && fb_slice_equal(known->id, step) &&
        (item == FB_NO_ITEM || known->item == item))
      return true;
  }
  return false;
}

static int S_forget(fb_run_job *job, const char *from) {
  fb_event event = {.kind = FB_EVENT_RETRY, .item = FB_NO_ITEM, .code = -1};
  fb_map *map = fb_map_new(&job->arena, 2);
  const char *who = fb_run_who(&job->arena);
  if (from && (!fb_run_step_path(from, &event.scope, &event.step, &event.item) ||
               !S_has_step(job->past, event.scope, event.step, event.item))) {
    fb_error err;
    fb_fail(&err, FB_E_RUN_STATE, "the run has no step `%s` that began", from);
    fb_error_hint(&err, "`flyball show %s --all` lists them", job->place.id);
    return fb_cli_error(job->cli, &err);
  }
  if (!map || !who ||
      !fb_map_put(map, &job->arena, fb_string(FB_SLICE("by")), fb_string(fb_slice_of(who)), NULL))
    return fb_cli_fail(job->cli, FB_E_NOMEM, "out of memory");
  return fb_run_append(job->cli, job->journal, &event, fb_map_value(map));
}

static int S_retry(fb_run_job *job, const char *name) {
  const char *from = fb_cli_text(job->cli, "from", NULL);
  int code = fb_run_job_reopen(job, name);
  if (code) return code;
  if (job->past->status == FB_MISSION_OK && !from) {
    fb_cli_note(job->cli, "%s is done: nothing failed (--from STEP does steps again)",
                job->place.id);
    return FB_EXIT_OK;
  }
  code = S_forget(job, from);
  return code ? code : fb_run_job_go_on(job);
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
