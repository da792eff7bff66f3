/* SPDX-License-Identifier: Apache-2.0
 * Values as JSON text. */
#include "data/json_scan.h"

#include <math.h>
#include <stdio.h>

/* ── Text ────────────────────────────────────────────────────────────────────────────────────── */

/* The letter of a byte's short escape; 0 if it has none. */
static char S_short_escape(unsigned char c) {
  switch (c) {
    case '"':
    case '\\': return (char)c;
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return 0;
  }
}

static void S_add_escape(fb_buf *out, uint32_t rune) {
  static const char digits[] = "0123456789abcdef";
  char letter = rune < 0x80 ? S_short_escape((unsigned char)rune) : 0;
  if (letter) {
    fb_buf_add(out, (char[]){'\\', letter}, 2);
    return;
  }
  char text[6] = {'\\',
                  'u',
                  digits[rune >> 12 & 15],
                  digits[rune >> 8 & 15],
                  digits[rune >> 4 & 15],
                  digits[rune & 15]};
  fb_buf_add(out, text, sizeof text);
}

/* Bytes from `at` on that go out as they are, when also HTML must not see what it would act on. */
static size_t S_plain_html(const char *at, size_t len) {
  size_t i = 0;
  for (; i < len; i++) {
    unsigned char c = (unsigned char)at[i];
    if (c < 0x20 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&') break;
    if (c == 0xe2 && len - i >= 3 && (unsigned char)at[i + 1] == 0x80 &&
        ((unsigned char)at[i + 2] & 0xfe) == 0xa8)
      break;
  }
  return i;
}

/* A byte that is not UTF-8 becomes U+FFFD: what is written can always be read. */
static void S_add_valid(fb_buf *out, const char *at, size_t len) {
  size_t bad;
  while (!fb_utf8_valid(at, len, &bad)) {
    fb_buf_add(out, at, bad);
    fb_buf_text(out, "\xef\xbf\xbd");
    at += bad + 1;
    len -= bad + 1;
  }
  fb_buf_add(out, at, len);
}

/* A text that needs no escape, which is most of them, in one go. False if it is not so simple. */
static bool S_add_plain(fb_buf *out, const char *at, size_t len) {
  unsigned high = 0;
  if (fb_scan_plain(at, at + len, &high) != at + len || high || !fb_buf_reserve(out, len + 2))
    return false;
  char *to = out->ptr + out->len;
  *to = '"';
  memcpy(to + 1, at, len);
  to[len + 1] = '"';
  to[len + 2] = 0;
  out->len += len + 2;
  return true;
}

void fb_json_write_text(fb_buf *out, fb_slice text, unsigned style) {
  const char *at = text.ptr ? text.ptr : "", *end = at + text.len;
  bool html = style & FB_JSON_HTML_SAFE;
  if (!html && S_add_plain(out, at, text.len)) return;
  fb_buf_char(out, '"');
  while (at < end) {
    unsigned high = 0;
    const char *stop =
        html ? at + S_plain_html(at, (size_t)(end - at)) : fb_scan_plain(at, end, &high);
    if (html || high)
      S_add_valid(out, at, (size_t)(stop - at));
    else
      fb_buf_add(out, at, (size_t)(stop - at));
    if (stop == end) break;
    uint32_t rune = 0;
    at = stop + fb_utf8_decode(stop, (size_t)(end - stop), &rune);
    S_add_escape(out, rune);
  }
  fb_buf_char(out, '"');
}

/* ── Scalars ─────────────────────────────────────────────────────────────────────────────────── */

enum { SCALAR_MAX = 64 }; /* bytes of any scalar but text and bytes */

static size_t S_format_integer(char *out, uint64_t magnitude, bool negative) {
  char reversed[20];
  size_t count = 0, len = 0;
  do reversed[count++] = (char)('0' + magnitude % 10);
  while (magnitude /= 10);
  if (negative) out[len++] = '-';
  while (count) out[len++] = reversed[--count];
  return len;
}

/* Seconds with as many decimals as are needed and an `s`. */
static size_t S_format_duration(char *out, int64_t seconds, uint32_t nanos) {
  bool negative = seconds < 0;
  uint64_t whole = negative ? 0 - (uint64_t)seconds : (uint64_t)seconds;
  if (negative && nanos) { /* -1s + 0.5s is -0.5s */
    whole--;
    nanos = 1000000000 - nanos;
  }
  size_t len = S_format_integer(out, whole, negative);
  if (nanos) {
    int places = 9;
    for (; nanos % 10 == 0; nanos /= 10) places--;
    len += (size_t)snprintf(out + len, SCALAR_MAX - len, ".%0*u", places, (unsigned)nanos);
  }
  out[len++] = 's';
  return len;
}

/* Null, bool, numbers, times: their text. 0 for other kinds. *ret_quoted: JSON wants it as a string. */
static size_t S_format_scalar(fb_value value, char out[SCALAR_MAX], bool *ret_quoted) {
  *ret_quoted = false;
  switch (value.kind) {
    case FB_NULL: memcpy(out, "null", 4); return 4;
    case FB_BOOL: memcpy(out, value.as.b ? "true" : "false", 5); return value.as.b ? 4 : 5;
    case FB_INT:
      return S_format_integer(out, value.as.i < 0 ? 0 - value.as.u : value.as.u, value.as.i < 0);
    case FB_UINT: return S_format_integer(out, value.as.u, false);
    case FB_DOUBLE: *ret_quoted = !isfinite(value.as.d); return fb_double_format(value.as.d, out);
    case FB_TIMESTAMP: *ret_quoted = true; return fb_time_format(value.as.i, value.len, out);
    case FB_DURATION: *ret_quoted = true; return S_format_duration(out, value.as.i, value.len);
    default: return 0;
  }
}

static void S_add_base64(fb_buf *out, fb_slice bytes) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unsigned char *at = (const unsigned char *)bytes.ptr;
  for (size_t i = 0; i < bytes.len; i += 3) {
    size_t left = bytes.len - i;
    uint32_t three = (uint32_t)at[i] << 16 | (left > 1 ? (uint32_t)at[i + 1] << 8 : 0) |
                     (left > 2 ? at[i + 2] : 0u);
    char four[4] = {letters[three >> 18], letters[three >> 12 & 63],
                    left > 1 ? letters[three >> 6 & 63] : '=',
                    left > 2 ? letters[three & 63] : '='};
    fb_buf_add(out, four, sizeof four);
  }
}

