/*
 * linCmt(): one to three compartments, with or without a depot, chosen from the names of the parameters. The names are
 * those of rxode2 (case does not matter): ka; cl with v, q, vp, q2, vp2, vss; k (ke, kel, k10) with v, k12, k21, k13,
 * k31; alpha, beta, gamma with v, a, b, c, k21, k31 or aob.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parser.h"

#include <string.h>
#include <strings.h>

/* A name and the role it can play; names of one role stand in order of preference. */
static const struct {
    const char *name;
    lincmt_role role;
} spellings[] = {{"ka", ROLE_KA},     {"cl", ROLE_CL},       {"cl1", ROLE_CL},  {"v", ROLE_V},
                 {"vc", ROLE_V},      {"v1", ROLE_V},        {"vss", ROLE_VSS}, {"k", ROLE_K},
                 {"ke", ROLE_K},      {"kel", ROLE_K},       {"k10", ROLE_K},   {"k12", ROLE_K12},
                 {"k21", ROLE_K21},   {"k13", ROLE_K13},     {"k31", ROLE_K31}, {"alpha", ROLE_ALPHA},
                 {"beta", ROLE_BETA}, {"gamma", ROLE_GAMMA}, {"a", ROLE_A},     {"b", ROLE_B},
                 {"c", ROLE_C},       {"aob", ROLE_AOB}};

/* Flows and peripheral volumes are taken in this order: the first one present belongs to the first peripheral
 * compartment. */
static const char *const flows[] = {"q", "q1", "cld", "cld1", "q2", "cld2", "q3", "cld3", "q4"};
static const char *const volumes[] = {"vp", "vt", "vp1", "vt1", "v2", "vp2", "vt2", "v3", "vp3", "v4"};

enum { FLOWS = sizeof flows / sizeof flows[0], VOLUMES = sizeof volumes / sizeof volumes[0] };

static bool spelled(const name_entry *entry, const char *text) {
    return strlen(text) == entry->length && strncasecmp(entry->text, text, entry->length) == 0;
}

/* What linCmt() may read: every name, or those in its brackets. */
typedef struct candidates {
    const parser *p;
    const uint32_t *only; /* NULL: every name */
    size_t only_count;
} candidates;

static bool is_allowed(const candidates *c, uint32_t name) {
    if (c->only == NULL) {
        return true;
    }
    for (size_t i = 0; i < c->only_count; i++) {
        if (c->only[i] == name) {
            return true;
        }
    }
    return false;
}

/* The name that spells `text`: a variable of the model block before a parameter of ini. */
static uint32_t find(const candidates *c, const char *text) {
    uint32_t theta = NO_INDEX;
    for (size_t i = 0; i < c->p->name_count; i++) {
        const name_entry *entry = &c->p->names[i];
        if (!spelled(entry, text) || !is_allowed(c, (uint32_t)i) || entry->compartment != NO_INDEX) {
            continue;
        }
        if (entry->is_assigned) {
            return (uint32_t)i;
        }
        bool is_theta = entry->symbol != NO_INDEX && c->p->model->symbols[entry->symbol].kind == DDT_SYMBOL_THETA;
        if ((is_theta || c->only != NULL) && theta == NO_INDEX) {
            theta = (uint32_t)i;
        }
    }
    return theta;
}

/* Takes up to `most` names of a list in its order, leaving out one. */
static size_t take(const candidates *c, const char *const *list, size_t count, uint32_t without, uint32_t *out,
                   size_t most) {
    size_t n = 0;
    for (size_t i = 0; i < count && n < most; i++) {
        uint32_t name = find(c, list[i]);
        if (name != NO_INDEX && name != without) {
            out[n++] = name;
        }
    }
    return n;
}

static bool has(const lincmt *l, lincmt_role role) { return l->roles[role] != NO_INDEX; }

