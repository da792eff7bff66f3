/* SPDX-License-Identifier: Apache-2.0
 * The circuit breaker: tables of states, random sequences beside a naive one, threads. */
#include "test.h"

#include <flyball/guard.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static fb_breaker *S_new(fb_breaker_config config) {
  fb_breaker *breaker = NULL;
  fb_error err;
  if (fb_breaker_new(&config, NULL, &breaker, &err) != FB_OK) fail_msg("%s", err.text);
  return breaker;
}

static fb_breaker_state S_state(fb_breaker *breaker) {
  return fb_breaker_statistics(breaker, 0).state;
}

/* One call that takes no time; false when it was refused. */
static bool S_call(fb_breaker *breaker, fb_result result, int64_t now) {
  fb_permit permit = fb_breaker_admit(breaker, now);
  if (permit) fb_breaker_record(breaker, permit, result, 0, now);
  return permit != 0;
}

/* "+" good, "-" failed, "i" ignored, "s" slow, "x" failed and slow: each let through. */
static void S_calls(fb_breaker *breaker, const char *calls, int64_t now) {
  for (; *calls; calls++) {
    fb_permit permit = fb_breaker_admit(breaker, now);
    assert_int_not_equal(permit, 0);
    fb_breaker_record(breaker, permit,
                      strchr("-x", *calls) ? FB_RESULT_FAILED
                      : *calls == 'i'      ? FB_RESULT_IGNORED
                                           : FB_RESULT_OK,
                      strchr("sx", *calls) ? 1000 : 1, now);
  }
}

/* ── When it opens ── */

static void test_opens(void **state) {
  (void)state;
  const fb_breaker_config row = {.consecutive = 3};
  const fb_breaker_config calls = {.window_calls = 6, .failure_rate = 0.5, .minimum = 4};
  const fb_breaker_config slow = {
      .window_calls = 4, .slow_rate = 0.5, .slow_after = 1000, .minimum = 2};
  const fb_breaker_config both = {
      .window_calls = 10, .failure_rate = 0.5, .minimum = 6, .consecutive = 3};
  const struct {
    const fb_breaker_config *config;
    const char *calls; /* the last one decides */
    bool opens;
  } table[] = {
      {&row, "---", true},           {&row, "--", false},        {&row, "--+--", false},
      {&row, "--i-", true},          {&row, "--+---", true},     {&row, "++++", false},
      {&calls, "---", false},        {&calls, "----", true},     {&calls, "---+", true},
      {&calls, "--++", true},        {&calls, "-+++", false},    {&calls, "-+++-", false},
      {&calls, "-+++--", true},      {&calls, "+++++--", false}, {&calls, "+++++---", true},
      {&calls, "-+++++++--", false}, {&calls, "---iiii", false}, {&slow, "+s", true},
      {&slow, "s", false},           {&slow, "++s", false},      {&slow, "++ss", true},
      {&slow, "--", false},          {&slow, "+x", true},        {&slow, "s+", true},
      {&both, "---", true},          {&both, "--+--", false},    {&both, "--+--+", true},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    fb_breaker *breaker = S_new(*table[i].config);
    S_calls(breaker, table[i].calls, 5);
    if ((S_state(breaker) == FB_BREAKER_OPEN) != table[i].opens)
      fail_msg("row %zu: %s", i, table[i].calls);
    fb_breaker_free(breaker);
  }
}

static void test_window_of_time(void **state) {
  (void)state;
  fb_breaker *breaker = S_new(
      (fb_breaker_config){.window_time = 10000, .buckets = 5, .failure_rate = 0.5, .minimum = 4});
  S_calls(breaker, "---", 0);
  fb_breaker_stats stats = fb_breaker_statistics(breaker, 9999);
  assert_int_equal(stats.calls, 3);
  assert_int_equal(stats.failures, 3);
  stats = fb_breaker_statistics(breaker, 10000); /* the bucket from 0 to 1999 is out */
  assert_int_equal(stats.calls, 0);
  S_calls(breaker, "++", 10000);
  S_calls(breaker, "--", 11000);
  assert_int_equal(S_state(breaker), FB_BREAKER_OPEN);
  fb_breaker_free(breaker);
}

