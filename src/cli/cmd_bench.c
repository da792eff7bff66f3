/* SPDX-License-Identifier: Apache-2.0
 * flyball bench: how long commands, missions and rulebooks take, and which of them is faster. */
#include "cli/bench_plan.h"
#include "cli/proof_io.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COUNT_RUNS = 3 };

typedef struct S_bench {
  fb_bench_plan plan;
  int signals; /* signalfd; -1: none */
  int caught;
  bool shown; /* a line of progress stands there */
  int64_t next_show;
} S_bench;

/* ── Progress, and being interrupted ─────────────────────────────────────────────────────────── */

static bool S_ended(void *context) {
  S_bench *bench = context;
  struct signalfd_siginfo info;
  if (bench->signals >= 0 && !bench->caught &&
      read(bench->signals, &info, sizeof info) == (ssize_t)sizeof info)
    bench->caught = (int)info.ssi_signo;
  return bench->caught != 0;
}

/* Blocked, so that they are read where it suits; programs start without the block. */
static void S_catch(S_bench *bench) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  bench->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void S_hide(S_bench *bench) {
  if (bench->shown) fputs("\r\033[K", stderr);
  fflush(stderr);
  bench->shown = false;
}

static void S_show(void *context, const fb_bench_progress *now) {
  S_bench *bench = context;
  char left[FB_TIME_TEXT_MAX] = "";
  if (!now->name) {
    S_hide(bench);
    return;
  }
  if (now->elapsed < bench->next_show) return;
  bench->next_show = now->elapsed + 100 * INT64_C(1000000);
  if (now->expected >= 0) {
    int64_t rest = now->expected > now->elapsed ? now->expected - now->elapsed : 0;
    fb_duration_format((rest / 1000000000 + 1) * 1000000000, left);
  }
  fprintf(stderr, "\r%s%.50s", now->warmup ? "warming up: " : "", now->name);
  if (now->wanted) fprintf(stderr, "  %zu of %zu runs", now->done, now->wanted);
  fprintf(stderr, "%s%s%s\033[K", *left ? "  " : "", left, *left ? " left" : "");
  fflush(stderr);
  bench->shown = true;
}

/* ── The library that counts allocations ─────────────────────────────────────────────────────── */

/* Beside the program in the build directory, or where it is installed. */
static int S_find_counter(S_bench *bench) {
  static const char *const places[] = {"src/proof/libflyball-count.so",
                                       "../" FB_LIBDIR "/flyball/libflyball-count.so"};
  char self[4096];
  ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
  if (len > 0) {
    self[len] = 0;
    char *slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < sizeof places / sizeof *places; i++) {
      const char *path =
          fb_arena_printf(&bench->plan.arena, "%.*s/%s", (int)(slash - self), self, places[i]);
      if (path && access(path, R_OK) == 0) {
        bench->plan.counter = path;
        return FB_EXIT_OK;
      }
    }
  }
  return fb_cli_fail(bench->plan.cli, FB_E_IO,
                     "libflyball-count.so is not there, so allocations cannot be counted");
}

/* ── What is to be measured ──────────────────────────────────────────────────────────────────── */

static bool S_is_file(const char *text) {
  static const char *const ends[] = {".yaml", ".yml", ".json"};
  size_t len = strlen(text);
  if (strpbrk(text, " \t\n")) return false;
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
    if (len > strlen(ends[i]) && strcmp(text + len - strlen(ends[i]), ends[i]) == 0) return true;
  return false;
}

static void S_common(S_bench *bench) {
  const fb_cli *cli = bench->plan.cli;
  fb_bench_spec *common = &bench->plan.common;
  common->setup = fb_cli_text(cli, "setup", NULL);
  common->prepare = fb_cli_text(cli, "prepare", NULL);
  common->cleanup = fb_cli_text(cli, "cleanup", NULL);
  common->input = fb_cli_text(cli, "stdin", NULL);
  common->output = fb_cli_text(cli, "output", NULL);
  common->dir = fb_cli_text(cli, "dir", NULL);
  common->shell_path = fb_cli_text(cli, "shell-path", NULL);
  common->shell = fb_cli_has(cli, "shell")      ? FB_SHELL_ALWAYS
                  : fb_cli_has(cli, "no-shell") ? FB_SHELL_NEVER
                                                : FB_SHELL_AUTO;
  common->timeout = fb_cli_duration(cli, "timeout", 0);
  common->ignore_failure = fb_cli_has(cli, "ignore-failure");
}

