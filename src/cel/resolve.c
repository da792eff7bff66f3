/* SPDX-License-Identifier: Apache-2.0
 * Names: locals first, then the longest qualified variable in the nearest namespace. */
#include "cel/check.h"

enum { QUALIFIED_MAX = 1024 };

/* The text "a.b.c" of a chain of plain selects. False if it is no such chain (or a longer one than any name). */
static bool S_qualified(const fb_ast *ast, char *out, size_t *len) {
  if (ast->kind == FB_AST_SELECT) {
    if (ast->test_only || ast->optional || ast->absolute || !S_qualified(ast->args[0], out, len))
      return false;
    if (*len + 1 + ast->name.len > QUALIFIED_MAX) return false;
    out[(*len)++] = '.';
  } else if (ast->kind != FB_AST_NAME || ast->name.len > QUALIFIED_MAX) {
    return false;
  }
  memcpy(out + *len, ast->name.ptr, ast->name.len);
  *len += ast->name.len;
  return true;
}

static const fb_ast *S_head(const fb_ast *ast) {
  while (ast->kind == FB_AST_SELECT) ast = ast->args[0];
  return ast;
}

static const fb_scope *S_local(const fb_checker *c, const fb_ast *name) {
  if (name->kind != FB_AST_NAME || name->absolute) return NULL;
  for (const fb_scope *scope = c->scope; scope; scope = scope->outer)
    if (fb_slice_equal(scope->name, name->name)) return scope;
  return NULL;
}

/* Calls `found` with each name that `name` may mean, from the innermost namespace out, until it returns
 * something. */
typedef const void *S_lookup(fb_checker *c, fb_slice name, void *context);

static const void *S_candidates(fb_checker *c, fb_slice name, bool absolute, S_lookup *lookup,
                                void *context) {
  char text[2 * QUALIFIED_MAX + 2];
  fb_slice container = c->env->container;
  if (!absolute && container.len && container.len + 1 + name.len < sizeof text) {
    size_t len = container.len;
    while (len) {
      memcpy(text, container.ptr, len);
      text[len] = '.';
      memcpy(text + len + 1, name.ptr, name.len);
      const void *found = lookup(c, (fb_slice){text, len + 1 + name.len}, context);
      if (found) return found;
      while (len && container.ptr[--len] != '.') {
      }
    }
  }
  return lookup(c, name, context);
}

/* A variable (its slot goes to *context) or a type. */
static const void *S_find_name(fb_checker *c, fb_slice name, void *context) {
  uint32_t *slot = context;
  if (fb_cel_env_find(c->env, name, slot)) return c->env->vars[*slot].type;
  *slot = FB_AST_NO_SLOT;
  return fb_cel_type_named(name);
}

static const void *S_find_function(fb_checker *c, fb_slice name, void *context) {
  return fb_cel_env_function(c->env, name);
}

static const fb_cel_type *S_become_type(fb_checker *c, fb_ast *ast, const fb_cel_type *type) {
  static const fb_kind kinds[FB_CEL_ERROR + 1] = {[FB_CEL_NULL] = FB_NULL,
                                                  [FB_CEL_BOOL] = FB_BOOL,
                                                  [FB_CEL_INT] = FB_INT,
                                                  [FB_CEL_UINT] = FB_UINT,
                                                  [FB_CEL_DOUBLE] = FB_DOUBLE,
                                                  [FB_CEL_STRING] = FB_STRING,
                                                  [FB_CEL_BYTES] = FB_BYTES,
                                                  [FB_CEL_LIST] = FB_LIST,
                                                  [FB_CEL_MAP] = FB_MAP,
                                                  [FB_CEL_TYPE] = FB_TYPE,
                                                  [FB_CEL_TIMESTAMP] = FB_TIMESTAMP,
                                                  [FB_CEL_DURATION] = FB_DURATION,
                                                  [FB_CEL_OPTIONAL] = FB_OPTIONAL};
  ast->kind = FB_AST_CONST;
  ast->count = 0;
  ast->value = fb_type_value(fb_slice_of(fb_kind_name(kinds[type->kind])));
  const fb_cel_type *made = fb_cel_type_make(c->arena, FB_CEL_TYPE, type, NULL);
  if (made) return made;
  c->no_memory = true;
  return fb_cel_simple(FB_CEL_TYPE);
}

/* A constant, or `variable.field`. */
static const fb_cel_type *S_become_alias(fb_checker *c, fb_ast *ast, const fb_cel_alias *alias) {
  if (alias->slot == FB_AST_NO_SLOT) {
    ast->kind = FB_AST_CONST;
    ast->value = alias->value;
    return alias->type;
  }
  fb_ast *of = fb_arena_zero(&c->expr->arena, sizeof *of);
  fb_ast **args = fb_arena_zero(&c->expr->arena, sizeof *args);
  char *field = fb_arena_text(&c->expr->arena, alias->field);
  if (!of || !args || !field) {
    c->no_memory = true;
    return alias->type;
  }
  *of = *ast;
  of->slot = alias->slot;
  of->type = c->env->vars[alias->slot].type;
  args[0] = of;
  ast->kind = FB_AST_SELECT;
  ast->name = (fb_slice){field, alias->field.len};
  ast->args = args;
  ast->count = 1;
  ast->field = -1;
  return alias->type;
}

