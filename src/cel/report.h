/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors of one source text, placed in it or in the document that it is part of.
 */
#ifndef FB_CEL_REPORT_H
#define FB_CEL_REPORT_H

#include <flyball/cel.h>

typedef struct fb_cel_report {
  fb_slice source;               /* the whole text; the expression may be a part of it … */
  size_t base;                   /* … that begins here. Offsets of errors are in the expression */
  const fb_cel_options *options; /* may be NULL */
  fb_errors *errors;             /* may be NULL: only counted */
  fb_status first;               /* code of the first error; FB_OK: none */
} fb_cel_report;

/* hint may be NULL. Returns the code. */
fb_status fb_cel_report_add(fb_cel_report *report, fb_status code, size_t offset, size_t length,
                            const char *hint, const char *format, ...) FB_PRINTF(6, 7);

#endif
