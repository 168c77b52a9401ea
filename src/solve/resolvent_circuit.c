/*
 * (p - A t) x = v by elimination, for each pole p, in nodes and in numbers side by side.
 *
 * A system of compartments loses nothing to rounding where every pivot is computed as what leaves the compartment (to
 * the others that are left, and for good) instead of as a difference of large numbers (Grassmann, Taksar and Heyman,
 * Operations Research 33, 1985): row n holds the losses, p among them. Compartments that are not connected with each
 * other are eliminated in one stage; the last two at once, by their determinant. A stage takes the levels of a
 * reciprocal and two more.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "resolvent.h"

#include <string.h>

/* Contributions to an entry or a right-hand side, added up at the end of a stage. */
typedef struct pending {
    resolvent_term *terms;
    size_t count, capacity;
} pending;

typedef struct eliminator {
    solve_work *work;
    size_t n;
    double complex pole;
    solve_value *nodes; /* (n + 1) x n: rates, losses in the last row, on the diagonal what leaves; about 1 */
    double *sizes;      /* their largest values */

    resolvent_value *q;              /* (n + 1) x n */
    resolvent_value *given;          /* n: right-hand side */
    resolvent_value *x;              /* n */
    resolvent_value *inverse, *self; /* n: of the pivot; the diagonal while nothing was added to it */
    pending *updates;                /* (n + 2) x n: of q, and of the right-hand side in the last row */
    bool *is_active, *is_fresh, *is_chosen, *is_wanted, *is_solved;
    bool *feeds; /* n x n: [e * n + i]: i fed e when e was eliminated */
} eliminator;

/* ------------------------------------------------------------------ rates as nodes */

static double rate_of(const eliminator *e, size_t patient, size_t i, size_t j) {
    const solve_work *work = e->work;
    return i == e->n ? solve_resolvent_loss(work, patient, j)
           : i == j  ? -work->resolvent->rates[(patient * e->n + i) * e->n + j]
                     : work->resolvent->rates[(patient * e->n + i) * e->n + j];
}

static ddt_status lower_entry(eliminator *e, size_t i, size_t j) {
    solve_work *work = e->work;
    size_t at = i * e->n + j;
    solve_sum sum = {0};
    const solve_terms *terms = i == e->n ? &work->extra_terms[j] : &work->a_terms[at];
    for (size_t p = 0; p < work->resolvent->patient_count; p++) {
        e->sizes[at] = fmax(e->sizes[at], fabs(rate_of(e, p, i, j)));
    }
    e->nodes[at].node = DDT_NODE_NONE;
    if (!(e->sizes[at] > 0.0) || terms->count == 0) {
        return DDT_OK;
    }
    SOLVE_TRY(solve_lower(work, terms, &sum));
    return solve_sum_node(work, &sum, (i == j ? -1.0 : 1.0) / e->sizes[at], 0.0, &e->nodes[at]);
}

static ddt_status allocate(solve_work *work, eliminator *e) {
    size_t n = work->linear.n;
    *e = (eliminator){.work = work, .n = n};
    e->nodes = solve_alloc(work, (n + 1) * n, sizeof *e->nodes);
    e->sizes = solve_alloc(work, (n + 1) * n, sizeof *e->sizes);
    e->q = solve_alloc(work, (n + 1) * n, sizeof *e->q);
    e->updates = solve_alloc(work, (n + 2) * n, sizeof *e->updates);
    e->feeds = solve_alloc(work, n * n, sizeof *e->feeds);
    e->given = solve_alloc(work, 4 * n, sizeof *e->given);
    e->is_active = solve_alloc(work, 5 * n, sizeof *e->is_active);
    if (e->nodes == NULL || e->sizes == NULL || e->q == NULL || e->updates == NULL || e->feeds == NULL ||
        e->given == NULL || e->is_active == NULL) {
        return DDT_ERR_MEMORY;
    }
    e->x = e->given + n;
    e->inverse = e->x + n;
    e->self = e->inverse + n;
    e->is_fresh = e->is_active + n;
    e->is_chosen = e->is_fresh + n;
    e->is_wanted = e->is_chosen + n;
    e->is_solved = e->is_wanted + n;
    return DDT_OK;
}

/* ------------------------------------------------------------------ loading */

