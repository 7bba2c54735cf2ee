// Method: what a self-supervised method has to say. Everything else (data, step, loop, checkpoint, probe) is shared.
//
// A method is one file under tasks/: a class derived from ImageMethod or TextMethod, and a RegisterMethod object.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/feed.h"
#include "engine/data/images/picture.h"
#include "engine/nn/module.h"
#include "engine/nn/optimizer.h"
#include "kernels/varying.h"
#include "models/encoder.h"
#include "tasks/training/plan.h"
#include "tasks/training/probe.h"
#include "tasks/training/run_options.h"

namespace gestalt {

// A scalar that is no part of the gradient but worth a column of metrics.csv.
struct Term {
  std::string name;
  Tensor value;  // (1), detached by the loop
};

struct Loss {
  Tensor total;                  // (1): what is minimised
  Tensor features;               // (N, D): what the collapse meter looks at; undefined if there is nothing to look at
  std::vector<Term> terms = {};  // the same names at each step
};

// A column of metrics.csv that tells a collapse, by which side of a limit it is on.
struct CollapseSign {
  enum class Side { below, above };

  std::string column;  // feature_std, effective_rank or a term of the loss
  Side side;
  double limit;
  std::string means;      // what it means, for the loop's warning
  std::string cure = {};  // what to change; if there is nothing, Method::collapse_cure()
};

// Where in a run a loss is asked for.
struct StepInfo {
  int64_t step = 0, total_steps = 1;
  size_t network = 0;                     // which of networks() learns from this loss
  kernels::Varying<uint64_t> batch = {};  // batches drawn before this one: what random numbers are drawn for
};

// Parts that learn from one loss, with an optimizer, a schedule and a captured graph of their own.
struct Network {
  std::string name;   // its loss is a column of that name where there are several networks
  std::string parts;  // how the names of its parts begin; empty: all parts
  OptimizerOptions optimizer;
};

class Method : public Module {
 public:
  RunOptions run;
  OptimizerOptions optimizer;
  // Set by the loop where a run begins, rather than goes on: build() then takes the weights that fields name, and adds
  // here what is to be said of them.
  std::vector<std::string>* beginning = nullptr;
  std::unique_ptr<Probe> probe;  // null for a method that was not made by make_method()

  // As registered.
  const std::string& name() const { return name_; }
  // All hyper-parameters: the run's, the optimizer's, the modality's, the probe's and the method's own.
  void fields(Fields& f);

  virtual Modality modality() const = 0;
  virtual Wants wants() const = 0;
  virtual std::unique_ptr<Feed> open() = 0;  // opens the data that `run` names
  // Of what is measured on, once the data is open; the feed tells of what is learned from.
  virtual DataIdentity held_out_identity() const { return {}; }
  virtual void build(Random& random) = 0;  // makes the modules; the data is open
  // The smallest batch that the loss has a meaning for.
  virtual int64_t least_batch() const { return 1; }
  // Once, before the first step: what changes along the run, and who follows whom.
  virtual void plan(Plan&) {}
  // Before the first step of each epoch: pseudo-labels, say. It may take as long and read as much as it needs, and
  // writes into tensors that steps read, which stay where they are (a captured graph reads them there) and are states:
  // a run that is resumed within an epoch finds them in the checkpoint. Weights may be written too.
  virtual void begin_epoch(int64_t /*epoch*/) {}
  // Enqueues the same device work at each step, all that changes being in `batch`, `info.batch` and Scheduled numbers:
  // it is captured in a CUDA graph unless replayable() says no. A queue or a centre is updated in here too.
  virtual Loss loss(const Batch& batch, const StepInfo& info) = 0;
  virtual bool replayable() const { return true; }
  // What learns: all parts from one loss, unless overridden. Taken in turn within a step, in this order.
  virtual std::vector<Network> networks() const { return {{"", "", optimizer}}; }
  // How a part departs from the others' rate and decay, by its name.
  virtual PartFactors factors(const std::string& /*part*/, const Plan&) const { return {}; }

  // By what a row of metrics.csv shows that nothing is learned any more. Unless overridden: different images get nearly
  // the same features. None for a method whose loss that cannot win.
  virtual std::vector<CollapseSign> collapse_signs() const { return usual_signs_and({}); }
  // What to change then; said by the loop.
  virtual std::string collapse_cure() const { return "try a lower --lr, a larger --batch or a longer --warmup-epochs"; }

  // A picture of what was learned so far, for a user to look at, of `images` (B, S, S, 3) in evaluation view; each
  // `draw` has random numbers of its own, apart from training's. Nothing where a method has none.
  virtual std::optional<Picture> picture(const Tensor& /*images*/, uint64_t /*draw*/) { return {}; }
  // Between two steps: a picture of some held-out data, or nothing.
  virtual std::optional<Picture> held_out_picture() { return {}; }
  // What the encoder is shown of some images at `step`, or nothing where a method has no views.
  virtual std::optional<Picture> views_picture(int64_t /*step*/) { return {}; }
  // Writes what a user takes away (the encoder) into `folder`; returns the file.
  virtual std::string export_to(const std::string& folder) = 0;

 protected:
  static std::vector<CollapseSign> usual_signs_and(std::vector<CollapseSign> own);
  // The term `accuracy` of a loss that tells a row's positive from others: half of what chance finds among
  // `candidates`, which features that are all the same stay under, none being nearer than the rest.
  static CollapseSign accuracy_by_chance(int64_t candidates);
  virtual void modality_fields(Fields&) {}  // of data and model
  virtual void own_fields(Fields&) {}       // the method's

 private:
  friend struct MethodEntry;
  std::string name_;
};

struct MethodEntry {
  std::string name, summary;
  std::unique_ptr<Method> (*construct)();

  std::unique_ptr<Method> make() const;
};

// All registered methods, by name.
const std::vector<MethodEntry>& list_methods();
const MethodEntry& find_method(const std::string& name);  // throws Error with the nearest name
std::unique_ptr<Method> make_method(const std::string& name);

// Sets fields from lines `name = value` or a run's config.json, as parse_values() reads them; a line `method = NAME`
// has to name this one.
void set_fields(Method& method, const std::string& source, std::string_view text);

void add_method(MethodEntry entry);

template <class M>
struct RegisterMethod {
  RegisterMethod(std::string name, std::string summary) {
    add_method({std::move(name), std::move(summary), [] { return std::unique_ptr<Method>(std::make_unique<M>()); }});
  }
};

}  // namespace gestalt
