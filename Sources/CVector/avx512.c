#if defined(__x86_64__)
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#define UNIT(name) vc_avx512_##name
#define TILE_ROWS 6
#define TILE_LANES 4
#include "loops/unit.h"
#pragma clang attribute pop
#endif
