/* SPDX-License-Identifier: Apache-2.0
 *
 * Another rulebook for a session that goes on. Numbers of types, fields, texts, rules and alphas are those of a ruleset, so the
 * state is made anew beside the old one, and the facts are carried over with their ids. A rule goes on if its conditions are
 * the same: what waits of it is carried, and what has fired is not matched again. Rules that are new are matched with all
 * facts, as one change. If anything fails the old state is put back as it was.
 */
#include "rules/aggregate.h"
#include "rules/session.h"

#include <stdlib.h>

typedef struct S_swap {
  fb_session *from, *to;
  fb_arena arena;
  uint32_t *rules;      /* by rule of `from`: that which goes on in its place; NONE: none does */
  bool *carried;        /* by rule of `to` */
  uint32_t *ports;      /* by port of `from` */
  fb_symbol *symbols;   /* by symbol of `from`; 0: not known yet */
  uint32_t *types;      /* by type of `from`; NONE: not known yet */
  uint32_t **fields;    /* by type and field of `from`; the same */
  uint32_t *aggregates; /* by aggregate of `from`, as rules */
  bool *followed;       /* by aggregate of `to`: it goes on */
  uint32_t *unfounded;  /* places of logical facts */
  size_t unfounded_count;
  fb_session_stats stats; /* of `from`, as they were */
  fb_error *err;
} S_swap;

static fb_status S_no_memory(const S_swap *s) {
  return fb_fail(s->err, FB_E_NOMEM, "no memory to swap the rulebook");
}

static uint32_t *S_numbers(S_swap *s, size_t count) {
  uint32_t *numbers = fb_arena_alloc(&s->arena, (count + 1) * sizeof *numbers);
  if (numbers) memset(numbers, 0xff, (count + 1) * sizeof *numbers);
  return numbers;
}

/* ── Which rules go on ── */

static int S_by_name(const void *pa, const void *pb) {
  const fb_field *a = *(const fb_field *const *)pa, *b = *(const fb_field *const *)pb;
  size_t len = a->name.len < b->name.len ? a->name.len : b->name.len;
  int order = len ? memcmp(a->name.ptr, b->name.ptr, len) : 0;
  return order ? order : a->name.len < b->name.len ? -1 : a->name.len > b->name.len;
}

/* The declared fields that the condition reads, with their types, in whatever order they are declared. */
static bool S_write_fields(const fb_rule_condition *c, const fb_fact_type *type, fb_arena *arena,
                           fb_buf *out) {
  const fb_field **read = fb_arena_alloc(arena, (type->field_count + 1) * sizeof *read);
  uint32_t count = 0;
  if (!read) return false;
  for (uint32_t f = 0; f < type->field_count && !type->open; f++)
    if (c->watch_all || (f / 64 < c->watched_words && (c->watched[f / 64] >> f % 64 & 1)))
      read[count++] = &type->fields[f];
  if (count > 1) qsort(read, count, sizeof *read, S_by_name);
  fb_buf_printf(out, "\n%d", type->open);
  for (uint32_t i = 0; i < count; i++) {
    fb_buf_add(out, read[i]->name.ptr, read[i]->name.len);
    fb_buf_printf(out, ":%d ", (int)read[i]->type);
  }
  return true;
}

static bool S_write_source(const fb_ruleset *set, const fb_rule_aggregate *aggregate,
                           fb_arena *arena, fb_buf *out) {
  const fb_rule_condition *source = &aggregate->source;
  return S_write_fields(source, fb_schema_type(set->schema, source->type), arena, out);
}

/* What the conditions say, and of what types the fields are that they read. */
static bool S_write_conditions(const fb_ruleset *set, const fb_rule *rule, fb_arena *arena,
                               fb_buf *out) {
  fb_value when;
  if (fb_node_value(rule->when, arena, &when) != FB_OK) return false;
  fb_json_write(out, when, FB_JSON_CANONICAL);
  fb_buf_printf(out, "\n%u", (unsigned)rule->variant);
  for (uint32_t i = 0; i < rule->condition_count; i++) {
    const fb_rule_condition *c = &rule->conditions[i];
    if (c->kind == FB_WHEN_ELEMENT) continue;
    if (!S_write_fields(c, fb_schema_type(set->schema, c->type), arena, out)) return false;
    if (c->aggregate && !S_write_source(set, c->aggregate, arena, out)) return false;
  }
  return !out->failed;
}

/* By rule: its conditions, and, behind them, its name. NULL: no memory. */
static fb_slice *S_conditions(S_swap *s, const fb_ruleset *set) {
  fb_slice *texts = fb_arena_zero(&s->arena, (set->rule_count + 1) * sizeof *texts);
  fb_buf text;
  fb_buf_init(&text, s->to->base, 0);
  for (uint32_t r = 0; texts && r < set->rule_count; r++) {
    const fb_rule *rule = &set->rules[r];
    fb_arena_mark mark = fb_arena_save(&s->to->scratch);
    bool good = S_write_conditions(set, rule, &s->to->scratch, &text);
    fb_arena_rewind(&s->to->scratch, mark);
    texts[r].len = text.len;
    fb_buf_char(&text, '\n');
    fb_buf_add(&text, rule->info.name.ptr, rule->info.name.len);
    texts[r].ptr = good && !text.failed ? fb_arena_copy(&s->arena, text.ptr, text.len) : NULL;
    if (!texts[r].ptr) texts = NULL;
    fb_buf_clear(&text);
  }
  fb_buf_release(&text);
  return texts;
}

