/* Release: drop, flood, count, round. SPDX-License-Identifier: Apache-2.0 */
#include "release_internal.h"

#include <math.h>
#include <sodium.h>
#include <string.h>

enum { GRID_BITS = 10, DECODE_BITS = 47, LINE_WORDS = 8 };

static const double kullback_factor = 12.0;

/* ------------------------------------------------------------------ how much noise */

static ddt_status check_request(ddt_context *ctx, const ddt_release_request *request, uint64_t limit) {
    if (!(request->noise_bound > 0.0) || !isfinite(request->noise_bound)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A release needs a bound of its noise, not %g.", request->noise_bound);
    }
    if (!(request->magnitude > 0.0) || !isfinite(request->magnitude)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A release needs a bound of its values, not %g.", request->magnitude);
    }
    if (request->security_bits < DDT_RELEASE_BITS_MIN || request->security_bits > DDT_RELEASE_BITS_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A release has %d to %d bits of statistical security, not %u.",
                        DDT_RELEASE_BITS_MIN, DDT_RELEASE_BITS_MAX, request->security_bits);
    }
    if (limit == 0 || limit > DDT_LEDGER_LIMIT_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A key makes 1 to %d releases, not %llu.", DDT_LEDGER_LIMIT_MAX,
                        (unsigned long long)limit);
    }
    return DDT_OK;
}

static ddt_status scan_steps(ddt_context *ctx, const ddt_ckks_params *params, const ddt_release_request *request,
                             size_t *released, double *finest) {
    *released = 0;
    *finest = request->magnitude;
    for (size_t j = 0; j < ddt_ckks_slots(params); j++) {
        const double step = request->steps[j];
        if (!(step >= 0.0 && step <= request->magnitude)) {
            return ddt_fail(ctx, DDT_ERR_ARGUMENT, "Slot %zu cannot be released in steps of %g: values reach %g.", j,
                            step, request->magnitude);
        }
        if (step > 0.0) {
            *released += 1;
            *finest = fmin(*finest, step);
        }
    }
    if (*released == 0) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "No slot is to be released.");
    }
    return DDT_OK;
}

/* gain: standard deviations of flooding for one unit of a slot's noise. */
static ddt_status check_steps(ddt_context *ctx, const ddt_release_request *request, double gain, double decoding,
                              double finest, size_t released) {
    const double allowed = finest / (DDT_RELEASE_STEP_STDS * gain) - decoding;
    if (request->noise_bound <= allowed) {
        return DDT_OK;
    }
    if (!(allowed > 0.0)) {
        return ddt_fail(ctx, DDT_ERR_SECURITY,
                        "Steps of %g are finer than %zu values can be released in (%.3g at best): release fewer values "
                        "at a time, or in larger steps.",
                        finest, released, DDT_RELEASE_STEP_STDS * gain * decoding);
    }
    return ddt_fail(ctx, DDT_ERR_SECURITY,
                    "Flooding with standard deviation %.3g would swamp steps of %g: %.0f more bits of headroom are "
                    "needed (keep two primes for the released result).",
                    gain * (request->noise_bound + decoding), finest, ceil(log2(request->noise_bound / allowed)));
}

/*
 * The grid is at most 2^-10 of a slot's noise bound. With steps of 8 standard deviations and more, but at most the
 * magnitude, the noise stays below 2^60 grid units and the value below 2^59: their sum fits 64 bits.
 */
ddt_status custody_flood_plan(ddt_context *ctx, const ddt_ckks_params *params, const ddt_release_request *request,
                              uint64_t limit, custody_flood *out) {
    double finest = 0.0;
    *out = (custody_flood){0};
    ddt_status status = check_request(ctx, request, limit);
    if (status == DDT_OK) {
        status = scan_steps(ctx, params, request, &out->released, &finest);
    }
    if (status != DDT_OK) {
        return status;
    }
    const double decoding = ldexp(request->magnitude, -DECODE_BITS);
    const double gain = sqrt(kullback_factor * (double)limit * (double)out->released) *
                        exp2((double)request->security_bits / 2.0) * (1.0 + ldexp(1.0, -GRID_BITS));
    status = check_steps(ctx, request, gain, decoding, finest, out->released);
    if (status != DDT_OK) {
        return status;
    }
    out->std = gain * (request->noise_bound + decoding);
    out->digits = 1;
    while (custody_gaussian_std(out->digits) < ldexp(gain, GRID_BITS)) {
        out->digits++;
    }
    out->grid = out->std / custody_gaussian_std(out->digits);
    return DDT_OK;
}

ddt_status ddt_release_flooding(ddt_context *ctx, const ddt_ckks_params *params, const ddt_release_request *request,
                                uint64_t limit, double *std) {
    custody_flood flood;
    const ddt_status status = custody_flood_plan(ctx, params, request, limit, &flood);
    *std = status == DDT_OK ? flood.std : 0.0;
    return status;
}

/* ------------------------------------------------------------------ flooding */

/*
 * Clamping and truncation to the grid move two values apart by at most one grid unit more than they were: the noise
 * covers that. Adding integers is exact, so that no low-order bits of a floating-point sum tell what was added
 * (Mironov 2012). Written so that compilers use minimum, maximum and conversion instructions.
 */
