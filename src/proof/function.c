/* SPDX-License-Identifier: Apache-2.0
 * Benchmarks of C functions: how many turns a sample takes, samples in random order, one line of JSON for each. */
#include <flyball/bench.h>
#include <flyball/proof.h>

#include <math.h>
#include <stdlib.h>
#include <time.h>

enum { SAMPLES = 30, CLOCK_SAMPLES = 201 };
#define SAMPLE_TIME INT64_C(5000000)
#define MOST_ITERATIONS (UINT64_C(1) << 40)

/* Processor time of this thread: what neighbours do not lengthen. */
static int64_t S_cpu(const fb_bench_state *bench) {
  struct timespec t;
  if (!bench->cpu_clock || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t)) return -1;
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t fb_bench_begin(fb_bench_state *bench) {
  bench->loops++;
  if (bench->self) fb_self_begin(bench->self);
  bench->cpu = S_cpu(bench);
  bench->start = bench->clock->mono(bench->clock->context);
  return bench->iterations;
}

bool fb_bench_end(fb_bench_state *bench) {
  bench->elapsed = bench->clock->mono(bench->clock->context) - bench->start;
  if (bench->cpu >= 0) bench->cpu = S_cpu(bench) - bench->cpu;
  if (bench->self) {
    fb_reading reading = {0};
    fb_self_end(bench->self, &reading);
    bench->instructions = fb_reading_has(&reading, FB_MEASURE_INSTRUCTIONS)
                              ? reading.values[FB_MEASURE_INSTRUCTIONS]
                              : -1;
  }
  return false;
}

/* A function with one of its arguments. */
typedef struct S_case {
  const fb_bench_function *function;
  int64_t arg;
  size_t number; /* in the order found */
  char name[128];
  uint64_t iterations;
  double *nanos, *cpu, *instructions; /* samples, for one turn */
  bool counted;                       /* instructions are known */
} S_case;

typedef struct S_suite {
  fb_bench_functions_options options;
  fb_arena arena;
  fb_random random;
  fb_self self;
  bool counting;
  S_case *cases;
  uint32_t *order;
  size_t count;
  double clock_cost, cpu_cost; /* ns, of a begin and an end, by each clock */
  bool cpu;                    /* processor time is known: the clock is the system's */
  void (*line)(void *context, fb_slice line);
  void *context;
} S_suite;

/* ── One sample ──────────────────────────────────────────────────────────────────────────────── */

static fb_status S_sample(S_suite *suite, S_case *one, fb_bench_state *ret, fb_error *err) {
  fb_bench_state bench = {.arg = one->arg,
                          .iterations = one->iterations,
                          .clock = suite->options.clock,
                          .cpu_clock = suite->cpu,
                          .self = suite->counting ? &suite->self : NULL,
                          .instructions = -1};
  one->function->run(&bench);
  if (bench.loops != 1) {
    fb_fail(err, FB_E_BENCH_FAILED, "%s: it has %u loops", one->name, bench.loops);
    fb_error_hint(err, "what is measured stands in exactly one FB_BENCH_LOOP(bench) { … }");
    return FB_E_BENCH_FAILED;
  }
  *ret = bench;
  return FB_OK;
}

static void S_nothing(fb_bench_state *bench) {
  FB_BENCH_LOOP(bench) {
    FB_BENCH_CLOBBER();
  }
}

/* The medians of a begin and an end with one empty turn between them. */
static void S_clock_costs(S_suite *suite) {
  static const fb_bench_function nothing = {.name = "nothing", .run = S_nothing};
  S_case one = {.function = &nothing, .iterations = 1};
  double samples[CLOCK_SAMPLES], cpu[CLOCK_SAMPLES];
  fb_bench_state bench = {0};
  for (size_t i = 0; i < CLOCK_SAMPLES; i++) {
    S_sample(suite, &one, &bench, NULL);
    samples[i] = (double)bench.elapsed;
    cpu[i] = (double)bench.cpu;
  }
  fb_samples_sort(samples, CLOCK_SAMPLES);
  fb_samples_sort(cpu, CLOCK_SAMPLES);
  suite->clock_cost = fb_samples_quantile(samples, CLOCK_SAMPLES, 0.5);
  suite->cpu_cost = fb_samples_quantile(cpu, CLOCK_SAMPLES, 0.5);
}

