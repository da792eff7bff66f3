/* SPDX-License-Identifier: Apache-2.0
 * flyball audit: whether journals are what was written, and what they say, event by event. */
#include "cli/audit_sign.h"

#include "cli/run_job.h"

typedef struct S_audit {
  fb_cli *cli;
  fb_arena *arena;
  const fb_run_place *place;
  fb_signed_head *heads;
  size_t head_count;
  uint64_t wrong;
  fb_audit_report report;
} S_audit;

/* ── verify ──────────────────────────────────────────────────────────────────────────────────── */

static void S_tell(S_audit *audit, const char *kind, uint64_t seq, uint64_t last,
                   const char *more) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  if (audit->cli->json) {
    fb_buf_printf(&out,
                  "{\"type\":\"flyball.audit.finding.v1\",\"run\":\"%s\",\"finding\":\"%s\","
                  "\"event\":%llu,\"last\":%llu,\"detail\":",
                  audit->place->id, kind, (unsigned long long)seq, (unsigned long long)last);
    fb_json_write_text(&out, fb_slice_of(more), FB_JSON_COMPACT);
    fb_buf_text(&out, "}\n");
  } else if (last > seq) {
    fb_buf_printf(&out, "%s: events %llu to %llu %s%s\n", audit->place->id, (unsigned long long)seq,
                  (unsigned long long)last, kind, more);
  } else {
    fb_buf_printf(&out, "%s: event %llu %s%s\n", audit->place->id, (unsigned long long)seq, kind,
                  more);
  }
  fb_out_buf(audit->cli, &out);
  fb_buf_release(&out);
}

static void S_found(void *user, const fb_audit_finding *finding) {
  S_audit *audit = user;
  char more[300] = "";
  if (finding->event)
    snprintf(more, sizeof more, " (%s %.*s%.*s)", fb_event_kind_name(finding->event->kind),
             (int)(finding->event->scope.len < 100 ? finding->event->scope.len : 100),
             finding->event->scope.ptr,
             (int)(finding->event->step.len < 100 ? finding->event->step.len : 100),
             finding->event->step.ptr);
  if (finding->kind == FB_AUDIT_TORN)
    snprintf(more, sizeof more, ": a write that a crash cut off, never committed");
  else
    audit->wrong++;
  S_tell(audit, fb_audit_finding_name(finding->kind), finding->seq, finding->last, more);
}

/* A signed head tells what the hash of an event was, and that the journal went so far. */
static void S_event(void *user, const fb_event *event, const uint8_t hash[FB_DIGEST_SIZE]) {
  S_audit *audit = user;
  for (size_t i = 0; i < audit->head_count; i++) {
    const fb_journal_head *head = &audit->heads[i].head;
    if (head->seq != event->seq || memcmp(head->hash, hash, FB_DIGEST_SIZE) == 0) continue;
    audit->wrong++;
    S_tell(audit, "changed", event->seq, event->seq, ": it is not the one that was signed");
  }
}

static void S_check_cut(S_audit *audit) {
  for (size_t i = 0; i < audit->head_count; i++) {
    uint64_t seq = audit->heads[i].head.seq;
    if (seq <= audit->report.head.seq) continue;
    audit->wrong++;
    S_tell(audit, "cut", audit->report.head.seq + 1, seq, ": they were there when it was signed");
    return;
  }
}

static bool S_has_key(const S_audit *audit, const uint8_t key[FB_PUBLIC_KEY_SIZE]) {
  for (size_t i = 0; i < audit->head_count; i++)
    if (memcmp(audit->heads[i].key, key, FB_PUBLIC_KEY_SIZE) == 0) return true;
  return false;
}

static int S_check_key(S_audit *audit) {
  const char *given = fb_cli_text(audit->cli, "key", NULL);
  uint8_t key[FB_PUBLIC_KEY_SIZE];
  if (!given) return FB_EXIT_OK;
  int code = fb_audit_read_key(audit->cli, given, key);
  if (code || S_has_key(audit, key)) return code;
  audit->wrong++;
  return fb_cli_fail(audit->cli, FB_E_SIGNATURE, "%s: no head is signed with this key",
                     audit->place->id);
}

static void S_sum(S_audit *audit) {
  char hash[2 * FB_DIGEST_SIZE + 1];
  fb_hex(audit->report.head.hash, FB_DIGEST_SIZE, hash);
  if (audit->cli->json)
    fb_out_printf(audit->cli,
                  "{\"type\":\"flyball.audit.v1\",\"run\":\"%s\",\"events\":%llu,\"wrong\":%llu,"
                  "\"head\":%llu,\"hash\":\"%s\",\"signed\":%zu}\n",
                  audit->place->id, (unsigned long long)audit->report.events,
                  (unsigned long long)audit->wrong, (unsigned long long)audit->report.head.seq,
                  hash, audit->head_count);
  else if (audit->wrong == 0)
    fb_out_printf(audit->cli, "%s: %llu events, all as they were written, head %s%s\n",
                  audit->place->id, (unsigned long long)audit->report.events, hash,
                  audit->head_count ? ", signed" : "");
}

