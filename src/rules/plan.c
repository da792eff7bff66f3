/* SPDX-License-Identifier: Apache-2.0
 * From rules to alphas, indexes, walks. */
#include "rules/aggregate.h"

/* ── Alphas ── */

static void S_sign_number(fb_buf *out, uint64_t number) {
  char bytes[sizeof number];
  memcpy(bytes, &number, sizeof number);
  fb_buf_add(out, bytes, sizeof bytes);
}

static void S_sign_constant(fb_buf *out, fb_value constant) {
  switch (constant.kind) {
    case FB_BOOL: S_sign_number(out, constant.as.b); return;
    case FB_INT:
    case FB_UINT:
    case FB_DOUBLE: S_sign_number(out, constant.as.u); return;
    default: break;
  }
  if (constant.kind == FB_STRING && constant.symbol)
    S_sign_number(out, fb_symbol_of(constant));
  else
    fb_json_write(out, constant, FB_JSON_CANONICAL);
}

/* Same bytes, same alpha. Empty for tests that cannot be shared: a program reads the fact in its own slot. */
static void S_signature(const fb_rule_condition *condition, fb_buf *out) {
  fb_buf_clear(out);
  S_sign_number(out, condition->type);
  for (uint32_t i = 0; i < condition->test_count; i++) {
    const fb_rule_test *test = &condition->tests[i];
    if (test->op == FB_RULE_PROGRAM) {
      fb_buf_clear(out);
      return;
    }
    S_sign_number(out,
                  (uint64_t)test->field << 32 | (uint32_t)test->constant.kind << 16 | test->op);
    if (test->op <= FB_RULE_GE) S_sign_constant(out, test->constant);
  }
}

static bool S_new_alpha(fb_ruleset *set, const fb_rule_condition *condition, uint32_t *ret) {
  if (!fb_rule_push(set, (void **)&set->alphas, &set->alpha_cap, set->alpha_count,
                    sizeof *set->alphas))
    return false;
  set->alphas[set->alpha_count] = (fb_rule_alpha){
      .type = condition->type, .tests = condition->tests, .test_count = condition->test_count};
  *ret = set->alpha_count++;
  return true;
}

static bool S_alpha_of(fb_ruleset *set, fb_table *known, fb_buf *signature,
                       fb_rule_condition *condition) {
  S_signature(condition, signature);
  if (signature->failed) return false;
  if (!signature->len) return S_new_alpha(set, condition, &condition->alpha);
  fb_table_slot *slot = fb_table_get(known, fb_buf_slice(signature));
  if (slot) {
    condition->alpha = (uint32_t)slot->value.number;
    return true;
  }
  char *key = fb_arena_text(&set->arena, fb_buf_slice(signature));
  if (!key || !(slot = fb_table_put(known, (fb_slice){key, signature->len}, NULL))) return false;
  if (!S_new_alpha(set, condition, &condition->alpha)) return false;
  slot->value.number = condition->alpha;
  return true;
}

static bool S_add_use(fb_ruleset *set, const fb_rule *rule, uint32_t number) {
  fb_rule_condition *condition = &rule->conditions[number];
  fb_rule_alpha *alpha = &set->alphas[condition->alpha];
  condition->use = set->use_count;
  set->uses[set->use_count] = (fb_rule_use){rule->number, number};
  if (!fb_rule_push(set, (void **)&alpha->uses, &alpha->use_cap, alpha->use_count,
                    sizeof *alpha->uses))
    return false;
  alpha->uses[alpha->use_count++] = set->use_count;
  set->use_count++;
  if (rule->positive_count > 1 || rule->guarded) alpha->stored = true;
  return true;
}

static void S_plan_time(fb_ruleset *set, uint32_t number, uint32_t field) {
  fb_rule_type *type = &set->types[number];
  set->windowed = true;
  if (!type->timed) type->time_field = field;
  type->timed = true;
}

