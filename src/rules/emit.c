/* SPDX-License-Identifier: Apache-2.0
 *
 * Emission. What a `with` reads is told when the rulebook is loaded: a constant, a field of the fact, or else a
 * template. A rule with one condition that only emits is *plain*: it fires by copying values, without the VM and
 * without maps. Decisions wait as records until there are many of them, or until something else is to happen.
 */
#include "cel/template.h"
#include "data/facts_internal.h"
#include "rules/session.h"

enum {
  MOST_RECORDS = 16, /* of one firing of a plain rule */
  MOST_VALUES = 256,
  ARENA_MAX = 4 << 20 /* bytes that values of records which wait may take */
};

/* ── The plan ── */

static bool S_is_plain(const fb_rule *rule) {
  if (rule->condition_count != 1 || rule->positive_count != 1 || rule->derived || rule->guarded ||
      rule->conditions[0].kind != FB_WHEN_FACT || !rule->action_count ||
      rule->action_count > MOST_RECORDS || rule->value_count > MOST_VALUES)
    return false;
  for (uint32_t a = 0; a < rule->action_count; a++)
    if (rule->actions[a].kind != FB_THEN_EMIT) return false;
  return true;
}

static void S_plan_value(const fb_rule_field *field, bool plain, fb_emit_value *value) {
  uint32_t slot;
  *value = (fb_emit_value){.kind = FB_EMIT_TEMPLATE, .template_ = field->template_};
  if (fb_template_constant(field->template_, &value->value))
    value->kind = FB_EMIT_CONST;
  else if (plain && fb_template_field(field->template_, &slot, &value->field))
    value->kind = FB_EMIT_FIELD;
}

static bool S_plan_emit(fb_ruleset *set, fb_rule *rule, fb_rule_action *action) {
  fb_arena *arena = &set->arena;
  fb_slice *names = fb_arena_alloc(arena, (action->field_count + 1) * sizeof *names);
  fb_emit_value *values = fb_arena_alloc(arena, (action->field_count + 1) * sizeof *values);
  if (!names || !values) return false;
  for (uint32_t f = 0; f < action->field_count; f++) {
    names[f] = action->fields[f].name;
    S_plan_value(&action->fields[f], rule->plain, &values[f]);
  }
  action->emit = set->emit_count;
  set->emits[set->emit_count++] = (fb_rule_emit){.info = {.type = action->name,
                                                          .rule = rule->info.name,
                                                          .rule_number = rule->book,
                                                          .line = action->node->line,
                                                          .field_count = action->field_count,
                                                          .fields = names},
                                                 .values = values};
  return true;
}

bool fb_rule_plan_emits(fb_ruleset *set) {
  uint32_t count = 0;
  for (uint32_t r = 0; r < set->rule_count; r++) count += set->rules[r].action_count;
  set->emits = fb_arena_alloc(&set->arena, (count + 1) * sizeof *set->emits);
  if (!set->emits) return false;
  for (uint32_t r = 0; r < set->rule_count; r++) {
    fb_rule *rule = &set->rules[r];
    rule->plain = S_is_plain(rule);
    rule->first_emit = set->emit_count;
    for (uint32_t a = 0; a < rule->action_count; a++)
      if (rule->actions[a].kind == FB_THEN_EMIT && !S_plan_emit(set, rule, &rule->actions[a]))
        return false;
  }
  return true;
}

size_t fb_ruleset_emit_count(const fb_ruleset *ruleset) {
  return ruleset->emit_count;
}

fb_emit_info fb_ruleset_emit(const fb_ruleset *ruleset, size_t number) {
  return ruleset->emits[number].info;
}

/* ── What waits to be handed out ── */

fb_status fb_emit_init(fb_session *session) {
  fb_emitter *emitter = &session->emitter;
  const fb_session_options *options = &session->options;
  emitter->records = fb_alloc(&session->allocator, FB_EMIT_RECORDS * sizeof *emitter->records);
  emitter->values = fb_alloc(&session->allocator, FB_EMIT_VALUES * sizeof *emitter->values);
  emitter->fast = !options->explain && !options->clock && !options->store && !options->output.fired;
  return emitter->records && emitter->values ? FB_OK : FB_E_NOMEM;
}

void fb_emit_release(fb_session *session) {
  fb_emitter *emitter = &session->emitter;
  fb_free(&session->allocator, emitter->records, FB_EMIT_RECORDS * sizeof *emitter->records);
  fb_free(&session->allocator, emitter->values, FB_EMIT_VALUES * sizeof *emitter->values);
  *emitter = (fb_emitter){0};
}

void fb_emit_flush(fb_session *session) {
  fb_emitter *emitter = &session->emitter;
  const fb_session_output *output = &session->options.output;
  if (!emitter->count || !output->decisions) return;
  fb_status status = output->decisions(output->context, session, emitter->records, emitter->count);
  if (emitter->told == FB_OK) emitter->told = status;
  emitter->count = emitter->value_count = 0;
  fb_arena_reset(&session->firing_arena);
}

fb_status fb_emit_take(fb_session *session, fb_error *err) {
  fb_emit_flush(session);
  fb_status told = session->emitter.told;
  if (told == FB_OK) return FB_OK;
  session->emitter.told = FB_OK;
  return fb_fail(err, told, "what received a decision failed");
}

/* ── Handing out ── */

