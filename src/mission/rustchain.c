/* SPDX-License-Identifier: Apache-2.0
 *
 * The door for RustChain's missions: its document becomes the tree of one of ours, whose nodes stand where the originals do,
 * so that everything after it (checks, places of errors, runs) is as for any other. What RustChain ignored without a
 * word is a warning, what cannot be done is an error that says why.
 */
#include "mission/plan.h"

#include <stdio.h>

typedef struct S_door {
  fb_mission_loader *loader;
  fb_arena *arena;
  const fb_node *steps;
  fb_slice *ids; /* of the steps, as ours can be */
  bool no_memory;
} S_door;

/* A map that is being made. */
typedef struct S_map {
  fb_pair pairs[16];
  uint32_t count;
} S_map;

/* ── Small things ────────────────────────────────────────────────────────────────────────────── */

static void S_warn(S_door *door, const fb_node *node, const char *format, const char *what) {
  fb_errors *warnings = door->loader->warnings;
  if (!warnings || node->kind == FB_ERROR) return;
  fb_error err = {0};
  fb_fail(&err, FB_E_MISSION_FOREIGN, format, what);
  fb_error_locate(&err, fb_doc_name(door->loader->doc), fb_doc_text(door->loader->doc),
                  node->offset, node->length);
  fb_errors_add(warnings, &err);
}

static void S_refuse(S_door *door, const fb_node *node, const char *why, fb_slice what) {
  fb_doc_fail(door->loader->doc, node, door->loader->errors, FB_E_MISSION_FOREIGN, why,
              "a step of the kind `%.*s` cannot be run", (int)what.len, what.ptr);
}

static fb_node S_text_node(const fb_node *at, fb_slice text) {
  fb_node node = *at;
  node.kind = FB_STRING;
  node.style = FB_NODE_DOUBLE_QUOTED;
  node.count = 0;
  node.as.scalar = fb_string(text);
  return node;
}

static void S_put(S_map *map, const fb_node *at, const char *key, fb_node value) {
  if (map->count == sizeof map->pairs / sizeof *map->pairs) return;
  map->pairs[map->count++] = (fb_pair){S_text_node(at, fb_slice_of(key)), value};
}

static fb_node S_map_node(S_door *door, const fb_node *at, const S_map *map) {
  fb_node node = *at;
  node.kind = FB_MAP;
  node.count = map->count;
  node.as.pairs = fb_arena_copy(door->arena, map->pairs, map->count * sizeof *map->pairs + 1);
  if (!node.as.pairs) {
    door->no_memory = true;
    node.count = 0;
  }
  return node;
}

static fb_node S_list_node(S_door *door, const fb_node *at, uint32_t count) {
  fb_node node = *at;
  node.kind = FB_LIST;
  node.count = count;
  node.as.items = fb_arena_zero(door->arena, (count + 1) * sizeof(fb_node));
  if (!node.as.items) {
    door->no_memory = true;
    node.count = 0;
  }
  return node;
}

/* A text as it stands: `${{` means nothing there. */
static fb_node S_literal(S_door *door, const fb_node *node) {
  fb_slice text = fb_node_text(node);
  if (node->kind == FB_LIST) {
    fb_node list = S_list_node(door, node, node->count);
    for (uint32_t i = 0; i < list.count; i++)
      list.as.items[i] = S_literal(door, &node->as.items[i]);
    return list;
  }
  if (node->kind == FB_MAP) {
    fb_node map = *node;
    map.as.pairs = fb_arena_copy(door->arena, node->as.pairs, node->count * sizeof(fb_pair) + 1);
    if (!map.as.pairs) door->no_memory = true;
    if (!map.as.pairs) map.count = 0;
    for (uint32_t i = 0; i < map.count; i++)
      map.as.pairs[i].value = S_literal(door, &node->as.pairs[i].value);
    return map;
  }
  if (node->kind != FB_STRING) return *node;
  if (memmem(text.ptr, text.len, "{{", 2))
    S_warn(door, node, "`{{ … }}` stays as it is%s, as in RustChain", "");
  if (!memmem(text.ptr, text.len, "${{", 3)) return *node;
  fb_buf buf;
  fb_buf_init(&buf, door->arena->allocator, 0);
  for (size_t i = 0; i < text.len; i++) {
    if (text.len - i >= 3 && memcmp(text.ptr + i, "${{", 3) == 0) fb_buf_char(&buf, '$');
    fb_buf_char(&buf, text.ptr[i]);
  }
  const char *copy = buf.failed ? NULL : fb_arena_text(door->arena, fb_buf_slice(&buf));
  fb_node made = *node;
  if (copy)
    made.as.scalar = fb_string((fb_slice){copy, buf.len});
  else
    door->no_memory = true;
  fb_buf_release(&buf);
  return made;
}

