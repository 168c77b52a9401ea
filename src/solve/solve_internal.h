/*
 * Inside of the room: what the steps of ddt_solve share. SPDX-License-Identifier: Apache-2.0
 *
 *   symbols.c   which symbols are encrypted, their ranges; the model's expressions with public numbers put in
 *   threshold.c comparisons of covariates as symbols of their own
 *   interval.c  facts about expressions: what they depend on, which values they can take
 *   linear.c    dx/dt = A x + c, x(0), outputs: symbolic, with a refusal for everything else
 *   sample.c    the virtual population and the linear system's numbers for each of its patients
 *   roles.c     covariates that change with time: one symbol for each role that a record's value can have
 *   layout.c    sources x observations in slots; layout_lanes.c lanes and amounts
 *   given.c     what a source gives and when: start, duration, times of its slots
 *   expm.c      which approximation of the exponential, verified in numbers
 *   resolvent*.c large systems by elimination instead (resolvent.h)
 *   expand.c    expressions -> sums of products of functions of one symbol
 *   encode.c    how each symbol is encrypted (affine maps of the value or of its logarithm)
 *   lower.c     sums of products -> nodes of the circuit
 *   superpose.c the circuit; segments.c the product of exponentials of successive segments
 *   calibrate.c the virtual population through the circuit; errors
 *   history.c   doses before a recommendation: slots, plan file; posterior.c likewise, points behind estimates
 *   bands*.c    bands of virtual patients: a solution in copies, moments over them
 *   solution.c  the public interface; fill.c data -> inputs; layout_file.c the layout in a plan file
 */
#ifndef DDT_SOLVE_INTERNAL_H
#define DDT_SOLVE_INTERNAL_H

#include "ddt/solve.h"
#include "history.h"
#include "posterior.h"

#include <math.h>
#include <stdio.h>

#define SOLVE_TRY(expression)                                                                                          \
    do {                                                                                                               \
        ddt_status try_status_ = (expression);                                                                         \
        if (try_status_ != DDT_OK) {                                                                                   \
            return try_status_;                                                                                        \
        }                                                                                                              \
    } while (0)

#define SOLVE_NONE UINT32_MAX       /* no symbol, no input, no record */
#define SOLVE_PACKED_NAME "patient" /* of the one input that carries all others */
#define SOLVE_MANY (UINT32_MAX - 1)

enum {
    SOLVE_PACKED_MAX = 32,    /* inputs in one ciphertext */
    SOLVE_PACKED_FIT = 64,    /* solve_layout.packed of a fit: fit_pack.c */
    SOLVE_FIT_VECTORS = 2,    /* features and all others */
    SOLVE_LEVELS_MAX = 16,    /* values of a discrete covariate */
    SOLVE_EXPONENTS_MAX = 24, /* symbols in one exponential */
    SOLVE_FACTORS_MAX = 12,
    SOLVE_TERMS_MAX = 64,   /* of one expanded expression */
    SOLVE_INTEGER_MAX = 64, /* integers that multiply without a level (circuit) */
    SOLVE_BLOCK_DEFAULT = 16384,
    SOLVE_DRAWS_DEFAULT = 200,
    SOLVE_SQUARINGS_MAX = 24,
    SOLVE_THRESHOLDS_MAX = 32 /* comparisons of covariates */
};

/* ------------------------------------------------------------------ arena */

/* Memory of one ddt_solve, freed at once. */
typedef struct solve_arena_block solve_arena_block;
typedef struct solve_arena {
    solve_arena_block *blocks;
} solve_arena;
/* Zeroed; NULL when memory is short. */
void *solve_arena_alloc(solve_arena *arena, size_t count, size_t size);
void solve_arena_clear(solve_arena *arena);

/* ------------------------------------------------------------------ what a plan file keeps */

typedef struct solve_range {
    char *name; /* the column */
    double low, high;
    size_t level_count; /* a discrete covariate takes these values only; 0: any within the range */
    double levels[SOLVE_LEVELS_MAX];
} solve_range;

typedef enum solve_input_kind {
    SOLVE_INPUT_LINEAR,
    SOLVE_INPUT_LOG,
    SOLVE_INPUT_AMOUNT,
    SOLVE_INPUT_DECAY_TIME,    /* t2 of each slot, where it depends on encrypted values */
    SOLVE_INPUT_INFUSION_TIME, /* time under the infusion, likewise */
    SOLVE_INPUT_FIT,           /* made of levels, fit_fill.c */
    SOLVE_INPUT_LAST_DOSE,     /* AMT of the last dose before each column, podo() */
    SOLVE_INPUT_HISTORY,       /* of the doses before a recommendation, history.h; the last input */
    SOLVE_INPUT_THRESHOLD      /* 1 where a covariate has reached the threshold, else 0; then as LINEAR */
} solve_input_kind;

/* Whose value an input takes in a slot, where a covariate changes with time. */
typedef enum solve_role {
    SOLVE_ROLE_SUBJECT,    /* the same everywhere */
    SOLVE_ROLE_SEGMENT,    /* in force while the slot's segment lasts */
    SOLVE_ROLE_PIECE,      /* in force during the part of an infusion that the row stands for */
    SOLVE_ROLE_DOSE,       /* of the record that the row's F, lag, rate and duration go by */
    SOLVE_ROLE_OBSERVATION /* of the column's record */
} solve_role;

/* How doses are given: what the amount's input holds. */
typedef enum solve_giving {
    SOLVE_GIVING_BOLUS,             /* AMT */
    SOLVE_GIVING_RATE,              /* RATE > 0: AMT / duration */
    SOLVE_GIVING_MODELLED_RATE,     /* RATE -1: likewise, duration F AMT / rate() */
    SOLVE_GIVING_MODELLED_DURATION, /* RATE -2: likewise, duration dur() */
    SOLVE_GIVING_CONSTANT,          /* RATE > 0, AMT 0, SS: RATE */
    SOLVE_GIVING_CONSTANT_MODELLED  /* RATE -1, AMT 0, SS: rate() */
} solve_giving;

