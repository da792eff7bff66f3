/* SPDX-License-Identifier: Apache-2.0
 * Lists and maps in the making. The value in the register is their only user until they are done. */
#include "cel/program.h"

static bool S_become(fb_value *into, fb_value failure) {
  *into = failure;
  return false;
}

static fb_value S_bad(fb_value value) {
  return value.kind == FB_ERROR ? value : fb_cel_lazy(FB_LAZY_UNBOUND);
}

static bool S_too_large(fb_cel_context *context, fb_value *into) {
  return S_become(into,
                  fb_cel_fail(context, FB_E_CEL_SIZE, "a list or map of more than %llu elements",
                              (unsigned long long)context->max_size));
}

static bool S_no_memory(fb_cel_context *context, fb_value *into) {
  return S_become(into, fb_cel_fail(context, FB_E_NOMEM, "no memory for a list or map"));
}

bool fb_build_append(fb_cel_context *context, fb_value *into, fb_value item) {
  if (into->kind != FB_LIST) return false; /* an earlier element failed */
  if (item.kind >= FB_ERROR) return S_become(into, S_bad(item));
  fb_list *list = (fb_list *)into->as.list;
  if (!fb_cel_may_make(context, (uint64_t)list->len + 1)) return S_too_large(context, into);
  return fb_list_push(list, context->arena, item) || S_no_memory(context, into);
}

static bool S_put(fb_cel_context *context, fb_value *into, fb_value key, fb_value value) {
  fb_map *map = (fb_map *)into->as.map;
  bool replaced;
  if (!fb_cel_may_make(context, (uint64_t)map->len + 1)) return S_too_large(context, into);
  if (!fb_map_put(map, context->arena, key, value, &replaced)) return S_no_memory(context, into);
  if (!replaced) return true;
  if (key.kind != FB_STRING)
    return S_become(into, fb_cel_fail(context, FB_E_CEL_KEY, "a key is there twice"));
  return S_become(into, fb_cel_fail(context, FB_E_CEL_KEY, "the key '%.*s' is there twice",
                                    key.len > 100 ? 100 : (int)key.len, key.as.text));
}

bool fb_build_put(fb_cel_context *context, fb_value *into, fb_value key, fb_value value) {
  if (into->kind != FB_MAP) return false;
  if (key.kind >= FB_ERROR) return S_become(into, S_bad(key));
  if (value.kind >= FB_ERROR) return S_become(into, S_bad(value));
  if (key.kind != FB_BOOL && key.kind != FB_INT && key.kind != FB_UINT && key.kind != FB_STRING)
    return S_become(into, fb_cel_fail(context, FB_E_CEL_KEY, "unsupported key type: %s",
                                      fb_kind_name(key.kind)));
  return S_put(context, into, key, value);
}

bool fb_build_merge(fb_cel_context *context, fb_value *into, fb_value from) {
  if (into->kind != FB_MAP) return false;
  if (from.kind >= FB_ERROR) return S_become(into, S_bad(from));
  if (from.kind != FB_MAP)
    return S_become(into, fb_operate_misfit(context, "transformMapEntry", &from, 1));
  if (!fb_cel_spend(context, from.as.map->len)) return S_become(into, fb_cel_over_budget(context));
  for (uint32_t i = 0; i < from.as.map->len; i++)
    if (!S_put(context, into, from.as.map->entries[i].key, from.as.map->entries[i].value))
      return false;
  return true;
}

/* ── Sorting ─────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_pair {
  fb_value key, item;
} S_pair;

/* Stable: bottom-up merge sort. NaN counts as equal to everything, so it stays where it is. */
static S_pair *S_sort(S_pair *pairs, S_pair *other, size_t count) {
  for (size_t width = 1; width < count; width *= 2) {
    for (size_t from = 0; from < count; from += 2 * width) {
      size_t middle = from + width < count ? from + width : count,
             end = from + 2 * width < count ? from + 2 * width : count;
      size_t a = from, b = middle;
      for (size_t i = from; i < end; i++) {
        int order = 0;
        bool right =
            b < end &&
            (a == middle || (fb_value_compare(pairs[b].key, pairs[a].key, &order) && order < 0));
        other[i] = right ? pairs[b++] : pairs[a++];
      }
    }
    S_pair *swap = pairs;
    pairs = other;
    other = swap;
  }
  return pairs;
}

static bool S_ordered(uint8_t kind) {
  return kind == FB_BOOL || kind == FB_INT || kind == FB_UINT || kind == FB_DOUBLE ||
         kind == FB_STRING || kind == FB_BYTES || kind == FB_TIMESTAMP || kind == FB_DURATION;
}

fb_value fb_build_sort(fb_cel_context *context, fb_value value) {
  if (value.kind != FB_LIST) return value;
  const fb_list *from = value.as.list;
  uint32_t count = from->len / 2;
  uint64_t rounds = 64 - (uint64_t)__builtin_clzll((uint64_t)count + 1);
  if (!fb_cel_spend(context, count * rounds)) return fb_cel_over_budget(context);
  for (uint32_t i = 0; i < count; i++) {
    fb_value key = from->items[2 * i];
    if (!S_ordered(key.kind) || key.kind != from->items[0].kind)
      return fb_cel_fail(
          context, FB_E_CEL_NO_OVERLOAD,
          "keys to sort by must be of one kind that has an order, there is %s and %s",
          fb_kind_name(from->items[0].kind), fb_kind_name(key.kind));
  }
  fb_list *list = fb_list_new(context->arena, count);
  S_pair *other = fb_arena_alloc(context->arena, (count + 1) * sizeof *other);
  if (!list || !other) return fb_cel_fail(context, FB_E_NOMEM, "no memory for sorting");
  S_pair *sorted = S_sort((S_pair *)from->items, other, count);
  for (uint32_t i = 0; i < count; i++) list->items[i] = sorted[i].item;
  list->len = count;
  return fb_list_value(list);
}
