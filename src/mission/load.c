/* SPDX-License-Identifier: Apache-2.0
 *
 * Document → plan. First the names (inputs, steps), so that expressions may use any of them, then every
 * step, then the graph. Nothing stops at the first error.
 */
#include "mission/schema.h"

#include <stdio.h>

static const fb_tool *const S_own_tools[] = {&fb_tool_run,  &fb_tool_shell, &fb_tool_write,
                                             &fb_tool_http, &fb_tool_wait,  &fb_tool_approve,
                                             &fb_tool_emit, &fb_tool_file,  &fb_tool_mission};

/* ── Names ───────────────────────────────────────────────────────────────────────────────────── */

static void S_step_id(fb_mission_loader *loader, const fb_node *node, uint32_t number) {
  fb_step *step = &loader->mission->steps[number];
  const fb_node *id = fb_node_get(node, "id");
  bool added;
  step->id_node = id ? id : node;
  step->node = node;
  step->id = FB_SLICE("");
  if (!fb_node_is(id, FB_STRING)) return;
  step->id = fb_node_text(id);
  if (!fb_is_identifier(step->id) || step->id.len > 100) {
    fb_load_fail(loader, id, FB_E_MISSION_VALUE,
                 "letters, digits and `_`, not starting with a digit, at most 100",
                 "an id must be a name that expressions can use");
    return;
  }
  fb_table_slot *slot = fb_table_put(&loader->ids, step->id, &added);
  if (!slot) {
    loader->out_of_memory = true;
  } else if (added) {
    slot->value.number = number;
  } else {
    char hint[80];
    snprintf(hint, sizeof hint, "the first one is on line %u",
             loader->mission->steps[slot->value.number].id_node->line);
    fb_doc_fail(loader->doc, id, loader->errors, FB_E_MISSION_DUPLICATE, hint,
                "there are two steps `%.*s`", (int)step->id.len, step->id.ptr);
  }
}

static bool S_add(fb_mission_loader *loader, const char *prefix, fb_slice name,
                  const fb_cel_type *type, uint32_t expected) {
  uint32_t slot;
  const char *full =
      name.len ? fb_arena_printf(&loader->mission->arena, "%s%.*s", prefix, (int)name.len, name.ptr)
               : fb_arena_printf(&loader->mission->arena, "%s?%u", prefix, expected);
  if (!full || fb_cel_env_add(loader->env, fb_slice_of(full), type, &slot)) {
    loader->out_of_memory = true;
    return false;
  }
  return slot == expected;
}

/* Every slot in its place; a step or input whose name is unusable takes one that nobody can name. */
static bool S_declare(fb_mission_loader *loader) {
  fb_mission *mission = loader->mission;
  const fb_cel_type *dyn = fb_cel_simple(FB_CEL_DYN), *text = fb_cel_simple(FB_CEL_STRING);
  const fb_cel_type *map = fb_cel_env_map(loader->env, text, dyn);
  const fb_cel_type *env = fb_cel_env_map(loader->env, text, text);
  bool good = map && env && S_add(loader, "", FB_SLICE("inputs"), map, FB_SLOT_INPUTS) &&
              S_add(loader, "", FB_SLICE("steps"), map, FB_SLOT_STEPS) &&
              S_add(loader, "", FB_SLICE("secrets"), map, FB_SLOT_SECRETS) &&
              S_add(loader, "", FB_SLICE("env"), env, FB_SLOT_ENV) &&
              S_add(loader, "", FB_SLICE("mission.name"), text, FB_SLOT_MISSION_NAME) &&
              S_add(loader, "", FB_SLICE("mission.dir"), text, FB_SLOT_MISSION_DIR) &&
              S_add(loader, "", FB_SLICE("run.id"), text, FB_SLOT_RUN_ID) &&
              S_add(loader, "", FB_SLICE("run.dir"), text, FB_SLOT_RUN_DIR) &&
              S_add(loader, "", FB_SLICE("run.status"), text, FB_SLOT_RUN_STATUS);
  for (uint32_t i = 0; good && i < mission->input_count; i++)
    good = S_add(loader, "inputs.", mission->inputs[i].name, fb_input_cel_type(&mission->inputs[i]),
                 FB_SLOT_FIRST_INPUT + i);
  for (uint32_t i = 0; good && i < mission->secret_count; i++) {
    const fb_secret *secret = &mission->secrets[i];
    good = S_add(loader, "secrets.", secret->name, fb_secret_cel_type(secret),
                 fb_slot_of_secret(mission, i));
  }
  for (uint32_t i = 0; good && i < mission->step_count; i++) {
    const fb_table_slot *known = fb_table_get(&loader->ids, mission->steps[i].id);
    bool first = known && known->value.number == i; /* of its name */
    good = S_add(loader, "steps.", first ? mission->steps[i].id : FB_SLICE(""), map,
                 fb_slot_of_step(mission, i));
  }
  return good;
}

