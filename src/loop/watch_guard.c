/* SPDX-License-Identifier: Apache-2.0
 * Metrics of breakers, bulkheads and hedges: looked at when somebody scrapes. */
#include "loop/watch.h"

#include <pthread.h>

typedef enum S_kind { S_BREAKER, S_BULKHEAD, S_HEDGE } S_kind;

typedef struct S_watched S_watched;
struct S_watched {
  S_watched *next;
  S_kind kind;
  const void *what;
  fb_hedge_stats seen;
  fb_gauge *gauges[6];
  fb_counter *counters[4];
};

struct fb_guard_metrics {
  const fb_allocator *allocator;
  fb_metrics *metrics;
  const fb_clock *clock;
  pthread_mutex_t lock; /* around the list: scrapes come from other threads */
  S_watched *first;
};

enum { GAUGES = offsetof(S_watched, gauges), COUNTERS = offsetof(S_watched, counters) };

#define S_GAUGE(name, help, unit, number) \
  { FB_METRIC_GAUGE, name, help, unit, "name", NULL, NULL, GAUGES + (number) * sizeof(fb_gauge *) }
#define S_COUNTER(name, help, number)                        \
  {                                                          \
    FB_METRIC_COUNTER, name, help, NULL, "name", NULL, NULL, \
        COUNTERS + (number) * sizeof(fb_counter *)           \
  }

static const fb_watch_def S_breaker[] = {
    S_GAUGE("flyball_breaker_state",
            "1 closed, 2 open, 3 half open, 4 forced open, 5 forced closed, 6 disabled.", NULL, 0),
    S_GAUGE("flyball_breaker_window_calls", "Calls in the window.", NULL, 1),
    S_GAUGE("flyball_breaker_window_failures", "Failures in the window.", NULL, 2),
    S_GAUGE("flyball_breaker_window_slow", "Slow calls in the window.", NULL, 3),
    S_GAUGE("flyball_breaker_opened", "Times it opened in a row, without having closed.", NULL, 4),
    S_GAUGE("flyball_breaker_left_seconds", "Until probes may go.", "seconds", 5)};

static const fb_watch_def S_bulkhead[] = {
    S_GAUGE("flyball_bulkhead_in", "Calls within.", NULL, 0),
    S_GAUGE("flyball_bulkhead_waiting", "Calls that wait.", NULL, 1),
    S_GAUGE("flyball_bulkhead_limit", "Calls that may be within now.", NULL, 2)};

static const fb_watch_def S_hedge[] = {
    S_COUNTER("flyball_hedge_calls", "Calls begun.", 0),
    S_COUNTER("flyball_hedge_copies", "Copies sent.", 1),
    S_COUNTER("flyball_hedge_denied", "Copies that the budget did not allow.", 2),
    S_COUNTER("flyball_hedge_won", "Calls that a copy answered first.", 3)};

static void S_look_breaker(const S_watched *watched, int64_t now) {
  /* Its statistics may first move it on to half open, so it is not constant. */
  fb_breaker_stats stats = fb_breaker_statistics((fb_breaker *)watched->what, now);
  const double values[] = {(double)stats.state, (double)stats.calls,  (double)stats.failures,
                           (double)stats.slow,  (double)stats.opened, (double)stats.left / 1e9};
  for (int i = 0; i < 6; i++) fb_gauge_set(watched->gauges[i], values[i]);
}

static void S_look_bulkhead(const S_watched *watched) {
  fb_bulkhead_stats stats = fb_bulkhead_statistics(watched->what);
  fb_gauge_set(watched->gauges[0], stats.in);
  fb_gauge_set(watched->gauges[1], stats.waiting);
  fb_gauge_set(watched->gauges[2], stats.limit);
}

static void S_look_hedge(S_watched *watched) {
  fb_hedge_stats now = fb_hedge_statistics(watched->what);
  fb_watch_delta(watched->counters[0], now.calls, watched->seen.calls);
  fb_watch_delta(watched->counters[1], now.copies, watched->seen.copies);
  fb_watch_delta(watched->counters[2], now.denied, watched->seen.denied);
  fb_watch_delta(watched->counters[3], now.won, watched->seen.won);
  watched->seen = now;
}

