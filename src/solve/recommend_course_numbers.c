/*
 * A course in numbers: one virtual patient's equations, and the search without bounds.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_course.h"

#include <string.h>

/* ------------------------------------------------------------------ one patient in numbers */

/* Adds one target's part at one point. row: what each dose does; unit: in units of the aim and of the weight's root. */
static void add_target(const course *c, const double *row, double unit, double root, double *h, double *b) {
    for (size_t i = 0; i < c->doses; i++) {
        b[i] += unit * row[i] * root;
        for (size_t j = 0; j < c->doses; j++) {
            h[i * COURSE_SIDE + j] += unit * row[i] * unit * row[j];
        }
    }
}

void course_exact(course *c, size_t patient, double *h, double *b, double *limits) {
    recommend_work *r = c->r;
    memset(h, 0, sizeof(double) * COURSE_SIDE * COURSE_SIDE);
    memset(b, 0, sizeof(double) * COURSE_SIDE);
    recommend_load(r, patient, c->symbols);
    for (size_t z = 0; z < r->points; z++) {
        recommend_exact_columns(r, z, c->symbols, &c->numbers, c->values);
        for (size_t k = 0; k < c->targets; k++) {
            double root = sqrt(r->options->targets.items[k].weight / (double)r->points);
            double unit = r->course->dose_high * root / r->metrics[k].unit;
            if (!course_is_limit(c, k)) {
                add_target(c, c->values + k * r->shapes, unit, root, h, b);
            }
        }
        for (size_t k = 0; limits != NULL && k < c->limit_count; k++) {
            const size_t t = c->limit[k];
            for (size_t j = 0; j < c->doses; j++) {
                limits[(z * c->limit_count + k) * COURSE_SIDE + j] =
                    c->values[t * r->shapes + j] * r->course->dose_high / r->metrics[t].unit;
            }
        }
    }
}

double course_effect(const course *c, const double *h) {
    double e = 0.0;
    for (size_t i = 0; i < c->doses; i++) {
        for (size_t j = 0; j < c->doses; j++) {
            e += h[i * COURSE_SIDE + j];
        }
    }
    return e;
}

double course_change_entry(const course *c, size_t i, size_t j) {
    if (i == j) {
        return (i > 0 ? 1.0 : 0.0) + (i + 1 < c->doses ? 1.0 : 0.0);
    }
    return i + 1 == j || j + 1 == i ? -1.0 : 0.0;
}

void course_normalise(const course *c, double *h, double *b) {
    double factor = (double)c->doses / course_effect(c, h);
    for (size_t i = 0; i < c->doses; i++) {
        b[i] *= factor;
        for (size_t j = 0; j < c->doses; j++) {
            h[i * COURSE_SIDE + j] =
                factor * h[i * COURSE_SIDE + j] + c->change * course_change_entry(c, i, j) + (i == j ? c->amount : 0.0);
        }
    }
}

