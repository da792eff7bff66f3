/* SPDX-License-Identifier: Apache-2.0
 * Hot paths of the library, so and so often, for counting their instructions: ops WHAT TIMES */
#include <flyball/guard.h>
#include <flyball/metrics.h>
#include <flyball/proof.h>

#include <stdio.h>
#include <stdlib.h>

static void S_fail(const char *what) {
  fprintf(stderr, "ops: %s\n", what);
  exit(1);
}

static void S_metrics(long times) {
  fb_metric_def counter_def = {.kind = FB_METRIC_COUNTER, .name = "done"};
  fb_metric_def histogram_def = {
      .kind = FB_METRIC_HISTOGRAM, .name = "took_seconds", .unit = "seconds"};
  fb_metrics *metrics;
  fb_metric *metric;
  fb_counter *counter;
  fb_histogram *histogram;
  fb_buf out;
  if (fb_metrics_new(NULL, &metrics, NULL) ||
      fb_metrics_define(metrics, &counter_def, &metric, NULL) ||
      fb_metric_counter(metric, NULL, &counter, NULL) ||
      fb_metrics_define(metrics, &histogram_def, &metric, NULL) ||
      fb_metric_histogram(metric, NULL, &histogram, NULL))
    S_fail("no metrics");
  for (long i = 0; i < times; i++) {
    fb_counter_add(counter, 1);
    fb_histogram_record(histogram, (double)(i & 1023) * 1e-4);
  }
  if (fb_counter_read(counter) != (uint64_t)times) S_fail("the counter is wrong");
  fb_buf_init(&out, NULL, 0);
  if (fb_metrics_write(metrics, FB_METRICS_PROMETHEUS, 0, &out, NULL)) S_fail("no scrape");
  fb_buf_release(&out);
  fb_metrics_free(metrics);
}

static void S_guard(long times) {
  fb_breaker_config config = fb_breaker_config_default();
  fb_retry_policy policy = fb_retry_policy_default();
  fb_random random;
  fb_breaker *breaker;
  long open = 0;
  config.stripes = 1;
  fb_random_seed(&random, 1);
  if (fb_breaker_new(&config, NULL, &breaker, NULL)) S_fail("no breaker");
  for (long i = 0; i < times; i++) {
    int64_t now = i * 1000000, wait;
    fb_permit permit = fb_breaker_admit(breaker, now);
    fb_result result = i % 1000 < 20 ? FB_RESULT_FAILED : FB_RESULT_OK;
    fb_retry retry;
    open += !permit;
    if (permit) fb_breaker_record(breaker, permit, result, 1000, now + 1000);
    fb_retry_begin(&retry, &policy, &random, now);
    fb_retry_next(&retry, (fb_attempt){.ok = result == FB_RESULT_OK}, now, &wait);
  }
  if (!open) S_fail("the breaker never opened");
  fb_breaker_free(breaker);
}

static void S_proof(long times) {
  double a[40], b[40];
  fb_random random;
  fb_bootstrap bootstrap;
  fb_random_seed(&random, 1);
  for (long i = 0; i < times; i++) {
    for (int k = 0; k < 40; k++) {
      a[k] = 1 + fb_random_unit(&random) / 10;
      b[k] = 1.05 + fb_random_unit(&random) / 10;
    }
    if (fb_bootstrap_ratio(a, 40, b, 40, false, 0, &random, NULL, &bootstrap, NULL))
      S_fail("no ratio");
    if (fb_bootstrap_above(&bootstrap, 1.0) < 0.5) S_fail("the ratio is wrong");
    fb_bootstrap_release(&bootstrap);
  }
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(long times);
  } all[] = {{"metrics", S_metrics}, {"guard", S_guard}, {"proof", S_proof}};
  for (size_t i = 0; argc == 3 && i < sizeof all / sizeof *all; i++)
    if (!strcmp(argv[1], all[i].name)) {
      all[i].run(strtol(argv[2], NULL, 10));
      return 0;
    }
  fprintf(stderr, "usage: ops metrics|guard|proof TIMES\n");
  return 2;
}