/* First those of the same name, then others, in the order of the book. */
static bool S_pair(S_swap *s, const fb_slice *old, const fb_slice *new, bool named) {
  const fb_ruleset *from = s->from->set, *to = s->to->set;
  uint32_t *next = S_numbers(s, from->rule_count);
  fb_table known;
  fb_table_init(&known, s->to->base, 0);
  bool good = next != NULL, added;
  for (uint32_t r = from->rule_count; good && r-- > 0;) { /* the first of each comes out in front */
    if (!from->rules[r].info.enabled || s->rules[r] != FB_RULE_NONE) continue;
    size_t more = named ? from->rules[r].info.name.len + 1 : 0;
    fb_table_slot *slot = fb_table_put(&known, (fb_slice){old[r].ptr, old[r].len + more}, &added);
    if (!slot) good = false;
    if (slot && !added) next[r] = (uint32_t)slot->value.number;
    if (slot) slot->value.number = r;
  }
  for (uint32_t r = 0; good && r < to->rule_count; r++) {
    if (!to->rules[r].info.enabled || s->carried[r]) continue;
    size_t more = named ? to->rules[r].info.name.len + 1 : 0;
    fb_table_slot *slot = fb_table_get(&known, (fb_slice){new[r].ptr, new[r].len + more});
    if (!slot || slot->value.number == FB_RULE_NONE) continue;
    s->rules[slot->value.number] = r;
    s->carried[r] = true;
    slot->value.number = next[slot->value.number];
  }
  fb_table_release(&known);
  return good;
}

static fb_status S_pair_rules(S_swap *s) {
  const fb_ruleset *from = s->from->set, *to = s->to->set;
  s->rules = S_numbers(s, from->rule_count);
  s->ports = S_numbers(s, from->port_count);
  s->carried = fb_arena_zero(&s->arena, to->rule_count + 1);
  if (!s->rules || !s->ports || !s->carried) return S_no_memory(s);
  fb_slice *old = S_conditions(s, from), *new = old ? S_conditions(s, to) : NULL;
  if (!new || !S_pair(s, old, new, true) || !S_pair(s, old, new, false)) return S_no_memory(s);
  for (uint32_t r = 0; r < from->rule_count; r++) {
    const fb_rule *rule = &from->rules[r];
    for (uint32_t i = 0; i < rule->condition_count && s->rules[r] != FB_RULE_NONE; i++)
      if (rule->conditions[i].port != FB_RULE_NONE)
        s->ports[rule->conditions[i].port] = to->rules[s->rules[r]].conditions[i].port;
  }
  return FB_OK;
}

/* ── Which aggregates go on ── */

/* Aggregates of rules that go on do; others that are written alike, with no name in them that depends on the rule. */
static bool S_is_alike(S_swap *s, const fb_rule_aggregate *a, const fb_rule_aggregate *b,
                       fb_buf *texts) {
  if (a->constants || b->constants || !fb_slice_equal(a->text, b->text)) return false;
  const fb_rule_aggregate *both[2] = {a, b};
  bool good = true;
  for (int i = 0; i < 2 && good; i++) {
    fb_arena_mark mark = fb_arena_save(&s->to->scratch);
    fb_buf_clear(&texts[i]);
    good = S_write_source(i ? s->to->set : s->from->set, both[i], &s->to->scratch, &texts[i]);
    fb_arena_rewind(&s->to->scratch, mark);
  }
  return good && fb_slice_equal(fb_buf_slice(&texts[0]), fb_buf_slice(&texts[1]));
}

static void S_follow(S_swap *s, uint32_t old, uint32_t new) {
  if (s->aggregates[old] != FB_RULE_NONE || s->followed[new]) return;
  s->aggregates[old] = new;
  s->followed[new] = true;
}

static void S_pair_aggregates_of(S_swap *s, const fb_rule *old, const fb_rule *new) {
  for (uint32_t i = 0; i < old->condition_count; i++)
    if (old->conditions[i].aggregate)
      S_follow(s, old->conditions[i].aggregate->number, new->conditions[i].aggregate->number);
}