/* Options given outrank the file. */
static void S_options_of(S_bench *bench) {
  const fb_cli *cli = bench->plan.cli;
  fb_bench_options *o = &bench->plan.options;
  o->warmup = (uint32_t)fb_cli_number(cli, "warmup", o->warmup);
  o->runs = (uint32_t)fb_cli_number(cli, "runs", o->runs);
  o->min_runs = (uint32_t)fb_cli_number(cli, "min-runs", o->min_runs);
  o->max_runs = (uint32_t)fb_cli_number(cli, "max-runs", o->max_runs);
  o->min_time = fb_cli_duration(cli, "min-time", o->min_time);
  o->max_time = fb_cli_duration(cli, "max-time", o->max_time);
  o->progress = cli->terminal_err && !cli->json ? S_show : NULL;
  o->ended = S_ended;
  o->context = bench;
  bench->plan.reference = fb_cli_text(cli, "reference", bench->plan.reference);
  bench->plan.seed = fb_cli_number(cli, "seed", bench->plan.seed);
  if (!bench->plan.seed) bench->plan.seed = fb_random_seed_system() >> 32 | 1;
}

static int S_check_numbers(fb_cli *cli) {
  static const char *const numbers[] = {"warmup", "runs", "min-runs", "max-runs"};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    uint64_t number = fb_cli_number(cli, numbers[i], 1);
    if (number > 1000000 || (number == 0 && strcmp(numbers[i], "warmup") != 0))
      return fb_cli_usage(cli, "", "--%s is %s1,000,000 at most", numbers[i],
                          number ? "" : "at least 1 and ");
  }
  if (fb_cli_has(cli, "shell") && fb_cli_has(cli, "no-shell"))
    return fb_cli_usage(cli, "", "--shell and --no-shell exclude each other");
  return FB_EXIT_OK;
}

/* Names go to candidates in their order. */
static void S_name(S_bench *bench, size_t *at, fb_bench_spec *spec) {
  spec->name = fb_cli_next(bench->plan.cli, "name", at);
}

static const char *const *S_mission_inputs(S_bench *bench) {
  size_t count = 0, at = 0;
  while (fb_cli_next(bench->plan.cli, "input", &at)) count++;
  const char **list = fb_arena_zero(&bench->plan.arena, (count + 1) * sizeof *list);
  at = 0;
  for (size_t i = 0; list && i < count; i++) list[i] = fb_cli_next(bench->plan.cli, "input", &at);
  return list;
}

static int S_add_engines(S_bench *bench, size_t *names) {
  fb_cli *cli = bench->plan.cli;
  size_t at = 0;
  const char *path, *facts = fb_cli_text(cli, "facts", NULL);
  while ((path = fb_cli_next(cli, "mission", &at))) {
    fb_bench_spec spec = bench->plan.common;
    spec.mission = path;
    spec.inputs = S_mission_inputs(bench);
    S_name(bench, names, &spec);
    if (fb_bench_plan_add(&bench->plan, &spec)) return FB_EXIT_OUTSIDE;
  }
  for (at = 0; (path = fb_cli_next(cli, "rules", &at));) {
    fb_bench_spec spec = bench->plan.common;
    if (!facts)
      return fb_cli_usage(cli, "as in `flyball bench --rules rules.yaml --facts orders.ndjson`",
                          "rules need facts: `--facts` is missing");
    spec.rules = path;
    spec.facts = facts;
    S_name(bench, names, &spec);
    if (fb_bench_plan_add(&bench->plan, &spec)) return FB_EXIT_OUTSIDE;
  }
  return FB_EXIT_OK;
}

static int S_add_commands(S_bench *bench) {
  fb_cli *cli = bench->plan.cli;
  size_t names = 0, at = 0;
  for (size_t i = 0; i < cli->operand_count; i++) {
    fb_bench_spec spec = bench->plan.common;
    spec.command = cli->operands[i];
    S_name(bench, &names, &spec);
    if (fb_bench_plan_add(&bench->plan, &spec)) return FB_EXIT_OUTSIDE;
  }
  int code = S_add_engines(bench, &names);
  for (const char *text; !code && (text = fb_cli_next(cli, "parameter", &at));)
    code = fb_bench_plan_parameter(&bench->plan, text);
  return code;
}

