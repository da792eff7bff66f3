/* SPDX-License-Identifier: Apache-2.0
 * Concurrency groups: so many runs of one name at once, over all processes that share the folder of runs. */
#ifndef FB_RUN_GROUP_H
#define FB_RUN_GROUP_H

#include "cli/run_job.h"

/* Takes a place in the group of the mission, if it has one, by its policy: waits, ends the oldest run in it, or refuses. The
 * place comes free when the process ends, however it ends. An fb_exit. */
int fb_run_group_enter(fb_run_job *job);

#endif
