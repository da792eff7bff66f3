/* SPDX-License-Identifier: Apache-2.0
 *
 * `heads` in a run's folder: one line a signed head, "SEQ HASH KEY SIGNATURE" in hex. What is signed is the text
 * "flyball.head.v1 RUN SEQ HASH".
 */
#include "cli/audit_sign.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_HEADS = 4 << 20, HEX_SIZE = 2 * FB_DIGEST_SIZE + 1 };

static int S_message(const fb_run_place *place, const fb_journal_head *head, char out[256]) {
  char hash[HEX_SIZE];
  fb_hex(head->hash, sizeof head->hash, hash);
  return snprintf(out, 256, "flyball.head.v1 %s %llu %s", place->id, (unsigned long long)head->seq,
                  hash);
}

static int S_system(fb_cli *cli, const char *what, const char *path) {
  fb_error err;
  fb_fail(&err, FB_E_IO, "cannot %s %s: %s", what, path, strerror(errno));
  return fb_cli_error(cli, &err);
}

static int S_read_hex(fb_cli *cli, const char *path, uint8_t ret_bytes[32]) {
  fb_buf buf;
  fb_error err = {0};
  fb_buf_init(&buf, NULL, 0);
  int code = FB_EXIT_OK;
  if (fb_cli_read(path, 4096, &buf, &err)) {
    code = fb_cli_error(cli, &err);
  } else {
    fb_slice text = fb_buf_slice(&buf);
    while (text.len && (unsigned char)text.ptr[text.len - 1] <= ' ') text.len--;
    if (!fb_unhex(text, ret_bytes, 32))
      code = fb_cli_fail(cli, FB_E_SIGNATURE, "%s is no key: a key is 64 hex digits", path);
  }
  fb_buf_release(&buf);
  return code;
}

static int S_append_line(fb_cli *cli, const char *path, const char *line, size_t length) {
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return S_system(cli, "write", path);
  bool good = write(fd, line, length) == (ssize_t)length && fsync(fd) == 0;
  int code = good ? FB_EXIT_OK : S_system(cli, "write", path);
  close(fd);
  return code;
}

static bool S_heads_path(const fb_run_place *place, char out[4096]) {
  return snprintf(out, 4096, "%s/heads", place->folder) < 4096;
}

int fb_audit_sign(fb_cli *cli, const fb_run_place *place, const char *key_file,
                  const fb_journal *journal) {
  uint8_t seed[FB_SEED_SIZE], key[FB_PUBLIC_KEY_SIZE], signature[FB_SIGNATURE_SIZE];
  char message[256], path[4096], line[512], hash[HEX_SIZE], key_hex[HEX_SIZE],
      signature_hex[2 * FB_SIGNATURE_SIZE + 1];
  fb_journal_head head = fb_journal_log_head(journal);
  int code = S_read_hex(cli, key_file, seed);
  if (code) return code;
  int length = S_message(place, &head, message);
  fb_sign(seed, (fb_slice){message, (size_t)length}, signature);
  fb_public_key(seed, key);
  memset(seed, 0, sizeof seed);
  fb_hex(head.hash, sizeof head.hash, hash);
  fb_hex(key, sizeof key, key_hex);
  fb_hex(signature, sizeof signature, signature_hex);
  length = snprintf(line, sizeof line, "%llu %s %s %s\n", (unsigned long long)head.seq, hash,
                    key_hex, signature_hex);
  if (!S_heads_path(place, path)) return fb_cli_fail(cli, FB_E_IO, "the path is too long");
  return S_append_line(cli, path, line, (size_t)length);
}

/* ── Keys ────────────────────────────────────────────────────────────────────────────────────── */

static int S_new_file(fb_cli *cli, const char *path, mode_t mode, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return S_system(cli, "make", path);
  size_t length = strlen(text);
  bool good = write(fd, text, length) == (ssize_t)length && fsync(fd) == 0;
  int code = good ? FB_EXIT_OK : S_system(cli, "write", path);
  close(fd);
  return code;
}

