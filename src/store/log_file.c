/* SPDX-License-Identifier: Apache-2.0 */
#include "store/log.h"

#include <errno.h>
#include <sodium.h>

/* Bytes read at a time; a record may be larger. */
enum { WINDOW = 64 << 10 };

static const char S_magic[8] = "FBJOURN1";

fb_status fb_log_errno(const char *what, const char *path, fb_error *err) {
  int number = errno;
  fb_status status = number == ENOSPC || number == EDQUOT || number == EFBIG ? FB_E_DISK_FULL
                     : number == ENOMEM                                      ? FB_E_NOMEM
                                                                             : FB_E_IO;
  char reason[120];
  const char *text = strerror_r(number, reason, sizeof reason);
  fb_fail(err, status, "cannot %s %s: %s", what, path, text);
  if (status == FB_E_DISK_FULL)
    fb_error_hint(err, "make room on the disk; nothing that was committed is lost");
  return status;
}

/* ── Numbers ─────────────────────────────────────────────────────────────────────────────────── */

#define S_GET(type, name)             \
  static type name(const char *at) {  \
    type value;                       \
    memcpy(&value, at, sizeof value); \
    return value;                     \
  }
S_GET(uint16_t, S_u16)
S_GET(int16_t, S_i16)
S_GET(uint32_t, S_u32)
S_GET(uint64_t, S_u64)
S_GET(int64_t, S_i64)
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the journal's numbers are little-endian");

void fb_log_hash(const uint8_t prev[FB_DIGEST_SIZE], const char *record, uint32_t size,
                 uint8_t ret_hash[FB_DIGEST_SIZE]) {
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  crypto_hash_sha256_update(&state, prev, FB_DIGEST_SIZE);
  crypto_hash_sha256_update(&state, (const uint8_t *)record + 8, size - 8 - FB_DIGEST_SIZE);
  crypto_hash_sha256_final(&state, ret_hash);
}

uint32_t fb_log_check(const char *record, uint32_t size, uint64_t salt) {
  return (uint32_t)fb_hash_bytes(record + 8, size - 8, salt);
}

/* ── Records ─────────────────────────────────────────────────────────────────────────────────── */

void fb_log_decode(const char *record, fb_event *ret_event) {
  const char *at = record + FB_LOG_FIXED;
  fb_event event = {.seq = S_u64(record + 8),
                    .wall = S_i64(record + 16),
                    .kind = (uint8_t)record[24],
                    .status = (uint8_t)record[25],
                    .phase = (uint8_t)record[26],
                    .flags = (uint8_t)record[27],
                    .item = S_u32(record + 28),
                    .attempt = S_u32(record + 32),
                    .code = S_i16(record + 36),
                    .signal = S_i16(record + 38)};
  if (event.flags & FB_EVENT_HAS_DIGEST) {
    memcpy(event.digest, at, FB_DIGEST_SIZE);
    at += FB_DIGEST_SIZE;
  }
  event.scope = (fb_slice){at, S_u16(record + 40)};
  event.step = (fb_slice){event.scope.ptr + event.scope.len, S_u16(record + 42)};
  event.payload = (fb_slice){event.step.ptr + event.step.len, S_u32(record + 44)};
  *ret_event = event;
}

static uint64_t S_size_of(const fb_event *event) {
  uint64_t size = FB_LOG_LEAST + (event->flags & FB_EVENT_HAS_DIGEST ? FB_DIGEST_SIZE : 0) +
                  event->scope.len + event->step.len + event->payload.len;
  return (size + 7) & ~UINT64_C(7);
}

