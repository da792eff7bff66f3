/* SPDX-License-Identifier: Apache-2.0
 *
 * What the server's files share.
 *
 *   route     a method and a path with what answers it
 *   request   one exchange, from its first header to the last byte of the answer
 *   spool     bytes of a body: in memory, from SPOOL_MEMORY on in an unlinked file
 *   job       what must not hold up a thread that answers others; runs on one of the workers
 *   shelf     names with their editions, each immutable and counted by who uses it: rulesets, missions
 *   flow      an answer that goes on: events, logs
 *   state     the folder of what outlives the server
 */
#ifndef FB_SERVER_H
#define FB_SERVER_H

#include "server/coding.h"
#include "server/mhd.h"

#include <flyball/guard.h>
#include <flyball/mission.h>
#include <flyball/server.h>
#include <flyball/store.h>

#include <pthread.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/un.h>

/* ── Addresses ── */

typedef union fb_address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  struct sockaddr_un local;
} fb_address;

/* "HOST:PORT", "[HOST]:PORT", "unix:PATH"; hosts are addresses, or "localhost". */
bool fb_address_parse(const char *text, fb_address *address, socklen_t *ret_size);
/* Reached from this machine only. */
bool fb_address_is_local(const fb_address *address);

/* ── Spool ── */

typedef struct fb_spool {
  const char *folder; /* NULL: all stays in memory */
  uint64_t size, max;
  char *bytes; /* malloc'ed, as what is handed to libmicrohttpd must be */
  size_t cap;
  int fd; /* -1: all is in `bytes` */
} fb_spool;

void fb_spool_init(fb_spool *spool, const char *folder, uint64_t max);
void fb_spool_release(fb_spool *spool);
/* FB_E_LIMIT beyond `max`, FB_E_IO, FB_E_NOMEM. */
fb_status fb_spool_add(fb_spool *spool, const void *bytes, size_t size);
/* All of it, while it is in memory. */
static inline fb_slice fb_spool_slice(const fb_spool *spool) {
  return (fb_slice){spool->bytes ? spool->bytes : "", (size_t)spool->size};
}
/* To read it from its beginning. `memory` lives as long as the source. */
fb_source fb_spool_source(fb_spool *spool, fb_memory_source *memory);

/* ── Jobs: workers for what takes long ── */

typedef struct fb_job fb_job;
struct fb_job {
  fb_job *next;
  void (*run)(fb_job *job);
};
typedef struct fb_jobs fb_jobs;

fb_status fb_jobs_new(uint32_t threads, fb_jobs **ret_jobs);
/* Waits for what is queued. */
void fb_jobs_free(fb_jobs *jobs);
void fb_jobs_add(fb_jobs *jobs, fb_job *job);

/* ── Requests ── */

typedef struct fb_request fb_request;

typedef enum fb_answered {
  FB_ANSWERED,
  FB_ANSWER_LATER /* route->later is to go on with it on a worker */
} fb_answered;

typedef struct fb_route {
  const char *method, *path; /* "/v1/rulesets/{name}"; a parameter is one segment */
  fb_role role;
  bool streams; /* its body may be long: options.max_stream holds, not max_body */
  bool slow;    /* always answered on a worker, by `answer` */
  fb_answered (*answer)(fb_request *request);
  void (*later)(fb_request *request);
  bool
      wakes; /* slow, and done only when it calls fb_request_wake; until then `answer` may be called again */
} fb_route;

enum { FB_ROUTE_PARAMETERS = 3, FB_REQUEST_ID = 64, FB_CLASSES = 6, FB_CLIENTS = 4096 };

typedef struct fb_reply {
  unsigned code;
  const char *type; /* content type; static */
  fb_spool body;
  struct {
    const char *name, *value; /* value: static or in the request's arena */
  } headers[6];
  uint32_t header_count;
  struct fb_flow *flow; /* instead of the body */
} fb_reply;

typedef struct fb_token fb_token;
typedef struct fb_edition fb_edition;

