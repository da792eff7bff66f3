/* SPDX-License-Identifier: Apache-2.0
 * Sessions: making them, facts in and out. */
#include "rules/session.h"

#include "data/kernel.h"

/* ── Making and freeing ── */

/* While the session holds fewer facts than it did, what it needs to use their places again may take an eighth more. */
static uint64_t S_most(const fb_session *session) {
  uint64_t max = session->options.max_memory;
  return session->stats.facts < session->stats.facts_peak ? max + max / 8 : max;
}

static void *S_count(void *context, void *ptr, size_t old_size, size_t size) {
  fb_session *session = context;
  if (FB_UNLIKELY(session->bounded) && size > old_size &&
      session->held + (size - old_size) > S_most(session)) {
    session->over = true;
    return NULL;
  }
  void *moved = session->base->resize(session->base->context, ptr, old_size, size);
  if (moved || size == 0) session->held += size - (ptr ? old_size : 0);
  return moved;
}

/* The ruleset's symbols come first and in the same order, so that they have the same numbers in every session. */
static fb_status S_copy_schema(fb_session *session) {
  const fb_ruleset *set = session->set;
  fb_status status =
      fb_symbols_new(&session->allocator, session->options.hash_seed, &session->symbols);
  for (size_t i = 1; i < fb_symbols_count(set->symbols) && status == FB_OK; i++) {
    fb_symbol symbol;
    status =
        fb_symbol_intern(session->symbols, fb_symbol_text(set->symbols, (fb_symbol)i), &symbol);
  }
  if (status == FB_OK)
    status = fb_schema_new(&session->allocator, session->symbols, &session->schema);
  for (uint32_t i = 0; i < fb_schema_count(set->schema) && status == FB_OK; i++) {
    const fb_fact_type *type = fb_schema_type(set->schema, i);
    fb_fact_type *copy;
    uint32_t field;
    if (!type->open) {
      status = fb_schema_declare(session->schema, type->name, type->fields, type->field_count,
                                 &copy, NULL);
      continue;
    }
    status = fb_schema_open(session->schema, type->name, &copy);
    for (uint32_t f = 0; f < type->field_count && status == FB_OK; f++)
      status = fb_fact_type_learn(session->schema, copy, type->fields[f].name, &field);
  }
  return status;
}

static uint32_t S_most_values(const fb_ruleset *set) {
  uint32_t most = 0;
  for (uint32_t r = 0; r < set->rule_count; r++)
    if (set->rules[r].value_count + set->rules[r].action_count > most)
      most = set->rules[r].value_count + set->rules[r].action_count;
  return most + 1;
}

/* What facts fill: everything but symbols and schema. */
static fb_status S_init_state(fb_session *session) {
  const fb_ruleset *set = session->set;
  const fb_allocator *allocator = &session->allocator;
  fb_arena_init(&session->scratch, allocator, 0);
  fb_arena_init(&session->firing_arena, allocator, 0);
  fb_cel_context_init(&session->context, &session->scratch);
  session->context.exact = true;
  session->context.zone = session->options.zone;
  session->context.zone_context = session->options.zone_context;
  session->alphas = fb_alloc_zero(allocator, (set->alpha_count + 1) * sizeof *session->alphas);
  session->indexes = fb_alloc_zero(allocator, (set->index_count + 1) * sizeof *session->indexes);
  session->sorteds = fb_alloc_zero(allocator, (set->sorted_count + 1) * sizeof *session->sorteds);
  session->ports = fb_alloc_zero(allocator, (set->port_count + 1) * sizeof *session->ports);
  session->candidates =
      fb_alloc_zero(allocator, (set->alpha_count + 1) * sizeof *session->candidates);
  session->matched = fb_alloc_zero(allocator, (set->alpha_count + 1) * sizeof *session->matched);
  session->due = fb_alloc_zero(allocator, (set->use_count + 1) * sizeof *session->due);
  session->rule_stats =
      fb_alloc_zero(allocator, (set->rule_count + 1) * sizeof *session->rule_stats);
  session->values = fb_alloc_zero(allocator, S_most_values(set) * sizeof *session->values);
  session->rows = fb_alloc_zero(allocator, S_most_values(set) * sizeof *session->rows);
  session->kernels = fb_kernels_best();
  fb_logical_init(session);
  session->firing_rule = FB_RULE_NONE;
  session->now = fb_absent();
  session->fact_count = 1;
  if (!session->alphas || !session->indexes || !session->sorteds || !session->ports ||
      !session->candidates || !session->matched || !session->due || !session->rule_stats ||
      !session->values || !session->rows)
    return FB_E_NOMEM;
  for (int i = 0; i < FB_RULE_MAX_SLOTS; i++) session->slots[i] = fb_absent();
  if (fb_emit_init(session) != FB_OK || fb_call_init(session) != FB_OK ||
      fb_profile_init(session) != FB_OK)
    return FB_E_NOMEM;
  fb_status status = fb_aggregates_init(session);
  return status == FB_OK ? fb_agenda_init(session) : status;
}

