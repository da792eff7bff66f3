/* SPDX-License-Identifier: Apache-2.0
 * What both engines are given. */
#ifndef FB_BENCH_JOIN_H
#define FB_BENCH_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bench_guest { /* and one of their hobbies */
  int name, hobby;
  bool sex;
} bench_guest;

typedef struct bench_guests {
  bench_guest *items;
  size_t count;
  int seats;
} bench_guests;

typedef struct bench_join_result {
  double seconds; /* processor time of assert and fire */
  uint64_t firings;
} bench_join_result;

#ifdef HAVE_CLIPS
/* guests NULL: the closure of chains of 50 among so many nodes. */
bench_join_result bench_clips_join(const bench_guests *guests, int nodes);
#endif

#endif
