/* SPDX-License-Identifier: Apache-2.0
 *
 * The record of a run: what it is about to do and what came of it, in the journal before anything depends on it.
 *
 *   ledger     the journal of a run and of all sub-missions in it: what it knows, what waits for a commit
 *   recorder   what one run (the outermost, or a sub-mission) writes into it
 *   memo       what the journal knows of one call: of a step, or of an item of one
 *
 * A call is prepared, its intent appended, and held until the commit; whatever became ready in the meantime goes with
 * the same commit. After a crash the scheduler goes its usual way, and a call that the journal knows the end of gets
 * that end without being made. One whose end it does not know is in doubt (doubt.c).
 */
#ifndef FB_MISSION_RECORD_H
#define FB_MISSION_RECORD_H

#include "mission/run.h"

#include <flyball/store.h>

/* Results up to this stand in the journal; larger ones are read again from what was kept. Bytes. */
enum { FB_SMALL_RESULT = 4096 };

typedef enum fb_memo_state {
  FB_MEMO_NONE,    /* as if it had not been tried */
  FB_MEMO_STARTED, /* its effect is not known */
  FB_MEMO_ENDED,
  FB_MEMO_SETTLED
} fb_memo_state;

typedef struct fb_memo fb_memo;

struct fb_memo {
  uint8_t state; /* fb_memo_state */
  uint8_t status, phase;
  bool waiting;   /* it is recorded that it waits for a person */
  bool recovered; /* what was last begun was a repetition */
  int16_t code, signal;
  uint32_t number;         /* of the item; FB_NO_ITEM: none */
  uint32_t attempts;       /* begun */
  uint64_t started, ended; /* the events' numbers */
  int64_t since;        /* when it was first begun since it last ended, ns since 1970; 0: never */
  uint64_t identity;    /* of the step as it was then */
  uint64_t item;        /* hash of the item that it was for */
  uint64_t generation;  /* the event by which a good end was forgotten; 0: never */
  fb_slice scope, step; /* in the ledger's arena, as all below */
  fb_slice payload;     /* of its end */
  bool has_digest;
  uint8_t digest[FB_DIGEST_SIZE]; /* of what it gave */
  fb_slice decision; /* what a person decided after it was last started; ptr NULL: nothing */
  fb_memo *next;     /* all of a ledger, newest first */
};

typedef struct fb_recorder fb_recorder;

typedef struct fb_ledger {
  fb_journal *journal;
  const fb_allocator *allocator;
  const fb_world *world;
  const fb_mask *mask; /* what must not stand in it; NULL: nothing */
  fb_arena arena;      /* as long as the outermost run */
  fb_table memos;      /* key of the call → fb_memo; empty unless resumed or decided on */
  fb_memo *newest;
  fb_buf payload;
  fb_recorder *recorders;            /* of all runs that are going on */
  fb_active *first_held, *last_held; /* intents appended after the last seal */
  fb_active *sealed;                 /* start once the commit is done */
  fb_active *ahead, *last_ahead;     /* start once their intents are written */
  uint64_t last, sealing, durable;   /* events: appended, in the commit under way, on disk */
  uint64_t boot;                     /* hash of the last session's; 0: it said none */
  bool lost;           /* power was lost: calls may have been begun that it knows nothing of */
  bool resumed;        /* the journal had events */
  bool appended;       /* something waits for a seal */
  bool busy;           /* a commit is under way */
  bool inside;         /* … on this thread */
  bool broken;         /* nothing can be recorded any more */
  fb_status committed; /* of the commit; written by its thread, as `failure` is */
  fb_error failure;
  fb_error error; /* why it is broken */
} fb_ledger;

struct fb_recorder {
  fb_ledger *ledger;
  fb_mission_run *run;
  fb_recorder *prev, *next;
  fb_slice scope;
  uint64_t *identities; /* one a step; 0: not worked out yet */
  uint64_t *ended;      /* one a step: its last event */
  uint64_t *begun;      /* one a step: the last intent of this session; 0: none */
  uint64_t around;      /* of a sub-mission: the last event of what the step that it is needs */
  bool finishing;       /* the commit under way ends the run */
  bool owner;           /* of the ledger: the outermost run */
  bool stale;           /* to be pumped after the commit */
};

/* ── memo.c: what the journal knows ──────────────────────────────────────────────────────────── */

fb_memo *fb_memo_find(const fb_recorder *recorder, uint32_t step, uint32_t item);
/* That of the note that the main phase is over. */
const fb_memo *fb_memo_of_phase(const fb_recorder *recorder);
/* The memo of an event's call; made if there is none. NULL: no memory. */
fb_memo *fb_memo_of_event(fb_ledger *ledger, const fb_event *event);
/* Never 0. */
static inline uint64_t fb_boot_hash(const char *boot) {
  return fb_hash_bytes(boot, strlen(boot), 0) | 1;
}
/* Takes in one event; `user` is the ledger. */
fb_status fb_memo_read(void *user, const fb_event *event);

/* ── commit.c: the ledger ────────────────────────────────────────────────────────────────────── */

