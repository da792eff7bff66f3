/* SPDX-License-Identifier: Apache-2.0
 * YAML: libfyaml's events → the builder. libfyaml knows the grammar; what scalars mean, which keys and
 * tags are admitted, aliases and all limits are decided here. Its memory comes from malloc and is bounded
 * by what yaml_guard.c lets through. */
#include "data/doc.h"

#include <stdio.h>

#include <libfyaml.h>

typedef struct S_anchor {
  fb_node node;
  uint32_t weight, height;
  bool open; /* its collection has not ended */
} S_anchor;

typedef struct S_reader {
  fb_doc_builder builder;
  struct fy_parser *parser;
  struct fy_diag *diag;
  size_t last_end; /* offset after the last token */
  bool ended;      /* a document has been read */
  S_anchor *anchors;
  size_t anchor_count, anchor_cap;
  fb_table by_name; /* anchor's name → number */
} S_reader;

/* ── Places ──────────────────────────────────────────────────────────────────────────────────── */

static size_t S_start_of(const S_reader *reader, struct fy_token *token) {
  const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
  size_t offset = mark ? mark->input_pos : reader->last_end;
  return offset < reader->builder.doc->length ? offset : reader->builder.doc->length;
}

static size_t S_end_of(const S_reader *reader, struct fy_token *token) {
  const struct fy_mark *mark = token ? fy_token_end_mark(token) : NULL;
  size_t offset = mark ? mark->input_pos : reader->last_end;
  return offset < reader->builder.doc->length ? offset : reader->builder.doc->length;
}

static size_t S_skip_blank(const S_reader *reader, size_t at) {
  const char *text = reader->builder.doc->text;
  size_t length = reader->builder.doc->length;
  while (at < length && strchr(" \t\r\n#", text[at])) {
    if (text[at] == '#') {
      while (at < length && text[at] != '\n') at++;
    } else {
      at++;
    }
  }
  return at;
}

/* Where a value that is not written down would stand: after its `:` or `-`. */
static size_t S_empty_place(const S_reader *reader) {
  const fb_doc_builder *builder = &reader->builder;
  size_t at = S_skip_blank(reader, reader->last_end);
  bool in_map = builder->frame_count && builder->frames[builder->frame_count - 1].kind == FB_MAP;
  if (at < builder->doc->length && builder->doc->text[at] == (in_map ? ':' : '-'))
    return fb_doc_wants_key(builder) ? at : at + 1;
  return reader->last_end;
}

/* ── Anchors and aliases ─────────────────────────────────────────────────────────────────────── */

/* Text of a token, in the document's text where it is there, else copied into its arena. */
static bool S_token_text(S_reader *reader, struct fy_token *token, fb_slice *ret_text) {
  fb_doc *doc = reader->builder.doc;
  size_t length = 0;
  enum fy_scalar_style style = fy_token_scalar_style(token);
  if (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) {
    size_t start = S_start_of(reader, token), end = S_end_of(reader, token);
    fb_slice source = {doc->text + start, end > start ? end - start : 0};
    return style == FYSS_SINGLE_QUOTED ? !fb_yaml_unquote(source, &doc->arena, ret_text)
                                       : !fb_yaml_unescape(source, &doc->arena, ret_text);
  }
  const char *text = token ? fy_token_get_text(token, &length) : "";
  if (!text) return false;
  uintptr_t at = (uintptr_t)text, first = (uintptr_t)doc->text;
  if (token && (at < first || at > first + doc->length))
    text = fb_arena_text(&doc->arena, (fb_slice){text, length});
  *ret_text = (fb_slice){text, length};
  return text != NULL;
}

