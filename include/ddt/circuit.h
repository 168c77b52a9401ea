/*
 * ddt/circuit.h - encrypted programs: build, run in the clear, plan, run under CKKS.
 *
 * A circuit is an SSA graph over vectors. A vector has `lanes` lanes (a patient, or a part of one) of `block` slots
 * each, block a power of two; what the slots of a block mean (observation x dose, particle, ...) is the builder's
 * affair. Lanes never mix: how many of them share a ciphertext is decided by the plan, and the same program runs for
 * every batch of lanes. Encrypted and public values are told apart by type: arithmetic on public values is done while
 * building and costs nothing.
 *
 *   build (ddt_circuit_*)  ->  calibrate in the clear  ->  plan (levels, scales, keys, ring degree)  ->  run under CKKS
 *
 * The plan is a file: the custodian makes keys for it and encrypts inputs for it, the engine runs it. This room touches
 * no secret key.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CIRCUIT_H
#define DDT_CIRCUIT_H

#include "ddt/ckks/pack.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ddt_circuit ddt_circuit;
typedef uint32_t ddt_node; /* index of a node, operands before users */
#define DDT_NODE_NONE UINT32_MAX

/* ------------------------------------------------------------------ building */

/* block: power of two, 1..2^16. lanes >= 1. The caller owns *out. */
DDT_MUST_CHECK ddt_status ddt_circuit_create(ddt_context *ctx, size_t lanes, size_t block, ddt_circuit **out);
/* NULL is allowed. */
void ddt_circuit_destroy(ddt_circuit *circuit);
/* As created (or tiled since); nodes built so far. */
size_t ddt_circuit_lanes(const ddt_circuit *circuit);
size_t ddt_circuit_block(const ddt_circuit *circuit);
size_t ddt_circuit_node_count(const ddt_circuit *circuit);

/*
 * Builders return DDT_NODE_NONE after any failure (memory, an operand that is DDT_NODE_NONE, a bad argument); the cause
 * is kept and returned by ddt_circuit_status, to be checked once at the end. Equal nodes are built once (hash-consing).
 * Constants fold.
 */
DDT_MUST_CHECK ddt_status ddt_circuit_status(const ddt_circuit *circuit);

/*
 * An encrypted input. Its values are those the custodian encrypts, |value| <= bound (checked at encryption); aim for
 * bounds near 1. Names are unique.
 */
ddt_node ddt_circuit_input(ddt_circuit *circuit, const char *name, double bound);
/* The same public number in every slot. */
ddt_node ddt_circuit_constant(ddt_circuit *circuit, double value);
/* Public values, lanes x block, lane-major; copied. */
ddt_node ddt_circuit_public(ddt_circuit *circuit, const double *values);
/* Whether the value of a node is known without a key. */
bool ddt_circuit_is_public(const ddt_circuit *circuit, ddt_node node);

/* Slot by slot: a + b, a - b, -a, a * b. Sums take no level; a product of two encrypted values takes one and a
 * relinearisation. */
ddt_node ddt_circuit_add(ddt_circuit *circuit, ddt_node a, ddt_node b);
ddt_node ddt_circuit_sub(ddt_circuit *circuit, ddt_node a, ddt_node b);
ddt_node ddt_circuit_neg(ddt_circuit *circuit, ddt_node a);
ddt_node ddt_circuit_mul(ddt_circuit *circuit, ddt_node a, ddt_node b);
/*
 * sum_i a[i] * b[i] with one relinearisation and one rescale; operands may be public. Zero terms give the constant 0.
 */
ddt_node ddt_circuit_dot(ddt_circuit *circuit, const ddt_node *a, const ddt_node *b, size_t count);
/* sum_i c[i] * a[i] + offset with public numbers c: one level however many terms, none if all c are small integers. */
ddt_node ddt_circuit_affine(ddt_circuit *circuit, const ddt_node *a, const double *c, size_t count, double offset);
/* Slot s of a block becomes slot (s + steps) of the vector; values that cross a block border are garbage for the reader
 * of the output. */
