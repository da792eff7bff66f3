/* SPDX-License-Identifier: Apache-2.0
 * Metrics: against exact models, from many threads, without memory. What the writers write is read by
 * tests/metrics. */
#include "test.h"

#include <flyball/metrics.h>

#include <math.h>
#include <pthread.h>

static const fb_slice S_none = {"", 0};

static fb_metrics *S_registry(uint32_t max_series) {
  fb_metrics *metrics = NULL;
  assert_int_equal(fb_metrics_new(&(fb_metrics_options){.max_series = max_series}, &metrics, NULL),
                   FB_OK);
  return metrics;
}

static fb_metric *S_define(fb_metrics *metrics, fb_metric_def def) {
  fb_metric *metric = NULL;
  fb_error err = {0};
  if (fb_metrics_define(metrics, &def, &metric, &err) != FB_OK) fail_msg("%s", err.text);
  return metric;
}

static fb_counter *S_counter(fb_metrics *metrics, const char *name) {
  fb_counter *counter = NULL;
  fb_metric *metric = S_define(metrics, (fb_metric_def){.name = name});
  assert_int_equal(fb_metric_counter(metric, NULL, &counter, NULL), FB_OK);
  return counter;
}

static fb_histogram *S_histogram(fb_metrics *metrics, const char *name) {
  fb_histogram *histogram = NULL;
  fb_metric *metric = S_define(metrics, (fb_metric_def){.kind = FB_METRIC_HISTOGRAM, .name = name});
  assert_int_equal(fb_metric_histogram(metric, NULL, &histogram, NULL), FB_OK);
  return histogram;
}

static bool S_shows(fb_metrics *metrics, const char *line) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  assert_int_equal(fb_metrics_write(metrics, FB_METRICS_PROMETHEUS, 0, &out, NULL), FB_OK);
  const char *at = strstr(out.ptr, line);
  bool shown = at && (at == out.ptr || at[-1] == '\n') && at[strlen(line)] == '\n';
  if (!shown) print_message("no line '%s' in\n%s", line, out.ptr);
  fb_buf_release(&out);
  return shown;
}

/* ── Definitions ─────────────────────────────────────────────────────────────────────────────── */

static void test_names(void **state) {
  static const struct {
    const char *name, *unit, *label;
    fb_status status;
  } cases[] = {
      {"jobs", NULL, "state", FB_OK},
      {"ns:jobs_2", NULL, "_a9", FB_OK},
      {"wait_seconds", "seconds", NULL, FB_OK},
      {NULL, NULL, NULL, FB_E_METRIC_NAME},
      {"", NULL, NULL, FB_E_METRIC_NAME},
      {"9jobs", NULL, NULL, FB_E_METRIC_NAME},
      {"jobs-done", NULL, NULL, FB_E_METRIC_NAME},
      {"j\xc3\xb6rg", NULL, NULL, FB_E_METRIC_NAME},
      {"jobs_total", NULL, NULL, FB_E_METRIC_NAME},
      {"jobs_bucket", NULL, NULL, FB_E_METRIC_NAME},
      {"jobs_created", NULL, NULL, FB_E_METRIC_NAME},
      {"wait", "seconds", NULL, FB_E_METRIC_NAME},
      {"_seconds", "seconds", NULL, FB_E_METRIC_NAME},
      {"waitseconds", "seconds", NULL, FB_E_METRIC_NAME},
      {"jobs", NULL, "a:b", FB_E_METRIC_NAME},
      {"jobs", NULL, "__name__", FB_E_METRIC_NAME},
      {"jobs", NULL, "", FB_E_METRIC_NAME},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fb_metrics *metrics = S_registry(0);
    fb_metric *metric = NULL;
    fb_error err = {0};
    fb_metric_def def = {.name = cases[i].name,
                         .unit = cases[i].unit,
                         .labels = &cases[i].label,
                         .label_count = cases[i].label != NULL};
    assert_int_equal(fb_metrics_define(metrics, &def, &metric, &err), cases[i].status);
    assert_int_equal(metric != NULL, cases[i].status == FB_OK);
    assert_int_equal(err.text[0] != 0, cases[i].status != FB_OK);
    fb_metrics_free(metrics);
  }
}

