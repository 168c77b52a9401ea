/* The custodian releases one subject's recommendation to a physician. SPDX-License-Identifier: Apache-2.0 */
#include "json.h"
#include "twin_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Bounds what is released, in the circuit's units: public. */
#define RELEASE_MAGNITUDE_CURVE 4.0 /* curves are scaled to what candidates reach */
#define STEP_COST 1e-3
#define STEP_PROBABILITY 1e-2
#define STEP_CURVE 1e-3         /* of a curve's scale */
#define STEP_RESPONSE 1e-4      /* of the typical patient's response: finer is of no use */
#define STEP_RESPONSE_MOST 0.05 /* coarser neither */
#define STEP_RESPONSE_GROWTH 1.1
#define STEP_SHARE 2e-2 /* of the middle of a target's range: 10 mg h/L of a vancomycin AUC of 500 */

enum {
    SECURITY_BITS = DDT_RELEASE_BITS_MIN,
    COARSER_MAX = 3, /* steps of 1, 2, 5 that curves may be coarser than one would like: up to tenfold */
};

typedef struct grantor {
    ddt_context *ctx;
    ddt_twin_plan *plan;
    ddt_model *model;
    const ddt_ckks_params *params;
    ddt_secret_key *secret;
    twin_key_paths paths;
    ddt_plan_info info;
    ddt_recommend_options options;
    size_t subject;      /* to release */
    double *steps;       /* N/2 */
    double *slots;       /* N/2 */
    double **outputs;    /* lanes x block, one an output: what was released */
    double **index;      /* lanes x block, one an output: its scale where it belongs to the subject, else 0 */
    bool is_simulated;   /* curves are released, and metrics read off them */
    double *scales;      /* value = output * scale */
    double *rounding;    /* the step of each output of the plan, in its own units */
    double *told;        /* to what each column of the table is rounded for a candidate */
    ddt_profile profile; /* of the released values */
    uint8_t *note;
    size_t note_length;
    ddt_ledger_state ledger;
} grantor;

static void grantor_close(grantor *g) {
    const size_t outputs = g->plan == NULL ? 0 : ddt_plan_output_count(g->plan->plan);
    ddt_profile_destroy(&g->profile);
    twin_vectors_destroy(g->outputs, outputs, g->info.lanes, g->info.block);
    twin_vectors_destroy(g->index, outputs, g->info.lanes, g->info.block);
    ddt_free(g->scales);
    ddt_free(g->rounding);
    ddt_free(g->told);
    ddt_free(g->steps);
    ddt_free(g->slots);
    ddt_free(g->note);
    ddt_secret_key_destroy(g->secret);
    ddt_model_destroy(g->model);
    ddt_twin_plan_destroy(g->plan);
    twin_key_paths_destroy(&g->paths);
}

/* ------------------------------------------------------------------ opening */

static ddt_status open_plan(grantor *g, const char *keys_directory) {
    ddt_status status = twin_key_directory_open(g->ctx, keys_directory, &g->paths, &g->plan);
    if (status == DDT_OK && g->plan->recipe.purpose != DDT_TWIN_RECOMMEND) {
        status = ddt_fail(g->ctx, DDT_ERR_MISMATCH, "%s does not recommend: there is nothing in it to grant.",
                          g->paths.plan);
    }
    if (status == DDT_OK) {
        ddt_plan_get_info(g->plan->plan, &g->info);
        status = ddt_twin_plan_model(g->ctx, g->plan, &g->model);
    }
    if (status == DDT_OK) {
        status = twin_recipe_recommendation(g->ctx, &g->plan->recipe, g->model, &g->options);
    }
    return status == DDT_OK ? ddt_plan_params(g->ctx, g->plan->plan, &g->params) : status;
}

static ddt_status open_secret(grantor *g, const char *passphrase) {
    ddt_digest digest;
    ddt_status status = ddt_secret_key_load(g->ctx, g->paths.secret, g->params, passphrase, &g->secret, &digest);
    if (status == DDT_OK) {
        status = twin_check_key_plan(g->ctx, &digest, g->paths.secret, &g->plan->digest, g->paths.plan);
    }
    return status == DDT_OK ? ddt_ledger_read(g->ctx, g->paths.ledger, g->secret, &g->plan->digest, &g->ledger)
                            : status;
}

