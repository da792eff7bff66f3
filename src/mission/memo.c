/* SPDX-License-Identifier: Apache-2.0
 *
 * What a journal knows of each call, read from its events.
 */
#include "mission/record.h"

#include <stdio.h>

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

static fb_memo *S_get(const fb_ledger *ledger, fb_slice scope, fb_slice step, uint8_t phase,
                      uint32_t item) {
  S_key key;
  if (!ledger->newest) return NULL;
  S_make_key(&key, scope, step, phase, item);
  fb_table_slot *slot = fb_table_get(&ledger->memos, (fb_slice){key.text, key.length});
  return slot ? slot->value.ptr : NULL;
}

fb_memo *fb_memo_find(const fb_recorder *recorder, uint32_t step, uint32_t item) {
  const fb_step *about = &recorder->run->mission->steps[step];
  return S_get(recorder->ledger, recorder->scope, about->id, about->phase, item);
}

const fb_memo *fb_memo_of_phase(const fb_recorder *recorder) {
  return S_get(recorder->ledger, recorder->scope, FB_SLICE(""), FB_PHASE_UNDO, FB_NO_ITEM);
}

static bool S_keep(fb_ledger *ledger, fb_slice text, fb_slice *ret_text) {
  const char *copy = fb_arena_text(&ledger->arena, text.len ? text : FB_SLICE(""));
  *ret_text = (fb_slice){copy, text.len};
  return copy != NULL;
}

/* Of one run many memos have the same scope: it is kept once. */
static bool S_keep_scope(fb_ledger *ledger, fb_slice scope, fb_slice *ret_scope) {
  if (ledger->newest && fb_slice_equal(ledger->newest->scope, scope)) {
    *ret_scope = ledger->newest->scope;
    return true;
  }
  return S_keep(ledger, scope, ret_scope);
}

fb_memo *fb_memo_of_event(fb_ledger *ledger, const fb_event *event) {
  S_key key;
  bool added;
  S_make_key(&key, event->scope, event->step, event->phase, event->item);
  fb_table_slot *slot = fb_table_get(&ledger->memos, (fb_slice){key.text, key.length});
  if (slot) return slot->value.ptr;
  fb_slice own = {fb_arena_copy(&ledger->arena, key.text, key.length), key.length};
  fb_memo *memo = fb_arena_zero(&ledger->arena, sizeof *memo);
  if (!own.ptr || !memo || !S_keep_scope(ledger, event->scope, &memo->scope) ||
      !S_keep(ledger, event->step, &memo->step))
    return NULL;
  slot = fb_table_put(&ledger->memos, own, &added);
  if (!slot) return NULL;
  memo->phase = event->phase;
  memo->number = event->item;
  memo->next = ledger->newest;
  ledger->newest = memo;
  slot->value.ptr = memo;
  return memo;
}

/* ── Events ──────────────────────────────────────────────────────────────────────────────────── */

/* {identity, item}, of an intent or of an end without one. */
static fb_status S_who(fb_ledger *ledger, fb_value value, fb_memo *memo) {
  (void)ledger;
  if (value.kind != FB_LIST || value.as.list->len < 2) return FB_OK;
  memo->identity = value.as.list->items[0].as.u;
  memo->item = value.as.list->items[1].as.u;
  return FB_OK;
}

static fb_status S_intent(fb_ledger *ledger, const fb_event *event, fb_memo *memo) {
  fb_value value;
  fb_arena_mark mark = fb_arena_save(&ledger->arena);
  fb_status status = fb_value_unpack(event->payload, &ledger->arena, &value, NULL);
  if (!status) status = S_who(ledger, value, memo);
  fb_arena_rewind(&ledger->arena, mark);
  memo->state = FB_MEMO_STARTED;
  memo->started = event->seq;
  if (!memo->since) memo->since = event->wall;
  memo->waiting = false;
  memo->decision = (fb_slice){0};
  memo->recovered = event->flags & FB_EVENT_RECOVERED;
  memo->attempts++;
  return status;
}

/* An end that no call of this step as it is now gave: by its check, or by a person. */
static fb_status S_by_other_means(fb_ledger *ledger, const fb_event *event, fb_memo *memo) {
  fb_value value;
  fb_arena_mark mark = fb_arena_save(&ledger->arena);
  fb_status status = fb_value_unpack(event->payload, &ledger->arena, &value, NULL);
  const fb_value *who =
      !status && value.kind == FB_MAP ? fb_map_get_text(value.as.map, FB_SLICE("who")) : NULL;
  if (who) S_who(ledger, *who, memo);
  fb_arena_rewind(&ledger->arena, mark);
  return status;
}