/* Of rules that are switched off it has no alpha. */
static bool S_plan_source(fb_ruleset *set, fb_table *known, fb_buf *signature,
                          fb_rule_aggregate *aggregate) {
  set->types[aggregate->type].result_of = aggregate;
  if (!set->rules[aggregate->rule].info.enabled) return true;
  if (aggregate->window.kind != FB_WINDOW_NONE && aggregate->window.kind != FB_WINDOW_LAST)
    S_plan_time(set, aggregate->source.type, aggregate->window.field);
  if (!S_alpha_of(set, known, signature, &aggregate->source)) return false;
  fb_rule_alpha *alpha = &set->alphas[aggregate->source.alpha];
  if (!fb_rule_push(set, (void **)&alpha->aggregates, &alpha->aggregate_cap, alpha->aggregate_count,
                    sizeof *alpha->aggregates))
    return false;
  alpha->aggregates[alpha->aggregate_count++] = aggregate->number;
  return alpha->stored = true;
}

static bool S_plan_alphas(fb_ruleset *set) {
  size_t conditions = 0;
  for (uint32_t r = 0; r < set->rule_count; r++) conditions += set->rules[r].condition_count;
  set->alphas = fb_arena_alloc(&set->arena, (conditions + 1) * sizeof *set->alphas);
  if (!set->alphas) return false;
  set->alpha_cap = (uint32_t)conditions + 1;
  set->uses = fb_arena_zero(&set->arena, (conditions + 1) * sizeof *set->uses);
  if (!set->uses) return false;
  fb_table known;
  fb_buf signature;
  fb_table_init(&known, set->allocator, 0);
  fb_buf_init(&signature, set->allocator, 0);
  bool good = true;
  for (uint32_t r = 0; r < set->rule_count && good; r++) {
    fb_rule *rule = &set->rules[r];
    for (uint32_t i = 0; i < rule->condition_count; i++)
      rule->derived |= fb_when_derives(rule->conditions[i].kind);
    rule->hashed = rule->guarded || rule->derived;
    for (uint32_t i = 0; i < rule->condition_count; i++)
      rule->guard_count += fb_when_guards(rule->conditions[i].kind);
    for (const fb_rule_group *group = rule->groups; group; group = group->next) rule->guard_count++;
    set->timed |= rule->timed && rule->info.enabled;
    set->auto_focus |= rule->auto_focus;
    set->queued |= rule->salience || rule->group || rule->auto_focus || rule->timed;
    rule->lazy = rule->info.enabled && rule->positive_count && !rule->derived;
    rule->single = rule->lazy && rule->condition_count == 1 && !rule->logical;
    for (uint32_t i = 0; i < rule->condition_count && good && rule->info.enabled; i++)
      good = fb_when_derives(rule->conditions[i].kind) ||
             (S_alpha_of(set, &known, &signature, &rule->conditions[i]) && S_add_use(set, rule, i));
  }
  for (uint32_t i = 0; i < set->aggregate_count && good; i++)
    good = S_plan_source(set, &known, &signature, set->aggregates[i]);
  fb_buf_release(&signature);
  fb_table_release(&known);
  return good;
}

/* ── Walks ── */

static bool S_same_fields(const fb_rule_index *index, const uint32_t *fields, uint32_t count) {
  return index->field_count == count &&
         (!count || !memcmp(index->fields, fields, count * sizeof *fields));
}

/* The index of the fields that the level's probes read, in their order. */
static bool S_index_of(fb_ruleset *set, uint32_t alpha_number, fb_rule_level *level) {
  fb_rule_alpha *alpha = &set->alphas[alpha_number];
  uint32_t fields[FB_RULE_INDEX_FIELDS], count = level->probe_count;
  for (uint32_t i = 0; i < count; i++) {
    const fb_rule_probe *probe = &level->probes[i];
    fields[i] = probe->side_b ? probe->join->field_b : probe->join->field_a;
  }
  for (uint32_t i = 0; i < alpha->index_count; i++)
    if (S_same_fields(&set->indexes[alpha->indexes[i]], fields, count)) {
      level->index = alpha->indexes[i];
      return true;
    }
  uint32_t *kept = fb_arena_zero(&set->arena, (count + 1) * sizeof *fields);
  if (!kept ||
      !fb_rule_push(set, (void **)&set->indexes, &set->index_cap, set->index_count,
                    sizeof *set->indexes) ||
      !fb_rule_push(set, (void **)&alpha->indexes, &alpha->index_cap, alpha->index_count,
                    sizeof *alpha->indexes))
    return false;
  if (count) memcpy(kept, fields, count * sizeof *fields);
  set->indexes[set->index_count] =
      (fb_rule_index){.alpha = alpha_number, .fields = kept, .field_count = count};
  alpha->indexes[alpha->index_count++] = level->index = set->index_count++;
  return true;
}

