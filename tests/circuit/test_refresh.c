/*
 * Plans that refresh: which places are used, what the programs compute, and small insecure rings from end to end.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "circuit_random.h"
#include "refresh_circuits.h"

#include <unistd.h>

static size_t count_refreshed_values(const ddt_plan *plan) {
    size_t count = 0;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        count += plan->instructions[i].opcode == PLAN_REFRESH ? plan->instructions[i].results : 0;
    }
    return count;
}

/* Fewer levels, more bootstraps; never more levels than asked for; values stay. */
static void test_choice(void **state) {
    ddt_context *ctx = *state;
    size_t before = 0;
    for (unsigned levels = 20; levels >= 4; levels -= 2) {
        ddt_circuit *c = refresh_chains(ctx, 24, 2, 1.0);
        double **in = refresh_inputs(2);
        double **expected = test_rows(2, REFRESH_SLOTS);
        double **got = test_rows(2, REFRESH_SLOTS);
        ddt_plan_request request = {.target_error = 1e-2, .insecure_for_testing = true, .levels = levels, .log_n = 10};
        ddt_plan *plan = NULL;
        assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(in), false, expected));
        assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
        assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
        assert_ok(ctx, plan_simulate(ctx, plan, NULL, 0, REFRESH_LANES, TEST_CONST(in), got));
        assert_true(test_max_difference(got, expected, 2, REFRESH_SLOTS) < 1e-12);
        ddt_plan_info info;
        ddt_plan_get_info(plan, &info);
        assert_true(info.depth <= levels && info.literal.levels == info.depth && info.bootstraps > 0);
        /* Both chains are refreshed together, and as rarely as the levels between two bootstraps allow. */
        assert_int_equal(count_refreshed_values(plan), 2 * info.bootstraps);
        unsigned between = levels - plan->boot.slots_levels;
        unsigned least = (24 - levels + between - 1) / between;
        assert_true(info.bootstraps >= least && info.bootstraps <= 3 * least + 4);
        assert_true(info.bootstraps >= before);
        before = info.bootstraps;
        test_free_rows(in);
        test_free_rows(expected);
        test_free_rows(got);
        ddt_plan_destroy(plan);
        ddt_circuit_destroy(c);
    }
}

/* Where the depth fits, places to refresh cost nothing: the plan is that of the circuit without them. */
static void test_not_needed(void **state) {
    ddt_context *ctx = *state;
    ddt_plan_info info[2];
    for (int with = 0; with < 2; with++) {
        ddt_circuit *c = refresh_chains(ctx, 10, 1, with != 0 ? 1.0 : 0.0);
        double **in = refresh_inputs(1);
        ddt_plan *plan = NULL;
        ddt_plan_request request = {.target_error = 1e-4};
        assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
        assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
        ddt_plan_get_info(plan, &info[with]);
        test_free_rows(in);
        ddt_plan_destroy(plan);
        ddt_circuit_destroy(c);
    }
    assert_int_equal(info[1].bootstraps, 0);
    assert_int_equal(info[1].instructions, info[0].instructions);
    assert_int_equal(info[1].depth, info[0].depth);
    assert_int_equal(info[1].literal.log_n, info[0].literal.log_n);
}

/* Secure plans with real parameters: nothing is run, but the primes are made and the table is obeyed. */
static void test_secure(void **state) {
    ddt_context *ctx = *state;
    for (unsigned log_n = 16; log_n <= 17; log_n++) {
        ddt_circuit *c = refresh_chains(ctx, 80, 2, 1.0);
        double **in = refresh_inputs(2);
        ddt_plan *plan = NULL;
        ddt_plan_request request = {.target_error = 1e-3, .log_n = log_n};
        assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
        assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
        ddt_plan_info info;
        ddt_plan_get_info(plan, &info);
        assert_true(info.bootstraps > 0 && info.security_bits == 128);
        assert_true(info.log2_qp <= ddt_ckks_max_log_qp(log_n) && info.log2_qp > 800.0);
        assert_int_equal(info.literal.boot_levels > DDT_BOOTSTRAP_MOD_LEVELS, 1);
        assert_true(info.predicted_seconds > 1.0 && info.predicted_error < 1e-3);
        print_message("2^%u: %u levels, %u bootstraps, log2(QP) %.0f, %u special primes, scale 2^%u, %.0f s, keys "
                      "%.2f GiB\n",
                      log_n, info.depth, info.bootstraps, info.log2_qp, info.literal.p_count, info.literal.scale_bits,
                      info.predicted_seconds, (double)info.eval_key_bytes / (1 << 30));
        test_free_rows(in);
        ddt_plan_destroy(plan);
        ddt_circuit_destroy(c);
    }
}

