/* SPDX-License-Identifier: Apache-2.0
 * CODE's circuit breaker and retry rows on the guard wing, with real waits. */
#include "harness.h"

#include <flyball/guard.h>

#include <time.h>

static void S_sleep_until(double ns) {
  double left = ns - now_ns();
  if (left <= 0) return;
  struct timespec time = {(time_t)(left / 1e9), (long)(left - 1e9 * (double)(time_t)(left / 1e9))};
  nanosleep(&time, NULL);
}

/* ── Breaker ── */

typedef struct S_service {
  fb_breaker *breaker;
  long every; /* each so manieth call fails; 0: none */
  long refused;
} S_service;

static void S_new_breaker(void *context) {
  S_service *service = context;
  fb_breaker_config config = fb_breaker_config_default();
  config.consecutive = 5;
  config.failure_rate = 0.2; /* a fifth of the calls: it opens once there are enough of them */
  config.window_calls = 100;
  config.minimum = 25;
  config.wait = INT64_C(10000000000);
  fb_breaker_free(service->breaker);
  service->refused = 0;
  if (fb_breaker_new(&config, NULL, &service->breaker, NULL)) abort();
}

static bool S_call(void *context, long i) {
  S_service *service = context;
  int64_t now = (int64_t)now_ns();
  fb_permit permit = fb_breaker_admit(service->breaker, now);
  bool fails = service->every && i % service->every == 0;
  if (!permit) {
    service->refused++;
    return service->every != 0; /* a healthy service is never refused */
  }
  fb_breaker_record(service->breaker, permit, fails ? FB_RESULT_FAILED : FB_RESULT_OK, 100, now);
  return true;
}

/* A call each millisecond; from a moment on all fail, later all are well again. How long until it opens, and
 * how long until it is closed again, with a wait of half a second (CODE's is 60 s). */
static void S_outage(void) {
  double detect[REPEATS], recover[REPEATS];
  for (int r = 0; r < REPEATS; r++) {
    fb_breaker_config config = {.consecutive = 5, .wait = INT64_C(500000000), .probes = 3};
    fb_breaker *breaker;
    if (fb_breaker_new(&config, NULL, &breaker, NULL)) abort();
    double failing = 0, well = 0;
    detect[r] = recover[r] = 0;
    for (long i = 0; recover[r] == 0 && i < 5000; i++) {
      double now = now_ns();
      if (i == 100) failing = now;
      fb_permit permit = fb_breaker_admit(breaker, (int64_t)now);
      bool fails = failing > 0 && well == 0;
      if (permit)
        fb_breaker_record(breaker, permit, fails ? FB_RESULT_FAILED : FB_RESULT_OK, 1000,
                          (int64_t)now_ns());
      fb_breaker_state state = fb_breaker_statistics(breaker, (int64_t)now_ns()).state;
      if (failing > 0 && detect[r] == 0 && state == FB_BREAKER_OPEN)
        detect[r] = now_ns() - failing, well = now_ns();
      else if (well > 0 && state == FB_BREAKER_CLOSED)
        recover[r] = now_ns() - well;
      S_sleep_until(now + 1e6);
    }
    fb_breaker_free(breaker);
    if (recover[r] == 0) {
      fprintf(stderr, "code/breaker outage: it did not recover: not measured\n");
      return;
    }
  }
  print_samples("code", "breaker outage", "detect_time", "ns", detect, REPEATS);
  print_samples("code", "breaker outage", "recover_time", "ns", recover, REPEATS);
}

/* ── Retry ── */

typedef struct S_task {
  fb_retry retry;
  double at; /* of the next attempt */
  bool ended, good;
} S_task;

typedef struct S_retries {
  long tasks, sequential; /* sequential: one after the other */
  double success;         /* of an attempt */
  fb_retry_policy policy;
} S_retries;

static void S_attempt(S_task *task, double success, fb_random *random) {
  int64_t wait = 0, now = (int64_t)now_ns();
  fb_attempt attempt = {.ok = fb_random_unit(random) < success};
  fb_retry_verdict verdict = fb_retry_next(&task->retry, attempt, now, &wait);
  task->ended = verdict != FB_RETRY_AGAIN;
  task->good = verdict == FB_RETRY_SUCCEEDED;
  task->at = (double)(now + wait);
}

/* All at once: whoever is due is tried, then it sleeps until the next. Returns how many came to a good end. */
static long S_run_tasks(S_task *tasks, long count, const S_retries *how, fb_random *random) {
  long good = 0, open = count;
  for (long i = 0; i < count; i++) {
    fb_retry_begin(&tasks[i].retry, &how->policy, random, (int64_t)now_ns());
    tasks[i].at = 0;
    tasks[i].ended = false;
  }
  while (open) {
    double next = 1e300, now = now_ns();
    for (long i = 0; i < count; i++) {
      if (tasks[i].ended) continue;
      if (tasks[i].at <= now) S_attempt(&tasks[i], how->success, random);
      if (tasks[i].ended) {
        open--;
        good += tasks[i].good;
      } else if (tasks[i].at < next) {
        next = tasks[i].at;
      }
    }
    if (open) S_sleep_until(next);
  }
  return good;
}

static void S_retry(const char *name, const S_retries *how) {
  static work w;
  static S_task tasks[500];
  double share[REPEATS];
  fb_random random;
  work_begin(&w, "code", name);
  fb_random_seed(&random, 1);
  for (int r = 0; r < REPEATS; r++) {
    double start = now_ns();
    long good = 0;
    if (how->sequential)
      for (long i = 0; i < how->tasks; i++) good += S_run_tasks(tasks, 1, how, &random);
    else
      good = S_run_tasks(tasks, how->tasks, how, &random);
    work_end_repeat(&w, (double)how->tasks, now_ns() - start);
    share[r] = 100.0 * (double)good / (double)how->tasks;
  }
  work_print(&w);
  print_samples("code", name, "success", "%", share, REPEATS);
}

void code_guard(void) {
  static work w;
  S_service service = {0};
  work_run(&w, "code", "breaker normal", 3000, S_call, S_new_breaker, NULL, &service);
  service.every = 5;
  work_run(&w, "code", "breaker failing", 1000, S_call, S_new_breaker, NULL, &service);
  double refused = (double)service.refused / 10;
  print_samples("code", "breaker failing", "refused", "%", &refused, 1);
  fb_breaker_free(service.breaker);
  S_outage();
  S_retries exponential = {.tasks = 500,
                           .success = 0.8,
                           .policy = {.backoff = FB_BACKOFF_EXPONENTIAL,
                                      .jitter = FB_JITTER_NONE,
                                      .attempts = 4,
                                      .base = INT64_C(100000000)}};
  S_retry("retry exponential", &exponential);
  S_retries fixed = {.tasks = 200,
                     .sequential = true,
                     .success = 0.6,
                     .policy = {.backoff = FB_BACKOFF_FIXED,
                                .jitter = FB_JITTER_NONE,
                                .attempts = 3,
                                .base = INT64_C(10000000)}};
  S_retry("retry fixed", &fixed);
}