/* rate x time as a value. */
static ddt_status load_rate(eliminator *e, size_t i, size_t j, resolvent_value *out) {
    const solve_resolvent *r = e->work->resolvent;
    size_t at = i * e->n + j;
    *out = (resolvent_value){0};
    if (e->nodes[at].node == DDT_NODE_NONE) {
        return DDT_OK;
    }
    SOLVE_TRY(resolvent_create(e->work, out));
    out->re = e->nodes[at].node;
    for (size_t t = 0; t < r->time_count; t++) {
        out->scale[t] = e->sizes[at] * r->times_h[t];
        for (size_t p = 0; p < r->patient_count; p++) {
            out->number[t * r->patient_count + p] = rate_of(e, p, i, j) * r->times_h[t];
        }
    }
    return DDT_OK;
}

static ddt_status load_pole(eliminator *e, resolvent_value *out) {
    const solve_resolvent *r = e->work->resolvent;
    double size = cabs(e->pole);
    SOLVE_TRY(resolvent_create(e->work, out));
    out->re = ddt_circuit_constant(e->work->circuit, creal(e->pole) / size);
    out->im = ddt_circuit_constant(e->work->circuit, cimag(e->pole) / size);
    for (size_t t = 0; t < r->time_count; t++) {
        out->scale[t] = size;
    }
    for (size_t i = 0; i < r->time_count * r->patient_count; i++) {
        out->number[i] = e->pole;
    }
    return DDT_OK;
}

/* What leaves state j for good, p included. */
static ddt_status load_loss(eliminator *e, size_t j) {
    resolvent_value *pole = solve_alloc(e->work, 2, sizeof *pole);
    if (pole == NULL) {
        return DDT_ERR_MEMORY;
    }
    resolvent_value *loss = pole + 1;
    SOLVE_TRY(load_pole(e, pole));
    SOLVE_TRY(load_rate(e, e->n, j, loss));
    resolvent_term terms[] = {{.a = pole}, {.a = loss}};
    return resolvent_sum(e->work, terms, loss->exists ? 2 : 1, &e->q[e->n * e->n + j]);
}

/* Column j: rates into the other states of its component, and its losses. */
static ddt_status load_column(eliminator *e, size_t j) {
    const size_t *component = e->work->resolvent->component;
    for (size_t i = 0; i < e->n; i++) {
        bool is_inside = i != j && component[i] == component[j];
        e->q[i * e->n + j] = (resolvent_value){0};
        SOLVE_TRY(is_inside ? load_rate(e, i, j, &e->q[i * e->n + j]) : DDT_OK);
    }
    SOLVE_TRY(load_rate(e, j, j, &e->self[j]));
    return load_loss(e, j);
}

/* The right-hand side of state i: what was given, and what comes from upstream. */
static ddt_status load_given(eliminator *e, size_t i, const solve_value *fed, const bool *is_fed) {
    solve_work *work = e->work;
    const solve_resolvent *r = work->resolvent;
    resolvent_term *terms = solve_alloc(work, e->n + 1, sizeof *terms);
    resolvent_value *values = solve_alloc(work, e->n + 1, sizeof *values);
    size_t count = 0;
    if (terms == NULL || values == NULL) {
        return DDT_ERR_MEMORY;
    }
    if (is_fed[i]) {
        SOLVE_TRY(resolvent_create(work, &values[0]));
        values[0].re = fed[i].node;
        for (size_t t = 0; t < r->time_count; t++) {
            values[0].scale[t] = work->state_scale[i];
        }
        for (size_t k = 0; k < r->time_count * r->patient_count; k++) {
            values[0].number[k] = work->state_scale[i];
        }
        terms[count++] = (resolvent_term){.a = &values[0]};
    }
    for (size_t j = 0; j < e->n; j++) {
        if (r->component[j] == r->component[i] || !e->x[j].exists) {
            continue;
        }
        SOLVE_TRY(load_rate(e, i, j, &values[j + 1]));
        if (values[j + 1].exists) {
            terms[count++] = (resolvent_term){.a = &values[j + 1], .b = &e->x[j]};
        }
    }
    e->given[i] = (resolvent_value){0};
    return count > 0 ? resolvent_sum(work, terms, count, &e->given[i]) : DDT_OK;
}

/* ------------------------------------------------------------------ a stage */

static const resolvent_value *entry(const eliminator *e, size_t i, size_t j) { return &e->q[i * e->n + j]; }