static void test_too_deep(void **state) {
    ddt_context *ctx = *state;
    /* One place at each tenth step is not enough for 6 levels. */
    ddt_circuit *c = refresh_chains(ctx, 70, 1, -1.0);
    double **in = refresh_inputs(1);
    ddt_plan *plan = NULL;
    ddt_plan_request request = {.target_error = 1e-2, .insecure_for_testing = true, .levels = 6};
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
    assert_int_equal(ddt_plan_create(ctx, c, &request, &plan), DDT_ERR_CAPACITY);
    assert_non_null(strstr(ddt_error_detail(ctx), "refreshed"));
    assert_null(plan);
    test_free_rows(in);
    ddt_circuit_destroy(c);
}

/* No places named: the planner cuts where the graph is narrow. */
static void test_found_places(void **state) {
    ddt_context *ctx = *state;
    for (unsigned levels = 0; levels <= 30; levels += 10) {
        ddt_circuit *c = refresh_chains(ctx, 70, 2, 0.0);
        double **in = refresh_inputs(2);
        double **expected = test_rows(2, REFRESH_SLOTS);
        double **got = test_rows(2, REFRESH_SLOTS);
        ddt_plan *plan = NULL;
        ddt_plan_request request = {.target_error = 1e-2, .insecure_for_testing = true, .levels = levels, .log_n = 10};
        assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(in), false, expected));
        assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
        assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
        ddt_plan_info info;
        ddt_plan_get_info(plan, &info);
        /* Both chains together, and not much more often than 70 levels ask for. */
        unsigned between = info.depth - plan->boot.slots_levels;
        assert_true(levels == 0 || info.depth <= levels);
        assert_true(info.bootstraps >= (70 - info.depth) / between && info.bootstraps <= 2 + 2 * (70 / between));
        assert_int_equal(count_refreshed_values(plan), 2 * info.bootstraps);
        assert_ok(ctx, plan_simulate(ctx, plan, NULL, 0, REFRESH_LANES, TEST_CONST(in), got));
        assert_true(test_max_difference(got, expected, 2, REFRESH_SLOTS) < 1e-12);
        if (levels == 30) {
            test_keys keys;
            test_keys_make(ctx, plan, &keys);
            test_run(ctx, plan, &keys, in, got);
            assert_true(test_max_difference(got, expected, 2, REFRESH_SLOTS) <= info.predicted_error);
            test_keys_free(&keys);
        }
        test_free_rows(in);
        test_free_rows(expected);
        test_free_rows(got);
        ddt_plan_destroy(plan);
        ddt_circuit_destroy(c);
    }
}

/* Random circuits on few levels, with whatever cuts there are. */
static void test_found_random(void **state) {
    ddt_context *ctx = *state;
    unsigned made = 0;
    unsigned refused = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        random_circuit r;
        ddt_plan *plan = NULL;
        ddt_plan_request request = {
            .target_error = 1e-2, .accept_error = 1e9, .insecure_for_testing = true, .levels = 9, .log_n = 10};
        random_circuit_make(ctx, &r, seed, 3, 8, 60, 40);
        double **expected = test_rows(r.output_count, r.slots);
        double **got = test_rows(r.output_count, r.slots);
        assert_ok(ctx, ddt_circuit_run_clear(ctx, r.circuit, TEST_CONST(r.inputs), false, expected));
        assert_ok(ctx, ddt_circuit_calibrate(ctx, r.circuit, TEST_CONST(r.inputs), NULL));
        ddt_status status = ddt_plan_create(ctx, r.circuit, &request, &plan);
        assert_true(status == DDT_OK || status == DDT_ERR_CAPACITY);
        if (status == DDT_OK) {
            assert_ok(ctx, plan_simulate(ctx, plan, NULL, 0, 3, TEST_CONST(r.inputs), got));
            assert_true(random_difference(&r, got, expected) < 1e-9);
            assert_true(plan_depth(plan) <= 9);
            made += count_refreshed_values(plan) > 0;
        }
        refused += status != DDT_OK;
        ddt_context_clear(ctx);
        test_free_rows(expected);
        test_free_rows(got);
        ddt_plan_destroy(plan);
        random_circuit_free(&r);
    }
    print_message("%u random circuits with refreshes, %u refused\n", made, refused);
    assert_true(made >= 10 && refused <= 10);
}

