/* SPDX-License-Identifier: Apache-2.0
 * What a YAML text must be before the parser sees it: clean text, and nothing that makes the parser hold
 * more than a bounded number of tokens at once. */
#include "data/doc.h"

/* A bracket may begin a key, so libfyaml reads an outermost flow collection to its end before the first
 * event of it, with some 430 bytes for each mark (bracket, comma, colon, quote, …). 2^19 of them are 225 MB.
 * See docs/adr/0021-guard-before-yaml.md. */
enum { MAX_MARKS = 1 << 19 };

/* ── Bytes ───────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_bad_byte(fb_doc_builder *builder, size_t offset) {
  const char *text = builder->doc->text;
  unsigned char c = (unsigned char)text[offset];
  if (offset == 0 && (c == 0xff || c == 0xfe))
    return fb_doc_mistake(builder, 0, 1, FB_E_DOC_ENCODING, "save it as UTF-8",
                          "the document seems to be UTF-16");
  if (c >= 0x80)
    return fb_doc_mistake(builder, offset, 1, FB_E_DOC_ENCODING, "save the file as UTF-8",
                          "byte 0x%02X is not valid UTF-8 here", c);
  if (c == '\r')
    return fb_doc_mistake(builder, offset, 1, FB_E_DOC_ENCODING, "end lines with LF or CR LF",
                          "a carriage return without a line feed");
  return fb_doc_mistake(builder, offset, 1, FB_E_DOC_ENCODING,
                        "in double quotes it can be written as \"\\xNN\"",
                        "control character U+%04X", c);
}

static fb_status S_check_bytes(fb_doc_builder *builder) {
  const char *text = builder->doc->text;
  size_t length = builder->doc->length, bad = length;
  for (size_t i = 0; i < length && bad == length; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c < 0x20 && c != '\t' && c != '\n' && (c != '\r' || text[i + 1] != '\n')) bad = i;
  }
  size_t bad_utf8;
  if (!fb_utf8_valid(text, length, &bad_utf8) && bad_utf8 < bad) bad = bad_utf8;
  return bad < length ? S_bad_byte(builder, bad) : FB_OK;
}

/* ── Marks ───────────────────────────────────────────────────────────────────────────────────── */

static bool S_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* A line that certainly opens a block collection at the left margin: `- …`, or a simple `key: …`. */
static bool S_opens_block(fb_slice line) {
  if (line.ptr[0] == '-') return line.len == 1 || line.ptr[1] == ' ';
  size_t i = 0;
  while (i < line.len && (S_alphanumeric(line.ptr[i]) || (i > 0 && strchr(" -./", line.ptr[i]))))
    i++;
  return i > 0 && i < line.len && line.ptr[i] == ':' &&
         (i + 1 == line.len || line.ptr[i + 1] == ' ');
}

static bool S_is_marker(fb_slice line) {
  return fb_slice_starts(line, FB_SLICE("---")) || fb_slice_starts(line, FB_SLICE("..."));
}

/* Every token of a flow collection begins with one of these or comes after one. */
static size_t S_count_marks(fb_slice line) {
  static const bool marks[256] = {
      [','] = 1, [':'] = 1,  ['['] = 1, [']'] = 1, ['{'] = 1, ['}'] = 1,
      ['"'] = 1, ['\''] = 1, ['&'] = 1, ['*'] = 1, ['!'] = 1, ['?'] = 1};
  size_t count = 0;
  for (size_t i = 0; i < line.len; i++) count += marks[(unsigned char)line.ptr[i]];
  return count;
}

typedef struct S_stretch {
  bool started; /* the first line of content has been seen */
  bool block;   /* the root is a block collection: what it holds is indented */
  size_t start; /* offset of the line where counting began */
  size_t marks;
} S_stretch;

/* In a block collection at the left margin no flow collection goes on in a line that begins there: that is
 * an error for the scanner. So nothing before such a line is still held, and counting begins anew. */
static void S_count_line(S_stretch *stretch, fb_slice line, size_t offset) {
  bool content = line.len && !strchr(" \t#%", line.ptr[0]);
  if (stretch->started && S_is_marker(line)) {
    stretch->block = false;
  } else if (content && !S_is_marker(line)) {
    if (!stretch->started) stretch->block = S_opens_block(line);
    stretch->started = true;
    if (stretch->block) {
      stretch->marks = 0;
      stretch->start = offset;
    }
  }
  stretch->marks += S_count_marks(line);
}

static fb_status S_check_marks(fb_doc_builder *builder) {
  const fb_doc *doc = builder->doc;
  S_stretch stretch = {0};
  if (doc->length <= MAX_MARKS) return FB_OK;
  for (size_t at = 0; at < doc->length;) {
    const char *end = memchr(doc->text + at, '\n', doc->length - at);
    size_t len = end ? (size_t)(end - doc->text) - at : doc->length - at;
    fb_slice line = {doc->text + at, len && doc->text[at + len - 1] == '\r' ? len - 1 : len};
    S_count_line(&stretch, line, at);
    if (stretch.marks > MAX_MARKS)
      return fb_doc_mistake(
          builder, stretch.start, 1, FB_E_LIMIT,
          "so large a document should be JSON, or a list or map at the left margin",
          "more than %d brackets, commas, colons and quotes in one piece", MAX_MARKS);
    at += len + 1;
  }
  return FB_OK;
}

fb_status fb_yaml_guard(fb_doc_builder *builder) {
  fb_status status = S_check_bytes(builder);
  return status ? status : S_check_marks(builder);
}
