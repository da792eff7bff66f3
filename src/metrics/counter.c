/* SPDX-License-Identifier: Apache-2.0
 * Counters and gauges: recording and reading. */
#include "metrics/internal.h"

enum { SHARD_SIZE = FB_PAGE_CELLS * sizeof(fb_cell) };

/* The thread's own array, made if need be; NULL: it shares. */
static fb_cell *S_own_cells(fb_page *page) {
  unsigned slot = fb_metrics_slot ? fb_metrics_slot : fb_metrics_take_slot();
  if (slot >= FB_SLOTS) return NULL;
  fb_cell *cells = atomic_load_explicit(&page->shards[slot], memory_order_relaxed);
  if (cells) return cells;
  cells = fb_lines_new(page->owner->allocator, SHARD_SIZE);
  if (!cells) return NULL;
  atomic_store_explicit(&page->shards[slot], cells, memory_order_release);
  atomic_fetch_or_explicit(&page->live, UINT64_C(1) << slot, memory_order_release);
  return cells;
}

static __attribute__((noinline, cold)) void S_add_slow(fb_counter *counter, uint64_t by) {
  fb_cell *cells = S_own_cells(counter->page);
  if (cells)
    fb_cell_bump(&cells[counter->cell], by);
  else
    atomic_fetch_add_explicit(&counter->page->shared[counter->cell], by, memory_order_relaxed);
}

void fb_counter_add(fb_counter *counter, uint64_t by) {
  if (FB_UNLIKELY(!counter)) return;
  fb_cell *cells =
      atomic_load_explicit(&counter->page->shards[fb_metrics_slot], memory_order_relaxed);
  if (FB_LIKELY(cells != NULL))
    fb_cell_bump(&cells[counter->cell], by);
  else
    S_add_slow(counter, by);
}

uint64_t fb_counter_read(const fb_counter *counter) {
  if (!counter) return 0;
  fb_page *page = counter->page;
  uint64_t total = atomic_load_explicit(&page->shared[counter->cell], memory_order_relaxed);
  uint64_t live = atomic_load_explicit(&page->live, memory_order_acquire);
  for (; live; live &= live - 1) {
    fb_cell *cells =
        atomic_load_explicit(&page->shards[__builtin_ctzll(live)], memory_order_acquire);
    total += atomic_load_explicit(&cells[counter->cell], memory_order_relaxed);
  }
  return total;
}

void fb_page_free(const fb_allocator *allocator, fb_page *page) {
  for (int slot = 0; slot < FB_SLOTS; slot++)
    fb_lines_free(allocator, atomic_load(&page->shards[slot]), SHARD_SIZE);
  fb_lines_free(allocator, page, sizeof *page);
}

void fb_gauge_set(fb_gauge *gauge, double value) {
  if (gauge) atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}

void fb_gauge_add(fb_gauge *gauge, double by) {
  if (!gauge) return;
  double was = atomic_load_explicit(&gauge->value, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&gauge->value, &was, was + by, memory_order_relaxed,
                                                memory_order_relaxed))
    ;
}

double fb_gauge_read(const fb_gauge *gauge) {
  return gauge ? atomic_load_explicit(&gauge->value, memory_order_relaxed) : 0;
}
