/* SPDX-License-Identifier: Apache-2.0
 * Templates: text with ${{ expression }} in it, and documents full of such texts. */
#include "cel/template.h"

#include "cel/ast.h"
#include "cel/lex.h"
#include "cel/program.h"

typedef enum S_kind {
  S_CONST, /* value */
  S_EXPR,  /* program */
  S_TEXT,  /* the parts, one after the other, as text */
  S_LIST,  /* the parts are the items */
  S_MAP    /* the parts are the values, keys has the keys */
} S_kind;

typedef struct S_part {
  S_kind kind;
  uint32_t count;
  fb_value value;
  fb_cel_program *program;
  struct S_part *parts;
  const fb_value *keys;
} S_part;

struct fb_template {
  fb_arena arena; /* holds the parts; programs are on their own */
  S_part root;
};

/* What is needed while compiling. */
typedef struct S_maker {
  fb_cel_env *env;
  fb_arena *arena;
  fb_errors *errors;
  const fb_cel_options *options;
  fb_status status; /* of the first failure */
} S_maker;

static void S_fail(S_maker *m, fb_status status) {
  if (!m->status) m->status = status;
}

static void S_report(S_maker *m, fb_slice text, size_t offset, size_t len, fb_status code,
                     const char *hint, const char *what) {
  fb_cel_report report = {.source = text, .options = m->options, .errors = m->errors};
  S_fail(m, fb_cel_report_add(&report, code, offset, len, hint, "%s", what));
}

static void S_free_part(S_part *part) {
  fb_cel_program_free(part->program);
  for (uint32_t i = 0; i < part->count; i++) S_free_part(&part->parts[i]);
}

/* What is beyond this in one text is no template but a mistake, or an attack on whoever compiles it. */
enum { MAX_TEXT = 256 * 1024, MAX_PARTS = 2000 };

/* ── Text ────────────────────────────────────────────────────────────────────────────────────── */

/* Where the `}}` is that ends the expression from `from` on; text.len when there is none. The expression is
 * lexed, so that neither a text nor a map in it ends it. */
static size_t S_find_end(S_maker *m, fb_slice text, size_t from) {
  fb_arena scratch;
  fb_arena_init(&scratch, m->env->allocator, 0);
  fb_cel_report silent = {.source = text};
  fb_lexer lexer = {.source = text, .at = from, .arena = &scratch, .report = &silent};
  uint32_t depth = 0;
  size_t end = text.len;
  for (fb_token token = fb_lex_next(&lexer); token.kind != FB_TOK_END && !lexer.no_memory;
       token = fb_lex_next(&lexer)) {
    if (token.kind == FB_TOK_LBRACE) depth++;
    if (token.kind != FB_TOK_RBRACE) continue;
    if (depth) {
      depth--;
    } else if (lexer.at < text.len && text.ptr[lexer.at] == '}') {
      end = token.offset;
      break;
    }
  }
  if (lexer.no_memory) S_fail(m, FB_E_NOMEM);
  fb_arena_release(&scratch);
  return end;
}

/* An unclosed quote swallows the `}}`: then the first one there is. */
static size_t S_end(S_maker *m, fb_slice text, size_t from) {
  size_t end = S_find_end(m, text, from);
  if (end < text.len) return end;
  const char *found = memmem(text.ptr + from, text.len - from, "}}", 2);
  return found ? (size_t)(found - text.ptr) : text.len;
}

static void S_compile(S_maker *m, fb_slice text, size_t from, size_t to, bool alone, S_part *part) {
  fb_cel_options options = m->options ? *m->options : (fb_cel_options){0};
  fb_cel_expr *expr;
  fb_error err;
  if (!alone) options.want = NULL;
  options.node_offset += from;
  fb_status status = fb_cel_parse_part(m->env, text, from, to, &options, &expr, m->errors);
  if (status) return S_fail(m, status);
  status = fb_cel_generate(m->env, expr, expr->root, &part->program, &err);
  fb_cel_expr_free(expr);
  part->kind = S_EXPR;
  if (status) S_fail(m, fb_errors_add(m->errors, &err));
}

typedef struct S_parts {
  S_part *items;
  size_t count, cap;
} S_parts;

