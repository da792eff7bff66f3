/* SPDX-License-Identifier: Apache-2.0
 *
 * One call of a step's tool, from its first expression to its end.
 */
#include "mission/record.h"

#include <signal.h>
#include <stdio.h>

/* Output up to this is read back on the run's thread: a trip to another costs more. Bytes. */
enum { SMALL_OUTPUT = 64 << 10 };

static fb_active *S_new(fb_mission_run *run, uint32_t step, uint32_t item) {
  fb_active *active = fb_pool_get(&run->pool);
  if (!active) return NULL;
  memset(active, 0, offsetof(fb_active, error));
  active->error.code = FB_OK;
  active->error.text[0] = active->error.hint[0] = active->error.file[0] = 0;
  active->run = run;
  active->step = step;
  active->item = item;
  active->exit_code = -1;
  active->out = active->err = active->call.output = active->call.decision = fb_absent();
  active->started = fb_run_now(run);
  active->timeout = run->mission->steps[step].timeout;
  fb_arena_init(&active->arena, run->allocator, 1024);
  active->next = run->actives;
  if (run->actives) run->actives->prev = active;
  run->actives = active;
  run->active_count++;
  return active;
}

void fb_run_drop_call(fb_active *active) {
  fb_mission_run *run = active->run;
  if (active->timer) run->world->timer_stop(run->world->context, active->timer);
  if (active->prev)
    active->prev->next = active->next;
  else
    run->actives = active->next;
  if (active->next) active->next->prev = active->prev;
  run->active_count--;
  fb_arena_release(&active->arena);
  fb_pool_put(&run->pool, active);
}

void fb_run_end_call(fb_active *active) {
  fb_run_call_done(active);
  fb_run_drop_call(active);
}

/* The end of a call that was on its way: what it held up may go on. */
static void S_end_and_pump(void *user) {
  fb_active *active = user;
  fb_mission_run *run = active->run;
  fb_run_end_call(active);
  fb_run_pump(run);
}

/* ── The process ─────────────────────────────────────────────────────────────────────────────── */

void fb_run_stop_timer(fb_active *active) {
  const fb_world *world = active->run->world;
  if (active->timer) world->timer_stop(world->context, active->timer);
  active->timer = NULL;
}

/* ── Calls whose end comes later ─────────────────────────────────────────────────────────────── */

fb_active *fb_active_of(fb_call *call) {
  return (fb_active *)((char *)call - offsetof(fb_active, call));
}

const void *fb_call_plan(const fb_call *call) {
  const fb_active *active = fb_active_of((fb_call *)call);
  return active->run->mission->steps[active->step].tool_plan;
}

void fb_call_done(fb_call *call, const fb_error *err) {
  fb_active *active = fb_active_of(call);
  active->pending = false;
  if (err && err->code == FB_E_STEP_WAITS) { /* something inside it does */
    fb_mission_run *run = active->run;
    fb_run_hold(active, err);
    fb_run_pump(run);
    return;
  }
  if (err) {
    active->error = *err;
    active->status = err->code;
  }
  fb_run_hide_result(active);
  if (active->run->recorder) fb_digest_output(active);
  S_end_and_pump(active);
}

/* Whoever cancels may be walking through the calls: the end comes with the next pump. */
static void S_stop_pending(fb_active *active, bool now) {
  fb_mission_run *run = active->run;
  const fb_step *step = &run->mission->steps[active->step];
  if (!active->pending || !step->tool->cancel) return;
  if (!step->tool->cancel(step->tool_plan, &active->call, now)) return;
  active->pending = false;
  active->next_held = run->stopped;
  run->stopped = active;
}

bool fb_run_end_stopped(fb_mission_run *run) {
  fb_active *active = run->stopped;
  if (!active) return false;
  run->stopped = active->next_held;
  active->status = fb_fail(&active->error, FB_E_MISSION_CANCELLED, "cancelled");
  fb_run_end_call(active);
  return true;
}

/* ── Ending early ────────────────────────────────────────────────────────────────────────────── */

static void S_kill_now(void *user) {
  fb_active *active = user;
  active->timer = NULL;
  if (active->process)
    active->run->world->signal(active->run->world->context, active->process, SIGKILL);
  else
    S_stop_pending(active, true);
}

