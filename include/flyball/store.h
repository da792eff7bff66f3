/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/store.h: what outlives a process. A journal holds the events of one run, in order, each
 * chained by SHA-256 to the one before. A run appends what it is about to do and what came of it, and waits for the
 * commit before anything depends on it.
 */
#ifndef FLYBALL_STORE_H
#define FLYBALL_STORE_H

#include <flyball/data.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ── Events ──────────────────────────────────────────────────────────────────────────────────── */

/* The numbers are on disk: never give one a new meaning. */
typedef enum fb_event_kind {
  FB_EVENT_RUN_STARTED = 1, /* payload: who, where, with which mission and inputs */
  FB_EVENT_RUN_RESUMED = 2, /* by another process; payload as of RUN_STARTED */
  FB_EVENT_RUN_ENDED =
      3, /* status: an fb_mission_status; payload: outputs, error. More may follow a
                           * run that only waits, was interrupted, or is tried again */
  FB_EVENT_STEP_STARTED =
      4, /* intent: it may have had its effect from here on; digest: of its input */
  FB_EVENT_STEP_ENDED =
      5, /* status: an fb_step_status; digest: of its output; payload: its result */
  FB_EVENT_STEP_SETTLED =
      6, /* a step that ended without a call of its own: skipped, or all items done */
  FB_EVENT_DECIDED =
      7, /* a person decided on a step that waited or was in doubt; payload: who, what */
  FB_EVENT_RETRY =
      8, /* step and all that needs it are forgotten and run again; step "": what failed */
  FB_EVENT_NOTE = 9 /* anything else worth keeping; payload says what */
} fb_event_kind;

/* "run.started", "step.ended", …; "?" for a number that is none. */
FB_API const char *fb_event_kind_name(unsigned kind);

enum {
  FB_EVENT_HAS_DIGEST = 1,
  FB_EVENT_AGAIN = 2,     /* of STEP_ENDED: not the last attempt, it is tried again */
  FB_EVENT_NOT_BEGUN = 4, /* of STEP_ENDED: ended before it was started; it had no effect */
  FB_EVENT_RECOVERED = 8, /* of STEP_STARTED: the effect of an earlier attempt is not known, or
                           * (after a power cut) whether there was one */
  FB_EVENT_LOST = 16,     /* of NOTE, never on disk: events before this one cannot be read */
  FB_EVENT_OTHERWISE =
      32 /* of STEP_ENDED: not by a call, but by its check or by a person; of one that waits: what
                           * waits is inside it */
};

/* What of a step an event is about. */
enum { FB_PHASE_MAIN = 0, FB_PHASE_CHECK = 1, FB_PHASE_UNDO = 2, FB_PHASE_FINALLY = 3 };

#define FB_NO_ITEM UINT32_MAX
#define FB_DIGEST_SIZE 32

typedef struct fb_event {
  uint64_t seq;   /* from 1, without a gap; set by the journal */
  int64_t wall;   /* ns since 1970 */
  uint8_t kind;   /* fb_event_kind */
  uint8_t status; /* see the kind */
  uint8_t phase;
  uint8_t flags;
  uint32_t item;    /* of a for_each; FB_NO_ITEM: none */
  uint32_t attempt; /* from 1; 0: says nothing */
  int16_t code;     /* exit code; -1: none */
  int16_t signal;   /* 0: none */
  fb_slice scope;   /* the way to the sub-mission: "fix.3/", ""; at most 65,535 bytes */
  fb_slice step;    /* its id; "" for events of the run; at most 65,535 bytes */
  uint8_t digest[FB_DIGEST_SIZE]; /* SHA-256 */
  fb_slice payload;               /* a packed value (fb_value_pack), or empty; below 4 GiB */
} fb_event;

/* ── Journal ─────────────────────────────────────────────────────────────────────────────────── */

/* Where the events of a run go. Two threads at most: `commit` may run on another while the run's own thread
 * appends and writes; all else is on that one. After a failure nothing of what was not
 * committed counts; `seal` and `commit` may be tried again unless it was FB_E_IO. */
typedef struct fb_journal {
  /* Takes a copy; sets event->seq. Survives nothing until it is written. */
  fb_status (*append)(void *context, fb_event *event, fb_error *err);
  /* What was appended survives the end of this process from here on, not power loss. */
  fb_status (*write)(void *context, fb_error *err);
  /* Hands what was appended to the next commit. False: there is nothing to commit. Not while one is under way. */
  bool (*seal)(void *context);
  /* What was sealed survives power loss from here on. Also gives the failure to write of the seal. */
  fb_status (*commit)(void *context, fb_error *err);
  /* All that was committed, in order, until `each` fails: its failure is returned. Slices are good for the call. */
  fb_status (*read)(void *context, fb_status (*each)(void *user, const fb_event *event), void *user,
                    fb_error *err);
  void *context;
} fb_journal;

