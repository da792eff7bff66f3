/* SPDX-License-Identifier: Apache-2.0
 * Values: equality, order, hash, lists and maps. */
#include <flyball/data.h>

#include <math.h>

enum { INDEX_FROM = 9 }; /* a map of that many entries gets a hash index */

const char *fb_kind_name(fb_kind kind) {
  static const char *const names[FB_KIND_COUNT] = {"null_type",
                                                   "bool",
                                                   "int",
                                                   "uint",
                                                   "double",
                                                   "string",
                                                   "bytes",
                                                   "list",
                                                   "map",
                                                   "google.protobuf.Timestamp",
                                                   "google.protobuf.Duration",
                                                   "type",
                                                   "optional_type",
                                                   "fact",
                                                   "error",
                                                   "absent"};
  return (unsigned)kind < FB_KIND_COUNT ? names[kind] : "unknown";
}

static bool S_is_number(uint8_t kind) {
  return kind == FB_INT || kind == FB_UINT || kind == FB_DOUBLE;
}

static int S_sign(bool greater, bool less) {
  return (int)greater - (int)less;
}

/* An integer against a double, exactly: the double is split, not the integer rounded. */
static int S_compare_int_double(int64_t i, double d) {
  if (d >= 0x1p63) return -1;
  if (d < -0x1p63) return 1;
  int64_t whole = (int64_t)d;
  if (i != whole) return i < whole ? -1 : 1;
  double rest = d - (double)whole;
  return S_sign(rest<0, rest> 0);
}

static int S_compare_uint_double(uint64_t u, double d) {
  if (d >= 0x1p64) return -1;
  if (d < 0) return 1;
  uint64_t whole = (uint64_t)d;
  if (u != whole) return u < whole ? -1 : 1;
  return d - (double)whole > 0 ? -1 : 0;
}

/* False when one is NaN. */
static bool S_compare_numbers(fb_value a, fb_value b, int *ret_order) {
  if (a.kind == FB_DOUBLE && b.kind == FB_DOUBLE) {
    *ret_order = S_sign(a.as.d > b.as.d, a.as.d < b.as.d);
    return !isnan(a.as.d) && !isnan(b.as.d);
  }
  if (b.kind == FB_DOUBLE) {
    if (isnan(b.as.d)) return false;
    *ret_order = a.kind == FB_INT ? S_compare_int_double(a.as.i, b.as.d)
                                  : S_compare_uint_double(a.as.u, b.as.d);
    return true;
  }
  if (a.kind == FB_DOUBLE) {
    if (!S_compare_numbers(b, a, ret_order)) return false;
    *ret_order = -*ret_order;
    return true;
  }
  if (a.kind == b.kind) {
    *ret_order = a.kind == FB_INT ? S_sign(a.as.i > b.as.i, a.as.i < b.as.i)
                                  : S_sign(a.as.u > b.as.u, a.as.u < b.as.u);
  } else if (a.kind == FB_INT) {
    *ret_order = a.as.i < 0 ? -1 : S_sign((uint64_t)a.as.i > b.as.u, (uint64_t)a.as.i < b.as.u);
  } else {
    *ret_order = b.as.i < 0 ? 1 : S_sign(a.as.u > (uint64_t)b.as.i, a.as.u < (uint64_t)b.as.i);
  }
  return true;
}

bool fb_value_compare(fb_value a, fb_value b, int *ret_order) {
  if (S_is_number(a.kind) && S_is_number(b.kind)) return S_compare_numbers(a, b, ret_order);
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case FB_BOOL: *ret_order = (int)a.as.b - (int)b.as.b; return true;
    case FB_STRING:
    case FB_BYTES: {
      int order = fb_slice_compare(fb_value_text(a), fb_value_text(b));
      *ret_order = S_sign(order > 0, order < 0);
      return true;
    }
    case FB_TIMESTAMP:
    case FB_DURATION:
      *ret_order = a.as.i != b.as.i ? S_sign(a.as.i > b.as.i, a.as.i < b.as.i)
                                    : S_sign(a.len > b.len, a.len < b.len);
      return true;
    default: return false;
  }
}

