/* SPDX-License-Identifier: Apache-2.0
 * Histograms that many threads record to, and reading them. */
#include "metrics/internal.h"

#include <math.h>

enum { OCTAVE_SIZE = FB_DISTRIBUTION_STEPS * sizeof(fb_cell) };

static void S_shard_init(fb_histogram_shard *shard) {
  atomic_init(&shard->min, INFINITY);
  atomic_init(&shard->max, -INFINITY);
}

fb_histogram *fb_histogram_new(fb_metrics *owner) {
  fb_histogram *histogram = fb_lines_new(owner->allocator, sizeof *histogram);
  if (!histogram) return NULL;
  histogram->owner = owner;
  S_shard_init(&histogram->shared);
  return histogram;
}

static void S_free_octaves(const fb_allocator *allocator, fb_histogram_shard *shard) {
  for (int i = 0; i < FB_DISTRIBUTION_OCTAVES; i++)
    fb_lines_free(allocator, atomic_load(&shard->octaves[i]), OCTAVE_SIZE);
}

void fb_histogram_free(fb_histogram *histogram) {
  if (!histogram) return;
  const fb_allocator *allocator = histogram->owner->allocator;
  for (int slot = 0; slot < FB_SLOTS; slot++) {
    fb_histogram_shard *shard = atomic_load(&histogram->shards[slot]);
    if (shard) S_free_octaves(allocator, shard);
    fb_lines_free(allocator, shard, sizeof *shard);
  }
  S_free_octaves(allocator, &histogram->shared);
  fb_lines_free(allocator, histogram, sizeof *histogram);
}

/* ── Recording ───────────────────────────────────────────────────────────────────────────────── */

static inline void S_note(fb_histogram_shard *shard, double value) {
  double sum = atomic_load_explicit(&shard->sum, memory_order_relaxed);
  atomic_store_explicit(&shard->sum, sum + value, memory_order_relaxed);
  if (FB_UNLIKELY(value < atomic_load_explicit(&shard->min, memory_order_relaxed)))
    atomic_store_explicit(&shard->min, value, memory_order_relaxed);
  if (FB_UNLIKELY(value > atomic_load_explicit(&shard->max, memory_order_relaxed)))
    atomic_store_explicit(&shard->max, value, memory_order_relaxed);
}

/* The same for the shared shard. */
static void S_note_shared(fb_histogram_shard *shard, double value) {
  double was = atomic_load_explicit(&shard->sum, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&shard->sum, &was, was + value,
                                                memory_order_relaxed, memory_order_relaxed))
    ;
  was = atomic_load_explicit(&shard->min, memory_order_relaxed);
  while (value < was && !atomic_compare_exchange_weak_explicit(
                            &shard->min, &was, value, memory_order_relaxed, memory_order_relaxed))
    ;
  was = atomic_load_explicit(&shard->max, memory_order_relaxed);
  while (value > was && !atomic_compare_exchange_weak_explicit(
                            &shard->max, &was, value, memory_order_relaxed, memory_order_relaxed))
    ;
}

/* The thread's own shard, made if need be; NULL: it shares. */
static fb_histogram_shard *S_own_shard(fb_histogram *histogram) {
  unsigned slot = fb_metrics_slot ? fb_metrics_slot : fb_metrics_take_slot();
  if (slot >= FB_SLOTS) return NULL;
  fb_histogram_shard *shard = atomic_load_explicit(&histogram->shards[slot], memory_order_relaxed);
  if (shard) return shard;
  shard = fb_lines_new(histogram->owner->allocator, sizeof *shard);
  if (!shard) return NULL;
  S_shard_init(shard);
  atomic_store_explicit(&histogram->shards[slot], shard, memory_order_release);
  atomic_fetch_or_explicit(&histogram->live, UINT64_C(1) << slot, memory_order_release);
  return shard;
}

/* The cell of a value in this shard; NULL when there is no memory for its octave. Of two threads that
 * make one at the same time, one throws its own away. */
static fb_cell *S_cell(const fb_allocator *allocator, fb_histogram_shard *shard, double value) {
  uint64_t bucket = fb_bucket_of(value);
  if (bucket >= FB_BUCKETS) return value > 1 ? &shard->high : &shard->low;
  _Atomic(fb_cell *) *at = &shard->octaves[bucket / FB_DISTRIBUTION_STEPS];
  fb_cell *octave = atomic_load_explicit(at, memory_order_acquire);
  if (!octave) {
    fb_cell *made = fb_lines_new(allocator, OCTAVE_SIZE);
    if (!made) return NULL;
    if (atomic_compare_exchange_strong_explicit(at, &octave, made, memory_order_acq_rel,
                                                memory_order_acquire))
      octave = made;
    else
      fb_lines_free(allocator, made, OCTAVE_SIZE);
  }
  return &octave[bucket % FB_DISTRIBUTION_STEPS];
}

static __attribute__((noinline, cold)) void S_record_slow(fb_histogram *histogram, double value) {
  fb_metrics *owner = histogram->owner;
  if (!(value >= 0) || isinf(value)) {
    fb_counter_add(owner->rejected, 1);
    return;
  }
  fb_histogram_shard *shard = S_own_shard(histogram);
  fb_cell *cell = shard ? S_cell(owner->allocator, shard, value) : NULL;
  if (cell) {
    fb_cell_bump(cell, 1);
    S_note(shard, value);
    return;
  }
  cell = S_cell(owner->allocator, &histogram->shared, value);
  if (!cell) {
    fb_counter_add(owner->dropped, 1);
    return;
  }
  atomic_fetch_add_explicit(cell, 1, memory_order_relaxed);
  S_note_shared(&histogram->shared, value);
}

