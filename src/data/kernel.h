/* SPDX-License-Identifier: Apache-2.0
 * Comparing whole columns with a constant: bit i of `bits` tells whether cell i compares so. Written for several kinds of
 * processors; which is used is told by the processor that runs it. All give the same bits. */
#ifndef FB_DATA_KERNEL_H
#define FB_DATA_KERNEL_H

#include <flyball/data.h>

typedef enum fb_kernel_op {
  FB_KERNEL_EQ,
  FB_KERNEL_NE,
  FB_KERNEL_LT,
  FB_KERNEL_LE,
  FB_KERNEL_GT,
  FB_KERNEL_GE
} fb_kernel_op;

/* Bits from `count` on to the end of the last word are 0. Bytes and words know only EQ and NE. Doubles compare as in C: with
 * NaN only NE holds. */
typedef struct fb_kernels {
  const char *name;
  void (*ints)(fb_kernel_op op, const int64_t *cells, uint32_t count, int64_t constant,
               uint64_t *bits);
  void (*doubles)(fb_kernel_op op, const double *cells, uint32_t count, double constant,
                  uint64_t *bits);
  void (*words)(fb_kernel_op op, const uint32_t *cells, uint32_t count, uint32_t constant,
                uint64_t *bits);
  void (*bytes)(fb_kernel_op op, const uint8_t *cells, uint32_t count, uint8_t constant,
                uint64_t *bits);
} fb_kernels;

/* The fastest that this processor can run. */
const fb_kernels *fb_kernels_best(void);
/* All that it can run, from 0 on, the fastest last; NULL after that. */
const fb_kernels *fb_kernels_at(size_t number);

#endif
