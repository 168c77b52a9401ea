/*
 * ddtwin-bench: times the engine's operations. Medians of repeated runs, one object set up per configuration.
 *
 *   ddtwin-bench [--json] [--op NAME] [--log-n 14|15|16] [--dnum D] [--threads T] [--seconds S]
 *
 * --op bootstrap, bootstrap_real and bootstrap_sparse run only when named: they take half a minute to set up.
 *
 * Primes of the scale have 45 bits. Two sets for each ring degree: the special primes that the 128-bit table leaves
 * room for, which is what the planner takes, and, for the operations that use keys, three digits, which other libraries
 * are often measured with. The latter is above the table at 2^14 and 2^15 ("secure": false). --dnum D runs D digits
 * instead of both.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bench_bootstrap.h"
#include "bench_timing.h"

#include <complex.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 1024, ROTATIONS = 8, RUNS_MIN = 5, CHEBYSHEV_MAX = 63, DIGITS_COMPARED = 3 };

static const ddt_ckks_literal configurations[] = {
    {.log_n = 14, .levels = 7, .first_bits = 50, .scale_bits = 45, .p_count = 1},
    {.log_n = 15, .levels = 15, .first_bits = 50, .scale_bits = 45, .p_count = 3},
    {.log_n = 16, .levels = 27, .first_bits = 50, .scale_bits = 45, .p_count = 10},
};
enum { CONFIGURATIONS = sizeof configurations / sizeof configurations[0], TRANSFORMED = 1 /* modulus of ntt_* */ };

typedef struct bench {
    ddt_context *ctx;
    int threads;
    ddt_ckks_params *params;
    ddt_secret_key *secret;
    ddt_public_key public_key;
    ddt_eval_keys *keys;
    ddt_evaluator *ev;
    double complex *message;
    double complex *decoded;
    ddt_plaintext plain;
    ddt_ciphertext a;
    ddt_ciphertext b;
    ddt_ciphertext out;
    ddt_ciphertext rotated[ROTATIONS];
    double coefficients[CHEBYSHEV_MAX + 1];
    double multiply_add_s;
    double round_trip_ns; /* between two threads, 0 for one */
} bench;

typedef struct operation {
    const char *name;
    ddt_status (*run)(bench *s);
    enum { NO_KEY, RELINEARISATION, ROTATION, MAKES_KEY } keys;
    size_t (*bytes)(const bench *s);
} operation;

/* ------------------------------------------------------------------ operations */

static const ddt_ring *ring_of(const bench *s) { return ddt_ckks_params_ring(s->params); }

static ddt_status run_ntt(bench *s) {
    ddt_ring_ntt(ring_of(s), TRANSFORMED, s->out.limbs);
    return DDT_OK;
}

static ddt_status run_intt(bench *s) {
    ddt_ring_intt(ring_of(s), TRANSFORMED, s->out.limbs);
    return DDT_OK;
}

static ddt_status run_mul(bench *s) { return ddt_eval_mul(s->ev, &s->a, &s->b, &s->out); }

static ddt_status run_rotate(bench *s) { return ddt_eval_rotate(s->ev, &s->a, 1, &s->out); }

static ddt_status run_hoisted(bench *s) {
    int64_t steps[ROTATIONS];
    ddt_ciphertext *outs[ROTATIONS];
    for (size_t r = 0; r < ROTATIONS; r++) {
        steps[r] = (int64_t)r + 1;
        outs[r] = &s->rotated[r];
    }
    return ddt_eval_rotate_hoisted(s->ev, &s->a, steps, ROTATIONS, outs);
}

static ddt_status run_mul_plain(bench *s) { return ddt_eval_mul_plain(s->ev, &s->a, &s->plain, &s->out); }

static ddt_status run_add(bench *s) { return ddt_eval_add(s->ev, &s->a, &s->b, &s->out); }

static ddt_status run_rescale(bench *s) { return ddt_eval_rescale(s->ev, &s->a, &s->out); }

static ddt_status run_chebyshev(bench *s, unsigned degree) {
    const double *coefficients = s->coefficients;
    ddt_ciphertext *out = &s->out;
    return ddt_eval_chebyshev(s->ev, &s->a, &coefficients, &degree, 1, &out);
}

