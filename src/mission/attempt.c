/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands between a step and its calls. A call first gets into its limit, then past its breaker; when it has
 * failed, its retry says whether and when there is another attempt. Nothing here blocks and nothing that waits
 * holds one of the run's places: it is called back by a timer or by whoever leaves the limit.
 */
#include "mission/run.h"

#include <stdio.h>

/* ── The guards of a run ─────────────────────────────────────────────────────────────────────── */

static fb_status S_new_limit(fb_mission_run *run, uint32_t number, fb_error *err) {
  const fb_limit_doc *limit = &run->mission->named_limits[number].limit;
  fb_status status = FB_OK;
  if (limit->bulkhead.limit)
    status = fb_bulkhead_new(&limit->bulkhead, run->allocator, &run->guards.bulkheads[number], err);
  if (!status && limit->tokens)
    status = fb_rate_init(&run->guards.rates[number], limit->tokens, limit->per, limit->burst, err);
  return status;
}

fb_status fb_guards_new(fb_mission_run *run, fb_error *err) {
  const fb_mission *mission = run->mission;
  fb_run_guards *guards = &run->guards;
  fb_pool_init(&guards->pool, run->allocator, sizeof(fb_try));
  fb_random_seed(&guards->random, run->options.hash_seed ^ UINT64_C(0x9e3779b97f4a7c15));
  guards->breakers =
      fb_arena_zero(&run->arena, (mission->breaker_count + 1) * sizeof *guards->breakers);
  guards->bulkheads =
      fb_arena_zero(&run->arena, (mission->named_limit_count + 1) * sizeof *guards->bulkheads);
  guards->rates =
      fb_arena_zero(&run->arena, (mission->named_limit_count + 1) * sizeof *guards->rates);
  guards->budgets =
      fb_arena_zero(&run->arena, (mission->budget_count + 1) * sizeof *guards->budgets);
  if (!guards->breakers || !guards->bulkheads || !guards->rates || !guards->budgets)
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < mission->breaker_count && !status; i++) {
    fb_breaker_config config = mission->breakers[i].config;
    config.seed = fb_random_u64(&guards->random);
    status = fb_breaker_new(&config, run->allocator, &guards->breakers[i], err);
  }
  for (uint32_t i = 0; i < mission->budget_count && !status; i++)
    status = fb_retry_budget_init(&guards->budgets[i], mission->budgets[i].tokens,
                                  mission->budgets[i].ratio, err);
  for (uint32_t i = 0; i < mission->named_limit_count && !status; i++)
    status = S_new_limit(run, i, err);
  return status;
}

void fb_guards_free(fb_mission_run *run) {
  fb_run_guards *guards = &run->guards;
  for (uint32_t i = 0; guards->breakers && i < run->mission->breaker_count; i++)
    fb_breaker_free(guards->breakers[i]);
  for (uint32_t i = 0; guards->bulkheads && i < run->mission->named_limit_count; i++)
    fb_bulkhead_free(guards->bulkheads[i]);
  fb_pool_release(&guards->pool);
}

/* ── Small things ────────────────────────────────────────────────────────────────────────────── */

static const fb_step_guard *S_guard(const fb_try *guarded) {
  return guarded->run->mission->steps[guarded->step].guard;
}

static fb_breaker *S_breaker(const fb_try *guarded) {
  uint32_t number = S_guard(guarded)->breaker;
  return number ? guarded->run->guards.breakers[number - 1] : NULL;
}

static fb_bulkhead *S_bulkhead(const fb_try *guarded) {
  uint32_t number = S_guard(guarded)->limit;
  return number ? guarded->run->guards.bulkheads[number - 1] : NULL;
}

static const fb_limit_doc *S_limit(const fb_try *guarded) {
  uint32_t number = S_guard(guarded)->limit;
  return number ? &guarded->run->mission->named_limits[number - 1].limit : NULL;
}

