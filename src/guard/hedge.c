/* SPDX-License-Identifier: Apache-2.0
 * When to send a call a second time. After Dean and Barroso, "The Tail at Scale" (CACM 56/2, 2013): a second copy
 * after the 95th percentile of the latency costs one call in twenty and takes most of the tail away.
 *
 * Latencies are counted in buckets that are narrower the shorter they are: coarser than fb_distribution, but in one
 * fixed block, written by any number of threads without a lock, and halved as it goes, so that old ones fade. */
#include <flyball/guard.h>

#include <stdatomic.h>

enum {
  STEPS_BITS = 4, /* 16 steps an octave: an edge is at most 6.25 % above what it stands for */
  STEPS = 1 << STEPS_BITS,
  LOWEST = 10, /* 2^10 ns and less: the first bucket */
  OCTAVES = 32,
  BUCKETS = OCTAVES * STEPS
};
#define RENEW UINT64_C(256) /* calls between two looks at the percentile */
#define FADE UINT64_C(4096) /* calls between two halvings */

struct fb_hedge {
  const fb_allocator *allocator;
  fb_hedge_config config;
  _Atomic int64_t delay;
  _Atomic uint64_t records, calls, copies, denied, won;
  atomic_flag renewing;
  _Atomic uint32_t buckets[BUCKETS];
};

