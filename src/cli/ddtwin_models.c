/* models and info: what there is. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin_models.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------ models */

static int is_model_file(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && strcmp(dot, ".R") == 0;
}

/* Where models lie: in the current folder's models/, else where this program was installed. */
static const char *default_folder(char path[PATH_MAX]) {
    static const char installed[] = "../share/ddtwin/models";
    if (access("models", R_OK) == 0) {
        return "models";
    }
    const ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - sizeof installed - 1);
    char *slash = NULL;
    if (length > 0) {
        path[length] = '\0';
        slash = strrchr(path, '/');
    }
    if (slash == NULL) {
        return "models";
    }
    memcpy(slash + 1, installed, sizeof installed);
    return path;
}

static void print_model_text(const ddt_model *model) {
    (void)printf("%s  (%s)\n", model->name, model->path);
    if (model->description != NULL) {
        (void)printf("    %s\n", model->description);
    }
    if (model->reference != NULL) {
        (void)printf("    %s\n", model->reference);
    }
    (void)printf("    outputs:");
    for (size_t o = 0; o < model->output_count; o++) {
        (void)printf(" %s", model->outputs[o].name);
    }
    (void)printf("; covariates:");
    size_t covariates = 0;
    for (size_t i = 0; i < model->symbol_count; i++) {
        if (model->symbols[i].kind == DDT_SYMBOL_COVARIATE) {
            (void)printf(" %s", model->symbols[i].name);
            covariates++;
        }
    }
    (void)printf("%s\n", covariates == 0 ? " none" : "");
}

static void print_model_json(const ddt_model *model, bool first) {
    (void)printf("%s\n  {\"name\": ", first ? "" : ",");
    cli_json_string(stdout, model->name);
    (void)printf(", \"path\": ");
    cli_json_string(stdout, model->path);
    (void)printf(", \"description\": ");
    cli_json_string(stdout, model->description == NULL ? "" : model->description);
    (void)printf(", \"reference\": ");
    cli_json_string(stdout, model->reference == NULL ? "" : model->reference);
    (void)printf("}");
}

static ddt_status print_folder(ddt_context *ctx, const char *folder, struct dirent **entries, int count, bool json) {
    ddt_status status = DDT_OK;
    for (int i = 0; status == DDT_OK && i < count; i++) {
        ddt_model *model = NULL;
        char *path = ddtwin_join(ctx, folder, entries[i]->d_name);
        status = path == NULL ? DDT_ERR_MEMORY : ddt_model_read(ctx, path, &model);
        if (status == DDT_OK && json) {
            print_model_json(model, i == 0);
        } else if (status == DDT_OK) {
            print_model_text(model);
        }
        ddt_model_destroy(model);
        ddt_free(path);
    }
    return status;
}

static bool is_file(const char *path) {
    struct stat info;
    return path != NULL && stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

ddt_status ddtwin_models(ddt_context *ctx, const cli_arguments *arguments) {
    if (is_file(arguments->positional)) {
        return ddtwin_model_show(ctx, arguments);
    }
    if (arguments->out != NULL) {
        return ddt_fail(ctx, DDT_ERR_USAGE,
                        "-o writes the virtual trial of one model; name its file instead of a folder.");
    }
    char path[PATH_MAX];
    struct dirent **entries = NULL;
    const char *folder = arguments->positional != NULL ? arguments->positional : default_folder(path);
    const int count = scandir(folder, &entries, is_model_file, alphasort);
    if (count < 0) {
        return ddt_fail(ctx, DDT_ERR_IO, "The folder of models %s cannot be read: %s.", folder, strerror(errno));
    }
    if (count == 0) {
        free(entries);
        return ddt_fail(ctx, DDT_ERR_DATA, "The folder %s holds no model (*.R).", folder);
    }
    if (arguments->json) {
        (void)printf("[");
    }
    ddt_status status = print_folder(ctx, folder, entries, count, arguments->json);
    if (arguments->json && status == DDT_OK) {
        (void)printf("\n]\n");
    }
    for (int i = 0; i < count; i++) {
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* ------------------------------------------------------------------ info */

static void print_life(const ddt_twin_plan *plan) {
    const ddt_update *update = ddt_twin_plan_update(plan);
    ddt_update_info info;
    ddt_update_get_info(update, &info);
    (void)printf("model        %s; a living twin: %zu support points, %zu etas, %zu compartments\n",
                 ddt_twin_plan_model_name(plan), info.points, info.etas, info.states);
    (void)printf("drift        a level counts 1/%.4g less with each later one", info.memory);
    if (info.half_life_h > 0) {
        (void)printf(", and half after %.4g", info.half_life_h);
    }
    (void)printf("\n");
    for (size_t r = 0; r < ddt_update_range_count(update); r++) {
        const ddt_declared_range range = ddt_update_range(update, r);
        (void)printf("%-12s %s from %.6g to %.6g\n", r == 0 ? "encrypted" : "", range.name, range.low, range.high);
    }
}

static void print_layout(const ddt_twin_plan *plan) {
    const ddt_solution *solution = ddt_twin_plan_solution(plan);
    (void)printf("model        %s; outputs", ddt_twin_plan_model_name(plan));
    for (size_t o = 0; o < ddt_solution_output_count(solution); o++) {
        (void)printf("%s %s", o == 0 ? "" : ",", ddt_solution_output_name(solution, o));
    }
    (void)printf("\nsubjects     %zu\n", ddt_solution_subject_count(solution));
    for (size_t r = 0; r < ddt_solution_range_count(solution); r++) {
        const ddt_declared_range range = ddt_solution_range(solution, r);
        (void)printf("%-12s %s from %.6g to %.6g\n", r == 0 ? "encrypted" : "", range.name, range.low, range.high);
    }
}

ddt_status ddtwin_info(ddt_context *ctx, const cli_arguments *arguments) {
    ddt_wire_kind kind;
    ddt_status status = cli_info(ctx, arguments);
    if (status == DDT_OK) {
        status = ddt_wire_probe(ctx, arguments->positional, &kind);
    }
    if (status == DDT_OK && kind == DDT_WIRE_PLAN && !arguments->json) {
        ddt_twin_plan *plan = NULL;
        status = ddt_twin_plan_read(ctx, arguments->positional, &plan);
        if (status == DDT_OK) {
            (ddt_twin_plan_update(plan) != NULL ? print_life : print_layout)(plan);
        }
        ddt_twin_plan_destroy(plan);
    }
    return status;
}
