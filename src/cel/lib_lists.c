/* SPDX-License-Identifier: Apache-2.0
 * The lists extension, and first and last. */
#include "cel/lib.h"
#include "cel/lib_set.h"

FB_LIB_FUNCTION(fb_lib_slice) {
  const fb_list *from = args[0].as.list;
  int64_t start = args[1].as.i, end = args[2].as.i;
  if (start < 0 || end < 0)
    return fb_cel_fail(context, FB_E_CEL_INDEX,
                       "cannot slice(%lld, %lld), negative indexes not supported", (long long)start,
                       (long long)end);
  if (start > end)
    return fb_cel_fail(
        context, FB_E_CEL_INDEX,
        "cannot slice(%lld, %lld), start index must be less than or equal to end index",
        (long long)start, (long long)end);
  if (end > from->len)
    return fb_cel_fail(context, FB_E_CEL_INDEX, "cannot slice(%lld, %lld), list is length %u",
                       (long long)start, (long long)end, from->len);
  /* Values do not change: the part can share the items. */
  fb_list *list = fb_arena_zero(context->arena, sizeof *list);
  if (!list) return fb_lib_nomem(context);
  list->items = start < end ? from->items + start : NULL;
  list->len = list->cap = (uint32_t)(end - start);
  return fb_list_value(list);
}

/* How many elements the flat list has. False: over budget. */
static bool S_count_flat(fb_cel_context *context, const fb_list *list, int64_t depth,
                         uint64_t *count) {
  if (!fb_cel_spend(context, 1 + (uint64_t)list->len)) return false;
  for (uint32_t i = 0; i < list->len; i++) {
    if (depth == 0 || list->items[i].kind != FB_LIST)
      ++*count;
    else if (!S_count_flat(context, list->items[i].as.list, depth - 1, count))
      return false;
  }
  return true;
}

static void S_add_flat(fb_list *out, const fb_list *list, int64_t depth) {
  for (uint32_t i = 0; i < list->len; i++) {
    if (depth == 0 || list->items[i].kind != FB_LIST)
      out->items[out->len++] = list->items[i];
    else
      S_add_flat(out, list->items[i].as.list, depth - 1);
  }
}

FB_LIB_FUNCTION(fb_lib_flatten) {
  int64_t depth = count > 1 ? args[1].as.i : 1;
  uint64_t len = 0;
  if (depth < 0) return fb_cel_fail(context, FB_E_CEL_VALUE, "flatten: level must be non-negative");
  if (!S_count_flat(context, args[0].as.list, depth, &len)) return fb_cel_over_budget(context);
  fb_value failure;
  fb_list *list = fb_lib_list(context, len, &failure);
  if (!list) return failure;
  S_add_flat(list, args[0].as.list, depth);
  return fb_list_value(list);
}

FB_LIB_FUNCTION(fb_lib_distinct) {
  const fb_list *from = args[0].as.list;
  fb_value failure;
  fb_lib_set set;
  fb_list *list = fb_lib_list(context, from->len, &failure);
  if (!list || !fb_lib_set_init(context, &set, from, &failure)) return failure;
  for (uint32_t i = 0; i < from->len; i++) {
    bool added;
    if (!fb_lib_set_add(context, &set, i, &added)) return fb_cel_over_budget(context);
    if (added) list->items[list->len++] = from->items[i];
  }
  return fb_list_value(list);
}

FB_LIB_FUNCTION(fb_lib_range) {
  int64_t size = args[0].as.i;
  if (size < 0)
    return fb_cel_fail(context, FB_E_CEL_VALUE, "lists.range: size must be non-negative, got %lld",
                       (long long)size);
  fb_value failure;
  fb_list *list = fb_lib_list(context, (uint64_t)size, &failure);
  if (!list) return failure;
  for (int64_t i = 0; i < size; i++) list->items[i] = fb_int(i);
  list->len = (uint32_t)size;
  return fb_list_value(list);
}

FB_LIB_FUNCTION(fb_lib_reverse_list) {
  const fb_list *from = args[0].as.list;
  fb_value failure;
  fb_list *list = fb_lib_list(context, from->len, &failure);
  if (!list) return failure;
  for (uint32_t i = 0; i < from->len; i++) list->items[i] = from->items[from->len - 1 - i];
  list->len = from->len;
  return fb_list_value(list);
}

/* ── Sort ────────────────────────────────────────────────────────────────────────────────────── */

/* NaN has no order: it goes before all numbers, so that the sort stays a sort. */
static bool S_after(fb_value a, fb_value b) {
  int order = 0;
  if (!fb_value_compare(a, b, &order))
    return b.kind == FB_DOUBLE && b.as.d != b.as.d && a.as.d == a.as.d;
  return order > 0;
}

