/* SPDX-License-Identifier: Apache-2.0
 *
 * One step: document → plan.
 */
#include "mission/plan.h"

#include <stdio.h>

enum {
  K_ID,
  K_DESCRIPTION,
  K_NEEDS,
  K_IF,
  K_ENV,
  K_TIMEOUT,
  K_ON_ERROR,
  K_PARSE,
  K_DIR,
  K_STDIN,
  K_FOR_EACH,
  K_AS,
  K_PARALLEL,
  K_MATRIX,
  K_PRIORITY,
  K_WITH,
  K_RETRY,
  K_BREAKER,
  K_LIMIT,
  K_UNTIL,
  K_UNDO,
  K_SEMANTICS,
  K_CHECK,
  K_CACHE,
  K_COUNT
};
static const fb_key_spec S_step_keys[K_COUNT] = {
    [K_ID] = {"id", FB_KIND_BIT(FB_STRING), true},
    [K_DESCRIPTION] = {"description", FB_KIND_BIT(FB_STRING), false},
    [K_NEEDS] = {"needs", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_LIST), false},
    [K_IF] = {"if", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_BOOL), false},
    [K_ENV] = {"env", FB_KIND_BIT(FB_MAP), false},
    [K_TIMEOUT] = {"timeout", 0, false},
    [K_ON_ERROR] = {"on_error", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_MAP), false},
    [K_PARSE] = {"parse", FB_KIND_BIT(FB_STRING), false},
    [K_DIR] = {"dir", FB_KIND_BIT(FB_STRING), false},
    [K_STDIN] = {"stdin", 0, false},
    [K_FOR_EACH] = {"for_each", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_LIST) | FB_KIND_BIT(FB_MAP),
                    false},
    [K_AS] = {"as", FB_KIND_BIT(FB_STRING), false},
    [K_PARALLEL] = {"parallel", FB_KIND_BIT(FB_INT), false},
    [K_MATRIX] = {"matrix", FB_KIND_BIT(FB_MAP) | FB_KIND_BIT(FB_STRING), false},
    [K_PRIORITY] = {"priority", FB_KIND_BIT(FB_INT), false},
    [K_WITH] = {"with", FB_KIND_BIT(FB_MAP), false},
    [K_RETRY] = {"retry", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_MAP), false},
    [K_BREAKER] = {"breaker", FB_KIND_BIT(FB_STRING), false},
    [K_LIMIT] = {"limit", FB_KIND_BIT(FB_STRING), false},
    [K_UNTIL] = {"until", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_MAP), false},
    [K_UNDO] = {"undo", FB_KIND_BIT(FB_MAP), false},
    [K_SEMANTICS] = {"semantics", FB_KIND_BIT(FB_STRING), false},
    [K_CHECK] = {"check", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_LIST), false},
    [K_CACHE] = {"cache", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_MAP) | FB_KIND_BIT(FB_BOOL),
                 false}};

static const fb_tool *S_action(fb_mission_loader *loader, const fb_node *node,
                               const fb_node *const *actions, const fb_node **ret_action) {
  const fb_tool *found = NULL;
  char names[200] = "";
  size_t at = 0;
  for (size_t i = 0; i < loader->tools.count; i++) {
    if (at < sizeof names)
      at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "",
                             loader->tools.items[i]->key);
    const fb_pair *pair = actions[i] ? fb_node_get_pair(node, loader->tools.items[i]->key) : NULL;
    if (!pair) continue;
    if (found) {
      fb_doc_fail(loader->doc, &pair->key, loader->errors, FB_E_MISSION_ACTION,
                  "make two steps of it", "the step has two actions: `%s` and `%s`", found->key,
                  loader->tools.items[i]->key);
      continue;
    }
    found = loader->tools.items[i];
    *ret_action = actions[i];
  }
  if (!found) {
    char hint[240];
    snprintf(hint, sizeof hint, "an action is one of %s", names);
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_ACTION, hint,
                "the step has no action");
  }
  return found;
}

