/*
 * Writes a plan with parameters far below 128 bits, as only tests can make one: the commands must refuse it.
 * Usage: cli_insecure_plan PATH
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ddt/circuit.h"

#include <stdio.h>

static ddt_status build(ddt_context *ctx, ddt_circuit **out) {
    static const double values[] = {0.5, -0.25};
    ddt_status status = ddt_circuit_create(ctx, 1, 2, out);
    if (status != DDT_OK) {
        return status;
    }
    ddt_node x = ddt_circuit_input(*out, "x", 1.0);
    ddt_circuit_output(*out, "y", ddt_circuit_mul(*out, x, x));
    const double *const inputs[] = {values};
    uint64_t violations = 0;
    status = ddt_circuit_status(*out);
    return status == DDT_OK ? ddt_circuit_calibrate(ctx, *out, inputs, &violations) : status;
}

static ddt_status write_plan(ddt_context *ctx, const ddt_plan *plan, const char *path) {
    ddt_writer *writer = NULL;
    ddt_status status = ddt_writer_open(ctx, path, DDT_WIRE_PLAN, false, &writer);
    if (status != DDT_OK) {
        return status;
    }
    status = ddt_plan_write(writer, plan);
    if (status != DDT_OK) {
        ddt_writer_abort(writer);
        return status;
    }
    return ddt_writer_commit(writer, NULL);
}

int main(int argc, char **argv) {
    ddt_context *ctx = NULL;
    ddt_circuit *circuit = NULL;
    ddt_plan *plan = NULL;
    enum { SMALL_LOG_N = 10 };
    const ddt_plan_request request = {.target_error = 1e-3, .log_n = SMALL_LOG_N, .insecure_for_testing = true};
    ddt_status status = argc == 2 ? ddt_context_create(&ctx) : DDT_ERR_USAGE;
    if (status == DDT_OK) {
        status = build(ctx, &circuit);
    }
    if (status == DDT_OK) {
        status = ddt_plan_create(ctx, circuit, &request, &plan);
    }
    if (status == DDT_OK) {
        status = write_plan(ctx, plan, argv[1]);
    }
    if (status != DDT_OK) {
        (void)fprintf(stderr, "%s\n", ctx == NULL ? "usage: cli_insecure_plan PATH" : ddt_error_detail(ctx));
    }
    ddt_plan_destroy(plan);
    ddt_circuit_destroy(circuit);
    ddt_context_destroy(ctx);
    return ddt_status_exit_code(status);
}
