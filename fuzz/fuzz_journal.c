/* SPDX-License-Identifier: Apache-2.0
 * Journals with damage. The first byte picks: bytes that are a file as they are, or a good journal of which each three bytes that
 * follow change one, with or without its records' checksums made right again; some of it may be cut off. Whatever it is, the audit, the
 * ends, opening and going on give an answer; and if the audit finds nothing, what it read is the beginning of what was written. */
#include "store/log.h"

#include <flyball/mission.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENTS = 24, SALT = 7 };
enum { PICK_GOOD = 1, PICK_FIX = 2, PICK_CUT = 4, PICK_AHEAD = 8, PICK_DAMAGED_OK = 16 };

static uint8_t S_hashes[EVENTS + 1][FB_DIGEST_SIZE]; /* of the good journal's events */

static void S_check(bool holds) {
  if (!holds) abort();
}

typedef struct S_place {
  int fd;
  char path[64];
} S_place;

static S_place S_new(void) {
  S_place place = {.fd = memfd_create("journal", MFD_CLOEXEC)};
  S_check(place.fd >= 0);
  snprintf(place.path, sizeof place.path, "/proc/self/fd/%d", place.fd);
  return place;
}

static fb_status S_open(const S_place *place, bool read_only, bool damaged_ok,
                        fb_journal **ret_journal) {
  fb_error err = {0};
  fb_journal_log_options options = {
      .salt = SALT, .unsynced = true, .read_only = read_only, .damaged_ok = damaged_ok};
  fb_status status = fb_journal_log_open(place->path, &options, NULL, ret_journal, &err);
  S_check(status == FB_OK || err.text[0]);
  return status;
}

/* ── A good one ──────────────────────────────────────────────────────────────────────────────── */

static void S_append(fb_journal *journal, uint32_t number) {
  static const uint8_t kinds[] = {FB_EVENT_RUN_STARTED, FB_EVENT_STEP_STARTED, FB_EVENT_STEP_ENDED,
                                  FB_EVENT_STEP_SETTLED};
  char id[16], text[40];
  fb_buf payload;
  fb_buf_init(&payload, NULL, 0);
  snprintf(text, sizeof text, "%.*s", (int)(number % 30), "what came of it, more or less……");
  S_check(fb_value_pack(&payload, number % 3 ? fb_bytes(fb_slice_of(text)) : fb_int(number)) ==
          FB_OK);
  fb_event event = {.kind = number == 1 ? kinds[0] : kinds[1 + number % 3],
                    .item = number % 5 ? FB_NO_ITEM : number,
                    .attempt = 1,
                    .code = -1,
                    .scope = number % 7 ? FB_SLICE("") : FB_SLICE("sub/"),
                    .flags = number % 2 ? FB_EVENT_HAS_DIGEST : 0,
                    .status = number % 3 == 1 ? FB_STEP_OK : 0,
                    .payload = fb_buf_slice(&payload)};
  event.step = (fb_slice){id, (size_t)snprintf(id, sizeof id, "s%u", number / 3)};
  S_check(journal->append(journal->context, &event, NULL) == FB_OK && event.seq == number);
  fb_buf_release(&payload);
}

/* Events 1 to 24: some written one by one, some together, the last three not committed. */
static void S_good(const S_place *place) {
  fb_journal *journal;
  S_check(S_open(place, false, false, &journal) == FB_OK);
  for (uint32_t i = 1; i <= EVENTS; i++) {
    S_append(journal, i);
    if (i % 4 == 0) S_check(journal->write(journal->context, NULL) == FB_OK);
    if (i % 7 == 0) {
      S_check(journal->seal(journal->context));
      S_check(journal->commit(journal->context, NULL) == FB_OK);
    }
  }
  S_check(journal->write(journal->context, NULL) == FB_OK);
  fb_journal_log_close(journal);
}

static void S_keep_hash(void *user, const fb_event *event, const uint8_t hash[FB_DIGEST_SIZE]) {
  (void)user;
  memcpy(S_hashes[event->seq], hash, FB_DIGEST_SIZE);
}

static void S_load(const S_place *place, fb_buf *out) {
  off_t size = lseek(place->fd, 0, SEEK_END);
  S_check(size >= 0 && fb_buf_reserve(out, (size_t)size) &&
          pread(place->fd, out->ptr, (size_t)size, 0) == size);
  out->len = (size_t)size;
}

static void S_store(const S_place *place, fb_slice bytes) {
  S_check(ftruncate(place->fd, 0) == 0 &&
          pwrite(place->fd, bytes.ptr, bytes.len, 0) == (ssize_t)bytes.len);
}

/* Checksums right again, as far as the sizes lead. */
static void S_fix(fb_buf *file) {
  for (size_t at = FB_LOG_HEADER; at + FB_LOG_LEAST <= file->len;) {
    uint32_t size, check;
    memcpy(&size, file->ptr + at, 4);
    if (size < FB_LOG_LEAST || size % 8 || size > file->len - at) return;
    check = fb_log_check(file->ptr + at, size, SALT);
    memcpy(file->ptr + at + 4, &check, 4);
    at += size;
  }
}