/* ── The whole ───────────────────────────────────────────────────────────────────────────────── */

/* Maps in it are limits by name; there are at most as many as a list of keys may have. */
static void S_limits(fb_mission_loader *loader, const fb_node *node) {
  enum { OWN = 4, MOST = 64 };
  fb_key_spec specs[MOST] = {{"parallel", FB_KIND_BIT(FB_INT), false},
                             {"timeout", 0, false},
                             {"fail_fast", FB_KIND_BIT(FB_BOOL), false},
                             {"output", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_STRING), false}};
  const fb_node *nodes[MOST] = {0};
  size_t count = OWN;
  fb_limits *limits = &loader->mission->limits;
  limits->output = 1 << 20;
  if (!node) return;
  for (uint32_t i = 0; node->kind == FB_MAP && i < node->count && count < MOST; i++)
    if (fb_load_is_named_limit(&node->as.pairs[i])) {
      const char *name =
          fb_arena_text(&loader->mission->arena, fb_node_text(&node->as.pairs[i].key));
      if (name) specs[count++] = (fb_key_spec){name, 0, false};
    }
  fb_doc_keys(loader->doc, node, "limits", specs, count, nodes, loader->errors);
  if (node->kind != FB_MAP) return;
  fb_load_named_limits(loader, node);
  limits->parallel = fb_load_parallel(loader, nodes[0]);
  limits->timeout = fb_load_duration(loader, nodes[1]);
  limits->fail_fast = nodes[2] && nodes[2]->as.scalar.as.b;
  limits->output = fb_load_size(loader, nodes[3], limits->output);
}

/* The folders whose files the steps may touch. */
static void S_files(fb_mission_loader *loader, const fb_node *node) {
  static const fb_key_spec specs[] = {{"roots", FB_KIND_BIT(FB_LIST), true}};
  const fb_node *roots = NULL;
  fb_mission *mission = loader->mission;
  if (!node) return;
  fb_doc_keys(loader->doc, node, "files", specs, 1, &roots, loader->errors);
  if (!roots) return;
  mission->roots = fb_arena_zero(&mission->arena, (roots->count + 1) * sizeof *mission->roots);
  if (!mission->roots) {
    loader->out_of_memory = true;
    return;
  }
  for (uint32_t i = 0; i < roots->count; i++) {
    fb_text *root = fb_loader_text(loader, &roots->as.items[i], NULL);
    if (root) mission->roots[mission->root_count++] = root;
  }
}

/* {value: …, type: …, …}: the map without its value is the schema. */
static const fb_schema *S_output_schema(fb_mission_loader *loader, const fb_node *node) {
  fb_node *rest = fb_arena_copy(&loader->mission->arena, node, sizeof *node);
  fb_pair *pairs =
      fb_arena_copy(&loader->mission->arena, node->as.pairs, node->count * sizeof *node->as.pairs);
  if (!rest || !pairs) {
    loader->out_of_memory = true;
    return NULL;
  }
  rest->as.pairs = pairs;
  rest->count = 0;
  for (uint32_t i = 0; i < node->count; i++)
    if (!fb_slice_equal(fb_node_text(&node->as.pairs[i].key), FB_SLICE("value")))
      pairs[rest->count++] = node->as.pairs[i];
  return fb_schema_load_node(loader, rest);
}

