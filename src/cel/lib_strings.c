/* SPDX-License-Identifier: Apache-2.0
 * The strings extension. Positions are counted in code points, from 0. */
#include "cel/lib.h"

/* ── Positions ───────────────────────────────────────────────────────────────────────────────── */

/* Bytes of the code point at text[at]; a bad byte counts as one. */
static size_t S_step(fb_slice text, size_t at) {
  uint32_t rune;
  if ((unsigned char)text.ptr[at] < 0x80) return 1;
  int len = fb_utf8_decode(text.ptr + at, text.len - at, &rune);
  return len > 0 ? (size_t)len : 1;
}

/* The byte offset of a code point's position from byte `at` on; false if the text is shorter. The
 * position just after the last is there. */
static bool S_offset(fb_slice text, size_t at, int64_t position, size_t *ret_offset) {
  for (; position > 0 && at < text.len; position--) at += S_step(text, at);
  *ret_offset = at;
  return position == 0;
}

static fb_value S_index_error(fb_cel_context *context, int64_t index) {
  return fb_cel_fail(context, FB_E_CEL_INDEX, "index out of range: %lld", (long long)index);
}

static fb_value S_part(fb_slice text, size_t from, size_t to) {
  return fb_string((fb_slice){text.ptr + from, to - from});
}

FB_LIB_FUNCTION(fb_lib_char_at) {
  fb_slice text = fb_value_text(args[0]);
  size_t at;
  if (!fb_lib_spend_bytes(context, text.len)) return fb_cel_over_budget(context);
  if (args[1].as.i < 0 || !S_offset(text, 0, args[1].as.i, &at))
    return S_index_error(context, args[1].as.i);
  return S_part(text, at, at < text.len ? at + S_step(text, at) : at);
}

FB_LIB_FUNCTION(fb_lib_substring) {
  fb_slice text = fb_value_text(args[0]);
  int64_t start = args[1].as.i;
  size_t from, to = text.len;
  if (!fb_lib_spend_bytes(context, text.len)) return fb_cel_over_budget(context);
  if (count > 2 && start > args[2].as.i)
    return fb_cel_fail(context, FB_E_CEL_INDEX, "invalid substring range. start: %lld, end: %lld",
                       (long long)start, (long long)args[2].as.i);
  if (start < 0 || !S_offset(text, 0, start, &from)) return S_index_error(context, start);
  if (count > 2 && !S_offset(text, from, args[2].as.i - start, &to))
    return S_index_error(context, args[2].as.i);
  return S_part(text, from, to);
}

FB_LIB_FUNCTION(fb_lib_index_of) {
  fb_slice text = fb_value_text(args[0]), find = fb_value_text(args[1]);
  int64_t start = count > 2 ? args[2].as.i : 0;
  size_t from;
  if (!fb_lib_spend_bytes(context, text.len)) return fb_cel_over_budget(context);
  if (start < 0) return S_index_error(context, start);
  if (find.len == 0) return fb_int(start);
  if (!S_offset(text, 0, start, &from)) return fb_int(-1);
  const char *found = memmem(text.ptr + from, text.len - from, find.ptr, find.len);
  if (!found) return fb_int(-1);
  return fb_int(start +
                (int64_t)fb_utf8_length(text.ptr + from, (size_t)(found - text.ptr) - from));
}

/* The last place at or before byte `last` where `find` begins; -1: none. Looks at each byte at most twice:
 * the texts are read from behind with the prefix function of the reversed needle (Knuth, Morris, Pratt). */
static int64_t S_find_last(fb_cel_context *context, fb_slice text, fb_slice find, size_t last) {
  uint32_t *border = fb_arena_alloc(context->arena, find.len * sizeof *border);
  if (!border) return -2;
  border[0] = 0;
  for (size_t i = 1, k = 0; i < find.len; i++) {
    while (k && find.ptr[find.len - 1 - i] != find.ptr[find.len - 1 - k]) k = border[k - 1];
    if (find.ptr[find.len - 1 - i] == find.ptr[find.len - 1 - k]) k++;
    border[i] = (uint32_t)k;
  }
  for (size_t i = last + find.len, k = 0; i-- > 0;) {
    while (k && text.ptr[i] != find.ptr[find.len - 1 - k]) k = border[k - 1];
    if (text.ptr[i] == find.ptr[find.len - 1 - k]) k++;
    if (k == find.len) return (int64_t)i;
  }
  return -1;
}

