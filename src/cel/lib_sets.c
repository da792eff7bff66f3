/* SPDX-License-Identifier: Apache-2.0
 * sets.*: lists taken as sets; linear in the sizes of both. */
#include "cel/lib_set.h"

bool fb_lib_set_init(fb_cel_context *context, fb_lib_set *set, const fb_list *list,
                     fb_value *ret_failure) {
  uint64_t size = 8;
  while (size < (uint64_t)list->len * 2) size *= 2;
  if (!fb_cel_spend(context, 1 + size / 4)) {
    *ret_failure = fb_cel_over_budget(context);
    return false;
  }
  set->list = list;
  set->mask = (uint32_t)(size - 1);
  set->slots = fb_arena_zero(context->arena, size * sizeof *set->slots);
  if (!set->slots) *ret_failure = fb_lib_nomem(context);
  return set->slots != NULL;
}

/* The slot of an equal element, or the empty one where it would go. NULL: over budget. Every comparison is
 * paid, so that elements made to collide, or that equal nothing (NaN), cost what they take. */
static uint64_t *S_find(fb_cel_context *context, const fb_lib_set *set, fb_value value,
                        uint32_t *ret_tag) {
  if (!fb_lib_spend_value(context, value)) return NULL;
  /* The address as seed: who sends the elements cannot know it, and no result depends on it. */
  uint64_t hash = fb_hash_u64(fb_value_hash(value, (uintptr_t)set->slots));
  *ret_tag = (uint32_t)(hash >> 32);
  for (uint32_t i = (uint32_t)hash & set->mask;; i = (i + 1) & set->mask) {
    uint64_t *slot = &set->slots[i];
    if (!*slot) return slot;
    if (!fb_cel_spend(context, 1)) return NULL;
    if ((uint32_t)(*slot >> 32) != *ret_tag) continue;
    if (!fb_lib_spend_value(context, value)) return NULL;
    if (fb_value_equal(set->list->items[(uint32_t)*slot - 1], value)) return slot;
  }
}

bool fb_lib_set_add(fb_cel_context *context, fb_lib_set *set, uint32_t number, bool *ret_added) {
  uint32_t tag;
  uint64_t *slot = S_find(context, set, set->list->items[number], &tag);
  if (!slot) return false;
  *ret_added = !*slot;
  if (!*slot) *slot = (uint64_t)tag << 32 | (number + 1);
  return true;
}

bool fb_lib_set_has(fb_cel_context *context, const fb_lib_set *set, fb_value value, bool *ret_has) {
  uint32_t tag;
  uint64_t *slot = S_find(context, set, value, &tag);
  if (slot) *ret_has = *slot != 0;
  return slot != NULL;
}

static bool S_fill(fb_cel_context *context, fb_lib_set *set, const fb_list *list,
                   fb_value *ret_failure) {
  if (!fb_lib_set_init(context, set, list, ret_failure)) return false;
  for (uint32_t i = 0; i < list->len; i++) {
    bool added;
    if (fb_lib_set_add(context, set, i, &added)) continue;
    *ret_failure = fb_cel_over_budget(context);
    return false;
  }
  return true;
}

/* Whether each element of `list` is in the set (`want` true), or none is (false). An FB_BOOL or a failure. */
static fb_value S_every(fb_cel_context *context, const fb_lib_set *set, const fb_list *list,
                        bool want) {
  for (uint32_t i = 0; i < list->len; i++) {
    bool has;
    if (!fb_lib_set_has(context, set, list->items[i], &has)) return fb_cel_over_budget(context);
    if (has != want) return fb_bool(false);
  }
  return fb_bool(true);
}

static fb_value S_contains(fb_cel_context *context, const fb_list *all, const fb_list *some,
                           bool want) {
  fb_arena_mark mark = fb_arena_save(context->arena);
  fb_lib_set set;
  fb_value result;
  if (!S_fill(context, &set, all, &result)) return result;
  result = S_every(context, &set, some, want);
  if (result.kind == FB_BOOL) fb_arena_rewind(context->arena, mark);
  return result;
}

FB_LIB_FUNCTION(fb_lib_sets_contains) {
  return S_contains(context, args[0].as.list, args[1].as.list, true);
}

FB_LIB_FUNCTION(fb_lib_sets_equivalent) {
  fb_value there = S_contains(context, args[0].as.list, args[1].as.list, true);
  if (there.kind == FB_ERROR || !there.as.b) return there;
  return S_contains(context, args[1].as.list, args[0].as.list, true);
}

FB_LIB_FUNCTION(fb_lib_sets_intersects) {
  fb_value none = S_contains(context, args[0].as.list, args[1].as.list, false);
  return none.kind == FB_ERROR ? none : fb_bool(!none.as.b);
}
