/* SPDX-License-Identifier: Apache-2.0
 * Strings with escapes and numbers of every size: the paths that are taken less often. */
#include "data/json_scan.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

static bool S_fault(fb_scan_fault *fault, fb_json_fault what, const char *at) {
  *fault = (fb_scan_fault){what, at};
  return false;
}

/* ── Strings ─────────────────────────────────────────────────────────────────────────────────── */

const char *fb_scan_string_rest(const char *at, const char *end, const char *start,
                                fb_slice *ret_raw, bool *ret_escaped, unsigned high,
                                fb_scan_fault *fault) {
  bool escaped = false;
  while (at < end && *at == '\\') {
    escaped = true;
    if (end - at < 2) break;
    at = fb_scan_plain(at + 2, end, &high);
  }
  fb_slice raw = {start, (size_t)(at - start)};
  size_t bad;
  if (high && !fb_utf8_valid(raw.ptr, raw.len, &bad)) {
    S_fault(fault, FB_JSON_UTF8, start + bad);
    return NULL;
  }
  if (at == end || *at != '"') {
    if (at < end && *at != '\\')
      S_fault(fault, FB_JSON_CONTROL, at);
    else
      S_fault(fault, FB_JSON_OPEN_STRING, start - 1);
    return NULL;
  }
  if (raw.len > UINT32_MAX) {
    S_fault(fault, FB_JSON_STRING_LENGTH, start - 1);
    return NULL;
  }
  *ret_raw = raw;
  *ret_escaped = escaped;
  return at + 1;
}

/* Four hexadecimal digits at `at`; -1 if they are not. */
static int32_t S_hex4(const char *at, const char *end) {
  if (end - at < 4) return -1;
  int32_t value = 0;
  for (int i = 0; i < 4; i++) {
    unsigned digit = (unsigned char)at[i], letter = (digit | 0x20) - 'a';
    if (digit - '0' <= 9)
      digit -= '0';
    else if (letter <= 5)
      digit = letter + 10;
    else
      return -1;
    value = value << 4 | (int32_t)digit;
  }
  return value;
}

/* `at` is the backslash of a \u. Returns the byte after the escape, or after its pair. */
static const char *S_unicode(const char *at, const char *end, uint32_t *ret_rune,
                             fb_scan_fault *fault) {
  int32_t rune = S_hex4(at + 2, end);
  if (rune < 0) {
    S_fault(fault, FB_JSON_UNICODE_ESCAPE, at);
    return NULL;
  }
  const char *next = at + 6;
  if (rune >= 0xd800 && rune <= 0xdfff) {
    int32_t low = rune < 0xdc00 && end - next >= 6 && next[0] == '\\' && next[1] == 'u'
                      ? S_hex4(next + 2, end)
                      : -1;
    if (low < 0xdc00 || low > 0xdfff) {
      S_fault(fault, FB_JSON_SURROGATE, at);
      return NULL;
    }
    rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
    next += 6;
  }
  *ret_rune = (uint32_t)rune;
  return next;
}

/* What the letter after a backslash stands for; 0 if nothing. */
static char S_escape(char letter) {
  switch (letter) {
    case '"':
    case '\\':
    case '/': return letter;
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return 0;
  }
}

bool fb_scan_unescape(fb_slice raw, char *out, size_t *ret_len, fb_scan_fault *fault) {
  const char *at = raw.ptr, *end = raw.ptr + raw.len;
  size_t len = 0;
  while (at < end) {
    const char *slash = memchr(at, '\\', (size_t)(end - at));
    size_t plain = (size_t)((slash ? slash : end) - at);
    if (out && plain) memcpy(out + len, at, plain);
    len += plain;
    if (!slash) break;
    at = slash;
    if (end - at < 2) return S_fault(fault, FB_JSON_ESCAPE, at);
    if (at[1] != 'u') {
      char c = S_escape(at[1]);
      if (!c) return S_fault(fault, FB_JSON_ESCAPE, at);
      if (out) out[len] = c;
      len++;
      at += 2;
      continue;
    }
    uint32_t rune;
    char bytes[4];
    at = S_unicode(at, end, &rune, fault);
    if (!at) return false;
    int n = fb_utf8_encode(rune, bytes);
    if (out) memcpy(out + len, bytes, (size_t)n);
    len += (size_t)n;
  }
  *ret_len = len;
  return true;
}

/* ── Numbers ─────────────────────────────────────────────────────────────────────────────────── */

/* A number by its parts: all within the source. */
typedef struct fb_number_text {
  bool negative, is_double;
  fb_slice whole, fraction; /* digits */
  int64_t exponent;         /* as written; saturated far beyond what counts */
  const char *end;
} fb_number_text;

static bool S_is_digit(const char *at, const char *end) {
  return at < end && (unsigned char)(*at - '0') <= 9;
}

/* At least one digit. */
static bool S_digits(const char *at, const char *end, fb_slice *ret_digits, fb_scan_fault *fault) {
  const char *p = at;
  while (S_is_digit(p, end)) p++;
  if (p == at) return S_fault(fault, FB_JSON_NUMBER_DIGIT, at);
  *ret_digits = (fb_slice){at, (size_t)(p - at)};
  return true;
}

static bool S_exponent(const char *at, const char *end, fb_number_text *number,
                       fb_scan_fault *fault) {
  const int64_t enough = INT64_C(1000000000000000);
  bool negative = at < end && *at == '-';
  fb_slice digits;
  if (at < end && (*at == '-' || *at == '+')) at++;
  if (!S_digits(at, end, &digits, fault)) return false;
  for (size_t i = 0; i < digits.len && number->exponent < enough; i++)
    number->exponent = number->exponent * 10 + (digits.ptr[i] - '0');
  if (negative) number->exponent = -number->exponent;
  number->end = digits.ptr + digits.len;
  return true;
}

