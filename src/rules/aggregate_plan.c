/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates while they are loaded. The expressions are read with the aggregated fact in the slot of the condition; then the
 * result takes its place, and what related the fact to others by an equality relates the result's key to them.
 */
#include "rules/aggregate.h"

#include <stdio.h>

/* ── Which ones there are ── */

/* What makes two the same: every word of them, that both or none is of a rule that is switched off, and, where names may stand
 * for constants, the variant and what is empty in it. */
static fb_slice S_text(fb_rule_loader *loader, const fb_rule_item *item) {
  const fb_node *value = item->value;
  fb_buf text;
  fb_buf_init(&text, loader->set->allocator, 0);
  fb_buf_add(&text, fb_node_text(item->key).ptr, fb_node_text(item->key).len);
  fb_buf_printf(&text, "\n%d\n", loader->rule->info.enabled);
  if (item->constants)
    fb_buf_printf(&text, "%u.%u", (unsigned)loader->rule->number, (unsigned)item->constants);
  fb_buf_char(&text, '\n');
  if (value && value->kind == FB_STRING)
    fb_buf_add(&text, fb_node_text(value).ptr, fb_node_text(value).len);
  else if (value)
    fb_buf_printf(&text, "\n%u", (unsigned)value->offset);
  char *copy = text.failed ? NULL : fb_arena_text(&loader->set->arena, fb_buf_slice(&text));
  fb_slice kept = {copy, copy ? text.len : 0};
  loader->nomem |= !copy;
  fb_buf_release(&text);
  return kept;
}

static fb_rule_aggregate *S_new(fb_rule_loader *loader, const fb_rule_item *item, fb_slice text) {
  fb_ruleset *set = loader->set;
  fb_rule_aggregate *aggregate = fb_arena_zero(&set->arena, sizeof *aggregate);
  fb_fact_type *source = fb_rule_type_named(loader, item->key, item->head->type, false);
  if (!aggregate || !fb_rule_push(set, (void **)&set->aggregates, &set->aggregate_cap,
                                  set->aggregate_count, sizeof(fb_rule_aggregate *))) {
    loader->nomem = true;
    return NULL;
  }
  if (!source) return NULL;
  char name[24];
  fb_fact_type *type;
  snprintf(name, sizeof name, "@%u", (unsigned)set->aggregate_count);
  if (fb_schema_open(set->schema, fb_slice_of(name), &type) != FB_OK) {
    loader->nomem = true;
    return NULL;
  }
  aggregate->number = set->aggregate_count;
  aggregate->rule = loader->rule->number;
  aggregate->node = item->key;
  aggregate->text = text;
  aggregate->constants = item->constants != 0;
  aggregate->head = item->head;
  aggregate->type = type->id;
  aggregate->source = (fb_rule_condition){.kind = FB_WHEN_FACT,
                                          .type = source->id,
                                          .slot_count = 1,
                                          .variable = item->head->variable,
                                          .node = item->key,
                                          .port = FB_RULE_NONE};
  set->aggregates[set->aggregate_count++] = aggregate;
  return aggregate;
}

fb_rule_aggregate *fb_aggregate_of(fb_rule_loader *loader, const fb_rule_item *item) {
  const fb_ruleset *set = loader->set;
  fb_slice text = S_text(loader, item);
  if (!text.ptr) return NULL;
  for (uint32_t i = 0; i < set->aggregate_count; i++)
    if (fb_slice_equal(set->aggregates[i]->text, text)) return set->aggregates[i];
  return S_new(loader, item, text);
}

static bool S_has(const fb_aggregate_part *parts, uint32_t count, fb_slice name) {
  for (uint32_t i = 0; i < count; i++)
    if (fb_slice_equal(parts[i].variable, name)) return true;
  return false;
}

bool fb_aggregate_names(const fb_rule_condition *condition, fb_slice name) {
  const fb_aggregate_head *head = condition->aggregate ? condition->aggregate->head : NULL;
  return head && name.len &&
         (S_has(head->folds, head->fold_count, name) || S_has(head->by, head->by_count, name) ||
          fb_slice_equal(head->window.variable, name));
}

