// What is chosen where nobody says, as a table; and that the choice, and measuring it, changes no run.
#include "tasks/training/first_choice.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/run/fields_text.h"
#include "engine/run/files.h"
#include "tasks/training/estimate.h"
#include "tasks/training/run.h"
#include "tasks/training/text_method.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

constexpr MachineFacts two_cores{.device = Device::cpu, .cores = 2, .fast_bf16 = true, .memory = int64_t{8} << 30};
constexpr MachineFacts old_laptop{.device = Device::cpu, .cores = 2, .fast_bf16 = false, .memory = int64_t{8} << 30};
constexpr MachineFacts server{.device = Device::cpu, .cores = 64, .fast_bf16 = true, .memory = int64_t{256} << 30};
constexpr MachineFacts gpu{.device = Device::cuda, .cores = 16, .fast_bf16 = true, .memory = int64_t{80} << 30};
constexpr MachineFacts small_gpu{.device = Device::cuda, .cores = 8, .fast_bf16 = false, .memory = int64_t{24} << 30};

std::string value(const FirstChoice& choice, const std::string& name) {
  const GivenValues values = parse_values("choice", choice.fields);
  const auto found = values.find(name);
  return found == values.end() ? "" : found->second.text;
}

int64_t number(const FirstChoice& choice, const std::string& name) { return std::stoll(value(choice, name)); }

}  // namespace

