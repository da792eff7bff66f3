/* SPDX-License-Identifier: Apache-2.0
 * Distributions: the histogram of one owner. */
#include "metrics/internal.h"

#include <math.h>

enum { OCTAVE_SIZE = FB_DISTRIBUTION_STEPS * sizeof(uint64_t) };

void fb_distribution_init(fb_distribution *distribution, const fb_allocator *allocator) {
  *distribution = (fb_distribution){.allocator = allocator ? allocator : fb_allocator_system(),
                                    .min = INFINITY,
                                    .max = -INFINITY};
}

void fb_distribution_release(fb_distribution *distribution) {
  if (!distribution) return;
  for (int i = 0; i < FB_DISTRIBUTION_OCTAVES; i++)
    if (distribution->octaves[i])
      fb_free(distribution->allocator, distribution->octaves[i], OCTAVE_SIZE);
  *distribution = (fb_distribution){0};
}

void fb_distribution_clear(fb_distribution *distribution) {
  for (int i = 0; i < FB_DISTRIBUTION_OCTAVES; i++)
    if (distribution->octaves[i]) memset(distribution->octaves[i], 0, OCTAVE_SIZE);
  distribution->count = distribution->low = distribution->high = 0;
  distribution->sum = 0;
  distribution->min = INFINITY;
  distribution->max = -INFINITY;
}

static bool S_make_octave(fb_distribution *distribution, uint64_t octave) {
  uint64_t **at = &distribution->octaves[octave];
  if (!*at) *at = fb_alloc_zero(distribution->allocator, OCTAVE_SIZE);
  return *at != NULL;
}

fb_status fb_distribution_add(fb_distribution *distribution, double value, uint64_t times) {
  if (!(value >= 0) || isinf(value)) return FB_E_METRIC_VALUE;
  if (times == 0) return FB_OK;
  uint64_t bucket = fb_bucket_of(value), octave = bucket / FB_DISTRIBUTION_STEPS;
  if (bucket < FB_BUCKETS) {
    if (!S_make_octave(distribution, octave)) return FB_E_NOMEM;
    distribution->octaves[octave][bucket % FB_DISTRIBUTION_STEPS] += times;
  } else if (value > 1) {
    distribution->high += times;
  } else {
    distribution->low += times;
  }
  distribution->count += times;
  distribution->sum += value * (double)times;
  distribution->min = fmin(distribution->min, value);
  distribution->max = fmax(distribution->max, value);
  return FB_OK;
}

fb_status fb_distribution_merge(fb_distribution *into, const fb_distribution *from) {
  for (uint64_t i = 0; i < FB_DISTRIBUTION_OCTAVES; i++)
    if (from->octaves[i] && !S_make_octave(into, i)) return FB_E_NOMEM;
  for (int i = 0; i < FB_DISTRIBUTION_OCTAVES; i++)
    for (int j = 0; from->octaves[i] && j < FB_DISTRIBUTION_STEPS; j++)
      into->octaves[i][j] += from->octaves[i][j];
  into->count += from->count;
  into->low += from->low;
  into->high += from->high;
  into->sum += from->sum;
  into->min = fmin(into->min, from->min);
  into->max = fmax(into->max, from->max);
  return FB_OK;
}

double fb_distribution_edge(double bound) {
  if (!(bound > FB_LOWEST)) return FB_LOWEST;
  if (bound >= FB_HIGHEST) return FB_HIGHEST;
  int64_t bucket = (int64_t)fb_bucket_of(bound);
  double low = fb_bucket_edge(bucket - 1), high = fb_bucket_edge(bucket);
  return bound - low < high - bound ? low : high;
}

uint64_t fb_distribution_below(const fb_distribution *distribution, double bound) {
  double edge = fb_distribution_edge(bound);
  uint64_t total = distribution->low, end = edge > FB_LOWEST ? fb_bucket_of(edge) + 1 : 0;
  for (uint64_t first = 0; first < end; first += FB_DISTRIBUTION_STEPS) {
    const uint64_t *octave = distribution->octaves[first / FB_DISTRIBUTION_STEPS];
    for (uint64_t i = 0; octave && i < FB_DISTRIBUTION_STEPS && first + i < end; i++)
      total += octave[i];
  }
  return total;
}

/* Where the value of this rank (from 1) lies. */
static void S_find_rank(const fb_distribution *distribution, uint64_t rank, double *low,
                        double *high) {
  uint64_t before = distribution->low;
  if (rank <= before) {
    *low = 0;
    *high = FB_LOWEST;
    return;
  }
  for (int i = 0; i < FB_DISTRIBUTION_OCTAVES; i++)
    for (int j = 0; distribution->octaves[i] && j < FB_DISTRIBUTION_STEPS; j++) {
      before += distribution->octaves[i][j];
      if (rank > before) continue;
      int64_t bucket = i * FB_DISTRIBUTION_STEPS + j;
      *low = fb_bucket_edge(bucket - 1);
      *high = fb_bucket_edge(bucket);
      return;
    }
  *low = FB_HIGHEST;
  *high = fmax(distribution->max, FB_HIGHEST);
}

bool fb_distribution_quantile(const fb_distribution *distribution, double q, fb_quantile *ret) {
  if (!distribution->count || !(q >= 0 && q <= 1)) return false;
  double exact = ceil(q * (double)distribution->count);
  uint64_t rank = exact < 1                              ? 1
                  : exact >= (double)distribution->count ? distribution->count
                                                         : (uint64_t)exact;
  double low, high;
  S_find_rank(distribution, rank, &low, &high);
  /* Of a histogram that is recorded to meanwhile, least and greatest may lag behind the buckets. */
  ret->low = distribution->min <= high ? fmax(low, distribution->min) : low;
  ret->high = distribution->max >= low ? fmin(high, distribution->max) : high;
  ret->value = ret->low + (ret->high - ret->low) / 2;
  return true;
}
