/* SPDX-License-Identifier: Apache-2.0
 *
 * The scheduler: which step is next, what its end means for the others, and when all is over.
 */
#include "mission/record.h"
#include "mission/schema.h"

void fb_run_enqueue(fb_mission_run *run, uint32_t step) {
  fb_step_run *state = &run->steps[step];
  if (state->queued) return;
  state->queued = true;
  state->next = FB_NO_STEP;
  uint8_t queue = run->mission->steps[step].priority;
  if (run->first_ready[queue] == FB_NO_STEP)
    run->first_ready[queue] = step;
  else
    run->steps[run->last_ready[queue]].next = step;
  run->last_ready[queue] = step;
  run->ready++;
}

static uint32_t S_dequeue(fb_mission_run *run) {
  int queue = 0;
  while (run->first_ready[queue] == FB_NO_STEP) queue++;
  uint32_t step = run->first_ready[queue];
  run->first_ready[queue] = run->steps[step].next;
  run->steps[step].queued = false;
  run->ready--;
  return step;
}

void fb_run_dequeue_all(fb_mission_run *run) {
  while (run->ready) S_dequeue(run);
}

/* ── The end of a step ───────────────────────────────────────────────────────────────────────── */

static bool S_looks_at(const fb_step *step, uint32_t need) {
  for (uint32_t i = 0; i < step->condition_need_count; i++)
    if (step->condition_needs[i] == need) return true;
  return false;
}

/* Whether steps that need this one must be left out. One that its own condition left out is as good as
 * done; one that may fail is too. */
static bool S_is_bad(const fb_step *step, const fb_step_run *state) {
  if (state->status == FB_STEP_SKIPPED) return state->skip == FB_SKIP_NEED;
  return state->status != FB_STEP_OK && step->on_error == FB_ON_ERROR_STOP;
}

static void S_tell_dependents(fb_mission_run *run, uint32_t number) {
  const fb_step *step = &run->mission->steps[number];
  bool bad = S_is_bad(step, &run->steps[number]);
  for (uint32_t i = 0; i < step->dependent_count; i++) {
    uint32_t other = step->dependents[i];
    fb_step_run *state = &run->steps[other];
    if (bad && !state->bad_need && !S_looks_at(&run->mission->steps[other], number))
      state->bad_need = number + 1;
    if (--state->waiting == 0 && state->status == FB_STEP_PENDING) fb_run_enqueue(run, other);
  }
}

void fb_run_step_arena(fb_mission_run *run, fb_step_run *state) {
  if (state->has_arena) return;
  fb_arena_init(&state->arena, run->allocator, 512);
  state->has_arena = true;
}

static void S_no_memory(fb_mission_run *run, fb_step_run *state) {
  fb_error err = {0};
  fb_fail(&err, FB_E_NOMEM, "out of memory");
  if (!state->error) state->error = fb_run_keep_error(run, &err);
  state->status = FB_STEP_FAILED;
}

/* Sets the slot that expressions read. Without memory for it the step has failed. */
static void S_set_result(fb_mission_run *run, uint32_t number, fb_outcome *result) {
  fb_step_run *state = &run->steps[number];
  if (!run->mission->steps[number].referenced) return;
  fb_run_step_arena(run, state);
  fb_value value = fb_absent();
  if (fb_result_value(result, &state->arena, &value) && result->status == FB_STEP_OK)
    S_no_memory(run, state);
  run->slots[fb_slot_of_step(run->mission, number)] = value;
}

/* What the step gave is what the one that failed would have given. False: no memory. */
static bool S_stand_in(fb_mission_run *run, uint32_t number, fb_value output) {
  uint32_t failed = run->mission->steps[number].fallback_of - 1;
  fb_value *slot = &run->slots[fb_slot_of_step(run->mission, failed)];
  if (slot->kind != FB_MAP) return true; /* nobody looks at it */
  fb_step_run *state = &run->steps[number];
  fb_run_step_arena(run, state);
  fb_map *map = fb_map_new(&state->arena, slot->as.map->len);
  for (uint32_t i = 0; map && i < slot->as.map->len; i++) {
    const fb_entry *entry = &slot->as.map->entries[i];
    bool is_output = fb_slice_equal(fb_value_text(entry->key), FB_SLICE("output"));
    fb_value value = !is_output ? entry->value : output.kind == FB_ABSENT ? fb_null() : output;
    if (!fb_map_put(map, &state->arena, entry->key, value, NULL)) return false;
  }
  if (map) *slot = fb_map_value(map);
  return map != NULL;
}

