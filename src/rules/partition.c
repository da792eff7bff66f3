/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts fire each for itself and note down what they did; the notes are merged in the order in which one session would have fired.
 *
 * That order can be told afterwards. A part always fires the first of its own agenda, and one session fires the first of all:
 * the first among the firsts of the parts. What decides is salience, the tick of the change that made the activation, the rule,
 * and the ticks at which its facts came (serials). Of facts asserted from outside the ticks are those of the whole, since
 * the caller's order is known. Changes that a firing makes get theirs when it is merged; a firing that they set off comes
 * later in the same part, so by then they are known (spans). Results of aggregates that follow a firing are changes of that firing;
 * those that follow facts from outside get the ticks that one session gives them: by the aggregate, then by their keys.
 */
#include "rules/partition.h"

#include "rules/group.h"

/* ── Noting down, in the part's thread ── */

static bool S_is_noted(const fb_part *part, uint32_t rule) {
  return part->number == 0 || rule == FB_RULE_NONE || !part->group->plan.common[rule];
}

static fb_note *S_new_note(fb_part *part, uint8_t kind) {
  fb_bank *bank = part->writing;
  if (!fb_grow(part->group->allocator, (void **)&bank->notes, &bank->note_cap, bank->note_count,
               sizeof *bank->notes)) {
    part->status = FB_E_NOMEM;
    return NULL;
  }
  fb_note *note = &bank->notes[bank->note_count++];
  *note = (fb_note){.kind = kind};
  return note;
}

/* The keys are texts of the ruleset and texts that are symbols stay where they are; anything else that is more than a number is
 * copied. */
static const fb_map *S_copy_fields(fb_arena *arena, const fb_map *fields) {
  fb_map *copy = fb_arena_alloc(arena, sizeof *copy);
  if (!copy) return NULL;
  *copy = (fb_map){.len = fields->len, .cap = fields->len};
  copy->entries = fb_arena_alloc(arena, (fields->len + 1) * sizeof *copy->entries);
  if (copy->entries && fields->len)
    memcpy(copy->entries, fields->entries, fields->len * sizeof *copy->entries);
  for (uint32_t i = 0; copy->entries && i < copy->len; i++) {
    fb_value *value = &copy->entries[i].value;
    bool stays = value->kind < FB_STRING || value->kind == FB_TIMESTAMP ||
                 value->kind == FB_DURATION || (value->kind == FB_STRING && value->symbol);
    if (!stays && fb_value_copy(arena, *value, value) != FB_OK) return NULL;
  }
  return copy->entries ? copy : NULL;
}

static fb_status S_note_decision(fb_part *part, const fb_decision *decision, bool emit) {
  const fb_partition_options *options = &part->group->options;
  if (!S_is_noted(part, part->session->firing_rule)) return FB_OK;
  fb_note *note = S_new_note(part, emit ? FB_NOTE_DECISION : FB_NOTE_LOG);
  if (!note) return FB_E_NOMEM;
  note->line = decision->line;
  note->book = decision->rule_number;
  note->type = decision->type;
  note->rule = decision->rule;
  fb_bank *bank = part->writing;
  if (emit && options->render) {
    note->text = bank->text.len;
    fb_status status =
        options->render(options->render_context, part->session, decision, &bank->text);
    if (bank->text.failed) status = FB_E_NOMEM;
    note->text_len = bank->text.len - note->text;
    if (status != FB_OK) part->status = status;
    return status;
  }
  note->fields = S_copy_fields(&bank->arena, decision->fields);
  if (!note->fields) part->status = FB_E_NOMEM;
  return part->status;
}

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  (void)session;
  return S_note_decision(context, decision, true);
}

static void S_log(void *context, fb_session *session, const fb_decision *line) {
  (void)session;
  S_note_decision(context, line, false);
}

