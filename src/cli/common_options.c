/* Options: one table for parsing and for help. SPDX-License-Identifier: Apache-2.0 */
#include "common.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum value_kind { VALUE_FLAG, VALUE_TEXT, VALUE_NUMBER, VALUE_COUNT, VALUE_LIST, VALUE_SETTING } value_kind;

typedef struct option_spec {
    const char *name;     /* with dashes */
    const char *argument; /* NULL for flags */
    const char *help;
    size_t field; /* offset in cli_arguments */
    cli_option option;
    value_kind kind;
} option_spec;

#define FIELD(name) offsetof(cli_arguments, name)

static const option_spec specs[] = {
    {"--data", "EVENTS.csv", "the event table (NONMEM columns; see docs/events.md)", FIELD(data), CLI_DATA, VALUE_TEXT},
    {"--data-template", "EVENTS.csv", "a table with the times and event types to plan for; its values do not matter",
     FIELD(data), CLI_DATA_TEMPLATE, VALUE_TEXT},
    {"--plan", "plan.ddt", "the plan that ddtwin compile wrote", FIELD(plan), CLI_PLAN, VALUE_TEXT},
    {"--keys", "KEYS", "the folder that ddtwin keygen made", FIELD(keys), CLI_KEYS, VALUE_TEXT},
    {"--eval-keys", "KEYS/eval.ddt", "the evaluation keys that ddtwin keygen made", FIELD(eval_keys), CLI_EVAL_KEYS,
     VALUE_TEXT},
    {"--twin", "twin.ddt", "what ddtwin encrypt wrote; of a living twin what ddtwin-engine update wrote", FIELD(twin),
     CLI_TWIN, VALUE_TEXT},
    {"--result", "result.ddt", "the encrypted result that ddtwin-engine wrote", FIELD(result), CLI_RESULT, VALUE_TEXT},
    {"-o", NULL, "where the result goes", FIELD(out), CLI_OUT, VALUE_TEXT},
    {"--model", "MODEL", "refuse unless the plan was made for this model file", FIELD(model), CLI_MODEL, VALUE_TEXT},
    {"--grid", "STEP", "also every STEP (in the model's time unit) from each subject's first record to the last",
     FIELD(grid_h), CLI_GRID, VALUE_NUMBER},
    {"--covariates", "RULE", "nonmem (default): a record's covariates hold up to it; locf: from it on",
     FIELD(covariates), CLI_COVARIATES, VALUE_TEXT},
    {"--output", "A,B", "variables or compartments to compute instead of the model's own outputs", FIELD(outputs),
     CLI_OUTPUT, VALUE_LIST},
    {"--param", "NAME=VALUE", "set a population parameter of the model's ini block (may be repeated)", FIELD(settings),
     CLI_PARAM, VALUE_SETTING},
    {"--passphrase-file", "FILE", "the passphrase of the secret key: first line of FILE; - asks on the terminal",
     FIELD(passphrase_file), CLI_PASSPHRASE, VALUE_TEXT},
    {"--plot", "FILE.svg", "also write the curves as one SVG file", FIELD(plot), CLI_PLOT, VALUE_TEXT},
    {"--terminal-plot", NULL, "also draw the first subject's curve as text", FIELD(terminal_plot), CLI_TERMINAL_PLOT,
     VALUE_FLAG},
    {"--clear", NULL, "run the same program unencrypted, without keys", FIELD(clear), CLI_CLEAR, VALUE_FLAG},
    {"--for", "PURPOSE", "simulate (default), bands, fit, recommend or update", FIELD(purpose), CLI_FOR, VALUE_TEXT},
    {"--target", "SPEC",
     "what to aim at, e.g. 'auc24=400:600', 'trough=10:15; tox:peak=40', 'fT>mic=0.6,mic=2', 'nadir(wbc)=1:2'",
     FIELD(target), CLI_TARGET, VALUE_TEXT},
    {"--product", "SPEC",
     "what can be given: one of the model's products by name, or e.g. 'dose=250:2000:250; interval=8,12,24; "
     "infusion=1', or a course of doses 'course=0,12,24; dose=500:2000:250; infusion=1' (default: the model's first "
     "product)",
     FIELD(product), CLI_PRODUCT, VALUE_TEXT},
    {"--report", "LIST",
     "told beside the target: auc24, trough, peak, average, fT>2 ..., or none (default: none; with --grantable "
     "auc24,trough,peak where the model has them)",
     FIELD(report), CLI_REPORT, VALUE_TEXT},
    {"--grantable", NULL, "plan with the precision that ddtwin grant needs (slower)", FIELD(grantable), CLI_GRANTABLE,
     VALUE_FLAG},
    {"--physician", NULL, "make a physician's key pair instead of a plan's keys", FIELD(physician), CLI_PHYSICIAN,
     VALUE_FLAG},
    {"--to", "physician-public.ddt", "the public key of the physician who may read it", FIELD(to), CLI_TO, VALUE_TEXT},
    {"--subject", "ID", "which subject, where there are several: whose recommendation, whose living twin",
     FIELD(subject), CLI_SUBJECT, VALUE_TEXT},
    {"--grant", "grant.ddt", "what ddtwin grant wrote", FIELD(grant), CLI_GRANT, VALUE_TEXT},
    {"--new", "new.ddt", "what happened since: ddtwin encrypt wrote it for this twin", FIELD(news), CLI_NEW,
     VALUE_TEXT},
    {"--memory", "LEVELS", "drift of a living twin: a level counts 1/LEVELS less with each later one (default 64)",
     FIELD(memory), CLI_MEMORY, VALUE_NUMBER},
    {"--half-life", "TIME", "more drift: a level counts half after TIME, in the model's time unit", FIELD(half_life),
     CLI_HALF_LIFE, VALUE_NUMBER},
    {"--prior", "WEIGHT", "what the population counts for in a fit: omega is divided by WEIGHT (default 1)",
     FIELD(prior), CLI_PRIOR, VALUE_NUMBER},
    {"--points", "N", "support points of a living twin's posterior, a power of two (default: up to 8192)",
     FIELD(points), CLI_POINTS, VALUE_COUNT},
    {"--population", "N", "bands of N virtual patients: percentiles 5, 50 and 95 (docs/population.md)",
     FIELD(population), CLI_POPULATION, VALUE_COUNT},
    {"--moments", NULL, "the result holds moments over the virtual patients alone, of each subject's", FIELD(moments),
     CLI_MOMENTS, VALUE_FLAG},
    {"--around", NULL, "virtual patients with the table's covariates instead of drawn ones", FIELD(around), CLI_AROUND,
     VALUE_FLAG},
    {"--threads", "N", "use N threads (default: all processors)", FIELD(threads), CLI_THREADS, VALUE_COUNT},
    {"--progress-fd", "N", "write lines 'done total' to the open file descriptor N", FIELD(progress_fd),
     CLI_PROGRESS_FD, VALUE_COUNT},
    {"--json", NULL, "print one JSON object instead of text", FIELD(json), CLI_JSON, VALUE_FLAG},
};