/* ── Expressions ── */

/* An equality with other conditions, of which one side reads the fact only. */
typedef struct S_equality {
  fb_ast *ast;
  uint32_t side;
} S_equality;

typedef struct S_load {
  fb_rule_loader *loader;
  const fb_rule_item *item;
  fb_rule_aggregate *aggregate;
  fb_rule_condition
      *source;  /* the aggregate's, or, if that has been loaded before, one that is forgotten */
  uint64_t own; /* the bit of its slot */
  fb_cel_expr *expr; /* of the condition; NULL: none */
  S_equality equalities[FB_AGGREGATE_EQUALITIES];
  uint32_t equality_count;
} S_load;

static void S_fail_at(S_load *load, const fb_node *node, const fb_ast *ast, const char *hint,
                      const char *what) {
  fb_rule_loader *loader = load->loader;
  fb_error err;
  fb_fail(&err, FB_E_RULE_AGGREGATE, "%s", what);
  fb_error_hint(&err, "%s", hint);
  fb_doc_relocate(loader->doc, node, ast->offset, ast->length, &err);
  fb_errors_add(loader->errors, &err);
}

static fb_cel_expr *S_parse(S_load *load, const fb_node *node, fb_slice source, size_t from,
                            size_t to, fb_cel_kind want) {
  fb_rule_loader *loader = load->loader;
  fb_errors found;
  fb_errors_init(&found, loader->set->allocator, 0);
  fb_cel_options options = {.name = fb_doc_name(loader->doc),
                            .want = want == FB_CEL_DYN ? NULL : fb_cel_simple(want),
                            .doc = loader->doc,
                            .node = node,
                            .node_offset = from};
  fb_cel_expr *expr = NULL;
  fb_status status =
      fb_cel_parse(loader->env, (fb_slice){source.ptr + from, to - from}, &options, &expr, &found);
  if (status == FB_E_NOMEM) loader->nomem = true;
  fb_rule_report(loader, &found);
  fb_errors_release(&found);
  return status == FB_OK ? expr : NULL;
}

/* Types that have parts belong to the expression. */
static const fb_cel_type *S_kept_type(const fb_cel_type *type) {
  switch (type ? type->kind : FB_CEL_DYN) {
    case FB_CEL_BOOL:
    case FB_CEL_INT:
    case FB_CEL_UINT:
    case FB_CEL_DOUBLE:
    case FB_CEL_STRING:
    case FB_CEL_BYTES:
    case FB_CEL_TIMESTAMP:
    case FB_CEL_DURATION: return fb_cel_simple(type->kind);
    default: return fb_cel_simple(FB_CEL_DYN);
  }
}

/* An expression of the head. */
static void S_load_input(S_load *load, const fb_aggregate_part *part, fb_rule_input *out,
                         const fb_cel_type **ret_type) {
  const fb_node *key = load->item->key;
  *ret_type = fb_cel_simple(FB_CEL_DYN);
  if (part->to == part->from) return;
  fb_cel_expr *expr = S_parse(load, key, fb_node_text(key), part->from, part->to, FB_CEL_DYN);
  if (!expr) return;
  uint64_t reads = 0;
  fb_ast_reads(expr->root, &reads, 1);
  expr->root->offset += part->from;
  if (reads & ~load->own)
    S_fail_at(load, key, expr->root, "with other facts it may be related after the colon",
              "the functions of an aggregate read the facts that are aggregated, and no others");
  else
    fb_rule_take_input(load->loader, expr, expr->root, key, out);
  *ret_type = S_kept_type(expr->root->type);
  fb_cel_expr_free(expr);
}

/* ── Folds ── */

static bool S_is_number(fb_cel_kind kind) {
  return kind == FB_CEL_INT || kind == FB_CEL_UINT || kind == FB_CEL_DOUBLE || kind == FB_CEL_DYN;
}