static fb_status S_pair_aggregates(S_swap *s) {
  const fb_ruleset *from = s->from->set, *to = s->to->set;
  s->aggregates = S_numbers(s, from->aggregate_count);
  s->followed = fb_arena_zero(&s->arena, to->aggregate_count + 1);
  if (!s->aggregates || !s->followed) return S_no_memory(s);
  for (uint32_t r = 0; r < from->rule_count; r++)
    if (s->rules[r] != FB_RULE_NONE)
      S_pair_aggregates_of(s, &from->rules[r], &to->rules[s->rules[r]]);
  fb_buf texts[2];
  for (int i = 0; i < 2; i++) fb_buf_init(&texts[i], s->to->base, 0);
  for (uint32_t i = 0; i < from->aggregate_count; i++)
    for (uint32_t k = 0; k < to->aggregate_count && s->aggregates[i] == FB_RULE_NONE; k++)
      if (S_is_alike(s, from->aggregates[i], to->aggregates[k], texts)) S_follow(s, i, k);
  bool failed = texts[0].failed || texts[1].failed;
  for (int i = 0; i < 2; i++) fb_buf_release(&texts[i]);
  return failed ? S_no_memory(s) : FB_OK;
}

/* ── Facts ── */

/* At the declaration that does not take it. */
static fb_status S_clash(S_swap *s, const fb_fact_type *type, fb_slice field, uint32_t place,
                         const fb_error *why) {
  const fb_ruleset *set = s->to->set;
  fb_errors errors;
  fb_errors_init(&errors, s->to->base, 1);
  const char *name = fb_arena_text(&s->arena, type->name);
  const char *key = fb_arena_text(&s->arena, field);
  const fb_node *node = set->root ? fb_node_get(set->root, "facts") : NULL;
  const fb_pair *pair = node && name ? fb_node_get_pair(node, name) : NULL;
  const fb_pair *inner = pair && key ? fb_node_get_pair(&pair->value, key) : NULL;
  const fb_node *at = inner ? &inner->value : pair ? &pair->key : fb_doc_root(set->doc);
  fb_doc_fail(set->doc, at, &errors, why->code,
              "the session goes on with its old rulebook; change the fact, or the declaration",
              "fact %llu, held as `%.*s`, does not fit: %s",
              (unsigned long long)fb_place_id(s->from, place),
              (int)(type->name.len > 60 ? 60 : type->name.len), type->name.ptr, why->text);
  fb_status status = why->code;
  if (errors.count && s->err)
    *s->err = errors.items[0];
  else if (!errors.count)
    status = S_no_memory(s);
  fb_errors_release(&errors);
  return status;
}

/* The type of results is that of the aggregate which goes on, whatever its name. */
static fb_status S_type(S_swap *s, uint32_t number, fb_fact_type **ret) {
  const fb_fact_type *type = fb_schema_type(s->from->schema, number);
  if (s->types[number] == FB_RULE_NONE) {
    fb_fact_type *open;
    if (fb_type_is_hidden(s->from->set, number)) {
      uint32_t next = s->aggregates[s->from->set->types[number].result_of->number];
      open = fb_schema_type(s->to->schema, s->to->set->aggregates[next]->type);
    } else if (fb_schema_open(s->to->schema, type->name, &open) != FB_OK) {
      return S_no_memory(s);
    }
    s->types[number] = open->id;
    s->fields[number] = S_numbers(s, type->field_count);
    if (!s->fields[number]) return S_no_memory(s);
  }
  *ret = fb_schema_type(s->to->schema, s->types[number]);
  return FB_OK;
}

static fb_status S_symbol(S_swap *s, fb_value value, fb_value *ret) {
  fb_symbol symbol = fb_symbol_of(value);
  if (symbol && !s->symbols[symbol] &&
      fb_symbol_intern(s->to->symbols, fb_value_text(value), &s->symbols[symbol]) != FB_OK)
    return S_no_memory(s);
  *ret = fb_symbol_value(s->to->symbols, symbol ? s->symbols[symbol] : 0);
  return FB_OK;
}

static fb_status S_cell(S_swap *s, uint32_t place, fb_fact_type *type, fb_memory *memory,
                        uint32_t row, uint32_t field) {
  const fb_fact *fact = &s->from->facts[place];
  const fb_facts *facts = s->from->memories[fact->type].facts;
  fb_slice name = fb_facts_type(facts)->fields[field].name;
  fb_value value = fb_facts_get(facts, fact->row, field);
  uint32_t *to = &s->fields[fact->type][field];
  fb_error why = {0};
  fb_status status = FB_OK;
  if (value.kind == FB_ABSENT) return FB_OK;
  if (*to == FB_RULE_NONE && (status = fb_fact_type_learn(s->to->schema, type, name, to)) != FB_OK)
    fb_fail(&why, status, "there is no field `%.*s` any more", (int)(name.len > 60 ? 60 : name.len),
            name.ptr);
  if (status == FB_OK && value.kind == FB_STRING && value.symbol)
    status = S_symbol(s, value, &value);
  else if (status != FB_OK)
    *to = FB_RULE_NONE;
  if (status == FB_OK) status = fb_facts_set(memory->facts, row, *to, value, &why);
  if (status == FB_E_NOMEM) return S_no_memory(s);
  return status == FB_OK ? FB_OK : S_clash(s, type, name, place, &why);
}

