/* SPDX-License-Identifier: Apache-2.0
 * Numbers as the exposition formats have them. */
#include "metrics/internal.h"

#include <math.h>

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

size_t fb_metrics_double(char *out, double number, bool canonical) {
  if (isnan(number)) return S_text(out, "NaN");
  if (isinf(number)) return S_text(out, number > 0 ? "+Inf" : "-Inf");
  size_t len = fb_double_format(number, out);
  bool whole = len > 2 && out[len - 1] == '0' && out[len - 2] == '.';
  return whole && !canonical ? len - 2 : len;
}
