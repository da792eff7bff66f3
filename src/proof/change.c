/* SPDX-License-Identifier: Apache-2.0
 * Where a series changes its level: E-divisive means (Matteson and James, 2014) in one dimension.
 *
 * A split of a segment at t is as good as the energy distance between what lies before and after it,
 *   Q = mk/(m+k) × (2/(mk) Σ|before-after| - mean|before-before| - mean|after-after|),
 * which is 0 on average when both come from one distribution, whatever that is. The best split of a segment is
 * kept when few permutations of the segment have one as good; then both halves are looked at in turn.
 * Distances are those of the ranks within the segment: a spike of ten times the level, which every shared
 * machine has, counts no more than the highest rank. */
#include "proof/stats.h"

#include <math.h>

enum { LEAST = 5, ROUNDS = 999 };

/* Scratch for a segment of n points: sums of distances by where it is split. */
typedef struct S_scan {
  double *points; /* the ranks of the segment, permuted in place */
  double *across; /* Σ |x - y|, x before the split, y after */
  double *within; /* Σ of the pairs before it */
  double *beyond; /* Σ of the pairs after it */
  double *spare;
  fb_place *order;
  size_t least, rounds;
  double significance;
  fb_random *random;
} S_scan;

typedef struct S_split {
  size_t at;
  double q;
} S_split;

/* One pass over all pairs: O(n²) time. */
static void S_sum_pairs(S_scan *scan, size_t count) {
  const double *x = scan->points;
  scan->within[0] = scan->across[0] = 0;
  for (size_t j = 0; j < count; j++) {
    double before = 0, after = 0;
    for (size_t i = 0; i < j; i++) before += fabs(x[j] - x[i]);
    for (size_t i = j + 1; i < count; i++) after += fabs(x[j] - x[i]);
    scan->within[j + 1] = scan->within[j] + before;
    scan->across[j + 1] = scan->across[j] + after - before; /* j goes from after to before */
    scan->spare[j] = after;
  }
  scan->beyond[count] = 0;
  for (size_t j = count; j-- > 0;) scan->beyond[j] = scan->beyond[j + 1] + scan->spare[j];
}

static double S_mean_pairs(double sum, double n) {
  return n < 2 ? 0 : 2 * sum / (n * (n - 1));
}

static S_split S_best_split(S_scan *scan, size_t count) {
  S_split best = {0, -INFINITY};
  S_sum_pairs(scan, count);
  for (size_t t = scan->least; t + scan->least <= count; t++) {
    double m = (double)t, k = (double)(count - t);
    double energy = 2 * scan->across[t] / (m * k) - S_mean_pairs(scan->within[t], m) -
                    S_mean_pairs(scan->beyond[t], k);
    double q = m * k / (m + k) * energy;
    if (q > best.q) best = (S_split){t, q};
  }
  return best;
}

/* Ranks of the segment into scan->points; equal values share their mean rank. */
static void S_rank(S_scan *scan, const double *series, size_t count) {
  for (size_t i = 0; i < count; i++) scan->order[i] = (fb_place){series[i], (uint32_t)i};
  fb_places_sort(scan->order, count);
  for (size_t first = 0, last; first < count; first = last) {
    for (last = first + 1; last < count && scan->order[last].value == scan->order[first].value;)
      last++;
    for (size_t i = first; i < last; i++)
      scan->points[scan->order[i].at] = (double)(first + last - 1) / 2;
  }
}

/* Stops as soon as too many permutations are as good: most segments have no change. Returns p, 1 if stopped. */
static double S_p_of(S_scan *scan, size_t count, double q) {
  size_t extreme = 0, allowed = (size_t)(scan->significance * (double)(scan->rounds + 1));
  for (size_t i = 0; i < scan->rounds; i++) {
    fb_random_shuffle(scan->random, scan->points, count);
    extreme += S_best_split(scan, count).q >= q;
    if (1 + extreme > allowed) return 1;
  }
  return (double)(1 + extreme) / (double)(scan->rounds + 1);
}

/* ── Segments ── */

typedef struct S_found {
  const double *series;
  fb_change *changes; /* in order of place */
  size_t count, cap;
  size_t total; /* points */
} S_found;

static void S_insert(S_found *found, size_t at, double p) {
  size_t i = found->count++;
  for (; i > 0 && found->changes[i - 1].at > at; i--) found->changes[i] = found->changes[i - 1];
  found->changes[i] = (fb_change){.at = at, .p = p};
}