struct fb_request {
  fb_server *server;
  struct MHD_Connection *connection;
  const fb_route *route; /* NULL: none fits */
  const char *method;
  fb_slice parameters[FB_ROUTE_PARAMETERS]; /* of the path, percent-decoded */
  fb_arena arena;
  fb_spool body;
  uint64_t came, expected; /* of the body, as it comes; expected: UINT64_MAX: it does not say */
  fb_coder *coder;         /* of the body; NULL: it comes as it is */
  fb_reply reply;
  fb_job job;
  bool begun, suspended, done;
  char id[FB_REQUEST_ID];
  char trace[33], parent[17]; /* W3C trace context; "": none came */
  fb_slice who;               /* the token's name, else the address; in the arena */
  fb_role role;
  int64_t start;
  bool counted;             /* among those at work */
  _Atomic uint32_t *client; /* among those of its client; NULL: not */
  void *state;              /* of the route, from `answer` to `later` */
};

/* The token's name, else the address. */
fb_slice fb_request_who(fb_request *request);
/* A query parameter as a number; `otherwise`: it is not given, or none. */
uint64_t fb_request_number(const fb_request *request, const char *name, uint64_t otherwise);
/* The reply is there. Of a route that `wakes`. */
void fb_request_wake(fb_request *request);
/* Query parameter; NULL: not given. */
const char *fb_request_query(const fb_request *request, const char *name);
const char *fb_request_header(const fb_request *request, const char *name);
/* The body's media type is that, whatever its parameters. */
bool fb_request_is(const fb_request *request, const char *type);

bool fb_request_accepts(const fb_request *request, const char *type);

void fb_reply_header(fb_request *request, const char *name, const char *value);
/* The whole answer. A buffer that failed becomes 500. The buffer's memory is taken over. */
fb_answered fb_reply_json(fb_request *request, unsigned code, fb_buf *body);
fb_answered fb_reply_empty(fb_request *request, unsigned code);
/* problem.c: RFC 9457. */
fb_answered fb_reply_problem(fb_request *request, unsigned code, const fb_error *err);
fb_answered fb_reply_problems(fb_request *request, unsigned code, const fb_errors *errors);
/* Code and words for a request that is wrong in itself. */
fb_answered fb_reply_fail(fb_request *request, unsigned code, fb_status status, const char *format,
                          ...) FB_PRINTF(4, 5);
/* The HTTP status that goes with a failure. */
unsigned fb_problem_code(fb_status status);

/* ── Routes ── */

extern const fb_route fb_routes[];
extern const size_t fb_route_count;
/* NULL: none. *ret_allowed then has the methods that the path knows, "" when it is unknown. */
const fb_route *fb_route_find(const char *method, const char *path, fb_request *request,
                              char ret_allowed[64]);

/* ── Flows: answers that go on ── */

typedef struct fb_flows fb_flows;
typedef struct fb_flow fb_flow;
struct fb_flow {
  fb_flow *next, **link;
  fb_flows *flows;
  struct MHD_Connection *connection;
  bool asleep;
  bool patient; /* nobody tells when it is ready: it is woken to look, ten times a second */
  /* At most `max` bytes; 0: there are none now. *ret_end: there will be none. */
  size_t (*read)(fb_flow *flow, char *bytes, size_t max, bool *ret_end);
  /* Whether `read` has something to do. Called often. */
  bool (*ready)(const fb_flow *flow, int64_t now);
  void (*free)(fb_flow *flow);
};

fb_status fb_flows_new(fb_server *server, fb_flows **ret_flows);
/* False: no thread can be made. From then on fb_server_tick is called once a second. */
bool fb_flows_start(fb_flows *flows);
/* Once server->draining is set: all flows end. */
void fb_flows_stop(fb_flows *flows);
void fb_flows_free(fb_flows *flows);
/* Wakes those that are ready. */
void fb_flows_news(fb_flows *flows);
uint32_t fb_flows_count(fb_flows *flows);
/* Takes the flow over. NULL: no memory. */
struct MHD_Response *fb_flow_response(fb_flow *flow);
/* The flow is the answer. Content type: static. */
fb_answered fb_reply_flow(fb_request *request, const char *type, fb_flow *flow);

/* ── Events ── */

typedef struct fb_events fb_events;
fb_status fb_events_new(fb_server *server, fb_events **ret_events);
void fb_events_free(fb_events *events);
/* Somebody does: without, nothing need be published that is costly to tell. */
bool fb_server_watched(const fb_server *server);
fb_answered fb_events_watch(fb_request *request);

