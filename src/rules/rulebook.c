/* SPDX-License-Identifier: Apache-2.0
 * The loader: from a document to a plan, with every error of the document. */
#include "rules/aggregate.h"

#include <stdio.h>

bool fb_rule_push(fb_ruleset *set, void **items, uint32_t *cap, uint32_t count, size_t item_size) {
  if (count < *cap) return true;
  uint32_t more = *cap ? *cap * 2 : 1; /* most of the many arrays have one item */
  void *moved = fb_arena_alloc(&set->arena, (size_t)more * item_size);
  if (!moved) return false;
  if (count) memcpy(moved, *items, (size_t)count * item_size);
  *items = moved;
  *cap = more;
  return true;
}

fb_rule_key fb_rule_key_of(fb_value value, const fb_symbols *symbols) {
  fb_symbol symbol;
  int64_t whole;
  switch (value.kind) {
    case FB_NULL: return (fb_rule_key){FB_KEY_NULL, 0};
    case FB_BOOL: return (fb_rule_key){FB_KEY_BOOL, value.as.b};
    case FB_INT: return (fb_rule_key){FB_KEY_INT, value.as.u};
    case FB_UINT:
      return (fb_rule_key){value.as.u > INT64_MAX ? FB_KEY_UINT : FB_KEY_INT, value.as.u};
    case FB_DOUBLE:
      if (value.as.d != value.as.d) return (fb_rule_key){FB_KEY_NONE, 0};
      if (value.as.d >= -0x1p63 && value.as.d < 0x1p63) {
        whole = (int64_t)value.as.d;
        if ((double)whole == value.as.d) return (fb_rule_key){FB_KEY_INT, (uint64_t)whole};
      } else if (value.as.d >= 0x1p63 && value.as.d < 0x1p64) {
        return (fb_rule_key){FB_KEY_UINT, (uint64_t)value.as.d};
      }
      return (fb_rule_key){FB_KEY_DOUBLE, value.as.u};
    case FB_STRING:
      if (value.symbol) return (fb_rule_key){FB_KEY_SYMBOL, fb_symbol_of(value)};
      if (fb_symbol_find(symbols, fb_value_text(value), &symbol))
        return (fb_rule_key){FB_KEY_SYMBOL, symbol};
      return (fb_rule_key){FB_KEY_UNKNOWN_TEXT, 0};
    case FB_ABSENT: return (fb_rule_key){FB_KEY_NONE, 0};
    default: return (fb_rule_key){FB_KEY_HASHED, fb_value_hash(value, 0)};
  }
}

/* ── facts: ── */

static fb_status S_field_type(fb_rule_loader *loader, const fb_node *node, fb_field_type *ret) {
  static const char *const names[] = {"any",   "bool",      "int",      "uint", "double", "string",
                                      "bytes", "timestamp", "duration", "list", "map"};
  if (fb_node_is(node, FB_STRING) && fb_field_type_parse(fb_node_text(node), ret)) return FB_OK;
  char hint[200] =
      "types are any, bool, int, uint, double, string, bytes, timestamp, duration, list, map";
  if (fb_node_is(node, FB_STRING)) {
    const char *near = fb_nearest(fb_node_text(node), names, sizeof names / sizeof *names);
    if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
    fb_slice text = fb_node_text(node);
    return fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_TYPE, hint,
                       "there is no field type `%.*s`", (int)(text.len > 60 ? 60 : text.len),
                       text.ptr);
  }
  return fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_TYPE, hint,
                     "a field's type is a name, not %s", fb_node_describe(node));
}

static bool S_is_name(fb_slice text, bool dots) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    bool inner = (c >= '0' && c <= '9') || (dots && (c == '.' || c == '-'));
    if (!letter && !(i && inner)) return false;
  }
  return text.len > 0 && text.len < 200;
}

