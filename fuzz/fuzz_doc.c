/* SPDX-License-Identifier: Apache-2.0
 * Documents: the bytes are read as YAML and as JSON. What is accepted must have a sound tree (positions
 * inside the text and equal to those that counting gives, clean text), and its canonical JSON must read
 * back to the same, as JSON and as YAML. */
#include <flyball/data.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_COUNTED = 2048, MAX_YAML_AGAIN = 1000 };

typedef fb_status reader(fb_slice text, const char *name, const fb_doc_options *options,
                         fb_doc **ret_doc, fb_errors *errors);

static void S_check(bool holds) {
  if (!holds) abort();
}

static void S_check_place(const fb_doc *doc, const fb_node *node) {
  fb_slice text = fb_doc_text(doc);
  S_check((size_t)node->offset + node->length <= text.len);
  S_check(node->line >= 1 && node->column >= 1);
  if (text.len > MAX_COUNTED) return;
  fb_error err;
  fb_fail(&err, FB_E_INTERNAL, "x");
  fb_error_locate(&err, "x", text, node->offset, 0);
  S_check(err.line == node->line && err.column == node->column);
}

static void S_check_text(const fb_doc *doc, const fb_node *node) {
  fb_slice text = fb_node_text(node);
  S_check(fb_utf8_valid(text.ptr, text.len, NULL));
  if (text.len > MAX_COUNTED) return;
  size_t last = node->offset;
  for (size_t i = 0; i <= text.len; i++) {
    size_t at = fb_node_source_offset(doc, node, i);
    S_check(at >= last && at <= (size_t)node->offset + node->length);
    last = at;
  }
}

static void S_check_node(const fb_doc *doc, const fb_node *node) {
  S_check_place(doc, node);
  if (node->kind == FB_LIST)
    for (uint32_t i = 0; i < node->count; i++) S_check_node(doc, &node->as.items[i]);
  else if (node->kind == FB_MAP)
    for (uint32_t i = 0; i < node->count; i++) {
      S_check_text(doc, &node->as.pairs[i].key);
      S_check_node(doc, &node->as.pairs[i].key);
      S_check_node(doc, &node->as.pairs[i].value);
    }
  else if (node->kind == FB_STRING)
    S_check_text(doc, node);
  else
    S_check(node->kind <= FB_DOUBLE && node->as.scalar.kind == node->kind);
}

static void S_write(const fb_doc *doc, fb_buf *out) {
  fb_arena arena;
  fb_value value;
  fb_arena_init(&arena, NULL, 0);
  S_check(fb_node_value(fb_doc_root(doc), &arena, &value) == FB_OK);
  fb_json_write(out, value, FB_JSON_CANONICAL);
  S_check(!out->failed);
  fb_arena_release(&arena);
}

static void S_read_again(reader *read, const fb_buf *text) {
  fb_doc *doc = NULL;
  fb_errors errors;
  fb_buf out;
  fb_errors_init(&errors, NULL, 0);
  fb_buf_init(&out, NULL, 0);
  S_check(read(fb_buf_slice(text), "again", NULL, &doc, &errors) == FB_OK);
  S_write(doc, &out);
  S_check(fb_slice_equal(fb_buf_slice(&out), fb_buf_slice(text)));
  fb_buf_release(&out);
  fb_errors_release(&errors);
  fb_doc_free(doc);
}

static void S_check_errors(const fb_errors *errors, fb_status status) {
  S_check(errors->count > 0 && errors->items[0].code == status);
  for (size_t i = 0; i < errors->count; i++) S_check(errors->items[i].text[0] != 0);
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_errors_render(errors, true, &out);
  S_check(!out.failed && fb_utf8_valid(out.ptr, out.len, NULL));
  fb_buf_release(&out);
}

static void S_try(reader *read, fb_slice text, bool keep_going) {
  fb_doc_options options = {.max_nodes = 20000, .keep_going = keep_going};
  fb_doc *doc = NULL;
  fb_errors errors;
  fb_buf out;
  fb_errors_init(&errors, NULL, 0);
  fb_buf_init(&out, NULL, 0);
  fb_status status = read(text, "fuzz", &options, &doc, &errors);
  S_check((status == FB_OK) == (doc != NULL));
  if (status) {
    S_check_errors(&errors, status);
  } else if (!fb_errors_total(&errors)) {
    S_check_node(doc, fb_doc_root(doc));
    S_write(doc, &out);
    S_read_again(fb_doc_read_json, &out);
    if (out.len <= MAX_YAML_AGAIN) S_read_again(fb_doc_read_yaml, &out);
  } else {
    S_check(keep_going);
    S_write(doc, &out);
  }
  fb_buf_release(&out);
  fb_errors_release(&errors);
  fb_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fb_slice text = {(const char *)data, size};
  S_try(fb_doc_read_yaml, text, false);
  S_try(fb_doc_read_yaml, text, true);
  S_try(fb_doc_read_json, text, false);
  return 0;
}
