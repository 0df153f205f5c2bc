#define UNIT(name) vc_baseline_##name
#define TILE_ROWS 2
#define TILE_LANES 1
#include "loops/unit.h"