static int S_make_plan(S_bench *bench) {
  fb_cli *cli = bench->plan.cli;
  int code = S_check_numbers(cli);
  S_common(bench);
  if (code) return code;
  bool file = cli->operand_count == 1 && S_is_file(cli->operands[0]);
  code = file ? fb_bench_plan_read(&bench->plan, cli->operands[0]) : S_add_commands(bench);
  if (code) return code;
  S_options_of(bench);
  if (bench->plan.spec_count == 0)
    return fb_cli_usage(cli, "as in `flyball bench 'sort a.txt' 'sort -u a.txt'`",
                        "there is nothing to be measured");
  if (fb_cli_has(cli, "allocations")) {
    bench->plan.options.count_runs = COUNT_RUNS;
    if ((code = S_find_counter(bench))) return code;
  }
  return fb_bench_plan_expand(&bench->plan);
}

/* By name, else by number from 1. */
static int S_reference(S_bench *bench, size_t *ret) {
  const char *wanted = bench->plan.reference;
  char *end;
  *ret = 0;
  if (!wanted) return FB_EXIT_OK;
  for (size_t i = 0; i < bench->plan.count; i++)
    if (strcmp(bench->plan.candidates[i].name, wanted) == 0) {
      *ret = i;
      return FB_EXIT_OK;
    }
  unsigned long number = strtoul(wanted, &end, 10);
  if (*end || end == wanted || number == 0 || number > bench->plan.count)
    return fb_cli_usage(bench->plan.cli, "the name of a candidate, or its number from 1",
                        "there is no candidate `%s` to compare with", wanted);
  *ret = number - 1;
  return FB_EXIT_OK;
}

/* ── Reports ─────────────────────────────────────────────────────────────────────────────────── */

static void S_json(const fb_bench_report *report, fb_buf *out) {
  fb_bench_write_json(report, true, out);
}

static const struct {
  const char *option;
  void (*write)(const fb_bench_report *report, fb_buf *out);
} S_exports[] = {{"export-json", S_json},
                 {"export-csv", fb_bench_write_csv},
                 {"export-markdown", fb_bench_write_markdown},
                 {"export-html", fb_bench_write_html}};

/* Before hours of measuring, not after them. */
static int S_check_exports(fb_cli *cli) {
  for (size_t i = 0; i < sizeof S_exports / sizeof *S_exports; i++) {
    const char *path = fb_cli_text(cli, S_exports[i].option, NULL);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (path && fd < 0)
      return fb_cli_fail(cli, FB_E_IO, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
  }
  return FB_EXIT_OK;
}

static int S_export(fb_cli *cli, const fb_bench_report *report) {
  int code = FB_EXIT_OK;
  for (size_t i = 0; i < sizeof S_exports / sizeof *S_exports && !code; i++) {
    const char *path = fb_cli_text(cli, S_exports[i].option, NULL);
    fb_buf text;
    if (!path) continue;
    fb_buf_init(&text, NULL, 0);
    S_exports[i].write(report, &text);
    code = text.failed ? fb_cli_fail(cli, FB_E_NOMEM, "out of memory")
                       : fb_proof_write(cli, path, &text);
    fb_buf_release(&text);
  }
  return code;
}

static void S_remark(void *context, const char *remark) {
  fb_cli_note(context, "note: %s", remark);
}

static int S_print(fb_cli *cli, const fb_bench_report *report) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  if (cli->json)
    fb_bench_write_json(report, true, &out);
  else
    fb_bench_write_text(report, &out);
  fb_status status = fb_out_buf(cli, &out);
  fb_buf_release(&out);
  if (status) return fb_cli_fail(cli, status, "out of memory");
  for (size_t i = 0; i < report->environment->warning_count; i++)
    fb_cli_note(cli, "warning: %s", report->environment->warnings[i]);
  fb_bench_remarks(report, S_remark, cli);
  return S_export(cli, report);
}

static bool S_any(const fb_bench *bench) {
  for (size_t i = 0; i < bench->count; i++)
    if (!bench->sides[i].count) return false;
  return true;
}