static void S_refused(fb_metrics *metrics, fb_metric_def def, fb_status status) {
  fb_metric *metric;
  fb_error err = {0};
  assert_int_equal(fb_metrics_define(metrics, &def, &metric, &err), status);
  assert_int_equal(err.code, status);
}

static void test_definitions(void **state) {
  static const char *const twice[] = {"a", "b", "a"}, *const le[] = {"le"},
                           *const ab[] = {"a", "b"};
  static const double down[] = {2, 1}, near[] = {1, 1.001}, nan[] = {NAN}, negative[] = {-1},
                      good[] = {0.005, 1};
  fb_metrics *metrics = S_registry(0);
  S_refused(metrics, (fb_metric_def){.name = "x", .labels = twice, .label_count = 3},
            FB_E_METRIC_DEF);
  S_refused(metrics, (fb_metric_def){.name = "x", .labels = ab, .label_count = 17},
            FB_E_METRIC_DEF);
  S_refused(metrics, (fb_metric_def){.name = "x", .help = "\xff"}, FB_E_METRIC_DEF);
  S_refused(metrics, (fb_metric_def){.name = "x", .bounds = good, .bound_count = 2},
            FB_E_METRIC_DEF);
  fb_metric_def histogram = {
      .kind = FB_METRIC_HISTOGRAM, .name = "h", .labels = le, .label_count = 1};
  S_refused(metrics, histogram, FB_E_METRIC_NAME);
  histogram.label_count = 0;
  const double *bad[] = {down, near, nan, negative};
  for (size_t i = 0; i < 4; i++) {
    histogram.bounds = bad[i];
    histogram.bound_count = i < 2 ? 2 : 1;
    S_refused(metrics, histogram, FB_E_METRIC_DEF);
  }
  histogram.bounds = good;
  histogram.bound_count = 0;
  S_refused(metrics, histogram, FB_E_METRIC_DEF);
  histogram.bound_count = 2;

  fb_metric *first = S_define(metrics, histogram);
  assert_ptr_equal(S_define(metrics, histogram), first);
  histogram.bound_count = 1;
  S_refused(metrics, histogram, FB_E_METRIC_CONFLICT);
  S_define(metrics, (fb_metric_def){.name = "c", .labels = ab, .label_count = 2});
  S_refused(metrics, (fb_metric_def){.name = "c", .labels = ab, .label_count = 1},
            FB_E_METRIC_CONFLICT);
  S_refused(metrics, (fb_metric_def){.name = "c", .help = "h", .labels = ab, .label_count = 2},
            FB_E_METRIC_CONFLICT);
  S_refused(metrics, (fb_metric_def){.name = "c", .kind = FB_METRIC_GAUGE}, FB_E_METRIC_CONFLICT);
  fb_gauge *gauge = NULL;
  assert_int_equal(fb_metric_gauge(first, &S_none, &gauge, NULL), FB_E_METRIC_CONFLICT);
  assert_null(gauge);
  fb_metrics_free(metrics);
}

/* ── Series ──────────────────────────────────────────────────────────────────────────────────── */