static void S_declare(fb_rule_loader *loader, const fb_pair *pair) {
  const fb_node *node = &pair->value;
  if (!S_is_name(fb_node_text(&pair->key), true)) {
    fb_doc_fail(loader->doc, &pair->key, loader->errors, FB_E_RULE_TYPE,
                "a type's name has letters, digits, `_`, `.` and `-`, and starts with a letter",
                "this cannot be the name of a fact type");
    return;
  }
  if (node->kind != FB_MAP) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_TYPE,
                "as in `order: {id: string, amount: double}`",
                "a fact type is a map of its fields, not %s", fb_node_describe(node));
    return;
  }
  fb_field *fields = fb_arena_alloc(&loader->set->arena, (node->count + 1) * sizeof *fields);
  if (!fields) {
    loader->nomem = true;
    return;
  }
  uint32_t count = 0;
  for (uint32_t i = 0; i < node->count; i++) {
    const fb_pair *field = &node->as.pairs[i];
    fb_field_type type = FB_FIELD_ANY;
    if (!S_is_name(fb_node_text(&field->key), false))
      fb_doc_fail(loader->doc, &field->key, loader->errors, FB_E_RULE_FIELD,
                  "a field's name has letters, digits and `_`, and starts with a letter",
                  "this cannot be the name of a field");
    else if (S_field_type(loader, &field->value, &type) != FB_OK)
      type = FB_FIELD_ANY;
    fields[count++] = (fb_field){fb_node_text(&field->key), type};
  }
  fb_fact_type *type;
  fb_error err;
  fb_status status =
      fb_schema_declare(loader->set->schema, fb_node_text(&pair->key), fields, count, &type, &err);
  if (status == FB_E_NOMEM)
    loader->nomem = true;
  else if (status != FB_OK)
    fb_doc_fail(loader->doc, &pair->key, loader->errors, status, err.hint, "%s", err.text);
}

static const char *S_nearest_type(fb_rule_loader *loader, fb_slice name) {
  const char *best = NULL;
  for (uint32_t i = 0; i < fb_schema_count(loader->set->schema) && !best; i++) {
    fb_fact_type *type = fb_schema_type(loader->set->schema, i);
    if (type->open) continue;
    const char *text = fb_arena_text(&loader->set->arena, type->name);
    if (text) best = fb_nearest(name, &text, 1);
  }
  return best;
}

fb_fact_type *fb_rule_type_named(fb_rule_loader *loader, const fb_node *node, fb_slice name,
                                 bool asserted) {
  if (!S_is_name(name, true)) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_TYPE,
                "a type's name has letters, digits, `_`, `.` and `-`, and starts with a letter",
                "`%.*s` cannot be the name of a fact type", (int)(name.len > 60 ? 60 : name.len),
                name.ptr);
    return NULL;
  }
  fb_fact_type *type = fb_schema_find(loader->set->schema, name);
  if (!type && loader->declares) {
    const char *near = S_nearest_type(loader, name);
    if (near) {
      char hint[240];
      snprintf(hint, sizeof hint, "did you mean `%s`? Else declare it under `facts:`", near);
      fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_TYPE, hint,
                  "unknown fact type `%.*s`", (int)name.len, name.ptr);
      return NULL;
    }
  }
  if (!type && fb_schema_open(loader->set->schema, name, &type) != FB_OK) {
    loader->nomem = true;
    return NULL;
  }
  (void)asserted;
  return type;
}

/* ── rules: ── */

enum {
  KEY_NAME,
  KEY_SALIENCE,
  KEY_WHEN,
  KEY_THEN,
  KEY_ENABLED,
  KEY_DESCRIPTION,
  KEY_TAGS,
  KEY_NO_LOOP,
  KEY_GROUP,
  KEY_AUTO_FOCUS,
  KEY_EFFECTIVE,
  KEY_COUNT
};

