/* SPDX-License-Identifier: Apache-2.0
 * Time zones from the system's TZif files (RFC 9636, versions 1 to 4, with the rule for the years after
 * the table). The only file of this folder that reads files; evaluation gets it as a fb_cel_zone. */
#include <flyball/cel.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  MAX_FILE = 128 * 1024, /* the biggest of tzdata is 4 KiB; "fat" ones 20 */
  MAX_NAME = 64,
  MAX_ZONES = 256,
  DAY = 86400,
  WEEK = 7 * DAY
};

/* ── Zone: a table of changes, then a rule ───────────────────────────────────────────────────── */

/* When in a year the clocks change: the POSIX notation. */
typedef struct S_change {
  enum { BY_WEEK, BY_DAY_OF_365, BY_DAY_OF_366 } how;
  int month, week, day; /* BY_WEEK: month 1–12, week 1–5 (5: last), day 0–6; else day only */
  int32_t at; /* seconds after midnight, by the clock before the change; −167 to 167 hours */
} S_change;

typedef struct S_rule {
  bool there, has_summer;
  int32_t standard, summer; /* seconds east of UTC */
  S_change begin, end;      /* of summer time */
} S_rule;

typedef struct S_zone S_zone;

struct S_zone {
  S_zone *next;
  char name[MAX_NAME + 1];
  int32_t first;  /* offset before the first change */
  uint32_t count; /* of changes */
  S_rule rule;
  int64_t *times; /* ascending */
  int32_t *offsets;
};

struct fb_zones {
  const fb_allocator *allocator;
  const char *directory;
  pthread_mutex_t lock;
  S_zone *zones; /* read and extended under the lock; a zone itself never changes */
  size_t count;
};

static void S_free_zone(const fb_allocator *allocator, S_zone *zone) {
  if (!zone) return;
  fb_free(allocator, zone->times, zone->count * sizeof *zone->times);
  fb_free(allocator, zone->offsets, zone->count * sizeof *zone->offsets);
  fb_free(allocator, zone, sizeof *zone);
}

/* ── Rule ────────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_text {
  const char *at, *end;
} S_text;

static char S_peek(const S_text *text) {
  return text->at < text->end ? *text->at : 0;
}

static bool S_take(S_text *text, char c) {
  if (S_peek(text) != c || !c) return false;
  text->at++;
  return true;
}

static bool S_read_number(S_text *text, int min, int max, int *ret_number) {
  const char *start = text->at;
  int number = 0;
  for (; S_peek(text) >= '0' && S_peek(text) <= '9' && text->at - start < 4; text->at++)
    number = number * 10 + (*text->at - '0');
  *ret_number = number;
  return text->at > start && number >= min && number <= max;
}

/* "EST" or "<-03>" */
static bool S_read_name(S_text *text) {
  bool quoted = S_take(text, '<');
  const char *start = text->at;
  for (char c; (c = S_peek(text)); text->at++) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(quoted && ((c >= '0' && c <= '9') || c == '+' || c == '-'))) break;
  }
  return text->at - start >= 3 && (!quoted || S_take(text, '>'));
}

/* "[+-]hh[:mm[:ss]]" as seconds. */
static bool S_read_time(S_text *text, int max_hours, int32_t *ret_seconds) {
  int sign = S_take(text, '-') ? -1 : 1, hours, minutes = 0, seconds = 0;
  if (sign > 0) S_take(text, '+');
  if (!S_read_number(text, 0, max_hours, &hours)) return false;
  if (S_take(text, ':')) {
    if (!S_read_number(text, 0, 59, &minutes)) return false;
    if (S_take(text, ':') && !S_read_number(text, 0, 59, &seconds)) return false;
  }
  *ret_seconds = sign * (hours * 3600 + minutes * 60 + seconds);
  return true;
}

