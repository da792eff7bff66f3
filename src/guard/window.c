/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/window.h"

#include <math.h>

#define RELAXED memory_order_relaxed

enum { WORDS_PER_LINE = FB_LINE / sizeof(uint64_t), BUCKETS = 10 };

static uint32_t S_power_above(uint32_t n) {
  uint32_t power = 1;
  while (power <= n) power *= 2;
  return power;
}

static fb_window_kind S_kind(const fb_breaker_config *config) {
  return config->window_calls  ? FB_WINDOW_CALLS
         : config->window_time ? FB_WINDOW_TIME
                               : FB_WINDOW_NONE;
}

static size_t S_stripes(const fb_breaker_config *config) {
  return config->stripes ? config->stripes : fb_stripe_count();
}

/* In words, whole lines. */
static size_t S_ring(const fb_breaker_config *config) {
  size_t words = 1;
  if (S_kind(config) == FB_WINDOW_TIME)
    words = S_power_above(config->buckets ? config->buckets : BUCKETS);
  return (words + WORDS_PER_LINE - 1) / WORDS_PER_LINE * WORDS_PER_LINE;
}

/* In words: of one kind of bad calls. */
static size_t S_log(const fb_breaker_config *config) {
  size_t words = S_kind(config) == FB_WINDOW_CALLS ? config->window_calls : S_ring(config);
  return (words + WORDS_PER_LINE - 1) / WORDS_PER_LINE * WORDS_PER_LINE;
}

size_t fb_window_size(const fb_breaker_config *config) {
  if (S_kind(config) == FB_WINDOW_NONE) return 0;
  return (S_stripes(config) * S_ring(config) + FB_BAD_KINDS * S_log(config)) * sizeof(uint64_t);
}

void fb_window_init(fb_window *window, const fb_breaker_config *config, void *memory) {
  window->kind = S_kind(config);
  if (window->kind == FB_WINDOW_NONE) return;
  window->buckets = config->buckets ? config->buckets : BUCKETS;
  window->ring_mask = S_power_above(window->buckets) - 1;
  window->stripe_mask = (uint32_t)S_stripes(config) - 1;
  window->stride = S_ring(config);
  window->calls = config->window_calls;
  window->minimum = config->minimum ? config->minimum : 1;
  window->rate[FB_BAD_FAILED] = config->failure_rate;
  window->rate[FB_BAD_SLOW] = config->slow_rate;
  if (window->kind == FB_WINDOW_TIME) {
    uint64_t width = (uint64_t)config->window_time / window->buckets;
    window->per_nano = UINT64_MAX / width + 1;
  }
  window->stripes = memory;
  _Atomic uint64_t *log = window->stripes + S_stripes(config) * window->stride;
  for (int kind = 0; kind < FB_BAD_KINDS; kind++)
    window->bad[kind].at = log + (size_t)kind * S_log(config);
  fb_window_reset(window);
}

/* ── Time ── */

static uint32_t S_epoch(const fb_window *window, int64_t now) {
  uint64_t nanos = now > 0 ? (uint64_t)now : 0;
  uint64_t bucket = (uint64_t)((unsigned __int128)nanos * window->per_nano >> 64);
  return (uint32_t)bucket + atomic_load_explicit(&window->shift, RELAXED);
}

/* Adds one to the slot of `epoch`. True when that began a new bucket. A slot that is ahead already
 * (another thread's clock reading was later) takes it as its own. */
static bool S_slot_add(_Atomic uint64_t *ring, uint32_t mask, uint32_t epoch) {
  _Atomic uint64_t *slot = &ring[epoch & mask];
  uint64_t seen = atomic_load_explicit(slot, RELAXED);
  while ((int32_t)((uint32_t)(seen >> 32) - epoch) < 0)
    if (atomic_compare_exchange_weak_explicit(slot, &seen, (uint64_t)epoch << 32 | 1, RELAXED,
                                              RELAXED))
      return true;
  atomic_fetch_add_explicit(slot, 1, RELAXED);
  return false;
}

static uint64_t S_ring_sum(const fb_window *window, _Atomic uint64_t *ring, uint32_t epoch) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i <= window->ring_mask; i++) {
    uint64_t seen = atomic_load_explicit(&ring[i], RELAXED);
    if ((int32_t)(epoch - (uint32_t)(seen >> 32)) < (int32_t)window->buckets) sum += (uint32_t)seen;
  }
  return sum;
}

/* ── Calls ── */

static uint64_t S_position(const fb_window *window) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i <= window->stripe_mask; i++)
    sum += atomic_load_explicit(&window->stripes[i * window->stride], RELAXED);
  return sum;
}

/* Calls in the window; those of positions above *ret_floor are in it. */
static uint64_t S_calls_in(const fb_window *window, uint64_t *ret_floor) {
  uint64_t last = S_position(window), floor = atomic_load_explicit(&window->origin, RELAXED);
  if (last > floor && last - floor > window->calls) floor = last - window->calls;
  *ret_floor = floor;
  return last > floor ? last - floor : 0;
}

static void S_log_add(fb_window *window, fb_bad kind, uint64_t position) {
  fb_bad_log *log = &window->bad[kind];
  uint64_t at = atomic_fetch_add_explicit(&log->head, 1, RELAXED);
  atomic_store_explicit(&log->at[at % window->calls], position, RELAXED);
}

