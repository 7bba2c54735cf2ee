// The part of CUDA's runtime interface that the project uses, on the emulated device.
#pragma once

#include <tuple>
#include <type_traits>

#include "tests/cuda_emulator/device_functions.h"
#include "tests/cuda_emulator/runtime_api.h"
#include "tests/cuda_emulator/shared.h"
