/*
 * Parts of the twin room that its files share.
 *
 * A recipe is what a plan file keeps of the modeller's request (model text, --param, --output, grids), so that
 * custodians need only the plan and their data to rebuild model and events exactly as the plan was made.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_TWIN_INTERNAL_H
#define DDT_TWIN_INTERNAL_H

#include "ddt/twin.h"

#include <complex.h>

enum {
    TWIN_MODEL_TEXT_MAX = 1 << 20, /* as ddt_model_read */
    TWIN_NAME_MAX = 4096,
    TWIN_OUTPUTS_MAX = 4096,
    TWIN_SETTINGS_MAX = 4096,
    TWIN_GRID_POINTS_MAX = 1 << 16,
    TWIN_TRIAL_SUBJECTS = 8 /* of the trial that a model is checked with */
};

#define TWIN_TARGET_ERROR_DEFAULT 1e-4
#define TWIN_TARGET_ERROR_BANDS                                                                                        \
    2e-5 /* of moments of size 1: deviations and skewnesses are made of their differences                              \
          */
#define TWIN_TARGET_ERROR_REGIMEN 1e-3 /* of recommendations, in units of the targets; a bound, seen is 1e-5 */
/* Of plans whose results are flooded, in the circuit's units: half of what a release allows for decoding numbers of
 * size 16 in double precision (docs/security.md). */
#define TWIN_BOUND_GRANTABLE 0x1p-44
/* Unit responses are released by the hundred, of which the whole is more precise than each: in steps of that part of
 * the typical patient's, for which a coarser bound will do. */
#define TWIN_STEP_GRANTABLE 0.02
#define TWIN_RESPONSE_MARGIN 1.5 /* bounds what is released, times the largest of a likely virtual patient */
/* Plans that take more memory are made only where no others fit. The same everywhere: a plan is a plan. */
#define TWIN_MEMORY_LIMIT (UINT64_C(16) << 30)
#define TWIN_FILE_SECRET "secret.ddt"
#define TWIN_FILE_PUBLIC "public.ddt"
#define TWIN_FILE_EVAL "eval.ddt"
#define TWIN_FILE_PLAN "plan.ddt"
#define TWIN_FILE_LEDGER "ledger.txt"

/* ------------------------------------------------------------------ recipes */

typedef struct twin_setting {
    char *name;
    double value;
} twin_setting;

typedef struct twin_recipe {
    char *model_name; /* the model file's name without its folder, for messages */
    char *model_text;
    size_t model_length;
    ddt_twin_purpose purpose;
    char *target, *product; /* never NULL; empty unless the purpose is to recommend */
    bool grantable;
    double prior_weight;  /* of a fit; known while its plan is made, not in files */
    bool carries_forward; /* the data's covariates, see ddt_events */
    char **outputs;
    size_t output_count;
    twin_setting *settings;
    size_t setting_count;
    double grid_h;
    size_t grid_points;
    /* Which observations of each subject the user asked for: the others belong to the report's grid. */
    size_t subject_count;
    size_t *observation_counts;
    bool **requested;
} twin_recipe;

/* Reads the model file and copies the options; what is wanted of the purpose is checked. On failure *out is zero. */
DDT_MUST_CHECK ddt_status twin_recipe_create(ddt_context *ctx, const ddt_twin_options *options, twin_recipe *out);
void twin_recipe_destroy(twin_recipe *recipe);
/* Parses the model, sets its parameters and selects its outputs. name: what messages call the file. */
DDT_MUST_CHECK ddt_status twin_recipe_model(ddt_context *ctx, const twin_recipe *recipe, const char *name,
                                            ddt_model **out);
/* Reads a data set (path NULL: a virtual trial) and adds the recipe's grids. */
DDT_MUST_CHECK ddt_status twin_recipe_events(ddt_context *ctx, const twin_recipe *recipe, const ddt_model *model,
                                             const char *path, ddt_events **out);
