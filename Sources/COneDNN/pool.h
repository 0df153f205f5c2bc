#pragma once

enum { VC_POOL_LIMIT = 64 };

/// Runs the indices on the calling thread and up to `threads - 1` of the pool's; zero when the pool is taken by another
/// caller or has no threads, and nothing was run.
int vc_pool_run(void (*body)(void *, int, int), void *data, int count, int threads);

/// Makes oneDNN serial for calls from this thread.
void vc_library_is_serial_here(void);