/*
 * One input of the circuit: y = (value - mid) / half or (log(value) - mid) / half in every slot, amounts (or rates) /
 * half, or times / half.
 */
typedef struct solve_input {
    char *name;
    solve_input_kind kind;
    uint32_t range; /* times: none, 0 */
    double mid, half, bound;
    double threshold; /* SOLVE_INPUT_THRESHOLD */
    solve_role role;
    solve_giving giving;  /* amounts only */
    uint32_t compartment; /* likewise, and of last doses: whose, UINT32_MAX for those into any */
    bool omits_f;         /* likewise: the value contains F; else the circuit multiplies by it */
    bool is_public;       /* likewise: all are the plan's own, a public vector of the circuit; nothing is sent */
} solve_input;

/* Structure of a record: what template and data must share. */
typedef struct solve_record {
    double time_h, interval_h;
    double duration_h;   /* AMT / RATE where RATE > 0 */
    double fixed_amount; /* RATE -1 in a model that is not linear: the amount is public; else -1 */
    int32_t evid, rate_kind, steady_state;
    uint32_t compartment, additional;
} solve_record;

typedef struct solve_place {
    uint32_t lane, column;
    double time_h;
} solve_place;

/* Values of covariates that rates depend on hold until `end_h`: those of `record`. */
typedef struct solve_segment {
    double end_h;
    uint32_t record;
} solve_segment;

typedef struct solve_layout_subject {
    char *id;
    solve_segment *segments; /* of all epochs, one behind the other; none where such covariates do not change */
    size_t segment_count;
    solve_record *records;
    size_t record_count;
    solve_place *observations;
    size_t observation_count;
} solve_layout_subject;

/* What feeds row d of a lane's block. */
typedef struct solve_lane_source {
    uint32_t record; /* its AMT, or SOLVE_NONE: nothing encrypted (start of an epoch) */
    uint32_t input;  /* the amount input, SOLVE_NONE likewise */
    double weight;   /* input value = amount * weight where active, else 0; where durations are public, not in files */
    uint32_t covariate_record; /* F, lag, rate and duration (or initial values) go by it */
    uint32_t piece;            /* the segment of its epoch that this part of the infusion lies in, SOLVE_NONE: all */
    uint32_t past;             /* what was before this segment happened with its covariates (a steady state) */
    double time_h;             /* when it acts without lag */
    double duration_h;         /* of a constant infusion, which ends at its record; else 0 */
} solve_lane_source;

typedef struct solve_lane_column {
    double time_h;
    uint32_t record;
    uint32_t segment, segment_count; /* of its epoch, in the subject's list; count 0: one segment without end */
} solve_lane_column;

typedef struct solve_lane {
    uint32_t subject;
    size_t source_count, column_count;
    solve_lane_source *sources;
    solve_lane_column *columns;
    uint8_t *active; /* source_count x column_count: 1 where the source, without lag, precedes the observation */
} solve_lane;

typedef struct solve_output {
    char *name;
    double scale; /* value = output * scale */
} solve_output;

typedef struct solve_layout {
    size_t columns, rows; /* slot = (segment * rows + row) * columns + column */
    size_t segments;      /* a power of two, 1 where covariates that rates depend on do not change */
    bool carries_forward; /* ddt_events.carries_forward */
    /* 0, or a power of two: one ciphertext, whose slot s holds input s modulo it; a history is one of its own */
    size_t packed;
    solve_history *history;     /* NULL: none */
    solve_posterior *posterior; /* NULL: etas are the same in all slots */
    size_t lane_slots;          /* of a lane, where these are more than its segments take (copies of a fit); else 0 */
    solve_range *ranges;
    size_t range_count;
    solve_input *inputs;
    size_t input_count;
    solve_layout_subject *subjects;
    size_t subject_count;
    solve_lane *lanes;
    size_t lane_count;
    solve_output *outputs;
    size_t output_count;
} solve_layout;

void solve_layout_clear(solve_layout *layout);

/* ------------------------------------------------------------------ functions that the circuit approximates */

struct solve_work;

typedef enum solve_function_kind {
    SOLVE_FUNCTION_EXP,        /* exp(a x + b) */
    SOLVE_FUNCTION_EXPRESSION, /* scale * program(decode(x)) */
    SOLVE_FUNCTION_LEVELS,     /* scale * polynomial through (levels, values) at decode(x) */
    SOLVE_FUNCTION_OUTER,      /* scale * op(a x + b), op^power or exp(power ...) */
    SOLVE_FUNCTION_CALL        /* scale * call(a x + b, data) */
} solve_function_kind;

typedef struct solve_function {
    solve_function_kind kind;
    double a, b, scale, power;
    ddt_expr_op op;
    bool is_log;     /* decode: exp(b + a x) instead of b + a x */
    bool is_floored; /* decode: 0 where that is negative */
    ddt_expr_program *program;
    size_t level_count;
    double levels[SOLVE_LEVELS_MAX], values[SOLVE_LEVELS_MAX];
    double (*call)(double x, const void *data);
    void *data; /* ddt_free */
    struct solve_function *next;
} solve_function;

double solve_function_eval(double x, const void *function);
/* A new function of the solution; NULL after recording DDT_ERR_MEMORY. */
solve_function *solve_function_create(struct solve_work *work, solve_function_kind kind);
void solve_functions_destroy(solve_function *first);

struct ddt_solution {
    ddt_circuit *circuit;      /* NULL when read from a file */
    solve_function *functions; /* the circuit points to them */
    solve_layout layout;
    ddt_solve_info info;
    struct solve_fit *fit;       /* NULL unless it is a fit */
    struct solve_curves *curves; /* candidates of a recommendation, each simulated (recommend_curves.h); else NULL */
    struct solve_units *units;   /* of a recommendation that is not simulated (recommend_units.h); else NULL */
    struct solve_bands *bands;   /* of virtual patients instead of the outputs themselves (bands.h); NULL without */
};