static void choose_roles(const candidates *c, lincmt *l) {
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        l->roles[i] = NO_INDEX;
    }
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        if (l->roles[spellings[i].role] == NO_INDEX) {
            l->roles[spellings[i].role] = find(c, spellings[i].name);
        }
    }
    if (!has(l, ROLE_V)) { /* NONMEM's numbers with a depot: v2 is the central one */
        l->roles[ROLE_V] = find(c, "v2");
        if (!has(l, ROLE_V)) {
            l->roles[ROLE_V] = find(c, "v3");
        }
    }
    (void)take(c, flows, FLOWS, NO_INDEX, &l->roles[ROLE_Q_FIRST], 2);
    (void)take(c, volumes, VOLUMES, l->roles[ROLE_V], &l->roles[ROLE_VP_FIRST], 2);
}

static const char *choose_form(lincmt *l) {
    if (has(l, ROLE_CL)) {
        l->form = LINCMT_CLEARANCE;
        l->compartments = has(l, ROLE_Q_SECOND) ? 3 : (has(l, ROLE_Q_FIRST) ? 2 : 1);
        bool first = has(l, ROLE_VP_FIRST) || (l->compartments == 2 && has(l, ROLE_VSS));
        if (!has(l, ROLE_V)) {
            return "with a clearance it needs a central volume v or vc";
        }
        if ((l->compartments > 1 && !first) || (l->compartments > 2 && !has(l, ROLE_VP_SECOND))) {
            return "each flow q needs its peripheral volume vp";
        }
        return NULL;
    }
    if (has(l, ROLE_K)) {
        l->form = LINCMT_MICRO;
        l->compartments = has(l, ROLE_K13) || has(l, ROLE_K31) ? 3 : (has(l, ROLE_K12) || has(l, ROLE_K21) ? 2 : 1);
        bool first = has(l, ROLE_K12) && has(l, ROLE_K21);
        bool second = has(l, ROLE_K13) && has(l, ROLE_K31);
        if (!has(l, ROLE_V)) {
            return "with a rate constant it needs a central volume v or vc";
        }
        return (l->compartments > 1 && !first) || (l->compartments > 2 && !second)
                   ? "k12 goes with k21, and k13 with k31"
                   : NULL;
    }
    l->form = LINCMT_MACRO;
    if (!has(l, ROLE_ALPHA)) {
        return "it needs parameters named cl and v, or k and v, or alpha and v";
    }
    l->compartments = has(l, ROLE_GAMMA) ? 3 : (has(l, ROLE_BETA) ? 2 : 1);
    bool amplitudes =
        has(l, ROLE_A) && (l->compartments < 2 || has(l, ROLE_B)) && (l->compartments < 3 || has(l, ROLE_C));
    bool rates = l->compartments == 1 || (has(l, ROLE_K21) && (l->compartments < 3 || has(l, ROLE_K31))) ||
                 (l->compartments == 2 && has(l, ROLE_AOB));
    return amplitudes || (rates && has(l, ROLE_V))
               ? NULL
               : "alpha, beta, gamma need a, b, c, or v with k21 and k31, or v with aob";
}

/* The names in the brackets of linCmt(...). */
static size_t read_names(parser *p, size_t at, uint32_t only[ARGUMENTS_MAX]) {
    size_t n = 0;
    for (; p->status == DDT_OK && at + 1 < p->token_count && !token_is(&p->tokens[at], ')'); at++) {
        const token *t = &p->tokens[at];
        if (token_is(t, ',')) {
            continue;
        }
        if (t->kind != TOKEN_NAME || n == ARGUMENTS_MAX) {
            parser_refuse_token(p, t, "linCmt() takes names of parameters");
            break;
        }
        only[n++] = parser_name(p, t);
    }
    return n;
}

static uint32_t add_state(parser *p, const char *text, unsigned line) {
    token t = {.kind = TOKEN_NAME, .line = line, .text = text, .length = (uint32_t)strlen(text)};
    uint32_t name = parser_name(p, &t);
    if (name == NO_INDEX) {
        return NO_INDEX;
    }
    if (p->names[name].compartment != NO_INDEX || p->names[name].is_assigned) {
        parser_refuse(p, line, text, strlen(text),
                      "linCmt() makes a compartment of this name, and the model has one already");
        return NO_INDEX;
    }
    return parser_add_compartment(p, name, line);
}

