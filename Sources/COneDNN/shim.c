#define _GNU_SOURCE
#include "shim.h"
#include "pool.h"
#include <dlfcn.h>

// oneDNN brings an OpenMP runtime along, whose threads spin while they wait. It is kept to the calling thread; the setter
// is looked up by name so that nothing here depends on which runtime that is.
typedef void (*set_threads_function)(int);
static set_threads_function set_threads;

static _Thread_local int current_threads = 1;

__attribute__((constructor)) static void find_runtime(void) { set_threads = (set_threads_function)dlsym(RTLD_DEFAULT, "omp_set_num_threads"); }

void vc_library_is_serial_here(void) {
  if (set_threads) set_threads(1);
}

void vc_use_threads(int threads) {
  current_threads = threads < 1 ? 1 : threads > VC_POOL_LIMIT ? VC_POOL_LIMIT : threads;
  vc_library_is_serial_here();
}

int vc_threads(void) { return current_threads; }

void vc_parallel(void (*body)(void *, int, int), void *data, int count) {
  int threads = current_threads < count ? current_threads : count;
  if (threads > 1 && vc_pool_run(body, data, count, threads)) return;
  for (int index = 0; index < count; index++) body(data, index, 0);
}
