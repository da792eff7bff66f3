/* SPDX-License-Identifier: Apache-2.0
 * CODE's regression section was fed with constants. Here the noise is this machine's, recorded now: each point the median of
 * nine ratios of two runs of the same work in turns. Into windows of it shifts are put, and looked for. */
#include "harness.h"

#include <flyball/proof.h>

#include <time.h>

enum { POINTS = 240, PAIRS = 9, WINDOW = 40, STEP = 4, NEAR = 3 };

static double S_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static double S_once(void) {
  volatile uint64_t keep;
  uint64_t x = 1;
  double start = S_cpu();
  for (int i = 0; i < 100000; i++) x = (x ^ (x >> 29)) * UINT64_C(0x9fb21c651e98df25);
  keep = x;
  (void)keep;
  return S_cpu() - start;
}

static double S_point(void) {
  double ratios[PAIRS];
  for (int i = 0; i < PAIRS; i++) {
    double a = S_once(), b = S_once();
    ratios[i] = b / a;
  }
  fb_samples_sort(ratios, PAIRS);
  return ratios[PAIRS / 2];
}

/* Share of the windows in which a shift is found near its place; of shift 0: in which anything is found. */
static double S_share(const double *noise, double shift) {
  fb_change_options options = {.smallest = 0.02};
  fb_random random;
  int windows = 0, found = 0;
  fb_random_seed(&random, 1);
  for (int first = 0; first + WINDOW <= POINTS; first += STEP) {
    double window[WINDOW];
    fb_change changes[WINDOW];
    size_t count, at = WINDOW / 4 + fb_random_below(&random, WINDOW / 2);
    bool near = false;
    for (size_t i = 0; i < WINDOW; i++)
      window[i] = noise[(size_t)first + i] * (i >= at ? 1 + shift : 1);
    if (fb_changes_find(window, WINDOW, &options, &random, NULL, changes, WINDOW, &count, NULL))
      abort();
    for (size_t i = 0; i < count; i++)
      near |= shift == 0 || (changes[i].at + NEAR >= at && changes[i].at <= at + NEAR);
    found += near;
    windows++;
  }
  return 100.0 * found / windows;
}

void code_regression(void) {
  static double noise[POINTS];
  static const struct {
    double shift;
    const char *metric;
  } shifts[] = {{0, "false_alarms"},
                {0.01, "found_1_rate"},
                {0.02, "found_2_rate"},
                {0.05, "found_5_rate"},
                {0.1, "found_10_rate"}};
  for (int i = 0; i < POINTS; i++) noise[i] = S_point();
  for (size_t i = 0; i < sizeof shifts / sizeof *shifts; i++) {
    double share = S_share(noise, shifts[i].shift);
    print_samples("code", "regression", shifts[i].metric, "%", &share, 1);
  }
}
