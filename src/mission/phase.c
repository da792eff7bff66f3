/* SPDX-License-Identifier: Apache-2.0
 *
 * What comes after the steps. When they have ended badly, those that were done are undone, the last one first, one
 * at a time; then, however it ended, `finally` is done. Both are steps like all others: with intents, results, retries.
 */
#include "mission/record.h"

#include <stdlib.h>

void fb_run_phase_steps(const fb_mission_run *run, uint32_t *ret_first, uint32_t *ret_end) {
  const fb_mission *mission = run->mission;
  *ret_first = run->phase == FB_PHASE_MAIN   ? 0
               : run->phase == FB_PHASE_UNDO ? mission->main_count
                                             : mission->finally_first;
  *ret_end = run->phase == FB_PHASE_MAIN   ? mission->main_count
             : run->phase == FB_PHASE_UNDO ? mission->finally_first
                                           : mission->step_count;
}

fb_mission_status fb_run_outcome(const fb_mission_run *run) {
  if (run->phase != FB_PHASE_MAIN && run->outcome != FB_MISSION_OK) return run->outcome;
  if (run->ending != FB_MISSION_GOING) return run->ending;
  return run->failed ? FB_MISSION_FAILED : FB_MISSION_OK;
}

static bool S_was_done(const fb_step_run *done) {
  if (done->status == FB_STEP_OK) return true;
  for (uint32_t k = 0; done->items && k < done->items->next; k++)
    if (done->items->statuses[k] == FB_STEP_OK) return true;
  return false;
}

static int S_by_end(const void *a, const void *b) {
  const fb_undo *x = a, *y = b;
  return x->ended < y->ended ? -1 : x->ended > y->ended;
}

/* What was done is known now, and in which order: taken from the end. */
static void S_order_undos(fb_mission_run *run) {
  const fb_mission *mission = run->mission;
  for (uint32_t i = mission->main_count; i < mission->finally_first; i++) {
    const fb_step_run *done = &run->steps[mission->steps[i].undoes - 1];
    if (S_was_done(done)) run->undos[run->undo_count++] = (fb_undo){done->ended, i};
  }
  if (run->undo_count) qsort(run->undos, run->undo_count, sizeof *run->undos, S_by_end);
}

/* The step that undoes something and was not begun, whose step ended last; FB_NO_STEP: none. */
static uint32_t S_next_undo(fb_mission_run *run) {
  while (run->undo_count) {
    uint32_t step = run->undos[--run->undo_count].step;
    if (run->steps[step].status == FB_STEP_PENDING) return step;
  }
  return FB_NO_STEP;
}

/* Steps of this phase that were not begun, and will not be. */
static void S_leave(fb_mission_run *run) {
  uint32_t first, end;
  fb_run_phase_steps(run, &first, &end);
  for (uint32_t i = first; i < end; i++) {
    fb_step_run *state = &run->steps[i];
    if (state->status != FB_STEP_PENDING) continue;
    state->status = FB_STEP_SKIPPED;
    state->skip = FB_SKIP_CONDITION;
  }
}

static bool S_undo(fb_mission_run *run) {
  uint32_t next = S_next_undo(run);
  if (next == FB_NO_STEP) {
    S_leave(run);
    return false;
  }
  run->open = 1;
  fb_run_enqueue(run, next);
  return true;
}

static bool S_finally(fb_mission_run *run) {
  const fb_mission *mission = run->mission;
  run->open = mission->step_count - mission->finally_first;
  for (uint32_t i = mission->finally_first; i < mission->step_count; i++)
    if (run->steps[i].waiting == 0) fb_run_enqueue(run, i);
  return run->open > 0;
}

static void S_begin(fb_mission_run *run, uint8_t phase) {
  run->phase = phase;
  /* Steps that were cancelled while they waited for a place. */
  fb_run_dequeue_all(run);
  run->ending = FB_MISSION_GOING;
}

/* Pressed, or nothing can be recorded any more: nothing further is begun. */
static bool S_given_up(const fb_mission_run *run) {
  if (run->pressed) return true;
  return run->recorder && fb_record_is_broken(run);
}

bool fb_run_next_phase(fb_mission_run *run) {
  const fb_mission *mission = run->mission;
  if (mission->step_count == mission->main_count) return false;
  if (run->phase == FB_PHASE_MAIN) {
    const fb_world *world = run->world;
    if (run->timer) world->timer_stop(world->context, run->timer);
    run->timer = NULL;
    run->outcome = fb_run_outcome(run);
    if (run->recorder) fb_record_is_past_main(run, &run->outcome);
    if (run->recorder && run->outcome != FB_MISSION_OK) fb_record_phase(run, run->outcome);
    run->slots[FB_SLOT_RUN_STATUS] = fb_string(fb_slice_of(fb_mission_status_name(run->outcome)));
    S_begin(run, FB_PHASE_UNDO);
    if (run->outcome == FB_MISSION_OK)
      S_leave(run);
    else
      S_order_undos(run);
  }
  if (S_given_up(run)) {
    for (; run->phase <= FB_PHASE_FINALLY; run->phase++) S_leave(run);
    run->phase = FB_PHASE_FINALLY;
    return false;
  }
  if (run->phase == FB_PHASE_UNDO) {
    if (S_undo(run)) return true;
    S_begin(run, FB_PHASE_FINALLY);
    return S_finally(run);
  }
  return false;
}
