/* SPDX-License-Identifier: Apache-2.0
 * Where errors of evaluation are shown. */
#include "cel/origin.h"

enum {
  ANCHORS = 256,
  EXACT_UP_TO = 8 * 1024, /* bytes of source whose places in a document are asked for one by one */
  FAR = 4096, /* a line is kept from its beginning unless that is farther away than this … */
  NEAR = 240  /* … then from so many bytes before the expression, and up to so many behind it */
};

typedef struct S_place {
  const fb_doc *doc; /* NULL: the source is a part of a text, which begins at base */
  const fb_node *node;
  size_t node_offset;
  size_t base;
  size_t start, len; /* of the origin in the document or text */
  /* Asking the document is linear in the scalar's length. Of a long source it is asked only at every step
   * bytes; between them lies what lies between them. step 0: it is asked each time. */
  size_t step;
  size_t anchors[ANCHORS + 2];
  bool plain; /* the source stands in the document as it is, from base on */
} S_place;

static size_t S_ask(const S_place *place, size_t offset) {
  return fb_node_source_offset(place->doc, place->node, place->node_offset + offset);
}

/* Of nearly all sources: nothing in them is escaped or folded. */
static bool S_is_plain(S_place *place, fb_slice source) {
  fb_slice text = fb_doc_text(place->doc);
  size_t at = S_ask(place, 0);
  if (at + source.len > text.len || memcmp(text.ptr + at, source.ptr, source.len) != 0)
    return false;
  place->base = at;
  return true;
}

static void S_set_anchors(S_place *place, fb_slice source) {
  size_t source_len = source.len;
  if (!place->doc || (place->plain = S_is_plain(place, source)) || source_len <= EXACT_UP_TO)
    return;
  place->step = source_len / ANCHORS + 1;
  for (size_t i = 0; i < ANCHORS + 2; i++) {
    size_t offset = i * place->step;
    place->anchors[i] = S_ask(place, offset < source_len ? offset : source_len);
  }
}

/* Where a byte of the source is in the document or text. */
static size_t S_outside(const S_place *place, size_t offset) {
  if (!place->doc || place->plain) return place->base + offset;
  if (!place->step) return S_ask(place, offset);
  const size_t *anchor = &place->anchors[offset / place->step];
  size_t at = anchor[0] + offset % place->step;
  return at > anchor[1] ? anchor[1] : at;
}

static size_t S_inside(const S_place *place, size_t offset) {
  size_t at = S_outside(place, offset);
  return at < place->start ? 0 : at - place->start > place->len ? place->len : at - place->start;
}

static void S_place_nodes(const S_place *place, fb_ast *ast) {
  size_t from = S_inside(place, ast->offset),
         to = S_inside(place, (size_t)ast->offset + ast->length);
  ast->at = (uint32_t)from;
  ast->span = (uint32_t)(to > from ? to - from : 0);
  for (uint32_t i = 0; i < ast->count; i++) S_place_nodes(place, ast->args[i]);
}

static bool S_continues(char c) {
  return ((unsigned char)c & 0xc0) == 0x80;
}

/* Code points before text[at] in its line. Begins to count at the node if that is on the same line: a document
 * may be one very long line. */
static uint32_t S_column(const S_place *place, fb_slice text, size_t at) {
  bool in_node = place->doc && place->node->offset <= at;
  size_t least = in_node ? place->node->offset : 0, line = at;
  while (line > least && text.ptr[line - 1] != '\n') line--;
  uint32_t before = in_node && line == least ? place->node->column - 1 : 0;
  return before + (uint32_t)fb_utf8_length(text.ptr + line, at - line);
}

/* The lines from text[from] to text[to], cut off where they are very long. */
static fb_status S_keep_lines(fb_cel_expr *expr, S_place *place, fb_slice text, size_t from,
                              size_t to) {
  size_t start = from, end = to;
  while (start > 0 && text.ptr[start - 1] != '\n' && from - start < FAR) start--;
  if (from - start == FAR) {
    start = from - NEAR;
    while (S_continues(text.ptr[start])) start--;
    expr->origin.column = S_column(place, text, start);
  }
  while (end < text.len && text.ptr[end] != '\n' && (end - to < NEAR || S_continues(text.ptr[end])))
    end++;
  char *copy = fb_arena_text(&expr->arena, (fb_slice){text.ptr + start, end - start});
  if (!copy) return FB_E_NOMEM;
  expr->origin.text = (fb_slice){copy, end - start};
  place->start = start;
  place->len = end - start;
  return FB_OK;
}

/* Lines between two places. */
static uint32_t S_lines(fb_slice text, size_t from, size_t to) {
  uint32_t lines = 0;
  for (size_t i = from; i < to; i++) lines += text.ptr[i] == '\n';
  return lines;
}

/* Lines before the origin; counted from the node, which may begin on either side. */
static uint32_t S_line(const S_place *place, fb_slice text) {
  if (!place->doc) return S_lines(text, 0, place->start);
  size_t node = place->node->offset;
  uint32_t known = place->node->line - 1;
  if (node <= place->start) return known + S_lines(text, node, place->start);
  return known - S_lines(text, place->start, node);
}

static fb_status S_set_lines(fb_cel_expr *expr, S_place *place, const fb_cel_report *report) {
  fb_slice text = place->doc ? fb_doc_text(place->doc) : report->source;
  size_t from = S_outside(place, 0), to = S_outside(place, expr->source.len);
  if (to > text.len) to = text.len;
  if (from > to) from = to;
  fb_status status = S_keep_lines(expr, place, text, from, to);
  if (status) return status;
  expr->origin.line = S_line(place, text);
  return FB_OK;
}

fb_status fb_cel_origin_set(fb_cel_expr *expr, const fb_cel_options *options,
                            const fb_cel_report *report) {
  S_place place = {.base = report->base};
  const char *file = options ? options->name : NULL;
  if (options && options->doc && options->node) {
    place.doc = options->doc;
    place.node = options->node;
    place.node_offset = options->node_offset;
    file = fb_doc_name(options->doc);
  }
  S_set_anchors(&place, expr->source);
  fb_status status = S_set_lines(expr, &place, report);
  if (status) return status;
  S_place_nodes(&place, expr->root);
  expr->origin.file = fb_arena_text(&expr->arena, fb_slice_of(file ? file : ""));
  return expr->origin.file ? FB_OK : FB_E_NOMEM;
}

bool fb_cel_origin_copy(const fb_cel_origin *from, fb_arena *arena, fb_cel_origin *ret_copy) {
  *ret_copy = *from;
  ret_copy->text.ptr = fb_arena_text(arena, from->text);
  ret_copy->file = fb_arena_text(arena, fb_slice_of(from->file));
  return ret_copy->text.ptr && ret_copy->file;
}

void fb_cel_origin_locate(const fb_cel_origin *origin, size_t at, size_t span, fb_error *err) {
  if (!err) return;
  fb_error_locate(err, origin->file, origin->text, at, span);
  if (err->line == 1) err->column += origin->column;
  err->line += origin->line;
}
