/* SPDX-License-Identifier: Apache-2.0 */
#include "mission/record.h"

#include <stdio.h>

/* ── Who a call is ───────────────────────────────────────────────────────────────────────────── */

uint64_t fb_record_identity(fb_mission_run *run, uint32_t step) {
  uint64_t *identity = &run->recorder->identities[step];
  if (!*identity) *identity = fb_step_identity(run->mission, step);
  return *identity;
}

uint64_t fb_record_item_hash(fb_mission_run *run) {
  fb_ledger *ledger = run->recorder->ledger;
  fb_value item = run->slots[fb_slot_item(run->mission)];
  if (item.kind == FB_ABSENT) return 0;
  fb_ledger_pack(ledger, item);
  uint64_t hash = fb_hash_bytes(ledger->payload.ptr, ledger->payload.len, 0);
  fb_buf_clear(&ledger->payload);
  return hash;
}

uint32_t fb_record_item(const fb_active *active) {
  return active->run->steps[active->step].items ? active->item : FB_NO_ITEM;
}

static fb_memo *S_memo(const fb_mission_run *run, uint32_t step, uint32_t item) {
  return fb_memo_find(run->recorder, step, item);
}

/* ── New and free ────────────────────────────────────────────────────────────────────────────── */

static void S_hang(fb_recorder *recorder) {
  fb_ledger *ledger = recorder->ledger;
  recorder->next = ledger->recorders;
  if (ledger->recorders) ledger->recorders->prev = recorder;
  ledger->recorders = recorder;
}

fb_status fb_record_new(fb_mission_run *run, fb_error *err) {
  fb_recorder *recorder = fb_arena_zero(&run->arena, sizeof *recorder);
  const fb_mission_run *parent = run->options.parent;
  fb_status status = FB_OK;
  if (!recorder) return fb_fail(err, FB_E_NOMEM, "out of memory");
  recorder->run = run;
  recorder->owner = !parent || !parent->recorder;
  fb_slice scope = fb_slice_of(run->options.scope ? run->options.scope : "");
  recorder->scope = (fb_slice){fb_arena_text(&run->arena, scope), scope.len};
  size_t count = run->mission->step_count + 1;
  recorder->identities = fb_arena_zero(&run->arena, count * sizeof *recorder->identities);
  recorder->ended = fb_arena_zero(&run->arena, count * sizeof *recorder->ended);
  recorder->begun = fb_arena_zero(&run->arena, count * sizeof *recorder->begun);
  if (!recorder->identities || !recorder->ended || !recorder->begun || !recorder->scope.ptr)
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (recorder->owner)
    status = fb_ledger_new(run, &recorder->ledger, err);
  else
    recorder->ledger = parent->recorder->ledger;
  if (status) return status;
  S_hang(recorder);
  run->recorder = recorder;
  return FB_OK;
}

void fb_record_free(fb_mission_run *run) {
  fb_recorder *recorder = run->recorder;
  if (!recorder) return;
  if (recorder->prev)
    recorder->prev->next = recorder->next;
  else
    recorder->ledger->recorders = recorder->next;
  if (recorder->next) recorder->next->prev = recorder->prev;
  if (recorder->owner) fb_ledger_free(recorder->ledger);
  run->recorder = NULL;
}

/* ── The run ─────────────────────────────────────────────────────────────────────────────────── */