/* Merges the sorted runs [from, mid) and [mid, to) of `in` into `out`: stable. */
static void S_merge(const fb_entry *in, fb_entry *out, size_t from, size_t mid, size_t to) {
  for (size_t a = from, b = mid, i = from; i < to; i++) {
    bool second = a == mid || (b < to && S_after(in[a].key, in[b].key));
    out[i] = second ? in[b++] : in[a++];
  }
}

/* Bottom-up merge sort by the keys, between two arrays; returns the one with the result. */
static fb_entry *S_sort(fb_entry *items, fb_entry *spare, size_t count) {
  for (size_t run = 1; run < count; run *= 2) {
    for (size_t from = 0; from < count; from += 2 * run) {
      size_t mid = from + run < count ? from + run : count,
             to = mid + run < count ? mid + run : count;
      S_merge(items, spare, from, mid, to);
    }
    fb_entry *sorted = spare;
    spare = items;
    items = sorted;
  }
  return items;
}

static bool S_is_comparable(uint8_t kind) {
  return kind == FB_BOOL || kind == FB_INT || kind == FB_UINT || kind == FB_DOUBLE ||
         kind == FB_STRING || kind == FB_BYTES || kind == FB_TIMESTAMP || kind == FB_DURATION;
}

/* Bytes that comparing may read, in all. False with a failure if the keys are not of one comparable kind. */
static bool S_check_keys(fb_cel_context *context, const fb_list *keys, uint64_t *ret_bytes,
                         fb_value *ret_failure) {
  uint64_t bytes = 0;
  if (!fb_cel_spend(context, keys->len)) {
    *ret_failure = fb_cel_over_budget(context);
    return false;
  }
  for (uint32_t i = 0; i < keys->len; i++) {
    if (!S_is_comparable(keys->items[i].kind)) {
      *ret_failure = fb_cel_fail(context, FB_E_CEL_VALUE, "list elements must be comparable");
      return false;
    }
    if (keys->items[i].kind != keys->items[0].kind) {
      *ret_failure = fb_cel_fail(context, FB_E_CEL_VALUE, "list elements must have the same type");
      return false;
    }
    if (keys->items[i].kind == FB_STRING || keys->items[i].kind == FB_BYTES)
      bytes += keys->items[i].len;
  }
  *ret_bytes = bytes;
  return true;
}

static fb_value S_sort_by(fb_cel_context *context, const fb_list *from, const fb_list *keys) {
  fb_value failure;
  uint64_t bytes, levels = 1;
  if (from->len != keys->len)
    return fb_cel_fail(context, FB_E_CEL_VALUE,
                       "sortBy needs as many keys as elements, there are %u and %u", keys->len,
                       from->len);
  if (!S_check_keys(context, keys, &bytes, &failure)) return failure;
  for (uint32_t rest = from->len; rest > 1; rest /= 2) levels++;
  if (!fb_cel_spend(context, levels * (from->len + bytes / 16))) return fb_cel_over_budget(context);
  fb_list *list = fb_lib_list(context, from->len, &failure);
  if (!list || !from->len) return list ? fb_list_value(list) : failure;
  fb_arena_mark mark = fb_arena_save(context->arena);
  fb_entry *items = fb_arena_alloc(context->arena, 2 * (size_t)from->len * sizeof *items);
  if (!items) return fb_lib_nomem(context);
  for (uint32_t i = 0; i < from->len; i++) items[i] = (fb_entry){keys->items[i], from->items[i]};
  const fb_entry *sorted = S_sort(items, items + from->len, from->len);
  for (uint32_t i = 0; i < from->len; i++) list->items[i] = sorted[i].value;
  list->len = from->len;
  fb_arena_rewind(context->arena, mark);
  return fb_list_value(list);
}

FB_LIB_FUNCTION(fb_lib_sort) {
  return S_sort_by(context, args[0].as.list, args[0].as.list);
}

FB_LIB_FUNCTION(fb_lib_sort_by_keys) {
  return S_sort_by(context, args[0].as.list, args[1].as.list);
}

/* ── Ends ────────────────────────────────────────────────────────────────────────────────────── */

FB_LIB_FUNCTION(fb_lib_first) {
  const fb_list *list = args[0].as.list;
  return fb_optional(list->len ? &list->items[0] : NULL);
}

FB_LIB_FUNCTION(fb_lib_last) {
  const fb_list *list = args[0].as.list;
  return fb_optional(list->len ? &list->items[list->len - 1] : NULL);
}