/* Good calls that grow old leave the failures alone: the next call, though good, opens it. */
static void test_rate_rises_by_time(void **state) {
  (void)state;
  fb_breaker *breaker = S_new(
      (fb_breaker_config){.window_time = 10000, .buckets = 5, .failure_rate = 0.5, .minimum = 3});
  S_calls(breaker, "+++++", 0);
  S_calls(breaker, "--", 8000);
  assert_int_equal(S_state(breaker), FB_BREAKER_CLOSED);
  S_calls(breaker, "+", 10000);
  assert_int_equal(S_state(breaker), FB_BREAKER_OPEN);
  fb_breaker_free(breaker);
}

static void test_clock_steps_back(void **state) {
  (void)state;
  fb_breaker *breaker = S_new((fb_breaker_config){
      .window_time = 10000, .buckets = 5, .failure_rate = 0.5, .minimum = 4, .wait = 500});
  S_calls(breaker, "--", 50000);
  S_calls(breaker, "+", 1000);
  S_calls(breaker, "-", -77);
  assert_int_equal(S_state(breaker), FB_BREAKER_OPEN);
  assert_false(S_call(breaker, FB_RESULT_OK, -1000000));
  fb_breaker_free(breaker);
}

/* ── Waits ── */

static void test_wait_grows(void **state) {
  (void)state;
  fb_breaker *breaker =
      S_new((fb_breaker_config){.consecutive = 1, .wait = 100, .wait_factor = 2, .wait_max = 500});
  const int64_t waits[] = {100, 200, 400, 500, 500};
  int64_t now = 0;
  for (size_t i = 0; i < COUNT(waits); i++) {
    S_calls(breaker, "-", now);
    assert_int_equal(fb_breaker_left(breaker, now), waits[i]);
    assert_int_equal(fb_breaker_statistics(breaker, now).opened, i + 1);
    assert_int_equal(fb_breaker_admit(breaker, now + waits[i] - 1), 0);
    now += waits[i];
  }
  S_calls(breaker, "+", now);
  assert_int_equal(S_state(breaker), FB_BREAKER_CLOSED);
  S_calls(breaker, "-", now);
  assert_int_equal(fb_breaker_left(breaker, now), 100);
  fb_breaker_free(breaker);
}

static void test_wait_jitter(void **state) {
  (void)state;
  int64_t least = INT64_MAX, most = 0;
  for (uint64_t seed = 0; seed < 300; seed++) {
    fb_breaker *breaker = S_new(
        (fb_breaker_config){.consecutive = 1, .wait = 10000, .wait_jitter = 0.2, .seed = seed});
    S_calls(breaker, "-", 0);
    int64_t left = fb_breaker_left(breaker, 0);
    assert_in_range(left, 8000, 12000);
    if (left < least) least = left;
    if (left > most) most = left;
    fb_breaker_free(breaker);
  }
  assert_true(least < 8200 && most > 11800);
}

/* ── Half open ── */

static fb_breaker *S_opened(fb_breaker_config config, int64_t *ret_until) {
  config.consecutive = 1;
  fb_breaker *breaker = S_new(config);
  S_calls(breaker, "-", 0);
  *ret_until = fb_breaker_left(breaker, 0);
  return breaker;
}

static void test_probes(void **state) {
  (void)state;
  int64_t until;
  fb_breaker *breaker =
      S_opened((fb_breaker_config){.wait = 100, .probes = 2, .close_after = 3}, &until);
  fb_permit one = fb_breaker_admit(breaker, until), two = fb_breaker_admit(breaker, until);
  assert_true(one && two);
  assert_int_equal(fb_breaker_admit(breaker, until), 0);
  fb_breaker_record(breaker, one, FB_RESULT_IGNORED, 0, until); /* the slot is free again */
  one = fb_breaker_admit(breaker, until);
  assert_int_not_equal(one, 0);
  assert_int_equal(fb_breaker_statistics(breaker, until).probes, 2);
  fb_breaker_record(breaker, one, FB_RESULT_OK, 0, until);
  fb_breaker_record(breaker, two, FB_RESULT_OK, 0, until);
  assert_int_equal(S_state(breaker), FB_BREAKER_HALF_OPEN);
  fb_breaker_record(breaker, two, FB_RESULT_OK, 0, until); /* twice: there is none in flight */
  assert_int_equal(S_state(breaker), FB_BREAKER_HALF_OPEN);
  S_calls(breaker, "+", until);
  assert_int_equal(S_state(breaker), FB_BREAKER_CLOSED);
  fb_breaker_free(breaker);
}

