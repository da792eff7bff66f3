/* SPDX-License-Identifier: Apache-2.0
 * What the files about results share. */
#ifndef FB_PROOF_RESULTS_H
#define FB_PROOF_RESULTS_H

#include "proof/stats.h"

#include <stdio.h>

/* Replaces the slice by a copy in the arena, with a NUL after it. False: no memory. */
bool fb_slice_keep(fb_arena *arena, fb_slice *text);

#endif