/* Which joins a walk has to see to, and which it has. */
typedef struct S_open {
  const fb_rule_join **joins;
  uint32_t count;
} S_open;

static bool S_can_probe(const fb_rule_join *join, uint32_t slot, uint64_t bound, bool *ret_b) {
  if (join->op != FB_RULE_EQ) return false;
  if (join->slot_a == slot &&
      (join->key_only ? (join->key_slots & ~bound) == 0 : bound >> join->slot_b & 1)) {
    *ret_b = false;
    return true;
  }
  *ret_b = true;
  return !join->key_only && join->slot_b == slot && (bound >> join->slot_a & 1);
}

/* Takes the join as a probe of the level, in the order of fields; false: it is none, or the field has one. */
static bool S_take_probe(fb_rule_level *level, const fb_rule_condition *condition, uint64_t bound,
                         const fb_rule_join *join) {
  fb_rule_probe probe = {.join = join};
  uint32_t at = level->probe_count;
  if (fb_when_derives(condition->kind) || at == FB_RULE_INDEX_FIELDS ||
      !S_can_probe(join, condition->slot, bound, &probe.side_b))
    return false;
  uint32_t field = probe.side_b ? join->field_b : join->field_a;
  for (uint32_t i = 0; i < level->probe_count; i++) {
    const fb_rule_probe *other = &level->probes[i];
    uint32_t known = other->side_b ? other->join->field_b : other->join->field_a;
    if (known == field) return false;
    if (known > field && i < at) at = i;
  }
  memmove(&level->probes[at + 1], &level->probes[at],
          (level->probe_count - at) * sizeof *level->probes);
  level->probes[at] = probe;
  level->probe_count++;
  return true;
}

static uint8_t S_flipped(uint8_t op) {
  switch (op) {
    case FB_RULE_LT: return FB_RULE_GT;
    case FB_RULE_LE: return FB_RULE_GE;
    case FB_RULE_GT: return FB_RULE_LT;
    default: return FB_RULE_LE;
  }
}

/* Does the join bound a field of the slot by what is bound? */
static bool S_can_bound(const fb_rule_join *join, uint32_t slot, uint64_t bound,
                        fb_rule_bound *ret) {
  *ret = (fb_rule_bound){.join = join, .op = join->op};
  if (join->op == FB_RULE_PROGRAM) {
    ret->op = join->seek;
    return join->seek && join->slot_a == slot && !(join->key_slots & ~bound);
  }
  if (join->op < FB_RULE_LT || join->op > FB_RULE_GE) return false;
  if (join->slot_a == slot) return bound >> join->slot_b & 1;
  ret->op = S_flipped(join->op);
  ret->side_b = true;
  return join->slot_b == slot && (bound >> join->slot_a & 1);
}

static uint32_t S_bound_field(const fb_rule_bound *bound) {
  return bound->side_b ? bound->join->field_b : bound->join->field_a;
}

static bool S_is_upper(const fb_rule_bound *bound) {
  return bound->op == FB_RULE_LT || bound->op == FB_RULE_LE;
}

/* How well two bounds go together: as those of one field from both sides, or of two fields from above and from below. */
static int S_pair(const fb_rule_bound *first, const fb_rule_bound *second) {
  if (first->op == FB_RULE_IN || second->op == FB_RULE_IN || !S_is_upper(first) ||
      S_is_upper(second))
    return 0;
  return S_bound_field(first) == S_bound_field(second) ? 2 : 1;
}

/* The bounds that a sorted index goes by: an `in`, else the best pair, else the first. */
static void S_take_bounds(fb_rule_level *level, uint32_t slot, uint64_t bound) {
  int best = 0;
  fb_rule_bound first, second;
  for (uint32_t i = 0; i < level->join_count; i++) {
    if (!S_can_bound(level->joins[i], slot, bound, &first)) continue;
    if (first.op == FB_RULE_IN) best = 3;
    if (first.op == FB_RULE_IN || !level->bound_count) {
      level->bounds[0] = first;
      level->bound_count = 1;
    }
    for (uint32_t k = 0; k < level->join_count && best < 2; k++) {
      if (!S_can_bound(level->joins[k], slot, bound, &second) || S_pair(&first, &second) <= best)
        continue;
      best = S_pair(&first, &second);
      level->bounds[0] = first;
      level->bounds[1] = second;
      level->bound_count = 2;
    }
  }
}

