/* SPDX-License-Identifier: Apache-2.0
 *
 * Firing: all values of `then` are computed before anything is done, so that a firing either has all its
 * effects or, when a value fails, none; and all see the facts as they were when the rule fired.
 * Decisions and log lines are handed out before the facts change.
 */
#include "data/facts_internal.h"
#include "rules/session.h"

#include <stdio.h>

#define FIRINGS_MAX 10000000

/* ── Values ── */

static fb_status S_eval(fb_session *session, const fb_template *template_, fb_value *ret,
                        fb_error *err) {
  fb_cel_context *context = &session->context;
  context->arena = &session->firing_arena;
  context->steps = session->options.max_steps ? session->options.max_steps : 10000000;
  fb_status status = fb_template_eval(template_, session->slots, context, ret, err);
  context->arena = &session->scratch;
  return status;
}

/* A field of a fact needs no evaluation; that it is missing is told by one. */
static bool S_copy(const fb_session *session, const fb_rule_field *field, fb_value *ret) {
  if (!field->copies) return false;
  fb_value fact = session->slots[field->from_slot];
  if (fact.kind != FB_FACT) return false;
  *ret = fb_facts_cell(fact.as.facts, fact.len, field->from_field);
  return ret->kind != FB_ABSENT;
}

static fb_status S_check_mission(fb_value name, fb_error *err) {
  if (name.kind == FB_STRING && name.len) return FB_OK;
  return fb_fail(err, FB_E_RULE_VALUE, "a mission's name is text, not %s",
                 name.kind == FB_STRING ? "empty" : fb_kind_name(name.kind));
}

static fb_status S_eval_all(fb_session *session, const fb_rule *rule, fb_rule_place *place,
                            fb_error *err) {
  fb_value *value = session->values;
  for (uint32_t i = 0; i < rule->action_count; i++) {
    const fb_rule_action *action = &rule->actions[i];
    place->node = action->node;
    if (action->message) {
      fb_status status = S_eval(session, action->message, value++, err);
      if (status != FB_OK) return status;
    }
    for (uint32_t f = 0; f < action->field_count; f++) {
      place->node = action->fields[f].node;
      if (S_copy(session, &action->fields[f], value)) {
        value++;
        continue;
      }
      fb_status status = S_eval(session, action->fields[f].template_, value++, err);
      if (status != FB_OK) return status;
    }
    place->node = action->node;
    fb_status status = FB_OK;
    if (action->kind == FB_THEN_CALL)
      status = fb_call_run(session, action, value - action->field_count, place, err);
    else if (action->kind == FB_THEN_RUN)
      status = S_check_mission(value[-1 - (int)action->field_count], err);
    if (status != FB_OK) return status;
  }
  return FB_OK;
}

/* Makes the rows of the asserts and fits the values of the modifies, so that what is left to do cannot fail but
 * for memory. */
static fb_status S_prepare_assert(fb_session *session, const fb_rule_action *action,
                                  const fb_value *values, uint32_t *ret_row, fb_rule_place *place,
                                  fb_error *err) {
  fb_memory *memory;
  uint32_t row;
  fb_status status = fb_memory_of(session, fb_schema_type(session->schema, action->type), &memory);
  if (status == FB_OK) status = fb_memory_new_row(session, memory, &row);
  if (status != FB_OK) return fb_fail(err, status, "no memory for another fact");
  for (uint32_t f = 0; f < action->field_count && status == FB_OK; f++) {
    place->node = action->fields[f].node;
    status = fb_facts_set(memory->facts, row, action->fields[f].field, values[f], err);
  }
  if (status == FB_OK)
    *ret_row = row;
  else
    fb_memory_free_row(session, memory, row);
  return status;
}

