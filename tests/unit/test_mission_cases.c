/* SPDX-License-Identifier: Apache-2.0
 * Runs the cases of tests/cases/mission: a mission, a script of what its programs do, and what is to come out.
 * The format is in tests/cases/mission/README.md. */
#include "test.h"

#include "mission/world_script.h"

#include <dirent.h>

typedef struct S_section {
  fb_slice name, argument, text; /* "--- NAME ARGUMENT", and the lines below */
} S_section;

enum { MOST_SECTIONS = 16, MOST_FILES = 64 };

typedef struct S_case {
  fb_slice name;
  S_section sections[MOST_SECTIONS];
  size_t count;
} S_case;

static bool S_line(fb_slice *rest, fb_slice *ret_line) {
  if (rest->len == 0) return false;
  const char *end = memchr(rest->ptr, '\n', rest->len);
  size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
  *ret_line = (fb_slice){rest->ptr, len};
  len += end != NULL;
  *rest = (fb_slice){rest->ptr + len, rest->len - len};
  return true;
}

/* Takes the next case of a file. */
static bool S_next(fb_slice *rest, S_case *ret_case) {
  fb_slice line, before = *rest;
  *ret_case = (S_case){0};
  while (S_line(rest, &line)) {
    if (fb_slice_starts(line, FB_SLICE("=== "))) {
      if (ret_case->name.len) {
        *rest = before;
        break;
      }
      ret_case->name = (fb_slice){line.ptr + 4, line.len - 4};
    } else if (fb_slice_starts(line, FB_SLICE("--- "))) {
      assert_true(ret_case->count < MOST_SECTIONS);
      S_section *section = &ret_case->sections[ret_case->count++];
      fb_slice name = {line.ptr + 4, line.len - 4};
      const char *blank = memchr(name.ptr, ' ', name.len);
      size_t len = blank ? (size_t)(blank - name.ptr) : name.len;
      section->name = (fb_slice){name.ptr, len};
      if (blank) section->argument = (fb_slice){blank + 1, name.len - len - 1};
      section->text = (fb_slice){rest->ptr, 0};
    } else if (ret_case->count) {
      S_section *section = &ret_case->sections[ret_case->count - 1];
      section->text.len = (size_t)(line.ptr + line.len - section->text.ptr);
    }
    before = *rest;
  }
  return ret_case->name.len > 0;
}

static const S_section *S_find(const S_case *one, const char *name) {
  for (size_t i = 0; i < one->count; i++)
    if (fb_slice_equal(one->sections[i].name, fb_slice_of(name))) return &one->sections[i];
  return NULL;
}

static fb_slice S_trim(fb_slice text) {
  while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == ' ')) text.len--;
  return text;
}

static unsigned S_failed;

static void S_compare(const S_case *one, const char *what, fb_slice found) {
  const S_section *section = S_find(one, what);
  if (!section) return;
  fb_slice wanted = S_trim(section->text);
  found = S_trim(found);
  if (fb_slice_equal(wanted, found)) return;
  S_failed++;
  print_error("%.*s: %s\n--- wanted\n%.*s\n--- found\n%.*s\n", (int)one->name.len, one->name.ptr,
              what, (int)wanted.len, wanted.ptr, (int)found.len, found.ptr);
}

/* ── The world of a case ─────────────────────────────────────────────────────────────────────── */

typedef struct S_stage {
  fb_arena arena;
  fb_value script; /* label → reply */
  fb_buf ran, trace;
  fb_script_world *world;
  const fb_mission *mission;
  fb_mission_run *run;
} S_stage;

static fb_value S_get(const fb_map *map, const char *key) {
  const fb_value *value = fb_map_get_text(map, fb_slice_of(key));
  return value ? *value : fb_absent();
}

static int64_t S_nanos(fb_value value) {
  int64_t seconds = 0;
  int32_t nanos = 0;
  if (value.kind == FB_STRING)
    assert_true(fb_duration_parse(fb_value_text(value), &seconds, &nanos));
  return seconds * 1000000000 + nanos;
}

