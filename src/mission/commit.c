/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger: the one journal of a run and its sub-missions, and when what was appended to it is committed.
 */
#include "mission/record.h"

fb_status fb_ledger_new(fb_mission_run *run, fb_ledger **ret_ledger, fb_error *err) {
  fb_ledger *ledger = fb_alloc_zero(run->allocator, sizeof *ledger);
  if (!ledger) return fb_fail(err, FB_E_NOMEM, "out of memory");
  ledger->journal = run->options.journal;
  ledger->allocator = run->allocator;
  ledger->world = run->world;
  ledger->mask = run->mask;
  fb_arena_init(&ledger->arena, run->allocator, 0);
  fb_table_init(&ledger->memos, run->allocator, run->options.hash_seed);
  fb_buf_init(&ledger->payload, run->allocator, 0);
  fb_status status = ledger->journal->read(ledger->journal->context, fb_memo_read, ledger, err);
  if (status && err && !err->code) fb_fail(err, status, "the journal cannot be read");
  const char *boot = run->options.boot;
  if (ledger->boot && (!boot || fb_boot_hash(boot) != ledger->boot)) ledger->lost = true;
  if (status)
    fb_ledger_free(ledger);
  else
    *ret_ledger = ledger;
  return status;
}

void fb_ledger_free(fb_ledger *ledger) {
  if (!ledger) return;
  fb_table_release(&ledger->memos);
  fb_buf_release(&ledger->payload);
  fb_arena_release(&ledger->arena);
  fb_free(ledger->allocator, ledger, sizeof *ledger);
}

/* ── Appending ───────────────────────────────────────────────────────────────────────────────── */

void fb_ledger_break(fb_ledger *ledger, const fb_error *err) {
  if (ledger->broken) return;
  ledger->broken = true;
  ledger->error = *err;
  fb_error_prefix(&ledger->error, "the journal cannot be written");
}

void fb_ledger_append_in(fb_ledger *ledger, fb_slice scope, fb_event *event) {
  fb_error err = {0};
  if (ledger->broken) {
    fb_buf_clear(&ledger->payload);
    return;
  }
  event->wall = ledger->world->clock->wall(ledger->world->clock->context);
  event->scope = scope;
  if (ledger->payload.failed)
    fb_fail(&err, FB_E_NOMEM, "out of memory");
  else
    event->payload = fb_buf_slice(&ledger->payload);
  if (err.code || ledger->journal->append(ledger->journal->context, event, &err))
    fb_ledger_break(ledger, &err);
  else
    ledger->appended = true;
  ledger->last = event->seq;
  fb_buf_clear(&ledger->payload);
}

void fb_ledger_append(fb_recorder *recorder, fb_event *event) {
  fb_ledger_append_in(recorder->ledger, recorder->scope, event);
}

void fb_ledger_hold(fb_ledger *ledger, fb_active *active) {
  active->next_held = NULL;
  if (ledger->last_held)
    ledger->last_held->next_held = active;
  else
    ledger->first_held = active;
  ledger->last_held = active;
}

void fb_ledger_go_ahead(fb_ledger *ledger, fb_active *active) {
  active->next_held = NULL;
  if (ledger->ahead)
    ledger->last_ahead->next_held = active;
  else
    ledger->ahead = active;
  ledger->last_ahead = active;
}

/* ── Commits ─────────────────────────────────────────────────────────────────────────────────── */

static void S_commit(void *user) {
  fb_ledger *ledger = user;
  ledger->failure.code = FB_OK;
  ledger->committed = ledger->journal->commit(ledger->journal->context, &ledger->failure);
}

/* Launches calls that waited, or ends them as not begun. */
static void S_release(fb_active *active, bool launch) {
  while (active) {
    fb_active *next = active->next_held;
    if (launch && !active->cancelled) {
      fb_run_launch(active);
    } else {
      active->not_begun = active->cancelled = true;
      active->status = fb_fail(&active->error, FB_E_MISSION_CANCELLED, "cancelled before it began");
      fb_run_end_call(active);
    }
    active = next;
  }
}

static fb_active *S_take_list(fb_active **list) {
  fb_active *first = *list;
  *list = NULL;
  return first;
}

/* What was held that need not be any more, now that more is on disk. */
static void S_let_ahead(fb_ledger *ledger) {
  fb_active *held = S_take_list(&ledger->first_held);
  ledger->last_held = NULL;
  while (held) {
    fb_active *next = held->next_held;
    if (fb_may_go_ahead(held))
      fb_ledger_go_ahead(ledger, held);
    else
      fb_ledger_hold(ledger, held);
    held = next;
  }
}