static fb_node S_seconds(S_door *door, const fb_node *node) {
  if (node->kind != FB_INT || node->as.scalar.as.i <= 0) return *node;
  const char *text = fb_arena_printf(door->arena, "%llds", (long long)node->as.scalar.as.i);
  if (!text) door->no_memory = true;
  return text ? S_text_node(node, fb_slice_of(text)) : *node;
}

/* ── Ids ─────────────────────────────────────────────────────────────────────────────────────── */

static bool S_is_used(const S_door *door, uint32_t count, fb_slice id) {
  for (uint32_t i = 0; i < count; i++)
    if (fb_slice_equal(door->ids[i], id)) return true;
  return false;
}

/* "fetch-data" is fetch_data, "2nd" is _2nd. The same id twice stays so: that is an error of its own. */
static fb_slice S_clean(S_door *door, fb_slice id) {
  char *copy = fb_arena_alloc_aligned(door->arena, id.len + 2, 1);
  size_t at = 0;
  if (!copy) {
    door->no_memory = true;
    return FB_SLICE("_");
  }
  if (id.len == 0 || (id.ptr[0] >= '0' && id.ptr[0] <= '9')) copy[at++] = '_';
  for (size_t i = 0; i < id.len; i++) {
    char c = id.ptr[i];
    bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    copy[at++] = good ? c : '_';
  }
  copy[at] = 0;
  return (fb_slice){copy, at};
}

static bool S_same_id(const S_door *door, uint32_t step, fb_slice id) {
  const fb_node *node = fb_node_get(&door->steps->as.items[step], "id");
  return fb_node_is(node, FB_STRING) && fb_slice_equal(fb_node_text(node), id);
}

static void S_make_ids(S_door *door) {
  for (uint32_t i = 0; i < door->steps->count; i++) {
    const fb_node *node = fb_node_get(&door->steps->as.items[i], "id");
    fb_slice id = fb_node_is(node, FB_STRING) ? fb_node_text(node) : FB_SLICE("");
    fb_slice clean = S_clean(door, id);
    bool twin = false;
    for (uint32_t k = 0; k < i && !twin; k++) twin = S_same_id(door, k, id);
    if (!twin && S_is_used(door, i, clean)) {
      const char *other = fb_arena_printf(door->arena, "%.*s_%u", (int)clean.len, clean.ptr, i);
      if (other) clean = fb_slice_of(other);
    }
    door->ids[i] = clean;
  }
}

static fb_node S_needs(S_door *door, const fb_node *node) {
  fb_node list = S_list_node(door, node, node->kind == FB_LIST ? node->count : 1);
  for (uint32_t i = 0; i < list.count; i++) {
    const fb_node *one = node->kind == FB_LIST ? &node->as.items[i] : node;
    fb_slice id = fb_node_is(one, FB_STRING) ? fb_node_text(one) : FB_SLICE("");
    fb_slice ours = id;
    for (uint32_t k = 0; k < door->steps->count; k++)
      if (S_same_id(door, k, id)) ours = door->ids[k];
    list.as.items[i] = S_text_node(one, ours);
  }
  return list;
}

/* ── Kinds of step ───────────────────────────────────────────────────────────────────────────── */

typedef enum S_kind {
  S_NOOP,
  S_CREATE_FILE,
  S_EDIT_FILE,
  S_DELETE_FILE,
  S_COPY_FILE,
  S_MOVE_FILE,
  S_READ_FILE,
  S_LIST_DIRECTORY,
  S_FILE_SEARCH,
  S_COMMAND,
  S_SHELL,
  S_HTTP,
  S_OTHER
} S_kind;

/* A kind: its names (the first is RustChain's), the parameters that it reads. */
typedef struct S_kind_spec {
  const char *names[4];
  const char *parameters[6];
  const char *required[3];
} S_kind_spec;

