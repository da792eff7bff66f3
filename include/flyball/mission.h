/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/mission.h: missions. A document becomes an immutable plan (fb_mission); a run (fb_mission_run) is a
 * state machine over it that starts steps as soon as what they need is done. Whatever touches the
 * outside (clock, processes, files, threads) goes through the world (fb_world), so that the same run
 * can be driven by libuv, by a script, or by a simulation.
 */
#ifndef FLYBALL_MISSION_H
#define FLYBALL_MISSION_H

#include <flyball/cel.h>
#include <flyball/net.h>
#include <flyball/store.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_mission fb_mission;
typedef struct fb_mission_run fb_mission_run;
typedef struct fb_mission_loader fb_mission_loader;
typedef struct fb_text fb_text;
typedef struct fb_mask fb_mask; /* what must not be seen: secrets */

/* ── The world ───────────────────────────────────────────────────────────────────────────────── */

/* A process to start. Everything is borrowed until `start` returns. */
typedef struct fb_process_spec {
  const char *const *argv; /* NULL at the end; argv[0] without a slash is looked up in env's PATH */
  const char *const *env;  /* "NAME=value", NULL at the end: the whole environment */
  const char *dir;         /* NULL: the current directory */
  fb_slice input;          /* its standard input; empty: /dev/null */
  const char *label;       /* names what is kept of its output: "build", "fix.3" */
  const fb_mask *mask;     /* what must not be kept of it; NULL: nothing. Outlives the process */
} fb_process_spec;

/* A stream of a process as it was kept. */
typedef struct fb_kept {
  const char *path; /* for fb_world.read and for people; NULL when nothing was written */
  uint64_t size;    /* bytes */
} fb_kept;

/* How a process ended. Borrowed for the duration of the callback. */
typedef struct fb_process_end {
  int code;   /* exit code; -1 when a signal ended it */
  int signal; /* 0 when it exited */
  int lost;   /* errno: something of what it wrote could not be kept; 0: all was */
  fb_kept out, err;
} fb_process_end;

typedef struct fb_process fb_process;   /* the world's; gone after its exit was delivered */
typedef struct fb_timer fb_timer;       /* the world's; gone after it fired or was stopped */
typedef struct fb_exchange fb_exchange; /* the world's; gone after its answer or being cancelled */

/* What file steps do. */
typedef enum fb_file_act {
  FB_FILE_READ,   /* all of it into `out`; more than `max` bytes: FB_E_LIMIT */
  FB_FILE_WRITE,  /* as a whole or not at all; missing folders are made, as by those below */
  FB_FILE_APPEND, /* on disk when it returns */
  FB_FILE_COPY,   /* a file to `to`, as a whole or not at all */
  FB_FILE_MOVE,
  FB_FILE_DELETE, /* what is not there is no error; a folder only if it is empty, or recursive */
  FB_FILE_MKDIR,
  FB_FILE_LIST, /* tells each entry by name, recursive: of folders too; links are not followed */
  FB_FILE_STAT  /* tells one entry, or none */
} fb_file_act;

typedef struct fb_file_entry {
  const char *path; /* borrowed for the call */
  const char *kind; /* "file", "folder", "link", "other" */
  uint64_t size;
  unsigned mode;
  int64_t modified; /* ns since 1970 */
} fb_file_entry;

/* All borrowed. Nothing outside of the roots is touched, whatever links lead there. */
typedef struct fb_file_job {
  fb_file_act act;
  const char *path, *to;
  const char *const *roots;
  size_t root_count;
  fb_slice bytes;
  unsigned mode;
  bool recursive;
  uint64_t max;
  fb_buf *out;
  fb_status (*each)(void *user, const fb_file_entry *entry); /* FB_E_NOMEM, FB_E_LIMIT: ends it */
  void *user;
  uint64_t size; /* of COPY: bytes; of DELETE: what was deleted */
} fb_file_job;

/* Callbacks are called from `turn` only, never from within the function that was given them, and on
 * the thread that calls `turn`. `work`, `read` and `write` excepted, nothing is thread-safe. */
