/* SPDX-License-Identifier: Apache-2.0
 * A library of its own, to be preloaded into a program that is measured: counts calls of malloc and its like into a page
 * that it shares with flyball. Knows nothing of the rest. Without the variable it only passes on. */
#include "proof/counter.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* glibc's own, under the names that cannot be interposed: looking them up would allocate. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *ptr);

/* The one exception to "no globals": interposed functions have no context. */
static struct {
  fb_counter_page *page;
  bool settled; /* no page will come */
  int64_t live; /* of this process; a forked child goes on with what it inherited */
} S;

static void S_open(void) {
  int error = errno;
  const char *path = secure_getenv(FB_COUNTER_VARIABLE);
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd >= 0) {
    void *page = mmap(NULL, sizeof *S.page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) {
      fb_counter_page *none = NULL;
      if (__atomic_compare_exchange_n(&S.page, &none, page, false, __ATOMIC_ACQ_REL,
                                      __ATOMIC_ACQUIRE))
        __atomic_fetch_add(&S.page->processes, 1, __ATOMIC_RELAXED);
      else
        munmap(page, sizeof *S.page);
    }
    close(fd);
  }
  errno = error;
}

/* By then the environment is there, if it was not at the first allocation. */
__attribute__((constructor)) static void S_start(void) {
  if (!S.page) S_open();
  S.settled = true;
}

static fb_counter_page *S_page(void) {
  fb_counter_page *page = __atomic_load_n(&S.page, __ATOMIC_ACQUIRE);
  if (page || S.settled) return page;
  S_open();
  return S.page;
}

static void S_live(fb_counter_page *page, int64_t by) {
  int64_t live = __atomic_add_fetch(&S.live, by, __ATOMIC_RELAXED);
  int64_t peak = __atomic_load_n(&page->peak, __ATOMIC_RELAXED);
  while (live > peak && !__atomic_compare_exchange_n(&page->peak, &peak, live, true,
                                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    continue;
}

static void *S_taken(void *ptr, size_t size, int64_t before) {
  fb_counter_page *page = S_page();
  if (!page || !ptr) return ptr;
  __atomic_fetch_add(&page->calls, 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&page->bytes, size, __ATOMIC_RELAXED);
  S_live(page, (int64_t)malloc_usable_size(ptr) - before);
  return ptr;
}

EXPORT void *malloc(size_t size) {
  return S_taken(__libc_malloc(size), size, 0);
}

EXPORT void *calloc(size_t nmemb, size_t size) {
  return S_taken(__libc_calloc(nmemb, size), nmemb * size, 0);
}

EXPORT void *realloc(void *ptr, size_t size) {
  if (ptr && size == 0) {
    free(ptr);
    return NULL;
  }
  int64_t before = ptr ? (int64_t)malloc_usable_size(ptr) : 0;
  return S_taken(__libc_realloc(ptr, size), size, before);
}

EXPORT void free(void *ptr) {
  if (!ptr) return;
  fb_counter_page *page = S_page();
  if (page) {
    __atomic_fetch_add(&page->frees, 1, __ATOMIC_RELAXED);
    S_live(page, -(int64_t)malloc_usable_size(ptr));
  }
  __libc_free(ptr);
}

EXPORT void *memalign(size_t alignment, size_t size) {
  return S_taken(__libc_memalign(alignment, size), size, 0);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size) {
  return S_taken(__libc_memalign(alignment, size), size, 0);
}

EXPORT int posix_memalign(void **memptr, size_t alignment, size_t size) {
  if (alignment < sizeof(void *) || (alignment & (alignment - 1))) return EINVAL;
  int error = errno;
  void *ptr = S_taken(__libc_memalign(alignment, size), size, 0);
  errno = error;
  if (!ptr) return ENOMEM;
  *memptr = ptr;
  return 0;
}

EXPORT void *valloc(size_t size) {
  return S_taken(__libc_memalign((size_t)sysconf(_SC_PAGESIZE), size), size, 0);
}

EXPORT void *reallocarray(void *ptr, size_t nmemb, size_t size) {
  size_t whole;
  if (__builtin_mul_overflow(nmemb, size, &whole)) {
    errno = ENOMEM;
    return NULL;
  }
  return realloc(ptr, whole);
}
