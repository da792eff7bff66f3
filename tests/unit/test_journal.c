/* SPDX-License-Identifier: Apache-2.0
 * Journals on disk: what comes back, what a crash leaves, what damage is found and named. */
#include "test.h"

#include "store/log.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct S_place {
  char folder[64], path[96];
} S_place;

static int S_setup(void **state) {
  S_place *place = calloc(1, sizeof *place);
  snprintf(place->folder, sizeof place->folder, "/tmp/fb-test-journal-XXXXXX");
  if (!mkdtemp(place->folder)) return -1;
  snprintf(place->path, sizeof place->path, "%s/journal", place->folder);
  *state = place;
  return 0;
}

static int S_teardown(void **state) {
  S_place *place = *state;
  unlink(place->path);
  rmdir(place->folder);
  free(place);
  return 0;
}

static fb_journal *S_open(const char *path, fb_journal_log_options options) {
  fb_journal *journal = NULL;
  fb_error err = {0};
  options.unsynced = true;
  if (!options.salt) options.salt = 42;
  if (fb_journal_log_open(path, &options, NULL, &journal, &err)) fail_msg("%s", err.text);
  return journal;
}

/* Event number `i` of a made-up run. */
static fb_event S_event(uint32_t i, char *text, size_t size) {
  snprintf(text, size, "step%u", i);
  fb_event event = {.wall = 1000 + i,
                    .kind = i % 2 ? FB_EVENT_STEP_STARTED : FB_EVENT_STEP_ENDED,
                    .status = (uint8_t)(i % 3),
                    .flags = i % 5 == 0 ? FB_EVENT_HAS_DIGEST : 0,
                    .item = i % 7 ? FB_NO_ITEM : i,
                    .attempt = 1,
                    .code = (int16_t)(i % 4 - 1),
                    .scope = i % 11 == 0 ? FB_SLICE("sub.1/") : FB_SLICE(""),
                    .step = fb_slice_of(text),
                    .payload = {text, i % 6}};
  memset(event.digest, i % 5 == 0 ? (int)i : 0, sizeof event.digest);
  return event;
}

static void S_write(fb_journal *journal, uint32_t first, uint32_t last) {
  char text[32];
  fb_error err = {0};
  for (uint32_t i = first; i <= last; i++) {
    fb_event event = S_event(i, text, sizeof text);
    assert_int_equal(journal->append(journal->context, &event, &err), FB_OK);
    assert_int_equal(event.seq, i);
  }
  assert_true(journal->seal(journal->context));
  assert_int_equal(journal->commit(journal->context, &err), FB_OK);
  assert_false(journal->seal(journal->context));
}

static void S_make(const char *path, uint32_t count) {
  fb_journal *journal = S_open(path, (fb_journal_log_options){0});
  S_write(journal, 1, count);
  fb_journal_log_close(journal);
}

typedef struct S_seen {
  uint64_t count, last, lost;
} S_seen;

static fb_status S_see(void *user, const fb_event *event) {
  S_seen *seen = user;
  char text[32];
  if (event->flags & FB_EVENT_LOST) {
    seen->lost++;
    return FB_OK;
  }
  fb_event wanted = S_event((uint32_t)event->seq, text, sizeof text);
  assert_true(event->seq > seen->last);
  assert_true(event->wall == wanted.wall && event->kind == wanted.kind &&
              event->status == wanted.status && event->flags == wanted.flags &&
              event->item == wanted.item && event->code == wanted.code);
  assert_true(fb_slice_equal(event->scope, wanted.scope));
  assert_true(fb_slice_equal(event->step, wanted.step));
  assert_true(fb_slice_equal(event->payload, wanted.payload));
  assert_memory_equal(event->digest, wanted.digest, FB_DIGEST_SIZE);
  seen->count++;
  seen->last = event->seq;
  return FB_OK;
}

