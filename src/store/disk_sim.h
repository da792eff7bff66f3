/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk in memory that loses what disks lose. Writes stand in a page cache until they are synced; a power cut keeps of those that
 * were not any part, sector by sector and within sectors (but the first sector of a file is written as a whole); a kill keeps all
 * that was written. The same seed loses the same.
 */
#ifndef FB_STORE_DISK_SIM_H
#define FB_STORE_DISK_SIM_H

#include <flyball/store.h>

typedef struct fb_sim_disk fb_sim_disk;

fb_status fb_sim_disk_new(const fb_allocator *allocator, uint64_t seed, fb_sim_disk **ret_disk);
void fb_sim_disk_free(fb_sim_disk *disk);
const fb_disk *fb_sim_disk_face(const fb_sim_disk *disk);

/* Operations (writes, syncs, …) done so far. */
uint64_t fb_sim_disk_operations(const fb_sim_disk *disk);
/* Whoever uses it is gone in the middle of the operation of this number: a write may be half done. All later ones fail. 0: never. */
void fb_sim_disk_kill_at(fb_sim_disk *disk, uint64_t operation);
/* Now. */
void fb_sim_disk_kill(fb_sim_disk *disk);
bool fb_sim_disk_dead(const fb_sim_disk *disk);
/* From this operation on so many find no room. */
void fb_sim_disk_full_at(fb_sim_disk *disk, uint64_t operation, uint64_t count);
/* It is used again. `power`: the power was cut, what was not synced is lost in part. */
void fb_sim_disk_restart(fb_sim_disk *disk, bool power);

#endif
