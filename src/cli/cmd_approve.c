/* SPDX-License-Identifier: Apache-2.0
 * flyball approve: a person's word on a step that waits. */
#include "cli/run_word.h"

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

static int S_output(fb_run_job *job, fb_value *ret_value) {
  const char *text = fb_cli_text(job->cli, "output", NULL);
  fb_error err = {0};
  if (!text) return FB_EXIT_OK;
  if (!fb_json_read(fb_slice_of(text), "<output>", NULL, &job->arena, ret_value, &err))
    return FB_EXIT_OK;
  fb_cli_error(job->cli, &err);
  return FB_EXIT_USAGE;
}

/* A process works on the run: it is told. *ret_done: false if there is none (any more). */
static int S_tell(fb_run_job *job, const fb_run_word *word, bool *ret_done) {
  fb_error err = {0};
  int code = fb_run_job_look(job, job->cli->operands[0], ret_done);
  if (code || !*ret_done) return code;
  if (fb_run_word_fits(job->past, word, &err)) return fb_cli_error(job->cli, &err);
  code = fb_run_word_give(job, word, ret_done);
  if (code || *ret_done) return code;
  fb_past_free(job->past);
  job->past = NULL;
  fb_journal_log_close(job->journal);
  job->journal = NULL;
  return FB_EXIT_OK;
}

static int S_approve(fb_run_job *job) {
  fb_cli *cli = job->cli;
  fb_slice scope, step;
  uint32_t item;
  fb_error err = {0};
  fb_run_word word = {.step = cli->operands[1],
                      .decision = S_word(cli),
                      .note = fb_cli_text(cli, "note", NULL),
                      .output = fb_absent()};
  if (!word.decision)
    return fb_cli_usage(cli, NULL, "one of --reject, --done and --again, not several");
  if (!fb_run_step_path(word.step, &scope, &step, &item))
    return fb_cli_usage(cli, "as in build, each.3 or fix.3/build", "`%s` is no step", word.step);
  bool told = false;
  word.who = fb_run_who(&job->arena);
  int code = S_output(job, &word.output);
  if (!code) code = S_tell(job, &word, &told);
  if (code || told) return code;
  code = fb_run_job_reopen(job, cli->operands[0]);
  if (code) return code;
  if (fb_run_decide(job->journal, job->past, &word, &job->arena, &err))
    return fb_cli_error(cli, &err);
  return fb_cli_has(cli, "no-resume") ? FB_EXIT_OK : fb_run_job_go_on(job);
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
        "to be done `once`, and nothing tells whether it had its effect. A run that another "
        "process "
        "works on is told, and goes on there.\n\n"
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
