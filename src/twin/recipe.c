/* Recipes: what a plan file keeps of the modeller's request. SPDX-License-Identifier: Apache-2.0 */
#include "twin_internal.h"

#include <math.h>
#include <string.h>

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

void twin_recipe_destroy(twin_recipe *recipe) {
    ddt_free(recipe->model_name);
    ddt_free(recipe->model_text);
    ddt_free(recipe->target);
    ddt_free(recipe->product);
    for (size_t i = 0; recipe->outputs != NULL && i < recipe->output_count; i++) {
        ddt_free(recipe->outputs[i]);
    }
    ddt_free(recipe->outputs);
    for (size_t i = 0; recipe->settings != NULL && i < recipe->setting_count; i++) {
        ddt_free(recipe->settings[i].name);
    }
    ddt_free(recipe->settings);
    for (size_t i = 0; recipe->requested != NULL && i < recipe->subject_count; i++) {
        ddt_free(recipe->requested[i]);
    }
    ddt_free(recipe->requested);
    ddt_free(recipe->observation_counts);
    *recipe = (twin_recipe){0};
}

/* Arrays for the counts already in *recipe. */
static bool recipe_allocate_lists(twin_recipe *recipe) {
    recipe->outputs = ddt_calloc(recipe->output_count, sizeof *recipe->outputs);
    recipe->settings = ddt_calloc(recipe->setting_count, sizeof *recipe->settings);
    return recipe->outputs != NULL && recipe->settings != NULL;
}

/* Forgets what was there. */
static bool recipe_allocate_subjects(twin_recipe *recipe, size_t subject_count) {
    for (size_t s = 0; recipe->requested != NULL && s < recipe->subject_count; s++) {
        ddt_free(recipe->requested[s]);
    }
    ddt_free(recipe->requested);
    ddt_free(recipe->observation_counts);
    recipe->observation_counts = ddt_calloc(subject_count, sizeof *recipe->observation_counts);
    recipe->requested = ddt_calloc(subject_count, sizeof *recipe->requested);
    recipe->subject_count = subject_count;
    return recipe->observation_counts != NULL && recipe->requested != NULL;
}

static ddt_status recipe_copy_options(ddt_context *ctx, const ddt_twin_options *options, twin_recipe *recipe) {
    recipe->output_count = options->outputs == NULL ? 0 : options->output_count;
    recipe->setting_count = options->setting_count;
    recipe->grid_h = options->grid_h;
    recipe->grid_points = options->grid_points;
    recipe->purpose = options->purpose;
    recipe->grantable = options->grantable;
    recipe->prior_weight = options->prior_weight;
    recipe->carries_forward = options->carries_forward;
    recipe->target = ddt_strdup(options->target == NULL ? "" : options->target);
    recipe->product = ddt_strdup(options->product == NULL ? "" : options->product);
    recipe->model_name = ddt_strdup(base_name(options->model_path));
    if (recipe->model_name == NULL || recipe->target == NULL || recipe->product == NULL ||
        !recipe_allocate_lists(recipe)) {
        return twin_no_memory(ctx);
    }
    for (size_t i = 0; i < recipe->output_count; i++) {
        recipe->outputs[i] = ddt_strdup(options->outputs[i]);
        if (recipe->outputs[i] == NULL) {
            return twin_no_memory(ctx);
        }
    }
    for (size_t i = 0; i < recipe->setting_count; i++) {
        recipe->settings[i] = (twin_setting){ddt_strdup(options->settings[i].name), options->settings[i].value};
        if (recipe->settings[i].name == NULL) {
            return twin_no_memory(ctx);
        }
    }
    return ddt_read_text(ctx, options->model_path, TWIN_MODEL_TEXT_MAX, &recipe->model_text, &recipe->model_length);
}

