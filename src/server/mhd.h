/* SPDX-License-Identifier: Apache-2.0
 * libmicrohttpd, loaded when the first server is made: it brings GnuTLS along, which would cost every start of the program
 * five million instructions, also of those that serve nothing. */
#ifndef FB_SERVER_MHD_H
#define FB_SERVER_MHD_H

#include <flyball/base.h>

#include <microhttpd.h>

#define FB_MHD_FUNCTIONS(X)        \
  X(add_response_header)           \
  X(create_response_from_buffer)   \
  X(create_response_from_callback) \
  X(create_response_from_fd64)     \
  X(destroy_response)              \
  X(get_connection_info)           \
  X(lookup_connection_value)       \
  X(queue_response)                \
  X(resume_connection)             \
  X(start_daemon)                  \
  X(stop_daemon)                   \
  X(suspend_connection)

typedef struct fb_mhd_table {
#define FB_MHD_POINTER(name) __typeof__(&MHD_##name) name;
  FB_MHD_FUNCTIONS(FB_MHD_POINTER)
#undef FB_MHD_POINTER
} fb_mhd_table;

extern fb_mhd_table fb_mhd;

/* FB_E_SERVER_BIND: it is not installed. It stays loaded until the process ends. Thread-safe. */
fb_status fb_mhd_load(fb_error *err);

#define MHD_add_response_header fb_mhd.add_response_header
#define MHD_create_response_from_buffer fb_mhd.create_response_from_buffer
#define MHD_create_response_from_callback fb_mhd.create_response_from_callback
#define MHD_create_response_from_fd64 fb_mhd.create_response_from_fd64
#define MHD_destroy_response fb_mhd.destroy_response
#define MHD_get_connection_info fb_mhd.get_connection_info
#define MHD_lookup_connection_value fb_mhd.lookup_connection_value
#define MHD_queue_response fb_mhd.queue_response
#define MHD_resume_connection fb_mhd.resume_connection
#define MHD_start_daemon fb_mhd.start_daemon
#define MHD_stop_daemon fb_mhd.stop_daemon
#define MHD_suspend_connection fb_mhd.suspend_connection

#endif