static int S_verify(fb_cli *cli, const fb_run_place *place, fb_arena *arena) {
  S_audit audit = {.cli = cli, .arena = arena, .place = place};
  fb_error err = {0};
  size_t bad = 0;
  int code = fb_audit_heads(cli, place, arena, &audit.heads, &audit.head_count, &bad);
  if (code) return code;
  if (bad) {
    audit.wrong += bad;
    fb_cli_fail(cli, FB_E_SIGNATURE, "%s: %zu signed heads whose signature does not hold",
                place->id, bad);
  }
  if (fb_journal_verify(place->journal, NULL, NULL, S_found, S_event, &audit, &audit.report, &err))
    return fb_cli_error(cli, &err);
  S_check_cut(&audit);
  code = S_check_key(&audit);
  S_sum(&audit);
  return code ? code : audit.wrong ? FB_EXIT_NO : FB_EXIT_OK;
}

/* ── export ──────────────────────────────────────────────────────────────────────────────────── */

static void S_export_event(void *user, const fb_event *event, const uint8_t hash[FB_DIGEST_SIZE]) {
  S_audit *audit = user;
  char time[FB_TIME_TEXT_MAX], hex[2 * FB_DIGEST_SIZE + 1];
  fb_value payload = fb_null();
  fb_arena_mark mark = fb_arena_save(audit->arena);
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  int64_t seconds = event->wall / 1000000000, nanos = event->wall % 1000000000;
  if (nanos < 0) seconds--, nanos += 1000000000;
  fb_time_format(seconds, (uint32_t)nanos, time);
  fb_buf_printf(&out,
                "{\"type\":\"flyball.audit.event.v1\",\"run\":\"%s\",\"seq\":%llu,\"time\":\"%s\","
                "\"event\":\"%s\"",
                audit->place->id, (unsigned long long)event->seq, time,
                fb_event_kind_name(event->kind));
  if (event->step.len) {
    fb_past_step step = {.scope = event->scope, .id = event->step, .item = event->item};
    fb_buf path;
    fb_buf_init(&path, NULL, 0);
    fb_past_step_path(&step, &path);
    fb_buf_text(&out, ",\"step\":");
    fb_json_write_text(&out, fb_buf_slice(&path), FB_JSON_COMPACT);
    fb_buf_release(&path);
    fb_buf_printf(&out, ",\"attempt\":%u", event->attempt);
  }
  if (event->kind == FB_EVENT_STEP_ENDED || event->kind == FB_EVENT_STEP_SETTLED)
    fb_buf_printf(&out, ",\"status\":\"%s\"",
                  event->status <= FB_STEP_WAITING
                      ? fb_step_status_name((fb_step_status)event->status)
                      : "?");
  if (event->kind == FB_EVENT_RUN_ENDED)
    fb_buf_printf(&out, ",\"status\":\"%s\"",
                  event->status <= FB_MISSION_WAITING
                      ? fb_mission_status_name((fb_mission_status)event->status)
                      : "?");
  if (event->kind == FB_EVENT_STEP_ENDED && event->code >= 0)
    fb_buf_printf(&out, ",\"exit\":%d", event->code);
  if (event->flags & FB_EVENT_HAS_DIGEST) {
    fb_hex(event->digest, FB_DIGEST_SIZE, hex);
    fb_buf_printf(&out, ",\"%s\":\"%s\"",
                  event->kind == FB_EVENT_STEP_STARTED ? "input_sha256" : "output_sha256", hex);
  }
  if (event->flags & FB_EVENT_RECOVERED) fb_buf_text(&out, ",\"repeats\":true");
  if (event->payload.len && event->kind != FB_EVENT_STEP_STARTED &&
      fb_value_unpack(event->payload, audit->arena, &payload, NULL) == FB_OK) {
    fb_buf_text(&out, ",\"data\":");
    fb_json_write(&out, payload, FB_JSON_COMPACT);
  }
  fb_hex(hash, FB_DIGEST_SIZE, hex);
  fb_buf_printf(&out, ",\"hash\":\"%s\"}\n", hex);
  fb_out_buf(audit->cli, &out);
  fb_buf_release(&out);
  fb_arena_rewind(audit->arena, mark);
}

static void S_export_found(void *user, const fb_audit_finding *finding) {
  S_audit *audit = user;
  if (finding->kind != FB_AUDIT_TORN) audit->wrong++;
}

static int S_export(fb_cli *cli, const fb_run_place *place, fb_arena *arena) {
  S_audit audit = {.cli = cli, .arena = arena, .place = place};
  fb_error err = {0};
  if (fb_journal_verify(place->journal, NULL, NULL, S_export_found, S_export_event, &audit,
                        &audit.report, &err))
    return fb_cli_error(cli, &err);
  if (audit.wrong == 0) return FB_EXIT_OK;
  fb_fail(&err, FB_E_JOURNAL_DAMAGED, "%s: events that are not as they were written are left out",
          place->id);
  fb_error_hint(&err, "`flyball audit verify %s` lists them", place->id);
  return fb_cli_error(cli, &err);
}

