/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/proof.h: measuring that can be believed. Statistics of samples, and what is built on them.
 *
 * Nothing here reads a clock or draws random numbers by itself: whoever calls hands them in, so that the same
 * samples and the same seed give the same verdict on every machine.
 */
#ifndef FLYBALL_PROOF_H
#define FLYBALL_PROOF_H

#include <flyball/data.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ── Statistics ──────────────────────────────────────────────────────────────────────────────── */

/* Samples are finite numbers, in any unit, all in the same. FB_E_PROOF_SAMPLES otherwise, or when there are
 * fewer than a function needs. */

/* With fewer samples no interval between two of them covers the median in 95 of 100 cases: an interval from
 * less is not to be shown. (The whole range of 6 covers it in 96.9 %.) */
enum { FB_SAMPLES_MIN = 6 };

/* More than this are refused (FB_E_LIMIT): bounds time and memory of one call. */
enum { FB_SAMPLES_MAX = 10 << 20 };

/* Ascending, in place. */
FB_API void fb_samples_sort(double *samples, size_t count);

/* Of sorted samples, count ≥ 1, by linear interpolation between neighbours (type 7, as R and NumPy have it).
 * q is within [0, 1]. */
FB_API double fb_samples_quantile(const double *sorted, size_t count, double q);

/* How many lie beyond Tukey's fences: mild 1.5, severe 3 interquartile ranges outside the quartiles. A mild
 * one is not counted as severe and the other way round. */
typedef struct fb_outliers {
  size_t low_severe, low_mild, high_mild, high_severe;
} fb_outliers;

FB_API fb_outliers fb_outliers_of(const double *sorted, size_t count);

typedef struct fb_summary {
  size_t count;
  double min, q1, median, q3, max;
  double mean, sd; /* sd: of the sample (n - 1); 0 for one sample */
  double mad;      /* median of the distances from the median, unscaled */
  fb_outliers outliers;
} fb_summary;

/* `samples` in any order; they are left as they are. count ≥ 1. */
FB_API fb_status fb_summarize(const double *samples, size_t count, const fb_allocator *allocator,
                              fb_summary *ret, fb_error *err);

typedef struct fb_interval {
  double low, high;
} fb_interval;

/* What the estimate would have been had other samples been drawn: `replicates`, ascending. */
typedef struct fb_bootstrap {
  double estimate;
  size_t
      samples; /* of the smaller side: few of them make the intervals wider (0: as many as you like) */
  double *replicates; /* owned */
  size_t count;
  const fb_allocator *allocator;
} fb_bootstrap;

enum { FB_RESAMPLES = 2000 }; /* what 0 means for `resamples` below */

/* Of the median. The time is count × resamples. count ≥ 1 (but see FB_SAMPLES_MIN).
 * Percentiles, not BCa: its acceleration comes from the jackknife, which is known to fail for medians. */
FB_API fb_status fb_bootstrap_median(const double *samples, size_t count, size_t resamples,
                                     fb_random *random, const fb_allocator *allocator,
                                     fb_bootstrap *ret, fb_error *err);

/* Of b / a. Not `paired`: median(b) / median(a), which must be above 0; the sides are drawn apart.
 * `paired`: a[i] and b[i] were measured side by side (interleaved), a_count == b_count, all above 0, and it is
 * the median of b[i] / a[i], so that what disturbed both cancels. (The ratio of the medians of the same pairs
 * drawn together has intervals three times too wide when disturbances are large.) */
FB_API fb_status fb_bootstrap_ratio(const double *a, size_t a_count, const double *b,
                                    size_t b_count, bool paired, size_t resamples,
                                    fb_random *random, const fb_allocator *allocator,
                                    fb_bootstrap *ret, fb_error *err);
FB_API void fb_bootstrap_release(fb_bootstrap *bootstrap);

/* level: 0.95 for a 95 % interval. Percentiles of the replicates, as much further out as Student's t is from
 * the normal distribution for so few samples: without that, intervals from 10 cover 92 % and not 95. */
FB_API fb_interval fb_bootstrap_interval(const fb_bootstrap *bootstrap, double level);
/* Share of the replicates above x: read as the probability that the estimated thing is above x. */
FB_API double fb_bootstrap_above(const fb_bootstrap *bootstrap, double x);

/* Do b's values tend to be larger than a's? By ranks alone, so outliers count no more than others. */
typedef struct fb_rank_test {
  double u; /* Mann-Whitney: pairs with b > a, ties half */
  double
      cliff;  /* Cliff's delta: P(b > a) - P(b < a), from -1 to 1; 0.147 small, 0.33, 0.474 large */
  double p;   /* two-sided: how probable as much is without a difference */
  bool exact; /* p is counted (small samples without ties), else by the normal approximation */
} fb_rank_test;

FB_API fb_status fb_rank_test_of(const double *a, size_t a_count, const double *b, size_t b_count,
                                 const fb_allocator *allocator, fb_rank_test *ret, fb_error *err);

/* Two-sided p of the difference of the medians under random relabelling (`paired`: swapping within pairs).
 * Never 0: (1 + as extreme) / (1 + rounds). rounds 0: FB_RESAMPLES. */
FB_API fb_status fb_permutation_test(const double *a, size_t a_count, const double *b,
                                     size_t b_count, bool paired, size_t rounds, fb_random *random,
                                     const fb_allocator *allocator, double *ret_p, fb_error *err);

/* ── Environment: what else may be seen in a figure ──────────────────────────────────────────── */

