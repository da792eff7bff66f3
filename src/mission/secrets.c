/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets: declared by a mission, read when a run of it is made, known to expressions as `secrets.NAME`, and hidden in
 * all that leaves the run but what programs, requests and files are given on purpose. The outermost run reads those of
 * all missions in it, so that the mask is whole before anything begins.
 */
#include "mission/run.h"

#include <stdio.h>

static const int64_t S_patience = INT64_C(30000000000); /* of commands; ns */

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────── */

static const char *const S_types[] = {"string", "int", "list", "map", "any"};
static const fb_input_type S_kinds[] = {FB_INPUT_STRING, FB_INPUT_INT, FB_INPUT_LIST, FB_INPUT_MAP,
                                        FB_INPUT_ANY};

const fb_cel_type *fb_secret_cel_type(const fb_secret *secret) {
  return fb_input_cel_type(
      &(fb_input){.type = secret->type, .required = secret->required, .initial = fb_absent()});
}

fb_status fb_secret_unknown(const fb_mission *mission, fb_slice name, fb_error *err) {
  enum { MOST = 32 };
  char texts[MOST][64];
  const char *names[MOST];
  uint32_t count = mission->secret_count < MOST ? mission->secret_count : MOST;
  for (uint32_t i = 0; i < count; i++) {
    fb_slice known = mission->secrets[i].name;
    snprintf(texts[i], sizeof texts[i], "%.*s", (int)known.len, known.ptr);
    names[i] = texts[i];
  }
  fb_fail(err, FB_E_MISSION_SECRET, "unknown secret `%.*s`", (int)name.len, name.ptr);
  const char *near = fb_nearest(name, names, count);
  if (near)
    fb_error_hint(err, "did you mean `%s`?", near);
  else if (count == 0)
    fb_error_hint(err, "the mission declares no secrets");
  return FB_E_MISSION_SECRET;
}

static const char *S_text(fb_mission_loader *loader, const fb_node *node) {
  fb_slice text = fb_node_text(node);
  if (text.len == 0 || memchr(text.ptr, 0, text.len) || memmem(text.ptr, text.len, "${{", 3)) {
    fb_load_fail(loader, node, FB_E_MISSION_SECRET,
                 "secrets are read before anything else is worked out",
                 "where a secret comes from is said by a text without expressions");
    return NULL;
  }
  const char *copy = fb_arena_text(&loader->mission->arena, text);
  if (!copy) loader->out_of_memory = true;
  return copy;
}

static void S_command(fb_mission_loader *loader, const fb_node *node, fb_secret *secret) {
  const char **words =
      fb_arena_zero(&loader->mission->arena, (node->count + 1) * sizeof *secret->command);
  if (!words) {
    loader->out_of_memory = true;
    return;
  }
  for (uint32_t i = 0; i < node->count; i++) {
    if (node->as.items[i].kind == FB_STRING) {
      words[i] = S_text(loader, &node->as.items[i]);
      if (!words[i]) return;
      continue;
    }
    fb_load_fail(loader, &node->as.items[i], FB_E_MISSION_SECRET, "quote it",
                 "a command is a list of texts");
    return;
  }
  if (node->count == 0)
    fb_load_fail(loader, node, FB_E_MISSION_SECRET, "[program, argument, …]",
                 "a command has at least a program");
  else
    secret->command = words;
}

enum { N_FILE, N_ENV, N_COMMAND, N_TYPE, N_REQUIRED, N_DESCRIPTION, N_COUNT };