/* `entries` has room for the fields. */
static fb_status S_decision(fb_session *session, const fb_rule_emit *emit, const fb_value *values,
                            fb_entry *entries) {
  const fb_session_output *output = &session->options.output;
  uint32_t count = emit->info.field_count;
  for (uint32_t f = 0; f < count; f++)
    entries[f] = (fb_entry){fb_string(emit->info.fields[f]), values[f]};
  fb_map fields = {.len = count, .cap = count, .entries = entries};
  fb_decision decision = {.type = emit->info.type,
                          .fields = &fields,
                          .rule = emit->info.rule,
                          .rule_number = emit->info.rule_number,
                          .line = emit->info.line,
                          .firing = session->firing};
  return output->decision(output->context, session, &decision);
}

fb_status fb_emit_hand_out(fb_session *session, const fb_rule_action *action, fb_fact_id fact,
                           const fb_value *values) {
  const fb_session_output *output = &session->options.output;
  const fb_rule_emit *emit = &session->set->emits[action->emit];
  session->stats.decisions++;
  if (output->decisions) {
    fb_decision_record record = {.fact = fact,
                                 .firing = session->firing,
                                 .values = values,
                                 .emit = action->emit,
                                 .rule_number = emit->info.rule_number};
    return output->decisions(output->context, session, &record, 1);
  }
  if (!output->decision) return FB_OK;
  fb_entry *entries =
      fb_arena_alloc(&session->firing_arena, (action->field_count + 1) * sizeof *entries);
  return entries ? S_decision(session, emit, values, entries) : FB_E_NOMEM;
}

/* ── Plain rules ── */

static bool S_eval(fb_session *session, uint32_t place, const fb_template *template_,
                   fb_value *ret) {
  fb_cel_context *context = &session->context;
  session->slots[0] = fb_place_value(session, place);
  context->arena = &session->firing_arena;
  context->steps = session->options.max_steps ? session->options.max_steps : 10000000;
  fb_status status = fb_template_eval(template_, session->slots, context, ret, NULL);
  context->arena = &session->scratch;
  return status == FB_OK;
}

/* False if one cannot be had: then the rule is to fire the long way, which tells why. */
static bool S_values(fb_session *session, const fb_rule *rule, uint32_t place, fb_value *out) {
  const fb_fact *fact = &session->facts[place];
  const fb_facts *facts = session->memories[fact->type].facts;
  const fb_rule_emit *emit = &session->set->emits[rule->first_emit];
  for (uint32_t a = 0; a < rule->action_count; a++, emit++)
    for (uint32_t f = 0; f < emit->info.field_count; f++, out++) {
      const fb_emit_value *value = &emit->values[f];
      if (value->kind == FB_EMIT_CONST)
        *out = value->value;
      else if (value->kind == FB_EMIT_FIELD)
        *out = fb_facts_cell(facts, fact->row, value->field);
      else if (!S_eval(session, place, value->template_, out))
        return false;
      if (FB_UNLIKELY(out->kind == FB_ABSENT)) return false;
    }
  return true;
}

static void S_record(fb_session *session, const fb_rule *rule, uint32_t place) {
  fb_emitter *emitter = &session->emitter;
  fb_fact_id id = session->options.stateless ? (fb_fact_id)session->facts[place].row + 1
                                             : fb_place_id(session, place);
  for (uint32_t a = 0; a < rule->action_count; a++) {
    uint32_t emit = rule->first_emit + a;
    emitter->records[emitter->count++] =
        (fb_decision_record){.fact = id,
                             .firing = session->firing,
                             .values = emitter->values + emitter->value_count,
                             .emit = emit,
                             .rule_number = rule->book};
    emitter->value_count += session->set->emits[emit].info.field_count;
  }
}

/* One call a decision. */
static void S_tell(fb_session *session, const fb_rule *rule, uint32_t place) {
  fb_emitter *emitter = &session->emitter;
  const fb_value *values = emitter->values;
  session->firing_rule = rule->number;
  session->firing_places = &place;
  for (uint32_t a = 0; a < rule->action_count; a++) {
    const fb_rule_emit *emit = &session->set->emits[rule->first_emit + a];
    fb_entry some[16], *entries = emit->info.field_count <= 16
                                      ? some
                                      : fb_arena_alloc(&session->firing_arena,
                                                       emit->info.field_count * sizeof *entries);
    fb_status status = entries ? S_decision(session, emit, values, entries) : FB_E_NOMEM;
    if (emitter->told == FB_OK) emitter->told = status;
    values += emit->info.field_count;
  }
  session->firing_rule = FB_RULE_NONE;
  session->firing_places = NULL;
}

fb_status fb_emit_fire(fb_session *session, const fb_rule *rule, uint32_t place, fb_error *err) {
  fb_emitter *emitter = &session->emitter;
  const fb_session_output *output = &session->options.output;
  if (FB_UNLIKELY(!S_values(session, rule, place, emitter->values + emitter->value_count))) {
    fb_emit_flush(session);
    fb_status status = fb_fire_rule(session, rule, &place, err),
              told = fb_emit_take(session, status == FB_OK ? err : NULL);
    return status == FB_OK ? told : status;
  }
  session->firing++;
  session->rule_stats[rule->number].firings++;
  session->stats.decisions += rule->action_count;
  if (output->decisions) {
    S_record(session, rule, place);
    bool full = emitter->count > FB_EMIT_RECORDS - MOST_RECORDS ||
                emitter->value_count > FB_EMIT_VALUES - MOST_VALUES ||
                session->firing_arena.held > ARENA_MAX;
    return FB_UNLIKELY(full) ? fb_emit_take(session, err) : FB_OK;
  }
  if (output->decision) S_tell(session, rule, place);
  if (session->firing_arena.next) fb_arena_reset(&session->firing_arena);
  return emitter->told == FB_OK ? FB_OK : fb_emit_take(session, err);
}
