/* SPDX-License-Identifier: Apache-2.0 */
#include "mission/simulate.h"

#include "mission/record.h"
#include "mission/world_script.h"
#include "store/disk_sim.h"

#include <stdio.h>

enum { MOST_SESSIONS = 60 };

/* What was really done of one call. */
typedef struct S_truth {
  const char *label;
  uint32_t starts;  /* of all attempts */
  bool effect;      /* it had its effect, at least once */
  bool pending;     /* begun, and nothing known of its end */
  bool at_once;     /* it has its effect when it begins; else when it ends */
  int64_t ends;     /* of the one that is pending, on the world's clock */
  uint32_t intents; /* in the journal */
  uint64_t end;     /* of the last start: the event that tells its end; 0: none does */
  bool unknown;     /* a start of an earlier session, of whose end the journal does not know */
  bool told;        /* the last intent of this session says that it may be a repetition */
  bool open, done;  /* by the journal: begun without an end; ended well */
  bool allowed;     /* a check or a person said that it is to be done again */
  bool pure, once, repeatable;
  bool around; /* a sub-mission: it is entered again */
} S_truth;

typedef struct S_sim {
  const fb_mission *mission;
  const fb_simulation_options *options;
  const fb_allocator *allocator;
  fb_simulation *result;
  fb_arena arena;
  fb_random random;
  fb_sim_disk *disk; /* NULL: the run that nothing happens to */
  fb_script_world *world;
  fb_table truths; /* label → S_truth */
  fb_journal_head acknowledged;
  fb_mission_status recorded; /* GOING: no end is recorded */
  fb_journal *journal;
  fb_buf outputs; /* and states of the steps, of the run that nothing happened to */
  bool no_memory;
} S_sim;

static void S_broke(S_sim *sim, const char *format, ...) FB_PRINTF(2, 3);
static void S_broke(S_sim *sim, const char *format, ...) {
  va_list args;
  if (sim->result->broke) return;
  sim->result->broke = true;
  va_start(args, format);
  vsnprintf(sim->result->what, sizeof sim->result->what, format, args);
  va_end(args);
}

/* ── Programs ────────────────────────────────────────────────────────────────────────────────── */

/* The step that a label is of. */
static const fb_step *S_step_of(const S_sim *sim, fb_slice label) {
  size_t length = 0;
  while (length < label.len && label.ptr[length] != '.') length++;
  for (uint32_t i = 0; i < sim->mission->step_count; i++)
    if (fb_slice_equal(sim->mission->steps[i].id, (fb_slice){label.ptr, length}))
      return &sim->mission->steps[i];
  return NULL;
}

/* "fix" or "fix.3", not "fix.3.build". */
static bool S_is_own(const fb_step *step, fb_slice label) {
  size_t at = step->id.len + (label.len > step->id.len);
  while (at < label.len && label.ptr[at] >= '0' && label.ptr[at] <= '9') at++;
  return at == label.len;
}

static S_truth *S_truth_of(S_sim *sim, fb_slice label) {
  fb_table_slot *slot = fb_table_get(&sim->truths, label);
  if (slot) return slot->value.ptr;
  const char *own = fb_arena_text(&sim->arena, label);
  S_truth *truth = fb_arena_zero(&sim->arena, sizeof *truth);
  slot = own && truth ? fb_table_put(&sim->truths, (fb_slice){own, label.len}, NULL) : NULL;
  if (!slot) {
    sim->no_memory = true;
    return NULL;
  }
  const fb_step *step = S_step_of(sim, label);
  slot->value.ptr = truth;
  truth->label = own;
  bool exact = step && S_is_own(step, label);
  truth->pure = exact && step->semantics == FB_PURE;
  truth->once = exact && step->semantics == FB_ONCE;
  truth->repeatable = exact && !truth->pure && !truth->once && !step->check && !step->undo;
  truth->around = exact && step->tool->reenters;
  return truth;
}

/* A number that belongs to the label: the same whenever the program is started. */
static uint64_t S_draw(const S_sim *sim, const char *label, uint64_t what) {
  return fb_hash_mix(fb_hash_bytes(label, strlen(label), sim->options->seed), what);
}

