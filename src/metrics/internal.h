/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry inside.
 *
 *   slot     a number that a thread owns while it lives, 1 … FB_SLOTS - 1; FB_SLOTS stands for "shares"
 *   shard    the memory to which one slot records; the shared one is written by read-modify-write
 *   page     the cells of FB_PAGE_CELLS counters; a shard of it is one array, so that a scrape reads
 *            lines that lie one after the other and no two threads write one line
 *   octave   FB_DISTRIBUTION_STEPS buckets, from one power of two to the next
 *
 * Invariants: shards[0] and shards[FB_SLOTS] are NULL, so that who has no slot takes the slow way without
 * a test of its own. A shard is published once, by its slot's owner, and freed with the registry.
 * Only its owner writes a shard (a plain addition between two relaxed accesses); slots change hands with
 * release and acquire.
 */
#ifndef FB_METRICS_INTERNAL_H
#define FB_METRICS_INTERNAL_H

#include <flyball/metrics.h>

#include <pthread.h>
#include <stdatomic.h>

enum {
  FB_SLOTS = 64,
  FB_PAGE_CELLS = 256,
  FB_LINE = 64, /* bytes that two cores contend for */
  FB_BUCKETS = FB_DISTRIBUTION_OCTAVES * FB_DISTRIBUTION_STEPS,
  FB_BUCKET_SHIFT = 46, /* a double without the bits below 2^-6 of its octave */
};
#define FB_LOWEST 0x1p-30
#define FB_HIGHEST 0x1p50

typedef _Atomic(uint64_t) fb_cell;

typedef struct fb_page {
  fb_metrics *owner;
  struct fb_page *next;
  uint32_t used;
  _Atomic(uint64_t) live; /* bit s: shards[s] is there */
  _Atomic(fb_cell *) shards[FB_SLOTS + 1];
  fb_cell shared[FB_PAGE_CELLS];
} fb_page;

struct fb_counter {
  fb_page *page;
  uint32_t cell;
};

struct fb_gauge {
  _Atomic(double) value;
};

typedef struct fb_histogram_shard {
  _Atomic(fb_cell *) octaves[FB_DISTRIBUTION_OCTAVES];
  fb_cell low, high;
  _Atomic(double) sum, min, max;
} fb_histogram_shard;

struct fb_histogram {
  fb_metrics *owner;
  _Atomic(uint64_t) live;
  _Atomic(fb_histogram_shard *) shards[FB_SLOTS + 1];
  fb_histogram_shard shared;
};

typedef struct fb_series {
  union {
    fb_counter counter;
    fb_gauge gauge;
    fb_histogram *histogram;
  } as;
  fb_slice labels;  /* name="value",… as both text formats have it; the key in the table */
  fb_slice *values; /* as they were given */
  int64_t created;  /* wall clock, ns */
} fb_series;

struct fb_metric {
  fb_metrics *owner;
  fb_metric_kind kind;
  fb_slice name, help, unit;
  fb_slice *labels;
  size_t label_count;
  double *bounds;
  fb_slice
      *edges[2]; /* `le` of each bound and of +Inf: plain, and canonical as OpenMetrics has it */
  size_t bound_count;
  uint32_t max_series;
  fb_table table;     /* labels → fb_series * */
  fb_series **series; /* by labels */
  size_t count, cap;
};

typedef struct fb_collector {
  struct fb_collector *next;
  fb_metrics_collector *call;
  void *context;
} fb_collector;

struct fb_metrics {
  const fb_allocator *allocator;
  const fb_clock *clock;
  pthread_mutex_t lock; /* all below but what is atomic */
  fb_arena arena;       /* definitions and series */
  fb_buf key;           /* for looking up labels */
  fb_metric **families; /* by name */
  size_t count, cap;
  fb_page *pages; /* newest first */
  fb_collector *collectors, **last_collector;
  fb_slice service;
  uint32_t max_series;
  int64_t created;
  fb_counter *overflows, *rejected, *dropped;
};

/* Asked for by the hot path: 0 until the thread records for the first time. The model spares a call of
 * __tls_get_addr; the price is 4 bytes of the space that libc keeps for libraries loaded late. */
extern _Thread_local unsigned fb_metrics_slot
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
/* Gives the thread its slot, or FB_SLOTS when all are taken. */
unsigned fb_metrics_take_slot(void);

/* Zeroed, and with a line to spare on either side, so that neighbours in the heap share none. */
void *fb_lines_new(const fb_allocator *allocator, size_t size);
void fb_lines_free(const fb_allocator *allocator, void *lines, size_t size);

static inline void fb_cell_bump(fb_cell *cell, uint64_t by) {
  atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + by,
                        memory_order_relaxed);
}

/* Number of the bucket; FB_BUCKETS or more for all that is not in (FB_LOWEST, FB_HIGHEST]. Taking 1 off
 * the bits puts an upper edge into the bucket below it, as `le` has it. */
static inline uint64_t fb_bucket_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return ((bits - 1) >> FB_BUCKET_SHIFT) - ((uint64_t)(1023 - 30) << (52 - FB_BUCKET_SHIFT));
}

/* Its upper edge; of bucket - 1, its lower one. */
static inline double fb_bucket_edge(int64_t bucket) {
  uint64_t bits = ((uint64_t)(bucket + 1) + ((uint64_t)(1023 - 30) << (52 - FB_BUCKET_SHIFT)))
                  << FB_BUCKET_SHIFT;
  double edge;
  memcpy(&edge, &bits, sizeof edge);
  return edge;
}

void fb_page_free(const fb_allocator *allocator, fb_page *page);
fb_histogram *fb_histogram_new(fb_metrics *owner);
void fb_histogram_free(fb_histogram *histogram);

/* How many values lie up to each edge, not cumulative; counts[bound_count] is the rest. */
typedef struct fb_bucket_counts {
  uint64_t counts[FB_METRIC_BOUNDS_MAX + 1], total;
  double sum, min, max;
} fb_bucket_counts;
void fb_histogram_count(const fb_histogram *histogram, const double *bounds, size_t bound_count,
                        fb_bucket_counts *ret);

/* define.c */
fb_status fb_metric_check(const fb_metric_def *def, fb_error *err);

/* number.c: room for 32 bytes; returns the length. */
size_t fb_metrics_u64(char *out, uint64_t number);
/* The shortest decimal that reads back the same; `canonical`: whole numbers as "1.0". NaN and infinities as
 * Prometheus has them. */
size_t fb_metrics_double(char *out, double number, bool canonical);

/* One writer a format; the lock is held. */
void fb_metrics_write_text(const fb_metrics *metrics, bool open, unsigned style, fb_buf *out);
void fb_metrics_write_json(const fb_metrics *metrics, int64_t now, fb_buf *out);
void fb_metrics_write_otlp(const fb_metrics *metrics, int64_t now, fb_buf *out);
/* label="value" with Prometheus's escapes. */
void fb_metrics_write_label(fb_buf *out, fb_slice name, fb_slice value);

#endif