const fb_cel_type *fb_resolve_name(fb_checker *c, fb_ast *ast) {
  const fb_ast *head = S_head(ast);
  const fb_scope *local = S_local(c, head);
  if (local) {
    if (ast != head) return NULL;
    ast->local = true;
    ast->slot = local->local;
    return local->type;
  }
  char text[QUALIFIED_MAX];
  size_t len = 0;
  if (!S_qualified(ast, text, &len)) return NULL;
  uint32_t slot = FB_AST_NO_SLOT;
  const fb_cel_type *type =
      S_candidates(c, (fb_slice){text, len}, head->absolute, S_find_name, &slot);
  if ((!type || slot == FB_AST_NO_SLOT) && ast == head) {
    const fb_cel_alias *alias = fb_cel_env_find_alias(c->env, ast->name);
    if (alias) return S_become_alias(c, ast, alias);
  }
  if (!type) return NULL;
  if (slot == FB_AST_NO_SLOT) return S_become_type(c, ast, type);
  if (ast->kind == FB_AST_SELECT) {
    char *name = fb_arena_text(c->arena, (fb_slice){text, len});
    if (!name) c->no_memory = true;
    ast->name = name ? (fb_slice){name, len} : ast->name;
  }
  ast->kind = FB_AST_NAME;
  ast->count = 0;
  ast->slot = slot;
  return type;
}

const fb_cel_signature *fb_resolve_function(fb_checker *c, fb_ast *call) {
  char text[QUALIFIED_MAX];
  size_t len = 0;
  if (!call->member) return S_candidates(c, call->name, call->absolute, S_find_function, NULL);
  const fb_ast *target = call->args[0], *head = S_head(target);
  if (S_local(c, head) || !S_qualified(target, text, &len) ||
      len + 1 + call->name.len > sizeof text)
    return fb_cel_env_function(c->env, call->name);
  text[len++] = '.';
  memcpy(text + len, call->name.ptr, call->name.len);
  len += call->name.len;
  const fb_cel_signature *found =
      S_candidates(c, (fb_slice){text, len}, head->absolute, S_find_function, NULL);
  if (!found) return fb_cel_env_function(c->env, call->name);
  call->member = false;
  call->name = fb_slice_of(found->overload->name);
  call->args++;
  call->count--;
  return found;
}

/* ── Did you mean ────────────────────────────────────────────────────────────────────────────── */

typedef struct S_names {
  const char **items;
  size_t count, cap;
} S_names;

static void S_add_name(fb_checker *c, S_names *names, fb_slice name) {
  char *text = fb_arena_text(c->arena, name);
  if (text && fb_grow(c->env->allocator, (void **)&names->items, &names->cap, names->count,
                      sizeof *names->items))
    names->items[names->count++] = text;
}

static const char *S_nearest(fb_checker *c, S_names *names, fb_slice name) {
  const char *found = fb_nearest(name, names->items, names->count);
  fb_free(c->env->allocator, names->items, names->cap * sizeof *names->items);
  return found;
}

const char *fb_resolve_near_name(fb_checker *c, fb_slice name) {
  if (++c->guesses > FB_GUESSES) return NULL;
  S_names names = {0};
  for (const fb_scope *scope = c->scope; scope; scope = scope->outer)
    S_add_name(c, &names, scope->name);
  for (uint32_t i = 0; i < c->env->var_count; i++) S_add_name(c, &names, c->env->vars[i].name);
  for (uint32_t i = 0; i < c->env->alias_count; i++) S_add_name(c, &names, c->env->aliases[i].name);
  return S_nearest(c, &names, name);
}

const char *fb_resolve_near_function(fb_checker *c, fb_slice name) {
  static const char *const macros[] = {
      "has",       "all",    "exists",        "exists_one",   "existsOne",         "filter",
      "map",       "sortBy", "transformList", "transformMap", "transformMapEntry", "optMap",
      "optFlatMap"};
  if (++c->guesses > FB_GUESSES) return NULL;
  S_names names = {0};
  for (size_t i = 0; i < sizeof macros / sizeof *macros; i++)
    S_add_name(c, &names, fb_slice_of(macros[i]));
  for (size_t i = 0; i < c->env->functions.cap; i++) {
    fb_slice key = c->env->functions.slots[i].key;
    if (key.ptr && key.ptr[0] != '_' && key.ptr[0] != '@') S_add_name(c, &names, key);
  }
  return S_nearest(c, &names, name);
}

const char *fb_resolve_near_field(fb_checker *c, const fb_fact_type *type, fb_slice name) {
  if (++c->guesses > FB_GUESSES) return NULL;
  S_names names = {0};
  for (uint32_t i = 0; i < type->field_count; i++) S_add_name(c, &names, type->fields[i].name);
  return S_nearest(c, &names, name);
}
