/* Evaluation of expressions: one at a time, and compiled programs. SPDX-License-Identifier: Apache-2.0 */
#include "expr_private.h"

#include <math.h>
#include <string.h>

double expr_polygamma(double order, double x) {
    /* psi^(n)(x) = (-1)^(n+1) n! [ sum over the recurrence of x^-(n+1) + the asymptotic series at x >= 16 ] (Abramowitz
     * and Stegun 6.4.6, 6.4.11). */
    enum { ORDER_MAX = 20, TERMS = 10 };
    const double far_enough = 24;
    static const double bernoulli[TERMS] = {1.0 / 6,       -1.0 / 30, 1.0 / 42,      -1.0 / 30,     5.0 / 66,
                                            -691.0 / 2730, 7.0 / 6,   -3617.0 / 510, 43867.0 / 798, -174611.0 / 330};
    if (!(order >= 0) || order > ORDER_MAX || floor(order) < order || !(x > 0)) {
        return NAN; /* negative arguments do not occur: gamma() of a negative number is no pharmacology */
    }
    double sum = 0;
    while (x < far_enough) {
        sum += pow(x, -(order + 1));
        x += 1;
    }
    if (order == 0) {
        double value = log(x) - 0.5 / x;
        double power = 1;
        for (int k = 0; k < TERMS; k++) {
            power /= x * x;
            value -= bernoulli[k] * power / (2.0 * (k + 1));
        }
        return value - sum;
    }
    /* (n-1)!/x^n + n!/(2 x^(n+1)) + sum B_2k (2k+n-1)!/((2k)! x^(2k+n)), all divided by n!. */
    double value = sum + pow(x, -order) / order + 0.5 * pow(x, -(order + 1));
    double factor = 1; /* (2k+n-1)! / ((2k)! n!), built up two steps a term from k = 0: (n-1)!/n! = 1/n */
    factor /= order;
    double power = pow(x, -order);
    for (int k = 1; k <= TERMS; k++) {
        factor *= (2.0 * k + order - 2) * (2.0 * k + order - 1) / ((2.0 * k - 1) * (2.0 * k));
        power /= x * x;
        value += bernoulli[k - 1] * factor * power;
    }
    double factorial = tgamma(order + 1);
    return fmod(order, 2) == 0 ? -factorial * value : factorial * value;
}

double ddt_expr_apply(ddt_expr_op op, double a, double b, double c) {
    int sign = 0;
    switch (op) {
    case DDT_EXPR_ADD:
        return a + b;
    case DDT_EXPR_SUB:
        return a - b;
    case DDT_EXPR_MUL:
        return a * b;
    case DDT_EXPR_DIV:
        return a == 0 && b == 0 ? 0 : a / b; /* as rxode2 has it: C / (C + K) with K = 0 before the first dose */
    case DDT_EXPR_NEG:
        return -a;
    case DDT_EXPR_POW:
        return pow(a, b);
    case DDT_EXPR_EXP:
        return exp(a);
    case DDT_EXPR_LOG:
        return log(a);
    case DDT_EXPR_SQRT:
        return sqrt(a);
    case DDT_EXPR_ABS:
        return fabs(a);
    case DDT_EXPR_MIN:
        return fmin(a, b);
    case DDT_EXPR_MAX:
        return fmax(a, b);
    case DDT_EXPR_GAMMA:
        return tgamma(a);
    case DDT_EXPR_LGAMMA:
        return lgamma_r(a, &sign);
    case DDT_EXPR_SIN:
        return sin(a);
    case DDT_EXPR_COS:
        return cos(a);
    case DDT_EXPR_TANH:
        return tanh(a);
    case DDT_EXPR_FLOOR:
        return floor(a);
    case DDT_EXPR_LT:
        return a < b ? 1 : 0;
    case DDT_EXPR_LE:
        return a <= b ? 1 : 0;
    case DDT_EXPR_EQ:
        return a == b ? 1 : 0;
    case DDT_EXPR_AND:
        return a != 0 && b != 0 ? 1 : 0;
    case DDT_EXPR_OR:
        return a != 0 || b != 0 ? 1 : 0;
    case DDT_EXPR_NOT:
        return a == 0 ? 1 : 0;
    case DDT_EXPR_IF:
        return a != 0 ? b : c;
    case DDT_EXPR_POLYGAMMA:
        return expr_polygamma(a, b);
    case DDT_EXPR_CONST:
    case DDT_EXPR_SYMBOL:
        break;
    }
    return NAN;
}

static double node_value(const ddt_expr_node *node, const double *symbols, const double *values) {
    if (node->op == DDT_EXPR_CONST) {
        return node->value;
    }
    if (node->op == DDT_EXPR_SYMBOL) {
        return symbols[node->symbol];
    }
    double b = node->b == DDT_EXPR_NONE ? 0 : values[node->b];
    double c = node->c == DDT_EXPR_NONE ? 0 : values[node->c];
    return ddt_expr_apply(node->op, values[node->a], b, c);
}

