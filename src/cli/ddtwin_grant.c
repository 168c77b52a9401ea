/* grant and open: a recommendation goes from the key's holder to a physician. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PHYSICIAN_SECRET "physician.ddt"
#define PHYSICIAN_PUBLIC "physician-public.ddt"

/* ------------------------------------------------------------------ keygen --physician */

static ddt_status make_folder(ddt_context *ctx, const char *path, bool *made) {
    *made = mkdir(path, S_IRWXU) == 0;
    return *made || errno == EEXIST
               ? DDT_OK
               : ddt_fail(ctx, DDT_ERR_IO, "The key directory %s cannot be made: %s.", path, strerror(errno));
}

static void tell_keys(const cli_arguments *arguments, const ddt_physician_id *id) {
    char digest[CLI_DIGEST_TEXT];
    cli_digest_text(id, digest);
    if (arguments->json) {
        (void)printf("{\"folder\": ");
        cli_json_string(stdout, arguments->out);
        (void)printf(", \"physician\": \"%s\"}\n", digest);
    } else {
        (void)printf("%s: %s (keep it) and %s (give it to those who grant), key %.16s\n", arguments->out,
                     PHYSICIAN_SECRET, PHYSICIAN_PUBLIC, digest);
    }
}

ddt_status ddtwin_keygen_physician(ddt_context *ctx, const cli_arguments *arguments) {
    ddtwin_passphrase passphrase = {0};
    ddt_physician_id id;
    bool made = false;
    char *secret = ddtwin_join(ctx, arguments->out, PHYSICIAN_SECRET);
    char *public = ddtwin_join(ctx, arguments->out, PHYSICIAN_PUBLIC);
    ddt_status status = secret == NULL || public == NULL ? DDT_ERR_MEMORY : DDT_OK;
    if (status == DDT_OK) {
        status = ddtwin_passphrase_take(ctx, arguments, true, &passphrase);
    }
    if (status == DDT_OK) {
        status = make_folder(ctx, arguments->out, &made);
    }
    if (status == DDT_OK) {
        status = ddt_physician_keys_generate(ctx, secret, public, passphrase.given ? passphrase.text : NULL, &id);
        if (status == DDT_OK) {
            tell_keys(arguments, &id);
        } else if (made) {
            (void)rmdir(arguments->out);
        }
    }
    ddtwin_passphrase_wipe(&passphrase);
    ddt_free(secret);
    ddt_free(public);
    return status;
}

/* ------------------------------------------------------------------ grant */

static ddt_status grant_step(ddt_context *ctx, const cli_arguments *arguments, const char *passphrase, void *result) {
    return ddt_twin_grant(ctx, arguments->keys, passphrase, arguments->result, arguments->subject, arguments->to,
                          arguments->out, result);
}

