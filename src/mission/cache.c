/* SPDX-License-Identifier: Apache-2.0
 *
 * `cache`: the result of a step that went well is kept beyond its run, a file each, named by the digest of all that it
 * depends on: the step as it is written, its key (or what it is given), its item, and the files that it names.
 */
#include "mission/record.h"

#include <stdio.h>
#include <stdlib.h>

enum { FORM = 1, MOST_ENTRY = 4 << 20, MOST_FILES = 10000, CHUNK = 256 << 10 };

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────── */

enum { C_KEY, C_TTL, C_FILES, C_COUNT };

static void S_load_files(fb_mission_loader *loader, const fb_node *node, fb_step_cache *cache) {
  cache->files = fb_arena_zero(&loader->mission->arena, (node->count + 1) * sizeof *cache->files);
  if (!cache->files) {
    loader->out_of_memory = true;
    return;
  }
  for (uint32_t i = 0; i < node->count; i++) {
    fb_text *text = fb_loader_text(loader, &node->as.items[i], NULL);
    if (text) cache->files[cache->file_count++] = text;
  }
}

/* What has an effect, or waits for somebody, cannot be left out. */
static bool S_may_be_kept(const fb_tool *tool) {
  static const char *const keys[] = {"run", "shell", "http", "rules", "file"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (strcmp(tool->key, keys[i]) == 0) return true;
  return false;
}

void fb_load_cache(fb_mission_loader *loader, const fb_node *node, fb_step *step) {
  static const fb_key_spec specs[C_COUNT] = {[C_KEY] = {"key", 0, false},
                                             [C_TTL] = {"ttl", 0, false},
                                             [C_FILES] = {"files", FB_KIND_BIT(FB_LIST), false}};
  const fb_node *nodes[C_COUNT] = {0};
  if (!node || (node->kind == FB_BOOL && !node->as.scalar.as.b)) return;
  fb_step_cache *cache = fb_arena_zero(&loader->mission->arena, sizeof *cache);
  if (!cache) {
    loader->out_of_memory = true;
    return;
  }
  if (step->tool && !S_may_be_kept(step->tool))
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_SYNTAX,
                "only results of run, shell, http, rules and file are kept",
                "`cache` cannot stand in a `%s` step", step->tool->key);
  if (node->kind == FB_STRING)
    nodes[C_KEY] = node;
  else if (node->kind == FB_MAP)
    fb_doc_keys(loader->doc, node, "cache", specs, C_COUNT, nodes, loader->errors);
  else if (node->kind != FB_BOOL)
    fb_load_fail(loader, node, FB_E_MISSION_SYNTAX,
                 "cache: true, or {key: \"health/${{ inputs.host }}\", ttl: 30s, files: [a.txt]}",
                 "`cache` takes `true`, a key or a map");
  if (nodes[C_KEY]) cache->key = fb_loader_text(loader, nodes[C_KEY], NULL);
  if (nodes[C_TTL]) cache->ttl = fb_load_duration(loader, nodes[C_TTL]);
  if (nodes[C_FILES]) S_load_files(loader, nodes[C_FILES], cache);
  step->cache = cache;
}

/* ── The key ─────────────────────────────────────────────────────────────────────────────────── */

static void S_add(fb_digester *digester, fb_slice text) {
  uint64_t length = text.len;
  fb_digest_add(digester, (fb_slice){(const char *)&length, sizeof length});
  fb_digest_add(digester, text);
}

static fb_status S_add_file(fb_digester *digester, const fb_active *active, const char *path,
                            fb_error *err) {
  const fb_world *world = active->run->world;
  uint64_t offset = 0;
  bool more = true;
  fb_status status = FB_OK;
  fb_buf buf;
  fb_buf_init(&buf, active->run->allocator, 0);
  S_add(digester, fb_slice_of(path));
  while (more && !status) {
    fb_buf_clear(&buf);
    status = world->read(world->context, path, offset, CHUNK, &buf, &more, err);
    if (!status) fb_digest_add(digester, fb_buf_slice(&buf));
    offset += buf.len;
  }
  fb_digest_add(digester, (fb_slice){(const char *)&offset, sizeof offset});
  fb_buf_release(&buf);
  return status;
}

typedef struct S_found {
  fb_arena *arena;
  const fb_allocator *allocator;
  const char **paths;
  size_t count, cap;
  bool folder;
} S_found;

static fb_status S_see(void *user, const fb_file_entry *entry) {
  S_found *found = user;
  if (strcmp(entry->kind, "folder") == 0) found->folder = true;
  if (strcmp(entry->kind, "file") != 0) return FB_OK;
  if (found->count == MOST_FILES) return FB_E_LIMIT;
  void *paths = found->paths;
  if (!fb_grow(found->allocator, &paths, &found->cap, found->count, sizeof *found->paths))
    return FB_E_NOMEM;
  found->paths = paths;
  found->paths[found->count] = fb_arena_text(found->arena, fb_slice_of(entry->path));
  return found->paths[found->count++] ? FB_OK : FB_E_NOMEM;
}

