/*
 * Plans: levels, what the optimiser saves, parameters, keys, and the lowered program against the circuit.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "circuit_random.h"

#include "approximate.h"

static ddt_plan *make_plan(ddt_context *ctx, const ddt_circuit *circuit, double target_error) {
    ddt_plan_request request = {.target_error = target_error, .insecure_for_testing = true};
    ddt_plan *plan = NULL;
    assert_ok(ctx, ddt_plan_create(ctx, circuit, &request, &plan));
    return plan;
}

/* The lowered program computes what the circuit does. */
static void test_lowering_keeps_values(void **state) {
    ddt_context *ctx = *state;
    static const size_t shapes[][2] = {{1, 64}, {7, 8}, {3, 1}, {1, 1}};
    for (uint64_t seed = 1000; seed < 1200; seed++) {
        const size_t *shape = shapes[seed % (sizeof shapes / sizeof *shapes)];
        random_circuit r;
        random_circuit_make(ctx, &r, seed, shape[0], shape[1], 30, 20);
        double **clear = test_rows(r.output_count, r.slots);
        double **lowered = test_rows(r.output_count, r.slots);
        assert_ok(ctx, ddt_circuit_run_clear(ctx, r.circuit, TEST_CONST(r.inputs), false, clear));
        assert_ok(ctx, ddt_circuit_calibrate(ctx, r.circuit, TEST_CONST(r.inputs), NULL));
        ddt_plan *plan = make_plan(ctx, r.circuit, 1e-3);
        assert_ok(ctx, plan_simulate(ctx, plan, NULL, 0, r.lanes, TEST_CONST(r.inputs), lowered));
        double error = random_difference(&r, lowered, clear);
        if (!(error <= 1e-10)) {
            fail_msg("seed %llu: %g", (unsigned long long)seed, error);
        }
        ddt_plan_destroy(plan);
        test_free_rows(clear);
        test_free_rows(lowered);
        random_circuit_free(&r);
    }
}

/* ------------------------------------------------------------------ levels */

typedef struct small {
    ddt_circuit *c;
    ddt_node x, y, z;
    double **inputs;
} small;

static void small_begin(ddt_context *ctx, small *s) {
    uint64_t random = 3;
    assert_ok(ctx, ddt_circuit_create(ctx, 2, 8, &s->c));
    s->x = ddt_circuit_input(s->c, "x", 1.0);
    s->y = ddt_circuit_input(s->c, "y", 1.0);
    s->z = ddt_circuit_input(s->c, "z", 1.0);
    s->inputs = test_random_rows(&random, 3, 16, 1.0);
}

static ddt_plan *small_plan(ddt_context *ctx, small *s) {
    assert_ok(ctx, ddt_circuit_status(s->c));
    assert_ok(ctx, ddt_circuit_calibrate(ctx, s->c, TEST_CONST(s->inputs), NULL));
    ddt_plan *plan = make_plan(ctx, s->c, 1e-4);
    ddt_circuit_destroy(s->c);
    test_free_rows(s->inputs);
    return plan;
}

static size_t count_opcode(const ddt_plan *plan, plan_opcode opcode) {
    size_t count = 0;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        count += plan->instructions[i].opcode == opcode;
    }
    return count;
}

static size_t count_relinearisations(const ddt_plan *plan) {
    size_t count = 0;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        count += plan->instructions[i].opcode == PLAN_COMBINATION && plan->instructions[i].product_count > 0;
    }
    return count;
}

/* Builds one output `o` from x, y, z. */
typedef ddt_node (*build_function)(small *s);

