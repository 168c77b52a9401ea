/*
 * Parameters: primes, scales, constants and conversions, all derived from the literal.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ckks_internal.h"

#include <math.h>
#include <string.h>

enum { LARGE_BITS = 50, SCALE_BITS_MIN = 20, SCALE_BITS_MAX = 49, LITERAL_WORDS = 5, LOG_N_MIN = 10, LOG_N_MAX = 17 };

/* A canonical scale further than this from 2^scale_bits means that the ring degree is too large for primes of that
 * size. */
static const double scale_drift_bits = 0.5;

unsigned ddt_ckks_max_log_qp(unsigned log_n) {
    static const unsigned table[] = {25, 52, 106, 214, 430, 868, 1747, 3523};
    return log_n < LOG_N_MIN || log_n > LOG_N_MAX ? 0 : table[log_n - LOG_N_MIN];
}

/*
 * What P exceeds the largest digit by, in bits: the noise of a key switch is then within a quarter of a bit of what any
 * larger P would give (docs/precision.md), and every bit less leaves the security table's budget to more special primes
 * or to a smaller ring. Primes need some bits above log_n to be found.
 */
static const double special_margin_bits = 2.75;
enum { SPECIAL_SPARE_BITS = 13 };

double ddt_ckks_special_bits(const ddt_ckks_literal *literal) {
    const double digit = literal->first_bits + (literal->p_count - 1.0) * literal->scale_bits;
    const double bits = (digit + special_margin_bits) / literal->p_count;
    if (literal->p_count == 1 || literal->boot_levels > 0 || bits > LARGE_BITS) {
        return LARGE_BITS;
    }
    return fmax(bits, (double)literal->log_n + SPECIAL_SPARE_BITS);
}

static unsigned step_of(const ddt_ckks_literal *p) { return p->scale_primes > 1 ? p->scale_primes : 1; }

static ddt_status check_composite(ddt_context *ctx, const ddt_ckks_literal *p) {
    if (p->scale_primes > 2) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "Scales are over one prime or two, not %u.", p->scale_primes);
    }
    if (p->scale_primes == 2 && p->boot_levels != 0) {
        return ddt_fail(
            ctx, DDT_ERR_ARGUMENT,
            "Scales over two primes cannot be bootstrapped (%u levels of bootstrapping are asked for): more "
            "precision than one bootstrap's is had from scales of one prime, iterated.",
            p->boot_levels);
    }
    if (p->scale_primes == 2 && p->levels % 2 == 0) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "Scales over two primes want an odd number of levels, not %u.",
                        p->levels);
    }
    return DDT_OK;
}

static ddt_status check_literal(ddt_context *ctx, const ddt_ckks_literal *literal) {
    const ddt_ckks_literal *p = literal;
    if (p->log_n < LOG_N_MIN || p->log_n > LOG_N_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The ring degree 2^%u is outside 2^%d..2^%d.", p->log_n, LOG_N_MIN,
                        LOG_N_MAX);
    }
    if (p->levels > DDT_CKKS_LEVELS_MAX || p->boot_levels > DDT_CKKS_LEVELS_MAX - p->levels) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "%u and %u levels are more than the %d supported.", p->levels,
                        p->boot_levels, DDT_CKKS_LEVELS_MAX);
    }
    if (p->scale_bits < SCALE_BITS_MIN || p->scale_bits > SCALE_BITS_MAX || p->first_bits < p->scale_bits ||
        p->first_bits > DDT_RING_MODULUS_BITS_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT,
                        "Prime sizes of %u and %u bits are outside %d..%d (scale) and scale..%d (first).",
                        p->scale_bits, p->first_bits, SCALE_BITS_MIN, SCALE_BITS_MAX, DDT_RING_MODULUS_BITS_MAX);
    }
    if (p->p_count < 1 || p->p_count > DDT_CKKS_P_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "%u special primes are outside 1..%d.", p->p_count, DDT_CKKS_P_MAX);
    }
    return check_composite(ctx, p);
}

/* ------------------------------------------------------------------ primes */

/* Primes near 2^scale_bits to choose from: up to three times as many as needed, fewer where the size does not have
 * them. */
static ddt_status prime_pool(ddt_context *ctx, const ddt_ckks_literal *p, uint64_t first, uint64_t *pool,
                             size_t *count) {
    const size_t wanted = *count;
    for (size_t tried = wanted; tried >= p->levels && tried > 0; tried -= (tried + 7) / 8) {
        /* NULL context: running out of primes here is not an error yet. */
        if (ddt_ring_find_primes(NULL, p->log_n + 1, p->scale_bits, tried, &first, 1, pool) == DDT_OK) {
            *count = tried;
            return DDT_OK;
        }
    }
    *count = p->levels;
    return p->levels == 0 ? DDT_OK : ddt_ring_find_primes(ctx, p->log_n + 1, p->scale_bits, p->levels, &first, 1, pool);
}

