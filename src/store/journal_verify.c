/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a journal is what was written: every checksum, every number, every link of the chain.
 */
#include "store/log.h"

#include <fcntl.h>

const char *fb_audit_finding_name(fb_audit_finding_kind kind) {
  static const char *const names[] = {"changed", "missing", "repeated", "cut", "torn"};
  return names[kind];
}

typedef struct S_verifier {
  fb_log_file file;
  uint64_t offset;
  uint8_t prev[FB_DIGEST_SIZE];
  bool linked; /* `prev` is what was written before `offset` */
  fb_audit_report report;
  void (*found)(void *user, const fb_audit_finding *finding);
  void (*event)(void *user, const fb_event *event, const uint8_t hash[FB_DIGEST_SIZE]);
  void *user;
} S_verifier;

static void S_found(S_verifier *verifier, fb_audit_finding_kind kind, uint64_t seq, uint64_t last,
                    const fb_event *event) {
  fb_audit_finding finding = {kind, seq, last, verifier->offset, event};
  if (kind != FB_AUDIT_TORN) verifier->report.wrong++;
  if (verifier->found) verifier->found(verifier->user, &finding);
}

/* Whether the record's hash is that of its content after `prev`. */
static bool S_links(const S_verifier *verifier, const char *record, uint32_t size) {
  uint8_t hash[FB_DIGEST_SIZE];
  fb_log_hash(verifier->prev, record, size, hash);
  return memcmp(hash, record + size - FB_DIGEST_SIZE, FB_DIGEST_SIZE) == 0;
}

static void S_record(S_verifier *verifier, const char *record, uint32_t size) {
  fb_journal_head *head = &verifier->report.head;
  fb_event event;
  fb_log_decode(record, &event);
  if (event.seq <= head->seq) {
    S_found(verifier, FB_AUDIT_REPEATED, event.seq, event.seq, &event);
    verifier->offset += size;
    return;
  }
  if (event.seq != head->seq + 1) {
    S_found(verifier, FB_AUDIT_MISSING, head->seq + 1, event.seq - 1, NULL);
    verifier->linked = false;
  }
  if (verifier->linked && !S_links(verifier, record, size))
    S_found(verifier, FB_AUDIT_CHANGED, event.seq, event.seq, &event);
  else if (verifier->event)
    verifier->event(verifier->user, &event, (const uint8_t *)record + size - FB_DIGEST_SIZE);
  memcpy(verifier->prev, record + size - FB_DIGEST_SIZE, FB_DIGEST_SIZE);
  memcpy(head->hash, verifier->prev, FB_DIGEST_SIZE);
  head->seq = event.seq;
  verifier->linked = true;
  verifier->report.events++;
  verifier->offset += size;
}

/* Which event is it, whose bytes are bad? Its number says so if that is still readable. */
static fb_status S_bad(S_verifier *verifier, bool *ret_end, fb_error *err) {
  uint64_t next = 0, first = verifier->report.head.seq + 1;
  fb_log_found found = FB_LOG_END;
  fb_status status = fb_log_is_torn(&verifier->file, verifier->offset, first, ret_end, err);
  if (!status && !*ret_end)
    status = fb_log_find(&verifier->file, verifier->offset + 8, &next, &found, err);
  if (status) return status;
  if (*ret_end || found == FB_LOG_END) {
    *ret_end = true;
    S_found(verifier, FB_AUDIT_TORN, first, first, NULL);
    return FB_OK;
  }
  const char *record;
  uint32_t size;
  fb_event event;
  status = fb_log_look(&verifier->file, next, &found, &record, &size, err);
  if (status) return status;
  fb_log_decode(record, &event);
  S_found(verifier, FB_AUDIT_CHANGED, first, event.seq > first ? event.seq - 1 : first, NULL);
  /* The events in between are told; the chain goes on behind them. */
  if (event.seq > first) verifier->report.head.seq = event.seq - 1;
  verifier->offset = next;
  verifier->linked = false;
  return FB_OK;
}

static fb_status S_all(S_verifier *verifier, fb_error *err) {
  fb_status status = FB_OK;
  bool end = false;
  verifier->offset = FB_LOG_HEADER;
  verifier->linked = true;
  while (!status && !end) {
    const char *record;
    uint32_t size;
    fb_log_found found;
    status = fb_log_look(&verifier->file, verifier->offset, &found, &record, &size, err);
    if (status || found == FB_LOG_END) break;
    if (found == FB_LOG_RECORD)
      S_record(verifier, record, size);
    else
      status = S_bad(verifier, &end, err);
  }
  return status;
}

fb_status fb_journal_verify(const char *path, const fb_disk *disk, const fb_allocator *allocator,
                            void (*found)(void *user, const fb_audit_finding *finding),
                            void (*event)(void *user, const fb_event *event,
                                          const uint8_t hash[FB_DIGEST_SIZE]),
                            void *user, fb_audit_report *ret_report, fb_error *err) {
  S_verifier verifier = {
      .file = {.disk = disk, .fd = -1, .path = path}, .found = found, .event = event, .user = user};
  fb_buf_init(&verifier.file.window, allocator, 0);
  fb_status status = fb_log_open_file(&verifier.file, O_RDONLY, verifier.prev, err);
  memcpy(verifier.report.head.hash, verifier.prev, FB_DIGEST_SIZE);
  if (!status) status = S_all(&verifier, err);
  verifier.report.bytes = verifier.offset;
  fb_log_close_file(&verifier.file);
  if (!status) *ret_report = verifier.report;
  return status;
}
