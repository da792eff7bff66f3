/* SPDX-License-Identifier: Apache-2.0
 * flyball report: measures what a suite claims, and writes down what came of it. */
#include "cli/proof_io.h"

#include <flyball/loop.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct S_report {
  fb_cli *cli;
  fb_suite suite;
  fb_environment environment;
  fb_results run;      /* only its `run`: commit, branch, time */
  fb_results *results; /* one a part */
  const char *self;    /* path of this program */
  const char *folder;  /* of the suite */
  const char *const *env;
  fb_arena *arena;     /* the suite's */
  fb_ruleset *ruleset; /* NULL: none */
  size_t rule_fails;
} S_report;

/* ── Being interrupted ── */

static volatile int S_pid;

/* A program with a time limit has a process group of its own, which the terminal's signals do not reach. */
static void S_pass_on(int number) {
  if (S_pid > 0) {
    kill(-S_pid, number);
    kill(S_pid, number);
  }
  signal(number, SIG_DFL);
  raise(number);
}

static void S_catch(void) {
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) signal(numbers[i], S_pass_on);
}

/* ── Where things are ── */

static int S_no_memory(S_report *report) {
  return fb_cli_fail(report->cli, FB_E_NOMEM, "no memory for a report");
}

/* Our environment with FLYBALL as the path of this program. */
static int S_prepare(S_report *report, const char *path) {
  char self[4096];
  size_t count = 0, at = 0;
  const char *slash = strrchr(path, '/');
  report->arena = &report->suite.arena;
  ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
  self[len > 0 ? len : 0] = 0;
  while (environ[count]) count++;
  const char **env = fb_arena_alloc(report->arena, (count + 2) * sizeof *env);
  report->self = fb_arena_text(report->arena, fb_slice_of(self));
  report->folder =
      slash ? fb_arena_printf(report->arena, "%.*s", (int)(slash - path) + 1, path) : ".";
  const char *own = fb_arena_printf(report->arena, "FLYBALL=%s", self);
  report->results =
      fb_arena_zero(report->arena, report->suite.part_count * sizeof *report->results);
  if (!env || !report->self || !report->folder || !own || !report->results)
    return S_no_memory(report);
  for (size_t i = 0; i < count; i++)
    if (strncmp(environ[i], "FLYBALL=", 8) != 0) env[at++] = environ[i];
  env[at++] = own;
  env[at] = NULL;
  report->env = env;
  return FB_EXIT_OK;
}

/* Beside the suite, unless the path is absolute. NULL: no memory. */
static const char *S_beside(const S_report *report, const char *path) {
  if (path[0] == '/' || strcmp(report->folder, ".") == 0) return path;
  return fb_arena_printf(report->arena, "%s%s", report->folder, path);
}

/* ── Sources ── */

static const char *S_trouble(S_report *report, const char *format, ...) FB_PRINTF(2, 3);
static const char *S_trouble(S_report *report, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  const char *copy = fb_arena_text(report->arena, fb_slice_of(text));
  return copy ? copy : "no memory";
}

/* The last line of what a program said. */
static fb_slice S_last_line(const fb_buf *said) {
  fb_slice text = fb_buf_slice(said);
  while (text.len && (unsigned char)text.ptr[text.len - 1] <= ' ') text.len--;
  size_t start = text.len;
  while (start && text.ptr[start - 1] != '\n') start--;
  size_t len = text.len - start < 160 ? text.len - start : 160;
  while (len && !fb_utf8_valid(text.ptr + start, len, NULL)) len--;
  return (fb_slice){text.ptr + start, len};
}

static const char *S_ending(S_report *report, const fb_program_end *end, const fb_buf *said) {
  fb_slice line = S_last_line(said);
  const char *colon = line.len ? ": " : "";
  if (end->timed_out) return S_trouble(report, "it took longer than its time limit");
  if (end->signal)
    return S_trouble(report, "it was ended by signal %d%s%.*s", end->signal, colon, (int)line.len,
                     line.ptr);
  if (end->code)
    return S_trouble(report, "it ended with exit code %d%s%.*s", end->code, colon, (int)line.len,
                     line.ptr);
  return NULL;
}