/* ── Lists and maps ──────────────────────────────────────────────────────────────────────────── */

typedef struct fb_json_writer {
  fb_buf *out;
  unsigned style;
  uint32_t depth;
} fb_json_writer;

static void S_write(fb_json_writer *writer, fb_value value);

static void S_break_line(fb_json_writer *writer) {
  if (!(writer->style & FB_JSON_PRETTY)) return;
  fb_buf_char(writer->out, '\n');
  fb_buf_repeat(writer->out, ' ', 2 * (size_t)writer->depth);
}

/* Opens a level; false when it is one too many. */
static bool S_enter(fb_json_writer *writer, char bracket) {
  if (writer->depth >= FB_JSON_DEPTH_MAX) {
    writer->out->failed = true;
    return false;
  }
  writer->depth++;
  fb_buf_char(writer->out, bracket);
  return true;
}

static void S_leave(fb_json_writer *writer, char bracket, bool empty) {
  writer->depth--;
  if (!empty) S_break_line(writer);
  fb_buf_char(writer->out, bracket);
}

static void S_write_list(fb_json_writer *writer, const fb_list *list) {
  if (!S_enter(writer, '[')) return;
  for (uint32_t i = 0; i < list->len && !writer->out->failed; i++) {
    if (i) fb_buf_char(writer->out, ',');
    S_break_line(writer);
    S_write(writer, list->items[i]);
  }
  S_leave(writer, ']', list->len == 0);
}

/* A key of a kind that has no short text is written as JSON, and that as the text of the key. */
static void S_write_odd_key(fb_json_writer *writer, fb_value key) {
  fb_buf text;
  fb_buf_init(&text, writer->out->allocator, writer->out->max);
  fb_json_writer inner = {&text, writer->style & FB_JSON_CANONICAL, writer->depth};
  S_write(&inner, key);
  if (text.failed) writer->out->failed = true;
  fb_json_write_text(writer->out, fb_buf_slice(&text), writer->style);
  fb_buf_release(&text);
}

/* The text of a key that has one; `buffer` holds it if it is not in the value itself. */
static bool S_key_text(fb_value key, char buffer[SCALAR_MAX], fb_slice *ret_text) {
  bool quoted;
  if (key.kind == FB_STRING || key.kind == FB_TYPE)
    *ret_text = fb_value_text(key);
  else
    *ret_text = (fb_slice){buffer, S_format_scalar(key, buffer, &quoted)};
  return ret_text->ptr != buffer || ret_text->len > 0;
}

static void S_write_entry(fb_json_writer *writer, const fb_entry *entry) {
  char buffer[SCALAR_MAX];
  fb_slice key;
  S_break_line(writer);
  if (S_key_text(entry->key, buffer, &key))
    fb_json_write_text(writer->out, key, writer->style);
  else
    S_write_odd_key(writer, entry->key);
  fb_buf_char(writer->out, ':');
  if (writer->style & FB_JSON_PRETTY) fb_buf_char(writer->out, ' ');
  S_write(writer, entry->value);
}

