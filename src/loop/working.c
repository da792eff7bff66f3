/* SPDX-License-Identifier: Apache-2.0
 *
 * The working memory: a session a rulebook. What happens to it depends on the batches, their times and their order alone, so that
 * doing the same again from the log leads to the same facts and decisions.
 */
#include "loop/engine.h"

#include <stdlib.h>

enum { ERRORS_TOLD = 4 };

/* ── What comes out ──────────────────────────────────────────────────────────────────────────── */

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  fb_book *book = context;
  (void)session;
  return fb_sinks_decision(book->loop, book, decision);
}

static fb_status S_run(void *context, fb_session *session, const fb_decision *mission) {
  fb_book *book = context;
  fb_buf inputs;
  (void)session;
  fb_buf_init(&inputs, NULL, 0);
  fb_json_write(&inputs, fb_map_value(mission->fields), FB_JSON_COMPACT);
  fb_status status =
      inputs.failed ? FB_E_NOMEM : fb_sinks_run(book->loop, mission->type, fb_buf_slice(&inputs));
  fb_buf_release(&inputs);
  return status;
}

static void S_log(void *context, fb_session *session, const fb_decision *line) {
  fb_book *book = context;
  fb_buf text;
  (void)session;
  if (book->loop->replaying) return;
  fb_buf_init(&text, NULL, 0);
  fb_json_write(&text, fb_map_value(line->fields), FB_JSON_COMPACT);
  char rule[128];
  snprintf(rule, sizeof rule, "%.*s", (int)(line->rule.len < 127 ? line->rule.len : 127),
           line->rule.ptr);
  fb_loop_say(book->loop, FB_LOG_INFO, "log", "rule", rule, "fields", text.ptr);
  fb_buf_release(&text);
}

static void S_error(void *context, fb_session *session, const fb_error *err) {
  fb_book *book = context;
  char place[300];
  (void)session;
  if (book->loop->replaying) return;
  snprintf(place, sizeof place, "%s:%u:%u", err->file, err->line, err->column);
  fb_loop_say(book->loop, FB_LOG_WARN, "a rule failed", "error", err->text, "at", place);
}

static fb_session_options S_options(fb_loop *loop, fb_book *book) {
  return (fb_session_options){
      .max_firings = loop->project->firings,
      .max_facts = loop->project->facts,
      .max_memory = loop->project->memory,
      .clock = loop->clock,
      .hash_seed = fb_random_seed_system(),
      .zone = fb_zone_system,
      .zone_context = loop->zones,
      .output = {
          .decision = S_decision, .run = S_run, .log = S_log, .error = S_error, .context = book}};
}

/* ── Books ───────────────────────────────────────────────────────────────────────────────────── */

fb_status fb_book_open(fb_loop *loop, fb_book *book, fb_project *owner, const fb_book_plan *plan,
                       fb_error *err) {
  *book = (fb_book){.owner = owner, .plan = plan, .loop = loop, .more = true};
  fb_session_options options = S_options(loop, book);
  fb_status status = fb_session_new(plan->set, &options, NULL, &book->session);
  if (status) return fb_fail(err, status, "the rules of %s cannot be started", plan->path);
  fb_project_hold(owner);
  return FB_OK;
}

static void S_close(fb_book *book) {
  fb_session_free(book->session);
  if (book->owner) fb_project_free(book->owner);
  *book = (fb_book){0};
}

fb_status fb_book_restore(fb_loop *loop, fb_book *book, const fb_ruleset *set, fb_slice bytes,
                          bool facts_only, fb_error *err) {
  fb_session *session;
  fb_session_options options = S_options(loop, book);
  fb_status status = fb_session_restore(set, &options, NULL, bytes, facts_only, &session, err);
  if (status) return status;
  fb_session_free(book->session);
  book->session = session;
  book->more = true;
  return FB_OK;
}

/* Books stay where they are: their sessions know their address. */
fb_status fb_books_new(fb_loop *loop, fb_project *project, fb_error *err) {
  loop->books = calloc(project->book_count, sizeof *loop->books);
  if (!loop->books) return fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < project->book_count && !status; i++) {
    status = fb_book_open(loop, &loop->books[i], project, &project->books[i], err);
    if (!status) loop->book_count++;
  }
  return status;
}