static ddt_status add_update(eliminator *e, size_t row, size_t column, const resolvent_value *a,
                             const resolvent_value *b) {
    pending *u = &e->updates[row * e->n + column];
    if (u->count == u->capacity) {
        size_t capacity = u->capacity == 0 ? 8 : 2 * u->capacity;
        resolvent_term *grown = solve_alloc(e->work, capacity, sizeof *grown);
        if (grown == NULL) {
            return DDT_ERR_MEMORY;
        }
        if (u->count > 0) {
            memcpy(grown, u->terms, u->count * sizeof *grown);
        }
        u->terms = grown;
        u->capacity = capacity;
    }
    resolvent_value *product = solve_alloc(e->work, 1, sizeof *product);
    if (product == NULL) {
        return DDT_ERR_MEMORY;
    }
    *product = *a;
    u->terms[u->count++] = (resolvent_term){.a = product, .b = b};
    return DDT_OK;
}

/* old + updates */
static ddt_status settle(eliminator *e, pending *u, resolvent_value *value) {
    resolvent_term *terms = solve_alloc(e->work, u->count + 1, sizeof *terms);
    resolvent_value *old = solve_alloc(e->work, 1, sizeof *old);
    if (terms == NULL || old == NULL) {
        return DDT_ERR_MEMORY;
    }
    size_t count = u->count;
    memcpy(terms, u->terms, count * sizeof *terms);
    if (value->exists) {
        *old = *value;
        terms[count++] = (resolvent_term){.a = old};
    }
    u->count = 0;
    return resolvent_sum(e->work, terms, count, value);
}

static ddt_status settle_all(eliminator *e) {
    size_t n = e->n;
    for (size_t at = 0; at < (n + 2) * n; at++) {
        if (e->updates[at].count == 0) {
            continue;
        }
        bool is_given = at / n == n + 1;
        SOLVE_TRY(settle(e, &e->updates[at], is_given ? &e->given[at % n] : &e->q[at]));
        if (!is_given) {
            e->is_fresh[at % n] = false;
        }
    }
    return DDT_OK;
}

/* Where s sends what it has: states that are left, and out of the system. */
static bool is_target(const eliminator *e, size_t k, size_t s) {
    return (k == e->n || (e->is_active[k] && k != s)) && entry(e, k, s)->exists;
}

/* 1 / (all that leaves a state). */
static ddt_status invert_pivot(eliminator *e, size_t s) {
    const resolvent_value **parts = solve_alloc(e->work, e->n + 2, sizeof(const resolvent_value *));
    resolvent_value *pole = solve_alloc(e->work, 1, sizeof *pole);
    size_t count = 0;
    if (parts == NULL || pole == NULL) {
        return DDT_ERR_MEMORY;
    }
    if (e->is_fresh[s] && e->self[s].exists) { /* the same from one node */
        SOLVE_TRY(load_pole(e, pole));
        parts[count++] = pole;
        parts[count++] = &e->self[s];
        return resolvent_inverse(e->work, parts, count, &e->inverse[s]);
    }
    for (size_t k = 0; k <= e->n; k++) {
        if (is_target(e, k, s)) {
            parts[count++] = entry(e, k, s);
        }
    }
    return resolvent_inverse(e->work, parts, count, &e->inverse[s]);
}

/* What goes through state s from i is spread over where s sends it; but what comes back to i never left. */
static ddt_status pass_flow(eliminator *e, size_t s, size_t i) {
    for (size_t k = 0; k <= e->n; k++) {
        if (k == i || !is_target(e, k, s)) {
            continue;
        }
        resolvent_value product;
        SOLVE_TRY(resolvent_product(e->work, entry(e, k, s), entry(e, s, i), &product));
        SOLVE_TRY(add_update(e, k, i, &product, &e->inverse[s]));
    }
    return DDT_OK;
}

/* The same for what is given to s. */
static ddt_status pass_given(eliminator *e, size_t s) {
    for (size_t k = 0; k < e->n && e->given[s].exists; k++) {
        if (!is_target(e, k, s)) {
            continue;
        }
        resolvent_value product;
        SOLVE_TRY(resolvent_product(e->work, entry(e, k, s), &e->given[s], &product));
        SOLVE_TRY(add_update(e, e->n + 1, k, &product, &e->inverse[s]));
    }
    return DDT_OK;
}

