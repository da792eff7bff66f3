/* SPDX-License-Identifier: Apache-2.0
 *
 * Exact sums of doubles and integers: what is added and taken away again leaves no trace, in whatever order, and the sum is
 * the exact one rounded once. A sum is an integer in units of 2^-1074, in limbs of 32 bits that are kept in 64, of
 * which only those that were ever needed are there.
 */
#ifndef FB_RULES_EXACT_H
#define FB_RULES_EXACT_H

#include <flyball/base.h>

typedef struct fb_exact {
  int64_t *limbs;                    /* limb i counts 2^(32 * (first + i) - 1074) */
  uint16_t first, count;             /* count 0: no limbs */
  uint32_t loose;                    /* additions since the carries were passed on */
  uint32_t positive, negative, nans; /* infinities, and what is no number, are counted apart */
} fb_exact;

void fb_exact_release(fb_exact *exact, const fb_allocator *allocator);
/* False: no memory; nothing was added. */
bool fb_exact_add(fb_exact *exact, const fb_allocator *allocator, double value);
/* Of what was added; cannot fail. */
void fb_exact_remove(fb_exact *exact, double value);
/* The sum and a whole number, rounded to nearest, ties to even; *ret_rest (nullable): what the rounding left, rounded. */
double fb_exact_sum(const fb_exact *exact, __int128 whole, double *ret_rest);

#endif
