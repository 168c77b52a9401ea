/*
 * Doses over a course: the minimum of a quadratic cost under encryption.
 *
 * A_kj is what dose j does to target k (in units of the aim and of the weight's root), H = A'A and b = A' weights'
 * roots, means over the points. H is kept by its diagonals, h_s[j] = H[j][j + s], along an axis on which the doses are
 * repeated twice, so that rotations replace indices modulo their number. Everything is divided by the effect of a
 * constant dose, e / J with e = sum_ij H_ij: then the curvature of all patients lies between public bounds, and no
 * scalar product is needed.
 *
 * Chebyshev's iteration of n = 2^m steps from x0 ends at x0 + p(H) (b - H x0) with 1 - z p(z) = T_n(y) / T_n(y0),
 * y = (mid - z) / half, y0 = mid / half. As T_2k = 2 T_k^2 - 1, p is a product, (1 / mid) prod_k 2 c_k / c_2k (c_k +
 * T_k(y)), k = 1, 2 ... n / 2, c_k = T_k(y0): the matrices T_k are squared one from the other while the vector passes
 * through those that are there, so that n steps take log2(n) + 1 levels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_internal.h"

#include <string.h>

enum { SIDE = DDT_COURSE_DOSES_MAX };

static const double default_change = 0.1;

typedef struct course {
    recommend_work *r;
    size_t doses, targets;
    double change;
    double effect_low, effect_high; /* of e, over the virtual population */
    double curve_low, curve_high;   /* eigenvalues of J H / e + change D'D */
    unsigned doublings;             /* 2^doublings steps */
    double *values, *symbols;       /* points x columns */
    solve_numbers numbers;
} course;

/* ------------------------------------------------------------------ one patient in numbers */

/* Adds one target's part at one point. row: what each dose does; unit: in units of the aim and of the weight's root. */
static void add_target(const course *c, const double *row, double unit, double root, double *h, double *b) {
    for (size_t i = 0; i < c->doses; i++) {
        b[i] += unit * row[i] * root;
        for (size_t j = 0; j < c->doses; j++) {
            h[i * SIDE + j] += unit * row[i] * unit * row[j];
        }
    }
}

/* H (SIDE x SIDE) and b of a virtual patient. */
static void exact_quadratic(course *c, size_t patient, double *h, double *b) {
    recommend_work *r = c->r;
    memset(h, 0, sizeof(double) * SIDE * SIDE);
    memset(b, 0, sizeof(double) * SIDE);
    recommend_load(r, patient, c->symbols);
    for (size_t z = 0; z < r->points; z++) {
        recommend_exact_columns(r, z, c->symbols, &c->numbers, c->values);
        for (size_t k = 0; k < c->targets; k++) {
            double root = sqrt(r->options->targets.items[k].weight / (double)r->points);
            double unit = r->course->dose_high * root / r->metrics[k].unit;
            add_target(c, c->values + k * r->shapes, unit, root, h, b);
        }
    }
}

static double effect_of(const course *c, const double *h) {
    double e = 0.0;
    for (size_t i = 0; i < c->doses; i++) {
        for (size_t j = 0; j < c->doses; j++) {
            e += h[i * SIDE + j];
        }
    }
    return e;
}

/* Entry of D'D, the square of the differences between neighbouring doses. */
static double change_entry(const course *c, size_t i, size_t j) {
    if (i == j) {
        return (i > 0 ? 1.0 : 0.0) + (i + 1 < c->doses ? 1.0 : 0.0);
    }
    return i + 1 == j || j + 1 == i ? -1.0 : 0.0;
}

/* h and b divided by e / J, with the change's part added. */
static void normalise(const course *c, double *h, double *b) {
    double factor = (double)c->doses / effect_of(c, h);
    for (size_t i = 0; i < c->doses; i++) {
        b[i] *= factor;
        for (size_t j = 0; j < c->doses; j++) {
            h[i * SIDE + j] = factor * h[i * SIDE + j] + c->change * change_entry(c, i, j);
        }
    }
}

