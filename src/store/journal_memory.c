/* SPDX-License-Identifier: Apache-2.0
 *
 * A journal that is only in memory: what was committed is told from what was not, so that a crash can be played.
 */
#include <flyball/store.h>

typedef struct S_entry {
  fb_event event;
  struct S_entry *next;
} S_entry;

typedef struct S_memory {
  fb_journal face;
  const fb_allocator *allocator;
  fb_arena arena;
  S_entry *first, **last; /* last: where the next one is hung */
  uint64_t count, sealed, committed;
  fb_status fail;
} S_memory;

static bool S_keep(fb_arena *arena, fb_slice *text) {
  const char *copy = fb_arena_text(arena, text->len ? *text : FB_SLICE(""));
  text->ptr = copy;
  return copy != NULL;
}

static fb_status S_append(void *context, fb_event *event, fb_error *err) {
  S_memory *memory = context;
  S_entry *entry = fb_arena_alloc(&memory->arena, sizeof *entry);
  if (!entry) return fb_fail(err, FB_E_NOMEM, "out of memory");
  *entry = (S_entry){.event = *event};
  if (!S_keep(&memory->arena, &entry->event.scope) || !S_keep(&memory->arena, &entry->event.step) ||
      !S_keep(&memory->arena, &entry->event.payload))
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  event->seq = entry->event.seq = ++memory->count;
  *memory->last = entry;
  memory->last = &entry->next;
  return FB_OK;
}

/* Nothing of it outlives the process anyway. */
static fb_status S_write(void *context, fb_error *err) {
  (void)context;
  (void)err;
  return FB_OK;
}

static bool S_seal(void *context) {
  S_memory *memory = context;
  memory->sealed = memory->count;
  return memory->sealed > memory->committed;
}

static fb_status S_commit(void *context, fb_error *err) {
  S_memory *memory = context;
  fb_status status = memory->fail;
  if (status) {
    if (status != FB_E_IO) memory->fail = FB_OK;
    return fb_fail(err, status, "the journal was told to fail");
  }
  memory->committed = memory->sealed;
  return FB_OK;
}

static fb_status S_read(void *context, fb_status (*each)(void *user, const fb_event *event),
                        void *user, fb_error *err) {
  const S_memory *memory = context;
  (void)err;
  for (const S_entry *at = memory->first; at && at->event.seq <= memory->committed; at = at->next) {
    fb_status status = each(user, &at->event);
    if (status) return status;
  }
  return FB_OK;
}

fb_status fb_journal_memory_new(const fb_allocator *allocator, fb_journal **ret_journal) {
  if (!allocator) allocator = fb_allocator_system();
  S_memory *memory = fb_alloc_zero(allocator, sizeof *memory);
  if (!memory) return FB_E_NOMEM;
  memory->face = (fb_journal){S_append, S_write, S_seal, S_commit, S_read, memory};
  memory->allocator = allocator;
  memory->last = &memory->first;
  fb_arena_init(&memory->arena, allocator, 0);
  *ret_journal = &memory->face;
  return FB_OK;
}

void fb_journal_memory_free(fb_journal *journal) {
  if (!journal) return;
  S_memory *memory = journal->context;
  fb_arena_release(&memory->arena);
  fb_free(memory->allocator, memory, sizeof *memory);
}

void fb_journal_memory_fail(fb_journal *journal, fb_status status) {
  ((S_memory *)journal->context)->fail = status;
}

void fb_journal_memory_cut(fb_journal *journal, uint64_t events) {
  S_memory *memory = journal->context;
  uint64_t keep = events < memory->committed ? events : memory->committed;
  memory->last = &memory->first;
  for (uint64_t i = 0; i < keep; i++) memory->last = &(*memory->last)->next;
  *memory->last = NULL;
  memory->count = memory->sealed = memory->committed = keep;
  memory->fail = FB_OK;
}
