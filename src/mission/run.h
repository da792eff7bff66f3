/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of a run, beside the plan that it never changes.
 *
 *   step     a step of the plan: waiting for needs, in the ready queue, running, or final
 *   active   one call of a step's tool that is going on: at most `parallel` of them
 *
 * Everything happens on one thread, in callbacks of the world; only `work` (S_collect, tool->work) may be on
 * another, and touches nothing but its own active. Each event costs O(1) beside what it sets going.
 */
#ifndef FB_MISSION_RUN_H
#define FB_MISSION_RUN_H

#include "mission/mask.h"
#include "mission/plan.h"

/* Why a step that did not run was left out. */
typedef enum fb_skip { FB_SKIP_NONE, FB_SKIP_CONDITION, FB_SKIP_NEED } fb_skip;

/* A for_each that has begun. */
typedef struct fb_items {
  fb_value over; /* the list or map, in the step's arena */
  uint32_t count;
  uint32_t next; /* first item not started */
  uint32_t running, done, failed, held;
  bool stop;         /* start no more */
  fb_value *results; /* one an item if the step is referenced, else NULL */
  fb_value *pairs;   /* of a map: {key, value} an item; else NULL */
  uint8_t *statuses; /* one an item if the step can be undone, else NULL */
  uint32_t *order;   /* the items in the order in which they are started; NULL: as they are */
} fb_items;

typedef struct fb_step_run {
  uint8_t status; /* fb_step_status */
  uint8_t skip;   /* fb_skip */
  bool queued;
  bool has_arena;
  int16_t exit_code; /* -1: none */
  int16_t signal;
  uint32_t waiting;  /* needs that are not final */
  uint32_t attempts; /* made so far, of all items */
  uint32_t bad_need; /* step number + 1 of the first that failed and is not looked at; 0: none */
  uint32_t next;     /* in the ready queue */
  uint32_t ended;    /* when, among the steps; from 1 */
  int64_t started, duration;
  fb_error *error;                        /* in the run's arena */
  fb_items *items;                        /* of a for_each, in the step's arena */
  const char *note, *out_path, *err_path; /* in the run's arena */
  fb_arena arena;                         /* what expressions see of it */
} fb_step_run;

typedef struct fb_active fb_active;

/* One call of a step that has a guard, from before its first attempt to after its last (attempt.c). */
typedef struct fb_try fb_try;

struct fb_try {
  fb_mission_run *run;
  fb_try *prev, *next; /* all of the run */
  fb_try *next_ready;
  uint32_t step, item;
  uint32_t attempts; /* made, those before a resume included */
  bool going;        /* an attempt is being made */
  bool ready;        /* in the run's list */
  bool inside;       /* of the limit: it must be left */
  bool queued;       /* for the limit */
  bool rated;        /* has the rate's token for the next attempt */
  fb_timer *timer;
  fb_ticket ticket;
  fb_permit permit;
  int64_t began, entered;
  int64_t deadline; /* of `until`; 0: none */
  fb_retry retry;
  fb_retry_policy policy; /* with the budget of the run, if the step has one */
};

/* The limits and breakers of a run. */
typedef struct fb_run_guards {
  fb_breaker **breakers;
  fb_bulkhead **bulkheads; /* NULL: of no concurrency */
  fb_rate *rates;
  fb_retry_budget *budgets;
  fb_random random;
  fb_pool pool; /* of fb_try */
  fb_try *tries;
  fb_try *first_ready, *last_ready;
} fb_run_guards;

