/* SPDX-License-Identifier: Apache-2.0
 * A project, read and checked: what the loop runs. Nothing in it changes; docs/reference/project.md tells its keys. */
#ifndef FB_LOOP_PROJECT_H
#define FB_LOOP_PROJECT_H

#include "loop/cron.h"
#include "mission/guard_doc.h"

#include <flyball/loop.h>

/* A text format, and what makes a fact of a record of it. */
typedef enum fb_parse {
  FB_PARSE_NDJSON,
  FB_PARSE_JSON,
  FB_PARSE_CSV,
  FB_PARSE_LINES, /* each a fact with the field `line` */
  FB_PARSE_REGEX  /* each that matches: a field a named group */
} fb_parse;

enum { FB_COLUMNS_MAX = 64 };

typedef struct fb_parse_plan {
  fb_parse kind;
  const char *pattern;                    /* of REGEX */
  struct pcre2_real_code_8 *code;         /* of the pattern */
  const char *columns[FB_COLUMNS_MAX];    /* names of the groups, or of CSV without a head */
  uint32_t groups[FB_COLUMNS_MAX], count; /* numbers of the groups */
  fb_slice type;                          /* of facts that do not tell theirs; "" : none */
  const char *stamp; /* the field with the time at which it was read; NULL: none */
} fb_parse_plan;

/* How long facts of a source stay. */
#define FB_LIFETIME_EVER INT64_C(0)
#define FB_LIFETIME_ONCE INT64_C(-1) /* gone as soon as the rules had their say */

typedef enum fb_source_kind {
  FB_SOURCE_HTTP,
  FB_SOURCE_COMMAND,
  FB_SOURCE_TAIL,
  FB_SOURCE_WATCH,
  FB_SOURCE_METRICS,
  FB_SOURCE_MISSIONS
} fb_source_kind;
const char *fb_source_kind_name(fb_source_kind kind);

/* Which addresses may be spoken to. */
typedef enum fb_reach {
  FB_REACH_PUBLIC,
  FB_REACH_PRIVATE, /* loopback and private ones, too */
  FB_REACH_ANY      /* link-local ones as well, where clouds keep their metadata */
} fb_reach;
bool fb_reach_allows(fb_reach reach, const char *address);

typedef struct fb_source_plan {
  fb_slice name;
  fb_source_kind kind;
  fb_slice text; /* as it is written: one that reads the same is the same */
  uint32_t line;
  const char *const *argv; /* COMMAND */
  const char *path;        /* TAIL, WATCH */
  const char *glob;        /* WATCH: names of files; NULL: all */
  const char *url;         /* METRICS; NULL: our own */
  fb_reach reach;
  int64_t every, timeout; /* ns */
  fb_parse_plan parse;
  int64_t lifetime;
  bool replace;   /* what a round gives takes the place of what the one before gave */
  bool from_here; /* TAIL: what is in the file at first is passed over */
} fb_source_plan;

typedef enum fb_sink_kind {
  FB_SINK_WEBHOOK,
  FB_SINK_FILE,
  FB_SINK_COMMAND,
  FB_SINK_MISSION,
  FB_SINK_FACT
} fb_sink_kind;
const char *fb_sink_kind_name(fb_sink_kind kind);

typedef struct fb_sink_plan {
  fb_slice name;
  fb_sink_kind kind;
  fb_slice text;
  const fb_slice *decisions; /* types that it takes */
  uint32_t decision_count;   /* 0: all */
  const char *url, *path;    /* WEBHOOK; FILE */
  const char *const *argv;   /* COMMAND */
  fb_slice target;           /* MISSION: its name; FACT: the type, "" : the decision's */
  fb_slice secret;           /* WEBHOOK: signs; "" : does not */
  fb_reach reach;
  int64_t timeout, lifetime;
  uint32_t parallel; /* deliveries at once */
  fb_retry_policy retry;
  uint64_t rotate_size; /* FILE; 0: never */
  uint32_t rotate_keep;
  bool sync; /* FILE: on disk before it counts as delivered */
} fb_sink_plan;