static ddt_status run_chebyshev15(bench *s) { return run_chebyshev(s, 15); }

static ddt_status run_chebyshev63(bench *s) { return run_chebyshev(s, 63); }

static ddt_status run_encode(bench *s) {
    const unsigned level = ddt_ckks_levels(s->params);
    return ddt_ckks_encode(s->ctx, s->params, s->message, ddt_ckks_slots(s->params), level,
                           ddt_ckks_canonical_scale(s->params, level), &s->plain);
}

/* The three below include encoding and decoding. */
static ddt_status run_encrypt_public(bench *s) {
    ddt_ciphertext ct;
    ddt_status status = run_encode(s);
    if (status == DDT_OK) {
        status = ddt_encrypt_public(s->ctx, s->params, &s->public_key, &s->plain, &ct);
        ddt_ciphertext_destroy(&ct);
    }
    return status;
}

static ddt_status run_encrypt_secret(bench *s) {
    ddt_ciphertext ct;
    ddt_status status = run_encode(s);
    if (status == DDT_OK) {
        status = ddt_encrypt_secret(s->ctx, s->secret, &s->plain, &ct);
        ddt_ciphertext_destroy(&ct);
    }
    return status;
}

static ddt_status run_decrypt(bench *s) {
    ddt_plaintext opened;
    ddt_status status = ddt_decrypt(s->ctx, s->secret, &s->a, &opened);
    if (status == DDT_OK) {
        status = ddt_ckks_decode(s->ctx, s->params, &opened, s->decoded);
        ddt_plaintext_destroy(&opened);
    }
    return status;
}

static ddt_status run_keygen(bench *s) {
    ddt_switch_key key;
    ddt_status status = ddt_switch_key_generate(s->ctx, s->secret, 5, ddt_ckks_levels(s->params), &key);
    ddt_switch_key_destroy(&key);
    return status;
}

/* ------------------------------------------------------------------ sizes of the results */

static size_t limb_bytes(const bench *s) { return ddt_ckks_n(s->params) * sizeof(uint64_t); }

static size_t ciphertext_bytes(const bench *s) { return 2 * ((size_t)ddt_ckks_levels(s->params) + 1) * limb_bytes(s); }

static size_t slots_bytes(const bench *s) { return ddt_ckks_slots(s->params) * sizeof(double complex); }

static size_t key_bytes(const bench *s) {
    const unsigned levels = ddt_ckks_levels(s->params);
    return 2 * (size_t)ddt_ckks_digits(s->params, levels) *
           ((size_t)levels + 1 + ddt_ckks_params_literal(s->params)->p_count) * limb_bytes(s);
}