static void test_series(void **state) {
  static const char *const labels[] = {"method", "path"};
  fb_metrics *metrics = S_registry(0);
  fb_metric *metric =
      S_define(metrics, (fb_metric_def){.name = "requests", .labels = labels, .label_count = 2});
  fb_counter *a = NULL, *b = NULL, *again = NULL;
  /* What would be one text if the values were only joined. */
  fb_slice first[] = {FB_SLICE("G"), FB_SLICE("x\",path=\"y")},
           second[] = {FB_SLICE("G\",path=\"x"), FB_SLICE("y")};
  assert_int_equal(fb_metric_counter(metric, first, &a, NULL), FB_OK);
  assert_int_equal(fb_metric_counter(metric, second, &b, NULL), FB_OK);
  assert_int_equal(fb_metric_counter(metric, first, &again, NULL), FB_OK);
  assert_ptr_equal(a, again);
  assert_ptr_not_equal(a, b);
  fb_counter_add(a, 3);
  fb_counter_add(again, 4);
  fb_counter_add(b, 1);
  assert_int_equal(fb_counter_read(a), 7);
  assert_true(S_shows(metrics, "requests_total{method=\"G\",path=\"x\\\",path=\\\"y\"} 7"));
  fb_slice bytes[] = {FB_SLICE("\xff"), FB_SLICE("")}, odd[] = {FB_SLICE("\\"), FB_SLICE("1\n2")};
  fb_error err = {0};
  assert_int_equal(fb_metric_counter(metric, bytes, &b, &err), FB_E_METRIC_LABEL);
  assert_int_equal(fb_metric_counter(metric, odd, &b, NULL), FB_OK);
  assert_true(S_shows(metrics, "requests_total{method=\"\\\\\",path=\"1\\n2\"} 0"));
  fb_metrics_free(metrics);
}

static void test_cardinality(void **state) {
  static const char *const labels[] = {"user"};
  fb_metrics *metrics = S_registry(100);
  fb_metric *metric =
      S_define(metrics, (fb_metric_def){.name = "logins", .labels = labels, .label_count = 1});
  char text[20];
  fb_counter *counter, *first_over = NULL;
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < 150; i++) {
      fb_slice value = {text, (size_t)snprintf(text, sizeof text, "u%03d", i)};
      assert_int_equal(fb_metric_counter(metric, &value, &counter, NULL), FB_OK);
      fb_counter_add(counter, 1);
      if (i >= 100 && !first_over) first_over = counter;
      if (i >= 100) assert_ptr_equal(counter, first_over);
    }
  assert_int_equal(fb_counter_read(first_over), 100);
  assert_true(S_shows(metrics, "logins_total{user=\"__overflow__\"} 100"));
  assert_true(S_shows(metrics, "logins_total{user=\"u099\"} 2"));
  assert_true(S_shows(metrics, "flyball_metrics_overflows_total 100"));
  fb_metrics_free(metrics);
}

/* The same series made in different orders are written in one order. */
static void test_order(void **state) {
  static const char *const labels[] = {"l"};
  fb_buf texts[2];
  for (int way = 0; way < 2; way++) {
    fb_metrics *metrics = S_registry(0);
    for (int i = 0; i < 300; i++) {
      int number = way ? i * 7 % 300 : i;
      char name[20], text[20];
      snprintf(name, sizeof name, "m%d", number % 10);
      fb_slice value = {text, (size_t)snprintf(text, sizeof text, "%d", number)};
      fb_metric *metric =
          S_define(metrics, (fb_metric_def){.name = name, .labels = labels, .label_count = 1});
      fb_counter *counter;
      assert_int_equal(fb_metric_counter(metric, &value, &counter, NULL), FB_OK);
      fb_counter_add(counter, (uint64_t)number);
    }
    fb_buf_init(&texts[way], NULL, 0);
    assert_int_equal(fb_metrics_write(metrics, FB_METRICS_OPENMETRICS, 0, &texts[way], NULL),
                     FB_OK);
    fb_metrics_free(metrics);
  }
  assert_string_equal(texts[0].ptr, texts[1].ptr);
  for (int way = 0; way < 2; way++) fb_buf_release(&texts[way]);
}

