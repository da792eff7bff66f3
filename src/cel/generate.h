/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the compiler: a program in the making.
 */
#ifndef FB_CEL_GENERATE_H
#define FB_CEL_GENERATE_H

#include "cel/ast.h"
#include "cel/program.h"

typedef struct fb_generator {
  const fb_cel_env *env;
  const fb_cel_expr *expr;
  fb_cel_program *program; /* its arena gets the finished parts */
  fb_status status;        /* of the first failure: FB_E_NOMEM, FB_E_CEL_TOO_LARGE */
  fb_cel_ins *code;
  fb_cel_span *spans;
  fb_value *consts;
  fb_cel_access *accesses;
  fb_cel_call *calls;
  size_t code_cap, span_cap, const_cap, access_cap, call_cap;
  uint32_t code_count, const_count, access_count, call_count;
  uint32_t next_reg, reg_count;
  uint16_t *locals; /* register of each local */
} fb_generator;

/* Emits and returns the instruction's number. */
uint32_t fb_gen_emit(fb_generator *gen, const fb_ast *ast, fb_cel_op op, uint32_t a, uint32_t b,
                     uint32_t c, int32_t d);
/* Lets the jump at `at` go to the next instruction. */
void fb_gen_land(fb_generator *gen, uint32_t at);
/* `count` new registers; given back by setting next_reg to what it was. */
uint16_t fb_gen_regs(fb_generator *gen, uint32_t count);
/* The operand of a constant (copied, shared with an equal scalar one). */
uint16_t fb_gen_const(fb_generator *gen, fb_value value);
/* Code that puts the value into the register `into`. */
void fb_gen_into(fb_generator *gen, const fb_ast *ast, uint16_t into);
/* The operand that has the value: a constant, slot or local as it is, else `spare` after code that fills it. */
uint16_t fb_gen_operand(fb_generator *gen, const fb_ast *ast, uint16_t spare);
void fb_gen_comprehension(fb_generator *gen, const fb_ast *ast, uint16_t into);
/* True if the subtree is a constant of scalars, lists and maps; its value lies in the program's arena. */
bool fb_gen_fold(fb_generator *gen, const fb_ast *ast, fb_value *ret_value);

#endif
