/* SPDX-License-Identifier: Apache-2.0
 *
 * From a change to its activations: the fact that changed is joined with the others, beginning at each
 * condition that it may stand in. Partial matches are never kept.
 *
 * A `not` that is broken makes its activations stale and costs nothing; one that is mended (its fact
 * goes) makes activations anew: the tuples that the fact blocked are stashed before the change and
 * looked at after it. `exists` is the mirror image.
 */
#include "rules/aggregate.h"
#include "rules/join.h"

enum { LOOK_EVERY = 4096 /* facts, for the clock */ };

/* Does this change make the fact new to the condition? */
static bool S_is_concerned(const fb_session *session, const fb_rule_condition *c) {
  if (!session->partial || c->watch_all) return true;
  for (uint32_t w = 0; w < c->watched_words && w < session->changed_words; w++)
    if (c->watched[w] & session->changed[w]) return true;
  return false;
}

typedef struct S_match {
  fb_session *session;
  const fb_rule *rule;
  const fb_rule_condition *start;
  uint32_t start_place;
  /* BLOCKED: tuples whose guards do not hold. COLLECT: matches that a walk has found late */
  enum { S_ACTIVATE, S_STASH, S_STASH_BLOCKED, S_COLLECT } what;
  fb_walk *into;  /* of COLLECT */
  uint64_t cause; /* slots from which it follows that the last step found nothing; all: it did */
} S_match;

static fb_status S_step(S_match *match, uint32_t depth);

/* ── Guards ── */

/* Is there a fact, other than `except`, that satisfies the guard's condition for what is bound? */
static bool S_guard_finds(fb_session *session, const fb_rule *rule, const fb_rule_condition *guard,
                          uint32_t except) {
  fb_cursor cursor;
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  bool found = false;
  if (fb_cursor_start(session, rule, &guard->check, &cursor)) {
    for (uint32_t place; !found && (place = fb_cursor_next(session, &cursor));) {
      if (place == except) continue;
      fb_join_bind(session, guard->slot, place);
      found = fb_join_fits(session, &guard->check, &cursor);
    }
  }
  fb_arena_rewind(&session->scratch, mark);
  return found;
}

/* Like S_guards_hold, of a group. */
static bool S_group_holds(fb_session *session, const fb_rule *rule, const fb_rule_group *group,
                          uint32_t except, uint64_t *ret_cause);

static bool S_inner_hold(fb_session *session, const fb_rule *rule, const fb_rule_group *group,
                         uint32_t except, uint64_t *ret_cause) {
  for (const fb_rule_group *inner = group->groups; inner; inner = inner->next)
    if (!S_group_holds(session, rule, inner, except, ret_cause)) return false;
  return true;
}

/* Are there facts for the members from level `depth` on, so that all of the group holds? If not, *ret_cause has the slots
 * that this follows from, whatever others hold: where a level's slot is not among them, no other fact can help there.
 * Recursion is bounded by the slots that a rule may have. */
static bool S_group_finds(fb_session *session, const fb_rule *rule, const fb_rule_group *group,
                          uint32_t except, uint32_t depth, uint64_t *ret_cause) {
  if (depth == group->member_count) return S_inner_hold(session, rule, group, except, ret_cause);
  const fb_rule_level *level = &group->levels[depth];
  const fb_rule_condition *c = &rule->conditions[level->condition];
  bool skips = except && S_is_concerned(session, c), found = false;
  uint64_t cause = level->reads, own = UINT64_C(1) << c->slot;
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  fb_cursor cursor;
  if (fb_cursor_start(session, rule, level, &cursor)) {
    for (uint32_t place; !found && (place = fb_cursor_next(session, &cursor));) {
      uint64_t below = 0;
      if (skips && place == except) continue;
      fb_join_bind(session, c->slot, place);
      if (!fb_join_fits(session, level, &cursor)) continue;
      found = S_group_finds(session, rule, group, except, depth + 1, &below);
      if (found) break;
      if (!(below & own)) {
        cause = below;
        break;
      }
      cause |= below;
    }
  }
  fb_arena_rewind(&session->scratch, mark);
  *ret_cause = cause & ~own;
  return found;
}