/* Largest eigenvalue of shift I + sign H. */
static double largest_eigenvalue(const course *c, const double *h, double shift, double sign) {
    enum { ROUNDS = 200 };
    double x[SIDE];
    double y[SIDE];
    double size = 0.0;
    for (size_t i = 0; i < c->doses; i++) {
        x[i] = 1.0 + 0.31 * (double)(i * i % 7);
    }
    for (int k = 0; k < ROUNDS; k++) {
        double square = 0.0;
        for (size_t i = 0; i < c->doses; i++) {
            y[i] = shift * x[i];
            for (size_t j = 0; j < c->doses; j++) {
                y[i] += sign * h[i * SIDE + j] * x[j];
            }
            square += y[i] * y[i];
        }
        size = sqrt(square);
        for (size_t i = 0; i < c->doses && size > 0.0; i++) {
            x[i] = y[i] / size;
        }
    }
    return size;
}

static double middle_of(const course *c) { return 0.5 * (c->curve_high + c->curve_low); }
static double half_of(const course *c) { return 0.5 * (c->curve_high - c->curve_low); }

/* T_(2^k) of mid / half. */
static double bound_of(const course *c, unsigned k) {
    double value = middle_of(c) / half_of(c);
    for (; k > 0; k--) {
        value = 2.0 * value * value - 1.0;
    }
    return value;
}

/* What the product of (c_k + T_k) (b - H x0) / half is multiplied by. */
static double step_factor(const course *c) {
    double factor = half_of(c) / middle_of(c);
    for (unsigned k = 0; k < c->doublings; k++) {
        factor *= 2.0 * bound_of(c, k) / bound_of(c, k + 1);
    }
    return factor;
}

static void multiply(const course *c, const double *matrix, const double *x, double *y) {
    for (size_t i = 0; i < c->doses; i++) {
        y[i] = 0.0;
        for (size_t j = 0; j < c->doses; j++) {
            y[i] += matrix[i * SIDE + j] * x[j];
        }
    }
}

/* T_2k from T_k. */
static void double_matrix(const course *c, double *t) {
    double squared[SIDE * SIDE] = {0.0};
    for (size_t i = 0; i < c->doses; i++) {
        for (size_t j = 0; j < c->doses; j++) {
            squared[i * SIDE + j] = i == j ? -1.0 : 0.0;
            for (size_t k = 0; k < c->doses; k++) {
                squared[i * SIDE + j] += 2.0 * t[i * SIDE + k] * t[k * SIDE + j];
            }
        }
    }
    memcpy(t, squared, sizeof squared);
}

/* The best constant dose: 1'b / (1'H 1), where 1'H 1 = J. */
static double constant_dose(const course *c, const double *b) {
    double sum = 0.0;
    for (size_t i = 0; i < c->doses; i++) {
        sum += b[i] / (double)c->doses;
    }
    return sum;
}

/* The circuit's steps in numbers. */
static void iterate(const course *c, const double *h, const double *b, double *x) {
    double t[SIDE * SIDE] = {0.0};
    double v[SIDE];
    double moved[SIDE];
    for (size_t i = 0; i < c->doses; i++) {
        x[i] = constant_dose(c, b);
    }
    multiply(c, h, x, v);
    for (size_t i = 0; i < c->doses; i++) {
        v[i] = (b[i] - v[i]) / half_of(c);
        for (size_t j = 0; j < c->doses; j++) {
            t[i * SIDE + j] = ((i == j ? middle_of(c) : 0.0) - h[i * SIDE + j]) / half_of(c);
        }
    }
    for (unsigned k = 0; k < c->doublings; k++) {
        multiply(c, t, v, moved);
        for (size_t i = 0; i < c->doses; i++) {
            v[i] = bound_of(c, k) * v[i] + moved[i];
        }
        double_matrix(c, t);
    }
    for (size_t i = 0; i < c->doses; i++) {
        x[i] += step_factor(c) * v[i];
    }
}

/* H x = b by Cholesky's method. */
static void solve_exactly(const course *c, const double *h, const double *b, double *x) {
    double l[SIDE * SIDE] = {0.0};
    for (size_t i = 0; i < c->doses; i++) {
        x[i] = b[i];
        for (size_t j = 0; j <= i; j++) {
            double sum = h[i * SIDE + j];
            for (size_t k = 0; k < j; k++) {
                sum -= l[i * SIDE + k] * l[j * SIDE + k];
            }
            l[i * SIDE + j] = i == j ? sqrt(fmax(sum, 1e-12)) : sum / l[j * SIDE + j];
        }
        for (size_t k = 0; k < i; k++) {
            x[i] -= l[i * SIDE + k] * x[k];
        }
        x[i] /= l[i * SIDE + i];
    }
    for (size_t i = c->doses; i-- > 0;) {
        for (size_t k = i + 1; k < c->doses; k++) {
            x[i] -= l[k * SIDE + i] * x[k];
        }
        x[i] /= l[i * SIDE + i];
    }
}