/* recommend_curves.c, recommend_curves_file.c */
struct solve_curves;
void recommend_curves_destroy(struct solve_curves *curves);
ddt_status recommend_curves_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                                 const ddt_events *events, double *const *inputs);
void recommend_curves_collect(const ddt_solution *solution, const double *const *outputs, double *const *values);
void recommend_curves_places(const ddt_solution *solution, size_t subject, double *const *scales);
size_t recommend_curves_subjects(const struct solve_curves *curves);
const char *recommend_curves_id(const struct solve_curves *curves, size_t subject);
size_t recommend_curves_candidates(const struct solve_curves *curves);
size_t recommend_curves_output_count(const struct solve_curves *curves);
/* For none, too: 1, false. */
size_t recommend_curves_points(const struct solve_curves *curves);
bool recommend_curves_posterior(const struct solve_curves *curves);
const char *recommend_curves_output(const struct solve_curves *curves, size_t output);
ddt_status recommend_curves_write(ddt_writer *writer, const struct solve_curves *curves);
/* solution->curves is there afterwards, destroyed with it. */
ddt_status recommend_curves_read(ddt_context *ctx, ddt_reader *reader, ddt_solution *solution);

/* recommend_units.c, recommend_units_file.c */
void recommend_units_destroy(struct solve_units *units);
void recommend_units_collect(const ddt_solution *solution, const double *const *outputs, double *const *values);
void recommend_units_places(const ddt_solution *solution, size_t subject, double *const *scales);
size_t recommend_units_output_count(const struct solve_units *units);
const char *recommend_units_output(const struct solve_units *units, size_t output);
ddt_status recommend_units_write(ddt_writer *writer, const struct solve_units *units);
/* solution->units is there afterwards, destroyed with it. */
ddt_status recommend_units_read(ddt_context *ctx, ddt_reader *reader, ddt_solution *solution);

/* bands_fill.c */
typedef struct solve_bands solve_bands;
void solve_bands_destroy(solve_bands *bands);
const char *solve_bands_name(const solve_bands *bands, size_t output);
ddt_status solve_bands_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                            const ddt_events *events, double *const *inputs);
void solve_bands_collect(const ddt_solution *solution, const double *const *outputs, double *const *values);
ddt_status solve_bands_write(ddt_writer *writer, const ddt_solution *solution);
/* solution->bands is there afterwards, destroyed with it. */
ddt_status solve_bands_read(ddt_context *ctx, ddt_reader *reader, ddt_solution *solution);

/* ------------------------------------------------------------------ symbols */

typedef struct solve_symbol {
    bool is_encrypted;
    bool is_state;
    bool is_time;     /* public, another value in every column: only Newton's method (docs/newton.md) allows it */
    bool is_dose;     /* AMT of the last dose: encrypted, another value in every column: likewise */
    bool is_compared; /* by == or as a condition in the model */
    bool changes;     /* the template's values change within a subject */
    solve_role role;
    uint32_t origin;   /* the model's symbol: its own index but for those of roles.c and threshold.c */
    uint32_t base;     /* the symbol that this one stands for in another role, its own index where it is in none */
    bool is_threshold; /* 1 where the symbol `compared`, of the same role, is at least `threshold`, else 0 */
    uint32_t compared;
    double threshold;
    bool is_known; /* its node will be public: the points of an expectation */
    double low, high;
    double sd;    /* ETA */
    double shown; /* ETA: the largest of the template, by magnitude */
    size_t level_count;
    double levels[SOLVE_LEVELS_MAX];
} solve_symbol;

/* Facts about an expression. */
typedef struct solve_fact {
    uint32_t symbol; /* the encrypted symbol or state it depends on, SOLVE_NONE or SOLVE_MANY */
    bool has_state;
    bool has_time;         /* another value in every column: the time, or what the last dose was */
    bool decides_on_state; /* a comparison, a condition, floor... of something that depends on a state */
    double low, high;
} solve_fact;

/* ------------------------------------------------------------------ the linear system */

#define SOLVE_UNIT SIZE_MAX /* the state that is 1 from the start of an epoch: carries constant inputs */

typedef struct solve_linear_output {
    ddt_expr *gain;  /* per state; constant 0 where none */
    ddt_expr offset; /* at x = 0 */
    ddt_expr value;  /* the whole expression */
    bool is_linear;
} solve_linear_output;

/* The states that some dose or initial value reaches and some output needs. */
typedef struct solve_linear {
    size_t n;
    size_t *compartment; /* of a state, SOLVE_UNIT for the last one where there are constant inputs */
    size_t *state;       /* of a compartment, SIZE_MAX where irrelevant */
    ddt_expr *a;         /* n x n */
    ddt_expr *a_piece;   /* n x n: the same under an infusion (roles.c) */
    bool *is_nonzero;    /* n x n: structure of A */
    ddt_expr *initial;   /* x(0); the unit state: 1 */
    bool has_unit;
    bool has_initial;
    ddt_expr *bioavailability;                   /* per compartment, constant 1 where none */
    ddt_expr *lag, *duration, *rate;             /* per compartment, constant 0 where none */
    double *lag_h;                               /* per compartment, NAN where it is encrypted */
    double *modelled_duration_h, *modelled_rate; /* likewise, 0 where none */
    solve_linear_output *outputs;
} solve_linear;

/* ------------------------------------------------------------------ numbers */

/* The linear system of one patient. Compartments without F, lag... have 1, 0... */
typedef struct solve_numbers {
    double *a;                         /* n x n */
    double *initial;                   /* n */
    double *f;                         /* per compartment */
    double *gain;                      /* output_count x n */
    double *offset;                    /* output_count */
    double *a_piece;                   /* n x n */
    double *lag_h, *rate, *duration_h; /* per compartment */
    double *a_odd;    /* n x n, and the numbers behind it: of every other segment, where covariates are mirrored */
    double *mirrored; /* their symbols */
    const double *symbols;
    /* Those of each record that a slot goes by, where covariates change freely (fits); NULL: mirrored, or constant. */
    const struct solve_numbers *of_record;
} solve_numbers;