/* Runs a program with its stdout in `output`. NULL: it did well; else why not. */
static const char *S_execute(S_report *report, const char *const *argv, int64_t timeout,
                             const char *output) {
  fb_reading reading;
  fb_program_end end;
  fb_error err;
  fb_buf said;
  const char *trouble = NULL;
  fb_buf_init(&said, NULL, 0);
  fb_program program = {.argv = argv,
                        .env = report->env,
                        .dir = report->folder,
                        .output_file = output,
                        .out = FB_OUTPUT_CAPTURE,
                        .err = FB_OUTPUT_CAPTURE,
                        .timeout = timeout,
                        .captured = &said,
                        .pid = &S_pid};
  if (fb_program_find(argv[0], NULL, report->arena, &program.path, &err) != FB_OK ||
      fb_program_run(&program, &reading, &end, &err) != FB_OK)
    trouble = S_trouble(report, "%s", err.text);
  else
    trouble = S_ending(report, &end, &said);
  fb_buf_release(&said);
  return trouble;
}

static const char *S_read_results(S_report *report, const char *path, const char *name,
                                  fb_results *results) {
  fb_buf text;
  fb_error err;
  fb_errors errors;
  const char *trouble = NULL;
  fb_buf_init(&text, NULL, 0);
  fb_errors_init(&errors, NULL, 0);
  if (fb_cli_read(path, FB_RESULTS_SIZE_MAX, &text, &err) != FB_OK)
    trouble = S_trouble(report, "%s", err.text);
  else if (fb_results_read(results, fb_buf_slice(&text), name, &errors) != FB_OK && errors.count)
    trouble =
        S_trouble(report, "line %u of its output: %s", errors.items[0].line, errors.items[0].text);
  fb_errors_release(&errors);
  fb_buf_release(&text);
  return trouble;
}

/* As one would type it. */
static const char *S_join(S_report *report, const char *const *argv) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  for (size_t i = 0; argv[i]; i++) {
    bool plain = argv[i][0] && !strpbrk(argv[i], " \t\n\"'\\$`*?;&|<>(){}[]#~!");
    if (i) fb_buf_char(&out, ' ');
    if (!plain) fb_buf_char(&out, '\'');
    for (const char *c = argv[i]; *c; c++)
      if (*c == '\'')
        fb_buf_text(&out, "'\\''");
      else
        fb_buf_char(&out, *c);
    if (!plain) fb_buf_char(&out, '\'');
  }
  const char *text = out.failed ? NULL : fb_arena_text(report->arena, fb_buf_slice(&out));
  fb_buf_release(&out);
  return text;
}

static bool S_command_of(S_report *report, fb_suite_part *part, const char *argv[6]) {
  size_t at = 0;
  switch (part->source) {
    case FB_SUITE_RUN: part->command = S_join(report, part->argv); return part->command != NULL;
    case FB_SUITE_SHELL:
      argv[at++] = "sh";
      argv[at++] = "-c";
      part->command = part->text;
      break;
    case FB_SUITE_BENCH:
      argv[at++] = report->self;
      argv[at++] = "bench";
      argv[at++] = "--json";
      part->command = fb_arena_printf(report->arena, "flyball bench --json %s", part->text);
      break;
    default: part->command = NULL; return true;
  }
  argv[at++] = part->text;
  argv[at] = NULL;
  return part->command != NULL;
}

static int S_measure_part(S_report *report, fb_suite_part *part, fb_results *results) {
  const char *argv[6] = {NULL};
  char output[] = "/tmp/flyball-report-XXXXXX";
  fb_results_init(results, NULL);
  if (!S_command_of(report, part, argv)) return S_no_memory(report);
  part->results = results;
  if (part->source == FB_SUITE_RESULTS) {
    const char *path = S_beside(report, part->text);
    part->trouble = path ? S_read_results(report, path, path, results) : "no memory";
    return FB_EXIT_OK;
  }
  int fd = mkostemp(output, O_CLOEXEC);
  if (fd < 0)
    return fb_cli_fail(report->cli, FB_E_IO, "cannot write %s: %s", output, strerror(errno));
  unlink(output); /* so that nothing is left of it, however this ends */
  snprintf(output, sizeof output, "/proc/self/fd/%d", fd);
  part->trouble =
      S_execute(report, part->source == FB_SUITE_RUN ? part->argv : argv, part->timeout, output);
  if (!part->trouble) part->trouble = S_read_results(report, output, part->command, results);
  close(fd);
  return FB_EXIT_OK;
}