static S_seen S_read(fb_journal *journal) {
  S_seen seen = {0};
  fb_error err = {0};
  if (journal->read(journal->context, S_see, &seen, &err)) fail_msg("%s", err.text);
  return seen;
}

typedef struct S_findings {
  fb_audit_finding items[16];
  uint32_t count;
} S_findings;

static void S_note(void *user, const fb_audit_finding *finding) {
  S_findings *findings = user;
  if (findings->count < 16) findings->items[findings->count++] = *finding;
}

static fb_audit_report S_verify(const char *path, S_findings *findings) {
  fb_audit_report report = {0};
  fb_error err = {0};
  findings->count = 0;
  if (fb_journal_verify(path, NULL, NULL, S_note, NULL, findings, &report, &err))
    fail_msg("%s", err.text);
  return report;
}

/* Where event `seq` stands, and how large it is. */
static uint64_t S_offset(const char *path, uint64_t seq, uint32_t *ret_size) {
  FILE *file = fopen(path, "rb");
  uint64_t at = FB_LOG_HEADER;
  for (uint64_t i = 1;; i++) {
    uint32_t size;
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fread(&size, 4, 1, file), 1);
    *ret_size = size;
    if (i == seq) break;
    at += size;
  }
  fclose(file);
  return at;
}

static void S_patch(const char *path, uint64_t at, const void *bytes, size_t count) {
  int fd = open(path, O_WRONLY);
  assert_int_equal(pwrite(fd, bytes, count, (off_t)at), count);
  close(fd);
}

/* ── What is written comes back ──────────────────────────────────────────────────────────────── */

static void test_events_come_back(void **state) {
  const S_place *place = *state;
  S_findings findings;
  fb_journal *journal = S_open(place->path, (fb_journal_log_options){0});
  assert_int_equal(S_read(journal).count, 0);
  assert_int_equal(fb_journal_log_head(journal).seq, 0);
  S_write(journal, 1, 300);
  assert_int_equal(S_read(journal).count, 300);
  fb_journal_log_close(journal);
  journal = S_open(place->path, (fb_journal_log_options){.salt = 7}); /* the file's own counts */
  assert_int_equal(S_read(journal).count, 300);
  for (uint32_t i = 301; i < 2000; i += 7) S_write(journal, i, i + 6);
  fb_journal_head head = fb_journal_log_head(journal);
  fb_journal *reader = S_open(place->path, (fb_journal_log_options){.read_only = true});
  assert_int_equal(S_read(reader).count, head.seq); /* while it is open for writing */
  fb_event event = {0};
  assert_int_equal(reader->append(reader->context, &event, NULL), FB_E_IO);
  fb_journal_log_close(reader);
  fb_journal_log_close(journal);
  fb_audit_report report = S_verify(place->path, &findings);
  assert_int_equal(findings.count, 0);
  assert_int_equal(report.events, head.seq);
  assert_memory_equal(&report.head, &head, sizeof head);
}

static void test_what_was_not_committed_is_gone(void **state) {
  const S_place *place = *state;
  char text[32];
  fb_journal *journal = S_open(place->path, (fb_journal_log_options){0});
  S_write(journal, 1, 3);
  fb_event event = S_event(4, text, sizeof text);
  assert_int_equal(journal->append(journal->context, &event, NULL), FB_OK);
  fb_journal_log_close(journal);
  journal = S_open(place->path, (fb_journal_log_options){0});
  assert_int_equal(S_read(journal).count, 3);
  S_write(journal, 4, 5);
  fb_journal_log_close(journal);
}

