/* SPDX-License-Identifier: Apache-2.0
 *
 * A world that only exists in memory: its time passes from event to event, its programs do what a script
 * says. The same script gives the same run, always: for tests, benchmarks and simulation.
 */
#ifndef FB_MISSION_WORLD_SCRIPT_H
#define FB_MISSION_WORLD_SCRIPT_H

#include <flyball/mission.h>

/* What a program does. Zeroed: it ends at once with 0 and writes nothing. */
typedef struct fb_script_reply {
  int64_t duration; /* ns */
  int code;
  int signal; /* ended by it; 0: it exits */
  fb_slice out, err;
  bool missing;  /* it cannot be started */
  bool stubborn; /* SIGTERM does not end it */
} fb_script_reply;

typedef struct fb_script_world fb_script_world;

/* How a server answers. Zeroed: at once, 200, nothing. */
typedef struct fb_script_answer {
  int64_t duration;    /* ns */
  fb_status status;    /* FB_E_NET_… : no answer */
  int code;            /* 0: 200 */
  fb_slice body, type; /* type: Content-Type, may be empty */
  int64_t retry_after; /* ns */
} fb_script_answer;

/* `reply` (nullable) is asked whenever a process starts. */
fb_status fb_script_world_new(const fb_allocator *allocator,
                              void (*reply)(void *context, const fb_process_spec *spec,
                                            fb_script_reply *ret_reply),
                              void *context, fb_script_world **ret_world);
/* `answer` is asked whenever a request is sent; without it there is no network. */
void fb_script_world_http(fb_script_world *world,
                          void (*answer)(void *context, const fb_http_request *request,
                                         fb_script_answer *ret_answer));
void fb_script_world_free(fb_script_world *world);
fb_world *fb_script_world_face(fb_script_world *world);
int64_t fb_script_world_now(const fb_script_world *world);
/* Processes running now, at most at once, and ever. */
typedef struct fb_script_counts {
  uint32_t running, peak, started, signals;
} fb_script_counts;
fb_script_counts fb_script_world_counts(const fb_script_world *world);
/* Calls `fired` at a time of the world. Cannot be stopped. */
fb_status fb_script_world_at(fb_script_world *world, int64_t at, void (*fired)(void *user),
                             void *user);
/* How long work on other threads takes, ns; without it, no time. */
void fb_script_world_takes(fb_script_world *world, int64_t (*takes)(void *context));
/* Nothing can be started any more. */
void fb_script_world_close(fb_script_world *world);
/* All files. `synced`: it was written or synced, not only left by a program. */
void fb_script_world_each(const fb_script_world *world,
                          void (*each)(void *user, const char *path, fb_slice bytes, bool synced),
                          void *user);
/* A file; NULL when there is none. Replaced by _put. */
const fb_buf *fb_script_world_file(const fb_script_world *world, const char *path);
fb_status fb_script_world_put(fb_script_world *world, const char *path, fb_slice bytes);

#endif
