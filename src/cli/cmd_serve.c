/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_store.h"

#include <flyball/loop.h>
#include <flyball/server.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { TOKENS_MAX = 1 << 20 };

typedef struct S_serve {
  fb_cli *cli;
  fb_server *server;
  fb_loop *loop; /* NULL: no project */
  fb_metrics *metrics;
  const char *state;          /* folder; NULL: none */
  fb_server *_Atomic watched; /* the server, once it can be told what happens */
  fb_arena arena;
  fb_buf tokens;
  fb_log log;
} S_serve;

/* ── Rulesets ── */

/* "NAME=FILE", or FILE, whose name is then the file's without folder and ending. */
static fb_slice S_name(const char *given, const char **ret_path) {
  const char *equals = strchr(given, '='), *slash = strrchr(given, '/');
  if (equals && (!slash || equals < slash)) {
    *ret_path = equals + 1;
    return (fb_slice){given, (size_t)(equals - given)};
  }
  *ret_path = given;
  const char *name = slash ? slash + 1 : given, *dot = strrchr(name, '.');
  return (fb_slice){name, dot && dot > name ? (size_t)(dot - name) : strlen(name)};
}

typedef struct S_put {
  fb_server *server;
  fb_slice name;
} S_put;

/* Clients see the file's name in errors, and no more of where it lies. */
static fb_status S_put_ruleset(void *into, fb_slice text, const char *path, fb_errors *errors) {
  const S_put *put = into;
  const char *slash = strrchr(path, '/');
  return fb_server_put_ruleset(put->server, put->name, text, slash ? slash + 1 : path, errors);
}

/* The folder of a file, as the server keeps it. */
static fb_slice S_folder(const char *path, char out[4096]) {
  char *slash;
  if (!realpath(path, out) || !(slash = strrchr(out, '/'))) return FB_SLICE(".");
  slash[slash == out] = 0;
  return fb_slice_of(out);
}

static fb_status S_put_mission(void *into, fb_slice text, const char *path, fb_errors *errors) {
  const S_put *put = into;
  const char *slash = strrchr(path, '/');
  char folder[4096];
  return fb_server_put_mission(put->server, put->name, text, slash ? slash + 1 : path,
                               S_folder(path, folder).ptr, errors);
}

static int S_load_one(S_serve *serve, const char *given, bool mission) {
  const char *path;
  S_put put = {serve->server, S_name(given, &path)};
  return fb_cli_load(serve->cli, path, FB_CLI_RULEBOOK_MAX, mission ? S_put_mission : S_put_ruleset,
                     &put);
}

static int S_load_all(S_serve *serve, const char *option, bool mission) {
  int worst = FB_EXIT_OK;
  size_t at = 0;
  for (const char *given; (given = fb_cli_next(serve->cli, option, &at));) {
    int code = S_load_one(serve, given, mission);
    if (code != FB_EXIT_OK) worst = code;
  }
  return worst;
}

static int S_load(S_serve *serve) {
  int rules = S_load_all(serve, "rules", false), missions = S_load_all(serve, "mission", true);
  return rules != FB_EXIT_OK ? rules : missions;
}

/* ── The project ── */

/* What is given; else the current folder, if it has one and no rulebooks are given. */
static const char *S_project_path(fb_cli *cli) {
  size_t at = 0;
  const char *path = fb_cli_text(cli, "project", NULL);
  if (path || fb_cli_next(cli, "rules", &at)) return path;
  return access("flyball.yaml", R_OK) == 0 ? "." : NULL;
}

static int S_load_project(S_serve *serve, const char *path) {
  fb_project *project;
  fb_errors errors, warnings;
  fb_errors_init(&errors, NULL, 0);
  fb_errors_init(&warnings, NULL, 0);
  fb_status status = fb_project_load(path, NULL, &project, &errors, &warnings);
  int code = fb_cli_errors(serve->cli, &errors);
  if (!status) {
    fb_cli_warnings(serve->cli, &warnings);
    serve->state = fb_cli_state_folder(serve->cli, fb_project_name_of(project), &serve->arena);
    if (!serve->state) code = FB_EXIT_OUTSIDE;
    fb_project_free(project);
  }
  fb_errors_release(&errors);
  fb_errors_release(&warnings);
  return code;
}

