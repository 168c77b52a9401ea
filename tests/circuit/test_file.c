/*
 * Plan files: what is written is read back, damage is found, and a forged plan is refused or harmless.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "circuit_random.h"

#include <unistd.h>

enum { PACK_LOG_N = 10 };

typedef struct file_bytes {
    uint8_t *data;
    size_t length;
} file_bytes;

static file_bytes read_bytes(void) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    file_bytes bytes = {.length = (size_t)ftell(file)};
    rewind(file);
    bytes.data = malloc(bytes.length);
    assert_int_equal(fread(bytes.data, 1, bytes.length, file), bytes.length);
    (void)fclose(file);
    return bytes;
}

static file_bytes write_plan(ddt_context *ctx, const ddt_plan *plan) {
    ddt_writer *writer = NULL;
    uint64_t size = 0;
    assert_ok(ctx, ddt_writer_open(ctx, path, DDT_WIRE_PLAN, false, &writer));
    assert_ok(ctx, ddt_plan_write(writer, plan));
    assert_ok(ctx, ddt_writer_commit(writer, &size));
    file_bytes bytes = read_bytes();
    assert_int_equal(bytes.length, size);
    return bytes;
}

static ddt_status read_plan(ddt_context *ctx, file_bytes bytes, ddt_plan **plan) {
    ddt_reader *reader = NULL;
    *plan = NULL;
    ddt_context_clear(ctx);
    ddt_status status = ddt_reader_open_memory(ctx, bytes.data, bytes.length, DDT_WIRE_PLAN, &reader);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_plan_read(ctx, reader, plan);
    if (status == DDT_OK) {
        status = ddt_reader_finish(reader);
    }
    ddt_reader_close(reader);
    if (status != DDT_OK) {
        assert_true(strlen(ddt_error_detail(ctx)) > 10);
    }
    return status;
}

static ddt_plan *random_plan(ddt_context *ctx, random_circuit *r, uint64_t seed, size_t steps) {
    ddt_plan *plan = NULL;
    random_circuit_make(ctx, r, seed, 6, 8, steps, 12);
    assert_ok(ctx, ddt_circuit_calibrate(ctx, r->circuit, TEST_CONST(r->inputs), NULL));
    ddt_plan_request request = {
        .target_error = 1e-3, .insecure_for_testing = true, .pack_log_n = seed % 2 == 0 ? 0 : PACK_LOG_N};
    assert_ok(ctx, ddt_plan_create(ctx, r->circuit, &request, &plan));
    return plan;
}

static void test_round_trip(void **state) {
    ddt_context *ctx = *state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        random_circuit r;
        ddt_plan *plan = random_plan(ctx, &r, seed, 25);
        ddt_plan *again = NULL;
        file_bytes first = write_plan(ctx, plan);
        assert_ok(ctx, read_plan(ctx, first, &again));
        file_bytes second = write_plan(ctx, again);
        assert_int_equal(first.length, second.length);
        assert_memory_equal(first.data, second.data, first.length);
        ddt_plan_info a;
        ddt_plan_info b;
        ddt_plan_get_info(plan, &a);
        ddt_plan_get_info(again, &b);
        assert_true(a.predicted_error == b.predicted_error && a.predicted_seconds == b.predicted_seconds);
        assert_int_equal(a.depth, b.depth);
        assert_int_equal(a.batches, b.batches);
        assert_int_equal(a.instructions, b.instructions);
        assert_int_equal(a.multiplications, b.multiplications);
        assert_int_equal(a.eval_key_bytes, b.eval_key_bytes);
        assert_int_equal(a.twin_bytes, b.twin_bytes);
        assert_int_equal(a.engine_bytes, b.engine_bytes);
        assert_int_equal(ddt_plan_key_count(plan), ddt_plan_key_count(again));
        double **one = test_rows(r.output_count, r.slots);
        double **two = test_rows(r.output_count, r.slots);
        assert_ok(ctx, plan_simulate(ctx, plan, NULL, 0, r.lanes, TEST_CONST(r.inputs), one));
        assert_ok(ctx, plan_simulate(ctx, again, NULL, 0, r.lanes, TEST_CONST(r.inputs), two));
        assert_true(test_max_difference(one, two, r.output_count, r.slots) == 0.0);
        test_free_rows(one);
        test_free_rows(two);
        free(first.data);
        free(second.data);
        ddt_plan_destroy(plan);
        ddt_plan_destroy(again);
        random_circuit_free(&r);
    }
}

/* Every bit of a small plan file flipped, every prefix of it: all refused. */
static void test_damage(void **state) {
    ddt_context *ctx = *state;
    random_circuit r;
    ddt_plan *plan = random_plan(ctx, &r, 4, 6);
    file_bytes bytes = write_plan(ctx, plan);
    for (size_t i = 0; i < bytes.length; i++) {
        ddt_plan *damaged = NULL;
        for (unsigned bit = 0; bit < 8; bit += 3) {
            bytes.data[i] ^= (uint8_t)(1U << bit);
            if (read_plan(ctx, bytes, &damaged) == DDT_OK) {
                fail_msg("bit %u of byte %zu may be flipped", bit, i);
            }
            ddt_plan_destroy(damaged);
            bytes.data[i] ^= (uint8_t)(1U << bit);
        }
        file_bytes prefix = {.data = bytes.data, .length = i};
        assert_int_not_equal(read_plan(ctx, prefix, &damaged), DDT_OK);
        ddt_plan_destroy(damaged);
    }
    free(bytes.data);
    ddt_plan_destroy(plan);
    random_circuit_free(&r);
}