/* Removes from pool[0..count) the prime nearest to target. */
static uint64_t take_nearest(uint64_t *pool, size_t count, double target) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        if (fabs((double)pool[i] - target) < fabs((double)pool[best] - target)) {
            best = i;
        }
    }
    const uint64_t prime = pool[best];
    pool[best] = pool[count - 1];
    return prime;
}

/*
 * q_levels..q_1 and the canonical scales. S_{l-1} = S_l^2 / q_l doubles a scale's deviation at each level, so each
 * prime is the one nearest to S_l^2 / 2^scale_bits, which brings the next scale back to 2^scale_bits. Of two primes a
 * step the first is any near 2^scale_bits, and the second brings the product to where it should be. In composite chains
 * q_1, which only holds results with q_0, comes last.
 */
static ddt_status choose_chain(ddt_context *ctx, const ddt_ckks_literal *p, uint64_t *q, double *scales) {
    enum { POOL_MAX = 3 * DDT_CKKS_LEVELS_MAX + 16 };
    uint64_t pool[POOL_MAX];
    size_t count = 3 * (size_t)p->levels + 16;
    ddt_status status = ddt_ring_find_primes(ctx, p->log_n + 1, p->first_bits, 1, NULL, 0, &q[0]);
    if (status == DDT_OK) {
        status = prime_pool(ctx, p, q[0], pool, &count);
    }
    if (status != DDT_OK) {
        return status;
    }
    const unsigned step = step_of(p);
    const double prime = ldexp(1.0, (int)p->scale_bits);
    const double nominal = ldexp(1.0, (int)(step * p->scale_bits));
    scales[p->levels] = nominal;
    for (unsigned l = p->levels; l >= step; l -= step) {
        double wanted = scales[l] * scales[l] / nominal;
        double divisor = 1.0;
        for (unsigned i = 0; i < step; i++) {
            q[l - i] = take_nearest(pool, count--, i + 1 < step ? prime : wanted);
            divisor *= (double)q[l - i];
            wanted /= (double)q[l - i];
            scales[l - i] = scales[l];
        }
        scales[l - step] = scales[l] * scales[l] / divisor;
        if (fabs(log2(scales[l - step] / nominal)) > scale_drift_bits) {
            return ddt_fail(ctx, DDT_ERR_CAPACITY,
                            "There are not enough primes near 2^%u for %u levels at ring degree 2^%u.", p->scale_bits,
                            p->levels, p->log_n);
        }
    }
    if (step > 1) {
        q[1] = take_nearest(pool, count, prime);
        scales[0] = scales[1];
    }
    return DDT_OK;
}

/* p_count, boot_levels and scale_primes in one word, so that a literal without the last two keeps the bytes it had
 * before there were any. */
enum { BOOT_SHIFT = 8, STEP_SHIFT = 16, COUNT_MASK = 255 };

static uint32_t counts_word(const ddt_ckks_literal *p) {
    const uint32_t step = p->scale_primes > 1 ? p->scale_primes : 0;
    return p->p_count | (uint32_t)p->boot_levels << BOOT_SHIFT | step << STEP_SHIFT;
}