/* The largest of 1, 2 or 5 times a power of ten that is not above `value`, a little rounding aside. */
static double round_step(double value) {
    value *= 1 + 1e-9;
    const double power = pow(10, floor(log10(value)));
    const double mantissa = value / power;
    return power * (mantissa >= 5 ? 5 : mantissa >= 2 ? 2 : 1);
}

/* The step that a column of the table is told in: fine enough for a clinician, no finer. value: about what it is. */
static double clinical_step(const grantor *g, const char *output, double value) {
    for (size_t i = 0; i < g->options.targets.count; i++) {
        const ddt_recommend_target *target = &g->options.targets.items[i];
        if (strcmp(target->name, output) == 0) {
            const double low = target->low > 0 ? target->low : target->high;
            const double high = isfinite(target->high) ? target->high : target->low;
            return round_step(STEP_SHARE * (low + high) / 2);
        }
    }
    if (strcmp(output, "p_target") == 0) {
        return STEP_PROBABILITY;
    }
    const bool is_cost = strncmp(output, "cost", sizeof "cost" - 1) == 0;
    return is_cost || !(fabs(value) > STEP_COST) ? STEP_COST : round_step(STEP_SHARE * fabs(value));
}

static ddt_status open_buffers(grantor *g) {
    const size_t slots = ddt_ckks_slots(g->params);
    const size_t outputs = ddt_plan_output_count(g->plan->plan);
    g->steps = ddt_calloc(slots, sizeof *g->steps);
    g->slots = ddt_calloc(slots, sizeof *g->slots);
    g->scales = ddt_calloc(outputs, sizeof *g->scales);
    g->rounding = ddt_calloc(outputs, sizeof *g->rounding);
    g->outputs = twin_vectors_create(outputs, g->info.lanes, g->info.block);
    g->index = twin_vectors_create(outputs, g->info.lanes, g->info.block);
    g->told = ddt_calloc(ddt_solution_output_count(g->plan->solution), sizeof *g->told);
    if (g->steps == NULL || g->slots == NULL || g->scales == NULL || g->rounding == NULL || g->outputs == NULL ||
        g->index == NULL || g->told == NULL) {
        return twin_no_memory(g->ctx);
    }
    g->is_simulated = ddt_recommend_is_simulated(g->plan->solution);
    return twin_profile_create(g->ctx, g->plan->solution, &g->plan->recipe, &g->profile);
}

/* ------------------------------------------------------------------ which slots, in which steps */

/* Where the subject's values stand, and their scale. */
static ddt_status find_places(grantor *g) {
    const size_t outputs = ddt_plan_output_count(g->plan->plan);
    const size_t places = g->info.lanes * g->info.block;
    bool is_known = ddt_solution_places(g->plan->solution, g->subject, g->index);
    for (size_t o = 0; o < outputs; o++) {
        for (size_t i = 0; i < places; i++) {
            g->scales[o] = g->index[o][i] > 0 ? g->index[o][i] : g->scales[o];
        }
        is_known = is_known && g->scales[o] > 0;
        g->rounding[o] = g->is_simulated ? round_step(STEP_CURVE * g->scales[o]) : STEP_RESPONSE;
    }
    return is_known
               ? DDT_OK
               : ddt_fail(g->ctx, DDT_ERR_INTERNAL, "An output of %s cannot be released slot by slot.", g->paths.plan);
}

/* Steps of one output's ciphertext of a batch, in the circuit's units; returns how many slots are to be released. */
static size_t set_steps(grantor *g, size_t batch, size_t output) {
    const size_t slots = ddt_ckks_slots(g->params);
    const size_t places = g->info.lanes * g->info.block;
    const double step = g->rounding[output] / g->scales[output];
    double *where = g->outputs[output];
    size_t count = 0;
    for (size_t i = 0; i < slots; i++) {
        g->slots[i] = (double)i + 1;
    }
    memset(where, 0, places * sizeof *where);
    memset(g->steps, 0, slots * sizeof *g->steps);
    ddt_plan_unpack(g->plan->plan, batch, g->slots, where); /* the slot of each place, 0 for other batches */
    for (size_t i = 0; i < places; i++) {
        if (g->index[output][i] > 0 && where[i] > 0) {
            g->steps[(size_t)where[i] - 1] = step;
            count++;
        }
    }
    memset(where, 0, places * sizeof *where);
    return count;
}

