/* SPDX-License-Identifier: Apache-2.0
 * Secrets: the masker against a naive one over texts cut anywhere, encodings, memory that runs out, and a run whose
 * journal, events and kept output are searched for what must not be there. */
#include "test.h"

#include "mission/mask.h"
#include "mission/world_script.h"

#include <flyball/store.h>

#include <string.h>

static fb_mask *S_mask(const fb_allocator *allocator, const char *const *secrets, size_t count) {
  fb_mask *mask = NULL;
  if (fb_mask_new(allocator, &mask)) return NULL;
  bool good = true;
  for (size_t i = 0; i < count && good; i++) good = fb_mask_add(mask, fb_slice_of(secrets[i]));
  if (good && fb_mask_seal(mask)) return mask;
  fb_mask_free(mask);
  return NULL;
}

/* ── Against a naive one ─────────────────────────────────────────────────────────────────────── */

/* Marks every place of every secret, then writes three stars for each stretch. */
static void S_naive(const char *const *secrets, size_t count, fb_slice text, fb_buf *out) {
  bool marks[600] = {0};
  assert_true(text.len < sizeof marks);
  for (size_t i = 0; i < count; i++) {
    size_t length = strlen(secrets[i]);
    for (size_t at = 0; at + length <= text.len; at++)
      if (memcmp(text.ptr + at, secrets[i], length) == 0) memset(marks + at, 1, length);
  }
  for (size_t at = 0; at < text.len; at++) {
    if (!marks[at])
      fb_buf_char(out, text.ptr[at]);
    else if (at == 0 || !marks[at - 1])
      fb_buf_text(out, "***");
  }
}

/* Secrets over the letters a and b, in which no encoding of them can be found: those have others in them. */
static void test_chunks(void **unused) {
  fb_random random;
  fb_random_seed(&random, 20261130);
  for (int round = 0; round < 3000; round++) {
    char texts[3][16], text[400];
    const char *secrets[3];
    size_t count = 1 + fb_random_below(&random, 3), length = fb_random_below(&random, sizeof text);
    for (size_t i = 0; i < count; i++) {
      size_t size = 4 + fb_random_below(&random, 8);
      for (size_t k = 0; k < size; k++) texts[i][k] = "ab"[fb_random_below(&random, 2)];
      texts[i][size] = 0;
      secrets[i] = texts[i];
    }
    for (size_t k = 0; k < length; k++) text[k] = "aabb."[fb_random_below(&random, 5)];
    fb_mask *mask = S_mask(NULL, secrets, count);
    fb_buf wanted, got;
    fb_masker masker;
    assert_non_null(mask);
    fb_buf_init(&wanted, NULL, 0);
    fb_buf_init(&got, NULL, 0);
    S_naive(secrets, count, (fb_slice){text, length}, &wanted);
    fb_masker_init(&masker, mask, fb_allocator_system());
    for (size_t at = 0; at < length;) {
      size_t step = 1 + fb_random_below(&random, 9);
      if (step > length - at) step = length - at;
      fb_masker_feed(&masker, (fb_slice){text + at, step}, &got);
      at += step;
    }
    fb_masker_end(&masker, &got);
    assert_int_equal(got.len, wanted.len);
    if (got.len) assert_memory_equal(got.ptr, wanted.ptr, got.len);
    assert_int_equal(fb_mask_finds(mask, (fb_slice){text, length}),
                     wanted.ptr && strstr(wanted.ptr, "***") != NULL);
    fb_masker_release(&masker);
    fb_buf_release(&wanted);
    fb_buf_release(&got);
    fb_mask_free(mask);
  }
  (void)unused;
}

/* ── Encodings ───────────────────────────────────────────────────────────────────────────────── */

static void S_hides(const fb_mask *mask, const char *text, const char *wanted) {
  fb_buf buf;
  fb_buf_init(&buf, NULL, 0);
  fb_buf_text(&buf, "keep ");
  fb_buf_text(&buf, text);
  fb_mask_buf(mask, &buf, 5);
  assert_string_equal(buf.ptr + 5, wanted);
  fb_buf_release(&buf);
}

