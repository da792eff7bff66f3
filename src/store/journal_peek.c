/* SPDX-License-Identifier: Apache-2.0
 *
 * The two ends of a journal, for lists of runs: what began it, and what it came to. Costs the same for any length.
 */
#include "store/log.h"

#include <fcntl.h>

/* The last record is looked for in so many bytes at the end, then in all of it. */
enum { TAIL = 16 << 10 };

/* The file's last byte that is not zero (room is taken ahead, in zeros), and a little more. */
static fb_status S_used(fb_log_file *file, uint64_t *ret_end, fb_error *err) {
  uint64_t end = file->size;
  while (end > FB_LOG_HEADER) {
    uint64_t from = end > FB_LOG_HEADER + TAIL ? end - TAIL : FB_LOG_HEADER;
    fb_status status = fb_log_window(file, from, (size_t)(end - from), err);
    if (status) return status;
    const char *at = file->window.ptr + (from - file->at);
    size_t length = (size_t)(end - from);
    while (length && at[length - 1] == 0) length--;
    if (length) {
      *ret_end = from + length;
      return FB_OK;
    }
    end = from;
  }
  *ret_end = FB_LOG_HEADER;
  return FB_OK;
}

/* The last record from `offset` on; *ret_offset stays when there is none. */
static fb_status S_last(fb_log_file *file, uint64_t offset, uint64_t *ret_offset, fb_error *err) {
  fb_log_found found;
  uint64_t at = 0;
  fb_status status = fb_log_find(file, offset, &at, &found, err);
  while (!status && found == FB_LOG_RECORD) {
    const char *record;
    uint32_t size;
    *ret_offset = at;
    status = fb_log_look(file, at, &found, &record, &size, err);
    if (status) return status;
    offset = at + size;
    status = fb_log_look(file, offset, &found, &record, &size, err);
    at = offset;
    if (!status && found == FB_LOG_BAD) status = fb_log_find(file, offset + 8, &at, &found, err);
  }
  return status;
}

static fb_status S_tell(fb_log_file *file, uint64_t offset,
                        void (*each)(void *user, const fb_event *event), void *user,
                        fb_error *err) {
  fb_log_found found;
  const char *record;
  uint32_t size;
  fb_status status = fb_log_look(file, offset, &found, &record, &size, err);
  if (status || found != FB_LOG_RECORD) return status;
  fb_event event;
  fb_log_decode(record, &event);
  each(user, &event);
  return FB_OK;
}

static fb_status S_ends(fb_log_file *file, void (*each)(void *user, const fb_event *event),
                        void *user, fb_error *err) {
  uint64_t end, last = 0;
  fb_status status = S_tell(file, FB_LOG_HEADER, each, user, err);
  if (!status) status = S_used(file, &end, err);
  if (status) return status;
  uint64_t from = end > FB_LOG_HEADER + TAIL ? (end - TAIL) & ~UINT64_C(7) : FB_LOG_HEADER;
  status = S_last(file, from, &last, err);
  if (!status && last == 0 && from > FB_LOG_HEADER) /* a record larger than what was looked at */
    status = S_last(file, FB_LOG_HEADER, &last, err);
  if (status || last <= FB_LOG_HEADER) return status;
  return S_tell(file, last, each, user, err);
}

fb_status fb_journal_log_peek(const char *path, const fb_allocator *allocator,
                              void (*each)(void *user, const fb_event *event), void *user,
                              fb_error *err) {
  fb_log_file file = {.fd = -1, .path = path};
  uint8_t first[FB_DIGEST_SIZE];
  fb_buf_init(&file.window, allocator, 0);
  fb_status status = fb_log_open_file(&file, O_RDONLY, first, err);
  if (!status) status = S_ends(&file, each, user, err);
  fb_log_close_file(&file);
  return status;
}
