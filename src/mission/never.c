/* SPDX-License-Identifier: Apache-2.0
 *
 * What cannot be, told before anything runs: operators that what a step gives has no form for, fields that it does not
 * have, words that a status never is, steps that never run.
 */
#include "cel/ast.h"
#include "mission/plan.h"

#include <stdio.h>

/* ── What a step gives ───────────────────────────────────────────────────────────────────────── */

typedef enum S_shape { S_ANY, S_TEXT, S_LIST, S_MAP } S_shape;

typedef struct S_output {
  S_shape shape;
  const char *const *keys; /* of a map, as far as they are the same always; NULL: a mission's */
  size_t count;
  const fb_mission *mission;
} S_output;

static S_output S_of_program(const fb_node *node) {
  const fb_node *given = fb_node_get(node, "parse");
  fb_slice parse = fb_node_is(given, FB_STRING) ? fb_node_text(given) : FB_SLICE("");
  if (parse.len == 0 || fb_slice_equal(parse, FB_SLICE("text"))) return (S_output){S_TEXT};
  if (fb_slice_equal(parse, FB_SLICE("json"))) return (S_output){S_ANY};
  return (S_output){S_LIST};
}

static S_output S_of_file(const fb_node *node) {
  if (fb_node_get(node, "list") || fb_node_get(node, "search")) return (S_output){S_LIST};
  return (S_output){fb_node_get(node, "read") && !fb_node_get(node, "parse") ? S_TEXT : S_ANY};
}

/* By the document: steps that come later are not loaded yet. */
static S_output S_output_of(const fb_step *step) {
  static const char *const http[] = {"status", "headers", "body", "json", "url"};
  static const char *const write[] = {"path", "size"};
  static const char *const rules[] = {"decisions", "runs", "errors", "stats"};
  const fb_node *node = step->node;
  const fb_mission *inside = fb_step_inside(step);
  if (!node || node->kind != FB_MAP || fb_node_is(fb_node_get(node, "on_error"), FB_MAP))
    return (S_output){S_ANY}; /* another step may stand in */
  if (fb_node_get(node, "for_each") || fb_node_get(node, "matrix") || fb_node_get(node, "emit"))
    return (S_output){S_LIST};
  if (fb_node_get(node, "run") || fb_node_get(node, "shell")) return S_of_program(node);
  if (fb_node_get(node, "http")) return (S_output){S_MAP, http, 5, NULL};
  if (fb_node_get(node, "write")) return (S_output){S_MAP, write, 2, NULL};
  if (fb_node_get(node, "rules")) return (S_output){S_MAP, rules, 4, NULL};
  if (fb_node_get(node, "file")) return S_of_file(fb_node_get(node, "file"));
  if (inside) return (S_output){S_MAP, NULL, 0, inside};
  return (S_output){S_ANY};
}

/* The step whose result the expression is; NULL: it is none. */
static const fb_step *S_step_of(const fb_mission *mission, const fb_ast *ast) {
  uint32_t first = fb_slot_of_step(mission, 0);
  if (ast->kind != FB_AST_NAME || ast->local || ast->slot < first ||
      ast->slot >= fb_slot_item(mission))
    return NULL;
  return &mission->steps[ast->slot - first];
}

static bool S_is_field(const fb_ast *ast, const char *name) {
  return ast->kind == FB_AST_SELECT && !ast->test_only && !ast->optional &&
         fb_slice_equal(ast->name, fb_slice_of(name));
}

