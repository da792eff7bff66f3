/* SPDX-License-Identifier: Apache-2.0
 *
 * What a run would do, before it does anything: the plan, level by level, with all that is known now.
 */
#include "mission/run.h"

typedef struct S_show {
  fb_mission_run *run;
  uint64_t *known;
  uint32_t *order; /* steps by level */
  fb_arena arena;
} S_show;

static bool S_begin(S_show *show, fb_mission_run *run) {
  const fb_mission *mission = run->mission;
  uint32_t words = (fb_slot_count(mission) + 63) / 64;
  *show = (S_show){.run = run};
  fb_arena_init(&show->arena, run->allocator, 0);
  show->known = fb_arena_zero(&show->arena, words * sizeof *show->known);
  show->order = fb_arena_zero(&show->arena, (mission->step_count + 1) * sizeof *show->order);
  uint32_t *starts = fb_arena_zero(&show->arena, (mission->level_count + 2) * sizeof *starts);
  if (!show->known || !show->order || !starts) return false;
  for (uint32_t slot = 0; slot < fb_slot_of_step(mission, 0); slot++)
    if (slot != FB_SLOT_STEPS && slot != FB_SLOT_SECRETS && slot != FB_SLOT_RUN_STATUS &&
        slot < fb_slot_of_secret(mission, 0))
      show->known[slot / 64] |= UINT64_C(1) << (slot % 64);
  for (uint32_t i = 0; i < mission->step_count; i++) starts[mission->steps[i].level + 1]++;
  for (uint32_t i = 0; i < mission->level_count; i++) starts[i + 1] += starts[i];
  for (uint32_t i = 0; i < mission->step_count; i++)
    show->order[starts[mission->steps[i].level]++] = i;
  return true;
}

static fb_step_scope S_scope(S_show *show) {
  fb_step_scope scope = fb_run_scope(show->run, &show->arena);
  scope.known = show->known;
  return scope;
}

typedef enum S_answer { S_ALWAYS, S_YES, S_NO, S_LATER } S_answer;

static S_answer S_condition(S_show *show, const fb_step *step) {
  uint32_t words = (fb_slot_count(show->run->mission) + 63) / 64;
  if (!step->condition) return S_ALWAYS;
  uint64_t *reads = fb_arena_zero(&show->arena, words * sizeof *reads);
  if (!reads) return S_LATER;
  fb_cel_program_reads(step->condition, reads, words);
  for (uint32_t i = 0; i < words; i++)
    if (reads[i] & ~show->known[i]) return S_LATER;
  fb_step_scope scope = S_scope(show);
  fb_value value;
  if (fb_cel_eval(step->condition, scope.slots, scope.cel, &value, NULL) || value.kind != FB_BOOL)
    return S_LATER;
  return value.as.b ? S_YES : S_NO;
}

/* Number of items, if it is known. */
static bool S_count(S_show *show, const fb_step *step, uint32_t *ret_count) {
  fb_step_scope scope = S_scope(show);
  fb_value over;
  if (!fb_scope_knows(&scope, step->for_each) ||
      fb_scope_value(&scope, step->for_each, &over, NULL))
    return false;
  if (step->matrix && fb_matrix_expand(over, &show->arena, &over, NULL)) return false;
  if (over.kind != FB_LIST && over.kind != FB_MAP) return false;
  *ret_count = over.kind == FB_LIST ? over.as.list->len : over.as.map->len;
  return true;
}

static fb_slice S_source(const fb_mission *mission, const fb_node *node) {
  if (node->kind == FB_STRING) return fb_node_text(node);
  fb_slice all = fb_doc_text(mission->doc);
  return (fb_slice){all.ptr + node->offset, node->length};
}