static const S_kind_spec S_kinds[S_OTHER] = {
    [S_NOOP] = {{"noop"}, {0}, {0}},
    [S_CREATE_FILE] = {{"create_file", "createfile"}, {"path", "content"}, {"path"}},
    [S_EDIT_FILE] = {{"edit_file", "editfile"}, {"path", "content", "append"}, {"path", "content"}},
    [S_DELETE_FILE] = {{"delete_file", "deletefile"}, {"path"}, {"path"}},
    [S_COPY_FILE] = {{"copy_file", "copyfile"},
                     {"source", "destination"},
                     {"source", "destination"}},
    [S_MOVE_FILE] = {{"move_file", "movefile"},
                     {"source", "destination"},
                     {"source", "destination"}},
    [S_READ_FILE] = {{"read_file", "readfile"}, {"path"}, {"path"}},
    [S_LIST_DIRECTORY] = {{"list_directory", "listdirectory"}, {"path"}, {"path"}},
    [S_FILE_SEARCH] = {{"file_search", "filesearch"}, {"path", "pattern"}, {"path", "pattern"}},
    [S_COMMAND] = {{"command"}, {"command", "args", "working_dir"}, {"command"}},
    [S_SHELL] = {{"shell"}, {"command", "script", "working_dir"}, {0}},
    [S_HTTP] = {
        {"http", "http_request", "httprequest"}, {"url", "method", "headers", "body"}, {"url"}}};

/* Why the others cannot be run. */
static const struct {
  const char *kinds, *why;
} S_refusals[] = {
    {" llm model_inference agent chain generate_embedding similarity_search rag_query rag_add ",
     "Flyball has no step that talks to a model yet"},
    {" tool ", "RustChain's tools are not there; `run` starts a program"},
    {" parse_json parse_yaml parse_xml csv_process validate_schema ",
     "`parse` on the step that reads the text does this; expressions take it from there"},
    {" git_commit git_branch git_merge git_status git_diff compile_code run_tests format_code "
     "lint_code ping_host compress db_backup ",
     "make a `command` step of it: git, cargo, ping, tar …"},
    {" sql_query redis_set redis_get ftp_upload ftp_download db_migrate extract_functions "
     "generate_docs ",
     "it did nothing in RustChain as it is built by default; make a `command` step of it"},
    {" process_start process_kill monitor_resources service_health websocket_connect ssh_execute ",
     "make a `command` step of it"}};

static bool S_is_word(fb_slice text, const char *word) {
  return fb_slice_equal(text, fb_slice_of(word));
}

static const char *S_why(S_door *door, fb_slice kind) {
  const char *padded = fb_arena_printf(door->arena, " %.*s ", (int)kind.len, kind.ptr);
  for (size_t i = 0; padded && i < sizeof S_refusals / sizeof *S_refusals; i++)
    if (strstr(S_refusals[i].kinds, padded)) return S_refusals[i].why;
  return "RustChain does not know it either";
}

static S_kind S_kind_of(fb_slice name) {
  for (int kind = 0; kind < S_OTHER; kind++)
    for (int i = 0; i < 4 && S_kinds[kind].names[i]; i++)
      if (S_is_word(name, S_kinds[kind].names[i])) return (S_kind)kind;
  return S_OTHER;
}

/* CreateFile, create_file and CREATE_FILE are the same. */
static fb_slice S_lower(S_door *door, fb_slice text) {
  char *copy = fb_arena_alloc_aligned(door->arena, text.len + 1, 1);
  if (!copy) {
    door->no_memory = true;
    return text;
  }
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    copy[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
  }
  copy[text.len] = 0;
  return (fb_slice){copy, text.len};
}

/* ── Parameters ──────────────────────────────────────────────────────────────────────────────── */

static bool S_check_parameters(S_door *door, const fb_node *step, const fb_node *parameters,
                               const S_kind_spec *spec) {
  bool good = true;
  for (int i = 0; i < 3 && spec->required[i]; i++) {
    if (parameters && fb_node_get(parameters, spec->required[i])) continue;
    fb_doc_fail(door->loader->doc, parameters ? parameters : step, door->loader->errors,
                FB_E_MISSION_FOREIGN, "", "a `%s` step has the parameter `%s`", spec->names[0],
                spec->required[i]);
    good = false;
  }
  for (uint32_t i = 0; fb_node_is(parameters, FB_MAP) && i < parameters->count; i++) {
    bool known = false;
    for (int k = 0; k < 6 && spec->parameters[k]; k++)
      known = known || S_is_word(fb_node_text(&parameters->as.pairs[i].key), spec->parameters[k]);
    const char *name = fb_arena_text(door->arena, fb_node_text(&parameters->as.pairs[i].key));
    if (!known && name)
      S_warn(door, &parameters->as.pairs[i].key,
             "RustChain ignores the parameter `%s`; so it is here", name);
  }
  return good;
}