static void test_late_results(void **state) {
  (void)state;
  fb_breaker *breaker = S_new((fb_breaker_config){.consecutive = 1, .wait = 100});
  fb_permit late = fb_breaker_admit(breaker, 0);
  S_calls(breaker, "-", 0);
  fb_permit probe = fb_breaker_admit(breaker, 100);
  fb_breaker_record(breaker, late, FB_RESULT_OK, 0, 100); /* is no probe: closes nothing */
  assert_int_equal(S_state(breaker), FB_BREAKER_HALF_OPEN);
  fb_breaker_record(breaker, probe, FB_RESULT_OK, 0, 100);
  assert_int_equal(S_state(breaker), FB_BREAKER_CLOSED);
  fb_breaker_record(breaker, late, FB_RESULT_FAILED, 0, 100);
  fb_breaker_record(breaker, probe, FB_RESULT_FAILED, 0, 100);
  fb_breaker_record(breaker, 0, FB_RESULT_FAILED, 0, 100);
  assert_int_equal(S_state(breaker), FB_BREAKER_CLOSED);
  fb_breaker_free(breaker);
}

static void test_lost_probes(void **state) {
  (void)state;
  int64_t until;
  fb_breaker *breaker = S_opened((fb_breaker_config){.wait = 100, .probe_time = 50}, &until);
  assert_int_not_equal(fb_breaker_admit(breaker, until), 0);
  assert_int_equal(fb_breaker_admit(breaker, until + 49), 0);
  assert_int_equal(S_state(breaker), FB_BREAKER_HALF_OPEN);
  assert_int_equal(fb_breaker_admit(breaker, until + 50), 0);
  assert_int_equal(S_state(breaker), FB_BREAKER_OPEN);
  S_calls(breaker, "+", until + 150);
  assert_int_equal(S_state(breaker), FB_BREAKER_CLOSED);
  fb_breaker_free(breaker);
}

static void test_slow_probe(void **state) {
  (void)state;
  fb_breaker *breaker = S_new((fb_breaker_config){
      .window_calls = 4, .slow_rate = 0.5, .slow_after = 1000, .minimum = 2, .wait = 100});
  S_calls(breaker, "ss", 0);
  S_calls(breaker, "s", 100);
  assert_int_equal(S_state(breaker), FB_BREAKER_OPEN);
  S_calls(breaker, "+", 200);
  assert_int_equal(S_state(breaker), FB_BREAKER_CLOSED);
  S_calls(breaker, "s", 200); /* an empty window again: one is below the minimum */
  assert_int_equal(S_state(breaker), FB_BREAKER_CLOSED);
  fb_breaker_free(breaker);
}

/* ── By hand, and events ── */

typedef struct S_heard {
  fb_breaker *breaker;
  fb_breaker_event events[32];
  size_t count;
} S_heard;

static void S_hear(void *context, const fb_breaker_event *event) {
  S_heard *heard = context;
  if (heard->count < COUNT(heard->events)) heard->events[heard->count++] = *event;
  /* No lock is held: else this would never come back. */
  if (heard->breaker && event->to == FB_BREAKER_HALF_OPEN)
    fb_breaker_force(heard->breaker, FB_BREAKER_FORCED_OPEN, event->at);
}