static const fb_cel_type *S_fold_type(fb_rule_loader *loader, uint8_t fold, const fb_cel_type *of) {
  switch (fold) {
    case FB_FOLD_COUNT:
    case FB_FOLD_DISTINCT: return fb_cel_simple(FB_CEL_INT);
    case FB_FOLD_STDDEV:
    case FB_FOLD_SKETCH: return fb_cel_simple(FB_CEL_DOUBLE);
    case FB_FOLD_AVG:
      return of->kind == FB_CEL_DURATION || of->kind == FB_CEL_DYN ? of
                                                                   : fb_cel_simple(FB_CEL_DOUBLE);
    case FB_FOLD_COLLECT: return fb_cel_env_list(loader->env, of);
    default: return of;
  }
}

static void S_check_fold(S_load *load, const fb_aggregate_part *part, const fb_cel_type *of) {
  bool sums = part->fold == FB_FOLD_SUM || part->fold == FB_FOLD_AVG;
  bool numbers = sums || part->fold == FB_FOLD_STDDEV || part->fold == FB_FOLD_SKETCH;
  if (!numbers || S_is_number(of->kind) || (sums && of->kind == FB_CEL_DURATION)) return;
  fb_buf name;
  char what[200];
  fb_buf_init(&name, load->loader->set->allocator, 100);
  fb_cel_type_write(of, &name);
  snprintf(what, sizeof what, "`%s` takes numbers%s, this is %.*s", fb_fold_name(part->fold),
           sums ? " and durations" : "", (int)name.len, name.ptr ? name.ptr : "");
  fb_buf_release(&name);
  const fb_ast place = {.offset = part->from, .length = part->to - part->from};
  S_fail_at(load, load->item->key, &place, "", what);
}

static void S_load_folds(S_load *load, fb_rule_fold *folds) {
  const fb_aggregate_head *head = load->item->head;
  for (uint32_t i = 0; i < head->fold_count; i++) {
    const fb_aggregate_part *part = &head->folds[i];
    const fb_cel_type *of;
    folds[i] = (fb_rule_fold){.kind = part->fold, .rank = part->rank, .name = part->variable};
    S_load_input(load, part, &folds[i].input, &of);
    S_check_fold(load, part, of);
    folds[i].type = S_fold_type(load->loader, part->fold, of);
    load->loader->nomem |= !folds[i].type;
  }
}

/* ── The condition: tests of the fact, and equalities ── */

static void S_take_conjunct(S_load *load, fb_ast *ast) {
  fb_rule_loader *loader = load->loader;
  const fb_node *node = load->item->value;
  uint64_t reads = 0, side[2] = {0, 0};
  fb_ast_reads(ast, &reads, 1);
  if (!(reads & ~load->own)) {
    fb_rule_take(loader, load->source, NULL, load->expr, ast, node);
    return;
  }
  bool equal = ast->kind == FB_AST_CALL && ast->count == 2 && !ast->member &&
               fb_slice_equal(ast->name, FB_SLICE("_==_"));
  for (uint32_t i = 0; i < 2 && equal; i++) fb_ast_reads(ast->args[i], &side[i], 1);
  for (uint32_t i = 0; i < 2 && equal; i++) {
    if (side[i] != load->own || side[1 - i] & load->own) continue;
    if (load->equality_count == FB_AGGREGATE_EQUALITIES) break;
    load->equalities[load->equality_count++] = (S_equality){ast, i};
    return;
  }
  if (reads & load->own)
    S_fail_at(load, node, ast, "let a rule assert the pairs, `logical: true`, and aggregate those",
              "an aggregate is related to other facts by at most 8 equalities, as in "
              "`l.user == u.id`, and by nothing else");
  else
    S_fail_at(load, node, ast, "put it into a `test:` or the pattern that it reads",
              "this says nothing about the facts that are aggregated");
}

/* Recursion is bounded by the depth of expressions. */
static void S_take(S_load *load, fb_ast *ast) {
  if (ast->kind != FB_AST_AND) {
    S_take_conjunct(load, ast);
    return;
  }
  for (uint32_t i = 0; i < ast->count; i++) S_take(load, ast->args[i]);
}

