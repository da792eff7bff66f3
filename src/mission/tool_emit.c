/* SPDX-License-Identifier: Apache-2.0
 *
 * emit: facts into the run's stream of events.
 */
#include "mission/plan.h"

static fb_status S_load(fb_mission_loader *loader, const fb_node *node, void **ret_plan) {
  if (node->kind != FB_MAP && node->kind != FB_LIST && node->kind != FB_STRING)
    return fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_SYNTAX,
                       "emit: {type: disk, path: /, used: 90}",
                       "`emit` takes a fact or a list of facts, not %s", fb_node_describe(node));
  if (node->kind == FB_MAP && !fb_node_get(node, "type"))
    fb_load_fail(loader, node, FB_E_MISSION_SYNTAX, "emit: {type: disk, path: /, used: 90}",
                 "a fact has a `type`");
  *ret_plan = fb_loader_text(loader, node, NULL);
  return FB_OK;
}

static bool S_is_fact(fb_value value) {
  if (value.kind != FB_MAP) return false;
  const fb_value *type = fb_map_get_text(value.as.map, FB_SLICE("type"));
  return type && type->kind == FB_STRING && type->len > 0;
}

static fb_status S_prepare(const void *plan, fb_call *call, fb_error *err) {
  fb_value value, copy;
  fb_status status = fb_scope_value(&call->scope, plan, &value, err);
  if (status) return status;
  if (value.kind != FB_LIST) {
    fb_list *one = fb_list_new(call->arena, 1);
    if (!one || !fb_list_push(one, call->arena, value))
      return fb_fail(err, FB_E_NOMEM, "out of memory");
    value = fb_list_value(one);
  }
  for (uint32_t i = 0; i < value.as.list->len; i++)
    if (!S_is_fact(value.as.list->items[i]))
      return fb_fail(err, FB_E_STEP_VALUE, "a fact is a map with a text under `type`, not %s",
                     fb_kind_name((fb_kind)value.as.list->items[i].kind));
  if (fb_value_copy(call->arena, value, &copy)) return fb_fail(err, FB_E_NOMEM, "out of memory");
  call->output = copy;
  return FB_OK;
}

static fb_status S_work(const void *plan, fb_call *call, fb_error *err) {
  (void)plan;
  (void)err;
  call->facts = call->output.as.list;
  call->note =
      fb_arena_printf(call->arena, "%u fact%s", call->facts->len, call->facts->len == 1 ? "" : "s");
  return FB_OK;
}

static void S_describe(const void *plan, fb_step_scope *scope, fb_buf *out) {
  fb_buf_text(out, "emit ");
  fb_scope_show(scope, plan, out);
}

const fb_tool fb_tool_emit = {
    .key = "emit", .load = S_load, .prepare = S_prepare, .work = S_work, .describe = S_describe};