static bool S_same_sorted(const fb_rule_sorted *a, const fb_rule_sorted *b) {
  return a->field == b->field && a->other == b->other && a->elements == b->elements &&
         a->equal_count == b->equal_count &&
         (!a->equal_count || !memcmp(a->equals, b->equals, a->equal_count * sizeof *a->equals));
}

static bool S_sorted_of(fb_ruleset *set, uint32_t alpha_number, fb_rule_level *level) {
  fb_rule_alpha *alpha = &set->alphas[alpha_number];
  uint32_t *equals = fb_arena_zero(&set->arena, (level->probe_count + 1) * sizeof *equals);
  if (!equals) return false;
  for (uint32_t i = 0; i < level->probe_count; i++) {
    const fb_rule_probe *probe = &level->probes[i];
    equals[i] = probe->side_b ? probe->join->field_b : probe->join->field_a;
  }
  fb_rule_sorted sorted = {.alpha = alpha_number,
                           .equals = equals,
                           .equal_count = level->probe_count,
                           .field = S_bound_field(&level->bounds[0]),
                           .other = FB_RULE_NONE,
                           .elements = level->bounds[0].op == FB_RULE_IN};
  if (level->bound_count == 2 && S_bound_field(&level->bounds[1]) != sorted.field)
    sorted.other = S_bound_field(&level->bounds[1]);
  for (uint32_t i = 0; i < alpha->sorted_count; i++)
    if (S_same_sorted(&set->sorteds[alpha->sorteds[i]], &sorted)) {
      level->sorted = alpha->sorteds[i];
      return true;
    }
  if (!fb_rule_push(set, (void **)&set->sorteds, &set->sorted_cap, set->sorted_count,
                    sizeof sorted) ||
      !fb_rule_push(set, (void **)&alpha->sorteds, &alpha->sorted_cap, alpha->sorted_count,
                    sizeof *alpha->sorteds))
    return false;
  set->sorteds[set->sorted_count] = sorted;
  alpha->sorteds[alpha->sorted_count++] = level->sorted = set->sorted_count++;
  return true;
}

/* Fills a level that binds `condition` when `bound` are; takes the joins that it settles out of `open`. Only with
 * probes it has an index. */
static bool S_fill_level(fb_ruleset *set, const fb_rule *rule, uint32_t number, uint64_t bound,
                         S_open *open, fb_rule_level *level) {
  const fb_rule_condition *condition = &rule->conditions[number];
  *level = (fb_rule_level){
      .condition = number, .use = condition->use, .index = FB_RULE_NONE, .sorted = FB_RULE_NONE};
  level->joins = fb_arena_alloc(&set->arena, (open->count + 1) * sizeof *level->joins);
  level->probes = fb_arena_alloc(&set->arena, (open->count + 1) * sizeof *level->probes);
  if (!level->joins || !level->probes) return false;
  uint64_t after = bound | fb_when_slots(condition);
  uint32_t left = 0;
  for (uint32_t i = 0; i < open->count; i++) {
    const fb_rule_join *join = open->joins[i];
    bool probes = S_take_probe(level, condition, bound, join);
    if (!probes && (join->slots & ~after)) {
      open->joins[left++] = join;
      continue;
    }
    level->reads |= join->slots & bound;
    if (!probes) level->joins[level->join_count++] = join;
  }
  open->count = left;
  if (!fb_when_derives(condition->kind)) S_take_bounds(level, condition->slot, bound);
  if (level->bound_count && !S_sorted_of(set, condition->alpha, level)) return false;
  return !level->probe_count || S_index_of(set, condition->alpha, level);
}

/* The condition to join next: one that an index finds or that follows from what is bound, else one that a sorted index
 * finds, else the first in the book that can be bound. */
