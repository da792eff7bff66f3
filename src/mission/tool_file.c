/* SPDX-License-Identifier: Apache-2.0
 *
 * file: one thing done with files, inside the folders that the mission may touch.
 */
#include "mission/plan.h"

#include <fnmatch.h>
#include <stdio.h>

enum { MOST_READ = 64 << 20, MOST_ENTRIES = 100000, MOST_LINE = 4096 };

enum { A_READ, A_APPEND, A_COPY, A_MOVE, A_DELETE, A_MKDIR, A_LIST, A_SEARCH, A_STAT, A_COUNT };

typedef struct S_act {
  const char *key;
  fb_file_act act;
  bool to, content, recursive, pattern, parse;
} S_act;

static const S_act S_acts[A_COUNT] = {
    [A_READ] = {"read", FB_FILE_READ, .parse = true},
    [A_APPEND] = {"append", FB_FILE_APPEND, .content = true},
    [A_COPY] = {"copy", FB_FILE_COPY, .to = true},
    [A_MOVE] = {"move", FB_FILE_MOVE, .to = true},
    [A_DELETE] = {"delete", FB_FILE_DELETE, .recursive = true},
    [A_MKDIR] = {"mkdir", FB_FILE_MKDIR},
    [A_LIST] = {"list", FB_FILE_LIST, .recursive = true, .pattern = true},
    [A_SEARCH] = {"search", FB_FILE_LIST, .recursive = true, .pattern = true, .content = true},
    [A_STAT] = {"stat", FB_FILE_STAT}};

typedef struct S_plan {
  const S_act *act;
  fb_text *path, *to, *content, *pattern;
  bool recursive;
  uint8_t parse;
} S_plan;

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────── */

enum { F_TO = A_COUNT, F_CONTENT, F_TEXT, F_RECURSIVE, F_PATTERN, F_PARSE, F_COUNT };

static void S_only(fb_mission_loader *loader, const fb_node *node, const char *key, bool may,
                   const char *act) {
  if (node && !may)
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_SYNTAX, "",
                "`%s` does not belong to `%s`", key, act);
}

static const S_act *S_which(fb_mission_loader *loader, const fb_node *node,
                            const fb_node *const *nodes) {
  int found = -1;
  for (int i = 0; i < A_COUNT; i++) {
    if (!nodes[i]) continue;
    if (found >= 0) {
      fb_load_fail(loader, nodes[i], FB_E_MISSION_SYNTAX, "make two steps of it",
                   "`file` does one thing at a time");
      return NULL;
    }
    found = i;
  }
  if (found < 0 && fb_errors_total(loader->errors) == 0)
    fb_load_fail(loader, node, FB_E_MISSION_SYNTAX,
                 "one of read, append, copy, move, delete, mkdir, list, search, stat",
                 "`file` does not say what is to be done");
  return found < 0 ? NULL : &S_acts[found];
}

static void S_rest(fb_mission_loader *loader, const fb_node *node, const fb_node *const *nodes,
                   S_plan *plan) {
  static const char *const formats[] = {"text", "lines", "json", "ndjson", "csv"};
  const S_act *act = plan->act;
  bool search = act == &S_acts[A_SEARCH];
  S_only(loader, nodes[F_TO], "to", act->to, act->key);
  S_only(loader, nodes[F_CONTENT], "content", act->content && !search, act->key);
  S_only(loader, nodes[F_TEXT], "text", search, act->key);
  S_only(loader, nodes[F_RECURSIVE], "recursive", act->recursive, act->key);
  S_only(loader, nodes[F_PATTERN], "pattern", act->pattern, act->key);
  S_only(loader, nodes[F_PARSE], "parse", act->parse, act->key);
  if (act->to && !nodes[F_TO]) fb_load_fail(loader, node, FB_E_MISSION_SYNTAX, "", "where `to`?");
  if (act->content && !search && !nodes[F_CONTENT])
    fb_load_fail(loader, node, FB_E_MISSION_SYNTAX, "", "which `content`?");
  const fb_node *content = search ? nodes[F_TEXT] : nodes[F_CONTENT];
  if (nodes[F_TO]) plan->to = fb_loader_text(loader, nodes[F_TO], NULL);
  if (content) plan->content = fb_loader_text(loader, content, NULL);
  if (nodes[F_PATTERN]) plan->pattern = fb_loader_text(loader, nodes[F_PATTERN], NULL);
  plan->recursive = nodes[F_RECURSIVE] ? nodes[F_RECURSIVE]->as.scalar.as.b : search;
  if (nodes[F_PARSE])
    plan->parse =
        (uint8_t)(FB_PARSE_TEXT + fb_load_word(loader, nodes[F_PARSE], "parse", formats, 5));
}

