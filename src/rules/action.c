/* SPDX-License-Identifier: Apache-2.0
 * Actions: `then`. */
#include "cel/template.h"
#include "rules/aggregate.h"

#include <stdio.h>

enum {
  KEY_ASSERT,
  KEY_MODIFY,
  KEY_RETRACT,
  KEY_EMIT,
  KEY_LOG,
  KEY_FOCUS,
  KEY_CALL,
  KEY_RUN,
  KEY_HALT,
  KEY_WITH,
  KEY_LOGICAL,
  KEY_AS,
  KEY_COUNT
};
static const char *const S_names[KEY_COUNT] = {"assert", "modify", "retract", "emit",
                                               "log",    "focus",  "call",    "run",
                                               "halt",   "with",   "logical", "as"};

#define S_FORMS                                                                                    \
  "an action is one of assert, modify, retract, emit, call, run, log, focus, halt; `with:` gives " \
  "its fields"

/* ── Templates ── */

fb_template *fb_rule_template(fb_rule_loader *loader, const fb_node *node) {
  fb_ruleset *set = loader->set;
  fb_template *template_;
  if (!fb_grow(set->allocator, (void **)&set->templates, &set->template_cap, set->template_count,
               sizeof *set->templates)) {
    loader->nomem = true;
    return NULL;
  }
  fb_status status =
      fb_template_compile_node(loader->env, loader->doc, node, &template_, loader->errors);
  if (status == FB_E_NOMEM) loader->nomem = true;
  if (status != FB_OK) return NULL;
  uint64_t reads = 0;
  fb_template_reads(template_, &reads, 1);
  loader->slots_used |= reads;
  return set->templates[set->template_count++] = template_;
}

/* ── Do values fit declared fields? ── */

bool fb_rule_kind_fits(fb_cel_kind kind, fb_field_type type) {
  bool number = kind == FB_CEL_INT || kind == FB_CEL_UINT;
  switch (type) {
    case FB_FIELD_ANY: return true;
    case FB_FIELD_BOOL: return kind == FB_CEL_BOOL;
    case FB_FIELD_INT:
    case FB_FIELD_UINT: return number;
    case FB_FIELD_DOUBLE: return number || kind == FB_CEL_DOUBLE;
    case FB_FIELD_STRING: return kind == FB_CEL_STRING;
    case FB_FIELD_BYTES: return kind == FB_CEL_BYTES;
    case FB_FIELD_TIMESTAMP: return kind == FB_CEL_TIMESTAMP || kind == FB_CEL_STRING;
    case FB_FIELD_DURATION: return kind == FB_CEL_DURATION || kind == FB_CEL_STRING;
    case FB_FIELD_LIST: return kind == FB_CEL_LIST;
    case FB_FIELD_MAP: return kind == FB_CEL_MAP;
  }
  return true;
}

/* A constant is tried on a fact; of anything else the type is known at most. */
static void S_check_value(fb_rule_loader *loader, fb_fact_type *type, const fb_rule_field *field) {
  fb_field_type want = type->fields[field->field].type;
  if (want == FB_FIELD_ANY) return;
  const fb_cel_type *have = fb_template_type(field->template_);
  if (!have || have->kind == FB_CEL_DYN || have->kind == FB_CEL_OPTIONAL) return;
  if (fb_rule_kind_fits(have->kind, want) &&
      !(fb_template_is_constant(field->template_) && want != FB_FIELD_STRING))
    return;
  fb_error err = {0};
  if (fb_rule_kind_fits(have->kind, want)) {
    fb_facts *facts;
    fb_value value;
    uint32_t row;
    fb_status status = fb_facts_new(loader->set->allocator, loader->set->schema, type, &facts);
    if (status == FB_OK) {
      fb_cel_context context;
      fb_cel_context_init(&context, &loader->set->arena);
      status = fb_template_eval(field->template_, NULL, &context, &value, &err);
      if (status == FB_OK) status = fb_facts_add(facts, &row);
      if (status == FB_OK) status = fb_facts_set(facts, row, field->field, value, &err);
      fb_cel_context_release(&context);
      fb_facts_free(facts);
    }
    if (status == FB_E_NOMEM) loader->nomem = true;
    if (status == FB_OK || status == FB_E_NOMEM) return;
  }
  char hint[240];
  snprintf(hint, sizeof hint, "declared as `%.*s: %s`", (int)field->name.len, field->name.ptr,
           fb_field_type_name(want));
  fb_buf text;
  fb_buf_init(&text, loader->set->allocator, 200);
  fb_cel_type_write(have, &text);
  fb_doc_fail(loader->doc, field->node, loader->errors, FB_E_RULE_VALUE, hint,
              "field `%.*s` of `%.*s` cannot be this %.*s", (int)field->name.len, field->name.ptr,
              (int)type->name.len, type->name.ptr, (int)text.len, text.ptr ? text.ptr : "");
  fb_buf_release(&text);
}