static void S_free_memories(fb_session *session) {
  const fb_allocator *allocator = &session->allocator;
  for (size_t i = 0; i < session->memory_cap; i++) {
    fb_memory *memory = &session->memories[i];
    fb_facts_free(memory->facts);
    fb_free(allocator, memory->places, memory->place_cap * sizeof *memory->places);
    fb_free(allocator, memory->modified, memory->modified_words * sizeof *memory->modified);
  }
  fb_free(allocator, session->memories, session->memory_cap * sizeof *session->memories);
  fb_pager_free(session->pager);
  for (uint32_t i = 0; session->alphas && i < session->set->alpha_count; i++)
    fb_free(allocator, session->alphas[i].bits,
            session->alphas[i].words * sizeof *session->alphas[i].bits);
  for (uint32_t i = 0; session->indexes && i < session->set->index_count; i++)
    fb_index_release(session, i);
  for (uint32_t i = 0; session->sorteds && i < session->set->sorted_count; i++)
    fb_sorted_release(session, i);
  for (uint32_t i = 0; session->ports && i < session->set->port_count; i++) {
    fb_port_memory *port = &session->ports[i];
    for (size_t p = 0; p < port->page_count; p++)
      fb_free(allocator, port->pages[p], FB_PORT_PAGE * sizeof **port->pages);
    fb_free(allocator, port->pages, port->page_count * sizeof *port->pages);
  }
}

static void S_release_state(fb_session *session) {
  const fb_ruleset *set = session->set;
  const fb_allocator *allocator = &session->allocator;
  fb_emit_release(session);
  fb_sift_release(session);
  fb_agenda_release(session);
  fb_call_release(session);
  fb_profile_release(session);
  fb_logical_release(session);
  fb_aggregates_release(session);
  S_free_memories(session);
  fb_free(allocator, session->alphas, (set->alpha_count + 1) * sizeof *session->alphas);
  fb_free(allocator, session->indexes, (set->index_count + 1) * sizeof *session->indexes);
  fb_free(allocator, session->sorteds, (set->sorted_count + 1) * sizeof *session->sorteds);
  fb_free(allocator, session->ports, (set->port_count + 1) * sizeof *session->ports);
  fb_free(allocator, session->changed, session->changed_words * sizeof *session->changed);
  fb_free(allocator, session->candidates, (set->alpha_count + 1) * sizeof *session->candidates);
  fb_free(allocator, session->matched, (set->alpha_count + 1) * sizeof *session->matched);
  fb_free(allocator, session->due, (set->use_count + 1) * sizeof *session->due);
  fb_free(allocator, session->rule_stats, (set->rule_count + 1) * sizeof *session->rule_stats);
  fb_free(allocator, session->values, S_most_values(set) * sizeof *session->values);
  fb_free(allocator, session->rows, S_most_values(set) * sizeof *session->rows);
  fb_memory_release(session);
  fb_free(allocator, session->stash, session->stash_cap * sizeof *session->stash);
  fb_free(allocator, session->log, session->log_cap * sizeof *session->log);
  fb_free(allocator, session->log_starts, session->log_start_cap * sizeof *session->log_starts);
  fb_cel_context_release(&session->context);
  fb_arena_release(&session->scratch);
  fb_arena_release(&session->firing_arena);
}