static fb_status S_load(fb_mission_loader *loader, const fb_node *node, void **ret_plan) {
  fb_key_spec specs[F_COUNT] = {[F_TO] = {"to", FB_KIND_BIT(FB_STRING), false},
                                [F_CONTENT] = {"content", 0, false},
                                [F_TEXT] = {"text", 0, false},
                                [F_RECURSIVE] = {"recursive", FB_KIND_BIT(FB_BOOL), false},
                                [F_PATTERN] = {"pattern", FB_KIND_BIT(FB_STRING), false},
                                [F_PARSE] = {"parse", FB_KIND_BIT(FB_STRING), false}};
  const fb_node *nodes[F_COUNT] = {0};
  for (int i = 0; i < A_COUNT; i++)
    specs[i] = (fb_key_spec){S_acts[i].key, FB_KIND_BIT(FB_STRING), false};
  S_plan *plan = fb_arena_zero(fb_loader_arena(loader), sizeof *plan);
  if (!plan) return FB_E_NOMEM;
  fb_doc_keys(loader->doc, node, "file", specs, F_COUNT, nodes, loader->errors);
  if (node->kind != FB_MAP) return FB_E_MISSION_SYNTAX;
  plan->act = S_which(loader, node, nodes);
  if (!plan->act) return FB_OK;
  plan->path = fb_loader_text(loader, nodes[plan->act - S_acts], NULL);
  S_rest(loader, node, nodes, plan);
  *ret_plan = plan;
  return FB_OK;
}

/* ── Preparing ───────────────────────────────────────────────────────────────────────────────── */

typedef struct S_job {
  fb_file_job job;
  const char *pattern;
  fb_slice text; /* to search for; ptr NULL: nothing */
  fb_call *call;
  fb_list *entries;
} S_job;

static fb_status S_path(fb_call *call, const fb_text *text, const char **ret_path, fb_error *err) {
  fb_slice path;
  if (!text) return FB_OK;
  fb_status status = fb_scope_text(&call->scope, text, &path, err);
  if (status) return status;
  if (path.len == 0 || memchr(path.ptr, 0, path.len))
    return fb_fail(err, FB_E_STEP_VALUE, "a path is empty or has a NUL byte in it");
  *ret_path = fb_arena_text(call->arena, path);
  return *ret_path ? FB_OK : fb_fail(err, FB_E_NOMEM, "out of memory");
}

static fb_status S_prepare(const void *tool_plan, fb_call *call, fb_error *err) {
  const S_plan *plan = tool_plan;
  S_job *own = fb_arena_zero(call->arena, sizeof *own);
  if (!own) return fb_fail(err, FB_E_NOMEM, "out of memory");
  call->state = own;
  own->call = call;
  own->job = (fb_file_job){.act = plan->act->act,
                           .roots = call->roots,
                           .root_count = call->root_count,
                           .mode = plan->act == &S_acts[A_MKDIR] ? 0777 : 0644,
                           .recursive = plan->recursive,
                           .max = MOST_READ};
  fb_status status = S_path(call, plan->path, &own->job.path, err);
  if (!status) status = S_path(call, plan->to, &own->job.to, err);
  if (!status) status = S_path(call, plan->pattern, &own->pattern, err);
  if (!status && plan->content) {
    fb_slice text;
    status = fb_scope_text(&call->scope, plan->content, &text, err);
    if (plan->act == &S_acts[A_SEARCH])
      own->text = text;
    else
      own->job.bytes = text;
  }
  return status;
}