static void test_null_handles(void **state) {
  fb_counter_add(NULL, 1);
  fb_gauge_set(NULL, 1);
  fb_gauge_add(NULL, 1);
  fb_histogram_record(NULL, 1);
  assert_int_equal(fb_counter_read(NULL), 0);
  assert_true(fb_gauge_read(NULL) == 0);
  fb_metrics_free(NULL);
  fb_distribution_release(NULL);
}

static void S_collect(void *context) {
  fb_gauge_add(context, 2.5);
}

static void test_gauges(void **state) {
  fb_metrics *metrics = S_registry(0);
  fb_gauge *gauge;
  fb_metric *metric = S_define(metrics, (fb_metric_def){.kind = FB_METRIC_GAUGE, .name = "depth"});
  assert_int_equal(fb_metric_gauge(metric, NULL, &gauge, NULL), FB_OK);
  fb_gauge_set(gauge, -1.5);
  fb_gauge_add(gauge, 0.25);
  assert_true(S_shows(metrics, "depth -1.25"));
  static const struct {
    double value;
    const char *line;
  } cases[] = {{NAN, "depth NaN"},
               {INFINITY, "depth +Inf"},
               {-INFINITY, "depth -Inf"},
               {0, "depth 0"},
               {0.1, "depth 0.1"},
               {1.0 / 3, "depth 0.3333333333333333"},
               {5e-324, "depth 5e-324"},
               {1e300, "depth 1e300"},
               {123456789012345678.0, "depth 123456789012345680"},
               {999999999999999, "depth 999999999999999"},
               {0.001, "depth 0.001"},
               {12.000000001, "depth 12.000000001"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fb_gauge_set(gauge, cases[i].value);
    assert_true(S_shows(metrics, cases[i].line));
  }
  fb_gauge_set(gauge, 0);
  assert_int_equal(fb_metrics_on_scrape(metrics, S_collect, gauge, NULL), FB_OK);
  assert_int_equal(fb_metrics_on_scrape(metrics, S_collect, gauge, NULL), FB_OK);
  assert_true(S_shows(metrics, "depth 5"));
  assert_true(S_shows(metrics, "depth 10"));
  fb_metrics_free(metrics);
}

/* ── Histograms against sorted arrays ────────────────────────────────────────────────────────── */

enum { VALUES = 4000 };

static int S_by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Shapes: even, over 20 decades, heavy tail, exact powers of two (edges), one value. */
static double S_value(fb_random *random, int shape) {
  double unit = fb_random_unit(random);
  switch (shape) {
    case 0: return unit * 100;
    case 1: return pow(10, unit * 20 - 8);
    case 2: return 0.001 / pow(1 - unit, 1.5);
    case 3: return ldexp(1, (int)(unit * 79) - 29);
    default: return 0.0123;
  }
}

static void S_check_quantile(const fb_distribution *distribution, const double *sorted,
                             size_t count, double q) {
  fb_quantile quantile;
  assert_true(fb_distribution_quantile(distribution, q, &quantile));
  size_t rank = (size_t)ceil(q * (double)count);
  double exact = sorted[rank ? rank - 1 : 0];
  assert_true(quantile.low <= exact && exact <= quantile.high);
  assert_true(quantile.low <= quantile.value && quantile.value <= quantile.high);
  if (exact > 0x1p-30 && exact <= 0x1p50)
    assert_true(fabs(quantile.value - exact) <= exact * FB_DISTRIBUTION_ERROR);
}

static void test_quantiles(void **state) {
  fb_random random;
  fb_random_seed(&random, 1);
  static double values[VALUES];
  for (int shape = 0; shape < 5; shape++)
    for (size_t count = 1; count <= VALUES; count = count * 3 + 1) {
      fb_metrics *metrics = S_registry(0);
      fb_histogram *histogram = S_histogram(metrics, "h");
      fb_distribution alone, read;
      fb_distribution_init(&alone, NULL);
      fb_distribution_init(&read, NULL);
      double sum = 0;
      for (size_t i = 0; i < count; i++) {
        sum += values[i] = S_value(&random, shape);
        fb_histogram_record(histogram, values[i]);
        assert_int_equal(fb_distribution_add(&alone, values[i], 1), FB_OK);
      }
      qsort(values, count, sizeof *values, S_by_value);
      assert_int_equal(fb_histogram_read(histogram, &read), FB_OK);
      assert_int_equal(read.count, count);
      assert_true(read.sum == sum && alone.sum == sum);
      assert_true(read.min == values[0] && read.max == values[count - 1]);
      for (int q = 0; q <= 1000; q += count > 100 ? 1 : 50) {
        S_check_quantile(&alone, values, count, q / 1000.0);
        S_check_quantile(&read, values, count, q / 1000.0);
      }
      fb_distribution_release(&alone);
      fb_distribution_release(&read);
      fb_metrics_free(metrics);
    }
}

/* What is counted up to an edge is exact, values on the edge included. */
static void test_edges(void **state) {
  fb_random random;
  fb_random_seed(&random, 2);
  fb_distribution distribution;
  fb_distribution_init(&distribution, NULL);
  static double values[VALUES];
  for (size_t i = 0; i < VALUES; i++) {
    values[i] = S_value(&random, 1);
    if (i % 3 == 0) values[i] = fb_distribution_edge(values[i]);
    if (i % 100 == 0) values[i] = i % 200 ? 0 : 1e16;
    assert_int_equal(fb_distribution_add(&distribution, values[i], 1), FB_OK);
  }
  for (int i = 0; i < 300; i++) {
    double bound = S_value(&random, 1), edge = fb_distribution_edge(bound);
    if (bound >= 0x1p-30) assert_true(fabs(edge - bound) <= bound * FB_DISTRIBUTION_ERROR);
    assert_true(fb_distribution_edge(edge) == edge);
    uint64_t exact = 0;
    for (size_t j = 0; j < VALUES; j++) exact += values[j] <= edge;
    assert_int_equal(fb_distribution_below(&distribution, edge), exact);
  }
  assert_true(fb_distribution_edge(0) == 0x1p-30 && fb_distribution_edge(NAN) == 0x1p-30);
  assert_true(fb_distribution_edge(INFINITY) == 0x1p50);
  fb_distribution_release(&distribution);
}

static void test_outside(void **state) {
  fb_metrics *metrics = S_registry(0);
  fb_histogram *histogram = S_histogram(metrics, "h");
  fb_distribution read;
  fb_distribution_init(&read, NULL);
  fb_quantile quantile;
  assert_false(fb_distribution_quantile(&read, 0.5, &quantile));
  const double values[] = {0,    -0.0,    5e-324, 1e-10, 0x1p-30, 1,        0x1p50,
                           1e16, 1.7e308, NAN,    -1,    -5e-324, INFINITY, -INFINITY};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    fb_histogram_record(histogram, values[i]);
    assert_int_equal(fb_distribution_add(&read, values[i], 1), i < 9 ? FB_OK : FB_E_METRIC_VALUE);
  }
  for (int i = 0; i < 2; i++) { /* the two agree */
    assert_int_equal(read.count, 9);
    assert_int_equal(read.low, 5);
    assert_int_equal(read.high, 2);
    assert_true(read.min == 0 && read.max == 1.7e308);
    fb_distribution_clear(&read);
    assert_int_equal(fb_histogram_read(histogram, &read), FB_OK);
  }
  assert_true(fb_distribution_quantile(&read, 0, &quantile) && quantile.low == 0 &&
              quantile.high == 0x1p-30);
  assert_true(fb_distribution_quantile(&read, 1, &quantile) && quantile.low == 0x1p50 &&
              quantile.high == 1.7e308);
  assert_false(fb_distribution_quantile(&read, NAN, &quantile));
  assert_false(fb_distribution_quantile(&read, 1.01, &quantile));
  assert_true(S_shows(metrics, "flyball_metrics_rejected_total 5"));
  assert_true(S_shows(metrics, "h_count 9"));
  assert_true(S_shows(metrics, "h_bucket{le=\"1\"} 6"));
  assert_true(S_shows(metrics, "h_bucket{le=\"+Inf\"} 9"));
  fb_distribution_release(&read);
  fb_metrics_free(metrics);
}