static uint32_t S_choose(const fb_rule *rule, const uint32_t *conditions, uint32_t count,
                         uint64_t bound, const S_open *open) {
  uint32_t first = FB_RULE_NONE, sorted = FB_RULE_NONE;
  fb_rule_bound by;
  for (uint32_t at = 0; at < count; at++) {
    const fb_rule_condition *c = &rule->conditions[conditions[at]];
    uint32_t slot = c->slot;
    if (bound >> slot & 1) continue;
    if (fb_when_derives(c->kind)) {
      if (!(c->needs & ~bound)) return conditions[at];
      continue;
    }
    bool side_b;
    for (uint32_t i = 0; i < open->count; i++)
      if (S_can_probe(open->joins[i], slot, bound, &side_b)) return conditions[at];
    for (uint32_t i = 0; sorted == FB_RULE_NONE && i < open->count; i++)
      if (S_can_bound(open->joins[i], slot, bound, &by)) sorted = conditions[at];
    if (first == FB_RULE_NONE) first = conditions[at];
  }
  return sorted == FB_RULE_NONE ? first : sorted;
}

/* Those of the positives, and those that a guard, or its group, has. */
static uint32_t S_all_joins(const fb_rule *rule, const fb_rule_condition *guard,
                            const fb_rule_join **out) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < rule->condition_count; i++) {
    const fb_rule_condition *c = &rule->conditions[i];
    if (!fb_when_binds(c->kind) && c != guard) continue;
    for (uint32_t j = 0; j < c->join_count; j++, count++)
      if (out) out[count] = c->joins[j];
  }
  const fb_rule_group *group = guard ? guard->group : NULL;
  for (uint32_t j = 0; group && j < group->join_count; j++, count++)
    if (out) out[count] = group->joins[j];
  return count;
}

static bool S_fill_start(fb_ruleset *set, fb_rule_condition *start, uint64_t bound, S_open *open) {
  start->start_joins = fb_arena_alloc(&set->arena, (open->count + 1) * sizeof *start->start_joins);
  if (!start->start_joins) return false;
  uint32_t left = 0;
  for (uint32_t i = 0; i < open->count; i++) {
    if (open->joins[i]->slots & ~bound)
      open->joins[left++] = open->joins[i];
    else
      start->start_joins[start->start_join_count++] = open->joins[i];
  }
  open->count = left;
  return true;
}

static bool S_plan_walk(fb_ruleset *set, const fb_rule *rule, fb_rule_condition *start) {
  bool guard = !fb_when_binds(start->kind);
  S_open open = {.count = S_all_joins(rule, guard ? start : NULL, NULL)};
  open.joins = fb_arena_alloc(&set->arena, (open.count + 1) * sizeof *open.joins);
  start->walk = fb_arena_zero(&set->arena, (rule->positive_count + 1) * sizeof *start->walk);
  if (!open.joins || !start->walk) return false;
  S_all_joins(rule, guard ? start : NULL, open.joins);
  uint64_t bound = fb_when_slots(start), all = (UINT64_C(1) << rule->positive_count) - 1;
  if (!S_fill_start(set, start, bound, &open)) return false;
  while (all & ~bound) {
    uint32_t next = S_choose(rule, rule->positives, rule->positive_count, bound, &open);
    const fb_rule_condition *c = &rule->conditions[next];
    fb_rule_level *level = &start->walk[start->walk_count++];
    if (!S_fill_level(set, rule, next, bound, &open, level)) return false;
    level->other = start->kind == FB_WHEN_FACT && c->kind == FB_WHEN_FACT &&
                   c->type == start->type && c->slot < start->slot;
    bound |= fb_when_slots(c);
  }
  return true;
}

/* The walk of a lazy rule that binds the conditions as they are written, each from the latest fact to the earliest: then
 * matches come in the order in which they fire. */
static bool S_plan_written(fb_ruleset *set, const fb_rule *rule, fb_rule_condition *start) {
  S_open open = {.count = S_all_joins(rule, NULL, NULL)};
  open.joins = fb_arena_alloc(&set->arena, (open.count + 1) * sizeof *open.joins);
  start->written = fb_arena_zero(&set->arena, (rule->positive_count + 1) * sizeof *start->written);
  if (!open.joins || !start->written) return false;
  S_all_joins(rule, NULL, open.joins);
  uint64_t bound = fb_when_slots(start);
  fb_rule_condition again = {0};
  if (!S_fill_start(set, &again, bound, &open)) return false;
  start->in_order = true;
  for (uint32_t slot = 0, k = 0; slot < rule->positive_count; slot++) {
    uint32_t next = rule->positives[slot];
    fb_rule_level *level = &start->written[k];
    if (slot == start->slot) continue;
    if (!S_fill_level(set, rule, next, bound, &open, level) ||
        (level->index == FB_RULE_NONE && !S_index_of(set, rule->conditions[next].alpha, level)))
      return false;
    set->indexes[level->index].ordered = true;
    level->other = rule->conditions[next].type == start->type && slot < start->slot;
    start->in_order &= start->walk[k].condition == next;
    bound |= UINT64_C(1) << slot;
    k++;
  }
  return true;
}

