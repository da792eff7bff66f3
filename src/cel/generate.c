/* SPDX-License-Identifier: Apache-2.0
 * Tree → instructions. */
#include "cel/generate.h"

/* ── Parts ───────────────────────────────────────────────────────────────────────────────────── */

static void S_fail(fb_generator *g, fb_status status) {
  if (!g->status) g->status = status;
}

uint32_t fb_gen_emit(fb_generator *g, const fb_ast *ast, fb_cel_op op, uint32_t a, uint32_t b,
                     uint32_t c, int32_t d) {
  const fb_allocator *allocator = g->env->allocator;
  if (g->status) return 0;
  if (g->code_count == FB_CODE_MAX)
    S_fail(g, FB_E_CEL_TOO_LARGE);
  else if (!fb_grow(allocator, (void **)&g->code, &g->code_cap, g->code_count, sizeof *g->code) ||
           !fb_grow(allocator, (void **)&g->spans, &g->span_cap, g->code_count, sizeof *g->spans))
    S_fail(g, FB_E_NOMEM);
  if (g->status) return 0;
  g->spans[g->code_count] = (fb_cel_span){ast->at, ast->span};
  g->code[g->code_count] = (fb_cel_ins){(uint16_t)op, (uint16_t)a, (uint16_t)b, (uint16_t)c, d};
  return g->code_count++;
}

void fb_gen_land(fb_generator *g, uint32_t at) {
  if (!g->status) g->code[at].d = (int32_t)g->code_count;
}

uint16_t fb_gen_regs(fb_generator *g, uint32_t count) {
  uint32_t first = g->next_reg;
  if (first + count > FB_OPERAND_MAX) {
    S_fail(g, FB_E_CEL_TOO_LARGE);
    return 0;
  }
  g->next_reg += count;
  if (g->next_reg > g->reg_count) g->reg_count = g->next_reg;
  return (uint16_t)first;
}

static bool S_same_const(fb_value a, fb_value b) {
  if (a.kind != b.kind || a.len != b.len) return false;
  if (a.kind == FB_STRING || a.kind == FB_BYTES || a.kind == FB_TYPE) return fb_value_equal(a, b);
  return a.as.u == b.as.u;
}

static uint16_t S_add_const(fb_generator *g, fb_value value) {
  if (g->const_count == FB_OPERAND_MAX)
    S_fail(g, FB_E_CEL_TOO_LARGE);
  else if (!fb_grow(g->env->allocator, (void **)&g->consts, &g->const_cap, g->const_count,
                    sizeof *g->consts))
    S_fail(g, FB_E_NOMEM);
  if (g->status) return FB_OPERAND_CONST;
  g->consts[g->const_count] = value;
  return (uint16_t)(FB_OPERAND_CONST + g->const_count++);
}

uint16_t fb_gen_const(fb_generator *g, fb_value value) {
  enum { LOOK_BACK = 64 }; /* sharing is for memory only: no need to search them all */
  uint32_t from = g->const_count > LOOK_BACK ? g->const_count - LOOK_BACK : 0;
  for (uint32_t i = from; i < g->const_count; i++)
    if (S_same_const(g->consts[i], value)) return (uint16_t)(FB_OPERAND_CONST + i);
  if (fb_value_copy(&g->program->arena, value, &value)) S_fail(g, FB_E_NOMEM);
  return S_add_const(g, value);
}

static int32_t S_access(fb_generator *g, const fb_ast *ast) {
  if (!fb_grow(g->env->allocator, (void **)&g->accesses, &g->access_cap, g->access_count,
               sizeof *g->accesses)) {
    S_fail(g, FB_E_NOMEM);
    return 0;
  }
  fb_value name = fb_string(ast->name);
  if (fb_value_copy(&g->program->arena, name, &name)) S_fail(g, FB_E_NOMEM);
  g->accesses[g->access_count] = (fb_cel_access){name, ast->field};
  return (int32_t)g->access_count++;
}