static void S_stop_timer(fb_try *guarded) {
  const fb_world *world = guarded->run->world;
  if (guarded->timer) world->timer_stop(world->context, guarded->timer);
  guarded->timer = NULL;
}

/* Into the list of those that go on when the run has a place. */
static void S_ready(fb_try *guarded) {
  fb_run_guards *guards = &guarded->run->guards;
  if (guarded->ready) return;
  guarded->ready = true;
  guarded->next_ready = NULL;
  if (guards->last_ready)
    guards->last_ready->next_ready = guarded;
  else
    guards->first_ready = guarded;
  guards->last_ready = guarded;
}

static void S_timer_fired(void *user) {
  fb_try *guarded = user;
  fb_mission_run *run = guarded->run;
  guarded->timer = NULL;
  S_ready(guarded);
  fb_run_pump(run);
}

static bool S_wait_until(fb_try *guarded, int64_t at) {
  const fb_world *world = guarded->run->world;
  guarded->timer = world->timer_start(world->context, at, S_timer_fired, guarded);
  return guarded->timer != NULL;
}

/* ── The limit ───────────────────────────────────────────────────────────────────────────────── */

static void S_got_in(void *context) {
  fb_try *guarded = context;
  guarded->queued = false;
  guarded->inside = true;
  guarded->entered = fb_run_now(guarded->run);
  S_stop_timer(guarded);
  S_ready(guarded);
}

static void S_leave(fb_try *guarded, fb_result result) {
  fb_bulkhead *bulkhead = S_bulkhead(guarded);
  int64_t now = fb_run_now(guarded->run);
  if (guarded->queued && !fb_bulkhead_cancel(bulkhead, &guarded->ticket)) guarded->inside = true;
  guarded->queued = false;
  if (guarded->inside) {
    guarded->inside = false;
    fb_bulkhead_leave(bulkhead, now - guarded->entered, result, now);
  }
}

static fb_pass S_refused(fb_active *active, const char *why) {
  const fb_mission *mission = active->run->mission;
  const fb_step_guard *guard = mission->steps[active->step].guard;
  fb_slice name = mission->named_limits[guard->limit - 1].name;
  active->status = fb_fail(&active->error, FB_E_STEP_REFUSED, "the limit `%.*s` %s", (int)name.len,
                           name.ptr, why);
  return FB_PASS_FAILED;
}

/* In the queue it is called back when it gets in, or by a timer when its time is over. */
static fb_pass S_enter_bulkhead(fb_try *guarded, fb_active *active, int64_t now) {
  fb_bulkhead *bulkhead = S_bulkhead(guarded);
  const fb_limit_doc *limit = S_limit(guarded);
  if (!bulkhead || guarded->inside) return FB_PASS_GO;
  fb_ticket_state state;
  if (guarded->queued) {
    state = fb_bulkhead_poll(bulkhead, &guarded->ticket, now);
  } else {
    guarded->ticket = (fb_ticket){.in = S_got_in, .context = guarded};
    state = fb_bulkhead_enter(bulkhead, &guarded->ticket, (fb_deadline){FB_NEVER}, now);
  }
  guarded->queued = state == FB_TICKET_WAITING;
  if (state == FB_TICKET_REFUSED) return S_refused(active, "has no place left in its queue");
  if (state == FB_TICKET_EXPIRED) return S_refused(active, "had no place in time");
  if (state == FB_TICKET_WAITING) {
    if (limit->queue_time && !guarded->timer && !S_wait_until(guarded, now + limit->queue_time)) {
      active->status = fb_fail(&active->error, FB_E_NOMEM, "out of memory");
      return FB_PASS_FAILED;
    }
    return FB_PASS_WAIT;
  }
  guarded->inside = true;
  guarded->entered = now;
  return FB_PASS_GO;
}

