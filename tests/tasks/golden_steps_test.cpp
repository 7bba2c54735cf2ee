// One step of every method against PyTorch: loss, terms and every gradient, and what the step leaves behind.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tasks/training/training.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/tasks/training/tiny_method.h"

namespace gestalt::test {
namespace {

using nlohmann::json;

// Plain gradient descent: without momentum, the moment that it keeps is the gradient.
constexpr const char* descent =
    "optimizer = sgd\nmomentum = 0\nlr-scaling = none\nfinal-lr = 1\nwarmup-epochs = 0\nwarmup-steps = 0\n"
    "weight-decay = 0\nweight-decay-end = -1\nclip = 0\nclip-each = false\ndtype = f32\n";

// The records of a method, tests/golden/<method>_step*.json.
std::vector<std::string> records_of(const std::string& method) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(GESTALT_SOURCE_DIR) + "/tests/golden")) {
    const std::string file = entry.path().filename().string();
    if (file.starts_with(method + "_step") && file.ends_with(".json")) files.push_back(file);
  }
  std::sort(files.begin(), files.end());
  return files;
}

// States that do not begin as the method makes them: a number is the scale of hash_uniform; a list is its values; a
// text is how the name of the trained part begins that a part beginning with the key has the shape and the formula of.
void fill_states(Method& method, const json& states) {
  const std::vector<NamedPart> all = parts(method);
  const auto trained = [&](const std::string& name) {
    return std::any_of(all.begin(), all.end(), [&](const NamedPart& p) { return p.trained && p.name == name; });
  };
  for (const auto& [key, how] : states.items())
    for (const NamedPart& p : all) {
      if (how.is_number() && p.name == key) {
        std::vector<double> values = hash_uniform(p.name, p.tensor.count());
        for (double& v : values) v *= how.get<double>();
        Tensor(p.tensor).copy_from(Tensor::from(values, p.tensor.shape()));
      } else if (how.is_array() && p.name == key) {
        const Shape& shape = p.tensor.shape();
        Tensor(p.tensor).copy_from(p.tensor.dtype() == DType::i32
                                       ? Tensor::from(how.get<std::vector<int32_t>>(), shape)
                                       : Tensor::from(how.get<std::vector<double>>(), shape));
      } else if (how.is_string() && p.name.starts_with(key)) {
        if (trained(how.get<std::string>() + p.name.substr(key.size()))) fill_by_formula(p.name, p.tensor);
      }
    }
}

// The views of a group: of a name, hash_uniform + 0.5; of an object, scale · hash_uniform + shift.
Tensor golden_views(const json& record, const Shape& shape, Device device) {
  const bool plain = record.is_string();
  std::vector<double> pixels = hash_uniform(plain ? record : record.at("name"), shape.count());
  const double scale = plain ? 1 : record.at("scale").get<double>(),
               shift = plain ? 0.5 : record.at("shift").get<double>();
  for (double& p : pixels) p = scale * p + shift;
  return Tensor::from(pixels, shape).to(DType::f32).to(device);
}

Batch golden_batch(const Method& method, const json& record, Device device) {
  const Wants wants = method.wants();
  const int64_t count = method.run.batch;
  Batch batch;
  for (size_t g = 0; g < wants.groups.size(); ++g) {
    const ViewGroup& group = wants.groups[g];
    const Shape shape{static_cast<int64_t>(group.views.size()) * count, group.size, group.size, 3};
    batch.views.push_back(golden_views(record.at("views").at(g), shape, device));
  }
  if (wants.modality == Modality::images) {
    std::vector<int32_t> samples;
    for (int32_t i = 0; i < count; ++i) samples.push_back(i);
    batch.samples = Tensor::from(samples, {count}).to(device);
    if (wants.labels) batch.labels = Tensor::from(record.at("labels").get<std::vector<int32_t>>(), {count}).to(device);
    return batch;
  }
  const int64_t length = record.at("length"), vocabulary = record.at("vocabulary");
  const std::vector<double> drawn = hash_uniform(record.at("tokens"), count * (length + 1));
  std::vector<int32_t> tokens, targets;
  for (int64_t i = 0; i < count * (length + 1); ++i) {
    const auto token = static_cast<int32_t>((drawn[i] + 0.5) * static_cast<double>(vocabulary));
    if (i % (length + 1) < length) tokens.push_back(token);
    if (i % (length + 1) > 0) targets.push_back(token);
  }
  batch.tokens = Tensor::from(tokens, {count, length}).to(device);
  batch.targets = Tensor::from(targets, {count, length}).to(device);
  return batch;
}

// One step of the method that a record describes, on its batch, at a learning rate.
struct GoldenStep {
  std::unique_ptr<Method> method;
  Training::Scalars scalars;
  std::vector<std::pair<std::string, Tensor>> state;

