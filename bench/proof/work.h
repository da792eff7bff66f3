/* SPDX-License-Identifier: Apache-2.0
 * The functions that FB_BENCH and Google Benchmark both measure; not inlined, so that both call the same code. */
#ifndef FB_BENCH_PROOF_WORK_H
#define FB_BENCH_PROOF_WORK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

uint64_t work_hash(uint64_t start, int rounds); /* each round waits for the one before */
double work_sum(const double *numbers, int count);
uint32_t work_length(const char *text);

#ifdef __cplusplus
}
#endif
#endif