static const fb_value *S_given(const S_sim *sim, const char *label) {
  const fb_map *replies = sim->options->replies;
  if (!replies) return NULL;
  const fb_value *given = fb_map_get_text(replies, fb_slice_of(label));
  if (!given) given = fb_map_get_text(replies, (fb_slice){label, strcspn(label, ".")});
  return given && given->kind == FB_MAP ? given : NULL;
}

static void S_apply(const fb_value *given, fb_script_reply *reply) {
  const fb_value *out = fb_map_get_text(given->as.map, FB_SLICE("out"));
  const fb_value *err = fb_map_get_text(given->as.map, FB_SLICE("err"));
  const fb_value *code = fb_map_get_text(given->as.map, FB_SLICE("code"));
  const fb_value *duration = fb_map_get_text(given->as.map, FB_SLICE("duration"));
  if (out && out->kind == FB_STRING) reply->out = fb_value_text(*out);
  if (err && err->kind == FB_STRING) reply->err = fb_value_text(*err);
  if (code && code->kind == FB_INT) reply->code = (int)code->as.i;
  if (duration && duration->kind == FB_INT) reply->duration = duration->as.i * 1000000;
}

/* What a program writes that nobody told about: something that parses. */
static void S_invent(S_sim *sim, const fb_step *step, const char *label, fb_script_reply *reply) {
  static const char *const outputs[] = {NULL, NULL,          "one\ntwo\n",
                                        "{}", "{\"n\":1}\n", "a,b\n1,2\n"};
  int parse = step ? step->parse : FB_PARSE_NONE;
  const char *text = outputs[parse];
  if (!text) text = fb_arena_printf(&sim->arena, "out of %s\n", label);
  if (text) reply->out = fb_slice_of(text);
  if (!text) sim->no_memory = true;
  if (S_draw(sim, label, 3) % 8 ==
      0) { /* more than stands in the journal: read again from what was kept */
    fb_buf large;
    fb_buf_init(&large, sim->allocator, 0);
    if (parse == FB_PARSE_NONE || parse == FB_PARSE_TEXT)
      fb_buf_repeat(&large, 'x', FB_SMALL_RESULT + (size_t)(S_draw(sim, label, 4) % 3000));
    const char *copy = large.len ? fb_arena_text(&sim->arena, fb_buf_slice(&large)) : NULL;
    if (copy) reply->out = (fb_slice){copy, large.len};
    fb_buf_release(&large);
  }
  bool fails = !sim->options->no_failures && S_draw(sim, label, 1) % 12 == 0;
  if (fails) reply->code = 1 + (int)(S_draw(sim, label, 2) % 3);
}

/* A check tells the truth. */
static void S_reply_check(S_sim *sim, fb_slice label, fb_script_reply *reply) {
  S_truth *truth = S_truth_of(sim, (fb_slice){label.ptr, label.len - 6});
  if (!truth) return;
  sim->result->checks++;
  reply->duration = 1000000;
  reply->code = truth->effect ? 0 : 1;
  reply->out = FB_SLICE("checked\n");
  if (!truth->effect) truth->allowed = true;
}

static void S_reply(void *context, const fb_process_spec *spec, fb_script_reply *reply) {
  S_sim *sim = context;
  fb_slice label = fb_slice_of(spec->label);
  if (sim->disk && fb_sim_disk_dead(sim->disk)) {
    reply->missing = true;
    return;
  }
  if (label.len > 6 && memcmp(label.ptr + label.len - 6, ".check", 6) == 0) {
    S_reply_check(sim, label, reply);
    return;
  }
  label.len = strcspn(label.ptr, "@"); /* further attempts have their number behind it */
  const fb_step *step = S_step_of(sim, label);
  const fb_value *given = S_given(sim, spec->label);
  bool slow = S_draw(sim, spec->label, 5) % 10 == 0;
  reply->duration =
      1000000 + (int64_t)(S_draw(sim, spec->label, 6) % (slow ? 20000000000 : 50000000));
  S_invent(sim, step, spec->label, reply);
  if (given) S_apply(given, reply);
  if (!sim->disk) return;
  S_truth *truth = S_truth_of(sim, label);
  if (!truth) return;
  if (truth->done) S_broke(sim, "%s was begun again, although it had ended well", spec->label);
  if (truth->pending && truth->once && !truth->allowed)
    S_broke(sim, "%s is to be done once, and was begun again unasked", spec->label);
  if (truth->unknown && !truth->told && !truth->pure)
    S_broke(sim, "%s was begun again silently", spec->label);
  truth->unknown = false;
  truth->end = 0;
  truth->starts++;
  truth->pending = true;
  truth->allowed = false;
  truth->at_once = fb_random_below(&sim->random, 2) == 0;
  truth->effect = truth->effect || truth->at_once;
  truth->ends = fb_script_world_now(sim->world) + reply->duration;
  sim->result->starts++;
}

