/* SPDX-License-Identifier: Apache-2.0
 *
 * The environment of processes: inherited, then the mission's, then the step's, then who it is for.
 */
#include "mission/run.h"

typedef struct S_env {
  const char **items;
  uint32_t count, cap;
  fb_arena *arena;
} S_env;

/* Replaces the variable or adds it; text.ptr NULL takes it away. */
static fb_status S_set(S_env *env, fb_slice name, fb_slice text, fb_error *err) {
  uint32_t at = 0;
  while (at < env->count &&
         !(strncmp(env->items[at], name.ptr, name.len) == 0 && env->items[at][name.len] == '='))
    at++;
  if (!text.ptr) {
    if (at < env->count) env->items[at] = env->items[--env->count];
    env->items[env->count] = NULL;
    return FB_OK;
  }
  if (memchr(text.ptr, 0, text.len))
    return fb_fail(err, FB_E_STEP_VALUE, "the variable %.*s cannot contain a NUL byte",
                   (int)name.len, name.ptr);
  char *entry = fb_arena_alloc_aligned(env->arena, name.len + text.len + 2, 1);
  if (!entry) return fb_fail(err, FB_E_NOMEM, "out of memory");
  memcpy(entry, name.ptr, name.len);
  entry[name.len] = '=';
  memcpy(entry + name.len + 1, text.ptr, text.len);
  entry[name.len + 1 + text.len] = 0;
  if (at == env->count) {
    env->count++; /* there is room: see S_open */
    env->items[env->count] = NULL;
  }
  env->items[at] = entry;
  return FB_OK;
}

static fb_status S_open(S_env *env, fb_arena *arena, const char *const *from, uint32_t count,
                        uint32_t more, fb_error *err) {
  env->arena = arena;
  env->cap = count + more + 1;
  env->count = count;
  env->items = fb_arena_alloc(arena, env->cap * sizeof *env->items);
  if (!env->items) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (count) memcpy(env->items, from, count * sizeof *env->items);
  env->items[count] = NULL;
  return FB_OK;
}

static fb_status S_set_list(S_env *env, fb_step_scope *scope, const fb_env_list *list,
                            fb_error *err) {
  for (uint32_t i = 0; i < list->count; i++) {
    fb_value value;
    fb_slice text = {0};
    fb_status status = fb_scope_value(scope, list->items[i].value, &value, err);
    if (!status && value.kind != FB_NULL)
      status = fb_scope_text(scope, list->items[i].value, &text, err);
    if (!status && value.kind != FB_NULL && !text.ptr) text.ptr = "";
    if (!status) status = S_set(env, list->items[i].name, text, err);
    if (status) return status;
  }
  return FB_OK;
}

fb_status fb_run_env(fb_mission_run *run, fb_error *err) {
  const fb_mission *mission = run->mission;
  static const char *const none[] = {NULL};
  const char *const *inherited = run->options.env ? run->options.env : none;
  uint32_t count = 0;
  while (inherited[count]) count++;
  S_env env;
  fb_status status = S_open(&env, &run->arena, inherited, count, mission->env.count + 3, err);
  fb_step_scope scope = fb_run_scope(run, &run->arena);
  if (!status) status = S_set_list(&env, &scope, &mission->env, err);
  if (!status) status = S_set(&env, FB_SLICE("FLYBALL_RUN_ID"), fb_slice_of(run->options.id), err);
  if (!status) status = S_set(&env, FB_SLICE("FLYBALL_MISSION"), mission->name, err);
  if (!status)
    status = S_set(&env, FB_SLICE("FLYBALL_MISSION_DIR"), fb_slice_of(mission->folder), err);
  if (status) return status;
  run->env = env.items;
  run->env_count = env.count;
  return FB_OK;
}

fb_status fb_run_roots(fb_mission_run *run, fb_error *err) {
  const fb_mission *mission = run->mission;
  run->roots = fb_arena_zero(&run->arena, (mission->root_count + 1) * sizeof *run->roots);
  if (!run->roots) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (!mission->roots) run->roots[run->root_count++] = ".";
  fb_step_scope scope = fb_run_scope(run, &run->arena);
  for (uint32_t i = 0; mission->roots && i < mission->root_count; i++) {
    fb_slice text;
    fb_status status = fb_scope_text(&scope, mission->roots[i], &text, err);
    if (!status && (text.len == 0 || memchr(text.ptr, 0, text.len)))
      status = fb_mission_fail(mission, fb_text_node(mission->roots[i]), err, FB_E_STEP_VALUE,
                               "a root is the path of a folder");
    if (status) return status;
    const char *root = fb_arena_text(&run->arena, text);
    if (!root) return fb_fail(err, FB_E_NOMEM, "out of memory");
    run->roots[run->root_count++] = root;
  }
  return FB_OK;
}

fb_status fb_run_call_env(fb_active *active, fb_error *err) {
  fb_mission_run *run = active->run;
  const fb_step *step = &run->mission->steps[active->step];
  S_env env;
  fb_status status =
      S_open(&env, &active->arena, run->env, run->env_count, step->env.count + 3, err);
  if (!status) status = S_set_list(&env, &active->call.scope, &step->env, err);
  if (!status) status = S_set(&env, FB_SLICE("FLYBALL_STEP"), step->id, err);
  if (!status)
    status = S_set(&env, FB_SLICE("FLYBALL_STEP_KEY"), fb_slice_of(active->call.key), err);
  if (!status && active->run->steps[active->step].items) {
    const char *item = fb_arena_printf(&active->arena, "%u", active->item);
    status = item ? S_set(&env, FB_SLICE("FLYBALL_ITEM"), fb_slice_of(item), err)
                  : fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  active->call.process.env = env.items;
  return status;
}