/* What is beside a fact. */
static fb_status S_aside(S_swap *s, uint32_t place) {
  fb_session *to = s->to;
  fb_origin origin = fb_place_origin(s->from, place), *slot = NULL;
  bool good = fb_memory_set_serial(to, place, fb_place_serial(s->from, place));
  if (good && (origin.made_by || origin.changed_by || origin.logical))
    good = (slot = fb_memory_origin(to, place)) != NULL;
  if (slot) *slot = (fb_origin){.made_by = origin.made_by, .changed_by = origin.changed_by};
  if (origin.logical) s->unfounded[s->unfounded_count++] = place;
  if (good && fb_lazy_is_modified(s->from, &s->from->facts[place]))
    good = fb_lazy_modified(to, &to->facts[place]) == FB_OK;
  uint64_t recency = fb_queue_recency(s->from, place);
  if (good && recency != fb_place_serial(s->from, place)) {
    to->tick = recency;
    good = fb_queue_touch(to, place) == FB_OK;
    to->tick = s->from->tick;
  }
  return good ? FB_OK : S_no_memory(s);
}

/* Is it the result of an aggregate that does not go on? */
static bool S_is_lapsed(const S_swap *s, const fb_fact *fact) {
  const fb_ruleset *set = s->from->set;
  return fb_type_is_hidden(set, fact->type) &&
         s->aggregates[set->types[fact->type].result_of->number] == FB_RULE_NONE;
}

static fb_status S_fact(S_swap *s, uint32_t place) {
  fb_session *to = s->to;
  const fb_fact *fact = &s->from->facts[place];
  fb_fact *copy = &to->facts[place];
  fb_fact_type *type = NULL;
  fb_memory *memory;
  uint32_t row;
  *copy = (fb_fact){.row = FB_RULE_NONE, .generation = fact->generation, .type = fact->type};
  if (fact->row == FB_RULE_NONE) return FB_OK;
  if (S_is_lapsed(s, fact)) {
    copy->generation++;
    copy->type = to->free_place;
    to->free_place = place;
    return FB_OK;
  }
  fb_status status = S_type(s, fact->type, &type);
  if (status != FB_OK || !type) return status;
  if (fb_memory_of(to, type, &memory) != FB_OK || fb_memory_new_row(to, memory, &row) != FB_OK)
    return S_no_memory(s);
  uint32_t fields = fb_facts_type(s->from->memories[fact->type].facts)->field_count;
  for (uint32_t f = 0; f < fields && status == FB_OK; f++)
    status = S_cell(s, place, type, memory, row, f);
  if (status != FB_OK) return status;
  copy->type = type->id;
  copy->row = row;
  memory->places[row] = place;
  memory->live++;
  return S_aside(s, place);
}

static fb_status S_facts(S_swap *s) {
  fb_session *from = s->from, *to = s->to;
  size_t types = fb_schema_count(from->schema);
  s->types = S_numbers(s, types);
  s->fields = fb_arena_zero(&s->arena, (types + 1) * sizeof *s->fields);
  s->symbols = fb_arena_zero(&s->arena, fb_symbols_count(from->symbols) * sizeof *s->symbols);
  s->unfounded = S_numbers(s, from->truth.live);
  if (!s->types || !s->fields || !s->symbols || !s->unfounded ||
      !fb_memory_room(to, from->fact_count))
    return S_no_memory(s);
  to->tick = from->tick;
  to->now = from->now;
  to->free_place = from->free_place;
  fb_status status = FB_OK;
  for (uint32_t place = 1; place < from->fact_count && status == FB_OK; place++) {
    status = S_fact(s, place);
    to->fact_count = place + 1;
  }
  to->stats.facts = from->stats.facts;
  return status;
}

/* ── Alphas, stamps ── */

/* Failures of conditions that go on were reported when the facts came. */
static void S_find_known(const S_swap *s, bool *known) {
  const fb_ruleset *set = s->to->set;
  for (uint32_t a = 0; a < set->alpha_count; a++) {
    const fb_rule_alpha *alpha = &set->alphas[a];
    for (uint32_t u = 0; u < alpha->use_count; u++)
      known[a] |= s->carried[set->uses[alpha->uses[u]].rule];
    for (uint32_t i = 0; i < alpha->aggregate_count; i++)
      known[a] |= s->followed[alpha->aggregates[i]];
  }
}

static bool S_is_in(fb_session *session, uint32_t candidate, uint32_t place, bool known) {
  void (*error)(void *, fb_session *, const fb_error *) = session->options.output.error;
  uint64_t errors = session->stats.errors;
  if (known) session->options.output.error = NULL;
  bool in = fb_alpha_test(session, candidate, place);
  session->options.output.error = error;
  if (known) session->stats.errors = errors;
  return in;
}

