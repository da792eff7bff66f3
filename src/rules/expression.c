/* SPDX-License-Identifier: Apache-2.0
 * Expressions of conditions: taken apart into tests (of one fact) and joins (of several). */
#include "rules/aggregate.h"

/* ── Expressions to programs ── */

static fb_cel_program *S_generate(fb_rule_loader *loader, const fb_cel_expr *expr,
                                  const fb_ast *ast) {
  fb_ruleset *set = loader->set;
  fb_cel_program *program;
  fb_error err;
  if (!fb_grow(set->allocator, (void **)&set->programs, &set->program_cap, set->program_count,
               sizeof *set->programs)) {
    loader->nomem = true;
    return NULL;
  }
  fb_status status = fb_cel_generate(loader->env, expr, ast, &program, &err);
  if (status == FB_E_NOMEM)
    loader->nomem = true;
  else if (status != FB_OK)
    fb_errors_add(loader->errors, &err);
  if (status != FB_OK) return NULL;
  return set->programs[set->program_count++] = program;
}

/* The value of a subtree without variables, kept in the ruleset. */
static bool S_constant(fb_rule_loader *loader, const fb_cel_expr *expr, const fb_ast *ast,
                       fb_value *ret, fb_error *err) {
  fb_ruleset *set = loader->set;
  fb_value value;
  if (ast->kind == FB_AST_CONST) {
    value = ast->value;
  } else {
    fb_cel_program *program = S_generate(loader, expr, ast);
    if (!program) return false;
    fb_value slots[FB_RULE_MAX_SLOTS];
    for (int i = 0; i < FB_RULE_MAX_SLOTS; i++) slots[i] = fb_absent();
    fb_cel_context context;
    fb_cel_context_init(&context, &set->arena);
    context.exact = true;
    fb_status status = fb_cel_eval(program, slots, &context, &value, err);
    fb_cel_context_release(&context);
    if (status != FB_OK) return false;
  }
  if (value.kind == FB_STRING) {
    fb_symbol symbol;
    if (fb_symbol_intern(set->symbols, fb_value_text(value), &symbol) != FB_OK)
      return loader->nomem = true, false;
    *ret = fb_symbol_value(set->symbols, symbol);
    return true;
  }
  if (fb_value_copy(&set->arena, value, ret) != FB_OK) return loader->nomem = true, false;
  return true;
}

/* ── What an expression reads ── */

static fb_rule_condition *S_bound_by(const fb_rule_loader *loader, uint32_t slot) {
  return slot < FB_RULE_MAX_SLOTS ? loader->scope[slot] : NULL;
}

void fb_rule_watch_field(fb_rule_loader *loader, fb_rule_condition *condition, uint32_t field) {
  uint32_t word = field / 64;
  if (word >= condition->watched_words) {
    uint64_t *words = fb_arena_zero(&loader->set->arena, (word + 1) * sizeof *words);
    if (!words) {
      loader->nomem = true;
      return;
    }
    if (condition->watched_words)
      memcpy(words, condition->watched, condition->watched_words * sizeof *words);
    condition->watched = words;
    condition->watched_words = word + 1;
  }
  condition->watched[word] |= UINT64_C(1) << (field % 64);
}

/* Field number of `x.name` where x is a fact; NONE when it is anything else. */
static uint32_t S_field_of(fb_rule_loader *loader, const fb_ast *ast, uint32_t *ret_slot) {
  if (ast->kind != FB_AST_SELECT || ast->optional || ast->args[0]->kind != FB_AST_NAME ||
      ast->args[0]->local)
    return FB_RULE_NONE;
  fb_rule_condition *condition = S_bound_by(loader, ast->args[0]->slot);
  if (!condition || condition->type == FB_RULE_NONE) return FB_RULE_NONE;
  uint32_t field;
  fb_fact_type *type = fb_schema_type(loader->set->schema, condition->type);
  fb_status status = fb_fact_type_learn(loader->set->schema, type, ast->name, &field);
  if (status == FB_E_NOMEM) loader->nomem = true;
  if (status != FB_OK) return FB_RULE_NONE;
  *ret_slot = ast->args[0]->slot;
  return field;
}

