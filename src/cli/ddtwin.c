/*
 * ddtwin: the custodian's program. It holds the secret key: it makes plans and keys, encrypts, and opens results.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ddtwin.h"

#define PROBLEM (CLI_GRID | CLI_OUTPUT | CLI_PARAM | CLI_COVARIATES)
#define COMMON (CLI_THREADS | CLI_JSON)

static const cli_command commands[] = {
    {.name = "check",
     .summary = "try a model in the clear, before any key exists",
     .positional = "MODEL",
     .explanation =
         "Builds the encrypted program of a drug model, runs it in the clear and compares it with CVODE. Prints the "
         "method,\n"
         "the ranges that encrypted values may have, depth, security, sizes, time, and the error to expect by its "
         "causes.\n"
         "Without --data a small virtual trial is drawn from the model itself.\n\n"
         "MODEL is a file in the nlmixr2/rxode2 form: ini({...}) with parameters, model({...}) with equations.",
     .example = "ddtwin check models/theophylline.R --data data/theophylline_events.csv",
     .allowed = CLI_DATA | PROBLEM | COMMON,
     .run = ddtwin_check},
    {.name = "simulate",
     .summary = "run the whole chain on this machine and write a report",
     .positional = "MODEL",
     .explanation =
         "Plans, makes keys, encrypts, runs ddtwin-engine as a process of its own in a folder without the "
         "secret key, decrypts,\n"
         "and compares with CVODE. Writes DIR/profile.csv (ID, TIME and one column an output, a row for "
         "every observation\n"
         "record), DIR/summary.json and DIR/report.html (curves, errors, costs; opens without network). The "
         "keys are thrown\n"
         "away at the end.\n\n"
         "With --population N: DIR/bands.csv, percentiles 5, 50 and 95 of N virtual patients, exact from the "
         "decrypted\n"
         "patients, or with --moments from encrypted moments over them; --data may then be left out. --clear runs the\n"
         "same program without keys.\n\n"
         "EVENTS.csv has the NONMEM columns ID TIME AMT RATE II ADDL SS CMT EVID MDV DV and the model's "
         "covariates; a column\n"
         "named like an eta gives individual parameters.",
     .example = "ddtwin simulate models/theophylline.R --data data/theophylline_events.csv -o out/theophylline",
     .out = "DIR",
     .allowed = CLI_DATA | CLI_OUT | PROBLEM | CLI_PLOT | CLI_TERMINAL_PLOT | CLI_POPULATION | CLI_MOMENTS |
                CLI_AROUND | CLI_CLEAR | COMMON,
     .required = CLI_OUT,
     .run = ddtwin_simulate},
    {.name = "compile",
     .summary = "turn a model and a schedule into a plan",
     .positional = "MODEL",
     .explanation = "Writes the plan: the encrypted program, its parameters and the layout of the data. The table "
                    "gives record times and\n"
                    "event types, which are public; the values in it are not used, except for the ranges of columns "
                    "that the model\n"
                    "declares none for. Keys are made for a plan; its digest names the computation. Identifiers do not "
                    "go into it.",
     .example = "ddtwin compile models/theophylline.R --data-template data/theophylline_events.csv -o plan.ddt",
     .out = "plan.ddt",
     .allowed = CLI_DATA | CLI_DATA_TEMPLATE | CLI_OUT | CLI_FOR | CLI_TARGET | CLI_PRODUCT | CLI_REPORT |
                CLI_GRANTABLE | CLI_MEMORY | CLI_HALF_LIFE | CLI_POINTS | CLI_PRIOR | CLI_POPULATION | CLI_AROUND |
                PROBLEM | COMMON,
     .required = CLI_DATA_TEMPLATE | CLI_OUT,
     .run = ddtwin_compile},
    {.name = "keygen",
     .summary = "make the keys of a plan",
     .explanation =
         "Makes the folder KEYS with secret.ddt (keep it: mode 0600, wrapped with a passphrase if one is given), "
         "public.ddt\n"
         "(encrypts), eval.ddt (for the engine), ledger.txt (counts releases) and plan.ddt, a copy of the plan.\n"
         "With --physician instead of --plan: physician.ddt and physician-public.ddt, a physician's own pair, for\n"
         "recommendations that ddtwin grant seals and ddtwin open reads. Keys are never overwritten.",
     .example = "ddtwin keygen --plan plan.ddt -o KEYS --passphrase-file -",
     .out = "KEYS",
     .allowed = CLI_PLAN | CLI_PHYSICIAN | CLI_OUT | CLI_PASSPHRASE | COMMON,
     .required = CLI_OUT,
     .run = ddtwin_keygen},
    {.name = "encrypt",
     .summary = "encrypt a data set for a plan",
     .explanation =
         "Writes the encrypted twin: doses, covariates, individual parameters of every subject. The table "
         "must have the times\n"
         "and event types of the plan, and values inside the declared ranges; one that is not is named and "
         "nothing is written.\n"
         "With secret.ddt in KEYS the twin is half as large as with public.ddt alone.\n\n"
         "For a plan of a living twin (compile --for update): what happened to one patient since the clock of "
         "--twin,\n"
         "or, without --twin, the beginning of a new one.",
     .example = "ddtwin encrypt --plan plan.ddt --keys KEYS --data data/theophylline_events.csv -o twin.ddt",
     .out = "twin.ddt",
     .allowed = CLI_PLAN | CLI_KEYS | CLI_DATA | CLI_OUT | CLI_MODEL | CLI_PASSPHRASE | CLI_TWIN | CLI_SUBJECT | COMMON,
     .required = CLI_PLAN | CLI_KEYS | CLI_DATA | CLI_OUT,
     .run = ddtwin_encrypt},
    {.name = "decrypt",
     .summary = "open an encrypted result",
     .explanation =
         "Decrypts what ddtwin-engine computed and writes DIR/profile.csv, DIR/summary.json and DIR/report.html.\n\n"
         "Of a living twin: DIR/twin.json, etas.csv, uncertainty.csv, state.csv (amounts now) and, with --data for "
         "what "
         "comes next,\n"
         "forecast.csv (levels with bands). With --target or --product also regimens.csv: what each regimen that could "
         "begin\n"
         "at the last record of --data comes to for this patient, the best first.\n\n"
         "Decrypted values must not go back to the party that holds the ciphertexts: with both, the secret key can "
         "leak.",
     .example = "ddtwin decrypt --keys KEYS --result result.ddt -o out/theophylline",
     .out = "DIR",
     .allowed =
         CLI_KEYS | CLI_RESULT | CLI_OUT | CLI_PASSPHRASE | CLI_DATA | CLI_SUBJECT | CLI_TARGET | CLI_PRODUCT | COMMON,
     .required = CLI_KEYS | CLI_RESULT | CLI_OUT,
     .run = ddtwin_decrypt},
    {.name = "fit",
     .summary = "estimate patients' own parameters under encryption",
     .positional = "MODEL",
     .explanation =
         "Maximum a posteriori estimates of every subject's random effects (etas) from encrypted levels, doses and "
         "covariates:\n"
         "NONMEM's objective with the model's omegas and residual error. Runs the whole chain like simulate. Writes\n"
         "DIR/etas.csv (ID, one column an eta), DIR/individuals.csv (the model's parameters), DIR/uncertainty.csv\n"
         "(posterior standard deviations), DIR/residuals.csv (each level beside its prediction, OUTLIER 1 beyond 3\n"
         "standard deviations), DIR/summary.json and DIR/report.html. Levels below a limit of quantification: CENS 1, "
         "the\n"
         "limit in DV. --prior 0.25 flattens the prior: omega is divided by it. --clear runs the same program without "
         "keys.",
     .example = "ddtwin fit models/vancomycin_thomson2009.R --data data/vancomycin_levels.csv -o out/fit",
     .out = "DIR",
     .allowed = CLI_DATA | CLI_OUT | CLI_PARAM | CLI_COVARIATES | CLI_CLEAR | CLI_PRIOR | COMMON,
     .required = CLI_DATA | CLI_OUT,
     .run = ddtwin_fit},
    {.name = "recommend",
     .summary = "compare dosing regimens under encryption",
     .positional = "MODEL",
     .explanation =
         "For every subject of the data all candidate regimens are computed at once on ciphertexts: what the targets "
         "look at,\n"
         "a cost, and the probability that the targets are met. Writes DIR/recommendation.json, DIR/candidates.csv "
         "and\n"
         "DIR/report.html. Targets and what can be given come from the model's file unless --target and --product say\n"
         "otherwise (docs/recommend.md). --clear runs the same program without keys.",
     .example = "ddtwin recommend models/vancomycin_thomson2009.R --data data/vancomycin_events.csv --target "
                "auc24=400:600 -o out/regimen",
     .out = "DIR",
     .allowed =
         CLI_DATA | CLI_OUT | CLI_PARAM | CLI_COVARIATES | CLI_CLEAR | CLI_TARGET | CLI_PRODUCT | CLI_REPORT | COMMON,
     .required = CLI_DATA | CLI_OUT,
     .run = ddtwin_recommend},
    {.name = "grant",
     .summary = "release a recommendation to a physician",
     .explanation =
         "Decrypts one subject's recommendation, floods and rounds it so that it tells nothing about the key, counts "
         "the release\n"
         "in KEYS/ledger.txt and seals it for a physician's public key (ddtwin keygen --physician). Nothing else "
         "leaves.",
     .example = "ddtwin grant --keys KEYS --result result.ddt --to DOCTOR/physician-public.ddt -o grant.ddt",
     .out = "grant.ddt",
     .allowed = CLI_KEYS | CLI_RESULT | CLI_TO | CLI_SUBJECT | CLI_OUT | CLI_PASSPHRASE | CLI_JSON,
     .required = CLI_KEYS | CLI_RESULT | CLI_TO | CLI_OUT,
     .run = ddtwin_grant},
    {.name = "open",
     .summary = "read a recommendation that was granted to you",
     .explanation = "Shows the recommended regimen, what it is predicted to give, the target, the model with its "
                    "citation, and who saw\n"
                    "what. KEYS is the physician's folder, made by ddtwin keygen --physician.",
     .example = "ddtwin open --keys DOCTOR --grant grant.ddt",
     .allowed = CLI_KEYS | CLI_GRANT | CLI_PASSPHRASE | CLI_JSON,
     .required = CLI_KEYS | CLI_GRANT,
     .run = ddtwin_open},
    {.name = "info",
     .summary = "say what a file is",
     .positional = "FILE",
     .explanation = CLI_INFO_EXPLANATION,
     .example = "ddtwin info plan.ddt",
     .allowed = CLI_JSON,
     .run = ddtwin_info},
    {.name = "models",
     .summary = "list drug models with their citations, or show one",
     .positional = "DIR or MODEL",
     .positional_optional = true,
     .explanation = "Lists the models in DIR: description, citation, outputs, covariates. Default: models/ in the "
                    "current folder,\n"
                    "else those that were installed. Of a MODEL it shows parameters, covariates with units and "
                    "ranges, outputs,\n"
                    "products, targets and the graph of its compartments; -o writes the virtual trial that check "
                    "uses as an event table.",
     .example = "ddtwin models models/wbpbpk_jones2013.R",
     .out = "TRIAL.csv",
     .allowed = CLI_JSON | CLI_OUT,
     .run = ddtwin_models},
};

int main(int argc, char **argv) {
    enum { COMMANDS = sizeof commands / sizeof commands[0] };
    const cli_program program = {
        .name = "ddtwin",
        .summary = "drug concentrations of encrypted patients",
        .epilogue = "\nStart with: ddtwin simulate models/theophylline.R --data data/theophylline_events.csv -o "
                    "out/theophylline\n"
                    "The untrusted service runs ddtwin-engine.\n",
        .commands = commands,
        .command_count = COMMANDS,
    };
    return cli_main(argc, argv, &program);
}
