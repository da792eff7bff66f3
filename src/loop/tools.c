/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of tools that a mission may use in this build.
 */
#include <flyball/loop.h>

fb_tools fb_loop_tools(void) {
  static const fb_tool *const tools[] = {
      &fb_tool_run,  &fb_tool_shell,   &fb_tool_rules, &fb_tool_write, &fb_tool_http,
      &fb_tool_wait, &fb_tool_approve, &fb_tool_emit,  &fb_tool_file,  &fb_tool_mission};
  return (fb_tools){tools, sizeof tools / sizeof *tools};
}