void lincmt_prepare(parser *p, size_t model_begin, size_t model_end) {
    lincmt *l = &p->lincmt;
    l->depot = l->central = l->peripheral[0] = l->peripheral[1] = NO_INDEX;
    size_t at = model_begin;
    while (at < model_end && !(token_is_name(&p->tokens[at], "linCmt") && token_is(&p->tokens[at + 1], '('))) {
        at++;
    }
    if (at == model_end) {
        return;
    }
    uint32_t only[ARGUMENTS_MAX] = {0};
    size_t only_count = read_names(p, at + 2, only);
    candidates c = {.p = p, .only = only_count > 0 ? only : NULL, .only_count = only_count};
    l->wanted = true;
    l->line = p->tokens[at].line;
    if (p->status != DDT_OK) {
        return;
    }
    choose_roles(&c, l);
    const char *problem = choose_form(l);
    if (problem != NULL) {
        static const char construct[] = "linCmt()";
        parser_refuse(p, l->line, construct, sizeof construct - 1, problem);
        return;
    }
    if (has(l, ROLE_KA)) {
        l->depot = add_state(p, "depot", l->line);
    }
    l->central = p->status == DDT_OK ? add_state(p, "central", l->line) : NO_INDEX;
    static const char *const peripherals[] = {"peripheral1", "peripheral2"};
    for (unsigned i = 0; i < 2 && i + 1 < l->compartments && p->status == DDT_OK; i++) {
        l->peripheral[i] = add_state(p, peripherals[i], l->line);
    }
}

/* ------------------------------------------------------------------ equations */

/* Elimination and exchange as rate constants, with the central volume. */
typedef struct micro {
    ddt_expr v;
    ddt_expr k10;
    ddt_expr out[2]; /* k12, k13 */
    ddt_expr in[2];  /* k21, k31 */
} micro;

static ddt_expr binary(parser *p, ddt_expr_op op, ddt_expr a, ddt_expr b) {
    return ddt_expr_binary(p->model->pool, op, a, b);
}
static ddt_expr add(parser *p, ddt_expr a, ddt_expr b) { return binary(p, DDT_EXPR_ADD, a, b); }
static ddt_expr sub(parser *p, ddt_expr a, ddt_expr b) { return binary(p, DDT_EXPR_SUB, a, b); }
static ddt_expr mul(parser *p, ddt_expr a, ddt_expr b) { return binary(p, DDT_EXPR_MUL, a, b); }
static ddt_expr divide(parser *p, ddt_expr a, ddt_expr b) { return binary(p, DDT_EXPR_DIV, a, b); }

static ddt_expr value_of(parser *p, lincmt_role role) {
    uint32_t name = p->lincmt.roles[role];
    const name_entry *entry = &p->names[name];
    if (entry->slots[SLOT_VALUE] == DDT_EXPR_NONE && entry->is_assigned) {
        parser_refuse(p, p->lincmt.line, entry->text, entry->length,
                      "linCmt() reads it before the line that assigns it");
        return DDT_EXPR_NONE;
    }
    return parser_read_name(p, name, p->lincmt.line);
}

static void from_clearances(parser *p, micro *m) {
    const lincmt *l = &p->lincmt;
    m->v = value_of(p, ROLE_V);
    m->k10 = divide(p, value_of(p, ROLE_CL), m->v);
    for (unsigned i = 0; i + 1 < l->compartments; i++) {
        ddt_expr q = value_of(p, (lincmt_role)(ROLE_Q_FIRST + i));
        ddt_expr vp = has(l, (lincmt_role)(ROLE_VP_FIRST + i)) ? value_of(p, (lincmt_role)(ROLE_VP_FIRST + i))
                                                               : sub(p, value_of(p, ROLE_VSS), m->v);
        m->out[i] = divide(p, q, m->v);
        m->in[i] = divide(p, q, vp);
    }
}

