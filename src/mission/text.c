/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts of a mission: constants are kept as they are, everything else is a template. Also what tools
 * may do with them while loading and running.
 */
#include "mission/plan.h"

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────── */

static bool S_has_expression(const fb_node *node) {
  /* The readers bound the depth of documents, so this recursion is bounded too. */
  switch (node->kind) {
    case FB_STRING: {
      fb_slice text = fb_node_text(node);
      return text.len >= 3 && memmem(text.ptr, text.len, "${{", 3) != NULL;
    }
    case FB_LIST:
      for (uint32_t i = 0; i < node->count; i++)
        if (S_has_expression(&node->as.items[i])) return true;
      return false;
    case FB_MAP:
      for (uint32_t i = 0; i < node->count; i++)
        if (S_has_expression(&node->as.pairs[i].value)) return true;
      return false;
    default: return false;
  }
}

static fb_text *S_out_of_memory(fb_mission_loader *loader) {
  loader->out_of_memory = true;
  return NULL;
}

static bool S_constant_fits(fb_value value, const fb_cel_type *want) {
  if (!want) return true;
  switch (want->kind) {
    case FB_CEL_LIST: return value.kind == FB_LIST;
    case FB_CEL_MAP: return value.kind == FB_MAP;
    case FB_CEL_BOOL: return value.kind == FB_BOOL;
    case FB_CEL_INT: return value.kind == FB_INT;
    case FB_CEL_STRING: return value.kind == FB_STRING;
    default: return true;
  }
}

static void S_note_reads(fb_mission_loader *loader, const fb_text *text, const char *name,
                         const fb_node *node, fb_slice source) {
  fb_source_text where = {name, node, source, false};
  memset(loader->words, 0, loader->word_count * sizeof *loader->words);
  fb_template_reads(text->template_, loader->words, loader->word_count);
  fb_loader_note_reads(loader, &where);
}

static bool S_compile(fb_mission_loader *loader, fb_text *text, const fb_cel_type *want) {
  const fb_node *node = text->node;
  size_t before = fb_errors_total(loader->errors);
  fb_status status;
  if (node->kind == FB_STRING) {
    fb_cel_options options = {
        .name = fb_doc_name(loader->doc), .want = want, .doc = loader->doc, .node = node};
    status = fb_template_compile(loader->env, fb_node_text(node), &options, &text->template_,
                                 loader->errors);
  } else {
    status =
        fb_template_compile_node(loader->env, loader->doc, node, &text->template_, loader->errors);
  }
  if (status == FB_E_NOMEM) loader->out_of_memory = true;
  if (status) {
    text->template_ = NULL;
    return false;
  }
  S_note_reads(loader, text, fb_doc_name(loader->doc), node, (fb_slice){0});
  return fb_errors_total(loader->errors) == before;
}

fb_text *fb_loader_text(fb_mission_loader *loader, const fb_node *node, const fb_cel_type *want) {
  fb_text *text = fb_arena_zero(&loader->mission->arena, sizeof *text);
  if (!text) return S_out_of_memory(loader);
  text->node = node;
  text->next = loader->mission->texts;
  loader->mission->texts = text;
  if (S_has_expression(node)) return S_compile(loader, text, want) ? text : NULL;
  if (fb_node_value(node, &loader->mission->arena, &text->constant)) return S_out_of_memory(loader);
  if (S_constant_fits(text->constant, want)) return text;
  fb_buf name;
  fb_buf_init(&name, loader->allocator, 200);
  fb_cel_type_write(want, &name);
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_MISSION_VALUE, "", "expected %s, found %s",
              name.ptr ? name.ptr : "another type", fb_node_describe(node));
  fb_buf_release(&name);
  return NULL;
}

fb_status fb_loader_pad(fb_mission_loader *loader, uint32_t slot) {
  const fb_cel_type *dyn = fb_cel_simple(FB_CEL_DYN);
  fb_status status = FB_OK;
  uint32_t got;
  while (!status && fb_cel_env_slots(loader->env) < slot)
    status = fb_cel_env_add(loader->env, FB_SLICE("?"), dyn, &got);
  return status;
}

