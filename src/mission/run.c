/* SPDX-License-Identifier: Apache-2.0
 *
 * The scheduler: which step is next, what its end means for the others, and when all is over.
 */
#include "mission/run.h"

#include <stdio.h>

enum { EVALUATION_STEPS = 10000000 };

/* ── Small things ────────────────────────────────────────────────────────────────────────────── */

const char *fb_step_status_name(fb_step_status status) {
  static const char *const names[] = {"pending", "running", "ok",       "failed",
                                      "timeout", "skipped", "cancelled"};
  return names[status];
}

const char *fb_mission_status_name(fb_mission_status status) {
  static const char *const names[] = {"running", "ok", "failed", "timeout", "cancelled"};
  return names[status];
}

int64_t fb_run_now(const fb_mission_run *run) {
  return run->world->clock->mono(run->world->clock->context);
}

fb_step_scope fb_run_scope(fb_mission_run *run, fb_arena *arena) {
  run->cel.arena = arena;
  run->cel.steps = EVALUATION_STEPS;
  return (fb_step_scope){
      .mission = run->mission, .slots = run->slots, .cel = &run->cel, .arena = arena};
}

void fb_run_emit(fb_mission_run *run, fb_mission_event *event) {
  if (!run->options.on_event) return;
  event->wall = run->world->clock->wall(run->world->clock->context);
  run->options.on_event(run->options.context, event);
}

fb_error *fb_run_keep_error(fb_mission_run *run, const fb_error *err) {
  return fb_arena_copy(&run->arena, err, sizeof *err);
}

void fb_run_set_item(fb_mission_run *run, const fb_step_run *state, uint32_t number) {
  fb_value item = fb_absent(), index = fb_absent();
  if (state->items) {
    fb_value over = state->items->over;
    item = over.kind == FB_LIST ? over.as.list->items[number]
                                : state->items->results[state->items->count + number];
    index = fb_int(number);
  }
  run->slots[fb_slot_item(run->mission)] = item;
  run->slots[fb_slot_index(run->mission)] = index;
}

static bool S_is_final(const fb_step_run *state) {
  return state->status > FB_STEP_RUNNING;
}

static void S_enqueue(fb_mission_run *run, uint32_t step) {
  fb_step_run *state = &run->steps[step];
  if (state->queued) return;
  state->queued = true;
  state->next = FB_NO_STEP;
  if (run->first_ready == FB_NO_STEP)
    run->first_ready = step;
  else
    run->steps[run->last_ready].next = step;
  run->last_ready = step;
}

static uint32_t S_dequeue(fb_mission_run *run) {
  uint32_t step = run->first_ready;
  run->first_ready = run->steps[step].next;
  run->steps[step].queued = false;
  return step;
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
  return state->status != FB_STEP_OK && step->on_error != FB_ON_ERROR_CONTINUE;
}

static void S_tell_dependents(fb_mission_run *run, uint32_t number) {
  const fb_step *step = &run->mission->steps[number];
  bool bad = S_is_bad(step, &run->steps[number]);
  for (uint32_t i = 0; i < step->dependent_count; i++) {
    uint32_t other = step->dependents[i];
    fb_step_run *state = &run->steps[other];
    if (bad && !state->bad_need && !S_looks_at(&run->mission->steps[other], number))
      state->bad_need = number + 1;
    if (--state->waiting == 0 && state->status == FB_STEP_PENDING) S_enqueue(run, other);
  }
}

static void S_end_all(fb_mission_run *run, fb_mission_status ending, bool now);

static void S_arena(fb_mission_run *run, fb_step_run *state) {
  if (state->has_arena) return;
  fb_arena_init(&state->arena, run->allocator, 512);
  state->has_arena = true;
}