/* The start and end of a sub-mission are those of the step that it is. */
void fb_record_run_started(fb_mission_run *run) {
  fb_recorder *recorder = run->recorder;
  const fb_map *about = run->options.about;
  const char *boot = run->options.boot;
  fb_value value = fb_null();
  if (!recorder->owner) return;
  fb_map *map = fb_map_new(&run->scratch, 12);
  bool good = map && fb_map_put(map, &run->scratch, fb_string(FB_SLICE("mission")),
                                fb_string(run->mission->name), NULL);
  good = good && fb_map_put(map, &run->scratch, fb_string(FB_SLICE("inputs")),
                            run->slots[FB_SLOT_INPUTS], NULL);
  if (good && boot)
    good = fb_map_put(map, &run->scratch, fb_string(FB_SLICE("boot")), fb_string(fb_slice_of(boot)),
                      NULL);
  for (uint32_t i = 0; good && about && i < about->len; i++)
    good = fb_map_put(map, &run->scratch, about->entries[i].key, about->entries[i].value, NULL);
  if (good) value = fb_map_value(map);
  fb_ledger_pack(recorder->ledger, value);
  if (!good) recorder->ledger->payload.failed = true;
  fb_arena_reset(&run->scratch);
  fb_event event = {.kind = recorder->ledger->resumed ? FB_EVENT_RUN_RESUMED : FB_EVENT_RUN_STARTED,
                    .item = FB_NO_ITEM,
                    .code = -1};
  fb_ledger_append(recorder, &event);
}

static void S_put_error(fb_small_map *map, const fb_error *err) {
  fb_small_put(map, "code", fb_int(err->code));
  fb_small_put(map, "text", fb_string(fb_slice_of(err->text)));
  if (err->hint[0]) fb_small_put(map, "hint", fb_string(fb_slice_of(err->hint)));
  if (err->line) fb_small_put(map, "file", fb_string(fb_slice_of(err->file)));
  if (err->line) fb_small_put(map, "line", fb_int(err->line));
  if (err->line) fb_small_put(map, "column", fb_int(err->column));
}

/* ── What still holds ────────────────────────────────────────────────────────────────────────── */

/* What ended before something that it needs was run (again) says nothing about the run as it is now. */
static bool S_holds(const fb_mission_run *run, uint32_t number, const fb_memo *memo) {
  const fb_step *step = &run->mission->steps[number];
  if (run->recorder->around >= memo->started) return false;
  for (uint32_t i = 0; i < step->need_count; i++)
    if (run->recorder->ended[step->needs[i]] >= memo->started) return false;
  return true;
}

void fb_record_within(fb_mission_run *run, const fb_mission_run *parent, uint32_t number) {
  const fb_step *step = &parent->mission->steps[number];
  if (!run->recorder || !parent->recorder) return;
  run->recorder->around = parent->recorder->around;
  for (uint32_t i = 0; i < step->need_count; i++)
    if (parent->recorder->ended[step->needs[i]] > run->recorder->around)
      run->recorder->around = parent->recorder->ended[step->needs[i]];
}

static void S_ended(fb_mission_run *run, uint32_t step, uint64_t seq) {
  if (seq > run->recorder->ended[step]) run->recorder->ended[step] = seq;
}

/* ── Calls ───────────────────────────────────────────────────────────────────────────────────── */

bool fb_record_knows(const fb_mission_run *run, uint32_t step) {
  const fb_step *about = &run->mission->steps[step];
  bool items =
      about->for_each || (about->undoes && run->mission->steps[about->undoes - 1].for_each);
  const fb_memo *memo = items ? NULL : S_memo(run, step, FB_NO_ITEM);
  return memo && memo->state == FB_MEMO_ENDED && S_holds(run, step, memo) &&
         memo->identity == fb_record_identity((fb_mission_run *)run, step);
}

bool fb_record_replay_settled(fb_mission_run *run, uint32_t step) {
  const fb_memo *memo = S_memo(run, step, FB_NO_ITEM);
  if (!memo || memo->state != FB_MEMO_SETTLED || memo->status != FB_STEP_SKIPPED ||
      memo->code != FB_SKIP_CONDITION || !S_holds(run, step, memo))
    return false;
  run->steps[step].skip = FB_SKIP_CONDITION;
  fb_run_final_without_call(run, step, FB_STEP_SKIPPED, NULL);
  return true;
}

static const fb_value *S_get(fb_value map, const char *key) {
  return map.kind == FB_MAP ? fb_map_get_text(map.as.map, fb_slice_of(key)) : NULL;
}

static int64_t S_get_int(fb_value map, const char *key) {
  const fb_value *value = S_get(map, key);
  return value && value->kind == FB_INT ? value->as.i : 0;
}

