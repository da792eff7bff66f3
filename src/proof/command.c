/* SPDX-License-Identifier: Apache-2.0
 * A command as a candidate: programs and shell lines, with what comes before and after them. */
#include "proof/counter.h"
#include "proof/words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Something to execute. */
typedef struct S_line {
  const char *text; /* for messages */
  const char *role; /* "--prepare"; NULL: it is the command itself */
  const char *path;
  const char *const *argv;
  bool in_shell;
} S_line;

typedef struct S_command {
  fb_bench_command *command;
  S_line main, setup, prepare, cleanup; /* path NULL: there is none */
  const char **count_env;               /* with LD_PRELOAD; NULL: not counted */
  char *count_file; /* in count_env: "FLYBALL_COUNTER=…", filled in for each run */
} S_command;

enum { COUNT_FILE_MAX = 96 };

/* ── Making ──────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_shell_line(const fb_bench_command *command, const char *text, fb_arena *arena,
                              S_line *line, fb_error *err) {
  const char **argv = fb_arena_alloc(arena, 4 * sizeof *argv);
  if (!argv) return fb_fail(err, FB_E_NOMEM, "out of memory");
  argv[0] = command->shell_path ? command->shell_path : "sh";
  argv[1] = "-c";
  argv[2] = text;
  argv[3] = NULL;
  line->argv = argv;
  line->in_shell = true;
  return fb_program_find(argv[0], command->env, arena, &line->path, err);
}

static fb_status S_program_line(const fb_bench_command *command, const char *const *argv,
                                fb_arena *arena, S_line *line, fb_error *err) {
  line->argv = argv;
  fb_status status = fb_program_find(argv[0], command->env, arena, &line->path, err);
  if (status == FB_E_BENCH_COMMAND) fb_error_hint(err, "if it is a builtin of the shell, say `-S`");
  return status;
}

static fb_status S_make_line(const fb_bench_command *command, const char *text, fb_arena *arena,
                             S_line *line, fb_error *err) {
  fb_words words;
  line->text = text;
  if (command->shell == FB_SHELL_ALWAYS) return S_shell_line(command, text, arena, line, err);
  fb_status status = fb_words_split(text, arena, &words, err);
  if (status) return status;
  if (words.needs_shell && command->shell != FB_SHELL_NEVER)
    return S_shell_line(command, text, arena, line, err);
  if (words.count == 0) return fb_fail(err, FB_E_BENCH_COMMAND, "a command is empty");
  return S_program_line(command, words.items, arena, line, err);
}

/* What surrounds the measured command: always as free as a shell is, for its time does not matter. */
static fb_status S_make_side_line(const fb_bench_command *command, const char *role,
                                  const char *text, fb_arena *arena, S_line *line, fb_error *err) {
  if (!text) return FB_OK;
  line->text = text;
  line->role = role;
  return S_shell_line(command, text, arena, line, err);
}