/* Gives the anchor its name; *ret_anchor is its number + 1, 0 if there is no anchor. */
static fb_status S_enter_anchor(S_reader *reader, struct fy_token *token, size_t *ret_anchor) {
  *ret_anchor = 0;
  if (!token) return FB_OK;
  fb_slice name;
  void *anchors = reader->anchors;
  if (!S_token_text(reader, token, &name) ||
      !fb_grow(reader->builder.allocator, &anchors, &reader->anchor_cap, reader->anchor_count,
               sizeof(S_anchor)))
    return fb_doc_no_memory(&reader->builder);
  reader->anchors = anchors;
  fb_table_slot *slot = fb_table_put(&reader->by_name, name, NULL);
  if (!slot) return fb_doc_no_memory(&reader->builder);
  slot->value.number = reader->anchor_count;
  reader->anchors[reader->anchor_count++] = (S_anchor){.open = true};
  *ret_anchor = reader->anchor_count;
  return FB_OK;
}

/* What was finished last is what the anchor stands for. */
static void S_settle_anchor(S_reader *reader, size_t anchor) {
  if (!anchor) return;
  const fb_doc_builder *builder = &reader->builder;
  reader->anchors[anchor - 1] =
      (S_anchor){builder->last, builder->last_weight, builder->last_height, false};
}

static fb_status S_unknown_alias(S_reader *reader, fb_slice name, size_t offset) {
  const char *names[64];
  char copies[64][64], hint[120] = "an anchor `&name` must come before its alias";
  size_t count = 0;
  for (size_t i = 0; i < reader->by_name.cap && count < 64; i++) {
    fb_slice key = reader->by_name.slots[i].key;
    if (!key.ptr || key.len >= sizeof copies[0]) continue;
    snprintf(copies[count], sizeof copies[0], "%.*s", (int)key.len, key.ptr);
    names[count] = copies[count];
    count++;
  }
  const char *near = fb_nearest(name, names, count);
  if (near) snprintf(hint, sizeof hint, "did you mean `*%s`?", near);
  return fb_doc_mistake(&reader->builder, offset, name.len + 1, FB_E_DOC_ALIAS, hint,
                        "the alias `*%.*s` has no anchor", name.len > 100 ? 100 : (int)name.len,
                        name.ptr);
}

static fb_status S_on_alias(S_reader *reader, struct fy_token *token) {
  size_t offset = S_start_of(reader, token);
  if (offset > 0 && reader->builder.doc->text[offset - 1] == '*') offset--;
  fb_slice name;
  if (!S_token_text(reader, token, &name)) return fb_doc_no_memory(&reader->builder);
  reader->last_end = S_end_of(reader, token);
  fb_node node = {.kind = FB_ERROR, .offset = (uint32_t)offset, .length = (uint32_t)name.len + 1};
  fb_table_slot *slot = fb_table_get(&reader->by_name, name);
  const S_anchor *anchor = slot ? &reader->anchors[slot->value.number] : NULL;
  if (anchor && !anchor->open)
    return fb_doc_add_shared(&reader->builder, anchor->node, anchor->weight, anchor->height);
  if (anchor)
    fb_doc_mistake(&reader->builder, offset, node.length, FB_E_DOC_ALIAS, NULL,
                   "the alias `*%.*s` contains itself", name.len > 100 ? 100 : (int)name.len,
                   name.ptr);
  else
    S_unknown_alias(reader, name, offset);
  return fb_doc_add(&reader->builder, node);
}

/* ── Tags ────────────────────────────────────────────────────────────────────────────────────── */

typedef enum S_tag {
  TAG_NONE,
  TAG_PLAIN,
  TAG_STR,
  TAG_INT,
  TAG_FLOAT,
  TAG_BOOL,
  TAG_NULL,
  TAG_SEQ,
  TAG_MAP,
  TAG_BAD
} S_tag;

static const char *const S_tag_names[] = {"",       "!",      "!!str", "!!int", "!!float",
                                          "!!bool", "!!null", "!!seq", "!!map"};

static S_tag S_find_tag(fb_slice tag) {
  static const char prefix[] = "tag:yaml.org,2002:";
  if (fb_slice_equal(tag, FB_SLICE("!"))) return TAG_PLAIN;
  if (!fb_slice_starts(tag, FB_SLICE(prefix))) return TAG_BAD;
  fb_slice name = {tag.ptr + sizeof prefix - 1, tag.len - (sizeof prefix - 1)};
  for (S_tag known = TAG_STR; known < TAG_BAD; known++)
    if (fb_slice_equal(name, fb_slice_of(S_tag_names[known] + 2))) return known;
  return TAG_BAD;
}

