/* SPDX-License-Identifier: Apache-2.0
 *
 * mission: a mission within a mission. Its document is loaded with that of the mission around it, so that all
 * mistakes are told before anything runs; its outputs become the step's output.
 */
#include "mission/run.h"

#include <stdio.h>

enum { MOST_DEPTH = 16 };

typedef struct S_plan {
  const char *path;
  fb_doc *doc;
  fb_mission *mission;
  const fb_node *node;
  fb_slice *names; /* inputs that are given */
  fb_text **values;
  uint32_t count;
} S_plan;

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────── */

/* "a.yaml → b.yaml → a.yaml"; true if the file is being loaded already. */
static bool S_is_circle(fb_mission_loader *loader, const fb_node *node, const char *path) {
  const fb_load_chain *found = loader->chain;
  while (found && strcmp(found->path, path) != 0) found = found->above;
  if (!found) return false;
  fb_buf text;
  fb_buf_init(&text, loader->allocator, 400);
  const fb_load_chain *way[MOST_DEPTH + 1];
  int count = 0;
  for (const fb_load_chain *at = loader->chain; count <= MOST_DEPTH; at = at->above) {
    way[count++] = at;
    if (at == found) break;
  }
  while (count > 0) fb_buf_printf(&text, "%s → ", way[--count]->path);
  fb_buf_text(&text, path);
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_CYCLE, "",
              "missions that contain each other: %s", text.ptr ? text.ptr : path);
  fb_buf_release(&text);
  return true;
}

static const char *S_folder(fb_arena *arena, const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return ".";
  return slash == path ? "/" : fb_arena_text(arena, (fb_slice){path, (size_t)(slash - path)});
}

static void S_load_file(fb_mission_loader *loader, const fb_node *node, S_plan *plan) {
  fb_slice text;
  fb_error err = {0};
  uint32_t depth = 0;
  for (const fb_load_chain *at = loader->chain; at; at = at->above) depth++;
  plan->path = fb_loader_path(loader, fb_node_text(node));
  if (!plan->path || S_is_circle(loader, node, plan->path)) return;
  if (depth > MOST_DEPTH) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_LIMIT, "",
                "missions in missions go at most %d deep", MOST_DEPTH);
    return;
  }
  if (fb_loader_read(loader, plan->path, &text, &err)) {
    fb_doc_fail(loader->doc, node, loader->errors, err.code,
                "the path is relative to the mission's folder", "%s", err.text);
    return;
  }
  fb_load_chain chain = {plan->path, loader->chain};
  fb_mission_options options = {.tools = loader->tools,
                                .folder = S_folder(fb_loader_arena(loader), plan->path),
                                .world = loader->world,
                                .warnings = loader->warnings,
                                .chain = &chain};
  fb_doc_options reading = {.keep_going = true, .allocator = loader->allocator};
  fb_status status = fb_doc_read(text, plan->path, &reading, &plan->doc, loader->errors);
  if (!status)
    status =
        fb_mission_load(plan->doc, &options, loader->allocator, &plan->mission, loader->errors);
  if (status == FB_E_NOMEM) loader->out_of_memory = true;
}

/* What an expression gives, as far as its type is known, must be something that the input can be. */
static bool S_type_fits(fb_input_type type, fb_cel_kind kind) {
  switch (type) {
    case FB_INPUT_STRING: return kind == FB_CEL_STRING;
    case FB_INPUT_BOOL: return kind == FB_CEL_BOOL;
    case FB_INPUT_LIST: return kind == FB_CEL_LIST;
    case FB_INPUT_MAP: return kind == FB_CEL_MAP;
    case FB_INPUT_INT:
    case FB_INPUT_UINT: return kind == FB_CEL_INT || kind == FB_CEL_UINT;
    case FB_INPUT_DOUBLE: return kind == FB_CEL_DOUBLE || kind == FB_CEL_INT;
    case FB_INPUT_TIMESTAMP: return kind == FB_CEL_TIMESTAMP || kind == FB_CEL_STRING;
    case FB_INPUT_DURATION: return kind == FB_CEL_DURATION || kind == FB_CEL_STRING;
    default: return true;
  }
}

static void S_check_type(fb_mission_loader *loader, const fb_node *node, const fb_input *input,
                         const fb_text *value) {
  const fb_cel_type *type = node->kind == FB_STRING ? fb_template_type(value->template_) : NULL;
  if (!type || type->kind == FB_CEL_DYN || type->kind == FB_CEL_ERROR ||
      S_type_fits(input->type, type->kind))
    return;
  fb_buf name;
  fb_buf_init(&name, loader->allocator, 200);
  fb_cel_type_write(type, &name);
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_CEL_TYPE, "",
              "the input `%.*s` is to be %s, and this gives %s", (int)input->name.len,
              input->name.ptr, fb_input_type_name(input), name.ptr ? name.ptr : "something else");
  fb_buf_release(&name);
}