static bool S_plan_check(fb_ruleset *set, const fb_rule *rule, fb_rule_condition *guard) {
  S_open open = {.count = guard->join_count};
  open.joins = fb_arena_alloc(&set->arena, (open.count + 1) * sizeof *open.joins);
  if (!open.joins) return false;
  if (open.count) memcpy(open.joins, guard->joins, open.count * sizeof *open.joins);
  uint64_t bound = (UINT64_C(1) << rule->positive_count) - 1;
  return S_fill_level(set, rule, (uint32_t)(guard - rule->conditions), bound, &open, &guard->check);
}

/* Recursion is bounded by the depth that groups may have. */
static bool S_plan_group(fb_ruleset *set, const fb_rule *rule, fb_rule_group *group,
                         uint64_t bound) {
  S_open open = {0};
  uint64_t within = bound;
  open.joins = fb_arena_alloc(&set->arena, (group->join_count + 1) * sizeof *open.joins);
  group->before = fb_arena_alloc(&set->arena, (group->join_count + 1) * sizeof *group->before);
  group->levels = fb_arena_zero(&set->arena, (group->member_count + 1) * sizeof *group->levels);
  if (!open.joins || !group->before || !group->levels) return false;
  for (uint32_t i = 0; i < group->join_count; i++)
    if (group->joins[i]->slots & ~bound)
      open.joins[open.count++] = group->joins[i];
    else
      group->before[group->before_count++] = group->joins[i];
  for (uint32_t i = 0; i < group->join_count; i++) group->reads |= group->joins[i]->slots;
  for (uint32_t i = 0; i < group->member_count; i++) {
    uint32_t next = S_choose(rule, group->members, group->member_count, within, &open);
    if (!S_fill_level(set, rule, next, within, &open, &group->levels[i])) return false;
    within |= UINT64_C(1) << rule->conditions[next].slot;
  }
  for (fb_rule_group *inner = group->groups; inner; inner = inner->next) {
    if (!S_plan_group(set, rule, inner, within)) return false;
    group->reads |= inner->reads;
  }
  group->reads &= bound;
  return true;
}

static bool S_plan_guards(fb_ruleset *set, const fb_rule *rule) {
  for (uint32_t i = 0; i < rule->condition_count; i++) {
    fb_rule_condition *c = &rule->conditions[i];
    if (fb_when_guards(c->kind) && !S_plan_check(set, rule, c)) return false;
  }
  uint64_t bound = (UINT64_C(1) << rule->positive_count) - 1;
  for (fb_rule_group *group = rule->groups; group; group = group->next)
    if (!S_plan_group(set, rule, group, bound)) return false;
  return true;
}

static bool S_plan_rule_walks(fb_ruleset *set, const fb_rule *rule) {
  for (uint32_t i = 0; i < rule->condition_count; i++) {
    fb_rule_condition *c = &rule->conditions[i];
    if (fb_when_derives(c->kind)) continue; /* nothing comes in there */
    if (!S_plan_walk(set, rule, c) ||
        (rule->lazy && c->kind == FB_WHEN_FACT && !S_plan_written(set, rule, c)))
      return false;
  }
  return S_plan_guards(set, rule);
}

static bool S_plan_walks(fb_ruleset *set) {
  for (uint32_t r = 0; r < set->rule_count; r++)
    if (set->rules[r].info.enabled && !S_plan_rule_walks(set, &set->rules[r])) return false;
  return true;
}

/* ── Ports ── */

/* Same bytes, same port: of one type, and made new by the same fields. */
static void S_watch_signature(const fb_rule_condition *condition, fb_buf *out) {
  uint32_t words = condition->watch_all ? 0 : condition->watched_words;
  fb_buf_clear(out);
  S_sign_number(out, (uint64_t)condition->type << 1 | condition->watch_all);
  while (words && !condition->watched[words - 1]) words--;
  for (uint32_t w = 0; w < words; w++) S_sign_number(out, condition->watched[w]);
}

