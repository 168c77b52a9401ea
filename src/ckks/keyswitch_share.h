/*
 * How threads share a key switch.
 *
 * Two cores need not have a cache in common, nor be equally fast. So every thread has targets of its own, always the
 * same ones: what it reads of a key, or wrote to a result before, is in its own caches. Who has finished them takes
 * what others have left, one by one. Targets that are left over, because there are no multiple of the threads of them,
 * are begun by all threads together and finished by pieces at the end, by whoever has time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DDT_CKKS_KEYSWITCH_SHARE_H
#define DDT_CKKS_KEYSWITCH_SHARE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { KS_QUEUES = 64, KS_QUEUE_BYTES = 64 /* a cache line each */ };

/* The number of the next task of a queue. */
typedef struct ks_queue {
    _Alignas(KS_QUEUE_BYTES) atomic_size_t next;
} ks_queue;

/* A queue for each thread, but for those beyond KS_QUEUES, which only help. */
typedef struct ks_queues {
    ks_queue of[KS_QUEUES];
} ks_queues;

void ks_queues_open(ks_queues *queues, int threads);

/* Who a thread is in a parallel region. */
typedef struct ks_team {
    size_t me;
    size_t threads;
    size_t queues;
} ks_team;

ks_team ks_my_team(void);
/* Whether this thread has number `index` of tasks that threads take in turn. */
bool ks_is_mine(ks_team team, size_t index);

/* The part of `count` tasks in a row that is this thread's. */
typedef struct ks_range {
    size_t begin;
    size_t end;
} ks_range;
ks_range ks_my_range(ks_team team, size_t count);

/* The next task of a queue, below `end`. */
bool ks_take_task(ks_queue *queue, size_t end, size_t *task);

/* Two threads hand a number to and fro to find out how far apart they are. */
typedef struct ks_meeting {
    _Alignas(KS_QUEUE_BYTES) atomic_int turn;
    double round_trip_s; /* 0: they did not meet */
} ks_meeting;
void ks_meeting_open(ks_meeting *meeting);
/* All threads call it; the first and the last take part, and give up when the other is not there. */
void ks_meet(ks_team team, ks_meeting *meeting);

/* Some targets that are converted together: first, first + step, ... */
typedef struct ks_group {
    size_t first;
    size_t count;
    size_t step;
} ks_group;

static inline size_t ks_group_target(ks_group group, size_t g) { return group.first + g * group.step; }

/* The targets from `begin` to `end`, shared by the threads: `round` times, one round after the other. */
typedef struct ks_share {
    ks_queues *queues;
    ks_team team;
    size_t begin;
    size_t end;
    size_t most; /* targets of a group */
    size_t round;
    size_t asked; /* queues that have none left: this thread's own, then its neighbours' */
} ks_share;

/* This thread's next group; false: all of this round have been taken. */
bool ks_take_group(ks_share *share, ks_group *group);

#endif