/* Texts from the journal stand in the arena with a NUL after each. */
static const char *S_get_text(fb_value map, const char *key) {
  const fb_value *value = S_get(map, key);
  return value && value->kind == FB_STRING ? value->as.text : NULL;
}

static void S_get_error(fb_active *active, fb_value map) {
  fb_error *err = &active->error;
  const char *text = S_get_text(map, "text"), *hint = S_get_text(map, "hint");
  const char *file = S_get_text(map, "file");
  fb_fail(err, (fb_status)S_get_int(map, "code"), "%s", text ? text : "failed");
  if (hint) fb_error_hint(err, "%s", hint);
  if (!file) return;
  snprintf(err->file, sizeof err->file, "%s", file);
  err->line = (uint32_t)S_get_int(map, "line");
  err->column = (uint32_t)S_get_int(map, "column");
}

static void S_get_value(fb_value map, const char *key, fb_value *ret_value) {
  const fb_value *value = S_get(map, key);
  if (value) *ret_value = *value;
}

/* Read again from what was kept: it must be what it was. */
static fb_status S_restore_kept(fb_active *active, const fb_memo *memo) {
  const fb_step *step = &active->run->mission->steps[active->step];
  if (!step->referenced) return FB_OK;
  if (!step->tool->process)
    return fb_fail(&active->error, FB_E_IO, "nothing needed its result then, so it was not kept");
  fb_status status = fb_active_reread(active);
  if (status || !memo->has_digest) return status;
  fb_digest_output(active);
  if (active->has_digest && memcmp(active->digest, memo->digest, FB_DIGEST_SIZE) == 0) return FB_OK;
  return fb_fail(&active->error, FB_E_IO, "its output was changed since");
}

static fb_status S_restore(fb_active *active, const fb_memo *memo) {
  fb_value map = fb_null();
  fb_status status = FB_OK;
  if (memo->payload.len)
    status = fb_value_unpack(memo->payload, &active->arena, &map, &active->error);
  if (status) return status;
  active->exit_code = memo->code;
  active->signal = memo->signal;
  active->replayed_duration = S_get_int(map, "duration");
  active->call.note = S_get_text(map, "note");
  active->out_path = S_get_text(map, "out_path");
  active->err_path = S_get_text(map, "err_path");
  const fb_value *err = S_get(map, "error");
  if (err) S_get_error(active, *err);
  const fb_value *result = S_get(map, "result");
  if (!result) return S_restore_kept(active, memo);
  S_get_value(*result, "output", &active->call.output);
  S_get_value(*result, "out", &active->out);
  S_get_value(*result, "err", &active->err);
  return FB_OK;
}

bool fb_record_replay(fb_active *active) {
  fb_mission_run *run = active->run;
  const fb_memo *memo = S_memo(run, active->step, fb_record_item(active));
  if (!memo) return false;
  active->attempt = memo->attempts;
  active->call.since = memo->since;
  if (memo->state != FB_MEMO_ENDED || memo->identity != fb_record_identity(run, active->step) ||
      memo->item != fb_record_item_hash(run) || !S_holds(run, active->step, memo))
    return false;
  S_ended(run, active->step, memo->ended);
  active->replayed = true;
  active->replayed_status = (fb_step_status)memo->status;
  if (S_restore(active, memo)) {
    active->replayed_status = FB_STEP_FAILED;
    fb_error_prefix(&active->error, "it was done, but what it gave cannot be read any more");
  }
  return true;
}

/* {identity, item}: which call it is. */
static void S_pack_who(fb_active *active) {
  fb_mission_run *run = active->run;
  uint64_t item = fb_record_item_hash(run);
  fb_value items[2] = {fb_uint(fb_record_identity(run, active->step)), fb_uint(item)};
  fb_list list = {2, 2, items};
  fb_ledger_pack(run->recorder->ledger, fb_list_value(&list));
}

