/* SPDX-License-Identifier: Apache-2.0
 * How many shifts are found in recorded noise, and how many that are not there: bench-proof-regress NOISE.csv
 *
 * From each series of the record (tests/data/noise.csv, made by noise.c) windows of 40 points are cut, one every five
 * points; from a point in the middle half on, the values are raised by a seeded shift. A shift counts as found when a
 * change is reported within three points of it, an alarm is any change in a window without a shift. The first window's
 * place of the shift and all permutations come from one seed. */
#include <flyball/proof.h>

#include <stdio.h>
#include <stdlib.h>

enum { POINTS = 40, STEP = 5, NEAR = 3, VALUES_MAX = 4000 };

typedef struct S_series {
  const char *workload, *measure;
  int column; /* after the workload */
  double values[VALUES_MAX];
  size_t count;
} S_series;

typedef struct S_tally {
  size_t windows, alarms, found;
} S_tally;

static bool S_read(S_series *series, const char *path) {
  char line[200];
  FILE *file = fopen(path, "r");
  if (!file) return false;
  while (series->count < VALUES_MAX && fgets(line, sizeof line, file)) {
    char *at = strchr(line, ',');
    size_t len = strlen(series->workload);
    if (!at || strncmp(at + 1, series->workload, len) || at[1 + len] != ',') continue;
    at += len + 1;
    for (int i = 0; i < series->column && at; i++) at = strchr(at + 1, ',');
    if (at) series->values[series->count++] = strtod(at + 1, NULL);
  }
  fclose(file);
  return series->count >= POINTS;
}

static bool S_window(const double *values, size_t at, double shift, fb_random *random,
                     S_tally *tally) {
  double window[POINTS];
  fb_change changes[POINTS];
  fb_change_options options = {.smallest = 0.02};
  size_t count;
  bool found = false;
  for (size_t i = 0; i < POINTS; i++) window[i] = values[i] * (i >= at ? 1 + shift : 1);
  if (fb_changes_find(window, POINTS, &options, random, NULL, changes, POINTS, &count, NULL) !=
      FB_OK)
    return false;
  for (size_t i = 0; i < count; i++)
    found |= changes[i].at + NEAR >= at && changes[i].at <= at + NEAR;
  tally->windows++;
  tally->alarms += count > 0;
  tally->found += found;
  return true;
}

static bool S_tally_shift(const S_series *series, double shift, S_tally *ret) {
  fb_random random;
  fb_random_seed(&random, 1);
  *ret = (S_tally){0};
  for (size_t first = 0; first + POINTS <= series->count; first += STEP) {
    size_t at = POINTS / 4 + fb_random_below(&random, POINTS / 2);
    if (!S_window(series->values + first, at, shift, &random, ret)) return false;
  }
  return true;
}

static double S_share(size_t part, size_t whole) {
  return 100.0 * (double)part / (double)whole;
}

static bool S_report(const S_series *series) {
  static const double shifts[] = {0, 0.01, 0.02, 0.05, 0.1};
  S_tally tallies[5];
  double found[5], noise = 0;
  for (size_t i = 0; i < 5; i++) {
    if (!S_tally_shift(series, shifts[i], &tallies[i])) return false;
    found[i] = S_share(tallies[i].found, tallies[i].windows);
  }
  if (fb_smallest_change(series->values, series->count, 5, NULL, &noise, NULL) != FB_OK)
    return false;
  double alarms = S_share(tallies[0].alarms, tallies[0].windows);
  printf(
      "{\"bench\":\"proof.regress\",\"workload\":\"%s %s, shift 5 %%\",\"ours\":%.1f,\"peer\":null,"
      "\"peer_name\":null,\"unit\":\"%% found\",\"ratio\":null,\"reach\":\">= 95 %% found, <= 1 %% "
      "alarms\",\"verdict\":\"%s\",\"alarms\":%.2f,\"found_1\":%.1f,\"found_2\":%.1f,\"found_10\":%"
      ".1f,"
      "\"windows\":%zu,\"smallest_visible\":%.1f}\n",
      series->workload, series->measure, found[3], found[3] >= 95 && alarms <= 1 ? "met" : "missed",
      alarms, found[1], found[2], found[4], tallies[0].windows, noise * 100);
  return true;
}

int main(int argc, char **argv) {
  static S_series all[] = {{.workload = "sort", .measure = "interleaved ratio", .column = 2},
                           {.workload = "hash", .measure = "interleaved ratio", .column = 2},
                           {.workload = "chase", .measure = "interleaved ratio", .column = 2},
                           {.workload = "sort", .measure = "CPU time", .column = 1},
                           {.workload = "hash", .measure = "CPU time", .column = 1},
                           {.workload = "chase", .measure = "CPU time", .column = 1}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (argc != 2 || !S_read(&all[i], argv[1]) || !S_report(&all[i])) {
      fprintf(stderr, "usage: bench-proof-regress tests/data/noise.csv\n");
      return 2;
    }
  return 0;
}
