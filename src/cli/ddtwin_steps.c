/* compile, keygen, encrypt, decrypt: the chain step by step. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin.h"

#include "ddt/twin/life.h"

#include <string.h>
#include <sys/stat.h>

ddt_status ddtwin_options(ddt_context *ctx, const cli_arguments *arguments, size_t report_points,
                          ddt_setting **settings, ddt_twin_options *out) {
    const char *rule = arguments->covariates == NULL ? "nonmem" : arguments->covariates;
    if (strcmp(rule, "nonmem") != 0 && strcmp(rule, "locf") != 0) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "--covariates takes nonmem or locf, not '%s'.", rule);
    }
    *settings = ddt_alloc(arguments->setting_count, sizeof **settings);
    if (*settings == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short.");
    }
    for (size_t i = 0; i < arguments->setting_count; i++) {
        (*settings)[i] = (ddt_setting){arguments->settings[i].name, arguments->settings[i].value};
    }
    *out = (ddt_twin_options){.model_path = arguments->positional,
                              .data_path = arguments->data,
                              .carries_forward = strcmp(rule, "locf") == 0,
                              .grid_h = arguments->grid_h,
                              .grid_points = report_points,
                              .outputs = arguments->outputs,
                              .output_count = arguments->output_count,
                              .settings = *settings,
                              .setting_count = arguments->setting_count};
    return DDT_OK;
}

static uint64_t file_bytes(const char *path) {
    struct stat info;
    return path != NULL && stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

static void json_left_out(const ddt_left_out *left_out) {
    (void)printf(", \"left_out\": [");
    for (size_t k = 0; k < left_out->count; k++) {
        (void)printf("%s{\"id\": ", k == 0 ? "" : ", ");
        cli_json_string(stdout, left_out->subjects[k].id);
        (void)printf(", \"reason\": ");
        cli_json_string(stdout, left_out->subjects[k].reason);
        (void)printf("}");
    }
    (void)printf("]");
}

/* One line about a file that was written, as text or JSON. left_out: NULL where nobody can be. */
static void tell_file(const cli_arguments *arguments, const char *what, uint64_t bytes, const ddt_digest *plan,
                      const ddt_left_out *left_out) {
    char digest[CLI_DIGEST_TEXT];
    char size[CLI_SIZE_TEXT];
    cli_digest_text(plan, digest);
    cli_progress_clear();
    if (arguments->json) {
        (void)printf("{\"file\": ");
        cli_json_string(stdout, arguments->out);
        (void)printf(", \"bytes\": %llu, \"plan_digest\": \"%s\"", (unsigned long long)bytes, digest);
        if (left_out != NULL) {
            json_left_out(left_out);
        }
        (void)printf("}\n");
    } else {
        (void)printf("%s: %s, %s, plan %.16s\n", arguments->out, what, cli_size_text(bytes, size), digest);
    }
}

/* ------------------------------------------------------------------ compile */

/* Options that one purpose takes and the others would ignore. */
static ddt_status check_purpose(ddt_context *ctx, const cli_arguments *arguments, const char *purpose) {
    const bool of_life = arguments->points > 0 || arguments->memory > 0 || arguments->half_life > 0;
    const bool of_advice = arguments->target != NULL || arguments->product != NULL || arguments->grantable;
    if (of_life && strcmp(purpose, "update") != 0) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "compile: --points, --memory and --half-life belong to --for update.");
    }
    if (of_advice && strcmp(purpose, "recommend") != 0) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "compile: --target, --product and --grantable belong to --for recommend.");
    }
    const bool of_bands = arguments->population > 0 || arguments->around;
    if (of_bands && strcmp(purpose, "bands") != 0) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "compile: --population and --around belong to --for bands.");
    }
    if (arguments->grid_h > 0 && strcmp(purpose, "simulate") != 0 && strcmp(purpose, "bands") != 0) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "compile: --grid belongs to simulations and bands.");
    }
    return DDT_OK;
}

