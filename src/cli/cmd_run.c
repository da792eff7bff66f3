/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/metrics_out.h"
#include "cli/run_view.h"

#include <flyball/loop.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_MISSION = 64 << 20, MOST_INPUT = 64 << 20 };

typedef struct S_job {
  fb_cli *cli;
  const char *path;
  fb_arena arena;
  char id[64];
  const char *run_dir;
  fb_buf text;
  fb_doc *doc;
  fb_world *world;
  fb_mission *mission;
  fb_mission_run *run;
  fb_zones *zones;
  fb_map *inputs;
  fb_run_view view;
  fb_metrics *metrics; /* of --metrics; NULL: not asked for */
  fb_mission_metrics *counts;
  int caught; /* signal; 0: none */
} S_job;

/* ── Names and places ────────────────────────────────────────────────────────────────────────── */

/* Sorts by time, and two runs of one second are told apart. */
static void S_make_id(S_job *job) {
  const fb_clock *clock = fb_clock_system();
  char time[FB_TIME_TEXT_MAX];
  size_t at = 0, length = fb_time_format(clock->wall(clock->context) / 1000000000, 0, time);
  for (size_t i = 0; i < length && at < 40; i++)
    if (time[i] != '-' && time[i] != ':') job->id[at++] = time[i];
  snprintf(job->id + at, sizeof job->id - at, "-%06llx",
           (unsigned long long)(fb_random_seed_system() & 0xffffff));
}

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

/* The XDG state folder; where there is none, or it may not be written, the folder for temporary files. */
static const char *S_runs_folder(S_job *job) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME"), *tmp = getenv("TMPDIR");
  const char *path = NULL;
  if (state && state[0] == '/')
    path = fb_arena_printf(&job->arena, "%s/flyball/runs", state);
  else if (home && home[0] == '/')
    path = fb_arena_printf(&job->arena, "%s/.local/state/flyball/runs", home);
  if (path && S_make_folder(path)) return path;
  path = fb_arena_printf(&job->arena, "%s/flyball-%u/runs", tmp && tmp[0] == '/' ? tmp : "/tmp",
                         (unsigned)getuid());
  return path;
}

static const char *S_folder_of(S_job *job) {
  const char *slash = strrchr(job->path, '/');
  if (!slash) return ".";
  if (slash == job->path) return "/";
  return fb_arena_text(&job->arena, (fb_slice){job->path, (size_t)(slash - job->path)});
}

/* ── Inputs ──────────────────────────────────────────────────────────────────────────────────── */

