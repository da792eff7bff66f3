/* SPDX-License-Identifier: Apache-2.0
 *
 * What counting costs, beside prometheus-cpp. Prints one JSON object a line (bench/README.md).
 *   record   ns a record of one series, on one thread and on two that record to the same series
 *   scrape   ms for a registry as Prometheus text: 10,000 counters, 10,000 gauges, 10,000
 *            counters and 500 histograms
 * Ours and the peer take turns; each figure is the median of ROUNDS, in CPU time of the recording thread (the
 * slower of two), since the wall clock of a shared machine counts the neighbours too.
 */
#include <flyball/metrics.h>

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "peer.h"

enum { ROUNDS = 9, TIMES = 4000000, VALUES = 4096, SCRAPED = 10000, MIXED_HISTOGRAMS = 500 };

static void S_die(const char *what) {
  fprintf(stderr, "bench-metrics: %s failed\n", what);
  exit(1);
}

static double S_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int S_by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double S_median(double *numbers) {
  qsort(numbers, ROUNDS, sizeof *numbers, S_by_value);
  return numbers[ROUNDS / 2];
}

/* measured false: the machine did not let happen what the row is about; the figures stand, without a verdict. */
static void S_print(const char *workload, bool measured, double ours, double peer, const char *unit,
                    double reach, const char *proof) {
  const char *verdict = !measured ? "not measured" : ours <= reach ? "met" : "missed";
  printf("{\"bench\":\"metrics\",\"workload\":\"%s\",\"ours\":%.3f,", workload, ours);
  if (peer > 0)
    printf("\"peer\":%.3f,\"peer_name\":\"prometheus-cpp\",\"unit\":\"%s\",\"ratio\":%.3f,", peer,
           unit, ours / peer);
  else
    printf(
        "\"peer\":null,\"peer_name\":\"prometheus-cpp (not "
        "measured)\",\"unit\":\"%s\",\"ratio\":null,",
        unit);
  printf("\"reach\":%.3f,\"verdict\":\"%s\",%s}\n", reach, verdict, proof);
  fflush(stdout);
}

/* ── Recording ───────────────────────────────────────────────────────────────────────────────── */

static double S_values[VALUES];
static fb_counter *S_counter;
static fb_histogram *S_histogram;

static void S_ours_counter(void) {
  for (size_t i = 0; i < TIMES; i++) fb_counter_add(S_counter, 1);
}
static void S_ours_histogram(void) {
  for (size_t i = 0; i < TIMES; i++) fb_histogram_record(S_histogram, S_values[i % VALUES]);
}
#ifdef HAVE_PROMETHEUS_CPP
static void S_peer_counter(void) {
  peer_counter_add(TIMES);
}
static void S_peer_histogram(void) {
  peer_histogram_record(S_values, VALUES, TIMES);
}
#else
#define S_peer_counter NULL
#define S_peer_histogram NULL
#endif

typedef struct fb_job {
  void (*work)(void);
  pthread_barrier_t *start;
  unsigned cpu;
  double nanos;
} fb_job;

static void *S_thread(void *context) {
  fb_job *job = context;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(job->cpu, &cpus);
  pthread_setaffinity_np(pthread_self(), sizeof cpus,
                         &cpus); /* where it fails, "parallel" shows it */
  pthread_barrier_wait(job->start);
  double before = S_cpu();
  job->work();
  job->nanos = S_cpu() - before;
  return NULL;
}

