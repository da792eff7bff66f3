/* SPDX-License-Identifier: Apache-2.0
 * Programs: putting one together, asking it, showing it. */
#include "cel/generate.h"
#include "cel/origin.h"

#include <stdio.h>

static const fb_cel_type *S_copy_type(fb_arena *arena, const fb_cel_type *type) {
  fb_cel_type *copy = fb_arena_copy(arena, type, sizeof *type);
  if (!copy) return NULL;
  if (copy->a && !(copy->a = S_copy_type(arena, copy->a))) return NULL;
  if (copy->b && !(copy->b = S_copy_type(arena, copy->b))) return NULL;
  return copy;
}

/* Which slots are read, and what they are called. */
static bool S_slots(fb_generator *g, const fb_ast *ast) {
  fb_cel_program *p = g->program;
  uint32_t count = g->env->var_count;
  size_t words = ((size_t)count + 63) / 64;
  fb_slice *names = fb_arena_zero(&p->arena, (count + 1) * sizeof *names);
  p->reads = fb_arena_zero(&p->arena, (words + 1) * sizeof *p->reads);
  if (!names || !p->reads) return false;
  fb_ast_reads(ast, p->reads, words);
  for (uint32_t i = 0; i < count; i++) {
    if (!(p->reads[i / 64] >> (i % 64) & 1)) continue;
    fb_slice name = g->env->vars[i].name;
    names[i] = (fb_slice){fb_arena_text(&p->arena, name), name.len};
    if (!names[i].ptr) return false;
  }
  p->slot_names = names;
  p->slot_count = count;
  return true;
}

static bool S_copy_parts(fb_generator *g, const fb_ast *ast) {
  fb_cel_program *p = g->program;
  fb_arena *arena = &p->arena;
  p->code = fb_arena_copy(arena, g->code, g->code_count * sizeof *g->code);
  p->spans = fb_arena_copy(arena, g->spans, g->code_count * sizeof *g->spans);
  p->consts = fb_arena_alloc(arena, (g->const_count + 1) * sizeof *g->consts);
  p->accesses = fb_arena_alloc(arena, (g->access_count + 1) * sizeof *g->accesses);
  p->calls = fb_arena_alloc(arena, (g->call_count + 1) * sizeof *g->calls);
  p->type = S_copy_type(arena, ast->type);
  if (!p->code || !p->spans || !p->consts || !p->accesses || !p->calls || !p->type) return false;
  if (!fb_cel_origin_copy(&g->expr->origin, arena, &p->origin)) return false;
  if (g->const_count) memcpy((void *)p->consts, g->consts, g->const_count * sizeof *g->consts);
  if (g->access_count)
    memcpy((void *)p->accesses, g->accesses, g->access_count * sizeof *g->accesses);
  if (g->call_count) memcpy((void *)p->calls, g->calls, g->call_count * sizeof *g->calls);
  p->code_count = g->code_count;
  p->const_count = g->const_count;
  p->reg_count = g->reg_count;
  return S_slots(g, ast);
}

static void S_generate(fb_generator *g, const fb_ast *ast) {
  uint16_t result = fb_gen_operand(g, ast, fb_gen_regs(g, 1));
  fb_gen_emit(g, ast, FB_OP_RETURN, 0, result, 0, 0);
  if (!g->status && !S_copy_parts(g, ast)) g->status = FB_E_NOMEM;
}

static void S_release(fb_generator *g) {
  const fb_allocator *allocator = g->env->allocator;
  fb_free(allocator, g->code, g->code_cap * sizeof *g->code);
  fb_free(allocator, g->spans, g->span_cap * sizeof *g->spans);
  fb_free(allocator, g->consts, g->const_cap * sizeof *g->consts);
  fb_free(allocator, g->accesses, g->access_cap * sizeof *g->accesses);
  fb_free(allocator, g->calls, g->call_cap * sizeof *g->calls);
  fb_free(allocator, g->locals, (g->expr->locals + 1) * sizeof *g->locals);
}

fb_status fb_cel_generate(const fb_cel_env *env, const fb_cel_expr *expr, const fb_ast *ast,
                          fb_cel_program **ret_program, fb_error *err) {
  fb_generator g = {.env = env, .expr = expr};
  g.program = fb_alloc_zero(env->allocator, sizeof *g.program);
  g.locals = fb_alloc_zero(env->allocator, (expr->locals + 1) * sizeof *g.locals);
  if (g.program) fb_arena_init(&g.program->arena, env->allocator, 1024);
  if (!g.program || !g.locals)
    g.status = FB_E_NOMEM;
  else
    S_generate(&g, ast);
  S_release(&g);
  if (g.status) {
    fb_cel_program_free(g.program);
    fb_fail(err, g.status,
            g.status == FB_E_NOMEM
                ? "no memory for the program"
                : "the expression needs too many registers, constants or instructions");
    fb_cel_origin_locate(&expr->origin, ast->at, ast->span, err);
    return g.status;
  }
  *ret_program = g.program;
  return FB_OK;
}

