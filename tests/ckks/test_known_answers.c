/*
 * Known answers: with fixed entropy, the digests of parameters, keys, ciphertexts and results. They are the same for
 * every set of kernels, compiler, number of threads and release; a digest that changes is a change of the file format
 * or of the arithmetic, and old files would not mean the same any more. With an argument the test prints its table.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ckks/support.h"

#include <sodium.h>
#include <unistd.h>

/* Entropy: a ChaCha20 stream. One call, one nonce. */
static uint64_t calls;

static const char *fixed_name(void) { return "fixed"; }

static uint32_t fixed_word(void) { return 0; }

static void fixed_bytes(void *const buffer, const size_t size) {
    const uint8_t key[crypto_stream_chacha20_KEYBYTES] = {1, 2, 3};
    uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    for (size_t i = 0; i < sizeof nonce; i++) {
        nonce[i] = (uint8_t)(calls >> (8 * i));
    }
    calls++;
    (void)crypto_stream_chacha20(buffer, size, nonce, key);
}

enum { ANSWERS_MAX = 64, HEX_BYTES = 2 * DDT_WIRE_DIGEST_BYTES + 1 };

typedef struct answer {
    char name[64];
    char digest[HEX_BYTES];
} answer;

static answer found[ANSWERS_MAX];
static size_t found_count;

static void note_digest(const char *set, const char *what, const ddt_digest *digest) {
    assert_true(found_count < ANSWERS_MAX);
    answer *a = &found[found_count++];
    (void)snprintf(a->name, sizeof a->name, "%s: %s", set, what);
    (void)sodium_bin2hex(a->digest, sizeof a->digest, digest->bytes, sizeof digest->bytes);
}

/* ------------------------------------------------------------------ files */

typedef struct file_work {
    test_scheme *t;
    const char *set;
    const char *path;
    ddt_writer *writer;
} file_work;

static void open_file(file_work *w, ddt_wire_kind kind) {
    assert_ok(w->t->ctx, ddt_writer_open(w->t->ctx, w->path, kind, false, &w->writer));
}

static void note_file(const file_work *w, const char *what) {
    enum { FILE_BYTES_MAX = 1 << 22 };
    ddt_digest digest;
    FILE *file = fopen(w->path, "rb");
    uint8_t *bytes = ddt_calloc(FILE_BYTES_MAX, 1);
    assert_non_null(file);
    assert_non_null(bytes);
    const size_t length = fread(bytes, 1, FILE_BYTES_MAX, file);
    assert_true(length > 0 && length < FILE_BYTES_MAX);
    (void)fclose(file);
    ddt_digest_of(bytes, length, &digest);
    ddt_free(bytes);
    note_digest(w->set, what, &digest);
}

static void close_file(const file_work *w, const char *what) {
    assert_ok(w->t->ctx, ddt_writer_commit(w->writer, NULL));
    note_file(w, what);
}

static void note_ciphertext(file_work *w, const char *what, const ddt_ciphertext *ct) {
    open_file(w, DDT_WIRE_RESULT);
    assert_ok(w->t->ctx, ddt_ciphertext_write(w->writer, w->t->params, ct));
    close_file(w, what);
}

static void note_keys(file_work *w) {
    test_scheme *t = w->t;
    const ddt_ring *ring = ddt_ckks_params_ring(t->params);
    const uint64_t elements[] = {0, ddt_ring_galois_rotation(ring, 1), ddt_ring_galois_conjugation(ring)};
    const ddt_digest plan = {{42}};
    ddt_encapsulation encapsulation;
    open_file(w, DDT_WIRE_EVAL_KEYS);
    for (size_t i = 0; i < 3; i++) {
        assert_ok(t->ctx, ddt_switch_key_write(w->writer, t->params, ddt_eval_keys_find(t->keys, elements[i])));
    }
    assert_ok(t->ctx, ddt_encapsulation_generate(t->ctx, t->secret, &encapsulation));
    assert_ok(t->ctx, ddt_encapsulation_write(w->writer, t->params, &encapsulation));
    ddt_encapsulation_destroy(&encapsulation);
    close_file(w, "evaluation keys");
    assert_ok(t->ctx, ddt_public_key_save(t->ctx, w->path, t->params, &t->public_key, &plan));
    note_file(w, "public key");
    assert_ok(t->ctx, ddt_secret_key_save(t->ctx, w->path, t->secret, &plan, NULL));
    note_file(w, "secret key");
}

/* ------------------------------------------------------------------ operations */

