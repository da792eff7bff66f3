/* SPDX-License-Identifier: Apache-2.0
 * Doubles as the shortest decimal that reads back the same; of several, the nearest. */
#include "base/decimal.h"

#include <math.h>

enum { MOST_DIGITS = 17, LIMBS = 40 };

/* A decimal: 0.d1d2… × 10^point. */
typedef struct fb_decimal {
  char digits[MOST_DIGITS + 1];
  int count, point;
} fb_decimal;

const double fb_decimal_tens[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

const uint64_t fb_decimal_fives[28] = {
    UINT64_C(1),
    UINT64_C(5),
    UINT64_C(25),
    UINT64_C(125),
    UINT64_C(625),
    UINT64_C(3125),
    UINT64_C(15625),
    UINT64_C(78125),
    UINT64_C(390625),
    UINT64_C(1953125),
    UINT64_C(9765625),
    UINT64_C(48828125),
    UINT64_C(244140625),
    UINT64_C(1220703125),
    UINT64_C(6103515625),
    UINT64_C(30517578125),
    UINT64_C(152587890625),
    UINT64_C(762939453125),
    UINT64_C(3814697265625),
    UINT64_C(19073486328125),
    UINT64_C(95367431640625),
    UINT64_C(476837158203125),
    UINT64_C(2384185791015625),
    UINT64_C(11920928955078125),
    UINT64_C(59604644775390625),
    UINT64_C(298023223876953125),
    UINT64_C(1490116119384765625),
    UINT64_C(7450580596923828125),
};

/* 5^27 fits 64 bits, so that the quotient with its remainder is exact in 128. Both are shifted to the
 * top of their words: then the quotient fits one word, which is one division of the machine. */
double fb_decimal_double(uint64_t digits, unsigned places) {
  if (digits == 0) return 0;
  int up = __builtin_clzll(digits), by = __builtin_clzll(fb_decimal_fives[places]);
  uint64_t fives = fb_decimal_fives[places] << by;
  unsigned __int128 whole = (unsigned __int128)(digits << up) << 63;
  uint64_t quotient = (uint64_t)(whole / fives);
  bool rest = (uint64_t)whole != quotient * fives;
  int shift = 11 - __builtin_clzll(quotient); /* to 53 bits; 10 or 11 */
  uint64_t mantissa = quotient >> shift, half = UINT64_C(1) << (shift - 1),
           cut = quotient & (2 * half - 1);
  mantissa += cut > half || (cut == half && (rest || (mantissa & 1)));
  return (double)mantissa * fb_decimal_power_of_two(shift + by - up - 63 - (int)places);
}

/* ── Few digits ──────────────────────────────────────────────────────────────────────────────── */

static void S_from_integer(uint64_t whole, int places, fb_decimal *out) {
  char reversed[20];
  int count = 0;
  for (; whole; whole /= 10) reversed[count++] = (char)('0' + whole % 10);
  out->point = count - places;
  for (out->count = 0; count > 0;) out->digits[out->count++] = reversed[--count];
  while (out->count > 1 && out->digits[out->count - 1] == '0') out->count--;
}

/* Decimals of up to 15 digits are all different as doubles: the first number of places with which d is
 * such a one is the answer. The product is only a guess, the quotient (both sides exact) the proof. */
static bool S_few_digits(double d, fb_decimal *out) {
  if (d >= 1e15 || d < 1e-7) return false;
  for (int places = 0; places <= 22; places++) {
    double scaled = d * fb_decimal_tens[places];
    if (scaled >= 1e15) return false;
    uint64_t whole = (uint64_t)(scaled + 0.5);
    if ((double)whole / fb_decimal_tens[places] == d) {
      S_from_integer(whole, places, out);
      return true;
    }
  }
  return false;
}

/* ── Sixteen or seventeen digits ─────────────────────────────────────────────────────────────── */

/* d × 10^places to the nearest integer, ties to even, for 1e-7 ≤ d < 1e16 and places ≤ 24: the mantissa times
 * 5^places fits 128 bits. */
static uint64_t S_scaled(double d, int places) {
  uint64_t bits;
  memcpy(&bits, &d, sizeof bits);
  uint64_t mantissa = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
  int down = 1075 - (int)(bits >> 52 & 0x7ff) - places;
  unsigned __int128 whole = (unsigned __int128)mantissa * fb_decimal_fives[places];
  if (down <= 0) return (uint64_t)(whole << -down);
  unsigned __int128 half = (unsigned __int128)1 << (down - 1), rest = whole & (2 * half - 1);
  uint64_t integer = (uint64_t)(whole >> down);
  return integer + (rest > half || (rest == half && (integer & 1)));
}

/* For a number that fewer than 16 digits do not give: its nearest decimal of 16, else the one of 17. Not for
 * powers of two, whose neighbour below is nearer: there the nearest decimal may be the wrong one. */
static bool S_many_digits(double d, fb_decimal *out) {
  uint64_t bits;
  memcpy(&bits, &d, sizeof bits);
  if (d < 1e-7 || d >= 1e16 || !(bits & ((UINT64_C(1) << 52) - 1))) return false;
  int places = 16; /* one less for each digit before the point, one more for each zero after it */
  for (int i = 0; d >= fb_decimal_tens[i]; i++) places--;
  for (int i = 1; d * fb_decimal_tens[i] < 1; i++) places++;
  uint64_t whole = S_scaled(d, places);
  if (whole < UINT64_C(1000000000000000))
    whole = S_scaled(d, ++places); /* the product was rounded up to 1 */
  if (whole >= UINT64_C(10000000000000000) || fb_decimal_double(whole, (unsigned)places) != d) {
    if (whole < UINT64_C(10000000000000000)) places++;
    whole = S_scaled(d, places);
  }
  S_from_integer(whole, places, out);
  return true;
}

/* ── Any number: Steele and White's digits, in big integers ──────────────────────────────────── */

/* At most 2^1075 × 10 and a carry: 34 limbs. */
typedef struct fb_big {
  int len; /* the top limb is not 0 */
  uint32_t limbs[LIMBS];
} fb_big;

static void S_multiply(fb_big *big, uint32_t by) {
  uint64_t carry = 0;
  for (int i = 0; i < big->len; i++) {
    carry += (uint64_t)big->limbs[i] * by;
    big->limbs[i] = (uint32_t)carry;
    carry >>= 32;
  }
  if (carry) big->limbs[big->len++] = (uint32_t)carry;
}

static void S_multiply_tens(fb_big *big, int power) {
  for (; power >= 9; power -= 9) S_multiply(big, 1000000000);
  for (; power > 0; power--) S_multiply(big, 10);
}

/* value << shift */
static fb_big S_shifted(uint64_t value, int shift) {
  fb_big big = {0};
  int at = shift / 32;
  unsigned __int128 wide = (unsigned __int128)value << (shift % 32);
  for (big.len = at; wide; wide >>= 32) big.limbs[big.len++] = (uint32_t)wide;
  return big;
}

static int S_compare(const fb_big *a, const fb_big *b) {
  if (a->len != b->len) return a->len < b->len ? -1 : 1;
  for (int i = a->len - 1; i >= 0; i--)
    if (a->limbs[i] != b->limbs[i]) return a->limbs[i] < b->limbs[i] ? -1 : 1;
  return 0;
}

static fb_big S_sum(const fb_big *a, const fb_big *b) {
  fb_big sum = {.len = a->len > b->len ? a->len : b->len};
  uint64_t carry = 0;
  for (int i = 0; i < sum.len; i++) {
    carry += (uint64_t)a->limbs[i] + b->limbs[i];
    sum.limbs[i] = (uint32_t)carry;
    carry >>= 32;
  }
  if (carry) sum.limbs[sum.len++] = (uint32_t)carry;
  return sum;
}

/* a -= b, where a ≥ b */
static void S_subtract(fb_big *a, const fb_big *b) {
  int64_t borrow = 0;
  for (int i = 0; i < a->len; i++) {
    borrow += (int64_t)a->limbs[i] - (i < b->len ? b->limbs[i] : 0);
    a->limbs[i] = (uint32_t)borrow;
    borrow >>= 32;
  }
  while (a->len && a->limbs[a->len - 1] == 0) a->len--;
}

/* The number is rest/unit; half the gaps to its neighbours are low/unit and high/unit. */
typedef struct fb_digit_maker {
  fb_big rest, unit, low, high;
  bool even; /* the mantissa: then the bounds themselves round to it */
} fb_digit_maker;

static void S_start(fb_digit_maker *maker, double d, int *ret_power) {
  uint64_t bits, mantissa;
  memcpy(&bits, &d, sizeof bits);
  int exponent = (int)(bits >> 52 & 0x7ff);
  mantissa = bits & ((UINT64_C(1) << 52) - 1);
  bool uneven = mantissa == 0 && exponent > 1; /* the gap below is half the gap above */
  if (exponent)
    mantissa |= UINT64_C(1) << 52;
  else
    exponent = 1;
  exponent -= 1075;
  int up = exponent > 0 ? exponent : 0, down = exponent < 0 ? -exponent : 0;
  maker->even = (mantissa & 1) == 0;
  maker->rest = S_shifted(mantissa, up + 1 + uneven);
  maker->unit = S_shifted(1, down + 1 + uneven);
  maker->high = S_shifted(1, up + uneven);
  maker->low = S_shifted(1, up);
  int power = (int)ceil((exponent + 63 - __builtin_clzll(mantissa)) * 0.30102999566398114 - 1e-10);
  if (power >= 0) {
    S_multiply_tens(&maker->unit, power);
  } else {
    S_multiply_tens(&maker->rest, -power);
    S_multiply_tens(&maker->low, -power);
    S_multiply_tens(&maker->high, -power);
  }
  *ret_power = power; /* right, or one too small */
}

static bool S_reaches_unit(const fb_digit_maker *maker) {
  fb_big top = S_sum(&maker->rest, &maker->high);
  int order = S_compare(&top, &maker->unit);
  return order > 0 || (order == 0 && maker->even);
}

static void S_times_ten(fb_digit_maker *maker) {
  S_multiply(&maker->rest, 10);
  S_multiply(&maker->low, 10);
  S_multiply(&maker->high, 10);
}

static void S_all_digits(double d, fb_decimal *out) {
  fb_digit_maker maker;
  S_start(&maker, d, &out->point);
  if (S_reaches_unit(&maker))
    out->point++;
  else
    S_times_ten(&maker);
  for (out->count = 0;; S_times_ten(&maker)) {
    int digit = 0;
    for (; S_compare(&maker.rest, &maker.unit) >= 0; digit++) S_subtract(&maker.rest, &maker.unit);
    int below = S_compare(&maker.rest, &maker.low);
    bool low = below < 0 || (below == 0 && maker.even), high = S_reaches_unit(&maker);
    if (low || high) {
      fb_big twice = S_sum(&maker.rest, &maker.rest);
      int half = S_compare(&twice, &maker.unit);
      bool up = high && (!low || half > 0 || (half == 0 && (digit & 1)));
      out->digits[out->count++] = (char)('0' + digit + up);
      return;
    }
    out->digits[out->count++] = (char)('0' + digit);
  }
}

/* ── Layout ──────────────────────────────────────────────────────────────────────────────────── */

static char *S_put(char *at, const char *bytes, int len) {
  memcpy(at, bytes, (size_t)len);
  return at + len;
}

static char *S_put_zeros(char *at, int count) {
  for (; count > 0; count--) *at++ = '0';
  return at;
}

static char *S_put_exponent(char *at, int exponent) {
  *at++ = 'e';
  if (exponent < 0) {
    *at++ = '-';
    exponent = -exponent;
  }
  if (exponent >= 100) *at++ = (char)('0' + exponent / 100);
  if (exponent >= 10) *at++ = (char)('0' + exponent / 10 % 10);
  *at++ = (char)('0' + exponent % 10);
  return at;
}

/* Plain from 1e-7 up to 1e21, as JavaScript does; always with a fraction or an exponent. */
static char *S_lay_out(char *at, const fb_decimal *decimal) {
  const char *digits = decimal->digits;
  int count = decimal->count, point = decimal->point;
  if (point > 21 || point < -6) {
    at = S_put(at, digits, 1);
    if (count > 1) *at++ = '.';
    at = S_put(at, digits + 1, count - 1);
    return S_put_exponent(at, point - 1);
  }
  if (point <= 0) {
    at = S_put(at, "0.", 2);
    at = S_put_zeros(at, -point);
    return S_put(at, digits, count);
  }
  int whole = count < point ? count : point;
  at = S_put(at, digits, whole);
  at = S_put_zeros(at, point - whole);
  *at++ = '.';
  return count > point ? S_put(at, digits + point, count - point) : S_put(at, "0", 1);
}

size_t fb_double_format(double d, char out[32]) {
  char *at = out;
  if (isnan(d)) return (size_t)(S_put(at, "NaN", 4) - out) - 1;
  if (signbit(d)) *at++ = '-';
  d = fabs(d);
  if (isinf(d)) return (size_t)(S_put(at, "Infinity", 9) - out) - 1;
  fb_decimal decimal = {.point = 1};
  if (d == 0)
    decimal = (fb_decimal){.digits = "0", .count = 1, .point = 1};
  else if (!S_few_digits(d, &decimal) && !S_many_digits(d, &decimal))
    S_all_digits(d, &decimal);
  at = S_lay_out(at, &decimal);
  *at = 0;
  return (size_t)(at - out);
}
