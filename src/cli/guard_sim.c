/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/guard_sim.h"

#include <stdlib.h>

enum { MOST_CALLS = 1000000 };

typedef struct S_call {
  int64_t made, at; /* when it was made; when its next event is */
  fb_retry retry;
  fb_permit permit;
  int64_t sent; /* when the attempt under way was */
  bool going, fails;
  int code;
  int64_t after;
} S_call;

typedef struct S_sim {
  const fb_sim_policy *policy;
  fb_sim_result *result;
  fb_breaker *breaker;
  fb_random random;
  S_call *calls;
  uint32_t *heap; /* calls with an event to come, earliest first */
  uint32_t count, waiting;
  int64_t *took;
  uint32_t took_count;
  int64_t last_outage;
} S_sim;

/* ── Events ──────────────────────────────────────────────────────────────────────────────────── */

static bool S_before(const S_sim *sim, uint32_t a, uint32_t b) {
  return sim->calls[a].at != sim->calls[b].at ? sim->calls[a].at < sim->calls[b].at : a < b;
}

static void S_push(S_sim *sim, uint32_t call) {
  uint32_t i = sim->waiting++;
  for (; i > 0 && S_before(sim, call, sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
    sim->heap[i] = sim->heap[(i - 1) / 2];
  sim->heap[i] = call;
}

static uint32_t S_pop(S_sim *sim) {
  uint32_t first = sim->heap[0], last = sim->heap[--sim->waiting], i = 0;
  while (2 * i + 1 < sim->waiting) {
    uint32_t child = 2 * i + 1;
    if (child + 1 < sim->waiting && S_before(sim, sim->heap[child + 1], sim->heap[child])) child++;
    if (!S_before(sim, sim->heap[child], last)) break;
    sim->heap[i] = sim->heap[child];
    i = child;
  }
  if (sim->waiting) sim->heap[i] = last;
  return first;
}

static fb_sim_row *S_row(const S_sim *sim, int64_t at) {
  int64_t each = sim->policy->length / sim->result->row_count;
  int64_t row = each ? at / each : 0;
  if (row >= sim->result->row_count) row = sim->result->row_count - 1;
  return &sim->result->rows[row];
}

/* ── A call ──────────────────────────────────────────────────────────────────────────────────── */

static const fb_sim_outage *S_outage(const fb_sim_policy *policy, int64_t at) {
  for (size_t i = 0; i < policy->outage_count; i++)
    if (at >= policy->outages[i].from && at < policy->outages[i].to) return &policy->outages[i];
  return NULL;
}

static void S_ended(S_sim *sim, S_call *call, bool ok, int64_t now) {
  fb_sim_row *row = S_row(sim, now);
  row->ok += ok;
  row->failed += !ok;
  if (!ok) return;
  sim->took[sim->took_count++] = now - call->made;
  if (sim->result->recovered < 0 && now >= sim->last_outage)
    sim->result->recovered = now - sim->last_outage;
}

static void S_failed(S_sim *sim, uint32_t number, int64_t code, int64_t after, int64_t now) {
  S_call *call = &sim->calls[number];
  int64_t wait;
  fb_attempt attempt = {.code = code, .after = after};
  if (sim->policy->retry && fb_retry_next(&call->retry, attempt, now, &wait) == FB_RETRY_AGAIN) {
    call->at = now + wait;
    S_push(sim, number);
  } else {
    S_ended(sim, call, false, now);
  }
}

static void S_send(S_sim *sim, uint32_t number, int64_t now) {
  S_call *call = &sim->calls[number];
  const fb_sim_policy *policy = sim->policy;
  if (sim->breaker) {
    call->permit = fb_breaker_admit(sim->breaker, now);
    if (!call->permit) {
      S_row(sim, now)->refused++;
      S_failed(sim, number, fb_failure_code(FB_FAILURE_BREAKER, 0),
               fb_breaker_left(sim->breaker, now), now);
      return;
    }
  }
  const fb_sim_outage *outage = S_outage(policy, now);
  int64_t latency = outage && outage->latency ? outage->latency : policy->latency;
  call->fails = outage && fb_random_unit(&sim->random) < outage->fail;
  call->code = outage ? outage->code : 0;
  call->after = outage ? outage->after : 0;
  if (policy->timeout && latency > policy->timeout) {
    latency = policy->timeout;
    call->fails = true;
    call->code = 0; /* a time limit */
  }
  call->going = true;
  call->sent = now;
  call->at = now + latency;
  S_row(sim, now)->attempts++;
  S_push(sim, number);
}

static void S_answered(S_sim *sim, uint32_t number, int64_t now) {
  S_call *call = &sim->calls[number];
  call->going = false;
  if (sim->breaker)
    fb_breaker_record(sim->breaker, call->permit, call->fails ? FB_RESULT_FAILED : FB_RESULT_OK,
                      now - call->sent, now);
  int64_t code = call->code ? fb_failure_code(FB_FAILURE_STATUS, call->code)
                            : fb_failure_code(FB_FAILURE_TIMEOUT, 0);
  if (call->fails) {
    S_failed(sim, number, code, call->after, now);
    return;
  }
  if (sim->policy->retry) {
    int64_t unused;
    fb_retry_next(&call->retry, (fb_attempt){.ok = true}, now, &unused);
  }
  S_ended(sim, call, true, now);
}

/* ── The whole ───────────────────────────────────────────────────────────────────────────────── */

static int S_by_time(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

static void S_opened(void *context, const fb_breaker_event *event) {
  fb_sim_result *result = context;
  if (event->to == FB_BREAKER_OPEN) result->opened++;
}

/* Rows whose time has passed get the breaker's state. */
static void S_note_state(S_sim *sim, uint32_t *row, int64_t now) {
  if (!sim->breaker) return;
  for (; *row < sim->result->row_count; ++*row) {
    int64_t end = *row + 1 < sim->result->row_count ? sim->result->rows[*row + 1].from : INT64_MAX;
    if (now < end) break;
    sim->result->rows[*row].state = fb_breaker_statistics(sim->breaker, end).state;
  }
}

static void S_go(S_sim *sim) {
  uint32_t row = 0;
  int64_t now = 0;
  while (sim->waiting) {
    uint32_t number = S_pop(sim);
    S_call *call = &sim->calls[number];
    now = call->at;
    S_note_state(sim, &row, now);
    if (call->going) {
      S_answered(sim, number, now);
      continue;
    }
    if (now == call->made && call->retry.attempts == 0) S_row(sim, now)->calls++;
    S_send(sim, number, now);
  }
  while (sim->breaker && row < sim->result->row_count)
    sim->result->rows[row++].state = fb_breaker_statistics(sim->breaker, now).state;
}

static bool S_prepare(S_sim *sim, fb_arena *arena) {
  const fb_sim_policy *policy = sim->policy;
  fb_sim_result *result = sim->result;
  sim->calls = fb_arena_zero(arena, (sim->count + 1) * sizeof *sim->calls);
  sim->heap = fb_arena_zero(arena, (sim->count + 1) * sizeof *sim->heap);
  sim->took = fb_arena_zero(arena, (sim->count + 1) * sizeof *sim->took);
  result->rows = fb_arena_zero(arena, (result->row_count + 1) * sizeof *result->rows);
  if (!sim->calls || !sim->heap || !sim->took || !result->rows) return false;
  for (uint32_t i = 0; i < result->row_count; i++)
    result->rows[i].from = policy->length / result->row_count * i;
  for (uint32_t i = 0; i < sim->count; i++) {
    S_call *call = &sim->calls[i];
    call->made = call->at = policy->every * i;
    if (policy->retry)
      fb_retry_begin(&call->retry, &policy->retry->policy, &sim->random, call->made);
    S_push(sim, i);
  }
  for (size_t i = 0; i < policy->outage_count; i++)
    if (policy->outages[i].to > sim->last_outage) sim->last_outage = policy->outages[i].to;
  return true;
}

static void S_sum(S_sim *sim) {
  fb_sim_result *result = sim->result;
  for (uint32_t i = 0; i < result->row_count; i++) {
    result->total.calls += result->rows[i].calls;
    result->total.ok += result->rows[i].ok;
    result->total.failed += result->rows[i].failed;
    result->total.attempts += result->rows[i].attempts;
    result->total.refused += result->rows[i].refused;
  }
  if (sim->took_count == 0) return;
  qsort(sim->took, sim->took_count, sizeof *sim->took, S_by_time);
  result->median = sim->took[sim->took_count / 2];
  result->high = sim->took[(uint64_t)sim->took_count * 99 / 100];
}

fb_status fb_sim_run(const fb_sim_policy *policy, fb_arena *arena, fb_sim_result *ret_result,
                     fb_error *err) {
  int64_t count = policy->length / policy->every;
  if (count < 1 || count > MOST_CALLS)
    return fb_fail(err, FB_E_LIMIT, "that makes %lld calls; 1 to %d can be simulated",
                   (long long)count, MOST_CALLS);
  *ret_result = (fb_sim_result){.row_count = policy->rows, .recovered = -1};
  S_sim sim = {.policy = policy, .result = ret_result, .count = (uint32_t)count};
  fb_random_seed(&sim.random, policy->seed);
  fb_status status = FB_OK;
  if (policy->breaker) {
    fb_breaker_config config = *policy->breaker;
    config.seed = policy->seed;
    config.event = S_opened;
    config.context = ret_result;
    status = fb_breaker_new(&config, NULL, &sim.breaker, err);
  }
  if (!status && !S_prepare(&sim, arena)) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  if (!status) {
    S_go(&sim);
    S_sum(&sim);
  }
  fb_breaker_free(sim.breaker);
  return status;
}