enum { SPEC_COUNT = sizeof specs / sizeof specs[0], COUNT_MAX = 1 << 20, THREADS_MAX = 1024 };

/* ------------------------------------------------------------------ parsing */

/* A parse in progress. */
typedef struct parse {
    ddt_context *ctx;
    const cli_program *program;
    const cli_command *command;
    cli_arguments *out;
    cli_option given;
} parse;

static ddt_status usage(const parse *p, const char *what, const char *value) {
    return ddt_fail(p->ctx, DDT_ERR_USAGE, "%s: %s '%s'; '%s %s --help' shows how it is called.", p->command->name,
                    what, value, p->program->name, p->command->name);
}

static const option_spec *find_spec(const cli_command *command, const char *name, size_t length) {
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        if (strlen(specs[i].name) == length && strncmp(specs[i].name, name, length) == 0 &&
            (command->allowed & specs[i].option) != 0) {
            return &specs[i];
        }
    }
    return NULL;
}

static bool read_number(const char *text, double *out) {
    char *end = NULL;
    errno = 0;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out);
}

static ddt_status set_count(const parse *p, const option_spec *spec, const char *value, uint64_t *out) {
    double number = 0;
    if (!read_number(value, &number) || number < 1 || number > COUNT_MAX || number != floor(number)) {
        return usage(p, "a whole number above 0 is wanted for", spec->name);
    }
    if (spec->option == CLI_THREADS && number > THREADS_MAX) {
        return usage(p, "at most 1024 threads can be had with", spec->name);
    }
    *out = (uint64_t)number;
    return DDT_OK;
}

