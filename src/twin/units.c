/* What outputs are called, measured in and compared with. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <string.h>

static size_t residual_outputs(const ddt_model *model) {
    size_t count = 0;
    for (size_t o = 0; o < model->output_count; o++) {
        count += model->outputs[o].residual != DDT_RESIDUAL_NONE;
    }
    return count;
}

static bool is_compartment(const ddt_model *model, const char *name) {
    for (size_t c = 0; c < model->compartment_count; c++) {
        if (strcmp(model->compartments[c].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* A model has one concentration unit: it is that of the only observed output, or of outputs named like a concentration.
 */
static bool is_concentration(const ddt_model *model, size_t output) {
    const ddt_output *o = &model->outputs[output];
    if (o->residual == DDT_RESIDUAL_NONE) {
        return strcmp(o->name, "Cc") == 0 || strcmp(o->name, "cp") == 0;
    }
    return residual_outputs(model) == 1 || o->name[0] == 'C' || o->name[0] == 'c';
}

const char *twin_output_unit(const ddt_model *model, size_t output) {
    const char *unit = "";
    if (is_concentration(model, output)) {
        unit = model->concentration_unit;
    } else if (is_compartment(model, model->outputs[output].name)) {
        unit = model->dose_unit;
    }
    return unit == NULL ? "" : unit;
}

const char *twin_time_unit(const ddt_model *model) {
    const char *unit = model->time_unit;
    if (unit == NULL || unit[0] == '\0' || strncmp(unit, "hour", 4) == 0 || strcmp(unit, "hr") == 0) {
        return "h";
    }
    return unit;
}

bool twin_output_is_measured(const ddt_model *model, size_t output) {
    if (model->output_count == 1) {
        return true;
    }
    return residual_outputs(model) == 1 && model->outputs[output].residual != DDT_RESIDUAL_NONE;
}

bool twin_has_measurements(const ddt_twin_outcome *outcome) {
    for (size_t s = 0; outcome->events != NULL && s < outcome->events->subject_count; s++) {
        const ddt_subject *subject = &outcome->events->subjects[s];
        for (size_t r = 0; r < subject->record_count; r++) {
            if (subject->records[r].has_dv) {
                return true;
            }
        }
    }
    return false;
}
