/* SPDX-License-Identifier: Apache-2.0 */
#include "mission/record.h"

#include <stdio.h>

/* Results up to this stand in the journal; larger ones are read again from what was kept. Bytes. */
enum { SMALL_RESULT = 4096 };

/* ── Appending ───────────────────────────────────────────────────────────────────────────────── */

static void S_break(fb_mission_run *run, const fb_error *err) {
  fb_recorder *recorder = run->recorder;
  if (recorder->broken) return;
  recorder->broken = true;
  recorder->error = *err;
  fb_error_prefix(&recorder->error, "the journal cannot be written");
}

static void S_append(fb_mission_run *run, fb_event *event) {
  fb_recorder *recorder = run->recorder;
  fb_error err = {0};
  if (recorder->broken) {
    fb_buf_clear(&recorder->payload);
    return;
  }
  event->wall = run->world->clock->wall(run->world->clock->context);
  event->scope = recorder->scope;
  if (recorder->payload.failed)
    fb_fail(&err, FB_E_NOMEM, "out of memory");
  else
    event->payload = fb_buf_slice(&recorder->payload);
  if (err.code || recorder->journal->append(recorder->journal->context, event, &err))
    S_break(run, &err);
  else
    recorder->appended = true;
  fb_buf_clear(&recorder->payload);
}

/* A map of few entries on the stack: up to 8 need no index. */
typedef struct S_map {
  fb_map map;
  fb_entry entries[8];
} S_map;

static void S_put(S_map *map, const char *key, fb_value value) {
  map->map.entries = map->entries;
  map->entries[map->map.len++] = (fb_entry){fb_string(fb_slice_of(key)), value};
}

static void S_pack(fb_recorder *recorder, fb_value value) {
  if (fb_value_pack(&recorder->payload, value)) recorder->payload.failed = true;
}

/* ── Who a call is ───────────────────────────────────────────────────────────────────────────── */

static uint64_t S_identity(fb_mission_run *run, uint32_t step) {
  uint64_t *identity = &run->recorder->identities[step];
  if (!*identity) *identity = fb_step_identity(run->mission, step);
  return *identity;
}

/* Of the item that the variables are set to. */
static uint64_t S_item_hash(fb_mission_run *run) {
  fb_buf *buf = &run->recorder->payload;
  fb_value item = run->slots[fb_slot_item(run->mission)];
  if (item.kind == FB_ABSENT) return 0;
  S_pack(run->recorder, item);
  uint64_t hash = fb_hash_bytes(buf->ptr, buf->len, 0);
  fb_buf_clear(buf);
  return hash;
}

typedef struct S_key {
  char text[400];
  size_t length;
} S_key;

/* Scope and id are bounded by what a file name may have; longer ones are told apart by their hash. */
static void S_make_key(S_key *key, fb_slice scope, fb_slice step, uint8_t phase, uint32_t item) {
  int length = 0;
  if (scope.len + step.len < 300)
    length = snprintf(key->text, sizeof key->text, "%.*s\n%.*s", (int)scope.len, scope.ptr,
                      (int)step.len, step.ptr);
  else
    length = snprintf(key->text, sizeof key->text, "%016llx\n%016llx",
                      (unsigned long long)fb_hash_bytes(scope.ptr, scope.len, 0),
                      (unsigned long long)fb_hash_bytes(step.ptr, step.len, 0));
  length +=
      snprintf(key->text + length, sizeof key->text - (size_t)length, "\n%u\n%u", phase, item);
  key->length = (size_t)length;
}

static uint32_t S_item_number(const fb_active *active) {
  return active->run->mission->steps[active->step].for_each ? active->item : FB_NO_ITEM;
}

static fb_memo *S_memo(const fb_mission_run *run, uint32_t step, uint32_t item) {
  S_key key;
  if (!run->recorder->resumed) return NULL;
  S_make_key(&key, run->recorder->scope, run->mission->steps[step].id, FB_PHASE_MAIN, item);
  fb_table_slot *slot = fb_table_get(&run->recorder->memos, (fb_slice){key.text, key.length});
  return slot ? slot->value.ptr : NULL;
}

/* ── What the journal knows ──────────────────────────────────────────────────────────────────── */

static fb_memo *S_memo_of_event(fb_recorder *recorder, const fb_event *event) {
  S_key key;
  bool added;
  S_make_key(&key, event->scope, event->step, event->phase, event->item);
  fb_table_slot *slot = fb_table_get(&recorder->memos, (fb_slice){key.text, key.length});
  if (slot) return slot->value.ptr;
  fb_slice own = {fb_arena_copy(&recorder->arena, key.text, key.length), key.length};
  fb_memo *memo = fb_arena_zero(&recorder->arena, sizeof *memo);
  slot = own.ptr && memo ? fb_table_put(&recorder->memos, own, &added) : NULL;
  if (slot) slot->value.ptr = memo;
  return slot ? memo : NULL;
}