FB_LIB_FUNCTION(fb_lib_last_index_of) {
  fb_slice text = fb_value_text(args[0]), find = fb_value_text(args[1]);
  size_t last = text.len;
  if (!fb_lib_spend_bytes(context, text.len)) return fb_cel_over_budget(context);
  if (count > 2 && args[2].as.i < 0) return S_index_error(context, args[2].as.i);
  if (find.len == 0)
    return count > 2 ? args[2] : fb_int((int64_t)fb_utf8_length(text.ptr, text.len));
  if (count > 2 && (!S_offset(text, 0, args[2].as.i, &last) || last == text.len)) return fb_int(-1);
  if (find.len > text.len) return fb_int(-1);
  if (last > text.len - find.len) last = text.len - find.len;
  if (!fb_lib_spend_bytes(context, (uint64_t)find.len * 4)) return fb_cel_over_budget(context);
  fb_arena_mark mark = fb_arena_save(context->arena);
  int64_t at = S_find_last(context, text, find, last);
  fb_arena_rewind(context->arena, mark);
  if (at == -2) return fb_lib_nomem(context);
  return fb_int(at < 0 ? -1 : (int64_t)fb_utf8_length(text.ptr, (size_t)at));
}

/* ── Changed copies ──────────────────────────────────────────────────────────────────────────── */

/* Moves the ASCII letters of one case to the other. */
static fb_value S_change_case(fb_cel_context *context, fb_slice text, char first, char last) {
  fb_value result = fb_lib_string(context, text.ptr, text.len);
  if (result.kind == FB_ERROR) return result;
  char *out = (char *)(uintptr_t)result.as.text; /* just made, nobody else has it */
  for (size_t i = 0; i < text.len; i++)
    if (out[i] >= first && out[i] <= last) out[i] ^= 0x20;
  return result;
}

FB_LIB_FUNCTION(fb_lib_lower_ascii) {
  return S_change_case(context, fb_value_text(args[0]), 'A', 'Z');
}

FB_LIB_FUNCTION(fb_lib_upper_ascii) {
  return S_change_case(context, fb_value_text(args[0]), 'a', 'z');
}

FB_LIB_FUNCTION(fb_lib_reverse_string) {
  fb_slice text = fb_value_text(args[0]);
  fb_value failure;
  char *out = fb_lib_text(context, text.len, &failure);
  if (!out) return failure;
  for (size_t at = 0; at < text.len;) {
    size_t step = S_step(text, at);
    memcpy(out + text.len - at - step, text.ptr + at, step);
    at += step;
  }
  return fb_string((fb_slice){out, text.len});
}

/* Unicode's White_Space property. */
static bool S_is_space(uint32_t rune) {
  return (rune >= 9 && rune <= 13) || rune == ' ' || rune == 0x85 || rune == 0xA0 ||
         rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200A) || rune == 0x2028 || rune == 0x2029 ||
         rune == 0x202F || rune == 0x205F || rune == 0x3000;
}

/* Length of the white space at text[at]; 0: none there. */
static size_t S_space_at(fb_slice text, size_t at) {
  uint32_t rune;
  int len = fb_utf8_decode(text.ptr + at, text.len - at, &rune);
  return len > 0 && S_is_space(rune) ? (size_t)len : 0;
}

FB_LIB_FUNCTION(fb_lib_trim) {
  fb_slice text = fb_value_text(args[0]);
  size_t from = 0, to = text.len, len;
  if (!fb_lib_spend_bytes(context, text.len)) return fb_cel_over_budget(context);
  while (from < to && (len = S_space_at(text, from))) from += len;
  while (to > from) {
    size_t at = to - 1;
    while (at > from && ((unsigned char)text.ptr[at] & 0xC0) == 0x80) at--;
    if (S_space_at(text, at) != to - at) break;
    to = at;
  }
  return S_part(text, from, to);
}

/* ── Pieces ──────────────────────────────────────────────────────────────────────────────────── */

/* The next occurrence at or after *at: its begin; *at moves past it. The empty text is found before each code
 * point and at the end. NULL: no more. */
static const char *S_next(fb_slice text, fb_slice find, size_t *at) {
  if (find.len == 0) {
    if (*at > text.len) return NULL;
    const char *found = text.ptr + *at;
    *at += *at < text.len ? S_step(text, *at) : 1;
    return found;
  }
  if (*at > text.len) return NULL;
  const char *found = memmem(text.ptr + *at, text.len - *at, find.ptr, find.len);
  if (found) *at = (size_t)(found - text.ptr) + find.len;
  return found;
}

/* How often, at most `max` times. */
static uint64_t S_occurrences(fb_slice text, fb_slice find, uint64_t max) {
  uint64_t found = 0;
  for (size_t at = 0; found < max && S_next(text, find, &at);) found++;
  return found;
}