typedef struct fb_world {
  const fb_clock *clock;
  /* FB_E_STEP_SPAWN when the program cannot be started; `exited` is then not called. */
  fb_status (*start)(void *context, const fb_process_spec *command,
                     void (*exited)(void *user, const fb_process_end *how), void *user,
                     fb_process **ret_process, fb_error *err);
  /* Runs a program to its end and appends what it writes to `out`, at most `max` bytes: nothing of that is kept anywhere.
   * Blocks, for at most `timeout` ns. NULL: there are no programs. */
  fb_status (*capture)(void *context, const fb_process_spec *command, int64_t timeout, uint64_t max,
                       fb_buf *out, fb_error *err);
  /* Sends a signal to the process and all of its group. */
  void (*signal)(void *context, fb_process *process, int number);
  /* Fires once at `at` (the clock's mono) or soon after. NULL when there is no memory. */
  fb_timer *(*timer_start)(void *context, int64_t at, void (*fired)(void *user), void *user);
  void (*timer_stop)(void *context, fb_timer *timer);
  /* Runs `work` on some thread, then `done` from `turn`. */
  fb_status (*work)(void *context, void (*work)(void *user), void (*done)(void *user), void *user);
  /* Appends at most `max` bytes of the file, from `offset` on, to `out`; *ret_more (nullable) tells
   * whether it has more. Any thread. */
  fb_status (*read)(void *context, const char *path, uint64_t offset, uint64_t max, fb_buf *out,
                    bool *ret_more, fb_error *err);
  /* Replaces the file as a whole or not at all, makes missing folders, is on disk when it returns. Any
   * thread. */
  fb_status (*write)(void *context, const char *path, fb_slice bytes, unsigned mode, fb_error *err);
  /* Any thread. */
  fb_status (*file)(void *context, fb_file_job *job, fb_error *err);
  /* Sends an HTTP request (as fb_http_send) and stops one; nothing is delivered any more then. NULL: no network. */
  fb_status (*http)(void *context, const fb_http_request *request, fb_http_done *done, void *user,
                    fb_exchange **ret_exchange, fb_error *err);
  void (*http_cancel)(void *context, fb_exchange *exchange);
  /* What the file has survives power loss when it returns. Any thread. NULL: it always does. */
  fb_status (*sync)(void *context, const char *path, fb_error *err);
  /* Waits until something happened and delivers it. False: nothing is outstanding. */
  bool (*turn)(void *context);
  void *context;
} fb_world;

typedef struct fb_uv_options {
  const char *run_dir; /* kept output goes there; made when first needed; copied */
} fb_uv_options;

/* The real world on a libuv loop of its own. */
FB_API fb_status fb_world_uv_new(const fb_allocator *allocator, const fb_uv_options *options,
                                 fb_world **ret_world, fb_error *err);
FB_API void fb_world_uv_free(fb_world *world);
/* Its uv_loop_t, for those who have handles of their own on it: they close them before _free, and may run it instead of `turn`. */
FB_API void *fb_world_uv_loop(const fb_world *world);
/* Calls `caught` from `turn` when this process gets the signal. Until _free. */
FB_API fb_status fb_world_uv_on_signal(fb_world *world, int number,
                                       void (*caught)(void *user, int number), void *user);
/* Calls `tick` from `turn` every `interval` nanoseconds. Does not keep `turn` waiting. */
FB_API fb_status fb_world_uv_every(fb_world *world, int64_t interval, void (*tick)(void *user),
                                   void *user);

/* ── Tools: kinds of step ────────────────────────────────────────────────────────────────────── */

/* What expressions are evaluated against: values of the mission's variables, an arena for results. */
typedef struct fb_step_scope {
  const fb_mission *mission;
  fb_value *slots;
  fb_cel_context *cel;
  fb_arena *arena;
  const uint64_t *known; /* dry run: bit i set: slots[i] has its value. NULL: all have */
} fb_step_scope;