ddt_status ddtwin_grant(ddt_context *ctx, const cli_arguments *arguments) {
    ddt_ledger_state ledger = {0};
    ddt_status status = ddtwin_with_passphrase(ctx, arguments, grant_step, &ledger);
    if (status != DDT_OK) {
        return status;
    }
    cli_progress_clear();
    if (arguments->json) {
        (void)printf("{\"file\": ");
        cli_json_string(stdout, arguments->out);
        (void)printf(", \"releases_made\": %llu, \"releases_limit\": %llu}\n", (unsigned long long)ledger.made,
                     (unsigned long long)ledger.limit);
    } else {
        (void)printf("%s: granted; %llu of the key's %llu releases are made\n", arguments->out,
                     (unsigned long long)ledger.made, (unsigned long long)ledger.limit);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ open */

static void print_line(const json_t *root, const char *label, const char *key) {
    const char *value = json_string_value(json_object_get(root, key));
    if (value != NULL && value[0] != '\0') {
        (void)printf("%-12s %s\n", label, value);
    }
}

static void print_candidate(const json_t *candidate, const char *label) {
    enum { PERCENTILES = 3 };
    const char *name = NULL;
    json_t *value = NULL;
    (void)printf("%-12s %s\n             ", label, json_string_value(json_object_get(candidate, "regimen")));
    const char *separator = "";
    json_t *predicted = json_object_get(candidate, "predicted");
    const json_t *bands = json_object_get(predicted, "p05_p50_p95");
    json_object_foreach(predicted, name, value) {
        const json_t *band = json_object_get(bands, name);
        if (!json_is_number(value)) {
            continue;
        }
        (void)printf("%s%s %.4g", separator, name, json_number_value(value));
        if (json_array_size(band) == PERCENTILES) {
            (void)printf(" (%.4g to %.4g)", json_number_value(json_array_get(band, 0)),
                         json_number_value(json_array_get(band, PERCENTILES - 1)));
        }
        separator = ", ";
    }
    (void)printf("\n");
}

static void print_parties(const json_t *parties) {
    for (size_t i = 0; i < json_array_size(parties); i++) {
        const json_t *party = json_array_get(parties, i);
        const char *never = json_string_value(json_object_get(party, "never_had"));
        (void)printf("%-12s %s saw %s%s%s\n", i == 0 ? "who saw" : "",
                     json_string_value(json_object_get(party, "party")),
                     json_string_value(json_object_get(party, "saw")),
                     never != NULL && never[0] != '\0' ? "; never " : "", never == NULL ? "" : never);
    }
}

/* What grants hold is ours, but a file from outside is hostile: every field is looked at before it is shown. */
static bool is_grant(const json_t *root) {
    const json_t *recommended = json_object_get(root, "recommended");
    const json_t *parties = json_object_get(root, "who_saw_what");
    for (size_t i = 0; i < json_array_size(parties); i++) {
        const json_t *party = json_array_get(parties, i);
        if (!json_is_string(json_object_get(party, "party")) || !json_is_string(json_object_get(party, "saw"))) {
            return false;
        }
    }
    const json_t *alternatives = json_object_get(root, "alternatives");
    for (size_t i = 0; i < json_array_size(alternatives); i++) {
        if (!json_is_string(json_object_get(json_array_get(alternatives, i), "regimen"))) {
            return false;
        }
    }
    return json_is_string(json_object_get(recommended, "regimen")) &&
           json_is_object(json_object_get(recommended, "predicted"));
}

/* What is in parentheses, and what it leaves out. */
static void print_bands(const json_t *bands) {
    const char *of = json_string_value(json_object_get(bands, "of"));
    const bool is_posterior = of != NULL && strcmp(of, "posterior") == 0;
    if (of == NULL) {
        (void)printf("%-12s none: the estimates behind these numbers were taken as certain\n", "bands");
        return;
    }
    (void)printf(
        "%-12s in parentheses: 5 to 95 %% of %s (%lld points of %s); p_target is the\n%-12s part of it that meets "
        "the target. Errors of measurements and of the model itself come on top.\n",
        "bands", is_posterior ? "what this patient's own levels leave open" : "patients with these covariates",
        (long long)json_integer_value(json_object_get(bands, "points")),
        is_posterior ? "the posterior" : "the population", "");
}

static void print_grant(const json_t *root) {
    const json_t *alternatives = json_object_get(root, "alternatives");
    print_line(root, "subject", "subject");
    print_candidate(json_object_get(root, "recommended"), "recommended");
    for (size_t i = 0; i < json_array_size(alternatives); i++) {
        print_candidate(json_array_get(alternatives, i), i == 0 ? "otherwise" : "");
    }
    print_bands(json_object_get(root, "bands"));
    print_line(root, "target", "target");
    print_line(root, "compared", "product");
    print_line(root, "model", "description");
    print_line(root, "", "reference");
    print_line(root, "inputs", "inputs");
    print_parties(json_object_get(root, "who_saw_what"));
    print_line(root, "granted", "granted");
    print_line(root, "plan", "plan_digest");
    (void)printf("Numbers are rounded, with noise that protects the patient's key. Research software, not a medical "
                 "device: you decide.\n");
}

typedef struct opened {
    char *text;
    size_t length;
} opened;

static ddt_status open_step(ddt_context *ctx, const cli_arguments *arguments, const char *passphrase, void *result) {
    opened *out = result;
    char *secret = ddtwin_join(ctx, arguments->keys, PHYSICIAN_SECRET);
    ddt_status status = secret == NULL
                            ? DDT_ERR_MEMORY
                            : ddt_grant_read(ctx, secret, passphrase, arguments->grant, &out->text, &out->length);
    ddt_free(secret);
    return status;
}

static ddt_status show(ddt_context *ctx, const cli_arguments *arguments, const opened *grant) {
    json_t *root = json_loadb(grant->text, grant->length, JSON_REJECT_DUPLICATES, NULL);
    ddt_status status = DDT_OK;
    if (root == NULL || !is_grant(root)) {
        status = ddt_fail(ctx, DDT_ERR_FORMAT, "%s opens, but does not hold a recommendation.", arguments->grant);
    } else if (arguments->json) {
        (void)printf("%.*s\n", (int)grant->length, grant->text);
    } else {
        print_grant(root);
    }
    json_decref(root);
    return status;
}

ddt_status ddtwin_open(ddt_context *ctx, const cli_arguments *arguments) {
    opened grant = {0};
    ddt_status status = ddtwin_with_passphrase(ctx, arguments, open_step, &grant);
    if (status == DDT_OK) {
        status = show(ctx, arguments, &grant);
    }
    ddt_grant_text_free(grant.text, grant.length);
    return status;
}
