/* SPDX-License-Identifier: Apache-2.0
 * flyball simulate: a mission on a world that fails, without touching the real one. */
#include "cli/cli.h"

#include <flyball/loop.h>

#include "mission/simulate.h"

enum { MOST_TEXT = 64 << 20, MOST_TOOLS = 32 };

typedef struct S_job {
  fb_cli *cli;
  fb_arena arena;
  fb_buf text, replies_text;
  fb_doc *doc, *replies_doc;
  fb_world *world; /* reads what the mission refers to */
  fb_mission *mission;
  fb_map *inputs, *replies;
  fb_tool tools[MOST_TOOLS];
  const fb_tool *list[MOST_TOOLS];
  uint64_t broke, by_status[FB_MISSION_WAITING + 1];
  fb_simulation sum;
} S_job;

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────── */

/* What is not a program and reaches outside is only imitated: it does nothing, and gives null. */
static fb_status S_imitate(const void *plan, fb_call *call, fb_error *err) {
  (void)plan;
  (void)err;
  call->output = fb_null();
  return FB_OK;
}

static fb_tools S_tools(S_job *job) {
  fb_tools all = fb_loop_tools();
  size_t count = all.count < MOST_TOOLS ? all.count : MOST_TOOLS;
  for (size_t i = 0; i < count; i++) {
    job->tools[i] = *all.items[i];
    bool harmless = all.items[i]->process || all.items[i]->semantics == FB_PURE ||
                    all.items[i] == &fb_tool_write || all.items[i]->reenters || !all.items[i]->work;
    if (!harmless) job->tools[i].work = S_imitate;
    job->list[i] = &job->tools[i];
  }
  return (fb_tools){job->list, count};
}

static const char *S_folder(S_job *job, const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return ".";
  if (slash == path) return "/";
  return fb_arena_text(&job->arena, (fb_slice){path, (size_t)(slash - path)});
}

static int S_read_doc(S_job *job, const char *path, fb_buf *text, fb_doc **ret_doc) {
  fb_error err = {0};
  fb_errors errors;
  fb_doc_options options = {.keep_going = true};
  if (fb_cli_read(path, MOST_TEXT, text, &err)) return fb_cli_error(job->cli, &err);
  fb_errors_init(&errors, NULL, 0);
  fb_doc_read(fb_buf_slice(text), fb_cli_file_name(path), &options, ret_doc, &errors);
  int code = fb_cli_errors(job->cli, &errors);
  fb_errors_release(&errors);
  return code;
}

static int S_load(S_job *job, const char *path) {
  fb_error err = {0};
  fb_errors errors;
  int code = S_read_doc(job, path, &job->text, &job->doc);
  if (code) return code;
  if (fb_world_uv_new(NULL, &(fb_uv_options){.run_dir = ""}, &job->world, &err))
    return fb_cli_error(job->cli, &err);
  fb_mission_options options = {
      .tools = S_tools(job), .folder = S_folder(job, path), .world = job->world};
  fb_errors_init(&errors, NULL, 0);
  fb_status status = fb_mission_load(job->doc, &options, NULL, &job->mission, &errors);
  code = fb_cli_errors(job->cli, &errors);
  fb_errors_release(&errors);
  if (status && !code) code = fb_cli_fail(job->cli, status, "%s cannot be loaded", path);
  return code;
}

static int S_load_replies(S_job *job) {
  const char *path = fb_cli_text(job->cli, "replies", NULL);
  fb_value value = fb_null();
  if (!path) return FB_EXIT_OK;
  int code = S_read_doc(job, path, &job->replies_text, &job->replies_doc);
  if (code) return code;
  if (fb_node_value(fb_doc_root(job->replies_doc), &job->arena, &value))
    return fb_cli_fail(job->cli, FB_E_NOMEM, "out of memory");
  if (value.kind != FB_MAP)
    return fb_cli_fail(job->cli, FB_E_MISSION_SYNTAX,
                       "%s: replies are a map from steps to {out, err, code, duration}", path);
  job->replies = (fb_map *)value.as.map;
  return FB_EXIT_OK;
}

