/* SPDX-License-Identifier: Apache-2.0
 * Benchmarks: the order of runs, how many, what fails; programs and what they took; words and sweeps; reports. */
#include "test.h"

#include <flyball/bench.h>
#include <flyball/proof.h>

#include <linux/perf_event.h>
#include <sys/stat.h>
#include <unistd.h>

/* ── Candidates that take as long as they say, on a clock that only they move ────────────────── */

typedef struct S_made {
  int64_t *now;
  int64_t takes; /* ns */
  size_t runs, fails_at;
  char **log; /* a letter for each run of any candidate; NULL: none */
  char letter;
  int set_up, cleaned_up;
} S_made;

static int64_t S_mono(void *context) {
  return *(int64_t *)context;
}

static fb_status S_set_up(void *context, fb_error *err) {
  ((S_made *)context)->set_up++;
  return FB_OK;
}

static fb_status S_clean_up(void *context, fb_error *err) {
  ((S_made *)context)->cleaned_up++;
  return FB_OK;
}

static fb_status S_run(void *context, bool first, fb_reading *ret, fb_error *err) {
  S_made *made = context;
  assert_int_equal(first, made->runs == 0);
  if (++made->runs == made->fails_at) return fb_fail(err, FB_E_BENCH_FAILED, "broke");
  *made->now += made->takes;
  if (made->log) *(*made->log)++ = made->letter;
  fb_reading_set(ret, FB_MEASURE_WALL, 1e-9 * (double)made->takes + 1e-12 * (double)made->runs);
  return FB_OK;
}

static fb_candidate S_candidate(const char *name, S_made *made) {
  return (fb_candidate){name, S_set_up, S_clean_up, S_run, NULL, made};
}

static void test_fixed_runs(void **state) {
  int64_t now = 0;
  S_made a = {.now = &now, .takes = 1000}, b = {.now = &now, .takes = 2000};
  fb_candidate candidates[] = {S_candidate("a", &a), S_candidate("b", &b)};
  fb_clock clock = {S_mono, S_mono, &now};
  fb_random random;
  fb_bench *bench;
  fb_random_seed(&random, 7);
  fb_bench_options options = {.warmup = 2, .runs = 25, .clock = &clock, .random = &random};
  assert_int_equal(fb_bench_run(candidates, 2, &options, NULL, &bench, NULL), FB_OK);
  assert_int_equal(a.runs, 27);
  assert_int_equal(bench->sides[0].count, 25);
  assert_int_equal(bench->sides[1].count, 25);
  assert_true(bench->paired);
  assert_false(bench->cut_short || bench->ended);
  assert_int_equal(a.set_up, 1);
  assert_int_equal(b.cleaned_up, 1);
  fb_bench_ratio ratio;
  assert_int_equal(fb_bench_compare(bench, 1, 0, FB_MEASURE_WALL, &random, &ratio, NULL), FB_OK);
  assert_int_equal(ratio.verdict, FB_BENCH_MORE);
  assert_true(ratio.ratio > 1.9 && ratio.ratio < 2.1);
  fb_bench_figure figure;
  assert_int_equal(fb_bench_figure_of(bench, 0, FB_MEASURE_MEMORY, &random, &figure, NULL),
                   FB_DONE);
  fb_bench_free(bench);
}

/* In every round each has its turn, in an order that the seed draws. */
static void S_turns(uint64_t seed, char *log) {
  int64_t now = 0;
  S_made a = {.now = &now, .takes = 10, .letter = 'a', .log = &log}, b = a;
  fb_clock clock = {S_mono, S_mono, &now};
  fb_candidate candidates[] = {S_candidate("a", &a), S_candidate("b", &b)};
  fb_random random;
  fb_bench *bench;
  b.letter = 'b';
  fb_random_seed(&random, seed);
  fb_bench_options options = {.warmup = 1, .runs = 40, .clock = &clock, .random = &random};
  assert_int_equal(fb_bench_run(candidates, 2, &options, NULL, &bench, NULL), FB_OK);
  fb_bench_free(bench);
}