/* By the bytes of their texts; keys without a short text come last, in the order of values. */
static int S_compare_keys(fb_value a, fb_value b) {
  char a_buffer[SCALAR_MAX], b_buffer[SCALAR_MAX];
  fb_slice a_text, b_text;
  bool a_has = S_key_text(a, a_buffer, &a_text), b_has = S_key_text(b, b_buffer, &b_text);
  if (a_has != b_has) return a_has ? -1 : 1;
  return a_has ? fb_slice_compare(a_text, b_text) : fb_value_order(a, b);
}

/* Heap sort: no memory, no recursion, no bad case. */
static void S_sift(const fb_entry **heap, size_t at, size_t count) {
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && S_compare_keys(heap[child]->key, heap[child + 1]->key) < 0) child++;
    if (S_compare_keys(heap[at]->key, heap[child]->key) >= 0) return;
    const fb_entry *was = heap[at];
    heap[at] = heap[child];
    heap[child] = was;
  }
}

static void S_sort(const fb_entry **entries, size_t count) {
  for (size_t i = count / 2; i-- > 0;) S_sift(entries, i, count);
  for (size_t last = count; last-- > 1;) {
    const fb_entry *was = entries[0];
    entries[0] = entries[last];
    entries[last] = was;
    S_sift(entries, 0, last);
  }
}

static void S_write_sorted(fb_json_writer *writer, const fb_map *map) {
  size_t size = map->len * sizeof(fb_entry *);
  const fb_entry **entries = fb_alloc(writer->out->allocator, size);
  if (!entries) {
    writer->out->failed = true;
    return;
  }
  for (uint32_t i = 0; i < map->len; i++) entries[i] = &map->entries[i];
  S_sort(entries, map->len);
  for (uint32_t i = 0; i < map->len && !writer->out->failed; i++) {
    if (i) fb_buf_char(writer->out, ',');
    S_write_entry(writer, entries[i]);
  }
  fb_free(writer->out->allocator, entries, size);
}

static void S_write_map(fb_json_writer *writer, const fb_map *map) {
  if (!S_enter(writer, '{')) return;
  if ((writer->style & FB_JSON_CANONICAL) && map->len > 1) {
    S_write_sorted(writer, map);
  } else {
    for (uint32_t i = 0; i < map->len && !writer->out->failed; i++) {
      if (i) fb_buf_char(writer->out, ',');
      S_write_entry(writer, &map->entries[i]);
    }
  }
  S_leave(writer, '}', map->len == 0);
}

static void S_write_fact(fb_json_writer *writer, fb_value fact) {
  fb_arena arena;
  fb_map *map;
  fb_arena_init(&arena, writer->out->allocator, 0);
  if (fb_fact_map(fact.as.facts, fact.len, &arena, &map) == FB_OK)
    S_write_map(writer, map);
  else
    writer->out->failed = true;
  fb_arena_release(&arena);
}

static void S_write_scalar(fb_json_writer *writer, fb_value value) {
  char text[SCALAR_MAX + 2] = {'"'};
  bool quoted;
  size_t len = S_format_scalar(value, text + 1, &quoted);
  if (len == 0) { /* failures and absences do not come here from a sound value */
    fb_buf_text(writer->out, "null");
    return;
  }
  text[len + 1] = '"';
  if (quoted)
    fb_buf_add(writer->out, text, len + 2);
  else
    fb_buf_add(writer->out, text + 1, len);
}

static void S_write(fb_json_writer *writer, fb_value value) {
  for (; value.kind == FB_OPTIONAL; value = *value.as.optional)
    if (!value.as.optional) {
      value = fb_null();
      break;
    }
  switch (value.kind) {
    case FB_STRING:
    case FB_TYPE: fb_json_write_text(writer->out, fb_value_text(value), writer->style); break;
    case FB_BYTES:
      fb_buf_char(writer->out, '"');
      S_add_base64(writer->out, fb_value_text(value));
      fb_buf_char(writer->out, '"');
      break;
    case FB_LIST: S_write_list(writer, value.as.list); break;
    case FB_MAP: S_write_map(writer, value.as.map); break;
    case FB_FACT: S_write_fact(writer, value); break;
    default: S_write_scalar(writer, value);
  }
}

void fb_json_write(fb_buf *out, fb_value value, unsigned style) {
  fb_json_writer writer = {.out = out, .style = style};
  S_write(&writer, value);
}

void fb_json_member(fb_buf *out, const char *name, fb_slice text) {
  bool first = !out->len || strchr("{[,:", out->ptr[out->len - 1]) != NULL;
  fb_buf_text(out, first ? "\"" : ",\"");
  fb_buf_text(out, name);
  fb_buf_text(out, "\":");
  fb_json_write_text(out, text, FB_JSON_COMPACT);
}
