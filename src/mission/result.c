/* SPDX-License-Identifier: Apache-2.0
 *
 * What comes out of a call: output read back, parsed, and made the value that `steps.ID` is.
 */
#include "mission/record.h"

#include <signal.h>
#include <stdio.h>

enum { MOST_PARSED = 512 << 20, TAIL = 2000 };

/* ── As a value ──────────────────────────────────────────────────────────────────────────────── */

typedef struct S_builder {
  fb_map *map;
  fb_arena *arena;
  bool failed;
} S_builder;

static void S_put(S_builder *builder, const char *key, fb_value value) {
  if (value.kind == FB_ABSENT) value = fb_null();
  if (builder->map &&
      !fb_map_put(builder->map, builder->arena, fb_string(fb_slice_of(key)), value, NULL))
    builder->failed = true;
}

static fb_value S_nanos(int64_t nanos) {
  return fb_duration(nanos / 1000000000, (uint32_t)(nanos % 1000000000));
}

/* The outputs of all items, and their whole results, as lists. */
static void S_put_items(S_builder *builder, const fb_items *items) {
  fb_list *outputs = fb_list_new(builder->arena, items->count);
  fb_list *results = fb_list_new(builder->arena, items->count);
  for (uint32_t i = 0; i < items->count && outputs && results && items->results; i++) {
    fb_value result = items->results[i];
    const fb_value *output =
        result.kind == FB_MAP ? fb_map_get_text(result.as.map, FB_SLICE("output")) : NULL;
    if (result.kind == FB_ABSENT) result = fb_null();
    if (!fb_list_push(outputs, builder->arena, output ? *output : fb_null()) ||
        !fb_list_push(results, builder->arena, result))
      builder->failed = true;
  }
  if (!outputs || !results) {
    builder->failed = true;
    return;
  }
  S_put(builder, "output", fb_list_value(outputs));
  S_put(builder, "items", fb_list_value(results));
}

fb_status fb_result_value(const fb_outcome *result, fb_arena *arena, fb_value *ret_value) {
  S_builder builder = {fb_map_new(arena, 11), arena, false};
  if (!builder.map) return FB_E_NOMEM;
  S_put(&builder, "ok", fb_bool(result->status == FB_STEP_OK));
  S_put(&builder, "status", fb_string(fb_slice_of(fb_step_status_name(result->status))));
  S_put(&builder, "skipped", fb_bool(result->status == FB_STEP_SKIPPED));
  if (result->items)
    S_put_items(&builder, result->items);
  else
    S_put(&builder, "output", result->output);
  S_put(&builder, "stdout", result->out);
  S_put(&builder, "stderr", result->err);
  S_put(&builder, "exit", result->exit_code >= 0 ? fb_int(result->exit_code) : fb_null());
  S_put(&builder, "signal", result->signal ? fb_int(result->signal) : fb_null());
  S_put(&builder, "duration", S_nanos(result->duration));
  const char *text = result->error ? fb_arena_text(arena, fb_slice_of(result->error->text)) : NULL;
  if (result->error && !text) builder.failed = true;
  S_put(&builder, "error", text ? fb_string(fb_slice_of(text)) : fb_null());
  if (builder.failed) return FB_E_NOMEM;
  *ret_value = fb_map_value(builder.map);
  return FB_OK;
}

/* ── Reading back ────────────────────────────────────────────────────────────────────────────── */

/* The head of a stream as a value in the call's arena. */
static fb_status S_read_head(fb_active *active, const char *path, uint64_t max, fb_slice *ret_text,
                             bool *ret_more) {
  fb_buf buf;
  *ret_text = FB_SLICE("");
  *ret_more = false;
  if (!path) return FB_OK;
  fb_buf_init(&buf, active->run->allocator, 0);
  const fb_world *world = active->run->world;
  fb_status status = world->read(world->context, path, 0, max, &buf, ret_more, &active->error);
  if (!status && buf.len) {
    const char *copy = fb_arena_text(&active->arena, fb_buf_slice(&buf));
    if (copy)
      *ret_text = (fb_slice){copy, buf.len};
    else
      status = fb_fail(&active->error, FB_E_NOMEM, "out of memory");
  }
  fb_buf_release(&buf);
  return status;
}

/* A head that was cut may end within a character. */
static fb_slice S_whole_characters(fb_slice text, bool cut) {
  for (int i = 0; cut && i < 4 && text.len; i++) {
    unsigned char last = (unsigned char)text.ptr[text.len - 1];
    if (last < 0x80) break;
    text.len--;
    if (last >= 0xc0) break;
  }
  return text;
}

static fb_value S_head_value(fb_slice text, bool cut) {
  fb_slice whole = fb_utf8_valid(text.ptr, text.len, NULL) ? text : S_whole_characters(text, cut);
  return fb_utf8_valid(whole.ptr, whole.len, NULL) ? fb_string(whole) : fb_bytes(text);
}

static fb_status S_read_streams(fb_active *active) {
  uint64_t max = active->run->mission->limits.output;
  fb_slice text;
  bool more;
  fb_status status = S_read_head(active, active->out_path, max, &text, &more);
  if (status) return status;
  active->out = S_head_value(text, more);
  status = S_read_head(active, active->err_path, max, &text, &more);
  if (status) return status;
  active->err = S_head_value(text, more);
  return FB_OK;
}