void fb_run_final(fb_mission_run *run, uint32_t number, fb_outcome *result) {
  const fb_step *step = &run->mission->steps[number];
  fb_step_run *state = &run->steps[number];
  bool began = state->status == FB_STEP_RUNNING;
  state->status = (uint8_t)result->status;
  state->duration = began ? fb_run_now(run) - state->started : 0;
  state->exit_code = (int16_t)result->exit_code;
  state->signal = (int16_t)result->signal;
  if (result->error) state->error = fb_run_keep_error(run, result->error);
  if (state->error && result->error) result->error = state->error;
  state->ended = ++run->ended;
  result->duration = state->duration;
  S_set_result(run, number, result);
  if (step->fallback_of && state->status == FB_STEP_OK && !S_stand_in(run, number, result->output))
    S_no_memory(run, state);
  run->open--;
  fb_mission_event event = {.kind = FB_MISSION_EVENT_STEP_FINISHED,
                            .step = number,
                            .status = (fb_step_status)state->status,
                            .duration = state->duration,
                            .exit_code = result->exit_code,
                            .signal = result->signal,
                            .error = state->error,
                            .note = state->note};
  fb_run_emit(run, &event);
  bool failed = state->status == FB_STEP_FAILED || state->status == FB_STEP_TIMEOUT;
  if (failed && step->on_error == FB_ON_ERROR_STOP) run->failed = true;
  S_tell_dependents(run, number);
  if (failed && step->on_error == FB_ON_ERROR_STOP && run->mission->limits.fail_fast &&
      step->phase == FB_PHASE_MAIN)
    fb_run_end_all(run, FB_MISSION_FAILED, false);
}

void fb_run_final_without_call(fb_mission_run *run, uint32_t number, fb_step_status status,
                               const fb_error *err) {
  fb_outcome result = {.status = status,
                       .output = fb_absent(),
                       .out = fb_absent(),
                       .err = fb_absent(),
                       .exit_code = -1,
                       .error = err,
                       .items = run->steps[number].items};
  if (run->recorder) fb_record_settled(run, number, &result);
  fb_run_final(run, number, &result);
}

/* ── The start of a step ─────────────────────────────────────────────────────────────────────── */

static void S_skip_for_need(fb_mission_run *run, uint32_t number, uint32_t need) {
  fb_slice id = run->mission->steps[need].id;
  fb_error err = {0};
  fb_fail(&err, FB_E_STEP_NEED, "it needs `%.*s`, which %s", (int)id.len, id.ptr,
          run->steps[need].status == FB_STEP_SKIPPED     ? "was not run"
          : run->steps[need].status == FB_STEP_CANCELLED ? "was cancelled"
                                                         : "failed");
  run->steps[number].skip = FB_SKIP_NEED;
  fb_run_final_without_call(run, number, FB_STEP_SKIPPED, &err);
}

/* The first need that failed, whether the condition looks at it or not; FB_NO_STEP: none. */
static uint32_t S_failed_need(const fb_mission_run *run, uint32_t number) {
  const fb_step *step = &run->mission->steps[number];
  for (uint32_t i = 0; i < step->need_count; i++)
    if (S_is_bad(&run->mission->steps[step->needs[i]], &run->steps[step->needs[i]]))
      return step->needs[i];
  return FB_NO_STEP;
}

/* Whether the step goes on. If not, it is final. */
static bool S_condition(fb_mission_run *run, uint32_t number) {
  const fb_step *step = &run->mission->steps[number];
  fb_error err = {0};
  fb_value value = fb_bool(true);
  fb_arena_reset(&run->scratch);
  fb_step_scope scope = fb_run_scope(run, &run->scratch);
  fb_run_set_item(run, &(fb_step_run){0}, 0);
  fb_status status = fb_cel_eval(step->condition, scope.slots, scope.cel, &value, &err);
  if (!status && value.kind != FB_BOOL)
    status = fb_mission_fail(run->mission, step->condition_node, &err, FB_E_STEP_VALUE,
                             "the condition is %s, not a bool", fb_kind_name((fb_kind)value.kind));
  if (status) {
    /* A condition over the result of a step that failed may well have no value. */
    uint32_t need = S_failed_need(run, number);
    if (need != FB_NO_STEP)
      S_skip_for_need(run, number, need);
    else
      fb_run_final_without_call(run, number, FB_STEP_FAILED, &err);
    return false;
  }
  if (value.as.b) return true;
  run->steps[number].skip = FB_SKIP_CONDITION;
  fb_run_final_without_call(run, number, FB_STEP_SKIPPED, NULL);
  return false;
}

