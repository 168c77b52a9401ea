/*
 * ddt/custody/release.h - how a decrypted value leaves the custodian.
 *
 * A decryption of CKKS is the exact result plus a small noise that depends on the secret key: whoever sees it and the
 * ciphertext learns about the key (Li, Micciancio 2021). What stays with the custodian needs no care; what is given to
 * anyone who may also see ciphertexts goes through ddt_release: slots that are not part of the result are dropped, the
 * others are flooded with Gaussian noise far above the noise of the computation (Li, Micciancio, Schultz, Sorrell 2022)
 * and rounded to steps that a clinician cares about. The noise depends on how many releases a key makes in its life;
 * the ledger beside the key counts them, and refuses more. docs/security.md explains what this gives and what not.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CUSTODY_RELEASE_H
#define DDT_CUSTODY_RELEASE_H

#include "ddt/custody.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DDT_RELEASE_BITS_MIN = 40, /* statistical security s */
    DDT_RELEASE_BITS_MAX = 128,
    DDT_RELEASE_STEP_STDS = 8, /* a step is at least this many standard deviations of the flooding */
    DDT_LEDGER_LIMIT_MAX = 1 << 30
};

/* ------------------------------------------------------------------ the ledger */

/*
 * A text file of mode 0600: limit and count of the releases of one secret key, bound to it, to its parameters and to
 * its plan, and sealed by a keyed digest whose key follows from the secret key: without the secret key no other count
 * can be written. What it cannot tell is an older copy of itself put back. Every change holds a lock on the folder and
 * replaces the file whole; processes and threads may share it.
 */
typedef struct ddt_ledger_state {
    uint64_t limit; /* tau */
    uint64_t made;
} ddt_ledger_state;

/*
 * Begins the ledger of a key for 1..DDT_LEDGER_LIMIT_MAX releases in all. Refuses to replace a file (DDT_ERR_SECURITY).
 * Errors: DDT_ERR_ARGUMENT (limit), DDT_ERR_IO, DDT_ERR_NO_SPACE, DDT_ERR_PERMISSION (a folder others may write),
 * DDT_ERR_MEMORY, DDT_ERR_ENTROPY.
 */
DDT_MUST_CHECK ddt_status ddt_ledger_create(ddt_context *ctx, const char *path, const ddt_secret_key *secret,
                                            const ddt_digest *plan, uint64_t limit);
/*
 * Checks and reads it. Errors: DDT_ERR_IO (none there), DDT_ERR_PERMISSION (a link, another owner's, or one that group
 * or others may open), DDT_ERR_FORMAT, DDT_ERR_MISMATCH (another key's or plan's), DDT_ERR_CORRUPT (altered).
 */
DDT_MUST_CHECK ddt_status ddt_ledger_read(ddt_context *ctx, const char *path, const ddt_secret_key *secret,
                                          const ddt_digest *plan, ddt_ledger_state *state);
/*
 * Counts one release, on disk before it returns: a crash may waste one, never hide one. *state: afterwards. Errors
 * also: DDT_ERR_SECURITY when all are made, DDT_ERR_NO_SPACE; the count is then as it was.
 */
DDT_MUST_CHECK ddt_status ddt_ledger_take(ddt_context *ctx, const char *path, const ddt_secret_key *secret,
                                          const ddt_digest *plan, ddt_ledger_state *state);

/* ------------------------------------------------------------------ release */

typedef struct ddt_release_request {
    /*
     * N/2, public. steps[j] > 0: the real part of slot j is part of the result and is rounded to multiples of steps[j];
     * 0: the slot is dropped (its value is 0). At most `magnitude`.
     */
    const double *steps;
    /*
     * Bounds |real part decrypted - exact| in every released slot, for all inputs in their ranges: the worst case, not
     * an average. The planner's predicted_error is six standard deviations of its model of the noise.
     */
    double noise_bound;
    /* Bounds |value| of every slot. Public, not taken from the data. Released values are clamped to it before flooding.
     */
    double magnitude;
    /* s: DDT_RELEASE_BITS_MIN..DDT_RELEASE_BITS_MAX */
    unsigned security_bits;
} ddt_release_request;

typedef struct ddt_release_report {
    double flooding_std; /* standard deviation of the noise added to each released value before rounding */
    size_t released;     /* slots */
    ddt_ledger_state ledger;
} ddt_release_report;

/*
 * The standard deviation that a release will use, sqrt(12 tau) 2^(s/2) t with t = sqrt(k) (noise_bound + 2^-47
 * magnitude) (1 + 2^-10): k released slots; t bounds the Euclidean norm of the noise of all of them together; the
 * second term is decoding in double precision, the factor the grid on which noise is added. Nothing is counted or
 * decrypted: for planning. Errors: DDT_ERR_ARGUMENT (values outside their domains, no slot released), DDT_ERR_SECURITY
 * when some step is below DDT_RELEASE_STEP_STDS standard deviations: the sentence says how many bits are missing.
 */
DDT_MUST_CHECK ddt_status ddt_release_flooding(ddt_context *ctx, const ddt_ckks_params *params,
                                               const ddt_release_request *request, uint64_t limit, double *std);
/*
 * Decrypts, drops, floods, counts in the ledger, rounds. values: N/2, all zero on failure. tau is the ledger's limit.
 * The release is counted before one value is written; what is refused is not counted. Errors: those of
 * ddt_release_flooding, ddt_ledger_take and ddt_decrypt, DDT_ERR_ENTROPY, DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status ddt_release(ddt_context *ctx, const ddt_secret_key *secret, const ddt_digest *plan,
                                      const char *ledger_path, const ddt_ciphertext *ciphertext,
                                      const ddt_release_request *request, double *values, ddt_release_report *report);

#ifdef __cplusplus
}
#endif
#endif