/* One execution of a step (of one item, in a for_each). */
typedef struct fb_call {
  fb_step_scope scope; /* for `prepare` only */
  fb_arena *arena;     /* the call's own; its result lives there */
  const fb_world *world;
  const char *label;       /* "build", "fix.3"; in a sub-mission "fix.3.build" */
  const char *own_label;   /* without the sub-mission's */
  fb_process_spec process; /* process tools: `prepare` sets argv; the rest is the engine's */
  uint64_t hash_seed;
  fb_cel_zone *zone; /* of the run; any thread */
  void *zone_context;
  void *state;      /* the tool's, from prepare to work */
  int64_t deadline; /* the clock's mono, for work that can stop by itself; 0: none */
  int64_t since;    /* ns since 1970: when an earlier process began it; 0: none did */
  /* 32 hex digits, the same in every attempt, after crashes too: FLYBALL_STEP_KEY, an Idempotency-Key. */
  const char *key;
  /* What a person decided on this step: {decision: "approved" | "rejected" | …, by, at, note}. FB_ABSENT: nothing. */
  fb_value decision;
  fb_value output; /* becomes steps.ID.output */
  const char
      *note; /* what came out, in a few words for people; in the arena; NULL: nothing to say */
  const char *const *roots; /* of files that may be touched */
  size_t root_count;
  const fb_list *facts; /* told to the run's caller once the call went well; NULL: none */
  int http_status;      /* of an answer that was not what was wanted; 0: none. For `retry` */
  int64_t retry_after;  /* what the other side asked to wait, ns; 0: nothing */
} fb_call;

/* What the tool's `load` made of the step. */
FB_API const void *fb_call_plan(const fb_call *call);
/* A call of a tool with `begin` has ended; err: the failure, NULL when it went well. From the world's turn. */
FB_API void fb_call_done(fb_call *call, const fb_error *err);
/* What doing a step once more would mean. */
typedef enum fb_semantics {
  FB_AT_LEAST_ONCE, /* it may be repeated after a crash, but not silently */
  FB_PURE,          /* it has no effect: it need not even be recorded that it begins */
  FB_IDEMPOTENT,    /* once more changes nothing */
  FB_ONCE           /* never without a check or a person */
} fb_semantics;
/* "at-least-once", "pure", "idempotent", "once" */
FB_API const char *fb_semantics_name(fb_semantics semantics);

/* A tool is an action key of a step ("run", "write", "rules") and what it does. The engine knows the
 * tools that it is given; wings that do not know each other meet in this table. */
typedef struct fb_tool {
  const char *key;
  bool process; /* it starts a process: takes env, dir, stdin, parse */
  bool with;    /* takes `with` */
  bool
      reenters; /* what is inside knows itself what was done: a call in doubt is simply made again */
  fb_semantics semantics; /* of steps that do not say */
  /* Reads and checks the action's value at load; problems go to fb_loader_errors. */
  fb_status (*load)(fb_mission_loader *loader, const fb_node *node, void **ret_plan);
  void (*unload)(void *plan); /* nullable; plan memory from fb_loader_arena needs none */
  /* Evaluates the texts. On the run's thread. FB_E_STEP_WAITS: a person has to decide first; the error tells what on. */
  fb_status (*prepare)(const void *plan, fb_call *call, fb_error *err);
  /* Does it, for tools without a process. Any thread; only `call` may be written. */
  fb_status (*work)(const void *plan, fb_call *call, fb_error *err);
  /* Begins it, for tools that neither start a process nor work: the world calls them back, and they call
   * fb_call_done, later. On the run's thread. */
  fb_status (*begin)(const void *plan, fb_call *call, fb_error *err);
  /* It is to end early. True: it has, and fb_call_done will not be called; else it is called when it has. May be
   * called again with `now`. */
  bool (*cancel)(const void *plan, fb_call *call, bool now);
  /* One line for people: what would be done, as far as it is known. */
  void (*describe)(const void *plan, fb_step_scope *scope, fb_buf *out);
} fb_tool;

typedef struct fb_tools {
  const fb_tool *const *items;
  size_t count;
} fb_tools;

FB_API extern const fb_tool fb_tool_run, fb_tool_shell, fb_tool_write, fb_tool_http,
    fb_tool_approve, fb_tool_wait, fb_tool_emit, fb_tool_file, fb_tool_mission;