fb_status fb_session_begin(fb_session *session) {
  const fb_ruleset *set = session->set;
  session->strategy = session->options.strategy ? session->options.strategy : set->strategy;
  session->seed = session->options.strategy ? session->options.seed : set->seed;
  session->queued = set->queued || session->strategy != FB_STRATEGY_DEPTH;
  fb_status status = S_copy_schema(session);
  if (status != FB_OK) return status;
  session->texts = fb_symbols_save(session->symbols);
  return S_init_state(session);
}

void fb_session_end(fb_session *session) {
  S_release_state(session);
  fb_schema_free(session->schema);
  fb_symbols_free(session->symbols);
}

fb_status fb_session_new_bare(const fb_ruleset *ruleset, const fb_session_options *options,
                              const fb_allocator *allocator, fb_session **ret_session) {
  if (options && options->stateless &&
      (!fb_ruleset_stateless(ruleset, NULL) || options->strategy > FB_STRATEGY_DEPTH))
    return FB_E_RULE_STATEFUL;
  if (fb_ruleset_check_calls(ruleset, options ? options->calculators : NULL,
                             options ? options->calculator_count : 0, NULL) != FB_OK)
    return FB_E_RULE_CALL;
  if (!allocator) allocator = fb_allocator_system();
  fb_session *session = fb_alloc_zero(allocator, sizeof *session);
  if (!session) return FB_E_NOMEM;
  session->base = allocator;
  session->allocator = (fb_allocator){S_count, session};
  session->set = ruleset;
  if (options) session->options = *options;
  fb_status status = fb_session_begin(session);
  if (status != FB_OK) {
    fb_session_free(session);
    return status;
  }
  *ret_session = session;
  return FB_OK;
}

fb_status fb_session_new(const fb_ruleset *ruleset, const fb_session_options *options,
                         const fb_allocator *allocator, fb_session **ret_session) {
  fb_session *session;
  fb_status status = fb_session_new_bare(ruleset, options, allocator, &session);
  if (status != FB_OK) return status;
  status = fb_match_start(session);
  if (status == FB_OK)
    *ret_session = session;
  else
    fb_session_free(session);
  return status;
}

void fb_session_free(fb_session *session) {
  if (!session) return;
  fb_session_end(session);
  fb_free(session->base, session, sizeof *session);
}

fb_status fb_session_reset(fb_session *session) {
  fb_session kept = *session;
  S_release_state(session);
  *session = (fb_session){.base = kept.base,
                          .allocator = kept.allocator,
                          .held = session->held,
                          .set = kept.set,
                          .options = kept.options,
                          .strategy = kept.strategy,
                          .seed = kept.seed,
                          .queued = kept.queued,
                          .symbols = kept.symbols,
                          .texts = kept.texts,
                          .schema = kept.schema};
  fb_status status = S_init_state(session);
  if (status == FB_OK) status = fb_match_start(session);
  session->lost = status != FB_OK;
  return status;
}

const fb_ruleset *fb_session_ruleset(const fb_session *session) {
  return session->set;
}

fb_schema *fb_session_schema(fb_session *session) {
  return session->schema;
}

void fb_session_set_max_firings(fb_session *session, uint64_t max) {
  session->options.max_firings = max;
}

void fb_session_set_deadline(fb_session *session, int64_t deadline) {
  session->options.deadline = deadline;
}

bool fb_session_halted(const fb_session *session) {
  return session->halted;
}

/* ── Changes ── */