/* In memory, for tests and for runs that need no record. */
FB_API fb_status fb_journal_memory_new(const fb_allocator *allocator, fb_journal **ret_journal);
FB_API void fb_journal_memory_free(fb_journal *journal);
/* The next commit fails with `status` (and all after it, if FB_E_IO). */
FB_API void fb_journal_memory_fail(fb_journal *journal, fb_status status);
/* Forgets what was not committed, and what was after the first `events` of it: a crash. */
FB_API void fb_journal_memory_cut(fb_journal *journal, uint64_t events);

/* ── Disk ────────────────────────────────────────────────────────────────────────────────────── */

/* What a journal asks of a disk. Each returns -1 with errno when it fails; flags are those of open(2). A write may be short. */
typedef struct fb_disk {
  int (*open)(void *context, const char *path, int flags);
  int64_t (*size)(void *context, int fd);
  int64_t (*read)(void *context, int fd, void *bytes, size_t count, uint64_t offset);
  int64_t (*write)(void *context, int fd, const void *bytes, size_t count, uint64_t offset);
  int (*allocate)(void *context, int fd, uint64_t offset, uint64_t count);
  int (*truncate)(void *context, int fd, uint64_t size);
  /* What was written survives power loss from here on. */
  int (*sync)(void *context, int fd);
  int (*sync_folder)(void *context, const char *path); /* of the file at `path`: so does its name */
  void (*close)(void *context, int fd);
  void *context;
} fb_disk;
FB_API const fb_disk *fb_disk_system(void);

/* ── Journal on disk ─────────────────────────────────────────────────────────────────────────── */

/* An append-only file, a record an event, each with a checksum and the SHA-256 of itself and the one before. A record
 * that was cut off at the end (a crash while writing) was never committed, and is dropped when the file is next written. */
typedef struct fb_journal_log_options {
  uint64_t salt;   /* of a new file's checksums: any number that other files do not have */
  int64_t created; /* of a new file: ns since 1970 */
  bool read_only;  /* the file must be there; append fails */
  bool unsynced;   /* commits survive kill -9, not power loss */
  /* Go on although events in the middle cannot be read. `read` then gives, in their place, one FB_EVENT_NOTE with
   * FB_EVENT_LOST. Without it such a file is refused: FB_E_JOURNAL_DAMAGED. */
  bool damaged_ok;
  const fb_disk *disk; /* NULL: the system's */
} fb_journal_log_options;

FB_API fb_status fb_journal_log_open(const char *path, const fb_journal_log_options *options,
                                     const fb_allocator *allocator, fb_journal **ret_journal,
                                     fb_error *err);
/* What was not committed is lost. */
FB_API void fb_journal_log_close(fb_journal *journal);

/* Calls `each` with the first and the last event of the file, without reading what is between (if there is only one, once;
 * if there is none, never). Damage is not looked for. Slices are good for the call. */
FB_API fb_status fb_journal_log_peek(const char *path, const fb_allocator *allocator,
                                     void (*each)(void *user, const fb_event *event), void *user,
                                     fb_error *err);

typedef struct fb_journal_head {
  uint64_t seq; /* of the last committed event; 0: none */
  uint8_t hash[FB_DIGEST_SIZE];
} fb_journal_head;
FB_API fb_journal_head fb_journal_log_head(const fb_journal *journal);

/* SHA-256. */
FB_API void fb_digest(fb_slice bytes, uint8_t ret_digest[FB_DIGEST_SIZE]);
/* The same in parts. */
typedef struct fb_digester {
  uint64_t state[13]; /* private */
} fb_digester;
FB_API void fb_digest_begin(fb_digester *digester);
FB_API void fb_digest_add(fb_digester *digester, fb_slice bytes);
FB_API void fb_digest_end(fb_digester *digester, uint8_t ret_digest[FB_DIGEST_SIZE]);
/* "…64 hex digits", NUL at the end. */
FB_API void fb_hex(const uint8_t *bytes, size_t count, char *ret_text);
FB_API bool fb_unhex(fb_slice text, uint8_t *ret_bytes, size_t count);

