// Capture and repetition of device work, with memory that belongs to the graph.
#include "engine/tensor/graph.h"

#include "engine/tensor/allocator.h"
#include "engine/tensor/device_memory.h"
#include "kernels/launch.h"
#if GESTALT_WITH_CUDA
#include "kernels/cuda/runtime.h"
#endif

namespace gestalt {

#if GESTALT_WITH_CUDA

struct Graph::Impl {
  OwnPool pool{Device::cuda};
  kernels::cuda::Graph graph;
};

void Graph::capture(const std::function<void()>& work) {
  impl_.reset();
  // What the same work left in the common pool goes back to the device, or memory would be needed twice; and has gone
  // before more is asked for, which the driver does not wait for.
  release_cached(Device::cuda);
  kernels::cuda::synchronize(kernels::cuda::compute_stream());
  auto recorded = std::make_unique<Impl>();
  {
    const OwnPool::Use use(recorded->pool);
    recorded->graph.begin();
    try {
      work();
    } catch (const Error& error) {
      recorded->graph.abandon();
      fail("{} (while the step was captured in a graph; --no-graph runs it kernel by kernel)", error.what());
    } catch (...) {
      recorded->graph.abandon();
      throw;
    }
    recorded->graph.end();
  }
  impl_ = std::move(recorded);
}

void Graph::launch() {
  check(impl_ != nullptr, "[graph] launched before it was captured");
  impl_->graph.launch();
}

#else

struct Graph::Impl {};

void Graph::capture(const std::function<void()>&) { kernels::no_cuda("graph"); }
void Graph::launch() { kernels::no_cuda("graph"); }

#endif

Graph::Graph() = default;
Graph::~Graph() = default;

}  // namespace gestalt