static void S_watch(fb_rule_loader *loader, const fb_ast *ast) {
  uint32_t slot;
  uint32_t field = S_field_of(loader, ast, &slot);
  if (field != FB_RULE_NONE) {
    fb_rule_watch_field(loader, S_bound_by(loader, slot), field);
    return;
  }
  if (ast->kind == FB_AST_NAME && !ast->local) {
    fb_rule_condition *condition = S_bound_by(loader, ast->slot);
    if (condition) condition->watch_all = true;
  }
  for (uint32_t i = 0; i < ast->count; i++) S_watch(loader, ast->args[i]);
}

/* ── Tests of one fact ── */

static const struct {
  const char *name;
  uint8_t op, flipped;
} S_operators[] = {{"_==_", FB_RULE_EQ, FB_RULE_EQ}, {"_!=_", FB_RULE_NE, FB_RULE_NE},
                   {"_<_", FB_RULE_LT, FB_RULE_GT},  {"_<=_", FB_RULE_LE, FB_RULE_GE},
                   {"_>_", FB_RULE_GT, FB_RULE_LT},  {"_>=_", FB_RULE_GE, FB_RULE_LE}};

static int S_operator(const fb_ast *ast) {
  if (ast->kind != FB_AST_CALL || ast->count != 2 || ast->member) return -1;
  for (int i = 0; i < 6; i++)
    if (fb_slice_equal(ast->name, fb_slice_of(S_operators[i].name))) return i;
  return -1;
}

static bool S_reads_nothing(const fb_ast *ast) {
  uint64_t reads = 0;
  fb_ast_reads(ast, &reads, 1);
  return reads == 0;
}

static bool S_has_order(fb_value value) {
  switch (value.kind) {
    case FB_BOOL:
    case FB_INT:
    case FB_UINT:
    case FB_DOUBLE:
    case FB_STRING:
    case FB_BYTES:
    case FB_TIMESTAMP:
    case FB_DURATION: return true;
    default: return false;
  }
}

/* `x.f op constant`, `x.f`, `!x.f`, `has(x.f)`: told without the VM. */
static bool S_direct_test(fb_rule_loader *loader, const fb_cel_expr *expr, const fb_ast *ast,
                          fb_rule_test *test) {
  uint32_t slot;
  bool negated = ast->kind == FB_AST_CALL && ast->count == 1 && !ast->member &&
                 fb_slice_equal(ast->name, FB_SLICE("!_"));
  const fb_ast *inner = negated ? ast->args[0] : ast;
  test->field = S_field_of(loader, inner, &slot);
  if (test->field != FB_RULE_NONE) {
    if (inner->test_only)
      test->op = negated ? FB_RULE_LACKS : FB_RULE_HAS;
    else
      test->op = negated ? FB_RULE_FALSE : FB_RULE_TRUE;
    return true;
  }
  int number = S_operator(ast);
  if (number < 0) return false;
  for (int side = 0; side < 2; side++) {
    const fb_ast *field = ast->args[side], *other = ast->args[1 - side];
    if (field->test_only || !S_reads_nothing(other)) continue;
    test->field = S_field_of(loader, field, &slot);
    if (test->field == FB_RULE_NONE) continue;
    test->op = side ? S_operators[number].flipped : S_operators[number].op;
    fb_error err;
    if (!S_constant(loader, expr, other, &test->constant, &err)) return false;
    if (test->op >= FB_RULE_LT && !S_has_order(test->constant)) return false;
    test->key = fb_rule_key_of(test->constant, loader->set->symbols);
    return true;
  }
  return false;
}

static void S_add_test(fb_rule_loader *loader, fb_rule_condition *condition,
                       const fb_cel_expr *expr, const fb_ast *ast, const fb_node *node) {
  fb_rule_test test = {.op = FB_RULE_PROGRAM,
                       .slot = condition->slot,
                       .rule = loader->rule->number,
                       .place = {node, ast->offset, ast->length}};
  if (!S_direct_test(loader, expr, ast, &test)) {
    test.op = FB_RULE_PROGRAM;
    test.program = S_generate(loader, expr, ast);
    if (!test.program) return;
  }
  if (!fb_rule_push(loader->set, (void **)&condition->tests, &condition->test_cap,
                    condition->test_count, sizeof test))
    loader->nomem = true;
  else
    condition->tests[condition->test_count++] = test;
}

/* ── Joins ── */