/* ── Constants ───────────────────────────────────────────────────────────────────────────────── */

static bool S_fold_list(fb_generator *g, const fb_ast *ast, fb_value *ret_value) {
  fb_list *list = fb_list_new(&g->program->arena, ast->count);
  if (!list) return false;
  for (uint32_t i = 0; i < ast->count; i++) {
    fb_value item;
    if (!fb_gen_fold(g, ast->args[i], &item) || !fb_list_push(list, &g->program->arena, item))
      return false;
  }
  *ret_value = fb_list_value(list);
  return true;
}

static bool S_fold_map(fb_generator *g, const fb_ast *ast, fb_value *ret_value) {
  fb_map *map = fb_map_new(&g->program->arena, ast->count / 2);
  if (!map) return false;
  for (uint32_t i = 0; i < ast->count; i += 2) {
    fb_value key, value;
    bool replaced = false;
    if (!fb_gen_fold(g, ast->args[i], &key) || !fb_gen_fold(g, ast->args[i + 1], &value))
      return false;
    if (key.kind != FB_BOOL && key.kind != FB_INT && key.kind != FB_UINT && key.kind != FB_STRING)
      return false;
    if (!fb_map_put(map, &g->program->arena, key, value, &replaced) || replaced) return false;
  }
  *ret_value = fb_map_value(map);
  return true;
}

/* Are all leaves constants? Asked first, so that nothing is built in vain. */
static bool S_is_constant(const fb_ast *ast) {
  if (ast->kind == FB_AST_CONST) return true;
  if ((ast->kind != FB_AST_LIST && ast->kind != FB_AST_MAP) || ast->optional_args) return false;
  for (uint32_t i = 0; i < ast->count; i++)
    if (!S_is_constant(ast->args[i])) return false;
  return true;
}

bool fb_gen_fold(fb_generator *g, const fb_ast *ast, fb_value *ret_value) {
  if (ast->kind == FB_AST_LIST) return S_fold_list(g, ast, ret_value);
  if (ast->kind == FB_AST_MAP) return S_fold_map(g, ast, ret_value);
  return fb_value_copy(&g->program->arena, ast->value, ret_value) == FB_OK;
}

/* A long constant list that is only asked `x in list` becomes a map: one probe instead of a search. */
static fb_value S_as_set(fb_generator *g, fb_value value) {
  if (value.kind != FB_LIST || value.as.list->len <= 8) return value;
  const fb_list *list = value.as.list;
  fb_map *map = fb_map_new(&g->program->arena, list->len);
  for (uint32_t i = 0; map && i < list->len; i++) {
    uint8_t kind = list->items[i].kind;
    if (kind != FB_STRING && kind != FB_INT && kind != FB_UINT && kind != FB_BOOL) return value;
    if (!fb_map_put(map, &g->program->arena, list->items[i], fb_null(), NULL)) return value;
  }
  return map ? fb_map_value(map) : value;
}

/* ── Expressions ─────────────────────────────────────────────────────────────────────────────── */

uint16_t fb_gen_operand(fb_generator *g, const fb_ast *ast, uint16_t spare) {
  fb_value value;
  if (ast->kind == FB_AST_CONST) return fb_gen_const(g, ast->value);
  if (ast->kind == FB_AST_NAME && ast->local) return g->locals[ast->slot];
  if (ast->kind == FB_AST_NAME && ast->slot < FB_OPERAND_MAX)
    return (uint16_t)(FB_OPERAND_SLOT + ast->slot);
  if ((ast->kind == FB_AST_LIST || ast->kind == FB_AST_MAP) && S_is_constant(ast) &&
      fb_gen_fold(g, ast, &value))
    return S_add_const(g, value);
  fb_gen_into(g, ast, spare);
  return spare;
}