/* ------------------------------------------------------------------ bounds over the virtual population */

static ddt_status find_norms(course *c) {
    recommend_work *r = c->r;
    memcpy(c->symbols, r->work.samples, r->work.symbol_count * sizeof *c->symbols);
    recommend_exact_columns(r, 0, c->symbols, &c->numbers, c->values);
    for (size_t i = 0; i < r->metric_count * r->shapes; i++) {
        r->column[i].norm = r->column[i].is_zero ? 1.0 : c->values[i];
    }
    for (size_t k = 0; k < c->targets; k++) {
        double sum = 0.0;
        for (size_t j = 0; j < r->shapes; j++) {
            sum += c->values[k * r->shapes + j];
        }
        if (!(sum > 0.0)) {
            return ddt_fail(r->work.ctx, DDT_ERR_RANGE, "The target %s is out of reach: no dose is given before it.",
                            r->options->targets.items[k].name);
        }
    }
    return DDT_OK;
}

static void find_bounds(course *c) {
    const double margin = 1.1;
    double h[SIDE * SIDE];
    double b[SIDE];
    c->effect_low = c->curve_low = INFINITY;
    c->effect_high = c->curve_high = 0.0;
    for (size_t s = 0; s < c->r->patient_count; s++) {
        exact_quadratic(c, s, h, b);
        double effect = effect_of(c, h);
        c->effect_low = fmin(c->effect_low, effect / margin);
        c->effect_high = fmax(c->effect_high, effect * margin);
        normalise(c, h, b);
        double high = largest_eigenvalue(c, h, 0.0, 1.0);
        double low = high - largest_eigenvalue(c, h, high, -1.0);
        c->curve_high = fmax(c->curve_high, high * margin);
        c->curve_low = fmin(c->curve_low, fmax(low, 1e-3) / margin);
    }
}

/* How far the steps end from the minimum, as a part of the largest dose: the worst virtual patient. */
static double distance_left(course *c) {
    double h[SIDE * SIDE];
    double b[SIDE];
    double x[SIDE];
    double best[SIDE];
    double worst = 0.0;
    for (size_t s = 0; s < c->r->patient_count; s++) {
        double size = 0.0;
        exact_quadratic(c, s, h, b);
        normalise(c, h, b);
        iterate(c, h, b, x);
        solve_exactly(c, h, b, best);
        for (size_t i = 0; i < c->doses; i++) {
            size = fmax(size, fabs(best[i]));
        }
        for (size_t i = 0; i < c->doses; i++) {
            worst = fmax(worst, fabs(x[i] - best[i]) / size);
        }
    }
    return worst;
}

/* As many as were asked for, or as bring all virtual patients' doses near the minimum. */
static void choose_doublings(course *c) {
    const double good = 0.006;
    const unsigned wanted = c->r->course->iterations;
    const unsigned most = wanted > 0 ? wanted : DDT_COURSE_ITERATIONS_MAX;
    c->doublings = 1;
    while ((1U << c->doublings) < most && (wanted > 0 || distance_left(c) > good)) {
        c->doublings++;
    }
}

/* ------------------------------------------------------------------ the circuit */

static double response_unit_at(const void *user, const recommend_place *p) {
    const course *c = user;
    const recommend_work *r = c->r;
    size_t dose = p->shape % r->period;
    if (p->metric >= c->targets || dose >= c->doses || p->row > 0) {
        return 0.0;
    }
    double root = sqrt(r->options->targets.items[p->metric].weight / (double)r->points);
    return recommend_column_factor(r, &r->column[p->metric * r->shapes + dose]) * r->course->dose_high * root /
           r->metrics[p->metric].unit;
}

/* The root of a target's weight: what A'... is multiplied by for b. */
static double root_at(const void *user, const recommend_place *p) {
    const course *c = user;
    const recommend_work *r = c->r;
    return p->metric < c->targets && p->row == 0 ? sqrt(r->options->targets.items[p->metric].weight / (double)r->points)
                                                 : 0.0;
}