/* The processes of a run that was killed go on; those of a machine without power do not. */
static void S_settle_truth(S_sim *sim, bool power) {
  int64_t now = fb_script_world_now(sim->world);
  for (size_t i = 0; i < sim->truths.cap; i++) {
    if (!sim->truths.slots[i].key.ptr) continue;
    S_truth *truth = sim->truths.slots[i].value.ptr;
    if (truth->pending && (!power || truth->ends <= now)) truth->effect = true;
  }
}

/* ── The journal, watched ────────────────────────────────────────────────────────────────────── */

/* What was acknowledged must be there for ever. */
static fb_status S_watched_commit(void *context, fb_error *err) {
  S_sim *sim = context;
  fb_status status = sim->journal->commit(sim->journal->context, err);
  if (!status) sim->acknowledged = fb_journal_log_head(sim->journal);
  return status;
}

static S_truth *S_truth_of_event(S_sim *sim, const fb_event *event);

static fb_status S_watched_append(void *context, fb_event *event, fb_error *err) {
  S_sim *sim = context;
  fb_status status = sim->journal->append(sim->journal->context, event, err);
  bool begins = event->kind == FB_EVENT_STEP_STARTED, ends = event->kind == FB_EVENT_STEP_ENDED;
  if (status || !(begins || ends) || event->phase == FB_PHASE_CHECK) return status;
  S_truth *truth = S_truth_of_event(sim, event);
  if (truth && begins) truth->told = event->flags & FB_EVENT_RECOVERED;
  if (truth && ends && event->status != FB_STEP_CANCELLED) truth->end = event->seq;
  return status;
}

static fb_status S_watched_write(void *context, fb_error *err) {
  S_sim *sim = context;
  return sim->journal->write(sim->journal->context, err);
}

static bool S_watched_seal(void *context) {
  S_sim *sim = context;
  return sim->journal->seal(sim->journal->context);
}

static fb_status S_watched_read(void *context, fb_status (*each)(void *user, const fb_event *event),
                                void *user, fb_error *err) {
  S_sim *sim = context;
  return sim->journal->read(sim->journal->context, each, user, err);
}

static void S_found(void *user, const fb_audit_finding *finding) {
  S_sim *sim = user;
  if (finding->kind != FB_AUDIT_TORN)
    S_broke(sim, "the audit finds event %llu %s", (unsigned long long)finding->seq,
            fb_audit_finding_name(finding->kind));
}

/* As programs that undo are labelled: "fix.undo.3". */
static void S_mark_undo(fb_buf *path, const fb_event *event) {
  path->len = event->scope.len + event->step.len;
  fb_buf_text(path, ".undo");
  if (event->item != FB_NO_ITEM) fb_buf_printf(path, ".%u", event->item);
}

static S_truth *S_truth_of_event(S_sim *sim, const fb_event *event) {
  fb_past_step step = {.scope = event->scope, .id = event->step, .item = event->item};
  fb_buf path;
  fb_buf_init(&path, sim->allocator, 0);
  fb_past_step_path(&step, &path);
  for (size_t i = 0; i < path.len; i++)
    if (path.ptr[i] == '/') path.ptr[i] = '.';
  if (event->phase == FB_PHASE_UNDO) S_mark_undo(&path, event);
  S_truth *truth = S_truth_of(sim, fb_buf_slice(&path));
  fb_buf_release(&path);
  return truth;
}

static void S_follow_start(S_sim *sim, const fb_event *event, S_truth *truth) {
  bool says = event->flags & FB_EVENT_RECOVERED;
  if (truth->done)
    S_broke(sim, "event %llu begins %s, which had ended well", (unsigned long long)event->seq,
            truth->label);
  if (truth->open && !says && !truth->around)
    S_broke(sim, "event %llu repeats %s silently", (unsigned long long)event->seq, truth->label);
  if (says) sim->result->repeats++;
  truth->open = true;
  truth->intents++;
}