static void test_bad_marks(void **state) {
    ddt_context *ctx = *state;
    static const double bounds[] = {0.0, -1.0, 65.0, NAN, INFINITY};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0] + 2; i++) {
        ddt_circuit *c = NULL;
        assert_ok(ctx, ddt_circuit_create(ctx, 1, 4, &c));
        ddt_node x = ddt_circuit_input(c, "x", 1.0);
        ddt_circuit_output(c, "y", x);
        assert_int_equal(ddt_circuit_refresh(c, ddt_circuit_constant(c, 0.5), 1.0), ddt_circuit_constant(c, 0.5));
        if (i < sizeof bounds / sizeof bounds[0]) {
            assert_int_equal(ddt_circuit_refresh(c, x, bounds[i]), DDT_NODE_NONE);
        } else {
            assert_ok(ctx, ddt_circuit_status(c));
            ddt_circuit_carry(c, i % 2 == 0 ? "y" : "x", i % 2 == 0 ? "y" : "x");
        }
        assert_true(ddt_circuit_status(c) == DDT_ERR_ARGUMENT || ddt_circuit_status(c) == DDT_ERR_RANGE);
        ddt_context_clear(ctx);
        ddt_circuit_destroy(c);
    }
}

/* What leaves the bound of a refresh is counted; a derivative passes through. */
static void test_calibration(void **state) {
    ddt_context *ctx = *state;
    ddt_circuit *c = NULL;
    assert_ok(ctx, ddt_circuit_create(ctx, 1, 4, &c));
    ddt_node x = ddt_circuit_input(c, "x", 3.0);
    ddt_node y = ddt_circuit_refresh(c, ddt_circuit_mul(c, x, x), 4.0);
    ddt_node one = ddt_circuit_constant(c, 1.0);
    ddt_node twice = ddt_circuit_affine(c, &x, (double[]){2.0}, 1, 0.0);
    ddt_node got = DDT_NODE_NONE;
    ddt_circuit_tangents(c, &x, &one, 1, &y, 1, &got);
    assert_int_equal(got, twice);
    ddt_circuit_gradient(c, y, one, &x, 1, &got);
    assert_int_equal(got, twice);
    ddt_circuit_output(c, "y", y);
    const double *in[1] = {(const double[4]){1.0, -2.0, 2.5, -2.5}};
    uint64_t violations = 0;
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, in, &violations));
    assert_int_equal(violations, 2);
    ddt_circuit_destroy(c);
}

/* Bounds above 1, one value alone and pairs, one thread and two. */
static void test_encrypted(void **state) {
    ddt_context *ctx = *state;
    static const struct {
        size_t chains;
        double bound;
        int threads;
    } cases[] = {{1, 1.0, 1}, {2, 3.0, 2}, {3, 1.0, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ddt_circuit *c = refresh_chains(ctx, 14, cases[i].chains, cases[i].bound);
        double **in = refresh_inputs(cases[i].chains);
        double **expected = test_rows(cases[i].chains, REFRESH_SLOTS);
        double **got = test_rows(cases[i].chains, REFRESH_SLOTS);
        ddt_plan_request request = {.target_error = 1e-3, .insecure_for_testing = true, .levels = 8, .log_n = 11};
        ddt_plan *plan = NULL;
        ddt_context_set_threads(ctx, cases[i].threads);
        assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(in), false, expected));
        assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
        assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
        test_keys keys;
        test_keys_make(ctx, plan, &keys);
        test_run(ctx, plan, &keys, in, got);
        double error = test_max_difference(got, expected, cases[i].chains, REFRESH_SLOTS);
        ddt_plan_info info;
        ddt_plan_get_info(plan, &info);
        print_message("%zu chains, %u bootstraps: error %.2g, predicted %.2g\n", cases[i].chains, info.bootstraps,
                      error, info.predicted_error);
        assert_true(error <= info.predicted_error && error > 1e-3 * info.predicted_error);
        assert_true(info.predicted_error <= info.noise_bound);
        test_keys_free(&keys);
        test_free_rows(in);
        test_free_rows(expected);
        test_free_rows(got);
        ddt_plan_destroy(plan);
        ddt_circuit_destroy(c);
    }
}

