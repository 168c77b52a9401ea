/*
 * What both programs share: commands and options, errors and exit codes, progress, JSON, the view of a file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CLI_COMMON_H
#define DDT_CLI_COMMON_H

#include "ddt/circuit.h"

#include <stdio.h>

/* ------------------------------------------------------------------ options */

/* NAME=VALUE of --param. */
typedef struct cli_setting {
    const char *name;
    double value;
} cli_setting;

/* All options of all commands; a command allows some of them. */
typedef struct cli_arguments {
    const char *positional; /* MODEL, FILE or DIR */
    const char *data;
    const char *out;
    const char *plan;
    const char *keys;
    const char *eval_keys;
    const char *twin;
    const char *result;
    const char *model;
    const char *passphrase_file;
    const char *plot;
    const char *covariates; /* of --covariates */
    const char *purpose;    /* of --for */
    const char *target;     /* of --target */
    const char *product;    /* of --product */
    const char *report;     /* of --report */
    const char *subject;    /* whose recommendation is granted */
    const char *to;         /* a physician's public key */
    const char *grant;      /* a granted recommendation */
    const char *news;       /* what happened to a living twin */
    double grid_h;
    double memory, half_life; /* of a living twin */
    double prior;             /* weight of a fit's prior */
    uint64_t points;          /* of a living twin */
    uint64_t population;      /* virtual patients */
    uint64_t threads;
    uint64_t progress_fd;
    bool terminal_plot;
    bool moments;   /* bands by encrypted moments */
    bool around;    /* virtual patients around the data's covariates */
    bool grantable; /* plan with the precision that ddtwin grant needs */
    bool clear;     /* run the program unencrypted */
    bool physician; /* keys of a physician instead of a plan's */
    bool json;
    bool help;
    const char **outputs; /* of --output, split at commas */
    size_t output_count;
    cli_setting *settings;
    size_t setting_count;
    char *output_text; /* what outputs points into */
} cli_arguments;

/* Options by bit. The table in common_options.c says what each is called. */
typedef uint64_t cli_option;
#define CLI_DATA (UINT64_C(1) << 0)
#define CLI_DATA_TEMPLATE (UINT64_C(1) << 1) /* the same field as CLI_DATA */
#define CLI_OUT (UINT64_C(1) << 2)
#define CLI_PLAN (UINT64_C(1) << 3)
#define CLI_KEYS (UINT64_C(1) << 4)
#define CLI_EVAL_KEYS (UINT64_C(1) << 5)
#define CLI_TWIN (UINT64_C(1) << 6)
#define CLI_RESULT (UINT64_C(1) << 7)
#define CLI_MODEL (UINT64_C(1) << 8)
#define CLI_PASSPHRASE (UINT64_C(1) << 9)
#define CLI_GRID (UINT64_C(1) << 10)
#define CLI_OUTPUT (UINT64_C(1) << 11)
#define CLI_PARAM (UINT64_C(1) << 12)
#define CLI_THREADS (UINT64_C(1) << 13)
#define CLI_PLOT (UINT64_C(1) << 14)
#define CLI_TERMINAL_PLOT (UINT64_C(1) << 15)
#define CLI_PROGRESS_FD (UINT64_C(1) << 16)
#define CLI_JSON (UINT64_C(1) << 17)
#define CLI_CLEAR (UINT64_C(1) << 18)
#define CLI_TARGET (UINT64_C(1) << 19)
#define CLI_PRODUCT (UINT64_C(1) << 20)
#define CLI_TO (UINT64_C(1) << 21)
#define CLI_GRANT (UINT64_C(1) << 22)
#define CLI_PHYSICIAN (UINT64_C(1) << 23)
#define CLI_SUBJECT (UINT64_C(1) << 24)
#define CLI_FOR (UINT64_C(1) << 25)
#define CLI_GRANTABLE (UINT64_C(1) << 26)
#define CLI_COVARIATES (UINT64_C(1) << 27)
#define CLI_NEW (UINT64_C(1) << 28)
#define CLI_MEMORY (UINT64_C(1) << 29)
#define CLI_HALF_LIFE (UINT64_C(1) << 30)
#define CLI_POINTS (UINT64_C(1) << 31)
#define CLI_POPULATION (UINT64_C(1) << 32)
#define CLI_MOMENTS (UINT64_C(1) << 33)
#define CLI_AROUND (UINT64_C(1) << 34)
#define CLI_PRIOR (UINT64_C(1) << 35)
#define CLI_REPORT (UINT64_C(1) << 36)