enum { FB_ENVIRONMENT_WARNINGS = 8, FB_ENVIRONMENT_TEXT = 192 };

/* Texts are empty, numbers below 0, where the system does not tell. */
typedef struct fb_environment {
  char cpu[FB_ENVIRONMENT_TEXT];    /* "Intel(R) Xeon(R) …" */
  char kernel[FB_ENVIRONMENT_TEXT]; /* "Linux 6.1.0 #1 SMP …" */
  char system[FB_ENVIRONMENT_TEXT]; /* "Debian GNU/Linux 12 (bookworm)" */
  char machine[32];                 /* "x86_64" */
  char compiler[64];                /* of this library */
  char libc[64];
  char governor[32];  /* frequency governor, of all processors; "mixed" */
  char container[32]; /* "docker", …; "" is none found */
  bool virtual_machine;
  int processors; /* usable now */
  int64_t memory; /* bytes in all */
  double load;    /* average of the last minute */
  int turbo;      /* 1: processors may go above their nominal frequency */
  int aslr;       /* /proc/sys/kernel/randomize_va_space */
  int paranoid;   /* perf_event_paranoid; -1 also: the kernel has no perf events */
  /* Of what does not change between two runs on one machine: processor, their number, memory (in GiB),
   * architecture. Figures of other fingerprints are not to be compared with. */
  char fingerprint[17];
  char warnings[FB_ENVIRONMENT_WARNINGS][FB_ENVIRONMENT_TEXT]; /* what disturbs, and what to do */
  size_t warning_count;
} fb_environment;

/* `root` is put before /proc, /sys and /etc: "" for this machine. What cannot be read is left out. */
FB_API void fb_environment_read(const char *root, fb_environment *ret);
/* The same, to its members within an object, without braces: "cpu":"…","processors":2,… */
FB_API void fb_environment_json(const fb_environment *environment, fb_buf *out);

/* ── One run of something, and what it took ──────────────────────────────────────────────────── */

typedef enum fb_measure {
  FB_MEASURE_WALL,         /* seconds */
  FB_MEASURE_USER,         /* seconds of processors */
  FB_MEASURE_SYSTEM,       /* seconds of processors */
  FB_MEASURE_MEMORY,       /* bytes resident at most, of the largest process */
  FB_MEASURE_FAULTS_MINOR, /* pages that needed no disk */
  FB_MEASURE_FAULTS_MAJOR,
  FB_MEASURE_SWITCHES_OWN,    /* it waited */
  FB_MEASURE_SWITCHES_FORCED, /* others were to run */
  FB_MEASURE_INSTRUCTIONS,    /* these four in user space, by the processor's own counters */
  FB_MEASURE_CYCLES,
  FB_MEASURE_CACHE_MISSES,
  FB_MEASURE_BRANCH_MISSES,
  FB_MEASURE_ALLOCATIONS, /* calls of malloc and its like; these three in runs of their own */
  FB_MEASURE_ALLOCATED,   /* bytes asked for */
  FB_MEASURE_ALLOCATED_PEAK,
  FB_MEASURE_COUNT
} fb_measure;

/* "wall", "user", …: keys of reports. */
FB_API const char *fb_measure_name(fb_measure measure);
FB_API const char *fb_measure_unit(fb_measure measure); /* "s", "B", "" */

/* What one run took. What is not in `known` was not measured; its value means nothing. */
typedef struct fb_reading {
  double values[FB_MEASURE_COUNT];
  uint32_t known; /* bits: 1 << fb_measure */
} fb_reading;

static inline void fb_reading_set(fb_reading *reading, fb_measure measure, double value) {
  reading->values[measure] = value;
  reading->known |= 1u << measure;
}
static inline bool fb_reading_has(const fb_reading *reading, fb_measure measure) {
  return reading->known >> measure & 1;
}

/* A counter of the kernel's perf events, as perf_event_attr has it. */
typedef struct fb_perf_event {
  uint32_t type;
  uint64_t config;
  fb_measure measure;
} fb_perf_event;

typedef enum fb_output_mode {
  FB_OUTPUT_NULL,   /* /dev/null. Some programs (GNU grep) do less when they see it */
  FB_OUTPUT_PIPE,   /* read and thrown away */
  FB_OUTPUT_PASS,   /* ours */
  FB_OUTPUT_CAPTURE /* kept, at most 64 KiB */
} fb_output_mode;

/* A program to be run once. */
typedef struct fb_program {
  const char *path;        /* with a slash */
  const char *const *argv; /* NULL at the end */
  const char *const *env;  /* NULL at the end; NULL: ours */
  const char *dir;         /* NULL: the current one */
  const char *input;       /* a file; NULL: /dev/null */
  const char *output_file; /* instead of `out` */
  fb_output_mode out, err;
  int64_t timeout;             /* ns, then its process group is killed; 0: none */
  const fb_perf_event *events; /* NULL: those of fb_measure */
  size_t event_count;
  fb_buf *captured;  /* of FB_OUTPUT_CAPTURE: both streams; appended to */
  volatile int *pid; /* set while it runs, to 0 after: what a signal handler may kill; nullable */
} fb_program;

typedef struct fb_program_end {
  int code;   /* exit code; -1 when a signal ended it */
  int signal; /* 0: none */
  bool timed_out;
} fb_program_end;

/* Runs it and waits. The clock starts in the new process, immediately before the program replaces it, and stops when
 * its end was noticed. FB_E_IO when it cannot be started; an exit code is no failure of this function.
 * Processes that it left running are not waited for. */