fb_status fb_cel_compile(fb_cel_env *env, fb_slice source, const fb_cel_options *options,
                         fb_cel_program **ret_program, fb_errors *errors) {
  fb_cel_expr *expr;
  fb_error err;
  fb_status status = fb_cel_parse(env, source, options, &expr, errors);
  if (status) return status;
  status = fb_cel_generate(env, expr, expr->root, ret_program, &err);
  if (status) fb_errors_add(errors, &err);
  fb_cel_expr_free(expr);
  return status;
}

void fb_cel_program_free(fb_cel_program *program) {
  if (!program) return;
  fb_arena arena = program->arena;
  fb_free(arena.allocator, program, sizeof *program);
  fb_arena_release(&arena);
}

void fb_cel_program_locate(const fb_cel_program *p, fb_error *err) {
  fb_cel_span span = p->spans[p->code_count - 1];
  fb_cel_origin_locate(&p->origin, span.at, span.len, err);
}

const fb_cel_type *fb_cel_program_type(const fb_cel_program *program) {
  return program->type;
}

void fb_cel_program_reads(const fb_cel_program *program, uint64_t *words, size_t count) {
  size_t have = ((size_t)program->slot_count + 63) / 64;
  for (size_t i = 0; i < count && i < have; i++) words[i] |= program->reads[i];
}

/* ── For people ──────────────────────────────────────────────────────────────────────────────── */

static void S_show_operand(const fb_cel_program *p, uint16_t operand, fb_buf *out) {
  uint32_t number = operand & (FB_OPERAND_MAX - 1);
  if (operand >= FB_OPERAND_SLOT && number < p->slot_count) {
    fb_buf_printf(out, " %.*s", (int)p->slot_names[number].len,
                  p->slot_names[number].ptr ? p->slot_names[number].ptr : "");
  } else if (operand >= FB_OPERAND_CONST && number < p->const_count) {
    fb_buf_char(out, ' ');
    fb_json_write(out, p->consts[number], FB_JSON_COMPACT);
  } else {
    fb_buf_printf(out, " r%u", number);
  }
}

/* What an instruction's operands are: a register, b and c operands, d a place, an access, a call, a number. */
static const char *S_shape(uint16_t op) {
  switch (op) {
    case FB_OP_JUMP: return "j";
    case FB_OP_JUMP_FALSE:
    case FB_OP_JUMP_TRUE: return "aj";
    case FB_OP_FAIL: return "ac";
    case FB_OP_LIST:
    case FB_OP_MAP: return "an";
    case FB_OP_COUNTED:
    case FB_OP_SORT: return "a";
    case FB_OP_RETURN: return "b";
    case FB_OP_SELECT:
    case FB_OP_SELECT_OPT:
    case FB_OP_HAS:
    case FB_OP_FIELD: return "abx";
    case FB_OP_FIELD_EQ:
    case FB_OP_FIELD_NE:
    case FB_OP_FIELD_LT:
    case FB_OP_FIELD_LE:
    case FB_OP_FIELD_GT:
    case FB_OP_FIELD_GE: return "abxc";
    case FB_OP_CALL: return "abf";
    case FB_OP_NEXT:
    case FB_OP_NEXT_PAIR:
    case FB_OP_ALL:
    case FB_OP_EXISTS:
    case FB_OP_COUNT:
    case FB_OP_FILTER:
    case FB_OP_PUSH:
    case FB_OP_MERGE:
    case FB_OP_BRANCH: return "abj";
    case FB_OP_ITER:
    case FB_OP_UNWRAP:
    case FB_OP_ENTER: return "abcj";
    case FB_OP_MOVE:
    case FB_OP_AND:
    case FB_OP_OR:
    case FB_OP_NOT:
    case FB_OP_NEGATE:
    case FB_OP_APPEND:
    case FB_OP_APPEND_OPT:
    case FB_OP_ROOM:
    case FB_OP_WRAP: return "ab";
    default: return "abc";
  }
}

static void S_show(const fb_cel_program *p, const fb_cel_ins *ins, fb_buf *out) {
  for (const char *shape = S_shape(ins->op); *shape; shape++) switch (*shape) {
      case 'a': S_show_operand(p, ins->a, out); break;
      case 'b': S_show_operand(p, ins->b, out); break;
      case 'c': S_show_operand(p, ins->c, out); break;
      case 'j': fb_buf_printf(out, " -> %d", (int)ins->d); break;
      case 'n': fb_buf_printf(out, " %d", (int)ins->d); break;
      case 'x':
        fb_buf_printf(out, " .%.*s", (int)p->accesses[ins->d].name.len,
                      p->accesses[ins->d].name.as.text);
        break;
      default:
        fb_buf_printf(out, " %.*s/%u", (int)p->calls[ins->d].name.len, p->calls[ins->d].name.ptr,
                      ins->c);
        break;
    }
}

void fb_cel_program_dump(const fb_cel_program *program, fb_buf *out) {
  static const char *const names[] = {
#define S_OP(name) #name,
      FB_CEL_OPS(S_OP)
#undef S_OP
  };
  for (uint32_t i = 0; i < program->code_count; i++) {
    fb_buf_printf(out, "%4u  %-11s", i, names[program->code[i].op]);
    S_show(program, &program->code[i], out);
    fb_buf_char(out, '\n');
  }
}
