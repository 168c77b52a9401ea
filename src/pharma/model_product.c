/* What a model file says of products and targets. SPDX-License-Identifier: Apache-2.0 */
#include "parser.h"

#include <math.h>
#include <string.h>

/* Rounding of quotients of decimal numbers (750 / 0.1) that shall count as whole. */
static const double step_rounding = 1e-9;

/* ------------------------------------------------------------------ values */

/* One number, or c(a, b, ...): at most `capacity` of them. Numbers only, as in ini. */
static size_t read_numbers(parser *p, const token *item, double *values, size_t capacity) {
    const bool in_ini = p->in_ini;
    const bool is_list = token_is_name(parser_peek(p), "c") && token_is(parser_peek_ahead(p, 1), '(');
    size_t count = 0;
    p->in_ini = true;
    p->at += is_list ? 2 : 0;
    do {
        parser_skip_newlines(p);
        const double value = parser_constant(p);
        if (count == capacity) {
            parser_refuse_token(p, item, "it has too many values");
        } else if (p->status == DDT_OK) {
            values[count++] = value;
        }
        parser_skip_newlines(p);
    } while (p->status == DDT_OK && is_list && token_is(parser_peek(p), ',') && parser_next(p) != NULL);
    if (is_list && p->status == DDT_OK) {
        parser_expect(p, ')', ")");
    }
    p->in_ini = in_ini;
    return count;
}

static double read_number(parser *p, const token *item) {
    double value = 0;
    if (read_numbers(p, item, &value, 1) != 1 && p->status == DDT_OK) {
        parser_refuse_token(p, item, "it takes one number");
    }
    return value;
}

/* c(low, high), or one number for both. */
static void read_bounds(parser *p, const token *item, double *low, double *high) {
    double values[2] = {0, 0};
    const size_t count = read_numbers(p, item, values, 2);
    *low = values[0];
    *high = values[count == 2 ? 1 : 0];
    if (p->status == DDT_OK && !(*low <= *high)) {
        parser_refuse_token(p, item, "its range is empty");
    }
}

static void read_increasing(parser *p, const token *item, double least, double **out, size_t *out_count) {
    double values[DDT_PRODUCT_VALUES_MAX];
    const size_t count = read_numbers(p, item, values, DDT_PRODUCT_VALUES_MAX);
    for (size_t i = 0; i < count && p->status == DDT_OK; i++) {
        if (!isfinite(values[i]) || values[i] < least || (i > 0 && !(values[i] > values[i - 1]))) {
            parser_refuse_token(p, item, "its values are not finite, increasing times");
        }
    }
    ddt_free(*out);
    *out_count = 0;
    *out = ddt_alloc(count, sizeof **out);
    if (*out == NULL) {
        parser_out_of_memory(p);
        return;
    }
    memcpy(*out, values, count * sizeof *values);
    *out_count = count;
}

/* "..." or paste("...", "..."). */
static void read_string(parser *p, char **where) {
    ddt_free(*where);
    *where = parser_list_text(p);
}

/* ------------------------------------------------------------------ products */

static void product_free(ddt_product *product) {
    ddt_free(product->name);
    ddt_free(product->description);
    ddt_free(product->route);
    ddt_free(product->source);
    ddt_free(product->intervals);
    ddt_free(product->infusions);
}

static uint32_t default_compartment(const ddt_model *model) {
    for (uint32_t c = 0; c < model->compartment_count; c++) {
        if (strcmp(model->compartments[c].name, "depot") == 0) {
            return c;
        }
    }
    return 0;
}

static void read_compartment(parser *p, const token *item, ddt_product *product) {
    char *name = parser_list_text(p);
    const ddt_model *model = p->model;
    for (uint32_t c = 0; name != NULL && c < model->compartment_count; c++) {
        if (strcmp(model->compartments[c].name, name) == 0) {
            product->compartment = c;
            ddt_free(name);
            return;
        }
    }
    if (name != NULL) {
        parser_refuse_token(p, item, "the model has no compartment of this name");
    }
    ddt_free(name);
}

