/* SPDX-License-Identifier: Apache-2.0
 * The circuit breaker. One word says it all:
 *
 *   bits 0–2 state, 3–31 generation, 32–47 probes in flight, 48–63 probes that went well
 *
 * Its lower half is the permit of a call, so a call of an earlier generation is told by one comparison. The lower
 * half changes only under `lock`, the upper half also without it (compare and swap). Whoever only lets a call
 * through or records a good one never takes the lock. */
#include <flyball/guard.h>

#include "guard/window.h"

#include <pthread.h>
#include <stdatomic.h>

#define STATE_MASK 7u
#define ONE_PROBE (UINT64_C(1) << 32)
#define ONE_SUCCESS (UINT64_C(1) << 48)
#define COUNT_MASK 0xffffu

struct fb_breaker {
  _Alignas(FB_LINE) _Atomic uint64_t word;
  _Atomic int64_t until; /* of OPEN and HALF_OPEN: when it ends; written before `word` is */
  int64_t slow_after;    /* FB_NEVER: none is */
  uint32_t consecutive_limit;
  _Alignas(FB_LINE) _Atomic uint32_t consecutive;
  fb_window window;
  fb_breaker_config config;
  fb_allocator allocator;
  void *block;
  size_t block_size;
  /* Under the lock: */
  pthread_mutex_t lock;
  fb_random random;
  double next_wait; /* before jitter */
  _Atomic uint32_t opened;
};

/* ── Creation ── */

fb_breaker_config fb_breaker_config_default(void) {
  return (fb_breaker_config){.consecutive = 5,
                             .window_calls = 100,
                             .failure_rate = 0.5,
                             .minimum = 10,
                             .wait = 30 * FB_SECOND,
                             .wait_factor = 2,
                             .wait_max = 300 * FB_SECOND,
                             .wait_jitter = 0.2,
                             .probes = 3,
                             .close_after = 3};
}

static fb_status S_check_window(const fb_breaker_config *config, fb_error *err) {
  bool window = config->window_calls || config->window_time;
  uint32_t buckets = config->buckets ? config->buckets : 10;
  if (config->window_calls && config->window_time)
    return fb_fail(err, FB_E_USAGE, "breaker: it has window_calls or window_time, not both");
  if (config->window_calls > 1000000)
    return fb_fail(err, FB_E_USAGE, "breaker: window_calls is %u; at most 1000000",
                   config->window_calls);
  if (buckets < 2 || buckets > 63)
    return fb_fail(err, FB_E_USAGE, "breaker: buckets is %u; it is 2 to 63", buckets);
  if (config->window_time < 0 || (config->window_time && config->window_time / buckets < 1000))
    return fb_fail(err, FB_E_USAGE, "breaker: a bucket of window_time is shorter than 1 µs");
  if (!(config->failure_rate >= 0 && config->failure_rate <= 1) ||
      !(config->slow_rate >= 0 && config->slow_rate <= 1))
    return fb_fail(err, FB_E_USAGE, "breaker: a rate is 0 to 1");
  if ((config->failure_rate > 0 || config->slow_rate > 0) != window)
    return fb_fail(err, FB_E_USAGE, "breaker: a rate needs a window, and a window a rate");
  if (config->slow_rate > 0 && config->slow_after <= 0)
    return fb_fail(err, FB_E_USAGE, "breaker: slow_rate needs slow_after");
  if (config->window_calls && config->minimum > config->window_calls)
    return fb_fail(err, FB_E_USAGE, "breaker: minimum is more than window_calls");
  return FB_OK;
}

static fb_status S_check(const fb_breaker_config *config, fb_error *err) {
  fb_status status = S_check_window(config, err);
  if (status != FB_OK) return status;
  if (config->wait < 0 || config->wait_max < 0 || config->probe_time < 0 || config->slow_after < 0)
    return fb_fail(err, FB_E_USAGE, "breaker: times are not negative");
  if (config->wait_max && config->wait_max < config->wait)
    return fb_fail(err, FB_E_USAGE, "breaker: wait_max is shorter than wait");
  if (config->wait_factor != 0 && !(config->wait_factor >= 1 && config->wait_factor <= 1e6))
    return fb_fail(err, FB_E_USAGE, "breaker: wait_factor is %g; it is 1 to 1000000",
                   config->wait_factor);
  if (!(config->wait_jitter >= 0 && config->wait_jitter <= 1))
    return fb_fail(err, FB_E_USAGE, "breaker: wait_jitter is %g; it is 0 to 1",
                   config->wait_jitter);
  if (config->probes > COUNT_MASK || config->close_after > COUNT_MASK)
    return fb_fail(err, FB_E_USAGE, "breaker: probes and close_after are at most 65535");
  if (config->stripes > 64 || (config->stripes & (config->stripes - 1)))
    return fb_fail(err, FB_E_USAGE, "breaker: stripes is %u; it is a power of two up to 64",
                   config->stripes);
  return FB_OK;
}