static bool S_is_variable(const char *entry, const char *name, size_t len) {
  return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

static fb_status S_make_count_env(S_command *self, fb_arena *arena, fb_error *err) {
  const fb_bench_command *command = self->command;
  const char *const *from = command->env ? command->env : (const char *const *)environ;
  const char *preload = NULL;
  size_t count = 0, at = 0;
  if (!command->counter) return FB_OK;
  while (from[count]) count++;
  const char **env = fb_arena_alloc(arena, (count + 3) * sizeof *env);
  self->count_file = fb_arena_alloc(arena, COUNT_FILE_MAX);
  for (size_t i = 0; i < count && env; i++)
    if (S_is_variable(from[i], "LD_PRELOAD", 10))
      preload = from[i] + 11;
    else
      env[at++] = from[i];
  const char *both = preload && *preload
                         ? fb_arena_printf(arena, "LD_PRELOAD=%s:%s", command->counter, preload)
                         : fb_arena_printf(arena, "LD_PRELOAD=%s", command->counter);
  if (!env || !both || !self->count_file) return fb_fail(err, FB_E_NOMEM, "out of memory");
  env[at++] = both;
  env[at++] = self->count_file;
  env[at] = NULL;
  self->count_env = env;
  return FB_OK;
}

/* ── Running ─────────────────────────────────────────────────────────────────────────────────── */

static fb_program S_program(const S_command *self, const S_line *line) {
  const fb_bench_command *command = self->command;
  return (fb_program){
      .path = line->path, .argv = line->argv, .env = command->env, .dir = command->dir};
}

/* The last line that was written, for the message. */
static void S_last_words(fb_buf *captured, fb_error *err) {
  fb_slice text = fb_buf_slice(captured);
  while (text.len && (unsigned char)text.ptr[text.len - 1] <= ' ') text.len--;
  size_t start = text.len;
  while (start && text.ptr[start - 1] != '\n') start--;
  int len = text.len - start > 160 ? 160 : (int)(text.len - start);
  if (len > 0 && fb_utf8_valid(text.ptr + start, (size_t)len, NULL))
    fb_error_hint(err, "it said: %.*s", len, text.ptr + start);
}

static fb_status S_judge(const S_line *line, const fb_program_end *end, fb_buf *captured,
                         fb_error *err) {
  if (end->code == 0) return FB_OK;
  if (end->timed_out)
    fb_fail(err, FB_E_BENCH_FAILED, "a run took longer than its time limit");
  else if (end->signal)
    fb_fail(err, FB_E_BENCH_FAILED, "ended by signal %d (%s)", end->signal, strsignal(end->signal));
  else
    fb_fail(err, FB_E_BENCH_FAILED, "ended with exit code %d", end->code);
  if (line->role) fb_error_prefix(err, "%s `%s`", line->role, line->text);
  S_last_words(captured, err);
  return FB_E_BENCH_FAILED;
}

/* setup, prepare, cleanup: what they write is shown only when they fail. */
static fb_status S_run_side_line(const S_command *self, const S_line *line, fb_error *err) {
  fb_reading reading;
  fb_program_end end;
  fb_buf captured;
  if (!line->path) return FB_OK;
  fb_buf_init(&captured, NULL, 0);
  fb_program program = S_program(self, line);
  program.out = program.err = FB_OUTPUT_CAPTURE;
  program.captured = &captured;
  fb_status status = fb_program_run(&program, &reading, &end, err);
  if (!status) status = S_judge(line, &end, &captured, err);
  fb_buf_release(&captured);
  return status;
}

static fb_status S_setup(void *context, fb_error *err) {
  S_command *self = context;
  return S_run_side_line(self, &self->setup, err);
}

static fb_status S_cleanup(void *context, fb_error *err) {
  S_command *self = context;
  return S_run_side_line(self, &self->cleanup, err);
}

static void S_take_off_shell(fb_bench_command *command, fb_reading *reading) {
  static const fb_measure times[] = {FB_MEASURE_WALL, FB_MEASURE_USER, FB_MEASURE_SYSTEM};
  if (!command->in_shell || !command->shell_cost) return;
  if (reading->values[FB_MEASURE_WALL] <= command->shell_cost->values[FB_MEASURE_WALL])
    command->below_shell++;
  for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
    double *value = &reading->values[times[i]];
    *value -= command->shell_cost->values[times[i]];
    if (*value < 0) *value = 0;
  }
}

static fb_status S_run_main(S_command *self, fb_program *program, fb_buf *captured, fb_reading *ret,
                            fb_error *err) {
  fb_bench_command *command = self->command;
  fb_program_end end;
  fb_status status = S_run_side_line(self, &self->prepare, err);
  if (!status) status = fb_program_run(program, ret, &end, err);
  if (status) return status;
  command->runs++;
  status = S_judge(&self->main, &end, captured, err);
  if (!status) return FB_OK;
  command->failures++;
  return command->ignore_failure ? FB_OK : status;
}

static fb_program S_main_program(const S_command *self) {
  const fb_bench_command *command = self->command;
  fb_program program = S_program(self, &self->main);
  program.input = command->input;
  program.output_file = command->output_file;
  program.out = program.err = command->output;
  program.timeout = command->timeout;
  return program;
}

/* The first run keeps what the program says, for if it fails it is this one as a rule. */
static fb_status S_run(void *context, bool first, fb_reading *ret, fb_error *err) {
  S_command *self = context;
  fb_program program = S_main_program(self);
  fb_buf captured;
  fb_buf_init(&captured, NULL, 0);
  if (first && program.err == FB_OUTPUT_NULL) {
    program.err = FB_OUTPUT_CAPTURE;
    program.captured = &captured;
  }
  fb_status status = S_run_main(self, &program, &captured, ret, err);
  fb_buf_release(&captured);
  if (!status) S_take_off_shell(self->command, ret);
  return status;
}

/* ── Counting ────────────────────────────────────────────────────────────────────────────────── */

/* The numbers are in memory that the program and all its children share with us, reached by a name under our own
 * process, so that nothing is left behind whoever dies. */
