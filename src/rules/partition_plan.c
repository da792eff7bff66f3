/* SPDX-License-Identifier: Apache-2.0
 *
 * By which field each type's facts are shared out, so that facts which may meet in a rule are in one part. In each rule the
 * fields that joins hold equal make classes; all facts of the rule that are not copied must have their keys in one class, and
 * so must what the rule asserts. Results of an aggregate go where its facts go, if one of its keys is the field by which
 * these are shared out. Which field is the key of which type is found by trying, type by type, rules being checked
 * as soon as all their types have a role; `partition:` in the rulebook leaves less to try.
 */
#include "rules/aggregate.h"
#include "rules/partition.h"

enum { MAX_STEPS = 200000, MAX_CANDIDATES = 64 };

/* A field of a condition, or of what an action asserts. */
typedef struct S_node {
  uint32_t condition; /* NONE: of an action */
  uint32_t action, field;
  uint32_t class_;
} S_node;

typedef struct S_rule {
  const fb_rule *rule;
  S_node *nodes;
  uint32_t node_count, node_cap;
  uint32_t last_type; /* the highest of its types: then it can be checked */
  uint32_t next;      /* rule with the same last type; NONE: none */
} S_rule;

typedef struct S_type {
  bool changed; /* asserted, modified or retracted by rules */
  bool logical; /* asserted logically */
  bool joined;  /* stands in a rule with several conditions */
  uint32_t fields[MAX_CANDIDATES];
  uint32_t field_count;
  uint32_t rules; /* the first that is checked when this type has its role; NONE: none */
} S_type;

typedef struct S_search {
  const fb_ruleset *set;
  fb_arena *arena;
  S_rule *rules;
  uint32_t rule_count;
  S_type *types;
  uint32_t type_count;
  fb_part_type *roles;
  uint64_t steps;
  uint32_t deepest;     /* how far the search came */
  const fb_rule *fault; /* what stopped it there */
  const char *reason;
} S_search;

/* ── Classes of equal fields ── */

static S_node *S_node_of(S_search *search, S_rule *r, uint32_t condition, uint32_t action,
                         uint32_t field) {
  for (uint32_t i = 0; i < r->node_count; i++)
    if (r->nodes[i].condition == condition && r->nodes[i].action == action &&
        r->nodes[i].field == field)
      return &r->nodes[i];
  if (r->node_count == r->node_cap) {
    uint32_t cap = r->node_cap ? r->node_cap * 2 : 8;
    S_node *more = fb_arena_alloc(search->arena, cap * sizeof *more);
    if (!more) return NULL;
    if (r->node_count) memcpy(more, r->nodes, r->node_count * sizeof *more);
    r->nodes = more;
    r->node_cap = cap;
  }
  r->nodes[r->node_count] = (S_node){condition, action, field, r->node_count};
  return &r->nodes[r->node_count++];
}

static const S_node *S_find(const S_rule *r, uint32_t condition, uint32_t action, uint32_t field) {
  for (uint32_t i = 0; i < r->node_count; i++)
    if (r->nodes[i].condition == condition && r->nodes[i].action == action &&
        r->nodes[i].field == field)
      return &r->nodes[i];
  return NULL;
}

static void S_unite(S_rule *r, uint32_t a, uint32_t b) {
  for (uint32_t i = 0; i < r->node_count; i++)
    if (r->nodes[i].class_ == a) r->nodes[i].class_ = b;
}

/* The condition that a join of the guard or group (NULL: of the positives) finds in the slot. */
static uint32_t S_condition_in(const fb_rule *rule, const fb_rule_condition *guard,
                               const fb_rule_group *group, uint32_t slot) {
  if (slot < rule->positive_count) return rule->positives[slot];
  if (guard && guard->slot == slot) return (uint32_t)(guard - rule->conditions);
  for (; group; group = group->parent)
    for (uint32_t i = 0; i < group->member_count; i++)
      if (rule->conditions[group->members[i]].slot == slot) return group->members[i];
  return FB_RULE_NONE;
}