static void S_show(const S_report *report, const char *what) {
  if (!report->cli->terminal_err || report->cli->json) return;
  fprintf(stderr, "\r%.70s\033[K", what);
  fflush(stderr);
}

static int S_measure(S_report *report) {
  int code = FB_EXIT_OK;
  const char *setup = NULL;
  if (report->suite.setup) {
    const char *argv[] = {"sh", "-c", report->suite.setup, NULL};
    S_show(report, report->suite.setup);
    setup = S_execute(report, argv, 0, NULL);
    if (setup) setup = S_trouble(report, "the setup `%s` failed: %s", report->suite.setup, setup);
  }
  for (size_t i = 0; i < report->suite.part_count && code == FB_EXIT_OK; i++) {
    fb_suite_part *part = &report->suite.parts[i];
    char name[80];
    if (part->source == FB_SUITE_NONE) continue;
    snprintf(name, sizeof name, "%.*s", (int)(part->name.len < 60 ? part->name.len : 60),
             part->name.ptr);
    S_show(report, name);
    part->trouble = setup;
    if (!setup) code = S_measure_part(report, part, &report->results[i]);
    if (part->trouble) {
      S_show(report, "");
      fb_cli_note(report->cli, "%s: %s", name, part->trouble);
    }
  }
  S_show(report, "");
  return code;
}

/* ── Rules ── */

static fb_status S_decision(void *context, const fb_decision *decision) {
  S_report *report = context;
  fb_buf fields;
  fb_error err;
  fb_buf_init(&fields, NULL, 0);
  fb_json_write(&fields, fb_map_value(decision->fields), FB_JSON_COMPACT);
  report->rule_fails += fb_slice_equal(decision->type, FB_SLICE("fail"));
  fb_status status = fields.failed
                         ? FB_E_NOMEM
                         : fb_suite_alert_add(&report->suite, decision->type, decision->rule,
                                              fb_buf_slice(&fields), &err);
  fb_buf_release(&fields);
  return status;
}

/* The rows of all parts, one after the other; NULL: no memory. */
static const fb_gate_row *S_all_rows(S_report *report, size_t *ret_count) {
  size_t count = 0;
  for (size_t i = 0; i < report->suite.part_count; i++)
    count += report->suite.parts[i].judged_count;
  fb_gate_row *rows = fb_arena_alloc(report->arena, (count + 1) * sizeof *rows);
  *ret_count = 0;
  for (size_t i = 0; i < report->suite.part_count && rows; i++) {
    const fb_suite_part *part = &report->suite.parts[i];
    memcpy(rows + *ret_count, part->judged, part->judged_count * sizeof *rows);
    *ret_count += part->judged_count;
  }
  return rows;
}

/* Before anything is measured: a mistake in it is to be told then. */
static int S_load_rules(S_report *report) {
  if (!report->suite.rules) return FB_EXIT_OK;
  const char *path = S_beside(report, report->suite.rules);
  return path ? fb_cli_ruleset(report->cli, path, &report->ruleset) : S_no_memory(report);
}

static int S_apply_rules(S_report *report) {
  fb_error err;
  size_t count;
  if (!report->ruleset) return FB_EXIT_OK;
  const fb_gate_row *rows = S_all_rows(report, &count);
  if (!rows) return S_no_memory(report);
  fb_gate_rules rules = {report->ruleset, S_decision, report};
  return fb_gate_decide(&rules, rows, count, NULL, &err) == FB_OK ? FB_EXIT_OK
                                                                  : fb_cli_error(report->cli, &err);
}

/* ── Writing ── */