static fb_status S_end(fb_ledger *ledger, const fb_event *event, fb_memo *memo) {
  if (event->status == FB_STEP_CANCELLED) {
    /* It was ended in the middle, or never begun: then it is as if it had not been tried. */
    bool not_begun = event->flags & FB_EVENT_NOT_BEGUN && event->attempt == memo->attempts;
    if (not_begun && memo->state == FB_MEMO_STARTED && !memo->recovered) memo->state = FB_MEMO_NONE;
    return FB_OK;
  }
  if (event->flags & FB_EVENT_AGAIN) {
    memo->state = FB_MEMO_NONE;
    return FB_OK;
  }
  /* Without an intent (skipped, or taken from a cache) it begins where it ends. */
  if (memo->state != FB_MEMO_STARTED) memo->started = event->seq;
  memo->state = event->kind == FB_EVENT_STEP_ENDED ? FB_MEMO_ENDED : FB_MEMO_SETTLED;
  if (memo->state == FB_MEMO_SETTLED) memo->started = event->seq;
  memo->ended = event->seq;
  memo->since = 0;
  memo->status = event->status;
  memo->code = event->code;
  memo->signal = event->signal;
  memo->has_digest = event->flags & FB_EVENT_HAS_DIGEST;
  if (memo->has_digest) memcpy(memo->digest, event->digest, FB_DIGEST_SIZE);
  memo->payload.len = event->payload.len;
  memo->payload.ptr = fb_arena_copy(&ledger->arena, event->payload.ptr, event->payload.len);
  if (!memo->payload.ptr && event->payload.len) return FB_E_NOMEM;
  return event->flags & FB_EVENT_OTHERWISE ? S_by_other_means(ledger, event, memo) : FB_OK;
}

/* What was settled without a call says nothing about a call whose effect is not known. */
static fb_status S_settled(fb_ledger *ledger, const fb_event *event, fb_memo *memo) {
  if (event->status == FB_STEP_WAITING) {
    memo->waiting = true;
    return FB_OK;
  }
  return memo->state == FB_MEMO_STARTED ? FB_OK : S_end(ledger, event, memo);
}

static fb_status S_decided(fb_ledger *ledger, const fb_event *event, fb_memo *memo) {
  return S_keep(ledger, event->payload, &memo->decision) ? FB_OK : FB_E_NOMEM;
}

/* ── Trying again ────────────────────────────────────────────────────────────────────────────── */

static void S_forget(fb_memo *memo, uint64_t seq) {
  bool good = memo->state == FB_MEMO_ENDED && memo->status == FB_STEP_OK;
  if (good) memo->generation = seq;
  memo->state = FB_MEMO_NONE;
  memo->since = 0;
  memo->waiting = false;
  memo->decision = (fb_slice){0};
}

/* "fix.3/": the way into the sub-missions of the memo's call. */
static size_t S_way(const fb_memo *memo, char *out, size_t size) {
  int length = snprintf(out, size, "%.*s%.*s", (int)memo->scope.len, memo->scope.ptr,
                        (int)memo->step.len, memo->step.ptr);
  if (memo->number != FB_NO_ITEM && length > 0 && (size_t)length < size)
    length += snprintf(out + length, size - (size_t)length, ".%u", memo->number);
  if (length < 0 || (size_t)length + 1 >= size) return 0;
  out[length] = '/';
  return (size_t)length + 1;
}

static bool S_is_around(const fb_memo *memo, fb_slice scope) {
  char way[1024];
  size_t length = S_way(memo, way, sizeof way);
  return length && length <= scope.len && memcmp(way, scope.ptr, length) == 0;
}

/* "fix" is around "fix.3/…" and "fix/…". */
static bool S_is_inside(const fb_memo *memo, const fb_event *event) {
  fb_slice rest = memo->scope;
  if (rest.len <= event->scope.len + event->step.len) return false;
  if (event->scope.len && memcmp(rest.ptr, event->scope.ptr, event->scope.len) != 0) return false;
  rest = (fb_slice){rest.ptr + event->scope.len, rest.len - event->scope.len};
  if (memcmp(rest.ptr, event->step.ptr, event->step.len) != 0) return false;
  rest = (fb_slice){rest.ptr + event->step.len, rest.len - event->step.len};
  if (rest.ptr[0] == '/') return event->item == FB_NO_ITEM;
  if (rest.ptr[0] != '.') return false;
  char item[16];
  int length = snprintf(item, sizeof item, ".%u/", event->item);
  return event->item == FB_NO_ITEM ||
         (rest.len >= (size_t)length && memcmp(rest.ptr, item, (size_t)length) == 0);
}

