/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls whose effect is not known because the run was cut off in the middle of them, and calls that wait for a person.
 *
 * A call in doubt goes the way that its step declares: it is made again (pure, idempotent, at-least-once: the new intent
 * says that it is a repetition), its `check` is asked, or a person is.
 */
#include "mission/record.h"

/* ── Waiting ─────────────────────────────────────────────────────────────────────────────────── */

void fb_run_hold(fb_active *active, const fb_error *why) {
  fb_mission_run *run = active->run;
  uint32_t number = active->step, item = active->item;
  fb_step_run *state = &run->steps[number];
  fb_held *held = fb_arena_alloc(&run->arena, sizeof *held);
  if (active->guarded) fb_try_abandon(active->guarded);
  active->guarded = NULL;
  if (!held || run->ending != FB_MISSION_GOING) {
    if (!held)
      active->status = fb_fail(&active->error, FB_E_NOMEM, "out of memory");
    else
      active->status = fb_fail(&active->error, FB_E_MISSION_CANCELLED, "cancelled");
    active->cancelled = held != NULL;
    active->replayed = true; /* nothing came of it: what the journal knows stays as it is */
    active->replayed_status = held ? FB_STEP_CANCELLED : FB_STEP_FAILED;
    fb_run_end_call(active);
    return;
  }
  if (run->recorder) fb_record_waiting(active, why->text);
  *held = (fb_held){number, item, run->held};
  run->held = held;
  state->error = fb_run_keep_error(run, why);
  fb_run_drop_call(active);
  if (state->items) {
    state->items->running--;
    state->items->held++;
  } else {
    state->status = FB_STEP_WAITING;
  }
  fb_mission_event event = {.kind = FB_MISSION_EVENT_STEP_WAITING,
                            .step = number,
                            .item = item,
                            .status = FB_STEP_WAITING,
                            .exit_code = -1,
                            .error = state->error};
  fb_run_emit(run, &event);
  if (state->items) fb_items_after(run, number);
}

/* Takes the first that fits off the list. */
static fb_held *S_take(fb_mission_run *run, uint32_t step, uint32_t item) {
  for (fb_held **at = &run->held; *at; at = &(*at)->next) {
    fb_held *held = *at;
    bool fits = held->step == step && (item == FB_NO_ITEM || held->item == item);
    if (!fits) continue;
    *at = held->next;
    return held;
  }
  return NULL;
}

static void S_let_go(fb_mission_run *run, const fb_held *held) {
  fb_step_run *state = &run->steps[held->step];
  state->error = NULL;
  if (!state->items) {
    state->status = FB_STEP_PENDING;
    fb_run_enqueue(run, held->step);
    return;
  }
  state->items->held--;
  state->items->running++;
  fb_run_call(run, held->step, held->item);
}

/* ── Decisions ───────────────────────────────────────────────────────────────────────────────── */

/* The step of the outermost run that the way leads through: "fix.3/sub/" is in item 3 of fix. */
static bool S_outermost(const fb_mission_run *run, fb_slice scope, uint32_t *ret_step,
                        uint32_t *ret_item) {
  size_t length = 0;
  while (length < scope.len && scope.ptr[length] != '/' && scope.ptr[length] != '.') length++;
  fb_slice id = {scope.ptr, length};
  uint64_t item = 0;
  *ret_item = FB_NO_ITEM;
  if (length < scope.len && scope.ptr[length] == '.') {
    for (length++; length < scope.len && scope.ptr[length] >= '0' && scope.ptr[length] <= '9';
         length++)
      if (item < UINT32_MAX) item = item * 10 + (uint64_t)(scope.ptr[length] - '0');
    *ret_item = item < UINT32_MAX ? (uint32_t)item : FB_NO_ITEM;
  }
  for (uint32_t i = 0; i < run->mission->step_count; i++) {
    if (!fb_slice_equal(run->mission->steps[i].id, id)) continue;
    *ret_step = i;
    return true;
  }
  return false;
}

