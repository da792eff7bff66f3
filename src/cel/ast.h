/* SPDX-License-Identifier: Apache-2.0
 *
 * The expression tree: what the parser makes, the checker types, the compiler and the rule planner read.
 * Macros are expanded by the parser; the planner takes conditions apart at `&&`.
 */
#ifndef FB_CEL_AST_H
#define FB_CEL_AST_H

#include <flyball/cel.h>

typedef enum fb_ast_kind {
  FB_AST_CONST,  /* value */
  FB_AST_NAME,   /* a variable: slot, or a local of a comprehension */
  FB_AST_SELECT, /* args[0].name, or has(args[0].name) if test_only, or args[0].?name if optional */
  FB_AST_INDEX,  /* args[0][args[1]], or [?] if optional */
  FB_AST_CALL, /* name(args…), or args[0].name(args[1]…) if member; operators: "_+_", "_==_", "!_" … */
  FB_AST_AND, /* args[0] && args[1] */
  FB_AST_OR,
  FB_AST_COND, /* args[0] ? args[1] : args[2] */
  FB_AST_LIST, /* args; those marked optional are left out when none */
  FB_AST_MAP,  /* args: key, value, key, value … */
  FB_AST_COMPREHENSION,
  FB_AST_BIND /* cel.bind: args[0] is the value of the local, args[1] the body */
} fb_ast_kind;

typedef struct fb_ast fb_ast;

/* What a comprehension makes of its range. args[0] is the range, args[1] the predicate, transform or key,
 * args[2] (MAP, TRANSFORM_LIST, TRANSFORM_MAP, TRANSFORM_ENTRY, if there) the filter. */
typedef enum fb_loop_kind {
  FB_LOOP_ALL,
  FB_LOOP_EXISTS,
  FB_LOOP_EXISTS_ONE,
  FB_LOOP_FILTER,
  FB_LOOP_MAP, /* also transformList */
  FB_LOOP_TRANSFORM_MAP,
  FB_LOOP_TRANSFORM_ENTRY,
  FB_LOOP_SORT_BY,
  FB_LOOP_OPT_MAP, /* the range is an optional */
  FB_LOOP_OPT_FLAT_MAP
} fb_loop_kind;

typedef struct fb_ast_loop {
  fb_loop_kind kind;
  uint32_t count; /* variables: 1 or 2 */
  fb_slice names[2];
  uint32_t locals[2]; /* set by the checker: numbers of the locals */
} fb_ast_loop;

struct fb_ast {
  fb_ast_kind kind;
  uint32_t offset, length; /* bytes in the source */
  const fb_cel_type *type; /* set by the checker */
  fb_slice name;           /* of NAME, SELECT, CALL */
  fb_value value;          /* of CONST */
  fb_ast **args;
  uint32_t count;
  bool member, optional, test_only;
  bool absolute;            /* NAME written with a leading dot */
  bool local;               /* NAME: of a comprehension or bind, not a slot */
  uint32_t slot;            /* of NAME after resolution: env slot, or local number */
  int32_t field;            /* of SELECT on a declared fact: field number; else -1 */
  uint32_t depth;           /* 1 for a leaf */
  uint32_t name_offset;     /* of SELECT and CALL: where the name is */
  uint32_t at, span;        /* the same place as offset, length in fb_cel_expr.origin */
  struct fb_ast_loop *loop; /* of COMPREHENSION */
  const struct fb_cel_function
      *function; /* of CALL: the overloads of that name and shape; the environment's */
  uint64_t
      optional_args; /* of LIST and MAP: bit i set: element i is written `?x` (at most 64; more is an error) */
};

/* Declares a name that stands for a field of the variable at `slot` … */
fb_status fb_cel_env_add_field(fb_cel_env *env, fb_slice name, uint32_t slot, fb_slice field,
                               const fb_cel_type *type);
/* … or for a number or text; neither takes a slot. They are forgotten when a variable goes that was there before them.
 * Names and fields are copied, a text is borrowed. */
fb_status fb_cel_env_add_constant(fb_cel_env *env, fb_slice name, fb_value value,
                                  const fb_cel_type *type);
/* Forgets all of them, and all variables. */
void fb_cel_env_clear(fb_cel_env *env);

/* The lines that an expression stands on. Owned by what it is part of. */
typedef struct fb_cel_origin {
  fb_slice text;
  uint32_t line;    /* lines before it in the document or text … */
  uint32_t column;  /* … and code points of its first line that were cut off */
  const char *file; /* "" when there is none */
} fb_cel_origin;

/* A parsed and checked expression. Owns its tree. */
typedef struct fb_cel_expr {
  fb_arena arena;
  fb_slice source; /* copied */
  fb_ast *root;
  uint32_t locals;      /* how many the comprehensions and binds have */
  fb_cel_origin origin; /* where errors of evaluation are shown */
} fb_cel_expr;

enum {
  FB_AST_NO_SLOT = UINT32_MAX
}; /* slot of a NAME that is not declared (unchecked expressions only) */

fb_status fb_cel_parse(fb_cel_env *env, fb_slice source, const fb_cel_options *options,
                       fb_cel_expr **ret_expr, fb_errors *errors); /* parses and checks */
/* The same for source[from .. to) of a text: positions are in the whole text. */
fb_status fb_cel_parse_part(fb_cel_env *env, fb_slice text, size_t from, size_t to,
                            const fb_cel_options *options, fb_cel_expr **ret_expr,
                            fb_errors *errors);
void fb_cel_expr_free(fb_cel_expr *expr);
/* Compiles any subtree without free locals; `expr` may be freed afterwards. */
fb_status fb_cel_generate(const fb_cel_env *env, const fb_cel_expr *expr, const fb_ast *ast,
                          fb_cel_program **ret_program, fb_error *err);
/* Marks the env slots that the subtree reads. */
void fb_ast_reads(const fb_ast *ast, uint64_t *words, size_t count);

#endif