fb_cel_program *fb_loader_condition(fb_mission_loader *loader, const fb_node *node) {
  static const char *const word[] = {"false", "true"};
  fb_slice source =
      node->kind == FB_BOOL ? fb_slice_of(word[node->as.scalar.as.b]) : fb_node_text(node);
  fb_cel_program *program = NULL;
  fb_cel_options options = {.name = fb_doc_name(loader->doc),
                            .want = fb_cel_simple(FB_CEL_BOOL),
                            .doc = loader->doc,
                            .node = node};
  if (source.len >= 3 && memmem(source.ptr, source.len, "${{", 3)) {
    fb_load_fail(loader, node, FB_E_MISSION_VALUE, "leave out `${{` and `}}`",
                 "a condition is an expression, not a text with expressions in it");
    return NULL;
  }
  fb_status status = fb_cel_compile(loader->env, source, &options, &program, loader->errors);
  if (status == FB_E_NOMEM) loader->out_of_memory = true;
  if (status) return NULL;
  memset(loader->words, 0, loader->word_count * sizeof *loader->words);
  fb_cel_program_reads(program, loader->words, loader->word_count);
  fb_source_text where = {fb_doc_name(loader->doc), node, source, true};
  if (node->kind == FB_STRING) fb_loader_note_reads(loader, &where);
  return program;
}

bool fb_is_taken_name(fb_slice name) {
  static const char *const taken[] = {"inputs",  "steps", "secrets", "env",
                                      "mission", "run",   "index"};
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
    if (fb_slice_equal(name, fb_slice_of(taken[i]))) return true;
  return false;
}

bool fb_is_identifier(fb_slice name) {
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(i > 0 && c >= '0' && c <= '9')) return false;
  }
  return name.len > 0;
}

static void S_for_each(fb_mission_loader *loader, const fb_node *const *nodes, fb_step *step) {
  const fb_node *only = nodes[K_AS] ? nodes[K_AS] : nodes[K_PARALLEL];
  if (nodes[K_FOR_EACH] && nodes[K_MATRIX])
    fb_load_fail(loader, nodes[K_MATRIX], FB_E_MISSION_SYNTAX, "",
                 "a step has `for_each` or `matrix`, not both");
  if (nodes[K_MATRIX] && nodes[K_AS])
    fb_load_fail(loader, nodes[K_AS], FB_E_MISSION_SYNTAX, "it is called `matrix`",
                 "the combination at hand has its name already");
  if (!nodes[K_FOR_EACH] && !nodes[K_MATRIX]) {
    if (only)
      fb_load_fail(loader, only, FB_E_MISSION_SYNTAX, "",
                   "`as` and `parallel` belong to a step with `for_each`");
    return;
  }
  step->matrix = nodes[K_MATRIX] != NULL;
  step->for_each = fb_loader_text(loader, step->matrix ? nodes[K_MATRIX] : nodes[K_FOR_EACH], NULL);
  fb_value constant;
  if (step->for_each && fb_text_constant(step->for_each, &constant) && constant.kind != FB_LIST &&
      constant.kind != FB_MAP)
    fb_load_fail(loader, nodes[K_FOR_EACH], FB_E_MISSION_VALUE,
                 "for_each: \"${{ steps.x.output }}\"",
                 "`for_each` takes a list or a map, or an expression that gives one");
  step->item_parallel = fb_load_parallel(loader, nodes[K_PARALLEL]);
  step->as = step->matrix  ? FB_SLICE("matrix")
             : nodes[K_AS] ? fb_node_text(nodes[K_AS])
                           : FB_SLICE("item");
  if (!fb_is_identifier(step->as) || fb_is_taken_name(step->as)) {
    fb_doc_fail(loader->doc, nodes[K_AS], loader->errors, FB_E_MISSION_VALUE,
                "letters, digits and `_`; not inputs, steps, secrets, env, mission, run or index",
                "`%.*s` cannot name an item", (int)step->as.len, step->as.ptr);
    step->as = FB_SLICE("item");
  }
  const fb_cel_type *dyn = fb_cel_simple(FB_CEL_DYN);
  uint32_t slot;
  if (fb_cel_env_add(loader->env, step->as, dyn, &slot) ||
      fb_cel_env_add(loader->env, FB_SLICE("index"), fb_cel_simple(FB_CEL_INT), &slot))
    loader->out_of_memory = true;
  loader->in_item = true;
}