FB_API fb_status fb_program_run(const fb_program *program, fb_reading *ret, fb_program_end *ret_end,
                                fb_error *err);
/* Where `name` is found in PATH (of env; NULL: ours): in the arena, absolute unless name has a slash. FB_E_BENCH_COMMAND. */
FB_API fb_status fb_program_find(const char *name, const char *const *env, fb_arena *arena,
                                 const char **ret_path, fb_error *err);

/* What a stretch of this process's own work takes: all its threads, and child processes that were waited for. */
typedef struct fb_self {
  int events[4];
  double wall, user, system; /* at the beginning */
} fb_self;

FB_API void fb_self_open(fb_self *self); /* once; close it in the end */
FB_API void fb_self_begin(fb_self *self);
FB_API void fb_self_end(fb_self *self,
                        fb_reading *ret); /* times, and counters where there are any */
FB_API void fb_self_close(fb_self *self);

/* An allocator that passes on to another and counts. Not thread-safe. */
typedef struct fb_count_allocator {
  fb_allocator allocator; /* hand this out */
  const fb_allocator *under;
  uint64_t calls, bytes;
  uint64_t live, peak; /* bytes */
} fb_count_allocator;

FB_API void fb_count_allocator_init(fb_count_allocator *count, const fb_allocator *under);

/* ── Bench: candidates, run in turns ─────────────────────────────────────────────────────────── */

/* Something that can be run again and again. */
typedef struct fb_candidate {
  const char *name;
  /* Once before its first and after its last run; nullable. */
  fb_status (*setup)(void *context, fb_error *err);
  fb_status (*cleanup)(void *context, fb_error *err);
  /* One run. `first` is true for the first one of all, which may look closer. Any failure means that there is nothing to
   * be measured, and ends the bench. */
  fb_status (*run)(void *context, bool first, fb_reading *ret, fb_error *err);
  /* One run in which allocations are counted; nullable. */
  fb_status (*count)(void *context, fb_reading *ret, fb_error *err);
  void *context;
} fb_candidate;

typedef struct fb_bench_progress {
  const char *name;          /* of the candidate that is run next; NULL at the end */
  bool warmup;               /* these runs do not count */
  size_t done, wanted;       /* runs of all candidates together */
  int64_t elapsed, expected; /* ns; expected in all, -1: not known yet */
} fb_bench_progress;

typedef struct fb_bench_options {
  uint32_t warmup;     /* runs of each that do not count */
  uint32_t runs;       /* of each; 0: as many as fit into min_time, between min_runs and max_runs */
  uint32_t min_runs;   /* 0: 10 */
  uint32_t max_runs;   /* 0: 2,000 */
  int64_t min_time;    /* ns of each candidate; 0: 3 s */
  int64_t max_time;    /* ns of all together, looked at between rounds; 0: no limit */
  uint32_t count_runs; /* runs in which allocations are counted; 0: none */
  const fb_clock *clock; /* NULL: the system's */
  fb_random *random;     /* draws the order within a round */
  void (*progress)(void *context, const fb_bench_progress *progress); /* nullable */
  /* Asked after each run. True: that run does not count, even if it failed, and no other is made. Nullable. */
  bool (*ended)(void *context);
  void *context;
} fb_bench_options;

/* What was measured of one candidate. */
typedef struct fb_bench_side {
  const char *name;     /* the candidate's, borrowed */
  fb_reading *readings; /* in the order measured */
  size_t count;
  fb_reading *counted; /* the runs in which allocations were counted */
  size_t counted_count, counted_room;
} fb_bench_side;

typedef struct fb_bench {
  fb_bench_side *sides; /* as the candidates */
  size_t count;
  bool ended;     /* by options.ended */
  bool cut_short; /* by max_time */
  /* Run i of each was measured in the same round i, so that they can be compared in pairs. */
  bool paired;
  int64_t elapsed;
  const fb_allocator *allocator;
} fb_bench;

/* Runs each candidate as often as is wanted, in rounds: in a round each has its share of runs, in an order drawn anew, so
 * that what disturbs the machine for a while disturbs all of them. FB_E_BENCH_FAILED, or what a candidate returned,
 * with the candidate's name before the message: then *ret is untouched. */
FB_API fb_status fb_bench_run(const fb_candidate *candidates, size_t count,
                              const fb_bench_options *options, const fb_allocator *allocator,
                              fb_bench **ret, fb_error *err);
FB_API void fb_bench_free(fb_bench *bench);

/* One measure of one candidate over all its runs. */
typedef struct fb_bench_figure {
  fb_summary summary;
  fb_interval interval; /* of the median, 95 %; only if has_interval */
  bool has_interval;    /* false: fewer than FB_SAMPLES_MIN runs */
} fb_bench_figure;

/* FB_DONE: not measured in all runs. */
FB_API fb_status fb_bench_figure_of(const fb_bench *bench, size_t side, fb_measure measure,
                                    fb_random *random, fb_bench_figure *ret, fb_error *err);

typedef enum fb_bench_verdict {
  FB_BENCH_NOT_MEASURED, /* too few runs, or nothing to compare */
  FB_BENCH_SAME,         /* no difference shown: the interval has 1 in it */
  FB_BENCH_LESS,         /* the interval lies below 1: faster, smaller */
  FB_BENCH_MORE
} fb_bench_verdict;
FB_API const char *fb_bench_verdict_name(
    fb_bench_verdict verdict); /* "not measured", "same", "less", "more" */

