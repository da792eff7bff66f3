/* SPDX-License-Identifier: Apache-2.0
 * Runs as the command line finds them. */
#ifndef FB_RUN_STORE_H
#define FB_RUN_STORE_H

#include "cli/cli.h"
#include "loop/runs.h"

/* $XDG_STATE_HOME/flyball/runs, made if it is not there; where there is none, or it may not be written, one in the folder
 * for temporary files that is ours alone. NULL: an error was printed. */
const char *fb_runs_folder(fb_cli *cli, fb_arena *arena);
/* Where a server with a project of this name keeps its state: --state, $STATE_DIRECTORY (systemd's), or a folder in $XDG_STATE_HOME.
 * It need not be there. NULL: an error was printed. */
const char *fb_cli_state_folder(fb_cli *cli, fb_slice name, fb_arena *arena);
/* By id, the beginning of it or of its last part, or `latest`. An fb_exit. */
int fb_run_find(fb_cli *cli, const char *name, fb_arena *arena, fb_run_place *ret_place);
/* Takes the lease of the run. An fb_exit. */
int fb_run_take(fb_cli *cli, const fb_run_place *place, fb_lease **ret_lease);
/* Opens its journal. An fb_exit. */
int fb_run_journal(fb_cli *cli, const fb_run_place *place, bool read_only, bool damaged_ok,
                   fb_journal **ret_journal);
/* "user (uid 1000) on host": the uid is the system's word, the name the environment's. NULL: no memory. */
const char *fb_run_who(fb_arena *arena);

#endif