ddt_status twin_recipe_create(ddt_context *ctx, const ddt_twin_options *options, twin_recipe *out) {
    *out = (twin_recipe){0};
    if (!(options->grid_h >= 0) || !isfinite(options->grid_h) || options->grid_points > TWIN_GRID_POINTS_MAX ||
        options->output_count > TWIN_OUTPUTS_MAX || options->setting_count > TWIN_SETTINGS_MAX) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "The grid, outputs or settings of a twin are out of bounds.");
    }
    if ((options->purpose != DDT_TWIN_SIMULATE && options->grid_points > 0) ||
        (options->purpose != DDT_TWIN_SIMULATE && options->purpose != DDT_TWIN_BANDS && options->grid_h > 0)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "Only a simulation has a grid.");
    }
    if ((options->purpose == DDT_TWIN_RECOMMEND) != (options->target != NULL) ||
        (options->grantable && options->purpose != DDT_TWIN_RECOMMEND)) {
        return ddt_fail(ctx, DDT_ERR_ARGUMENT, "A recommendation, and nothing else, needs a target.");
    }
    ddt_status status = recipe_copy_options(ctx, options, out);
    if (status != DDT_OK) {
        twin_recipe_destroy(out);
    }
    return status;
}

ddt_status twin_recipe_model(ddt_context *ctx, const twin_recipe *recipe, const char *name, ddt_model **out) {
    ddt_model *model = NULL;
    ddt_status status = ddt_model_parse(ctx, recipe->model_text, recipe->model_length, name, &model);
    for (size_t i = 0; status == DDT_OK && i < recipe->setting_count; i++) {
        status = ddt_model_set_param(ctx, model, recipe->settings[i].name, recipe->settings[i].value);
    }
    if (status == DDT_OK && recipe->output_count > 0) {
        status = ddt_model_select_outputs(ctx, model, (const char *const *)recipe->outputs, recipe->output_count);
    }
    if (status != DDT_OK) {
        ddt_model_destroy(model);
        return status;
    }
    *out = model;
    return DDT_OK;
}

/* ------------------------------------------------------------------ events */

static ddt_status events_without_grid(ddt_context *ctx, const ddt_model *model, const char *path, ddt_events **out) {
    if (path != NULL) {
        return ddt_events_read(ctx, path, model, out);
    }
    char *text = NULL;
    size_t length = 0;
    ddt_status status = twin_virtual_trial(ctx, model, TWIN_TRIAL_SUBJECTS, &text, &length);
    if (status == DDT_OK) {
        status = ddt_events_parse(ctx, text, length, "the virtual trial", model, out);
    }
    ddt_free(text);
    return status;
}

static ddt_status events_with_grid(ddt_context *ctx, const twin_recipe *recipe, const ddt_model *model,
                                   const char *path, ddt_events **out) {
    ddt_events *events = NULL;
    ddt_status status = events_without_grid(ctx, model, path, &events);
    if (status == DDT_OK) {
        events->carries_forward = recipe->carries_forward;
    }
    if (status == DDT_OK && recipe->grid_h > 0) {
        status = ddt_events_add_grid(ctx, events, recipe->grid_h);
    }
    if (status != DDT_OK) {
        ddt_events_destroy(events);
        return status;
    }
    *out = events;
    return DDT_OK;
}

ddt_status twin_recipe_events(ddt_context *ctx, const twin_recipe *recipe, const ddt_model *model, const char *path,
                              ddt_events **out) {
    ddt_events *events = NULL;
    ddt_status status = events_with_grid(ctx, recipe, model, path, &events);
    if (status == DDT_OK && recipe->grid_points > 0) {
        /* The report's own grid: the same number of points for every subject, however long its record is. */
        status = ddt_events_add_points(ctx, events, recipe->grid_points);
    }
    if (status != DDT_OK) {
        ddt_events_destroy(events);
        return status;
    }
    *out = events;
    return DDT_OK;
}

/* Observation times of a subject; *count of them. NULL when memory is short. */
static double *observation_times(const ddt_subject *subject, size_t *count) {
    double *times_h = ddt_alloc(subject->record_count, sizeof *times_h);
    *count = 0;
    for (size_t r = 0; times_h != NULL && r < subject->record_count; r++) {
        if (ddt_record_is_observation(&subject->records[r])) {
            times_h[(*count)++] = subject->records[r].time_h;
        }
    }
    return times_h;
}

/*
 * Points of the report's grid never fall on a time that has an observation already, and both lists are in time order:
 * an observation is requested exactly when the next requested time is its own.
 */
