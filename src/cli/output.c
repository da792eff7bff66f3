/* SPDX-License-Identifier: Apache-2.0
 * stdout for data, stderr for talk, and files in. */
#include "cli/cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ── stdout ──────────────────────────────────────────────────────────────────────────────────── */

/* Writes all; returns 0 or errno. */
static int S_write_all(int fd, const char *bytes, size_t len) {
  while (len > 0) {
    ssize_t n = write(fd, bytes, len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    bytes += n;
    len -= (size_t)n;
  }
  return 0;
}

void fb_out_flush(fb_cli *cli) {
  if (!cli->out_errno && cli->out_len)
    cli->out_errno = S_write_all(STDOUT_FILENO, cli->out, cli->out_len);
  cli->out_len = 0;
}

void fb_out_write(fb_cli *cli, const void *bytes, size_t len) {
  if (len > FB_OUT_SIZE - cli->out_len) fb_out_flush(cli);
  if (cli->out_errno) return;
  if (len > FB_OUT_SIZE) {
    cli->out_errno = S_write_all(STDOUT_FILENO, bytes, len);
    return;
  }
  if (len) memcpy(cli->out + cli->out_len, bytes, len);
  cli->out_len += len;
}

void fb_out_text(fb_cli *cli, const char *text) {
  fb_out_write(cli, text, strlen(text));
}

void fb_out_printf(fb_cli *cli, const char *format, ...) {
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  va_list args;
  va_start(args, format);
  fb_buf_vprintf(&text, format, args);
  va_end(args);
  if (text.failed)
    cli->out_errno = ENOMEM;
  else
    fb_out_write(cli, text.ptr, text.len);
  fb_buf_release(&text);
}

fb_status fb_out_buf(fb_cli *cli, const fb_buf *buf) {
  if (buf->failed) return FB_E_NOMEM;
  fb_out_write(cli, buf->ptr, buf->len);
  return FB_OK;
}

bool fb_out_failed(const fb_cli *cli) {
  return cli->out_errno != 0;
}

/* ── stderr ──────────────────────────────────────────────────────────────────────────────────── */

static bool S_wants_colour(int fd, const char *when) {
  if (strcmp(when, "always") == 0) return true;
  if (strcmp(when, "never") == 0) return false;
  const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
  if ((no_color && *no_color) || (term && strcmp(term, "dumb") == 0)) return false;
  return isatty(fd);
}

void fb_cli_streams(fb_cli *cli, int argc, char **argv) {
  const char *when = getenv("FLYBALL_COLOR");
  if (!when) when = "auto";
  for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
    if (strcmp(argv[i], "--json") == 0) cli->json = true;
    if (strncmp(argv[i], "--color=", 8) == 0) when = argv[i] + 8;
    if (strcmp(argv[i], "--color") == 0 && i + 1 < argc) when = argv[i + 1];
  }
  cli->terminal_err = isatty(STDERR_FILENO);
  cli->colour_err = S_wants_colour(STDERR_FILENO, when);
  cli->colour_out = S_wants_colour(STDOUT_FILENO, when);
}

int fb_exit_of(fb_status code) {
  switch (code) {
    case FB_OK:
    case FB_DONE: return FB_EXIT_OK;
    case FB_E_RUN_UNKNOWN:
    case FB_E_USAGE:
    case FB_E_NET_URL:
    case FB_E_SERVER_OPTION: return FB_EXIT_USAGE;
    case FB_E_RUN_STATE:
    case FB_E_SIGNATURE: return FB_EXIT_NO;
    case FB_E_DISK_FULL:
    case FB_E_LEASE:
    case FB_E_LOOP_STATE:
    case FB_E_NOMEM:
    case FB_E_SERVER_BIND:
    case FB_E_NET:
    case FB_E_NET_RESOLVE:
    case FB_E_NET_CONNECT:
    case FB_E_NET_TLS:
    case FB_E_NET_TIMEOUT:
    case FB_E_NET_LIMIT:
    case FB_E_NET_BROKEN:
    case FB_E_NET_REFUSED:
    case FB_E_IO: return FB_EXIT_OUTSIDE;
    case FB_E_INTERNAL: return FB_EXIT_BUG;
    default: return FB_EXIT_DOCUMENT;
  }
}