static ddt_status set_list(const parse *p, const char *value) {
    cli_arguments *out = p->out;
    ddt_free(out->output_text);
    ddt_free(out->outputs);
    out->output_count = 0;
    out->output_text = ddt_strdup(value);
    out->outputs = ddt_alloc(strlen(value) + 1, sizeof *out->outputs);
    if (out->output_text == NULL || out->outputs == NULL) {
        return ddt_fail(p->ctx, DDT_ERR_MEMORY, "Memory is short.");
    }
    char *rest = out->output_text;
    while (rest != NULL) {
        char *name = strsep(&rest, ",");
        if (*name == '\0') {
            return usage(p, "an empty name in --output", value);
        }
        for (size_t i = 0; i < out->output_count; i++) {
            if (strcmp(out->outputs[i], name) == 0) {
                return usage(p, "a name twice in --output", value);
            }
        }
        out->outputs[out->output_count++] = name;
    }
    return DDT_OK;
}

static ddt_status add_setting(const parse *p, char *value) {
    char *equals = strchr(value, '=');
    double number = 0;
    if (equals == NULL || equals == value || !read_number(equals + 1, &number)) {
        return usage(p, "--param wants NAME=VALUE with a number, not", value);
    }
    cli_arguments *out = p->out;
    cli_setting *settings =
        ddt_realloc(out->settings, out->setting_count, out->setting_count + 1, sizeof *out->settings);
    if (settings == NULL) {
        return ddt_fail(p->ctx, DDT_ERR_MEMORY, "Memory is short.");
    }
    *equals = '\0';
    settings[out->setting_count++] = (cli_setting){value, number};
    out->settings = settings;
    return DDT_OK;
}

static ddt_status set_value(const parse *p, const option_spec *spec, char *value) {
    void *field = (char *)p->out + spec->field;
    switch (spec->kind) {
    case VALUE_FLAG:
        *(bool *)field = true;
        return DDT_OK;
    case VALUE_TEXT:
        if (*value == '\0') {
            return usage(p, "an empty value for", spec->name);
        }
        *(const char **)field = value;
        return DDT_OK;
    case VALUE_NUMBER:
        if (!read_number(value, field) || *(double *)field <= 0) {
            return usage(p, "a number above 0 is wanted for", spec->name);
        }
        return DDT_OK;
    case VALUE_COUNT:
        return set_count(p, spec, value, field);
    case VALUE_LIST:
        return set_list(p, value);
    default:
        return add_setting(p, value);
    }
}

/* One option at argv[*i], with its value in the same or the next argument. */
static ddt_status take_option(parse *p, int argc, char **argv, int *i) {
    char *argument = argv[*i];
    const bool is_long = argument[1] == '-';
    const char *equals = is_long ? strchr(argument, '=') : NULL;
    const size_t length = equals != NULL ? (size_t)(equals - argument) : is_long ? strlen(argument) : 2;
    const option_spec *spec = find_spec(p->command, argument, length);
    if (spec == NULL) {
        return usage(p, "unknown option", argument);
    }
    const bool attached = argument[length] != '\0';
    char *value = attached ? argument + length + (equals != NULL) : NULL;
    if (spec->kind == VALUE_FLAG && attached) {
        return usage(p, "no value belongs to", spec->name);
    }
    if (spec->kind != VALUE_FLAG && !attached) {
        if (*i + 1 >= argc) {
            return usage(p, "a value is missing for", spec->name);
        }
        value = argv[++*i];
    }
    /* Which of two values is meant, nobody knows. */
    if ((p->given & spec->option) != 0 && spec->kind != VALUE_SETTING && spec->kind != VALUE_FLAG) {
        return usage(p, "given twice:", spec->name);
    }
    p->given |= spec->option;
    return set_value(p, spec, value);
}