static fb_pass S_take_rate(fb_try *guarded, fb_active *active, int64_t now) {
  const fb_limit_doc *limit = S_limit(guarded);
  int64_t wait = 0;
  if (!limit || !limit->tokens || guarded->rated) return FB_PASS_GO;
  fb_rate *rate = &guarded->run->guards.rates[S_guard(guarded)->limit - 1];
  int64_t patience = limit->queue_time ? limit->queue_time : INT64_MAX / 4;
  if (!fb_rate_reserve(rate, 1, now, patience, &wait))
    return S_refused(active, "would not let it go in time");
  guarded->rated = true;
  if (wait <= 0) return FB_PASS_GO;
  if (S_wait_until(guarded, now + wait)) return FB_PASS_WAIT;
  active->status = fb_fail(&active->error, FB_E_NOMEM, "out of memory");
  return FB_PASS_FAILED;
}

/* ── The breaker ─────────────────────────────────────────────────────────────────────────────── */

static fb_pass S_ask_breaker(fb_try *guarded, fb_active *active, int64_t now) {
  fb_breaker *breaker = S_breaker(guarded);
  if (!breaker) return FB_PASS_GO;
  guarded->permit = fb_breaker_admit(breaker, now);
  if (guarded->permit) return FB_PASS_GO;
  const fb_mission *mission = guarded->run->mission;
  fb_slice name = mission->breakers[S_guard(guarded)->breaker - 1].name;
  active->status =
      fb_fail(&active->error, FB_E_STEP_REFUSED, "the breaker `%.*s` is %s", (int)name.len,
              name.ptr, fb_breaker_state_name(fb_breaker_statistics(breaker, now).state));
  return FB_PASS_FAILED;
}

/* What a failure says about the other side: an HTTP answer that blames the request says nothing against it. */
static fb_result S_breaker_result(const fb_active *active, const fb_outcome *result) {
  if (result->status == FB_STEP_OK) return FB_RESULT_OK;
  if (result->status == FB_STEP_CANCELLED) return FB_RESULT_IGNORED;
  int64_t code = fb_failure_of(active, result);
  fb_failure failure = (fb_failure)(code >> 32);
  int number = (int)(uint32_t)code;
  if (failure == FB_FAILURE_OTHER) return FB_RESULT_IGNORED;
  bool blames = failure == FB_FAILURE_STATUS && number >= 400 && number < 500 && number != 408 &&
                number != 429;
  return blames ? FB_RESULT_OK : FB_RESULT_FAILED;
}

/* ── Tries ───────────────────────────────────────────────────────────────────────────────────── */

/* What is left of the time that began in an earlier process. At least 1: 0 is none. */
static int64_t S_left(const fb_active *active, int64_t time) {
  const fb_clock *clock = active->run->world->clock;
  int64_t since = active->call.since, wall = clock->wall(clock->context);
  if (!since || wall <= since) return time;
  return wall - since < time ? time - (wall - since) : 1;
}

static fb_try *S_new(fb_active *active) {
  fb_mission_run *run = active->run;
  fb_run_guards *guards = &run->guards;
  const fb_step_guard *guard = run->mission->steps[active->step].guard;
  fb_try *guarded = fb_pool_get(&guards->pool);
  if (!guarded) return NULL;
  int64_t now = fb_run_now(run);
  *guarded = (fb_try){.run = run, .step = active->step, .item = active->item};
  guarded->attempts = active->attempt;
  if (guard->retry) {
    const fb_retry_policy *policy = &guard->retry->policy;
    if (guard->budget) {
      guarded->policy = *policy;
      guarded->policy.budget = &guards->budgets[guard->budget - 1];
      policy = &guarded->policy;
    }
    fb_retry_begin(&guarded->retry, policy, &guards->random, now);
    guarded->retry.attempts = active->attempt;
  }
  if (guard->until && guard->until->timeout)
    guarded->deadline = now + S_left(active, guard->until->timeout);
  guarded->next = guards->tries;
  if (guards->tries) guards->tries->prev = guarded;
  guards->tries = guarded;
  return guarded;
}