static bool S_is_named(const fb_memo *memo, const fb_event *event) {
  if (!fb_slice_equal(memo->scope, event->scope)) return false;
  if (!fb_slice_equal(memo->step, event->step)) return false;
  /* The end of a for_each as a whole goes with any of its items. */
  return event->item == FB_NO_ITEM || memo->number == event->item || memo->state == FB_MEMO_SETTLED;
}

static bool S_is_bad(const fb_memo *memo) {
  if (memo->state == FB_MEMO_SETTLED) return memo->status != FB_STEP_OK;
  return memo->state == FB_MEMO_ENDED && memo->status != FB_STEP_OK;
}

/* Without a step: all that failed. Calls in doubt stay so unless they are named. */
static void S_retry(fb_ledger *ledger, const fb_event *event) {
  for (fb_memo *memo = ledger->newest; memo; memo = memo->next) {
    bool forget = event->step.len == 0 ? S_is_bad(memo)
                                       : S_is_named(memo, event) || S_is_inside(memo, event) ||
                                             S_is_around(memo, event->scope);
    if (forget) S_forget(memo, event->seq);
  }
}

/* A run that ended has been undone as far as it was: what was undone counts as not done, and comes with `finally` anew if the run goes on. */
static void S_run_ended(fb_ledger *ledger, const fb_event *event) {
  if (event->status == FB_MISSION_WAITING) return;
  for (fb_memo *memo = ledger->newest; memo; memo = memo->next) {
    if (memo->phase != FB_PHASE_UNDO && memo->phase != FB_PHASE_FINALLY) continue;
    bool undone = memo->phase == FB_PHASE_UNDO && memo->step.len && memo->state == FB_MEMO_ENDED &&
                  memo->status == FB_STEP_OK;
    fb_memo *done =
        undone ? S_get(ledger, memo->scope, memo->step, FB_PHASE_MAIN, memo->number) : NULL;
    if (done) S_forget(done, event->seq);
    if (memo->state != FB_MEMO_STARTED) memo->state = FB_MEMO_NONE;
  }
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

/* A session that began after a loss of power: what was written and not on disk may be gone. */
static fb_status S_session(fb_ledger *ledger, const fb_event *event) {
  fb_value value;
  fb_arena_mark mark = fb_arena_save(&ledger->arena);
  fb_status status = fb_value_unpack(event->payload, &ledger->arena, &value, NULL);
  const fb_value *boot =
      !status && value.kind == FB_MAP ? fb_map_get_text(value.as.map, FB_SLICE("boot")) : NULL;
  uint64_t hash = boot && boot->kind == FB_STRING ? fb_boot_hash(boot->as.text) : 0;
  if (ledger->boot && hash != ledger->boot) ledger->lost = true;
  ledger->boot = hash;
  fb_arena_rewind(&ledger->arena, mark);
  return status == FB_E_NOMEM ? status : FB_OK;
}

fb_status fb_memo_read(void *user, const fb_event *event) {
  fb_ledger *ledger = user;
  ledger->resumed = true;
  if (event->seq > ledger->last) ledger->last = ledger->durable = event->seq;
  if (event->kind == FB_EVENT_RUN_STARTED || event->kind == FB_EVENT_RUN_RESUMED)
    return S_session(ledger, event);
  if (event->kind == FB_EVENT_RETRY) S_retry(ledger, event);
  if (event->kind == FB_EVENT_RUN_ENDED) S_run_ended(ledger, event);
  bool past_main = event->kind == FB_EVENT_NOTE && event->phase == FB_PHASE_UNDO;
  bool of_step = event->kind >= FB_EVENT_STEP_STARTED && event->kind <= FB_EVENT_DECIDED;
  if (!of_step && !past_main) return FB_OK;
  fb_memo *memo = fb_memo_of_event(ledger, event);
  if (!memo) return FB_E_NOMEM;
  switch (event->kind) {
    case FB_EVENT_STEP_STARTED: return S_intent(ledger, event, memo);
    case FB_EVENT_STEP_SETTLED: return S_settled(ledger, event, memo);
    case FB_EVENT_DECIDED: return S_decided(ledger, event, memo);
    case FB_EVENT_NOTE:
      memo->state = FB_MEMO_ENDED;
      memo->status = event->status;
      memo->started = event->seq;
      return FB_OK;
    default: return S_end(ledger, event, memo);
  }
}