static int S_by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A file, or all files below a folder. One that is not there is an error: an input that is misspelled never changes. */
static fb_status S_add_path(fb_digester *digester, fb_active *active, const char *path,
                            fb_error *err) {
  static const char *const all[] = {"/", "."};
  const fb_world *world = active->run->world;
  S_found found = {.arena = &active->arena, .allocator = active->run->allocator};
  fb_file_job job = {.act = FB_FILE_STAT,
                     .path = path,
                     .roots = all,
                     .root_count = 2,
                     .each = S_see,
                     .user = &found};
  fb_status status = world->file ? world->file(world->context, &job, err) : FB_OK;
  if (!status && found.folder) {
    job.act = FB_FILE_LIST;
    job.recursive = true;
    status = world->file(world->context, &job, err);
  } else if (!status) {
    status = S_add_file(digester, active, path, err);
    found.count = 0;
  }
  if (found.count) qsort(found.paths, found.count, sizeof *found.paths, S_by_name);
  for (size_t i = 0; i < found.count && !status; i++)
    status = S_add_file(digester, active, found.paths[i], err);
  fb_free(found.allocator, found.paths, found.cap * sizeof *found.paths);
  if (status && err && !err->code) fb_fail(err, status, "the files of %s cannot be read", path);
  return status;
}

static fb_status S_add_files(fb_digester *digester, fb_active *active, const fb_step_cache *cache) {
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < cache->file_count && !status; i++) {
    fb_slice text;
    status = fb_scope_text(&active->call.scope, cache->files[i], &text, &active->error);
    const char *path = status ? NULL : fb_arena_text(&active->arena, text);
    if (!status && !path) status = fb_fail(&active->error, FB_E_NOMEM, "out of memory");
    if (!status) status = S_add_path(digester, active, path, &active->error);
  }
  return status;
}

static void S_add_hidden(fb_digester *digester, fb_active *active, const char *text,
                         size_t length) {
  fb_slice hidden = fb_mask_text(active->run->mask, (fb_slice){text, length}, &active->arena);
  S_add(digester, hidden.ptr ? hidden : FB_SLICE(""));
}

/* The variables that the document sets, as they came out. The rest differs from run to run. */
static void S_add_env(fb_digester *digester, fb_active *active, const fb_env_list *list) {
  for (uint32_t i = 0; i < list->count; i++) {
    fb_slice name = list->items[i].name;
    const char *const *env = active->call.process.env;
    while (env && *env && !(strncmp(*env, name.ptr, name.len) == 0 && (*env)[name.len] == '='))
      env++;
    if (env && *env) S_add_hidden(digester, active, *env, strlen(*env));
  }
}

/* Program, arguments, folder, input; or what others would do, as a dry run tells it. */
static fb_status S_add_given(fb_digester *digester, fb_active *active) {
  const fb_step *step = &active->run->mission->steps[active->step];
  const fb_process_spec *process = &active->call.process;
  uint8_t given[FB_DIGEST_SIZE];
  if (!step->tool->process) {
    if (!fb_digest_input(active, given))
      return fb_fail(&active->error, FB_E_NOMEM, "out of memory");
    fb_digest_add(digester, (fb_slice){(const char *)given, sizeof given});
    return FB_OK;
  }
  for (const char *const *arg = process->argv; *arg; arg++)
    S_add_hidden(digester, active, *arg, strlen(*arg));
  S_add_hidden(digester, active, process->dir ? process->dir : "",
               process->dir ? strlen(process->dir) : 0);
  S_add_hidden(digester, active, process->input.ptr ? process->input.ptr : "", process->input.len);
  S_add_env(digester, active, &active->run->mission->env);
  S_add_env(digester, active, &step->env);
  return FB_OK;
}

/* The item at hand, without secrets: two that differ only in those have one entry. */
static fb_status S_add_item(fb_digester *digester, fb_active *active) {
  fb_value item = active->run->slots[fb_slot_item(active->run->mission)];
  if (item.kind == FB_ABSENT) return FB_OK;
  fb_buf buf;
  fb_buf_init(&buf, active->run->allocator, 0);
  fb_status status = fb_mask_value(active->run->mask, item, &active->arena, &item);
  if (!status) status = fb_value_pack(&buf, item);
  S_add(digester, fb_buf_slice(&buf));
  fb_buf_release(&buf);
  return status ? fb_fail(&active->error, FB_E_NOMEM, "out of memory") : FB_OK;
}

fb_status fb_cache_key(fb_active *active) {
  const fb_mission_run *run = active->run;
  const fb_step *step = &run->mission->steps[active->step];
  const fb_step_cache *cache = step->cache;
  uint64_t head[2] = {FORM, fb_step_identity(run->mission, active->step)};
  fb_digester digester;
  fb_slice key = {0};
  if (!cache || active->has_cache_key || !run->options.cache_dir) return FB_OK;
  fb_digest_begin(&digester);
  fb_digest_add(&digester, (fb_slice){(const char *)head, sizeof head});
  fb_status status = S_add_item(&digester, active);
  if (!status && cache->key) {
    status = fb_scope_text(&active->call.scope, cache->key, &key, &active->error);
    if (!status) S_add_hidden(&digester, active, key.ptr ? key.ptr : "", key.len);
  } else if (!status) {
    status = S_add_given(&digester, active);
  }
  if (!status) status = S_add_files(&digester, active, cache);
  fb_digest_end(&digester, active->cache_key);
  active->has_cache_key = status == FB_OK;
  return status;
}

