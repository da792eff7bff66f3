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
  fb_buf *captured; /* of FB_OUTPUT_CAPTURE: both streams; appended to */
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
  bool has_interval;    /* false: fewer than FB_SAMPLES_MIN runs, or they are all the same */
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

#ifdef __cplusplus
}
#endif
#endif
