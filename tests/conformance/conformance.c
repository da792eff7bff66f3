/* SPDX-License-Identifier: Apache-2.0
 *
 * conformance-cel [--known FILE] [--quiet] DIR: evaluates the tests of all *.jsonl in a directory and ends with
 * "N passed, N failed". Exit code 1 if a test failed that FILE does not list (one "file/section/name" a line,
 * # begins a comment), 2 if the directory cannot be read.
 *
 * The format is one JSON object a line: file, section, name, expr, bindings, container, disable_check, type_env,
 * and expect or error; a value is {"t": kind, "v": value}.
 */
#include <flyball/cel.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct S_totals {
  size_t passed, failed, excused;
} S_totals;

typedef struct S_known {
  char *text; /* whole file */
} S_known;

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

static char *S_read_file(const char *path, size_t *ret_len) {
  FILE *file = fopen(path, "rb");
  fb_buf buf;
  fb_buf_init(&buf, NULL, 0);
  char chunk[65536];
  if (!file) return NULL;
  for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;) fb_buf_add(&buf, chunk, n);
  fclose(file);
  if (!buf.ptr) fb_buf_text(&buf, "");
  *ret_len = buf.len;
  return buf.ptr;
}

static fb_slice S_text(const fb_map *map, const char *key) {
  const fb_value *value = fb_map_get_text(map, fb_slice_of(key));
  return value && value->kind == FB_STRING ? fb_value_text(*value) : (fb_slice){"", 0};
}

static fb_value S_base64(fb_arena *arena, fb_slice text) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *out = fb_arena_alloc(arena, text.len + 1);
  size_t len = 0;
  uint32_t bits = 0, count = 0;
  for (size_t i = 0; i < text.len && text.ptr[i] != '='; i++) {
    bits = bits << 6 | (uint32_t)(strchr(digits, text.ptr[i]) - digits);
    count += 6;
    if (count >= 8) out[len++] = (char)(bits >> (count -= 8));
  }
  return fb_bytes((fb_slice){out, len});
}

static fb_value S_value(fb_arena *arena, fb_value from);

static fb_value S_list(fb_arena *arena, const fb_list *from) {
  fb_list *list = fb_list_new(arena, from->len);
  for (uint32_t i = 0; i < from->len; i++)
    fb_list_push(list, arena, S_value(arena, from->items[i]));
  return fb_list_value(list);
}

static fb_value S_map(fb_arena *arena, const fb_list *pairs) {
  fb_map *map = fb_map_new(arena, pairs->len);
  for (uint32_t i = 0; i < pairs->len; i++) {
    const fb_value *pair = pairs->items[i].as.list->items;
    fb_map_put(map, arena, S_value(arena, pair[0]), S_value(arena, pair[1]), NULL);
  }
  return fb_map_value(map);
}

static fb_value S_time(const fb_map *map, bool timestamp) {
  int64_t seconds = strtoll(S_text(map, "seconds").ptr, NULL, 10);
  const fb_value *given = fb_map_get_text(map, FB_SLICE("nanos"));
  int64_t nanos = given ? given->as.i : 0;
  if (nanos < 0) seconds--, nanos += 1000000000;
  return timestamp ? fb_timestamp(seconds, (uint32_t)nanos) : fb_duration(seconds, (uint32_t)nanos);
}

/* {"t": …, "v": …} → value; FB_ABSENT for a kind that is not known. */
static fb_value S_value(fb_arena *arena, fb_value from) {
  if (from.kind != FB_MAP) return fb_absent();
  const fb_map *map = from.as.map;
  fb_slice kind = S_text(map, "t"), text = S_text(map, "v");
  const fb_value *given = fb_map_get_text(map, FB_SLICE("v"));
  fb_value v = given ? *given : fb_null();
#define S_IS(name) fb_slice_equal(kind, FB_SLICE(name))
  if (S_IS("null")) return fb_null();
  if (S_IS("bool") || S_IS("string")) return v;
  if (S_IS("int")) return fb_int(strtoll(text.ptr, NULL, 10));
  if (S_IS("uint")) return fb_uint(strtoull(text.ptr, NULL, 10));
  if (S_IS("double")) return fb_double(strtod(text.ptr, NULL));
  if (S_IS("bytes")) return S_base64(arena, text);
  if (S_IS("list") && v.kind == FB_LIST) return S_list(arena, v.as.list);
  if (S_IS("map") && v.kind == FB_LIST) return S_map(arena, v.as.list);
  if (S_IS("type")) return fb_type_value(text);
  if (S_IS("timestamp") || S_IS("duration")) return S_time(map, S_IS("timestamp"));
#undef S_IS
  return fb_absent();
}