static int S_load_inputs(S_job *job) {
  size_t at = 0;
  job->inputs = fb_map_new(&job->arena, 8);
  for (const char *given; job->inputs && (given = fb_cli_next(job->cli, "input", &at));) {
    const char *equals = strchr(given, '=');
    fb_error err = {0};
    fb_value value;
    if (!equals)
      return fb_cli_usage(job->cli, "-i name=value", "an input without a value: %s", given);
    fb_slice name = {given, (size_t)(equals - given)};
    if (fb_mission_parse_input(job->mission, name, fb_slice_of(equals + 1), &job->arena, &value,
                               &err)) {
      fb_cli_error(job->cli, &err);
      return FB_EXIT_USAGE;
    }
    if (!fb_map_put(job->inputs, &job->arena, fb_string(name), value, NULL)) job->inputs = NULL;
  }
  return job->inputs ? FB_EXIT_OK : fb_cli_fail(job->cli, FB_E_NOMEM, "out of memory");
}

/* ── Runs ────────────────────────────────────────────────────────────────────────────────────── */

static void S_json(fb_cli *cli, uint64_t seed, const fb_simulation *run) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_printf(&out,
                "{\"type\":\"flyball.simulation.v1\",\"seed\":%llu,\"good\":%s,\"status\":\"%s\","
                "\"sessions\":%u,\"kills\":%u,\"power_cuts\":%u,\"full_disks\":%u,\"starts\":%u,"
                "\"repeats\":%u,\"decisions\":%u,\"events\":%llu,\"seconds\":%.3f",
                (unsigned long long)seed, run->broke ? "false" : "true",
                fb_mission_status_name(run->status), run->sessions, run->kills, run->cuts,
                run->full, run->starts, run->repeats, run->decisions,
                (unsigned long long)run->events, (double)run->duration / 1e9);
  if (run->broke) {
    fb_buf_text(&out, ",\"broke\":");
    fb_json_write_text(&out, fb_slice_of(run->what), FB_JSON_COMPACT);
  }
  fb_buf_text(&out, "}\n");
  fb_out_buf(cli, &out);
  fb_buf_release(&out);
}

static void S_add(S_job *job, const fb_simulation *run) {
  job->sum.sessions += run->sessions;
  job->sum.kills += run->kills;
  job->sum.cuts += run->cuts;
  job->sum.full += run->full;
  job->sum.starts += run->starts;
  job->sum.repeats += run->repeats;
  job->sum.decisions += run->decisions;
  job->by_status[run->status]++;
  job->broke += run->broke;
}

static void S_summary(S_job *job, uint64_t runs) {
  fb_cli *cli = job->cli;
  const fb_simulation *sum = &job->sum;
  if (cli->json) return;
  fb_out_printf(
      cli,
      "%llu runs, %u sessions: %u kills, %u power cuts, %u full disks\n"
      "%u programs begun, %u of them again after a crash (and it is said so), %u decided\n",
      (unsigned long long)runs, sum->sessions, sum->kills, sum->cuts, sum->full, sum->starts,
      sum->repeats, sum->decisions);
  for (int status = FB_MISSION_OK; status <= FB_MISSION_WAITING; status++)
    if (job->by_status[status])
      fb_out_printf(cli, "%s %llu\n", fb_mission_status_name((fb_mission_status)status),
                    (unsigned long long)job->by_status[status]);
  fb_out_printf(cli, "%s\n", job->broke ? "BROKE" : "nothing lost, nothing repeated silently");
}