/* Names, constants and types are checked now. */
static void S_check_input(fb_mission_loader *loader, const fb_pair *pair, const S_plan *plan,
                          const fb_text *value) {
  uint32_t number;
  fb_error err = {0};
  fb_value constant, converted;
  fb_slice name = fb_node_text(&pair->key);
  if (!plan->mission) return;
  if (!fb_input_find(plan->mission, name, &number)) {
    fb_input_unknown(plan->mission, name, &err);
    fb_doc_fail(loader->doc, &pair->key, loader->errors, err.code, err.hint, "%s", err.text);
  } else if (value && fb_text_constant(value, &constant) &&
             fb_input_convert(&plan->mission->inputs[number], constant, &converted, &err)) {
    fb_doc_fail(loader->doc, &pair->value, loader->errors, err.code, err.hint, "%s", err.text);
  } else if (value && value->template_) {
    S_check_type(loader, &pair->value, &plan->mission->inputs[number], value);
  }
}

static void S_check_required(fb_mission_loader *loader, const fb_node *node, const S_plan *plan) {
  for (uint32_t i = 0; plan->mission && i < plan->mission->input_count; i++) {
    const fb_input *input = &plan->mission->inputs[i];
    bool given = !input->required;
    for (uint32_t k = 0; k < plan->count && !given; k++)
      given = fb_slice_equal(plan->names[k], input->name);
    if (!given)
      fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_INPUT, "give it under `with`",
                  "the input `%.*s` of %s is required", (int)input->name.len, input->name.ptr,
                  plan->path);
  }
}

static fb_status S_load(fb_mission_loader *loader, const fb_node *node, void **ret_plan) {
  S_plan *plan = fb_arena_zero(fb_loader_arena(loader), sizeof *plan);
  const fb_node *with = loader->with;
  if (!plan) return FB_E_NOMEM;
  plan->node = node;
  if (node->kind != FB_STRING || memmem(fb_node_text(node).ptr, fb_node_text(node).len, "${{", 3))
    return fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_SYNTAX,
                       "so that it can be checked before anything runs",
                       "`mission` takes the path of a file, without expressions");
  *ret_plan = plan;
  S_load_file(loader, node, plan);
  uint32_t count = with ? with->count : 0;
  plan->names = fb_arena_zero(fb_loader_arena(loader), (count + 1) * sizeof *plan->names);
  plan->values = fb_arena_zero(fb_loader_arena(loader), (count + 1) * sizeof *plan->values);
  if (!plan->names || !plan->values) return FB_E_NOMEM;
  for (uint32_t i = 0; i < count; i++) {
    const fb_pair *pair = &with->as.pairs[i];
    fb_text *value = fb_loader_text(loader, &pair->value, NULL);
    S_check_input(loader, pair, plan, value);
    if (!value) continue;
    plan->names[plan->count] = fb_node_text(&pair->key);
    plan->values[plan->count++] = value;
  }
  S_check_required(loader, node, plan);
  return FB_OK;
}

static void S_unload(void *tool_plan) {
  S_plan *plan = tool_plan;
  fb_mission_free(plan->mission);
  fb_doc_free(plan->doc);
}

const fb_mission *fb_step_inside(const fb_step *step) {
  const S_plan *plan = step->tool == &fb_tool_mission ? step->tool_plan : NULL;
  return plan ? plan->mission : NULL;
}

/* ── Running ─────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_job {
  fb_call *call;
  fb_map *inputs;
  fb_sub_run sub; /* in the list of the run around it while it goes on */
  bool inside;    /* it is being started or cancelled */
  bool stuck;     /* it ended then, and there was no memory to say so later */
} S_job;

