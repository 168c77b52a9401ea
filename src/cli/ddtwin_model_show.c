/* models MODEL: everything that a model file says. SPDX-License-Identifier: Apache-2.0 */
#include "ddt/pharma/graph.h"
#include "ddt/pharma/reference.h"
#include "ddt/twin/trial.h"
#include "ddtwin_models.h"

#include <math.h>

static const char *or_nothing(const char *text) { return text == NULL ? "" : text; }

/* ------------------------------------------------------------------ text */

static void show_parameters(const ddt_model *model) {
    for (size_t i = 0; i < model->symbol_count; i++) {
        const ddt_symbol *s = &model->symbols[i];
        if (s->kind == DDT_SYMBOL_THETA) {
            (void)printf("parameter    %s = %.6g%s  %s\n", s->name, s->value, s->is_fixed ? " (fixed)" : "",
                         or_nothing(s->label));
        } else if (s->kind == DDT_SYMBOL_ETA) {
            (void)printf("random       %s, standard deviation %.4g\n", s->name, sqrt(s->omega2));
        }
    }
}

static void show_covariates(const ddt_model *model) {
    for (uint32_t i = 0; i < model->symbol_count; i++) {
        const ddt_symbol *s = &model->symbols[i];
        if (s->kind != DDT_SYMBOL_COVARIATE) {
            continue;
        }
        const ddt_population_range range = ddt_population_range_of(model, i);
        (void)printf("covariate    %s %s, %.6g to %.6g%s%s  %s\n", s->name, or_nothing(s->unit), range.low, range.high,
                     range.is_discrete ? ", whole numbers" : "", range.is_assumed ? " (assumed)" : "",
                     or_nothing(s->label));
    }
}

static void show_residual(const ddt_output *o) {
    static const char *const kinds[] = {"not measured",   "additive",         "proportional",
                                        "combined",       "on the log scale", "combined, standard deviations added",
                                        "of another kind"};
    (void)printf("output       %s; error %s", o->name, kinds[o->residual]);
    if (o->proportional_sd > 0) {
        (void)printf(", %.4g of the value", o->proportional_sd);
    }
    if (o->additive_sd > 0) {
        (void)printf(", %.4g", o->additive_sd);
    }
    (void)printf("\n");
}

static void show_times(const char *what, const double *values, size_t count, const char *unit) {
    for (size_t i = 0; i < count; i++) {
        (void)printf("%s%.6g", i == 0 ? what : ", ", values[i]);
    }
    if (count > 0) {
        (void)printf(" %s", unit);
    }
}

static void show_products(const ddt_model *model) {
    for (size_t i = 0; i < model->product_count; i++) {
        const ddt_product *p = &model->products[i];
        (void)printf("product      %s (%s into %s): %.6g to %.6g %s in steps of %.6g", p->name, or_nothing(p->route),
                     model->compartments[p->compartment].name, p->dose_low, p->dose_high, or_nothing(model->dose_unit),
                     p->step);
        show_times(", every ", p->intervals, p->interval_count, model->time_unit);
        show_times(", over ", p->infusions, p->infusion_count, model->time_unit);
        (void)printf("\n             %s\n", or_nothing(p->source));
    }
    for (size_t i = 0; i < model->target_count; i++) {
        const ddt_target *t = &model->targets[i];
        (void)printf("target       %s of %s: %.6g to %.6g %s", t->measure, t->output, t->low, t->high,
                     or_nothing(t->unit));
        if (!isnan(t->threshold)) {
            (void)printf(", threshold %.6g", t->threshold);
        }
        (void)printf("; %s\n             %s\n", or_nothing(t->description), or_nothing(t->source));
    }
}

static const char *end_of(const ddt_model *model, const ddt_graph_edge *edge) {
    return edge->to == DDT_GRAPH_OUTSIDE ? "(out)" : model->compartments[edge->to].name;
}

static void show_graph(const ddt_model *model, const ddt_graph *graph) {
    for (size_t i = 0; i < model->compartment_count; i++) {
        (void)printf("node         %s\n", model->compartments[i].name);
    }
    for (size_t i = 0; i < graph->edge_count; i++) {
        const ddt_graph_edge *e = &graph->edges[i];
        (void)printf("edge         %s -> %s", model->compartments[e->from].name, end_of(model, e));
        if (e->is_linear) {
            (void)printf("  %.4g per %s\n", e->rate, model->time_unit);
        } else {
            (void)printf("  nonlinear\n");
        }
    }
}

