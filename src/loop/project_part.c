/* SPDX-License-Identifier: Apache-2.0
 * Sources, sinks and schedules of a project. */
#include "loop/project.h"

#include <arpa/inet.h>
#include <stdio.h>

#define S_SECONDS(n) ((n)*INT64_C(1000000000))
#define S_TEXT FB_KIND_BIT(FB_STRING)
#define S_LIST FB_KIND_BIT(FB_LIST)
#define S_MAP FB_KIND_BIT(FB_MAP)
#define S_INT FB_KIND_BIT(FB_INT)
#define S_BOOL FB_KIND_BIT(FB_BOOL)

static const char *const S_reaches[] = {"public", "private", "any"};

const char *fb_source_kind_name(fb_source_kind kind) {
  static const char *const names[] = {"http", "command", "tail", "watch", "metrics", "missions"};
  return names[kind];
}

const char *fb_sink_kind_name(fb_sink_kind kind) {
  static const char *const names[] = {"webhook", "file", "command", "mission", "fact"};
  return names[kind];
}

/* Where clouds keep what they tell their machines. */
static bool S_is_link_local(const char *address) {
  struct in6_addr six;
  struct in_addr four;
  if (inet_pton(AF_INET, address, &four) == 1) return (ntohl(four.s_addr) >> 16) == 0xa9fe;
  if (inet_pton(AF_INET6, address, &six) != 1) return true; /* nothing that we know */
  if (IN6_IS_ADDR_LINKLOCAL(&six)) return true;
  if (IN6_IS_ADDR_V4MAPPED(&six) || IN6_IS_ADDR_V4COMPAT(&six))
    return six.s6_addr[12] == 169 && six.s6_addr[13] == 254;
  static const uint8_t cloud[8] = {0xfd, 0x00, 0x0e, 0xc2};
  return memcmp(six.s6_addr, cloud, sizeof cloud) == 0;
}

bool fb_reach_allows(fb_reach reach, const char *address) {
  if (reach == FB_REACH_ANY) return true;
  if (reach == FB_REACH_PUBLIC) return fb_net_is_public(address);
  return !S_is_link_local(address);
}

static bool S_url(fb_project_reader *reader, const fb_node *node, const char **ret_url) {
  fb_slice text = fb_node_text(node);
  bool http =
      fb_slice_starts(text, FB_SLICE("http://")) || fb_slice_starts(text, FB_SLICE("https://"));
  for (size_t i = 0; i < text.len && http; i++) http = text.ptr[i] > ' ' && text.ptr[i] != 127;
  *ret_url = fb_project_text(reader, text);
  if (!http) fb_project_fail(reader, node, "http://… or https://…", "not an address of the web");
  return http;
}

/* Which one of the keys from `first` to before `last` there is; `last` after a report. */
static uint32_t S_kind(fb_project_reader *reader, const fb_node *node, const fb_node **nodes,
                       const fb_key_spec *specs, uint32_t first, uint32_t last, const char *what) {
  char list[160];
  size_t length = 0;
  uint32_t found = last;
  for (uint32_t i = first; i < last; i++) {
    length += (size_t)snprintf(list + length, length < sizeof list ? sizeof list - length : 0,
                               "%s%s", i > first ? ", " : "", specs[i].name);
    if (!nodes[i]) continue;
    if (found != last) {
      fb_project_fail(reader, nodes[i], NULL, "%s has one kind: `%s` or `%s`", what,
                      specs[found].name, specs[i].name);
      return last;
    }
    found = i;
  }
  if (found == last)
    fb_doc_fail(reader->doc, node, reader->errors, FB_E_PROJECT_SYNTAX, list,
                "%s has a key that tells its kind", what);
  return found;
}

/* ── Sources ─────────────────────────────────────────────────────────────────────────────────── */

enum {
  O_NAME,
  O_HTTP,
  O_COMMAND,
  O_TAIL,
  O_WATCH,
  O_METRICS,
  O_MISSIONS,
  O_EVERY,
  O_TIMEOUT,
  O_PARSE,
  O_TYPE,
  O_LIFETIME,
  O_REPLACE,
  O_STAMP,
  O_FROM,
  O_ALLOW,
  O_FILES,
  O_COUNT
};