fb_status fb_session_ready(const fb_session *session, fb_error *err) {
  if (fb_session_paged(session, NULL) != FB_OK)
    return fb_fail(err, FB_E_RULE_SESSION,
                   "the store of facts has failed; what was read since is lost; reset the session");
  if (!session->lost) return FB_OK;
  return fb_fail(err, FB_E_RULE_SESSION,
                 "the session ran out of memory in the middle of a change; reset it");
}

/* A change that ended in the middle. */
static fb_status S_lose(fb_session *session, fb_status status, fb_error *err) {
  session->lost = true;
  if (status == FB_E_RULE_LIMIT)
    return fb_fail(err, status, "a change looked at more facts than its limit; reset the session");
  return fb_fail(err, status, "out of memory while facts were matched");
}

/* A change that failed; one that was refused leaves the session as it was. */
static fb_status S_end(fb_session *session, fb_status status, fb_error *err) {
  if (!session->refused) return S_lose(session, status, err);
  if (status == FB_E_RULE_LIMIT)
    return fb_fail(err, status,
                   "the change meets more than %llu facts in joins, the limit of the session",
                   (unsigned long long)session->options.max_candidates);
  return fb_fail(err, status, "out of memory before a change was made");
}

/* From here on, until it is taken back, what grows past max_memory is refused, as if there were no more. */
static bool S_bound(fb_session *session, bool bounded) {
  bool before = session->bounded;
  session->bounded = bounded && session->options.max_memory;
  return before;
}

static fb_status S_tell_bound(fb_session *session, fb_status status, fb_error *err) {
  bool over = session->over;
  session->over = false;
  if (status != FB_E_NOMEM || !over) return status;
  return fb_fail(err, FB_E_RULE_LIMIT, "the session would take more than %llu bytes, its limit",
                 (unsigned long long)session->options.max_memory);
}

static fb_status S_insert(fb_session *session, uint32_t place, fb_error *err) {
  bool flat = fb_flat_may(session, session->facts[place].type);
  fb_status status = flat ? fb_flat_insert(session, place) : fb_match_insert(session, place);
  if (status == FB_E_RULE_LIMIT && session->stats.candidates > session->candidates_end)
    fb_fail(err, status, "the fact meets more than %llu others in joins, the limit of the session",
            (unsigned long long)session->options.max_candidates);
  else if (status == FB_E_RULE_LIMIT)
    fb_fail(err, status, "%llu activations wait, the limit of the session",
            (unsigned long long)session->options.max_activations);
  else if (status != FB_OK)
    fb_fail(err, status, "out of memory while a fact was matched");
  return status;
}

fb_status fb_session_insert_row(fb_session *session, uint32_t type, uint32_t row,
                                uint32_t *ret_place, fb_error *err) {
  fb_memory *memory = &session->memories[type];
  uint32_t place;
  uint64_t max = session->options.max_facts;
  fb_status status = FB_OK;
  bool before = S_bound(session, true);
  if (max && session->stats.facts >= max)
    status = fb_fail(err, FB_E_RULE_LIMIT, "the session holds %llu facts, its limit",
                     (unsigned long long)max);
  else if ((status = fb_memory_place(session, type, row, &place)) != FB_OK)
    fb_fail(err, status, "no room for another fact");
  if (status != FB_OK)
    fb_memory_free_row(session, memory, row);
  else if ((status = S_insert(session, place, err)) != FB_OK)
    fb_memory_unplace(session, place);
  session->bounded = before;
  status = S_tell_bound(session, status, err);
  if (status != FB_OK) return status;
  session->stats.asserted++;
  *ret_place = place;
  session->bounded = false;
  status = fb_expiry_enter(session, place);
  if (status == FB_OK) status = fb_logical_withdraw(session);
  session->bounded = before;
  return status == FB_OK ? FB_OK : S_lose(session, status, err);
}

