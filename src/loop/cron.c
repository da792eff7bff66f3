/* SPDX-License-Identifier: Apache-2.0
 * Cron expressions: five fields, and when they come next in a zone whose clocks are put forward and back. */
#include "loop/cron.h"

enum { DAY = 86400, HOUR = 3600, DAYS_AHEAD = 12 * 366, MOST_WORD = 12 };

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_field {
  const char *name;
  uint32_t least, most;
  const char *words; /* three letters each, from `least` on; NULL: none */
} S_field;

static const S_field S_fields[] = {{"minute", 0, 59, NULL},
                                   {"hour", 0, 23, NULL},
                                   {"day of the month", 1, 31, NULL},
                                   {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
                                   {"day of the week", 0, 7, "sunmontuewedthufrisat"}};

typedef struct S_reader {
  fb_slice text;
  size_t at;
  fb_error *err;
} S_reader;

static char S_peek(const S_reader *reader) {
  return reader->at < reader->text.len ? reader->text.ptr[reader->at] : 0;
}

static fb_status S_bad(S_reader *reader, const S_field *field, const char *what) {
  fb_fail(reader->err, FB_E_CRON, "%s in the field of the %s", what, field->name);
  fb_error_hint(reader->err, "from %u to %u stands there, as in 5, 1-5, 1,3 or */2", field->least,
                field->most);
  return FB_E_CRON;
}

static char S_lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool S_word(S_reader *reader, const S_field *field, uint32_t *ret_number) {
  const char *at = reader->text.ptr + reader->at;
  size_t left = reader->text.len - reader->at;
  for (uint32_t i = 0; field->words && left >= 3 && field->words[3 * i]; i++) {
    const char *word = field->words + 3 * (size_t)i;
    if (S_lower(at[0]) != word[0] || S_lower(at[1]) != word[1] || S_lower(at[2]) != word[2])
      continue;
    reader->at += 3;
    *ret_number = field->least + i;
    return true;
  }
  return false;
}

static fb_status S_number(S_reader *reader, const S_field *field, uint32_t *ret_number) {
  size_t start = reader->at;
  uint32_t number = 0;
  if (S_word(reader, field, ret_number)) return FB_OK;
  for (char c; (c = S_peek(reader)) >= '0' && c <= '9' && reader->at - start < 4; reader->at++)
    number = number * 10 + (uint32_t)(c - '0');
  if (reader->at == start) return S_bad(reader, field, "something that is no number");
  if (number < field->least || number > field->most) {
    reader->at = start;
    return S_bad(reader, field, "a number out of its bounds");
  }
  *ret_number = number;
  return FB_OK;
}

/* A star, "3", "1-5"; each with or without a step, as in "1-5/2". */
static fb_status S_item(S_reader *reader, const S_field *field, uint64_t *bits, bool *ret_star) {
  uint32_t from = field->least, to = field->most, step = 1;
  bool star = S_peek(reader) == '*', open = star;
  fb_status status = FB_OK;
  if (star) {
    reader->at++;
  } else {
    status = S_number(reader, field, &from);
    to = from;
    if (!status && S_peek(reader) == '-') {
      reader->at++;
      status = S_number(reader, field, &to);
      open = true;
    }
  }
  if (!status && to < from) status = S_bad(reader, field, "a range that ends before it begins");
  if (!status && S_peek(reader) == '/') {
    S_field steps = {field->name, 1, field->most, NULL};
    reader->at++;
    status = S_number(reader, &steps, &step);
    if (!open) to = field->most; /* "5/15": from 5 on */
  }
  for (uint32_t n = from; !status && n <= to; n += step) *bits |= UINT64_C(1) << n;
  *ret_star |= star;
  return status;
}

static fb_status S_read_field(S_reader *reader, const S_field *field, uint64_t *ret_bits,
                              bool *ret_star) {
  *ret_bits = 0;
  *ret_star = false;
  for (;;) {
    fb_status status = S_item(reader, field, ret_bits, ret_star);
    if (status) return status;
    if (S_peek(reader) != ',') break;
    reader->at++;
  }
  char c = S_peek(reader);
  return c == 0 || c == ' ' || c == '\t' ? FB_OK : S_bad(reader, field, "something unexpected");
}

static void S_skip(S_reader *reader) {
  while (S_peek(reader) == ' ' || S_peek(reader) == '\t') reader->at++;
}

static fb_slice S_expand(fb_slice text) {
  static const char *const names[][2] = {{"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},
                                         {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
                                         {"@monthly", "0 0 1 * *"},  {"@yearly", "0 0 1 1 *"},
                                         {"@annually", "0 0 1 1 *"}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (fb_slice_equal(text, fb_slice_of(names[i][0]))) return fb_slice_of(names[i][1]);
  return text;
}

/* Does any month that counts have one of the days? */
static bool S_comes(const fb_cron *cron) {
  static const uint8_t lengths[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (!cron->any_weekday || cron->any_day) return true;
  for (uint32_t month = 1; month <= 12; month++)
    if (cron->months >> month & 1 && cron->days & ((UINT64_C(1) << (lengths[month] + 1)) - 1))
      return true;
  return false;
}

static fb_status S_read(S_reader *reader, fb_cron *cron) {
  uint64_t bits[5];
  bool stars[5];
  for (size_t i = 0; i < 5; i++) {
    S_skip(reader);
    if (!S_peek(reader)) {
      fb_fail(reader->err, FB_E_CRON, "the field of the %s is missing", S_fields[i].name);
      fb_error_hint(reader->err, "minute, hour, day, month, weekday: 30 4 * * * is 4:30 each day");
      return FB_E_CRON;
    }
    fb_status status = S_read_field(reader, &S_fields[i], &bits[i], &stars[i]);
    if (status) return status;
  }
  S_skip(reader);
  if (S_peek(reader)) return fb_fail(reader->err, FB_E_CRON, "there are more than five fields");
  *cron = (fb_cron){.minutes = bits[0],
                    .hours = (uint32_t)bits[1],
                    .days = (uint32_t)bits[2],
                    .months = (uint16_t)bits[3],
                    .weekdays = (uint8_t)(bits[4] | bits[4] >> 7),
                    .any_day = stars[2],
                    .any_weekday = stars[4],
                    .often = stars[1]};
  cron->weekdays &= 0x7f;
  return FB_OK;
}

fb_status fb_cron_parse(fb_slice text, fb_cron *ret_cron, size_t *ret_offset, fb_error *err) {
  S_reader reader = {.text = S_expand(text), .err = err};
  bool own = reader.text.ptr == text.ptr;
  fb_cron cron;
  fb_status status;
  if (own && text.len && text.ptr[0] == '@') {
    status = fb_fail(err, FB_E_CRON, "there is no schedule of this name");
    fb_error_hint(err, "@hourly, @daily, @weekly, @monthly, @yearly");
  } else {
    status = S_read(&reader, &cron);
  }
  if (!status && !S_comes(&cron)) {
    reader.at = 0;
    status = fb_fail(err, FB_E_CRON, "none of its months has such a day");
  }
  if (ret_offset) *ret_offset = status && own ? reader.at : 0;
  if (!status) *ret_cron = cron;
  return status;
}

/* ── The next time ───────────────────────────────────────────────────────────────────────────── */

static int64_t S_offset(const fb_cron_zone *zone, int64_t at) {
  int32_t offset = 0;
  if (!zone || !zone->zone || !zone->zone(zone->context, zone->name, at, &offset)) return 0;
  return offset;
}

static bool S_is_day(const fb_cron *cron, int64_t days) {
  int64_t year;
  unsigned month, day;
  fb_civil_from_days(days, &year, &month, &day);
  if (!(cron->months >> month & 1)) return false;
  unsigned weekday = (unsigned)(((days + 4) % 7 + 7) % 7);
  bool fits = cron->days >> day & 1, fits_week = cron->weekdays >> weekday & 1;
  /* A star with a step has days of its own: then both fields count, as cron has it. */
  if (cron->any_day || cron->any_weekday) return fits && fits_week;
  return fits || fits_week;
}

/* Where the clocks are put forward, between two times whose offsets differ. */
static int64_t S_transition(const fb_cron_zone *zone, int64_t low, int64_t high) {
  int64_t before = S_offset(zone, low);
  while (high - low > 1) {
    int64_t middle = low + (high - low) / 2;
    if (S_offset(zone, middle) == before)
      low = middle;
    else
      high = middle;
  }
  return high;
}

/* The instants at which the clocks show `local` and that are after `after`, the earliest of them; INT64_MAX: none. */
static int64_t S_instant(const fb_cron *cron, const fb_cron_zone *zone, int64_t local,
                         int64_t after) {
  int64_t before = S_offset(zone, local - DAY), behind = S_offset(zone, local + DAY);
  int64_t first = local - before, second = local - behind;
  bool has_first = S_offset(zone, first) == before, has_second = S_offset(zone, second) == behind;
  if (!has_first && !has_second) {
    if (cron->often) return INT64_MAX;
    int64_t at = S_transition(zone, local - before - DAY, local - behind + DAY);
    return at > after ? at : INT64_MAX;
  }
  if (!has_first) first = second;
  if (!has_second) second = first;
  if (second < first) {
    int64_t swap = first;
    first = second;
    second = swap;
  }
  if (first > after) return first;
  return cron->often && second > after ? second : INT64_MAX;
}

/* The earliest of a day's times after `after`. `from`: no local time before it need be looked at. */
static int64_t S_in_day(const fb_cron *cron, const fb_cron_zone *zone, int64_t days, int64_t from,
                        int64_t after) {
  int64_t best = INT64_MAX;
  for (int64_t hour = 0; hour < 24; hour++) {
    if (!(cron->hours >> hour & 1)) continue;
    int64_t start = days * DAY + hour * HOUR;
    if (start + HOUR <= from) continue;
    if (best != INT64_MAX && start > best + S_offset(zone, best) + 3 * HOUR) return best;
    for (int64_t minute = 0; minute < 60; minute++) {
      if (!(cron->minutes >> minute & 1)) continue;
      int64_t at = S_instant(cron, zone, start + minute * 60, after);
      if (at < best) best = at;
      if (at != INT64_MAX && !cron->often) break; /* later minutes of the hour come later */
    }
  }
  return best;
}

int64_t fb_cron_next(const fb_cron *cron, const fb_cron_zone *zone, int64_t after) {
  int64_t local = after + S_offset(zone, after), from = local - 3 * HOUR;
  int64_t day = from >= 0 ? from / DAY : -((-from + DAY - 1) / DAY);
  for (int64_t end = day + DAYS_AHEAD; day < end; day++) {
    if (!S_is_day(cron, day)) continue;
    int64_t at = S_in_day(cron, zone, day, from, after);
    if (at != INT64_MAX) return at;
  }
  return INT64_MAX;
}

/* ── What was missed ─────────────────────────────────────────────────────────────────────────── */

bool fb_missed_parse(fb_slice name, fb_missed *ret_missed) {
  static const char *const names[] = {"once", "skip", "all"};
  for (size_t i = 0; i < 3; i++) {
    if (!fb_slice_equal(name, fb_slice_of(names[i]))) continue;
    *ret_missed = (fb_missed)i;
    return true;
  }
  return false;
}

size_t fb_cron_due(const fb_cron *cron, const fb_cron_zone *zone, fb_missed missed, int64_t last,
                   int64_t now, int64_t *times, size_t max, uint64_t *ret_passed) {
  enum { MOST_LOOKED_AT = 100000 };
  size_t count = 0;
  uint64_t passed = 0;
  for (int i = 0; i < MOST_LOOKED_AT && max; i++) {
    int64_t at = fb_cron_next(cron, zone, last);
    if (at > now) break;
    last = at;
    if (missed == FB_MISSED_SKIP && now - at >= FB_CRON_LATE) {
      passed++;
      continue;
    }
    size_t room = missed == FB_MISSED_ONCE ? 1 : max;
    if (count == room) {
      memmove(times, times + 1, (count - 1) * sizeof *times);
      count--;
      passed++;
    }
    times[count++] = at;
  }
  *ret_passed = passed;
  return count;
}