static S_part *S_add(S_maker *m, S_parts *parts) {
  if (!fb_grow(m->env->allocator, (void **)&parts->items, &parts->cap, parts->count,
               sizeof *parts->items)) {
    S_fail(m, FB_E_NOMEM);
    return NULL;
  }
  S_part *part = &parts->items[parts->count++];
  *part = (S_part){.kind = S_CONST, .value = fb_string((fb_slice){"", 0})};
  return part;
}

static void S_literal(S_maker *m, S_parts *parts, fb_slice text) {
  if (!text.len) return;
  S_part *part = S_add(m, parts);
  if (!part) return;
  const char *copy = fb_arena_text(m->arena, text);
  part->value = fb_string((fb_slice){copy ? copy : "", copy ? text.len : 0});
  if (!copy) S_fail(m, FB_E_NOMEM);
}

/* The `${{` or `$${{` from `from` on; text.len when there is none. */
static size_t S_find_start(fb_slice text, size_t from) {
  const char *found = from < text.len ? memmem(text.ptr + from, text.len - from, "${{", 3) : NULL;
  if (!found) return text.len;
  size_t at = (size_t)(found - text.ptr);
  return at > from && text.ptr[at - 1] == '$' ? at - 1 : at;
}

static void S_split(S_maker *m, fb_slice text, S_parts *parts) {
  size_t at = 0;
  while (at < text.len && m->status != FB_E_NOMEM) {
    size_t start = S_find_start(text, at);
    S_literal(m, parts, (fb_slice){text.ptr + at, start - at});
    if (start == text.len) return;
    if (text.ptr[start + 1] == '$') {
      S_literal(m, parts, FB_SLICE("${{"));
      at = start + 4;
      continue;
    }
    if (text.len > MAX_TEXT || parts->count >= MAX_PARTS) {
      S_report(m, text, start, 3, FB_E_CEL_TOO_LARGE, "split the text",
               "a text with so many expressions, or so long a text with expressions");
      return;
    }
    size_t end = S_end(m, text, start + 3);
    if (end == text.len) {
      S_report(m, text, start, 3, FB_E_CEL_TEMPLATE,
               "close it with }}; the characters themselves are written $${{",
               "`${{` without `}}`");
      return;
    }
    S_part *part = S_add(m, parts);
    if (part) S_compile(m, text, start + 3, end, start == 0 && end + 2 == text.len, part);
    at = end + 2;
  }
}

static bool S_all_const(const S_part *parts, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (parts[i].kind != S_CONST) return false;
  return true;
}

static void S_join_const(S_maker *m, const S_parts *parts, S_part *ret_part) {
  size_t len = 0;
  for (size_t i = 0; i < parts->count; i++) len += parts->items[i].value.len;
  char *text = fb_arena_alloc_aligned(m->arena, len + 1, 1), *to = text;
  if (!text) return S_fail(m, FB_E_NOMEM);
  for (size_t i = 0; i < parts->count; to += parts->items[i++].value.len)
    memcpy(to, parts->items[i].value.as.text, parts->items[i].value.len);
  *to = 0;
  *ret_part = (S_part){.kind = S_CONST, .value = fb_string((fb_slice){text, len})};
}

/* Is a string what is wanted, unless the text is one expression only? */
static void S_want_string(S_maker *m, fb_slice text) {
  const fb_cel_type *want = m->options ? m->options->want : NULL;
  if (!want || want->kind == FB_CEL_DYN || want->kind == FB_CEL_STRING || m->status) return;
  S_report(m, text, 0, text.len, FB_E_CEL_TYPE,
           "a text that is one ${{ expression }} alone keeps its type",
           "this is text, and something else is wanted here");
}

