/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/stripe.h"

#include <stdatomic.h>
#include <unistd.h>

_Thread_local uint32_t fb_thread_number_cached;

uint32_t fb_thread_number_new(void) {
  /* The wing's only state that is nobody's: it decides who adds where, never what the sum is. */
  static _Atomic uint32_t last;
  uint32_t number = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
  return fb_thread_number_cached = number ? number : 1;
}

uint32_t fb_stripe_count(void) {
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  uint32_t count = 1;
  while (count < 64 && (long)count < processors) count *= 2;
  return count;
}