/* Sets the slot that expressions read. Without memory for it the step has failed. */
static void S_set_result(fb_mission_run *run, uint32_t number, fb_result *result) {
  fb_step_run *state = &run->steps[number];
  if (!run->mission->steps[number].referenced) return;
  S_arena(run, state);
  fb_value value = fb_absent();
  if (fb_result_value(result, &state->arena, &value)) {
    fb_error err = {0};
    fb_fail(&err, FB_E_NOMEM, "out of memory");
    if (!state->error) state->error = fb_run_keep_error(run, &err);
    if (result->status == FB_STEP_OK) state->status = FB_STEP_FAILED;
  }
  run->slots[fb_slot_of_step(run->mission, number)] = value;
}

static void S_final(fb_mission_run *run, uint32_t number, fb_result *result) {
  const fb_step *step = &run->mission->steps[number];
  fb_step_run *state = &run->steps[number];
  bool began = state->status == FB_STEP_RUNNING;
  state->status = (uint8_t)result->status;
  state->duration = began ? fb_run_now(run) - state->started : 0;
  state->exit_code = (int16_t)result->exit_code;
  state->signal = (int16_t)result->signal;
  if (result->error) state->error = fb_run_keep_error(run, result->error);
  result->duration = state->duration;
  S_set_result(run, number, result);
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
  if (failed && step->on_error == FB_ON_ERROR_STOP && run->mission->limits.fail_fast)
    S_end_all(run, FB_MISSION_FAILED, false);
}

static void S_final_without_call(fb_mission_run *run, uint32_t number, fb_step_status status,
                                 const fb_error *err) {
  fb_result result = {.status = status,
                      .output = fb_absent(),
                      .out = fb_absent(),
                      .err = fb_absent(),
                      .exit_code = -1,
                      .error = err,
                      .items = run->steps[number].items};
  S_final(run, number, &result);
}

/* ── Items ───────────────────────────────────────────────────────────────────────────────────── */

static bool S_may_start_item(const fb_mission_run *run, uint32_t number) {
  const fb_items *items = run->steps[number].items;
  uint32_t most = run->mission->steps[number].item_parallel;
  return !items->stop && items->next < items->count && (!most || items->running < most);
}

static void S_end_items(fb_mission_run *run, uint32_t number) {
  fb_step_run *state = &run->steps[number];
  const fb_items *items = state->items;
  if (items->running || (items->next < items->count && !items->stop)) return;
  fb_step_status status = FB_STEP_OK;
  if (items->failed)
    status = FB_STEP_FAILED;
  else if (items->next < items->count || run->ending != FB_MISSION_GOING)
    status = FB_STEP_CANCELLED;
  S_final_without_call(run, number, status, state->error);
}

static void S_item_final(fb_mission_run *run, uint32_t number, uint32_t item, fb_result *result) {
  const fb_step *step = &run->mission->steps[number];
  fb_step_run *state = &run->steps[number];
  fb_items *items = state->items;
  items->done++;
  if (step->referenced) {
    fb_value copy = fb_absent();
    if (!fb_value_copy(&state->arena, result->output, &copy)) result->output = copy;
    if (!fb_value_copy(&state->arena, result->out, &copy)) result->out = copy;
    if (!fb_value_copy(&state->arena, result->err, &copy)) result->err = copy;
    if (fb_result_value(result, &state->arena, &items->results[item]))
      items->results[item] = fb_absent();
  }
  fb_mission_event event = {.kind = FB_MISSION_EVENT_ITEM_FINISHED,
                            .step = number,
                            .item = item,
                            .status = result->status,
                            .duration = result->duration,
                            .exit_code = result->exit_code,
                            .signal = result->signal,
                            .error = result->error};
  fb_run_emit(run, &event);
  if (result->status == FB_STEP_FAILED || result->status == FB_STEP_TIMEOUT) {
    if (items->failed++ == 0 && result->error) {
      fb_error err = *result->error;
      err.code = FB_E_STEP_ITEM;
      fb_error_prefix(&err, "item %u", item);
      state->error = fb_run_keep_error(run, &err);
    }
    if (run->mission->limits.fail_fast && step->on_error == FB_ON_ERROR_STOP) items->stop = true;
  }
}