/* ------------------------------------------------------------------ releasing */

/* Public: what is larger is cut. */
static double release_magnitude(const grantor *g) {
    ddt_recommend_responses r;
    return ddt_recommend_get_responses(g->plan->solution, &r) ? TWIN_RESPONSE_MARGIN * r.largest / r.scale
                                                              : RELEASE_MAGNITUDE_CURVE;
}

static ddt_release_request release_request(const grantor *g) {
    return (ddt_release_request){.steps = g->steps,
                                 .noise_bound = g->info.noise_bound,
                                 .magnitude = release_magnitude(g),
                                 .security_bits = SECURITY_BITS};
}

/*
 * Many values share one release and need more flooding: where it would swamp the step, the output is rounded to the
 * next coarser one. Only the plan's public figures decide.
 */
static bool may_be_coarser(const grantor *g, size_t output, int tried) {
    return g->is_simulated ? tried < COARSER_MAX : g->rounding[output] < STEP_RESPONSE_MOST;
}

static ddt_status make_releasable(grantor *g, const ddt_release_request *request, size_t batch, size_t output) {
    const double coarser = 2.5; /* 1, 2 (of 2.5), 5, 10 (of 12.5) */
    double std = 0;
    ddt_status status = ddt_release_flooding(g->ctx, g->params, request, g->ledger.limit, &std);
    for (int i = 0; status == DDT_ERR_SECURITY && may_be_coarser(g, output, i); i++) {
        ddt_context_clear(g->ctx);
        g->rounding[output] =
            g->is_simulated ? round_step(coarser * g->rounding[output]) : STEP_RESPONSE_GROWTH * g->rounding[output];
        (void)set_steps(g, batch, output);
        status = ddt_release_flooding(g->ctx, g->params, request, g->ledger.limit, &std);
    }
    return status;
}

/* What was cut is wrong: told by what was released alone. */
static ddt_status check_cut(const grantor *g, double magnitude) {
    bool is_cut = false;
    for (size_t i = 0; i < ddt_ckks_slots(g->params) && !g->is_simulated; i++) {
        is_cut = is_cut || (g->steps[i] > 0 && fabs(g->slots[i]) > magnitude - g->steps[i]);
    }
    return is_cut ? ddt_fail(g->ctx, DDT_ERR_RANGE,
                             "The subject's figures lie beyond those of the virtual population that %s was made with: "
                             "nothing was granted.",
                             g->paths.plan)
                  : DDT_OK;
}

static ddt_status release_ciphertext(grantor *g, ddt_reader *reader, size_t batch, size_t output, double *released) {
    ddt_ciphertext ciphertext = {0};
    ddt_release_report report;
    ddt_status status = ddt_ciphertext_read(g->ctx, reader, g->params, &ciphertext);
    if (status == DDT_OK && set_steps(g, batch, output) > 0) {
        const ddt_release_request request = release_request(g);
        status = make_releasable(g, &request, batch, output);
        if (status == DDT_OK) {
            status = ddt_release(g->ctx, g->secret, &g->plan->digest, g->paths.ledger, &ciphertext, &request, g->slots,
                                 &report);
        }
        if (status == DDT_OK) {
            g->ledger = report.ledger;
            status = check_cut(g, request.magnitude);
            ddt_plan_unpack(g->plan->plan, batch, g->slots, released);
        }
    }
    ddt_ciphertext_destroy(&ciphertext);
    return status;
}

/* The subject by its identifier; NULL: the only one. */
static ddt_status find_subject(grantor *g, const char *result_path, const char *id) {
    ddt_status status =
        twin_identifiers_apply(g->ctx, g->secret, &g->plan->digest, g->note, g->note_length, result_path, &g->profile);
    if (status != DDT_OK) {
        return status;
    }
    if (id == NULL && g->profile.subject_count > 1) {
        return ddt_fail(g->ctx, DDT_ERR_DATA,
                        "%s holds %zu subjects: say with --subject whose recommendation to grant.", result_path,
                        g->profile.subject_count);
    }
    for (g->subject = 0; id != NULL && g->subject < g->profile.subject_count; g->subject++) {
        if (strcmp(g->profile.subject_ids[g->subject], id) == 0) {
            break;
        }
    }
    return g->subject < g->profile.subject_count
               ? DDT_OK
               : ddt_fail(g->ctx, DDT_ERR_DATA, "%s holds no subject '%s'.", result_path, id);
}