static ddt_status mark_subject(ddt_context *ctx, twin_recipe *recipe, size_t s, const ddt_subject *before,
                               const ddt_subject *after) {
    size_t wanted_count = 0;
    size_t all_count = 0;
    double *wanted = observation_times(before, &wanted_count);
    double *all = observation_times(after, &all_count);
    recipe->requested[s] = ddt_calloc(all_count, sizeof **recipe->requested);
    recipe->observation_counts[s] = all_count;
    ddt_status status = DDT_OK;
    if (wanted == NULL || all == NULL || recipe->requested[s] == NULL) {
        status = twin_no_memory(ctx);
    } else {
        size_t next = 0;
        for (size_t k = 0; k < all_count; k++) {
            recipe->requested[s][k] = next < wanted_count && all[k] == wanted[next];
            next += recipe->requested[s][k];
        }
        if (next != wanted_count) {
            status = ddt_fail(ctx, DDT_ERR_INTERNAL, "The report's grid lost observations of subject %s.", after->id);
        }
    }
    ddt_free(wanted);
    ddt_free(all);
    return status;
}

/* Without the report's own points a table of doses alone would give an empty profile. */
static bool asks_for_something(const ddt_events *events) {
    for (size_t s = 0; s < events->subject_count; s++) {
        for (size_t r = 0; r < events->subjects[s].record_count; r++) {
            if (ddt_record_is_observation(&events->subjects[s].records[r])) {
                return true;
            }
        }
    }
    return false;
}

ddt_status twin_recipe_template(ddt_context *ctx, twin_recipe *recipe, const ddt_model *model, const char *path,
                                ddt_events **out) {
    ddt_events *before = NULL;
    ddt_events *after = NULL;
    ddt_status status = events_with_grid(ctx, recipe, model, path, &before);
    if (status == DDT_OK) {
        status = twin_recipe_events(ctx, recipe, model, path, &after);
    }
    if (status == DDT_OK && before->subject_count != after->subject_count) {
        status = ddt_fail(ctx, DDT_ERR_IO, "%s changed while it was read.", path);
    }
    if (status == DDT_OK && !recipe_allocate_subjects(recipe, after->subject_count)) {
        status = twin_no_memory(ctx);
    }
    for (size_t s = 0; status == DDT_OK && s < after->subject_count; s++) {
        status = mark_subject(ctx, recipe, s, &before->subjects[s], &after->subjects[s]);
    }
    if (status == DDT_OK && recipe->purpose == DDT_TWIN_SIMULATE && !asks_for_something(before)) {
        status = ddt_fail(ctx, DDT_ERR_DATA,
                          "'%s' has no observation record (EVID 0 or 2): add the times to compute, or a --grid.", path);
    }
    ddt_events_destroy(before);
    if (status != DDT_OK) {
        ddt_events_destroy(after);
        return status;
    }
    *out = after;
    return DDT_OK;
}

ddt_status twin_recipe_request_all(ddt_context *ctx, twin_recipe *recipe, const ddt_solution *solution) {
    const size_t subjects = ddt_solution_subject_count(solution);
    if (!recipe_allocate_subjects(recipe, subjects)) {
        return twin_no_memory(ctx);
    }
    for (size_t s = 0; s < subjects; s++) {
        const size_t count = ddt_solution_observation_count(solution, s);
        recipe->requested[s] = ddt_calloc(count, sizeof **recipe->requested);
        if (recipe->requested[s] == NULL) {
            return twin_no_memory(ctx);
        }
        recipe->observation_counts[s] = count;
        memset(recipe->requested[s], true, count * sizeof **recipe->requested);
    }
    return DDT_OK;
}

ddt_status twin_recipe_recommendation(ddt_context *ctx, const twin_recipe *recipe, const ddt_model *model,
                                      ddt_recommend_options *out) {
    *out = (ddt_recommend_options){0};
    ddt_status status = ddt_recommend_parse_targets(ctx, recipe->target, model, &out->targets);
    if (status == DDT_OK) {
        status = ddt_recommend_parse_product(ctx, recipe->product, &out->product);
    }
    if (status == DDT_OK && out->product.day == 0) {
        out->product.day = ddt_recommend_day(model);
    }
    out->metrics_only = recipe->grantable;
    return status;
}