/* --for: what the plan is to compute. */
static ddt_status set_purpose(ddt_context *ctx, const cli_arguments *arguments, ddtwin_question *question,
                              ddt_twin_options *options) {
    const char *purpose = arguments->purpose == NULL ? "simulate" : arguments->purpose;
    ddt_status status = check_purpose(ctx, arguments, purpose);
    if (status != DDT_OK || strcmp(purpose, "simulate") == 0) {
        return status;
    }
    options->grid_points = 0;
    if (strcmp(purpose, "bands") == 0) {
        options->purpose = DDT_TWIN_BANDS;
        options->patients = (size_t)arguments->population;
        options->around = arguments->around;
        return DDT_OK;
    }
    if (strcmp(purpose, "fit") == 0) {
        options->purpose = DDT_TWIN_FIT;
        options->prior_weight = arguments->prior;
        return DDT_OK;
    }
    if (strcmp(purpose, "recommend") == 0) {
        return ddtwin_ask(ctx, arguments, question, options);
    }
    if (strcmp(purpose, "update") == 0) {
        options->purpose = DDT_TWIN_UPDATE;
        options->update = (ddt_update_options){
            .points = (size_t)arguments->points, .memory = arguments->memory, .half_life_h = arguments->half_life};
        return DDT_OK;
    }
    return ddt_fail(ctx, DDT_ERR_USAGE, "compile: --for takes simulate, bands, fit, recommend or update, not '%s'.",
                    purpose);
}

ddt_status ddtwin_compile(ddt_context *ctx, const cli_arguments *arguments) {
    ddt_setting *settings = NULL;
    ddt_twin_options options;
    ddtwin_question question = {0};
    ddt_digest digest;
    ddt_status status = ddtwin_options(ctx, arguments, DDTWIN_REPORT_POINTS, &settings, &options);
    if (status == DDT_OK) {
        status = set_purpose(ctx, arguments, &question, &options);
    }
    if (status == DDT_OK) {
        status = ddt_twin_compile(ctx, &options, arguments->out);
    }
    if (status == DDT_OK) {
        status = ddt_wire_file_digest(ctx, arguments->out, DDT_WIRE_PLAN, &digest);
    }
    if (status == DDT_OK) {
        tell_file(arguments, "plan", file_bytes(arguments->out), &digest, NULL);
    }
    ddtwin_question_free(&question);
    ddt_free(settings);
    return status;
}

/* ------------------------------------------------------------------ keygen */

ddt_status ddtwin_keygen(ddt_context *ctx, const cli_arguments *arguments) {
    if (arguments->physician && arguments->plan == NULL) {
        return ddtwin_keygen_physician(ctx, arguments);
    }
    if (arguments->physician || arguments->plan == NULL) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "keygen: either --plan or --physician says whose keys to make.");
    }
    ddtwin_passphrase passphrase;
    ddt_digest digest;
    uint64_t eval_bytes = 0;
    ddt_status status = ddt_wire_file_digest(ctx, arguments->plan, DDT_WIRE_PLAN, &digest);
    if (status == DDT_OK) {
        status = ddtwin_passphrase_take(ctx, arguments, true, &passphrase);
        if (status == DDT_OK) {
            status = ddt_twin_keygen(ctx, arguments->plan, arguments->out, passphrase.given ? passphrase.text : NULL,
                                     &eval_bytes);
        }
        ddtwin_passphrase_wipe(&passphrase);
    }
    if (status == DDT_OK) {
        tell_file(arguments, "secret, public and evaluation keys", eval_bytes, &digest, NULL);
    }
    return status;
}

/* ------------------------------------------------------------------ with a secret key */

ddt_status ddtwin_with_passphrase(ddt_context *ctx, const cli_arguments *arguments, ddtwin_secret_step step,
                                  void *result) {
    ddtwin_passphrase passphrase;
    ddt_status status = ddtwin_passphrase_take(ctx, arguments, false, &passphrase);
    if (status == DDT_OK) {
        status = step(ctx, arguments, passphrase.given ? passphrase.text : NULL, result);
        if (status == DDT_ERR_PASSPHRASE && !passphrase.given &&
            ddtwin_passphrase_ask("Passphrase of the secret key", &passphrase)) {
            ddt_context_clear(ctx);
            status = step(ctx, arguments, passphrase.text, result);
        }
    }
    ddtwin_passphrase_wipe(&passphrase);
    return status;
}

typedef struct encrypted {
    uint64_t bytes;
    ddt_left_out left_out;
} encrypted;

