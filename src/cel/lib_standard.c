/* SPDX-License-Identifier: Apache-2.0
 * Standard functions on texts and collections. `matches` is with the other regular expressions. */
#include "cel/lib.h"

FB_LIB_FUNCTION(fb_lib_size_string) {
  if (!fb_lib_spend_bytes(context, args[0].len)) return fb_cel_over_budget(context);
  return fb_int((int64_t)fb_utf8_length(args[0].as.text, args[0].len));
}

FB_LIB_FUNCTION(fb_lib_size_bytes) {
  return fb_int(args[0].len);
}

FB_LIB_FUNCTION(fb_lib_size_list) {
  return fb_int(args[0].as.list->len);
}

FB_LIB_FUNCTION(fb_lib_size_map) {
  return fb_int(args[0].as.map->len);
}

FB_LIB_FUNCTION(fb_lib_contains) {
  if (!fb_lib_spend_bytes(context, args[0].len)) return fb_cel_over_budget(context);
  if (args[1].len == 0) return fb_bool(true);
  return fb_bool(memmem(args[0].as.text, args[0].len, args[1].as.text, args[1].len) != NULL);
}

FB_LIB_FUNCTION(fb_lib_starts_with) {
  return fb_bool(fb_slice_starts(fb_value_text(args[0]), fb_value_text(args[1])));
}

FB_LIB_FUNCTION(fb_lib_ends_with) {
  fb_slice text = fb_value_text(args[0]), end = fb_value_text(args[1]);
  if (end.len > text.len) return fb_bool(false);
  return fb_bool(fb_slice_equal((fb_slice){text.ptr + text.len - end.len, end.len}, end));
}
