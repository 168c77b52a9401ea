/* Private to release: the flooding noise. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_CUSTODY_RELEASE_INTERNAL_H
#define DDT_CUSTODY_RELEASE_INTERNAL_H

#include "custody_internal.h"

#include "ddt/custody/release.h"

/*
 * The discrete Gaussian of standard deviation 4: 2^127 times the probability that |x| > v, rounded, for v = 0, 1, ...;
 * those after the last are 0.
 */
enum { CUSTODY_TAILS = 52 };
typedef struct custody_tail {
    uint64_t high;
    uint64_t low;
} custody_tail;
extern const custody_tail custody_tails[CUSTODY_TAILS];

/* Standard deviation of custody_sample_gaussian. */
double custody_gaussian_std(unsigned digits);
/*
 * Discrete Gaussian over the integers, sum over i < digits of 2^i x_i, x_i of standard deviation 4. words: 2n of
 * protected scratch. digits at most 56 (int64). Constant time.
 */
void custody_sample_gaussian(custody_random *random, unsigned digits, size_t n, uint64_t *words, int64_t *out);

/* Noise is added to integers: values in units of `grid`. */
typedef struct custody_flood {
    double std;
    double grid;
    unsigned digits;
    size_t released;
} custody_flood;

ddt_status custody_flood_plan(ddt_context *ctx, const ddt_ckks_params *params, const ddt_release_request *request,
                              uint64_t limit, custody_flood *out);
/* value clamped to +-magnitude, on the grid, plus noise. Constant time. */
int64_t custody_flood_add(const custody_flood *flood, double magnitude, double value, int64_t noise);
/* A flooded value is public. */
double custody_flood_round(const custody_flood *flood, int64_t flooded, double step);

#endif
