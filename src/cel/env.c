/* SPDX-License-Identifier: Apache-2.0
 * The environment: which names there are. */
#include "cel/env.h"

#include "cel/ast.h"

static fb_status S_add_library(fb_cel_env *env, const fb_cel_library *library) {
  for (size_t i = 0; i < library->count; i++) {
    fb_cel_signature *sig;
    fb_status status = fb_cel_signature_parse(&env->types, &library->overloads[i], &sig);
    if (status) return status;
    fb_table_slot *slot = fb_table_put(&env->functions, fb_slice_of(sig->overload->name), NULL);
    if (!slot) return FB_E_NOMEM;
    fb_cel_signature **at = (fb_cel_signature **)&slot->value.ptr;
    while (*at) at = &(*at)->next;
    *at = sig;
  }
  return FB_OK;
}

static fb_status S_fill(fb_cel_env *env) {
  fb_status status = S_add_library(env, &fb_cel_operators);
  size_t count;
  const fb_cel_library *libraries = fb_cel_libraries(&count);
  for (size_t i = 0; i < count && !status; i++) status = S_add_library(env, &libraries[i]);
  return status;
}

fb_status fb_cel_env_new(const fb_allocator *allocator, fb_cel_env **ret_env) {
  fb_cel_env *env = fb_alloc_zero(allocator, sizeof *env);
  if (!env) return FB_E_NOMEM;
  env->allocator = allocator;
  fb_arena_init(&env->types, allocator, 0);
  fb_arena_init(&env->names, allocator, 0);
  fb_arena_init(&env->container_arena, allocator, 256);
  fb_table_init(&env->functions, allocator, 0);
  fb_table_init(&env->by_name, allocator, 0);
  fb_status status = S_fill(env);
  if (status) {
    fb_cel_env_free(env);
    return status;
  }
  *ret_env = env;
  return FB_OK;
}

void fb_cel_env_free(fb_cel_env *env) {
  if (!env) return;
  fb_arena_release(&env->types);
  fb_arena_release(&env->names);
  fb_arena_release(&env->container_arena);
  fb_table_release(&env->functions);
  fb_table_release(&env->by_name);
  fb_free(env->allocator, env->vars, env->var_cap * sizeof *env->vars);
  fb_free(env->allocator, env->aliases, env->alias_cap * sizeof *env->aliases);
  fb_free(env->allocator, env, sizeof *env);
}

const fb_cel_type *fb_cel_env_list(fb_cel_env *env, const fb_cel_type *element) {
  return fb_cel_type_make(&env->types, FB_CEL_LIST, element, NULL);
}

const fb_cel_type *fb_cel_env_map(fb_cel_env *env, const fb_cel_type *key,
                                  const fb_cel_type *value) {
  return fb_cel_type_make(&env->types, FB_CEL_MAP, key, value);
}

const fb_cel_type *fb_cel_env_fact(fb_cel_env *env, const fb_fact_type *fact) {
  fb_cel_type *type = fb_arena_zero(&env->types, sizeof *type);
  if (type) *type = (fb_cel_type){.kind = FB_CEL_FACT, .fact = fact};
  return type;
}

fb_status fb_cel_env_add(fb_cel_env *env, fb_slice name, const fb_cel_type *type,
                         uint32_t *ret_slot) {
  if (!fb_grow(env->allocator, (void **)&env->vars, &env->var_cap, env->var_count,
               sizeof *env->vars))
    return FB_E_NOMEM;
  fb_arena_mark mark = fb_arena_save(&env->names);
  char *copy = fb_arena_text(&env->names, name);
  fb_slice key = {copy, name.len};
  bool added;
  fb_table_slot *slot = copy ? fb_table_put(&env->by_name, key, &added) : NULL;
  if (!slot) {
    fb_arena_rewind(&env->names, mark);
    return FB_E_NOMEM;
  }
  env->vars[env->var_count] = (fb_cel_var){.name = key,
                                           .type = type ? type : fb_cel_simple(FB_CEL_DYN),
                                           .shadows = (uint32_t)slot->value.number,
                                           .mark = mark};
  slot->value.number = env->var_count + 1;
  if (ret_slot) *ret_slot = env->var_count;
  env->var_count++;
  return FB_OK;
}

