/*
 * Plans in files: sections PLAN (shape, parameters, names), PVEC (one for each public vector) and PROG (the
 * instructions). docs/circuit.md lists the bytes. What is read is hostile until plan_check has passed it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <math.h>
#include <string.h>

enum {
    PLAN_FORMAT = 3,
    PLAN_FLAG_INSECURE = 1,
    PLAN_PACK_SHIFT = 1, /* the next two bits of the flags: stages of uploads */
    PLAN_FLAGS_MAX = PLAN_FLAG_INSECURE | DDT_CKKS_PACK_STAGES_MAX << PLAN_PACK_SHIFT,
    /* The least bytes that an element takes in a file: counts are checked against what is left of the section. */
    INPUT_BYTES = 4 + 8,
    OUTPUT_BYTES = 4 + 4 + 4,
    PRODUCT_BYTES = 12,
    SCALED_BYTES = 16,
    EXACT_BYTES = 8,
    STEP_BYTES = 8,
    POLYNOMIAL_BYTES = 4 + 2 * 8,
    INSTRUCTION_BYTES = 1 + 4
};
/* Files hold finite numbers only. */
static const double no_bound = -1.0;
static const size_t section_bytes_max = (size_t)1 << 32;

/* ------------------------------------------------------------------ writing */

static void write_public(ddt_writer *writer, circuit_public p) {
    ddt_writer_u32(writer, p.vector);
    ddt_writer_f64(writer, p.constant);
}

static ddt_status write_head(ddt_writer *writer, const ddt_plan *plan) {
    ddt_writer_begin(writer, "PLAN");
    ddt_writer_u32(writer, PLAN_FORMAT);
    ddt_ckks_write_literal(writer, &plan->literal);
    ddt_writer_u32(writer, plan->boot.log_slots);
    ddt_writer_u32(writer, plan->boot.slots_levels);
    ddt_writer_u32(writer, plan->boot.baby);
    ddt_writer_u8(writer,
                  (uint8_t)((plan->insecure ? PLAN_FLAG_INSECURE : 0) | (plan->pack_stages << PLAN_PACK_SHIFT)));
    ddt_writer_u32(writer, plan->output_level);
    ddt_writer_f64(writer, plan->predicted_error);
    ddt_writer_f64(writer, isfinite(plan->noise_bound) ? plan->noise_bound : no_bound);
    ddt_writer_u64(writer, plan->pool.lanes);
    ddt_writer_u64(writer, plan->pool.block);
    ddt_writer_u32(writer, (uint32_t)plan->pool.count);
    ddt_writer_u32(writer, (uint32_t)plan->input_count);
    for (size_t i = 0; i < plan->input_count; i++) {
        ddt_writer_string(writer, plan->inputs[i].name);
        ddt_writer_f64(writer, plan->inputs[i].bound);
    }
    ddt_writer_u32(writer, (uint32_t)plan->output_count);
    for (size_t o = 0; o < plan->output_count; o++) {
        ddt_writer_string(writer, plan->outputs[o].name);
        ddt_writer_u32(writer, plan->outputs[o].value);
        ddt_writer_u32(writer, plan->outputs[o].carried);
    }
    return ddt_writer_end(writer);
}

static ddt_status write_vector(ddt_writer *writer, const circuit_vector *vector) {
    ddt_writer_begin(writer, "PVEC");
    ddt_writer_u64(writer, vector->count);
    for (size_t i = 0; i < vector->count; i++) {
        ddt_writer_f64(writer, vector->values[i]);
    }
    return ddt_writer_end(writer);
}

