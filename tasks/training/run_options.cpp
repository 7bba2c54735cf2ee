// The flags of every run, and what "auto" means.
#include "tasks/training/run_options.h"

#include "engine/tensor/device_memory.h"
#include "kernels/cpu/bf16.h"

namespace gestalt {

void RunOptions::fields(Fields& f) {
  f.title("Run");
  f("data", data, "what to learn from, such as images:DIR or text:FILE; see 'gestalt list data'");
  f("batch", batch, "images, or windows of text, per step", between(1, 1 << 24));
  f("epochs", epochs, "passes over the data", between(0, 1e9));
  f("steps", steps, "updates to make, instead of --epochs; 0: as many as those give", between(0, 1e12));
  f("accumulate", accumulate, "batches whose gradients are summed before one update", between(1, 1e6));
  f("device", device, "auto, cpu or cuda", {"auto", "cpu", "cuda"});
  f("dtype", dtype, "what activations are computed in: auto, f32 or bf16; weights stay f32", {"auto", "f32", "bf16"});
  f("graph", graph, "on cuda, capture the training step once and replay it");
  f("threads", threads, "threads of the CPU backend; 0: one a core", between(0, 4096));
  f("loader-threads", loader_threads, "threads that decode images ahead; 0: those of the CPU backend less one",
    between(0, 4096));
  f("seed", seed, "of everything random: weights, order, augmentation", any_number());
  f("probe-every", probe_every, "epochs between evaluations; 0: only at the end", between(0, 1e9));
  f("checkpoint-minutes", checkpoint_minutes, "minutes between checkpoints; one is also written at the end",
    at_least(0));
  f("tensorboard", tensorboard,
    "write TensorBoard's event files too: scalars, timings, pictures, weights at each probe");
  f("keep", keep, "checkpoints kept beside the last two, as checkpoint-STEP.safetensors; the oldest go first",
    between(0, 1e6));
  f("keep-best", keep_best,
    "keep the best encoder so far beside the last, in RUN/best, which evaluate, embed and export take: by the probe or "
    "by "
    "the features' effective rank, which needs no labels; compared every --probe-every epochs and at the end",
    {"no", "probe", "rank"});
}

Device RunOptions::resolved_device() const {
  if (device == "auto") return cuda_report().found ? Device::cuda : Device::cpu;
  return device == "cuda" ? Device::cuda : Device::cpu;
}

DType RunOptions::resolved_dtype() const {
  if (dtype != "auto") return dtype == "bf16" ? DType::bf16 : DType::f32;
  if (resolved_device() == Device::cuda) return DType::bf16;
  return kernels::cpu::multiplies_bf16() ? DType::bf16 : DType::f32;
}

}  // namespace gestalt
