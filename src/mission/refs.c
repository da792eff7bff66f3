/* SPDX-License-Identifier: Apache-2.0
 *
 * Names in expressions that CEL itself cannot check: steps, inputs, and the fields of a step's result. Only
 * texts that read such variables come here.
 */
#include "cel/ast.h"
#include "mission/plan.h"

#include <stdio.h>

static const char *const S_fields[] = {"ok",   "status", "skipped",  "output", "stdout", "stderr",
                                       "exit", "signal", "duration", "error",  "items"};
enum { FIELD_COUNT = sizeof S_fields / sizeof *S_fields };

typedef struct S_check {
  fb_mission_loader *loader;
  const fb_source_text *source;
  const fb_node *node; /* the text in the document; NULL: a file's whole text */
  size_t base;         /* of the expression within the text */
} S_check;

static void S_report(const S_check *check, const fb_error *what, size_t offset, size_t length) {
  fb_error err = *what;
  if (check->node)
    fb_doc_relocate(check->loader->doc, check->node, check->base + offset, length, &err);
  else
    fb_error_locate(&err, check->source->name, check->source->text, check->base + offset, length);
  fb_errors_add(check->loader->errors, &err);
}

static void S_unknown_step(const S_check *check, fb_slice name, size_t offset) {
  fb_error err = {0};
  fb_fail(&err, FB_E_MISSION_STEP, "unknown step `%.*s`", (int)name.len, name.ptr);
  const char *near = fb_loader_nearest_step(check->loader, name);
  if (near) fb_error_hint(&err, "did you mean `steps.%s`?", near);
  S_report(check, &err, offset, name.len);
}

static void S_unknown_input(const S_check *check, fb_slice name, size_t offset) {
  fb_error err = {0};
  fb_input_unknown(check->loader->mission, name, &err);
  S_report(check, &err, offset, name.len);
}

static void S_unknown_secret(const S_check *check, fb_slice name, size_t offset) {
  fb_error err = {0};
  fb_secret_unknown(check->loader->mission, name, &err);
  S_report(check, &err, offset, name.len);
}

static void S_unknown_field(const S_check *check, fb_slice name, size_t offset) {
  fb_error err = {0};
  fb_fail(&err, FB_E_MISSION_FIELD, "a step's result has no `%.*s`", (int)name.len, name.ptr);
  const char *near = fb_nearest(name, S_fields, FIELD_COUNT);
  if (near)
    fb_error_hint(&err, "did you mean `%s`?", near);
  else
    fb_error_hint(&err, "what the step gives is in `output`: steps.ID.output.%.*s", (int)name.len,
                  name.ptr);
  S_report(check, &err, offset, name.len);
}

static bool S_is_field(fb_slice name) {
  for (int i = 0; i < FIELD_COUNT; i++)
    if (fb_slice_equal(name, fb_slice_of(S_fields[i]))) return true;
  return false;
}

static bool S_is_slot(const fb_ast *ast, uint32_t slot) {
  return ast->kind == FB_AST_NAME && !ast->local && ast->slot == slot;
}

static bool S_is_step(const S_check *check, const fb_ast *ast) {
  const fb_mission *mission = check->loader->mission;
  return ast->kind == FB_AST_NAME && !ast->local && ast->slot >= fb_slot_of_step(mission, 0) &&
         ast->slot < fb_slot_item(mission);
}

static void S_select(const S_check *check, const fb_ast *ast) {
  const fb_ast *of = ast->args[0];
  if (S_is_slot(of, FB_SLOT_STEPS))
    S_unknown_step(check, ast->name, ast->name_offset);
  else if (S_is_slot(of, FB_SLOT_INPUTS))
    S_unknown_input(check, ast->name, ast->name_offset);
  else if (S_is_slot(of, FB_SLOT_SECRETS))
    S_unknown_secret(check, ast->name, ast->name_offset);
  else if (S_is_step(check, of) && !S_is_field(ast->name))
    S_unknown_field(check, ast->name, ast->name_offset);
}

