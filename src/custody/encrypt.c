/* Encryption and decryption. SPDX-License-Identifier: Apache-2.0 */
#include "custody_internal.h"

#include <omp.h>
#include <string.h>

static ddt_status check_plaintext(ddt_context *ctx, const ddt_ckks_params *params, const ddt_plaintext *plaintext) {
    if (plaintext->limbs == NULL || plaintext->level > ddt_ckks_top_level(params) || !(plaintext->scale > 0.0)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A plaintext at level %u with scale %g cannot be encrypted.",
                        plaintext->level, plaintext->scale);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ with the secret key */

/* c1 = the seed's expansion, c0 = m + e - c1 s. */
static void secret_limbs(const ddt_ckks_params *params, int threads, const int64_t *secret, const int64_t *error,
                         const ddt_plaintext *plaintext, uint64_t *thread_limbs, const ddt_ciphertext *out) {
    const ddt_ring *ring = ddt_ckks_params_ring(params);
    const size_t n = ddt_ckks_n(params);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1)
    for (unsigned i = 0; i <= out->level; i++) {
        uint64_t *s = thread_limbs + 2 * (size_t)omp_get_thread_num() * n;
        uint64_t *e = s + n;
        uint64_t *c1 = ddt_ciphertext_limb(out, n, 1, i);
        ddt_ckks_expand_seed(params, out->seed, 0, i, c1);
        custody_to_ntt(params, i, secret, s);
        custody_to_ntt(params, i, error, e);
        ddt_ring_mul(ring, i, s, s, c1);
        ddt_ring_sub(ring, i, e, e, s);
        ddt_ring_add(ring, i, ddt_ciphertext_limb(out, n, 0, i), e, plaintext->limbs + i * n);
    }
}

ddt_status ddt_encrypt_secret(ddt_context *ctx, const ddt_secret_key *secret, const ddt_plaintext *plaintext,
                              ddt_ciphertext *out) {
    const ddt_ckks_params *params = secret->params;
    const size_t n = ddt_ckks_n(params);
    const int threads = ddt_context_threads(ctx);
    custody_scratch *scratch = NULL;
    custody_random *random = NULL;
    memset(out, 0, sizeof *out);
    ddt_status status = check_plaintext(ctx, params, plaintext);
    if (status == DDT_OK) {
        status = ddt_ciphertext_create(ctx, params, plaintext->level, 2, out);
    }
    if (status == DDT_OK) {
        status = custody_scratch_create(ctx, CUSTODY_RANDOM_WORDS + (2 + 2 * (size_t)threads) * n, &scratch);
    }
    if (status == DDT_OK) {
        status = custody_random_create(ctx, scratch, &random);
    }
    if (status == DDT_OK) {
        status = ddt_entropy(ctx, out->seed, sizeof out->seed);
    }
    if (status == DDT_OK) {
        int64_t *values = (int64_t *)custody_scratch_take(scratch, n);
        int64_t *error = (int64_t *)custody_scratch_take(scratch, n);
        custody_secret_values(secret, values);
        custody_sample_error(random, n, error);
        secret_limbs(params, threads, values, error, plaintext, custody_scratch_take(scratch, 2 * (size_t)threads * n),
                     out);
        out->scale = plaintext->scale;
        out->has_seed = true;
    }
    custody_scratch_destroy(scratch);
    if (status != DDT_OK) {
        ddt_ciphertext_destroy(out);
    }
    return status;
}

/* ------------------------------------------------------------------ with the public key */

enum { PUBLIC_POLYNOMIALS = 3 }; /* v, e0, e1 */

/* c0 = v b + e0 + m, c1 = v a + e1. polynomials: v, e0, e1. */
static void public_limbs(const ddt_ckks_params *params, int threads, const ddt_public_key *key,
                         const int64_t *polynomials, const ddt_plaintext *plaintext, uint64_t *thread_limbs,
                         const ddt_ciphertext *out) {
    const ddt_ring *ring = ddt_ckks_params_ring(params);
    const size_t n = ddt_ckks_n(params);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1)
    for (unsigned i = 0; i <= out->level; i++) {
        uint64_t *v = thread_limbs + 2 * (size_t)omp_get_thread_num() * n;
        uint64_t *e = v + n;
        uint64_t *c0 = ddt_ciphertext_limb(out, n, 0, i);
        custody_to_ntt(params, i, polynomials, v);
        custody_to_ntt(params, i, polynomials + n, e);
        ddt_ring_mul_add(ring, i, c0, e, v, key->b + i * n);
        ddt_ring_add(ring, i, c0, c0, plaintext->limbs + i * n);
        custody_to_ntt(params, i, polynomials + 2 * n, e);
        ddt_ring_mul_add(ring, i, ddt_ciphertext_limb(out, n, 1, i), e, v, key->a + i * n);
    }
}