/* Where sums over targets and points are complete. */
static bool is_complete(const course *c, const recommend_place *p) {
    return p->point == 0 && p->row == 0 && p->metric == 0 && p->shape < c->r->period;
}

static double complete_at(const void *user, const recommend_place *p) {
    const course *c = user;
    return is_complete(c, p) ? 1.0 / c->effect_high : 0.0;
}

static double elsewhere_at(const void *user, const recommend_place *p) { return is_complete(user, p) ? 0.0 : 1.0; }

/* J / (e half). */
static double result_at(const void *user, const recommend_place *p) {
    const course *c = user;
    return is_complete(c, p) ? (double)c->doses / (c->effect_high * half_of(c)) : 0.0;
}

/* The identity's diagonal. */
static double one_at(const void *user, const recommend_place *p) {
    const course *c = user;
    return is_complete(c, p) && p->shape < c->doses ? 1.0 : 0.0;
}

static ddt_node sum_all(course *c, ddt_node x) {
    recommend_work *r = c->r;
    x = ddt_circuit_sum(r->work.circuit, x, (int64_t)r->shape_slots, r->metric_slots);
    return ddt_circuit_sum(r->work.circuit, x, (int64_t)(r->row_slots * r->columns), r->points);
}

static double call_inverse(double x, const void *data) {
    (void)data;
    return 1.0 / x;
}

/* J / (e half) where sums are complete, 0 elsewhere. */
static ddt_status effect_inverse(course *c, ddt_node a, ddt_node *out) {
    const double tolerance = 0.02; /* it scales both sides of the equations */
    recommend_work *r = c->r;
    ddt_circuit *circuit = r->work.circuit;
    solve_function *f = solve_function_create(&r->work, SOLVE_FUNCTION_CALL);
    if (f == NULL) {
        return DDT_ERR_MEMORY;
    }
    f->call = call_inverse;
    ddt_node all = ddt_circuit_sum(circuit, a, 1, r->period); /* what a constant dose does */
    ddt_node e = sum_all(c, ddt_circuit_mul(circuit, all, all));
    ddt_node part = ddt_circuit_mul(circuit, e, recommend_public(r, complete_at, c));
    ddt_node safe = ddt_circuit_add(circuit, part, recommend_public(r, elsewhere_at, c));
    double low = c->effect_low / c->effect_high;
    const double slack = 0.02;
    ddt_node inverse =
        ddt_circuit_function(circuit, safe, low * (1.0 - slack), 1.0 + slack, solve_function_eval, f, tolerance, NULL);
    *out = ddt_circuit_mul(circuit, inverse, recommend_public(r, result_at, c));
    return ddt_circuit_status(circuit);
}

/* What diagonal s of T_1 has beside the patient's part: (mid - the change's part) / half. */
static ddt_node public_diagonal(course *c, size_t s) {
    recommend_work *r = c->r;
    size_t lanes = ddt_circuit_lanes(r->work.circuit);
    memset(r->work.slots, 0, lanes * r->block * sizeof *r->work.slots);
    for (size_t j = 0; j < c->doses; j++) {
        size_t other = (j + s) % r->period;
        double entry = (s == 0 ? middle_of(c) : 0.0) - c->change * change_entry(c, j, other);
        for (size_t l = 0; l < lanes && other < c->doses; l++) {
            r->work.slots[l * r->block + j] = entry / half_of(c);
        }
    }
    return ddt_circuit_public(r->work.circuit, r->work.slots);
}

/* A vector on the first copy of the doses' axis, zero elsewhere, on both copies. */
static ddt_node on_both(course *c, ddt_node x) {
    ddt_circuit *circuit = c->r->work.circuit;
    return ddt_circuit_add(circuit, x, ddt_circuit_rotate(circuit, x, -(int64_t)c->r->period));
}

/* Rotations by 0, 1 ... period - 1 along the doses' axis, put together from powers of two: few keys. */
static void rotate_all(course *c, ddt_node x, ddt_node *rotated) {
    rotated[0] = x;
    for (size_t s = 1; s < c->r->period; s++) {
        size_t power = 1;
        while (2 * power <= s) {
            power *= 2;
        }
        rotated[s] = ddt_circuit_rotate(c->r->work.circuit, rotated[s - power], (int64_t)power);
    }
}