void fb_books_free(fb_loop *loop) {
  for (uint32_t i = 0; i < loop->book_count; i++) S_close(&loop->books[i]);
  free(loop->books);
  free(loop->expiries);
  loop->books = NULL;
  loop->book_count = 0;
}

/* ── Lifetimes ───────────────────────────────────────────────────────────────────────────────── */

bool fb_expiry_add(fb_loop *loop, fb_expiry expiry) {
  if (!fb_grow(NULL, (void **)&loop->expiries, &loop->expiry_cap, loop->expiry_count,
               sizeof expiry))
    return false;
  size_t at = loop->expiry_count++;
  for (; at && loop->expiries[(at - 1) / 2].at > expiry.at; at = (at - 1) / 2)
    loop->expiries[at] = loop->expiries[(at - 1) / 2];
  loop->expiries[at] = expiry;
  return true;
}

static fb_expiry S_pop(fb_loop *loop) {
  fb_expiry *heap = loop->expiries, first = heap[0], moved = heap[--loop->expiry_count];
  size_t at = 0;
  for (size_t child; (child = 2 * at + 1) < loop->expiry_count; at = child) {
    if (child + 1 < loop->expiry_count && heap[child + 1].at < heap[child].at) child++;
    if (heap[child].at >= moved.at) break;
    heap[at] = heap[child];
  }
  if (loop->expiry_count) heap[at] = moved;
  return first;
}

static void S_retract(fb_loop *loop, uint64_t book, uint64_t fact) {
  if (book >= loop->book_count) return;
  fb_session_retract(loop->books[book].session, fact, NULL); /* rules may have before us */
  loop->books[book].more = true;
}

static bool S_expire(fb_loop *loop, int64_t now) {
  bool any = false;
  for (; loop->expiry_count && loop->expiries[0].at <= now; any = true) {
    fb_expiry expiry = S_pop(loop);
    S_retract(loop, expiry.book, expiry.fact);
  }
  return any;
}

void fb_books_settle(fb_loop *loop) {
  S_expire(loop, loop->now);
}

/* ── Time ────────────────────────────────────────────────────────────────────────────────────── */

static int64_t S_nanos(fb_value time) {
  if (time.kind != FB_TIMESTAMP || time.as.i > INT64_MAX / 1000000000 - 1) return INT64_MAX;
  if (time.as.i < 0) return 0;
  return time.as.i * 1000000000 + time.len;
}

static bool S_goes_by_clock(const fb_book *book) {
  const fb_ruleset *set = fb_session_ruleset(book->session);
  return fb_ruleset_windowed(set) || fb_ruleset_timed(set);
}

bool fb_books_advance(fb_loop *loop, int64_t now) {
  bool any = S_expire(loop, now);
  fb_value time = fb_timestamp(now / 1000000000, (uint32_t)(now % 1000000000));
  loop->now = now;
  for (uint32_t i = 0; i < loop->book_count; i++) {
    fb_book *book = &loop->books[i];
    fb_error err = {0};
    fb_value stands = fb_session_now(book->session);
    if (!S_goes_by_clock(book)) continue;
    if (stands.kind != FB_ABSENT && fb_value_order(time, stands) <= 0) continue;
    fb_session_set_deadline(book->session, 0);
    if (fb_session_replay_until(book->session, time, &err))
      fb_loop_say(loop, FB_LOG_WARN, "the clock of a rulebook stands", "error", err.text, NULL,
                  NULL);
    book->more = any = true;
  }
  return any;
}

int64_t fb_books_due(fb_loop *loop) {
  int64_t due = loop->expiry_count ? loop->expiries[0].at : INT64_MAX;
  for (uint32_t i = 0; i < loop->book_count; i++) {
    if (!S_goes_by_clock(&loop->books[i])) continue;
    int64_t own = S_nanos(fb_session_due(loop->books[i].session));
    if (own < due) due = own;
  }
  return due;
}

/* ── Facts ───────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_apply {
  fb_loop *loop;
  fb_loop_batch *batch;
  fb_loop_source *source; /* whose last round is remembered; NULL: need not be */
  uint32_t book;
  uint64_t accepted, refused;
  fb_error first;
} S_apply;