typedef struct cli_command {
    const char *name;
    const char *summary;    /* one line, for the overview */
    const char *positional; /* what the argument without a dash is called; NULL: none */
    bool positional_optional;
    const char *explanation; /* paragraphs of --help */
    const char *example;
    const char *out;    /* what -o names, "DIR" or "plan.ddt" */
    cli_option allowed; /* options, or-ed */
    cli_option required;
    cli_option replaces; /* inputs that -o may name */
    ddt_status (*run)(ddt_context *ctx, const cli_arguments *arguments);
} cli_command;

typedef struct cli_program {
    const char *name;
    const char *summary;
    const char *epilogue;
    const cli_command *commands;
    size_t command_count;
} cli_program;

/* Parses argv after the command's name. Errors: DDT_ERR_USAGE, DDT_ERR_MEMORY. Free with cli_arguments_free whatever
 * happens. */
DDT_MUST_CHECK ddt_status cli_parse(ddt_context *ctx, const cli_program *program, const cli_command *command, int argc,
                                    char **argv, cli_arguments *out);
/*
 * Before a command runs: refuses an output file (-o where it names a file, --plot) that the command reads, that is a
 * key, or that is of another sort than what would replace it; and one whose folder is missing or closed. Errors:
 * DDT_ERR_IO, DDT_ERR_MEMORY.
 */
DDT_MUST_CHECK ddt_status cli_check_outputs(ddt_context *ctx, const cli_command *command,
                                            const cli_arguments *arguments);
void cli_arguments_free(cli_arguments *arguments);
void cli_print_overview(FILE *stream, const cli_program *program);
void cli_print_help(FILE *stream, const cli_program *program, const cli_command *command);

/* ------------------------------------------------------------------ running */

/* main of both programs: finds the command, parses, runs it, reports its error and returns the exit code. */
int cli_main(int argc, char **argv, const cli_program *program);
/* The progress callback of commands: a bar on stderr where that is a terminal, and false once the user has interrupted.
 */
bool cli_progress(void *user, const char *stage, uint64_t done, uint64_t total);
/* Removes the bar, before something else is printed. */
void cli_progress_clear(void);
/* Whether SIGINT, SIGTERM or SIGHUP has come. */
bool cli_interrupted(void);

/* ------------------------------------------------------------------ text */

/* A JSON string with its quotes. */
void cli_json_string(FILE *stream, const char *text);
/* 64 hexadecimal digits and a NUL. */
enum { CLI_DIGEST_TEXT = 2 * DDT_WIRE_DIGEST_BYTES + 1 };
void cli_digest_text(const ddt_digest *digest, char text[CLI_DIGEST_TEXT]);
/* "31.5 MiB" into a caller's buffer. */
enum { CLI_SIZE_TEXT = 32 };
const char *cli_size_text(uint64_t bytes, char text[CLI_SIZE_TEXT]);

/* ------------------------------------------------------------------ files */

/* `info`: what a file is, without keys. */
DDT_MUST_CHECK ddt_status cli_info(ddt_context *ctx, const cli_arguments *arguments);
#define CLI_INFO_EXPLANATION                                                                                           \
    "Says what a file of this program is: plan, evaluation keys, twin, result or key; its size; the digest of the\n"   \
    "plan that it belongs to; for a plan the parameters and what it costs. The whole file is checked for damage.\n"    \
    "Nothing secret is needed and nothing secret is shown."

#endif
