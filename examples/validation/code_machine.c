/* SPDX-License-Identifier: Apache-2.0
 * CODE's rows about processor, memory and files. No wing is in them but arenas; the work and its counts are theirs. */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static char S_folder[] = "/tmp/flyball-validation-XXXXXX";

static bool S_is_prime(long n) {
  for (long d = 2; d * d <= n; d++)
    if (n % d == 0) return false;
  return n > 1;
}

/* Task k looks for primes among 1,000 numbers. */
static bool S_primes(long from, long least) {
  long primes = 0;
  for (long n = from; n < from + 1000; n++) primes += S_is_prime(n);
  return primes >= least;
}

typedef struct S_pool {
  bool (*task)(long k);
  long tasks, next, failed;
} S_pool;

static void *S_worker(void *context) {
  S_pool *pool = context;
  for (;;) {
    long k = __atomic_fetch_add(&pool->next, 1, __ATOMIC_RELAXED);
    if (k >= pool->tasks) return NULL;
    if (!pool->task(k)) __atomic_fetch_add(&pool->failed, 1, __ATOMIC_RELAXED);
  }
}

/* `tasks` over so many threads. */
static void S_threads(const char *name, bool (*task)(long k), long tasks, int threads) {
  static work w;
  work_begin(&w, "code", name);
  for (int r = 0; r < REPEATS && !w.failed; r++) {
    pthread_t handles[32];
    S_pool pool = {.task = task, .tasks = tasks};
    double start = now_ns();
    for (int i = 0; i < threads; i++)
      if (pthread_create(&handles[i], NULL, S_worker, &pool)) abort();
    for (int i = 0; i < threads; i++) pthread_join(handles[i], NULL);
    if (pool.failed) work_fail(&w, "a task failed");
    work_end_repeat(&w, (double)tasks, now_ns() - start);
  }
  work_print(&w);
}

static bool S_cpu_task(long k) {
  (void)k;
  return S_primes(1000, 135);
}

static bool S_cpu_load_task(long k) {
  return S_primes(1000 * k, 1);
}

/* 100 × 10 MiB, a byte of each page touched; freed at the end. */
static void S_memory(void) {
  static work w;
  work_begin(&w, "code", "memory 100 x 10 MB");
  for (int r = 0; r < REPEATS && !w.failed; r++) {
    char *blocks[100];
    double start = now_ns();
    for (int i = 0; i < 100; i++) {
      blocks[i] = calloc(10, 1 << 20);
      if (!blocks[i]) work_fail(&w, "no memory");
      for (long at = 0; blocks[i] && at < 10 << 20; at += 4096) blocks[i][at] = 1;
    }
    work_end_repeat(&w, 100, now_ns() - start);
    for (int i = 0; i < 100; i++) free(blocks[i]);
  }
  work_print(&w);
}

/* ── Files ── */

static bool S_write_file(const char *path, const char *text, size_t len, int times) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool good = fd >= 0;
  for (int i = 0; i < times && good; i++) good = write(fd, text, len) == (ssize_t)len;
  return (fd < 0 || close(fd) == 0) && good;
}

static bool S_read_file(const char *path, size_t len) {
  static __thread char bytes[1 << 16];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  size_t got = 0;
  ssize_t n;
  while (fd >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0) got += (size_t)n;
  if (fd >= 0) close(fd);
  return got == len;
}

static void S_path(char path[128], const char *kind, long k) {
  snprintf(path, 128, "%s/%s-%ld", S_folder, kind, k);
}

static bool S_io(void *context, long i) {
  char path[128], text[10000];
  (void)context;
  memset(text, 'x', sizeof text);
  S_path(path, "io", i);
  return S_write_file(path, text, sizeof text, 1) && S_read_file(path, sizeof text);
}

static void S_delete_io(void *context) {
  char path[128];
  (void)context;
  for (long i = 0; i < 50; i++) {
    S_path(path, "io", i);
    unlink(path);
  }
}

static bool S_io_load_task(long k) {
  static const char line[27000];
  char path[128];
  S_path(path, "load", k);
  bool good = S_write_file(path, line, sizeof line, 100) && S_read_file(path, 100 * sizeof line);
  return unlink(path) == 0 && good;
}

/* 1,000 squares, two lists of 1,000 numbers, a file of 450 bytes. */
static bool S_mixed_task(long k) {
  char path[128], text[450];
  fb_arena arena;
  uint64_t sum = 0;
  fb_arena_init(&arena, NULL, 0);
  for (uint64_t i = 0; i < 1000; i++) sum += i * i;
  int64_t *first = fb_arena_alloc(&arena, 1000 * sizeof *first);
  int64_t *second = fb_arena_alloc(&arena, 1000 * sizeof *second);
  for (int i = 0; i < 1000 && first && second; i++) first[i] = i, second[i] = 2 * first[i];
  bool good = first && second && second[999] == 1998 && sum == 332833500;
  fb_arena_release(&arena);
  memset(text, 'x', sizeof text);
  S_path(path, "mixed", k);
  good &= S_write_file(path, text, sizeof text, 1) && S_read_file(path, sizeof text);
  return unlink(path) == 0 && good;
}

/* 10 lists of 1,000 numbers, written, read and given back. */
static bool S_patterns(void *context, long i) {
  int64_t sum = 0;
  (void)context;
  for (int k = 0; k < 10; k++) {
    int64_t *list = malloc(1000 * sizeof *list);
    if (!list) return false;
    for (int j = 0; j < 1000; j++) list[j] = i + j;
    for (int j = 0; j < 1000; j++) sum += list[j];
    free(list);
  }
  return sum == 10 * (1000 * i + 499500);
}

void code_machine(void) {
  static work w;
  S_threads("cpu", S_cpu_task, 20, 4);
  S_threads("cpu load", S_cpu_load_task, 160, 16);
  S_memory();
  work_run(&w, "code", "memory patterns", 100, S_patterns, NULL, NULL, NULL);
  if (!mkdtemp(S_folder)) return;
  work_run(&w, "code", "io", 50, S_io, NULL, S_delete_io, NULL);
  S_threads("io load", S_io_load_task, 100, 20);
  S_threads("mixed", S_mixed_task, 120, 15);
  rmdir(S_folder);
}