static void write_combination(ddt_writer *writer, const ddt_plan *plan, const plan_instruction *instruction) {
    write_public(writer, instruction->offset);
    ddt_writer_u32(writer, (uint32_t)instruction->product_count);
    for (size_t t = 0; t < instruction->product_count; t++) {
        const plan_product *p = &plan->products[instruction->product_begin + t];
        ddt_writer_u32(writer, p->a);
        ddt_writer_u32(writer, p->b);
        ddt_writer_u32(writer, (uint32_t)p->k);
    }
    ddt_writer_u32(writer, (uint32_t)instruction->scaled_count);
    for (size_t t = 0; t < instruction->scaled_count; t++) {
        ddt_writer_u32(writer, plan->scaleds[instruction->scaled_begin + t].a);
        write_public(writer, plan->scaleds[instruction->scaled_begin + t].c);
    }
    ddt_writer_u32(writer, (uint32_t)instruction->exact_count);
    for (size_t t = 0; t < instruction->exact_count; t++) {
        ddt_writer_u32(writer, plan->exacts[instruction->exact_begin + t].a);
        ddt_writer_u32(writer, (uint32_t)plan->exacts[instruction->exact_begin + t].k);
    }
}

static void write_family(ddt_writer *writer, const ddt_plan *plan, const plan_instruction *instruction) {
    ddt_writer_u32(writer, instruction->operand);
    ddt_writer_u32(writer, instruction->results);
    for (size_t r = 0; r < instruction->results; r++) {
        if (instruction->opcode == PLAN_ROTATION) {
            ddt_writer_i64(writer, plan->steps[instruction->detail_begin + r]);
            continue;
        }
        const plan_polynomial *p = &plan->polynomials[instruction->detail_begin + r];
        ddt_writer_u32(writer, p->degree);
        for (unsigned k = 0; k <= p->degree; k++) {
            ddt_writer_f64(writer, plan->coefficients[p->begin + k]);
        }
    }
}

static ddt_status write_program(ddt_writer *writer, const ddt_plan *plan) {
    ddt_writer_begin(writer, "PROG");
    ddt_writer_u32(writer, (uint32_t)plan->value_count);
    ddt_writer_bytes(writer, plan->levels, plan->value_count);
    ddt_writer_u32(writer, (uint32_t)plan->instruction_count);
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const plan_instruction *instruction = &plan->instructions[i];
        ddt_writer_u8(writer, (uint8_t)instruction->opcode);
        switch (instruction->opcode) {
        case PLAN_ADJUST:
            ddt_writer_u32(writer, instruction->operand);
            break;
        case PLAN_COMBINATION:
            write_combination(writer, plan, instruction);
            break;
        case PLAN_ROTATION:
        case PLAN_POLYNOMIAL:
            write_family(writer, plan, instruction);
            break;
        case PLAN_REFRESH:
            ddt_writer_u32(writer, instruction->operand);
            ddt_writer_u32(writer, instruction->partner);
            break;
        }
    }
    return ddt_writer_end(writer);
}

ddt_status ddt_plan_write(ddt_writer *writer, const ddt_plan *plan) {
    ddt_status status = write_head(writer, plan);
    for (size_t v = 0; v < plan->pool.count && status == DDT_OK; v++) {
        status = write_vector(writer, &plan->pool.vectors[v]);
    }
    return status == DDT_OK ? write_program(writer, plan) : status;
}

/* ------------------------------------------------------------------ reading */

/* Failures are sticky in the reader and in `status`; everything read before one is freed with the plan. */
typedef struct plan_reader {
    ddt_context *ctx;
    ddt_reader *reader;
    ddt_plan *plan;
    ddt_status status;
} plan_reader;

static void keep(plan_reader *r, ddt_status status) {
    if (r->status == DDT_OK) {
        r->status = status;
    }
}

static void refuse(plan_reader *r, const char *what) {
    if (r->status == DDT_OK) {
        r->status = ddt_fail(r->ctx, DDT_ERR_FORMAT, "'%s' is not a valid plan: %s.", ddt_reader_path(r->reader), what);
    }
}

static void fail_memory(plan_reader *r) {
    keep(r,
         ddt_fail(r->ctx, DDT_ERR_MEMORY, "Memory is short while reading the plan '%s'.", ddt_reader_path(r->reader)));
}

static uint32_t read_u32(plan_reader *r) {
    uint32_t value = 0;
    keep(r, ddt_reader_u32(r->reader, &value));
    return value;
}