static void S_load_condition(S_load *load) {
  const fb_node *node = load->item->value;
  if (!node || (node->kind == FB_BOOL && node->as.scalar.as.b)) return;
  if (node->kind != FB_STRING) {
    fb_doc_fail(load->loader->doc, node, load->loader->errors, FB_E_RULE_CONDITION,
                "as in `order as o: o.amount > 10.0`", "an expression is text, not %s",
                fb_node_describe(node));
    return;
  }
  fb_slice text = fb_node_text(node);
  load->expr = S_parse(load, node, text, 0, text.len, FB_CEL_BOOL);
  if (load->expr) S_take(load, load->expr->root);
}

/* Keys: a side of each equality, then `by`. */
static void S_load_keys(S_load *load, fb_rule_input *keys, fb_slice *names,
                        const fb_cel_type **types) {
  const fb_aggregate_head *head = load->item->head;
  uint32_t count = load->equality_count;
  for (uint32_t i = 0; i < count; i++) {
    const fb_ast *side = load->equalities[i].ast->args[load->equalities[i].side];
    fb_rule_take_input(load->loader, load->expr, side, load->item->value, &keys[i]);
    names[i] = (fb_slice){"", 0};
    types[i] = S_kept_type(side->type);
  }
  for (uint32_t i = 0; i < head->by_count; i++) {
    S_load_input(load, &head->by[i], &keys[count + i], &types[count + i]);
    names[count + i] = head->by[i].variable;
  }
}

/* ── Results ── */

static fb_slice S_field(uint32_t number, char name[24]) {
  snprintf(name, 24, "f%u", (unsigned)number);
  return fb_slice_of(name);
}

/* The field that has the times, which is watched like one that is read. */
static void S_load_window(S_load *load) {
  fb_rule_loader *loader = load->loader;
  fb_rule_window *window = &load->aggregate->window;
  fb_schema *schema = loader->set->schema;
  *window = load->item->head->window;
  if (window->kind == FB_WINDOW_NONE || window->kind == FB_WINDOW_LAST) return;
  fb_fact_type *type = fb_schema_type(schema, load->source->type);
  if (fb_rule_time_field(loader, load->item->key, type, window->name, &window->field))
    fb_rule_demand(loader, load->source, window->field, false);
}

static void S_finish(S_load *load) {
  fb_rule_loader *loader = load->loader;
  fb_rule_aggregate *aggregate = load->aggregate;
  fb_schema *schema = loader->set->schema;
  aggregate->key_count = load->equality_count + load->item->head->by_count;
  aggregate->fold_count = load->item->head->fold_count;
  aggregate->loaded = true;
  bool starts = aggregate->window.variable.len != 0;
  for (uint32_t i = 0; i < aggregate->key_count + aggregate->fold_count + starts; i++) {
    char name[24];
    uint32_t field;
    if (fb_fact_type_learn(schema, fb_schema_type(schema, aggregate->type), S_field(i, name),
                           &field) != FB_OK)
      loader->nomem = true;
  }
  fb_rule_check_condition(loader, load->source);
}

/* The result's key in place of the side that read the fact. */
static void S_relate(S_load *load, uint32_t number) {
  fb_rule_loader *loader = load->loader;
  fb_rule_condition *c = load->item->condition;
  const S_equality *equality = &load->equalities[number];
  const fb_ast *side = equality->ast->args[equality->side];
  fb_arena *arena = &load->expr->arena;
  fb_ast *select = fb_arena_zero(arena, sizeof *select), *of = fb_arena_zero(arena, sizeof *of),
         **args = fb_arena_zero(arena, sizeof *args);
  char name[24], *field = fb_arena_text(arena, S_field(number, name));
  if (!select || !of || !args || !field) {
    loader->nomem = true;
    return;
  }
  *of = (fb_ast){.kind = FB_AST_NAME,
                 .offset = side->offset,
                 .length = side->length,
                 .type = fb_cel_simple(FB_CEL_DYN),
                 .slot = c->slot,
                 .depth = 1,
                 .field = -1,
                 .at = side->at,
                 .span = side->span};
  *select = *of;
  select->kind = FB_AST_SELECT;
  select->type = side->type;
  select->name = fb_slice_of(field);
  select->depth = 2;
  args[0] = of;
  select->args = args;
  select->count = 1;
  equality->ast->args[equality->side] = select;
  fb_rule_take(loader, c, c->group, load->expr, equality->ast, load->item->value);
}