/* ── State: what outlives the server ── */

/* Makes the folder and takes its lease. FB_E_SERVER_STATE: another server has it. */
fb_status fb_state_open(fb_server *server, fb_error *err);
/* A path in the folder. NULL: no memory, or too long. */
const char *fb_state_path(const fb_server *server, fb_arena *arena, const char *format, ...)
    FB_PRINTF(3, 4);
/* `head` and `text` as a whole or not at all, and on disk when it returns. Folders are made. */
fb_status fb_state_write(const char *path, fb_slice head, fb_slice text, fb_error *err);
/* FB_DONE: there is none. */
fb_status fb_state_read(const char *path, uint64_t max, fb_buf *out);
fb_status fb_state_sync(const char *path);
/* Names in a folder, by their bytes; hidden ones and unfinished ones not. In the arena. */
const char *const *fb_state_list(const char *folder, fb_arena *arena, size_t *ret_count);
/* The folder and the files in it. */
void fb_state_remove(const char *folder);

/* ── Audit ── */

typedef struct fb_audit fb_audit;
fb_status fb_audit_new(fb_server *server, fb_audit **ret_audit, fb_error *err);
void fb_audit_free(fb_audit *audit);
/* Records that `who` did `what` ("ruleset.put") to `target`. */
void fb_audit_note(fb_server *server, fb_slice who, const char *what, fb_slice target);
void fb_audit_of(fb_request *request, const char *what, fb_slice target);
void fb_audit_sync(fb_audit *audit);
fb_answered fb_audit_list(fb_request *request);

/* ── Runs ── */

typedef struct fb_runner fb_runner;
fb_status fb_runner_new(fb_server *server, fb_runner **ret_runner, fb_error *err);
/* Goes on with what was cut off. */
void fb_runner_start(fb_runner *runner);
/* Ends what runs; it is gone on with at the next start. Waits. */
void fb_runner_stop(fb_runner *runner);
void fb_runner_free(fb_runner *runner);
void fb_runner_counts(fb_runner *runner, uint32_t *ret_running, uint32_t *ret_queued);
/* Further members of an object that begins with others: how many runs there are in each state. */
void fb_runs_states(fb_server *server, fb_buf *out);
fb_answered fb_runs_start(fb_request *request);
fb_answered fb_runs_list(fb_request *request);
fb_answered fb_runs_show(fb_request *request);
fb_answered fb_runs_logs(fb_request *request);
fb_answered fb_runs_cancel(fb_request *request);
fb_answered fb_runs_resume(fb_request *request);
fb_answered fb_runs_approve(fb_request *request);
fb_answered fb_runs_retry(fb_request *request);

typedef struct fb_bingo fb_bingo; /* bingo.h */

/* ── Figures ── */

typedef struct fb_figures fb_figures;
fb_status fb_figures_new(fb_server *server, fb_figures **ret_figures);
void fb_figures_free(fb_figures *figures);
/* Once a second. */
void fb_server_tick(fb_server *server);
fb_answered fb_figures_stats(fb_request *request);
fb_answered fb_figures_metrics(fb_request *request);
fb_answered fb_history_list(fb_request *request);
fb_answered fb_history_show(fb_request *request);
/* A time as RFC 3339 text, in quotes, to the millisecond. */
void fb_json_time(fb_buf *out, int64_t wall);

/* ── Tokens ── */

typedef struct fb_tokens {
  fb_token *items;
  size_t count;
} fb_tokens;

fb_status fb_tokens_read(fb_slice text, fb_tokens *tokens, fb_error *err);
void fb_tokens_release(fb_tokens *tokens);
/* Without tokens everybody is an admin. `header`: "Bearer …", NULL: none. */
fb_role fb_tokens_role(const fb_tokens *tokens, const char *header, fb_slice *ret_name);

/* ── Rulesets ── */

/* What a session is for: one that explains keeps a log of its firings, which costs memory and time. */
typedef enum fb_seat_kind {
  FB_SEAT_HOLDS,
  FB_SEAT_EXPLAINS,
  FB_SEAT_STATELESS,
  FB_SEAT_KINDS
} fb_seat_kind;

