/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/base.h: what every wing stands on. Memory (allocator, arena, pool), text (slice, buffer),
 * hash table, status and errors, clock, random numbers, log.
 *
 * Conventions of the whole library:
 *  - A function that can fail returns fb_status and fills a caller-owned, nullable fb_error.
 *  - A `ret_` parameter is untouched when the function fails.
 *  - init/release: the caller owns the struct, release frees what it holds and leaves it zeroed.
 *    new/free: the library owns the struct. Both release and free accept NULL.
 *  - Nothing here prints, exits or aborts, and no function keeps a pointer it was not told to keep.
 *  - Nothing is thread-safe unless it says so; distinct objects may be used on distinct threads.
 */
#ifndef FLYBALL_BASE_H
#define FLYBALL_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FB_API __attribute__((visibility("default")))
#define FB_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define FB_LIKELY(x) __builtin_expect(!!(x), 1)
#define FB_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FB_MUST_USE __attribute__((warn_unused_result))
#else
#define FB_API
#define FB_PRINTF(fmt, first)
#define FB_LIKELY(x) (x)
#define FB_UNLIKELY(x) (x)
#define FB_MUST_USE
#endif

/* ── Slice: bytes that somebody else owns. Not NUL-terminated. ───────────────────────────────── */

typedef struct fb_slice {
  const char *ptr;
  size_t len;
} fb_slice;

#define FB_SLICE(literal) ((fb_slice){(literal), sizeof(literal) - 1})

static inline fb_slice fb_slice_of(const char *text) {
  return (fb_slice){text, text ? strlen(text) : 0};
}

