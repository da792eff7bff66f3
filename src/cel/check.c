/* SPDX-License-Identifier: Apache-2.0
 * The type checker. */
#include "cel/check.h"

#include <stdio.h>

static const fb_cel_type *S_check(fb_checker *c, fb_ast *ast);

/* ── Tools ───────────────────────────────────────────────────────────────────────────────────── */

static const fb_cel_type *S_simple(fb_cel_kind kind) {
  return fb_cel_simple(kind);
}

static const fb_cel_type *S_make(fb_checker *c, fb_cel_kind kind, const fb_cel_type *a,
                                 const fb_cel_type *b) {
  const fb_cel_type *made = fb_cel_type_make(c->arena, kind, a, b);
  if (made) return made;
  c->no_memory = true;
  return S_simple(FB_CEL_DYN);
}

/* The type's name, for a message; cut off where `size` ends. */
static const char *S_write(fb_checker *c, const fb_cel_type *type, char *out, size_t size) {
  fb_buf buf;
  fb_buf_init(&buf, c->env->allocator, 0);
  fb_cel_type_write(fb_unify_apply(c, type, true), &buf);
  snprintf(out, size, "%.*s", (int)buf.len, buf.ptr ? buf.ptr : "");
  fb_buf_release(&buf);
  return out;
}

typedef struct S_type_name {
  char text[96];
} S_type_name;
#define S_NAME(type) S_write(c, (type), (S_type_name){{0}}.text, sizeof(S_type_name))

/* Reports (unless lenient) and gives the type that fits everything. */
#define S_FAIL(code, from, len, hint, ...)                                                 \
  (c->lenient ? S_simple(FB_CEL_DYN)                                                       \
              : (fb_cel_report_add(c->report, (code), (from), (len), (hint), __VA_ARGS__), \
                 S_simple(FB_CEL_ERROR)))

static bool S_is_wild(const fb_cel_type *type) {
  return type->kind == FB_CEL_DYN || type->kind == FB_CEL_ERROR || type->kind == FB_CEL_PARAM;
}

static void S_need_bool(fb_checker *c, const fb_ast *ast, const char *what) {
  if (!fb_unify_assign(c, ast->type, S_simple(FB_CEL_BOOL)))
    (void)S_FAIL(FB_E_CEL_TYPE, ast->offset, ast->length, NULL, "%s must be bool, this is %s", what,
                 S_NAME(ast->type));
}

/* ── Constants and names ─────────────────────────────────────────────────────────────────────── */

static const fb_cel_type *S_constant(const fb_ast *ast) {
  static const uint8_t kinds[FB_KIND_COUNT] = {
      [FB_NULL] = FB_CEL_NULL,  [FB_BOOL] = FB_CEL_BOOL,     [FB_INT] = FB_CEL_INT,
      [FB_UINT] = FB_CEL_UINT,  [FB_DOUBLE] = FB_CEL_DOUBLE, [FB_STRING] = FB_CEL_STRING,
      [FB_BYTES] = FB_CEL_BYTES};
  return S_simple(kinds[ast->value.kind]);
}

