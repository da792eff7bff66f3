/* SPDX-License-Identifier: Apache-2.0
 * flyball approve: a person's word on a step that waits. */
#include "cli/run_job.h"

/* The decision that the options ask for; NULL: they contradict each other. */
static const char *S_word(fb_cli *cli) {
  static const char *const options[] = {"reject", "done", "again"};
  static const char *const words[] = {"rejected", "done", "again"};
  const char *word = NULL;
  for (size_t i = 0; i < 3; i++) {
    if (!fb_cli_has(cli, options[i])) continue;
    if (word) return NULL;
    word = words[i];
  }
  return word ? word : "approved";
}

/* NULL: no memory. */
static fb_map *S_decision(fb_run_job *job, const char *word) {
  const fb_clock *clock = fb_clock_system();
  const char *note = fb_cli_text(job->cli, "note", NULL), *who = fb_run_who(&job->arena);
  int64_t now = clock->wall(clock->context);
  fb_map *map = fb_map_new(&job->arena, 5);
  bool good =
      map && who &&
      fb_map_put(map, &job->arena, fb_string(FB_SLICE("decision")), fb_string(fb_slice_of(word)),
                 NULL) &&
      fb_map_put(map, &job->arena, fb_string(FB_SLICE("by")), fb_string(fb_slice_of(who)), NULL) &&
      fb_map_put(map, &job->arena, fb_string(FB_SLICE("at")),
                 fb_timestamp(now / 1000000000, (uint32_t)(now % 1000000000)), NULL);
  if (good && note)
    good = fb_map_put(map, &job->arena, fb_string(FB_SLICE("note")), fb_string(fb_slice_of(note)),
                      NULL);
  return good ? map : NULL;
}

static int S_output(fb_run_job *job, fb_map *map) {
  const char *text = fb_cli_text(job->cli, "output", NULL);
  fb_value value;
  fb_error err = {0};
  if (!text) return FB_EXIT_OK;
  if (fb_json_read(fb_slice_of(text), "<output>", NULL, &job->arena, &value, &err)) {
    fb_cli_error(job->cli, &err);
    return FB_EXIT_USAGE;
  }
  return fb_map_put(map, &job->arena, fb_string(FB_SLICE("output")), value, NULL)
             ? FB_EXIT_OK
             : fb_cli_fail(job->cli, FB_E_NOMEM, "out of memory");
}

static const fb_past_step *S_find(const fb_run_job *job, const fb_event *event) {
  for (uint32_t i = 0; i < job->past->step_count; i++) {
    const fb_past_step *step = &job->past->steps[i];
    if (step->phase == FB_PHASE_MAIN && fb_slice_equal(step->scope, event->scope) &&
        fb_slice_equal(step->id, event->step) && step->item == event->item)
      return step;
  }
  return NULL;
}

/* Whether the word fits how the step stands. */
static int S_fits(fb_run_job *job, const fb_event *event, const char *name, const char *word) {
  const fb_past_step *step = S_find(job, event);
  bool doubt = step && step->status == FB_STEP_RUNNING;
  bool waits = step && step->status == FB_STEP_WAITING && !step->inside;
  fb_error err;
  if (!doubt && !waits) {
    fb_fail(&err, FB_E_RUN_STATE, "the step `%s` does not wait for a decision", name);
    fb_error_hint(&err, "`flyball show %s` tells which do", job->place.id);
    return fb_cli_error(job->cli, &err);
  }
  bool approved = strcmp(word, "approved") == 0;
  bool about_effect = strcmp(word, "done") == 0 || strcmp(word, "again") == 0;
  if (doubt && approved) {
    fb_fail(&err, FB_E_RUN_STATE, "the effect of the step `%s` is not known", name);
    fb_error_hint(&err, "say --done if it had it, --again to run it once more, or --reject");
    return fb_cli_error(job->cli, &err);
  }
  if (waits && about_effect)
    return fb_cli_usage(job->cli, NULL, "the step `%s` waits for approval: it was not begun", name);
  return FB_EXIT_OK;
}

static int S_approve(fb_run_job *job) {
  fb_cli *cli = job->cli;
  fb_event event = {.kind = FB_EVENT_DECIDED, .item = FB_NO_ITEM, .code = -1};
  const char *name = cli->operands[1], *word = S_word(cli);
  if (!word) return fb_cli_usage(cli, NULL, "one of --reject, --done and --again, not several");
  if (!fb_run_step_path(name, &event.scope, &event.step, &event.item))
    return fb_cli_usage(cli, "as in build, each.3 or fix.3/build", "`%s` is no step", name);
  int code = fb_run_job_reopen(job, cli->operands[0]);
  if (!code) code = S_fits(job, &event, name, word);
  if (code) return code;
  fb_map *map = S_decision(job, word);
  if (!map) return fb_cli_fail(cli, FB_E_NOMEM, "out of memory");
  code = S_output(job, map);
  if (!code) code = fb_run_append(cli, job->journal, &event, fb_map_value(map));
  if (code || fb_cli_has(cli, "no-resume")) return code;
  return fb_run_job_go_on(job);
}

static int S_run(fb_cli *cli) {
  fb_run_job job;
  int code = FB_EXIT_OUTSIDE;
  if (fb_run_job_init(&job, cli)) code = S_approve(&job);
  return fb_run_job_end(&job, code);
}

static const fb_option S_options[] = {
    {.name = "reject", .help = "Decide against it: the step fails"},
    {.name = "done",
     .help = "Of a step in doubt: it had its effect, go on as if it had ended well"},
    {.name = "again", .help = "Of a step in doubt: run it again"},
    {.name = "note", .kind = FB_OPTION_TEXT, .value = "TEXT", .help = "Why; kept in the journal"},
    {.name = "output",
     .kind = FB_OPTION_TEXT,
     .value = "JSON",
     .help = "With `--done`: what the step's output is taken to be"},
    {.name = "no-resume", .help = "Only record the decision; `flyball resume` goes on"},
    FB_RUN_OPTION_PARALLEL,
    FB_RUN_OPTION_QUIET,
    FB_RUN_OPTION_MISSION,
    FB_RUN_OPTION_SIGN,
    FB_OPTION_METRICS,
    {0}};

const fb_command fb_command_approve = {
    .name = "approve",
    .summary = "Decide on a step that waits, and go on",
    .usage = "RUN STEP [OPTION]…",
    .description =
        "Records who decided what on a step that waits for a person, and goes on with the run. A "
        "step "
        "waits because it asks for approval, or because the run was cut off in the middle of it, "
        "it is "
        "to be done `once`, and nothing tells whether it had its effect.\n\n"
        "STEP is an id, an item of a `for_each` (`each.3`), or a step of a sub-mission "
        "(`fix.3/build`).",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball approve latest deploy", "go ahead"},
                                     {"flyball approve latest pay --done", "it was paid, I looked"},
                                     {0}},
    .operands = FB_OPERANDS_TEXT,
    .min_operands = 2,
    .max_operands = 2,
    .run = S_run,
};
