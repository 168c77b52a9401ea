/* How threads share a key switch. SPDX-License-Identifier: Apache-2.0 */
#include "keyswitch_share.h"

#include "ddt/base.h"

#include <omp.h>

void ks_queues_open(ks_queues *queues, int threads) {
    for (int q = 0; q < KS_QUEUES && q < threads; q++) {
        atomic_init(&queues->of[q].next, 0);
    }
}

ks_team ks_my_team(void) {
    const size_t threads = (size_t)omp_get_num_threads();
    return (ks_team){(size_t)omp_get_thread_num(), threads, threads < KS_QUEUES ? threads : KS_QUEUES};
}

bool ks_is_mine(ks_team team, size_t index) { return index % team.threads == team.me; }

ks_range ks_my_range(ks_team team, size_t count) {
    return (ks_range){count * team.me / team.threads, count * (team.me + 1) / team.threads};
}

/* Up to `most` tasks of a queue below `end`. Returns their number. */
static size_t take(ks_queue *queue, size_t end, size_t most, size_t *task) {
    size_t next = atomic_load_explicit(&queue->next, memory_order_relaxed);
    while (next < end) {
        const size_t count = end - next < most ? end - next : most;
        if (atomic_compare_exchange_weak_explicit(&queue->next, &next, next + count, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            *task = next;
            return count;
        }
    }
    return 0;
}

bool ks_take_task(ks_queue *queue, size_t end, size_t *task) { return take(queue, end, 1, task) > 0; }

bool ks_take_group(ks_share *share, ks_group *group) {
    const size_t queues = share->team.queues > 0 ? share->team.queues : 1;
    for (; share->asked < queues; share->asked++) {
        const size_t q = (share->team.me + share->asked) % queues;
        /* of all numbers from 0 on, those of this queue below begin and below end */
        const size_t before = (share->begin + queues - 1 - q) / queues;
        const size_t until = (share->end + queues - 1 - q) / queues;
        const size_t own = until > before ? until - before : 0;
        size_t task = 0;
        const size_t most = share->asked > 0 ? 1 : share->most;
        const size_t count = take(&share->queues->of[q], own * (share->round + 1), most, &task);
        if (count > 0) {
            *group = (ks_group){q + (before + task - own * share->round) * queues, count, queues};
            return true;
        }
    }
    return false;
}

void ks_meeting_open(ks_meeting *meeting) {
    atomic_init(&meeting->turn, 0);
    meeting->round_trip_s = 0.0;
}

/* Waits for a number, a hundred microseconds at most. */
static bool wait_for(ks_meeting *meeting, int number) {
    enum { LOOKS = 100000 };
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load_explicit(&meeting->turn, memory_order_relaxed) == number) {
            return true;
        }
    }
    return false;
}

void ks_meet(ks_team team, ks_meeting *meeting) {
    enum { TURNS = 6 };
    const bool is_first = team.me == 0;
    double begin = 0.0;
    if (team.threads < 2 || (!is_first && team.me + 1 != team.threads)) {
        return;
    }
    for (int i = is_first ? 0 : 1; i < TURNS; i += 2) {
        if (!wait_for(meeting, i)) {
            return;
        }
        /* the first turn is for the last thread to come */
        begin = is_first && i == 2 ? ddt_clock_s() : begin;
        atomic_store_explicit(&meeting->turn, i + 1, memory_order_relaxed);
    }
    if (is_first && wait_for(meeting, TURNS)) {
        meeting->round_trip_s = (ddt_clock_s() - begin) / (TURNS / 2.0 - 1.0);
    }
}
