/* SPDX-License-Identifier: Apache-2.0
 *
 * What a guard costs around a call that takes no time: bench-guard PEERS. Prints one JSON object a line
 * (bench/README.md). Nanoseconds of the thread's CPU time an operation, the best of many slices, so that what else the
 * machine does is left out. PEERS: lines "KEY PEER NANOS" (peers.mjs). The guards are handed `now`; rows named
 * "…-clock" also read the clock twice a call, as the peers do. */
#include <flyball/guard.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* LEAST_TOGETHER: slices in which both threads ran, below which nothing is said of them. */
enum { SLICE = 20000, SLICES = 1000, PEERS = 32, LEAST_TOGETHER = 50 };

typedef struct S_peer {
  char key[32], name[32];
  double nanos;
} S_peer;

typedef struct S_all {
  fb_retry_policy policy;
  fb_retry_budget budget;
  fb_random random;
  fb_breaker *row, *calls, *time, *open;
  fb_rate rate;
  fb_rate_window window;
  fb_rate_keys *keys;
  fb_bulkhead *bulkhead, *adaptive;
  int64_t later;
  _Alignas(128) _Atomic uint64_t shared;
  _Alignas(128) char after;
} S_all;

/* Does SLICE operations; returns how many went the way that the row says. */
typedef uint64_t S_work(S_all *all, int64_t now);

static double S_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int64_t S_now(void) {
  const fb_clock *clock = fb_clock_system();
  return clock->mono(clock->context);
}

/* ── Work ── */

static uint64_t S_retry(S_all *all, int64_t now) {
  uint64_t done = 0;
  for (int i = 0; i < SLICE; i++) {
    fb_retry retry;
    int64_t wait;
    fb_retry_begin(&retry, &all->policy, &all->random, now + i);
    __asm__ volatile("" : : "r"(&retry) : "memory"); /* the state is not optimised away */
    done += fb_retry_next(&retry, (fb_attempt){.ok = true}, now + i, &wait) == FB_RETRY_SUCCEEDED;
  }
  return done;
}

static uint64_t S_guarded(fb_breaker *breaker, int64_t now) {
  uint64_t done = 0;
  for (int i = 0; i < SLICE; i++) {
    fb_permit permit = fb_breaker_admit(breaker, now + i);
    fb_breaker_record(breaker, permit, FB_RESULT_OK, 100, now + i);
    done += permit != 0;
  }
  return done;
}
static uint64_t S_row(S_all *all, int64_t now) {
  return S_guarded(all->row, now);
}
static uint64_t S_calls(S_all *all, int64_t now) {
  return S_guarded(all->calls, now);
}
static uint64_t S_time(S_all *all, int64_t now) {
  return S_guarded(all->time, now);
}

static uint64_t S_clock(S_all *all, int64_t now) {
  uint64_t done = 0;
  (void)now;
  for (int i = 0; i < SLICE; i++) {
    int64_t start = S_now();
    fb_permit permit = fb_breaker_admit(all->time, start);
    int64_t end = S_now();
    fb_breaker_record(all->time, permit, FB_RESULT_OK, end - start, end);
    done += permit != 0;
  }
  return done;
}

static uint64_t S_open(S_all *all, int64_t now) {
  uint64_t done = 0;
  for (int i = 0; i < SLICE; i++) done += fb_breaker_admit(all->open, now + i) == 0;
  return done;
}

static uint64_t S_rate(S_all *all, int64_t now) {
  uint64_t done = 0;
  for (int i = 0; i < SLICE; i++) done += fb_rate_take(&all->rate, 1, now + i, NULL);
  return done;
}

static uint64_t S_window(S_all *all, int64_t now) {
  uint64_t done = 0;
  (void)now; /* its own time, a millisecond a call, so that all are let through */
  for (int i = 0; i < SLICE; i++)
    done += fb_rate_window_take(&all->window, 1, all->later += FB_MILLISECOND, NULL);
  return done;
}