static const operation operations[] = {
    {"ntt_forward", run_ntt, NO_KEY, limb_bytes},
    {"ntt_inverse", run_intt, NO_KEY, limb_bytes},
    {"add", run_add, NO_KEY, ciphertext_bytes},
    {"mul_plain", run_mul_plain, NO_KEY, ciphertext_bytes},
    {"rescale", run_rescale, NO_KEY, ciphertext_bytes},
    {"mul_relin_rescale", run_mul, RELINEARISATION, ciphertext_bytes},
    {"rotate", run_rotate, ROTATION, ciphertext_bytes},
    {"rotate_hoisted8", run_hoisted, ROTATION, ciphertext_bytes},
    {"chebyshev15", run_chebyshev15, RELINEARISATION, ciphertext_bytes},
    {"chebyshev63", run_chebyshev63, RELINEARISATION, ciphertext_bytes},
    {"encode", run_encode, NO_KEY, ciphertext_bytes},
    {"encrypt_public", run_encrypt_public, NO_KEY, ciphertext_bytes},
    {"encrypt_secret", run_encrypt_secret, NO_KEY, ciphertext_bytes},
    {"decrypt", run_decrypt, NO_KEY, slots_bytes},
    {"keygen_rotation", run_keygen, MAKES_KEY, key_bytes},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

/* ------------------------------------------------------------------ one configuration */

static ddt_status add_key(bench *s, uint64_t galois) {
    ddt_switch_key key;
    if (ddt_eval_keys_find(s->keys, galois) != NULL) {
        return DDT_OK;
    }
    ddt_status status = ddt_switch_key_generate(s->ctx, s->secret, galois, ddt_ckks_levels(s->params), &key);
    return status == DDT_OK ? ddt_eval_keys_add(s->ctx, s->keys, &key) : status;
}

static ddt_status prepare_operation(bench *s, const operation *op) {
    ddt_status status = DDT_OK;
    if (op->keys == RELINEARISATION) {
        status = add_key(s, 0);
    }
    for (int64_t r = 1; r <= ROTATIONS && op->keys == ROTATION && status == DDT_OK; r++) {
        status = add_key(s, ddt_ring_galois_rotation(ring_of(s), r));
        if (status == DDT_OK && s->rotated[r - 1].limbs == NULL) {
            status = ddt_ciphertext_create(s->ctx, s->params, ddt_ckks_levels(s->params), 2, &s->rotated[r - 1]);
        }
    }
    return status;
}

static ddt_status open_scheme(bench *s, const ddt_ckks_literal *literal) {
    ddt_status status = ddt_ckks_params_create_insecure_for_testing(s->ctx, literal, &s->params);
    if (status == DDT_OK) {
        status = ddt_secret_key_generate(s->ctx, s->params, &s->secret);
    }
    if (status == DDT_OK) {
        status = ddt_public_key_generate(s->ctx, s->secret, &s->public_key);
    }
    if (status == DDT_OK) {
        status = ddt_eval_keys_create(s->ctx, s->params, &s->keys);
    }
    if (status == DDT_OK) {
        status = ddt_evaluator_create(s->ctx, s->params, s->keys, s->threads, &s->ev);
    }
    return status;
}

static ddt_status open_data(bench *s) {
    const size_t slots = ddt_ckks_slots(s->params);
    s->message = ddt_calloc(slots, sizeof *s->message);
    s->decoded = ddt_calloc(slots, sizeof *s->decoded);
    if (s->message == NULL || s->decoded == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t j = 0; j < slots; j++) {
        s->message[j] = cos((double)j);
    }
    for (unsigned k = 0; k <= CHEBYSHEV_MAX; k++) {
        s->coefficients[k] = 1.0 / (k + 1.0);
    }
    ddt_status status = run_encode(s);
    if (status == DDT_OK) {
        status = ddt_encrypt_secret(s->ctx, s->secret, &s->plain, &s->a);
    }
    if (status == DDT_OK) {
        status = ddt_encrypt_secret(s->ctx, s->secret, &s->plain, &s->b);
    }
    return status == DDT_OK ? ddt_ciphertext_create(s->ctx, s->params, ddt_ckks_levels(s->params), 2, &s->out) : status;
}

static void close_scheme(bench *s) {
    for (size_t r = 0; r < ROTATIONS; r++) {
        ddt_ciphertext_destroy(&s->rotated[r]);
    }
    ddt_ciphertext_destroy(&s->a);
    ddt_ciphertext_destroy(&s->b);
    ddt_ciphertext_destroy(&s->out);
    ddt_plaintext_destroy(&s->plain);
    ddt_free(s->message);
    ddt_free(s->decoded);
    ddt_evaluator_destroy(s->ev);
    ddt_eval_keys_destroy(s->keys);
    ddt_public_key_destroy(&s->public_key);
    ddt_secret_key_destroy(s->secret);
    ddt_ckks_params_destroy(s->params);
}

typedef struct job {
    bench *s;
    const operation *op;
} job;

static ddt_status run_job(void *work) {
    const job *j = work;
    return j->op->run(j->s);
}

/* ------------------------------------------------------------------ the program */

typedef struct arguments {
    bool json;
    const char *op;
    unsigned log_n;
    unsigned dnum; /* 0: the usual sets */
    int threads;
    double seconds;
} arguments;

static bool is_transform(const operation *op) { return op->run == run_ntt || op->run == run_intt; }

static void print_json(const arguments *args, const bench *s, const operation *op, const bench_timing *t) {
    const ddt_ckks_literal *p = ddt_ckks_params_literal(s->params);
    printf("\n  {\"op\": \"%s\", \"log_n\": %u, \"limbs\": %u, \"dnum\": %u, \"threads\": %d, ", op->name, p->log_n,
           p->levels + 1, ddt_ckks_digits(s->params, p->levels), args->threads);
    printf("\"kernels\": \"%s\", \"median_us\": %.2f, \"best_us\": %.2f, \"cpu_us\": %.2f, \"bytes\": %zu, ",
           ddt_ring_kernels(), t->median_us, t->best_us, t->cpu_us, op->bytes(s));
    if (s->round_trip_ns > 0.0) {
        printf("\"round_trip_ns\": %.0f, ", s->round_trip_ns);
    }
    if (is_transform(op)) {
        printf("\"modulus_bits\": %.2f, ", log2((double)ddt_ring_modulus(ring_of(s), TRANSFORMED)));
        if (s->multiply_add_s > 0.0) {
            printf("\"share_of_ifma_peak\": %.3f, ",
                   bench_ntt_multiply_adds(p->log_n) * s->multiply_add_s / (1e-6 * t->median_us));
        }
    }
    printf("\"special_primes\": %u, \"log2_qp\": %.1f, \"secure\": %s}", p->p_count, ddt_ckks_log2_qp(s->params),
           ddt_ckks_params_is_secure(s->params) ? "true" : "false");
}

static void print_line(const arguments *args, const bench *s, const operation *op, const bench_timing *t) {
    const ddt_ckks_literal *p = ddt_ckks_params_literal(s->params);
    printf("%-18s 2^%u %2u limbs, dnum %u%s, %d threads, %s: %12.1f us (best %.1f, processor %.1f)", op->name, p->log_n,
           p->levels + 1, ddt_ckks_digits(s->params, p->levels),
           ddt_ckks_params_is_secure(s->params) ? "" : " (insecure)", args->threads, ddt_ring_kernels(), t->median_us,
           t->best_us, t->cpu_us);
    if (s->round_trip_ns > 0.0) {
        printf(", %.0f ns from thread to thread and back", s->round_trip_ns);
    }
    printf("\n");
}

static void print_result(const arguments *args, const bench *s, const operation *op, const bench_timing *t,
                         bool *first) {
    if (args->json) {
        printf("%s", *first ? "" : ",");
        print_json(args, s, op, t);
    } else {
        print_line(args, s, op, t);
    }
    (void)fflush(stdout);
    *first = false;
}

static bool is_wanted(const arguments *args, const operation *op, bool keys_only) {
    return (args->op == NULL || strcmp(args->op, op->name) == 0) && (!keys_only || op->keys != NO_KEY);
}

static ddt_status run_configuration(const arguments *args, ddt_context *ctx, const ddt_ckks_literal *literal,
                                    bool keys_only, bool *first) {
    bench s = {.ctx = ctx, .threads = args->threads, .multiply_add_s = bench_multiply_add_s()};
    ddt_status status = open_scheme(&s, literal);
    if (status == DDT_OK) {
        status = open_data(&s);
    }
    for (size_t i = 0; i < OPERATIONS && status == DDT_OK; i++) {
        bench_timing t = {0.0, 0.0, 0.0};
        job j = {&s, &operations[i]};
        if (!is_wanted(args, &operations[i], keys_only)) {
            continue;
        }
        status = prepare_operation(&s, &operations[i]);
        if (status == DDT_OK) {
            s.round_trip_ns = bench_round_trip_ns(args->threads);
            status = bench_time(run_job, &j, args->seconds, RUNS_MIN, &t);
        }
        if (status == DDT_OK) {
            print_result(args, &s, &operations[i], &t, first);
        }
    }
    close_scheme(&s);
    return status;
}

static ddt_ckks_literal with_digits(ddt_ckks_literal literal, unsigned dnum) {
    const unsigned limbs = literal.levels + 1;
    literal.p_count = (limbs + dnum - 1) / dnum;
    return literal;
}

static ddt_status run_degree(const arguments *args, ddt_context *ctx, const ddt_ckks_literal *literal, bool *first) {
    const ddt_ckks_literal compared = with_digits(*literal, args->dnum == 0 ? DIGITS_COMPARED : args->dnum);
    ddt_status status = DDT_OK;
    if (args->dnum == 0) {
        status = run_configuration(args, ctx, literal, false, first);
    }
    if (status == DDT_OK && (args->dnum != 0 || compared.p_count != literal->p_count)) {
        status = run_configuration(args, ctx, &compared, args->dnum == 0, first);
    }
    return status;
}

static bool is_bootstrap(const char *name) {
    size_t i = 0;
    while (bench_bootstrap_names[i] != NULL && strcmp(name, bench_bootstrap_names[i]) != 0) {
        i++;
    }
    return bench_bootstrap_names[i] != NULL;
}

/* A number that is at least `least`. */
static bool read_number(const char *text, double least, double *out) {
    char *end = NULL;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out >= least && isfinite(*out);
}

static bool is_operation(const char *name) {
    size_t i = 0;
    while (i < OPERATIONS && strcmp(name, operations[i].name) != 0) {
        i++;
    }
    return i < OPERATIONS || is_bootstrap(name);
}

/* An option and its value. */
static bool take_value(const char *option, const char *value, arguments *args) {
    double number = 0.0;
    if (strcmp(option, "--op") == 0) {
        args->op = value;
        return is_operation(value);
    }
    const bool is_time = strcmp(option, "--seconds") == 0;
    if (!read_number(value, is_time ? 0.0 : 1.0, &number)) {
        return false;
    }
    if (is_time) {
        args->seconds = number;
    } else if (strcmp(option, "--log-n") == 0 && (number == 14 || number == 15 || number == 16)) {
        args->log_n = (unsigned)number;
    } else if (strcmp(option, "--dnum") == 0 && number <= DDT_CKKS_LEVELS_MAX) {
        args->dnum = (unsigned)number;
    } else if (strcmp(option, "--threads") == 0 && number <= THREADS_MAX) {
        args->threads = (int)number;
    } else {
        return false;
    }
    return true;
}

/* *odd: what was not understood. */
static bool parse(int argc, char **argv, arguments *args, const char **odd) {
    for (int i = 1; i < argc; i++) {
        *odd = argv[i];
        if (strcmp(argv[i], "--json") == 0) {
            args->json = true;
        } else if (i + 1 >= argc || !take_value(argv[i], argv[i + 1], args)) {
            return false;
        } else {
            i++;
        }
    }
    return true;
}

static void print_help(void) {
    printf(
        "usage: ddtwin-bench [--json] [--op NAME] [--log-n 14|15|16] [--dnum D] [--threads T] [--seconds S]\n\n"
        "Times the engine's operations: medians, best runs and processor time, for each ring degree with the digits\n"
        "that the planner takes and with three. --op times one, --dnum D digits instead; --seconds is for each (0.5).\n"
        "The bootstraps run only when named.\n\nNAME:");
    for (size_t i = 0; i < OPERATIONS; i++) {
        printf(" %s", operations[i].name);
    }
    for (size_t i = 0; bench_bootstrap_names[i] != NULL; i++) {
        printf(" %s", bench_bootstrap_names[i]);
    }
    printf("\n");
}

int main(int argc, char **argv) {
    arguments args = {.threads = 1, .seconds = 0.5};
    ddt_context *ctx = NULL;
    bool first = true;
    const char *odd = NULL;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_help();
        return 0;
    }
    if (!parse(argc, argv, &args, &odd)) {
        (void)fprintf(stderr, "ddtwin-bench: '%s' is not understood; 'ddtwin-bench --help' shows how it is called.\n",
                      odd);
        return 2;
    }
    ddt_status status = ddt_context_create(&ctx);
    if (status == DDT_OK) {
        ddt_context_set_threads(ctx, args.threads);
        printf("%s", args.json ? "[" : "");
    }
    const bool bootstraps = args.op != NULL && is_bootstrap(args.op);
    if (status == DDT_OK && bootstraps) {
        status = bench_bootstrap(ctx, args.op, args.threads, args.seconds, args.json, &first);
    }
    for (size_t i = 0; i < CONFIGURATIONS && status == DDT_OK && !bootstraps; i++) {
        if (args.log_n == 0 || args.log_n == configurations[i].log_n) {
            status = run_degree(&args, ctx, &configurations[i], &first);
        }
    }
    printf("%s", args.json ? "\n]\n" : "");
    if (status != DDT_OK) {
        (void)fprintf(stderr, "%s: %s\n", ddt_status_name(status), ddt_error_detail(ctx));
    }
    ddt_context_destroy(ctx);
    return ddt_status_exit_code(status);
}