static void S_reply(void *context, const fb_process_spec *spec, fb_script_reply *ret_reply) {
  S_stage *stage = context;
  fb_buf_printf(&stage->ran, "%s:", spec->label);
  for (size_t i = 0; spec->argv[i]; i++) fb_buf_printf(&stage->ran, " %s", spec->argv[i]);
  if (spec->dir) fb_buf_printf(&stage->ran, " (in %s)", spec->dir);
  if (spec->input.len) fb_buf_printf(&stage->ran, " < %.*s", (int)spec->input.len, spec->input.ptr);
  for (size_t i = 0; spec->env[i]; i++)
    if (strncmp(spec->env[i], "T_", 2) == 0) fb_buf_printf(&stage->ran, " %s", spec->env[i]);
  fb_buf_char(&stage->ran, '\n');
  if (stage->script.kind != FB_MAP) return;
  fb_value reply = S_get(stage->script.as.map, spec->label);
  if (reply.kind != FB_MAP) return;
  const fb_map *map = reply.as.map;
  fb_value code = S_get(map, "exit"), sig = S_get(map, "signal"), out = S_get(map, "out"),
           err = S_get(map, "err");
  ret_reply->duration = S_nanos(S_get(map, "takes"));
  if (code.kind == FB_INT) ret_reply->code = (int)code.as.i;
  if (sig.kind == FB_INT) ret_reply->signal = (int)sig.as.i;
  if (out.kind == FB_STRING) ret_reply->out = fb_value_text(out);
  if (err.kind == FB_STRING) ret_reply->err = fb_value_text(err);
  ret_reply->missing = S_get(map, "missing").kind == FB_BOOL;
  ret_reply->stubborn = S_get(map, "stubborn").kind == FB_BOOL;
}

static void S_answer(void *context, const fb_http_request *request, fb_script_answer *ret_answer) {
  S_stage *stage = context;
  const char *method = request->method ? request->method : request->body.len ? "POST" : "GET";
  fb_buf_printf(&stage->ran, "%s %s", method, request->url);
  for (size_t i = 0; i < request->header_count; i++)
    fb_buf_printf(&stage->ran, " %.*s: %.*s", (int)request->headers[i].name.len,
                  request->headers[i].name.ptr, (int)request->headers[i].value.len,
                  request->headers[i].value.ptr);
  if (request->body.len)
    fb_buf_printf(&stage->ran, " < %.*s", (int)request->body.len, request->body.ptr);
  fb_buf_char(&stage->ran, '\n');
  if (stage->script.kind != FB_MAP) return;
  fb_value answer = S_get(stage->script.as.map, request->url);
  if (answer.kind != FB_MAP) return;
  const fb_map *map = answer.as.map;
  fb_value status = S_get(map, "status"), body = S_get(map, "body"), type = S_get(map, "type");
  ret_answer->duration = S_nanos(S_get(map, "takes"));
  ret_answer->retry_after = S_nanos(S_get(map, "retry_after"));
  if (status.kind == FB_INT) ret_answer->code = (int)status.as.i;
  if (body.kind == FB_STRING) ret_answer->body = fb_value_text(body);
  if (type.kind == FB_STRING) ret_answer->type = fb_value_text(type);
  if (S_get(map, "down").kind == FB_BOOL) ret_answer->status = FB_E_NET_CONNECT;
}

static void S_event(void *context, const fb_mission_event *event) {
  S_stage *stage = context;
  char time[FB_TIME_TEXT_MAX + 1];
  fb_step_info info;
  size_t length = fb_duration_format(fb_script_world_now(stage->world), time);
  if (event->kind == FB_MISSION_EVENT_RUN_STARTED || event->kind == FB_MISSION_EVENT_RUN_FINISHED)
    return;
  fb_mission_step(fb_mission_run_mission(event->run), event->step, &info);
  fb_buf_printf(&stage->trace, "%.*s %s%.*s%s", (int)length, time, event->scope, (int)info.id.len,
                info.id.ptr, info.undoes ? ".undo" : "");
  if (event->kind == FB_MISSION_EVENT_ITEM_FINISHED ||
      (event->kind == FB_MISSION_EVENT_ATTEMPT_FAILED && event->item != FB_NO_ITEM))
    fb_buf_printf(&stage->trace, ".%u", event->item);
  if (event->kind == FB_MISSION_EVENT_FACT) {
    fb_buf_text(&stage->trace, ": ");
    fb_json_write(&stage->trace, *event->fact, FB_JSON_COMPACT);
    fb_buf_char(&stage->trace, '\n');
    return;
  }
  if (event->kind == FB_MISSION_EVENT_ATTEMPT_FAILED) {
    length = fb_duration_format(event->wait, time);
    fb_buf_printf(&stage->trace, " attempt %u failed, again in %.*s\n", event->attempt, (int)length,
                  time);
    return;
  }
  fb_buf_printf(&stage->trace, " %s\n", fb_step_status_name(event->status));
}

