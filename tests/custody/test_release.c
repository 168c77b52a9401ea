/*
 * Release: the sampler against its exact distribution, flooding against its formula, refusals, counting. Entropy is
 * fixed where statistics are taken: the bounds are wide and the same numbers come every time.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ckks/support.h"

#include "release_internal.h"

#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two primes hold the result. */
static const ddt_ckks_literal literal = {10, 3, 50, 45, 2};
static const double result_scale = 0x1p85;
static char folder[] = "/tmp/ddt_release_XXXXXX";
static char path[64];

enum { LIMIT = 64, NOISE_STDS = 8 };

/* ------------------------------------------------------------------ fixed entropy */

static uint64_t entropy_counter;

static const char *entropy_name(void) { return "test"; }

static uint32_t entropy_word(void) { return 0; }

static void entropy_bytes(void *const buffer, const size_t size) {
    uint8_t seed[randombytes_SEEDBYTES] = "release";
    entropy_counter++;
    memcpy(seed + 24, &entropy_counter, sizeof entropy_counter);
    randombytes_buf_deterministic(buffer, size, seed);
}

static void use_fixed_entropy(void) {
    static randombytes_implementation fixed = {
        .implementation_name = entropy_name, .random = entropy_word, .buf = entropy_bytes};
    entropy_counter = 0;
    assert_int_equal(randombytes_set_implementation(&fixed), 0);
}

static void use_system_entropy(void) {
    assert_int_equal(randombytes_set_implementation(&randombytes_sysrandom_implementation), 0);
}

/* ------------------------------------------------------------------ the sampler */

enum { SAMPLES = 1 << 16 };

static void draw(unsigned digits, int64_t *out) {
    ddt_context *ctx = NULL;
    custody_scratch *scratch = NULL;
    custody_random *random = NULL;
    assert_int_equal(ddt_context_create(&ctx), DDT_OK);
    assert_ok(ctx, custody_scratch_create(ctx, CUSTODY_RANDOM_WORDS + 3 * (size_t)SAMPLES, &scratch));
    use_fixed_entropy();
    assert_ok(ctx, custody_random_create(ctx, scratch, &random));
    use_system_entropy();
    int64_t *noise = (int64_t *)custody_scratch_take(scratch, SAMPLES);
    custody_sample_gaussian(random, digits, SAMPLES, custody_scratch_take(scratch, 2 * (size_t)SAMPLES), noise);
    memcpy(out, noise, SAMPLES * sizeof *out);
    custody_scratch_destroy(scratch);
    ddt_context_destroy(ctx);
}

/* The table, from the definition. */
static void table(void **unused) {
    (void)unused;
    enum { FAR = 80 };
    const long double rounding = 0x1p-127L;
    long double weight = 0.5L; /* of x = 0, halved: both signs are counted once below */
    for (int v = 1; v <= FAR; v++) {
        weight += expl(-(long double)(v * v) / 32.0L);
    }
    for (int v = 0; v < CUSTODY_TAILS + 2; v++) {
        long double tail = 0.0L;
        for (int x = FAR; x > v; x--) {
            tail += expl(-(long double)(x * x) / 32.0L);
        }
        tail /= weight;
        const long double stored = v < CUSTODY_TAILS ? ldexpl((long double)custody_tails[v].high, -63) +
                                                           ldexpl((long double)custody_tails[v].low, -127)
                                                     : 0.0L;
        assert_true(fabsl(stored - tail) <= tail * 0x1p-58L + rounding);
    }
}

/* One digit: every value against its exact probability. */
static void narrow_distribution(void **unused) {
    (void)unused;
    enum { REACH = 12 }; /* three standard deviations: at least 180 expected in each cell */
    double sum = 0.0;
    double chi = 0.0;
    int64_t *noise = ddt_alloc(SAMPLES, sizeof *noise);
    assert_non_null(noise);
    draw(1, noise);
    for (int v = -60; v <= 60; v++) {
        sum += exp(-v * v / 32.0);
    }
    for (int v = -REACH; v <= REACH; v++) {
        size_t count = 0;
        for (size_t j = 0; j < SAMPLES; j++) {
            count += noise[j] == v;
        }
        const double expected = SAMPLES * exp(-v * v / 32.0) / sum;
        chi += ((double)count - expected) * ((double)count - expected) / expected;
    }
    assert_true(chi < 25.0 + 6.0 * sqrt(2.0 * 25.0));
    ddt_free(noise);
}

