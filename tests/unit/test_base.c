/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

static void test_arena_rewinds(void **state) {
  (void)state;
  fb_arena arena;
  fb_arena_init(&arena, NULL, 64);
  char *first = fb_arena_text(&arena, FB_SLICE("first"));
  fb_arena_mark mark = fb_arena_save(&arena);
  for (int i = 0; i < 1000; i++) assert_non_null(fb_arena_alloc(&arena, 100));
  fb_arena_rewind(&arena, mark);
  assert_string_equal(first, "first");
  for (size_t align = 1; align <= 64; align *= 2)
    assert_int_equal((uintptr_t)fb_arena_alloc_aligned(&arena, 3, align) % align, 0);
  fb_arena_release(&arena);
}

static void test_arena_limit_holds(void **state) {
  (void)state;
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  arena.limit = 10000;
  int got = 0;
  while (fb_arena_alloc(&arena, 100)) got++;
  assert_in_range(got, 80, 100);
  assert_true(arena.held <= 10000);
  fb_arena_release(&arena);
}

/* What the arena says of itself, counted from outside. */
typedef struct fb_count_for_test {
  size_t live, peak, takes;
} fb_count_for_test;

static void *S_count_resize(void *context, void *ptr, size_t old_size, size_t size) {
  fb_count_for_test *counts = context;
  counts->live += size - (ptr ? old_size : 0);
  counts->takes += size != 0;
  if (counts->live > counts->peak) counts->peak = counts->live;
  return fb_resize(NULL, ptr, old_size, size);
}

static void test_arena_counts(void **state) {
  (void)state;
  fb_count_for_test counts = {0};
  fb_allocator allocator = {S_count_resize, &counts};
  fb_arena arena;
  fb_random random;
  fb_random_seed(&random, 7);
  fb_arena_init(&arena, &allocator, 0);
  for (int round = 0; round < 20; round++) {
    fb_arena_mark mark = fb_arena_save(&arena);
    size_t asked = fb_arena_statistics(&arena).used;
    for (int i = 0; i < 50; i++) {
      size_t size = fb_random_below(&random, i % 9 ? 300 : 9000);
      assert_non_null(fb_arena_alloc_aligned(&arena, size, 1));
      asked += size;
      fb_arena_stats stats = fb_arena_statistics(&arena);
      assert_int_equal(stats.used, asked);
      assert_int_equal(stats.held, counts.live);
      assert_int_equal(stats.peak, counts.peak);
      assert_int_equal(stats.takes, counts.takes);
      assert_int_equal(stats.used + stats.waste, stats.held);
    }
    if (round % 3 == 1) fb_arena_rewind(&arena, mark);
  }
  fb_arena_release(&arena);
  assert_int_equal(counts.live, 0);
}

static void test_pool_counts(void **state) {
  (void)state;
  fb_pool pool;
  fb_pool_init(&pool, NULL, 24);
  void *a = fb_pool_get(&pool), *b = fb_pool_get(&pool);
  fb_pool_put(&pool, a);
  assert_ptr_equal(fb_pool_get(&pool), a);
  assert_int_equal(pool.live, 2);
  assert_int_equal(pool.reused, 1);
  fb_pool_put(&pool, b);
  assert_int_equal(pool.peak, 2);
  fb_pool_stats stats = fb_pool_statistics(&pool);
  assert_int_equal(stats.gets, 3);
  assert_int_equal(stats.free, 1);
  assert_int_equal(stats.live, 1);
  assert_int_equal(stats.takes, 1);
  assert_int_equal(stats.held, 4096);
  assert_int_equal(stats.waste, 4096 - 2 * 24);
  fb_pool_release(&pool);
}

static void test_buffer_stops_at_its_maximum(void **state) {
  (void)state;
  fb_buf buf;
  fb_buf_init(&buf, NULL, 10);
  fb_buf_text(&buf, "12345");
  fb_buf_printf(&buf, "%d", 67890);
  assert_false(buf.failed);
  fb_buf_char(&buf, 'x');
  assert_true(buf.failed);
  assert_string_equal(buf.ptr, "1234567890");
  fb_buf_release(&buf);
}

