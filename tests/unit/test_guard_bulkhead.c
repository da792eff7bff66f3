/* SPDX-License-Identifier: Apache-2.0
 * Bulkhead: tickets in a table, random sequences beside a naive queue, threads, adaptive limits. */
#include "test.h"

#include <flyball/guard.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static fb_bulkhead *S_new(fb_bulkhead_config config) {
  fb_bulkhead *bulkhead = NULL;
  fb_error err;
  if (fb_bulkhead_new(&config, NULL, &bulkhead, &err) != FB_OK) fail_msg("%s", err.text);
  return bulkhead;
}

static void S_leave(fb_bulkhead *bulkhead, int64_t now) {
  fb_bulkhead_leave(bulkhead, 0, FB_RESULT_OK, now);
}

static const fb_deadline NEVER = {FB_NEVER};

static void S_count(void *context) {
  ++*(int *)context;
}

static void test_tickets(void **state) {
  (void)state;
  int in = 0;
  fb_bulkhead *bulkhead = S_new((fb_bulkhead_config){.limit = 2, .queue = 2, .queue_time = 100});
  fb_ticket a = {.in = S_count, .context = &in}, b = a, c = a, d = a, e = a;
  assert_int_equal(fb_bulkhead_enter(bulkhead, &a, NEVER, 0), FB_TICKET_IN);
  assert_true(fb_bulkhead_try(bulkhead));
  assert_false(fb_bulkhead_try(bulkhead));
  assert_int_equal(fb_bulkhead_enter(bulkhead, &b, NEVER, 0), FB_TICKET_WAITING);
  assert_int_equal(fb_bulkhead_enter(bulkhead, &c, (fb_deadline){50}, 0), FB_TICKET_WAITING);
  assert_int_equal(fb_bulkhead_enter(bulkhead, &d, NEVER, 10), FB_TICKET_REFUSED);
  S_leave(bulkhead, 20);
  assert_int_equal(in, 1);
  assert_int_equal(fb_bulkhead_poll(bulkhead, &b, 20), FB_TICKET_IN);
  assert_int_equal(fb_bulkhead_poll(bulkhead, &c, 49), FB_TICKET_WAITING);
  assert_false(fb_bulkhead_cancel(bulkhead, &b));
  assert_int_equal(fb_bulkhead_enter(bulkhead, &d, NEVER, 30), FB_TICKET_WAITING);
  /* The queue is full, but c's time is over. */
  assert_int_equal(fb_bulkhead_enter(bulkhead, &e, NEVER, 60), FB_TICKET_WAITING);
  assert_int_equal(fb_bulkhead_poll(bulkhead, &c, 60), FB_TICKET_EXPIRED);
  assert_true(fb_bulkhead_cancel(bulkhead, &d));
  S_leave(bulkhead, 70);
  assert_int_equal(fb_bulkhead_poll(bulkhead, &e, 70), FB_TICKET_IN);
  assert_int_equal(in, 2);
  S_leave(bulkhead, 70);
  S_leave(bulkhead, 70);
  fb_bulkhead_stats stats = fb_bulkhead_statistics(bulkhead);
  assert_int_equal(stats.in + stats.waiting, 0);
  fb_bulkhead_free(bulkhead);
}

static void test_no_queue(void **state) {
  (void)state;
  fb_bulkhead *bulkhead = S_new((fb_bulkhead_config){.limit = 1});
  fb_ticket ticket = {0};
  assert_int_equal(fb_bulkhead_enter(bulkhead, &ticket, NEVER, 0), FB_TICKET_IN);
  assert_int_equal(fb_bulkhead_enter(bulkhead, &ticket, NEVER, 0), FB_TICKET_REFUSED);
  assert_int_equal(fb_bulkhead_wait(bulkhead, NEVER, NULL), FB_TICKET_REFUSED);
  S_leave(bulkhead, 0);
  assert_int_equal(fb_bulkhead_wait(bulkhead, NEVER, NULL), FB_TICKET_IN);
  S_leave(bulkhead, 0);
  fb_bulkhead_free(bulkhead);
}

static void test_refused(void **state) {
  (void)state;
  const fb_bulkhead_config bad[] = {
      {.limit = 0},
      {.limit = 1000001},
      {.limit = 1, .queue_time = -1},
      {.limit = 1, .adapt = (fb_adapt)3},
      {.limit = 1, .adapt = FB_ADAPT_AIMD},
      {.limit = 1, .sample = 2001},
      {.limit = 1, .least = 2},
      {.limit = 3, .most = 2},
  };
  for (size_t i = 0; i < COUNT(bad); i++) {
    fb_bulkhead *bulkhead = NULL;
    assert_int_equal(fb_bulkhead_new(&bad[i], NULL, &bulkhead, NULL), FB_E_USAGE);
  }
}

static bool S_create(const fb_allocator *allocator) {
  fb_bulkhead *bulkhead = NULL;
  fb_status status = fb_bulkhead_new(&(fb_bulkhead_config){.limit = 1}, allocator, &bulkhead, NULL);
  fb_bulkhead_free(bulkhead);
  return status == FB_OK;
}

