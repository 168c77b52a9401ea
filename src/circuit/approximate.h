/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_CIRCUIT_APPROXIMATE_H
#define DDT_CIRCUIT_APPROXIMATE_H

#include "graph.h"

/* Fills coefficients[0..degree] (Chebyshev basis on [low, high]); false where f is not finite at a root. */
bool circuit_interpolate(ddt_function f, const void *user, double low, double high, unsigned degree,
                         double *coefficients);
/* The largest error seen on a grid with eight points between neighbouring roots; infinite where f is not finite. */
double circuit_interpolation_error(ddt_function f, const void *user, double low, double high,
                                   const double *coefficients, unsigned degree);
/* Adds a polynomial node, without trailing zeros; degree 1 becomes an affine node. */
ddt_node circuit_build_polynomial(ddt_circuit *circuit, ddt_node x, const circuit_polynomial *polynomial);

#endif