static fb_status S_prepare(fb_session *session, const fb_rule *rule, uint32_t *ret_done,
                           fb_rule_place *place, fb_error *err) {
  fb_value *values = session->values;
  uint32_t i;
  fb_status status = FB_OK;
  for (i = 0; i < rule->action_count && status == FB_OK; i++) {
    const fb_rule_action *action = &rule->actions[i];
    session->rows[i] = FB_RULE_NONE;
    values += action->message != NULL;
    if (action->kind == FB_THEN_ASSERT) {
      status = S_prepare_assert(session, action, values, &session->rows[i], place, err);
    } else if (action->kind == FB_THEN_MODIFY) {
      fb_memory *memory = &session->memories[action->type];
      for (uint32_t f = 0; f < action->field_count && status == FB_OK; f++) {
        place->node = action->fields[f].node;
        status = fb_session_fit(session, memory, action->fields[f].field, &values[f], err);
      }
    }
    values += action->field_count;
  }
  *ret_done = i;
  return status;
}

static void S_unprepare(fb_session *session, const fb_rule *rule, uint32_t done) {
  for (uint32_t i = 0; i < done; i++)
    if (session->rows[i] != FB_RULE_NONE) {
      fb_memory_free_row(session, &session->memories[rule->actions[i].type], session->rows[i]);
      session->rows[i] = FB_RULE_NONE;
    }
}

/* ── Effects ── */

/* A log line, or a mission to be run. */
static fb_status S_tell(fb_session *session, const fb_rule *rule, const fb_rule_action *action,
                        const fb_value *values) {
  const fb_session_output *output = &session->options.output;
  bool run = action->kind == FB_THEN_RUN;
  fb_slice type = action->name;
  if (run ? !output->run : !output->log) return FB_OK;
  fb_map *fields = fb_map_new(&session->firing_arena, action->field_count + 1);
  if (!fields) return FB_E_NOMEM;
  if (run)
    type = fb_value_text(*values++);
  else if (!fb_map_put(fields, &session->firing_arena, fb_string(FB_SLICE("message")), *values++,
                       NULL))
    return FB_E_NOMEM;
  for (uint32_t f = 0; f < action->field_count; f++)
    if (!fb_map_put(fields, &session->firing_arena, fb_string(action->fields[f].name), values[f],
                    NULL))
      return FB_E_NOMEM;
  fb_decision decision = {.type = type,
                          .fields = fields,
                          .rule = rule->info.name,
                          .rule_number = rule->book,
                          .line = action->node->line,
                          .firing = session->firing};
  if (run) return output->run(output->context, session, &decision);
  output->log(output->context, session, &decision);
  return FB_OK;
}

static fb_status S_hand_out_all(fb_session *session, const fb_rule *rule, const fb_fact_id *ids) {
  const fb_value *values = session->values;
  fb_status first = FB_OK;
  for (uint32_t i = 0; i < rule->action_count; i++) {
    const fb_rule_action *action = &rule->actions[i];
    fb_status status = FB_OK;
    if (action->kind == FB_THEN_EMIT)
      status = fb_emit_hand_out(session, action, rule->positive_count ? ids[0] : 0, values);
    else if (action->kind == FB_THEN_LOG || action->kind == FB_THEN_RUN)
      status = S_tell(session, rule, action, values);
    if (first == FB_OK) first = status;
    values += action->field_count + (action->message != NULL);
  }
  return first;
}

static fb_status S_modify(fb_session *session, const fb_rule_action *action, fb_fact_id id,
                          const fb_value *values, fb_error *err) {
  uint32_t place = fb_memory_find(session, id);
  if (!place)
    return fb_fail(err, FB_E_RULE_FACT, "an action of this firing has retracted the fact already");
  uint32_t *numbers =
      fb_arena_alloc(&session->firing_arena, (action->field_count + 1) * sizeof *numbers);
  if (!numbers) return fb_fail(err, FB_E_NOMEM, "out of memory");
  for (uint32_t f = 0; f < action->field_count; f++) numbers[f] = action->fields[f].field;
  return fb_session_change(session, place, numbers, values, action->field_count, err);
}

