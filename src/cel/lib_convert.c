/* SPDX-License-Identifier: Apache-2.0
 * Conversions between the simple types. A value out of range or a text that is not one is an error. */
#include "cel/lib.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOWN = 60 }; /* bytes of a bad text that an error shows */

static fb_value S_not_a(fb_cel_context *context, fb_value text, const char *what) {
  int len = text.len < SHOWN ? (int)text.len : SHOWN;
  return fb_cel_fail(context, FB_E_CEL_VALUE, "'%.*s'%s is not %s", len, text.as.text,
                     text.len > SHOWN ? "…" : "", what);
}

static fb_value S_out_of_range(fb_cel_context *context, const char *type) {
  return fb_cel_fail(context, FB_E_CEL_VALUE, "the value is out of the range of %s", type);
}

FB_LIB_FUNCTION(fb_lib_identity) {
  return args[0];
}

FB_LIB_FUNCTION(fb_lib_bool_string) {
  static const char *const words[] = {"1", "t", "T", "TRUE",  "true",  "True",
                                      "0", "f", "F", "FALSE", "false", "False"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (fb_slice_equal(fb_value_text(args[0]), fb_slice_of(words[i]))) return fb_bool(i < 6);
  return S_not_a(context, args[0], "a bool");
}

FB_LIB_FUNCTION(fb_lib_int_uint) {
  return args[0].as.u > INT64_MAX ? S_out_of_range(context, "int") : fb_int((int64_t)args[0].as.u);
}

/* Both ends are excluded, as in the specification's tests: at ±2^63 a double does not tell what was meant. */
FB_LIB_FUNCTION(fb_lib_int_double) {
  double d = args[0].as.d;
  return d > -0x1p63 && d < 0x1p63 ? fb_int((int64_t)d) : S_out_of_range(context, "int");
}

/* Digits only. False if there are none, others, or too many. */
static bool S_digits(fb_slice text, uint64_t *ret_number) {
  uint64_t number = 0;
  if (text.len == 0) return false;
  for (size_t i = 0; i < text.len; i++) {
    unsigned digit = (unsigned char)text.ptr[i] - (unsigned)'0';
    if (digit > 9 || __builtin_mul_overflow(number, (uint64_t)10, &number) ||
        __builtin_add_overflow(number, (uint64_t)digit, &number))
      return false;
  }
  *ret_number = number;
  return true;
}

FB_LIB_FUNCTION(fb_lib_int_string) {
  fb_slice text = fb_value_text(args[0]);
  bool negative = text.len && text.ptr[0] == '-',
       sign = negative || (text.len && text.ptr[0] == '+');
  uint64_t number;
  if (!S_digits((fb_slice){text.ptr + sign, text.len - sign}, &number) ||
      number > (uint64_t)INT64_MAX + negative)
    return S_not_a(context, args[0], "an int");
  return fb_int((int64_t)(negative ? 0 - number : number));
}

FB_LIB_FUNCTION(fb_lib_int_timestamp) {
  return fb_int(args[0].as.i);
}

FB_LIB_FUNCTION(fb_lib_uint_int) {
  return args[0].as.i < 0 ? S_out_of_range(context, "uint") : fb_uint((uint64_t)args[0].as.i);
}

FB_LIB_FUNCTION(fb_lib_uint_double) {
  double d = args[0].as.d;
  return d >= 0 && d < 0x1p64 ? fb_uint((uint64_t)d) : S_out_of_range(context, "uint");
}

FB_LIB_FUNCTION(fb_lib_uint_string) {
  uint64_t number;
  return S_digits(fb_value_text(args[0]), &number) ? fb_uint(number)
                                                   : S_not_a(context, args[0], "a uint");
}

FB_LIB_FUNCTION(fb_lib_double_int) {
  return fb_double((double)args[0].as.i);
}

FB_LIB_FUNCTION(fb_lib_double_uint) {
  return fb_double((double)args[0].as.u);
}

static size_t S_skip_digits(const char *text, size_t at) {
  while (text[at] >= '0' && text[at] <= '9') at++;
  return at;
}

/* [+-] digits [. digits] [e [+-] digits], one digit before the exponent at least; the words for infinity
 * and NaN. Not what strtod takes besides: blanks, hexadecimal, "nan(…)". */
static bool S_is_double(const char *text, size_t len) {
  static const char *const words[] = {"inf", "infinity", "nan"};
  size_t at = text[0] == '+' || text[0] == '-', start = at;
  for (size_t i = 0; i < 3; i++)
    if (strcasecmp(text + at, words[i]) == 0) return (i < 2 || at == 0) && strlen(text) == len;
  at = S_skip_digits(text, at);
  size_t digits = at - start;
  if (text[at] == '.') {
    size_t end = S_skip_digits(text, at + 1);
    digits += end - at - 1;
    at = end;
  }
  if (digits && (text[at] == 'e' || text[at] == 'E')) {
    at += 1 + (text[at + 1] == '+' || text[at + 1] == '-');
    size_t end = S_skip_digits(text, at);
    if (end == at) return false;
    at = end;
  }
  return digits && at == len;
}

FB_LIB_FUNCTION(fb_lib_double_string) {
  if (!fb_lib_spend_bytes(context, args[0].len)) return fb_cel_over_budget(context);
  char small[64],
      *text = args[0].len < sizeof small ? small : fb_arena_alloc(context->arena, args[0].len + 1);
  if (!text) return fb_lib_nomem(context);
  if (args[0].len) memcpy(text, args[0].as.text, args[0].len);
  text[args[0].len] = 0;
  if (!S_is_double(text, args[0].len)) return S_not_a(context, args[0], "a double");
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(c);
  double d = strtod(text, NULL);
  uselocale(before);
  freelocale(c);
  bool word = strpbrk(text, "nN") != NULL;
  if (isinf(d) && !word) return S_out_of_range(context, "double");
  return fb_double(d);
}

FB_LIB_FUNCTION(fb_lib_bytes_string) {
  return fb_bytes(fb_value_text(args[0]));
}

FB_LIB_FUNCTION(fb_lib_timestamp_int) {
  if (args[0].as.i < INT64_C(-62135596800) || args[0].as.i > INT64_C(253402300799))
    return fb_cel_fail(context, FB_E_CEL_RANGE, "timestamp out of range: years 0001 to 9999");
  return fb_timestamp(args[0].as.i, 0);
}

FB_LIB_FUNCTION(fb_lib_timestamp_string) {
  int64_t seconds;
  uint32_t nanos;
  if (!fb_time_parse(fb_value_text(args[0]), &seconds, &nanos))
    return S_not_a(context, args[0], "a timestamp (RFC 3339, years 0001 to 9999)");
  return fb_timestamp(seconds, nanos);
}

/* Within 64 bits of nanoseconds, about ±292 years, as cel-go has it. */
FB_LIB_FUNCTION(fb_lib_duration_string) {
  int64_t seconds, total;
  int32_t nanos;
  if (!fb_lib_spend_bytes(context, args[0].len)) return fb_cel_over_budget(context);
  if (!fb_duration_parse(fb_value_text(args[0]), &seconds, &nanos))
    return S_not_a(context, args[0], "a duration like 1h30m or 1.5s");
  if (__builtin_mul_overflow(seconds, (int64_t)1000000000, &total) ||
      __builtin_add_overflow(total, nanos, &total))
    return fb_cel_fail(context, FB_E_CEL_RANGE, "duration out of range: about 292 years each way");
  return nanos < 0 ? fb_duration(seconds - 1, (uint32_t)(nanos + 1000000000))
                   : fb_duration(seconds, (uint32_t)nanos);
}

/* ── Texts ───────────────────────────────────────────────────────────────────────────────────── */

/* The significant digits of a finite double without the point, and where the point stands: 0.digits × 10^point. */
static size_t S_double_digits(double d, char digits[32], int *ret_point) {
  char text[32];
  size_t len = fb_double_format(d, text), count = 0;
  int point = 0, exponent = 0;
  bool fraction = false;
  for (size_t i = 0; i < len; i++) {
    if (text[i] == 'e' || text[i] == 'E') {
      for (size_t k = i + 1; k < len; k++)
        if (text[k] >= '0' && text[k] <= '9') exponent = exponent * 10 + (text[k] - '0');
      if (text[i + 1] == '-') exponent = -exponent;
      break;
    }
    if (text[i] == '.') fraction = true;
    if (text[i] < '0' || text[i] > '9') continue;
    if (count || text[i] != '0') {
      digits[count++] = text[i];
      if (!fraction) point++;
    } else if (fraction) {
      point--;
    }
  }
  while (count && digits[count - 1] == '0') count--;
  *ret_point = count ? point + exponent : 1;
  if (!count) digits[count++] = '0';
  return count;
}

/* d.ddde±XX */
static size_t S_scientific(const char *digits, size_t count, int exponent, char *out) {
  size_t len = 0;
  out[len++] = digits[0];
  if (count > 1) {
    out[len++] = '.';
    memcpy(out + len, digits + 1, count - 1);
    len += count - 1;
  }
  return len + (size_t)snprintf(out + len, 8, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
}

static size_t S_plain(const char *digits, size_t count, int point, char *out) {
  size_t len = 0;
  if (point <= 0) {
    out[len++] = '0';
    out[len++] = '.';
    for (int i = point; i < 0; i++) out[len++] = '0';
  }
  for (size_t i = 0; i < count || (int)i < point; i++) {
    if (point > 0 && (int)i == point) out[len++] = '.';
    out[len++] = i < count ? digits[i] : '0';
  }
  return len;
}

size_t fb_lib_double_text(double d, char style, char out[FB_LIB_DOUBLE_MAX]) {
  char digits[32];
  int point;
  if (!isfinite(d))
    return (size_t)snprintf(out, FB_LIB_DOUBLE_MAX, "%s",
                            isnan(d) ? "NaN"
                            : d < 0  ? "-Inf"
                                     : "+Inf");
  size_t sign = signbit(d) != 0, count = S_double_digits(fabs(d), digits, &point);
  if (sign) *out++ = '-';
  size_t len = style == 'g' && (point < -3 || point > 6)
                   ? S_scientific(digits, count, point - 1, out)
                   : S_plain(digits, count, point, out);
  out[len] = 0;
  return sign + len;
}

size_t fb_lib_duration_text(fb_value duration, char out[FB_TIME_TEXT_MAX]) {
  int64_t seconds = duration.as.i;
  uint32_t nanos = duration.len;
  bool negative = seconds < 0;
  if (negative && nanos) {
    seconds++;
    nanos = 1000000000 - nanos;
  }
  uint64_t whole = negative ? 0 - (uint64_t)seconds : (uint64_t)seconds;
  int len =
      snprintf(out, FB_TIME_TEXT_MAX, "%s%llu", negative ? "-" : "", (unsigned long long)whole);
  if (nanos) {
    len += snprintf(out + len, 12, ".%09u", nanos);
    while (out[len - 1] == '0') len--;
  }
  out[len++] = 's';
  out[len] = 0;
  return (size_t)len;
}

size_t fb_lib_timestamp_text(fb_value timestamp, char out[FB_TIME_TEXT_MAX]) {
  size_t len = fb_time_format(timestamp.as.i, timestamp.len, out);
  if (timestamp.len == 0) return len;
  len--;
  while (out[len - 1] == '0') len--;
  out[len++] = 'Z';
  out[len] = 0;
  return len;
}

fb_value fb_cel_to_string(fb_cel_context *context, fb_value value) {
  char text[FB_LIB_DOUBLE_MAX];
  switch (value.kind) {
    case FB_STRING: return value;
    case FB_TYPE: return fb_string(fb_value_text(value));
    case FB_BYTES:
      if (!fb_lib_spend_bytes(context, value.len)) return fb_cel_over_budget(context);
      if (!fb_utf8_valid(value.as.text, value.len, NULL))
        return fb_cel_fail(context, FB_E_CEL_VALUE, "invalid UTF-8: the bytes are not a text");
      return fb_string(fb_value_text(value));
    case FB_NULL: return fb_string(FB_SLICE("null"));
    case FB_BOOL: return fb_string(value.as.b ? FB_SLICE("true") : FB_SLICE("false"));
    case FB_INT:
      return fb_lib_string(context, text,
                           (size_t)snprintf(text, sizeof text, "%lld", (long long)value.as.i));
    case FB_UINT:
      return fb_lib_string(
          context, text,
          (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value.as.u));
    case FB_DOUBLE: return fb_lib_string(context, text, fb_lib_double_text(value.as.d, 'g', text));
    case FB_TIMESTAMP: return fb_lib_string(context, text, fb_lib_timestamp_text(value, text));
    case FB_DURATION: return fb_lib_string(context, text, fb_lib_duration_text(value, text));
    default:
      return fb_cel_fail(context, FB_E_CEL_NO_OVERLOAD, "no such overload: string(%s)",
                         fb_kind_name(value.kind));
  }
}

FB_LIB_FUNCTION(fb_lib_string_of) {
  return fb_cel_to_string(context, args[0]);
}
