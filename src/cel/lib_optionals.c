/* SPDX-License-Identifier: Apache-2.0
 * Optional values. The macros optMap and optFlatMap and the ?-operators belong to the language. */
#include "cel/lib.h"

static fb_value S_box(fb_cel_context *context, fb_value value) {
  fb_value *box = fb_arena_copy(context->arena, &value, sizeof value);
  return box ? fb_optional(box) : fb_lib_nomem(context);
}

FB_LIB_FUNCTION(fb_lib_optional_of) {
  return S_box(context, args[0]);
}

FB_LIB_FUNCTION(fb_lib_optional_none) {
  return fb_optional(NULL);
}

/* Zero: null, false, 0, "", empty collections, year 1, no duration, an empty optional. */
static bool S_is_zero(fb_value value) {
  switch (value.kind) {
    case FB_NULL: return true;
    case FB_BOOL: return !value.as.b;
    case FB_INT:
    case FB_UINT: return value.as.u == 0;
    case FB_DOUBLE: return value.as.d == 0;
    case FB_STRING:
    case FB_BYTES: return value.len == 0;
    case FB_LIST: return value.as.list->len == 0;
    case FB_MAP: return value.as.map->len == 0;
    case FB_DURATION: return value.as.i == 0 && value.len == 0;
    case FB_TIMESTAMP:
      return value.as.i == INT64_C(-62135596800) && value.len == 0; /* Go's zero time */
    case FB_OPTIONAL: return !value.as.optional;
    default: return false;
  }
}

FB_LIB_FUNCTION(fb_lib_optional_of_non_zero) {
  return S_is_zero(args[0]) ? fb_optional(NULL) : S_box(context, args[0]);
}

FB_LIB_FUNCTION(fb_lib_optional_has_value) {
  return fb_bool(args[0].as.optional != NULL);
}

FB_LIB_FUNCTION(fb_lib_optional_value) {
  if (!args[0].as.optional)
    return fb_cel_fail(context, FB_E_CEL_VALUE, "optional.none() dereference");
  return *args[0].as.optional;
}

FB_LIB_FUNCTION(fb_lib_optional_or) {
  return args[0].as.optional ? args[0] : args[1];
}

FB_LIB_FUNCTION(fb_lib_optional_or_value) {
  return args[0].as.optional ? *args[0].as.optional : args[1];
}

FB_LIB_FUNCTION(fb_lib_optional_unwrap) {
  const fb_list *from = args[0].as.list;
  fb_value failure;
  fb_list *list = fb_lib_list(context, from->len, &failure);
  if (!list) return failure;
  for (uint32_t i = 0; i < from->len; i++) {
    if (from->items[i].kind != FB_OPTIONAL)
      return fb_cel_fail(context, FB_E_CEL_NO_OVERLOAD,
                         "no such overload: unwrap of a list with %s",
                         fb_kind_name(from->items[i].kind));
    if (from->items[i].as.optional) list->items[list->len++] = *from->items[i].as.optional;
  }
  return fb_list_value(list);
}
