/* SPDX-License-Identifier: Apache-2.0
 * Pools and arenas beside malloc: time, and calls of the allocator, for buffers of 8 to 64 KiB taken one at a time and in
 * bursts, on one thread and on two (a pool each); and what else Code Mesh's benchmarks of memory do.
 *   bench-base-pools            prints a line a row */
#include <flyball/proof.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 21, BURST = 100, THREADS_MAX = 2 };

typedef struct S_row {
  const char *name, *peer;
  size_t size;  /* of a block */
  size_t burst; /* blocks held at once */
  long operations;
  double target; /* times as fast as the peer */
} S_row;

/* What one side did. */
typedef struct S_work {
  const S_row *row;
  bool pooled;
  uint64_t calls, gets, reused, checksum;
} S_work;

static double S_now(void) {
  const fb_clock *clock = fb_clock_system();
  return (double)clock->mono(clock->context);
}

/* A line of the buffer is written, as by whoever reads into it. */
static void S_touch(char *block, size_t i, S_work *work) {
  memset(block, (int)i, 64);
  work->checksum += (unsigned char)block[i & 63];
}

static void S_buffers(S_work *work) {
  const S_row *row = work->row;
  fb_count_allocator count;
  fb_pool pool;
  char *held[BURST];
  fb_count_allocator_init(&count, NULL);
  fb_pool_init(&pool, &count.allocator, row->size);
  for (long done = 0; done < row->operations; done += (long)row->burst) {
    for (size_t i = 0; i < row->burst; i++) {
      held[i] = work->pooled ? fb_pool_get(&pool) : fb_alloc(&count.allocator, row->size);
      if (!held[i]) abort();
      S_touch(held[i], i, work);
    }
    for (size_t i = 0; i < row->burst; i++)
      if (work->pooled)
        fb_pool_put(&pool, held[i]);
      else
        fb_free(&count.allocator, held[i], row->size);
  }
  fb_pool_stats stats = fb_pool_statistics(&pool);
  work->gets += stats.gets;
  work->reused += stats.reused;
  work->calls += count.calls;
  fb_pool_release(&pool);
}

/* 1,000 formatted strings that live as long as one request. */
static void S_strings(S_work *work) {
  fb_count_allocator count;
  fb_arena arena;
  char *held[1000];
  fb_count_allocator_init(&count, NULL);
  fb_arena_init(&arena, &count.allocator, 0);
  for (long done = 0; done < work->row->operations; done += 1000) {
    for (int i = 0; i < 1000; i++) {
      char text[64];
      int len = snprintf(text, sizeof text, "session-%d: message %d", (int)done, i);
      held[i] = work->pooled ? fb_arena_copy(&arena, text, (size_t)len + 1)
                             : fb_alloc(&count.allocator, (size_t)len + 1);
      if (!held[i]) abort();
      if (!work->pooled) memcpy(held[i], text, (size_t)len + 1);
      work->checksum += (unsigned char)held[i][9];
    }
    for (int i = 0; i < 1000 && !work->pooled; i++)
      fb_free(&count.allocator, held[i], strlen(held[i]) + 1);
    fb_arena_reset(&arena);
  }
  work->gets += (uint64_t)work->row->operations;
  work->calls += count.calls;
  fb_arena_release(&arena);
}

/* 100 appends of 5 KB to a text: a buffer that is kept, beside one that grows anew each time. */
static void S_appends(S_work *work) {
  static const char block[5000] = "x";
  fb_count_allocator count;
  fb_buf buf;
  fb_count_allocator_init(&count, NULL);
  fb_buf_init(&buf, &count.allocator, 0);
  for (long done = 0; done < work->row->operations; done += 100) {
    if (!work->pooled) {
      fb_buf_release(&buf);
      fb_buf_init(&buf, &count.allocator, 0);
    }
    fb_buf_clear(&buf);
    for (int i = 0; i < 100; i++) fb_buf_add(&buf, block, sizeof block);
    work->checksum += buf.len;
  }
  work->gets += (uint64_t)work->row->operations;
  work->calls += count.calls;
  fb_buf_release(&buf);
}

typedef void S_job(S_work *work);

typedef struct S_side {
  S_work work;
  S_job *job;
} S_side;

