// Lines `name = value`: comments, quotes, JSON, the method's line, and what is refused with its place.
#include "engine/run/fields_text.h"

#include <doctest/doctest.h>

#include "kernels/check.h"

namespace gestalt::test {
namespace {

struct Options {
  double lr = 0.03;
  int64_t epochs = 100;
  bool amp = false;
  std::string data = "shapes", schedule = "cosine";

  void fields(Fields& f) {
    f("lr", lr, "learning rate");
    f("epochs", epochs, "passes over the data");
    f("amp", amp, "mixed precision");
    f("data", data, "what to learn from");
    f("schedule", schedule, "of the rate", {"cosine", "constant"});
  }
};

Options read(const std::string& text) {
  Options options;
  TextReader reader("a.conf", text);
  options.fields(reader);
  reader.finish();
  return options;
}

std::string data_of(const std::string& value) { return parse_values("a.conf", "data = " + value).at("data").text; }

}  // namespace

TEST_SUITE("fields as text") {
  TEST_CASE("lines set what they name, and the rest keeps its value") {
    const Options o = read("lr = 1e-3\r\n\n  epochs=7\t\namp = true\nschedule = constant");
    CHECK(o.lr == 1e-3);
    CHECK(o.epochs == 7);
    CHECK(o.amp);
    CHECK(o.data == "shapes");
    CHECK(o.schedule == "constant");
    CHECK(read("").epochs == 100);
  }

  TEST_CASE("a comment begins at a line's start or after a blank, and in quotes nowhere") {
    const Options o = read("# epochs = 1\n   # lr = 2\nlr = 3 # high\nepochs = 4\t# many");
    CHECK(o.lr == 3);
    CHECK(o.epochs == 4);
    CHECK(data_of("images:/a#b") == "images:/a#b");
    CHECK(data_of("images:/a#b #c") == "images:/a#b");
    CHECK(data_of("images:/a b") == "images:/a b");
    CHECK(data_of("\"images:/a # b\"  # c") == "images:/a # b");
    CHECK(data_of("'images:/a \"b\"'") == "images:/a \"b\"");
    CHECK(data_of("a=b") == "a=b");
  }

  TEST_CASE("a byte order mark is skipped before lines and before JSON") {
    CHECK(read("\xEF\xBB\xBFlr = 0.5").lr == 0.5);
    CHECK(read("\xEF\xBB\xBF{\"lr\": 0.5}").lr == 0.5);
    CHECK(read("\xEF\xBB\xBF# only a comment").lr == 0.03);
  }

  TEST_CASE("a JSON object says the same") {
    const Options o = read(R"( {"lr": 0.25, "epochs": 3, "amp": true, "data": "images:/a # b"})");
    CHECK(o.lr == 0.25);
    CHECK(o.epochs == 3);
    CHECK(o.amp);
    CHECK(o.data == "images:/a # b");
    CHECK_THROWS_WITH_AS(read(R"({"epochs": 1.5})"), doctest::Contains("a whole number"), Error);
    CHECK_THROWS_AS(read(R"({"lr": 1)"), Error);
  }

  TEST_CASE("a value knows where it stands") {
    const GivenValues values = parse_values("a.conf", "\n# c\nlr = 1\n");
    CHECK(values.size() == 1);
    CHECK(values.at("lr").place == "a.conf:3");
    CHECK(parse_values("a.json", R"({"lr": 1})").at("lr").place == "a.json");
  }

  TEST_CASE("a line `method = NAME` has to name the method, and is no field") {
    CHECK(values_for("gpt", "a.conf", "method = gpt\nlr = 1").size() == 1);
    CHECK(values_for("gpt", "a.conf", "lr = 1").size() == 1);
    CHECK(values_for("gpt", "config.json", R"({"method": "gpt", "lr": 1})").size() == 1);
    CHECK_THROWS_WITH_AS(values_for("gpt", "a.conf", "lr = 1\nmethod = mae"),
                         doctest::Contains("a.conf:2 is for the method mae, not for gpt"), Error);
  }

  TEST_CASE("what is not meant is refused with its line") {
    const auto refuses = [](const std::string& text, const char* why) {
      CHECK_THROWS_WITH_AS(read(text), doctest::Contains(why), Error);
    };
    refuses("lr = 1\nlr = 2", "a.conf:2: 'lr' stands twice");
    refuses("lr", "a.conf:1: got 'lr', expected a line 'name = value'");
    refuses("\nlr =", "a.conf:2: got 'lr ='");
    refuses("lr = # nothing", "a.conf:1");
    refuses("= 3", "a.conf:1");
    refuses("data = \"open", "a.conf:1");
    refuses("data = \"a\" b", "a.conf:1");
    refuses("[optimizer]", "a.conf:1");
    refuses("epoch = 3", "a.conf:1: unknown name 'epoch'; did you mean 'epochs'?");
    refuses("lr = fast", "a.conf:1: got lr 'fast', expected a number");
    refuses("lr = inf", "expected a number");
    refuses("lr = 1 2", "expected a number");
    refuses("epochs = 1e3", "expected a whole number");
    refuses("epochs = 99999999999999999999", "expected a whole number");
    refuses("amp = 1", "expected true or false");
    refuses("schedule = cosin", "did you mean 'cosine'?");
    refuses({"\xFF\xFEl\0r\0", 6}, "a.conf is UTF-16");
  }

  TEST_CASE("a file's name may hold a # and a config file may begin with a byte order mark") {
    const GivenValues values = parse_values("a.conf",
                                            "\xEF\xBB\xBF"
                                            "data = images:set#2 # two\nlr = 1#\n");
    CHECK(values.at("data").text == "images:set#2");
    CHECK(values.at("lr").text == "1#");
  }

  TEST_CASE("a run's config.json is for its method") {
    CHECK(values_for("simclr", "config.json", R"({"method": "simclr", "lr": 1})").size() == 1);
    CHECK(values_for("simclr", "config.json", R"({"task": "simclr", "lr": 1})").size() == 1);  // of older programs
    CHECK_THROWS_WITH_AS(values_for("byol", "config.json", R"({"method": "simclr", "lr": 1})"),
                         doctest::Contains("is for the method simclr, not for byol"), Error);
  }

  TEST_CASE("bounds: what they hold and how they read") {
    CHECK(problem_with("-0.1", double{}, at_least(0)) == "got '-0.1', expected 0 or more");
    CHECK(problem_with("0", double{}, above(0)) == "got '0', expected above 0");
    CHECK(problem_with("1", double{}, under(1)) == "got '1', expected 0 or more and under 1");
    CHECK(problem_with("2", double{}, between(0, 1)) == "got '2', expected from 0 to 1");
    CHECK(problem_with("0", double{}, above_up_to(0, 1)) == "got '0', expected above 0 and up to 1");
    CHECK(problem_with("-2", double{}, {.besides = -1}) == "got '-2', expected 0 or more, or -1");
    CHECK(problem_with("-1", double{}, {.besides = -1}).empty());
    CHECK(problem_with("9223372036854775807", int64_t{}, between(0, 1e9)) ==
          "got '9223372036854775807', expected from 0 to 1000000000");
    CHECK(problem_with("-9", int64_t{}, any_number()).empty());
  }

  TEST_CASE("what is wrong with a value is said in words, or nothing is") {
    CHECK(problem_with("-3", int64_t{}).empty());
    CHECK(problem_with("+3", int64_t{}).empty());
    CHECK(problem_with("0x10", int64_t{}) == "got '0x10', expected a whole number");
    CHECK(problem_with("1e-3", double{}).empty());
    CHECK(problem_with("", double{}) == "got '', expected a number");
    CHECK(problem_with("nan", double{}) == "got 'nan', expected a number");
    CHECK(problem_with("false", bool{}).empty());
    CHECK(problem_with("no", bool{}) == "got 'no', expected true or false");
  }
}

}  // namespace gestalt::test
