/* SPDX-License-Identifier: Apache-2.0
 *
 * The file of a journal. All numbers are little-endian; records begin at multiples of 8.
 *
 *   header, 64 bytes
 *      0  "FBJOURN1"
 *      8  u64 salt      seeds the checksums: a block of another file does not pass for one of this
 *     16  i64 created   ns since 1970
 *     24  u64 0
 *     32  SHA-256 of the 32 bytes before: what the first event follows
 *   record
 *      0  u32 size      of all of it, a multiple of 8
 *      4  u32 check     XXH3 of bytes 8 … size, seeded with the salt; the low half
 *      8  u64 seq
 *     16  i64 wall
 *     24  u8 kind, u8 status, u8 phase, u8 flags
 *     28  u32 item
 *     32  u32 attempt
 *     36  i16 code, i16 signal
 *     40  u16 length of scope, u16 of step, u32 of payload
 *     48  u32 into      how many events before this one were not known to be on disk when it was written
 *     52  u32 0
 *     56  digest (32 bytes, if flags say so), scope, step, payload, zeros
 *   size-32  SHA-256 of the hash before this and bytes 8 … size-32
 *
 * After the last record the file may go on with zeros (room that was taken ahead).
 */
#ifndef FB_STORE_LOG_H
#define FB_STORE_LOG_H

#include <flyball/store.h>

enum {
  FB_LOG_HEADER = 64,
  FB_LOG_FIXED = 56,
  FB_LOG_INTO = 48,
  FB_LOG_LEAST = FB_LOG_FIXED + FB_DIGEST_SIZE
};

typedef struct fb_log_file {
  const fb_disk *disk;
  int fd;
  const char *path; /* borrowed */
  uint64_t salt;
  uint64_t size; /* of the file */
  fb_buf window; /* bytes from `at` on */
  uint64_t at;
} fb_log_file;

/* Hash of an event after `prev`. */
void fb_log_hash(const uint8_t prev[FB_DIGEST_SIZE], const char *record, uint32_t size,
                 uint8_t ret_hash[FB_DIGEST_SIZE]);
uint32_t fb_log_check(const char *record, uint32_t size, uint64_t salt);
void fb_log_make_header(char out[FB_LOG_HEADER], uint64_t salt, int64_t created);
/* `file` has its path and allocator (in window); opens and reads the header. ret_first: what event 1 follows. */
fb_status fb_log_open_file(fb_log_file *file, int flags, uint8_t ret_first[FB_DIGEST_SIZE],
                           fb_error *err);
void fb_log_close_file(fb_log_file *file);
fb_status fb_log_errno(const char *what, const char *path, fb_error *err);

/* Sets the window so that it has the bytes from `offset` on, `length` of them if the file has so many. */
fb_status fb_log_window(fb_log_file *file, uint64_t offset, size_t length, fb_error *err);

typedef enum fb_log_found {
  FB_LOG_RECORD,
  FB_LOG_END, /* nothing follows, or zeros */
  FB_LOG_BAD  /* bytes that are no record */
} fb_log_found;

/* What stands at `offset`. A record's bytes are good until the next call. */
fb_status fb_log_look(fb_log_file *file, uint64_t offset, fb_log_found *ret_found,
                      const char **ret_record, uint32_t *ret_size, fb_error *err);
/* Whether bad bytes at `offset`, where the event `seq` should be, are what a crash left of the last commit: nothing that follows was
 * committed after it, and the file was not closed in peace (then it ends with its last record). */
fb_status fb_log_is_torn(fb_log_file *file, uint64_t offset, uint64_t seq, bool *ret_torn,
                         fb_error *err);
/* The next record after `offset` whose check holds; FB_LOG_END when there is none. */
fb_status fb_log_find(fb_log_file *file, uint64_t offset, uint64_t *ret_offset,
                      fb_log_found *ret_found, fb_error *err);
void fb_log_decode(const char *record, fb_event *ret_event);
/* Appends the record without hash and check. */
bool fb_log_encode(const fb_event *event, fb_buf *out);

#endif