static void S_process_keys(fb_mission_loader *loader, const fb_node *const *nodes, fb_step *step) {
  static const int only[] = {K_ENV, K_PARSE, K_DIR, K_STDIN};
  static const char *const formats[] = {"text", "lines", "json", "ndjson", "csv"};
  for (size_t i = 0; i < sizeof only / sizeof *only; i++)
    if (nodes[only[i]] && step->tool && !step->tool->process)
      fb_doc_fail(loader->doc, nodes[only[i]], loader->errors, FB_E_MISSION_SYNTAX,
                  "it belongs to `run` and `shell`", "`%s` does nothing in a `%s` step",
                  S_step_keys[only[i]].name, step->tool->key);
  fb_load_env(loader, nodes[K_ENV], &step->env);
  if (nodes[K_PARSE])
    step->parse =
        (uint8_t)(FB_PARSE_TEXT + fb_load_word(loader, nodes[K_PARSE], "parse", formats, 5));
  if (nodes[K_DIR]) step->dir = fb_loader_text(loader, nodes[K_DIR], NULL);
  if (nodes[K_STDIN]) step->input = fb_loader_text(loader, nodes[K_STDIN], NULL);
}

const char *fb_semantics_name(fb_semantics semantics) {
  static const char *const names[] = {"at-least-once", "pure", "idempotent", "once"};
  return names[semantics];
}

/* What a crash in the middle of it means. The check is a command of its own: [program, argument, …], or a script. */
static void S_semantics(fb_mission_loader *loader, const fb_node *const *nodes, fb_step *step) {
  static const char *const words[] = {"at-least-once", "pure", "idempotent", "once"};
  if (step->tool) step->semantics = (uint8_t)step->tool->semantics;
  if (nodes[K_SEMANTICS])
    step->semantics = (uint8_t)fb_load_word(loader, nodes[K_SEMANTICS], "semantics", words, 4);
  const fb_node *check = nodes[K_CHECK];
  if (!check) return;
  if (step->semantics == FB_PURE)
    fb_load_fail(loader, check, FB_E_MISSION_SYNTAX, "leave it out, or say another `semantics`",
                 "a pure step has no effect that could be checked");
  step->check = check->kind == FB_STRING ? &fb_tool_shell : &fb_tool_run;
  if (step->check->load(loader, check, &step->check_plan) == FB_E_NOMEM)
    loader->out_of_memory = true;
}

static void S_condition(fb_mission_loader *loader, const fb_node *node, fb_step *step) {
  size_t before = loader->need_count;
  if (!node) return;
  step->condition_node = node;
  step->condition = fb_loader_condition(loader, node);
  if (!step->condition) return;
  step->condition_by_item = fb_loader_reads(loader, fb_slot_item(loader->mission)) ||
                            fb_loader_reads(loader, fb_slot_index(loader->mission));
  size_t bytes = (loader->need_count - before) * sizeof(uint32_t);
  step->condition_need_count = (uint32_t)(loader->need_count - before);
  if (bytes == 0) return;
  step->condition_needs = fb_arena_copy(&loader->mission->arena, loader->needs + before, bytes);
  if (!step->condition_needs) {
    step->condition_need_count = 0;
    loader->out_of_memory = true;
  }
}

/* What every kind of step has: its action and what stands around the calls of it. */
static void S_load_action(fb_mission_loader *loader, const fb_node *const *nodes, fb_step *step) {
  S_process_keys(loader, nodes, step);
  fb_load_guard(loader, nodes + K_RETRY, step);
  loader->with = nodes[K_WITH];
  if (nodes[K_WITH] && step->tool && !step->tool->with)
    fb_doc_fail(loader->doc, nodes[K_WITH], loader->errors, FB_E_MISSION_SYNTAX,
                "it belongs to `mission`", "`with` does nothing in a `%s` step", step->tool->key);
  if (step->tool && step->tool->load(loader, step->action, &step->tool_plan) == FB_E_NOMEM)
    loader->out_of_memory = true;
  fb_load_cache(loader, nodes[K_CACHE], step);
}

