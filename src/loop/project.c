/* SPDX-License-Identifier: Apache-2.0
 *
 * Document → project: every error at once, with those of the rulebooks and missions that it names.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "loop/project.h"

#include <pcre2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

enum { MOST_PARTS = 1000, FILE_MAX = 64 << 20 };

/* ── Rulebooks and missions ──────────────────────────────────────────────────────────────────── */

/* The name of a file without folder and ending. */
static fb_slice S_stem(const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  const char *dot = strrchr(name, '.');
  return (fb_slice){name, dot && dot > name ? (size_t)(dot - name) : strlen(name)};
}

static fb_status S_read_file(fb_project_reader *reader, const fb_node *node, const char *path,
                             fb_slice *ret_text) {
  fb_error err = {0};
  fb_buf text;
  bool more = false;
  const fb_world *world = reader->project->world;
  fb_buf_init(&text, reader->project->allocator, 0);
  fb_status status = world->read(world->context, path, 0, FILE_MAX, &text, &more, &err);
  if (!status && more) status = fb_fail(&err, FB_E_LIMIT, "%s is too long", path);
  if (status) {
    fb_doc_fail(reader->doc, node, reader->errors, status,
                "paths are relative to the project's folder", "%s", err.text);
  } else {
    *ret_text = (fb_slice){fb_project_text(reader, fb_buf_slice(&text)), text.len};
    if (!ret_text->ptr) status = FB_E_NOMEM;
  }
  fb_buf_release(&text);
  return status;
}

/* Types that nothing declares are no doubt here: their facts come from outside. */
static void S_doubts(fb_project_reader *reader, const fb_errors *found) {
  for (size_t i = 0; i < found->count; i++)
    if (found->items[i].code != FB_E_RULE_UNKNOWN_TYPE)
      fb_errors_add(reader->warnings, &found->items[i]);
}

static void S_book(fb_project_reader *reader, const fb_node *node, const char *path,
                   fb_book_plan *plan) {
  fb_project *project = reader->project;
  plan->path = path;
  if (!reader->files || S_read_file(reader, node, path, &plan->text)) return;
  fb_errors doubts;
  fb_errors_init(&doubts, project->allocator, 0);
  if (fb_ruleset_read(plan->text, path, project->allocator, &plan->set, reader->errors, &doubts) ==
      FB_OK)
    fb_ruleset_check_calls(plan->set, NULL, 0, reader->errors);
  S_doubts(reader, &doubts);
  fb_errors_release(&doubts);
}

static void S_mission(fb_project_reader *reader, const fb_node *node, const char *path,
                      fb_mission_plan *plan) {
  fb_project *project = reader->project;
  const char *slash = strrchr(path, '/');
  fb_slice text;
  plan->path = path;
  if (!reader->files || S_read_file(reader, node, path, &text)) return;
  const char *folder =
      slash ? fb_project_text(reader, (fb_slice){path, (size_t)(slash - path)}) : ".";
  fb_doc_options reading = {.keep_going = true, .allocator = project->allocator};
  if (!folder || fb_doc_read(text, path, &reading, &plan->doc, reader->errors)) return;
  fb_mission_options options = {.tools = fb_loop_tools(),
                                .folder = *folder ? folder : "/",
                                .world = project->world,
                                .warnings = reader->warnings};
  fb_mission_load(plan->doc, &options, project->allocator, &plan->mission, reader->errors);
}

typedef void S_load(fb_project_reader *reader, const fb_node *node, const char *path, fb_slice name,
                    uint32_t number);

static void S_load_book(fb_project_reader *reader, const fb_node *node, const char *path,
                        fb_slice name, uint32_t number) {
  reader->project->books[number].name = name;
  S_book(reader, node, path, &reader->project->books[number]);
}

static void S_load_mission(fb_project_reader *reader, const fb_node *node, const char *path,
                           fb_slice name, uint32_t number) {
  reader->project->missions[number].name = name;
  S_mission(reader, node, path, &reader->project->missions[number]);
}