static bool S_find_field(fb_rule_loader *loader, fb_fact_type *type, const fb_node *key,
                         fb_rule_field *field) {
  fb_status status = fb_fact_type_learn(loader->set->schema, type, field->name, &field->field);
  if (status == FB_OK) return true;
  if (status == FB_E_NOMEM) {
    loader->nomem = true;
    return false;
  }
  char hint[240] = "";
  const char *near = NULL;
  for (uint32_t i = 0; i < type->field_count && !near; i++) {
    const char *name = fb_arena_text(&loader->set->arena, type->fields[i].name);
    if (name) near = fb_nearest(field->name, &name, 1);
  }
  if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  fb_doc_fail(loader->doc, key, loader->errors, FB_E_RULE_FIELD, hint,
              "fact type `%.*s` has no field `%.*s`", (int)type->name.len, type->name.ptr,
              (int)(field->name.len > 60 ? 60 : field->name.len), field->name.ptr);
  return false;
}

/* type NULL: of emit and log. */
static void S_load_with(fb_rule_loader *loader, const fb_node *with, fb_fact_type *type,
                        fb_rule_action *action) {
  if (!with) return;
  if (with->kind != FB_MAP) {
    fb_doc_fail(loader->doc, with, loader->errors, FB_E_RULE_ACTION,
                "as in `with: {why: big order}`", "`with` is a map of fields, not %s",
                fb_node_describe(with));
    return;
  }
  action->fields = fb_arena_zero(&loader->set->arena, (with->count + 1) * sizeof *action->fields);
  if (!action->fields) {
    loader->nomem = true;
    return;
  }
  for (uint32_t i = 0; i < with->count && !loader->nomem; i++) {
    const fb_pair *pair = &with->as.pairs[i];
    fb_rule_field field = {.node = &pair->value};
    if (action->kind == FB_THEN_EMIT && fb_slice_equal(fb_node_text(&pair->key), FB_SLICE("type")))
      fb_doc_fail(loader->doc, &pair->key, loader->errors, FB_E_RULE_FIELD,
                  "give the field another name", "a decision's `type` is what stands after `emit`");
    field.name.ptr = fb_arena_text(&loader->set->arena, fb_node_text(&pair->key));
    field.name.len = fb_node_text(&pair->key).len;
    if (!field.name.ptr) loader->nomem = true;
    field.template_ = fb_rule_template(loader, &pair->value);
    if (!field.name.ptr || (type && !S_find_field(loader, type, &pair->key, &field)) ||
        !field.template_)
      continue;
    if (type && !type->open) S_check_value(loader, type, &field);
    field.copies = fb_template_field(field.template_, &field.from_slot, &field.from_field);
    action->fields[action->field_count++] = field;
    loader->rule->value_count++;
  }
}

/* ── One action ── */

static fb_rule_condition *S_variable(fb_rule_loader *loader, const fb_node *node) {
  fb_rule *rule = loader->rule;
  if (node->kind != FB_STRING) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_ACTION, "as in `modify: o`",
                "this action takes a variable, not %s", fb_node_describe(node));
    return NULL;
  }
  fb_slice name = fb_node_text(node);
  const char *names[FB_RULE_MAX_POSITIVE];
  size_t count = 0;
  for (uint32_t i = 0; i < rule->condition_count; i++) {
    fb_rule_condition *c = &rule->conditions[i];
    bool element = c->kind == FB_WHEN_ELEMENT && fb_slice_equal(c->variable, name);
    if (element || fb_aggregate_names(c, name)) {
      fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_VARIABLE,
                  "only a pattern binds a fact for `then`", "`%.*s` is a value, not a fact",
                  (int)name.len, name.ptr);
      return NULL;
    }
    if (!c->variable.len) continue;
    if (fb_slice_equal(c->variable, name) && c->kind == FB_WHEN_FACT) return c;
    if (fb_slice_equal(c->variable, name)) {
      fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_VARIABLE,
                  "only a positive condition binds a fact for `then`",
                  "`%.*s` is known only within its own condition", (int)name.len, name.ptr);
      return NULL;
    }
    if (c->kind == FB_WHEN_FACT) names[count++] = c->variable.ptr;
  }
  char hint[160] = "a positive condition binds one: `type as x: …`";
  const char *near = fb_nearest(name, names, count);
  if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_VARIABLE, hint,
              "no condition binds `%.*s`", (int)(name.len > 60 ? 60 : name.len), name.ptr);
  return NULL;
}