static const fb_key_spec S_source_keys[O_COUNT] = {
    [O_NAME] = {"name", S_TEXT, true},          [O_HTTP] = {"http", S_BOOL, false},
    [O_COMMAND] = {"command", S_LIST, false},   [O_TAIL] = {"tail", S_TEXT, false},
    [O_WATCH] = {"watch", S_TEXT, false},       [O_METRICS] = {"metrics", S_TEXT, false},
    [O_MISSIONS] = {"missions", S_BOOL, false}, [O_EVERY] = {"every", S_TEXT, false},
    [O_TIMEOUT] = {"timeout", S_TEXT, false},   [O_PARSE] = {"parse", S_TEXT | S_MAP, false},
    [O_TYPE] = {"type", S_TEXT, false},         [O_LIFETIME] = {"lifetime", S_TEXT, false},
    [O_REPLACE] = {"replace", S_BOOL, false},   [O_STAMP] = {"stamp", S_TEXT, false},
    [O_FROM] = {"from", S_TEXT, false},         [O_ALLOW] = {"allow", S_TEXT, false},
    [O_FILES] = {"files", S_TEXT, false}};

/* Which keys a kind takes, but name, lifetime. */
static const uint32_t S_source_takes[] = {
    [FB_SOURCE_HTTP] = 1u << O_TYPE,
    [FB_SOURCE_COMMAND] = 1u << O_EVERY | 1u << O_TIMEOUT | 1u << O_PARSE | 1u << O_TYPE |
                          1u << O_REPLACE | 1u << O_STAMP,
    [FB_SOURCE_TAIL] = 1u << O_PARSE | 1u << O_TYPE | 1u << O_STAMP | 1u << O_FROM,
    [FB_SOURCE_WATCH] = 1u << O_TYPE | 1u << O_FILES | 1u << O_EVERY,
    [FB_SOURCE_METRICS] =
        1u << O_EVERY | 1u << O_TIMEOUT | 1u << O_TYPE | 1u << O_ALLOW | 1u << O_REPLACE,
    [FB_SOURCE_MISSIONS] = 0};

static void S_reject_others(fb_project_reader *reader, const fb_node **nodes,
                            const fb_key_spec *specs, uint32_t first, uint32_t count,
                            uint32_t takes, const char *kind) {
  for (uint32_t i = first; i < count; i++)
    if (nodes[i] && !(takes >> i & 1))
      fb_project_fail(reader, nodes[i], NULL, "`%s` says nothing to `%s`", specs[i].name, kind);
}

static int64_t S_lifetime(fb_project_reader *reader, const fb_node *node, int64_t otherwise) {
  if (!node) return otherwise;
  if (fb_slice_equal(fb_node_text(node), FB_SLICE("ever"))) return FB_LIFETIME_EVER;
  if (fb_slice_equal(fb_node_text(node), FB_SLICE("once"))) return FB_LIFETIME_ONCE;
  return fb_project_duration(reader, node, otherwise);
}

static void S_source_type(fb_project_reader *reader, const fb_node *node, fb_source_plan *plan,
                          const char *otherwise) {
  plan->parse.type = fb_slice_of(otherwise);
  if (!node) return;
  plan->parse.type = fb_node_text(node);
  if (!plan->parse.type.len) fb_project_fail(reader, node, NULL, "a type has a name");
}

static void S_command(fb_project_reader *reader, const fb_node *node, const fb_node **nodes,
                      fb_source_plan *plan) {
  plan->argv = fb_project_argv(reader, nodes[O_COMMAND]);
  plan->replace = !nodes[O_REPLACE] || nodes[O_REPLACE]->as.scalar.as.b;
  plan->parse.kind = FB_PARSE_NDJSON;
  fb_project_parse(reader, nodes[O_PARSE], &plan->parse);
  S_source_type(reader, nodes[O_TYPE], plan, "");
  if (!nodes[O_EVERY])
    fb_doc_fail(reader->doc, node, reader->errors, FB_E_PROJECT_SYNTAX, "every: 30s",
                "a command says how often it is run");
}