static const fb_key_spec S_rule_keys[KEY_COUNT] = {
    {"name", FB_KIND_BIT(FB_STRING), true},
    {"salience", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_STRING), false},
    {"when", FB_KIND_BIT(FB_LIST), true},
    {"then", FB_KIND_BIT(FB_LIST), true},
    {"enabled", FB_KIND_BIT(FB_BOOL), false},
    {"description", FB_KIND_BIT(FB_STRING), false},
    {"tags", FB_KIND_BIT(FB_LIST), false},
    {"no_loop", FB_KIND_BIT(FB_BOOL), false},
    {"group", FB_KIND_BIT(FB_STRING), false},
    {"auto_focus", FB_KIND_BIT(FB_BOOL), false},
    {"effective", FB_KIND_BIT(FB_MAP), false},
};

fb_slice fb_rule_keep(fb_rule_loader *loader, fb_slice text) {
  char *copy = fb_arena_text(&loader->set->arena, text);
  if (!copy) loader->nomem = true;
  return (fb_slice){copy ? copy : "", copy ? text.len : 0};
}

static void S_check_tags(fb_rule_loader *loader, const fb_node *tags) {
  for (uint32_t i = 0; tags && i < tags->count; i++)
    if (tags->as.items[i].kind != FB_STRING)
      fb_doc_fail(loader->doc, &tags->as.items[i], loader->errors, FB_E_RULE_SYNTAX, "",
                  "a tag is text, not %s", fb_node_describe(&tags->as.items[i]));
}

/* A variable bound and never read says more than it needs to: often a slip. */
static void S_warn_unused(fb_rule_loader *loader, const fb_rule *rule) {
  for (uint32_t i = 0; i < rule->condition_count; i++) {
    const fb_rule_condition *c = &rule->conditions[i];
    bool own = c->test_count || c->join_count;
    if (!c->variable.len || own || c->used) continue;
    if (fb_when_binds(c->kind) && (loader->slots_used >> c->slot & 1)) continue;
    fb_doc_fail(loader->doc, c->node, loader->warnings, FB_E_RULE_UNUSED,
                "leave out `as …` if that is meant", "nothing uses the variable `%.*s`",
                (int)c->variable.len, c->variable.ptr);
  }
}

/* names NULL: a further variant of a rule. */
static void S_load_rule(fb_rule_loader *loader, const fb_node *node, fb_table *names,
                        uint32_t variant) {
  const fb_node *keys[KEY_COUNT];
  fb_rule *rule = loader->rule;
  rule->info.enabled = true;
  rule->info.line = node->line;
  rule->node = node;
  rule->variant = variant;
  fb_doc_keys(loader->doc, node, "a rule", S_rule_keys, KEY_COUNT, keys, loader->errors);
  if (node->kind != FB_MAP) return;
  if (keys[KEY_NAME]) {
    rule->node = keys[KEY_NAME];
    rule->info.name = fb_rule_keep(loader, fb_node_text(keys[KEY_NAME]));
    bool added = true;
    fb_table_slot *slot =
        rule->info.name.len && names ? fb_table_put(names, rule->info.name, &added) : NULL;
    if (!names)
      added = true;
    else if (!rule->info.name.len)
      fb_doc_fail(loader->doc, keys[KEY_NAME], loader->errors, FB_E_RULE_SYNTAX, "",
                  "a rule's name is empty");
    else if (!slot)
      loader->nomem = true;
    else if (!added)
      fb_doc_fail(loader->doc, keys[KEY_NAME], loader->errors, FB_E_RULE_DUPLICATE,
                  "names must differ", "there is already a rule of this name, on line %u",
                  (unsigned)slot->value.number);
    else
      slot->value.number = keys[KEY_NAME]->line;
  }
  if (keys[KEY_DESCRIPTION])
    rule->info.description = fb_rule_keep(loader, fb_node_text(keys[KEY_DESCRIPTION]));
  if (keys[KEY_ENABLED]) rule->info.enabled = keys[KEY_ENABLED]->as.scalar.as.b;
  if (keys[KEY_NO_LOOP]) rule->no_loop = keys[KEY_NO_LOOP]->as.scalar.as.b;
  if (keys[KEY_AUTO_FOCUS]) rule->auto_focus = keys[KEY_AUTO_FOCUS]->as.scalar.as.b;
  fb_rule_load_group(loader, keys[KEY_GROUP]);
  fb_rule_load_effective(loader, keys[KEY_EFFECTIVE]);
  S_check_tags(loader, keys[KEY_TAGS]);
  size_t before = fb_errors_total(loader->errors);
  fb_cel_env_clear(loader->env);
  loader->slots_used = 0;
  rule->when = keys[KEY_WHEN];
  loader->constants = loader->dead = false;
  if (keys[KEY_WHEN]) fb_rule_load_conditions(loader, keys[KEY_WHEN], variant);
  if (loader->dead) rule->info.enabled = false;
  bool sound = fb_errors_total(loader->errors) == before;
  fb_rule_load_salience(loader, keys[KEY_SALIENCE]);
  if (keys[KEY_THEN]) {
    if (!keys[KEY_THEN]->count)
      fb_doc_fail(loader->doc, keys[KEY_THEN], loader->errors, FB_E_RULE_ACTION,
                  "give it at least one action", "the rule does nothing");
    fb_rule_load_actions(loader, keys[KEY_THEN]);
  }
  if (sound && fb_errors_total(loader->errors) == before) S_warn_unused(loader, rule);
}

