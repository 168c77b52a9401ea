/* Constants of one modulus. SPDX-License-Identifier: Apache-2.0 */
#include "modulus.h"

#include "arith.h"

uint64_t ddt_modulus_mul(const ddt_modulus *modulus, uint64_t a, uint64_t b) {
    return ddt_reduce_wide(ddt_wide_mul(a, b), modulus->q, modulus->bits, modulus->reciprocal);
}

uint64_t ddt_modulus_pow(const ddt_modulus *modulus, uint64_t a, uint64_t exponent) {
    uint64_t power = 1;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1) {
            power = ddt_modulus_mul(modulus, power, a);
        }
        a = ddt_modulus_mul(modulus, a, a);
    }
    return power;
}

/*
 * The quotient of w 2^shift by q without a division: it is (w 2^shift - r) / q, and modulo 2^shift that is -r q^-1,
 * with r = w 2^shift mod q. The quotient is below 2^shift because w < q.
 */
uint64_t ddt_modulus_quotient(const ddt_modulus *modulus, uint64_t w, unsigned shift) {
    uint64_t r = ddt_modulus_mul(modulus, w, shift == 64 ? modulus->power_64 : modulus->montgomery_52);
    uint64_t quotient = 0 - r * modulus->inverse_64;
    return shift == 64 ? quotient : quotient & ((UINT64_C(1) << 52) - 1);
}

/* q^-1 mod 2^64 by Newton's iteration, which doubles the correct bits: q is its own inverse mod 8. */
static uint64_t inverse_of_odd(uint64_t q) {
    uint64_t inverse = q;
    for (int correct_bits = 3; correct_bits < 64; correct_bits *= 2) {
        inverse *= 2 - q * inverse;
    }
    return inverse;
}

void ddt_modulus_init(ddt_modulus *modulus, uint64_t q, unsigned log_n) {
    const uint64_t signed_bound = UINT64_C(1) << 62;
    unsigned bits = 0;
    uint64_t rest = q;
    do {
        bits++;
        rest >>= 1;
    } while (rest > 0);
    *modulus = (ddt_modulus){.q = q, .bits = bits, .log_n = log_n, .n = (size_t)1 << log_n};
    modulus->reciprocal = ddt_power_of_two_quotient(bits + 63, q);
    modulus->reciprocal_64 = ddt_power_of_two_quotient(64, q);
    modulus->reciprocal_52 = ddt_power_of_two_quotient(bits + 51, q);
    modulus->inverse_64 = inverse_of_odd(q);
    modulus->inverse_52 = modulus->inverse_64 & ((UINT64_C(1) << 52) - 1);
    modulus->montgomery_52 = (UINT64_C(1) << 52) % q;
    modulus->power_64 = ddt_modulus_mul(modulus, modulus->montgomery_52, (UINT64_C(1) << 12) % q);
    modulus->signed_offset = (signed_bound + q - 1) / q * q;
}
