#define UNIT(name) vc_baseline_##name
#include "loops/unit.h"