static void test_memory(void **state) {
  (void)state;
  fb_test_each_failure(S_create);
}

/* Beside a list: who is in, and who waits in which order until when. */
static void S_run_beside(fb_random *random) {
  enum { CALLERS = 12 };
  uint32_t limit = 1 + (uint32_t)fb_random_below(random, 3),
           queue = (uint32_t)fb_random_below(random, 5);
  fb_bulkhead *bulkhead =
      S_new((fb_bulkhead_config){.limit = limit, .queue = queue, .queue_time = 60});
  fb_ticket tickets[CALLERS] = {{0}};
  fb_ticket_state is[CALLERS];
  int64_t until[CALLERS], now = 0;
  size_t line[CALLERS], waiting = 0, in = 0;
  for (size_t i = 0; i < CALLERS; i++) is[i] = FB_TICKET_REFUSED;
  for (int step = 0; step < 600; step++) {
    now += (int64_t)fb_random_below(random, 20);
    for (size_t i = 0;
         i < waiting;) { /* the naive queue is swept at each step, and so is ours by polling */
      size_t who = line[i];
      if (now < until[who]) {
        assert_int_equal(fb_bulkhead_poll(bulkhead, &tickets[who], now), FB_TICKET_WAITING);
        i++;
        continue;
      }
      is[who] = FB_TICKET_EXPIRED;
      memmove(&line[i], &line[i + 1], (--waiting - i) * sizeof *line);
      assert_int_equal(fb_bulkhead_poll(bulkhead, &tickets[who], now), FB_TICKET_EXPIRED);
    }
    size_t who = fb_random_below(random, CALLERS);
    if (is[who] == FB_TICKET_IN) {
      is[who] = FB_TICKET_REFUSED;
      in--;
      if (waiting) {
        is[line[0]] = FB_TICKET_IN;
        in++;
        memmove(line, line + 1, --waiting * sizeof *line);
      }
      S_leave(bulkhead, now);
    } else if (is[who] == FB_TICKET_WAITING) {
      assert_int_equal(fb_bulkhead_poll(bulkhead, &tickets[who], now), FB_TICKET_WAITING);
      if (fb_random_below(random, 3)) continue;
      size_t i = 0;
      while (line[i] != who) i++;
      memmove(&line[i], &line[i + 1], (--waiting - i) * sizeof *line);
      is[who] = FB_TICKET_REFUSED;
      assert_true(fb_bulkhead_cancel(bulkhead, &tickets[who]));
    } else {
      int64_t patience = 1 + (int64_t)fb_random_below(random, 100);
      is[who] = in < limit ? FB_TICKET_IN : waiting < queue ? FB_TICKET_WAITING : FB_TICKET_REFUSED;
      until[who] = now + (patience < 60 ? patience : 60);
      assert_int_equal(
          fb_bulkhead_enter(bulkhead, &tickets[who], (fb_deadline){now + patience}, now), is[who]);
      if (is[who] == FB_TICKET_IN) in++;
      if (is[who] == FB_TICKET_WAITING) line[waiting++] = who;
    }
    fb_bulkhead_stats stats = fb_bulkhead_statistics(bulkhead);
    assert_int_equal(stats.in, in);
    assert_int_equal(stats.waiting, waiting);
    for (size_t i = 0; i < CALLERS; i++)
      if (is[i] == FB_TICKET_IN)
        assert_int_equal(fb_bulkhead_poll(bulkhead, &tickets[i], now), FB_TICKET_IN);
  }
  fb_bulkhead_free(bulkhead);
}

static void test_beside_naive(void **state) {
  (void)state;
  fb_random random;
  fb_random_seed(&random, 17);
  for (int run = 0; run < 200; run++) S_run_beside(&random);
}

/* ── Adapting ── */

/* A service that can do `room` at once in `time`; more of them share it. Returns the limit it settles at. */
static uint32_t S_settle(fb_bulkhead *bulkhead, uint32_t room, int64_t time, int rounds) {
  for (int i = 0; i < rounds; i++) {
    uint32_t in = 0;
    while (fb_bulkhead_try(bulkhead)) in++;
    int64_t took = in > room ? time * in / room : time;
    for (; in; in--) fb_bulkhead_leave(bulkhead, took, FB_RESULT_OK, 0);
  }
  return fb_bulkhead_statistics(bulkhead).limit;
}