static uint64_t read_u64(plan_reader *r) {
    uint64_t value = 0;
    keep(r, ddt_reader_u64(r->reader, &value));
    return value;
}

static double read_f64(plan_reader *r) {
    double value = 0.0;
    keep(r, ddt_reader_f64(r->reader, &value));
    return value;
}

static size_t read_count(plan_reader *r, size_t element_bytes, size_t max) {
    size_t count = 0;
    keep(r, ddt_reader_count(r->reader, element_bytes, max, &count));
    return r->status == DDT_OK ? count : 0;
}

static char *read_name(plan_reader *r) {
    char *name = NULL;
    keep(r, ddt_reader_string(r->reader, CIRCUIT_NAME_MAX, &name));
    return name;
}

static circuit_public read_public(plan_reader *r) {
    circuit_public p;
    p.vector = read_u32(r);
    p.constant = read_f64(r);
    return p;
}

/* Room for one more element of a plan's array. */
#define READ_GROW(r, items, count, capacity)                                                                           \
    ((r)->status == DDT_OK && (CIRCUIT_GROW(items, count, capacity) || (fail_memory(r), false)))

static void read_inputs(plan_reader *r) {
    ddt_plan *plan = r->plan;
    size_t count = read_count(r, INPUT_BYTES, PLAN_NAMES_MAX);
    for (size_t i = 0; i < count && READ_GROW(r, plan->inputs, plan->input_count, plan->input_capacity); i++) {
        plan_input *input = &plan->inputs[plan->input_count++];
        *input = (plan_input){.name = read_name(r)};
        input->bound = read_f64(r);
    }
}

static void read_outputs(plan_reader *r) {
    ddt_plan *plan = r->plan;
    size_t count = read_count(r, OUTPUT_BYTES, PLAN_NAMES_MAX);
    for (size_t o = 0; o < count && READ_GROW(r, plan->outputs, plan->output_count, plan->output_capacity); o++) {
        plan_output *output = &plan->outputs[plan->output_count++];
        *output = (plan_output){.name = read_name(r)};
        output->value = read_u32(r);
        output->carried = read_u32(r);
    }
}

/* Returns the number of public vectors that follow. */
static size_t read_head(plan_reader *r) {
    ddt_plan *plan = r->plan;
    uint8_t flags = 0;
    keep(r, ddt_reader_begin(r->reader, "PLAN", section_bytes_max));
    uint32_t format = read_u32(r);
    if (r->status == DDT_OK && format != PLAN_FORMAT) {
        keep(r, ddt_fail(r->ctx, DDT_ERR_VERSION, "'%s' holds a plan of format %u; this program reads format %d.",
                         ddt_reader_path(r->reader), format, PLAN_FORMAT));
    }
    if (r->status == DDT_OK && ddt_ckks_read_literal(r->reader, &plan->literal) != DDT_OK) {
        refuse(r, "its parameters are out of range");
    }
    plan->boot.log_slots = read_u32(r);
    plan->boot.slots_levels = read_u32(r);
    plan->boot.baby = read_u32(r);
    keep(r, ddt_reader_u8(r->reader, &flags));
    if (flags > PLAN_FLAGS_MAX) {
        refuse(r, "it has unknown flags");
    }
    plan->insecure = (flags & PLAN_FLAG_INSECURE) != 0;
    plan->pack_stages = (unsigned)flags >> PLAN_PACK_SHIFT;
    plan->output_level = read_u32(r);
    plan->predicted_error = read_f64(r);
    plan->noise_bound = read_f64(r);
    plan->noise_bound = plan->noise_bound == no_bound ? INFINITY : plan->noise_bound;
    uint64_t lanes = read_u64(r);
    uint64_t block = read_u64(r);
    if (lanes < 1 || lanes > CIRCUIT_LANES_MAX || block < 1 || block > CIRCUIT_BLOCK_MAX) {
        refuse(r, "its lanes or block are out of range");
    }
    plan->pool.lanes = (size_t)lanes;
    plan->pool.block = (size_t)block;
    uint32_t vectors = read_u32(r);
    if (vectors > PLAN_VECTORS_MAX) {
        refuse(r, "it has too many public vectors");
    }
    read_inputs(r);
    read_outputs(r);
    if (r->status == DDT_OK) {
        keep(r, ddt_reader_end(r->reader));
    }
    return r->status == DDT_OK ? vectors : 0;
}

