/* SPDX-License-Identifier: Apache-2.0
 *
 * The step that decides: facts out of a mission's values into a session, decisions back.
 */
#include <flyball/loop.h>
#include <flyball/rules.h>

enum { MOST_NESTED = 8, MOST_ERRORS = 100 };

typedef struct S_plan {
  fb_ruleset *ruleset; /* NULL: the path is only known when it runs */
  fb_text *book, *facts;
  const char *folder; /* what such a path is relative to, with a slash; "" for the current one */
  const fb_allocator *allocator;
} S_plan;

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────── */

static void S_load_book(fb_mission_loader *loader, const fb_node *node, S_plan *plan) {
  fb_slice text;
  fb_error err = {0};
  const char *path = fb_loader_path(loader, fb_node_text(node));
  if (!path) return;
  if (fb_loader_read(loader, path, &text, &err)) {
    fb_doc_fail(fb_loader_doc(loader), node, fb_loader_errors(loader), err.code,
                "the path is relative to the mission's folder", "%s", err.text);
    return;
  }
  if (!fb_ruleset_read(text, path, plan->allocator, &plan->ruleset, fb_loader_errors(loader), NULL))
    fb_ruleset_check_calls(plan->ruleset, NULL, 0, fb_loader_errors(loader));
}

static fb_status S_load(fb_mission_loader *loader, const fb_node *node, void **ret_plan) {
  static const fb_key_spec specs[] = {{"book", FB_KIND_BIT(FB_STRING), true}, {"facts", 0, true}};
  const fb_node *nodes[2];
  fb_value constant;
  fb_doc_keys(fb_loader_doc(loader), node, "rules", specs, 2, nodes, fb_loader_errors(loader));
  if (node->kind != FB_MAP) return FB_E_MISSION_SYNTAX;
  S_plan *plan = fb_arena_zero(fb_loader_arena(loader), sizeof *plan);
  if (!plan) return FB_E_NOMEM;
  plan->allocator = fb_loader_allocator(loader);
  *ret_plan = plan;
  if (nodes[1]) plan->facts = fb_loader_text(loader, nodes[1], NULL);
  if (!nodes[0]) return FB_OK;
  plan->book = fb_loader_text(loader, nodes[0], NULL);
  plan->folder = fb_loader_path(loader, FB_SLICE(""));
  if (!plan->folder) return FB_E_NOMEM;
  if (plan->book && fb_text_constant(plan->book, &constant)) S_load_book(loader, nodes[0], plan);
  return FB_OK;
}

static void S_unload(void *tool_plan) {
  S_plan *plan = tool_plan;
  fb_ruleset_free(plan->ruleset);
}

/* ── Running ─────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_job {
  const char *path; /* of a rulebook that is not loaded yet; NULL: it is */
  fb_value facts;
} S_job;

static fb_status S_no_memory(fb_error *err) {
  return fb_fail(err, FB_E_NOMEM, "out of memory");
}

static fb_status S_prepare(const void *tool_plan, fb_call *call, fb_error *err) {
  const S_plan *plan = tool_plan;
  S_job *job = fb_arena_zero(call->arena, sizeof *job);
  if (!job) return S_no_memory(err);
  call->state = job;
  fb_status status = fb_scope_value(&call->scope, plan->facts, &job->facts, err);
  if (status || plan->ruleset) return status;
  fb_slice path;
  status = fb_scope_text(&call->scope, plan->book, &path, err);
  if (status) return status;
  bool absolute = path.len && path.ptr[0] == '/';
  job->path =
      fb_arena_printf(call->arena, "%s%.*s", absolute ? "" : plan->folder, (int)path.len, path.ptr);
  return job->path ? FB_OK : S_no_memory(err);
}

typedef struct S_work {
  fb_call *call;
  fb_session *session;
  fb_arena scratch; /* of one fact */
  fb_list *decisions, *runs, *errors;
  uint64_t facts, error_count;
  bool no_memory;
} S_work;

static bool S_put(fb_map *map, fb_arena *arena, const char *key, fb_value value) {
  return fb_map_put(map, arena, fb_string(fb_slice_of(key)), value, NULL);
}

static void S_note_error(void *context, fb_session *session, const fb_error *err) {
  S_work *work = context;
  fb_arena *arena = work->call->arena;
  (void)session;
  if (work->error_count++ >= MOST_ERRORS) return;
  const char *text = err->file[0] ? fb_arena_printf(arena, "%s:%u:%u: %s", err->file, err->line,
                                                    err->column, err->text)
                                  : fb_arena_printf(arena, "%s", err->text);
  if (!text || !fb_list_push(work->errors, arena, fb_string(fb_slice_of(text))))
    work->no_memory = true;
}

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  S_work *work = context;
  fb_arena *arena = work->call->arena;
  fb_value type, rule, value;
  (void)session;
  fb_map *map = fb_map_new(arena, decision->fields->len + 2);
  if (!map || fb_value_copy(arena, fb_string(decision->type), &type) ||
      fb_value_copy(arena, fb_string(decision->rule), &rule) || !S_put(map, arena, "type", type) ||
      !S_put(map, arena, "rule", rule))
    return FB_E_NOMEM;
  for (uint32_t i = 0; i < decision->fields->len; i++) {
    const fb_entry *entry = &decision->fields->entries[i];
    fb_value key;
    if (fb_slice_equal(fb_value_text(entry->key), FB_SLICE("type"))) continue;
    if (fb_value_copy(arena, entry->key, &key) || fb_value_copy(arena, entry->value, &value) ||
        !fb_map_put(map, arena, key, value, NULL))
      return FB_E_NOMEM;
  }
  return fb_list_push(work->decisions, arena, fb_map_value(map)) ? FB_OK : FB_E_NOMEM;
}

