/* SPDX-License-Identifier: Apache-2.0 */
#include <flyball/base.h>

#include <stdio.h>
#include <stdlib.h>

enum { DEFAULT_CHUNK = 4096, MAX_CHUNK = 1 << 20 };

struct fb_arena_chunk {
  fb_arena_chunk *older;
  size_t size; /* of the whole block, this header included */
  size_t left; /* at its end, when a newer one was begun */
};

/* The header is rounded up so that the first allocation is aligned to 16. */
#define HEADER ((sizeof(fb_arena_chunk) + 15) & ~(size_t)15)

static void *S_system_resize(void *context, void *ptr, size_t old_size, size_t size) {
  (void)context;
  (void)old_size;
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  return realloc(ptr, size);
}

const fb_allocator *fb_allocator_system(void) {
  static const fb_allocator system = {S_system_resize, NULL};
  return &system;
}

void *fb_resize(const fb_allocator *allocator, void *ptr, size_t old_size, size_t size) {
  if (!allocator) allocator = fb_allocator_system();
  return allocator->resize(allocator->context, ptr, old_size, size);
}

void *fb_alloc(const fb_allocator *allocator, size_t size) {
  return fb_resize(allocator, NULL, 0, size ? size : 1);
}

void *fb_alloc_zero(const fb_allocator *allocator, size_t size) {
  void *ptr = fb_alloc(allocator, size);
  if (ptr) memset(ptr, 0, size);
  return ptr;
}

void fb_free(const fb_allocator *allocator, void *ptr, size_t size) {
  if (ptr) (void)fb_resize(allocator, ptr, size ? size : 1, 0);
}

bool fb_grow(const fb_allocator *allocator, void **items, size_t *cap, size_t count,
             size_t item_size) {
  if (count < *cap) return true;
  size_t wanted = *cap ? *cap * 2 : 8;
  if (wanted < *cap || wanted > SIZE_MAX / 2 / item_size) return false;
  void *moved = fb_resize(allocator, *items, *cap * item_size, wanted * item_size);
  if (!moved) return false;
  *items = moved;
  *cap = wanted;
  return true;
}

void fb_arena_init(fb_arena *arena, const fb_allocator *allocator, size_t chunk_size) {
  *arena = (fb_arena){
      .allocator = allocator ? allocator : fb_allocator_system(),
      .chunk_size = chunk_size ? chunk_size : DEFAULT_CHUNK,
  };
}

static void S_free_newest(fb_arena *arena) {
  fb_arena_chunk *chunk = arena->chunks;
  arena->chunks = chunk->older;
  arena->held -= chunk->size;
  fb_free(arena->allocator, chunk, chunk->size);
}

void fb_arena_release(fb_arena *arena) {
  if (!arena) return;
  while (arena->chunks) S_free_newest(arena);
  *arena = (fb_arena){0};
}

void fb_arena_reset(fb_arena *arena) {
  while (arena->chunks && arena->chunks->older) S_free_newest(arena);
  fb_arena_chunk *chunk = arena->chunks;
  arena->next = chunk ? (char *)chunk + HEADER : NULL;
  arena->end = chunk ? (char *)chunk + chunk->size : NULL;
}

fb_arena_mark fb_arena_save(const fb_arena *arena) {
  return (fb_arena_mark){arena->chunks, arena->next};
}

void fb_arena_rewind(fb_arena *arena, fb_arena_mark mark) {
  if (!mark.chunk) {
    fb_arena_reset(arena);
    return;
  }
  while (arena->chunks != mark.chunk) S_free_newest(arena);
  arena->next = mark.next;
  arena->end = (char *)mark.chunk + mark.chunk->size;
}

void fb_arena_join(fb_arena *arena, fb_arena *other) {
  fb_arena_chunk **oldest = &arena->chunks;
  if (!arena->chunks) {
    arena->next = other->next;
    arena->end = other->end;
  }
  while (*oldest) oldest = &(*oldest)->older;
  *oldest = other->chunks;
  arena->held += other->held;
  arena->takes += other->takes;
  if (arena->held > arena->peak) arena->peak = arena->held;
  other->chunks = NULL;
  fb_arena_release(other);
}