static void S_terminate(fb_active *active) {
  fb_mission_run *run = active->run;
  fb_run_stop_timer(active);
  if (active->pending) S_stop_pending(active, false);
  if (!active->process) return;
  run->world->signal(run->world->context, active->process, SIGTERM);
  active->timer = run->world->timer_start(run->world->context, fb_run_now(run) + run->options.grace,
                                          S_kill_now, active);
  if (!active->timer) S_kill_now(active);
}

static void S_timed_out(void *user) {
  fb_active *active = user;
  fb_mission_run *run = active->run;
  active->timer = NULL;
  active->timed_out = true;
  S_terminate(active);
  fb_run_pump(run);
}

void fb_run_call_cancel(fb_active *active, bool now) {
  if (!active->cancelled && !active->timed_out) active->cancelled = true;
  if (now) {
    fb_run_stop_timer(active);
    S_kill_now(active);
  } else if (!active->killed) {
    active->killed = true;
    S_terminate(active);
  }
}

static void S_exited(void *user, const fb_process_end *how) {
  fb_active *active = user;
  fb_mission_run *run = active->run;
  active->process = NULL;
  fb_run_stop_timer(active);
  active->exit_code = how->code;
  active->signal = how->signal;
  active->out_size = how->out.size;
  active->err_size = how->err.size;
  active->lost = how->lost;
  if (how->out.path) active->out_path = fb_arena_text(&active->arena, fb_slice_of(how->out.path));
  if (how->err.path) active->err_path = fb_arena_text(&active->arena, fb_slice_of(how->err.path));
  if ((how->out.path && !active->out_path) || (how->err.path && !active->err_path)) {
    active->status = fb_fail(&active->error, FB_E_NOMEM, "out of memory");
    S_end_and_pump(active);
    return;
  }
  if (how->out.size + how->err.size > SMALL_OUTPUT &&
      run->world->work(run->world->context, fb_active_work, S_end_and_pump, active) == FB_OK)
    return;
  fb_active_work(active);
  S_end_and_pump(active);
}

/* All that is evaluated for a process is evaluated here: the start may come later. */
static fb_status S_prepare_process(fb_active *active) {
  const fb_step *step = &active->run->mission->steps[active->step];
  fb_process_spec *process = &active->call.process;
  fb_step_scope *scope = &active->call.scope;
  fb_slice dir;
  process->label = active->call.label;
  process->mask = active->run->mask;
  fb_status status = fb_run_call_env(active, &active->error);
  if (!status && step->input)
    status = fb_scope_text(scope, step->input, &process->input, &active->error);
  if (!status && step->dir) {
    status = fb_scope_text(scope, step->dir, &dir, &active->error);
    if (!status) process->dir = fb_arena_text(&active->arena, dir);
    if (!status && !process->dir) status = fb_fail(&active->error, FB_E_NOMEM, "out of memory");
  }
  return status;
}

static fb_status S_start_process(fb_active *active) {
  fb_mission_run *run = active->run;
  const fb_step *step = &run->mission->steps[active->step];
  fb_error err = {0};
  fb_status status = run->world->start(run->world->context, &active->call.process, S_exited, active,
                                       &active->process, &err);
  if (status == FB_E_STEP_SPAWN) { /* the place is the argv in the document */
    fb_mission_fail(run->mission, step->action, &active->error, status, "%s", err.text);
    fb_error_hint(&active->error, "%s", err.hint);
  } else if (status) {
    active->error = err;
  }
  return status;
}

static fb_status S_begin(fb_active *active) {
  const fb_step *step = &active->run->mission->steps[active->step];
  active->pending = true;
  fb_status status = step->tool->begin(step->tool_plan, &active->call, &active->error);
  if (status) active->pending = false;
  return status;
}

/* ── Start ───────────────────────────────────────────────────────────────────────────────────── */

/* "build", "fix.3", "fix.3@2": the second attempt keeps its output beside that of the first. */
static fb_status S_label(fb_active *active) {
  const fb_step *step = &active->run->mission->steps[active->step];
  uint32_t attempt = active->guarded ? active->guarded->attempts : 0;
  const char *label = fb_arena_printf(&active->arena, "%.*s%s", (int)step->id.len, step->id.ptr,
                                      step->undoes ? ".undo" : "");
  if (label && active->run->steps[active->step].items)
    label = fb_arena_printf(&active->arena, "%s.%u", label, active->item);
  if (label && attempt > 1) label = fb_arena_printf(&active->arena, "%s@%u", label, attempt);
  active->call.own_label = label;
  if (label && active->run->prefix)
    label = fb_arena_printf(&active->arena, "%s%s", active->run->prefix, label);
  if (!label) return fb_fail(&active->error, FB_E_NOMEM, "out of memory");
  active->call.label = label;
  return FB_OK;
}

