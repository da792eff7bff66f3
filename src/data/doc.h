/* SPDX-License-Identifier: Apache-2.0
 *
 * How a document's tree is built (inside src/data only). The readers of YAML and JSON are two sources
 * of the same events; the builder holds what both need: the tree, positions, limits, duplicate keys.
 *
 *  scratch  nodes whose collection is still open, oldest first; a collection's children are its tail
 *  frame    an open collection
 *  weight   nodes in a subtree, aliases counted by what they expand to: the budget against bombs
 *  height   levels of collections in a subtree: bounds every later recursion over the tree
 *  mistake  an error of meaning: reported, a node of kind FB_ERROR stands in, reading goes on
 */
#ifndef FB_DATA_DOC_H
#define FB_DATA_DOC_H

#include <flyball/data.h>

enum {
  FB_DOC_DEPTH_DEFAULT = 128,
  FB_DOC_DEPTH_MAX = 1024, /* no option goes beyond: what walks trees and values is recursive */
  FB_DOC_NODES_DEFAULT = 4 << 20
};
#define FB_DOC_LENGTH_DEFAULT (UINT64_C(64) << 20)
#define FB_DOC_LENGTH_MAX (UINT64_C(4294967295) - 16)

struct fb_doc {
  const fb_allocator *allocator;
  fb_arena arena;
  char *text; /* a NUL follows */
  size_t length;
  const char *name;
  fb_node root;
  fb_status status; /* of the first mistake, with keep_going */
};

typedef struct fb_doc_frame {
  uint8_t kind;                  /* FB_LIST or FB_MAP */
  bool has_key;                  /* a map that waits for a value */
  uint32_t offset, line, column; /* of the collection */
  size_t first;                  /* its first child in scratch */
  uint32_t height;               /* of its children so far */
  uint32_t weight_base;          /* builder's weight when it was opened */
  size_t anchor;                 /* number + 1 in the reader's table; 0: none */
} fb_doc_frame;

/* Walks forward over the text, so that positions of nodes in order cost one pass. */
typedef struct fb_doc_cursor {
  size_t offset, line_start;
  uint32_t line, column;
} fb_doc_cursor;

typedef struct fb_doc_builder {
  fb_doc *doc;
  fb_errors *errors;
  const fb_allocator *allocator;
  uint32_t max_depth, max_nodes;
  uint32_t weight;
  fb_status status; /* of the first error, mistakes included */
  bool keep_going;
  bool has_root;
  fb_doc_cursor cursor;
  fb_node *scratch;
  size_t scratch_count, scratch_cap;
  fb_doc_frame *frames;
  size_t frame_count, frame_cap;
  /* Of the subtree that was finished last. */
  fb_node last;
  uint32_t last_weight, last_height;
  size_t last_anchor;
} fb_doc_builder;

/* Copies text and name, checks the length. On failure the error has been added to `errors`. */
fb_status fb_doc_builder_init(fb_doc_builder *builder, fb_slice text, const char *name,
                              const fb_doc_options *options, fb_errors *errors);
/* Ends it: gives the document if there is one to give, frees the rest. `status`: how reading ended. */
fb_status fb_doc_builder_finish(fb_doc_builder *builder, fb_status status, fb_doc **ret_doc);

/* True if the next node is a key. */
bool fb_doc_wants_key(const fb_doc_builder *builder);
/* Adds a finished node; line and column are filled in here. Fails only for good: memory, limits. */
fb_status fb_doc_add(fb_doc_builder *builder, fb_node node);
/* The same for a subtree that is already in the document: shares its children. */
fb_status fb_doc_add_shared(fb_doc_builder *builder, fb_node node, uint32_t weight,
                            uint32_t height);
fb_status fb_doc_open(fb_doc_builder *builder, fb_kind kind, uint32_t offset, size_t anchor);
/* `end`: offset after its closing bracket or its last child. */
fb_status fb_doc_close(fb_doc_builder *builder, uint32_t end);

/* Adds an error at text[offset .. offset+length). Returns its code, which also becomes the builder's. */
fb_status fb_doc_mistake(fb_doc_builder *builder, size_t offset, size_t length, fb_status code,
                         const char *hint, const char *format, ...) FB_PRINTF(6, 7);
/* The same without a position. */
fb_status fb_doc_no_memory(fb_doc_builder *builder);

/* "a list", "text": a kind in messages. */
const char *fb_doc_kind_phrase(unsigned kind);

/* ── YAML's own parts ────────────────────────────────────────────────────────────────────────── */

/* Refuses bytes that no document may have, and text that would make the parser use unbounded memory. */
fb_status fb_yaml_guard(fb_doc_builder *builder);

/* What a plain scalar means in the core schema; text otherwise (borrowed). FB_E_DOC_NUMBER if it is a
 * number that does not fit, FB_E_NOMEM. */
fb_status fb_yaml_resolve(fb_slice text, const fb_allocator *allocator, fb_value *ret_value);

/* The text of a single-quoted scalar; `source` is what stands between its quotes. libfyaml 0.7.12 leaks
 * memory over doubled quotes, so it is not asked. Borrowed from source if nothing changes. */
fb_status fb_yaml_unquote(fb_slice source, fb_arena *arena, fb_slice *ret_text);
/* The same for what stands between double quotes; its escapes are known to be good. libfyaml 0.7.12 loses
 * bytes where an escaped blank ends a line. */
fb_status fb_yaml_unescape(fb_slice source, fb_arena *arena, fb_slice *ret_text);

/* Text of a literal or folded block from the first character of its first line to the last of its last, into `out`, which
 * holds source.len bytes. Returns its length. */
size_t fb_yaml_block(fb_slice source, size_t indent, bool folded, char *out);

typedef struct fb_yaml_complaint {
  fb_status code;
  const char *text; /* NULL: the parser's own words */
  const char *hint;
} fb_yaml_complaint;

/* Our words for a message of the parser. */
fb_yaml_complaint fb_yaml_explain(const char *message);

#endif