/* "M3.5.0/2", "J60", "59/-1" */
static bool S_read_change(S_text *text, S_change *change) {
  *change = (S_change){.at = 7200};
  bool good;
  if (S_take(text, 'M')) {
    good = S_read_number(text, 1, 12, &change->month) && S_take(text, '.') &&
           S_read_number(text, 1, 5, &change->week) && S_take(text, '.') &&
           S_read_number(text, 0, 6, &change->day);
  } else if (S_take(text, 'J')) {
    change->how = BY_DAY_OF_365;
    good = S_read_number(text, 1, 365, &change->day);
  } else {
    change->how = BY_DAY_OF_366;
    good = S_read_number(text, 0, 365, &change->day);
  }
  return good && (!S_take(text, '/') || S_read_time(text, 167, &change->at));
}

/* "CET-1CEST,M3.5.0,M10.5.0/3"; offsets there are west of UTC. */
static bool S_read_rule(S_text text, S_rule *rule) {
  if (text.at == text.end) return true;
  rule->there = true;
  if (!S_read_name(&text) || !S_read_time(&text, 24, &rule->standard)) return false;
  rule->standard = -rule->standard;
  if (text.at == text.end) return true;
  rule->has_summer = true;
  if (!S_read_name(&text)) return false;
  rule->summer = rule->standard + 3600;
  if (S_peek(&text) != ',') {
    if (!S_read_time(&text, 24, &rule->summer)) return false;
    rule->summer = -rule->summer;
  }
  return S_take(&text, ',') && S_read_change(&text, &rule->begin) && S_take(&text, ',') &&
         S_read_change(&text, &rule->end) && text.at == text.end;
}

static int64_t S_change_day(const S_change *change, int64_t year) {
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  int64_t new_year = fb_days_from_civil(year, 1, 1);
  if (change->how == BY_DAY_OF_366) return new_year + change->day;
  if (change->how == BY_DAY_OF_365) return new_year + change->day - 1 + (leap && change->day >= 60);
  int64_t first = fb_days_from_civil(year, (unsigned)change->month, 1);
  int64_t next = change->month == 12 ? fb_days_from_civil(year + 1, 1, 1)
                                     : fb_days_from_civil(year, (unsigned)change->month + 1, 1);
  int64_t weekday = ((first + 4) % 7 + 7) % 7,
          day = first + (change->day - weekday + 7) % 7 + (change->week - 1) * 7;
  return day < next ? day : day - 7;
}

/* The last change at or before the instant decides. Those of the years around are looked at too, since a
 * change may lie up to a week outside its year. */
static int32_t S_rule_offset(const S_rule *rule, int64_t seconds) {
  if (!rule->has_summer) return rule->standard;
  int64_t days = (seconds >= 0 ? seconds : seconds - (DAY - 1)) / DAY, year, latest = INT64_MIN;
  unsigned month, day;
  fb_civil_from_days(days, &year, &month, &day);
  int32_t offset = rule->standard;
  for (int64_t y = year - 1; y <= year + 1; y++) {
    int64_t begin = S_change_day(&rule->begin, y) * DAY + rule->begin.at - rule->standard;
    int64_t end = S_change_day(&rule->end, y) * DAY + rule->end.at - rule->summer;
    if (end <= seconds && end > latest) {
      latest = end;
      offset = rule->standard;
    }
    if (begin <= seconds && begin >= latest) {
      latest = begin;
      offset = rule->summer;
    }
  }
  return offset;
}

static int32_t S_zone_offset(const S_zone *zone, int64_t seconds) {
  if (zone->count == 0 || seconds < zone->times[0])
    return zone->count == 0 && zone->rule.there ? S_rule_offset(&zone->rule, seconds) : zone->first;
  if (seconds >= zone->times[zone->count - 1])
    return zone->rule.there ? S_rule_offset(&zone->rule, seconds) : zone->offsets[zone->count - 1];
  uint32_t low = 0, high = zone->count - 1; /* times[low] ≤ seconds < times[high] */
  while (high - low > 1) {
    uint32_t mid = low + (high - low) / 2;
    if (zone->times[mid] <= seconds)
      low = mid;
    else
      high = mid;
  }
  return zone->offsets[low];
}

