// Recipes: what their first lines say, finding them by name, and that each one can be used.
#include "tasks/training/recipe.h"

#include <doctest/doctest.h>

#include "tasks/training/method.h"

namespace gestalt::test {
namespace {

const std::string heads = "# source: a paper,\n#   table 3\n# reports: 91 %\n# costs: an hour\n";

}  // namespace

TEST_CASE("recipes: the first lines say source, reported figure and cost, and may go on") {
  const Recipe recipe = parse_recipe("simclr-x", heads + "method = simclr\nlr = 3  # high\n");
  CHECK(recipe.name == "simclr-x");
  CHECK(recipe.method == "simclr");
  CHECK(recipe.source == "a paper, table 3");
  CHECK(recipe.reports == "91 %");
  CHECK(recipe.costs == "an hour");
}

TEST_CASE("recipes: a missing first line, a missing method and a broken line are refused by name") {
  const auto refuses = [](const std::string& text, const char* why) {
    CHECK_THROWS_WITH_AS(parse_recipe("simclr-x", text), doctest::Contains(why), Error);
  };
  refuses("# reports: a\n# costs: b\nmethod = simclr", "simclr-x has no first line '# source: ");
  refuses("# source: a\n# costs: b\nmethod = simclr", "'# reports: ");
  refuses("# source: a\n# reports: b\nmethod = simclr\n# costs: too late", "'# costs: ");
  refuses(heads + "lr = 3", "simclr-x has no line 'method = NAME'");
  refuses(heads + "method = simclr\nlr", "simclr-x:6");
}

TEST_CASE("recipes: found by their name, or by it without the method's") {
  CHECK(find_recipe("simclr", "tiny").name == "simclr-tiny");
  CHECK(find_recipe("simclr", "simclr-tiny").name == "simclr-tiny");
  CHECK(find_recipe("gpt", "shakespeare-char").method == "gpt");
  CHECK_THROWS_WITH_AS(find_recipe("simclr", "byol-tiny"), doctest::Contains("a recipe of byol, not of simclr"), Error);
  CHECK_THROWS_WITH_AS(find_recipe("simclr", "simclr-tyni"), doctest::Contains("did you mean 'simclr-tiny'"), Error);
  CHECK_THROWS_WITH_AS(find_recipe("simclr", "shakespeare-char"), doctest::Contains("not of simclr"), Error);
  CHECK_THROWS_WITH_AS(apply_recipe(*make_method("byol"), find_recipe("simclr", "tiny")),
                       doctest::Contains("not for byol"), Error);
}

TEST_CASE("recipes: each names a registered method and sets fields that it has; each method has a tiny one") {
  for (const Recipe& recipe : list_recipes()) {
    CAPTURE(recipe.name);
    const std::unique_ptr<Method> method = make_method(recipe.method);
    CHECK_NOTHROW(apply_recipe(*method, recipe));
    CHECK_NOTHROW(check_fields(*method));
    for (const std::string& head : {recipe.source, recipe.reports, recipe.costs}) CHECK_FALSE(head.empty());
  }
  for (const MethodEntry& entry : list_methods())
    CHECK_MESSAGE(find_recipe(entry.name, "tiny").name == entry.name + "-tiny", entry.name);
}

}  // namespace gestalt::test