/* For `load`: */
FB_API const fb_doc *fb_loader_doc(fb_mission_loader *loader);
FB_API fb_errors *fb_loader_errors(fb_mission_loader *loader);
FB_API fb_arena *fb_loader_arena(fb_mission_loader *loader);
FB_API const fb_allocator *fb_loader_allocator(fb_mission_loader *loader);
/* Compiles a value: every text in it is a template; the steps it reads become needs. NULL when it
 * has errors (they are reported). `want` may be NULL. Belongs to the mission. */
FB_API fb_text *fb_loader_text(fb_mission_loader *loader, const fb_node *node,
                               const fb_cel_type *want);
/* A path relative to the mission file's folder. */
FB_API const char *fb_loader_path(fb_mission_loader *loader, fb_slice path);
/* Reads a file that the mission refers to (templates, rulebooks); FB_E_IO when it cannot. The text
 * lives in the loader's arena. */
FB_API fb_status fb_loader_read(fb_mission_loader *loader, const char *path, fb_slice *ret_text,
                                fb_error *err);

/* The value when it is the same in every run. */
FB_API bool fb_text_constant(const fb_text *text, fb_value *ret_value);
FB_API const fb_node *fb_text_node(const fb_text *text);
FB_API fb_status fb_scope_value(fb_step_scope *scope, const fb_text *text, fb_value *ret_value,
                                fb_error *err);
/* As text: strings as they are, bytes as they are, null as "", lists and maps as JSON. */
FB_API fb_status fb_scope_text(fb_step_scope *scope, const fb_text *text, fb_slice *ret_text,
                               fb_error *err);
/* Any value as text, by the same rules. */
FB_API fb_status fb_scope_render(fb_step_scope *scope, fb_value value, fb_slice *ret_text,
                                 fb_error *err);
/* True if all that it reads is known (scope->known). */
FB_API bool fb_scope_knows(const fb_step_scope *scope, const fb_text *text);
/* Its value if known, else its source. */
FB_API void fb_scope_show(fb_step_scope *scope, const fb_text *text, fb_buf *out);

/* ── Mission: the plan ───────────────────────────────────────────────────────────────────────── */

/* The files that are being loaded, the innermost first. */
typedef struct fb_load_chain {
  const char *path;
  const struct fb_load_chain *above;
} fb_load_chain;

typedef struct fb_mission_options {
  fb_tools tools;        /* items count 0: those declared above */
  const char *folder;    /* of the mission file, for paths in it; NULL: "." */
  const fb_world *world; /* reads files at load; NULL: a file that is referred to is an error */
  fb_errors *warnings;   /* what is no mistake, but worth telling; nullable */
  const struct fb_load_chain *chain; /* of a mission in a mission: the files around it; else NULL */
} fb_mission_options;

typedef enum fb_on_error {
  FB_ON_ERROR_STOP,
  FB_ON_ERROR_CONTINUE,
  FB_ON_ERROR_FALLBACK /* another step stands in */
} fb_on_error;

/* What others may know of a step of the plan. */
typedef struct fb_step_info {
  fb_slice id;
  fb_slice description; /* may be empty */
  const fb_tool *tool;
  const uint32_t *needs; /* step numbers, ascending: written and inferred */
  uint32_t need_count;
  uint32_t level;  /* 0 without needs, else 1 + the highest of theirs */
  int64_t timeout; /* ns; 0: none */
  fb_on_error on_error;
  uint8_t
      phase; /* FB_PHASE_MAIN; FB_PHASE_UNDO: run if its step was done and the run failed; FB_PHASE_FINALLY */
  uint32_t
      undoes; /* of FB_PHASE_UNDO: number + 1 of the step that it undoes, whose id it has; else 0 */
  fb_semantics semantics;
  bool has_check; /* a command tells whether it had its effect */
  bool for_each;
  bool cache;    /* its result is kept beyond the run */
  uint32_t line; /* in the document */
} fb_step_info;

typedef struct fb_input_info {
  fb_slice name;
  const char *type; /* "string", "int", …, "any" */
  fb_slice description;
  bool required;
  fb_value initial; /* FB_ABSENT: none */
} fb_input_info;

/* Checks and compiles. Every error goes into `errors`; the first one's code is returned. The document must
 * outlive the mission. Tools must too. */
