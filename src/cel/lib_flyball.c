/* SPDX-License-Identifier: Apache-2.0
 * Flyball's own: JSON and HTML texts. */
#include "cel/lib.h"

static fb_value S_encode(fb_cel_context *context, fb_value value, unsigned style) {
  if (!fb_lib_spend_value(context, value)) return fb_cel_over_budget(context);
  fb_buf buf;
  fb_lib_begin(context, &buf);
  fb_json_write(&buf, value, style);
  return fb_lib_finish(context, &buf);
}

FB_LIB_FUNCTION(fb_lib_json_encode) {
  return S_encode(context, args[0], FB_JSON_COMPACT);
}

/* May stand inside a <script> element: nothing in it can end the element or open a comment. */
FB_LIB_FUNCTION(fb_lib_html_json) {
  return S_encode(context, args[0], FB_JSON_COMPACT | FB_JSON_HTML_SAFE);
}

FB_LIB_FUNCTION(fb_lib_json_decode) {
  if (!fb_lib_spend_bytes(context, args[0].len)) return fb_cel_over_budget(context);
  fb_value value;
  fb_error err;
  /* Values take at most as many elements as the text has bytes: max_size bounds both. */
  fb_status status = fb_json_read(fb_value_text(args[0]), "", NULL, context->arena, &value, &err);
  if (status == FB_OK) return value;
  return fb_cel_fail(context, status, "not JSON: %s (line %u, column %u)", err.text, err.line,
                     err.column);
}

static const char *S_entity(char c) {
  switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&#34;";
    case '\'': return "&#39;";
    default: return NULL;
  }
}

/* Safe in element content and in quoted attributes. */
FB_LIB_FUNCTION(fb_lib_html_escape) {
  fb_slice from = fb_value_text(args[0]);
  if (!fb_lib_spend_bytes(context, from.len)) return fb_cel_over_budget(context);
  uint64_t len = from.len;
  for (size_t i = 0; i < from.len; i++)
    if (S_entity(from.ptr[i])) len += strlen(S_entity(from.ptr[i])) - 1;
  if (len == from.len) return args[0];
  fb_value failure;
  char *out = fb_lib_text(context, len, &failure), *at = out;
  if (!out) return failure;
  for (size_t i = 0; i < from.len; i++) {
    const char *entity = S_entity(from.ptr[i]);
    if (entity)
      at = stpcpy(at, entity);
    else
      *at++ = from.ptr[i];
  }
  *at = 0;
  return fb_string((fb_slice){out, len});
}
