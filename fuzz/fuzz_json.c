/* SPDX-License-Identifier: Apache-2.0
 * The JSON reader and writer against jansson: the same texts admitted, the same values read; an error has
 * a place within the text; what is written, in a style that the length picks, reads back the same. */
#include "../tests/json_oracle.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void S_expect(bool holds, const char *what, const char *detail) {
  if (holds) return;
  fprintf(stderr, "fuzz_json: %s: %s\n", what, detail);
  abort();
}

/* jansson refuses what is only known to be beyond it: a uint, or U+0000 in a key. */
static bool S_beyond_oracle(fb_value value) {
  if (value.kind == FB_UINT) return true;
  if (value.kind == FB_LIST)
    for (uint32_t i = 0; i < value.as.list->len; i++)
      if (S_beyond_oracle(value.as.list->items[i])) return true;
  if (value.kind == FB_MAP)
    for (uint32_t i = 0; i < value.as.map->len; i++) {
      fb_entry entry = value.as.map->entries[i];
      if (memchr(entry.key.as.text, 0, entry.key.len) || S_beyond_oracle(entry.value)) return true;
    }
  return false;
}

static void S_check_error(fb_slice text, fb_status status, const fb_error *err) {
  json_error_t why;
  json_t *theirs = fb_oracle_read(text, &why);
  S_expect(!theirs || fb_oracle_may_admit(text, status), "refused, but jansson admits it",
           err->text);
  json_decref(theirs);
  S_expect(err->code == status && err->text[0] && err->line && err->column &&
               err->column <= text.len + 1,
           "an error without a sound place", err->text);
  S_expect(fb_utf8_valid(err->text, strlen(err->text), NULL) &&
               fb_utf8_valid(err->excerpt, strlen(err->excerpt), NULL),
           "an error that is not UTF-8", err->text);
}

static void S_check_value(fb_slice text, fb_value value) {
  json_error_t why;
  json_t *theirs = fb_oracle_read(text, &why);
  if (!theirs)
    S_expect(S_beyond_oracle(value), "admitted, but jansson refuses it", why.text);
  else
    S_expect(fb_oracle_equal(theirs, value), "read as another value", "");
  json_decref(theirs);
}

static void S_check_written(fb_value value, unsigned style) {
  fb_arena arena;
  fb_buf out, again;
  fb_value back;
  fb_error err = {0};
  fb_arena_init(&arena, NULL, 0);
  fb_buf_init(&out, NULL, 0);
  fb_buf_init(&again, NULL, 0);
  fb_json_write(&out, value, style);
  S_expect(!out.failed, "writing failed", "");
  S_expect(fb_json_read(fb_buf_slice(&out), "out", NULL, &arena, &back, &err) == FB_OK,
           "our own text is refused", err.text);
  S_expect(fb_value_equal(value, back), "our own text reads otherwise", out.ptr);
  fb_json_write(&again, back, style);
  S_expect(fb_slice_equal(fb_buf_slice(&out), fb_buf_slice(&again)),
           "written otherwise the second time", out.ptr);
  S_check_value(fb_buf_slice(&out), back);
  fb_buf_release(&again);
  fb_buf_release(&out);
  fb_arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fb_slice text = {(const char *)data, size};
  fb_arena arena;
  fb_value value;
  fb_error err = {0};
  fb_arena_init(&arena, NULL, 0);
  fb_status status = fb_json_read(text, "in", NULL, &arena, &value, &err);
  if (status) {
    S_check_error(text, status, &err);
  } else {
    S_check_value(text, value);
    S_check_written(value, FB_JSON_COMPACT);
    S_check_written(value, (unsigned)size & 7);
  }
  fb_arena_release(&arena);
  return 0;
}
