/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/metrics.h: counters, gauges and histograms that many threads record at once, and what a
 * scraper reads: Prometheus text, OpenMetrics, JSON, OTLP. Stands on base alone.
 *
 * A metric is defined once (name, help, unit, label names); its values for one set of label values are
 * a series. A series is looked up once and kept as a handle; recording through a handle looks nothing
 * up, takes no lock and never fails.
 *
 * Threads:
 *  - Recording and resolving handles: any thread, at any time. So the allocator must be thread-safe.
 *  - Each of the first 63 living threads that record writes to memory of its own; the others share one
 *    more, by atomic additions. A thread's first record of a series may allocate; when there is
 *    no memory for it, the shared memory takes the record: slower, but nothing is lost.
 *  - Not from signal handlers: one that interrupts a record of the same series may lose a count.
 *  - What a thread recorded before it was joined is in every later scrape. A scrape beside running
 *    threads has each of their records wholly or not at all in a counter; of a histogram, sum and count
 *    may differ by the records under way, its count and its buckets never.
 */
#ifndef FLYBALL_METRICS_H
#define FLYBALL_METRICS_H

#include <flyball/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_metrics fb_metrics; /* a registry */
typedef struct fb_metric fb_metric;   /* a family: all series of one name */
typedef struct fb_counter fb_counter; /* a series; all three live as long as the registry */
typedef struct fb_gauge fb_gauge;
typedef struct fb_histogram fb_histogram;

/* ── Registry ────────────────────────────────────────────────────────────────────────────────── */

typedef struct fb_metrics_options {
  const fb_allocator *allocator; /* NULL: the system's. Thread-safe; outlives the registry */
  const fb_clock *clock;         /* NULL: the system's. For the time of scrapes and of creation */
  const char *service;           /* OTLP's service.name; NULL: "unknown_service". Copied */
  uint32_t max_series;           /* of a family that does not say; 0: 1,000 */
} fb_metrics_options;

/* A new registry has three counters of its own, so that nothing is lost silently:
 *   flyball_metrics_overflows_total  resolved handles that a limit on series sent to the overflow series
 *   flyball_metrics_rejected_total   histogram values that were negative, infinite or no number
 *   flyball_metrics_dropped_total    histogram values for which there was no memory
 * options may be NULL. */
FB_API fb_status fb_metrics_new(const fb_metrics_options *options, fb_metrics **ret, fb_error *err);
/* Nobody may record or scrape any more. */
FB_API void fb_metrics_free(fb_metrics *metrics);

/* ── Families ────────────────────────────────────────────────────────────────────────────────── */

typedef enum fb_metric_kind {
  FB_METRIC_COUNTER,
  FB_METRIC_GAUGE,
  FB_METRIC_HISTOGRAM
} fb_metric_kind;

#define FB_METRIC_LABELS_MAX 16
#define FB_METRIC_BOUNDS_MAX 64

typedef struct fb_metric_def {
  fb_metric_kind kind;
  /* [a-zA-Z_:][a-zA-Z0-9_:]*, without the suffixes that the formats add (_total, _bucket, …): a counter
   * "jobs" is shown as jobs_total. Ends in "_" and the unit where there is one. */
  const char *name;
  const char *help;          /* one sentence; NULL: none */
  const char *unit;          /* "seconds", "bytes": base units; NULL: none */
  const char *const *labels; /* names: [a-zA-Z_][a-zA-Z0-9_]*, not starting with "__" */
  size_t label_count;
  uint32_t max_series; /* 0: the registry's */
  /* Of a histogram: where buckets end in Prometheus, OpenMetrics and OTLP, ascending. Each is moved to the
   * nearest edge of the histogram's own buckets (at most 0.8 %), so that what is counted is exact. Quantiles
   * do not depend on them. NULL: powers of four, from 2^-20 (a microsecond) to 64 for seconds, else from
   * 1 to 4^13. */
  const double *bounds;
  size_t bound_count;
} fb_metric_def;

/* All of `def` is copied. Defining the same again gives the same family; something else under a
 * name that is taken is FB_E_METRIC_CONFLICT; what breaks the rules above FB_E_METRIC_NAME or FB_E_METRIC_DEF. */
FB_API fb_status fb_metrics_define(fb_metrics *metrics, const fb_metric_def *def, fb_metric **ret,
                                   fb_error *err);

/* The series with these label values, in the order of the names; made when it is new. `values` may be
 * NULL when there are no labels. Values are UTF-8, else FB_E_METRIC_LABEL. Once the family has max_series,
 * what is new gets the overflow series, whose labels all have this value: */
#define FB_METRIC_OVERFLOW "__overflow__"
FB_API fb_status fb_metric_counter(fb_metric *metric, const fb_slice *values, fb_counter **ret,
                                   fb_error *err);
FB_API fb_status fb_metric_gauge(fb_metric *metric, const fb_slice *values, fb_gauge **ret,
                                 fb_error *err);
FB_API fb_status fb_metric_histogram(fb_metric *metric, const fb_slice *values, fb_histogram **ret,
                                     fb_error *err);

