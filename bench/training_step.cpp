// Training steps of every method, built from the registered tasks with the shapes that PyTorch is compared at.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string_view>

#include "bench/workload.h"
#include "engine/nn/arena.h"
#include "engine/nn/optimizer.h"
#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/tensor/device_memory.h"
#include "kernels/philox.h"
#include "tasks/training/task.h"
#include "tests/temporary_folder.h"

namespace gestalt::bench {
namespace {

struct TaskCase {
  std::string name, summary, task;
  std::string size_field;  // the field that WorkloadOptions::size sets
  bool text;               // learns from random text of 65 characters instead of the data that `values` name
  std::string values;      // fields as JSON
};

// ResNet-18 with the CIFAR stem, SGD with momentum; a rate at which nothing diverges on the same batch again and again.
const std::string resnet = R"("data": "shapes:2048:32", "size": 32, "batch": 64, "model": "resnet18", "stem": "cifar",
    "width": 64, "optimizer": "sgd", "lr": 0.01, "lr-scaling": "none", "momentum": 0.9, "weight-decay": 1e-4,
    "normalise": "imagenet")";
const std::string adamw = R"("optimizer": "adamw", "lr": 1e-4, "lr-scaling": "none", "weight-decay": 0.05, "clip": 0)";

const std::vector<TaskCase>& task_cases() {
  static const std::vector<TaskCase> cases{
      {"simclr", "SimCLR, ResNet-18 with the CIFAR stem, head 512-2048-128, batch 64 of 32 pixels, SGD", "simclr",
       "size", false, "{" + resnet + R"(, "temperature": 0.5, "head-hidden": 2048, "head-out": 128, "head-layers": 2,
       "head-norm": true})"},
      {"byol", "BYOL, ResNet-18 with the CIFAR stem, heads 2048-128, batch 64 of 32 pixels, SGD", "byol", "size", false,
       "{" + resnet + R"(, "tau": 0.99, "head-hidden": 2048, "head-out": 128, "predictor-hidden": 2048})"},
      {"simsiam", "SimSiam, ResNet-18 with the CIFAR stem, projector 2048-2048, predictor 512, batch 64, SGD",
       "simsiam", "size", false, "{" + resnet + R"(, "head-hidden": 2048, "head-out": 2048, "predictor-hidden": 512})"},
      {"mae", "MAE, ViT-Ti with patches of 4, decoder 128 x 4 x 4, batch 128 of 32 pixels, AdamW", "mae", "size", false,
       R"({"data": "shapes:2048:32", "size": 32, "batch": 128, "model": "vit-tiny", "patch": 4, "decoder-width": 128,
       "decoder-depth": 4, "decoder-heads": 4, "mask-ratio": 0.75, "norm-pixels": true, "normalise": "imagenet", )" +
           adamw + "}"},
      {"gpt-4x128", "GPT, 4 layers and heads, width 128, context 64, 65 characters, batch 12, AdamW", "gpt", "context",
       true,
       R"({"layers": 4, "heads": 4, "width": 128, "context": 64, "batch": 12, "dropout": 0, "tokenizer": "character", )" +
           adamw + "}"},
      {"gpt-6x384", "GPT, 6 layers and heads, width 384, context 256, 65 characters, batch 16, AdamW", "gpt", "context",
       true,
       R"({"layers": 6, "heads": 6, "width": 384, "context": 256, "batch": 16, "dropout": 0, "tokenizer": "character", )" +
           adamw + "}"}};
  return cases;
}

// "name=value" as JSON: a number, true or false where it is one, else a string.
nlohmann::ordered_json value_of(const std::string& text) {
  const auto value = nlohmann::ordered_json::parse(text, nullptr, false);
  return value.is_number() || value.is_boolean() ? value : nlohmann::ordered_json(text);
}