static void S_text(S_maker *m, fb_slice text, S_part *ret_part) {
  S_parts parts = {0};
  size_t bad;
  if (!fb_utf8_valid(text.ptr, text.len, &bad)) {
    S_report(m, text, bad, 1, FB_E_CEL_SYNTAX, "the text must be UTF-8",
             "a byte that is not UTF-8");
    return;
  }
  S_split(m, text, &parts);
  bool single = parts.count == 1 && parts.items[0].kind == S_EXPR;
  if (!single) S_want_string(m, text);
  if (single) {
    *ret_part = parts.items[0];
  } else if (S_all_const(parts.items, parts.count)) {
    S_join_const(m, &parts, ret_part);
  } else {
    S_part *copy = fb_arena_copy(m->arena, parts.items, parts.count * sizeof *copy);
    if (copy)
      *ret_part = (S_part){.kind = S_TEXT, .count = (uint32_t)parts.count, .parts = copy};
    else
      S_fail(m, FB_E_NOMEM);
    for (size_t i = 0; !copy && i < parts.count; i++) fb_cel_program_free(parts.items[i].program);
  }
  fb_free(m->env->allocator, parts.items, parts.cap * sizeof *parts.items);
}

/* ── Documents ───────────────────────────────────────────────────────────────────────────────── */

static void S_node(S_maker *m, const fb_doc *doc, const fb_node *node, S_part *ret_part);

/* The value of a list or map all of whose parts are constant. */
static void S_fold(S_maker *m, S_part *part) {
  fb_list *list = part->kind == S_LIST ? fb_list_new(m->arena, part->count) : NULL;
  fb_map *map = part->kind == S_MAP ? fb_map_new(m->arena, part->count) : NULL;
  bool good = list || map;
  for (uint32_t i = 0; good && i < part->count; i++)
    good = list ? fb_list_push(list, m->arena, part->parts[i].value)
                : fb_map_put(map, m->arena, part->keys[i], part->parts[i].value, NULL);
  if (!good) return S_fail(m, FB_E_NOMEM);
  *part = (S_part){.kind = S_CONST, .value = list ? fb_list_value(list) : fb_map_value(map)};
}

static void S_collection(S_maker *m, const fb_doc *doc, const fb_node *node, S_part *part) {
  bool is_list = node->kind == FB_LIST;
  fb_value *keys = fb_arena_zero(m->arena, (node->count + 1) * sizeof *keys);
  S_part *parts = fb_arena_zero(m->arena, (node->count + 1) * sizeof *parts);
  if (!keys || !parts) return S_fail(m, FB_E_NOMEM);
  *part = (S_part){
      .kind = is_list ? S_LIST : S_MAP, .count = node->count, .parts = parts, .keys = keys};
  for (uint32_t i = 0; i < node->count; i++) {
    if (!is_list && fb_value_copy(m->arena, node->as.pairs[i].key.as.scalar, &keys[i]))
      S_fail(m, FB_E_NOMEM);
    S_node(m, doc, is_list ? &node->as.items[i] : &node->as.pairs[i].value, &parts[i]);
  }
  if (!m->status && S_all_const(parts, node->count)) S_fold(m, part);
}

static void S_node(S_maker *m, const fb_doc *doc, const fb_node *node, S_part *ret_part) {
  if (node->kind == FB_LIST || node->kind == FB_MAP) return S_collection(m, doc, node, ret_part);
  if (node->kind == FB_STRING) {
    fb_cel_options options = {.name = fb_doc_name(doc), .doc = doc, .node = node};
    m->options = &options;
    S_text(m, fb_node_text(node), ret_part);
    m->options = NULL;
    return;
  }
  ret_part->kind = S_CONST;
  if (fb_value_copy(m->arena, node->as.scalar, &ret_part->value)) S_fail(m, FB_E_NOMEM);
}

/* ── Templates ───────────────────────────────────────────────────────────────────────────────── */

static fb_status S_new(fb_cel_env *env, fb_template **ret_template) {
  fb_template *t = fb_alloc_zero(env->allocator, sizeof *t);
  if (!t) return FB_E_NOMEM;
  fb_arena_init(&t->arena, env->allocator, 512);
  *ret_template = t;
  return FB_OK;
}

static fb_status S_done(const S_maker *m, fb_template *t, fb_template **ret_template) {
  if (m->status)
    fb_template_free(t);
  else
    *ret_template = t;
  return m->status;
}

fb_status fb_template_compile(fb_cel_env *env, fb_slice text, const fb_cel_options *options,
                              fb_template **ret_template, fb_errors *errors) {
  fb_template *t;
  fb_status status = S_new(env, &t);
  if (status) return status;
  S_maker m = {.env = env, .arena = &t->arena, .errors = errors, .options = options};
  S_text(&m, text, &t->root);
  return S_done(&m, t, ret_template);
}