/* ------------------------------------------------------------------ layout with times (compile time only) */

/* Where some depend on encrypted values (is_private) inputs take the place of t2 and during. */
typedef struct solve_times {
    bool is_private;
    double *t2;     /* lanes x block: time of free decay */
    double *during; /* lanes x block: time under the infusion */
    double *start;  /* lanes x block: 1 where the row is the start of an epoch with initial values */
    double *unit;   /* lanes x block: 1 where the row is the start of an epoch: the unit state */
    double t2_max, during_max;
    ddt_node t2_node, during_node;
    /* Of a fit with lags or durations of etas (fit_lag.c): 1 where a dose has ended (or, a bolus, begun), and where one
     * is running; t2 is the time since it was given and during its duration, where these are public. */
    ddt_node begun_node, running_node;
} solve_times;

/* Amount inputs: one for each dosed compartment and way of dosing. */
typedef struct solve_dosing {
    size_t compartment;
    solve_giving giving;
    bool is_infusion, omits_f;
    uint32_t input; /* in layout.inputs: the dosing's own index */
    double amount_high;
    double scale; /* amount (or rate) = value * scale */
    ddt_node node;
} solve_dosing;

/* ------------------------------------------------------------------ expanded expressions */

typedef struct solve_terms solve_terms;

typedef struct solve_exponent {
    uint32_t symbol;
    bool is_log; /* the symbol's logarithm */
    double coefficient;
} solve_exponent;

/* A function of one symbol (inner == NULL), or of a sum of terms. */
typedef struct solve_factor {
    uint32_t symbol;
    ddt_expr expression; /* one symbol: the function; otherwise the argument */
    ddt_expr_op
        op;      /* outer function of the argument: POW (argument^power), EXP (exp(power argument)) or op(argument) */
    bool is_log; /* one symbol: read from the encryption of its logarithm */
    double power;
    solve_terms *inner;
    struct solve_share *share; /* instead of inner: lower_sigmoid.c; NULL: none */
} solve_factor;

typedef struct solve_term {
    double coefficient;
    size_t exponent_count, factor_count;
    solve_exponent exponents[SOLVE_EXPONENTS_MAX];
    solve_factor factors[SOLVE_FACTORS_MAX];
    uint32_t group; /* the exponential's arrangement, see encode.c; SOLVE_NONE without exponents */
    struct solve_term *next;
} solve_term;

struct solve_terms {
    solve_term *first;
    size_t count;
};

/* A way of encrypting a symbol. */
typedef struct solve_encoding {
    uint32_t symbol;
    bool is_log;
    double mid, half;
    double bound; /* largest |y| */
    ddt_node node;
} solve_encoding;

typedef struct solve_group_part {
    uint32_t encoding;
    int multiplier;
} solve_group_part;

/* exp(sum of exponents) = exp(centre) * exp(reach * x), |x| <= 1: x is an integer combination of encrypted values. */
typedef struct solve_group {
    size_t count;
    solve_exponent exponents[SOLVE_EXPONENTS_MAX];
    solve_group_part parts[SOLVE_EXPONENTS_MAX];
    double centre, reach; /* the exponent lies within centre +- reach */
    double domain;        /* argument = domain * (integer combination) / stretch */
    int stretch;          /* free integer factor that uses the interval better */
    ddt_node node;        /* of exp(... - centre - reach): at most 1 */
    ddt_node known;       /* the exponential of the public parts, DDT_NODE_NONE without */
    double depth;
    bool has_state;     /* states take part: another node for each iterate */
    unsigned stamp;     /* of the iterate that node belongs to */
    double coefficient; /* exponential = coefficient * node */
} solve_group;

/* ------------------------------------------------------------------ lowered expressions */

typedef struct solve_value {
    ddt_node node;
    double depth;
} solve_value;

/* coefficient * product of nodes of magnitude about 1; count 0: the constant. */
typedef struct solve_product {
    double coefficient;
    size_t count;
    solve_value values[SOLVE_FACTORS_MAX + 4]; /* an exponential and its public part, the factors, the caller's own */
} solve_product;

typedef struct solve_sum {
    size_t count;
    solve_product *products;
} solve_sum;

/* ------------------------------------------------------------------ exponential */

enum { SOLVE_SCHEME_STEPS_MAX = 12, SOLVE_SCHEME_MIX_MAX = 3 };

/*
 * exp(z) ~ P_steps: P_0 = first z + shift, P_i = P_(i-1)^2 + linear[i-1] z + constant[i-1] + sum_k mix[i-1][k] P_(k+1),
 * k + 1 < i - 1. Then `squarings` plain squarings: exp(2^squarings z).
 */
typedef struct solve_scheme {
    unsigned steps;
    double reach; /* made for real z from -reach to 0 */
    double first, shift;
    double linear[SOLVE_SCHEME_STEPS_MAX], constant[SOLVE_SCHEME_STEPS_MAX];
    double mix[SOLVE_SCHEME_STEPS_MAX][SOLVE_SCHEME_MIX_MAX];
} solve_scheme;

typedef struct solve_exponential {
    const solve_scheme *scheme;
    unsigned squarings;
    double error; /* measured over the virtual population */
} solve_exponential;

/* ------------------------------------------------------------------ one ddt_solve */