static void S_tail(fb_project_reader *reader, const fb_node **nodes, fb_source_plan *plan) {
  static const char *const from[] = {"end", "start"};
  plan->path = fb_project_path(reader, nodes[O_TAIL]);
  plan->parse.kind = FB_PARSE_LINES;
  fb_project_parse(reader, nodes[O_PARSE], &plan->parse);
  S_source_type(reader, nodes[O_TYPE], plan, plan->parse.kind == FB_PARSE_NDJSON ? "" : "line");
  plan->from_here = fb_project_choice(reader, nodes[O_FROM], from, 2, 0) == 0;
  if (plan->parse.kind == FB_PARSE_JSON)
    fb_project_fail(reader, nodes[O_PARSE], "ndjson", "a file that grows is no JSON");
  if (plan->parse.kind == FB_PARSE_CSV && !plan->parse.count)
    fb_project_fail(reader, nodes[O_PARSE], "parse: {csv: [name, name, …]}",
                    "the columns of a file that grows are named");
}

static void S_metrics(fb_project_reader *reader, const fb_node **nodes, fb_source_plan *plan) {
  if (!fb_slice_equal(fb_node_text(nodes[O_METRICS]), FB_SLICE("own")))
    S_url(reader, nodes[O_METRICS], &plan->url);
  plan->replace = !nodes[O_REPLACE] || nodes[O_REPLACE]->as.scalar.as.b;
  S_source_type(reader, nodes[O_TYPE], plan, "metric");
}

bool fb_project_source(fb_project_reader *reader, const fb_node *node, fb_source_plan *plan) {
  const fb_node *nodes[O_COUNT];
  size_t before = fb_errors_total(reader->errors);
  fb_doc_keys(reader->doc, node, "a source", S_source_keys, O_COUNT, nodes, reader->errors);
  if (node->kind != FB_MAP) return false;
  if (nodes[O_NAME]) fb_project_name(reader, nodes[O_NAME], &plan->name);
  uint32_t kind = S_kind(reader, node, nodes, S_source_keys, O_HTTP, O_EVERY, "a source");
  if (kind == O_EVERY) return false;
  plan->kind = (fb_source_kind)(kind - O_HTTP);
  plan->line = node->line;
  plan->text = (fb_slice){fb_doc_text(reader->doc).ptr + node->offset, node->length};
  S_reject_others(reader, nodes, S_source_keys, O_EVERY, O_COUNT,
                  S_source_takes[plan->kind] | 1u << O_LIFETIME, S_source_keys[kind].name);
  plan->every = fb_project_duration(reader, nodes[O_EVERY],
                                    plan->kind == FB_SOURCE_WATCH ? S_SECONDS(1) : S_SECONDS(15));
  if (plan->every < 10000000)
    fb_project_fail(reader, nodes[O_EVERY], NULL, "at most 100 times a second");
  plan->timeout = fb_project_duration(reader, nodes[O_TIMEOUT], S_SECONDS(30));
  plan->reach = (fb_reach)fb_project_choice(reader, nodes[O_ALLOW], S_reaches, 3, 0);
  if (nodes[O_STAMP]) plan->parse.stamp = fb_project_text(reader, fb_node_text(nodes[O_STAMP]));
  if (nodes[O_FILES]) plan->glob = fb_project_text(reader, fb_node_text(nodes[O_FILES]));
  plan->lifetime = FB_LIFETIME_EVER;
  switch (plan->kind) {
    case FB_SOURCE_HTTP: S_source_type(reader, nodes[O_TYPE], plan, ""); break;
    case FB_SOURCE_COMMAND: S_command(reader, node, nodes, plan); break;
    case FB_SOURCE_TAIL:
      S_tail(reader, nodes, plan);
      plan->lifetime = S_SECONDS(3600);
      break;
    case FB_SOURCE_WATCH:
      plan->path = fb_project_path(reader, nodes[O_WATCH]);
      S_source_type(reader, nodes[O_TYPE], plan, "file");
      plan->lifetime = S_SECONDS(3600);
      break;
    case FB_SOURCE_METRICS: S_metrics(reader, nodes, plan); break;
    case FB_SOURCE_MISSIONS: plan->lifetime = S_SECONDS(3600); break;
  }
  plan->lifetime = S_lifetime(reader, nodes[O_LIFETIME], plan->lifetime);
  return fb_errors_total(reader->errors) == before;
}

