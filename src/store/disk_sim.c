/* SPDX-License-Identifier: Apache-2.0 */
#include "store/disk_sim.h"

#include <errno.h>
#include <fcntl.h>

enum { SECTOR = 512, MOST_FILES = 16 };

/* A file as it is seen, and as it is on the platter. `dirty` has a bit a sector: written since the last sync. */
typedef struct S_file {
  char *path;
  fb_buf now, safe;
  bool *dirty;
  size_t dirty_cap;
  bool named; /* its name is on the platter */
} S_file;

struct fb_sim_disk {
  fb_disk face;
  const fb_allocator *allocator;
  fb_random random;
  S_file files[MOST_FILES];
  int count;
  uint64_t operations, kill_at, full_at, full_count;
  bool dead;
};

static int S_fail(int number) {
  errno = number;
  return -1;
}

/* Counts an operation. *ret_partly: the user is gone in the middle of it. False: it does not come to be, with errno. */
static bool S_begin(fb_sim_disk *disk, bool takes_room, bool *ret_partly) {
  *ret_partly = false;
  if (disk->dead) return S_fail(EIO) == 0;
  uint64_t number = ++disk->operations;
  if (number == disk->kill_at) {
    disk->dead = true;
    *ret_partly = true;
    return true;
  }
  bool full =
      disk->full_count && number >= disk->full_at && number < disk->full_at + disk->full_count;
  if (full && takes_room) return S_fail(ENOSPC) == 0;
  return true;
}

/* ── Files ───────────────────────────────────────────────────────────────────────────────────── */

static int S_find(const fb_sim_disk *disk, const char *path) {
  for (int i = 0; i < disk->count; i++)
    if (strcmp(disk->files[i].path, path) == 0) return i;
  return -1;
}

static bool S_mark(fb_sim_disk *disk, S_file *file, uint64_t from, uint64_t to) {
  size_t need = (size_t)((to + SECTOR - 1) / SECTOR);
  if (need > file->dirty_cap) {
    size_t cap = need * 2;
    bool *larger = fb_alloc_zero(disk->allocator, cap);
    if (!larger) return false;
    if (file->dirty_cap) memcpy(larger, file->dirty, file->dirty_cap);
    if (file->dirty) fb_free(disk->allocator, file->dirty, file->dirty_cap);
    file->dirty = larger;
    file->dirty_cap = cap;
  }
  for (uint64_t at = from / SECTOR; at < need; at++) file->dirty[at] = true;
  return true;
}

static int S_open(void *context, const char *path, int flags) {
  fb_sim_disk *disk = context;
  bool partly;
  int number = S_find(disk, path);
  if (disk->dead) return S_fail(EIO);
  if (number >= 0) return number;
  if (!(flags & O_CREAT)) return S_fail(ENOENT);
  if (!S_begin(disk, true, &partly)) return -1;
  if (disk->count == MOST_FILES) return S_fail(ENFILE);
  S_file *file = &disk->files[disk->count];
  *file = (S_file){.path = fb_alloc(disk->allocator, strlen(path) + 1)};
  if (!file->path) return S_fail(ENOMEM);
  memcpy(file->path, path, strlen(path) + 1);
  fb_buf_init(&file->now, disk->allocator, 0);
  fb_buf_init(&file->safe, disk->allocator, 0);
  disk->count++;
  return partly ? S_fail(EIO) : disk->count - 1;
}

static int64_t S_size(void *context, int fd) {
  return (int64_t)((fb_sim_disk *)context)->files[fd].now.len;
}

static int64_t S_read(void *context, int fd, void *bytes, size_t count, uint64_t offset) {
  const fb_sim_disk *disk = context;
  const fb_buf *now = &disk->files[fd].now;
  if (disk->dead) return S_fail(EIO);
  if (offset >= now->len) return 0;
  size_t got = now->len - offset < count ? (size_t)(now->len - offset) : count;
  memcpy(bytes, now->ptr + offset, got);
  return (int64_t)got;
}

/* The file is that long at least; what is new is zeros. */
static bool S_stretch(fb_buf *buf, uint64_t size) {
  if (size > buf->len) fb_buf_repeat(buf, 0, (size_t)(size - buf->len));
  return !buf->failed;
}

static int64_t S_write(void *context, int fd, const void *bytes, size_t count, uint64_t offset) {
  fb_sim_disk *disk = context;
  S_file *file = &disk->files[fd];
  bool partly;
  size_t put = count;
  if (!S_begin(disk, offset + count > file->now.len, &partly)) return -1;
  if (partly) put = (size_t)fb_random_below(&disk->random, count + 1);
  /* A short write is no failure: whoever writes goes on. */
  else if (count > 1 && fb_random_below(&disk->random, 16) == 0)
    put = 1 + (size_t)fb_random_below(&disk->random, count - 1);
  if (put && (!S_stretch(&file->now, offset + put) || !S_mark(disk, file, offset, offset + put)))
    return S_fail(ENOMEM);
  if (put) memcpy(file->now.ptr + offset, bytes, put);
  return partly ? S_fail(EIO) : (int64_t)put;
}

static int S_allocate(void *context, int fd, uint64_t offset, uint64_t count) {
  fb_sim_disk *disk = context;
  S_file *file = &disk->files[fd];
  bool partly;
  if (!S_begin(disk, true, &partly)) return -1;
  if (!S_stretch(&file->now, offset + count)) return S_fail(ENOMEM);
  return partly ? S_fail(EIO) : 0;
}

