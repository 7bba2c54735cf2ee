// One step of every method against PyTorch: loss, terms and every gradient, and what the step leaves behind; then three
// steps of descent.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "tasks/training/training.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/source_path.h"
#include "tests/tasks/training/tiny_method.h"

namespace gestalt::test {
namespace {

// Plain gradient descent: without momentum, the moment that it keeps is the gradient.
constexpr const char* descent =
    "optimizer = sgd\nmomentum = 0\nlr-scaling = none\nfinal-lr = 1\nwarmup-epochs = 0\nwarmup-steps = 0\n"
    "weight-decay = 0\nweight-decay-end = -1\nclip = 0\nclip-each = false\ndtype = f32\n";

// The records of a method, tests/golden/<method>_step*.json.
std::vector<std::string> records_of(const std::string& method) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(source_path("tests/golden"))) {
    const std::string file = entry.path().filename().string();
    if (file.starts_with(method + "_step") && file.ends_with(".json")) files.push_back(file);
  }
  std::sort(files.begin(), files.end());
  return files;
}

// States that do not begin as the method makes them: a number is the scale of hash_uniform; a list is its values; a
// text is how the name of the trained part begins that a part beginning with the key has the shape and the formula of.
void fill_states(Method& method, const Json& states) {
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
Tensor golden_views(const Json& record, const Shape& shape, Device device) {
  const bool plain = record.is_string();
  std::vector<double> pixels = hash_uniform((plain ? record : record.at("name")).text(), shape.count());
  const double scale = plain ? 1 : record.at("scale").get<double>(),
               shift = plain ? 0.5 : record.at("shift").get<double>();
  for (double& p : pixels) p = scale * p + shift;
  return Tensor::from(pixels, shape).to(DType::f32).to(device);
}

Batch golden_batch(const Method& method, const Json& record, Device device) {
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
  const auto length = record.at("length").get<int64_t>(), vocabulary = record.at("vocabulary").get<int64_t>();
  const std::vector<double> drawn = hash_uniform(record.at("tokens").text(), count * (length + 1));
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

int64_t first_step(const Json& record) { return record.value("step", int64_t{0}); }

// Steps of the method that a record describes, on its batch, at a learning rate.
struct GoldenStep {
  std::unique_ptr<Method> method;
  std::vector<Training::Scalars> scalars;  // of each step
  std::vector<NamedPart> start;            // copies of the method's parts before the first
  std::vector<std::pair<std::string, Tensor>> state;

  GoldenStep(const std::string& name_of_method, const Json& record, Device device, double rate, int64_t first,
             int steps = 1)
      : method(make_method(name_of_method)) {
    set_fields(*method, "record", record.at("fields").get<std::string>());
    set_fields(*method, "test", descent + fmt::format("lr = {}\ndevice = {}\n", rate, name(device)));
    method->open();
    Random random(1);
    method->build(random);
    fill_by_formula(*method);
    fill_states(*method, record.value("states", Json::object()));
    FixedFeed feed(golden_batch(*method, record, device), record.value("steps_per_epoch", int64_t{1}));
    PhaseClock clock;
    Training training(*method, feed, clock);
    training.restored(first);
    for (const NamedPart& p : parts(*method)) start.push_back({p.name, p.tensor.clone(), p.trained});
    for (int i = 0; i < steps; ++i) {
      scalars.push_back(training.step().at(0));
      // The next step may overwrite them.
      for (auto& entry : scalars.back()) entry.second = entry.second.clone();
    }
    state = training.state();
  }

  double scalar(const std::string& wanted, size_t step = 0) const {
    for (const auto& [name, value] : scalars.at(step))
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

void check_network(const GoldenStep& step, const Network& network, const Json& record) {
  const double loss = record.at("loss").get<double>(), got = step.scalar(network.name.empty() ? "loss" : network.name);
  CHECK(std::abs(got - loss) < 1e-5 * std::abs(loss));
  const std::vector<GradientError> errors = compare_gradients(record.at("gradients"), step.gradients(network));
  const auto worst =
      std::max_element(errors.begin(), errors.end(), [](const auto& a, const auto& b) { return a.error < b.error; });
  MESSAGE(step.method->name(), ": largest relative gradient error: ", worst->error, " in ", worst->name, ", of ",
          errors.size());
  for (const GradientError& g : errors) CHECK_MESSAGE(g.error < 1e-4, g.name);
}

void check_step(const std::string& method, const Json& record, Device device) {
  const GoldenStep step(method, record, device, 0, first_step(record));
  const std::vector<Network> networks = step.method->networks();
  for (const Network& network : networks)
    check_network(step, network, network.name.empty() ? record : record.at(network.name));
  for (const CollapseSign& sign : step.method->collapse_signs())
    if (sign.column != "feature_std" && sign.column != "effective_rank")
      CHECK_MESSAGE(std::isfinite(step.scalar(sign.column)), sign.column, " is no term of ", method);
  const Json terms = record.value("terms", Json::object());
  for (const auto& [name, value] : terms.items()) {
    const std::string& term = name;
    CHECK_MESSAGE(step.scalar(term) == doctest::Approx(value.get<double>()).epsilon(1e-5), term);
  }
}

// The parts that the record has after an update at its rate: all of them, unless it names no rate.
void check_after(const std::string& method, const Json& record, Device device) {
  const GoldenStep step(method, record, device, record.value("rate", 0.0), first_step(record));
  const Json& after = record.at("after");
  size_t compared = 0;
  for (const NamedPart& p : parts(*step.method)) {
    if (!after.contains(p.name)) continue;
    ++compared;
    const Json& expected = after.at(p.name);
    if (expected.is_object()) {
      CHECK_MESSAGE(golden_error(p.name, p.tensor, expected) < 1e-5, p.name);
    } else {
      const auto values = p.tensor.values64(), want = expected.get<std::vector<double>>();
      REQUIRE(values.size() == want.size());
      for (size_t i = 0; i < values.size(); ++i) CHECK(values[i] == doctest::Approx(want[i]).epsilon(1e-5));
    }
  }
  CHECK(compared == after.size());
  if (record.contains("rate")) CHECK(compared == parts(*step.method).size());
}

// Each column at each of three steps, and at the end every part that is not trained and has changed. Losses are those
// of a path: they differ from PyTorch's where an update, a teacher, a queue, a centre or a schedule does.
void check_trajectory(const std::string& method, const Json& record, Device device) {
  const Json &trajectory = record.at("trajectory"), &columns = trajectory.at("columns");
  const GoldenStep run(method, record, device, trajectory.at("rate").get<double>(), first_step(trajectory), 3);
  double worst = 0, worst_state = 0;
  for (const auto& [name, values] : columns.items()) {
    const std::string& column = name;
    REQUIRE(values.size() == run.scalars.size());
    for (size_t step = 0; step < values.size(); ++step) {
      const double expected = values[step].get<double>(), got = run.scalar(column, step);
      worst = std::max(worst, std::abs(got - expected) / std::abs(expected));
      CHECK_MESSAGE(std::abs(got - expected) <= 5e-5 * std::abs(expected), column, " of step ", step);
    }
  }
  const std::vector<NamedPart> end = parts(*run.method);
  size_t compared = 0;
  for (size_t i = 0; i < end.size(); ++i) {
    const NamedPart& p = end[i];
    if (p.trained) continue;
    if (!trajectory.at("states").contains(p.name)) {
      CHECK_MESSAGE(p.tensor.values64() == run.start[i].tensor.values64(), "the record lacks ", p.name);
      continue;
    }
    ++compared;
    if (trajectory.at("states").at(p.name).is_null()) continue;  // PyTorch's side cannot know it
    // The mean of what a batch norm gave is 0 but for rounding: elements below 0.01 count so.
    const double floor = 0.01 * std::sqrt(static_cast<double>(p.tensor.count()));
    const double error = golden_error(p.name, p.tensor, trajectory.at("states").at(p.name), floor);
    worst_state = std::max(worst_state, error);
    CHECK_MESSAGE(error < 1e-4, p.name);
  }
  CHECK(compared == trajectory.at("states").size());
  MESSAGE(method, ": three steps: largest relative error of a column ", worst, ", of a state ", worst_state);
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
  for_each_record([&](const std::string& method, const Json& record, Device device) {
    if (!record.contains("after")) return;
    check_after(method, record, device);
    ++records;
  });
  CHECK(records > 0);
}

TEST_CASE("golden step on every device: three steps of descent take every method where PyTorch goes") {
  std::set<std::string> walked;
  for_each_record([&](const std::string& method, const Json& record, Device device) {
    if (!record.contains("trajectory")) return;
    check_trajectory(method, record, device);
    walked.insert(method);
  });
  CHECK(walked.size() == list_methods().size());
}

}  // namespace gestalt::test
