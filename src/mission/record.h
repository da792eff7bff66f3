/* SPDX-License-Identifier: Apache-2.0
 *
 * The record of a run: what it is about to do and what came of it, in the journal before anything depends on it.
 *
 * A call is prepared, its intent appended, and held until the commit; whatever became ready in the meantime goes with
 * the same commit. After a crash the scheduler goes its usual way, and a call that the journal knows the end of gets
 * that end without being made (a memo).
 */
#ifndef FB_MISSION_RECORD_H
#define FB_MISSION_RECORD_H

#include "mission/run.h"

#include <flyball/store.h>

/* What the journal knows of one call: of a step, or of an item of one. */
typedef enum fb_memo_state {
  FB_MEMO_NONE,
  FB_MEMO_STARTED, /* its effect is not known */
  FB_MEMO_ENDED,
  FB_MEMO_SETTLED
} fb_memo_state;

typedef struct fb_memo {
  uint8_t state; /* fb_memo_state */
  uint8_t status;
  int16_t code, signal;
  uint32_t attempts;       /* begun */
  uint64_t started, ended; /* the events' numbers */
  uint64_t identity;       /* of the step as it was then */
  uint64_t item;           /* hash of the item that it was for */
  fb_slice payload;        /* of its end; in the recorder's arena */
} fb_memo;

typedef struct fb_recorder {
  fb_journal *journal;
  fb_slice scope;
  fb_arena arena;       /* as long as the run */
  fb_table memos;       /* key of the call → fb_memo; empty unless resumed */
  uint64_t *identities; /* one a step; 0: not worked out yet */
  uint64_t *ended;      /* one a step: its last event; UINT64_MAX: it was run in this session */
  fb_active *first_held, *last_held; /* intents appended after the last seal */
  fb_active *sealed;                 /* start once the commit is done */
  fb_buf payload;
  bool resumed;
  bool appended;       /* something waits for a seal */
  bool busy;           /* a commit is under way */
  bool finishing;      /* … that ends the run */
  bool broken;         /* nothing can be recorded any more */
  fb_status committed; /* of the commit; written by its thread */
  fb_error error;
} fb_recorder;

/* Reads what the journal has. The run has its options. */
fb_status fb_record_new(fb_mission_run *run, fb_error *err);
void fb_record_free(fb_mission_run *run);
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
/* Commits what there is to commit. True: one is under way, and pumps again when it is done. `over`: the run is at
 * its end, which goes into the same commit. */
bool fb_record_pump(fb_mission_run *run, bool over);
/* Appends the end of the run and commits. False: nothing to wait for. Else fb_run_finished is called. */
bool fb_record_finish(fb_mission_run *run);

/* The identity of a step: equal as long as what it does is written the same (identity.c). */
uint64_t fb_step_identity(const fb_mission *mission, uint32_t step);

#endif