/* Moments of wide sums, up to the widest; also: no structure in the low bits. */
static void wide_moments(void **unused) {
    (void)unused;
    const unsigned widths[] = {2, 7, 30, 54, 56};
    int64_t *noise = ddt_alloc(SAMPLES, sizeof *noise);
    assert_non_null(noise);
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
        const double std = custody_gaussian_std(widths[w]);
        double moment[5] = {0};
        double neighbours = 0.0;
        size_t residues[8] = {0};
        double last = 0.0;
        draw(widths[w], noise);
        for (size_t j = 0; j < SAMPLES; j++) {
            const double x = (double)noise[j] / std;
            assert_true(fabs(x) < 8.0);
            for (int k = 1; k <= 4; k++) {
                moment[k] += pow(x, k) / SAMPLES;
            }
            neighbours += x * last / SAMPLES;
            last = x;
            residues[(uint64_t)noise[j] % 8]++;
        }
        const double bound = 6.0 / sqrt(SAMPLES);
        assert_true(fabs(moment[1]) < bound);
        assert_true(fabs(moment[2] - 1.0) < bound * sqrt(2.0));
        assert_true(fabs(moment[3]) < bound * sqrt(15.0));
        assert_true(fabs(moment[4] - 3.0) < bound * sqrt(96.0));
        assert_true(fabs(neighbours) < bound);
        for (size_t r = 0; r < 8; r++) {
            assert_true(fabs((double)residues[r] - SAMPLES / 8.0) < 6.0 * sqrt(SAMPLES / 8.0));
        }
    }
    ddt_free(noise);
}

/* ------------------------------------------------------------------ a key, a ciphertext, a request */

typedef struct fixture {
    test_scheme t;
    ddt_digest plan;
    double complex *message;
    double *steps;
    double *values;
    ddt_ciphertext ciphertext;
    ddt_release_request request;
} fixture;

/* The first k slots are released. */
static void release_first(fixture *f, size_t k, double step) {
    for (size_t j = 0; j < f->t.slots; j++) {
        f->steps[j] = j < k ? step : 0.0;
    }
}

static void fixture_create(fixture *f, size_t k, double step) {
    test_scheme_create(&f->t, &literal, NULL, 0, 1);
    ddt_digest_of("a plan", 6, &f->plan);
    f->message = test_slots(&f->t);
    f->steps = ddt_calloc(f->t.slots, sizeof *f->steps);
    f->values = ddt_calloc(f->t.slots, sizeof *f->values);
    assert_true(f->steps != NULL && f->values != NULL);
    test_state = 11;
    test_message(0, f->t.slots, f->message);
    test_encrypt_at(&f->t, f->message, 1, result_scale, &f->ciphertext);
    release_first(f, k, step);
    f->request = (ddt_release_request){
        .steps = f->steps,
        .noise_bound = NOISE_STDS * ddt_ckks_noise_fresh_secret(f->t.params, result_scale),
        .magnitude = 2.0,
        .security_bits = DDT_RELEASE_BITS_MIN,
    };
    (void)unlink(path);
    assert_ok(f->t.ctx, ddt_ledger_create(f->t.ctx, path, f->t.secret, &f->plan, LIMIT));
}

static void fixture_destroy(fixture *f) {
    ddt_ciphertext_destroy(&f->ciphertext);
    ddt_free(f->message);
    ddt_free(f->steps);
    ddt_free(f->values);
    test_scheme_destroy(&f->t);
}

static ddt_status release(fixture *f, ddt_release_report *report) {
    return ddt_release(f->t.ctx, f->t.secret, &f->plan, path, &f->ciphertext, &f->request, f->values, report);
}

/* Refused with this code, nothing written, nothing counted. */
static void assert_refused(fixture *f, ddt_status code, uint64_t made) {
    ddt_release_report report;
    ddt_ledger_state state;
    memset(f->values, 1, f->t.slots * sizeof *f->values);
    assert_fails(f->t.ctx, code, release(f, &report));
    for (size_t j = 0; j < f->t.slots; j++) {
        assert_true(f->values[j] == 0.0);
    }
    assert_true(report.flooding_std == 0.0);
    assert_ok(f->t.ctx, ddt_ledger_read(f->t.ctx, path, f->t.secret, &f->plan, &state));
    assert_int_equal(state.made, made);
}

static void whole_release(void **unused) {
    (void)unused;
    fixture f;
    ddt_release_report report;
    const size_t released = 100;
    const double step = 1e-3;
    fixture_create(&f, released, step);
    assert_ok(f.t.ctx, release(&f, &report));
    assert_int_equal(report.released, released);
    assert_int_equal(report.ledger.made, 1);
    assert_int_equal(report.ledger.limit, LIMIT);
    /* The formula, written out again. */
    const double t = sqrt(100.0) * (f.request.noise_bound + 2.0 / 0x1p47) * (1.0 + 1.0 / 1024.0);
    assert_true(fabs(report.flooding_std / (sqrt(12.0 * LIMIT) * 1048576.0 * t) - 1.0) < 1e-12);
    for (size_t j = 0; j < f.t.slots; j++) {
        if (j < released) {
            assert_true(fabs(f.values[j] - creal(f.message[j])) <= step / 2.0 + 8.0 * report.flooding_std);
            assert_true(f.values[j] == step * rint(f.values[j] / step));
        } else {
            assert_true(f.values[j] == 0.0 && !signbit(f.values[j]));
        }
    }
    fixture_destroy(&f);
}