typedef struct solve_work {
    ddt_context *ctx;
    const ddt_model *model;
    ddt_model *own_model; /* the same, a copy with further symbols */
    const ddt_events *events;
    ddt_solve_options options;
    solve_arena arena;
    ddt_solution *solution;

    ddt_expr_pool *pool;
    solve_symbol *symbols; /* model->symbol_count */
    size_t symbol_count;
    bool has_ranges;      /* of all symbols: comparisons can be told apart */
    bool is_complete;     /* there will be no further symbols */
    bool covers_template; /* Newton's method: etas reach as far as the template's in any case */
    bool wants_narrower;  /* it failed, but nearly: narrower ranges may do */
    uint32_t time_symbol; /* stands for all that are public times in solve_fact.symbol, SOLVE_NONE without any */
    solve_fact *facts;
    size_t fact_count, fact_capacity;

    ddt_schedule *schedules; /* per subject */
    bool *is_dosed;          /* per compartment */
    solve_linear linear;
    ddt_expr_program *program; /* all numbers of the linear system */
    size_t program_outputs;
    ddt_expr_program *output_program; /* outputs as functions of symbols and states */

    double *samples; /* sample_count x symbol_count */
    size_t sample_count;
    size_t draw_count; /* the first ones are draws, the rest corners of the ranges */

    solve_times times;
    solve_dosing *dosings;
    size_t dosing_count;
    double **public_amounts;        /* vectors of the inputs that are public; NULL without */
    double *state_scale;            /* n */
    double *output_scale;           /* typical maximum of each output */
    double *state_low, *state_high; /* n: over the virtual population, for outputs that are not linear */
    double rate_max;                /* largest rate (per time unit) of the virtual population */
    solve_exponential decay, infusion;
    double exponential_tolerance;      /* of an entry of the exponential, in this attempt */
    unsigned exponential_checks;       /* how often the times of its check were doubled */
    struct solve_resolvent *resolvent; /* instead of the exponential: resolvent.h; NULL: not */

    solve_terms *a_terms;     /* n x n */
    solve_terms *piece_terms; /* n x n, where covariates change under infusions; else a_terms itself */
    ddt_expr *feed_folds;     /* what sources are multiplied by: 1, or an output's gain */
    size_t feed_count;
    size_t *feed_of_output;
    solve_terms *initial_terms; /* feeds x n */
    solve_terms *f_terms;       /* feeds x dosings */
    solve_terms *gain_terms;    /* outputs x n */
    solve_terms *offset_terms;  /* outputs; value for those that are not linear */
    solve_encoding *encodings;
    size_t encoding_count, encoding_capacity;
    solve_group *groups;
    size_t group_count, group_capacity;

    ddt_circuit *circuit;
    double tolerance;          /* of functions, in this attempt */
    double precision_floor;    /* relative accuracy below which small rates do not matter */
    double *slots;             /* lanes x block, scratch */
    unsigned iterate_stamp;    /* changes with what state_values hold */
    solve_value *state_values; /* n: after the sum over sources, for outputs that are not linear */
    struct trial *trial;
    /* Per subject: the amounts of records from this one on are public, those of `events` (candidates of a
     * recommendation); NULL: none are. Only Newton's method makes use of it. */
    const size_t *known_from;
    double eta_deviations;       /* how far etas reach, of models that are not linear; 0: 3 standard deviations */
    const bool *is_log;          /* per compartment: the state is the logarithm; NULL: none is */
    struct solve_newton *newton; /* NULL for linear models; newton.h */
    solve_terms *extra_terms;    /* what it wants encoded, too */
    size_t extra_count;
    /* A fit instead of a simulation, fit_internal.h. NULL: a simulation. */
    bool fits;          /* finish is a fit's: it takes lags that depend on etas */
    bool by_surrogates; /* such a fit by surrogates (docs/fit.md), of a linear model, too */
    ddt_status (*finish)(struct solve_work *work, void *user);
    void *finish_user;
    bool has_nodes;                           /* dosings and encodings have their nodes already */
    bool avoids_resolvent, wants_exponential; /* not by resolvents; they failed, and the exponential may do */
    size_t sum_rows;                          /* rows to sum over; 0: all of the block */
    double refresh_bound;                     /* of an exponential's entries, which may be refreshed then; 0: not */
    ddt_expr saturation; /* argument 1 + a / b of the last saturable term found, 0 where there is none */
} solve_work;

/* Arena memory; NULL after recording DDT_ERR_MEMORY. */
void *solve_alloc(solve_work *work, size_t count, size_t size);
ddt_status solve_no_memory(ddt_context *ctx);
/* The reason why an expression could not be built. */
ddt_status solve_pool_failure(const solve_work *work);
/* Text of an expression for messages; arena memory, "?" when memory is short. */
const char *solve_print(solve_work *work, ddt_expr e);
/* The same for an expression of another pool with the model's symbols. */
const char *solve_print_from(solve_work *work, const ddt_expr_pool *pool, ddt_expr e);
/* Neither encrypted nor constant: what circuits compute, or columns know. */
bool solve_is_varying(const solve_symbol *symbol);
/* A state that is never negative: its range reaches a little below 0 for the circuit's own errors. */
bool solve_is_floored(const solve_symbol *symbol);
bool solve_is_constant(const solve_work *work, ddt_expr e, double value);

/* symbols.c */
ddt_status solve_symbols_create(solve_work *work);
ddt_status solve_import(solve_work *work, const ddt_expr *from, size_t count, ddt_expr *to);
ddt_status solve_check_covariates(ddt_context *ctx, const ddt_model *model, const ddt_events *events, size_t subject,
                                  uint32_t symbol, size_t column);
/* Index of a symbol's column in the table, or SIZE_MAX. */
size_t solve_column(const ddt_events *events, uint32_t symbol);

/* threshold.c: comparisons, min, max and abs that depend on one covariate become symbols that are 0 or 1. */
ddt_status solve_threshold_rewrite(solve_work *work, ddt_expr e, ddt_expr *out);
/* Gives a patient's thresholds the values that follow from the covariates. */
void solve_threshold_settle(const solve_work *work, double *symbols);

/* interval.c */
ddt_status solve_fact_of(solve_work *work, ddt_expr e, solve_fact *out);
void solve_facts_reset(solve_work *work);

/* linear.c */
ddt_status solve_linear_create(solve_work *work);

