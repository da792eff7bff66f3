/* SPDX-License-Identifier: Apache-2.0
 * What the benchmarks of missions share: clocks, documents, rows. */
#ifndef FB_BENCH_SETUP_H
#define FB_BENCH_SETUP_H

#include "mission/world_script.h"

#include <time.h>

double fb_bm_clock(clockid_t id); /* seconds */
/* Seconds of processor time of this program and of those that it ran and that have ended. */
double fb_bm_cpu(void);
void fb_bm_die(const char *what);

typedef struct fb_bm_mission {
  fb_buf text;
  fb_doc *doc;
  fb_mission *mission;
} fb_bm_mission;
/* `count` steps that run /bin/true: each needs the one before, or none needs any. As JSON: its reader is not what is measured. */
void fb_bm_load(fb_bm_mission *loaded, uint32_t count, bool chain, const fb_allocator *allocator);
void fb_bm_unload(fb_bm_mission *loaded);

/* A row. `ratio`: ours / peer; 0: there is no peer. */
typedef struct fb_bm_row {
  const char *bench, *workload, *peer_name, *unit, *proof;
  double ours, peer, ratio;
  double reach; /* ratio may be at most that */
  double limit; /* ours may be at most that (at least, if `least`); 0: none */
  bool least;
} fb_bm_row;
void fb_bm_print(const fb_bm_row *row);

/* Two things in turn, so that both meet the same machine: medians, and the median of the ratios of neighbours. */
typedef struct fb_bm_pair {
  double ours[64], peer[64];
  uint32_t count;
} fb_bm_pair;
void fb_bm_take(fb_bm_pair *pair, double ours, double peer);
void fb_bm_row_of(fb_bm_pair *pair, fb_bm_row *row);

/* Seconds a step of posix_spawn and waitpid of /bin/true and nothing else, `parallel` at once. */
double fb_bm_spawn_floor(uint32_t count, uint32_t parallel);
/* A row of `ours` (seconds a step) beside that floor; the proof has what both cost in processor time, which a busy machine leaves
 * alone. */
void fb_bm_beside_spawn(const char *bench, const char *workload, uint32_t count, uint32_t parallel,
                        double (*ours)(const fb_bm_mission *loaded, uint32_t parallel));

#endif