static bool S_take_joins(S_search *search, S_rule *r, fb_rule_join *const *joins, uint32_t count,
                         const fb_rule_condition *guard, const fb_rule_group *group) {
  for (uint32_t i = 0; i < count; i++) {
    const fb_rule_join *join = joins[i];
    if (join->op != FB_RULE_EQ || join->key_only) continue;
    uint32_t a = S_condition_in(r->rule, guard, group, join->slot_a),
             b = S_condition_in(r->rule, guard, group, join->slot_b);
    if (a == FB_RULE_NONE || b == FB_RULE_NONE) continue;
    if (r->rule->conditions[a].kind == FB_WHEN_ELEMENT ||
        r->rule->conditions[b].kind == FB_WHEN_ELEMENT)
      continue;
    const S_node *node = S_node_of(search, r, a, FB_RULE_NONE, join->field_a);
    uint32_t first = node ? node->class_ : 0;
    const S_node *other = S_node_of(search, r, b, FB_RULE_NONE, join->field_b);
    if (!node || !other) return false;
    S_unite(r, first, other->class_);
  }
  return true;
}

/* Recursion is bounded by the depth that groups may have. */
static bool S_take_groups(S_search *search, S_rule *r, const fb_rule_group *group) {
  for (; group; group = group->next)
    if (!S_take_joins(search, r, group->joins, group->join_count, NULL, group) ||
        !S_take_groups(search, r, group->groups))
      return false;
  return true;
}

/* ── What rules assert ── */

static fb_slice S_trim(fb_slice text) {
  while (text.len && text.ptr[0] == ' ') text = (fb_slice){text.ptr + 1, text.len - 1};
  while (text.len && text.ptr[text.len - 1] == ' ') text.len--;
  return text;
}

/* The name of an aggregate's key: its condition, and the number of the key. */
static bool S_is_group_key(const fb_rule *rule, fb_slice name, uint32_t *ret_condition,
                           uint32_t *ret_field) {
  for (uint32_t i = 0; i < rule->condition_count; i++) {
    const fb_rule_aggregate *aggregate = rule->conditions[i].aggregate;
    if (!aggregate || rule->conditions[i].kind != FB_WHEN_FACT) continue;
    for (uint32_t k = 0; k < aggregate->key_count; k++) {
      if (!name.len || !fb_slice_equal(aggregate->key_names[k], name)) continue;
      *ret_condition = i;
      *ret_field = k;
      return true;
    }
  }
  return false;
}

/* `${{ x.f }}` and nothing more: the condition of x and the number of f; or `${{ k }}`. */
static bool S_is_copy(const fb_ruleset *set, const fb_rule *rule, const fb_node *node,
                      uint32_t *ret_condition, uint32_t *ret_field) {
  if (node->kind != FB_STRING) return false;
  fb_slice text = S_trim(fb_node_text(node));
  if (text.len < 8 || memcmp(text.ptr, "${{", 3) != 0 ||
      memcmp(text.ptr + text.len - 2, "}}", 2) != 0)
    return false;
  text = S_trim((fb_slice){text.ptr + 3, text.len - 5});
  const char *dot = memchr(text.ptr, '.', text.len);
  if (!dot) return S_is_group_key(rule, text, ret_condition, ret_field);
  fb_slice name = {text.ptr, (size_t)(dot - text.ptr)}, field = {dot + 1, text.len - name.len - 1};
  for (uint32_t slot = 0; slot < rule->positive_count; slot++) {
    uint32_t number = rule->positives[slot];
    const fb_rule_condition *c = &rule->conditions[number];
    if (c->kind != FB_WHEN_FACT || !fb_slice_equal(c->variable, name)) continue;
    int32_t found = fb_fact_type_field(fb_schema_type(set->schema, c->type), field);
    if (found < 0) return false;
    *ret_condition = number;
    *ret_field = (uint32_t)found;
    return true;
  }
  return false;
}

