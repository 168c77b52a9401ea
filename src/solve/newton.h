/*
 * Newton in time for models that are not linear (docs/newton.md).
 *
 *   newton_split.c    the linear part of the model and what is left: dx/dt = A x + c + N(x)
 *   newton_grid.c     a grid of times for each subject: its records, doses and as many nodes as accuracy needs
 *   newton_logs.c     positive states by their logarithms
 *   newton_history.c  the time and the last dose, column by column
 *   newton_domain.c   poles of the right-hand sides
 *   newton_numbers.c  the virtual population in double precision: discretised solutions, iterates, ranges
 *   newton_guess.c    polynomials fitted to it
 *   newton_circuit.c  the same iterations as a circuit
 *   newton.c          chooses the cheapest variant that meets the tolerance
 *
 * p solves dp/dt = A p + c with all doses exactly (superposition, the linear solver). The rest z = x - p, nonzero only
 * in the block of states that N changes, is smooth: dz/dt = A z + N(p + z), z = 0 at the start of an epoch.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_NEWTON_H
#define DDT_SOLVE_NEWTON_H

#include "solve_internal.h"

enum {
    NEWTON_ITERATIONS_MAX = 4,
    NEWTON_TERMS_MAX = 400, /* monomials of a guess */
    NEWTON_DEGREE_MAX = 9,
    NEWTON_DIVISORS_MAX = 16,
    NEWTON_OWN_MAX = 6, /* states of a block whose own Jacobian may be computed */
    NEWTON_FEATURES_MAX = 12,
    NEWTON_PARTS_MAX = 8,                       /* inputs in one feature */
    NEWTON_CONTRASTS = 1,                       /* of the doses of one kind, beside their mean */
    NEWTON_PATIENTS = 12,                       /* whose doses' weights they come from */
    NEWTON_ROWS_MAX = 128,                      /* doses of a subject, for contrasts */
    NEWTON_RADIX = 8,                           /* of the public recursion */
    NEWTON_SOLUTION = NEWTON_ITERATIONS_MAX + 1 /* the solution among the iterates */
};

/* Times of one lane's columns. */
typedef struct newton_grid {
    size_t count;
    double *time, *step;   /* step: from the column before; 0 at a start */
    bool *is_start;        /* first column of an epoch: z = 0 */
    bool *is_kink;         /* something starts or ends there */
    double *last_time;     /* columns x history_count: of the last dose, or the start of the epoch */
    uint32_t *last_record; /* likewise, SOLVE_NONE before the first */
} newton_grid;

/* One way of solving. */
typedef struct newton_variant {
    bool is_public; /* Jacobian of the typical patient, else the patient's own */
    unsigned degree, iterations;
} newton_variant;

typedef struct newton_monomial {
    unsigned count;
    uint8_t features[NEWTON_DEGREE_MAX];
    size_t parent; /* the monomial without its last feature */
} newton_monomial;

/* A quantity that the guess is a polynomial in: an encrypted symbol, or a dosing's amount given so far. */
typedef struct newton_feature {
    bool is_amount;
    size_t contrast; /* of amounts: 0 their mean, else a contrast */
    uint32_t index;  /* of the input */
    /* Symbols that act as one: the feature is the sum of weight * input over them. */
    size_t count;
    uint32_t inputs[NEWTON_PARTS_MAX];
    double weights[NEWTON_PARTS_MAX];
    double mid, factor; /* its values on [-1, 1]: factor * (sum - mid) */
} newton_feature;

struct solve_newton {
    ddt_expr *forcing; /* per compartment: N, DDT_EXPR_NONE where there is none */
    size_t m;
    size_t *block;              /* m: states of work->linear */
    size_t *block_of;           /* per linear state: its place in the block, SIZE_MAX */
    bool *is_wanted;            /* per linear state: p is needed as a node */
    ddt_expr *n, *jacobian;     /* m, m x m: N and its derivatives */
    ddt_expr_program *program;  /* n, then jacobian */
    ddt_expr_program *divisors; /* of N, those that read states; NULL without */
    size_t divisor_count;
    bool reads_dosed;
    bool may_own; /* the patient's own Jacobian can be computed */

    uint32_t *history; /* symbols of last doses (tlast(), podo()) */
    size_t history_count;
    ddt_expr *breaks; /* times at which the equations may jump, as functions of the last dose at most */
    size_t break_count;

    const ddt_events *own_events; /* as given, without the grid's nodes */
    uint32_t **origin;            /* per subject and record of the augmented table: the record as given */
    newton_grid *grids;           /* per lane */
    size_t columns;
    newton_grid *monitor_grids; /* per lane: a fine grid, and how curved dz/dt is between its nodes */
    double **monitor;

    size_t design_start; /* samples from it on are spread over the ranges */
    size_t lanes, samples, n_states;
    double *p;                                  /* lanes x samples x columns x n_states */
    double *solution;                           /* lanes x samples x columns x m: of the discretised equations */
    double *iterate[NEWTON_ITERATIONS_MAX + 1]; /* likewise; 0: the guess */
    double *amounts;                            /* lanes x samples x record_room: of each record */
    size_t record_room;
    uint64_t violations;           /* of the last calibration */
    double *typical_f, *typical_g; /* lanes x columns x m x m */

    newton_feature features[NEWTON_FEATURES_MAX];
    size_t feature_count;
    newton_monomial monomials[NEWTON_TERMS_MAX];
    size_t monomial_count;
    double *feature_values; /* lanes x samples x columns x NEWTON_FEATURES_MAX */
    /* lanes x rows x columns: of the doses given so far in the mean of their amounts, and in contrasts between them */
    double *dose_weights[NEWTON_CONTRASTS + 1];
    bool weighs_doses; /* some mean is of more than one dose */
    bool has_contrasts;
    double *guess; /* lanes x columns x m x monomials */

