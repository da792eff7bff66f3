/* SPDX-License-Identifier: Apache-2.0
 *
 * The graph of a mission, drawn: for Graphviz, for Mermaid, and for a terminal.
 */
#include "mission/plan.h"

enum { MOST_LANES = 48 };

/* ── Graphviz and Mermaid ────────────────────────────────────────────────────────────────────── */

static void S_node_name(fb_buf *out, const fb_step *step) {
  fb_buf_printf(out, "%s%.*s", step->undoes ? "undo_" : "s_", (int)step->id.len, step->id.ptr);
}

static void S_label(fb_buf *out, const fb_step *step) {
  fb_buf_printf(out, "%s%.*s", step->undoes ? "undo " : "", (int)step->id.len, step->id.ptr);
  if (step->tool) fb_buf_printf(out, " (%s)", step->tool->key);
  if (step->for_each) fb_buf_text(out, step->matrix ? " for each of a matrix" : " for each");
}

static void S_edge(fb_buf *out, const fb_step *from, const char *arrow, const fb_step *to,
                   const char *more) {
  fb_buf_text(out, "  ");
  S_node_name(out, from);
  fb_buf_printf(out, " %s ", arrow);
  S_node_name(out, to);
  fb_buf_printf(out, "%s\n", more);
}

/* A quote within a quoted text. */
static void S_quoted(fb_buf *out, fb_slice text, const char *quote) {
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] == '"')
      fb_buf_text(out, quote);
    else if (text.ptr[i] == '\n')
      fb_buf_char(out, ' ');
    else
      fb_buf_char(out, text.ptr[i]);
  }
}

static void S_dot(const fb_mission *mission, fb_buf *out) {
  static const char *const styles[] = {"", "", ", style=dotted", ", style=dashed"};
  fb_buf_text(out, "digraph \"");
  S_quoted(out, mission->name, "\\\"");
  fb_buf_text(out, "\" {\n  rankdir=LR\n  node [shape=box]\n");
  for (uint32_t i = 0; i < mission->step_count; i++) {
    const fb_step *step = &mission->steps[i];
    fb_buf_text(out, "  ");
    S_node_name(out, step);
    fb_buf_text(out, " [label=\"");
    S_label(out, step);
    fb_buf_printf(out, "\"%s]\n", styles[step->phase]);
  }
  for (uint32_t i = 0; i < mission->step_count; i++) {
    const fb_step *step = &mission->steps[i];
    for (uint32_t k = 0; k < step->need_count; k++) {
      bool spare = step->fallback_of == step->needs[k] + 1;
      S_edge(out, &mission->steps[step->needs[k]], "->", step,
             spare ? " [style=dashed, label=\"if it fails\"]" : "");
    }
    if (step->undo)
      S_edge(out, step, "->", &mission->steps[step->undo - 1], " [style=dotted, arrowhead=none]");
  }
  fb_buf_text(out, "}\n");
}

static void S_mermaid(const fb_mission *mission, fb_buf *out) {
  fb_buf_text(out, "flowchart LR\n");
  for (uint32_t i = 0; i < mission->step_count; i++) {
    fb_buf_text(out, "  ");
    S_node_name(out, &mission->steps[i]);
    fb_buf_text(out, "[\"");
    S_label(out, &mission->steps[i]);
    fb_buf_text(out, "\"]\n");
  }
  for (uint32_t i = 0; i < mission->step_count; i++) {
    const fb_step *step = &mission->steps[i];
    for (uint32_t k = 0; k < step->need_count; k++) {
      bool spare = step->fallback_of == step->needs[k] + 1;
      S_edge(out, &mission->steps[step->needs[k]], spare ? "-. if it fails .->" : "-->", step, "");
    }
    if (step->undo) S_edge(out, step, "-.-", &mission->steps[step->undo - 1], "");
  }
}

/* ── Terminal ────────────────────────────────────────────────────────────────────────────────── */

/* Each lane is a need that is not satisfied yet: the step it leads to. Steps come in the order of their levels, so a
 * lane only ever goes down. */
typedef struct S_lanes {
  uint32_t to[MOST_LANES]; /* FB_NO_STEP: free */
  uint32_t count;
} S_lanes;

static uint32_t S_free_lane(S_lanes *lanes, uint32_t from) {
  for (uint32_t i = from; i < lanes->count; i++)
    if (lanes->to[i] == FB_NO_STEP) return i;
  if (lanes->count == MOST_LANES) return MOST_LANES;
  lanes->to[lanes->count] = FB_NO_STEP;
  return lanes->count++;
}

/* A line from lane `at` to all lanes in `mask`, which lie right of it. */
static void S_branch(const S_lanes *lanes, uint32_t at, uint64_t mask, const char *middle,
                     const char *end, fb_buf *out) {
  uint32_t last = at;
  for (uint32_t i = at + 1; i < MOST_LANES; i++)
    if (mask >> i & 1) last = i;
  for (uint32_t i = 0; i < lanes->count; i++) {
    bool active = lanes->to[i] != FB_NO_STEP;
    const char *mark = active ? "│" : " ";
    if (i == at) mark = "├";
    if (i > at && i < last) mark = mask >> i & 1 ? middle : active ? "┼" : "─";
    if (i == last) mark = end;
    fb_buf_printf(out, "%s%s", mark, i >= at && i < last ? "─" : " ");
  }
  while (out->len && out->ptr[out->len - 1] == ' ') out->len--;
  fb_buf_char(out, '\n');
}

