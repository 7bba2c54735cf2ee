// Reading recipes and finding them by name.
#include "tasks/training/recipe.h"

#include <algorithm>
#include <sstream>

#include "engine/run/fields_text.h"
#include "tasks/training/method.h"

namespace gestalt {
namespace {

std::vector<Recipe>& registry() {
  static std::vector<Recipe> recipes;
  return recipes;
}

}  // namespace

Recipe parse_recipe(const std::string& name, std::string_view text) {
  Recipe recipe{.name = name, .method = {}, .source = {}, .reports = {}, .costs = {}, .text = std::string(text)};
  const std::pair<std::string, std::string*> heads[] = {
      {"# source: ", &recipe.source}, {"# reports: ", &recipe.reports}, {"# costs: ", &recipe.costs}};
  std::string* head = nullptr;
  std::istringstream lines(recipe.text);
  for (std::string line; std::getline(lines, line) && line.starts_with('#');) {
    if (head && line.starts_with("#   ")) *head += line.substr(3);
    for (const auto& [begins, value] : heads)
      if (line.starts_with(begins)) *(head = value) = line.substr(begins.size());
  }
  for (const auto& [begins, value] : heads) check(!value->empty(), "[recipe] {} has no first line '{}…'", name, begins);
  const GivenValues values = parse_values(name, text);
  const auto method = values.find("method");
  check(method != values.end(), "[recipe] {} has no line 'method = NAME'", name);
  recipe.method = method->second.text;
  return recipe;
}

const std::vector<Recipe>& list_recipes() { return registry(); }

const Recipe& find_recipe(const std::string& method, const std::string& preset) {
  std::vector<std::string> names;
  for (const Recipe& recipe : registry()) {
    if (recipe.name == method + "-" + preset) return recipe;
    if (recipe.name == preset) {
      check(recipe.method == method, "[preset] {} is a recipe of {}, not of {}", preset, recipe.method, method);
      return recipe;
    }
    if (recipe.method == method) names.push_back(recipe.name);
  }
  fail("[preset] got '{}', which {} does not have{}", preset, method, suggestion(preset, names));
}

void apply_recipe(Method& method, const Recipe& recipe) { set_fields(method, recipe.name + ".conf", recipe.text); }

RegisterRecipe::RegisterRecipe(const char* name, std::string_view text) {
  std::vector<Recipe>& all = registry();
  Recipe recipe = parse_recipe(name, text);
  all.insert(std::upper_bound(all.begin(), all.end(), recipe,
                              [](const Recipe& a, const Recipe& b) { return a.name < b.name; }),
             std::move(recipe));
}

}  // namespace gestalt
