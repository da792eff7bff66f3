/* SPDX-License-Identifier: Apache-2.0
 * Workers: threads for what would hold up others. */
#include "server/server.h"

#include <stdlib.h>

struct fb_jobs {
  pthread_mutex_t lock;
  pthread_cond_t some;
  fb_job *first, **last;
  bool ends;
  uint32_t count;
  pthread_t threads[];
};

static void *S_work(void *context) {
  fb_jobs *jobs = context;
  pthread_mutex_lock(&jobs->lock);
  for (;;) {
    while (!jobs->first && !jobs->ends) pthread_cond_wait(&jobs->some, &jobs->lock);
    fb_job *job = jobs->first;
    if (!job) break;
    jobs->first = job->next;
    if (!jobs->first) jobs->last = &jobs->first;
    pthread_mutex_unlock(&jobs->lock);
    job->run(job);
    pthread_mutex_lock(&jobs->lock);
  }
  pthread_mutex_unlock(&jobs->lock);
  return NULL;
}

fb_status fb_jobs_new(uint32_t threads, fb_jobs **ret_jobs) {
  fb_jobs *jobs = calloc(1, sizeof *jobs + threads * sizeof *jobs->threads);
  if (!jobs) return FB_E_NOMEM;
  pthread_mutex_init(&jobs->lock, NULL);
  pthread_cond_init(&jobs->some, NULL);
  jobs->last = &jobs->first;
  for (; jobs->count < threads; jobs->count++)
    if (pthread_create(&jobs->threads[jobs->count], NULL, S_work, jobs)) break;
  if (!jobs->count) {
    fb_jobs_free(jobs);
    return FB_E_NOMEM;
  }
  *ret_jobs = jobs;
  return FB_OK;
}

void fb_jobs_free(fb_jobs *jobs) {
  if (!jobs) return;
  pthread_mutex_lock(&jobs->lock);
  jobs->ends = true;
  pthread_cond_broadcast(&jobs->some);
  pthread_mutex_unlock(&jobs->lock);
  for (uint32_t i = 0; i < jobs->count; i++) pthread_join(jobs->threads[i], NULL);
  pthread_cond_destroy(&jobs->some);
  pthread_mutex_destroy(&jobs->lock);
  free(jobs);
}

void fb_jobs_add(fb_jobs *jobs, fb_job *job) {
  job->next = NULL;
  pthread_mutex_lock(&jobs->lock);
  *jobs->last = job;
  jobs->last = &job->next;
  pthread_cond_signal(&jobs->some);
  pthread_mutex_unlock(&jobs->lock);
}
