/* SPDX-License-Identifier: Apache-2.0
 * Source → checked tree; what the rule planner asks of it. */
#include "cel/check.h"
#include "cel/origin.h"
#include "cel/parse.h"

enum { MAX_DEPTH = 250, MAX_LENGTH = 64 * 1024 };

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_admit(fb_slice source, const fb_cel_options *options, fb_cel_report *report) {
  size_t max = options && options->max_length ? options->max_length : MAX_LENGTH;
  size_t bad;
  if (source.len > max)
    return fb_cel_report_add(report, FB_E_CEL_TOO_LARGE, 0, 1, "split the expression",
                             "the expression has %zu bytes, at most %zu are admitted", source.len,
                             max);
  if (!fb_utf8_valid(source.ptr, source.len, &bad))
    return fb_cel_report_add(report, FB_E_CEL_SYNTAX, bad, 1, "the text must be UTF-8",
                             "a byte that is not UTF-8");
  return FB_OK;
}

static fb_status S_check(fb_cel_env *env, fb_cel_expr *expr, const fb_cel_options *options,
                         fb_cel_report *report) {
  fb_checker checker = {.env = env,
                        .expr = expr,
                        .arena = &expr->arena,
                        .report = report,
                        .lenient = options && options->no_check};
  fb_status status = fb_check_expr(&checker, options ? options->want : NULL);
  fb_free(env->allocator, checker.bound, checker.bound_cap * sizeof *checker.bound);
  fb_free(env->allocator, checker.trail, checker.trail_cap * sizeof *checker.trail);
  return status;
}

static fb_status S_read(fb_cel_env *env, fb_cel_expr *expr, const fb_cel_options *options,
                        fb_cel_report *report) {
  uint32_t depth = options && options->max_depth ? options->max_depth : MAX_DEPTH;
  fb_parser parser = {.lexer = {.source = expr->source, .arena = &expr->arena, .report = report},
                      .arena = &expr->arena,
                      .report = report,
                      .max_depth = depth > 1000 ? 1000 : depth};
  fb_status status = fb_parse_source(&parser, &expr->root);
  if (!status) status = S_check(env, expr, options, report);
  return status ? status : fb_cel_origin_set(expr, options, report);
}

fb_status fb_cel_parse(fb_cel_env *env, fb_slice source, const fb_cel_options *options,
                       fb_cel_expr **ret_expr, fb_errors *errors) {
  return fb_cel_parse_part(env, source, 0, source.len, options, ret_expr, errors);
}

fb_status fb_cel_parse_part(fb_cel_env *env, fb_slice text, size_t from, size_t to,
                            const fb_cel_options *options, fb_cel_expr **ret_expr,
                            fb_errors *errors) {
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
  if (ast->kind == FB_AST_NAME && !ast->local && ast->slot / 64 < count)
    words[ast->slot / 64] |= UINT64_C(1) << (ast->slot % 64);
  for (uint32_t i = 0; i < ast->count; i++) fb_ast_reads(ast->args[i], words, count);
}