static ddt_status encrypt_step(ddt_context *ctx, const cli_arguments *arguments, const char *passphrase, void *result) {
    encrypted *out = result;
    ddt_twin_plan *plan = NULL;
    ddt_status status = ddt_twin_plan_read(ctx, arguments->plan, &plan);
    const bool is_update = status == DDT_OK && ddt_twin_plan_update(plan) != NULL;
    ddt_twin_plan_destroy(plan);
    if (status != DDT_OK) {
        return status;
    }
    if (is_update) {
        const ddt_twin_news news = {.plan_path = arguments->plan,
                                    .keys_directory = arguments->keys,
                                    .model_path = arguments->model,
                                    .life_path = arguments->twin,
                                    .data_path = arguments->data,
                                    .subject = arguments->subject};
        return ddt_twin_encrypt_update(ctx, &news, passphrase, arguments->out, &out->bytes);
    }
    if (arguments->twin != NULL || arguments->subject != NULL) {
        return ddt_fail(ctx, DDT_ERR_USAGE,
                        "encrypt: --twin and --subject belong to plans of a living twin; %s is none.", arguments->plan);
    }
    return ddt_twin_encrypt_served(ctx, arguments->plan, arguments->keys, passphrase, arguments->model, arguments->data,
                                   arguments->out, &out->bytes, &out->left_out);
}

ddt_status ddtwin_encrypt(ddt_context *ctx, const cli_arguments *arguments) {
    encrypted out = {0};
    ddt_digest digest;
    ddt_status status = ddt_wire_file_digest(ctx, arguments->plan, DDT_WIRE_PLAN, &digest);
    if (status == DDT_OK) {
        status = ddtwin_with_passphrase(ctx, arguments, encrypt_step, &out);
    }
    if (status == DDT_OK) {
        ddtwin_tell_left_out(&out.left_out);
        tell_file(arguments, "encrypted twin", out.bytes, &digest, &out.left_out);
    }
    ddt_left_out_destroy(&out.left_out);
    return status;
}

/* ------------------------------------------------------------------ decrypt */

static ddt_status decrypt_step(ddt_context *ctx, const cli_arguments *arguments, const char *passphrase, void *result) {
    return ddt_twin_decrypt(ctx, arguments->keys, passphrase, arguments->result, result);
}

static ddt_status write_into(ddt_context *ctx, const ddtwin_folder *folder, const ddt_twin_outcome *outcome) {
    char *csv = ddtwin_join(ctx, folder->files, "profile.csv");
    char *json = ddtwin_join(ctx, folder->files, "summary.json");
    char *html = ddtwin_join(ctx, folder->files, "report.html");
    ddt_status status = csv == NULL || json == NULL || html == NULL ? DDT_ERR_MEMORY : DDT_OK;
    if (status == DDT_OK) {
        status = ddt_profile_write_csv(ctx, outcome->profile, csv);
    }
    if (status == DDT_OK) {
        status = ddt_twin_write_summary(ctx, outcome, json);
    }
    if (status == DDT_OK) {
        status = ddt_twin_write_report(ctx, outcome, html);
    }
    ddt_free(csv);
    ddt_free(json);
    ddt_free(html);
    return status;
}

ddt_status ddtwin_write_results(ddt_context *ctx, const ddtwin_folder *folder, const ddt_twin_outcome *outcome) {
    ddt_status status = write_into(ctx, folder, outcome);
    return status == DDT_OK ? ddtwin_folder_commit(ctx, folder) : status;
}

static ddt_status tell_outcome(ddt_context *ctx, const cli_arguments *arguments, const ddt_twin_outcome *outcome) {
    cli_progress_clear();
    if (!arguments->json) {
        (void)printf("%s: %zu subjects, %zu times\n", arguments->out, outcome->profile->subject_count,
                     ddt_profile_requested_count(outcome->profile));
        return DDT_OK;
    }
    return ddtwin_print_summary(ctx, outcome);
}

static ddt_status write_ranked(ddt_context *ctx, const cli_arguments *arguments, const ddt_twin_plan *plan,
                               const ddtwin_folder *folder, const ddt_twin_outcome *outcome) {
    ddt_recommendation recommendation = {0};
    ddt_status status = ddt_twin_plan_rank(ctx, plan, outcome->model, outcome->profile, &recommendation);
    if (status == DDT_OK) {
        status = ddtwin_write_recommendation(ctx, arguments, folder, outcome, &recommendation);
    }
    ddt_recommendation_destroy(&recommendation);
    return status;
}