/* ------------------------------------------------------------------ the section MODL */

ddt_status twin_recipe_write(ddt_writer *writer, const twin_recipe *recipe) {
    ddt_writer_begin(writer, "MODL");
    ddt_writer_string(writer, recipe->model_name);
    ddt_writer_string(writer, recipe->model_text);
    ddt_writer_u8(writer, (uint8_t)recipe->purpose);
    ddt_writer_u8(writer, recipe->grantable);
    ddt_writer_u8(writer, recipe->carries_forward);
    ddt_writer_string(writer, recipe->target);
    ddt_writer_string(writer, recipe->product);
    ddt_writer_u32(writer, (uint32_t)recipe->output_count);
    for (size_t i = 0; i < recipe->output_count; i++) {
        ddt_writer_string(writer, recipe->outputs[i]);
    }
    ddt_writer_u32(writer, (uint32_t)recipe->setting_count);
    for (size_t i = 0; i < recipe->setting_count; i++) {
        ddt_writer_string(writer, recipe->settings[i].name);
        ddt_writer_f64(writer, recipe->settings[i].value);
    }
    ddt_writer_f64(writer, recipe->grid_h);
    ddt_writer_u64(writer, recipe->grid_points);
    ddt_writer_u32(writer, (uint32_t)recipe->subject_count);
    for (size_t s = 0; s < recipe->subject_count; s++) {
        ddt_writer_u32(writer, (uint32_t)recipe->observation_counts[s]);
        for (size_t k = 0; k < recipe->observation_counts[s]; k++) {
            ddt_writer_u8(writer, recipe->requested[s][k]);
        }
    }
    return ddt_writer_end(writer);
}

static ddt_status read_lists(ddt_context *ctx, ddt_reader *reader, twin_recipe *recipe) {
    enum { STRING_BYTES_MIN = 4 };
    ddt_status status = ddt_reader_count(reader, STRING_BYTES_MIN, TWIN_OUTPUTS_MAX, &recipe->output_count);
    recipe->outputs = status == DDT_OK ? ddt_calloc(recipe->output_count, sizeof *recipe->outputs) : NULL;
    if (status == DDT_OK && recipe->outputs == NULL) {
        status = twin_no_memory(ctx);
    }
    for (size_t i = 0; status == DDT_OK && i < recipe->output_count; i++) {
        status = ddt_reader_string(reader, TWIN_NAME_MAX, &recipe->outputs[i]);
    }
    if (status == DDT_OK) {
        status = ddt_reader_count(reader, STRING_BYTES_MIN + sizeof(double), TWIN_SETTINGS_MAX, &recipe->setting_count);
    }
    recipe->settings = status == DDT_OK ? ddt_calloc(recipe->setting_count, sizeof *recipe->settings) : NULL;
    if (status == DDT_OK && recipe->settings == NULL) {
        status = twin_no_memory(ctx);
    }
    for (size_t i = 0; status == DDT_OK && i < recipe->setting_count; i++) {
        status = ddt_reader_string(reader, TWIN_NAME_MAX, &recipe->settings[i].name);
        if (status == DDT_OK) {
            status = ddt_reader_f64(reader, &recipe->settings[i].value);
        }
    }
    return status;
}

static ddt_status read_grid(ddt_context *ctx, ddt_reader *reader, twin_recipe *recipe) {
    uint64_t points = 0;
    ddt_status status = ddt_reader_f64(reader, &recipe->grid_h);
    if (status == DDT_OK) {
        status = ddt_reader_u64(reader, &points);
    }
    if (status == DDT_OK && (recipe->grid_h < 0 || points > TWIN_GRID_POINTS_MAX)) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "%s asks for a grid that is out of bounds.", ddt_reader_path(reader));
    }
    recipe->grid_points = (size_t)points;
    return status;
}

static ddt_status read_flag(ddt_context *ctx, ddt_reader *reader, bool *out) {
    uint8_t flag = 0;
    ddt_status status = ddt_reader_u8(reader, &flag);
    if (status == DDT_OK && flag > 1) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "%s holds a flag that is neither 0 nor 1.", ddt_reader_path(reader));
    }
    *out = flag == 1;
    return status;
}

