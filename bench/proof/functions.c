/* SPDX-License-Identifier: Apache-2.0
 * What google.cc measures, by FB_BENCH. */
#include "work.h"

#include <flyball/bench.h>

FB_BENCH(nothing) {
  FB_BENCH_LOOP(bench) FB_BENCH_CLOBBER();
}

FB_BENCH(hash_10) {
  uint64_t x = 1;
  FB_BENCH_LOOP(bench) FB_BENCH_KEEP(x = work_hash(x, 10));
}

FB_BENCH(hash_1000) {
  uint64_t x = 1;
  FB_BENCH_LOOP(bench) FB_BENCH_KEEP(x = work_hash(x, 1000));
}

FB_BENCH(sum_1000) {
  double numbers[1000];
  for (int i = 0; i < 1000; i++) numbers[i] = 1.0 / (i + 1);
  FB_BENCH_LOOP(bench) FB_BENCH_KEEP(work_sum(numbers, 1000));
}

FB_BENCH(length_40) {
  const char *text = "a text of about forty bytes, to be counted";
  FB_BENCH_LOOP(bench) FB_BENCH_KEEP(work_length(text));
}

FB_BENCH_MAIN()