static fb_status S_act(fb_session *session, const fb_rule *rule, const fb_fact_id *ids,
                       uint32_t number, const fb_value *values, fb_error *err) {
  const fb_rule_action *action = &rule->actions[number];
  uint32_t place;
  fb_status status;
  switch (action->kind) {
    case FB_THEN_ASSERT:
      if (action->logical) {
        uint32_t row = session->rows[number];
        session->rows[number] = FB_RULE_NONE;
        return fb_logical_assert(session, action->type, row, err);
      }
      status = fb_session_insert_row(session, action->type, session->rows[number], &place, err);
      session->rows[number] = FB_RULE_NONE;
      if (status == FB_OK && session->options.explain) status = fb_why_made(session, place);
      return status;
    case FB_THEN_MODIFY: return S_modify(session, action, ids[action->slot], values, err);
    case FB_THEN_RETRACT:
      place = fb_memory_find(session, ids[action->slot]);
      return place ? fb_session_remove(session, place, err) : FB_OK;
    case FB_THEN_FOCUS:
      status = fb_queue_focus(session, action->group);
      return status == FB_OK ? FB_OK
                             : fb_fail(err, status, "no room for another group on the focus stack");
    case FB_THEN_HALT: session->halted = true; return FB_OK;
    default: return FB_OK;
  }
}

/* Limits and lack of memory end the run; anything else concerns this firing only and is reported. */
static bool S_is_fatal(const fb_session *session, fb_status status) {
  return status == FB_E_NOMEM || status == FB_E_RULE_LIMIT || status == FB_E_LIMIT || session->lost;
}

static fb_status S_act_all(fb_session *session, const fb_rule *rule, const fb_fact_id *ids,
                           fb_error *err) {
  const fb_value *values = session->values;
  for (uint32_t i = 0; i < rule->action_count; i++) {
    const fb_rule_action *action = &rule->actions[i];
    values += action->message != NULL;
    fb_status status = S_act(session, rule, ids, i, values, err);
    if (status != FB_OK) {
      S_unprepare(session, rule, rule->action_count);
      fb_rule_place place = {.node = action->node};
      if (S_is_fatal(session, status)) {
        if (err && !err->line)
          fb_doc_relocate(session->set->doc, action->node, 0, action->node->length, err);
        return status;
      }
      fb_session_report(session, rule->number, &place, err);
      return FB_OK;
    }
    values += action->field_count;
  }
  return FB_OK;
}

static fb_status S_fire_rule(fb_session *session, const fb_rule *rule, const uint32_t *places,
                             fb_error *err) {
  fb_fact_id ids[FB_RULE_SLOTS];
  fb_rule_place place = {0};
  uint32_t done;
  fb_slot_bind_all(session, rule, places);
  for (uint32_t i = 0; i < rule->positive_count; i++)
    ids[i] = fb_slot_is_fact(rule, i) ? fb_place_id(session, places[i]) : 0;
  if (session->options.explain && !session->options.stateless &&
      fb_why_begin(session, rule, places) != FB_OK)
    return fb_fail(err, FB_E_NOMEM, "no memory for the log of firings");
  fb_status status = S_eval_all(session, rule, &place, err);
  if (status == FB_OK && (status = S_prepare(session, rule, &done, &place, err)) != FB_OK)
    S_unprepare(session, rule, done);
  if (status == FB_E_NOMEM) return status;
  if (status != FB_OK) {
    if (err->code == FB_E_CEL_NO_KEY)
      err->code = FB_E_RULE_VALUE; /* here a missing field is worth a report */
    fb_session_report(session, rule->number, &place, err);
    return FB_OK;
  }
  if (FB_UNLIKELY(session->pager != NULL) && (status = fb_session_paged(session, err)) != FB_OK) {
    S_unprepare(session, rule, rule->action_count);
    return status;
  }
  fb_status told = S_hand_out_all(session, rule, ids);
  status = S_act_all(session, rule, ids, err);
  if (status == FB_OK && told != FB_OK)
    return fb_fail(err, told, "what received a decision failed");
  return status;
}

/* ── The cycle ── */

static fb_status S_limit(const fb_session *session, const fb_rule *rule, fb_error *err,
                         const char *what) {
  fb_fail(err, FB_E_RULE_LIMIT, "%s; rule `%.*s` was to fire next", what,
          (int)(rule->info.name.len > 120 ? 120 : rule->info.name.len), rule->info.name.ptr);
  fb_error_hint(err, "do rules set each other off without end? If not, raise the limit");
  if (err) fb_doc_relocate(session->set->doc, rule->node, 0, rule->info.name.len, err);
  return FB_E_RULE_LIMIT;
}