struct fb_active {
  fb_mission_run *run;
  fb_active *prev, *next;
  uint32_t step, item;
  fb_call call;
  fb_arena arena;
  fb_process *process; /* while it runs */
  fb_timer *timer;
  bool pending; /* a tool with `begin` will call fb_call_done */
  bool timed_out, cancelled, killed;
  bool not_begun; /* ended while it waited for the journal */
  bool otherwise; /* it ended without a call: by its check, or by a person */
  bool cached;    /* its result is one that was kept */
  bool has_cache_key;
  uint8_t cache_key[FB_DIGEST_SIZE];
  bool has_digest;
  uint8_t digest[FB_DIGEST_SIZE]; /* of what it gave */
  bool replayed;                  /* its end comes from the journal */
  fb_step_status replayed_status;
  int64_t replayed_duration;
  uint32_t attempt;     /* from 1; with a journal */
  fb_try *guarded;      /* NULL: the step has no guard */
  int64_t timeout;      /* of this attempt, ns; 0: none */
  bool again;           /* it failed, and is tried again */
  fb_active *next_held; /* waits for the journal, or in run->stopped */
  int64_t started;
  int exit_code, signal;
  int lost;                        /* errno: not all that it wrote was kept */
  const char *out_path, *err_path; /* in the arena */
  uint64_t out_size, err_size;
  fb_value out, err; /* texts, bounded */
  fb_status status;
  fb_error error;
};

typedef struct fb_recorder fb_recorder; /* record.h */
typedef struct fb_vault fb_vault;       /* secrets.c */

/* A run within a run. */
typedef struct fb_sub_run fb_sub_run;
struct fb_sub_run {
  fb_sub_run *prev, *next; /* of one run */
  fb_mission_run *run;
  uint32_t step, item;
};

/* A step that undoes, and when the one that it undoes ended. */
typedef struct fb_undo {
  uint32_t ended, step;
} fb_undo;

/* A call that waits for a person. */
typedef struct fb_held fb_held;
struct fb_held {
  uint32_t step, item;
  fb_held *next;
};

struct fb_mission_run {
  const fb_mission *mission;
  const fb_world *world;
  const fb_allocator *allocator;
  fb_mission_run_options options;
  fb_arena arena; /* as long as the run */
  fb_arena scratch;
  fb_cel_context cel;
  fb_value *slots;
  const char **env; /* inherited, with the mission's; NULL at the end */
  uint32_t env_count;
  const char **roots; /* of files that may be touched */
  uint32_t root_count;
  fb_step_run *steps;
  uint32_t parallel;
  uint32_t first_ready[FB_PRIORITIES], last_ready[FB_PRIORITIES]; /* FB_NO_STEP: empty */
  uint32_t ready;                                                 /* how many are in them */
  uint32_t open;                                                  /* steps that are not final */
  uint32_t active_count;
  fb_active *actives;
  fb_sub_run *subs;
  const char *prefix; /* of labels in a sub-mission: "fix.3."; NULL: none */
  fb_active *stopped; /* cancelled, and ended by the next pump */
  fb_pool pool;       /* of fb_active */
  fb_timer *timer;
  fb_mission_status status;
  fb_mission_status ending; /* GOING: not ending; else what it will be */
  fb_mission_status final;  /* its status, once nothing is left to do */
  bool failed;              /* a step failed that was not allowed to */
  bool pumping;
  uint8_t phase;             /* FB_PHASE_MAIN first */
  fb_mission_status outcome; /* of the main phase, once it is over */
  uint32_t ended;            /* steps that have */
  fb_undo *undos;            /* those to come, the last one first; room for all */
  uint32_t undo_count;
  bool pressed; /* cancelled while it undid or cleaned up: nothing more is begun */
  fb_run_guards guards;
  int64_t started, duration;
  fb_value outputs;
  fb_error *error;
  fb_recorder *recorder; /* NULL: no journal */
  fb_vault *vault;       /* NULL: no secrets */
  bool owns_vault;
  const fb_mask *mask; /* what must not be seen; NULL: no secrets */
  fb_held *held;       /* in the run's arena, newest first */
};

/* What `steps.ID` becomes. */
typedef struct fb_outcome {
  fb_step_status status;
  fb_value output, out, err; /* FB_ABSENT: none */
  int exit_code, signal;
  int64_t duration;
  const fb_error *error;
  const fb_items *items;
} fb_outcome;

