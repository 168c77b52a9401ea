/*
 * Targets and products as text.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "recommend_internal.h"

#include "ddt/pharma/units.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX_BYTES = 4096, PART_SHOWN_BYTES = 80 };

/* A part of the text; spaces at its ends are no part of it. */
typedef struct span {
    const char *begin, *end;
} span;

static span trim(span s) {
    while (s.begin < s.end && isspace((unsigned char)*s.begin)) {
        s.begin++;
    }
    while (s.begin < s.end && isspace((unsigned char)s.end[-1])) {
        s.end--;
    }
    return s;
}

static bool is_empty(span s) { return s.begin == s.end; }

static int shown(span s) { return s.end - s.begin < PART_SHOWN_BYTES ? (int)(s.end - s.begin) : PART_SHOWN_BYTES; }

/* Cuts s at the first `separator` into *before and *after; false where there is none: all is before. */
static bool cut(span s, char separator, span *before, span *after) {
    const char *at = memchr(s.begin, separator, (size_t)(s.end - s.begin));
    *before = trim((span){s.begin, at == NULL ? s.end : at});
    *after = trim((span){at == NULL ? s.end : at + 1, s.end});
    return at != NULL;
}

static bool equals(span s, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(s.end - s.begin) != length) {
        return false;
    }
    size_t same = 0;
    while (same < length && tolower((unsigned char)s.begin[same]) == word[same]) {
        same++;
    }
    return same == length;
}

/* Takes `word` off the front of s, whatever the case. */
static bool starts_with(span *s, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(s->end - s->begin) < length || !equals((span){s->begin, s->begin + length}, word)) {
        return false;
    }
    s->begin += length;
    return true;
}

static bool is_number(span s, double *value) {
    enum { NUMBER_BYTES = 64 };
    char text[NUMBER_BYTES];
    size_t length = (size_t)(s.end - s.begin);
    if (length == 0 || length >= sizeof text || isalpha((unsigned char)*s.begin)) {
        return false;
    }
    memcpy(text, s.begin, length);
    text[length] = '\0';
    char *end = NULL;
    *value = strtod(text, &end);
    return end == text + length && isfinite(*value);
}

static ddt_status refuse(ddt_context *ctx, span part, const char *what) {
    return ddt_fail(ctx, DDT_ERR_USAGE, "'%.*s' %s.", shown(part), part.begin, what);
}

/* ------------------------------------------------------------------ units */

enum { UNIT_BYTES = 64 };

/* Amount per volume, or that times a time. */
static bool is_concentration(const ddt_unit *unit, bool *is_area) {
    const int *power = unit->power;
    *is_area = power[DDT_DIMENSION_TIME] == 1;
    const int amounts =
        abs(power[DDT_DIMENSION_MASS]) + abs(power[DDT_DIMENSION_SUBSTANCE]) + abs(power[DDT_DIMENSION_ACTIVITY]);
    const int sum = power[DDT_DIMENSION_MASS] + power[DDT_DIMENSION_SUBSTANCE] + power[DDT_DIMENSION_ACTIVITY];
    return amounts == 1 && sum == 1 && power[DDT_DIMENSION_LENGTH] == -3 && power[DDT_DIMENSION_POTENTIAL] == 0 &&
           (*is_area || power[DDT_DIMENSION_TIME] == 0);
}

static ddt_status read_unit(ddt_context *ctx, span text, ddt_unit *unit, bool *is_area) {
    char copy[UNIT_BYTES];
    const size_t length = (size_t)(text.end - text.begin);
    if (length >= sizeof copy) {
        return refuse(ctx, text, "is too long for a unit");
    }
    memcpy(copy, text.begin, length);
    copy[length] = '\0';
    if (ddt_unit_parse(ctx, copy, unit) == DDT_OK && is_concentration(unit, is_area)) {
        return DDT_OK;
    }
    ddt_context_clear(ctx); /* one sentence for all that is none */
    return refuse(
        ctx, text,
        "is not a unit of drug concentrations (UCUM: ng, ug, mg, g, nmol, umol, mmol, mol or [iU] per mL, dL or "
        "L; areas times h)");
}

