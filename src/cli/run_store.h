/* SPDX-License-Identifier: Apache-2.0
 * Where runs are kept: a folder each, with the journal, the lease and what programs wrote. */
#ifndef FB_RUN_STORE_H
#define FB_RUN_STORE_H

#include "cli/cli.h"

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

/* $XDG_STATE_HOME/flyball/runs, made if it is not there; where there is none, or it may not be written, one in the folder
 * for temporary files that is ours alone. NULL: an error was printed. */
const char *fb_runs_folder(fb_cli *cli, fb_arena *arena);
/* The paths of a run of this id. False: no memory. */
bool fb_run_place_set(const char *runs, const char *id, fb_arena *arena, fb_run_place *ret_place);
/* A new id: sorts by time, to the millisecond, and two runs of one are told apart. */
void fb_run_make_id(char out[64]);
/* When the id was made, s since 1970; 0: it does not say. */
int64_t fb_run_id_time(const char *id);
/* By id, the beginning of it or of its last part, or `latest`. An fb_exit. */
int fb_run_find(fb_cli *cli, const char *name, fb_arena *arena, fb_run_place *ret_place);
/* Ids in the folder, newest first; in the arena. False: no memory. */
bool fb_run_ids(const char *runs, fb_arena *arena, const char *const **ret_ids, size_t *ret_count);
/* Removes the run's folder with all in it, unless a process works on it. */
bool fb_run_remove(const fb_run_place *place);
/* Takes the lease of the run. An fb_exit. */
int fb_run_take(fb_cli *cli, const fb_run_place *place, fb_lease **ret_lease);
/* Opens its journal. An fb_exit. */
int fb_run_journal(fb_cli *cli, const fb_run_place *place, bool read_only, bool damaged_ok,
                   fb_journal **ret_journal);
/* Appends one event and commits it. An fb_exit. */
int fb_run_append(fb_cli *cli, fb_journal *journal, fb_event *event, fb_value payload);
/* "fix.3/sub/build", "each[2]", "each.2": a step in a run. False: it is none. Slices are of `text`. */
bool fb_run_step_path(const char *text, fb_slice *ret_scope, fb_slice *ret_step,
                      uint32_t *ret_item);
/* "user (uid 1000) on host": the uid is the system's word, the name the environment's. NULL: no memory. */
const char *fb_run_who(fb_arena *arena);

/* Removes ended runs, the oldest first: more than `keep` (0: any number), older than `age` (ns; 0: any). How many. */
size_t fb_run_prune(const char *runs, size_t keep, int64_t age, fb_arena *arena);

#endif
