/* SPDX-License-Identifier: Apache-2.0
 * Conditions: heads to slots, expressions to tests (of one fact) and joins (of several). */
#include "rules/plan.h"

#include <stdio.h>

#define S_FORMS                                                                                          \
  "a condition is `type as x: expression`, `not type as x: …`, `exists type as x: …`, `any: […]` " \
  "or `test: …`"

enum { GROUP_DEPTH = 8, CONDITIONS_MAX = 1000 };

/* One item of `when` as it is written. */
typedef struct S_head {
  const fb_node *key, *value; /* value NULL: no expression */
  fb_slice type, variable;
  uint8_t kind;
  bool test;
  fb_rule_condition *condition;
} S_head;

/* ── Heads ── */

static bool S_is_variable(fb_slice text) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(i && c >= '0' && c <= '9')) return false;
  }
  return text.len > 0 && text.len <= 64;
}

static size_t S_words(fb_slice text, fb_slice *words, size_t max) {
  size_t count = 0;
  for (size_t i = 0; i < text.len;) {
    while (i < text.len && (text.ptr[i] == ' ' || text.ptr[i] == '\t')) i++;
    size_t start = i;
    while (i < text.len && text.ptr[i] != ' ' && text.ptr[i] != '\t') i++;
    if (i > start && count++ < max) words[count - 1] = (fb_slice){text.ptr + start, i - start};
  }
  return count;
}

/* Of the form [not | exists] type [as variable]. */
static bool S_split_head(fb_slice text, S_head *head) {
  fb_slice words[4];
  size_t count = S_words(text, words, 4), at = 0;
  if (count == 0 || count > 4) return false;
  if (fb_slice_equal(words[0], FB_SLICE("not")))
    head->kind = FB_WHEN_NOT, at++;
  else if (fb_slice_equal(words[0], FB_SLICE("exists")))
    head->kind = FB_WHEN_EXISTS, at++;
  else
    head->kind = FB_WHEN_FACT;
  if (at >= count) return false;
  head->type = words[at++];
  for (size_t i = 0; i < head->type.len; i++)
    if (strchr("()[]{}\"'=<>!&|,:;+*/", head->type.ptr[i])) return false;
  if (at == count) return true;
  if (at + 2 != count || !fb_slice_equal(words[at], FB_SLICE("as"))) return false;
  head->variable = words[at + 1];
  return true;
}

static bool S_parse_head(fb_rule_loader *loader, const fb_node *item, S_head *head) {
  *head = (S_head){0};
  if (item->kind == FB_STRING) {
    head->key = item;
  } else if (item->kind == FB_MAP && item->count == 1) {
    head->key = &item->as.pairs[0].key;
    head->value = &item->as.pairs[0].value;
  } else if (item->kind == FB_MAP && item->count > 1) {
    fb_doc_fail(loader->doc, &item->as.pairs[1].key, loader->errors, FB_E_RULE_CONDITION,
                "start each condition with a dash of its own", "a condition has one key only");
    return false;
  } else {
    fb_doc_fail(loader->doc, item, loader->errors, FB_E_RULE_CONDITION, S_FORMS,
                "a condition cannot be %s", fb_node_describe(item));
    return false;
  }
  fb_slice text = fb_node_text(head->key);
  if (head->value && fb_slice_equal(text, FB_SLICE("test"))) return head->test = true;
  if (!S_split_head(text, head)) {
    /* `- "order as o: o.x"` is text, where `- order as o: o.x` is a key and a value. */
    bool quoted = !head->value && memmem(text.ptr, text.len, ": ", 2);
    fb_doc_fail(loader->doc, head->key, loader->errors, FB_E_RULE_CONDITION,
                quoted ? "quote the expression only: `order as o: \"o.x > 1\"`" : S_FORMS,
                "unknown condition `%.*s`", (int)(text.len > 80 ? 80 : text.len), text.ptr);
    return false;
  }
  if (head->variable.len && !S_is_variable(head->variable)) {
    fb_doc_fail(loader->doc, head->key, loader->errors, FB_E_RULE_VARIABLE,
                "a variable has letters, digits and `_`, and starts with a letter",
                "`%.*s` cannot be the name of a variable",
                (int)(head->variable.len > 60 ? 60 : head->variable.len), head->variable.ptr);
    return false;
  }
  return true;
}

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
    fb_value slots[FB_RULE_SLOTS];
    for (int i = 0; i < FB_RULE_SLOTS; i++) slots[i] = fb_absent();
    fb_cel_context context;
    fb_cel_context_init(&context, &set->arena);
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