FB_API fb_status fb_mission_load(const fb_doc *doc, const fb_mission_options *options,
                                 const fb_allocator *allocator, fb_mission **ret_mission,
                                 fb_errors *errors);
FB_API void fb_mission_free(fb_mission *mission);
FB_API fb_slice fb_mission_name(const fb_mission *mission);
FB_API const fb_doc *fb_mission_doc(const fb_mission *mission);
FB_API uint32_t fb_mission_steps(const fb_mission *mission);
FB_API void fb_mission_step(const fb_mission *mission, uint32_t number, fb_step_info *ret_info);
FB_API uint32_t fb_mission_inputs(const fb_mission *mission);
FB_API void fb_mission_input(const fb_mission *mission, uint32_t number, fb_input_info *ret_info);
FB_API uint32_t fb_mission_levels(const fb_mission *mission);
typedef enum fb_drawing { FB_DRAWING_TEXT, FB_DRAWING_DOT, FB_DRAWING_MERMAID } fb_drawing;
/* The graph of its steps: lanes for a terminal, or for Graphviz, or for Mermaid. */
FB_API void fb_mission_draw(const fb_mission *mission, fb_drawing drawing, fb_buf *out);
/* Reads an input as it stands on a command line, by its declared type. The value lives in the arena. */
FB_API fb_status fb_mission_parse_input(const fb_mission *mission, fb_slice name, fb_slice text,
                                        fb_arena *arena, fb_value *ret_value, fb_error *err);

/* ── Run ─────────────────────────────────────────────────────────────────────────────────────── */

typedef enum fb_step_status {
  FB_STEP_PENDING,
  FB_STEP_RUNNING,
  FB_STEP_OK,
  FB_STEP_FAILED,
  FB_STEP_TIMEOUT,
  FB_STEP_SKIPPED, /* by its condition, or because what it needs failed */
  FB_STEP_CANCELLED,
  FB_STEP_WAITING /* for a person; not final, but nothing goes on */
} fb_step_status;

/* "pending", "running", "ok", "failed", "timeout", "skipped", "cancelled", "waiting" */
FB_API const char *fb_step_status_name(fb_step_status status);

typedef enum fb_mission_status {
  FB_MISSION_GOING,
  FB_MISSION_OK,
  FB_MISSION_FAILED,  /* a step failed that was not allowed to, or an output has no value */
  FB_MISSION_TIMEOUT, /* limits.timeout */
  FB_MISSION_CANCELLED,
  FB_MISSION_WAITING /* all that is left waits for a person; the run goes on from its journal */
} fb_mission_status;
FB_API const char *fb_mission_status_name(fb_mission_status status);

typedef enum fb_mission_event_kind {
  FB_MISSION_EVENT_RUN_STARTED,
  FB_MISSION_EVENT_STEP_STARTED,
  FB_MISSION_EVENT_ITEM_FINISHED, /* of a for_each */
  FB_MISSION_EVENT_STEP_FINISHED,
  FB_MISSION_EVENT_RUN_FINISHED,
  FB_MISSION_EVENT_ATTEMPT_FAILED, /* of a step or item: there will be another */
  FB_MISSION_EVENT_FACT,           /* a step gave a fact out */
  FB_MISSION_EVENT_STEP_WAITING    /* or an item of it; error: on what */
} fb_mission_event_kind;

/* Borrowed for the duration of the callback. */
typedef struct fb_mission_event {
  fb_mission_event_kind kind;
  const fb_mission_run *run; /* the run that it is of: a sub-mission's has a scope */
  const char *scope;         /* "fix.3/"; "": of the outermost run */
  int64_t wall;              /* ns since 1970 */
  uint32_t step;             /* number; not of RUN_* */
  uint32_t item;    /* of ITEM_FINISHED, ATTEMPT_FAILED (FB_NO_ITEM: of a step without items) */
  uint32_t attempt; /* of ATTEMPT_FAILED, from 1; 0: it was not let through (breaker, limit) */
  int64_t wait;     /* of ATTEMPT_FAILED: ns until the next */
  fb_step_status status;
  int64_t duration; /* ns; of *_FINISHED */
  int exit_code;    /* of processes; -1: none */
  int signal;
  const fb_error *error; /* NULL when there is none */
  const char *note;      /* the tool's; NULL: none */
  const fb_value *fact;  /* of FACT: a map with a text under `type` */
} fb_mission_event;

