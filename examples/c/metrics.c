/* SPDX-License-Identifier: Apache-2.0
 * Metrics of a small program with two workers, printed as a Prometheus server would scrape them:
 *   cc metrics.c $(pkg-config --cflags --libs flyball) -lpthread -o metrics && ./metrics */
#include <flyball/metrics.h>

#include <pthread.h>
#include <stdio.h>

/* The handles: looked up once, used from any thread. */
static struct {
  fb_counter *done, *failed;
  fb_gauge *busy;
  fb_histogram *seconds;
} S_jobs;

static fb_status S_define(fb_metrics *metrics, fb_error *err) {
  static const char *const labels[] = {"result"};
  fb_metric_def done = {.kind = FB_METRIC_COUNTER,
                        .name = "jobs_done",
                        .help = "Jobs that came to an end.",
                        .labels = labels,
                        .label_count = 1};
  fb_metric_def busy = {
      .kind = FB_METRIC_GAUGE, .name = "workers_busy", .help = "Workers at work."};
  fb_metric_def seconds = {.kind = FB_METRIC_HISTOGRAM,
                           .name = "job_seconds",
                           .unit = "seconds",
                           .help = "How long jobs took."};
  fb_metric *metric;
  fb_status status = fb_metrics_define(metrics, &done, &metric, err);
  if (status == FB_OK)
    status = fb_metric_counter(metric, (fb_slice[]){FB_SLICE("good")}, &S_jobs.done, err);
  if (status == FB_OK)
    status = fb_metric_counter(metric, (fb_slice[]){FB_SLICE("bad")}, &S_jobs.failed, err);
  if (status == FB_OK) status = fb_metrics_define(metrics, &busy, &metric, err);
  if (status == FB_OK) status = fb_metric_gauge(metric, NULL, &S_jobs.busy, err);
  if (status == FB_OK) status = fb_metrics_define(metrics, &seconds, &metric, err);
  if (status == FB_OK) status = fb_metric_histogram(metric, NULL, &S_jobs.seconds, err);
  return status;
}

static void *S_worker(void *context) {
  const fb_clock *clock = fb_clock_system();
  (void)context;
  fb_gauge_add(S_jobs.busy, 1);
  for (int i = 0; i < 1000; i++) {
    int64_t start = clock->mono(clock->context);
    fb_counter_add(i % 100 ? S_jobs.done : S_jobs.failed, 1);
    fb_histogram_record(S_jobs.seconds, 1e-9 * (double)(clock->mono(clock->context) - start));
  }
  fb_gauge_add(S_jobs.busy, -1);
  return NULL;
}

int main(void) {
  fb_metrics *metrics = NULL;
  fb_error err = {0};
  pthread_t workers[2];
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  bool good = fb_metrics_new(NULL, &metrics, &err) == FB_OK && S_define(metrics, &err) == FB_OK;
  for (int i = 0; good && i < 2; i++) good = pthread_create(&workers[i], NULL, S_worker, NULL) == 0;
  for (int i = 0; good && i < 2; i++) good = pthread_join(workers[i], NULL) == 0;
  good = good && fb_metrics_write(metrics, FB_METRICS_PROMETHEUS, 0, &text, &err) == FB_OK;
  if (good) fputs(text.ptr, stdout);
  if (!good) fprintf(stderr, "metrics: %s\n", err.text);
  fb_buf_release(&text);
  fb_metrics_free(metrics);
  return good ? 0 : 1;
}
