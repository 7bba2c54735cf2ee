// Writing model cards.
#include "tasks/training/model_card.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/resume.h"
#include "tasks/training/run.h"

namespace gestalt {
namespace {

std::string shown(const Json& value) {
  if (const auto text = text_of_json(value)) return *text;
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string quoted(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("_-./:,=+@%~").find(c) != std::string::npos;
  });
  if (plain) return word;
  std::string text = "'";
  for (char c : word) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

// With each flag that is not the method's default; what changes no result is left out.
std::string command_of(Method& method) {
  const Json is = config_of(method), usual = config_of(*make_method(method.name()));
  std::string command = "gestalt pretrain " + method.name();
  for (const auto& [name, value] : is.items()) {
    if (name == "method" || value == usual[name] || (may_change(name) && name != "data" && name != "bpe")) continue;
    if (value.is_boolean())
      command += (value.get<bool>() ? " --" : " --no-") + name;
    else
      command += fmt::format(" --{} {}", name, quoted(shown(value)));
  }
  return command;
}

// Each line of results.jsonl in words, the last of those that measured alike.
std::string figures_of(const std::string& run) {
  const std::string path = run + "/results.jsonl";
  if (!std::filesystem::exists(path)) return "None were measured.\n";
  std::vector<std::pair<std::string, std::string>> rows;
  const std::string text = read_text(path);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const Json line = parse_json(path, text.substr(at, end - at));
    at = end + 1;
    const auto cell = [&](const char* key) { return line.contains(key) ? shown(line[key]) : std::string(); };
    std::string value;
    for (const char* name : {"accuracy", "nats_per_token", "bits_per_byte"})
      if (line.contains(name) && line[name].is_number())
        value += fmt::format("{}{} {:.4g}", value.empty() ? "" : ", ", name, line[name].get<double>());
    if (value.empty()) continue;
    const std::string what = fmt::format("| {} | {} | {} | {} |", cell("evaluation"), cell("data"), cell("protocol"),
                                         cell("features").empty() ? "this model" : cell("features"));
    std::erase_if(rows, [&](const auto& row) { return row.first == what; });
    rows.emplace_back(what, " " + value + " |\n");
  }
  std::string table = "| evaluation | data | protocol | of | result |\n| --- | --- | --- | --- | --- |\n";
  for (const auto& [what, value] : rows) table += what + value;
  return table;
}

std::string training_of(const std::string& run) {
  const CheckpointHeader header = read_checkpoint_header(run);
  const std::unique_ptr<Method> method = method_of_run(run);
  std::string text = fmt::format(
      "{}. {} steps of {} samples, {:.1f} minutes.\n\n```\n{}\n```\n\n", find_method(method->name()).summary,
      header.state.step, method->run.batch * method->run.accumulate, header.state.seconds / 60, command_of(*method));
  text += fmt::format("The data, `{}`:\n\n", method->run.data);
  for (const auto& [name, value] : header.origin.data) text += fmt::format("* {}: {}\n", name, value);
  for (const std::string& change : header.origin.changes) text += fmt::format("* changed later: {}\n", change);
  return text;
}

}  // namespace

std::string model_card(const CardParts& parts, const std::string& run) {
  std::string text = fmt::format(
      "---\nlibrary_name: {}\ntags:\n- gestalt\n- self-supervised\n---\n\n# {}\n\nTrained without labels by "
      "Gestalt {}.\n",
      parts.library, parts.title, parts.version);
  if (run.empty())
    text = fmt::format("---\nlibrary_name: {}\n---\n\n# {}\n\nWritten by Gestalt {}.\n", parts.library, parts.title,
                       parts.version);
  for (const std::string& note : parts.notes) text += "\n" + note + "\n";
  text += "\n## Loading it\n\n```python\n" + parts.usage + "```\n";
  if (run.empty()) return text;
  return text + "\n## Training\n\n" + training_of(run) + "\n## Figures\n\n" + figures_of(run);
}

}  // namespace gestalt