static void S_defaults(fb_breaker_config *config) {
  if (!config->stripes) config->stripes = fb_stripe_count();
  if (!config->wait) config->wait = 30 * FB_SECOND;
  if (config->wait_factor == 0) config->wait_factor = 1;
  if (!config->wait_max)
    config->wait_max = config->wait > 3600 * FB_SECOND ? config->wait : 3600 * FB_SECOND;
  if (!config->probes) config->probes = 1;
  if (!config->close_after) config->close_after = config->probes;
}

fb_status fb_breaker_new(const fb_breaker_config *config, const fb_allocator *allocator,
                         fb_breaker **ret_breaker, fb_error *err) {
  fb_status status = S_check(config, err);
  if (status != FB_OK) return status;
  fb_breaker_config full = *config;
  S_defaults(&full);
  size_t size = sizeof(fb_breaker) + fb_window_size(&full) + FB_LINE;
  void *block = fb_alloc_zero(allocator, size);
  if (!block) return fb_fail(err, FB_E_NOMEM, "no memory for a breaker");
  fb_breaker *breaker =
      (fb_breaker *)(((uintptr_t)block + FB_LINE - 1) & ~(uintptr_t)(FB_LINE - 1));
  if (pthread_mutex_init(&breaker->lock, NULL) != 0) {
    fb_free(allocator, block, size);
    return fb_fail(err, FB_E_NOMEM, "no memory for a breaker's lock");
  }
  breaker->block = block;
  breaker->block_size = size;
  breaker->allocator = allocator ? *allocator : *fb_allocator_system();
  breaker->config = full;
  breaker->slow_after = full.slow_rate > 0 ? full.slow_after : FB_NEVER;
  breaker->consecutive_limit = full.consecutive;
  breaker->next_wait = (double)full.wait;
  fb_random_seed(&breaker->random, full.seed);
  fb_window_init(&breaker->window, &full, breaker + 1);
  atomic_init(&breaker->word, FB_BREAKER_CLOSED);
  *ret_breaker = breaker;
  return FB_OK;
}

void fb_breaker_free(fb_breaker *breaker) {
  if (!breaker) return;
  fb_allocator allocator = breaker->allocator;
  pthread_mutex_destroy(&breaker->lock);
  fb_free(&allocator, breaker->block, breaker->block_size);
}

/* ── Changes of state ── */

static int64_t S_next_wait(fb_breaker *breaker) {
  const fb_breaker_config *config = &breaker->config;
  double max = (double)config->wait_max, wait = breaker->next_wait;
  breaker->next_wait = wait * config->wait_factor < max ? wait * config->wait_factor : max;
  if (config->wait_jitter > 0)
    wait *= 1 + config->wait_jitter * (2 * fb_random_unit(&breaker->random) - 1);
  return (int64_t)(wait < max ? wait : max);
}

static int64_t S_after(int64_t now, int64_t wait) {
  return wait == 0 || now > FB_NEVER - wait ? FB_NEVER : now + wait;
}

/* Under the lock. Returns the new word's lower half. */
static fb_permit S_enter(fb_breaker *breaker, fb_breaker_state to, fb_breaker_reason reason,
                         int64_t now, fb_breaker_event *event) {
  uint32_t word = (uint32_t)atomic_load_explicit(&breaker->word, memory_order_relaxed);
  *event = (fb_breaker_event){
      .from = (fb_breaker_state)(word & STATE_MASK), .to = to, .reason = reason, .at = now};
  if (to == FB_BREAKER_OPEN) {
    atomic_fetch_add_explicit(&breaker->opened, 1, memory_order_relaxed);
    event->wait = S_next_wait(breaker);
    atomic_store_explicit(&breaker->until,
                          now > FB_NEVER - event->wait ? FB_NEVER : now + event->wait,
                          memory_order_relaxed);
  } else if (to == FB_BREAKER_HALF_OPEN) {
    atomic_store_explicit(&breaker->until, S_after(now, breaker->config.probe_time),
                          memory_order_relaxed);
  } else {
    atomic_store_explicit(&breaker->opened, 0, memory_order_relaxed);
    breaker->next_wait = (double)breaker->config.wait;
    atomic_store_explicit(&breaker->consecutive, 0, memory_order_relaxed);
    fb_window_reset(&breaker->window);
  }
  uint32_t next = ((word & ~STATE_MASK) + STATE_MASK + 1) | (uint32_t)to;
  event->generation = next >> 3;
  /* Whoever makes it half open is its first probe. */
  uint64_t first = to == FB_BREAKER_HALF_OPEN ? ONE_PROBE : 0;
  atomic_store_explicit(&breaker->word, next | first, memory_order_release);
  return next;
}