ddt_status ddt_encrypt_public(ddt_context *ctx, const ddt_ckks_params *params, const ddt_public_key *key,
                              const ddt_plaintext *plaintext, ddt_ciphertext *out) {
    const size_t n = ddt_ckks_n(params);
    const int threads = ddt_context_threads(ctx);
    const size_t polynomials = PUBLIC_POLYNOMIALS + 2 * (size_t)threads;
    custody_scratch *scratch = NULL;
    custody_random *random = NULL;
    memset(out, 0, sizeof *out);
    ddt_status status = check_plaintext(ctx, params, plaintext);
    if (status == DDT_OK && key->level < plaintext->level) {
        status = ddt_fail(ctx, DDT_ERR_ARGUMENT, "The public key serves levels up to %u, not %u.", key->level,
                          plaintext->level);
    }
    if (status == DDT_OK) {
        status = ddt_ciphertext_create(ctx, params, plaintext->level, 2, out);
    }
    if (status == DDT_OK) {
        status = custody_scratch_create(ctx, CUSTODY_RANDOM_WORDS + polynomials * n, &scratch);
    }
    if (status == DDT_OK) {
        status = custody_random_create(ctx, scratch, &random);
    }
    if (status == DDT_OK) {
        int64_t *sampled = (int64_t *)custody_scratch_take(scratch, PUBLIC_POLYNOMIALS * n);
        custody_sample_ternary(random, n, sampled);
        custody_sample_error(random, n, sampled + n);
        custody_sample_error(random, n, sampled + 2 * n);
        public_limbs(params, threads, key, sampled, plaintext, custody_scratch_take(scratch, 2 * (size_t)threads * n),
                     out);
        out->scale = plaintext->scale;
    }
    custody_scratch_destroy(scratch);
    if (status != DDT_OK) {
        ddt_ciphertext_destroy(out);
    }
    return status;
}

/* ------------------------------------------------------------------ decryption */

static void decrypt_limbs(const ddt_ckks_params *params, int threads, const int64_t *secret, const ddt_ciphertext *ct,
                          uint64_t *thread_limbs, const ddt_plaintext *out) {
    const ddt_ring *ring = ddt_ckks_params_ring(params);
    const size_t n = ddt_ckks_n(params);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1)
    for (unsigned i = 0; i <= ct->level; i++) {
        uint64_t *s = thread_limbs + 2 * (size_t)omp_get_thread_num() * n;
        uint64_t *sum = s + n;
        const uint64_t *c1 = ddt_ciphertext_limb(ct, n, 1, i);
        custody_to_ntt(params, i, secret, s);
        if (ct->parts == 3) {
            ddt_ring_mul_add(ring, i, sum, c1, ddt_ciphertext_limb(ct, n, 2, i), s);
            c1 = sum;
        }
        ddt_ring_mul_add(ring, i, out->limbs + i * n, ddt_ciphertext_limb(ct, n, 0, i), c1, s);
    }
}

ddt_status ddt_decrypt(ddt_context *ctx, const ddt_secret_key *secret, const ddt_ciphertext *ciphertext,
                       ddt_plaintext *out) {
    const ddt_ckks_params *params = secret->params;
    const size_t n = ddt_ckks_n(params);
    const int threads = ddt_context_threads(ctx);
    custody_scratch *scratch = NULL;
    memset(out, 0, sizeof *out);
    if (ciphertext->limbs == NULL || ciphertext->parts < 2 || ciphertext->parts > 3 ||
        ciphertext->level > ddt_ckks_top_level(params)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A ciphertext of %u parts at level %u cannot be decrypted.",
                        ciphertext->parts, ciphertext->level);
    }
    ddt_status status = ddt_plaintext_create(ctx, params, ciphertext->level, out);
    if (status == DDT_OK) {
        status = custody_scratch_create(ctx, (1 + 2 * (size_t)threads) * n, &scratch);
    }
    if (status == DDT_OK) {
        int64_t *values = (int64_t *)custody_scratch_take(scratch, n);
        custody_secret_values(secret, values);
        decrypt_limbs(params, threads, values, ciphertext, custody_scratch_take(scratch, 2 * (size_t)threads * n), out);
        out->scale = ciphertext->scale;
    }
    custody_scratch_destroy(scratch);
    if (status != DDT_OK) {
        ddt_plaintext_destroy(out);
    }
    return status;
}
