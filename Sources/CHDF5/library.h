#pragma once
// The 1.10 names of what later versions renamed.
#define H5_USE_110_API 1
#if __has_include(<hdf5/serial/hdf5.h>)
#include <hdf5/serial/hdf5.h>
#include <hdf5/serial/hdf5_hl.h>
#else
#include <hdf5.h>
#include <hdf5_hl.h>
#endif

/// Errors are told by codes alone, no plug-in is loaded, and no link leads out of a file: once per process.
void vc_h5_prepare(void);
