/* Every shipped model says where it comes from and what it needs. SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "context_test.h"

#include "ddt/pharma/reference.h"
#include "ddt/pharma/units.h"

#include <math.h>
#include <string.h>

enum { MODELS_AT_LEAST = 20, PATH_LENGTH = 512 };

static int is_model(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && strcmp(dot, ".R") == 0;
}

/* Units in brackets, as "(binary)", are words. */
static void unit_is_known(const ddt_model *m, const char *unit) {
    ddt_unit parsed = {0};
    ddt_context_clear(ctx);
    if (unit[0] != '(' && ddt_unit_parse(ctx, unit, &parsed) != DDT_OK) {
        fail_msg("%s: %s", m->path, ddt_error_detail(ctx));
    }
}

static void metadata_is_complete(const ddt_model *m) {
    if (m->description == NULL || m->reference == NULL || m->dose_unit == NULL || m->concentration_unit == NULL) {
        fail_msg("%s lacks a description, reference or units", m->path);
    }
    if (strstr(m->reference, "19") == NULL && strstr(m->reference, "20") == NULL) {
        fail_msg("%s: the reference has no year", m->path);
    }
    unit_is_known(m, m->time_unit);
    unit_is_known(m, m->dose_unit);
    unit_is_known(m, m->concentration_unit);
    size_t etas = 0;
    for (uint32_t i = 0; i < m->symbol_count; i++) {
        const ddt_symbol *s = &m->symbols[i];
        if (s->kind == DDT_SYMBOL_COVARIATE && (!s->has_range || s->unit == NULL || s->label == NULL)) {
            fail_msg("%s: the covariate %s lacks a range, a unit or a description", m->path, s->name);
        }
        if (s->kind == DDT_SYMBOL_COVARIATE) {
            unit_is_known(m, s->unit);
        }
        if (s->kind == DDT_SYMBOL_THETA && s->label == NULL) {
            fail_msg("%s: the parameter %s has no label", m->path, s->name);
        }
        etas += s->kind == DDT_SYMBOL_ETA && s->omega2 > 0;
    }
    if (etas == 0) {
        fail_msg("%s has no random effect", m->path);
    }
    for (size_t o = 0; o < m->output_count; o++) {
        if (m->outputs[o].residual == DDT_RESIDUAL_NONE || m->outputs[o].residual == DDT_RESIDUAL_OTHER) {
            fail_msg("%s: the output %s has no residual error", m->path, m->outputs[o].name);
        }
    }
}

/* Products can be given and targets have a source. */
static void products_are_complete(const ddt_model *m) {
    for (size_t i = 0; i < m->product_count; i++) {
        const ddt_product *p = &m->products[i];
        assert_non_null(p->source);
        assert_non_null(p->route);
        const double middle = (p->dose_low + p->dose_high) / 2;
        assert_true(fabs(ddt_product_round(p, middle) - middle) <= p->step);
        assert_true(p->infusion_count == 0 || strcmp(p->route, "infusion") == 0);
    }
    for (size_t i = 0; i < m->target_count; i++) {
        assert_non_null(m->targets[i].source);
        assert_non_null(m->targets[i].unit);
        unit_is_known(m, m->targets[i].unit);
    }
}

static void every_model(void **state) {
    (void)state;
    struct dirent **entries = NULL;
    const int count = scandir(DDT_SOURCE_DIR "/models", &entries, is_model, alphasort);
    assert_true(count >= MODELS_AT_LEAST);
    for (int i = 0; i < count; i++) {
        char path[PATH_LENGTH];
        ddt_model *m = NULL;
        (void)snprintf(path, sizeof path, "%s/models/%s", DDT_SOURCE_DIR, entries[i]->d_name);
        ddt_context_clear(ctx);
        if (ddt_model_read(ctx, path, &m) != DDT_OK) {
            fail_msg("%s", ddt_error_detail(ctx));
        }
        /* The file is named like the model in it. */
        assert_true(strncmp(m->name, entries[i]->d_name, strlen(m->name)) == 0);
        metadata_is_complete(m);
        products_are_complete(m);
        ddt_model_destroy(m);
        free(entries[i]);
    }
    free(entries);
}

static void drugs_of_the_clinic_have_products_and_targets(void **state) {
    (void)state;
    static const char *const names[] = {
        "vancomycin_thomson2009",    "vancomycin_goti2018",     "tacrolimus_woillard2011",
        "busulfan_choe2012",         "phenytoin_yukawa1990",    "theophylline",
        "phenobarbital_grasela1985", "quinidine_fattinger1991", "friberg_paclitaxel"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[PATH_LENGTH];
        ddt_model *m = NULL;
        (void)snprintf(path, sizeof path, "%s/models/%s.R", DDT_SOURCE_DIR, names[i]);
        assert_int_equal(ddt_model_read(ctx, path, &m), DDT_OK);
        assert_non_null(ddt_model_product(m, NULL));
        assert_non_null(ddt_model_target(m, NULL));
        assert_true(ddt_model_product(m, NULL)->interval_count > 0);
        ddt_model_destroy(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model),
        cmocka_unit_test(drugs_of_the_clinic_have_products_and_targets),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
