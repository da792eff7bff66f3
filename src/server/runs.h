/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs of missions within the server. A run that was accepted stands in its folder, STATE/runs/ID: `request` says what is to be run
 * (a line of JSON, and the mission's text), `journal` what was done, and `stopped` that the end of a server ended it. A thread a run
 * works, at most options.max_runs of them; the others wait.
 */
#ifndef FB_SERVER_RUNS_H
#define FB_SERVER_RUNS_H

#include "loop/runs.h"
#include "server/server.h"

typedef enum fb_wish { FB_WISH_NONE, FB_WISH_CANCEL, FB_WISH_STOP } fb_wish;

/* A person's word for a run that goes on; its thread takes it. */
typedef struct fb_saying {
  struct fb_saying *next;
  const char *step;
  fb_value word;
  bool done;
  fb_status status;
  fb_error err;
} fb_saying;

/* A run that waits for its turn, or is at work. */
typedef struct fb_working {
  struct fb_working *next;
  fb_runner *runner;
  char id[64];
  bool going; /* a thread works on it; else it waits */
  _Atomic fb_wish wish;
  fb_saying *sayings; /* under the runner's lock */
  uint8_t
      *status; /* of the steps, as fb_step_status; under the runner's lock; NULL: not known yet */
  uint32_t step_count;
  fb_mission_run *run; /* of its thread */
} fb_working;

/* What stands in `request`. */
typedef struct fb_run_request {
  fb_buf bytes;
  fb_value head;
  fb_slice source;
} fb_run_request;

/* FB_DONE: the server does not know this run's mission; it was started elsewhere. */
fb_status fb_run_request_read(const fb_run_place *place, fb_arena *arena, fb_run_request *ret,
                              fb_error *err);
void fb_run_request_release(fb_run_request *request);
const char *fb_run_request_text(const fb_run_request *request, const char *key);

struct fb_runner {
  fb_server *server;
  const char *folder;     /* NULL: there is none, and no runs */
  pthread_mutex_t starts; /* one at a time, so that a key means one run */
  pthread_mutex_t lock;
  pthread_cond_t changed; /* a thread ended, or a saying was taken */
  fb_working *first, **last;
  uint32_t going, queued;
  bool ends;
};

/* Queues the run and starts a thread for it if there is room. FB_E_SERVER_BUSY, FB_E_NOMEM; FB_E_RUN_STATE: it is at work
 * already. */
fb_status fb_runner_add(fb_runner *runner, const char *id, fb_error *err);
/* Under the lock. NULL: neither queued nor at work. */
fb_working *fb_runner_find(fb_runner *runner, const char *id);
/* Loads the mission of an edition for a run: to be freed by the caller in this order: run, mission, doc, world. */
typedef struct fb_run_parts {
  fb_world *world;
  fb_doc *doc;
  fb_mission *mission;
} fb_run_parts;
fb_status fb_run_parts_load(fb_slice source, const char *file, const char *folder,
                            const char *run_dir, fb_run_parts *ret, fb_errors *errors);
void fb_run_parts_free(fb_run_parts *parts);

#endif