static void read_vector(plan_reader *r) {
    circuit_pool *pool = &r->plan->pool;
    keep(r, ddt_reader_begin(r->reader, "PVEC", section_bytes_max));
    uint64_t count = read_u64(r);
    if (!circuit_is_period((size_t)count, pool->lanes, pool->block)) {
        refuse(r, "a public vector has the wrong length");
    }
    if (!READ_GROW(r, pool->vectors, pool->count, pool->capacity)) {
        return;
    }
    /* The bytes are there: ddt_reader_begin has read them. A forged count fails at the first value that is missing. */
    double *values = count * sizeof(double) > section_bytes_max ? NULL : ddt_alloc((size_t)count, sizeof *values);
    if (values == NULL) {
        fail_memory(r);
        return;
    }
    pool->vectors[pool->count++] = (circuit_vector){.values = values, .count = (size_t)count};
    for (size_t i = 0; i < count && r->status == DDT_OK; i++) {
        values[i] = read_f64(r);
    }
    if (r->status == DDT_OK) {
        keep(r, ddt_reader_end(r->reader));
    }
}

static void read_combination(plan_reader *r, plan_instruction *instruction) {
    ddt_plan *plan = r->plan;
    instruction->results = 1;
    instruction->operand = CIRCUIT_NONE;
    instruction->offset = read_public(r);
    instruction->product_begin = plan->product_count;
    instruction->product_count = read_count(r, PRODUCT_BYTES, PLAN_TERMS_MAX);
    for (size_t t = 0;
         t < instruction->product_count && READ_GROW(r, plan->products, plan->product_count, plan->product_capacity);
         t++) {
        plan_product *p = &plan->products[plan->product_count++];
        p->a = read_u32(r);
        p->b = read_u32(r);
        p->k = (int32_t)read_u32(r);
    }
    instruction->scaled_begin = plan->scaled_count;
    instruction->scaled_count = read_count(r, SCALED_BYTES, PLAN_TERMS_MAX);
    for (size_t t = 0;
         t < instruction->scaled_count && READ_GROW(r, plan->scaleds, plan->scaled_count, plan->scaled_capacity); t++) {
        plan_scaled *s = &plan->scaleds[plan->scaled_count++];
        s->a = read_u32(r);
        s->c = read_public(r);
    }
    instruction->exact_begin = plan->exact_count;
    instruction->exact_count = read_count(r, EXACT_BYTES, PLAN_TERMS_MAX);
    for (size_t t = 0;
         t < instruction->exact_count && READ_GROW(r, plan->exacts, plan->exact_count, plan->exact_capacity); t++) {
        plan_exact *e = &plan->exacts[plan->exact_count++];
        e->a = read_u32(r);
        e->k = (int32_t)read_u32(r);
    }
}

static void read_rotations(plan_reader *r, plan_instruction *instruction) {
    ddt_plan *plan = r->plan;
    instruction->operand = read_u32(r);
    instruction->results = (uint32_t)read_count(r, STEP_BYTES, PLAN_ROTATIONS_MAX);
    instruction->detail_begin = plan->step_count;
    for (size_t k = 0; k < instruction->results && READ_GROW(r, plan->steps, plan->step_count, plan->step_capacity);
         k++) {
        int64_t step = 0;
        keep(r, ddt_reader_i64(r->reader, &step));
        plan->steps[plan->step_count++] = step;
    }
}