/* What the end of an item makes room for: the next one, or the end of the step. */
static void S_after_item(fb_mission_run *run, uint32_t number) {
  if (S_may_start_item(run, number) && run->ending == FB_MISSION_GOING)
    S_enqueue(run, number);
  else
    S_end_items(run, number);
}

void fb_run_item_skipped(fb_mission_run *run, uint32_t step, uint32_t item) {
  fb_result result = {.status = FB_STEP_SKIPPED,
                      .output = fb_absent(),
                      .out = fb_absent(),
                      .err = fb_absent(),
                      .exit_code = -1};
  fb_items *items = run->steps[step].items;
  items->running--;
  S_item_final(run, step, item, &result);
  S_after_item(run, step);
}

/* Items of a map are {key, value}; they stand behind the results. */
static fb_status S_map_items(fb_step_run *state, const fb_map *map) {
  fb_items *items = state->items;
  for (uint32_t i = 0; i < map->len; i++) {
    fb_map *pair = fb_map_new(&state->arena, 2);
    if (!pair ||
        !fb_map_put(pair, &state->arena, fb_string(FB_SLICE("key")), map->entries[i].key, NULL) ||
        !fb_map_put(pair, &state->arena, fb_string(FB_SLICE("value")), map->entries[i].value, NULL))
      return FB_E_NOMEM;
    items->results[items->count + i] = fb_map_value(pair);
  }
  return FB_OK;
}

/* NULL: *err tells why. */
static const fb_items *S_expand(fb_mission_run *run, uint32_t number, fb_error *err) {
  const fb_step *step = &run->mission->steps[number];
  fb_step_run *state = &run->steps[number];
  fb_value over;
  S_arena(run, state);
  fb_step_scope scope = fb_run_scope(run, &state->arena);
  if (fb_scope_value(&scope, step->for_each, &over, err)) return NULL;
  if (over.kind != FB_LIST && over.kind != FB_MAP) {
    fb_mission_fail(run->mission, fb_text_node(step->for_each), err, FB_E_STEP_VALUE,
                    "`for_each` takes a list or a map, not %s", fb_kind_name((fb_kind)over.kind));
    return NULL;
  }
  fb_fail(err, FB_E_NOMEM, "out of memory"); /* the only thing that may still go wrong */
  fb_items *items = fb_arena_zero(&state->arena, sizeof *items);
  if (!items) return NULL;
  items->over = over;
  items->count = over.kind == FB_LIST ? over.as.list->len : over.as.map->len;
  size_t room =
      (step->referenced ? items->count : 0) + (over.kind == FB_MAP ? (size_t)items->count * 2 : 0);
  items->results = fb_arena_alloc(&state->arena, (room + 1) * sizeof *items->results);
  if (!items->results) return NULL;
  for (size_t i = 0; i < room; i++) items->results[i] = fb_absent();
  state->items = items;
  if (over.kind == FB_MAP && S_map_items(state, over.as.map)) return NULL;
  return items;
}

static void S_start_item(fb_mission_run *run, uint32_t number) {
  fb_items *items = run->steps[number].items;
  uint32_t item = items->next++;
  items->running++;
  if (S_may_start_item(run, number)) S_enqueue(run, number);
  fb_run_call(run, number, item);
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
  S_final_without_call(run, number, FB_STEP_SKIPPED, &err);
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
      S_final_without_call(run, number, FB_STEP_FAILED, &err);
    return false;
  }
  if (value.as.b) return true;
  run->steps[number].skip = FB_SKIP_CONDITION;
  S_final_without_call(run, number, FB_STEP_SKIPPED, NULL);
  return false;
}

