/* SPDX-License-Identifier: Apache-2.0
 * Numbers as the exposition formats have them. */
#include "metrics/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

size_t fb_metrics_u64(char *out, uint64_t number) {
  static const char pairs[] =
      "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
      "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
      "8081828384858687888990919293949596979899";
  char text[20];
  char *at = text + sizeof text;
  for (; number >= 100; number /= 100) memcpy(at -= 2, pairs + number % 100 * 2, 2);
  if (number >= 10)
    memcpy(at -= 2, pairs + number * 2, 2);
  else
    *--at = (char)('0' + number);
  size_t len = (size_t)(text + sizeof text - at);
  memcpy(out, at, len);
  return len;
}

static size_t S_text(char *out, const char *text) {
  size_t len = strlen(text);
  memcpy(out, text, len);
  return len;
}

/* Up to 9 places and 15 digits, proven by the quotient of two exact numbers; 0: it takes more. */
static size_t S_few_digits(char *out, double number) {
  static const double tens[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
  for (unsigned places = 1; places <= 9; places++) {
    double scaled = nearbyint(number * tens[places]);
    if (scaled >= 1e15) return 0;
    if (scaled / tens[places] != number) continue;
    uint64_t whole = (uint64_t)scaled, unit = (uint64_t)tens[places];
    size_t len = fb_metrics_u64(out, whole / unit);
    out[len++] = '.';
    char fraction[20];
    size_t digits = fb_metrics_u64(fraction, whole % unit);
    memset(out + len, '0', places - digits);
    memcpy(out + len + places - digits, fraction, digits);
    return len + places;
  }
  return 0;
}

/* By the C library, whose decimal point is the locale's. */
static size_t S_many_digits(char *out, double number) {
  char text[40];
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, number);
    if (digits == 17 || strtod(text, NULL) == number) break;
  }
  size_t len = 0;
  bool point = false;
  for (const char *at = text; *at; at++) {
    bool plain = (*at >= '0' && *at <= '9') || *at == '-' || *at == '+' || *at == 'e';
    if (plain) out[len++] = *at;
    if (!plain && !point) out[len++] = '.';
    point = !plain;
  }
  return len;
}

size_t fb_metrics_double(char *out, double number, bool canonical) {
  if (isnan(number)) return S_text(out, "NaN");
  if (isinf(number)) return S_text(out, number > 0 ? "+Inf" : "-Inf");
  size_t len = 0;
  if (signbit(number)) out[len++] = '-';
  number = fabs(number);
  if (number < 1e15 && number == (double)(uint64_t)number) {
    len += fb_metrics_u64(out + len, (uint64_t)number);
    return canonical ? len + S_text(out + len, ".0") : len;
  }
  size_t more = S_few_digits(out + len, number);
  return len + (more ? more : S_many_digits(out + len, number));
}