static void S_name(fb_generator *g, const fb_ast *ast, uint16_t into) {
  if (ast->slot == FB_AST_NO_SLOT) {
    fb_gen_emit(g, ast, FB_OP_FAIL, into, 0, fb_gen_const(g, fb_string(ast->name)), 0);
    return;
  }
  if (!ast->local && ast->slot >= FB_OPERAND_MAX) S_fail(g, FB_E_CEL_TOO_LARGE);
  fb_gen_emit(g, ast, FB_OP_MOVE, into, fb_gen_operand(g, ast, into), 0, 0);
}

static void S_select(fb_generator *g, const fb_ast *ast, uint16_t into) {
  uint16_t of = fb_gen_operand(g, ast->args[0], into);
  fb_cel_op op = ast->test_only    ? FB_OP_HAS
                 : ast->optional   ? FB_OP_SELECT_OPT
                 : ast->field >= 0 ? FB_OP_FIELD
                                   : FB_OP_SELECT;
  fb_gen_emit(g, ast, op, into, of, 0, S_access(g, ast));
}

static void S_unary(fb_generator *g, const fb_ast *ast, fb_cel_op op, uint16_t into) {
  fb_gen_emit(g, ast, op, into, fb_gen_operand(g, ast->args[0], into), 0, 0);
}

static bool S_is_field(const fb_ast *ast) {
  return ast->kind == FB_AST_SELECT && ast->field >= 0 && !ast->test_only && !ast->optional;
}

/* `5 < o.x` is `o.x > 5`: the field comes first, where the fused instruction has it. */
static fb_cel_op S_mirrored(fb_cel_op op) {
  switch (op) {
    case FB_OP_LT: return FB_OP_GT;
    case FB_OP_LE: return FB_OP_GE;
    case FB_OP_GT: return FB_OP_LT;
    case FB_OP_GE: return FB_OP_LE;
    default: return op;
  }
}

static void S_compare(fb_generator *g, const fb_ast *ast, fb_cel_op op, uint16_t into) {
  uint32_t mark = g->next_reg;
  bool swap = !S_is_field(ast->args[0]);
  const fb_ast *field = ast->args[swap], *other = ast->args[!swap];
  uint16_t of = fb_gen_operand(g, field->args[0], into);
  uint16_t with = fb_gen_operand(g, other, fb_gen_regs(g, 1));
  fb_gen_emit(g, ast, FB_OP_FIELD_EQ + ((swap ? S_mirrored(op) : op) - FB_OP_EQ), into, of, with,
              S_access(g, field));
  g->next_reg = mark;
}

static void S_binary(fb_generator *g, const fb_ast *ast, fb_cel_op op, uint16_t into) {
  uint32_t mark = g->next_reg;
  const fb_ast *left = ast->args[0];
  if (op >= FB_OP_EQ && op <= FB_OP_GE && (S_is_field(left) || S_is_field(ast->args[1])))
    return S_compare(g, ast, op, into);
  uint16_t a = fb_gen_operand(g, left, into);
  fb_value set;
  uint16_t b;
  if (op == FB_OP_IN && ast->args[1]->kind == FB_AST_LIST && S_is_constant(ast->args[1]) &&
      fb_gen_fold(g, ast->args[1], &set))
    b = S_add_const(g, S_as_set(g, set));
  else
    b = fb_gen_operand(g, ast->args[1], fb_gen_regs(g, 1));
  fb_gen_emit(g, ast, op, into, a, b, 0);
  g->next_reg = mark;
}