static void S_error(void *context, fb_session *session, const fb_error *err) {
  fb_part *part = context;
  if (!part->writing) {
    if (!fb_grow(part->group->allocator, (void **)&part->early, &part->early_cap, part->early_count,
                 sizeof *part->early))
      part->status = FB_E_NOMEM;
    else
      part->early[part->early_count++] = (fb_early_error){session->tick, *err};
    return;
  }
  if (!S_is_noted(part, session->firing_rule)) return;
  fb_note *note = S_new_note(part, FB_NOTE_ERROR);
  if (!note) return;
  note->error = fb_arena_copy(&part->writing->arena, err, sizeof *err);
  if (!note->error) part->status = FB_E_NOMEM;
}

/* The changes since the last firing that is noted began are its own, and so are results that followed. */
static void S_close_firing(fb_part *part) {
  const fb_session *session = part->session;
  fb_bank *bank = part->writing;
  if (!part->noted || !bank->count) return;
  fb_noted *noted = &bank->firings[bank->count - 1];
  noted->ticks = (uint32_t)(session->tick + 1 - noted->first_tick);
  noted->facts = (int64_t)(session->stats.facts - part->before);
  noted->peak = session->stats.facts_peak - part->before;
}

/* By what activations of one tick are ordered: serials, the later first; of elements their numbers, the least first. */
static uint64_t S_turn(const fb_session *session, const fb_rule *rule, uint32_t slot,
                       uint32_t number) {
  return fb_slot_is_fact(rule, slot) ? fb_place_serial(session, number) : UINT64_MAX - number;
}

void fb_part_begin(fb_session *session, const fb_rule *rule, const uint32_t *places) {
  fb_part *part = session->part;
  fb_bank *bank = part->writing;
  part->noting = S_is_noted(part, rule->number);
  if (!part->noting) return;
  S_close_firing(part);
  part->noted = true;
  if (!fb_grow(part->group->allocator, (void **)&bank->firings, &bank->cap, bank->count,
               sizeof *bank->firings)) {
    part->status = FB_E_NOMEM;
    return;
  }
  bank->firings[bank->count++] = (fb_noted){.rule = rule->number,
                                            .tick = session->firing_tick,
                                            .first_tick = session->tick + 1,
                                            .serials = bank->serial_count};
  part->before = session->stats.facts;
  session->stats.facts_peak = session->stats.facts;
  for (uint32_t slot = 0; part->group->plan.copies && slot < rule->positive_count; slot++) {
    if (!fb_grow(part->group->allocator, (void **)&bank->serials, &bank->serial_cap,
                 bank->serial_count, sizeof *bank->serials)) {
      part->status = FB_E_NOMEM;
      return;
    }
    bank->serials[bank->serial_count++] = S_turn(session, rule, slot, places[slot]);
  }
}

static void S_fired(void *context, fb_session *session, uint32_t book, uint64_t firing) {
  fb_part *part = context;
  fb_bank *bank = part->writing;
  (void)session;
  (void)firing;
  (void)book;
  if (part->status != FB_OK || !part->noting) return;
  bank->firings[bank->count - 1].notes = bank->note_count;
}

/* ── Firing, in the part's thread ── */

static void S_clear_bank(fb_bank *bank) {
  bank->count = bank->at = bank->note_count = bank->note_at = bank->serial_count = 0;
  fb_buf_clear(&bank->text);
  fb_arena_reset(&bank->arena);
}

static bool S_is_read(const fb_bank *bank) {
  return bank->at == bank->count && bank->note_at == bank->note_count;
}

static void S_fill(void *argument, uint32_t number) {
  fb_partition *group = argument;
  fb_part *part = &group->parts[number];
  for (uint32_t i = 0; i < FB_PART_BANKS && !part->done && part->status == FB_OK; i++) {
    fb_bank *bank = &part->banks[(part->reading + i) % FB_PART_BANKS];
    if (!S_is_read(bank)) continue;
    uint64_t fired;
    S_clear_bank(bank);
    part->writing = bank;
    part->session->options.max_firings = group->step;
    fb_status status = fb_session_fire(part->session, &fired, &part->err);
    S_close_firing(part);
    part->noted = false;
    part->writing = NULL;
    part->done = status == FB_OK;
    if (part->status != FB_OK)
      fb_fail(&part->err, part->status, "no memory to note down what was fired");
    else if (status != FB_OK && (status != FB_E_RULE_LIMIT || fired < group->step))
      part->status = status;
  }
}