static bool has_unit(const ddt_model *model) {
    return model != NULL && model->concentration_unit != NULL && model->concentration_unit[0] != '\0';
}

/* A text that UCUM does not know is refused even where nothing has to be converted: who reads the result must know what
 * its numbers are. (An effect's unit may be anything that UCUM knows.) */
static ddt_status read_own_unit(ddt_context *ctx, const ddt_model *model, ddt_unit *unit) {
    if (ddt_unit_parse(ctx, model->concentration_unit, unit) == DDT_OK) {
        return DDT_OK;
    }
    ddt_context_clear(ctx); /* say that it is the model's */
    return ddt_fail(
        ctx, DDT_ERR_DATA,
        "The model gives its concentrations in '%.*s', which UCUM does not know as a unit of drugs: name one "
        "in the model, units <- list(concentration = \"mg/L\").",
        PART_SHOWN_BYTES, model->concentration_unit);
}

static bool is_area_metric(ddt_metric_kind kind) { return kind == DDT_METRIC_AUC24 || kind == DDT_METRIC_AUC_WINDOW; }

static ddt_status convert_unit(ddt_context *ctx, span text, const ddt_model *model, ddt_recommend_target *target) {
    bool is_area = false;
    ddt_unit unit;
    ddt_unit own;
    if (target->kind == DDT_METRIC_TIME_ABOVE || target->kind == DDT_METRIC_SHARE) {
        return refuse(ctx, text, "is a unit, but parts of a time and shares have none");
    }
    if (target->of[0] != '\0') {
        return refuse(ctx, text, "is a unit, and those are understood for the model's first output only");
    }
    SOLVE_TRY(read_unit(ctx, text, &unit, &is_area));
    if (is_area != is_area_metric(target->kind)) {
        return refuse(ctx, text,
                      is_area ? "is the unit of an area under the curve, but the target is a concentration"
                              : "is the unit of a concentration, but the target is an area under the curve");
    }
    if (!has_unit(model)) {
        return refuse(ctx, text, "cannot be converted, as the model does not say in which unit its concentrations are");
    }
    SOLVE_TRY(read_own_unit(ctx, model, &own));
    if (is_area) {
        own.power[DDT_DIMENSION_TIME] = 1;
    }
    if (!ddt_unit_same_kind(&unit, &own)) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "'%.*s' cannot be converted to the model's unit %s.", shown(text),
                        text.begin, model->concentration_unit);
    }
    /* Areas are concentrations times the model's unit of time, of which a day has target->day. */
    const double seconds_a_day = 86400.0;
    const double factor = unit.factor / own.factor / (is_area ? seconds_a_day / target->day : 1.0);
    target->low *= factor;
    target->high *= factor;
    return DDT_OK;
}

/* ------------------------------------------------------------------ one target */

static const char known_metrics[] =
    "is no metric: auc24, aucFROM-TO, trough, peak, average, cumauc@TIME, fT>mic, nadir, max and share@TIME are known";

static ddt_status parse_window(ddt_context *ctx, span all, span rest, ddt_recommend_target *target) {
    span from;
    span to;
    target->kind = DDT_METRIC_AUC_WINDOW;
    if (!cut(rest, '-', &from, &to) || !is_number(from, &target->from_h) || !is_number(to, &target->to_h)) {
        return refuse(ctx, all, known_metrics);
    }
    if (!(target->from_h >= 0.0) || !(target->to_h > target->from_h)) {
        return refuse(ctx, all, "is not a window of time after the start of the regimen");
    }
    return DDT_OK;
}

static const struct metric_word {
    const char *word;
    ddt_metric_kind kind;
} metric_words[] = {
    {"trough", DDT_METRIC_TROUGH},
    {"peak", DDT_METRIC_PEAK},
    {"average", DDT_METRIC_AVERAGE},
    {"ft>mic", DDT_METRIC_TIME_ABOVE},
    {"auc24", DDT_METRIC_AUC24},
    {"cumauc", DDT_METRIC_AUC_WINDOW},
    {"auc_cumulative", DDT_METRIC_AUC_WINDOW},
    {"nadir", DDT_METRIC_LOWEST},
    {"min", DDT_METRIC_LOWEST},
    {"max", DDT_METRIC_HIGHEST},
    {"share", DDT_METRIC_SHARE},
};

