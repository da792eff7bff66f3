/* SPDX-License-Identifier: Apache-2.0
 * What reading and writing doubles share. */
#ifndef FB_BASE_DECIMAL_H
#define FB_BASE_DECIMAL_H

#include <flyball/base.h>

extern const double fb_decimal_tens[23]; /* 1e0 … 1e22, each exact */

extern const uint64_t fb_decimal_fives[28]; /* 5^0 … 5^27: all that fit */

static inline double fb_decimal_power_of_two(int exponent) { /* of a normal double */
  uint64_t bits = (uint64_t)(exponent + 1023) << 52;
  double d;
  memcpy(&d, &bits, sizeof d);
  return d;
}

/* digits × 10^-places to the nearest double, for places ≤ 27. */
double fb_decimal_double(uint64_t digits, unsigned places);

#endif
