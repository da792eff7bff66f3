/* SPDX-License-Identifier: Apache-2.0
 * How the last calls went: the last N, or those of the last T. Adding a good call touches one counter
 * of the thread's own stripe; what failed or was slow goes to memory that all share, for it is rare.
 *
 * glossary  stripe   a counter of calls (or a ring of them) that few threads add to
 *           position number of a call since the beginning: the sum of all stripes after adding it
 *           epoch    number of a bucket of time; the low 32 bits, shifted by each reset
 *           slot     epoch << 32 | count: a bucket that is stale is seen to be so in one load
 */
#ifndef FB_GUARD_WINDOW_H
#define FB_GUARD_WINDOW_H

#include <flyball/guard.h>

#include "guard/stripe.h"

#include <stdatomic.h>

typedef enum fb_window_kind { FB_WINDOW_NONE, FB_WINDOW_CALLS, FB_WINDOW_TIME } fb_window_kind;

/* What is counted apart from the calls. */
typedef enum fb_bad { FB_BAD_FAILED, FB_BAD_SLOW, FB_BAD_KINDS } fb_bad;

/* Of FB_WINDOW_CALLS, positions of the latest ones, a ring of `calls`; of FB_WINDOW_TIME, slots. */
typedef struct fb_bad_log {
  _Atomic uint64_t *at;                    /* NULL: this kind is not asked for */
  _Alignas(FB_LINE) _Atomic uint64_t head; /* how many there ever were */
} fb_bad_log;

typedef struct fb_window {
  fb_window_kind kind;
  uint32_t stripe_mask;
  size_t stride; /* between stripes, in words */
  _Atomic uint64_t *stripes;
  uint64_t calls;     /* N */
  uint64_t per_nano;  /* 2^64 / bucket width: a multiplication instead of a division */
  uint32_t buckets;   /* that make the window */
  uint32_t ring_mask; /* slots in a ring - 1; there are more of them than buckets */
  uint64_t minimum;
  double rate[FB_BAD_KINDS]; /* 0: off */
  /* 0: a good call cannot make a rate pass its bound. 1: it can when time moves on by a bucket.
   * 2: it can when it is the one that makes the minimum. Written only about bad calls. */
  _Alignas(FB_LINE) _Atomic uint32_t watch;
  _Atomic uint32_t shift;  /* of epochs */
  _Atomic uint64_t origin; /* positions up to this one are forgotten */
  fb_bad_log bad[FB_BAD_KINDS];
} fb_window;

typedef struct fb_tally {
  uint64_t calls, bad[FB_BAD_KINDS];
} fb_tally;

/* Bytes that `window` needs beside itself; the configuration has been checked. */
size_t fb_window_size(const fb_breaker_config *config);
/* `memory` is zeroed and aligned to FB_LINE; it stays the caller's. */
void fb_window_init(fb_window *window, const fb_breaker_config *config, void *memory);

/* A good call. True when fb_window_passed should be asked. */
bool fb_window_add(fb_window *window, int64_t now);
/* A bad one; ask always. */
void fb_window_add_bad(fb_window *window, bool failed, bool slow, int64_t now);
/* The first kind whose rate is at or over its bound; FB_BAD_KINDS: none. */
fb_bad fb_window_passed(fb_window *window, int64_t now);
fb_tally fb_window_tally(fb_window *window, int64_t now);
/* Forgets all. Calls that others are adding just now may stay. */
void fb_window_reset(fb_window *window);

#endif