/* Goes through the journal as if nothing else were known. */
static void S_follow(void *user, const fb_event *event, const uint8_t hash[FB_DIGEST_SIZE]) {
  S_sim *sim = user;
  if (event->seq == sim->acknowledged.seq &&
      memcmp(hash, sim->acknowledged.hash, FB_DIGEST_SIZE) != 0)
    S_broke(sim, "event %llu is not the one that was committed", (unsigned long long)event->seq);
  if (event->kind == FB_EVENT_RUN_ENDED) sim->recorded = (fb_mission_status)event->status;
  if (event->kind == FB_EVENT_RUN_RESUMED) sim->recorded = FB_MISSION_GOING;
  bool of_call = event->kind == FB_EVENT_STEP_STARTED || event->kind == FB_EVENT_STEP_ENDED;
  if (!of_call || event->phase == FB_PHASE_CHECK) return;
  S_truth *truth = S_truth_of_event(sim, event);
  if (!truth) return;
  if (event->kind == FB_EVENT_STEP_STARTED) {
    S_follow_start(sim, event, truth);
  } else if (event->status != FB_STEP_CANCELLED) {
    truth->open = false;
    truth->pending = false;
    truth->done = event->status == FB_STEP_OK && !(event->flags & FB_EVENT_AGAIN);
    if (truth->done && !(event->flags & FB_EVENT_OTHERWISE)) truth->effect = true;
  } else if (event->flags & FB_EVENT_NOT_BEGUN && event->attempt) {
    truth->open = false;
    truth->intents--;
  }
}

static void S_forget_journal(S_sim *sim) {
  sim->recorded = FB_MISSION_GOING;
  sim->result->repeats = 0;
  for (size_t i = 0; i < sim->truths.cap; i++) {
    if (!sim->truths.slots[i].key.ptr) continue;
    S_truth *truth = sim->truths.slots[i].value.ptr;
    truth->open = truth->done = false;
    truth->intents = 0;
  }
}

/* Only power cuts lose intents, and only of calls that may be repeated. */
static void S_check_truth(S_sim *sim, S_truth *truth, uint64_t last) {
  bool may_lack = truth->repeatable && sim->result->cuts;
  if (truth->starts > truth->intents && !truth->pure && !may_lack)
    S_broke(sim, "%s was begun %u times, and the journal has %u", truth->label, truth->starts,
            truth->intents);
  truth->unknown = truth->starts && (truth->end == 0 || truth->end > last);
  truth->told = false;
}

/* After every crash, and at the end. */
static void S_check_journal(S_sim *sim) {
  fb_audit_report report = {0};
  fb_error err = {0};
  S_forget_journal(sim);
  fb_status status = fb_journal_verify("journal", fb_sim_disk_face(sim->disk), sim->allocator,
                                       S_found, S_follow, sim, &report, &err);
  if (status == FB_E_NOMEM) sim->no_memory = true;
  if (status && sim->acknowledged.seq) S_broke(sim, "the journal cannot be read: %s", err.text);
  if (!status && report.head.seq < sim->acknowledged.seq)
    S_broke(sim, "events %llu to %llu were committed, and are lost",
            (unsigned long long)report.head.seq + 1, (unsigned long long)sim->acknowledged.seq);
  sim->result->events = report.events;
  for (size_t i = 0; i < sim->truths.cap; i++) {
    if (!sim->truths.slots[i].key.ptr) continue;
    S_check_truth(sim, sim->truths.slots[i].value.ptr, report.head.seq);
  }
}

/* ── The end ─────────────────────────────────────────────────────────────────────────────────── */

/* The states of all steps and the outputs, as a text. */
static void S_describe(const fb_mission_run *run, fb_buf *out) {
  const fb_mission *mission = fb_mission_run_mission(run);
  for (uint32_t i = 0; i < mission->step_count; i++) {
    fb_step_state state;
    fb_mission_run_step(run, i, &state);
    fb_buf_printf(out, "%.*s %s %u/%u\n", (int)mission->steps[i].id.len, mission->steps[i].id.ptr,
                  fb_step_status_name(state.status), state.items_done, state.items_failed);
  }
  fb_buf_printf(out, "%s ", fb_mission_status_name(fb_mission_run_state(run)));
  fb_json_write(out, fb_mission_run_outputs(run), FB_JSON_COMPACT);
}