static void *S_array(fb_project_reader *reader, const fb_node *node, uint32_t count, size_t size) {
  if (count > MOST_PARTS) {
    fb_project_fail(reader, node, NULL, "%u are more than the %d that may be", count, MOST_PARTS);
    return NULL;
  }
  void *items = fb_arena_zero(&reader->project->arena, (count ? count : 1) * size);
  reader->out_of_memory |= !items;
  return items;
}

/* A path, a list of paths, or a map from names to paths. */
static void S_files(fb_project_reader *reader, const fb_node *node, void **items, size_t size,
                    uint32_t *count, S_load *load) {
  bool one = node && node->kind == FB_STRING;
  uint32_t most = !node ? 0 : one ? 1 : node->count;
  *items = S_array(reader, node, most, size);
  for (uint32_t i = 0; *items && i < most; i++) {
    const fb_node *item = one                     ? node
                          : node->kind == FB_LIST ? &node->as.items[i]
                                                  : &node->as.pairs[i].value;
    const char *path;
    if (item->kind != FB_STRING) {
      fb_project_fail(reader, item, NULL, "a path stands here, not %s", fb_node_describe(item));
      continue;
    }
    path = fb_project_path(reader, item);
    if (!path) continue;
    fb_slice name = node->kind == FB_MAP ? fb_node_text(&node->as.pairs[i].key) : S_stem(path);
    load(reader, item, path, name, (*count)++);
  }
}

/* ── Names ───────────────────────────────────────────────────────────────────────────────────── */

/* The names are `stride` bytes apart, each part's first member. */
static void S_unique(fb_project_reader *reader, const fb_node *node, const char *what,
                     const void *first, size_t stride, uint32_t count) {
  if (!first) return;
  for (uint32_t i = 1; i < count; i++) {
    const fb_slice *name = (const fb_slice *)((const char *)first + i * stride);
    for (uint32_t k = 0; k < i && name->len; k++) {
      if (!fb_slice_equal(*name, *(const fb_slice *)((const char *)first + k * stride))) continue;
      const fb_node *at = node->kind == FB_LIST && i < node->count ? &node->as.items[i] : node;
      fb_doc_fail(reader->doc, at, reader->errors, FB_E_PROJECT_DUPLICATE,
                  "each has a name of its own", "there are two %s of the name `%.*s`", what,
                  (int)(name->len < 80 ? name->len : 80), name->ptr);
      break;
    }
  }
}

/* ── Limits ──────────────────────────────────────────────────────────────────────────────────── */

static void S_limits(fb_project_reader *reader, const fb_node *node) {
  enum { QUEUE, WHEN_FULL, FACTS, FIRINGS, MEMORY, PENDING, RUNS, COUNT };
  static const fb_key_spec specs[COUNT] = {
      {"queue", FB_KIND_BIT(FB_INT), false},     {"when_full", FB_KIND_BIT(FB_STRING), false},
      {"facts", FB_KIND_BIT(FB_INT), false},     {"firings", FB_KIND_BIT(FB_INT), false},
      {"memory", FB_KIND_BIT(FB_STRING), false}, {"pending", FB_KIND_BIT(FB_INT), false},
      {"missions", FB_KIND_BIT(FB_INT), false}};
  static const char *const full[] = {"block", "drop-oldest", "refuse"};
  const fb_node *nodes[COUNT] = {0};
  fb_project *project = reader->project;
  if (node) fb_doc_keys(reader->doc, node, "`limits`", specs, COUNT, nodes, reader->errors);
  project->queue = fb_project_number(reader, nodes[QUEUE], 1, 100000000, 100000);
  project->when_full =
      (fb_when_full)fb_project_choice(reader, nodes[WHEN_FULL], full, 3, FB_FULL_BLOCK);
  project->facts = fb_project_number(reader, nodes[FACTS], 1, UINT64_C(4000000000), 10000000);
  project->firings =
      fb_project_number(reader, nodes[FIRINGS], 1, UINT64_C(1000000000000), 10000000);
  project->memory = fb_project_size(reader, nodes[MEMORY], 0);
  project->pending = fb_project_number(reader, nodes[PENDING], 1, 10000000, 10000);
  project->runs = (uint32_t)fb_project_number(reader, nodes[RUNS], 1, 256, 4);
}

