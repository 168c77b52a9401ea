/* Passphrases from a file or the terminal. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>

void ddtwin_passphrase_wipe(ddtwin_passphrase *passphrase) { explicit_bzero(passphrase, sizeof *passphrase); }

bool ddtwin_passphrase_ask(const char *prompt, ddtwin_passphrase *out) {
    FILE *terminal = fopen("/dev/tty", "r+");
    struct termios shown;
    if (terminal == NULL) {
        return false;
    }
    if (tcgetattr(fileno(terminal), &shown) != 0) {
        (void)fclose(terminal);
        return false;
    }
    struct termios hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    (void)setvbuf(terminal, NULL, _IONBF, 0);
    cli_progress_clear();
    /* Hidden before it is asked for: what a quick hand or a script types at once is neither shown nor lost. */
    (void)tcsetattr(fileno(terminal), TCSAFLUSH, &hidden);
    (void)fprintf(terminal, "%s: ", prompt);
    const bool got = fgets(out->text, sizeof out->text, terminal) != NULL;
    (void)tcsetattr(fileno(terminal), TCSAFLUSH, &shown);
    (void)fprintf(terminal, "\n");
    (void)fclose(terminal);
    out->text[strcspn(out->text, "\n")] = '\0';
    out->given = got && out->text[0] != '\0';
    return out->given;
}

static ddt_status ask_twice(ddt_context *ctx, bool confirm, ddtwin_passphrase *out) {
    ddtwin_passphrase again = {0};
    if (!ddtwin_passphrase_ask("Passphrase of the secret key", out)) {
        return ddt_fail(ctx, DDT_ERR_PASSPHRASE, "No passphrase was given on the terminal.");
    }
    ddt_status status = DDT_OK;
    if (confirm && (!ddtwin_passphrase_ask("The same again", &again) || strcmp(out->text, again.text) != 0)) {
        status = ddt_fail(ctx, DDT_ERR_PASSPHRASE, "The two passphrases are not the same.");
    }
    ddtwin_passphrase_wipe(&again);
    return status;
}

static ddt_status read_first_line(ddt_context *ctx, const char *path, ddtwin_passphrase *out) {
    FILE *file = fopen(path, "r");
    struct stat info;
    if (file == NULL) {
        return ddt_fail(ctx, DDT_ERR_IO, "The passphrase file %s cannot be opened: %s.", path, strerror(errno));
    }
    if (fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        (void)fprintf(stderr, "ddtwin: warning: the passphrase file %s can be read by others.\n", path);
    }
    (void)setvbuf(file, NULL, _IONBF, 0);
    const bool got = fgets(out->text, sizeof out->text, file) != NULL;
    (void)fclose(file);
    const size_t length = strcspn(out->text, "\r\n");
    const bool whole = out->text[length] != '\0' || length + 1 < sizeof out->text;
    out->text[length] = '\0';
    out->given = got && length > 0;
    if (!out->given || !whole) {
        return ddt_fail(ctx, DDT_ERR_PASSPHRASE, "The first line of %s is no passphrase: it is empty or too long.",
                        path);
    }
    return DDT_OK;
}

ddt_status ddtwin_passphrase_take(ddt_context *ctx, const cli_arguments *arguments, bool confirm,
                                  ddtwin_passphrase *out) {
    *out = (ddtwin_passphrase){0};
    if (arguments->passphrase_file == NULL) {
        return DDT_OK;
    }
    if (strcmp(arguments->passphrase_file, "-") == 0) {
        return ask_twice(ctx, confirm, out);
    }
    return read_first_line(ctx, arguments->passphrase_file, out);
}
