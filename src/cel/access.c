/* SPDX-License-Identifier: Apache-2.0
 * Getting at what is in lists, maps, facts and optionals. */
#include "cel/program.h"

#include <math.h>
#include <stdio.h>

static fb_value S_none(void) {
  return fb_optional(NULL);
}

fb_value fb_access_some(fb_cel_context *context, fb_value value) {
  fb_value *box = fb_arena_copy(context->arena, &value, sizeof value);
  return box ? fb_optional(box) : fb_cel_fail(context, FB_E_NOMEM, "no memory for an optional");
}

static fb_value S_failed(fb_value value) {
  return value.kind == FB_ERROR ? value : fb_cel_lazy(FB_LAZY_UNBOUND);
}

/* Only these are ever equal to a key; others are not even hashed. */
static const fb_value *S_get(const fb_map *map, fb_value key) {
  bool possible = key.kind == FB_STRING || key.kind == FB_INT || key.kind == FB_UINT ||
                  key.kind == FB_BOOL || key.kind == FB_DOUBLE;
  return possible ? fb_map_get(map, key) : NULL;
}

static bool S_has_text(const fb_list *list, fb_value text) {
  for (uint32_t i = 0; i < list->len; i++) {
    fb_value item = list->items[i];
    if (item.kind != FB_STRING || item.len != text.len) continue;
    if (item.len == 0 ||
        (item.as.text[0] == text.as.text[0] && memcmp(item.as.text, text.as.text, item.len) == 0))
      return true;
  }
  return false;
}

fb_value fb_access_in(fb_cel_context *context, fb_value item, fb_value in) {
  if (item.kind >= FB_ERROR) return S_failed(item);
  if (in.kind >= FB_ERROR) return S_failed(in);
  if (in.kind == FB_MAP) return fb_bool(S_get(in.as.map, item) != NULL);
  if (in.kind == FB_FACT)
    return fb_bool(item.kind == FB_STRING &&
                   fb_fact_get(in, fb_value_text(item)).kind != FB_ABSENT);
  if (in.kind != FB_LIST) return fb_operate_misfit(context, "in", (fb_value[]){item, in}, 2);
  const fb_list *list = in.as.list;
  if (!fb_cel_spend(context, list->len)) return fb_cel_over_budget(context);
  if (item.kind == FB_STRING) return fb_bool(S_has_text(list, item));
  bool compound = item.kind == FB_LIST || item.kind == FB_MAP || item.kind == FB_OPTIONAL;
  for (uint32_t i = 0; i < list->len; i++) {
    if (compound && !fb_operate_pay(context, item)) return fb_cel_over_budget(context);
    if (fb_value_equal(list->items[i], item)) return fb_bool(true);
  }
  return fb_bool(false);
}

/* A whole number from any of the three kinds of number. */
static bool S_whole(fb_value key, int64_t *ret_index) {
  switch (key.kind) {
    case FB_INT: *ret_index = key.as.i; return true;
    case FB_UINT: *ret_index = key.as.u > INT64_MAX ? INT64_MAX : (int64_t)key.as.u; return true;
    case FB_DOUBLE:
      if (!(fabs(key.as.d) < 0x1p53) || key.as.d != floor(key.as.d)) return false;
      *ret_index = (int64_t)key.as.d;
      return true;
    default: return false;
  }
}

static fb_value S_describe_missing(fb_cel_context *context, fb_value key) {
  switch (key.kind) {
    case FB_STRING:
      return fb_cel_fail(context, FB_E_CEL_NO_KEY, "no such key: '%.*s'",
                         key.len > 100 ? 100 : (int)key.len, key.as.text);
    case FB_INT:
      return fb_cel_fail(context, FB_E_CEL_NO_KEY, "no such key: %lld", (long long)key.as.i);
    case FB_UINT:
      return fb_cel_fail(context, FB_E_CEL_NO_KEY, "no such key: %llu",
                         (unsigned long long)key.as.u);
    case FB_BOOL:
      return fb_cel_fail(context, FB_E_CEL_NO_KEY, "no such key: %s", key.as.b ? "true" : "false");
    default:
      return fb_cel_fail(context, FB_E_CEL_NO_KEY, "no such key: a %s is never one",
                         fb_kind_name(key.kind));
  }
}