static bool S_same_error(const fb_error *a, const fb_error *b) {
  return a->code == b->code && a->line == b->line && a->column == b->column &&
         strcmp(a->text, b->text) == 0;
}

/* What the variants of a rule have in common is told once. */
static void S_tell_once(fb_errors *errors, size_t from) {
  size_t kept = from;
  for (size_t i = from; errors && i < errors->count; i++) {
    size_t j = 0;
    while (j < kept && !S_same_error(&errors->items[j], &errors->items[i])) j++;
    if (j == kept) errors->items[kept++] = errors->items[i];
  }
  if (errors && kept < errors->count) errors->count = kept;
}

/* A variable that one branch binds and another does not. */
static void S_tell_unbound(fb_errors *errors, size_t from, const fb_node *when) {
  for (size_t i = from; i < errors->count; i++) {
    fb_error *err = &errors->items[i];
    const char *at = strchr(err->text, '`'), *end = at ? strchr(at + 1, '`') : NULL;
    if ((err->code != FB_E_CEL_UNDECLARED && strncmp(err->text, "no condition binds", 18) != 0) ||
        !end || !fb_rule_binds(when, (fb_slice){at + 1, (size_t)(end - at - 1)}))
      continue;
    char name[80];
    snprintf(name, sizeof name, "%.*s", (int)(end - at - 1), at + 1);
    err->code = FB_E_RULE_VARIABLE;
    snprintf(err->text, sizeof err->text, "`%s` is not bound in every branch of `any`", name);
    snprintf(err->hint, sizeof err->hint, "bind it in each branch, or above them");
  }
}

/* Rules, the variants of each one after the other. */
static uint32_t S_count_variants(const fb_node *rules) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < rules->count; i++) {
    const fb_node *when =
        rules->as.items[i].kind == FB_MAP ? fb_node_get(&rules->as.items[i], "when") : NULL;
    count += when && when->kind == FB_LIST ? fb_rule_variants(when) : 1;
  }
  return count;
}

static void S_load_variants(fb_rule_loader *loader, const fb_node *node, fb_table *names) {
  fb_ruleset *set = loader->set;
  const fb_node *when = node->kind == FB_MAP ? fb_node_get(node, "when") : NULL;
  uint32_t count = when && when->kind == FB_LIST ? fb_rule_variants(when) : 1;
  set->books[set->book_count] = set->rule_count;
  for (uint32_t variant = 0; variant < count && !loader->nomem; variant++) {
    size_t errors = loader->errors->count,
           warnings = loader->warnings ? loader->warnings->count : 0;
    loader->rule = &set->rules[set->rule_count];
    loader->rule->number = set->rule_count++;
    loader->rule->book = set->book_count;
    S_load_rule(loader, node, variant ? NULL : names, variant);
    if (count > 1) S_tell_unbound(loader->errors, errors, when);
    S_tell_once(loader->errors, errors);
    S_tell_once(loader->warnings, warnings);
  }
  set->book_count++;
}