static void S_running(fb_mission_run *run, uint32_t number) {
  fb_step_run *state = &run->steps[number];
  state->status = FB_STEP_RUNNING;
  state->started = fb_run_now(run);
  fb_mission_event event = {.kind = FB_MISSION_EVENT_STEP_STARTED,
                            .step = number,
                            .status = FB_STEP_RUNNING,
                            .exit_code = -1};
  fb_run_emit(run, &event);
}

static void S_begin(fb_mission_run *run, uint32_t number) {
  const fb_step *step = &run->mission->steps[number];
  fb_step_run *state = &run->steps[number];
  if (state->items) {
    if (S_may_start_item(run, number)) S_start_item(run, number);
    return;
  }
  if (state->bad_need) {
    S_skip_for_need(run, number, state->bad_need - 1);
    return;
  }
  if (step->condition && !step->condition_by_item && !S_condition(run, number)) return;
  S_running(run, number);
  if (!step->for_each) {
    fb_run_call(run, number, 0);
    return;
  }
  fb_error err = {0};
  const fb_items *items = S_expand(run, number, &err);
  if (!items)
    S_final_without_call(run, number, FB_STEP_FAILED, &err);
  else if (items->count == 0)
    S_end_items(run, number);
  else
    S_start_item(run, number);
}

/* ── Calls that end ──────────────────────────────────────────────────────────────────────────── */

static fb_step_status S_judge(fb_active *active) {
  const fb_step *step = &active->run->mission->steps[active->step];
  if (active->timed_out) {
    char text[FB_TIME_TEXT_MAX + 1];
    size_t length = fb_duration_format(step->timeout, text);
    fb_mission_fail(active->run->mission, step->id_node, &active->error, FB_E_STEP_TIMEOUT,
                    "not done within %.*s", (int)length, text);
    return FB_STEP_TIMEOUT;
  }
  if (active->cancelled && (active->status || active->signal)) {
    fb_fail(&active->error, FB_E_MISSION_CANCELLED, "cancelled");
    return FB_STEP_CANCELLED;
  }
  if (!active->status) return FB_STEP_OK;
  if (active->error.line == 0) /* the place of a failure that has none of its own is the action */
    fb_error_locate(&active->error, fb_doc_name(active->run->mission->doc),
                    fb_doc_text(active->run->mission->doc), step->action->offset,
                    step->action->length);
  return FB_STEP_FAILED;
}

static void S_keep_texts(fb_mission_run *run, fb_step_run *state, const fb_active *active) {
  if (active->out_path) state->out_path = fb_arena_text(&run->arena, fb_slice_of(active->out_path));
  if (active->err_path) state->err_path = fb_arena_text(&run->arena, fb_slice_of(active->err_path));
  if (active->call.note) state->note = fb_arena_text(&run->arena, fb_slice_of(active->call.note));
}

void fb_run_call_done(fb_active *active) {
  fb_mission_run *run = active->run;
  uint32_t number = active->step;
  const fb_step *step = &run->mission->steps[number];
  fb_step_run *state = &run->steps[number];
  fb_result result = {.status = S_judge(active),
                      .output = active->call.output,
                      .out = active->out,
                      .err = active->err,
                      .exit_code = active->exit_code,
                      .signal = active->signal,
                      .duration = fb_run_now(run) - active->started};
  if (result.status != FB_STEP_OK) result.error = &active->error;
  if (state->items) {
    state->items->running--;
    S_item_final(run, number, active->item, &result);
    S_after_item(run, number);
    return;
  }
  S_keep_texts(run, state, active);
  if (step->referenced) { /* the result stays where it is */
    state->arena = active->arena;
    state->has_arena = true;
    fb_arena_init(&active->arena, run->allocator, 0);
  }
  S_final(run, number, &result);
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
    fb_status got = fb_scope_value(&scope, mission->outputs[i].value, &value, &one);
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
  if (status && run->ending == FB_MISSION_GOING && !run->failed) {
    run->failed = true;
    run->error = fb_run_keep_error(run, &err);
  }
}