typedef struct equations {
    ddt_node diagonal[SIDE]; /* of T_k, on the first copy */
    ddt_node residual;       /* (b - H x0) / half, on the first copy */
    ddt_node start;          /* x0, the best constant dose, on the first copy */
    ddt_node right;          /* b / half, on the first copy */
} equations;

/* matrix x, on the first copy. */
static ddt_node product_of(course *c, const ddt_node *diagonal, ddt_node x) {
    ddt_node shifted[SIDE] = {0};
    rotate_all(c, on_both(c, x), shifted);
    return ddt_circuit_dot(c->r->work.circuit, diagonal, shifted, c->r->period);
}

static ddt_status build_equations(course *c, ddt_node y, equations *q) {
    recommend_work *r = c->r;
    ddt_circuit *circuit = r->work.circuit;
    ddt_node a = ddt_circuit_mul(circuit, y, recommend_public(r, response_unit_at, c));
    ddt_node rotated[SIDE] = {0};
    rotate_all(c, a, rotated);
    for (size_t s = 0; s < r->period; s++) {
        q->diagonal[s] = sum_all(c, ddt_circuit_mul(circuit, a, rotated[s]));
    }
    ddt_node inverse = DDT_NODE_NONE;
    SOLVE_TRY(effect_inverse(c, a, &inverse));
    for (size_t s = 0; s < r->period; s++) {
        ddt_node own = ddt_circuit_mul(circuit, q->diagonal[s], inverse);
        q->diagonal[s] = ddt_circuit_sub(circuit, public_diagonal(c, s), own);
    }
    ddt_node right = sum_all(c, ddt_circuit_mul(circuit, a, recommend_public(r, root_at, c)));
    ddt_node constant = ddt_circuit_sum(circuit, right, 1, r->period);
    constant = ddt_circuit_affine(circuit, &constant, (double[]){half_of(c) / (double)c->doses}, 1, 0.0);
    q->start = ddt_circuit_mul(circuit, constant, inverse);
    ddt_node moved = product_of(c, q->diagonal, q->start);
    q->right = ddt_circuit_mul(circuit, right, inverse);
    ddt_node parts[3] = {q->right, moved, q->start};
    q->residual = ddt_circuit_affine(circuit, parts, (double[]){1.0, 1.0, -middle_of(c) / half_of(c)}, 3, 0.0);
    return ddt_circuit_status(circuit);
}

/* T_2k from T_k. */
static void square(course *c, ddt_node *diagonal) {
    recommend_work *r = c->r;
    ddt_circuit *circuit = r->work.circuit;
    ddt_node shifted[SIDE][SIDE] = {{0}};
    ddt_node squared[SIDE] = {0};
    for (size_t u = 0; u < r->period; u++) {
        rotate_all(c, on_both(c, diagonal[u]), shifted[u]);
    }
    for (size_t s = 0; s < r->period; s++) {
        ddt_node other[SIDE];
        for (size_t t = 0; t < r->period; t++) {
            other[t] = shifted[(s + r->period - t) % r->period][t];
        }
        ddt_node product = ddt_circuit_dot(circuit, diagonal, other, r->period);
        ddt_node parts[2] = {product, recommend_public(r, one_at, c)};
        squared[s] = ddt_circuit_affine(circuit, parts, (double[]){2.0, -1.0}, s == 0 ? 2 : 1, 0.0);
    }
    memcpy(diagonal, squared, sizeof squared);
}

/* The equations themselves, for bounds (ddt_course_bounded): b, and the diagonals of H = mid - half T_1. */
static void keep_equations(course *c, const equations *q, ddt_node *right, ddt_node *diagonal) {
    ddt_circuit *circuit = c->r->work.circuit;
    *right = ddt_circuit_affine(circuit, &q->right, (double[]){half_of(c)}, 1, 0.0);
    for (size_t s = 0; s < c->r->period; s++) {
        ddt_node parts[2] = {q->diagonal[s], recommend_public(c->r, one_at, c)};
        diagonal[s] = ddt_circuit_affine(circuit, parts, (double[]){-half_of(c), middle_of(c)}, s == 0 ? 2 : 1, 0.0);
    }
}