static void S_event(void *context, const char *kind, fb_slice members) {
  S_serve *serve = context;
  fb_server *server = serve->watched;
  if (server) fb_server_publish(server, kind, members);
}

/* What the loop holds is in a folder of its own; runs lie where the server shows them. */
static int S_start_loop(S_serve *serve) {
  fb_cli *cli = serve->cli;
  const char *path = S_project_path(cli);
  fb_errors errors;
  fb_error err;
  serve->state = fb_cli_text(cli, "state", NULL);
  if (!path) return FB_EXIT_OK;
  int code = S_load_project(serve, path);
  if (code) return code;
  if (fb_metrics_new(NULL, &serve->metrics, &err)) return fb_cli_error(cli, &err);
  fb_errors_init(&errors, NULL, 0);
  fb_loop_options options = {.path = path,
                             .state = fb_arena_printf(&serve->arena, "%s/loop", serve->state),
                             .runs = fb_arena_printf(&serve->arena, "%s/runs", serve->state),
                             .env = (const char *const *)environ,
                             .log = &serve->log,
                             .metrics = serve->metrics,
                             .event = S_event,
                             .context = serve};
  if (!options.state || !options.runs) return fb_cli_fail(cli, FB_E_NOMEM, "out of memory");
  fb_loop_new(&options, NULL, &serve->loop, &errors, NULL);
  code = fb_cli_errors(cli, &errors);
  fb_errors_release(&errors);
  return code;
}

static void S_put_mission_at(S_serve *serve, fb_slice name, const char *path,
                             const fb_mission *mission, fb_errors *errors) {
  const char *slash = strrchr(path, '/');
  const char *folder =
      slash ? fb_arena_text(&serve->arena, (fb_slice){path, (size_t)(slash - path)}) : ".";
  fb_server_put_mission(serve->server, name, fb_doc_text(fb_mission_doc(mission)),
                        slash ? slash + 1 : path, folder && *folder ? folder : "/", errors);
}

/* Its rulebooks and missions can be asked for like any others, apart from what the loop holds. */
static int S_put_parts(S_serve *serve) {
  fb_project *project = serve->loop ? fb_loop_project(serve->loop) : NULL;
  fb_slice name, text;
  const char *path;
  const fb_mission *mission;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  for (uint32_t i = 0; project && fb_project_book(project, i, &name, &path, &text); i++) {
    const char *slash = strrchr(path, '/');
    fb_server_put_ruleset(serve->server, name, text, slash ? slash + 1 : path, &errors);
  }
  for (uint32_t i = 0; project && fb_project_mission_at(project, i, &name, &path, &mission); i++)
    S_put_mission_at(serve, name, path, mission, &errors);
  if (project) fb_project_free(project);
  int code = fb_cli_errors(serve->cli, &errors);
  fb_errors_release(&errors);
  return code;
}

static int S_reload_project(S_serve *serve) {
  fb_errors errors;
  if (!serve->loop) return FB_EXIT_OK;
  fb_errors_init(&errors, NULL, 0);
  fb_loop_reload(serve->loop, &errors);
  int code = fb_cli_errors(serve->cli, &errors);
  fb_errors_release(&errors);
  return code ? code : S_put_parts(serve);
}

/* ── Telling ── */

static void S_line(void *context, const char *line, size_t length) {
  (void)context;
  fwrite(line, 1, length, stderr);
}