static void S_assert_same(const fb_distribution *a, const fb_distribution *b) {
  static const uint64_t zeros[FB_DISTRIBUTION_STEPS];
  assert_true(a->count == b->count && a->low == b->low && a->high == b->high && a->min == b->min &&
              a->max == b->max);
  assert_true(fabs(a->sum - b->sum) <= 1e-12 * fabs(a->sum));
  for (int i = 0; i < FB_DISTRIBUTION_OCTAVES; i++)
    assert_memory_equal(a->octaves[i] ? a->octaves[i] : zeros,
                        b->octaves[i] ? b->octaves[i] : zeros, sizeof zeros);
}

/* Merging commutes, associates, has the empty one as its identity, and is the same as adding all to one. */
static void test_merge(void **state) {
  fb_random random;
  fb_random_seed(&random, 3);
  fb_distribution parts[3], all, left, right;
  fb_distribution_init(&all, NULL);
  fb_distribution_init(&left, NULL);
  fb_distribution_init(&right, NULL);
  for (int i = 0; i < 3; i++) {
    fb_distribution_init(&parts[i], NULL);
    for (int j = 0; j < 1000; j++) {
      double value = S_value(&random, i);
      uint64_t times = 1 + fb_random_below(&random, 3);
      assert_int_equal(fb_distribution_add(&parts[i], value, times), FB_OK);
      assert_int_equal(fb_distribution_add(&all, value, times), FB_OK);
    }
  }
  for (int i = 0; i < 3; i++) {
    assert_int_equal(fb_distribution_merge(&left, &parts[i]), FB_OK);
    assert_int_equal(fb_distribution_merge(&right, &parts[2 - i]), FB_OK);
  }
  S_assert_same(&left, &right);
  S_assert_same(&left, &all);
  fb_distribution_clear(&right);
  assert_int_equal(fb_distribution_merge(&left, &right), FB_OK);
  S_assert_same(&left, &all);
  assert_int_equal(fb_distribution_merge(&right, &all), FB_OK);
  S_assert_same(&right, &all);
  for (int i = 0; i < 3; i++) fb_distribution_release(&parts[i]);
  fb_distribution_release(&all);
  fb_distribution_release(&left);
  fb_distribution_release(&right);
}

