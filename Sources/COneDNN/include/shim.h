#pragma once
#include <dnnl.h>

/// How work of this thread is spread.
typedef enum __attribute__((enum_extensibility(closed))) {
  /// Over a pool whose threads take the next piece when they are free, oneDNN itself being serial: a thread that the
  /// system holds up delays nobody.
  VCTeamPool,
  /// Over the OpenMP team that oneDNN's own kernels run on, each thread taking a fixed share.
  VCTeamOpenMP,
} VCTeam;

/// Says how many threads work started from this thread may use, and which.
void vc_set_team(VCTeam team, int threads);
VCTeam vc_team(void);
int vc_threads(void);

/// Calls `body(data, index, worker)` for every index below `count`; `worker` is below the number of threads and no two
/// calls at one time have the same.
void vc_parallel(void (*body)(void *data, int index, int worker), void *data, int count);
