/* SPDX-License-Identifier: Apache-2.0
 * Where the bytes of a fact stream come from. */
#include <flyball/data.h>

#include <errno.h>
#include <unistd.h>

static int64_t S_read_fd(void *context, void *bytes, size_t len) {
  ssize_t got;
  do got = read((int)(intptr_t)context, bytes, len);
  while (got < 0 && errno == EINTR);
  return got;
}

fb_source fb_source_fd(int fd) {
  return (fb_source){S_read_fd, (void *)(intptr_t)fd};
}

static int64_t S_read_memory(void *context, void *bytes, size_t len) {
  fb_memory_source *memory = context;
  if (len > memory->rest.len) len = memory->rest.len;
  if (len) memcpy(bytes, memory->rest.ptr, len);
  memory->rest.ptr += len;
  memory->rest.len -= len;
  return (int64_t)len;
}

fb_source fb_source_memory(fb_memory_source *memory) {
  return (fb_source){S_read_memory, memory};
}
