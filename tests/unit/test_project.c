/* SPDX-License-Identifier: Apache-2.0
 * Projects and schedules: what is read, what is refused and where, and when a cron expression comes, by zones' rules. */
#include "test.h"

#include "loop/deliver.h"

/* ── cron ── */

static int64_t S_at(const char *text) {
  int64_t seconds = 0;
  uint32_t nanos;
  assert_true(fb_time_parse(fb_slice_of(text), &seconds, &nanos));
  return seconds;
}

static void S_next(const char *text, const char *zone, const char *after, const char *want) {
  fb_cron cron;
  fb_error err = {0};
  fb_cron_zone in = {fb_slice_of(zone), strcmp(zone, "UTC") ? fb_zone_system : NULL, NULL};
  char got[FB_TIME_TEXT_MAX];
  assert_int_equal(fb_cron_parse(fb_slice_of(text), &cron, NULL, &err), FB_OK);
  fb_time_format(fb_cron_next(&cron, &in, S_at(after)), 0, got);
  assert_string_equal(got, want);
}

static void test_next(void **state) {
  (void)state;
  S_next("* * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z");
  S_next("*/15 8-18 * * mon-fri", "UTC", "2026-11-27T18:45:00Z", "2026-11-30T08:00:00Z");
  S_next("@hourly", "UTC", "2026-11-30T21:00:00Z", "2026-11-30T22:00:00Z");
  S_next("@monthly", "UTC", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
  S_next("0 0 29 2 *", "UTC", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z");
  S_next("0 0 29 2 *", "UTC", "2097-01-01T00:00:00Z", "2104-02-29T00:00:00Z");
  S_next("5/20 1 * jan sun", "UTC", "2026-02-01T00:00:00Z", "2027-01-03T01:05:00Z");
  /* Day and weekday: either. */
  S_next("0 0 13 * fri", "UTC", "2026-11-30T00:00:00Z", "2026-12-04T00:00:00Z");
  S_next("0 0 1 * 7", "UTC", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z");
}

static void test_zones(void **state) {
  (void)state;
  S_next("30 9 * * *", "America/New_York", "2026-07-01T00:00:00Z", "2026-07-01T13:30:00Z");
  S_next("30 9 * * *", "America/New_York", "2026-12-01T00:00:00Z", "2026-12-01T14:30:00Z");
  /* Berlin, 29 March 2026: 2:00 becomes 3:00. A time of day that is left out comes at once after. */
  S_next("30 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z");
  S_next("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z");
  S_next("30 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z");
  /* 25 October 2026: 3:00 becomes 2:00. A time of day comes once, every so often twice. */
  S_next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z");
  S_next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
  S_next("30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
  /* Half an hour of summer time, and a day that never was. */
  S_next("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-03T15:30:00Z");
  S_next("0 12 30 12 *", "Pacific/Apia", "2011-12-29T23:00:00Z", "2011-12-30T10:00:00Z");
}

/* Every minute of two years against a walk over the minutes that asks the clock of each. */
static void test_against_a_walk(void **state) {
  static const char *const texts[] = {"7 */3 * * *", "*/20 * 1,15 * *", "0 * * * sun"};
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    fb_cron cron;
    fb_zones *zones;
    assert_int_equal(fb_cron_parse(fb_slice_of(texts[i]), &cron, NULL, NULL), FB_OK);
    assert_int_equal(fb_zones_new(NULL, NULL, &zones), FB_OK);
    fb_cron_zone zone = {FB_SLICE("Europe/Berlin"), fb_zone_system, zones};
    int64_t at = S_at("2026-01-01T00:00:00Z"), end = S_at("2027-01-01T00:00:00Z"), next = at;
    next = fb_cron_next(&cron, &zone, at);
    for (at += 60; at < end; at += 60) {
      int32_t offset = 0;
      int64_t year;
      unsigned month, day;
      fb_zone_system(zones, zone.name, at, &offset);
      int64_t local = at + offset, days = local / 86400;
      fb_civil_from_days(days, &year, &month, &day);
      bool by_day = cron.days >> day & 1, by_week = cron.weekdays >> ((days + 4) % 7) & 1;
      bool is = cron.minutes >> (local / 60 % 60) & 1 && cron.hours >> (local / 3600 % 24) & 1 &&
                by_day && by_week;
      if (is) {
        assert_int_equal(next, at);
        next = fb_cron_next(&cron, &zone, at);
      }
      assert_true(next > at);
    }
    fb_zones_free(zones);
  }
}

static void test_refused(void **state) {
  static const struct {
    const char *text;
    size_t offset;
  } cases[] = {{"", 0},           {"* * * *", 7},      {"60 * * * *", 0},
               {"* 24 * * *", 2}, {"* * 0 * *", 4},    {"* * * 13 *", 6},
               {"* * * * 8", 8},  {"*/0 * * * *", 2},  {"5-1 * * * *", 3},
               {"a * * * *", 0},  {"* * * * * *", 10}, {"@often", 0},
               {"0 0 30 2 *", 0}, {"1,, * * * *", 2},  {"1x * * * *", 1}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fb_cron cron;
    fb_error err = {0};
    size_t offset = 99;
    assert_int_equal(fb_cron_parse(fb_slice_of(cases[i].text), &cron, &offset, &err), FB_E_CRON);
    assert_int_equal(offset, cases[i].offset);
    assert_true(err.text[0]);
  }
}

static void test_missed(void **state) {
  fb_cron cron;
  int64_t times[10], now = S_at("2026-11-30T12:00:30Z"), last = S_at("2026-11-30T08:30:00Z");
  uint64_t passed;
  (void)state;
  assert_int_equal(fb_cron_parse(FB_SLICE("@hourly"), &cron, NULL, NULL), FB_OK);
  assert_int_equal(fb_cron_due(&cron, NULL, FB_MISSED_ALL, last, now, times, 10, &passed), 4);
  assert_int_equal(times[0], S_at("2026-11-30T09:00:00Z"));
  assert_int_equal(passed, 0);
  assert_int_equal(fb_cron_due(&cron, NULL, FB_MISSED_ALL, last, now, times, 2, &passed), 2);
  assert_int_equal(times[0], S_at("2026-11-30T11:00:00Z"));
  assert_int_equal(fb_cron_due(&cron, NULL, FB_MISSED_ONCE, last, now, times, 10, &passed), 1);
  assert_int_equal(times[0], S_at("2026-11-30T12:00:00Z"));
  assert_int_equal(passed, 3);
  assert_int_equal(fb_cron_due(&cron, NULL, FB_MISSED_SKIP, last, now, times, 10, &passed), 1);
  assert_int_equal(passed, 3);
  now += 60;
  assert_int_equal(fb_cron_due(&cron, NULL, FB_MISSED_SKIP, last, now, times, 10, &passed), 0);
  assert_int_equal(passed, 4);
}

/* ── projects ── */

static const char S_project[] =
    "name: p\n"
    "rulebooks: {a: a.yaml, b: b.yaml}\n"
    "missions: [m.yaml]\n"
    "sources:\n"
    "  - {name: in, http: true, type: t}\n"
    "  - {name: c, command: [df, -P], every: 10s, parse: csv, type: d, lifetime: once}\n"
    "  - {name: t, tail: x.log, parse: {regex: '^(?<a>\\w+) (?<b>\\d+)'}, stamp: at, from: start}\n"
    "  - {name: w, watch: inbox, files: '*.csv'}\n"
    "  - {name: m, metrics: own}\n"
    "  - {name: r, missions: true, lifetime: ever}\n"
    "sinks:\n"
    "  - {name: h, webhook: 'https://x.example/y', decisions: [a], retry: {attempts: 3}, allow: "
    "private}\n"
    "  - {name: f, file: out.ndjson, rotate: 1MiB, keep: 3, sync: true}\n"
    "  - {name: p, command: [cat], parallel: 4}\n"
    "  - {name: q, mission: m}\n"
    "  - {name: k, fact: again}\n"
    "schedules:\n"
    "  - {name: s, cron: '*/5 * * * *', zone: Europe/Berlin, missed: all, with: {x: 1}}\n"
    "  - {name: u, cron: '@daily', mission: m}\n"
    "limits: {queue: 10, when_full: drop-oldest, facts: 5, missions: 2, memory: 1GiB}\n"
    "snapshot: {every: 1m, log: durable}\n"
    "reload: false\n";

static bool S_load(const fb_allocator *allocator) {
  fb_project *project = NULL;
  fb_errors errors;
  fb_errors_init(&errors, allocator, 0);
  fb_status status = fb_project_read(FB_SLICE(S_project), "flyball.yaml", NULL, allocator, &project,
                                     &errors, NULL);
  if (status == FB_OK) {
    assert_int_equal(project->source_count, 6);
    assert_int_equal(project->sinks[1].rotate_size, 1 << 20);
    assert_int_equal(project->when_full, FB_FULL_DROP);
    assert_int_equal(project->sources[2].parse.count, 2);
    assert_string_equal(project->sources[2].path, "./x.log");
    assert_int_equal(project->sources[1].lifetime, FB_LIFETIME_ONCE);
    assert_int_equal(project->schedules[0].missed, FB_MISSED_ALL);
    assert_int_equal(project->reload_every, 0);
  }
  fb_project_free(project);
  fb_errors_release(&errors);
  return status == FB_OK;
}

static void test_project(void **state) {
  (void)state;
  assert_true(S_load(NULL));
}

static void test_torture(void **state) {
  (void)state;
  fb_test_each_failure(S_load);
}

static void test_mistakes(void **state) {
  static const struct {
    const char *text;
    fb_status code;
    uint32_t line, column;
  } cases[] = {
      {"rulebooks: [a]\n", FB_E_DOC_MISSING_KEY, 1, 1},
      {"name: p\nrulebooks: []\n", FB_E_PROJECT_VALUE, 2, 12},
      {"name: a b\nrulebooks: [a]\n", FB_E_PROJECT_VALUE, 1, 7},
      {"name: p\nrulebooks: [a]\nsorces: []\n", FB_E_DOC_UNKNOWN_KEY, 3, 1},
      {"name: p\nrulebooks: [x/a.yaml, y/a.yaml]\n", FB_E_PROJECT_DUPLICATE, 2, 23},
      {"name: p\nrulebooks: [a]\nsources:\n- {name: s}\n", FB_E_PROJECT_SYNTAX, 4, 3},
      {"name: p\nrulebooks: [a]\nsources:\n- {name: s, tail: a, watch: b}\n", FB_E_PROJECT_VALUE, 4,
       29},
      {"name: p\nrulebooks: [a]\nsources:\n- {name: s, tail: a, every: 1s}\n", FB_E_PROJECT_VALUE,
       4, 29},
      {"name: p\nrulebooks: [a]\nsources:\n- {name: s, command: [], every: 1s}\n",
       FB_E_PROJECT_VALUE, 4, 22},
      {"name: p\nrulebooks: [a]\nsources:\n- {name: s, tail: a, parse: {regex: '(x'}}\n",
       FB_E_PROJECT_VALUE, 4, 37},
      {"name: p\nrulebooks: [a]\nsources:\n- {name: s, metrics: 'ftp://x'}\n", FB_E_PROJECT_VALUE,
       4, 22},
      {"name: p\nrulebooks: [a]\nsinks:\n- {name: s, file: a, rotate: 10}\n", FB_E_DOC_WRONG_KIND,
       4, 30},
      {"name: p\nrulebooks: [a]\nsinks:\n- {name: s, file: a, secret_file: b}\n",
       FB_E_PROJECT_VALUE, 4, 35},
      {"name: p\nrulebooks: [a]\nschedules:\n- {name: s, cron: '5 * * *'}\n", FB_E_CRON, 4, 27},
      {"name: p\nrulebooks: [a]\nschedules:\n- {name: s, cron: '* 25 * * *'}\n", FB_E_CRON, 4, 22},
      {"name: p\nrulebooks: [a]\nlimits: {when_full: never}\n", FB_E_PROJECT_VALUE, 3, 21},
      {"name: p\nrulebooks: [a]\nsnapshot: {every: 0s}\n", FB_E_PROJECT_VALUE, 3, 19}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fb_project *project = NULL;
    fb_errors errors;
    fb_errors_init(&errors, NULL, 0);
    fb_status status = fb_project_read(fb_slice_of(cases[i].text), "flyball.yaml", NULL, NULL,
                                       &project, &errors, NULL);
    if (status != cases[i].code || errors.items[0].line != cases[i].line ||
        errors.items[0].column != cases[i].column)
      fail_msg("case %zu: FB%d at %u:%u: %s", i, (int)status, errors.items[0].line,
               errors.items[0].column, errors.items[0].text);
    assert_int_equal(errors.count, 1);
    fb_errors_release(&errors);
  }
}

/* ── deliveries ── */

/* Made with Python's hmac. */
static void test_signature(void **state) {
  char out[96];
  (void)state;
  fb_delivery_sign(FB_SLICE("Jefe"), 1, FB_SLICE("what do ya want for nothing?"), out);
  assert_string_equal(out,
                      "t=1,v1=a9049465ce89cfb8e9aac62333abda66f80e3403f51f57f6bae3c3a4485eca38");
}

static void test_addresses(void **state) {
  (void)state;
  assert_true(fb_reach_allows(FB_REACH_PUBLIC, "93.184.216.34"));
  assert_false(fb_reach_allows(FB_REACH_PUBLIC, "127.0.0.1"));
  assert_false(fb_reach_allows(FB_REACH_PUBLIC, "10.1.2.3"));
  assert_true(fb_reach_allows(FB_REACH_PRIVATE, "10.1.2.3"));
  assert_true(fb_reach_allows(FB_REACH_PRIVATE, "::1"));
  assert_false(fb_reach_allows(FB_REACH_PRIVATE, "169.254.169.254"));
  assert_false(fb_reach_allows(FB_REACH_PRIVATE, "::ffff:169.254.169.254"));
  assert_false(fb_reach_allows(FB_REACH_PRIVATE, "fd00:ec2::254"));
  assert_false(fb_reach_allows(FB_REACH_PRIVATE, "fe80::1"));
  assert_false(fb_reach_allows(FB_REACH_PRIVATE, "nonsense"));
  assert_true(fb_reach_allows(FB_REACH_ANY, "169.254.169.254"));
}

/* ── records ── */

static void S_prometheus(const char *text, const char *want) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_records_prometheus(fb_slice_of(text), FB_SLICE("metric"), &out);
  assert_string_equal(out.ptr ? out.ptr : "", want);
  fb_buf_release(&out);
}

static void test_prometheus(void **state) {
  (void)state;
  S_prometheus("# HELP a b\na 1\n",
               "{\"type\":\"metric\",\"name\":\"a\",\"labels\":{},\"value\":1.0}\n");
  S_prometheus("a{b=\"c\\\"\\\\\\n\",d=\"\",} 1.5e3 170000\n",
               "{\"type\":\"metric\",\"name\":\"a\",\"labels\":{\"b\":\"c\\\"\\\\\\n\",\"d\":\"\"},"
               "\"value\":1500.0}\n");
  S_prometheus("a NaN\nb +Inf\nc{ 1\nd{x=1} 2\ne{x=\"y} 1\n{} 1\nf\ng x\n", "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_next),           cmocka_unit_test(test_zones),
      cmocka_unit_test(test_against_a_walk), cmocka_unit_test(test_refused),
      cmocka_unit_test(test_missed),         cmocka_unit_test(test_project),
      cmocka_unit_test(test_torture),        cmocka_unit_test(test_mistakes),
      cmocka_unit_test(test_signature),      cmocka_unit_test(test_addresses),
      cmocka_unit_test(test_prometheus)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
