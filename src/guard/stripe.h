/* SPDX-License-Identifier: Apache-2.0
 * Counters side by side: each thread adds to one that hardly any other thread adds to. */
#ifndef FB_GUARD_STRIPE_H
#define FB_GUARD_STRIPE_H

#include <stdint.h>

/* Two lines of 64: processors fetch them in pairs. */
#define FB_LINE 128

/* From 1, in the order in which threads first ask. Only spreads them; means nothing else. */
extern _Thread_local uint32_t fb_thread_number_cached __attribute__((tls_model("initial-exec")));
uint32_t fb_thread_number_new(void);

static inline uint32_t fb_thread_number(void) {
  uint32_t number = fb_thread_number_cached;
  return __builtin_expect(number != 0, 1) ? number : fb_thread_number_new();
}

/* A power of two ≤ 64, as many as there are processors. */
uint32_t fb_stripe_count(void);

#endif