/* Cut at every byte: what is whole is there, and the journal goes on. */
static void test_a_write_that_was_cut_off(void **state) {
  const S_place *place = *state;
  S_findings findings;
  struct stat info;
  S_make(place->path, 6);
  assert_int_equal(stat(place->path, &info), 0);
  for (off_t size = info.st_size; size >= 0; size--) {
    uint64_t whole = 0;
    unlink(place->path);
    S_make(place->path, 6);
    for (uint64_t seq = 1; seq <= 6; seq++) {
      uint32_t length;
      uint64_t at = S_offset(place->path, seq, &length);
      if (at + length <= (uint64_t)size) whole = seq;
    }
    assert_int_equal(truncate(place->path, size), 0);
    if (size >= FB_LOG_HEADER) {
      fb_audit_report report = S_verify(place->path, &findings);
      assert_int_equal(report.head.seq, whole);
      assert_int_equal(report.wrong, 0);
    }
    fb_journal *journal = S_open(place->path, (fb_journal_log_options){0});
    assert_int_equal(S_read(journal).count, whole);
    S_write(journal, (uint32_t)whole + 1, 8);
    assert_int_equal(S_read(journal).count, 8);
    fb_journal_log_close(journal);
    assert_int_equal(S_verify(place->path, &findings).head.seq, 8);
    assert_int_equal(findings.count, 0);
  }
}

/* ── Damage ──────────────────────────────────────────────────────────────────────────────────── */

static void test_damage_in_the_middle(void **state) {
  const S_place *place = *state;
  fb_error err = {0};
  fb_journal *journal = NULL;
  S_findings findings;
  uint32_t size;
  S_make(place->path, 50);
  uint64_t at = S_offset(place->path, 20, &size);
  S_patch(place->path, at + 50, "\xff", 1);
  fb_journal_log_options options = {0};
  assert_int_equal(fb_journal_log_open(place->path, &options, NULL, &journal, &err),
                   FB_E_JOURNAL_DAMAGED);
  assert_non_null(strstr(err.text, "event 20"));
  fb_audit_report report = S_verify(place->path, &findings);
  assert_int_equal(report.wrong, 1);
  assert_int_equal(findings.items[0].kind, FB_AUDIT_CHANGED);
  assert_int_equal(findings.items[0].seq, 20);
  assert_int_equal(findings.items[0].last, 20);
  /* The intact part is usable, and what follows the damage is kept. */
  journal = S_open(place->path, (fb_journal_log_options){.damaged_ok = true});
  S_seen seen = S_read(journal);
  assert_int_equal(seen.count, 49);
  assert_int_equal(seen.lost, 1);
  S_write(journal, 51, 52);
  fb_journal_log_close(journal);
  assert_int_equal(S_verify(place->path, &findings).head.seq, 52);
  assert_int_equal(findings.count, 1);
}

/* A change by somebody who knows the format: the checksum fits, the chain does not. */
static void test_a_change_with_a_good_checksum(void **state) {
  const S_place *place = *state;
  S_findings findings;
  uint32_t size, check;
  char record[200];
  S_make(place->path, 30);
  uint64_t at = S_offset(place->path, 12, &size);
  FILE *file = fopen(place->path, "rb");
  assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
  assert_int_equal(fread(record, size, 1, file), 1);
  fclose(file);
  record[25] ^= 1; /* the status */
  check = fb_log_check(record, size, 42);
  memcpy(record + 4, &check, 4);
  S_patch(place->path, at, record, size);
  fb_audit_report report = S_verify(place->path, &findings);
  assert_int_equal(report.wrong, 1);
  assert_int_equal(findings.items[0].kind, FB_AUDIT_CHANGED);
  assert_int_equal(findings.items[0].seq, 12);
  /* With its own hash made anew as well, the next one does not follow. */
  uint8_t prev[FB_DIGEST_SIZE];
  uint32_t before;
  uint64_t previous = S_offset(place->path, 11, &before);
  file = fopen(place->path, "rb");
  assert_int_equal(fseek(file, (long)(previous + before - FB_DIGEST_SIZE), SEEK_SET), 0);
  assert_int_equal(fread(prev, sizeof prev, 1, file), 1);
  fclose(file);
  fb_log_hash(prev, record, size, (uint8_t *)record + size - FB_DIGEST_SIZE);
  check = fb_log_check(record, size, 42);
  memcpy(record + 4, &check, 4);
  S_patch(place->path, at, record, size);
  report = S_verify(place->path, &findings);
  assert_int_equal(report.wrong, 1);
  assert_int_equal(findings.items[0].seq, 13);
}