static void S_load_one(fb_mission_loader *loader, const fb_pair *pair, fb_secret *secret) {
  static const fb_key_spec specs[N_COUNT] = {
      [N_FILE] = {"file", FB_KIND_BIT(FB_STRING), false},
      [N_ENV] = {"env", FB_KIND_BIT(FB_STRING), false},
      [N_COMMAND] = {"command", FB_KIND_BIT(FB_LIST), false},
      [N_TYPE] = {"type", FB_KIND_BIT(FB_STRING), false},
      [N_REQUIRED] = {"required", FB_KIND_BIT(FB_BOOL), false},
      [N_DESCRIPTION] = {"description", FB_KIND_BIT(FB_STRING), false}};
  const fb_node *nodes[N_COUNT] = {0};
  secret->name = fb_node_text(&pair->key);
  secret->node = &pair->value;
  secret->required = true;
  if (!fb_is_identifier(secret->name))
    fb_load_fail(loader, &pair->key, FB_E_MISSION_SECRET,
                 "letters, digits and `_`, not starting with a digit",
                 "a secret's name must be one that expressions can use");
  if (!fb_doc_keys(loader->doc, &pair->value, "a secret", specs, N_COUNT, nodes, loader->errors))
    return;
  if (!nodes[N_FILE] + !nodes[N_ENV] + !nodes[N_COMMAND] != 2) {
    fb_load_fail(loader, &pair->value, FB_E_MISSION_SECRET,
                 "{env: API_TOKEN}, {file: key.pem} or {command: [pass, show, api]}",
                 "a secret comes from exactly one of `file`, `env` and `command`");
    return;
  }
  if (nodes[N_TYPE])
    secret->type = S_kinds[fb_load_word(loader, nodes[N_TYPE], "type", S_types, 5)];
  else
    secret->type = FB_INPUT_STRING;
  if (nodes[N_REQUIRED]) secret->required = nodes[N_REQUIRED]->as.scalar.as.b;
  if (nodes[N_ENV]) secret->env = S_text(loader, nodes[N_ENV]);
  if (nodes[N_FILE] && S_text(loader, nodes[N_FILE]))
    secret->file = fb_loader_path(loader, fb_node_text(nodes[N_FILE]));
  if (nodes[N_COMMAND]) S_command(loader, nodes[N_COMMAND], secret);
}