static fb_node S_parameter(S_door *door, const fb_node *parameters, const char *name) {
  return S_literal(door, fb_node_get(parameters, name));
}

/* file: {ACT: path, …} */
static fb_node S_file(S_door *door, const fb_node *parameters, const char *act, const char *path,
                      const char *more, const char *from) {
  S_map map = {.count = 0};
  S_put(&map, parameters, act, S_parameter(door, parameters, path));
  if (more) S_put(&map, parameters, more, S_parameter(door, parameters, from));
  return S_map_node(door, parameters, &map);
}

static fb_node S_write(S_door *door, const fb_node *parameters) {
  S_map map = {.count = 0};
  S_put(&map, parameters, "path", S_parameter(door, parameters, "path"));
  S_put(&map, parameters, "content",
        fb_node_get(parameters, "content") ? S_parameter(door, parameters, "content")
                                           : S_text_node(parameters, FB_SLICE("")));
  return S_map_node(door, parameters, &map);
}

static fb_node S_search(S_door *door, const fb_node *parameters) {
  S_map map = {.count = 0};
  const fb_node *pattern = fb_node_get(parameters, "pattern");
  const char *glob = fb_arena_printf(door->arena, "*%.*s*", (int)fb_node_text(pattern).len,
                                     fb_node_text(pattern).ptr);
  if (!glob) door->no_memory = true;
  S_put(&map, parameters, "list", S_parameter(door, parameters, "path"));
  S_put(&map, parameters, "pattern", S_text_node(pattern, fb_slice_of(glob ? glob : "*")));
  return S_map_node(door, parameters, &map);
}

static fb_node S_command(S_door *door, const fb_node *parameters) {
  const fb_node *args = fb_node_get(parameters, "args");
  uint32_t count = args && args->kind == FB_LIST ? args->count : args ? 1 : 0;
  fb_node list = S_list_node(door, parameters, count + 1);
  if (list.count) list.as.items[0] = S_parameter(door, parameters, "command");
  for (uint32_t i = 0; i < count && list.count; i++)
    list.as.items[i + 1] = S_literal(door, args->kind == FB_LIST ? &args->as.items[i] : args);
  return list;
}

static fb_node S_http(S_door *door, const fb_node *parameters) {
  static const char *const same[] = {"url", "method", "headers"};
  S_map map = {.count = 0};
  const fb_node *body = fb_node_get(parameters, "body");
  for (int i = 0; i < 3; i++)
    if (fb_node_get(parameters, same[i]))
      S_put(&map, parameters, same[i], S_parameter(door, parameters, same[i]));
  if (body) S_put(&map, body, body->kind == FB_STRING ? "body" : "json", S_literal(door, body));
  return S_map_node(door, parameters, &map);
}

static bool S_appends(const fb_node *parameters) {
  const fb_node *append = fb_node_get(parameters, "append");
  return fb_node_is(append, FB_BOOL) && append->as.scalar.as.b;
}