fb_status fb_ledger_new(fb_mission_run *run, fb_ledger **ret_ledger, fb_error *err);
void fb_ledger_free(fb_ledger *ledger);
/* Appends with what stands in the ledger's payload, and clears that. */
void fb_ledger_append(fb_recorder *recorder, fb_event *event);
void fb_ledger_append_in(fb_ledger *ledger, fb_slice scope, fb_event *event);
/* Nothing can be recorded any more. */
void fb_ledger_break(fb_ledger *ledger, const fb_error *err);
/* Holds a call until its intent is committed. */
void fb_ledger_hold(fb_ledger *ledger, fb_active *active);
/* Holds a call until its intent is written: that is, until the run is pumped. */
void fb_ledger_go_ahead(fb_ledger *ledger, fb_active *active);
/* Commits what there is to commit. True: one is under way, and pumps again when it is done. `over`: the run is at
 * its end, which goes into the same commit. */
bool fb_record_pump(fb_mission_run *run, bool over);
/* Commits the end of the run. False: nothing to wait for. Else fb_run_finished is called. */
bool fb_ledger_finish(fb_recorder *recorder);

/* ── record.c ────────────────────────────────────────────────────────────────────────────────── */

/* Reads what the journal has. The run has its options. */
fb_status fb_record_new(fb_mission_run *run, fb_error *err);
void fb_record_free(fb_mission_run *run);
/* Of a sub-mission, before it starts: which step of the run around it it is. */
void fb_record_within(fb_mission_run *run, const fb_mission_run *parent, uint32_t number);
void fb_record_run_started(fb_mission_run *run);
/* True: the step's end is known and not due to a call; it is final now. */
bool fb_record_replay_settled(fb_mission_run *run, uint32_t step);
/* True: the call's end is known; `active` holds it, as if it had been made. */
bool fb_record_replay(fb_active *active);
/* True if the journal has the end of this step's only call. */
bool fb_record_knows(const fb_mission_run *run, uint32_t step);
/* Appends that the prepared call is to be made; it is launched after the commit (fb_run_launch). */
void fb_record_intent(fb_active *active);
void fb_record_result(fb_active *active, const fb_outcome *result);
void fb_record_settled(fb_mission_run *run, uint32_t step, const fb_outcome *result);
/* Nothing can be recorded any more. */
bool fb_record_is_broken(const fb_mission_run *run);
/* Appends that the steps are over, with this outcome: they are undone, or only `finally` is left. */
void fb_record_phase(fb_mission_run *run, fb_mission_status outcome);
/* True: an earlier process got so far; what it had not done of the steps is not done any more. */
bool fb_record_is_past_main(const fb_mission_run *run, fb_mission_status *ret_outcome);
/* Appends that the step waits for a person, once. */
void fb_record_waiting(fb_active *active, const char *why);
/* Appends the end of the run and commits. False: nothing to wait for. Else fb_run_finished is called. */
bool fb_record_finish(fb_mission_run *run);
/* The item's number as the journal has it. */
uint32_t fb_record_item(const fb_active *active);
/* What makes a call another one: the item that the variables are set to. */
uint64_t fb_record_item_hash(fb_mission_run *run);
uint64_t fb_record_identity(fb_mission_run *run, uint32_t step);

/* ── ahead.c: what need not wait for the disk ────────────────────────────────────────────────── */

/* The call may begin although its intent is not on disk. */
bool fb_may_go_ahead(const fb_active *active);
/* Power was lost since, and the call may have begun so. */
bool fb_may_have_begun(const fb_active *active);

/* ── doubt.c ─────────────────────────────────────────────────────────────────────────────────── */

/* A call whose effect is not known, or on which a person decided: sets call.decision. True: it was ended, held or is
 * being checked; else it goes its way. */
bool fb_doubt_take(fb_active *active);

/* The identity of a step: equal as long as what it does is written the same (identity.c). */
uint64_t fb_step_identity(const fb_mission *mission, uint32_t step);
/* 32 hex digits and a NUL: the same in every attempt (digest.c). */
void fb_step_key(fb_active *active, char ret_key[33]);
/* SHA-256 of what a prepared process is given: program, arguments, own environment, folder, standard input. False: no
 * memory. */
bool fb_digest_input(const fb_active *active, uint8_t ret_digest[FB_DIGEST_SIZE]);
/* Of what it gave: the kept streams, or the value. Any thread. Sets active->digest. */
void fb_digest_output(fb_active *active);

/* The result of a process stands in the journal; else what it wrote must be on disk before its end is recorded. The text is both
 * `output` and `stdout`. */
static inline bool fb_result_is_small(const fb_active *active) {
  return 2 * active->out_size + active->err_size <= FB_SMALL_RESULT;
}

/* A map of few entries on the stack: up to 8 need no index. */
typedef struct fb_small_map {
  fb_map map;
  fb_entry entries[8];
} fb_small_map;
static inline void fb_small_put(fb_small_map *map, const char *key, fb_value value) {
  map->map.entries = map->entries;
  map->entries[map->map.len++] = (fb_entry){fb_string(fb_slice_of(key)), value};
}
/* Into the ledger's payload, without secrets. */
static inline void fb_ledger_pack(fb_ledger *ledger, fb_value value) {
  fb_arena_mark mark = fb_arena_save(&ledger->arena);
  if (ledger->mask && fb_mask_value(ledger->mask, value, &ledger->arena, &value)) {
    ledger->payload.failed = true;
    return;
  }
  if (fb_value_pack(&ledger->payload, value)) ledger->payload.failed = true;
  if (ledger->mask) fb_arena_rewind(&ledger->arena, mark);
}

#endif
