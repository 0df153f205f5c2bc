#define _GNU_SOURCE
#include "shim.h"
#include "pool.h"
#include <dlfcn.h>

// oneDNN brings its OpenMP runtime along; it is looked up by name so that nothing here depends on which one that is.
typedef void (*set_threads_function)(int);
typedef int (*get_number_function)(void);
typedef void (*parallel_function)(void (*)(void *), void *, unsigned, unsigned);

static set_threads_function set_threads;
static get_number_function thread_number, team_size;
static parallel_function parallel;

static _Thread_local VCTeam current_team;
static _Thread_local int current_threads = 1;

__attribute__((constructor)) static void find_runtime(void) {
  set_threads = (set_threads_function)dlsym(RTLD_DEFAULT, "omp_set_num_threads");
  thread_number = (get_number_function)dlsym(RTLD_DEFAULT, "omp_get_thread_num");
  team_size = (get_number_function)dlsym(RTLD_DEFAULT, "omp_get_num_threads");
  parallel = (parallel_function)dlsym(RTLD_DEFAULT, "GOMP_parallel");
}

void vc_library_is_serial_here(void) {
  if (set_threads) set_threads(1);
}

void vc_set_team(VCTeam team, int threads) {
  current_team = team;
  current_threads = threads < 1 ? 1 : threads > VC_POOL_LIMIT ? VC_POOL_LIMIT : threads;
  if (set_threads) set_threads(team == VCTeamOpenMP ? current_threads : 1);
}

VCTeam vc_team(void) { return current_team; }
int vc_threads(void) { return current_threads; }

struct work {
  void (*body)(void *, int, int);
  void *data;
  int count;
};

// Each thread takes every team-size-th index, so the split depends on the number of threads alone.
static void share(void *argument) {
  struct work *work = argument;
  int step = team_size(), worker = thread_number();
  for (int index = worker; index < work->count; index += step) work->body(work->data, index, worker);
}

void vc_parallel(void (*body)(void *, int, int), void *data, int count) {
  int threads = current_threads < count ? current_threads : count;
  if (threads > 1 && current_team == VCTeamPool && vc_pool_run(body, data, count, threads)) return;
  if (threads > 1 && current_team == VCTeamOpenMP && parallel && thread_number && team_size) {
    struct work work = {body, data, count};
    parallel(share, &work, (unsigned)threads, 0);
    return;
  }
  for (int index = 0; index < count; index++) body(data, index, 0);
}