static ddt_status check_required(const parse *p) {
    const cli_command *command = p->command;
    if (command->positional != NULL && !command->positional_optional && p->out->positional == NULL) {
        return usage(p, "missing", command->positional);
    }
    cli_option missing = command->required & ~p->given;
    /* Either name of one field will do. */
    if (p->out->data != NULL) {
        missing &= ~(CLI_DATA | CLI_DATA_TEMPLATE);
    }
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        if ((missing & specs[i].option) != 0) {
            return usage(p, "missing", specs[i].name);
        }
    }
    return DDT_OK;
}

ddt_status cli_parse(ddt_context *ctx, const cli_program *program, const cli_command *command, int argc, char **argv,
                     cli_arguments *out) {
    parse p = {.ctx = ctx, .program = program, .command = command, .out = out};
    *out = (cli_arguments){0};
    bool options_end = false;
    for (int i = 0; i < argc; i++) {
        char *argument = argv[i];
        ddt_status status = DDT_OK;
        if (!options_end && strcmp(argument, "--") == 0) {
            options_end = true;
        } else if (!options_end && (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)) {
            out->help = true;
            return DDT_OK;
        } else if (!options_end && argument[0] == '-' && argument[1] != '\0') {
            status = take_option(&p, argc, argv, &i);
        } else if (command->positional != NULL && out->positional == NULL) {
            out->positional = argument;
        } else {
            status = usage(&p, "unexpected argument", argument);
        }
        if (status != DDT_OK) {
            return status;
        }
    }
    return check_required(&p);
}

void cli_arguments_free(cli_arguments *arguments) {
    ddt_free(arguments->outputs);
    ddt_free(arguments->output_text);
    ddt_free(arguments->settings);
    *arguments = (cli_arguments){0};
}

/* ------------------------------------------------------------------ help */

void cli_print_overview(FILE *stream, const cli_program *program) {
    (void)fprintf(stream, "%s %s: %s\n\nUsage: %s COMMAND [OPTIONS]\n\n", program->name, DDT_VERSION, program->summary,
                  program->name);
    for (size_t i = 0; i < program->command_count; i++) {
        (void)fprintf(stream, "  %-10s %s\n", program->commands[i].name, program->commands[i].summary);
    }
    (void)fprintf(stream, "\n%s COMMAND --help explains a command and shows an example.\n%s", program->name,
                  program->epilogue);
}

static void print_synopsis(FILE *stream, const cli_program *program, const cli_command *command) {
    (void)fprintf(stream, "Usage: %s %s", program->name, command->name);
    if (command->positional != NULL) {
        (void)fprintf(stream, command->positional_optional ? " [%s]" : " %s", command->positional);
    }
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        if ((command->required & specs[i].option) != 0) {
            (void)fprintf(stream, " %s %s", specs[i].name,
                          specs[i].option == CLI_OUT ? command->out : specs[i].argument);
        }
    }
    (void)fprintf(stream, " [OPTIONS]\n\n");
}

void cli_print_help(FILE *stream, const cli_program *program, const cli_command *command) {
    print_synopsis(stream, program, command);
    (void)fprintf(stream, "%s\n\nOptions:\n", command->explanation);
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        if ((command->allowed & specs[i].option) == 0) {
            continue;
        }
        char left[64];
        const char *argument = specs[i].option == CLI_OUT ? command->out : specs[i].argument;
        (void)snprintf(left, sizeof left, "%s %s", specs[i].name, argument == NULL ? "" : argument);
        (void)fprintf(stream, "  %-28s %s\n", left, specs[i].help);
    }
    (void)fprintf(stream, "  %-28s %s\n\nExample:\n  %s\n\n", "--help", "this text", command->example);
    (void)fprintf(stream, "Exit codes: 0 done, 1 bad input, 2 usage, 3 refused for security, 4 internal.\n");
}
