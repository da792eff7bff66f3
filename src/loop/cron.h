/* SPDX-License-Identifier: Apache-2.0
 *
 * When schedules come due. Times are seconds since 1970; the clock of a zone comes from a function, so that nothing here knows
 * what time it is.
 */
#ifndef FB_LOOP_CRON_H
#define FB_LOOP_CRON_H

#include <flyball/cel.h>

typedef struct fb_cron {
  uint64_t minutes; /* bit m: at minute m */
  uint32_t hours;   /* bit h */
  uint32_t days;    /* bit d, 1 to 31 */
  uint16_t months;  /* bit m, 1 to 12 */
  uint8_t weekdays; /* bit d, 0 is Sunday */
  bool any_day,
      any_weekday; /* `*`: then only the other counts; if neither is, either day will do */
  /* The hour is `*` or `*` with a step: then it means every so often, not a time of day. Where clocks are put forward such times are
   * left out, and where they are put back they come twice; a time of day comes once in both cases. */
  bool often;
} fb_cron;

/* Five fields, or @hourly and its like. FB_E_CRON; *ret_offset (nullable) is where in the text it is. */
fb_status fb_cron_parse(fb_slice text, fb_cron *ret_cron, size_t *ret_offset, fb_error *err);

/* A zone: its name and who knows its offsets. zone NULL: UTC. */
typedef struct fb_cron_zone {
  fb_slice name;
  fb_cel_zone *zone;
  void *context;
} fb_cron_zone;

/* The first time after `after`; INT64_MAX: none in the next 12 years. */
int64_t fb_cron_next(const fb_cron *cron, const fb_cron_zone *zone, int64_t after);

/* What becomes of times that passed while nobody looked. */
typedef enum fb_missed {
  FB_MISSED_ONCE, /* they count as one, now */
  FB_MISSED_SKIP,
  FB_MISSED_ALL /* each, the oldest first */
} fb_missed;
bool fb_missed_parse(fb_slice name, fb_missed *ret_missed);

/* A time is missed once it is this late. */
enum { FB_CRON_LATE = 60 };

/* The times in (last, now] that are to be acted upon, at most `max` (the latest of them) into `times`; *ret_missed counts those that
 * were passed over. */
size_t fb_cron_due(const fb_cron *cron, const fb_cron_zone *zone, fb_missed missed, int64_t last,
                   int64_t now, int64_t *times, size_t max, uint64_t *ret_passed);

#endif