/* What becomes of `secrets:` when a run is made. */
typedef enum fb_secret_mode {
  FB_SECRETS_READ, /* all of them, those of the missions within it too, once */
  FB_SECRETS_HIDE, /* for a look at the plan: nothing is known of them, and files and variables are hidden if they are there */
  FB_SECRETS_IMITATED /* each is its name: for simulated worlds */
} fb_secret_mode;

typedef struct fb_mission_run_options {
  fb_secret_mode secrets;
  const char *id;         /* names the run; copied */
  const char *dir;        /* ${{ run.dir }}; NULL: "" */
  const char *const *env; /* inherited by processes, ${{ env.NAME }}; NULL at the end; borrowed */
  const fb_map *inputs;   /* name → value; borrowed */
  uint32_t parallel;      /* overrides limits.parallel; 0: as the mission has it */
  uint32_t parallel_default; /* when neither says; 0: 4 */
  int64_t grace;             /* ns between SIGTERM and SIGKILL; 0: 5 s */
  fb_cel_zone *zone;         /* as in fb_cel_context */
  void *zone_context;
  /* The folder in which results of steps with `cache` are kept; NULL: nowhere. `cache_fresh`: those that are there are not
   * taken, only replaced. */
  const char *cache_dir;
  bool cache_fresh;
  uint64_t hash_seed; /* of tables that hold what programs say; drawn by the caller */
  /* Where the run is recorded; NULL: nowhere. One that has events is gone on with: steps whose end it knows are
   * not run again. */
  fb_journal *journal;
  /* What else the journal should know of the run: name → value; borrowed. NULL: nothing */
  const fb_map *about;
  /* Another text after a loss of power (Linux: /proc/sys/kernel/random/boot_id); copied. With it, steps whose repetition does
   * no harm begin while the disk is still at work on their intent: after a loss of power those that may have are told as
   * repeated. NULL: every step waits for the disk. */
  const char *boot;
  /* Of a sub-mission: the run that it is a step of, whose journal it shares, and the way to it, "fix.3/". */
  const fb_mission_run *parent;
  const char *scope; /* of a sub-mission: the way to it, "fix.3/"; NULL: "" */
  /* May be NULL. Sub-missions tell theirs to the same. */
  void (*on_event)(void *context, const fb_mission_event *event);
  void *context;
  void (*on_finished)(void *user); /* the last thing that a run does; may be NULL */
  void *finished_user;
} fb_mission_run_options;

/* Takes the inputs, checks them against their types (FB_E_MISSION_INPUT). */
FB_API fb_status fb_mission_run_new(const fb_mission *mission, const fb_world *world,
                                    const fb_mission_run_options *options,
                                    const fb_allocator *allocator, fb_mission_run **ret_run,
                                    fb_errors *errors);
/* The run must be finished or never have been started. */
FB_API void fb_mission_run_free(fb_mission_run *run);
FB_API void fb_mission_run_start(fb_mission_run *run);
/* Starts nothing more, ends what runs (SIGTERM, then SIGKILL after the grace; `now`: SIGKILL). */
FB_API void fb_mission_run_cancel(fb_mission_run *run, bool now);
/* What a person decided on a step that waits (or an item of it; FB_NO_ITEM: none; `scope`: the way to its sub-mission):
 * it goes on. FB_E_RUN_STATE: it does not wait. */
FB_API fb_status fb_mission_run_decide(fb_mission_run *run, fb_slice scope, fb_slice step,
                                       uint32_t item, fb_value decision, fb_error *err);
FB_API fb_mission_status fb_mission_run_state(const fb_mission_run *run);
/* Start and turn the world until it is finished. */
FB_API fb_mission_status fb_mission_run_wait(fb_mission_run *run);