/* The action's key and value. */
static void S_action(S_door *door, S_kind kind, const fb_node *step, const fb_node *parameters,
                     S_map *map) {
  switch (kind) {
    case S_NOOP: S_put(map, step, "wait", S_text_node(step, FB_SLICE("0s"))); break;
    case S_CREATE_FILE: S_put(map, parameters, "write", S_write(door, parameters)); break;
    case S_EDIT_FILE:
      if (S_appends(parameters))
        S_put(map, parameters, "file",
              S_file(door, parameters, "append", "path", "content", "content"));
      else
        S_put(map, parameters, "write", S_write(door, parameters));
      break;
    case S_DELETE_FILE:
      S_put(map, parameters, "file", S_file(door, parameters, "delete", "path", NULL, NULL));
      break;
    case S_COPY_FILE:
      S_put(map, parameters, "file",
            S_file(door, parameters, "copy", "source", "to", "destination"));
      break;
    case S_MOVE_FILE:
      S_put(map, parameters, "file",
            S_file(door, parameters, "move", "source", "to", "destination"));
      break;
    case S_READ_FILE:
      S_put(map, parameters, "file", S_file(door, parameters, "read", "path", NULL, NULL));
      break;
    case S_LIST_DIRECTORY:
      S_put(map, parameters, "file", S_file(door, parameters, "list", "path", NULL, NULL));
      break;
    case S_FILE_SEARCH: S_put(map, parameters, "file", S_search(door, parameters)); break;
    case S_COMMAND: S_put(map, parameters, "run", S_command(door, parameters)); break;
    case S_SHELL:
      S_put(
          map, parameters, "shell",
          S_parameter(door, parameters, fb_node_get(parameters, "script") ? "script" : "command"));
      break;
    case S_HTTP: S_put(map, parameters, "http", S_http(door, parameters)); break;
    case S_OTHER: break;
  }
  if ((kind == S_COMMAND || kind == S_SHELL) && fb_node_get(parameters, "working_dir"))
    S_put(map, parameters, "dir", S_parameter(door, parameters, "working_dir"));
}

/* ── Steps ───────────────────────────────────────────────────────────────────────────────────── */

static const fb_node *S_type_node(const fb_node *step) {
  const fb_node *type = fb_node_get(step, "step_type");
  if (!type) type = fb_node_get(step, "type");
  if (fb_node_is(type, FB_MAP)) type = fb_node_get(type, "type");
  return type;
}

static void S_warn_keys(S_door *door, const fb_node *node, const char *const *known, size_t count,
                        const char *format) {
  for (uint32_t i = 0; i < node->count; i++) {
    bool found = false;
    for (size_t k = 0; k < count; k++)
      found = found || S_is_word(fb_node_text(&node->as.pairs[i].key), known[k]);
    const char *name = fb_arena_text(door->arena, fb_node_text(&node->as.pairs[i].key));
    if (!found && name) S_warn(door, &node->as.pairs[i].key, format, name);
  }
}

static const fb_node *S_either(const fb_node *node, const char *one, const char *other) {
  const fb_node *found = fb_node_get(node, one);
  return found ? found : fb_node_get(node, other);
}

/* A limit is the step's, or the mission's, or RustChain's 300 seconds. */
static fb_node S_timeout(S_door *door, const fb_node *step, const fb_node *config) {
  const fb_node *own = S_either(step, "timeout_seconds", "timeout");
  if (!own && config) own = fb_node_get(config, "timeout_seconds");
  return own ? S_seconds(door, own) : S_text_node(step, FB_SLICE("300s"));
}

/* One that was refused does nothing, so that nothing further is said of it. */
static void S_action_of(S_door *door, const fb_node *step, const fb_node *type,
                        const fb_node *parameters, S_map *map) {
  fb_slice lower = S_lower(door, fb_node_text(type));
  S_kind kind = S_kind_of(lower);
  bool good = kind != S_OTHER;
  if (!good)
    S_refuse(door, type, S_why(door, lower), fb_node_text(type));
  else if (kind == S_SHELL && !(parameters && S_either(parameters, "script", "command")))
    S_refuse(door, type, "its script stands in `command`", fb_node_text(type));
  else
    good = S_check_parameters(door, step, parameters, &S_kinds[kind]);
  S_action(door, good ? kind : S_NOOP, step, parameters ? parameters : step, map);
}