static bool S_tag_fits(S_tag tag, fb_kind kind) {
  if (tag <= TAG_PLAIN) return true;
  if (kind == FB_LIST) return tag == TAG_SEQ;
  if (kind == FB_MAP) return tag == TAG_MAP;
  return tag < TAG_SEQ;
}

/* The tag of a node of `kind` (FB_STRING for any scalar). What is wrong with it is reported, then it
 * counts as none. False: no memory. */
static bool S_read_tag(S_reader *reader, struct fy_token *token, fb_kind kind, S_tag *ret_tag) {
  *ret_tag = TAG_NONE;
  if (!token) return true;
  fb_slice text;
  if (!S_token_text(reader, token, &text)) return false;
  size_t start = S_start_of(reader, token), end = S_end_of(reader, token);
  const char *source = reader->builder.doc->text + start;
  int shown = end - start > 60 ? 60 : (int)(end - start);
  S_tag tag = S_find_tag(text);
  if (tag == TAG_BAD) {
    fb_doc_mistake(
        &reader->builder, start, end - start, FB_E_DOC_TAG,
        "known are !!str !!int !!float !!bool !!null !!seq !!map; quote text that begins with `!`",
        "unknown tag `%.*s`", shown, source);
  } else if (!S_tag_fits(tag, kind)) {
    fb_doc_mistake(&reader->builder, start, end - start, FB_E_DOC_TAG, NULL,
                   "the tag `%.*s` cannot stand before %s", shown, source,
                   kind == FB_LIST  ? "a list"
                   : kind == FB_MAP ? "a map"
                                    : "a scalar");
  } else {
    *ret_tag = tag;
  }
  return true;
}

/* ── Scalars ─────────────────────────────────────────────────────────────────────────────────── */

static uint8_t S_style_of(struct fy_token *token) {
  switch (fy_token_scalar_style(token)) {
    case FYSS_SINGLE_QUOTED: return FB_NODE_SINGLE_QUOTED;
    case FYSS_DOUBLE_QUOTED: return FB_NODE_DOUBLE_QUOTED;
    case FYSS_LITERAL: return FB_NODE_LITERAL;
    case FYSS_FOLDED: return FB_NODE_FOLDED;
    default: return FB_NODE_PLAIN;
  }
}

/* Blanks that belong to the text and not to the indentation: those its value begins with. */
static size_t S_own_blanks(fb_slice value) {
  size_t blanks = 0;
  for (size_t i = 0; i < value.len && strchr(" \n", value.ptr[i]); i++)
    blanks = value.ptr[i] == ' ' ? blanks + 1 : 0;
  return blanks;
}

static bool S_only_breaks(fb_slice value) {
  size_t i = 0;
  while (i < value.len && value.ptr[i] == '\n') i++;
  return i == value.len;
}

/* End of the last line of a block that has text: lines of at most its indentation's blanks are empty. */
static size_t S_last_line_end(const char *text, size_t start, size_t end) {
  size_t line = start;
  while (line > 0 && text[line - 1] != '\n') line--;
  while (end > start) {
    size_t blanks = 0;
    while (end - blanks > start && text[end - blanks - 1] == ' ') blanks++;
    if (end - blanks == start || !strchr("\r\n", text[end - blanks - 1])) break;
    if (blanks > start - line) break;
    end -= blanks + 1;
  }
  return end;
}

/* Offset and length: quotes belong to it; a block scalar begins at its first character. */
static void S_place_scalar(const S_reader *reader, struct fy_token *token, fb_slice value,
                           fb_node *node) {
  const char *text = reader->builder.doc->text;
  size_t start = token ? S_start_of(reader, token) : S_empty_place(reader);
  size_t end = token ? S_end_of(reader, token) : start;
  if (node->style == FB_NODE_SINGLE_QUOTED || node->style == FB_NODE_DOUBLE_QUOTED) {
    if (start > 0) start--;
    if (end < reader->builder.doc->length) end++;
  } else if (node->style != FB_NODE_PLAIN && S_only_breaks(value)) {
    end = start; /* what follows may be a comment */
  } else if (node->style != FB_NODE_PLAIN) {
    size_t first = start;
    while (first < end && strchr(" \r\n", text[first])) first++;
    for (size_t own = S_own_blanks(value); own > 0 && first > start && text[first - 1] == ' ';
         own--)
      first--;
    if (first < end) start = first;
    end = S_last_line_end(text, start, end);
  }
  node->offset = (uint32_t)start;
  node->length = end > start ? (uint32_t)(end - start) : 0;
}

