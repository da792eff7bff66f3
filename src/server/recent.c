/* SPDX-License-Identifier: Apache-2.0
 * Rulebooks that come within requests: whoever sends the same one again finds it compiled. */
#include "server/server.h"

#include <stdlib.h>

enum { KEPT = 64 };

struct fb_recent {
  pthread_mutex_t lock;
  uint64_t now; /* counts uses */
  struct {
    fb_edition *version; /* NULL: free */
    uint64_t used;
  } items[KEPT];
};

fb_status fb_recent_new(fb_recent **ret_recent) {
  fb_recent *recent = calloc(1, sizeof *recent);
  if (!recent) return FB_E_NOMEM;
  pthread_mutex_init(&recent->lock, NULL);
  *ret_recent = recent;
  return FB_OK;
}

void fb_recent_free(fb_recent *recent) {
  if (!recent) return;
  for (size_t i = 0; i < KEPT; i++) fb_edition_drop(recent->items[i].version);
  pthread_mutex_destroy(&recent->lock);
  free(recent);
}

static fb_edition *S_find(fb_recent *recent, fb_slice text) {
  for (size_t i = 0; i < KEPT; i++) {
    fb_edition *version = recent->items[i].version;
    if (!version || !fb_slice_equal((fb_slice){version->text, version->length}, text)) continue;
    recent->items[i].used = ++recent->now;
    fb_edition_hold(version);
    return version;
  }
  return NULL;
}

/* In the place of the one that was used longest ago. */
static void S_keep(fb_recent *recent, fb_edition *version) {
  size_t oldest = 0;
  for (size_t i = 1; i < KEPT; i++)
    if (recent->items[i].used < recent->items[oldest].used) oldest = i;
  fb_edition_drop(recent->items[oldest].version);
  recent->items[oldest].version = version;
  recent->items[oldest].used = ++recent->now;
  fb_edition_hold(version);
}

fb_status fb_recent_get(fb_recent *recent, fb_slice text, const char *file,
                        fb_edition **ret_version, fb_errors *errors) {
  pthread_mutex_lock(&recent->lock);
  fb_edition *version = S_find(recent, text);
  pthread_mutex_unlock(&recent->lock);
  if (!version) {
    fb_status status = fb_edition_new(text, file, NULL, FB_SHELF_RULESETS, &version, errors);
    if (status != FB_OK) return status;
    pthread_mutex_lock(&recent->lock);
    S_keep(recent, version);
    pthread_mutex_unlock(&recent->lock);
  }
  *ret_version = version;
  return FB_OK;
}
