/* SPDX-License-Identifier: Apache-2.0
 * flyball cache: results of steps that are kept beyond their runs. */
#include "cli/proof_io.h"
#include "cli/run_cache.h"

#include <time.h>

typedef struct S_look {
  fb_cli *cli;
  fb_grid grid;
  fb_arena arena;
  int64_t since; /* `forget`: what was made before goes */
  size_t count;
} S_look;

static const char *S_text(fb_value entry, const char *key) {
  const fb_value *value =
      entry.kind == FB_MAP ? fb_map_get_text(entry.as.map, fb_slice_of(key)) : NULL;
  return value && value->kind == FB_STRING ? value->as.text : "";
}

static fb_value S_read(S_look *look, const char *path) {
  enum { MOST = 5 << 20 };
  fb_value entry = fb_null();
  fb_buf bytes;
  fb_buf_init(&bytes, NULL, 0);
  if (fb_cli_read(path, MOST, &bytes, NULL) != FB_OK ||
      fb_value_unpack(fb_buf_slice(&bytes), &look->arena, &entry, NULL) != FB_OK)
    entry = fb_null();
  fb_buf_release(&bytes);
  return entry;
}

static bool S_show(void *user, const char *path, const char *name, int64_t made) {
  S_look *look = user;
  char time[FB_TIME_TEXT_MAX];
  fb_value entry = S_read(look, path);
  fb_time_format(made, 0, time);
  if (look->cli->json) {
    fb_buf line;
    fb_buf_init(&line, NULL, 0);
    fb_buf_printf(
        &line, "{\"type\":\"flyball.cache.v1\",\"key\":\"%s\",\"made\":\"%s\",\"mission\":", name,
        time);
    fb_json_write_text(&line, fb_slice_of(S_text(entry, "mission")), FB_JSON_COMPACT);
    fb_buf_text(&line, ",\"step\":");
    fb_json_write_text(&line, fb_slice_of(S_text(entry, "step")), FB_JSON_COMPACT);
    fb_buf_text(&line, "}\n");
    fb_out_buf(look->cli, &line);
    fb_buf_release(&line);
  } else {
    fb_grid_add(&look->grid, "%.12s", name);
    fb_grid_add(&look->grid, "%s", time);
    fb_grid_add(&look->grid, "%s", S_text(entry, "mission"));
    fb_grid_add(&look->grid, "%s", S_text(entry, "step"));
  }
  look->count++;
  fb_arena_reset(&look->arena);
  return true;
}

static int S_list(S_look *look, const char *folder) {
  static const char *const head[] = {"key", "made", "mission", "step"};
  fb_grid_init(&look->grid, 4);
  for (size_t i = 0; i < 4; i++) fb_grid_add(&look->grid, "%s", head[i]);
  fb_run_cache_each(folder, S_show, look);
  if (look->count && !look->cli->json)
    fb_grid_print(&look->grid, look->cli, 0);
  else
    fb_grid_release(&look->grid);
  if (!look->count && !look->cli->json) fb_cli_note(look->cli, "nothing is kept");
  return FB_EXIT_OK;
}

/* Of a step, of a mission, old, or all. */
static bool S_stays(void *user, const char *path, const char *name, int64_t made) {
  S_look *look = user;
  const char *step = fb_cli_text(look->cli, "step", NULL);
  const char *mission = fb_cli_text(look->cli, "mission", NULL);
  (void)name;
  if (made >= look->since) return true;
  if (!step && !mission) return false;
  fb_value entry = S_read(look, path);
  bool stays = (step && strcmp(step, S_text(entry, "step")) != 0) ||
               (mission && strcmp(mission, S_text(entry, "mission")) != 0);
  fb_arena_reset(&look->arena);
  return stays;
}

static int S_forget(S_look *look, const char *folder) {
  int64_t older = fb_cli_duration(look->cli, "older", 0);
  look->since = older ? (int64_t)time(NULL) - older / 1000000000 : INT64_MAX;
  size_t removed = fb_run_cache_each(folder, S_stays, look);
  if (look->cli->json)
    fb_out_printf(look->cli, "{\"type\":\"flyball.cache.forget.v1\",\"removed\":%zu}\n", removed);
  else
    fb_cli_note(look->cli, "%zu result%s forgotten", removed, removed == 1 ? "" : "s");
  return FB_EXIT_OK;
}

static int S_run(fb_cli *cli) {
  const char *verb = cli->operand_count ? cli->operands[0] : "list";
  S_look look = {.cli = cli};
  fb_arena_init(&look.arena, NULL, 0);
  fb_arena paths;
  fb_arena_init(&paths, NULL, 0);
  const char *folder = fb_run_cache_folder(cli, &paths);
  int code = FB_EXIT_OUTSIDE;
  if (folder && strcmp(verb, "list") == 0)
    code = S_list(&look, folder);
  else if (folder && strcmp(verb, "forget") == 0)
    code = S_forget(&look, folder);
  else if (folder)
    code = fb_cli_usage(cli, "list or forget", "`%s` is nothing that can be done with the cache",
                        verb);
  fb_arena_release(&paths);
  fb_arena_release(&look.arena);
  return code;
}

static const char *const S_verbs[] = {"list", "forget", NULL};

static const fb_option S_options[] = {
    {.name = "step",
     .kind = FB_OPTION_TEXT,
     .value = "ID",
     .help = "With `forget`: only results of steps of this id"},
    {.name = "mission",
     .kind = FB_OPTION_TEXT,
     .value = "NAME",
     .help = "With `forget`: only results of missions of this name"},
    {.name = "older",
     .kind = FB_OPTION_DURATION,
     .value = "AGE",
     .help = "With `forget`: only what is older"},
    {0}};

const fb_command fb_command_cache = {
    .name = "cache",
    .summary = "Show or forget results of steps",
    .usage = "[list | forget]",
    .description =
        "A step with `cache` keeps its result beyond its run, beside the folder of runs. "
        "`list` shows what is kept, `forget` removes it: all, or what the options say. "
        "What was made more than 90 days ago is removed by runs. `flyball run --fresh` "
        "takes nothing from there.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball cache", "what is there?"},
                                     {"flyball cache forget --step fetch", "fetch it again"},
                                     {0}},
    .operands = FB_OPERANDS_CHOICE,
    .operand_choices = S_verbs,
    .max_operands = 1,
    .run = S_run,
};