/* All ciphertexts behind the heading; the profile gets what was released. */
static ddt_status release_ciphertexts(grantor *g, ddt_reader *reader) {
    const size_t output_count = ddt_plan_output_count(g->plan->plan);
    const size_t total = g->info.batches * output_count;
    ddt_status status = DDT_OK;
    double **released = twin_vectors_create(output_count, g->info.lanes, g->info.block);
    if (released == NULL) {
        return twin_no_memory(g->ctx);
    }
    for (size_t k = 0; status == DDT_OK && k < total; k++) {
        status = ddt_progress(g->ctx, "release", k, total);
        if (status == DDT_OK) {
            status = release_ciphertext(g, reader, k / output_count, k % output_count, released[k % output_count]);
        }
    }
    if (status == DDT_OK) {
        status = ddt_reader_finish(reader);
    }
    if (status == DDT_OK) {
        ddt_solution_collect(g->plan->solution, (const double *const *)released, g->profile.values);
        status = ddt_progress(g->ctx, "release", total, total);
    }
    twin_vectors_destroy(released, output_count, g->info.lanes, g->info.block);
    return status;
}

static ddt_status release_result(grantor *g, const char *result_path, const char *subject) {
    ddt_reader *reader = NULL;
    ddt_status status = ddt_reader_open(g->ctx, result_path, DDT_WIRE_RESULT, &reader);
    if (status == DDT_OK) {
        status = twin_result_heading(g->ctx, g->plan, g->paths.plan, reader, &g->note, &g->note_length);
    }
    if (status == DDT_OK) {
        status = find_subject(g, result_path, subject);
    }
    if (status == DDT_OK) {
        status = find_places(g);
    }
    if (status == DDT_OK) {
        status = release_ciphertexts(g, reader);
    }
    ddt_reader_close(reader);
    return status;
}

/* ------------------------------------------------------------------ the text */

/*
 * Everything that is told is worked out of released numbers, so that rounding tells no more; it says how far to trust
 * them. A metric is told in no finer steps than one of the responses behind it was released in.
 */
static void choose_steps(grantor *g, size_t candidate, const double *row) {
    for (size_t o = 0; o < g->profile.output_count; o++) {
        const double released = ddt_recommend_response_step(g->plan->solution, candidate, o, g->rounding[0]);
        g->told[o] = clinical_step(g, g->profile.output_names[o], row[o]);
        while (g->told[o] < released) {
            g->told[o] = round_step(2.5 * g->told[o]); /* 1, 2, 5, 10 */
        }
    }
}

/* In which steps curves, or unit responses, were released themselves. */
static json_t *released_json(const grantor *g) {
    json_t *steps = json_object();
    for (size_t o = 0; o < ddt_plan_output_count(g->plan->plan); o++) {
        twin_json_add(steps, ddt_plan_output_name(g->plan->plan, o), json_real(g->rounding[o]));
    }
    return steps;
}

static json_t *candidate_json(grantor *g, const ddt_recommendation *r, size_t candidate) {
    const ddt_recommend_candidate c = ddt_recommend_candidate_at(&r->product, candidate);
    const ddt_profile *profile = &g->profile;
    const double *row = profile->values[g->subject] + candidate * profile->output_count;
    char regimen[DDT_REGIMEN_TEXT_MAX];
    ddt_twin_regimen_text(g->model, r, candidate, regimen);
    choose_steps(g, candidate, row);
    json_t *metrics = json_object();
    json_t *steps = json_object();
    twin_figures_json(metrics, profile, row, g->told);
    for (size_t o = 0; o < profile->output_count; o++) {
        if (!ddt_twin_is_percentile(profile, o)) {
            twin_json_add(steps, profile->output_names[o], json_real(g->told[o]));
        }
    }
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:o, s:o}", "regimen", regimen, "dose", c.dose, "interval_h",
                     c.interval_h, "infusion_h", c.infusion_h, "first_dose", c.loading * c.dose, "predicted", metrics,
                     "rounded_to", steps);
}

static json_t *who_saw_what(void) {
    return json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:s}, {s:s, s:s, s:s}]", "party", "custodian", "saw",
                     "the patient's data and this result", "never_had", "", "party", "engine", "saw",
                     "the model, the plan, sizes", "never_had", "the secret key, the patient's data, this result",
                     "party", "physician", "saw", "this text", "never_had",
                     "the patient's secret key, ciphertexts, unreleased numbers");
}

