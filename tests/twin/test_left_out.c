/*
 * Subjects whom a fit leaves out: what travels sealed beside the identifiers, what tables and summary say of them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "chain.h"

static const char fit_table[] = "ID,TIME,AMT,EVID,DV\na,0,100,1,.\na,1,.,0,9.1\na,3,.,0,4.2\n"
                                "b,0,50,1,.\nb,2.5,.,0,3000\nc,0,60,1,.\nc,2,.,0,4\n";

static void read_text(chain *c, const char *path, char *text, size_t room) {
    FILE *file = fopen(path, "r");
    (void)c;
    assert_non_null(file);
    size_t length = fread(text, 1, room - 1, file);
    text[length] = '\0';
    (void)fclose(file);
}

static void expect_file(chain *c, const char *path, const char *part) {
    enum { ROOM = 1 << 16 };
    char *text = calloc(ROOM, 1);
    assert_non_null(text);
    read_text(c, path, text, ROOM);
    if (strstr(text, part) == NULL) {
        fail_msg("'%s' is not in %s", part, text);
    }
    assert_null(strstr(text, "nan"));
    (void)unlink(path);
    free(text);
}

/* ------------------------------------------------------------------ the sealed note */

typedef struct sealed {
    ddt_twin_plan *plan;
    ddt_secret_key *secret;
    ddt_events *events;
    ddt_model *model;
    const ddt_ckks_params *params;
} sealed;

static void sealed_open(chain *c, sealed *s) {
    char *secret = chain_path(c, "keys/secret.ddt");
    ddt_digest digest;
    *s = (sealed){0};
    assert_int_equal(ddt_twin_keygen(c->ctx, c->plan, c->keys, NULL, NULL), DDT_OK);
    assert_int_equal(ddt_twin_plan_read(c->ctx, c->plan, &s->plan), DDT_OK);
    assert_int_equal(ddt_plan_params(c->ctx, s->plan->plan, &s->params), DDT_OK);
    assert_int_equal(ddt_secret_key_load(c->ctx, secret, s->params, NULL, &s->secret, &digest), DDT_OK);
    assert_int_equal(ddt_model_read(c->ctx, c->model, &s->model), DDT_OK);
    assert_int_equal(ddt_events_read(c->ctx, c->table, s->model, &s->events), DDT_OK);
    ddt_free(secret);
}

static void sealed_close(sealed *s) {
    ddt_events_destroy(s->events);
    ddt_model_destroy(s->model);
    ddt_secret_key_destroy(s->secret);
    ddt_twin_plan_destroy(s->plan);
}

/* Writes the note into a file and reads it back. */
static uint8_t *note_of(chain *c, const sealed *s, const ddt_left_out *left_out, size_t *length) {
    ddt_writer *writer = NULL;
    ddt_reader *reader = NULL;
    uint8_t *note = NULL;
    ddt_digest digest;
    uint64_t batches = 0;
    uint32_t items = 0;
    assert_int_equal(ddt_writer_open(c->ctx, c->twin, DDT_WIRE_TWIN, false, &writer), DDT_OK);
    assert_int_equal(ddt_writer_heading(writer, &s->plan->digest, 0, 0), DDT_OK);
    assert_int_equal(twin_identifiers_write(c->ctx, s->events, left_out, s->secret, &s->plan->digest, writer), DDT_OK);
    assert_int_equal(ddt_writer_commit(writer, NULL), DDT_OK);
    assert_int_equal(ddt_reader_open(c->ctx, c->twin, DDT_WIRE_TWIN, &reader), DDT_OK);
    assert_int_equal(ddt_reader_heading(reader, &digest, &batches, &items), DDT_OK);
    assert_int_equal(ddt_reader_note(c->ctx, reader, &note, length), DDT_OK);
    ddt_reader_close(reader);
    return note;
}

static void apply(chain *c, const sealed *s, const uint8_t *note, size_t length, ddt_profile *profile) {
    assert_int_equal(twin_profile_create(c->ctx, s->plan->solution, NULL, profile), DDT_OK);
    assert_int_equal(twin_identifiers_apply(c->ctx, s->secret, &s->plan->digest, note, length, c->twin, profile),
                     DDT_OK);
    assert_string_equal(profile->subject_ids[0], "a");
    assert_string_equal(profile->subject_ids[1], "b");
}

/* The file is as long whether somebody was left out or not, and what it says comes back. */
static void test_note(void **state) {
    chain *c = *state;
    sealed s;
    ddt_profile profile;
    ddt_left_out nobody = {0};
    ddt_left_out second = {0};
    size_t without = 0;
    size_t with = 0;
    char reason[2048];
    memset(reason, 'x', sizeof reason);
    reason[sizeof reason - 1] = '\0';
    for (size_t i = 1; i + 1 < sizeof reason; i += 2) {
        memcpy(reason + i, "\xC3\xA9", 2); /* two bytes of UTF-8: the cut must not part them */
    }
    sealed_open(c, &s);
    assert_int_equal(ddt_left_out_add(c->ctx, &second, 1, "b", reason), DDT_OK);
    uint8_t *empty = note_of(c, &s, &nobody, &without);
    apply(c, &s, empty, without, &profile);
    assert_int_equal(profile.left_out.count, 0);
    assert_true(profile.values[1][0] == 0.0);
    ddt_profile_destroy(&profile);
    uint8_t *full = note_of(c, &s, &second, &with);
    assert_int_equal(with, without);
    apply(c, &s, full, with, &profile);
    assert_int_equal(profile.left_out.count, 1);
    assert_string_equal(profile.left_out.subjects[0].id, "b");
    const char *told = ddt_left_out_reason(&profile.left_out, 1);
    assert_int_equal(strncmp(told, reason, strlen(told)), 0);
    assert_true(strlen(told) > 256 && (unsigned char)told[strlen(told) - 1] == 0xA9);
    assert_true(isnan(profile.values[1][0]) && profile.values[0][0] == 0.0);
    ddt_profile_destroy(&profile);
    ddt_left_out_destroy(&second);
    ddt_free(empty);
    ddt_free(full);
    sealed_close(&s);
}