void fb_load_secrets(fb_mission_loader *loader, const fb_node *node) {
  fb_mission *mission = loader->mission;
  if (!node || node->count == 0) return;
  mission->secrets = fb_arena_zero(&mission->arena, node->count * sizeof *mission->secrets);
  if (!mission->secrets) {
    loader->out_of_memory = true;
    return;
  }
  mission->secret_count = node->count;
  for (uint32_t i = 0; i < node->count; i++)
    S_load_one(loader, &node->as.pairs[i], &mission->secrets[i]);
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_drawer S_drawer; /* the secrets of one file */
struct S_drawer {
  const fb_mission *mission;
  fb_value *values;
  S_drawer *next;
};

struct fb_vault {
  const fb_allocator *allocator;
  fb_arena arena;
  fb_mask *mask;
  S_drawer *first;
};

typedef struct S_reader {
  fb_mission_run *run;
  fb_vault *vault;
  const fb_mission *mission;
  const fb_secret *secret;
  fb_buf text;
} S_reader;

static fb_status S_fail(const S_reader *reader, fb_error *err, const char *why) {
  fb_mission_fail(reader->mission, reader->secret->node, err, FB_E_SECRET_READ,
                  "the secret `%.*s` %s", (int)reader->secret->name.len, reader->secret->name.ptr,
                  why);
  return FB_E_SECRET_READ;
}

static const char *S_variable(const fb_mission_run *run, const char *name) {
  size_t length = strlen(name);
  const char *const *env = run->options.env;
  for (; env && *env; env++)
    if (strncmp(*env, name, length) == 0 && (*env)[length] == '=') return *env + length + 1;
  return NULL;
}

/* *ret_there: it is. What cannot be read although it is there is an error. */
static fb_status S_fetch(S_reader *reader, bool *ret_there, fb_error *err) {
  const fb_secret *secret = reader->secret;
  const fb_mission_run *run = reader->run;
  const fb_world *world = run->world;
  fb_error why = {0};
  fb_status status = FB_OK;
  char text[sizeof why.text + 40];
  *ret_there = true;
  if (secret->env) {
    const char *value = S_variable(run, secret->env);
    *ret_there = value && *value;
    if (*ret_there) fb_buf_text(&reader->text, value);
    return FB_OK;
  }
  if (secret->file) {
    bool more = false;
    status =
        world->read(world->context, secret->file, 0, FB_MASK_MOST + 2, &reader->text, &more, &why);
    *ret_there = status == FB_OK;
    if (status != FB_E_IO) return status ? fb_fail(err, status, "%s", why.text) : FB_OK;
    if (!secret->required) return FB_OK;
  } else {
    fb_process_spec spec = {.argv = secret->command, .env = run->options.env};
    static const char *const none[] = {NULL};
    if (!spec.env) spec.env = none;
    if (!world->capture)
      return S_fail(reader, err, "comes from a command, and there are none here");
    status =
        world->capture(world->context, &spec, S_patience, FB_MASK_MOST + 2, &reader->text, &why);
    if (status == FB_E_NOMEM) return fb_fail(err, status, "out of memory");
  }
  snprintf(text, sizeof text, "cannot be had: %s", why.text);
  return status ? S_fail(reader, err, text) : FB_OK;
}

/* A file or a command ends with a newline that is none of the secret. */
static fb_slice S_trimmed(const S_reader *reader) {
  fb_slice text = fb_buf_slice(&reader->text);
  if (reader->secret->env) return text;
  while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r')) text.len--;
  return text;
}

static fb_status S_as_value(S_reader *reader, fb_slice text, fb_value *ret_value, fb_error *err) {
  fb_arena *arena = &reader->vault->arena;
  fb_input_type type = reader->secret->type;
  if (type == FB_INPUT_STRING || type == FB_INPUT_ANY) {
    const char *copy = fb_arena_text(arena, text);
    if (!copy) return fb_fail(err, FB_E_NOMEM, "out of memory");
    *ret_value = fb_text_or_bytes((fb_slice){copy, text.len});
    if (type == FB_INPUT_STRING) return FB_OK;
  }
  fb_value value;
  fb_status status = fb_json_read(text, "secret", NULL, arena, &value, NULL);
  if (status == FB_E_NOMEM) return fb_fail(err, status, "out of memory");
  bool fits = !status && (type == FB_INPUT_ANY || (type == FB_INPUT_INT && value.kind == FB_INT) ||
                          (type == FB_INPUT_LIST && value.kind == FB_LIST) ||
                          (type == FB_INPUT_MAP && value.kind == FB_MAP));
  if (fits) *ret_value = value;
  /* The reader's message would quote it. */
  if (!fits && type != FB_INPUT_ANY) return S_fail(reader, err, "is not of its type");
  return FB_OK;
}

static fb_status S_read_one(S_reader *reader, fb_value *ret_value, fb_error *err) {
  bool there;
  fb_buf_clear(&reader->text);
  fb_status status = S_fetch(reader, &there, err);
  if (!status && reader->text.failed) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  if (status) return status;
  fb_slice text = S_trimmed(reader);
  *ret_value = fb_null();
  if (!there && reader->secret->required)
    return S_fail(reader, err, "is not set in the environment");
  if (!there) return FB_OK;
  if (text.len < FB_MASK_LEAST) return S_fail(reader, err, "is too short to be hidden");
  if (text.len > FB_MASK_MOST) return S_fail(reader, err, "is longer than 16 KiB");
  status = S_as_value(reader, text, ret_value, err);
  if (status) return status;
  if (!fb_mask_add(reader->vault->mask, text) ||
      !fb_mask_add_value(reader->vault->mask, *ret_value))
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  return FB_OK;
}

static fb_status S_imitate(S_reader *reader, fb_value *ret_value, fb_error *err) {
  fb_arena *arena = &reader->vault->arena;
  const fb_secret *secret = reader->secret;
  fb_list *list = secret->type == FB_INPUT_LIST ? fb_list_new(arena, 0) : NULL;
  fb_map *map = secret->type == FB_INPUT_MAP ? fb_map_new(arena, 0) : NULL;
  const char *text =
      fb_arena_printf(arena, "imitated-%.*s", (int)secret->name.len, secret->name.ptr);
  bool good = text && fb_mask_add(reader->vault->mask, fb_slice_of(text));
  switch (secret->type) {
    case FB_INPUT_INT: *ret_value = fb_int(1234567890); break;
    case FB_INPUT_LIST:
      good = good && list;
      if (list) *ret_value = fb_list_value(list);
      break;
    case FB_INPUT_MAP:
      good = good && map;
      if (map) *ret_value = fb_map_value(map);
      break;
    default: *ret_value = fb_string(fb_slice_of(text ? text : ""));
  }
  return good ? FB_OK : fb_fail(err, FB_E_NOMEM, "out of memory");
}

static S_drawer *S_find(const fb_vault *vault, const fb_mission *mission) {
  S_drawer *drawer = vault->first;
  while (drawer && (drawer->mission->secret_count != mission->secret_count ||
                    strcmp(fb_doc_name(drawer->mission->doc), fb_doc_name(mission->doc)) != 0))
    drawer = drawer->next;
  return drawer;
}

static fb_status S_fill(S_reader *reader, const fb_mission *mission, fb_error *err) {
  fb_secret_mode mode = reader->run->options.secrets;
  fb_vault *vault = reader->vault;
  fb_status status = FB_OK;
  S_drawer *drawer = fb_arena_zero(&vault->arena, sizeof *drawer);
  if (drawer)
    drawer->values = fb_arena_zero(&vault->arena, mission->secret_count * sizeof *drawer->values);
  if (!drawer || !drawer->values) return fb_fail(err, FB_E_NOMEM, "out of memory");
  drawer->mission = reader->mission = mission;
  for (uint32_t i = 0; i < mission->secret_count && !status; i++) {
    reader->secret = &mission->secrets[i];
    drawer->values[i] = fb_absent();
    if (mode == FB_SECRETS_IMITATED)
      status = S_imitate(reader, &drawer->values[i], err);
    else if (mode == FB_SECRETS_READ)
      status = S_read_one(reader, &drawer->values[i], err);
    else if (!reader->secret->command) /* commands may do something */
      status = S_read_one(reader, &drawer->values[i], NULL) == FB_E_NOMEM ? FB_E_NOMEM : FB_OK;
    if (mode == FB_SECRETS_HIDE) drawer->values[i] = fb_absent();
  }
  drawer->next = vault->first;
  vault->first = drawer;
  return status;
}

/* Missions in missions are at most 16 deep. */
static fb_status S_fill_all(S_reader *reader, const fb_mission *mission, fb_error *err) {
  fb_status status = FB_OK;
  if (mission->secret_count && !S_find(reader->vault, mission))
    status = S_fill(reader, mission, err);
  for (uint32_t i = 0; i < mission->step_count && !status; i++) {
    const fb_mission *inside = fb_step_inside(&mission->steps[i]);
    if (inside) status = S_fill_all(reader, inside, err);
  }
  return status;
}

static bool S_any(const fb_mission *mission) {
  if (mission->secret_count) return true;
  for (uint32_t i = 0; i < mission->step_count; i++) {
    const fb_mission *inside = fb_step_inside(&mission->steps[i]);
    if (inside && S_any(inside)) return true;
  }
  return false;
}

static void S_free(fb_vault *vault) {
  fb_mask_free(vault->mask);
  fb_arena_release(&vault->arena);
  fb_free(vault->allocator, vault, sizeof *vault);
}

static fb_status S_open(fb_mission_run *run, fb_error *err) {
  fb_vault *vault = fb_alloc_zero(run->allocator, sizeof *vault);
  if (!vault) return fb_fail(err, FB_E_NOMEM, "out of memory");
  vault->allocator = run->allocator;
  fb_arena_init(&vault->arena, run->allocator, 0);
  run->vault = vault;
  run->owns_vault = true;
  S_reader reader = {.run = run, .vault = vault};
  fb_buf_init(&reader.text, run->allocator, 0);
  fb_status status = fb_mask_new(run->allocator, &vault->mask);
  if (status) fb_fail(err, status, "out of memory");
  if (!status) status = S_fill_all(&reader, run->mission, err);
  if (!status && !fb_mask_seal(vault->mask)) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  if (reader.text.ptr) explicit_bzero(reader.text.ptr, reader.text.cap);
  fb_buf_release(&reader.text);
  return status;
}

fb_status fb_run_secrets(fb_mission_run *run, fb_error *err) {
  const fb_mission *mission = run->mission;
  fb_status status = FB_OK;
  if (run->options.parent)
    run->vault = run->options.parent->vault;
  else if (S_any(mission))
    status = S_open(run, err);
  if (status || !run->vault) return status;
  run->mask = run->vault->mask;
  const S_drawer *drawer = mission->secret_count ? S_find(run->vault, mission) : NULL;
  for (uint32_t i = 0; drawer && i < mission->secret_count; i++)
    run->slots[fb_slot_of_secret(mission, i)] = drawer->values[i];
  return FB_OK;
}

void fb_run_secrets_free(fb_mission_run *run) {
  if (run->owns_vault) S_free(run->vault);
}

/* ── Hiding ──────────────────────────────────────────────────────────────────────────────────── */

static fb_value S_hidden(fb_active *active, fb_value value) {
  fb_value masked;
  if (fb_mask_value(active->run->mask, value, &active->arena, &masked) == FB_OK) return masked;
  if (!active->status) active->status = fb_fail(&active->error, FB_E_NOMEM, "out of memory");
  return fb_null();
}

void fb_run_hide_result(fb_active *active) {
  const fb_mask *mask = active->run->mask;
  fb_call *call = &active->call;
  if (!mask) return;
  bool facts = call->facts != NULL;
  if (call->output.kind != FB_ABSENT) call->output = S_hidden(active, call->output);
  if (facts) { /* they are what it gave */
    fb_value list = S_hidden(active, fb_list_value((fb_list *)call->facts));
    call->facts = list.kind == FB_LIST ? list.as.list : NULL;
  }
  if (call->note && fb_mask_finds(mask, fb_slice_of(call->note))) {
    fb_slice note = fb_mask_text(mask, fb_slice_of(call->note), &active->arena);
    call->note = note.ptr ? note.ptr : "***";
  }
  fb_mask_error(mask, &active->error);
}
