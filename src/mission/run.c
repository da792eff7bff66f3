/* SPDX-License-Identifier: Apache-2.0
 *
 * A run: made, started, looked at. What happens in between is in schedule.c.
 */
#include "mission/record.h"

enum { EVALUATION_STEPS = 10000000 };

/* ── Small things ────────────────────────────────────────────────────────────────────────────── */

const char *fb_step_status_name(fb_step_status status) {
  static const char *const names[] = {"pending", "running", "ok",        "failed",
                                      "timeout", "skipped", "cancelled", "waiting"};
  return names[status];
}

const char *fb_mission_status_name(fb_mission_status status) {
  static const char *const names[] = {"running", "ok", "failed", "timeout", "cancelled", "waiting"};
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
  event->run = run;
  event->scope = run->options.scope ? run->options.scope : "";
  event->wall = run->world->clock->wall(run->world->clock->context);
  run->options.on_event(run->options.context, event);
}

fb_error *fb_run_keep_error(fb_mission_run *run, const fb_error *err) {
  fb_error *kept = fb_arena_copy(&run->arena, err, sizeof *err);
  if (kept) fb_mask_error(run->mask, kept);
  return kept;
}

/* ── Start and wait ──────────────────────────────────────────────────────────────────────────── */

static void S_mission_timeout(void *user) {
  fb_mission_run *run = user;
  char text[FB_TIME_TEXT_MAX + 1];
  fb_error err = {0};
  run->timer = NULL;
  if (run->ending != FB_MISSION_GOING || run->phase != FB_PHASE_MAIN) return;
  size_t length = fb_duration_format(run->mission->limits.timeout, text);
  fb_fail(&err, FB_E_STEP_TIMEOUT, "the mission was not done within %.*s", (int)length, text);
  run->error = fb_run_keep_error(run, &err);
  fb_run_end_all(run, FB_MISSION_TIMEOUT, false);
  fb_run_pump(run);
}

void fb_mission_run_start(fb_mission_run *run) {
  const fb_mission *mission = run->mission;
  if (run->started || run->status != FB_MISSION_GOING) return;
  run->started = fb_run_now(run);
  if (run->recorder) fb_record_run_started(run);
  fb_mission_event event = {.kind = FB_MISSION_EVENT_RUN_STARTED, .exit_code = -1};
  fb_run_emit(run, &event);
  if (mission->limits.timeout) {
    run->timer = run->world->timer_start(
        run->world->context, run->started + mission->limits.timeout, S_mission_timeout, run);
    fb_error err = {0};
    if (!run->timer) fb_fail(&err, FB_E_NOMEM, "out of memory");
    if (!run->timer) fb_run_wind_down(run, &err);
  }
  for (uint32_t i = 0; i < mission->main_count; i++)
    if (run->steps[i].waiting == 0) fb_run_enqueue(run, i);
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
  if (run->options.boot) {
    run->options.boot = fb_arena_text(&run->arena, fb_slice_of(run->options.boot));
    if (!run->options.boot) return false;
  }
  size_t undos = mission->finally_first - mission->main_count;
  run->undos = fb_arena_alloc(&run->arena, (undos + 1) * sizeof *run->undos);
  if (!run->slots || !run->steps || !run->undos || !run->options.id || !run->options.dir)
    return false;
  if (run->options.scope && *run->options.scope) {
    run->options.scope = fb_arena_text(&run->arena, fb_slice_of(run->options.scope));
    char *prefix = (char *)fb_arena_printf(&run->arena, "%s", run->options.scope);
    if (!run->options.scope || !prefix) return false;
    for (char *at = prefix; *at; at++)
      if (*at == '/') *at = '.';
    run->prefix = prefix;
  }
  for (size_t i = 0; i < slots; i++) run->slots[i] = fb_absent();
  for (uint32_t i = 0; i < mission->step_count; i++) {
    run->steps[i].exit_code = -1;
    run->steps[i].waiting = mission->steps[i].need_count;
  }
  run->slots[FB_SLOT_MISSION_NAME] = fb_string(mission->name);
  run->slots[FB_SLOT_MISSION_DIR] = fb_string(fb_slice_of(mission->folder));
  run->slots[FB_SLOT_RUN_ID] = fb_string(fb_slice_of(run->options.id));
  run->slots[FB_SLOT_RUN_STATUS] = fb_string(FB_SLICE("running"));
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
  for (int i = 0; i < FB_PRIORITIES; i++) run->first_ready[i] = run->last_ready[i] = FB_NO_STEP;
  run->open = mission->main_count;
  run->phase = FB_PHASE_MAIN;
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
    status = fb_run_secrets(run, &err);
    if (!status) status = fb_run_env(run, &err);
    if (!status) status = fb_run_roots(run, &err);
    if (!status) status = fb_guards_new(run, &err);
    if (!status && run->options.journal) status = fb_record_new(run, &err);
    fb_mask_error(run->mask, &err);
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
  fb_record_free(run);
  fb_guards_free(run);
  fb_run_secrets_free(run);
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
                               .attempts = state->attempts,
                               .out_path = state->out_path,
                               .err_path = state->err_path};
  if (state->items) {
    ret_state->items = state->items->count;
    ret_state->items_done = state->items->done;
    ret_state->items_failed = state->items->failed;
  }
}