static bool find_metric(span word, ddt_metric_kind *kind) {
    bool found = false;
    for (size_t i = 0; i < sizeof metric_words / sizeof *metric_words && !found; i++) {
        found = equals(word, metric_words[i].word);
        *kind = found ? metric_words[i].kind : *kind;
    }
    return found;
}

static ddt_status copy_name(ddt_context *ctx, span all, span name, char to[DDT_RECOMMEND_NAME_BYTES]) {
    size_t length = (size_t)(name.end - name.begin);
    if (length == 0 || length >= DDT_RECOMMEND_NAME_BYTES) {
        return refuse(ctx, all, "names no output between its parentheses");
    }
    memcpy(to, name.begin, length);
    to[length] = '\0';
    return DDT_OK;
}

/* "(NAME)" or, for shares, "(A/B)" behind a metric, which *metric loses. */
static ddt_status parse_of(ddt_context *ctx, span all, span *metric, ddt_recommend_target *target) {
    span names;
    span of;
    span base;
    if (!cut(*metric, '(', metric, &names)) {
        return DDT_OK;
    }
    if (is_empty(names) || names.end[-1] != ')') {
        return refuse(ctx, all, "has no ')' at the end of the metric");
    }
    names.end--;
    if (cut(names, '/', &of, &base)) {
        SOLVE_TRY(equals(*metric, "share") ? DDT_OK : refuse(ctx, all, "divides, which only a share does"));
        SOLVE_TRY(copy_name(ctx, all, base, target->relative_to));
    }
    return copy_name(ctx, all, of, target->of);
}

/* What belongs to a metric's time. */
static ddt_status check_time(ddt_context *ctx, span text, ddt_recommend_target *target) {
    if (target->kind == DDT_METRIC_AUC24 && !target->is_steady && target->at_h < target->day) {
        return refuse(ctx, text, "would begin before the regimen does");
    }
    if (target->is_steady && (target->kind == DDT_METRIC_AUC_WINDOW || target->kind == DDT_METRIC_SHARE)) {
        return refuse(ctx, text, "wants '@TIME': from the start to that time");
    }
    if (target->kind == DDT_METRIC_SHARE && target->of[0] == '\0') {
        return refuse(ctx, text, "wants the name of what is shared, such as share(liver)@24");
    }
    target->to_h = target->at_h;
    return DDT_OK;
}

static ddt_status parse_metric(ddt_context *ctx, span text, ddt_recommend_target *target) {
    span metric;
    span at;
    target->is_steady = !cut(text, '@', &metric, &at);
    if (!target->is_steady && (!is_number(at, &target->at_h) || !(target->at_h > 0.0))) {
        return refuse(ctx, text, "wants a time behind '@'");
    }
    SOLVE_TRY(parse_of(ctx, text, &metric, target));
    if (find_metric(metric, &target->kind)) {
        return check_time(ctx, text, target);
    }
    if (!starts_with(&metric, "auc")) {
        return refuse(ctx, text, known_metrics);
    }
    if (!target->is_steady) {
        return refuse(ctx, text, "has a window already: '@' says nothing there");
    }
    target->is_steady = false;
    return parse_window(ctx, text, metric, target);
}

/* One number: at least, at most or exactly, as the target has it. */
static ddt_status parse_value(ddt_context *ctx, span text, ddt_recommend_target *target) {
    double value = 0.0;
    if (!is_number(text, &value)) {
        return refuse(ctx, text, "is neither a number nor LOW:HIGH");
    }
    bool is_least =
        target->kind == DDT_METRIC_TIME_ABOVE || target->kind == DDT_METRIC_LOWEST || target->kind == DDT_METRIC_SHARE;
    bool is_most = target->is_toxicity || target->kind == DDT_METRIC_HIGHEST;
    target->low = is_most ? 0.0 : value;
    target->high = is_least && !is_most ? INFINITY : value;
    return DDT_OK;
}

