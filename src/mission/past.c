/* SPDX-License-Identifier: Apache-2.0
 *
 * What a journal says of a run, without its mission: for people and for lists.
 */
#include "mission/plan.h"

#include <stdio.h>

typedef struct S_past {
  fb_past face;
  const fb_allocator *allocator;
  fb_arena arena;
  fb_table table; /* who → number in steps */
  size_t cap;
} S_past;

static fb_status S_no_memory(fb_error *err) {
  return fb_fail(err, FB_E_NOMEM, "out of memory");
}

static bool S_copy(S_past *past, fb_slice *text) {
  const char *copy = fb_arena_text(&past->arena, text->len ? *text : FB_SLICE(""));
  text->ptr = copy;
  return copy != NULL;
}

static fb_past_step *S_step(S_past *past, const fb_event *event) {
  char key[2 * UINT16_MAX + 40];
  bool added = false;
  int length =
      snprintf(key, sizeof key, "%.*s\n%.*s\n%u\n%u", (int)event->scope.len, event->scope.ptr,
               (int)event->step.len, event->step.ptr, event->phase, event->item);
  fb_slice name = {key, (size_t)length};
  fb_table_slot *slot = fb_table_get(&past->table, name);
  if (slot) return &past->face.steps[slot->value.number];
  if (!S_copy(past, &name) || !fb_grow(past->allocator, (void **)&past->face.steps, &past->cap,
                                       past->face.step_count, sizeof *past->face.steps))
    return NULL;
  slot = fb_table_put(&past->table, name, &added);
  if (!slot) return NULL;
  slot->value.number = past->face.step_count;
  fb_past_step *step = &past->face.steps[past->face.step_count];
  *step = (fb_past_step){.item = event->item,
                         .phase = event->phase,
                         .scope = event->scope,
                         .id = event->step,
                         .exit_code = -1,
                         .decision = fb_absent(),
                         .output = fb_absent()};
  if (!S_copy(past, &step->scope) || !S_copy(past, &step->id)) return NULL;
  past->face.step_count++;
  return step;
}

static const char *S_text(fb_value map, const char *key) {
  const fb_value *value = map.kind == FB_MAP ? fb_map_get_text(map.as.map, fb_slice_of(key)) : NULL;
  return value && value->kind == FB_STRING ? value->as.text : NULL;
}

static fb_value S_value(fb_value map, const char *key) {
  const fb_value *value = map.kind == FB_MAP ? fb_map_get_text(map.as.map, fb_slice_of(key)) : NULL;
  return value ? *value : fb_null();
}

static int64_t S_int(fb_value map, const char *key) {
  fb_value value = S_value(map, key);
  return value.kind == FB_INT ? value.as.i : 0;
}

static void S_started(fb_past_step *step, const fb_event *event) {
  if (step->attempts == 0 || step->status != FB_STEP_PENDING) step->started = event->wall;
  step->status = FB_STEP_RUNNING;
  step->attempts++;
  if (event->flags & FB_EVENT_RECOVERED) step->repeats++;
  step->error = step->waits_for = NULL;
  step->ended = step->duration = 0;
}

static void S_ended(fb_past_step *step, const fb_event *event, fb_value payload) {
  bool not_begun = event->flags & FB_EVENT_NOT_BEGUN;
  bool doubt = step->status == FB_STEP_RUNNING && event->attempt != step->attempts;
  if (not_begun && doubt) return; /* nothing was begun beside what is in doubt */
  if (not_begun && step->attempts) step->attempts--;
  if (not_begun && step->repeats) {
    step->repeats--;
    return;
  }
  if (event->status == FB_STEP_CANCELLED && !not_begun) return; /* in the middle of it */
  step->status = event->flags & FB_EVENT_AGAIN ? FB_STEP_PENDING : (fb_step_status)event->status;
  step->ended = event->wall;
  step->duration = S_int(payload, "duration");
  step->exit_code = event->code;
  step->signal = event->signal;
  step->note = S_text(payload, "note");
  step->out_path = S_text(payload, "out_path");
  step->err_path = S_text(payload, "err_path");
  step->error = S_text(S_value(payload, "error"), "text");
  step->waits_for = NULL;
  fb_value output = S_value(S_value(payload, "result"), "output");
  step->output = output.kind == FB_NULL ? fb_absent() : output;
}

/* What was settled without a call says nothing about a call whose effect is not known. */
static void S_settled(fb_past_step *step, const fb_event *event, fb_value payload) {
  if (event->status == FB_STEP_WAITING) {
    step->waits_for = S_text(payload, "text");
    if (!step->waits_for) step->waits_for = "a decision";
    step->inside = event->flags & FB_EVENT_OTHERWISE;
    if (step->status != FB_STEP_RUNNING || step->inside) step->status = FB_STEP_WAITING;
    return;
  }
  if (step->status == FB_STEP_RUNNING) return;
  step->status = (fb_step_status)event->status;
  step->ended = event->wall;
  step->waits_for = NULL;
  step->error = S_text(payload, "text");
}