static bool S_lists_equal(const fb_list *a, const fb_list *b) {
  if (a->len != b->len) return false;
  for (uint32_t i = 0; i < a->len; i++)
    if (!fb_value_equal(a->items[i], b->items[i])) return false;
  return true;
}

static bool S_maps_equal(const fb_map *a, const fb_map *b) {
  if (a->len != b->len) return false;
  for (uint32_t i = 0; i < a->len; i++) {
    const fb_value *other = fb_map_get(b, a->entries[i].key);
    if (!other || !fb_value_equal(a->entries[i].value, *other)) return false;
  }
  return true;
}

bool fb_value_equal(fb_value a, fb_value b) {
  if (a.kind != b.kind) {
    int order;
    return S_is_number(a.kind) && S_is_number(b.kind) && S_compare_numbers(a, b, &order) &&
           order == 0;
  }
  switch (a.kind) {
    case FB_NULL:
    case FB_ABSENT: return true;
    case FB_BOOL: return a.as.b == b.as.b;
    case FB_INT:
    case FB_UINT: return a.as.u == b.as.u;
    case FB_DOUBLE: return a.as.d == b.as.d;
    case FB_STRING:
    case FB_BYTES:
    case FB_TYPE:
      return (a.as.text == b.as.text && a.len == b.len) ||
             fb_slice_equal(fb_value_text(a), fb_value_text(b));
    case FB_LIST: return S_lists_equal(a.as.list, b.as.list);
    case FB_MAP: return S_maps_equal(a.as.map, b.as.map);
    case FB_TIMESTAMP:
    case FB_DURATION: return a.as.i == b.as.i && a.len == b.len;
    case FB_OPTIONAL:
      return a.as.optional && b.as.optional ? fb_value_equal(*a.as.optional, *b.as.optional)
                                            : a.as.optional == b.as.optional;
    case FB_FACT: return a.as.facts == b.as.facts && a.len == b.len;
    default: return false;
  }
}

static int S_order_lists(const fb_list *a, const fb_list *b) {
  for (uint32_t i = 0; i < a->len && i < b->len; i++) {
    int order = fb_value_order(a->items[i], b->items[i]);
    if (order) return order;
  }
  return S_sign(a->len > b->len, a->len < b->len);
}

static int S_order_maps(const fb_map *a, const fb_map *b) {
  for (uint32_t i = 0; i < a->len && i < b->len; i++) {
    int order = fb_value_order(a->entries[i].key, b->entries[i].key);
    if (!order) order = fb_value_order(a->entries[i].value, b->entries[i].value);
    if (order) return order;
  }
  return S_sign(a->len > b->len, a->len < b->len);
}

int fb_value_order(fb_value a, fb_value b) {
  int order = 0;
  if (a.kind != b.kind) {
    if (S_is_number(a.kind) && S_is_number(b.kind) && S_compare_numbers(a, b, &order) && order)
      return order;
    return S_sign(a.kind > b.kind, a.kind < b.kind);
  }
  switch (a.kind) {
    case FB_LIST: return S_order_lists(a.as.list, b.as.list);
    case FB_MAP: return S_order_maps(a.as.map, b.as.map);
    case FB_TYPE: return fb_slice_compare(fb_value_text(a), fb_value_text(b));
    case FB_OPTIONAL:
      if (a.as.optional && b.as.optional) return fb_value_order(*a.as.optional, *b.as.optional);
      return S_sign(a.as.optional && !b.as.optional, !a.as.optional && b.as.optional);
    case FB_FACT: return S_sign(a.len > b.len, a.len < b.len);
    case FB_DOUBLE:
      if (isnan(a.as.d) || isnan(b.as.d)) return (int)isnan(a.as.d) - (int)isnan(b.as.d);
      break;
    default: break;
  }
  return fb_value_compare(a, b, &order) ? order : 0;
}

/* Numbers hash by value: integers by their 64 bits, doubles that are integers as those. */
static uint64_t S_hash_number(fb_value value) {
  if (value.kind != FB_DOUBLE) return fb_hash_u64(value.as.u);
  double d = value.as.d;
  if (d >= -0x1p63 && d < 0x1p63 && d == (double)(int64_t)d)
    return fb_hash_u64((uint64_t)(int64_t)d);
  if (d >= 0 && d < 0x1p64 && d == (double)(uint64_t)d) return fb_hash_u64((uint64_t)d);
  return fb_hash_mix(value.as.u, 1);
}