static ddt_status add_equations(course *c, ddt_node right, const ddt_node *diagonal) {
    char name[sizeof "h" + 2];
    SOLVE_TRY(recommend_add_output(c->r, "b", right, 1.0));
    for (size_t s = 0; s < c->r->period; s++) {
        (void)snprintf(name, sizeof name, "h%u", (unsigned)s % (2 * DDT_COURSE_DOSES_MAX));
        SOLVE_TRY(recommend_add_output(c->r, name, diagonal[s], 1.0));
    }
    return DDT_OK;
}

static ddt_status build_circuit(course *c) {
    recommend_work *r = c->r;
    ddt_node y = DDT_NODE_NONE;
    ddt_node right = DDT_NODE_NONE;
    ddt_node diagonal[SIDE] = {0};
    equations q = {0};
    SOLVE_TRY(recommend_unit_response(r, &y));
    ddt_circuit *circuit = r->work.circuit;
    SOLVE_TRY(build_equations(c, y, &q));
    keep_equations(c, &q, &right, diagonal);
    ddt_node v = q.residual;
    for (unsigned k = 0; k < c->doublings; k++) {
        ddt_node parts[2] = {v, product_of(c, q.diagonal, v)};
        v = ddt_circuit_affine(circuit, parts, (double[]){bound_of(c, k), 1.0}, 2, 0.0);
        if (k + 1 < c->doublings) {
            square(c, q.diagonal);
        }
    }
    /* The result in units of the steps' factor: no level is spent on it. */
    double factor = step_factor(c);
    ddt_node start = ddt_circuit_affine(circuit, &q.start, (double[]){1.0 / factor}, 1, 0.0);
    SOLVE_TRY(recommend_add_output(r, "dose", ddt_circuit_add(circuit, start, v), r->course->dose_high * factor));
    return add_equations(c, right, diagonal);
}

/* ------------------------------------------------------------------ its accuracy */

static ddt_status run_patients(course *c, double **inputs, double **outputs, double *worst) {
    recommend_work *r = c->r;
    solve_work *work = &r->work;
    size_t lanes = work->solution->layout.lane_count;
    size_t rounds = (r->patient_count + lanes - 1) / lanes;
    double scale = work->solution->layout.outputs[0].scale / r->course->dose_high;
    *worst = 0.0;
    for (size_t k = 0; k < rounds; k++) {
        uint64_t violations = 0;
        for (size_t l = 0; l < lanes; l++) {
            recommend_fill_lane(r, l, (k * lanes + l) % r->patient_count * r->patient_stride, inputs);
        }
        SOLVE_TRY(ddt_circuit_calibrate(work->ctx, work->circuit, (const double *const *)inputs, &violations));
        SOLVE_TRY(ddt_circuit_run_clear(work->ctx, work->circuit, (const double *const *)inputs, false, outputs));
        for (size_t l = 0; l < lanes; l++) {
            double h[SIDE * SIDE];
            double b[SIDE];
            double x[SIDE];
            double size = 0.0;
            exact_quadratic(c, (k * lanes + l) % r->patient_count, h, b);
            normalise(c, h, b);
            iterate(c, h, b, x);
            for (size_t i = 0; i < c->doses; i++) {
                size = fmax(size, fabs(x[i]));
            }
            for (size_t i = 0; i < c->doses; i++) {
                double error = violations > 0 ? INFINITY : fabs(outputs[0][l * r->block + i] * scale - x[i]) / size;
                *worst = error <= *worst ? *worst : error;
            }
        }
        SOLVE_TRY(ddt_progress(work->ctx, "solve", k + 1, rounds));
    }
    return DDT_OK;
}