fb_status fb_session_fit(fb_session *session, fb_memory *memory, uint32_t field, fb_value *value,
                         fb_error *err) {
  const fb_fact_type *type = fb_facts_type(memory->facts);
  static const uint8_t kinds[] = {FB_ABSENT,   FB_BOOL,   FB_INT,   FB_UINT,
                                  FB_DOUBLE,   FB_STRING, FB_BYTES, FB_TIMESTAMP,
                                  FB_DURATION, FB_LIST,   FB_MAP};
  fb_field_type want = type->fields[field].type;
  if (want == FB_FIELD_ANY || value->kind == FB_ABSENT || value->kind == kinds[want]) return FB_OK;
  uint32_t row;
  fb_status status = fb_memory_new_row(session, memory, &row);
  if (status != FB_OK) return fb_fail(err, status, "out of memory");
  status = fb_facts_set(memory->facts, row, field, *value, err);
  if (status == FB_OK) *value = fb_facts_get(memory->facts, row, field);
  /* A declared field that converts is a number or a time: the value needs the row no longer. */
  fb_memory_free_row(session, memory, row);
  return status;
}

fb_status fb_session_change(fb_session *session, uint32_t place, const uint32_t *fields,
                            const fb_value *values, uint32_t count, fb_error *err) {
  fb_expiry_leave(session, place);
  fb_status status = fb_match_modify(session, place, fields, values, count, err);
  if ((status == FB_OK || status == FB_DONE) && fb_expiry_enter(session, place) != FB_OK)
    status = FB_E_NOMEM;
  if (status == FB_DONE) return FB_OK;
  if (status != FB_OK) return S_end(session, status, err);
  session->stats.modified++;
  fb_logical_changed(session, place);
  if (session->firing_rule != FB_RULE_NONE) {
    if (session->options.explain && fb_why_changed(session, place) != FB_OK)
      return S_lose(session, FB_E_NOMEM, err);
    fb_origin *origin = fb_memory_origin(session, place);
    if (!origin) return S_lose(session, FB_E_NOMEM, err);
    origin->changed_by = session->firing;
  }
  status = fb_logical_withdraw(session);
  return status == FB_OK ? FB_OK : S_lose(session, status, err);
}

fb_status fb_session_remove(fb_session *session, uint32_t place, fb_error *err) {
  fb_status status = fb_logical_remove(session, place);
  if (status != FB_OK) return S_end(session, status, err);
  status = fb_logical_withdraw(session);
  return status == FB_OK ? FB_OK : S_lose(session, status, err);
}

/* ── Facts in ── */

/* Sets the fields of a new row; on failure the row is free again. */
static fb_status S_fill(fb_session *session, fb_fact_type *type, fb_memory *memory,
                        const fb_map *fields, uint32_t *ret_row, fb_error *err) {
  uint32_t row, field;
  fb_status status = fb_memory_new_row(session, memory, &row);
  if (status != FB_OK) return fb_fail(err, status, "no memory for another fact");
  for (uint32_t i = 0; fields && i < fields->len && status == FB_OK; i++) {
    if (fields->entries[i].key.kind != FB_STRING) {
      status = fb_fail(err, FB_E_FACT_FIELD, "a field's name is text, not %s",
                       fb_kind_name(fields->entries[i].key.kind));
      break;
    }
    fb_slice name = fb_value_text(fields->entries[i].key);
    status = fb_fact_type_learn(session->schema, type, name, &field);
    if (status != FB_OK)
      fb_fail(err, status, "fact type `%.*s` has no field `%.*s`", (int)type->name.len,
              type->name.ptr, (int)(name.len > 80 ? 80 : name.len), name.ptr);
    else
      status = fb_facts_set(memory->facts, row, field, fields->entries[i].value, err);
  }
  if (status != FB_OK) {
    fb_memory_free_row(session, memory, row);
    return status;
  }
  *ret_row = row;
  return FB_OK;
}