/* `with` variables have their slots after those of the item, whether there are items or not. */
static fb_status S_declare_with(fb_mission_loader *loader, const fb_node *with) {
  fb_mission *mission = loader->mission;
  const fb_cel_type *dyn = fb_cel_simple(FB_CEL_DYN);
  uint32_t slot, count = with ? with->count : 0;
  if (count > mission->with_count) mission->with_count = count;
  fb_status status = fb_loader_pad(loader, fb_slot_with(mission));
  for (uint32_t i = 0; i < count && !status; i++)
    status = fb_cel_env_add(loader->env, fb_node_text(&with->as.pairs[i].key), dyn, &slot);
  return status;
}

fb_text *fb_loader_template(fb_mission_loader *loader, const fb_node *node, const fb_node *with,
                            const char *name, fb_slice source) {
  fb_mission *mission = loader->mission;
  fb_text *text = fb_arena_zero(&mission->arena, sizeof *text);
  uint32_t before = fb_cel_env_slots(loader->env);
  if (!text) return S_out_of_memory(loader);
  text->node = node;
  text->next = mission->texts;
  mission->texts = text;
  fb_status status = S_declare_with(loader, with);
  fb_cel_options options = {.name = name, .max_length = 1 << 20};
  if (!status)
    status = fb_template_compile(loader->env, source, &options, &text->template_, loader->errors);
  if (status == FB_E_NOMEM) loader->out_of_memory = true;
  if (status)
    text->template_ = NULL;
  else
    S_note_reads(loader, text, name, NULL, source);
  fb_cel_env_truncate(loader->env, before);
  return status ? NULL : text;
}

const fb_doc *fb_loader_doc(fb_mission_loader *loader) {
  return loader->doc;
}
fb_errors *fb_loader_errors(fb_mission_loader *loader) {
  return loader->errors;
}
fb_arena *fb_loader_arena(fb_mission_loader *loader) {
  return &loader->mission->arena;
}
const fb_allocator *fb_loader_allocator(fb_mission_loader *loader) {
  return loader->allocator;
}

const char *fb_loader_path(fb_mission_loader *loader, fb_slice path) {
  const char *folder = loader->mission->folder;
  fb_arena *arena = &loader->mission->arena;
  bool alone = (path.len && path.ptr[0] == '/') || strcmp(folder, ".") == 0;
  const char *full = alone ? fb_arena_text(arena, path)
                           : fb_arena_printf(arena, "%s/%.*s", folder, (int)path.len, path.ptr);
  if (!full) loader->out_of_memory = true;
  return full;
}