/* ── Sinks ───────────────────────────────────────────────────────────────────────────────────── */

enum {
  I_NAME,
  I_WEBHOOK,
  I_FILE,
  I_COMMAND,
  I_MISSION,
  I_FACT,
  I_DECISIONS,
  I_SECRET,
  I_ALLOW,
  I_TIMEOUT,
  I_RETRY,
  I_PARALLEL,
  I_ROTATE,
  I_KEEP,
  I_SYNC,
  I_LIFETIME,
  I_COUNT
};

static const fb_key_spec S_sink_keys[I_COUNT] = {[I_NAME] = {"name", S_TEXT, true},
                                                 [I_WEBHOOK] = {"webhook", S_TEXT, false},
                                                 [I_FILE] = {"file", S_TEXT, false},
                                                 [I_COMMAND] = {"command", S_LIST, false},
                                                 [I_MISSION] = {"mission", S_TEXT, false},
                                                 [I_FACT] = {"fact", S_TEXT, false},
                                                 [I_DECISIONS] = {"decisions", S_LIST, false},
                                                 [I_SECRET] = {"secret_file", S_TEXT, false},
                                                 [I_ALLOW] = {"allow", S_TEXT, false},
                                                 [I_TIMEOUT] = {"timeout", S_TEXT, false},
                                                 [I_RETRY] = {"retry", S_INT | S_MAP, false},
                                                 [I_PARALLEL] = {"parallel", S_INT, false},
                                                 [I_ROTATE] = {"rotate", S_TEXT, false},
                                                 [I_KEEP] = {"keep", S_INT, false},
                                                 [I_SYNC] = {"sync", S_BOOL, false},
                                                 [I_LIFETIME] = {"lifetime", S_TEXT, false}};

static const uint32_t S_sink_takes[] = {
    [FB_SINK_WEBHOOK] =
        1u << I_SECRET | 1u << I_ALLOW | 1u << I_TIMEOUT | 1u << I_RETRY | 1u << I_PARALLEL,
    [FB_SINK_FILE] = 1u << I_ROTATE | 1u << I_KEEP | 1u << I_SYNC,
    [FB_SINK_COMMAND] = 1u << I_TIMEOUT | 1u << I_RETRY | 1u << I_PARALLEL,
    [FB_SINK_MISSION] = 0,
    [FB_SINK_FACT] = 1u << I_LIFETIME};

static void S_decisions(fb_project_reader *reader, const fb_node *node, fb_sink_plan *plan) {
  if (!node) return;
  if (!node->count) {
    fb_project_fail(reader, node, "without `decisions` it takes all", "no types of decisions");
    return;
  }
  fb_slice *types = fb_arena_zero(&reader->project->arena, node->count * sizeof *types);
  reader->out_of_memory |= !types;
  for (uint32_t i = 0; types && i < node->count; i++) {
    if (node->as.items[i].kind != FB_STRING)
      fb_project_fail(reader, &node->as.items[i], "what stands after `emit:`",
                      "a type of decisions is a text");
    else
      types[i] = fb_node_text(&node->as.items[i]);
  }
  plan->decisions = types;
  plan->decision_count = types ? node->count : 0;
}

enum { SECRET_MAX = 4096 };

