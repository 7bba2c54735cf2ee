// The model card of an exported folder: what the model is, how it is loaded, what it was trained on and how well it
// does.
#pragma once

#include <string>
#include <vector>

namespace gestalt {

struct CardParts {
  std::string title;    // "resnet18"
  std::string library;  // that the folder is for, as Hugging Face's hub names it: "timm", "transformers"
  std::vector<std::string> notes = {};  // a paragraph each, on what the model is
  std::string usage = {};               // a program in Python that loads it
  std::string version = {};             // of the program that writes
};

// README.md's text. `run` is the folder of the run that trained the model, which says method, command, data and figures
// (those that evaluations left in results.jsonl); empty where there is none.
std::string model_card(const CardParts& parts, const std::string& run);

}  // namespace gestalt