static double S_wall(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ns a record, of the slowest of the threads. *ret_parallel: CPU time for each unit of wall time, so that one can
 * see whether two threads did run at once. */
static double S_time(void (*work)(void), unsigned threads, double *ret_parallel) {
  fb_job jobs[2];
  pthread_t ids[2];
  pthread_barrier_t start;
  pthread_barrier_init(&start, NULL, threads);
  double slowest = 0, all = 0, before = S_wall();
  for (unsigned i = 0; i < threads; i++) {
    jobs[i] = (fb_job){work, &start, i, 0};
    if (pthread_create(&ids[i], NULL, S_thread, &jobs[i]) != 0) S_die("pthread_create");
  }
  for (unsigned i = 0; i < threads; i++) {
    pthread_join(ids[i], NULL);
    slowest = fmax(slowest, jobs[i].nanos / TIMES);
    all += jobs[i].nanos;
  }
  *ret_parallel = all / (S_wall() - before);
  pthread_barrier_destroy(&start);
  return slowest;
}

static void S_record(const char *what, void (*ours)(void), void (*peer)(void), double reach) {
  static double numbers[2][2][ROUNDS], parallel[2][2][ROUNDS];
  for (int round = 0; round < ROUNDS; round++)
    for (unsigned two = 0; two < 2; two++) {
      numbers[0][two][round] = S_time(ours, two + 1, &parallel[0][two][round]);
      if (peer) numbers[1][two][round] = S_time(peer, two + 1, &parallel[1][two][round]);
    }
  for (unsigned two = 0; two < 2; two++) {
    char workload[60], proof[100];
    snprintf(workload, sizeof workload, "record-%s-%s", what, two ? "2-threads" : "1-thread");
    double together = S_median(parallel[0][two]);
    int len = snprintf(proof, sizeof proof, "\"records\":%zu,\"parallel\":%.2f",
                       (size_t)ROUNDS * 3 * TIMES, together);
    if (peer)
      snprintf(proof + len, sizeof proof - (size_t)len, ",\"peer_parallel\":%.2f",
               S_median(parallel[1][two]));
    /* Two threads that took turns on one core say nothing about two. */
    S_print(workload, !two || together > 1.2, S_median(numbers[0][two]),
            peer ? S_median(numbers[1][two]) : 0, "ns/record", reach, proof);
  }
}

/* All threads' records of all rounds arrived on both sides. */
static void S_check_totals(void) {
  fb_distribution read;
  fb_distribution_init(&read, NULL);
  uint64_t all = (uint64_t)ROUNDS * 3 * TIMES;
  if (fb_histogram_read(S_histogram, &read) != FB_OK || read.count != all ||
      fb_counter_read(S_counter) != all)
    S_die("counting all records");
#ifdef HAVE_PROMETHEUS_CPP
  if (peer_counter_read() != (double)all || peer_histogram_count() != (double)all)
    S_die("the peer's counting");
#endif
  fb_distribution_release(&read);
}

static void S_bench_record(void) {
  fb_metrics *metrics;
  fb_metric *counters, *histograms;
  fb_metric_def counter = {.name = "c"},
                histogram = {.kind = FB_METRIC_HISTOGRAM, .name = "h_seconds", .unit = "seconds"};
  if (fb_metrics_new(NULL, &metrics, NULL) != FB_OK ||
      fb_metrics_define(metrics, &counter, &counters, NULL) != FB_OK ||
      fb_metrics_define(metrics, &histogram, &histograms, NULL) != FB_OK ||
      fb_metric_counter(counters, NULL, &S_counter, NULL) != FB_OK ||
      fb_metric_histogram(histograms, NULL, &S_histogram, NULL) != FB_OK)
    S_die("defining");
  /* Latencies with a tail: a millisecond, give or take a factor of four. */
  fb_random random;
  fb_random_seed(&random, 1);
  for (int i = 0; i < VALUES; i++) {
    double normal = sqrt(-2 * log(1 - fb_random_unit(&random))) *
                    cos(6.283185307179586 * fb_random_unit(&random));
    S_values[i] = 0.001 * exp(1.4 * normal);
  }
  S_record("counter", S_ours_counter, S_peer_counter, 4);
  S_record("histogram", S_ours_histogram, S_peer_histogram, 10);
  S_check_totals();
  fb_metrics_free(metrics);
}

/* ── Scraping ────────────────────────────────────────────────────────────────────────────────── */

static void S_fill_counters(fb_metrics *metrics, size_t count) {
  static const char *const labels[] = {"method", "path", "status"};
  fb_metric *metric;
  fb_metric_def def = {.name = "requests",
                       .help = "Requests served.",
                       .labels = labels,
                       .label_count = 3,
                       .max_series = SCRAPED};
  if (fb_metrics_define(metrics, &def, &metric, NULL) != FB_OK) S_die("defining");
  for (size_t i = 0; i < count; i++) {
    char path[40], status[20];
    fb_slice values[] = {i % 2 ? FB_SLICE("GET") : FB_SLICE("POST"),
                         {path, (size_t)snprintf(path, sizeof path, "/item/%zu", i)},
                         {status, (size_t)snprintf(status, sizeof status, "%zu", 200 + i % 5)}};
    fb_counter *counter = NULL;
    if (fb_metric_counter(metric, values, &counter, NULL) != FB_OK) S_die("resolving");
    fb_counter_add(counter, i * 997);
  }
}

/* Sevenths have 16 or 17 digits, as measured values have. */
static void S_fill_gauges(fb_metrics *metrics, size_t count) {
  static const char *const labels[] = {"path"};
  fb_metric *metric;
  fb_metric_def def = {.kind = FB_METRIC_GAUGE,
                       .name = "temperature",
                       .help = "Of the sensors.",
                       .labels = labels,
                       .label_count = 1,
                       .max_series = SCRAPED};
  if (fb_metrics_define(metrics, &def, &metric, NULL) != FB_OK) S_die("defining");
  for (size_t i = 0; i < count; i++) {
    char path[40];
    fb_slice value = {path, (size_t)snprintf(path, sizeof path, "/item/%zu", i)};
    fb_gauge *gauge = NULL;
    if (fb_metric_gauge(metric, &value, &gauge, NULL) != FB_OK) S_die("resolving");
    fb_gauge_set(gauge, (double)(i + 1) / 7);
  }
}

static void S_fill_histograms(fb_metrics *metrics, size_t count) {
  static const char *const labels[] = {"path"};
  fb_metric *metric;
  fb_metric_def def = {.kind = FB_METRIC_HISTOGRAM,
                       .name = "wait_seconds",
                       .help = "Waiting time.",
                       .unit = "seconds",
                       .labels = labels,
                       .label_count = 1,
                       .max_series = SCRAPED};
  if (fb_metrics_define(metrics, &def, &metric, NULL) != FB_OK) S_die("defining");
  for (size_t i = 0; i < count; i++) {
    char path[40];
    fb_slice value = {path, (size_t)snprintf(path, sizeof path, "/item/%zu", i)};
    fb_histogram *histogram = NULL;
    if (fb_metric_histogram(metric, &value, &histogram, NULL) != FB_OK) S_die("resolving");
    for (int j = 0; j < 100; j++) fb_histogram_record(histogram, 0.001 * (j + 1));
  }
}

static size_t S_samples(const fb_buf *text) {
  size_t samples = 0;
  for (size_t at = 0; at < text->len; at++)
    if (at == 0 || text->ptr[at - 1] == '\n') samples += text->ptr[at] != '#';
  return samples;
}

/* Ours has three samples more, the registry's own. */
static void S_bench_scrape(const char *workload, size_t counters, size_t gauges,
                           size_t histograms) {
  fb_metrics *metrics;
  if (fb_metrics_new(NULL, &metrics, NULL) != FB_OK) S_die("making a registry");
  S_fill_counters(metrics, counters);
  S_fill_gauges(metrics, gauges);
  S_fill_histograms(metrics, histograms);
#ifdef HAVE_PROMETHEUS_CPP
  peer_forget();
  peer_fill(counters, gauges, histograms);
#endif
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  double ours[ROUNDS], peer[ROUNDS];
  size_t peer_samples = 0;
  for (int round = 0; round < ROUNDS; round++) {
    fb_buf_clear(&out);
    double before = S_cpu();
    if (fb_metrics_write(metrics, FB_METRICS_PROMETHEUS, 0, &out, NULL) != FB_OK) S_die("writing");
    ours[round] = (S_cpu() - before) / 1e6;
#ifdef HAVE_PROMETHEUS_CPP
    before = S_cpu();
    peer_scrape();
    peer[round] = (S_cpu() - before) / 1e6;
    peer_samples = peer_lines();
    if (peer_samples + 3 != S_samples(&out)) S_die("comparing what was scraped");
#endif
  }
  char proof[100];
  snprintf(proof, sizeof proof, "\"samples\":%zu,\"peer_samples\":%zu,\"bytes\":%zu",
           S_samples(&out), peer_samples, out.len);
  S_print(workload, true, S_median(ours), peer_samples ? S_median(peer) : 0, "ms", 2, proof);
  fb_buf_release(&out);
  fb_metrics_free(metrics);
}

int main(int argc, char **argv) {
  (void)argv;
  S_bench_record();
  S_bench_scrape("scrape-10000-counters", SCRAPED, 0, 0);
  S_bench_scrape("scrape-10000-gauges", 0, SCRAPED, 0);
  S_bench_scrape("scrape-10000-counters-and-500-histograms", SCRAPED, 0, MIXED_HISTOGRAMS);
  return argc > 1;
}
