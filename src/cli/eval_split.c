/* SPDX-License-Identifier: Apache-2.0
 *
 * In rounds: each slot takes the next piece of the file, whose borders are ends of lines, and keeps what it has to say; then all is
 * written in order. Lines of records with errors and numbers of firings are told then, since they depend on what was before.
 */
#include "cli/eval_split.h"

#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 20, MAX_RECORD_ERRORS = 100, MAX_RULE_ERRORS = 100 };

typedef enum S_said { S_RECORD, S_RULE, S_TEXT } S_said;

/* For stderr. */
typedef struct S_remark {
  uint8_t said;
  size_t text, len; /* of TEXT, in the slot's talk */
  fb_error *error;
} S_remark;

struct fb_split_slot {
  fb_split *split;
  fb_session *session;
  int fd;
  const char *name;
  uint64_t from, to, at; /* bytes of the file; borders are moved to ends of lines */
  uint64_t lines, records;
  fb_buf out, talk;
  size_t *ends; /* with --json: where in `out` the decisions' numbers go */
  size_t end_count, end_cap;
  S_remark *remarks;
  size_t remark_count, remark_cap;
  fb_arena arena;   /* of errors */
  fb_status status; /* what ended it */
  fb_error err;
  uint64_t firings; /* of this piece */
};

/* ── In the threads ── */

static fb_status S_remark_on(fb_split_slot *slot, uint8_t said, const fb_error *err, size_t text) {
  if (!fb_grow(NULL, (void **)&slot->remarks, &slot->remark_cap, slot->remark_count,
               sizeof *slot->remarks))
    return FB_E_NOMEM;
  S_remark *remark = &slot->remarks[slot->remark_count];
  *remark = (S_remark){.said = said, .text = text, .len = slot->talk.len - text};
  if (err && !(remark->error = fb_arena_copy(&slot->arena, err, sizeof *err))) return FB_E_NOMEM;
  slot->remark_count++;
  return FB_OK;
}

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  fb_split_slot *slot = context;
  bool json = slot->split->cli->json;
  (void)session;
  slot->split->decision(&slot->out, json, decision);
  if (json) {
    if (!fb_grow(NULL, (void **)&slot->ends, &slot->end_cap, slot->end_count, sizeof *slot->ends))
      return FB_E_NOMEM;
    slot->ends[slot->end_count++] = slot->out.len;
  } else {
    fb_buf_text(&slot->out, "}\n");
  }
  return slot->out.failed ? FB_E_NOMEM : FB_OK;
}

static void S_log(void *context, fb_session *session, const fb_decision *line) {
  fb_split_slot *slot = context;
  bool json = slot->split->cli->json;
  (void)session;
  if (json) {
    slot->split->log(&slot->out, true, line);
    fb_buf_text(&slot->out, "}\n");
    return;
  }
  size_t from = slot->talk.len;
  slot->split->log(&slot->talk, false, line);
  if (S_remark_on(slot, S_TEXT, NULL, from) != FB_OK) slot->status = FB_E_NOMEM;
}

static void S_error(void *context, fb_session *session, const fb_error *err) {
  fb_split_slot *slot = context;
  (void)session;
  if (S_remark_on(slot, S_RULE, err, 0) != FB_OK) slot->status = FB_E_NOMEM;
}

/* Where the first line begins at or behind the place. */
static uint64_t S_line_at(int fd, uint64_t at) {
  char block[4096];
  if (at == 0) return 0;
  for (at--;;) {
    ssize_t got = pread(fd, block, sizeof block, (off_t)at);
    if (got <= 0) return at;
    const char *end = memchr(block, '\n', (size_t)got);
    if (end) return at + (uint64_t)(end - block) + 1;
    at += (uint64_t)got;
  }
}

static int64_t S_read(void *context, void *bytes, size_t len) {
  fb_split_slot *slot = context;
  if (len > slot->to - slot->at) len = (size_t)(slot->to - slot->at);
  ssize_t got = len ? pread(slot->fd, bytes, len, (off_t)slot->at) : 0;
  if (got <= 0) return got;
  slot->at += (uint64_t)got;
  for (const char *at = bytes, *end = at + got; (at = memchr(at, '\n', (size_t)(end - at))); at++)
    slot->lines++;
  return got;
}

static fb_status S_decide(fb_split_slot *slot, const fb_batch *batch) {
  for (size_t i = 0; i < batch->run_count && slot->status == FB_OK; i++) {
    const fb_run *run = &batch->runs[i];
    fb_status status = fb_session_assert_rows(slot->session, run->facts, run->first, run->count,
                                              NULL, NULL, &slot->err);
    if (status != FB_OK) slot->status = status;
  }
  fb_session_forget_texts(slot->session);
  return slot->status;
}