static void S_tell(fb_breaker *breaker, const fb_breaker_event *event) {
  if (breaker->config.event) breaker->config.event(breaker->config.context, event);
}

/* From the state that `permit` stands for; does nothing if that is over. */
static void S_move(fb_breaker *breaker, fb_permit permit, fb_breaker_state to,
                   fb_breaker_reason reason, int64_t now) {
  fb_breaker_event event;
  pthread_mutex_lock(&breaker->lock);
  bool mine = (uint32_t)atomic_load_explicit(&breaker->word, memory_order_relaxed) == permit;
  if (mine) S_enter(breaker, to, reason, now, &event);
  pthread_mutex_unlock(&breaker->lock);
  if (mine) S_tell(breaker, &event);
}

fb_status fb_breaker_force(fb_breaker *breaker, fb_breaker_state state, int64_t now) {
  if (state < FB_BREAKER_CLOSED || state > FB_BREAKER_DISABLED || state == FB_BREAKER_HALF_OPEN)
    return FB_E_USAGE;
  fb_breaker_event event;
  pthread_mutex_lock(&breaker->lock);
  S_enter(breaker, state, FB_BREAKER_BY_HAND, now, &event);
  pthread_mutex_unlock(&breaker->lock);
  S_tell(breaker, &event);
  return FB_OK;
}

/* ── Letting through ── */

/* The wait is over. Whoever comes while another is at it is refused, not held up. */
static fb_permit S_try_half_open(fb_breaker *breaker, fb_permit seen, int64_t now) {
  fb_breaker_event event;
  fb_permit permit = 0;
  if (pthread_mutex_trylock(&breaker->lock) != 0) return 0;
  if ((uint32_t)atomic_load_explicit(&breaker->word, memory_order_relaxed) == seen)
    permit = S_enter(breaker, FB_BREAKER_HALF_OPEN, FB_BREAKER_BY_WAIT, now, &event);
  pthread_mutex_unlock(&breaker->lock);
  if (permit) S_tell(breaker, &event);
  return permit;
}

static fb_permit S_admit_probe(fb_breaker *breaker, uint64_t word, int64_t now) {
  fb_permit permit = (fb_permit)word;
  do {
    if ((uint32_t)word != permit) return 0;
    if ((word >> 32 & COUNT_MASK) < breaker->config.probes) continue;
    if (now >= atomic_load_explicit(&breaker->until, memory_order_relaxed))
      S_move(breaker, permit, FB_BREAKER_OPEN, FB_BREAKER_BY_LOST_PROBES, now);
    return 0;
  } while (!atomic_compare_exchange_weak_explicit(&breaker->word, &word, word + ONE_PROBE,
                                                  memory_order_acq_rel, memory_order_acquire));
  return permit;
}

fb_permit fb_breaker_admit(fb_breaker *breaker, int64_t now) {
  uint64_t word = atomic_load_explicit(&breaker->word, memory_order_acquire);
  switch ((uint32_t)word & STATE_MASK) {
    case FB_BREAKER_OPEN:
      if (FB_LIKELY(now < atomic_load_explicit(&breaker->until, memory_order_relaxed))) return 0;
      return S_try_half_open(breaker, (fb_permit)word, now);
    case FB_BREAKER_HALF_OPEN: return S_admit_probe(breaker, word, now);
    case FB_BREAKER_FORCED_OPEN: return 0;
    default: return (fb_permit)word;
  }
}

/* ── Recording ── */

static void S_record_probe(fb_breaker *breaker, fb_permit permit, fb_result result, bool slow,
                           int64_t now) {
  uint64_t word = atomic_load_explicit(&breaker->word, memory_order_acquire), next;
  bool good = result == FB_RESULT_OK && !slow;
  if (!good && result != FB_RESULT_IGNORED) {
    S_move(breaker, permit, FB_BREAKER_OPEN, FB_BREAKER_BY_PROBE, now);
    return;
  }
  do {
    if ((uint32_t)word != permit || !(word >> 32 & COUNT_MASK)) return;
    next = word - ONE_PROBE + (good && word >> 48 < COUNT_MASK ? ONE_SUCCESS : 0);
  } while (!atomic_compare_exchange_weak_explicit(&breaker->word, &word, next, memory_order_acq_rel,
                                                  memory_order_acquire));
  if (next >> 48 >= breaker->config.close_after)
    S_move(breaker, permit, FB_BREAKER_CLOSED, FB_BREAKER_BY_PROBES, now);
}