double ddt_expr_eval(const ddt_expr_pool *pool, ddt_expr e, const double *symbols, double *scratch) {
    if (!expr_valid(pool, e)) {
        return NAN;
    }
    if (scratch != NULL) {
        for (size_t i = 0; i <= e; i++) {
            scratch[i] = node_value(&pool->nodes[i], symbols, scratch);
        }
        return scratch[e];
    }
    size_t limit = 0;
    uint8_t *marks = expr_mark(pool, &e, 1, &limit);
    double *values = ddt_alloc(limit, sizeof *values);
    double result = NAN;
    if (marks != NULL && values != NULL) {
        for (size_t i = 0; i < limit; i++) {
            if (marks[i] != 0) {
                values[i] = node_value(&pool->nodes[i], symbols, values);
            }
        }
        result = values[e];
    }
    ddt_free(marks);
    ddt_free(values);
    return result;
}

/* ------------------------------------------------------------------ programs */

/* An operand: two bits say where it lies, the rest which one it is. */
enum { PLACE_SHIFT = 30 };
#define PLACE_REGISTER 0U
#define PLACE_SYMBOL 1U
#define PLACE_CONST 2U
#define PLACE_FIXED 3U
#define INDEX_MASK ((1U << PLACE_SHIFT) - 1)

typedef struct instruction {
    uint32_t op;
    uint32_t target; /* register */
    uint32_t operands[3];
} instruction;

struct ddt_expr_program {
    instruction *code;
    size_t length;
    instruction *fixed_code; /* of what does not vary: a value each */
    size_t fixed_count;
    double *constants;
    size_t constant_count;
    uint32_t *outputs;
    size_t output_count;
    size_t register_count;
};

static uint32_t operand(uint32_t place, uint32_t index) { return (place << PLACE_SHIFT) | index; }

void ddt_expr_program_destroy(ddt_expr_program *program) {
    if (program != NULL) {
        ddt_free(program->code);
        ddt_free(program->fixed_code);
        ddt_free(program->constants);
        ddt_free(program->outputs);
        ddt_free(program);
    }
}

size_t ddt_expr_program_length(const ddt_expr_program *program) { return program->length; }

size_t ddt_expr_program_fixed_count(const ddt_expr_program *program) { return program->fixed_count; }

/* What compilation needs beside the program itself. */
typedef struct compiler {
    const ddt_expr_pool *pool;
    const bool *is_varying; /* per symbol; NULL: all are */
    bool *is_fixed;         /* per node below `limit` */
    ddt_expr *order;
    size_t order_count;
    uint32_t *place;    /* operand of each node below `limit` */
    uint32_t *last_use; /* position in `order` of a node's last user; UINT32_MAX: an output, kept to the end */
    uint32_t *free_registers;
    size_t free_count;
} compiler;

static void find_last_uses(compiler *c, const ddt_expr *expressions, size_t count) {
    for (size_t i = 0; i < c->order_count; i++) {
        ddt_expr operands[3] = {0};
        unsigned arity = expr_operands(&c->pool->nodes[c->order[i]], operands);
        for (unsigned k = 0; k < arity; k++) {
            c->last_use[operands[k]] = (uint32_t)i;
        }
    }
    for (size_t i = 0; i < count; i++) {
        c->last_use[expressions[i]] = UINT32_MAX;
    }
}

static void emit(compiler *c, ddt_expr_program *program, size_t position) {
    const ddt_expr_node *node = &c->pool->nodes[c->order[position]];
    uint32_t *place = &c->place[c->order[position]];
    bool *is_fixed = &c->is_fixed[c->order[position]];
    if (node->op == DDT_EXPR_SYMBOL) {
        *is_fixed = c->is_varying != NULL && !c->is_varying[node->symbol];
        *place = operand(PLACE_SYMBOL, node->symbol);
        return;
    }
    if (node->op == DDT_EXPR_CONST) {
        *is_fixed = c->is_varying != NULL;
        program->constants[program->constant_count] = node->value;
        *place = operand(PLACE_CONST, (uint32_t)program->constant_count++);
        return;
    }
    ddt_expr operands[3] = {0};
    unsigned arity = expr_operands(node, operands);
    *is_fixed = true;
    for (unsigned k = 0; k < arity; k++) {
        *is_fixed = *is_fixed && c->is_fixed[operands[k]];
    }
    instruction *next = *is_fixed ? &program->fixed_code[program->fixed_count] : &program->code[program->length++];
    *next = (instruction){.op = (uint32_t)node->op};
    for (unsigned k = 0; k < arity; k++) {
        next->operands[k] = c->place[operands[k]];
    }
    if (*is_fixed) {
        next->target = (uint32_t)program->fixed_count++;
        *place = operand(PLACE_FIXED, next->target);
        return;
    }
    for (unsigned k = 0; k < arity; k++) {
        bool counted = (k > 0 && operands[k] == operands[0]) || (k > 1 && operands[k] == operands[1]);
        uint32_t where = c->place[operands[k]];
        if (!counted && c->last_use[operands[k]] == position && where >> PLACE_SHIFT == PLACE_REGISTER) {
            c->free_registers[c->free_count++] = where & INDEX_MASK;
        }
    }
    next->target = c->free_count > 0 ? c->free_registers[--c->free_count] : (uint32_t)program->register_count++;
    *place = operand(PLACE_REGISTER, next->target);
}