static void S_write_conditions(S_show *show, const fb_step *step, fb_buf *out) {
  uint32_t count;
  S_answer answer = S_condition(show, step);
  if (answer == S_NO) fb_buf_text(out, "skipped, its condition is false: ");
  if (answer == S_LATER) {
    fb_slice source = S_source(show->run->mission, step->condition_node);
    fb_buf_printf(out, "if %.*s: ", (int)source.len, source.ptr);
  }
  if (!step->for_each) return;
  if (S_count(show, step, &count)) {
    fb_buf_printf(out, "for each of %u: ", count);
  } else {
    fb_slice source = S_source(show->run->mission, fb_text_node(step->for_each));
    fb_buf_printf(out, "for each of %.*s: ", (int)source.len, source.ptr);
  }
}

static void S_write_does(S_show *show, const fb_step *step, fb_buf *out) {
  fb_step_scope scope = S_scope(show);
  step->tool->describe(step->tool_plan, &scope, out);
  if (step->fallback_of) {
    fb_slice id = show->run->mission->steps[step->fallback_of - 1].id;
    fb_buf_printf(out, "  [only if %.*s fails]", (int)id.len, id.ptr);
  }
}

/* One line a step: its id, what it waits for, what it does. */
static void S_write_step(S_show *show, const fb_step *step, uint32_t width, fb_buf *out) {
  const fb_mission *mission = show->run->mission;
  fb_buf_printf(out, "  %-*.*s  ", (int)width, (int)step->id.len, step->id.ptr);
  S_write_conditions(show, step, out);
  S_write_does(show, step, out);
  for (uint32_t i = 0; i < step->need_count; i++) {
    fb_slice id = mission->steps[step->needs[i]].id;
    fb_buf_printf(out, "%s%.*s", i ? ", " : "  [after ", (int)id.len, id.ptr);
  }
  fb_buf_text(out, step->need_count ? "]\n" : "\n");
}

/* What comes after the steps, in order of levels. */
static void S_write_phase(S_show *show, uint8_t phase, const char *title, uint32_t width,
                          fb_buf *out) {
  const fb_mission *mission = show->run->mission;
  bool any = false;
  for (uint32_t i = 0; i < mission->step_count; i++) {
    const fb_step *step = &mission->steps[show->order[i]];
    if (step->phase != phase) continue;
    if (!any) fb_buf_printf(out, "%s\n", title);
    any = true;
    S_write_step(show, step, width, out);
  }
}

void fb_mission_run_plan(fb_mission_run *run, fb_buf *out) {
  const fb_mission *mission = run->mission;
  S_show show;
  uint32_t width = 0, level = UINT32_MAX;
  size_t from = out->len;
  if (!S_begin(&show, run)) {
    out->failed = true;
    fb_arena_release(&show.arena);
    return;
  }
  for (uint32_t i = 0; i < mission->step_count; i++)
    if (mission->steps[i].id.len > width && mission->steps[i].id.len <= 30)
      width = (uint32_t)mission->steps[i].id.len;
  for (uint32_t i = 0; i < mission->step_count; i++) {
    const fb_step *step = &mission->steps[show.order[i]];
    if (step->phase != FB_PHASE_MAIN) continue;
    if (step->level != level) fb_buf_printf(out, "wave %u\n", step->level + 1);
    level = step->level;
    S_write_step(&show, step, width, out);
  }
  S_write_phase(&show, FB_PHASE_UNDO, "if it fails, what was done is undone, the last first", width,
                out);
  S_write_phase(&show, FB_PHASE_FINALLY, "finally", width, out);
  fb_mask_buf(run->mask, out, from);
  fb_arena_release(&show.arena);
}

/* ── As a value ──────────────────────────────────────────────────────────────────────────────── */

static bool S_put(fb_map *map, fb_arena *arena, const char *key, fb_value value) {
  return map && fb_map_put(map, arena, fb_string(fb_slice_of(key)), value, NULL);
}

