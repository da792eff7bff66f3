/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/store.h: what outlives a process. A journal holds the events of one run, in order, each
 * chained by SHA-256 to the one before. A run appends what it is about to do and what came of it, and waits for the
 * commit before anything depends on it.
 */
#ifndef FLYBALL_STORE_H
#define FLYBALL_STORE_H

#include <flyball/data.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ── Events ──────────────────────────────────────────────────────────────────────────────────── */

/* The numbers are on disk: never give one a new meaning. */
typedef enum fb_event_kind {
  FB_EVENT_RUN_STARTED = 1, /* payload: who, where, with which mission and inputs */
  FB_EVENT_RUN_RESUMED = 2, /* by another process; payload as of RUN_STARTED */
  FB_EVENT_RUN_ENDED =
      3, /* status: an fb_mission_status; payload: outputs, error. More may follow a
                           * run that only waits, was interrupted, or is tried again */
  FB_EVENT_STEP_STARTED =
      4, /* intent: it may have had its effect from here on; digest: of its input */
  FB_EVENT_STEP_ENDED =
      5, /* status: an fb_step_status; digest: of its output; payload: its result */
  FB_EVENT_STEP_SETTLED =
      6, /* a step that ended without a call of its own: skipped, or all items done */
  FB_EVENT_DECIDED =
      7, /* a person decided on a step that waited or was in doubt; payload: who, what */
  FB_EVENT_RETRY =
      8, /* step and all that needs it are forgotten and run again; step "": what failed */
  FB_EVENT_NOTE = 9 /* anything else worth keeping; payload says what */
} fb_event_kind;

/* "run.started", "step.ended", …; "?" for a number that is none. */
FB_API const char *fb_event_kind_name(unsigned kind);

enum {
  FB_EVENT_HAS_DIGEST = 1,
  FB_EVENT_AGAIN = 2,     /* of STEP_ENDED: not the last attempt, it is tried again */
  FB_EVENT_NOT_BEGUN = 4, /* of STEP_ENDED: ended before it was started; it had no effect */
  FB_EVENT_RECOVERED = 8  /* of STEP_STARTED: the effect of an earlier attempt is not known */
};

/* What of a step an event is about. */
enum { FB_PHASE_MAIN = 0, FB_PHASE_CHECK = 1, FB_PHASE_UNDO = 2, FB_PHASE_FINALLY = 3 };

#define FB_NO_ITEM UINT32_MAX
#define FB_DIGEST_SIZE 32

typedef struct fb_event {
  uint64_t seq;   /* from 1, without a gap; set by the journal */
  int64_t wall;   /* ns since 1970 */
  uint8_t kind;   /* fb_event_kind */
  uint8_t status; /* see the kind */
  uint8_t phase;
  uint8_t flags;
  uint32_t item;    /* of a for_each; FB_NO_ITEM: none */
  uint32_t attempt; /* from 1; 0: says nothing */
  int16_t code;     /* exit code; -1: none */
  int16_t signal;   /* 0: none */
  fb_slice scope;   /* the way to the sub-mission: "fix.3/", ""; at most 65,535 bytes */
  fb_slice step;    /* its id; "" for events of the run; at most 65,535 bytes */
  uint8_t digest[FB_DIGEST_SIZE]; /* SHA-256 */
  fb_slice payload;               /* a packed value (fb_value_pack), or empty; below 4 GiB */
} fb_event;

/* ── Journal ─────────────────────────────────────────────────────────────────────────────────── */

/* Where the events of a run go. Two threads at most: `commit` may run on another while the run's own thread
 * appends; all else is on that one. After a failed append or commit nothing of what was not
 * committed counts; `commit` may be tried again unless it failed with FB_E_IO. */
typedef struct fb_journal {
  /* Takes a copy; sets event->seq. Survives nothing until it is committed. */
  fb_status (*append)(void *context, fb_event *event, fb_error *err);
  /* Hands what was appended to the next commit. False: there is nothing to commit. Not while one is under way. */
  bool (*seal)(void *context);
  /* What was sealed survives power loss from here on. */
  fb_status (*commit)(void *context, fb_error *err);
  /* All that was committed, in order, until `each` fails: its failure is returned. Slices are good for the call. */
  fb_status (*read)(void *context, fb_status (*each)(void *user, const fb_event *event), void *user,
                    fb_error *err);
  void *context;
} fb_journal;

/* In memory, for tests and for runs that need no record. */
FB_API fb_status fb_journal_memory_new(const fb_allocator *allocator, fb_journal **ret_journal);
FB_API void fb_journal_memory_free(fb_journal *journal);
/* The next commit fails with `status` (and all after it, if FB_E_IO). */
FB_API void fb_journal_memory_fail(fb_journal *journal, fb_status status);
/* Forgets what was not committed, and what was after the first `events` of it: a crash. */
FB_API void fb_journal_memory_cut(fb_journal *journal, uint64_t events);

/* ── Values as bytes ─────────────────────────────────────────────────────────────────────────── */

/* Keeps every kind apart, as JSON does not. Facts become maps. Depth is bounded (FB_E_LIMIT); FB_E_NOMEM. */
FB_API fb_status fb_value_pack(fb_buf *out, fb_value value);
/* The value lives in the arena, its texts too. FB_E_JOURNAL_DAMAGED: the bytes are no packed value. */
FB_API fb_status fb_value_unpack(fb_slice bytes, fb_arena *arena, fb_value *ret_value,
                                 fb_error *err);

#ifdef __cplusplus
}
#endif
#endif