static uint64_t S_hash_map(const fb_map *map, uint64_t seed) {
  uint64_t sum = 0; /* a sum, since order does not count */
  for (uint32_t i = 0; i < map->len; i++)
    sum += fb_hash_mix(fb_value_hash(map->entries[i].key, seed),
                       fb_value_hash(map->entries[i].value, seed));
  return fb_hash_mix(sum, seed ^ FB_MAP);
}

uint64_t fb_value_hash(fb_value value, uint64_t seed) {
  switch (value.kind) {
    case FB_INT:
    case FB_UINT:
    case FB_DOUBLE: return S_hash_number(value) ^ seed;
    case FB_STRING: return fb_hash_bytes(value.as.text, value.len, seed);
    case FB_BYTES:
    case FB_TYPE: return fb_hash_bytes(value.as.text, value.len, seed ^ value.kind);
    case FB_LIST: {
      uint64_t hash = seed ^ FB_LIST;
      for (uint32_t i = 0; i < value.as.list->len; i++)
        hash = fb_hash_mix(hash, fb_value_hash(value.as.list->items[i], seed));
      return hash;
    }
    case FB_MAP: return S_hash_map(value.as.map, seed);
    case FB_OPTIONAL:
      return fb_hash_mix(seed ^ FB_OPTIONAL,
                         value.as.optional ? fb_value_hash(*value.as.optional, seed) : 0);
    case FB_BOOL: return fb_hash_mix(seed ^ FB_BOOL, value.as.b);
    default: return fb_hash_mix(seed ^ value.kind, fb_hash_mix(value.as.u, value.len));
  }
}

fb_list *fb_list_new(fb_arena *arena, size_t cap) {
  if (cap > UINT32_MAX / 2) return NULL;
  fb_list *list = fb_arena_zero(arena, sizeof *list);
  if (!list || cap == 0) return list;
  list->items = fb_arena_alloc(arena, cap * sizeof *list->items);
  list->cap = (uint32_t)cap;
  return list->items ? list : NULL;
}

bool fb_list_push(fb_list *list, fb_arena *arena, fb_value item) {
  if (list->len == list->cap) {
    if (list->cap > UINT32_MAX / 4) return false;
    uint32_t cap = list->cap ? list->cap * 2 : 4;
    fb_value *items = fb_arena_alloc(arena, cap * sizeof *items);
    if (!items) return false;
    if (list->len) memcpy(items, list->items, list->len * sizeof *items);
    list->items = items;
    list->cap = cap;
  }
  list->items[list->len++] = item;
  return true;
}

fb_map *fb_map_new(fb_arena *arena, size_t cap) {
  if (cap > UINT32_MAX / 8) return NULL;
  fb_map *map = fb_arena_zero(arena, sizeof *map);
  if (!map || cap == 0) return map;
  map->entries = fb_arena_alloc(arena, cap * sizeof *map->entries);
  map->cap = (uint32_t)cap;
  return map->entries ? map : NULL;
}

/* The address of the map seeds the hash: whoever sends keys cannot know it, so they cannot make keys
 * collide, and nothing that is seen from outside depends on it. */
static uint32_t *S_index_slot(const fb_map *map, fb_value key) {
  uint32_t mask = map->index_size - 1;
  for (uint32_t i = (uint32_t)fb_value_hash(key, (uintptr_t)map) & mask;; i = (i + 1) & mask) {
    uint32_t *slot = &map->index[i];
    if (!*slot || fb_value_equal(map->entries[*slot - 1].key, key)) return slot;
  }
}

static bool S_reindex(fb_map *map, fb_arena *arena) {
  uint32_t size = map->index_size ? map->index_size * 2 : 32;
  uint32_t *index = fb_arena_zero(arena, size * sizeof *index);
  if (!index) return false;
  map->index = index;
  map->index_size = size;
  for (uint32_t i = 0; i < map->len; i++) *S_index_slot(map, map->entries[i].key) = i + 1;
  return true;
}