static ddt_status parse_range(ddt_context *ctx, span text, ddt_recommend_target *target) {
    span low;
    span high;
    target->low = 0.0;
    target->high = INFINITY;
    if (!cut(text, ':', &low, &high)) {
        SOLVE_TRY(parse_value(ctx, text, target));
    } else if (is_empty(low) && is_empty(high)) {
        return refuse(ctx, text, "gives no limit");
    } else if ((!is_empty(low) && !is_number(low, &target->low)) ||
               (!is_empty(high) && !is_number(high, &target->high))) {
        return refuse(ctx, text, "is not LOW:HIGH, LOW: or :HIGH with numbers");
    }
    if (target->low < 0.0 || !(target->high > 0.0) || (target->low == 0.0 && isinf(target->high))) {
        return refuse(ctx, text, "is no range: limits are positive");
    }
    if (target->low > target->high) {
        return refuse(ctx, text, "is contradictory: the lower limit is above the upper one");
    }
    if (target->kind == DDT_METRIC_TIME_ABOVE &&
        (target->low > 1.0 || (isfinite(target->high) && target->high > 1.0))) {
        return refuse(ctx, text, "is out of reach: a part of the time lies between 0 and 1");
    }
    return DDT_OK;
}

static ddt_status parse_key(ddt_context *ctx, span text, ddt_recommend_target *target) {
    span key;
    span value;
    double number = 0.0;
    if (!cut(text, '=', &key, &value) || !is_number(value, &number)) {
        return refuse(ctx, text, "is not KEY=NUMBER");
    }
    if (!(number > 0.0)) {
        return refuse(ctx, text, "must be positive");
    }
    if (equals(key, "weight")) {
        target->weight = number;
    } else if (equals(key, "mic") && target->kind == DDT_METRIC_TIME_ABOVE) {
        target->mic = number;
    } else {
        return refuse(ctx, text, "is not understood here: 'weight' and, for fT>mic, 'mic' are known");
    }
    return DDT_OK;
}

/* LOW:HIGH[UNIT] */
static ddt_status parse_limits(ddt_context *ctx, span text, const ddt_model *model, ddt_recommend_target *target) {
    span range;
    span unit_text;
    if (!cut(text, '[', &range, &unit_text)) {
        ddt_unit own;
        SOLVE_TRY(has_unit(model) && target->of[0] == '\0' ? read_own_unit(ctx, model, &own) : DDT_OK);
        return parse_range(ctx, text, target);
    }
    if (is_empty(unit_text) || unit_text.end[-1] != ']') {
        return refuse(ctx, text, "has a unit without ']'");
    }
    unit_text.end--;
    SOLVE_TRY(parse_range(ctx, range, target));
    return convert_unit(ctx, trim(unit_text), model, target);
}

/* METRIC=RANGE, before the keys. ">" of fT>mic is no separator. */
static ddt_status parse_target(ddt_context *ctx, span text, const ddt_model *model, ddt_recommend_target *target) {
    span head;
    span metric;
    span range;
    span keys;
    span key;
    *target = (ddt_recommend_target){.weight = 1.0, .day = ddt_recommend_day(model)};
    (void)cut(text, ',', &head, &keys);
    target->is_toxicity = starts_with(&head, "tox:");
    if (!cut(trim(head), '=', &metric, &range)) {
        return refuse(ctx, text, "is not METRIC=RANGE");
    }
    if ((size_t)(metric.end - metric.begin) + sizeof "tox:" > sizeof target->name) {
        return refuse(ctx, metric, known_metrics);
    }
    (void)snprintf(target->name, sizeof target->name, "%s%.*s", target->is_toxicity ? "tox:" : "",
                   (int)(metric.end - metric.begin), metric.begin);
    SOLVE_TRY(parse_metric(ctx, metric, target));
    SOLVE_TRY(parse_limits(ctx, range, model, target));
    while (!is_empty(keys)) {
        (void)cut(keys, ',', &key, &keys);
        SOLVE_TRY(parse_key(ctx, key, target));
    }
    if (target->kind == DDT_METRIC_TIME_ABOVE && !(target->mic > 0.0)) {
        return refuse(ctx, text, "wants mic=CONCENTRATION");
    }
    return DDT_OK;
}