static void S_outputs(fb_mission_loader *loader, const fb_node *node) {
  fb_mission *mission = loader->mission;
  if (!node || node->count == 0) return;
  mission->outputs = fb_arena_zero(&mission->arena, node->count * sizeof *mission->outputs);
  if (!mission->outputs) {
    loader->out_of_memory = true;
    return;
  }
  for (uint32_t i = 0; i < node->count; i++) {
    const fb_node *given = &node->as.pairs[i].value;
    const fb_schema *schema = NULL;
    if (fb_node_get(given, "value") && fb_node_get(given, "type")) {
      schema = S_output_schema(loader, given);
      given = fb_node_get(given, "value");
    }
    fb_text *value = fb_loader_text(loader, given, NULL);
    if (value)
      mission->outputs[mission->output_count++] =
          (fb_output){fb_node_text(&node->as.pairs[i].key), value, schema};
  }
}

enum {
  R_NAME,
  R_DESCRIPTION,
  R_INPUTS,
  R_SECRETS,
  R_LIMITS,
  R_BREAKERS,
  R_BUDGETS,
  R_CONCURRENCY,
  R_ENV,
  R_FILES,
  R_STEPS,
  R_FINALLY,
  R_OUTPUTS,
  R_COUNT
};

/* The numbers: the steps, then those that undo some of them, then those of `finally`. */
static void S_count(fb_mission *mission, const fb_node *steps, const fb_node *finally) {
  uint32_t undos = 0;
  for (uint32_t i = 0; i < steps->count; i++)
    undos += fb_node_get(&steps->as.items[i], "undo") != NULL;
  mission->main_count = steps->count;
  mission->finally_first = steps->count + undos;
  mission->step_count = mission->finally_first + (finally ? finally->count : 0);
}

static bool S_names(fb_mission_loader *loader, const fb_node *steps, const fb_node *finally) {
  fb_mission *mission = loader->mission;
  if (steps->count == 0)
    fb_load_fail(loader, steps, FB_E_MISSION_SYNTAX, "", "a mission has at least one step");
  S_count(mission, steps, finally);
  uint32_t count = mission->step_count;
  loader->undo_next = mission->main_count;
  mission->steps = fb_arena_zero(&mission->arena, count * sizeof *mission->steps + 1);
  loader->mark_bytes = count * sizeof(uint32_t) + 1;
  loader->marks = fb_alloc_zero(loader->allocator, loader->mark_bytes);
  if (!mission->steps || !loader->marks) {
    mission->step_count = 0;
    loader->out_of_memory = true;
    return false;
  }
  for (uint32_t i = 0; i < steps->count; i++) S_step_id(loader, &steps->as.items[i], i);
  for (uint32_t i = mission->finally_first; i < count; i++)
    S_step_id(loader, &finally->as.items[i - mission->finally_first], i);
  loader->word_count = (fb_slot_count(mission) + 63) / 64;
  loader->words = fb_alloc_zero(loader->allocator, loader->word_count * sizeof *loader->words);
  if (!loader->words) loader->out_of_memory = true;
  return loader->words && S_declare(loader);
}