ddt_node ddt_circuit_rotate(ddt_circuit *circuit, ddt_node a, int64_t steps);
/* sum_{k < count} rotate(a, k * stride), count a power of two: log2(count) rotations. */
ddt_node ddt_circuit_sum(ddt_circuit *circuit, ddt_node a, int64_t stride, size_t count);
/*
 * A place where the plan may refresh a value by bootstrapping, where the depth does not fit otherwise or where that is
 * cheaper: |a| <= bound on every slot of every lane (bound > 0, at most 64; calibration counts what lies outside). Use
 * the node that is returned, which equals a, in place of a. Refreshing adds an error of about 2^-25 max(1, bound), root
 * mean square: keep bounds near 1. Several places at the same depth are cheaper than one after the other: pairs share a
 * bootstrap. Give more places than needed (each state of each iteration, say); those that the plan does not need cost
 * nothing. Where
 * none are given and the depth does not fit, the planner looks for places itself (calibrated values up to 32).
 */
ddt_node ddt_circuit_refresh(ddt_circuit *circuit, ddt_node a, double bound);
/* sum_k coefficients[k] T_k(x), x in [-1, 1]. degree 1..255. */
ddt_node ddt_circuit_chebyshev(ddt_circuit *circuit, ddt_node x, const double *coefficients, unsigned degree);
/*
 * f(x) for x in [low, high] by Chebyshev interpolation, at the least degree (of 3, 7, 15, 31, 63, 127) with maximum
 * error <= tolerance (absolute). The affine map to
 * [-1, 1] is included (and free when it is the identity). *error (may be NULL): the measured maximum error. Fails with
 * DDT_ERR_UNSUPPORTED when degree 127 is not enough or f is not finite on the range. In ddt_circuit_run_clear with
 * exact = true the function itself is used: `f` and `user` must live as long as the circuit.
 */
typedef double (*ddt_function)(double x, const void *user);
ddt_node ddt_circuit_function(ddt_circuit *circuit, ddt_node x, double low, double high, ddt_function f,
                              const void *user, double tolerance, double *error);
/*
 * Derivatives, as further nodes of the circuit; build them before calibration. x are nodes of any kind: each counts as
 * independent (paths that lead into an x from another are cut), public operands are constants, and what does not depend
 * on x yields the constant 0 and no work. A polynomial's derivative is that of the very polynomial, so that the result
 * is the derivative of what runs under CKKS; its error against a function's own derivative is larger than that of the
 * function (ask a tighter tolerance). In exact runs the first and second derivative of a function are taken by finite
 * differences of it (about 1e-9 of its size; a function approximated by a line has the line's slope), higher ones are
 * the polynomial's. Failures: as for all builders; out is DDT_NODE_NONE then.
 *
 * Forward: out[o] = sum_i dy[o]/dx[i] * direction[i], slot-wise. Directions are nodes, e.g. the constant 1. An x that
 * appears twice gets the sum of its directions. As deep as y where directions are; a polynomial may take one level
 * more.
 */
void ddt_circuit_tangents(ddt_circuit *circuit, const ddt_node *x, const ddt_node *direction, size_t count,
                          const ddt_node *y, size_t y_count, ddt_node *out);
/*
 * Reverse: out[i] = the adjoint of x[i]: slot s of it is the derivative of sum_t seed_t y_t with respect to slot s of
 * x[i]. The transpose of a rotation is the opposite rotation, of a sum the opposite sum; so a slot of the adjoint has
 * contributions from all slots of y that read it, and from no others. seed must be 0 in each slot of y whose value
 * depends on what a rotation brought across a block's border (a product with a public 0 ends such a dependence):
 * otherwise the adjoints hold garbage from neighbouring blocks. About as deep as y, once more.
 */
void ddt_circuit_gradient(ddt_circuit *circuit, ddt_node y, ddt_node seed, const ddt_node *x, size_t count,
                          ddt_node *out);