/* Where time decides, a crash may well make another end of it. */
static bool S_comparable(const fb_mission *mission) {
  if (mission->limits.timeout || mission->limits.fail_fast) return false;
  for (uint32_t i = 0; i < mission->step_count; i++)
    if (mission->steps[i].check || mission->steps[i].guard) return false;
  return true;
}

static void S_compare(S_sim *sim, const fb_mission_run *run) {
  fb_buf now;
  fb_buf_init(&now, sim->allocator, 0);
  S_describe(run, &now);
  if (!sim->result->decisions && S_comparable(sim->mission) && !now.failed &&
      !fb_slice_equal(fb_buf_slice(&now), fb_buf_slice(&sim->outputs))) {
    size_t at = 0;
    while (at < now.len && at < sim->outputs.len && now.ptr[at] == sim->outputs.ptr[at]) at++;
    while (at && now.ptr[at - 1] != '\n') at--;
    S_broke(sim, "it ends otherwise than without crashes: %.*s, not %.*s",
            (int)strcspn(now.ptr + at, "\n"), now.ptr + at,
            (int)strcspn(sim->outputs.ptr + at, "\n"), sim->outputs.ptr + at);
  }
  fb_buf_release(&now);
}

/* ── Sessions ────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_new_run(S_sim *sim, fb_journal *journal, fb_mission_run **ret_run,
                           fb_errors *errors) {
  char boot[32];
  snprintf(boot, sizeof boot, "boot %u", sim->result->cuts);
  fb_mission_run_options options = {.secrets = FB_SECRETS_IMITATED,
                                    .id = "simulated",
                                    .dir = "run",
                                    .inputs = sim->options->inputs,
                                    .parallel = sim->options->parallel,
                                    .hash_seed = sim->options->seed,
                                    .journal = journal,
                                    .boot = boot};
  return fb_mission_run_new(sim->mission, fb_script_world_face(sim->world), &options,
                            sim->allocator, ret_run, errors);
}

/* Without a journal and without a crash: what it should come to. */
static fb_status S_reference(S_sim *sim, fb_errors *errors) {
  fb_mission_run *run = NULL;
  fb_sim_disk *disk = sim->disk;
  sim->disk = NULL;
  fb_status status = fb_script_world_new(sim->allocator, S_reply, sim, &sim->world);
  if (!status) status = S_new_run(sim, NULL, &run, errors);
  if (!status) {
    fb_mission_run_wait(run);
    S_describe(run, &sim->outputs);
    sim->result->duration = fb_mission_run_duration(run);
    if (sim->outputs.failed) status = FB_E_NOMEM;
  }
  fb_mission_run_free(run);
  fb_script_world_free(sim->world);
  sim->world = NULL;
  sim->disk = disk;
  return status;
}

typedef struct S_survivors {
  S_sim *sim;
  fb_script_world *next;
  bool power;
} S_survivors;

/* Of what programs wrote a power cut keeps any part, if it was not synced. */
static void S_survive(void *user, const char *path, fb_slice bytes, bool synced) {
  S_survivors *survivors = user;
  fb_random *random = &survivors->sim->random;
  if (survivors->power && !synced) {
    if (fb_random_below(random, 4) == 0) return;
    bytes.len = (size_t)fb_random_below(random, bytes.len + 1);
  }
  if (fb_script_world_put(survivors->next, path, bytes)) survivors->sim->no_memory = true;
  if (synced) {
    fb_world *face = fb_script_world_face(survivors->next);
    face->sync(face->context, path, NULL);
  }
}

/* The disk is faster than most programs, and now and then slower than several one after the other. */
static int64_t S_takes(void *context) {
  S_sim *sim = context;
  uint64_t most = fb_random_below(&sim->random, 4) ? 2000000 : 300000000;
  return (int64_t)fb_random_below(&sim->random, most);
}