static void test_turns(void **state) {
  char one[100] = {0}, again[100] = {0}, other[100] = {0};
  size_t b_first = 0;
  S_turns(1, one);
  S_turns(1, again);
  S_turns(2, other);
  assert_int_equal(strlen(one), 82);
  for (size_t i = 0; i < 82; i += 2) {
    assert_int_not_equal(one[i], one[i + 1]);
    b_first += one[i] == 'b';
  }
  assert_in_range(b_first, 8, 33);
  assert_string_equal(one, again);
  assert_string_not_equal(one, other);
}

static void test_runs_by_time(void **state) {
  int64_t now = 0;
  S_made fast = {.now = &now, .takes = 1000000}, slow = {.now = &now, .takes = 100000000};
  fb_candidate candidates[] = {S_candidate("fast", &fast), S_candidate("slow", &slow)};
  fb_clock clock = {S_mono, S_mono, &now};
  fb_random random;
  fb_bench *bench;
  fb_random_seed(&random, 1);
  fb_bench_options options = {
      .min_time = 1000000000, .max_runs = 500, .clock = &clock, .random = &random};
  assert_int_equal(fb_bench_run(candidates, 2, &options, NULL, &bench, NULL), FB_OK);
  assert_int_equal(bench->sides[0].count, 500);
  assert_in_range(bench->sides[1].count, 10, 12);
  assert_false(bench->paired);
  fb_bench_free(bench);
  fast.runs = slow.runs = 0;
  options.max_time = 600000000;
  now = 0;
  assert_int_equal(fb_bench_run(candidates, 2, &options, NULL, &bench, NULL), FB_OK);
  assert_true(bench->cut_short);
  assert_in_range(bench->sides[1].count, 4, 8);
  fb_bench_free(bench);
}

static void test_failure_is_no_measurement(void **state) {
  int64_t now = 0;
  S_made good = {.now = &now, .takes = 10}, bad = {.now = &now, .takes = 10, .fails_at = 5};
  fb_candidate candidates[] = {S_candidate("good", &good), S_candidate("bad", &bad)};
  fb_clock clock = {S_mono, S_mono, &now};
  fb_random random;
  fb_bench *bench = NULL;
  fb_error err;
  fb_random_seed(&random, 1);
  fb_bench_options options = {.runs = 20, .clock = &clock, .random = &random};
  assert_int_equal(fb_bench_run(candidates, 2, &options, NULL, &bench, &err), FB_E_BENCH_FAILED);
  assert_null(bench);
  assert_string_equal(err.text, "bad: broke");
  assert_int_equal(good.cleaned_up, 1);
  assert_int_equal(bad.cleaned_up, 1);
}

static bool S_after_ten(void *context) {
  return ++*(int *)context > 10;
}

static void test_ended(void **state) {
  int64_t now = 0;
  int asked = 0;
  S_made a = {.now = &now, .takes = 10, .fails_at = 11}; /* the run that is ended may fail */
  fb_candidate candidate = S_candidate("a", &a);
  fb_clock clock = {S_mono, S_mono, &now};
  fb_random random;
  fb_bench *bench;
  fb_random_seed(&random, 1);
  fb_bench_options options = {
      .runs = 50, .clock = &clock, .random = &random, .ended = S_after_ten, .context = &asked};
  assert_int_equal(fb_bench_run(&candidate, 1, &options, NULL, &bench, NULL), FB_OK);
  assert_true(bench->ended);
  assert_int_equal(bench->sides[0].count, 10);
  fb_bench_free(bench);
}

/* ── Reports ─────────────────────────────────────────────────────────────────────────────────── */

