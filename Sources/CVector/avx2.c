#if defined(__x86_64__)
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define UNIT(name) vc_avx2_##name
#define TILE_ROWS 6
#define TILE_LANES 1
#include "loops/unit.h"
#pragma clang attribute pop
#endif
