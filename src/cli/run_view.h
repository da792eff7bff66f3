/* SPDX-License-Identifier: Apache-2.0
 *
 * How a run shows itself while it goes on: in place on a terminal, as lines elsewhere, as events with --json;
 * and the table at its end.
 */
#ifndef FB_CLI_RUN_VIEW_H
#define FB_CLI_RUN_VIEW_H

#include "cli/cli.h"

#include <flyball/mission.h>

typedef struct fb_run_view {
  fb_cli *cli;
  const fb_mission *mission;
  const fb_mission_run *run; /* set once there is one */
  const char *id;            /* of the run */
  const char *run_dir;
  bool quiet;
  uint32_t running, final, failed; /* steps */
  uint32_t rows;                   /* on the terminal now, to be drawn over */
  int64_t started;                 /* mono */
} fb_run_view;

/* For fb_mission_run_options; the context is the view. */
void fb_run_view_event(void *context, const fb_mission_event *event);
/* Draws the terminal anew. */
void fb_run_view_tick(void *context);
/* The table, then every failure with its place. */
void fb_run_view_summary(fb_run_view *view);
/* What a run waits for that ended so, and what to do about it. */
void fb_run_view_waiting(fb_run_view *view);

#endif