static void S_decide_all(fb_split_slot *slot, fb_stream *stream) {
  for (fb_status status = FB_OK; status == FB_OK && slot->status == FB_OK;) {
    fb_errors errors;
    fb_batch batch;
    fb_errors_init(&errors, NULL, 0);
    status = fb_stream_next(stream, &batch, &errors);
    fb_errors_sort(&errors);
    for (size_t i = 0; i < errors.count && slot->status == FB_OK; i++)
      slot->status = S_remark_on(slot, S_RECORD, &errors.items[i], 0);
    fb_errors_release(&errors);
    if (status == FB_OK)
      S_decide(slot, &batch);
    else if (status != FB_DONE && slot->status == FB_OK)
      slot->status = fb_fail(&slot->err, status, "the facts cannot be read on");
  }
  slot->records = fb_stream_records(stream);
}

static void S_clear(fb_split_slot *slot) {
  fb_buf_clear(&slot->out);
  fb_buf_clear(&slot->talk);
  fb_arena_reset(&slot->arena);
  slot->end_count = slot->remark_count = 0;
  slot->lines = slot->records = slot->firings = 0;
  slot->status = FB_OK;
}

static void S_work(void *argument, uint32_t number) {
  fb_split_slot *slot = &((fb_split *)argument)->slots[number];
  fb_stream *stream;
  S_clear(slot);
  slot->from = slot->at = S_line_at(slot->fd, slot->from);
  slot->to = S_line_at(slot->fd, slot->to);
  if (slot->from >= slot->to) return;
  uint64_t before = fb_session_statistics(slot->session).firings;
  fb_source source = {S_read, slot};
  slot->status = fb_stream_open(source, fb_session_schema(slot->session), &slot->split->stream,
                                NULL, &stream, &slot->err);
  if (slot->status != FB_OK) return;
  S_decide_all(slot, stream);
  fb_stream_free(stream);
  slot->firings = fb_session_statistics(slot->session).firings - before;
}

/* ── What they have to say ── */

static void S_tell_error(fb_split *split, const S_remark *remark, uint64_t lines) {
  fb_error err = *remark->error;
  if (remark->said == S_RECORD) {
    split->refused = true;
    split->record_errors++;
    err.line += (uint32_t)lines;
    fb_cli_error(split->cli, &err);
  } else {
    split->failed = true;
    if (split->rule_errors++ < MAX_RULE_ERRORS) fb_cli_error(split->cli, &err);
  }
}

static void S_tell_remarks(fb_split *split, const fb_split_slot *slot, uint64_t lines) {
  for (size_t i = 0; i < slot->remark_count; i++) {
    const S_remark *remark = &slot->remarks[i];
    fb_progress_hide(split->progress);
    if (remark->said == S_TEXT)
      fb_cli_note(split->cli, "%.*s", (int)remark->len, slot->talk.ptr + remark->text);
    else if (remark->said != S_RECORD || split->record_errors < MAX_RECORD_ERRORS)
      S_tell_error(split, remark, lines);
  }
}

static void S_write(fb_split *split, const fb_split_slot *slot) {
  size_t from = 0;
  unsigned long long firing = split->firings;
  for (size_t i = 0; i < slot->end_count; i++) {
    fb_out_write(split->cli, slot->out.ptr + from, slot->ends[i] - from);
    fb_out_printf(split->cli, ",\"firing\":%llu}\n", ++firing);
    from = slot->ends[i];
  }
  if (slot->out.len > from) fb_out_write(split->cli, slot->out.ptr + from, slot->out.len - from);
}

/* Returns an fb_exit; `lines` are those before the piece. */
static int S_finish(fb_split *split, const fb_split_slot *slot, uint64_t lines) {
  S_tell_remarks(split, slot, lines);
  S_write(split, slot);
  split->firings += slot->firings;
  split->records += slot->records;
  if (fb_out_failed(split->cli)) return FB_EXIT_OUTSIDE;
  bool many = split->record_errors >= MAX_RECORD_ERRORS;
  if (slot->status == FB_OK) return FB_EXIT_OK;
  /* That there were too many bad records was told record by record. */
  if (many) return FB_EXIT_DOCUMENT;
  fb_progress_hide(split->progress);
  return slot->remark_count && slot->remarks[slot->remark_count - 1].said == S_RECORD
             ? fb_exit_of(slot->status)
             : fb_cli_error(split->cli, &slot->err);
}

