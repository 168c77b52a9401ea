/*
 * Costs and probabilities as functions of a metric.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_internal.h"

double recommend_unit(const ddt_recommend_target *target) {
    if (!(target->low > 0.0)) {
        return target->high;
    }
    return isfinite(target->high) ? sqrt(target->low * target->high) : target->low;
}

double recommend_scale(const ddt_recommend_target *target) {
    return target->kind == DDT_METRIC_TIME_ABOVE ? target->mic : recommend_unit(target);
}

double recommend_uncompress(const ddt_recommend_target *target, double compressed) {
    const double most = 1.0 - 1e-12; /* an approximated value may reach 1 */
    double v = fmin(fmax(compressed, -most), most);
    return recommend_scale(target) * v / (1.0 - v);
}

/* Smooth min(1, ratio): (1 + ratio^(-1/edge))^-edge. */
static double at_most_one(double ratio) {
    const double straight_below = 0.05; /* there it is the ratio, negative ones included: errors of small values */
    return ratio > straight_below ? pow(1.0 + pow(ratio, -1.0 / DDT_RECOMMEND_EDGE), -DDT_RECOMMEND_EDGE) : ratio;
}

static bool has_both(const ddt_recommend_target *target) { return target->low > 0.0 && isfinite(target->high); }

double ddt_recommend_target_cost(const ddt_recommend_target *target, double value) {
    double x = fmax(value, -0.5 * recommend_unit(target));
    double centre = recommend_unit(target);
    double relative = (x - centre) / (x + centre);
    if (target->low == target->high) {
        return DDT_RECOMMEND_AIM * relative * relative;
    }
    double missing = target->low > 0.0 ? 1.0 - at_most_one(x / target->low) : 0.0;
    double excess = isfinite(target->high) && x > 0.0 ? 1.0 - at_most_one(target->high / x) : 0.0;
    double cost = missing * missing + excess * excess;
    return has_both(target) ? cost + DDT_RECOMMEND_CENTRE * relative * relative : cost;
}

/* 1 / (1 + (limit / value)^(1 / edge)) */
static double above(double value, double limit) {
    return value > 0.0 ? 1.0 / (1.0 + pow(limit / value, 1.0 / DDT_RECOMMEND_EDGE)) : 0.0;
}

double ddt_recommend_attained(const ddt_recommend_target *target, double value) {
    const double accepted = 1.2; /* a single value counts as attained within this factor */
    double widening = target->low == target->high ? accepted : 1.0;
    double p = 1.0;
    if (target->low > 0.0) {
        p *= above(value, target->low / widening);
    }
    if (isfinite(target->high)) {
        p *= 1.0 - above(value, target->high * widening);
    }
    return p;
}
