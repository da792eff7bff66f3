/* SPDX-License-Identifier: Apache-2.0
 * Clock, random numbers, calendar, and time as text. Calendar algorithms: Howard Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms". Generator: Blackman and Vigna, xoshiro256**. */
#include <flyball/base.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define NANOS INT64_C(1000000000)

static int64_t S_read_clock(clockid_t id) {
  struct timespec now;
  clock_gettime(id, &now);
  return (int64_t)now.tv_sec * NANOS + now.tv_nsec;
}
static int64_t S_wall(void *context) {
  (void)context;
  return S_read_clock(CLOCK_REALTIME);
}
static int64_t S_mono(void *context) {
  (void)context;
  return S_read_clock(CLOCK_MONOTONIC);
}

const fb_clock *fb_clock_system(void) {
  static const fb_clock system = {S_wall, S_mono, NULL};
  return &system;
}

void fb_random_seed(fb_random *random, uint64_t seed) {
  for (int i = 0; i < 4; i++) {
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    random->state[i] = z ^ (z >> 31);
  }
}

static uint64_t S_rotate(uint64_t x, int by) {
  return x << by | x >> (64 - by);
}

uint64_t fb_random_u64(fb_random *random) {
  uint64_t *s = random->state, result = S_rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = S_rotate(s[3], 45);
  return result;
}

uint64_t fb_random_below(fb_random *random, uint64_t bound) {
  uint64_t threshold = (0 - bound) % bound, x;
  do x = fb_random_u64(random);
  while (x < threshold);
  return x % bound;
}

double fb_random_unit(fb_random *random) {
  return (double)(fb_random_u64(random) >> 11) * 0x1p-53;
}

void fb_random_shuffle(fb_random *random, double *values, size_t count) {
  for (size_t left = count; left > 1; left--) {
    size_t other = fb_random_below(random, left);
    double held = values[left - 1];
    values[left - 1] = values[other];
    values[other] = held;
  }
}

uint64_t fb_random_seed_system(void) {
  uint64_t seed;
  if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
    seed = (uint64_t)S_mono(NULL) ^ (uint64_t)(uintptr_t)&seed;
  return seed;
}

int64_t fb_days_from_civil(int64_t year, unsigned month, unsigned day) {
  year -= month <= 2;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  unsigned yoe = (unsigned)(year - era * 400);
  unsigned doy = (153 * (month + (month > 2 ? -3u : 9u)) + 2) / 5 + day - 1;
  unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + (int64_t)doe - 719468;
}

void fb_civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day) {
  days += 719468;
  int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  unsigned doe = (unsigned)(days - era * 146097);
  unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  unsigned mp = (5 * doy + 2) / 153;
  unsigned month = mp < 10 ? mp + 3 : mp - 9;
  *ret_day = doy - (153 * mp + 2) / 5 + 1;
  *ret_month = month;
  *ret_year = (int64_t)yoe + era * 400 + (month <= 2);
}

/* Decimals of a second: none, or 3, 6 or 9 digits, whichever loses nothing. */
static int S_format_fraction(uint32_t nanos, char *out, size_t size) {
  if (nanos == 0) return 0;
  if (nanos % 1000000 == 0) return snprintf(out, size, ".%03u", nanos / 1000000);
  if (nanos % 1000 == 0) return snprintf(out, size, ".%06u", nanos / 1000);
  return snprintf(out, size, ".%09u", nanos);
}