/* Two chains without rotations, each value in [-1, 1] and refreshed where the planner likes. */
static ddt_circuit *slotwise_chains(ddt_context *ctx, unsigned steps) {
    ddt_circuit *c = NULL;
    assert_ok(ctx, ddt_circuit_create(ctx, REFRESH_LANES, REFRESH_BLOCK, &c));
    ddt_node x = ddt_circuit_input(c, "x", 1.0);
    ddt_node y = ddt_circuit_input(c, "y", 1.0);
    for (unsigned i = 0; i < steps; i++) {
        ddt_node product = ddt_circuit_mul(c, x, y);
        ddt_node square = ddt_circuit_mul(c, y, y);
        x = ddt_circuit_refresh(c, ddt_circuit_affine(c, &product, (double[]){-0.5}, 1, 0.5), 1.0);
        y = ddt_circuit_refresh(c, ddt_circuit_affine(c, &square, (double[]){-0.75}, 1, 0.25), 1.0);
    }
    ddt_circuit_output(c, "x", x);
    ddt_circuit_output(c, "y", y);
    return c;
}

/* From few bootstraps to many: what is measured, predicted and bounded; a computation that forgets errors forgets them.
 */
static void test_many_bootstraps(void **state) {
    ddt_context *ctx = *state;
    static const unsigned lengths[] = {14, 28, 56};
    double first_bound = 0.0;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        ddt_circuit *c = slotwise_chains(ctx, lengths[i]);
        double **in = refresh_inputs(2);
        double **expected = test_rows(2, REFRESH_SLOTS);
        double **got = test_rows(2, REFRESH_SLOTS);
        ddt_plan_request request = {
            .target_error = 1e-3, .insecure_for_testing = true, .levels = 8, .log_n = 11, .scale_bits = 36};
        ddt_plan *plan = NULL;
        ddt_plan_info info;
        test_keys keys;
        assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(in), false, expected));
        assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
        assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
        ddt_plan_get_info(plan, &info);
        assert_true(info.bootstraps >= lengths[i] / 7);
        test_keys_make(ctx, plan, &keys);
        test_run(ctx, plan, &keys, in, got);
        const double error = test_max_difference(got, expected, 2, REFRESH_SLOTS);
        print_message("%u steps, %u bootstraps: error 2^%.1f, predicted 2^%.1f, bound 2^%.1f\n", lengths[i],
                      info.bootstraps, log2(error), log2(info.predicted_error), log2(info.noise_bound));
        assert_true(error <= info.predicted_error && info.predicted_error <= info.noise_bound);
        first_bound = i == 0 ? info.noise_bound : first_bound;
        assert_true(info.noise_bound < 2.0 * first_bound);
        test_keys_free(&keys);
        test_free_rows(in);
        test_free_rows(expected);
        test_free_rows(got);
        ddt_plan_destroy(plan);
        ddt_circuit_destroy(c);
    }
}

/* A state that lives on: the result of each run is an input of the next, twenty times. */
static void test_carried(void **state) {
    ddt_context *ctx = *state;
    enum { RUNS = 20 };
    ddt_circuit *c = refresh_updates(ctx);
    double **in = refresh_inputs(2);
    double **clear = test_rows(2, REFRESH_SLOTS);
    double **got = test_rows(2, REFRESH_SLOTS);
    ddt_plan_request request = {.target_error = 1e-3, .insecure_for_testing = true, .levels = 9, .log_n = 11};
    ddt_plan *plan = NULL;
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
    assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
    ddt_plan_info info;
    ddt_plan_get_info(plan, &info);
    print_message("worst case of a refreshed state: %.2g\n", info.noise_bound);
    assert_true(info.predicted_error <= info.noise_bound && isfinite(info.noise_bound));
    ddt_plan_output carried = ddt_plan_get_output(plan, 1);
    assert_int_equal(carried.carried, 0);
    assert_int_equal(carried.level, ddt_plan_get_input(plan, 0).level);
    assert_int_equal(ddt_plan_get_output(plan, 0).carried, SIZE_MAX);
    test_keys keys;
    test_keys_make(ctx, plan, &keys);
    ddt_ciphertext *inputs = test_encrypt(ctx, plan, &keys, 0, in);
    for (unsigned run = 0; run < RUNS; run++) {
        ddt_ciphertext outputs[2];
        assert_ok(ctx, ddt_circuit_run_clear(ctx, c, TEST_CONST(in), false, clear));
        assert_ok(ctx, ddt_plan_run(ctx, plan, keys.eval, 0, inputs, outputs));
        test_decrypt(ctx, plan, &keys, 0, outputs, got);
        assert_true(test_max_difference(got, clear, 2, REFRESH_SLOTS) < 1e-3);
        memcpy(in[0], clear[1], REFRESH_SLOTS * sizeof(double));
        ddt_ciphertext_destroy(&outputs[0]);
        ddt_ciphertext_destroy(&inputs[0]);
        inputs[0] = outputs[1];
    }
    test_free_ciphertexts(inputs, 2);
    test_keys_free(&keys);
    test_free_rows(in);
    test_free_rows(clear);
    test_free_rows(got);
    ddt_plan_destroy(plan);
    ddt_circuit_destroy(c);
}