static fb_status S_enter(S_swap *s) {
  fb_session *to = s->to;
  bool *known = fb_arena_zero(&s->arena, to->set->alpha_count + 1);
  if (!known) return S_no_memory(s);
  S_find_known(s, known);
  fb_aggregates_know(to, s->followed);
  for (uint32_t place = 1; place < to->fact_count; place++) {
    const fb_fact *fact = &to->facts[place];
    uint32_t count = fact->row == FB_RULE_NONE ? 0 : fb_alpha_candidates(to, fact->type, fact->row);
    for (uint32_t i = 0; i < count; i++) {
      uint32_t candidate = to->candidates[i], alpha = candidate & FB_RULE_ALPHA;
      if (to->set->alphas[alpha].stored && S_is_in(to, candidate, place, known[alpha]) &&
          !fb_alpha_insert(to, alpha, fact->row))
        return S_no_memory(s);
    }
    fb_arena_reset(&to->scratch);
  }
  fb_aggregates_know(to, NULL);
  return FB_OK;
}

/* Are all rules of the ruleset ones that go on? */
static bool S_all_go_on(const S_swap *s) {
  const fb_ruleset *set = s->to->set;
  for (uint32_t r = 0; r < set->rule_count; r++)
    if (set->rules[r].info.enabled && !s->carried[r]) return false;
  return true;
}

/* What windows that end hold, which facts do not tell; and to which groups the results belong. Those that stand do so until
 * the rules, of which some are new, have seen them. */
static fb_status S_windows(S_swap *s) {
  fb_session *from = s->from, *to = s->to;
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < from->set->aggregate_count && status == FB_OK; i++) {
    if (s->aggregates[i] == FB_RULE_NONE || !fb_window_ends_at_all(from->set, i)) continue;
    for (uint32_t place = 0; status == FB_OK && (place = fb_window_next(from, i, place));)
      status = fb_window_restore(to, s->aggregates[i], place);
  }
  if (status == FB_OK) status = fb_aggregates_restored(to);
  if (status == FB_OK && fb_windows_are_told(from) && S_all_go_on(s)) fb_windows_told(to);
  return status == FB_OK ? FB_OK : S_no_memory(s);
}

static fb_status S_stamps(S_swap *s) {
  fb_session *from = s->from;
  for (uint32_t port = 0; port < from->set->port_count; port++) {
    const fb_port_memory *memory = &from->ports[port];
    uint32_t type = from->set->ports[port].type;
    if (s->ports[port] == FB_RULE_NONE) continue;
    for (uint32_t place = 1; memory->page_count && place < from->fact_count; place++) {
      const fb_fact *fact = &from->facts[place];
      if (fact->row == FB_RULE_NONE || fact->type != type) continue;
      uint64_t stamp = fb_port_stamp(from, port, fact->row);
      if (stamp > fb_place_serial(from, place) &&
          fb_lazy_stamp(s->to, s->ports[port], s->to->facts[place].row, stamp) != FB_OK)
        return S_no_memory(s);
    }
  }
  return FB_OK;
}

/* ── What fired, and facts rest on ── */

static int S_by_firing(const void *pa, const void *pb, void *context) {
  const fb_reason *a = *(fb_reason *const *)pa, *b = *(fb_reason *const *)pb;
  const fb_truth *truth = context;
  if (a->firing != b->firing) return a->firing < b->firing ? -1 : 1;
  uint32_t left = truth->items[a->logical].place, right = truth->items[b->logical].place;
  return left < right ? -1 : left > right;
}

static fb_status S_support(S_swap *s, fb_reason *const *reasons, size_t count) {
  const fb_truth *truth = &s->from->truth;
  const fb_activation *owner = reasons[0]->owner;
  uint32_t number = s->rules[owner->rule];
  if (number == FB_RULE_NONE || !s->to->set->rules[number].logical) return FB_OK;
  fb_arena_mark mark = fb_arena_save(&s->arena);
  uint32_t *places = S_numbers(s, count);
  for (size_t i = 0; places && i < count; i++) places[i] = truth->items[reasons[i]->logical].place;
  uint32_t held[FB_RULE_SLOTS + 1] = {0};
  for (uint32_t k = 0; k < owner->count; k++) held[k] = owner->links[k].place;
  fb_slot_bind_all(s->to, &s->to->set->rules[number], held);
  fb_status status = places ? fb_logical_restore(s->to, &s->to->set->rules[number],
                                                 reasons[0]->firing, places, (uint32_t)count)
                            : FB_E_NOMEM;
  fb_arena_rewind(&s->arena, mark);
  return status == FB_OK ? FB_OK : S_no_memory(s);
}