static fb_status S_out_of_range(S_reader *reader, fb_node *node, fb_slice text) {
  bool real = memchr(text.ptr, '.', text.len) ||
              (text.len > 1 && text.ptr[1] != 'x' && memchr(text.ptr, 'e', text.len)) ||
              (text.len > 1 && text.ptr[1] != 'x' && memchr(text.ptr, 'E', text.len));
  node->kind = FB_ERROR;
  return fb_doc_mistake(
      &reader->builder, node->offset, node->length, FB_E_DOC_NUMBER,
      "quote it if it is not a number to calculate with",
      real ? "the number is too large for a double" : "the integer does not fit in 64 bits");
}

/* An explicit tag demands a kind; !!float takes integers too. */
static void S_demand(S_reader *reader, fb_node *node, S_tag tag) {
  static const uint32_t wanted[] = {[TAG_INT] = FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_UINT),
                                    [TAG_FLOAT] = FB_KIND_BIT(FB_DOUBLE),
                                    [TAG_BOOL] = FB_KIND_BIT(FB_BOOL),
                                    [TAG_NULL] = FB_KIND_BIT(FB_NULL)};
  fb_value *value = &node->as.scalar;
  if (tag == TAG_FLOAT && value->kind == FB_INT) *value = fb_double((double)value->as.i);
  if (tag == TAG_FLOAT && value->kind == FB_UINT) *value = fb_double((double)value->as.u);
  if (FB_KIND_BIT(value->kind) & wanted[tag]) return;
  fb_doc_mistake(&reader->builder, node->offset, node->length, FB_E_DOC_TAG, NULL,
                 "this is not what `%s` says it is", S_tag_names[tag]);
  value->kind = FB_ERROR;
}

static fb_status S_resolve(S_reader *reader, fb_node *node, fb_slice text, S_tag tag) {
  node->kind = FB_STRING;
  node->as.scalar = fb_string(text);
  bool plain = node->style == FB_NODE_PLAIN;
  if (tag == TAG_STR || tag == TAG_PLAIN || (tag == TAG_NONE && !plain)) return FB_OK;
  fb_status status = fb_yaml_resolve(text, reader->builder.allocator, &node->as.scalar);
  if (status == FB_E_NOMEM) return fb_doc_no_memory(&reader->builder);
  if (status) {
    S_out_of_range(reader, node, text);
    return FB_OK;
  }
  if (tag != TAG_NONE) S_demand(reader, node, tag);
  node->kind = node->as.scalar.kind;
  return FB_OK;
}

/* A plain key is text as it is written, whatever it would mean as a value. */
static void S_resolve_key(S_reader *reader, fb_node *node, fb_slice text) {
  fb_value meaning;
  node->kind = FB_STRING;
  node->as.scalar = fb_string(text);
  if (fb_slice_equal(text, FB_SLICE("<<"))) {
    fb_doc_mistake(&reader->builder, node->offset, node->length, FB_E_DOC_KEY,
                   "write the keys out, or quote \"<<\" if it is meant as text",
                   "YAML 1.2 has no merge keys");
    node->kind = FB_ERROR;
  } else if (!fb_yaml_resolve(text, reader->builder.allocator, &meaning) &&
             meaning.kind == FB_NULL) {
    node->kind = FB_NULL; /* the builder says it */
  }
}

/* Line breaks from `at` to the next line that is not blank. */
static size_t S_breaks_after(const fb_doc *doc, size_t at) {
  size_t breaks = 0;
  for (; at < doc->length && strchr(" \r\n", doc->text[at]); at++) breaks += doc->text[at] == '\n';
  return breaks;
}