/* ── Merging ── */

uint64_t fb_part_whole_tick(const fb_part *part, uint64_t tick) {
  size_t low = 0, high = part->span_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (part->spans[middle].own <= tick)
      low = middle + 1;
    else
      high = middle;
  }
  if (!low) return tick;
  const fb_span *span = &part->spans[low - 1];
  return tick - span->own < span->count ? span->whole + (tick - span->own) : tick;
}

/* Does the head of `a` fire before that of `b`? */
static bool S_is_before(const fb_partition *group, fb_part *a, const fb_noted *x, fb_part *b,
                        const fb_noted *y) {
  const fb_rule *rx = &group->set->rules[x->rule], *ry = &group->set->rules[y->rule];
  if (rx->level != ry->level) return rx->level < ry->level;
  if (a->head_tick != b->head_tick) return a->head_tick > b->head_tick;
  if (x->rule != y->rule) return x->rule < y->rule;
  /* Both by one fact that was copied. */
  for (uint32_t slot = 0; group->plan.copies && slot < rx->positive_count; slot++) {
    uint64_t s = a->banks[a->reading].serials[x->serials + slot],
             t = b->banks[b->reading].serials[y->serials + slot];
    if (fb_slot_is_fact(rx, slot)) {
      s = fb_part_whole_tick(a, s);
      t = fb_part_whole_tick(b, t);
    }
    if (s != t) return s > t;
  }
  return a->number < b->number;
}

static void S_hand_out_error(fb_partition *group, fb_session *session, const fb_error *err) {
  const fb_session_options *options = &group->options.session;
  uint64_t max = options->max_errors ? options->max_errors : 100;
  if (++group->errors <= max && options->output.error)
    options->output.error(options->output.context, session, err);
}

static fb_status S_hand_out(fb_partition *group, fb_part *part, const fb_note *note) {
  const fb_session_output *output = &group->options.session.output;
  fb_bank *bank = &part->banks[part->reading];
  if (note->kind == FB_NOTE_ERROR) {
    S_hand_out_error(group, part->session, note->error);
    return FB_OK;
  }
  fb_decision decision = {.type = note->type,
                          .fields = note->fields,
                          .rule = note->rule,
                          .rule_number = note->book,
                          .line = note->line,
                          .firing = group->firing};
  if (note->kind == FB_NOTE_LOG) {
    if (output->log) output->log(output->context, part->session, &decision);
    return FB_OK;
  }
  group->decisions++;
  group->rendered = (fb_slice){bank->text.ptr + note->text, note->text_len};
  return output->decision ? output->decision(output->context, part->session, &decision) : FB_OK;
}

/* All notes before `end`; the first failure is what counts. */
static fb_status S_hand_out_until(fb_partition *group, fb_part *part, size_t end) {
  fb_bank *bank = &part->banks[part->reading];
  fb_status first = FB_OK;
  for (; bank->note_at < end; bank->note_at++) {
    fb_status status = S_hand_out(group, part, &bank->notes[bank->note_at]);
    if (first == FB_OK) first = status;
  }
  return first;
}

static void S_hand_out_rest(fb_partition *group, fb_part *part) {
  S_hand_out_until(group, part, part->banks[part->reading].note_count);
}

/* The next firing of the part; NULL: none is noted. A bank may have none although a later one has: those of common rules are noted
 * in the first part only. */
static const fb_noted *S_head(fb_partition *group, fb_part *part) {
  fb_bank *bank = &part->banks[part->reading];
  if (bank->at < bank->count) return &bank->firings[bank->at];
  for (uint32_t i = 1; i < FB_PART_BANKS; i++) {
    bank = &part->banks[(part->reading + i) % FB_PART_BANKS];
    if (bank->at == bank->count) continue;
    for (; i; i--) { /* errors before the next firing */
      S_hand_out_rest(group, part);
      part->reading = (part->reading + 1) % FB_PART_BANKS;
    }
    return &bank->firings[bank->at];
  }
  return NULL;
}

