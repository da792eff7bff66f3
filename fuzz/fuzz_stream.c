/* SPDX-License-Identifier: Apache-2.0
 * Fact streams. The first byte picks the format and in what pieces the rest arrives: in one piece and in
 * small ones the outcome must be the same, errors and their places too. NDJSON must give what
 * fb_json_read makes of each line. */
#include "../tests/stream_oracle.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ERRORS = 100 };

static void S_expect(bool holds, const char *what, const fb_outcome *a, const fb_buf *b) {
  if (holds) return;
  fprintf(stderr, "fuzz_stream: %s\n--- %s\n--- %s\n", what, a->text.ptr ? a->text.ptr : "",
          b->ptr ? b->ptr : "");
  abort();
}

static fb_outcome S_read(fb_slice text, size_t step, fb_stream_options options) {
  static const fb_field fields[] = {{{"a", 1}, FB_FIELD_STRING}, {{"b", 1}, FB_FIELD_DOUBLE},
                                    {{"c", 1}, FB_FIELD_INT},    {{"d", 1}, FB_FIELD_TIMESTAMP},
                                    {{"e", 1}, FB_FIELD_LIST},   {{"f", 1}, FB_FIELD_BOOL}};
  fb_dripping d = {.rest = text, .step = step};
  return fb_oracle_stream((fb_source){fb_drip, &d}, options, fields,
                          sizeof fields / sizeof *fields);
}

/* Lines of undeclared types only: what is declared, the JSON reader does not know. */
static void S_check_lines(fb_slice text, const fb_outcome *whole) {
  if (memmem(text.ptr, text.len, "order", 5) || memchr(text.ptr, '\\', text.len)) return;
  if (whole->status == FB_E_STREAM_ENCODING) return; /* UTF-16: not read at all */
  fb_buf expected;
  fb_buf_init(&expected, NULL, 0);
  size_t bad = fb_oracle_lines(text, &expected);
  bool same = whole->text.len >= expected.len &&
              (!expected.len || memcmp(whole->text.ptr, expected.ptr, expected.len) == 0);
  size_t reported = 0;
  for (size_t i = expected.len; same && i < whole->text.len; i++)
    reported += whole->text.ptr[i] == '\n';
  S_expect(bad >= ERRORS || (same && reported == bad), "not what the JSON reader reads", whole,
           &expected);
  fb_buf_release(&expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  fb_slice text = {(const char *)data + 1, size - 1};
  fb_stream_options options = {
      .name = "in", .format = (fb_stream_format)(data[0] & 3), .max_errors = ERRORS};
  if (data[0] & 4) options.type = FB_SLICE("order");
  if (data[0] & 8) options.max_record = 64;
  if (data[0] & 16) options.batch_rows = 3;
  if (options.format == FB_STREAM_NDJSON) options.type = (fb_slice){0};
  fb_outcome whole = S_read(text, 0, options), dripped = S_read(text, 1 + (data[0] >> 5), options);
  S_expect(whole.status == dripped.status &&
               fb_slice_equal(fb_buf_slice(&whole.text), fb_buf_slice(&dripped.text)),
           "the pieces make a difference", &whole, &dripped.text);
  if (options.format == FB_STREAM_NDJSON && !(data[0] & 8)) S_check_lines(text, &whole);
  fb_buf_release(&whole.text);
  fb_buf_release(&dripped.text);
  return 0;
}