/* The file again, with records taken out or put in. */
static void S_rewrite(const char *path, const uint64_t *order, size_t count) {
  char whole[16384], out[16384];
  size_t length = FB_LOG_HEADER;
  FILE *file = fopen(path, "rb");
  assert_true(fread(whole, 1, sizeof whole, file) < sizeof whole);
  fclose(file);
  memcpy(out, whole, FB_LOG_HEADER);
  for (size_t i = 0; i < count; i++) {
    uint32_t size;
    uint64_t at = S_offset(path, order[i], &size);
    memcpy(out + length, whole + at, size);
    length += size;
  }
  file = fopen(path, "wb");
  assert_int_equal(fwrite(out, 1, length, file), length);
  fclose(file);
}

static void test_missing_and_repeated(void **state) {
  const S_place *place = *state;
  S_findings findings;
  static const uint64_t missing[] = {1, 2, 5, 6}, repeated[] = {1, 2, 3, 2, 4, 5}, first[] = {2, 3},
                        swapped[] = {1, 3, 2, 4};
  S_make(place->path, 6);
  S_rewrite(place->path, missing, 4);
  assert_int_equal(S_verify(place->path, &findings).wrong, 1);
  assert_int_equal(findings.items[0].kind, FB_AUDIT_MISSING);
  assert_int_equal(findings.items[0].seq, 3);
  assert_int_equal(findings.items[0].last, 4);
  unlink(place->path);
  S_make(place->path, 6);
  S_rewrite(place->path, repeated, 6);
  assert_int_equal(S_verify(place->path, &findings).wrong, 1);
  assert_int_equal(findings.items[0].kind, FB_AUDIT_REPEATED);
  assert_int_equal(findings.items[0].seq, 2);
  unlink(place->path);
  S_make(place->path, 6);
  S_rewrite(place->path, first, 2);
  assert_int_equal(S_verify(place->path, &findings).wrong, 1);
  assert_int_equal(findings.items[0].seq, 1);
  unlink(place->path);
  S_make(place->path, 6);
  S_rewrite(place->path, swapped, 4);
  assert_int_equal(S_verify(place->path, &findings).wrong, 2);
  assert_int_equal(findings.items[0].kind, FB_AUDIT_MISSING);
  assert_int_equal(findings.items[1].kind, FB_AUDIT_REPEATED);
}

/* Whatever is done to the bytes: no crash, and never silence about an event that is not as it was. */
static void test_random_damage(void **state) {
  const S_place *place = *state;
  S_findings findings;
  fb_random random;
  struct stat info;
  fb_random_seed(&random, 4);
  for (int round = 0; round < 1500; round++) {
    unlink(place->path);
    S_make(place->path, 20);
    assert_int_equal(stat(place->path, &info), 0);
    uint64_t at = FB_LOG_HEADER + fb_random_below(&random, (uint64_t)info.st_size - FB_LOG_HEADER);
    size_t count = 1 + fb_random_below(&random, round % 2 ? 4 : 400);
    if (at + count > (uint64_t)info.st_size) count = (size_t)((uint64_t)info.st_size - at);
    char noise[400];
    for (size_t i = 0; i < count; i++) noise[i] = (char)(fb_random_u64(&random) | 1);
    S_patch(place->path, at, noise, count);
    fb_audit_report report = S_verify(place->path, &findings);
    assert_true(findings.count > 0 || report.head.seq == 20);
    fb_journal *journal = S_open(place->path, (fb_journal_log_options){.damaged_ok = true});
    S_seen seen = {0};
    assert_int_equal(journal->read(journal->context, S_see, &seen, NULL), FB_OK);
    if (findings.count == 0) assert_int_equal(seen.count, 20);
    fb_journal_log_close(journal);
  }
}