static bool S_take_actions(S_search *search, S_rule *r) {
  const fb_rule *rule = r->rule;
  for (uint32_t a = 0; a < rule->action_count; a++) {
    const fb_rule_action *action = &rule->actions[a];
    if (action->kind != FB_THEN_ASSERT) continue;
    for (uint32_t f = 0; f < action->field_count; f++) {
      uint32_t condition, field;
      if (!S_is_copy(search->set, rule, action->fields[f].node, &condition, &field)) continue;
      const S_node *from = S_node_of(search, r, condition, FB_RULE_NONE, field);
      uint32_t class_ = from ? from->class_ : 0;
      const S_node *to = S_node_of(search, r, FB_RULE_NONE, a, action->fields[f].field);
      if (!from || !to) return false;
      S_unite(r, to->class_, class_);
    }
  }
  return true;
}

/* ── Which roles a type may have ── */

static void S_add_candidate(S_type *type, uint32_t field) {
  for (uint32_t i = 0; i < type->field_count; i++)
    if (type->fields[i] == field) return;
  if (type->field_count < MAX_CANDIDATES) type->fields[type->field_count++] = field;
}

static void S_note_types(S_search *search, S_rule *r) {
  const fb_rule *rule = r->rule;
  uint32_t last = 0;
  for (uint32_t i = 0; i < rule->condition_count; i++) {
    const fb_rule_condition *c = &rule->conditions[i];
    if (c->kind == FB_WHEN_ELEMENT) continue;
    if (c->type > last) last = c->type;
    search->types[c->type].joined |= rule->condition_count > 1;
    if (c->aggregate) search->types[c->aggregate->source.type].joined = true;
  }
  for (uint32_t a = 0; a < rule->action_count; a++) {
    const fb_rule_action *action = &rule->actions[a];
    if (action->kind != FB_THEN_ASSERT && action->kind != FB_THEN_MODIFY &&
        action->kind != FB_THEN_RETRACT)
      continue;
    S_type *type = &search->types[action->type];
    type->changed = true;
    type->logical |= action->kind == FB_THEN_ASSERT && action->logical;
    if (action->type > last) last = action->type;
  }
  for (uint32_t i = 0; i < r->node_count; i++) {
    const S_node *node = &r->nodes[i];
    uint32_t type = node->condition != FB_RULE_NONE ? rule->conditions[node->condition].type
                                                    : rule->actions[node->action].type;
    S_add_candidate(&search->types[type], node->field);
  }
  r->last_type = last;
  r->next = search->types[last].rules;
  search->types[last].rules = (uint32_t)(r - search->rules);
}

/* ── Does a rule go along the roles? ── */

typedef struct S_check {
  const S_search *search;
  const S_rule *rule;
  uint32_t keyed, free; /* conditions */
  bool bound;           /* one of them is positive */
  uint32_t class_;      /* of the keys; NONE: not known */
  const char *reason;   /* NULL: it does */
} S_check;

static void S_check_key(S_check *check, const S_node *key) {
  if (!key || (check->class_ != FB_RULE_NONE && key->class_ != check->class_))
    check->reason = "compares facts that may be in different parts";
  else
    check->class_ = key->class_;
}

static void S_check_conditions(S_check *check) {
  const fb_rule *rule = check->rule->rule;
  for (uint32_t i = 0; i < rule->condition_count; i++) {
    const fb_rule_condition *c = &rule->conditions[i];
    if (c->kind == FB_WHEN_ELEMENT) continue; /* is where its list is */
    fb_part_type role = check->search->roles[c->type];
    if (role.role == FB_PART_COPIED) continue;
    check->bound |= c->kind == FB_WHEN_FACT;
    if (role.role == FB_PART_FREE)
      check->free++;
    else
      check->keyed++;
  }
  if (check->keyed + check->free == 0) return;
  if (!check->bound) check->reason = "asks about facts of all parts";
  if (check->free && check->keyed + check->free > 1)
    check->reason = "compares facts that may be in different parts";
  /* One alone needs no key; its class is that of what it asserts. */
  for (uint32_t i = 0; i < rule->condition_count && !check->reason; i++) {
    const fb_rule_condition *c = &rule->conditions[i];
    if (c->kind == FB_WHEN_ELEMENT) continue;
    fb_part_type role = check->search->roles[c->type];
    if (role.role != FB_PART_KEYED) continue;
    const S_node *key = S_find(check->rule, i, FB_RULE_NONE, role.field);
    if (key || check->keyed > 1) S_check_key(check, key);
  }
}