static void S_secret(fb_project_reader *reader, const fb_node *node, fb_sink_plan *plan) {
  fb_error err = {0};
  fb_buf text;
  const fb_world *world = reader->project->world;
  const char *path = fb_project_path(reader, node);
  if (!path || !reader->files) return;
  fb_buf_init(&text, reader->project->allocator, 0);
  fb_status status = world->read(world->context, path, 0, SECRET_MAX, &text, NULL, &err);
  while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r')) text.len--;
  if (status)
    fb_project_fail(reader, node, "a file with the secret alone", "%s", err.text);
  else if (text.len < 16)
    fb_project_fail(reader, node, "openssl rand -hex 32", "a secret has 16 bytes at least");
  else
    plan->secret = (fb_slice){fb_project_text(reader, fb_buf_slice(&text)), text.len};
  if (!plan->secret.ptr) plan->secret.len = 0;
  fb_buf_release(&text);
}

static void S_retry(fb_project_reader *reader, const fb_node *node, bool http, fb_sink_plan *plan) {
  fb_guard_reader guard = {
      .doc = reader->doc, .errors = reader->errors, .arena = &reader->project->arena};
  plan->retry = fb_retry_policy_default();
  plan->retry.attempts = http ? 8 : 1;
  plan->retry.max = S_SECONDS(60);
  if (!node) return;
  fb_retry_doc *retry = fb_arena_zero(guard.arena, sizeof *retry);
  if (!retry) {
    reader->out_of_memory = true;
    return;
  }
  fb_guard_read_retry(&guard, node, http, retry);
  reader->out_of_memory |= guard.out_of_memory;
  plan->retry = retry->policy;
  plan->retry.retryable = NULL; /* the sink itself knows what is final */
}

static void S_target(fb_project_reader *reader, const fb_node *node, fb_sink_plan *plan) {
  plan->target = fb_node_text(node);
  if (plan->kind == FB_SINK_MISSION && reader->files &&
      !fb_project_mission(reader->project, plan->target))
    fb_doc_fail(reader->doc, node, reader->errors, FB_E_PROJECT_UNKNOWN,
                "missions stand under `missions:`", "there is no mission `%.*s`",
                (int)(plan->target.len < 80 ? plan->target.len : 80), plan->target.ptr);
  if (plan->kind == FB_SINK_FACT && !plan->target.len)
    fb_project_fail(reader, node, NULL, "the type of the facts that decisions become");
}

bool fb_project_sink(fb_project_reader *reader, const fb_node *node, fb_sink_plan *plan) {
  const fb_node *nodes[I_COUNT];
  size_t before = fb_errors_total(reader->errors);
  fb_doc_keys(reader->doc, node, "a sink", S_sink_keys, I_COUNT, nodes, reader->errors);
  if (node->kind != FB_MAP) return false;
  if (nodes[I_NAME]) fb_project_name(reader, nodes[I_NAME], &plan->name);
  uint32_t kind = S_kind(reader, node, nodes, S_sink_keys, I_WEBHOOK, I_DECISIONS, "a sink");
  if (kind == I_DECISIONS) return false;
  plan->kind = (fb_sink_kind)(kind - I_WEBHOOK);
  plan->text = (fb_slice){fb_doc_text(reader->doc).ptr + node->offset, node->length};
  S_reject_others(reader, nodes, S_sink_keys, I_SECRET, I_COUNT, S_sink_takes[plan->kind],
                  S_sink_keys[kind].name);
  S_decisions(reader, nodes[I_DECISIONS], plan);
  plan->reach = (fb_reach)fb_project_choice(reader, nodes[I_ALLOW], S_reaches, 3, 0);
  plan->timeout = fb_project_duration(reader, nodes[I_TIMEOUT], S_SECONDS(10));
  plan->parallel = (uint32_t)fb_project_number(reader, nodes[I_PARALLEL], 1, 64, 1);
  plan->rotate_size = fb_project_size(reader, nodes[I_ROTATE], 0);
  plan->rotate_keep = (uint32_t)fb_project_number(reader, nodes[I_KEEP], 1, 1000, 5);
  plan->sync = nodes[I_SYNC] && nodes[I_SYNC]->as.scalar.as.b;
  plan->lifetime = S_lifetime(reader, nodes[I_LIFETIME], FB_LIFETIME_ONCE);
  S_retry(reader, nodes[I_RETRY], plan->kind == FB_SINK_WEBHOOK, plan);
  switch (plan->kind) {
    case FB_SINK_WEBHOOK:
      S_url(reader, nodes[I_WEBHOOK], &plan->url);
      if (nodes[I_SECRET]) S_secret(reader, nodes[I_SECRET], plan);
      break;
    case FB_SINK_FILE: plan->path = fb_project_path(reader, nodes[I_FILE]); break;
    case FB_SINK_COMMAND: plan->argv = fb_project_argv(reader, nodes[I_COMMAND]); break;
    case FB_SINK_MISSION:
    case FB_SINK_FACT: S_target(reader, nodes[kind], plan); break;
  }
  return fb_errors_total(reader->errors) == before;
}