void fb_error_json(const fb_error *err, fb_buf *out) {
  fb_buf_printf(out,
                "{\"type\":\"flyball.error.v1\",\"code\":\"FB%04d\",\"text\":", (int)err->code);
  fb_json_write_text(out, fb_slice_of(err->text), FB_JSON_COMPACT);
  if (err->file[0]) {
    fb_buf_text(out, ",\"file\":");
    fb_json_write_text(out, fb_slice_of(err->file), FB_JSON_COMPACT);
  }
  if (err->line)
    fb_buf_printf(out, ",\"line\":%u,\"column\":%u,\"length\":%u", err->line, err->column,
                  err->length ? err->length : 1);
  if (err->hint[0]) {
    fb_buf_text(out, ",\"hint\":");
    fb_json_write_text(out, fb_slice_of(err->hint), FB_JSON_COMPACT);
  }
  fb_buf_char(out, '}');
}

int fb_cli_error(fb_cli *cli, const fb_error *err) {
  fb_out_flush(cli);
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  if (cli->json) {
    fb_error_json(err, &text);
    fb_buf_char(&text, '\n');
  } else {
    fb_error_render(err, cli->colour_err, &text);
  }
  S_write_all(STDERR_FILENO, text.ptr, text.len);
  fb_buf_release(&text);
  return fb_exit_of(err->code);
}

int fb_cli_errors(fb_cli *cli, fb_errors *errors) {
  fb_errors_sort(errors);
  for (size_t i = 0; i < errors->count; i++) fb_cli_error(cli, &errors->items[i]);
  if (errors->dropped) fb_cli_note(cli, "… and %zu more errors", errors->dropped);
  return errors->count ? fb_exit_of(errors->items[0].code) : FB_EXIT_OK;
}

static void S_warn(fb_cli *cli, const fb_error *err) {
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  if (cli->json) {
    fb_error_json(err, &text);
    fb_slice old = FB_SLICE("{\"type\":\"flyball.error.v1\"");
    if (!text.failed && fb_slice_starts(fb_buf_slice(&text), old))
      fprintf(stderr, "{\"type\":\"flyball.warning.v1\"%s\n", text.ptr + old.len);
  } else {
    fb_error_render(err, false, &text);
    fb_slice whole = fb_buf_slice(&text);
    if (!text.failed && fb_slice_starts(whole, FB_SLICE("error")))
      fprintf(stderr, "warning%s", whole.ptr + 5);
  }
  fb_buf_release(&text);
}

void fb_cli_warnings(fb_cli *cli, fb_errors *warnings) {
  fb_errors_sort(warnings);
  fb_out_flush(cli);
  for (size_t i = 0; i < warnings->count; i++) S_warn(cli, &warnings->items[i]);
}

int fb_cli_fail(fb_cli *cli, fb_status code, const char *format, ...) {
  char text[sizeof((fb_error *)0)->text];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fb_error err;
  fb_fail(&err, code, "%s", text);
  return fb_cli_error(cli, &err);
}

int fb_cli_usage(fb_cli *cli, const char *hint, const char *format, ...) {
  char text[sizeof((fb_error *)0)->text];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fb_error err;
  fb_fail(&err, FB_E_USAGE, "%s", text);
  if (hint && *hint)
    fb_error_hint(&err, "%s", hint);
  else if (cli->command)
    fb_error_hint(&err, "`flyball help %s` shows what it takes", cli->command->name);
  else
    fb_error_hint(&err, "`flyball help` shows what it takes");
  return fb_cli_error(cli, &err);
}

void fb_cli_note(fb_cli *cli, const char *format, ...) {
  if (cli->json) return;
  fb_out_flush(cli);
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  va_list args;
  va_start(args, format);
  fb_buf_vprintf(&text, format, args);
  va_end(args);
  fb_buf_char(&text, '\n');
  S_write_all(STDERR_FILENO, text.ptr, text.len);
  fb_buf_release(&text);
}