static fb_status S_count_into(S_command *self, int fd, fb_reading *ret, fb_error *err) {
  fb_buf captured;
  fb_counter_page *page = MAP_FAILED;
  if (ftruncate(fd, sizeof *page) == 0)
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return fb_fail(err, FB_E_IO, "no shared memory: %s", strerror(errno));
  snprintf(self->count_file, COUNT_FILE_MAX, FB_COUNTER_VARIABLE "=/proc/%ld/fd/%d", (long)getpid(),
           fd);
  fb_program program = S_main_program(self);
  program.env = self->count_env;
  fb_buf_init(&captured, NULL, 0);
  fb_reading times = {0};
  fb_status status = S_run_main(self, &program, &captured, &times, err);
  fb_buf_release(&captured);
  /* A static program, or one that may not be preloaded: then nobody came. */
  if (!status && page->processes) {
    fb_reading_set(ret, FB_MEASURE_ALLOCATIONS, (double)page->calls);
    fb_reading_set(ret, FB_MEASURE_ALLOCATED, (double)page->bytes);
    fb_reading_set(ret, FB_MEASURE_ALLOCATED_PEAK, (double)page->peak);
  }
  munmap(page, sizeof *page);
  return status;
}

static fb_status S_count(void *context, fb_reading *ret, fb_error *err) {
  S_command *self = context;
  int fd = memfd_create("flyball-count", MFD_CLOEXEC);
  if (fd < 0) return fb_fail(err, FB_E_IO, "no shared memory: %s", strerror(errno));
  fb_status status = S_count_into(self, fd, ret, err);
  close(fd);
  return status;
}

/* ── Outside ─────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_make_main(S_command *self, fb_arena *arena, fb_error *err) {
  fb_bench_command *command = self->command;
  if (command->text) return S_make_line(command, command->text, arena, &self->main, err);
  self->main.text = command->name;
  if (!command->argv || !command->argv[0])
    return fb_fail(err, FB_E_BENCH_COMMAND, "a command is empty");
  return S_program_line(command, command->argv, arena, &self->main, err);
}

fb_status fb_bench_command_init(fb_bench_command *command, fb_arena *arena, fb_candidate *ret,
                                fb_error *err) {
  S_command *self = fb_arena_zero(arena, sizeof *self);
  if (!self) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (!command->name) command->name = command->text ? command->text : command->argv[0];
  self->command = command;
  fb_status status = S_make_main(self, arena, err);
  if (!status)
    status = S_make_side_line(command, "setup", command->setup, arena, &self->setup, err);
  if (!status)
    status = S_make_side_line(command, "prepare", command->prepare, arena, &self->prepare, err);
  if (!status)
    status = S_make_side_line(command, "cleanup", command->cleanup, arena, &self->cleanup, err);
  if (!status) status = S_make_count_env(self, arena, err);
  if (status) return status;
  command->in_shell = self->main.in_shell;
  *ret = (fb_candidate){.name = command->name,
                        .setup = S_setup,
                        .cleanup = S_cleanup,
                        .run = S_run,
                        .count = command->counter ? S_count : NULL,
                        .context = self};
  return FB_OK;
}

fb_status fb_bench_needs_shell(const char *text, bool *ret, fb_error *err) {
  fb_arena arena;
  fb_words words;
  fb_arena_init(&arena, NULL, 0);
  fb_status status = fb_words_split(text, &arena, &words, err);
  if (!status) *ret = words.needs_shell;
  fb_arena_release(&arena);
  return status;
}

fb_status fb_bench_shell_cost(const char *shell_path, uint32_t runs, const fb_allocator *allocator,
                              fb_reading *ret, fb_error *err) {
  static const fb_measure times[] = {FB_MEASURE_WALL, FB_MEASURE_USER, FB_MEASURE_SYSTEM};
  fb_bench_command shell = {.text = "", .shell = FB_SHELL_ALWAYS, .shell_path = shell_path};
  fb_candidate candidate;
  fb_arena arena;
  fb_bench *bench = NULL;
  fb_random random;
  fb_reading cost = {0};
  fb_random_seed(&random, 1); /* of no consequence: one candidate has no order */
  fb_arena_init(&arena, allocator, 0);
  fb_status status = fb_bench_command_init(&shell, &arena, &candidate, err);
  fb_bench_options options = {.warmup = 2, .runs = runs, .random = &random};
  if (!status) status = fb_bench_run(&candidate, 1, &options, allocator, &bench, err);
  for (size_t i = 0; !status && i < sizeof times / sizeof *times; i++) {
    fb_bench_figure figure;
    status = fb_bench_figure_of(bench, 0, times[i], &random, &figure, err);
    if (!status) fb_reading_set(&cost, times[i], figure.summary.median);
  }
  fb_bench_free(bench);
  fb_arena_release(&arena);
  if (!status) *ret = cost;
  return status;
}