/* ── Schedules ───────────────────────────────────────────────────────────────────────────────── */

enum { C_NAME, C_CRON, C_ZONE, C_MISSED, C_MISSION, C_TYPE, C_WITH, C_COUNT };

static void S_cron(fb_project_reader *reader, const fb_node *node, fb_schedule_plan *plan) {
  fb_error err = {0};
  size_t offset = 0;
  plan->cron_text = fb_project_text(reader, fb_node_text(node));
  if (!fb_cron_parse(fb_node_text(node), &plan->cron, &offset, &err)) return;
  fb_doc_relocate(reader->doc, node, offset, 1, &err);
  fb_errors_add(reader->errors, &err);
}

static void S_zone(fb_project_reader *reader, const fb_node *node, fb_schedule_plan *plan) {
  int32_t offset;
  plan->zone = "UTC";
  if (!node) return;
  plan->zone = fb_project_text(reader, fb_node_text(node));
  if (fb_slice_equal(fb_node_text(node), FB_SLICE("UTC")) || !reader->files) return;
  if (!fb_zone_system(NULL, fb_node_text(node), 0, &offset))
    fb_project_fail(reader, node, "as in Europe/Berlin; the package tzdata has the zones",
                    "there is no time zone of this name");
}

bool fb_project_schedule(fb_project_reader *reader, const fb_node *node, fb_schedule_plan *plan) {
  static const fb_key_spec specs[C_COUNT] = {
      [C_NAME] = {"name", S_TEXT, true},        [C_CRON] = {"cron", S_TEXT, true},
      [C_ZONE] = {"zone", S_TEXT, false},       [C_MISSED] = {"missed", S_TEXT, false},
      [C_MISSION] = {"mission", S_TEXT, false}, [C_TYPE] = {"fact", S_TEXT, false},
      [C_WITH] = {"with", S_MAP, false}};
  static const char *const missed[] = {"once", "skip", "all"};
  const fb_node *nodes[C_COUNT];
  size_t before = fb_errors_total(reader->errors);
  fb_doc_keys(reader->doc, node, "a schedule", specs, C_COUNT, nodes, reader->errors);
  if (node->kind != FB_MAP) return false;
  if (nodes[C_NAME]) fb_project_name(reader, nodes[C_NAME], &plan->name);
  if (nodes[C_CRON]) S_cron(reader, nodes[C_CRON], plan);
  S_zone(reader, nodes[C_ZONE], plan);
  plan->text = (fb_slice){fb_doc_text(reader->doc).ptr + node->offset, node->length};
  plan->missed = (fb_missed)fb_project_choice(reader, nodes[C_MISSED], missed, 3, FB_MISSED_ONCE);
  plan->type = nodes[C_TYPE] ? fb_node_text(nodes[C_TYPE]) : FB_SLICE("schedule");
  plan->with = fb_absent();
  if (nodes[C_MISSION] && nodes[C_TYPE])
    fb_project_fail(reader, nodes[C_TYPE], NULL, "a schedule has one of `mission` and `fact`");
  if (nodes[C_MISSION]) {
    fb_sink_plan sink = {.kind = FB_SINK_MISSION};
    S_target(reader, nodes[C_MISSION], &sink);
    plan->mission = sink.target;
  }
  if (nodes[C_WITH] &&
      fb_node_value(nodes[C_WITH], &reader->project->arena, &plan->with) == FB_E_NOMEM)
    reader->out_of_memory = true;
  return fb_errors_total(reader->errors) == before;
}