static fb_status S_read_intent(fb_recorder *recorder, const fb_event *event, fb_memo *memo) {
  fb_value value;
  fb_arena_mark mark = fb_arena_save(&recorder->arena);
  fb_status status = fb_value_unpack(event->payload, &recorder->arena, &value, NULL);
  if (!status && value.kind == FB_LIST && value.as.list->len >= 2) {
    memo->identity = value.as.list->items[0].as.u;
    memo->item = value.as.list->items[1].as.u;
  }
  fb_arena_rewind(&recorder->arena, mark);
  memo->state = FB_MEMO_STARTED;
  memo->started = event->seq;
  memo->attempts++;
  return status;
}

static fb_status S_read_event(void *user, const fb_event *event) {
  fb_recorder *recorder = user;
  recorder->resumed = true;
  if (event->kind < FB_EVENT_STEP_STARTED || event->kind > FB_EVENT_STEP_SETTLED) return FB_OK;
  fb_memo *memo = S_memo_of_event(recorder, event);
  if (!memo) return FB_E_NOMEM;
  if (event->kind == FB_EVENT_STEP_STARTED) return S_read_intent(recorder, event, memo);
  if (event->kind == FB_EVENT_STEP_ENDED && event->status == FB_STEP_CANCELLED) {
    /* It was ended in the middle, or never begun: then it is as if it had not been tried. */
    if (event->flags & FB_EVENT_NOT_BEGUN) memo->state = FB_MEMO_NONE;
    return FB_OK;
  }
  if (event->flags & FB_EVENT_AGAIN) {
    memo->state = FB_MEMO_NONE;
    return FB_OK;
  }
  memo->state = event->kind == FB_EVENT_STEP_ENDED ? FB_MEMO_ENDED : FB_MEMO_SETTLED;
  if (memo->state == FB_MEMO_SETTLED) memo->started = event->seq;
  memo->ended = event->seq;
  memo->status = event->status;
  memo->code = event->code;
  memo->signal = event->signal;
  memo->payload.len = event->payload.len;
  memo->payload.ptr = fb_arena_copy(&recorder->arena, event->payload.ptr, event->payload.len);
  return memo->payload.ptr || !event->payload.len ? FB_OK : FB_E_NOMEM;
}

/* ── New and free ────────────────────────────────────────────────────────────────────────────── */

fb_status fb_record_new(fb_mission_run *run, fb_error *err) {
  fb_recorder *recorder = fb_alloc_zero(run->allocator, sizeof *recorder);
  if (!recorder) return fb_fail(err, FB_E_NOMEM, "out of memory");
  run->recorder = recorder;
  recorder->journal = run->options.journal;
  fb_arena_init(&recorder->arena, run->allocator, 0);
  fb_table_init(&recorder->memos, run->allocator, run->options.hash_seed);
  fb_buf_init(&recorder->payload, run->allocator, 0);
  recorder->scope = fb_slice_of(run->options.scope ? run->options.scope : "");
  recorder->scope.ptr = fb_arena_text(&recorder->arena, recorder->scope);
  recorder->identities = fb_arena_zero(
      &recorder->arena, (run->mission->step_count + 1) * sizeof *recorder->identities);
  recorder->ended =
      fb_arena_zero(&recorder->arena, (run->mission->step_count + 1) * sizeof *recorder->ended);
  if (!recorder->identities || !recorder->ended || !recorder->scope.ptr)
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_status status =
      recorder->journal->read(recorder->journal->context, S_read_event, recorder, err);
  if (status && err && !err->code) fb_fail(err, status, "the journal cannot be read");
  return status;
}

void fb_record_free(fb_mission_run *run) {
  fb_recorder *recorder = run->recorder;
  if (!recorder) return;
  fb_table_release(&recorder->memos);
  fb_buf_release(&recorder->payload);
  fb_arena_release(&recorder->arena);
  fb_free(run->allocator, recorder, sizeof *recorder);
  run->recorder = NULL;
}

/* ── The run ─────────────────────────────────────────────────────────────────────────────────── */

void fb_record_run_started(fb_mission_run *run) {
  fb_recorder *recorder = run->recorder;
  S_map map = {0};
  S_put(&map, "mission", fb_string(run->mission->name));
  S_put(&map, "inputs", run->slots[FB_SLOT_INPUTS]);
  S_pack(recorder, fb_map_value(&map.map));
  fb_event event = {.kind = recorder->resumed ? FB_EVENT_RUN_RESUMED : FB_EVENT_RUN_STARTED,
                    .item = FB_NO_ITEM,
                    .code = -1};
  S_append(run, &event);
}