static const char *S_path(fb_active *active) {
  char hex[2 * FB_DIGEST_SIZE + 1];
  fb_hex(active->cache_key, FB_DIGEST_SIZE, hex);
  return fb_arena_printf(&active->arena, "%s/%s", active->run->options.cache_dir, hex);
}

/* ── Taking ──────────────────────────────────────────────────────────────────────────────────── */

static const fb_value *S_get(fb_value entry, const char *key) {
  return entry.kind == FB_MAP ? fb_map_get_text(entry.as.map, fb_slice_of(key)) : NULL;
}

static int64_t S_number(fb_value entry, const char *key) {
  const fb_value *value = S_get(entry, key);
  return value && value->kind == FB_INT ? value->as.i : 0;
}

static void S_take_value(fb_value entry, const char *key, fb_value *ret_value) {
  const fb_value *value = S_get(entry, key);
  if (value) *ret_value = *value;
}

/* An entry of the future is of a clock that was set back: nobody knows how old it is. */
static bool S_holds(const fb_active *active, fb_value entry) {
  const fb_step *step = &active->run->mission->steps[active->step];
  const fb_clock *clock = active->run->world->clock;
  int64_t age = clock->wall(clock->context) - S_number(entry, "at");
  if (S_number(entry, "form") != FORM || age < 0) return false;
  if (step->cache->ttl && age >= step->cache->ttl) return false;
  return !step->referenced || S_get(entry, "value");
}

static const char *S_age(fb_active *active, fb_value entry) {
  char text[FB_TIME_TEXT_MAX + 1];
  const fb_clock *clock = active->run->world->clock;
  int64_t age = clock->wall(clock->context) - S_number(entry, "at");
  size_t length = fb_duration_format(age / 1000000 * 1000000, text);
  return fb_arena_printf(&active->arena, "cached, %.*s old", (int)length, text);
}

/* What cannot be read is no entry. */
static bool S_read(fb_active *active, fb_value *ret_entry) {
  const fb_world *world = active->run->world;
  const char *path = S_path(active);
  bool more = false;
  fb_buf buf;
  fb_buf_init(&buf, active->run->allocator, 0);
  bool good =
      path && world->read(world->context, path, 0, MOST_ENTRY, &buf, &more, NULL) == FB_OK &&
      !more && fb_value_unpack(fb_buf_slice(&buf), &active->arena, ret_entry, NULL) == FB_OK;
  fb_buf_release(&buf);
  return good;
}

bool fb_cache_take(fb_active *active) {
  fb_value entry;
  if (!active->has_cache_key || active->run->options.cache_fresh) return false;
  if (!S_read(active, &entry) || !S_holds(active, entry)) return false;
  S_take_value(entry, "output", &active->call.output);
  S_take_value(entry, "out", &active->out);
  S_take_value(entry, "err", &active->err);
  active->call.note = S_age(active, entry);
  active->exit_code = active->run->mission->steps[active->step].tool->process ? 0 : -1;
  active->status = FB_OK;
  active->cached = active->otherwise = true;
  fb_run_hide_result(active);
  return true;
}

/* ── Keeping ─────────────────────────────────────────────────────────────────────────────────── */

/* Nothing depends on it: what cannot be kept is made again next time. */
void fb_cache_keep(fb_active *active, const fb_outcome *result) {
  const fb_mission_run *run = active->run;
  const fb_step *step = &run->mission->steps[active->step];
  const fb_world *world = run->world;
  fb_small_map entry = {0};
  if (!active->has_cache_key || active->cached || active->otherwise || active->replayed ||
      result->status != FB_STEP_OK)
    return;
  fb_small_put(&entry, "form", fb_int(FORM));
  fb_small_put(&entry, "at", fb_int(world->clock->wall(world->clock->context)));
  fb_small_put(&entry, "mission", fb_string(run->mission->name));
  fb_small_put(&entry, "step", fb_string(step->id));
  if (step->referenced) fb_small_put(&entry, "value", fb_bool(true));
  if (result->output.kind != FB_ABSENT) fb_small_put(&entry, "output", result->output);
  if (result->out.kind != FB_ABSENT) fb_small_put(&entry, "out", result->out);
  if (result->err.kind != FB_ABSENT) fb_small_put(&entry, "err", result->err);
  fb_buf buf;
  fb_buf_init(&buf, run->allocator, MOST_ENTRY);
  const char *path = S_path(active);
  if (path && fb_value_pack(&buf, fb_map_value(&entry.map)) == FB_OK && !buf.failed)
    world->write(world->context, path, fb_buf_slice(&buf), 0600, NULL);
  fb_buf_release(&buf);
}
