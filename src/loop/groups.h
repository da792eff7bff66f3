/* SPDX-License-Identifier: Apache-2.0
 * Concurrency groups: so many runs of one name at once, over all processes that share the folder of runs. A group is a folder,
 * and each place in it a file with a lease on it: a lock that its process loses by ending. What stands in the file tells
 * who it is. */
#ifndef FB_LOOP_GROUPS_H
#define FB_LOOP_GROUPS_H

#include <flyball/mission.h>
#include <flyball/store.h>

enum { FB_GROUP_PAUSE = 100 * 1000 * 1000 }; /* between two looks at a full group; ns */

typedef struct fb_berth {
  fb_run_group group;
  const char *folder;
  fb_arena *arena;
  long told; /* the process that was told to end */
} fb_berth;

/* The group's folder, beside that of the runs. `group` has a name, and stays. */
fb_status fb_berth_open(const char *runs, const fb_run_group *group, fb_arena *arena,
                        fb_berth *ret_berth, fb_error *err);
/* Takes the first place that is free, until the lease is released. `process` is one that may be told to end; 0: none is.
 * FB_E_LEASE: none is free. */
fb_status fb_berth_take(fb_berth *berth, const char *run, long process, fb_lease **ret_lease,
                        fb_error *err);
/* FB_E_GROUP_BUSY, with who is in it. */
fb_status fb_berth_refuse(const fb_berth *berth, fb_error *err);
/* Sends SIGTERM to the one that has been in it the longest, once. True: now; `who` is its run. */
bool fb_berth_end_oldest(fb_berth *berth, char who[80]);

/* Waits on this thread for a place in the group of the mission, if it names one, until `gives_up` says so: FB_E_MISSION_CANCELLED.
 * The run is not ended for others, as that would end the process, which has more to do. *ret_lease: NULL without a group. */
fb_status fb_berth_enter(fb_mission_run *run, const char *runs, const char *id, fb_arena *arena,
                         bool (*gives_up)(void *context), void *context, fb_lease **ret_lease,
                         fb_error *err);

#endif