typedef enum fb_shelf_kind { FB_SHELF_RULESETS, FB_SHELF_MISSIONS } fb_shelf_kind;

struct fb_edition {
  _Atomic uint32_t users;
  uint32_t number;
  char hash[2 * FB_DIGEST_SIZE + 1]; /* of the text */
  char *text;
  size_t length;
  char *file, *folder; /* for messages; of a mission's file: paths in it start there */
  int64_t made;        /* wall nanoseconds */
  fb_ruleset *set;     /* of rulesets */
  fb_doc *doc;         /* of missions */
  fb_mission *mission;
  bool stateless;          /* its rules admit it */
  _Atomic uint64_t *fired; /* of each rule, by evaluations that are over; NULL: not counted */
  pthread_mutex_t lock;
  struct fb_seat *seats[FB_SEAT_KINDS]; /* that wait for the next request */
  uint32_t seat_counts[FB_SEAT_KINDS];
};

typedef struct fb_shelf fb_shelf;

/* Of a ruleset of more rules firings are not counted: going through all of them would cost each request. */
enum { FB_SHELF_EDITIONS = 16, FB_SHELF_NAME = 128, FB_FIRED_RULES = 256 };

/* folder: where it is kept; NULL: nowhere; lives as long as the shelf. */
fb_status fb_shelf_new(fb_shelf_kind kind, const char *folder, uint32_t max, fb_shelf **ret_shelf);
void fb_shelf_free(fb_shelf *shelf);
/* What the folder has. What does not load is logged and left where it is. */
void fb_shelf_restore(fb_shelf *shelf, const fb_log *log);
/* Loads the text; nothing is changed if it does not load. `match`: the hash that must be the current one ("*": any,
 * NULL: whatever there is); FB_E_SERVER_MATCH when it is not. *ret_version is held. *ret_new: there was no such name. */
fb_status fb_shelf_put(fb_shelf *shelf, fb_slice name, fb_slice text, const char *file,
                       const char *folder, const char *match, fb_edition **ret_version,
                       bool *ret_new, fb_errors *errors);
/* Held until fb_edition_drop; number 0: the newest. NULL: there is none. */
fb_edition *fb_shelf_get(fb_shelf *shelf, fb_slice name, uint32_t number);
fb_status fb_shelf_delete(fb_shelf *shelf, fb_slice name);
/* One that has no name. */
fb_status fb_edition_new(fb_slice text, const char *file, const char *folder, fb_shelf_kind kind,
                         fb_edition **ret_version, fb_errors *errors);
void fb_edition_hold(fb_edition *version);
void fb_edition_drop(fb_edition *version);
/* Calls fn for each name, in order, with its newest version and how many versions it has. */
void fb_shelf_each(fb_shelf *shelf,
                   void (*fn)(void *context, fb_slice name, const fb_edition *newest,
                              uint32_t versions),
                   void *context);
uint32_t fb_shelf_count(fb_shelf *shelf);
/* An event of kind `word`. Number 0: it is gone. */
void fb_shelf_publish(fb_server *server, const char *word, fb_slice name, uint32_t number,
                      fb_slice by);

/* Rulebooks that came within requests, by their text: the last ones are kept. */
typedef struct fb_recent fb_recent;
fb_status fb_recent_new(fb_recent **ret_recent);
void fb_recent_free(fb_recent *recent);
/* As fb_edition_new, held. */
fb_status fb_recent_get(fb_recent *recent, fb_slice text, const char *file,
                        fb_edition **ret_version, fb_errors *errors);

/* ── Seats: sessions that are used again and again ── */

typedef struct fb_seat fb_seat;
struct fb_seat {
  fb_seat *next;
  fb_session *session;
  fb_zones *zones;
  fb_seat_kind kind;
  bool replays; /* the clock goes along with the facts that come */
  uint64_t uses;
  struct fb_verdict *verdict; /* of who has it now */
};

