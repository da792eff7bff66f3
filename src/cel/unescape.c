/* SPDX-License-Identifier: Apache-2.0
 * String literals: escapes and line ends. */
#include "cel/lex.h"

typedef struct S_writer {
  fb_lexer *lexer;
  fb_slice raw;
  size_t offset; /* of raw in the source */
  size_t at;
  bool bytes;
  char *out;
  size_t len;
} S_writer;

static bool S_bad(S_writer *w, size_t from, size_t length, const char *hint, const char *what) {
  fb_cel_report_add(w->lexer->report, FB_E_CEL_SYNTAX, w->offset + from, length, hint, "%s", what);
  return false;
}

static int S_digit(char c, int base) {
  int digit = c >= '0' && c <= '9'   ? c - '0'
              : c >= 'a' && c <= 'f' ? c - 'a' + 10
              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                     : 99;
  return digit < base ? digit : -1;
}

/* `count` digits from w->at on. */
static bool S_digits(S_writer *w, size_t start, int count, int base, uint32_t *ret_number) {
  uint32_t number = 0;
  for (int i = 0; i < count; i++) {
    int digit = w->at < w->raw.len ? S_digit(w->raw.ptr[w->at], base) : -1;
    if (digit < 0)
      return S_bad(w, start, w->at - start, "\\x41, \\u00e9, \\U0001f600 and \\101 are the forms",
                   "an escape with too few digits");
    number = number * (uint32_t)base + (uint32_t)digit;
    w->at++;
  }
  *ret_number = number;
  return true;
}

static bool S_number(S_writer *w, size_t start, int count, int base) {
  uint32_t number;
  if (!S_digits(w, start, count, base, &number)) return false;
  bool is_byte = base == 8 || count == 2;
  if (base == 8 && number > 255)
    return S_bad(w, start, w->at - start, NULL, "an octal escape above \\377");
  if (w->bytes) {
    if (!is_byte)
      return S_bad(w, start, w->at - start, "write the bytes with \\x",
                   "\\u and \\U are not for bytes");
    w->out[w->len++] = (char)number;
    return true;
  }
  int n = fb_utf8_encode(number, w->out + w->len);
  if (n == 0) return S_bad(w, start, w->at - start, NULL, "no such Unicode character");
  w->len += (size_t)n;
  return true;
}

static bool S_escape(S_writer *w) {
  size_t start = w->at++;
  if (w->at == w->raw.len) return S_bad(w, start, 1, NULL, "an escape without a character");
  char c = w->raw.ptr[w->at++];
  static const char from[] = "abfnrtv\\\"'`?", to[] = "\a\b\f\n\r\t\v\\\"'`?";
  const char *found = c ? strchr(from, c) : NULL;
  if (found) {
    w->out[w->len++] = to[found - from];
    return true;
  }
  if (c >= '0' && c <= '3') {
    w->at--;
    return S_number(w, start, 3, 8);
  }
  if (c == 'x' || c == 'X') return S_number(w, start, 2, 16);
  if (c == 'u') return S_number(w, start, 4, 16);
  if (c == 'U') return S_number(w, start, 8, 16);
  uint32_t rune;
  size_t n = (size_t)fb_utf8_decode(w->raw.ptr + start + 1, w->raw.len - start - 1, &rune);
  return S_bad(w, start, 1 + n, "a backslash itself is \\\\, or use a raw string: r'…'",
               "no such escape");
}

bool fb_lex_unescape(fb_lexer *lexer, fb_slice raw, size_t offset, bool bytes, fb_slice *ret_text) {
  /* No escape makes more bytes than it is long. */
  S_writer w = {.lexer = lexer,
                .raw = raw,
                .offset = offset,
                .bytes = bytes,
                .out = fb_arena_alloc_aligned(lexer->arena, raw.len + 1, 1)};
  if (!w.out) {
    lexer->no_memory = true;
    return false;
  }
  bool good = true;
  while (w.at < raw.len) {
    char c = raw.ptr[w.at];
    if (c == '\\') {
      good = S_escape(&w) && good;
    } else if (c == '\r') { /* line ends are \n whatever the file has */
      w.at += 1 + (w.at + 1 < raw.len && raw.ptr[w.at + 1] == '\n');
      w.out[w.len++] = '\n';
    } else {
      w.out[w.len++] = c;
      w.at++;
    }
  }
  w.out[w.len] = 0;
  *ret_text = (fb_slice){w.out, w.len};
  return good;
}
