/* SPDX-License-Identifier: Apache-2.0
 * Runs case files of documents: run_doc FILE… prints TAP. See README.md for the format. */
#include <flyball/data.h>

#include <stdio.h>
#include <stdlib.h>

typedef struct S_case {
  fb_slice name;
  fb_slice input, expected;
  bool json_input, escaped; /* how the input is to be taken */
} S_case;

/* The next line, without its end; false when there is none. */
static bool S_line(fb_slice *rest, fb_slice *ret_line) {
  if (!rest->len) return false;
  const char *end = memchr(rest->ptr, '\n', rest->len);
  size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
  *ret_line = (fb_slice){rest->ptr, len};
  size_t taken = len + (end != NULL);
  *rest = (fb_slice){rest->ptr + taken, rest->len - taken};
  return true;
}

static bool S_is_marker(fb_slice line) {
  static const char *const markers[] = {"=== ", "--- yaml", "--- text", "--- json", "--- errors"};
  for (size_t i = 0; i < sizeof markers / sizeof *markers; i++)
    if (fb_slice_starts(line, fb_slice_of(markers[i]))) return true;
  return false;
}

/* Everything up to the next marker. */
static fb_slice S_section(fb_slice *rest) {
  fb_slice body = {rest->ptr, 0}, after = *rest, line;
  while (S_line(&after, &line) && !S_is_marker(line)) *rest = after;
  body.len = (size_t)(rest->ptr - body.ptr);
  return body;
}

static void S_take_section(S_case *one, fb_slice marker, fb_slice body) {
  char kind = marker.ptr[4];
  if (kind == 'y' || kind == 't') {
    one->input = body;
    one->json_input = kind == 't';
    one->escaped = fb_slice_equal((fb_slice){marker.ptr + 8, marker.len - 8}, FB_SLICE(" escaped"));
  } else {
    one->expected = body;
  }
}

static bool S_next(fb_slice *rest, S_case *ret_case) {
  fb_slice line, after;
  *ret_case = (S_case){0};
  S_section(rest);
  if (!S_line(rest, &line)) return false;
  ret_case->name = (fb_slice){line.ptr + 4, line.len - 4};
  for (after = *rest; S_line(&after, &line) && line.ptr[0] == '-'; after = *rest) {
    *rest = after;
    S_take_section(ret_case, line, S_section(rest));
  }
  return true;
}

static int S_hex(char c) {
  return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* \t, \r, \n, \\ and \xNN become bytes; the line's own end is not part of the text. */
static void S_unescape(fb_slice text, fb_buf *out) {
  if (text.len && text.ptr[text.len - 1] == '\n') text.len--;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] != '\\' || i + 1 == text.len) {
      fb_buf_char(out, text.ptr[i]);
      continue;
    }
    char c = text.ptr[++i];
    if (c == 'x' && i + 2 < text.len) {
      fb_buf_char(out, (char)(S_hex(text.ptr[i + 1]) * 16 + S_hex(text.ptr[i + 2])));
      i += 2;
    } else {
      fb_buf_char(out, c == 't' ? '\t' : c == 'r' ? '\r' : c == 'n' ? '\n' : c);
    }
  }
}

static void S_write(const fb_doc *doc, fb_buf *out) {
  fb_arena arena;
  fb_value value;
  fb_arena_init(&arena, NULL, 0);
  if (!fb_node_value(fb_doc_root(doc), &arena, &value))
    fb_json_write(out, value, FB_JSON_CANONICAL);
  fb_buf_char(out, '\n');
  fb_arena_release(&arena);
}

static void S_run(const S_case *one, fb_buf *out) {
  fb_errors errors;
  fb_buf input;
  fb_doc *doc = NULL;
  fb_errors_init(&errors, NULL, 0);
  fb_buf_init(&input, NULL, 0);
  if (one->escaped)
    S_unescape(one->input, &input);
  else
    fb_buf_add(&input, one->input.ptr, one->input.len);
  (one->json_input ? fb_doc_read_json : fb_doc_read_yaml)(fb_buf_slice(&input), "in", NULL, &doc,
                                                          &errors);
  fb_errors_sort(&errors);
  if (doc)
    S_write(doc, out);
  else
    fb_errors_render(&errors, false, out);
  fb_doc_free(doc);
  fb_buf_release(&input);
  fb_errors_release(&errors);
}

static fb_slice S_trim(fb_slice text) {
  while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == ' ')) text.len--;
  return text;
}

/* As a comment of TAP. */
static void S_explain(const char *what, fb_slice text) {
  fb_slice line;
  printf("# %s:\n", what);
  while (S_line(&text, &line)) printf("#   %.*s\n", (int)line.len, line.ptr);
}

static bool S_check(const S_case *one, int number, const char *file) {
  fb_buf found;
  fb_buf_init(&found, NULL, 0);
  S_run(one, &found);
  fb_slice expected = S_trim(one->expected), got = S_trim(fb_buf_slice(&found));
  bool ok = fb_slice_equal(expected, got);
  printf("%sok %d - %s: %.*s\n", ok ? "" : "not ", number, file, (int)one->name.len, one->name.ptr);
  if (!ok) {
    S_explain("expected", expected);
    S_explain("found", got);
  }
  fb_buf_release(&found);
  return ok;
}

static bool S_read_file(const char *path, fb_buf *out) {
  FILE *file = fopen(path, "rb");
  char bytes[4096];
  size_t n;
  if (!file) return false;
  while ((n = fread(bytes, 1, sizeof bytes, file)) > 0) fb_buf_add(out, bytes, n);
  fclose(file);
  return true;
}

int main(int argc, char **argv) {
  int number = 0, failed = 0;
  for (int i = 1; i < argc; i++) {
    fb_buf text;
    fb_buf_init(&text, NULL, 0);
    const char *slash = strrchr(argv[i], '/');
    if (!S_read_file(argv[i], &text)) {
      printf("not ok %d - cannot read %s\n", ++number, argv[i]);
      failed++;
    }
    fb_slice rest = fb_buf_slice(&text);
    S_case one;
    while (S_next(&rest, &one)) failed += !S_check(&one, ++number, slash ? slash + 1 : argv[i]);
    fb_buf_release(&text);
  }
  printf("1..%d\n", number);
  return failed > 0;
}