/* ── Recording: wait-free but for a thread's first record and for threads beyond the 63rd ────── */

/* All accept NULL and then do nothing, so that code may be written as if metrics were always on. */
FB_API void fb_counter_add(fb_counter *counter, uint64_t by); /* wraps at 2^64 */
FB_API uint64_t fb_counter_read(const fb_counter *counter);

FB_API void fb_gauge_set(fb_gauge *gauge, double value);
FB_API void fb_gauge_add(fb_gauge *gauge, double by); /* atomic; lock-free, not wait-free */
FB_API double fb_gauge_read(const fb_gauge *gauge);

/* value ≥ 0 and finite; others are only counted, as rejected. */
FB_API void fb_histogram_record(fb_histogram *histogram, double value);

/* Called before each scrape, on its thread, in the order of registration: the place to set gauges from what is
 * counted elsewhere. May define and resolve. */
typedef void fb_metrics_collector(void *context);
FB_API fb_status fb_metrics_on_scrape(fb_metrics *metrics, fb_metrics_collector *collector,
                                      void *context, fb_error *err);

/* ── Distribution: a histogram of one owner, to read, merge and ask ──────────────────────────── */

/* Log-linear: each power of two from 2^-30 to 2^50 is cut into 64 equal buckets (lower, upper], so the middle
 * of a bucket is within 0.8 % of whatever is in it. Values up to 2^-30 (0 is one) and above 2^50 have a bucket
 * each, in which only least and greatest are known. 512 bytes for each power of two in which something
 * lies, at most 40 KiB. */
#define FB_DISTRIBUTION_OCTAVES 80
#define FB_DISTRIBUTION_STEPS 64
#define FB_DISTRIBUTION_ERROR 0.0078125

typedef struct fb_distribution {
  uint64_t *octaves[FB_DISTRIBUTION_OCTAVES]; /* NULL: nothing in it */
  uint64_t count, low, high;                  /* all values; those ≤ 2^-30; those > 2^50 */
  double sum, min, max;                       /* of no values: 0, +inf, -inf */
  const fb_allocator *allocator;
} fb_distribution;

FB_API void fb_distribution_init(fb_distribution *distribution, const fb_allocator *allocator);
FB_API void fb_distribution_release(fb_distribution *distribution);
FB_API void fb_distribution_clear(fb_distribution *distribution); /* keeps the memory */

/* The same value, `times` times. FB_E_METRIC_VALUE unless value ≥ 0 and finite, FB_E_NOMEM; then nothing changed. */
FB_API fb_status fb_distribution_add(fb_distribution *distribution, double value, uint64_t times);
/* into += from. FB_E_NOMEM: `into` is as it was. */
FB_API fb_status fb_distribution_merge(fb_distribution *into, const fb_distribution *from);
/* Adds what was recorded so far. FB_E_NOMEM: `into` is as it was. */
FB_API fb_status fb_histogram_read(const fb_histogram *histogram, fb_distribution *into);
/* How many values are ≤ bound, for a bound that is an edge (else: ≤ the nearest edge). */
FB_API uint64_t fb_distribution_below(const fb_distribution *distribution, double bound);
/* The edge of a bucket that is nearest to `bound`; between 2^-30 and 2^50. */
FB_API double fb_distribution_edge(double bound);

/* The value with rank ceil(q × count) in ascending order (from 1) lies in [low, high]; `value` is its estimate,
 * within FB_DISTRIBUTION_ERROR of it from 2^-30 to 2^50. */
typedef struct fb_quantile {
  double value, low, high;
} fb_quantile;

/* False (nothing written) when there are no values or q is not in [0, 1]. */
FB_API bool fb_distribution_quantile(const fb_distribution *distribution, double q,
                                     fb_quantile *ret);

/* ── Scraping ────────────────────────────────────────────────────────────────────────────────── */

typedef enum fb_metrics_format {
  FB_METRICS_PROMETHEUS,  /* text/plain; version=0.0.4 */
  FB_METRICS_OPENMETRICS, /* application/openmetrics-text; version=1.0.0 */
  FB_METRICS_JSON,        /* one object, "type": "flyball.metrics.v1" */
  FB_METRICS_OTLP,        /* body of a POST to /v1/metrics: ExportMetricsServiceRequest as JSON */
} fb_metrics_format;

typedef enum fb_metrics_style {
  FB_METRICS_CREATED = 1 /* OpenMetrics: _created samples */
} fb_metrics_style;

/* "text/plain; version=0.0.4; charset=utf-8", …: for the header of a response. */
FB_API const char *fb_metrics_content_type(fb_metrics_format format);

/* Appends the whole registry, families by name, series by labels: the same order each time, whatever the order in
 * which they were made. Thread-safe; defining and resolving wait for it, recording does not. When out's maximum
 * or memory runs out: FB_E_NOMEM, and `out` is as it was. */
FB_API fb_status fb_metrics_write(fb_metrics *metrics, fb_metrics_format format, unsigned style,
                                  fb_buf *out, fb_error *err);

#ifdef __cplusplus
}
#endif
#endif
