#include <flyball/data.h>
fb_status fb_fact_map(const fb_facts *facts, uint32_t row, fb_arena *arena, fb_map **ret_map) { return FB_E_INTERNAL; }