static const fb_cel_type *S_name(fb_checker *c, fb_ast *ast) {
  const fb_cel_type *type = fb_resolve_name(c, ast);
  if (type || c->lenient) return type ? type : S_simple(FB_CEL_DYN);
  const char *near = fb_resolve_near_name(c, ast->name);
  char hint[200];
  snprintf(hint, sizeof hint, "did you mean `%s`?", near ? near : "");
  return S_FAIL(FB_E_CEL_UNDECLARED, ast->offset, ast->length, near ? hint : NULL,
                "`%.*s` is not declared", (int)ast->name.len, ast->name.ptr);
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────── */

static const fb_cel_type *S_field_type(fb_field_type type) {
  static const uint8_t kinds[] = {[FB_FIELD_ANY] = FB_CEL_DYN,
                                  [FB_FIELD_BOOL] = FB_CEL_BOOL,
                                  [FB_FIELD_INT] = FB_CEL_INT,
                                  [FB_FIELD_UINT] = FB_CEL_UINT,
                                  [FB_FIELD_DOUBLE] = FB_CEL_DOUBLE,
                                  [FB_FIELD_STRING] = FB_CEL_STRING,
                                  [FB_FIELD_BYTES] = FB_CEL_BYTES,
                                  [FB_FIELD_TIMESTAMP] = FB_CEL_TIMESTAMP,
                                  [FB_FIELD_DURATION] = FB_CEL_DURATION,
                                  [FB_FIELD_LIST] = FB_CEL_LIST,
                                  [FB_FIELD_MAP] = FB_CEL_MAP};
  return S_simple(kinds[type]);
}

static const fb_cel_type *S_fact_field(fb_checker *c, fb_ast *ast, const fb_fact_type *fact) {
  ast->field = fb_fact_type_field(fact, ast->name);
  if (ast->field >= 0) return S_field_type(fact->fields[ast->field].type);
  if (fact->open) return S_simple(FB_CEL_DYN);
  const char *near = fb_resolve_near_field(c, fact, ast->name);
  char hint[200];
  snprintf(hint, sizeof hint, "did you mean `%s`?", near ? near : "");
  return S_FAIL(FB_E_CEL_UNDECLARED, ast->name_offset, ast->name.len, near ? hint : NULL,
                "fact `%.*s` has no field `%.*s`", (int)fact->name.len, fact->name.ptr,
                (int)ast->name.len, ast->name.ptr);
}

static const fb_cel_type *S_member(fb_checker *c, fb_ast *ast, const fb_cel_type *of) {
  of = fb_unify_look(c, of);
  if (S_is_wild(of)) return S_simple(FB_CEL_DYN);
  if (of->kind == FB_CEL_MAP) return of->b;
  if (of->kind == FB_CEL_FACT) return S_fact_field(c, ast, of->fact);
  return S_FAIL(FB_E_CEL_TYPE, ast->name_offset, ast->name.len, NULL,
                "%s has no fields, so no `%.*s`", S_NAME(of), (int)ast->name.len, ast->name.ptr);
}

static const fb_cel_type *S_select(fb_checker *c, fb_ast *ast) {
  if (!ast->test_only && !ast->optional) {
    const fb_cel_type *named = fb_resolve_name(c, ast);
    if (named) return named;
  }
  const fb_cel_type *of = fb_unify_look(c, S_check(c, ast->args[0]));
  bool in_optional = of->kind == FB_CEL_OPTIONAL;
  const fb_cel_type *type = S_member(c, ast, in_optional ? of->a : of);
  if (in_optional) ast->field = -1;
  if (ast->test_only) return S_simple(FB_CEL_BOOL);
  if (!in_optional && !ast->optional) return type;
  return fb_unify_look(c, type)->kind == FB_CEL_OPTIONAL && in_optional
             ? type
             : S_make(c, FB_CEL_OPTIONAL, type, NULL);
}

/* ── Calls and operators ─────────────────────────────────────────────────────────────────────── */

/* "_+_" → "+", "@in" → "in", "_[_]" → "[]". */
static const char *S_display(fb_slice name, char out[64]) {
  size_t len = 0;
  for (size_t i = 0; i < name.len && len < 63; i++)
    if ((name.ptr[i] != '_' && name.ptr[i] != '@') ||
        (name.ptr[0] != '_' && name.ptr[0] != '@' && name.ptr[name.len - 1] != '_'))
      out[len++] = name.ptr[i];
  out[len] = 0;
  return out;
}

static bool S_is_operator(fb_slice name) {
  return name.ptr[0] == '_' || name.ptr[0] == '@' || (name.len == 2 && name.ptr[1] == '_');
}

/* The forms that there are, as far as they fit into a hint. */
static void S_forms(const fb_cel_signature *sig, char *out, size_t size) {
  size_t len = (size_t)snprintf(out, size, "it takes");
  const char *between = " ";
  for (; sig && len < size; sig = sig->next) {
    size_t need = strlen(sig->overload->signature) + strlen(between);
    if (len + need + 6 > size) {
      snprintf(out + len, size - len, " …");
      return;
    }
    len += (size_t)snprintf(out + len, size - len, "%s%s", between, sig->overload->signature);
    between = ", ";
  }
}

static const fb_cel_type *S_no_overload(fb_checker *c, fb_ast *ast, const fb_cel_signature *sigs) {
  char types[280] = "", hint[230], name[64];
  size_t len = 0;
  for (uint32_t i = 0; i < ast->count && len < sizeof types; i++)
    len += (size_t)snprintf(types + len, sizeof types - len, "%s%s",
                            i == 0                  ? ""
                            : i == 1 && ast->member ? ".("
                                                    : ", ",
                            S_NAME(ast->args[i]->type));
  bool numbers = ast->count == 2 && S_is_operator(ast->name);
  for (uint32_t i = 0; i < ast->count; i++) {
    fb_cel_kind kind = fb_unify_look(c, ast->args[i]->type)->kind;
    if (kind != FB_CEL_INT && kind != FB_CEL_UINT && kind != FB_CEL_DOUBLE) numbers = false;
  }
  if (numbers)
    snprintf(hint, sizeof hint,
             "convert one with int(), uint() or double(), or write the literal as 1, 1u or 1.0");
  else
    S_forms(sigs, hint, sizeof hint);
  bool paren = !ast->member;
  const char *end = ast->member ? (ast->count > 1 ? ")" : ".()") : ")";
  return S_FAIL(FB_E_CEL_TYPE, ast->offset, ast->length, hint, "no form of `%s` takes %s%s%s",
                S_display(ast->name, name), paren ? "(" : "", types, end);
}

/* Binds what the overload says about its arguments; NULL (and nothing bound) when they do not fit. */
static const fb_cel_type *S_try(fb_checker *c, const fb_cel_signature *sig, fb_ast *const *args,
                                uint32_t count) {
  const fb_cel_type *fresh[26] = {NULL};
  size_t mark = c->trail_count;
  for (uint32_t i = 0; i < count; i++) {
    const fb_cel_type *param = sig->params[i < sig->count ? i : sig->count - 1];
    if (fb_unify_assign(c, args[i]->type, fb_unify_instance(c, param, fresh))) continue;
    while (c->trail_count > mark) {
      fb_unify_step step = c->trail[--c->trail_count];
      c->bound[step.param] = step.before;
    }
    return NULL;
  }
  return fb_unify_instance(c, sig->result, fresh);
}

/* Will evaluation take this overload if it comes to it? The kinds of all arguments are known and fit, so the VM,
 * which takes the first that fits, never gets to those after it. */
static bool S_certain(const fb_checker *c, const fb_cel_signature *sig, fb_ast *const *args,
                      uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    fb_cel_kind param = sig->params[i < sig->count ? i : sig->count - 1]->kind;
    if (param != FB_CEL_DYN && param != FB_CEL_PARAM &&
        fb_unify_look(c, args[i]->type)->kind != param)
      return false;
  }
  return true;
}

