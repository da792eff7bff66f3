/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_plan.h: what `flyball bench` is to measure, put together from the command line or from a file.
 */
#ifndef FB_CLI_BENCH_PLAN_H
#define FB_CLI_BENCH_PLAN_H

#include "cli/cli.h"

#include <flyball/proof.h>

/* One candidate before parameters are put in. Texts live in the plan's arena or longer. */
typedef struct fb_bench_spec {
  const char *name;
  const char *command; /* exactly one of command, argv, mission, rules */
  const char *const *argv;
  const char *mission, *rules;
  const char *facts;         /* of rules */
  const char *const *inputs; /* of a mission: NAME=VALUE, NULL at the end; NULL: none */
  const char *setup, *prepare, *cleanup;
  const char *input, *output; /* files; output may be "null", "pipe", "pass" */
  const char *dir;
  const char *const *env; /* the whole environment; NULL: ours */
  fb_bench_shell shell;
  const char *shell_path;
  int64_t timeout;
  bool ignore_failure;
  fb_error at; /* file, line, column, excerpt of where it is written; code 0: on the command line */
} fb_bench_spec;

typedef struct fb_bench_plan {
  fb_cli *cli;
  fb_arena arena;
  const char *name;
  fb_bench_spec common; /* what a candidate does not say itself */
  fb_bench_spec *specs;
  size_t spec_count, spec_cap;
  fb_bench_parameter parameters[FB_PARAMETERS_MAX];
  size_t parameter_count;
  fb_bench_options options;
  const char *reference; /* name or number; NULL: the first */
  uint64_t seed;
  const char *counter; /* the library that counts allocations; NULL: they are not counted */
  fb_reading shell_cost;
  bool shell_known;
  /* Made from the specs: */
  fb_candidate *candidates;
  fb_bench_about *abouts;
  size_t count;
  void **engines; /* candidates that run in this process, to be freed; NULL where there is none */
  fb_doc *doc;
} fb_bench_plan;

/* Each returns an exit code, and has told what is wrong. */
int fb_bench_plan_read(fb_bench_plan *plan, const char *path);
int fb_bench_plan_add(fb_bench_plan *plan, const fb_bench_spec *spec);
int fb_bench_plan_parameter(fb_bench_plan *plan, const char *text);
/* Candidates from specs and parameters. */
int fb_bench_plan_expand(fb_bench_plan *plan);
void fb_bench_plan_release(fb_bench_plan *plan);

/* Missions and rulebooks: each run in this process. *ret_engine is to be freed. */
fb_status fb_bench_mission_init(fb_bench_plan *plan, const fb_bench_spec *spec, fb_candidate *ret,
                                fb_bench_about *about, void **ret_engine, fb_errors *errors);
fb_status fb_bench_rules_init(fb_bench_plan *plan, const fb_bench_spec *spec, fb_candidate *ret,
                              fb_bench_about *about, void **ret_engine, fb_errors *errors);
void fb_bench_engine_free(void *engine);

#endif