static fb_rule_condition *S_bound_by(fb_rule_loader *loader, fb_rule_condition *own,
                                     uint32_t slot) {
  fb_rule *rule = loader->rule;
  if (slot < rule->positive_count) return &rule->conditions[rule->positives[slot]];
  return own && own->slot == slot ? own : NULL;
}

static void S_watch_field(fb_rule_loader *loader, fb_rule_condition *condition, uint32_t field) {
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
static uint32_t S_field_of(fb_rule_loader *loader, fb_rule_condition *own, const fb_ast *ast,
                           uint32_t *ret_slot) {
  if (ast->kind != FB_AST_SELECT || ast->optional || ast->args[0]->kind != FB_AST_NAME ||
      ast->args[0]->local)
    return FB_RULE_NONE;
  fb_rule_condition *condition = S_bound_by(loader, own, ast->args[0]->slot);
  if (!condition || condition->type == FB_RULE_NONE) return FB_RULE_NONE;
  uint32_t field;
  fb_fact_type *type = fb_schema_type(loader->set->schema, condition->type);
  fb_status status = fb_fact_type_learn(loader->set->schema, type, ast->name, &field);
  if (status == FB_E_NOMEM) loader->nomem = true;
  if (status != FB_OK) return FB_RULE_NONE;
  *ret_slot = ast->args[0]->slot;
  return field;
}

static void S_watch(fb_rule_loader *loader, fb_rule_condition *own, const fb_ast *ast) {
  uint32_t slot;
  uint32_t field = S_field_of(loader, own, ast, &slot);
  if (field != FB_RULE_NONE) {
    S_watch_field(loader, S_bound_by(loader, own, slot), field);
    return;
  }
  if (ast->kind == FB_AST_NAME && !ast->local) {
    fb_rule_condition *condition = S_bound_by(loader, own, ast->slot);
    if (condition) condition->watch_all = true;
  }
  for (uint32_t i = 0; i < ast->count; i++) S_watch(loader, own, ast->args[i]);
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
static bool S_direct_test(fb_rule_loader *loader, fb_rule_condition *own, const fb_cel_expr *expr,
                          const fb_ast *ast, fb_rule_test *test) {
  uint32_t slot;
  bool negated = ast->kind == FB_AST_CALL && ast->count == 1 && !ast->member &&
                 fb_slice_equal(ast->name, FB_SLICE("!_"));
  const fb_ast *inner = negated ? ast->args[0] : ast;
  test->field = S_field_of(loader, own, inner, &slot);
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
    test->field = S_field_of(loader, own, field, &slot);
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

static void S_add_test(fb_rule_loader *loader, fb_rule_condition *condition, fb_rule_condition *own,
                       const fb_cel_expr *expr, const fb_ast *ast, const fb_node *node) {
  fb_rule_test test = {.op = FB_RULE_PROGRAM,
                       .slot = condition->slot,
                       .rule = loader->rule->number,
                       .place = {node, ast->offset, ast->length}};
  if (!S_direct_test(loader, own, expr, ast, &test)) {
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

static bool S_field_join(fb_rule_loader *loader, fb_rule_condition *own, const fb_cel_expr *expr,
                         const fb_ast *ast, fb_rule_join *join) {
  int number = S_operator(ast);
  if (number < 0 || ast->args[0]->test_only || ast->args[1]->test_only) return false;
  uint32_t a = S_field_of(loader, own, ast->args[0], &join->slot_a);
  uint32_t b = S_field_of(loader, own, ast->args[1], &join->slot_b);
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

static void S_add_join(fb_rule_loader *loader, fb_rule_condition *own, const fb_cel_expr *expr,
                       const fb_ast *ast, const fb_node *node, uint64_t reads) {
  fb_rule_join *join = fb_arena_zero(&loader->set->arena, sizeof *join);
  if (!join) {
    loader->nomem = true;
    return;
  }
  join->slots = reads;
  join->rule = loader->rule->number;
  join->place = (fb_rule_place){node, ast->offset, ast->length};
  if (!S_field_join(loader, own, expr, ast, join)) {
    join->op = FB_RULE_PROGRAM;
    join->key_only = false;
  }
  if ((join->op == FB_RULE_PROGRAM || join->key_only) &&
      !(join->program = S_generate(loader, expr, ast)))
    return;
  fb_rule_condition *home = own;
  if (!home || home->kind == FB_WHEN_FACT)
    home = S_bound_by(loader, own, 63 - (uint32_t)__builtin_clzll(reads));
  if (!fb_rule_push(loader->set, (void **)&home->joins, &home->join_cap, home->join_count,
                    sizeof *home->joins))
    loader->nomem = true;
  else
    home->joins[home->join_count++] = join;
}

/* ── Conjuncts ── */

static void S_take_constant(fb_rule_loader *loader, fb_rule_condition *own, const fb_cel_expr *expr,
                            const fb_ast *ast, const fb_node *node) {
  fb_value value;
  fb_error err = {0};
  if (!S_constant(loader, expr, ast, &value, &err)) {
    if (err.code) fb_errors_add(loader->errors, &err);
    return;
  }
  if (value.kind == FB_BOOL && value.as.b) return;
  if (own && own->kind == FB_WHEN_NOT) { /* holds always; kept so that it says so in the plan */
    S_add_test(loader, own, own, expr, ast, node);
    return;
  }
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_NEVER,
              "switch a rule off with `enabled: false`",
              "this is false whatever the facts are: the rule can never fire");
}

/* own NULL: of a `test:`. */
static void S_take(fb_rule_loader *loader, fb_rule_condition *own, const fb_cel_expr *expr,
                   const fb_ast *ast, const fb_node *node) {
  if (ast->kind == FB_AST_AND) {
    for (uint32_t i = 0; i < ast->count; i++) S_take(loader, own, expr, ast->args[i], node);
    return;
  }
  uint64_t reads = 0;
  fb_ast_reads(ast, &reads, 1);
  S_watch(loader, own, ast);
  if (!reads) {
    S_take_constant(loader, own, expr, ast, node);
    return;
  }
  uint64_t own_bit = own ? UINT64_C(1) << own->slot : 0;
  loader->slots_used |= reads & ~own_bit;
  bool guard = own && own->kind != FB_WHEN_FACT;
  if ((reads & (reads - 1)) == 0 && (!guard || reads == own_bit)) {
    fb_rule_condition *reader = S_bound_by(loader, own, (uint32_t)__builtin_ctzll(reads));
    S_add_test(loader, reader, own, expr, ast, node);
  } else {
    S_add_join(loader, own, expr, ast, node, reads);
  }
}

/* ── Errors that know the rule ── */

/* The word at the place that the error points to. */
static fb_slice S_pointed(const fb_error *err) {
  size_t start = err->excerpt_column ? err->excerpt_column - 1 : 0;
  if (start >= strlen(err->excerpt)) return (fb_slice){"", 0};
  size_t end = start;
  while (end < strlen(err->excerpt) &&
         S_is_variable((fb_slice){err->excerpt + start, end + 1 - start}))
    end++;
  return (fb_slice){err->excerpt + start, end - start};
}

static void S_report(fb_rule_loader *loader, fb_errors *found, const S_head *heads, uint32_t count,
                     uint32_t at) {
  for (size_t i = 0; i < found->count; i++) {
    fb_error *err = &found->items[i];
    fb_slice word = err->code == FB_E_CEL_UNDECLARED ? S_pointed(err) : (fb_slice){"", 0};
    for (uint32_t h = 0; h < count && word.len; h++) {
      if (!fb_slice_equal(heads[h].variable, word)) continue;
      err->code = FB_E_RULE_VARIABLE;
      if (heads[h].kind != FB_WHEN_FACT)
        snprintf(err->text, sizeof err->text, "`%.*s` is known only within its own condition",
                 (int)word.len, word.ptr);
      else if (h > at)
        snprintf(err->text, sizeof err->text, "`%.*s` is used above the condition that binds it",
                 (int)word.len, word.ptr);
      else
        continue;
      snprintf(err->hint, sizeof err->hint,
               "a condition reads the variables of the positive ones above it");
      break;
    }
    fb_errors_add(loader->errors, err);
  }
  loader->errors->dropped += found->dropped;
}

static void S_load_expression(fb_rule_loader *loader, const S_head *heads, uint32_t count,
                              uint32_t at) {
  const fb_node *node = heads[at].value;
  fb_rule_condition *own = heads[at].condition;
  if (!node) return;
  if (node->kind == FB_BOOL && node->as.scalar.as.b) return;
  if (node->kind == FB_BOOL && !(own && own->kind == FB_WHEN_NOT)) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_NEVER,
                "switch a rule off with `enabled: false`",
                "this is false whatever the facts are: the rule can never fire");
    return;
  }
  if (node->kind != FB_STRING && node->kind != FB_BOOL) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_CONDITION,
                "as in `order as o: o.amount > 10.0`", "an expression is text, not %s",
                fb_node_describe(node));
    return;
  }
  fb_errors found;
  fb_errors_init(&found, loader->set->allocator, 0);
  fb_cel_options options = {.name = fb_doc_name(loader->doc),
                            .want = fb_cel_simple(FB_CEL_BOOL),
                            .doc = loader->doc,
                            .node = node};
  fb_cel_expr *expr;
  fb_slice source = node->kind == FB_BOOL ? FB_SLICE("false") : fb_node_text(node);
  fb_status status = fb_cel_parse(loader->env, source, &options, &expr, &found);
  if (status == FB_OK) {
    S_take(loader, own, expr, expr->root, node);
    fb_cel_expr_free(expr);
  } else if (status == FB_E_NOMEM) {
    loader->nomem = true;
  }
  S_report(loader, &found, heads, count, at);
  fb_errors_release(&found);
}

/* ── Branches ── */

/* The branches of an `any`; NULL when the item is something else. */
static const fb_node *S_any(const fb_node *item) {
  if (item->kind != FB_MAP || item->count != 1 ||
      !fb_slice_equal(fb_node_text(&item->as.pairs[0].key), FB_SLICE("any")))
    return NULL;
  return &item->as.pairs[0].value;
}

/* In how many ways branches may be chosen; at most MAX + 1. Recursion is bounded by GROUP_DEPTH. */
static uint32_t S_ways(const fb_node *item, int depth) {
  const fb_node *any = S_any(item), *list = any ? any : item;
  if (list->kind != FB_LIST || depth > GROUP_DEPTH) return 1;
  uint32_t ways = !any;
  for (uint32_t i = 0; i < list->count && ways <= FB_RULE_MAX_VARIANTS; i++) {
    uint32_t more = S_ways(&list->as.items[i], depth + 1);
    ways = any ? ways + more : ways * more;
  }
  if (!ways) return 1;
  return ways > FB_RULE_MAX_VARIANTS ? FB_RULE_MAX_VARIANTS + 1 : ways;
}

uint32_t fb_rule_variants(const fb_node *when) {
  uint32_t ways = S_ways(when, 0);
  return ways > FB_RULE_MAX_VARIANTS ? 1 : ways;
}

bool fb_rule_binds(const fb_node *when, fb_slice variable) {
  const fb_node *stack[GROUP_DEPTH * 2 + 2];
  uint32_t at[GROUP_DEPTH * 2 + 2] = {0}, depth = 0;
  stack[0] = when;
  for (;;) {
    const fb_node *list = stack[depth];
    if (at[depth] == list->count) {
      if (!depth--) return false;
      continue;
    }
    const fb_node *item = &list->as.items[at[depth]++], *any = S_any(item);
    const fb_node *inner = any ? any : item;
    if (inner->kind == FB_LIST) {
      if (depth + 1 < sizeof at / sizeof *at) {
        stack[++depth] = inner;
        at[depth] = 0;
      }
      continue;
    }
    const fb_node *key = item->kind == FB_MAP && item->count ? &item->as.pairs[0].key : item;
    S_head head = {0};
    if (key->kind == FB_STRING && S_split_head(fb_node_text(key), &head) &&
        fb_slice_equal(head.variable, variable))
      return true;
  }
}

typedef struct S_items {
  const fb_node **nodes; /* room for CONDITIONS_MAX */
  uint32_t count;
} S_items;

static bool S_flatten(fb_rule_loader *loader, const fb_node *item, uint32_t choice, int depth,
                      S_items *out);

static bool S_flatten_list(fb_rule_loader *loader, const fb_node *list, uint32_t choice, int depth,
                           S_items *out) {
  bool good = true;
  for (uint32_t i = 0; i < list->count && out->count <= CONDITIONS_MAX; i++) {
    uint32_t ways = S_ways(&list->as.items[i], depth + 1);
    good &= S_flatten(loader, &list->as.items[i], choice % ways, depth + 1, out);
    choice /= ways;
  }
  return good;
}

static bool S_fail_branch(fb_rule_loader *loader, const fb_node *node, const char *what) {
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_CONDITION,
              "as in `any: [[order as o, customer as c], [invoice as o]]`: a list of branches",
              "%s", what);
  return false;
}

