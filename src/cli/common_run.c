/* main: context, signals, progress, errors. SPDX-License-Identifier: Apache-2.0 */
#include "common.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------ signals */

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

bool cli_interrupted(void) { return interrupted != 0; }

/* The first interrupt ends the work in order, so that nothing is left behind; the second one ends the process. */
static void install_signals(void) {
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGINT, &stop, NULL);
    (void)sigaction(SIGTERM, &stop, NULL);
    (void)sigaction(SIGHUP, &stop, NULL);
    /* A full disk and a closed pipe are errors of a write, not ends of the process. */
    (void)sigaction(SIGXFSZ, &ignore, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

/* ------------------------------------------------------------------ progress */

/* The bar on the terminal: what it shows, so that it is drawn only when that changes. */
static struct {
    bool shown;
    double drawn_s;
    double started_s;
    char stage[32];
} bar;

void cli_progress_clear(void) {
    if (bar.shown) {
        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
        bar.shown = false;
    }
}

static void draw_bar(const char *stage, uint64_t done, uint64_t total) {
    enum { WIDTH = 30, PERCENT = 100 };
    const double interval_s = 0.1;
    const double worth_telling_s = 3.0;
    const double little = 0.02; /* of the stage tells nothing of the rest */
    const double now_s = ddt_clock_s();
    if (strncmp(bar.stage, stage, sizeof bar.stage - 1) != 0) {
        (void)snprintf(bar.stage, sizeof bar.stage, "%s", stage);
        bar.started_s = now_s;
        bar.drawn_s = 0;
    }
    if (now_s - bar.drawn_s < interval_s && done < total) {
        return;
    }
    char cells[WIDTH + 1];
    const double part = total > 0 ? (double)done / (double)total : 1;
    for (int i = 0; i < WIDTH; i++) {
        cells[i] = i < (int)(part * WIDTH) ? '#' : '.';
    }
    cells[WIDTH] = '\0';
    const double spent_s = now_s - bar.started_s;
    (void)fprintf(stderr, "\r\033[K%-10s [%s] %3.0f %%  %.1f s", bar.stage, cells, part * PERCENT, spent_s);
    if (spent_s > worth_telling_s && part > little) {
        (void)fprintf(stderr, ", about %.0f s left", spent_s / part - spent_s);
    }
    (void)fflush(stderr);
    bar.drawn_s = now_s;
    bar.shown = true;
}

bool cli_progress(void *user, const char *stage, uint64_t done, uint64_t total) {
    (void)user;
    if (isatty(STDERR_FILENO)) {
        draw_bar(stage, done, total);
    }
    return !cli_interrupted();
}

/* ------------------------------------------------------------------ main */

static int report(const ddt_context *ctx, const cli_program *program, ddt_status status) {
    cli_progress_clear();
    if (status == DDT_ERR_CANCELLED && cli_interrupted()) {
        (void)fprintf(stderr, "%s: Interrupted; nothing was written.\n", program->name);
    } else if (status != DDT_OK) {
        const char *detail = ctx == NULL ? "" : ddt_error_detail(ctx);
        (void)fprintf(stderr, "%s: %s\n", program->name, detail[0] != '\0' ? detail : ddt_status_text(status));
    }
    return ddt_status_exit_code(status);
}

static const cli_command *find_command(const cli_program *program, const char *name) {
    for (size_t i = 0; i < program->command_count; i++) {
        if (strcmp(program->commands[i].name, name) == 0) {
            return &program->commands[i];
        }
    }
    return NULL;
}

static ddt_status run_command(ddt_context *ctx, const cli_program *program, const cli_command *command, int argc,
                              char **argv) {
    cli_arguments arguments;
    ddt_status status = cli_parse(ctx, program, command, argc, argv, &arguments);
    if (status == DDT_OK && arguments.help) {
        cli_print_help(stdout, program, command);
    } else if (status == DDT_OK) {
        if (arguments.threads > 0) {
            ddt_context_set_threads(ctx, (int)arguments.threads);
        }
        status = cli_check_outputs(ctx, command, &arguments);
        if (status == DDT_OK) {
            status = command->run(ctx, &arguments);
        }
    }
    cli_arguments_free(&arguments);
    return status;
}

/* What was printed has arrived: a full disk behind stdout is an error too. */
static ddt_status flush_stdout(ddt_context *ctx) {
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return ddt_fail(ctx, errno == ENOSPC ? DDT_ERR_NO_SPACE : DDT_ERR_IO,
                        "The standard output cannot be written: %s.", strerror(errno == 0 ? EIO : errno));
    }
    return DDT_OK;
}

static ddt_status dispatch(ddt_context *ctx, const cli_program *program, int argc, char **argv) {
    if (argc < 2) {
        cli_print_overview(stderr, program);
        return ddt_fail(ctx, DDT_ERR_USAGE, "a command is missing; the list above has them.");
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        (void)printf("%s %s\n", program->name, DDT_VERSION);
        return DDT_OK;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        const cli_command *topic = argc > 2 ? find_command(program, argv[2]) : NULL;
        if (topic != NULL) {
            cli_print_help(stdout, program, topic);
        } else {
            cli_print_overview(stdout, program);
        }
        return DDT_OK;
    }
    const cli_command *command = find_command(program, name);
    if (command == NULL) {
        return ddt_fail(ctx, DDT_ERR_USAGE, "unknown command '%s'; '%s --help' lists the commands.", name,
                        program->name);
    }
    enum { PROGRAM_AND_COMMAND = 2 };
    return run_command(ctx, program, command, argc - PROGRAM_AND_COMMAND, argv + PROGRAM_AND_COMMAND);
}

int cli_main(int argc, char **argv, const cli_program *program) {
    install_signals();
    ddt_memory_stays();
    ddt_context *ctx = NULL;
    ddt_status status = ddt_context_create(&ctx);
    if (status == DDT_OK) {
        ddt_context_set_progress(ctx, cli_progress, NULL);
        status = dispatch(ctx, program, argc, argv);
    }
    if (status == DDT_OK) {
        status = flush_stdout(ctx);
    }
    int exit_code = report(ctx, program, status);
    ddt_context_destroy(ctx);
    return exit_code;
}