static ddt_node build_integers(small *s) {
    return ddt_circuit_affine(s->c, (ddt_node[]){s->x, s->y}, (double[]){3.0, -16.0}, 2, 0.3);
}
static ddt_node build_affine_of_affine(small *s) {
    ddt_node a = ddt_circuit_affine(s->c, (ddt_node[]){s->x, s->y}, (double[]){0.3, 0.7}, 2, 0.1);
    ddt_node b = ddt_circuit_affine(s->c, (ddt_node[]){a, s->z}, (double[]){0.9, -0.1}, 2, 0.2);
    return ddt_circuit_affine(s->c, (ddt_node[]){b, s->x}, (double[]){0.9, -0.1}, 2, 0.2);
}
static ddt_node build_shared_affine(small *s) {
    ddt_node a = ddt_circuit_affine(s->c, (ddt_node[]){s->x, s->y}, (double[]){0.3, 0.7}, 2, 0.1);
    ddt_node b = ddt_circuit_affine(s->c, &a, (double[]){0.9}, 1, 0.2);
    ddt_node c = ddt_circuit_affine(s->c, &a, (double[]){0.8}, 1, 0.2);
    return ddt_circuit_mul(s->c, b, c);
}
static ddt_node build_sum_of_products(small *s) {
    ddt_node xy = ddt_circuit_mul(s->c, s->x, s->y);
    ddt_node yz = ddt_circuit_mul(s->c, s->y, s->z);
    ddt_node xx = ddt_circuit_mul(s->c, s->x, s->x);
    return ddt_circuit_affine(s->c, (ddt_node[]){xy, yz, xx}, (double[]){1.0, -2.0, 1.0}, 3, 0.5);
}
static ddt_node build_scaled_products(small *s) {
    ddt_node xy = ddt_circuit_mul(s->c, s->x, s->y);
    ddt_node yz = ddt_circuit_mul(s->c, s->y, s->z);
    return ddt_circuit_affine(s->c, (ddt_node[]){xy, yz}, (double[]){0.3, -0.2}, 2, 0.5);
}
static ddt_node build_affine_product(small *s) {
    ddt_node a = ddt_circuit_affine(s->c, (ddt_node[]){s->x, s->y}, (double[]){0.3, 0.7}, 2, 0.1);
    ddt_node p = ddt_circuit_mul(s->c, a, s->z);
    return ddt_circuit_affine(s->c, &p, (double[]){0.9}, 1, 0.2);
}
static ddt_node build_chain(small *s) {
    ddt_node p = s->x;
    for (unsigned i = 0; i < 5; i++) {
        p = ddt_circuit_mul(s->c, p, i % 2 == 0 ? s->y : s->z);
    }
    return p;
}
static const double cubic[4] = {0.1, 0.2, 0.3, 0.4};
static ddt_node build_scaled_polynomial(small *s) {
    ddt_node p = ddt_circuit_chebyshev(s->c, s->x, cubic, 3);
    return ddt_circuit_affine(s->c, (ddt_node[]){p, s->y}, (double[]){0.9, 0.5}, 2, 0.2);
}
static ddt_node build_polynomial_sum(small *s) {
    static const double quadratic[3] = {0.5, 0.1, -0.3};
    ddt_node p = ddt_circuit_chebyshev(s->c, s->x, cubic, 3);
    ddt_node q = ddt_circuit_chebyshev(s->c, s->x, quadratic, 2);
    return ddt_circuit_affine(s->c, (ddt_node[]){p, q}, (double[]){0.9, 0.5}, 2, 0.2);
}
static double expand(double x, const void *user) {
    (void)user;
    return exp(x);
}
static ddt_node build_function_of_affine(small *s) {
    ddt_node a = ddt_circuit_affine(s->c, (ddt_node[]){s->x, s->y}, (double[]){0.3, 0.7}, 2, 0.1);
    return ddt_circuit_function(s->c, a, -2.0, 2.0, expand, NULL, 1e-3, NULL);
}
static ddt_node build_dot_mixed(small *s) {
    double w[16] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8};
    ddt_node v = ddt_circuit_public(s->c, w);
    return ddt_circuit_dot(s->c, (ddt_node[]){s->x, s->y, s->z}, (ddt_node[]){s->y, v, s->z}, 3);
}
static ddt_node build_scaled_sum(small *s) {
    ddt_node a = ddt_circuit_add(s->c, s->x, ddt_circuit_add(s->c, s->y, s->z));
    return ddt_circuit_affine(s->c, &a, (double[]){0.3}, 1, 0.0);
}