/* What is wrong with a journal, or only worth telling. */
typedef enum fb_audit_finding_kind {
  FB_AUDIT_CHANGED,  /* the event's content is not what was written */
  FB_AUDIT_MISSING,  /* there is no event of this number */
  FB_AUDIT_REPEATED, /* an event of this number came before */
  FB_AUDIT_CUT,      /* the file ends before this event, which is known to have been */
  FB_AUDIT_TORN      /* not wrong: a write that a crash cut off; it was never committed */
} fb_audit_finding_kind;
/* "changed", "missing", "repeated", "cut", "torn" */
FB_API const char *fb_audit_finding_name(fb_audit_finding_kind kind);

typedef struct fb_audit_finding {
  fb_audit_finding_kind kind;
  uint64_t seq, last;    /* the events, both inclusive */
  uint64_t offset;       /* in the file */
  const fb_event *event; /* as far as it can be read; NULL: not at all */
} fb_audit_finding;

typedef struct fb_audit_report {
  uint64_t events, bytes;
  uint64_t wrong; /* findings but torn ones */
  fb_journal_head head;
} fb_audit_report;

/* Reads all of the file and tells everything that is wrong. `found` and `event` (nullable: each good event, in order,
 * with its hash, as the file has it) are called as it goes. FB_OK also when there are findings; else the file cannot be read at all. */
FB_API fb_status fb_journal_verify(const char *path, const fb_disk *disk,
                                   const fb_allocator *allocator,
                                   void (*found)(void *user, const fb_audit_finding *finding),
                                   void (*event)(void *user, const fb_event *event,
                                                 const uint8_t hash[FB_DIGEST_SIZE]),
                                   void *user, fb_audit_report *ret_report, fb_error *err);

/* ── Signatures (Ed25519) ────────────────────────────────────────────────────────────────────── */

enum { FB_SEED_SIZE = 32, FB_PUBLIC_KEY_SIZE = 32, FB_SIGNATURE_SIZE = 64 };
FB_API void fb_sign(const uint8_t seed[FB_SEED_SIZE], fb_slice message,
                    uint8_t ret_signature[FB_SIGNATURE_SIZE]);
FB_API void fb_public_key(const uint8_t seed[FB_SEED_SIZE], uint8_t ret_key[FB_PUBLIC_KEY_SIZE]);
FB_API bool fb_signature_holds(const uint8_t key[FB_PUBLIC_KEY_SIZE], fb_slice message,
                               const uint8_t signature[FB_SIGNATURE_SIZE]);

/* ── Leases: who works on a run ──────────────────────────────────────────────────────────────── */

typedef struct fb_lease fb_lease;
/* FB_E_LEASE: another process has it. It comes free when this process ends, however it ends. `holder` is one line about
 * this process, for others to see. */
FB_API fb_status fb_lease_take(const char *path, fb_slice holder, const fb_allocator *allocator,
                               fb_lease **ret_lease, fb_error *err);
FB_API void fb_lease_release(fb_lease *lease);
/* True if a process has it; what it said of itself is appended to `out` (nullable). */
FB_API bool fb_lease_held(const char *path, fb_buf *out);

/* ── Values as bytes ─────────────────────────────────────────────────────────────────────────── */

/* Keeps every kind apart, as JSON does not. Facts become maps. Depth is bounded (FB_E_LIMIT); FB_E_NOMEM. */
FB_API fb_status fb_value_pack(fb_buf *out, fb_value value);
/* The value lives in the arena, its texts too. FB_E_JOURNAL_DAMAGED: the bytes are no packed value. */
FB_API fb_status fb_value_unpack(fb_slice bytes, fb_arena *arena, fb_value *ret_value,
                                 fb_error *err);

/* ── Pages of facts, for sessions whose facts do not fit in memory ────────────────────────────── */

typedef struct fb_pages fb_pages;
/* A database at `path`, whose pages are forgotten; NULL: a temporary one, on disk where SQLite puts such, which goes when it is
 * closed. Of one thread at a time. */
FB_API fb_status fb_pages_open(const char *path, const fb_allocator *allocator,
                               fb_pages **ret_pages, fb_error *err);
/* No session may use it any more. */
FB_API void fb_pages_close(fb_pages *pages);
/* For fb_session_options.store; `memory`: bytes of columns to be kept in memory. */
FB_API fb_page_store fb_pages_store(fb_pages *pages, size_t memory);

#ifdef __cplusplus
}
#endif
#endif