void fb_record_intent(fb_active *active) {
  fb_mission_run *run = active->run;
  fb_recorder *recorder = run->recorder;
  const fb_step *step = &run->mission->steps[active->step];
  const fb_memo *memo = S_memo(run, active->step, fb_record_item(active));
  fb_event event = {.kind = FB_EVENT_STEP_STARTED,
                    .phase = step->phase,
                    .item = fb_record_item(active),
                    .attempt = ++active->attempt,
                    .code = -1,
                    .step = step->id};
  bool doubt = memo && memo->state == FB_MEMO_STARTED && !step->tool->reenters;
  bool first = event.attempt == (memo ? memo->attempts : 0) + 1;
  if (first && (doubt || fb_may_have_begun(active))) event.flags |= FB_EVENT_RECOVERED;
  if (fb_digest_input(active, event.digest)) event.flags |= FB_EVENT_HAS_DIGEST;
  S_pack_who(active);
  fb_ledger_append(recorder, &event);
  recorder->begun[active->step] = event.seq;
  S_ended(run, active->step, event.seq);
  /* What has no effect may begin before it is recorded that it does. */
  if (step->semantics == FB_PURE && !recorder->ledger->broken)
    fb_run_launch(active);
  else if (fb_may_go_ahead(active))
    fb_ledger_go_ahead(recorder->ledger, active);
  else
    fb_ledger_hold(recorder->ledger, active);
}

static size_t S_size(fb_value value) {
  switch (value.kind) {
    case FB_STRING:
    case FB_BYTES: return value.len;
    case FB_LIST: return value.as.list->len > 64 ? SIZE_MAX / 4 : FB_SMALL_RESULT / 2;
    case FB_MAP: return value.as.map->len > 64 ? SIZE_MAX / 4 : FB_SMALL_RESULT / 2;
    default: return 16;
  }
}

/* Whether the result must stand in the journal: nothing else keeps what a tool without a process gave. */
static bool S_put_result(fb_active *active, const fb_outcome *result, fb_small_map *values) {
  const fb_step *step = &active->run->mission->steps[active->step];
  if (step->tool->process) {
    if (!step->referenced || !fb_result_is_small(active)) return false;
  } else if (!step->referenced && S_size(result->output) > FB_SMALL_RESULT) {
    return false;
  }
  if (result->output.kind != FB_ABSENT) fb_small_put(values, "output", result->output);
  if (result->out.kind != FB_ABSENT) fb_small_put(values, "out", result->out);
  if (result->err.kind != FB_ABSENT) fb_small_put(values, "err", result->err);
  return true;
}

void fb_record_result(fb_active *active, const fb_outcome *result) {
  fb_mission_run *run = active->run;
  fb_small_map map = {0}, values = {0}, error = {0};
  fb_small_put(&map, "duration", fb_int(result->duration));
  if (active->call.note) fb_small_put(&map, "note", fb_string(fb_slice_of(active->call.note)));
  if (active->out_path) fb_small_put(&map, "out_path", fb_string(fb_slice_of(active->out_path)));
  if (active->err_path) fb_small_put(&map, "err_path", fb_string(fb_slice_of(active->err_path)));
  if (S_put_result(active, result, &values))
    fb_small_put(&map, "result", fb_map_value(&values.map));
  if (result->error) {
    S_put_error(&error, result->error);
    fb_small_put(&map, "error", fb_map_value(&error.map));
  }
  fb_value who[2];
  fb_list list = {2, 2, who};
  if (active->otherwise) {
    fb_run_set_item(run, &run->steps[active->step], active->item);
    who[0] = fb_uint(fb_record_identity(run, active->step));
    who[1] = fb_uint(fb_record_item_hash(run));
    fb_small_put(&map, "who", fb_list_value(&list));
  }
  fb_ledger_pack(run->recorder->ledger, fb_map_value(&map.map));
  fb_event event = {.kind = FB_EVENT_STEP_ENDED,
                    .phase = run->mission->steps[active->step].phase,
                    .status = (uint8_t)result->status,
                    .item = fb_record_item(active),
                    .attempt = active->attempt,
                    .code = (int16_t)result->exit_code,
                    .signal = (int16_t)result->signal,
                    .flags = active->not_begun ? FB_EVENT_NOT_BEGUN : 0,
                    .step = run->mission->steps[active->step].id};
  if (active->again) event.flags |= FB_EVENT_AGAIN;
  if (active->otherwise) event.flags |= FB_EVENT_OTHERWISE;
  if (active->has_digest) {
    event.flags |= FB_EVENT_HAS_DIGEST;
    memcpy(event.digest, active->digest, FB_DIGEST_SIZE);
  }
  fb_ledger_append(run->recorder, &event);
  S_ended(run, active->step, event.seq);
}

