/* SPDX-License-Identifier: Apache-2.0
 * A token bucket a key. The table is made of sets of seven places, each set two cache lines with its own lock: a
 * key is looked for in one set only, so nothing ever grows, moves or is swept. */
#include <flyball/guard.h>

#include "guard/stripe.h"

#include <sched.h>
#include <stdatomic.h>

enum { WAYS = 7, KEYS = 1024, KEYS_MAX = 1 << 24 };

typedef struct S_set {
  _Atomic uint32_t lock;
  uint64_t keys[WAYS]; /* hashes; 0: none */
  int64_t full[WAYS];  /* when the bucket will be full again */
} S_set;

_Static_assert(sizeof(S_set) <= FB_LINE, "a set fits its lines");

struct fb_rate_keys {
  fb_allocator allocator;
  void *block;
  size_t block_size;
  char *sets; /* FB_LINE apart */
  uint64_t mask;
  uint64_t seed;
  int64_t interval, depth;
  uint32_t burst;
  bool strict;
};

static S_set *S_at(const fb_rate_keys *rates, uint64_t i) {
  return (S_set *)(void *)(rates->sets + i * FB_LINE);
}

fb_status fb_rate_keys_new(const fb_rate_keys_config *config, const fb_allocator *allocator,
                           fb_rate_keys **ret_rates, fb_error *err) {
  fb_rate rate;
  fb_status status = fb_rate_init(&rate, config->tokens, config->per, config->burst, err);
  if (status != FB_OK) return status;
  uint32_t keys = config->keys ? config->keys : KEYS;
  if (keys > KEYS_MAX)
    return fb_fail(err, FB_E_USAGE, "rate: keys is %u; at most %d", keys, KEYS_MAX);
  /* Four of seven places filled on average: a full set is rare, though never impossible. */
  uint64_t sets = 1;
  while (sets * 4 < keys) sets *= 2;
  size_t size = sizeof(fb_rate_keys) + sets * FB_LINE + FB_LINE;
  void *block = fb_alloc_zero(allocator, size);
  if (!block) return fb_fail(err, FB_E_NOMEM, "no memory for %u keys", keys);
  fb_rate_keys *rates = block;
  *rates = (fb_rate_keys){.allocator = allocator ? *allocator : *fb_allocator_system(),
                          .block = block,
                          .block_size = size,
                          .mask = sets - 1,
                          .seed = config->seed,
                          .interval = rate.interval,
                          .depth = rate.depth,
                          .burst = rate.burst,
                          .strict = config->strict};
  uintptr_t first = (uintptr_t)(rates + 1);
  rates->sets = (char *)(rates + 1) + ((FB_LINE - first % FB_LINE) % FB_LINE);
  *ret_rates = rates;
  return FB_OK;
}

void fb_rate_keys_free(fb_rate_keys *rates) {
  if (!rates) return;
  fb_allocator allocator = rates->allocator;
  fb_free(&allocator, rates->block, rates->block_size);
}

/* Held for a few nanoseconds; only who lost the processor in them is worth yielding for. */
static void S_lock(S_set *set) {
  for (uint32_t tries = 0; atomic_exchange_explicit(&set->lock, 1, memory_order_acquire); tries++)
    if (tries % 64 == 63) sched_yield();
}

static void S_unlock(S_set *set) {
  atomic_store_explicit(&set->lock, 0, memory_order_release);
}

/* The place of `key`, or the one that it would take: empty, else nearest to being full again. */
static int S_place(const S_set *set, uint64_t key) {
  int oldest = 0;
  for (int i = 0; i < WAYS; i++)
    if (set->keys[i] == key) return i;
  for (int i = 0; i < WAYS; i++) {
    if (set->keys[i] == 0) return i;
    if (set->full[i] < set->full[oldest]) oldest = i;
  }
  return oldest;
}

/* Under the lock. How long until the tokens are there; 0: they were taken. */
static int64_t S_take(const fb_rate_keys *rates, S_set *set, uint64_t key, int64_t spent,
                      int64_t now) {
  int place = S_place(set, key);
  int64_t full = set->full[place];
  if (set->keys[place] != key) {
    if (set->keys[place] && full > now && rates->strict) return full - now;
    full = now;
  }
  if (full < now) full = now;
  int64_t ahead = full - now + spent - rates->depth;
  if (ahead > 0) return ahead;
  set->keys[place] = key;
  set->full[place] = full + spent;
  return 0;
}

bool fb_rate_keys_take(fb_rate_keys *rates, fb_slice key, uint32_t cost, int64_t now,
                       int64_t *ret_wait) {
  uint64_t hash = fb_hash_bytes(key.ptr, key.len, rates->seed);
  S_set *set = S_at(rates, hash & rates->mask);
  int64_t wait = FB_NEVER;
  if (cost <= rates->burst) {
    S_lock(set);
    wait = S_take(rates, set, hash ? hash : 1, rates->interval * cost, now);
    S_unlock(set);
  }
  if (ret_wait) *ret_wait = wait;
  return wait == 0;
}

size_t fb_rate_keys_count(fb_rate_keys *rates, int64_t now) {
  size_t count = 0;
  for (uint64_t i = 0; i <= rates->mask; i++) {
    S_set *set = S_at(rates, i);
    S_lock(set);
    for (int place = 0; place < WAYS; place++) count += set->keys[place] && set->full[place] > now;
    S_unlock(set);
  }
  return count;
}

size_t fb_rate_keys_memory(const fb_rate_keys *rates) {
  return rates->block_size;
}