static void S_check_action(S_check *check, uint32_t number) {
  const fb_rule_action *action = &check->rule->rule->actions[number];
  bool changes = action->kind == FB_THEN_ASSERT || action->kind == FB_THEN_MODIFY ||
                 action->kind == FB_THEN_RETRACT;
  if (action->kind == FB_THEN_EMIT || action->kind == FB_THEN_LOG) return;
  if (!changes) {
    check->reason = "does what concerns all parts";
    return;
  }
  fb_part_type role = check->search->roles[action->type];
  if (check->keyed + check->free == 0 || role.role == FB_PART_COPIED)
    check->reason = "changes facts that every part has";
  else if (role.role == FB_PART_FREE && action->kind == FB_THEN_ASSERT && action->logical)
    check->reason = "asserts logically facts that may be in different parts";
  if (check->reason || role.role != FB_PART_KEYED) return;
  if (action->kind == FB_THEN_ASSERT) {
    const S_node *key = S_find(check->rule, FB_RULE_NONE, number, role.field);
    if (!key || key->class_ != check->class_)
      check->reason = "asserts facts that may belong to other parts";
    return;
  }
  for (uint32_t f = 0; action->kind == FB_THEN_MODIFY && f < action->field_count; f++)
    if (action->fields[f].field == role.field)
      check->reason = "modifies the field by which facts are shared out";
}

static bool S_goes_along(S_search *search, const S_rule *r, uint32_t depth) {
  S_check check = {.search = search, .rule = r, .class_ = FB_RULE_NONE};
  S_check_conditions(&check);
  for (uint32_t a = 0; a < r->rule->action_count && !check.reason; a++) S_check_action(&check, a);
  if (!check.reason) return true;
  if (depth >= search->deepest) {
    search->deepest = depth;
    search->fault = r->rule;
    search->reason = check.reason;
  }
  return false;
}

/* ── Trying ── */

static bool S_fits(S_search *search, uint32_t type) {
  for (uint32_t r = search->types[type].rules; r != FB_RULE_NONE; r = search->rules[r].next)
    if (++search->steps > MAX_STEPS || !S_goes_along(search, &search->rules[r], type)) return false;
  return true;
}

/* The key that the rulebook names; NONE: it names none. */
static uint32_t S_declared(const fb_ruleset *set, uint32_t type) {
  for (uint32_t i = 0; i < set->part_key_count; i++)
    if (set->part_keys[i].type == type) return set->part_keys[i].field;
  return FB_RULE_NONE;
}

static uint32_t S_role_count(const S_type *type) {
  return type->field_count + 2;
}

/* Is the key number `field` of the aggregate the field of its facts? */
static bool S_is_key(const fb_rule_aggregate *aggregate, uint32_t key, uint32_t field) {
  return key < aggregate->key_count && !aggregate->keys[key].program &&
         aggregate->keys[key].field == field;
}

/* Results are where their facts are, whose type has its role already: it is an older one. */
static bool S_give_result_role(S_search *search, uint32_t type, uint32_t number) {
  const fb_rule_aggregate *aggregate = search->set->types[type].result_of;
  const S_type *t = &search->types[type];
  fb_part_type *role = &search->roles[type], source = search->roles[aggregate->source.type];
  bool copied = number == S_role_count(t) - 1;
  bool idle = !search->set->rules[aggregate->rule].info.enabled;
  *role = (fb_part_type){FB_PART_FREE, 0};
  if (number == t->field_count) return idle;
  *role =
      copied ? (fb_part_type){FB_PART_COPIED, 0} : (fb_part_type){FB_PART_KEYED, t->fields[number]};
  bool good =
      copied ? source.role == FB_PART_COPIED
             : source.role == FB_PART_KEYED && S_is_key(aggregate, t->fields[number], source.field);
  if (!good && copied && source.role != FB_PART_COPIED && type >= search->deepest) {
    search->deepest = type;
    search->fault = &search->set->rules[aggregate->rule];
    search->reason =
        "aggregates facts that are in different parts: none of its keys (`by`, or an "
        "equality) is the field by which they are shared out";
  }
  return good;
}

