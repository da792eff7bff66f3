/* SPDX-License-Identifier: Apache-2.0
 * What unit tests share: cmocka, and an allocator that fails on command. */
#ifndef FB_TEST_H
#define FB_TEST_H

#include <flyball/base.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* Counts blocks; fails the call number `fail_at` (from 1) and, if `sticky`, all after it. 0: never. */
typedef struct fb_test_memory {
  size_t calls, fail_at, live;
  bool sticky;
} fb_test_memory;

static inline void *fb_test_resize(void *context, void *ptr, size_t old_size, size_t size) {
  fb_test_memory *memory = context;
  (void)old_size;
  if (size == 0) {
    if (ptr) memory->live--;
    free(ptr);
    return NULL;
  }
  memory->calls++;
  if (memory->fail_at &&
      (memory->sticky ? memory->calls >= memory->fail_at : memory->calls == memory->fail_at))
    return NULL;
  void *moved = realloc(ptr, size);
  if (moved && !ptr) memory->live++;
  return moved;
}

/* Torture: run(allocator) must not crash or leak whichever allocation fails. It returns true once it got
 * through without a failure; then every failing point has been visited. */
static inline void fb_test_each_failure(bool (*run)(const fb_allocator *allocator)) {
  for (size_t fail_at = 1; fail_at < 1000000; fail_at++) {
    fb_test_memory memory = {.fail_at = fail_at};
    fb_allocator allocator = {fb_test_resize, &memory};
    bool through = run(&allocator);
    assert_int_equal(memory.live, 0);
    if (memory.calls < fail_at) {
      assert_true(through);
      return;
    }
  }
  fail_msg("never got through");
}

#endif
