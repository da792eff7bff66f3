/* SPDX-License-Identifier: Apache-2.0 */
#include <flyball/base.h>

static const char *const S_level_names[] = {"debug", "info", "warn", "error"};

static void S_quoted(fb_buf *out, const char *text) {
  fb_buf_char(out, '"');
  for (const char *p = text; *p; p++) {
    unsigned char c = (unsigned char)*p;
    if (c == '"' || c == '\\')
      fb_buf_printf(out, "\\%c", c);
    else if (c == '\n')
      fb_buf_text(out, "\\n");
    else if (c < 0x20 || c == 0x7f)
      fb_buf_printf(out, "\\u%04x", c);
    else
      fb_buf_char(out, (char)c);
  }
  fb_buf_char(out, '"');
}

/* A bare word needs no quotes in the text format. */
static bool S_is_bare(const char *text) {
  if (!*text) return false;
  for (const char *p = text; *p; p++)
    if ((unsigned char)*p <= ' ' || *p == '"' || *p == '=' || *p == '\\' || *p == 0x7f)
      return false;
  return true;
}

static void S_pair(const fb_log *log, fb_buf *out, const char *key, const char *value) {
  if (log->format == FB_LOG_JSON) {
    fb_buf_char(out, ',');
    S_quoted(out, key);
    fb_buf_char(out, ':');
    S_quoted(out, value);
    return;
  }
  fb_buf_printf(out, " %s=", key);
  if (S_is_bare(value))
    fb_buf_text(out, value);
  else
    S_quoted(out, value);
}

static void S_head(const fb_log *log, fb_buf *out, fb_log_level level, const char *message) {
  char when[FB_TIME_TEXT_MAX] = "";
  if (log->clock) {
    int64_t now = log->clock->wall(log->clock->context) / 1000000;
    fb_time_format(now / 1000, (uint32_t)(now % 1000) * 1000000, when);
  }
  if (log->format == FB_LOG_TEXT) {
    fb_buf_printf(out, "%s%s%-5s %s", when, *when ? " " : "", S_level_names[level], message);
    return;
  }
  fb_buf_char(out, '{');
  if (*when) fb_buf_printf(out, "\"time\":\"%s\",", when);
  fb_buf_printf(out, "\"level\":\"%s\",\"message\":", S_level_names[level]);
  S_quoted(out, message);
}

void fb_log_write(const fb_log *log, fb_log_level level, const char *message, ...) {
  if (!log || !log->sink || level < log->level || level >= FB_LOG_OFF) return;
  fb_buf line;
  fb_buf_init(&line, NULL, 64 * 1024);
  S_head(log, &line, level, message);
  va_list args;
  va_start(args, message);
  for (const char *key; (key = va_arg(args, const char *)) != NULL;) {
    const char *value = va_arg(args, const char *);
    S_pair(log, &line, key, value ? value : "");
  }
  va_end(args);
  fb_buf_text(&line, log->format == FB_LOG_JSON ? "}\n" : "\n");
  if (!line.failed) log->sink(log->context, line.ptr, line.len);
  fb_buf_release(&line);
}
