/*
 * hand_model.h - small models built by hand, for tests that shall not depend on the model language.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef HAND_MODEL_H
#define HAND_MODEL_H

#include "ddt/pharma.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HAND_MAX = 64, HAND_NAME = 16 };

typedef struct hand {
    ddt_context *ctx;
    ddt_model model;
    char name[8];
    char names[HAND_MAX][HAND_NAME];
    ddt_symbol symbols[HAND_MAX];
    ddt_compartment compartments[HAND_MAX];
    uint32_t etas[HAND_MAX];
    double omega[HAND_MAX * HAND_MAX];
} hand;

static inline void hand_open(hand *h, ddt_context *context) {
    memset(h, 0, sizeof *h);
    h->ctx = context;
    memcpy(h->name, "hand", 5);
    h->model = (ddt_model){.name = h->name,
                           .path = h->name,
                           .symbols = h->symbols,
                           .compartments = h->compartments,
                           .etas = h->etas,
                           .omega = h->omega};
    assert_int_equal(ddt_expr_pool_create(context, &h->model.pool), DDT_OK);
}

static inline void hand_close(hand *h) { ddt_expr_pool_destroy(h->model.pool); }

/* A new symbol as an expression. */
static inline ddt_expr hand_symbol(hand *h, const char *name, ddt_symbol_kind kind, double value) {
    size_t i = h->model.symbol_count++;
    (void)snprintf(h->names[i], HAND_NAME, "%s", name);
    h->symbols[i] = (ddt_symbol){.name = h->names[i], .kind = kind, .value = value};
    return ddt_expr_symbol(h->model.pool, (uint32_t)i);
}

static inline ddt_expr hand_theta(hand *h, const char *name, double value) {
    return hand_symbol(h, name, DDT_SYMBOL_THETA, value);
}

static inline ddt_expr hand_covariate(hand *h, const char *name) {
    return hand_symbol(h, name, DDT_SYMBOL_COVARIATE, 0.0);
}

/* A new compartment; its state as an expression. */
static inline ddt_expr hand_state(hand *h, const char *name) {
    ddt_expr state = hand_symbol(h, name, DDT_SYMBOL_STATE, 0.0);
    ddt_compartment *c = &h->compartments[h->model.compartment_count++];
    *c = (ddt_compartment){.name = h->names[h->model.symbol_count - 1],
                           .symbol = (uint32_t)(h->model.symbol_count - 1),
                           .derivative = DDT_EXPR_NONE,
                           .initial = DDT_EXPR_NONE,
                           .bioavailability = DDT_EXPR_NONE,
                           .lag_h = DDT_EXPR_NONE,
                           .rate = DDT_EXPR_NONE,
                           .duration = DDT_EXPR_NONE};
    return state;
}

static inline ddt_expr hand_const(hand *h, double value) { return ddt_expr_const(h->model.pool, value); }

static inline ddt_expr hand_add(hand *h, ddt_expr a, ddt_expr b) {
    return ddt_expr_binary(h->model.pool, DDT_EXPR_ADD, a, b);
}

static inline ddt_expr hand_sub(hand *h, ddt_expr a, ddt_expr b) {
    return ddt_expr_binary(h->model.pool, DDT_EXPR_SUB, a, b);
}

static inline ddt_expr hand_mul(hand *h, ddt_expr a, ddt_expr b) {
    return ddt_expr_binary(h->model.pool, DDT_EXPR_MUL, a, b);
}

static inline ddt_expr hand_div(hand *h, ddt_expr a, ddt_expr b) {
    return ddt_expr_binary(h->model.pool, DDT_EXPR_DIV, a, b);
}

static inline ddt_expr hand_neg(hand *h, ddt_expr a) { return ddt_expr_unary(h->model.pool, DDT_EXPR_NEG, a); }

/* Depot and central of a one-compartment model with absorption; returns the central amount. */
static inline ddt_expr hand_oral(hand *h, ddt_expr ka, ddt_expr ke) {
    ddt_expr depot = hand_state(h, "depot");
    ddt_expr central = hand_state(h, "central");
    ddt_expr absorbed = hand_mul(h, ka, depot);
    h->compartments[0].derivative = hand_neg(h, absorbed);
    h->compartments[1].derivative = hand_sub(h, absorbed, hand_mul(h, ke, central));
    return central;
}

static inline ddt_events *hand_events(hand *h, const char *text) {
    ddt_events *events = NULL;
    ddt_context_clear(h->ctx);
    if (ddt_events_parse(h->ctx, text, strlen(text), "t.csv", &h->model, &events) != DDT_OK) {
        fail_msg("%s", ddt_error_detail(h->ctx));
    }
    return events;
}

#endif