static void S_put_error(S_map *map, const fb_error *err) {
  S_put(map, "code", fb_int(err->code));
  S_put(map, "text", fb_string(fb_slice_of(err->text)));
  if (err->hint[0]) S_put(map, "hint", fb_string(fb_slice_of(err->hint)));
  if (err->line) S_put(map, "file", fb_string(fb_slice_of(err->file)));
  if (err->line) S_put(map, "line", fb_int(err->line));
  if (err->line) S_put(map, "column", fb_int(err->column));
}

/* ── What still holds ────────────────────────────────────────────────────────────────────────── */

/* What ended before something that it needs was run (again) says nothing about the run as it is now. */
static bool S_holds(const fb_mission_run *run, uint32_t number, const fb_memo *memo) {
  const fb_step *step = &run->mission->steps[number];
  for (uint32_t i = 0; i < step->need_count; i++)
    if (run->recorder->ended[step->needs[i]] >= memo->started) return false;
  return true;
}

static void S_ended(fb_mission_run *run, uint32_t step, uint64_t seq) {
  if (seq > run->recorder->ended[step]) run->recorder->ended[step] = seq;
}

/* ── Calls ───────────────────────────────────────────────────────────────────────────────────── */

bool fb_record_knows(const fb_mission_run *run, uint32_t step) {
  const fb_memo *memo = run->mission->steps[step].for_each ? NULL : S_memo(run, step, FB_NO_ITEM);
  return memo && memo->state == FB_MEMO_ENDED && S_holds(run, step, memo) &&
         memo->identity == S_identity((fb_mission_run *)run, step);
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
  if (!result) return fb_active_reread(active);
  S_get_value(*result, "output", &active->call.output);
  S_get_value(*result, "out", &active->out);
  S_get_value(*result, "err", &active->err);
  return FB_OK;
}