static bool S_report_with(const fb_allocator *allocator) {
  int64_t now = 0;
  S_made a = {.now = &now, .takes = 1000}, b = {.now = &now, .takes = 500};
  fb_candidate candidates[] = {S_candidate("<a>", &a), S_candidate("=b,\"|", &b)};
  fb_clock clock = {S_mono, S_mono, &now};
  fb_random random;
  fb_bench *bench;
  fb_arena arena;
  fb_random_seed(&random, 7);
  fb_bench_options options = {.runs = 8, .clock = &clock, .random = &random};
  if (fb_bench_run(candidates, 2, &options, allocator, &bench, NULL)) return false;
  fb_environment environment = {.cpu = "a processor", .processors = 1};
  fb_bench_about about[] = {{.kind = "command", .what = "<a>"}, {.kind = "command", .what = "b"}};
  fb_bench_report report = {.bench = bench, .about = about, .environment = &environment, .seed = 7};
  fb_arena_init(&arena, allocator, 0);
  bool good = fb_bench_report_judge(&report, &arena, NULL) == FB_OK;
  void (*const writers[])(const fb_bench_report *, fb_buf *) = {
      fb_bench_write_csv, fb_bench_write_markdown, fb_bench_write_html, fb_bench_write_text};
  for (size_t i = 0; i < 5 && good; i++) {
    fb_buf out;
    fb_buf_init(&out, allocator, 0);
    if (i < 4)
      writers[i](&report, &out);
    else
      fb_bench_write_json(&report, true, &out);
    good = !out.failed;
    if (good && i == 0) assert_non_null(strstr(out.ptr, "\"'=b,\"\"|\""));
    if (good && i == 2) assert_null(strstr(out.ptr, "<a>"));
    if (good && i == 3) assert_non_null(strstr(out.ptr, "2.00 times faster"));
    if (good && i == 4) {
      fb_value value;
      fb_arena own;
      fb_arena_init(&own, NULL, 0);
      assert_int_equal(fb_json_read(fb_buf_slice(&out), "report", NULL, &own, &value, NULL), FB_OK);
      fb_arena_release(&own);
    }
    fb_buf_release(&out);
  }
  fb_arena_release(&arena);
  fb_bench_free(bench);
  return good;
}

static void test_report(void **state) {
  fb_test_each_failure(S_report_with);
}