static void S_candidates(fb_generator *g, const fb_ast *ast, fb_cel_call *call) {
  fb_arena *arena = &g->program->arena;
  uint32_t cap = 0;
  for (const fb_cel_signature *sig = ast->function; sig; sig = sig->next)
    cap += fb_cel_signature_takes(sig, ast->member, ast->count);
  fb_cel_candidate *candidates = fb_arena_zero(arena, (cap + 1) * sizeof *candidates);
  char *name = fb_arena_text(arena, ast->name);
  if (!candidates || !name) return S_fail(g, FB_E_NOMEM);
  *call =
      (fb_cel_call){.name = {name, ast->name.len}, .candidates = candidates, .member = ast->member};
  for (const fb_cel_signature *sig = ast->function; sig; sig = sig->next) {
    if (!fb_cel_signature_takes(sig, ast->member, ast->count)) continue;
    const uint32_t *masks = fb_arena_copy(arena, sig->masks, (sig->count + 1) * sizeof *masks);
    if (!masks) return S_fail(g, FB_E_NOMEM);
    candidates[call->count++] = (fb_cel_candidate){sig->overload->function, masks, sig->count};
  }
}

static void S_call_function(fb_generator *g, const fb_ast *ast, uint16_t into) {
  uint32_t mark = g->next_reg;
  if (!ast->function) {
    fb_gen_emit(g, ast, FB_OP_FAIL, into, 0, fb_gen_const(g, fb_string(ast->name)), 1);
    return;
  }
  uint16_t first;
  if (ast->count == 1) {
    first = fb_gen_operand(g, ast->args[0], into);
  } else {
    first = fb_gen_regs(g, ast->count);
    for (uint32_t i = 0; i < ast->count; i++) fb_gen_into(g, ast->args[i], (uint16_t)(first + i));
  }
  if (!fb_grow(g->env->allocator, (void **)&g->calls, &g->call_cap, g->call_count,
               sizeof *g->calls))
    return S_fail(g, FB_E_NOMEM);
  fb_cel_call call = {0};
  S_candidates(g, ast, &call);
  if (g->status) return;
  g->calls[g->call_count] = call;
  fb_gen_emit(g, ast, FB_OP_CALL, into, first, ast->count, (int32_t)g->call_count++);
  g->next_reg = mark;
}

static void S_call(fb_generator *g, const fb_ast *ast, uint16_t into) {
  static const struct {
    const char *name;
    fb_cel_op op;
  } operators[] = {{"_+_", FB_OP_ADD}, {"_-_", FB_OP_SUB},  {"_*_", FB_OP_MUL}, {"_/_", FB_OP_DIV},
                   {"_%_", FB_OP_MOD}, {"_==_", FB_OP_EQ},  {"_!=_", FB_OP_NE}, {"_<_", FB_OP_LT},
                   {"_<=_", FB_OP_LE}, {"_>_", FB_OP_GT},   {"_>=_", FB_OP_GE}, {"@in", FB_OP_IN},
                   {"!_", FB_OP_NOT},  {"-_", FB_OP_NEGATE}};
  for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
    if (!fb_slice_equal(ast->name, fb_slice_of(operators[i].name))) continue;
    if (ast->count == 1)
      S_unary(g, ast, operators[i].op, into);
    else
      S_binary(g, ast, operators[i].op, into);
    return;
  }
  S_call_function(g, ast, into);
}

static void S_logic(fb_generator *g, const fb_ast *ast, uint16_t into) {
  bool is_and = ast->kind == FB_AST_AND;
  uint32_t mark = g->next_reg;
  fb_gen_into(g, ast->args[0], into);
  uint32_t jump = fb_gen_emit(g, ast, is_and ? FB_OP_JUMP_FALSE : FB_OP_JUMP_TRUE, into, 0, 0, 0);
  uint16_t right = fb_gen_operand(g, ast->args[1], fb_gen_regs(g, 1));
  fb_gen_emit(g, ast, is_and ? FB_OP_AND : FB_OP_OR, into, right, 0, 0);
  fb_gen_land(g, jump);
  g->next_reg = mark;
}