static void S_snapshot(fb_project_reader *reader, const fb_node *node) {
  static const fb_key_spec specs[] = {{"every", FB_KIND_BIT(FB_STRING), false},
                                      {"log", FB_KIND_BIT(FB_STRING), false}};
  static const char *const logs[] = {"all", "durable", "none"};
  const fb_node *nodes[2] = {0};
  if (node) fb_doc_keys(reader->doc, node, "`snapshot`", specs, 2, nodes, reader->errors);
  reader->project->snapshot_every = fb_project_duration(reader, nodes[0], INT64_C(300000000000));
  reader->project->log =
      (fb_log_facts)fb_project_choice(reader, nodes[1], logs, 3, FB_LOG_FACTS_ALL);
}

static void S_reload(fb_project_reader *reader, const fb_node *node) {
  reader->project->reload_every = INT64_C(1000000000);
  if (node && node->kind == FB_BOOL && !node->as.scalar.as.b)
    reader->project->reload_every = 0;
  else if (node && node->kind == FB_STRING)
    reader->project->reload_every = fb_project_duration(reader, node, INT64_C(1000000000));
}

/* ── The whole ───────────────────────────────────────────────────────────────────────────────── */

enum {
  P_NAME,
  P_BOOKS,
  P_MISSIONS,
  P_SOURCES,
  P_SINKS,
  P_SCHEDULES,
  P_LIMITS,
  P_SNAPSHOT,
  P_RELOAD,
  P_COUNT
};

static const fb_key_spec S_keys[P_COUNT] = {
    [P_NAME] = {"name", FB_KIND_BIT(FB_STRING), true},
    [P_BOOKS] = {"rulebooks", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_LIST) | FB_KIND_BIT(FB_MAP),
                 true},
    [P_MISSIONS] = {"missions", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_LIST) | FB_KIND_BIT(FB_MAP),
                    false},
    [P_SOURCES] = {"sources", FB_KIND_BIT(FB_LIST), false},
    [P_SINKS] = {"sinks", FB_KIND_BIT(FB_LIST), false},
    [P_SCHEDULES] = {"schedules", FB_KIND_BIT(FB_LIST), false},
    [P_LIMITS] = {"limits", FB_KIND_BIT(FB_MAP), false},
    [P_SNAPSHOT] = {"snapshot", FB_KIND_BIT(FB_MAP), false},
    [P_RELOAD] = {"reload", FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_BOOL), false}};

static void S_sources(fb_project_reader *reader, const fb_node *node) {
  fb_project *project = reader->project;
  uint32_t http = 0;
  if (!node) return;
  project->sources = S_array(reader, node, node->count, sizeof *project->sources);
  for (uint32_t i = 0; project->sources && i < node->count; i++) {
    fb_source_plan *plan = &project->sources[project->source_count++];
    fb_project_source(reader, &node->as.items[i], plan);
    if (plan->name.len && plan->kind == FB_SOURCE_HTTP && http++)
      fb_project_fail(reader, &node->as.items[i], NULL, "there is one source `http` at most");
  }
  S_unique(reader, node, "sources", project->sources, sizeof *project->sources,
           project->source_count);
}

static void S_sinks(fb_project_reader *reader, const fb_node *node) {
  fb_project *project = reader->project;
  if (!node) return;
  project->sinks = S_array(reader, node, node->count, sizeof *project->sinks);
  for (uint32_t i = 0; project->sinks && i < node->count; i++)
    fb_project_sink(reader, &node->as.items[i], &project->sinks[project->sink_count++]);
  S_unique(reader, node, "sinks", project->sinks, sizeof *project->sinks, project->sink_count);
}

static void S_schedules(fb_project_reader *reader, const fb_node *node) {
  fb_project *project = reader->project;
  if (!node) return;
  project->schedules = S_array(reader, node, node->count, sizeof *project->schedules);
  for (uint32_t i = 0; project->schedules && i < node->count; i++)
    fb_project_schedule(reader, &node->as.items[i], &project->schedules[project->schedule_count++]);
  S_unique(reader, node, "schedules", project->schedules, sizeof *project->schedules,
           project->schedule_count);
}