/* The part's ticks from `own` on are those of the whole from `whole` on. */
static fb_status S_give_ticks(fb_partition *group, fb_part *part, uint64_t own, uint64_t whole,
                              uint64_t count) {
  fb_span *last = part->span_count ? &part->spans[part->span_count - 1] : NULL;
  if (!count) return FB_OK;
  if (last && last->own + last->count == own && last->whole + last->count == whole) {
    last->count += count;
    return FB_OK;
  }
  if (!fb_grow(group->allocator, (void **)&part->spans, &part->span_cap, part->span_count,
               sizeof *part->spans))
    return FB_E_NOMEM;
  part->spans[part->span_count++] = (fb_span){own, whole, count};
  return FB_OK;
}

static fb_status S_merge_one(fb_partition *group, fb_part *part, const fb_noted *noted,
                             fb_error *err) {
  const fb_session_output *output = &group->options.session.output;
  uint64_t max = group->options.session.max_facts;
  fb_bank *bank = &part->banks[part->reading];
  group->firing++;
  fb_status told = S_hand_out_until(group, part, noted->notes);
  if (S_give_ticks(group, part, noted->first_tick, group->tick + 1, noted->ticks) != FB_OK)
    return fb_fail(err, FB_E_NOMEM, "no memory to merge what was fired");
  group->tick += noted->ticks;
  if (group->facts + noted->peak > group->facts_peak)
    group->facts_peak = group->facts + noted->peak;
  group->facts = (uint64_t)((int64_t)group->facts + noted->facts);
  uint32_t book = group->set->rules[noted->rule].book;
  bank->at++;
  part->head_tick = 0;
  if (output->fired) output->fired(output->context, part->session, book, group->firing);
  if (max && group->facts_peak > max)
    return fb_fail(err, FB_E_RULE_LIMIT, "the session holds %llu facts, its limit",
                   (unsigned long long)max);
  return told == FB_OK ? FB_OK : fb_fail(err, told, "what received a decision failed");
}

/* The part that fires next; NULL: there is none, or one of those that could has to go on first (*ret_more). */
static fb_part *S_next(fb_partition *group, bool *ret_more) {
  fb_part *best = NULL;
  const fb_noted *first = NULL;
  for (uint32_t i = 0; i < group->options.parts; i++) {
    fb_part *part = &group->parts[i];
    const fb_noted *head = S_head(group, part);
    if (!head) {
      if (part->done) continue;
      *ret_more = true;
      return NULL;
    }
    if (!part->head_tick) part->head_tick = fb_part_whole_tick(part, head->tick) + 1;
    if (best && !S_is_before(group, part, head, best, first)) continue;
    best = part;
    first = head;
  }
  return best;
}

static fb_status S_limit(fb_partition *group, const fb_noted *noted, uint64_t max, fb_error *err) {
  const fb_rule *rule = &group->set->rules[noted->rule];
  return fb_fire_limits(group->parts[0].session, rule, max, max, err);
}

/* Firings of matches that were there before the tick `open` do not count. */
static fb_status S_merge(fb_partition *group, uint64_t *max, uint64_t open, uint64_t *fired,
                         bool *ret_more, fb_error *err) {
  fb_status status = FB_OK;
  for (fb_part *part; status == FB_OK && (part = S_next(group, ret_more));) {
    const fb_noted *noted = S_head(group, part);
    if (part->head_tick <= open) ++*max;
    if (*fired == *max) return S_limit(group, noted, *max, err);
    ++*fired;
    status = S_merge_one(group, part, noted, err);
  }
  return status;
}

static void S_run(fb_partition *group, fb_task *task, void *argument) {
  const fb_partition_options *options = &group->options;
  if (options->run)
    options->run(options->run_context, task, argument, options->parts);
  else
    for (uint32_t i = 0; i < options->parts; i++) task(argument, i);
}

/* The first part that failed speaks for all. */
static fb_status S_status(const fb_partition *group, fb_error *err) {
  for (uint32_t i = 0; i < group->options.parts; i++) {
    const fb_part *part = &group->parts[i];
    if (part->status == FB_OK) continue;
    if (err) *err = part->err;
    return part->status;
  }
  return FB_OK;
}