static fb_status S_supports(S_swap *s) {
  fb_truth *truth = &s->from->truth;
  size_t count = 0, held = 0;
  for (uint32_t i = 1; i < truth->count; i++)
    for (fb_reason *at = truth->items[i].place ? truth->items[i].reasons : NULL; at; at = at->next)
      held++;
  fb_reason **reasons = fb_arena_alloc(&s->arena, (held + 1) * sizeof *reasons);
  if (!reasons) return S_no_memory(s);
  for (uint32_t i = 1; i < truth->count; i++)
    for (fb_reason *at = truth->items[i].place ? truth->items[i].reasons : NULL; at; at = at->next)
      reasons[count++] = at;
  if (count) qsort_r(reasons, count, sizeof *reasons, S_by_firing, truth);
  fb_status status = FB_OK;
  for (size_t i = 0, end = 0; i < count && status == FB_OK; i = end) {
    while (end < count && reasons[end]->firing == reasons[i]->firing) end++;
    status = S_support(s, reasons + i, end - i);
  }
  s->to->firing = s->from->firing;
  s->to->tick = s->from->tick;
  return status;
}

/* ── What waits ── */

typedef struct S_entry {
  uint64_t tick;
  uint32_t rule;           /* of `to` */
  uint32_t use;            /* of `to`: a place of it waits; NONE: an activation */
  const uint32_t *places;  /* one a slot */
  const fb_activation *at; /* of a queued session: where its rank is; else NULL */
} S_entry;

typedef struct S_entries {
  S_entry *items;
  size_t count, cap;
} S_entries;

static fb_status S_note(S_swap *s, S_entries *entries, S_entry entry, const uint32_t *places,
                        uint32_t count) {
  entry.places = fb_arena_copy(&s->arena, places, count * sizeof *places);
  if (!entry.places ||
      !fb_grow(s->to->base, (void **)&entries->items, &entries->cap, entries->count, sizeof entry))
    return S_no_memory(s);
  entries->items[entries->count++] = entry;
  return FB_OK;
}

static fb_status S_note_activation(S_swap *s, S_entries *entries, const fb_activation *a,
                                   bool ranked) {
  uint32_t places[FB_RULE_SLOTS + 1] = {0};
  if (s->rules[a->rule] == FB_RULE_NONE) return FB_OK;
  for (uint32_t k = 0; k < a->count; k++) places[k] = a->links[k].place;
  S_entry entry = {a->tick, s->rules[a->rule], FB_RULE_NONE, NULL, ranked ? a : NULL};
  return S_note(s, entries, entry, places, a->count + 1);
}

/* What a walk would find yet; it is a copy that goes on. */
static fb_status S_note_walk(S_swap *s, S_entries *entries, const fb_waiting *item,
                             const fb_rule *rule, fb_walk *walk) {
  uint32_t use = fb_waiting_use(item), places[FB_RULE_SLOTS];
  S_entry entry = {walk->tick, s->rules[rule->number], FB_RULE_NONE, NULL, NULL};
  fb_status status = FB_OK;
  while (status == FB_OK && !(walk->finished && !walk->head)) {
    status = fb_walk_head(s->from, use, item->place, walk);
    if (status == FB_DONE) return FB_OK;
    if (status != FB_OK) return S_no_memory(s);
    fb_walk_places(s->from, use, item->place, walk, places);
    status = S_note(s, entries, entry, places, rule->positive_count);
    walk->head = false;
  }
  return status;
}

static fb_status S_walk(S_swap *s, S_entries *entries, const fb_waiting *item,
                        const fb_rule *rule) {
  uint32_t levels = rule->positive_count - 1;
  size_t size = sizeof(fb_walk) + levels * sizeof(fb_walk_level);
  fb_walk *walk = fb_waiting_walks(item) ? fb_arena_copy(&s->arena, item->walk, size)
                                         : fb_arena_zero(&s->arena, size);
  if (!walk) return S_no_memory(s);
  const uint32_t *found = walk->found;
  if (!fb_waiting_walks(item)) {
    walk->tick = item->tick;
    walk->count = (uint16_t)levels;
    walk->enters = true;
  }
  walk->lists = NULL; /* those are the other's */
  fb_status status = S_note_walk(s, entries, item, rule, walk);
  if (walk->found == found) walk->found = NULL;
  fb_walk_release(s->from, walk);
  return status;
}

/* The place stays one where the rule that goes on lets places wait, too. */
static fb_status S_note_place(S_swap *s, S_entries *entries, const fb_waiting *item) {
  const fb_rule_use *use = &s->from->set->uses[fb_waiting_use(item)];
  const fb_rule *rule = &s->from->set->rules[use->rule];
  uint32_t number = s->rules[use->rule];
  if (number == FB_RULE_NONE || !fb_lazy_stands(s->from, item)) return FB_OK;
  if (!rule->single) return S_walk(s, entries, item, rule);
  const fb_rule_condition *c = &s->to->set->rules[number].conditions[use->condition];
  bool waits = c->port != FB_RULE_NONE && !s->to->queued;
  S_entry entry = {item->tick, number, waits ? c->use : FB_RULE_NONE, NULL, NULL};
  return S_note(s, entries, entry, &item->place, 1);
}

