// The registry of methods, and their fields.
#include "tasks/training/method.h"

#include <algorithm>

#include "engine/run/fields_text.h"

namespace gestalt {
namespace {

std::vector<MethodEntry>& registry() {
  static std::vector<MethodEntry> entries;
  return entries;
}

}  // namespace

void Method::fields(Fields& f) {
  run.fields(f);
  optimizer.fields(f);
  modality_fields(f);
  if (probe) {
    f.title("Evaluation");
    probe->fields(f);
  }
  own_fields(f);
}

// A spread of 0.15 is a mean cosine of 0.98 between different images; healthy projections have 0.4 and more, and an
// effective rank of 5 and more.
std::vector<CollapseSign> Method::usual_signs_and(std::vector<CollapseSign> own) {
  std::vector<CollapseSign> signs{
      {"feature_std", CollapseSign::Side::below, 0.15, "different images get nearly the same features"},
      {"effective_rank", CollapseSign::Side::below, 1.5, "the features of all images lie on one line"}};
  signs.insert(signs.end(), own.begin(), own.end());
  return signs;
}

CollapseSign Method::accuracy_by_chance(int64_t candidates) {
  return {"accuracy", CollapseSign::Side::below, 0.5 / static_cast<double>(candidates),
          "an image's other view is no nearer than others are"};
}

std::unique_ptr<Method> MethodEntry::make() const {
  std::unique_ptr<Method> method = construct();
  method->name_ = name;
  method->probe = make_probe(method->modality());
  return method;
}

void add_method(MethodEntry entry) {
  std::vector<MethodEntry>& all = registry();
  all.insert(std::upper_bound(all.begin(), all.end(), entry,
                              [](const MethodEntry& a, const MethodEntry& b) { return a.name < b.name; }),
             std::move(entry));
}

const std::vector<MethodEntry>& list_methods() { return registry(); }

const MethodEntry& find_method(const std::string& name) {
  std::vector<std::string> names;
  for (const MethodEntry& entry : registry()) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  fail("[method] got '{}', which is none{}", name, suggestion(name, names));
}

std::unique_ptr<Method> make_method(const std::string& name) { return find_method(name).make(); }

void set_fields(Method& method, const std::string& source, std::string_view text) {
  TextReader reader(values_for(method.name(), source, text));
  method.fields(reader);
  reader.finish();
}

}  // namespace gestalt
