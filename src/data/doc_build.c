/* SPDX-License-Identifier: Apache-2.0
 * The builder: events in, a tree with positions out. No recursion. */
#include "data/doc.h"

#include <stdio.h>

static fb_status S_report(fb_doc_builder *builder, const fb_error *err) {
  if (!builder->status) builder->status = err->code;
  return fb_errors_add(builder->errors, err);
}

fb_status fb_doc_no_memory(fb_doc_builder *builder) {
  fb_error err;
  fb_fail(&err, FB_E_NOMEM, "out of memory while reading the document");
  return S_report(builder, &err);
}

fb_status fb_doc_mistake(fb_doc_builder *builder, size_t offset, size_t length, fb_status code,
                         const char *hint, const char *format, ...) {
  fb_error err;
  va_list args;
  char text[sizeof err.text];
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fb_fail(&err, code, "%s", text);
  fb_errors *errors = builder->errors;
  /* Locating costs a walk through the text: not for errors that will only be counted. */
  if (errors && errors->count < errors->max)
    fb_error_locate(&err, builder->doc->name, (fb_slice){builder->doc->text, builder->doc->length},
                    offset, length);
  if (hint && *hint) fb_error_hint(&err, "%s", hint);
  return S_report(builder, &err);
}

static fb_status S_init_doc(fb_doc_builder *builder, fb_slice text, const char *name) {
  fb_doc *doc = fb_alloc_zero(builder->allocator, sizeof *doc);
  if (!doc) return fb_doc_no_memory(builder);
  doc->allocator = builder->allocator;
  fb_arena_init(&doc->arena, builder->allocator, text.len < 2048 ? 2048 : 0);
  doc->name = fb_arena_text(&doc->arena, fb_slice_of(name ? name : "<document>"));
  doc->text = doc->name ? fb_alloc(builder->allocator, text.len + 1) : NULL;
  builder->doc = doc;
  if (!doc->text) return fb_doc_no_memory(builder);
  doc->length = text.len;
  if (text.len) memcpy(doc->text, text.ptr, text.len);
  doc->text[text.len] = 0;
  return FB_OK;
}

fb_status fb_doc_builder_init(fb_doc_builder *builder, fb_slice text, const char *name,
                              const fb_doc_options *options, fb_errors *errors) {
  fb_doc_options o = options ? *options : (fb_doc_options){0};
  if (text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0)
    text = (fb_slice){text.ptr + 3, text.len - 3};
  uint64_t max_length = o.max_length ? o.max_length : FB_DOC_LENGTH_DEFAULT;
  if (max_length > FB_DOC_LENGTH_MAX) max_length = FB_DOC_LENGTH_MAX;
  uint32_t max_depth = o.max_depth ? o.max_depth : FB_DOC_DEPTH_DEFAULT;
  *builder =
      (fb_doc_builder){.errors = errors,
                       .allocator = o.allocator ? o.allocator : fb_allocator_system(),
                       .max_depth = max_depth > FB_DOC_DEPTH_MAX ? FB_DOC_DEPTH_MAX : max_depth,
                       .max_nodes = o.max_nodes ? o.max_nodes : FB_DOC_NODES_DEFAULT,
                       .keep_going = o.keep_going,
                       .cursor = {.line = 1, .column = 1}};
  if (text.len > max_length) {
    fb_error err;
    fb_fail(&err, FB_E_LIMIT, "the document has %zu bytes; at most %llu are read", text.len,
            (unsigned long long)max_length);
    fb_error_locate(&err, name, (fb_slice){"", 0}, 0, 0);
    err.line = err.column = 0;
    return S_report(builder, &err);
  }
  return S_init_doc(builder, text, name);
}

/* ── Positions ───────────────────────────────────────────────────────────────────────────────── */

static void S_locate(fb_doc_builder *builder, fb_node *node) {
  fb_doc_cursor *cursor = &builder->cursor;
  const char *text = builder->doc->text;
  if (node->offset < cursor->offset) {
    if (node->offset < cursor->line_start) *cursor = (fb_doc_cursor){.line = 1};
    cursor->offset = cursor->line_start;
    cursor->column = 1;
  }
  while (cursor->offset < node->offset) {
    unsigned char c = (unsigned char)text[cursor->offset++];
    if (c == '\n') {
      cursor->line++;
      cursor->column = 1;
      cursor->line_start = cursor->offset;
    } else if ((c & 0xc0) != 0x80) {
      cursor->column++;
    }
  }
  node->line = cursor->line;
  node->column = cursor->column;
}

/* ── The tree ────────────────────────────────────────────────────────────────────────────────── */

static fb_doc_frame *S_top(const fb_doc_builder *builder) {
  return builder->frame_count ? &builder->frames[builder->frame_count - 1] : NULL;
}

