/* SPDX-License-Identifier: Apache-2.0
 * Failures as RFC 9457 has them, with the stable number of the error. */
#include "server/server.h"

#include <stdio.h>

unsigned fb_problem_code(fb_status status) {
  switch (status) {
    case FB_E_NOMEM:
    case FB_E_DISK_FULL: return 507;
    case FB_E_LOOP_FULL:
    case FB_E_LOOP_ENDING:
    case FB_E_SERVER_BUSY: return 503;
    case FB_E_SERVER_RATE: return 429;
    case FB_E_SERVER_TOKEN: return 401;
    case FB_E_SERVER_ORIGIN:
    case FB_E_SERVER_ROLE: return 403;
    case FB_E_LOOP_NONE:
    case FB_E_SERVER_UNKNOWN:
    case FB_E_SERVER_STATE:
    case FB_E_RULE_FACT: return 404;
    case FB_E_SERVER_METHOD: return 405;
    case FB_E_SERVER_KEY:
    case FB_E_LEASE:
    case FB_E_RUN_STATE:
    case FB_E_SERVER_EXISTS: return 409;
    case FB_E_SERVER_MATCH: return 412;
    case FB_E_SERVER_BODY: return 413;
    case FB_E_SERVER_TYPE: return 415;
    case FB_E_SERVER_REQUEST: return 400;
    case FB_E_IO:
    case FB_E_INTERNAL: return 500;
    default: return status >= 2000 && status < 2100 ? 400 : 422;
  }
}

/* The error's own members, without the braces around them. */
static void S_error(fb_buf *out, const fb_error *err) {
  fb_buf_printf(out, "\"code\":\"FB%04d\"", (int)err->code);
  fb_json_member(out, "detail", fb_slice_of(err->text));
  if (err->hint[0]) fb_json_member(out, "hint", fb_slice_of(err->hint));
  if (err->file[0]) fb_json_member(out, "file", fb_slice_of(err->file));
  if (err->line) fb_buf_printf(out, ",\"line\":%u,\"column\":%u", err->line, err->column);
}

static void S_begin(fb_request *request, fb_buf *out, unsigned code, fb_status status) {
  const fb_error_info *info = fb_error_info_of(status);
  fb_buf_init(out, NULL, 0);
  fb_buf_printf(out, "{\"type\":\"urn:flyball:error:FB%04d\",\"title\":", (int)status);
  fb_json_write_text(out, fb_slice_of(info ? info->title : "an error"), FB_JSON_COMPACT);
  fb_buf_printf(out, ",\"status\":%u,\"request\":\"%s\",", code, request->id);
}

static fb_answered S_end(fb_request *request, unsigned code, fb_buf *out) {
  fb_buf_text(out, "}\n");
  fb_reply_json(request, code, out);
  if (request->reply.code == code) request->reply.type = "application/problem+json";
  return FB_ANSWERED;
}

fb_answered fb_reply_problem(fb_request *request, unsigned code, const fb_error *err) {
  fb_buf out;
  if (!code) code = fb_problem_code(err->code);
  S_begin(request, &out, code, err->code);
  S_error(&out, err);
  return S_end(request, code, &out);
}

fb_answered fb_reply_problems(fb_request *request, unsigned code, const fb_errors *errors) {
  fb_buf out;
  if (errors->count == 1 && !errors->dropped) return fb_reply_problem(request, code, errors->items);
  if (!errors->count) return fb_reply_fail(request, 507, FB_E_NOMEM, "out of memory");
  S_begin(request, &out, code, errors->items[0].code);
  S_error(&out, &errors->items[0]);
  fb_buf_text(&out, ",\"errors\":[");
  for (size_t i = 0; i < errors->count; i++) {
    fb_buf_text(&out, i ? ",{" : "{");
    S_error(&out, &errors->items[i]);
    fb_buf_char(&out, '}');
  }
  fb_buf_printf(&out, "],\"more\":%zu", errors->dropped);
  return S_end(request, code, &out);
}

fb_answered fb_reply_fail(fb_request *request, unsigned code, fb_status status, const char *format,
                          ...) {
  fb_error err = {.code = status};
  va_list args;
  va_start(args, format);
  vsnprintf(err.text, sizeof err.text, format, args);
  va_end(args);
  return fb_reply_problem(request, code, &err);
}