/* ── Doing ───────────────────────────────────────────────────────────────────────────────────── */

static bool S_put(fb_map *map, fb_arena *arena, const char *key, fb_value value) {
  return map && fb_map_put(map, arena, fb_string(fb_slice_of(key)), value, NULL);
}

static fb_value S_kept(fb_arena *arena, const char *text) {
  const char *copy = fb_arena_text(arena, fb_slice_of(text));
  return copy ? fb_text_or_bytes(fb_slice_of(copy)) : fb_null();
}

static fb_status S_entry(void *user, const fb_file_entry *entry) {
  S_job *own = user;
  fb_arena *arena = own->call->arena;
  const char *slash = strrchr(entry->path, '/'), *name = slash ? slash + 1 : entry->path;
  if (own->pattern && fnmatch(own->pattern, name, 0) != 0) return FB_OK;
  if (own->entries->len >= MOST_ENTRIES) return FB_E_LIMIT;
  char mode[8];
  snprintf(mode, sizeof mode, "%04o", entry->mode);
  fb_map *map = fb_map_new(arena, 6);
  int64_t seconds = entry->modified / 1000000000;
  bool good = S_put(map, arena, "path", S_kept(arena, entry->path)) &&
              S_put(map, arena, "name", S_kept(arena, name)) &&
              S_put(map, arena, "kind", fb_string(fb_slice_of(entry->kind))) &&
              S_put(map, arena, "size", fb_int((int64_t)entry->size)) &&
              S_put(map, arena, "mode", S_kept(arena, mode)) &&
              S_put(map, arena, "modified",
                    fb_timestamp(seconds, (uint32_t)(entry->modified % 1000000000))) &&
              fb_list_push(own->entries, arena, fb_map_value(map));
  return good ? FB_OK : FB_E_NOMEM;
}

static fb_status S_do(S_job *own, fb_file_job *job, fb_error *err) {
  const fb_world *world = own->call->world;
  if (!world->file) return fb_fail(err, FB_E_IO, "there are no files here");
  return world->file(world->context, job, err);
}

static fb_status S_match(S_job *own, const char *path, int64_t number, fb_slice line,
                         fb_list *matches) {
  fb_arena *arena = own->call->arena;
  if (matches->len >= MOST_ENTRIES) return FB_E_LIMIT;
  if (line.len > MOST_LINE) line.len = MOST_LINE;
  const char *copy = fb_arena_text(arena, line);
  fb_map *map = copy ? fb_map_new(arena, 3) : NULL;
  bool good = S_put(map, arena, "path", S_kept(arena, path)) &&
              S_put(map, arena, "line", fb_int(number)) &&
              S_put(map, arena, "text", fb_text_or_bytes((fb_slice){copy, line.len})) &&
              fb_list_push(matches, arena, fb_map_value(map));
  return good ? FB_OK : FB_E_NOMEM;
}

static fb_status S_search_text(S_job *own, const char *path, fb_slice text, fb_list *matches) {
  int64_t number = 0;
  fb_status status = FB_OK;
  while (text.len && !status) {
    const char *end = memchr(text.ptr, '\n', text.len);
    fb_slice line = {text.ptr, end ? (size_t)(end - text.ptr) : text.len};
    number++;
    if (memmem(line.ptr, line.len, own->text.ptr, own->text.len))
      status = S_match(own, path, number, line, matches);
    size_t used = line.len + (end != NULL);
    text = (fb_slice){text.ptr + used, text.len - used};
  }
  return status;
}

/* The lines with the text, of the files that were listed. What cannot be read is left out. */
static fb_status S_search(S_job *own, fb_error *err) {
  fb_list *matches = fb_list_new(own->call->arena, 8);
  fb_status status = matches ? FB_OK : FB_E_NOMEM;
  for (uint32_t i = 0; i < own->entries->len && !status; i++) {
    const fb_map *entry = own->entries->items[i].as.map;
    const fb_value *kind = fb_map_get_text(entry, FB_SLICE("kind"));
    const fb_value *path = fb_map_get_text(entry, FB_SLICE("path"));
    if (!kind || !path || !fb_slice_equal(fb_value_text(*kind), FB_SLICE("file"))) continue;
    fb_buf buf;
    fb_buf_init(&buf, own->call->arena->allocator, 0);
    fb_file_job job = own->job;
    job.act = FB_FILE_READ;
    job.path = fb_value_text(*path).ptr;
    job.out = &buf;
    if (!S_do(own, &job, NULL)) status = S_search_text(own, job.path, fb_buf_slice(&buf), matches);
    fb_buf_release(&buf);
  }
  if (status)
    return fb_fail(err, status, status == FB_E_LIMIT ? "too many matches" : "out of memory");
  own->entries = matches;
  return FB_OK;
}