static bool S_remember(S_apply *apply, const fb_fact_id *ids, uint32_t count) {
  fb_loop *loop = apply->loop;
  int64_t lifetime = apply->batch->lifetime;
  fb_loop_source *source = apply->source;
  for (uint32_t i = 0; i < count; i++) {
    fb_expiry expiry = {
        .at = loop->now + (lifetime > 0 ? lifetime : 0), .fact = ids[i], .book = apply->book};
    if (lifetime != FB_LIFETIME_EVER && !fb_expiry_add(loop, expiry)) return false;
    if (!source) continue;
    if (!fb_grow(NULL, (void **)&source->held, &source->held_cap, source->held_count,
                 sizeof *source->held))
      return false;
    source->held[source->held_count++] = (fb_held_fact){ids[i], apply->book};
  }
  return true;
}

static fb_status S_rows(S_apply *apply, const fb_run *run) {
  fb_book *book = &apply->loop->books[apply->book];
  bool named = apply->source || apply->batch->lifetime != FB_LIFETIME_EVER;
  fb_fact_id *ids = named ? malloc(run->count * sizeof *ids) : NULL;
  uint32_t done = 0;
  fb_error err = {0};
  fb_status status = FB_OK;
  if (named && !ids) return FB_E_NOMEM;
  status =
      fb_session_assert_rows(book->session, run->facts, run->first, run->count, ids, &done, &err);
  if (named && !S_remember(apply, ids, done) && !status) status = FB_E_NOMEM;
  free(ids);
  apply->accepted += done;
  apply->refused += run->count - done;
  if (status && !apply->first.code) apply->first = err;
  return status;
}

static fb_status S_next(S_apply *apply, fb_stream *stream) {
  fb_errors errors;
  fb_batch batch;
  fb_errors_init(&errors, NULL, ERRORS_TOLD);
  fb_status status = fb_stream_next(stream, &batch, &errors);
  apply->refused += fb_errors_total(&errors);
  if (errors.count && !apply->first.code) apply->first = errors.items[0];
  fb_errors_release(&errors);
  for (size_t i = 0; !status && i < batch.run_count; i++) status = S_rows(apply, &batch.runs[i]);
  return status;
}

static void S_assert(S_apply *apply) {
  fb_loop_batch *batch = apply->batch;
  fb_book *book = &apply->loop->books[apply->book];
  fb_memory_source memory = {{batch->text, batch->length}};
  fb_stream *stream;
  fb_stream_options options = {
      .format = batch->flags & FB_BATCH_CSV ? FB_STREAM_CSV : FB_STREAM_NDJSON,
      .name = batch->source,
      .type = fb_slice_of(batch->type),
      .max_errors = UINT32_MAX};
  fb_status status = fb_stream_open(fb_source_memory(&memory), fb_session_schema(book->session),
                                    &options, NULL, &stream, &apply->first);
  if (status) return;
  while (!status) status = S_next(apply, stream);
  fb_stream_free(stream);
  book->more = true;
}

static void S_let_go(fb_loop *loop, fb_loop_source *source) {
  for (size_t i = 0; i < source->held_count; i++)
    S_retract(loop, source->held[i].book, source->held[i].fact);
  source->held_count = 0;
}

void fb_books_apply(fb_loop *loop, fb_loop_batch *batch, int64_t now) {
  fb_loop_source *source = fb_source_find(loop, batch->source);
  fb_loop_schedule *schedule =
      batch->flags & FB_BATCH_SCHEDULE ? fb_schedule_find(loop, batch->source) : NULL;
  bool replaces = batch->flags & FB_BATCH_REPLACE && source;
  fb_books_advance(loop, now);
  if (replaces) S_let_go(loop, source);
  for (uint32_t i = 0; i < loop->book_count; i++) {
    S_apply apply = {.loop = loop, .batch = batch, .source = replaces ? source : NULL, .book = i};
    loop->books[i].fired = 0;
    S_assert(&apply);
    if (apply.accepted > batch->result.accepted) batch->result.accepted = apply.accepted;
    if (apply.refused > batch->result.refused) batch->result.refused = apply.refused;
    if (apply.first.code && !batch->result.error.code) batch->result.error = apply.first;
  }
  loop->facts += batch->result.accepted;
  loop->refused += batch->result.refused;
  if (schedule) schedule->done = (int64_t)batch->place.offset;
  if (source) {
    source->facts += batch->result.accepted;
    source->errors += batch->result.refused;
    source->last = now;
    if (batch->place.inode) source->place = batch->place;
  }
}

