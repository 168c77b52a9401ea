/* Ciphertexts and switching keys in files: round trips, damage, other parameters. SPDX-License-Identifier: Apache-2.0
 */
#include "ckks/support.h"

#include <unistd.h>

static const ddt_ckks_literal literal = {10, 4, 50, 45, 2};
static const int64_t rotation = 3;
static char path[] = "/tmp/ddt_ckks_files_XXXXXX";

typedef struct bytes {
    uint8_t *data;
    size_t length;
} bytes;

static bytes slurp(void) {
    bytes file = {NULL, 0};
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, 0, SEEK_END), 0);
    file.length = (size_t)ftell(stream);
    rewind(stream);
    file.data = malloc(file.length);
    assert_non_null(file.data);
    assert_int_equal(fread(file.data, 1, file.length, stream), file.length);
    (void)fclose(stream);
    return file;
}

static size_t write_ciphertext(test_scheme *t, const ddt_ciphertext *ct) {
    ddt_writer *writer = NULL;
    uint64_t length = 0;
    assert_ok(t->ctx, ddt_writer_open(t->ctx, path, DDT_WIRE_TWIN, false, &writer));
    assert_ok(t->ctx, ddt_ciphertext_write(writer, t->params, ct));
    assert_ok(t->ctx, ddt_writer_commit(writer, &length));
    return length;
}

static ddt_status read_ciphertext(ddt_context *ctx, const ddt_ckks_params *params, bytes file, ddt_ciphertext *out) {
    ddt_reader *reader = NULL;
    memset(out, 0xa5, sizeof *out);
    ddt_status status = ddt_reader_open_memory(ctx, file.data, file.length, DDT_WIRE_TWIN, &reader);
    if (status != DDT_OK) {
        memset(out, 0, sizeof *out);
        return status;
    }
    status = ddt_ciphertext_read(ctx, reader, params, out);
    if (status == DDT_OK) {
        status = ddt_reader_finish(reader);
        if (status != DDT_OK) {
            ddt_ciphertext_destroy(out);
        }
    }
    assert_true(status == DDT_OK || out->limbs == NULL);
    ddt_reader_close(reader);
    return status;
}

static void assert_same(const test_scheme *t, const ddt_ciphertext *a, const ddt_ciphertext *b) {
    const size_t n = ddt_ckks_n(t->params);
    assert_int_equal(a->level, b->level);
    assert_int_equal(a->parts, b->parts);
    assert_int_equal(a->has_seed, b->has_seed);
    assert_true(a->scale == b->scale);
    for (unsigned p = 0; p < a->parts; p++) {
        assert_memory_equal(ddt_ciphertext_limb(a, n, p, 0), ddt_ciphertext_limb(b, n, p, 0),
                            ((size_t)a->level + 1) * n * sizeof(uint64_t));
    }
}

static void ciphertexts(void **state) {
    (void)state;
    test_scheme t;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    double complex *message = test_slots(&t);
    test_message(0, t.slots, message);
    for (unsigned level = 0; level <= literal.levels; level++) {
        ddt_ciphertext fresh;
        ddt_ciphertext product;
        ddt_ciphertext read;
        test_encrypt(&t, message, level, &fresh);
        assert_ok(t.ctx, ddt_ciphertext_create(t.ctx, t.params, literal.levels, 3, &product));
        const size_t seeded = write_ciphertext(&t, &fresh);
        bytes file = slurp();
        assert_ok(t.ctx, read_ciphertext(t.ctx, t.params, file, &read));
        assert_same(&t, &fresh, &read);
        assert_true(read.has_seed);
        ddt_ciphertext_destroy(&read);
        free(file.data);
        assert_ok(t.ctx, ddt_eval_tensor(t.ev, &fresh, &fresh, &product));
        const size_t three = write_ciphertext(&t, &product);
        assert_true(three > 2 * seeded);
        file = slurp();
        assert_ok(t.ctx, read_ciphertext(t.ctx, t.params, file, &read));
        assert_same(&t, &product, &read);
        ddt_ciphertext_destroy(&read);
        free(file.data);
        ddt_ciphertext_destroy(&fresh);
        ddt_ciphertext_destroy(&product);
    }
    ddt_free(message);
    test_scheme_destroy(&t);
}