static uint32_t S_bucket(int64_t latency) {
  uint64_t value = latency > 0 ? (uint64_t)latency : 0;
  if (value < UINT64_C(1) << LOWEST) return 0;
  uint32_t octave = 63 - (uint32_t)__builtin_clzll(value);
  uint32_t step = (uint32_t)(value >> (octave - STEPS_BITS)) & (STEPS - 1);
  uint32_t bucket = (octave - LOWEST) * STEPS + step;
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/* The longest latency that falls into it. */
static int64_t S_edge(uint32_t bucket) {
  uint32_t octave = bucket / STEPS + LOWEST, step = bucket % STEPS + 1;
  return (INT64_C(1) << octave) + ((int64_t)step << (octave - STEPS_BITS)) - 1;
}

fb_hedge_config fb_hedge_config_default(void) {
  return (fb_hedge_config){.percentile = 0.95, .delay = 100 * FB_MILLISECOND, .copies = 1};
}

static fb_status S_check(const fb_hedge_config *config, fb_error *err) {
  if (config->delay < 0 || config->least < 0 || config->most < 0)
    return fb_fail(err, FB_E_USAGE, "hedge: delay, least and most are not negative");
  if (config->most && config->most < config->least)
    return fb_fail(err, FB_E_USAGE, "hedge: most is shorter than least");
  if (config->percentile != 0 && !(config->percentile > 0 && config->percentile < 1))
    return fb_fail(err, FB_E_USAGE, "hedge: percentile is %g; it lies between 0 and 1",
                   config->percentile);
  if (config->percentile == 0 && config->delay == 0)
    return fb_fail(err, FB_E_USAGE, "hedge: neither a delay nor a percentile");
  if (config->copies > 16)
    return fb_fail(err, FB_E_USAGE, "hedge: %u copies; they are 1 to 16", config->copies);
  return FB_OK;
}

fb_status fb_hedge_new(const fb_hedge_config *config, const fb_allocator *allocator,
                       fb_hedge **ret_hedge, fb_error *err) {
  fb_status status = S_check(config, err);
  if (status != FB_OK) return status;
  fb_hedge *hedge = fb_alloc_zero(allocator, sizeof *hedge);
  if (!hedge) return fb_fail(err, FB_E_NOMEM, "no memory for a hedge");
  hedge->allocator = allocator;
  hedge->config = *config;
  if (!hedge->config.copies) hedge->config.copies = 1;
  if (!hedge->config.minimum) hedge->config.minimum = 100;
  if (!hedge->config.most) hedge->config.most = FB_NEVER;
  atomic_flag_clear(&hedge->renewing);
  atomic_store_explicit(&hedge->delay, config->delay ? config->delay : FB_NEVER,
                        memory_order_relaxed);
  *ret_hedge = hedge;
  return FB_OK;
}

void fb_hedge_free(fb_hedge *hedge) {
  if (hedge) fb_free(hedge->allocator, hedge, sizeof *hedge);
}

/* ── Latencies ── */

static int64_t S_percentile(fb_hedge *hedge) {
  uint32_t counts[BUCKETS];
  uint64_t total = 0, sum = 0;
  for (uint32_t i = 0; i < BUCKETS; i++)
    total += counts[i] = atomic_load_explicit(&hedge->buckets[i], memory_order_relaxed);
  double wanted = hedge->config.percentile * (double)total;
  for (uint32_t i = 0; i < BUCKETS; i++)
    if ((double)(sum += counts[i]) >= wanted) return S_edge(i);
  return S_edge(BUCKETS - 1);
}

static void S_fade(fb_hedge *hedge) {
  for (uint32_t i = 0; i < BUCKETS; i++) {
    uint32_t count = atomic_load_explicit(&hedge->buckets[i], memory_order_relaxed);
    if (count)
      atomic_fetch_sub_explicit(&hedge->buckets[i], count - count / 2, memory_order_relaxed);
  }
}

/* One thread at a time; the others go on with the delay that was. */
static void S_renew(fb_hedge *hedge, uint64_t records) {
  const fb_hedge_config *config = &hedge->config;
  if (atomic_flag_test_and_set_explicit(&hedge->renewing, memory_order_acquire)) return;
  int64_t delay = S_percentile(hedge);
  if (delay < config->least) delay = config->least;
  if (delay > config->most) delay = config->most;
  atomic_store_explicit(&hedge->delay, delay, memory_order_relaxed);
  if (records % FADE == 0) S_fade(hedge);
  atomic_flag_clear_explicit(&hedge->renewing, memory_order_release);
}

/* ── One call ── */

void fb_hedge_begin(fb_hedge_call *call, fb_hedge *hedge, int64_t now) {
  *call = (fb_hedge_call){.hedge = hedge, .last = now};
  atomic_fetch_add_explicit(&hedge->calls, 1, memory_order_relaxed);
}

int64_t fb_hedge_left(const fb_hedge_call *call, int64_t now) {
  const fb_hedge *hedge = call->hedge;
  if (call->copies >= hedge->config.copies || call->over) return FB_NEVER;
  int64_t delay = atomic_load_explicit(&hedge->delay, memory_order_relaxed);
  if (delay == FB_NEVER || call->last > FB_NEVER - 1 - delay) return FB_NEVER;
  return fb_deadline_left((fb_deadline){call->last + delay}, now);
}

bool fb_hedge_send(fb_hedge_call *call, int64_t now) {
  fb_hedge *hedge = call->hedge;
  if (fb_hedge_left(call, now) != 0) return false;
  if (hedge->config.budget && !fb_retry_budget_withdraw(hedge->config.budget)) {
    atomic_fetch_add_explicit(&hedge->denied, 1, memory_order_relaxed);
    call->over = true;
    return false;
  }
  atomic_fetch_add_explicit(&hedge->copies, 1, memory_order_relaxed);
  call->copies++;
  call->last = now;
  return true;
}

void fb_hedge_end(fb_hedge_call *call, uint32_t copy, fb_result result, int64_t latency) {
  fb_hedge *hedge = call->hedge;
  call->over = true;
  if (result != FB_RESULT_OK) return;
  if (copy) atomic_fetch_add_explicit(&hedge->won, 1, memory_order_relaxed);
  if (hedge->config.budget) fb_retry_budget_deposit(hedge->config.budget);
  if (hedge->config.percentile == 0) return;
  atomic_fetch_add_explicit(&hedge->buckets[S_bucket(latency)], 1, memory_order_relaxed);
  uint64_t records = atomic_fetch_add_explicit(&hedge->records, 1, memory_order_relaxed) + 1;
  if (records == hedge->config.minimum || (records > hedge->config.minimum && records % RENEW == 0))
    S_renew(hedge, records);
}

fb_hedge_stats fb_hedge_statistics(const fb_hedge *hedge) {
  return (fb_hedge_stats){.calls = atomic_load_explicit(&hedge->calls, memory_order_relaxed),
                          .copies = atomic_load_explicit(&hedge->copies, memory_order_relaxed),
                          .denied = atomic_load_explicit(&hedge->denied, memory_order_relaxed),
                          .won = atomic_load_explicit(&hedge->won, memory_order_relaxed),
                          .delay = atomic_load_explicit(&hedge->delay, memory_order_relaxed)};
}
