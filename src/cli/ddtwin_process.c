/* The engine as a process of its own, in a folder without secrets. SPDX-License-Identifier: Apache-2.0 */
#include "ddtwin.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PIPE_OUT,      /* the engine's stdout: its JSON report */
    PIPE_ERR,      /* its stderr: one sentence */
    PIPE_PROGRESS, /* lines 'done total' */
    PIPE_COUNT,
    TEXT_MAX = 1 << 16,
    PATH_ROOM = 4096,
    PROGRESS_FD = 3 /* the progress pipe's number in the engine */
};

typedef struct channel {
    int read_fd, write_fd;
    char text[TEXT_MAX];
    size_t length;
} channel;

typedef struct process {
    ddt_context *ctx;
    pid_t pid;
    channel pipes[PIPE_COUNT];
} process;

/* ------------------------------------------------------------------ starting */

/* The engine beside this program; false where there is none, and PATH decides. */
static bool engine_beside(char path[PATH_ROOM]) {
    static const char name[] = "ddtwin-engine";
    const ssize_t length = readlink("/proc/self/exe", path, PATH_ROOM - sizeof name - 1);
    if (length <= 0) {
        return false;
    }
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return false;
    }
    memcpy(slash + 1, name, sizeof name);
    return access(path, X_OK) == 0;
}

static ddt_status open_pipes(process *p) {
    for (size_t i = 0; i < PIPE_COUNT; i++) {
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) != 0) {
            return ddt_fail(p->ctx, DDT_ERR_INTERNAL, "A pipe to the engine cannot be made: %s.", strerror(errno));
        }
        p->pipes[i].read_fd = fds[0];
        p->pipes[i].write_fd = fds[1];
    }
    return DDT_OK;
}

static void close_end(int *fd) {
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

static void close_pipes(process *p) {
    for (size_t i = 0; i < PIPE_COUNT; i++) {
        close_end(&p->pipes[i].read_fd);
        close_end(&p->pipes[i].write_fd);
    }
}

static int add_actions(posix_spawn_file_actions_t *actions, const process *p, const char *folder) {
    int error = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (error == 0) {
        error = posix_spawn_file_actions_adddup2(actions, p->pipes[PIPE_OUT].write_fd, STDOUT_FILENO);
    }
    if (error == 0) {
        error = posix_spawn_file_actions_adddup2(actions, p->pipes[PIPE_ERR].write_fd, STDERR_FILENO);
    }
    if (error == 0) {
        error = posix_spawn_file_actions_adddup2(actions, p->pipes[PIPE_PROGRESS].write_fd, PROGRESS_FD);
    }
    return error == 0 ? posix_spawn_file_actions_addchdir_np(actions, folder) : error;
}

static ddt_status spawn_engine(process *p, const char *folder) {
    extern char **environ;
    char path[PATH_ROOM];
    char threads[16];
    char progress_fd[16];
    const bool beside = engine_beside(path);
    (void)snprintf(threads, sizeof threads, "%d", ddt_context_threads(p->ctx));
    (void)snprintf(progress_fd, sizeof progress_fd, "%d", PROGRESS_FD);
    char *const argv[] = {"ddtwin-engine", "run",       "--plan", "plan.ddt",   "--eval-keys", "eval.ddt",
                          "--twin",        "twin.ddt",  "-o",     "result.ddt", "--threads",   threads,
                          "--progress-fd", progress_fd, "--json", NULL};
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        error = add_actions(&actions, p, folder);
        if (error == 0) {
            error = beside ? posix_spawn(&p->pid, path, &actions, NULL, argv, environ)
                           : posix_spawnp(&p->pid, "ddtwin-engine", &actions, NULL, argv, environ);
        }
        (void)posix_spawn_file_actions_destroy(&actions);
    }
    if (error != 0) {
        return ddt_fail(p->ctx, DDT_ERR_IO,
                        "ddtwin-engine cannot be started (%s): it must lie beside ddtwin or in PATH.", strerror(error));
    }
    for (size_t i = 0; i < PIPE_COUNT; i++) {
        close_end(&p->pipes[i].write_fd);
    }
    return DDT_OK;
}

/* ------------------------------------------------------------------ listening */

/* The last whole line 'done total' becomes our progress; what is before it is dropped. */
static ddt_status relay_progress(process *p) {
    channel *c = &p->pipes[PIPE_PROGRESS];
    c->text[c->length] = '\0';
    char *end = strrchr(c->text, '\n');
    if (end == NULL) {
        return DDT_OK;
    }
    *end = '\0';
    const char *line = strrchr(c->text, '\n');
    unsigned long long done = 0;
    unsigned long long total = 0;
    const int fields = sscanf(line == NULL ? c->text : line + 1, "%llu %llu", &done, &total);
    c->length -= (size_t)(end + 1 - c->text);
    memmove(c->text, end + 1, c->length);
    return fields == 2 ? ddt_progress(p->ctx, "engine", done, total) : DDT_OK;
}

/* Takes what a pipe holds; at its end it is closed. What exceeds the room is dropped. */
static void drain(channel *c) {
    char chunk[1024];
    const ssize_t got = read(c->read_fd, chunk, sizeof chunk);
    if (got <= 0) {
        if (got == 0 || errno != EINTR) {
            close_end(&c->read_fd);
        }
        return;
    }
    size_t room = TEXT_MAX - 1 - c->length;
    size_t take = (size_t)got < room ? (size_t)got : room;
    memcpy(c->text + c->length, chunk, take);
    c->length += take;
}