static void S_running(fb_mission_run *run, uint32_t number) {
  fb_step_run *state = &run->steps[number];
  state->status = FB_STEP_RUNNING;
  state->started = fb_run_now(run);
  if (run->recorder && fb_record_knows(run, number)) return;
  fb_mission_event event = {.kind = FB_MISSION_EVENT_STEP_STARTED,
                            .step = number,
                            .status = FB_STEP_RUNNING,
                            .exit_code = -1};
  fb_run_emit(run, &event);
}

static bool S_has_failed(const fb_step_run *state) {
  return state->status == FB_STEP_FAILED || state->status == FB_STEP_TIMEOUT;
}

static void S_begin(fb_mission_run *run, uint32_t number) {
  const fb_step *step = &run->mission->steps[number];
  fb_step_run *state = &run->steps[number];
  if (state->items) {
    if (fb_items_may_start(run, number)) fb_items_start(run, number);
    return;
  }
  if (run->recorder && fb_record_replay_settled(run, number)) return;
  if (state->bad_need) {
    S_skip_for_need(run, number, state->bad_need - 1);
    return;
  }
  if (step->fallback_of && !S_has_failed(&run->steps[step->fallback_of - 1])) {
    state->skip = FB_SKIP_CONDITION;
    fb_run_final_without_call(run, number, FB_STEP_SKIPPED, NULL);
    return;
  }
  if (step->condition && !step->condition_by_item && !S_condition(run, number)) return;
  S_running(run, number);
  bool undoes_items = step->undoes && run->mission->steps[step->undoes - 1].for_each;
  if (!step->for_each && !undoes_items) {
    fb_run_call(run, number, 0);
    return;
  }
  fb_error err = {0};
  const fb_items *items =
      undoes_items ? fb_items_undo(run, number, &err) : fb_items_expand(run, number, &err);
  if (!items)
    fb_run_final_without_call(run, number, FB_STEP_FAILED, &err);
  else if (items->count == 0)
    fb_items_end(run, number);
  else
    fb_items_start(run, number);
}

/* ── The end of the run ──────────────────────────────────────────────────────────────────────── */

static void S_outputs(fb_mission_run *run) {
  const fb_mission *mission = run->mission;
  fb_map *map = fb_map_new(&run->arena, mission->output_count);
  fb_error err = {0};
  fb_status status = map ? FB_OK : fb_fail(&err, FB_E_NOMEM, "out of memory");
  fb_run_set_item(run, &(fb_step_run){0}, 0);
  for (uint32_t i = 0; map && i < mission->output_count; i++) {
    fb_value value;
    fb_error one = {0};
    fb_step_scope scope = fb_run_scope(run, &run->arena);
    const fb_output *output = &mission->outputs[i];
    fb_status got = fb_scope_value(&scope, output->value, &value, &one);
    bool unfit = !got && output->schema &&
                 fb_schema_check(output->schema, output->name, value, &one) != FB_OK;
    if (unfit) {
      one.code = FB_E_STEP_VALUE;
      fb_error_prefix(&one, "output");
      if (!status) err = one;
      if (!status) status = FB_E_STEP_VALUE;
    }
    if (!got && !fb_map_put(map, &run->arena, fb_string(mission->outputs[i].name), value, NULL))
      got = fb_fail(&one, FB_E_NOMEM, "out of memory");
    if (got && !status) {
      status = got;
      err = one;
      fb_error_prefix(&err, "the output `%.*s` has no value", (int)mission->outputs[i].name.len,
                      mission->outputs[i].name.ptr);
    }
  }
  run->outputs = map ? fb_map_value(map) : fb_null();
  if (fb_mask_value(run->mask, run->outputs, &run->arena, &run->outputs)) {
    run->outputs = fb_null();
    status = fb_fail(&err, FB_E_NOMEM, "out of memory");
  }
  if (status && fb_run_outcome(run) == FB_MISSION_OK) {
    run->failed = true;
    run->error = fb_run_keep_error(run, &err);
  }
}