static bool S_group_holds(fb_session *session, const fb_rule *rule, const fb_rule_group *group,
                          uint32_t except, uint64_t *ret_cause) {
  bool found = !group->never;
  if (!found) *ret_cause = 0;
  for (uint32_t i = 0; found && i < group->before_count; i++) {
    found = fb_join_tell(session, group->before[i]);
    *ret_cause = group->before[i]->slots;
  }
  found = found && S_group_finds(session, rule, group, except, 0, ret_cause);
  if (found) *ret_cause = group->reads;
  return found == (group->kind == FB_WHEN_EXISTS);
}

/* `except`: a fact that conditions which this change concerns do not see; 0: none. If they do not hold, *ret_cause has the
 * slots that this follows from. */
static bool S_guards_hold(fb_session *session, const fb_rule *rule, uint32_t except,
                          uint64_t *ret_cause) {
  if (!rule->guarded) return true;
  for (uint32_t i = 0; i < rule->condition_count; i++) {
    const fb_rule_condition *guard = &rule->conditions[i];
    if (!fb_when_guards(guard->kind)) continue;
    uint32_t unseen = except && S_is_concerned(session, guard) ? except : 0;
    *ret_cause = guard->check.reads;
    if (S_guard_finds(session, rule, guard, unseen) != (guard->kind == FB_WHEN_EXISTS))
      return false;
  }
  for (const fb_rule_group *group = rule->groups; group; group = group->next)
    if (!S_group_holds(session, rule, group, except, ret_cause)) return false;
  return true;
}

/* The same as one may ask where it does not matter why. */
static bool S_guarded(fb_session *session, const fb_rule *rule, uint32_t except) {
  uint64_t cause;
  return S_guards_hold(session, rule, except, &cause);
}

bool fb_match_guards_hold(fb_session *session, const fb_rule *rule) {
  return S_guarded(session, rule, 0);
}

bool fb_match_guards_tell(fb_session *session, const fb_rule *rule, uint64_t *ret_cause) {
  return S_guards_hold(session, rule, 0, ret_cause);
}

/* ── Walks ── */

static fb_status S_keep_tuple(fb_session *session, const fb_rule *rule) {
  for (uint32_t i = 0; i <= rule->positive_count; i++) {
    if (!fb_grow(&session->allocator, (void **)&session->stash, &session->stash_cap,
                 session->stash_count, sizeof *session->stash))
      return FB_E_NOMEM;
    session->stash[session->stash_count++] = i ? session->places[i - 1] : rule->number;
  }
  return FB_OK;
}

static fb_status S_collect(S_match *match) {
  fb_session *session = match->session;
  fb_walk *walk = match->into;
  if (!S_guards_hold(session, match->rule, 0, &match->cause)) return FB_OK;
  match->cause = UINT64_MAX;
  if (match->rule->guarded && fb_mends_later(session, match->rule, walk->tick)) return FB_OK;
  for (uint32_t i = 0; i < match->rule->positive_count; i++) {
    if (!fb_grow(&session->allocator, (void **)&walk->found, &walk->found_cap, walk->found_count,
                 sizeof *walk->found))
      return FB_E_NOMEM;
    walk->found[walk->found_count++] = session->places[i];
  }
  return FB_OK;
}