static void show_text(const ddt_model *model, const ddt_graph *graph) {
    (void)printf("model        %s (%s)\n             %s\nsource       %s\n", model->name, model->path,
                 or_nothing(model->description), or_nothing(model->reference));
    (void)printf("units        time %s, doses %s, concentrations %s\n", model->time_unit, or_nothing(model->dose_unit),
                 or_nothing(model->concentration_unit));
    show_parameters(model);
    show_covariates(model);
    for (size_t o = 0; o < model->output_count; o++) {
        show_residual(&model->outputs[o]);
    }
    show_products(model);
    show_graph(model, graph);
}

/* ------------------------------------------------------------------ JSON */

static void json_text(const char *name, const char *text) {
    (void)printf("\"%s\": ", name);
    if (text == NULL) {
        (void)printf("null");
    } else {
        cli_json_string(stdout, text);
    }
}

/* A number, or null: JSON has no infinity. */
static void json_number(const char *name, double value) {
    if (isfinite(value)) {
        (void)printf("\"%s\": %.15g", name, value);
    } else {
        (void)printf("\"%s\": null", name);
    }
}

static void json_numbers(const char *name, const double *values, size_t count) {
    (void)printf("\"%s\": [", name);
    for (size_t i = 0; i < count; i++) {
        (void)printf("%s%.15g", i == 0 ? "" : ", ", values[i]);
    }
    (void)printf("]");
}

static void json_symbol(const ddt_model *model, uint32_t index) {
    const ddt_symbol *s = &model->symbols[index];
    (void)printf("{");
    json_text("name", s->name);
    (void)printf(", ");
    json_text("label", s->label);
    if (s->kind == DDT_SYMBOL_THETA) {
        (void)printf(", ");
        json_number("value", s->value);
        (void)printf(", \"fixed\": %s", s->is_fixed ? "true" : "false");
    } else if (s->kind == DDT_SYMBOL_ETA) {
        (void)printf(", ");
        json_number("variance", s->omega2);
    } else {
        const ddt_population_range range = ddt_population_range_of(model, index);
        (void)printf(", ");
        json_text("unit", s->unit);
        (void)printf(", ");
        json_number("low", range.low);
        (void)printf(", ");
        json_number("high", range.high);
        (void)printf(", \"discrete\": %s, \"assumed\": %s", range.is_discrete ? "true" : "false",
                     range.is_assumed ? "true" : "false");
    }
    (void)printf("}");
}

static void json_symbols(const ddt_model *model, const char *name, ddt_symbol_kind kind) {
    bool first = true;
    (void)printf(",\n  \"%s\": [", name);
    for (uint32_t i = 0; i < model->symbol_count; i++) {
        if (model->symbols[i].kind == kind) {
            (void)printf("%s", first ? "" : ", ");
            json_symbol(model, i);
            first = false;
        }
    }
    (void)printf("]");
}

static void json_outputs(const ddt_model *model) {
    (void)printf(",\n  \"outputs\": [");
    for (size_t i = 0; i < model->output_count; i++) {
        (void)printf("%s{", i == 0 ? "" : ", ");
        json_text("name", model->outputs[i].name);
        (void)printf(", \"additive_sd\": %.15g, \"proportional_sd\": %.15g}", model->outputs[i].additive_sd,
                     model->outputs[i].proportional_sd);
    }
    (void)printf("]");
}

static void json_product(const ddt_model *model, const ddt_product *p) {
    (void)printf("{");
    json_text("name", p->name);
    (void)printf(", ");
    json_text("description", p->description);
    (void)printf(", ");
    json_text("route", p->route);
    (void)printf(", ");
    json_text("compartment", model->compartments[p->compartment].name);
    (void)printf(", \"step\": %.15g, \"dose\": [%.15g, %.15g], \"loading\": [%.15g, %.15g], ", p->step, p->dose_low,
                 p->dose_high, p->loading_low, p->loading_high);
    json_number("daily_max", p->daily_max);
    (void)printf(", ");
    json_number("rate_max", p->rate_max);
    (void)printf(", ");
    json_numbers("intervals", p->intervals, p->interval_count);
    (void)printf(", ");
    json_numbers("infusions", p->infusions, p->infusion_count);
    (void)printf(", ");
    json_text("source", p->source);
    (void)printf("}");
}