/* ── Threads ─────────────────────────────────────────────────────────────────────────────────── */

enum {
  THREADS = 80,
  RECORDS = 2000,
  SERIES = 300
}; /* more threads than slots, more series than a page has */

typedef struct fb_crowd {
  fb_metrics *metrics;
  fb_metric *metric;
  fb_counter *counter;
  fb_gauge *gauge;
  fb_histogram *histogram;
  pthread_barrier_t *barrier; /* NULL: none */
} fb_crowd;

static void *S_work(void *context) {
  fb_crowd *crowd = context;
  if (crowd->barrier) pthread_barrier_wait(crowd->barrier);
  char text[20];
  for (int i = 0; i < RECORDS; i++) {
    fb_counter_add(crowd->counter, 1);
    fb_gauge_add(crowd->gauge, 1);
    fb_histogram_record(crowd->histogram, (double)(i % 1000 + 1));
    if (i % 50) continue;
    fb_slice value = {text, (size_t)snprintf(text, sizeof text, "%d", i / 50 * 7 % SERIES)};
    fb_counter *counter = NULL;
    fb_metric_counter(crowd->metric, &value, &counter, NULL);
    fb_counter_add(counter, 2);
  }
  if (crowd->barrier)
    pthread_barrier_wait(crowd->barrier); /* all live at once, so some must share */
  return NULL;
}

