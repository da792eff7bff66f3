/* SPDX-License-Identifier: Apache-2.0
 * Slots: small numbers that living threads own. This is the one state of the wing that is not in a registry,
 * since a thread is the process's and not a registry's. */
#include "metrics/internal.h"

_Thread_local unsigned fb_metrics_slot;

static _Atomic(uint64_t) S_taken = 1; /* bit s: slot s has an owner; 0 is no slot */
static pthread_once_t S_once = PTHREAD_ONCE_INIT;
static pthread_key_t S_key;
static bool S_has_key;

/* The thread ends. What it still records (in other destructors) goes to the shared shards. */
static void S_give_back(void *slot) {
  fb_metrics_slot = FB_SLOTS;
  atomic_fetch_and_explicit(&S_taken, ~(UINT64_C(1) << (uintptr_t)slot), memory_order_release);
}

static void S_make_key(void) {
  S_has_key = pthread_key_create(&S_key, S_give_back) == 0;
}

/* Without a way to give it back at the thread's end, a slot is not taken. */
unsigned fb_metrics_take_slot(void) {
  unsigned slot = FB_SLOTS;
  pthread_once(&S_once, S_make_key);
  uint64_t taken = atomic_load_explicit(&S_taken, memory_order_relaxed);
  while (S_has_key && ~taken) {
    unsigned free_slot = (unsigned)__builtin_ctzll(~taken);
    if (!atomic_compare_exchange_weak_explicit(&S_taken, &taken, taken | UINT64_C(1) << free_slot,
                                               memory_order_acquire, memory_order_relaxed))
      continue;
    if (pthread_setspecific(S_key, (void *)(uintptr_t)free_slot) == 0)
      slot = free_slot;
    else
      atomic_fetch_and_explicit(&S_taken, ~(UINT64_C(1) << free_slot), memory_order_release);
    break;
  }
  return fb_metrics_slot = slot;
}

void *fb_lines_new(const fb_allocator *allocator, size_t size) {
  char *raw = fb_alloc_zero(allocator, size + 2 * FB_LINE);
  return raw ? raw + FB_LINE : NULL;
}

void fb_lines_free(const fb_allocator *allocator, void *lines, size_t size) {
  if (lines) fb_free(allocator, (char *)lines - FB_LINE, size + 2 * FB_LINE);
}