static void test_levels(void **state) {
    ddt_context *ctx = *state;
    static const struct {
        const char *name;
        build_function build;
        unsigned depth;
        size_t relinearisations;
        size_t instructions;
    } cases[] = {
        {"integers", build_integers, 0, 0, 1},
        {"affine of affine", build_affine_of_affine, 1, 0, 1},
        {"shared affine", build_shared_affine, 2, 1, 3},
        {"sum of products", build_sum_of_products, 1, 1, 1},
        {"scaled products", build_scaled_products, 2, 1, 4},
        {"scaled product of an affine", build_affine_product, 2, 1, 2},
        {"chain", build_chain, 5, 5, 8},
        {"scaled polynomial", build_scaled_polynomial, 2, 0, 2},
        {"sum of polynomials", build_polynomial_sum, 2, 0, 1},
        {"function of an affine", build_function_of_affine, 4, 0, 2},
        {"mixed dot", build_dot_mixed, 1, 1, 1},
        {"scaled sum", build_scaled_sum, 1, 0, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        small s;
        small_begin(ctx, &s);
        ddt_circuit_output(s.c, "o", cases[i].build(&s));
        ddt_plan *plan = small_plan(ctx, &s);
        ddt_plan_info info;
        ddt_plan_get_info(plan, &info);
        if (info.depth != cases[i].depth || count_relinearisations(plan) != cases[i].relinearisations ||
            info.instructions != cases[i].instructions) {
            fail_msg("%s: depth %u, %zu relinearisations, %zu instructions; expected %u, %zu, %zu", cases[i].name,
                     info.depth, count_relinearisations(plan), info.instructions, cases[i].depth,
                     cases[i].relinearisations, cases[i].instructions);
        }
        assert_int_equal(plan->literal.levels, info.depth);
        ddt_plan_destroy(plan);
    }
}

/* Late levels: an input used low is encrypted low; one adjusted copy serves all users below. */
static void test_late_levels(void **state) {
    ddt_context *ctx = *state;
    small s;
    small_begin(ctx, &s);
    ddt_node p = ddt_circuit_mul(s.c, s.x, s.x);
    for (unsigned i = 0; i < 3; i++) {
        p = ddt_circuit_mul(s.c, p, p);
    }
    ddt_circuit_output(s.c, "deep", ddt_circuit_mul(s.c, p, s.z));
    ddt_circuit_output(s.c, "low1", ddt_circuit_mul(s.c, s.x, s.y));
    ddt_circuit_output(s.c, "low2", ddt_circuit_mul(s.c, s.x, ddt_circuit_mul(s.c, s.z, s.y)));
    ddt_plan *plan = small_plan(ctx, &s);
    assert_int_equal(ddt_plan_get_input(plan, 0).level, 5);
    assert_int_equal(ddt_plan_get_input(plan, 1).level, 2);
    assert_int_equal(ddt_plan_get_input(plan, 2).level, 2);
    assert_string_equal(ddt_plan_get_input(plan, 2).name, "z");
    /* x and z to level 1, y to level 1: each once although x and y are used twice there. */
    assert_int_equal(count_opcode(plan, PLAN_ADJUST), 3);
    ddt_plan_destroy(plan);
}

/* Rotations of one value share their decomposition, polynomials of one value their powers. */
static void test_families(void **state) {
    ddt_context *ctx = *state;
    small s;
    small_begin(ctx, &s);
    ddt_node r1 = ddt_circuit_rotate(s.c, s.x, 1);
    ddt_node r2 = ddt_circuit_rotate(s.c, s.x, 2);
    ddt_node r3 = ddt_circuit_rotate(s.c, s.x, -1);
    ddt_node p1 = ddt_circuit_chebyshev(s.c, s.y, cubic, 3);
    ddt_node p2 = ddt_circuit_chebyshev(s.c, s.y, (double[]){0.5, 0.25, 0.125}, 2);
    ddt_circuit_output(s.c, "a", ddt_circuit_mul(s.c, ddt_circuit_mul(s.c, r1, r2), r3));
    ddt_circuit_output(s.c, "b", ddt_circuit_mul(s.c, p1, p2));
    ddt_plan *plan = small_plan(ctx, &s);
    assert_int_equal(count_opcode(plan, PLAN_ROTATION), 2); /* r1 and r2 at level 2, r3 at level 1 */
    assert_int_equal(count_opcode(plan, PLAN_POLYNOMIAL), 1);
    ddt_plan_info info;
    ddt_plan_get_info(plan, &info);
    assert_int_equal(info.rotations, 3);
    assert_int_equal(info.rotation_keys, 3);
    /* Keys by Galois element; the relinearisation key first, at the level of its highest use. */
    assert_int_equal(ddt_plan_key_count(plan), 4);
    assert_int_equal(ddt_plan_get_key(plan, 0).galois, 0);
    assert_int_equal(ddt_plan_get_key(plan, 0).top_level, 3);
    const ddt_ckks_params *params = NULL;
    assert_ok(ctx, ddt_plan_params(ctx, plan, &params));
    unsigned found = 0;
    for (size_t k = 1; k < 4; k++) {
        ddt_plan_key key = ddt_plan_get_key(plan, k);
        const ddt_ring *ring = ddt_ckks_params_ring(params);
        if (key.galois == ddt_ring_galois_rotation(ring, 1) || key.galois == ddt_ring_galois_rotation(ring, 2)) {
            assert_int_equal(key.top_level, 2);
            found++;
        }
    }
    assert_int_equal(found, 2);
    ddt_plan_destroy(plan);
}

/* ------------------------------------------------------------------ parameters */

static ddt_circuit *powers(ddt_context *ctx, unsigned depth, size_t lanes, size_t block, double bound) {
    ddt_circuit *c = NULL;
    uint64_t random = 5;
    assert_ok(ctx, ddt_circuit_create(ctx, lanes, block, &c));
    ddt_node x = ddt_circuit_input(c, "x", bound);
    for (unsigned i = 0; i < depth; i++) {
        x = ddt_circuit_mul(c, x, x);
    }
    ddt_circuit_output(c, "o", x);
    double **inputs = test_random_rows(&random, 1, lanes * block, bound);
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(inputs), NULL));
    test_free_rows(inputs);
    return c;
}