static void product_item(parser *p, const token *item, ddt_product *product) {
    if (token_text_is(item, "description")) {
        read_string(p, &product->description);
    } else if (token_text_is(item, "route")) {
        read_string(p, &product->route);
    } else if (token_text_is(item, "source")) {
        read_string(p, &product->source);
    } else if (token_text_is(item, "cmt")) {
        read_compartment(p, item, product);
    } else if (token_text_is(item, "step")) {
        product->step = read_number(p, item);
    } else if (token_text_is(item, "dose")) {
        read_bounds(p, item, &product->dose_low, &product->dose_high);
    } else if (token_text_is(item, "loading")) {
        read_bounds(p, item, &product->loading_low, &product->loading_high);
    } else if (token_text_is(item, "daily")) {
        product->daily_max = read_number(p, item);
    } else if (token_text_is(item, "rate")) {
        product->rate_max = read_number(p, item);
    } else if (token_text_is(item, "interval")) {
        read_increasing(p, item, 0x1p-40, &product->intervals, &product->interval_count);
    } else if (token_text_is(item, "infusion")) {
        read_increasing(p, item, 0, &product->infusions, &product->infusion_count);
    } else {
        parser_refuse_token(p, item, "a product has no such entry: see docs/model-language.md");
    }
}

static void finish_product(parser *p, const token *name, ddt_product *product) {
    if (product->loading_high == 0) {
        product->loading_low = product->dose_low;
        product->loading_high = product->dose_high;
    }
    const bool fine = product->step > 0 && isfinite(product->step) && product->dose_low > 0 &&
                      isfinite(product->dose_high) && product->loading_low > 0 && isfinite(product->loading_high) &&
                      product->daily_max > 0 && product->rate_max > 0;
    if (p->status == DDT_OK && !fine) {
        parser_refuse_token(p, name, "the product's step, dose, daily and rate must be given and positive");
    }
    const double lowest = ceil(product->dose_low / product->step - step_rounding) * product->step;
    if (p->status == DDT_OK && lowest > product->dose_high * (1 + step_rounding)) {
        parser_refuse_token(p, name, "no multiple of the product's step lies within its dose");
    }
}

static void read_product(parser *p, const token *name) {
    ddt_product product = {.daily_max = INFINITY, .rate_max = INFINITY, .line = name->line};
    product.compartment = default_compartment(p->model);
    product.name = parser_copy(p, name->text, name->length);
    for (const token *item = parser_list_next(p); item != NULL && p->status == DDT_OK; item = parser_list_next(p)) {
        product_item(p, item, &product);
        parser_list_skip(p);
    }
    if (p->status == DDT_OK) {
        finish_product(p, name, &product);
    }
    if (p->status == DDT_OK && p->model->product_count == DDT_PRODUCTS_MAX) {
        parser_refuse_token(p, name, "the model has too many products");
    }
    if (p->status != DDT_OK) {
        product_free(&product);
        return;
    }
    p->model->products[p->model->product_count++] = product;
}

/* ------------------------------------------------------------------ targets */

static void target_free(ddt_target *target) {
    ddt_free(target->measure);
    ddt_free(target->output);
    ddt_free(target->description);
    ddt_free(target->unit);
    ddt_free(target->source);
}

static void target_item(parser *p, const token *item, ddt_target *target) {
    if (token_text_is(item, "description")) {
        read_string(p, &target->description);
    } else if (token_text_is(item, "output")) {
        read_string(p, &target->output);
    } else if (token_text_is(item, "units")) {
        read_string(p, &target->unit);
    } else if (token_text_is(item, "source")) {
        read_string(p, &target->source);
    } else if (token_text_is(item, "range")) {
        read_bounds(p, item, &target->low, &target->high);
    } else if (token_text_is(item, "threshold")) {
        target->threshold = read_number(p, item);
    } else {
        parser_refuse_token(p, item, "a target has no such entry: see docs/model-language.md");
    }
}