/* roles.c */
/* work->model becomes a copy with one further symbol for each role of each covariate that changes. */
ddt_status solve_roles_create(solve_work *work);
/* Puts the roles' symbols into what has been read of the model. */
ddt_status solve_roles_apply(solve_work *work);
/* Whether a role's symbol is in use; SOLVE_ROLE_SEGMENT: whether rates depend on covariates that change. */
bool solve_role_is_used(const solve_work *work, solve_role role);
/* Whether the values that rates depend on differ between two records. */
bool solve_roles_differ(const solve_work *work, size_t subject, size_t record_a, size_t record_b);
/* The value on the other side of a symbol's range: virtual patients have it in every other segment. */
double solve_mirrored(const solve_symbol *symbol, double value);

/* All symbols mirrored in their ranges that segments have a value of, the thresholds of the mirrored values with them.
 */
void solve_mirror(const solve_work *work, const double *symbols, double *mirrored);

/* given.c */
/* What a model says of doses into a compartment, for one patient. */
typedef struct solve_dose_parts {
    double f, lag_h, rate, duration_h;
} solve_dose_parts;
/* What a source does: `value` is the amount, or the rate while it lasts. */
typedef struct solve_given {
    double start_h, duration_h, value;
} solve_given;
/* One slot column of a source. t2: one for each of layout->segments. */
typedef struct solve_slot {
    bool acts;
    double during_h;
    double *t2_h;
} solve_slot;
/* The row of the last dose before a column, into this compartment (UINT32_MAX: any); SOLVE_NONE before the first. */
uint32_t solve_last_dose(const solve_layout *layout, const solve_lane *lane, const solve_given *givens, size_t column,
                         uint32_t compartment);
/* amount: the record's AMT, or its RATE for SOLVE_GIVING_CONSTANT. source->input must be an amount's. */
solve_given solve_given_of(const solve_layout *layout, const solve_lane *lane, const solve_lane_source *source,
                           const solve_dose_parts *parts, double amount);
void solve_slot_of(const solve_layout *layout, const solve_lane *lane, size_t row, const solve_given *given,
                   size_t column, solve_slot *out);
bool solve_same_time(double a, double b);
/* What the range of an amount's input is about: AMT, or RATE. */
double solve_quantity(const solve_input *input, const ddt_record *record);

/* sample.c */
ddt_status solve_samples_create(solve_work *work);
ddt_status solve_program_create(solve_work *work);
ddt_status solve_numbers_create(solve_work *work, solve_numbers *out);
void solve_numbers_of(const solve_work *work, const double *symbols, solve_numbers *out);
/* DDT_ERR_UNSUPPORTED when a number is not finite. */
ddt_status solve_numbers_check(const solve_work *work, const solve_numbers *numbers);
/* What a lane's sources give to the patient of `numbers`. amounts: of each record of the lane's subject. */
void solve_lane_givens(const solve_work *work, size_t lane, const solve_numbers *numbers, const double *amounts,
                       solve_given *givens);
/* One source as a column sees it. */
typedef struct solve_exact_source {
    size_t row;
    double t2_h, during_h;
} solve_exact_source;
/* Room for one lane's exact solution. */
typedef struct solve_exact_buffers {
    solve_given *givens;       /* rows */
    solve_exact_source *order; /* of a column and of the one before: 2 rows */
    double *t2_h;              /* segments */
    double *scratch;
    double *states; /* columns x n */
    double *symbols, *values;
    double *outputs; /* outputs x columns */
} solve_exact_buffers;
ddt_status solve_exact_create(solve_work *work, solve_exact_buffers *out);
/*
 * States and outputs of one lane by matrix exponentials in double precision: the oracle of the circuit. amounts: of
 * each record of the lane's subject.
 */
void solve_lane_exact(const solve_work *work, size_t lane, const solve_numbers *numbers, const double *amounts,
                      const solve_exact_buffers *buffers);
/* After this time less than `fraction` of anything is left in every draw of the population; at least interval_h. */
ddt_status solve_memory_h(solve_work *work, double interval_h, double fraction, double *memory_h);

/* solution.c: ddt_solve with another last step, which builds and calibrates the circuit. */
ddt_status solve_run(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                     const ddt_solve_options *options, ddt_status (*finish)(solve_work *work, void *user), void *user,
                     ddt_solution **out);

/* Runs a prepared work into a new solution of the caller's, and clears it. */
ddt_status solve_work_solution(solve_work *work, ddt_solution **out);
/* Its steps, for a work that is kept. */
ddt_status solve_work_run(solve_work *work);
ddt_status solve_set_options(ddt_context *ctx, const ddt_solve_options *options, ddt_solve_options *out);
ddt_status solve_expand_all(solve_work *work);
ddt_status solve_check_used_covariates(solve_work *work);
void solve_work_clear(solve_work *work);

/* layout.c */
ddt_status solve_schedules_create(solve_work *work);
void solve_record_of(const ddt_record *from, solve_record *to);
/* Structure of all records, for the custodian's check. */
ddt_status solve_keep_records(solve_work *work);
ddt_status solve_layout_create(solve_work *work);
double solve_round_up(double value);
/* The end of an amount's range when this is the template's largest. */
double solve_amount_high(double largest);
/* Inputs for times, behind all others, where times are private. */
ddt_status solve_time_inputs(solve_work *work);

/* schemes.c */
extern const solve_scheme *const solve_schemes[];
extern const size_t solve_scheme_count;

/* expm.c */
/* x <- a^-1 x by elimination with pivots, a (n x n) used up; false where a is singular or not a number. */
bool solve_eliminate(double *a, double *x, size_t n);
void solve_expm(const double *a, size_t n, double t, double *scratch, double *out); /* scratch: 3 n^2 */
/* x becomes exp(a t) x by the series on the vector; scratch: 2 n. False, and nothing done, where t is so long or n so
 * small that the matrix is cheaper. */
bool solve_expm_on(const double *a, size_t n, double t, double *scratch, double *x);
void solve_scheme_run(const solve_exponential *exponential, const double *a, size_t n, double t, double *scratch,
                      double *out); /* scratch: 4 n^2 */