/* Marks a node as an output. Public nodes are allowed. Names are unique. */
void ddt_circuit_output(ddt_circuit *circuit, const char *name, ddt_node node);

/*
 * Says that this output's ciphertext will be this input of a later run of the same plan (a state that lives on): the
 * plan leaves it at the level where it takes the input. Unless the output does not depend on the input, that needs a
 * place to refresh on the way from one to the other; refreshing the input itself will do. Both must have been named.
 */
void ddt_circuit_carry(ddt_circuit *circuit, const char *output, const char *input);

/*
 * Each lane's block becomes `copies` (a power of two) of itself, one behind the other in a wider block: the same
 * program for several variants of a lane, side by side, which what is built afterwards can bring together (sums over
 * them have the stride of the old block). Inputs and outputs are of the wider block from then on. Magnitudes seen by
 * calibration stay, mean squares and kept draws do not: calibrate again. Errors: DDT_ERR_CAPACITY (not a power of two,
 * or wider than 2^16 slots; the circuit is as before), DDT_ERR_MEMORY (it can only be destroyed).
 */
DDT_MUST_CHECK ddt_status ddt_circuit_tile(ddt_context *ctx, ddt_circuit *circuit, size_t copies);
/* Takes all marks of outputs back. out[o], with room for each: what was output o, to build on. */
void ddt_circuit_take_outputs(ddt_circuit *circuit, ddt_node *out);

/* Inputs and outputs in the order in which they were named; names are the circuit's, "" beyond the count. */
size_t ddt_circuit_input_count(const ddt_circuit *circuit);
const char *ddt_circuit_input_name(const ddt_circuit *circuit, size_t input);
size_t ddt_circuit_output_count(const ddt_circuit *circuit);
const char *ddt_circuit_output_name(const ddt_circuit *circuit, size_t output);

/* ------------------------------------------------------------------ in the clear */

/*
 * The same graph in double precision. inputs[i]: lanes x block values of input i. outputs[o]: lanes x block values.
 * exact: use the functions themselves instead of their polynomials (their difference is the surrogate error). The
 * oracle of every encrypted run.
 */
DDT_MUST_CHECK ddt_status ddt_circuit_run_clear(ddt_context *ctx, const ddt_circuit *circuit,
                                                const double *const *inputs, bool exact, double *const *outputs);
/*
 * Runs in the clear and widens, for each node, the recorded largest magnitude and mean square: what the planner needs
 * for scales and noise. Reports in *violations how many slots left the interval of a polynomial (0 wanted). Call once
 * for each draw of a virtual population.
 */
DDT_MUST_CHECK ddt_status ddt_circuit_calibrate(ddt_context *ctx, ddt_circuit *circuit, const double *const *inputs,
                                                uint64_t *violations);
/* What calibration has seen of a node: largest magnitude and root mean square over all slots; 0 before. */
double ddt_circuit_node_max(const ddt_circuit *circuit, ddt_node node);
double ddt_circuit_node_rms(const ddt_circuit *circuit, ddt_node node);

/* ------------------------------------------------------------------ plans */

typedef struct ddt_plan ddt_plan;

typedef struct ddt_plan_request {
    double target_error;       /* absolute, per output value: the predicted CKKS noise must stay below it; 0: 1e-5 */
    unsigned log_n;            /* 0: the cheapest that fits */
    unsigned scale_bits;       /* 0: the smallest that meets target_error */
    bool insecure_for_testing; /* small rings for tests; such plans are refused by the commands */
    bool public_key_inputs;    /* inputs will be encrypted with the public key, which is noisier */
    unsigned output_level;     /* 0, or 1: two primes at least are left for outputs */
    /* Where target_error cannot be met even at the largest scale: the largest error that is still accepted (told in
     * predicted_error); 0: none beyond target_error */
    double accept_error;
    /* 0: any; else the plan must have noise_bound <= it. Where one prime a level is too coarse for this or for
     * target_error the plan takes two (composite scaling, scales up to 2^98). */
    double bound_target;
    /* 0: none; else plans whose run takes more bytes of memory (engine_bytes) are made only where no others fit */
    uint64_t memory_limit;
    /* The same for the file of evaluation keys (eval_key_bytes): bootstraps may then take fewer keys and more time */
    uint64_t key_limit;
    /* 0, or the most levels that the plan may use: what is deeper is refreshed (ddt_circuit_refresh) */
    unsigned levels;
    /* From rings of this log_n on (0: never) inputs share ciphertexts: see uploads below. Usually
     * DDT_PLAN_PACK_LOG_N: smaller ciphertexts are not worth the keys. */
    unsigned pack_log_n;
} ddt_plan_request;
enum { DDT_PLAN_PACK_LOG_N = 15 };