int64_t custody_flood_add(const custody_flood *flood, double magnitude, double value, int64_t noise) {
    const double below = value < magnitude ? value : magnitude;
    const double clamped = below > -magnitude ? below : -magnitude;
    return (int64_t)(clamped / flood->grid) + noise;
}

double custody_flood_round(const custody_flood *flood, int64_t flooded, double step) {
    return rint((double)flooded * flood->grid / step) * step + 0.0; /* + 0.0: no negative zero */
}

/* ------------------------------------------------------------------ release */

typedef struct release_work {
    custody_scratch *scratch;
    double complex *decoded; /* N/2 */
    int64_t *flooded;        /* the noise first */
    uint64_t *words;
    custody_random *random;
} release_work;

static ddt_status work_create(ddt_context *ctx, const ddt_ckks_params *params, size_t released, release_work *work) {
    const size_t padded = (released + LINE_WORDS - 1) / LINE_WORDS * LINE_WORDS;
    const size_t decoded = 2 * ddt_ckks_slots(params);
    ddt_status status = custody_scratch_create(ctx, decoded + 3 * padded + CUSTODY_RANDOM_WORDS, &work->scratch);
    if (status != DDT_OK) {
        return status;
    }
    work->decoded = (double complex *)(void *)custody_scratch_take(work->scratch, decoded);
    work->flooded = (int64_t *)custody_scratch_take(work->scratch, padded);
    work->words = custody_scratch_take(work->scratch, 2 * padded);
    return custody_random_create(ctx, work->scratch, &work->random);
}

static ddt_status decrypt_slots(ddt_context *ctx, const ddt_secret_key *secret, const ddt_ciphertext *ciphertext,
                                double complex *decoded) {
    ddt_plaintext plaintext;
    ddt_status status = ddt_decrypt(ctx, secret, ciphertext, &plaintext);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_ckks_decode(ctx, secret->params, &plaintext, decoded);
    sodium_memzero(plaintext.limbs,
                   ((size_t)plaintext.level_capacity + 1) * ddt_ckks_n(secret->params) * sizeof *plaintext.limbs);
    ddt_plaintext_destroy(&plaintext);
    return status;
}

static void flood_slots(const custody_flood *flood, const ddt_release_request *request, size_t slots,
                        const release_work *work) {
    custody_sample_gaussian(work->random, flood->digits, flood->released, work->words, work->flooded);
    size_t k = 0;
    for (size_t j = 0; j < slots; j++) {
        if (request->steps[j] > 0.0) {
            work->flooded[k] = custody_flood_add(flood, request->magnitude, creal(work->decoded[j]), work->flooded[k]);
            k++;
        }
    }
}

static void round_slots(const custody_flood *flood, const ddt_release_request *request, size_t slots,
                        const int64_t *flooded, double *values) {
    size_t k = 0;
    for (size_t j = 0; j < slots; j++) {
        if (request->steps[j] > 0.0) {
            values[j] = custody_flood_round(flood, flooded[k], request->steps[j]);
            k++;
        }
    }
}

/* The ledger was read before, for its limit: the limit that counts is the one found when the release is counted. */
static ddt_status count_release(ddt_context *ctx, const ddt_secret_key *secret, const ddt_digest *plan,
                                const char *path, ddt_ledger_state *state) {
    const uint64_t limit = state->limit;
    ddt_status status = ddt_ledger_take(ctx, path, secret, plan, state);
    if (status == DDT_OK && state->limit != limit) {
        status = ddt_fail(ctx, DDT_ERR_MISMATCH, "The ledger '%s' was exchanged during a release.", path);
    }
    return status;
}

ddt_status ddt_release(ddt_context *ctx, const ddt_secret_key *secret, const ddt_digest *plan, const char *ledger_path,
                       const ddt_ciphertext *ciphertext, const ddt_release_request *request, double *values,
                       ddt_release_report *report) {
    const size_t slots = ddt_ckks_slots(secret->params);
    custody_flood flood = {0};
    release_work work = {0};
    ddt_ledger_state state;
    memset(values, 0, slots * sizeof *values);
    *report = (ddt_release_report){0};
    ddt_status status = ddt_ledger_read(ctx, ledger_path, secret, plan, &state);
    if (status == DDT_OK) {
        status = custody_flood_plan(ctx, secret->params, request, state.limit, &flood);
    }
    if (status == DDT_OK) {
        status = work_create(ctx, secret->params, flood.released, &work);
    }
    if (status == DDT_OK) {
        status = decrypt_slots(ctx, secret, ciphertext, work.decoded);
    }
    if (status == DDT_OK) {
        flood_slots(&flood, request, slots, &work);
        status = count_release(ctx, secret, plan, ledger_path, &state);
    }
    if (status == DDT_OK) {
        round_slots(&flood, request, slots, work.flooded, values);
        *report = (ddt_release_report){flood.std, flood.released, state};
    }
    custody_scratch_destroy(work.scratch);
    return status;
}
