#pragma once
#include <dnnl.h>

/// Says how many threads work started from this thread may use: those of one pool, whose threads take the next piece when
/// they are free. A thread that the system holds up delays nobody. oneDNN itself is serial on all of them.
void vc_use_threads(int threads);
int vc_threads(void);

/// Calls `body(data, index, worker)` for every index below `count`; `worker` is below the number of threads and no two
/// calls at one time have the same.
void vc_parallel(void (*body)(void *data, int index, int worker), void *data, int count);