void fb_record_settled(fb_mission_run *run, uint32_t step, const fb_outcome *result) {
  const fb_memo *memo = S_memo(run, step, FB_NO_ITEM);
  fb_small_map map = {0};
  if (memo && memo->state == FB_MEMO_SETTLED && memo->status == result->status &&
      S_holds(run, step, memo)) {
    S_ended(run, step, memo->ended);
    return;
  }
  if (result->error) {
    S_put_error(&map, result->error);
    fb_ledger_pack(run->recorder->ledger, fb_map_value(&map.map));
  }
  fb_event event = {.kind = FB_EVENT_STEP_SETTLED,
                    .phase = run->mission->steps[step].phase,
                    .status = (uint8_t)result->status,
                    .item = FB_NO_ITEM,
                    .code = (int16_t)run->steps[step].skip,
                    .step = run->mission->steps[step].id};
  fb_ledger_append(run->recorder, &event);
  S_ended(run, step, event.seq);
}

void fb_record_phase(fb_mission_run *run, fb_mission_status outcome) {
  fb_event event = {.kind = FB_EVENT_NOTE,
                    .status = (uint8_t)outcome,
                    .phase = FB_PHASE_UNDO,
                    .item = FB_NO_ITEM,
                    .code = -1};
  if (!fb_record_is_past_main(run, &(fb_mission_status){0}))
    fb_ledger_append(run->recorder, &event);
}

bool fb_record_is_past_main(const fb_mission_run *run, fb_mission_status *ret_outcome) {
  const fb_memo *memo = fb_memo_of_phase(run->recorder);
  if (!memo || memo->state != FB_MEMO_ENDED || run->recorder->around >= memo->started) return false;
  *ret_outcome = (fb_mission_status)memo->status;
  return true;
}

void fb_record_waiting(fb_active *active, const char *why) {
  fb_mission_run *run = active->run;
  const fb_memo *memo = S_memo(run, active->step, fb_record_item(active));
  fb_small_map map = {0};
  if (memo && memo->waiting) return;
  fb_small_put(&map, "text", fb_string(fb_slice_of(why)));
  fb_ledger_pack(run->recorder->ledger, fb_map_value(&map.map));
  fb_event event = {.kind = FB_EVENT_STEP_SETTLED,
                    .phase = run->mission->steps[active->step].phase,
                    .status = FB_STEP_WAITING,
                    .item = fb_record_item(active),
                    .code = -1,
                    .step = run->mission->steps[active->step].id};
  if (run->mission->steps[active->step].tool->reenters) event.flags |= FB_EVENT_OTHERWISE;
  fb_ledger_append(run->recorder, &event);
}

/* ── The end ─────────────────────────────────────────────────────────────────────────────────── */

bool fb_record_finish(fb_mission_run *run) {
  fb_recorder *recorder = run->recorder;
  fb_small_map map = {0}, error = {0};
  if (!recorder->owner) return false;
  fb_small_put(&map, "duration", fb_int(run->duration));
  fb_small_put(&map, "outputs", run->outputs);
  if (run->error) {
    S_put_error(&error, run->error);
    fb_small_put(&map, "error", fb_map_value(&error.map));
  }
  fb_ledger_pack(recorder->ledger, fb_map_value(&map.map));
  fb_event event = {
      .kind = FB_EVENT_RUN_ENDED, .status = (uint8_t)run->final, .item = FB_NO_ITEM, .code = -1};
  fb_ledger_append(recorder, &event);
  return fb_ledger_finish(recorder);
}
