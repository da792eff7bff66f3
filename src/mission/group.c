/* SPDX-License-Identifier: Apache-2.0
 *
 * `concurrency`: how many runs of a group there may be at once. The plan says it; whoever starts runs keeps to it.
 */
#include "mission/run.h"

#include <stdio.h>

enum { G_GROUP, G_LIMIT, G_POLICY, G_COUNT };
enum { MOST_AT_ONCE = 1000 };

void fb_load_concurrency(fb_mission_loader *loader, const fb_node *node) {
  static const fb_key_spec specs[G_COUNT] = {
      [G_GROUP] = {"group", FB_KIND_BIT(FB_STRING), true},
      [G_LIMIT] = {"limit", FB_KIND_BIT(FB_INT), false},
      [G_POLICY] = {"policy", FB_KIND_BIT(FB_STRING), false}};
  static const char *const policies[] = {"wait", "cancel-old", "refuse"};
  const fb_node *nodes[G_COUNT] = {0};
  fb_mission_concurrency *own = &loader->mission->concurrency;
  if (!node) return;
  own->limit = 1;
  if (node->kind == FB_STRING)
    nodes[G_GROUP] = node;
  else
    fb_doc_keys(loader->doc, node, "concurrency", specs, G_COUNT, nodes, loader->errors);
  if (nodes[G_GROUP]) own->group = fb_loader_text(loader, nodes[G_GROUP], NULL);
  if (nodes[G_POLICY])
    own->policy = (uint8_t)fb_load_word(loader, nodes[G_POLICY], "policy", policies, 3);
  if (nodes[G_LIMIT]) {
    int64_t limit = nodes[G_LIMIT]->as.scalar.as.i;
    if (limit < 1 || limit > MOST_AT_ONCE)
      fb_load_fail(loader, nodes[G_LIMIT], FB_E_MISSION_VALUE, "", "`limit` is from 1 to 1000");
    else
      own->limit = (uint32_t)limit;
  }
  if (loader->chain && loader->chain->above && loader->warnings)
    fb_doc_fail(loader->doc, node, loader->warnings, FB_E_MISSION_SYNTAX,
                "the run around it may have one",
                "a mission within a mission is in no group of its own");
}

fb_status fb_mission_run_group(fb_mission_run *run, fb_arena *arena, fb_run_group *ret_group,
                               fb_error *err) {
  const fb_mission_concurrency *own = &run->mission->concurrency;
  fb_slice text;
  *ret_group = (fb_run_group){.policy = (fb_group_policy)own->policy, .limit = own->limit};
  if (!own->group) return FB_OK;
  fb_step_scope scope = fb_run_scope(run, arena);
  fb_status status = fb_scope_text(&scope, own->group, &text, err);
  if (status) {
    fb_mask_error(run->mask, err);
    return status;
  }
  text =
      fb_mask_text(run->mask, text, arena); /* the name is shown, and stands in the state folder */
  const char *name = text.ptr ? fb_arena_text(arena, text) : NULL;
  if (!name) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (!*name)
    return fb_mission_fail(run->mission, fb_text_node(own->group), err, FB_E_STEP_VALUE,
                           "the name of a concurrency group is empty");
  ret_group->name = name;
  return FB_OK;
}
