/* SPDX-License-Identifier: Apache-2.0
 * The core schema of YAML 1.2 (section 10.3.2): what a plain scalar means. */
#include "data/doc.h"
#include "data/json_scan.h"

#include <math.h>

static bool S_is_one_of(fb_slice text, const char *const *words) {
  for (; *words; words++)
    if (fb_slice_equal(text, fb_slice_of(*words))) return true;
  return false;
}

static bool S_digit(char c) {
  return c >= '0' && c <= '9';
}

static int S_digit_of(char c) {
  if (S_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

/* Digits of `base` and nothing else. False if it is none; *ret_fits tells about 64 bits. */
static bool S_digits(fb_slice text, unsigned base, uint64_t *ret_value, bool *ret_fits) {
  uint64_t value = 0;
  bool fits = true;
  for (size_t i = 0; i < text.len; i++) {
    unsigned digit = (unsigned)S_digit_of(text.ptr[i]);
    if (digit >= base) return false;
    if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
      fits = false;
  }
  *ret_value = value;
  *ret_fits = fits;
  return text.len > 0;
}

/* [-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+ */
static bool S_integer(fb_slice text, fb_value *ret_value, bool *ret_fits) {
  bool negative = text.ptr[0] == '-', sign = negative || text.ptr[0] == '+';
  unsigned base = 10;
  fb_slice digits = {text.ptr + sign, text.len - sign};
  if (!sign && text.len > 2 && text.ptr[0] == '0' && (text.ptr[1] == 'o' || text.ptr[1] == 'x')) {
    base = text.ptr[1] == 'o' ? 8 : 16;
    digits = (fb_slice){text.ptr + 2, text.len - 2};
  }
  uint64_t value;
  if (!S_digits(digits, base, &value, ret_fits)) return false;
  if (negative && value > (uint64_t)INT64_MAX + 1) *ret_fits = false;
  if (negative)
    *ret_value = fb_int((int64_t)(UINT64_C(0) - value));
  else
    *ret_value = value > INT64_MAX ? fb_uint(value) : fb_int((int64_t)value);
  return true;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool S_looks_float(fb_slice text) {
  size_t i = text.ptr[0] == '-' || text.ptr[0] == '+', digits = 0;
  for (; i < text.len && S_digit(text.ptr[i]); i++) digits++;
  if (i < text.len && text.ptr[i] == '.') {
    size_t before = digits;
    for (i++; i < text.len && S_digit(text.ptr[i]); i++) digits++;
    if (!before && !digits) return false;
  }
  if (!digits) return false;
  if (i == text.len) return true;
  if (text.ptr[i] != 'e' && text.ptr[i] != 'E') return false;
  i++;
  if (i < text.len && (text.ptr[i] == '-' || text.ptr[i] == '+')) i++;
  size_t first = i;
  while (i < text.len && S_digit(text.ptr[i])) i++;
  return i == text.len && i > first;
}

static bool S_special_float(fb_slice text, fb_value *ret_value) {
  static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
  static const char *const infinities[] = {".inf", ".Inf", ".INF", NULL};
  if (S_is_one_of(text, nans)) {
    *ret_value = fb_double((double)NAN);
    return true;
  }
  bool sign = text.ptr[0] == '-' || text.ptr[0] == '+';
  if (!S_is_one_of((fb_slice){text.ptr + sign, text.len - sign}, infinities)) return false;
  *ret_value = fb_double(text.ptr[0] == '-' ? -(double)INFINITY : (double)INFINITY);
  return true;
}

/* In JSON's form: no `+`, digits on both sides of the point. Never more than 2 bytes longer. */
static size_t S_as_json(fb_slice text, char *out) {
  size_t len = 0;
  for (size_t i = text.ptr[0] == '+'; i < text.len; i++) {
    char c = text.ptr[i];
    if (c == '.' && (len == 0 || !S_digit(out[len - 1]))) out[len++] = '0';
    if (len && out[len - 1] == '.' && !S_digit(c)) out[len++] = '0';
    /* JSON has no leading zeros */
    if (S_digit(c) && len && out[len - 1] == '0' && (len == 1 || (len == 2 && out[0] == '-')))
      len--;
    out[len++] = c;
  }
  if (len && out[len - 1] == '.') out[len++] = '0';
  return len;
}

/* Through JSON's reader of numbers: correctly rounded, and no locale changes the point. */
static fb_status S_float(fb_slice text, const fb_allocator *allocator, fb_value *ret_value) {
  char small[64];
  size_t size = text.len + 4;
  char *copy = size <= sizeof small ? small : fb_alloc(allocator, size);
  if (!copy) return FB_E_NOMEM;
  copy[0] = 0;
  size_t len = S_as_json(text, copy);
  fb_scan_fault fault;
  const char *end = fb_scan_number(copy, copy + len, ret_value, &fault);
  bool read = end == copy + len;
  if (copy != small) fb_free(allocator, copy, size);
  return read ? FB_OK : FB_E_DOC_NUMBER;
}

fb_status fb_yaml_resolve(fb_slice text, const fb_allocator *allocator, fb_value *ret_value) {
  static const char *const nulls[] = {"~", "null", "Null", "NULL", NULL};
  static const char *const trues[] = {"true", "True", "TRUE", NULL};
  static const char *const falses[] = {"false", "False", "FALSE", NULL};
  bool fits;
  *ret_value = fb_null();
  if (text.len == 0 || S_is_one_of(text, nulls)) return FB_OK;
  char c = text.ptr[0];
  if (S_digit(c) || c == '-' || c == '+' || c == '.') {
    if (S_integer(text, ret_value, &fits)) return fits ? FB_OK : FB_E_DOC_NUMBER;
    if (S_special_float(text, ret_value)) return FB_OK;
    if (S_looks_float(text)) return S_float(text, allocator, ret_value);
  }
  *ret_value = fb_string(text);
  if (S_is_one_of(text, trues)) *ret_value = fb_bool(true);
  if (S_is_one_of(text, falses)) *ret_value = fb_bool(false);
  return FB_OK;
}

/* ── Single quotes ───────────────────────────────────────────────────────────────────────────── */

static bool S_white(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* White space in a single-quoted scalar from `at` on: as it is, or folded if a line ends in it. Returns how
 * much of the source it is. */
static size_t S_fold_white(fb_slice source, size_t at, char *out, size_t *len) {
  size_t stop = at, breaks = 0;
  for (; stop < source.len && S_white(source.ptr[stop]); stop++) breaks += source.ptr[stop] == '\n';
  size_t bytes = breaks == 0 ? stop - at : breaks == 1 ? 1 : breaks - 1;
  if (breaks == 0)
    memcpy(out + *len, source.ptr + at, bytes);
  else
    memset(out + *len, breaks == 1 ? ' ' : '\n', bytes);
  *len += bytes;
  return stop - at;
}

fb_status fb_yaml_unquote(fb_slice source, fb_arena *arena, fb_slice *ret_text) {
  *ret_text = source;
  if (!memchr(source.ptr, '\'', source.len) && !memchr(source.ptr, '\n', source.len)) return FB_OK;
  char *out = fb_arena_alloc_aligned(arena, source.len + 1, 1);
  if (!out) return FB_E_NOMEM;
  size_t len = 0;
  for (size_t at = 0; at < source.len;) {
    if (S_white(source.ptr[at])) {
      at += S_fold_white(source, at, out, &len);
    } else {
      out[len++] = source.ptr[at];
      at += source.ptr[at] == '\'' ? 2 : 1;
    }
  }
  out[len] = 0;
  *ret_text = (fb_slice){out, len};
  return FB_OK;
}

/* ── Double quotes ───────────────────────────────────────────────────────────────────────────── */

/* A backslash at the end of a line joins it to the next; empty lines between them are kept as breaks. */
static size_t S_join_lines(fb_slice source, size_t at, char *out, size_t *len) {
  size_t stop = at, breaks = 0;
  for (; stop < source.len && S_white(source.ptr[stop]); stop++)
    if (source.ptr[stop] == '\n' && breaks++) out[(*len)++] = '\n';
  return stop - at;
}

static uint32_t S_hex(fb_slice source, size_t at, size_t digits) {
  uint32_t rune = 0;
  for (size_t i = at; i < at + digits && i < source.len; i++) {
    unsigned c = (unsigned char)source.ptr[i];
    rune = rune << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return rune;
}

/* The escape whose letter stands at `at`; the parser has refused unknown ones. Returns its length. */
static size_t S_escape(fb_slice source, size_t at, char *out, size_t *len) {
  static const char letters[] = "0abtnvfre \"/\\N_LP\t";
  static const uint32_t runes[] = {0,   '\a', '\b', '\t', '\n', '\v', '\f',   '\r',   0x1b,
                                   ' ', '"',  '/',  '\\', 0x85, 0xa0, 0x2028, 0x2029, '\t'};
  char letter = source.ptr[at];
  size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
  const char *known = letter ? strchr(letters, letter) : NULL;
  uint32_t rune = digits ? S_hex(source, at + 1, digits) : known ? runes[known - letters] : 0xfffd;
  size_t length = 1 + digits;
  if (digits == 4 && rune >= 0xd800 && rune < 0xdc00 &&
      at + 10 < source.len) { /* a pair, as in JSON */
    rune = 0x10000 + ((rune - 0xd800) << 10) + (S_hex(source, at + 7, 4) - 0xdc00);
    length += 6;
  }
  char bytes[4];
  int n = fb_utf8_encode(rune, bytes);
  if (n == 0) n = fb_utf8_encode(0xfffd, bytes);
  memcpy(out + *len, bytes, (size_t)n);
  *len += (size_t)n;
  return length;
}

fb_status fb_yaml_unescape(fb_slice source, fb_arena *arena, fb_slice *ret_text) {
  *ret_text = source;
  if (!memchr(source.ptr, '\\', source.len) && !memchr(source.ptr, '\n', source.len)) return FB_OK;
  /* Two bytes of source make at most three: \\L and \\P. */
  char *out = fb_arena_alloc_aligned(arena, source.len + source.len / 2 + 4, 1);
  if (!out) return FB_E_NOMEM;
  size_t len = 0;
  for (size_t at = 0; at < source.len;) {
    if (S_white(source.ptr[at])) {
      at += S_fold_white(source, at, out, &len);
    } else if (source.ptr[at] != '\\' || at + 1 == source.len) {
      out[len++] = source.ptr[at++];
    } else if (source.ptr[at + 1] == '\n' || source.ptr[at + 1] == '\r') {
      at += 1 + S_join_lines(source, at + 1, out, &len);
    } else {
      at += 1 + S_escape(source, at + 1, out, &len);
    }
  }
  out[len] = 0;
  *ret_text = (fb_slice){out, len};
  return FB_OK;
}

/* ── Blocks ──────────────────────────────────────────────────────────────────────────────────── */

/* Start of the content of the line at `at`: the indentation is no part of it. */
static size_t S_content(fb_slice source, size_t at, size_t indent) {
  size_t stop = at;
  while (stop < source.len && stop - at < indent && source.ptr[stop] == ' ') stop++;
  return stop;
}

/* One line break between two lines of text is a blank, and of several the first is nothing; but in a literal
 * block and beside a line that is indented further they all stay. */
static size_t S_put_breaks(char *out, size_t breaks, bool stay) {
  size_t bytes = stay || breaks == 1 ? breaks : breaks - 1;
  memset(out, stay || breaks > 1 ? '\n' : ' ', bytes);
  return bytes;
}

size_t fb_yaml_block(fb_slice source, size_t indent, bool folded, char *out) {
  size_t len = 0, breaks = 0;
  bool was_spaced = false;
  for (size_t at = 0; at < source.len;) {
    const char *found = memchr(source.ptr + at, '\n', source.len - at);
    size_t stop = found ? (size_t)(found - source.ptr) : source.len;
    size_t start = at ? S_content(source, at, indent) : 0;
    size_t end = stop > start && found && source.ptr[stop - 1] == '\r' ? stop - 1 : stop;
    if (end > start) {
      bool spaced = source.ptr[start] == ' ' || source.ptr[start] == '\t';
      if (breaks) len += S_put_breaks(out + len, breaks, !folded || spaced || was_spaced);
      memcpy(out + len, source.ptr + start, end - start);
      len += end - start;
      was_spaced = spaced;
      breaks = 0;
    }
    breaks++;
    at = stop + 1;
  }
  return len;
}