static void S_parts(fb_project_reader *reader, const fb_node *root) {
  fb_project *project = reader->project;
  const fb_node *nodes[P_COUNT];
  fb_doc_keys(reader->doc, root, "a project", S_keys, P_COUNT, nodes, reader->errors);
  if (root->kind != FB_MAP) return;
  if (nodes[P_NAME]) fb_project_name(reader, nodes[P_NAME], &project->name);
  S_files(reader, nodes[P_BOOKS], (void **)&project->books, sizeof *project->books,
          &project->book_count, S_load_book);
  S_files(reader, nodes[P_MISSIONS], (void **)&project->missions, sizeof *project->missions,
          &project->mission_count, S_load_mission);
  if (nodes[P_BOOKS])
    S_unique(reader, nodes[P_BOOKS], "rulebooks", project->books, sizeof *project->books,
             project->book_count);
  if (nodes[P_BOOKS] && !project->book_count && nodes[P_BOOKS]->count == 0 &&
      nodes[P_BOOKS]->kind != FB_STRING)
    fb_project_fail(reader, nodes[P_BOOKS], NULL, "a project has a rulebook at least");
  if (nodes[P_MISSIONS])
    S_unique(reader, nodes[P_MISSIONS], "missions", project->missions, sizeof *project->missions,
             project->mission_count);
  S_sources(reader, nodes[P_SOURCES]);
  S_sinks(reader, nodes[P_SINKS]);
  S_schedules(reader, nodes[P_SCHEDULES]);
  S_limits(reader, nodes[P_LIMITS]);
  S_snapshot(reader, nodes[P_SNAPSHOT]);
  S_reload(reader, nodes[P_RELOAD]);
}

static fb_status S_no_memory(fb_errors *errors) {
  fb_error err;
  fb_fail(&err, FB_E_NOMEM, "out of memory");
  fb_errors_add(errors, &err);
  return FB_E_NOMEM;
}

static fb_status S_new(fb_slice text, const char *name, const fb_project_options *options,
                       const fb_allocator *allocator, fb_project **ret_project, fb_errors *errors) {
  fb_error err = {0};
  fb_project *project = fb_alloc_zero(allocator, sizeof *project);
  if (!project) return S_no_memory(errors);
  project->allocator = allocator;
  atomic_init(&project->users, 1);
  fb_arena_init(&project->arena, allocator, 0);
  *ret_project = project;
  project->folder = fb_arena_text(&project->arena,
                                  fb_slice_of(options && options->folder ? options->folder : "."));
  project->file = fb_arena_text(&project->arena, fb_slice_of(name));
  if (!project->folder || !project->file) return S_no_memory(errors);
  fb_status status = FB_OK;
  if (options && options->files) status = fb_world_uv_new(allocator, NULL, &project->world, &err);
  if (status) return fb_errors_add(errors, &err);
  fb_doc_options reading = {.keep_going = true, .allocator = allocator};
  return fb_doc_read(text, name, &reading, &project->doc, errors);
}

fb_status fb_project_read(fb_slice text, const char *name, const fb_project_options *options,
                          const fb_allocator *allocator, fb_project **ret_project,
                          fb_errors *errors, fb_errors *warnings) {
  fb_project *project = NULL;
  size_t before = fb_errors_total(errors), kept = errors->count;
  fb_status status = S_new(text, name, options, allocator, &project, errors);
  if (!status) {
    fb_project_reader reader = {.project = project,
                                .doc = project->doc,
                                .errors = errors,
                                .warnings = warnings,
                                .files = project->world != NULL};
    S_parts(&reader, fb_doc_root(project->doc));
    status = fb_doc_status(project->doc);
    if (!status && reader.out_of_memory) status = S_no_memory(errors);
    if (!status && fb_errors_total(errors) > before)
      status = errors->count > kept ? errors->items[kept].code : FB_E_NOMEM;
  }
  if (status)
    fb_project_free(project);
  else
    *ret_project = project;
  return status;
}