fb_status fb_part_ready(const fb_partition *group, fb_error *err) {
  if (!group->lost) return FB_OK;
  return fb_fail(err, FB_E_RULE_SESSION,
                 "a failure or a limit has left the parts at odds; free the partition");
}

static void S_begin(fb_partition *group) {
  group->fired = true;
  for (uint32_t i = 0; i < group->options.parts; i++) {
    fb_part *part = &group->parts[i];
    part->done = false;
    part->status = FB_OK;
    part->session->tick = group->tick;
  }
}

/* ── Results that follow facts from outside ── */

void fb_part_followed(fb_session *session, uint32_t aggregate, uint32_t group) {
  fb_part *part = session->part;
  if (!part->follows) return;
  if (!fb_grow(part->group->allocator, (void **)&part->followed, &part->followed_cap,
               part->followed_count, sizeof *part->followed))
    part->status = FB_E_NOMEM;
  else
    part->followed[part->followed_count++] = (fb_followed){aggregate, group};
}

static void S_follow(void *argument, uint32_t number) {
  fb_partition *group = argument;
  fb_part *part = &group->parts[number];
  part->follows = true;
  part->followed_count = part->followed_at = part->early_count = 0;
  part->first_followed = part->session->tick + 1;
  fb_status status = fb_aggregates_follow(part->session);
  part->follows = false;
  if (status == FB_DONE) status = FB_E_RULE_LIMIT;
  if (status == FB_OK) status = part->status;
  part->status = status;
  if (status != FB_OK)
    fb_fail(&part->err, status, "%s",
            status == FB_E_NOMEM ? "out of memory while facts were aggregated"
                                 : "a change looked at more facts than its limit");
}

/* Of the next results of two parts: negative: that of `a` follows first. */
static int S_order_followed(const fb_part *a, const fb_part *b) {
  const fb_followed *x = &a->followed[a->followed_at], *y = &b->followed[b->followed_at];
  if (x->aggregate != y->aggregate) return x->aggregate > y->aggregate ? -1 : 1;
  return fb_group_order(b->session, y->group, a->session, x->group, x->aggregate);
}

/* Gives the next tick to the result that follows next, in all parts that have it. False: there is none. */
static bool S_merge_followed(fb_partition *group, fb_status *status) {
  fb_part *best = NULL;
  for (uint32_t i = 0; i < group->options.parts; i++) {
    fb_part *part = &group->parts[i];
    if (part->followed_at == part->followed_count) continue;
    if (!best || S_order_followed(part, best) < 0) best = part;
  }
  if (!best) return false;
  uint32_t aggregate = best->followed[best->followed_at].aggregate;
  uint32_t type = group->set->aggregates[aggregate]->type;
  bool copied = group->plan.types[type].role == FB_PART_COPIED;
  group->tick++;
  for (uint32_t i = 0; i < group->options.parts && *status == FB_OK; i++) {
    fb_part *part = copied ? &group->parts[i] : best;
    *status = S_give_ticks(group, part, part->first_followed + part->followed_at, group->tick, 1);
    part->followed_at++;
    if (!copied) break;
  }
  return true;
}

/* Before rules fire: changes of results take the ticks that they have in one session. */
static fb_status S_follow_all(fb_partition *group, fb_error *err) {
  if (!group->set->aggregate_count) return FB_OK;
  S_run(group, S_follow, group);
  fb_status status = S_status(group, err);
  fb_part_tell_early(group);
  while (status == FB_OK && S_merge_followed(group, &status)) continue;
  if (status == FB_E_NOMEM && !err->code) fb_fail(err, status, "no memory to merge results");
  return status;
}

/* Errors of conditions after the last firing of a part. */
static void S_end(fb_partition *group) {
  for (uint32_t i = 0; i < group->options.parts; i++) {
    fb_part *part = &group->parts[i];
    for (int b = 0; b < FB_PART_BANKS; b++) {
      S_hand_out_rest(group, part);
      part->reading = (part->reading + 1) % FB_PART_BANKS;
    }
  }
}

