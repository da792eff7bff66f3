/* SPDX-License-Identifier: Apache-2.0
 * Projects: the bytes are read as a flyball.yaml without the files that it names. One that is refused must say why. Its cron expressions
 * must come in order, and its ways of reading lines must cope with the document itself as lines. A first byte of 1 makes the rest a cron
 * expression; one of 2 a page of metrics. */
#include "loop/engine.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void S_check(bool holds) {
  if (!holds) abort();
}

static void S_times(const fb_cron *cron, const char *zone) {
  fb_cron_zone in = {fb_slice_of(zone), strcmp(zone, "UTC") ? fb_zone_system : NULL, NULL};
  int64_t at = INT64_C(1774737000); /* an hour before the clocks are put forward in Berlin */
  for (int i = 0; i < 4; i++) {
    int64_t next = fb_cron_next(cron, &in, at);
    S_check(next > at);
    if (next == INT64_MAX) return;
    S_check(next % 60 == 0);
    at = next;
  }
}

static void S_cron(fb_slice text) {
  fb_cron cron;
  fb_error err = {0};
  size_t offset = SIZE_MAX;
  if (fb_cron_parse(text, &cron, &offset, &err)) {
    S_check(err.text[0] && offset <= text.len);
    return;
  }
  S_times(&cron, "UTC");
  S_times(&cron, "Europe/Berlin");
}

/* What comes out is JSON, line by line. */
static void S_metrics(fb_slice text) {
  fb_buf out;
  fb_arena arena;
  fb_buf_init(&out, NULL, 0);
  fb_arena_init(&arena, NULL, 0);
  fb_records_prometheus(text, FB_SLICE("metric"), &out);
  for (size_t at = 0; at < out.len;) {
    const char *newline = memchr(out.ptr + at, '\n', out.len - at);
    fb_value value;
    S_check(newline != NULL);
    size_t length = (size_t)(newline - out.ptr) - at;
    fb_json_options options = {.keep_duplicates = true};
    S_check(fb_json_read((fb_slice){out.ptr + at, length}, "metrics", &options, &arena, &value,
                         NULL) == FB_OK);
    at += length + 1;
  }
  fb_arena_release(&arena);
  fb_buf_release(&out);
}

static void S_lines(const fb_project *project, fb_slice text) {
  for (uint32_t i = 0; i < project->source_count; i++) {
    uint32_t flags;
    fb_buf out;
    fb_buf_init(&out, NULL, 16 << 20);
    fb_records_lines(&project->sources[i].parse, text, 0, &out, &flags);
    fb_buf_release(&out);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fb_slice text = {(const char *)data, size};
  fb_project *project = NULL;
  fb_errors errors;
  if (size && data[0] <= 2) {
    text = (fb_slice){text.ptr + 1, size - 1};
    if (data[0] == 1) S_cron(text);
    if (data[0] == 2) S_metrics(text);
    return 0;
  }
  fb_errors_init(&errors, NULL, 0);
  fb_status status = fb_project_read(text, "flyball.yaml", NULL, NULL, &project, &errors, NULL);
  S_check((status == FB_OK) == (fb_errors_total(&errors) == 0));
  for (uint32_t i = 0; !status && i < project->schedule_count; i++)
    S_times(&project->schedules[i].cron, "UTC");
  if (!status) S_lines(project, text);
  fb_project_free(project);
  fb_errors_release(&errors);
  return 0;
}