/* ── One test ────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_run {
  fb_cel_env *env;
  fb_value slots[64];
  fb_arena *arena;
  fb_value result;
  fb_error err; /* code FB_OK when there is a result */
} S_run;

static void S_declare(S_run *run, const fb_map *test) {
  const fb_value *bindings = fb_map_get_text(test, FB_SLICE("bindings"));
  const fb_value *names = fb_map_get_text(test, FB_SLICE("type_env"));
  for (uint32_t i = 0; bindings && i < bindings->as.map->len && i < 32; i++) {
    fb_entry entry = bindings->as.map->entries[i];
    uint32_t slot;
    fb_cel_env_add(run->env, fb_value_text(entry.key), fb_cel_simple(FB_CEL_DYN), &slot);
    run->slots[slot] = S_value(run->arena, entry.value);
  }
  for (uint32_t i = 0; names && i < names->as.list->len && i < 32; i++) {
    fb_value name = names->as.list->items[i];
    uint32_t slot;
    if (bindings && fb_map_get(bindings->as.map, name)) continue;
    fb_cel_env_add(run->env, fb_value_text(name), fb_cel_simple(FB_CEL_DYN), &slot);
    run->slots[slot] = fb_absent();
  }
}

static void S_evaluate(S_run *run, const fb_map *test) {
  const fb_value *unchecked = fb_map_get_text(test, FB_SLICE("disable_check"));
  fb_cel_options options = {.no_check = unchecked && unchecked->as.b};
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_cel_context context;
  fb_cel_context_init(&context, run->arena);
  context.zone = fb_zone_system;
  fb_cel_program *program = NULL;
  fb_cel_env_container(run->env, S_text(test, "container"));
  S_declare(run, test);
  if (fb_cel_compile(run->env, S_text(test, "expr"), &options, &program, &errors))
    run->err = errors.items[0];
  else
    fb_cel_eval(program, run->slots, &context, &run->result, &run->err);
  if (program && !run->err.code) fb_value_copy(run->arena, run->result, &run->result);
  fb_cel_context_release(&context);
  fb_cel_program_free(program);
  fb_errors_release(&errors);
}

/* As CEL's equality, but kinds count and NaN is NaN. */
static bool S_same(fb_value a, fb_value b) {
  if (a.kind != b.kind) return false;
  if (a.kind == FB_DOUBLE) return (isnan(a.as.d) && isnan(b.as.d)) || a.as.d == b.as.d;
  if (a.kind == FB_LIST) {
    if (a.as.list->len != b.as.list->len) return false;
    for (uint32_t i = 0; i < a.as.list->len; i++)
      if (!S_same(a.as.list->items[i], b.as.list->items[i])) return false;
    return true;
  }
  if (a.kind != FB_MAP) return fb_value_equal(a, b);
  if (a.as.map->len != b.as.map->len) return false;
  for (uint32_t i = 0; i < a.as.map->len; i++) {
    const fb_value *other = fb_map_get(b.as.map, a.as.map->entries[i].key);
    if (!other || !S_same(a.as.map->entries[i].value, *other)) return false;
  }
  return true;
}

static void S_show(const char *what, fb_value value) {
  fb_buf buf;
  fb_buf_init(&buf, NULL, 0);
  fb_json_write(&buf, value, FB_JSON_COMPACT);
  printf("  %s: %s %s\n", what, fb_kind_name(value.kind), buf.ptr ? buf.ptr : "");
  fb_buf_release(&buf);
}

static void S_show_failure(const fb_map *test, const S_run *run, const fb_value *expect,
                           const char *name) {
  printf("FAIL %s\n  expr: %.*s\n", name, (int)S_text(test, "expr").len, S_text(test, "expr").ptr);
  if (expect)
    S_show("expected", S_value(run->arena, *expect));
  else
    printf("  expected: error: %.*s\n", (int)S_text(test, "error").len, S_text(test, "error").ptr);
  if (run->err.code)
    printf("  got: error: %s (line %u, column %u)\n", run->err.text, run->err.line,
           run->err.column);
  else
    S_show("got", run->result);
}