/* The element, or FB_ABSENT when there is none (and an error when the two do not go together). */
static fb_value S_element(fb_cel_context *context, fb_value of, fb_value key) {
  if (of.kind == FB_LIST) {
    int64_t index;
    if (!S_whole(key, &index))
      return fb_cel_fail(context, FB_E_CEL_INDEX, "a list is not indexed by %s",
                         fb_kind_name(key.kind));
    return index < 0 || index >= of.as.list->len ? fb_absent() : of.as.list->items[index];
  }
  if (of.kind == FB_MAP) {
    const fb_value *found = S_get(of.as.map, key);
    return found ? *found : fb_absent();
  }
  if (of.kind == FB_FACT)
    return key.kind == FB_STRING ? fb_fact_get(of, fb_value_text(key)) : fb_absent();
  return fb_operate_misfit(context, "[]", (fb_value[]){of, key}, 2);
}

fb_value fb_access_index(fb_cel_context *context, fb_value of, fb_value key, bool optional) {
  if (of.kind >= FB_ERROR) return S_failed(of);
  if (key.kind >= FB_ERROR) return S_failed(key);
  bool in_optional = of.kind == FB_OPTIONAL;
  if (in_optional && !of.as.optional) return S_none();
  if (in_optional) of = *of.as.optional;
  fb_value found = S_element(context, of, key);
  if (found.kind == FB_ERROR) return found;
  if (optional || in_optional)
    return found.kind == FB_ABSENT ? S_none() : fb_access_some(context, found);
  if (found.kind != FB_ABSENT) return found;
  if (of.kind != FB_LIST) return S_describe_missing(context, key);
  int64_t index = 0;
  S_whole(key, &index);
  return fb_cel_fail(context, FB_E_CEL_INDEX, "index %lld is outside of a list of %u",
                     (long long)index, of.as.list->len);
}

/* FB_ABSENT when there is no such field; an error when there are no fields at all. */
static fb_value S_field(fb_cel_context *context, fb_value of, const fb_cel_access *access) {
  if (of.kind == FB_FACT) return fb_fact_get(of, fb_value_text(access->name));
  if (of.kind == FB_MAP) {
    const fb_value *found = fb_map_get(of.as.map, access->name);
    return found ? *found : fb_absent();
  }
  char what[80];
  snprintf(what, sizeof what, "select .%.*s of ",
           access->name.len > 60 ? 60 : (int)access->name.len, access->name.as.text);
  return fb_operate_misfit(context, what, &of, 1);
}

fb_value fb_access_select(fb_cel_context *context, fb_value of, const fb_cel_access *access,
                          bool optional) {
  if (of.kind >= FB_ERROR) return S_failed(of);
  bool in_optional = of.kind == FB_OPTIONAL;
  if (in_optional && !of.as.optional) return S_none();
  if (in_optional) of = *of.as.optional;
  fb_value found = S_field(context, of, access);
  if (found.kind == FB_ERROR) return found;
  if (optional || in_optional)
    return found.kind == FB_ABSENT ? S_none() : fb_access_some(context, found);
  return found.kind == FB_ABSENT ? fb_cel_lazy(FB_LAZY_NO_KEY) : found;
}

fb_value fb_access_has(fb_cel_context *context, fb_value of, const fb_cel_access *access) {
  if (of.kind >= FB_ERROR) return S_failed(of);
  if (of.kind == FB_OPTIONAL) {
    if (!of.as.optional) return fb_bool(false);
    of = *of.as.optional;
  }
  fb_value found = S_field(context, of, access);
  return found.kind == FB_ERROR ? found : fb_bool(found.kind != FB_ABSENT);
}