static fb_rule_action *S_add(fb_rule_loader *loader, fb_action_kind kind, const fb_node *node,
                             uint32_t *cap) {
  fb_rule *rule = loader->rule;
  if (!fb_rule_push(loader->set, (void **)&rule->actions, cap, rule->action_count,
                    sizeof *rule->actions)) {
    loader->nomem = true;
    return NULL;
  }
  fb_rule_action *action = &rule->actions[rule->action_count++];
  *action = (fb_rule_action){.kind = kind, .node = node, .type = FB_RULE_NONE};
  return action;
}

static void S_check_retracted(fb_rule_loader *loader, const fb_node *node,
                              const fb_rule_condition *c) {
  for (uint32_t i = 0; i + 1 < loader->rule->action_count; i++) {
    const fb_rule_action *before = &loader->rule->actions[i];
    if (before->kind == FB_THEN_RETRACT && before->slot == c->slot)
      fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_ACTION, "",
                  "an action above has retracted `%.*s` already", (int)c->variable.len,
                  c->variable.ptr);
  }
}

static void S_load_retract(fb_rule_loader *loader, const fb_node *node, uint32_t *cap) {
  bool list = node->kind == FB_LIST;
  for (uint32_t i = 0; i < (list ? node->count : 1) && !loader->nomem; i++) {
    const fb_node *item = list ? &node->as.items[i] : node;
    fb_rule_condition *c = S_variable(loader, item);
    fb_rule_action *action = c ? S_add(loader, FB_THEN_RETRACT, item, cap) : NULL;
    if (!action) continue;
    S_check_retracted(loader, item, c);
    action->type = c->type;
    action->slot = c->slot;
    loader->slots_used |= UINT64_C(1) << c->slot;
  }
}

static void S_load_modify(fb_rule_loader *loader, const fb_node *node, const fb_node *with,
                          uint32_t *cap) {
  fb_rule_condition *c = S_variable(loader, node);
  fb_rule_action *action = c ? S_add(loader, FB_THEN_MODIFY, node, cap) : NULL;
  if (!action) return;
  S_check_retracted(loader, node, c);
  action->type = c->type;
  action->slot = c->slot;
  loader->slots_used |= UINT64_C(1) << c->slot;
  if (!with)
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_ACTION,
                "as in `with: {active: false}`",
                "`modify` says nothing to change: `with:` is missing");
  if (c->type != FB_RULE_NONE)
    S_load_with(loader, with, fb_schema_type(loader->set->schema, c->type), action);
}

static void S_load_assert(fb_rule_loader *loader, const fb_node *node, const fb_node *with,
                          const fb_node *logical, uint32_t *cap) {
  if (logical && logical->kind != FB_BOOL)
    fb_doc_fail(loader->doc, logical, loader->errors, FB_E_RULE_ACTION, "write `logical: true`",
                "`logical` is true or false, not %s", fb_node_describe(logical));
  if (node->kind != FB_STRING) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_ACTION, "as in `assert: review`",
                "`assert` takes a fact type, not %s", fb_node_describe(node));
    return;
  }
  fb_fact_type *type = fb_rule_type_named(loader, node, fb_node_text(node), true);
  fb_rule_action *action = type ? S_add(loader, FB_THEN_ASSERT, node, cap) : NULL;
  if (!action) return;
  action->type = type->id;
  action->logical = logical && logical->kind == FB_BOOL && logical->as.scalar.as.b;
  loader->rule->logical |= action->logical;
  S_load_with(loader, with, type, action);
}

static void S_load_emit(fb_rule_loader *loader, const fb_node *node, const fb_node *with,
                        uint32_t *cap) {
  if (node->kind != FB_STRING || !fb_node_text(node).len) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_ACTION, "as in `emit: lockout`",
                "`emit` takes the decision's type, not %s", fb_node_describe(node));
    return;
  }
  fb_rule_action *action = S_add(loader, FB_THEN_EMIT, node, cap);
  if (!action) return;
  action->name.ptr = fb_arena_text(&loader->set->arena, fb_node_text(node));
  action->name.len = action->name.ptr ? fb_node_text(node).len : 0;
  loader->nomem |= !action->name.ptr;
  S_load_with(loader, with, NULL, action);
}

