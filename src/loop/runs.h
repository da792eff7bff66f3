/* SPDX-License-Identifier: Apache-2.0
 *
 * Where runs are kept, for the command line and the server: a folder each, with the journal, the lease and what programs wrote.
 *
 *   place     where a run is
 *   row       how it stands, by the ends of its journal
 *   word      what a person says to a step that waits or is in doubt
 */
#ifndef FB_LOOP_RUNS_H
#define FB_LOOP_RUNS_H

#include <flyball/mission.h>

typedef struct fb_run_place {
  char id[64];
  const char *folder, *journal, *lease; /* paths, in the caller's arena */
} fb_run_place;

/* How a run stands, seen from outside. */
typedef enum fb_run_standing {
  FB_RUN_RUNNING,     /* a process works on it */
  FB_RUN_INTERRUPTED, /* none does, and no end is recorded */
  FB_RUN_WAITING,     /* for a person */
  FB_RUN_OK,
  FB_RUN_FAILED,
  FB_RUN_TIMEOUT,
  FB_RUN_CANCELLED
} fb_run_standing;
const char *fb_run_standing_name(fb_run_standing standing);
fb_run_standing fb_run_standing_of(fb_mission_status status, bool held);

/* Makes the folder and those above it; it is ours to write. */
bool fb_run_make_folder(const char *path);
/* The folder of results that outlive their runs, beside that of the runs; made. NULL: no memory, or errno tells. */
const char *fb_run_cache_of(const char *runs, fb_arena *arena);
/* The paths of a run of this id. False: no memory. */
bool fb_run_place_set(const char *runs, const char *id, fb_arena *arena, fb_run_place *ret_place);
/* A new id: sorts by time, to the millisecond, and two runs of one are told apart. */
void fb_run_make_id(char out[64]);
/* When the id was made, s since 1970; 0: it does not say. */
int64_t fb_run_id_time(const char *id);
/* Ids in the folder, newest first; in the arena. False: no memory. */
bool fb_run_ids(const char *runs, fb_arena *arena, const char *const **ret_ids, size_t *ret_count);
/* Removes the run's folder with all in it, unless a process works on it. */
bool fb_run_remove(const fb_run_place *place);
/* Removes ended runs, the oldest first: more than `keep` (0: any number), older than `age` (ns; 0: any). How many. */
size_t fb_run_prune(const char *runs, size_t keep, int64_t age, fb_arena *arena);
/* "fix.3/sub/build", "each[2]", "each.2": a step in a run. False: it is none. Slices are of `text`. */
bool fb_run_step_path(const char *text, fb_slice *ret_scope, fb_slice *ret_step,
                      uint32_t *ret_item);

typedef struct fb_run_row {
  const char *id;
  char mission[80];
  int64_t started, ended; /* ns since 1970; ended 0: not yet */
  fb_run_standing standing;
  bool any; /* the journal has an event */
} fb_run_row;

/* By the first and the last event of its journal. False: it is no run (any more). The arena is as before. */
bool fb_run_look(const char *runs, const char *id, fb_arena *arena, fb_run_row *ret_row);

/* Its steps, for who shows the run without its mission: [{id, tool, needs: [id], phase?}]. False: no memory. */
bool fb_run_plan(const fb_mission *mission, fb_arena *arena, fb_value *ret_plan);

/* FB_E_LEASE: a process works on it. */
fb_status fb_run_lease(const fb_run_place *place, fb_lease **ret_lease, fb_error *err);
fb_status fb_run_open(const fb_run_place *place, bool read_only, bool damaged_ok,
                      fb_journal **ret_journal, fb_error *err);
/* One event, committed. */
fb_status fb_run_append(fb_journal *journal, fb_event *event, fb_value payload, fb_error *err);

typedef struct fb_run_word {
  const char *step; /* a path: fb_run_step_path */
  const char
      *decision; /* "approved", "rejected"; of a step in doubt: "done", "again", "rejected" */
  const char *who, *note; /* note: NULL: none */
  fb_value output;        /* of "done": what the step's output is taken to be; FB_ABSENT: nothing */
} fb_run_word;

/* As it stands in the journal. */
fb_status fb_run_word_value(const fb_run_word *word, fb_arena *arena, fb_value *ret_value,
                            fb_error *err);
/* FB_E_RUN_STATE: it does not fit how the run stands. */
fb_status fb_run_word_fits(const fb_past *past, const fb_run_word *word, fb_error *err);
/* Of a run that nobody works on but the caller, who has its lease. FB_E_RUN_STATE: it does not fit how the run stands. */
fb_status fb_run_decide(fb_journal *journal, const fb_past *past, const fb_run_word *word,
                        fb_arena *arena, fb_error *err);
/* It is to be done again: what failed, or the step `from` and all that needs it. */
fb_status fb_run_forget(fb_journal *journal, const fb_past *past, const char *from, const char *who,
                        fb_arena *arena, fb_error *err);
/* It is cancelled. */
fb_status fb_run_end(fb_journal *journal, const fb_past *past, const char *who, fb_arena *arena,
                     fb_error *err);

/* ── What programs wrote ── */

/* Where the run's files are. NULL: no memory. */
const char *fb_run_dir_of(const fb_past *past, const fb_run_place *place, fb_arena *arena);
/* "fix.3.build": what the step's files there begin with. NULL: no memory. */
const char *fb_run_label_of(const fb_past_step *step, fb_arena *arena);

typedef struct fb_run_logs fb_run_logs;

/* A piece of what a step wrote: a line without its end; of one step alone, bytes as they are. */
typedef void fb_run_log_fn(void *user, const char *step, const char *stream, fb_slice piece);

/* step: a path; NULL: all steps. FB_E_RUN_STATE: it is none. */
fb_status fb_run_logs_new(const fb_run_place *place, const char *step, bool lines,
                          fb_run_logs **ret_logs, fb_error *err);
void fb_run_logs_free(fb_run_logs *logs);
/* Tells what is new, at most about `most` bytes of each stream; *ret_more: there is more. */
fb_status fb_run_logs_read(fb_run_logs *logs, size_t most, fb_run_log_fn *each, void *user,
                           bool *ret_more, fb_error *err);
/* Lines that have not ended. */
void fb_run_logs_rest(fb_run_logs *logs, fb_run_log_fn *each, void *user);
/* Whether the step that was asked for has begun. */
bool fb_run_logs_any(const fb_run_logs *logs);

#endif