typedef struct fb_bench_ratio {
  double ratio; /* of the candidate to the reference */
  fb_interval interval;
  double effect; /* Cliff's delta: -1 … 1 */
  double p;      /* of the rank test */
  fb_bench_verdict verdict;
} fb_bench_ratio;

FB_API fb_status fb_bench_compare(const fb_bench *bench, size_t side, size_t reference,
                                  fb_measure measure, fb_random *random, fb_bench_ratio *ret,
                                  fb_error *err);

/* ── Commands as candidates ──────────────────────────────────────────────────────────────────── */

typedef enum fb_bench_shell {
  FB_SHELL_AUTO, /* for commands with something in them that only a shell understands */
  FB_SHELL_ALWAYS,
  FB_SHELL_NEVER /* what a shell would understand is text */
} fb_bench_shell;

/* Texts are borrowed, and must live as long as the candidate. */
typedef struct fb_bench_command {
  const char *name;            /* NULL: text */
  const char *text;            /* as one would type it; NULL: argv is given */
  const char *const *argv;     /* NULL at the end */
  const char *setup, *cleanup; /* once before the first and after the last run; nullable */
  const char *prepare;         /* before each run, not measured; nullable */
  const char *dir, *input;     /* as fb_program */
  const char *output_file;
  const char *const *env; /* NULL: ours */
  fb_output_mode output;  /* of both streams */
  fb_bench_shell shell;
  const char *shell_path;       /* NULL: sh */
  const fb_reading *shell_cost; /* taken off what is measured in a shell; NULL: nothing is */
  int64_t timeout;              /* ns, of one run; 0: none */
  bool ignore_failure;          /* a run that fails counts */
  const char *counter; /* the library that counts allocations; NULL: they are not counted */
  /* Filled in: */
  bool in_shell;
  uint64_t runs, failures, below_shell; /* of runs: failed; took no longer than the shell alone */
} fb_bench_command;

/* Finds the program and makes the candidate; both live in the arena. FB_E_BENCH_COMMAND. */
FB_API fb_status fb_bench_command_init(fb_bench_command *command, fb_arena *arena,
                                       fb_candidate *ret, fb_error *err);
/* Whether `text` needs a shell. FB_E_BENCH_COMMAND: it is empty, or a quote is not closed. */
FB_API fb_status fb_bench_needs_shell(const char *text, bool *ret, fb_error *err);
/* Medians of wall, user and system time over `runs` of the shell with nothing to do. */
FB_API fb_status fb_bench_shell_cost(const char *shell_path, uint32_t runs,
                                     const fb_allocator *allocator, fb_reading *ret, fb_error *err);

/* ── Sweeps ──────────────────────────────────────────────────────────────────────────────────── */

enum { FB_SWEEP_MAX = 1000, FB_PARAMETERS_MAX = 16 };

typedef struct fb_bench_parameter {
  const char *name;
  const char *const *values;
  size_t count;
} fb_bench_parameter;

/* "name=a,b,c", "name=1..10", "name=0..1:0.25" (both ends included). FB_E_BENCH_PARAMETER. */
FB_API fb_status fb_bench_parameter_parse(const char *text, fb_arena *arena,
                                          fb_bench_parameter *ret, fb_error *err);
/* How many combinations there are. FB_E_BENCH_PARAMETER: more than FB_SWEEP_MAX, or a name twice. */
FB_API fb_status fb_bench_combinations(const fb_bench_parameter *parameters, size_t count,
                                       size_t *ret, fb_error *err);
/* The value of a parameter in a combination; the last parameter changes fastest. */
FB_API const char *fb_bench_value(const fb_bench_parameter *parameters, size_t count, size_t number,
                                  size_t combination);
/* `text` with each {name} of a parameter replaced; other braces stay. Sets a bit of *used (nullable) for each that
 * was found. FB_E_BENCH_PARAMETER when a {name} is nearly that of a parameter. NULL text gives NULL. */
FB_API fb_status fb_bench_substitute(const char *text, const fb_bench_parameter *parameters,
                                     size_t count, size_t combination, fb_arena *arena,
                                     uint32_t *used, const char **ret, fb_error *err);

/* ── Reports of a bench ──────────────────────────────────────────────────────────────────────── */

/* What a candidate is, for whoever reads the report. Borrowed. */
typedef struct fb_bench_about {
  const char *kind; /* "command", "mission", "rules" */
  const char *what; /* the command, or the file */
  const char *work; /* what every run did: "12 decisions"; NULL: nothing is known of it */
  const fb_bench_command *command; /* NULL when it is none */
  const fb_bench_parameter *parameters;
  size_t parameter_count, combination;
} fb_bench_about;

typedef struct fb_bench_cell {
  bool measured; /* in all runs; else the rest means nothing */
  fb_bench_figure figure;
  bool compared; /* with the reference */
  fb_bench_ratio ratio;
} fb_bench_cell;

/* The caller fills in all but `cells`. */
typedef struct fb_bench_report {
  const char *name; /* of the benchmark; NULL: none */
  const fb_bench *bench;
  const fb_bench_about *about; /* one for each side */
  const fb_environment *environment;
  const fb_reading *shell_cost; /* NULL: no shell was used */
  size_t reference;             /* the side that the others are compared with */
  uint64_t seed;                /* of the order and of the resampling */
  int64_t wall;                 /* when it began, ns since 1970 */
  fb_bench_cell *cells;         /* sides × FB_MEASURE_COUNT, in the arena */
} fb_bench_report;