/* ── What must hold ──────────────────────────────────────────────────────────────────────────── */

typedef struct S_seen {
  uint64_t findings, events, last, size;
  bool same; /* all events are those of the good journal */
} S_seen;

static void S_found(void *user, const fb_audit_finding *finding) {
  S_seen *seen = user;
  seen->findings++;
  S_check(finding->kind <= FB_AUDIT_TORN && finding->seq <= finding->last);
  S_check(finding->offset <= seen->size);
}

static void S_event(void *user, const fb_event *event, const uint8_t hash[FB_DIGEST_SIZE]) {
  S_seen *seen = user;
  S_check(event->seq > seen->last);
  seen->last = event->seq;
  seen->events++;
  if (event->seq > EVENTS || memcmp(hash, S_hashes[event->seq], FB_DIGEST_SIZE) != 0)
    seen->same = false;
}

static fb_status S_audit(const S_place *place, S_seen *ret_seen) {
  fb_error err = {0};
  fb_audit_report report = {0};
  *ret_seen = (S_seen){.same = true, .size = (uint64_t)lseek(place->fd, 0, SEEK_END)};
  fb_status status =
      fb_journal_verify(place->path, NULL, NULL, S_found, S_event, ret_seen, &report, &err);
  S_check(status == FB_OK ? report.events >= ret_seen->events && report.wrong <= ret_seen->findings
                          : err.text[0] != 0);
  return status;
}

static void S_peeked(void *user, const fb_event *event) {
  uint32_t *count = user;
  S_check(event != NULL && ++*count <= 2);
}

static fb_status S_read(void *user, const fb_event *event) {
  uint64_t *last = user;
  fb_arena arena;
  fb_value value;
  if (event->flags & FB_EVENT_LOST) return FB_OK;
  S_check(event->seq > *last);
  *last = event->seq;
  fb_arena_init(&arena, NULL, 0);
  fb_value_unpack(event->payload, &arena, &value, NULL);
  fb_arena_release(&arena);
  return FB_OK;
}

/* Whether it could be read whole. */
static bool S_look(const S_place *place) {
  uint32_t ends = 0;
  uint64_t last = 0;
  fb_error err = {0};
  fb_journal *journal;
  fb_past *past = NULL;
  if (fb_journal_log_peek(place->path, NULL, S_peeked, &ends, &err)) S_check(err.text[0]);
  if (S_open(place, true, true, &journal) == FB_OK) {
    S_check(journal->read(journal->context, S_read, &last, NULL) == FB_OK);
    S_check(fb_journal_log_head(journal).seq == last);
    if (fb_past_read(journal, NULL, &past, NULL) == FB_OK) fb_past_free(past);
    fb_journal_log_close(journal);
  }
  if (S_open(place, true, false, &journal)) return false;
  fb_journal_log_close(journal);
  return true;
}

/* One event more: it is there afterwards, and what was cut off is not. */
static void S_go_on(const S_place *place, bool damaged_ok, bool whole) {
  fb_journal *journal;
  S_seen seen;
  if (S_open(place, false, damaged_ok, &journal)) {
    S_check(!whole);
    return;
  }
  fb_event event = {.kind = FB_EVENT_NOTE, .item = FB_NO_ITEM, .code = -1};
  S_check(journal->append(journal->context, &event, NULL) == FB_OK);
  S_check(journal->seal(journal->context));
  S_check(journal->commit(journal->context, NULL) == FB_OK);
  fb_journal_log_close(journal);
  S_check(S_audit(place, &seen) == FB_OK && seen.last == event.seq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fb_buf file, good;
  S_seen seen;
  if (!size) return 0;
  uint8_t pick = data[0];
  S_place place = S_new();
  fb_buf_init(&file, NULL, 0);
  fb_buf_init(&good, NULL, 0);
  S_good(&place);
  S_check(fb_journal_verify(place.path, NULL, NULL, NULL, S_keep_hash, NULL, &(fb_audit_report){0},
                            NULL) == FB_OK);
  S_load(&place, &good);
  if (pick & PICK_GOOD) {
    fb_buf_add(&file, good.ptr, good.len);
    if (pick & PICK_AHEAD) fb_buf_repeat(&file, 0, 4096);
    for (size_t i = 1; i + 2 < size; i += 3)
      file.ptr[(data[i] << 8 | data[i + 1]) % file.len] = (char)data[i + 2];
    if (pick & PICK_CUT && size > 2) file.len = (data[1] << 8 | data[2]) % file.len;
    if (pick & PICK_FIX) S_fix(&file);
  } else {
    fb_buf_add(&file, data + 1, size - 1);
  }
  S_store(&place, fb_buf_slice(&file));
  fb_status status = S_audit(&place, &seen);
  if (pick & PICK_GOOD && !status && !seen.findings) S_check(seen.same);
  S_go_on(&place, pick & PICK_DAMAGED_OK, S_look(&place));
  close(place.fd);
  fb_buf_release(&file);
  fb_buf_release(&good);
  return 0;
}