static void json_target(const ddt_target *t) {
    (void)printf("{");
    json_text("measure", t->measure);
    (void)printf(", ");
    json_text("output", t->output);
    (void)printf(", ");
    json_number("low", t->low);
    (void)printf(", ");
    json_number("high", t->high);
    (void)printf(", ");
    json_number("threshold", t->threshold);
    (void)printf(", ");
    json_text("unit", t->unit);
    (void)printf(", ");
    json_text("description", t->description);
    (void)printf(", ");
    json_text("source", t->source);
    (void)printf("}");
}

static void json_products(const ddt_model *model) {
    (void)printf(",\n  \"products\": [");
    for (size_t i = 0; i < model->product_count; i++) {
        (void)printf("%s", i == 0 ? "" : ", ");
        json_product(model, &model->products[i]);
    }
    (void)printf("],\n  \"targets\": [");
    for (size_t i = 0; i < model->target_count; i++) {
        (void)printf("%s", i == 0 ? "" : ", ");
        json_target(&model->targets[i]);
    }
    (void)printf("]");
}

static void json_graph(const ddt_model *model, const ddt_graph *graph) {
    (void)printf(",\n  \"nodes\": [");
    for (size_t i = 0; i < model->compartment_count; i++) {
        (void)printf("%s", i == 0 ? "" : ", ");
        cli_json_string(stdout, model->compartments[i].name);
    }
    (void)printf("],\n  \"edges\": [");
    for (size_t i = 0; i < graph->edge_count; i++) {
        const ddt_graph_edge *e = &graph->edges[i];
        (void)printf("%s{", i == 0 ? "" : ", ");
        json_text("from", model->compartments[e->from].name);
        (void)printf(", ");
        json_text("to", e->to == DDT_GRAPH_OUTSIDE ? NULL : model->compartments[e->to].name);
        (void)printf(", \"linear\": %s, ", e->is_linear ? "true" : "false");
        json_number("rate", e->rate);
        (void)printf("}");
    }
    (void)printf("]");
}

static void show_json(const ddt_model *model, const ddt_graph *graph) {
    (void)printf("{\n  ");
    json_text("name", model->name);
    (void)printf(", ");
    json_text("path", model->path);
    (void)printf(",\n  ");
    json_text("description", model->description);
    (void)printf(",\n  ");
    json_text("reference", model->reference);
    (void)printf(",\n  ");
    json_text("time_unit", model->time_unit);
    (void)printf(", ");
    json_text("dose_unit", model->dose_unit);
    (void)printf(", ");
    json_text("concentration_unit", model->concentration_unit);
    json_symbols(model, "parameters", DDT_SYMBOL_THETA);
    json_symbols(model, "random_effects", DDT_SYMBOL_ETA);
    json_symbols(model, "covariates", DDT_SYMBOL_COVARIATE);
    json_outputs(model);
    json_products(model);
    json_graph(model, graph);
    (void)printf("\n}\n");
}

/* ------------------------------------------------------------------ the command */

static ddt_status write_trial(ddt_context *ctx, const ddt_model *model, const char *path) {
    char *text = NULL;
    size_t length = 0;
    ddt_status status = ddt_twin_virtual_trial(ctx, model, &text, &length);
    if (status == DDT_OK) {
        status = ddt_write_text(ctx, path, text, length);
    }
    ddt_free(text);
    return status;
}

ddt_status ddtwin_model_show(ddt_context *ctx, const cli_arguments *arguments) {
    ddt_model *model = NULL;
    ddt_graph graph = {0};
    ddt_status status = ddt_model_read(ctx, arguments->positional, &model);
    if (status == DDT_OK && arguments->out != NULL) {
        status = write_trial(ctx, model, arguments->out);
    }
    if (status == DDT_OK) {
        status = ddt_graph_create(ctx, model, &graph);
    }
    if (status == DDT_OK) {
        (arguments->json ? show_json : show_text)(model, &graph);
    }
    ddt_graph_destroy(&graph);
    ddt_model_destroy(model);
    return status;
}
