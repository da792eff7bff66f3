/* SPDX-License-Identifier: Apache-2.0
 *
 * matrix: all combinations of lists, the last name changing fastest.
 */
#include "mission/plan.h"

enum { MOST = 100000 };

static bool S_is_axis(fb_value key) {
  return !fb_slice_equal(fb_value_text(key), FB_SLICE("exclude")) &&
         !fb_slice_equal(fb_value_text(key), FB_SLICE("include"));
}

/* True if all that the pattern names is so in the combination. */
static bool S_matches(const fb_map *combination, fb_value pattern) {
  if (pattern.kind != FB_MAP || pattern.as.map->len == 0) return false;
  for (uint32_t i = 0; i < pattern.as.map->len; i++) {
    const fb_value *value = fb_map_get(combination, pattern.as.map->entries[i].key);
    if (!value || !fb_value_equal(*value, pattern.as.map->entries[i].value)) return false;
  }
  return true;
}

static bool S_is_excluded(const fb_map *combination, const fb_value *excluded) {
  if (!excluded || excluded->kind != FB_LIST) return false;
  for (uint32_t i = 0; i < excluded->as.list->len; i++)
    if (S_matches(combination, excluded->as.list->items[i])) return true;
  return false;
}

/* How many combinations there are. */
static fb_status S_count(const fb_map *axes, uint64_t *ret_count, fb_error *err) {
  *ret_count = 1;
  for (uint32_t i = 0; i < axes->len; i++) {
    fb_value values = axes->entries[i].value;
    fb_slice name = fb_value_text(axes->entries[i].key);
    if (values.kind != FB_LIST)
      return fb_fail(err, FB_E_STEP_VALUE, "`%.*s` of a matrix is a list, not %s", (int)name.len,
                     name.ptr, fb_kind_name((fb_kind)values.kind));
    if (!S_is_axis(axes->entries[i].key)) continue;
    *ret_count *= values.as.list->len;
    if (*ret_count > MOST)
      return fb_fail(err, FB_E_LIMIT, "the matrix has more than %d combinations", MOST);
  }
  return FB_OK;
}

static fb_map *S_combination(const fb_map *axes, uint64_t number, fb_arena *arena) {
  fb_map *map = fb_map_new(arena, axes->len);
  uint64_t rest = 1;
  for (uint32_t i = 0; i < axes->len; i++)
    if (S_is_axis(axes->entries[i].key)) rest *= axes->entries[i].value.as.list->len;
  for (uint32_t i = 0; map && i < axes->len; i++) {
    if (!S_is_axis(axes->entries[i].key)) continue;
    const fb_list *values = axes->entries[i].value.as.list;
    rest /= values->len;
    fb_value value = values->items[number / rest % values->len];
    if (!fb_map_put(map, arena, axes->entries[i].key, value, NULL)) return NULL;
  }
  return map;
}

fb_status fb_matrix_expand(fb_value over, fb_arena *arena, fb_value *ret_list, fb_error *err) {
  uint64_t count;
  if (over.kind != FB_MAP)
    return fb_fail(err, FB_E_STEP_VALUE, "`matrix` takes a map of lists, not %s",
                   fb_kind_name((fb_kind)over.kind));
  const fb_map *axes = over.as.map;
  fb_status status = S_count(axes, &count, err);
  if (status) return status;
  const fb_value *excluded = fb_map_get_text(axes, FB_SLICE("exclude"));
  const fb_value *included = fb_map_get_text(axes, FB_SLICE("include"));
  uint32_t axis_count = axes->len - (excluded != NULL) - (included != NULL);
  fb_list *list = fb_list_new(arena, (uint32_t)count);
  for (uint64_t i = 0; list && axis_count && i < count; i++) {
    fb_map *one = S_combination(axes, i, arena);
    if (!one) return fb_fail(err, FB_E_NOMEM, "out of memory");
    if (S_is_excluded(one, excluded)) continue;
    if (!fb_list_push(list, arena, fb_map_value(one)))
      return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  for (uint32_t i = 0; list && included && i < included->as.list->len; i++)
    if (!fb_list_push(list, arena, included->as.list->items[i])) list = NULL;
  if (!list) return fb_fail(err, FB_E_NOMEM, "out of memory");
  *ret_list = fb_list_value(list);
  return FB_OK;
}