/* The same, and records which observations were requested (for a simulation: twin_recipe_request_all for others). */
DDT_MUST_CHECK ddt_status twin_recipe_template(ddt_context *ctx, twin_recipe *recipe, const ddt_model *model,
                                               const char *path, ddt_events **out);
/* Marks every row of the solution as requested: a fit and a recommendation have no grid. */
DDT_MUST_CHECK ddt_status twin_recipe_request_all(ddt_context *ctx, twin_recipe *recipe, const ddt_solution *solution);
/* Targets and product of a recommendation. */
DDT_MUST_CHECK ddt_status twin_recipe_recommendation(ddt_context *ctx, const twin_recipe *recipe,
                                                     const ddt_model *model, ddt_recommend_options *out);
/* The section "MODL". */
DDT_MUST_CHECK ddt_status twin_recipe_write(ddt_writer *writer, const twin_recipe *recipe);
/* The recipe must fit the layout: the same subjects with the same numbers of observations. On failure *out is zero. */
DDT_MUST_CHECK ddt_status twin_recipe_read(ddt_context *ctx, ddt_reader *reader, const ddt_solution *solution,
                                           twin_recipe *out);

/* The text of a virtual trial: the typical patient and draws of the model's population with one regimen, as an event
 * table. */
DDT_MUST_CHECK ddt_status twin_virtual_trial(ddt_context *ctx, const ddt_model *model, unsigned subjects, char **text,
                                             size_t *length);

/* ------------------------------------------------------------------ problems and plan files */

struct ddt_twin_problem {
    twin_recipe recipe;
    ddt_model *model;
    ddt_events *events;
    ddt_solution *solution;
    ddt_plan *plan;
    double circuit_scale; /* smallest over outputs of the largest circuit output: turns absolute noise into relative */
};

struct ddt_twin_plan {
    char *path;
    ddt_digest digest;
    twin_recipe recipe;
    ddt_plan *plan;
    ddt_solution *solution; /* NULL: a living twin's, which has */
    ddt_update *update;
};

/* ddt_twin_plan_read on a reader just opened. */
DDT_MUST_CHECK ddt_status twin_plan_read_sections(ddt_context *ctx, ddt_reader *reader, ddt_twin_plan **out);

/* DDT_ERR_MISMATCH for a plan of a living twin where another is wanted, or the other way round. */
DDT_MUST_CHECK ddt_status twin_plan_check_kind(ddt_context *ctx, const ddt_twin_plan *plan, bool wants_update);
/* compile --for update. */
DDT_MUST_CHECK ddt_status twin_update_compile(ddt_context *ctx, const ddt_twin_options *options, const char *plan_path);

/* The secret key where there is one, else the public key. */
typedef struct twin_encryptor {
    const ddt_ckks_params *params;
    ddt_secret_key *secret;
    ddt_public_key public;
    bool has_public;
} twin_encryptor;

/* The real parts of decoded slots; DDT_ERR_CORRUPT, naming the file, where the imaginary ones are no noise. */
DDT_MUST_CHECK ddt_status twin_real_parts(ddt_context *ctx, const ddt_twin_plan *plan, const double complex *decoded,
                                          const char *path, double *out);
/* The subject of that name, or (NULL) the only one. */
DDT_MUST_CHECK ddt_status twin_pick_subject(ddt_context *ctx, const ddt_events *events, const char *id, size_t *out);
/* Heading, note and clock of a living twin that must be this plan's; the caller owns *note. */
/* ddt_twin_complete_question with the model at hand (NULL: both texts are given). Both texts are NULL on failure. */
DDT_MUST_CHECK ddt_status twin_complete_question(ddt_context *ctx, const ddt_model *model, const char *target,
                                                 const char *product, char **target_out, char **product_out);

DDT_MUST_CHECK ddt_status twin_life_heading(ddt_context *ctx, const ddt_twin_plan *plan, ddt_reader *reader,
                                            uint8_t **note, size_t *note_length, ddt_wire_clock *clock);