static void put_u64(uint8_t *out, uint64_t value) {
    for (unsigned i = 0; i < 8; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

static void digest_params(ddt_ckks_params *params) {
    enum { WORDS = LITERAL_WORDS + DDT_CKKS_LEVELS_MAX + 1 + DDT_CKKS_P_MAX };
    uint8_t bytes[8 * WORDS];
    const ddt_ckks_literal *p = &params->literal;
    const uint64_t head[LITERAL_WORDS] = {p->log_n, p->levels, p->first_bits, p->scale_bits, counts_word(p)};
    size_t used = 0;
    for (size_t i = 0; i < LITERAL_WORDS; i++, used += 8) {
        put_u64(bytes + used, head[i]);
    }
    for (size_t m = 0; m < params->modulus_count; m++, used += 8) {
        put_u64(bytes + used, ddt_ring_modulus(params->ring, m));
    }
    ddt_digest_of(bytes, used, &params->digest);
}

/*
 * The special primes and those of the levels of bootstrapping, which have one size where there are any. The scales of
 * those levels follow the same rule as the others, from 2^50 at the top; their deviation from 2^50 stays below a
 * percent.
 */
static ddt_status choose_large(ddt_context *ctx, ddt_ckks_params *params, uint64_t *primes) {
    const ddt_ckks_literal *p = &params->literal;
    const size_t user_count = (size_t)p->levels + 1;
    uint64_t *special = primes + params->top + 1;
    uint64_t large[DDT_CKKS_LEVELS_MAX + DDT_CKKS_P_MAX];
    ddt_status status = ddt_ring_find_primes(ctx, p->log_n + 1, ddt_ckks_special_bits(p),
                                             (size_t)p->p_count + p->boot_levels, primes, user_count, large);
    if (status != DDT_OK) {
        return status;
    }
    memcpy(special, large, p->p_count * sizeof *special);
    for (unsigned l = params->top; l > p->levels; l--) {
        primes[l] = large[p->p_count + params->top - l];
        const double above = l == params->top ? ldexp(1.0, LARGE_BITS) : params->scales[l + 1];
        params->scales[l] = l == params->top ? above : above * above / (double)primes[l + 1];
    }
    return DDT_OK;
}

static ddt_status choose_primes(ddt_context *ctx, ddt_ckks_params *params) {
    const ddt_ckks_literal *p = &params->literal;
    uint64_t primes[DDT_CKKS_LEVELS_MAX + 1 + DDT_CKKS_P_MAX];
    const size_t q_count = (size_t)params->top + 1;
    ddt_status status = choose_chain(ctx, p, primes, params->scales);
    if (status == DDT_OK) {
        status = choose_large(ctx, params, primes);
    }
    if (status != DDT_OK) {
        return status;
    }
    double log2_qp = 0.0;
    for (size_t m = 0; m < params->modulus_count; m++) {
        log2_qp += log2((double)primes[m]);
        if (m < q_count) {
            params->log2_q[m] = log2_qp;
        }
    }
    params->log2_qp = log2_qp;
    const unsigned cap = ddt_ckks_max_log_qp(p->log_n);
    params->secure = log2_qp <= (double)cap;
    return ddt_ring_create(ctx, p->log_n, primes, params->modulus_count, &params->ring);
}

/* ------------------------------------------------------------------ constants */

static void modulus_constants(ddt_ckks_params *params, uint64_t *scratch) {
    const ddt_ring *ring = params->ring;
    const size_t q_count = (size_t)params->top + 1;
    for (size_t i = 0; i < q_count; i++) {
        const uint64_t q = ddt_ring_modulus(ring, i);
        uint64_t product = 1;
        for (size_t j = q_count; j < params->modulus_count; j++) {
            product = ddt_ring_scalar_mul(ring, i, product, ddt_ring_modulus(ring, j) % q);
        }
        params->p_mod_q[i] = product;
        params->p_inverse[i] = ddt_ring_scalar_inverse(ring, i, product);
        for (size_t l = i + 1; l < q_count; l++) {
            params->q_inverse[l * q_count + i] = ddt_ring_scalar_inverse(ring, i, ddt_ring_modulus(ring, l) % q);
        }
    }
    for (size_t m = 0; m < params->modulus_count; m++) {
        memset(scratch, 0, params->n * sizeof *scratch);
        scratch[params->n / 2] = 1;
        ddt_ring_ntt(ring, m, scratch);
        params->imaginary[m] = scratch[0];
    }
}

/* Conversion of q_begin..q_{end-1} to all primes below `begin`, those from `end` to q_levels when to_end, and the P
 * primes. */
static ddt_status digit_conversion(ddt_context *ctx, const ddt_ckks_params *params, uint32_t begin, uint32_t end,
                                   bool to_end, ddt_baseconv **out) {
    uint32_t from[DDT_CKKS_P_MAX];
    uint32_t to[DDT_CKKS_LEVELS_MAX + 1 + DDT_CKKS_P_MAX];
    size_t from_count = 0;
    size_t to_count = 0;
    for (uint32_t m = 0; m < (uint32_t)params->modulus_count; m++) {
        if (m >= begin && m < end) {
            from[from_count++] = m;
        } else if (m < begin || to_end || m > params->top) {
            to[to_count++] = m;
        }
    }
    return ddt_baseconv_create(ctx, params->ring, from, from_count, to, to_count, out);
}

static ddt_status digit_conversions(ddt_context *ctx, ddt_ckks_params *params) {
    const unsigned k = params->literal.p_count;
    ddt_status status = DDT_OK;
    for (unsigned l = 0; l <= params->top && status == DDT_OK; l++) {
        const unsigned digit = l / k;
        if ((l + 1) % k == 0) {
            status = digit_conversion(ctx, params, digit * k, l + 1, true, &params->whole[digit]);
        } else {
            status = digit_conversion(ctx, params, digit * k, l + 1, false, &params->part[l]);
        }
    }
    return status;
}

static ddt_status down_conversions(ddt_context *ctx, ddt_ckks_params *params) {
    const unsigned levels = params->top;
    uint32_t from[DDT_CKKS_P_MAX + 1];
    uint32_t to[DDT_CKKS_LEVELS_MAX + 1];
    const size_t k = params->literal.p_count;
    for (uint32_t j = 0; j < (uint32_t)k; j++) {
        from[j] = levels + 1 + j;
    }
    for (uint32_t i = 0; i <= levels; i++) {
        to[i] = i;
    }
    ddt_status status = ddt_baseconv_create(ctx, params->ring, from, k, to, (size_t)levels + 1, &params->down);
    for (unsigned l = 1; l <= levels && status == DDT_OK; l++) {
        from[k] = l;
        status = ddt_baseconv_create(ctx, params->ring, from, k + 1, to, l, &params->down_rescale[l]);
    }
    return status;
}

static ddt_status build(ddt_context *ctx, ddt_ckks_params *params, bool check_security) {
    const ddt_ckks_literal *p = &params->literal;
    ddt_status status = choose_primes(ctx, params);
    if (status != DDT_OK) {
        return status;
    }
    if (check_security && !params->secure) {
        return ddt_fail(ctx, DDT_ERR_SECURITY,
                        "log2(QP) = %.1f is above the %u bits that give 128-bit security at ring degree 2^%u.",
                        params->log2_qp, ddt_ckks_max_log_qp(p->log_n), p->log_n);
    }
    digest_params(params);
    const size_t q_count = (size_t)params->top + 1;
    uint64_t *scratch = ddt_alloc(params->n, sizeof *scratch);
    params->q_inverse = ddt_calloc(q_count * q_count, sizeof *params->q_inverse);
    if (scratch == NULL || params->q_inverse == NULL) {
        ddt_free(scratch);
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for CKKS parameters at ring degree 2^%u.", p->log_n);
    }
    modulus_constants(params, scratch);
    ddt_free(scratch);
    status = ckks_fft_create(ctx, params->n / 2, &params->fft);
    if (status == DDT_OK) {
        status = digit_conversions(ctx, params);
    }
    return status == DDT_OK ? down_conversions(ctx, params) : status;
}

static ddt_status create(ddt_context *ctx, const ddt_ckks_literal *literal, bool check_security,
                         ddt_ckks_params **out) {
    *out = NULL;
    ddt_status status = check_literal(ctx, literal);
    if (status != DDT_OK) {
        return status;
    }
    ddt_ckks_params *params = ddt_calloc(1, sizeof *params);
    if (params == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for CKKS parameters.");
    }
    params->literal = *literal;
    params->n = (size_t)1 << literal->log_n;
    params->top = literal->levels + literal->boot_levels;
    params->modulus_count = (size_t)params->top + 1 + literal->p_count;
    status = build(ctx, params, check_security);
    if (status != DDT_OK) {
        ddt_ckks_params_destroy(params);
        return status;
    }
    *out = params;
    return DDT_OK;
}

ddt_status ddt_ckks_params_create(ddt_context *ctx, const ddt_ckks_literal *literal, ddt_ckks_params **out) {
    return create(ctx, literal, true, out);
}

ddt_status ddt_ckks_params_create_insecure_for_testing(ddt_context *ctx, const ddt_ckks_literal *literal,
                                                       ddt_ckks_params **out) {
    return create(ctx, literal, false, out);
}

void ddt_ckks_params_destroy(ddt_ckks_params *params) {
    if (params == NULL) {
        return;
    }
    for (size_t i = 0; i <= DDT_CKKS_LEVELS_MAX; i++) {
        ddt_baseconv_destroy(params->whole[i]);
        ddt_baseconv_destroy(params->part[i]);
        ddt_baseconv_destroy(params->down_rescale[i]);
    }
    ddt_baseconv_destroy(params->down);
    ckks_fft_destroy(&params->fft);
    ddt_free(params->q_inverse);
    ddt_ring_destroy(params->ring);
    ddt_free(params);
}

/* ------------------------------------------------------------------ questions */

const ddt_ckks_literal *ddt_ckks_params_literal(const ddt_ckks_params *params) { return &params->literal; }

bool ddt_ckks_params_is_secure(const ddt_ckks_params *params) { return params->secure; }

const ddt_ring *ddt_ckks_params_ring(const ddt_ckks_params *params) { return params->ring; }

size_t ddt_ckks_n(const ddt_ckks_params *params) { return params->n; }

size_t ddt_ckks_slots(const ddt_ckks_params *params) { return params->n / 2; }

unsigned ddt_ckks_levels(const ddt_ckks_params *params) { return params->literal.levels; }

unsigned ddt_ckks_top_level(const ddt_ckks_params *params) { return params->top; }

uint64_t ddt_ckks_prime(const ddt_ckks_params *params, unsigned level) { return ddt_ring_modulus(params->ring, level); }

double ddt_ckks_log2_qp(const ddt_ckks_params *params) { return params->log2_qp; }

unsigned ddt_ckks_step(const ddt_ckks_params *params) { return step_of(&params->literal); }

double ddt_ckks_step_modulus(const ddt_ckks_params *params, unsigned level) {
    double product = (double)ddt_ckks_prime(params, level);
    for (unsigned i = 1; i < step_of(&params->literal); i++) {
        product *= (double)ddt_ckks_prime(params, level - i);
    }
    return product;
}

double ddt_ckks_canonical_scale(const ddt_ckks_params *params, unsigned level) { return params->scales[level]; }

unsigned ddt_ckks_digits(const ddt_ckks_params *params, unsigned level) { return level / params->literal.p_count + 1; }

const ddt_digest *ddt_ckks_params_digest(const ddt_ckks_params *params) { return &params->digest; }

void ddt_ckks_write_literal(ddt_writer *writer, const ddt_ckks_literal *literal) {
    ddt_writer_u32(writer, literal->log_n);
    ddt_writer_u32(writer, literal->levels);
    ddt_writer_u32(writer, literal->first_bits);
    ddt_writer_u32(writer, literal->scale_bits);
    ddt_writer_u32(writer, counts_word(literal));
}

ddt_status ddt_ckks_read_literal(ddt_reader *reader, ddt_ckks_literal *literal) {
    uint32_t words[LITERAL_WORDS];
    for (size_t i = 0; i < LITERAL_WORDS; i++) {
        ddt_status status = ddt_reader_u32(reader, &words[i]);
        if (status != DDT_OK) {
            return status;
        }
    }
    const ddt_ckks_literal read = {.log_n = words[0],
                                   .levels = words[1],
                                   .first_bits = words[2],
                                   .scale_bits = words[3],
                                   .p_count = words[4] & COUNT_MASK,
                                   .boot_levels = words[4] >> BOOT_SHIFT & COUNT_MASK,
                                   .scale_primes = words[4] >> STEP_SHIFT};
    /* One is written as 0: one set of parameters, one encoding. */
    if (read.scale_primes == 1 || check_literal(NULL, &read) != DDT_OK) {
        return DDT_ERR_FORMAT;
    }
    *literal = read;
    return DDT_OK;
}

/* ------------------------------------------------------------------ constants in the NTT domain */

uint64_t ckks_double_residue(const ddt_ring *ring, size_t m, double integer) {
    enum { MANTISSA_BITS = 53 };
    const uint64_t q = ddt_ring_modulus(ring, m);
    int exponent = 0;
    double fraction = frexp(fabs(integer), &exponent);
    uint64_t residue = 0;
    if (exponent <= MANTISSA_BITS) {
        residue = (uint64_t)fabs(integer) % q;
    } else {
        const uint64_t mantissa = (uint64_t)ldexp(fraction, MANTISSA_BITS) % q;
        residue = ddt_ring_scalar_mul(ring, m, mantissa,
                                      ddt_ring_scalar_pow(ring, m, 2, (uint64_t)(exponent - MANTISSA_BITS)));
    }
    return integer < 0.0 && residue != 0 ? q - residue : residue;
}

void ckks_fill_constant(const ddt_ckks_params *params, size_t m, double re, double im, uint64_t *limb) {
    const ddt_ring *ring = params->ring;
    const uint64_t q = ddt_ring_modulus(ring, m);
    const uint64_t real = ckks_double_residue(ring, m, re);
    const uint64_t turned = ddt_ring_scalar_mul(ring, m, ckks_double_residue(ring, m, im), params->imaginary[m]);
    const uint64_t low = (real + turned) % q;
    const uint64_t high = (real + q - turned) % q;
    for (size_t j = 0; j < params->n / 2; j++) {
        limb[j] = low;
        limb[params->n / 2 + j] = high;
    }
}
