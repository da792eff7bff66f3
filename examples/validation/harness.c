/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <flyball/proof.h>

double now_ns(void) {
  const fb_clock *clock = fb_clock_system();
  return (double)clock->mono(clock->context);
}

void print_samples(const char *bench, const char *name, const char *metric, const char *unit,
                   const double *samples, size_t count) {
  fb_bench_result result = {.bench = fb_slice_of(bench),
                            .workload = fb_slice_of(name),
                            .metric = fb_slice_of(metric),
                            .unit = fb_slice_of(unit),
                            .samples = samples,
                            .count = count};
  fb_buf line;
  result.direction = fb_direction_of(result.metric, result.unit);
  fb_buf_init(&line, NULL, 0);
  fb_result_json(&result, &line);
  puts(fb_buf_slice(&line).ptr);
  fflush(stdout);
  fb_buf_release(&line);
}

void work_begin(work *work, const char *bench, const char *name) {
  *work = (struct work){.bench = bench, .name = name};
}

void work_fail(work *work, const char *why) {
  if (!work->failed) fprintf(stderr, "%s/%s: %s: not measured\n", work->bench, work->name, why);
  work->failed = true;
}

void work_latency(work *work, double ns) {
  if (work->latency_count < LATENCIES_MAX) work->latencies[work->latency_count++] = ns;
}

void work_end_repeat(work *work, double operations, double ns) {
  size_t i = work->repeat++;
  work->throughput[i] = operations / ns * 1e9;
  if (!work->latency_count) return;
  fb_samples_sort(work->latencies, work->latency_count);
  work->p50[i] = fb_samples_quantile(work->latencies, work->latency_count, 0.5);
  work->p95[i] = fb_samples_quantile(work->latencies, work->latency_count, 0.95);
  work->latency_count = 0;
}

void work_print(const work *work) {
  if (work->failed || work->repeat == 0) return;
  print_samples(work->bench, work->name, "throughput", "/s", work->throughput, work->repeat);
  if (work->p50[0] <= 0) return;
  print_samples(work->bench, work->name, "p50", "ns", work->p50, work->repeat);
  print_samples(work->bench, work->name, "p95", "ns", work->p95, work->repeat);
}

static double S_pass(work *work, long operations, work_op *op, void *context, bool each) {
  double start = now_ns(), last = start;
  for (long i = 0; i < operations; i++) {
    if (!op(context, i)) work_fail(work, "an operation failed");
    if (!each) continue;
    double now = now_ns();
    work_latency(work, now - last);
    last = now;
  }
  return now_ns() - start;
}

void work_run(work *work, const char *bench, const char *name, long operations, work_op *op,
              void (*before)(void *context), void (*after)(void *context), void *context) {
  work_begin(work, bench, name);
  for (int repeat = 0; repeat < REPEATS && !work->failed; repeat++) {
    double elapsed[2];
    for (int pass = 0; pass < 2; pass++) {
      if (before) before(context);
      elapsed[pass] = S_pass(work, operations, op, context, pass == 1);
      if (after) after(context);
    }
    work_end_repeat(work, (double)operations, elapsed[0]);
  }
  work_print(work);
}