/* What a plan's purpose makes of a decrypted profile. */
static ddt_status write_outcome(ddt_context *ctx, const cli_arguments *arguments, const ddt_twin_plan *plan,
                                const ddtwin_folder *folder, const ddt_twin_outcome *outcome) {
    ddt_status status = DDT_OK;
    switch (outcome->purpose) {
    case DDT_TWIN_RECOMMEND:
        return write_ranked(ctx, arguments, plan, folder, outcome);
    case DDT_TWIN_FIT:
        ddtwin_tell_left_out(&outcome->profile->left_out);
        status = ddtwin_write_etas(ctx, folder, outcome);
        status = status == DDT_OK ? ddtwin_folder_commit(ctx, folder) : status;
        break;
    case DDT_TWIN_BANDS:
        status = ddtwin_write_bands(ctx, folder, outcome);
        break;
    default:
        status = ddtwin_write_results(ctx, folder, outcome);
        break;
    }
    return status == DDT_OK ? tell_outcome(ctx, arguments, outcome) : status;
}

/* What a custodian knows without the data: the plan, the profile, the sizes of the files at hand. */
static ddt_status decrypt_outcome(ddt_context *ctx, const cli_arguments *arguments, const ddt_twin_plan *plan,
                                  const ddt_profile *profile, const ddtwin_folder *folder, double decrypt_s) {
    ddt_model *model = NULL;
    char *eval = ddtwin_join(ctx, arguments->keys, "eval.ddt");
    ddt_status status = eval == NULL ? DDT_ERR_MEMORY : ddt_twin_plan_model(ctx, plan, &model);
    if (status == DDT_OK) {
        const ddt_twin_run run = {.decrypt_s = decrypt_s,
                                  .eval_key_bytes = file_bytes(eval),
                                  .result_bytes = file_bytes(arguments->result),
                                  .plan_digest = *ddt_twin_plan_digest(plan)};
        ddt_twin_outcome outcome = {
            .purpose = ddt_twin_plan_purpose(plan), .model = model, .profile = profile, .run = &run};
        ddt_plan_get_info(ddt_twin_plan_program(plan), &outcome.plan);
        ddt_solution_get_info(ddt_twin_plan_solution(plan), &outcome.solve);
        status = write_outcome(ctx, arguments, plan, folder, &outcome);
    }
    ddt_model_destroy(model);
    ddt_free(eval);
    return status;
}

/* ------------------------------------------------------------------ a living twin */

static ddt_status life_step(ddt_context *ctx, const cli_arguments *arguments, const char *passphrase, void *result) {
    return ddt_twin_decrypt_life(ctx, arguments->keys, passphrase, arguments->result, arguments->data,
                                 arguments->subject, result);
}

/* The best regimen and what it comes to. */
static void tell_advice(const ddt_twin_life *life, const ddt_twin_advice *advice) {
    char regimen[DDT_REGIMEN_TEXT_MAX];
    const size_t best = advice->table.order[0];
    ddt_twin_advice_text(life, advice, best, regimen);
    (void)printf("%-12s %s; p_target %.2f", "next", regimen, advice->table.p_target[best]);
    for (size_t t = 0; t < advice->table.target_count; t++) {
        const size_t at = best * advice->table.target_count + t;
        const double *band = advice->table.band + at * DDT_UPDATE_BANDS;
        (void)printf(", %s %.4g (%.4g to %.4g)", advice->targets.items[t].name, advice->table.metric[at], band[0],
                     band[DDT_UPDATE_BANDS - 1]);
    }
    (void)printf("\n");
}

static ddt_status tell_life(ddt_context *ctx, const cli_arguments *arguments, const ddt_twin_life *life,
                            const ddt_twin_advice *advice) {
    char *json = NULL;
    cli_progress_clear();
    if (arguments->json) {
        ddt_status status = advice->table.candidate_count > 0 ? ddt_twin_advice_json(ctx, life, advice, &json)
                                                              : ddt_twin_life_json(ctx, life, &json);
        if (status == DDT_OK) {
            (void)fputs(json, stdout);
        }
        ddt_free(json);
        return status;
    }
    const char *unit = life->model->time_unit == NULL ? "h" : life->model->time_unit;
    (void)printf("%s: %s at %g %s, after %llu updates with %llu steps\n", arguments->out, life->id, life->clock.to_h,
                 unit, (unsigned long long)life->clock.updates, (unsigned long long)life->clock.steps);
    for (size_t i = 0, k = 0; i < life->model->eta_count && k < life->estimate.eta_count; i++) {
        const ddt_symbol *symbol = &life->model->symbols[life->model->etas[i]];
        if (symbol->omega2 > 0.0) {
            (void)printf("%-12s %8.3f +- %.3f\n", symbol->name, life->estimate.eta[k], life->estimate.sd[k]);
            k++;
        }
    }
    for (size_t i = 0; i < life->estimate.state_count; i++) {
        (void)printf("%-12s %8.4g (%.4g to %.4g)\n", life->model->compartments[i].name, life->estimate.amount[i],
                     life->estimate.amount_band[i][0], life->estimate.amount_band[i][DDT_UPDATE_BANDS - 1]);
    }
    return DDT_OK;
}