static void test_files_that_are_none(void **state) {
  const S_place *place = *state;
  fb_error err = {0};
  fb_journal *journal = NULL;
  fb_audit_report report;
  fb_journal_log_options options = {.read_only = true};
  assert_int_equal(fb_journal_log_open(place->path, &options, NULL, &journal, &err), FB_E_IO);
  FILE *file = fopen(place->path, "wb");
  fprintf(file, "%0200d", 7);
  fclose(file);
  assert_int_equal(fb_journal_log_open(place->path, &options, NULL, &journal, &err),
                   FB_E_JOURNAL_DAMAGED);
  assert_int_equal(fb_journal_verify(place->path, NULL, NULL, NULL, NULL, NULL, &report, &err),
                   FB_E_JOURNAL_DAMAGED);
  unlink(place->path);
  S_make(place->path, 1);
  S_patch(place->path, 20, "\x55", 1); /* the header */
  assert_int_equal(fb_journal_verify(place->path, NULL, NULL, NULL, NULL, NULL, &report, &err),
                   FB_E_JOURNAL_DAMAGED);
  assert_int_equal(
      fb_journal_log_open("/nowhere/journal", &(fb_journal_log_options){0}, NULL, &journal, &err),
      FB_E_IO);
}

/* ── A disk that is full ─────────────────────────────────────────────────────────────────────── */

static void test_disk_full(void **state) {
  const S_place *place = *state;
  char text[32];
  fb_error err = {0};
  S_findings findings;
  signal(SIGXFSZ, SIG_IGN);
  fb_journal *journal = S_open(place->path, (fb_journal_log_options){0});
  S_write(journal, 1, 100);
  struct rlimit old, small;
  struct stat info;
  assert_int_equal(stat(place->path, &info), 0);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  small = old;
  small.rlim_cur = (rlim_t)info.st_size + 100;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  fb_status status = FB_OK;
  uint32_t last = 100;
  while (!status && last < 20000) {
    for (int i = 0; i < 50; i++) {
      fb_event event = S_event(++last, text, sizeof text);
      assert_int_equal(journal->append(journal->context, &event, &err), FB_OK);
    }
    journal->seal(journal->context);
    status = journal->commit(journal->context, &err);
  }
  assert_int_equal(status, FB_E_DISK_FULL);
  assert_true(err.hint[0]);
  assert_int_equal(fb_journal_log_head(journal).seq, last - 50);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  /* There is room again: the same events go through. */
  assert_true(journal->seal(journal->context));
  assert_int_equal(journal->commit(journal->context, &err), FB_OK);
  assert_int_equal(S_read(journal).count, last);
  fb_journal_log_close(journal);
  assert_int_equal(S_verify(place->path, &findings).events, last);
  assert_int_equal(findings.count, 0);
}

/* ── Leases ──────────────────────────────────────────────────────────────────────────────────── */

static void test_leases(void **state) {
  const S_place *place = *state;
  fb_lease *lease = NULL, *second = NULL;
  fb_error err = {0};
  fb_buf said;
  int ready[2];
  char byte;
  fb_buf_init(&said, NULL, 0);
  assert_false(fb_lease_held(place->path, NULL));
  assert_int_equal(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    if (fb_lease_take(place->path, FB_SLICE("pid 1"), NULL, &lease, NULL) ||
        write(ready[1], "x", 1) != 1)
      _exit(1);
    pause();
  }
  assert_int_equal(read(ready[0], &byte, 1), 1);
  assert_int_equal(fb_lease_take(place->path, FB_SLICE("me"), NULL, &second, &err), FB_E_LEASE);
  assert_non_null(strstr(err.text, "pid 1"));
  assert_true(fb_lease_held(place->path, &said));
  assert_string_equal(said.ptr, "pid 1");
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  assert_false(fb_lease_held(place->path, NULL));
  assert_int_equal(fb_lease_take(place->path, FB_SLICE("me"), NULL, &second, &err), FB_OK);
  assert_true(fb_lease_held(place->path, NULL)); /* looking does not drop it */
  assert_int_equal(fb_lease_take(place->path, FB_SLICE("I"), NULL, &lease, &err), FB_E_LEASE);
  fb_lease_release(second);
  fb_lease_release(NULL);
  assert_false(fb_lease_held(place->path, NULL));
  fb_buf_release(&said);
  close(ready[0]);
  close(ready[1]);
}