fb_status fb_template_compile_node(fb_cel_env *env, const fb_doc *doc, const fb_node *node,
                                   fb_template **ret_template, fb_errors *errors) {
  fb_template *t;
  fb_status status = S_new(env, &t);
  if (status) return status;
  S_maker m = {.env = env, .arena = &t->arena, .errors = errors};
  S_node(&m, doc, node, &t->root);
  return S_done(&m, t, ret_template);
}

void fb_template_free(fb_template *t) {
  if (!t) return;
  S_free_part(&t->root);
  fb_arena arena = t->arena;
  fb_free(arena.allocator, t, sizeof *t);
  fb_arena_release(&arena);
}

bool fb_template_is_constant(const fb_template *t) {
  return t->root.kind == S_CONST;
}

bool fb_template_constant(const fb_template *t, fb_value *ret_value) {
  if (t->root.kind != S_CONST) return false;
  *ret_value = t->root.value;
  return true;
}

bool fb_template_field(const fb_template *t, uint32_t *ret_slot, uint32_t *ret_field) {
  const fb_cel_program *program = t->root.kind == S_EXPR ? t->root.program : NULL;
  if (!program || program->code_count != 2) return false;
  const fb_cel_ins *read = &program->code[0], *done = &program->code[1];
  if (read->op != FB_OP_FIELD || done->op != FB_OP_RETURN || done->b != read->a) return false;
  if ((read->b & ~(FB_OPERAND_MAX - 1)) != FB_OPERAND_SLOT || program->accesses[read->d].field < 0)
    return false;
  *ret_slot = read->b & (FB_OPERAND_MAX - 1);
  *ret_field = (uint32_t)program->accesses[read->d].field;
  return true;
}

const fb_cel_type *fb_template_type(const fb_template *t) {
  static const uint8_t kinds[FB_KIND_COUNT] = {
      [FB_NULL] = FB_CEL_NULL,   [FB_BOOL] = FB_CEL_BOOL,     [FB_INT] = FB_CEL_INT,
      [FB_UINT] = FB_CEL_UINT,   [FB_DOUBLE] = FB_CEL_DOUBLE, [FB_STRING] = FB_CEL_STRING,
      [FB_BYTES] = FB_CEL_BYTES, [FB_LIST] = FB_CEL_LIST,     [FB_MAP] = FB_CEL_MAP};
  switch (t->root.kind) {
    case S_EXPR: return fb_cel_program_type(t->root.program);
    case S_TEXT: return fb_cel_simple(FB_CEL_STRING);
    case S_LIST: return fb_cel_simple(FB_CEL_LIST);
    case S_MAP: return fb_cel_simple(FB_CEL_MAP);
    default: return fb_cel_simple(kinds[t->root.value.kind]);
  }
}

static void S_reads(const S_part *part, uint64_t *words, size_t count) {
  if (part->program) fb_cel_program_reads(part->program, words, count);
  for (uint32_t i = 0; i < part->count; i++) S_reads(&part->parts[i], words, count);
}

void fb_template_reads(const fb_template *t, uint64_t *words, size_t count) {
  S_reads(&t->root, words, count);
}

/* ── Evaluation ──────────────────────────────────────────────────────────────────────────────── */

static fb_value S_json(fb_cel_context *context, fb_value value) {
  if (!fb_operate_pay(context, value)) return fb_cel_over_budget(context);
  fb_buf buf;
  fb_buf_init(&buf, context->arena->allocator,
              context->max_size < SIZE_MAX / 2 ? (size_t)context->max_size : 0);
  fb_json_write(&buf, value, FB_JSON_COMPACT);
  fb_slice text = {buf.failed ? NULL : fb_arena_text(context->arena, fb_buf_slice(&buf)), buf.len};
  fb_buf_release(&buf);
  return text.ptr ? fb_string(text)
                  : fb_cel_fail(context, FB_E_CEL_SIZE, "the JSON text of a value is too large");
}

