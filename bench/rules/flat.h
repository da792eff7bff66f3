/* SPDX-License-Identifier: Apache-2.0
 * Flat facts, many rules: the workloads, the same for every engine.
 *
 *   order    id, customer (of N/10), amount (0–999), status (of 4), region (0–49)
 *   customer id, tier ("gold", one of ten, or "basic")
 */
#ifndef FB_BENCH_FLAT_H
#define FB_BENCH_FLAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <flyball/base.h>

typedef struct bench_order {
  int32_t id, customer, amount, region;
  uint8_t status;
} bench_order;

typedef struct bench_data {
  size_t count, customer_count;
  bench_order *orders;
  bool *gold; /* by customer */
} bench_data;

typedef struct bench_rule {
  int status, region; /* -1: not tested */
  int low, high;      /* low ≤ amount < high; high -1: not tested; both -1: amount not tested */
} bench_rule;

typedef struct bench_result {
  double seconds;        /* processor time of assert and fire */
  double update_seconds; /* of 10 % of the orders modified, and fired again */
  uint64_t firings, update_firings;
} bench_result;

extern const char *const bench_statuses[4];

/* Rules of "b1", "r10", "r100", "r10000"; 0 for "join". */
size_t bench_rules(const char *workload, bench_rule **ret_rules);
double bench_processor_seconds(void);
/* Always the same. */
bench_data bench_make(size_t count);
void bench_free(bench_data *data);
/* What must fire for orders from … from + count - 1, counted without an engine; for all, of "join". */
uint64_t bench_expected(const bench_data *data, const char *workload, size_t from, size_t count);
uint64_t bench_fires(const bench_order *order, const char *workload);
/* Appends the rulebook, as YAML or JSON ("join": YAML). */
void bench_rulebook(const char *workload, bool json, fb_buf *out);

#ifdef HAVE_CLIPS
bench_result bench_clips(const bench_data *data, const char *workload);
#endif

#endif