static void test_table_matches_a_plain_list(void **state) {
  (void)state;
  enum { KEYS = 500 };
  static char keys[KEYS][8];
  bool in[KEYS] = {false};
  fb_table table;
  fb_table_init(&table, NULL, 7);
  fb_random random;
  fb_random_seed(&random, 1);
  for (int i = 0; i < KEYS; i++) snprintf(keys[i], sizeof keys[i], "k%d", i);
  for (int step = 0; step < 20000; step++) {
    size_t i = (size_t)fb_random_below(&random, KEYS);
    fb_slice key = fb_slice_of(keys[i]);
    if (fb_random_below(&random, 2)) {
      bool added;
      fb_table_put(&table, key, &added)->value.number = i;
      assert_int_equal(added, !in[i]);
      in[i] = true;
    } else {
      assert_int_equal(fb_table_remove(&table, key), in[i]);
      in[i] = false;
    }
  }
  size_t count = 0;
  for (size_t i = 0; i < KEYS; i++) {
    fb_table_slot *slot = fb_table_get(&table, fb_slice_of(keys[i]));
    assert_int_equal(slot != NULL, in[i]);
    if (slot) assert_int_equal(slot->value.number, i);
    count += in[i];
  }
  assert_int_equal(table.count, count);
  fb_table_release(&table);
}

static void test_utf8_round_trip_and_refusals(void **state) {
  (void)state;
  for (uint32_t rune = 0; rune <= 0x110000; rune++) {
    char text[4];
    uint32_t back = 1;
    int n = fb_utf8_encode(rune, text);
    bool surrogate = rune >= 0xd800 && rune <= 0xdfff;
    assert_int_equal(n == 0, surrogate || rune > 0x10ffff);
    if (n) {
      assert_int_equal(fb_utf8_decode(text, (size_t)n, &back), n);
      assert_int_equal(back, rune);
    }
  }
  static const char *const bad[] = {
      "\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88", "\xc3"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    size_t offset = 99;
    char text[32];
    int n = snprintf(text, sizeof text, "good text %s", bad[i]);
    assert_false(fb_utf8_valid(text, (size_t)n, &offset));
    assert_int_equal(offset, 10);
  }
}

static void test_error_shows_its_place(void **state) {
  (void)state;
  fb_slice text = FB_SLICE("one\ntwö\tthree four\nfive\n");
  fb_error err;
  fb_fail(&err, FB_E_USAGE, "bad word");
  fb_error_locate(&err, "f.yaml", text, 9, 5);
  fb_error_hint(&err, "say %s", "four");
  assert_int_equal(err.line, 2);
  assert_int_equal(err.column, 5);
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_error_render(&err, false, &out);
  assert_string_equal(out.ptr,
                      "error[FB1002]: bad word\n"
                      "  --> f.yaml:2:5\n"
                      "  |\n"
                      "2 | twö three four\n"
                      "  |     ^^^^^\n"
                      "  = hint: say four\n");
  fb_buf_release(&out);
}

static void test_error_in_a_long_line_shows_a_window(void **state) {
  (void)state;
  char line[5000];
  memset(line, 'a', sizeof line);
  line[4000] = '!';
  fb_error err;
  fb_fail(&err, FB_E_USAGE, "here");
  fb_error_locate(&err, "f", (fb_slice){line, sizeof line}, 4000, 1);
  assert_int_equal(err.column, 4001);
  assert_int_equal(err.excerpt[err.excerpt_column - 1], '!');
}

static void test_nearest_finds_slips(void **state) {
  (void)state;
  static const char *const names[] = {"salience", "when", "then"};
  assert_string_equal(fb_nearest(FB_SLICE("saliense"), names, 3), "salience");
  assert_string_equal(fb_nearest(FB_SLICE("wehn"), names, 3), "when");
  assert_null(fb_nearest(FB_SLICE("colour"), names, 3));
}