static void test_secure_parameters(void **state) {
    ddt_context *ctx = *state;
    static const unsigned depths[] = {0, 1, 4, 10, 20, 40};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        ddt_circuit *c = powers(ctx, depths[i], 3, 64, 1.0);
        ddt_plan_request request = {0};
        ddt_plan *plan = NULL;
        assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
        ddt_plan_info info;
        ddt_plan_get_info(plan, &info);
        assert_int_equal(info.depth, depths[i]);
        assert_int_equal(info.security_bits, 128);
        assert_true(info.log2_qp <= ddt_ckks_max_log_qp(info.literal.log_n));
        assert_true(info.predicted_error <= 1e-5 && info.predicted_error > 0.0);
        assert_true(info.predicted_seconds > 0.0 || info.instructions == 0);
        const ddt_ckks_params *params = NULL;
        assert_ok(ctx, ddt_plan_params(ctx, plan, &params));
        assert_true(ddt_ckks_params_is_secure(params));
        ddt_plan_destroy(plan);
        ddt_circuit_destroy(c);
    }
}

static ddt_status plan_status(ddt_context *ctx, const ddt_circuit *c, ddt_plan_request request) {
    ddt_plan *plan = NULL;
    ddt_context_clear(ctx);
    ddt_status status = ddt_plan_create(ctx, c, &request, &plan);
    assert_true((status == DDT_OK) == (plan != NULL));
    assert_true((status == DDT_OK) == (strlen(ddt_error_detail(ctx)) == 0));
    ddt_plan_destroy(plan);
    return status;
}