static void S_print_text(S_report *report) {
  fb_grid grid;
  fb_grid_init(&grid, 6);
  const char *const head[] = {"verdict", "claim", "target", "measured", "interval", "why"};
  for (size_t i = 0; i < 6; i++) fb_grid_add(&grid, "%s", head[i]);
  for (size_t i = 0; i < report->suite.part_count; i++) {
    const fb_suite_part *part = &report->suite.parts[i];
    for (size_t k = 0; k < part->judged_count; k++) {
      const fb_gate_row *row = &part->judged[k];
      char target[96], label[160], value[40] = "-", low[40], high[40];
      fb_claim_target(row, target, sizeof target);
      if (row->result) fb_quantity_format(row->value, row->result->unit, value);
      fb_grid_add(&grid, "%s", fb_claim_name(fb_claim_of(row)));
      fb_claim_label(part, row, label, sizeof label);
      fb_grid_add(&grid, "%s", label);
      fb_grid_add(&grid, "%s", *target ? target : "-");
      fb_grid_add(&grid, "%s", value);
      if (row->has_interval) {
        fb_quantity_format(row->interval.low, row->result->unit, low);
        fb_quantity_format(row->interval.high, row->result->unit, high);
        fb_grid_add(&grid, "%s … %s", low, high);
      } else {
        fb_grid_add(&grid, "-");
      }
      bool why = row->verdict == FB_GATE_NOT_MEASURED || row->verdict == FB_GATE_UNCLEAR;
      fb_grid_add(&grid, "%s", why ? row->reason : "");
    }
  }
  fb_grid_print(&grid, report->cli, 0x18);
  for (size_t i = 0; i < report->suite.alert_count; i++) {
    const fb_suite_alert *alert = &report->suite.alerts[i];
    fb_out_printf(report->cli, "%.*s: %.*s  %.*s\n", (int)alert->type.len, alert->type.ptr,
                  (int)alert->rule.len, alert->rule.ptr, (int)alert->fields.len, alert->fields.ptr);
  }
}

static int S_write_results(S_report *report, const char *path) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  for (size_t i = 0; i < report->suite.part_count; i++) {
    const fb_suite_part *part = &report->suite.parts[i];
    for (size_t k = 0; part->results && !part->trouble && k < part->results->count; k++) {
      fb_result_json(&part->results->items[k], &out);
      fb_buf_char(&out, '\n');
    }
  }
  int code = out.failed ? S_no_memory(report) : fb_proof_write(report->cli, path, &out);
  fb_buf_release(&out);
  return code;
}

/* So that what was measured for minutes is not lost to a slip of the pen. */
static int S_check_files(S_report *report) {
  static const char *const options[] = {"html", "markdown", "results"};
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    const char *path = fb_cli_text(report->cli, options[i], NULL);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (path && fd < 0)
      return fb_cli_fail(report->cli, FB_E_IO, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
  }
  return FB_EXIT_OK;
}

typedef void S_writer(const fb_suite *suite, const fb_suite_about *about, fb_buf *out);

static int S_write_file(S_report *report, const fb_suite_about *about, const char *option,
                        S_writer *writer) {
  const char *path = fb_cli_text(report->cli, option, NULL);
  fb_buf out;
  if (!path) return FB_EXIT_OK;
  fb_buf_init(&out, NULL, 0);
  writer(&report->suite, about, &out);
  int code = out.failed ? S_no_memory(report) : fb_proof_write(report->cli, path, &out);
  fb_buf_release(&out);
  if (code == FB_EXIT_OK) fb_cli_note(report->cli, "wrote %s", path);
  return code;
}

static int S_write(S_report *report, const fb_suite_about *about) {
  const char *results = fb_cli_text(report->cli, "results", NULL);
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  if (report->cli->json)
    fb_suite_write_json(&report->suite, about, &out);
  else
    S_print_text(report);
  int code = fb_out_buf(report->cli, &out) == FB_OK ? FB_EXIT_OK : S_no_memory(report);
  fb_buf_release(&out);
  if (code == FB_EXIT_OK) code = S_write_file(report, about, "html", fb_suite_write_html);
  if (code == FB_EXIT_OK) code = S_write_file(report, about, "markdown", fb_suite_write_markdown);
  return code == FB_EXIT_OK && results ? S_write_results(report, results) : code;
}

static int S_verdict(S_report *report) {
  size_t counts[FB_CLAIM_COUNT];
  fb_suite_count(&report->suite, counts);
  bool bad = counts[FB_CLAIM_MISSED] || counts[FB_CLAIM_NOT_MEASURED] || report->rule_fails;
  if (!report->cli->json)
    fb_out_printf(report->cli, "%zu met, %zu missed, %zu unclear, %zu not measured\n",
                  counts[FB_CLAIM_MET], counts[FB_CLAIM_MISSED], counts[FB_CLAIM_UNCLEAR],
                  counts[FB_CLAIM_NOT_MEASURED]);
  return bad && fb_cli_has(report->cli, "check") ? FB_EXIT_NO : FB_EXIT_OK;
}

/* ── The command ── */

static fb_status S_suite(void *into, fb_slice text, const char *name, fb_errors *errors) {
  return fb_suite_read(text, name, NULL, into, errors);
}