/* libfyaml leaves bytes out of a folded block where a line that is indented further follows an empty one, and
 * miscounts the breaks at the end of some blocks, down to a NUL for one that is empty. The lines are folded
 * here; from libfyaml come the breaks before them and whether those after them are dropped, one, or all. */
static bool S_mend_block(S_reader *reader, const fb_node *node, fb_slice *text) {
  fb_doc *doc = reader->builder.doc;
  if (node->style != FB_NODE_FOLDED && node->style != FB_NODE_LITERAL) return true;
  size_t line = node->offset, lead = 0, end = (size_t)node->offset + node->length;
  size_t after = S_breaks_after(doc, end);
  while (line > 0 && doc->text[line - 1] != '\n') line--;
  while (lead < text->len && text->ptr[lead] == '\n') lead++;
  if (!node->length && lead > after) lead = after;
  char *out = fb_arena_alloc_aligned(&doc->arena, lead + node->length + after + 1, 1);
  if (!out) return false;
  memset(out, '\n', lead);
  fb_slice source = {doc->text + node->offset, node->length};
  size_t indent = node->offset - line;
  size_t len = lead + fb_yaml_block(source, indent, node->style == FB_NODE_FOLDED, out + lead);
  size_t said = text->len > len ? text->len - len : 0;
  size_t tail = !node->length ? 0 : said > 1 ? after : said < after ? said : after;
  memset(out + len, '\n', tail);
  out[len + tail] = 0;
  *text = (fb_slice){out, len + tail};
  return true;
}

static fb_status S_on_scalar(S_reader *reader, const struct fy_event_scalar_data *scalar) {
  fb_doc_builder *builder = &reader->builder;
  fb_node node = {.style = S_style_of(scalar->value)};
  fb_slice text;
  S_tag tag;
  size_t anchor;
  if (!scalar->value && scalar->tag) reader->last_end = S_end_of(reader, scalar->tag);
  if (!scalar->value && scalar->anchor && S_end_of(reader, scalar->anchor) > reader->last_end)
    reader->last_end = S_end_of(reader, scalar->anchor);
  if (!S_token_text(reader, scalar->value, &text) ||
      !S_read_tag(reader, scalar->tag, FB_STRING, &tag))
    return fb_doc_no_memory(builder);
  S_place_scalar(reader, scalar->value, text, &node);
  if (!S_mend_block(reader, &node, &text)) return fb_doc_no_memory(builder);
  reader->last_end = node.offset + node.length;
  fb_status status = FB_OK;
  if (tag == TAG_NONE && node.style == FB_NODE_PLAIN && fb_doc_wants_key(builder))
    S_resolve_key(reader, &node, text);
  else
    status = S_resolve(reader, &node, text, tag);
  if (!status) status = S_enter_anchor(reader, scalar->anchor, &anchor);
  if (!status) status = fb_doc_add(builder, node);
  if (!status) S_settle_anchor(reader, anchor);
  return status;
}

/* ── Collections and documents ───────────────────────────────────────────────────────────────── */

static fb_status S_on_open(S_reader *reader, fb_kind kind, struct fy_token *anchor_token,
                           struct fy_token *tag_token, struct fy_token *start) {
  S_tag tag;
  size_t anchor;
  if (!S_read_tag(reader, tag_token, kind, &tag)) return fb_doc_no_memory(&reader->builder);
  fb_status status = S_enter_anchor(reader, anchor_token, &anchor);
  if (status) return status;
  size_t offset = S_start_of(reader, start);
  reader->last_end = S_end_of(reader, start);
  return fb_doc_open(&reader->builder, kind, (uint32_t)offset, anchor);
}

static fb_status S_on_close(S_reader *reader, struct fy_token *end) {
  size_t start = S_start_of(reader, end), stop = S_end_of(reader, end);
  if (stop > start) reader->last_end = stop; /* a bracket; blocks end where their last child does */
  fb_status status = fb_doc_close(&reader->builder, (uint32_t)reader->last_end);
  if (!status) S_settle_anchor(reader, reader->builder.last_anchor);
  return status;
}