/* ------------------------------------------------------------------ forgeries */

/* More inputs in a ciphertext than there are, or than it has room for: keys would be made and nothing could be sent. */
static void test_too_many_share(void **state) {
    ddt_context *ctx = *state;
    size_t packed = 0;
    for (uint64_t seed = 1; seed <= 9; seed += 2) {
        random_circuit r;
        ddt_plan *plan = random_plan(ctx, &r, seed, 12);
        ddt_plan *again = NULL;
        packed += ddt_plan_pack_count(plan) > 1;
        for (unsigned stages = 0; stages <= DDT_CKKS_PACK_STAGES_MAX; stages++) {
            plan->pack_stages = stages;
            file_bytes bytes = write_plan(ctx, plan);
            bool fits = stages <= plan_pack_stages_most(plan, plan->literal.log_n);
            assert_int_equal(read_plan(ctx, bytes, &again), fits ? DDT_OK : DDT_ERR_FORMAT);
            assert_true(!fits || ddt_plan_pack_count(again) == (size_t)1 << stages);
            ddt_plan_destroy(again);
            free(bytes.data);
        }
        ddt_plan_destroy(plan);
        random_circuit_free(&r);
    }
    assert_true(packed > 0);
}

static uint32_t odd_number(uint64_t *random) {
    static const uint32_t corners[] = {0, 1, 2, 63, 64, 65, 255, 256, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    return test_random(random) % 2 == 0 ? corners[test_random(random) % (sizeof corners / sizeof *corners)]
                                        : (uint32_t)(test_random(random) % 40);
}

static void forge_instruction(ddt_plan *plan, uint64_t *random, plan_instruction *i) {
    switch (test_random(random) % 3) {
    case 0:
        if (i->opcode != PLAN_COMBINATION) {
            i->operand = odd_number(random);
        }
        break;
    case 1:
        i->offset.vector = odd_number(random);
        break;
    default:
        if (i->opcode == PLAN_ROTATION) {
            plan->steps[i->detail_begin] = (int32_t)odd_number(random);
        }
    }
}

/* Changes one number of the plan to something that the planner would not write. */
static void forge(ddt_plan *plan, uint64_t *random) {
    switch (test_random(random) % 10) {
    case 0:
        plan->levels[test_random(random) % plan->value_count] = (uint8_t)odd_number(random);
        break;
    case 1:
        plan->outputs[test_random(random) % plan->output_count].value = odd_number(random);
        break;
    case 2:
        if (plan->product_count > 0) {
            plan_product *p = &plan->products[test_random(random) % plan->product_count];
            *(test_random(random) % 2 == 0 ? &p->a : &p->b) = odd_number(random);
            p->k = test_random(random) % 2 == 0 ? p->k : (int32_t)odd_number(random);
        }
        break;
    case 3:
        if (plan->scaled_count > 0) {
            plan_scaled *s = &plan->scaleds[test_random(random) % plan->scaled_count];
            *(test_random(random) % 2 == 0 ? &s->a : &s->c.vector) = odd_number(random);
        }
        break;
    case 4:
        if (plan->exact_count > 0) {
            plan_exact *e = &plan->exacts[test_random(random) % plan->exact_count];
            e->a = test_random(random) % 2 == 0 ? e->a : odd_number(random);
            e->k = test_random(random) % 2 == 0 ? e->k : (int32_t)odd_number(random);
        }
        break;
    case 5:
        plan->output_level = odd_number(random);
        break;
    case 6:
        plan->inputs[test_random(random) % plan->input_count].bound = test_random(random) % 2 == 0 ? 0.0 : -1.0;
        break;
    case 7:
        *(test_random(random) % 2 == 0 ? &plan->literal.levels : &plan->literal.log_n) = odd_number(random);
        break;
    case 8:
        if (plan->pool.count > 0) {
            circuit_vector *v = &plan->pool.vectors[test_random(random) % plan->pool.count];
            v->count = 1 + test_random(random) % v->count; /* never more than there are */
        }
        break;
    default:
        if (plan->instruction_count > 0) {
            forge_instruction(plan, random, &plan->instructions[test_random(random) % plan->instruction_count]);
        }
    }
}

static void test_forgeries(void **state) {
    ddt_context *ctx = *state;
    uint64_t random = 99;
    size_t refused = 0;
    size_t harmless = 0;
    for (uint64_t seed = 40; seed < 50; seed++) {
        random_circuit r;
        ddt_plan *plan = random_plan(ctx, &r, seed, 15);
        file_bytes sound = write_plan(ctx, plan);
        double **out = test_rows(r.output_count, r.slots);
        for (unsigned i = 0; i < 30; i++) {
            ddt_plan *forged = NULL;
            ddt_plan *read = NULL;
            assert_ok(ctx, read_plan(ctx, sound, &forged));
            forge(forged, &random);
            file_bytes bytes = write_plan(ctx, forged);
            if (read_plan(ctx, bytes, &read) == DDT_OK) {
                harmless++;
                assert_ok(ctx, plan_simulate(ctx, read, NULL, 0, r.lanes, TEST_CONST(r.inputs), out));
            } else {
                refused++;
                assert_null(read);
            }
            free(bytes.data);
            ddt_plan_destroy(forged);
            ddt_plan_destroy(read);
        }
        test_free_rows(out);
        free(sound.data);
        ddt_plan_destroy(plan);
        random_circuit_free(&r);
    }
    assert_true(refused > harmless);
}

/* A plan above the security table is refused, whatever it says about itself; an insecure one says so. */
static void test_security(void **state) {
    ddt_context *ctx = *state;
    random_circuit r;
    ddt_plan *plan = random_plan(ctx, &r, 8, 10);
    ddt_plan *read = NULL;
    ddt_plan_info info;
    file_bytes bytes = write_plan(ctx, plan);
    assert_ok(ctx, read_plan(ctx, bytes, &read));
    ddt_plan_get_info(read, &info);
    assert_int_equal(info.security_bits, 0);
    ddt_plan_destroy(read);
    free(bytes.data);
    plan->insecure = false;
    bytes = write_plan(ctx, plan);
    assert_int_equal(read_plan(ctx, bytes, &read), DDT_ERR_SECURITY);
    assert_null(read);
    free(bytes.data);
    ddt_plan_destroy(plan);
    random_circuit_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_round_trip, clear_errors),     cmocka_unit_test_setup(test_damage, clear_errors),
        cmocka_unit_test_setup(test_too_many_share, clear_errors), cmocka_unit_test_setup(test_forgeries, clear_errors),
        cmocka_unit_test_setup(test_security, clear_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