// 200,000 of 65 characters, drawn evenly.
std::string random_text() {
  const std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .\n";
  std::string text;
  for (uint32_t i = 0; i < 200'000; ++i) text += letters[draw(1, Use::made_up, 0, i, 0).word[0] % letters.size()];
  return text;
}

// Sums the time that a step's losses take, to tell them from the rest of forward and backward.
class LossTimer : public kernels::LaunchObserver {
 public:
  void begin(const kernels::LaunchInfo& launch) override {
    on_ = launch.cost().loss;
    if (!on_) return;
    synchronize(launch.stream.device);
    start_ = std::chrono::steady_clock::now();
  }
  void end(Stream stream) override {
    if (!on_) return;
    synchronize(stream.device);
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  double seconds = 0;

 private:
  std::chrono::steady_clock::time_point start_;
  bool on_ = false;
};

class TrainingStep : public Workload {
 public:
  TrainingStep(const TaskCase& which, const WorkloadOptions& options);
  void step() override;
  std::string phase() const override { return phase_names[static_cast<size_t>(phase_)]; }
  std::vector<std::pair<std::string, double>> arrows() override;
  double loss() const override { return loss_.item(); }

 private:
  void configure(const TaskCase& which, const WorkloadOptions& options);
  void enter(Phase phase);
  Inputs inputs_of_step();

  std::unique_ptr<Task> task_;
  std::unique_ptr<Feed> feed_;
  std::unique_ptr<ParameterArena> arena_;
  std::unique_ptr<Optimizer> optimizer_;
  Device device_;
  bool from_feed_, timed_ = false;
  Inputs inputs_;
  Tensor loss_;
  int64_t step_ = 0, timed_steps_ = 0;
  Phase phase_ = Phase::data;
  PhaseClock clock_{phase_names};
  double loss_seconds_[2] = {0, 0};  // of timed_steps_ steps, forward and backward
};

TrainingStep::TrainingStep(const TaskCase& which, const WorkloadOptions& options)
    : device_(options.device), from_feed_(options.feed) {
  const test::TemporaryFolder folder;
  configure(which, options);
  if (which.text) {
    write_file_atomically(folder / "text", random_text());
    task_->run.data = "text:" + (folder / "text");
  }
  feed_ = task_->open();
  Random random(1);
  task_->build(random);
  arena_ = std::make_unique<ParameterArena>(*task_, device_, options.dtype);
  optimizer_ = std::make_unique<Optimizer>(*arena_, task_->optimizer);
  task_->prepare(*arena_);
  parameters = parameter_count(*task_);
  items = static_cast<double>(feed_->items_per_step());
  item = which.text ? "tokens" : "images";
  inputs_ = feed_->at(0, clock_);
  clock_.reset();
}

void TrainingStep::configure(const TaskCase& which, const WorkloadOptions& options) {
  nlohmann::ordered_json values = parse_json("workload " + which.name, which.values);
  values["device"] = name(options.device);
  values["dtype"] = name(options.dtype);
  if (options.batch > 0) values["batch"] = options.batch;
  if (options.size > 0) values[which.size_field] = options.size;
  for (const std::string& field : options.fields) {
    const size_t equals = field.find('=');
    check(equals != std::string::npos, "[workload] got '{}', expected NAME=VALUE", field);
    values[field.substr(0, equals)] = value_of(field.substr(equals + 1));
  }
  batch = values["batch"].get<int64_t>();
  size = values[which.size_field].get<int64_t>();
  task_ = find_task(which.task).make();
  JsonReader reader("workload " + which.name, values);
  task_->fields(reader);
  reader.finish();
}

void TrainingStep::enter(Phase phase) {
  phase_ = phase;
  if (!timed_) return;
  synchronize(device_);
  clock_.enter(static_cast<size_t>(phase));
}

Inputs TrainingStep::inputs_of_step() {
  enter(Phase::data);
  return from_feed_ ? feed_->at(step_, clock_) : inputs_;
}

void TrainingStep::step() {
  const StepInfo info{step_, int64_t{1} << 40, static_cast<uint64_t>(step_)};
  task_->begin_step(info);
  LossTimer timer;
  const Inputs inputs = inputs_of_step();
  {
    const std::unique_ptr<Observing> observing = timed_ ? std::make_unique<Observing>(timer) : nullptr;
    enter(Phase::forward);
    const LossOutput out = task_->loss(inputs, info);
    loss_ = out.loss.detach();
    loss_seconds_[0] += timer.seconds;
    enter(Phase::backward);
    out.loss.backward();
    loss_seconds_[1] += timer.seconds;
  }
  enter(Phase::optimizer);
  optimizer_->step(task_->optimizer.rate, task_->optimizer.decay);
  task_->after_step(info, *arena_);
  synchronize(device_);
  clock_.end_step();
  ++step_, ++timed_steps_;
}

std::vector<std::pair<std::string, double>> TrainingStep::arrows() {
  const double steps = static_cast<double>(std::max<int64_t>(1, timed_steps_));
  const auto spent = [&](Phase p) { return clock_.seconds(static_cast<size_t>(p)) * 1e3 / steps; };
  // The second sum holds the first one's share too.
  const double ahead = loss_seconds_[0] * 1e3 / steps, both = loss_seconds_[1] * 1e3 / steps;
  std::vector<std::pair<std::string, double>> all;
  if (timed_)
    all = {{"loader", spent(Phase::data)},
           {"augment", spent(Phase::augment)},
           {"forward", spent(Phase::forward) - ahead},
           {"loss", both},
           {"backward", spent(Phase::backward) - (both - ahead)},
           {"optimizer", spent(Phase::optimizer)}};
  clock_.reset();
  loss_seconds_[0] = loss_seconds_[1] = 0;
  timed_steps_ = 0;
  timed_ = true;
  return all;
}

}  // namespace

std::vector<WorkloadEntry> training_workloads() {
  std::vector<WorkloadEntry> entries;
  for (const TaskCase& which : task_cases())
    entries.push_back({which.name, which.summary,
                       [&which](const WorkloadOptions& o) { return std::make_unique<TrainingStep>(which, o); }});
  return entries;
}

}  // namespace gestalt::bench