static fb_status S_on_document(S_reader *reader, const struct fy_event_document_start_data *start) {
  fb_doc *doc = reader->builder.doc;
  size_t offset = start->document_start ? S_start_of(reader, start->document_start)
                                        : S_skip_blank(reader, reader->last_end);
  if (reader->ended && strncmp(doc->text + offset, "...", 3) == 0)
    offset = S_skip_blank(reader, offset + 3);
  if (reader->ended)
    return fb_doc_mistake(&reader->builder, offset, 3, FB_E_DOC_MANY,
                          "split the file: one document in each", "a second document begins here");
  const struct fy_version *version = fy_document_state_version(start->document_state);
  if (version && fy_document_state_version_explicit(start->document_state) &&
      (version->major != 1 || version->minor != 2)) {
    const char *directive = memmem(doc->text, doc->length, "%YAML", 5);
    return fb_doc_mistake(&reader->builder, directive ? (size_t)(directive - doc->text) : 0, 9,
                          FB_E_YAML_SYNTAX, "remove the line: the document is read as YAML 1.2",
                          "only YAML 1.2 is read, not %d.%d", version->major, version->minor);
  }
  return FB_OK;
}

static fb_status S_on_event(S_reader *reader, struct fy_event *event) {
  switch (event->type) {
    case FYET_DOCUMENT_START: return S_on_document(reader, &event->document_start);
    case FYET_DOCUMENT_END:
      reader->ended = true;
      reader->last_end = S_end_of(reader, event->document_end.document_end);
      return FB_OK;
    case FYET_SCALAR: return S_on_scalar(reader, &event->scalar);
    case FYET_ALIAS: return S_on_alias(reader, event->alias.anchor);
    case FYET_SEQUENCE_START:
      return S_on_open(reader, FB_LIST, event->sequence_start.anchor, event->sequence_start.tag,
                       event->sequence_start.sequence_start);
    case FYET_MAPPING_START:
      return S_on_open(reader, FB_MAP, event->mapping_start.anchor, event->mapping_start.tag,
                       event->mapping_start.mapping_start);
    case FYET_SEQUENCE_END: return S_on_close(reader, event->sequence_end.sequence_end);
    case FYET_MAPPING_END: return S_on_close(reader, event->mapping_end.mapping_end);
    default: return FB_OK;
  }
}

/* ── Syntax errors ───────────────────────────────────────────────────────────────────────────── */

/* The innermost bracket that is still open. */
static size_t S_open_bracket(const S_reader *reader, size_t otherwise) {
  const fb_doc_builder *builder = &reader->builder;
  for (size_t i = builder->frame_count; i > 0; i--)
    if (strchr("[{", builder->doc->text[builder->frames[i - 1].offset]))
      return builder->frames[i - 1].offset;
  return otherwise;
}

static bool S_is_quote(char c) {
  return c == '"' || c == '\'';
}

/* The parser's first error; what it only warns of (unknown directives) is no error here either. */
static const struct fy_diag_error *S_first_error(const S_reader *reader) {
  void *iterator = NULL;
  const struct fy_diag_error *found;
  while ((found = fy_diag_errors_iterate(reader->diag, &iterator)))
    if (found->type == FYET_ERROR && found->msg) return found;
  return NULL;
}

static fb_status S_never_closed(S_reader *reader, size_t otherwise) {
  size_t at = S_open_bracket(reader, otherwise);
  char open = reader->builder.doc->text[at];
  return fb_doc_mistake(&reader->builder, at, 1, FB_E_YAML_SYNTAX,
                        open == '{' ? "a `}` is missing" : "a `]` is missing",
                        "this `%c` is never closed", open == '{' ? '{' : '[');
}

