/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_group.h"

#include <sys/stat.h>
#include <unistd.h>

enum { MOST_INPUT = 64 << 20, KEEP_RUNS = 1000 };
static const int64_t S_keep_age = INT64_C(90) * 86400 * 1000000000;

/* ── Inputs ──────────────────────────────────────────────────────────────────────────────────── */

/* "@file" is the file's content; "@@…" a text that starts with one "@". */
static fb_status S_input_text(fb_run_job *job, const char *given, fb_slice *ret_text,
                              fb_error *err) {
  *ret_text = fb_slice_of(given);
  if (given[0] != '@') return FB_OK;
  *ret_text = fb_slice_of(given + 1);
  if (given[1] == '@') return FB_OK;
  fb_buf buf;
  fb_buf_init(&buf, NULL, 0);
  fb_status status = fb_cli_read(given + 1, MOST_INPUT, &buf, err);
  if (!status) {
    const char *copy = fb_arena_text(&job->arena, fb_buf_slice(&buf));
    *ret_text = (fb_slice){copy, buf.len};
    if (!copy) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  fb_buf_release(&buf);
  return status;
}

static int S_inputs(fb_run_job *job) {
  size_t at = 0;
  int code = FB_EXIT_OK;
  job->inputs = fb_map_new(&job->arena, 8);
  if (!job->inputs) return fb_cli_fail(job->cli, FB_E_NOMEM, "out of memory");
  for (const char *given; (given = fb_cli_next(job->cli, "input", &at));) {
    const char *equals = strchr(given, '=');
    fb_error err = {0};
    fb_value value;
    fb_slice text;
    if (!equals)
      return fb_cli_usage(job->cli, "-i name=value", "an input without a value: %s", given);
    fb_slice name = {given, (size_t)(equals - given)};
    fb_status status = S_input_text(job, equals + 1, &text, &err);
    if (!status)
      status = fb_mission_parse_input(job->mission, name, text, &job->arena, &value, &err);
    if (!status && !fb_map_put(job->inputs, &job->arena, fb_string(name), value, NULL))
      status = fb_fail(&err, FB_E_NOMEM, "out of memory");
    if (!status) continue;
    code = fb_cli_error(job->cli, &err);
    if (status == FB_E_MISSION_INPUT) code = FB_EXIT_USAGE;
  }
  return code;
}

/* ── Dry run ─────────────────────────────────────────────────────────────────────────────────── */

static int S_dry_run(fb_run_job *job) {
  fb_buf out;
  fb_value plan;
  fb_status status = FB_OK;
  fb_buf_init(&out, NULL, 0);
  if (!job->cli->json) {
    fb_mission_run_plan(job->run, &out);
  } else if (!(status = fb_mission_run_plan_value(job->run, &job->arena, &plan))) {
    fb_buf_text(&out, "{\"type\":\"flyball.plan.v1\",\"plan\":");
    fb_json_write(&out, plan, FB_JSON_COMPACT);
    fb_buf_text(&out, "}\n");
  }
  if (!status) status = fb_out_buf(job->cli, &out);
  fb_buf_release(&out);
  return status ? fb_cli_fail(job->cli, status, "out of memory") : FB_EXIT_OK;
}

/* ── The whole ───────────────────────────────────────────────────────────────────────────────── */

/* The folder, the lease and the journal of a new run. Old ones that have ended make room. */
static int S_record(fb_run_job *job, const char *runs) {
  if (mkdir(job->place.folder, 0700) != 0) {
    fb_error err;
    fb_fail(&err, FB_E_IO, "cannot make %s: %s", job->place.folder, strerror(errno));
    return fb_cli_error(job->cli, &err);
  }
  fb_run_prune(runs, fb_cli_number(job->cli, "keep", KEEP_RUNS),
               fb_cli_duration(job->cli, "keep-age", S_keep_age), &job->arena);
  int code = fb_run_take(job->cli, &job->place, &job->lease);
  return code ? code : fb_run_journal(job->cli, &job->place, false, false, &job->journal);
}

static int S_place(fb_run_job *job, bool dry) {
  const char *given = fb_cli_text(job->cli, "run-dir", NULL);
  char id[64];
  fb_run_make_id(id);
  memcpy(job->place.id, id, sizeof id);
  job->run_dir = given ? given : "";
  if (dry || (given && fb_cli_has(job->cli, "no-journal"))) return FB_EXIT_OK;
  const char *runs = fb_runs_folder(job->cli, &job->arena);
  if (!runs) return FB_EXIT_OUTSIDE;
  if (!fb_run_place_set(runs, id, &job->arena, &job->place))
    return fb_cli_fail(job->cli, FB_E_NOMEM, "out of memory");
  if (!given) job->run_dir = job->place.folder;
  return FB_EXIT_OK;
}

static int S_all(fb_run_job *job) {
  bool dry = job->dry = fb_cli_has(job->cli, "dry-run");
  bool record = !dry && !fb_cli_has(job->cli, "no-journal");
  int code = S_place(job, dry);
  if (!code) code = fb_run_job_load(job);
  if (!code) code = S_inputs(job);
  if (!code && record) code = S_record(job, fb_runs_folder(job->cli, &job->arena));
  if (!code) code = fb_run_job_new(job);
  if (!code && !dry) code = fb_run_group_enter(job);
  if (!code) return dry ? S_dry_run(job) : fb_run_job_execute(job);
  /* It never was a run. */
  fb_journal_log_close(job->journal);
  fb_lease_release(job->lease);
  job->journal = NULL;
  job->lease = NULL;
  if (record && job->place.folder) fb_run_remove(&job->place);
  return code;
}

static int S_run(fb_cli *cli) {
  fb_run_job job;
  int code = FB_EXIT_OUTSIDE;
  if (fb_run_job_init(&job, cli)) {
    job.path = cli->operands[0];
    code = S_all(&job);
  }
  return fb_run_job_end(&job, code);
}

static const fb_option S_options[] = {
    {.letter = 'i',
     .name = "input",
     .kind = FB_OPTION_TEXT,
     .value = "NAME=VALUE",
     .help = "Give the mission an input; `NAME=@FILE` takes the file's content",
     .many = true},
    {.letter = 'n',
     .name = "dry-run",
     .help = "Check everything and print what would run; run and write nothing"},
    FB_RUN_OPTION_PARALLEL,
    FB_RUN_OPTION_QUIET,
    {.name = "run-dir",
     .kind = FB_OPTION_FILE,
     .value = "DIR",
     .help = "Keep the output of programs there instead of in the state folder",
     .env = "FLYBALL_RUN_DIR"},
    {.name = "no-journal", .help = "Record nothing: the run cannot be resumed, shown or audited"},
    {.name = "keep",
     .kind = FB_OPTION_NUMBER,
     .value = "N",
     .help = "Keep so many runs and remove the oldest that have ended (1000; 0: all)",
     .env = "FLYBALL_KEEP"},
    {.name = "keep-age",
     .kind = FB_OPTION_DURATION,
     .value = "AGE",
     .help = "Remove runs that have ended and are older (2160h; 0s: none)",
     .env = "FLYBALL_KEEP_AGE"},
    FB_RUN_OPTION_FRESH,
    FB_RUN_OPTION_FACTS,
    FB_RUN_OPTION_SIGN,
    FB_OPTION_METRICS,
    {0}};

const fb_command fb_command_run = {
    .name = "run",
    .summary = "Run a mission",
    .usage = "[OPTION]… FILE",
    .description =
        "Runs the steps of a mission, as many at once as its limits allow, each as soon as what it "
        "needs "
        "is done. Progress goes to stderr, the mission's outputs as JSON to stdout; with `--json` "
        "every "
        "event is a line of JSON on stdout.\n\n"
        "Every run has a folder of its own under `$XDG_STATE_HOME/flyball/runs` "
        "(`~/.local/state/flyball/runs`) with what programs write and a journal of what it is "
        "about to "
        "do and what came of it. After a crash `flyball resume` goes on where it stopped; "
        "`flyball runs`, `show` and `logs` look at it.\n\n"
        "SIGINT and SIGTERM end what runs, with all that it started; a second one ends it at once. "
        "The exit code is 0 when all went well, 1 when a step failed, 2 for inputs that do not "
        "fit, 3 "
        "when the mission does not load, 4 when a file or the journal could not be written, 6 when "
        "it waits for somebody's decision, 124 when its time limit was reached, 128 + n after "
        "signal "
        "n.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball run nightly.yaml -i host=db1", "with an input"},
                                     {"flyball run --dry-run nightly.yaml", "what would it do?"},
                                     {0}},
    .operands = FB_OPERANDS_FILES,
    .min_operands = 1,
    .max_operands = 1,
    .run = S_run,
};