fb_status fb_loader_read(fb_mission_loader *loader, const char *path, fb_slice *ret_text,
                         fb_error *err) {
  enum { MAX = 16 << 20 };
  if (!loader->world) return fb_fail(err, FB_E_IO, "no files can be read here: %s", path);
  fb_buf buf;
  bool more;
  fb_buf_init(&buf, loader->allocator, 0);
  fb_status status = loader->world->read(loader->world->context, path, 0, MAX, &buf, &more, err);
  if (!status && more)
    status = fb_fail(err, FB_E_LIMIT, "%s is larger than %d MiB", path, MAX >> 20);
  if (!status) {
    const char *copy = fb_arena_text(&loader->mission->arena, fb_buf_slice(&buf));
    if (copy)
      *ret_text = (fb_slice){copy, buf.len};
    else
      status = fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  fb_buf_release(&buf);
  return status;
}

/* ── Running ─────────────────────────────────────────────────────────────────────────────────── */

bool fb_text_constant(const fb_text *text, fb_value *ret_value) {
  if (text->template_) return false;
  *ret_value = text->constant;
  return true;
}

const fb_node *fb_text_node(const fb_text *text) {
  return text->node;
}

fb_status fb_scope_value(fb_step_scope *scope, const fb_text *text, fb_value *ret_value,
                         fb_error *err) {
  if (!text->template_) {
    *ret_value = text->constant;
    return FB_OK;
  }
  return fb_template_eval(text->template_, scope->slots, scope->cel, ret_value, err);
}

/* Numbers stand as they were written: `1.10` stays `1.10`. */
static bool S_as_written(const fb_step_scope *scope, const fb_text *text, fb_slice *ret_text) {
  const fb_node *node = text->node;
  if (text->template_ || node->style != FB_NODE_PLAIN) return false;
  if (node->kind != FB_INT && node->kind != FB_UINT && node->kind != FB_DOUBLE) return false;
  fb_slice all = fb_doc_text(scope->mission->doc);
  if (node->offset > all.len || node->length > all.len - node->offset) return false;
  *ret_text = (fb_slice){all.ptr + node->offset, node->length};
  return true;
}

fb_status fb_scope_render(fb_step_scope *scope, fb_value value, fb_slice *ret_text, fb_error *err) {
  if (value.kind == FB_STRING || value.kind == FB_BYTES || value.kind == FB_TYPE) {
    *ret_text = fb_value_text(value);
    return FB_OK;
  }
  if (value.kind == FB_NULL) {
    *ret_text = FB_SLICE("");
    return FB_OK;
  }
  fb_buf buf;
  fb_buf_init(&buf, scope->arena->allocator, 0);
  fb_json_write(&buf, value, FB_JSON_COMPACT);
  fb_slice text = fb_buf_slice(&buf);
  /* As string() has it: 2.0 is "2". */
  if (value.kind == FB_DOUBLE && text.len > 2 && memcmp(text.ptr + text.len - 2, ".0", 2) == 0)
    text.len -= 2;
  /* Times are JSON texts: without the quotes. */
  if (text.len >= 2 && (value.kind == FB_TIMESTAMP || value.kind == FB_DURATION))
    text = (fb_slice){text.ptr + 1, text.len - 2};
  const char *copy = buf.failed ? NULL : fb_arena_text(scope->arena, text);
  *ret_text = (fb_slice){copy, text.len};
  fb_buf_release(&buf);
  return copy ? FB_OK : fb_fail(err, FB_E_NOMEM, "out of memory");
}

fb_status fb_scope_text(fb_step_scope *scope, const fb_text *text, fb_slice *ret_text,
                        fb_error *err) {
  fb_value value;
  if (S_as_written(scope, text, ret_text)) return FB_OK;
  fb_status status = fb_scope_value(scope, text, &value, err);
  return status ? status : fb_scope_render(scope, value, ret_text, err);
}

bool fb_scope_knows(const fb_step_scope *scope, const fb_text *text) {
  if (!text->template_ || !scope->known) return true;
  uint32_t words = (fb_slot_count(scope->mission) + 63) / 64;
  uint64_t *reads = fb_arena_zero(scope->arena, words * sizeof *reads);
  if (!reads) return false;
  fb_template_reads(text->template_, reads, words);
  bool knows = true;
  for (uint32_t i = 0; i < words; i++) knows = knows && (reads[i] & ~scope->known[i]) == 0;
  return knows;
}

void fb_scope_show(fb_step_scope *scope, const fb_text *text, fb_buf *out) {
  fb_slice shown;
  if (fb_scope_knows(scope, text) && fb_scope_text(scope, text, &shown, NULL) == FB_OK) {
    fb_buf_add(out, shown.ptr, shown.len);
    return;
  }
  if (text->node->kind == FB_STRING) {
    shown = fb_node_text(text->node);
    fb_buf_add(out, shown.ptr, shown.len);
    return;
  }
  fb_slice all = fb_doc_text(scope->mission->doc);
  if (text->node->offset <= all.len && text->node->length <= all.len - text->node->offset)
    fb_buf_add(out, all.ptr + text->node->offset, text->node->length);
}
