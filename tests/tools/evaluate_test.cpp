// `gestalt evaluate`: protocols, rows for tables, and results as JSON.
#include <doctest/doctest.h>

#include "engine/run/files.h"
#include "engine/run/json.h"
#include "engine/run/table.h"
#include "tests/tools/command_runs.h"
#include "tools/evaluation.h"
#include "tools/output.h"
#include "tools/results.h"

namespace gestalt::test {

TEST_CASE("evaluate: each protocol prints itself and a row for a table") {
  const std::string encoder = runs().simclr + "/encoder.safetensors", data = " --data shapes:192 --dtype f32";
  const std::string knn = gestalt_prints("evaluate knn " + encoder + data);
  CHECK(contains(knn, "protocol: weighted kNN"));
  CHECK(contains(knn, "simclr & resnet10 (width 8) & 2 steps & knn (k = 192) & 100 \\% & "));
  CHECK(contains(knn, "all 192 labels"));
  const std::string linear = gestalt_prints("evaluate linear " + encoder + data + " --epochs 2 --labels 0.1");
  CHECK(contains(linear, "protocol: linear probe"));
  CHECK(contains(linear, "24 of 192 labels (12.5 %; 10 % of each class, at least one, was asked for)"));
  CHECK(contains(linear, " & linear & 24 of 192 (12.5 \\%) & "));
  const std::string least = gestalt_prints("evaluate knn " + encoder + data + " --labels 0.001 --knn-k 3");
  CHECK(contains(least, "12 of 192 labels (6.25 %; 0.1 % of each class, at least one, was asked for)"));
  CHECK(contains(least, " & knn (k = 3) & 12 of 192 (6.25 \\%) & "));
  const std::string augmented =
      gestalt_prints("evaluate linear " + encoder + data + " --epochs 2 --augment --row markdown");
  CHECK(contains(augmented, "random views"));
  CHECK(contains(augmented, "| simclr | resnet10 (width 8) | 2 steps | linear (augmented) | 100 % | "));
  CHECK(contains(gestalt_prints("evaluate knn " + encoder + data + " --raw-pixels"), "raw pixels & - & - & knn"));
  CHECK(contains(gestalt_prints("evaluate linear " + encoder + data + " --epochs 1 --untrained"),
                 "untrained encoder & resnet10 (width 8) & - & linear"));
  const std::string scratch =
      gestalt_prints("evaluate finetune " + runs().mae + "/encoder.safetensors" + data + " --epochs 1 --untrained");
  CHECK(contains(scratch, "from scratch & vit-nano/8 & - & finetune & 100 \\% & "));
  CHECK(contains(scratch, "protocol: fine-tuning of all layers"));
}

TEST_CASE("evaluate: each result is a line of JSON in the run's folder, and on stdout where it is asked for") {
  const std::string data = " --data shapes:192 --dtype f32 --json";
  const std::string said = gestalt_prints("evaluate knn " + runs().simclr + "/encoder.safetensors" + data);
  const auto result = parse_json("test", said);
  CHECK(result["evaluation"] == "knn");
  CHECK(result["method"] == "simclr");
  CHECK(result["accuracy"].is_number());
  CHECK(result["labels_used"] == 192);
  CHECK(result["test_images"] == 48);
  CHECK(read_text(runs().simclr + "/results.jsonl").ends_with(said));
  const std::string text = gestalt_prints("evaluate text " + runs().gpt + " --data sums:400 --dtype f32 --json");
  CHECK(parse_json("test", text)["bits_per_byte"].is_number());
  CHECK(read_text(runs().gpt + "/results.jsonl").ends_with(text));
}

TEST_CASE("evaluate text: the validation loss that training printed") {
  const std::string text = gestalt_prints("evaluate text " + runs().gpt + " --data sums:400 --dtype f32");
  CHECK(contains(text, " nats a token"));
  CHECK(contains(text, "held-out tokens in "));
  CHECK(contains(text, "GPT-2 2x32, context 32 & character & "));
  const std::string metrics = runs().gpt + "/metrics.csv";
  const double probed = parse_number_table(metrics, read_text(metrics)).last("validation_loss").value();
  CHECK(contains(text, fmt::format("loss {:.4f} nats", probed)));
  CHECK_FALSE(contains(gestalt_prints("evaluate text " + runs().gpt + " --data sums:400 --split all --dtype f32"),
                       fmt::format("loss {:.4f} nats", probed)));
}

TEST_CASE("table rows: LaTeX's own characters are escaped, Markdown's line is whole") {
  CHECK(tools::table_row({"a_b", "10 %", "x&y"}, "latex") == "a\\_b & 10 \\% & x\\&y \\\\");
  CHECK(tools::table_row({"a_b", "10 %"}, "markdown") == "| a_b | 10 % |");
}

}  // namespace gestalt::test
