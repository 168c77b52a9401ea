/*
 * Functions as polynomials: Chebyshev interpolation at the least degree that is good enough.
 *
 * The interpolant through the n = degree + 1 roots of T_n has c_k = (2/n) sum_j f(x_j) cos(k theta_j) (half of it for k
 * = 0), with x_j = cos(theta_j), theta_j = pi (j + 1/2) / n. Its error is measured on a grid between the roots, not
 * estimated.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "approximate.h"

#include <math.h>
#include <string.h>

#ifndef M_PI
#define M_PI 3.14159265358979323846
#endif

bool circuit_interpolate(ddt_function f, const void *user, double low, double high, unsigned degree,
                         double *coefficients) {
    double values[CIRCUIT_DEGREE_MAX + 1];
    unsigned n = degree + 1;
    double middle = 0.5 * (high + low);
    double half = 0.5 * (high - low);
    for (unsigned j = 0; j < n; j++) {
        values[j] = f(middle + half * cos(M_PI * (j + 0.5) / n), user);
        if (!isfinite(values[j])) {
            return false;
        }
    }
    double largest = 0.0;
    for (unsigned k = 0; k < n; k++) {
        double sum = 0.0;
        for (unsigned j = 0; j < n; j++) {
            /* k (2 j + 1) mod 4 n keeps the argument small and the cosine exact. */
            unsigned phase = (unsigned)((unsigned long)k * (2 * j + 1) % (4UL * n));
            sum += values[j] * cos(M_PI * phase / (2.0 * n));
        }
        coefficients[k] = (k == 0 ? 1.0 : 2.0) * sum / n;
        largest = fmax(largest, fabs(coefficients[k]));
    }
    /* Rounding residue of even and odd functions: exact zeros save work. */
    for (unsigned k = 0; k < n; k++) {
        if (fabs(coefficients[k]) < 1e-16 * largest) {
            coefficients[k] = 0.0;
        }
    }
    return true;
}

double circuit_interpolation_error(ddt_function f, const void *user, double low, double high,
                                   const double *coefficients, unsigned degree) {
    /* Eight points between neighbouring roots, and both ends. */
    enum { POINTS_A_ROOT = 8 };
    unsigned n = (degree + 1) * POINTS_A_ROOT;
    double middle = 0.5 * (high + low);
    double half = 0.5 * (high - low);
    double worst = 0.0;
    for (unsigned j = 0; j <= n; j++) {
        double x = cos(M_PI * j / n);
        double y = 0.0;
        circuit_polynomial_clear(coefficients, degree, &x, 1, &y);
        double error = fabs(y - f(middle + half * x, user));
        if (!(error <= worst)) { /* NaN counts as an error */
            worst = error;
        }
        if (isnan(worst)) {
            return INFINITY;
        }
    }
    return worst;
}

/* The least of the offered degrees that meets the tolerance; 0 when none does. */
static unsigned choose_degree(ddt_function f, const void *user, double low, double high, double tolerance,
                              double *coefficients, double *error) {
    /* Each is the most that its depth allows. */
    static const unsigned degrees[] = {1, 3, 7, 15, 31, 63, 127};
    for (size_t i = 0; i < sizeof degrees / sizeof *degrees; i++) {
        if (!circuit_interpolate(f, user, low, high, degrees[i], coefficients)) {
            *error = INFINITY;
            return 0;
        }
        *error = circuit_interpolation_error(f, user, low, high, coefficients, degrees[i]);
        if (*error <= tolerance) {
            return degrees[i];
        }
    }
    return 0;
}

static ddt_node public_function(ddt_circuit *circuit, ddt_node y, ddt_function f, const void *user, double low,
                                double high) {
    double unused[2] = {0.0, 0.0};
    circuit_polynomial polynomial = {
        .coefficients = unused, .degree = 1, .function = f, .user = user, .low = low, .high = high};
    return circuit_build_polynomial(circuit, y, &polynomial);
}

ddt_node ddt_circuit_function(ddt_circuit *circuit, ddt_node x, double low, double high, ddt_function f,
                              const void *user, double tolerance, double *error) {
    circuit_graph *graph = &circuit->graph;
    double measured = 0.0;
    if (error != NULL) {
        *error = 0.0;
    }
    if (graph->status != DDT_OK) {
        return DDT_NODE_NONE;
    }
    if (x >= graph->node_count || !isfinite(low) || !isfinite(high) || !(low < high) || !(tolerance > 0.0)) {
        return circuit_graph_fail(graph,
                                  ddt_fail(graph->ctx, DDT_ERR_ARGUMENT,
                                           "A function of the circuit needs an operand, a range (not [%g, %g]) and a "
                                           "positive tolerance (not %g).",
                                           low, high, tolerance));
    }
    double half = 0.5 * (high - low);
    ddt_node y = ddt_circuit_affine(circuit, &x, (double[]){1.0 / half}, 1, -0.5 * (high + low) / half);
    if (ddt_circuit_is_public(circuit, x)) {
        return y == DDT_NODE_NONE ? y : public_function(circuit, y, f, user, low, high);
    }
    double coefficients[CIRCUIT_DEGREE_MAX + 1];
    unsigned degree = choose_degree(f, user, low, high, tolerance, coefficients, &measured);
    if (degree == 0) {
        return circuit_graph_fail(
            graph,
            ddt_fail(
                graph->ctx, DDT_ERR_UNSUPPORTED,
                isfinite(measured)
                    ? "A function on [%g, %g] has error %g at polynomial degree 127; %g is wanted: narrow the range."
                    : "A function on [%g, %g] is not finite everywhere (error %g; %g is wanted).",
                low, high, measured, tolerance));
    }
    if (error != NULL) {
        *error = measured;
    }
    circuit_polynomial polynomial = {
        .coefficients = coefficients, .degree = degree, .function = f, .user = user, .low = low, .high = high};
    return y == DDT_NODE_NONE ? y : circuit_build_polynomial(circuit, y, &polynomial);
}