static void S_root(fb_mission_loader *loader, const fb_node *root) {
  static const fb_key_spec specs[R_COUNT] = {
      [R_NAME] = {"name", FB_KIND_BIT(FB_STRING), false},
      [R_DESCRIPTION] = {"description", FB_KIND_BIT(FB_STRING), false},
      [R_INPUTS] = {"inputs", FB_KIND_BIT(FB_MAP), false},
      [R_SECRETS] = {"secrets", FB_KIND_BIT(FB_MAP), false},
      [R_LIMITS] = {"limits", FB_KIND_BIT(FB_MAP), false},
      [R_BREAKERS] = {"breakers", FB_KIND_BIT(FB_MAP), false},
      [R_BUDGETS] = {"budgets", FB_KIND_BIT(FB_MAP), false},
      [R_CONCURRENCY] = {"concurrency", FB_KIND_BIT(FB_MAP) | FB_KIND_BIT(FB_STRING), false},
      [R_ENV] = {"env", FB_KIND_BIT(FB_MAP), false},
      [R_FILES] = {"files", FB_KIND_BIT(FB_MAP), false},
      [R_STEPS] = {"steps", FB_KIND_BIT(FB_LIST), true},
      [R_FINALLY] = {"finally", FB_KIND_BIT(FB_LIST), false},
      [R_OUTPUTS] = {"outputs", FB_KIND_BIT(FB_MAP), false}};
  const fb_node *nodes[R_COUNT];
  fb_mission *mission = loader->mission;
  if (fb_rustchain_is(root)) root = fb_rustchain_translate(loader, root);
  if (!root) return;
  fb_doc_keys(loader->doc, root, "a mission", specs, R_COUNT, nodes, loader->errors);
  if (root->kind != FB_MAP) return;
  if (nodes[R_NAME]) mission->name = fb_node_text(nodes[R_NAME]);
  if (nodes[R_DESCRIPTION]) mission->description = fb_node_text(nodes[R_DESCRIPTION]);
  S_limits(loader, nodes[R_LIMITS]);
  fb_load_breakers(loader, nodes[R_BREAKERS]);
  fb_load_budgets(loader, nodes[R_BUDGETS]);
  fb_load_secrets(loader, nodes[R_SECRETS]);
  if (!fb_inputs_load(loader, nodes[R_INPUTS]) || !nodes[R_STEPS]) return;
  if (!S_names(loader, nodes[R_STEPS], nodes[R_FINALLY])) return;
  loader->steps_barred = true;
  fb_load_env(loader, nodes[R_ENV], &mission->env);
  S_files(loader, nodes[R_FILES]);
  fb_load_concurrency(loader, nodes[R_CONCURRENCY]);
  loader->steps_barred = false;
  for (uint32_t i = 0; i < mission->main_count && !loader->out_of_memory; i++)
    fb_load_step(loader, &nodes[R_STEPS]->as.items[i], i);
  for (uint32_t i = mission->finally_first; i < mission->step_count && !loader->out_of_memory; i++)
    fb_load_step(loader, &nodes[R_FINALLY]->as.items[i - mission->finally_first], i);
  fb_load_fallbacks(loader);
  S_outputs(loader, nodes[R_OUTPUTS]);
  fb_never_check(loader);
  if (!loader->out_of_memory && !fb_graph_build(mission, loader->errors) &&
      fb_errors_total(loader->errors) == 0)
    loader->out_of_memory = true;
}

static void S_loader_release(fb_mission_loader *loader) {
  fb_cel_env_free(loader->env);
  fb_table_release(&loader->ids);
  fb_free(loader->allocator, loader->words, loader->word_count * sizeof *loader->words);
  fb_free(loader->allocator, loader->marks, loader->mark_bytes);
  fb_free(loader->allocator, loader->needs, loader->need_cap * sizeof(uint32_t));
}

static fb_mission *S_new(const fb_doc *doc, const fb_mission_options *options,
                         const fb_allocator *allocator) {
  fb_mission *mission = fb_alloc_zero(allocator, sizeof *mission);
  if (!mission) return NULL;
  mission->allocator = allocator;
  mission->doc = doc;
  mission->name = mission->description = FB_SLICE("");
  fb_arena_init(&mission->arena, allocator, 0);
  const char *folder = options && options->folder && *options->folder ? options->folder : ".";
  mission->folder = fb_arena_text(&mission->arena, fb_slice_of(folder));
  if (mission->folder) return mission;
  fb_mission_free(mission);
  return NULL;
}