FB_LIB_FUNCTION(fb_lib_replace) {
  fb_slice text = fb_value_text(args[0]), find = fb_value_text(args[1]),
           by = fb_value_text(args[2]);
  if (!fb_lib_spend_bytes(context, text.len)) return fb_cel_over_budget(context);
  uint64_t max = count > 3 && args[3].as.i >= 0 ? (uint64_t)args[3].as.i : UINT64_MAX;
  uint64_t times = S_occurrences(text, find, max);
  if (times == 0) return args[0];
  fb_value failure;
  uint64_t len = text.len - times * find.len + times * by.len;
  char *out = fb_lib_text(context, len, &failure), *put = out;
  if (!out) return failure;
  size_t done = 0, at = 0;
  for (uint64_t i = 0; i < times; i++) {
    size_t begin = (size_t)(S_next(text, find, &at) - text.ptr);
    put = mempcpy(mempcpy(put, text.ptr + done, begin - done), by.ptr, by.len);
    done = begin + find.len;
  }
  memcpy(put, text.ptr + done, text.len - done);
  return fb_string((fb_slice){out, len});
}

FB_LIB_FUNCTION(fb_lib_split) {
  fb_slice text = fb_value_text(args[0]), by = fb_value_text(args[1]);
  int64_t limit = count > 2 ? args[2].as.i : -1;
  if (!fb_lib_spend_bytes(context, text.len)) return fb_cel_over_budget(context);
  uint64_t max = limit < 0 ? UINT64_MAX : (uint64_t)limit;
  uint64_t pieces = max == 0 ? 0
                    : by.len ? 1 + S_occurrences(text, by, max - 1)
                             : fb_utf8_length(text.ptr, text.len);
  if (pieces > max) pieces = max;
  fb_value failure;
  fb_list *list = fb_lib_list(context, pieces, &failure);
  if (!list) return failure;
  size_t done = 0, at = 0;
  for (uint64_t i = 1; i < pieces; i++) {
    size_t end = by.len ? (size_t)(S_next(text, by, &at) - text.ptr) : done + S_step(text, done);
    list->items[list->len++] = S_part(text, done, end);
    done = end + by.len;
  }
  if (pieces) list->items[list->len++] = S_part(text, done, text.len);
  return fb_list_value(list);
}

FB_LIB_FUNCTION(fb_lib_join) {
  const fb_list *list = args[0].as.list;
  fb_slice by = count > 1 ? fb_value_text(args[1]) : FB_SLICE("");
  uint64_t len = list->len ? (uint64_t)by.len * (list->len - 1) : 0;
  if (!fb_cel_spend(context, list->len)) return fb_cel_over_budget(context);
  for (uint32_t i = 0; i < list->len; i++) {
    if (list->items[i].kind != FB_STRING)
      return fb_cel_fail(context, FB_E_CEL_NO_OVERLOAD, "no such overload: join of a list with %s",
                         fb_kind_name(list->items[i].kind));
    len += list->items[i].len;
  }
  fb_value failure;
  char *out = fb_lib_text(context, len, &failure), *at = out;
  if (!out) return failure;
  for (uint32_t i = 0; i < list->len; i++) {
    if (i && by.len) at = mempcpy(at, by.ptr, by.len);
    if (list->items[i].len) at = mempcpy(at, list->items[i].as.text, list->items[i].len);
  }
  return fb_string((fb_slice){out, len});
}

/* ── Quote ───────────────────────────────────────────────────────────────────────────────────── */

/* The letter after the backslash; 0: the character needs none. */
static char S_escape(char c) {
  static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
  const char *found = c ? strchr(from, c) : NULL;
  return found ? to[found - from] : 0;
}

FB_LIB_FUNCTION(fb_lib_quote) {
  fb_slice text = fb_value_text(args[0]);
  fb_buf buf;
  if (!fb_lib_spend_bytes(context, text.len)) return fb_cel_over_budget(context);
  fb_lib_begin(context, &buf);
  fb_buf_char(&buf, '"');
  for (size_t at = 0, step; at < text.len; at += step) {
    step = S_step(text, at);
    char escape = S_escape(text.ptr[at]);
    if (escape) {
      fb_buf_char(&buf, '\\');
      fb_buf_char(&buf, escape);
    } else if (step == 1 && (unsigned char)text.ptr[at] >= 0x80) {
      fb_buf_text(&buf, "\xEF\xBF\xBD"); /* U+FFFD for what is not UTF-8 */
    } else {
      fb_buf_add(&buf, text.ptr + at, step);
    }
  }
  fb_buf_char(&buf, '"');
  return fb_lib_finish(context, &buf);
}