void fb_try_abandon(fb_try *guarded) {
  fb_run_guards *guards = &guarded->run->guards;
  S_stop_timer(guarded);
  S_leave(guarded, FB_RESULT_IGNORED);
  if (guarded->permit)
    fb_breaker_record(S_breaker(guarded), guarded->permit, FB_RESULT_IGNORED, 0,
                      fb_run_now(guarded->run));
  if (guarded->prev)
    guarded->prev->next = guarded->next;
  else
    guards->tries = guarded->next;
  if (guarded->next) guarded->next->prev = guarded->prev;
  fb_pool_put(&guards->pool, guarded);
}

static void S_tell(fb_try *guarded, uint32_t attempt, int64_t wait, const fb_active *active) {
  fb_mission_run *run = guarded->run;
  bool items = run->steps[guarded->step].items != NULL;
  fb_mission_event event = {.kind = FB_MISSION_EVENT_ATTEMPT_FAILED,
                            .step = guarded->step,
                            .item = items ? guarded->item : FB_NO_ITEM,
                            .attempt = attempt,
                            .wait = wait,
                            .status = FB_STEP_RUNNING,
                            .duration = fb_run_now(run) - active->started,
                            .exit_code = active->exit_code,
                            .signal = active->signal,
                            .error = active->error.code ? &active->error : NULL};
  fb_run_emit(run, &event);
}

static void S_no_budget(const fb_try *guarded, fb_active *active) {
  fb_slice name = guarded->run->mission->budgets[S_guard(guarded)->budget - 1].name;
  fb_error_hint(&active->error, "it is not tried again: the budget `%.*s` is spent", (int)name.len,
                name.ptr);
}

/* True: there will be another attempt, which a timer begins. */
static bool S_retry(fb_try *guarded, fb_active *active, fb_attempt attempt, uint32_t number) {
  int64_t now = fb_run_now(guarded->run), wait = 0;
  if (!S_guard(guarded)->retry || guarded->run->ending != FB_MISSION_GOING) return false;
  fb_retry_verdict verdict = fb_retry_next(&guarded->retry, attempt, now, &wait);
  if (verdict == FB_RETRY_STOP_BUDGET) S_no_budget(guarded, active);
  if (verdict != FB_RETRY_AGAIN) return false;
  if (!S_wait_until(guarded, now + wait)) return false;
  S_tell(guarded, number, wait, active);
  return true;
}

/* Everything that may hold an attempt back, in order. */
static fb_pass S_pass(fb_try *guarded, fb_active *active) {
  int64_t now = fb_run_now(guarded->run);
  fb_attempt attempt = {.code = fb_failure_code(FB_FAILURE_LIMIT, 0)};
  fb_pass pass = S_enter_bulkhead(guarded, active, now);
  if (pass == FB_PASS_GO) pass = S_take_rate(guarded, active, now);
  if (pass == FB_PASS_GO) {
    attempt.code = fb_failure_code(FB_FAILURE_BREAKER, 0);
    pass = S_ask_breaker(guarded, active, now);
    if (pass == FB_PASS_FAILED) attempt.after = fb_breaker_left(S_breaker(guarded), now);
  }
  if (pass != FB_PASS_FAILED) return pass;
  S_leave(guarded, FB_RESULT_IGNORED);
  guarded->rated = false;
  return active->status != FB_E_NOMEM && S_retry(guarded, active, attempt, 0) ? FB_PASS_WAIT
                                                                              : FB_PASS_FAILED;
}

fb_pass fb_try_enter(fb_active *active) {
  fb_try *guarded = S_new(active);
  if (!guarded) {
    active->status = fb_fail(&active->error, FB_E_NOMEM, "out of memory");
    return FB_PASS_FAILED;
  }
  fb_pass pass = S_pass(guarded, active);
  if (pass == FB_PASS_GO) active->guarded = guarded;
  if (pass == FB_PASS_FAILED) fb_try_abandon(guarded);
  return pass;
}

