/* SPDX-License-Identifier: Apache-2.0
 * Any text as an expression and as a template, with small budgets: errors have a place within the text, the
 * result is of the type that the checker gave, evaluating again gives the same, and what compiles checked gives
 * the same unchecked. */
#include <flyball/cel.h>

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS = 20000, MAX_SIZE = 10000, MAX_MEMORY = 64 << 20 };

static void S_expect(bool holds, const char *what, const char *detail) {
  if (holds) return;
  fprintf(stderr, "fuzz_cel: %s: %s\n", what, detail);
  abort();
}

static void S_check_error(const fb_error *err, fb_slice text) {
  S_expect(err->code != FB_OK && err->text[0], "an error without words", "");
  if (err->code == FB_E_NOMEM) return;
  S_expect(err->line >= 1 && err->column >= 1 && err->column <= text.len + 1,
           "an error without a sound place", err->text);
  S_expect(fb_utf8_valid(err->text, strlen(err->text), NULL), "an error that is not UTF-8",
           err->text);
}

/* Every kind that a value of that type may have, bit 1 << fb_kind; null may stand for some types. */
static uint32_t S_kinds(const fb_cel_type *type) {
  switch (type->kind) {
    case FB_CEL_NULL: return FB_KIND_BIT(FB_NULL);
    case FB_CEL_BOOL: return FB_KIND_BIT(FB_BOOL);
    case FB_CEL_INT: return FB_KIND_BIT(FB_INT);
    case FB_CEL_UINT: return FB_KIND_BIT(FB_UINT);
    case FB_CEL_DOUBLE: return FB_KIND_BIT(FB_DOUBLE);
    case FB_CEL_STRING: return FB_KIND_BIT(FB_STRING);
    case FB_CEL_BYTES: return FB_KIND_BIT(FB_BYTES);
    case FB_CEL_LIST: return FB_KIND_BIT(FB_LIST);
    case FB_CEL_MAP: return FB_KIND_BIT(FB_MAP);
    case FB_CEL_TYPE: return FB_KIND_BIT(FB_TYPE);
    case FB_CEL_TIMESTAMP: return FB_KIND_BIT(FB_TIMESTAMP) | FB_KIND_BIT(FB_NULL);
    case FB_CEL_DURATION: return FB_KIND_BIT(FB_DURATION) | FB_KIND_BIT(FB_NULL);
    case FB_CEL_OPTIONAL: return FB_KIND_BIT(FB_OPTIONAL) | FB_KIND_BIT(FB_NULL);
    default: return UINT32_MAX;
  }
}

typedef struct S_world {
  fb_cel_env *env;
  fb_arena arena;
  fb_value slots[6];
} S_world;

static void S_add(S_world *w, const char *name, const fb_cel_type *type, fb_value value) {
  uint32_t slot;
  if (fb_cel_env_add(w->env, fb_slice_of(name), type, &slot)) abort();
  w->slots[slot] = value;
}

static void S_open(S_world *w) {
  fb_arena_init(&w->arena, NULL, 0);
  w->arena.limit = MAX_MEMORY;
  if (fb_cel_env_new(NULL, &w->env)) abort();
  fb_list *list = fb_list_new(&w->arena, 3);
  fb_map *map = fb_map_new(&w->arena, 2);
  for (int i = 0; i < 3; i++) fb_list_push(list, &w->arena, fb_int(i));
  fb_map_put(map, &w->arena, fb_string(FB_SLICE("a")), fb_double(1.5), NULL);
  fb_map_put(map, &w->arena, fb_string(FB_SLICE("l")), fb_list_value(list), NULL);
  S_add(w, "i", fb_cel_simple(FB_CEL_INT), fb_int(7));
  S_add(w, "s", fb_cel_simple(FB_CEL_STRING), fb_string(FB_SLICE("t\xc3\xa9xt")));
  S_add(w, "l", fb_cel_env_list(w->env, fb_cel_simple(FB_CEL_INT)), fb_list_value(list));
  S_add(w, "m", fb_cel_simple(FB_CEL_DYN), fb_map_value(map));
  S_add(w, "t", fb_cel_simple(FB_CEL_TIMESTAMP), fb_timestamp(1700000000, 5));
  S_add(w, "nothing", fb_cel_simple(FB_CEL_DYN), fb_absent());
}

