/*
 * ddtwin-engine: the untrusted service's program. It computes on ciphertexts and links no function that touches a
 * secret key.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ddtwin-engine.h"

static const cli_command commands[] = {
    {.name = "run",
     .summary = "compute a plan on an encrypted twin",
     .explanation =
         "Runs the program in the plan on every batch of the encrypted twin, under the evaluation keys, and writes an\n"
         "encrypted result that only the owner of the secret key can open. Keys, twin and plan must belong together.\n"
         "All files may come from strangers: they are checked before they are used.",
     .example = "ddtwin-engine run --plan plan.ddt --eval-keys KEYS/eval.ddt --twin twin.ddt -o result.ddt",
     .out = "result.ddt",
     .allowed = CLI_PLAN | CLI_EVAL_KEYS | CLI_TWIN | CLI_OUT | CLI_THREADS | CLI_PROGRESS_FD | CLI_JSON,
     .required = CLI_PLAN | CLI_EVAL_KEYS | CLI_TWIN | CLI_OUT,
     .run = engine_run},
    {.name = "update",
     .summary = "bring a living twin up to date",
     .explanation = "Takes a living twin and what happened since (doses, levels, covariates, encrypted by ddtwin "
                    "encrypt), runs the\n"
                    "plan once for each level, and writes the twin as it is now: its posterior and the amounts in its "
                    "compartments "
                    "stay\n"
                    "encrypted. Without --twin a new twin begins. Updates come in their order, each once. The new twin "
                    "appears whole "
                    "or\n"
                    "not at all, also where -o names the old one's file.",
     .example =
         "ddtwin-engine update --plan plan.ddt --eval-keys KEYS/eval.ddt --twin twin.ddt --new new.ddt -o twin.ddt",
     .out = "twin.ddt",
     .allowed = CLI_PLAN | CLI_EVAL_KEYS | CLI_TWIN | CLI_NEW | CLI_OUT | CLI_THREADS | CLI_PROGRESS_FD | CLI_JSON,
     .required = CLI_PLAN | CLI_EVAL_KEYS | CLI_NEW | CLI_OUT,
     .replaces = CLI_TWIN,
     .run = engine_update},
    {.name = "info",
     .summary = "say what a file is",
     .positional = "FILE",
     .explanation = CLI_INFO_EXPLANATION,
     .example = "ddtwin-engine info plan.ddt",
     .allowed = CLI_JSON,
     .run = cli_info},
};

int main(int argc, char **argv) {
    enum { COMMANDS = sizeof commands / sizeof commands[0] };
    const cli_program program = {
        .name = "ddtwin-engine",
        .summary = "computes on encrypted patients without any secret key",
        .epilogue = "\nThe custodian's program is ddtwin.\n",
        .commands = commands,
        .command_count = COMMANDS,
    };
    return cli_main(argc, argv, &program);
}
