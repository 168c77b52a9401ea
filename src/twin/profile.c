/* Profiles: concentrations by subject, time and output. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <math.h>
#include <string.h>

void ddt_profile_destroy(ddt_profile *profile) {
    for (size_t s = 0; s < profile->subject_count; s++) {
        const size_t count = profile->observation_counts == NULL ? 0 : profile->observation_counts[s];
        if (profile->subject_ids != NULL) {
            ddt_free(profile->subject_ids[s]);
        }
        if (profile->times_h != NULL) {
            ddt_free(profile->times_h[s]);
        }
        if (profile->requested != NULL) {
            ddt_free(profile->requested[s]);
        }
        if (profile->values != NULL) {
            twin_wipe_free(profile->values[s], count * profile->output_count * sizeof **profile->values);
        }
    }
    for (size_t o = 0; profile->output_names != NULL && o < profile->output_count; o++) {
        ddt_free(profile->output_names[o]);
    }
    ddt_free(profile->subject_ids);
    ddt_free(profile->times_h);
    ddt_free(profile->requested);
    ddt_free(profile->values);
    ddt_free(profile->output_names);
    ddt_free(profile->observation_counts);
    ddt_left_out_destroy(&profile->left_out);
    *profile = (ddt_profile){0};
}

void twin_profile_leave_out(ddt_profile *profile, ddt_left_out *left_out) {
    for (size_t k = 0; k < left_out->count; k++) {
        const size_t s = left_out->subjects[k].subject;
        for (size_t i = 0; i < profile->observation_counts[s] * profile->output_count; i++) {
            profile->values[s][i] = NAN;
        }
    }
    ddt_left_out_destroy(&profile->left_out);
    profile->left_out = *left_out;
    *left_out = (ddt_left_out){0};
}

bool twin_is_left_out(const ddt_profile *profile, size_t subject) {
    return ddt_left_out_reason(&profile->left_out, subject) != NULL;
}

bool twin_profile_allocate(ddt_profile *profile) {
    const size_t subjects = profile->subject_count;
    profile->output_names = ddt_calloc(profile->output_count, sizeof *profile->output_names);
    profile->subject_ids = ddt_calloc(subjects, sizeof *profile->subject_ids);
    profile->observation_counts = ddt_calloc(subjects, sizeof *profile->observation_counts);
    profile->times_h = ddt_calloc(subjects, sizeof *profile->times_h);
    profile->requested = ddt_calloc(subjects, sizeof *profile->requested);
    profile->values = ddt_calloc(subjects, sizeof *profile->values);
    return profile->output_names != NULL && profile->subject_ids != NULL && profile->observation_counts != NULL &&
           profile->times_h != NULL && profile->requested != NULL && profile->values != NULL;
}

bool twin_profile_allocate_subject(ddt_profile *profile, size_t s, const char *id, size_t count) {
    size_t values = 0;
    if (!ddt_size_mul(count, profile->output_count, &values)) {
        return false;
    }
    profile->observation_counts[s] = count;
    profile->subject_ids[s] = ddt_strdup(id);
    profile->times_h[s] = ddt_calloc(count, sizeof **profile->times_h);
    profile->requested[s] = ddt_calloc(count, sizeof **profile->requested);
    profile->values[s] = ddt_calloc(values, sizeof **profile->values);
    return profile->subject_ids[s] != NULL && profile->times_h[s] != NULL && profile->requested[s] != NULL &&
           profile->values[s] != NULL;
}

static bool profile_fill_subject(const ddt_solution *solution, const twin_recipe *recipe, size_t s,
                                 ddt_profile *profile) {
    const size_t count = ddt_solution_observation_count(solution, s);
    if (!twin_profile_allocate_subject(profile, s, ddt_solution_subject_id(solution, s), count)) {
        return false;
    }
    for (size_t k = 0; k < count; k++) {
        profile->times_h[s][k] = ddt_solution_observation_time(solution, s, k);
        profile->requested[s][k] = recipe == NULL || recipe->requested[s][k];
    }
    return true;
}

ddt_status twin_profile_create(ddt_context *ctx, const ddt_solution *solution, const twin_recipe *recipe,
                               ddt_profile *out) {
    *out = (ddt_profile){.subject_count = ddt_solution_subject_count(solution),
                         .output_count = ddt_solution_output_count(solution)};
    bool enough = twin_profile_allocate(out);
    for (size_t s = 0; enough && s < out->subject_count; s++) {
        enough = profile_fill_subject(solution, recipe, s, out);
    }
    for (size_t o = 0; enough && o < out->output_count; o++) {
        out->output_names[o] = ddt_strdup(ddt_solution_output_name(solution, o));
        enough = out->output_names[o] != NULL;
    }
    if (!enough) {
        ddt_profile_destroy(out);
        return twin_no_memory(ctx);
    }
    return DDT_OK;
}

size_t ddt_profile_requested_count(const ddt_profile *profile) {
    size_t count = 0;
    for (size_t s = 0; s < profile->subject_count; s++) {
        for (size_t k = 0; k < profile->observation_counts[s]; k++) {
            count += profile->requested[s][k];
        }
    }
    return count;
}

static void csv_row(twin_text *text, const ddt_profile *profile, size_t s, size_t k) {
    twin_text_csv(text, profile->subject_ids[s]);
    twin_text_raw(text, ",", 1);
    twin_text_exact(text, profile->times_h[s][k]);
    for (size_t o = 0; o < profile->output_count; o++) {
        twin_text_add(text, ",%.9g", profile->values[s][k * profile->output_count + o]);
    }
    twin_text_raw(text, "\n", 1);
}

ddt_status ddt_profile_write_csv(ddt_context *ctx, const ddt_profile *profile, const char *path) {
    twin_text text = {0};
    twin_text_add(&text, "ID,TIME");
    for (size_t o = 0; o < profile->output_count; o++) {
        twin_text_raw(&text, ",", 1);
        twin_text_csv(&text, profile->output_names[o]);
    }
    twin_text_raw(&text, "\n", 1);
    for (size_t s = 0; s < profile->subject_count; s++) {
        for (size_t k = 0; k < profile->observation_counts[s]; k++) {
            if (profile->requested[s][k]) {
                csv_row(&text, profile, s, k);
            }
        }
    }
    return twin_text_write(ctx, &text, path);
}
