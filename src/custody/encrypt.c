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

typedef struct public_work {
    const ddt_ckks_params *params;
    const ddt_public_key *key;
    int threads;
    int64_t *polynomials; /* v, e0, e1 */
    uint64_t *limbs;      /* PUBLIC_POLYNOMIALS strides a thread */
} public_work;

/* From one limb of a thread to the next: not a power of two, so that equal places do not share a set of a cache. */
static size_t public_stride(size_t n) {
    enum { LINES_WORDS = 40 };
    return n + LINES_WORDS;
}

/* error -= value, centred modulo q. Constant time. */
static void subtract_centred(size_t n, uint64_t q, const uint64_t *value, int64_t *error) {
    for (size_t j = 0; j < n; j++) {
        /* All ones where the value is above q / 2. */
        const uint64_t above = 0 - ((q / 2 - value[j]) >> 63);
        error[j] -= (int64_t)(value[j] - (q & above));
    }
}

/*
 * (v b + e0, v a + e1) modulo Q p_0 is to be divided by p_0, rounding: what it is modulo p_0, centred, is subtracted
 * from it. It is subtracted from the errors, which are coefficients anyway, so that rounding costs no transform of the
 * other limbs.
 */
static void prepare_division(const public_work *w) {
    const ddt_ring *ring = ddt_ckks_params_ring(w->params);
    const size_t n = ddt_ckks_n(w->params);
    const size_t last = custody_public_limbs(w->params) - 1;
    const size_t m = custody_public_modulus(w->params, last);
    const uint64_t *keys[2] = {w->key->b + last * n, w->key->a + last * n};
    uint64_t *v = w->limbs;
    uint64_t *sum = v + n;
    custody_to_ntt(w->params, m, w->polynomials, v);
    for (size_t p = 0; p < 2; p++) {
        int64_t *error = w->polynomials + (1 + p) * n;
        custody_to_ntt(w->params, m, error, sum);
        ddt_ring_mul_add(ring, m, sum, sum, v, keys[p]);
        ddt_ring_intt(ring, m, sum);
        subtract_centred(n, ddt_ring_modulus(ring, m), sum, error);
    }
}

/* One limb of the result: the NTT domain of v, e0, e1, all divided by p_0, and what they are combined with. */
typedef struct public_limb {
    const ddt_ring *parts;
    unsigned i;
    const uint64_t *v;
    const uint64_t *error[2];
    const uint64_t *key[2];
    const uint64_t *message;
    uint64_t *out[2];
} public_limb;

static void combine_part(void *work, size_t from) {
    const public_limb *l = work;
    for (size_t p = 0; p < 2; p++) {
        ddt_ring_mul_add(l->parts, l->i, l->out[p] + from, l->error[p] + from, l->v + from, l->key[p] + from);
    }
    ddt_ring_add(l->parts, l->i, l->out[0] + from, l->out[0] + from, l->message + from);
}

/* Limb i of c0 = (v / p_0) b + e0 / p_0 + message, c1 = (v / p_0) a + e1 / p_0; room: PUBLIC_POLYNOMIALS strides. */
static void public_limb_of(const public_work *w, const ddt_plaintext *plaintext, const ddt_ciphertext *out, unsigned i,
                           uint64_t *room) {
    const ddt_ring *ring = ddt_ckks_params_ring(w->params);
    const size_t n = ddt_ckks_n(w->params);
    const uint64_t p = ddt_ring_modulus(ring, custody_public_modulus(w->params, custody_public_limbs(w->params) - 1));
    const uint64_t inverse = ddt_ring_scalar_inverse(ring, i, p % ddt_ring_modulus(ring, i));
    uint64_t *limbs[PUBLIC_POLYNOMIALS];
    for (size_t k = 0; k < PUBLIC_POLYNOMIALS; k++) {
        limbs[k] = room + k * public_stride(n);
        ddt_ring_from_signed_mul(ring, i, limbs[k], w->polynomials + k * n, inverse);
        ddt_ring_ntt_begin(ring, i, limbs[k]);
    }
    public_limb l = {.parts = ddt_ring_part(ring),
                     .i = i,
                     .v = limbs[0],
                     .error = {limbs[1], limbs[2]},
                     .key = {w->key->b + i * n, w->key->a + i * n},
                     .message = plaintext->limbs + i * n,
                     .out = {ddt_ciphertext_limb(out, n, 0, i), ddt_ciphertext_limb(out, n, 1, i)}};
    /* What is written has to be read, too. */
    const uint64_t *const ahead[] = {l.key[0], l.key[1], l.message, l.out[0], l.out[1]};
    const ddt_ring_visitor visitor = {combine_part, &l, ahead, sizeof ahead / sizeof ahead[0], false};
    ddt_ring_ntt_finish(ring, i, limbs, PUBLIC_POLYNOMIALS, &visitor);
}

/* With errors from prepare_division. */
static void public_limbs(const public_work *w, const ddt_plaintext *plaintext, const ddt_ciphertext *out) {
    const size_t room = PUBLIC_POLYNOMIALS * public_stride(ddt_ckks_n(w->params));
#pragma omp parallel for num_threads(w->threads) if (w->threads > 1) schedule(dynamic, 1)
    for (unsigned i = 0; i <= out->level; i++) {
        public_limb_of(w, plaintext, out, i, w->limbs + (size_t)omp_get_thread_num() * room);
    }
}

ddt_status ddt_encrypt_public(ddt_context *ctx, const ddt_ckks_params *params, const ddt_public_key *key,
                              const ddt_plaintext *plaintext, ddt_ciphertext *out) {
    const size_t n = ddt_ckks_n(params);
    const int threads = ddt_context_threads(ctx);
    const size_t room = (size_t)threads * PUBLIC_POLYNOMIALS * public_stride(n);
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
        status = custody_scratch_create(ctx, CUSTODY_RANDOM_WORDS + PUBLIC_POLYNOMIALS * n + room, &scratch);
    }
    if (status == DDT_OK) {
        status = custody_random_create(ctx, scratch, &random);
    }
    if (status == DDT_OK) {
        int64_t *sampled = (int64_t *)custody_scratch_take(scratch, PUBLIC_POLYNOMIALS * n);
        custody_sample_ternary(random, n, sampled);
        custody_sample_error(random, n, sampled + n);
        custody_sample_error(random, n, sampled + 2 * n);
        const public_work work = {params, key, threads, sampled, custody_scratch_take(scratch, room)};
        prepare_division(&work);
        public_limbs(&work, plaintext, out);
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
