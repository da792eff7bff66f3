/* SPDX-License-Identifier: Apache-2.0
 *
 * The disk as it is.
 */
#include <flyball/store.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int S_open(void *context, const char *path, int flags) {
  (void)context;
  return open(path, flags | O_CLOEXEC, 0600);
}

static int64_t S_size(void *context, int fd) {
  struct stat info;
  (void)context;
  return fstat(fd, &info) == 0 ? (int64_t)info.st_size : -1;
}

static int64_t S_read(void *context, int fd, void *bytes, size_t count, uint64_t offset) {
  ssize_t got;
  (void)context;
  do got = pread(fd, bytes, count, (off_t)offset);
  while (got < 0 && errno == EINTR);
  return got;
}

static int64_t S_write(void *context, int fd, const void *bytes, size_t count, uint64_t offset) {
  ssize_t put;
  (void)context;
  do put = pwrite(fd, bytes, count, (off_t)offset);
  while (put < 0 && errno == EINTR);
  return put;
}

static int S_allocate(void *context, int fd, uint64_t offset, uint64_t count) {
  (void)context;
  return fallocate(fd, 0, (off_t)offset, (off_t)count);
}

static int S_truncate(void *context, int fd, uint64_t size) {
  (void)context;
  return ftruncate(fd, (off_t)size);
}

static int S_sync(void *context, int fd) {
  (void)context;
  return fdatasync(fd);
}

static int S_sync_folder(void *context, const char *path) {
  const char *slash = strrchr(path, '/');
  char folder[4096];
  (void)context;
  size_t length = slash ? (size_t)(slash - path) + 1 : 1;
  if (length >= sizeof folder) return 0;
  memcpy(folder, slash ? path : ".", length);
  folder[length] = 0;
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return 0; /* a folder that may be written but not read */
  int result = fsync(fd) == 0 || errno == EINVAL ? 0 : -1;
  close(fd);
  return result;
}

static void S_close(void *context, int fd) {
  (void)context;
  close(fd);
}

const fb_disk *fb_disk_system(void) {
  static const fb_disk disk = {.open = S_open,
                               .size = S_size,
                               .read = S_read,
                               .write = S_write,
                               .allocate = S_allocate,
                               .truncate = S_truncate,
                               .sync = S_sync,
                               .sync_folder = S_sync_folder,
                               .close = S_close};
  return &disk;
}