TEST_CASE("choice: data and machine decide on views, encoder, batch and epochs") {
  struct Row {
    int64_t images, side;
    MachineFacts machine;
    const char *size, *model, *width, *batch, *epochs;
  };
  const Row rows[] = {
      {72, 640, two_cores, "96", "resnet18", "32", "32", "800"},
      {72, 640, old_laptop, "96", "resnet18", "32", "32", "800"},
      {4, 640, two_cores, "96", "resnet18", "32", "4", "800"},
      {50'000, 32, two_cores, "32", "resnet18", "16", "256", "30"},
      {50'000, 32, old_laptop, "32", "resnet18", "16", "256", "10"},
      {60'000, 28, two_cores, "28", "resnet18", "16", "256", "25"},
      {10'000, 64, two_cores, "48", "resnet18", "16", "256", "68"},
      {100'000, 480, two_cores, "96", "resnet18", "32", "256", "6"},
      {100'000, 480, server, "128", "resnet18", "64", "256", "29"},
      {100'000, 480, gpu, "224", "resnet50", "64", "256", "32"},
      {100'000, 480, small_gpu, "224", "resnet50", "64", "128", "32"},
      {50'000, 32, gpu, "32", "resnet18", "64", "512", "482"},
      {10'000'000, 480, two_cores, "96", "resnet18", "32", "256", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.images);
    CAPTURE(row.side);
    CAPTURE(row.machine.cores);
    const DataFacts data{.modality = Modality::images, .images = row.images, .short_side = row.side};
    const FirstChoice choice = choose({"simclr", "resnet18"}, data, row.machine);
    CHECK(value(choice, "size") == row.size);
    CHECK(value(choice, "model") == row.model);
    CHECK(value(choice, "width") == row.width);
    CHECK(value(choice, "batch") == row.batch);
    CHECK(value(choice, "epochs") == row.epochs);
    if (!*row.epochs) CHECK(number(choice, "steps") * 256 < row.images);
    set_fields(*make_method("simclr"), "choice", choice.fields);
  }
  CHECK_THROWS_AS(choose({"simclr", "resnet18"}, {.images = 1, .short_side = 64}, two_cores), Error);
}

TEST_CASE("choice: another method gets what it shares, and keeps an encoder that is no ResNet") {
  const DataFacts data{.modality = Modality::images, .images = 5000, .short_side = 300};
  const FirstChoice mae = choose({"mae", "vit-nano"}, data, two_cores),
                    moco = choose({"moco", "resnet18"}, data, two_cores);
  CHECK(value(mae, "model") == "");
  CHECK(value(mae, "lr") == "");
  CHECK(value(moco, "width") == "32");
  CHECK(value(moco, "head-hidden") == "");
  CHECK(value(choose({.method = "moco", .model = "resnet50", .model_is_given = true}, data, two_cores), "model") == "");
  set_fields(*make_method("mae"), "choice", mae.fields);
  set_fields(*make_method("moco"), "choice", moco.fields);
}

TEST_CASE("choice: views are of a size that the encoder takes") {
  const auto size = [](const Learner& learner, int64_t side, const MachineFacts& machine) {
    return number(choose(learner, {.images = 500, .short_side = side}, machine), "size");
  };
  CHECK(size({"simclr", "resnet18"}, 77, two_cores) == 77);
  CHECK(size({"mae", "vit-nano"}, 77, two_cores) == 64);
  CHECK(size({"mae", "vit-nano"}, 30, two_cores) == 28);
  CHECK(size({"mae", "vit-nano"}, 600, gpu) == 224);
  CHECK(size({.method = "ijepa", .model = "vit-h", .patch = 14}, 600, two_cores) == 84);
  CHECK(size({"gan", "dcgan"}, 50, two_cores) == 32);
}

TEST_CASE("choice: a text's size decides on steps and context") {
  const DataFacts small{.modality = Modality::text, .bytes = 1'115'394}, tiny{.modality = Modality::text, .bytes = 400};
  const FirstChoice two = choose({"gpt"}, small, two_cores);
  CHECK(value(two, "steps") == "15000");
  CHECK(value(two, "context") == "64");
  CHECK(value(two, "tokenizer") == "character");
  CHECK(value(choose({"gpt"}, small, gpu), "width") == "384");
  CHECK(value(choose({"gpt"}, tiny, two_cores), "context") == "20");
  CHECK(value(choose({"gpt"}, {.modality = Modality::text, .bytes = int64_t{1} << 30}, gpu), "tokenizer") == "byte");
  set_fields(*make_method("gpt"), "choice", two.fields);
}

TEST_CASE("choice: what data are names the method") {
  CHECK(default_method("shapes") == default_image_method);
  CHECK(default_method("images:x,tar:y") == default_image_method);
  CHECK(default_method("jsonl:a.jsonl#text") == default_text_method);
  CHECK_THROWS_WITH_AS(default_method("image:photos"), doctest::Contains("did you mean \"images\""), Error);
  const DataFacts facts = look_at_data("shapes:80:20", false);
  CHECK(facts.images == 80);
  CHECK(facts.short_side == 20);
  CHECK(look_at_data("sums:10", false).bytes > 60);
}

TEST_CASE("choice: what takes long before the first step is said") {
  CHECK(decoding_text({.images = 900, .decode_seconds = 19}, 2) == "");
  CHECK(decoding_text({.images = 3000, .decode_seconds = 120}, 2) == "decoding 3000 images first takes about 60 s");
  CHECK(decoding_text({.images = 20'000, .decode_seconds = 960}, 2) ==
        "decoding 20000 images first takes about 8 minutes");
  CHECK(decoding_text({.images = 200'000, .decode_seconds = 9600}, 2) == "");  // not first, but in the run
}

TEST_CASE("choice: a run that was measured first is the same run, for every method") {
  for (const MethodEntry& entry : list_methods()) {
    CAPTURE(entry.name);
    const TemporaryFolder folder;
    std::string metrics[2];
    for (int measured : {0, 1}) {
      const std::unique_ptr<Method> method = tiniest_method(entry.name, Device::cpu, DType::f32);
      method->run.steps = 3;
      method->probe = nullptr;
      const std::string out = folder / fmt::format("{}", measured);
      pretrain(*method, {.out = out, .quiet = true, .chosen = measured ? "chosen" : ""});
      metrics[measured] = read_text(out + "/metrics.csv");
    }
    CHECK(metrics[0] == metrics[1]);
  }
}

TEST_CASE("choice: a rehearsal counts steps and memory, and writes nothing") {
  const std::unique_ptr<Method> method = tiny_method("simclr");
  const RunEstimate estimate = rehearse(*method);
  CHECK(estimate.steps == 18);
  CHECK(estimate.steps_per_epoch == 6);
  CHECK(estimate.memory > 1 << 20);
  CHECK(estimate.seconds_per_step > 0);
  CHECK(estimate.text().find("18 steps") != std::string::npos);
}

TEST_CASE("choice: a rehearsal counts the probes of text by what is held out") {
  const std::unique_ptr<Method> method = tiny_method("gpt");
  method->run.probe_every = 1;
  const RunEstimate estimate = rehearse(*method);
  const TokenSets& tokens = dynamic_cast<TextMethod&>(*method).tokens();
  const double steps = static_cast<double>(estimate.steps),
               epochs = steps / static_cast<double>(estimate.steps_per_epoch),
               held_out =
                   static_cast<double>(tokens.validation->count()) / static_cast<double>(tokens.training->count());
  REQUIRE(held_out > 0);
  const double probes = estimate.minutes * 60 / estimate.seconds_per_step - steps;  // in steps
  CHECK(probes ==
        doctest::Approx((1 + std::floor(epochs)) * held_out / 3 * static_cast<double>(estimate.steps_per_epoch)));
}

}  // namespace gestalt::test
