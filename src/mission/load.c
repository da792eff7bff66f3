/* SPDX-License-Identifier: Apache-2.0
 *
 * Document → plan. First the names (inputs, steps), so that expressions may use any of them, then every
 * step, then the graph. Nothing stops at the first error.
 */
#include "mission/plan.h"

#include <stdio.h>
#include <stdlib.h>

static const fb_tool *const S_own_tools[] = {&fb_tool_run, &fb_tool_shell, &fb_tool_write};

static void S_fail(fb_mission_loader *loader, const fb_node *node, fb_status code, const char *hint,
                   const char *text) {
  fb_doc_fail(loader->doc, node, loader->errors, code, hint, "%s", text);
}

/* ── Needs ───────────────────────────────────────────────────────────────────────────────────── */

bool fb_loader_need(fb_mission_loader *loader, uint32_t step) {
  loader->mission->steps[step].referenced = true;
  if (loader->step == FB_NO_STEP || loader->marks[step] == loader->step + 1) return true;
  loader->marks[step] = loader->step + 1;
  void *needs = loader->needs;
  if (!fb_grow(loader->allocator, &needs, &loader->need_cap, loader->need_count,
               sizeof *loader->needs)) {
    loader->out_of_memory = true;
    return false;
  }
  loader->needs = needs;
  loader->needs[loader->need_count++] = step;
  return true;
}

const char *fb_loader_nearest_step(fb_mission_loader *loader, fb_slice word) {
  fb_mission *mission = loader->mission;
  enum { MOST = 5000 }; /* beyond, looking at all of them for every error takes too long */
  uint32_t count = mission->step_count < MOST ? mission->step_count : MOST;
  if (fb_errors_total(loader->errors) > 50) return NULL;
  if (!loader->id_names) {
    loader->id_names = fb_arena_alloc(&mission->arena, (count + 1) * sizeof *loader->id_names);
    for (uint32_t i = 0; loader->id_names && i < count; i++) {
      loader->id_names[i] = fb_arena_text(&mission->arena, mission->steps[i].id);
      if (!loader->id_names[i]) loader->id_names[i] = "";
    }
  }
  return loader->id_names ? fb_nearest(word, loader->id_names, count) : NULL;
}

void fb_loader_note_reads(fb_mission_loader *loader, const fb_source_text *source) {
  const fb_mission *mission = loader->mission;
  uint32_t first = fb_slot_of_step(mission, 0), end = first + mission->step_count;
  bool named = (loader->words[0] >> FB_SLOT_INPUTS & 1) || (loader->words[0] >> FB_SLOT_STEPS & 1);
  bool barred = false;
  for (uint32_t w = first / 64; w <= end / 64 && w < loader->word_count; w++) {
    for (uint64_t bits = loader->words[w]; bits; bits &= bits - 1) {
      uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(bits);
      if (slot < first || slot >= end) continue;
      named = true;
      barred = barred || loader->steps_barred;
      if (!loader->steps_barred) fb_loader_need(loader, slot - first);
    }
  }
  if (barred)
    S_fail(loader, source->node, FB_E_MISSION_STEP, "put it under `env` of the steps that use it",
           "no step has a result yet where this is worked out");
  else if (named)
    fb_refs_check(loader, source);
}

static void S_written_need(fb_mission_loader *loader, const fb_node *node) {
  if (node->kind != FB_STRING) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_SYNTAX, "",
                "`needs` lists ids of steps, not %s", fb_node_describe(node));
    return;
  }
  fb_slice id = fb_node_text(node);
  fb_table_slot *slot = fb_table_get(&loader->ids, id);
  if (slot) {
    bool was = loader->mission->steps[slot->value.number].referenced;
    fb_loader_need(loader, (uint32_t)slot->value.number);
    loader->mission->steps[slot->value.number].referenced = was;
    return;
  }
  const char *near = fb_loader_nearest_step(loader, id);
  char hint[120] = "";
  if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_STEP, hint, "unknown step `%.*s`",
              (int)id.len, id.ptr);
}