/* Do the guards of the activation that was popped hold, or is the place still in its condition? */
static bool S_is_due(fb_session *session, fb_due *due) {
  due->walk = NULL;
  if (due->item.use != FB_RULE_NONE) {
    due->activation = NULL;
    due->rule = &session->set->rules[session->set->uses[due->item.use].rule];
    due->places[0] = due->item.place;
    return fb_lazy_stands(session, &due->item);
  }
  due->activation = due->item.activation;
  due->rule = &session->set->rules[due->activation->rule];
  for (uint32_t i = 0; i < due->activation->count; i++)
    due->places[i] = due->activation->links[i].place;
  if (!due->rule->guarded) return true;
  fb_slot_bind_all(session, due->rule, due->places);
  return fb_match_guards_hold(session, due->rule);
}

/* What is to fire next; FB_DONE: nothing. Of a walk it is still on the agenda, everything else was popped. */
static fb_status S_next(fb_session *session, fb_due *due) {
  uint64_t max = session->options.max_candidates;
  session->candidates_end = max ? session->stats.candidates + max : UINT64_MAX;
  for (;;) {
    fb_agenda_level *level = session->queued ? NULL : fb_agenda_top(session);
    if (level && fb_lazy_is_due(session, &level->items[level->count - 1])) {
      fb_status status = fb_lazy_next(session, level, due);
      if (status != FB_DONE) return status;
      continue;
    }
    if (!fb_agenda_pop(session, &due->item)) return FB_DONE;
    if (S_is_due(session, due)) return FB_OK;
    if (!due->activation) continue;
    fb_agenda_unlink(session, due->activation);
    fb_agenda_free(session, due->activation);
  }
}

bool fb_fire_is_late(const fb_session *session) {
  const fb_clock *clock = session->options.clock;
  return session->options.deadline && clock &&
         clock->mono(clock->context) >= session->options.deadline;
}

fb_status fb_fire_limits(const fb_session *session, const fb_rule *rule, uint64_t fired,
                         uint64_t max, fb_error *err) {
  char what[80];
  bool late = (fired & 63) == 0 && fb_fire_is_late(session);
  if (!late && fired < max) return FB_OK;
  if (fired < max)
    snprintf(what, sizeof what, "the time that the session may take is over");
  else
    snprintf(what, sizeof what, "%llu firings, the limit", (unsigned long long)max);
  return S_limit(session, rule, err, what);
}

fb_status fb_fire_rule(fb_session *session, const fb_rule *rule, const uint32_t *places,
                       fb_error *err) {
  fb_error local;
  if (!err) err = &local;
  const fb_clock *clock = session->options.clock;
  int64_t start = clock ? clock->mono(clock->context) : 0;
  session->firing++;
  session->firing_rule = rule->number;
  session->firing_places = places;
  session->rule_stats[rule->number].firings++;
  if (FB_UNLIKELY(session->part != NULL)) fb_part_begin(session, rule, places);
  fb_status status = S_fire_rule(session, rule, places, err);
  session->firing_rule = FB_RULE_NONE;
  session->firing_places = NULL;
  fb_arena_reset(&session->firing_arena);
  fb_arena_reset(&session->scratch);
  status = fb_session_tidy_rule(session, rule, status, err);
  if (clock) session->rule_stats[rule->number].nanos += clock->mono(clock->context) - start;
  if (session->options.output.fired)
    session->options.output.fired(session->options.output.context, session, rule->book,
                                  session->firing);
  return status;
}

/* The next match could not be found. */
static fb_status S_stop(const fb_session *session, const fb_due *due, fb_status status,
                        fb_error *err) {
  char what[100];
  if (status != FB_E_RULE_LIMIT)
    return fb_fail(err, status, "out of memory while a match was looked for");
  if (session->stats.candidates <= session->candidates_end)
    return S_limit(session, due->rule, err, "the time that the session may take is over");
  snprintf(what, sizeof what, "to find a match took more than %llu facts in joins, the limit",
           (unsigned long long)session->options.max_candidates);
  return S_limit(session, due->rule, err, what);
}