static inline bool fb_slice_equal(fb_slice a, fb_slice b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Byte order; a prefix sorts before what it is a prefix of. */
FB_API int fb_slice_compare(fb_slice a, fb_slice b);
FB_API bool fb_slice_starts(fb_slice text, fb_slice prefix);

/* True if the bytes are UTF-8 as RFC 3629 has it (no surrogates, no overlong forms, ≤ U+10FFFF).
 * On false *ret_offset (nullable) is the offset of the first bad byte. */
FB_API bool fb_utf8_valid(const char *text, size_t len, size_t *ret_offset);
/* Decodes one code point at text[0]; returns its length in bytes, 0 if it is not valid UTF-8. */
FB_API int fb_utf8_decode(const char *text, size_t len, uint32_t *ret_rune);
/* Writes at most 4 bytes; returns how many, 0 for a surrogate or a value above U+10FFFF. */
FB_API int fb_utf8_encode(uint32_t rune, char out[4]);
/* Number of code points; every bad byte counts as one. */
FB_API size_t fb_utf8_length(const char *text, size_t len);

/* ── Status and errors ───────────────────────────────────────────────────────────────────────── */

/* Every failure has a stable number, FBnnnn, listed with its explanation in src/base/errors.def:
 * 1xxx use and outside world, 2xxx data, 3xxx expressions, 4xxx rules, 5xxx missions. */
typedef enum fb_status {
  FB_OK = 0,
  FB_DONE = 1, /* not a failure: nothing more to come */
#define FB_ERROR_DEF(number, name, title, explanation) FB_E_##name = (number),
#include <flyball/errors.def>
#undef FB_ERROR_DEF
} fb_status;

/* One error, complete in itself: it owns its text, so it outlives what it is about. */
typedef struct fb_error {
  fb_status code;
  uint32_t line;           /* from 1; 0: no position */
  uint32_t column;         /* from 1, in code points */
  uint32_t length;         /* code points the caret line underlines; 0: one */
  uint32_t excerpt_column; /* where `column` is within `excerpt`, from 1 */
  char file[256];          /* "" when there is none */
  char text[400];          /* one sentence, no full stop, no trailing newline */
  char hint[240];          /* what to do about it; may be "" */
  char excerpt[200];       /* the source line, or a window of it around the column */
} fb_error;

/* Clears `err` and sets its code and text. Returns `code`, so that a caller can `return fb_fail(…)`.
 * With err NULL only returns the code. */
FB_API fb_status fb_fail(fb_error *err, fb_status code, const char *format, ...) FB_PRINTF(3, 4);
FB_API void fb_error_hint(fb_error *err, const char *format, ...) FB_PRINTF(2, 3);
/* Computes line, column and excerpt of text[offset .. offset+length) and stores them with `file`. */
FB_API void fb_error_locate(fb_error *err, const char *file, fb_slice text, size_t offset,
                            size_t length);
/* Puts "context: " before the text, once more is known about where it happened. */
FB_API void fb_error_prefix(fb_error *err, const char *format, ...) FB_PRINTF(2, 3);

typedef struct fb_error_info {
  fb_status code;
  const char *name;        /* "FB_E_JSON_SYNTAX" */
  const char *title;       /* a short noun phrase */
  const char *explanation; /* a paragraph: what it means, what usually causes it, what to do */
} fb_error_info;

/* The catalogue, in the order of the numbers. */
FB_API const fb_error_info *fb_error_catalogue(size_t *ret_count);
/* NULL when there is no such error. */
FB_API const fb_error_info *fb_error_info_of(fb_status code);

/* The nearest of `names` to `word` by edit distance if it is near enough to be a slip of the
 * keyboard; else NULL. For "did you mean". */
FB_API const char *fb_nearest(fb_slice word, const char *const *names, size_t count);

/* ── Allocator ───────────────────────────────────────────────────────────────────────────────── */

/* One function for all: ptr NULL allocates, size 0 frees (returns NULL), else moves. old_size is
 * what was asked for. Returns NULL when there is no memory; the old block is then still good. */
typedef struct fb_allocator {
  void *(*resize)(void *context, void *ptr, size_t old_size, size_t size);
  void *context;
} fb_allocator;

/* malloc, realloc, free. Where an `allocator` parameter may be NULL, this is what it means. */
FB_API const fb_allocator *fb_allocator_system(void);

FB_API void *fb_alloc(const fb_allocator *allocator, size_t size);
FB_API void *fb_alloc_zero(const fb_allocator *allocator, size_t size);
FB_API void *fb_resize(const fb_allocator *allocator, void *ptr, size_t old_size, size_t size);
FB_API void fb_free(const fb_allocator *allocator, void *ptr, size_t size);

/* Makes room for one more item of `item_size` bytes in a growing array: doubles *cap as needed.
 * Returns false when there is no memory or the size would overflow; the array is then unchanged. */
FB_API bool fb_grow(const fb_allocator *allocator, void **items, size_t *cap, size_t count,
                    size_t item_size);

/* ── Arena: memory that is freed all at once ─────────────────────────────────────────────────── */

typedef struct fb_arena_chunk fb_arena_chunk;

typedef struct fb_arena {
  char *next;             /* first free byte of the newest chunk */
  char *end;              /* one past its last byte */
  fb_arena_chunk *chunks; /* newest first */
  const fb_allocator *allocator;
  size_t chunk_size; /* of the next chunk; doubles up to 1 MiB */
  size_t held;       /* bytes taken from the allocator */
  size_t limit;      /* `held` may not pass this; 0: no limit */
  size_t peak;       /* `held` at most */
  size_t takes;      /* chunks taken from the allocator so far */
} fb_arena;

/* A point to go back to. */
typedef struct fb_arena_mark {
  fb_arena_chunk *chunk;
  char *next;
} fb_arena_mark;

/* Takes no memory yet. chunk_size 0: 4 KiB. */
FB_API void fb_arena_init(fb_arena *arena, const fb_allocator *allocator, size_t chunk_size);
FB_API void fb_arena_release(fb_arena *arena);
/* Forgets everything but keeps one chunk for the next use. */
FB_API void fb_arena_reset(fb_arena *arena);
FB_API fb_arena_mark fb_arena_save(const fb_arena *arena);
/* Frees what was allocated since `mark` was taken. */
FB_API void fb_arena_rewind(fb_arena *arena, fb_arena_mark mark);
/* Takes over what `other` holds, which is empty then: it is freed with this one. Marks of `other` are void. */
FB_API void fb_arena_join(fb_arena *arena, fb_arena *other);
FB_API void *fb_arena_alloc_slow(fb_arena *arena, size_t size, size_t align);

/* `align` is a power of two ≤ 64. NULL when memory or the limit is exhausted. */
static inline void *fb_arena_alloc_aligned(fb_arena *arena, size_t size, size_t align) {
  uintptr_t at = ((uintptr_t)arena->next + (align - 1)) & ~(uintptr_t)(align - 1);
  if (FB_LIKELY(arena->next && at <= (uintptr_t)arena->end && size <= (uintptr_t)arena->end - at)) {
    char *ptr = arena->next + (at - (uintptr_t)arena->next);
    arena->next = ptr + size;
    return ptr;
  }
  return fb_arena_alloc_slow(arena, size, align);
}

/* Aligned to 16 bytes. */
static inline void *fb_arena_alloc(fb_arena *arena, size_t size) {
  return fb_arena_alloc_aligned(arena, size, 16);
}

typedef struct fb_arena_stats {
  size_t takes;  /* chunks taken from the allocator so far */
  size_t chunks; /* of them held now */
  size_t held;   /* bytes of them */
  size_t peak;   /* the same at most */
  size_t used;   /* bytes handed out, with what alignment cost */
  size_t waste;  /* held - used: heads of chunks, and ends that were too small for what came next */
} fb_arena_stats;

/* Goes through the chunks. */
FB_API fb_arena_stats fb_arena_statistics(const fb_arena *arena);

FB_API void *fb_arena_zero(fb_arena *arena, size_t size);
FB_API void *fb_arena_copy(fb_arena *arena, const void *ptr, size_t size);
/* A NUL-terminated copy; NULL when there is no memory. */
FB_API char *fb_arena_text(fb_arena *arena, fb_slice text);
FB_API char *fb_arena_printf(fb_arena *arena, const char *format, ...) FB_PRINTF(2, 3);

/* ── Pool: many blocks of one size, each freed on its own ────────────────────────────────────── */

typedef struct fb_pool {
  fb_arena arena;
  void *free_list;
  size_t block_size;
  size_t live, peak; /* blocks handed out now, and at most */
  size_t gets, reused;
} fb_pool;

FB_API void fb_pool_init(fb_pool *pool, const fb_allocator *allocator, size_t block_size);
FB_API void fb_pool_release(fb_pool *pool);
FB_API void *fb_pool_get(fb_pool *pool); /* not zeroed; NULL when there is no memory */
FB_API void fb_pool_put(fb_pool *pool, void *block);

typedef struct fb_pool_stats {
  size_t gets, reused; /* reused: those that got a block that was given back */
  size_t live, peak;   /* blocks handed out now, and at most */
  size_t free;         /* blocks given back that wait */
  size_t takes;        /* calls of the allocator so far */
  size_t held;         /* bytes taken from it */
  size_t waste;        /* of them in no block, live or free */
} fb_pool_stats;

FB_API fb_pool_stats fb_pool_statistics(const fb_pool *pool);

/* ── Buffer: text that grows, up to a maximum ────────────────────────────────────────────────── */

/* Invariants: ptr[len] == 0 whenever ptr is not NULL; len < cap; len ≤ max.
 * When memory or the maximum runs out, `failed` is set, later appends do nothing, and what was
 * written stays readable: check once, at the end. */
typedef struct fb_buf {
  char *ptr;
  size_t len, cap;
  size_t max;
  const fb_allocator *allocator;
  bool failed;
} fb_buf;

/* max 0: SIZE_MAX / 2. */
FB_API void fb_buf_init(fb_buf *buf, const fb_allocator *allocator, size_t max);
FB_API void fb_buf_release(fb_buf *buf);
FB_API void fb_buf_clear(fb_buf *buf); /* keeps the memory; clears `failed` */
FB_API bool fb_buf_reserve(fb_buf *buf, size_t more);
FB_API void fb_buf_add(fb_buf *buf, const void *bytes, size_t len);
FB_API void fb_buf_text(fb_buf *buf, const char *text);
FB_API void fb_buf_char(fb_buf *buf, char c);
FB_API void fb_buf_repeat(fb_buf *buf, char c, size_t count);
FB_API void fb_buf_printf(fb_buf *buf, const char *format, ...) FB_PRINTF(2, 3);
FB_API void fb_buf_vprintf(fb_buf *buf, const char *format, va_list args) FB_PRINTF(2, 0);

static inline fb_slice fb_buf_slice(const fb_buf *buf) {
  return (fb_slice){buf->ptr ? buf->ptr : "", buf->len};
}

/* ── Errors of a document, all at once ───────────────────────────────────────────────────────── */

typedef struct fb_errors {
  fb_error *items;
  size_t count, cap;
  size_t max;     /* at most this many are kept … */
  size_t dropped; /* … and these were only counted (also when there was no memory to keep them) */
  const fb_allocator *allocator;
} fb_errors;

/* max 0: 100. */
FB_API void fb_errors_init(fb_errors *errors, const fb_allocator *allocator, size_t max);
FB_API void fb_errors_release(fb_errors *errors);
/* Keeps a copy. Returns err->code. `errors` may be NULL. */
FB_API fb_status fb_errors_add(fb_errors *errors, const fb_error *err);
/* By file, line, column; errors without a position first. */
FB_API void fb_errors_sort(fb_errors *errors);

static inline size_t fb_errors_total(const fb_errors *errors) {
  return errors ? errors->count + errors->dropped : 0;
}

/* For people: "error[FB2001]: text", the place, the source line, a caret, the hint. */
FB_API void fb_error_render(const fb_error *err, bool colour, fb_buf *out);
FB_API void fb_errors_render(const fb_errors *errors, bool colour, fb_buf *out);

/* ── Hash ────────────────────────────────────────────────────────────────────────────────────── */

/* XXH3, 64 bits. Tables that hold input from outside pass a seed drawn at start (fb_hash_seed). */
FB_API uint64_t fb_hash_bytes(const void *bytes, size_t len, uint64_t seed);
static inline uint64_t fb_hash_u64(uint64_t x) { /* the finaliser of MurmurHash3 */
  x ^= x >> 33;
  x *= UINT64_C(0xff51afd7ed558ccd);
  x ^= x >> 33;
  x *= UINT64_C(0xc4ceb9fe1a85ec53);
  return x ^ (x >> 33);
}
static inline uint64_t fb_hash_mix(uint64_t a, uint64_t b) {
  return fb_hash_u64(a ^ (b + UINT64_C(0x9e3779b97f4a7c15) + (a << 6) + (a >> 2)));
}

/* Text → pointer or number. Keys are borrowed: they must outlive the table. */
typedef struct fb_table_slot {
  fb_slice key;
  uint64_t hash;
  union {
    void *ptr;
    uint64_t number;
  } value;
} fb_table_slot;

typedef struct fb_table {
  fb_table_slot *slots; /* open addressing, linear probing; key.ptr NULL: empty */
  size_t cap, count;
  uint64_t seed;
  const fb_allocator *allocator;
} fb_table;

FB_API void fb_table_init(fb_table *table, const fb_allocator *allocator, uint64_t seed);
FB_API void fb_table_release(fb_table *table);
/* NULL when absent. The slot is good until the next put or remove. */
FB_API fb_table_slot *fb_table_get(const fb_table *table, fb_slice key);
/* Finds or adds. *ret_added (nullable) tells which; a new slot's value is zero.
 * NULL when there is no memory; key.ptr must not be NULL. */
FB_API fb_table_slot *fb_table_put(fb_table *table, fb_slice key, bool *ret_added);
FB_API bool fb_table_remove(fb_table *table, fb_slice key);

/* ── Clock and randomness: always passed in ──────────────────────────────────────────────────── */

typedef struct fb_clock {
  int64_t (*wall)(void *context); /* nanoseconds since 1970-01-01 UTC */
  int64_t (*mono)(void *context); /* nanoseconds from some fixed point; never goes back */
  void *context;
} fb_clock;

FB_API const fb_clock *fb_clock_system(void);

/* xoshiro256**, seeded through splitmix64: same seed, same numbers, on every machine. */
typedef struct fb_random {
  uint64_t state[4];
} fb_random;

FB_API void fb_random_seed(fb_random *random, uint64_t seed);
FB_API uint64_t fb_random_u64(fb_random *random);
FB_API uint64_t fb_random_below(fb_random *random, uint64_t bound); /* unbiased; bound ≥ 1 */
FB_API double fb_random_unit(fb_random *random);                    /* [0, 1) */
FB_API void fb_random_shuffle(fb_random *random, double *values, size_t count);
/* From the operating system: to seed hash tables of untrusted input, never the engines. */
FB_API uint64_t fb_random_seed_system(void);

/* ── Log ─────────────────────────────────────────────────────────────────────────────────────── */

typedef enum fb_log_level {
  FB_LOG_DEBUG,
  FB_LOG_INFO,
  FB_LOG_WARN,
  FB_LOG_ERROR,
  FB_LOG_OFF
} fb_log_level;
typedef enum fb_log_format { FB_LOG_TEXT, FB_LOG_JSON } fb_log_format;

/* Receives one finished line, newline included. */
typedef void fb_log_sink(void *context, const char *line, size_t len);

typedef struct fb_log {
  fb_log_level level; /* lines below it are dropped before they are formatted */
  fb_log_format format;
  const fb_clock *clock; /* NULL: lines without a time */
  fb_log_sink *sink;
  void *context;
} fb_log;

/* Fields come in pairs of C strings (key, value), ended by NULL: they are quoted as the format needs.
 * `log` may be NULL. Text: "2026-11-20T16:08:00.123Z info  message key=value". */
FB_API void fb_log_write(const fb_log *log, fb_log_level level, const char *message, ...);

/* ── Time in text ────────────────────────────────────────────────────────────────────────────── */

/* RFC 3339 in UTC with a `Z`; as many decimals as are needed (0, 3, 6 or 9). Returns the length. */
#define FB_TIME_TEXT_MAX 40
FB_API size_t fb_time_format(int64_t seconds, uint32_t nanos, char out[FB_TIME_TEXT_MAX]);
/* Strict RFC 3339, years 0001–9999. False when it is not. */
FB_API bool fb_time_parse(fb_slice text, int64_t *ret_seconds, uint32_t *ret_nanos);
/* Proleptic Gregorian calendar. */
FB_API int64_t fb_days_from_civil(int64_t year, unsigned month, unsigned day);
FB_API void fb_civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month,
                               unsigned *ret_day);