static void S_written_needs(fb_mission_loader *loader, const fb_node *node) {
  if (!node) return;
  if (node->kind != FB_LIST) {
    S_written_need(loader, node);
    return;
  }
  for (uint32_t i = 0; i < node->count; i++) S_written_need(loader, &node->as.items[i]);
}

static int S_by_number(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static uint32_t *S_take_needs(fb_mission_loader *loader, uint32_t *ret_count) {
  size_t bytes = loader->need_count * sizeof(uint32_t);
  *ret_count = (uint32_t)loader->need_count;
  if (bytes == 0) return NULL;
  qsort(loader->needs, loader->need_count, sizeof(uint32_t), S_by_number);
  uint32_t *needs = fb_arena_copy(&loader->mission->arena, loader->needs, bytes);
  if (!needs) {
    *ret_count = 0;
    loader->out_of_memory = true;
  }
  return needs;
}

/* ── Small values ────────────────────────────────────────────────────────────────────────────── */

static int64_t S_duration(fb_mission_loader *loader, const fb_node *node) {
  int64_t seconds;
  int32_t nanos;
  if (!node) return 0;
  if (node->kind == FB_STRING && fb_duration_parse(fb_node_text(node), &seconds, &nanos) &&
      seconds >= 0 && nanos >= 0 && seconds < INT64_C(9000000000) && (seconds || nanos))
    return seconds * 1000000000 + nanos;
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_VALUE,
              "a duration is written like 500ms, 10s, 5m or 1h30m", "not a duration above zero");
  return 0;
}

/* "64KiB", "10MB", "1 GiB" or a number of bytes. */
static bool S_size_parse(fb_slice text, uint64_t *ret_size) {
  static const struct {
    const char *unit;
    uint64_t bytes;
  } units[] = {{"", 1},          {"B", 1},           {"KB", 1000},
               {"MB", 1000000},  {"GB", 1000000000}, {"KiB", 1 << 10},
               {"MiB", 1 << 20}, {"GiB", 1 << 30},   {"K", 1 << 10},
               {"M", 1 << 20},   {"G", 1 << 30}};
  uint64_t number = 0;
  size_t i = 0;
  for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
    number = number * 10 + (uint64_t)(text.ptr[i] - '0');
    if (number > UINT64_C(1) << 40) return false;
  }
  if (i == 0) return false;
  if (i < text.len && text.ptr[i] == ' ') i++;
  fb_slice unit = {text.ptr + i, text.len - i};
  for (size_t k = 0; k < sizeof units / sizeof *units; k++)
    if (fb_slice_equal(unit, fb_slice_of(units[k].unit))) {
      *ret_size = number * units[k].bytes;
      return true;
    }
  return false;
}

static uint64_t S_size(fb_mission_loader *loader, const fb_node *node, uint64_t otherwise) {
  uint64_t size = 0;
  if (!node) return otherwise;
  bool good =
      node->kind == FB_INT ? node->as.scalar.as.i >= 0 : S_size_parse(fb_node_text(node), &size);
  if (good && node->kind == FB_INT) size = (uint64_t)node->as.scalar.as.i;
  if (good && size <= UINT64_C(1) << 31) return size;
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_VALUE,
              "a size is written like 64KiB, 1MiB or 10MB, or in bytes",
              good ? "a size here is at most 2 GiB" : "not a size");
  return otherwise;
}

static uint32_t S_parallel(fb_mission_loader *loader, const fb_node *node) {
  if (!node) return 0;
  int64_t number = node->as.scalar.as.i;
  if (number >= 1 && number <= 4096) return (uint32_t)number;
  S_fail(loader, node, FB_E_MISSION_VALUE, "", "`parallel` is from 1 to 4096");
  return 0;
}

/* ── Environment ─────────────────────────────────────────────────────────────────────────────── */