/* Until all pipes are at their end: the engine is done. */
static ddt_status listen(process *p) {
    enum { WAIT_MS = 200 };
    ddt_status status = DDT_OK;
    while (status == DDT_OK) {
        struct pollfd fds[PIPE_COUNT];
        bool open = false;
        for (size_t i = 0; i < PIPE_COUNT; i++) {
            fds[i] = (struct pollfd){.fd = p->pipes[i].read_fd, .events = POLLIN};
            open = open || p->pipes[i].read_fd >= 0;
        }
        if (!open) {
            return DDT_OK;
        }
        if (poll(fds, PIPE_COUNT, WAIT_MS) < 0 && errno != EINTR) {
            return ddt_fail(p->ctx, DDT_ERR_INTERNAL, "The engine cannot be listened to: %s.", strerror(errno));
        }
        if (cli_interrupted()) {
            return ddt_fail(p->ctx, DDT_ERR_CANCELLED, "Interrupted; nothing was written.");
        }
        for (size_t i = 0; i < PIPE_COUNT; i++) {
            if (p->pipes[i].read_fd >= 0 && (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
                drain(&p->pipes[i]);
            }
        }
        status = relay_progress(p);
    }
    return status;
}

/* ------------------------------------------------------------------ the end */

/* The engine's own sentence, without its name and its line's end. */
static const char *engine_sentence(process *p) {
    static const char prefix[] = "ddtwin-engine: ";
    channel *c = &p->pipes[PIPE_ERR];
    c->text[c->length] = '\0';
    c->text[strcspn(c->text, "\n")] = '\0';
    const char *text = c->text;
    return strncmp(text, prefix, sizeof prefix - 1) == 0 ? text + sizeof prefix - 1 : text;
}

/* A status of our own with the engine's exit code. */
static ddt_status status_of_exit_code(int code) {
    switch (code) {
    case 1:
        return DDT_ERR_FORMAT;
    case 3:
        return DDT_ERR_SECURITY;
    default:
        return DDT_ERR_INTERNAL;
    }
}

static ddt_status check_end(process *p, int wait_status) {
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) {
        return DDT_OK;
    }
    if (WIFSIGNALED(wait_status)) {
        return ddt_fail(p->ctx, DDT_ERR_INTERNAL, "The engine was ended by signal %d (%s)%s.", WTERMSIG(wait_status),
                        strsignal(WTERMSIG(wait_status)),
                        WTERMSIG(wait_status) == SIGKILL ? "; memory may have been short" : "");
    }
    const char *sentence = engine_sentence(p);
    return ddt_fail(p->ctx, status_of_exit_code(WEXITSTATUS(wait_status)), "%s",
                    sentence[0] != '\0' ? sentence : "The engine failed without a word.");
}

static ddt_status read_report(process *p, ddtwin_engine_report *out) {
    channel *c = &p->pipes[PIPE_OUT];
    json_t *root = json_loadb(c->text, c->length, 0, NULL);
    json_int_t peak = 0;
    json_int_t bytes = 0;
    const char *kernels = "";
    const int failed = json_unpack(root, "{s:F, s:F, s:I, s:I, s:i, s:s}", "seconds", &out->seconds, "compute_seconds",
                                   &out->compute_seconds, "peak_rss_bytes", &peak, "result_bytes", &bytes, "threads",
                                   &out->threads, "kernels", &kernels);
    if (failed == 0) {
        out->peak_rss_bytes = (uint64_t)peak;
        out->result_bytes = (uint64_t)bytes;
        (void)snprintf(out->kernels, sizeof out->kernels, "%s", kernels);
    }
    json_decref(root);
    return failed == 0 ? DDT_OK : ddt_fail(p->ctx, DDT_ERR_INTERNAL, "The engine's report cannot be read.");
}

static ddt_status run_to_end(process *p, const char *folder, ddtwin_engine_report *out) {
    ddt_status status = open_pipes(p);
    if (status == DDT_OK) {
        status = spawn_engine(p, folder);
    }
    if (status != DDT_OK) {
        return status;
    }
    status = listen(p);
    if (status != DDT_OK) {
        (void)kill(p->pid, SIGTERM);
    }
    int wait_status = 0;
    while (waitpid(p->pid, &wait_status, 0) < 0 && errno == EINTR) {
    }
    if (status == DDT_OK) {
        status = check_end(p, wait_status);
    }
    return status == DDT_OK ? read_report(p, out) : status;
}

ddt_status ddtwin_run_engine(ddt_context *ctx, const char *folder, ddtwin_engine_report *out) {
    process *p = ddt_calloc(1, sizeof *p);
    if (p == NULL) {
        return ddt_fail(ctx, DDT_ERR_MEMORY, "Memory is short.");
    }
    p->ctx = ctx;
    for (size_t i = 0; i < PIPE_COUNT; i++) {
        p->pipes[i].read_fd = p->pipes[i].write_fd = -1;
    }
    *out = (ddtwin_engine_report){0};
    ddt_status status = run_to_end(p, folder, out);
    close_pipes(p);
    ddt_free(p);
    return status;
}