static void S_bare_steps(const S_check *check, const fb_ast *ast) {
  fb_error err = {0};
  fb_fail(&err, FB_E_MISSION_STEP, "`steps` is not a value by itself");
  fb_error_hint(&err, "name one: steps.ID.output");
  S_report(check, &err, ast->offset, ast->length);
}

static void S_bare_secrets(const S_check *check, const fb_ast *ast) {
  fb_error err = {0};
  fb_fail(&err, FB_E_MISSION_SECRET, "`secrets` is not a value by itself");
  fb_error_hint(&err, "name one: secrets.NAME");
  S_report(check, &err, ast->offset, ast->length);
}

static void S_never(const S_check *check, const fb_ast *ast) {
  fb_finding finding;
  if (!fb_never_find(check->loader->mission, ast, &finding)) return;
  S_check place = *check;
  fb_mission_loader loader = *check->loader;
  if (finding.warning && !loader.warnings) return;
  if (finding.warning) loader.errors = loader.warnings;
  place.loader = &loader;
  S_report(&place, &finding.error, finding.offset, finding.length);
}

/* The parser bounds the depth. */
static void S_walk(const S_check *check, const fb_ast *ast) {
  S_never(check, ast);
  if (S_is_slot(ast, FB_SLOT_STEPS)) S_bare_steps(check, ast);
  if (S_is_slot(ast, FB_SLOT_SECRETS)) S_bare_secrets(check, ast);
  if (ast->kind == FB_AST_SELECT) S_select(check, ast);
  bool reported = ast->kind == FB_AST_SELECT && (S_is_slot(ast->args[0], FB_SLOT_STEPS) ||
                                                 S_is_slot(ast->args[0], FB_SLOT_SECRETS));
  for (uint32_t i = 0; i < ast->count && !reported; i++) S_walk(check, ast->args[i]);
}

static void S_expression(S_check *check, fb_slice source) {
  fb_cel_expr *expr;
  fb_errors errors;
  fb_errors_init(&errors, check->loader->allocator, 1);
  fb_status status = fb_cel_parse(check->loader->env, source, NULL, &expr, &errors);
  if (status == FB_E_NOMEM) check->loader->out_of_memory = true;
  if (!status) {
    S_walk(check, expr->root);
    fb_cel_expr_free(expr);
  }
  fb_errors_release(&errors);
}

/* Where the expression that starts at `at` ends: at "}}" outside of texts and braces. */
static size_t S_expression_end(fb_slice text, size_t at) {
  char quote = 0;
  int depth = 0;
  for (; at < text.len; at++) {
    char c = text.ptr[at];
    if (quote) {
      if (c == '\\')
        at++;
      else if (c == quote)
        quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '{') {
      depth++;
    } else if (c == '}' && depth > 0) {
      depth--;
    } else if (c == '}' && at + 1 < text.len && text.ptr[at + 1] == '}') {
      return at;
    }
  }
  return text.len;
}

static void S_text(S_check *check, fb_slice text) {
  for (size_t at = 0; at + 3 <= text.len;) {
    const char *found = memmem(text.ptr + at, text.len - at, "${{", 3);
    if (!found) return;
    size_t start = (size_t)(found - text.ptr);
    at = start + 3;
    if (start > 0 && text.ptr[start - 1] == '$') continue; /* a literal "${{" */
    size_t end = S_expression_end(text, at);
    check->base = at;
    S_expression(check, (fb_slice){text.ptr + at, end - at});
    at = end;
  }
}

static void S_node(S_check *check, const fb_node *node) {
  check->node = node;
  if (node->kind == FB_STRING) S_text(check, fb_node_text(node));
  if (node->kind == FB_LIST)
    for (uint32_t i = 0; i < node->count; i++) S_node(check, &node->as.items[i]);
  if (node->kind == FB_MAP)
    for (uint32_t i = 0; i < node->count; i++) S_node(check, &node->as.pairs[i].value);
}

void fb_refs_check(fb_mission_loader *loader, const fb_source_text *source) {
  S_check check = {.loader = loader, .source = source, .node = source->node};
  if (source->bare)
    S_expression(&check, source->text);
  else if (source->node)
    S_node(&check, source->node);
  else
    S_text(&check, source->text);
}