static bool S_is_known(const S_known *known, const char *name) {
  size_t len = strlen(name);
  for (const char *at = known->text; at && (at = strstr(at, name)); at += len)
    if ((at == known->text || at[-1] == '\n') &&
        (at[len] == '\n' || at[len] == 0 || at[len] == ' '))
      return true;
  return false;
}

static void S_test(const fb_map *test, fb_arena *arena, const S_known *known, bool quiet,
                   S_totals *totals) {
  char name[512];
  snprintf(name, sizeof name, "%.*s/%.*s/%.*s", (int)S_text(test, "file").len,
           S_text(test, "file").ptr, (int)S_text(test, "section").len, S_text(test, "section").ptr,
           (int)S_text(test, "name").len, S_text(test, "name").ptr);
  S_run run = {.arena = arena, .result = fb_null()};
  if (fb_cel_env_new(NULL, &run.env)) abort();
  S_evaluate(&run, test);
  const fb_value *expect = fb_map_get_text(test, FB_SLICE("expect"));
  bool good =
      expect ? !run.err.code && S_same(run.result, S_value(arena, *expect)) : run.err.code != FB_OK;
  if (good)
    totals->passed++;
  else
    totals->failed++;
  if (!good && S_is_known(known, name))
    totals->excused++;
  else if (!good && !quiet)
    S_show_failure(test, &run, expect, name);
  fb_cel_env_free(run.env);
}

/* ── All of them ─────────────────────────────────────────────────────────────────────────────── */

static bool S_file(const char *path, const S_known *known, bool quiet, S_totals *totals) {
  size_t len;
  char *text = S_read_file(path, &len);
  if (!text) return false;
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  for (char *line = text, *end; line < text + len; line = end + 1) {
    end = memchr(line, '\n', (size_t)(text + len - line));
    if (!end) end = text + len;
    fb_value test;
    fb_error err;
    if (end == line) continue;
    if (fb_json_read((fb_slice){line, (size_t)(end - line)}, path, NULL, &arena, &test, &err) ||
        test.kind != FB_MAP) {
      printf("FAIL %s: a line that is no test: %s\n", path, err.text);
      totals->failed++;
    } else {
      S_test(test.as.map, &arena, known, quiet, totals);
    }
    fb_arena_reset(&arena);
  }
  fb_arena_release(&arena);
  free(text);
  return true;
}

static int S_is_jsonl(const struct dirent *entry) {
  size_t len = strlen(entry->d_name);
  return len > 6 && strcmp(entry->d_name + len - 6, ".jsonl") == 0;
}

static int S_directory(const char *directory, const S_known *known, bool quiet) {
  struct dirent **names;
  int count = scandir(directory, &names, S_is_jsonl, alphasort);
  if (count < 0) {
    fprintf(stderr, "conformance-cel: %s: %s\n", directory, strerror(errno));
    return 2;
  }
  S_totals totals = {0};
  int exit_code = 0;
  for (int i = 0; i < count; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, names[i]->d_name);
    if (!S_file(path, known, quiet, &totals)) {
      fprintf(stderr, "conformance-cel: %s: %s\n", path, strerror(errno));
      exit_code = 2;
    }
    free(names[i]);
  }
  free(names);
  if (totals.excused) printf("%zu of the failures are known\n", totals.excused);
  printf("%zu passed, %zu failed\n", totals.passed, totals.failed);
  return exit_code ? exit_code : totals.failed > totals.excused;
}

int main(int argc, char **argv) {
  S_known known = {NULL};
  const char *directory = NULL;
  bool quiet = false;
  size_t len;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--known") == 0 && i + 1 < argc) {
      if (!(known.text = S_read_file(argv[++i], &len)))
        return fprintf(stderr, "conformance-cel: %s: %s\n", argv[i], strerror(errno)), 2;
    } else if (strcmp(argv[i], "--quiet") == 0) {
      quiet = true;
    } else {
      directory = argv[i];
    }
  }
  if (!directory)
    return fprintf(stderr, "usage: conformance-cel [--known FILE] [--quiet] DIR\n"), 2;
  int exit_code = S_directory(directory, &known, quiet);
  free(known.text);
  return exit_code;
}