static void S_give_up(fb_ledger *ledger) {
  fb_error err = ledger->error;
  for (fb_recorder *recorder = ledger->recorders; recorder; recorder = recorder->next)
    fb_run_wind_down(recorder->run, &err);
  S_release(S_take_list(&ledger->sealed), false);
  S_release(S_take_list(&ledger->ahead), false);
  ledger->last_held = NULL;
  S_release(S_take_list(&ledger->first_held), false);
}

/* Each call may end sub-missions, whose recorders then are gone: begins anew after it. */
static void S_go_on(fb_ledger *ledger) {
  for (fb_recorder *recorder = ledger->recorders; recorder;) {
    bool finished = recorder->finishing;
    fb_mission_run *run = recorder->run;
    recorder->finishing = false;
    recorder = finished ? ledger->recorders : recorder->next;
    if (finished) fb_run_finished(run);
  }
  for (fb_recorder *recorder = ledger->recorders; recorder; recorder = recorder->next)
    recorder->stale = true;
  for (fb_recorder *recorder = ledger->recorders; recorder;) {
    bool stale = recorder->stale;
    fb_mission_run *run = recorder->run;
    recorder->stale = false;
    recorder = recorder->next;
    if (!stale) continue;
    fb_run_pump(run);
    recorder = ledger->recorders;
  }
}

static void S_committed(void *user) {
  fb_ledger *ledger = user;
  ledger->busy = false;
  if (ledger->committed) fb_ledger_break(ledger, &ledger->failure);
  if (ledger->broken) {
    S_give_up(ledger);
    for (fb_recorder *recorder = ledger->recorders; recorder; recorder = recorder->next)
      if (recorder->finishing && recorder->run->final == FB_MISSION_OK)
        recorder->run->final = FB_MISSION_FAILED;
  } else {
    ledger->durable = ledger->sealing;
    S_let_ahead(ledger);
    S_release(S_take_list(&ledger->sealed), true);
  }
  S_go_on(ledger);
}

/* Nobody else is served meanwhile: a trip to another thread would only cost time. */
static bool S_is_alone(const fb_ledger *ledger) {
  uint32_t held = 0, going = 0;
  for (const fb_active *active = ledger->sealed; active; active = active->next_held) held++;
  for (const fb_recorder *recorder = ledger->recorders; recorder; recorder = recorder->next)
    going += recorder->run->active_count;
  return going <= held;
}

/* Hands all that was appended to the journal. False: there is nothing. */
static bool S_take(fb_ledger *ledger) {
  ledger->appended = false;
  ledger->sealing = ledger->last;
  ledger->sealed = S_take_list(&ledger->first_held);
  ledger->last_held = NULL;
  return ledger->journal->seal(ledger->journal->context);
}

/* What goes on after a commit may ask for the next one: that is a turn of the loop, not a deeper call. */
static bool S_start_commit(fb_ledger *ledger) {
  if (ledger->inside) return true;
  do {
    if (!S_take(ledger)) return false;
    ledger->busy = true;
    if (!S_is_alone(ledger) &&
        ledger->world->work(ledger->world->context, S_commit, S_committed, ledger) == FB_OK)
      return true;
    ledger->inside = true;
    S_commit(ledger);
    S_committed(ledger);
    ledger->inside = false;
  } while (ledger->appended && !ledger->busy && !ledger->broken);
  return true;
}

bool fb_record_is_broken(const fb_mission_run *run) {
  return run->recorder->ledger->broken;
}

/* Begins what may as soon as its intent is written. A commit follows always, and pumps. */
static void S_go_ahead(fb_ledger *ledger) {
  fb_error err = {0};
  if (!ledger->ahead || ledger->broken) return;
  if (ledger->journal->write(ledger->journal->context, &err))
    fb_ledger_break(ledger, &err);
  else
    S_release(S_take_list(&ledger->ahead), true);
}

bool fb_record_pump(fb_mission_run *run, bool over) {
  fb_ledger *ledger = run->recorder->ledger;
  S_go_ahead(ledger);
  if (ledger->busy) return true;
  if (ledger->broken) {
    if (!ledger->first_held && !ledger->ahead) return false;
    S_give_up(ledger);
    S_go_on(ledger);
    return true;
  }
  if (over || !ledger->appended) return false;
  return S_start_commit(ledger);
}

bool fb_ledger_finish(fb_recorder *recorder) {
  fb_ledger *ledger = recorder->ledger;
  if (ledger->broken) return false;
  recorder->finishing = true;
  return S_start_commit(ledger);
}