static void test_events(void **state) {
  (void)state;
  S_heard heard = {0};
  fb_breaker *breaker =
      S_new((fb_breaker_config){.consecutive = 2, .wait = 100, .event = S_hear, .context = &heard});
  S_calls(breaker, "--", 7);
  S_calls(breaker, "-", 107);
  S_calls(breaker, "+", 207);
  fb_breaker_force(breaker, FB_BREAKER_DISABLED, 300);
  const struct {
    fb_breaker_state from, to;
    fb_breaker_reason reason;
    int64_t at, wait;
  } expected[] = {
      {FB_BREAKER_CLOSED, FB_BREAKER_OPEN, FB_BREAKER_BY_CONSECUTIVE, 7, 100},
      {FB_BREAKER_OPEN, FB_BREAKER_HALF_OPEN, FB_BREAKER_BY_WAIT, 107, 0},
      {FB_BREAKER_HALF_OPEN, FB_BREAKER_OPEN, FB_BREAKER_BY_PROBE, 107, 100},
      {FB_BREAKER_OPEN, FB_BREAKER_HALF_OPEN, FB_BREAKER_BY_WAIT, 207, 0},
      {FB_BREAKER_HALF_OPEN, FB_BREAKER_CLOSED, FB_BREAKER_BY_PROBES, 207, 0},
      {FB_BREAKER_CLOSED, FB_BREAKER_DISABLED, FB_BREAKER_BY_HAND, 300, 0},
  };
  assert_int_equal(heard.count, COUNT(expected));
  for (size_t i = 0; i < COUNT(expected); i++) {
    assert_int_equal(heard.events[i].from, expected[i].from);
    assert_int_equal(heard.events[i].to, expected[i].to);
    assert_int_equal(heard.events[i].reason, expected[i].reason);
    assert_int_equal(heard.events[i].at, expected[i].at);
    assert_int_equal(heard.events[i].wait, expected[i].wait);
    assert_int_equal(heard.events[i].generation, i + 1);
  }
  fb_breaker_free(breaker);
}

static void test_event_calls_back(void **state) {
  (void)state;
  S_heard heard = {0};
  fb_breaker *breaker =
      S_new((fb_breaker_config){.consecutive = 1, .wait = 100, .event = S_hear, .context = &heard});
  heard.breaker = breaker;
  S_calls(breaker, "-", 0);
  fb_permit probe = fb_breaker_admit(breaker, 100);
  assert_int_equal(S_state(breaker), FB_BREAKER_FORCED_OPEN);
  fb_breaker_record(breaker, probe, FB_RESULT_OK, 0, 100);
  assert_int_equal(S_state(breaker), FB_BREAKER_FORCED_OPEN);
  fb_breaker_free(breaker);
}

static void test_by_hand(void **state) {
  (void)state;
  fb_breaker *breaker =
      S_new((fb_breaker_config){.window_calls = 4, .failure_rate = 0.5, .wait = 100});
  assert_int_equal(fb_breaker_force(breaker, FB_BREAKER_HALF_OPEN, 0), FB_E_USAGE);
  assert_int_equal(fb_breaker_force(breaker, (fb_breaker_state)0, 0), FB_E_USAGE);
  fb_breaker_force(breaker, FB_BREAKER_FORCED_OPEN, 0);
  assert_false(S_call(breaker, FB_RESULT_OK, 1000000));
  assert_int_equal(fb_breaker_left(breaker, 1000000), FB_NEVER);
  fb_breaker_force(breaker, FB_BREAKER_FORCED_CLOSED, 0);
  S_calls(breaker, "-----", 0);
  assert_int_equal(fb_breaker_statistics(breaker, 0).failures, 4);
  assert_int_equal(S_state(breaker), FB_BREAKER_FORCED_CLOSED);
  fb_breaker_force(breaker, FB_BREAKER_DISABLED, 0);
  S_calls(breaker, "-----", 0);
  assert_int_equal(fb_breaker_statistics(breaker, 0).calls, 0);
  fb_breaker_force(breaker, FB_BREAKER_OPEN, 0);
  assert_false(S_call(breaker, FB_RESULT_OK, 99));
  S_calls(breaker, "+", 100);
  assert_int_equal(S_state(breaker), FB_BREAKER_CLOSED);
  S_calls(breaker, "-", 100);
  assert_int_equal(S_state(breaker), FB_BREAKER_OPEN);
  fb_breaker_force(breaker, FB_BREAKER_CLOSED, 100);
  assert_int_equal(fb_breaker_statistics(breaker, 100).calls, 0);
  fb_breaker_free(breaker);
}

