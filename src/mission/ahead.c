/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that begin while the disk is still at work (docs/adr/0130): what must be on disk before what.
 *
 *   a call that may be repeated   its intent written (it survives kill -9), the intents of all that it needs on disk, and of
 *                                 what it reads the results too
 *   any other                     its own intent on disk, and with it all that was appended before
 *
 * After a loss of power the journal may so lack the intents of calls that were begun, but only of those whose needs all
 * have one in it: when these are made (again), they are told as repeated.
 */
#include "mission/record.h"

/* Making it twice does no harm that its declaration does not allow, and nothing else goes by whether it was begun. */
static bool S_may_repeat(const fb_mission_run *run, const fb_step *step) {
  bool repeats = step->semantics == FB_AT_LEAST_ONCE || step->semantics == FB_IDEMPOTENT;
  return run->options.boot && run->recorder->owner && repeats && step->tool->process &&
         step->phase == FB_PHASE_MAIN && !step->check && !step->undo && !step->fallback_of;
}

/* That it ended is not on disk, and need not be: what needs it does so for the order alone. */
static bool S_order_is_enough(const fb_mission_run *run, uint32_t number) {
  const fb_step *step = &run->mission->steps[number];
  uint64_t begun = run->recorder->begun[number];
  return begun && begun <= run->recorder->ledger->durable && !step->referenced && !step->for_each &&
         !step->fallback && S_may_repeat(run, step);
}

bool fb_may_go_ahead(const fb_active *active) {
  const fb_mission_run *run = active->run;
  const fb_recorder *recorder = run->recorder;
  const fb_step *step = &run->mission->steps[active->step];
  /* A run that the disk knows nothing of would be another one. */
  if (!recorder->ledger->durable || !S_may_repeat(run, step)) return false;
  for (uint32_t i = 0; i < step->need_count; i++)
    if (recorder->ended[step->needs[i]] > recorder->ledger->durable &&
        !S_order_is_enough(run, step->needs[i]))
      return false;
  return true;
}

bool fb_may_have_begun(const fb_active *active) {
  const fb_mission_run *run = active->run;
  const fb_step *step = &run->mission->steps[active->step];
  if (!run->recorder->ledger->lost || !S_may_repeat(run, step)) return false;
  for (uint32_t i = 0; i < step->need_count; i++) {
    const fb_memo *memo = fb_memo_find(run->recorder, step->needs[i], FB_NO_ITEM);
    /* One that failed and was to be tried again was begun, too. */
    if (!memo || (memo->state == FB_MEMO_NONE && !memo->since)) return false;
  }
  return true;
}
