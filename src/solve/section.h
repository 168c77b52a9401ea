/*
 * Reading the sections of a plan file. SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_SECTION_H
#define DDT_SOLVE_SECTION_H

#include "ddt/wire.h"

/* Fails: "the PART of the plan is inconsistent: WHAT". */
DDT_MUST_CHECK ddt_status section_bad(ddt_context *ctx, const ddt_reader *reader, const char *part, const char *what);
/* A size of 32 bits. */
DDT_MUST_CHECK ddt_status section_size(ddt_reader *reader, size_t *out);
DDT_MUST_CHECK ddt_status section_numbers(ddt_reader *reader, double *values, size_t count);

#endif