bool fb_doc_wants_key(const fb_doc_builder *builder) {
  const fb_doc_frame *top = S_top(builder);
  return top && top->kind == FB_MAP && !top->has_key;
}

static fb_status S_weigh(fb_doc_builder *builder, const fb_node *node, uint32_t weight) {
  if (weight > builder->max_nodes - builder->weight)
    return fb_doc_mistake(
        builder, node->offset, 1, FB_E_LIMIT,
        "aliases count with everything they stand for; split the document, or raise the limit",
        "the document has more than %u nodes", builder->max_nodes);
  builder->weight += weight;
  return FB_OK;
}

/* A key that is no text has been reported: the pair is dropped when its map is closed. */
static void S_check_key(fb_doc_builder *builder, fb_node *node) {
  if (node->kind == FB_STRING || node->kind == FB_ERROR) return;
  fb_doc_mistake(builder, node->offset, node->length, FB_E_DOC_KEY,
                 node->kind == FB_LIST || node->kind == FB_MAP
                     ? "in braces, quote text that begins with `{` or `[`: \"${{ … }}\""
                     : "quote it if it is meant as text",
                 "a key must be text, found %s", fb_node_describe(node));
  node->kind = FB_ERROR;
}

/* Puts a finished subtree where it belongs. */
static fb_status S_place(fb_doc_builder *builder, fb_node node, uint32_t weight, uint32_t height) {
  fb_doc_frame *top = S_top(builder);
  if (!top) {
    builder->has_root = true;
  } else {
    if (top->height < height) top->height = height;
    if (top->kind == FB_MAP && !top->has_key) S_check_key(builder, &node);
    if (top->kind == FB_MAP) top->has_key = !top->has_key;
    void *scratch = builder->scratch;
    if (!fb_grow(builder->allocator, &scratch, &builder->scratch_cap, builder->scratch_count,
                 sizeof node))
      return fb_doc_no_memory(builder);
    builder->scratch = scratch;
    builder->scratch[builder->scratch_count++] = node;
  }
  builder->last = node;
  builder->last_weight = weight;
  builder->last_height = height;
  return FB_OK;
}

fb_status fb_doc_add(fb_doc_builder *builder, fb_node node) {
  S_locate(builder, &node);
  fb_status status = S_weigh(builder, &node, 1);
  if (status) return status;
  builder->last_anchor = 0;
  return S_place(builder, node, 1, 0);
}

static fb_status S_too_deep(fb_doc_builder *builder, uint32_t offset) {
  return fb_doc_mistake(builder, offset, 1, FB_E_LIMIT, NULL,
                        "the document is nested more than %u levels deep", builder->max_depth);
}

fb_status fb_doc_add_shared(fb_doc_builder *builder, fb_node node, uint32_t weight,
                            uint32_t height) {
  if (builder->frame_count + height > builder->max_depth) return S_too_deep(builder, node.offset);
  fb_status status = S_weigh(builder, &node, weight);
  if (status) return status;
  builder->last_anchor = 0;
  return S_place(builder, node, weight, height);
}

fb_status fb_doc_open(fb_doc_builder *builder, fb_kind kind, uint32_t offset, size_t anchor) {
  fb_node here = {.offset = offset};
  if (builder->frame_count >= builder->max_depth) return S_too_deep(builder, offset);
  fb_status status = S_weigh(builder, &here, 1);
  if (status) return status;
  void *frames = builder->frames;
  if (!fb_grow(builder->allocator, &frames, &builder->frame_cap, builder->frame_count,
               sizeof *builder->frames))
    return fb_doc_no_memory(builder);
  builder->frames = frames;
  S_locate(builder, &here);
  builder->frames[builder->frame_count++] = (fb_doc_frame){.kind = (uint8_t)kind,
                                                           .offset = offset,
                                                           .line = here.line,
                                                           .column = here.column,
                                                           .first = builder->scratch_count,
                                                           .weight_base = builder->weight - 1,
                                                           .anchor = anchor};
  return FB_OK;
}

/* ── Closing a map ───────────────────────────────────────────────────────────────────────────── */

static void S_repeated(fb_doc_builder *builder, const fb_node *first, const fb_node *again) {
  char hint[80];
  snprintf(hint, sizeof hint, "it is first at line %u, column %u", first->line, first->column);
  fb_slice key = fb_node_text(again);
  fb_doc_mistake(builder, again->offset, again->length, FB_E_DOC_DUPLICATE, hint,
                 "the key `%.*s` is repeated", key.len > 100 ? 100 : (int)key.len, key.ptr);
}

