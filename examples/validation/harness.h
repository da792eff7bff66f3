/* SPDX-License-Identifier: Apache-2.0
 * A workload is run several times; each time gives a sample of each of its figures, printed as flyball.result.v1. A
 * workload of which any operation fails that should not is not measured at all: it prints no figure. */
#ifndef VALIDATION_HARNESS_H
#define VALIDATION_HARNESS_H

#include <flyball/data.h>

#include <stdio.h>
#include <stdlib.h>

enum { REPEATS = 8, LATENCIES_MAX = 10000 };

typedef struct work {
  const char *bench, *name;
  double throughput[REPEATS];        /* operations a second */
  double p50[REPEATS], p95[REPEATS]; /* ns */
  size_t repeat;
  double latencies[LATENCIES_MAX];
  size_t latency_count;
  bool failed;
} work;

/* One operation; `i` counts from 0 in each repeat. False: it failed. */
typedef bool work_op(void *context, long i);

double now_ns(void);
/* REPEATS × `operations`, first all of them between two looks at the clock (throughput), then each on its own (p50, p95).
 * `before` is called before each pass, `after` after it; both may be NULL. */
void work_run(work *work, const char *bench, const char *name, long operations, work_op *op,
              void (*before)(void *context), void (*after)(void *context), void *context);
/* The same by hand: begin, then for each repeat a rate and the latencies, then print. */
void work_begin(work *work, const char *bench, const char *name);
void work_latency(work *work, double ns);
void work_end_repeat(work *work, double operations, double ns);
void work_print(const work *work);
/* A figure of another kind. */
void print_samples(const char *bench, const char *name, const char *metric, const char *unit,
                   const double *samples, size_t count);
/* Says why, on stderr; the workload's figures are left out. */
void work_fail(work *work, const char *why);

/* The workloads of each file. */
void code_documents(void);
void code_tables(void);
void code_guard(void);
void code_load(void);
void code_machine(void);
void code_regression(void);
void mesh_all(void);
/* A server on a free port of the loopback interface that answers every request with 200; -1: there is none. */
int serve_start(void);

#endif