static void read_polynomial(plan_reader *r) {
    ddt_plan *plan = r->plan;
    uint32_t degree = read_u32(r);
    if (degree < 1 || degree > CIRCUIT_DEGREE_MAX) {
        refuse(r, "a polynomial's degree is out of range");
    }
    if (!READ_GROW(r, plan->polynomials, plan->polynomial_count, plan->polynomial_capacity)) {
        return;
    }
    plan->polynomials[plan->polynomial_count++] = (plan_polynomial){.begin = plan->coefficient_count, .degree = degree};
    for (unsigned k = 0;
         k <= degree && READ_GROW(r, plan->coefficients, plan->coefficient_count, plan->coefficient_capacity); k++) {
        plan->coefficients[plan->coefficient_count++] = read_f64(r);
    }
}

static void read_polynomials(plan_reader *r, plan_instruction *instruction) {
    instruction->operand = read_u32(r);
    instruction->results = (uint32_t)read_count(r, POLYNOMIAL_BYTES, PLAN_ROTATIONS_MAX);
    instruction->detail_begin = r->plan->polynomial_count;
    for (size_t k = 0; k < instruction->results && r->status == DDT_OK; k++) {
        read_polynomial(r);
    }
}

static void read_instruction(plan_reader *r, uint32_t *next_value) {
    ddt_plan *plan = r->plan;
    uint8_t opcode = 0;
    keep(r, ddt_reader_u8(r->reader, &opcode));
    plan_instruction instruction = {.opcode = (plan_opcode)opcode,
                                    .first = *next_value,
                                    .partner = CIRCUIT_NONE,
                                    .offset = circuit_public_constant(0.0)};
    switch (opcode) {
    case PLAN_ADJUST:
        instruction.results = 1;
        instruction.operand = read_u32(r);
        break;
    case PLAN_COMBINATION:
        read_combination(r, &instruction);
        break;
    case PLAN_ROTATION:
        read_rotations(r, &instruction);
        break;
    case PLAN_POLYNOMIAL:
        read_polynomials(r, &instruction);
        break;
    case PLAN_REFRESH:
        instruction.operand = read_u32(r);
        instruction.partner = read_u32(r);
        instruction.results = instruction.partner == CIRCUIT_NONE ? 1 : 2;
        break;
    default:
        refuse(r, "it has an unknown instruction");
    }
    *next_value += instruction.results;
    if (READ_GROW(r, plan->instructions, plan->instruction_count, plan->instruction_capacity)) {
        plan->instructions[plan->instruction_count++] = instruction;
    }
}

static void read_program(plan_reader *r) {
    ddt_plan *plan = r->plan;
    if (r->status != DDT_OK) {
        return;
    }
    keep(r, ddt_reader_begin(r->reader, "PROG", section_bytes_max));
    size_t values = read_count(r, 1, PLAN_VALUES_MAX);
    plan->levels = r->status == DDT_OK ? ddt_alloc(values, 1) : NULL;
    if (r->status == DDT_OK && plan->levels == NULL) {
        fail_memory(r);
    }
    if (r->status == DDT_OK) {
        plan->value_count = values;
        plan->value_capacity = values;
        keep(r, ddt_reader_bytes(r->reader, plan->levels, values));
    }
    size_t count = read_count(r, INSTRUCTION_BYTES, PLAN_VALUES_MAX);
    uint32_t next_value = (uint32_t)plan->input_count;
    for (size_t i = 0; i < count && r->status == DDT_OK; i++) {
        read_instruction(r, &next_value);
    }
    if (r->status == DDT_OK) {
        keep(r, ddt_reader_end(r->reader));
    }
}

ddt_status ddt_plan_read(ddt_context *ctx, ddt_reader *reader, ddt_plan **out) {
    plan_reader r = {.ctx = ctx, .reader = reader, .plan = plan_new()};
    if (r.plan == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short for a plan.");
    }
    size_t vectors = read_head(&r);
    for (size_t v = 0; v < vectors && r.status == DDT_OK; v++) {
        read_vector(&r);
    }
    read_program(&r);
    if (r.status == DDT_OK) {
        r.status = plan_check(ctx, r.plan);
    }
    if (r.status == DDT_OK) {
        r.status = plan_derive(ctx, r.plan);
    }
    if (r.status != DDT_OK) {
        ddt_plan_destroy(r.plan);
        return r.status;
    }
    *out = r.plan;
    return DDT_OK;
}
