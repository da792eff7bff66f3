/* SPDX-License-Identifier: Apache-2.0
 * What functions.c measures, by Google Benchmark. */
#include "work.h"

#include <benchmark/benchmark.h>

static void nothing(benchmark::State &state) {
  for (auto _ : state) benchmark::ClobberMemory();
}

static void hash_10(benchmark::State &state) {
  uint64_t x = 1;
  for (auto _ : state) benchmark::DoNotOptimize(x = work_hash(x, 10));
}

static void hash_1000(benchmark::State &state) {
  uint64_t x = 1;
  for (auto _ : state) benchmark::DoNotOptimize(x = work_hash(x, 1000));
}

static void sum_1000(benchmark::State &state) {
  double numbers[1000];
  for (int i = 0; i < 1000; i++) numbers[i] = 1.0 / (i + 1);
  for (auto _ : state) benchmark::DoNotOptimize(work_sum(numbers, 1000));
}

static void length_40(benchmark::State &state) {
  const char *text = "a text of about forty bytes, to be counted";
  for (auto _ : state) benchmark::DoNotOptimize(work_length(text));
}

BENCHMARK(nothing);
BENCHMARK(hash_10);
BENCHMARK(hash_1000);
BENCHMARK(sum_1000);
BENCHMARK(length_40);
BENCHMARK_MAIN();