void *fb_arena_alloc_slow(fb_arena *arena, size_t size, size_t align) {
  size_t need = size + HEADER + align;
  if (need < size) return NULL;
  size_t block = arena->chunk_size > need ? arena->chunk_size : need;
  if (arena->limit) {
    size_t room = arena->limit > arena->held ? arena->limit - arena->held : 0;
    if (need > room) return NULL;
    if (block > room) block = room;
  }
  fb_arena_chunk *chunk = fb_alloc(arena->allocator, block);
  if (!chunk) return NULL;
  if (arena->chunks) arena->chunks->left = (size_t)(arena->end - arena->next);
  *chunk = (fb_arena_chunk){arena->chunks, block, 0};
  arena->chunks = chunk;
  arena->held += block;
  arena->takes++;
  if (arena->held > arena->peak) arena->peak = arena->held;
  if (arena->chunk_size < MAX_CHUNK) arena->chunk_size *= 2;
  uintptr_t start = (uintptr_t)chunk + HEADER;
  char *ptr = (char *)chunk + HEADER + (((start + align - 1) & ~(uintptr_t)(align - 1)) - start);
  arena->next = ptr + size;
  arena->end = (char *)chunk + block;
  return ptr;
}

fb_arena_stats fb_arena_statistics(const fb_arena *arena) {
  fb_arena_stats stats = {.takes = arena->takes, .held = arena->held, .peak = arena->peak};
  for (const fb_arena_chunk *chunk = arena->chunks; chunk; chunk = chunk->older) {
    bool newest = chunk == arena->chunks;
    stats.chunks++;
    stats.waste += HEADER + (newest ? (size_t)(arena->end - arena->next) : chunk->left);
  }
  stats.used = stats.held - stats.waste;
  return stats;
}

void *fb_arena_zero(fb_arena *arena, size_t size) {
  void *ptr = fb_arena_alloc(arena, size);
  if (ptr) memset(ptr, 0, size);
  return ptr;
}

void *fb_arena_copy(fb_arena *arena, const void *ptr, size_t size) {
  void *copy = fb_arena_alloc(arena, size);
  if (copy && size) memcpy(copy, ptr, size);
  return copy;
}

char *fb_arena_text(fb_arena *arena, fb_slice text) {
  char *copy = fb_arena_alloc_aligned(arena, text.len + 1, 1);
  if (!copy) return NULL;
  if (text.len) memcpy(copy, text.ptr, text.len);
  copy[text.len] = 0;
  return copy;
}

char *fb_arena_printf(fb_arena *arena, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int len = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *text = len < 0 ? NULL : fb_arena_alloc_aligned(arena, (size_t)len + 1, 1);
  if (text) vsnprintf(text, (size_t)len + 1, format, again);
  va_end(again);
  return text;
}

void fb_pool_init(fb_pool *pool, const fb_allocator *allocator, size_t block_size) {
  *pool = (fb_pool){.block_size = block_size < sizeof(void *) ? sizeof(void *) : block_size};
  fb_arena_init(&pool->arena, allocator, 0);
}

void fb_pool_release(fb_pool *pool) {
  if (!pool) return;
  fb_arena_release(&pool->arena);
  *pool = (fb_pool){0};
}

void *fb_pool_get(fb_pool *pool) {
  void *block = pool->free_list;
  if (block) {
    memcpy(&pool->free_list, block, sizeof(void *));
    pool->reused++;
  } else {
    block = fb_arena_alloc(&pool->arena, pool->block_size);
    if (!block) return NULL;
  }
  pool->gets++;
  if (++pool->live > pool->peak) pool->peak = pool->live;
  return block;
}

void fb_pool_put(fb_pool *pool, void *block) {
  if (!block) return;
  memcpy(block, &pool->free_list, sizeof(void *));
  pool->free_list = block;
  pool->live--;
}

fb_pool_stats fb_pool_statistics(const fb_pool *pool) {
  size_t blocks = pool->gets - pool->reused;
  return (fb_pool_stats){.gets = pool->gets,
                         .reused = pool->reused,
                         .live = pool->live,
                         .peak = pool->peak,
                         .free = blocks - pool->live,
                         .takes = pool->arena.takes,
                         .held = pool->arena.held,
                         .waste = pool->arena.held - blocks * pool->block_size};
}