static fb_status S_of_step(S_past *past, const fb_event *event) {
  fb_value payload = fb_null();
  fb_past_step *step = S_step(past, event);
  if (!step) return FB_E_NOMEM;
  if (event->kind != FB_EVENT_STEP_STARTED && event->payload.len &&
      fb_value_unpack(event->payload, &past->arena, &payload, NULL) == FB_E_NOMEM)
    return FB_E_NOMEM;
  switch (event->kind) {
    case FB_EVENT_STEP_STARTED: S_started(step, event); break;
    case FB_EVENT_STEP_ENDED: S_ended(step, event, payload); break;
    case FB_EVENT_STEP_SETTLED: S_settled(step, event, payload); break;
    default: step->decision = payload; break;
  }
  return FB_OK;
}

static fb_status S_of_run(S_past *past, const fb_event *event) {
  fb_past *face = &past->face;
  fb_value payload = fb_null();
  if (event->payload.len &&
      fb_value_unpack(event->payload, &past->arena, &payload, NULL) == FB_E_NOMEM)
    return FB_E_NOMEM;
  if (event->kind == FB_EVENT_RUN_ENDED) {
    face->status = (fb_mission_status)event->status;
    face->ended = event->wall;
    face->outputs = S_value(payload, "outputs");
    face->error = S_text(S_value(payload, "error"), "text");
    return FB_OK;
  }
  if (face->sessions++ == 0) {
    face->started = event->wall;
    face->about = payload;
  }
  face->status = FB_MISSION_GOING;
  face->ended = 0;
  return FB_OK;
}

/* Without a step: what failed. Else that step; what needs it shows once it runs again. */
static void S_retry(S_past *past, const fb_event *event) {
  past->face.status = FB_MISSION_GOING;
  for (uint32_t i = 0; i < past->face.step_count; i++) {
    fb_past_step *step = &past->face.steps[i];
    bool bad = step->status == FB_STEP_FAILED || step->status == FB_STEP_TIMEOUT ||
               (step->status == FB_STEP_SKIPPED && step->error);
    bool named = fb_slice_equal(step->id, event->step) &&
                 fb_slice_equal(step->scope, event->scope) &&
                 (event->item == FB_NO_ITEM || event->item == step->item);
    if (event->step.len ? named : bad) step->status = FB_STEP_PENDING;
  }
}

static fb_status S_event(void *user, const fb_event *event) {
  S_past *past = user;
  past->face.events++;
  switch (event->kind) {
    case FB_EVENT_RUN_STARTED:
    case FB_EVENT_RUN_RESUMED:
    case FB_EVENT_RUN_ENDED: return S_of_run(past, event);
    case FB_EVENT_STEP_STARTED:
    case FB_EVENT_STEP_ENDED:
    case FB_EVENT_STEP_SETTLED:
    case FB_EVENT_DECIDED: return S_of_step(past, event);
    case FB_EVENT_RETRY: S_retry(past, event); return FB_OK;
    default:
      if (event->flags & FB_EVENT_LOST) past->face.lost++;
      return FB_OK;
  }
}

fb_status fb_past_read(fb_journal *journal, const fb_allocator *allocator, fb_past **ret_past,
                       fb_error *err) {
  if (!allocator) allocator = fb_allocator_system();
  S_past *past = fb_alloc_zero(allocator, sizeof *past);
  if (!past) return S_no_memory(err);
  past->allocator = allocator;
  past->face.about = past->face.outputs = fb_null();
  fb_arena_init(&past->arena, allocator, 0);
  fb_table_init(&past->table, allocator, 0);
  fb_status status = journal->read(journal->context, S_event, past, err);
  if (status == FB_E_NOMEM) S_no_memory(err);
  if (status)
    fb_past_free(&past->face);
  else
    *ret_past = &past->face;
  return status;
}

void fb_past_free(fb_past *face) {
  if (!face) return;
  S_past *past = (S_past *)face;
  fb_table_release(&past->table);
  fb_arena_release(&past->arena);
  if (face->steps) fb_free(past->allocator, face->steps, past->cap * sizeof *face->steps);
  fb_free(past->allocator, past, sizeof *past);
}

void fb_past_step_path(const fb_past_step *step, fb_buf *out) {
  fb_buf_add(out, step->scope.ptr, step->scope.len);
  fb_buf_add(out, step->id.ptr, step->id.len);
  if (step->item != FB_NO_ITEM) fb_buf_printf(out, ".%u", step->item);
}