static bool S_env_name(fb_slice name) {
  return name.len > 0 && !memchr(name.ptr, '=', name.len) && !memchr(name.ptr, 0, name.len);
}

static void S_env(fb_mission_loader *loader, const fb_node *node, fb_env_list *list) {
  if (!node || node->count == 0) return;
  list->items = fb_arena_zero(&loader->mission->arena, node->count * sizeof *list->items);
  if (!list->items) {
    loader->out_of_memory = true;
    return;
  }
  for (uint32_t i = 0; i < node->count; i++) {
    const fb_pair *pair = &node->as.pairs[i];
    fb_slice name = fb_node_text(&pair->key);
    if (!S_env_name(name))
      S_fail(loader, &pair->key, FB_E_MISSION_VALUE, "", "not a name that a variable can have");
    else if (pair->value.kind == FB_LIST || pair->value.kind == FB_MAP)
      S_fail(loader, &pair->value, FB_E_MISSION_VALUE, "json.encode(…) makes a text of it",
             "a variable of the environment is a text");
    fb_text *value = fb_loader_text(loader, &pair->value, NULL);
    if (value) list->items[list->count++] = (fb_env_entry){name, value};
  }
}

/* ── A step ──────────────────────────────────────────────────────────────────────────────────── */

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
  K_COUNT
};
enum { MOST_TOOLS = 32 };

static const fb_key_spec S_step_keys[K_COUNT] = {
    [K_ID] = {"id", FB_KIND_BIT(FB_STRING), true},
    [K_DESCRIPTION] = {"description", FB_KIND_BIT(FB_STRING), false},
    [K_NEEDS] = {"needs", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_LIST), false},
    [K_IF] = {"if", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_BOOL), false},
    [K_ENV] = {"env", FB_KIND_BIT(FB_MAP), false},
    [K_TIMEOUT] = {"timeout", 0, false},
    [K_ON_ERROR] = {"on_error", FB_KIND_BIT(FB_STRING), false},
    [K_PARSE] = {"parse", FB_KIND_BIT(FB_STRING), false},
    [K_DIR] = {"dir", FB_KIND_BIT(FB_STRING), false},
    [K_STDIN] = {"stdin", 0, false},
    [K_FOR_EACH] = {"for_each", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_LIST) | FB_KIND_BIT(FB_MAP),
                    false},
    [K_AS] = {"as", FB_KIND_BIT(FB_STRING), false},
    [K_PARALLEL] = {"parallel", FB_KIND_BIT(FB_INT), false}};

/* A word out of a list, or an error with "did you mean". */
static int S_word(fb_mission_loader *loader, const fb_node *node, const char *key,
                  const char *const *words, size_t count) {
  char hint[160];
  size_t at = 0;
  for (size_t i = 0; i < count; i++)
    if (fb_slice_equal(fb_node_text(node), fb_slice_of(words[i]))) return (int)i;
  const char *near = fb_nearest(fb_node_text(node), words, count);
  if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  for (size_t i = 0; !near && i < count && at < sizeof hint; i++)
    at += (size_t)snprintf(hint + at, sizeof hint - at, "%s%s", i ? ", " : "one of ", words[i]);
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_VALUE, hint, "`%s` cannot be `%.*s`",
              key, (int)fb_node_text(node).len, fb_node_text(node).ptr);
  return 0;
}

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