/* The lane that the step stands in: all that lead to it come together there. */
static uint32_t S_gather(S_lanes *lanes, uint32_t step, fb_buf *out) {
  uint32_t at = MOST_LANES;
  uint64_t mask = 0;
  for (uint32_t i = 0; i < lanes->count; i++) {
    if (lanes->to[i] != step) continue;
    if (at == MOST_LANES)
      at = i;
    else
      mask |= UINT64_C(1) << i;
  }
  if (at == MOST_LANES) return S_free_lane(lanes, 0);
  if (mask) S_branch(lanes, at, mask, "┴", "╯", out);
  for (uint32_t i = 0; i < lanes->count; i++)
    if (mask >> i & 1) lanes->to[i] = FB_NO_STEP;
  return at;
}

static bool S_spread(S_lanes *lanes, uint32_t at, const fb_step *step, fb_buf *out) {
  uint64_t mask = 0;
  lanes->to[at] = step->dependent_count ? step->dependents[0] : FB_NO_STEP;
  for (uint32_t i = 1; i < step->dependent_count; i++) {
    uint32_t lane = S_free_lane(lanes, at + 1);
    if (lane == MOST_LANES) return false;
    lanes->to[lane] = step->dependents[i];
    mask |= UINT64_C(1) << lane;
  }
  if (mask) S_branch(lanes, at, mask, "┬", "╮", out);
  while (lanes->count && lanes->to[lanes->count - 1] == FB_NO_STEP) lanes->count--;
  return true;
}

static void S_write_step(const fb_mission *mission, const fb_step *step, fb_buf *out) {
  S_label(out, step);
  if (step->fallback_of) {
    fb_slice id = mission->steps[step->fallback_of - 1].id;
    fb_buf_printf(out, ", if %.*s fails", (int)id.len, id.ptr);
  } else if (step->condition) {
    fb_buf_text(out, ", if …");
  }
  if (step->undo) fb_buf_text(out, ", can be undone");
  fb_buf_char(out, '\n');
}

/* Steps by level; NULL: no memory. */
static uint32_t *S_order(const fb_mission *mission, size_t bytes) {
  uint32_t *order = fb_alloc_zero(mission->allocator, bytes), at = 0;
  for (uint32_t level = 0; order && level < mission->level_count; level++) {
    if (mission->level_count > 2000) { /* then by number: needs may stand below */
      for (uint32_t i = 0; i < mission->step_count; i++) order[i] = i;
      return order;
    }
    for (uint32_t i = 0; i < mission->step_count; i++)
      if (mission->steps[i].level == level) order[at++] = i;
  }
  return order;
}

static bool S_lanes_drawn(const fb_mission *mission, const uint32_t *order, uint8_t phase,
                          fb_buf *out) {
  S_lanes lanes = {.count = 0};
  for (uint32_t i = 0; i < mission->step_count; i++) {
    const fb_step *step = &mission->steps[order[i]];
    if (step->phase != phase) continue;
    uint32_t at = S_gather(&lanes, order[i], out);
    if (at == MOST_LANES) return false;
    for (uint32_t k = 0; k < lanes.count; k++)
      fb_buf_text(out, k == at ? "● " : lanes.to[k] != FB_NO_STEP ? "│ " : "  ");
    fb_buf_char(out, ' ');
    S_write_step(mission, step, out);
    if (!S_spread(&lanes, at, step, out)) return false;
  }
  return true;
}

/* A graph that is too wide for lanes: a line a step with what it needs. */
static void S_list(const fb_mission *mission, const uint32_t *order, uint8_t phase, fb_buf *out) {
  for (uint32_t i = 0; i < mission->step_count; i++) {
    const fb_step *step = &mission->steps[order[i]];
    if (step->phase != phase) continue;
    for (uint32_t k = 0; k < step->need_count; k++) {
      fb_slice id = mission->steps[step->needs[k]].id;
      fb_buf_printf(out, "%s%.*s", k ? ", " : "", (int)id.len, id.ptr);
    }
    fb_buf_text(out, step->need_count ? " → " : "● ");
    S_write_step(mission, step, out);
  }
}

static void S_text(const fb_mission *mission, fb_buf *out) {
  size_t bytes = (mission->step_count + 1) * sizeof(uint32_t);
  uint32_t *order = S_order(mission, bytes);
  if (!order) {
    out->failed = true;
    return;
  }
  size_t before = out->len;
  if (mission->level_count > 2000 || !S_lanes_drawn(mission, order, FB_PHASE_MAIN, out)) {
    out->len = before;
    S_list(mission, order, FB_PHASE_MAIN, out);
  }
  if (mission->step_count > mission->finally_first) {
    fb_buf_text(out, "finally\n");
    before = out->len;
    if (!S_lanes_drawn(mission, order, FB_PHASE_FINALLY, out)) {
      out->len = before;
      S_list(mission, order, FB_PHASE_FINALLY, out);
    }
  }
  fb_free(mission->allocator, order, bytes);
}

void fb_mission_draw(const fb_mission *mission, fb_drawing drawing, fb_buf *out) {
  if (drawing == FB_DRAWING_DOT)
    S_dot(mission, out);
  else if (drawing == FB_DRAWING_MERMAID)
    S_mermaid(mission, out);
  else
    S_text(mission, out);
}