static void test_time_round_trip(void **state) {
  (void)state;
  static const char *const good[] = {"0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z",
                                     "2024-02-29T23:59:59.123Z", "9999-12-31T23:59:59.999999999Z",
                                     "1969-12-31T23:59:59.000001Z"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    int64_t seconds;
    uint32_t nanos;
    char out[FB_TIME_TEXT_MAX];
    assert_true(fb_time_parse(fb_slice_of(good[i]), &seconds, &nanos));
    fb_time_format(seconds, nanos, out);
    assert_string_equal(out, good[i]);
  }
  static const char *const bad[] = {"",
                                    "2023-02-29T00:00:00Z",
                                    "2023-01-01 00:00:00Z",
                                    "2023-01-01T24:00:00Z",
                                    "2023-01-01T00:00:00",
                                    "2023-01-01T00:00:00.Z",
                                    "0000-01-01T00:00:00Z",
                                    "9999-12-31T23:59:59-01:00",
                                    "2023-01-01T00:00:00Zx"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    int64_t seconds;
    uint32_t nanos;
    assert_false(fb_time_parse(fb_slice_of(bad[i]), &seconds, &nanos));
  }
}

static void test_duration_notation(void **state) {
  (void)state;
  int64_t seconds;
  int32_t nanos;
  assert_true(fb_duration_parse(FB_SLICE("1h30m1.5s"), &seconds, &nanos));
  assert_int_equal(seconds, 5401);
  assert_int_equal(nanos, 500000000);
  assert_true(fb_duration_parse(FB_SLICE("-250ms"), &seconds, &nanos));
  assert_int_equal(nanos, -250000000);
  assert_false(fb_duration_parse(FB_SLICE("10"), &seconds, &nanos));
  assert_false(fb_duration_parse(FB_SLICE("s"), &seconds, &nanos));
  assert_false(fb_duration_parse(FB_SLICE("99999999999999999999s"), &seconds, &nanos));
}

static void S_collect(void *context, const char *line, size_t len) {
  fb_buf_add(context, line, len);
}

static void test_log_formats(void **state) {
  (void)state;
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_log log = {.level = FB_LOG_INFO, .sink = S_collect, .context = &out};
  fb_log_write(&log, FB_LOG_DEBUG, "dropped", NULL);
  fb_log_write(&log, FB_LOG_INFO, "started", "step", "a b", "n", "1", NULL);
  log.format = FB_LOG_JSON;
  fb_log_write(&log, FB_LOG_ERROR, "bad \"x\"", "why", "a\nb", NULL);
  assert_string_equal(out.ptr,
                      "info  started step=\"a b\" n=1\n"
                      "{\"level\":\"error\",\"message\":\"bad \\\"x\\\"\",\"why\":\"a\\nb\"}\n");
  fb_buf_release(&out);
}

static bool S_torture(const fb_allocator *allocator) {
  fb_table table;
  fb_buf buf;
  fb_arena arena;
  fb_table_init(&table, allocator, 0);
  fb_buf_init(&buf, allocator, 0);
  fb_arena_init(&arena, allocator, 64);
  bool ok = true;
  for (int i = 0; i < 100 && ok; i++) {
    char *key = fb_arena_printf(&arena, "key %d", i);
    ok = key && fb_table_put(&table, fb_slice_of(key), NULL);
    fb_buf_text(&buf, "some text ");
  }
  ok = ok && !buf.failed;
  fb_table_release(&table);
  fb_buf_release(&buf);
  fb_arena_release(&arena);
  return ok;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  fb_test_each_failure(S_torture);
}

static void test_catalogue_is_in_order(void **state) {
  (void)state;
  size_t count;
  const fb_error_info *all = fb_error_catalogue(&count);
  for (size_t i = 0; i < count; i++) {
    if (i) assert_true(all[i].code > all[i - 1].code);
    assert_true(strlen(all[i].explanation) > 40);
  }
  assert_ptr_equal(fb_error_info_of(FB_E_NOMEM), &all[0]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_arena_rewinds),
      cmocka_unit_test(test_arena_limit_holds),
      cmocka_unit_test(test_pool_counts),
      cmocka_unit_test(test_arena_counts),
      cmocka_unit_test(test_buffer_stops_at_its_maximum),
      cmocka_unit_test(test_table_matches_a_plain_list),
      cmocka_unit_test(test_utf8_round_trip_and_refusals),
      cmocka_unit_test(test_error_shows_its_place),
      cmocka_unit_test(test_error_in_a_long_line_shows_a_window),
      cmocka_unit_test(test_nearest_finds_slips),
      cmocka_unit_test(test_time_round_trip),
      cmocka_unit_test(test_duration_notation),
      cmocka_unit_test(test_log_formats),
      cmocka_unit_test(test_every_allocation_may_fail),
      cmocka_unit_test(test_catalogue_is_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
