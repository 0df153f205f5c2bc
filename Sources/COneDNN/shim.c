#define _GNU_SOURCE
#include "shim.h"
#include <dlfcn.h>

// oneDNN brings its OpenMP runtime along; it is looked up by name so that nothing here depends on which one that is.
typedef void (*set_threads_function)(int);
typedef int (*get_number_function)(void);
typedef void (*parallel_function)(void (*)(void *), void *, unsigned, unsigned);

static set_threads_function set_threads;
static get_number_function max_threads, thread_number, team_size;
static parallel_function parallel;

__attribute__((constructor)) static void find_runtime(void) {
  set_threads = (set_threads_function)dlsym(RTLD_DEFAULT, "omp_set_num_threads");
  max_threads = (get_number_function)dlsym(RTLD_DEFAULT, "omp_get_max_threads");
  thread_number = (get_number_function)dlsym(RTLD_DEFAULT, "omp_get_thread_num");
  team_size = (get_number_function)dlsym(RTLD_DEFAULT, "omp_get_num_threads");
  parallel = (parallel_function)dlsym(RTLD_DEFAULT, "GOMP_parallel");
}

void vc_set_threads(int count) {
  if (set_threads && count > 0) set_threads(count);
}

int vc_threads(void) { return max_threads ? max_threads() : 1; }

struct work {
  void (*body)(void *, int);
  void *data;
  int count;
};

// Each thread takes every team-size-th index, so the split depends on the number of threads alone.
static void share(void *argument) {
  struct work *work = argument;
  int step = team_size();
  for (int index = thread_number(); index < work->count; index += step) work->body(work->data, index);
}

void vc_parallel(void (*body)(void *, int), void *data, int count) {
  int threads = vc_threads();
  if (threads > count) threads = count;
  if (threads > 1 && parallel && thread_number && team_size) {
    struct work work = {body, data, count};
    parallel(share, &work, (unsigned)threads, 0);
  } else {
    for (int index = 0; index < count; index++) body(data, index);
  }
}