typedef struct ddt_plan_info {
    ddt_ckks_literal literal;
    double log2_qp;
    unsigned security_bits; /* 128, or 0 for an insecure plan */
    unsigned depth; /* levels used; in plans that refresh: between refreshes, those of slots-to-coefficients included */
    unsigned bootstraps; /* for one batch; a pair is one */
    size_t lanes, block, lanes_per_batch, batches;
    size_t multiplications, rotations, rotation_keys;
    uint64_t eval_key_bytes, twin_bytes, result_bytes; /* predicted file sizes; twin_bytes: seeded encryptions */
    double predicted_seconds;                          /* on one thread of the machine that planned: a rough guide */
    double predicted_error; /* largest over outputs, absolute: 8 sigma of the noisiest slot */
    /*
     * The worst case of the noise over all slots of all outputs: what a release must be flooded for. Sensitivities
     * along the calibration draws, with a margin of 4, times the bounds of ddt/ckks/bound.h with 128 tail bits,
     * absolute values added: docs/precision.md says what is proven and what is assumed. What encoding rounds does not
     * count: it depends on no key. Often infinite for plans that refresh.
     */
    double noise_bound;
    size_t instructions;
    /* Memory of a run at most, predicted: ciphertexts of one batch, evaluation keys, matrices, scratch, tables. */
    uint64_t engine_bytes;
} ddt_plan_info;

/*
 * Assigns levels (as late as possible), exact scales, relinearisations and adjustments; finds the cheapest secure
 * parameters; lists the keys. The circuit must have been calibrated. Errors: DDT_ERR_CAPACITY when no parameters fit,
 * with the depth and what would help.
 */
DDT_MUST_CHECK ddt_status ddt_plan_create(ddt_context *ctx, const ddt_circuit *circuit, const ddt_plan_request *request,
                                          ddt_plan **out);
void ddt_plan_destroy(ddt_plan *plan);
void ddt_plan_get_info(const ddt_plan *plan, ddt_plan_info *info);
/* The plan's parameters, created on first use and owned by the plan. */
DDT_MUST_CHECK ddt_status ddt_plan_params(ddt_context *ctx, ddt_plan *plan, const ddt_ckks_params **out);

typedef struct ddt_plan_input {
    const char *name;
    double bound;
    unsigned level; /* level to encrypt at (of primes); the scale is the canonical one of that level */
} ddt_plan_input;
/* Inputs and outputs in the circuit's order; names are the plan's, "" beyond the count. */
size_t ddt_plan_input_count(const ddt_plan *plan);
ddt_plan_input ddt_plan_get_input(const ddt_plan *plan, size_t input);
size_t ddt_plan_output_count(const ddt_plan *plan);
const char *ddt_plan_output_name(const ddt_plan *plan, size_t output);
typedef struct ddt_plan_output {
    const char *name;
    unsigned
        level; /* of the result ciphertext, at the canonical scale; all results but those carried share one level */
    size_t carried; /* the input that it becomes in the next run (ddt_circuit_carry), SIZE_MAX: none */
} ddt_plan_output;
/* Beyond the count: no name. */
ddt_plan_output ddt_plan_get_output(const ddt_plan *plan, size_t output);
/*
 * Uploads. Where the plan packs (pack_log_n of the request), up to ddt_plan_pack_count input vectors of one batch share
 * one ciphertext (ddt/ckks/pack.h): who encrypts cuts his list of vectors into pieces of that many, the last may be
 * shorter, and the engine takes them apart before it runs the plan. Elsewhere the count is 1, and an upload is the
 * ciphertext of one input. Inputs that outputs become (ddt_circuit_carry) are never packed.
 */