/* ── Aliases ── */

static fb_status S_add_alias(fb_cel_env *env, fb_slice name, const fb_cel_type *type,
                             fb_cel_alias alias) {
  if (!fb_grow(env->allocator, (void **)&env->aliases, &env->alias_cap, env->alias_count,
               sizeof *env->aliases))
    return FB_E_NOMEM;
  alias.mark = fb_arena_save(&env->names);
  char *copy = fb_arena_text(&env->names, name), *field = fb_arena_text(&env->names, alias.field);
  if (!copy || !field) {
    fb_arena_rewind(&env->names, alias.mark);
    return FB_E_NOMEM;
  }
  alias.name = (fb_slice){copy, name.len};
  alias.field = (fb_slice){field, alias.field.len};
  alias.type = type ? type : fb_cel_simple(FB_CEL_DYN);
  alias.base = env->var_count;
  env->aliases[env->alias_count++] = alias;
  return FB_OK;
}

fb_status fb_cel_env_add_field(fb_cel_env *env, fb_slice name, uint32_t slot, fb_slice field,
                               const fb_cel_type *type) {
  return S_add_alias(env, name, type, (fb_cel_alias){.slot = slot, .field = field});
}

fb_status fb_cel_env_add_constant(fb_cel_env *env, fb_slice name, fb_value value,
                                  const fb_cel_type *type) {
  return S_add_alias(env, name, type,
                     (fb_cel_alias){.slot = FB_AST_NO_SLOT, .field = {"", 0}, .value = value});
}

const fb_cel_alias *fb_cel_env_find_alias(const fb_cel_env *env, fb_slice name) {
  for (uint32_t i = env->alias_count; i-- > 0;)
    if (fb_slice_equal(env->aliases[i].name, name)) return &env->aliases[i];
  return NULL;
}

/* What was added last goes first, so that names are given back in the order of a stack. */
static void S_drop_aliases(fb_cel_env *env, uint32_t count) {
  while (env->alias_count && env->aliases[env->alias_count - 1].base > count)
    fb_arena_rewind(&env->names, env->aliases[--env->alias_count].mark);
}

void fb_cel_env_truncate(fb_cel_env *env, uint32_t count) {
  while (env->var_count > count) {
    S_drop_aliases(env, env->var_count - 1);
    fb_cel_var *var = &env->vars[--env->var_count];
    if (var->shadows)
      fb_table_get(&env->by_name, var->name)->value.number = var->shadows;
    else
      fb_table_remove(&env->by_name, var->name);
    fb_arena_rewind(&env->names, var->mark);
  }
}

uint32_t fb_cel_env_names(const fb_cel_env *env) {
  return (uint32_t)env->alias_count;
}

void fb_cel_env_forget(fb_cel_env *env, uint32_t names) {
  while (env->alias_count > names)
    fb_arena_rewind(&env->names, env->aliases[--env->alias_count].mark);
}

void fb_cel_env_clear(fb_cel_env *env) {
  fb_cel_env_truncate(env, 0);
  while (env->alias_count) fb_arena_rewind(&env->names, env->aliases[--env->alias_count].mark);
}

uint32_t fb_cel_env_slots(const fb_cel_env *env) {
  return env->var_count;
}

fb_status fb_cel_env_container(fb_cel_env *env, fb_slice name) {
  fb_arena arena;
  fb_arena_init(&arena, env->allocator, 256);
  const char *copy = name.len ? fb_arena_text(&arena, name) : "";
  if (!copy) return FB_E_NOMEM;
  fb_arena_release(&env->container_arena);
  env->container_arena = arena;
  env->container = (fb_slice){copy, name.len};
  return FB_OK;
}

bool fb_cel_env_find(const fb_cel_env *env, fb_slice name, uint32_t *ret_slot) {
  const fb_table_slot *slot = fb_table_get(&env->by_name, name);
  if (!slot) return false;
  *ret_slot = (uint32_t)slot->value.number - 1;
  return true;
}

const fb_cel_signature *fb_cel_env_function(const fb_cel_env *env, fb_slice name) {
  const fb_table_slot *slot = fb_table_get(&env->functions, name);
  return slot ? slot->value.ptr : NULL;
}
