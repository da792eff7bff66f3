/* SPDX-License-Identifier: Apache-2.0
 * Threads that work together on numbered tasks, then wait for the next. */
#include <flyball/base.h>

#include <pthread.h>

struct fb_team {
  const fb_allocator *allocator;
  pthread_mutex_t lock;
  pthread_cond_t begin, end;
  fb_task *task; /* what follows is under the lock */
  void *argument;
  uint32_t count, next, left; /* tasks: of this run, not taken yet, not done yet */
  uint64_t run;               /* number of the run */
  bool over;
  uint32_t thread_count;
  pthread_t threads[FB_TEAM_MAX];
};

/* Takes tasks of the run until none is left; the lock is held before and after. */
static void S_work(fb_team *team) {
  while (team->next < team->count) {
    uint32_t number = team->next++;
    fb_task *task = team->task;
    void *argument = team->argument;
    pthread_mutex_unlock(&team->lock);
    task(argument, number);
    pthread_mutex_lock(&team->lock);
    if (--team->left == 0) pthread_cond_signal(&team->end);
  }
}

static void *S_thread(void *context) {
  fb_team *team = context;
  pthread_mutex_lock(&team->lock);
  for (uint64_t seen = 0;;) {
    while (team->run == seen && !team->over) pthread_cond_wait(&team->begin, &team->lock);
    if (team->over) break;
    seen = team->run;
    S_work(team);
  }
  pthread_mutex_unlock(&team->lock);
  return NULL;
}

fb_status fb_team_new(uint32_t threads, const fb_allocator *allocator, fb_team **ret_team) {
  if (!allocator) allocator = fb_allocator_system();
  if (threads < 1 || threads > FB_TEAM_MAX) return FB_E_LIMIT;
  fb_team *team = fb_alloc_zero(allocator, sizeof *team);
  if (!team) return FB_E_NOMEM;
  team->allocator = allocator;
  pthread_mutex_init(&team->lock, NULL);
  pthread_cond_init(&team->begin, NULL);
  pthread_cond_init(&team->end, NULL);
  while (team->thread_count + 1 < threads) {
    if (pthread_create(&team->threads[team->thread_count], NULL, S_thread, team) != 0) {
      fb_team_free(team);
      return FB_E_NOMEM;
    }
    team->thread_count++;
  }
  *ret_team = team;
  return FB_OK;
}

void fb_team_free(fb_team *team) {
  if (!team) return;
  pthread_mutex_lock(&team->lock);
  team->over = true;
  pthread_cond_broadcast(&team->begin);
  pthread_mutex_unlock(&team->lock);
  for (uint32_t i = 0; i < team->thread_count; i++) pthread_join(team->threads[i], NULL);
  pthread_cond_destroy(&team->end);
  pthread_cond_destroy(&team->begin);
  pthread_mutex_destroy(&team->lock);
  fb_free(team->allocator, team, sizeof *team);
}

void fb_team_run(void *context, fb_task *task, void *argument, uint32_t count) {
  fb_team *team = context;
  if (!count) return;
  pthread_mutex_lock(&team->lock);
  team->task = task;
  team->argument = argument;
  team->count = team->left = count;
  team->next = 0;
  team->run++;
  if (team->thread_count && count > 1) pthread_cond_broadcast(&team->begin);
  S_work(team);
  while (team->left) pthread_cond_wait(&team->end, &team->lock);
  pthread_mutex_unlock(&team->lock);
}