/* Role number `number` of the type, keys first; false: it may not have it. */
static bool S_give_role(S_search *search, uint32_t type, uint32_t number, uint32_t *copies) {
  const S_type *t = &search->types[type];
  if (fb_type_is_hidden(search->set, type)) return S_give_result_role(search, type, number);
  uint32_t declared = S_declared(search->set, type);
  fb_part_type *role = &search->roles[type];
  if (number < t->field_count) {
    *role = (fb_part_type){FB_PART_KEYED, t->fields[number]};
    return declared == FB_RULE_NONE || declared == t->fields[number];
  }
  if (declared != FB_RULE_NONE) return false;
  bool free = number == t->field_count;
  *role = (fb_part_type){free ? FB_PART_FREE : FB_PART_COPIED, 0};
  if (free) return !t->logical;
  if (t->changed || !t->joined || !*copies) return false;
  --*copies;
  return true;
}

/* Not recursive: there may be as many types as there are facts' names. `tries` is by type. */
static bool S_try(S_search *search, uint32_t *tries, uint32_t copies) {
  uint32_t type = 0;
  if (!search->type_count) return true;
  tries[0] = 0;
  for (;;) {
    if (++search->steps > MAX_STEPS) return false;
    if (tries[type] == S_role_count(&search->types[type])) {
      if (!type--) return false;
    } else {
      uint32_t before = copies;
      bool good = S_give_role(search, type, tries[type]++, &copies);
      if (good && S_fits(search, type)) {
        if (++type == search->type_count) return true;
        tries[type] = 0;
        continue;
      }
      copies = before;
      continue;
    }
    copies += search->roles[type].role == FB_PART_COPIED && !fb_type_is_hidden(search->set, type);
  }
}

/* What facts are grouped by may be what they are shared out by. */
static void S_add_keys(S_search *search, const fb_rule_aggregate *aggregate) {
  for (uint32_t k = 0; k < aggregate->key_count; k++) {
    if (aggregate->keys[k].program) continue;
    S_add_candidate(&search->types[aggregate->type], k);
    S_add_candidate(&search->types[aggregate->source.type], aggregate->keys[k].field);
  }
}

static bool S_begin(S_search *search) {
  const fb_ruleset *set = search->set;
  search->rules = fb_arena_zero(search->arena, (set->rule_count + 1) * sizeof *search->rules);
  search->types = fb_arena_zero(search->arena, (set->type_count + 1) * sizeof *search->types);
  search->roles = fb_arena_zero(search->arena, (set->type_count + 1) * sizeof *search->roles);
  if (!search->rules || !search->types || !search->roles) return false;
  search->type_count = set->type_count;
  for (uint32_t t = 0; t < set->type_count; t++) search->types[t].rules = FB_RULE_NONE;
  for (uint32_t i = 0; i < set->part_key_count; i++)
    S_add_candidate(&search->types[set->part_keys[i].type], set->part_keys[i].field);
  for (uint32_t i = 0; i < set->aggregate_count; i++)
    if (set->rules[set->aggregates[i]->rule].info.enabled) S_add_keys(search, set->aggregates[i]);
  for (uint32_t i = 0; i < set->rule_count; i++) {
    const fb_rule *rule = &set->rules[i];
    S_rule *r = &search->rules[search->rule_count];
    if (!rule->info.enabled) continue;
    search->rule_count++;
    r->rule = rule;
    for (uint32_t c = 0; c < rule->condition_count; c++) {
      const fb_rule_condition *condition = &rule->conditions[c];
      const fb_rule_condition *guard = fb_when_guards(condition->kind) ? condition : NULL;
      if (!S_take_joins(search, r, condition->joins, condition->join_count, guard, NULL))
        return false;
    }
    if (!S_take_groups(search, r, rule->groups) || !S_take_actions(search, r)) return false;
    S_note_types(search, r);
  }
  return true;
}

