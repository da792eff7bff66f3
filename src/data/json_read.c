/* SPDX-License-Identifier: Apache-2.0
 * A JSON text as a value. No recursion: values wait on a stack until their list or map ends, and go
 * from there into the arena in one piece. */
#include "data/json_step.h"

/* The stack holds, for each open list or map, a mark and then its items (keys and values in turn).
 * A mark is a value: `as.u` its bracket's offset in the text, `len` where the mark around it is. */
typedef struct fb_json_builder {
  fb_json_events events;
  fb_slice text;
  const char *name;
  fb_arena *arena;
  bool keep_duplicates;
  fb_value *items;
  size_t count, cap;
  size_t mark; /* of the innermost open bracket */
} fb_json_builder;

enum { SMALL_MAP = 8 }; /* up to so many keys are compared one by one, as fb_map does */

static fb_status S_no_memory(fb_json_builder *builder, size_t offset, fb_error *err) {
  return fb_json_fail(err, builder->name, builder->text, offset, FB_JSON_NO_MEMORY,
                      FB_JSON_WANT_NOTHING);
}

/* The arena's limit bounds the stack too. */
static bool S_grow(fb_json_builder *builder) {
  size_t limit = builder->arena->limit;
  if (limit && builder->cap * sizeof(fb_value) > limit / 2) return false;
  void *items = builder->items;
  if (!fb_grow(builder->arena->allocator, &items, &builder->cap, builder->count, sizeof(fb_value)))
    return false;
  builder->items = items;
  return true;
}

static inline bool S_push(fb_json_builder *builder, fb_value value) {
  if (FB_UNLIKELY(builder->count == builder->cap) && !S_grow(builder)) return false;
  builder->items[builder->count++] = value;
  return true;
}

/* Copies a text and puts a NUL after it. Short ones, which most are, in one move of 16 bytes where both
 * sides have so many. */
static inline char *S_copy_text(fb_json_builder *builder, const char *text, size_t len) {
  fb_arena *arena = builder->arena;
  char *copy = arena->next;
  if (FB_LIKELY(len < 16 && copy && arena->end - copy >= 17 && builder->events.end - text >= 16)) {
    memcpy(copy, text, 16);
    arena->next += len + 1;
  } else {
    copy = fb_arena_alloc_aligned(arena, len + 1, 1);
    if (!copy) return NULL;
    memcpy(copy, text, len);
  }
  copy[len] = 0;
  return copy;
}

static inline bool S_push_text(fb_json_builder *builder, const fb_json_event *event) {
  fb_value value = event->value;
  if (event->borrowed && !(value.as.text = S_copy_text(builder, value.as.text, value.len)))
    return false;
  return S_push(builder, value);
}

static bool S_open(fb_json_builder *builder, size_t offset) {
  fb_value mark = fb_uint(offset);
  mark.len = (uint32_t)builder->mark;
  builder->mark = builder->count;
  return builder->count <= UINT32_MAX && S_push(builder, mark);
}

/* Takes the innermost mark and what is above it off the stack, and puts `value` there instead. */
static void S_close(fb_json_builder *builder, fb_value value) {
  size_t mark = builder->mark;
  builder->mark = builder->items[mark].len;
  builder->items[mark] = value;
  builder->count = mark + 1;
}

static bool S_close_list(fb_json_builder *builder) {
  const fb_value *items = builder->items + builder->mark + 1;
  size_t len = builder->count - builder->mark - 1;
  fb_list *list = fb_list_new(builder->arena, len);
  if (!list) return false;
  if (len) memcpy(list->items, items, len * sizeof *items);
  list->len = (uint32_t)len;
  S_close(builder, fb_list_value(list));
  return true;
}

/* The number of the first key that equals an earlier one; `len` if none does. Every text has a NUL. */
static size_t S_find_repeated(const fb_value *pairs, size_t len) {
  for (size_t i = 1; i < len; i++) {
    fb_value key = pairs[2 * i];
    for (size_t j = 0; j < i; j++) {
      fb_value other = pairs[2 * j];
      if (FB_UNLIKELY(key.len == other.len && key.as.text[0] == other.as.text[0] &&
                      memcmp(key.as.text, other.as.text, key.len) == 0))
        return i;
    }
  }
  return len;
}