size_t ddt_plan_pack_count(const ddt_plan *plan);
/* Ciphertexts for a list of so many vectors. */
size_t ddt_plan_upload_count(const ddt_plan *plan, size_t vectors);
/*
 * The order in which the inputs of a run are listed, so that those that share an upload have much the same level:
 * inputs[0..ddt_plan_input_count). The highest levels come first in even runs and last in odd ones, which matters where
 * one list goes over several runs (a state that lives on); other lists count as run 0.
 */
void ddt_plan_upload_order(const ddt_plan *plan, size_t run, size_t *inputs);
/* The level of an upload of these inputs, 1..ddt_plan_pack_count of them; its scale is the canonical one of it. */
unsigned ddt_plan_upload_level(const ddt_plan *plan, const size_t *inputs, size_t count);
/* values[k]: lanes x block values of input inputs[k]. *out as for ddt_ckks_encode. The plan has parameters. */
DDT_MUST_CHECK ddt_status ddt_plan_encode_upload(ddt_context *ctx, const ddt_plan *plan, size_t batch,
                                                 const size_t *inputs, const double *const *values, size_t count,
                                                 ddt_plaintext *out);
/* The engine's part: out[k] becomes the ciphertext of input inputs[k] as ddt_plan_run wants it. Created here. */
DDT_MUST_CHECK ddt_status ddt_plan_open_upload(ddt_context *ctx, ddt_plan *plan, const ddt_eval_keys *keys,
                                               const ddt_ciphertext *upload, const size_t *inputs, size_t count,
                                               ddt_ciphertext *out);
/*
 * Keys the engine needs: galois 0 is relinearisation; top_level the highest level of use. A plan with boot_levels in
 * its literal needs the encapsulation (ddt_encapsulation_generate) besides; the keys of its bootstraps are in the list.
 */
typedef struct ddt_plan_key {
    uint64_t galois;
    unsigned top_level;
} ddt_plan_key;
size_t ddt_plan_key_count(const ddt_plan *plan);
ddt_plan_key ddt_plan_get_key(const ddt_plan *plan, size_t key);

/* The plan's sections of a plan file: everything the engine needs. Reading validates every index, level and shape, and
 * the security table. */
DDT_MUST_CHECK ddt_status ddt_plan_write(ddt_writer *writer, const ddt_plan *plan);
DDT_MUST_CHECK ddt_status ddt_plan_read(ddt_context *ctx, ddt_reader *reader, ddt_plan **out);

/* ------------------------------------------------------------------ under CKKS */

/*
 * Runs the plan on one batch. inputs[i]: ciphertext of input i at its level; outputs[o]: created here (2 parts).
 * Instructions without mutual dependence run in parallel, limbs too when there are fewer instructions than threads.
 * Progress stage "engine" over all batches. One run of a plan at a time (it keeps encoded vectors). Memory is freed
 * after the last use of a value.
 */
DDT_MUST_CHECK ddt_status ddt_plan_run(ddt_context *ctx, ddt_plan *plan, const ddt_eval_keys *keys, size_t batch,
                                       const ddt_ciphertext *inputs, ddt_ciphertext *outputs);
/*
 * Arranges lane-major values (lanes x block) of one input into the slot vector of a batch, and back from decoded slots.
 * Slots beyond the last lane of the batch repeat its lanes: a polynomial must not meet values that no patient has.
 * slots: N/2 values.
 */
void ddt_plan_pack(const ddt_plan *plan, size_t batch, const double *values, double *slots);
void ddt_plan_unpack(const ddt_plan *plan, size_t batch, const double *slots, double *values);

#ifdef __cplusplus
}
#endif
#endif