static void S_finish(fb_mission_run *run) {
  const fb_world *world = run->world;
  if (run->timer) world->timer_stop(world->context, run->timer);
  run->timer = NULL;
  S_outputs(run);
  run->duration = fb_run_now(run) - run->started;
  run->status = run->ending != FB_MISSION_GOING ? run->ending
                : run->failed                   ? FB_MISSION_FAILED
                                                : FB_MISSION_OK;
  fb_mission_event event = {.kind = FB_MISSION_EVENT_RUN_FINISHED,
                            .duration = run->duration,
                            .exit_code = -1,
                            .error = run->error};
  fb_run_emit(run, &event);
}

void fb_run_pump(fb_mission_run *run) {
  if (run->pumping || run->status != FB_MISSION_GOING) return;
  run->pumping = true;
  while (run->first_ready != FB_NO_STEP && run->active_count < run->parallel &&
         run->ending == FB_MISSION_GOING)
    S_begin(run, S_dequeue(run));
  run->pumping = false;
  if (run->open == 0 && run->active_count == 0) S_finish(run);
}

/* Everything that has not begun is cancelled at once; what runs is told to end. */
static void S_end_all(fb_mission_run *run, fb_mission_status ending, bool now) {
  if (run->ending == FB_MISSION_GOING) {
    fb_error err = {0};
    fb_fail(&err, FB_E_MISSION_CANCELLED, "cancelled before it began");
    run->ending = ending;
    for (uint32_t i = 0; i < run->mission->step_count; i++) {
      if (run->steps[i].status == FB_STEP_PENDING)
        S_final_without_call(run, i, FB_STEP_CANCELLED, NULL);
      else if (run->steps[i].items && !S_is_final(&run->steps[i]))
        run->steps[i].items->stop = true;
    }
    for (uint32_t i = 0; i < run->mission->step_count; i++)
      if (run->steps[i].status == FB_STEP_RUNNING && run->steps[i].items) S_end_items(run, i);
  }
  for (fb_active *active = run->actives; active; active = active->next)
    fb_run_call_cancel(active, now);
}

void fb_mission_run_cancel(fb_mission_run *run, bool now) {
  if (run->status != FB_MISSION_GOING) return;
  S_end_all(run, FB_MISSION_CANCELLED, now);
  fb_run_pump(run);
}

static void S_mission_timeout(void *user) {
  fb_mission_run *run = user;
  char text[FB_TIME_TEXT_MAX + 1];
  fb_error err = {0};
  run->timer = NULL;
  if (run->ending != FB_MISSION_GOING) return;
  size_t length = fb_duration_format(run->mission->limits.timeout, text);
  fb_fail(&err, FB_E_STEP_TIMEOUT, "the mission was not done within %.*s", (int)length, text);
  run->error = fb_run_keep_error(run, &err);
  S_end_all(run, FB_MISSION_TIMEOUT, false);
  fb_run_pump(run);
}

void fb_mission_run_start(fb_mission_run *run) {
  const fb_mission *mission = run->mission;
  if (run->started || run->status != FB_MISSION_GOING) return;
  run->started = fb_run_now(run);
  fb_mission_event event = {.kind = FB_MISSION_EVENT_RUN_STARTED, .exit_code = -1};
  fb_run_emit(run, &event);
  if (mission->limits.timeout)
    run->timer = run->world->timer_start(
        run->world->context, run->started + mission->limits.timeout, S_mission_timeout, run);
  for (uint32_t i = 0; i < mission->step_count; i++)
    if (run->steps[i].waiting == 0) S_enqueue(run, i);
  fb_run_pump(run);
}

fb_mission_status fb_mission_run_wait(fb_mission_run *run) {
  fb_mission_run_start(run);
  while (run->status == FB_MISSION_GOING && run->world->turn(run->world->context)) {
  }
  return run->status;
}

/* ── New and free ────────────────────────────────────────────────────────────────────────────── */