int fb_audit_keygen(fb_cli *cli, const char *path) {
  uint8_t seed[FB_SEED_SIZE], key[FB_PUBLIC_KEY_SIZE];
  char text[HEX_SIZE + 1], public_path[4096];
  if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed)
    return fb_cli_fail(cli, FB_E_IO, "the system gives no random numbers");
  fb_public_key(seed, key);
  fb_hex(seed, sizeof seed, text);
  memset(seed, 0, sizeof seed);
  text[HEX_SIZE - 1] = '\n';
  text[HEX_SIZE] = 0;
  int code = S_new_file(cli, path, 0600, text);
  memset(text, 0, sizeof text);
  if (code) return code;
  fb_hex(key, sizeof key, text);
  text[HEX_SIZE - 1] = '\n';
  text[HEX_SIZE] = 0;
  if (snprintf(public_path, sizeof public_path, "%s.pub", path) >= (int)sizeof public_path)
    return fb_cli_fail(cli, FB_E_IO, "the path is too long");
  code = S_new_file(cli, public_path, 0644, text);
  if (code) return code;
  if (cli->json)
    fb_out_printf(cli, "{\"type\":\"flyball.audit.key.v1\",\"key\":\"%.64s\"}\n", text);
  else
    fb_out_text(cli, text);
  return FB_EXIT_OK;
}

int fb_audit_read_key(fb_cli *cli, const char *given, uint8_t ret_key[FB_PUBLIC_KEY_SIZE]) {
  if (fb_unhex(fb_slice_of(given), ret_key, FB_PUBLIC_KEY_SIZE)) return FB_EXIT_OK;
  return S_read_hex(cli, given, ret_key);
}

/* ── Reading them back ───────────────────────────────────────────────────────────────────────── */

static bool S_word(fb_slice *rest, fb_slice *ret_word) {
  size_t length = 0;
  while (length < rest->len && rest->ptr[length] != ' ') length++;
  *ret_word = (fb_slice){rest->ptr, length};
  size_t used = length < rest->len ? length + 1 : length;
  *rest = (fb_slice){rest->ptr + used, rest->len - used};
  return length > 0;
}

static bool S_parse(const fb_run_place *place, fb_slice line, fb_signed_head *head) {
  fb_slice seq, hash, key, signature;
  uint8_t bytes[FB_SIGNATURE_SIZE];
  char message[256], number[24], *end;
  if (!S_word(&line, &seq) || !S_word(&line, &hash) || !S_word(&line, &key) ||
      !S_word(&line, &signature) || seq.len >= sizeof number)
    return false;
  memcpy(number, seq.ptr, seq.len);
  number[seq.len] = 0;
  head->head.seq = strtoull(number, &end, 10);
  if (*end || !fb_unhex(hash, head->head.hash, sizeof head->head.hash) ||
      !fb_unhex(key, head->key, sizeof head->key) || !fb_unhex(signature, bytes, sizeof bytes))
    return false;
  int length = S_message(place, &head->head, message);
  return fb_signature_holds(head->key, (fb_slice){message, (size_t)length}, bytes);
}

int fb_audit_heads(fb_cli *cli, const fb_run_place *place, fb_arena *arena,
                   fb_signed_head **ret_heads, size_t *ret_count, size_t *ret_bad) {
  char path[4096];
  fb_buf buf;
  fb_error err = {0};
  int code = FB_EXIT_OK;
  size_t count = 0;
  *ret_heads = NULL;
  *ret_count = *ret_bad = 0;
  if (!S_heads_path(place, path) || access(path, F_OK) != 0) return FB_EXIT_OK;
  fb_buf_init(&buf, NULL, 0);
  if (fb_cli_read(path, MOST_HEADS, &buf, &err)) code = fb_cli_error(cli, &err);
  size_t lines = 0;
  for (size_t i = 0; i < buf.len; i++) lines += buf.ptr[i] == '\n';
  fb_signed_head *heads = code ? NULL : fb_arena_zero(arena, (lines + 1) * sizeof *heads);
  if (!code && !heads) code = fb_cli_fail(cli, FB_E_NOMEM, "out of memory");
  for (size_t at = 0; heads && at < buf.len;) {
    const char *end = memchr(buf.ptr + at, '\n', buf.len - at);
    size_t length = end ? (size_t)(end - buf.ptr) - at : buf.len - at;
    if (S_parse(place, (fb_slice){buf.ptr + at, length}, &heads[count]))
      count++;
    else if (length)
      ++*ret_bad;
    at += length + 1;
  }
  *ret_heads = heads;
  *ret_count = count;
  fb_buf_release(&buf);
  return code;
}