static void S_judge(fb_breaker *breaker, fb_permit permit, int64_t now) {
  fb_bad passed = fb_window_passed(&breaker->window, now);
  if (passed == FB_BAD_KINDS || (permit & STATE_MASK) != FB_BREAKER_CLOSED) return;
  S_move(breaker, permit, FB_BREAKER_OPEN,
         passed == FB_BAD_FAILED ? FB_BREAKER_BY_FAILURE_RATE : FB_BREAKER_BY_SLOW_RATE, now);
}

static void S_record_bad(fb_breaker *breaker, fb_permit permit, bool failed, bool slow,
                         int64_t now) {
  fb_window_add_bad(&breaker->window, failed, slow, now);
  uint32_t row = 0;
  if (failed && breaker->consecutive_limit)
    row = atomic_fetch_add_explicit(&breaker->consecutive, 1, memory_order_relaxed) + 1;
  else if (breaker->consecutive_limit)
    atomic_store_explicit(&breaker->consecutive, 0, memory_order_relaxed);
  if (row && row >= breaker->consecutive_limit && (permit & STATE_MASK) == FB_BREAKER_CLOSED)
    S_move(breaker, permit, FB_BREAKER_OPEN, FB_BREAKER_BY_CONSECUTIVE, now);
  else
    S_judge(breaker, permit, now);
}

void fb_breaker_record(fb_breaker *breaker, fb_permit permit, fb_result result, int64_t duration,
                       int64_t now) {
  uint64_t word = atomic_load_explicit(&breaker->word, memory_order_acquire);
  if ((uint32_t)word != permit || permit == 0) return;
  uint32_t state = permit & STATE_MASK;
  bool slow = duration >= breaker->slow_after;
  if (FB_UNLIKELY(state == FB_BREAKER_HALF_OPEN)) {
    S_record_probe(breaker, permit, result, slow, now);
    return;
  }
  if (result == FB_RESULT_IGNORED || state == FB_BREAKER_DISABLED) return;
  if (FB_UNLIKELY(result == FB_RESULT_FAILED || slow)) {
    S_record_bad(breaker, permit, result == FB_RESULT_FAILED, slow, now);
    return;
  }
  /* Only written when it changes, so that all may keep the line it is in. */
  if (FB_UNLIKELY(atomic_load_explicit(&breaker->consecutive, memory_order_relaxed)))
    atomic_store_explicit(&breaker->consecutive, 0, memory_order_relaxed);
  if (FB_UNLIKELY(fb_window_add(&breaker->window, now))) S_judge(breaker, permit, now);
}

/* ── Looking at it ── */

int64_t fb_breaker_left(fb_breaker *breaker, int64_t now) {
  uint32_t state =
      (uint32_t)atomic_load_explicit(&breaker->word, memory_order_acquire) & STATE_MASK;
  if (state == FB_BREAKER_FORCED_OPEN) return FB_NEVER;
  if (state != FB_BREAKER_OPEN) return 0;
  return fb_deadline_left(
      (fb_deadline){atomic_load_explicit(&breaker->until, memory_order_relaxed)}, now);
}

fb_breaker_stats fb_breaker_statistics(fb_breaker *breaker, int64_t now) {
  uint64_t word = atomic_load_explicit(&breaker->word, memory_order_acquire);
  fb_tally tally = fb_window_tally(&breaker->window, now);
  fb_breaker_state state = (fb_breaker_state)(word & STATE_MASK);
  return (fb_breaker_stats){
      .state = state,
      .generation = (uint32_t)word >> 3,
      .calls = tally.calls,
      .failures = tally.bad[FB_BAD_FAILED],
      .slow = tally.bad[FB_BAD_SLOW],
      .consecutive = atomic_load_explicit(&breaker->consecutive, memory_order_relaxed),
      .probes = state == FB_BREAKER_HALF_OPEN ? (uint32_t)(word >> 32 & COUNT_MASK) : 0,
      .opened = atomic_load_explicit(&breaker->opened, memory_order_relaxed),
      .left = state == FB_BREAKER_OPEN ? fb_breaker_left(breaker, now) : 0};
}

const char *fb_breaker_state_name(fb_breaker_state state) {
  static const char *const names[] = {"?",           "closed",        "open",    "half open",
                                      "forced open", "forced closed", "disabled"};
  return names[(unsigned)state <= FB_BREAKER_DISABLED ? state : 0];
}

const char *fb_breaker_reason_name(fb_breaker_reason reason) {
  static const char *const names[] = {
      "consecutive failures", "failure rate", "slow rate",   "wait over",
      "probes succeeded",     "probe failed", "probes lost", "by hand"};
  return (unsigned)reason <= FB_BREAKER_BY_HAND ? names[reason] : "?";
}