static const fb_cel_type *S_overloads(fb_checker *c, fb_ast *ast, const fb_cel_signature *sigs) {
  const fb_cel_type *result = NULL;
  for (const fb_cel_signature *sig = sigs; sig; sig = sig->next) {
    if (!fb_cel_signature_takes(sig, ast->member, ast->count)) continue;
    const fb_cel_type *type = S_try(c, sig, ast->args, ast->count);
    if (!type) continue;
    if (!result && S_certain(c, sig, ast->args, ast->count)) return type;
    if (!result)
      result = type;
    else if (!fb_cel_type_equal(fb_unify_apply(c, result, false), fb_unify_apply(c, type, false)))
      result = S_simple(FB_CEL_DYN);
  }
  return result ? result : S_no_overload(c, ast, sigs);
}

static const fb_cel_type *S_unknown_function(fb_checker *c, fb_ast *ast) {
  const char *near = fb_resolve_near_function(c, ast->name);
  char hint[200];
  snprintf(hint, sizeof hint, "did you mean `%s`?", near ? near : "");
  return S_FAIL(FB_E_CEL_UNDECLARED, ast->name_offset, ast->name.len, near ? hint : NULL,
                "there is no function `%.*s`", (int)ast->name.len, ast->name.ptr);
}

static const fb_cel_type *S_call(fb_checker *c, fb_ast *ast) {
  const fb_cel_signature *sigs = S_is_operator(ast->name) ? fb_cel_env_function(c->env, ast->name)
                                                          : fb_resolve_function(c, ast);
  bool target_unknown = !sigs && ast->member && ast->args[0]->kind == FB_AST_NAME && !c->lenient;
  for (uint32_t i = 0; i < ast->count; i++) S_check(c, ast->args[i]);
  ast->function = sigs;
  if (!sigs)
    return target_unknown && ast->args[0]->type->kind == FB_CEL_ERROR ? ast->args[0]->type
                                                                      : S_unknown_function(c, ast);
  if (fb_slice_equal(ast->name, FB_SLICE("@in")) &&
      fb_unify_look(c, ast->args[1]->type)->kind == FB_CEL_FACT &&
      fb_unify_assign(c, ast->args[0]->type, S_simple(FB_CEL_STRING)))
    return S_simple(FB_CEL_BOOL); /* has it such a field? */
  return S_overloads(c, ast, sigs);
}

