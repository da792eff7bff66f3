/* SPDX-License-Identifier: Apache-2.0
 * The table of all functions, and what their files share. */
#include "cel/lib.h"

const fb_cel_library *fb_cel_libraries(size_t *ret_count) {
  static const fb_cel_overload overloads[] = {
#define FB_CEL_OVERLOAD(name, signature, function) {name, signature, function},
#include "cel/library.def"
#undef FB_CEL_OVERLOAD
  };
  static const fb_cel_library all = {overloads, sizeof overloads / sizeof *overloads};
  *ret_count = 1;
  return &all;
}

fb_value fb_lib_nomem(fb_cel_context *context) {
  return fb_cel_fail(context, FB_E_NOMEM, "out of memory");
}

/* False, with the reason, if a result of that size must not be made or cannot be paid. */
static bool S_afford(fb_cel_context *context, uint64_t size, uint64_t price, const char *what,
                     fb_value *ret_failure) {
  if (!fb_cel_may_make(context, size) || size >= UINT32_MAX / 2) {
    *ret_failure =
        fb_cel_fail(context, FB_E_CEL_SIZE, "the result would have %llu %s, the limit is %llu",
                    (unsigned long long)size, what, (unsigned long long)context->max_size);
    return false;
  }
  if (!fb_cel_spend(context, price)) {
    *ret_failure = fb_cel_over_budget(context);
    return false;
  }
  return true;
}

char *fb_lib_text(fb_cel_context *context, uint64_t size, fb_value *ret_failure) {
  if (!S_afford(context, size, 1 + size / 16, "bytes", ret_failure)) return NULL;
  char *text = fb_arena_alloc_aligned(context->arena, size + 1, 1);
  if (text)
    text[size] = 0;
  else
    *ret_failure = fb_lib_nomem(context);
  return text;
}

fb_list *fb_lib_list(fb_cel_context *context, uint64_t size, fb_value *ret_failure) {
  if (!S_afford(context, size, 1 + size, "elements", ret_failure)) return NULL;
  fb_list *list = fb_list_new(context->arena, size);
  if (!list) *ret_failure = fb_lib_nomem(context);
  return list;
}

fb_value fb_lib_string(fb_cel_context *context, const char *bytes, size_t len) {
  fb_value failure;
  char *text = fb_lib_text(context, len, &failure);
  if (!text) return failure;
  if (len) memcpy(text, bytes, len);
  return fb_string((fb_slice){text, len});
}

void fb_lib_begin(fb_cel_context *context, fb_buf *buf) {
  fb_buf_init(buf, context->arena->allocator,
              context->max_size < UINT32_MAX / 2 ? context->max_size : UINT32_MAX / 2);
}

/* A buffer does not tell why it stopped: whether there is room for one more block does. */
static fb_value S_stopped(fb_cel_context *context, const fb_buf *buf) {
  void *probe = fb_alloc(buf->allocator, buf->cap * 2 + 64);
  fb_free(buf->allocator, probe, buf->cap * 2 + 64);
  if (!probe) return fb_lib_nomem(context);
  return fb_cel_fail(context, FB_E_CEL_SIZE, "the result would have more than %zu bytes", buf->max);
}

fb_value fb_lib_finish(fb_cel_context *context, fb_buf *buf) {
  fb_value result =
      buf->failed ? S_stopped(context, buf) : fb_lib_string(context, buf->ptr, buf->len);
  fb_buf_release(buf);
  return result;
}

bool fb_lib_spend_value(fb_cel_context *context, fb_value value) {
  switch (value.kind) {
    case FB_STRING:
    case FB_BYTES: return fb_lib_spend_bytes(context, value.len);
    case FB_OPTIONAL:
      return fb_cel_spend(context, 1) &&
             (!value.as.optional || fb_lib_spend_value(context, *value.as.optional));
    case FB_LIST:
      if (!fb_cel_spend(context, 1)) return false;
      for (uint32_t i = 0; i < value.as.list->len; i++)
        if (!fb_lib_spend_value(context, value.as.list->items[i])) return false;
      return true;
    case FB_MAP:
      if (!fb_cel_spend(context, 1)) return false;
      for (uint32_t i = 0; i < value.as.map->len; i++)
        if (!fb_lib_spend_value(context, value.as.map->entries[i].key) ||
            !fb_lib_spend_value(context, value.as.map->entries[i].value))
          return false;
      return true;
    default: return fb_cel_spend(context, 1);
  }
}
