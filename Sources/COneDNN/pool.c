#include "pool.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

// One job at a time. Its ticket says in one word what a worker must know to claim a piece: the job's number (so that a
// ticket never comes back), how many workers may help, and how many pieces are left.
static _Atomic uint64_t ticket;
static _Atomic int finished;
static _Atomic int sleeping;
static atomic_flag taken = ATOMIC_FLAG_INIT;

static struct {
  void (*body)(void *, int, int);
  void *data;
  int count;
} job;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static int workers;
static uint32_t jobs;

enum { SPINS = 4000 };

static uint32_t pieces(uint64_t t) { return (uint32_t)t; }
static int helpers(uint64_t t) { return (int)(t >> 32 & 0xff); }

static inline void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Claims and runs pieces while there are any for this worker.
static void help(int worker) {
  uint64_t t = atomic_load(&ticket);
  while (pieces(t) != 0 && worker <= helpers(t)) {
    if (atomic_compare_exchange_weak(&ticket, &t, t - 1)) {
      // The job cannot end, and so cannot change, before this piece is finished.
      job.body(job.data, job.count - (int)pieces(t), worker);
      atomic_fetch_add(&finished, 1);
      t = atomic_load(&ticket);
    }
  }
}

static int has_work(int worker) {
  uint64_t t = atomic_load(&ticket);
  return pieces(t) != 0 && worker <= helpers(t);
}

static void *work(void *argument) {
  int worker = (int)(intptr_t)argument;
  vc_library_is_serial_here();
  for (;;) {
    int spins = SPINS;
    while (!has_work(worker) && spins-- > 0) pause_briefly();
    if (!has_work(worker)) {
      pthread_mutex_lock(&mutex);
      atomic_fetch_add(&sleeping, 1);
      while (!has_work(worker)) pthread_cond_wait(&wake, &mutex);
      atomic_fetch_sub(&sleeping, 1);
      pthread_mutex_unlock(&mutex);
    }
    help(worker);
  }
  return NULL;
}

int vc_pool_run(void (*body)(void *, int, int), void *data, int count, int threads) {
  if (atomic_flag_test_and_set(&taken)) return 0;
  while (workers < threads - 1 && workers < VC_POOL_LIMIT - 1) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, (void *)(intptr_t)(workers + 1)) != 0) break;
    pthread_detach(thread);
    workers++;
  }
  job.body = body;
  job.data = data;
  job.count = count;
  atomic_store(&finished, 0);
  jobs++;
  atomic_store(&ticket, (uint64_t)(jobs & 0xffffff) << 40 | (uint64_t)(threads - 1) << 32 | (uint32_t)count);
  if (atomic_load(&sleeping) > 0) {
    pthread_mutex_lock(&mutex);
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&mutex);
  }
  help(0);
  int spins = SPINS;
  while (atomic_load(&finished) < count) {
    if (spins-- > 0) pause_briefly();
    else sched_yield();
  }
  atomic_flag_clear(&taken);
  return 1;
}