/* The shortest of three: one that was interrupted would look as if fewer turns were enough. */
static fb_status S_shortest(S_suite *suite, S_case *one, double *ret, fb_error *err) {
  fb_bench_state bench;
  *ret = INFINITY;
  for (int i = 0; i < 3; i++) {
    fb_status status = S_sample(suite, one, &bench, err);
    if (status) return status;
    double took = (double)bench.elapsed - suite->clock_cost;
    if (took < *ret) *ret = took;
  }
  return FB_OK;
}

/* Turns so that a sample takes about sample_time: up by ten, then to the point. */
static fb_status S_calibrate(S_suite *suite, S_case *one, fb_error *err) {
  double wanted = (double)suite->options.sample_time;
  double took;
  for (one->iterations = 1;;) {
    fb_status status = S_shortest(suite, one, &took, err);
    if (status) return status;
    if (took >= wanted || one->iterations >= MOST_ITERATIONS) return FB_OK;
    double factor = took > wanted / 100 ? wanted / took : 10;
    uint64_t next = (uint64_t)ceil((double)one->iterations * factor);
    bool near = took > wanted / 2;
    one->iterations = next > MOST_ITERATIONS ? MOST_ITERATIONS : next;
    if (near) return FB_OK;
  }
}

/* ── All of them ─────────────────────────────────────────────────────────────────────────────── */

static void S_shuffle(S_suite *suite) {
  for (size_t i = suite->count; i > 1; i--) {
    size_t other = (size_t)fb_random_below(&suite->random, i);
    uint32_t turn = suite->order[i - 1];
    suite->order[i - 1] = suite->order[other];
    suite->order[other] = turn;
  }
}

static fb_status S_measure(S_suite *suite, fb_error *err) {
  fb_status status = FB_OK;
  S_clock_costs(suite);
  for (size_t i = 0; i < suite->count && !status; i++)
    status = S_calibrate(suite, &suite->cases[i], err);
  for (uint32_t s = 0; s < suite->options.samples && !status; s++) {
    S_shuffle(suite);
    for (size_t i = 0; i < suite->count && !status; i++) {
      S_case *one = &suite->cases[suite->order[i]];
      fb_bench_state bench = {0};
      status = S_sample(suite, one, &bench, err);
      double nanos = ((double)bench.elapsed - suite->clock_cost) / (double)one->iterations;
      double cpu = ((double)bench.cpu - suite->cpu_cost) / (double)one->iterations;
      one->nanos[s] = nanos > 0 ? nanos : 0;
      one->cpu[s] = cpu > 0 ? cpu : 0;
      one->instructions[s] = bench.instructions / (double)one->iterations;
      if (bench.instructions < 0) one->counted = false;
    }
  }
  return status;
}

/* ── Lines ───────────────────────────────────────────────────────────────────────────────────── */

static void S_number(fb_buf *out, const char *before, double number) {
  char text[32];
  fb_double_format(number, text);
  fb_buf_text(out, before);
  fb_buf_text(out, text);
}

static fb_status S_judge(S_suite *suite, const double *samples, fb_buf *out, fb_error *err) {
  fb_summary summary;
  fb_bootstrap bootstrap;
  uint32_t count = suite->options.samples;
  fb_status status = fb_summarize(samples, count, suite->arena.allocator, &summary, err);
  if (status) return status;
  S_number(out, ",\"median\":", summary.median);
  if (count >= FB_SAMPLES_MIN && summary.min < summary.max) {
    status = fb_bootstrap_median(samples, count, 0, &suite->random, suite->arena.allocator,
                                 &bootstrap, err);
    if (status) return status;
    fb_interval interval = fb_bootstrap_interval(&bootstrap, 0.95);
    fb_bootstrap_release(&bootstrap);
    S_number(out, ",\"low\":", interval.low);
    S_number(out, ",\"high\":", interval.high);
  }
  S_number(out, ",\"min\":", summary.min);
  return FB_OK;
}