static void S_cancel(void *context) {
  S_stage *stage = context;
  fb_mission_run_cancel(stage->run, false);
}

/* ── One case ────────────────────────────────────────────────────────────────────────────────── */

static void S_show_errors(const fb_errors *errors, fb_buf *out) {
  for (size_t i = 0; i < errors->count; i++) {
    const fb_error *err = &errors->items[i];
    if (err->line) fb_buf_printf(out, "%u:%u+%u ", err->line, err->column, err->length);
    fb_buf_printf(out, "FB%d %s%s%s\n", err->code, err->text, err->hint[0] ? " | " : "", err->hint);
  }
}

static void S_show_steps(const S_stage *stage, fb_buf *out) {
  for (uint32_t i = 0; i < fb_mission_steps(stage->mission); i++) {
    fb_step_info info;
    fb_step_state state;
    fb_mission_step(stage->mission, i, &info);
    fb_mission_run_step(stage->run, i, &state);
    fb_buf_printf(out, "%.*s%s %s", (int)info.id.len, info.id.ptr, info.undoes ? ".undo" : "",
                  fb_step_status_name(state.status));
    if (state.items) fb_buf_printf(out, " %u/%u", state.items_done, state.items);
    if (state.error) {
      fb_buf_printf(out, " FB%d", state.error->code);
      if (state.error->line) fb_buf_printf(out, " %u:%u", state.error->line, state.error->column);
      fb_buf_printf(out, " %s", state.error->text);
    }
    fb_buf_char(out, '\n');
  }
}

static void S_check_run(const S_case *one, S_stage *stage) {
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  S_show_steps(stage, &text);
  S_compare(one, "steps", fb_buf_slice(&text));
  S_compare(one, "ran", fb_buf_slice(&stage->ran));
  S_compare(one, "trace", fb_buf_slice(&stage->trace));
  S_compare(one, "status", fb_slice_of(fb_mission_status_name(fb_mission_run_state(stage->run))));
  fb_buf_clear(&text);
  fb_json_write(&text, fb_mission_run_outputs(stage->run), FB_JSON_COMPACT);
  S_compare(one, "outputs", fb_buf_slice(&text));
  for (size_t i = 0; i < one->count; i++) {
    if (!fb_slice_equal(one->sections[i].name, FB_SLICE("made"))) continue;
    const char *path = fb_arena_text(&stage->arena, one->sections[i].argument);
    const fb_buf *file = fb_script_world_file(stage->world, path);
    S_case alone = {.name = one->name, .sections = {one->sections[i]}, .count = 1};
    S_compare(&alone, "made", file ? fb_buf_slice(file) : FB_SLICE("<no such file>"));
  }
  fb_buf_release(&text);
}

static void S_run_case(const S_case *one, S_stage *stage, fb_errors *errors) {
  const S_section *inputs = S_find(one, "inputs"), *cancel = S_find(one, "cancel");
  fb_value given = fb_absent();
  static const char *const env[] = {"HOME=/home/case", "BASE=base", NULL};
  if (inputs)
    assert_int_equal(
        fb_json_read(S_trim(inputs->text), "inputs", NULL, &stage->arena, &given, NULL), 0);
  fb_mission_run_options options = {.id = "run-1",
                                    .env = env,
                                    .inputs = given.kind == FB_MAP ? given.as.map : NULL,
                                    .parallel_default = 2,
                                    .on_event = S_event,
                                    .context = stage};
  if (fb_mission_run_new(stage->mission, fb_script_world_face(stage->world), &options, NULL,
                         &stage->run, errors))
    return;
  if (S_find(one, "plan")) {
    fb_buf plan;
    fb_buf_init(&plan, NULL, 0);
    fb_mission_run_plan(stage->run, &plan);
    S_compare(one, "plan", fb_buf_slice(&plan));
    fb_buf_release(&plan);
  } else {
    if (cancel)
      fb_script_world_at(stage->world, S_nanos(fb_string(cancel->argument)) + 1000000000, S_cancel,
                         stage);
    fb_mission_run_wait(stage->run);
    S_check_run(one, stage);
  }
}