static int S_truncate(void *context, int fd, uint64_t size) {
  fb_sim_disk *disk = context;
  S_file *file = &disk->files[fd];
  bool partly;
  if (!S_begin(disk, false, &partly)) return -1;
  if (size < file->now.len) file->now.len = (size_t)size;
  if (!S_stretch(&file->now, size) || !S_mark(disk, file, size, size + 1)) return S_fail(ENOMEM);
  return partly ? S_fail(EIO) : 0;
}

static bool S_copy(fb_buf *to, const fb_buf *from) {
  fb_buf_clear(to);
  fb_buf_add(to, from->ptr, from->len);
  return !to->failed;
}

/* A file that is synced has a name (ext4 and others see to it; a folder alone does not sync the file). */
static int S_sync(void *context, int fd) {
  fb_sim_disk *disk = context;
  S_file *file = &disk->files[fd];
  bool partly;
  if (!S_begin(disk, false, &partly)) return -1;
  if (partly && fb_random_below(&disk->random, 2)) return S_fail(EIO);
  if (!S_copy(&file->safe, &file->now)) return S_fail(ENOMEM);
  if (file->dirty) memset(file->dirty, 0, file->dirty_cap);
  file->named = true;
  return partly ? S_fail(EIO) : 0;
}

static int S_sync_folder(void *context, const char *path) {
  fb_sim_disk *disk = context;
  bool partly;
  int number = S_find(disk, path);
  if (!S_begin(disk, false, &partly)) return -1;
  if (number >= 0 && !partly) disk->files[number].named = true;
  return partly ? S_fail(EIO) : 0;
}

static void S_close(void *context, int fd) {
  (void)context;
  (void)fd;
}

/* ── Crashes ─────────────────────────────────────────────────────────────────────────────────── */

/* What was not synced: each sector is there or not; the length is the old one, the new one, or between. */
static void S_lose(fb_sim_disk *disk, S_file *file) {
  fb_buf after;
  uint64_t low = file->safe.len < file->now.len ? file->safe.len : file->now.len;
  uint64_t high = file->safe.len < file->now.len ? file->now.len : file->safe.len;
  uint64_t size = high;
  if (fb_random_below(&disk->random, 2))
    size = low + fb_random_below(&disk->random, high - low + 1);
  fb_buf_init(&after, disk->allocator, 0);
  fb_buf_add(&after, file->safe.ptr, file->safe.len < size ? file->safe.len : (size_t)size);
  S_stretch(&after, size);
  for (uint64_t at = 0; at < size && !after.failed; at += SECTOR) {
    bool dirty = at / SECTOR < file->dirty_cap && file->dirty[at / SECTOR];
    if (!dirty || fb_random_below(&disk->random, 2)) continue;
    uint64_t end = at + SECTOR < size ? at + SECTOR : size;
    if (end > file->now.len) end = file->now.len;
    if (at && end > at && fb_random_below(&disk->random, 8) == 0) /* torn within the sector */
      end = at + fb_random_below(&disk->random, end - at);
    if (end > at) memcpy(after.ptr + at, file->now.ptr + at, (size_t)(end - at));
  }
  S_copy(&file->now, &after);
  S_copy(&file->safe, &after);
  if (file->dirty) memset(file->dirty, 0, file->dirty_cap);
  fb_buf_release(&after);
}

void fb_sim_disk_restart(fb_sim_disk *disk, bool power) {
  for (int i = 0; i < disk->count && power; i++) {
    S_file *file = &disk->files[i];
    S_lose(disk, file);
    if (!file->named &&
        fb_random_below(&disk->random, 2)) { /* its name was lost, and all with it */
      fb_buf_clear(&file->now);
      fb_buf_clear(&file->safe);
    }
  }
  disk->dead = false;
  disk->kill_at = disk->full_count = 0;
}

uint64_t fb_sim_disk_operations(const fb_sim_disk *disk) {
  return disk->operations;
}
void fb_sim_disk_kill_at(fb_sim_disk *disk, uint64_t operation) {
  disk->kill_at = operation;
}
void fb_sim_disk_kill(fb_sim_disk *disk) {
  disk->dead = true;
}
bool fb_sim_disk_dead(const fb_sim_disk *disk) {
  return disk->dead;
}
void fb_sim_disk_full_at(fb_sim_disk *disk, uint64_t operation, uint64_t count) {
  disk->full_at = operation;
  disk->full_count = count;
}

const fb_disk *fb_sim_disk_face(const fb_sim_disk *disk) {
  return &disk->face;
}

fb_status fb_sim_disk_new(const fb_allocator *allocator, uint64_t seed, fb_sim_disk **ret_disk) {
  if (!allocator) allocator = fb_allocator_system();
  fb_sim_disk *disk = fb_alloc_zero(allocator, sizeof *disk);
  if (!disk) return FB_E_NOMEM;
  disk->allocator = allocator;
  fb_random_seed(&disk->random, seed);
  disk->face = (fb_disk){.open = S_open,
                         .size = S_size,
                         .read = S_read,
                         .write = S_write,
                         .allocate = S_allocate,
                         .truncate = S_truncate,
                         .sync = S_sync,
                         .sync_folder = S_sync_folder,
                         .close = S_close,
                         .context = disk};
  *ret_disk = disk;
  return FB_OK;
}

void fb_sim_disk_free(fb_sim_disk *disk) {
  if (!disk) return;
  for (int i = 0; i < disk->count; i++) {
    S_file *file = &disk->files[i];
    fb_buf_release(&file->now);
    fb_buf_release(&file->safe);
    if (file->dirty) fb_free(disk->allocator, file->dirty, file->dirty_cap);
    fb_free(disk->allocator, file->path, strlen(file->path) + 1);
  }
  fb_free(disk->allocator, disk, sizeof *disk);
}