static uint64_t S_tick(const fb_due *due) {
  return due->walk ? due->walk->tick : fb_waiting_tick(&due->item);
}

/* Takes what is due off the agenda for good. */
static fb_status S_take(fb_session *session, fb_due *due) {
  if (due->activation) {
    if (due->rule->logical)
      fb_logical_keep(session, due->activation);
    else
      fb_agenda_unlink(session, due->activation);
    return FB_OK;
  }
  fb_activation *kept = NULL;
  if (due->rule->logical) {
    fb_slot_bind_all(session, due->rule, due->places);
    if (!(kept = fb_agenda_new(session, due->rule))) return FB_E_NOMEM;
  }
  fb_lazy_take(session, due);
  due->activation = kept;
  if (kept) fb_logical_keep(session, kept);
  return FB_OK;
}

static fb_status S_fire(fb_session *session, fb_due *due, fb_error *err) {
  fb_status status = fb_fire_rule(session, due->rule, due->places, err);
  if (due->activation && due->rule->logical)
    fb_logical_end(session, due->activation);
  else if (due->activation)
    fb_agenda_free(session, due->activation);
  return status;
}

/* The results of aggregates, which are up to date whenever a rule is chosen. */
static fb_status S_follow(fb_session *session, fb_error *err) {
  fb_status status = fb_aggregates_follow(session);
  if (status == FB_OK) return status;
  if (status == FB_DONE)
    return fb_fail(err, FB_E_RULE_LIMIT,
                   "results of aggregates met more than %llu facts in joins, the limit of the "
                   "session; the others follow next time",
                   (unsigned long long)session->options.max_candidates);
  session->lost = true;
  return fb_fail(err, status, "%s",
                 status == FB_E_NOMEM
                     ? "out of memory while facts were aggregated"
                     : "a change looked at more facts than its limit; reset the session");
}

fb_status fb_session_fire(fb_session *session, uint64_t *ret_firings, fb_error *err) {
  uint64_t fired = 0, max = session->options.max_firings, begun;
  fb_error local;
  fb_due due;
  if (!err) err = &local;
  if (ret_firings) *ret_firings = 0;
  if (session->lost || fb_session_paged(session, NULL) != FB_OK)
    return fb_fail(err, FB_E_RULE_SESSION,
                   "the session lost memory or its store in the middle of a change; reset it");
  bool open = !max; /* only what fires because of this fire counts */
  if (open) max = FIRINGS_MAX;
  session->halted = false;
  fb_status status = S_follow(session, err);
  begun = session->tick;
  while (status == FB_OK && !session->halted) {
    status = S_next(session, &due);
    if (status == FB_DONE) break;
    if (status != FB_OK) {
      S_stop(session, &due, status, err);
      break;
    }
    if (open && S_tick(&due) <= begun) max++;
    bool plain = due.rule->plain && !due.activation && session->emitter.fast;
    status = fb_fire_limits(session, due.rule, fired, max, err);
    session->firing_tick = S_tick(&due);
    if (status == FB_OK && !plain) status = fb_emit_take(session, err);
    if (status == FB_OK && !plain && (status = S_take(session, &due)) != FB_OK)
      fb_fail(err, status, "out of memory while a match was taken");
    if (status != FB_OK) {
      if (!due.walk) fb_agenda_unpop(session, due.item);
      break;
    }
    status =
        plain ? fb_emit_fire(session, due.rule, due.places[0], err) : S_fire(session, &due, err);
    fired++;
    if (ret_firings) *ret_firings = fired;
    if (status == FB_OK) status = S_follow(session, err);
  }
  if (status == FB_DONE) {
    fb_windows_told(session);
    status = fb_session_paged(session, err);
  }
  fb_status told = fb_emit_take(session, status == FB_OK ? err : NULL);
  fb_agenda_trim(session);
  return status == FB_OK ? told : status;
}
