/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream of a process that is masked on its way to the file in which it is kept. Only where there are secrets: else
 * programs write to the file themselves.
 */
#ifndef FB_MISSION_WORLD_PIPE_H
#define FB_MISSION_WORLD_PIPE_H

#include "mission/mask.h"

#include <uv.h>

typedef struct fb_pipe fb_pipe;

/* Takes both descriptors when it succeeds. `from` is read when the loop sees something in it, and may block nobody. */
fb_status fb_pipe_new(uv_loop_t *loop, const fb_mask *mask, const fb_allocator *allocator, int from,
                      int to, fb_pipe **ret_pipe, fb_error *err);
/* The program has ended: takes what is still in the pipe, and no more, although others may hold its other end. Frees
 * it. *ret_lost: errno if not all could be kept, else unchanged. NULL is none. */
void fb_pipe_finish(fb_pipe *pipe, int *ret_lost);

#endif