static fb_status S_complete(S_match *match) {
  fb_session *session = match->session;
  const fb_rule *rule = match->rule;
  bool holds = true;
  fb_status status = FB_OK;
  match->cause = UINT64_MAX;
  if (match->what == S_COLLECT) return S_collect(match);
  if (match->what == S_STASH) return S_keep_tuple(session, rule);
  if (match->what == S_STASH_BLOCKED) {
    /* That a fact in a `not` blocks is certain; what one in a group does is not. */
    if (match->start->kind != FB_WHEN_MEMBER || !S_guarded(session, rule, 0))
      status = S_keep_tuple(session, rule);
  } else {
    /* An `exists`, or a group, that held without this fact is no news. */
    if (match->start->kind == FB_WHEN_EXISTS)
      holds = !S_guard_finds(session, rule, match->start, match->start_place);
    else if (match->start->kind == FB_WHEN_MEMBER)
      holds = !S_guarded(session, rule, match->start_place);
    if (holds && S_guards_hold(session, rule, 0, &match->cause)) {
      match->cause = UINT64_MAX;
      status = fb_agenda_add(session, rule);
    }
  }
  if (!fb_when_binds(match->start->kind))
    fb_join_bind(session, match->start->slot, match->start_place);
  return status;
}

/* Is the fact, which the walk has started from, new to this condition too? Then it may not be bound here. */
static bool S_is_other(const S_match *match, const fb_rule_condition *c) {
  if (match->what != S_COLLECT) return S_is_concerned(match->session, c);
  return fb_port_tick(match->session, c->port, match->start_place) == match->into->tick;
}

/* Facts that came later than what is collected set off walks of their own. */
static bool S_is_late(const S_match *match, const fb_rule_condition *c, uint32_t place) {
  return match->what == S_COLLECT &&
         fb_port_tick(match->session, c->port, place) > match->into->tick;
}

static bool S_is_over(const fb_session *session) {
  return session->stats.candidates > session->candidates_end ||
         (session->stats.candidates % LOOK_EVERY == 0 && fb_fire_is_late(session));
}

static fb_status S_visit(S_match *match, uint32_t depth, const fb_rule_level *level,
                         fb_cursor *cursor) {
  fb_session *session = match->session;
  const fb_rule_condition *c = &match->rule->conditions[level->condition];
  bool other = level->other && S_is_other(match, c);
  uint64_t cause = level->reads, own = UINT64_C(1) << c->slot;
  for (uint32_t place; (place = fb_cursor_next(session, cursor));) {
    if (match->what == S_COLLECT ? S_is_over(session)
                                 : session->stats.candidates > session->candidates_end)
      return FB_E_RULE_LIMIT;
    if ((other && place == match->start_place) || S_is_late(match, c, place)) continue;
    fb_join_bind(session, c->slot, place);
    if (!fb_join_fits(session, level, cursor)) continue;
    fb_status status = S_step(match, depth + 1);
    if (status != FB_OK) return status;
    if (!(match->cause & own)) return FB_OK; /* nor would any other fact */
    cause |= match->cause;
  }
  match->cause = cause & ~own;
  return FB_OK;
}

/* A level that binds what follows from what is bound. */
static fb_status S_derive(S_match *match, uint32_t depth, const fb_rule_level *level) {
  fb_session *session = match->session;
  uint32_t slot = match->rule->conditions[level->condition].slot, number = 0;
  const fb_cursor none = {0};
  for (;;) {
    fb_status status = fb_slot_next(session, match->rule, slot, &number);
    match->cause = UINT64_MAX;
    if (status != FB_OK || !number) return status;
    if (++session->stats.candidates > session->candidates_end) return FB_E_RULE_LIMIT;
    fb_slot_bind(session, match->rule, slot, number);
    if (fb_join_fits(session, level, &none)) status = S_step(match, depth + 1);
    if (status != FB_OK) return status;
  }
}

/* Recursion is bounded by the number of positive conditions. */
static fb_status S_step(S_match *match, uint32_t depth) {
  if (depth == match->start->walk_count) return S_complete(match);
  const fb_rule_level *level = &match->start->walk[depth];
  fb_session *session = match->session;
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  fb_cursor cursor;
  fb_status status = FB_OK;
  if (fb_when_derives(match->rule->conditions[level->condition].kind))
    status = S_derive(match, depth, level);
  else if (match->cause = level->reads, fb_cursor_start(session, match->rule, level, &cursor))
    status = S_visit(match, depth, level, &cursor);
  fb_arena_rewind(&session->scratch, mark);
  return status;
}