/* ------------------------------------------------------------------ the program in the clear, and its files */

static void check_tables(chain *c, const ddt_twin_problem *problem, const ddt_profile *fit) {
    char *path = chain_path(c, "told.txt");
    assert_int_equal(ddt_twin_write_etas(c->ctx, fit, false, path), DDT_OK);
    expect_file(c, path, "\nb,\nc,");
    assert_int_equal(ddt_twin_write_individuals(c->ctx, problem, fit, path), DDT_OK);
    expect_file(c, path, "\nb,\nc,");
    assert_int_equal(ddt_twin_write_residuals(c->ctx, problem, fit, path), DDT_OK);
    expect_file(c, path, "\nb,2.5,cp,3000,0,,,\nc,2,cp,4,0,");
    ddt_free(path);
}

static void test_fit(void **state) {
    chain *c = *state;
    const ddt_twin_options options = {.purpose = DDT_TWIN_FIT, .model_path = c->model, .data_path = c->table};
    ddt_twin_problem *problem = NULL;
    ddt_twin_outcome outcome;
    ddt_profile fit;
    ddt_assessment assessment;
    ddt_twin_run run = {0};
    char *path = chain_path(c, "told.txt");
    assert_int_equal(ddt_write_text(c->ctx, c->table, fit_table, sizeof fit_table - 1), DDT_OK);
    assert_int_equal(ddt_twin_problem_create(c->ctx, &options, &problem), DDT_OK);
    assert_int_equal(ddt_twin_run_clear(c->ctx, problem, false, &fit), DDT_OK);
    assert_int_equal(fit.left_out.count, 1);
    assert_true(isnan(fit.values[1][0]) && isnan(fit.values[1][1]) && isfinite(fit.values[2][0]));
    assert_int_equal(ddt_twin_assess(c->ctx, problem, NULL, &fit, &assessment), DDT_OK);
    assert_true(assessment.worst.discretisation <= 0.01); /* of those who are served */
    check_tables(c, problem, &fit);
    ddt_twin_problem_outcome(problem, &outcome);
    outcome.profile = &fit;
    outcome.assessment = &assessment;
    outcome.run = &run;
    assert_int_equal(ddt_twin_write_summary(c->ctx, &outcome, path), DDT_OK);
    expect_file(c, path, "line 6: DV of the subject b is 3000");
    assert_int_equal(ddt_twin_write_fit_report(c->ctx, problem, &outcome, c->table, path), DDT_OK);
    expect_file(c, path, "left out: ");
    ddt_free(path);
    ddt_assessment_destroy(&assessment);
    ddt_profile_destroy(&fit);
    ddt_twin_problem_destroy(problem);
}

/* Without a secret key there is nothing to seal it with: the table is refused, and nothing is written. */
static void test_public_key(void **state) {
    chain *c = *state;
    const ddt_twin_options options = {.purpose = DDT_TWIN_FIT, .model_path = c->model, .data_path = c->table};
    const char *const served = "ID,TIME,AMT,EVID,DV\na,0,100,1,.\na,1,.,0,9.1\nb,0,50,1,.\nb,1,.,0,3\n";
    const char *const far = "ID,TIME,AMT,EVID,DV\na,0,100,1,.\na,1,.,0,9.1\nb,0,50,1,.\nb,1,.,0,3000\n";
    char *secret = chain_path(c, "keys/secret.ddt");
    ddt_left_out left_out;
    (void)unlink(c->plan);
    assert_int_equal(ddt_write_text(c->ctx, c->table, served, strlen(served)), DDT_OK);
    assert_int_equal(ddt_twin_compile(c->ctx, &options, c->plan), DDT_OK);
    assert_int_equal(ddt_twin_keygen(c->ctx, c->plan, c->keys, NULL, NULL), DDT_OK);
    assert_int_equal(ddt_write_text(c->ctx, c->table, far, strlen(far)), DDT_OK);
    assert_int_equal(ddt_twin_encrypt(c->ctx, c->plan, c->keys, NULL, NULL, c->table, c->twin, NULL), DDT_ERR_RANGE);
    ddt_context_clear(c->ctx);
    assert_int_equal(unlink(secret), 0);
    assert_int_equal(ddt_twin_encrypt_served(c->ctx, c->plan, c->keys, NULL, NULL, c->table, c->twin, NULL, &left_out),
                     DDT_ERR_RANGE);
    assert_non_null(strstr(ddt_error_detail(c->ctx), "Without the secret key"));
    assert_int_equal(left_out.count, 0);
    assert_false(twin_path_exists(c->twin));
    ddt_free(secret);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_note, chain_setup, chain_teardown),
        cmocka_unit_test_setup_teardown(test_fit, chain_setup, chain_teardown),
        cmocka_unit_test_setup_teardown(test_public_key, chain_setup, chain_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