/* The plan knows what its run takes, and takes less where it may. */
static void test_memory(void **state) {
    ddt_context *ctx = *state;
    ddt_circuit *c = powers(ctx, 6, 3, 64, 1.0);
    ddt_plan_info free_choice;
    ddt_plan_info tight;
    ddt_plan *plan = NULL;
    assert_ok(ctx, ddt_plan_create(ctx, c, &(ddt_plan_request){.log_n = 15}, &plan));
    ddt_plan_get_info(plan, &free_choice);
    ddt_plan_destroy(plan);
    assert_true(free_choice.engine_bytes > 2 * free_choice.eval_key_bytes);
    const uint64_t limit = free_choice.engine_bytes - 1;
    assert_ok(ctx, ddt_plan_create(ctx, c, &(ddt_plan_request){.log_n = 15, .memory_limit = limit}, &plan));
    ddt_plan_get_info(plan, &tight);
    ddt_plan_destroy(plan);
    assert_true(tight.engine_bytes <= limit && tight.predicted_seconds > free_choice.predicted_seconds);
    /* No plan is small enough: the limit is no reason to refuse. */
    assert_ok(ctx, ddt_plan_create(ctx, c, &(ddt_plan_request){.log_n = 15, .memory_limit = 1}, &plan));
    ddt_plan_get_info(plan, &tight);
    ddt_plan_destroy(plan);
    assert_true(tight.predicted_seconds == free_choice.predicted_seconds);
    ddt_circuit_destroy(c);
}

static void test_requests(void **state) {
    ddt_context *ctx = *state;
    ddt_circuit *c = powers(ctx, 6, 3, 64, 1.0);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){.log_n = 14}), DDT_OK);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){.scale_bits = 45}), DDT_OK);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){.log_n = 12}), DDT_ERR_CAPACITY);
    assert_non_null(strstr(ddt_error_detail(ctx), "6 levels"));
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){.log_n = 11}), DDT_ERR_ARGUMENT);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){.log_n = 18}), DDT_ERR_ARGUMENT);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){.scale_bits = 50}), DDT_ERR_ARGUMENT);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){.target_error = 1e-30}), DDT_ERR_CAPACITY);
    assert_non_null(strstr(ddt_error_detail(ctx), "cannot be met"));
    /* An unreachable target with a bound that is reachable: the best there is, and it says what it is. */
    ddt_plan *plan = NULL;
    ddt_context_clear(ctx);
    assert_ok(ctx, ddt_plan_create(ctx, c, &(ddt_plan_request){.target_error = 1e-14, .accept_error = 1e-6}, &plan));
    assert_true(plan->predicted_error > 1e-14 && plan->predicted_error <= 1e-6);
    ddt_plan_destroy(plan);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){.target_error = 1e-30, .accept_error = 1e-29}),
                     DDT_ERR_CAPACITY);
    /* Where nothing else is accepted the target alone asks for two primes a level. */
    ddt_context_clear(ctx);
    assert_ok(ctx, ddt_plan_create(ctx, c, &(ddt_plan_request){.target_error = 1e-14}, &plan));
    assert_true(plan->predicted_error <= 1e-14 && plan->literal.scale_primes == 2);
    ddt_plan_destroy(plan);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){.accept_error = NAN}), DDT_ERR_ARGUMENT);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){.target_error = NAN}), DDT_ERR_ARGUMENT);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){.target_error = 1e-9, .insecure_for_testing = true}),
                     DDT_OK);
    ddt_circuit_destroy(c);
    c = powers(ctx, 62, 1, 1, 1.0);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){.log_n = 15}), DDT_ERR_CAPACITY);
    ddt_circuit_destroy(c);
    assert_ok(ctx, ddt_circuit_create(ctx, 1, 1, &c));
    ddt_node x = ddt_circuit_input(c, "x", 1.0);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){0}), DDT_ERR_ARGUMENT); /* no output */
    ddt_circuit_output(c, "o", x);
    assert_int_equal(plan_status(ctx, c, (ddt_plan_request){0}), DDT_ERR_ARGUMENT); /* not calibrated */
    ddt_circuit_destroy(c);
}

/* Large outputs want room in q_0, and where that is not enough a second prime. */
static void test_headroom(void **state) {
    ddt_context *ctx = *state;
    for (double bound = 1.0; bound < 1e6; bound *= 8.0) {
        ddt_circuit *c = powers(ctx, 1, 2, 8, bound);
        ddt_plan_request request = {.target_error = 1e-3 * bound * bound};
        ddt_plan *plan = NULL;
        assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
        double most = bound * bound;
        double room = plan->literal.first_bits + (plan->output_level - 1.0) * plan->literal.scale_bits - 1.0;
        assert_true(exp2(room) >= 2.0 * most);
        ddt_plan_destroy(plan);
        ddt_circuit_destroy(c);
    }
    ddt_circuit *c = powers(ctx, 1, 2, 8, 1000.0);
    ddt_plan_request request = {.target_error = 1e-4};
    ddt_plan *plan = NULL;
    assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
    assert_int_equal(ddt_plan_get_output(plan, 0).level, 1);
    ddt_plan_destroy(plan);
    ddt_circuit_destroy(c);
}