fb_status fb_partition_fire(fb_partition *group, uint64_t *ret_firings, fb_error *err) {
  uint64_t fired = 0, max = group->options.session.max_firings;
  fb_error local;
  if (!err) err = &local;
  if (ret_firings) *ret_firings = 0;
  fb_status status = fb_part_ready(group, err);
  if (status != FB_OK) return status;
  bool open = !max; /* only what fires because of this fire counts */
  if (open) max = 10000000;
  S_begin(group);
  status = S_follow_all(group, err);
  uint64_t begun = group->tick;
  group->step = FB_PART_FIRST_STEP / 2;
  for (bool more = status == FB_OK; more && status == FB_OK;) {
    more = false;
    /* Rules without end would not get far beyond the limit. */
    group->step = group->step * 2 < FB_PART_STEP ? group->step * 2 : FB_PART_STEP;
    if (group->step > max - fired) group->step = max - fired + 1;
    S_run(group, S_fill, group);
    status = S_status(group, err);
    if (status == FB_OK) status = S_merge(group, &max, open ? begun + 1 : 0, &fired, &more, err);
  }
  if (status == FB_OK) S_end(group);
  if (ret_firings) *ret_firings = fired;
  group->lost = status != FB_OK;
  return status;
}

/* ── Facts ── */

typedef struct S_rows {
  fb_partition *group;
  const fb_facts *facts;
  uint32_t first, count;
} S_rows;

static void S_feed(void *argument, uint32_t number) {
  const S_rows *rows = argument;
  fb_part *part = &rows->group->parts[number];
  part->early_count = 0;
  part->rows = 0;
  fb_part_feed(part, rows->facts, rows->first, rows->count);
}

static bool S_same_error(const fb_early_error *a, const fb_early_error *b) {
  return a->tick == b->tick && a->error.code == b->error.code && a->error.line == b->error.line &&
         a->error.column == b->error.column && !strcmp(a->error.text, b->error.text);
}

/* A test of a copied fact fails in every part, and is told once. */
static bool S_was_told(const fb_part *first, const fb_part *part, const fb_early_error *early) {
  for (size_t i = 0; first != part && i < first->early_count; i++)
    if (S_same_error(&first->early[i], early)) return true;
  return false;
}

/* In the order of the rows. */
void fb_part_tell_early(fb_partition *group) {
  uint32_t count = group->options.parts;
  size_t at[FB_TEAM_MAX] = {0};
  for (;;) {
    uint32_t best = count;
    for (uint32_t i = 0; i < count; i++) {
      const fb_part *part = &group->parts[i];
      if (at[i] == part->early_count) continue;
      if (best == count || part->early[at[i]].tick < group->parts[best].early[at[best]].tick)
        best = i;
    }
    if (best == count) return;
    const fb_part *part = &group->parts[best];
    const fb_early_error *early = &part->early[at[best]++];
    if (!S_was_told(&group->parts[0], part, early))
      S_hand_out_error(group, part->session, &early->error);
  }
}

bool fb_part_has_supports(const fb_partition *group) {
  for (uint32_t i = 0; i < group->options.parts; i++)
    if (group->parts[i].session->truth.supports) return true;
  return false;
}

fb_status fb_partition_assert_rows(fb_partition *group, const fb_facts *facts, uint32_t first,
                                   uint32_t count, uint32_t *ret_done, fb_error *err) {
  uint64_t max = group->options.session.max_facts;
  if (ret_done) *ret_done = 0;
  fb_status status = fb_part_ready(group, err);
  if (status != FB_OK) return status;
  if (group->fired && fb_part_has_supports(group))
    return fb_fail(err, FB_E_RULE_PARTITION,
                   "with logical facts, all facts are asserted before the first fire");
  S_rows rows = {group, facts, first, count};
  if (max && group->facts + count > max) rows.count = (uint32_t)(max - group->facts);
  S_run(group, S_feed, &rows);
  status = S_status(group, err);
  fb_part_tell_early(group);
  if (status != FB_OK) {
    group->lost = true;
    return status;
  }
  uint64_t taken = 0;
  for (uint32_t i = 0; i < group->options.parts; i++) taken += group->parts[i].rows;
  group->repeated += taken - rows.count;
  group->tick += rows.count;
  group->asserted += rows.count;
  group->facts += rows.count;
  if (group->facts > group->facts_peak) group->facts_peak = group->facts;
  if (ret_done) *ret_done = rows.count;
  if (rows.count < count)
    return fb_fail(err, FB_E_RULE_LIMIT, "the session holds %llu facts, its limit",
                   (unsigned long long)max);
  return FB_OK;
}