typedef struct fb_step_state {
  fb_step_status status;
  int64_t started, duration;                /* ns; started is the clock's mono */
  int exit_code, signal;                    /* -1, 0: none */
  uint32_t items, items_done, items_failed; /* of a for_each */
  const fb_error *error;                    /* NULL when there is none */
  const char *note;                         /* the tool's; NULL: none */
  uint32_t attempts;    /* made so far, of all items; counted where the step has retry, limit … */
  const char *out_path; /* kept standard output and error; NULL when there was none */
  const char *err_path;
} fb_step_state;
FB_API void fb_mission_run_step(const fb_mission_run *run, uint32_t number,
                                fb_step_state *ret_state);
/* The sub-missions of a step that are going on. */
FB_API void fb_mission_run_subs(const fb_mission_run *run, uint32_t step,
                                void (*each)(void *user, uint32_t item, const fb_mission_run *sub),
                                void *user);
FB_API const fb_mission *fb_mission_run_mission(const fb_mission_run *run);
FB_API int64_t fb_mission_run_duration(const fb_mission_run *run); /* ns */
/* The mission's outputs, once finished: a map. After a failure those that have a value. */
FB_API fb_value fb_mission_run_outputs(const fb_mission_run *run);
/* The failure that is not a step's (an output without value, limits.timeout); NULL when there is none. */
FB_API const fb_error *fb_mission_run_error(const fb_mission_run *run);
typedef enum fb_group_policy {
  FB_GROUP_WAIT,       /* until there is a place */
  FB_GROUP_CANCEL_OLD, /* the run that has been in it the longest is ended */
  FB_GROUP_REFUSE
} fb_group_policy;

/* How many runs of its name there may be at once. Whoever starts runs keeps to it. */
typedef struct fb_run_group {
  const char *name; /* NULL: the mission says nothing. In the arena */
  uint32_t limit;
  fb_group_policy policy;
} fb_run_group;

FB_API fb_status fb_mission_run_group(fb_mission_run *run, fb_arena *arena, fb_run_group *ret_group,
                                      fb_error *err);
/* Before the start: what would run, level by level, with what is known. Touches nothing. */
FB_API void fb_mission_run_plan(fb_mission_run *run, fb_buf *out);
/* The same as a value: {name, inputs, levels: [[{id, needs, does, if, for_each}]]}. */
FB_API fb_status fb_mission_run_plan_value(fb_mission_run *run, fb_arena *arena,
                                           fb_value *ret_value);

/* ── The past: what a journal says of a run ──────────────────────────────────────────────────── */

/* A step, or an item of a for_each, as it was last. */
typedef struct fb_past_step {
  fb_slice scope, id;
  uint32_t item; /* FB_NO_ITEM: none */
  uint8_t phase; /* FB_PHASE_MAIN, … */
  /* RUNNING: begun, and no end is recorded. If no process works on the run, it is in doubt. */
  fb_step_status status;
  uint32_t attempts;
  uint32_t repeats;       /* of them: made although the effect of an earlier one was not known */
  int64_t started, ended; /* ns since 1970; 0: not yet */
  int64_t duration;       /* ns */
  int exit_code, signal;  /* -1, 0: none */
  const char *error, *note, *out_path, *err_path, *waits_for; /* NULL: none */
  bool inside;       /* what waits is in the sub-mission that it is */
  fb_value decision; /* what a person decided last; FB_ABSENT: nothing */
  fb_value output;   /* what it gave, if the journal has it; else FB_ABSENT, see out_path */
} fb_past_step;

typedef struct fb_past {
  fb_mission_status status; /* GOING: no end is recorded */
  int64_t started, ended;   /* ns since 1970 */
  uint32_t sessions;        /* processes that worked on it */
  uint64_t events;
  uint64_t lost;  /* places where events could not be read */
  fb_value about; /* of the start: {mission, inputs, …}; null when it is lost */
  fb_value outputs;
  const char *error;   /* the run's own; NULL: none */
  fb_past_step *steps; /* in the order in which they first appeared */
  uint32_t step_count;
} fb_past;

FB_API fb_status fb_past_read(fb_journal *journal, const fb_allocator *allocator,
                              fb_past **ret_past, fb_error *err);
FB_API void fb_past_free(fb_past *past);
/* "fix.3/sub/build", "each.2" */
FB_API void fb_past_step_path(const fb_past_step *step, fb_buf *out);

#ifdef __cplusplus
}
#endif
#endif