/* Finds repeated keys with a table. They become mistakes. */
static bool S_check_many(fb_doc_builder *builder, fb_pair *pairs, size_t count) {
  fb_table table;
  fb_table_init(&table, builder->allocator, fb_hash_u64((uintptr_t)builder->doc));
  bool ok = true;
  for (size_t i = 0; i < count && ok; i++) {
    if (pairs[i].key.kind != FB_STRING) continue;
    bool added;
    fb_table_slot *slot = fb_table_put(&table, fb_node_text(&pairs[i].key), &added);
    ok = slot != NULL;
    if (ok && added) {
      slot->value.number = i;
    } else if (ok) {
      S_repeated(builder, &pairs[slot->value.number].key, &pairs[i].key);
      pairs[i].key.kind = FB_ERROR;
    }
  }
  fb_table_release(&table);
  return ok;
}

static void S_check_few(fb_doc_builder *builder, fb_pair *pairs, size_t count) {
  for (size_t i = 1; i < count; i++)
    for (size_t j = 0; j < i && pairs[i].key.kind == FB_STRING; j++)
      if (pairs[j].key.kind == FB_STRING &&
          fb_slice_equal(fb_node_text(&pairs[i].key), fb_node_text(&pairs[j].key))) {
        S_repeated(builder, &pairs[j].key, &pairs[i].key);
        pairs[i].key.kind = FB_ERROR;
      }
}

/* Reports repeated keys and drops their pairs. SIZE_MAX: no memory. */
static size_t S_settle_map(fb_doc_builder *builder, fb_pair *pairs, size_t count) {
  enum { FEW = 8 };
  if (count > FEW && !S_check_many(builder, pairs, count)) return SIZE_MAX;
  if (count <= FEW) S_check_few(builder, pairs, count);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++)
    if (pairs[i].key.kind == FB_STRING) pairs[kept++] = pairs[i];
  return kept;
}

_Static_assert(sizeof(fb_pair) == 2 * sizeof(fb_node), "key and value in scratch are a pair");

/* A pair without braces in a flow list: the parser notices it at its colon, after the key. */
static void S_begin_at_key(fb_node *map, const fb_node *key) {
  if (key->line != map->line || key->offset >= map->offset) return;
  map->length += map->offset - key->offset;
  map->offset = key->offset;
  map->column = key->column;
}

fb_status fb_doc_close(fb_doc_builder *builder, uint32_t end) {
  fb_doc_frame frame = builder->frames[--builder->frame_count];
  size_t count = builder->scratch_count - frame.first;
  fb_node *children = count ? builder->scratch + frame.first : NULL;
  fb_node node = {.kind = frame.kind,
                  .style = FB_NODE_JSON,
                  .offset = frame.offset,
                  .line = frame.line,
                  .column = frame.column};
  node.length = end > node.offset ? end - node.offset : 0;
  if (count && frame.kind == FB_MAP) S_begin_at_key(&node, children);
  size_t size = count * sizeof *children;
  if (frame.kind == FB_MAP) {
    count = S_settle_map(builder, (fb_pair *)children, count / 2);
    if (count == SIZE_MAX) return fb_doc_no_memory(builder);
    size = count * sizeof(fb_pair);
  }
  if (count) {
    node.as.items = fb_arena_copy(&builder->doc->arena, children, size);
    if (!node.as.items) return fb_doc_no_memory(builder);
  }
  node.count = (uint32_t)count;
  builder->scratch_count = frame.first;
  builder->last_anchor = frame.anchor;
  return S_place(builder, node, builder->weight - frame.weight_base, frame.height + 1);
}

/* ── The end ─────────────────────────────────────────────────────────────────────────────────── */

/* Reading ended early: what was read of the open maps is looked at all the same. */
static void S_check_open_maps(fb_doc_builder *builder) {
  size_t end = builder->scratch_count;
  for (size_t i = builder->frame_count; i > 0; i--) {
    const fb_doc_frame *frame = &builder->frames[i - 1];
    size_t pairs = (end - frame->first) / 2;
    if (frame->kind == FB_MAP && pairs)
      S_settle_map(builder, (fb_pair *)(builder->scratch + frame->first), pairs);
    end = frame->first;
  }
}

fb_status fb_doc_builder_finish(fb_doc_builder *builder, fb_status status, fb_doc **ret_doc) {
  if (status && status != FB_E_NOMEM) S_check_open_maps(builder);
  fb_free(builder->allocator, builder->scratch, builder->scratch_cap * sizeof *builder->scratch);
  fb_free(builder->allocator, builder->frames, builder->frame_cap * sizeof *builder->frames);
  if (!status && !builder->keep_going) status = builder->status;
  if (!status) {
    builder->doc->root = builder->last;
    builder->doc->status = builder->status;
    *ret_doc = builder->doc;
  } else {
    fb_doc_free(builder->doc);
    if (builder->status) status = builder->status;
  }
  builder->doc = NULL;
  return status;
}