/* The step of `steps.x.FIELD`. */
static const fb_step *S_step_with(const fb_mission *mission, const fb_ast *ast, const char *field) {
  return S_is_field(ast, field) ? S_step_of(mission, ast->args[0]) : NULL;
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────── */

static const char *S_shape_name(S_shape shape) {
  return shape == S_TEXT ? "text" : "a list";
}

static bool S_no_field(const fb_mission *mission, const fb_ast *ast, fb_finding *finding) {
  if (ast->kind != FB_AST_SELECT || ast->test_only || ast->optional) return false;
  const fb_step *step = S_step_with(mission, ast->args[0], "output");
  if (!step) return false;
  S_output output = S_output_of(step);
  const char *names[64];
  char texts[64][64];
  size_t count = 0;
  finding->offset = ast->name_offset;
  finding->length = (uint32_t)ast->name.len;
  if (output.shape == S_TEXT || output.shape == S_LIST) {
    fb_fail(&finding->error, FB_E_MISSION_FIELD, "the output of `%.*s` is %s, which has no fields",
            (int)step->id.len, step->id.ptr, S_shape_name(output.shape));
    fb_error_hint(&finding->error, "%s",
                  output.shape == S_TEXT
                      ? "`parse: json` in that step makes values of it"
                      : "one of them is output[0], all that fit output.filter(o, …)");
    return true;
  }
  if (output.shape != S_MAP) return false;
  for (size_t i = 0; i < output.count; i++) names[count++] = output.keys[i];
  for (uint32_t i = 0; output.mission && i < output.mission->output_count && count < 64; i++) {
    fb_slice name = output.mission->outputs[i].name;
    snprintf(texts[count], sizeof texts[count], "%.*s", (int)name.len, name.ptr);
    names[count] = texts[count];
    count++;
  }
  for (size_t i = 0; i < count; i++)
    if (fb_slice_equal(ast->name, fb_slice_of(names[i]))) return false;
  if (count == 64) return false;
  fb_fail(&finding->error, FB_E_MISSION_FIELD, "the output of `%.*s` has no `%.*s`",
          (int)step->id.len, step->id.ptr, (int)ast->name.len, ast->name.ptr);
  const char *near = fb_nearest(ast->name, names, count);
  if (near) fb_error_hint(&finding->error, "did you mean `%s`?", near);
  return true;
}

/* ── Operators ───────────────────────────────────────────────────────────────────────────────── */

static bool S_is_operator(const fb_ast *ast, const char *const *names, size_t count) {
  if (ast->kind != FB_AST_CALL || ast->count != 2 || ast->member) return false;
  for (size_t i = 0; i < count; i++)
    if (fb_slice_equal(ast->name, fb_slice_of(names[i]))) return true;
  return false;
}

static bool S_is_number(fb_value value) {
  return value.kind == FB_INT || value.kind == FB_UINT || value.kind == FB_DOUBLE;
}

/* What stands against the constant: NULL, or what it is. *ret_fits: they can be compared. */
static const char *S_against(const fb_mission *mission, const fb_ast *ast, fb_value constant,
                             const fb_step **ret_step, bool *ret_fits) {
  bool text = constant.kind == FB_STRING;
  if ((*ret_step = S_step_with(mission, ast, "output"))) {
    S_shape shape = S_output_of(*ret_step).shape;
    *ret_fits = shape == S_ANY || (shape == S_TEXT && text);
    return shape == S_TEXT ? "text" : shape == S_LIST ? "a list" : shape == S_MAP ? "a map" : NULL;
  }
  if ((*ret_step = S_step_with(mission, ast, "exit"))) {
    *ret_fits = S_is_number(constant);
    return "a number";
  }
  if ((*ret_step = S_step_with(mission, ast, "ok")) ||
      (*ret_step = S_step_with(mission, ast, "skipped"))) {
    *ret_fits = constant.kind == FB_BOOL;
    return "true or false";
  }
  if ((*ret_step = S_step_with(mission, ast, "status"))) {
    *ret_fits = text;
    return "text";
  }
  return NULL;
}

/* A number for people of what is written in quotes and the other way round is the usual slip. */
static void S_clash_hint(const fb_step *step, const char *what, fb_value constant, fb_error *err) {
  bool program = step->node && (fb_node_get(step->node, "run") || fb_node_get(step->node, "shell"));
  if (strcmp(what, "text") == 0 && S_is_number(constant) && program)
    fb_error_hint(err,
                  "`parse: json` in that step, or int(steps.%.*s.output), makes a number of it",
                  (int)step->id.len, step->id.ptr);
  else if (constant.kind == FB_STRING && strcmp(what, "text") != 0)
    fb_error_hint(err, "leave out the quotes");
}

static bool S_clash(const fb_mission *mission, const fb_ast *ast, fb_finding *finding) {
  static const char *const equal[] = {"_==_", "_!=_"};
  static const char *const order[] = {"_<_", "_<=_", "_>_", "_>=_", "_+_",
                                      "_-_", "_*_",  "_/_", "_%_"};
  bool equality = S_is_operator(ast, equal, 2);
  if (!equality && !S_is_operator(ast, order, sizeof order / sizeof *order)) return false;
  for (int side = 0; side < 2; side++) {
    const fb_ast *constant = ast->args[1 - side];
    const fb_step *step;
    bool fits = true;
    if (constant->kind != FB_AST_CONST || constant->value.kind == FB_NULL) continue;
    const char *what = S_against(mission, ast->args[side], constant->value, &step, &fits);
    if (!what || fits) continue;
    finding->warning = equality;
    finding->offset = ast->offset;
    finding->length = ast->length;
    fb_slice field = ast->args[side]->name;
    fb_fail(&finding->error, equality ? FB_E_MISSION_NEVER : FB_E_CEL_TYPE,
            "`%.*s` of `%.*s` is %s, %s %s", (int)field.len, field.ptr, (int)step->id.len,
            step->id.ptr, what, equality ? "and never equals" : "which has no such operation with",
            fb_kind_name((fb_kind)constant->value.kind));
    S_clash_hint(step, what, constant->value, &finding->error);
    return true;
  }
  return false;
}

/* ── Words ───────────────────────────────────────────────────────────────────────────────────── */

static bool S_wrong_word(const fb_ast *constant, const char *const *words, size_t count,
                         const char *of, fb_finding *finding) {
  if (constant->kind != FB_AST_CONST || constant->value.kind != FB_STRING) return false;
  fb_slice word = fb_value_text(constant->value);
  char all[120];
  size_t at = 0;
  for (size_t i = 0; i < count; i++)
    if (fb_slice_equal(word, fb_slice_of(words[i]))) return false;
  for (size_t i = 0; i < count && at < sizeof all; i++)
    at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i ? ", " : "", words[i]);
  finding->warning = true;
  finding->offset = constant->offset;
  finding->length = constant->length;
  fb_fail(&finding->error, FB_E_MISSION_NEVER, "%s is never `%.*s`", of, (int)word.len, word.ptr);
  const char *near = fb_nearest(word, words, count);
  if (near)
    fb_error_hint(&finding->error, "did you mean `%s`?", near);
  else
    fb_error_hint(&finding->error, "it is one of %s", all);
  return true;
}