static void test_missing_keys(void **state) {
    ddt_context *ctx = *state;
    ddt_circuit *c = refresh_chains(ctx, 10, 1, 1.0);
    double **in = refresh_inputs(1);
    ddt_plan_request request = {.target_error = 1e-3, .insecure_for_testing = true, .levels = 7, .log_n = 10};
    ddt_plan *plan = NULL;
    const ddt_ckks_params *params = NULL;
    test_keys keys;
    ddt_ciphertext out;
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
    assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
    assert_ok(ctx, ddt_plan_params(ctx, plan, &params));
    assert_ok(ctx, ddt_secret_key_generate(ctx, params, &keys.secret));
    assert_ok(ctx, ddt_eval_keys_create(ctx, params, &keys.eval));
    ddt_ciphertext *inputs = test_encrypt(ctx, plan, &keys, 0, in);
    for (size_t k = 0; k <= ddt_plan_key_count(plan); k++) { /* all switching keys, but no encapsulation */
        assert_int_equal(ddt_plan_run(ctx, plan, keys.eval, 0, inputs, &out), DDT_ERR_KEY_MISSING);
        ddt_context_clear(ctx);
        ddt_plan_key wanted = ddt_plan_get_key(plan, k);
        ddt_switch_key key;
        if (k < ddt_plan_key_count(plan)) {
            assert_ok(ctx, ddt_switch_key_generate(ctx, keys.secret, wanted.galois, wanted.top_level, &key));
            assert_ok(ctx, ddt_eval_keys_add(ctx, keys.eval, &key));
        }
    }
    test_free_ciphertexts(inputs, 1);
    test_keys_free(&keys);
    test_free_rows(in);
    ddt_plan_destroy(plan);
    ddt_circuit_destroy(c);
}

/* ------------------------------------------------------------------ files and memory */

