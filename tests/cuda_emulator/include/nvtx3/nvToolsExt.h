// Profiler ranges; their names are recorded and name the kernels in messages.
#pragma once

int nvtxRangePushA(const char* name);
int nvtxRangePop();
