/* SPDX-License-Identifier: Apache-2.0
 * Which way of adding up is faster? Prints a line of JSON for each function and size:
 *   cc -O2 bench.c $(pkg-config --cflags --libs flyball) -o bench && ./bench --samples 20 */
#include <flyball/bench.h>

#include <stdlib.h>

static double *S_numbers(int64_t count) {
  double *numbers = malloc((size_t)count * sizeof *numbers);
  for (int64_t i = 0; numbers && i < count; i++) numbers[i] = 1.0 / (double)(i + 1);
  return numbers;
}

static double S_plain(const double *numbers, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += numbers[i];
  return sum;
}

static double S_in_four(const double *numbers, int64_t count) {
  double sums[4] = {0};
  for (int64_t i = 0; i + 4 <= count; i += 4)
    for (int k = 0; k < 4; k++) sums[k] += numbers[i + k];
  return sums[0] + sums[1] + sums[2] + sums[3];
}

FB_BENCH_WITH(plain, 100, 10000) {
  double *numbers = S_numbers(bench->arg);
  FB_BENCH_LOOP(bench) FB_BENCH_KEEP(S_plain(numbers, bench->arg));
  free(numbers);
}

FB_BENCH_WITH(in_four, 100, 10000) {
  double *numbers = S_numbers(bench->arg);
  FB_BENCH_LOOP(bench) FB_BENCH_KEEP(S_in_four(numbers, bench->arg));
  free(numbers);
}

FB_BENCH_MAIN()