static void note_operations(file_work *w) {
    test_scheme *t = w->t;
    const unsigned top = ddt_ckks_levels(t->params);
    const double scale = ddt_ckks_canonical_scale(t->params, top);
    double complex *message = test_slots(t);
    double coefficients[] = {0.25, -0.5, 0.125, 0.0625};
    const double *const list = coefficients;
    const unsigned degree = 3;
    ddt_plaintext plain = {0};
    ddt_ciphertext a;
    ddt_ciphertext b;
    ddt_ciphertext out;
    ddt_ciphertext *const outs = &out;
    ddt_digest digest;
    test_message(0, t->slots, message);
    assert_ok(t->ctx, ddt_ckks_encode(t->ctx, t->params, message, t->slots, top, scale, &plain));
    ddt_digest_of((const uint8_t *)plain.limbs, (top + 1) * ddt_ckks_n(t->params) * sizeof(uint64_t), &digest);
    note_digest(w->set, "encoding", &digest);
    assert_ok(t->ctx, ddt_encrypt_secret(t->ctx, t->secret, &plain, &a));
    note_ciphertext(w, "encrypted with the secret key", &a);
    assert_ok(t->ctx, ddt_encrypt_public(t->ctx, t->params, &t->public_key, &plain, &b));
    note_ciphertext(w, "encrypted with the public key", &b);
    assert_ok(t->ctx, ddt_ciphertext_create(t->ctx, t->params, top, 3, &out));
    assert_ok(t->ctx, ddt_eval_tensor(t->ev, &a, &b, &out));
    note_ciphertext(w, "tensor", &out);
    assert_ok(t->ctx, ddt_eval_mul(t->ev, &a, &b, &out));
    note_ciphertext(w, "product", &out);
    assert_ok(t->ctx, ddt_eval_rotate(t->ev, &a, 1, &out));
    note_ciphertext(w, "rotation", &out);
    assert_ok(t->ctx, ddt_eval_conjugate(t->ev, &b, &out));
    note_ciphertext(w, "conjugate", &out);
    assert_ok(t->ctx, ddt_eval_chebyshev(t->ev, &a, &list, &degree, 1, &outs));
    note_ciphertext(w, "polynomial", &out);
    ddt_plaintext_destroy(&plain);
    assert_ok(t->ctx, ddt_decrypt(t->ctx, t->secret, &out, &plain));
    ddt_plaintext_destroy(&plain);
    ddt_ciphertext_destroy(&a);
    ddt_ciphertext_destroy(&b);
    ddt_ciphertext_destroy(&out);
    ddt_free(message);
}

static void compute_all(int threads) {
    static const struct {
        const char *name;
        ddt_ckks_literal literal;
    } sets[] = {{"2^11, 45 bits", {11, 4, 50, 45, 2}},
                {"2^10, 30 bits", {10, 5, 40, 30, 1}},
                {"2^11, 2 x 40 bits", {11, 7, 50, 40, 3, 0, 2}}};
    randombytes_implementation fixed = {.implementation_name = fixed_name, .random = fixed_word, .buf = fixed_bytes};
    char path[] = "/tmp/ddt_known_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    (void)close(file);
    found_count = 0;
    test_state = 7;
    calls = 0;
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        test_scheme t;
        const int64_t rotation = 1;
        /* Temporary files have random names: those come from the system. */
        assert_int_equal(randombytes_set_implementation(&fixed), 0);
        test_scheme_create(&t, &sets[i].literal, &rotation, 1, threads);
        file_work w = {&t, sets[i].name, path, NULL};
        note_digest(sets[i].name, "parameters", ddt_ckks_params_digest(t.params));
        note_operations(&w);
        note_keys(&w);
        test_scheme_destroy(&t);
        assert_int_equal(randombytes_set_implementation(&randombytes_sysrandom_implementation), 0);
    }
    (void)unlink(path);
}

static const char *const known[] = {
#include "ckks/known_answers.inc"
};

static void answers(void **state) {
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        compute_all(threads);
        assert_int_equal(found_count, sizeof known / sizeof known[0]);
        for (size_t i = 0; i < found_count; i++) {
            if (strcmp(found[i].digest, known[i]) != 0) {
                fail_msg("%s: %s, not %s (%d threads)", found[i].name, found[i].digest, known[i], threads);
            }
        }
    }
}

int main(int argc, char **argv) {
    /* It draws a canary of its own. */
    if (sodium_init() < 0) {
        return EXIT_FAILURE;
    }
    if (argc > 1 && strcmp(argv[1], "table") == 0) {
        compute_all(1);
        for (size_t i = 0; i < found_count; i++) {
            (void)printf("    \"%s\", /* %s */\n", found[i].digest, found[i].name);
        }
        return EXIT_SUCCESS;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