static fb_status S_key(fb_active *active) {
  char key[33];
  fb_step_key(active, key);
  active->call.key = fb_arena_text(&active->arena, fb_slice_of(key));
  return active->call.key ? FB_OK : fb_fail(&active->error, FB_E_NOMEM, "out of memory");
}

static fb_status S_prepare(fb_active *active) {
  fb_mission_run *run = active->run;
  const fb_step *step = &run->mission->steps[active->step];
  active->call.arena = &active->arena;
  active->call.world = run->world;
  active->call.hash_seed = run->options.hash_seed;
  active->call.zone = run->options.zone;
  active->call.roots = run->roots;
  active->call.root_count = run->root_count;
  active->call.zone_context = run->options.zone_context;
  if (active->timeout) active->call.deadline = active->started + active->timeout;
  active->call.scope = fb_run_scope(run, &active->arena);
  fb_status status = S_label(active);
  if (!status) status = S_key(active);
  if (!status) status = step->tool->prepare(step->tool_plan, &active->call, &active->error);
  if (!status && step->tool->process) status = S_prepare_process(active);
  return status;
}

fb_status fb_run_prepare_check(fb_active *active) {
  const fb_step *step = &active->run->mission->steps[active->step];
  active->call.arena = &active->arena;
  active->call.world = active->run->world;
  active->call.scope = fb_run_scope(active->run, &active->arena);
  fb_status status = S_label(active);
  if (!status) status = S_key(active);
  if (!status) status = step->check->prepare(step->check_plan, &active->call, &active->error);
  if (!status) status = S_prepare_process(active);
  const char *label =
      status ? NULL : fb_arena_printf(&active->arena, "%s.check", active->call.label);
  if (!status && !label) return fb_fail(&active->error, FB_E_NOMEM, "out of memory");
  active->call.process.label = label;
  active->call.process.input = (fb_slice){0};
  return status;
}

/* *ret_skip: the item's condition is false. */
static fb_status S_item_condition(fb_active *active, bool *ret_skip) {
  fb_mission_run *run = active->run;
  const fb_step *step = &run->mission->steps[active->step];
  fb_value value;
  *ret_skip = false;
  if (!step->condition || !step->condition_by_item) return FB_OK;
  fb_step_scope scope = fb_run_scope(run, &active->arena);
  fb_status status = fb_cel_eval(step->condition, scope.slots, scope.cel, &value, &active->error);
  if (!status && value.kind != FB_BOOL)
    status = fb_mission_fail(run->mission, step->condition_node, &active->error, FB_E_STEP_VALUE,
                             "the condition is %s, not a bool", fb_kind_name((fb_kind)value.kind));
  *ret_skip = !status && !value.as.b;
  return status;
}

void fb_run_not_started(fb_active *active, fb_status status) {
  active->status = status;
  if (active->error.code == FB_OK) fb_fail(&active->error, status, "it cannot be started");
  fb_run_end_call(active);
}

void fb_run_launch(fb_active *active) {
  fb_mission_run *run = active->run;
  const fb_step *step = &run->mission->steps[active->step];
  fb_status status = FB_OK;
  if (active->timeout) { /* before it begins: a step that nothing would end must not */
    active->timer = run->world->timer_start(run->world->context, active->started + active->timeout,
                                            S_timed_out, active);
    if (!active->timer) status = fb_fail(&active->error, FB_E_NOMEM, "out of memory");
  }
  /* From here on the work may be under way on another thread: `active` is its own. */
  if (!status && step->tool->process)
    status = S_start_process(active);
  else if (!status && step->tool->begin)
    status = S_begin(active);
  else if (!status)
    status = run->world->work(run->world->context, fb_active_work, S_end_and_pump, active);
  if (status) fb_run_not_started(active, status);
}

