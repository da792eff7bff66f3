/* SPDX-License-Identifier: Apache-2.0
 * What the writers of bench reports share. */
#ifndef FB_PROOF_REPORT_H
#define FB_PROOF_REPORT_H

#include <flyball/proof.h>

/* "2.13 times slower", "12 % faster", "no difference shown", "not measured": of a cell that was compared. */
void fb_ratio_words(fb_measure measure, const fb_bench_ratio *ratio, char out[64]);
/* Names of a side's parameters with their values: calls for each. */
const char *fb_about_value(const fb_bench_about *about, size_t number);

#endif
