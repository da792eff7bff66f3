/* SPDX-License-Identifier: Apache-2.0
 *
 * write: a file, as a whole or not at all. Its content is a text, a value as JSON, or a template file.
 */
#include "mission/plan.h"

typedef struct S_write_plan {
  fb_text *path, *content, *json, *template_;
  fb_text **with; /* the template's variables, in the order of their slots */
  uint32_t with_count;
  unsigned mode;
} S_write_plan;

typedef struct S_write_job {
  const char *path;
  fb_slice bytes;
  unsigned mode;
  bool confined; /* the mission says which folders may be touched */
} S_write_job;

/* `0644`, `"644"`, `0o644`: as it stands in the document, always octal. */
static void S_load_mode(fb_mission_loader *loader, const fb_node *node, unsigned *ret_mode) {
  fb_slice text = fb_doc_text(fb_loader_doc(loader));
  text = (fb_slice){text.ptr + node->offset, node->length};
  if (node->kind == FB_STRING) text = fb_node_text(node);
  if (fb_slice_starts(text, FB_SLICE("0o"))) text = (fb_slice){text.ptr + 2, text.len - 2};
  unsigned mode = 0;
  bool good = text.len > 0 && text.len <= 5;
  for (size_t i = 0; i < text.len && good; i++) {
    good = text.ptr[i] >= '0' && text.ptr[i] <= '7';
    mode = mode * 8 + (unsigned)(text.ptr[i] - '0');
  }
  if (good && mode <= 07777)
    *ret_mode = mode;
  else
    fb_doc_fail(fb_loader_doc(loader), node, fb_loader_errors(loader), FB_E_MISSION_VALUE,
                "octal digits, as chmod takes them: 0644", "not a file mode");
}

static fb_text *S_load_template(fb_mission_loader *loader, const fb_node *node,
                                const fb_node *with) {
  fb_text *path = fb_loader_text(loader, node, NULL);
  fb_value value;
  fb_error err = {0};
  fb_slice text;
  if (!path) return NULL;
  if (!fb_text_constant(path, &value)) {
    fb_doc_fail(fb_loader_doc(loader), node, fb_loader_errors(loader), FB_E_MISSION_VALUE,
                "so that it can be checked before anything runs", "a template's path is constant");
    return NULL;
  }
  const char *full = fb_loader_path(loader, fb_node_text(node));
  if (!full) return NULL;
  if (fb_loader_read(loader, full, &text, &err)) {
    fb_doc_fail(fb_loader_doc(loader), node, fb_loader_errors(loader), err.code,
                "the path is relative to the mission's folder", "%s", err.text);
    return NULL;
  }
  return fb_loader_template(loader, node, with, full, text);
}

static fb_status S_load_with(fb_mission_loader *loader, const fb_node *node, S_write_plan *plan) {
  plan->with = fb_arena_zero(fb_loader_arena(loader), (node->count + 1) * sizeof *plan->with);
  if (!plan->with) return FB_E_NOMEM;
  for (uint32_t i = 0; i < node->count; i++) {
    const fb_pair *pair = &node->as.pairs[i];
    fb_slice name = fb_node_text(&pair->key);
    if (!fb_is_identifier(name) || fb_is_taken_name(name))
      fb_doc_fail(fb_loader_doc(loader), &pair->key, fb_loader_errors(loader), FB_E_MISSION_VALUE,
                  "letters, digits and `_`; not inputs, steps, env, mission, run or index",
                  "`%.*s` cannot name a variable of the template", (int)name.len, name.ptr);
    plan->with[plan->with_count++] = fb_loader_text(loader, &pair->value, NULL);
  }
  return FB_OK;
}

enum { W_PATH, W_CONTENT, W_JSON, W_TEMPLATE, W_WITH, W_MODE, W_COUNT };

static void S_check_content(fb_mission_loader *loader, const fb_node *node,
                            const fb_node *const *nodes) {
  int sources = (nodes[W_CONTENT] != NULL) + (nodes[W_JSON] != NULL) + (nodes[W_TEMPLATE] != NULL);
  if (sources != 1)
    fb_doc_fail(fb_loader_doc(loader), node, fb_loader_errors(loader), FB_E_MISSION_SYNTAX,
                "`content: text`, `json: value` or `template: file`",
                "`write` takes one of content, json and template; there %s",
                sources ? "are several" : "is none");
  if (nodes[W_WITH] && !nodes[W_TEMPLATE])
    fb_doc_fail(fb_loader_doc(loader), nodes[W_WITH], fb_loader_errors(loader), FB_E_MISSION_SYNTAX,
                "", "`with` belongs to `template`");
}