static bool S_put_env(fb_mission_run *run, fb_value *ret_value) {
  const char *const *env = run->options.env;
  fb_map *map = fb_map_new(&run->arena, 32);
  for (; map && env && *env; env++) {
    const char *equals = strchr(*env, '=');
    if (!equals || !fb_utf8_valid(*env, strlen(*env), NULL)) continue;
    if (!fb_map_put(map, &run->arena, fb_string((fb_slice){*env, (size_t)(equals - *env)}),
                    fb_string(fb_slice_of(equals + 1)), NULL))
      return false;
  }
  if (map) *ret_value = fb_map_value(map);
  return map != NULL;
}

static fb_status S_no_memory(fb_errors *errors) {
  fb_error err = {0};
  fb_fail(&err, FB_E_NOMEM, "out of memory");
  return fb_errors_add(errors, &err);
}

static fb_status S_one_input(fb_mission_run *run, uint32_t number, fb_map *map, fb_errors *errors) {
  const fb_input *input = &run->mission->inputs[number];
  const fb_value *given =
      run->options.inputs ? fb_map_get_text(run->options.inputs, input->name) : NULL;
  fb_value value = input->initial.kind == FB_ABSENT ? fb_null() : input->initial;
  fb_error err = {0};
  if (given && fb_input_convert(input, *given, &value, &err)) return fb_errors_add(errors, &err);
  if (!given && input->required) {
    fb_fail(&err, FB_E_MISSION_INPUT, "the input `%.*s` is required", (int)input->name.len,
            input->name.ptr);
    fb_error_hint(&err, "give it with -i %.*s=VALUE", (int)input->name.len, input->name.ptr);
    return fb_errors_add(errors, &err);
  }
  if (given && fb_value_copy(&run->arena, value, &value)) return S_no_memory(errors);
  run->slots[FB_SLOT_FIRST_INPUT + number] = value;
  return fb_map_put(map, &run->arena, fb_string(input->name), value, NULL) ? FB_OK
                                                                           : S_no_memory(errors);
}

static fb_status S_inputs(fb_mission_run *run, fb_errors *errors) {
  const fb_mission *mission = run->mission;
  fb_status status = FB_OK;
  fb_map *map = fb_map_new(&run->arena, mission->input_count);
  if (!map) return S_no_memory(errors);
  for (uint32_t i = 0; i < mission->input_count; i++) {
    fb_status one = S_one_input(run, i, map, errors);
    if (one && !status) status = one;
  }
  for (uint32_t i = 0; run->options.inputs && i < run->options.inputs->len; i++) {
    fb_value key = run->options.inputs->entries[i].key;
    fb_error err = {0};
    uint32_t number;
    if (fb_input_find(mission, fb_value_text(key), &number)) continue;
    fb_status one = fb_input_unknown(mission, fb_value_text(key), &err);
    fb_errors_add(errors, &err);
    if (!status) status = one;
  }
  run->slots[FB_SLOT_INPUTS] = fb_map_value(map);
  return status;
}

static bool S_allocate(fb_mission_run *run) {
  const fb_mission *mission = run->mission;
  size_t slots = fb_slot_count(mission);
  run->slots = fb_arena_alloc(&run->arena, slots * sizeof *run->slots);
  run->steps = fb_arena_zero(&run->arena, (mission->step_count + 1) * sizeof *run->steps);
  run->options.id =
      fb_arena_text(&run->arena, fb_slice_of(run->options.id ? run->options.id : "run"));
  run->options.dir =
      fb_arena_text(&run->arena, fb_slice_of(run->options.dir ? run->options.dir : ""));
  if (!run->slots || !run->steps || !run->options.id || !run->options.dir) return false;
  for (size_t i = 0; i < slots; i++) run->slots[i] = fb_absent();
  for (uint32_t i = 0; i < mission->step_count; i++) {
    run->steps[i].exit_code = -1;
    run->steps[i].waiting = mission->steps[i].need_count;
  }
  run->slots[FB_SLOT_MISSION_NAME] = fb_string(mission->name);
  run->slots[FB_SLOT_MISSION_DIR] = fb_string(fb_slice_of(mission->folder));
  run->slots[FB_SLOT_RUN_ID] = fb_string(fb_slice_of(run->options.id));
  run->slots[FB_SLOT_RUN_DIR] = fb_string(fb_slice_of(run->options.dir));
  return S_put_env(run, &run->slots[FB_SLOT_ENV]);
}