static bool S_field_join(fb_rule_loader *loader, const fb_cel_expr *expr, const fb_ast *ast,
                         fb_rule_join *join) {
  int number = S_operator(ast);
  if (number < 0 || ast->args[0]->test_only || ast->args[1]->test_only) return false;
  uint32_t a = S_field_of(loader, ast->args[0], &join->slot_a);
  uint32_t b = S_field_of(loader, ast->args[1], &join->slot_b);
  if (a != FB_RULE_NONE && b != FB_RULE_NONE && join->slot_a != join->slot_b) {
    join->op = S_operators[number].op;
    join->field_a = a;
    join->field_b = b;
    return true;
  }
  if (S_operators[number].op != FB_RULE_EQ) return false;
  for (int side = 0; side < 2; side++) {
    uint32_t field = side ? b : a, slot = side ? join->slot_b : join->slot_a;
    if (field == FB_RULE_NONE) continue;
    uint64_t reads = 0;
    fb_ast_reads(ast->args[1 - side], &reads, 1);
    if (reads >> slot & 1) continue;
    join->op = FB_RULE_EQ;
    join->key_only = true;
    join->slot_a = slot;
    join->field_a = field;
    join->key_slots = reads;
    join->key = S_generate(loader, expr, ast->args[1 - side]);
    return join->key != NULL;
  }
  return false;
}

/* The field of a fact that the comparison or `in` is about, and what it is compared with; for sorted indexes. */
static bool S_seek(fb_rule_loader *loader, const fb_ast *ast, fb_rule_join *join,
                   const fb_ast **ret_key) {
  int number = S_operator(ast);
  bool in = ast->kind == FB_AST_CALL && ast->count == 2 && !ast->member &&
            fb_slice_equal(ast->name, FB_SLICE("@in"));
  if (!in && (number < 0 || S_operators[number].op < FB_RULE_LT)) return false;
  for (int side = in ? 1 : 0; side < 2; side++) {
    uint64_t reads = 0;
    if (ast->args[side]->test_only) continue;
    join->field_a = S_field_of(loader, ast->args[side], &join->slot_a);
    if (join->field_a == FB_RULE_NONE) continue;
    fb_ast_reads(ast->args[1 - side], &reads, 1);
    if (!reads || (reads >> join->slot_a & 1)) continue;
    join->seek = in ? FB_RULE_IN : side ? S_operators[number].flipped : S_operators[number].op;
    join->key_slots = reads;
    *ret_key = ast->args[1 - side];
    return true;
  }
  return false;
}

/* Where a join is kept: with the group that it was written in, the `not` or `exists`, or the last positive it reads. */
static bool S_keep_join(fb_rule_loader *loader, fb_rule_condition *own, fb_rule_group *group,
                        fb_rule_join *join) {
  fb_ruleset *set = loader->set;
  if (group) {
    if (!fb_rule_push(set, (void **)&group->joins, &group->join_cap, group->join_count,
                      sizeof *group->joins))
      return false;
    group->joins[group->join_count++] = join;
    return true;
  }
  fb_rule_condition *home = own;
  if (!home || fb_when_binds(home->kind))
    home = S_bound_by(loader, 63 - (uint32_t)__builtin_clzll(join->slots));
  if (!fb_rule_push(set, (void **)&home->joins, &home->join_cap, home->join_count,
                    sizeof *home->joins))
    return false;
  home->joins[home->join_count++] = join;
  return true;
}

static void S_add_join(fb_rule_loader *loader, fb_rule_condition *own, fb_rule_group *group,
                       const fb_cel_expr *expr, const fb_ast *ast, const fb_node *node,
                       uint64_t reads) {
  fb_rule_join *join = fb_arena_zero(&loader->set->arena, sizeof *join);
  if (!join) {
    loader->nomem = true;
    return;
  }
  join->slots = reads;
  join->rule = loader->rule->number;
  join->place = (fb_rule_place){node, ast->offset, ast->length};
  const fb_ast *key;
  if (!S_field_join(loader, expr, ast, join)) {
    join->op = FB_RULE_PROGRAM;
    join->key_only = false;
    if (S_seek(loader, ast, join, &key) && !(join->key = S_generate(loader, expr, key))) return;
  }
  if ((join->op == FB_RULE_PROGRAM || join->key_only) &&
      !(join->program = S_generate(loader, expr, ast)))
    return;
  if (!S_keep_join(loader, own, group, join)) loader->nomem = true;
}

/* ── Conjuncts ── */