static fb_status S_write_load(fb_mission_loader *loader, const fb_node *node, void **ret_plan) {
  static const fb_key_spec specs[W_COUNT] = {
      [W_PATH] = {"path", FB_KIND_BIT(FB_STRING), true},
      [W_CONTENT] = {"content", 0, false},
      [W_JSON] = {"json", 0, false},
      [W_TEMPLATE] = {"template", FB_KIND_BIT(FB_STRING), false},
      [W_WITH] = {"with", FB_KIND_BIT(FB_MAP), false},
      [W_MODE] = {"mode", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_STRING), false}};
  const fb_node *nodes[W_COUNT];
  S_write_plan *plan = fb_arena_zero(fb_loader_arena(loader), sizeof *plan);
  if (!plan) return FB_E_NOMEM;
  fb_doc_keys(fb_loader_doc(loader), node, "write", specs, W_COUNT, nodes,
              fb_loader_errors(loader));
  if (node->kind != FB_MAP) return FB_E_MISSION_SYNTAX;
  S_check_content(loader, node, nodes);
  plan->mode = 0644;
  if (nodes[W_MODE]) S_load_mode(loader, nodes[W_MODE], &plan->mode);
  if (nodes[W_PATH]) plan->path = fb_loader_text(loader, nodes[W_PATH], NULL);
  if (nodes[W_CONTENT]) plan->content = fb_loader_text(loader, nodes[W_CONTENT], NULL);
  if (nodes[W_JSON]) plan->json = fb_loader_text(loader, nodes[W_JSON], NULL);
  *ret_plan = plan;
  if (nodes[W_WITH] && S_load_with(loader, nodes[W_WITH], plan)) return FB_E_NOMEM;
  if (nodes[W_TEMPLATE])
    plan->template_ = S_load_template(loader, nodes[W_TEMPLATE], nodes[W_WITH]);
  return FB_OK;
}

static fb_status S_json_bytes(fb_call *call, const S_write_plan *plan, fb_slice *ret_bytes,
                              fb_error *err) {
  fb_value value;
  fb_status status = fb_scope_value(&call->scope, plan->json, &value, err);
  if (status) return status;
  fb_buf buf;
  fb_buf_init(&buf, call->arena->allocator, 0);
  fb_json_write(&buf, value, FB_JSON_PRETTY);
  fb_buf_char(&buf, '\n');
  const char *copy = buf.failed ? NULL : fb_arena_text(call->arena, fb_buf_slice(&buf));
  *ret_bytes = (fb_slice){copy, buf.len};
  fb_buf_release(&buf);
  return copy ? FB_OK : fb_fail(err, FB_E_NOMEM, "out of memory");
}

static fb_status S_content(fb_call *call, const S_write_plan *plan, fb_slice *ret_bytes,
                           fb_error *err) {
  fb_step_scope *scope = &call->scope;
  if (plan->json) return S_json_bytes(call, plan, ret_bytes, err);
  if (!plan->template_) return fb_scope_text(scope, plan->content, ret_bytes, err);
  fb_value *with = &scope->slots[fb_slot_with(scope->mission)];
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < scope->mission->with_count; i++) with[i] = fb_absent();
  for (uint32_t i = 0; i < plan->with_count && !status; i++)
    status = fb_scope_value(scope, plan->with[i], &with[i], err);
  if (!status) status = fb_scope_text(scope, plan->template_, ret_bytes, err);
  return status;
}

static fb_status S_write_prepare(const void *tool_plan, fb_call *call, fb_error *err) {
  const S_write_plan *plan = tool_plan;
  fb_slice path;
  S_write_job *job = fb_arena_zero(call->arena, sizeof *job);
  if (!job) return fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_status status = fb_scope_text(&call->scope, plan->path, &path, err);
  if (status) return status;
  if (path.len == 0 || memchr(path.ptr, 0, path.len))
    return fb_fail(err, FB_E_STEP_VALUE, "the path to write to is empty or has a NUL byte in it");
  job->path = fb_arena_text(call->arena, path);
  job->mode = plan->mode;
  job->confined = call->scope.mission->roots && call->world->file;
  if (!job->path) return fb_fail(err, FB_E_NOMEM, "out of memory");
  call->state = job;
  return S_content(call, plan, &job->bytes, err);
}

static fb_status S_write_work(const void *plan, fb_call *call, fb_error *err) {
  const S_write_job *job = call->state;
  (void)plan;
  fb_file_job inside = {.act = FB_FILE_WRITE,
                        .path = job->path,
                        .roots = call->roots,
                        .root_count = call->root_count,
                        .bytes = job->bytes,
                        .mode = job->mode};
  fb_status status = job->confined ? call->world->file(call->world->context, &inside, err)
                                   : call->world->write(call->world->context, job->path, job->bytes,
                                                        job->mode, err);
  fb_map *output = status ? NULL : fb_map_new(call->arena, 2);
  if (status) return status;
  if (!output ||
      !fb_map_put(output, call->arena, fb_string(FB_SLICE("path")),
                  fb_string(fb_slice_of(job->path)), NULL) ||
      !fb_map_put(output, call->arena, fb_string(FB_SLICE("size")), fb_int((int64_t)job->bytes.len),
                  NULL))
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  call->output = fb_map_value(output);
  call->note = fb_arena_printf(call->arena, "%s, %zu bytes", job->path, job->bytes.len);
  return FB_OK;
}

static void S_write_describe(const void *tool_plan, fb_step_scope *scope, fb_buf *out) {
  const S_write_plan *plan = tool_plan;
  fb_buf_text(out, "write ");
  fb_scope_show(scope, plan->path, out);
  if (plan->json) fb_buf_text(out, " (JSON)");
  if (plan->template_) fb_buf_text(out, " (from a template)");
}

const fb_tool fb_tool_write = {.key = "write",
                               .semantics = FB_IDEMPOTENT,
                               .load = S_write_load,
                               .prepare = S_write_prepare,
                               .work = S_write_work,
                               .describe = S_write_describe};