static fb_status S_walk_into(fb_session *session, uint32_t use_number, uint32_t place, int what,
                             fb_walk *into) {
  const fb_rule_use *use = &session->set->uses[use_number];
  const fb_rule *rule = &session->set->rules[use->rule];
  S_match match = {session, rule, &rule->conditions[use->condition], place, what, into, 0};
  fb_join_bind(session, match.start->slot, place);
  for (uint32_t i = 0; i < match.start->start_join_count; i++)
    if (!fb_join_tell(session, match.start->start_joins[i])) return FB_OK;
  int64_t start =
      into ? 0 : fb_profile_start(session); /* a walk that collects is timed by walk.c */
  fb_status status = S_step(&match, 0);
  if (!into) fb_profile_stop(session, use_number, start);
  return status;
}

static fb_status S_walk(fb_session *session, uint32_t use, uint32_t place, int what) {
  return S_walk_into(session, use, place, what, NULL);
}

fb_status fb_match_collect(fb_session *session, uint32_t use, uint32_t place, fb_walk *walk) {
  return S_walk_into(session, use, place, S_COLLECT, walk);
}

/* ── Changes ── */

static const fb_rule_condition *S_condition(const fb_session *session, uint32_t use) {
  const fb_rule_use *at = &session->set->uses[use];
  return &session->set->rules[at->rule].conditions[at->condition];
}

/* The fact came into a condition of a lazy rule. */
static fb_status S_wait(fb_session *session, const fb_rule_condition *c, uint32_t use,
                        uint32_t place) {
  if (session->partial) {
    fb_status status = fb_lazy_stamp(session, c->port, session->facts[place].row, session->tick);
    if (status != FB_OK) return status;
  }
  const fb_rule *rule = &session->set->rules[session->set->uses[use].rule];
  for (uint32_t i = 0; i < rule->gate_count; i++)
    if (!session->alphas[rule->gates[i].alpha].count != rule->gates[i].empty) return FB_OK;
  return fb_agenda_wait(session, rule, use, place);
}

/* Walks from the fact at each use of the matched alphas that this tick concerns. */
static fb_status S_seed(fb_session *session, uint32_t place, uint32_t matched) {
  for (uint32_t i = 0; i < matched; i++) {
    const fb_rule_alpha *alpha = &session->set->alphas[session->matched[i]];
    for (uint32_t u = 0; u < alpha->use_count; u++) {
      uint32_t use = alpha->uses[u];
      const fb_rule_condition *c = S_condition(session, use);
      if (c->kind == FB_WHEN_NOT || !S_is_concerned(session, c)) continue;
      fb_status status = c->port == FB_RULE_NONE || session->queued
                             ? S_walk(session, use, place, S_ACTIVATE)
                             : S_wait(session, c, use, place);
      if (status != FB_OK) return status;
    }
  }
  return FB_OK;
}

static bool S_concerned(const fb_session *session, const fb_rule_alpha *alpha) {
  for (uint32_t u = 0; u < alpha->use_count; u++)
    if (S_is_concerned(session, S_condition(session, alpha->uses[u]))) return true;
  for (uint32_t i = 0; i < alpha->aggregate_count; i++)
    if (S_is_concerned(session, &session->set->aggregates[alpha->aggregates[i]]->source))
      return true;
  return false;
}

/* Finds the alphas that the fact is in now and puts it into those that are stored. */
static fb_status S_enter(fb_session *session, uint32_t place, uint32_t *ret_matched) {
  const fb_fact *fact = &session->facts[place];
  uint32_t count = fb_alpha_candidates(session, fact->type, fact->row), matched = 0;
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < count && status == FB_OK; i++) {
    uint32_t number = session->candidates[i] & ~FB_RULE_WHOLE;
    const fb_rule_alpha *alpha = &session->set->alphas[number];
    if (session->partial && !S_concerned(session, alpha)) continue;
    if (!fb_alpha_test(session, session->candidates[i], place)) continue;
    if (alpha->stored && !fb_alpha_insert(session, number, fact->row)) {
      status = FB_E_NOMEM;
      break;
    }
    session->matched[matched++] = number;
  }
  *ret_matched = matched;
  return status;
}

