/* SPDX-License-Identifier: Apache-2.0
 * Finds the records of NDJSON and of a JSON array in the buffer. */
#include "data/json_scan.h"
#include "data/stream_internal.h"

static fb_status S_too_long(fb_stream *stream, fb_errors *errors, const char *at) {
  fb_error err;
  fb_fail(&err, FB_E_STREAM_LENGTH, "the record is longer than %zu bytes",
          stream->options.max_record);
  fb_stream_locate(stream, &err, at, 1);
  return fb_stream_report(stream, errors, &err);
}

/* ── NDJSON ── */

/* Passes the rest of a line that was too long. True once its end was found. */
static bool S_skip_line(fb_stream *stream) {
  const char *at = stream->buf + stream->start, *end = stream->buf + stream->end;
  const char *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
  stream->start = stop ? (size_t)(stop - stream->buf) + 1 : stream->end;
  stream->skipping = !stop;
  stream->lines += stop != NULL;
  return stop != NULL;
}

/* One line without its end. */
static fb_status S_take_line(fb_stream *stream, const char *at, const char *stop,
                             fb_errors *errors) {
  if ((size_t)(stop - at) > stream->options.max_record) return S_too_long(stream, errors, at);
  at = fb_scan_blank(at, stop);
  while (stop > at && (stop[-1] == ' ' || stop[-1] == '\t' || stop[-1] == '\r')) stop--;
  if (at == stop) return FB_OK;
  fb_error err;
  fb_status status = fb_stream_record(stream, (fb_slice){at, (size_t)(stop - at)}, &err);
  return status ? fb_stream_report(stream, errors, &err) : FB_OK;
}

/* One past the last line end; at the end of the input, that of the last line may be missing. */
static const char *S_line_limit(fb_stream *stream) {
  char *at = stream->buf + stream->start, *end = stream->buf + stream->end;
  if (stream->eof) {
    *end = '\n';
    return end;
  }
  size_t known = stream->scanned;
  stream->scanned = 0;
  const char *last = memrchr(at + known, '\n', (size_t)(end - at) - known);
  if (last) return last + 1;
  stream->scanned = (size_t)(end - at);
  return at;
}

fb_status fb_stream_take_ndjson(fb_stream *stream, fb_errors *errors) {
  if (stream->skipping && !S_skip_line(stream)) return FB_OK;
  const char *limit = S_line_limit(stream), *at = stream->buf + stream->start;
  if (at == limit && !stream->eof && stream->end - stream->start > stream->options.max_record) {
    fb_status status = S_too_long(stream, errors, at);
    S_skip_line(stream);
    stream->scanned = 0;
    return status;
  }
  fb_status status = FB_OK;
  while (at < limit && !status && !fb_stream_batch_full(stream)) {
    bool open;
    uint64_t before = stream->records;
    const char *stop = fb_shape_run(stream, at, limit, &open);
    stream->lines += (uint32_t)(stream->records - before);
    if (stop == at) {
      stop = memchr(at, '\n', (size_t)(limit - at) + 1);
      status = S_take_line(stream, at, stop, errors);
      stop++;
      stream->lines++;
    }
    at = stop;
  }
  const char *end = stream->buf + stream->end;
  stream->start = (size_t)((at < end ? at : end) - stream->buf);
  if (at >= limit && !stream->eof) stream->scanned = stream->end - stream->start;
  return status;
}

/* ── JSON array ── */

/* The end of the record that begins at start, from `scanned` on; NULL if it is not there yet. */
static const char *S_record_end(fb_stream *stream) {
  const char *at = stream->buf + stream->start + stream->scanned, *end = stream->buf + stream->end;
  uint32_t depth = stream->skip.depth;
  bool text = stream->skip.text, escaped = stream->skip.escaped;
  while (at < end) {
    if (escaped) {
      escaped = false;
      at++;
      continue;
    }
    if (text) {
      unsigned high = 0;
      at = fb_scan_plain(at, end, &high);
      if (at == end) break;
      escaped = *at == '\\';
      text = *at++ != '"';
      continue;
    }
    char c = *at++;
    if (c == '"') text = true;
    if (c == '{' || c == '[') depth++;
    if ((c == '}' || c == ']') && --depth == 0) {
      memset(&stream->skip, 0, sizeof stream->skip);
      stream->scanned = 0;
      return at;
    }
  }
  stream->scanned = (size_t)(at - stream->buf) - stream->start;
  stream->skip.depth = depth;
  stream->skip.text = text;
  stream->skip.escaped = escaped;
  return NULL;
}

/* A fault in the array's own syntax: nothing after it can be trusted. FB_DONE: the message depends on bytes
 * that have not come yet. */