static void S_refuse(const S_search *search, fb_error *err) {
  const fb_rule *rule = search->fault;
  if (!rule || search->steps > MAX_STEPS) {
    fb_fail(err, FB_E_RULE_PARTITION, "no fields were found by which facts could be shared out");
    fb_error_hint(err, "name them under `partition:`, as in `partition: {order: customer}`");
    return;
  }
  size_t len = rule->info.name.len;
  fb_fail(err, FB_E_RULE_PARTITION, "rule `%.*s` %s", (int)(len > 120 ? 120 : len),
          rule->info.name.ptr, search->reason);
  fb_error_hint(err,
                "each rule must join its facts by equal fields, the same ones of a type in all "
                "rules; or use one thread");
  if (err) fb_doc_relocate(search->set->doc, rule->node, 0, len, err);
}

/* As few copied types as possible. */
static bool S_search_all(S_search *search, uint32_t *tries) {
  for (uint32_t copies = 0; copies <= search->type_count; copies++) {
    if (S_try(search, tries, copies)) return true;
    if (search->steps > MAX_STEPS) return false;
  }
  return false;
}

fb_status fb_part_plan_find(const fb_ruleset *set, fb_arena *arena, fb_part_plan *ret_plan,
                            fb_error *err) {
  S_search search = {.set = set, .arena = arena};
  if (set->windowed) {
    fb_fail(err, FB_E_RULE_PARTITION,
            "windows of time and `expires` go by one clock for all facts");
    fb_error_hint(err, "use one thread");
    return FB_E_RULE_PARTITION;
  }
  uint32_t *tries = fb_arena_zero(arena, (set->type_count + 1) * sizeof *tries);
  bool *common = fb_arena_zero(arena, set->rule_count + 1);
  if (!tries || !common || !S_begin(&search)) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (!S_search_all(&search, tries)) {
    S_refuse(&search, err);
    return FB_E_RULE_PARTITION;
  }
  *ret_plan =
      (fb_part_plan){.types = search.roles, .type_count = set->type_count, .common = common};
  for (uint32_t t = 0; t < set->type_count; t++)
    ret_plan->copies |= search.roles[t].role == FB_PART_COPIED;
  for (uint32_t i = 0; i < search.rule_count; i++) {
    const fb_rule *rule = search.rules[i].rule;
    bool all = true;
    for (uint32_t c = 0; c < rule->condition_count && all; c++)
      all = rule->conditions[c].kind == FB_WHEN_ELEMENT ||
            search.roles[rule->conditions[c].type].role == FB_PART_COPIED;
    common[rule->number] = all;
  }
  return FB_OK;
}

/* ── partition: ── */

static bool S_load_key(fb_rule_loader *loader, const fb_pair *pair) {
  fb_ruleset *set = loader->set;
  if (!fb_node_is(&pair->value, FB_STRING)) {
    fb_doc_fail(loader->doc, &pair->value, loader->errors, FB_E_RULE_PARTITION,
                "as in `partition: {order: customer, customer: id}`",
                "a type is shared out by one of its fields, not by %s",
                fb_node_describe(&pair->value));
    return true;
  }
  fb_fact_type *type = fb_rule_type_named(loader, &pair->key, fb_node_text(&pair->key), false);
  if (!type) return true;
  uint32_t field;
  fb_slice name = fb_node_text(&pair->value);
  fb_status status = fb_fact_type_learn(set->schema, type, name, &field);
  if (status == FB_E_NOMEM) return false;
  if (status != FB_OK) {
    fb_doc_fail(loader->doc, &pair->value, loader->errors, FB_E_RULE_FIELD, "",
                "fact type `%.*s` has no field `%.*s`", (int)type->name.len, type->name.ptr,
                (int)(name.len > 60 ? 60 : name.len), name.ptr);
    return true;
  }
  if (!fb_rule_push(set, (void **)&set->part_keys, &set->part_key_cap, set->part_key_count,
                    sizeof *set->part_keys))
    return false;
  set->part_keys[set->part_key_count++] = (fb_rule_part_key){type->id, field};
  return true;
}

void fb_rule_load_partition(fb_rule_loader *loader, const fb_node *node) {
  for (uint32_t i = 0; node && i < node->count && !loader->nomem; i++)
    loader->nomem = !S_load_key(loader, &node->as.pairs[i]);
}