/* Nothing has to be undone for a fact of a type that no join looks for. */
static bool S_is_stored(const fb_session *session, uint32_t type) {
  return type < session->set->type_count && session->set->types[type].stored;
}

/* Takes the fact out of the stored alphas that this change concerns. */
static void S_leave(fb_session *session, uint32_t place) {
  const fb_fact *fact = &session->facts[place];
  if (!S_is_stored(session, fact->type)) return;
  uint32_t count = fb_alpha_candidates(session, fact->type, fact->row);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t number = session->candidates[i] & ~FB_RULE_WHOLE;
    const fb_rule_alpha *alpha = &session->set->alphas[number];
    if (alpha->stored && fb_alpha_has(session, number, fact->row) && S_concerned(session, alpha))
      fb_alpha_remove(session, number, fact->row);
  }
}

/* Keeps the tuples that the fact meets at guards of the kind that this change concerns. */
static fb_status S_stash(fb_session *session, uint32_t place, fb_condition_kind kind,
                         bool logical) {
  const fb_fact *fact = &session->facts[place];
  if (!S_is_stored(session, fact->type)) return FB_OK;
  uint32_t count = fb_alpha_candidates(session, fact->type, fact->row);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t number = session->candidates[i] & ~FB_RULE_WHOLE;
    const fb_rule_alpha *alpha = &session->set->alphas[number];
    if (!alpha->stored || !fb_alpha_has(session, number, fact->row)) continue;
    for (uint32_t u = 0; u < alpha->use_count; u++) {
      uint32_t use = alpha->uses[u];
      const fb_rule_condition *c = S_condition(session, use);
      if ((c->kind != kind && c->kind != FB_WHEN_MEMBER) || !S_is_concerned(session, c) ||
          (logical && !session->set->rules[session->set->uses[use].rule].logical))
        continue;
      fb_status status = S_walk(session, use, place, logical ? S_STASH : S_STASH_BLOCKED);
      if (status != FB_OK) return status;
    }
  }
  return FB_OK;
}

/* A fact of the tuple may have left one of its conditions with this very change (a type that stands in a
 * condition and in a `not`); then nothing of it is left to free. */
static bool S_tuple_stands(fb_session *session, const fb_rule *rule) {
  for (uint32_t slot = 0, next; slot < rule->positive_count; slot = next) {
    const fb_rule_condition *c = &rule->conditions[rule->positives[slot]];
    next = slot + c->slot_count;
    if (!fb_slot_stands(session, rule, slot, session->places[slot])) return false;
    for (uint32_t i = 0; i < c->join_count; i++)
      if (!fb_join_tell(session, c->joins[i])) return false;
  }
  return true;
}

static const fb_rule *S_unstash(fb_session *session, size_t *at) {
  const fb_rule *rule = &session->set->rules[session->stash[(*at)++]];
  const uint32_t *numbers = session->stash + *at;
  for (uint32_t slot = 0; slot < rule->positive_count;
       slot += rule->conditions[rule->positives[slot]].slot_count)
    fb_slot_bind(session, rule, slot, numbers[slot]);
  *at += rule->positive_count;
  return rule;
}

static fb_status S_free_stashed(fb_session *session, size_t from) {
  for (size_t at = from, end = session->stash_count; at < end;) {
    const fb_rule *rule = S_unstash(session, &at);
    if (!S_tuple_stands(session, rule) || !fb_match_guards_hold(session, rule)) continue;
    fb_status status = fb_agenda_add(session, rule);
    if (status != FB_OK) return status;
  }
  return FB_OK;
}

