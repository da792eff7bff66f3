/* SPDX-License-Identifier: Apache-2.0
 *
 * Steps that are there for bad days: what undoes others, what stands in for others. Document → plan.
 */
#include "mission/plan.h"

#include <stdio.h>

void fb_load_undo(fb_mission_loader *loader, const fb_node *node, uint32_t number) {
  fb_mission *mission = loader->mission;
  fb_step *step = &mission->steps[number];
  uint32_t other = loader->undo_next++;
  fb_step *undo = &mission->steps[other];
  undo->id = step->id;
  undo->id_node = node;
  undo->undoes = number + 1;
  undo->item_parallel = 1;
  step->undo = other + 1;
  step->referenced = true; /* what undoes it may look at what it gave */
  fb_load_step(loader, node, other);
}

void fb_load_on_error(fb_mission_loader *loader, const fb_node *node, fb_step *step) {
  static const char *const words[] = {"stop", "continue"};
  static const fb_key_spec specs[] = {{"step", FB_KIND_BIT(FB_STRING), true}};
  const fb_node *named = NULL;
  if (!node) return;
  if (node->kind == FB_STRING) {
    step->on_error = (uint8_t)fb_load_word(loader, node, "on_error", words, 2);
    return;
  }
  fb_doc_keys(loader->doc, node, "on_error", specs, 1, &named, loader->errors);
  if (!named) return;
  step->on_error = FB_ON_ERROR_FALLBACK;
  const fb_table_slot *slot = fb_table_get(&loader->ids, fb_node_text(named));
  uint32_t number = (uint32_t)(step - loader->mission->steps);
  if (!slot) {
    char hint[160] = "";
    const char *near = fb_loader_nearest_step(loader, fb_node_text(named));
    if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
    fb_doc_fail(loader->doc, named, loader->errors, FB_E_MISSION_STEP, hint, "unknown step `%.*s`",
                (int)fb_node_text(named).len, fb_node_text(named).ptr);
    return;
  }
  fb_step *other = &loader->mission->steps[slot->value.number];
  bool same_phase =
      (slot->value.number < loader->mission->main_count) == (number < loader->mission->main_count);
  if (other == step || !same_phase) {
    fb_load_fail(loader, named, FB_E_MISSION_STEP, "",
                 "this step cannot stand in for the one that failed");
  } else if (other->fallback_of) {
    fb_load_fail(loader, named, FB_E_MISSION_STEP, "make a step for each",
                 "this step stands in for another already");
  } else {
    step->fallback = (uint32_t)slot->value.number + 1;
    other->fallback_of = number + 1;
  }
}

static bool S_needs(const fb_step *step, uint32_t need) {
  for (uint32_t i = 0; i < step->need_count; i++)
    if (step->needs[i] == need) return true;
  return false;
}

/* Keeps them ascending. */
static bool S_add_need(fb_mission_loader *loader, fb_step *step, uint32_t need) {
  if (S_needs(step, need)) return true;
  uint32_t *needs = fb_arena_alloc(&loader->mission->arena, (step->need_count + 1) * sizeof *needs),
           at = 0;
  if (!needs) {
    loader->out_of_memory = true;
    return false;
  }
  for (uint32_t i = 0; i < step->need_count && step->needs[i] < need; i++)
    needs[at++] = step->needs[i];
  needs[at] = need;
  for (uint32_t i = at; i < step->need_count; i++) needs[i + 1] = step->needs[i];
  step->needs = needs;
  step->need_count++;
  return true;
}

void fb_load_fallbacks(fb_mission_loader *loader) {
  fb_mission *mission = loader->mission;
  bool any = false;
  for (uint32_t i = 0; i < mission->step_count; i++) any = any || mission->steps[i].fallback;
  if (!any) return;
  for (uint32_t i = 0; i < mission->step_count; i++) {
    fb_step *step = &mission->steps[i];
    uint32_t own = step->need_count;
    const uint32_t *needs = step->needs;
    for (uint32_t k = 0; k < own; k++) {
      uint32_t other = mission->steps[needs[k]].fallback;
      if (other && other != i + 1 && !S_add_need(loader, step, other - 1)) return;
    }
  }
  for (uint32_t i = 0; i < mission->step_count; i++) {
    fb_step *step = &mission->steps[i];
    if (!step->fallback) continue;
    fb_step *other = &mission->steps[step->fallback - 1];
    if (step->referenced) other->referenced = true;
    if (!S_add_need(loader, other, i)) return;
  }
}
