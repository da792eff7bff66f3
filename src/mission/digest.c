/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests of what a call is given and of what it gave, and the key that is the same in all of its attempts.
 */
#include "mission/record.h"

#include <stdio.h>

enum { CHUNK = 256 << 10 };

/* A text and its end: "ab", "c" is not "a", "bc". */
static void S_add(fb_digester *digester, fb_slice text) {
  uint64_t length = text.len;
  fb_digest_add(digester, (fb_slice){(const char *)&length, sizeof length});
  fb_digest_add(digester, text);
}

static void S_add_number(fb_digester *digester, uint64_t number) {
  fb_digest_add(digester, (fb_slice){(const char *)&number, sizeof number});
}

void fb_step_key(fb_active *active, char ret_key[33]) {
  fb_mission_run *run = active->run;
  uint32_t item = fb_record_item(active);
  const fb_memo *memo = run->recorder ? fb_memo_find(run->recorder, active->step, item) : NULL;
  const char *scope = run->options.scope ? run->options.scope : "";
  fb_digester digester;
  uint8_t digest[FB_DIGEST_SIZE];
  fb_digest_begin(&digester);
  S_add(&digester, fb_slice_of(run->options.id));
  S_add(&digester, fb_slice_of(scope));
  S_add(&digester, run->mission->steps[active->step].id);
  S_add_number(&digester, item);
  S_add_number(&digester, run->recorder ? fb_record_item_hash(run) : 0);
  S_add_number(&digester, memo ? memo->generation : 0);
  fb_digest_end(&digester, digest);
  fb_hex(digest, 16, ret_key);
}

/* ── What it is given ────────────────────────────────────────────────────────────────────────── */

/* A digest of a short secret would tell it to who tries all: it is of the text without it. */
static void S_add_hidden(fb_digester *digester, const fb_mask *mask, fb_slice text,
                         const fb_allocator *allocator) {
  if (!fb_mask_finds(mask, text)) {
    S_add(digester, text);
    return;
  }
  fb_arena arena;
  fb_arena_init(&arena, allocator, 0);
  fb_slice hidden = fb_mask_text(mask, text, &arena);
  S_add(digester, hidden.ptr ? hidden : FB_SLICE("***"));
  fb_arena_release(&arena);
}

static void S_add_process(fb_digester *digester, const fb_mission_run *run,
                          const fb_process_spec *process) {
  const fb_mask *mask = run->mask;
  for (const char *const *arg = process->argv; *arg; arg++)
    S_add_hidden(digester, mask, fb_slice_of(*arg), run->allocator);
  S_add_hidden(digester, mask, fb_slice_of(process->dir ? process->dir : ""), run->allocator);
  S_add_hidden(digester, mask, process->input, run->allocator);
  for (uint32_t i = 0; process->env && process->env[i]; i++)
    if (i >= run->env_count || process->env[i] != run->env[i])
      S_add_hidden(digester, mask, fb_slice_of(process->env[i]), run->allocator);
}

bool fb_digest_input(const fb_active *active, uint8_t ret_digest[FB_DIGEST_SIZE]) {
  const fb_mission_run *run = active->run;
  const fb_step *step = &run->mission->steps[active->step];
  fb_digester digester;
  fb_digest_begin(&digester);
  S_add(&digester, fb_slice_of(step->tool->key));
  if (step->tool->process) {
    S_add_process(&digester, run, &active->call.process);
  } else {
    fb_buf text;
    fb_buf_init(&text, run->allocator, 0);
    fb_step_scope scope = active->call.scope;
    if (step->tool->describe) step->tool->describe(step->tool_plan, &scope, &text);
    S_add_hidden(&digester, run->mask, fb_buf_slice(&text), run->allocator);
    bool failed = text.failed;
    fb_buf_release(&text);
    if (failed) return false;
  }
  fb_digest_end(&digester, ret_digest);
  return true;
}

/* ── What it gave ────────────────────────────────────────────────────────────────────────────── */

static bool S_add_file(fb_digester *digester, const fb_active *active, const char *path) {
  const fb_world *world = active->run->world;
  uint64_t offset = 0;
  bool more = path != NULL, good = true;
  fb_buf buf;
  fb_buf_init(&buf, active->run->allocator, 0);
  while (more && good) {
    fb_buf_clear(&buf);
    good = world->read(world->context, path, offset, CHUNK, &buf, &more, NULL) == FB_OK;
    if (good) fb_digest_add(digester, fb_buf_slice(&buf));
    offset += buf.len;
  }
  S_add_number(digester, offset);
  fb_buf_release(&buf);
  return good;
}

static bool S_add_value(fb_digester *digester, const fb_active *active) {
  fb_buf buf;
  bool good = true;
  fb_buf_init(&buf, active->run->allocator, 0);
  if (active->call.output.kind != FB_ABSENT) good = !fb_value_pack(&buf, active->call.output);
  fb_digest_add(digester, fb_buf_slice(&buf));
  fb_buf_release(&buf);
  return good;
}

void fb_digest_output(fb_active *active) {
  const fb_step *step = &active->run->mission->steps[active->step];
  fb_digester digester;
  fb_digest_begin(&digester);
  bool good = step->tool->process ? S_add_file(&digester, active, active->out_path) &&
                                        S_add_file(&digester, active, active->err_path)
                                  : S_add_value(&digester, active);
  fb_digest_end(&digester, active->digest);
  active->has_digest = good;
}
