// The engine for those who link it: tensors, autograd, ops, data and files. Models and methods have headers of their own
// under models/ and tasks/.
#pragma once

#include "engine/autograd.h"
#include "engine/data/image_set.h"
#include "engine/data/loader.h"
#include "engine/fields.h"
#include "engine/ops/attention.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/contrast.h"
#include "engine/ops/conv.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/knn.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/pool.h"
#include "engine/ops/product.h"
#include "engine/ops/rows.h"
#include "engine/ops/tokens.h"
#include "engine/safetensors.h"
#include "engine/tensor.h"