static fb_status S_line(S_suite *suite, const S_case *one, const char *metric, const char *unit,
                        double clock_cost, const double *samples, fb_error *err) {
  fb_buf out;
  fb_buf_init(&out, suite->arena.allocator, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.result.v1\",\"bench\":\"function\",\"workload\":");
  fb_json_write_text(&out, fb_slice_of(one->name), FB_JSON_COMPACT);
  fb_buf_printf(&out, ",\"metric\":\"%s\",\"unit\":\"%s\",\"better\":\"less\"", metric, unit);
  fb_status status = S_judge(suite, samples, &out, err);
  fb_buf_printf(&out, ",\"iterations\":%llu", (unsigned long long)one->iterations);
  S_number(&out, ",\"clock_cost\":", clock_cost);
  fb_buf_text(&out, ",\"samples\":[");
  for (uint32_t i = 0; i < suite->options.samples; i++) S_number(&out, i ? "," : "", samples[i]);
  fb_buf_text(&out, "]}\n");
  if (!status && out.failed) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  if (!status) suite->line(suite->context, fb_buf_slice(&out));
  fb_buf_release(&out);
  return status;
}

static fb_status S_report(S_suite *suite, fb_error *err) {
  fb_status status = FB_OK;
  for (size_t i = 0; i < suite->count && !status; i++) {
    const S_case *one = &suite->cases[i];
    status = S_line(suite, one, "wall", "ns", suite->clock_cost, one->nanos, err);
    if (!status && suite->cpu)
      status = S_line(suite, one, "cpu", "ns", suite->cpu_cost, one->cpu, err);
    if (!status && one->counted)
      status = S_line(suite, one, "instructions", "", 0, one->instructions, err);
  }
  return status;
}

/* ── Outside ─────────────────────────────────────────────────────────────────────────────────── */

static bool S_add(S_suite *suite, const fb_bench_function *function, bool with, int64_t arg) {
  S_case *one = &suite->cases[suite->count];
  *one = (S_case){
      .function = function, .arg = arg, .number = suite->count, .counted = suite->counting};
  if (with)
    snprintf(one->name, sizeof one->name, "%.100s/%lld", function->name, (long long)arg);
  else
    snprintf(one->name, sizeof one->name, "%.120s", function->name);
  if (suite->options.filter && !strstr(one->name, suite->options.filter)) return true;
  size_t size = suite->options.samples * sizeof(double);
  one->nanos = fb_arena_zero(&suite->arena, size);
  one->cpu = fb_arena_zero(&suite->arena, size);
  one->instructions = fb_arena_zero(&suite->arena, size);
  suite->order[suite->count] = (uint32_t)suite->count;
  suite->count++;
  return one->nanos && one->cpu && one->instructions;
}

static int S_by_line(const void *a, const void *b) {
  const S_case *x = a, *y = b;
  if (x->function->line != y->function->line) return x->function->line < y->function->line ? -1 : 1;
  return (x->number > y->number) - (x->number < y->number);
}

static fb_status S_collect(S_suite *suite, const fb_bench_function *const *functions, size_t count,
                           fb_error *err) {
  size_t all = 0;
  for (size_t i = 0; i < count; i++) all += functions[i]->arg_count ? functions[i]->arg_count : 1;
  suite->cases = fb_arena_zero(&suite->arena, (all + 1) * sizeof *suite->cases);
  suite->order = fb_arena_zero(&suite->arena, (all + 1) * sizeof *suite->order);
  bool good = suite->cases && suite->order;
  for (size_t i = 0; i < count && good; i++) {
    const fb_bench_function *f = functions[i];
    if (f->arg_count == 0) good = S_add(suite, f, false, 0);
    for (size_t k = 0; k < f->arg_count && good; k++) good = S_add(suite, f, true, f->args[k]);
  }
  if (!good) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (suite->count > 1) qsort(suite->cases, suite->count, sizeof *suite->cases, S_by_line);
  if (suite->count == 0)
    return fb_fail(err, FB_E_USAGE, "there is no benchmark%s%s",
                   suite->options.filter ? " with this in its name: " : "",
                   suite->options.filter ? suite->options.filter : "");
  return FB_OK;
}