static void from_rates(parser *p, micro *m) {
    m->v = value_of(p, ROLE_V);
    m->k10 = value_of(p, ROLE_K);
    for (unsigned i = 0; i + 1 < p->lincmt.compartments; i++) {
        m->out[i] = value_of(p, i == 0 ? ROLE_K12 : ROLE_K13);
        m->in[i] = value_of(p, i == 0 ? ROLE_K21 : ROLE_K31);
    }
}

/* Two exponentials: from the sum and the product of the roots. */
static void from_two_exponents(parser *p, micro *m, ddt_expr k21) {
    ddt_expr alpha = value_of(p, ROLE_ALPHA);
    ddt_expr beta = value_of(p, ROLE_BETA);
    m->in[0] = k21;
    m->k10 = divide(p, mul(p, alpha, beta), k21);
    m->out[0] = sub(p, sub(p, add(p, alpha, beta), k21), m->k10);
}

/* Three exponentials: alpha beta gamma = k10 k21 k31, and the elementary symmetric sums for the exchange. */
static void from_three_exponents(parser *p, micro *m, ddt_expr k21, ddt_expr k31) {
    ddt_expr x = value_of(p, ROLE_ALPHA);
    ddt_expr y = value_of(p, ROLE_BETA);
    ddt_expr z = value_of(p, ROLE_GAMMA);
    ddt_expr sum = add(p, add(p, x, y), z);
    ddt_expr pairs = add(p, add(p, mul(p, x, y), mul(p, x, z)), mul(p, y, z));
    m->in[0] = k21;
    m->in[1] = k31;
    m->k10 = divide(p, mul(p, mul(p, x, y), z), mul(p, k21, k31));
    /* pairs = k10 k31 + k10 k21 + k21 k31 + k12 k31 + k13 k21 and sum = k10 + k12 + k13 + k21 + k31. */
    ddt_expr rest = sub(p, sub(p, sub(p, sum, m->k10), k21), k31);                             /* k12 + k13 */
    ddt_expr load = sub(p, sub(p, pairs, mul(p, m->k10, add(p, k21, k31))), mul(p, k21, k31)); /* k12 k31 + k13 k21 */
    m->out[0] = divide(p, sub(p, load, mul(p, rest, k21)), sub(p, k31, k21));
    m->out[1] = sub(p, rest, m->out[0]);
}

/* C(t) = A e^-alpha t + B e^-beta t + C e^-gamma t after a unit dose: v = 1 / (A + B + C); k21 and k31 are the zeros of
 * the transfer function. */
static void from_amplitudes(parser *p, micro *m) {
    ddt_expr_pool *pool = p->model->pool;
    ddt_expr one = ddt_expr_const(pool, 1);
    ddt_expr x = value_of(p, ROLE_ALPHA);
    ddt_expr a = value_of(p, ROLE_A);
    if (p->lincmt.compartments == 1) {
        m->v = divide(p, one, a);
        m->k10 = x;
        return;
    }
    ddt_expr y = value_of(p, ROLE_BETA);
    ddt_expr b = value_of(p, ROLE_B);
    if (p->lincmt.compartments == 2) {
        ddt_expr total = add(p, a, b);
        m->v = divide(p, one, total);
        from_two_exponents(p, m, divide(p, add(p, mul(p, a, y), mul(p, b, x)), total));
        return;
    }
    ddt_expr z = value_of(p, ROLE_GAMMA);
    ddt_expr c = value_of(p, ROLE_C);
    ddt_expr total = add(p, add(p, a, b), c);
    ddt_expr linear = add(p, add(p, mul(p, a, add(p, y, z)), mul(p, b, add(p, x, z))), mul(p, c, add(p, x, y)));
    ddt_expr constant = add(p, add(p, mul(p, a, mul(p, y, z)), mul(p, b, mul(p, x, z))), mul(p, c, mul(p, x, y)));
    ddt_expr half = divide(p, linear, mul(p, ddt_expr_const(pool, 2), total));
    ddt_expr root = ddt_expr_unary(pool, DDT_EXPR_SQRT, sub(p, mul(p, half, half), divide(p, constant, total)));
    m->v = divide(p, one, total);
    from_three_exponents(p, m, add(p, half, root), sub(p, half, root));
}