/* The variable that later actions know the result by. */
static void S_load_result(fb_rule_loader *loader, const fb_node *node, fb_rule_action *action) {
  fb_slice name = node->kind == FB_STRING ? fb_node_text(node) : (fb_slice){"", 0};
  if (!fb_rule_is_variable(name)) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_VARIABLE, "as in `as: total`",
                "`as` takes the name of a variable, not %s",
                name.len ? "this" : fb_node_describe(node));
    return;
  }
  uint32_t slot;
  fb_cel_env *env = loader->env;
  bool known = false;
  for (uint32_t i = 0; i < loader->rule->condition_count; i++) {
    const fb_rule_condition *c = &loader->rule->conditions[i];
    known |= fb_when_binds(c->kind) && fb_slice_equal(c->variable, name);
  }
  for (uint32_t i = 0; i + 1 < loader->rule->action_count; i++)
    known |= fb_slice_equal(loader->rule->actions[i].result, name);
  if (known || fb_cel_env_slots(env) >= FB_RULE_MAX_SLOTS) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_VARIABLE,
                known ? "give each variable a name of its own" : "split the rule in two",
                known ? "the variable `%.*s` is bound already"
                      : "there is no room for another variable, `%.*s`",
                (int)(name.len > 60 ? 60 : name.len), name.ptr);
    return;
  }
  action->result = fb_rule_keep(loader, name);
  if (fb_cel_env_add(env, action->result, fb_cel_simple(FB_CEL_DYN), &slot) != FB_OK)
    loader->nomem = true;
  else
    action->slot = slot;
}

static uint32_t S_call_named(fb_rule_loader *loader, fb_slice name) {
  fb_ruleset *set = loader->set;
  uint32_t i = 0;
  while (i < set->call_count && !fb_slice_equal(set->calls[i], name)) i++;
  if (i < set->call_count) return i;
  if (!fb_rule_push(set, (void **)&set->calls, &set->call_cap, set->call_count, sizeof *set->calls))
    loader->nomem = true;
  else
    set->calls[set->call_count++] = name;
  return i;
}

static void S_load_call(fb_rule_loader *loader, const fb_node *node, const fb_node *with,
                        const fb_node *as, uint32_t *cap) {
  if (node->kind != FB_STRING || !fb_node_text(node).len) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_ACTION, "as in `call: tax`",
                "`call` takes the name of a calculator, not %s", fb_node_describe(node));
    return;
  }
  fb_rule_action *action = S_add(loader, FB_THEN_CALL, node, cap);
  if (!action) return;
  action->name = fb_rule_keep(loader, fb_node_text(node));
  action->slot = FB_RULE_NONE;
  action->call = S_call_named(loader, action->name);
  S_load_with(loader, with, NULL, action);
  if (as) S_load_result(loader, as, action);
}

static void S_load_run(fb_rule_loader *loader, const fb_node *node, const fb_node *with,
                       uint32_t *cap) {
  if (node->kind != FB_STRING || !fb_node_text(node).len) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_ACTION, "as in `run: fix-one.yaml`",
                "`run` takes the name of a mission, not %s", fb_node_describe(node));
    return;
  }
  fb_rule_action *action = S_add(loader, FB_THEN_RUN, node, cap);
  if (!action) return;
  action->message = fb_rule_template(loader, node);
  loader->rule->value_count++;
  S_load_with(loader, with, NULL, action);
}

static void S_load_log(fb_rule_loader *loader, const fb_node *node, const fb_node *with,
                       uint32_t *cap) {
  if (node->kind != FB_STRING) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_ACTION,
                "as in `log: order ${{ o.id }} is big`", "`log` takes text, not %s",
                fb_node_describe(node));
    return;
  }
  fb_rule_action *action = S_add(loader, FB_THEN_LOG, node, cap);
  if (!action) return;
  action->message = fb_rule_template(loader, node);
  loader->rule->value_count++;
  S_load_with(loader, with, NULL, action);
}

static void S_load_focus(fb_rule_loader *loader, const fb_node *node, uint32_t *cap) {
  bool list = node->kind == FB_LIST;
  /* The first that is named comes first: it is put on top last. */
  for (uint32_t i = list ? node->count : 1; i-- > 0 && !loader->nomem;) {
    const fb_node *item = list ? &node->as.items[i] : node;
    uint32_t group = fb_rule_focus(loader, item);
    fb_rule_action *action = group != FB_RULE_NONE ? S_add(loader, FB_THEN_FOCUS, item, cap) : NULL;
    if (action) action->group = group;
  }
}