static fb_status S_refuse(const fb_fact_type *type, fb_error *err) {
  return fb_fail(err, FB_E_FACT_TYPE, "facts of type `%.*s` are the session's own",
                 (int)type->name.len, type->name.ptr);
}

static fb_status S_assert(fb_session *session, fb_slice type_name, const fb_map *fields,
                          fb_fact_id *ret_id, fb_error *err) {
  fb_fact_type *type;
  fb_memory *memory;
  uint32_t row = 0, place;
  fb_status status = fb_session_ready(session, err);
  if (status != FB_OK) return status;
  if (!type_name.len) return fb_fail(err, FB_E_FACT_TYPE, "a fact needs a type");
  status = fb_schema_open(session->schema, type_name, &type);
  if (status == FB_OK && fb_type_is_hidden(session->set, type->id)) return S_refuse(type, err);
  if (status == FB_OK) status = fb_memory_of(session, type, &memory);
  if (status != FB_OK) return fb_fail(err, status, "no memory for another fact type");
  status = S_fill(session, type, memory, fields, &row, err);
  if (status != FB_OK) return status;
  if (session->options.stateless) {
    if (ret_id) *ret_id = 0;
    status = fb_stateless_rows(session, memory, memory->facts, row, 1, NULL, err);
    fb_facts_clear(memory->facts); /* the row was the only one */
    memory->free_row = 0;
    return status;
  }
  status = fb_session_insert_row(session, type->id, row, &place, err);
  if (status == FB_OK && ret_id) *ret_id = fb_place_id(session, place);
  return fb_session_tidy(session, type->id, status, err);
}

fb_status fb_session_assert(fb_session *session, fb_slice type_name, const fb_map *fields,
                            fb_fact_id *ret_id, fb_error *err) {
  S_bound(session, !session->options.stateless);
  fb_status status = S_assert(session, type_name, fields, ret_id, err);
  session->bounded = false;
  return S_tell_bound(session, status, err);
}

static fb_status S_copy_row(fb_session *session, fb_memory *memory, const fb_facts *facts,
                            uint32_t from, uint32_t *ret_row) {
  fb_status status;
  if (!memory->free_row) {
    uint32_t row;
    if ((status = fb_memory_new_row(session, memory, &row)) != FB_OK) return status;
    fb_facts_drop_last(memory->facts); /* there is room now in the tables beside it */
    return fb_facts_add_row(memory->facts, facts, from, ret_row);
  }
  if ((status = fb_memory_new_row(session, memory, ret_row)) != FB_OK) return status;
  uint32_t fields = fb_facts_type(facts)->field_count;
  for (uint32_t field = 0; field < fields && status == FB_OK; field++) {
    fb_value value = fb_facts_get(facts, from, field);
    if (value.kind != FB_ABSENT) status = fb_facts_set(memory->facts, *ret_row, field, value, NULL);
  }
  if (status != FB_OK) fb_memory_free_row(session, memory, *ret_row);
  return status;
}

static fb_status S_assert_rows(fb_session *session, const fb_facts *facts, uint32_t first,
                               uint32_t count, fb_fact_id *ids, uint32_t *ret_done, fb_error *err) {
  fb_memory *memory;
  if (ret_done) *ret_done = 0;
  fb_status status = fb_session_ready(session, err);
  if (status != FB_OK) return status;
  const fb_fact_type *type = fb_facts_type(facts);
  if (fb_type_is_hidden(session->set, type->id)) return S_refuse(type, err);
  status = fb_memory_of(session, type, &memory);
  if (status != FB_OK) return fb_fail(err, status, "no memory for another fact type");
  if (session->options.stateless) {
    if (ids) memset(ids, 0, count * sizeof *ids);
    return fb_stateless_rows(session, memory, facts, first, count, ret_done, err);
  }
  for (uint32_t i = 0; i < count; i++) {
    uint32_t row, place, many = 0;
    status = fb_flat_assert(session, memory, facts, first + i, count - i, ids ? ids + i : NULL,
                            &many, err);
    i += many;
    if (ret_done) *ret_done = i;
    if (status != FB_OK) return status;
    if (i == count) break;
    status = S_copy_row(session, memory, facts, first + i, &row);
    if (status != FB_OK) return fb_fail(err, status, "no memory for another fact");
    status = fb_session_insert_row(session, type->id, row, &place, err);
    if (status != FB_OK) return status;
    if (ids) ids[i] = fb_place_id(session, place);
    if (ret_done) *ret_done = i + 1;
    fb_session_trim(session);
  }
  return fb_session_tidy(session, type->id, FB_OK, err);
}