bool fb_record_replay(fb_active *active) {
  fb_mission_run *run = active->run;
  const fb_memo *memo = S_memo(run, active->step, S_item_number(active));
  if (!memo) return false;
  active->attempt = memo->attempts;
  if (memo->state != FB_MEMO_ENDED || memo->identity != S_identity(run, active->step) ||
      memo->item != S_item_hash(run) || !S_holds(run, active->step, memo))
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

void fb_record_intent(fb_active *active) {
  fb_mission_run *run = active->run;
  fb_recorder *recorder = run->recorder;
  recorder->ended[active->step] = UINT64_MAX;
  const fb_memo *memo = S_memo(run, active->step, S_item_number(active));
  fb_value items[2] = {fb_uint(S_identity(run, active->step)), fb_uint(S_item_hash(run))};
  fb_list list = {2, 2, items};
  S_pack(recorder, fb_list_value(&list));
  fb_event event = {.kind = FB_EVENT_STEP_STARTED,
                    .item = S_item_number(active),
                    .attempt = ++active->attempt,
                    .code = -1,
                    .step = run->mission->steps[active->step].id};
  if (memo && memo->state == FB_MEMO_STARTED && event.attempt == memo->attempts + 1)
    event.flags |= FB_EVENT_RECOVERED;
  S_append(run, &event);
  active->next_held = NULL;
  if (recorder->last_held)
    recorder->last_held->next_held = active;
  else
    recorder->first_held = active;
  recorder->last_held = active;
}

static size_t S_size(fb_value value) {
  switch (value.kind) {
    case FB_STRING:
    case FB_BYTES: return value.len;
    case FB_LIST: return value.as.list->len > 64 ? SIZE_MAX / 4 : SMALL_RESULT / 2;
    case FB_MAP: return value.as.map->len > 64 ? SIZE_MAX / 4 : SMALL_RESULT / 2;
    default: return 16;
  }
}

/* Whether the result must stand in the journal: nothing else keeps what a tool without a process gave. */
static bool S_put_result(fb_active *active, const fb_outcome *result, S_map *values) {
  const fb_step *step = &active->run->mission->steps[active->step];
  if (!step->referenced) return false;
  if (step->tool->process && active->out_path &&
      S_size(result->output) + S_size(result->out) + S_size(result->err) > SMALL_RESULT)
    return false;
  if (result->output.kind != FB_ABSENT) S_put(values, "output", result->output);
  if (result->out.kind != FB_ABSENT) S_put(values, "out", result->out);
  if (result->err.kind != FB_ABSENT) S_put(values, "err", result->err);
  return true;
}

void fb_record_result(fb_active *active, const fb_outcome *result) {
  fb_mission_run *run = active->run;
  S_map map = {0}, values = {0}, error = {0};
  S_put(&map, "duration", fb_int(result->duration));
  if (active->call.note) S_put(&map, "note", fb_string(fb_slice_of(active->call.note)));
  if (active->out_path) S_put(&map, "out_path", fb_string(fb_slice_of(active->out_path)));
  if (active->err_path) S_put(&map, "err_path", fb_string(fb_slice_of(active->err_path)));
  if (S_put_result(active, result, &values)) S_put(&map, "result", fb_map_value(&values.map));
  if (result->error) {
    S_put_error(&error, result->error);
    S_put(&map, "error", fb_map_value(&error.map));
  }
  S_pack(run->recorder, fb_map_value(&map.map));
  fb_event event = {
      .kind = FB_EVENT_STEP_ENDED,
      .status = (uint8_t)result->status,
      .item = S_item_number(active),
      .attempt = active->attempt,
      .code = (int16_t)result->exit_code,
      .signal = (int16_t)result->signal,
      .flags = (active->not_begun ? FB_EVENT_NOT_BEGUN : 0) | (active->again ? FB_EVENT_AGAIN : 0),
      .step = run->mission->steps[active->step].id};
  S_append(run, &event);
}

void fb_record_settled(fb_mission_run *run, uint32_t step, const fb_outcome *result) {
  const fb_memo *memo = S_memo(run, step, FB_NO_ITEM);
  S_map map = {0};
  if (memo && memo->state == FB_MEMO_SETTLED && memo->status == result->status &&
      S_holds(run, step, memo)) {
    S_ended(run, step, memo->ended);
    return;
  }
  run->recorder->ended[step] = UINT64_MAX;
  if (result->error) {
    S_put_error(&map, result->error);
    S_pack(run->recorder, fb_map_value(&map.map));
  }
  fb_event event = {.kind = FB_EVENT_STEP_SETTLED,
                    .status = (uint8_t)result->status,
                    .item = FB_NO_ITEM,
                    .code = (int16_t)run->steps[step].skip,
                    .step = run->mission->steps[step].id};
  S_append(run, &event);
}

/* ── Commits ─────────────────────────────────────────────────────────────────────────────────── */

static void S_commit(void *user) {
  fb_recorder *recorder = ((fb_mission_run *)user)->recorder;
  recorder->error = (fb_error){0};
  recorder->committed = recorder->journal->commit(recorder->journal->context, &recorder->error);
}

/* Launches what waited for the commit, or ends it as not begun. */
static void S_release(fb_mission_run *run, bool launch) {
  fb_active *active = run->recorder->sealed;
  run->recorder->sealed = NULL;
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

static void S_give_up(fb_mission_run *run) {
  fb_recorder *recorder = run->recorder;
  fb_error err = recorder->error;
  recorder->broken = true;
  fb_run_wind_down(run, &err);
  S_release(run, false);
  recorder->sealed = recorder->first_held;
  recorder->first_held = recorder->last_held = NULL;
  S_release(run, false);
}

static void S_committed(void *user) {
  fb_mission_run *run = user;
  fb_recorder *recorder = run->recorder;
  recorder->busy = false;
  if (recorder->committed) {
    fb_error err = recorder->error;
    S_break(run, &err);
    S_give_up(run);
    if (recorder->finishing && run->final == FB_MISSION_OK) run->final = FB_MISSION_FAILED;
  } else {
    S_release(run, true);
  }
  if (recorder->finishing)
    fb_run_finished(run);
  else
    fb_run_pump(run);
}

static bool S_start_commit(fb_mission_run *run) {
  fb_recorder *recorder = run->recorder;
  recorder->appended = false;
  recorder->sealed = recorder->first_held;
  recorder->first_held = recorder->last_held = NULL;
  if (!recorder->journal->seal(recorder->journal->context)) return false;
  recorder->busy = true;
  if (run->world->work(run->world->context, S_commit, S_committed, run) == FB_OK) return true;
  S_commit(run); /* no memory for a trip to another thread */
  S_committed(run);
  return true;
}

bool fb_record_pump(fb_mission_run *run, bool over) {
  fb_recorder *recorder = run->recorder;
  if (recorder->busy) return true;
  if (recorder->broken) {
    if (recorder->first_held) S_give_up(run);
    return false;
  }
  if (over || !recorder->appended) return false;
  return S_start_commit(run);
}

bool fb_record_finish(fb_mission_run *run) {
  fb_recorder *recorder = run->recorder;
  S_map map = {0}, error = {0};
  S_put(&map, "duration", fb_int(run->duration));
  S_put(&map, "outputs", run->outputs);
  if (run->error) {
    S_put_error(&error, run->error);
    S_put(&map, "error", fb_map_value(&error.map));
  }
  S_pack(recorder, fb_map_value(&map.map));
  fb_event event = {
      .kind = FB_EVENT_RUN_ENDED, .status = (uint8_t)run->final, .item = FB_NO_ITEM, .code = -1};
  S_append(run, &event);
  if (recorder->broken) return false;
  recorder->finishing = true;
  return S_start_commit(run);
}
