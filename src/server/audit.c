/* SPDX-License-Identifier: Apache-2.0
 *
 * Who changed what. With a state's folder it is a journal of its own (STATE/audit), chained by SHA-256 as those of runs are; the
 * last entries stay in memory for who asks.
 */
#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEPT = 10000, MOST_TEXT = 400 };

typedef struct S_entry {
  uint64_t number;
  int64_t wall;
  char hash[2 * FB_DIGEST_SIZE + 1]; /* "": not chained */
  char *who, *what, *target;         /* one allocation, of `who` */
} S_entry;

struct fb_audit {
  fb_server *server;
  pthread_mutex_t lock;
  fb_journal *journal; /* NULL: nothing outlives the server */
  const char *path;
  bool unsynced;
  S_entry *entries; /* a ring by number */
  uint64_t last;    /* number of the newest; 0: none */
};

static bool S_put(fb_map *map, fb_arena *arena, const char *key, fb_slice text) {
  return fb_map_put(map, arena, fb_string(fb_slice_of(key)), fb_string(text), NULL);
}

/* Under the lock. */
static void S_keep(fb_audit *audit, const S_entry *entry, fb_slice who, fb_slice what,
                   fb_slice target) {
  S_entry *at = &audit->entries[entry->number % KEPT];
  char *text = malloc(who.len + what.len + target.len + 3);
  if (!text) return;
  free(at->who);
  *at = *entry;
  at->who = text;
  at->what = text + who.len + 1;
  at->target = at->what + what.len + 1;
  snprintf(at->who, who.len + 1, "%.*s", (int)who.len, who.ptr);
  snprintf(at->what, what.len + 1, "%.*s", (int)what.len, what.ptr);
  snprintf(at->target, target.len + 1, "%.*s", (int)target.len, target.ptr);
  audit->last = entry->number;
}

static fb_slice S_text(fb_value map, const char *key) {
  const fb_value *value = map.kind == FB_MAP ? fb_map_get_text(map.as.map, fb_slice_of(key)) : NULL;
  return value && value->kind == FB_STRING ? fb_value_text(*value) : FB_SLICE("");
}

static void S_seen(void *user, const fb_event *event, const uint8_t hash[FB_DIGEST_SIZE]) {
  fb_audit *audit = user;
  S_entry entry = {.number = event->seq, .wall = event->wall};
  fb_arena arena;
  fb_value payload = fb_null();
  fb_arena_init(&arena, NULL, 0);
  fb_hex(hash, FB_DIGEST_SIZE, entry.hash);
  if (fb_value_unpack(event->payload, &arena, &payload, NULL) == FB_OK)
    S_keep(audit, &entry, S_text(payload, "who"), S_text(payload, "what"),
           S_text(payload, "target"));
  fb_arena_release(&arena);
}

static fb_status S_open(fb_audit *audit, fb_error *err) {
  fb_server *server = audit->server;
  const fb_clock *clock = fb_clock_system();
  fb_audit_report report;
  fb_journal_log_options options = {.salt = fb_random_seed_system(),
                                    .created = clock->wall(clock->context),
                                    .damaged_ok = true,
                                    .unsynced = true};
  audit->path = fb_state_path(server, &server->arena, "audit");
  if (!audit->path) return fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_status status = FB_OK;
  if (access(audit->path, F_OK) == 0)
    status = fb_journal_verify(audit->path, NULL, NULL, NULL, S_seen, audit, &report, err);
  return status ? status : fb_journal_log_open(audit->path, &options, NULL, &audit->journal, err);
}

