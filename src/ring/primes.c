/* Primality and the search for NTT primes. SPDX-License-Identifier: Apache-2.0 */
#include "ring_internal.h"

#include <math.h>

/* a * b mod q for any q < 2^63: set-up only, also used before a modulus has constants. */
static uint64_t mul_mod(uint64_t a, uint64_t b, uint64_t q) {
#ifdef __SIZEOF_INT128__
    return (uint64_t)((__extension__(unsigned __int128) a * b) % q);
#else
    uint64_t product = 0;
    for (; b > 0; b >>= 1) {
        if (b & 1) {
            product = (product + a) % q;
        }
        a = (a + a) % q;
    }
    return product;
#endif
}

static uint64_t pow_mod(uint64_t a, uint64_t exponent, uint64_t q) {
    uint64_t power = 1 % q;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1) {
            power = mul_mod(power, a, q);
        }
        a = mul_mod(a, a, q);
    }
    return power;
}

static int is_strong_probable_prime(uint64_t q, uint64_t base, uint64_t odd_part, unsigned twos) {
    uint64_t power = pow_mod(base, odd_part, q);
    if (power == 1 || power == q - 1) {
        return 1;
    }
    for (unsigned i = 1; i < twos; i++) {
        power = mul_mod(power, power, q);
        if (power == q - 1) {
            return 1;
        }
    }
    return 0;
}

/* Miller-Rabin to the first twelve prime bases, which is exact below 3.3e24 (Sorenson and Webster 2017). */
int ddt_is_prime(uint64_t q) {
    static const uint64_t bases[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
    if (q < 2 || q >> 63) {
        return 0;
    }
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        if (q % bases[i] == 0) {
            return q == bases[i];
        }
    }
    unsigned twos = 0;
    uint64_t odd_part = q - 1;
    for (; odd_part % 2 == 0; odd_part /= 2) {
        twos++;
    }
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        if (!is_strong_probable_prime(q, bases[i], odd_part, twos)) {
            return 0;
        }
    }
    return 1;
}

static bool is_excluded(uint64_t q, const uint64_t *exclude, size_t exclude_count) {
    for (size_t i = 0; i < exclude_count; i++) {
        if (exclude[i] == q) {
            return true;
        }
    }
    return false;
}

/* Walks candidates up (or down) from *next in steps until one is an allowed prime; 0 when the range is exhausted. */
static uint64_t next_prime(uint64_t *next, uint64_t step, bool up, const uint64_t *exclude, size_t exclude_count) {
    const uint64_t end = UINT64_C(1) << DDT_RING_MODULUS_BITS_MAX;
    while (*next > step && *next < end) {
        uint64_t candidate = *next;
        *next = up ? candidate + step : candidate - step;
        if (ddt_is_prime(candidate) && !is_excluded(candidate, exclude, exclude_count)) {
            return candidate;
        }
    }
    return 0;
}

ddt_status ddt_ring_find_primes(ddt_context *ctx, unsigned order_log2, double bits, size_t count,
                                const uint64_t *exclude, size_t exclude_count, uint64_t *primes) {
    if (order_log2 < 1 || order_log2 >= DDT_RING_MODULUS_BITS_MAX || primes == NULL ||
        (exclude == NULL && exclude_count > 0)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The order 2^%u of the primes must be between 2 and 2^%d.", order_log2,
                        DDT_RING_MODULUS_BITS_MAX - 1);
    }
    if (!(bits >= 2 && bits <= DDT_RING_MODULUS_BITS_MAX)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A prime of %g bits was asked for; the limit is %d.", bits,
                        DDT_RING_MODULUS_BITS_MAX);
    }
    uint64_t step = UINT64_C(1) << order_log2;
    uint64_t target = (uint64_t)llround(exp2(bits));
    uint64_t below = (target - 1) / step * step + 1; /* the largest 1 mod step up to the target */
    uint64_t above = below + step;
    bool up = true;
    for (size_t i = 0; i < count; i++, up = !up) {
        uint64_t q = next_prime(up ? &above : &below, step, up, exclude, exclude_count);
        if (q == 0) { /* this side is exhausted: take the other */
            q = next_prime(up ? &below : &above, step, !up, exclude, exclude_count);
        }
        if (q == 0) {
            return ddt_fail(ctx, DDT_ERR_CAPACITY, "There are only %zu of %zu primes 1 mod 2^%u near 2^%g.", i, count,
                            order_log2, bits);
        }
        primes[i] = q;
    }
    return DDT_OK;
}