    /* Where the block is one state x and N saturates in it, 1 + slope x = exp(y): then y is what the guess is fitted
     * to. */
    ddt_expr argument;      /* 1 + slope x, DDT_EXPR_NONE where there is none */
    ddt_expr inverse_slope; /* 1 / slope */
    solve_terms *inverse_terms;
    solve_value log_node; /* (y - log_mid) / log_half */
    double *log_guess;    /* lanes x samples x columns */
    double log_mid, log_half;
    /* h/2 J[b][b] of each iterate; stiff states are those where it is not small */
    double step_low[NEWTON_ITERATIONS_MAX + 2][NEWTON_OWN_MAX], step_high[NEWTON_ITERATIONS_MAX + 2][NEWTON_OWN_MAX];
    bool is_stiff[NEWTON_OWN_MAX];
    double *inverse_values; /* per sample */

    newton_variant variant;
    unsigned current; /* the iterate whose ranges are in the symbols */
    double discretisation_error;

    solve_terms *n_terms, *jacobian_terms, *rate_terms; /* m, m x m, m x m */
};

/* Place of a sample's column. */
static inline size_t newton_at(const solve_newton *nw, size_t lane, size_t sample, size_t k) {
    return (lane * nw->samples + sample) * nw->columns + k;
}

/* newton.c */
unsigned newton_ceil_log2(unsigned x);
/* newton_split.c */
ddt_status newton_block_create(solve_work *work);
/* newton_domain.c */
ddt_status newton_domain_create(solve_work *work);
/* Whether no divisor of N changes its sign: side (NEWTON_DIVISORS_MAX, 0 at first) keeps the first values seen. */
bool newton_same_side(const solve_newton *nw, const double *symbols, double *side);
/* newton_history.c */
ddt_status newton_history_create(solve_work *work);
/* What the last doses are at each column of a lane. */
ddt_status newton_history_of_grid(solve_work *work, size_t lane);
/* The time and the last doses at a column, amounts of records given, among the symbols. */
void newton_set_column(const solve_work *work, size_t lane, size_t k, const double *amounts, double *symbols);
/* Times at which the equations jump while the last dose is that of `start_h` into `compartment` (UINT32_MAX: none yet):
 * nw->break_count of them, NAN where there is none. */
void newton_breaks_after(const solve_work *work, uint32_t compartment, double start_h, double *out_h);
/* The input of a last dose's amount for one lane of a virtual patient. */
void newton_fill_last_dose(const solve_work *work, size_t lane, const double *amounts, uint32_t symbol, size_t input,
                           double *values);
/* newton_grid.c */
ddt_status newton_grid_create(solve_work *work, size_t columns);
void newton_layout_finish(solve_work *work);
/* newton_numbers.c */
/* Whether the amount of a lane's source is public; *amount (may be NULL): what it is then. */
bool newton_knows_amount(const solve_work *work, size_t lane, const solve_lane_source *source, double *amount);
/* out = a b, m x m. */
void newton_multiply(const double *a, const double *b, size_t m, double *out);
ddt_status newton_population_of(solve_work *work, size_t samples);
ddt_status newton_observed(solve_work *work, size_t room, double *out);
/* Second derivative of dz/dt between the nodes, largest over the samples, for the choice of better nodes. */
ddt_status newton_monitor(solve_work *work);
/* The discretised solution (columns x m) of one patient on a lane, for given amounts of its records. */
ddt_status newton_trajectory(solve_work *work, size_t lane, const double *symbols, const double *amounts,
                             double *solution);
/* Largest h/2 |J_bb| of the population for each state of the block (m): the circuit inverts I - h/2 J by three terms of
 * its series, the diagonal entries of stiff states apart. */
ddt_status newton_step_norms(solve_work *work, double *largest);
ddt_status newton_typical(solve_work *work);
/* Errors of the guess and after each iteration: variant.iterations + 1 of each. Of every stride-th sample. */
ddt_status newton_iterate(solve_work *work, newton_variant variant, size_t stride, double *draw_errors,
                          double *corner_errors);
void newton_set_ranges(solve_work *work, unsigned iteration);
ddt_status newton_scales(solve_work *work);
void newton_state_scales(solve_work *work);
/* Some slack around the range that the virtual population shows. */
void newton_widen(double *low, double *high);
/* Range of h/2 J[b][b] at the current iterate. */
void newton_step_range(const solve_work *work, size_t b, double *low, double *high);
/* Error of the circuit's outputs (lanes x block) for a lane's sample. */
ddt_status newton_compare(solve_work *work, size_t lane, size_t sample, double *const *outputs, double *error);
/* newton_guess.c */
/* Appends patients spread over the box of all ranges to the virtual population: what polynomials are fitted to. */
ddt_status newton_design(solve_work *work);

ddt_status newton_features(solve_work *work);
/* Whether all amounts of an input are public: then nothing of it varies. */
bool newton_knows_input(const solve_work *work, uint32_t input);
/* *fits: whether there are enough patients for all monomials up to the degree. */
ddt_status newton_fit(solve_work *work, unsigned degree, bool *fits);
/* The guess (columns x m) of one sample; values: room for the monomials. */
void newton_guess_of(const solve_work *work, size_t lane, size_t sample, double *values, double *out);
/* The range of y over the population, and how it is scaled to [-1, 1]. */
void newton_log_range(solve_work *work);
/* newton_circuit.c */
ddt_status newton_build(solve_work *work);
ddt_status newton_calibrate(solve_work *work, double *draw_error, double *corner_error);
#endif
