/* SPDX-License-Identifier: Apache-2.0
 * The peer, prometheus-cpp, with C's calling conventions. */
#ifndef BENCH_METRICS_PEER_H
#define BENCH_METRICS_PEER_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void peer_counter_add(size_t times);
double peer_counter_read(void);
/* Records values[i % count]. */
void peer_histogram_record(const double *values, size_t count, size_t times);
double peer_histogram_count(void);
void peer_fill(size_t counters, size_t gauges, size_t histograms);
void peer_forget(void);
/* Writes the registry that peer_fill filled as text; returns its length. */
size_t peer_scrape(void);
size_t peer_lines(void); /* of the last scrape that are samples */

#ifdef __cplusplus
}
#endif
#endif
