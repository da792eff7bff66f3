/* SPDX-License-Identifier: Apache-2.0
 *
 * From a byte of a scalar's value back to the byte of the document it came from, by reading the scalar's
 * source again beside its value: so no node carries a map for the rare case of an error inside it.
 *
 *  source  text[at .. end): the scalar as written, without its quotes
 *  value   bytes done so far; the walk ends when it reaches `wanted`
 */
#include "data/doc.h"

typedef struct S_walk {
  const char *text;
  size_t at, end;
  size_t value, wanted;
} S_walk;

static bool S_blank(char c) {
  return c == ' ' || c == '\t';
}

static bool S_break(char c) {
  return c == '\n' || c == '\r';
}

/* Bytes of the character at `at`: what is valid stays whole. */
static size_t S_char_length(const S_walk *walk) {
  uint32_t rune;
  int n = fb_utf8_decode(walk->text + walk->at, walk->end - walk->at, &rune);
  return n > 0 ? (size_t)n : 1;
}

/* If a line ends here (blanks before the break included): to the first character of the next one that
 * is not blank; the value has one blank, or a line feed for each further break. */
static bool S_fold(S_walk *walk) {
  size_t at = walk->at, breaks = 0;
  while (at < walk->end && S_blank(walk->text[at])) at++;
  if (at == walk->end || !S_break(walk->text[at])) return false;
  for (; at < walk->end && (S_blank(walk->text[at]) || S_break(walk->text[at])); at++)
    breaks += walk->text[at] == '\n';
  size_t bytes = breaks > 1 ? breaks - 1 : 1;
  if (walk->value + bytes > walk->wanted) return false;
  walk->value += bytes;
  walk->at = at;
  return true;
}

/* ── Flow scalars: plain and quoted ──────────────────────────────────────────────────────────── */

static unsigned S_hex(const char *text, size_t digits) {
  unsigned value = 0;
  for (size_t i = 0; i < digits; i++) {
    char c = text[i];
    value = value * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return value;
}

static size_t S_utf8_size(unsigned rune) {
  return rune < 0x80 ? 1 : rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;
}

/* Length in the source of the escape at `at`; *ret_bytes is how many it adds to the value. */
static size_t S_escape(const S_walk *walk, size_t *ret_bytes) {
  const char *text = walk->text + walk->at;
  size_t left = walk->end - walk->at, digits = 0;
  *ret_bytes = 1;
  if (left < 2) return left;
  switch (text[1]) {
    case 'x': digits = 2; break;
    case 'u': digits = 4; break;
    case 'U': digits = 8; break;
    case 'N':
    case '_': *ret_bytes = 2; return 2;
    case 'L':
    case 'P': *ret_bytes = 3; return 2;
    default:
      return 1 + S_char_length(&(S_walk){.text = walk->text, .at = walk->at + 1, .end = walk->end});
  }
  if (left < 2 + digits) return left;
  unsigned rune = S_hex(text + 2, digits);
  if (rune >= 0xd800 && rune < 0xdc00 && left >= 12 && text[6] == '\\' && text[7] == 'u') {
    *ret_bytes = 4;
    return 12;
  }
  *ret_bytes = S_utf8_size(rune);
  return 2 + digits;
}

/* A backslash at the end of a line: the break and the next line's indentation are nothing. */
static bool S_joined_line(S_walk *walk) {
  size_t at = walk->at + 1;
  if (at >= walk->end || !S_break(walk->text[at])) return false;
  at += walk->text[at] == '\r' && at + 1 < walk->end ? 2 : 1;
  while (at < walk->end && S_blank(walk->text[at])) at++;
  size_t breaks = 0;
  for (; at < walk->end && (S_blank(walk->text[at]) || S_break(walk->text[at])); at++)
    breaks += walk->text[at] == '\n';
  walk->at = at;
  walk->value += breaks;
  return true;
}

static void S_walk_flow(S_walk *walk, unsigned style) {
  bool escapes = style == FB_NODE_DOUBLE_QUOTED || style == FB_NODE_JSON;
  while (walk->value < walk->wanted && walk->at < walk->end) {
    char c = walk->text[walk->at];
    size_t source = S_char_length(walk), bytes = source;
    if ((S_blank(c) || S_break(c)) && style != FB_NODE_JSON) {
      if (S_fold(walk)) continue;
      if (S_break(c)) return;
    } else if (c == '\\' && escapes) {
      if (S_joined_line(walk)) continue;
      source = S_escape(walk, &bytes);
    } else if (c == '\'' && style == FB_NODE_SINGLE_QUOTED) {
      source = 2;
    }
    if (walk->value + bytes > walk->wanted) {
      if (bytes == source) walk->at += walk->wanted - walk->value;
      return;
    }
    walk->value += bytes;
    walk->at += source;
  }
}

/* ── Block scalars: literal and folded ───────────────────────────────────────────────────────── */

/* Lines of content stand in the value as they are, less the indentation. Between two of them there are
 * only line feeds, or one blank where lines were folded. */
static void S_walk_block(S_walk *walk, fb_slice value) {
  size_t line = walk->at, indent;
  while (line > 0 && !S_break(walk->text[line - 1])) line--;
  indent = walk->at - line;
  while (walk->value < walk->wanted && value.ptr[walk->value] == '\n') walk->value++;
  while (walk->value < walk->wanted ||
         (walk->wanted < value.len && value.ptr[walk->wanted] != '\n')) {
    size_t stop = line, content = line;
    while (stop < walk->end && !S_break(walk->text[stop])) stop++;
    while (content < stop && content - line < indent && walk->text[content] == ' ') content++;
    size_t bytes = stop - content, more = walk->wanted - walk->value;
    if ((bytes && more <= bytes) || stop >= walk->end) {
      walk->at = content + (more < bytes ? more : bytes);
      return;
    }
    line = stop + (walk->text[stop] == '\r' && stop + 1 < walk->end ? 2 : 1);
    if (!bytes) continue;
    walk->value += bytes;
    walk->at = stop;
    if (value.ptr[walk->value] == ' ')
      walk->value++;
    else
      while (walk->value < walk->wanted && value.ptr[walk->value] == '\n') walk->value++;
  }
}

size_t fb_node_source_offset(const fb_doc *doc, const fb_node *node, size_t offset) {
  if (node->kind != FB_STRING) return node->offset;
  fb_slice value = fb_node_text(node);
  S_walk walk = {.text = doc->text,
                 .at = node->offset,
                 .end = (size_t)node->offset + node->length,
                 .wanted = offset < value.len ? offset : value.len};
  bool quoted = node->style == FB_NODE_SINGLE_QUOTED || node->style == FB_NODE_DOUBLE_QUOTED ||
                node->style == FB_NODE_JSON;
  if (quoted && node->length >= 2) {
    walk.at++;
    walk.end--;
  }
  if (node->style == FB_NODE_LITERAL || node->style == FB_NODE_FOLDED)
    S_walk_block(&walk, value);
  else
    S_walk_flow(&walk, node->style);
  return walk.at;
}

void fb_doc_relocate(const fb_doc *doc, const fb_node *node, size_t offset, size_t length,
                     fb_error *err) {
  if (!err) return;
  size_t start = fb_node_source_offset(doc, node, offset);
  size_t end = length ? fb_node_source_offset(doc, node, offset + length) : start;
  fb_error_locate(err, doc->name, fb_doc_text(doc), start, end > start ? end - start : 1);
}