static uint64_t S_keys(S_all *all, int64_t now) {
  uint64_t done = 0;
  for (int i = 0; i < SLICE; i++)
    done += fb_rate_keys_take(all->keys, FB_SLICE("caller"), 1, now + i, NULL);
  return done;
}

static uint64_t S_through(fb_bulkhead *bulkhead, int64_t now) {
  uint64_t done = 0;
  for (int i = 0; i < SLICE; i++) {
    if (!fb_bulkhead_try(bulkhead)) continue;
    fb_bulkhead_leave(bulkhead, 100, FB_RESULT_OK, now + i);
    done++;
  }
  return done;
}
static uint64_t S_bulkhead(S_all *all, int64_t now) {
  return S_through(all->bulkhead, now);
}
static uint64_t S_adaptive(S_all *all, int64_t now) {
  return S_through(all->adaptive, now);
}

/* What a counter that all share costs: shows whether two threads really met. */
static uint64_t S_shared(S_all *all, int64_t now) {
  (void)now;
  for (int i = 0; i < SLICE; i++) atomic_fetch_add_explicit(&all->shared, 1, memory_order_relaxed);
  return SLICE;
}

/* ── Measuring ── */

typedef struct S_run S_run;
struct S_run {
  S_all *all;
  S_work *work;
  double best, middle; /* the least, and the median */
  uint64_t done;
  uint32_t counted; /* slices: with another thread, those in which that got on too */
  _Atomic uint32_t slices;
  S_run *other; /* NULL: alone */
  pthread_barrier_t *start;
  int processor; /* the n-th */
};