/* Computes `cells`. */
FB_API fb_status fb_bench_report_judge(fb_bench_report *report, fb_arena *arena, fb_error *err);

static inline const fb_bench_cell *fb_bench_cell_of(const fb_bench_report *report, size_t side,
                                                    fb_measure measure) {
  return &report->cells[side * FB_MEASURE_COUNT + measure];
}

/* One object, "type":"flyball.bench.v1", with a newline; `samples`: with every run's values. Documented in
 * docs/reference/bench.md. */
FB_API void fb_bench_write_json(const fb_bench_report *report, bool samples, fb_buf *out);
/* A line for each candidate, after a header. */
FB_API void fb_bench_write_csv(const fb_bench_report *report, fb_buf *out);
FB_API void fb_bench_write_markdown(const fb_bench_report *report, fb_buf *out);
/* One page that needs nothing else. */
FB_API void fb_bench_write_html(const fb_bench_report *report, fb_buf *out);
/* For a terminal. */
FB_API void fb_bench_write_text(const fb_bench_report *report, fb_buf *out);
/* What was strange, one sentence each: slow first runs, many outliers, times too short for what was measured. Calls
 * `say` for each. */
FB_API void fb_bench_remarks(const fb_bench_report *report,
                             void (*say)(void *context, const char *remark), void *context);
/* "12.3 ms", "4.1 MB", "1.24 M": with the unit of the measure, at most 24 bytes. */
FB_API void fb_measure_format(fb_measure measure, double value, char out[24]);

/* ── Changes of level in a series ────────────────────────────────────────────────────────────── */

/* The time is the square of the points times the permutations. */
enum { FB_SERIES_MAX = 2000 };

typedef struct fb_change {
  size_t at;            /* the first point of the new level, from 0 */
  double before, after; /* medians of the points back to the change before, and on to the next */
  double p;             /* share of permutations that have as good a split */
} fb_change;

/* All 0: the usual ones. */
typedef struct fb_change_options {
  double
      significance; /* 0: 0.002. The rate of false alarms on a series whose points are independent */
  double smallest;  /* changes by a smaller share are left out: 0.02 for 2 % */
  size_t least; /* points on each side of a change; 0: 5, else ≥ 2. The delay until one is found */
  size_t rounds; /* permutations; 0: 999. Not less than 1 / significance - 1 */
} fb_change_options;

/* Points in the order of time. Writes at most `cap` changes, in order. options NULL: the usual ones. */
FB_API fb_status fb_changes_find(const double *series, size_t count,
                                 const fb_change_options *options, fb_random *random,
                                 const fb_allocator *allocator, fb_change *changes, size_t cap,
                                 size_t *ret_count, fb_error *err);

/* ── Results: what was measured, from whichever program ──────────────────────────────────────── */

typedef enum fb_direction { FB_LESS_IS_BETTER, FB_MORE_IS_BETTER } fb_direction;

/* What a metric is about, for thresholds that differ by it. */
typedef enum fb_figure_kind {
  FB_METRIC_LATENCY,
  FB_METRIC_THROUGHPUT,
  FB_METRIC_CPU,
  FB_METRIC_MEMORY,
  FB_METRIC_OTHER,
  FB_METRIC_KIND_COUNT
} fb_figure_kind;

FB_API const char *fb_figure_kind_name(fb_figure_kind kind); /* "latency", … */

/* The samples of one metric of one workload in one run. Its series is bench/workload/metric. */
typedef struct fb_bench_result {
  fb_slice bench, workload, metric, unit;
  fb_direction direction;
  fb_figure_kind kind;
  const double *samples; /* finite, in the order measured */
  size_t count;          /* ≥ 1 */
} fb_bench_result;

/* What the samples have in common. Empty texts and time 0: not known. */
typedef struct fb_result_run {
  int64_t id; /* in the history; 0: not from there */
  int64_t at; /* ns since 1970 */
  fb_slice commit, branch, fingerprint;
} fb_result_run;

/* Everything is in the arena. */
typedef struct fb_results {
  fb_bench_result *items;
  size_t count, cap;
  size_t not_measured; /* records that said so themselves: they are counted, and are no results */
  fb_result_run run;
  fb_arena arena;
  const fb_allocator *allocator;
} fb_results;

FB_API void fb_results_init(fb_results *results, const fb_allocator *allocator);
FB_API void fb_results_release(fb_results *results);
/* NULL if there is none. */
FB_API const fb_bench_result *fb_results_find(const fb_results *results,
                                              const fb_bench_result *like);

/* Reads JSON (one value) or JSON lines and adds what is in it. Known are
 *  - {"type":"flyball.result.v1","bench":…,"workload":…,"metric":…,"unit":…,"better":"less"|"more",
 *     "samples":[…] or "value":…}; bench, unit and better may be left out,
 *  - the lines of the programs in bench/: {"bench":…,"workload":…,"ours":…,"unit":…,"samples":[…]},
 *  - `flyball bench --json`, hyperfine's --export-json, and Google Benchmark's JSON.
 * Records of one series are put together: their samples follow each other. Every record that is something else
 * is an error of its own in `errors`; the return is the first one's code (FB_E_PROOF_RESULT). */
FB_API fb_status fb_results_read(fb_results *results, fb_slice text, const char *name,
                                 fb_errors *errors);
