// Fields as JSON, and finding the name that was meant.
#include "engine/run/fields.h"

#include <doctest/doctest.h>

#include <limits>

#include "engine/run/fields_json.h"
#include "kernels/check.h"

namespace gestalt::test {
namespace {

struct Options {
  double lr = 0.03;
  int64_t epochs = 5'000'000'000;
  bool resume = false;
  std::string schedule = "cosine";

  void fields(Fields& f) {
    f("lr", lr, "learning rate");
    f("epochs", epochs, "passes over the data", any_number());
    f("resume", resume, "continue");
    f("schedule", schedule, "of the learning rate", {"cosine", "constant"});
  }
};

void read(const std::string& text, Options& options) {
  JsonReader reader("config.json", parse_json("config.json", text));
  options.fields(reader);
  reader.finish();
}

std::string reason(const std::string& text) {
  try {
    Options options;
    read(text, options);
  } catch (const Error& error) { return error.what(); }
  return "";
}

}  // namespace

TEST_SUITE("fields") {
  TEST_CASE("the nearest name is the one with the fewest edits") {
    const std::vector<std::string> names{"lr", "weight-decay", "epochs", "batch-size", "temperature"};
    CHECK(nearest("weight-dacay", names) == "weight-decay");
    CHECK(nearest("weigth-decay", names) == "weight-decay");
    CHECK(nearest("epoch", names) == "epochs");
    CHECK(nearest("batch_size", names) == "batch-size");
    CHECK(nearest("batch", names) == "batch-size");
    CHECK(nearest("temprature", names) == "temperature");
    CHECK(nearest("l", names) == "lr");
    CHECK(nearest("xyz", names) == "");
    CHECK(nearest("", names) == "");
    CHECK(nearest(std::string(100'000, 'a'), names) == "");
    CHECK(suggestion("epoch", names) == "; did you mean 'epochs'?");
    CHECK(suggestion("zzz", {"a", "b"}) == "; expected one of a, b");
  }

  TEST_CASE("fields become JSON in visiting order and come back unchanged") {
    Options options{
        .lr = 0.1 + 0.2, .epochs = std::numeric_limits<int64_t>::min(), .resume = true, .schedule = "constant"};
    JsonWriter writer;
    options.fields(writer);
    CHECK(writer.object.dump() ==
          R"({"lr":0.30000000000000004,"epochs":-9223372036854775808,"resume":true,"schedule":"constant"})");
    Options copy;
    read(writer.object.dump(), copy);
    CHECK(copy.lr == options.lr);
    CHECK(copy.epochs == options.epochs);
    CHECK(copy.resume);
    CHECK(copy.schedule == "constant");
    FieldNames names;
    options.fields(names);
    CHECK(names.names == std::vector<std::string>{"lr", "epochs", "resume", "schedule"});
  }

  TEST_CASE("an absent key keeps its default and a whole number is a number") {
    Options options;
    read(R"({"lr": 1})", options);
    CHECK(options.lr == 1.0);
    CHECK(options.epochs == 5'000'000'000);
  }

  TEST_CASE("what is not meant is refused by name") {
    CHECK(reason(R"({"epoch": 3})").find("config.json: unknown key 'epoch'; did you mean 'epochs'?") !=
          std::string::npos);
    CHECK(reason(R"({"lr": "0.1"})").find("'lr' \"0.1\", expected a number") != std::string::npos);
    CHECK(reason(R"({"epochs": 1.5})").find("'epochs' 1.5, expected a whole number") != std::string::npos);
    CHECK(reason(R"({"epochs": 9223372036854775808})").find("expected a whole number") != std::string::npos);
    CHECK(reason(R"({"resume": 1})").find("'resume' 1, expected true or false") != std::string::npos);
    CHECK(reason(R"({"schedule": 1})").find("'schedule' 1, expected a text") != std::string::npos);
    CHECK(reason(R"({"schedule": "cosin"})").find("did you mean 'cosine'?") != std::string::npos);
    CHECK(reason(R"([1])").find("expected an object") != std::string::npos);
    CHECK(reason(R"({"lr": 1, "lr": 2})").find("'lr' stands twice") != std::string::npos);
    CHECK(reason(R"({"lr": )").find("config.json") != std::string::npos);
    CHECK(reason(std::string(100'000, '[')).find("deeper") != std::string::npos);
  }

  TEST_CASE("a text that is no UTF-8, as a file's name may be, comes back as it was") {
    std::string odd = "images:caf\xe9\xff";
    JsonWriter writer;
    writer("data", odd, "", {});
    CHECK(writer.object.dump() == "{\"data\":\"images:caf\xf4\x8f\xbf\xa9\xf4\x8f\xbf\xbf\"}");
    std::string back;
    JsonReader reader("config.json", parse_json("config.json", writer.object.dump()));
    reader("data", back, "", {});
    CHECK(back == odd);
    CHECK_FALSE(text_of_json(3).has_value());
  }

  TEST_CASE("a number that JSON cannot hold is not written") {
    Options options{.lr = std::numeric_limits<double>::infinity(), .schedule = "cosine"};
    JsonWriter writer;
    CHECK_THROWS_AS(options.fields(writer), Error);
  }
}

}  // namespace gestalt::test