static fb_status S_collect(S_swap *s, S_entries *entries) {
  const fb_session *from = s->from;
  fb_status status = FB_OK;
  for (size_t i = 0; from->queued && i <= from->set->group_count; i++)
    for (size_t k = 0; k < from->agenda.queues[i].count && status == FB_OK; k++)
      status = S_note_activation(s, entries, from->agenda.queues[i].items[k].activation, true);
  for (uint32_t i = 0; !from->queued && i < from->set->salience_count; i++)
    if (!fb_flock_unroll_level(s->from, i)) return S_no_memory(s);
  for (size_t i = 0; !from->queued && i < from->set->salience_count; i++)
    for (size_t k = 0; k < from->agenda.levels[i].count && status == FB_OK; k++) {
      const fb_waiting *item = &from->agenda.levels[i].items[k];
      if (item->use != FB_RULE_NONE)
        status = S_note_place(s, entries, item);
      else if (!item->activation->dead)
        status = S_note_activation(s, entries, item->activation, false);
    }
  return status;
}

/* Of one level: what fires last, first. */
static int S_order(const void *pa, const void *pb, void *context) {
  const fb_session *session = context;
  const S_entry *a = pa, *b = pb;
  if (a->tick != b->tick) return a->tick < b->tick ? -1 : 1;
  if (a->rule != b->rule) return a->rule > b->rule ? -1 : 1;
  const fb_rule *rule = &session->set->rules[a->rule];
  for (uint32_t slot = 0; slot < rule->positive_count; slot++) {
    if (a->places[slot] == b->places[slot]) continue;
    int order = fb_slot_order(session, rule, slot, a->places[slot], b->places[slot]);
    if (order) return -order;
  }
  return 0;
}

/* The rank stays, but for a salience that is another now. */
static fb_status S_put_queued(S_swap *s, const S_entry *entry) {
  fb_session *to = s->to;
  const fb_rule *rule = &to->set->rules[entry->rule];
  fb_ranked rank;
  bool ranked = entry->at && s->from->strategy == to->strategy &&
                (!rule->salience || s->from->set->rules[entry->at->rule].salience);
  if (ranked) fb_queue_get_rank(s->from, entry->at, &rank);
  if (!rule->salience) rank.salience = rule->info.salience;
  fb_slot_bind_all(to, rule, entry->places);
  return fb_agenda_restore(to, rule, entry->tick, rule->group, ranked ? &rank : NULL);
}

static fb_status S_put(S_swap *s, const S_entry *entry) {
  fb_session *to = s->to;
  const fb_rule *rule = &to->set->rules[entry->rule];
  if (to->queued) return S_put_queued(s, entry);
  memcpy(to->places, entry->places, rule->positive_count * sizeof *to->places);
  if (entry->use != FB_RULE_NONE)
    return fb_agenda_push_place(to, rule, entry->use, entry->places[0], entry->tick);
  to->tick = entry->tick;
  fb_status status = fb_agenda_add(to, rule);
  return status == FB_OK ? fb_agenda_settle(to) : status;
}

static fb_status S_focus(S_swap *s) {
  const fb_session *from = s->from;
  fb_status status = FB_OK;
  for (size_t i = 0; i < from->agenda.focus_count && status == FB_OK; i++) {
    uint32_t group = fb_rule_group_named(s->to->set, from->set->groups[from->agenda.focus[i]]);
    if (group != FB_RULE_NONE) status = fb_queue_focus(s->to, group);
  }
  return status;
}

static fb_status S_agenda(S_swap *s) {
  S_entries entries = {0};
  fb_status status = S_collect(s, &entries);
  if (status == FB_OK && entries.count)
    qsort_r(entries.items, entries.count, sizeof *entries.items, S_order, s->to);
  for (size_t i = 0; i < entries.count && status == FB_OK; i++)
    if (S_put(s, &entries.items[i]) != FB_OK) status = S_no_memory(s);
  fb_free(s->to->base, entries.items, entries.cap * sizeof *entries.items);
  s->to->tick = s->from->tick;
  if (status == FB_OK && s->to->queued && S_focus(s) != FB_OK) status = S_no_memory(s);
  return status;
}

/* ── The rest ── */

static fb_status S_statistics(S_swap *s) {
  const fb_session *from = s->from;
  fb_session *to = s->to;
  to->stats = s->stats;
  to->serial = from->serial;
  to->firing = from->firing;
  to->halted = from->halted;
  memset(to->rule_stats, 0, to->set->rule_count * sizeof *to->rule_stats);
  for (uint32_t r = 0; r < from->set->rule_count; r++)
    if (s->rules[r] != FB_RULE_NONE) to->rule_stats[s->rules[r]] = from->rule_stats[r];
  if (!from->log_count) return FB_OK;
  to->log = fb_resize(&to->allocator, NULL, 0, from->log_count * sizeof *to->log);
  if (to->log) to->log_cap = from->log_count;
  size_t kept = (size_t)(from->firing - from->log_first);
  to->log_starts = fb_resize(&to->allocator, NULL, 0, kept * sizeof *to->log_starts);
  if (to->log_starts) to->log_start_cap = kept;
  if (!to->log || !to->log_starts) return S_no_memory(s);
  memcpy(to->log, from->log, from->log_count * sizeof *to->log);
  memcpy(to->log_starts, from->log_starts, kept * sizeof *to->log_starts);
  to->log_count = from->log_count;
  to->log_first = from->log_first;
  for (size_t i = 0; i < kept; i++) {
    uint64_t *rule = &to->log[to->log_starts[i]];
    if (*rule < from->set->rule_count) *rule = s->rules[*rule];
  }
  return FB_OK;
}

