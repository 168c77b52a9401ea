/*
 * Inside of courses: doses of their own size at given times.
 *
 *   recommend_course.c          the request, the virtual population, accuracy
 *   recommend_course_numbers.c  one patient in numbers
 *   recommend_course_box.c      the search within bounds in numbers, and the choice of its polynomials and steps
 *   recommend_course_circuit.c  the equations, and the search without bounds, under encryption
 *   recommend_course_search.c   the search within bounds under encryption
 *
 * A_kj is what dose j does to target k (in units of the aim and of the weight's root), H = A'A and b = A' weights'
 * roots, means over the points. H is kept by its diagonals, h_s[j] = H[j][j + s], along an axis on which the doses are
 * repeated twice, so that rotations replace indices modulo their number. Everything is divided by the effect of a
 * constant dose, e / J with e = sum_ij H_ij: then the curvature of all patients lies between public bounds, and no
 * scalar product is needed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_SOLVE_RECOMMEND_COURSE_H
#define DDT_SOLVE_RECOMMEND_COURSE_H

#include "recommend_internal.h"

enum {
    COURSE_SIDE = DDT_COURSE_DOSES_MAX,
    COURSE_DEGREE_MAX = 255,
    COURSE_STEPS_MAX = 24 /* of a search within bounds */
};

/* A polynomial by its Chebyshev coefficients, of an argument that is mid + half y for y in [-1, 1]. */
typedef struct course_polynomial {
    double mid, half;
    unsigned degree;
    double coefficients[COURSE_DEGREE_MAX + 1];
} course_polynomial;

/*
 * Splitting (Peaceman and Rachford 1955; Lions and Mercier 1979): v is a dose and the force of its bound in one, the
 * dose being c(v) = min(max(v, low), high). With the reflection r(v) = 2 c(v) - v and (rho + H)^-1 a step is
 *
 *   v <- C (r(v) - g / rho) - g / rho + 2 (rho + H)^-1 b,    C = 2 rho (rho + H)^-1 - 1,
 *
 * where g is the gradient of the penalties at c(v) (Davis and Yin 2017). The error shrinks by about
 * 1 - 2 / sqrt(curve_high / curve_low) in each step, as in an accelerated gradient method, and a step has one
 * polynomial, of a slope that no error is magnified by.
 */
typedef struct course_box {
    bool is_bounded, has_limits;
    double low, high, step; /* in units of dose_high; step: of rounding */
    double rho;
    unsigned steps, doublings; /* of the inverse's polynomial 2^doublings */
    /* Carried u stands for v = reflect.mid + reflect.half u. p(u) = (r - zero) / reflect.half is 0 at 0, where slots
     * hold nothing. */
    course_polynomial reflect;
    double zero;
    course_polynomial hinge; /* max(0, metric / limit - 1), smooth */
} course_box;

/* A virtual patient: the equations divided by e / J, and what the doses do to the limits' metrics at each point. */
typedef struct course_patient {
    double h[COURSE_SIDE * COURSE_SIDE], b[COURSE_SIDE];
    double constant; /* of the cost */
    double factor;   /* J / e */
    double best[COURSE_SIDE];
    double *limits; /* point by point, limit by limit: COURSE_SIDE numbers */
} course_patient;

typedef struct course {
    recommend_work *r;
    size_t doses, targets;
    double change, amount;          /* weights of changes and of doses themselves */
    double effect_low, effect_high; /* of e, over the virtual population */
    double response_high;           /* what a dose of dose_high does, in units of a target */
    double right_high;              /* of b / half */
    double inverse_unit;            /* what J / (e half) is carried in units of */
    double curve_low, curve_high;   /* eigenvalues of J H / e + change D'D + amount */
    unsigned doublings;             /* 2^doublings steps of the search without bounds */
    double *values, *symbols;       /* points x columns */
    solve_numbers numbers;
    size_t limit_count;
    size_t limit[DDT_RECOMMEND_TARGETS_MAX]; /* targets that are limits */
    course_patient *patients;                /* within bounds: all virtual ones */
    course_box box;
} course;