static bool S_port_of(fb_ruleset *set, fb_table *known, fb_buf *signature,
                      fb_rule_condition *condition) {
  bool added;
  S_watch_signature(condition, signature);
  fb_table_slot *slot = fb_table_get(known, fb_buf_slice(signature));
  if (slot) {
    condition->port = (uint32_t)slot->value.number;
    return true;
  }
  char *key = fb_arena_text(&set->arena, fb_buf_slice(signature));
  if (signature->failed || !key ||
      !(slot = fb_table_put(known, (fb_slice){key, signature->len}, &added)) ||
      !fb_rule_push(set, (void **)&set->ports, &set->port_cap, set->port_count, sizeof *set->ports))
    return false;
  set->ports[set->port_count] = (fb_rule_port){condition->type};
  slot->value.number = condition->port = set->port_count++;
  return true;
}

static bool S_plan_ports(fb_ruleset *set) {
  fb_table known;
  fb_buf signature;
  bool good = true;
  fb_table_init(&known, set->allocator, 0);
  fb_buf_init(&signature, set->allocator, 0);
  for (uint32_t r = 0; r < set->rule_count; r++) {
    fb_rule *rule = &set->rules[r];
    for (uint32_t i = 0; i < rule->condition_count && good; i++) {
      fb_rule_condition *c = &rule->conditions[i];
      c->port = FB_RULE_NONE;
      if (rule->lazy && c->kind == FB_WHEN_FACT) good = S_port_of(set, &known, &signature, c);
    }
  }
  fb_buf_release(&signature);
  fb_table_release(&known);
  return good;
}

/* ── Gates: what must be so for a rule to have any match ── */

static bool S_plan_gates(fb_ruleset *set) {
  for (uint32_t r = 0; r < set->rule_count; r++) {
    fb_rule *rule = &set->rules[r];
    if (!rule->lazy || rule->condition_count == 1) continue; /* whose alpha is not stored */
    rule->gates = fb_arena_alloc(&set->arena, (rule->condition_count + 1) * sizeof *rule->gates);
    if (!rule->gates) return false;
    for (uint32_t i = 0; i < rule->condition_count; i++) {
      const fb_rule_condition *c = &rule->conditions[i];
      if (c->kind == FB_WHEN_MEMBER || (c->kind == FB_WHEN_NOT && c->join_count)) continue;
      rule->gates[rule->gate_count++] = (fb_rule_gate){c->alpha, c->kind == FB_WHEN_NOT};
    }
  }
  return true;
}

/* ── Salience ── */

static bool S_plan_levels(fb_ruleset *set) {
  set->saliences = fb_arena_alloc(&set->arena, (set->rule_count + 1) * sizeof *set->saliences);
  if (!set->saliences) return false;
  for (uint32_t r = 0; r < set->rule_count; r++) {
    int32_t salience = set->rules[r].info.salience;
    uint32_t low = 0, high = set->salience_count;
    while (low < high) {
      uint32_t middle = (low + high) / 2;
      if (set->saliences[middle] > salience)
        low = middle + 1;
      else
        high = middle;
    }
    if (low < set->salience_count && set->saliences[low] == salience) continue;
    memmove(&set->saliences[low + 1], &set->saliences[low],
            (set->salience_count - low) * sizeof *set->saliences);
    set->saliences[low] = salience;
    set->salience_count++;
  }
  for (uint32_t r = 0; r < set->rule_count; r++) {
    uint32_t low = 0, high = set->salience_count;
    while (low < high) {
      uint32_t middle = (low + high) / 2;
      if (set->saliences[middle] > set->rules[r].info.salience)
        low = middle + 1;
      else
        high = middle;
    }
    set->rules[r].level = low;
  }
  return true;
}

static bool S_plan_types(fb_ruleset *set) {
  set->type_count = (uint32_t)fb_schema_count(set->schema);
  set->types = fb_arena_zero(&set->arena, (set->type_count + 1) * sizeof *set->types);
  if (!set->types) return false;
  for (uint32_t i = 0; i < set->type_count; i++)
    set->types[i].field_count = fb_schema_type(set->schema, i)->field_count;
  for (uint32_t i = 0; i < set->expiry_count; i++) {
    set->types[set->expiries[i].type].expires = set->expiries[i].after;
    S_plan_time(set, set->expiries[i].type, set->expiries[i].field);
  }
  return true;
}