static int S_report(S_bench *bench, const fb_bench *measured, const fb_environment *environment,
                    size_t reference, int64_t wall) {
  fb_bench_plan *plan = &bench->plan;
  fb_error err = {0};
  fb_bench_report report = {.name = plan->name,
                            .bench = measured,
                            .about = plan->abouts,
                            .environment = environment,
                            .shell_cost = plan->shell_known ? &plan->shell_cost : NULL,
                            .reference = reference,
                            .seed = plan->seed,
                            .wall = wall};
  if (!S_any(measured)) {
    fb_cli_note(plan->cli, "interrupted before anything was measured");
    return FB_EXIT_OK;
  }
  if (fb_bench_report_judge(&report, &plan->arena, &err)) return fb_cli_error(plan->cli, &err);
  return S_print(plan->cli, &report);
}

/* ── The run ─────────────────────────────────────────────────────────────────────────────────── */

static int S_measure(S_bench *bench, const fb_environment *environment) {
  fb_bench_plan *plan = &bench->plan;
  const fb_clock *clock = fb_clock_system();
  fb_random random;
  fb_bench *measured;
  fb_error err = {0};
  size_t reference;
  int code = S_reference(bench, &reference);
  if (!code) code = S_check_exports(plan->cli);
  if (code) return code;
  fb_random_seed(&random, plan->seed);
  plan->options.random = &random;
  int64_t wall = clock->wall(clock->context);
  S_catch(bench);
  fb_status status =
      fb_bench_run(plan->candidates, plan->count, &plan->options, NULL, &measured, &err);
  S_hide(bench);
  if (status) {
    code = fb_cli_error(plan->cli, &err);
    return status == FB_E_BENCH_FAILED ? FB_EXIT_NO : code;
  }
  code = S_report(bench, measured, environment, reference, wall);
  fb_bench_free(measured);
  return !code && bench->caught ? 128 + bench->caught : code;
}

static int S_run(fb_cli *cli) {
  S_bench bench = {.plan = {.cli = cli}, .signals = -1};
  fb_environment environment;
  fb_arena_init(&bench.plan.arena, NULL, 0);
  fb_environment_read("", &environment); /* the load is of before the first run */
  int code = S_make_plan(&bench);
  if (!code) code = S_measure(&bench, &environment);
  fb_bench_plan_release(&bench.plan);
  if (bench.signals >= 0) close(bench.signals);
  return code;
}