/* Adds samples (copied, as all texts are) to a series. */
FB_API fb_status fb_results_add(fb_results *results, const fb_bench_result *result, fb_error *err);
/* One object without a newline: {"type":"flyball.result.v1",…}. */
FB_API void fb_result_json(const fb_bench_result *result, fb_buf *out);
/* By the names of metric and unit, where a record does not say it. */
FB_API fb_direction fb_direction_of(fb_slice metric, fb_slice unit);
FB_API fb_figure_kind fb_metric_kind_of(fb_slice metric, fb_slice unit);
/* "bench/workload/metric", or without the first if it is empty. */
FB_API void fb_result_name(const fb_bench_result *result, fb_buf *out);
/* `*` stands for any number of bytes, `?` for one. */
FB_API bool fb_glob_match(fb_slice pattern, fb_slice text);
/* For people: "12.3 ms", "1.20 M/s", "45.0 MB"; units that are not known are left as they are. */
FB_API void fb_quantity_format(double value, fb_slice unit, char out[40]);

/* ── History: results of many runs ───────────────────────────────────────────────────────────── */

typedef struct fb_history fb_history;

/* Of one series in one run not more are kept: an even choice of the ordered ones beyond. */
enum { FB_HISTORY_SAMPLES = 1000 };

/* An SQLite file. Errors as of a database: FB_E_DB and so on. */
FB_API fb_status fb_history_open(const char *path, bool read_only, const fb_allocator *allocator,
                                 fb_history **ret, fb_error *err);
FB_API void fb_history_close(fb_history *history);
/* Adds a run with all its results, or nothing. A run with the same commit, fingerprint and time is refused
 * (FB_E_PROOF_HISTORY), so that importing twice changes nothing. */
FB_API fb_status fb_history_add(fb_history *history, const fb_results *results, int64_t *ret_run,
                                fb_error *err);

/* Which runs. NULL or empty: all. */
typedef struct fb_history_filter {
  fb_slice branch, fingerprint;
  fb_slice series; /* pattern of bench/workload/metric, see fb_glob_match */
  size_t last;     /* only so many of the newest; 0: all */
  int64_t before;  /* runs with a smaller id; 0: all */
} fb_history_filter;

typedef struct fb_history_run {
  fb_result_run run;
  uint64_t results;
} fb_history_run;

/* Oldest first, in the arena. */
FB_API fb_status fb_history_runs(fb_history *history, const fb_history_filter *filter,
                                 fb_arena *arena, fb_history_run **ret, size_t *ret_count,
                                 fb_error *err);

typedef struct fb_history_point {
  fb_result_run run;
  double median;
  size_t count; /* samples measured, which may be more than are kept */
  const double *samples;
  size_t kept;
} fb_history_point;

typedef struct fb_history_series {
  fb_bench_result head; /* its names; no samples */
  fb_history_point *points;
  size_t count;
} fb_history_series;

/* The series that the filter lets through, by name, each with its points, oldest first. */
FB_API fb_status fb_history_series_of(fb_history *history, const fb_history_filter *filter,
                                      fb_arena *arena, fb_history_series **ret, size_t *ret_count,
                                      fb_error *err);
/* The results of the newest run that `which` names: `#12` a run, else a branch, else the beginning of a commit
 * (≥ 4 characters). FB_E_PROOF_HISTORY when there is none, or when commits differ that begin so. */
FB_API fb_status fb_history_results(fb_history *history, fb_slice which, fb_results *ret,
                                    fb_error *err);
/* Removes runs older than `before` (ns; 0: none for their age), and all but the newest `keep` of each branch
 * and fingerprint (0: all are kept). */
FB_API fb_status fb_history_prune(fb_history *history, int64_t before, size_t keep,
                                  uint64_t *ret_removed, fb_error *err);

/* ── Comparing two sets of samples ───────────────────────────────────────────────────────────── */

typedef enum fb_comparison_verdict {
  FB_COMPARED_NOT_MEASURED, /* too few samples */
  FB_COMPARED_SAME,         /* within the threshold, as sure as asked for */
  FB_COMPARED_BETTER,       /* by more than the threshold */
  FB_COMPARED_WORSE,        /* by more than the threshold */
  FB_COMPARED_UNCLEAR       /* it cannot be told: the interval reaches across the threshold */
} fb_comparison_verdict;

FB_API const char *fb_comparison_verdict_name(fb_comparison_verdict verdict);

typedef struct fb_compare_options {
  double threshold;  /* 0.05: 5 % */
  double confidence; /* 0: 0.95 */
  bool exact;        /* values that repeat exactly (counts): one sample on each side is enough */
  bool paired;       /* sample i of both was measured side by side */
  size_t resamples;  /* 0: FB_RESAMPLES */
} fb_compare_options;

/* "Worse" has the direction of the metric in it: 0.1 is 10 % slower, or 10 % less throughput. */
typedef struct fb_comparison {
  double a, b;  /* medians */
  double worse; /* b than a, as a share of a; negative: better */
  fb_interval interval;
  double probability; /* that b is worse than a by more than the threshold */
  double cliff, p;    /* of the rank test; p 1 where there are too few samples */
  size_t a_count, b_count;
  fb_comparison_verdict verdict;
} fb_comparison;

/* FB_E_PROOF_SAMPLES for what has no ratio (medians of 0). */
FB_API fb_status fb_compare(const fb_bench_result *a, const fb_bench_result *b,
                            const fb_compare_options *options, fb_random *random,
                            const fb_allocator *allocator, fb_comparison *ret, fb_error *err);

