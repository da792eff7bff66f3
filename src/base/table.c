/* SPDX-License-Identifier: Apache-2.0
 * The hash table and the hash under it. */
#include <flyball/base.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t fb_hash_bytes(const void *bytes, size_t len, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes, len, seed);
}

void fb_table_init(fb_table *table, const fb_allocator *allocator, uint64_t seed) {
  *table = (fb_table){.allocator = allocator, .seed = seed};
}

void fb_table_release(fb_table *table) {
  if (!table) return;
  fb_free(table->allocator, table->slots, table->cap * sizeof *table->slots);
  *table = (fb_table){0};
}

/* The slot that holds the key, or the empty one where it would go. The table is never full. */
static fb_table_slot *S_find(const fb_table *table, fb_slice key, uint64_t hash) {
  size_t mask = table->cap - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    fb_table_slot *slot = &table->slots[i];
    if (!slot->key.ptr || (slot->hash == hash && fb_slice_equal(slot->key, key))) return slot;
  }
}

fb_table_slot *fb_table_get(const fb_table *table, fb_slice key) {
  if (!table->count) return NULL;
  fb_table_slot *slot = S_find(table, key, fb_hash_bytes(key.ptr, key.len, table->seed));
  return slot->key.ptr ? slot : NULL;
}

static bool S_rehash(fb_table *table, size_t cap) {
  if (cap > SIZE_MAX / 2 / sizeof *table->slots) return false;
  fb_table_slot *slots = fb_alloc_zero(table->allocator, cap * sizeof *slots);
  if (!slots) return false;
  fb_table old = *table;
  table->slots = slots;
  table->cap = cap;
  for (size_t i = 0; i < old.cap; i++)
    if (old.slots[i].key.ptr) *S_find(table, old.slots[i].key, old.slots[i].hash) = old.slots[i];
  fb_free(old.allocator, old.slots, old.cap * sizeof *old.slots);
  return true;
}

fb_table_slot *fb_table_put(fb_table *table, fb_slice key, bool *ret_added) {
  if (table->count + table->count / 2 >= table->cap &&
      !S_rehash(table, table->cap ? table->cap * 2 : 16))
    return NULL;
  uint64_t hash = fb_hash_bytes(key.ptr, key.len, table->seed);
  fb_table_slot *slot = S_find(table, key, hash);
  bool added = !slot->key.ptr;
  if (added) {
    *slot = (fb_table_slot){.key = key, .hash = hash};
    table->count++;
  }
  if (ret_added) *ret_added = added;
  return slot;
}

bool fb_table_remove(fb_table *table, fb_slice key) {
  fb_table_slot *slot = fb_table_get(table, key);
  if (!slot) return false;
  /* Shift the run that follows back over the hole, so that no tombstone is needed. */
  size_t mask = table->cap - 1, hole = (size_t)(slot - table->slots);
  for (size_t i = (hole + 1) & mask; table->slots[i].key.ptr; i = (i + 1) & mask) {
    size_t home = table->slots[i].hash & mask;
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      table->slots[hole] = table->slots[i];
      hole = i;
    }
  }
  table->slots[hole] = (fb_table_slot){0};
  table->count--;
  return true;
}