static ddt_status build_course(recommend_work *r) {
    enum { ATTEMPTS_MAX = 5 };
    const double tightening = 0.2;
    const double allowance = 5.0; /* doses are rounded to some percent */
    solve_work *work = &r->work;
    course c = {.r = r, .doses = r->shapes, .targets = r->options->targets.count};
    c.change = r->course->change_weight == 0.0 ? default_change : r->course->change_weight;
    c.values = solve_alloc(work, r->metric_count * r->shapes, sizeof *c.values);
    c.symbols = solve_alloc(work, work->symbol_count, sizeof *c.symbols);
    SOLVE_TRY(solve_numbers_create(work, &c.numbers));
    if (c.values == NULL || c.symbols == NULL) {
        return DDT_ERR_MEMORY;
    }
    SOLVE_TRY(find_norms(&c));
    find_bounds(&c);
    choose_doublings(&c);
    work->tolerance = work->options.tolerance;
    for (int k = 0; k < ATTEMPTS_MAX; k++) {
        double **inputs = NULL;
        double **outputs = NULL;
        SOLVE_TRY(build_circuit(&c));
        SOLVE_TRY(solve_vectors_create(work, solve_vector_count(&work->solution->layout), &inputs));
        SOLVE_TRY(solve_vectors_create(work, work->solution->layout.output_count, &outputs));
        SOLVE_TRY(run_patients(&c, inputs, outputs, &r->metric_error));
        if (r->metric_error <= allowance * work->options.tolerance) {
            work->solution->info.iterations = 1U << c.doublings;
            return DDT_OK;
        }
        work->tolerance *= tightening;
        work->exponential_tolerance *= tightening;
        SOLVE_TRY(solve_exponential_choose(work));
    }
    return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED,
                    "'%s': the virtual population's doses have an error of %g where %g is wanted; narrow the ranges.",
                    work->model->path, r->metric_error, allowance * work->options.tolerance);
}

/* ------------------------------------------------------------------ the request */

static ddt_status check_course(ddt_context *ctx, const ddt_course_options *options) {
    if (options->time_count == 0 || options->time_count > DDT_COURSE_DOSES_MAX) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "A course has 1 to %d doses, not %zu.", DDT_COURSE_DOSES_MAX,
                        options->time_count);
    }
    for (size_t i = 0; i < options->time_count; i++) {
        if (!(options->times_h[i] >= (i == 0 ? 0.0 : options->times_h[i - 1]))) {
            return ddt_fail(ctx, DDT_ERR_RANGE, "The times of the doses decrease at %g h.", options->times_h[i]);
        }
    }
    if (!(options->dose_high > 0.0) || !(options->infusion_h >= 0.0) || !(options->change_weight >= 0.0) ||
        options->iterations > DDT_COURSE_ITERATIONS_MAX) {
        return ddt_fail(ctx, DDT_ERR_RANGE,
                        "The course's largest dose (%g), infusion time (%g h), weight of changes (%g) or number of "
                        "iterations (%u) is not possible.",
                        options->dose_high, options->infusion_h, options->change_weight, options->iterations);
    }
    if (options->targets.count == 0 || options->targets.count > DDT_RECOMMEND_TARGETS_MAX) {
        return ddt_fail(ctx, DDT_ERR_RANGE, "A course wants 1 to %d targets.", DDT_RECOMMEND_TARGETS_MAX);
    }
    for (size_t t = 0; t < options->targets.count; t++) {
        const ddt_recommend_target *target = &options->targets.items[t];
        bool is_known = target->kind == DDT_METRIC_AUC24 || target->kind == DDT_METRIC_AUC_WINDOW ||
                        target->kind == DDT_METRIC_TROUGH;
        if (!is_known || target->is_steady || target->of[0] != '\0' || target->is_toxicity || !(target->low > 0.0) ||
            !isfinite(target->high)) {
            return ddt_fail(
                ctx, DDT_ERR_UNSUPPORTED,
                "The target %s: a course wants a value or LOW:HIGH of auc24@HOURS, aucFROM-TO, cumauc@HOURS "
                "or trough@HOURS.",
                target->name);
        }
    }
    return DDT_OK;
}

ddt_status ddt_solve_course(ddt_context *ctx, const ddt_model *model, const ddt_events *events,
                            const ddt_course_options *options, ddt_solution **out) {
    SOLVE_TRY(check_course(ctx, options));
    ddt_recommend_options request = {.solve = options->solve,
                                     .targets = options->targets,
                                     .output = options->output,
                                     .point_estimate = options->point_estimate};
    request.product = (ddt_recommend_product){.dose_low = options->dose_high,
                                              .dose_high = options->dose_high,
                                              .dose_step = options->dose_high,
                                              .compartment = options->compartment};
    recommend_work r = {.options = &request, .course = options};
    return recommend_run(ctx, model, events, &r, build_course, out);
}