void fb_try_begin(fb_active *active) {
  fb_try *guarded = active->guarded;
  guarded->going = true;
  guarded->began = fb_run_now(active->run);
  active->attempt = guarded->attempts++;
  active->run->steps[active->step].attempts++;
  int64_t deadline = guarded->deadline ? guarded->deadline : FB_NEVER;
  if (S_guard(guarded)->retry && guarded->retry.deadline < deadline)
    deadline = guarded->retry.deadline;
  if (deadline == FB_NEVER) return;
  int64_t left = deadline > guarded->began ? deadline - guarded->began : 1;
  if (!active->timeout || left < active->timeout) active->timeout = left;
}

bool fb_tries_ready(const fb_mission_run *run) {
  return run->guards.first_ready != NULL;
}

void fb_tries_go(fb_mission_run *run) {
  fb_run_guards *guards = &run->guards;
  fb_try *guarded = guards->first_ready;
  guards->first_ready = guarded->next_ready;
  if (!guards->first_ready) guards->last_ready = NULL;
  guarded->ready = false;
  fb_active failed = {.run = run,
                      .step = guarded->step,
                      .item = guarded->item,
                      .exit_code = -1,
                      .started = fb_run_now(run)};
  fb_pass pass = S_pass(guarded, &failed);
  if (pass == FB_PASS_GO) fb_run_call_again(guarded);
  if (pass != FB_PASS_FAILED) return;
  uint32_t step = guarded->step, item = guarded->item;
  fb_try_abandon(guarded);
  fb_run_never_called(run, step, item, failed.status, &failed.error);
}

/* ── The end of an attempt ───────────────────────────────────────────────────────────────────── */

int64_t fb_failure_of(const fb_active *active, const fb_outcome *result) {
  if (result->status == FB_STEP_TIMEOUT) return fb_failure_code(FB_FAILURE_TIMEOUT, 0);
  switch (active->error.code) {
    case FB_E_STEP_EXIT:
      return active->signal ? fb_failure_code(FB_FAILURE_SIGNAL, active->signal)
                            : fb_failure_code(FB_FAILURE_EXIT, active->exit_code);
    case FB_E_STEP_SPAWN: return fb_failure_code(FB_FAILURE_SPAWN, 0);
    case FB_E_STEP_PARSE: return fb_failure_code(FB_FAILURE_PARSE, 0);
    case FB_E_STEP_TIMEOUT:
    case FB_E_NET_TIMEOUT: return fb_failure_code(FB_FAILURE_TIMEOUT, 0);
    case FB_E_STEP_STATUS: return fb_failure_code(FB_FAILURE_STATUS, active->call.http_status);
    case FB_E_NET:
    case FB_E_NET_RESOLVE:
    case FB_E_NET_CONNECT:
    case FB_E_NET_TLS:
    case FB_E_NET_BROKEN: return fb_failure_code(FB_FAILURE_NETWORK, 0);
    default: return fb_failure_code(FB_FAILURE_OTHER, 0);
  }
}

/* *ret_holds: the condition. */
static fb_status S_until_holds(fb_active *active, const fb_outcome *result, bool *ret_holds) {
  fb_mission_run *run = active->run;
  const fb_until *until = run->mission->steps[active->step].guard->until;
  fb_value *slot = &run->slots[fb_slot_result(run->mission)], value = fb_bool(false);
  fb_run_set_item(run, &run->steps[active->step], active->item);
  fb_status status = fb_result_value(result, &active->arena, slot);
  if (status) return fb_fail(&active->error, status, "out of memory");
  fb_step_scope scope = fb_run_scope(run, &active->arena);
  fb_error err = {0};
  status = fb_cel_eval(until->condition, scope.slots, scope.cel, &value, &err);
  if (!status && value.kind != FB_BOOL)
    status = fb_mission_fail(run->mission, until->node, &err, FB_E_STEP_VALUE,
                             "the condition is %s, not a bool", fb_kind_name((fb_kind)value.kind));
  *slot = fb_absent();
  /* A round that failed may have no value to look at: that is no reason to stop. */
  if (status && result->status == FB_STEP_OK) active->error = err;
  *ret_holds = !status && value.as.b;
  return result->status == FB_STEP_OK ? status : FB_OK;
}