static ddt_status eliminate(eliminator *e, size_t s) {
    SOLVE_TRY(invert_pivot(e, s));
    for (size_t i = 0; i < e->n; i++) {
        e->feeds[s * e->n + i] = i != s && e->is_active[i] && entry(e, s, i)->exists;
        SOLVE_TRY(e->feeds[s * e->n + i] ? pass_flow(e, s, i) : DDT_OK);
    }
    return pass_given(e, s);
}

/* New entries that eliminating s would take. */
static size_t work_of(const eliminator *e, size_t s) {
    size_t in = 0;
    size_t out = 1;
    for (size_t k = 0; k < e->n; k++) {
        in += e->is_active[k] && k != s && entry(e, s, k)->exists;
        out += e->is_active[k] && k != s && entry(e, k, s)->exists;
    }
    return in * out;
}

static bool touches_chosen(const eliminator *e, size_t s) {
    for (size_t k = 0; k < e->n; k++) {
        if (e->is_chosen[k] && (entry(e, s, k)->exists || entry(e, k, s)->exists)) {
            return true;
        }
    }
    return false;
}

/* `first`, and what is not connected with it, those with the least work first. Returns how many. */
static size_t choose_from(eliminator *e, size_t first, size_t most) {
    size_t count = 1;
    memset(e->is_chosen, 0, e->n * sizeof *e->is_chosen);
    e->is_chosen[first] = true;
    for (size_t w = 0; w <= most; w++) {
        for (size_t s = 0; s < e->n; s++) {
            if (e->is_active[s] && !e->is_chosen[s] && work_of(e, s) == w && !touches_chosen(e, s)) {
                e->is_chosen[s] = true;
                count++;
            }
        }
    }
    return count;
}

/* As many states as possible, not connected with each other. */
static void choose_stage(eliminator *e) {
    enum { WORK_ALWAYS = 6, WORK_FACTOR = 2 };
    size_t least = SIZE_MAX;
    size_t best = 0;
    size_t best_first = 0;
    for (size_t s = 0; s < e->n; s++) {
        least = e->is_active[s] && work_of(e, s) < least ? work_of(e, s) : least;
    }
    size_t most = least * WORK_FACTOR > WORK_ALWAYS ? least * WORK_FACTOR : WORK_ALWAYS;
    for (size_t s = 0; s < e->n; s++) {
        size_t count = e->is_active[s] && work_of(e, s) <= most ? choose_from(e, s, most) : 0;
        best_first = count > best ? s : best_first;
        best = count > best ? count : best;
    }
    (void)choose_from(e, best_first, most);
}

static ddt_status run_stage(eliminator *e) {
    choose_stage(e);
    for (size_t s = 0; s < e->n; s++) {
        SOLVE_TRY(e->is_chosen[s] ? eliminate(e, s) : DDT_OK);
    }
    for (size_t s = 0; s < e->n; s++) {
        e->is_active[s] &= !e->is_chosen[s];
    }
    return settle_all(e);
}

/* ------------------------------------------------------------------ the last two */

/* (what leaves b for good) times given a, and (what b sends to a) times all that is given. */
static ddt_status solve_one_of_two(eliminator *e, size_t a, size_t b, const resolvent_value *inverse) {
    resolvent_term terms[3];
    size_t count = 0;
    const resolvent_value *into = entry(e, a, b);
    if (e->given[a].exists) {
        terms[count++] = (resolvent_term){.a = entry(e, e->n, b), .b = &e->given[a]};
    }
    if (e->given[a].exists && into->exists) {
        terms[count++] = (resolvent_term){.a = into, .b = &e->given[a]};
    }
    if (e->given[b].exists && into->exists) {
        terms[count++] = (resolvent_term){.a = into, .b = &e->given[b]};
    }
    e->is_solved[a] = true;
    e->x[a] = (resolvent_value){0};
    if (count == 0) {
        return DDT_OK;
    }
    resolvent_value sum;
    SOLVE_TRY(resolvent_sum(e->work, terms, count, &sum));
    return resolvent_product(e->work, &sum, inverse, &e->x[a]);
}