/* ── Making and freeing ── */

static fb_session_options S_part_options(const fb_partition *group, fb_part *part) {
  fb_session_options options = group->options.session;
  const fb_session_output *output = &options.output;
  bool decides = output->decision != NULL, logs = output->log != NULL;
  options.output = (fb_session_output){.decision = decides ? S_decision : NULL,
                                       .log = logs ? S_log : NULL,
                                       .error = S_error,
                                       .fired = S_fired,
                                       .context = part};
  options.max_facts = 0;
  options.explain = options.stateless = false;
  return options;
}

static fb_status S_init_part(fb_partition *group, uint32_t number) {
  fb_part *part = &group->parts[number];
  part->group = group;
  part->number = number;
  for (int i = 0; i < FB_PART_BANKS; i++) {
    fb_buf_init(&part->banks[i].text, group->allocator, 0);
    fb_arena_init(&part->banks[i].arena, group->allocator, 0);
  }
  fb_session_options options = S_part_options(group, part);
  fb_status status = fb_session_new(group->set, &options, group->allocator, &part->session);
  if (status == FB_OK) part->session->part = part;
  return status;
}

static void S_release_part(const fb_allocator *allocator, fb_part *part) {
  for (int i = 0; i < FB_PART_BANKS; i++) {
    fb_bank *bank = &part->banks[i];
    fb_free(allocator, bank->firings, bank->cap * sizeof *bank->firings);
    fb_free(allocator, bank->notes, bank->note_cap * sizeof *bank->notes);
    fb_free(allocator, bank->serials, bank->serial_cap * sizeof *bank->serials);
    fb_buf_release(&bank->text);
    fb_arena_release(&bank->arena);
  }
  fb_free(allocator, part->spans, part->span_cap * sizeof *part->spans);
  fb_free(allocator, part->early, part->early_cap * sizeof *part->early);
  fb_free(allocator, part->followed, part->followed_cap * sizeof *part->followed);
  if (part->session)
    fb_free(&part->session->allocator, part->symbols, part->symbol_cap * sizeof *part->symbols);
  fb_session_free(part->session);
}

fb_status fb_partition_new(const fb_ruleset *ruleset, const fb_partition_options *options,
                           const fb_allocator *allocator, fb_partition **ret_partition,
                           fb_error *err) {
  if (!allocator) allocator = fb_allocator_system();
  if (options->parts < 1 || options->parts > FB_TEAM_MAX)
    return fb_fail(err, FB_E_LIMIT, "a partition has 1 to %d parts", FB_TEAM_MAX);
  if (options->session.explain || options->session.stateless || options->session.store)
    return fb_fail(err, FB_E_RULE_PARTITION,
                   "a partition does not explain, is not stateless, and keeps its facts in memory");
  fb_strategy strategy = options->session.strategy;
  if (strategy == FB_STRATEGY_BOOK) strategy = ruleset->strategy;
  if (ruleset->queued || strategy != FB_STRATEGY_DEPTH)
    return fb_fail(err, FB_E_RULE_PARTITION,
                   "only the strategy depth can be worked in parts, with fixed saliences, without "
                   "agenda groups and `effective`");
  if (fb_ruleset_acts_outside(ruleset))
    return fb_fail(err, FB_E_RULE_PARTITION,
                   "rules that call calculators or hand out missions cannot be worked in parts");
  fb_partition *group = fb_alloc_zero(allocator, sizeof *group);
  if (!group) return fb_fail(err, FB_E_NOMEM, "no memory for a partition");
  group->allocator = allocator;
  group->set = ruleset;
  group->options = *options;
  fb_arena_init(&group->arena, allocator, 0);
  fb_status status = fb_part_plan_find(ruleset, &group->arena, &group->plan, err);
  if (status == FB_OK) {
    group->parts = fb_alloc_zero(allocator, options->parts * sizeof *group->parts);
    status =
        group->parts ? fb_session_new_bare(ruleset, NULL, allocator, &group->front) : FB_E_NOMEM;
    for (uint32_t i = 0; i < options->parts && status == FB_OK; i++) status = S_init_part(group, i);
    if (status != FB_OK) fb_fail(err, status, "no memory for the parts");
  }
  if (status == FB_OK) {
    fb_part_tell_early(group); /* of rules without positive conditions */
    *ret_partition = group;
  } else {
    fb_partition_free(group);
  }
  return status;
}