static fb_status S_syntax_error(S_reader *reader) {
  fb_doc_builder *builder = &reader->builder;
  const char *text = builder->doc->text;
  const struct fy_diag_error *found = S_first_error(reader);
  if (!found)
    return fb_doc_mistake(builder, reader->last_end, 1, FB_E_YAML_SYNTAX, NULL,
                          "the document cannot be read beyond this place");
  size_t start = S_start_of(reader, found->fyt), end = S_end_of(reader, found->fyt);
  bool comma = strstr(found->msg, "missing comma");
  if (strstr(found->msg, "without a closing b") || (comma && start == builder->doc->length))
    return S_never_closed(reader, start);
  if (comma && text[start] == '{' && start > 0 && text[start - 1] == '$')
    return fb_doc_mistake(builder, start - 1, 2, FB_E_YAML_SYNTAX,
                          "write \"${{ … }}\", in double quotes",
                          "`${{` inside brackets must be quoted");
  if (strstr(found->msg, "without closing quote") || strstr(found->msg, "-quoted scalar")) {
    if (start > 0 && !S_is_quote(text[start])) start--;
    if (S_is_quote(text[start])) end = start + 1;
  }
  fb_yaml_complaint complaint = fb_yaml_explain(found->msg);
  char hint[80];
  size_t bracket = S_open_bracket(reader, SIZE_MAX);
  if (strstr(found->msg, "wrongly indented") && bracket != SIZE_MAX && !complaint.hint) {
    snprintf(hint, sizeof hint, "is the `%c` before it closed?", text[bracket]);
    complaint.hint = hint;
  }
  return fb_doc_mistake(builder, start, end > start ? end - start : 1, complaint.code,
                        complaint.hint, "%s", complaint.text ? complaint.text : found->msg);
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

static void S_swallow(struct fy_diag *diag, void *user, const char *buf, size_t len) {}

static fb_status S_start(S_reader *reader) {
  struct fy_diag_cfg diag_cfg;
  fy_diag_cfg_default(&diag_cfg);
  diag_cfg.fp = NULL;
  diag_cfg.output_fn = S_swallow;
  diag_cfg.level = FYET_ERROR;
  diag_cfg.colorize = false;
  reader->diag = fy_diag_create(&diag_cfg);
  if (!reader->diag) return fb_doc_no_memory(&reader->builder);
  fy_diag_set_collect_errors(reader->diag, true);
  struct fy_parse_cfg cfg = {
      .flags = FYPCF_DISABLE_DEPTH_LIMIT | FYPCF_JSON_NONE | FYPCF_DEFAULT_VERSION_1_2,
      .diag = reader->diag};
  reader->parser = fy_parser_create(&cfg);
  if (!reader->parser ||
      fy_parser_set_string(reader->parser, reader->builder.doc->text, reader->builder.doc->length))
    return fb_doc_no_memory(&reader->builder);
  return FB_OK;
}

static fb_status S_pump(S_reader *reader) {
  for (;;) {
    struct fy_event *event = fy_parser_parse(reader->parser);
    if (!event) return fy_parser_get_stream_error(reader->parser) ? S_syntax_error(reader) : FB_OK;
    fb_status status = S_on_event(reader, event);
    fy_parser_event_free(reader->parser, event);
    if (status) return status;
  }
}

fb_status fb_doc_read_yaml(fb_slice text, const char *name, const fb_doc_options *options,
                           fb_doc **ret_doc, fb_errors *errors) {
  S_reader reader = {0};
  fb_status status = fb_doc_builder_init(&reader.builder, text, name, options, errors);
  if (!status) status = fb_yaml_guard(&reader.builder);
  fb_table_init(&reader.by_name, reader.builder.allocator,
                fb_hash_u64((uintptr_t)reader.builder.doc));
  if (!status && reader.builder.doc->length) status = S_start(&reader);
  if (!status && reader.parser) status = S_pump(&reader);
  if (!status && !reader.builder.has_root)
    status = fb_doc_add(&reader.builder, (fb_node){.kind = FB_NULL});
  if (reader.parser) fy_parser_destroy(reader.parser);
  if (reader.diag) fy_diag_destroy(reader.diag);
  fb_table_release(&reader.by_name);
  fb_free(reader.builder.allocator, reader.anchors, reader.anchor_cap * sizeof *reader.anchors);
  return fb_doc_builder_finish(&reader.builder, status, ret_doc);
}
