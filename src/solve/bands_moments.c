/*
 * Moments to percentiles: the transform, Cornish and Fisher's expansion, and the way back.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bands.h"

/* Shares below 0 are what the errors of a circuit make of an output that is 0. */
const double bands_low_share = -0.04;

/* log(1 + steepness s): straight for outputs far below their largest value, a logarithm above a tenth of it. */
static const double steepness = 10.0;

static double scaled_log(double share) {
    const double low = log(1.0 + steepness * bands_low_share);
    const double high = log(1.0 + steepness);
    return 2.0 * (log(1.0 + steepness * share) - low) / (high - low) - 1.0;
}

/* Interpolation at Chebyshev's points. */
void bands_polynomial(double coefficients[BANDS_DEGREE + 1]) {
    enum { POINTS = BANDS_DEGREE + 1 };
    const double pi = 3.14159265358979323846;
    for (int k = 0; k < POINTS; k++) {
        double sum = 0.0;
        for (int j = 0; j < POINTS; j++) {
            const double angle = pi * (j + 0.5) / POINTS;
            sum += scaled_log((cos(angle) - bands_offset()) / bands_slope()) * cos(k * angle);
        }
        coefficients[k] = (k == 0 ? 1.0 : 2.0) * sum / POINTS;
    }
}

double ddt_bands_transform(double share) {
    double c[BANDS_DEGREE + 1];
    double next = 0.0;
    double after = 0.0;
    bands_polynomial(c);
    const double x = bands_slope() * share + bands_offset();
    for (int k = BANDS_DEGREE; k > 0; k--) { /* Clenshaw */
        const double now = 2.0 * x * next - after + c[k];
        after = next;
        next = now;
    }
    return x * next - after + c[0];
}

/* The transform grows on [0, 1]. */
static double share_of(double u) {
    enum { HALVINGS = 50 };
    double low = 0.0;
    double high = 1.0;
    for (int i = 0; i < HALVINGS; i++) {
        const double middle = 0.5 * (low + high);
        *(ddt_bands_transform(middle) < u ? &low : &high) = middle;
    }
    return 0.5 * (low + high);
}

void ddt_bands_of_moments(const double moments[DDT_BANDS_PERCENTILES], double band[DDT_BANDS_PERCENTILES]) {
    static const double normal[DDT_BANDS_PERCENTILES] = {-1.6448536269514722, 0.0, 1.6448536269514722};
    const double skewness_most = 1.5; /* beyond, the expansion's percentiles change their order */
    const double mean = moments[0];
    const double variance = fmax(moments[1] - mean * mean, 0.0);
    const double deviation = sqrt(variance);
    const double third = moments[2] - 3.0 * mean * moments[1] + 2.0 * mean * mean * mean;
    double skewness = variance > 0.0 ? third / (variance * deviation) : 0.0;
    skewness = isfinite(skewness) ? fmax(-skewness_most, fmin(skewness_most, skewness)) : 0.0;
    for (size_t i = 0; i < DDT_BANDS_PERCENTILES; i++) {
        const double z = normal[i];
        const double w = z + (z * z - 1.0) * skewness / 6.0 - (2.0 * z * z * z - 5.0 * z) * skewness * skewness / 36.0;
        band[i] = share_of(mean + deviation * w);
    }
}