fb_status fb_rule_plan(fb_ruleset *set) {
  if (!S_plan_types(set) || !S_plan_alphas(set) || !S_plan_walks(set) || !S_plan_ports(set) ||
      !S_plan_gates(set) || !fb_rule_plan_sieves(set) || !S_plan_levels(set) ||
      !fb_rule_plan_emits(set))
    return FB_E_NOMEM;
  return FB_OK;
}

/* ── For people ── */

static void S_dump_type(const fb_ruleset *set, const fb_rule_condition *c, fb_buf *out) {
  if (c->type == FB_RULE_NONE) {
    fb_buf_text(out, "element of a list");
    return;
  }
  fb_slice name =
      fb_schema_type(set->schema, c->aggregate ? c->aggregate->source.type : c->type)->name;
  if (c->aggregate) fb_buf_printf(out, "aggregate %u of ", (unsigned)c->aggregate->number);
  fb_buf_add(out, name.ptr, name.len);
}

static void S_dump_level(const fb_ruleset *set, const fb_rule *rule, const fb_rule_level *level,
                         fb_buf *out) {
  const fb_rule_condition *c = &rule->conditions[level->condition];
  fb_buf_text(out, "      then ");
  S_dump_type(set, c, out);
  if (level->index != FB_RULE_NONE) {
    const fb_fact_type *type = fb_schema_type(set->schema, c->type);
    const fb_rule_index *index = &set->indexes[level->index];
    for (uint32_t i = 0; i < index->field_count; i++) {
      fb_slice field = type->fields[index->fields[i]].name;
      fb_buf_printf(out, "%s%.*s", i ? ", " : " by hash of ", (int)field.len, field.ptr);
    }
  } else if (level->sorted == FB_RULE_NONE) {
    fb_buf_text(out, ", every one");
  }
  if (level->sorted != FB_RULE_NONE) {
    const fb_rule_sorted *sorted = &set->sorteds[level->sorted];
    fb_slice field = fb_schema_type(set->schema, c->type)->fields[sorted->field].name;
    fb_buf_printf(out, ", by %s of %.*s", sorted->elements ? "elements" : "order", (int)field.len,
                  field.ptr);
    if (sorted->other != FB_RULE_NONE) {
      field = fb_schema_type(set->schema, c->type)->fields[sorted->other].name;
      fb_buf_printf(out, " and %.*s", (int)field.len, field.ptr);
    }
  }
  if (level->join_count)
    fb_buf_printf(out, ", %u more test%s", level->join_count, level->join_count > 1 ? "s" : "");
  fb_buf_char(out, '\n');
}

void fb_ruleset_dump(const fb_ruleset *set, fb_buf *out) {
  static const char *const kinds[] = {"", "not ", "exists ", "in a group, "};
  for (uint32_t r = 0; r < set->rule_count; r++) {
    const fb_rule *rule = &set->rules[r];
    if (!rule->info.enabled && set->books[rule->book] != r)
      continue; /* a variant that never holds */
    fb_buf_printf(out, "rule %u: %.*s%s\n", (unsigned)rule->book, (int)rule->info.name.len,
                  rule->info.name.ptr, rule->info.enabled ? "" : " (not enabled)");
    for (uint32_t i = 0; i < rule->condition_count && rule->info.enabled; i++) {
      const fb_rule_condition *c = &rule->conditions[i];
      if (fb_when_derives(c->kind)) continue;
      const fb_rule_alpha *alpha = &set->alphas[c->alpha];
      fb_buf_printf(out, "  %s", kinds[c->kind]);
      S_dump_type(set, c, out);
      fb_buf_printf(out, ": %u test%s, alpha %u%s%s\n", alpha->test_count,
                    alpha->test_count == 1 ? "" : "s", (unsigned)c->alpha,
                    alpha->settled ? ", sieved" : "", alpha->stored ? ", stored" : "");
      for (uint32_t l = 0; l < c->walk_count; l++) S_dump_level(set, rule, &c->walk[l], out);
    }
  }
}