bool fb_loader_condition(fb_mission_loader *loader, const fb_node *node, fb_step *step) {
  static const char *const word[] = {"false", "true"};
  fb_slice source =
      node->kind == FB_BOOL ? fb_slice_of(word[node->as.scalar.as.b]) : fb_node_text(node);
  fb_cel_options options = {.name = fb_doc_name(loader->doc),
                            .want = fb_cel_simple(FB_CEL_BOOL),
                            .doc = loader->doc,
                            .node = node};
  if (source.len >= 3 && memmem(source.ptr, source.len, "${{", 3)) {
    S_fail(loader, node, FB_E_MISSION_VALUE, "leave out `${{` and `}}`",
           "a condition is an expression, not a text with expressions in it");
    return false;
  }
  step->condition_node = node;
  fb_status status =
      fb_cel_compile(loader->env, source, &options, &step->condition, loader->errors);
  if (status == FB_E_NOMEM) loader->out_of_memory = true;
  if (status) {
    step->condition = NULL;
    return false;
  }
  memset(loader->words, 0, loader->word_count * sizeof *loader->words);
  fb_cel_program_reads(step->condition, loader->words, loader->word_count);
  uint32_t item = fb_slot_item(loader->mission);
  for (uint32_t slot = item; slot < item + 2; slot++)
    if (loader->words[slot / 64] >> (slot % 64) & 1) step->condition_by_item = true;
  fb_source_text where = {fb_doc_name(loader->doc), node, source, true};
  if (node->kind == FB_STRING) fb_loader_note_reads(loader, &where);
  return true;
}