static void S_finish(fb_mission_run *run) {
  const fb_world *world = run->world;
  if (run->timer) world->timer_stop(world->context, run->timer);
  run->timer = NULL;
  if (run->open == 0) S_outputs(run);
  run->duration = fb_run_now(run) - run->started;
  run->final = run->held ? FB_MISSION_WAITING : fb_run_outcome(run);
  if (!run->recorder || !fb_record_finish(run)) fb_run_finished(run);
}

void fb_run_finished(fb_mission_run *run) {
  run->status = run->final;
  fb_mission_event event = {.kind = FB_MISSION_EVENT_RUN_FINISHED,
                            .duration = run->duration,
                            .exit_code = -1,
                            .error = run->error};
  fb_run_emit(run, &event);
  if (run->options.on_finished) run->options.on_finished(run->options.finished_user);
}

static void S_start_ready(fb_mission_run *run) {
  while (run->active_count < run->parallel && run->ending == FB_MISSION_GOING) {
    if (fb_tries_ready(run))
      fb_tries_go(run);
    else if (run->ready)
      S_begin(run, S_dequeue(run));
    else
      return;
  }
}

void fb_run_pump(fb_mission_run *run) {
  bool stuck, over;
  if (run->pumping || run->status != FB_MISSION_GOING) return;
  do { /* a phase after the other, and a step that undoes after the other */
    run->pumping = true;
    do S_start_ready(run);
    while (fb_run_end_stopped(run));
    run->pumping = false;
    /* What is held needs no process: the run ends, and goes on from its journal. */
    stuck = run->held && !run->ready && !fb_tries_ready(run) && !run->guards.tries;
    over = (run->open == 0 || stuck) && run->active_count == 0;
  } while (over && !stuck && fb_run_next_phase(run));
  if (run->recorder && fb_record_pump(run, over)) return;
  if (over) S_finish(run);
}

/* Everything that has not begun is cancelled at once. */
static void S_begin_no_more(fb_mission_run *run, fb_mission_status ending) {
  if (run->ending != FB_MISSION_GOING) return;
  uint32_t first, end;
  run->ending = ending;
  fb_tries_cancel(run);
  run->held = NULL;
  fb_run_phase_steps(run, &first, &end);
  for (uint32_t i = first; i < end; i++) {
    /* Of what undoes, only the one whose turn it is counts as open. */
    if (run->phase == FB_PHASE_UNDO && run->steps[i].status == FB_STEP_PENDING &&
        !run->steps[i].queued) {
      run->steps[i].status = FB_STEP_SKIPPED;
      run->steps[i].skip = FB_SKIP_CONDITION;
      continue;
    }
    if (run->steps[i].status == FB_STEP_PENDING || run->steps[i].status == FB_STEP_WAITING)
      fb_run_final_without_call(run, i, FB_STEP_CANCELLED, NULL);
    else if (run->steps[i].items && !fb_run_is_final(&run->steps[i]))
      run->steps[i].items->stop = true;
  }
  for (uint32_t i = first; i < end; i++)
    if (run->steps[i].status == FB_STEP_RUNNING && run->steps[i].items) fb_items_end(run, i);
}

void fb_run_end_all(fb_mission_run *run, fb_mission_status ending, bool now) {
  S_begin_no_more(run, ending);
  for (fb_active *active = run->actives; active; active = active->next)
    fb_run_call_cancel(active, now);
}

void fb_run_wind_down(fb_mission_run *run, const fb_error *err) {
  if (!run->error) run->error = fb_run_keep_error(run, err);
  run->failed = true;
  S_begin_no_more(run, FB_MISSION_FAILED);
}

void fb_mission_run_cancel(fb_mission_run *run, bool now) {
  if (run->status != FB_MISSION_GOING) return;
  /* What undoes and cleans up is done all the same, unless it is pressed. */
  if (run->phase != FB_PHASE_MAIN && !now) return;
  run->pressed = run->phase != FB_PHASE_MAIN;
  fb_run_end_all(run, FB_MISSION_CANCELLED, now);
  fb_run_pump(run);
}
