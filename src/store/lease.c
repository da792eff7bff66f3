/* SPDX-License-Identifier: Apache-2.0
 *
 * A lease is a lock on a file that the operating system takes back when its process ends, so none is ever left behind.
 * It belongs to the open file (OFD), so that looking at it from elsewhere in the process does not drop it.
 * What stands in the file is only for people, and for `cancel`, which needs the process.
 */
#include "store/log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct fb_lease {
  const fb_allocator *allocator;
  int fd;
};

static struct flock S_whole_file(void) {
  return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

static void S_read(int fd, fb_buf *out) {
  char text[400];
  ssize_t got = pread(fd, text, sizeof text, 0);
  if (got > 0) fb_buf_add(out, text, (size_t)got);
}

static fb_status S_taken(int fd, const char *path, const fb_allocator *allocator, fb_error *err) {
  fb_buf holder;
  fb_buf_init(&holder, allocator, 0);
  S_read(fd, &holder);
  fb_fail(err, FB_E_LEASE, "%s is held by %.*s", path, holder.len ? (int)holder.len : 15,
          holder.len ? holder.ptr : "another process");
  fb_error_hint(err, "it comes free when that process ends; `flyball cancel` ends it");
  fb_buf_release(&holder);
  return FB_E_LEASE;
}

fb_status fb_lease_take(const char *path, fb_slice holder, const fb_allocator *allocator,
                        fb_lease **ret_lease, fb_error *err) {
  if (!allocator) allocator = fb_allocator_system();
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return fb_log_errno("open", path, err);
  struct flock lock = S_whole_file();
  if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
    fb_status status = errno == EAGAIN || errno == EACCES ? S_taken(fd, path, allocator, err)
                                                          : fb_log_errno("lock", path, err);
    close(fd);
    return status;
  }
  fb_lease *lease = fb_alloc(allocator, sizeof *lease);
  /* Without what it says of itself a lease is as good. */
  bool told = ftruncate(fd, 0) == 0 && pwrite(fd, holder.ptr, holder.len, 0) >= 0;
  (void)told;
  if (!lease) {
    close(fd);
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  *lease = (fb_lease){allocator, fd};
  *ret_lease = lease;
  return FB_OK;
}

void fb_lease_release(fb_lease *lease) {
  if (!lease) return;
  close(lease->fd);
  fb_free(lease->allocator, lease, sizeof *lease);
}

bool fb_lease_held(const char *path, fb_buf *out) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  struct flock lock = S_whole_file();
  bool held = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  if (held && out) S_read(fd, out);
  close(fd);
  return held;
}