fb_status fb_audit_new(fb_server *server, fb_audit **ret_audit, fb_error *err) {
  fb_audit *audit = calloc(1, sizeof *audit);
  if (audit) audit->entries = calloc(KEPT, sizeof *audit->entries);
  if (!audit || !audit->entries) {
    free(audit);
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  audit->server = server;
  pthread_mutex_init(&audit->lock, NULL);
  fb_status status = server->options.state ? S_open(audit, err) : FB_OK;
  if (status == FB_OK)
    *ret_audit = audit;
  else
    fb_audit_free(audit);
  return status;
}

void fb_audit_free(fb_audit *audit) {
  if (!audit) return;
  fb_audit_sync(audit);
  fb_journal_log_close(audit->journal);
  for (size_t i = 0; i < KEPT; i++) free(audit->entries[i].who);
  pthread_mutex_destroy(&audit->lock);
  free(audit->entries);
  free(audit);
}

/* Its hash and number. False: it cannot be recorded. Under the lock. */
static bool S_record(fb_audit *audit, S_entry *entry, fb_slice who, fb_slice what,
                     fb_slice target) {
  fb_event event = {.kind = FB_EVENT_NOTE, .item = FB_NO_ITEM, .code = -1, .wall = entry->wall};
  fb_journal *journal = audit->journal;
  fb_arena arena;
  fb_buf payload;
  fb_error err;
  fb_arena_init(&arena, NULL, 0);
  fb_buf_init(&payload, NULL, 0);
  fb_map *map = fb_map_new(&arena, 3);
  bool good = map && S_put(map, &arena, "who", who) && S_put(map, &arena, "what", what) &&
              S_put(map, &arena, "target", target) &&
              fb_value_pack(&payload, fb_map_value(map)) == FB_OK;
  event.payload = fb_buf_slice(&payload);
  good = good && journal->append(journal->context, &event, &err) == FB_OK &&
         journal->seal(journal->context) && journal->commit(journal->context, &err) == FB_OK;
  if (good) {
    fb_journal_head head = fb_journal_log_head(journal);
    entry->number = head.seq;
    fb_hex(head.hash, FB_DIGEST_SIZE, entry->hash);
    audit->unsynced = true;
  }
  fb_buf_release(&payload);
  fb_arena_release(&arena);
  return good;
}

static fb_slice S_short(fb_slice text) {
  while (text.len > MOST_TEXT || (text.len && !fb_utf8_valid(text.ptr, text.len, NULL))) text.len--;
  return text;
}

void fb_audit_note(fb_server *server, fb_slice who, const char *what, fb_slice target) {
  const fb_clock *clock = fb_clock_system();
  fb_audit *audit = server->audit;
  S_entry entry = {.wall = clock->wall(clock->context)};
  fb_buf members;
  who = S_short(who);
  target = S_short(target);
  pthread_mutex_lock(&audit->lock);
  entry.number = audit->last + 1;
  bool good = !audit->journal || S_record(audit, &entry, who, fb_slice_of(what), target);
  if (good) S_keep(audit, &entry, who, fb_slice_of(what), target);
  pthread_mutex_unlock(&audit->lock);
  if (!good && server->options.log)
    fb_log_write(server->options.log, FB_LOG_ERROR, "the audit cannot be written", "what", what,
                 NULL);
  fb_buf_init(&members, NULL, 0);
  fb_json_member(&members, "who", who);
  fb_json_member(&members, "what", fb_slice_of(what));
  fb_json_member(&members, "target", target);
  if (!members.failed) fb_server_publish(server, "audit", fb_buf_slice(&members));
  fb_buf_release(&members);
}

void fb_audit_of(fb_request *request, const char *what, fb_slice target) {
  fb_audit_note(request->server, fb_request_who(request), what, target);
}

/* Once a second: power loss takes no more than that. */
void fb_audit_sync(fb_audit *audit) {
  pthread_mutex_lock(&audit->lock);
  bool due = audit->unsynced;
  audit->unsynced = false;
  pthread_mutex_unlock(&audit->lock);
  if (due) fb_state_sync(audit->path);
}

/* ── GET /v1/audit?after=N&limit=N: the newest first, those before `after` ── */

static void S_write(fb_buf *out, const S_entry *entry) {
  fb_buf_printf(out, "{\"n\":%llu,\"at\":", (unsigned long long)entry->number);
  fb_json_time(out, entry->wall);
  fb_json_member(out, "who", fb_slice_of(entry->who));
  fb_json_member(out, "what", fb_slice_of(entry->what));
  fb_json_member(out, "target", fb_slice_of(entry->target));
  if (entry->hash[0]) fb_buf_printf(out, ",\"hash\":\"%s\"", entry->hash);
  fb_buf_char(out, '}');
}

fb_answered fb_audit_list(fb_request *request) {
  fb_audit *audit = request->server->audit;
  uint64_t limit = fb_request_number(request, "limit", 100);
  uint64_t after = fb_request_number(request, "after", 0), next = 0;
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.audit.v1\",\"events\":[");
  pthread_mutex_lock(&audit->lock);
  uint64_t number = after && after <= audit->last ? after - 1 : audit->last;
  uint64_t least = audit->last > KEPT ? audit->last - KEPT : 0;
  for (const char *comma = ""; number > least && !next; number--) {
    const S_entry *entry = &audit->entries[number % KEPT];
    if (entry->number != number) continue;
    if (!limit--) {
      next = number + 1;
      break;
    }
    fb_buf_text(&out, comma);
    S_write(&out, entry);
    comma = ",";
  }
  pthread_mutex_unlock(&audit->lock);
  fb_buf_char(&out, ']');
  if (next) fb_buf_printf(&out, ",\"next\":%llu", (unsigned long long)next);
  fb_buf_text(&out, "}\n");
  return fb_reply_json(request, 200, &out);
}