void fb_run_never_called(fb_mission_run *run, uint32_t step, uint32_t item, fb_status status,
                         const fb_error *err) {
  fb_active gone = {.run = run, .step = step, .item = item, .exit_code = -1};
  gone.out = gone.err = gone.call.output = gone.call.decision = fb_absent();
  gone.started = fb_run_now(run);
  gone.status = status;
  gone.error = *err;
  gone.cancelled = gone.not_begun = status == FB_E_MISSION_CANCELLED;
  fb_arena_init(&gone.arena, run->allocator, 0);
  fb_run_call_done(&gone);
  fb_arena_release(&gone.arena);
}

static void S_no_memory(fb_mission_run *run, uint32_t step, uint32_t item) {
  fb_error err = {0};
  fb_fail(&err, FB_E_NOMEM, "out of memory");
  fb_run_never_called(run, step, item, FB_E_NOMEM, &err);
}

/* Everything is decided: prepares and launches. */
static void S_go(fb_active *active) {
  fb_status status = S_prepare(active);
  if (!status) status = fb_cache_key(active);
  if (status == FB_E_STEP_WAITS) {
    fb_error why = active->error;
    fb_run_hold(active, &why);
  } else if (status)
    fb_run_not_started(active, status);
  else if (active->run->recorder)
    fb_record_intent(active);
  else
    fb_run_launch(active);
}

void fb_run_call_again(fb_try *guarded) {
  fb_mission_run *run = guarded->run;
  fb_active *active = S_new(run, guarded->step, guarded->item);
  if (!active) {
    fb_try_abandon(guarded);
    S_no_memory(run, guarded->step, guarded->item);
    return;
  }
  active->guarded = guarded;
  fb_try_begin(active);
  fb_run_set_item(run, &run->steps[active->step], active->item);
  S_go(active);
}

void fb_run_start_timeout(fb_active *active) {
  const fb_world *world = active->run->world;
  active->timer = world->timer_start(world->context, fb_run_now(active->run) + active->timeout,
                                     S_timed_out, active);
}

/* The run was cut off after its steps were over: those that had not been made are not made any more. */
static bool S_comes_too_late(fb_active *active) {
  const fb_mission_run *run = active->run;
  fb_mission_status outcome;
  if (!run->recorder || run->mission->steps[active->step].phase != FB_PHASE_MAIN ||
      !fb_record_is_past_main(run, &outcome))
    return false;
  active->replayed = true; /* what the journal knows stays as it is */
  active->replayed_status = FB_STEP_CANCELLED;
  fb_fail(&active->error, FB_E_MISSION_CANCELLED, "cancelled before the run was cut off");
  return true;
}

void fb_run_call(fb_mission_run *run, uint32_t step_number, uint32_t item) {
  fb_active *active = S_new(run, step_number, item);
  if (!active) {
    S_no_memory(run, step_number, item);
    return;
  }
  fb_run_set_item(run, &run->steps[step_number], item);
  if ((run->recorder && fb_record_replay(active)) || S_comes_too_late(active))
    fb_run_end_call(active);
  else if (!run->recorder || !fb_doubt_take(active))
    fb_run_call_go(active);
}

/* True: it has ended, with a result that was kept, or because that could not be looked for. */
static bool S_take_cached(fb_active *active) {
  if (!active->run->mission->steps[active->step].cache || !active->run->options.cache_dir)
    return false;
  fb_status status = S_prepare(active);
  if (!status) status = fb_cache_key(active);
  if (!status && !fb_cache_take(active)) return false;
  if (status)
    fb_run_not_started(active, status);
  else
    fb_run_end_call(active);
  return true;
}

void fb_run_call_go(fb_active *active) {
  fb_mission_run *run = active->run;
  bool skip;
  uint32_t step_number = active->step, item = active->item;
  fb_run_set_item(run, &run->steps[step_number], item);
  active->status = S_item_condition(active, &skip);
  if (skip) {
    fb_run_drop_call(active);
    fb_run_item_skipped(run, step_number, item);
    return;
  }
  if (active->status) {
    fb_run_not_started(active, active->status);
    return;
  }
  if (S_take_cached(active)) return;
  if (run->mission->steps[step_number].guard) {
    fb_pass pass = fb_try_enter(active);
    if (pass == FB_PASS_WAIT) fb_run_drop_call(active);
    if (pass == FB_PASS_FAILED) fb_run_not_started(active, active->status);
    if (pass != FB_PASS_GO) return;
    fb_try_begin(active);
  }
  S_go(active);
}