static void test_formats(void **state) {
  const struct {
    fb_measure measure;
    double value;
    const char *text;
  } cases[] = {{FB_MEASURE_WALL, 0.0000000012, "1.20 ns"}, {FB_MEASURE_WALL, 0.0123, "12.3 ms"},
               {FB_MEASURE_WALL, 1.5, "1.500 s"},          {FB_MEASURE_WALL, 0, "0 s"},
               {FB_MEASURE_MEMORY, 1234567, "1.23 MB"},    {FB_MEASURE_ALLOCATIONS, 17, "17"},
               {FB_MEASURE_ALLOCATIONS, 999.6, "1.00 k"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[24];
    fb_measure_format(cases[i].measure, cases[i].value, text);
    assert_string_equal(text, cases[i].text);
  }
}

/* ── Programs ────────────────────────────────────────────────────────────────────────────────── */

static void test_program(void **state) {
  fb_reading reading = {0};
  fb_program_end end;
  fb_buf captured;
  fb_buf_init(&captured, NULL, 0);
  const char *const argv[] = {"sh", "-c", "echo out; echo err >&2; exit 3", NULL};
  fb_program program = {.path = "/bin/sh",
                        .argv = argv,
                        .out = FB_OUTPUT_CAPTURE,
                        .err = FB_OUTPUT_CAPTURE,
                        .captured = &captured};
  assert_int_equal(fb_program_run(&program, &reading, &end, NULL), FB_OK);
  assert_int_equal(end.code, 3);
  assert_string_equal(captured.ptr, "out\nerr\n");
  assert_true(fb_reading_has(&reading, FB_MEASURE_WALL) && reading.values[FB_MEASURE_WALL] > 0);
  assert_true(reading.values[FB_MEASURE_MEMORY] > 100000);
  fb_buf_release(&captured);
}

static void test_program_signal_and_timeout(void **state) {
  fb_reading reading;
  fb_program_end end;
  const char *const kill_self[] = {"sh", "-c", "kill -9 $$", NULL};
  const char *const sleepy[] = {"sh", "-c", "sleep 100 & sleep 100", NULL};
  fb_program program = {.path = "/bin/sh", .argv = kill_self};
  assert_int_equal(fb_program_run(&program, &reading, &end, NULL), FB_OK);
  assert_int_equal(end.code, -1);
  assert_int_equal(end.signal, 9);
  program.argv = sleepy;
  program.timeout = 50000000;
  program.out = FB_OUTPUT_PIPE; /* which the processes left behind would hold open */
  assert_int_equal(fb_program_run(&program, &reading, &end, NULL), FB_OK);
  assert_true(end.timed_out);
  assert_true(reading.values[FB_MEASURE_WALL] < 20);
}

static void test_program_that_is_none(void **state) {
  fb_reading reading;
  fb_program_end end;
  fb_error err;
  const char *const argv[] = {"x", NULL};
  fb_program program = {.path = "/nowhere/x", .argv = argv};
  assert_int_equal(fb_program_run(&program, &reading, &end, &err), FB_E_IO);
  assert_non_null(strstr(err.text, "No such file"));
  program = (fb_program){.path = "/bin/true", .argv = argv, .dir = "/nowhere"};
  assert_int_equal(fb_program_run(&program, &reading, &end, &err), FB_E_IO);
  program = (fb_program){.path = "/bin/true", .argv = argv, .input = "/nowhere"};
  assert_int_equal(fb_program_run(&program, &reading, &end, &err), FB_E_IO);
}

/* Counters of software, which every kernel with perf events has: that they begin at exec and add up children shows
 * the way in which those of the processor are read. */
static void test_program_events(void **state) {
  static const fb_perf_event events[] = {
      {PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, FB_MEASURE_INSTRUCTIONS}};
  fb_reading one = {0}, many = {0};
  fb_program_end end;
  const char *const once[] = {"sh", "-c", ":", NULL};
  const char *const often[] = {"sh", "-c", "for i in 1 2 3 4 5 6; do /bin/true; done", NULL};
  fb_program program = {.path = "/bin/sh", .argv = once, .events = events, .event_count = 1};
  assert_int_equal(fb_program_run(&program, &one, &end, NULL), FB_OK);
  if (!fb_reading_has(&one, FB_MEASURE_INSTRUCTIONS)) skip(); /* the kernel does not allow it */
  program.argv = often;
  assert_int_equal(fb_program_run(&program, &many, &end, NULL), FB_OK);
  assert_true(many.values[FB_MEASURE_INSTRUCTIONS] > 2 * one.values[FB_MEASURE_INSTRUCTIONS]);
}

static void test_self(void **state) {
  fb_self self;
  fb_reading reading = {0};
  fb_self_open(&self);
  fb_self_begin(&self);
  volatile uint64_t sum = 0;
  for (int i = 0; i < 30000000; i++) sum += (uint64_t)i;
  fb_self_end(&self, &reading);
  fb_self_close(&self);
  assert_true(sum > 0);
  assert_true(reading.values[FB_MEASURE_WALL] > 0);
  assert_true(reading.values[FB_MEASURE_USER] > 0);
}

/* ── Commands ────────────────────────────────────────────────────────────────────────────────── */

static void test_needs_shell(void **state) {
  static const struct {
    const char *text;
    int shell; /* -1: an error */
  } cases[] = {{"sort -n a.txt", 0},
               {"sort 'a b' \"c d\"", 0},
               {"a | b", 1},
               {"a > b", 1},
               {"echo $HOME", 1},
               {"echo '$HOME'", 0},
               {"echo \"$HOME\"", 1},
               {"echo \\$HOME", 0},
               {"ls *.c", 1},
               {"ls '*.c'", 0},
               {"A=b c", 1},
               {"c --a=b", 0},
               {"cd ~", 1},
               {"a~b c", 0},
               {"echo \"a", -1},
               {"echo 'a", -1},
               {"", -1},
               {"   ", -1},
               {"a; b", 1},
               {"echo a#b", 0},
               {"a # b", 1},
               {"awk '{print $1}' x", 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    bool shell = false;
    fb_status status = fb_bench_needs_shell(cases[i].text, &shell, NULL);
    if (status != (cases[i].shell < 0 ? FB_E_BENCH_COMMAND : FB_OK) ||
        (cases[i].shell >= 0 && shell != cases[i].shell))
      fail_msg("%s", cases[i].text);
  }
}

static bool S_command_with(const fb_allocator *allocator) {
  fb_arena arena;
  fb_candidate candidate;
  fb_bench_command command = {.text = "printf '%s' \"a b\"", .counter = "/x.so"};
  fb_arena_init(&arena, allocator, 64);
  bool good = fb_bench_command_init(&command, &arena, &candidate, NULL) == FB_OK;
  fb_arena_release(&arena);
  return good;
}

static void test_command_memory(void **state) {
  fb_test_each_failure(S_command_with);
}

/* prepare runs before each run, setup and cleanup once; what was in place is what the command sees. */
static void test_command_around(void **state) {
  char folder[] = "/tmp/flyball-test.XXXXXX", line[256];
  assert_non_null(mkdtemp(folder));
  fb_arena arena;
  fb_candidate candidate;
  fb_random random;
  fb_bench *bench;
  fb_random_seed(&random, 1);
  fb_bench_command command = {
      .text = "sh -c 'test -e there && rm there'",
      .setup = "echo s >> log",
      .prepare = "echo p >> log; touch there",
      .cleanup = "test $(grep -c p log) = 7 && test $(grep -c s log) = 1 && rm log",
      .dir = folder};
  fb_arena_init(&arena, NULL, 0);
  assert_int_equal(fb_bench_command_init(&command, &arena, &candidate, NULL), FB_OK);
  assert_false(command.in_shell);
  fb_bench_options options = {.warmup = 2, .runs = 5, .random = &random};
  fb_error err = {0};
  if (fb_bench_run(&candidate, 1, &options, NULL, &bench, &err))
    fail_msg("%s %s", err.text, err.hint);
  assert_int_equal(command.runs, 7);
  fb_bench_free(bench);
  command.prepare = "exit 9";
  assert_int_equal(fb_bench_command_init(&command, &arena, &candidate, NULL), FB_OK);
  assert_int_equal(fb_bench_run(&candidate, 1, &options, NULL, &bench, &err), FB_E_BENCH_FAILED);
  assert_non_null(strstr(err.text, "prepare `exit 9`: ended with exit code 9"));
  fb_arena_release(&arena);
  snprintf(line, sizeof line, "%s/log", folder);
  unlink(line);
  assert_int_equal(rmdir(folder), 0);
}

/* ── Sweeps ──────────────────────────────────────────────────────────────────────────────────── */

static bool S_sweep_with(const fb_allocator *allocator) {
  fb_arena arena;
  fb_bench_parameter p[2];
  size_t all;
  const char *text;
  uint32_t used = 0;
  bool good = false;
  fb_arena_init(&arena, allocator, 64);
  if (!fb_bench_parameter_parse("n=1..3", &arena, &p[0], NULL) &&
      !fb_bench_parameter_parse("kind=x,y", &arena, &p[1], NULL) &&
      !fb_bench_combinations(p, 2, &all, NULL) &&
      !fb_bench_substitute("{n}-{kind} {print $1} {}", p, 2, 5, &arena, &used, &text, NULL)) {
    good = true;
    assert_int_equal(all, 6);
    assert_string_equal(text, "3-y {print $1} {}");
    assert_int_equal(used, 3);
  }
  fb_arena_release(&arena);
  return good;
}

static void test_sweep(void **state) {
  fb_test_each_failure(S_sweep_with);
}

static void test_ranges(void **state) {
  static const struct {
    const char *text, *values; /* NULL: an error */
  } cases[] = {{"n=1..4", "1 2 3 4 "},
               {"n=0..1:0.25", "0.00 0.25 0.50 0.75 1.00 "},
               {"n=0.1..0.3:0.1", "0.1 0.2 0.3 "},
               {"n=-1..1", "-1 0 1 "},
               {"n=2..9:3", "2 5 8 "},
               {"n=a..b", "a..b "},
               {"n=a,,b", "a  b "},
               {"n=5..1", NULL},
               {"n=1..5:0", NULL},
               {"n=1..5000", NULL},
               {"n=", NULL},
               {"=a", NULL},
               {"n", NULL},
               {"a b=c", NULL},
               {"n=1..2:-1", NULL}};
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fb_bench_parameter p;
    char got[200] = "";
    fb_status status = fb_bench_parameter_parse(cases[i].text, &arena, &p, NULL);
    if (!cases[i].values) {
      assert_int_equal(status, FB_E_BENCH_PARAMETER);
      continue;
    }
    assert_int_equal(status, FB_OK);
    size_t at = 0;
    for (size_t k = 0; k < p.count; k++)
      at += (size_t)snprintf(got + at, sizeof got - at, "%s ", p.values[k]);
    assert_string_equal(got, cases[i].values);
  }
  fb_arena_release(&arena);
}

/* ── Environment ─────────────────────────────────────────────────────────────────────────────── */

static void S_put(const char *root, const char *path, const char *text) {
  char full[512];
  snprintf(full, sizeof full, "%s%s", root, path);
  for (char *at = full + strlen(root) + 1; *at; at++) {
    if (*at != '/') continue;
    *at = 0;
    mkdir(full, 0700);
    *at = '/';
  }
  FILE *file = fopen(full, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static void test_environment(void **state) {
  char root[] = "/tmp/flyball-test.XXXXXX", command[100];
  assert_non_null(mkdtemp(root));
  S_put(root, "/proc/cpuinfo",
        "processor : 0\nmodel name : Some CPU @ 3 GHz\nflags : a hypervisor b\n");
  S_put(root, "/proc/loadavg", "64.00 1.00 1.00 1/1 1\n");
  S_put(root, "/proc/meminfo", "MemTotal:  8388608 kB\n");
  S_put(root, "/proc/sys/kernel/randomize_va_space", "2\n");
  S_put(root, "/etc/os-release", "NAME=x\nPRETTY_NAME=\"An OS 1\"\n");
  S_put(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
  S_put(root, "/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n");
  S_put(root, "/sys/devices/system/cpu/intel_pstate/no_turbo", "0\n");
  S_put(root, "/.dockerenv", "");
  fb_environment env, none;
  fb_environment_read(root, &env);
  assert_string_equal(env.cpu, "Some CPU @ 3 GHz");
  assert_string_equal(env.system, "An OS 1");
  assert_string_equal(env.governor, "mixed");
  assert_string_equal(env.container, "docker");
  assert_int_equal(env.memory, INT64_C(8388608) * 1024);
  assert_int_equal(env.turbo, 1);
  assert_int_equal(env.aslr, 2);
  assert_true(env.virtual_machine);
  assert_true(env.warning_count >= 5);
  snprintf(command, sizeof command, "%s/nothing", root);
  fb_environment_read(command, &none);
  assert_int_equal(none.turbo, -1);
  assert_string_equal(none.governor, "");
  assert_string_not_equal(none.fingerprint, env.fingerprint);
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_char(&out, '{');
  fb_environment_json(&none, &out);
  fb_buf_char(&out, '}');
  fb_arena arena;
  fb_value value;
  fb_arena_init(&arena, NULL, 0);
  assert_int_equal(fb_json_read(fb_buf_slice(&out), "env", NULL, &arena, &value, NULL), FB_OK);
  fb_arena_release(&arena);
  fb_buf_release(&out);
  fb_reading reading;
  fb_program_end end;
  const char *const argv[] = {"rm", "-rf", root, NULL};
  assert_int_equal(
      fb_program_run(&(fb_program){.path = "/bin/rm", .argv = argv}, &reading, &end, NULL), FB_OK);
}

static void test_count_allocator(void **state) {
  fb_count_allocator count;
  fb_count_allocator_init(&count, NULL);
  void *a = fb_alloc(&count.allocator, 100), *b = fb_alloc(&count.allocator, 50);
  a = fb_resize(&count.allocator, a, 100, 200);
  fb_free(&count.allocator, b, 50);
  assert_int_equal(count.calls, 3);
  assert_int_equal(count.bytes, 350);
  assert_int_equal(count.live, 200);
  assert_int_equal(count.peak, 250);
  fb_free(&count.allocator, a, 200);
  assert_int_equal(count.live, 0);
}

/* ── Functions ───────────────────────────────────────────────────────────────────────────────── */

/* Time goes on by 10 ns with each look at the clock, and by 100 ns with each turn. */
static int64_t S_function_now;
static int64_t S_ticking(void *context) {
  (void)context;
  return S_function_now += 10;
}

static void S_turn(fb_bench_state *bench) {
  FB_BENCH_LOOP(bench) {
    S_function_now += bench->arg;
  }
}

static void S_no_loop(fb_bench_state *bench) {
  S_function_now += bench->arg;
}

static void S_two_loops(fb_bench_state *bench) {
  S_turn(bench);
  S_turn(bench);
}

static void S_keep_line(void *context, fb_slice line) {
  fb_buf_add(context, line.ptr, line.len);
}

static const int64_t S_args[] = {100, 5000};

static void test_functions(void **state) {
  static const fb_bench_function turn = {"turn", S_turn, S_args, 2, 1};
  const fb_bench_function *const functions[] = {&turn};
  fb_clock clock = {S_ticking, S_ticking, NULL};
  fb_bench_functions_options options = {.samples = 7, .sample_time = 1000000, .clock = &clock};
  fb_buf out;
  fb_arena arena;
  fb_value value;
  fb_buf_init(&out, NULL, 0);
  fb_arena_init(&arena, NULL, 0);
  assert_int_equal(fb_bench_functions_run(functions, 1, &options, NULL, S_keep_line, &out, NULL),
                   FB_OK);
  const char *first = out.ptr;
  fb_slice line = {first, (size_t)(strchr(first, '\n') - first)};
  assert_int_equal(fb_json_read(line, "line", NULL, &arena, &value, NULL), FB_OK);
  const fb_map *map = value.as.map;
  assert_true(fb_slice_equal(fb_value_text(*fb_map_get_text(map, FB_SLICE("workload"))),
                             FB_SLICE("turn/100")));
  /* The clock's own 10 ns are taken off: a turn is exactly 100. */
  assert_true(fb_map_get_text(map, FB_SLICE("median"))->as.d == 100.0);
  assert_true(fb_map_get_text(map, FB_SLICE("clock_cost"))->as.d == 10.0);
  assert_int_equal(fb_map_get_text(map, FB_SLICE("iterations"))->as.i, 10000);
  assert_null(
      fb_map_get_text(map, FB_SLICE("low"))); /* all the same: there is nothing to estimate */
  fb_arena_release(&arena);
  fb_buf_release(&out);
}

static void test_functions_without_a_loop(void **state) {
  static const fb_bench_function bad[] = {{"none", S_no_loop, NULL, 0, 1},
                                          {"two", S_two_loops, NULL, 0, 2}};
  for (size_t i = 0; i < 2; i++) {
    const fb_bench_function *const functions[] = {&bad[i]};
    fb_buf out;
    fb_error err;
    fb_buf_init(&out, NULL, 0);
    assert_int_equal(fb_bench_functions_run(functions, 1, NULL, NULL, S_keep_line, &out, &err),
                     FB_E_BENCH_FAILED);
    assert_int_equal(out.len, 0);
    assert_string_equal(err.text, i ? "two: it has 2 loops" : "none: it has 0 loops");
    fb_buf_release(&out);
  }
}

static bool S_functions_with(const fb_allocator *allocator) {
  static const fb_bench_function turn = {"turn", S_turn, S_args, 2, 1};
  const fb_bench_function *const functions[] = {&turn};
  fb_clock clock = {S_ticking, S_ticking, NULL};
  fb_bench_functions_options options = {.samples = 7, .sample_time = 10000, .clock = &clock};
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_status status =
      fb_bench_functions_run(functions, 1, &options, allocator, S_keep_line, &out, NULL);
  fb_buf_release(&out);
  return status == FB_OK;
}

static void test_functions_memory(void **state) {
  fb_test_each_failure(S_functions_with);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fixed_runs),
      cmocka_unit_test(test_turns),
      cmocka_unit_test(test_runs_by_time),
      cmocka_unit_test(test_failure_is_no_measurement),
      cmocka_unit_test(test_ended),
      cmocka_unit_test(test_report),
      cmocka_unit_test(test_formats),
      cmocka_unit_test(test_program),
      cmocka_unit_test(test_program_signal_and_timeout),
      cmocka_unit_test(test_program_that_is_none),
      cmocka_unit_test(test_program_events),
      cmocka_unit_test(test_self),
      cmocka_unit_test(test_needs_shell),
      cmocka_unit_test(test_command_memory),
      cmocka_unit_test(test_command_around),
      cmocka_unit_test(test_sweep),
      cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_environment),
      cmocka_unit_test(test_count_allocator),
      cmocka_unit_test(test_functions),
      cmocka_unit_test(test_functions_without_a_loop),
      cmocka_unit_test(test_functions_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
