/* SPDX-License-Identifier: Apache-2.0
 * What the library that counts allocations (counter_preload.c) shares with whoever reads it. */
#ifndef FB_PROOF_COUNTER_H
#define FB_PROOF_COUNTER_H

#include <stdint.h>

/* Names the file that has the page. */
#define FB_COUNTER_VARIABLE "FLYBALL_COUNTER"

/* Over all processes of a run; only by atomic operations. */
typedef struct fb_counter_page {
  uint64_t processes;
  uint64_t calls; /* malloc, calloc, realloc and the aligned ones; not free */
  uint64_t frees;
  uint64_t bytes; /* asked for */
  int64_t live;   /* usable bytes not given back yet, of all processes together */
  int64_t peak;
} fb_counter_page;

#endif
