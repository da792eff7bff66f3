/* SPDX-License-Identifier: Apache-2.0
 * What the files of statistics share. */
#ifndef FB_PROOF_STATS_H
#define FB_PROOF_STATS_H

#include <flyball/proof.h>

/* Counts and checks: at least `least` finite samples, not more than FB_SAMPLES_MAX. */
fb_status fb_samples_check(const double *samples, size_t count, size_t least, fb_error *err);

/* A sample and where it was. */
typedef struct fb_place {
  double value;
  uint32_t at;
} fb_place;

/* Ascending by value, equal ones by place. */
void fb_places_sort(fb_place *places, size_t count);

#endif
