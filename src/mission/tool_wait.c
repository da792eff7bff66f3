/* SPDX-License-Identifier: Apache-2.0
 *
 * wait: for a while, or until a time. It costs a timer, no thread and no process.
 */
#include "mission/plan.h"

typedef struct S_job {
  int64_t at; /* the clock's mono */
  fb_timer *timer;
} S_job;

static bool S_nanos(fb_slice text, int64_t *ret_nanos) {
  int64_t seconds;
  int32_t nanos;
  if (!fb_duration_parse(text, &seconds, &nanos) || seconds < 0 || nanos < 0 ||
      seconds > INT64_C(9000000000))
    return false;
  *ret_nanos = seconds * 1000000000 + nanos;
  return true;
}

/* A wait that was cut off goes on; a clock that was set back does not make it longer. */
static int64_t S_rest(int64_t nanos, int64_t since, int64_t wall) {
  if (!since || wall <= since) return nanos;
  return wall - since < nanos ? nanos - (wall - since) : 0;
}

/* ns since 1970 */
static bool S_time(fb_slice text, int64_t *ret_wall) {
  int64_t seconds;
  uint32_t nanos;
  if (!fb_time_parse(text, &seconds, &nanos) || seconds > INT64_C(9000000000)) return false;
  *ret_wall = seconds < 0 ? 0 : seconds * 1000000000 + nanos;
  return true;
}

static fb_status S_load(fb_mission_loader *loader, const fb_node *node, void **ret_plan) {
  fb_text *text = fb_loader_text(loader, node, NULL);
  fb_value constant;
  int64_t unused;
  *ret_plan = text;
  if (!text || !fb_text_constant(text, &constant)) return FB_OK;
  if (constant.kind != FB_STRING ||
      !(S_nanos(fb_value_text(constant), &unused) || S_time(fb_value_text(constant), &unused)))
    fb_load_fail(loader, node, FB_E_MISSION_VALUE, "wait: 30s, wait: 2026-01-31T08:00:00Z",
                 "`wait` takes a duration or a time");
  return FB_OK;
}

static fb_status S_prepare(const void *plan, fb_call *call, fb_error *err) {
  const fb_clock *clock = call->world->clock;
  int64_t now = clock->mono(clock->context), wall = clock->wall(clock->context), nanos;
  S_job *job = fb_arena_zero(call->arena, sizeof *job);
  fb_value value;
  if (!job) return fb_fail(err, FB_E_NOMEM, "out of memory");
  call->state = job;
  fb_status status = fb_scope_value(&call->scope, plan, &value, err);
  if (status) return status;
  fb_slice text;
  status = fb_scope_render(&call->scope, value, &text, err);
  if (status) return status;
  if (S_nanos(text, &nanos))
    job->at = now + S_rest(nanos, call->since, wall);
  else if (S_time(text, &nanos))
    job->at = nanos > wall ? now + (nanos - wall) : now;
  else
    return fb_fail(err, FB_E_STEP_VALUE, "`wait` takes a duration or a time, not %.*s",
                   (int)(text.len < 60 ? text.len : 60), text.ptr);
  return FB_OK;
}

static void S_fired(void *user) {
  fb_call *call = user;
  ((S_job *)call->state)->timer = NULL;
  fb_call_done(call, NULL);
}

static fb_status S_begin(const void *plan, fb_call *call, fb_error *err) {
  S_job *job = call->state;
  (void)plan;
  job->timer = call->world->timer_start(call->world->context, job->at, S_fired, call);
  return job->timer ? FB_OK : fb_fail(err, FB_E_NOMEM, "out of memory");
}

static bool S_cancel(const void *plan, fb_call *call, bool now) {
  S_job *job = call->state;
  (void)plan;
  (void)now;
  if (!job->timer) return false;
  call->world->timer_stop(call->world->context, job->timer);
  job->timer = NULL;
  return true;
}

static void S_describe(const void *plan, fb_step_scope *scope, fb_buf *out) {
  fb_buf_text(out, "wait ");
  fb_scope_show(scope, plan, out);
}

const fb_tool fb_tool_wait = {.key = "wait",
                              .load = S_load,
                              .prepare = S_prepare,
                              .begin = S_begin,
                              .cancel = S_cancel,
                              .describe = S_describe};