/* The next world, with what is left of the one before. */
static fb_status S_next_world(S_sim *sim, bool power) {
  fb_script_world *next = NULL;
  fb_status status = fb_script_world_new(sim->allocator, S_reply, sim, &next);
  if (status) return status;
  S_survivors survivors = {sim, next, power};
  if (sim->world) fb_script_world_each(sim->world, S_survive, &survivors);
  fb_script_world_free(sim->world);
  sim->world = next;
  fb_script_world_takes(next, S_takes);
  return FB_OK;
}

typedef enum S_fate { S_FATE_NONE, S_FATE_KILL, S_FATE_POWER, S_FATE_FULL } S_fate;

static S_fate S_draw_fate(S_sim *sim, uint32_t *crashes, uint64_t *ret_turn) {
  *ret_turn = UINT64_MAX;
  if (*crashes == 0) return S_FATE_NONE;
  --*crashes;
  S_fate fate = (S_fate)(1 + fb_random_below(&sim->random, 7) / 3); /* 3 : 3 : 1 */
  uint64_t ahead = 1 + fb_random_below(&sim->random, 4 + 3 * (uint64_t)sim->mission->step_count);
  uint64_t at = fb_sim_disk_operations(sim->disk) + ahead;
  if (fate == S_FATE_FULL)
    fb_sim_disk_full_at(sim->disk, at, 1 + fb_random_below(&sim->random, 50));
  else if (fb_random_below(&sim->random, 3))
    fb_sim_disk_kill_at(sim->disk, at);
  else
    *ret_turn = ahead;
  return fate;
}

/* Turns the world until the run is over. Once it was killed nothing that it does shows any more. */
static void S_turn(S_sim *sim, fb_mission_run *run, uint64_t turn) {
  fb_world *face = fb_script_world_face(sim->world);
  bool dead = false;
  fb_mission_run_start(run);
  for (uint64_t count = 0; fb_mission_run_state(run) == FB_MISSION_GOING; count++) {
    if (count == turn) fb_sim_disk_kill(sim->disk);
    if (!dead && fb_sim_disk_dead(sim->disk)) {
      dead = true;
      S_settle_truth(sim, false);
      fb_script_world_close(sim->world);
      fb_mission_run_cancel(run, true);
      continue;
    }
    if (!face->turn(face->context)) {
      if (!dead) S_broke(sim, "the run stands still");
      break;
    }
  }
}

static fb_status S_open_journal(S_sim *sim, fb_error *err) {
  fb_journal_log_options options = {.salt = fb_random_u64(&sim->random),
                                    .disk = fb_sim_disk_face(sim->disk)};
  return fb_journal_log_open("journal", &options, sim->allocator, &sim->journal, err);
}

/* A person who looked: says what is true. */
static void S_decide(S_sim *sim) {
  fb_past *past = NULL;
  fb_sim_disk_kill_at(sim->disk, 0);
  fb_sim_disk_full_at(sim->disk, 0, 0);
  if (fb_past_read(sim->journal, sim->allocator, &past, NULL)) {
    sim->no_memory = true;
    return;
  }
  for (uint32_t i = 0; i < past->step_count; i++) {
    const fb_past_step *step = &past->steps[i];
    bool doubt = step->status == FB_STEP_RUNNING && step->waits_for;
    if ((!doubt && step->status != FB_STEP_WAITING) || step->inside) continue;
    fb_small_map map = {0};
    fb_buf payload;
    fb_event event = {.kind = FB_EVENT_DECIDED,
                      .item = step->item,
                      .code = -1,
                      .scope = step->scope,
                      .step = step->id};
    S_truth *truth = S_truth_of_event(sim, &event);
    const char *word = !doubt ? "approved" : truth && truth->effect ? "done" : "again";
    if (truth && doubt) truth->allowed = !truth->effect;
    fb_small_put(&map, "decision", fb_string(fb_slice_of(word)));
    fb_buf_init(&payload, sim->allocator, 0);
    if (fb_value_pack(&payload, fb_map_value(&map.map))) sim->no_memory = true;
    event.payload = fb_buf_slice(&payload);
    if (sim->journal->append(sim->journal->context, &event, NULL)) sim->no_memory = true;
    fb_buf_release(&payload);
    sim->result->decisions++;
  }
  if (sim->journal->seal(sim->journal->context) &&
      sim->journal->commit(sim->journal->context, NULL))
    S_broke(sim, "a decision cannot be recorded");
  sim->acknowledged = fb_journal_log_head(sim->journal);
  fb_past_free(past);
}

