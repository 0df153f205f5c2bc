#pragma once
#include <dnnl.h>

/// Sets how many threads oneDNN uses for calls made from this thread; does nothing where the library is serial.
void vc_set_threads(int count);

/// How many threads calls made from this thread may use.
int vc_threads(void);

/// Calls `body(data, index)` for every index below `count`, spread over oneDNN's own team of threads, so that two pools
/// never compete for the cores; one after the other where the library is serial.
void vc_parallel(void (*body)(void *data, int index), void *data, int count);