/* The determinant, without differences: with losses l and flows q it is l_a l_b + l_a q_ab + l_b q_ba. */
static ddt_status solve_two(eliminator *e, size_t a, size_t b) {
    const resolvent_value *loss_a = entry(e, e->n, a);
    const resolvent_value *loss_b = entry(e, e->n, b);
    resolvent_term terms[3] = {{.a = loss_a, .b = loss_b}};
    size_t count = 1;
    if (entry(e, a, b)->exists) {
        terms[count++] = (resolvent_term){.a = loss_a, .b = entry(e, a, b)};
    }
    if (entry(e, b, a)->exists) {
        terms[count++] = (resolvent_term){.a = loss_b, .b = entry(e, b, a)};
    }
    resolvent_value determinant;
    resolvent_value inverse;
    SOLVE_TRY(resolvent_sum(e->work, terms, count, &determinant));
    const resolvent_value *parts[] = {&determinant};
    SOLVE_TRY(resolvent_inverse(e->work, parts, 1, &inverse));
    e->is_active[a] = false;
    e->is_active[b] = false;
    SOLVE_TRY(solve_one_of_two(e, a, b, &inverse));
    return solve_one_of_two(e, b, a, &inverse);
}

/* ------------------------------------------------------------------ back again */

static ddt_status solve_back(eliminator *e, size_t s);

/* What i, eliminated later, adds to s. */
static ddt_status add_feeder(eliminator *e, size_t s, size_t i, resolvent_value *way, resolvent_term *terms,
                             size_t *count) {
    SOLVE_TRY(solve_back(e, i));
    if (e->x[i].exists) {
        SOLVE_TRY(resolvent_product(e->work, entry(e, s, i), &e->inverse[s], way));
        terms[(*count)++] = (resolvent_term){.a = way, .b = &e->x[i]};
    }
    return DDT_OK;
}

/* x_s = (given + what comes from those eliminated later) / pivot. */
static ddt_status solve_back(eliminator *e, size_t s) {
    if (e->is_solved[s]) {
        return DDT_OK;
    }
    e->is_solved[s] = true;
    e->x[s] = (resolvent_value){0};
    resolvent_term *terms = solve_alloc(e->work, e->n + 1, sizeof *terms);
    resolvent_value *ways = solve_alloc(e->work, e->n, sizeof *ways);
    size_t count = 0;
    if (terms == NULL || ways == NULL) {
        return DDT_ERR_MEMORY;
    }
    if (e->given[s].exists) {
        terms[count++] = (resolvent_term){.a = &e->given[s], .b = &e->inverse[s]};
    }
    for (size_t i = 0; i < e->n; i++) {
        SOLVE_TRY(e->feeds[s * e->n + i] ? add_feeder(e, s, i, &ways[i], terms, &count) : DDT_OK);
    }
    return count > 0 ? resolvent_sum(e->work, terms, count, &e->x[s]) : DDT_OK;
}

/* ------------------------------------------------------------------ components and poles */

static size_t count_active(const eliminator *e, size_t *last) {
    size_t count = 0;
    for (size_t s = 0; s < e->n; s++) {
        if (e->is_active[s]) {
            last[count % 2] = s;
            count++;
        }
    }
    return count;
}

static ddt_status load_component(eliminator *e, size_t c, const solve_value *fed, const bool *is_fed, bool *has_any) {
    const solve_resolvent *r = e->work->resolvent;
    *has_any = false;
    for (size_t s = 0; s < e->n; s++) {
        e->is_active[s] = r->component[s] == c;
        e->is_fresh[s] = e->is_active[s];
        SOLVE_TRY(e->is_active[s] ? load_given(e, s, fed, is_fed) : DDT_OK);
        *has_any |= e->is_active[s] && e->given[s].exists;
    }
    for (size_t s = 0; s < e->n && *has_any; s++) {
        SOLVE_TRY(e->is_active[s] ? load_column(e, s) : DDT_OK);
    }
    return DDT_OK;
}

static ddt_status solve_component(eliminator *e, size_t c, const solve_value *fed, const bool *is_fed) {
    bool has_any = false;
    size_t last[2] = {0, 0};
    SOLVE_TRY(load_component(e, c, fed, is_fed, &has_any));
    if (!has_any) {
        return DDT_OK;
    }
    for (size_t left = count_active(e, last); left > 0; left = count_active(e, last)) {
        SOLVE_TRY(left == 2 ? solve_two(e, last[0], last[1]) : run_stage(e));
    }
    for (size_t s = 0; s < e->n; s++) {
        SOLVE_TRY(e->work->resolvent->component[s] == c && e->is_wanted[s] ? solve_back(e, s) : DDT_OK);
    }
    return DDT_OK;
}

