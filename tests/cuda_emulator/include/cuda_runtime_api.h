// The same as cuda_runtime.h: the emulated device has one interface.
#pragma once

#include "cuda_runtime.h"