/* Puts the conditions of the chosen branches out. Recursion is bounded by GROUP_DEPTH. */
static bool S_flatten(fb_rule_loader *loader, const fb_node *item, uint32_t choice, int depth,
                      S_items *out) {
  const fb_node *any = S_any(item);
  if (depth > GROUP_DEPTH) return S_fail_branch(loader, item, "groups are nested too deep");
  if (any) {
    if (any->kind != FB_LIST || any->count == 0)
      return S_fail_branch(loader, any, "`any` has no branches");
    for (uint32_t i = 0; i < any->count; i++) {
      uint32_t ways = S_ways(&any->as.items[i], depth + 1);
      if (choice < ways) return S_flatten(loader, &any->as.items[i], choice, depth + 1, out);
      choice -= ways;
    }
    return true;
  }
  if (item->kind == FB_LIST) {
    if (item->count) return S_flatten_list(loader, item, choice, depth, out);
    return S_fail_branch(loader, item, "this group has no conditions");
  }
  if (out->count > CONDITIONS_MAX) return false;
  if (out->count == CONDITIONS_MAX) {
    fb_doc_fail(loader->doc, item, loader->errors, FB_E_RULE_CONDITION, "",
                "a rule has at most %d conditions", CONDITIONS_MAX);
    out->count++;
    return false;
  }
  out->nodes[out->count++] = item;
  return true;
}