ddt_status solve_exponential_choose(solve_work *work);

/* resolvent.c, resolvent_circuit.c */
/* Whether resolvents take the exponential's place (work->resolvent), and how many, as accurate as
 * work->exponential_tolerance asks. */
ddt_status solve_resolvent_choose(solve_work *work);
/* Losses of the system's columns, to be encoded with all other expressions. */
ddt_status solve_resolvent_expand(solve_work *work);
/* Minus the sum of column j of a virtual patient's rates over the states that feed each other with j. */
double solve_resolvent_loss(const solve_work *work, size_t patient, size_t j);
/* states[i], where is_read, in units of state_scale, after `fed` (the same units, where is_fed) and each slot's time.
 */
ddt_status solve_resolvent_states(solve_work *work, const solve_value *fed, const bool *is_fed, const bool *is_read,
                                  solve_value *states);

/* expand.c */
ddt_status solve_expand(solve_work *work, ddt_expr e, solve_terms *out);
/* term^power for a term whose factors are positive. */
ddt_status solve_term_raise(const solve_work *work, solve_term *term, double power);

/* lower_sigmoid.c: (c + X)^-n, X = c w^g of compartments, far above c. */
typedef struct solve_share {
    double constant, power; /* c, g */
    double w_max;
    solve_terms w;
} solve_share;
/* factor->share where the factor is one of these in an output of a linear model, and steep; else NULL. */
ddt_status solve_share_find(solve_work *work, solve_factor *factor);
ddt_status solve_share_lower(solve_work *work, const solve_factor *factor, solve_product *product);
/* encode.c */
ddt_status solve_encode(solve_work *work);
/* The declared range of a symbol in the layout, added where it is not there. */
ddt_status solve_add_range(solve_work *work, uint32_t symbol, uint32_t *index);
/* The encoding of a symbol's value, or of its logarithm, on [-1, 1], SOLVE_NONE where there is none. */
uint32_t solve_encoding_whole(const solve_work *work, uint32_t symbol, bool is_log);
/* Whether a function of one symbol is a shorter polynomial of its logarithm. */
ddt_status solve_prefers_log(solve_work *work, const solve_factor *factor, bool *yes);

/* lower.c */
typedef struct solve_pairs {
    ddt_node *a, *b;
    size_t count, capacity;
    double depth; /* of sum_i a_i b_i */
} solve_pairs;
ddt_status solve_lower(solve_work *work, const solve_terms *terms, solve_sum *out);
/* 1 / (offset + slope x), x in [-1, 1]. */
ddt_status solve_lower_inverse(solve_work *work, solve_value x, double offset, double slope, solve_value *out);
/* Multiplies by argument^power, where the argument's logarithm is known (solve_newton_log). */
ddt_status solve_lower_power(solve_work *work, ddt_expr argument, double power, solve_product *product);
/* Multiplies by f(x), x in [-1, 1]; `what` it is, for messages. */
ddt_status solve_multiply_function(solve_work *work, solve_function *f, solve_value x, const char *what,
                                   solve_product *product);
/* sum * factor + offset as one node. */
ddt_status solve_sum_node(solve_work *work, const solve_sum *sum, double factor, double offset, solve_value *out);
/* Appends pairs whose products add up to sum * factor * vector (NULL: without a vector). */
ddt_status solve_sum_pairs(solve_work *work, const solve_sum *sum, const double *vector, double factor,
                           solve_pairs *pairs);
/* Appends pairs whose products add up to sum * value * factor. */
ddt_status solve_sum_times(solve_work *work, const solve_sum *sum, solve_value value, double factor,
                           solve_pairs *pairs);
ddt_status solve_pairs_add(solve_work *work, solve_pairs *pairs, solve_value a, solve_value b);
ddt_status solve_pairs_node(solve_work *work, const solve_pairs *pairs, solve_value *out);
solve_value solve_constant(solve_work *work, double value);
/* The public vector factor * vector[]. */
solve_value solve_public(solve_work *work, const double *vector, double factor);

/* expm_circuit.c: P_level of an approximated exponential, entry by entry. */
typedef struct solve_matrix {
    solve_work *work;
    const solve_exponential *exponential;
    size_t n, levels;       /* P_levels is the exponential */
    const double *time;     /* per slot */
    solve_value time_value; /* time / time_unit as a node where time is NULL */
    double time_unit;
    solve_sum *rates; /* n x n; rate = factor * sum */
    double *factors;
    solve_value *entries; /* (levels + 1) x n x n */
    bool *is_built, *is_nonzero;
} solve_matrix;
/* Empty rates and factors: the caller fills them, then calls solve_matrix_structure. */
ddt_status solve_matrix_create(solve_work *work, const solve_exponential *exponential, size_t n, const double *time,
                               solve_matrix *out);
void solve_matrix_structure(solve_matrix *m);
bool solve_matrix_nonzero(const solve_matrix *m, size_t level, size_t i, size_t j);
ddt_status solve_matrix_entry(solve_matrix *m, size_t level, size_t i, size_t j, solve_value *out);
/* Appends what entry (i, j) of P_level has beside the square of P_(level-1). Nothing for plain squarings. */
ddt_status solve_matrix_rest(solve_matrix *m, size_t level, size_t i, size_t j, solve_pairs *pairs);

/* superpose.c */
ddt_status solve_feeds_create(solve_work *work);
ddt_status solve_superpose(solve_work *work);
/* The outputs' values, of layout.outputs[].scale, at every column in row 0. */
ddt_status solve_superpose_values(solve_work *work, solve_value *values);
/* The states marked, at every column, in state_values (row 0 of each lane); DDT_NODE_NONE for the others. */
ddt_status solve_superpose_states(solve_work *work, const bool *is_wanted);