int fb_split_file(fb_split *split, int fd, const char *name) {
  struct stat info;
  uint64_t lines = 0, from = 0;
  if (fstat(fd, &info) != 0) return fb_cli_fail(split->cli, FB_E_IO, "cannot read %s", name);
  uint64_t size = (uint64_t)info.st_size, before = split->bytes;
  split->record_errors = 0;
  split->stream.name = name;
  split->stream.format = FB_STREAM_NDJSON;
  for (int code = FB_EXIT_OK; from < size; from += (uint64_t)split->slot_count * PIECE) {
    for (uint32_t i = 0; i < split->slot_count; i++) {
      fb_split_slot *slot = &split->slots[i];
      slot->fd = fd;
      slot->from = from + (uint64_t)i * PIECE < size ? from + (uint64_t)i * PIECE : size;
      slot->to = slot->from + PIECE < size ? slot->from + PIECE : size;
    }
    fb_team_run(split->team, S_work, split, split->slot_count);
    for (uint32_t i = 0; i < split->slot_count && code == FB_EXIT_OK; i++) {
      code = S_finish(split, &split->slots[i], lines);
      lines += split->slots[i].lines;
      if (split->slots[i].to > split->slots[i].from) split->bytes = before + split->slots[i].to;
    }
    fb_out_flush(split->cli);
    if (code == FB_EXIT_OK && fb_out_failed(split->cli)) code = FB_EXIT_OUTSIDE;
    if (code != FB_EXIT_OK) return code;
    if (split->record_errors >= MAX_RECORD_ERRORS) return FB_EXIT_DOCUMENT;
    fb_progress_show(split->progress, split->bytes, split->records);
  }
  split->bytes = before + size;
  return FB_EXIT_OK;
}

bool fb_split_takes(int fd, fb_stream_format format) {
  struct stat info;
  char first[64];
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || lseek(fd, 0, SEEK_CUR) != 0) return false;
  if (format != FB_STREAM_AUTO) return format == FB_STREAM_NDJSON;
  ssize_t got = pread(fd, first, sizeof first, 0);
  for (ssize_t i = 0; i < got; i++)
    if (!strchr(" \t\r\n", first[i])) return first[i] == '{';
  return false;
}

/* ── Making ── */

fb_status fb_split_init(fb_split *split, const fb_ruleset *rules, uint32_t threads,
                        const fb_session_options *session) {
  split->slots = fb_alloc_zero(NULL, 2 * threads * sizeof *split->slots);
  if (!split->slots) return FB_E_NOMEM;
  split->slot_count = 2 * threads;
  for (uint32_t i = 0; i < split->slot_count; i++) {
    fb_split_slot *slot = &split->slots[i];
    fb_session_options options = *session;
    options.output = (fb_session_output){
        .decision = S_decision, .log = S_log, .error = S_error, .context = slot};
    slot->split = split;
    fb_buf_init(&slot->out, NULL, 0);
    fb_buf_init(&slot->talk, NULL, 0);
    fb_arena_init(&slot->arena, NULL, 0);
    fb_status status = fb_session_new(rules, &options, NULL, &slot->session);
    if (status != FB_OK) return status;
  }
  return FB_OK;
}

void fb_split_release(fb_split *split) {
  for (uint32_t i = 0; i < split->slot_count; i++) {
    fb_split_slot *slot = &split->slots[i];
    fb_session_free(slot->session);
    fb_buf_release(&slot->out);
    fb_buf_release(&slot->talk);
    fb_arena_release(&slot->arena);
    fb_free(NULL, slot->ends, slot->end_cap * sizeof *slot->ends);
    fb_free(NULL, slot->remarks, slot->remark_cap * sizeof *slot->remarks);
  }
  fb_free(NULL, split->slots, split->slot_count * sizeof *split->slots);
}

/* Rules without conditions are those of the session that fires them: each slot's has them too. */
static uint64_t S_idle(const fb_split_slot *slot) {
  return fb_session_statistics(slot->session).agenda;
}

void fb_split_add_statistics(const fb_split *split, fb_session_stats *stats) {
  for (uint32_t i = 0; i < split->slot_count; i++) {
    fb_session_stats slot = fb_session_statistics(split->slots[i].session);
    slot.activations -= S_idle(&split->slots[i]);
    stats->asserted += slot.asserted;
    stats->activations += slot.activations;
    stats->firings += slot.firings;
    stats->decisions += slot.decisions;
    stats->errors += slot.errors;
    stats->memory += slot.memory;
  }
}

void fb_split_add_rule_statistics(const fb_split *split, size_t rule, fb_rule_stats *stats) {
  for (uint32_t i = 0; i < split->slot_count; i++) {
    fb_rule_stats slot = fb_session_rule_statistics(split->slots[i].session, rule);
    /* A rule that never fires there has activations only if it has no conditions, or fails; then it has errors. */
    if (!slot.firings && !slot.errors) slot.activations = 0;
    stats->activations += slot.activations;
    stats->firings += slot.firings;
    stats->errors += slot.errors;
    stats->nanos += slot.nanos;
  }
}