/* ── Configurations ── */

static void test_refused(void **state) {
  (void)state;
  const fb_breaker_config bad[] = {
      {.window_calls = 5, .window_time = 10000000, .failure_rate = 0.5},
      {.window_calls = 1000001, .failure_rate = 0.5},
      {.window_calls = 5},
      {.failure_rate = 0.5},
      {.window_calls = 5, .failure_rate = 1.1},
      {.window_calls = 5, .slow_rate = 0.5},
      {.window_calls = 5, .failure_rate = 0.5, .minimum = 6},
      {.window_time = 100, .failure_rate = 0.5},
      {.window_time = -5, .failure_rate = 0.5},
      {.window_time = 1000000, .buckets = 1, .failure_rate = 0.5},
      {.window_time = 1000000, .buckets = 64, .failure_rate = 0.5},
      {.consecutive = 1, .wait = -1},
      {.consecutive = 1, .wait = 10, .wait_max = 9},
      {.consecutive = 1, .wait_factor = 0.9},
      {.consecutive = 1, .wait_jitter = 1.5},
      {.consecutive = 1, .probes = 65536},
      {.consecutive = 1, .stripes = 3},
      {.consecutive = 1, .stripes = 128},
  };
  for (size_t i = 0; i < COUNT(bad); i++) {
    fb_error err;
    fb_breaker *breaker = NULL;
    if (fb_breaker_new(&bad[i], NULL, &breaker, &err) != FB_E_USAGE) fail_msg("row %zu", i);
    assert_null(breaker);
  }
}

static bool S_create(const fb_allocator *allocator) {
  fb_breaker_config config = fb_breaker_config_default();
  fb_breaker *breaker = NULL;
  fb_status status = fb_breaker_new(&config, allocator, &breaker, NULL);
  if (status == FB_OK) S_calls(breaker, "++-+-----", 0);
  fb_breaker_free(breaker);
  return status == FB_OK;
}

static void test_memory(void **state) {
  (void)state;
  fb_test_each_failure(S_create);
  fb_breaker_free(NULL);
}

static void test_names(void **state) {
  (void)state;
  for (int i = FB_BREAKER_CLOSED; i <= FB_BREAKER_DISABLED; i++)
    assert_string_not_equal(fb_breaker_state_name((fb_breaker_state)i), "?");
  for (int i = 0; i <= FB_BREAKER_BY_HAND; i++)
    assert_string_not_equal(fb_breaker_reason_name((fb_breaker_reason)i), "?");
}

/* ── Beside a naive one ── */

/* Keeps every call and looks through all of them each time. */
typedef struct S_model {
  const fb_breaker_config *config;
  struct {
    int64_t at;
    bool failed, slow;
  } calls[4000];
  size_t count;
  uint32_t row, in_flight, good, generation;
  fb_breaker_state state;
  int64_t until, wait;
} S_model;

static void S_model_enter(S_model *model, fb_breaker_state state, int64_t now) {
  model->state = state;
  model->generation++;
  if (state == FB_BREAKER_OPEN) {
    model->until = now + model->wait;
    model->wait = model->wait * 2 < 5000 ? model->wait * 2 : 5000;
  } else if (state == FB_BREAKER_HALF_OPEN) {
    model->in_flight = model->good = 0;
  } else {
    model->count = model->row = 0;
    model->wait = model->config->wait;
  }
}

static bool S_model_admit(S_model *model, int64_t now) {
  if (model->state == FB_BREAKER_OPEN && now >= model->until)
    S_model_enter(model, FB_BREAKER_HALF_OPEN, now);
  if (model->state == FB_BREAKER_HALF_OPEN) {
    if (model->in_flight == model->config->probes) return false;
    model->in_flight++;
  }
  return model->state != FB_BREAKER_OPEN;
}

