/*
 * Subjects whom a plan does not serve, while it serves the others of their table.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fit_internal.h"

#include <string.h>

void ddt_left_out_destroy(ddt_left_out *left_out) {
    for (size_t k = 0; k < left_out->count; k++) {
        ddt_free(left_out->subjects[k].id);
        ddt_free(left_out->subjects[k].reason);
    }
    ddt_free(left_out->subjects);
    *left_out = (ddt_left_out){0};
}

const char *ddt_left_out_reason(const ddt_left_out *left_out, size_t subject) {
    for (size_t k = 0; k < left_out->count; k++) {
        if (left_out->subjects[k].subject == subject) {
            return left_out->subjects[k].reason;
        }
    }
    return NULL;
}

ddt_status ddt_left_out_add(ddt_context *ctx, ddt_left_out *left_out, size_t subject, const char *id,
                            const char *reason) {
    if (ddt_left_out_reason(left_out, subject) != NULL) {
        return DDT_OK;
    }
    ddt_left_out_subject *grown = ddt_calloc(left_out->count + 1, sizeof *grown);
    ddt_left_out_subject added = {subject, ddt_strdup(id), ddt_strdup(reason)};
    if (grown == NULL || added.id == NULL || added.reason == NULL) {
        ddt_free(grown);
        ddt_free(added.id);
        ddt_free(added.reason);
        return solve_no_memory(ctx);
    }
    size_t before = 0;
    while (before < left_out->count && left_out->subjects[before].subject < subject) {
        before++;
    }
    if (left_out->count > 0) {
        memcpy(grown, left_out->subjects, before * sizeof *grown);
        memcpy(grown + before + 1, left_out->subjects + before, (left_out->count - before) * sizeof *grown);
    }
    grown[before] = added;
    ddt_free(left_out->subjects);
    left_out->subjects = grown;
    left_out->count++;
    return DDT_OK;
}

ddt_status solve_leave_out(ddt_context *ctx, ddt_left_out *left_out, const ddt_events *events, size_t subject,
                           ddt_status status) {
    if (status != DDT_ERR_RANGE || left_out == NULL) {
        return status;
    }
    char *reason = ddt_strdup(ddt_error_detail(ctx)); /* the next failure would write over it */
    if (reason == NULL) {
        return solve_no_memory(ctx);
    }
    ddt_context_clear(ctx);
    status = ddt_left_out_add(ctx, left_out, subject, events->subjects[subject].id, reason);
    ddt_free(reason);
    return status;
}

bool solve_is_left_out(const ddt_left_out *left_out, size_t subject) {
    return left_out != NULL && ddt_left_out_reason(left_out, subject) != NULL;
}

/* Nobody is served: the sentence of the first says why. */
static ddt_status refuse_all(ddt_context *ctx, const ddt_left_out *left_out, const char *path) {
    if (left_out->count == 1) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "%s", left_out->subjects[0].reason);
    }
    return ddt_fail(ctx, DDT_ERR_RANGE, "'%s': the plan serves none of the %zu subjects. The first of them: %s", path,
                    left_out->count, left_out->subjects[0].reason);
}

ddt_status ddt_solution_fill_served(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                                    const ddt_events *events, double *const *inputs, ddt_left_out *left_out) {
    *left_out = (ddt_left_out){0};
    if (solution->fit == NULL) {
        return ddt_solution_fill(ctx, solution, model, events, inputs);
    }
    ddt_status status = solve_layout_fill_served(ctx, solution, model, events, inputs, left_out);
    if (status == DDT_OK && left_out->count > 0 && left_out->count == events->subject_count) {
        status = refuse_all(ctx, left_out, events->path);
    }
    if (status != DDT_OK) {
        ddt_left_out_destroy(left_out);
    }
    return status;
}