bool fb_log_encode(const fb_event *event, fb_buf *out) {
  uint64_t size = S_size_of(event);
  if (event->scope.len > UINT16_MAX || event->step.len > UINT16_MAX || size > UINT32_MAX)
    return false;
  if (!fb_buf_reserve(out, size)) return false;
  char fixed[FB_LOG_FIXED] = {0};
  uint32_t size32 = (uint32_t)size, payload = (uint32_t)event->payload.len;
  uint16_t scope = (uint16_t)event->scope.len, step = (uint16_t)event->step.len;
  memcpy(fixed, &size32, 4);
  memcpy(fixed + 8, &event->seq, 8);
  memcpy(fixed + 16, &event->wall, 8);
  fixed[24] = (char)event->kind;
  fixed[25] = (char)event->status;
  fixed[26] = (char)event->phase;
  fixed[27] = (char)event->flags;
  memcpy(fixed + 28, &event->item, 4);
  memcpy(fixed + 32, &event->attempt, 4);
  memcpy(fixed + 36, &event->code, 2);
  memcpy(fixed + 38, &event->signal, 2);
  memcpy(fixed + 40, &scope, 2);
  memcpy(fixed + 42, &step, 2);
  memcpy(fixed + 44, &payload, 4);
  size_t end = out->len + size;
  fb_buf_add(out, fixed, sizeof fixed);
  if (event->flags & FB_EVENT_HAS_DIGEST) fb_buf_add(out, event->digest, FB_DIGEST_SIZE);
  fb_buf_add(out, event->scope.ptr, event->scope.len);
  fb_buf_add(out, event->step.ptr, event->step.len);
  fb_buf_add(out, event->payload.ptr, event->payload.len);
  fb_buf_repeat(out, 0, end - out->len);
  return !out->failed;
}

/* ── The file ────────────────────────────────────────────────────────────────────────────────── */

void fb_log_make_header(char out[FB_LOG_HEADER], uint64_t salt, int64_t created) {
  memset(out, 0, FB_LOG_HEADER);
  memcpy(out, S_magic, sizeof S_magic);
  memcpy(out + 8, &salt, 8);
  memcpy(out + 16, &created, 8);
  fb_digest((fb_slice){out, 32}, (uint8_t *)out + 32);
}

fb_status fb_log_window(fb_log_file *file, uint64_t offset, size_t length, fb_error *err) {
  fb_buf *window = &file->window;
  if (offset >= file->at && offset + length <= file->at + window->len) return FB_OK;
  size_t want = length > WINDOW ? length : WINDOW;
  size_t kept = 0;
  if (offset >= file->at && offset < file->at + window->len) {
    kept = (size_t)(file->at + window->len - offset);
    memmove(window->ptr, window->ptr + (offset - file->at), kept);
  }
  window->len = kept;
  file->at = offset;
  if (!fb_buf_reserve(window, want)) return fb_fail(err, FB_E_NOMEM, "out of memory");
  while (window->len < want) {
    int64_t got = file->disk->read(file->disk->context, file->fd, window->ptr + window->len,
                                   want - window->len, offset + window->len);
    if (got < 0) return fb_log_errno("read", file->path, err);
    if (got == 0) break;
    window->len += (size_t)got;
  }
  return FB_OK;
}

static size_t S_have(const fb_log_file *file, uint64_t offset) {
  return (size_t)(file->at + file->window.len - offset);
}

static bool S_plausible(const char *record, uint32_t size) {
  uint64_t inside = FB_LOG_LEAST +
                    ((uint8_t)record[27] & FB_EVENT_HAS_DIGEST ? FB_DIGEST_SIZE : 0) +
                    (uint64_t)S_u16(record + 40) + S_u16(record + 42) + S_u32(record + 44);
  return ((inside + 7) & ~UINT64_C(7)) == size;
}

/* True if zeros are all that follows. */
static fb_status S_only_zeros(fb_log_file *file, uint64_t offset, bool *ret_zeros, fb_error *err) {
  *ret_zeros = false;
  for (;;) {
    fb_status status = fb_log_window(file, offset, WINDOW, err);
    if (status) return status;
    size_t have = S_have(file, offset);
    const char *at = file->window.ptr + (offset - file->at);
    for (size_t i = 0; i < have; i++)
      if (at[i]) return FB_OK;
    if (have < WINDOW) break;
    offset += have;
  }
  *ret_zeros = true;
  return FB_OK;
}