static void S_model_window(const S_model *model, int64_t now, uint64_t out[3]) {
  const fb_breaker_config *config = model->config;
  memset(out, 0, 3 * sizeof *out);
  for (size_t i = 0; i < model->count; i++) {
    int64_t width = config->window_time ? config->window_time / config->buckets : 1;
    if (config->window_calls && model->count - i > config->window_calls) continue;
    if (config->window_time && now / width - model->calls[i].at / width >= config->buckets)
      continue;
    out[0]++;
    out[1] += model->calls[i].failed;
    out[2] += model->calls[i].slow;
  }
}

static void S_model_record(S_model *model, uint32_t generation, char call, int64_t now) {
  const fb_breaker_config *config = model->config;
  bool failed = call == '-' || call == 'x',
       slow = (call == 's' || call == 'x') && config->slow_rate > 0;
  if (generation != model->generation) return;
  if (model->state == FB_BREAKER_HALF_OPEN) {
    model->in_flight--;
    if (call == 'i') return;
    if (failed || slow)
      S_model_enter(model, FB_BREAKER_OPEN, now);
    else if (++model->good >= config->close_after)
      S_model_enter(model, FB_BREAKER_CLOSED, now);
    return;
  }
  if (call == 'i') return;
  model->calls[model->count].at = now;
  model->calls[model->count].failed = failed;
  model->calls[model->count++].slow = slow;
  model->row = failed ? model->row + 1 : 0;
  uint64_t window[3];
  S_model_window(model, now, window);
  bool enough = window[0] && window[0] >= config->minimum;
  if ((config->consecutive && model->row >= config->consecutive) ||
      (enough && config->failure_rate > 0 &&
       (double)window[1] >= config->failure_rate * (double)window[0]) ||
      (enough && config->slow_rate > 0 &&
       (double)window[2] >= config->slow_rate * (double)window[0]))
    S_model_enter(model, FB_BREAKER_OPEN, now);
}

static fb_breaker_config S_random_config(fb_random *random) {
  const double rates[] = {0.25, 0.5, 0.75, 1};
  fb_breaker_config config = {.wait = 300, .wait_factor = 2, .wait_max = 5000};
  config.probes = 1 + (uint32_t)fb_random_below(random, 3);
  config.close_after = 1 + (uint32_t)fb_random_below(random, 4);
  uint64_t kind = fb_random_below(random, 3);
  if (kind == 0 || fb_random_below(random, 3) == 0)
    config.consecutive = 2 + (uint32_t)fb_random_below(random, 6);
  if (kind == 1) config.window_calls = 1 + (uint32_t)fb_random_below(random, 30);
  if (kind == 2) {
    config.buckets = 2 + (uint32_t)fb_random_below(random, 12);
    config.window_time = 1000 * config.buckets;
  }
  if (kind) config.failure_rate = rates[fb_random_below(random, 4)];
  if (kind && fb_random_below(random, 2)) {
    config.slow_rate = rates[fb_random_below(random, 4)];
    config.slow_after = 1000;
  }
  if (kind)
    config.minimum = 1 + (uint32_t)fb_random_below(random, kind == 1 ? config.window_calls : 20);
  return config;
}