static const fb_option S_options[] = {
    {.letter = 'w',
     .name = "warmup",
     .kind = FB_OPTION_NUMBER,
     .value = "N",
     .help = "Run each N times before measuring"},
    {.letter = 'r',
     .name = "runs",
     .kind = FB_OPTION_NUMBER,
     .value = "N",
     .help = "Measure each exactly N times"},
    {.name = "min-runs",
     .kind = FB_OPTION_NUMBER,
     .value = "N",
     .help = "Measure each at least N times; 10 if not given"},
    {.name = "max-runs",
     .kind = FB_OPTION_NUMBER,
     .value = "N",
     .help = "Measure each at most N times; 2,000 if not given"},
    {.name = "min-time",
     .kind = FB_OPTION_DURATION,
     .value = "TIME",
     .help = "Measure each for about so long; `3s` if not given"},
    {.name = "max-time",
     .kind = FB_OPTION_DURATION,
     .value = "TIME",
     .help = "Stop after so long altogether, at the end of a round"},
    {.letter = 'P',
     .name = "parameter",
     .kind = FB_OPTION_TEXT,
     .value = "NAME=VALUES",
     .help = "Measure for each value of `{NAME}`: `a,b,c`, `1..10`, `0..1:0.25`; several: all "
             "combinations",
     .many = true},
    {.letter = 'n',
     .name = "name",
     .kind = FB_OPTION_TEXT,
     .value = "NAME",
     .help = "What to call the candidates, in their order",
     .many = true},
    {.name = "setup",
     .kind = FB_OPTION_TEXT,
     .value = "CMD",
     .help = "Run this (in a shell) once before each candidate"},
    {.letter = 'p',
     .name = "prepare",
     .kind = FB_OPTION_TEXT,
     .value = "CMD",
     .help = "Run this (in a shell) before each run; it is not measured"},
    {.letter = 'c',
     .name = "cleanup",
     .kind = FB_OPTION_TEXT,
     .value = "CMD",
     .help = "Run this (in a shell) once after the last run of each candidate"},
    {.letter = 'S',
     .name = "shell",
     .help = "Run all commands in a shell, and take the shell's own time off"},
    {.letter = 'N',
     .name = "no-shell",
     .help = "Run no command in a shell: what only a shell understands is text"},
    {.name = "shell-path",
     .kind = FB_OPTION_TEXT,
     .value = "PROGRAM",
     .help = "Which shell; `sh` if not given"},
    {.letter = 'i', .name = "ignore-failure", .help = "Runs that fail count too"},
    {.name = "timeout",
     .kind = FB_OPTION_DURATION,
     .value = "TIME",
     .help = "A run that takes longer is ended, and has failed"},
    {.name = "stdin",
     .kind = FB_OPTION_FILE,
     .value = "FILE",
     .help = "What commands read; nothing if not given"},
    {.name = "output",
     .kind = FB_OPTION_TEXT,
     .value = "WHERE",
     .help =
         "Where commands write: `null`, `pipe` (read and thrown away), `pass` (here), or a file"},
    {.name = "dir", .kind = FB_OPTION_FILE, .value = "DIR", .help = "Where commands run"},
    {.name = "reference",
     .kind = FB_OPTION_TEXT,
     .value = "CANDIDATE",
     .help = "Compare with this one, by name or number; the first if not given"},
    {.name = "allocations", .help = "Also count calls of malloc, in three runs of their own"},
    {.name = "mission",
     .kind = FB_OPTION_FILE,
     .value = "FILE",
     .help = "Measure a mission, run in this process",
     .many = true},
    {.name = "input",
     .kind = FB_OPTION_TEXT,
     .value = "NAME=VALUE",
     .help = "An input of the missions",
     .many = true},
    {.name = "rules",
     .kind = FB_OPTION_FILE,
     .value = "FILE",
     .help = "Measure a rulebook over `--facts`, in this process",
     .many = true},
    {.name = "facts", .kind = FB_OPTION_FILE, .value = "FILE", .help = "The facts for rulebooks"},
    {.name = "seed",
     .kind = FB_OPTION_NUMBER,
     .value = "N",
     .help = "Draw the order of the runs from this, to repeat it"},
    {.name = "export-json",
     .kind = FB_OPTION_FILE,
     .value = "FILE",
     .help = "Write all measures of all runs"},
    {.name = "export-csv", .kind = FB_OPTION_FILE, .value = "FILE", .help = "Write a table"},
    {.name = "export-markdown",
     .kind = FB_OPTION_FILE,
     .value = "FILE",
     .help = "Write a table for people"},
    {.name = "export-html",
     .kind = FB_OPTION_FILE,
     .value = "FILE",
     .help = "Write a page with a plot, which needs nothing else"},
    {0}};

const fb_command fb_command_bench = {
    .name = "bench",
    .summary = "Measure and compare commands, missions and rulebooks",
    .usage = "[OPTION]… COMMAND… | FILE.yaml",
    .description =
        "Runs each candidate many times and tells the median of how long it took, with a 95 % "
        "interval, and what it "
        "used: processor time, memory, page faults, switches, and the processor's own counters "
        "where "
        "the kernel gives them.\n\n"
        "Several candidates take turns, in an order drawn anew for each round, so that what "
        "disturbs the machine for a "
        "while disturbs all. Each is compared with the first, or with `--reference`: the ratio "
        "with its interval. "
        "Where the interval has 1 in it, no difference was shown.\n\n"
        "A command is split into words and run without a shell; one that has pipes, variables or "
        "patterns in it "
        "is run in `sh`, whose own time is measured and taken off. A run that fails is no "
        "measurement: it ends the benchmark with exit code 1, unless `--ignore-failure` is "
        "given.\n\n"
        "An operand that ends in `.yaml`, `.yml` or `.json` is a benchmark file.",
    .options = S_options,
    .examples =
        (const fb_example[]){
            {"flyball bench 'sort words.txt' 'sort -u words.txt'", "which is faster?"},
            {"flyball bench -w 3 -P n=1..4 'make -j{n}' --prepare 'make clean'", "over a range"},
            {"flyball bench --rules rules.yaml --facts orders.ndjson",
             "a rulebook, in this process"},
            {0}},
    .operands = FB_OPERANDS_TEXT,
    .max_operands = UINT32_MAX,
    .run = S_run,
};