static int S_by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* To the n-th of the processors that this program may use. */
static void S_pin(int n) {
  cpu_set_t may, one;
  CPU_ZERO(&one);
  if (sched_getaffinity(0, sizeof may, &may) != 0) return;
  for (int i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET(i, &may) && n-- == 0) CPU_SET(i, &one);
  if (CPU_COUNT(&one)) pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

static uint32_t S_progress(const S_run *run) {
  return run->other ? atomic_load_explicit(&run->other->slices, memory_order_relaxed) : 0;
}

/* With another thread only those slices count in which that ended one, too: they ran at the same time, or took turns within it. */
static void *S_measure(void *context) {
  S_run *run = context;
  double slices[SLICES];
  S_pin(run->processor);
  if (run->start) pthread_barrier_wait(run->start);
  for (int i = 0; i < SLICES; i++) {
    int64_t now = S_now();
    uint32_t other = S_progress(run);
    double before = S_cpu();
    run->done += run->work(run->all, now);
    double wall = (double)(S_now() - now), cpu = S_cpu() - before;
    atomic_fetch_add_explicit(&run->slices, 1, memory_order_relaxed);
    bool together = !run->other || (S_progress(run) != other && wall < 1.2 * cpu);
    if (together) slices[run->counted++] = cpu / SLICE;
  }
  if (!run->counted) return NULL;
  qsort(slices, run->counted, sizeof *slices, S_by_size);
  run->best = slices[0];
  run->middle = slices[run->counted / 2];
  return NULL;
}

static void S_one(S_all *all, S_work *work, S_run *ret_run) {
  *ret_run = (S_run){.all = all, .work = work};
  S_measure(ret_run);
}

static void S_two(S_all *all, S_work *work, S_run *ret_run) {
  pthread_barrier_t start;
  pthread_t thread;
  S_run first = {.all = all, .work = work, .start = &start};
  S_run second = {.all = all, .work = work, .start = &start, .processor = 1};
  first.other = &second;
  second.other = &first;
  pthread_barrier_init(&start, NULL, 2);
  if (pthread_create(&thread, NULL, S_measure, &second) != 0) exit(1);
  S_measure(&first);
  pthread_join(thread, NULL);
  pthread_barrier_destroy(&start);
  *ret_run = (S_run){.best = (first.best + second.best) / 2,
                     .middle = (first.middle + second.middle) / 2,
                     .done = first.done + second.done,
                     .counted = first.counted < second.counted ? first.counted : second.counted};
}

/* ── Rows ── */

/* limit: ours may be at most so much (0: ours / peer at most `reach`). peer < 0 or reach < 0: not measured. */
static void S_print(const char *workload, double ours, double peer, const char *name, double limit,
                    double reach, uint64_t done) {
  const char *verdict = limit > 0 ? ours <= limit ? "met" : "missed" : "not measured";
  if (limit <= 0 && peer > 0 && reach >= 0) verdict = ours <= peer * reach ? "met" : "missed";
  printf("{\"bench\":\"guard\",\"workload\":\"%s\",\"ours\":%.2f,", workload, ours);
  if (peer > 0)
    printf("\"peer\":%.2f,\"peer_name\":\"%s\",\"unit\":\"ns/op\",\"ratio\":%.4f,", peer, name,
           ours / peer);
  else
    printf("\"peer\":null,\"peer_name\":\"%s\",\"unit\":\"ns/op\",\"ratio\":null,", name);
  printf("\"reach\":%.2f,\"verdict\":\"%s\",\"operations\":%llu}\n",
         limit > 0   ? limit
         : reach > 0 ? reach
                     : 0,
         verdict, (unsigned long long)done);
  fflush(stdout);
}

static size_t S_read_peers(const char *path, S_peer *peers) {
  FILE *file = fopen(path, "r");
  size_t count = 0;
  while (file && count < PEERS) {
    char line[128], *rest, *end;
    if (!fgets(line, sizeof line, file)) break;
    const char *key = strtok_r(line, " ", &rest), *name = strtok_r(NULL, " ", &rest);
    const char *nanos = strtok_r(NULL, " \n", &rest);
    if (!nanos) continue;
    snprintf(peers[count].key, sizeof peers[count].key, "%s", key);
    snprintf(peers[count].name, sizeof peers[count].name, "%s", name);
    peers[count].nanos = strtod(nanos, &end);
    if (end != nanos) count++;
  }
  if (file) fclose(file);
  return count;
}

/* One row beside each peer that did the same. */
static void S_beside(const S_peer *peers, size_t count, const char *key, const char *workload,
                     const char *expected, const S_run *run) {
  bool any = false;
  for (size_t i = 0; i < count; i++)
    if (strcmp(peers[i].key, key) == 0) {
      S_print(workload, run->best, peers[i].nanos, peers[i].name, 0, 1, run->done);
      any = true;
    }
  if (!any) S_print(workload, run->best, -1, expected, 0, 1, run->done);
}

static void S_setup(S_all *all) {
  fb_breaker_config row = {.consecutive = 5};
  fb_breaker_config calls = fb_breaker_config_default();
  fb_breaker_config time = {.window_time = 10 * FB_SECOND,
                            .buckets = 10,
                            .failure_rate = 0.5,
                            .minimum = 10,
                            .slow_rate = 0.5,
                            .slow_after = FB_SECOND};
  fb_breaker_config open = {.consecutive = 1, .wait = 3600 * FB_SECOND};
  fb_rate_keys_config keys = {.tokens = 10000000, .per = FB_SECOND, .burst = 2000000000};
  fb_bulkhead_config bulkhead = {.limit = 10, .queue = 10}, adaptive = bulkhead;
  adaptive.adapt = FB_ADAPT_GRADIENT;
  all->policy = fb_retry_policy_default();
  all->policy.budget = &all->budget;
  fb_random_seed(&all->random, 1);
  if (fb_retry_budget_init(&all->budget, 100, 0.1, NULL) ||
      fb_breaker_new(&row, NULL, &all->row, NULL) ||
      fb_breaker_new(&calls, NULL, &all->calls, NULL) ||
      fb_breaker_new(&time, NULL, &all->time, NULL) ||
      fb_breaker_new(&open, NULL, &all->open, NULL) ||
      fb_rate_keys_new(&keys, NULL, &all->keys, NULL) ||
      fb_rate_init(&all->rate, 10000000, FB_SECOND, 2000000000, NULL) ||
      fb_bulkhead_new(&bulkhead, NULL, &all->bulkhead, NULL) ||
      fb_bulkhead_new(&adaptive, NULL, &all->adaptive, NULL) ||
      fb_rate_window_init(&all->window, 65535, FB_SECOND, NULL)) {
    fprintf(stderr, "bench-guard: cannot set up\n");
    exit(1);
  }
  fb_breaker_force(all->open, FB_BREAKER_OPEN, S_now());
}

int main(int argc, char **argv) {
  static S_all all;
  S_peer peers[PEERS];
  size_t count = argc > 1 ? S_read_peers(argv[1], peers) : 0;
  S_setup(&all);
  S_run run, pair, lone;
  S_one(&all, S_retry, &run);
  S_print("retry-succeeds-at-once", run.best, -1, "none", 5, 0, run.done);
  S_beside(peers, count, "retry", "retry-succeeds-at-once", "cockatiel", &run);
  const struct {
    const char *name;
    S_work *work;
  } closed[] = {{"breaker-closed-calls", S_calls},
                {"breaker-closed-time", S_time},
                {"breaker-closed-consecutive", S_row}};
  S_one(&all, S_shared, &lone);
  S_two(&all, S_shared, &pair);
  /* A counter that all share shows whether the threads really met: it takes much longer. */
  bool met = pair.counted >= LEAST_TOGETHER && pair.middle > 1.5 * lone.middle;
  S_print("floor-shared-counter-2-threads", pair.middle, lone.middle, "one thread", 0, -1,
          pair.done);
  for (size_t i = 0; i < 3; i++) {
    char name[64];
    S_one(&all, closed[i].work, &lone);
    S_two(&all, closed[i].work, &pair);
    S_print(closed[i].name, lone.best, -1, "none", 12, 0, lone.done);
    snprintf(name, sizeof name, "%s-2-threads", closed[i].name);
    bool together = met && pair.counted >= LEAST_TOGETHER;
    S_print(name, pair.middle, lone.middle, "one thread", 0, together ? 1.1 : -1, pair.done);
  }
  S_one(&all, S_clock, &run);
  S_beside(peers, count, "breaker-closed", "breaker-closed-time-clock", "opossum, cockatiel", &run);
  S_one(&all, S_open, &run);
  S_print("breaker-open", run.best, -1, "none", 4, 0, run.done);
  S_beside(peers, count, "breaker-open", "breaker-open", "opossum, cockatiel", &run);
  S_one(&all, S_rate, &run);
  S_print("rate-bucket", run.best, -1, "none", 25, 0, run.done);
  S_one(&all, S_window, &run);
  S_print("rate-window", run.best, -1, "none", 25, 0, run.done);
  S_one(&all, S_keys, &run);
  S_print("rate-key", run.best, -1, "none", 25, 0, run.done);
  S_beside(peers, count, "rate-key", "rate-key", "rate-limiter-flexible", &run);
  S_one(&all, S_bulkhead, &run);
  S_print("bulkhead", run.best, -1, "none", 20, 0, run.done);
  S_beside(peers, count, "bulkhead", "bulkhead", "cockatiel", &run);
  S_one(&all, S_adaptive, &run);
  S_print("bulkhead-adaptive", run.best, -1, "none", 20, 0, run.done);
  fb_bulkhead_free(all.bulkhead);
  fb_bulkhead_free(all.adaptive);
  fb_breaker_free(all.row);
  fb_breaker_free(all.calls);
  fb_breaker_free(all.time);
  fb_breaker_free(all.open);
  fb_rate_keys_free(all.keys);
  return 0;
}
