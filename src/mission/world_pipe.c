/* SPDX-License-Identifier: Apache-2.0 */
#include "mission/world_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { CHUNK = 64 << 10 };

struct fb_pipe {
  uv_poll_t handle;
  const fb_allocator *allocator;
  int from, to;
  int lost; /* errno of the first failure */
  fb_masker masker;
  fb_buf out;
};

static void S_closed(uv_handle_t *handle) {
  fb_pipe *pipe = handle->data;
  fb_free(pipe->allocator, pipe, sizeof *pipe);
}

static void S_lose(fb_pipe *pipe, int number) {
  if (!pipe->lost) pipe->lost = number;
}

static void S_write(fb_pipe *pipe) {
  fb_slice bytes = fb_buf_slice(&pipe->out);
  if (pipe->out.failed) S_lose(pipe, ENOMEM);
  while (bytes.len && !pipe->lost) {
    ssize_t put = write(pipe->to, bytes.ptr, bytes.len);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) S_lose(pipe, errno);
    if (put > 0) bytes = (fb_slice){bytes.ptr + put, bytes.len - (size_t)put};
  }
  fb_buf_clear(&pipe->out);
}

/* Bytes read; 0: the end, or nothing is there now (*ret_end tells). What cannot be kept is read all the same, so that
 * the program is not stopped by a full pipe. */
static size_t S_read(fb_pipe *pipe, bool *ret_end) {
  char bytes[CHUNK];
  ssize_t got;
  *ret_end = false;
  do got = read(pipe->from, bytes, sizeof bytes);
  while (got < 0 && errno == EINTR);
  if (got <= 0) {
    *ret_end = got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    return 0;
  }
  if (!pipe->lost) {
    fb_masker_feed(&pipe->masker, (fb_slice){bytes, (size_t)got}, &pipe->out);
    S_write(pipe);
  }
  explicit_bzero(bytes, (size_t)got);
  return (size_t)got;
}

static void S_readable(uv_poll_t *handle, int status, int events) {
  fb_pipe *pipe = handle->data;
  bool end;
  (void)events;
  if (status == 0 && (S_read(pipe, &end) || !end)) return;
  uv_poll_stop(handle); /* the end of the process is told by SIGCHLD */
}

fb_status fb_pipe_new(uv_loop_t *loop, const fb_mask *mask, const fb_allocator *allocator, int from,
                      int to, fb_pipe **ret_pipe, fb_error *err) {
  fb_pipe *pipe = fb_alloc_zero(allocator, sizeof *pipe);
  if (!pipe) return fb_fail(err, FB_E_NOMEM, "out of memory");
  pipe->allocator = allocator;
  int failed = uv_poll_init(loop, &pipe->handle, from);
  if (failed) {
    fb_free(allocator, pipe, sizeof *pipe);
    return fb_fail(err, FB_E_IO, "cannot watch a pipe: %s", uv_strerror(failed));
  }
  pipe->handle.data = pipe;
  pipe->from = from;
  pipe->to = to;
  fb_masker_init(&pipe->masker, mask, allocator);
  fb_buf_init(&pipe->out, allocator, 0);
  uv_poll_start(&pipe->handle, UV_READABLE, S_readable);
  *ret_pipe = pipe;
  return FB_OK;
}

void fb_pipe_finish(fb_pipe *pipe, int *ret_lost) {
  if (!pipe) return;
  int room = fcntl(pipe->from, F_GETPIPE_SZ);
  size_t left = room > 0 ? (size_t)room : CHUNK, got;
  bool end;
  uv_poll_stop(&pipe->handle);
  while (left > 0 && (got = S_read(pipe, &end)) > 0) left -= got < left ? got : left;
  if (!pipe->lost) fb_masker_end(&pipe->masker, &pipe->out);
  S_write(pipe);
  if (close(pipe->to) != 0) S_lose(pipe, errno);
  close(pipe->from);
  if (pipe->lost && ret_lost) *ret_lost = pipe->lost;
  fb_masker_release(&pipe->masker);
  fb_buf_release(&pipe->out);
  uv_close((uv_handle_t *)&pipe->handle, S_closed);
}
