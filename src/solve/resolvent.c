/*
 * When a linear system is solved by resolvents, the poles, and what is known of the system before the circuit: which
 * states feed each other, which times there are, the rates of some virtual patients.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "resolvent.h"

#include <stdlib.h>
#include <string.h>

/*
 * Poles: nearly best rational approximations of exp on (-inf, 0] (Caratheodory-Fejer), after Trefethen, Weideman and
 * Schmelzer, Talbot quadratures and rational approximations, BIT 46 (2006); residues: least squares over x from 1e-3 to
 * 3e4. tests/solve/test_resolvent.c checks the errors.
 */
const resolvent_poles resolvent_tables[] = {{.count = 3,
                                             .error = 1.3e-6,
                                             .constant = 6.2053438676960375e-7,
                                             .pole = {{2.4006029389330076, 1.1931293084022919},
                                                      {1.1585525717193167, 3.6147726008201191},
                                                      {-1.7819882759207993, 6.1965124673475686}},
                                             .residue = {{0.57902247344199614, 4.2869083168217644},
                                                         {-0.66298293780592435, -1.4514428937172416},
                                                         {0.083563482594874039, 0.10642077626637111}}},
                                            {.count = 4,
                                             .error = 4.1e-8,
                                             .constant = 8.4744851558572851e-9,
                                             .pole = {{3.2209452449505679, 1.1936196054172877},
                                                      {2.2922491477094992, 3.6007714960749371},
                                                      {0.26949098724626505, 6.0820325927101396},
                                                      {-3.4085395015771538, 8.773034564444613}},
                                             .residue = {{1.8317711048146443, 9.5256115809457033},
                                                         {-2.4362373682658066, -3.716757873265656},
                                                         {0.63258575666258907, 0.44392162435474166},
                                                         {-0.028129994199271353, -0.011576626437802984}}}};
const size_t resolvent_table_count = sizeof resolvent_tables / sizeof resolvent_tables[0];

/* ------------------------------------------------------------------ components */

/* reaches[i * n + j]: what is in j gets to i. */
static void find_reaches(const solve_linear *linear, bool *reaches) {
    size_t n = linear->n;
    for (size_t i = 0; i < n * n; i++) {
        reaches[i] = linear->is_nonzero[i] || i / n == i % n;
    }
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < n * n; i++) {
            reaches[i] |= reaches[i / n * n + k] && reaches[k * n + i % n];
        }
    }
}