bool fb_is_taken_name(fb_slice name) {
  static const char *const taken[] = {"inputs", "steps", "env", "mission", "run", "index"};
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
  if (!nodes[K_FOR_EACH]) {
    if (only)
      S_fail(loader, only, FB_E_MISSION_SYNTAX, "",
             "`as` and `parallel` belong to a step with `for_each`");
    return;
  }
  step->for_each = fb_loader_text(loader, nodes[K_FOR_EACH], NULL);
  fb_value constant;
  if (step->for_each && fb_text_constant(step->for_each, &constant) && constant.kind != FB_LIST &&
      constant.kind != FB_MAP)
    S_fail(loader, nodes[K_FOR_EACH], FB_E_MISSION_VALUE, "for_each: \"${{ steps.x.output }}\"",
           "`for_each` takes a list or a map, or an expression that gives one");
  step->item_parallel = S_parallel(loader, nodes[K_PARALLEL]);
  step->as = nodes[K_AS] ? fb_node_text(nodes[K_AS]) : FB_SLICE("item");
  if (!fb_is_identifier(step->as) || fb_is_taken_name(step->as)) {
    fb_doc_fail(loader->doc, nodes[K_AS], loader->errors, FB_E_MISSION_VALUE,
                "letters, digits and `_`; not inputs, steps, env, mission, run or index",
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
  S_env(loader, nodes[K_ENV], &step->env);
  if (nodes[K_PARSE])
    step->parse = (uint8_t)(FB_PARSE_TEXT + S_word(loader, nodes[K_PARSE], "parse", formats, 5));
  if (nodes[K_DIR]) step->dir = fb_loader_text(loader, nodes[K_DIR], NULL);
  if (nodes[K_STDIN]) step->input = fb_loader_text(loader, nodes[K_STDIN], NULL);
}

static void S_condition(fb_mission_loader *loader, const fb_node *node, fb_step *step) {
  size_t before = loader->need_count;
  if (!node || !fb_loader_condition(loader, node, step)) return;
  size_t bytes = (loader->need_count - before) * sizeof(uint32_t);
  step->condition_need_count = (uint32_t)(loader->need_count - before);
  if (bytes == 0) return;
  step->condition_needs = fb_arena_copy(&loader->mission->arena, loader->needs + before, bytes);
  if (!step->condition_needs) {
    step->condition_need_count = 0;
    loader->out_of_memory = true;
  }
}

static void S_step(fb_mission_loader *loader, const fb_node *node, uint32_t number) {
  static const char *const on_error[] = {"stop", "continue"};
  fb_key_spec specs[K_COUNT + MOST_TOOLS];
  const fb_node *nodes[K_COUNT + MOST_TOOLS];
  fb_step *step = &loader->mission->steps[number];
  memcpy(specs, S_step_keys, sizeof S_step_keys);
  for (size_t i = 0; i < loader->tools.count; i++)
    specs[K_COUNT + i] = (fb_key_spec){loader->tools.items[i]->key, 0, false};
  fb_doc_keys(loader->doc, node, "a step", specs, K_COUNT + loader->tools.count, nodes,
              loader->errors);
  if (node->kind != FB_MAP) return;
  loader->step = number;
  loader->need_count = 0;
  step->tool = S_action(loader, node, nodes + K_COUNT, &step->action);
  if (nodes[K_DESCRIPTION]) step->description = fb_node_text(nodes[K_DESCRIPTION]);
  if (nodes[K_TIMEOUT]) step->timeout = S_duration(loader, nodes[K_TIMEOUT]);
  if (nodes[K_ON_ERROR])
    step->on_error = (uint8_t)S_word(loader, nodes[K_ON_ERROR], "on_error", on_error, 2);
  S_for_each(loader, nodes, step);
  uint32_t base = fb_slot_item(loader->mission);
  /* The condition first: what it looks at must be told apart from the other needs. */
  size_t others = loader->need_count;
  for (size_t i = 0; i < others; i++) loader->marks[loader->needs[i]] = 0;
  loader->need_count = 0;
  uint32_t *kept =
      others ? fb_arena_copy(&loader->mission->arena, loader->needs, others * sizeof(uint32_t))
             : NULL;
  S_condition(loader, nodes[K_IF], step);
  for (size_t i = 0; kept && i < others; i++) fb_loader_need(loader, kept[i]);
  S_written_needs(loader, nodes[K_NEEDS]);
  S_process_keys(loader, nodes, step);
  if (step->tool && step->tool->load(loader, step->action, &step->tool_plan) == FB_E_NOMEM)
    loader->out_of_memory = true;
  step->needs = S_take_needs(loader, &step->need_count);
  if (loader->in_item) fb_cel_env_truncate(loader->env, base);
  loader->in_item = false;
  loader->step = FB_NO_STEP;
}

/* ── Names ───────────────────────────────────────────────────────────────────────────────────── */

static void S_step_id(fb_mission_loader *loader, const fb_node *node, uint32_t number) {
  fb_step *step = &loader->mission->steps[number];
  const fb_node *id = fb_node_get(node, "id");
  bool added;
  step->id_node = id ? id : node;
  step->id = FB_SLICE("");
  if (!fb_node_is(id, FB_STRING)) return;
  step->id = fb_node_text(id);
  if (!fb_is_identifier(step->id) || step->id.len > 100) {
    S_fail(loader, id, FB_E_MISSION_VALUE,
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
              S_add(loader, "", FB_SLICE("env"), env, FB_SLOT_ENV) &&
              S_add(loader, "", FB_SLICE("mission.name"), text, FB_SLOT_MISSION_NAME) &&
              S_add(loader, "", FB_SLICE("mission.dir"), text, FB_SLOT_MISSION_DIR) &&
              S_add(loader, "", FB_SLICE("run.id"), text, FB_SLOT_RUN_ID) &&
              S_add(loader, "", FB_SLICE("run.dir"), text, FB_SLOT_RUN_DIR);
  for (uint32_t i = 0; good && i < mission->input_count; i++)
    good = S_add(loader, "inputs.", mission->inputs[i].name, fb_input_cel_type(&mission->inputs[i]),
                 FB_SLOT_FIRST_INPUT + i);
  for (uint32_t i = 0; good && i < mission->step_count; i++) {
    const fb_table_slot *known = fb_table_get(&loader->ids, mission->steps[i].id);
    bool first = known && known->value.number == i; /* of its name */
    good = S_add(loader, "steps.", first ? mission->steps[i].id : FB_SLICE(""), map,
                 fb_slot_of_step(mission, i));
  }
  return good;
}

/* ── The whole ───────────────────────────────────────────────────────────────────────────────── */

static void S_limits(fb_mission_loader *loader, const fb_node *node) {
  static const fb_key_spec specs[] = {
      {"parallel", FB_KIND_BIT(FB_INT), false},
      {"timeout", 0, false},
      {"fail_fast", FB_KIND_BIT(FB_BOOL), false},
      {"output", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_STRING), false}};
  const fb_node *nodes[4];
  fb_limits *limits = &loader->mission->limits;
  limits->output = 1 << 20;
  if (!node) return;
  fb_doc_keys(loader->doc, node, "limits", specs, 4, nodes, loader->errors);
  if (node->kind != FB_MAP) return;
  limits->parallel = S_parallel(loader, nodes[0]);
  limits->timeout = S_duration(loader, nodes[1]);
  limits->fail_fast = nodes[2] && nodes[2]->as.scalar.as.b;
  limits->output = S_size(loader, nodes[3], limits->output);
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
    fb_text *value = fb_loader_text(loader, &node->as.pairs[i].value, NULL);
    if (value)
      mission->outputs[mission->output_count++] =
          (fb_output){fb_node_text(&node->as.pairs[i].key), value};
  }
}

enum { R_NAME, R_DESCRIPTION, R_INPUTS, R_LIMITS, R_ENV, R_STEPS, R_OUTPUTS, R_COUNT };

static bool S_names(fb_mission_loader *loader, const fb_node *steps) {
  fb_mission *mission = loader->mission;
  if (steps->count == 0)
    S_fail(loader, steps, FB_E_MISSION_SYNTAX, "", "a mission has at least one step");
  mission->steps = fb_arena_zero(&mission->arena, steps->count * sizeof *mission->steps + 1);
  loader->mark_bytes = steps->count * sizeof(uint32_t) + 1;
  loader->marks = fb_alloc_zero(loader->allocator, loader->mark_bytes);
  if (!mission->steps || !loader->marks) {
    loader->out_of_memory = true;
    return false;
  }
  mission->step_count = steps->count;
  for (uint32_t i = 0; i < steps->count; i++) S_step_id(loader, &steps->as.items[i], i);
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
      [R_LIMITS] = {"limits", FB_KIND_BIT(FB_MAP), false},
      [R_ENV] = {"env", FB_KIND_BIT(FB_MAP), false},
      [R_STEPS] = {"steps", FB_KIND_BIT(FB_LIST), true},
      [R_OUTPUTS] = {"outputs", FB_KIND_BIT(FB_MAP), false}};
  const fb_node *nodes[R_COUNT];
  fb_mission *mission = loader->mission;
  fb_doc_keys(loader->doc, root, "a mission", specs, R_COUNT, nodes, loader->errors);
  if (root->kind != FB_MAP) return;
  if (nodes[R_NAME]) mission->name = fb_node_text(nodes[R_NAME]);
  if (nodes[R_DESCRIPTION]) mission->description = fb_node_text(nodes[R_DESCRIPTION]);
  S_limits(loader, nodes[R_LIMITS]);
  if (!fb_inputs_load(loader, nodes[R_INPUTS]) || !nodes[R_STEPS]) return;
  if (!S_names(loader, nodes[R_STEPS])) return;
  loader->steps_barred = true;
  S_env(loader, nodes[R_ENV], &mission->env);
  loader->steps_barred = false;
  for (uint32_t i = 0; i < mission->step_count && !loader->out_of_memory; i++)
    S_step(loader, &nodes[R_STEPS]->as.items[i], i);
  S_outputs(loader, nodes[R_OUTPUTS]);
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
                              .allocator = allocator,
                              .world = options ? options->world : NULL,
                              .step = FB_NO_STEP};
  size_t before = fb_errors_total(loader.errors), first = loader.errors->count;
  loader.tools = options && options->tools.count ? options->tools : (fb_tools){S_own_tools, 3};
  if (loader.tools.count > MOST_TOOLS) loader.tools.count = MOST_TOOLS;
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
                             .for_each = step->for_each != NULL,
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