static void S_look(S_watched *watched, int64_t now) {
  switch (watched->kind) {
    case S_BREAKER: S_look_breaker(watched, now); break;
    case S_BULKHEAD: S_look_bulkhead(watched); break;
    case S_HEDGE: S_look_hedge(watched); break;
  }
}

static void S_collect(void *context) {
  fb_guard_metrics *view = context;
  pthread_mutex_lock(&view->lock);
  int64_t now = view->clock->mono(view->clock->context);
  for (S_watched *watched = view->first; watched; watched = watched->next) S_look(watched, now);
  pthread_mutex_unlock(&view->lock);
}

fb_status fb_guard_metrics_new(fb_metrics *metrics, const fb_clock *clock,
                               const fb_allocator *allocator, fb_guard_metrics **ret,
                               fb_error *err) {
  fb_guard_metrics *view = fb_alloc_zero(allocator, sizeof *view);
  if (!view) return fb_fail(err, FB_E_NOMEM, "no memory for metrics");
  view->allocator = allocator;
  view->metrics = metrics;
  view->clock = clock ? clock : fb_clock_system();
  pthread_mutex_init(&view->lock, NULL);
  fb_status status = fb_metrics_on_scrape(metrics, S_collect, view, err);
  if (status == FB_OK)
    *ret = view;
  else
    fb_guard_metrics_free(view);
  return status;
}

void fb_guard_metrics_free(fb_guard_metrics *view) {
  if (!view) return;
  while (view->first) fb_guard_metrics_forget(view, view->first->what);
  pthread_mutex_destroy(&view->lock);
  fb_free(view->allocator, view, sizeof *view);
}

static fb_status S_watch(fb_guard_metrics *view, S_kind kind, const fb_watch_def *defs,
                         size_t count, fb_slice name, const void *what, fb_error *err) {
  S_watched *watched = fb_alloc_zero(view->allocator, sizeof *watched);
  if (!watched) return fb_fail(err, FB_E_NOMEM, "no memory for metrics");
  watched->kind = kind;
  watched->what = what;
  fb_status status = fb_watch_all(view->metrics, defs, count, name, watched, err);
  if (status != FB_OK) {
    fb_free(view->allocator, watched, sizeof *watched);
    return status;
  }
  pthread_mutex_lock(&view->lock);
  watched->next = view->first;
  view->first = watched;
  pthread_mutex_unlock(&view->lock);
  return FB_OK;
}

fb_status fb_guard_metrics_breaker(fb_guard_metrics *view, fb_slice name, fb_breaker *breaker,
                                   fb_error *err) {
  return S_watch(view, S_BREAKER, S_breaker, sizeof S_breaker / sizeof *S_breaker, name, breaker,
                 err);
}

fb_status fb_guard_metrics_bulkhead(fb_guard_metrics *view, fb_slice name,
                                    const fb_bulkhead *bulkhead, fb_error *err) {
  return S_watch(view, S_BULKHEAD, S_bulkhead, sizeof S_bulkhead / sizeof *S_bulkhead, name,
                 bulkhead, err);
}

fb_status fb_guard_metrics_hedge(fb_guard_metrics *view, fb_slice name, const fb_hedge *hedge,
                                 fb_error *err) {
  return S_watch(view, S_HEDGE, S_hedge, sizeof S_hedge / sizeof *S_hedge, name, hedge, err);
}

void fb_guard_metrics_forget(fb_guard_metrics *view, const void *watched) {
  pthread_mutex_lock(&view->lock);
  for (S_watched **at = &view->first, *one; (one = *at);) {
    if (one->what != watched) {
      at = &one->next;
      continue;
    }
    *at = one->next;
    S_look(one, view->clock->mono(view->clock->context)); /* what it did since the last scrape */
    fb_free(view->allocator, one, sizeof *one);
  }
  pthread_mutex_unlock(&view->lock);
}
