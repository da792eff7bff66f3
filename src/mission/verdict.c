/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of a call: how it went, and what of it is kept.
 */
#include "mission/record.h"

#include <stdio.h>

static fb_step_status S_judge(fb_active *active) {
  const fb_step *step = &active->run->mission->steps[active->step];
  if (active->replayed) return active->replayed_status;
  if (active->timed_out) {
    char text[FB_TIME_TEXT_MAX + 1];
    size_t length = fb_duration_format(active->timeout, text);
    fb_mission_fail(active->run->mission, step->id_node, &active->error, FB_E_STEP_TIMEOUT,
                    "not done within %.*s", (int)length, text);
    return FB_STEP_TIMEOUT;
  }
  if (active->cancelled && (active->status || active->signal)) {
    fb_fail(&active->error, FB_E_MISSION_CANCELLED, "cancelled");
    return FB_STEP_CANCELLED;
  }
  if (!active->status) return FB_STEP_OK;
  if (active->error.line == 0) /* the place of a failure that has none of its own is the action */
    fb_error_locate(&active->error, fb_doc_name(active->run->mission->doc),
                    fb_doc_text(active->run->mission->doc), step->action->offset,
                    step->action->length);
  return FB_STEP_FAILED;
}

static void S_keep_texts(fb_mission_run *run, fb_step_run *state, const fb_active *active) {
  if (active->out_path) state->out_path = fb_arena_text(&run->arena, fb_slice_of(active->out_path));
  if (active->err_path) state->err_path = fb_arena_text(&run->arena, fb_slice_of(active->err_path));
  if (active->call.note) state->note = fb_arena_text(&run->arena, fb_slice_of(active->call.note));
}

static void S_emit_facts(const fb_active *active) {
  const fb_list *facts = active->call.facts;
  for (uint32_t i = 0; facts && i < facts->len; i++) {
    fb_mission_event event = {.kind = FB_MISSION_EVENT_FACT,
                              .step = active->step,
                              .item = active->item,
                              .status = FB_STEP_OK,
                              .exit_code = -1,
                              .fact = &facts->items[i]};
    fb_run_emit(active->run, &event);
  }
}

void fb_run_call_done(fb_active *active) {
  fb_mission_run *run = active->run;
  uint32_t number = active->step;
  const fb_step *step = &run->mission->steps[number];
  fb_step_run *state = &run->steps[number];
  fb_outcome result = {.status = S_judge(active),
                       .output = active->call.output,
                       .out = active->out,
                       .err = active->err,
                       .exit_code = active->exit_code,
                       .signal = active->signal,
                       .duration = fb_run_now(run) - active->started};
  fb_mask_error(run->mask, &active->error);
  if (result.status != FB_STEP_OK) result.error = &active->error;
  if (active->replayed) result.duration = active->replayed_duration;
  active->again = active->guarded && fb_try_ended(active, &result);
  if (run->recorder && !active->replayed) fb_record_result(active, &result);
  if (active->again) return;
  if (active->has_cache_key) fb_cache_keep(active, &result);
  if (result.status == FB_STEP_OK && !active->replayed) S_emit_facts(active);
  if (state->items) {
    state->items->running--;
    fb_items_final(run, number, active->item, &result);
    fb_items_after(run, number);
    return;
  }
  if (active->replayed) state->started = fb_run_now(run) - active->replayed_duration;
  S_keep_texts(run, state, active);
  if (step->referenced) { /* the result stays where it is */
    state->arena = active->arena;
    state->has_arena = true;
    fb_arena_init(&active->arena, run->allocator, 0);
  }
  fb_run_final(run, number, &result);
}