/* --target or --product: what comes next, of several regimens. */
static ddt_status advise(ddt_context *ctx, const cli_arguments *arguments, const ddtwin_folder *folder,
                         const ddt_twin_life *life, ddt_twin_advice *advice) {
    const ddt_twin_wish wish = {.data_path = arguments->data,
                                .subject = arguments->subject,
                                .target = arguments->target,
                                .product = arguments->product};
    if (wish.target == NULL && wish.product == NULL) {
        return DDT_OK;
    }
    if (wish.data_path == NULL) {
        return ddt_fail(ctx, DDT_ERR_USAGE,
                        "decrypt: --target and --product need --data: the regimen begins at its last record.");
    }
    ddt_status status = ddt_twin_advise(ctx, arguments->keys, life, &wish, advice);
    return status == DDT_OK ? ddt_twin_advice_write(ctx, life, advice, folder->files) : status;
}

static ddt_status decrypt_life(ddt_context *ctx, const cli_arguments *arguments, const ddtwin_folder *folder) {
    ddt_twin_life life = {0};
    ddt_twin_advice advice = {0};
    ddt_status status = ddtwin_with_passphrase(ctx, arguments, life_step, &life);
    if (status == DDT_OK) {
        status = ddt_twin_life_write(ctx, &life, folder->files);
    }
    if (status == DDT_OK) {
        status = advise(ctx, arguments, folder, &life, &advice);
    }
    if (status == DDT_OK) {
        status = ddtwin_folder_commit(ctx, folder);
    }
    if (status == DDT_OK) {
        status = tell_life(ctx, arguments, &life, &advice);
    }
    if (status == DDT_OK && advice.table.candidate_count > 0 && !arguments->json) {
        tell_advice(&life, &advice);
    }
    ddt_twin_advice_destroy(&advice);
    ddt_twin_life_destroy(&life);
    return status;
}

static ddt_status decrypt_into(ddt_context *ctx, const cli_arguments *arguments, const ddtwin_folder *folder) {
    ddt_profile profile = {0};
    ddt_twin_plan *plan = NULL;
    char *plan_path = ddtwin_join(ctx, arguments->keys, "plan.ddt");
    const double started_s = ddt_clock_s();
    ddt_status status =
        plan_path == NULL ? DDT_ERR_MEMORY : ddtwin_with_passphrase(ctx, arguments, decrypt_step, &profile);
    const double decrypt_s = ddt_clock_s() - started_s;
    if (status == DDT_OK) {
        status = ddt_twin_plan_read(ctx, plan_path, &plan);
    }
    if (status == DDT_OK) {
        status = decrypt_outcome(ctx, arguments, plan, &profile, folder, decrypt_s);
    }
    ddt_twin_plan_destroy(plan);
    ddt_profile_destroy(&profile);
    ddt_free(plan_path);
    return status;
}

ddt_status ddtwin_decrypt(ddt_context *ctx, const cli_arguments *arguments) {
    ddtwin_folder folder;
    ddt_status status = ddtwin_folder_open(ctx, arguments->out, &folder);
    if (status != DDT_OK) {
        return status;
    }
    ddt_wire_kind kind = DDT_WIRE_RESULT;
    status = ddt_wire_probe(ctx, arguments->result, &kind);
    const bool of_life = arguments->data != NULL || arguments->subject != NULL || arguments->target != NULL ||
                         arguments->product != NULL;
    if (status == DDT_OK && kind != DDT_WIRE_LIFE && of_life) {
        status = ddt_fail(ctx, DDT_ERR_USAGE,
                          "decrypt: --data, --subject, --target and --product belong to living twins; %s is none.",
                          arguments->result);
    }
    if (status == DDT_OK) {
        status = kind == DDT_WIRE_LIFE ? decrypt_life(ctx, arguments, &folder) : decrypt_into(ctx, arguments, &folder);
    }
    ddtwin_folder_close(&folder);
    return status;
}