static fb_node S_step(S_door *door, uint32_t number, const fb_node *config) {
  static const char *const known[] = {
      "id",         "name",         "step_type",       "type",    "parameters",
      "depends_on", "dependencies", "timeout_seconds", "timeout", "continue_on_error",
      "description"};
  const fb_node *step = &door->steps->as.items[number];
  if (step->kind != FB_MAP) return *step;
  S_warn_keys(door, step, known, sizeof known / sizeof *known,
              "RustChain ignores `%s` of a step; so it is here");
  S_map map = {.count = 0};
  const fb_node *id = fb_node_get(step, "id"), *name = fb_node_get(step, "name");
  const fb_node *type = S_type_node(step), *parameters = fb_node_get(step, "parameters");
  const fb_node *needs = S_either(step, "depends_on", "dependencies");
  const fb_node *goes_on = fb_node_get(step, "continue_on_error");
  if (id) S_put(&map, id, "id", S_text_node(id, door->ids[number]));
  if (fb_node_is(name, FB_STRING)) S_put(&map, name, "description", *name);
  if (needs) S_put(&map, needs, "needs", S_needs(door, needs));
  if (fb_node_is(goes_on, FB_BOOL) && goes_on->as.scalar.as.b)
    S_put(&map, goes_on, "on_error", S_text_node(goes_on, FB_SLICE("continue")));
  S_put(&map, step, "timeout", S_timeout(door, step, config));
  if (!fb_node_is(type, FB_STRING)) {
    fb_doc_fail(door->loader->doc, step, door->loader->errors, FB_E_MISSION_FOREIGN,
                "step_type: command", "a step of RustChain has a `step_type`");
    S_action(door, S_NOOP, step, step, &map);
    return S_map_node(door, step, &map);
  }
  S_action_of(door, step, type, parameters, &map);
  return S_map_node(door, step, &map);
}

/* ── The whole ───────────────────────────────────────────────────────────────────────────────── */

bool fb_rustchain_is(const fb_node *root) {
  const fb_node *steps = fb_node_get(root, "steps");
  if (!fb_node_is(steps, FB_LIST)) return false;
  for (uint32_t i = 0; i < steps->count; i++)
    if (fb_node_get(&steps->as.items[i], "step_type") ||
        (fb_node_get(&steps->as.items[i], "type") &&
         fb_node_get(&steps->as.items[i], "parameters")))
      return true;
  return false;
}

static void S_config(S_door *door, const fb_node *config, S_map *map) {
  static const char *const known[] = {"max_parallel_steps", "timeout_seconds", "fail_fast"};
  S_map limits = {.count = 0};
  S_warn_keys(door, config, known, 3, "RustChain ignores `%s` of config; so it is here");
  const fb_node *parallel = fb_node_get(config, "max_parallel_steps");
  const fb_node *fast = fb_node_get(config, "fail_fast");
  if (fb_node_is(parallel, FB_INT)) S_put(&limits, parallel, "parallel", *parallel);
  if (fb_node_is(fast, FB_BOOL)) S_put(&limits, fast, "fail_fast", *fast);
  if (limits.count) S_put(map, config, "limits", S_map_node(door, config, &limits));
}

/* Its file steps go anywhere. */
static void S_roots(S_door *door, const fb_node *root, S_map *map) {
  S_map files = {.count = 0};
  fb_node list = S_list_node(door, root, 1);
  if (list.count) list.as.items[0] = S_text_node(root, FB_SLICE("/"));
  S_put(&files, root, "roots", list);
  S_put(map, root, "files", S_map_node(door, root, &files));
}

const fb_node *fb_rustchain_translate(fb_mission_loader *loader, const fb_node *root) {
  static const char *const known[] = {"version", "name", "description", "steps", "config"};
  S_door door = {
      .loader = loader, .arena = &loader->mission->arena, .steps = fb_node_get(root, "steps")};
  S_map map = {.count = 0};
  door.ids = fb_arena_zero(door.arena, (door.steps->count + 1) * sizeof *door.ids);
  fb_node *made = fb_arena_zero(door.arena, sizeof *made);
  fb_node steps = S_list_node(&door, door.steps, door.steps->count);
  if (!door.ids || !made || door.no_memory) {
    loader->out_of_memory = true;
    return NULL;
  }
  S_make_ids(&door);
  S_warn_keys(&door, root, known, 5, "RustChain ignores `%s`; so it is here");
  const fb_node *name = fb_node_get(root, "name"), *config = fb_node_get(root, "config");
  const fb_node *description = fb_node_get(root, "description");
  if (fb_node_is(name, FB_STRING)) S_put(&map, name, "name", *name);
  if (fb_node_is(description, FB_STRING)) S_put(&map, description, "description", *description);
  if (!fb_node_is(config, FB_MAP)) config = NULL;
  if (config) S_config(&door, config, &map);
  S_roots(&door, root, &map);
  for (uint32_t i = 0; i < steps.count; i++) steps.as.items[i] = S_step(&door, i, config);
  S_put(&map, door.steps, "steps", steps);
  *made = S_map_node(&door, root, &map);
  if (door.no_memory) loader->out_of_memory = true;
  return door.no_memory ? NULL : made;
}