static ddt_status check_length(ddt_context *ctx, const char *text, const char *what) {
    return strlen(text) <= TEXT_MAX_BYTES
               ? DDT_OK
               : ddt_fail(ctx, DDT_ERR_USAGE, "The %s has over %d characters.", what, TEXT_MAX_BYTES);
}

ddt_status ddt_recommend_parse_targets(ddt_context *ctx, const char *text, const ddt_model *model,
                                       ddt_recommend_targets *out) {
    ddt_recommend_targets found = {0};
    SOLVE_TRY(check_length(ctx, text, "target"));
    span rest = trim((span){text, text + strlen(text)});
    while (!is_empty(rest)) {
        span one;
        (void)cut(rest, ';', &one, &rest);
        if (found.count == DDT_RECOMMEND_TARGETS_MAX) {
            return ddt_fail(ctx, DDT_ERR_USAGE, "There are more than %d targets.", DDT_RECOMMEND_TARGETS_MAX);
        }
        SOLVE_TRY(parse_target(ctx, one, model, &found.items[found.count]));
        for (size_t i = 0; i < found.count; i++) {
            if (strcmp(found.items[i].name, found.items[found.count].name) == 0) {
                return refuse(ctx, one, "is a second target for the same metric");
            }
        }
        found.count++;
    }
    if (found.count == 0) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "No target is given, such as auc24=400:600.");
    }
    *out = found;
    return DDT_OK;
}

/* ------------------------------------------------------------------ what is told beside targets */

/* METRIC[@TIME], or fT>THRESHOLD. */
static ddt_status parse_report(ddt_context *ctx, span text, const ddt_model *model, ddt_recommend_target *figure) {
    span metric = text;
    *figure = (ddt_recommend_target){.high = INFINITY, .weight = 1.0, .day = ddt_recommend_day(model)};
    if ((size_t)(text.end - text.begin) >= sizeof figure->name || is_empty(text)) {
        return refuse(ctx, text, known_metrics);
    }
    (void)snprintf(figure->name, sizeof figure->name, "%.*s", (int)(text.end - text.begin), text.begin);
    if (starts_with(&metric, "ft>") || starts_with(&metric, "fT>")) {
        figure->kind = DDT_METRIC_TIME_ABOVE;
        figure->is_steady = true;
        return is_number(metric, &figure->mic) && figure->mic > 0.0 ? DDT_OK : refuse(ctx, text, "wants fT>THRESHOLD");
    }
    SOLVE_TRY(parse_metric(ctx, text, figure));
    return figure->of[0] == '\0' && figure->kind <= DDT_METRIC_AVERAGE
               ? DDT_OK
               : refuse(ctx, text,
                        "can be a target only: auc24, aucFROM-TO, cumauc@TIME, trough, peak, average and "
                        "fT>THRESHOLD are reported");
}

ddt_status ddt_recommend_parse_reports(ddt_context *ctx, const char *text, const ddt_model *model,
                                       ddt_recommend_targets *out) {
    ddt_recommend_targets found = {0};
    SOLVE_TRY(check_length(ctx, text, "list of figures"));
    span rest = trim((span){text, text + strlen(text)});
    if (equals(rest, "none")) {
        rest.begin = rest.end;
    }
    while (!is_empty(rest)) {
        span one;
        (void)cut(rest, ',', &one, &rest);
        if (found.count == DDT_RECOMMEND_TARGETS_MAX) {
            return ddt_fail(ctx, DDT_ERR_USAGE, "More than %d figures are to be reported.", DDT_RECOMMEND_TARGETS_MAX);
        }
        SOLVE_TRY(parse_report(ctx, trim(one), model, &found.items[found.count]));
        for (size_t i = 0; i < found.count; i++) {
            if (strcmp(found.items[i].name, found.items[found.count].name) == 0) {
                return refuse(ctx, one, "is there twice");
            }
        }
        found.count++;
    }
    *out = found;
    return DDT_OK;
}