static uint64_t S_labelled_total(fb_crowd *crowd) {
  uint64_t total = 0;
  for (int i = 0; i < SERIES; i++) {
    char text[20];
    fb_slice value = {text, (size_t)snprintf(text, sizeof text, "%d", i)};
    fb_counter *counter = NULL;
    assert_int_equal(fb_metric_counter(crowd->metric, &value, &counter, NULL), FB_OK);
    total += fb_counter_read(counter);
  }
  return total;
}

static void S_check_crowd(fb_crowd *crowd, uint64_t threads) {
  fb_distribution read;
  fb_distribution_init(&read, NULL);
  assert_int_equal(fb_counter_read(crowd->counter), threads * RECORDS);
  assert_true(fb_gauge_read(crowd->gauge) == (double)(threads * RECORDS));
  assert_int_equal(fb_histogram_read(crowd->histogram, &read), FB_OK);
  assert_int_equal(read.count, threads * RECORDS);
  assert_true(read.sum == (double)threads * RECORDS * 500.5);
  assert_true(read.min == 1 && read.max == 1000);
  assert_int_equal(S_labelled_total(crowd), threads * (RECORDS / 50) * 2);
  fb_distribution_release(&read);
}

static void S_scrape(fb_metrics *metrics) {
  for (int format = FB_METRICS_PROMETHEUS; format <= FB_METRICS_OTLP; format++) {
    fb_buf out;
    fb_buf_init(&out, NULL, 0);
    assert_int_equal(
        fb_metrics_write(metrics, (fb_metrics_format)format, FB_METRICS_CREATED, &out, NULL),
        FB_OK);
    fb_buf_release(&out);
  }
}

static void test_threads(void **state) {
  static const char *const labels[] = {"l"};
  fb_crowd crowd = {.metrics = S_registry(0)};
  crowd.metric =
      S_define(crowd.metrics, (fb_metric_def){.name = "many", .labels = labels, .label_count = 1});
  crowd.counter = S_counter(crowd.metrics, "c");
  crowd.histogram = S_histogram(crowd.metrics, "h");
  fb_metric *gauges =
      S_define(crowd.metrics, (fb_metric_def){.kind = FB_METRIC_GAUGE, .name = "g"});
  assert_int_equal(fb_metric_gauge(gauges, NULL, &crowd.gauge, NULL), FB_OK);
  pthread_t threads[THREADS];
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, NULL, THREADS);
  crowd.barrier = &barrier;
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, S_work, &crowd), 0);
  for (int i = 0; i < 20; i++) S_scrape(crowd.metrics); /* while they record */
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  S_check_crowd(&crowd, THREADS);
  /* Short lives, one after the other and overlapping: slots change hands. */
  crowd.barrier = NULL;
  for (int i = 0; i < THREADS; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, S_work, &crowd), 0);
    if (i % 4 == 3)
      for (int j = i - 3; j <= i; j++) pthread_join(threads[j], NULL);
  }
  S_check_crowd(&crowd, 2 * THREADS);
  pthread_barrier_destroy(&barrier);
  fb_metrics_free(crowd.metrics);
}

/* ── Memory ──────────────────────────────────────────────────────────────────────────────────── */

static bool S_record_all(fb_metrics *metrics) {
  static const char *const labels[] = {"l"};
  fb_metric *metric, *histograms;
  fb_counter *counter;
  fb_histogram *histogram;
  fb_metric_def def = {
      .name = "c", .help = "h", .labels = labels, .label_count = 1, .max_series = 3};
  fb_metric_def histogram_def = {.kind = FB_METRIC_HISTOGRAM, .name = "h"};
  fb_error err;
  if (fb_metrics_define(metrics, &def, &metric, &err) != FB_OK ||
      fb_metrics_define(metrics, &histogram_def, &histograms, &err) != FB_OK)
    return false;
  for (int i = 0; i < 10; i++) {
    fb_slice value = {&"0123456789"[i], 1};
    if (fb_metric_counter(metric, &value, &counter, &err) != FB_OK) return false;
    uint64_t before = fb_counter_read(counter);
    fb_counter_add(counter, 5);
    assert_int_equal(fb_counter_read(counter), before + 5); /* with or without memory */
  }
  if (fb_metric_histogram(histograms, NULL, &histogram, &err) != FB_OK) return false;
  for (int i = 1; i <= 64; i *= 2) fb_histogram_record(histogram, i);
  return true;
}

