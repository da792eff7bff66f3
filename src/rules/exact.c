/* SPDX-License-Identifier: Apache-2.0
 * Exact sums. */
#include "rules/exact.h"

#include <math.h>

enum {
  LIMBS = 70,      /* 2098 bits of doubles, and room for 2^64 of them */
  LOOSE = 1 << 29, /* additions of less than 2^32 to a limb that cannot overflow it */
  SPAN = 4         /* limbs that an addition and its carry touch */
};

void fb_exact_release(fb_exact *exact, const fb_allocator *allocator) {
  fb_free(allocator, exact->limbs, exact->count * sizeof *exact->limbs);
  *exact = (fb_exact){0};
}

/* Makes room for limbs from .. to - 1. */
static bool S_room(fb_exact *exact, const fb_allocator *allocator, uint32_t from, uint32_t to) {
  uint32_t first = exact->first, end = first + exact->count;
  if (exact->count && from >= first && to <= end) return true;
  if (!exact->count) first = from, end = to;
  if (from < first) first = from;
  if (to > end) end = to;
  int64_t *limbs = fb_alloc_zero(allocator, (end - first) * sizeof *limbs);
  if (!limbs) return false;
  if (exact->count) {
    memcpy(limbs + (exact->first - first), exact->limbs, exact->count * sizeof *limbs);
    fb_free(allocator, exact->limbs, exact->count * sizeof *limbs);
  }
  exact->limbs = limbs;
  exact->first = (uint16_t)first;
  exact->count = (uint16_t)(end - first);
  return true;
}

/* Passes carries on, so that each limb but the last is between 0 and 2^32 - 1. */
static void S_carry(int64_t *limbs, uint32_t count) {
  int64_t carry = 0;
  for (uint32_t i = 0; i + 1 < count; i++) {
    int64_t limb = limbs[i] + carry;
    limbs[i] = limb & INT64_C(0xffffffff);
    carry = limb >> 32;
  }
  if (count) limbs[count - 1] += carry;
}

/* |value| = mantissa * 2^(bit - 1074); 0 for what is not finite. */
static uint64_t S_split(double value, uint32_t *ret_bit) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint32_t exponent = bits >> 52 & 0x7ff;
  uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1);
  *ret_bit = exponent ? exponent - 1 : 0;
  return exponent == 0x7ff ? 0 : exponent ? mantissa | UINT64_C(1) << 52 : mantissa;
}

static void S_apply(fb_exact *exact, uint64_t mantissa, uint32_t bit, bool negative) {
  int64_t *limb = exact->limbs + (bit / 32 - exact->first);
  unsigned __int128 wide = (unsigned __int128)mantissa << bit % 32;
  for (int i = 0; i < 3; i++, wide >>= 32) {
    int64_t part = (int64_t)(uint32_t)wide;
    limb[i] += negative ? -part : part;
  }
  if (++exact->loose == LOOSE) {
    S_carry(exact->limbs, exact->count);
    exact->loose = 0;
  }
}

bool fb_exact_add(fb_exact *exact, const fb_allocator *allocator, double value) {
  uint32_t bit;
  if (isnan(value)) return exact->nans++, true;
  if (isinf(value)) return (*(value > 0 ? &exact->positive : &exact->negative))++, true;
  uint64_t mantissa = S_split(value, &bit);
  if (!mantissa) return true;
  if (!S_room(exact, allocator, bit / 32, bit / 32 + SPAN)) return false;
  S_apply(exact, mantissa, bit, signbit(value) != 0);
  return true;
}

void fb_exact_remove(fb_exact *exact, double value) {
  uint32_t bit;
  if (isnan(value)) {
    exact->nans--;
  } else if (isinf(value)) {
    (*(value > 0 ? &exact->positive : &exact->negative))--;
  } else {
    uint64_t mantissa = S_split(value, &bit);
    if (mantissa) S_apply(exact, mantissa, bit, signbit(value) == 0);
  }
}

/* ── Rounding ── */

/* Adds a whole number: 1 is bit 1074. */
static void S_add_whole(int64_t *limbs, __int128 whole) {
  bool negative = whole < 0;
  unsigned __int128 left = negative ? -(unsigned __int128)whole : (unsigned __int128)whole;
  for (uint32_t bit = 1074; left; bit += 32 - bit % 32) {
    uint32_t width = 32 - bit % 32;
    uint64_t part = (uint64_t)(left & (((unsigned __int128)1 << width) - 1)) << bit % 32;
    limbs[bit / 32] += negative ? -(int64_t)part : (int64_t)part;
    left >>= width;
  }
}

/* Makes the limbs those of |sum|; true: it is negative. */
static bool S_magnitude(int64_t *limbs) {
  S_carry(limbs, LIMBS);
  if (limbs[LIMBS - 1] >= 0) return false;
  for (uint32_t i = 0; i < LIMBS; i++) limbs[i] = -limbs[i];
  S_carry(limbs, LIMBS);
  return true;
}

/* The bit of the highest one; -1: all are 0. */
static int S_top(const int64_t *limbs) {
  for (int i = LIMBS - 1; i >= 0; i--)
    if (limbs[i]) return i * 32 + 63 - __builtin_clzll((uint64_t)limbs[i]);
  return -1;
}

static uint64_t S_bit(const int64_t *limbs, int bit) {
  return (uint64_t)limbs[bit / 32] >> bit % 32 & 1;
}

static bool S_any_below(const int64_t *limbs, int bit) {
  for (int i = 0; i < bit / 32; i++)
    if (limbs[i]) return true;
  return ((uint64_t)limbs[bit / 32] & ((UINT64_C(1) << bit % 32) - 1)) != 0;
}

/* Rounds |sum| to a double. */
static double S_round(const int64_t *limbs) {
  int top = S_top(limbs);
  if (top < 0) return 0;
  int low = top > 52 ? top - 52 : 0; /* the lowest bit that is kept */
  uint64_t mantissa = 0;
  for (int bit = top; bit >= low; bit--) mantissa = mantissa << 1 | S_bit(limbs, bit);
  if (low && S_bit(limbs, low - 1)) mantissa += S_any_below(limbs, low - 1) || (mantissa & 1);
  return ldexp((double)mantissa, low - 1074);
}

static void S_take(int64_t *limbs, double value) {
  uint32_t bit;
  uint64_t mantissa = S_split(value, &bit);
  unsigned __int128 wide = (unsigned __int128)mantissa << bit % 32;
  for (int i = 0; i < 3; i++, wide >>= 32) limbs[bit / 32 + (uint32_t)i] -= (int64_t)(uint32_t)wide;
}

double fb_exact_sum(const fb_exact *exact, __int128 whole, double *ret_rest) {
  int64_t limbs[LIMBS] = {0};
  if (ret_rest) *ret_rest = 0;
  if (exact->nans || (exact->positive && exact->negative)) return NAN;
  if (exact->positive || exact->negative) return exact->positive ? INFINITY : -INFINITY;
  if (exact->count) memcpy(limbs + exact->first, exact->limbs, exact->count * sizeof *limbs);
  S_carry(limbs, LIMBS);
  S_add_whole(limbs, whole);
  bool negative = S_magnitude(limbs);
  double sum = S_round(limbs);
  if (ret_rest && !isinf(sum)) {
    S_take(limbs, sum);
    bool below = S_magnitude(limbs);
    *ret_rest = below == negative ? S_round(limbs) : -S_round(limbs);
  }
  return negative ? -sum : sum;
}
