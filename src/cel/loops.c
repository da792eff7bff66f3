/* SPDX-License-Identifier: Apache-2.0
 * Comprehensions → loops of instructions.
 *
 *      ITER  state, range → (failed) done        the range cannot be gone through
 *      begin                                     the accumulator is `into`
 * next: NEXT  state, variable → end
 *      filter, body
 *      step → next                               falls through when the result is clear
 *      JUMP done
 * end:  finish
 * done:
 */
#include "cel/generate.h"

typedef struct S_loop {
  const fb_ast *ast;
  uint16_t into, state, variable, body;
  uint32_t next;
} S_loop;

static void S_begin(fb_generator *g, const S_loop *l) {
  switch (l->ast->loop->kind) {
    case FB_LOOP_ALL:
      fb_gen_emit(g, l->ast, FB_OP_MOVE, l->into, fb_gen_const(g, fb_bool(true)), 0, 0);
      break;
    case FB_LOOP_EXISTS:
      fb_gen_emit(g, l->ast, FB_OP_MOVE, l->into, fb_gen_const(g, fb_bool(false)), 0, 0);
      break;
    case FB_LOOP_EXISTS_ONE:
      fb_gen_emit(g, l->ast, FB_OP_MOVE, l->into, fb_gen_const(g, fb_int(0)), 0, 0);
      break;
    case FB_LOOP_TRANSFORM_MAP:
    case FB_LOOP_TRANSFORM_ENTRY: fb_gen_emit(g, l->ast, FB_OP_MAP, l->into, 0, 0, 0); break;
    case FB_LOOP_MAP: fb_gen_emit(g, l->ast, FB_OP_ROOM, l->into, l->state, 0, 0); break;
    default: fb_gen_emit(g, l->ast, FB_OP_LIST, l->into, 0, 0, 0); break;
  }
}

/* The last instruction of a round. */
static void S_step(fb_generator *g, const S_loop *l) {
  const fb_ast *body_ast = l->ast->args[1];
  uint16_t body = fb_gen_operand(g, body_ast, l->body);
  int32_t next = (int32_t)l->next;
  switch (l->ast->loop->kind) {
    case FB_LOOP_ALL: fb_gen_emit(g, body_ast, FB_OP_ALL, l->into, body, 0, next); break;
    case FB_LOOP_EXISTS: fb_gen_emit(g, body_ast, FB_OP_EXISTS, l->into, body, 0, next); break;
    case FB_LOOP_EXISTS_ONE: fb_gen_emit(g, body_ast, FB_OP_COUNT, l->into, body, 0, next); break;
    case FB_LOOP_FILTER: {
      fb_gen_emit(g, body_ast, FB_OP_FILTER, l->into, body, 0, next);
      uint32_t failed = fb_gen_emit(g, body_ast, FB_OP_JUMP, 0, 0, 0, 0);
      fb_gen_emit(g, body_ast, FB_OP_PUSH, l->into, l->variable, 0, next);
      fb_gen_land(g, failed);
      break;
    }
    case FB_LOOP_TRANSFORM_MAP:
      fb_gen_emit(g, body_ast, FB_OP_ENTER, l->into, l->variable, body, next);
      break;
    case FB_LOOP_TRANSFORM_ENTRY:
      fb_gen_emit(g, body_ast, FB_OP_MERGE, l->into, body, 0, next);
      break;
    case FB_LOOP_SORT_BY:
      fb_gen_emit(g, body_ast, FB_OP_APPEND, l->into, body, 0, 0);
      fb_gen_emit(g, body_ast, FB_OP_PUSH, l->into, l->variable, 0, next);
      break;
    default: fb_gen_emit(g, body_ast, FB_OP_PUSH, l->into, body, 0, next); break;
  }
}

static void S_finish(fb_generator *g, const S_loop *l) {
  fb_loop_kind kind = l->ast->loop->kind;
  if (kind == FB_LOOP_EXISTS_ONE) fb_gen_emit(g, l->ast, FB_OP_COUNTED, l->into, 0, 0, 0);
  if (kind == FB_LOOP_SORT_BY) fb_gen_emit(g, l->ast, FB_OP_SORT, l->into, 0, 0, 0);
}

static void S_loop_code(fb_generator *g, S_loop *l) {
  const fb_ast *ast = l->ast;
  uint32_t filter_failed = 0;
  l->next = fb_gen_emit(g, ast, ast->loop->count == 2 ? FB_OP_NEXT_PAIR : FB_OP_NEXT, l->state,
                        l->variable, 0, 0);
  if (ast->count == 3) {
    uint16_t test = fb_gen_operand(g, ast->args[2], l->body);
    fb_gen_emit(g, ast->args[2], FB_OP_FILTER, l->into, test, 0, (int32_t)l->next);
    filter_failed = fb_gen_emit(g, ast, FB_OP_JUMP, 0, 0, 0, 0);
  }
  S_step(g, l);
  uint32_t clear = fb_gen_emit(g, ast, FB_OP_JUMP, 0, 0, 0, 0);
  fb_gen_land(g, l->next);
  S_finish(g, l);
  fb_gen_land(g, clear);
  if (ast->count == 3) fb_gen_land(g, filter_failed);
}

static void S_opt_map(fb_generator *g, const fb_ast *ast, uint16_t into) {
  uint16_t local = fb_gen_regs(g, 1);
  uint16_t from = fb_gen_operand(g, ast->args[0], into);
  uint32_t none = fb_gen_emit(g, ast, FB_OP_UNWRAP, local, from, into, 0);
  g->locals[ast->loop->locals[0]] = local;
  fb_gen_into(g, ast->args[1], into);
  if (ast->loop->kind == FB_LOOP_OPT_MAP) fb_gen_emit(g, ast, FB_OP_WRAP, into, into, 0, 0);
  fb_gen_land(g, none);
}

void fb_gen_comprehension(fb_generator *g, const fb_ast *ast, uint16_t into) {
  uint32_t mark = g->next_reg;
  if (ast->loop->kind >= FB_LOOP_OPT_MAP) {
    S_opt_map(g, ast, into);
  } else {
    uint16_t regs = fb_gen_regs(g, 5);
    S_loop l = {.ast = ast,
                .into = into,
                .state = regs,
                .variable = (uint16_t)(regs + 2),
                .body = (uint16_t)(regs + 4)};
    uint16_t range = fb_gen_operand(g, ast->args[0], into);
    uint32_t failed = fb_gen_emit(g, ast->args[0], FB_OP_ITER, l.state, range, into, 0);
    g->locals[ast->loop->locals[0]] = l.variable;
    if (ast->loop->count == 2) g->locals[ast->loop->locals[1]] = (uint16_t)(l.variable + 1);
    S_begin(g, &l);
    S_loop_code(g, &l);
    fb_gen_land(g, failed);
  }
  g->next_reg = mark;
}
