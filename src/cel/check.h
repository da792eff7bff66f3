/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the checker: what is known about type parameters, and the locals in scope.
 */
#ifndef FB_CEL_CHECK_H
#define FB_CEL_CHECK_H

#include "cel/ast.h"
#include "cel/env.h"
#include "cel/report.h"

typedef struct fb_scope {
  fb_slice name;
  const fb_cel_type *type;
  uint32_t local;
  const struct fb_scope *outer;
} fb_scope;

/* Undoes a binding of a type parameter. */
typedef struct fb_unify_step {
  uint32_t param;
  const fb_cel_type *before;
} fb_unify_step;

enum { FB_GUESSES = 20 };         /* who is wrong more often needs no more hints */
enum { FB_UNIFY_WORK = 2000000 }; /* more is refused */
enum {
  FB_PARAM_FREE = 26
}; /* parameters of signatures are below, those made while checking from here */

typedef struct fb_checker {
  fb_cel_env *env;
  fb_cel_expr *expr;
  fb_arena *arena; /* of expr */
  fb_cel_report *report;
  bool
      lenient; /* no_check: nothing is reported, what does not resolve fails when it is evaluated */
  bool no_memory;
  uint32_t guesses; /* how often a near name was looked for */
  uint32_t work;    /* steps of unification so far: types can be made that double with each step */
  const fb_scope *scope;
  const fb_cel_type **bound; /* by param - FB_PARAM_FREE; NULL: free */
  size_t bound_cap;
  uint32_t bound_count;
  fb_unify_step *trail;
  size_t trail_cap, trail_count;
} fb_checker;

/* ── Types under unification ─────────────────────────────────────────────────────────────────── */

/* A new type parameter; dyn when there is no memory. */
const fb_cel_type *fb_unify_fresh(fb_checker *checker);
/* The signature's type with each of its parameters A–Z replaced by fresh[i] (made when first met). */
const fb_cel_type *fb_unify_instance(fb_checker *checker, const fb_cel_type *type,
                                     const fb_cel_type **fresh);
/* May a value of type `from` stand where `to` is wanted? Binds parameters; undoes it when not. */
bool fb_unify_assign(fb_checker *checker, const fb_cel_type *from, const fb_cel_type *to);
/* The type with what is known of its parameters put in; those unknown stay, or become dyn if `final`. */
const fb_cel_type *fb_unify_apply(fb_checker *checker, const fb_cel_type *type, bool final);
/* The type of something that may be either; dyn when nothing better fits both. */
const fb_cel_type *fb_unify_join(fb_checker *checker, const fb_cel_type *a, const fb_cel_type *b);
/* The type a parameter stands for, one level deep. */
const fb_cel_type *fb_unify_look(const fb_checker *checker, const fb_cel_type *type);

/* ── Names ───────────────────────────────────────────────────────────────────────────────────── */

/* If the NAME or chain of SELECTs is a variable, a local or a type, makes `ast` that and gives its type. */
const fb_cel_type *fb_resolve_name(fb_checker *checker, fb_ast *ast);
/* The overloads that `a.b.f(…)` or `f(…)` names; makes a member call a plain one if a.b.f is a function. */
const fb_cel_signature *fb_resolve_function(fb_checker *checker, fb_ast *call);
/* Nearest variable or local to a name; NULL. In the arena. */
const char *fb_resolve_near_name(fb_checker *checker, fb_slice name);
const char *fb_resolve_near_function(fb_checker *checker, fb_slice name);
const char *fb_resolve_near_field(fb_checker *checker, const fb_fact_type *type, fb_slice name);

fb_status fb_check_expr(fb_checker *checker, const fb_cel_type *want);

#endif