  GoldenStep(const std::string& name_of_method, const json& record, Device device, double rate)
      : method(make_method(name_of_method)) {
    set_fields(*method, "record", record.at("fields").get<std::string>());
    set_fields(*method, "test", descent + fmt::format("lr = {}\ndevice = {}\n", rate, name(device)));
    method->open();
    Random random(1);
    method->build(random);
    fill_by_formula(*method);
    fill_states(*method, record.value("states", json::object()));
    FixedFeed feed(golden_batch(*method, record, device), record.value("steps_per_epoch", int64_t{1}));
    PhaseClock clock;
    Training training(*method, feed, clock);
    training.restored(record.value("step", int64_t{0}));
    scalars = training.step().at(0);
    state = training.state();
  }

  double scalar(const std::string& wanted) const {
    for (const auto& [name, value] : scalars)
      if (name == wanted) return value.item();
    return NAN;
  }

  // Each trained part's slice of the optimizer's moment.
  NamedGradients gradients(const Network& network) const {
    const std::string moment =
        (network.name.empty() ? "optimizer." : "optimizer." + network.name + ".") + "first_moment";
    const auto found = std::find_if(state.begin(), state.end(), [&](const auto& s) { return s.first == moment; });
    REQUIRE(found != state.end());
    const Tensor all = found->second.to(Device::cpu);
    NamedGradients result;
    int64_t at = 0;
    for (const NamedPart& p : parts(*method)) {
      if (!p.trained || !p.name.starts_with(network.parts)) continue;
      result.push_back({p.name, all.slice(at, at + p.tensor.count()).reshape(p.tensor.shape())});
      at += aligned_count(p.tensor.count());
    }
    REQUIRE(at == all.count());
    return result;
  }
};

void check_network(const GoldenStep& step, const Network& network, const json& record) {
  const double loss = record.at("loss"), got = step.scalar(network.name.empty() ? "loss" : network.name);
  CHECK(std::abs(got - loss) < 1e-5 * std::abs(loss));
  const std::vector<GradientError> errors = compare_gradients(record.at("gradients"), step.gradients(network));
  const auto worst =
      std::max_element(errors.begin(), errors.end(), [](const auto& a, const auto& b) { return a.error < b.error; });
  MESSAGE(step.method->name(), ": largest relative gradient error: ", worst->error, " in ", worst->name, ", of ",
          errors.size());
  for (const GradientError& g : errors) CHECK_MESSAGE(g.error < 1e-4, g.name);
}

void check_step(const std::string& method, const json& record, Device device) {
  const GoldenStep step(method, record, device, 0);
  const std::vector<Network> networks = step.method->networks();
  for (const Network& network : networks)
    check_network(step, network, network.name.empty() ? record : record.at(network.name));
  const json terms = record.value("terms", json::object());
  for (const auto& [name, value] : terms.items()) {
    const std::string& term = name;
    CHECK_MESSAGE(step.scalar(term) == doctest::Approx(value.get<double>()).epsilon(1e-5), term);
  }
}

// The parts that the record has after an update at its rate: all of them, unless it names no rate.
void check_after(const std::string& method, const json& record, Device device) {
  const GoldenStep step(method, record, device, record.value("rate", 0.0));
  const json& after = record.at("after");
  size_t compared = 0;
  for (const NamedPart& p : parts(*step.method)) {
    if (!after.contains(p.name)) continue;
    ++compared;
    const json& expected = after.at(p.name);
    if (expected.is_object()) {
      CHECK_MESSAGE(golden_error(p.name, p.tensor, expected) < 1e-5, p.name);
    } else {
      const std::vector<double> values = p.tensor.values64(), want = expected;
      REQUIRE(values.size() == want.size());
      for (size_t i = 0; i < values.size(); ++i) CHECK(values[i] == doctest::Approx(want[i]).epsilon(1e-5));
    }
  }
  CHECK(compared == after.size());
  if (record.contains("rate")) CHECK(compared == parts(*step.method).size());
}

template <class F>
void for_each_record(F&& f) {
  for (const MethodEntry& entry : list_methods()) {
    const std::vector<std::string> files = records_of(entry.name);
    CHECK_MESSAGE(!files.empty(), "tests/golden has no ", entry.name, "_step.json");
    for (const std::string& file : files)
      for (Device device : devices()) {
        CAPTURE(file);
        CAPTURE(name(device));
        f(entry.name, golden_record(file), device);
      }
  }
}

}  // namespace

TEST_CASE("golden step of every method on every device: loss, terms and every gradient equal PyTorch's") {
  for_each_record(check_step);
}

TEST_CASE("golden step on every device: what an update leaves, teachers, centres and statistics, equals PyTorch's") {
  int records = 0;
  for_each_record([&](const std::string& method, const json& record, Device device) {
    if (!record.contains("after")) return;
    check_after(method, record, device);
    ++records;
  });
  CHECK(records > 0);
}

}  // namespace gestalt::test