static fb_status S_prepare(const void *tool_plan, fb_call *call, fb_error *err) {
  const S_plan *plan = tool_plan;
  S_job *job = fb_arena_zero(call->arena, sizeof *job);
  if (!job) return fb_fail(err, FB_E_NOMEM, "out of memory");
  call->state = job;
  job->call = call;
  job->inputs = fb_map_new(call->arena, plan->count);
  fb_status status = job->inputs ? FB_OK : fb_fail(err, FB_E_NOMEM, "out of memory");
  for (uint32_t i = 0; i < plan->count && !status; i++) {
    fb_value value;
    status = fb_scope_value(&call->scope, plan->values[i], &value, err);
    if (!status && (fb_value_copy(call->arena, value, &value) ||
                    !fb_map_put(job->inputs, call->arena, fb_string(plan->names[i]), value, NULL)))
      status = fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  return status;
}

/* The first failure in it, at its own place. */
static void S_failure(const S_plan *plan, const fb_mission_run *run, fb_error *err) {
  const fb_error *own = fb_mission_run_error(run);
  const char *how = fb_mission_status_name(fb_mission_run_state(run));
  fb_fail(err, FB_E_STEP_MISSION, "the mission %s: %s", plan->path, how);
  if (own) {
    *err = *own;
    fb_error_prefix(err, "%s", plan->path);
  }
  for (uint32_t i = 0; !own && i < plan->mission->step_count; i++) {
    fb_step_state state;
    fb_mission_run_step(run, i, &state);
    if (!state.error || (state.status != FB_STEP_FAILED && state.status != FB_STEP_TIMEOUT))
      continue;
    if (plan->mission->steps[i].on_error != FB_ON_ERROR_STOP) continue;
    *err = *state.error;
    fb_error_prefix(err, "%s: step `%.*s`", plan->path, (int)plan->mission->steps[i].id.len,
                    plan->mission->steps[i].id.ptr);
    break;
  }
  err->code = FB_E_STEP_MISSION;
}

static void S_drop(S_job *job) {
  fb_sub_run_remove(job->call, &job->sub);
  fb_mission_run_free(job->sub.run);
  job->sub.run = NULL;
}

/* Called by nothing of the run that has ended. */
static void S_over(void *user) {
  S_job *job = user;
  fb_call *call = job->call;
  const S_plan *plan = fb_call_plan(call);
  fb_mission_run *run = job->sub.run;
  fb_error err = {0};
  if (fb_mission_run_state(run) == FB_MISSION_WAITING)
    fb_fail(&err, FB_E_STEP_WAITS, "a step in it waits for a decision");
  else if (fb_mission_run_state(run) != FB_MISSION_OK)
    S_failure(plan, run, &err);
  if (fb_value_copy(call->arena, fb_mission_run_outputs(run), &call->output))
    fb_fail(&err, FB_E_NOMEM, "out of memory");
  S_drop(job);
  fb_call_done(call, err.code ? &err : NULL);
}

static void S_nothing(void *user) {
  (void)user;
}

static void S_finished(void *user) {
  S_job *job = user;
  const fb_world *world = job->call->world;
  if (world->timer_start(world->context, world->clock->mono(world->clock->context), S_over, job))
    return;
  /* Without memory for a timer perhaps there is some for this; else it is over here and now. */
  if (world->work(world->context, S_nothing, S_over, job) == FB_OK) return;
  if (job->inside)
    job->stuck = true;
  else
    S_over(job);
}

static fb_status S_begin(const void *tool_plan, fb_call *call, fb_error *err) {
  const S_plan *plan = tool_plan;
  S_job *job = call->state;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 1);
  fb_status status =
      fb_sub_run_new(call, plan->mission, job->inputs, S_finished, job, &job->sub, &errors);
  if (status) {
    if (errors.count)
      *err = errors.items[0];
    else
      fb_fail(err, status, "the mission %s cannot be started", plan->path);
  } else {
    job->inside = true;
    fb_mission_run_start(job->sub.run);
    job->inside = false;
    if (job->stuck) status = fb_fail(err, FB_E_NOMEM, "out of memory");
    if (job->stuck) S_drop(job);
  }
  fb_errors_release(&errors);
  return status;
}

static bool S_cancel(const void *plan, fb_call *call, bool now) {
  S_job *job = call->state;
  (void)plan;
  if (!job->sub.run) return false;
  job->inside = true;
  fb_mission_run_cancel(job->sub.run, now);
  job->inside = false;
  if (job->stuck) S_drop(job);
  return job->stuck;
}

static void S_describe(const void *tool_plan, fb_step_scope *scope, fb_buf *out) {
  const S_plan *plan = tool_plan;
  fb_buf_printf(out, "mission %s", plan->path ? plan->path : "?");
  for (uint32_t i = 0; i < plan->count; i++) {
    fb_buf_printf(out, "%s%.*s: ", i ? ", " : " with ", (int)plan->names[i].len,
                  plan->names[i].ptr);
    fb_scope_show(scope, plan->values[i], out);
  }
  for (uint32_t i = 0; plan->mission && i < plan->mission->main_count; i++)
    fb_buf_printf(out, "%s%.*s", i ? ", " : " (", (int)plan->mission->steps[i].id.len,
                  plan->mission->steps[i].id.ptr);
  if (plan->mission) fb_buf_char(out, ')');
}

const fb_tool fb_tool_mission = {.key = "mission",
                                 .with = true,
                                 .reenters = true,
                                 .load = S_load,
                                 .unload = S_unload,
                                 .prepare = S_prepare,
                                 .begin = S_begin,
                                 .cancel = S_cancel,
                                 .describe = S_describe};
