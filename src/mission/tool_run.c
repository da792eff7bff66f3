/* SPDX-License-Identifier: Apache-2.0
 *
 * run: a program with its arguments, no shell. shell: a script for /bin/sh, which stops at the first
 * command that fails (-e) and at an unset variable (-u).
 */
#include "mission/plan.h"

typedef struct S_run_plan {
  fb_text **args;
  uint32_t count;
} S_run_plan;

static bool S_is_scalar(const fb_node *node) {
  return node->kind != FB_LIST && node->kind != FB_MAP;
}

static fb_status S_run_load(fb_mission_loader *loader, const fb_node *node, void **ret_plan) {
  const fb_doc *doc = fb_loader_doc(loader);
  if (node->kind != FB_LIST || node->count == 0)
    return fb_doc_fail(doc, node, fb_loader_errors(loader), FB_E_MISSION_SYNTAX,
                       node->kind == FB_STRING
                           ? "write it as a list, [program, argument, …], or use `shell`"
                           : "[program, argument, …]",
                       "`run` takes a list: a program and its arguments");
  S_run_plan *plan = fb_arena_zero(fb_loader_arena(loader), sizeof *plan);
  if (!plan) return FB_E_NOMEM;
  plan->args = fb_arena_zero(fb_loader_arena(loader), node->count * sizeof *plan->args);
  if (!plan->args) return FB_E_NOMEM;
  for (uint32_t i = 0; i < node->count; i++) {
    const fb_node *item = &node->as.items[i];
    if (!S_is_scalar(item)) {
      fb_doc_fail(doc, item, fb_loader_errors(loader), FB_E_MISSION_SYNTAX, "",
                  "an argument is a text, not %s", fb_node_describe(item));
      continue;
    }
    fb_text *text = fb_loader_text(loader, item, NULL);
    if (text) plan->args[plan->count++] = text;
  }
  *ret_plan = plan;
  return FB_OK;
}

typedef struct S_argv {
  const char **items;
  size_t count, cap;
} S_argv;

static fb_status S_push(S_argv *argv, fb_arena *arena, fb_slice text, fb_error *err) {
  if (argv->count + 1 >= argv->cap) {
    size_t cap = argv->cap ? argv->cap * 2 : 16;
    const char **items = fb_arena_alloc(arena, cap * sizeof *items);
    if (!items) return fb_fail(err, FB_E_NOMEM, "out of memory");
    if (argv->count) memcpy(items, argv->items, argv->count * sizeof *items);
    argv->items = items;
    argv->cap = cap;
  }
  if (text.len && memchr(text.ptr, 0, text.len))
    return fb_fail(err, FB_E_STEP_VALUE, "an argument cannot contain a NUL byte");
  const char *copy = fb_arena_text(arena, text);
  if (!copy) return fb_fail(err, FB_E_NOMEM, "out of memory");
  argv->items[argv->count++] = copy;
  argv->items[argv->count] = NULL;
  return FB_OK;
}

/* A list value becomes that many arguments. */
static fb_status S_push_text(S_argv *argv, fb_step_scope *scope, const fb_text *text,
                             fb_error *err) {
  fb_value value;
  fb_slice shown;
  fb_status status = FB_OK;
  if (fb_text_constant(text, &value)) {
    status = fb_scope_text(scope, text, &shown, err);
    return status ? status : S_push(argv, scope->arena, shown, err);
  }
  status = fb_scope_value(scope, text, &value, err);
  if (status) return status;
  if (value.kind != FB_LIST) {
    status = fb_scope_render(scope, value, &shown, err);
    return status ? status : S_push(argv, scope->arena, shown, err);
  }
  for (uint32_t i = 0; i < value.as.list->len && !status; i++) {
    status = fb_scope_render(scope, value.as.list->items[i], &shown, err);
    if (!status) status = S_push(argv, scope->arena, shown, err);
  }
  return status;
}

static fb_status S_run_prepare(const void *tool_plan, fb_call *call, fb_error *err) {
  const S_run_plan *plan = tool_plan;
  S_argv argv = {0};
  for (uint32_t i = 0; i < plan->count; i++) {
    fb_status status = S_push_text(&argv, &call->scope, plan->args[i], err);
    if (status) return status;
  }
  if (argv.count == 0) return fb_fail(err, FB_E_STEP_VALUE, "`run` has no program: all is empty");
  call->process.argv = argv.items;
  return FB_OK;
}

static bool S_needs_quotes(fb_slice text) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 strchr("_-./:=,+@%", c);
    if (!plain || c == 0) return true;
  }
  return text.len == 0;
}

/* As a shell would take it, but on one line. */
static void S_show_argument(fb_slice text, fb_buf *out) {
  if (!S_needs_quotes(text)) {
    fb_buf_add(out, text.ptr, text.len);
    return;
  }
  fb_buf_char(out, '\'');
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] == '\'')
      fb_buf_text(out, "'\\''");
    else if (text.ptr[i] == '\n')
      fb_buf_text(out, "\\n");
    else
      fb_buf_char(out, text.ptr[i]);
  }
  fb_buf_char(out, '\'');
}

static void S_run_describe(const void *tool_plan, fb_step_scope *scope, fb_buf *out) {
  const S_run_plan *plan = tool_plan;
  fb_buf one;
  fb_buf_init(&one, out->allocator, 4000);
  for (uint32_t i = 0; i < plan->count; i++) {
    fb_buf_clear(&one);
    fb_scope_show(scope, plan->args[i], &one);
    if (i) fb_buf_char(out, ' ');
    S_show_argument(fb_buf_slice(&one), out);
  }
  fb_buf_release(&one);
}

const fb_tool fb_tool_run = {.key = "run",
                             .process = true,
                             .load = S_run_load,
                             .prepare = S_run_prepare,
                             .describe = S_run_describe};

/* ── shell ───────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_shell_load(fb_mission_loader *loader, const fb_node *node, void **ret_plan) {
  if (node->kind != FB_STRING)
    return fb_doc_fail(fb_loader_doc(loader), node, fb_loader_errors(loader), FB_E_MISSION_SYNTAX,
                       "", "`shell` takes a text, not %s", fb_node_describe(node));
  *ret_plan = fb_loader_text(loader, node, NULL);
  return FB_OK;
}

static fb_status S_shell_prepare(const void *plan, fb_call *call, fb_error *err) {
  static const char *const shell[] = {"/bin/sh", "-eu", "-c"};
  S_argv argv = {0};
  fb_slice script;
  fb_status status = fb_scope_text(&call->scope, plan, &script, err);
  for (int i = 0; i < 3 && !status; i++)
    status = S_push(&argv, call->arena, fb_slice_of(shell[i]), err);
  if (!status) status = S_push(&argv, call->arena, script, err);
  if (!status) status = S_push(&argv, call->arena, fb_slice_of(call->label), err); /* $0 */
  call->process.argv = argv.items;
  return status;
}

static void S_shell_describe(const void *plan, fb_step_scope *scope, fb_buf *out) {
  fb_buf one;
  fb_buf_init(&one, out->allocator, 16000);
  fb_scope_show(scope, plan, &one);
  fb_slice text = fb_buf_slice(&one);
  while (text.len && text.ptr[text.len - 1] == '\n') text.len--;
  fb_buf_text(out, "sh -eu -c ");
  S_show_argument(text, out);
  fb_buf_release(&one);
}

const fb_tool fb_tool_shell = {.key = "shell",
                               .process = true,
                               .load = S_shell_load,
                               .prepare = S_shell_prepare,
                               .describe = S_shell_describe};