static void S_run_beside(fb_random *random, S_model *model) {
  static const char calls[] = "++++++---sxi";
  fb_breaker_config config = S_random_config(random);
  fb_breaker *breaker = S_new(config);
  struct {
    fb_permit permit;
    uint32_t generation;
  } flying[8];
  size_t in_flight = 0;
  int64_t now = 0;
  *model = (S_model){.config = &config, .state = FB_BREAKER_CLOSED, .wait = config.wait};
  uint64_t hurry = 1 + fb_random_below(random, 900);
  for (int step = 0; step < 1500; step++) {
    now += (int64_t)fb_random_below(random, hurry);
    if (in_flight < COUNT(flying) && fb_random_below(random, 2)) {
      fb_permit permit = fb_breaker_admit(breaker, now);
      assert_int_equal(permit != 0, S_model_admit(model, now));
      if (permit) {
        flying[in_flight].permit = permit;
        flying[in_flight++].generation = model->generation;
      }
    } else if (in_flight) {
      size_t which = fb_random_below(random, in_flight);
      char call = calls[fb_random_below(random, sizeof calls - 1)];
      fb_breaker_record(breaker, flying[which].permit,
                        strchr("-x", call) ? FB_RESULT_FAILED
                        : call == 'i'      ? FB_RESULT_IGNORED
                                           : FB_RESULT_OK,
                        strchr("sx", call) ? 1000 : 999, now);
      S_model_record(model, flying[which].generation, call, now);
      flying[which] = flying[--in_flight];
    }
    fb_breaker_stats stats = fb_breaker_statistics(breaker, now);
    assert_int_equal(stats.state, model->state);
    assert_int_equal(stats.generation, model->generation);
    if (model->state != FB_BREAKER_CLOSED || config.failure_rate == 0) continue;
    uint64_t window[3];
    S_model_window(model, now, window);
    assert_int_equal(stats.calls, window[0]);
    assert_int_equal(stats.failures, window[1]);
    assert_int_equal(stats.slow, window[2]);
  }
  fb_breaker_free(breaker);
}

static void test_beside_naive(void **state) {
  (void)state;
  static S_model model;
  fb_random random;
  fb_random_seed(&random, 42);
  for (int run = 0; run < 150; run++) S_run_beside(&random, &model);
}

/* ── Threads ── */

typedef struct S_crowd {
  fb_breaker *breaker;
  _Atomic int in_flight, most;
  _Atomic int64_t now;
  _Atomic uint64_t done;
  fb_result result;
  int rounds;
} S_crowd;

static void *S_probe(void *context) {
  S_crowd *crowd = context;
  for (int i = 0; i < crowd->rounds; i++) {
    fb_permit permit = fb_breaker_admit(crowd->breaker, atomic_load(&crowd->now));
    if (!permit) continue;
    int now_in = atomic_fetch_add(&crowd->in_flight, 1) + 1, most = atomic_load(&crowd->most);
    while (now_in > most && !atomic_compare_exchange_weak(&crowd->most, &most, now_in)) {
    }
    if (i % 16 == 0) sched_yield();
    atomic_fetch_sub(&crowd->in_flight, 1);
    fb_breaker_record(crowd->breaker, permit, crowd->result, 0, atomic_load(&crowd->now));
    atomic_fetch_add(&crowd->done, 1);
  }
  return NULL;
}

static void S_run_crowd(S_crowd *crowd, void *(*run)(void *)) {
  pthread_t threads[4];
  for (size_t i = 0; i < COUNT(threads); i++)
    assert_int_equal(pthread_create(&threads[i], NULL, run, crowd), 0);
  for (size_t i = 0; i < COUNT(threads); i++) pthread_join(threads[i], NULL);
}

/* Ignored results keep it half open for ever: never more than the quota are in flight. */
static void test_quota_of_probes(void **state) {
  (void)state;
  for (uint32_t probes = 1; probes <= 3; probes++) {
    int64_t until;
    S_crowd crowd = {.result = FB_RESULT_IGNORED, .rounds = 20000};
    crowd.breaker = S_opened((fb_breaker_config){.wait = 100, .probes = probes}, &until);
    crowd.now = until;
    S_run_crowd(&crowd, S_probe);
    assert_in_range(crowd.most, 1, probes);
    assert_true(crowd.done > 0);
    assert_int_equal(fb_breaker_statistics(crowd.breaker, until).probes, 0);
    assert_int_equal(S_state(crowd.breaker), FB_BREAKER_HALF_OPEN);
    fb_breaker_free(crowd.breaker);
  }
}