static bool S_is_over(fb_mission_status status) {
  return status == FB_MISSION_OK || status == FB_MISSION_FAILED || status == FB_MISSION_TIMEOUT;
}

/* One process that works on the run. True: it is over. */
static bool S_session(S_sim *sim, uint32_t *crashes, fb_errors *errors) {
  fb_error err = {0};
  fb_mission_run *run = NULL;
  uint64_t turn;
  bool over = false;
  fb_journal watched = {S_watched_append, S_watched_write, S_watched_seal,
                        S_watched_commit, S_watched_read,  sim};
  S_fate fate = S_draw_fate(sim, crashes, &turn);
  sim->result->sessions++;
  fb_status status = S_open_journal(sim, &err);
  if (!status) status = S_new_run(sim, &watched, &run, errors);
  if (status == FB_E_NOMEM) sim->no_memory = true;
  if (!status) {
    S_turn(sim, run, turn);
    bool failed = fb_mission_run_error(run) && fate == S_FATE_FULL;
    over = !fb_sim_disk_dead(sim->disk) && !failed && S_is_over(fb_mission_run_state(run));
    if (over) S_compare(sim, run);
    sim->result->status = fb_mission_run_state(run);
    if (sim->result->status == FB_MISSION_WAITING && !fb_sim_disk_dead(sim->disk)) S_decide(sim);
  } else if (!fb_sim_disk_dead(sim->disk) && fate != S_FATE_FULL) {
    S_broke(sim, "the run cannot go on: %s", err.code ? err.text : "its journal is not taken");
  }
  fb_mission_run_free(run);
  bool dead = fb_sim_disk_dead(sim->disk), power = fate == S_FATE_POWER && dead;
  sim->result->kills += fate == S_FATE_KILL && dead;
  sim->result->cuts += power;
  sim->result->full += fate == S_FATE_FULL;
  fb_journal_log_close(sim->journal);
  sim->journal = NULL;
  fb_sim_disk_restart(sim->disk, power);
  S_check_journal(sim);
  /* One that ended is not resumed, also if its process never came to know. */
  if (S_is_over(sim->recorded)) {
    sim->result->status = sim->recorded;
    over = true;
  }
  if (!over && S_next_world(sim, power)) sim->no_memory = true;
  return over;
}

static void S_all(S_sim *sim, fb_errors *errors) {
  uint32_t crashes = sim->options->crashes ? sim->options->crashes
                                           : 1 + (uint32_t)fb_random_below(&sim->random, 6);
  bool over = false;
  if (S_next_world(sim, false)) sim->no_memory = true;
  while (!over && !sim->no_memory && !sim->result->broke && sim->result->sessions < MOST_SESSIONS)
    over = S_session(sim, &crashes, errors);
  if (!over && !sim->no_memory) S_broke(sim, "it is not done after %d sessions", MOST_SESSIONS);
}

fb_status fb_simulate(const fb_mission *mission, const fb_simulation_options *options,
                      const fb_allocator *allocator, fb_simulation *ret_simulation,
                      fb_errors *errors) {
  if (!allocator) allocator = fb_allocator_system();
  *ret_simulation = (fb_simulation){0};
  S_sim sim = {
      .mission = mission, .options = options, .allocator = allocator, .result = ret_simulation};
  fb_arena_init(&sim.arena, allocator, 0);
  fb_buf_init(&sim.outputs, allocator, 0);
  fb_table_init(&sim.truths, allocator, options->seed);
  fb_random_seed(&sim.random, options->seed);
  fb_status status = fb_sim_disk_new(allocator, options->seed ^ 0x5eed, &sim.disk);
  if (!status) status = S_reference(&sim, errors);
  if (!status) S_all(&sim, errors);
  if (sim.no_memory) status = FB_E_NOMEM;
  fb_script_world_free(sim.world);
  fb_sim_disk_free(sim.disk);
  fb_table_release(&sim.truths);
  fb_buf_release(&sim.outputs);
  fb_arena_release(&sim.arena);
  return status;
}