static void test_encodings(void **unused) {
  static const char *const secrets[] = {"p\"ss wörd/'1", "line one\nline two of it\n"};
  fb_mask *mask = S_mask(NULL, secrets, 2);
  assert_non_null(mask);
  S_hides(mask, "it is p\"ss wörd/'1.", "it is ***.");
  S_hides(mask, "{\"p\":\"p\\\"ss wörd/'1\"}", "{\"p\":\"***\"}");
  S_hides(mask, "{\"p\":\"p\\\"ss wörd\\/'1\"}", "{\"p\":\"***\"}");
  S_hides(mask, "a=p%22ss%20w%C3%B6rd%2F%271&b", "a=***&b");
  S_hides(mask, "a=p%22ss+w%c3%b6rd%2f%271&b", "a=***&b");
  S_hides(mask, "+ echo 'p\"ss wörd/'\\''1'", "+ echo '***'");
  S_hides(mask, "702273732077c3b672642f2731", "***");
  S_hides(mask, "702273732077C3B672642F2731", "***");
  /* base64 of it alone, after one byte, and after two: what also has bits of neighbours stays. */
  S_hides(mask, "cCJzcyB3w7ZyZC8nMQ==", "***Q==");
  S_hides(mask, "eHAic3Mgd8O2cmQvJzE=", "eH***E=");
  S_hides(mask, "line two of it", "***");
  S_hides(mask, "line", "line");
  fb_mask_free(mask);
  (void)unused;
}

static void test_errors(void **unused) {
  static const char *const secrets[] = {"hunter2-hunter2-hunter2"};
  fb_mask *mask = S_mask(NULL, secrets, 1);
  fb_error err = {0};
  fb_fail(&err, FB_E_IO, "cannot open hunter2-hunter2-hunter2: no");
  fb_mask_error(mask, &err);
  assert_string_equal(err.text, "cannot open ***: no");
  /* A text that was cut in the middle of it. */
  char padding[sizeof err.text];
  memset(padding, 'x', sizeof padding);
  padding[sizeof padding - 12] = 0;
  fb_fail(&err, FB_E_IO, "%s%s", padding, secrets[0]);
  assert_non_null(strstr(err.text, "hunter2"));
  fb_mask_error(mask, &err);
  assert_null(strstr(err.text, "hunt"));
  fb_mask_free(mask);
  (void)unused;
}

/* ── A whole run ─────────────────────────────────────────────────────────────────────────────── */

static const char S_source[] =
    "name: secrets\n"
    "secrets:\n"
    "  token: {env: TOKEN}\n"
    "  pin: {file: pin.txt, type: int}\n"
    "  pair: {file: pair.json, type: map}\n"
    "  none: {env: NOT_THERE, required: false}\n"
    "steps:\n"
    "  - {id: call, run: [login, \"${{ secrets.token }}\"], env: {PW: \"${{ secrets.pair.password "
    "}}\"},\n"
    "     stdin: \"${{ secrets.pin }}\", parse: json, on_error: continue}\n"
    "  - {id: each, for_each: [\"${{ secrets.token }}\", plain], run: [echo, \"${{ item }}\"]}\n"
    "  - {id: say, emit: {type: said, token: \"${{ secrets.token }}\", pin: \"${{ secrets.pin "
    "}}\"}}\n"
    "  - {id: wrong, if: int(secrets.pair.password) > 1, run: [x], on_error: continue}\n"
    "  - {id: bad, run: [fails], on_error: continue, needs: call}\n"
    "  - {id: keep, write: {path: kept, content: \"${{ secrets.token }}\"}}\n"
    "outputs:\n"
    "  token: \"${{ secrets.token }}\"\n"
    "  none: \"${{ secrets.none == null }}\"\n"
    "  call: \"${{ steps.call.output }}\"\n"
    "  all: [\"${{ steps.each.output }}\", \"${{ steps.bad.error }}\", \"${{ steps.wrong.error "
    "}}\"]\n";

static const char *const S_hidden[] = {"t0ken-of-the-api", "48151623", "correct horse",
                                       "dDBrZW4tb2YtdGhlLWFwa"};

static void S_reply(void *context, const fb_process_spec *spec, fb_script_reply *ret_reply) {
  (void)context;
  ret_reply->out = FB_SLICE("{\"token\": \"t0ken-of-the-api\", \"ok\": true}");
  ret_reply->err = FB_SLICE("pin 48151623, dDBrZW4tb2YtdGhlLWFwaQ==");
  if (strcmp(spec->argv[0], "login") == 0) { /* it was given them as they are */
    assert_string_equal(spec->argv[1], "t0ken-of-the-api");
    assert_true(fb_slice_equal(spec->input, FB_SLICE("48151623")));
    bool found = false;
    for (const char *const *env = spec->env; *env; env++)
      found = found || strcmp(*env, "PW=correct horse") == 0;
    assert_true(found);
  }
  if (strcmp(spec->argv[0], "echo") == 0) ret_reply->out = fb_slice_of(spec->argv[1]);
  if (strcmp(spec->argv[0], "fails") != 0) return;
  ret_reply->code = 1;
  ret_reply->err = FB_SLICE("no entry with correct horse here");
}

