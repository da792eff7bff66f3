/* SPDX-License-Identifier: Apache-2.0
 *
 * A compiled expression: instructions with three operands over registers, constants and the caller's
 * slots. An operand's top two bits say which of them it is, so that nothing has to be loaded first.
 */
#ifndef FB_CEL_PROGRAM_H
#define FB_CEL_PROGRAM_H

#include "cel/ast.h"
#include "cel/env.h"

enum {
  FB_OPERAND_REG = 0,
  FB_OPERAND_CONST = 1 << 14,
  FB_OPERAND_SLOT = 2 << 14,
  FB_OPERAND_MAX = 1 << 14, /* how many there may be of each */
  FB_CODE_MAX = 1 << 20
};

/* name, what it does. a is the register that gets the result, b and c are operands, d a number. */
#define FB_CEL_OPS(OP)                                                                            \
  OP(MOVE)       /* a = b */                                                                      \
  OP(FAIL)       /* a = error: the name in constant c is not declared (d 0), no function (d 1) */ \
  OP(JUMP)       /* go to d */                                                                    \
  OP(JUMP_FALSE) /* if a is false go to d */                                                      \
  OP(JUMP_TRUE)  /* if a is true go to d */                                                       \
  OP(BRANCH)     /* b true: skip the next; false: go to d; else a = error, and the next */        \
  OP(AND)        /* a = a && b, a not being false */                                              \
  OP(OR)         /* a = a || b, a not being true */                                               \
  OP(NOT)                                                                                         \
  OP(NEGATE)                                                                                      \
  OP(ADD)                                                                                         \
  OP(SUB)                                                                                         \
  OP(MUL)                                                                                         \
  OP(DIV)                                                                                         \
  OP(MOD)                                                                                         \
  OP(EQ)                                                                                          \
  OP(NE)                                                                                          \
  OP(LT)                                                                                          \
  OP(LE)                                                                                          \
  OP(GT)                                                                                          \
  OP(GE)                                                                                          \
  OP(IN)         /* a = b in c */                                                                 \
  OP(INDEX)      /* a = b[c] */                                                                   \
  OP(INDEX_OPT)  /* a = b[?c] */                                                                  \
  OP(SELECT)     /* a = b.access d */                                                             \
  OP(SELECT_OPT) /* a = b.?access d */                                                            \
  OP(HAS)        /* a = has(b.access d) */                                                        \
  OP(FIELD)      /* as SELECT; b is most likely a fact */                                         \
  OP(FIELD_EQ)   /* a = b.access d == c, and so on */                                             \
  OP(FIELD_NE)                                                                                    \
  OP(FIELD_LT)                                                                                    \
  OP(FIELD_LE)                                                                                    \
  OP(FIELD_GT)                                                                                    \
  OP(FIELD_GE)                                                                                    \
  OP(CALL)       /* a = call d on the c values from b on */                                       \
  OP(LIST)       /* a = a list with room for d */                                                 \
  OP(APPEND)     /* add b to the list a; an error becomes a */                                    \
  OP(APPEND_OPT) /* the same for what is in the optional b */                                     \
  OP(MAP)        /* a = a map with room for d */                                                  \
  OP(PUT)        /* a[b] = c in the map a */                                                      \
  OP(PUT_OPT)                                                                                     \
  OP(ITER)      /* a, a+1 = an iteration over b; not possible: c = error, go to d */              \
  OP(NEXT)      /* b = next of the iteration a; at its end go to d */                             \
  OP(NEXT_PAIR) /* b, b+1 = next; at the end go to d */                                           \
  OP(ROOM)      /* a = a list with room for all of the iteration b */                             \
  OP(ALL)       /* a = a && b of one round; go on at d unless it is false */                      \
  OP(EXISTS)    /* a = a || b of one round; go on at d unless it is true */                       \
  OP(COUNT)     /* a += b of one round; go on at d unless b is an error */                        \
  OP(COUNTED)   /* a = (a == 1) */                                                                \
  OP(FILTER)    /* b true: go on; false: go to d; else a = error, and the next */                 \
  OP(PUSH)      /* add b to the list a and go to d; an error becomes a */                         \
  OP(ENTER)     /* a[b] = c in the map a and go to d; an error becomes a */                       \
  OP(MERGE)     /* add all of map b to the map a and go to d */                                   \
  OP(SORT)      /* a: list of key, item, key, item … → list of items by key */                \
  OP(UNWRAP)    /* a = what is in the optional b; none, or an error: c = that, go to d */         \
  OP(WRAP)      /* a = optional.of(b) */                                                          \
  OP(RETURN)    /* b */

