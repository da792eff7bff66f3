/* SPDX-License-Identifier: Apache-2.0
 * What the metrics of the wings share: families out of a table. */
#ifndef FB_LOOP_WATCH_H
#define FB_LOOP_WATCH_H

#include <flyball/loop.h>

/* One family; its handle is written to where `into` says, from the start of the view. A family has the labels `label`
 * (NULL: none) and `second` (NULL: none), with the values that fb_watch_all is given and `value`. */
typedef struct fb_watch_def {
  fb_metric_kind kind;
  const char *name, *help, *unit;
  const char *label, *second, *value;
  size_t into; /* offset of a fb_counter *, fb_gauge * or fb_histogram * */
} fb_watch_def;

/* Defines all and resolves their series, the first label's value being `name`. */
fb_status fb_watch_all(fb_metrics *metrics, const fb_watch_def *defs, size_t count, fb_slice name,
                       void *view, fb_error *err);
static inline void fb_watch_delta(fb_counter *counter, uint64_t now, uint64_t before) {
  if (now > before) fb_counter_add(counter, now - before);
}

#endif