static const char *S_made_by(S_report *report, const char *path) {
  const char *html = fb_cli_text(report->cli, "html", NULL);
  const char *argv[] = {"flyball", "report", path, html ? "--html" : NULL, html, NULL};
  return S_join(report, argv);
}

static int S_judge(S_report *report, const char *path) {
  const fb_clock *clock = fb_clock_system();
  fb_random random;
  fb_error err;
  int64_t start = clock->mono(clock->context);
  fb_environment_read("", &report->environment);
  int code = fb_proof_complete(report->cli, &report->run);
  if (code == FB_EXIT_OK) code = S_load_rules(report);
  if (code == FB_EXIT_OK) code = S_check_files(report);
  if (code == FB_EXIT_OK) code = S_measure(report);
  if (code != FB_EXIT_OK) return code;
  fb_proof_random(report->cli, &random);
  if (fb_suite_judge(&report->suite, &random, &err) != FB_OK)
    return fb_cli_error(report->cli, &err);
  code = S_apply_rules(report);
  fb_suite_about about = {&report->environment, &report->run.run,
                          clock->mono(clock->context) - start, S_made_by(report, path)};
  if (!about.command) return S_no_memory(report);
  if (code == FB_EXIT_OK) code = S_write(report, &about);
  return code == FB_EXIT_OK ? S_verdict(report) : code;
}

static int S_run(fb_cli *cli) {
  S_report report = {.cli = cli};
  const char *path = cli->operands[0];
  int code = fb_cli_load(cli, path, FB_PROOF_DOCUMENT_MAX, S_suite, &report.suite);
  if (code != FB_EXIT_OK) return code;
  fb_results_init(&report.run, NULL);
  S_catch();
  code = S_prepare(&report, path);
  if (code == FB_EXIT_OK) code = S_judge(&report, path);
  for (size_t i = 0; report.results && i < report.suite.part_count; i++)
    fb_results_release(&report.results[i]);
  fb_results_release(&report.run);
  fb_ruleset_free(report.ruleset);
  fb_suite_release(&report.suite);
  return code;
}

static const fb_option S_options[] = {
    {'o', "html", FB_OPTION_FILE, "FILE", "Write the report as one page of HTML", NULL, NULL,
     false},
    {0, "markdown", FB_OPTION_FILE, "FILE", "Write the report as Markdown", NULL, NULL, false},
    {0, "results", FB_OPTION_FILE, "FILE",
     "Write what was measured as results, for `flyball history import`", NULL, NULL, false},
    {0, "check", FB_OPTION_FLAG, NULL,
     "End with 1 if a target was missed or not measured, or a rule says `fail`", NULL, NULL, false},
    {0, "commit", FB_OPTION_TEXT, "COMMIT",
     "Commit that is measured; that of the checkout if not given", NULL, NULL, false},
    {0, "branch", FB_OPTION_TEXT, "NAME", "Its branch", NULL, NULL, false},
    {0, "machine", FB_OPTION_TEXT, "NAME", "Machine that measures, instead of its fingerprint",
     NULL, "FLYBALL_MACHINE", false},
    {0, "time", FB_OPTION_TEXT, "TIME",
     "When it was, as in `2026-11-20T16:00:00Z`; now if not given", NULL, NULL, false},
    FB_OPTION_SEED,
    {0}};

const fb_command fb_command_report = {
    .name = "report",
    .summary = "Measure what a suite claims, and write a report",
    .usage = "[OPTION]… SUITE.yaml",
    .description =
        "Runs what the suite names (programs that print results, benchmark files, files of "
        "results), judges each row by its target, and prints a table; `--html` and `--markdown` "
        "write it as a report with plots, the environment, and the command behind every figure.\n\n"
        "A row is `met` or `missed` when the whole 95 % interval is on one side of the target, "
        "`unclear` when the target lies within it, and `not measured` when what it names was not "
        "measured, not often enough, or failed: nothing is put in its place.\n\n"
        "With `rules` every row is also a fact `benchmark`, as for `flyball gate`, and what the "
        "rulebook emits is part of the report.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball report suite.yaml -o report.html", "a page"},
                                     {"flyball report suite.yaml --check", "in CI"},
                                     {0}},
    .operands = FB_OPERANDS_FILES,
    .min_operands = 1,
    .max_operands = 1,
    .run = S_run,
};