/* `b` against runs of the past. From FB_SAMPLES_MIN runs on, their medians are the samples: what differs from run to
 * run (address layout, neighbours, frequency) is then part of the interval. With fewer, the newest run's samples
 * stand alone, and that noise is not seen. */
FB_API fb_status fb_compare_history(const fb_history_series *past, const fb_bench_result *b,
                                    const fb_compare_options *options, fb_random *random,
                                    const fb_allocator *allocator, fb_comparison *ret,
                                    fb_error *err);

/* How small a change of level could be and still be found in a series with this noise, as a share of its level,
 * `after` points after it: 0 for fewer than 6 points. From the differences between neighbours, so that changes of
 * level do not count as noise. */
FB_API fb_status fb_smallest_change(const double *series, size_t count, size_t after,
                                    const fb_allocator *allocator, double *ret, fb_error *err);

/* ── Pictures ────────────────────────────────────────────────────────────────────────────────── */

/* SVG, appended to `out`; failures are in out->failed. `alone`: a file of its own, with colours for light and
 * dark; else a part of a page that has them (fb_plot_style). Classes begin with `fb-`. */

/* The medians of a series in the order of its points, and where its level changed, with the commits. */
FB_API void fb_plot_trend(const fb_history_series *series, const fb_change *changes, size_t count,
                          bool alone, fb_buf *out);

/* The samples of one figure on a line, its median with the interval, and the target as a line. */
typedef struct fb_plot_strip {
  const double *samples;
  size_t count;
  double median;
  fb_interval interval;
  bool has_interval, has_target;
  double target;
  fb_slice unit;
  const char *label; /* read out instead of the picture */
} fb_plot_strip;

FB_API void fb_plot_strip_draw(const fb_plot_strip *strip, fb_buf *out);
/* The rules of the classes, without <style>. */
FB_API void fb_plot_style(fb_buf *out);
/* One character of a bar for each point, at most `width` points (the newest). */
FB_API void fb_plot_spark(const double *values, size_t count, size_t width, fb_buf *out);
/* Text as it may stand in HTML and SVG, also within quotes. */
FB_API void fb_html_text(fb_buf *out, fb_slice text);

/* ── Gate: budgets ───────────────────────────────────────────────────────────────────────────── */

typedef enum fb_severity { FB_SEVERITY_MINOR, FB_SEVERITY_MAJOR, FB_SEVERITY_CRITICAL } fb_severity;

FB_API const char *fb_severity_name(fb_severity severity);

typedef struct fb_budget {
  fb_slice series; /* pattern of bench/workload/metric */
  bool has_worse;  /* `worse`: at most so much worse than the past, as a share */
  bool by_kind;    /* `worse: kind`: as much as fb_worse_of says */
  double worse;
  bool has_max, has_min;
  double max, min;
  fb_slice max_unit, min_unit; /* empty: the series' own */
  fb_severity severity;
  bool exact; /* repeats exactly: one sample is enough */
  bool warns; /* a failure is reported and does not fail the gate */
  uint32_t line;
} fb_budget;

typedef struct fb_budgets {
  fb_budget *items;
  size_t count;
  fb_slice branch;   /* of the past; empty: any */
  size_t runs;       /* of the past that are looked at */
  bool any_machine;  /* past runs of other fingerprints count too */
  double confidence; /* 0: 0.95 */
  fb_slice rules;    /* a rulebook, relative to the document; empty: none */
  fb_slice name;
  fb_arena arena;
} fb_budgets;

/* FB_E_PROOF_BUDGET, with all mistakes in `errors`. The reference of the format is docs/reference/proof.md. */
FB_API fb_status fb_budgets_read(fb_slice text, const char *name, const fb_allocator *allocator,
                                 fb_budgets *ret, fb_errors *errors);
FB_API void fb_budgets_release(fb_budgets *budgets);

typedef enum fb_gate_verdict {
  FB_GATE_PASS,
  FB_GATE_UNCLEAR, /* it may be worse than allowed, but that is not shown */
  FB_GATE_FAIL,
  FB_GATE_NOT_MEASURED
} fb_gate_verdict;

FB_API const char *fb_gate_verdict_name(fb_gate_verdict verdict);

/* What `worse: kind` allows: throughput 10 %, latency 15 %, cpu 20 %, memory 25 %, other 20 %. */
FB_API double fb_worse_of(fb_figure_kind kind);

typedef struct fb_gate_row {
  const fb_budget *budget;
  const fb_bench_result *result; /* NULL: no result fits the budget's pattern */
  double value;                  /* median */
  fb_interval interval;
  bool has_interval;
  bool compared; /* with the past */
  fb_comparison comparison;
  size_t past_runs;
  fb_gate_verdict verdict;
  char reason[200];
} fb_gate_row;

/* Judges every result that a budget names. `past` are series as fb_history_series_of gives them, count 0: no past.
 * Rows are in the arena, in the order of budgets and of results. */
FB_API fb_status fb_gate_judge(const fb_budgets *budgets, const fb_results *results,
                               const fb_history_series *past, size_t past_count, fb_random *random,
                               fb_arena *arena, fb_gate_row **ret, size_t *ret_count,
                               fb_error *err);

