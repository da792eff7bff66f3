/* SPDX-License-Identifier: Apache-2.0
 *
 * Which step is which, when a mission was edited: by what it does, not by where it stands or how it is laid out.
 */
#include "mission/record.h"

/* What may be changed without making another step of it. */
static bool S_is_manner(fb_slice key) {
  static const char *const manners[] = {"description", "needs", "timeout", "on_error", "retry",
                                        "breaker",     "limit", "cache",   "priority", "undo",
                                        "semantics",   "check", "if"};
  for (size_t i = 0; i < sizeof manners / sizeof *manners; i++)
    if (fb_slice_equal(key, fb_slice_of(manners[i]))) return true;
  return false;
}

/* Depth is bounded by what the reader admits. */
static uint64_t S_node(const fb_node *node, bool step) {
  uint64_t hash = fb_hash_mix(node->kind, node->count);
  if (node->kind == FB_LIST) {
    for (uint32_t i = 0; i < node->count; i++)
      hash = fb_hash_mix(hash, S_node(&node->as.items[i], false));
  } else if (node->kind == FB_MAP) {
    uint64_t sum = 0; /* the order of keys says nothing */
    for (uint32_t i = 0; i < node->count; i++) {
      const fb_pair *pair = &node->as.pairs[i];
      if (step && S_is_manner(fb_node_text(&pair->key))) continue;
      sum += fb_hash_mix(S_node(&pair->key, false), S_node(&pair->value, false));
    }
    hash = fb_hash_mix(step ? FB_MAP : hash, sum);
  } else if (node->kind != FB_ERROR) {
    hash = fb_hash_mix(hash, fb_value_hash(node->as.scalar, 0));
  }
  return hash;
}

uint64_t fb_step_identity(const fb_mission *mission, uint32_t step) {
  const fb_node *root = fb_doc_root(mission->doc);
  const fb_node *env = fb_node_get(root, "env");
  uint64_t hash = S_node(mission->steps[step].node, true);
  if (env) hash = fb_hash_mix(hash, S_node(env, false));
  return hash ? hash : 1;
}