static void damaged_ciphertexts(void **state) {
    (void)state;
    test_scheme t;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    double complex *message = test_slots(&t);
    ddt_ciphertext ct;
    ddt_ciphertext read;
    test_message(0, t.slots, message);
    test_encrypt(&t, message, 2, &ct);
    (void)write_ciphertext(&t, &ct);
    bytes file = slurp();
    for (size_t i = 0; i < file.length; i += i < 256 ? 1 : 97) {
        file.data[i] ^= (uint8_t)(1U << (i % 8));
        assert_true(read_ciphertext(t.ctx, t.params, file, &read) != DDT_OK);
        file.data[i] ^= (uint8_t)(1U << (i % 8));
        ddt_context_clear(t.ctx);
        const bytes cut = {file.data, i};
        assert_true(read_ciphertext(t.ctx, t.params, cut, &read) != DDT_OK);
        ddt_context_clear(t.ctx);
    }
    const ddt_ckks_literal other = {10, 4, 50, 45, 3};
    ddt_ckks_params *others = NULL;
    assert_ok(t.ctx, ddt_ckks_params_create_insecure_for_testing(t.ctx, &other, &others));
    assert_fails(t.ctx, DDT_ERR_MISMATCH, read_ciphertext(t.ctx, others, file, &read));
    ddt_ckks_params_destroy(others);
    free(file.data);
    ddt_ciphertext_destroy(&ct);
    ddt_free(message);
    test_scheme_destroy(&t);
}

/* Well-formed sections with impossible contents: what a hostile author could sign with good digests. */
static void hostile_ciphertexts(void **state) {
    (void)state;
    const struct {
        uint32_t level;
        uint32_t parts;
        double scale;
        uint8_t has_seed;
        uint64_t residue;
    } hostile[] = {
        {5, 2, 1.0, 0, 1}, {UINT32_MAX, 2, 1.0, 0, 1}, {0, 1, 1.0, 0, 1},
        {0, 4, 1.0, 0, 1}, {0, 2, 0.0, 0, 1},          {0, 2, -1.0, 0, 1},
        {0, 3, 1.0, 1, 1}, {0, 2, 1.0, 2, 1},          {0, 2, 1.0, 0, UINT64_MAX},
    };
    test_scheme t;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    const size_t n = ddt_ckks_n(t.params);
    uint64_t *limb = ddt_calloc(n, sizeof *limb);
    assert_non_null(limb);
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        ddt_writer *writer = NULL;
        ddt_ciphertext read;
        assert_ok(t.ctx, ddt_writer_open(t.ctx, path, DDT_WIRE_TWIN, false, &writer));
        ddt_writer_begin(writer, "CTXT");
        ddt_writer_bytes(writer, ddt_ckks_params_digest(t.params)->bytes, DDT_WIRE_DIGEST_BYTES);
        ddt_writer_u32(writer, hostile[i].level);
        ddt_writer_u32(writer, hostile[i].parts);
        ddt_writer_f64(writer, hostile[i].scale);
        ddt_writer_u8(writer, hostile[i].has_seed);
        const unsigned bits = 64 - (unsigned)__builtin_clzll(ddt_ckks_prime(t.params, 0) - 1);
        limb[n / 2] = hostile[i].residue & (((uint64_t)1 << bits) - 1);
        ddt_writer_packed(writer, limb, n, bits);
        ddt_writer_packed(writer, limb, n, bits);
        assert_ok(t.ctx, ddt_writer_end(writer));
        assert_ok(t.ctx, ddt_writer_commit(writer, NULL));
        bytes file = slurp();
        assert_fails(t.ctx, DDT_ERR_FORMAT, read_ciphertext(t.ctx, t.params, file, &read));
        free(file.data);
    }
    ddt_free(limb);
    test_scheme_destroy(&t);
}

static ddt_status read_key(ddt_context *ctx, const ddt_ckks_params *params, bytes file, ddt_switch_key *out) {
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open_memory(ctx, file.data, file.length, DDT_WIRE_EVAL_KEYS, &reader);
    if (status == DDT_OK) {
        status = ddt_switch_key_read(ctx, reader, params, out);
        assert_true(status == DDT_OK || (out->a == NULL && out->b == NULL));
        ddt_reader_close(reader);
    }
    return status;
}