static const fb_cel_type *S_index(fb_checker *c, fb_ast *ast) {
  const fb_cel_type *of = fb_unify_look(c, S_check(c, ast->args[0]));
  S_check(c, ast->args[1]);
  ast->name = ast->optional ? FB_SLICE("_[?_]") : FB_SLICE("_[_]");
  if (of->kind == FB_CEL_FACT && fb_unify_assign(c, ast->args[1]->type, S_simple(FB_CEL_STRING)))
    return ast->optional ? S_simple(FB_CEL_OPTIONAL) : S_simple(FB_CEL_DYN);
  return S_overloads(c, ast, fb_cel_env_function(c->env, ast->name));
}

static const fb_cel_type *S_logic(fb_checker *c, fb_ast *ast) {
  for (uint32_t i = 0; i < 2; i++) {
    S_check(c, ast->args[i]);
    S_need_bool(c, ast->args[i], ast->kind == FB_AST_AND ? "what `&&` joins" : "what `||` joins");
  }
  return S_simple(FB_CEL_BOOL);
}

static const fb_cel_type *S_condition(fb_checker *c, fb_ast *ast) {
  for (uint32_t i = 0; i < 3; i++) S_check(c, ast->args[i]);
  S_need_bool(c, ast->args[0], "the condition before `?`");
  const fb_cel_type *yes = ast->args[1]->type, *no = ast->args[2]->type;
  if (!fb_unify_assign(c, yes, no))
    return S_FAIL(FB_E_CEL_TYPE, ast->offset, ast->length,
                  "make them the same, or wrap one in dyn()",
                  "the two sides of `:` have different types: %s and %s", S_NAME(yes), S_NAME(no));
  return fb_unify_join(c, yes, no);
}

/* ── Lists and maps ──────────────────────────────────────────────────────────────────────────── */

/* An element written `?x` is an optional; what counts is what is inside. */
static const fb_cel_type *S_element(fb_checker *c, fb_ast *ast, bool optional) {
  const fb_cel_type *type = S_check(c, ast);
  if (!optional) return type;
  type = fb_unify_look(c, type);
  if (type->kind == FB_CEL_OPTIONAL) return type->a;
  if (S_is_wild(type)) return S_simple(FB_CEL_DYN);
  return S_FAIL(FB_E_CEL_TYPE, ast->offset, ast->length, "as in [?optional.of(x)], [?m.?key]",
                "an element with `?` must be optional, this is %s", S_NAME(type));
}

static const fb_cel_type *S_list(fb_checker *c, fb_ast *ast) {
  const fb_cel_type *element = NULL;
  for (uint32_t i = 0; i < ast->count; i++) {
    const fb_cel_type *type = S_element(c, ast->args[i], i < 64 && (ast->optional_args >> i & 1));
    element = element ? fb_unify_join(c, element, type) : type;
  }
  return S_make(c, FB_CEL_LIST, element ? element : fb_unify_fresh(c), NULL);
}

static void S_check_key(fb_checker *c, const fb_ast *ast) {
  const fb_cel_type *type = fb_unify_look(c, ast->type);
  if (S_is_wild(type) || type->kind == FB_CEL_BOOL || type->kind == FB_CEL_INT ||
      type->kind == FB_CEL_UINT || type->kind == FB_CEL_STRING)
    return;
  (void)S_FAIL(FB_E_CEL_TYPE, ast->offset, ast->length, "keys are bool, int, uint or string",
               "%s cannot be a key of a map", S_NAME(type));
}