/* ── All of `when` ── */

static bool S_name_type(fb_rule_loader *loader, S_head *head, fb_rule_condition *condition) {
  condition->type = FB_RULE_NONE;
  fb_fact_type *type = fb_rule_type_named(loader, head->key, head->type, false);
  if (type) condition->type = type->id;
  return type != NULL;
}

static void S_bind(fb_rule_loader *loader, const fb_rule_condition *condition, uint32_t slot) {
  fb_ruleset *set = loader->set;
  char anonymous[24];
  snprintf(anonymous, sizeof anonymous, "@%u", (unsigned)slot);
  fb_slice name = condition->variable.len ? condition->variable : fb_slice_of(anonymous);
  const fb_cel_type *type = fb_cel_simple(FB_CEL_DYN);
  if (condition->type != FB_RULE_NONE)
    type = fb_cel_env_fact(loader->env, fb_schema_type(set->schema, condition->type));
  uint32_t at;
  if (!type || fb_cel_env_add(loader->env, name, type, &at) != FB_OK) loader->nomem = true;
}

static bool S_check_duplicate(fb_rule_loader *loader, const S_head *heads, uint32_t at) {
  for (uint32_t i = 0; i < at && heads[at].variable.len; i++) {
    if (!fb_slice_equal(heads[i].variable, heads[at].variable)) continue;
    fb_doc_fail(loader->doc, heads[at].key, loader->errors, FB_E_RULE_VARIABLE,
                "give each condition a name of its own",
                "the variable `%.*s` is bound already, on line %u", (int)heads[at].variable.len,
                heads[at].variable.ptr, (unsigned)heads[i].key->line);
    return false;
  }
  return true;
}