/* The values of a step's keys, and of the actions (from K_COUNT on). */
static void S_keys(fb_mission_loader *loader, const fb_node *node, fb_step *step,
                   const fb_node **nodes) {
  static const int not_of_undo[] = {K_ID,       K_NEEDS,  K_FOR_EACH, K_AS,   K_PARALLEL,
                                    K_ON_ERROR, K_MATRIX, K_PRIORITY, K_UNDO, K_CACHE};
  fb_key_spec specs[K_COUNT + FB_MOST_TOOLS], *last = specs;
  int keys[K_COUNT];
  const fb_node *found[K_COUNT + FB_MOST_TOOLS] = {0};
  size_t count = 0;
  for (int key = 0; key < K_COUNT; key++) {
    bool barred = false;
    for (size_t i = 0; step->phase == FB_PHASE_UNDO && i < sizeof not_of_undo / sizeof *not_of_undo;
         i++)
      barred = barred || not_of_undo[i] == key;
    if (step->phase == FB_PHASE_FINALLY && key == K_UNDO) barred = true;
    nodes[key] = NULL;
    if (barred) continue;
    keys[count++] = key;
    *last++ = S_step_keys[key];
  }
  for (size_t i = 0; i < loader->tools.count; i++)
    *last++ = (fb_key_spec){loader->tools.items[i]->key, 0, false};
  fb_doc_keys(loader->doc, node, step->phase == FB_PHASE_UNDO ? "undo" : "a step", specs,
              (size_t)(last - specs), found, loader->errors);
  for (size_t i = 0; i < count; i++) nodes[keys[i]] = found[i];
  for (size_t i = 0; i < loader->tools.count; i++) nodes[K_COUNT + i] = found[count + i];
}

/* The condition first: what it looks at must be told apart from the other needs. */
static void S_needs_and_condition(fb_mission_loader *loader, const fb_node *const *nodes,
                                  fb_step *step) {
  size_t others = loader->need_count;
  for (size_t i = 0; i < others; i++) loader->marks[loader->needs[i]] = 0;
  loader->need_count = 0;
  uint32_t *kept =
      others ? fb_arena_copy(&loader->mission->arena, loader->needs, others * sizeof(uint32_t))
             : NULL;
  S_condition(loader, nodes[K_IF], step);
  for (size_t i = 0; kept && i < others; i++) fb_loader_need(loader, kept[i]);
  fb_load_needs(loader, nodes[K_NEEDS]);
}

/* As the queues count: 0 goes first. */
static uint8_t S_priority(fb_mission_loader *loader, const fb_node *node) {
  int64_t number = node->as.scalar.as.i;
  if (number < 0 || number >= FB_PRIORITIES) {
    fb_load_fail(loader, node, FB_E_MISSION_VALUE, "steps that do not say have 5",
                 "`priority` is from 0 to 9; 9 goes first");
    number = FB_PRIORITY;
  }
  return (uint8_t)(FB_PRIORITIES - 1 - number);
}

void fb_load_step(fb_mission_loader *loader, const fb_node *node, uint32_t number) {
  const fb_node *nodes[K_COUNT + FB_MOST_TOOLS] = {0};
  fb_step *step = &loader->mission->steps[number];
  step->node = node;
  step->phase = number >= loader->mission->finally_first ? FB_PHASE_FINALLY
                : number >= loader->mission->main_count  ? FB_PHASE_UNDO
                                                         : FB_PHASE_MAIN;
  S_keys(loader, node, step, nodes);
  if (node->kind != FB_MAP) return;
  bool undo = step->phase == FB_PHASE_UNDO;
  if (!undo) loader->step = number;
  if (!undo) loader->need_count = 0;
  step->tool = S_action(loader, node, nodes + K_COUNT, &step->action);
  step->priority = FB_PRIORITIES - 1 - FB_PRIORITY;
  if (nodes[K_DESCRIPTION]) step->description = fb_node_text(nodes[K_DESCRIPTION]);
  if (nodes[K_PRIORITY]) step->priority = S_priority(loader, nodes[K_PRIORITY]);
  if (nodes[K_TIMEOUT]) step->timeout = fb_load_duration(loader, nodes[K_TIMEOUT]);
  if (undo) { /* within its step: the item's variables are those of the step */
    S_condition(loader, nodes[K_IF], step);
    S_semantics(loader, nodes, step);
    S_load_action(loader, nodes, step);
    return;
  }
  fb_load_on_error(loader, nodes[K_ON_ERROR], step);
  S_for_each(loader, nodes, step);
  uint32_t base = fb_slot_item(loader->mission);
  S_needs_and_condition(loader, nodes, step);
  S_semantics(loader, nodes, step);
  S_load_action(loader, nodes, step);
  step->needs = fb_load_take_needs(loader, &step->need_count);
  loader->step = FB_NO_STEP; /* what undoes it may look at anything */
  if (nodes[K_UNDO]) fb_load_undo(loader, nodes[K_UNDO], number);
  if (loader->in_item) fb_cel_env_truncate(loader->env, base);
  loader->in_item = false;
}