/* ------------------------------------------------------------------ products */

static ddt_status parse_list(ddt_context *ctx, span text, double *values, size_t most, size_t *count, double least) {
    span all = text;
    *count = 0;
    while (!is_empty(text)) {
        span one;
        (void)cut(text, ',', &one, &text);
        if (*count == most) {
            return ddt_fail(ctx, DDT_ERR_USAGE, "'%.*s' has more than %zu values.", shown(all), all.begin, most);
        }
        if (!is_number(one, &values[*count]) || values[*count] < least) {
            return refuse(ctx, all, "is not a list of numbers that are large enough");
        }
        (*count)++;
    }
    return *count > 0 ? DDT_OK : refuse(ctx, all, "is empty");
}

static ddt_status parse_doses(ddt_context *ctx, span text, ddt_recommend_product *product) {
    span low;
    span rest;
    span high;
    span step;
    if (!cut(text, ':', &low, &rest) || !cut(rest, ':', &high, &step) || !is_number(low, &product->dose_low) ||
        !is_number(high, &product->dose_high) || !is_number(step, &product->dose_step)) {
        return refuse(ctx, text, "is not LOWEST:HIGHEST:STEP");
    }
    return DDT_OK;
}

static ddt_status parse_per(ddt_context *ctx, span text, ddt_recommend_product *product) {
    size_t length = (size_t)(text.end - text.begin);
    if (length == 0 || length >= sizeof product->per) {
        return refuse(ctx, text, "is no covariate's name");
    }
    memcpy(product->per, text.begin, length);
    product->per[length] = '\0';
    return DDT_OK;
}

static ddt_status parse_product_key(ddt_context *ctx, span part, ddt_recommend_product *product) {
    const double least_interval_h = 0.1;
    const double least_loading = 0.01;
    span key;
    span value;
    double number = 0.0;
    if (!cut(part, '=', &key, &value)) {
        return refuse(ctx, part, "is not KEY=VALUE");
    }
    if (equals(key, "dose")) {
        return parse_doses(ctx, value, product);
    }
    if (equals(key, "interval")) {
        return parse_list(ctx, value, product->intervals_h, DDT_RECOMMEND_INTERVALS_MAX, &product->interval_count,
                          least_interval_h);
    }
    if (equals(key, "infusion")) {
        return parse_list(ctx, value, product->infusions_h, DDT_RECOMMEND_INFUSIONS_MAX, &product->infusion_count, 0.0);
    }
    if (equals(key, "loading")) {
        return parse_list(ctx, value, product->loadings, DDT_RECOMMEND_LOADINGS_MAX, &product->loading_count,
                          least_loading);
    }
    if (equals(key, "per")) {
        return parse_per(ctx, value, product);
    }
    if (equals(key, "course")) {
        return parse_list(ctx, value, product->course_h, DDT_COURSE_DOSES_MAX, &product->course_count, 0.0);
    }
    if (!is_number(value, &number) || !(number > 0.0)) {
        return refuse(ctx, part, "is not a positive number");
    }
    if (equals(key, "rate")) {
        product->rate_max = number;
    } else if (equals(key, "daily")) {
        product->daily_max = number;
    } else if (equals(key, "day")) {
        product->day = number;
    } else if (equals(key, "change")) {
        product->change_weight = number;
    } else if (equals(key, "amount")) {
        product->dose_weight = number;
    } else if (equals(key, "cycles") && number == floor(number) && number <= RECOMMEND_CYCLES_MAX) {
        product->cycles = (unsigned)number;
    } else if (equals(key, "cmt") && number == floor(number) && number < UINT16_MAX) {
        product->compartment = (unsigned)number;
    } else {
        return refuse(ctx, part,
                      "is not understood: dose, interval, infusion, loading, rate, daily, cmt, per, cycles and day are "
                      "known, and for a course of doses course, change and amount");
    }
    return DDT_OK;
}

