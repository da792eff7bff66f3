/* SPDX-License-Identifier: Apache-2.0
 * The parts of timestamps, in UTC or in a time zone, and of durations. */
#include "cel/lib.h"

enum { DAY = 86400, MILLION = 1000000, BILLION = 1000000000 };

/* "[+-]hh:mm"; a missing sign is plus. */
static bool S_fixed_offset(fb_slice zone, int32_t *ret_offset) {
  bool sign = zone.len && (zone.ptr[0] == '+' || zone.ptr[0] == '-'),
       negative = sign && zone.ptr[0] == '-';
  const char *at = zone.ptr + sign;
  if (zone.len - sign != 5 || at[2] != ':') return false;
  for (int i = 0; i < 5; i++)
    if (i != 2 && (at[i] < '0' || at[i] > '9')) return false;
  int hours = (at[0] - '0') * 10 + at[1] - '0', minutes = (at[3] - '0') * 10 + at[4] - '0';
  *ret_offset = (hours * 3600 + minutes * 60) * (negative ? -1 : 1);
  return hours < 24 && minutes < 60;
}

/* A timestamp as the clocks of a zone show it. */
typedef struct S_clock {
  int64_t days;   /* since 1970-01-01 */
  int64_t second; /* of the day */
} S_clock;

static bool S_read_clock(fb_cel_context *context, const fb_value *args, uint32_t count,
                         S_clock *ret_clock, fb_value *ret_failure) {
  int64_t seconds = args[0].as.i;
  int32_t offset = 0;
  fb_slice zone = count > 1 ? fb_value_text(args[1]) : FB_SLICE("UTC");
  if (!fb_slice_equal(zone, FB_SLICE("UTC")) && zone.len && !S_fixed_offset(zone, &offset) &&
      (!context->zone || !fb_cel_spend(context, 64) ||
       !context->zone(context->zone_context, zone, seconds, &offset))) {
    *ret_failure = fb_cel_fail(context, FB_E_CEL_VALUE, "unknown time zone '%.*s'",
                               zone.len < 64 ? (int)zone.len : 64, zone.ptr);
    return false;
  }
  seconds += offset;
  ret_clock->days = (seconds >= 0 ? seconds : seconds - (DAY - 1)) / DAY;
  ret_clock->second = seconds - ret_clock->days * DAY;
  return true;
}

typedef struct S_date {
  int64_t year;
  unsigned month, day;
} S_date;

/* In functions: reads the clock or returns the failure. */
#define READ_CLOCK(clock) \
  S_clock clock;          \
  fb_value failure;       \
  if (!S_read_clock(context, args, count, &clock, &failure)) return failure
#define READ_DATE(clock, date) \
  READ_CLOCK(clock);           \
  S_date date;                 \
  fb_civil_from_days(clock.days, &date.year, &date.month, &date.day)

FB_LIB_FUNCTION(fb_lib_get_full_year) {
  READ_DATE(clock, date);
  return fb_int(date.year);
}

FB_LIB_FUNCTION(fb_lib_get_month) { /* from 0 */
  READ_DATE(clock, date);
  return fb_int((int64_t)date.month - 1);
}

FB_LIB_FUNCTION(fb_lib_get_date) { /* from 1 */
  READ_DATE(clock, date);
  return fb_int(date.day);
}

FB_LIB_FUNCTION(fb_lib_get_day_of_month) { /* from 0 */
  READ_DATE(clock, date);
  return fb_int((int64_t)date.day - 1);
}

FB_LIB_FUNCTION(fb_lib_get_day_of_week) { /* from Sunday = 0; 1970-01-01 was a Thursday */
  READ_CLOCK(clock);
  return fb_int(((clock.days + 4) % 7 + 7) % 7);
}

FB_LIB_FUNCTION(fb_lib_get_day_of_year) { /* from 0 */
  READ_DATE(clock, date);
  return fb_int(clock.days - fb_days_from_civil(date.year, 1, 1));
}

FB_LIB_FUNCTION(fb_lib_get_hours) {
  READ_CLOCK(clock);
  return fb_int(clock.second / 3600);
}

FB_LIB_FUNCTION(fb_lib_get_minutes) {
  READ_CLOCK(clock);
  return fb_int(clock.second / 60 % 60);
}

FB_LIB_FUNCTION(fb_lib_get_seconds) {
  READ_CLOCK(clock);
  return fb_int(clock.second % 60);
}

FB_LIB_FUNCTION(fb_lib_get_milliseconds) {
  READ_CLOCK(clock);
  return fb_int(args[0].len / MILLION);
}

/* Whole seconds, cut off toward zero. */
static int64_t S_seconds(fb_value duration) {
  return duration.as.i < 0 && duration.len ? duration.as.i + 1 : duration.as.i;
}

FB_LIB_FUNCTION(fb_lib_duration_hours) {
  return fb_int(S_seconds(args[0]) / 3600);
}

FB_LIB_FUNCTION(fb_lib_duration_minutes) {
  return fb_int(S_seconds(args[0]) / 60);
}

FB_LIB_FUNCTION(fb_lib_duration_seconds) {
  return fb_int(S_seconds(args[0]));
}

/* Of the second that has begun, not of the whole duration: so the specification's tests have it. */
FB_LIB_FUNCTION(fb_lib_duration_milliseconds) {
  int64_t nanos =
      args[0].as.i < 0 && args[0].len ? (int64_t)args[0].len - BILLION : (int64_t)args[0].len;
  return fb_int(nanos / MILLION);
}