/* recommend_course_numbers.c */
/* H (COURSE_SIDE x COURSE_SIDE) and b of a virtual patient; limits (NULL: not wanted): as in course_patient. */
void course_exact(course *c, size_t patient, double *h, double *b, double *limits);
double course_effect(const course *c, const double *h);
/* Entry of D'D, the square of the differences between neighbouring doses. */
double course_change_entry(const course *c, size_t i, size_t j);
/* h and b divided by e / J, with the parts of changes and amounts added. */
void course_normalise(const course *c, double *h, double *b);
/* Largest eigenvalue of shift I + sign H. */
double course_largest_eigenvalue(const course *c, const double *h, double shift, double sign);
double course_middle(const course *c);
double course_half(const course *c);
/* T_(2^k) of (mid + shift) / half. */
double course_bound(const course *c, double shift, unsigned k);
/* What the product of `doublings` factors (c_k + T_k), divided by half, is multiplied by to be (H + shift)^-1. */
double course_step_factor(const course *c, double shift, unsigned doublings);
void course_multiply(const course *c, const double *matrix, const double *x, double *y);
/* y = (H + shift)^-1 x, as by the circuit's product of factors. */
void course_inverse(const course *c, const double *h, double shift, unsigned doublings, const double *x, double *y);
/* The best constant dose: 1'b / (1'H 1), where 1'H 1 = J. */
double course_constant_dose(const course *c, const double *b);
/* The circuit's steps without bounds in numbers. */
void course_iterate(const course *c, const double *h, const double *b, double *x);
/* H x = b by Cholesky's method. */
void course_solve(const course *c, const double *h, const double *b, double *x);

/* recommend_course_box.c */
/* A dose's value of a polynomial. */
double course_evaluate(const course_polynomial *p, double x);
/* Patients, their best doses, and the cheapest steps that find them. Refuses with one sentence. */
ddt_status course_box_choose(course *c);
/* What the circuit computes for a virtual patient. */
void course_box_iterate(const course *c, const course_patient *patient, double *x);

/* recommend_course_circuit.c */
typedef struct course_equations {
    ddt_node diagonal[COURSE_SIDE]; /* of T_1, on the first copy */
    ddt_node right;                 /* b / half, on the first copy */
    ddt_node inverse;               /* J / (e half inverse_unit), on the first copy, 0 elsewhere */
    ddt_node response;              /* of dose_high, in units of the targets, on both copies */
    ddt_node sum;                   /* b e / J, on the first copy; 0 nowhere */
} course_equations;
/* What a unit of dose of a slot's column is in units of x and of its target. */
double course_unit(const course *c, const recommend_place *p);
bool course_is_limit(const course *c, size_t metric);
/* Where sums over targets and points are complete. */
bool course_is_complete(const course *c, const recommend_place *p);
/* A vector on the first copy of the doses' axis, zero elsewhere, on both copies. */
ddt_node course_on_both(course *c, ddt_node x);
/* Sum over targets and points. */
ddt_node course_sum_all(course *c, ddt_node x);
/* matrix x, on the first copy. */
ddt_node course_product(course *c, const ddt_node *diagonal, ddt_node x);
/* The product of two matrices; out may be one of them. */
void course_matrix_product(course *c, const ddt_node *a, const ddt_node *b, ddt_node *out);
/* matrix + factor x the identity, times scale; out may be the matrix. */
void course_shift(course *c, const ddt_node *a, double scale, double factor, ddt_node *out);
/* T_2k from T_k. */
void course_square(course *c, ddt_node *diagonal);
/* From the unit responses on; within bounds with places to refresh. */
ddt_status course_build_equations(course *c, course_equations *q);
ddt_status course_build_open(course *c);

/* recommend_course_search.c */
ddt_status course_build_bounded(course *c);

#endif