/* What comes of an evaluation; decisions are written as they come. */
typedef struct fb_verdict {
  fb_request *request;
  bool explain,
      lines; /* lines: NDJSON into the reply, by way of `decisions`; else the items of three lists */
  fb_buf decisions, logs, errors;
  uint64_t facts, decision_count, error_count, refused;
  fb_arena arena;   /* of one decision */
  fb_status failed; /* of the reply's spool */
  /* What becomes of decisions instead of JSON; NULL: JSON. */
  fb_status (*decided)(void *context, const fb_decision *decision);
  void *context;
} fb_verdict;

void fb_verdict_init(fb_verdict *verdict, fb_request *request, bool lines);
void fb_verdict_release(fb_verdict *verdict);
/* A fact that is none, or does not fit; or what a rule failed with. */
void fb_verdict_error(fb_verdict *verdict, const fb_error *err);
/* Of lines: puts what was written so far into the reply. */
fb_status fb_verdict_flush(fb_verdict *verdict);
/* The members "decisions", "logs", "errors", each with a comma before it. */
void fb_verdict_write(fb_verdict *verdict, fb_buf *out);

/* Of the version, reset; with the server's limits. NULL: no memory. */
fb_seat *fb_seat_take(fb_server *server, fb_edition *version, fb_seat_kind kind);
/* One that explains, as it was when the snapshot was taken. NULL: no memory, or it cannot be read. */
fb_seat *fb_seat_restore(fb_server *server, fb_edition *version, fb_slice snapshot);
/* Given back it waits for the next request, unless it has grown too much. */
void fb_seat_give(fb_edition *version, fb_seat *seat);
void fb_seat_free(fb_seat *seat);
void fb_seats_free(fb_edition *version);
/* Moves the session's clock to `text` (RFC 3339), firing on the way; NULL: to this moment, if the rules go by it. */
fb_status fb_seat_set_clock(fb_seat *seat, const char *text, fb_error *err);
/* An object with `type` and fields; *ret_id is not set where the clock goes along. The error has no place yet. */
fb_status fb_seat_assert(fb_seat *seat, fb_value fact, fb_fact_id *ret_id, fb_error *err);

/* ── Sessions ── */

typedef struct fb_holder fb_holder;
typedef struct fb_held fb_held;
fb_status fb_held_new(fb_server *server, fb_held **ret_held);
void fb_held_free(fb_held *held);
uint32_t fb_held_count(fb_held *held);
/* Keeps those that changed since they were last kept. Not two at once. How many could not be kept. */
uint32_t fb_held_save(fb_held *held);
/* Those that were kept, once the rulesets are there. */
void fb_held_restore(fb_held *held);

/* ── Server ── */

struct fb_server {
  const fb_allocator *allocator;
  fb_arena arena; /* of the options */
  fb_server_options options;
  const fb_clock *clock;
  struct MHD_Daemon *daemon;
  char url[160];
  char socket_path[108]; /* "": TCP */
  bool local;
  fb_tokens tokens;
  fb_jobs *jobs;
  fb_shelf *rulesets, *missions;
  fb_flows *flows;
  fb_events *events;
  fb_audit *audit;
  fb_runner *runner;
  fb_bingo *bingo;
  fb_figures *figures;
  fb_lease *lease; /* of the state's folder */
  int64_t started; /* mono */
  fb_job saver;    /* of sessions */
  _Atomic bool saves;
  int64_t saved; /* when it last began; of the ticking thread */
  fb_recent *recent;
  fb_held *held;
  fb_rate_keys *rates; /* NULL: no limit */
  fb_metrics *metrics, *own_metrics;
  struct {
    fb_counter *requests[FB_CLASSES]; /* by hundreds of the code */
    fb_histogram *seconds;
  } * counts; /* by route, and one more for what has none */
  fb_counter *decisions, *facts, *firings, *lost;
  fb_gauge *busy_gauge, *rulesets_gauge, *sessions_gauge;
  _Atomic uint32_t busy; /* requests at work */
  _Atomic uint32_t open; /* and those whose answers are on their way */
  _Atomic bool draining;
  _Atomic uint32_t clients[FB_CLIENTS];
  uint64_t seed; /* of ids and hash tables */
  _Atomic uint64_t serial;
};

int64_t fb_server_now(const fb_server *server);

/* request.c: libmicrohttpd's callbacks. */
enum MHD_Result fb_request_access(void *server, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *size, void **state);
void fb_request_completed(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_RequestTerminationCode how);

#endif
