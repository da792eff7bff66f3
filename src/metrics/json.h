/* SPDX-License-Identifier: Apache-2.0
 * What the two JSON writers share. */
#ifndef FB_METRICS_JSON_H
#define FB_METRICS_JSON_H

#include "metrics/internal.h"

/* In quotes, escaped; the text is UTF-8. */
void fb_metrics_json_text(fb_buf *out, fb_slice text);
/* Not finite: the texts "NaN", "Infinity", "-Infinity", as protocol buffers have it. */
void fb_metrics_json_double(fb_buf *out, double number);
void fb_metrics_json_u64(fb_buf *out, uint64_t number);
/* ,"key": */
void fb_metrics_json_key(fb_buf *out, const char *key);

#endif