static json_t *grant_json(grantor *g, const ddt_recommendation *r) {
    enum { HEX_PER_BYTE = 2, ALTERNATIVES = 4, DATE_BYTES = 32 };
    char digest[HEX_PER_BYTE * DDT_WIRE_DIGEST_BYTES + 1];
    char date[DATE_BYTES] = "";
    const time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc) != NULL) {
        (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
    for (size_t i = 0; i < DDT_WIRE_DIGEST_BYTES; i++) {
        (void)snprintf(digest + HEX_PER_BYTE * i, HEX_PER_BYTE + 1, "%02x", g->plan->digest.bytes[i]);
    }
    json_t *alternatives = json_array();
    for (size_t i = 1; i < r->candidate_count && i <= ALTERNATIVES; i++) {
        (void)json_array_append_new(alternatives, candidate_json(g, r, r->ranking[g->subject][i]));
    }
    json_t *root = json_pack("{s:s, s:s, s:s}", "program", "ddtwin grant", "granted", date, "subject",
                             g->profile.subject_ids[g->subject]);
    twin_json_add(root, "model", twin_json_string(g->model->name));
    twin_json_add(root, "description", twin_json_string(g->model->description));
    twin_json_add(root, "reference", twin_json_string(g->model->reference));
    twin_json_add(root, "target", json_string(g->plan->recipe.target));
    twin_json_add(root, "product", json_string(g->plan->recipe.product));
    twin_json_add(root, "candidates", json_integer((json_int_t)r->candidate_count));
    twin_json_add(root, "recommended", candidate_json(g, r, r->ranking[g->subject][0]));
    twin_json_add(root, "alternatives", alternatives);
    twin_json_add(root, "bands", twin_bands_json(g->plan->solution));
    twin_json_add(root, g->is_simulated ? "curves_rounded_to" : "responses_rounded_to", released_json(g));
    twin_json_add(root, "plan_digest", json_string(digest));
    twin_json_add(root, "inputs",
                  json_string("encrypted by the custodian for this plan, checked against its declared ranges"));
    twin_json_add(root, "who_saw_what", who_saw_what());
    twin_json_add(root, "release",
                  json_pack("{s:i, s:I, s:I}", "security_bits", (int)SECURITY_BITS, "made", (json_int_t)g->ledger.made,
                            "limit", (json_int_t)g->ledger.limit));
    return root;
}

static ddt_status seal(grantor *g, const char *physician_path, const char *grant_path) {
    enum { INDENT = 2, DIGITS = 6 };
    ddt_recommendation recommendation = {0};
    ddt_status status = twin_rank(g->ctx, &g->plan->recipe, g->model, g->plan->solution, &g->profile, &recommendation);
    if (status != DDT_OK) {
        return status;
    }
    json_t *root = grant_json(g, &recommendation);
    char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(INDENT) | JSON_REAL_PRECISION(DIGITS));
    json_decref(root);
    ddt_recommendation_destroy(&recommendation);
    if (text == NULL) {
        return twin_no_memory(g->ctx);
    }
    status = ddt_grant_write(g->ctx, physician_path, text, strlen(text), grant_path);
    explicit_bzero(text, strlen(text));
    free(text);
    return status;
}

ddt_status ddt_twin_grant(ddt_context *ctx, const char *keys_directory, const char *passphrase, const char *result_path,
                          const char *subject, const char *physician_path, const char *grant_path,
                          ddt_ledger_state *ledger) {
    grantor g = {.ctx = ctx};
    ddt_physician_id id;
    /* Whom it is for is checked before anything is counted. */
    ddt_status status = ddt_physician_id_read(ctx, physician_path, &id);
    if (status == DDT_OK) {
        status = open_plan(&g, keys_directory);
    }
    if (status == DDT_OK) {
        status = open_secret(&g, passphrase);
    }
    if (status == DDT_OK) {
        status = open_buffers(&g);
    }
    if (status == DDT_OK) {
        status = release_result(&g, result_path, subject);
    }
    if (status == DDT_OK) {
        status = seal(&g, physician_path, grant_path);
    }
    if (status == DDT_OK) {
        *ledger = g.ledger;
    }
    grantor_close(&g);
    return status;
}
