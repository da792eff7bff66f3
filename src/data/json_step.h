/* SPDX-License-Identifier: Apache-2.0
 *
 * The event reader's step, to be inlined: json_events.c makes a function of it for everybody, json_read.c
 * has it in its loop, where an event never leaves the registers.
 */
#ifndef FB_DATA_JSON_STEP_H
#define FB_DATA_JSON_STEP_H

#include "data/json_scan.h"

/* An error at `at`, which knows what was wanted. */
fb_status fb_json_events_fail(const fb_json_events *events, fb_error *err, fb_json_fault fault,
                              const char *at);
/* Replaces the raw text of the event by its meaning, in the arena. */
fb_status fb_json_events_unescape(fb_json_events *events, fb_slice raw, fb_json_event *ret_event,
                                  fb_error *err);

/* The level has changed: what it expects after a value. */
static inline void fb_step_level(fb_json_events *events) {
  uint32_t level = events->depth - 1;
  if (events->depth == 0)
    events->after = FB_JSON_WANT_NOTHING;
  else
    events->after = events->maps[level / 64] >> (level % 64) & 1 ? FB_JSON_WANT_MAP_COMMA
                                                                 : FB_JSON_WANT_LIST_COMMA;
}

static inline fb_status fb_step_begin(fb_json_events *events, bool map, fb_json_event *ret_event,
                                      fb_error *err) {
  if (events->depth >= events->max_depth)
    return fb_json_events_fail(events, err, FB_JSON_TOO_DEEP, events->at);
  uint32_t level = events->depth++;
  uint64_t bit = UINT64_C(1) << (level % 64);
  events->maps[level / 64] = map ? events->maps[level / 64] | bit : events->maps[level / 64] & ~bit;
  events->want = map ? FB_JSON_WANT_KEY_OR_END : FB_JSON_WANT_ITEM_OR_END;
  events->after = map ? FB_JSON_WANT_MAP_COMMA : FB_JSON_WANT_LIST_COMMA;
  ret_event->kind = map ? FB_JSON_BEGIN_MAP : FB_JSON_BEGIN_LIST;
  ret_event->length = 1;
  events->at++;
  return FB_OK;
}

static inline fb_status fb_step_end(fb_json_events *events, fb_json_event *ret_event) {
  ret_event->kind = *events->at == '}' ? FB_JSON_END_MAP : FB_JSON_END_LIST;
  ret_event->offset = (size_t)(events->at - events->start);
  ret_event->length = 1;
  events->at++;
  events->depth--;
  fb_step_level(events);
  events->want = events->after;
  return FB_OK;
}

/* events->at is the opening quote. */
static inline fb_status fb_step_string(fb_json_events *events, fb_json_event *ret_event,
                                       fb_error *err) {
  fb_slice raw;
  bool escaped;
  fb_scan_fault fault;
  const char *next = fb_scan_string(events->at + 1, events->end, &raw, &escaped, &fault);
  if (FB_UNLIKELY(!next)) return fb_json_events_fail(events, err, fault.fault, fault.at);
  ret_event->value = fb_string(raw);
  ret_event->borrowed = true;
  ret_event->length = (size_t)(next - events->at);
  if (escaped) {
    fb_status status = fb_json_events_unescape(events, raw, ret_event, err);
    if (status) return status;
  }
  events->at = next;
  return FB_OK;
}

static inline fb_status fb_step_word(fb_json_events *events, fb_slice word, fb_value value,
                                     fb_json_event *ret_event, fb_error *err) {
  fb_slice rest = {events->at, (size_t)(events->end - events->at)};
  if (!fb_slice_starts(rest, word))
    return fb_json_events_fail(events, err, FB_JSON_UNEXPECTED, events->at);
  ret_event->value = value;
  ret_event->length = word.len;
  events->at += word.len;
  return FB_OK;
}

static inline fb_status fb_step_number(fb_json_events *events, fb_json_event *ret_event,
                                       fb_error *err) {
  fb_scan_fault fault;
  const char *next = fb_scan_number(events->at, events->end, &ret_event->value, &fault);
  if (FB_UNLIKELY(!next)) {
    bool bare = fault.fault == FB_JSON_NUMBER_DIGIT &&
                fault.at == events->at + 1; /* `-x`: the hint knows -Infinity */
    if (bare && fault.at < events->end && *fault.at == 'I')
      return fb_json_events_fail(events, err, FB_JSON_UNEXPECTED, events->at);
    return fb_json_events_fail(events, err, fault.fault, fault.at);
  }
  ret_event->length = (size_t)(next - events->at);
  events->at = next;
  return FB_OK;
}