/* Key number `key` of the map at `start` has been there before. The text is read again to find both. */
static fb_status S_fail_duplicate(fb_json_builder *builder, size_t start, size_t key, fb_value name,
                                  fb_error *err) {
  fb_json_events events;
  fb_json_event event = {0};
  fb_slice rest = {builder->text.ptr + start, builder->text.len - start};
  size_t seen = 0, first = 0;
  bool found = false;
  fb_arena scratch;
  fb_arena_init(&scratch, builder->arena->allocator, 0);
  fb_json_events_init(&events, rest, builder->name, FB_JSON_DEPTH_MAX, &scratch);
  while (seen <= key && fb_json_events_next(&events, &event, NULL) == FB_OK) {
    if (event.kind != FB_JSON_KEY || events.depth != 1) continue;
    seen++;
    if (!found && fb_slice_equal(fb_value_text(event.value), fb_value_text(name))) {
      found = true;
      first = event.offset;
    }
  }
  fb_arena_release(&scratch);
  fb_error before = {0};
  fb_error_locate(&before, NULL, builder->text, start + first, 0);
  fb_fail(err, FB_E_JSON_DUPLICATE, "the key \"%.*s\" is given twice",
          (int)(name.len < 100 ? name.len : 100), name.as.text);
  fb_error_hint(err, "it was given before at line %u, column %u: remove one of them", before.line,
                before.column);
  fb_error_locate(err, builder->name, builder->text, start + event.offset, event.length);
  return FB_E_JSON_DUPLICATE;
}

static fb_status S_close_map(fb_json_builder *builder, size_t offset, fb_error *err) {
  const fb_value *pairs = builder->items + builder->mark + 1;
  size_t start = builder->items[builder->mark].as.u;
  size_t len = (builder->count - builder->mark - 1) / 2;
  fb_map *map = fb_map_new(builder->arena, len);
  if (!map) return S_no_memory(builder, offset, err);
  if (len <= SMALL_MAP && !builder->keep_duplicates) {
    size_t repeated = S_find_repeated(pairs, len);
    if (repeated < len) return S_fail_duplicate(builder, start, repeated, pairs[2 * repeated], err);
    if (len) memcpy(map->entries, pairs, len * sizeof *map->entries);
    map->len = (uint32_t)len;
  } else {
    for (size_t i = 0; i < len; i++) {
      bool replaced;
      if (!fb_map_put(map, builder->arena, pairs[2 * i], pairs[2 * i + 1], &replaced))
        return S_no_memory(builder, offset, err);
      if (replaced && !builder->keep_duplicates)
        return S_fail_duplicate(builder, start, i, pairs[2 * i], err);
    }
  }
  S_close(builder, fb_map_value(map));
  return FB_OK;
}

static fb_status S_take(fb_json_builder *builder, const fb_json_event *event, fb_error *err) {
  bool fits = true;
  switch (event->kind) {
    case FB_JSON_SCALAR:
      fits = event->value.kind == FB_STRING ? S_push_text(builder, event)
                                            : S_push(builder, event->value);
      break;
    case FB_JSON_KEY: fits = S_push_text(builder, event); break;
    case FB_JSON_BEGIN_LIST:
    case FB_JSON_BEGIN_MAP: fits = S_open(builder, event->offset); break;
    case FB_JSON_END_LIST: fits = S_close_list(builder); break;
    default: return S_close_map(builder, event->offset, err);
  }
  return fits ? FB_OK : S_no_memory(builder, event->offset, err);
}

static fb_status S_fail_length(fb_slice text, uint64_t max_length, const char *name,
                               fb_error *err) {
  fb_fail(err, FB_E_LIMIT, "the text has %zu bytes, more than the limit of %llu", text.len,
          (unsigned long long)max_length);
  fb_error_hint(err, "read it as a stream of facts, or raise the limit");
  fb_error_locate(err, name, (fb_slice){text.ptr, 0}, 0, 0);
  return FB_E_LIMIT;
}

fb_status fb_json_read(fb_slice text, const char *name, const fb_json_options *options,
                       fb_arena *arena, fb_value *ret_value, fb_error *err) {
  fb_json_options with = options ? *options : (fb_json_options){0};
  uint64_t max_length = with.max_length ? with.max_length : UINT64_C(1) << 30;
  if (max_length > UINT32_MAX)
    max_length = UINT32_MAX; /* so that every count and length fits 32 bits */
  if (text.len > max_length) return S_fail_length(text, max_length, name, err);
  fb_json_builder builder = {.text = {text.ptr ? text.ptr : "", text.len},
                             .name = name,
                             .arena = arena,
                             .keep_duplicates = with.keep_duplicates};
  fb_arena_mark before = fb_arena_save(arena);
  fb_json_events_init(&builder.events, text, name, with.max_depth, arena);
  fb_json_event event = {0};
  fb_status status;
  while ((status = fb_step_next(&builder.events, &event, err)) == FB_OK)
    if ((status = S_take(&builder, &event, err)) != FB_OK) break;
  if (status == FB_DONE) {
    *ret_value = builder.items[0];
    status = FB_OK;
  } else {
    fb_arena_rewind(arena, before);
  }
  fb_free(arena->allocator, builder.items, builder.cap * sizeof *builder.items);
  return status;
}
