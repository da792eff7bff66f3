/* SPDX-License-Identifier: Apache-2.0
 * What the files about results share. */
#ifndef FB_PROOF_RESULTS_H
#define FB_PROOF_RESULTS_H

#include "proof/stats.h"

#include <stdio.h>

/* Replaces the slice by a copy in the arena, with a NUL after it. False: no memory. */
bool fb_slice_keep(fb_arena *arena, fb_slice *text);

/* What the readers of budgets and suites share: where mistakes are told, and where texts are kept. */
typedef struct fb_proof_loader {
  const fb_doc *doc;
  fb_errors *errors;
  fb_arena *arena;
  fb_status code; /* of mistakes */
  bool failed;    /* a mistake was told, or there was no memory */
} fb_proof_loader;

void fb_load_bad(fb_proof_loader *loader, const fb_node *node, const char *hint, const char *text);
/* A copy of a text; nothing for NULL. */
void fb_load_text(fb_proof_loader *loader, const fb_node *node, fb_slice *into);
/* "30ms", "1000/s", 5. False for NULL, and for what is none (told). */
bool fb_load_bound(fb_proof_loader *loader, const fb_node *node, double *ret, fb_slice *unit);
/* NULL: major. */
fb_severity fb_load_severity(fb_proof_loader *loader, const fb_node *node);

#endif