static void S_load_rules(fb_rule_loader *loader, const fb_node *rules) {
  fb_ruleset *set = loader->set;
  set->rules = fb_arena_zero(&set->arena, (S_count_variants(rules) + 1) * sizeof *set->rules);
  set->books = fb_arena_zero(&set->arena, (rules->count + 1) * sizeof *set->books);
  if (!set->rules || !set->books) {
    loader->nomem = true;
    return;
  }
  fb_rule_find_groups(loader, rules);
  fb_table names;
  fb_table_init(&names, set->allocator, 0);
  for (uint32_t i = 0; i < rules->count && !loader->nomem; i++)
    S_load_variants(loader, &rules->as.items[i], &names);
  fb_table_release(&names);
}

/* Types that come only from outside although the rulebook declares its types. */
static void S_warn_types(fb_rule_loader *loader) {
  fb_ruleset *set = loader->set;
  if (!loader->declares || !loader->warnings) return;
  size_t count = fb_schema_count(set->schema);
  bool *known = fb_arena_zero(&set->arena, count + 1);
  if (!known) return;
  for (uint32_t r = 0; r < set->rule_count; r++)
    for (uint32_t a = 0; a < set->rules[r].action_count; a++)
      if (set->rules[r].actions[a].kind == FB_THEN_ASSERT)
        known[set->rules[r].actions[a].type] = true;
  for (uint32_t r = 0; r < set->rule_count; r++)
    for (uint32_t i = 0; i < set->rules[r].condition_count; i++) {
      const fb_rule_condition *c = &set->rules[r].conditions[i];
      if (c->aggregate) c = &c->aggregate->source;
      if (c->type == FB_RULE_NONE) continue;
      fb_fact_type *type = fb_schema_type(set->schema, c->type);
      if (!type->open || known[c->type]) continue;
      known[c->type] = true;
      fb_doc_fail(loader->doc, c->node, loader->warnings, FB_E_RULE_UNKNOWN_TYPE,
                  "declare it under `facts:` to have its fields checked",
                  "nothing declares or asserts the type `%.*s`", (int)type->name.len,
                  type->name.ptr);
    }
}

static fb_status S_load(fb_rule_loader *loader, const fb_node *root) {
  static const fb_key_spec specs[] = {
      {"facts", FB_KIND_BIT(FB_MAP) | FB_KIND_BIT(FB_NULL), false},
      {"rules", FB_KIND_BIT(FB_LIST), true},
      {"name", FB_KIND_BIT(FB_STRING), false},
      {"description", FB_KIND_BIT(FB_STRING), false},
      {"strategy", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_MAP), false},
      {"partition", FB_KIND_BIT(FB_MAP), false},

      {"expires", FB_KIND_BIT(FB_MAP), false}};
  const fb_node *keys[7];
  fb_doc_keys(loader->doc, root, "a rulebook", specs, 7, keys, loader->errors);
  if (root->kind != FB_MAP) return FB_OK;
  if (fb_node_is(keys[0], FB_MAP)) {
    loader->declares = true;
    for (uint32_t i = 0; i < keys[0]->count; i++) S_declare(loader, &keys[0]->as.pairs[i]);
  }
  if (keys[6]) fb_rule_load_expires(loader, keys[6]);
  fb_rule_load_strategy(loader, keys[4]);
  fb_rule_load_partition(loader, keys[5]);
  if (keys[1]) S_load_rules(loader, keys[1]);
  if (loader->nomem) return FB_E_NOMEM;
  if (!fb_errors_total(loader->errors)) S_warn_types(loader);
  return FB_OK;
}

static fb_status S_ruleset_new(const fb_allocator *allocator, fb_ruleset **ret) {
  if (!allocator) allocator = fb_allocator_system();
  fb_ruleset *set = fb_alloc_zero(allocator, sizeof *set);
  if (!set) return FB_E_NOMEM;
  set->allocator = allocator;
  fb_arena_init(&set->arena, allocator, 0);
  fb_status status = fb_symbols_new(allocator, 0, &set->symbols);
  if (status == FB_OK) status = fb_schema_new(allocator, set->symbols, &set->schema);
  if (status != FB_OK) {
    fb_ruleset_free(set);
    return status;
  }
  *ret = set;
  return FB_OK;
}

