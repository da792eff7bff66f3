/* SPDX-License-Identifier: Apache-2.0
 * A run on the command line: what run, resume, retry and approve share. */
#ifndef FB_RUN_JOB_H
#define FB_RUN_JOB_H

#include "cli/metrics_out.h"
#include "cli/run_store.h"
#include "cli/run_view.h"

#include <flyball/loop.h>

typedef struct fb_run_job {
  fb_cli *cli;
  const char *path; /* of the mission; "-": stdin */
  fb_arena arena;
  fb_run_place place;  /* id; the paths only with a journal */
  const char *run_dir; /* what programs write goes there */
  fb_buf text;         /* the mission's */
  fb_doc *doc;
  fb_world *world;
  fb_mission *mission;
  fb_mission_run *run;
  fb_zones *zones;
  fb_map *inputs;
  fb_lease *lease;
  fb_lease *group; /* its place in the mission's group */
  fb_journal *journal;
  fb_past *past; /* of a run that goes on */
  fb_run_view view;
  fb_metrics *metrics; /* of --metrics; NULL: not asked for */
  fb_mission_metrics *counts;
  bool dry;    /* nothing will be run */
  FILE *facts; /* of --facts; NULL: not asked for */
  int caught;  /* signal; 0: none */
} fb_run_job;

/* False: no memory (an error was printed). */
bool fb_run_job_init(fb_run_job *job, fb_cli *cli);
/* Writes what was counted and frees all; returns `code`, or what went wrong now. */
int fb_run_job_end(fb_run_job *job, int code);
/* Reads the mission's text, if it is not there yet, and compiles it. All return an fb_exit. */
int fb_run_job_load(fb_run_job *job);
/* Makes the run; with a journal it takes in what that has. */
int fb_run_job_new(fb_run_job *job);
/* Runs it to its end, shows that, and returns how it went. */
int fb_run_job_execute(fb_run_job *job);

/* Takes the run named (lease, journal, past), and goes into the folder that it was started in. */
int fb_run_job_reopen(fb_run_job *job, const char *name);
/* The same of a run that a process works on, for reading only; *ret_live: false, and nothing but its place, if none does. */
int fb_run_job_look(fb_run_job *job, const char *name, bool *ret_live);
/* Goes on with a run that was reopened. */
int fb_run_job_go_on(fb_run_job *job);

/* What every command that runs steps takes. */
#define FB_RUN_OPTION_PARALLEL                                                 \
  {                                                                            \
    .letter = 'p', .name = "parallel", .kind = FB_OPTION_NUMBER, .value = "N", \
    .help = "Run at most N steps at once, whatever the mission says"           \
  }
#define FB_RUN_OPTION_QUIET \
  { .letter = 'q', .name = "quiet", .help = "Show failures only" }
#define FB_RUN_OPTION_FRESH                                          \
  {                                                                  \
    .name = "fresh", .help =                                         \
                         "Take no result of a step from the cache; " \
                         "what steps give replaces what is there"    \
  }
#define FB_RUN_OPTION_FACTS                                                \
  {                                                                        \
    .name = "facts", .kind = FB_OPTION_FILE, .value = "FILE",              \
    .help = "Write the facts that steps emit to FILE, a line of JSON each" \
  }
#define FB_RUN_OPTION_MISSION                                                            \
  {                                                                                      \
    .letter = 'm', .name = "mission", .kind = FB_OPTION_FILE, .value = "FILE",           \
    .help = "Take the mission from there instead of from where the run was started with" \
  }
#define FB_RUN_OPTION_SIGN                                                                 \
  {                                                                                        \
    .name = "sign-key", .kind = FB_OPTION_FILE, .value = "FILE",                           \
    .help = "Sign the head of the journal with this key (see `flyball audit`) at the end", \
    .env = "FLYBALL_SIGN_KEY"                                                              \
  }

#endif