fb_status fb_session_assert_rows(fb_session *session, const fb_facts *facts, uint32_t first,
                                 uint32_t count, fb_fact_id *ids, uint32_t *ret_done,
                                 fb_error *err) {
  S_bound(session, !session->options.stateless);
  fb_status status = S_assert_rows(session, facts, first, count, ids, ret_done, err);
  session->bounded = false;
  return S_tell_bound(session, status, err);
}

/* Field numbers and fitting values of a map. */
static fb_status S_resolve(fb_session *session, uint32_t place, const fb_map *fields,
                           uint32_t *numbers, fb_value *values, fb_error *err) {
  fb_fact_type *type = fb_schema_type(session->schema, session->facts[place].type);
  for (uint32_t i = 0; i < fields->len; i++) {
    if (fields->entries[i].key.kind != FB_STRING)
      return fb_fail(err, FB_E_FACT_FIELD, "a field's name is text");
    fb_slice name = fb_value_text(fields->entries[i].key);
    fb_status status = fb_fact_type_learn(session->schema, type, name, &numbers[i]);
    if (status != FB_OK)
      return fb_fail(err, status, "fact type `%.*s` has no field `%.*s`", (int)type->name.len,
                     type->name.ptr, (int)(name.len > 80 ? 80 : name.len), name.ptr);
    values[i] = fields->entries[i].value;
    status = fb_session_fit(session, &session->memories[type->id], numbers[i], &values[i], err);
    if (status != FB_OK) return status;
  }
  return FB_OK;
}

fb_status fb_session_modify(fb_session *session, fb_fact_id id, const fb_map *fields,
                            fb_error *err) {
  fb_status status = fb_session_ready(session, err);
  if (status != FB_OK) return status;
  uint32_t place = fb_memory_find(session, id);
  if (!place) return fb_fail(err, FB_E_RULE_FACT, "there is no fact %llu", (unsigned long long)id);
  uint32_t type = session->facts[place].type;
  fb_arena_mark mark = fb_arena_save(&session->firing_arena);
  uint32_t *numbers = fb_arena_alloc(&session->firing_arena, (fields->len + 1) * sizeof *numbers);
  fb_value *values = fb_arena_alloc(&session->firing_arena, (fields->len + 1) * sizeof *values);
  if (!numbers || !values) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  if (status == FB_OK) status = S_resolve(session, place, fields, numbers, values, err);
  if (status == FB_OK)
    status = fb_session_change(session, place, numbers, values, fields->len, err);
  fb_arena_rewind(&session->firing_arena, mark);
  return fb_session_tidy(session, type, status, err);
}

fb_status fb_session_retract(fb_session *session, fb_fact_id id, fb_error *err) {
  fb_status status = fb_session_ready(session, err);
  if (status != FB_OK) return status;
  uint32_t place = fb_memory_find(session, id);
  if (!place) return fb_fail(err, FB_E_RULE_FACT, "there is no fact %llu", (unsigned long long)id);
  uint32_t type = session->facts[place].type;
  status = fb_session_remove(session, place, err);
  return fb_session_tidy(session, type, status, err);
}

/* ── Facts out ── */

uint64_t fb_session_count(const fb_session *session, fb_slice type_name) {
  if (!type_name.len) return session->stats.facts;
  const fb_fact_type *type = fb_schema_find(session->schema, type_name);
  return type && type->id < session->memory_cap ? session->memories[type->id].live : 0;
}