static bool allocate(compiler *c, ddt_expr_program *program, size_t limit, size_t count) {
    program->code = ddt_alloc(c->order_count, sizeof *program->code);
    program->fixed_code = ddt_alloc(c->order_count, sizeof *program->fixed_code);
    program->constants = ddt_alloc(c->order_count, sizeof *program->constants);
    program->outputs = ddt_alloc(count, sizeof *program->outputs);
    c->place = ddt_calloc(limit, sizeof *c->place);
    c->last_use = ddt_calloc(limit, sizeof *c->last_use);
    c->free_registers = ddt_alloc(c->order_count, sizeof *c->free_registers);
    c->is_fixed = ddt_calloc(limit, sizeof *c->is_fixed);
    return program->code != NULL && program->fixed_code != NULL && c->is_fixed != NULL && program->constants != NULL &&
           program->outputs != NULL && c->place != NULL && c->last_use != NULL && c->free_registers != NULL;
}

ddt_status ddt_expr_compile(ddt_context *ctx, const ddt_expr_pool *pool, const ddt_expr *expressions, size_t count,
                            ddt_expr_program **out) {
    return ddt_expr_compile_varying(ctx, pool, expressions, count, NULL, out);
}

ddt_status ddt_expr_compile_varying(ddt_context *ctx, const ddt_expr_pool *pool, const ddt_expr *expressions,
                                    size_t count, const bool *is_varying, ddt_expr_program **out) {
    compiler c = {.pool = pool, .is_varying = is_varying};
    ddt_status status = ddt_expr_topological(ctx, pool, expressions, count, &c.order, &c.order_count);
    if (status != DDT_OK) {
        return status;
    }
    size_t limit = c.order_count > 0 ? (size_t)c.order[c.order_count - 1] + 1 : 0;
    ddt_expr_program *program = ddt_calloc(1, sizeof *program);
    if (program == NULL || !allocate(&c, program, limit, count)) {
        status = ddt_fail(ctx, DDT_ERR_MEMORY, "No memory to compile %zu expressions.", count);
    } else {
        find_last_uses(&c, expressions, count);
        for (size_t i = 0; i < c.order_count; i++) {
            emit(&c, program, i);
        }
        for (size_t i = 0; i < count; i++) {
            program->outputs[i] = c.place[expressions[i]];
        }
        program->output_count = count;
    }
    ddt_free(c.order);
    ddt_free(c.place);
    ddt_free(c.last_use);
    ddt_free(c.is_fixed);
    ddt_free(c.free_registers);
    if (status != DDT_OK) {
        ddt_expr_program_destroy(program);
        return status;
    }
    *out = program;
    return DDT_OK;
}

static void execute(const instruction *code, size_t length, const double *const *places, double *registers) {
    for (size_t i = 0; i < length; i++) {
        const instruction *now = &code[i];
        double a = places[now->operands[0] >> PLACE_SHIFT][now->operands[0] & INDEX_MASK];
        double b = places[now->operands[1] >> PLACE_SHIFT][now->operands[1] & INDEX_MASK];
        switch (now->op) { /* the three that make up most of every model, without a call */
        case DDT_EXPR_ADD:
            registers[now->target] = a + b;
            break;
        case DDT_EXPR_SUB:
            registers[now->target] = a - b;
            break;
        case DDT_EXPR_MUL:
            registers[now->target] = a * b;
            break;
        default: {
            double c = places[now->operands[2] >> PLACE_SHIFT][now->operands[2] & INDEX_MASK];
            registers[now->target] = ddt_expr_apply((ddt_expr_op)now->op, a, b, c);
        }
        }
    }
}

void ddt_expr_program_fix(const ddt_expr_program *program, const double *symbols, double *fixed) {
    const double absent = 0.0; /* what an absent operand reads */
    const double *const places[] = {&absent, symbols, program->constants, fixed};
    execute(program->fixed_code, program->fixed_count, places, fixed);
}

void ddt_expr_program_run(const ddt_expr_program *program, const double *symbols, double *out) {
    ddt_expr_program_run_fixed(program, symbols, NULL, out);
}

void ddt_expr_program_run_fixed(const ddt_expr_program *program, const double *symbols, const double *fixed,
                                double *out) {
    enum { ON_STACK = 1024 };
    double stack[ON_STACK];
    double *registers =
        program->register_count <= ON_STACK ? stack : ddt_alloc(program->register_count, sizeof(double));
    if (registers == NULL) {
        for (size_t i = 0; i < program->output_count; i++) {
            out[i] = NAN;
        }
        return;
    }
    registers[0] = 0; /* what an absent operand reads */
    const double *const places[] = {registers, symbols, program->constants, fixed};
    execute(program->code, program->length, places, registers);
    for (size_t i = 0; i < program->output_count; i++) {
        out[i] = places[program->outputs[i] >> PLACE_SHIFT][program->outputs[i] & INDEX_MASK];
    }
    if (registers != stack) {
        ddt_free(registers);
    }
}