/* What folds tell is part of the match; a fold that tells nothing keeps the group from being one. */
static void S_name_values(fb_rule_loader *loader, fb_rule_condition *c) {
  const fb_rule_aggregate *aggregate = c->aggregate;
  char name[24];
  for (uint32_t i = 0; i < aggregate->key_count; i++)
    if (aggregate->key_names[i].len &&
        fb_cel_env_add_field(loader->env, aggregate->key_names[i], c->slot, S_field(i, name),
                             aggregate->key_types[i]) != FB_OK)
      loader->nomem = true;
  for (uint32_t i = 0; i < aggregate->fold_count; i++) {
    const fb_rule_fold *fold = &aggregate->folds[i];
    uint32_t field = aggregate->key_count + i;
    bool sure = fold->kind == FB_FOLD_COUNT || fold->kind == FB_FOLD_COLLECT;
    fb_rule_demand(loader, c, field, !sure);
    if (fb_cel_env_add_field(loader->env, fold->name, c->slot, S_field(field, name), fold->type) !=
        FB_OK)
      loader->nomem = true;
  }
  fb_slice start = S_field(aggregate->key_count + aggregate->fold_count, name);
  if (aggregate->window.variable.len &&
      fb_cel_env_add_field(loader->env, aggregate->window.variable, c->slot, start,
                           fb_cel_simple(FB_CEL_TIMESTAMP)) != FB_OK)
    loader->nomem = true;
}

/* Where the same aggregate was loaded before, what its expressions make is made once more and forgotten. */
static void S_load_all(S_load *load) {
  fb_rule_aggregate *aggregate = load->aggregate;
  if (!aggregate->loaded) {
    load->source = &aggregate->source;
    load->source->slot = load->item->condition->slot;
    fb_rule_bind(load->loader, load->source);
    S_load_window(load);
    S_load_folds(load, aggregate->folds);
    S_load_condition(load);
    S_load_keys(load, aggregate->keys, aggregate->key_names, aggregate->key_types);
    S_finish(load);
    return;
  }
  fb_rule_condition source = {.kind = FB_WHEN_FACT,
                              .type = aggregate->source.type,
                              .slot = load->item->condition->slot,
                              .slot_count = 1,
                              .variable = aggregate->source.variable,
                              .node = load->item->key};
  load->source = &source;
  fb_rule_bind(load->loader, load->source);
  S_load_condition(load);
  load->source = NULL;
}

void fb_aggregate_load(fb_rule_loader *loader, const fb_rule_item *item) {
  fb_rule_condition *c = item->condition;
  S_load load = {.loader = loader, .item = item, .own = UINT64_C(1) << c->slot};
  if (!c->aggregate) {
    fb_rule_bind(loader, c);
    return;
  }
  load.aggregate = loader->set->aggregates[c->aggregate->number];
  uint32_t bound = fb_cel_env_slots(loader->env);
  S_load_all(&load);
  fb_cel_env_truncate(loader->env, bound);
  fb_rule_bind(loader, c);
  for (uint32_t i = 0; i < load.equality_count && !loader->nomem; i++) S_relate(&load, i);
  if (load.expr) fb_cel_expr_free(load.expr);
  if (!item->empty) S_name_values(loader, c);
}

void fb_aggregate_bind_empty(fb_rule_loader *loader, const fb_rule_item *item) {
  item = fb_rule_empty_item(item);
  const fb_rule_aggregate *aggregate = item->condition ? item->condition->aggregate : NULL;
  loader->constants = true;
  for (uint32_t i = 0; aggregate && i < aggregate->fold_count; i++) {
    const fb_rule_fold *fold = &aggregate->folds[i];
    if (fb_cel_env_add_constant(loader->env, fold->name, fb_fold_of_none(fold), fold->type) !=
        FB_OK)
      loader->nomem = true;
  }
}
