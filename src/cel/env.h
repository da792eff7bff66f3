/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside an environment: variables by name, overloads by name, and how their signatures are kept.
 */
#ifndef FB_CEL_ENV_H
#define FB_CEL_ENV_H

#include "cel/library.h"

typedef struct fb_cel_function fb_cel_signature;

/* One overload, its signature parsed. Type parameters are numbered from 0 (A) to 25 (Z). */
struct fb_cel_function {
  const fb_cel_overload *overload;
  const fb_cel_type **params; /* the receiver first */
  const fb_cel_type *result;
  uint32_t *masks; /* kinds that each parameter takes, bit 1 << fb_kind */
  uint32_t count;
  bool member;
  bool variadic;                /* the last parameter once or more */
  struct fb_cel_function *next; /* of the same name, in the order of the tables */
};

typedef struct fb_cel_var {
  fb_slice name;
  const fb_cel_type *type;
  uint32_t shadows;   /* the slot that had this name before, plus one; 0: none */
  fb_arena_mark mark; /* of env->names, before it */
} fb_cel_var;

/* A name that is no variable but stands for a field of one, or for a constant. */
typedef struct fb_cel_alias {
  fb_slice name;
  const fb_cel_type *type;
  uint32_t slot; /* FB_AST_NO_SLOT: a constant */
  fb_slice field;
  fb_value value;
  uint32_t base; /* variables when it was added: it goes when one of them does */
  fb_arena_mark mark;
} fb_cel_alias;

struct fb_cel_env {
  const fb_allocator *allocator;
  fb_arena types; /* composite types, signatures */
  fb_arena names; /* of variables: grows and shrinks with them */
  fb_arena container_arena;
  fb_table functions; /* name → first fb_cel_signature */
  fb_table by_name;   /* name → slot of the latest variable, plus one */
  fb_cel_var *vars;
  size_t var_cap;
  uint32_t var_count;
  fb_cel_alias *aliases;
  size_t alias_cap;
  uint32_t alias_count;
  fb_slice container;
};

/* The slot of a variable; false when there is none of exactly that name. */
bool fb_cel_env_find(const fb_cel_env *env, fb_slice name, uint32_t *ret_slot);
/* NULL when there is none of exactly that name. Variables come first. */
const fb_cel_alias *fb_cel_env_find_alias(const fb_cel_env *env, fb_slice name);
const fb_cel_signature *fb_cel_env_function(const fb_cel_env *env, fb_slice name);
/* "int", "google.protobuf.Timestamp" …: the type with that name as a value; NULL when there is none. */
const fb_cel_type *fb_cel_type_named(fb_slice name);

static inline bool fb_cel_signature_takes(const fb_cel_signature *sig, bool member,
                                          uint32_t count) {
  return sig->member == member && (sig->variadic ? count >= sig->count : count == sig->count);
}

/* Reads "string.(int, T...) -> list(T)" into *ret_signature, all in the arena. FB_E_NOMEM, or FB_E_INTERNAL
 * for one that is malformed. */
fb_status fb_cel_signature_parse(fb_arena *arena, const fb_cel_overload *overload,
                                 fb_cel_signature **ret_signature);
/* Signatures of the operators, in the form of a library without functions. */
extern const fb_cel_library fb_cel_operators;

const fb_cel_type *fb_cel_type_make(fb_arena *arena, fb_cel_kind kind, const fb_cel_type *a,
                                    const fb_cel_type *b);

#endif