/* Stashes the tuples whose guards the fact upholds, or breaks; those of them that fired and facts rest on are
 * looked at by S_break. */
static fb_status S_stash_supports(fb_session *session, uint32_t place, fb_condition_kind kind) {
  return session->truth.supports ? S_stash(session, place, kind, true) : FB_OK;
}

/* Takes from facts the reasons that do not hold any more; `except`: as S_guards_hold has it. */
static void S_break(fb_session *session, size_t from, uint32_t except) {
  for (size_t at = from; at < session->stash_count;) {
    const fb_rule *rule = S_unstash(session, &at);
    fb_activation *kept = fb_agenda_find(session, rule);
    if (kept && kept->fired && !S_guarded(session, rule, except)) fb_agenda_kill(session, kept);
  }
  session->stash_count = from;
}

/* Kills the fact's activations where this change concerns the condition that it stands in. */
static void S_kill(fb_session *session, uint32_t place) {
  for (fb_link *link = fb_place_links(session, place), *next; link; link = next) {
    fb_activation *owner = fb_link_owner(link);
    const fb_rule *rule = &session->set->rules[owner->rule];
    bool concerned = false;
    for (next = link; next && fb_link_owner(next) == owner; next = next->next)
      concerned |= S_is_concerned(session, &rule->conditions[rule->positives[next->position]]);
    if (concerned) fb_agenda_kill(session, owner);
  }
}

static void S_begin(fb_session *session, bool partial) {
  uint64_t max = session->options.max_candidates;
  session->tick++;
  session->stash_count = 0;
  session->refused = false;
  session->partial = partial;
  /* Results of aggregates follow wholly: between two of them it is seen whether they met too many. */
  session->candidates_end =
      max && !session->deriving ? session->stats.candidates + max : UINT64_MAX;
}

fb_status fb_match_insert(fb_session *session, uint32_t place) {
  uint32_t matched;
  S_begin(session, false);
  session->capped = !session->deriving;
  fb_status status = S_enter(session, place, &matched);
  if (status == FB_OK && matched) status = S_seed(session, place, matched);
  if (status == FB_OK) status = S_stash_supports(session, place, FB_WHEN_NOT);
  if (status == FB_OK) status = fb_agenda_settle(session);
  session->capped = false;
  if (status == FB_OK) {
    S_break(session, 0, 0);
    return FB_OK;
  }
  fb_agenda_unsettle(session);
  S_kill(session, place);
  S_leave(session, place);
  return status;
}

/* Before a fact leaves: what that may set free, and behind *ret_blocked, what may lose its reasons. Nothing is changed
 * yet, so that a failure refuses the change. */
static fb_status S_foresee(fb_session *session, uint32_t place, size_t *ret_blocked) {
  fb_status status = S_stash(session, place, FB_WHEN_NOT, false);
  *ret_blocked = session->stash_count;
  if (status == FB_OK) status = S_stash_supports(session, place, FB_WHEN_EXISTS);
  session->refused = status != FB_OK;
  return status;
}

fb_status fb_match_remove(fb_session *session, uint32_t place) {
  size_t blocked;
  S_begin(session, false);
  fb_status status = S_foresee(session, place, &blocked);
  if (status != FB_OK) return status;
  session->agenda.doubtful = true;
  /* Before it leaves: an alpha may be shared with conditions that this change does not concern. */
  S_break(session, blocked, place);
  S_kill(session, place);
  S_leave(session, place);
  status = S_free_stashed(session, 0);
  if (status == FB_OK) status = fb_agenda_settle(session);
  return status;
}

/* ── Modify ── */

static bool S_unchanged(fb_value old, fb_value value) {
  return old.kind == value.kind && (old.kind == FB_ABSENT || fb_value_order(old, value) == 0);
}