/* A value as it stands in a text. */
static fb_value S_as_text(fb_cel_context *context, fb_value value) {
  if (value.kind == FB_OPTIONAL) value = value.as.optional ? *value.as.optional : fb_null();
  switch (value.kind) {
    case FB_STRING: return value;
    case FB_NULL: return fb_string((fb_slice){"", 0});
    case FB_TYPE: return fb_string(fb_value_text(value));
    case FB_LIST:
    case FB_MAP:
    case FB_OPTIONAL:
    case FB_FACT: return S_json(context, value);
    default: return fb_cel_to_string(context, value);
  }
}

static fb_status S_eval(const S_part *part, const fb_value *slots, fb_cel_context *context,
                        fb_value *ret_value, fb_error *err);

static fb_status S_text_of(const S_part *part, const fb_value *slots, fb_cel_context *context,
                           fb_value *ret_value, fb_error *err) {
  fb_value value = fb_null();
  fb_status status = S_eval(part, slots, context, &value, err);
  if (status) return status;
  value = S_as_text(context, value);
  if (value.kind != FB_ERROR) {
    *ret_value = value;
    return FB_OK;
  }
  status = fb_fail(err, value.as.error->code, "%s", value.as.error->text);
  if (part->program) fb_cel_program_locate(part->program, err);
  return status;
}

static fb_status S_eval_text(const S_part *part, const fb_value *slots, fb_cel_context *context,
                             fb_value *ret_value, fb_error *err) {
  fb_value *texts = fb_arena_alloc(context->arena, part->count * sizeof *texts);
  uint64_t len = 0;
  if (!texts) return fb_fail(err, FB_E_NOMEM, "no memory for a text");
  for (uint32_t i = 0; i < part->count; i++) {
    fb_status status = S_text_of(&part->parts[i], slots, context, &texts[i], err);
    if (status) return status;
    len += texts[i].len;
  }
  if (len > UINT32_MAX / 2 || !fb_cel_may_make(context, len))
    return fb_fail(err, FB_E_CEL_SIZE, "the text is larger than is admitted");
  if (!fb_cel_spend(context, len / 16))
    return fb_fail(err, FB_E_CEL_BUDGET, "the template used up its step budget");
  char *text = fb_arena_alloc_aligned(context->arena, len + 1, 1), *to = text;
  if (!text) return fb_fail(err, FB_E_NOMEM, "no memory for a text");
  for (uint32_t i = 0; i < part->count; to += texts[i++].len)
    memcpy(to, texts[i].as.text, texts[i].len);
  *to = 0;
  *ret_value = fb_string((fb_slice){text, (size_t)len});
  return FB_OK;
}

static fb_status S_eval_collection(const S_part *part, const fb_value *slots,
                                   fb_cel_context *context, fb_value *ret_value, fb_error *err) {
  fb_list *list = part->kind == S_LIST ? fb_list_new(context->arena, part->count) : NULL;
  fb_map *map = part->kind == S_MAP ? fb_map_new(context->arena, part->count) : NULL;
  if (!list && !map) return fb_fail(err, FB_E_NOMEM, "no memory for a list or map");
  for (uint32_t i = 0; i < part->count; i++) {
    fb_value value = fb_null();
    fb_status status = S_eval(&part->parts[i], slots, context, &value, err);
    if (status) return status;
    if (list ? !fb_list_push(list, context->arena, value)
             : !fb_map_put(map, context->arena, part->keys[i], value, NULL))
      return fb_fail(err, FB_E_NOMEM, "no memory for a list or map");
  }
  *ret_value = list ? fb_list_value(list) : fb_map_value(map);
  return FB_OK;
}

static fb_status S_eval(const S_part *part, const fb_value *slots, fb_cel_context *context,
                        fb_value *ret_value, fb_error *err) {
  switch (part->kind) {
    case S_EXPR: return fb_cel_eval(part->program, slots, context, ret_value, err);
    case S_TEXT: return S_eval_text(part, slots, context, ret_value, err);
    case S_LIST:
    case S_MAP: return S_eval_collection(part, slots, context, ret_value, err);
    default: *ret_value = part->value; return FB_OK;
  }
}

fb_status fb_template_eval(const fb_template *t, const fb_value *slots, fb_cel_context *context,
                           fb_value *ret_value, fb_error *err) {
  return S_eval(&t->root, slots, context, ret_value, err);
}