/* ── Files ───────────────────────────────────────────────────────────────────────────────────── */

const char *fb_cli_file_name(const char *path) {
  return strcmp(path, "-") == 0 ? "<stdin>" : path;
}

static fb_status S_read_failed(fb_error *err, const char *path, int cause) {
  return fb_fail(err, FB_E_IO, "cannot read %s: %s",
                 strcmp(path, "-") == 0 ? "standard input" : path, strerror(cause));
}

fb_status fb_cli_open(const char *path, int *ret_fd, fb_error *err) {
  bool standard = strcmp(path, "-") == 0;
  int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return S_read_failed(err, path, errno);
  struct stat about;
  if (fstat(fd, &about) == 0 && S_ISDIR(about.st_mode)) {
    if (!standard) close(fd);
    return S_read_failed(err, path, EISDIR);
  }
  *ret_fd = fd;
  return FB_OK;
}

static fb_status S_too_big(fb_error *err, const char *path, size_t max) {
  fb_fail(err, FB_E_LIMIT, "%s is larger than %zu bytes", fb_cli_file_name(path), max);
  return FB_E_LIMIT;
}

static fb_status S_read_fd(int fd, const char *path, size_t max, fb_buf *out, fb_error *err) {
  enum { STEP = 65536 };
  size_t start = out->len;
  for (;;) {
    if (!fb_buf_reserve(out, STEP))
      return fb_fail(err, FB_E_NOMEM, "out of memory reading %s", path);
    ssize_t n = read(fd, out->ptr + out->len, STEP);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return S_read_failed(err, path, errno);
    if (n >= 0) out->ptr[out->len += (size_t)n] = 0;
    if (n == 0) break;
    if (out->len - start > max) return S_too_big(err, path, max);
  }
  return FB_OK;
}

fb_status fb_cli_read(const char *path, size_t max, fb_buf *out, fb_error *err) {
  int fd = -1;
  fb_status status = fb_cli_open(path, &fd, err);
  if (status) return status;
  status = S_read_fd(fd, path, max, out, err);
  if (fd != STDIN_FILENO) close(fd);
  return status;
}

int fb_cli_load(fb_cli *cli, const char *path, size_t max, fb_cli_reader *reader, void *into) {
  fb_buf text;
  fb_error err;
  fb_errors errors;
  int code = FB_EXIT_OK;
  fb_buf_init(&text, NULL, 0);
  fb_errors_init(&errors, NULL, 0);
  if (fb_cli_read(path, max, &text, &err) != FB_OK) {
    code = fb_cli_error(cli, &err);
  } else {
    fb_status status = reader(into, fb_buf_slice(&text), fb_cli_file_name(path), &errors);
    if (status != FB_OK) {
      fb_errors_sort(&errors);
      code = fb_cli_errors(cli, &errors);
    }
    if (status != FB_OK && code == FB_EXIT_OK)
      code = fb_cli_fail(cli, status, "%s does not load", fb_cli_file_name(path));
  }
  fb_errors_release(&errors);
  fb_buf_release(&text);
  return code;
}

static fb_status S_ruleset(void *into, fb_slice text, const char *name, fb_errors *errors) {
  fb_ruleset **ret = into;
  fb_status status = fb_ruleset_read(text, name, NULL, ret, errors, NULL);
  return status == FB_OK ? fb_ruleset_check_calls(*ret, NULL, 0, errors) : status;
}

int fb_cli_ruleset(fb_cli *cli, const char *path, fb_ruleset **ret) {
  return fb_cli_load(cli, path, FB_CLI_RULEBOOK_MAX, S_ruleset, ret);
}

const char *fb_cli_folder(const char *path, char *out, size_t size) {
  const char *slash = strrchr(path, '/');
  size_t len = slash ? (size_t)(slash - path) : 0;
  if (!slash || len + 1 > size) return ".";
  memcpy(out, path, len);
  out[len] = 0;
  return len ? out : "/";
}