/* What was recorded is counted or known to be dropped. */
static bool S_balanced(fb_metrics *metrics, const fb_allocator *allocator) {
  fb_distribution read;
  fb_distribution_init(&read, allocator);
  fb_histogram *histogram = NULL;
  fb_metric *histograms, *own;
  fb_counter *dropped;
  fb_metric_def def = {.name = "flyball_metrics_dropped",
                       .help = "Values of histograms for which there was no memory."};
  fb_metric_def histogram_def = {.kind = FB_METRIC_HISTOGRAM, .name = "h"};
  bool good = fb_metrics_define(metrics, &histogram_def, &histograms, NULL) == FB_OK &&
              fb_metric_histogram(histograms, NULL, &histogram, NULL) == FB_OK &&
              fb_metrics_define(metrics, &def, &own, NULL) == FB_OK &&
              fb_metric_counter(own, NULL, &dropped, NULL) == FB_OK &&
              fb_histogram_read(histogram, &read) == FB_OK;
  if (good) assert_int_equal(read.count + fb_counter_read(dropped), 7);
  fb_distribution_release(&read);
  return good;
}

static bool S_live_through(const fb_allocator *allocator) {
  fb_metrics *metrics = NULL;
  fb_error err;
  if (fb_metrics_new(&(fb_metrics_options){.allocator = allocator, .service = "s"}, &metrics,
                     &err) != FB_OK) {
    assert_null(metrics);
    return false;
  }
  bool good = S_record_all(metrics) && S_balanced(metrics, allocator);
  for (int format = FB_METRICS_PROMETHEUS; good && format <= FB_METRICS_OTLP; format++) {
    fb_buf out;
    fb_buf_init(&out, allocator, 0);
    fb_buf_text(&out, "before");
    bool before = !out.failed;
    good = fb_metrics_write(metrics, (fb_metrics_format)format, 0, &out, &err) == FB_OK;
    if (!good && before) assert_string_equal(out.ptr, "before");
    fb_buf_release(&out);
  }
  fb_metrics_free(metrics);
  return good;
}

static void test_no_memory(void **state) {
  fb_test_each_failure(S_live_through);
}

static void test_no_room(void **state) {
  fb_metrics *metrics = S_registry(0);
  for (int format = FB_METRICS_PROMETHEUS; format <= FB_METRICS_OTLP; format++) {
    fb_buf out;
    fb_buf_init(&out, NULL, 300);
    fb_error err = {0};
    assert_int_equal(fb_metrics_write(metrics, (fb_metrics_format)format, 0, &out, &err),
                     FB_E_NOMEM);
    assert_int_equal(out.len, 0);
    fb_buf_release(&out);
  }
  fb_metrics_free(metrics);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names),     cmocka_unit_test(test_definitions),
      cmocka_unit_test(test_series),    cmocka_unit_test(test_cardinality),
      cmocka_unit_test(test_order),     cmocka_unit_test(test_null_handles),
      cmocka_unit_test(test_gauges),    cmocka_unit_test(test_quantiles),
      cmocka_unit_test(test_edges),     cmocka_unit_test(test_outside),
      cmocka_unit_test(test_merge),     cmocka_unit_test(test_threads),
      cmocka_unit_test(test_no_memory), cmocka_unit_test(test_no_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