/* Lanes that do not fit one ciphertext become batches; the cheapest ring degree counts all of them. */
static void test_batches(void **state) {
    ddt_context *ctx = *state;
    ddt_circuit *c = powers(ctx, 2, 1000, 64, 1.0);
    for (unsigned log_n = 13; log_n <= 15; log_n++) {
        ddt_plan_request request = {.log_n = log_n};
        ddt_plan *plan = NULL;
        assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
        ddt_plan_info info;
        ddt_plan_get_info(plan, &info);
        size_t per_batch = ((size_t)1 << (log_n - 1)) / 64;
        assert_int_equal(info.lanes_per_batch, per_batch);
        assert_int_equal(info.batches, (1000 + per_batch - 1) / per_batch);
        /* Packing and unpacking all batches gives the values back. */
        double *values = calloc(64000, sizeof *values);
        double *back = calloc(64000, sizeof *back);
        double *slots = calloc((size_t)1 << (log_n - 1), sizeof *slots);
        for (size_t i = 0; i < 64000; i++) {
            values[i] = (double)i + 1.0;
        }
        for (size_t b = 0; b < info.batches; b++) {
            ddt_plan_pack(plan, b, values, slots);
            for (size_t i = 0; i < (size_t)1 << (log_n - 1); i++) {
                assert_true(slots[i] > 0.0); /* no slot is left empty */
            }
            ddt_plan_unpack(plan, b, slots, back);
        }
        assert_memory_equal(values, back, 64000 * sizeof *values);
        free(values);
        free(back);
        free(slots);
        ddt_plan_destroy(plan);
    }
    ddt_circuit_destroy(c);
}

typedef struct order_state {
    const bool *known;
    bool ready;
} order_state;

static void look(void *user, uint32_t value) {
    order_state *state = user;
    state->ready &= state->known[value];
}

/* All instructions once, none before its operands, in its wave too. */
static void check_order(const ddt_plan *plan) {
    bool *known = calloc(plan->value_count, sizeof *known);
    bool *done = calloc(plan->instruction_count, sizeof *done);
    for (size_t i = 0; i < plan->input_count; i++) {
        known[i] = true;
    }
    assert_int_equal(plan->wave_begin[0], 0);
    assert_int_equal(plan->wave_begin[plan->wave_count], plan->instruction_count);
    for (size_t w = 0; w < plan->wave_count; w++) {
        assert_true(plan->wave_begin[w] < plan->wave_begin[w + 1]);
        for (size_t i = plan->wave_begin[w]; i < plan->wave_begin[w + 1]; i++) {
            order_state state = {.known = known, .ready = true};
            plan_operands(plan, &plan->instructions[plan->order[i]], look, &state);
            assert_true(state.ready && !done[plan->order[i]]);
            done[plan->order[i]] = true;
        }
        for (size_t i = plan->wave_begin[w]; i < plan->wave_begin[w + 1]; i++) {
            const plan_instruction *instruction = &plan->instructions[plan->order[i]];
            for (uint32_t r = 0; r < instruction->results; r++) {
                known[instruction->first + r] = true;
            }
        }
    }
    free(known);
    free(done);
}

