/* SPDX-License-Identifier: Apache-2.0
 *
 * What a step needs: what it says, and what its expressions read.
 */
#include "mission/plan.h"

#include <stdio.h>
#include <stdlib.h>

/* Steps of `finally` begin when all others are over: nothing of those is waited for. */
static bool S_waits_for(const fb_mission_loader *loader, uint32_t step) {
  if (loader->step == FB_NO_STEP) return false;
  return loader->mission->steps[loader->step].phase != FB_PHASE_FINALLY ||
         step >= loader->mission->finally_first;
}

bool fb_loader_need(fb_mission_loader *loader, uint32_t step) {
  loader->mission->steps[step].referenced = true;
  if (!S_waits_for(loader, step) || loader->marks[step] == loader->step + 1) return true;
  loader->marks[step] = loader->step + 1;
  void *needs = loader->needs;
  if (!fb_grow(loader->allocator, &needs, &loader->need_cap, loader->need_count,
               sizeof *loader->needs)) {
    loader->out_of_memory = true;
    return false;
  }
  loader->needs = needs;
  loader->needs[loader->need_count++] = step;
  return true;
}

const char *fb_loader_nearest_step(fb_mission_loader *loader, fb_slice word) {
  fb_mission *mission = loader->mission;
  enum { MOST = 5000 }; /* beyond, looking at all of them for every error takes too long */
  uint32_t count = mission->step_count < MOST ? mission->step_count : MOST;
  if (fb_errors_total(loader->errors) > 50) return NULL;
  if (!loader->id_names) {
    loader->id_names = fb_arena_alloc(&mission->arena, (count + 1) * sizeof *loader->id_names);
    for (uint32_t i = 0; loader->id_names && i < count; i++) {
      loader->id_names[i] = fb_arena_text(&mission->arena, mission->steps[i].id);
      if (!loader->id_names[i]) loader->id_names[i] = "";
    }
  }
  return loader->id_names ? fb_nearest(word, loader->id_names, count) : NULL;
}

/* A step of `finally`, seen from one that runs before those. */
static bool S_is_later(const fb_mission_loader *loader, uint32_t step) {
  return loader->step != FB_NO_STEP && step >= loader->mission->finally_first &&
         loader->mission->steps[loader->step].phase != FB_PHASE_FINALLY;
}

void fb_loader_note_reads(fb_mission_loader *loader, const fb_source_text *source) {
  const fb_mission *mission = loader->mission;
  uint32_t first = fb_slot_of_step(mission, 0), end = first + mission->step_count;
  bool named = loader->words[0] & (1 << FB_SLOT_INPUTS | 1 << FB_SLOT_STEPS | 1 << FB_SLOT_SECRETS |
                                   1 << FB_SLOT_RUN_STATUS);
  bool barred = false, later = false;
  for (uint32_t w = first / 64; w <= end / 64 && w < loader->word_count; w++) {
    for (uint64_t bits = loader->words[w]; bits; bits &= bits - 1) {
      uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(bits);
      if (slot < first || slot >= end) continue;
      named = true;
      barred = barred || loader->steps_barred;
      later = later || S_is_later(loader, slot - first);
      if (!loader->steps_barred) fb_loader_need(loader, slot - first);
    }
  }
  if (later)
    fb_load_fail(loader, source->node, FB_E_MISSION_STEP, "steps of `finally` run when all is over",
                 "a step of `finally` has no result yet where this is worked out");
  else if (barred)
    fb_load_fail(loader, source->node, FB_E_MISSION_STEP,
                 "put it under `env` of the steps that use it",
                 "no step has a result yet where this is worked out");
  else if (named)
    fb_refs_check(loader, source);
}

static void S_written_need(fb_mission_loader *loader, const fb_node *node) {
  if (node->kind != FB_STRING) {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_SYNTAX, "",
                "`needs` lists ids of steps, not %s", fb_node_describe(node));
    return;
  }
  fb_slice id = fb_node_text(node);
  fb_table_slot *slot = fb_table_get(&loader->ids, id);
  if (slot && S_is_later(loader, (uint32_t)slot->value.number)) {
    fb_load_fail(loader, node, FB_E_MISSION_STEP, "steps of `finally` run when all is over",
                 "a step cannot need one of `finally`");
    return;
  }
  if (slot) {
    bool was = loader->mission->steps[slot->value.number].referenced;
    fb_loader_need(loader, (uint32_t)slot->value.number);
    loader->mission->steps[slot->value.number].referenced = was;
    return;
  }
  const char *near = fb_loader_nearest_step(loader, id);
  char hint[120] = "";
  if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_STEP, hint, "unknown step `%.*s`",
              (int)id.len, id.ptr);
}

void fb_load_needs(fb_mission_loader *loader, const fb_node *node) {
  if (!node) return;
  if (node->kind != FB_LIST) {
    S_written_need(loader, node);
    return;
  }
  for (uint32_t i = 0; i < node->count; i++) S_written_need(loader, &node->as.items[i]);
}

static int S_by_number(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

uint32_t *fb_load_take_needs(fb_mission_loader *loader, uint32_t *ret_count) {
  size_t bytes = loader->need_count * sizeof(uint32_t);
  *ret_count = (uint32_t)loader->need_count;
  if (bytes == 0) return NULL;
  qsort(loader->needs, loader->need_count, sizeof(uint32_t), S_by_number);
  uint32_t *needs = fb_arena_copy(&loader->mission->arena, loader->needs, bytes);
  if (!needs) {
    *ret_count = 0;
    loader->out_of_memory = true;
  }
  return needs;
}