fb_status fb_log_look(fb_log_file *file, uint64_t offset, fb_log_found *ret_found,
                      const char **ret_record, uint32_t *ret_size, fb_error *err) {
  fb_status status = fb_log_window(file, offset, FB_LOG_LEAST, err);
  if (status) return status;
  const char *record = file->window.ptr + (offset - file->at);
  size_t have = S_have(file, offset);
  uint32_t size = have >= 4 ? S_u32(record) : 0;
  *ret_found = FB_LOG_BAD;
  if (size == 0) {
    bool zeros;
    status = S_only_zeros(file, offset, &zeros, err);
    if (!status && zeros) *ret_found = FB_LOG_END;
    return status;
  }
  if (have < FB_LOG_LEAST || size < FB_LOG_LEAST || size % 8 || !S_plausible(record, size) ||
      offset + size > file->size)
    return FB_OK;
  status = fb_log_window(file, offset, size, err);
  if (status) return status;
  record = file->window.ptr + (offset - file->at);
  if (S_have(file, offset) < size || fb_log_check(record, size, file->salt) != S_u32(record + 4))
    return FB_OK;
  *ret_found = FB_LOG_RECORD;
  *ret_record = record;
  *ret_size = size;
  return FB_OK;
}

fb_status fb_log_find(fb_log_file *file, uint64_t offset, uint64_t *ret_offset,
                      fb_log_found *ret_found, fb_error *err) {
  *ret_found = FB_LOG_END;
  for (offset = (offset + 7) & ~UINT64_C(7); offset + FB_LOG_LEAST <= file->size; offset += 8) {
    const char *record;
    uint32_t size;
    fb_status status = fb_log_window(file, offset, 4, err);
    if (status) return status;
    if (S_have(file, offset) < 4) break;
    size = S_u32(file->window.ptr + (offset - file->at));
    if (size < FB_LOG_LEAST || size % 8) continue; /* the common case, at once */
    status = fb_log_look(file, offset, ret_found, &record, &size, err);
    if (status) return status;
    if (*ret_found == FB_LOG_RECORD) {
      *ret_offset = offset;
      return FB_OK;
    }
    *ret_found = FB_LOG_END;
  }
  return FB_OK;
}

fb_status fb_log_is_torn(fb_log_file *file, uint64_t offset, uint64_t seq, bool *ret_torn,
                         fb_error *err) {
  fb_log_found found = FB_LOG_RECORD;
  uint64_t end = offset;
  fb_status status = FB_OK;
  *ret_torn = true;
  /* One record that was written when this one was known to be on disk says enough. */
  for (uint64_t at = offset + 8; !status && *ret_torn && found == FB_LOG_RECORD;) {
    const char *record = NULL;
    uint32_t size = 0;
    status = fb_log_find(file, at, &at, &found, err);
    if (status || found != FB_LOG_RECORD) break;
    status = fb_log_look(file, at, &found, &record, &size, err);
    if (status || found != FB_LOG_RECORD) break;
    if (S_u64(record + 8) - S_u32(record + FB_LOG_INTO) > seq) *ret_torn = false;
    at += size;
    end = at;
  }
  if (end > offset && end == file->size) *ret_torn = false;
  return status;
}

static fb_status S_header(fb_log_file *file, uint8_t ret_first[FB_DIGEST_SIZE], fb_error *err) {
  uint8_t digest[FB_DIGEST_SIZE];
  fb_status status = fb_log_window(file, 0, FB_LOG_HEADER, err);
  if (status) return status;
  const char *header = file->window.ptr;
  if (file->window.len < FB_LOG_HEADER || memcmp(header, S_magic, sizeof S_magic) != 0)
    return fb_fail(err, FB_E_JOURNAL_DAMAGED, "%s is no journal, or of another version",
                   file->path);
  fb_digest((fb_slice){header, 32}, digest);
  if (memcmp(digest, header + 32, FB_DIGEST_SIZE) != 0)
    return fb_fail(err, FB_E_JOURNAL_DAMAGED, "%s: its header was changed", file->path);
  file->salt = S_u64(header + 8);
  memcpy(ret_first, digest, FB_DIGEST_SIZE);
  return FB_OK;
}

fb_status fb_log_open_file(fb_log_file *file, int flags, uint8_t ret_first[FB_DIGEST_SIZE],
                           fb_error *err) {
  if (!file->disk) file->disk = fb_disk_system();
  file->fd = file->disk->open(file->disk->context, file->path, flags);
  int64_t size = file->fd < 0 ? -1 : file->disk->size(file->disk->context, file->fd);
  if (size < 0) return fb_log_errno("open", file->path, err);
  file->size = (uint64_t)size;
  return S_header(file, ret_first, err);
}

void fb_log_close_file(fb_log_file *file) {
  if (file->fd >= 0) file->disk->close(file->disk->context, file->fd);
  file->fd = -1;
  fb_buf_release(&file->window);
}