static int S_runs(S_job *job) {
  fb_cli *cli = job->cli;
  uint64_t seed = fb_cli_number(cli, "seed", 1), runs = fb_cli_number(cli, "runs", 100), done = 0;
  for (; done < runs && !fb_out_failed(cli); done++) {
    fb_simulation run;
    fb_errors errors;
    fb_simulation_options options = {.seed = seed + done,
                                     .inputs = job->inputs,
                                     .replies = job->replies,
                                     .parallel = (uint32_t)fb_cli_number(cli, "parallel", 0),
                                     .no_failures = fb_cli_has(cli, "no-failures")};
    fb_errors_init(&errors, NULL, 0);
    fb_status status = fb_simulate(job->mission, &options, NULL, &run, &errors);
    int code = fb_cli_errors(cli, &errors);
    fb_errors_release(&errors);
    if (status == FB_E_MISSION_INPUT) return FB_EXIT_USAGE;
    if (status) return code ? code : fb_cli_fail(cli, status, "out of memory");
    S_add(job, &run);
    if (cli->json)
      S_json(cli, seed + done, &run);
    else if (run.broke)
      fb_out_printf(cli, "seed %llu: %s\n", (unsigned long long)seed + done, run.what);
  }
  S_summary(job, done);
  return job->broke ? FB_EXIT_NO : FB_EXIT_OK;
}

static int S_run(fb_cli *cli) {
  S_job job = {.cli = cli};
  fb_arena_init(&job.arena, NULL, 0);
  fb_buf_init(&job.text, NULL, 0);
  fb_buf_init(&job.replies_text, NULL, 0);
  int code = S_load(&job, cli->operands[0]);
  if (!code) code = S_load_replies(&job);
  if (!code) code = S_load_inputs(&job);
  if (!code) code = S_runs(&job);
  fb_mission_free(job.mission);
  fb_world_uv_free(job.world);
  fb_doc_free(job.replies_doc);
  fb_doc_free(job.doc);
  fb_buf_release(&job.replies_text);
  fb_buf_release(&job.text);
  fb_arena_release(&job.arena);
  return code;
}

static const fb_option S_options[] = {
    {.name = "seed", .kind = FB_OPTION_NUMBER, .value = "N", .help = "First seed (1)"},
    {.name = "runs", .kind = FB_OPTION_NUMBER, .value = "K", .help = "Seeds to try (100)"},
    {.name = "replies",
     .kind = FB_OPTION_FILE,
     .value = "FILE",
     .help =
         "What programs do: a map from step (`build`, `each.3`) to `{out, err, code, duration}` "
         "(milliseconds)"},
    {.name = "no-failures", .help = "Programs that nothing is said of never fail"},
    {.letter = 'i',
     .name = "input",
     .kind = FB_OPTION_TEXT,
     .value = "NAME=VALUE",
     .help = "Give the mission an input",
     .many = true},
    {.letter = 'p',
     .name = "parallel",
     .kind = FB_OPTION_NUMBER,
     .value = "N",
     .help = "Run at most N steps at once"},
    {0}};

const fb_command fb_command_simulate = {
    .name = "simulate",
    .summary = "Run a mission on a simulated world that fails",
    .usage = "FILE [OPTION]…",
    .description =
        "Plays the mission, once a seed, without touching anything: programs are imitated (what "
        "they "
        "write, how long they take, whether they fail comes from the seed, or from `--replies`), "
        "and "
        "the process that works on the run is killed, its power cut and its disk filled at any "
        "moment, "
        "until the run is done. The scheduler and the journal are those of `flyball run`.\n\n"
        "Checked for each seed: what was committed is there after every crash and the journal "
        "verifies; nothing begins unrecorded; what ended well is never begun again; a repetition "
        "says "
        "that it is one, and a step that is to be done `once` is only repeated when its check or a "
        "person says so; in the end all steps and outputs are as without crashes (where neither a "
        "time limit nor `fail_fast` nor `retry` decides).\n\n"
        "A seed that breaks a rule is printed with what broke; the same seed does it again. Exit "
        "code 1 "
        "then.",
    .options = S_options,
    .examples =
        (const fb_example[]){
            {"flyball simulate nightly.yaml --runs 1000", "a thousand seeds"},
            {"flyball simulate nightly.yaml --seed 17 --runs 1 --json", "one of them"},
            {0}},
    .operands = FB_OPERANDS_FILES,
    .min_operands = 1,
    .max_operands = 1,
    .run = S_run,
};