void fb_histogram_record(fb_histogram *histogram, double value) {
  if (FB_UNLIKELY(!histogram)) return;
  fb_histogram_shard *shard =
      atomic_load_explicit(&histogram->shards[fb_metrics_slot], memory_order_relaxed);
  uint64_t bucket = fb_bucket_of(value);
  if (FB_LIKELY(shard && bucket < FB_BUCKETS)) {
    fb_cell *octave =
        atomic_load_explicit(&shard->octaves[bucket / FB_DISTRIBUTION_STEPS], memory_order_relaxed);
    if (FB_LIKELY(octave != NULL)) {
      fb_cell_bump(&octave[bucket % FB_DISTRIBUTION_STEPS], 1);
      S_note(shard, value);
      return;
    }
  }
  S_record_slow(histogram, value);
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

/* Takes the next shard off *live (bit 0: the shared one); NULL after the last. */
static const fb_histogram_shard *S_next_shard(const fb_histogram *histogram, uint64_t *live) {
  if (!*live) return NULL;
  int slot = __builtin_ctzll(*live);
  *live &= *live - 1;
  return slot ? atomic_load_explicit(&histogram->shards[slot], memory_order_acquire)
              : &histogram->shared;
}

static uint64_t S_live(const fb_histogram *histogram) {
  return atomic_load_explicit(&histogram->live, memory_order_acquire) | 1;
}

static double S_load(const _Atomic(double) *number) {
  return atomic_load_explicit(number, memory_order_relaxed);
}

static void S_read_octave(const fb_cell *cells, uint64_t *into, uint64_t *count) {
  for (int i = 0; i < FB_DISTRIBUTION_STEPS; i++) {
    uint64_t n = atomic_load_explicit(&cells[i], memory_order_relaxed);
    into[i] += n;
    *count += n;
  }
}

static fb_status S_read_shard(const fb_histogram_shard *shard, fb_distribution *into) {
  for (int i = 0; i < FB_DISTRIBUTION_OCTAVES; i++) {
    fb_cell *cells = atomic_load_explicit(&shard->octaves[i], memory_order_acquire);
    if (!cells) continue;
    if (!into->octaves[i]) into->octaves[i] = fb_alloc_zero(into->allocator, OCTAVE_SIZE);
    if (!into->octaves[i]) return FB_E_NOMEM;
    S_read_octave(cells, into->octaves[i], &into->count);
  }
  uint64_t low = atomic_load_explicit(&shard->low, memory_order_relaxed),
           high = atomic_load_explicit(&shard->high, memory_order_relaxed);
  into->low += low;
  into->high += high;
  into->count += low + high;
  into->sum += S_load(&shard->sum);
  into->min = fmin(into->min, S_load(&shard->min));
  into->max = fmax(into->max, S_load(&shard->max));
  return FB_OK;
}

fb_status fb_histogram_read(const fb_histogram *histogram, fb_distribution *into) {
  fb_distribution read;
  fb_distribution_init(&read, into->allocator);
  uint64_t live = S_live(histogram);
  const fb_histogram_shard *shard;
  fb_status status = FB_OK;
  while (status == FB_OK && (shard = S_next_shard(histogram, &live)))
    status = S_read_shard(shard, &read);
  if (status == FB_OK) status = fb_distribution_merge(into, &read);
  fb_distribution_release(&read);
  return status;
}

/* Adds an octave's cells to the counts between bounds; *at is the first bound not yet passed. */
static void S_count_octave(const fb_cell *cells, uint64_t first, const double *bounds,
                           size_t bound_count, size_t *at, uint64_t *counts) {
  for (uint64_t i = 0; i < FB_DISTRIBUTION_STEPS; i++) {
    uint64_t n = atomic_load_explicit(&cells[i], memory_order_relaxed);
    if (!n) continue;
    double edge = fb_bucket_edge((int64_t)(first + i));
    while (*at < bound_count && bounds[*at] < edge) ++*at;
    counts[*at] += n;
  }
}

void fb_histogram_count(const fb_histogram *histogram, const double *bounds, size_t bound_count,
                        fb_bucket_counts *ret) {
  *ret = (fb_bucket_counts){.min = INFINITY, .max = -INFINITY};
  uint64_t live = S_live(histogram);
  const fb_histogram_shard *shard;
  while ((shard = S_next_shard(histogram, &live))) {
    size_t at = 0;
    ret->counts[0] += atomic_load_explicit(&shard->low, memory_order_relaxed);
    for (uint64_t i = 0; i < FB_DISTRIBUTION_OCTAVES; i++) {
      fb_cell *cells = atomic_load_explicit(&shard->octaves[i], memory_order_acquire);
      if (cells)
        S_count_octave(cells, i * FB_DISTRIBUTION_STEPS, bounds, bound_count, &at, ret->counts);
    }
    ret->counts[bound_count] += atomic_load_explicit(&shard->high, memory_order_relaxed);
    ret->sum += S_load(&shard->sum);
    ret->min = fmin(ret->min, S_load(&shard->min));
    ret->max = fmax(ret->max, S_load(&shard->max));
  }
  for (size_t i = 0; i <= bound_count; i++) ret->total += ret->counts[i];
}