static ddt_status read_flags(ddt_context *ctx, ddt_reader *reader, size_t subject, const ddt_solution *solution,
                             twin_recipe *recipe) {
    size_t count = 0;
    ddt_status status = ddt_reader_count(reader, 1, UINT32_MAX, &count);
    if (status != DDT_OK) {
        return status;
    }
    if (count != ddt_solution_observation_count(solution, subject)) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "%s says different things about the observations of subject %zu.",
                        ddt_reader_path(reader), subject + 1);
    }
    bool *flags = ddt_calloc(count, sizeof *flags);
    if (flags == NULL) {
        return twin_no_memory(ctx);
    }
    recipe->requested[subject] = flags;
    recipe->observation_counts[subject] = count;
    for (size_t k = 0; k < count; k++) {
        status = read_flag(ctx, reader, &flags[k]);
        if (status != DDT_OK) {
            return status;
        }
    }
    return DDT_OK;
}

static ddt_status read_subjects(ddt_context *ctx, ddt_reader *reader, const ddt_solution *solution,
                                twin_recipe *recipe) {
    size_t count = 0;
    ddt_status status = ddt_reader_count(reader, sizeof(uint32_t), UINT32_MAX, &count);
    if (status != DDT_OK) {
        return status;
    }
    if (count != (solution == NULL ? 0 : ddt_solution_subject_count(solution))) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "%s says different things about its number of subjects.",
                        ddt_reader_path(reader));
    }
    if (!recipe_allocate_subjects(recipe, count)) {
        return twin_no_memory(ctx);
    }
    for (size_t s = 0; status == DDT_OK && s < count; s++) {
        status = read_flags(ctx, reader, s, solution, recipe);
    }
    return status;
}

static ddt_status read_purpose(ddt_context *ctx, ddt_reader *reader, twin_recipe *recipe) {
    uint8_t purpose = 0;
    ddt_status status = ddt_reader_u8(reader, &purpose);
    if (status == DDT_OK && purpose > DDT_TWIN_BANDS) {
        return ddt_fail(ctx, DDT_ERR_FORMAT, "%s was made for a purpose that this program does not know.",
                        ddt_reader_path(reader));
    }
    recipe->purpose = (ddt_twin_purpose)purpose;
    if (status == DDT_OK) {
        status = read_flag(ctx, reader, &recipe->grantable);
    }
    if (status == DDT_OK) {
        status = read_flag(ctx, reader, &recipe->carries_forward);
    }
    if (status == DDT_OK) {
        status = ddt_reader_string(reader, TWIN_NAME_MAX, &recipe->target);
    }
    return status == DDT_OK ? ddt_reader_string(reader, TWIN_NAME_MAX, &recipe->product) : status;
}

static ddt_status recipe_read_fields(ddt_context *ctx, ddt_reader *reader, const ddt_solution *solution,
                                     twin_recipe *recipe) {
    ddt_status status = ddt_reader_begin(reader, "MODL", SIZE_MAX);
    if (status == DDT_OK) {
        status = ddt_reader_string(reader, TWIN_NAME_MAX, &recipe->model_name);
    }
    if (status == DDT_OK) {
        status = ddt_reader_string(reader, TWIN_MODEL_TEXT_MAX, &recipe->model_text);
    }
    if (status == DDT_OK) {
        recipe->model_length = strlen(recipe->model_text);
        status = read_purpose(ctx, reader, recipe);
    }
    if (status == DDT_OK) {
        status = read_lists(ctx, reader, recipe);
    }
    if (status == DDT_OK) {
        status = read_grid(ctx, reader, recipe);
    }
    if (status == DDT_OK) {
        status = read_subjects(ctx, reader, solution, recipe);
    }
    return status == DDT_OK ? ddt_reader_end(reader) : status;
}

ddt_status twin_recipe_read(ddt_context *ctx, ddt_reader *reader, const ddt_solution *solution, twin_recipe *out) {
    *out = (twin_recipe){0};
    ddt_status status = recipe_read_fields(ctx, reader, solution, out);
    if (status != DDT_OK) {
        twin_recipe_destroy(out);
    }
    return status;
}