static bool feeds_component(const eliminator *e, size_t j, size_t c) {
    bool yes = false;
    for (size_t i = 0; i < e->n; i++) {
        yes |= e->work->resolvent->component[i] == c && e->work->linear.is_nonzero[i * e->n + j];
    }
    return yes;
}

/* Wanted: what is read, and what feeds a component in which something is wanted. */
static void find_wanted(eliminator *e, const bool *is_read) {
    const solve_resolvent *r = e->work->resolvent;
    memcpy(e->is_wanted, is_read, e->n * sizeof *is_read);
    for (size_t c = r->component_count; c-- > 0;) {
        bool any = false;
        for (size_t i = 0; i < e->n; i++) {
            any |= r->component[i] == c && e->is_wanted[i];
        }
        for (size_t j = 0; j < e->n && any; j++) {
            e->is_wanted[j] |= r->component[j] != c && feeds_component(e, j, c);
        }
    }
}

/* Adds 2 Re(residue x). */
static ddt_status add_fraction(eliminator *e, size_t s, double complex residue, solve_pairs *pairs) {
    solve_work *work = e->work;
    const solve_resolvent *r = work->resolvent;
    const resolvent_value *x = &e->x[s];
    double *factors = solve_alloc(work, 2 * r->time_count, sizeof *factors);
    if (factors == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t t = 0; t < r->time_count; t++) {
        factors[t] = 2.0 * creal(residue) * x->scale[t] / work->state_scale[s];
        factors[r->time_count + t] = -2.0 * cimag(residue) * x->scale[t] / work->state_scale[s];
    }
    solve_value re = {.node = resolvent_public(work, factors)};
    solve_value im = {.node = resolvent_public(work, factors + r->time_count)};
    SOLVE_TRY(solve_pairs_add(work, pairs, (solve_value){.node = x->re}, re));
    return x->im == DDT_NODE_NONE ? DDT_OK : solve_pairs_add(work, pairs, (solve_value){.node = x->im}, im);
}

static ddt_status add_pole(eliminator *e, size_t k, const solve_value *fed, const bool *is_fed, const bool *is_read,
                           solve_pairs *pairs) {
    solve_work *work = e->work;
    const resolvent_poles *poles = work->resolvent->poles;
    e->pole = poles->pole[k][0] + poles->pole[k][1] * I;
    work->resolvent->rooms_used = 0;
    for (size_t s = 0; s < e->n; s++) {
        e->x[s] = (resolvent_value){0};
        e->is_solved[s] = false;
    }
    for (size_t c = 0; c < work->resolvent->component_count; c++) {
        SOLVE_TRY(solve_component(e, c, fed, is_fed));
    }
    double complex residue = poles->residue[k][0] + poles->residue[k][1] * I;
    for (size_t s = 0; s < e->n; s++) {
        SOLVE_TRY(is_read[s] && e->x[s].exists ? add_fraction(e, s, residue, &pairs[s]) : DDT_OK);
    }
    return DDT_OK;
}

ddt_status solve_resolvent_states(solve_work *work, const solve_value *fed, const bool *is_fed, const bool *is_read,
                                  solve_value *states) {
    const resolvent_poles *poles = work->resolvent->poles;
    eliminator e;
    SOLVE_TRY(allocate(work, &e));
    solve_pairs *pairs = solve_alloc(work, e.n, sizeof *pairs);
    if (pairs == NULL) {
        return DDT_ERR_MEMORY;
    }
    for (size_t at = 0; at < (e.n + 1) * e.n; at++) {
        SOLVE_TRY(lower_entry(&e, at / e.n, at % e.n));
    }
    find_wanted(&e, is_read);
    for (size_t k = 0; k < poles->count; k++) {
        SOLVE_TRY(add_pole(&e, k, fed, is_fed, is_read, pairs));
    }
    for (size_t s = 0; s < e.n; s++) {
        if (!is_read[s]) {
            continue;
        }
        SOLVE_TRY(is_fed[s] ? solve_pairs_add(work, &pairs[s], fed[s], solve_constant(work, poles->constant)) : DDT_OK);
        SOLVE_TRY(solve_pairs_node(work, &pairs[s], &states[s]));
    }
    return ddt_circuit_status(work->circuit);
}