/* What was added before rounding has the variance announced and no bias; the finest step allowed shows it outside. */
static void flooding_statistics(void **unused) {
    (void)unused;
    fixture f;
    custody_flood flood;
    ddt_release_report report;
    int64_t *noise = ddt_alloc(SAMPLES, sizeof *noise);
    double mean = 0.0;
    double square = 0.0;
    double std = 0.0;
    assert_non_null(noise);
    fixture_create(&f, 512, 1.0);
    assert_ok(f.t.ctx, custody_flood_plan(f.t.ctx, f.t.params, &f.request, LIMIT, &flood));
    assert_true(flood.grid <= ldexp(f.request.noise_bound + 0x1p-46, -10));
    draw(flood.digits, noise);
    for (size_t j = 0; j < SAMPLES; j++) {
        const double value = test_uniform();
        const double added =
            ((double)custody_flood_add(&flood, f.request.magnitude, value, noise[j]) * flood.grid - value) / flood.std;
        mean += added / SAMPLES;
        square += added * added / SAMPLES;
    }
    assert_true(fabs(mean) < 6.0 / sqrt(SAMPLES));
    assert_true(fabs(square - 1.0) < 6.0 * sqrt(2.0 / SAMPLES));
    assert_ok(f.t.ctx, ddt_release_flooding(f.t.ctx, f.t.params, &f.request, LIMIT, &std));
    release_first(&f, f.t.slots, 8.001 * std);
    use_fixed_entropy();
    const ddt_status status = release(&f, &report);
    use_system_entropy();
    assert_ok(f.t.ctx, status);
    square = 0.0;
    for (size_t j = 0; j < f.t.slots; j++) {
        square += pow((f.values[j] - creal(f.message[j])) / std, 2.0) / (double)f.t.slots;
    }
    assert_true(fabs(square / (64.0 / 12.0 + 1.0) - 1.0) < 0.25); /* 6 standard deviations of such a mean */
    fixture_destroy(&f);
    ddt_free(noise);
}

static void steps_too_fine(void **unused) {
    (void)unused;
    fixture f;
    double std = 0.0;
    unsigned bits = 0;
    fixture_create(&f, 16, 0.01);
    f.request.noise_bound = 0x1p-30;
    assert_int_equal(ddt_release_flooding(f.t.ctx, f.t.params, &f.request, LIMIT, &std), DDT_ERR_SECURITY);
    const char *at = strstr(ddt_error_detail(f.t.ctx), " more bits of headroom");
    assert_non_null(at);
    while (at[-1] >= '0' && at[-1] <= '9') {
        at--;
    }
    assert_int_equal(sscanf(at, "%u", &bits), 1);
    ddt_context_clear(f.t.ctx);
    assert_true(std == 0.0 && bits > 1);
    assert_refused(&f, DDT_ERR_SECURITY, 0);
    /* The bits named suffice, and one fewer does not. */
    f.request.noise_bound = ldexp(0x1p-30, 1 - (int)bits);
    assert_refused(&f, DDT_ERR_SECURITY, 0);
    f.request.noise_bound = ldexp(0x1p-30, -(int)bits);
    assert_ok(f.t.ctx, ddt_release_flooding(f.t.ctx, f.t.params, &f.request, LIMIT, &std));
    assert_true(8.0 * std <= 0.01 && 16.0 * std > 0.01);
    /* No headroom helps where double precision is the limit. */
    release_first(&f, 16, 1e-7);
    assert_int_equal(ddt_release_flooding(f.t.ctx, f.t.params, &f.request, LIMIT, &std), DDT_ERR_SECURITY);
    assert_non_null(strstr(ddt_error_detail(f.t.ctx), "release fewer values"));
    ddt_context_clear(f.t.ctx);
    fixture_destroy(&f);
}