static fb_status S_read(S_job *own, const S_plan *plan, fb_error *err) {
  fb_buf buf;
  fb_call *call = own->call;
  fb_buf_init(&buf, call->arena->allocator, 0);
  own->job.out = &buf;
  fb_status status = S_do(own, &own->job, err);
  fb_slice text = fb_buf_slice(&buf);
  const char *copy = status ? NULL : fb_arena_text(call->arena, text);
  if (!status && !copy) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  text.ptr = copy;
  if (!status && plan->parse) {
    status = fb_parse_output((fb_parse)plan->parse, text, own->job.path, call->hash_seed,
                             call->arena, &call->output, err);
    if (status && status != FB_E_NOMEM && err) err->code = status = FB_E_STEP_PARSE;
  } else if (!status) {
    call->output = fb_text_or_bytes(text);
  }
  if (!status) call->note = fb_arena_printf(call->arena, "%s, %zu bytes", own->job.path, text.len);
  fb_buf_release(&buf);
  return status;
}

static fb_status S_output(S_job *own, const S_plan *plan, fb_error *err) {
  fb_arena *arena = own->call->arena;
  fb_map *map = fb_map_new(arena, 3);
  bool good = S_put(map, arena, "path", fb_text_or_bytes(fb_slice_of(own->job.path)));
  if (plan->act->to)
    good = good && S_put(map, arena, "to", fb_text_or_bytes(fb_slice_of(own->job.to)));
  if (plan->act == &S_acts[A_DELETE])
    good = good && S_put(map, arena, "deleted", fb_int((int64_t)own->job.size));
  if (!good) return fb_fail(err, FB_E_NOMEM, "out of memory");
  own->call->output = fb_map_value(map);
  own->call->note = own->job.path;
  return FB_OK;
}

static fb_status S_work(const void *tool_plan, fb_call *call, fb_error *err) {
  const S_plan *plan = tool_plan;
  S_job *own = call->state;
  if (plan->act == &S_acts[A_READ]) return S_read(own, plan, err);
  bool listing = own->job.act == FB_FILE_LIST || own->job.act == FB_FILE_STAT;
  if (listing) {
    own->job.each = S_entry;
    own->job.user = own;
    own->entries = fb_list_new(call->arena, 8);
    if (!own->entries) return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  fb_status status = S_do(own, &own->job, err);
  if (!status && own->text.ptr) status = S_search(own, err);
  if (status) return status;
  if (!listing) return S_output(own, plan, err);
  bool one = own->job.act == FB_FILE_STAT;
  call->output = !one                ? fb_list_value(own->entries)
                 : own->entries->len ? own->entries->items[0]
                                     : fb_null();
  if (!one) call->note = fb_arena_printf(call->arena, "%u found", own->entries->len);
  return FB_OK;
}

static void S_describe(const void *tool_plan, fb_step_scope *scope, fb_buf *out) {
  const S_plan *plan = tool_plan;
  fb_buf_printf(out, "%s ", plan->act->key);
  fb_scope_show(scope, plan->path, out);
  if (plan->to) {
    fb_buf_text(out, " to ");
    fb_scope_show(scope, plan->to, out);
  }
  if (plan->pattern) {
    fb_buf_text(out, " for ");
    fb_scope_show(scope, plan->pattern, out);
  }
  if (plan->recursive) fb_buf_text(out, ", with all below");
}

const fb_tool fb_tool_file = {
    .key = "file", .load = S_load, .prepare = S_prepare, .work = S_work, .describe = S_describe};