/* ── sign ────────────────────────────────────────────────────────────────────────────────────── */

static int S_sign(fb_cli *cli, const fb_run_place *place, fb_arena *arena) {
  const char *key = fb_cli_text(cli, "sign-key", NULL);
  fb_journal *journal = NULL;
  (void)arena;
  if (!key)
    return fb_cli_usage(cli, "as in `flyball audit sign --sign-key my.key latest`",
                        "a key is missing");
  int code = fb_run_journal(cli, place, true, false, &journal);
  if (!code) code = fb_audit_sign(cli, place, key, journal);
  fb_journal_log_close(journal);
  return code;
}

/* ── The command ─────────────────────────────────────────────────────────────────────────────── */

typedef int (*S_verb)(fb_cli *cli, const fb_run_place *place, fb_arena *arena);

static int S_all_runs(fb_cli *cli, S_verb verb, fb_arena *arena) {
  const char *const *ids, *runs = fb_runs_folder(cli, arena);
  size_t count;
  int worst = FB_EXIT_OK;
  if (!runs) return FB_EXIT_OUTSIDE;
  if (!fb_run_ids(runs, arena, &ids, &count)) return fb_cli_fail(cli, FB_E_NOMEM, "out of memory");
  for (size_t i = 0; i < count; i++) {
    fb_run_place place;
    fb_arena_mark mark = fb_arena_save(arena);
    if (!fb_run_place_set(runs, ids[i], arena, &place))
      return fb_cli_fail(cli, FB_E_NOMEM, "out of memory");
    int code = verb(cli, &place, arena);
    if (code > worst) worst = code;
    fb_arena_rewind(arena, mark);
  }
  return worst;
}

static int S_runs(fb_cli *cli, S_verb verb) {
  fb_arena arena;
  int worst = FB_EXIT_OK;
  fb_arena_init(&arena, NULL, 0);
  if (cli->operand_count == 1) worst = S_all_runs(cli, verb, &arena);
  for (size_t i = 1; i < cli->operand_count; i++) {
    fb_run_place place;
    int code = fb_run_find(cli, cli->operands[i], &arena, &place);
    if (!code) code = verb(cli, &place, &arena);
    if (code > worst) worst = code;
  }
  fb_arena_release(&arena);
  return worst;
}

static int S_run(fb_cli *cli) {
  const char *verb = cli->operands[0];
  if (strcmp(verb, "verify") == 0) return S_runs(cli, S_verify);
  if (strcmp(verb, "export") == 0) return S_runs(cli, S_export);
  if (strcmp(verb, "sign") == 0) return S_runs(cli, S_sign);
  if (strcmp(verb, "keygen") != 0)
    return fb_cli_usage(cli, "verify, export, sign or keygen", "`%s` is nothing that audit does",
                        verb);
  if (cli->operand_count != 2)
    return fb_cli_usage(cli, "as in `flyball audit keygen my.key`", "one file for the key");
  return fb_audit_keygen(cli, cli->operands[1]);
}

static const char *const S_verbs[] = {"verify", "export", "sign", "keygen", NULL};

static const fb_option S_options[] = {
    {.name = "key",
     .kind = FB_OPTION_FILE,
     .value = "KEY",
     .help =
         "With `verify`: a head must be signed with this public key (a file, or 64 hex digits)"},
    FB_RUN_OPTION_SIGN,
    {0}};

const fb_command fb_command_audit = {
    .name = "audit",
    .summary = "Check and export the journals of runs",
    .usage = "verify | export | sign | keygen [OPTION]… [RUN]…",
    .description =
        "Every event of a journal has the SHA-256 of itself and the event before. `verify` reads "
        "all of "
        "it, without RUN of all runs, and names each event that was changed, is missing or is "
        "there "
        "twice; exit 1 if there is any. `export` prints the events as JSON lines: who, what, when, "
        "the "
        "digests of what a step was given and gave, the hash.\n\n"
        "Whoever may write the file could make the whole chain anew, or cut off its end. Against "
        "that "
        "the head can be signed (Ed25519), by `sign` or by `run --sign-key`: then `verify` finds a "
        "cut, "
        "too, and with `--key` a journal that was not signed with this key. `keygen` makes a key "
        "in a "
        "new file, and FILE.pub beside it.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball audit verify", "all runs"},
                                     {"flyball audit verify latest --key my.key.pub",
                                      "was it signed by us?"},
                                     {"flyball audit export latest > audit.ndjson", "to keep"},
                                     {0}},
    .operands = FB_OPERANDS_CHOICE,
    .operand_choices = S_verbs,
    .min_operands = 1,
    .max_operands = UINT32_MAX,
    .run = S_run,
};