/* Gives every head its condition and its slot. */
static bool S_place_heads(fb_rule_loader *loader, S_head *heads, uint32_t count) {
  fb_rule *rule = loader->rule;
  for (uint32_t i = 0; i < count; i++) {
    if (!heads[i].key || heads[i].test) continue;
    fb_rule_condition *c = heads[i].condition = &rule->conditions[rule->condition_count];
    c->kind = heads[i].kind;
    c->slot_count = 1;
    c->node = heads[i].key;
    S_name_type(loader, &heads[i], c);
    if (S_check_duplicate(loader, heads, i) && heads[i].variable.len) {
      c->variable.ptr = fb_arena_text(&loader->set->arena, heads[i].variable);
      c->variable.len = c->variable.ptr ? heads[i].variable.len : 0;
      loader->nomem |= !c->variable.ptr;
    }
    if (c->kind == FB_WHEN_FACT) {
      if (rule->positive_count == FB_RULE_MAX_POSITIVE) {
        fb_doc_fail(loader->doc, c->node, loader->errors, FB_E_RULE_CONDITION,
                    "split the rule in two", "a rule joins at most %d facts", FB_RULE_MAX_POSITIVE);
        return false;
      }
      c->slot = rule->positive_count;
      rule->positives[rule->positive_count++] = rule->condition_count;
    } else {
      rule->guarded = true;
    }
    rule->condition_count++;
  }
  for (uint32_t i = 0; i < rule->condition_count; i++)
    if (rule->conditions[i].kind != FB_WHEN_FACT) rule->conditions[i].slot = rule->positive_count;
  return true;
}

