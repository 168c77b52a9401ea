/* What is assumed of a data column whose range the model does not declare. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/pharma/reference.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* A value that the model divides by, or subtracts, is taken as typical: the range lies around it. */
static const double below_reference = 0.7;
static const double above_reference = 1.4;
/* A number of which nothing is known: a parameter that the model's author took from the data. */
static const double unknown_low = 0.8;
static const double unknown_high = 1.25;

/* Columns that the field names alike, and adults' ranges. */
static const struct known {
    const char *name;
    double low;
    double high;
} known_columns[] = {
    {"WT", 50, 100},   {"BW", 50, 100},  {"BWT", 50, 100}, {"WEIGHT", 50, 100}, {"LBM", 40, 70},   {"FFM", 40, 70},
    {"AGE", 20, 80},   {"HT", 150, 190}, {"BMI", 18, 40},  {"BSA", 1.5, 2.2},   {"CRCL", 30, 120}, {"CLCR", 30, 120},
    {"EGFR", 30, 120}, {"GFR", 30, 120}, {"HCT", 25, 50},  {"ALB", 30, 50},
};

static const char *const binary_columns[] = {"SEX", "SEXF", "SEXM", "MALE", "FEMALE", "GENDER"};

static bool same_name(const char *a, const char *b) {
    while (*a != '\0' && toupper((unsigned char)*a) == toupper((unsigned char)*b)) {
        a++;
        b++;
    }
    return *a == '\0' && *b == '\0';
}

/* Descriptions of yes and no: "1 = yes, 0 = no", "1 for male, 0 for female". */
static bool reads_like_a_flag(const char *label) {
    static const char *const ones[] = {"1 =", "1=", "1 for", "1 if", "1: "};
    if (label == NULL || strchr(label, '0') == NULL) {
        return false;
    }
    for (size_t i = 0; i < sizeof ones / sizeof ones[0]; i++) {
        const char *at = strstr(label, ones[i]);
        if (at != NULL && (at == label || !isdigit((unsigned char)at[-1]))) {
            return true;
        }
    }
    return false;
}

static bool is_flag(const ddt_symbol *symbol) {
    for (size_t i = 0; i < sizeof binary_columns / sizeof binary_columns[0]; i++) {
        if (same_name(symbol->name, binary_columns[i])) {
            return true;
        }
    }
    return reads_like_a_flag(symbol->label);
}

static bool is_symbol(const ddt_expr_pool *pool, ddt_expr e, uint32_t symbol) {
    const ddt_expr_node *node = ddt_expr_get(pool, e);
    return node->op == DDT_EXPR_SYMBOL && node->symbol == symbol;
}

/* The first number that the model divides the column by or subtracts from it; 0 when there is none. */
static double reference_value(const ddt_model *model, uint32_t symbol) {
    const size_t count = ddt_expr_pool_count(model->pool);
    for (size_t i = 0; i < count; i++) {
        const ddt_expr_node node = *ddt_expr_get(model->pool, (ddt_expr)i);
        double value = 0;
        const bool relates = node.op == DDT_EXPR_DIV || node.op == DDT_EXPR_SUB;
        if (relates && is_symbol(model->pool, node.a, symbol) && ddt_expr_is_const(model->pool, node.b, &value) &&
            value > 0) {
            return value;
        }
    }
    return 0;
}

/* The largest whole number that the model compares the column with, at least 1. */
static double largest_category(const ddt_model *model, uint32_t symbol) {
    const size_t count = ddt_expr_pool_count(model->pool);
    double largest = 1;
    for (size_t i = 0; i < count; i++) {
        const ddt_expr_node node = *ddt_expr_get(model->pool, (ddt_expr)i);
        double value = 0;
        if (node.op == DDT_EXPR_EQ && is_symbol(model->pool, node.a, symbol) &&
            ddt_expr_is_const(model->pool, node.b, &value)) {
            largest = fmax(largest, floor(value));
        }
    }
    return largest;
}

static const struct known *find_known(const char *name) {
    for (size_t i = 0; i < sizeof known_columns / sizeof known_columns[0]; i++) {
        if (same_name(name, known_columns[i].name)) {
            return &known_columns[i];
        }
    }
    return NULL;
}

ddt_population_range ddt_population_range_of(const ddt_model *model, uint32_t symbol) {
    const ddt_symbol *column = &model->symbols[symbol];
    if (column->has_range) {
        return (ddt_population_range){column->range_low, column->range_high, column->is_discrete, false};
    }
    if (column->is_discrete) {
        return (ddt_population_range){0, largest_category(model, symbol), true, true};
    }
    if (is_flag(column)) {
        return (ddt_population_range){0, 1, true, true};
    }
    const double typical = reference_value(model, symbol);
    const struct known *known = find_known(column->name);
    if (known != NULL && (typical == 0 || (typical >= known->low && typical <= known->high))) {
        return (ddt_population_range){known->low, known->high, false, true};
    }
    if (typical > 0) {
        return (ddt_population_range){below_reference * typical, above_reference * typical, false, true};
    }
    return (ddt_population_range){unknown_low, unknown_high, false, true};
}