/* The identifier in a note; NULL without a secret key or a note. The caller owns *id. */
DDT_MUST_CHECK ddt_status twin_life_identifier(ddt_context *ctx, const ddt_secret_key *secret, const ddt_digest *plan,
                                               const uint8_t *note, size_t note_length, const char *path, char **id);

/* Reads heading and note of a result that must be this plan's; the caller owns *note. plan_path: for messages. */
DDT_MUST_CHECK ddt_status twin_result_heading(ddt_context *ctx, const ddt_twin_plan *plan, const char *plan_path,
                                              ddt_reader *reader, uint8_t **note, size_t *note_length);

/* lanes x block doubles for each of `count` vectors; NULL when memory is short. Wiped when freed: they hold patients'
 * values. */
DDT_MUST_CHECK double **twin_vectors_create(size_t count, size_t lanes, size_t block);
void twin_vectors_destroy(double **vectors, size_t count, size_t lanes, size_t block);

/* Runs the problem's circuit in the clear on its own data. outputs: from twin_vectors_create. *left_out is created
 * here.
 */
DDT_MUST_CHECK ddt_status twin_run_clear(ddt_context *ctx, const ddt_twin_problem *problem, bool exact,
                                         double *const *outputs, ddt_left_out *left_out);

/* What the total error of a run must not exceed, relative to each output's maximum: 1e-3 for linear models, else 1e-2.
 */
double twin_error_bar(const ddt_twin_problem *problem);

/* The share of `patients` >= 1 virtual patients with a random effect, or a covariate whose range the model declares,
 * outside the solution's ranges. */
DDT_MUST_CHECK ddt_status twin_population_outside(ddt_context *ctx, const ddt_model *model,
                                                  const ddt_solution *solution, size_t patients, double *share);

/* directory/name, allocated; NULL when memory is short. */
DDT_MUST_CHECK char *twin_path_join(const char *directory, const char *name);
/* Whether a file of any kind stands there. */
bool twin_path_exists(const char *path);
/* ddt_fail for memory, in one place. */
DDT_MUST_CHECK ddt_status twin_no_memory(ddt_context *ctx);

/* ------------------------------------------------------------------ key directories */

/* Paths inside a key directory. */
typedef struct twin_key_paths {
    char *secret, *public, *eval, *plan, *ledger;
} twin_key_paths;

/* On failure *out is zero. */
DDT_MUST_CHECK ddt_status twin_key_paths_create(ddt_context *ctx, const char *directory, twin_key_paths *out);
void twin_key_paths_destroy(twin_key_paths *paths);
/* The paths, and the plan that the keys are for. On failure both are empty. */
DDT_MUST_CHECK ddt_status twin_key_directory_open(ddt_context *ctx, const char *directory, twin_key_paths *paths,
                                                  ddt_twin_plan **plan);
/* DDT_ERR_MISMATCH, naming both files, unless a key's plan is the plan. */
DDT_MUST_CHECK ddt_status twin_check_key_plan(ddt_context *ctx, const ddt_digest *key_plan, const char *key_path,
                                              const ddt_digest *plan, const char *plan_path);
/* A plaintext's limbs, wiped and freed. */
void twin_plaintext_wipe(const ddt_ckks_params *params, ddt_plaintext *plaintext);

/* The keys of a plan; the directory's plan must be that one. On failure there is nothing to close. */
DDT_MUST_CHECK ddt_status twin_encryptor_open(ddt_context *ctx, const ddt_twin_plan *plan, const twin_key_paths *paths,
                                              const char *passphrase, twin_encryptor *out);
void twin_encryptor_close(twin_encryptor *keys);
/* Vectors that travel in one ciphertext: values[k], lanes x block, of input inputs[k]. */
typedef struct twin_upload {
    size_t batch;
    const size_t *inputs;
    const double *const *values;
    size_t count;
} twin_upload;
/* Checks, encrypts and writes an upload. plaintext: scratch. */
DDT_MUST_CHECK ddt_status twin_encrypt_upload(ddt_context *ctx, const ddt_plan *plan, const twin_encryptor *keys,
                                              const twin_upload *upload, ddt_plaintext *plaintext, ddt_writer *writer);

