/* SPDX-License-Identifier: Apache-2.0
 * A decision for a run that another process works on: a file in the run's folder, which that process takes. */
#ifndef FB_RUN_WORD_H
#define FB_RUN_WORD_H

#include "cli/run_job.h"

/* Hands the word over and waits until it was taken; *ret_taken: false if the process ended first. An fb_exit. */
int fb_run_word_give(fb_run_job *job, const fb_run_word *word, bool *ret_taken);
/* Takes what others have handed over; `context` is the job. For a tick of its world. */
void fb_run_word_take(void *context);

#endif