/* Looks at [first, last), then at both its parts. Each accepted split makes one segment more, so the stack
 * never holds more than there are changes, and that is bounded by cap. */
static void S_divide(S_scan *scan, S_found *found, size_t first, size_t last) {
  while (last - first >= 2 * scan->least && found->count < found->cap) {
    size_t count = last - first;
    S_rank(scan, found->series + first, count);
    S_split best = S_best_split(scan, count);
    double p = S_p_of(scan, count, best.q);
    if (p > scan->significance) return;
    S_insert(found, first + best.at, p);
    size_t middle = first + best.at;
    if (middle - first <
        last - middle) { /* the shorter part by recursion: log2(FB_SERIES_MAX) deep */
      S_divide(scan, found, first, middle);
      first = middle;
    } else {
      S_divide(scan, found, middle, last);
      last = middle;
    }
  }
}

static double S_level(const S_found *found, double *spare, size_t first, size_t last) {
  memcpy(spare, found->series + first, (last - first) * sizeof *spare);
  fb_samples_sort(spare, last - first);
  return fb_samples_quantile(spare, last - first, 0.5);
}

static void S_set_levels(S_found *found, double *spare) {
  size_t first = 0;
  for (size_t i = 0; i < found->count; i++) {
    fb_change *change = &found->changes[i];
    size_t next = i + 1 < found->count ? found->changes[i + 1].at : found->total;
    change->before = S_level(found, spare, first, change->at);
    change->after = S_level(found, spare, change->at, next);
    first = change->at;
  }
}

/* How much the level moved, as a share of the smaller level. */
static double S_step(const fb_change *change) {
  double low = fmin(fabs(change->before), fabs(change->after));
  double moved = fabs(change->after - change->before);
  return moved == 0 ? 0 : low > 0 ? moved / low : INFINITY;
}

/* Removes the smallest step, which joins two segments, until none is too small. */
static void S_drop_small(S_found *found, double *spare, double smallest) {
  for (;;) {
    size_t least = 0;
    S_set_levels(found, spare);
    for (size_t i = 1; i < found->count; i++)
      if (S_step(&found->changes[i]) < S_step(&found->changes[least])) least = i;
    if (found->count == 0 || S_step(&found->changes[least]) >= smallest) return;
    memmove(&found->changes[least], &found->changes[least + 1],
            (found->count - least - 1) * sizeof *found->changes);
    found->count--;
  }
}

static fb_status S_check(size_t count, const fb_change_options *options, fb_error *err) {
  if (count > FB_SERIES_MAX)
    return fb_fail(err, FB_E_LIMIT, "a series of %zu points; at most %d are looked through", count,
                   FB_SERIES_MAX);
  if (!(options->significance >= 0 && options->significance < 1) || !(options->smallest >= 0) ||
      options->least == 1 || options->rounds > 100000)
    return fb_fail(err, FB_E_PROOF_SAMPLES, "options of the search for changes are out of range");
  return FB_OK;
}

fb_status fb_changes_find(const double *series, size_t count, const fb_change_options *options,
                          fb_random *random, const fb_allocator *allocator, fb_change *changes,
                          size_t cap, size_t *ret_count, fb_error *err) {
  static const fb_change_options usual = {0};
  if (!options) options = &usual;
  fb_status status = S_check(count, options, err);
  if (status == FB_OK && count) status = fb_samples_check(series, count, 1, err);
  if (status != FB_OK) return status;
  size_t room = count + 1, bytes = room * (5 * sizeof(double) + sizeof(fb_place));
  double *block = fb_alloc(allocator, bytes);
  if (!block) return fb_fail(err, FB_E_NOMEM, "no memory for a series of %zu points", count);
  S_scan scan = {.points = block,
                 .across = block + room,
                 .within = block + 2 * room,
                 .beyond = block + 3 * room,
                 .spare = block + 4 * room,
                 .order = (fb_place *)(void *)(block + 5 * room),
                 .least = options->least ? options->least : LEAST,
                 .rounds = options->rounds ? options->rounds : ROUNDS,
                 .significance = options->significance > 0 ? options->significance : 0.002,
                 .random = random};
  S_found found = {.series = series, .changes = changes, .cap = cap, .total = count};
  S_divide(&scan, &found, 0, count);
  S_drop_small(&found, scan.spare, options->smallest);
  fb_free(allocator, block, bytes);
  *ret_count = found.count;
  return FB_OK;
}