static bool is_value_of(const ddt_model *model, const char *name) {
    for (size_t i = 0; i < model->variable_count; i++) {
        if (strcmp(model->variable_names[i], name) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < model->compartment_count; i++) {
        if (strcmp(model->compartments[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void finish_target(parser *p, const token *name, ddt_target *target) {
    if (target->output == NULL) {
        const char *first = p->model->output_count > 0 ? p->model->outputs[0].name : "";
        target->output = parser_copy(p, first, strlen(first));
    } else if (!is_value_of(p->model, target->output)) {
        parser_refuse_token(p, name, "the target's output is no variable or compartment of the model");
    }
    if (p->status == DDT_OK && target->low == -INFINITY && target->high == INFINITY) {
        parser_refuse_token(p, name, "the target has no range");
    }
    if (p->status == DDT_OK && p->model->target_count == DDT_PRODUCTS_MAX) {
        parser_refuse_token(p, name, "the model has too many targets");
    }
}

static void read_target(parser *p, const token *name) {
    ddt_target target = {.low = -INFINITY, .high = INFINITY, .threshold = NAN, .line = name->line};
    target.measure = parser_copy(p, name->text, name->length);
    for (const token *item = parser_list_next(p); item != NULL && p->status == DDT_OK; item = parser_list_next(p)) {
        target_item(p, item, &target);
        parser_list_skip(p);
    }
    if (p->status == DDT_OK) {
        finish_target(p, name, &target);
    }
    if (p->status != DDT_OK) {
        target_free(&target);
        return;
    }
    p->model->targets[p->model->target_count++] = target;
}

/* ------------------------------------------------------------------ both */

static void read_lists(parser *p, size_t at, void (*read)(parser *, const token *)) {
    p->at = at;
    if (at == 0 || !parser_list_enter(p)) {
        return;
    }
    for (const token *name = parser_list_next(p); name != NULL && p->status == DDT_OK; name = parser_list_next(p)) {
        if (parser_list_enter(p)) {
            read(p, name);
        } else {
            parser_list_skip(p); /* some other file's metadata of this name */
        }
    }
}

void parser_products(parser *p) {
    ddt_model *model = p->model;
    if (p->products == 0 && p->targets == 0) {
        return;
    }
    model->products = ddt_calloc(DDT_PRODUCTS_MAX, sizeof *model->products);
    model->targets = ddt_calloc(DDT_PRODUCTS_MAX, sizeof *model->targets);
    if (model->products == NULL || model->targets == NULL) {
        parser_out_of_memory(p);
        return;
    }
    read_lists(p, p->products, read_product);
    if (p->status == DDT_OK) {
        read_lists(p, p->targets, read_target);
    }
}

void parser_products_free(ddt_model *model) {
    for (size_t i = 0; i < model->product_count; i++) {
        product_free(&model->products[i]);
    }
    for (size_t i = 0; i < model->target_count; i++) {
        target_free(&model->targets[i]);
    }
    ddt_free(model->products);
    ddt_free(model->targets);
}

const ddt_product *ddt_model_product(const ddt_model *model, const char *name) {
    for (size_t i = 0; i < model->product_count; i++) {
        if (name == NULL || strcmp(model->products[i].name, name) == 0) {
            return &model->products[i];
        }
    }
    return NULL;
}

const ddt_target *ddt_model_target(const ddt_model *model, const char *measure) {
    for (size_t i = 0; i < model->target_count; i++) {
        if (measure == NULL || strcmp(model->targets[i].measure, measure) == 0) {
            return &model->targets[i];
        }
    }
    return NULL;
}

double ddt_product_round(const ddt_product *product, double amount) {
    const double lowest = ceil(product->dose_low / product->step - step_rounding);
    const double highest = floor(product->dose_high / product->step + step_rounding);
    const double steps = floor(amount / product->step + 0.5);
    return fmin(fmax(steps, lowest), highest) * product->step;
}