static void S_load_heads(fb_rule_loader *loader, S_head *heads, uint32_t count) {
  fb_rule *rule = loader->rule;
  uint32_t bound = 0;
  /* In the order of the book, so that each sees the variables above it and no others. Slots of positives
   * stay in the environment; that of a `not` goes with it. */
  for (uint32_t i = 0; i < count && !loader->nomem; i++) {
    fb_rule_condition *c = heads[i].condition;
    if (!heads[i].key || (!c && !heads[i].test)) continue;
    if (c && c->kind == FB_WHEN_FACT) {
      S_bind(loader, c, bound++);
      S_load_expression(loader, heads, count, i);
      continue;
    }
    /* The slot of a `not` comes after those of all positives. */
    for (uint32_t pad = bound; c && pad < rule->positive_count; pad++) {
      fb_rule_condition later = {.type = FB_RULE_NONE};
      S_bind(loader, &later, pad);
    }
    if (c) S_bind(loader, c, rule->positive_count);
    S_load_expression(loader, heads, count, i);
    fb_cel_env_truncate(loader->env, bound);
  }
  for (uint32_t i = 0; i < rule->condition_count; i++)
    fb_rule_check_condition(loader, &rule->conditions[i]);
}

static void S_load_items(fb_rule_loader *loader, const S_items *items) {
  fb_ruleset *set = loader->set;
  fb_rule *rule = loader->rule;
  S_head *heads = fb_arena_zero(&set->arena, (items->count + 1) * sizeof *heads);
  rule->conditions = fb_arena_zero(&set->arena, (items->count + 1) * sizeof *rule->conditions);
  rule->positives =
      fb_arena_zero(&set->arena, (FB_RULE_MAX_POSITIVE + 1) * sizeof *rule->positives);
  if (!heads || !rule->conditions || !rule->positives) {
    loader->nomem = true;
    return;
  }
  for (uint32_t i = 0; i < items->count; i++)
    if (!S_parse_head(loader, items->nodes[i], &heads[i]))
      heads[i] = (S_head){.variable = heads[i].variable};
  if (S_place_heads(loader, heads, items->count)) S_load_heads(loader, heads, items->count);
}

void fb_rule_load_conditions(fb_rule_loader *loader, const fb_node *when, uint32_t variant) {
  S_items items = {0};
  if (S_ways(when, 0) > FB_RULE_MAX_VARIANTS) {
    fb_doc_fail(loader->doc, when, loader->errors, FB_E_RULE_CONDITION, "split the rule",
                "the branches of `any` make more than %d rules", FB_RULE_MAX_VARIANTS);
    return;
  }
  items.nodes = fb_alloc(loader->set->allocator, CONDITIONS_MAX * sizeof *items.nodes);
  if (!items.nodes) {
    loader->nomem = true;
  } else {
    S_flatten_list(loader, when, variant, 0,
                   &items); /* what is wrong in one does not hide the others */
    if (items.count <= CONDITIONS_MAX) S_load_items(loader, &items);
  }
  fb_free(loader->set->allocator, items.nodes, CONDITIONS_MAX * sizeof *items.nodes);
}
