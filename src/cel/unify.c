/* SPDX-License-Identifier: Apache-2.0
 * Type parameters: binding, substitution, what may stand for what. */
#include "cel/check.h"

static const fb_cel_type *S_dyn(void) {
  return fb_cel_simple(FB_CEL_DYN);
}

const fb_cel_type *fb_unify_fresh(fb_checker *c) {
  fb_cel_type *type = fb_arena_zero(c->arena, sizeof *type);
  if (!type || !fb_grow(c->env->allocator, (void **)&c->bound, &c->bound_cap, c->bound_count,
                        sizeof *c->bound)) {
    c->no_memory = true;
    return S_dyn();
  }
  *type = (fb_cel_type){.kind = FB_CEL_PARAM, .param = FB_PARAM_FREE + c->bound_count};
  c->bound[c->bound_count++] = NULL;
  return type;
}

static bool S_tired(fb_checker *c) {
  return ++c->work > FB_UNIFY_WORK;
}

static const fb_cel_type *S_made(fb_checker *c, const fb_cel_type *type, const fb_cel_type *a,
                                 const fb_cel_type *b) {
  if (a == type->a && b == type->b) return type;
  const fb_cel_type *made = fb_cel_type_make(c->arena, type->kind, a, b);
  if (made) return made;
  c->no_memory = true;
  return S_dyn();
}

const fb_cel_type *fb_unify_instance(fb_checker *c, const fb_cel_type *type,
                                     const fb_cel_type **fresh) {
  if (type->kind == FB_CEL_PARAM) {
    if (!fresh[type->param]) fresh[type->param] = fb_unify_fresh(c);
    return fresh[type->param];
  }
  if (!type->a) return type;
  const fb_cel_type *a = fb_unify_instance(c, type->a, fresh);
  return S_made(c, type, a, type->b ? fb_unify_instance(c, type->b, fresh) : NULL);
}

static const fb_cel_type *S_bound(const fb_checker *c, const fb_cel_type *type) {
  return type->kind == FB_CEL_PARAM && type->param >= FB_PARAM_FREE
             ? c->bound[type->param - FB_PARAM_FREE]
             : NULL;
}

const fb_cel_type *fb_unify_look(const fb_checker *c, const fb_cel_type *type) {
  for (const fb_cel_type *next; (next = S_bound(c, type));) type = next;
  return type;
}

const fb_cel_type *fb_unify_apply(fb_checker *c, const fb_cel_type *type, bool final) {
  if (S_tired(c)) return S_dyn();
  type = fb_unify_look(c, type);
  if (type->kind == FB_CEL_PARAM) return final ? S_dyn() : type;
  if (!type->a) return type;
  const fb_cel_type *a = fb_unify_apply(c, type->a, final);
  return S_made(c, type, a, type->b ? fb_unify_apply(c, type->b, final) : NULL);
}

static void S_bind(fb_checker *c, const fb_cel_type *param, const fb_cel_type *type) {
  if (!fb_grow(c->env->allocator, (void **)&c->trail, &c->trail_cap, c->trail_count,
               sizeof *c->trail)) {
    c->no_memory = true;
    return;
  }
  uint32_t number = param->param - FB_PARAM_FREE;
  c->trail[c->trail_count++] = (fb_unify_step){number, c->bound[number]};
  c->bound[number] = type;
}

/* Does the parameter occur within the type? Binding it to that would never end. */
static bool S_occurs(fb_checker *c, const fb_cel_type *param, const fb_cel_type *type) {
  if (S_tired(c)) return true;
  type = fb_unify_look(c, type);
  if (type == param || (type->kind == FB_CEL_PARAM && type->param == param->param)) return true;
  return (type->a && S_occurs(c, param, type->a)) || (type->b && S_occurs(c, param, type->b));
}

static bool S_wild(const fb_cel_type *type) {
  return type->kind == FB_CEL_DYN || type->kind == FB_CEL_ERROR;
}

/* Does `a` admit all that `b` does? */
static bool S_as_general(fb_checker *c, const fb_cel_type *a, const fb_cel_type *b) {
  if (S_tired(c)) return true;
  a = fb_unify_look(c, a);
  b = fb_unify_look(c, b);
  if (S_wild(a) || a->kind == FB_CEL_PARAM) return true;
  if (S_wild(b) || b->kind == FB_CEL_PARAM) return false;
  if (a->kind == FB_CEL_NULL && b->kind != FB_CEL_NULL) return false;
  if (b->kind == FB_CEL_NULL) return true;
  if (a->kind != b->kind) return false;
  return (!a->a || !b->a || S_as_general(c, a->a, b->a)) &&
         (!a->b || !b->b || S_as_general(c, a->b, b->b));
}

static bool S_assign(fb_checker *c, const fb_cel_type *from, const fb_cel_type *to);

/* Lets `param` stand for `type`, or for the more general of it and what it stood for. */
static bool S_substitute(fb_checker *c, const fb_cel_type *type, const fb_cel_type *param,
                         bool *ret_known) {
  const fb_cel_type *known = S_bound(c, param);
  *ret_known = known != NULL;
  if (type == param || (type->kind == FB_CEL_PARAM && type->param == param->param))
    return *ret_known = true;
  if (!known) {
    if (S_occurs(c, param, type)) return false;
    S_bind(c, param, type);
    return true;
  }
  if (type == known) return true;
  if (!S_assign(c, type, known)) return false;
  if (S_as_general(c, type, known) && !S_as_general(c, known, type) && !S_occurs(c, param, type))
    S_bind(c, param, type);
  return true;
}

static bool S_nullable(const fb_cel_type *type) {
  return type->kind == FB_CEL_NULL || type->kind == FB_CEL_TIMESTAMP ||
         type->kind == FB_CEL_DURATION || type->kind == FB_CEL_OPTIONAL ||
         type->kind == FB_CEL_FACT;
}

static bool S_assign(fb_checker *c, const fb_cel_type *from, const fb_cel_type *to) {
  bool known;
  if (from == to || S_tired(c)) return true;
  if (to->kind == FB_CEL_PARAM && to->param >= FB_PARAM_FREE) {
    if (S_substitute(c, from, to, &known)) return true;
    if (known) return false;
  }
  if (from->kind == FB_CEL_PARAM && from->param >= FB_PARAM_FREE)
    return S_substitute(c, to, from, &known);
  if (S_wild(from) || S_wild(to)) return true;
  if (from->kind == FB_CEL_NULL) return S_nullable(to);
  if (to->kind == FB_CEL_NULL) return S_nullable(from);
  if (from->kind != to->kind) return false;
  if (from->kind == FB_CEL_TYPE) return true;
  if (from->kind == FB_CEL_FACT) return from->fact == to->fact;
  if (from->a && to->a && !S_assign(c, from->a, to->a)) return false;
  return !from->b || !to->b || S_assign(c, from->b, to->b);
}

bool fb_unify_assign(fb_checker *c, const fb_cel_type *from, const fb_cel_type *to) {
  size_t mark = c->trail_count;
  if (S_assign(c, from, to)) return true;
  while (c->trail_count > mark) {
    fb_unify_step step = c->trail[--c->trail_count];
    c->bound[step.param] = step.before;
  }
  return false;
}

const fb_cel_type *fb_unify_join(fb_checker *c, const fb_cel_type *a, const fb_cel_type *b) {
  if (!fb_unify_assign(c, a, b)) return S_dyn();
  return S_as_general(c, a, b) ? a : b;
}
