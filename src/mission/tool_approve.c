/* SPDX-License-Identifier: Apache-2.0
 *
 * approve: waits for a person. It costs nothing while it does: a run that only waits ends, and goes on with the decision.
 */
#include "mission/plan.h"

static fb_status S_load(fb_mission_loader *loader, const fb_node *node, void **ret_plan) {
  if (node->kind != FB_STRING)
    return fb_doc_fail(fb_loader_doc(loader), node, fb_loader_errors(loader), FB_E_MISSION_SYNTAX,
                       "approve: deploy ${{ inputs.version }} to production?",
                       "`approve` takes a text: what is to be decided, not %s",
                       fb_node_describe(node));
  *ret_plan = fb_loader_text(loader, node, NULL);
  return FB_OK;
}

static fb_slice S_text(fb_value map, const char *key) {
  const fb_value *value = fb_map_get_text(map.as.map, fb_slice_of(key));
  return value && value->kind == FB_STRING ? fb_value_text(*value) : FB_SLICE("");
}

static fb_status S_prepare(const void *plan, fb_call *call, fb_error *err) {
  fb_slice question;
  fb_value decision = call->decision;
  if (decision.kind != FB_MAP) {
    fb_status status = fb_scope_text(&call->scope, plan, &question, err);
    if (status) return status;
    return fb_fail(err, FB_E_STEP_WAITS, "%.*s", (int)question.len, question.ptr);
  }
  if (fb_slice_equal(S_text(decision, "decision"), FB_SLICE("approved"))) return FB_OK;
  fb_slice by = S_text(decision, "by"), note = S_text(decision, "note");
  return fb_fail(err, FB_E_STEP_REJECTED, "rejected by %.*s%s%.*s", (int)by.len, by.ptr,
                 note.len ? ": " : "", (int)note.len, note.ptr);
}

static fb_status S_work(const void *plan, fb_call *call, fb_error *err) {
  (void)plan;
  fb_slice by = S_text(call->decision, "by");
  call->output = call->decision;
  call->note = fb_arena_printf(call->arena, "approved by %.*s", (int)by.len, by.ptr);
  return call->note ? FB_OK : fb_fail(err, FB_E_NOMEM, "out of memory");
}

static void S_describe(const void *plan, fb_step_scope *scope, fb_buf *out) {
  fb_buf_text(out, "approve: ");
  fb_scope_show(scope, plan, out);
}

const fb_tool fb_tool_approve = {.key = "approve",
                                 .semantics = FB_PURE,
                                 .load = S_load,
                                 .prepare = S_prepare,
                                 .work = S_work,
                                 .describe = S_describe};