/* calibrate.c */
ddt_status solve_scales(solve_work *work);
/* The first half of it: magnitudes of the states after one source, over times.t2_max. */
ddt_status solve_scale_states(solve_work *work);
ddt_status solve_trial_create(solve_work *work);
/* `count` vectors of lanes x block, zero, for runs of the circuit in the clear. */
ddt_status solve_vectors_create(solve_work *work, size_t count, double ***out);
/* Relative to each patient's own maxima: worst over draws, over corners of the ranges, and over draws with functions
 * instead of their polynomials. */
typedef struct solve_errors {
    double draws, corners, exponential;
    uint64_t violations; /* values beyond the range that a function is approximated on */
} solve_errors;
ddt_status solve_calibrate(solve_work *work, solve_errors *errors);

/* newton*.c: models that are not linear. */
typedef struct solve_newton solve_newton;
/* Positive states by their logarithms, where that helps; work->is_log says which. */
ddt_status solve_newton_logarithms(solve_work *work, size_t count, ddt_expr *rhs, ddt_expr *initial, ddt_expr *outputs,
                                   const bool *is_needed);
/* Leaves the linear part in rhs; work->newton keeps the rest, NULL where there is none. */
ddt_status solve_newton_split(solve_work *work, size_t count, ddt_expr *rhs, const bool *is_needed);
/* e with every saturable term n / (a + b), a of compartments and b not, written so that one function of a / b remains.
 */
ddt_status solve_rewrite_saturations(solve_work *work, ddt_expr e, ddt_expr *out);
bool solve_newton_forces(const solve_work *work, size_t compartment);
/* Values that an expression takes in the virtual population, at the current iterate. */
/* Where the logarithm of an argument is known at the current iterate: y = (log - mid) / half. */
bool solve_newton_log(const solve_work *work, ddt_expr argument, solve_value *y, double *mid, double *half);
/* Multiplies by a function of time: a public vector. Where nothing else is: of the time at each observation. */
ddt_status solve_newton_time_factor(solve_work *work, ddt_expr e, solve_product *product);
ddt_status solve_newton_range(solve_work *work, ddt_expr e, double *low, double *high);
/* The same for each column (lanes x columns), not widened. */
ddt_status solve_newton_column_ranges(solve_work *work, ddt_expr e, double *low, double *high);
/* For exp(e): in columns where it is negligible for the whole population, how much is added to e (shift, lanes x block)
 * so that its range becomes no wider than what matters. */
ddt_status solve_newton_window(solve_work *work, ddt_expr e, double *low, double *high, double *shift);
ddt_status newton_prepare(solve_work *work);
ddt_status newton_rescale(solve_work *work);
ddt_status newton_expand(solve_work *work);
ddt_status newton_solve(solve_work *work);

/* segments.c: E_(J-1) ... E_1 E_0 over the segments of a block, in segment 0. */
typedef struct solve_segments {
    solve_matrix *exponential;
    size_t rounds;        /* J = 2^rounds */
    int64_t stride;       /* slots of a segment */
    solve_value *entries; /* rounds x n x n: of the product over 2^round segments; round 0 is the exponential */
    bool *is_built, *is_nonzero;
} solve_segments;
ddt_status solve_segments_create(solve_work *work, solve_matrix *exponential, solve_segments *out);
/* The factor that acts last (is_upper) or first in the product of all; both where J is 1: the last squaring. */
ddt_status solve_segments_entry(solve_segments *s, bool is_upper, size_t i, size_t j, solve_value *out);
bool solve_segments_nonzero(const solve_segments *s, size_t i, size_t j);

/* fill.c */
/* ddt_solution_fill and _collect for a solution's own layout, whatever else it consists of. */
ddt_status solve_layout_fill(ddt_context *ctx, const ddt_solution *solution, const ddt_model *model,
                             const ddt_events *events, double *const *inputs);
void solve_layout_collect(const solve_layout *layout, const double *const *outputs, double *const *values);
/* ddt_solution_places for one of the layout's own subjects. */
void solve_layout_places(const solve_layout *layout, size_t subject, double *const *scales);
/* givens: of each row of the lane. Amounts and, where they are private, times. */
void solve_fill_doses(const solve_layout *layout, size_t lane, const solve_given *givens, double *t2_h,
                      double *const *inputs);
/* The same for amounts alone, where all times are public: each record's amount times its source's weight. */
void solve_fill_amounts(const solve_layout *layout, size_t lane, const double *record_amounts, double *const *inputs);
void solve_fill_constant(const solve_layout *layout, size_t lane, double y, double *input);
/* Whose values a slot takes: the record of a covariate in this role, in row `row` and column k of the lane. */
uint32_t solve_record_for(const solve_layout *layout, const solve_lane *lane, solve_role role, size_t segment,
                          size_t row, size_t k);
/* How many of the first `index` inputs are sent, and are not public. */
size_t solve_sent_before(const solve_layout *layout, size_t index);
/* Those vectors of all inputs that are sent, in their order; sent: solve_vector_count. */
void solve_sent_of(const solve_layout *layout, double *const *all, const double **sent);
/* How many ciphertexts the inputs are. */
size_t solve_vector_count(const solve_layout *layout);
/* The same where inputs are packed: in the slots of input `index`. */
void solve_fill_packed(const solve_layout *layout, size_t lane, size_t index, double y, double *input);
/* y in every slot of one column. */
void solve_fill_column(const solve_layout *layout, size_t lane, size_t column, double y, double *input);
double solve_encode_value(const solve_input *input, double value);
/* A lane's doses from the data; givens: rows, what was filled. etas (may be NULL: the data's): of those that vary, in
 * the model's order. */
ddt_status solve_fill_data_doses(ddt_context *ctx, const solve_layout *layout, const ddt_model *model,
                                 const ddt_events *events, size_t lane, const double *etas, solve_given *givens,
                                 double *const *inputs);
/* fit_lag.c: the times after and under doses whose lags or durations depend on etas, into t2_node and during_node. */
ddt_status fit_lag_expand(solve_work *work);
ddt_status solve_lagged_times(solve_work *work);

#endif
