/* SPDX-License-Identifier: Apache-2.0
 * Documents: reading by name, looking into the tree. */
#include "data/doc.h"

fb_status fb_doc_read(fb_slice text, const char *name, const fb_doc_options *options,
                      fb_doc **ret_doc, fb_errors *errors) {
  size_t len = name ? strlen(name) : 0;
  if (len >= 5 && strcmp(name + len - 5, ".json") == 0)
    return fb_doc_read_json(text, name, options, ret_doc, errors);
  return fb_doc_read_yaml(text, name, options, ret_doc, errors);
}

void fb_doc_free(fb_doc *doc) {
  if (!doc) return;
  fb_arena_release(&doc->arena);
  if (doc->text) fb_free(doc->allocator, doc->text, doc->length + 1);
  fb_free(doc->allocator, doc, sizeof *doc);
}

const fb_node *fb_doc_root(const fb_doc *doc) {
  return &doc->root;
}

fb_status fb_doc_status(const fb_doc *doc) {
  return doc->status;
}

const char *fb_doc_name(const fb_doc *doc) {
  return doc->name;
}

fb_slice fb_doc_text(const fb_doc *doc) {
  return (fb_slice){doc->text, doc->length};
}

const fb_pair *fb_node_get_pair(const fb_node *node, const char *key) {
  if (!fb_node_is(node, FB_MAP)) return NULL;
  fb_slice wanted = fb_slice_of(key);
  for (uint32_t i = 0; i < node->count; i++)
    if (fb_slice_equal(fb_node_text(&node->as.pairs[i].key), wanted)) return &node->as.pairs[i];
  return NULL;
}

const fb_node *fb_node_get(const fb_node *node, const char *key) {
  const fb_pair *pair = fb_node_get_pair(node, key);
  return pair ? &pair->value : NULL;
}

const char *fb_doc_kind_phrase(unsigned kind) {
  switch (kind) {
    case FB_NULL: return "null";
    case FB_BOOL: return "true or false";
    case FB_INT: return "an integer";
    case FB_UINT: return "a large integer";
    case FB_DOUBLE: return "a number with a fraction";
    case FB_STRING: return "text";
    case FB_LIST: return "a list";
    case FB_MAP: return "a map";
    default: return "a mistake";
  }
}

const char *fb_node_describe(const fb_node *node) {
  if (!node) return "nothing";
  if (node->kind == FB_BOOL) return node->as.scalar.as.b ? "true" : "false";
  return fb_doc_kind_phrase(node->kind);
}

static fb_status S_list_value(const fb_node *node, fb_arena *arena, fb_value *ret_value) {
  fb_list *list = fb_list_new(arena, node->count);
  if (!list) return FB_E_NOMEM;
  for (uint32_t i = 0; i < node->count; i++) {
    fb_value item;
    if (fb_node_value(&node->as.items[i], arena, &item) || !fb_list_push(list, arena, item))
      return FB_E_NOMEM;
  }
  *ret_value = fb_list_value(list);
  return FB_OK;
}

static fb_status S_map_value(const fb_node *node, fb_arena *arena, fb_value *ret_value) {
  fb_map *map = fb_map_new(arena, node->count);
  if (!map) return FB_E_NOMEM;
  for (uint32_t i = 0; i < node->count; i++) {
    fb_value value;
    if (fb_node_value(&node->as.pairs[i].value, arena, &value) ||
        !fb_map_put(map, arena, node->as.pairs[i].key.as.scalar, value, NULL))
      return FB_E_NOMEM;
  }
  *ret_value = fb_map_value(map);
  return FB_OK;
}

/* Recursion is bounded by the document's max_depth. */
fb_status fb_node_value(const fb_node *node, fb_arena *arena, fb_value *ret_value) {
  switch (node->kind) {
    case FB_LIST: return S_list_value(node, arena, ret_value);
    case FB_MAP: return S_map_value(node, arena, ret_value);
    case FB_ERROR: *ret_value = fb_null(); return FB_OK;
    default: *ret_value = node->as.scalar; return FB_OK;
  }
}