static fb_entry *S_find(const fb_map *map, fb_value key) {
  if (map->index) {
    uint32_t *slot = S_index_slot(map, key);
    return *slot ? &map->entries[*slot - 1] : NULL;
  }
  for (uint32_t i = 0; i < map->len; i++)
    if (fb_value_equal(map->entries[i].key, key)) return &map->entries[i];
  return NULL;
}

bool fb_map_put(fb_map *map, fb_arena *arena, fb_value key, fb_value value, bool *ret_replaced) {
  fb_entry *entry = S_find(map, key);
  if (ret_replaced) *ret_replaced = entry != NULL;
  if (entry) {
    entry->value = value;
    return true;
  }
  if (map->len == map->cap) {
    if (map->cap > UINT32_MAX / 8) return false;
    uint32_t cap = map->cap ? map->cap * 2 : 4;
    fb_entry *entries = fb_arena_alloc(arena, cap * sizeof *entries);
    if (!entries) return false;
    if (map->len) memcpy(entries, map->entries, map->len * sizeof *entries);
    map->entries = entries;
    map->cap = cap;
  }
  if (map->len + 1 >= INDEX_FROM && (map->len + 1) * 2 > map->index_size && !S_reindex(map, arena))
    return false;
  map->entries[map->len++] = (fb_entry){key, value};
  if (map->index) *S_index_slot(map, key) = map->len;
  return true;
}

const fb_value *fb_map_get(const fb_map *map, fb_value key) {
  fb_entry *entry = S_find(map, key);
  return entry ? &entry->value : NULL;
}

const fb_value *fb_map_get_text(const fb_map *map, fb_slice key) {
  return fb_map_get(map, fb_string(key));
}

static fb_status S_copy_list(fb_arena *arena, const fb_list *from, fb_value *ret_copy) {
  fb_list *list = fb_list_new(arena, from->len);
  if (!list) return FB_E_NOMEM;
  for (uint32_t i = 0; i < from->len; i++) {
    fb_value item;
    if (fb_value_copy(arena, from->items[i], &item) || !fb_list_push(list, arena, item))
      return FB_E_NOMEM;
  }
  *ret_copy = fb_list_value(list);
  return FB_OK;
}

static fb_status S_copy_map(fb_arena *arena, const fb_map *from, fb_value *ret_copy) {
  fb_map *map = fb_map_new(arena, from->len);
  if (!map) return FB_E_NOMEM;
  for (uint32_t i = 0; i < from->len; i++) {
    fb_value key, value;
    if (fb_value_copy(arena, from->entries[i].key, &key) ||
        fb_value_copy(arena, from->entries[i].value, &value) ||
        !fb_map_put(map, arena, key, value, NULL))
      return FB_E_NOMEM;
  }
  *ret_copy = fb_map_value(map);
  return FB_OK;
}

fb_status fb_value_copy(fb_arena *arena, fb_value value, fb_value *ret_copy) {
  switch (value.kind) {
    case FB_STRING:
    case FB_BYTES:
    case FB_TYPE: {
      char *text = fb_arena_text(arena, fb_value_text(value));
      if (!text) return FB_E_NOMEM;
      value.as.text = text;
      value.symbol = 0;
      *ret_copy = value;
      return FB_OK;
    }
    case FB_LIST: return S_copy_list(arena, value.as.list, ret_copy);
    case FB_MAP: return S_copy_map(arena, value.as.map, ret_copy);
    case FB_FACT: {
      fb_map *map;
      fb_status status = fb_fact_map(value.as.facts, value.len, arena, &map);
      if (status) return status;
      return S_copy_map(arena, map, ret_copy);
    }
    case FB_OPTIONAL: {
      if (!value.as.optional) break;
      fb_value inside, *box = fb_arena_alloc(arena, sizeof *box);
      if (!box || fb_value_copy(arena, *value.as.optional, &inside)) return FB_E_NOMEM;
      *box = inside;
      value.as.optional = box;
      break;
    }
    default: break;
  }
  *ret_copy = value;
  return FB_OK;
}
