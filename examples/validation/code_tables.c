/* SPDX-License-Identifier: Apache-2.0
 * CODE's "distributed cache" as it ran: one table in one process, without age, size or other processes. */
#include "harness.h"

enum { KEYS = 5000 };

typedef struct S_cache {
  fb_arena arena;
  fb_table table;
  const char *keys[KEYS]; /* "key_0", … as a caller would bring them */
} S_cache;

static bool S_write(void *context, long i) {
  S_cache *cache = context;
  char *key = fb_arena_printf(&cache->arena, "cache_key_%ld", i);
  char *value = fb_arena_printf(&cache->arena, "cache_value_%ld at %.0f", i, now_ns());
  fb_table_slot *slot = key && value ? fb_table_put(&cache->table, fb_slice_of(key), NULL) : NULL;
  if (slot) slot->value.ptr = value;
  return slot;
}

static bool S_read(void *context, long i) {
  const S_cache *cache = context;
  const fb_table_slot *slot = fb_table_get(&cache->table, fb_slice_of(cache->keys[i % 2000]));
  return slot && slot->value.ptr;
}

static bool S_invalidate(void *context, long i) {
  S_cache *cache = context;
  fb_slice key = fb_slice_of(cache->keys[i]);
  return fb_table_get(&cache->table, key) && fb_table_remove(&cache->table, key);
}

static void S_empty(void *context) {
  S_cache *cache = context;
  fb_table_release(&cache->table);
  fb_arena_reset(&cache->arena);
  fb_table_init(&cache->table, NULL, 1);
}

static void S_fill(void *context) {
  S_cache *cache = context;
  S_empty(cache);
  for (long i = 0; i < 2000; i++)
    if (!S_write(cache, i)) abort();
}

void code_tables(void) {
  static work w;
  static S_cache cache;
  fb_arena names;
  fb_arena_init(&cache.arena, NULL, 0);
  fb_arena_init(&names, NULL, 0);
  fb_table_init(&cache.table, NULL, 1);
  for (long i = 0; i < KEYS; i++) cache.keys[i] = fb_arena_printf(&names, "cache_key_%ld", i);
  work_run(&w, "code", "cache write", 2000, S_write, S_empty, NULL, &cache);
  work_run(&w, "code", "cache read", 5000, S_read, S_fill, NULL, &cache);
  work_run(&w, "code", "cache invalidate", 1000, S_invalidate, S_fill, NULL, &cache);
  fb_table_release(&cache.table);
  fb_arena_release(&cache.arena);
  fb_arena_release(&names);
}