static bool S_split(const char *at, const char *end, fb_number_text *number, fb_scan_fault *fault) {
  *number = (fb_number_text){.negative = *at == '-'};
  if (!S_digits(at + number->negative, end, &number->whole, fault)) return false;
  const char *p = number->whole.ptr + number->whole.len;
  if (number->whole.len > 1 && number->whole.ptr[0] == '0')
    return S_fault(fault, FB_JSON_LEADING_ZERO, number->whole.ptr);
  if (p < end && *p == '.') {
    number->is_double = true;
    if (!S_digits(p + 1, end, &number->fraction, fault)) return false;
    p = number->fraction.ptr + number->fraction.len;
  }
  number->end = p;
  if (p < end && (*p == 'e' || *p == 'E')) {
    number->is_double = true;
    return S_exponent(p + 1, end, number, fault);
  }
  return true;
}

static bool S_integer(const fb_number_text *number, fb_value *ret_value) {
  uint64_t value = 0;
  for (size_t i = 0; i < number->whole.len; i++)
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, (uint64_t)(number->whole.ptr[i] - '0'), &value))
      return false;
  if (number->negative) {
    if (value > UINT64_C(1) << 63) return false;
    *ret_value = fb_int((int64_t)(0 - value));
  } else {
    *ret_value = value > INT64_MAX ? fb_uint(value) : fb_int((int64_t)value);
  }
  return true;
}

/* The significant digits of a number, without zeros in front: at most `cap` of them go to `out`.
 * The number is 0.DIGITS × 10^*ret_point; *ret_more: what did not fit has a digit that is not 0. */
static size_t S_significant(const fb_number_text *number, char *out, size_t cap, int64_t *ret_point,
                            bool *ret_more) {
  size_t count = 0;
  int64_t point = number->exponent + (int64_t)number->whole.len;
  bool leading = true;
  *ret_more = false;
  for (int part = 0; part < 2; part++) {
    fb_slice digits = part ? number->fraction : number->whole;
    for (size_t i = 0; i < digits.len; i++) {
      char c = digits.ptr[i];
      if (leading && c == '0') {
        point--;
        continue;
      }
      leading = false;
      if (count < cap)
        out[count++] = c;
      else
        *ret_more |= c != '0';
    }
  }
  *ret_point = point;
  return count;
}

/* 780 digits and whether more follow decide every double: the longest halfway point between two
 * doubles has 767. The C locale's strtod is given those. */
static double S_by_library(const fb_number_text *number) {
  enum { DIGITS = 780 };
  char text[DIGITS + 32];
  int64_t point;
  bool more;
  size_t count = S_significant(number, text, DIGITS, &point, &more);
  if (count == 0) return 0;
  if (more) text[count++] = '1';
  int64_t exponent = point - (int64_t)count;
  if (exponent > 9999) exponent = 9999;
  if (exponent < -9999) exponent = -9999;
  text[count++] = 'e';
  if (exponent < 0) text[count++] = '-';
  uint64_t left = (uint64_t)(exponent < 0 ? -exponent : exponent);
  for (uint64_t unit = 1000; unit; unit /= 10) text[count++] = (char)('0' + left / unit % 10);
  text[count] = 0;
  locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* takes no memory for "C" */
  double d = plain ? strtod_l(text, NULL, plain) : strtod(text, NULL);
  if (plain) freelocale(plain);
  return d;
}

/* whole × 2^exponent to the nearest double, ties to even. whole is not 0, the result is a normal double. */
static double S_round(unsigned __int128 whole, int exponent) {
  uint64_t top = (uint64_t)(whole >> 64);
  int bits = top ? 128 - __builtin_clzll(top) : 64 - __builtin_clzll((uint64_t)whole);
  int shift = bits - 53;
  if (shift <= 0) return (double)(uint64_t)whole * fb_decimal_power_of_two(exponent);
  uint64_t mantissa = (uint64_t)(whole >> shift);
  unsigned __int128 rest = whole & (((unsigned __int128)1 << shift) - 1),
                    half = (unsigned __int128)1 << (shift - 1);
  if (rest > half || (rest == half && (mantissa & 1))) mantissa++;
  return (double)mantissa * fb_decimal_power_of_two(exponent + shift);
}

/* digits × 10^power, exactly rounded, for |power| ≤ 27. */
static double S_by_integers(uint64_t digits, int power) {
  if (power < 0) return fb_decimal_double(digits, (unsigned)-power);
  return S_round((unsigned __int128)digits * fb_decimal_fives[power], power);
}

static double S_double(const fb_number_text *number) {
  char text[19];
  int64_t point;
  bool more;
  size_t count = S_significant(number, text, sizeof text, &point, &more);
  if (count == 0) return 0;
  uint64_t digits = 0;
  for (size_t i = 0; i < count; i++) digits = digits * 10 + (uint64_t)(text[i] - '0');
  int64_t power = point - (int64_t)count;
  if (more || power > 27 || power < -27) return S_by_library(number);
  return S_by_integers(digits, (int)power);
}

const char *fb_scan_number_any(const char *at, const char *end, fb_value *ret_value,
                               fb_scan_fault *fault) {
  fb_number_text number;
  if (!S_split(at, end, &number, fault)) return NULL;
  if (!number.is_double) {
    if (S_integer(&number, ret_value)) return number.end;
    S_fault(fault, FB_JSON_INTEGER_RANGE, at);
    return NULL;
  }
  double d = S_double(&number);
  if (isinf(d)) {
    S_fault(fault, FB_JSON_DOUBLE_RANGE, at);
    return NULL;
  }
  *ret_value = fb_double(number.negative ? -d : d);
  return number.end;
}