static bool S_status_word(const fb_mission *mission, const fb_ast *of, const fb_ast *constant,
                          fb_finding *finding) {
  static const char *const steps[] = {"ok", "failed", "timeout", "skipped", "cancelled"};
  static const char *const runs[] = {"running", "ok", "failed", "timeout", "cancelled"};
  if (S_step_with(mission, of, "status"))
    return S_wrong_word(constant, steps, 5, "the status of a step", finding);
  bool run = of->kind == FB_AST_NAME && !of->local && of->slot == FB_SLOT_RUN_STATUS;
  return run && S_wrong_word(constant, runs, 5, "run.status", finding);
}

static bool S_word(const fb_mission *mission, const fb_ast *ast, fb_finding *finding) {
  static const char *const equal[] = {"_==_", "_!=_"}, *const in[] = {"@in"};
  if (S_is_operator(ast, equal, 2))
    return S_status_word(mission, ast->args[0], ast->args[1], finding) ||
           S_status_word(mission, ast->args[1], ast->args[0], finding);
  if (!S_is_operator(ast, in, 1) || ast->args[1]->kind != FB_AST_LIST) return false;
  for (uint32_t i = 0; i < ast->args[1]->count; i++)
    if (S_status_word(mission, ast->args[0], ast->args[1]->args[i], finding)) return true;
  return false;
}

bool fb_never_find(const fb_mission *mission, const fb_ast *ast, fb_finding *finding) {
  *finding = (fb_finding){0};
  return S_no_field(mission, ast, finding) || S_clash(mission, ast, finding) ||
         S_word(mission, ast, finding);
}

/* ── Steps that never run ────────────────────────────────────────────────────────────────────── */

/* A condition that reads nothing is the same always. */
static bool S_is_always_false(fb_mission_loader *loader, const fb_step *step) {
  fb_cel_context context;
  fb_arena arena;
  fb_value value = fb_bool(true);
  if (!step->condition) return false;
  memset(loader->words, 0, loader->word_count * sizeof *loader->words);
  fb_cel_program_reads(step->condition, loader->words, loader->word_count);
  for (size_t i = 0; i < loader->word_count; i++)
    if (loader->words[i]) return false;
  fb_arena_init(&arena, loader->allocator, 0);
  fb_cel_context_init(&context, &arena);
  context.steps = 10000;
  bool never = fb_cel_eval(step->condition, NULL, &context, &value, NULL) == FB_OK &&
               value.kind == FB_BOOL && !value.as.b;
  fb_cel_context_release(&context);
  fb_arena_release(&arena);
  return never;
}

static bool S_has_no_items(const fb_step *step) {
  fb_value value;
  if (!step->for_each || step->matrix || !fb_text_constant(step->for_each, &value)) return false;
  return value.kind == FB_LIST ? value.as.list->len == 0
                               : value.kind == FB_MAP && value.as.map->len == 0;
}

void fb_never_check(fb_mission_loader *loader) {
  fb_mission *mission = loader->mission;
  if (!loader->warnings || loader->out_of_memory) return;
  for (uint32_t i = 0; i < mission->step_count; i++) {
    fb_step *step = &mission->steps[i];
    const fb_step *of = step->fallback_of ? &mission->steps[step->fallback_of - 1]
                        : step->undoes    ? &mission->steps[step->undoes - 1]
                                          : NULL;
    bool false_ = S_is_always_false(loader, step), empty = !false_ && S_has_no_items(step);
    step->never = false_ || empty || (of && of->never);
    if (!step->never || (step->undoes && !false_)) continue; /* it is told of its step */
    fb_error err = {0};
    const fb_node *node = false_  ? step->condition_node
                          : empty ? fb_text_node(step->for_each)
                                  : step->id_node;
    fb_fail(&err, FB_E_MISSION_NEVER, "`%.*s` never runs: %s%.*s%s", (int)step->id.len,
            step->id.ptr,
            false_  ? "its condition is always false"
            : empty ? "there is nothing to go over"
                    : "it stands in for `",
            false_ || empty ? 0 : (int)of->id.len, false_ || empty ? "" : of->id.ptr,
            false_ || empty ? "" : "`, which never runs");
    fb_doc_fail(loader->doc, node, loader->warnings, err.code,
                step->referenced ? "what uses its output gets null" : "", "%s", err.text);
  }
}