static ddt_status write_and_read(ddt_context *ctx, const ddt_plan *plan, ddt_plan **out) {
    ddt_writer *writer = NULL;
    ddt_reader *reader = NULL;
    ddt_status status = ddt_writer_open(ctx, path, DDT_WIRE_PLAN, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_plan_write(writer, plan);
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    status = ddt_writer_commit(writer, NULL);
    if (status == DDT_OK) {
        status = ddt_reader_open(ctx, path, DDT_WIRE_PLAN, &reader);
    }
    if (status == DDT_OK) {
        status = ddt_plan_read(ctx, reader, out);
        ddt_reader_close(reader);
    }
    return status;
}

static ddt_plan *carried_plan(ddt_context *ctx) {
    ddt_circuit *c = refresh_updates(ctx);
    double **in = refresh_inputs(2);
    ddt_plan_request request = {.target_error = 1e-3, .insecure_for_testing = true, .levels = 9, .log_n = 11};
    ddt_plan *plan = NULL;
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
    assert_ok(ctx, ddt_plan_create(ctx, c, &request, &plan));
    test_free_rows(in);
    ddt_circuit_destroy(c);
    return plan;
}

static void test_file(void **state) {
    ddt_context *ctx = *state;
    ddt_plan *plan = carried_plan(ctx);
    ddt_plan *read = NULL;
    assert_ok(ctx, write_and_read(ctx, plan, &read));
    ddt_plan_info a;
    ddt_plan_info b;
    ddt_plan_get_info(plan, &a);
    ddt_plan_get_info(read, &b);
    assert_int_equal(a.bootstraps, b.bootstraps);
    assert_int_equal(a.eval_key_bytes, b.eval_key_bytes);
    assert_int_equal(ddt_plan_key_count(plan), ddt_plan_key_count(read));
    assert_memory_equal(&plan->boot, &read->boot, sizeof plan->boot);
    for (size_t o = 0; o < 2; o++) {
        assert_int_equal(ddt_plan_get_output(read, o).carried, ddt_plan_get_output(plan, o).carried);
        assert_int_equal(ddt_plan_get_output(read, o).level, ddt_plan_get_output(plan, o).level);
    }
    ddt_plan_destroy(plan);
    ddt_plan_destroy(read);
}

static plan_instruction *find_refresh(ddt_plan *plan) {
    size_t i = 0;
    while (plan->instructions[i].opcode != PLAN_REFRESH) {
        i++;
    }
    return &plan->instructions[i];
}

static void damage_operand(ddt_plan *plan) { find_refresh(plan)->operand = (uint32_t)plan->value_count - 1; }
static void damage_partner(ddt_plan *plan) { find_refresh(plan)->partner = 0; }
static void damage_level(ddt_plan *plan) { plan->levels[find_refresh(plan)->first]--; }
static void damage_operand_level(ddt_plan *plan) { plan->levels[find_refresh(plan)->operand]++; }
static void damage_slots(ddt_plan *plan) { plan->boot.log_slots = plan->literal.log_n; }
static void damage_slots_levels(ddt_plan *plan) { plan->boot.slots_levels++; }
static void damage_no_slots_levels(ddt_plan *plan) { plan->boot.slots_levels = 0; }
static void damage_baby(ddt_plan *plan) { plan->boot.baby = 3; }
static void damage_boot_levels(ddt_plan *plan) { plan->literal.boot_levels = 0; }
static void damage_security(ddt_plan *plan) { plan->insecure = false; }
static void damage_carried(ddt_plan *plan) { plan->outputs[1].carried = (uint32_t)plan->input_count; }
static void damage_carried_level(ddt_plan *plan) { plan->outputs[1].carried = CIRCUIT_NONE; }

static void test_damaged(void **state) {
    ddt_context *ctx = *state;
    static void (*const damages[])(ddt_plan *) = {damage_operand,         damage_partner, damage_level,
                                                  damage_operand_level,   damage_slots,   damage_slots_levels,
                                                  damage_no_slots_levels, damage_baby,    damage_boot_levels,
                                                  damage_security,        damage_carried, damage_carried_level};
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        ddt_plan *plan = carried_plan(ctx);
        ddt_plan *read = NULL;
        damages[i](plan);
        ddt_status status = write_and_read(ctx, plan, &read);
        if (status != DDT_ERR_FORMAT && status != DDT_ERR_SECURITY) {
            fail_msg("damage %zu: %s", i, ddt_status_name(status));
        }
        assert_null(read);
        ddt_context_clear(ctx);
        ddt_plan_destroy(plan);
    }
}

static void test_memory(void **state) {
    ddt_context *ctx = *state;
    ddt_circuit *c = refresh_updates(ctx);
    double **in = refresh_inputs(2);
    bool finished = false;
    assert_ok(ctx, ddt_circuit_calibrate(ctx, c, TEST_CONST(in), NULL));
    for (uint64_t i = 0; !finished; i += 1 + i / 16) {
        ddt_plan_request request = {.target_error = 1e-3, .insecure_for_testing = true, .levels = 9, .log_n = 11};
        ddt_plan *plan = NULL;
        ddt_plan *read = NULL;
        ddt_context_clear(ctx);
        (void)ddt_alloc_fail_after(i);
        ddt_status status = ddt_plan_create(ctx, c, &request, &plan);
        if (status == DDT_OK) {
            status = write_and_read(ctx, plan, &read);
        }
        (void)ddt_alloc_fail_after(UINT64_MAX);
        finished = status == DDT_OK;
        assert_true(finished || status == DDT_ERR_MEMORY);
        assert_true(finished == (read != NULL));
        ddt_plan_destroy(plan);
        ddt_plan_destroy(read);
        assert_true(i < 1000000);
    }
    test_free_rows(in);
    ddt_circuit_destroy(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_choice, clear_errors),
        cmocka_unit_test_setup(test_not_needed, clear_errors),
        cmocka_unit_test_setup(test_secure, clear_errors),
        cmocka_unit_test_setup(test_too_deep, clear_errors),
        cmocka_unit_test_setup(test_bad_marks, clear_errors),
        cmocka_unit_test_setup(test_calibration, clear_errors),
        cmocka_unit_test_setup(test_encrypted, clear_errors),
        cmocka_unit_test_setup(test_many_bootstraps, clear_errors),
        cmocka_unit_test_setup(test_carried, clear_errors),
        cmocka_unit_test_setup(test_missing_keys, clear_errors),
        cmocka_unit_test_setup(test_file, clear_errors),
        cmocka_unit_test_setup(test_damaged, clear_errors),
        cmocka_unit_test_setup(test_memory, clear_errors),
        cmocka_unit_test_setup(test_found_places, clear_errors),
        cmocka_unit_test_setup(test_found_random, clear_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