/* ------------------------------------------------------------------ profiles */

/* An empty profile of the layout's shape: names, IDs, times, flags (recipe NULL: all requested); values zero. On
 * failure *out is zero. */
DDT_MUST_CHECK ddt_status twin_profile_create(ddt_context *ctx, const ddt_solution *solution, const twin_recipe *recipe,
                                              ddt_profile *out);
/* Makes these subjects' values none; takes *left_out over. */
void twin_profile_leave_out(ddt_profile *profile, ddt_left_out *left_out);
bool twin_is_left_out(const ddt_profile *profile, size_t subject);
/* Room for the counts that stand in *profile, then for one subject's rows: zero, but for the identifier. False when
 * memory is short; ddt_profile_destroy frees what there is. */
DDT_MUST_CHECK bool twin_profile_allocate(ddt_profile *profile);
DDT_MUST_CHECK bool twin_profile_allocate_subject(ddt_profile *profile, size_t s, const char *id, size_t count);
/* Memory that held patients' values: wiped, then freed. NULL is allowed. */
void twin_wipe_free(void *block, size_t bytes);

/* ------------------------------------------------------------------ recommendations */

/* Ranks by a profile of a plan or problem that recommends. On failure *out is zero. */
DDT_MUST_CHECK ddt_status twin_rank(ddt_context *ctx, const twin_recipe *recipe, const ddt_model *model,
                                    const ddt_solution *solution, const ddt_profile *profile, ddt_recommendation *out);

struct json_t;
/*
 * The columns of a candidate's row by their names, and their percentiles as "p05_p50_p95". steps: to what each column
 * is rounded, 0: not at all; NULL: none is.
 */
void twin_figures_json(struct json_t *object, const ddt_profile *profile, const double *row, const double *steps);
/* What percentiles stand for: {"points": 32, "of": "posterior" or "population", "percent": [5, 95]}, null without. */
struct json_t *twin_bands_json(const ddt_solution *solution);

/* ------------------------------------------------------------------ identifiers */

/*
 * Writes the section "NOTE" with the subjects' identifiers, sealed; empty without a secret key. left_out: NULL for
 * plans that leave nobody out; the note's length tells nothing of how many were.
 */
DDT_MUST_CHECK ddt_status twin_identifiers_write(ddt_context *ctx, const ddt_events *events,
                                                 const ddt_left_out *left_out, const ddt_secret_key *secret,
                                                 const ddt_digest *plan, ddt_writer *writer);
/* Puts the identifiers of a note into a profile, and leaves out whom it names; an empty note leaves the profile as it
 * is. path: the file that held the note. */
DDT_MUST_CHECK ddt_status twin_identifiers_apply(ddt_context *ctx, const ddt_secret_key *secret, const ddt_digest *plan,
                                                 const uint8_t *note, size_t note_length, const char *path,
                                                 ddt_profile *profile);

/* ------------------------------------------------------------------ text */

/* A growing text. After a failure (memory) every call is ignored; check once with twin_text_failed. Zero-initialise. */
typedef struct twin_text {
    char *data;
    size_t length, capacity;
    bool failed;
} twin_text;

void twin_text_add(twin_text *text, const char *format, ...) DDT_PRINTF(2, 3);
/* Adds bytes as they are. */
void twin_text_raw(twin_text *text, const char *data, size_t length);
/* Adds text from models and data with &, <, > and quotes as entities: valid in HTML and SVG, in attributes too. */
void twin_text_escaped(twin_text *text, const char *data);
/* A CSV field, quoted where it must be. */
void twin_text_csv(twin_text *text, const char *data);
/* A number in the fewest digits that read back as the same double. */
void twin_text_exact(twin_text *text, double value);
void twin_text_destroy(twin_text *text);
/* Writes it to a file and frees it. */
DDT_MUST_CHECK ddt_status twin_text_write(ddt_context *ctx, twin_text *text, const char *path);
/* virtual_table.c: the columns of virtual patients' tables, and one record under the values of symbols. */
void twin_table_header(twin_text *text, const ddt_model *model);
void twin_table_row(twin_text *text, const ddt_model *model, size_t id, const ddt_record *record,
                    const double *symbols);