/* A mission that the rules want to be run: later steps may do so. */
static fb_status S_run(void *context, fb_session *session, const fb_decision *mission) {
  S_work *work = context;
  fb_arena *arena = work->call->arena;
  fb_value name, rule, inputs;
  (void)session;
  fb_map *map = fb_map_new(arena, 3);
  bool good = map && !fb_value_copy(arena, fb_string(mission->type), &name) &&
              !fb_value_copy(arena, fb_string(mission->rule), &rule) &&
              !fb_value_copy(arena, fb_map_value(mission->fields), &inputs) &&
              S_put(map, arena, "mission", name) && S_put(map, arena, "rule", rule) &&
              S_put(map, arena, "inputs", inputs) &&
              fb_list_push(work->runs, arena, fb_map_value(map));
  return good ? FB_OK : FB_E_NOMEM;
}

/* The fact without its type. A fact that does not fit is reported and left out. */
static fb_status S_assert(S_work *work, fb_slice type, const fb_map *fact, bool drop_type,
                          fb_error *err) {
  fb_map *fields = fb_map_new(&work->scratch, fact->len);
  if (!fields) return S_no_memory(err);
  for (uint32_t i = 0; i < fact->len; i++) {
    fb_value key = fact->entries[i].key;
    if (key.kind != FB_STRING)
      return fb_fail(err, FB_E_STEP_VALUE, "a field's name is a text, not %s",
                     fb_kind_name((fb_kind)key.kind));
    if (drop_type && fb_slice_equal(fb_value_text(key), FB_SLICE("type"))) continue;
    if (!fb_map_put(fields, &work->scratch, key, fact->entries[i].value, NULL))
      return S_no_memory(err);
  }
  fb_error one = {0};
  fb_status status = fb_session_assert(work->session, type, fields, NULL, &one);
  fb_arena_reset(&work->scratch);
  if (status == FB_E_NOMEM || status == FB_E_RULE_LIMIT) {
    *err = one;
    return status;
  }
  work->facts++;
  if (status) S_note_error(work, work->session, &one);
  return FB_OK;
}

static fb_status S_list(S_work *work, const fb_slice *type, const fb_list *list, int depth,
                        fb_error *err);

static fb_status S_one(S_work *work, const fb_slice *type, fb_value value, int depth,
                       fb_error *err) {
  if (value.kind == FB_LIST && depth < MOST_NESTED)
    return S_list(work, type, value.as.list, depth + 1, err);
  if (value.kind == FB_NULL) return FB_OK; /* a list may have gaps: an item that was skipped */
  if (value.kind != FB_MAP)
    return fb_fail(err, FB_E_STEP_VALUE, "a fact is a map, not %s",
                   fb_kind_name((fb_kind)value.kind));
  if (type) return S_assert(work, *type, value.as.map, false, err);
  const fb_value *own = fb_map_get_text(value.as.map, FB_SLICE("type"));
  if (own && own->kind == FB_STRING)
    return S_assert(work, fb_value_text(*own), value.as.map, true, err);
  fb_fail(err, FB_E_STEP_VALUE, "fact %llu has no text `type`",
          (unsigned long long)work->facts + 1);
  fb_error_hint(err, "or give a map from type to list: facts: {TYPE: …}");
  return FB_E_STEP_VALUE;
}

static fb_status S_list(S_work *work, const fb_slice *type, const fb_list *list, int depth,
                        fb_error *err) {
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < list->len && !status; i++)
    status = S_one(work, type, list->items[i], depth, err);
  return status;
}

static fb_status S_facts(S_work *work, fb_value facts, fb_error *err) {
  fb_status status = FB_OK;
  if (facts.kind == FB_LIST) return S_list(work, NULL, facts.as.list, 0, err);
  if (facts.kind != FB_MAP)
    return fb_fail(err, FB_E_STEP_VALUE, "`facts` is a list or a map from type to list, not %s",
                   fb_kind_name((fb_kind)facts.kind));
  for (uint32_t i = 0; i < facts.as.map->len && !status; i++) {
    const fb_entry *entry = &facts.as.map->entries[i];
    fb_slice type = fb_value_text(entry->key);
    if (entry->key.kind != FB_STRING ||
        (entry->value.kind != FB_LIST && entry->value.kind != FB_NULL))
      return fb_fail(err, FB_E_STEP_VALUE, "`facts` as a map gives each type a list of facts");
    status = S_one(work, &type, entry->value, 0, err);
  }
  return status;
}