/* "1h30m", "250ms", "1.5s", "-2us": Go's notation (h m s ms us µs ns). False when it is not one or
 * it does not fit. Seconds and nanos have the same sign. */
FB_API bool fb_duration_parse(fb_slice text, int64_t *ret_seconds, int32_t *ret_nanos);
/* For people: "1.2s", "340ms", "2m05s". Returns the length. */
FB_API size_t fb_duration_format(int64_t nanos, char out[FB_TIME_TEXT_MAX]);

/* ── Numbers in text ─────────────────────────────────────────────────────────────────────────── */

/* The shortest decimal that reads back as the same double ("1.0" keeps its fraction). "NaN", "Infinity" and
 * "-Infinity" for what is not finite. At most 32 bytes with the NUL; returns the length. */
FB_API size_t fb_double_format(double d, char out[32]);

/* ── Teams: threads for what wants to work in parallel ───────────────────────────────────────── */

/* What has no threads of its own takes such a function as an input: it runs task(argument, 0) … task(argument, count - 1), in
 * whatever threads and order, and returns when all are done. `context` is whatever it needs. */
typedef void fb_task(void *argument, uint32_t number);
typedef void fb_run_tasks(void *context, fb_task *task, void *argument, uint32_t count);

#define FB_TEAM_MAX 256
typedef struct fb_team fb_team;
/* `threads`: 1 to FB_TEAM_MAX, the caller's own included. FB_E_LIMIT: another number. FB_E_NOMEM: a thread could not be
 * started, and none is. */
FB_API fb_status fb_team_new(uint32_t threads, const fb_allocator *allocator, fb_team **ret_team);
/* No run may be going on. */
FB_API void fb_team_free(fb_team *team);
/* An fb_run_tasks; `team` is an fb_team. The calling thread works too. From one thread at a time. */
FB_API void fb_team_run(void *team, fb_task *task, void *argument, uint32_t count);

/* ── Version ─────────────────────────────────────────────────────────────────────────────────── */

FB_API const char *fb_version(void); /* "0.1.0" */

#ifdef __cplusplus
}
#endif
#endif