static const fb_cel_type *S_map(fb_checker *c, fb_ast *ast) {
  const fb_cel_type *key = NULL, *value = NULL;
  for (uint32_t i = 0; i < ast->count; i += 2) {
    const fb_cel_type *k = S_check(c, ast->args[i]);
    S_check_key(c, ast->args[i]);
    const fb_cel_type *v =
        S_element(c, ast->args[i + 1], i < 128 && (ast->optional_args >> i / 2 & 1));
    key = key ? fb_unify_join(c, key, k) : k;
    value = value ? fb_unify_join(c, value, v) : v;
  }
  return S_make(c, FB_CEL_MAP, key ? key : fb_unify_fresh(c), value ? value : fb_unify_fresh(c));
}

/* ── Comprehensions ──────────────────────────────────────────────────────────────────────────── */

typedef struct S_range {
  const fb_cel_type *first,
      *second;               /* of the variables if there are two: index or key, and value */
  const fb_cel_type *single; /* of the variable if there is one: element or key */
} S_range;

static S_range S_range_types(fb_checker *c, const fb_ast *ast, const fb_cel_type *of) {
  const fb_cel_type *dyn = S_simple(FB_CEL_DYN), *string = S_simple(FB_CEL_STRING);
  switch (of->kind) {
    case FB_CEL_LIST: return (S_range){S_simple(FB_CEL_INT), of->a, of->a};
    case FB_CEL_MAP: return (S_range){of->a, of->b, of->a};
    case FB_CEL_FACT: return (S_range){string, dyn, string};
    case FB_CEL_PARAM: fb_unify_assign(c, dyn, of); return (S_range){dyn, dyn, dyn};
    case FB_CEL_DYN:
    case FB_CEL_ERROR: return (S_range){dyn, dyn, dyn};
    default: break;
  }
  (void)S_FAIL(FB_E_CEL_TYPE, ast->args[0]->offset, ast->args[0]->length, NULL,
               "`%.*s` goes through a list or a map, this is %s", (int)ast->name.len, ast->name.ptr,
               S_NAME(of));
  return (S_range){dyn, dyn, dyn};
}

static const fb_cel_type *S_loop_result(fb_checker *c, fb_ast *ast, S_range range) {
  fb_ast *body = ast->args[1];
  const fb_cel_type *type = fb_unify_look(c, body->type);
  const fb_cel_type *key = range.first, *dyn = S_simple(FB_CEL_DYN);
  switch (ast->loop->kind) {
    case FB_LOOP_MAP: return S_make(c, FB_CEL_LIST, type, NULL);
    case FB_LOOP_TRANSFORM_MAP: return S_make(c, FB_CEL_MAP, key, type);
    case FB_LOOP_TRANSFORM_ENTRY:
      if (type->kind == FB_CEL_MAP) return type;
      if (S_is_wild(type)) return S_make(c, FB_CEL_MAP, dyn, dyn);
      return S_FAIL(FB_E_CEL_TYPE, body->offset, body->length, "as in {k: v}",
                    "`transformMapEntry` makes a map of maps, this is %s", S_NAME(type));
    case FB_LOOP_SORT_BY:
      if (type->kind == FB_CEL_LIST || type->kind == FB_CEL_MAP || type->kind == FB_CEL_NULL ||
          type->kind == FB_CEL_OPTIONAL || type->kind == FB_CEL_TYPE || type->kind == FB_CEL_FACT)
        return S_FAIL(FB_E_CEL_TYPE, body->offset, body->length, NULL, "there is no order of %s",
                      S_NAME(type));
      return S_make(c, FB_CEL_LIST, range.single, NULL);
    case FB_LOOP_FILTER:
      S_need_bool(c, body, "the condition of `filter`");
      return S_make(c, FB_CEL_LIST, range.single, NULL);
    default: S_need_bool(c, body, "the condition of a comprehension"); return S_simple(FB_CEL_BOOL);
  }
}