static void S_case_run(const S_case *one) {
  S_stage stage = {.script = fb_absent()};
  fb_errors errors;
  fb_doc *doc = NULL;
  fb_mission *mission = NULL;
  fb_buf text;
  const S_section *source = S_find(one, "mission"), *script = S_find(one, "script");
  assert_non_null(source);
  fb_errors_init(&errors, NULL, 0);
  fb_arena_init(&stage.arena, NULL, 0);
  fb_buf_init(&stage.ran, NULL, 0);
  fb_buf_init(&stage.trace, NULL, 0);
  assert_int_equal(fb_script_world_new(NULL, S_reply, &stage, &stage.world), 0);
  fb_script_world_http(stage.world, S_answer);
  if (script &&
      fb_json_read(S_trim(script->text), "script", NULL, &stage.arena, &stage.script, NULL))
    fail_msg("%.*s: the script is no JSON", (int)one->name.len, one->name.ptr);
  for (size_t i = 0; i < one->count; i++)
    if (fb_slice_equal(one->sections[i].name, FB_SLICE("file")))
      fb_script_world_put(stage.world, fb_arena_text(&stage.arena, one->sections[i].argument),
                          one->sections[i].text);
  fb_mission_options options = {.world = fb_script_world_face(stage.world)};
  if (!fb_doc_read_yaml(source->text, "m.yaml", NULL, &doc, &errors) &&
      !fb_mission_load(doc, &options, NULL, &mission, &errors)) {
    stage.mission = mission;
    S_run_case(one, &stage, &errors);
  }
  fb_errors_sort(&errors);
  fb_buf_init(&text, NULL, 0);
  S_show_errors(&errors, &text);
  if (S_find(one, "errors") || errors.count) {
    S_case none = {.name = one->name, .sections = {{.name = FB_SLICE("errors")}}, .count = 1};
    S_compare(S_find(one, "errors") ? one : &none, "errors", fb_buf_slice(&text));
  }
  fb_mission_run_free(stage.run);
  fb_mission_free(mission);
  fb_doc_free(doc);
  fb_script_world_free(stage.world);
  fb_buf_release(&text);
  fb_buf_release(&stage.ran);
  fb_buf_release(&stage.trace);
  fb_arena_release(&stage.arena);
  fb_errors_release(&errors);
}

static void S_file(const char *path) {
  fb_buf text;
  fb_slice rest;
  S_case one;
  char block[65536];
  size_t got;
  unsigned count = 0;
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  fb_buf_init(&text, NULL, 0);
  while ((got = fread(block, 1, sizeof block, file)) > 0) fb_buf_add(&text, block, got);
  fclose(file);
  rest = fb_buf_slice(&text);
  while (S_next(&rest, &one)) {
    S_case_run(&one);
    count++;
  }
  fb_buf_release(&text);
  if (!count) fail_msg("%s has no cases", path);
}

static int S_is_case(const struct dirent *entry) {
  size_t length = strlen(entry->d_name);
  return length > 5 && strcmp(entry->d_name + length - 5, ".case") == 0;
}

static void test_cases(void **state) {
  (void)state;
  struct dirent **entries;
  char path[4096];
  int count = scandir(FB_TEST_CASES "/mission", &entries, S_is_case, alphasort);
  assert_true(count > 0);
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/mission/%s", FB_TEST_CASES, entries[i]->d_name);
    S_file(path);
    free(entries[i]);
  }
  free(entries);
  assert_int_equal(S_failed, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
