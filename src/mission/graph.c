/* SPDX-License-Identifier: Apache-2.0
 *
 * The graph of needs: its other direction, levels, cycles. Linear in steps and needs, without
 * recursion: a chain of a million steps is as good as a fan.
 */
#include "mission/plan.h"

static bool S_fill_dependents(fb_mission *mission) {
  size_t total = 0;
  for (uint32_t i = 0; i < mission->step_count; i++) {
    total += mission->steps[i].need_count;
    for (uint32_t k = 0; k < mission->steps[i].need_count; k++)
      mission->steps[mission->steps[i].needs[k]].dependent_count++;
  }
  uint32_t *all = fb_arena_alloc(&mission->arena, (total + 1) * sizeof *all);
  if (!all) return false;
  for (uint32_t i = 0; i < mission->step_count; i++) {
    mission->steps[i].dependents = all;
    all += mission->steps[i].dependent_count;
    mission->steps[i].dependent_count = 0;
  }
  for (uint32_t i = 0; i < mission->step_count; i++)
    for (uint32_t k = 0; k < mission->steps[i].need_count; k++) {
      fb_step *need = &mission->steps[mission->steps[i].needs[k]];
      need->dependents[need->dependent_count++] = i;
    }
  return true;
}

/* Takes away steps without open needs until none is left: sets levels; waiting[i] > 0 afterwards for
 * those that are in or behind a cycle. Returns how many were taken. */
static uint32_t S_sort(fb_mission *mission, uint32_t *waiting, uint32_t *queue) {
  uint32_t head = 0, tail = 0;
  for (uint32_t i = 0; i < mission->step_count; i++) {
    waiting[i] = mission->steps[i].need_count;
    if (waiting[i] == 0) queue[tail++] = i;
  }
  while (head < tail) {
    const fb_step *step = &mission->steps[queue[head++]];
    if (step->level + 1 > mission->level_count) mission->level_count = step->level + 1;
    for (uint32_t k = 0; k < step->dependent_count; k++) {
      fb_step *next = &mission->steps[step->dependents[k]];
      if (next->level < step->level + 1) next->level = step->level + 1;
      if (--waiting[step->dependents[k]] == 0) queue[tail++] = step->dependents[k];
    }
  }
  return tail;
}

/* "a → b → c → a", the middle left out when it is long. */
static void S_report_cycle(const fb_mission *mission, const uint32_t *cycle, uint32_t length,
                           fb_errors *errors) {
  fb_buf text;
  uint32_t first = 0;
  fb_buf_init(&text, mission->allocator, 300);
  for (uint32_t i = 1; i < length; i++)
    if (cycle[i] < cycle[first]) first = i;
  for (uint32_t i = 0; i < length; i++) {
    if (length > 10 && i == 6) {
      fb_buf_printf(&text, "… (%u more) → ", length - 8);
      i = length - 2;
    }
    fb_slice id = mission->steps[cycle[(first + i) % length]].id;
    fb_buf_printf(&text, "%.*s → ", id.len > 20 ? 20 : (int)id.len, id.ptr);
  }
  const fb_step *start = &mission->steps[cycle[first]];
  fb_buf_printf(&text, "%.*s", start->id.len > 20 ? 20 : (int)start->id.len, start->id.ptr);
  fb_doc_fail(
      mission->doc, start->id_node, errors, FB_E_MISSION_CYCLE,
      "a step needs what it names under `needs`, every `steps.ID` in its expressions, and what "
      "stands in for those (`on_error`)",
      "steps need each other in a circle: %s", text.ptr ? text.ptr : "");
  fb_buf_release(&text);
}

/* From every step that is left, follows the first need that is left too: such a walk ends in a cycle
 * or in a walk before it. */
static void S_find_cycles(const fb_mission *mission, const uint32_t *waiting, uint32_t *seen,
                          uint32_t *path, fb_errors *errors) {
  memset(seen, 0, mission->step_count * sizeof *seen);
  for (uint32_t start = 0; start < mission->step_count; start++) {
    if (waiting[start] == 0 || seen[start]) continue;
    uint32_t length = 0, at = start;
    while (!seen[at]) {
      const fb_step *step = &mission->steps[at];
      seen[at] = start + 1;
      path[length++] = at;
      for (uint32_t k = 0; k < step->need_count; k++)
        if (waiting[step->needs[k]] > 0) {
          at = step->needs[k];
          break;
        }
    }
    if (seen[at] != start + 1) continue;
    uint32_t from = 0;
    while (path[from] != at) from++;
    S_report_cycle(mission, path + from, length - from, errors);
  }
}

bool fb_graph_build(fb_mission *mission, fb_errors *errors) {
  size_t count = mission->step_count;
  size_t bytes = (3 * count + 1) * sizeof(uint32_t);
  uint32_t *work = fb_alloc(mission->allocator, bytes);
  bool good = work && S_fill_dependents(mission);
  if (good && S_sort(mission, work, work + count) < count) {
    S_find_cycles(mission, work, work + count, work + 2 * count, errors);
    good = false;
  }
  fb_free(mission->allocator, work, bytes);
  return good;
}