/* "@file" is the file's content; "@@…" a text that starts with one "@". */
static fb_status S_input_text(S_job *job, const char *given, fb_slice *ret_text, fb_error *err) {
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

static int S_inputs(S_job *job) {
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

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────── */

static int S_load(S_job *job) {
  fb_error err = {0};
  fb_errors errors;
  int code;
  fb_buf_init(&job->text, NULL, 0);
  if (fb_cli_read(job->path, MOST_MISSION, &job->text, &err)) return fb_cli_error(job->cli, &err);
  if (fb_world_uv_new(NULL, &(fb_uv_options){.run_dir = job->run_dir}, &job->world, &err))
    return fb_cli_error(job->cli, &err);
  fb_errors_init(&errors, NULL, 0);
  fb_mission_options options = {
      .tools = fb_loop_tools(), .folder = S_folder_of(job), .world = job->world};
  fb_doc_options reading = {.keep_going = true};
  fb_status status = fb_doc_read(fb_buf_slice(&job->text), fb_cli_file_name(job->path), &reading,
                                 &job->doc, &errors);
  if (!status) status = fb_mission_load(job->doc, &options, NULL, &job->mission, &errors);
  code = fb_cli_errors(job->cli, &errors);
  if (status && code == FB_EXIT_OK)
    code = fb_cli_fail(job->cli, status, "%s cannot be loaded", job->path);
  fb_errors_release(&errors);
  return code;
}

static void S_event(void *context, const fb_mission_event *event) {
  S_job *job = context;
  fb_mission_metrics_event(job->counts, job->run, event);
  fb_run_view_event(&job->view, event);
}

static int S_new_run(S_job *job) {
  fb_errors errors;
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  fb_mission_run_options options = {.id = job->id,
                                    .dir = job->run_dir,
                                    .env = (const char *const *)environ,
                                    .inputs = job->inputs,
                                    .parallel = (uint32_t)fb_cli_number(job->cli, "parallel", 0),
                                    .parallel_default = processors > 0 ? (uint32_t)processors : 2,
                                    .zone = fb_zone_system,
                                    .zone_context = job->zones,
                                    .hash_seed = fb_random_seed_system(),
                                    .on_event = S_event,
                                    .context = job};
  fb_errors_init(&errors, NULL, 0);
  fb_status status =
      fb_mission_run_new(job->mission, job->world, &options, NULL, &job->run, &errors);
  int code = fb_cli_errors(job->cli, &errors);
  if (status == FB_E_MISSION_INPUT) code = FB_EXIT_USAGE;
  fb_errors_release(&errors);
  return code;
}

/* ── Dry run ─────────────────────────────────────────────────────────────────────────────────── */

static int S_dry_run(S_job *job) {
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

/* ── Running ─────────────────────────────────────────────────────────────────────────────────── */

static void S_caught(void *context, int number) {
  S_job *job = context;
  bool again = job->caught != 0;
  if (!again) job->caught = number;
  fb_mission_run_cancel(job->run, again);
}

static int S_outcome(S_job *job) {
  switch (fb_mission_run_state(job->run)) {
    case FB_MISSION_OK: return FB_EXIT_OK;
    case FB_MISSION_TIMEOUT: return FB_EXIT_TIME;
    case FB_MISSION_CANCELLED: return job->caught ? 128 + job->caught : FB_EXIT_NO;
    case FB_MISSION_GOING: return fb_cli_fail(job->cli, FB_E_INTERNAL, "the run stands still");
    default: return FB_EXIT_NO;
  }
}

static void S_print_outputs(S_job *job) {
  fb_value outputs = fb_mission_run_outputs(job->run);
  fb_buf out;
  if (job->cli->json || outputs.kind != FB_MAP || outputs.as.map->len == 0) return;
  fb_buf_init(&out, NULL, 0);
  fb_json_write(&out, outputs, FB_JSON_PRETTY);
  fb_buf_char(&out, '\n');
  fb_out_buf(job->cli, &out);
  fb_buf_release(&out);
}

static int S_execute(S_job *job) {
  static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
  const fb_clock *clock = fb_clock_system();
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    fb_world_uv_on_signal(job->world, signals[i], S_caught, job);
  job->view.run = job->run;
  job->view.started = clock->mono(clock->context);
  if (job->cli->terminal_err && !job->cli->json && !job->view.quiet)
    fb_world_uv_every(job->world, 100 * INT64_C(1000000), fb_run_view_tick, &job->view);
  fb_mission_run_wait(job->run);
  fb_run_view_summary(&job->view);
  S_print_outputs(job);
  rmdir(job->run_dir); /* it stays if anything was kept */
  return S_outcome(job);
}

static int S_begin_metrics(S_job *job) {
  fb_error err;
  int code = fb_cli_metrics_begin(job->cli, &job->metrics);
  if (code || !job->metrics) return code;
  return fb_mission_metrics_new(job->metrics, fb_mission_name(job->mission), NULL, &job->counts,
                                &err) == FB_OK
             ? FB_EXIT_OK
             : fb_cli_error(job->cli, &err);
}

static int S_all(S_job *job) {
  bool dry = fb_cli_has(job->cli, "dry-run");
  S_make_id(job);
  job->run_dir = fb_cli_text(job->cli, "run-dir", NULL);
  if (!job->run_dir)
    job->run_dir = dry ? "" : fb_arena_printf(&job->arena, "%s/%s", S_runs_folder(job), job->id);
  if (!job->run_dir) return fb_cli_fail(job->cli, FB_E_NOMEM, "out of memory");
  int code = S_load(job);
  if (!code) code = S_inputs(job);
  job->view = (fb_run_view){.cli = job->cli,
                            .mission = job->mission,
                            .id = job->id,
                            .run_dir = job->run_dir,
                            .quiet = fb_cli_has(job->cli, "quiet")};
  if (!code && !dry) code = S_begin_metrics(job);
  if (!code) code = S_new_run(job);
  if (code) return code;
  return dry ? S_dry_run(job) : S_execute(job);
}

static int S_run(fb_cli *cli) {
  S_job job = {.cli = cli, .path = cli->operands[0]};
  fb_arena_init(&job.arena, NULL, 0);
  int code = fb_zones_new(NULL, NULL, &job.zones)
                 ? fb_cli_fail(cli, FB_E_NOMEM, "no memory to start with")
                 : S_all(&job);
  code = fb_cli_metrics_end(cli, job.metrics, code);
  fb_mission_metrics_free(job.counts);
  fb_mission_run_free(job.run);
  fb_mission_free(job.mission);
  fb_world_uv_free(job.world);
  fb_zones_free(job.zones);
  fb_doc_free(job.doc);
  fb_buf_release(&job.text);
  fb_arena_release(&job.arena);
  return code;
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
    {.letter = 'p',
     .name = "parallel",
     .kind = FB_OPTION_NUMBER,
     .value = "N",
     .help = "Run at most N steps at once, whatever the mission says"},
    {.letter = 'q', .name = "quiet", .help = "Show failures only"},
    {.name = "run-dir",
     .kind = FB_OPTION_FILE,
     .value = "DIR",
     .help = "Keep the output of programs there instead of in the state folder",
     .env = "FLYBALL_RUN_DIR"},
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
        "What programs write is kept in a folder of its own for each run, under "
        "`$XDG_STATE_HOME/flyball/runs` (`~/.local/state/flyball/runs`).\n\n"
        "SIGINT and SIGTERM end what runs, with all that it started; a second one ends it at once. "
        "The exit code "
        "is 0 when all went well, 1 when a step failed, 2 for inputs that do not fit, 3 when the "
        "mission "
        "does not load, 124 when its time limit was reached, 128 + n after signal n.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball run nightly.yaml -i host=db1", "with an input"},
                                     {"flyball run --dry-run nightly.yaml", "what would it do?"},
                                     {0}},
    .operands = FB_OPERANDS_FILES,
    .min_operands = 1,
    .max_operands = 1,
    .run = S_run,
};