/* Whether at least `need` of a kind are in the window: whether the need-th last one is. */
static bool S_log_has(const fb_window *window, fb_bad kind, uint64_t need, uint64_t floor) {
  const fb_bad_log *log = &window->bad[kind];
  uint64_t head = atomic_load_explicit(&log->head, RELAXED);
  if (need > window->calls || need > head) return false;
  return atomic_load_explicit(&log->at[(head - need) % window->calls], RELAXED) > floor;
}

static uint64_t S_log_count(const fb_window *window, fb_bad kind, uint64_t floor) {
  const fb_bad_log *log = &window->bad[kind];
  uint64_t head = atomic_load_explicit(&log->head, RELAXED), count = 0;
  for (uint64_t i = 0; i < window->calls && i < head; i++)
    count += atomic_load_explicit(&log->at[i], RELAXED) > floor;
  return count;
}

/* ── Both ── */

static _Atomic uint64_t *S_stripe(const fb_window *window) {
  return window->stripes + (fb_thread_number() & window->stripe_mask) * window->stride;
}

bool fb_window_add(fb_window *window, int64_t now) {
  bool moved = false;
  if (window->kind == FB_WINDOW_CALLS)
    atomic_fetch_add_explicit(S_stripe(window), 1, RELAXED);
  else if (window->kind == FB_WINDOW_TIME)
    moved = S_slot_add(S_stripe(window), window->ring_mask, S_epoch(window, now));
  else
    return false;
  uint32_t watch = atomic_load_explicit(&window->watch, RELAXED);
  return FB_UNLIKELY(watch) && (watch == 2 || moved);
}

void fb_window_add_bad(fb_window *window, bool failed, bool slow, int64_t now) {
  const bool is[FB_BAD_KINDS] = {failed, slow};
  fb_window_add(window, now);
  for (int kind = 0; window->kind != FB_WINDOW_NONE && kind < FB_BAD_KINDS; kind++) {
    if (!is[kind]) continue;
    if (window->kind == FB_WINDOW_CALLS)
      S_log_add(window, (fb_bad)kind, S_position(window));
    else
      S_slot_add(window->bad[kind].at, window->ring_mask, S_epoch(window, now));
  }
}

/* The least number of bad calls that is at or over the rate; a rate like 0.1 of 30 is 3, not 4. */
static uint64_t S_need(double rate, uint64_t calls) {
  double need = ceil(rate * (double)calls - 1e-9);
  return need < 1 ? 1 : (uint64_t)need;
}

static fb_bad S_passed_calls(fb_window *window) {
  uint64_t floor, calls = S_calls_in(window, &floor);
  atomic_store_explicit(&window->watch, calls < window->minimum ? 2 : 0, RELAXED);
  if (calls < window->minimum) return FB_BAD_KINDS;
  for (int kind = 0; kind < FB_BAD_KINDS; kind++)
    if (window->rate[kind] > 0 &&
        S_log_has(window, (fb_bad)kind, S_need(window->rate[kind], calls), floor))
      return (fb_bad)kind;
  return FB_BAD_KINDS;
}

fb_bad fb_window_passed(fb_window *window, int64_t now) {
  if (window->kind == FB_WINDOW_NONE) return FB_BAD_KINDS;
  if (window->kind == FB_WINDOW_CALLS) return S_passed_calls(window);
  fb_tally tally = fb_window_tally(window, now);
  bool any = tally.bad[FB_BAD_FAILED] || tally.bad[FB_BAD_SLOW];
  atomic_store_explicit(&window->watch, !any ? 0 : tally.calls < window->minimum ? 2 : 1, RELAXED);
  if (tally.calls < window->minimum) return FB_BAD_KINDS;
  for (int kind = 0; kind < FB_BAD_KINDS; kind++)
    if (window->rate[kind] > 0 && tally.bad[kind] >= S_need(window->rate[kind], tally.calls))
      return (fb_bad)kind;
  return FB_BAD_KINDS;
}

fb_tally fb_window_tally(fb_window *window, int64_t now) {
  fb_tally tally = {0};
  if (window->kind == FB_WINDOW_CALLS) {
    uint64_t floor;
    tally.calls = S_calls_in(window, &floor);
    for (int kind = 0; kind < FB_BAD_KINDS; kind++)
      tally.bad[kind] = S_log_count(window, (fb_bad)kind, floor);
  } else if (window->kind == FB_WINDOW_TIME) {
    uint32_t epoch = S_epoch(window, now);
    for (uint32_t i = 0; i <= window->stripe_mask; i++)
      tally.calls += S_ring_sum(window, window->stripes + i * window->stride, epoch);
    for (int kind = 0; kind < FB_BAD_KINDS; kind++)
      tally.bad[kind] = S_ring_sum(window, window->bad[kind].at, epoch);
  }
  return tally;
}

void fb_window_reset(fb_window *window) {
  if (window->kind == FB_WINDOW_CALLS)
    atomic_store_explicit(&window->origin, S_position(window), RELAXED);
  else if (window->kind == FB_WINDOW_TIME)
    atomic_fetch_add_explicit(&window->shift, window->buckets + 1, RELAXED);
  atomic_store_explicit(&window->watch, 0, RELAXED);
}