size_t fb_time_format(int64_t seconds, uint32_t nanos, char out[FB_TIME_TEXT_MAX]) {
  int64_t days = seconds / 86400, rest = seconds % 86400, year;
  if (rest < 0) {
    rest += 86400;
    days--;
  }
  unsigned month, day;
  fb_civil_from_days(days, &year, &month, &day);
  int len = snprintf(out, FB_TIME_TEXT_MAX, "%04d-%02u-%02uT%02d:%02d:%02d", (int)year, month, day,
                     (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
  len += S_format_fraction(nanos, out + len, FB_TIME_TEXT_MAX - (size_t)len);
  out[len++] = 'Z';
  out[len] = 0;
  return (size_t)len;
}

/* Reads exactly `count` digits at *at and moves past them; -1 if they are not there. */
static int S_digits(fb_slice text, size_t *at, int count) {
  int number = 0;
  for (int i = 0; i < count; i++, (*at)++) {
    if (*at >= text.len || text.ptr[*at] < '0' || text.ptr[*at] > '9') return -1;
    number = number * 10 + (text.ptr[*at] - '0');
  }
  return number;
}

static bool S_char(fb_slice text, size_t *at, const char *any_of) {
  if (*at >= text.len || !strchr(any_of, text.ptr[*at]) || !text.ptr[*at]) return false;
  (*at)++;
  return true;
}

static bool S_parse_fraction(fb_slice text, size_t *at, uint32_t *ret_nanos) {
  uint32_t nanos = 0, scale = 100000000;
  size_t start = *at;
  for (; *at < text.len && text.ptr[*at] >= '0' && text.ptr[*at] <= '9'; (*at)++, scale /= 10)
    nanos += (uint32_t)(text.ptr[*at] - '0') * scale;
  *ret_nanos = nanos;
  return *at > start && *at - start <= 9;
}

static bool S_parse_offset(fb_slice text, size_t *at, int *ret_seconds) {
  if (S_char(text, at, "Zz")) {
    *ret_seconds = 0;
    return true;
  }
  int sign = S_char(text, at, "+") ? 1 : S_char(text, at, "-") ? -1 : 0;
  int hours = S_digits(text, at, 2);
  bool colon = S_char(text, at, ":");
  int minutes = S_digits(text, at, 2);
  *ret_seconds = sign * (hours * 3600 + minutes * 60);
  return sign && colon && hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

bool fb_time_parse(fb_slice text, int64_t *ret_seconds, uint32_t *ret_nanos) {
  static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  size_t at = 0;
  int year = S_digits(text, &at, 4);
  if (year < 0 || !S_char(text, &at, "-")) return false;
  int month = S_digits(text, &at, 2);
  if (month < 1 || month > 12 || !S_char(text, &at, "-")) return false;
  int day = S_digits(text, &at, 2);
  bool leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  if (day < 1 || day > month_days[month - 1] + leap || !S_char(text, &at, "Tt")) return false;
  int hour = S_digits(text, &at, 2);
  if (hour < 0 || hour > 23 || !S_char(text, &at, ":")) return false;
  int minute = S_digits(text, &at, 2);
  if (minute < 0 || minute > 59 || !S_char(text, &at, ":")) return false;
  int second = S_digits(text, &at, 2), offset;
  uint32_t nanos = 0;
  if (second < 0 || second > 59) return false;
  if (S_char(text, &at, ".") && !S_parse_fraction(text, &at, &nanos)) return false;
  if (!S_parse_offset(text, &at, &offset) || at != text.len) return false;
  int64_t seconds = fb_days_from_civil(year, (unsigned)month, (unsigned)day) * 86400 + hour * 3600 +
                    minute * 60 + second - offset;
  if (seconds < INT64_C(-62135596800) || seconds > INT64_C(253402300799)) return false;
  *ret_seconds = seconds;
  *ret_nanos = nanos;
  return true;
}

/* The unit at text[*at], in nanoseconds; moves past it. 0 if there is none. */
static int64_t S_duration_unit(fb_slice text, size_t *at) {
  static const struct {
    const char *name;
    int64_t nanos;
  } units[] = {{"ns", 1},       {"us", 1000}, {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
               {"ms", 1000000}, {"s", NANOS}, {"m", 60 * NANOS},   {"h", 3600 * NANOS}};
  fb_slice rest = {text.ptr + *at, text.len - *at};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (fb_slice_starts(rest, fb_slice_of(units[i].name))) {
      *at += strlen(units[i].name);
      return units[i].nanos;
    }
  return 0;
}

/* One "1.5h": whole and fraction, as nanoseconds in 128 bits so that nothing wraps. */
static bool S_duration_part(fb_slice text, size_t *at, __int128 *ret_nanos) {
  __int128 whole = 0, fraction = 0, scale = 1;
  size_t digits = 0;
  for (; *at < text.len && text.ptr[*at] >= '0' && text.ptr[*at] <= '9'; (*at)++, digits++) {
    whole = whole * 10 + (text.ptr[*at] - '0');
    if (whole > INT64_MAX) return false;
  }
  if (S_char(text, at, "."))
    for (; *at < text.len && text.ptr[*at] >= '0' && text.ptr[*at] <= '9'; (*at)++, digits++)
      if (scale < (__int128)1000000000000000LL) {
        fraction = fraction * 10 + (text.ptr[*at] - '0');
        scale *= 10;
      }
  if (digits == 0) return false;
  int64_t unit = S_duration_unit(text, at);
  if (!unit) return false;
  *ret_nanos = whole * unit + fraction * unit / scale;
  return true;
}

bool fb_duration_parse(fb_slice text, int64_t *ret_seconds, int32_t *ret_nanos) {
  size_t at = 0;
  bool negative = S_char(text, &at, "-");
  if (!negative) S_char(text, &at, "+");
  if (at == text.len) return false;
  __int128 total = 0, part;
  if (text.len - at == 1 && text.ptr[at] == '0') at++;
  while (at < text.len) {
    if (!S_duration_part(text, &at, &part)) return false;
    total += part;
    if (total / NANOS > INT64_MAX) return false;
  }
  if (negative) total = -total;
  *ret_seconds = (int64_t)(total / NANOS);
  *ret_nanos = (int32_t)(total % NANOS);
  return true;
}

size_t fb_duration_format(int64_t nanos, char out[FB_TIME_TEXT_MAX]) {
  double value = (double)nanos;
  int64_t seconds = llabs(nanos / NANOS);
  int len;
  if (llabs(nanos) < 1000)
    len = snprintf(out, FB_TIME_TEXT_MAX, "%dns", (int)nanos);
  else if (llabs(nanos) < 1000000)
    len = snprintf(out, FB_TIME_TEXT_MAX, "%.3gµs", value / 1e3);
  else if (llabs(nanos) < NANOS)
    len = snprintf(out, FB_TIME_TEXT_MAX, "%.3gms", value / 1e6);
  else if (seconds < 60)
    len = snprintf(out, FB_TIME_TEXT_MAX, "%.3gs", value / 1e9);
  else if (seconds < 3600)
    len = snprintf(out, FB_TIME_TEXT_MAX, "%s%dm%02ds", nanos < 0 ? "-" : "", (int)(seconds / 60),
                   (int)(seconds % 60));
  else
    len = snprintf(out, FB_TIME_TEXT_MAX, "%s%lldh%02dm", nanos < 0 ? "-" : "",
                   (long long)(seconds / 3600), (int)(seconds / 60 % 60));
  return (size_t)len;
}