static fb_status S_match_new(S_swap *s) {
  fb_session *to = s->to;
  fb_status status = FB_OK;
  fb_match_begin(to);
  for (uint32_t r = 0; r < to->set->rule_count && status == FB_OK; r++)
    if (to->set->rules[r].info.enabled && !s->carried[r])
      status = fb_match_rule(to, &to->set->rules[r]);
  if (status == FB_OK) status = fb_agenda_settle(to);
  fb_arena_reset(&to->scratch);
  return status == FB_OK ? FB_OK : S_no_memory(s);
}

static int S_by_serial(const void *pa, const void *pb, void *context) {
  uint64_t a = fb_place_serial(context, *(const uint32_t *)pa),
           b = fb_place_serial(context, *(const uint32_t *)pb);
  return a < b ? -1 : a > b;
}

/* Logical facts all of whose reasons were of rules that are gone. */
static fb_status S_withdraw(S_swap *s) {
  fb_session *to = s->to;
  fb_status status = FB_OK;
  if (s->unfounded_count)
    qsort_r(s->unfounded, s->unfounded_count, sizeof *s->unfounded, S_by_serial, to);
  for (size_t i = 0; i < s->unfounded_count && status == FB_OK; i++) {
    uint32_t place = s->unfounded[i];
    if (to->facts[place].row == FB_RULE_NONE || fb_place_origin(to, place).logical) continue;
    status = fb_logical_remove(to, place);
    if (status == FB_OK) status = fb_logical_withdraw(to);
  }
  return status == FB_OK ? FB_OK : S_no_memory(s);
}

static fb_status S_transfer(S_swap *s) {
  fb_status status = S_pair_rules(s);
  if (status == FB_OK) status = S_pair_aggregates(s);
  if (status == FB_OK) status = S_facts(s);
  if (status == FB_OK) status = S_enter(s);
  if (status == FB_OK) status = S_windows(s);
  if (status == FB_OK) status = S_stamps(s);
  if (status == FB_OK) status = S_supports(s);
  if (status == FB_OK) status = S_agenda(s);
  if (status == FB_OK) status = S_statistics(s);
  if (status == FB_OK) status = S_match_new(s);
  if (status == FB_OK) status = S_withdraw(s);
  return status;
}

static fb_status S_may(const fb_session *session, const fb_ruleset *ruleset, fb_error *err) {
  fb_status ready = fb_session_ready(session, err);
  if (ready != FB_OK) return ready;
  if (session->firing_rule != FB_RULE_NONE)
    return fb_fail(err, FB_E_RULE_SESSION, "the rulebook cannot be swapped while a rule fires");
  if (session->options.stateless && !fb_ruleset_stateless(ruleset, err)) return FB_E_RULE_STATEFUL;
  fb_errors errors;
  fb_errors_init(&errors, session->base, 1);
  fb_status status = fb_ruleset_check_calls(ruleset, session->options.calculators,
                                            session->options.calculator_count, &errors);
  if (status != FB_OK && errors.count && err) *err = errors.items[0];
  if (status != FB_OK && !errors.count) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_errors_release(&errors);
  return status;
}

fb_status fb_session_swap(fb_session *session, const fb_ruleset *ruleset, fb_error *err) {
  fb_status status = S_may(session, ruleset, err);
  if (status != FB_OK) return status;
  fb_session old = *session;
  *session = (fb_session){.base = old.base,
                          .allocator = old.allocator,
                          .held = old.held,
                          .set = ruleset,
                          .options = old.options};
  fb_session_stats stats = old.stats;
  uint64_t end = old.candidates_end;
  /* What it is asked for is neither counted, nor bounded, nor reported. */
  old.context.arena = &old.scratch;
  old.options.deadline = 0;
  old.options.output.error = NULL;
  old.candidates_end = UINT64_MAX;
  S_swap swap = {.from = &old, .to = session, .stats = stats, .err = err};
  fb_arena_init(&swap.arena, old.base, 0);
  status = fb_session_begin(session);
  if (status != FB_OK)
    fb_fail(err, status, "no memory to swap the rulebook");
  else
    status = S_transfer(&swap);
  fb_arena_release(&swap.arena);
  old.stats = stats;
  old.candidates_end = end;
  fb_session_end(status == FB_OK ? &old : session);
  if (status == FB_OK) return FB_OK;
  old.held = session->held;
  old.options = session->options;
  *session = old;
  session->context.arena = &session->scratch;
  return status;
}

fb_status fb_session_compact(fb_session *session, fb_error *err) {
  return fb_session_swap(session, session->set, err);
}