static void S_condition(fb_generator *g, const fb_ast *ast, uint16_t into) {
  uint16_t test = fb_gen_operand(g, ast->args[0], into);
  uint32_t branch = fb_gen_emit(g, ast->args[0], FB_OP_BRANCH, into, test, 0, 0);
  uint32_t failed = fb_gen_emit(g, ast, FB_OP_JUMP, 0, 0, 0, 0);
  fb_gen_into(g, ast->args[1], into);
  uint32_t done = fb_gen_emit(g, ast, FB_OP_JUMP, 0, 0, 0, 0);
  fb_gen_land(g, branch);
  fb_gen_into(g, ast->args[2], into);
  fb_gen_land(g, failed);
  fb_gen_land(g, done);
}

static void S_list(fb_generator *g, const fb_ast *ast, uint16_t into) {
  uint32_t mark = g->next_reg;
  uint16_t spare = fb_gen_regs(g, 1);
  fb_gen_emit(g, ast, FB_OP_LIST, into, 0, 0, (int32_t)ast->count);
  for (uint32_t i = 0; i < ast->count; i++) {
    bool optional = i < 64 && (ast->optional_args >> i & 1);
    fb_gen_emit(g, ast->args[i], optional ? FB_OP_APPEND_OPT : FB_OP_APPEND, into,
                fb_gen_operand(g, ast->args[i], spare), 0, 0);
  }
  g->next_reg = mark;
}

static void S_map(fb_generator *g, const fb_ast *ast, uint16_t into) {
  uint32_t mark = g->next_reg;
  uint16_t spare = fb_gen_regs(g, 2);
  fb_gen_emit(g, ast, FB_OP_MAP, into, 0, 0, (int32_t)(ast->count / 2));
  for (uint32_t i = 0; i < ast->count; i += 2) {
    bool optional = i < 128 && (ast->optional_args >> i / 2 & 1);
    uint16_t key = fb_gen_operand(g, ast->args[i], spare);
    uint16_t value = fb_gen_operand(g, ast->args[i + 1], (uint16_t)(spare + 1));
    fb_gen_emit(g, ast->args[i], optional ? FB_OP_PUT_OPT : FB_OP_PUT, into, key, value, 0);
  }
  g->next_reg = mark;
}

static void S_bind(fb_generator *g, const fb_ast *ast, uint16_t into) {
  uint32_t mark = g->next_reg;
  uint16_t local = fb_gen_regs(g, 1);
  fb_gen_into(g, ast->args[0], local);
  g->locals[ast->loop->locals[0]] = local;
  fb_gen_into(g, ast->args[1], into);
  g->next_reg = mark;
}

static void S_index(fb_generator *g, const fb_ast *ast, uint16_t into) {
  uint32_t mark = g->next_reg;
  uint16_t of = fb_gen_operand(g, ast->args[0], into);
  uint16_t key = fb_gen_operand(g, ast->args[1], fb_gen_regs(g, 1));
  fb_gen_emit(g, ast, ast->optional ? FB_OP_INDEX_OPT : FB_OP_INDEX, into, of, key, 0);
  g->next_reg = mark;
}

void fb_gen_into(fb_generator *g, const fb_ast *ast, uint16_t into) {
  if (g->status) return;
  switch (ast->kind) {
    case FB_AST_CONST:
      fb_gen_emit(g, ast, FB_OP_MOVE, into, fb_gen_const(g, ast->value), 0, 0);
      break;
    case FB_AST_NAME: S_name(g, ast, into); break;
    case FB_AST_SELECT: S_select(g, ast, into); break;
    case FB_AST_INDEX: S_index(g, ast, into); break;
    case FB_AST_CALL: S_call(g, ast, into); break;
    case FB_AST_AND:
    case FB_AST_OR: S_logic(g, ast, into); break;
    case FB_AST_COND: S_condition(g, ast, into); break;
    case FB_AST_LIST: S_list(g, ast, into); break;
    case FB_AST_MAP: S_map(g, ast, into); break;
    case FB_AST_COMPREHENSION: fb_gen_comprehension(g, ast, into); break;
    case FB_AST_BIND: S_bind(g, ast, into); break;
  }
}
