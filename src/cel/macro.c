/* SPDX-License-Identifier: Apache-2.0
 * Macros: calls that are not calls. */
#include "cel/parse.h"

typedef struct S_loop_macro {
  const char *name;
  uint8_t variables;
  uint8_t bodies; /* 2: filter and transform; 1: the other */
  fb_loop_kind kind;
} S_loop_macro;

static const S_loop_macro S_loops[] = {
    {"all", 1, 1, FB_LOOP_ALL},
    {"all", 2, 1, FB_LOOP_ALL},
    {"exists", 1, 1, FB_LOOP_EXISTS},
    {"exists", 2, 1, FB_LOOP_EXISTS},
    {"exists_one", 1, 1, FB_LOOP_EXISTS_ONE},
    {"exists_one", 2, 1, FB_LOOP_EXISTS_ONE},
    {"existsOne", 1, 1, FB_LOOP_EXISTS_ONE},
    {"existsOne", 2, 1, FB_LOOP_EXISTS_ONE},
    {"filter", 1, 1, FB_LOOP_FILTER},
    {"map", 1, 1, FB_LOOP_MAP},
    {"map", 1, 2, FB_LOOP_MAP},
    {"transformList", 2, 1, FB_LOOP_MAP},
    {"transformList", 2, 2, FB_LOOP_MAP},
    {"transformMap", 2, 1, FB_LOOP_TRANSFORM_MAP},
    {"transformMap", 2, 2, FB_LOOP_TRANSFORM_MAP},
    {"transformMapEntry", 2, 1, FB_LOOP_TRANSFORM_ENTRY},
    {"transformMapEntry", 2, 2, FB_LOOP_TRANSFORM_ENTRY},
    {"sortBy", 1, 1, FB_LOOP_SORT_BY},
    {"optMap", 1, 1, FB_LOOP_OPT_MAP},
    {"optFlatMap", 1, 1, FB_LOOP_OPT_FLAT_MAP},
};

/* A variable of a macro is one plain name. */
static bool S_variable(fb_parser *p, const fb_ast *ast, const char *macro) {
  if (ast->kind == FB_AST_NAME && !ast->absolute) return true;
  fb_parse_fail(p, ast->offset, ast->length, "as in list.all(x, x > 0)",
                "the variable of `%s` must be a plain name", macro);
  return false;
}

static fb_ast *S_loop(fb_parser *p, fb_ast *call, const S_loop_macro *macro) {
  fb_ast_loop *loop = fb_arena_zero(p->arena, sizeof *loop);
  if (!loop) {
    p->no_memory = p->panic = true;
    return NULL;
  }
  *loop = (fb_ast_loop){.kind = macro->kind, .count = macro->variables};
  for (uint32_t i = 0; i < loop->count; i++) {
    if (!S_variable(p, call->args[1 + i], macro->name)) return call;
    loop->names[i] = call->args[1 + i]->name;
  }
  if (loop->count == 2 && fb_slice_equal(loop->names[0], loop->names[1])) {
    fb_parse_fail(p, call->args[2]->offset, call->args[2]->length, NULL,
                  "the two variables of `%s` have the same name", macro->name);
    return call;
  }
  fb_ast *args[3] = {call->args[0], call->args[call->count - 1], call->args[call->count - 2]};
  fb_ast *ast = fb_parse_node(p, FB_AST_COMPREHENSION, call->offset, args, macro->bodies + 1u);
  if (!ast) return NULL;
  ast->loop = loop;
  ast->name = call->name;
  ast->name_offset = call->name_offset;
  return ast;
}

static fb_ast *S_has(fb_parser *p, fb_ast *call) {
  fb_ast *field = call->args[0];
  if (field->kind != FB_AST_SELECT || field->optional || field->test_only) {
    fb_parse_fail(p, field->offset, field->length, "as in has(x.field)",
                  "`has` takes the selection of a field");
    return call;
  }
  field->test_only = true;
  field->offset = call->offset;
  field->length = call->length;
  return field;
}

static fb_ast *S_bind(fb_parser *p, fb_ast *call) {
  if (!S_variable(p, call->args[1], "cel.bind")) return call;
  fb_ast_loop *loop = fb_arena_zero(p->arena, sizeof *loop);
  fb_ast *ast = fb_parse_node(p, FB_AST_BIND, call->offset, call->args + 2, 2);
  if (!loop || !ast) {
    p->no_memory = p->panic = true;
    return NULL;
  }
  loop->count = 1;
  loop->names[0] = call->args[1]->name;
  ast->loop = loop;
  ast->name = loop->names[0];
  return ast;
}

fb_ast *fb_parse_macro(fb_parser *p, fb_ast *call) {
  if (!call->member) {
    bool has = call->count == 1 && fb_slice_equal(call->name, FB_SLICE("has"));
    return has ? S_has(p, call) : call;
  }
  const fb_ast *target = call->args[0];
  if (call->count == 4 && fb_slice_equal(call->name, FB_SLICE("bind")) &&
      target->kind == FB_AST_NAME && fb_slice_equal(target->name, FB_SLICE("cel")))
    return S_bind(p, call);
  for (size_t i = 0; i < sizeof S_loops / sizeof *S_loops; i++)
    if (call->count == 1u + S_loops[i].variables + S_loops[i].bodies &&
        fb_slice_equal(call->name, fb_slice_of(S_loops[i].name)))
      return S_loop(p, call, &S_loops[i]);
  return call;
}