/* events->at < events->end is the first byte of what should be a value. */
static inline __attribute__((always_inline)) fb_status fb_step_value(fb_json_events *events,
                                                                     fb_json_event *ret_event,
                                                                     fb_error *err) {
  fb_status status;
  ret_event->kind = FB_JSON_SCALAR;
  ret_event->borrowed = false;
  ret_event->offset = (size_t)(events->at - events->start);
  switch (*events->at) {
    case '"': status = fb_step_string(events, ret_event, err); break;
    case '{': return fb_step_begin(events, true, ret_event, err);
    case '[': return fb_step_begin(events, false, ret_event, err);
    case 't': status = fb_step_word(events, FB_SLICE("true"), fb_bool(true), ret_event, err); break;
    case 'f':
      status = fb_step_word(events, FB_SLICE("false"), fb_bool(false), ret_event, err);
      break;
    case 'n': status = fb_step_word(events, FB_SLICE("null"), fb_null(), ret_event, err); break;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': status = fb_step_number(events, ret_event, err); break;
    default: return fb_json_events_fail(events, err, FB_JSON_UNEXPECTED, events->at);
  }
  if (FB_LIKELY(!status)) events->want = events->after;
  return status;
}

/* A key and its colon. */
static inline fb_status fb_step_key(fb_json_events *events, fb_json_event *ret_event,
                                    fb_error *err) {
  if (*events->at != '"') return fb_json_events_fail(events, err, FB_JSON_UNEXPECTED, events->at);
  ret_event->kind = FB_JSON_KEY;
  ret_event->offset = (size_t)(events->at - events->start);
  fb_status status = fb_step_string(events, ret_event, err);
  if (status) return status;
  events->at = fb_scan_blank(events->at, events->end);
  events->want = FB_JSON_WANT_COLON;
  if (events->at == events->end || *events->at != ':')
    return fb_json_events_fail(events, err, FB_JSON_UNEXPECTED, events->at);
  events->at++;
  events->want = FB_JSON_WANT_VALUE;
  return FB_OK;
}

static inline fb_status fb_step_next(fb_json_events *events, fb_json_event *ret_event,
                                     fb_error *err) {
  for (;;) {
    events->at = fb_scan_blank(events->at, events->end);
    if (FB_UNLIKELY(events->at == events->end)) {
      if (events->want == FB_JSON_WANT_NOTHING) return FB_DONE;
      return fb_json_events_fail(events, err, FB_JSON_UNEXPECTED, events->at);
    }
    char c = *events->at;
    switch ((fb_json_want)events->want) {
      case FB_JSON_WANT_ITEM_OR_END:
        if (c == ']') return fb_step_end(events, ret_event);
        return fb_step_value(events, ret_event, err);
      case FB_JSON_WANT_VALUE:
      case FB_JSON_WANT_ITEM: return fb_step_value(events, ret_event, err);
      case FB_JSON_WANT_KEY_OR_END:
        if (c == '}') return fb_step_end(events, ret_event);
        return fb_step_key(events, ret_event, err);
      case FB_JSON_WANT_KEY: return fb_step_key(events, ret_event, err);
      case FB_JSON_WANT_LIST_COMMA:
        if (c == ']') return fb_step_end(events, ret_event);
        if (c != ',') return fb_json_events_fail(events, err, FB_JSON_UNEXPECTED, events->at);
        events->want = FB_JSON_WANT_ITEM;
        break;
      case FB_JSON_WANT_MAP_COMMA:
        if (c == '}') return fb_step_end(events, ret_event);
        if (c != ',') return fb_json_events_fail(events, err, FB_JSON_UNEXPECTED, events->at);
        events->want = FB_JSON_WANT_KEY;
        break;
      default: return fb_json_events_fail(events, err, FB_JSON_UNEXPECTED, events->at);
    }
    events->at++;
  }
}

#endif