/* The whole of standard output, for parsing. It may be larger than limits.output. */
static fb_status S_parse_whole(fb_active *active, fb_parse parse) {
  const fb_world *world = active->run->world;
  const fb_step *step = &active->run->mission->steps[active->step];
  char name[200];
  bool more = false;
  fb_buf buf;
  fb_buf_init(&buf, active->run->allocator, 0);
  fb_status status = FB_OK;
  if (active->out_path)
    status =
        world->read(world->context, active->out_path, 0, MOST_PARSED, &buf, &more, &active->error);
  if (!status && more)
    status = fb_fail(&active->error, FB_E_LIMIT, "more than %d MiB of output cannot be parsed",
                     MOST_PARSED >> 20);
  snprintf(name, sizeof name, "<output of %.*s>", (int)step->id.len, step->id.ptr);
  fb_error err = {0};
  fb_slice text = fb_buf_slice(&buf);
  if (!status) {
    /* Texts and lines point into what they are parsed from; JSON and CSV copy. */
    bool keep = parse == FB_PARSE_TEXT || parse == FB_PARSE_LINES;
    const char *copy = keep ? fb_arena_text(&active->arena, text) : NULL;
    if (copy) text.ptr = copy;
    status = keep && !copy ? fb_fail(&err, FB_E_NOMEM, "out of memory")
                           : fb_parse_output(parse, text, name, active->call.hash_seed,
                                             &active->arena, &active->call.output, &err);
    if (status == FB_E_NOMEM) {
      active->error = err;
    } else if (status) {
      active->error = err;
      active->error.code = status = FB_E_STEP_PARSE;
      fb_error_prefix(&active->error, "the output does not parse");
    }
  }
  fb_buf_release(&buf);
  return status;
}

/* The last line of standard error that is not blank, for the message. */
static void S_last_words(fb_active *active, char *out, size_t size) {
  const fb_world *world = active->run->world;
  fb_buf buf;
  out[0] = 0;
  if (!active->err_path) return;
  fb_buf_init(&buf, active->run->allocator, 0);
  uint64_t from = active->err_size > TAIL ? active->err_size - TAIL : 0;
  if (!world->read(world->context, active->err_path, from, TAIL, &buf, NULL, NULL)) {
    fb_slice text = fb_buf_slice(&buf);
    while (text.len && (unsigned char)text.ptr[text.len - 1] <= ' ') text.len--;
    size_t start = text.len;
    while (start && text.ptr[start - 1] != '\n') start--;
    text = (fb_slice){text.ptr + start, text.len - start};
    if (text.len > size - 1) text.len = size - 1;
    if (fb_utf8_valid(text.ptr, text.len, NULL)) {
      for (size_t i = 0; i < text.len; i++)
        out[i] = (unsigned char)text.ptr[i] < ' ' ? ' ' : text.ptr[i];
      out[text.len] = 0;
    }
  }
  fb_buf_release(&buf);
}

static const char *S_signal_name(int number) {
  const char *name = sigabbrev_np(number);
  return name ? name : "?";
}

static fb_status S_judge_exit(fb_active *active) {
  const fb_step *step = &active->run->mission->steps[active->step];
  char words[240];
  if (active->exit_code == 0 && active->signal == 0) return FB_OK;
  S_last_words(active, words, sizeof words);
  const char *colon = words[0] ? ": " : "";
  if (active->signal)
    return fb_mission_fail(active->run->mission, step->action, &active->error, FB_E_STEP_EXIT,
                           "ended by SIG%s%s%s", S_signal_name(active->signal), colon, words);
  return fb_mission_fail(active->run->mission, step->action, &active->error, FB_E_STEP_EXIT,
                         "exit code %d%s%s", active->exit_code, colon, words);
}

/* Without `parse` the output is the text, without the newlines at its end. */
static void S_trimmed_output(fb_active *active) {
  fb_slice text = fb_value_text(active->out);
  while (text.len && text.ptr[text.len - 1] == '\n') text.len--;
  active->call.output = fb_text_or_bytes(text);
}

static fb_status S_after_process(fb_active *active) {
  const fb_step *step = &active->run->mission->steps[active->step];
  fb_status status = FB_OK;
  if (step->referenced) status = S_read_streams(active);
  if (!status) status = S_judge_exit(active);
  if (!status && active->lost)
    return fb_mission_fail(active->run->mission, step->action, &active->error, FB_E_STEP_KEPT,
                           "what it wrote could not be kept: %s", strerror(active->lost));
  if (step->parse && !status) return S_parse_whole(active, (fb_parse)step->parse);
  if (!step->parse && step->referenced && active->out.kind != FB_ABSENT) S_trimmed_output(active);
  return status;
}

static fb_status S_sync_kept(fb_active *active) {
  const fb_world *world = active->run->world;
  fb_error *err = active->status ? NULL : &active->error;
  fb_status status = FB_OK;
  if (fb_result_is_small(active)) return FB_OK;
  if (active->out_path) status = world->sync(world->context, active->out_path, err);
  if (!status && active->err_path) status = world->sync(world->context, active->err_path, err);
  return status;
}

void fb_active_work(void *user) {
  fb_active *active = user;
  const fb_step *step = &active->run->mission->steps[active->step];
  if (step->tool->process)
    active->status = S_after_process(active);
  else
    active->status = step->tool->work(step->tool_plan, &active->call, &active->error);
  fb_run_hide_result(active);
  if (!active->run->recorder) return;
  fb_digest_output(active);
  /* What is read again after a crash must be on disk before it is recorded that it is there. */
  if (!step->tool->process || !step->referenced || !active->run->world->sync) return;
  fb_status synced = S_sync_kept(active);
  if (!active->status) active->status = synced;
}

fb_status fb_active_reread(fb_active *active) {
  const fb_step *step = &active->run->mission->steps[active->step];
  if (!step->referenced || !step->tool->process) return FB_OK;
  fb_status status = S_read_streams(active);
  if (status) return status;
  if (step->parse)
    return active->replayed_status == FB_STEP_OK ? S_parse_whole(active, (fb_parse)step->parse)
                                                 : FB_OK;
  S_trimmed_output(active);
  return FB_OK;
}