static void S_take_constant(fb_rule_loader *loader, fb_rule_condition *own, fb_rule_group *group,
                            const fb_cel_expr *expr, const fb_ast *ast, const fb_node *node) {
  fb_value value;
  fb_error err = {0};
  bool told = S_constant(loader, expr, ast, &value, &err);
  if (loader->constants && (told ? value.kind == FB_BOOL && !value.as.b : err.code != FB_OK)) {
    if (group)
      group->never = true;
    else
      loader->dead = true; /* with other values it may hold */
    return;
  }
  if (!told) {
    if (err.code) fb_errors_add(loader->errors, &err);
    return;
  }
  if (value.kind == FB_BOOL && value.as.b) return;
  if (group) { /* a group that never holds; kept so that it says so in the plan */
    S_add_join(loader, own, group, expr, ast, node, 0);
    return;
  }
  if (own && own->kind == FB_WHEN_NOT) {
    S_add_test(loader, own, expr, ast, node);
    return;
  }
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_NEVER,
              "switch a rule off with `enabled: false`",
              "this is false whatever the facts are: the rule can never fire");
}

/* Does it read one fact, of a pattern that it may be a test of? */
static bool S_is_test(const fb_rule_loader *loader, const fb_rule_condition *own,
                      const fb_rule_group *group, uint64_t reads) {
  if (reads & (reads - 1)) return false;
  const fb_rule_condition *reader = S_bound_by(loader, (uint32_t)__builtin_ctzll(reads));
  if (group) return reader->group == group;
  if (fb_when_derives(reader->kind)) return false;
  return !own || fb_when_binds(own->kind) || reader == own;
}

/* Comparisons and calls, as CLIPS counts them: not `&&`, `||`, `!` and `? :` themselves, nor what stands in a call. */
static uint32_t S_complexity(const fb_ast *ast) {
  bool inner =
      ast->kind == FB_AST_AND || ast->kind == FB_AST_OR || ast->kind == FB_AST_COND ||
      (ast->kind == FB_AST_CALL && ast->count == 1 && fb_slice_equal(ast->name, FB_SLICE("!_")));
  uint32_t count = inner ? 0 : 1;
  for (uint32_t i = 0; inner && i < ast->count; i++) count += S_complexity(ast->args[i]);
  return count;
}

void fb_rule_take(fb_rule_loader *loader, fb_rule_condition *own, fb_rule_group *group,
                  const fb_cel_expr *expr, const fb_ast *ast, const fb_node *node) {
  if (ast->kind == FB_AST_AND) {
    for (uint32_t i = 0; i < ast->count; i++)
      fb_rule_take(loader, own, group, expr, ast->args[i], node);
    return;
  }
  uint64_t reads = 0;
  fb_ast_reads(ast, &reads, 1);
  S_watch(loader, ast);
  loader->rule->complexity += S_complexity(ast);
  if (!reads) {
    S_take_constant(loader, own, group, expr, ast, node);
    return;
  }
  uint64_t own_bit = own ? UINT64_C(1) << own->slot : 0;
  for (uint64_t left = reads & ~own_bit; left; left &= left - 1)
    S_bound_by(loader, (uint32_t)__builtin_ctzll(left))->used = true;
  if (S_is_test(loader, own, group, reads))
    S_add_test(loader, S_bound_by(loader, (uint32_t)__builtin_ctzll(reads)), expr, ast, node);
  else
    S_add_join(loader, own, group, expr, ast, node, reads);
}

void fb_rule_take_input(fb_rule_loader *loader, const fb_cel_expr *expr, const fb_ast *ast,
                        const fb_node *node, fb_rule_input *out) {
  uint32_t slot;
  *out = (fb_rule_input){.given = true, .place = {node, ast->offset, ast->length}};
  S_watch(loader, ast);
  out->field = S_field_of(loader, ast, &slot);
  if (out->field != FB_RULE_NONE && ast->test_only) out->field = FB_RULE_NONE;
  if (out->field == FB_RULE_NONE) out->program = S_generate(loader, expr, ast);
}

void fb_rule_demand(fb_rule_loader *loader, fb_rule_condition *condition, uint32_t field,
                    bool test) {
  fb_rule_test demand = {.op = FB_RULE_HAS,
                         .field = field,
                         .slot = condition->slot,
                         .rule = loader->rule->number,
                         .place = {condition->node, 0, 1}};
  fb_rule_watch_field(loader, condition, field);
  if (!test) return;
  if (!fb_rule_push(loader->set, (void **)&condition->tests, &condition->test_cap,
                    condition->test_count, sizeof demand))
    loader->nomem = true;
  else
    condition->tests[condition->test_count++] = demand;
}