int64_t fb_run_now(const fb_mission_run *run);
/* Ready for an evaluation with results in `arena`. */
fb_step_scope fb_run_scope(fb_mission_run *run, fb_arena *arena);
void fb_run_emit(fb_mission_run *run, fb_mission_event *event);
/* Copies an error to the run's arena; NULL when there is no memory. */
fb_error *fb_run_keep_error(fb_mission_run *run, const fb_error *err);
static inline bool fb_run_is_final(const fb_step_run *state) {
  return state->status > FB_STEP_RUNNING;
}
/* Makes the step's own arena, once. */
void fb_run_step_arena(fb_mission_run *run, fb_step_run *state);

/* schedule.c */
void fb_run_enqueue(fb_mission_run *run, uint32_t step);
/* Forgets what is queued. */
void fb_run_dequeue_all(fb_mission_run *run);
/* The step has ended so: tells those that wait for it. */
void fb_run_final(fb_mission_run *run, uint32_t number, fb_outcome *result);
void fb_run_final_without_call(fb_mission_run *run, uint32_t number, fb_step_status status,
                               const fb_error *err);
/* Everything that has not begun is cancelled at once; what runs is told to end. */
void fb_run_end_all(fb_mission_run *run, fb_mission_status ending, bool now);

/* phase.c: what comes after the steps. */
/* The steps of the phase have ended. True: there are others to be done. */
bool fb_run_next_phase(fb_mission_run *run);
/* The steps of the phase. */
void fb_run_phase_steps(const fb_mission_run *run, uint32_t *ret_first, uint32_t *ret_end);
/* How the run ends if it ends now. */
fb_mission_status fb_run_outcome(const fb_mission_run *run);

/* items.c: the items of a for_each. */
/* NULL: *err tells why. */
/* The items of a step that were done, last first. */
const fb_items *fb_items_undo(fb_mission_run *run, uint32_t number, fb_error *err);
const fb_items *fb_items_expand(fb_mission_run *run, uint32_t number, fb_error *err);
bool fb_items_may_start(const fb_mission_run *run, uint32_t number);
void fb_items_start(fb_mission_run *run, uint32_t number);
void fb_items_final(fb_mission_run *run, uint32_t number, uint32_t item, fb_outcome *result);
/* What the end of an item makes room for: the next one, or the end of the step. */
void fb_items_after(fb_mission_run *run, uint32_t number);
/* The step's end, if all items have ended. */
void fb_items_end(fb_mission_run *run, uint32_t number);
/* Sets the item's variables (or none). */
void fb_run_set_item(fb_mission_run *run, const fb_step_run *state, uint32_t number);

/* call.c: starts one call. FB_OK: it is on its way, fb_run_call_done will be called. Else it ended at once. */
void fb_run_call(fb_mission_run *run, uint32_t step, uint32_t item);
/* Starts what was prepared; a call that cannot be started has ended. */
void fb_run_launch(fb_active *active);
/* A call that did not begin has ended with active->error. */
void fb_run_not_started(fb_active *active, fb_status status);
/* The same for one that there is no active for. */
void fb_run_never_called(fb_mission_run *run, uint32_t step, uint32_t item, fb_status status,
                         const fb_error *err);