static void from_exponents(parser *p, micro *m) {
    const lincmt *l = &p->lincmt;
    bool amplitudes =
        has(l, ROLE_A) && (l->compartments < 2 || has(l, ROLE_B)) && (l->compartments < 3 || has(l, ROLE_C));
    if (amplitudes && !(has(l, ROLE_V) && (has(l, ROLE_K21) || has(l, ROLE_AOB)))) {
        from_amplitudes(p, m);
        return;
    }
    m->v = value_of(p, ROLE_V);
    if (l->compartments == 1) {
        m->k10 = value_of(p, ROLE_ALPHA);
    } else if (l->compartments == 3) {
        from_three_exponents(p, m, value_of(p, ROLE_K21), value_of(p, ROLE_K31));
    } else if (has(l, ROLE_K21)) {
        from_two_exponents(p, m, value_of(p, ROLE_K21));
    } else { /* aob = A / B */
        ddt_expr aob = value_of(p, ROLE_AOB);
        ddt_expr above = add(p, mul(p, aob, value_of(p, ROLE_BETA)), value_of(p, ROLE_ALPHA));
        from_two_exponents(p, m, divide(p, above, add(p, aob, ddt_expr_const(p->model->pool, 1))));
    }
}

static ddt_expr state(parser *p, uint32_t compartment) {
    return ddt_expr_symbol(p->model->pool, p->model->compartments[compartment].symbol);
}

static void set_derivative(parser *p, uint32_t compartment, ddt_expr value) {
    const char *text = p->model->compartments[compartment].name;
    uint32_t name = parser_find_name(p, text, strlen(text));
    if (name != NO_INDEX) {
        p->names[name].slots[SLOT_DERIVATIVE] = value;
    }
}

static void write_equations(parser *p, const micro *m) {
    lincmt *l = &p->lincmt;
    ddt_expr central = state(p, l->central);
    ddt_expr slope = ddt_expr_unary(p->model->pool, DDT_EXPR_NEG, mul(p, m->k10, central));
    if (l->depot != NO_INDEX) {
        ddt_expr absorbed = mul(p, value_of(p, ROLE_KA), state(p, l->depot));
        set_derivative(p, l->depot, ddt_expr_unary(p->model->pool, DDT_EXPR_NEG, absorbed));
        slope = add(p, absorbed, slope);
    }
    for (unsigned i = 0; i + 1 < l->compartments; i++) {
        ddt_expr leaving = mul(p, m->out[i], central);
        ddt_expr returning = mul(p, m->in[i], state(p, l->peripheral[i]));
        set_derivative(p, l->peripheral[i], sub(p, leaving, returning));
        slope = add(p, sub(p, slope, leaving), returning);
    }
    set_derivative(p, l->central, slope);
    l->concentration = divide(p, central, m->v);
}

ddt_expr lincmt_call(parser *p, unsigned line) {
    lincmt *l = &p->lincmt;
    static const char construct[] = "linCmt()";
    if (l->built) {
        return l->concentration;
    }
    if (p->keep_changes) {
        parser_refuse(p, line, construct, sizeof construct - 1, "it does not stand under a condition");
        return DDT_EXPR_NONE;
    }
    l->line = line;
    micro m = {.v = DDT_EXPR_NONE, .k10 = DDT_EXPR_NONE};
    if (l->form == LINCMT_CLEARANCE) {
        from_clearances(p, &m);
    } else if (l->form == LINCMT_MICRO) {
        from_rates(p, &m);
    } else {
        from_exponents(p, &m);
    }
    if (p->status == DDT_OK) {
        write_equations(p, &m);
        parser_check(p, line, l->concentration);
        l->built = true;
    }
    return p->status == DDT_OK ? l->concentration : DDT_EXPR_NONE;
}