static fb_status S_eval(S_world *w, const fb_cel_program *program, fb_slice text,
                        fb_value *ret_value) {
  fb_cel_context context;
  fb_error err;
  fb_cel_context_init(&context, &w->arena);
  context.steps = STEPS;
  context.max_size = MAX_SIZE;
  fb_status status = fb_cel_eval(program, w->slots, &context, ret_value, &err);
  if (status) {
    S_check_error(&err, text);
    S_expect(err.code == status, "an error of another code than the status", err.text);
  }
  fb_cel_context_release(&context);
  return status;
}

static fb_slice S_json(S_world *w, fb_value value) {
  fb_buf buf;
  fb_buf_init(&buf, NULL, 1 << 20);
  fb_json_write(&buf, value, FB_JSON_COMPACT);
  char *copy = fb_arena_text(&w->arena, fb_buf_slice(&buf));
  fb_slice text = {copy ? copy : "", copy ? buf.len : 0};
  fb_buf_release(&buf);
  return text;
}

static void S_run_twice(S_world *w, const fb_cel_program *program, fb_slice text) {
  fb_value first, second;
  fb_status status = S_eval(w, program, text, &first);
  if (status == FB_E_NOMEM) return;
  fb_status again = S_eval(w, program, text, &second);
  if (again == FB_E_NOMEM) return;
  S_expect(status == again, "another status the second time", "");
  if (status) return;
  S_expect(first.kind < FB_ERROR, "a result that is no value", fb_kind_name(first.kind));
  S_expect(first.kind == second.kind && fb_slice_equal(S_json(w, first), S_json(w, second)),
           "another result the second time", "");
}

static void S_expression(S_world *w, fb_slice text) {
  fb_cel_program *checked = NULL, *unchecked = NULL;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 10);
  fb_cel_options lenient = {.no_check = true};
  fb_status status = fb_cel_compile(w->env, text, NULL, &checked, &errors);
  S_expect(!status == !errors.count, "a status that does not go with the errors", "");
  for (size_t i = 0; i < errors.count; i++) S_check_error(&errors.items[i], text);
  fb_errors_release(&errors);
  if (!fb_cel_compile(w->env, text, &lenient, &unchecked, NULL)) S_run_twice(w, unchecked, text);
  if (checked) {
    fb_value value, other;
    S_expect(unchecked != NULL, "compiles checked only", "");
    if (!S_eval(w, checked, text, &value)) {
      S_expect(S_kinds(fb_cel_program_type(checked)) & FB_KIND_BIT(value.kind),
               "a result of another type than the checker said", fb_kind_name(value.kind));
      if (!S_eval(w, unchecked, text, &other))
        S_expect(value.kind == other.kind, "another result unchecked", "");
    }
    fb_buf dump;
    fb_buf_init(&dump, NULL, 0);
    fb_cel_program_dump(checked, &dump);
    fb_buf_release(&dump);
  }
  fb_cel_program_free(checked);
  fb_cel_program_free(unchecked);
}

static void S_template(S_world *w, fb_slice text) {
  fb_template *template_;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 10);
  fb_status status = fb_template_compile(w->env, text, NULL, &template_, &errors);
  S_expect(!status == !errors.count || status == FB_E_NOMEM,
           "a status that does not go with the errors", "template");
  for (size_t i = 0; i < errors.count; i++) S_check_error(&errors.items[i], text);
  fb_errors_release(&errors);
  if (status) return;
  fb_cel_context context;
  fb_value value;
  fb_error err;
  fb_cel_context_init(&context, &w->arena);
  context.steps = STEPS;
  context.max_size = MAX_SIZE;
  if (fb_template_eval(template_, w->slots, &context, &value, &err))
    S_expect(err.text[0], "an error without words", "template");
  fb_cel_context_release(&context);
  fb_template_free(template_);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  S_world w;
  fb_slice text = {(const char *)data, size};
  S_open(&w);
  if (size) { /* a pointer that is NULL is no text */
    S_expression(&w, text);
    S_template(&w, text);
  }
  fb_cel_env_free(w.env);
  fb_arena_release(&w.arena);
  return 0;
}