static void switch_keys(void **state) {
    (void)state;
    test_scheme t;
    test_scheme_create(&t, &literal, &rotation, 1, 1);
    for (unsigned top = 1; top <= literal.levels; top += 3) {
        const uint64_t galois = ddt_ring_galois_rotation(ddt_ckks_params_ring(t.params), rotation);
        test_add_key(&t, galois, top);
        const ddt_switch_key *key = ddt_eval_keys_find(t.keys, galois);
        assert_non_null(key);
        ddt_writer *writer = NULL;
        assert_ok(t.ctx, ddt_writer_open(t.ctx, path, DDT_WIRE_EVAL_KEYS, false, &writer));
        assert_ok(t.ctx, ddt_switch_key_write(writer, t.params, key));
        assert_ok(t.ctx, ddt_writer_commit(writer, NULL));
        bytes file = slurp();
        ddt_switch_key read;
        assert_ok(t.ctx, read_key(t.ctx, t.params, file, &read));
        const size_t words = key->digits * ((size_t)top + 1 + literal.p_count) * ddt_ckks_n(t.params);
        assert_memory_equal(read.a, key->a, words * sizeof(uint64_t));
        assert_memory_equal(read.b, key->b, words * sizeof(uint64_t));
        assert_true(read.galois == galois && read.top_level == top && read.digits == key->digits);
        ddt_switch_key_destroy(&read);
        for (size_t i = 0; i < file.length; i += i < 256 ? 7 : 4999) {
            file.data[i] ^= (uint8_t)(1U << (i % 8));
            assert_true(read_key(t.ctx, t.params, file, &read) != DDT_OK);
            file.data[i] ^= (uint8_t)(1U << (i % 8));
            const bytes cut = {file.data, i};
            assert_true(read_key(t.ctx, t.params, cut, &read) != DDT_OK);
            ddt_context_clear(t.ctx);
        }
        const ddt_ckks_literal other = {11, 4, 50, 45, 2};
        ddt_ckks_params *others = NULL;
        assert_ok(t.ctx, ddt_ckks_params_create_insecure_for_testing(t.ctx, &other, &others));
        assert_fails(t.ctx, DDT_ERR_MISMATCH, read_key(t.ctx, others, file, &read));
        ddt_ckks_params_destroy(others);
        free(file.data);
    }
    test_scheme_destroy(&t);
}

/* The container: order of insertion does not matter, a second key replaces the first, bytes are counted. */
static void containers(void **state) {
    (void)state;
    test_scheme t;
    test_scheme_create(&t, &literal, NULL, 0, 1);
    const ddt_ring *ring = ddt_ckks_params_ring(t.params);
    const size_t before = ddt_eval_keys_bytes(t.keys);
    const int64_t steps[] = {7, -7, 1, 128, 3};
    for (size_t i = 0; i < 5; i++) {
        assert_null(ddt_eval_keys_find(t.keys, ddt_ring_galois_rotation(ring, steps[i])));
        test_add_key(&t, ddt_ring_galois_rotation(ring, steps[i]), literal.levels);
    }
    for (size_t i = 0; i < 5; i++) {
        const uint64_t galois = ddt_ring_galois_rotation(ring, steps[i]);
        assert_true(ddt_eval_keys_find(t.keys, galois)->galois == galois);
    }
    assert_int_equal(2 * ddt_eval_keys_bytes(t.keys), 7 * before);
    test_add_key(&t, ddt_ring_galois_rotation(ring, 7), 0);
    assert_true(2 * ddt_eval_keys_bytes(t.keys) < 7 * before);
    ddt_switch_key empty = {.galois = 3, .top_level = literal.levels, .digits = 3};
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_eval_keys_add(t.ctx, t.keys, &empty));
    empty.galois = 4;
    assert_fails(t.ctx, DDT_ERR_ARGUMENT, ddt_eval_keys_add(t.ctx, t.keys, &empty));
    assert_null(ddt_eval_keys_find(NULL, 0));
    test_scheme_destroy(&t);
}

int main(void) {
    const int file = mkstemp(path);
    if (file < 0) {
        return 1;
    }
    (void)close(file);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ciphertexts), cmocka_unit_test(damaged_ciphertexts), cmocka_unit_test(hostile_ciphertexts),
        cmocka_unit_test(switch_keys), cmocka_unit_test(containers),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    return failed;
}
