/* SPDX-License-Identifier: Apache-2.0
 * Bodies: short ones in memory, long ones in a file that has no name any more. */
#include "server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPOOL_MEMORY = 1 << 20, SPOOL_FIRST = 4096 };

void fb_spool_init(fb_spool *spool, const char *folder, uint64_t max) {
  *spool = (fb_spool){.folder = folder, .max = max, .fd = -1};
}

void fb_spool_release(fb_spool *spool) {
  free(spool->bytes);
  if (spool->fd >= 0) close(spool->fd);
  spool->bytes = NULL;
  spool->fd = -1;
  spool->size = 0;
  spool->cap = 0;
}

static fb_status S_write(int fd, const char *bytes, size_t size) {
  while (size) {
    ssize_t done = write(fd, bytes, size);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno == ENOSPC || errno == EDQUOT ? FB_E_DISK_FULL : FB_E_IO;
    bytes += done;
    size -= (size_t)done;
  }
  return FB_OK;
}

/* From memory to a file. */
static fb_status S_spill(fb_spool *spool) {
  spool->fd = open(spool->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (spool->fd < 0) { /* a file system that has no such files */
    char path[4096];
    if (snprintf(path, sizeof path, "%s/flyball-XXXXXX", spool->folder) >= (int)sizeof path)
      return FB_E_IO;
    spool->fd = mkostemp(path, O_CLOEXEC);
    if (spool->fd < 0) return FB_E_IO;
    unlink(path);
  }
  fb_status status = S_write(spool->fd, spool->bytes, (size_t)spool->size);
  free(spool->bytes);
  spool->bytes = NULL;
  spool->cap = 0;
  return status;
}

static bool S_room(fb_spool *spool, size_t size) {
  if (size <= spool->cap) return true;
  size_t cap = spool->cap ? spool->cap * 2 : SPOOL_FIRST;
  while (cap < size) cap *= 2;
  char *more = realloc(spool->bytes, cap);
  if (!more) return false;
  spool->bytes = more;
  spool->cap = cap;
  return true;
}

fb_status fb_spool_add(fb_spool *spool, const void *bytes, size_t size) {
  fb_status status = FB_OK;
  if (size > spool->max - spool->size) return FB_E_LIMIT;
  if (spool->fd < 0 && spool->folder && spool->size + size > SPOOL_MEMORY) status = S_spill(spool);
  if (status == FB_OK && spool->fd >= 0) {
    status = S_write(spool->fd, bytes, size);
  } else if (status == FB_OK) {
    if (!S_room(spool, (size_t)spool->size + size)) return FB_E_NOMEM;
    memcpy(spool->bytes + spool->size, bytes, size);
  }
  if (status == FB_OK) spool->size += size;
  return status;
}

fb_source fb_spool_source(fb_spool *spool, fb_memory_source *memory) {
  if (spool->fd >= 0) {
    lseek(spool->fd, 0, SEEK_SET);
    return fb_source_fd(spool->fd);
  }
  memory->rest = fb_spool_slice(spool);
  return fb_source_memory(memory);
}