/* 1 unit of `from` in units of `to`; 0: they do not convert. Times and bytes do. */
FB_API double fb_unit_factor(fb_slice from, fb_slice to);
/* "5%", "0.05", "30ms", "1.5MB", "1000/s": a number and what follows it. False if it is none. */
FB_API bool fb_quantity_parse(fb_slice text, double *ret, fb_slice *ret_unit);

/* ── Suites: claims, what measures them, and a report ────────────────────────────────────────── */

/* What prints the results that a part of a suite is judged by. */
typedef enum fb_suite_source {
  FB_SUITE_NONE,   /* nothing: all rows of the part are absent */
  FB_SUITE_RUN,    /* a program; its stdout is results */
  FB_SUITE_SHELL,  /* a shell line; the same */
  FB_SUITE_BENCH,  /* a benchmark file, for `flyball bench` */
  FB_SUITE_RESULTS /* a file of results */
} fb_suite_source;

/* One claim. */
typedef struct fb_suite_row {
  fb_slice name;
  fb_slice published; /* what somebody else said; only shown */
  fb_slice note;
  fb_slice absent;  /* not empty: why it is not measured */
  fb_budget budget; /* series and bounds; a row without bounds is only shown */
  double per;       /* operations of a sample: times are divided by it, for rates too; 0: one */
} fb_suite_row;

/* Rows that one source measures. The first five are from the document; all is in the suite's arena. */
typedef struct fb_suite_part {
  fb_slice name, about;
  fb_suite_source source;
  const char *const *argv; /* of FB_SUITE_RUN; NULL at the end */
  const char *text;        /* the shell line, or the file as the document has it */
  int64_t timeout;         /* ns; 0: none */
  fb_suite_row *rows;
  size_t row_count;
  /* Set by who ran the source: */
  const char *command;       /* as it was run */
  const char *trouble;       /* why there are no results; NULL: there are */
  const fb_results *results; /* NULL: none */
  /* Set by fb_suite_judge: for each row at least one, `rows[i].budget` is theirs. */
  fb_gate_row *judged;
  size_t judged_count;
} fb_suite_part;

/* A decision of a suite's rulebook. */
typedef struct fb_suite_alert {
  fb_slice type, rule, fields; /* fields: JSON */
} fb_suite_alert;

typedef struct fb_suite {
  fb_slice name, about;
  const char *setup; /* a shell line, before everything; NULL: none */
  const char *rules; /* a rulebook; NULL: none */
  fb_suite_part *parts;
  size_t part_count;
  fb_suite_alert *alerts;
  size_t alert_count, alert_cap;
  fb_arena arena;
  const fb_allocator *allocator;
} fb_suite;

/* FB_E_PROOF_SUITE, with all mistakes in `errors`. The format: docs/reference/proof.md. */
FB_API fb_status fb_suite_read(fb_slice text, const char *name, const fb_allocator *allocator,
                               fb_suite *ret, fb_errors *errors);
FB_API void fb_suite_release(fb_suite *suite);
/* Judges the rows of all parts. A bound in "/s" on a series of times is a bound of the rate that is their inverse. */
FB_API fb_status fb_suite_judge(fb_suite *suite, fb_random *random, fb_error *err);
FB_API fb_status fb_suite_alert_add(fb_suite *suite, fb_slice type, fb_slice rule, fb_slice fields,
                                    fb_error *err);
/* The row that a judged one is of. */
FB_API const fb_suite_row *fb_suite_row_of(const fb_suite_part *part, const fb_gate_row *judged);

/* The claim's name; where several series fit it, with the workload. At most `size` bytes with the NUL. */
FB_API void fb_claim_label(const fb_suite_part *part, const fb_gate_row *judged, char *out,
                           size_t size);

/* met, missed, unclear, not measured, and measured for rows without a bound. */
typedef enum fb_claim {
  FB_CLAIM_MET,
  FB_CLAIM_MISSED,
  FB_CLAIM_UNCLEAR, /* the target lies within the interval */
  FB_CLAIM_NOT_MEASURED,
  FB_CLAIM_SHOWN,
  FB_CLAIM_COUNT
} fb_claim;
FB_API fb_claim fb_claim_of(const fb_gate_row *row);
FB_API const char *fb_claim_name(fb_claim claim);
FB_API void fb_suite_count(const fb_suite *suite, size_t counts[FB_CLAIM_COUNT]);

/* What a report says of the circumstances. */
typedef struct fb_suite_about {
  const fb_environment *environment;
  const fb_result_run *run; /* commit, branch, time */
  int64_t elapsed;          /* ns */
  const char *command;      /* that made the report */
} fb_suite_about;

/* How far figures are from their targets, on a logarithmic scale: one line each, the target in the middle, better to
 * the right. Rows without a figure or a target are left out; nothing is drawn when no row is left. */
FB_API void fb_plot_claims(const fb_suite_part *part, fb_buf *out);
FB_API void fb_suite_write_html(const fb_suite *suite, const fb_suite_about *about, fb_buf *out);
FB_API void fb_suite_write_markdown(const fb_suite *suite, const fb_suite_about *about,
                                    fb_buf *out);
/* A line a row ("type":"flyball.report.row.v1"), a line an alert, and one for the whole (flyball.report.v1). */
FB_API void fb_suite_write_json(const fb_suite *suite, const fb_suite_about *about, fb_buf *out);
/* "≥ 960/s", "≤ 3 ms", in the result's unit; "" for a row without a bound: at most `size` bytes with the NUL. */
FB_API void fb_claim_target(const fb_gate_row *row, char *out, size_t size);

#ifdef __cplusplus
}
#endif
#endif