/* ── Firing ──────────────────────────────────────────────────────────────────────────────────── */

/* A batch may fire as often as the project's limit says; what is left then fires with the next one. */
static void S_fire(fb_loop *loop, fb_book *book, int64_t deadline) {
  uint64_t fired = 0;
  fb_error err = {0};
  fb_session_set_deadline(book->session, deadline);
  fb_status status = fb_session_fire(book->session, &fired, &err);
  loop->firings += fired;
  book->fired += fired;
  bool late = status == FB_E_RULE_LIMIT && deadline &&
              loop->clock->mono(loop->clock->context) >= deadline &&
              book->fired < loop->project->firings;
  book->more = late;
  if (status && !late)
    fb_loop_say(loop, FB_LOG_WARN, "rules did not come to an end", "error", err.text, "hint",
                err.hint);
}

bool fb_books_fire(fb_loop *loop, int64_t slice) {
  int64_t deadline = slice ? loop->clock->mono(loop->clock->context) + slice : 0;
  for (uint32_t i = 0; i < loop->book_count; i++) {
    fb_book *book = &loop->books[i];
    if (!book->more) continue;
    S_fire(loop, book, deadline);
    if (book->more) return false;
  }
  return true;
}

/* ── Other rulebooks ─────────────────────────────────────────────────────────────────────────── */

static fb_book *S_find(fb_loop *loop, fb_slice name) {
  for (uint32_t i = 0; i < loop->book_count; i++)
    if (fb_slice_equal(loop->books[i].plan->name, name)) return &loop->books[i];
  return NULL;
}

static fb_status S_swap_one(fb_book *book, const fb_book_plan *plan, fb_error *err) {
  if (fb_slice_equal(book->plan->text, plan->text)) return FB_OK;
  fb_status status = fb_session_swap(book->session, plan->set, err);
  if (status == FB_E_RULE_AGGREGATE)
    fb_error_hint(err,
                  "such a rulebook is taken at the next start: facts with a lifetime are let "
                  "go then");
  return status;
}

static void S_take(fb_book *book, fb_project *owner, const fb_book_plan *plan) {
  bool same = fb_slice_equal(book->plan->text, plan->text);
  if (same) return; /* the session knows the old ruleset, which its owner keeps */
  fb_project *before = book->owner;
  fb_project_hold(owner);
  book->owner = owner;
  book->plan = plan;
  book->more = true;
  fb_project_free(before);
}

/* All or none. Sets of rulebooks stay the same by name: adding or removing one asks for a restart. */
fb_status fb_books_swap(fb_loop *loop, fb_project *project, fb_error *err) {
  fb_status status = FB_OK;
  uint32_t done = 0;
  if (project->book_count != loop->book_count) status = FB_E_LOOP_STATE;
  for (uint32_t i = 0; i < project->book_count && !status; i++)
    if (!S_find(loop, project->books[i].name)) status = FB_E_LOOP_STATE;
  if (status) {
    fb_fail(err, status, "rulebooks were added, removed or renamed");
    fb_error_hint(err, "such a change is taken at the next start");
    return status;
  }
  for (; done < project->book_count && !status; done++)
    status = S_swap_one(S_find(loop, project->books[done].name), &project->books[done], err);
  if (status) {
    for (uint32_t i = 0; i + 1 < done; i++) {
      fb_book *book = S_find(loop, project->books[i].name);
      if (!fb_slice_equal(book->plan->text, project->books[i].text))
        fb_session_swap(book->session, book->plan->set, NULL);
    }
    return status;
  }
  for (uint32_t i = 0; i < project->book_count; i++)
    S_take(S_find(loop, project->books[i].name), project, &project->books[i]);
  return FB_OK;
}