static fb_status S_load_into(fb_ruleset *set, const fb_node *node, fb_errors *errors,
                             fb_errors *warnings) {
  fb_errors found;
  fb_errors_init(&found, set->allocator, errors && errors->max ? errors->max : 0);
  set->root = node;
  fb_rule_loader loader = {.set = set, .doc = set->doc, .errors = &found, .warnings = warnings};
  fb_status status = fb_cel_env_new(set->allocator, &loader.env);
  if (status == FB_OK) status = S_load(&loader, node);
  if (status == FB_OK && fb_errors_total(&found) == 0 && !fb_doc_status(set->doc))
    status = fb_rule_plan(set);
  fb_cel_env_free(loader.env);
  if (status == FB_OK && fb_errors_total(&found))
    status = found.count ? found.items[0].code : FB_E_NOMEM;
  if (status == FB_OK) status = fb_doc_status(set->doc);
  for (size_t i = 0; i < found.count && errors; i++) fb_errors_add(errors, &found.items[i]);
  if (errors) errors->dropped += found.dropped;
  if (status == FB_E_NOMEM && !found.count) {
    fb_error err;
    fb_fail(&err, FB_E_NOMEM, "out of memory while the rulebook was loaded");
    fb_errors_add(errors, &err);
  }
  fb_errors_release(&found);
  return status;
}

fb_status fb_ruleset_load(const fb_doc *doc, const fb_node *node, const fb_allocator *allocator,
                          fb_ruleset **ret_ruleset, fb_errors *errors, fb_errors *warnings) {
  fb_ruleset *set;
  fb_status status = S_ruleset_new(allocator, &set);
  if (status != FB_OK) return status;
  set->doc = doc;
  status = S_load_into(set, node ? node : fb_doc_root(doc), errors, warnings);
  if (status != FB_OK) {
    fb_ruleset_free(set);
    return status;
  }
  *ret_ruleset = set;
  return FB_OK;
}

fb_status fb_ruleset_read(fb_slice text, const char *name, const fb_allocator *allocator,
                          fb_ruleset **ret_ruleset, fb_errors *errors, fb_errors *warnings) {
  fb_ruleset *set;
  fb_status status = S_ruleset_new(allocator, &set);
  if (status != FB_OK) return status;
  fb_doc_options options = {.keep_going = true, .allocator = set->allocator};
  status = fb_doc_read(text, name, &options, &set->owned, errors);
  set->doc = set->owned;
  if (status == FB_OK) status = S_load_into(set, fb_doc_root(set->doc), errors, warnings);
  if (status != FB_OK) {
    fb_ruleset_free(set);
    return status;
  }
  *ret_ruleset = set;
  return FB_OK;
}

void fb_ruleset_free(fb_ruleset *set) {
  if (!set) return;
  for (size_t i = 0; i < set->program_count; i++) fb_cel_program_free(set->programs[i]);
  for (size_t i = 0; i < set->template_count; i++) fb_template_free(set->templates[i]);
  fb_free(set->allocator, set->programs, set->program_cap * sizeof *set->programs);
  fb_free(set->allocator, set->templates, set->template_cap * sizeof *set->templates);
  fb_schema_free(set->schema);
  fb_symbols_free(set->symbols);
  fb_doc_free(set->owned);
  fb_arena_release(&set->arena);
  fb_free(set->allocator, set, sizeof *set);
}

const char *fb_ruleset_name(const fb_ruleset *set) {
  return fb_doc_name(set->doc);
}

size_t fb_ruleset_count(const fb_ruleset *set) {
  return set->book_count;
}

fb_rule_info fb_ruleset_rule(const fb_ruleset *set, size_t number) {
  return set->rules[set->books[number]].info;
}