static void S_load_halt(fb_rule_loader *loader, const fb_node *node, uint32_t *cap) {
  if (node->kind == FB_NULL || (node->kind == FB_BOOL && node->as.scalar.as.b) ||
      node->kind == FB_STRING)
    S_add(loader, FB_THEN_HALT, node, cap);
  else
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_ACTION, "write `halt: true`",
                "`halt` cannot be %s", fb_node_describe(node));
}

/* Which key is the action: the first that is not `with`. -1: none. */
static int S_kind_of(fb_rule_loader *loader, const fb_node *map, const fb_node **ret_with,
                     const fb_node **ret_logical, const fb_node **ret_as) {
  int kind = -1;
  *ret_with = *ret_logical = *ret_as = NULL;
  for (uint32_t i = 0; i < map->count; i++) {
    const fb_node *key = &map->as.pairs[i].key;
    fb_slice text = fb_node_text(key);
    int number = 0;
    while (number < KEY_COUNT && !fb_slice_equal(text, fb_slice_of(S_names[number]))) number++;
    if (number == KEY_COUNT) {
      const char *near = fb_nearest(text, S_names, KEY_COUNT);
      char hint[160] = S_FORMS;
      if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
      fb_doc_fail(loader->doc, key, loader->errors, FB_E_RULE_ACTION, hint, "unknown action `%.*s`",
                  (int)(text.len > 60 ? 60 : text.len), text.ptr);
      return -2;
    }
    if (number == KEY_WITH) {
      *ret_with = &map->as.pairs[i].value;
    } else if (number == KEY_LOGICAL) {
      *ret_logical = &map->as.pairs[i].value;
    } else if (number == KEY_AS) {
      *ret_as = &map->as.pairs[i].value;
    } else if (kind >= 0) {
      fb_doc_fail(loader->doc, key, loader->errors, FB_E_RULE_ACTION,
                  "start each action with a dash of its own",
                  "an action is one thing: `%s` or `%s`", S_names[kind], S_names[number]);
      return -2;
    } else {
      kind = number;
    }
  }
  return kind;
}

static void S_load_action(fb_rule_loader *loader, const fb_node *item, uint32_t *cap) {
  if (item->kind == FB_STRING && fb_slice_equal(fb_node_text(item), FB_SLICE("halt"))) {
    S_add(loader, FB_THEN_HALT, item, cap);
    return;
  }
  if (item->kind != FB_MAP) {
    fb_doc_fail(loader->doc, item, loader->errors, FB_E_RULE_ACTION, S_FORMS,
                "an action cannot be %s", fb_node_describe(item));
    return;
  }
  const fb_node *with, *logical, *as;
  int kind = S_kind_of(loader, item, &with, &logical, &as);
  if (kind == -1)
    fb_doc_fail(loader->doc, item, loader->errors, FB_E_RULE_ACTION, S_FORMS,
                "this does not say what to do");
  if (kind < 0) return;
  const fb_node *node = fb_node_get(item, S_names[kind]);
  if (with && (kind == KEY_RETRACT || kind == KEY_FOCUS || kind == KEY_HALT))
    fb_doc_fail(loader->doc, with, loader->errors, FB_E_RULE_ACTION, "", "`%s` takes no `with`",
                S_names[kind]);
  if (logical && kind != KEY_ASSERT)
    fb_doc_fail(loader->doc, logical, loader->errors, FB_E_RULE_ACTION,
                "only what a rule asserts can be withdrawn with its reason",
                "`%s` takes no `logical`", S_names[kind]);
  if (as && kind != KEY_CALL)
    fb_doc_fail(loader->doc, as, loader->errors, FB_E_RULE_ACTION, "only `call` has a result",
                "`%s` takes no `as`", S_names[kind]);
  switch (kind) {
    case KEY_ASSERT: S_load_assert(loader, node, with, logical, cap); break;
    case KEY_MODIFY: S_load_modify(loader, node, with, cap); break;
    case KEY_RETRACT: S_load_retract(loader, node, cap); break;
    case KEY_EMIT: S_load_emit(loader, node, with, cap); break;
    case KEY_LOG: S_load_log(loader, node, with, cap); break;
    case KEY_CALL: S_load_call(loader, node, with, as, cap); break;
    case KEY_RUN: S_load_run(loader, node, with, cap); break;
    case KEY_FOCUS: S_load_focus(loader, node, cap); break;
    default: S_load_halt(loader, node, cap);
  }
}

void fb_rule_load_actions(fb_rule_loader *loader, const fb_node *then) {
  uint32_t cap = 0;
  for (uint32_t i = 0; i < then->count && !loader->nomem; i++)
    S_load_action(loader, &then->as.items[i], &cap);
}