static void *S_thread(void *context) {
  S_side *side = context;
  side->job(&side->work);
  return NULL;
}

/* Nanoseconds an operation and thread. */
static double S_measure(const S_row *row, S_job *job, bool pooled, int threads, S_work *ret) {
  pthread_t handles[THREADS_MAX];
  S_side sides[THREADS_MAX];
  double start = S_now();
  for (int i = 0; i < threads; i++) {
    sides[i] = (S_side){{.row = row, .pooled = pooled}, job};
    if (threads > 1 && pthread_create(&handles[i], NULL, S_thread, &sides[i])) abort();
  }
  if (threads == 1) S_thread(&sides[0]);
  for (int i = 0; i < threads && threads > 1; i++) pthread_join(handles[i], NULL);
  double elapsed = S_now() - start;
  *ret = (S_work){0};
  for (int i = 0; i < threads; i++) {
    ret->calls += sides[i].work.calls;
    ret->gets += sides[i].work.gets;
    ret->reused += sides[i].work.reused;
    ret->checksum += sides[i].work.checksum;
  }
  return elapsed / (double)row->operations;
}

static void S_print_samples(const double *samples) {
  printf(",\"samples\":[");
  for (int i = 0; i < ROUNDS; i++) printf("%s%.3f", i ? "," : "", samples[i]);
  printf("]}\n");
}

static void S_report(const S_row *row, S_job *job, int threads) {
  double ours[ROUNDS], peer[ROUNDS];
  S_work with, without;
  fb_summary a, b;
  for (int i = 0; i < ROUNDS; i++) { /* in turns */
    bool first = i % 2 == 0;
    for (int k = 0; k < 2; k++) {
      bool pooled = (k == 0) == first;
      *(pooled ? &ours[i] : &peer[i]) =
          S_measure(row, job, pooled, threads, pooled ? &with : &without);
    }
  }
  if (fb_summarize(ours, ROUNDS, NULL, &a, NULL) || fb_summarize(peer, ROUNDS, NULL, &b, NULL))
    abort();
  double ratio = b.median / a.median, calls = (double)without.calls / (double)with.calls;
  const char *verdict = with.checksum != without.checksum ? "not measured"
                        : ratio >= row->target            ? "met"
                                                          : "missed";
  printf(
      "{\"bench\":\"base.pools\",\"workload\":\"%s, %d thread%s\",\"ours\":%.2f,\"peer\":%.2f,"
      "\"peer_name\":\"%s\",\"unit\":\"ns\",\"ratio\":%.2f,\"reach\":\">= %g times as fast\","
      "\"verdict\":\"%s\",\"allocations\":%llu,\"peer_allocations\":%llu,\"times_fewer\":%.1f",
      row->name, threads, threads == 1 ? "" : "s", a.median, b.median, row->peer, ratio,
      row->target, verdict, (unsigned long long)with.calls, (unsigned long long)without.calls,
      calls);
  if (with.reused)
    printf(",\"served_from_pool\":%.2f", 100.0 * (double)with.reused / (double)with.gets);
  S_print_samples(ours);
}

int main(void) {
  static const S_row buffers[] = {
      {"8 KiB buffers, one at a time", "malloc", 8 << 10, 1, 20000, 1},
      {"16 KiB buffers, one at a time", "malloc", 16 << 10, 1, 20000, 1},
      {"32 KiB buffers, one at a time", "malloc", 32 << 10, 1, 20000, 1},
      {"64 KiB buffers, one at a time", "malloc", 64 << 10, 1, 20000, 1},
      {"8 KiB buffers, 100 at once", "malloc", 8 << 10, BURST, 20000, 1},
      {"64 KiB buffers, 100 at once", "malloc", 64 << 10, BURST, 20000, 1}};
  static const S_row strings = {"1,000 formatted strings", "malloc", 0, 0, 20000, 1};
  static const S_row appends = {"100 appends of 5 KB", "a new buffer each time", 0, 0, 4000, 1};
  for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
    for (int threads = 1; threads <= THREADS_MAX; threads++)
      S_report(&buffers[i], S_buffers, threads);
  S_report(&strings, S_strings, 1);
  S_report(&appends, S_appends, 1);
  return 0;
}