static const fb_cel_type *S_opt_map(fb_checker *c, fb_ast *ast, const fb_cel_type *of) {
  const fb_ast *range = ast->args[0];
  if (of->kind != FB_CEL_OPTIONAL && !S_is_wild(of))
    return S_FAIL(FB_E_CEL_TYPE, range->offset, range->length, NULL,
                  "`%.*s` is for optionals, this is %s", (int)ast->name.len, ast->name.ptr,
                  S_NAME(of));
  fb_scope scope = {ast->loop->names[0], of->kind == FB_CEL_OPTIONAL ? of->a : S_simple(FB_CEL_DYN),
                    c->expr->locals, c->scope};
  ast->loop->locals[0] = c->expr->locals++;
  c->scope = &scope;
  const fb_cel_type *type = fb_unify_look(c, S_check(c, ast->args[1]));
  c->scope = scope.outer;
  if (ast->loop->kind == FB_LOOP_OPT_MAP) return S_make(c, FB_CEL_OPTIONAL, type, NULL);
  if (type->kind == FB_CEL_OPTIONAL || S_is_wild(type)) return type;
  return S_FAIL(FB_E_CEL_TYPE, ast->args[1]->offset, ast->args[1]->length,
                "use optMap, or wrap it in optional.of()",
                "`optFlatMap` needs an optional, this is %s", S_NAME(type));
}

static const fb_cel_type *S_comprehension(fb_checker *c, fb_ast *ast) {
  const fb_cel_type *of = fb_unify_look(c, S_check(c, ast->args[0]));
  fb_ast_loop *loop = ast->loop;
  if (loop->kind >= FB_LOOP_OPT_MAP) return S_opt_map(c, ast, of);
  S_range range = S_range_types(c, ast, of);
  fb_scope first = {loop->names[0], loop->count == 1 ? range.single : range.first, c->expr->locals,
                    c->scope};
  fb_scope second = {loop->names[1], range.second, c->expr->locals + 1, &first};
  loop->locals[0] = first.local;
  loop->locals[1] = second.local;
  c->expr->locals += loop->count;
  c->scope = loop->count == 1 ? &first : &second;
  for (uint32_t i = ast->count; i-- > 1;)
    S_check(c, ast->args[i]); /* the filter says more of the types */
  c->scope = first.outer;
  if (ast->count == 3) S_need_bool(c, ast->args[2], "the filter");
  return S_loop_result(c, ast, range);
}

static const fb_cel_type *S_bind(fb_checker *c, fb_ast *ast) {
  const fb_cel_type *type = S_check(c, ast->args[0]);
  fb_scope scope = {ast->loop->names[0], type, c->expr->locals, c->scope};
  ast->loop->locals[0] = c->expr->locals++;
  c->scope = &scope;
  type = S_check(c, ast->args[1]);
  c->scope = scope.outer;
  return type;
}

static const fb_cel_type *S_check(fb_checker *c, fb_ast *ast) {
  const fb_cel_type *type = NULL;
  switch (ast->kind) {
    case FB_AST_CONST: type = S_constant(ast); break;
    case FB_AST_NAME: type = S_name(c, ast); break;
    case FB_AST_SELECT: type = S_select(c, ast); break;
    case FB_AST_INDEX: type = S_index(c, ast); break;
    case FB_AST_CALL: type = S_call(c, ast); break;
    case FB_AST_AND:
    case FB_AST_OR: type = S_logic(c, ast); break;
    case FB_AST_COND: type = S_condition(c, ast); break;
    case FB_AST_LIST: type = S_list(c, ast); break;
    case FB_AST_MAP: type = S_map(c, ast); break;
    case FB_AST_COMPREHENSION: type = S_comprehension(c, ast); break;
    case FB_AST_BIND: type = S_bind(c, ast); break;
  }
  return ast->type = type;
}

/* Puts the final types in place of those with parameters. */
static void S_finish(fb_checker *c, fb_ast *ast) {
  ast->type = ast->type ? fb_unify_apply(c, ast->type, true) : S_simple(FB_CEL_DYN);
  for (uint32_t i = 0; i < ast->count; i++) S_finish(c, ast->args[i]);
}

fb_status fb_check_expr(fb_checker *c, const fb_cel_type *want) {
  fb_ast *root = c->expr->root;
  S_check(c, root);
  if (want && !fb_unify_assign(c, root->type, want))
    (void)S_FAIL(FB_E_CEL_TYPE, root->offset, root->length, NULL,
                 "this is %s, but %s is wanted here", S_NAME(root->type), S_NAME(want));
  S_finish(c, root);
  if (c->work > FB_UNIFY_WORK)
    fb_cel_report_add(c->report, FB_E_CEL_TOO_LARGE, root->offset, root->length,
                      "use dyn() in it, or split it", "the types of the expression are too large");
  return c->no_memory ? FB_E_NOMEM : c->report->first;
}