/* Nothing is lost or counted twice, however many threads add. */
static void test_counts_of_threads(void **state) {
  (void)state;
  const fb_breaker_config configs[] = {
      {.window_calls = 1000000, .failure_rate = 1, .minimum = 1000000},
      {.window_time = FB_SECOND, .failure_rate = 1, .minimum = 1000000},
  };
  for (size_t i = 0; i < COUNT(configs); i++)
    for (int result = FB_RESULT_OK; result <= FB_RESULT_FAILED; result++) {
      S_crowd crowd = {.breaker = S_new(configs[i]), .result = (fb_result)result, .rounds = 10000};
      S_run_crowd(&crowd, S_probe);
      fb_breaker_stats stats = fb_breaker_statistics(crowd.breaker, 0);
      assert_int_equal(stats.calls, 40000);
      assert_int_equal(stats.failures, result == FB_RESULT_FAILED ? 40000 : 0);
      fb_breaker_free(crowd.breaker);
    }
}

static void *S_storm(void *context) {
  S_crowd *crowd = context;
  fb_random random;
  fb_random_seed(&random, (uint64_t)(uintptr_t)&random);
  for (int i = 0; i < crowd->rounds; i++) {
    int64_t now = atomic_fetch_add(&crowd->now, 3);
    fb_permit permit = fb_breaker_admit(crowd->breaker, now);
    uint64_t dice = fb_random_below(&random, 1000);
    if (permit)
      fb_breaker_record(crowd->breaker, permit, dice % 3 ? FB_RESULT_OK : FB_RESULT_FAILED,
                        (int64_t)dice, now);
    if (dice == 7)
      fb_breaker_force(crowd->breaker, dice % 2 ? FB_BREAKER_OPEN : FB_BREAKER_CLOSED, now);
    if (dice == 8) fb_breaker_statistics(crowd->breaker, now);
  }
  return NULL;
}

static _Atomic uint32_t S_changes;
static void S_count_change(void *context, const fb_breaker_event *event) {
  (void)context;
  assert_true(event->generation > 0);
  atomic_fetch_add(&S_changes, 1);
}

/* All at once: each change of state is told of once, and it still works afterwards. */
static void test_storm(void **state) {
  (void)state;
  const fb_breaker_config configs[] = {
      {.consecutive = 4,
       .window_calls = 20,
       .failure_rate = 0.5,
       .minimum = 5,
       .slow_rate = 0.9,
       .slow_after = 500},
      {.window_time = 10000,
       .failure_rate = 0.5,
       .minimum = 5,
       .slow_rate = 0.9,
       .slow_after = 500},
  };
  for (size_t i = 0; i < COUNT(configs); i++) {
    fb_breaker_config config = configs[i];
    config.wait = 200;
    config.probes = 2;
    config.event = S_count_change;
    atomic_store(&S_changes, 0);
    S_crowd crowd = {.breaker = S_new(config), .rounds = 20000};
    S_run_crowd(&crowd, S_storm);
    assert_true(atomic_load(&S_changes) > 10);
    assert_int_equal(atomic_load(&S_changes), fb_breaker_statistics(crowd.breaker, 0).generation);
    fb_breaker_force(crowd.breaker, FB_BREAKER_CLOSED, crowd.now);
    S_calls(crowd.breaker, "++", crowd.now);
    fb_breaker_free(crowd.breaker);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_opens),
      cmocka_unit_test(test_window_of_time),
      cmocka_unit_test(test_rate_rises_by_time),
      cmocka_unit_test(test_clock_steps_back),
      cmocka_unit_test(test_wait_grows),
      cmocka_unit_test(test_wait_jitter),
      cmocka_unit_test(test_probes),
      cmocka_unit_test(test_late_results),
      cmocka_unit_test(test_lost_probes),
      cmocka_unit_test(test_slow_probe),
      cmocka_unit_test(test_events),
      cmocka_unit_test(test_event_calls_back),
      cmocka_unit_test(test_by_hand),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_memory),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_beside_naive),
      cmocka_unit_test(test_quota_of_probes),
      cmocka_unit_test(test_counts_of_threads),
      cmocka_unit_test(test_storm),
  };
  return cmocka_run_group_tests_name("guard_breaker", tests, NULL, NULL);
}