/* systemd's protocol: a datagram to a socket that the environment names. */
static void S_notify(const char *text) {
  const char *path = getenv("NOTIFY_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
    return;
  memcpy(address.sun_path, path, strlen(path));
  if (path[0] == '@') address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
  close(fd);
}

static void S_tell(S_serve *serve) {
  const char *url = fb_server_url(serve->server);
  if (serve->cli->json)
    fb_out_printf(serve->cli, "{\"type\":\"flyball.serve.v1\",\"url\":\"%s\"}\n", url);
  else
    fb_cli_note(serve->cli, "listening on %s", url);
  fb_out_flush(serve->cli);
  S_notify("READY=1");
}

/* ── The run ── */

static int S_tokens(S_serve *serve) {
  const char *path = fb_cli_text(serve->cli, "tokens", NULL);
  fb_error err;
  if (!path) return FB_EXIT_OK;
  return fb_cli_read(path, TOKENS_MAX, &serve->tokens, &err) == FB_OK
             ? FB_EXIT_OK
             : fb_cli_error(serve->cli, &err);
}

static int S_start(S_serve *serve) {
  fb_cli *cli = serve->cli;
  fb_error err;
  fb_server_options options = {
      .bind = fb_cli_text(cli, "listen", NULL),
      .threads = (uint32_t)fb_cli_number(cli, "threads", 0),
      .tokens = fb_buf_slice(&serve->tokens),
      .tls_certificate = fb_cli_text(cli, "tls-certificate", NULL),
      .tls_key = fb_cli_text(cli, "tls-key", NULL),
      .max_body = fb_cli_number(cli, "max-body", 0),
      .max_facts = fb_cli_number(cli, "max-facts", 0),
      .max_firings = fb_cli_number(cli, "max-firings", 0),
      .max_time = fb_cli_duration(cli, "max-time", 0),
      .max_sessions = (uint32_t)fb_cli_number(cli, "max-sessions", 0),
      .max_busy = (uint32_t)fb_cli_number(cli, "max-busy", 0),
      .max_client = (uint32_t)fb_cli_number(cli, "max-client", 0),
      .rate = (uint32_t)fb_cli_number(cli, "rate", 0),
      .session_idle = fb_cli_duration(cli, "session-idle", 0),
      .max_explained = fb_cli_number(cli, "max-explained", 0),
      .snapshot = fb_cli_duration(cli, "snapshot", 0),
      .max_runs = (uint32_t)fb_cli_number(cli, "max-runs", 0),
      .state = serve->state,
      .history = fb_cli_text(cli, "history", NULL),
      .folder = getenv("TMPDIR"),
      .log = &serve->log,
      .metrics = serve->metrics,
      .loop = serve->loop,
  };
  if (fb_server_new(&options, NULL, &serve->server, &err) == FB_OK) return FB_EXIT_OK;
  return fb_cli_error(cli, &err);
}

/* Until SIGTERM or SIGINT; SIGHUP reads the rulebooks again. Which signal it was. */
static int S_wait(S_serve *serve, const sigset_t *signals) {
  for (;;) {
    int number = 0;
    sigwait(signals, &number);
    if (number != SIGHUP) return number;
    S_notify("RELOADING=1");
    int code = S_load(serve), project = S_reload_project(serve);
    if (!code) code = project;
    fb_log_write(&serve->log, code == FB_EXIT_OK ? FB_LOG_INFO : FB_LOG_ERROR,
                 code == FB_EXIT_OK ? "all was read again"
                                    : "something does not load; what was before stays",
                 NULL);
    S_notify("READY=1");
  }
}

static void S_end(S_serve *serve, const sigset_t *signals) {
  int64_t grace = fb_cli_duration(serve->cli, "grace", INT64_C(10000000000));
  S_notify("STOPPING=1");
  fb_cli_note(serve->cli, "waiting for what is under way");
  pthread_sigmask(SIG_UNBLOCK, signals, NULL); /* a second signal ends it at once */
  if (!fb_server_drain(serve->server, grace))
    fb_log_write(&serve->log, FB_LOG_WARN, "some requests were cut off", NULL);
  fb_loop_stop(serve->loop, grace);
}

static const char *const S_levels[] = {"debug", "info", "warn", "error", "off", NULL};

static fb_log_level S_level(const char *name) {
  int level = 0;
  while (S_levels[level] && strcmp(S_levels[level], name) != 0) level++;
  return (fb_log_level)level;
}

static const char *const S_formats[] = {"text", "json", NULL};

static fb_log_format S_format(fb_cli *cli) {
  const char *given = fb_cli_text(cli, "log-format", cli->json ? "json" : "text");
  return strcmp(given, "json") == 0 ? FB_LOG_JSON : FB_LOG_TEXT;
}

static int S_run(fb_cli *cli) {
  S_serve serve = {.cli = cli,
                   .log = {.level = S_level(fb_cli_text(cli, "log-level", "info")),
                           .format = S_format(cli),
                           .clock = fb_clock_system(),
                           .sink = S_line}};
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before threads are made, which inherit it */
  fb_buf_init(&serve.tokens, NULL, 0);
  fb_arena_init(&serve.arena, NULL, 0);
  int code = S_tokens(&serve);
  if (code == FB_EXIT_OK) code = S_start_loop(&serve);
  if (code == FB_EXIT_OK) code = S_start(&serve);
  if (code == FB_EXIT_OK) code = S_load(&serve);
  if (code == FB_EXIT_OK) code = S_put_parts(&serve);
  if (code == FB_EXIT_OK) serve.watched = serve.server;
  if (code == FB_EXIT_OK) {
    S_tell(&serve);
    S_wait(&serve, &signals);
    S_end(&serve, &signals);
  }
  fb_loop_stop(serve.loop, 0); /* it tells the server what happens */
  fb_server_free(serve.server);
  fb_loop_free(serve.loop);
  fb_metrics_free(serve.metrics);
  fb_arena_release(&serve.arena);
  fb_buf_release(&serve.tokens);
  return code;
}

static const fb_option S_options[] = {
    {'l', "listen", FB_OPTION_TEXT, "ADDRESS",
     "Where to listen: `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`; `127.0.0.1:8080` if not given; "
     "port 0 "
     "takes a free one",
     NULL, "FLYBALL_LISTEN", false},
    {'r', "rules", FB_OPTION_FILE, "[NAME=]FILE",
     "A rulebook to keep as a ruleset; its name is that of the file if none is given", NULL, NULL,
     true},
    {'m', "mission", FB_OPTION_FILE, "[NAME=]FILE",
     "A mission that clients may start; its name is that of the file if none is given", NULL, NULL,
     true},
    {0, "state", FB_OPTION_FILE, "DIR",
     "Keep there what is to outlive the server: rulesets, sessions, missions, runs, the audit, and "
     "what a "
     "project holds; without it and a project nothing does, and there are no missions. With a "
     "project: `$STATE_DIRECTORY`, or a folder in `$XDG_STATE_HOME`, if it is not given",
     NULL, "FLYBALL_STATE", false},
    {0, "snapshot", FB_OPTION_DURATION, "TIME",
     "With `--state`, keep sessions that changed so often, `30s` if not given; and at the end",
     NULL, NULL, false},
    {0, "max-explained", FB_OPTION_NUMBER, "N",
     "Last firings of a session that explanations reach back to, 100,000 if not given", NULL, NULL,
     false},
    {0, "history", FB_OPTION_FILE, "FILE", "Show what `flyball history` keeps there", NULL, NULL,
     false},
    {0, "max-runs", FB_OPTION_NUMBER, "N", "Most runs at work at once, 4 if not given; others wait",
     NULL, NULL, false},
    {0, "tokens", FB_OPTION_FILE, "FILE",
     "Who may do what: lines of a role (`viewer`, `operator`, `admin`), a name, and the SHA-256 of "
     "the "
     "token",
     NULL, "FLYBALL_TOKENS", false},
    {0, "tls-certificate", FB_OPTION_FILE, "FILE", "Certificate chain, PEM", NULL, NULL, false},
    {0, "tls-key", FB_OPTION_FILE, "FILE", "Its key, PEM", NULL, NULL, false},
    {0, "threads", FB_OPTION_NUMBER, "N", "Threads that answer; as many as processors if not given",
     NULL, NULL, false},
    {0, "max-body", FB_OPTION_NUMBER, "BYTES", "Longest JSON or YAML body; 16 MiB if not given",
     NULL, NULL, false},
    {0, "max-facts", FB_OPTION_NUMBER, "N", "Most facts of an evaluation or a session", NULL, NULL,
     false},
    {0, "max-firings", FB_OPTION_NUMBER, "N", "Most firings of an evaluation", NULL, NULL, false},
    {0, "max-time", FB_OPTION_DURATION, "TIME", "Longest evaluation; `10s` if not given", NULL,
     NULL, false},
    {0, "max-sessions", FB_OPTION_NUMBER, "N", "Most sessions held; 1,000 if not given", NULL, NULL,
     false},
    {0, "max-busy", FB_OPTION_NUMBER, "N",
     "Most requests at work at once; more are told to come again", NULL, NULL, false},
    {0, "max-client", FB_OPTION_NUMBER, "N",
     "Most requests at work at once of one client; no limit if not given", NULL, NULL, false},
    {0, "rate", FB_OPTION_NUMBER, "N",
     "Most requests a second of one client; no limit if not given", NULL, NULL, false},
    {0, "session-idle", FB_OPTION_DURATION, "TIME",
     "Forget a session that nobody asked for in so long, when there is no room; `1h` if not given",
     NULL, NULL, false},
    {0, "grace", FB_OPTION_DURATION, "TIME",
     "At the end, wait for what is under way; `10s` if not given", NULL, NULL, false},
    {'p', "project", FB_OPTION_FILE, "FOLDER",
     "A project to run: a folder with a `flyball.yaml`; the current one, if it has one and there "
     "is "
     "no `--rules`",
     NULL, "FLYBALL_PROJECT", false},
    {0, "log-format", FB_OPTION_CHOICE, "FORMAT", "Lines for people, or JSON with trace ids",
     S_formats, "FLYBALL_LOG_FORMAT", false},
    {0, "log-level", FB_OPTION_CHOICE, "LEVEL",
     "What to tell on stderr: `debug` has a line a request, `info` (if not given) and `warn` only "
     "those "
     "that failed",
     S_levels, "FLYBALL_LOG_LEVEL", false},
    {0}};

const fb_command fb_command_serve = {
    .name = "serve",
    .summary = "Run a project, and answer over HTTP",
    .usage = "[OPTION]…",
    .description =
        "With a project it runs the loop: sources give facts, rules decide, sinks get the "
        "decisions, missions run; what it holds "
        "outlives it. `flyball check FOLDER` checks a project.\n\n"
        "Keeps rulesets and sessions and decides upon facts that come over HTTP, as JSON or "
        "NDJSON. "
        "`GET /healthz`, `/readyz` and `/metrics` are for those who watch it; the requests are in "
        "the "
        "reference of the server.\n\n"
        "Without `--tokens` everybody who reaches it may do everything: then it listens only where "
        "no "
        "other machine reaches it.\n\n"
        "SIGTERM and SIGINT let it answer what is under way and end; SIGHUP reads the rulebooks of "
        "`--rules` and the project again, and what does not load leaves what was before in its "
        "place.",
    .options = S_options,
    .examples =
        (const fb_example[]){
            {"flyball serve -r shop.yaml", "decide as shop.yaml has it"},
            {"flyball serve --project watch", "run the project in the folder watch"},
            {"flyball serve -l unix:/run/flyball.sock -r prices=rules/prices.yaml",
             "on a Unix socket, under a name"},
            {0}},
    .run = S_run,
};