/* The next attempt of a call. */
void fb_run_call_again(fb_try *guarded);
/* Ends one of those in run->stopped; false: there is none. */
bool fb_run_end_stopped(fb_mission_run *run);
/* Frees a call whose end was taken. */
void fb_run_end_call(fb_active *active);
void fb_run_stop_timer(fb_active *active);
/* From the call's start on. */
void fb_run_start_timeout(fb_active *active);
/* The process of the step's check. */
fb_status fb_run_prepare_check(fb_active *active);
/* Forgets a call that comes to nothing. */
void fb_run_drop_call(fb_active *active);
/* The rest of a call that was looked into first (doubt.c): condition, texts, start. */
void fb_run_call_go(fb_active *active);
/* doubt.c: the step or item waits for a person. Frees the call. */
void fb_run_hold(fb_active *active, const fb_error *why);
void fb_run_call_cancel(fb_active *active, bool now);
/* verdict.c: a call has ended; takes what it needs from `active`, which is freed afterwards. */
void fb_run_call_done(fb_active *active);
/* An item (or a step without items) whose condition is false. */
void fb_run_item_skipped(fb_mission_run *run, uint32_t step, uint32_t item);
/* Begins no more steps, lets end what runs; the run then fails with this error. */
void fb_run_wind_down(fb_mission_run *run, const fb_error *err);
/* The last thing of all: tells that the run is finished. */
void fb_run_finished(fb_mission_run *run);
/* Starts what can be started, ends the run when nothing is left. */
void fb_run_pump(fb_mission_run *run);

/* attempt.c: what stands between a step and its calls: retry, breaker, limit, until. */
fb_status fb_guards_new(fb_mission_run *run, fb_error *err);
void fb_guards_free(fb_mission_run *run);
typedef enum fb_pass { FB_PASS_GO, FB_PASS_WAIT, FB_PASS_FAILED } fb_pass;
/* Before the first attempt. WAIT: `active` is to be freed, fb_run_call_again comes later. FAILED: active->error. */
fb_pass fb_try_enter(fb_active *active);
/* An attempt is made now. */
void fb_try_begin(fb_active *active);
/* Gives back what it holds, and frees it. */
void fb_try_abandon(fb_try *guarded);
/* Tries that may go on now. */
bool fb_tries_ready(const fb_mission_run *run);
void fb_tries_go(fb_mission_run *run);
/* An attempt has ended. True: the call is not over, there will be another. `result` may be changed. */
bool fb_try_ended(fb_active *active, fb_outcome *result);
/* Ends all that wait. */
void fb_tries_cancel(fb_mission_run *run);
/* How the call ended, as `on` names it. */
int64_t fb_failure_of(const fb_active *active, const fb_outcome *result);

fb_active *fb_active_of(fb_call *call);

/* sub.c */
/* A run of the mission within the call's; `finished` is the last thing that it does. */
fb_status fb_sub_run_new(fb_call *call, const fb_mission *mission, const fb_map *inputs,
                         void (*finished)(void *user), void *user, fb_sub_run *sub,
                         fb_errors *errors);
void fb_sub_run_remove(fb_call *call, fb_sub_run *sub);

/* secrets.c */
/* Reads the secrets of the mission and of all within it, or takes those of the run around it. */
fb_status fb_run_secrets(fb_mission_run *run, fb_error *err);
void fb_run_secrets_free(fb_mission_run *run);
/* Hides secrets in what the call gave. Any thread. */
void fb_run_hide_result(fb_active *active);

/* cache.c */
/* The digest of all that the call's result depends on; once, and only if it is to be kept. The call is prepared. */
fb_status fb_cache_key(fb_active *active);
/* True: a result that was kept is now that of the call. */
bool fb_cache_take(fb_active *active);
void fb_cache_keep(fb_active *active, const fb_outcome *result);

/* env.c: the environment of the run, and of one call. */
fb_status fb_run_env(fb_mission_run *run, fb_error *err);
fb_status fb_run_roots(fb_mission_run *run, fb_error *err);
fb_status fb_run_call_env(fb_active *active, fb_error *err);

/* result.c */
fb_status fb_result_value(const fb_outcome *result, fb_arena *arena, fb_value *ret_value);
/* Reads and parses what a process wrote, or runs the tool; `user` is the fb_active. Any thread. */
void fb_active_work(void *user);
/* What the kept output of a call says, once more (replay). */
fb_status fb_active_reread(fb_active *active);

#endif