/* ── File ────────────────────────────────────────────────────────────────────────────────────── */

static int64_t S_big_endian(const unsigned char *at, size_t size) {
  uint64_t number = at[0] & 0x80 ? UINT64_MAX : 0;
  for (size_t i = 0; i < size; i++) number = number << 8 | at[i];
  return (int64_t)number;
}

/* One header with the block that follows it. */
typedef struct S_block {
  size_t utc_count, standard_count, leap_count, time_count, type_count, char_count;
  size_t time_size; /* bytes of a time: 4 or 8 */
  const unsigned char *data;
  size_t size;
  char version;
} S_block;

enum { HEADER = 44 };

static bool S_read_block(const unsigned char *at, size_t len, size_t time_size, S_block *block) {
  if (len < HEADER || memcmp(at, "TZif", 4) != 0) return false;
  size_t counts[6];
  for (size_t i = 0; i < 6; i++) {
    int64_t count = S_big_endian(at + 20 + 4 * i, 4);
    if (count < 0 || count > MAX_FILE) return false;
    counts[i] = (size_t)count;
  }
  *block = (S_block){counts[0], counts[1], counts[2],   counts[3], counts[4],
                     counts[5], time_size, at + HEADER, 0,         (char)at[4]};
  block->size = block->time_count * (time_size + 1) + block->type_count * 6 + block->char_count +
                block->leap_count * (time_size + 4) + block->standard_count + block->utc_count;
  return block->type_count > 0 && block->size <= len - HEADER;
}

static bool S_read_changes(const S_block *block, const fb_allocator *allocator, S_zone *zone) {
  const unsigned char *types = block->data + block->time_count * block->time_size;
  const unsigned char *infos = types + block->time_count;
  zone->first = (int32_t)S_big_endian(infos, 4);
  if (block->time_count == 0) return true;
  zone->count = (uint32_t)block->time_count;
  zone->times = fb_alloc(allocator, zone->count * sizeof *zone->times);
  zone->offsets = fb_alloc(allocator, zone->count * sizeof *zone->offsets);
  if (!zone->times || !zone->offsets) return false;
  for (size_t i = 0; i < zone->count; i++) {
    zone->times[i] = S_big_endian(block->data + i * block->time_size, block->time_size);
    if (types[i] >= block->type_count || (i && zone->times[i] <= zone->times[i - 1])) return false;
    zone->offsets[i] = (int32_t)S_big_endian(infos + 6 * (size_t)types[i], 4);
    if (zone->offsets[i] < -2 * DAY || zone->offsets[i] > 2 * DAY) return false;
  }
  return true;
}

/* Leap seconds ("right/…") are refused: timestamps do not count them. */
static bool S_parse(const unsigned char *bytes, size_t len, const fb_allocator *allocator,
                    S_zone *zone) {
  S_block block;
  if (!S_read_block(bytes, len, 4, &block)) return false;
  if (block.version >= '2') {
    const unsigned char *second = block.data + block.size;
    if (!S_read_block(second, len - (size_t)(second - bytes), 8, &block)) return false;
    const char *footer = (const char *)block.data + block.size, *end = (const char *)bytes + len;
    const char *newline = footer < end && *footer == '\n'
                              ? memchr(footer + 1, '\n', (size_t)(end - footer - 1))
                              : NULL;
    if (!newline || !S_read_rule((S_text){footer + 1, newline}, &zone->rule)) return false;
  }
  return block.leap_count == 0 && S_read_changes(&block, allocator, zone);
}

/* Names as tzdata has them, so that no name leads out of the directory. */
static bool S_good_name(fb_slice name) {
  if (name.len == 0 || name.len > MAX_NAME) return false;
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i];
    bool first = i == 0 || name.ptr[i - 1] == '/';
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    bool other = (c >= '0' && c <= '9') || c == '_' || c == '+' || c == '-' || c == '/';
    if (!letter && (first || !other)) return false;
  }
  return name.ptr[name.len - 1] != '/';
}