/* Notes the fields that change. FB_DONE: none does. */
static fb_status S_note_changed(fb_session *session, const fb_fact *fact, const uint32_t *fields,
                                const fb_value *values, uint32_t count) {
  const fb_facts *facts = session->memories[fact->type].facts;
  size_t words = fb_facts_type(facts)->field_count / 64 + 1;
  if (words > session->changed_words) {
    uint64_t *more = fb_resize(&session->allocator, session->changed,
                               session->changed_words * sizeof *more, words * sizeof *more);
    if (!more) return FB_E_NOMEM;
    session->changed = more;
    session->changed_words = words;
  }
  memset(session->changed, 0, session->changed_words * sizeof *session->changed);
  fb_status status = FB_DONE;
  for (uint32_t i = 0; i < count; i++) {
    if (S_unchanged(fb_facts_get(facts, fact->row, fields[i]), values[i])) continue;
    session->changed[fields[i] / 64] |= UINT64_C(1) << fields[i] % 64;
    status = FB_OK;
  }
  return status;
}

fb_status fb_match_modify(fb_session *session, uint32_t place, const uint32_t *fields,
                          const fb_value *values, uint32_t count, fb_error *err) {
  const fb_fact *fact = &session->facts[place];
  fb_memory *memory = &session->memories[fact->type];
  uint32_t matched;
  size_t blocked = 0;
  S_begin(session, true);
  fb_status status = S_note_changed(session, fact, fields, values, count);
  if (status == FB_OK) status = S_foresee(session, place, &blocked);
  if (status == FB_OK) status = fb_queue_touch(session, place);
  if (status == FB_OK) status = fb_lazy_modified(session, fact);
  session->refused = status != FB_OK;
  if (status != FB_OK) return status;
  /* Before it leaves: an alpha may be shared with conditions that this change does not concern. */
  S_break(session, blocked, place);
  S_kill(session, place);
  S_leave(session, place);
  for (uint32_t i = 0; i < count && status == FB_OK; i++)
    status = fb_facts_set(memory->facts, fact->row, fields[i], values[i], err);
  if (status == FB_OK) status = S_enter(session, place, &matched);
  if (status == FB_OK) status = S_seed(session, place, matched);
  if (status == FB_OK) status = S_free_stashed(session, 0);
  if (status == FB_OK) status = fb_agenda_settle(session);
  if (status == FB_OK) status = S_stash_supports(session, place, FB_WHEN_NOT);
  if (status == FB_OK) S_break(session, blocked, 0);
  return status;
}

void fb_match_begin(fb_session *session) {
  S_begin(session, false);
}

static const fb_rule_condition *S_first_fact(const fb_rule *rule) {
  for (uint32_t i = 0; i < rule->condition_count; i++)
    if (rule->conditions[i].kind == FB_WHEN_FACT) return &rule->conditions[i];
  return NULL;
}

/* Those that begin at the first pattern are all. */
fb_status fb_match_rule(fb_session *session, const fb_rule *rule) {
  const fb_rule_condition *c = S_first_fact(rule);
  if (!c)
    return !rule->positive_count && fb_match_guards_hold(session, rule)
               ? fb_agenda_add(session, rule)
               : FB_OK;
  bool stored = session->set->alphas[c->alpha].stored;
  fb_status status = FB_OK;
  for (uint32_t place = 1; place < session->fact_count && status == FB_OK; place++) {
    const fb_fact *fact = &session->facts[place];
    if (fact->row == FB_RULE_NONE || fact->type != c->type) continue;
    if (stored ? fb_alpha_has(session, c->alpha, fact->row)
               : fb_alpha_test(session, c->alpha | FB_RULE_WHOLE, place))
      status = S_walk(session, c->use, place, S_ACTIVATE);
  }
  return status;
}

fb_status fb_match_start(fb_session *session) {
  for (uint32_t r = 0; r < session->set->rule_count; r++) {
    const fb_rule *rule = &session->set->rules[r];
    if (!rule->info.enabled || rule->positive_count || !fb_match_guards_hold(session, rule))
      continue;
    fb_status status = fb_agenda_add(session, rule);
    if (status != FB_OK) return status;
  }
  return fb_agenda_settle(session);
}