static fb_status S_output(S_work *work, fb_error *err) {
  fb_call *call = work->call;
  fb_arena *arena = call->arena;
  fb_session_stats stats = fb_session_statistics(work->session);
  fb_map *numbers = fb_map_new(arena, 4), *map = fb_map_new(arena, 4);
  bool good = !work->no_memory && numbers && map &&
              S_put(numbers, arena, "facts", fb_int((int64_t)work->facts)) &&
              S_put(numbers, arena, "firings", fb_int((int64_t)stats.firings)) &&
              S_put(numbers, arena, "decisions", fb_int((int64_t)stats.decisions)) &&
              S_put(numbers, arena, "errors", fb_int((int64_t)work->error_count)) &&
              S_put(map, arena, "decisions", fb_list_value(work->decisions)) &&
              S_put(map, arena, "runs", fb_list_value(work->runs)) &&
              S_put(map, arena, "errors", fb_list_value(work->errors)) &&
              S_put(map, arena, "stats", fb_map_value(numbers));
  if (!good) return S_no_memory(err);
  call->output = fb_map_value(map);
  call->note = fb_arena_printf(arena, "%u decisions from %llu facts", work->decisions->len,
                               (unsigned long long)work->facts);
  if (work->error_count && call->note)
    call->note = fb_arena_printf(arena, "%s, %llu errors", call->note,
                                 (unsigned long long)work->error_count);
  return FB_OK;
}

static fb_status S_session(const fb_ruleset *ruleset, fb_call *call, fb_value facts,
                           const fb_allocator *allocator, fb_error *err) {
  S_work work = {.call = call};
  fb_session_options options = {
      .clock = call->world->clock,
      .deadline = call->deadline,
      .hash_seed = call->hash_seed,
      .zone = call->zone,
      .zone_context = call->zone_context,
      .max_errors = UINT64_MAX,
      .output = {.decision = S_decision, .error = S_note_error, .run = S_run, .context = &work}};
  work.decisions = fb_list_new(call->arena, 16);
  work.runs = fb_list_new(call->arena, 4);
  work.errors = fb_list_new(call->arena, 4);
  if (!work.decisions || !work.runs || !work.errors) return S_no_memory(err);
  fb_arena_init(&work.scratch, allocator, 0);
  fb_status status = fb_session_new(ruleset, &options, allocator, &work.session);
  if (status) fb_fail(err, status, "the rules cannot be started");
  if (!status) status = S_facts(&work, facts, err);
  if (!status) status = fb_session_fire(work.session, NULL, err);
  if (!status) status = S_output(&work, err);
  fb_session_free(work.session);
  fb_arena_release(&work.scratch);
  return status;
}

static fb_status S_read_book(const S_plan *plan, fb_call *call, const char *path,
                             fb_ruleset **ret_ruleset, fb_error *err) {
  fb_buf text;
  fb_errors errors;
  bool more = false;
  fb_buf_init(&text, plan->allocator, 0);
  fb_errors_init(&errors, plan->allocator, 1);
  fb_status status = call->world->read(call->world->context, path, 0, 16 << 20, &text, &more, err);
  if (!status && more) status = fb_fail(err, FB_E_LIMIT, "%s is larger than 16 MiB", path);
  if (!status) {
    status =
        fb_ruleset_read(fb_buf_slice(&text), path, plan->allocator, ret_ruleset, &errors, NULL);
    if (!status) status = fb_ruleset_check_calls(*ret_ruleset, NULL, 0, &errors);
    if (status && errors.count)
      *err = errors.items[0];
    else if (status)
      fb_fail(err, status, "%s cannot be loaded", path);
  }
  fb_errors_release(&errors);
  fb_buf_release(&text);
  return status;
}

static fb_status S_do(const void *tool_plan, fb_call *call, fb_error *err) {
  const S_plan *plan = tool_plan;
  const S_job *job = call->state;
  fb_ruleset *own = NULL;
  fb_status status = FB_OK;
  if (!plan->ruleset) status = S_read_book(plan, call, job->path, &own, err);
  if (!status)
    status = S_session(own ? own : plan->ruleset, call, job->facts, plan->allocator, err);
  fb_ruleset_free(own);
  return status;
}

static void S_describe(const void *tool_plan, fb_step_scope *scope, fb_buf *out) {
  const S_plan *plan = tool_plan;
  fb_buf_text(out, "rules ");
  fb_scope_show(scope, plan->book, out);
  if (plan->ruleset) fb_buf_printf(out, " (%zu rules)", fb_ruleset_count(plan->ruleset));
}

const fb_tool fb_tool_rules = {.key = "rules",
                               .load = S_load,
                               .unload = S_unload,
                               .semantics = FB_PURE,
                               .prepare = S_prepare,
                               .work = S_do,
                               .describe = S_describe};