void fb_partition_free(fb_partition *group) {
  if (!group) return;
  const fb_allocator *allocator = group->allocator;
  for (uint32_t i = 0; group->parts && i < group->options.parts; i++)
    S_release_part(allocator, &group->parts[i]);
  fb_free(allocator, group->parts, group->options.parts * sizeof *group->parts);
  fb_session_free(group->front);
  fb_arena_release(&group->arena);
  fb_free(allocator, group, sizeof *group);
}

/* ── Asking ── */

fb_schema *fb_partition_schema(fb_partition *group) {
  return group->front->schema;
}

fb_slice fb_partition_rendered(const fb_partition *group) {
  return group->rendered;
}

void fb_partition_set_deadline(fb_partition *group, int64_t deadline) {
  for (uint32_t i = 0; i < group->options.parts; i++)
    fb_session_set_deadline(group->parts[i].session, deadline);
}

void fb_partition_dump(const fb_partition *group, fb_buf *out) {
  for (uint32_t t = 0; t < group->plan.type_count; t++) {
    const fb_fact_type *type = fb_schema_type(group->set->schema, t);
    const fb_part_type *role = &group->plan.types[t];
    fb_buf_printf(out, "%.*s: ", (int)type->name.len, type->name.ptr);
    if (role->role == FB_PART_KEYED) {
      fb_slice field = type->fields[role->field].name;
      fb_buf_printf(out, "by %.*s\n", (int)field.len, field.ptr);
    } else {
      fb_buf_text(out, role->role == FB_PART_COPIED ? "copied to all parts\n" : "in any part\n");
    }
  }
}

fb_session_stats fb_partition_statistics(const fb_partition *group) {
  fb_session_stats sum = {.facts = group->facts,
                          .facts_peak = group->facts_peak,
                          .firings = group->firing,
                          .decisions = group->decisions,
                          .errors = group->errors,
                          .memory = group->front->held};
  for (uint32_t i = 0; i < group->options.parts; i++) {
    fb_session_stats part = fb_session_statistics(group->parts[i].session);
    sum.asserted += part.asserted;
    sum.modified += part.modified;
    sum.retracted += part.retracted;
    sum.agenda += part.agenda;
    sum.candidates += part.candidates;
    sum.memory += part.memory;
  }
  sum.asserted -= group->repeated;
  sum.modified -= group->modified_again;
  sum.retracted -= group->retracted_again;
  for (size_t book = 0; book < fb_ruleset_count(group->set); book++)
    sum.activations += fb_partition_rule_statistics(group, book).activations;
  return sum;
}

fb_rule_stats fb_partition_rule_statistics(const fb_partition *group, size_t book) {
  const fb_ruleset *set = group->set;
  fb_rule_stats sum = {0};
  for (uint32_t r = set->books[book]; r < set->rule_count && set->rules[r].book == book; r++) {
    uint32_t count = group->plan.common[r] ? 1 : group->options.parts;
    for (uint32_t i = 0; i < count; i++) {
      const fb_rule_stats *stats = &group->parts[i].session->rule_stats[r];
      sum.activations += stats->activations;
      sum.firings += stats->firings;
      sum.errors += stats->errors;
      sum.nanos += stats->nanos;
    }
  }
  return sum;
}