static void test_adapts(void **state) {
  (void)state;
  fb_bulkhead *aimd = S_new((fb_bulkhead_config){
      .limit = 5, .least = 2, .most = 200, .adapt = FB_ADAPT_AIMD, .target = 1500, .sample = 20});
  assert_in_range(S_settle(aimd, 20, 1000, 2000), 20, 40);
  assert_in_range(S_settle(aimd, 4, 1000, 2000), 3, 9);
  assert_in_range(S_settle(aimd, 1000, 1000, 4000), 195, 200);
  assert_int_equal(S_settle(aimd, 1, 100000, 2000), 2);
  fb_bulkhead_free(aimd);
  fb_bulkhead *gradient = S_new((fb_bulkhead_config){
      .limit = 50, .least = 5, .most = 500, .adapt = FB_ADAPT_GRADIENT, .sample = 50});
  S_settle(gradient, 1000, 1000, 300);
  uint32_t before = fb_bulkhead_statistics(gradient).limit;
  assert_true(before > 100);
  S_settle(gradient, 1000, 10000, 2); /* suddenly ten times slower */
  assert_true(fb_bulkhead_statistics(gradient).limit < before);
  for (int i = 0; i < 5000; i++) { /* all calls are dropped */
    if (fb_bulkhead_try(gradient)) fb_bulkhead_leave(gradient, 1000, FB_RESULT_FAILED, 0);
  }
  assert_int_equal(fb_bulkhead_statistics(gradient).limit, 5);
  fb_bulkhead_free(gradient);
}

/* Two more get in at once when the limit rises while they wait. */
static void test_rise_lets_in(void **state) {
  (void)state;
  fb_bulkhead *bulkhead = S_new((fb_bulkhead_config){
      .limit = 1, .most = 10, .queue = 5, .adapt = FB_ADAPT_AIMD, .target = 1000, .sample = 1});
  fb_ticket a = {0}, b = {0};
  assert_true(fb_bulkhead_try(bulkhead));
  assert_int_equal(fb_bulkhead_enter(bulkhead, &a, NEVER, 0), FB_TICKET_WAITING);
  assert_int_equal(fb_bulkhead_enter(bulkhead, &b, NEVER, 0), FB_TICKET_WAITING);
  fb_bulkhead_leave(bulkhead, 10, FB_RESULT_OK, 0);
  assert_int_equal(fb_bulkhead_poll(bulkhead, &a, 0), FB_TICKET_IN);
  assert_int_equal(fb_bulkhead_poll(bulkhead, &b, 0), FB_TICKET_IN);
  S_leave(bulkhead, 0);
  S_leave(bulkhead, 0);
  fb_bulkhead_free(bulkhead);
}

/* ── Threads ── */

typedef struct S_crowd {
  fb_bulkhead *bulkhead;
  _Atomic int in, most;
  _Atomic uint64_t done, expired;
  int64_t patience;
  int rounds;
} S_crowd;

static void *S_work(void *context) {
  S_crowd *crowd = context;
  const fb_clock *clock = fb_clock_system();
  for (int i = 0; i < crowd->rounds; i++) {
    int64_t now = clock->mono(clock->context);
    fb_ticket_state got =
        fb_bulkhead_wait(crowd->bulkhead, fb_deadline_in(now, crowd->patience), NULL);
    if (got != FB_TICKET_IN) {
      if (got == FB_TICKET_EXPIRED) atomic_fetch_add(&crowd->expired, 1);
      continue;
    }
    int in = atomic_fetch_add(&crowd->in, 1) + 1, most = atomic_load(&crowd->most);
    while (in > most && !atomic_compare_exchange_weak(&crowd->most, &most, in)) {
    }
    if (i % 8 == 0) sched_yield();
    atomic_fetch_sub(&crowd->in, 1);
    atomic_fetch_add(&crowd->done, 1);
    fb_bulkhead_leave(crowd->bulkhead, 5, FB_RESULT_OK, clock->mono(clock->context));
  }
  return NULL;
}

static void S_run_crowd(S_crowd *crowd, fb_bulkhead_config config) {
  pthread_t threads[6];
  crowd->bulkhead = S_new(config);
  for (size_t i = 0; i < COUNT(threads); i++)
    assert_int_equal(pthread_create(&threads[i], NULL, S_work, crowd), 0);
  for (size_t i = 0; i < COUNT(threads); i++) pthread_join(threads[i], NULL);
  assert_in_range(crowd->most, 1, config.limit);
  fb_bulkhead_stats stats = fb_bulkhead_statistics(crowd->bulkhead);
  assert_int_equal(stats.in + stats.waiting, 0);
  fb_bulkhead_free(crowd->bulkhead);
}

/* Never more than the limit are in, and with no deadline each gets its turn: no wake-up is lost. */
static void test_threads(void **state) {
  (void)state;
  for (uint32_t limit = 1; limit <= 3; limit++) {
    S_crowd patient = {.rounds = 2000};
    S_run_crowd(&patient, (fb_bulkhead_config){.limit = limit, .queue = 6});
    assert_int_equal(patient.done, 12000);
    S_crowd hasty = {.rounds = 2000, .patience = 2000};
    S_run_crowd(&hasty, (fb_bulkhead_config){.limit = limit, .queue = 3});
    assert_true(hasty.done > 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tickets),      cmocka_unit_test(test_no_queue),
      cmocka_unit_test(test_refused),      cmocka_unit_test(test_memory),
      cmocka_unit_test(test_beside_naive), cmocka_unit_test(test_adapts),
      cmocka_unit_test(test_rise_lets_in), cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests_name("guard_bulkhead", tests, NULL, NULL);
}