typedef enum fb_cel_op {
#define S_OP(name) FB_OP_##name,
  FB_CEL_OPS(S_OP)
#undef S_OP
      FB_OP_COUNT_OF
} fb_cel_op;

typedef struct fb_cel_ins {
  uint16_t op, a, b, c;
  int32_t d;
} fb_cel_ins;

/* Where in the origin the code of an instruction comes from. */
typedef struct fb_cel_span {
  uint32_t at, len;
} fb_cel_span;

typedef struct fb_cel_access {
  fb_value name; /* string */
  int32_t field; /* number of the field when the fact's type was known, else -1 */
} fb_cel_access;

typedef struct fb_cel_candidate {
  fb_cel_function *function;
  const uint32_t *masks;
  uint32_t count; /* of masks; the last one is for all that follow */
} fb_cel_candidate;

/* The overloads that a call may mean. */
typedef struct fb_cel_call {
  fb_slice name;
  const fb_cel_candidate *candidates;
  uint32_t count;
  bool member;
} fb_cel_call;

struct fb_cel_program {
  fb_arena arena; /* holds all below */
  const fb_cel_type *type;
  const fb_cel_ins *code;
  const fb_cel_span *spans;
  const fb_value *consts;
  const fb_cel_access *accesses;
  const fb_cel_call *calls;
  const fb_slice *slot_names; /* of the first slot_count slots; only those read have one */
  uint32_t code_count, const_count, reg_count, slot_count;
  uint64_t *reads;      /* slot_count bits */
  fb_cel_origin origin; /* what error positions are in */
};

/* An error that is put into words only if somebody wants to read it: as.error is NULL, `reserved` says
 * which one, len is the instruction's number plus one. */
enum { FB_LAZY_NO_KEY = 1, FB_LAZY_UNBOUND, FB_LAZY_DIVIDE, FB_LAZY_OVERFLOW };

static inline fb_value fb_cel_lazy(unsigned which) {
  return (fb_value){.kind = FB_ERROR, .reserved = (uint16_t)which};
}

/* Places the error at the whole expression. */
void fb_cel_program_locate(const fb_cel_program *program, fb_error *err);

/* ── Operations on any values (operate.c, access.c). Errors and absent values go in, errors come out. ── */

fb_value fb_operate_binary(fb_cel_context *context, fb_cel_op op, fb_value a, fb_value b);
/* Takes the price of going through the whole value; false: over budget. */
bool fb_operate_pay(fb_cel_context *context, fb_value value);
fb_value fb_operate_negate(fb_cel_context *context, fb_value a);
fb_value fb_operate_not(fb_cel_context *context, fb_value a);
/* "no such overload: int + string". */
fb_value fb_operate_misfit(fb_cel_context *context, const char *what, const fb_value *args,
                           uint32_t count);

fb_value fb_access_in(fb_cel_context *context, fb_value item, fb_value in);
fb_value fb_access_index(fb_cel_context *context, fb_value of, fb_value key, bool optional);
fb_value fb_access_select(fb_cel_context *context, fb_value of, const fb_cel_access *access,
                          bool optional);
fb_value fb_access_has(fb_cel_context *context, fb_value of, const fb_cel_access *access);
/* value in a box, as an optional. */
fb_value fb_access_some(fb_cel_context *context, fb_value value);

/* ── Building (build.c): *into is the list or map, or becomes the error. ── */

bool fb_build_append(fb_cel_context *context, fb_value *into, fb_value item);
bool fb_build_put(fb_cel_context *context, fb_value *into, fb_value key, fb_value value);
bool fb_build_merge(fb_cel_context *context, fb_value *into, fb_value map);
fb_value fb_build_sort(fb_cel_context *context, fb_value value);

#endif