static fb_status S_record(fb_mission_run *run, fb_slice scope, fb_slice step, uint32_t item,
                          fb_value decision, fb_error *err) {
  fb_ledger *ledger = run->recorder->ledger;
  fb_event event = {
      .kind = FB_EVENT_DECIDED, .item = item, .code = -1, .scope = scope, .step = step};
  fb_memo *memo = fb_memo_of_event(ledger, &event);
  fb_ledger_pack(ledger, decision);
  fb_slice payload = fb_buf_slice(&ledger->payload);
  const char *copy = memo ? fb_arena_text(&ledger->arena, payload) : NULL;
  if (!copy) {
    fb_buf_clear(&ledger->payload);
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  memo->decision = (fb_slice){copy, payload.len};
  fb_ledger_append_in(ledger, scope, &event);
  return FB_OK;
}

fb_status fb_mission_run_decide(fb_mission_run *run, fb_slice scope, fb_slice step, uint32_t item,
                                fb_value decision, fb_error *err) {
  uint32_t number = 0, held_item = item;
  bool found = scope.len ? S_outermost(run, scope, &number, &held_item)
                         : S_outermost(run, step, &number, &(uint32_t){0});
  fb_held *held = found && run->recorder && run->status == FB_MISSION_GOING
                      ? S_take(run, number, held_item)
                      : NULL;
  if (!held)
    return fb_fail(err, FB_E_RUN_STATE, "the step `%.*s` does not wait for a decision",
                   (int)step.len, step.ptr);
  fb_status status = S_record(run, scope, step, item, decision, err);
  if (status) {
    held->next = run->held;
    run->held = held;
    return status;
  }
  S_let_go(run, held);
  fb_run_pump(run);
  return FB_OK;
}

/* ── Doubt ───────────────────────────────────────────────────────────────────────────────────── */

static fb_slice S_word(const fb_active *active) {
  fb_value decision = active->call.decision;
  const fb_value *word =
      decision.kind == FB_MAP ? fb_map_get_text(decision.as.map, FB_SLICE("decision")) : NULL;
  return word && word->kind == FB_STRING ? fb_value_text(*word) : FB_SLICE("");
}

static void S_end_rejected(fb_active *active) {
  fb_fail(&active->error, FB_E_STEP_REJECTED, "somebody decided against it");
  active->status = FB_E_STEP_REJECTED;
  active->otherwise = true;
  fb_run_end_call(active);
}

/* It had its effect, somebody says. What it gave they may say too. */
static void S_end_done(fb_active *active) {
  const fb_value *output = fb_map_get_text(active->call.decision.as.map, FB_SLICE("output"));
  active->call.output = output ? *output : fb_null();
  active->call.note = "done before, somebody decided";
  active->otherwise = true;
  fb_run_end_call(active);
}

static void S_ask(fb_active *active) {
  fb_error why = {0};
  fb_fail(&why, FB_E_STEP_DOUBT,
          "the run was cut off in the middle of it: it may have had its effect or not");
  fb_run_hold(active, &why);
}

/* ── The check ───────────────────────────────────────────────────────────────────────────────── */

static void S_checked_done(fb_active *active) {
  active->call.note = "done before, its check says";
  active->otherwise = true;
  if (active->run->mission->steps[active->step].tool->process) fb_active_work(active);
  fb_run_end_call(active);
}

static void S_checked(void *user, const fb_process_end *how) {
  fb_active *active = user;
  fb_mission_run *run = active->run;
  fb_error why = {0};
  active->process = NULL;
  fb_run_stop_timer(active);
  bool ending = run->ending != FB_MISSION_GOING && how->code != 0;
  if (active->cancelled || active->timed_out || ending) {
    active->replayed = true; /* still in doubt */
    active->replayed_status = FB_STEP_CANCELLED;
    fb_fail(&active->error, FB_E_MISSION_CANCELLED, "cancelled");
    fb_run_end_call(active);
  } else if (how->code == 0) {
    active->exit_code = 0;
    active->out_size = how->out.size;
    if (how->out.path) active->out_path = fb_arena_text(&active->arena, fb_slice_of(how->out.path));
    S_checked_done(active);
  } else if (how->code == 1) {
    fb_run_call_go(active);
  } else {
    fb_fail(&why, FB_E_STEP_DOUBT, "it may have had its effect or not, and its check %s %d",
            how->signal ? "was ended by signal" : "gave exit code",
            how->signal ? how->signal : how->code);
    fb_run_hold(active, &why);
  }
  fb_run_pump(run);
}

static fb_status S_start_check(fb_active *active) {
  fb_mission_run *run = active->run;
  const fb_step *step = &run->mission->steps[active->step];
  fb_status status = fb_run_prepare_check(active);
  if (status) return status;
  status = run->world->start(run->world->context, &active->call.process, S_checked, active,
                             &active->process, &active->error);
  if (!status && step->timeout) fb_run_start_timeout(active);
  return status;
}

static void S_check(fb_active *active) {
  fb_error why = {0};
  if (S_start_check(active) == FB_OK) return;
  why = active->error;
  why.code = FB_E_STEP_DOUBT;
  fb_error_prefix(&why, "it may have had its effect or not, and its check cannot be asked");
  active->error.code = FB_OK;
  fb_run_hold(active, &why);
}

bool fb_doubt_take(fb_active *active) {
  fb_mission_run *run = active->run;
  const fb_step *step = &run->mission->steps[active->step];
  const fb_memo *memo = fb_memo_find(run->recorder, active->step, fb_record_item(active));
  if (!memo) return false;
  if (memo->decision.ptr && fb_value_unpack(memo->decision, &active->arena, &active->call.decision,
                                            &active->error) != FB_OK)
    active->call.decision = fb_absent();
  if (memo->state != FB_MEMO_STARTED || step->tool->reenters) return false;
  fb_slice word = S_word(active);
  if (fb_slice_equal(word, FB_SLICE("again"))) return false;
  if (fb_slice_equal(word, FB_SLICE("done"))) {
    S_end_done(active);
  } else if (fb_slice_equal(word, FB_SLICE("rejected"))) {
    S_end_rejected(active);
  } else if (step->check) {
    S_check(active);
  } else if (step->semantics == FB_ONCE) {
    S_ask(active);
  } else {
    return false;
  }
  return true;
}