static void bad_requests(void **unused) {
    (void)unused;
    fixture f;
    fixture_create(&f, 16, 0.01);
    const ddt_release_request good = f.request;
    const double bad[] = {0.0, -1.0, NAN, INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        f.request = good;
        f.request.noise_bound = bad[i];
        assert_refused(&f, DDT_ERR_ARGUMENT, 0);
        f.request = good;
        f.request.magnitude = bad[i];
        assert_refused(&f, DDT_ERR_ARGUMENT, 0);
    }
    f.request = good;
    const unsigned bits[] = {0, DDT_RELEASE_BITS_MIN - 1, DDT_RELEASE_BITS_MAX + 1};
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        f.request.security_bits = bits[i];
        assert_refused(&f, DDT_ERR_ARGUMENT, 0);
    }
    f.request = good;
    const double steps[] = {-0.01, NAN, INFINITY, 2.5};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        f.steps[20] = steps[i];
        assert_refused(&f, DDT_ERR_ARGUMENT, 0);
    }
    release_first(&f, 0, 0.0);
    assert_refused(&f, DDT_ERR_ARGUMENT, 0);
    release_first(&f, 16, 0.01);
    f.ciphertext.parts = 1;
    assert_refused(&f, DDT_ERR_ARGUMENT, 0);
    f.ciphertext.parts = 2;
    ddt_entropy_fail(true);
    assert_refused(&f, DDT_ERR_ENTROPY, 0);
    ddt_entropy_fail(false);
    fixture_destroy(&f);
}

/* Every combination that is accepted fits 64 bits: the widest noise and the largest value together. */
static void no_overflow(void **unused) {
    (void)unused;
    fixture f;
    custody_flood flood;
    size_t accepted = 0;
    fixture_create(&f, 512, 2.0);
    for (unsigned bits = DDT_RELEASE_BITS_MIN; bits <= DDT_RELEASE_BITS_MAX; bits++) {
        for (uint64_t limit = 1; limit <= DDT_LEDGER_LIMIT_MAX; limit *= 8) {
            f.request.security_bits = bits;
            f.request.noise_bound = 1e-300;
            if (custody_flood_plan(f.t.ctx, f.t.params, &f.request, limit, &flood) != DDT_OK) {
                assert_int_equal(ddt_error_status(f.t.ctx), DDT_ERR_SECURITY);
                ddt_context_clear(f.t.ctx);
                continue;
            }
            accepted++;
            assert_true(flood.digits <= 56);
            assert_true(52.0 * ldexp(1.0, (int)flood.digits) + f.request.magnitude / flood.grid < 0x1p62);
        }
    }
    assert_true(accepted > 100);
    fixture_destroy(&f);
}

static void clamped_and_spent(void **unused) {
    (void)unused;
    fixture f;
    ddt_release_report report;
    fixture_create(&f, 8, 0.125);
    /* Values far outside, as a result computed with other keys has them: what leaves is the bound, not an oracle. */
    f.request.magnitude = 0.25;
    f.ciphertext.scale /= 0x1p20;
    assert_ok(f.t.ctx, release(&f, &report));
    for (size_t j = 0; j < 8; j++) {
        assert_true(f.values[j] == (creal(f.message[j]) > 0.0 ? 0.25 : -0.25));
    }
    while (report.ledger.made < LIMIT) {
        assert_ok(f.t.ctx, release(&f, &report));
    }
    assert_refused(&f, DDT_ERR_SECURITY, LIMIT);
    assert_int_equal(unlink(path), 0);
    assert_fails(f.t.ctx, DDT_ERR_IO, release(&f, &report));
    fixture_destroy(&f);
}

static void short_memory(void **unused) {
    (void)unused;
    fixture f;
    ddt_release_report report;
    fixture_create(&f, 8, 0.125);
    (void)ddt_alloc_fail_after(UINT64_MAX);
    assert_ok(f.t.ctx, release(&f, &report));
    const uint64_t allocations = ddt_alloc_fail_after(UINT64_MAX);
    for (uint64_t n = 0; n + 1 < allocations; n++) {
        (void)ddt_alloc_fail_after(n);
        const ddt_status status = release(&f, &report);
        (void)ddt_alloc_fail_after(UINT64_MAX);
        assert_int_equal(status, DDT_ERR_MEMORY);
        ddt_context_clear(f.t.ctx);
        assert_true(f.values[0] == 0.0);
    }
    assert_ok(f.t.ctx, release(&f, &report));
    assert_int_equal(report.ledger.made, 2);
    fixture_destroy(&f);
}

static int open_folder(void **unused) {
    (void)unused;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/ledger.ddt", folder);
    return 0;
}

static int close_folder(void **unused) {
    (void)unused;
    (void)unlink(path);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),         cmocka_unit_test(narrow_distribution), cmocka_unit_test(wide_moments),
        cmocka_unit_test(whole_release), cmocka_unit_test(flooding_statistics), cmocka_unit_test(steps_too_fine),
        cmocka_unit_test(bad_requests),  cmocka_unit_test(no_overflow),         cmocka_unit_test(clamped_and_spent),
        cmocka_unit_test(short_memory),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
