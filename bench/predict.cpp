// `gestalt_bench predict`: how long a step would take on a GPU that is not at hand, from its launches, traffic and
// arithmetic.
#include <fmt/format.h>

#include <iterator>

#include "bench/commands.h"
#include "bench/ledger.h"

namespace gestalt::bench {
namespace {

// A card by its data sheet: SXM, dense, at boost clocks.
struct Card {
  const char* name;
  double gb_per_s, bf16_tflop_per_s, f32_tflop_per_s;
};
constexpr Card cards[] = {
    {"h100", 3350, 989, 66.9},  // NVIDIA H100 data sheet, 2023
    {"h200", 4800, 989, 66.9},  // NVIDIA H200 data sheet, 2024
};

// What share of the card's rates a kernel gets. Libraries' products reach 0.58 of a data sheet's rate at widths of 768
// and more, under the card's limit of power; the other shares were counted from the machine code of our kernels.
struct Shares {
  const char* kernel;  // the beginning of its name; the first that fits counts
  double products, memory;
};
constexpr double memory_share = 0.9, seconds_of_a_launch = 1.5e-6;  // the latter within a graph
constexpr Shares shares[] = {
    {"AttentionBackward", 0.17, memory_share},
    {"Attention", 0.27, memory_share},
    {"NtXentBackward", 0.24, memory_share},  // of the floor, which takes half of what the kernel multiplies
    {"NtXent", 0.63, memory_share},          // which multiplies half of what the floor takes
    {"InfoNce", 0.27, memory_share},
    {"Conv", 0.25, memory_share},
    {"LayerNormBackward", 0.58, 0.75},  // 16 warps a multiprocessor, which hold no load while they sum
    {"", 0.58, memory_share},
};

const Shares& shares_of(const std::string& kernel) {
  return *std::find_if(std::begin(shares), std::end(shares),
                       [&](const Shares& s) { return kernel.starts_with(s.kernel); });
}

// Counts launches and lets none run, so that a step of any size fits: memory that nothing touches is not there.
class Counter : public kernels::LaunchObserver {
 public:
  Counter(const Workload& work, const Card& card, DType dtype) : work_(work), card_(card), dtype_(dtype) {}
  void begin(const kernels::LaunchInfo& launch) override {
    const kernels::Cost cost = launch.cost();
    const Shares& share = shares_of(launch.kernel);
    const double rate = 1e12 * (dtype_ == DType::bf16 ? card_.bf16_tflop_per_s : card_.f32_tflop_per_s);
    const double memory = cost.bytes / (1e9 * card_.gb_per_s), products = cost.flops / rate;
    const double seconds = std::max(memory / share.memory, products / share.products) + seconds_of_a_launch;
    ledger[{work_.phase(), launch.kernel, ""}].add({1, seconds, cost.flops, cost.bytes, std::max(memory, products)});
  }
  void end(Stream) override {}
  bool runs() const override { return false; }
  Ledger ledger;

 private:
  const Workload& work_;
  const Card card_;
  DType dtype_;
};

void predict(const WorkloadOptions& what, const std::string& card_name) {
  const Card& card =
      *std::find_if(std::begin(cards), std::end(cards), [&](const Card& c) { return card_name == c.name; });
  check(what.device == Device::cpu,
        "[predict] got --device cuda, expected cpu: nothing runs; on a GPU, 'profile' measures");
  const std::unique_ptr<Workload> work = make_workload(what);
  Counter counter(*work, card, what.dtype);
  {
    const Observing observing(counter);
    work->step();
    counter.ledger.clear();  // the first step of all is not like the others
    work->step();
  }
  Spent total;
  for (const auto& [key, spent] : counter.ledger) total.add(spent);
  fmt::print(
      "### {}, {}, batch {}, size {}, on {}: {:.2f} ms a step predicted, {:.0f} {} a second; floor {:.2f} ms\n\n",
      what.name, name(what.dtype), work->batch, work->size, card.name, total.seconds * 1e3, work->items / total.seconds,
      work->item, total.floor * 1e3);
  fmt::print(
      "| kernel | phase | launches | GB | GFLOP | ms | % of step |\n| --- | --- | --- | --- | --- | --- | --- |\n");
  const auto row = [&](const std::string& kernel, const std::string& phase, const Spent& s) {
    fmt::print("| {} | {} | {:.0f} | {} | {} | {:.3f} | {:.1f} |\n", kernel, phase, s.calls, cell(s.bytes / 1e9, 3),
               cell(s.flops / 1e9, 1), s.seconds * 1e3, 100 * s.seconds / total.seconds);
  };
  for (const auto& [key, spent] : joined(counter.ledger, [](const Key& k) { return k; }))
    row(key.kernel, key.phase, spent);
  row("all", "", total);
  fmt::print("\n");
}

}  // namespace

void add_predict(CLI::App& app) {
  CLI::App* command = app.add_subcommand("predict", "how long a workload's step would take on a GPU that is not here");
  command->footer(
      "Launches of one step are counted and none is run. Each takes its traffic or its arithmetic, whichever is "
      "longer, at "
      "the share of the data sheet's rates that bench/predict.cpp says for its kernel, and 1.5 microseconds; what "
      "libraries launch beside their product, and gaps of the host, are not counted. On the card itself, 'profile' "
      "measures.");
  const auto what = add_workload_flags(*command);
  const auto card = std::make_shared<std::string>("h100");
  std::vector<std::string> names;
  for (const Card& c : cards) names.emplace_back(c.name);
  command->add_option("--card", *card, fmt::format("{} [h100]", fmt::join(names, ", ")))->check(CLI::IsMember(names));
  command->callback([=] {
    what->graph = false;
    predict(*what, *card);
  });
}

}  // namespace gestalt::bench
