// Recipes: the files in tasks/recipes/, field values that together follow a published training.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gestalt {

class Method;

// What a file NAME.conf says. Its first lines are `# source: …`, `# reports: …` and `# costs: …`, which may go on in
// lines that begin with `#` and three blanks; then `method = NAME`, and the fields as a config file has them.
struct Recipe {
  std::string name, method;
  std::string source, reports, costs;
  std::string text;  // all of the file
};

// Reads a recipe. Throws Error, naming it, where one of its first lines or the method is missing.
Recipe parse_recipe(const std::string& name, std::string_view text);

// Those that the program was built with, by name.
const std::vector<Recipe>& list_recipes();
// `preset` names one of them; the method's name and a dash in front may be left out ("tiny"). Throws Error with the
// nearest name, and for a recipe of another method.
const Recipe& find_recipe(const std::string& method, const std::string& preset);
// Sets the fields that the recipe names.
void apply_recipe(Method& method, const Recipe& recipe);

struct RegisterRecipe {
  RegisterRecipe(const char* name, std::string_view text);
};

}  // namespace gestalt