fb_status fb_mission_run_new(const fb_mission *mission, const fb_world *world,
                             const fb_mission_run_options *options, const fb_allocator *allocator,
                             fb_mission_run **ret_run, fb_errors *errors) {
  if (!allocator) allocator = fb_allocator_system();
  fb_mission_run *run = fb_alloc_zero(allocator, sizeof *run);
  if (!run) return S_no_memory(errors);
  run->mission = mission;
  run->world = world;
  run->allocator = allocator;
  if (options) run->options = *options;
  if (!run->options.grace) run->options.grace = INT64_C(5000000000);
  run->parallel = run->options.parallel           ? run->options.parallel
                  : mission->limits.parallel      ? mission->limits.parallel
                  : run->options.parallel_default ? run->options.parallel_default
                                                  : 4;
  run->first_ready = run->last_ready = FB_NO_STEP;
  run->open = mission->step_count;
  run->outputs = fb_null();
  fb_arena_init(&run->arena, allocator, 0);
  fb_arena_init(&run->scratch, allocator, 0);
  fb_pool_init(&run->pool, allocator, sizeof(fb_active));
  fb_cel_context_init(&run->cel, &run->scratch);
  run->cel.zone = run->options.zone;
  run->cel.zone_context = run->options.zone_context;
  fb_error err = {0};
  fb_status status = S_allocate(run) ? S_inputs(run, errors) : S_no_memory(errors);
  if (!status) {
    status = fb_run_env(run, &err);
    if (status) fb_errors_add(errors, &err);
  }
  if (status)
    fb_mission_run_free(run);
  else
    *ret_run = run;
  return status;
}

void fb_mission_run_free(fb_mission_run *run) {
  if (!run) return;
  for (uint32_t i = 0; run->steps && i < run->mission->step_count; i++)
    if (run->steps[i].has_arena) fb_arena_release(&run->steps[i].arena);
  run->cel.arena = &run->scratch; /* the one that lives; the context's memory is of its allocator */
  fb_cel_context_release(&run->cel);
  fb_pool_release(&run->pool);
  fb_arena_release(&run->scratch);
  fb_arena_release(&run->arena);
  fb_free(run->allocator, run, sizeof *run);
}

/* ── Looking at it ───────────────────────────────────────────────────────────────────────────── */

fb_mission_status fb_mission_run_state(const fb_mission_run *run) {
  return run->status;
}
const fb_mission *fb_mission_run_mission(const fb_mission_run *run) {
  return run->mission;
}
int64_t fb_mission_run_duration(const fb_mission_run *run) {
  return run->duration;
}
fb_value fb_mission_run_outputs(const fb_mission_run *run) {
  return run->outputs;
}
const fb_error *fb_mission_run_error(const fb_mission_run *run) {
  return run->error;
}

void fb_mission_run_step(const fb_mission_run *run, uint32_t number, fb_step_state *ret_state) {
  const fb_step_run *state = &run->steps[number];
  *ret_state = (fb_step_state){.status = (fb_step_status)state->status,
                               .started = state->started,
                               .duration = state->duration,
                               .exit_code = state->exit_code,
                               .signal = state->signal,
                               .error = state->error,
                               .note = state->note,
                               .out_path = state->out_path,
                               .err_path = state->err_path};
  if (state->items) {
    ret_state->items = state->items->count;
    ret_state->items_done = state->items->done;
    ret_state->items_failed = state->items->failed;
  }
}