fb_value fb_session_fact(const fb_session *session, fb_fact_id id) {
  uint32_t place = fb_memory_find(session, id);
  return place ? fb_place_value(session, place) : fb_absent();
}

static fb_status S_query(fb_session *session, const fb_fact_type *type,
                         const fb_cel_program *program, fb_query_fn *fn, void *context) {
  fb_status status = FB_OK;
  fb_arena arena;
  fb_cel_context eval;
  fb_arena_init(&arena, &session->allocator, 0);
  fb_cel_context_init(&eval, &arena);
  eval.exact = true;
  eval.zone = session->options.zone;
  eval.zone_context = session->options.zone_context;
  for (uint32_t place = 1; place < session->fact_count && status == FB_OK; place++) {
    const fb_fact *fact = &session->facts[place];
    if (fact->row == FB_RULE_NONE || (type && fact->type != type->id) ||
        fb_type_is_hidden(session->set, fact->type))
      continue;
    fb_value value = fb_place_value(session, place), holds = fb_bool(true);
    if (program && fb_cel_eval(program, &value, &eval, &holds, NULL) != FB_OK)
      holds = fb_bool(false);
    fb_arena_reset(&arena);
    eval.steps = 10000000;
    if (holds.kind == FB_BOOL && holds.as.b)
      status = fn(context, session, fb_place_id(session, place), value);
    fb_session_trim(session);
    if (status == FB_OK) status = fb_session_paged(session, NULL);
  }
  fb_cel_context_release(&eval);
  fb_arena_release(&arena);
  return status;
}

fb_status fb_session_query(fb_session *session, fb_slice type_name, fb_slice condition,
                           fb_query_fn *fn, void *context, fb_errors *errors) {
  const fb_fact_type *type = type_name.len ? fb_schema_find(session->schema, type_name) : NULL;
  fb_cel_program *program = NULL;
  fb_cel_env *env = NULL;
  fb_status status = FB_OK;
  if (fb_session_paged(session, NULL) != FB_OK) return FB_E_RULE_SESSION;
  if (type_name.len && !type) return FB_OK;
  if (condition.len) {
    fb_cel_options options = {.name = "query", .want = fb_cel_simple(FB_CEL_BOOL)};
    status = fb_cel_env_new(&session->allocator, &env);
    const fb_cel_type *kind = fb_cel_simple(FB_CEL_DYN);
    if (status == FB_OK && type && !(kind = fb_cel_env_fact(env, type))) status = FB_E_NOMEM;
    uint32_t slot;
    if (status == FB_OK) status = fb_cel_env_add(env, FB_SLICE("fact"), kind, &slot);
    if (status == FB_OK) status = fb_cel_compile(env, condition, &options, &program, errors);
    fb_cel_env_free(env);
  }
  if (status == FB_OK) status = S_query(session, type, program, fn, context);
  fb_cel_program_free(program);
  return status;
}

/* ── Statistics ── */

fb_session_stats fb_session_statistics(const fb_session *session) {
  fb_session_stats stats = session->stats;
  stats.agenda = fb_agenda_count((fb_session *)session);
  stats.memory = session->held;
  stats.firings = session->firing;
  stats.texts = fb_symbols_memory(session->symbols);
  if (session->pager) stats.pages = session->pager->stats;
  return stats;
}

fb_rule_stats fb_session_rule_statistics(const fb_session *session, size_t rule_number) {
  const fb_ruleset *set = session->set;
  fb_rule_stats sum = {0};
  for (uint32_t r = set->books[rule_number];
       r < set->rule_count && set->rules[r].book == rule_number; r++) {
    sum.activations += session->rule_stats[r].activations;
    sum.firings += session->rule_stats[r].firings;
    sum.errors += session->rule_stats[r].errors;
    sum.nanos += session->rule_stats[r].nanos;
  }
  return sum;
}