static fb_status S_broken(fb_stream *stream, fb_errors *errors, const char *at, fb_json_want want) {
  enum { LONGEST_WORD = 16 };
  fb_error err;
  const char *end = stream->buf + stream->end;
  if (end - at < LONGEST_WORD && !stream->eof) return FB_DONE;
  size_t from = at - stream->buf > 100 ? (size_t)(at - stream->buf) - 100 : 0;
  fb_slice text = {stream->buf + from, (size_t)(end - stream->buf) - from};
  fb_json_fail(&err, stream->options.name, text, (size_t)(at - text.ptr), FB_JSON_UNEXPECTED, want);
  fb_stream_locate(stream, &err, at, 1);
  fb_stream_report(stream, errors, &err);
  return err.code;
}

/* One record that begins at start. FB_DONE: its end has not come yet. */
static fb_status S_take_object(fb_stream *stream, fb_errors *errors) {
  const char *at = stream->buf + stream->start, *stop = S_record_end(stream);
  size_t len = (size_t)((stop ? stop : stream->buf + stream->end) - at);
  if (len > stream->options.max_record) {
    fb_status status = S_too_long(stream, errors, at);
    return status ? status : FB_E_STREAM_LENGTH;
  }
  if (!stop && !stream->eof) return FB_DONE;
  fb_error err;
  fb_status status = fb_stream_record(stream, (fb_slice){at, len}, &err);
  stream->start += len;
  if (!status) return FB_OK;
  fb_status ended = fb_stream_report(stream, errors, &err);
  return status == FB_E_JSON_SYNTAX || !stop ? status : ended;
}

static fb_json_want S_want(fb_array_state state) {
  switch (state) {
    case FB_ARRAY_BEGIN: return FB_JSON_WANT_VALUE;
    case FB_ARRAY_FIRST: return FB_JSON_WANT_ITEM_OR_END;
    case FB_ARRAY_RECORD: return FB_JSON_WANT_ITEM;
    case FB_ARRAY_COMMA: return FB_JSON_WANT_LIST_COMMA;
    default: return FB_JSON_WANT_NOTHING;
  }
}

/* Something else where a record should begin. */
static fb_status S_no_object(fb_stream *stream, fb_errors *errors, const char *at) {
  if (!*at || !strchr("[\"-0123456789tfn", *at))
    return S_broken(stream, errors, at, S_want(stream->array));
  fb_error err;
  fb_fail(&err, FB_E_STREAM_RECORD, "a fact is an object");
  fb_stream_locate(stream, &err, at, 1);
  fb_stream_report(stream, errors, &err);
  return err.code;
}

/* The byte at start, which is no white space. Sets what comes next. FB_DONE: more bytes are needed. */
static fb_status S_array_step(fb_stream *stream, fb_errors *errors) {
  const char *at = stream->buf + stream->start;
  fb_array_state state = stream->array;
  switch (state) {
    case FB_ARRAY_BEGIN:
      if (*at == '[') {
        stream->array = FB_ARRAY_FIRST;
        stream->start++;
        return FB_OK;
      }
      break;
    case FB_ARRAY_COMMA:
      if (*at != ',' && *at != ']') return S_broken(stream, errors, at, S_want(state));
      stream->array = *at == ',' ? FB_ARRAY_RECORD : FB_ARRAY_END;
      stream->start++;
      return FB_OK;
    case FB_ARRAY_FIRST:
      if (*at != ']') break;
      stream->array = FB_ARRAY_END;
      stream->start++;
      return FB_OK;
    case FB_ARRAY_RECORD: break;
    default: return S_broken(stream, errors, at, S_want(state));
  }
  if (*at != '{') return S_no_object(stream, errors, at);
  fb_status status = S_take_object(stream, errors);
  if (status == FB_OK) stream->array = state == FB_ARRAY_BEGIN ? FB_ARRAY_END : FB_ARRAY_COMMA;
  return status;
}

/* Records that look like one before, while the array expects some. */
static void S_run(fb_stream *stream) {
  if ((stream->array != FB_ARRAY_RECORD && stream->array != FB_ARRAY_FIRST) || stream->scanned)
    return;
  bool open = false;
  const char *at = stream->buf + stream->start;
  const char *stop = fb_shape_run(stream, at, stream->buf + stream->end, &open);
  if (stop == at) return;
  stream->start = (size_t)(stop - stream->buf);
  stream->array = open ? FB_ARRAY_COMMA : FB_ARRAY_RECORD;
}

fb_status fb_stream_take_array(fb_stream *stream, fb_errors *errors) {
  for (fb_status status = FB_OK;;) {
    const char *end = stream->buf + stream->end;
    const char *at = fb_scan_blank(stream->buf + stream->start, end);
    stream->start = (size_t)(at - stream->buf);
    if (at < end && !fb_stream_batch_full(stream)) S_run(stream);
    if (fb_stream_batch_full(stream)) return FB_OK;
    at = fb_scan_blank(stream->buf + stream->start, end);
    stream->start = (size_t)(at - stream->buf);
    if (at == end) break;
    status = S_array_step(stream, errors);
    if (status == FB_DONE) return FB_OK;
    if (status) return status;
  }
  if (!stream->eof || stream->array == FB_ARRAY_END) return FB_OK;
  return S_broken(stream, errors, stream->buf + stream->end, S_want(stream->array));
}
