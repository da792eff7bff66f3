/* SPDX-License-Identifier: Apache-2.0
 * Source → checked tree; what the rule planner asks of it. */
#include "cel/check.h"
#include "cel/parse.h"

enum { MAX_DEPTH = 250, MAX_LENGTH = 64 * 1024 };

/* ── Where errors of evaluation are shown ────────────────────────────────────────────────────── */

typedef struct S_place {
  const fb_doc *doc;
  const fb_node *node;
  size_t node_offset;
  size_t base;  /* without a document: of the expression in the whole text */
  size_t start; /* of the origin in the document */
  size_t len;
} S_place;

static size_t S_in_origin(const S_place *place, size_t offset) {
  if (!place->doc) return place->base + offset;
  size_t at = fb_node_source_offset(place->doc, place->node, place->node_offset + offset);
  return at < place->start ? 0 : at - place->start > place->len ? place->len : at - place->start;
}

static void S_place_nodes(const S_place *place, fb_ast *ast) {
  size_t from = S_in_origin(place, ast->offset), to = S_in_origin(place, (size_t)ast->offset + ast->length);
  ast->at = (uint32_t)from;
  ast->span = (uint32_t)(to > from ? to - from : 0);
  for (uint32_t i = 0; i < ast->count; i++) S_place_nodes(place, ast->args[i]);
}

/* The lines of the document that the node is on. */
static fb_status S_origin_of_doc(fb_cel_expr *expr, S_place *place) {
  fb_slice text = fb_doc_text(place->doc);
  size_t from = place->node->offset, to = from + place->node->length;
  if (to > text.len) to = text.len;
  if (from > to) from = to;
  while (from > 0 && text.ptr[from - 1] != '\n') from--;
  while (to < text.len && text.ptr[to] != '\n') to++;
  char *copy = fb_arena_text(&expr->arena, (fb_slice){text.ptr + from, to - from});
  if (!copy) return FB_E_NOMEM;
  expr->origin = (fb_slice){copy, to - from};
  for (size_t i = 0; i < from; i++) expr->origin_line += text.ptr[i] == '\n';
  place->start = from;
  place->len = to - from;
  return FB_OK;
}

static fb_status S_set_origin(fb_cel_expr *expr, const fb_cel_options *options, const fb_cel_report *report) {
  S_place place = {.base = report->base};
  const char *file = options ? options->name : NULL;
  expr->origin = expr->source;
  if (report->source.len != expr->source.len) {
    expr->origin = (fb_slice){fb_arena_text(&expr->arena, report->source), report->source.len};
    if (!expr->origin.ptr) return FB_E_NOMEM;
  }
  if (options && options->doc && options->node) {
    place = (S_place){.doc = options->doc, .node = options->node, .node_offset = options->node_offset};
    file = fb_doc_name(options->doc);
    fb_status status = S_origin_of_doc(expr, &place);
    if (status) return status;
  }
  S_place_nodes(&place, expr->root);
  if (!file) return FB_OK;
  expr->file = fb_arena_text(&expr->arena, fb_slice_of(file));
  return expr->file ? FB_OK : FB_E_NOMEM;
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_admit(fb_slice source, const fb_cel_options *options, fb_cel_report *report) {
  size_t max = options && options->max_length ? options->max_length : MAX_LENGTH;
  size_t bad;
  if (source.len > max)
    return fb_cel_report_add(report, FB_E_CEL_TOO_LARGE, 0, 1, "split the expression", "the expression has %zu bytes, at most %zu are admitted", source.len, max);
  if (!fb_utf8_valid(source.ptr, source.len, &bad))
    return fb_cel_report_add(report, FB_E_CEL_SYNTAX, bad, 1, "the text must be UTF-8", "a byte that is not UTF-8");
  return FB_OK;
}

static fb_status S_check(fb_cel_env *env, fb_cel_expr *expr, const fb_cel_options *options, fb_cel_report *report) {
  fb_checker checker = {.env = env, .expr = expr, .arena = &expr->arena, .report = report,
                        .lenient = options && options->no_check};
  fb_status status = fb_check_expr(&checker, options ? options->want : NULL);
  fb_free(env->allocator, checker.bound, checker.bound_cap * sizeof *checker.bound);
  fb_free(env->allocator, checker.trail, checker.trail_cap * sizeof *checker.trail);
  return status;
}

static fb_status S_read(fb_cel_env *env, fb_cel_expr *expr, const fb_cel_options *options, fb_cel_report *report) {
  uint32_t depth = options && options->max_depth ? options->max_depth : MAX_DEPTH;
  fb_parser parser = {.lexer = {.source = expr->source, .arena = &expr->arena, .report = report},
                      .arena = &expr->arena, .report = report, .max_depth = depth > 1000 ? 1000 : depth};
  fb_status status = fb_parse_source(&parser, &expr->root);
  if (!status) status = S_check(env, expr, options, report);
  return status ? status : S_set_origin(expr, options, report);
}

fb_status fb_cel_parse(fb_cel_env *env, fb_slice source, const fb_cel_options *options,
                       fb_cel_expr **ret_expr, fb_errors *errors) {
  return fb_cel_parse_part(env, source, 0, source.len, options, ret_expr, errors);
}

fb_status fb_cel_parse_part(fb_cel_env *env, fb_slice text, size_t from, size_t to, const fb_cel_options *options,
                            fb_cel_expr **ret_expr, fb_errors *errors) {
  fb_slice source = {text.ptr + from, to - from};
  fb_cel_report report = {.source = text, .base = from, .options = options, .errors = errors};
  fb_status status = S_admit(source, options, &report);
  if (status) return status;
  fb_cel_expr *expr = fb_alloc_zero(env->allocator, sizeof *expr);
  if (!expr) return FB_E_NOMEM;
  fb_arena_init(&expr->arena, env->allocator, 0);
  expr->source = (fb_slice){fb_arena_text(&expr->arena, source), source.len};
  status = expr->source.ptr ? S_read(env, expr, options, &report) : FB_E_NOMEM;
  if (status) {
    fb_cel_expr_free(expr);
    if (status == FB_E_NOMEM && errors && !report.first) {
      fb_error err;
      fb_errors_add(errors, (fb_fail(&err, status, "no memory for the expression"), &err));
    }
    return status;
  }
  *ret_expr = expr;
  return FB_OK;
}

void fb_cel_expr_free(fb_cel_expr *expr) {
  if (!expr) return;
  fb_arena arena = expr->arena;
  fb_free(arena.allocator, expr, sizeof *expr);
  fb_arena_release(&arena);
}

void fb_ast_reads(const fb_ast *ast, uint64_t *words, size_t count) {
  if (ast->kind == FB_AST_NAME && !ast->local && ast->slot / 64 < count) words[ast->slot / 64] |= UINT64_C(1) << (ast->slot % 64);
  for (uint32_t i = 0; i < ast->count; i++) fb_ast_reads(ast->args[i], words, count);
}