/* ── Digests and signatures ──────────────────────────────────────────────────────────────────── */

static void test_digests_and_signatures(void **state) {
  (void)state;
  uint8_t digest[FB_DIGEST_SIZE], seed[FB_SEED_SIZE], key[FB_PUBLIC_KEY_SIZE],
      signature[FB_SIGNATURE_SIZE];
  char hex[2 * FB_SIGNATURE_SIZE + 1];
  fb_digest(FB_SLICE("abc"), digest); /* FIPS 180-4 */
  fb_hex(digest, sizeof digest, hex);
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  /* RFC 8032, 7.1, test 2 */
  assert_true(fb_unhex(FB_SLICE("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
                       seed, sizeof seed));
  fb_public_key(seed, key);
  fb_hex(key, sizeof key, hex);
  assert_string_equal(hex, "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  fb_sign(seed, FB_SLICE("\x72"), signature);
  fb_hex(signature, 8, hex);
  assert_string_equal(hex, "92a009a9f0d4cab8");
  assert_true(fb_signature_holds(key, FB_SLICE("\x72"), signature));
  assert_false(fb_signature_holds(key, FB_SLICE("\x73"), signature));
  signature[3] ^= 1;
  assert_false(fb_signature_holds(key, FB_SLICE("\x72"), signature));
  assert_false(fb_unhex(FB_SLICE("0g"), digest, 1));
  assert_false(fb_unhex(FB_SLICE("0"), digest, 1));
}

/* ── Memory ──────────────────────────────────────────────────────────────────────────────────── */

static bool S_use(const fb_allocator *allocator) {
  static const char path[] = "/tmp/fb-test-journal-memory";
  fb_journal *journal = NULL;
  fb_error err = {0};
  fb_journal_log_options options = {.unsynced = true, .salt = 1};
  char text[32];
  fb_status status = fb_journal_log_open(path, &options, allocator, &journal, &err);
  for (uint32_t i = 1; !status && i < 5; i++) {
    fb_event event = S_event(i, text, sizeof text);
    status = journal->append(journal->context, &event, &err);
  }
  if (!status && journal->seal(journal->context)) status = journal->commit(journal->context, &err);
  if (!status) status = journal->read(journal->context, S_see, &(S_seen){0}, &err);
  fb_journal_log_close(journal);
  unlink(path);
  assert_true(status == FB_OK || status == FB_E_NOMEM);
  return status == FB_OK;
}

static void test_memory(void **state) {
  (void)state;
  fb_test_each_failure(S_use);
}

int main(void) {
#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, S_setup, S_teardown)
  const struct CMUnitTest tests[] = {
      WITH_FILE(test_events_come_back),
      WITH_FILE(test_what_was_not_committed_is_gone),
      WITH_FILE(test_a_write_that_was_cut_off),
      WITH_FILE(test_damage_in_the_middle),
      WITH_FILE(test_a_change_with_a_good_checksum),
      WITH_FILE(test_missing_and_repeated),
      WITH_FILE(test_random_damage),
      WITH_FILE(test_files_that_are_none),
      WITH_FILE(test_disk_full),
      WITH_FILE(test_leases),
      cmocka_unit_test(test_digests_and_signatures),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
