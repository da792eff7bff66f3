/* SPDX-License-Identifier: Apache-2.0
 * Records how much the same work differs from run to run: bench-proof-noise POINTS [PAUSE_MS] > noise.csv
 *
 * A point of a series is what a CI job would keep: a fresh process (new address layout), the median of nine
 * runs of each workload. Three workloads that lean on different parts of the machine are measured in turn, so
 * the three series see the same disturbances. Each run is done twice in a row, as two interleaved candidates
 * would be, and the median of the nine ratios kept too: in truth it is 1.
 * Columns: point, workload, wall and CPU nanoseconds of the first of each two, ratio of CPU times. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 9, SORTED = 8000, CHASED = 1 << 19, STEPS = 60000, HASHED = 1 << 20 };

static int64_t S_now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t S_next(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return *state >> 33;
}

static int S_compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* Branches and the first cache. */
static uint64_t S_sort(uint32_t *memory) {
  uint64_t state = 1;
  for (int i = 0; i < SORTED; i++) memory[i] = (uint32_t)S_next(&state);
  qsort(memory, SORTED, sizeof *memory, S_compare);
  return memory[SORTED / 2];
}

/* Memory: each step waits for the one before. */
static uint64_t S_chase(uint32_t *memory) {
  uint32_t at = 0;
  for (int i = 0; i < STEPS; i++) at = memory[at];
  return at;
}

/* Arithmetic alone. */
static uint64_t S_hash(uint32_t *memory) {
  uint64_t h = memory[0];
  for (uint64_t i = 0; i < HASHED; i++) {
    h = (h ^ i) * UINT64_C(0x9fb21c651e98df25);
    h ^= h >> 29;
  }
  return h;
}

/* One random cycle through all places (Sattolo). */
static void S_fill_cycle(uint32_t *memory) {
  uint64_t state = 7;
  for (uint32_t i = 0; i < CHASED; i++) memory[i] = i;
  for (uint32_t i = CHASED - 1; i > 0; i--) {
    uint32_t j = (uint32_t)(S_next(&state) % i), held = memory[i];
    memory[i] = memory[j];
    memory[j] = held;
  }
}

typedef struct S_times {
  int64_t wall, cpu;
} S_times;

typedef struct S_taken {
  double wall[RUNS], cpu[RUNS], ratio[RUNS];
} S_taken;

static S_times S_measure(uint64_t (*run)(uint32_t *memory), uint32_t *memory, uint64_t *sum) {
  int64_t wall = S_now(CLOCK_MONOTONIC), cpu = S_now(CLOCK_PROCESS_CPUTIME_ID);
  *sum += run(memory);
  S_times times = {.cpu = S_now(CLOCK_PROCESS_CPUTIME_ID) - cpu};
  times.wall = S_now(CLOCK_MONOTONIC) - wall;
  return times;
}

static int S_compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double S_median(double times[RUNS]) {
  qsort(times, RUNS, sizeof *times, S_compare_doubles);
  return times[RUNS / 2];
}

static int S_point(const char *point) {
  static const struct {
    const char *name;
    uint64_t (*run)(uint32_t *memory);
  } workloads[] = {{"sort", S_sort}, {"chase", S_chase}, {"hash", S_hash}};
  uint32_t *memory = malloc(CHASED * sizeof *memory), *sorted = malloc(SORTED * sizeof *sorted);
  uint64_t sum = 0;
  if (!memory || !sorted) return 1;
  S_fill_cycle(memory);
  S_taken taken[3];
  for (int run = 0; run < RUNS; run++)
    for (int w = 0; w < 3; w++) {
      S_times first = S_measure(workloads[w].run, w ? memory : sorted, &sum);
      S_times second = S_measure(workloads[w].run, w ? memory : sorted, &sum);
      taken[w].wall[run] = (double)first.wall;
      taken[w].cpu[run] = (double)first.cpu;
      /* Who goes first takes turns. */
      taken[w].ratio[run] =
          run & 1 ? (double)first.cpu / (double)second.cpu : (double)second.cpu / (double)first.cpu;
    }
  for (int w = 0; w < 3; w++)
    printf("%s,%s,%.0f,%.0f,%.5f\n", point, workloads[w].name, S_median(taken[w].wall),
           S_median(taken[w].cpu), S_median(taken[w].ratio));
  free(memory);
  free(sorted);
  return sum == 1; /* uses it: nothing is left out by the compiler */
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "--point")) return S_point(argv[2]);
  int points = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
  int pause = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 200;
  if (points < 1) {
    fprintf(stderr, "usage: bench-proof-noise POINTS [PAUSE_MS] > noise.csv\n");
    return 2;
  }
  printf("point,workload,wall_ns,cpu_ns,ratio\n");
  for (int i = 0; i < points; i++) {
    char number[16];
    int code = 0;
    snprintf(number, sizeof number, "%d", i);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      execl("/proc/self/exe", argv[0], "--point", number, (char *)NULL);
      _exit(127);
    }
    if (child < 0 || waitpid(child, &code, 0) != child || code != 0) return 1;
    nanosleep(&(struct timespec){pause / 1000, pause % 1000 * 1000000L}, NULL);
  }
  return 0;
}
