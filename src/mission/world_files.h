/* SPDX-License-Identifier: Apache-2.0
 *
 * What file steps do on the real file system, inside the roots that they may touch.
 */
#ifndef FB_MISSION_WORLD_FILES_H
#define FB_MISSION_WORLD_FILES_H

#include <flyball/mission.h>

/* As fb_world.file. */
fb_status fb_files_do(fb_file_job *job, fb_error *err);

#endif