static void S_until_failed(fb_active *active, fb_outcome *result, fb_step_status status) {
  const fb_step *step = &active->run->mission->steps[active->step];
  fb_error last = active->error;
  fb_mission_fail(active->run->mission, step->guard->until->node, &active->error, FB_E_STEP_UNTIL,
                  "`until` did not hold in time, after %u rounds%s%s", active->guarded->attempts,
                  last.code ? "; the last one: " : "", last.code ? last.text : "");
  result->status = status;
  result->error = &active->error;
}

/* True: another round. */
static bool S_until_again(fb_active *active, fb_outcome *result) {
  fb_try *guarded = active->guarded;
  fb_mission_run *run = active->run;
  const fb_until *until = S_guard(guarded)->until;
  bool holds = false;
  if (result->status == FB_STEP_CANCELLED || !until->condition) return false;
  if (S_until_holds(active, result, &holds)) {
    result->status = FB_STEP_FAILED;
    result->error = &active->error;
    return false;
  }
  if (holds) {
    result->status = FB_STEP_OK;
    result->error = NULL;
    return false;
  }
  int64_t next = fb_run_now(run) + until->interval;
  if (run->ending != FB_MISSION_GOING) {
    fb_fail(&active->error, FB_E_MISSION_CANCELLED, "cancelled");
    result->status = FB_STEP_CANCELLED;
    result->error = &active->error;
    return false;
  }
  if ((guarded->deadline && next >= guarded->deadline) || !S_wait_until(guarded, next)) {
    S_until_failed(active, result, FB_STEP_TIMEOUT);
    return false;
  }
  S_tell(guarded, guarded->attempts, until->interval, active);
  return true;
}

bool fb_try_ended(fb_active *active, fb_outcome *result) {
  fb_try *guarded = active->guarded;
  fb_breaker *breaker = S_breaker(guarded);
  int64_t now = fb_run_now(active->run);
  fb_result kind = S_breaker_result(active, result);
  guarded->going = false;
  guarded->rated = false;
  if (guarded->permit) fb_breaker_record(breaker, guarded->permit, kind, now - guarded->began, now);
  guarded->permit = 0;
  S_leave(guarded, kind);
  bool again = false;
  if (S_guard(guarded)->until) {
    again = S_until_again(active, result);
  } else if (result->status == FB_STEP_FAILED || result->status == FB_STEP_TIMEOUT) {
    fb_attempt attempt = {.code = fb_failure_of(active, result), .after = active->call.retry_after};
    again = S_retry(guarded, active, attempt, guarded->attempts);
  } else if (result->status == FB_STEP_OK && S_guard(guarded)->retry) {
    int64_t wait; /* there is none: it fills the budget */
    fb_retry_next(&guarded->retry, (fb_attempt){.ok = true}, now, &wait);
  }
  if (!again) {
    active->guarded = NULL;
    fb_try_abandon(guarded);
  }
  return again;
}

static fb_try *S_first_waiting(const fb_run_guards *guards) {
  fb_try *guarded = guards->tries;
  while (guarded && guarded->going) guarded = guarded->next;
  return guarded;
}

void fb_tries_cancel(fb_mission_run *run) {
  fb_run_guards *guards = &run->guards;
  fb_error err = {0};
  fb_fail(&err, FB_E_MISSION_CANCELLED, "cancelled");
  /* Each end may let in or end others, so the list is looked at anew. */
  for (fb_try *guarded; (guarded = S_first_waiting(guards));) {
    uint32_t step = guarded->step, item = guarded->item;
    fb_try_abandon(guarded);
    fb_run_never_called(run, step, item, FB_E_MISSION_CANCELLED, &err);
  }
  guards->first_ready = guards->last_ready = NULL;
}