/* The file of the folder, or the file itself. */
static bool S_find(const char *path, char file[4096], char folder[4096]) {
  struct stat info;
  bool is_folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
  size_t length = strlen(path);
  while (is_folder && length > 1 && path[length - 1] == '/') length--;
  if (length > 4000) return false;
  snprintf(file, 4096, "%.*s%s", (int)length, path, is_folder ? "/flyball.yaml" : "");
  snprintf(folder, 4096, "%s", file);
  char *slash = strrchr(folder, '/');
  if (!slash)
    snprintf(folder, 4096, ".");
  else if (slash == folder)
    slash[1] = 0;
  else
    *slash = 0;
  return true;
}

fb_status fb_project_load(const char *path, const fb_allocator *allocator, fb_project **ret_project,
                          fb_errors *errors, fb_errors *warnings) {
  char file[4096], folder[4096];
  fb_error err = {0};
  fb_world *world;
  fb_buf text;
  bool more = false;
  if (!S_find(path, file, folder)) {
    fb_fail(&err, FB_E_IO, "the path is too long");
    return fb_errors_add(errors, &err);
  }
  fb_status status = fb_world_uv_new(allocator, NULL, &world, &err);
  if (status) return fb_errors_add(errors, &err);
  fb_buf_init(&text, allocator, 0);
  status = world->read(world->context, file, 0, FILE_MAX, &text, &more, &err);
  if (!status && more) status = fb_fail(&err, FB_E_LIMIT, "%s is too long", file);
  if (status) {
    fb_error_hint(&err, "a project is a folder with a flyball.yaml");
    fb_errors_add(errors, &err);
  } else {
    fb_project_options options = {.folder = folder, .files = true};
    status = fb_project_read(fb_buf_slice(&text), file, &options, allocator, ret_project, errors,
                             warnings);
  }
  fb_buf_release(&text);
  fb_world_uv_free(world);
  return status;
}

void fb_project_hold(fb_project *project) {
  atomic_fetch_add(&project->users, 1);
}

void fb_project_free(fb_project *project) {
  if (!project || atomic_fetch_sub(&project->users, 1) != 1) return;
  for (uint32_t i = 0; i < project->book_count; i++) fb_ruleset_free(project->books[i].set);
  for (uint32_t i = 0; i < project->mission_count; i++) {
    fb_mission_free(project->missions[i].mission);
    fb_doc_free(project->missions[i].doc);
  }
  for (uint32_t i = 0; i < project->source_count; i++)
    pcre2_code_free(project->sources[i].parse.code);
  fb_doc_free(project->doc);
  fb_world_uv_free(project->world);
  fb_arena_release(&project->arena);
  fb_free(project->allocator, project, sizeof *project);
}

/* ── What others may know ────────────────────────────────────────────────────────────────────── */

fb_slice fb_project_name_of(const fb_project *project) {
  return project->name;
}

void fb_project_counts(const fb_project *project, uint32_t ret_counts[5]) {
  ret_counts[0] = project->book_count;
  ret_counts[1] = project->mission_count;
  ret_counts[2] = project->source_count;
  ret_counts[3] = project->sink_count;
  ret_counts[4] = project->schedule_count;
}

bool fb_project_book(const fb_project *project, uint32_t number, fb_slice *ret_name,
                     const char **ret_path, fb_slice *ret_text) {
  if (number >= project->book_count) return false;
  *ret_name = project->books[number].name;
  *ret_path = project->books[number].path;
  *ret_text = project->books[number].text;
  return true;
}

bool fb_project_mission_at(const fb_project *project, uint32_t number, fb_slice *ret_name,
                           const char **ret_path, const fb_mission **ret_mission) {
  if (number >= project->mission_count) return false;
  *ret_name = project->missions[number].name;
  *ret_path = project->missions[number].path;
  *ret_mission = project->missions[number].mission;
  return true;
}

fb_mission *fb_project_mission(const fb_project *project, fb_slice name) {
  for (uint32_t i = 0; i < project->mission_count; i++)
    if (fb_slice_equal(project->missions[i].name, name)) return project->missions[i].mission;
  return NULL;
}
