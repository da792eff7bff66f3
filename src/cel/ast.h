/* SPDX-License-Identifier: Apache-2.0
 *
 * The expression tree: what the parser makes, the checker types, the compiler and the rule planner read.
 * Macros are expanded by the parser; the planner takes conditions apart at `&&`.
 */
#ifndef FB_CEL_AST_H
#define FB_CEL_AST_H

#include <flyball/cel.h>

typedef enum fb_ast_kind {
  FB_AST_CONST,   /* value */
  FB_AST_NAME,    /* a variable: slot, or a local of a comprehension */
  FB_AST_SELECT,  /* args[0].name, or has(args[0].name) if test_only, or args[0].?name if optional */
  FB_AST_INDEX,   /* args[0][args[1]], or [?] if optional */
  FB_AST_CALL,    /* name(args…), or args[0].name(args[1]…) if member; operators: "_+_", "_==_", "!_" … */
  FB_AST_AND,     /* args[0] && args[1] */
  FB_AST_OR,
  FB_AST_COND,    /* args[0] ? args[1] : args[2] */
  FB_AST_LIST,    /* args; those marked optional are left out when none */
  FB_AST_MAP,     /* args: key, value, key, value … */
  FB_AST_COMPREHENSION,
  FB_AST_BIND     /* cel.bind: args[0] is the value of the local, args[1] the body */
} fb_ast_kind;

typedef struct fb_ast fb_ast;

struct fb_ast {
  fb_ast_kind kind;
  uint32_t offset, length; /* bytes in the source */
  const fb_cel_type *type; /* set by the checker */
  fb_slice name;           /* of NAME, SELECT, CALL */
  fb_value value;          /* of CONST */
  fb_ast **args;
  uint32_t count;
  bool member, optional, test_only;
  bool absolute;           /* NAME written with a leading dot */
  bool local;              /* NAME: of a comprehension or bind, not a slot */
  uint32_t slot;           /* of NAME after resolution: env slot, or local number */
  int32_t field;           /* of SELECT on a declared fact: field number; else -1 */
  struct fb_ast_loop *loop;/* of COMPREHENSION */
  uint64_t optional_args;  /* of LIST and MAP: bit i set: element i is written `?x` (at most 64; more is an error) */
};

/* A parsed and checked expression. Owns its tree. */
typedef struct fb_cel_expr {
  fb_arena arena;
  fb_slice source;  /* copied */
  fb_ast *root;
} fb_cel_expr;

fb_status fb_cel_parse(fb_cel_env *env, fb_slice source, const fb_cel_options *options,
                       fb_cel_expr **ret_expr, fb_errors *errors); /* parses and checks */
void fb_cel_expr_free(fb_cel_expr *expr);
/* Compiles any subtree without free locals; `expr` may be freed afterwards. */
fb_status fb_cel_generate(const fb_cel_env *env, const fb_cel_expr *expr, const fb_ast *ast,
                          fb_cel_program **ret_program, fb_error *err);
/* Marks the env slots that the subtree reads. */
void fb_ast_reads(const fb_ast *ast, uint64_t *words, size_t count);

#endif