/* States upstream of a component's are fewer than those upstream of what it feeds: counts give the order. */
static ddt_status find_components(solve_work *work, solve_resolvent *r) {
    size_t n = work->linear.n;
    bool *reaches = solve_alloc(work, n * n, sizeof *reaches);
    size_t *upstream = solve_alloc(work, n, sizeof *upstream);
    r->component = solve_alloc(work, n, sizeof *r->component);
    if (reaches == NULL || upstream == NULL || r->component == NULL) {
        return DDT_ERR_MEMORY;
    }
    find_reaches(&work->linear, reaches);
    for (size_t i = 0; i < n; i++) {
        r->component[i] = SIZE_MAX;
        for (size_t j = 0; j < n; j++) {
            upstream[i] += reaches[i * n + j];
        }
    }
    for (size_t rank = 0; rank <= n; rank++) {
        for (size_t i = 0; i < n; i++) {
            if (upstream[i] != rank || r->component[i] != SIZE_MAX) {
                continue;
            }
            for (size_t j = 0; j < n; j++) {
                r->component[j] = reaches[i * n + j] && reaches[j * n + i] ? r->component_count : r->component[j];
            }
            r->component_count++;
        }
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ times and patients */

static int compare_times(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static uint32_t index_of_time(const solve_resolvent *r, double t_h) {
    size_t low = 0;
    size_t high = r->time_count - 1;
    while (low < high) {
        size_t middle = (low + high + 1) / 2;
        if (r->times_h[middle] <= t_h) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return (uint32_t)low;
}

static ddt_status find_times(solve_work *work, solve_resolvent *r) {
    const solve_layout *layout = &work->solution->layout;
    size_t slots = layout->lane_count * layout->segments * layout->rows * layout->columns;
    r->times_h = solve_alloc(work, slots, sizeof *r->times_h);
    r->time_of_slot = solve_alloc(work, slots, sizeof *r->time_of_slot);
    if (r->times_h == NULL || r->time_of_slot == NULL) {
        return DDT_ERR_MEMORY;
    }
    memcpy(r->times_h, work->times.t2, slots * sizeof *r->times_h);
    qsort(r->times_h, slots, sizeof *r->times_h, compare_times);
    r->time_count = 1;
    for (size_t s = 1; s < slots; s++) {
        if (r->times_h[s] > r->times_h[r->time_count - 1]) {
            r->times_h[r->time_count++] = r->times_h[s];
        }
    }
    for (size_t s = 0; s < slots; s++) {
        r->time_of_slot[s] = index_of_time(r, work->times.t2[s]);
    }
    return DDT_OK;
}

/*
 * Corners of the ranges, where the extremes are, take up to three quarters of the places, the joint ones (the last)
 * before the others; the rest are draws. Each kind evenly spaced.
 */
static size_t patient_at(const solve_work *work, size_t count, size_t p) {
    size_t corners = work->sample_count - work->draw_count;
    size_t taken = corners < count - count / 4 ? corners : count - count / 4;
    return p < taken ? work->sample_count - 1 - p * corners / taken : (p - taken) * work->draw_count / (count - taken);
}

static ddt_status find_rates(solve_work *work, solve_resolvent *r) {
    enum { NUMBERS = 8192, PATIENTS_MIN = 96, PATIENTS_MAX = 256 }; /* times x patients */
    size_t n = work->linear.n;
    size_t count = NUMBERS / r->time_count;
    count = count < PATIENTS_MIN ? PATIENTS_MIN : count > PATIENTS_MAX ? PATIENTS_MAX : count;
    r->patient_count = count < work->sample_count ? count : work->sample_count;
    r->rates = solve_alloc(work, r->patient_count * n * n, sizeof *r->rates);
    solve_numbers numbers;
    SOLVE_TRY(solve_numbers_create(work, &numbers));
    if (r->rates == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t p = 0; p < r->patient_count; p++) {
        size_t sample = patient_at(work, r->patient_count, p);
        solve_numbers_of(work, work->samples + sample * work->symbol_count, &numbers);
        SOLVE_TRY(solve_numbers_check(work, &numbers));
        memcpy(r->rates + p * n * n, numbers.a, n * n * sizeof *r->rates);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ choice */

/* The states that feed each other, in the largest component: what makes a matrix product dear. */
static size_t largest_component(const solve_work *work, const solve_resolvent *r) {
    size_t largest = 0;
    for (size_t c = 0; c < r->component_count; c++) {
        size_t count = 0;
        for (size_t i = 0; i < work->linear.n; i++) {
            count += r->component[i] == c;
        }
        largest = count > largest ? count : largest;
    }
    return largest;
}

static bool is_suitable(const solve_work *work) {
    return work->newton == NULL && work->finish == NULL && !work->avoids_resolvent && !work->times.is_private &&
           !(work->times.during_max > 0.0) && work->solution->layout.segments == 1;
}

ddt_status solve_resolvent_choose(solve_work *work) {
    enum { STATES_MIN = 16 };     /* below that products of matrices serve wider ranges and take fewer levels */
    const double part = 0.25;     /* of the tolerance */
    const double hopeless = 2e-3; /* tightened to this part of it: eigenvalues that are not real, say */
    if (work->resolvent == NULL) {
        if (!is_suitable(work) || work->linear.n < STATES_MIN) {
            return DDT_OK;
        }
        solve_resolvent *r = solve_alloc(work, 1, sizeof *r);
        SOLVE_TRY(r == NULL ? DDT_ERR_MEMORY : find_components(work, r));
        if (r == NULL || largest_component(work, r) < STATES_MIN) {
            return DDT_OK;
        }
        SOLVE_TRY(find_times(work, r));
        SOLVE_TRY(find_rates(work, r));
        work->resolvent = r;
    }
    if (work->exponential_tolerance < hopeless * work->options.tolerance) {
        work->wants_exponential = true;
        return ddt_fail(work->ctx, DDT_ERR_UNSUPPORTED, "'%s': rational approximations are not accurate enough.",
                        work->model->path);
    }
    size_t k = 0;
    while (k + 1 < resolvent_table_count && resolvent_tables[k].error > part * work->exponential_tolerance) {
        k++;
    }
    work->resolvent->poles = &resolvent_tables[k];
    return DDT_OK;
}

/* ------------------------------------------------------------------ losses */

/* Minus the sum of a column within its component: what leaves for good, in a system of amounts. */
static ddt_expr loss_of(const solve_work *work, size_t j) {
    const solve_linear *linear = &work->linear;
    const size_t *component = work->resolvent->component;
    ddt_expr sum = linear->a[j * linear->n + j];
    for (size_t i = 0; i < linear->n; i++) {
        if (i != j && component[i] == component[j] && linear->is_nonzero[i * linear->n + j]) {
            sum = ddt_expr_binary(work->pool, DDT_EXPR_ADD, sum, linear->a[i * linear->n + j]);
        }
    }
    return ddt_expr_binary(work->pool, DDT_EXPR_SUB, ddt_expr_const(work->pool, 0.0), sum);
}

double solve_resolvent_loss(const solve_work *work, size_t patient, size_t j) {
    const double rounding = 1e-12; /* what is left of rates that cancel */
    size_t n = work->linear.n;
    const double *a = work->resolvent->rates + patient * n * n;
    double sum = a[j * n + j];
    for (size_t i = 0; i < n; i++) {
        sum += i != j && work->resolvent->component[i] == work->resolvent->component[j] ? a[i * n + j] : 0.0;
    }
    return fabs(sum) <= rounding * fabs(a[j * n + j]) ? 0.0 : -sum;
}

static bool is_lossless(const solve_work *work, size_t j) {
    for (size_t p = 0; p < work->resolvent->patient_count; p++) {
        if (solve_resolvent_loss(work, p, j) != 0.0) {
            return false;
        }
    }
    return true;
}

static bool is_same_factor(const solve_factor *a, const solve_factor *b) {
    return a->symbol == b->symbol && a->expression == b->expression && a->is_log == b->is_log && a->power == b->power &&
           (a->inner == NULL) == (b->inner == NULL) && (a->inner == NULL || a->op == b->op);
}

static bool has_exponent(const solve_term *t, const solve_exponent *x) {
    for (size_t i = 0; i < t->exponent_count; i++) {
        const solve_exponent *y = &t->exponents[i];
        if (x->symbol == y->symbol && x->is_log == y->is_log && x->coefficient == y->coefficient) {
            return true;
        }
    }
    return false;
}

static bool has_factor(const solve_term *t, const solve_factor *f) {
    for (size_t i = 0; i < t->factor_count; i++) {
        if (is_same_factor(&t->factors[i], f)) {
            return true;
        }
    }
    return false;
}

/* Equal but for the coefficient. */
static bool is_like(const solve_term *a, const solve_term *b) {
    bool yes = a->exponent_count == b->exponent_count && a->factor_count == b->factor_count;
    for (size_t i = 0; i < a->exponent_count && yes; i++) {
        yes = has_exponent(b, &a->exponents[i]);
    }
    for (size_t i = 0; i < a->factor_count && yes; i++) {
        yes = has_factor(b, &a->factors[i]);
    }
    return yes;
}

/* Like terms become one, or none. */
static void merge_like(solve_terms *terms) {
    const double rounding = 1e-12;
    for (solve_term **at = &terms->first; *at != NULL;) {
        solve_term *term = *at;
        double size = fabs(term->coefficient);
        for (solve_term **other = &term->next; *other != NULL;) {
            if (!is_like(term, *other)) {
                other = &(*other)->next;
                continue;
            }
            term->coefficient += (*other)->coefficient;
            size += fabs((*other)->coefficient);
            *other = (*other)->next;
            terms->count--;
        }
        if (fabs(term->coefficient) <= rounding * size) {
            *at = term->next;
            terms->count--;
        } else {
            at = &term->next;
        }
    }
}

static ddt_status expand_loss(solve_work *work, size_t j) {
    if (is_lossless(work, j)) {
        return DDT_OK;
    }
    SOLVE_TRY(solve_expand(work, loss_of(work, j), &work->extra_terms[j]));
    merge_like(&work->extra_terms[j]);
    return DDT_OK;
}

ddt_status solve_resolvent_expand(solve_work *work) {
    size_t n = work->linear.n;
    work->extra_terms = solve_alloc(work, n, sizeof *work->extra_terms);
    if (work->extra_terms == NULL) {
        return DDT_ERR_MEMORY;
    }
    work->extra_count = n;
    for (size_t j = 0; j < n; j++) {
        SOLVE_TRY(expand_loss(work, j));
    }
    return DDT_OK;
}