/* A circuit written breadth first: 120 values are alive in that order, and few when each is finished in its turn. */
static void test_schedule(void **state) {
    ddt_context *ctx = *state;
    enum { CHAINS = 120, STEPS = 3 };
    for (uint64_t seed = 1; seed <= 30; seed++) {
        random_circuit r;
        ddt_plan *plan = NULL;
        ddt_plan_request request = {.target_error = 1e-2, .accept_error = 1.0, .insecure_for_testing = true};
        random_circuit_make(ctx, &r, seed, 2, 8, 40, 12);
        assert_ok(ctx, ddt_circuit_calibrate(ctx, r.circuit, TEST_CONST(r.inputs), NULL));
        assert_ok(ctx, ddt_plan_create(ctx, r.circuit, &request, &plan));
        check_order(plan);
        ddt_plan_destroy(plan);
        random_circuit_free(&r);
    }
    ddt_circuit *c = NULL;
    uint64_t random = 1;
    assert_ok(ctx, ddt_circuit_create(ctx, 1, 8, &c));
    ddt_node x = ddt_circuit_input(c, "x", 1.0);
    ddt_node y[CHAINS];
    for (size_t k = 0; k < CHAINS; k++) {
        y[k] = ddt_circuit_affine(c, &x, (double[]){1.0 / (double)(k + 2)}, 1, 0.25);
    }
    for (size_t step = 0; step < STEPS; step++) {
        for (size_t k = 0; k < CHAINS; k++) {
            y[k] = ddt_circuit_mul(c, y[k], y[k]);
        }
    }
    ddt_circuit_output(c, "o", ddt_circuit_dot(c, y, y + CHAINS / 2, CHAINS / 2));
    double **inputs = test_random_rows(&random, 1, 8, 1.0);
    ddt_plan *plan = NULL;
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(inputs), NULL));
    assert_ok(ctx, ddt_plan_create(ctx, c, &(ddt_plan_request){.target_error = 1e-3}, &plan));
    check_order(plan);
    uint32_t *program = calloc(plan->instruction_count, sizeof *program);
    uint32_t *uses = calloc(plan->value_count, sizeof *uses);
    for (size_t i = 0; i < plan->instruction_count; i++) {
        program[i] = (uint32_t)i;
    }
    double written = (double)plan_peak_limbs(plan, program, uses);
    assert_true((double)plan_peak_limbs(plan, plan->order, uses) < 0.8 * written);
    free(program);
    free(uses);
    test_free_rows(inputs);
    ddt_plan_destroy(plan);
    ddt_circuit_destroy(c);
}

/* The room's noise figures, worked out from the literal alone, against those of the parameters. */
static void test_noise_model(void **state) {
    ddt_context *ctx = *state;
    for (unsigned p_count = 1; p_count <= 3; p_count++) {
        ddt_ckks_literal literal = {.log_n = 12, .levels = 6, .first_bits = 50, .scale_bits = 42, .p_count = p_count};
        ddt_ckks_params *params = NULL;
        assert_ok(ctx, ddt_ckks_params_create_insecure_for_testing(ctx, &literal, &params));
        const double scale = ldexp(1.0, 42);
        const double real_part = sqrt(0.5);
        noise_model model;
        noise_model_fill(&literal, false, &model);
        assert_true(fabs(model.fresh / (real_part * ddt_ckks_noise_fresh_secret(params, scale)) - 1.0) < 0.01);
        assert_true(fabs(model.rescale / (real_part * ddt_ckks_noise_rescale(params, 2, scale)) - 1.0) < 0.01);
        assert_true(fabs(model.plain / (real_part * ddt_ckks_noise_encode(params, scale)) - 1.0) < 0.01);
        for (unsigned l = 0; l <= 6; l++) {
            double expected = real_part * ddt_ckks_noise_key_switch(params, l, scale);
            assert_true(fabs(model.switching[l] / expected - 1.0) < 0.01);
        }
        noise_model_fill(&literal, true, &model);
        assert_true(fabs(model.fresh / (real_part * ddt_ckks_noise_fresh_public(params, scale)) - 1.0) < 0.01);
        ddt_ckks_params_destroy(params);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_lowering_keeps_values, clear_errors),
        cmocka_unit_test_setup(test_levels, clear_errors),
        cmocka_unit_test_setup(test_late_levels, clear_errors),
        cmocka_unit_test_setup(test_families, clear_errors),
        cmocka_unit_test_setup(test_secure_parameters, clear_errors),
        cmocka_unit_test_setup(test_memory, clear_errors),
        cmocka_unit_test_setup(test_requests, clear_errors),
        cmocka_unit_test_setup(test_headroom, clear_errors),
        cmocka_unit_test_setup(test_batches, clear_errors),
        cmocka_unit_test_setup(test_noise_model, clear_errors),
        cmocka_unit_test_setup(test_schedule, clear_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
