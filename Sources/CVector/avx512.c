#if defined(__x86_64__)
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#define UNIT(name) vc_avx512_##name
#define TILE_ROWS 6
#define TILE_LANES 4
// A first approximation with 14 bits.
#define RECIPROCAL(x) ((lanes)__builtin_ia32_rcp14ps512_mask((__m512)(x), (__m512)(x), (unsigned short)-1))
#include "loops/unit.h"
#pragma clang attribute pop
#endif