static void S_list(S_suite *suite) {
  for (size_t i = 0; i < suite->count; i++) {
    char line[sizeof suite->cases[i].name + 1];
    int len = snprintf(line, sizeof line, "%s\n", suite->cases[i].name);
    suite->line(suite->context, (fb_slice){line, (size_t)len});
  }
}

fb_status fb_bench_functions_run(const fb_bench_function *const *functions, size_t count,
                                 const fb_bench_functions_options *options,
                                 const fb_allocator *allocator,
                                 void (*line)(void *context, fb_slice line), void *context,
                                 fb_error *err) {
  S_suite suite = {.line = line, .context = context};
  if (options) suite.options = *options;
  fb_bench_functions_options *o = &suite.options;
  if (!o->clock) o->clock = fb_clock_system();
  suite.cpu = o->clock == fb_clock_system();
  if (!o->samples) o->samples = SAMPLES;
  if (!o->sample_time) o->sample_time = SAMPLE_TIME;
  fb_random_seed(&suite.random, o->seed ? o->seed : 1);
  fb_arena_init(&suite.arena, allocator, 0);
  fb_self_open(&suite.self);
  suite.counting = suite.self.events[0] >= 0;
  fb_status status = S_collect(&suite, functions, count, err);
  if (!status && o->list) {
    S_list(&suite);
  } else if (!status) {
    status = S_measure(&suite, err);
    if (!status) status = S_report(&suite, err);
  }
  fb_self_close(&suite.self);
  fb_arena_release(&suite.arena);
  return status;
}

/* ── Arguments ───────────────────────────────────────────────────────────────────────────────── */

static fb_status S_bad(fb_error *err, const char *what, const char *text) {
  fb_fail(err, FB_E_USAGE, "%s: %s", what, text);
  fb_error_hint(err, "[--filter TEXT] [--samples N] [--time 5ms] [--seed N] [--list]");
  return FB_E_USAGE;
}

static bool S_whole(const char *text, uint64_t max, uint64_t *ret) {
  char *end;
  if (*text < '0' || *text > '9') return false;
  *ret = strtoull(text, &end, 10);
  return !*end && *ret >= 1 && *ret <= max;
}

static fb_status S_argument(const char *name, const char *value, fb_bench_functions_options *o,
                            fb_error *err) {
  int64_t seconds;
  int32_t nanos;
  uint64_t number;
  if (strcmp(name, "--filter") == 0) {
    o->filter = value;
  } else if (strcmp(name, "--samples") == 0) {
    if (!S_whole(value, 100000, &number)) return S_bad(err, "not a number of samples", value);
    o->samples = (uint32_t)number;
  } else if (strcmp(name, "--seed") == 0) {
    if (!S_whole(value, UINT64_MAX - 1, &o->seed)) return S_bad(err, "not a seed", value);
  } else if (strcmp(name, "--time") == 0) {
    if (!fb_duration_parse(fb_slice_of(value), &seconds, &nanos) || seconds < 0 || seconds > 3600 ||
        (seconds == 0 && nanos <= 0))
      return S_bad(err, "not a time for a sample", value);
    o->sample_time = seconds * 1000000000 + nanos;
  } else {
    return S_bad(err, "unknown option", name);
  }
  return FB_OK;
}

fb_status fb_bench_functions_parse(int argc, char **argv, fb_bench_functions_options *ret,
                                   fb_error *err) {
  fb_bench_functions_options options = {0};
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--list") == 0) {
      options.list = true;
      continue;
    }
    if (strncmp(argv[i], "--", 2) != 0) return S_bad(err, "unknown argument", argv[i]);
    fb_status status = S_argument(argv[i], i + 1 < argc ? argv[i + 1] : "", &options, err);
    if (status) return status;
    i++;
  }
  *ret = options;
  return FB_OK;
}