static void S_no_secret(fb_slice text, const char *where) {
  for (size_t i = 0; i < sizeof S_hidden / sizeof *S_hidden; i++)
    if (memmem(text.ptr, text.len, S_hidden[i], strlen(S_hidden[i])))
      fail_msg("%s shows %s: %.*s", where, S_hidden[i], (int)text.len, text.ptr);
}

static void S_event(void *context, const fb_mission_event *event) {
  (void)context;
  if (event->error) S_no_secret(fb_slice_of(event->error->text), "an error");
  if (event->note) S_no_secret(fb_slice_of(event->note), "a note");
  if (!event->fact) return;
  fb_buf buf;
  fb_buf_init(&buf, NULL, 0);
  fb_json_write(&buf, *event->fact, FB_JSON_COMPACT);
  S_no_secret(fb_buf_slice(&buf), "a fact");
  fb_buf_release(&buf);
}

static void S_kept(void *user, const char *path, fb_slice bytes, bool synced) {
  (void)user;
  (void)synced;
  if (strcmp(path, "kept") && strcmp(path, "pin.txt") && strcmp(path, "pair.json"))
    S_no_secret(bytes, path);
}

static fb_status S_recorded(void *user, const fb_event *event) {
  ++*(int *)user;
  S_no_secret(event->payload, "the journal");
  return FB_OK;
}

static bool S_whole(const fb_allocator *allocator) {
  static const char *const env[] = {"TOKEN=t0ken-of-the-api", NULL};
  fb_doc *doc = NULL;
  fb_mission *mission = NULL;
  fb_mission_run *run = NULL;
  fb_script_world *world;
  fb_journal *journal = NULL;
  int events = 0;
  bool good = false;
  assert_int_equal(fb_doc_read_yaml(FB_SLICE(S_source), "m.yaml", NULL, &doc, NULL), FB_OK);
  assert_int_equal(fb_script_world_new(NULL, S_reply, NULL, &world), FB_OK);
  fb_script_world_put(world, "pin.txt", FB_SLICE("48151623\n"));
  fb_script_world_put(world, "pair.json",
                      FB_SLICE("{\"user\": \"me\", \"password\": \"correct horse\"}"));
  assert_int_equal(fb_journal_memory_new(NULL, &journal), FB_OK);
  fb_mission_run_options options = {.env = env, .id = "r", .journal = journal, .on_event = S_event};
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  if (fb_mission_load(doc, NULL, allocator, &mission, &errors) == FB_OK &&
      fb_mission_run_new(mission, fb_script_world_face(world), &options, allocator, &run,
                         &errors) == FB_OK) {
    fb_mission_status state = fb_mission_run_wait(run);
    fb_buf buf;
    fb_buf_init(&buf, NULL, 0);
    fb_json_write(&buf, fb_mission_run_outputs(run), FB_JSON_COMPACT);
    S_no_secret(fb_buf_slice(&buf), "the outputs");
    good = state == FB_MISSION_OK;
    if (!allocator)
      assert_string_equal(
          buf.ptr,
          "{\"token\":\"***\",\"none\":true,\"call\":{\"token\":\"***\",\"ok\":true},"
          "\"all\":[[\"***\",\"plain\"],"
          "\"exit code 1: no entry with *** here\",\"'***' is not an int\"]}");
    fb_buf_release(&buf);
    const fb_buf *kept = fb_script_world_file(world, "kept");
    if (good) assert_string_equal(kept->ptr, "t0ken-of-the-api"); /* on purpose */
    fb_script_world_each(world, S_kept, NULL);
    journal->read(journal->context, S_recorded, &events, NULL);
    if (good) assert_true(events > 10);
  }
  if (!allocator && errors.count) fail_msg("%s", errors.items[0].text);
  fb_errors_release(&errors);
  fb_mission_run_free(run);
  fb_mission_free(mission);
  fb_doc_free(doc);
  fb_journal_memory_free(journal);
  fb_script_world_free(world);
  return good;
}

static void test_run(void **unused) {
  assert_true(S_whole(NULL));
  (void)unused;
}

static void test_memory(void **unused) {
  fb_test_each_failure(S_whole);
  (void)unused;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_chunks), cmocka_unit_test(test_encodings),
      cmocka_unit_test(test_errors), cmocka_unit_test(test_run), cmocka_unit_test(test_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