fb_status fb_mission_load(const fb_doc *doc, const fb_mission_options *options,
                          const fb_allocator *allocator, fb_mission **ret_mission,
                          fb_errors *errors) {
  if (!allocator) allocator = fb_allocator_system();
  fb_errors own;
  fb_errors_init(&own, allocator, 1);
  fb_mission_loader loader = {.doc = doc,
                              .errors = errors ? errors : &own,
                              .warnings = options ? options->warnings : NULL,
                              .chain = options ? options->chain : NULL,
                              .allocator = allocator,
                              .world = options ? options->world : NULL,
                              .step = FB_NO_STEP};
  fb_load_chain own_file = {fb_doc_name(doc), NULL};
  if (!loader.chain) loader.chain = &own_file;
  size_t before = fb_errors_total(loader.errors), first = loader.errors->count;
  loader.tools = options && options->tools.count
                     ? options->tools
                     : (fb_tools){S_own_tools, sizeof S_own_tools / sizeof *S_own_tools};
  if (loader.tools.count > FB_MOST_TOOLS) loader.tools.count = FB_MOST_TOOLS;
  fb_table_init(&loader.ids, allocator, 0);
  loader.mission = S_new(doc, options, allocator);
  if (!loader.mission || fb_cel_env_new(allocator, &loader.env))
    loader.out_of_memory = true;
  else
    S_root(&loader, fb_doc_root(doc));
  S_loader_release(&loader);
  fb_status status = FB_OK;
  if (loader.out_of_memory) {
    fb_error err = {0};
    status = fb_fail(&err, FB_E_NOMEM, "out of memory while the mission was loaded");
    fb_errors_add(errors, &err);
  } else if (fb_errors_total(loader.errors) > before) {
    status = first < loader.errors->count ? loader.errors->items[first].code : FB_E_MISSION_SYNTAX;
  } else {
    status = fb_doc_status(doc);
  }
  fb_errors_release(&own);
  if (status)
    fb_mission_free(loader.mission);
  else
    *ret_mission = loader.mission;
  return status;
}

void fb_mission_free(fb_mission *mission) {
  if (!mission) return;
  for (fb_text *text = mission->texts; text; text = text->next) fb_template_free(text->template_);
  for (uint32_t i = 0; i < mission->step_count; i++) {
    fb_step *step = &mission->steps[i];
    fb_cel_program_free(step->condition);
    if (step->guard && step->guard->until) fb_cel_program_free(step->guard->until->condition);
    if (step->tool && step->tool->unload && step->tool_plan) step->tool->unload(step->tool_plan);
  }
  fb_arena_release(&mission->arena);
  fb_free(mission->allocator, mission, sizeof *mission);
}

/* ── Looking at it ───────────────────────────────────────────────────────────────────────────── */

fb_slice fb_mission_name(const fb_mission *mission) {
  return mission->name;
}
const fb_doc *fb_mission_doc(const fb_mission *mission) {
  return mission->doc;
}
uint32_t fb_mission_steps(const fb_mission *mission) {
  return mission->step_count;
}
uint32_t fb_mission_levels(const fb_mission *mission) {
  return mission->level_count;
}

void fb_mission_step(const fb_mission *mission, uint32_t number, fb_step_info *ret_info) {
  const fb_step *step = &mission->steps[number];
  *ret_info = (fb_step_info){.id = step->id,
                             .description = step->description,
                             .tool = step->tool,
                             .needs = step->needs,
                             .need_count = step->need_count,
                             .level = step->level,
                             .timeout = step->timeout,
                             .on_error = (fb_on_error)step->on_error,
                             .phase = step->phase,
                             .undoes = step->undoes,
                             .semantics = (fb_semantics)step->semantics,
                             .has_check = step->check != NULL,
                             .for_each = step->for_each != NULL,
                             .cache = step->cache != NULL,
                             .line = step->id_node->line};
}

fb_status fb_mission_fail(const fb_mission *mission, const fb_node *node, fb_error *err,
                          fb_status code, const char *format, ...) {
  char text[sizeof err->text];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fb_fail(err, code, "%s", text);
  if (err && node)
    fb_error_locate(err, fb_doc_name(mission->doc), fb_doc_text(mission->doc), node->offset,
                    node->length);
  return code;
}