typedef struct fb_schedule_plan {
  fb_slice name, text;
  const char *cron_text, *zone; /* zone "UTC" if it does not say */
  fb_cron cron;
  fb_missed missed;
  fb_slice mission; /* "" : a fact */
  fb_slice type;
  fb_value with; /* a map, or FB_ABSENT */
} fb_schedule_plan;

typedef struct fb_book_plan {
  fb_slice name;
  const char *path;
  fb_slice text;
  fb_ruleset *set; /* NULL: files were not read */
} fb_book_plan;

typedef struct fb_mission_plan {
  fb_slice name;
  const char *path;
  fb_doc *doc;
  fb_mission *mission; /* NULL: files were not read */
} fb_mission_plan;

typedef enum fb_when_full { FB_FULL_BLOCK, FB_FULL_DROP, FB_FULL_REFUSE } fb_when_full;
typedef enum fb_log_facts {
  FB_LOG_FACTS_ALL,
  FB_LOG_FACTS_DURABLE,
  FB_LOG_FACTS_NONE
} fb_log_facts;

struct fb_project {
  const fb_allocator *allocator;
  fb_arena arena;
  _Atomic uint32_t users;
  fb_doc *doc;
  const char *file, *folder; /* as messages call it; with its files, no slash at the end */
  fb_slice name;
  fb_world *world; /* whose reading missions keep; NULL: files were not read */
  fb_book_plan *books;
  fb_mission_plan *missions;
  fb_source_plan *sources;
  fb_sink_plan *sinks;
  fb_schedule_plan *schedules;
  uint32_t book_count, mission_count, source_count, sink_count, schedule_count;
  fb_when_full when_full;
  uint64_t queue, facts, firings, memory,
      pending;                          /* limits; `queue` facts, `pending` deliveries a sink */
  uint32_t runs;                        /* missions at once */
  int64_t snapshot_every, reload_every; /* ns; 0: never */
  fb_log_facts log;
};

/* What the reader's files share. */
typedef struct fb_project_reader {
  fb_project *project;
  const fb_doc *doc;
  fb_errors *errors, *warnings;
  bool out_of_memory;
  bool files; /* read them */
} fb_project_reader;

/* project_part.c */
bool fb_project_source(fb_project_reader *reader, const fb_node *node, fb_source_plan *plan);
bool fb_project_sink(fb_project_reader *reader, const fb_node *node, fb_sink_plan *plan);
bool fb_project_schedule(fb_project_reader *reader, const fb_node *node, fb_schedule_plan *plan);
/* project_value.c: each reports what does not fit. NULL nodes give `otherwise`. */
fb_status fb_project_fail(fb_project_reader *reader, const fb_node *node, const char *hint,
                          const char *format, ...) FB_PRINTF(4, 5);
int64_t fb_project_duration(fb_project_reader *reader, const fb_node *node, int64_t otherwise);
uint64_t fb_project_size(fb_project_reader *reader, const fb_node *node, uint64_t otherwise);
uint64_t fb_project_number(fb_project_reader *reader, const fb_node *node, uint64_t least,
                           uint64_t most, uint64_t otherwise);
const char *fb_project_text(fb_project_reader *reader, fb_slice text);
/* Within the project's folder, unless it begins with a slash. */
const char *fb_project_path(fb_project_reader *reader, const fb_node *node);
/* The number of the choice that the text is. */
uint32_t fb_project_choice(fb_project_reader *reader, const fb_node *node,
                           const char *const *choices, uint32_t count, uint32_t otherwise);
const char *const *fb_project_argv(fb_project_reader *reader, const fb_node *node);
void fb_project_parse(fb_project_reader *reader, const fb_node *node, fb_parse_plan *plan);
bool fb_project_name(fb_project_reader *reader, const fb_node *node, fb_slice *ret_name);

fb_mission *fb_project_mission(const fb_project *project, fb_slice name);
void fb_project_hold(fb_project *project);

#endif