double course_largest_eigenvalue(const course *c, const double *h, double shift, double sign) {
    enum { ROUNDS = 200 };
    double x[COURSE_SIDE];
    double y[COURSE_SIDE];
    double size = 0.0;
    for (size_t i = 0; i < c->doses; i++) {
        x[i] = 1.0 + 0.31 * (double)(i * i % 7);
    }
    for (int k = 0; k < ROUNDS; k++) {
        double square = 0.0;
        for (size_t i = 0; i < c->doses; i++) {
            y[i] = shift * x[i];
            for (size_t j = 0; j < c->doses; j++) {
                y[i] += sign * h[i * COURSE_SIDE + j] * x[j];
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

double course_middle(const course *c) { return 0.5 * (c->curve_high + c->curve_low); }
double course_half(const course *c) { return 0.5 * (c->curve_high - c->curve_low); }

double course_bound(const course *c, double shift, unsigned k) {
    double value = (course_middle(c) + shift) / course_half(c);
    for (; k > 0; k--) {
        value = 2.0 * value * value - 1.0;
    }
    return value;
}

double course_step_factor(const course *c, double shift, unsigned doublings) {
    double factor = course_half(c) / (course_middle(c) + shift);
    for (unsigned k = 0; k < doublings; k++) {
        factor *= 2.0 * course_bound(c, shift, k) / course_bound(c, shift, k + 1);
    }
    return factor;
}

void course_multiply(const course *c, const double *matrix, const double *x, double *y) {
    for (size_t i = 0; i < c->doses; i++) {
        y[i] = 0.0;
        for (size_t j = 0; j < c->doses; j++) {
            y[i] += matrix[i * COURSE_SIDE + j] * x[j];
        }
    }
}

/* T_2k from T_k. */
static void double_matrix(const course *c, double *t) {
    double squared[COURSE_SIDE * COURSE_SIDE] = {0.0};
    for (size_t i = 0; i < c->doses; i++) {
        for (size_t j = 0; j < c->doses; j++) {
            squared[i * COURSE_SIDE + j] = i == j ? -1.0 : 0.0;
            for (size_t k = 0; k < c->doses; k++) {
                squared[i * COURSE_SIDE + j] += 2.0 * t[i * COURSE_SIDE + k] * t[k * COURSE_SIDE + j];
            }
        }
    }
    memcpy(t, squared, sizeof squared);
}

double course_constant_dose(const course *c, const double *b) {
    double sum = 0.0;
    for (size_t i = 0; i < c->doses; i++) {
        sum += b[i] / (double)c->doses;
    }
    return sum;
}

void course_inverse(const course *c, const double *h, double shift, unsigned doublings, const double *x, double *y) {
    double t[COURSE_SIDE * COURSE_SIDE] = {0.0};
    double moved[COURSE_SIDE];
    for (size_t i = 0; i < c->doses; i++) {
        y[i] = x[i] / course_half(c);
        for (size_t j = 0; j < c->doses; j++) {
            t[i * COURSE_SIDE + j] = ((i == j ? course_middle(c) : 0.0) - h[i * COURSE_SIDE + j]) / course_half(c);
        }
    }
    for (unsigned k = 0; k < doublings; k++) {
        course_multiply(c, t, y, moved);
        for (size_t i = 0; i < c->doses; i++) {
            y[i] = course_bound(c, shift, k) * y[i] + moved[i];
        }
        double_matrix(c, t);
    }
    for (size_t i = 0; i < c->doses; i++) {
        y[i] *= course_step_factor(c, shift, doublings);
    }
}

void course_iterate(const course *c, const double *h, const double *b, double *x) {
    double residual[COURSE_SIDE];
    double step[COURSE_SIDE];
    for (size_t i = 0; i < c->doses; i++) {
        x[i] = course_constant_dose(c, b);
    }
    course_multiply(c, h, x, residual);
    for (size_t i = 0; i < c->doses; i++) {
        residual[i] = b[i] - residual[i];
    }
    course_inverse(c, h, 0.0, c->doublings, residual, step);
    for (size_t i = 0; i < c->doses; i++) {
        x[i] += step[i];
    }
}

void course_solve(const course *c, const double *h, const double *b, double *x) {
    double l[COURSE_SIDE * COURSE_SIDE] = {0.0};
    for (size_t i = 0; i < c->doses; i++) {
        x[i] = b[i];
        for (size_t j = 0; j <= i; j++) {
            double sum = h[i * COURSE_SIDE + j];
            for (size_t k = 0; k < j; k++) {
                sum -= l[i * COURSE_SIDE + k] * l[j * COURSE_SIDE + k];
            }
            l[i * COURSE_SIDE + j] = i == j ? sqrt(fmax(sum, 1e-12)) : sum / l[j * COURSE_SIDE + j];
        }
        for (size_t k = 0; k < i; k++) {
            x[i] -= l[i * COURSE_SIDE + k] * x[k];
        }
        x[i] /= l[i * COURSE_SIDE + i];
    }
    for (size_t i = c->doses; i-- > 0;) {
        for (size_t k = i + 1; k < c->doses; k++) {
            x[i] -= l[k * COURSE_SIDE + i] * x[k];
        }
        x[i] /= l[i * COURSE_SIDE + i];
    }
}