ddt_status ddt_recommend_parse_product(ddt_context *ctx, const char *text, ddt_recommend_product *out) {
    const double day_h = 24.0;
    ddt_recommend_product product = {.dose_step = -1.0};
    SOLVE_TRY(check_length(ctx, text, "product"));
    span rest = trim((span){text, text + strlen(text)});
    while (!is_empty(rest)) {
        span one;
        (void)cut(rest, ';', &one, &rest);
        SOLVE_TRY(parse_product_key(ctx, one, &product));
    }
    if (product.dose_step == -1.0) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "The product has no doses, such as dose=250:2000:250.");
    }
    const bool is_regimen = product.interval_count > 0 || product.loading_count > 0 || product.cycles > 0 ||
                            product.daily_max > 0.0 || product.per[0] != '\0' || product.infusion_count > 1;
    if (product.course_count > 0 ? is_regimen : product.change_weight > 0.0 || product.dose_weight > 0.0) {
        return ddt_fail(ctx, DDT_ERR_USAGE,
                        product.course_count > 0
                            ? "A course has times of its own and one infusion time: interval, loading, cycles, daily "
                              "and per are for regimens."
                            : "Weights of changes and amounts are for courses, such as course=0,12,24.");
    }
    if (product.interval_count == 0) {
        product.intervals_h[0] = product.day > 0.0 ? product.day : day_h;
        product.interval_count = 1;
    }
    SOLVE_TRY(recommend_check_product(ctx, &product));
    *out = product;
    return DDT_OK;
}

/* ------------------------------------------------------------------ back to text */

typedef struct writer {
    char *text;
    size_t used, room;
} writer;

static void write_numbers(writer *w, const char *key, const double *values, size_t count) {
    for (size_t i = 0; i < count && w->used < w->room; i++) {
        int more = snprintf(w->text + w->used, w->room - w->used, "%s%.10g", i == 0 ? key : ",", values[i]);
        w->used += more > 0 ? (size_t)more : 0;
    }
}

ddt_status ddt_recommend_product_text(ddt_context *ctx, const ddt_recommend_product *product, char **out) {
    enum { NUMBERS_MAX = 64, NUMBER_BYTES = 32 };
    const double compartment = product->compartment;
    const double cycles = product->cycles;
    writer w = {.room = (size_t)NUMBERS_MAX * NUMBER_BYTES};
    w.text = ddt_calloc(w.room, 1);
    if (w.text == NULL) {
        return solve_no_memory(ctx);
    }
    write_numbers(&w, "dose=", &product->dose_low, 1);
    write_numbers(&w, ":", &product->dose_high, 1);
    write_numbers(&w, ":", &product->dose_step, 1);
    write_numbers(&w, "; course=", product->course_h, product->course_count);
    write_numbers(&w, "; change=", &product->change_weight, product->change_weight > 0.0);
    write_numbers(&w, "; amount=", &product->dose_weight, product->dose_weight > 0.0);
    write_numbers(&w, "; interval=", product->intervals_h, product->course_count > 0 ? 0 : product->interval_count);
    write_numbers(&w, "; infusion=", product->infusions_h, product->infusion_count);
    write_numbers(&w, "; loading=", product->loadings, product->loading_count);
    write_numbers(&w, "; rate=", &product->rate_max, product->rate_max > 0.0);
    write_numbers(&w, "; daily=", &product->daily_max, product->daily_max > 0.0);
    write_numbers(&w, "; cmt=", &compartment, product->compartment > 0);
    write_numbers(&w, "; cycles=", &cycles, product->cycles > 0);
    write_numbers(&w, "; day=", &product->day, product->day > 0.0);
    if (product->per[0] != '\0' && w.used < w.room) {
        (void)snprintf(w.text + w.used, w.room - w.used, "; per=%s", product->per);
    }
    *out = w.text;
    return DDT_OK;
}