/* Returns how many bytes of the file were read; 0: none, or too many. */
static size_t S_read_file(const char *path, unsigned char *bytes, size_t room) {
  struct stat info;
  size_t len = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return 0;
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= (off_t)room)
    for (ssize_t got; len < room && (got = read(fd, bytes + len, room - len)) > 0;)
      len += (size_t)got;
  close(fd);
  return len;
}

static S_zone *S_load(const fb_allocator *allocator, const char *directory, fb_slice name) {
  char path[512];
  int len = snprintf(path, sizeof path, "%s/%.*s", directory, (int)name.len, name.ptr);
  if (len < 0 || (size_t)len >= sizeof path) return NULL;
  unsigned char *bytes = fb_alloc(allocator, MAX_FILE);
  S_zone *zone = fb_alloc_zero(allocator, sizeof *zone);
  size_t size = bytes && zone ? S_read_file(path, bytes, MAX_FILE) : 0;
  bool good = size && S_parse(bytes, size, allocator, zone);
  fb_free(allocator, bytes, MAX_FILE);
  if (!good) {
    S_free_zone(allocator, zone);
    return NULL;
  }
  memcpy(zone->name, name.ptr, name.len);
  return zone;
}

/* ── Zones ───────────────────────────────────────────────────────────────────────────────────── */

static const char DIRECTORY[] = "/usr/share/zoneinfo";

fb_status fb_zones_new(const fb_allocator *allocator, const char *directory, fb_zones **ret_zones) {
  if (!allocator) allocator = fb_allocator_system();
  fb_zones *zones = fb_alloc_zero(allocator, sizeof *zones);
  if (!zones) return FB_E_NOMEM;
  zones->allocator = allocator;
  zones->directory = directory ? directory : DIRECTORY;
  if (pthread_mutex_init(&zones->lock, NULL) != 0) {
    fb_free(allocator, zones, sizeof *zones);
    return FB_E_NOMEM;
  }
  *ret_zones = zones;
  return FB_OK;
}

void fb_zones_free(fb_zones *zones) {
  if (!zones) return;
  for (S_zone *zone = zones->zones, *next; zone; zone = next) {
    next = zone->next;
    S_free_zone(zones->allocator, zone);
  }
  pthread_mutex_destroy(&zones->lock);
  fb_free(zones->allocator, zones, sizeof *zones);
}

static bool S_offset_of(const fb_allocator *allocator, const char *directory, fb_slice name,
                        int64_t seconds, int32_t *ret_offset) {
  S_zone *zone = S_load(allocator, directory, name);
  if (zone) *ret_offset = S_zone_offset(zone, seconds);
  S_free_zone(allocator, zone);
  return zone != NULL;
}

static S_zone *S_kept(const fb_zones *zones, fb_slice name) {
  for (S_zone *zone = zones->zones; zone; zone = zone->next)
    if (fb_slice_equal(fb_slice_of(zone->name), name)) return zone;
  return NULL;
}

bool fb_zone_system(void *context, fb_slice name, int64_t unix_seconds,
                    int32_t *ret_offset_seconds) {
  fb_zones *zones = context;
  if (!S_good_name(name)) return false;
  if (!zones)
    return S_offset_of(fb_allocator_system(), DIRECTORY, name, unix_seconds, ret_offset_seconds);
  pthread_mutex_lock(&zones->lock);
  S_zone *zone = S_kept(zones, name);
  bool full = zones->count >= MAX_ZONES;
  if (!zone && !full && (zone = S_load(zones->allocator, zones->directory, name))) {
    zone->next = zones->zones;
    zones->zones = zone;
    zones->count++;
  }
  pthread_mutex_unlock(&zones->lock);
  if (!zone)
    return full &&
           S_offset_of(zones->allocator, zones->directory, name, unix_seconds, ret_offset_seconds);
  *ret_offset_seconds = S_zone_offset(zone, unix_seconds);
  return true;
}