/* ------------------------------------------------------------------ JSON */

struct json_t;
/* The object of summary.json; NULL when memory is short. The caller owns it. */
struct json_t *twin_summary_json(const ddt_twin_outcome *outcome);
/* The object of twin.json, likewise. */
struct json_t *twin_life_json(const ddt_twin_life *life);
/* As text; takes `root`, NULL counts as no memory. The caller owns *json (ddt_free). */
DDT_MUST_CHECK ddt_status twin_json_text(ddt_context *ctx, struct json_t *root, char **json);

/* ------------------------------------------------------------------ pages */

/* Two significant digits; powers of ten as people write them. */
void twin_page_scientific(twin_text *text, double value);
void twin_page_percent(twin_text *text, double fraction);
void twin_page_seconds(twin_text *text, double seconds);
void twin_page_bytes(twin_text *text, uint64_t bytes);
void twin_page_with_unit(twin_text *text, double value, const char *unit);
/* Everything up to the header with model, citation, date and plan; title and kicker: HTML. */
void twin_page_begin(twin_text *text, const ddt_model *model, const ddt_twin_run *run, const char *title,
                     const char *kicker);
void twin_page_end(twin_text *text);
/* Rows of a two-column table; of what is not known (0) there is none. */
void twin_page_row_text(twin_text *text, const char *name, const char *value);
void twin_page_row_count(twin_text *text, const char *name, uint64_t value);
void twin_page_row_bytes(twin_text *text, const char *name, uint64_t bytes);
void twin_page_row_seconds(twin_text *text, const char *name, double seconds);
/* Sections: the program and its parameters; times and sizes; who saw what. */
void twin_page_computation(twin_text *text, const ddt_twin_outcome *outcome);
void twin_page_costs(twin_text *text, const ddt_twin_run *run);
void twin_page_who_sees_what(twin_text *text);

/* ------------------------------------------------------------------ drawing */

/* The style sheet of curves, shared by report and figure: colours for light and dark. */
/* pareto.c: the costs of all candidates by their two most different targets; nothing where there is one target. */
/* course.c: what a recommendation has of a course instead of candidates. */
struct json_t *twin_course_json(const ddt_twin_outcome *outcome, const ddt_recommendation *r, size_t subject);
void twin_course_table(twin_text *text, const ddt_profile *profile, const ddt_recommendation *r);
void twin_course_section(twin_text *text, const ddt_twin_outcome *outcome, const ddt_recommendation *r, size_t subject);
void twin_pareto_plot(twin_text *text, const ddt_profile *profile, const ddt_recommendation *r, size_t subject);
const char *twin_svg_style(void);
/* The curves of one output: an <svg> element a subject. */
void twin_svg_panels(twin_text *text, const ddt_twin_outcome *outcome, size_t output);

/* The subject's records, or NULL when the outcome has no data. */
static inline const ddt_subject *twin_subject(const ddt_twin_outcome *outcome, size_t subject) {
    return outcome->events == NULL ? NULL : &outcome->events->subjects[subject];
}
/* Unit of an output or of time, or "". */
const char *twin_output_unit(const ddt_model *model, size_t output);
const char *twin_time_unit(const ddt_model *model);
/* Whether there is any DV at all. */
bool twin_has_measurements(const ddt_twin_outcome *outcome);
/* Whether the data's DV are measurements of this output. */
bool twin_output_is_measured(const ddt_model *model, size_t output);
#endif