static fb_value S_text_value(fb_buf *buf, fb_arena *arena) {
  const char *copy = buf->failed ? NULL : fb_arena_text(arena, fb_buf_slice(buf));
  return copy ? fb_string((fb_slice){copy, buf->len}) : fb_null();
}

static fb_value S_needs_value(const fb_mission *mission, const fb_step *step, fb_arena *arena) {
  fb_list *needs = fb_list_new(arena, step->need_count);
  for (uint32_t i = 0; needs && i < step->need_count; i++)
    fb_list_push(needs, arena, fb_string(mission->steps[step->needs[i]].id));
  return needs ? fb_list_value(needs) : fb_null();
}

static fb_value S_step_value(S_show *show, const fb_step *step, fb_arena *arena) {
  const fb_mission *mission = show->run->mission;
  S_answer answer = S_condition(show, step);
  fb_buf does;
  fb_buf_init(&does, show->run->allocator, 0);
  S_write_does(show, step, &does);
  fb_map *map = fb_map_new(arena, 6);
  bool good = S_put(map, arena, "id", fb_string(step->id)) &&
              S_put(map, arena, "tool", fb_string(fb_slice_of(step->tool->key))) &&
              S_put(map, arena, "needs", S_needs_value(mission, step, arena)) &&
              S_put(map, arena, "does", S_text_value(&does, arena));
  if (good && answer != S_ALWAYS)
    S_put(map, arena, "if",
          answer == S_LATER ? fb_string(S_source(mission, step->condition_node))
                            : fb_bool(answer == S_YES));
  uint32_t count;
  if (good && step->for_each)
    S_put(map, arena, "for_each",
          S_count(show, step, &count) ? fb_int(count)
                                      : fb_string(S_source(mission, fb_text_node(step->for_each))));
  fb_buf_release(&does);
  return good ? fb_map_value(map) : fb_null();
}

/* Nothing if there are none. */
static bool S_phase_value(S_show *show, uint8_t phase, const char *key, fb_map *map,
                          fb_arena *arena) {
  const fb_mission *mission = show->run->mission;
  fb_list *list = NULL;
  for (uint32_t i = 0; i < mission->step_count; i++) {
    const fb_step *step = &mission->steps[show->order[i]];
    if (step->phase != phase) continue;
    if (!list) list = fb_list_new(arena, 4);
    if (!list || !fb_list_push(list, arena, S_step_value(show, step, arena))) return false;
  }
  return !list || S_put(map, arena, key, fb_list_value(list));
}

fb_status fb_mission_run_plan_value(fb_mission_run *run, fb_arena *arena, fb_value *ret_value) {
  const fb_mission *mission = run->mission;
  S_show show;
  fb_map *map = fb_map_new(arena, 4);
  fb_list *levels = fb_list_new(arena, mission->level_count), *level = NULL;
  bool good = S_begin(&show, run) && map && levels;
  uint32_t last = UINT32_MAX;
  for (uint32_t i = 0; good && i < mission->step_count; i++) {
    const fb_step *step = &mission->steps[show.order[i]];
    if (step->phase != FB_PHASE_MAIN) continue;
    bool next = step->level != last;
    last = step->level;
    if (next) {
      level = fb_list_new(arena, 8);
      good = level && fb_list_push(levels, arena, fb_list_value(level));
    }
    good = good && fb_list_push(level, arena, S_step_value(&show, step, arena));
  }
  good = good && S_put(map, arena, "name", fb_string(mission->name)) &&
         S_put(map, arena, "inputs", run->slots[FB_SLOT_INPUTS]) &&
         S_put(map, arena, "waves", fb_list_value(levels)) &&
         S_phase_value(&show, FB_PHASE_UNDO, "undo", map, arena) &&
         S_phase_value(&show, FB_PHASE_FINALLY, "finally", map, arena);
  fb_arena_release(&show.arena);
  if (!good) return FB_E_NOMEM;
  return fb_mask_value(run->mask, fb_map_value(map), arena, ret_value);
}
