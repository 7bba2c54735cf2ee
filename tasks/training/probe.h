// Probe: how good what a method has learned is, measured by the modality of its data and not by the method.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/data/batch.h"
#include "engine/run/fields.h"

namespace gestalt {

class Method;

// A measured number with the protocol that makes it comparable.
struct Metric {
  std::string name;  // "knn", "validation_loss"
  double value;
  std::string protocol;  // in words
};

class Probe {
 public:
  virtual ~Probe() = default;
  virtual void fields(Fields&) {}
  // What can be said before the first step, once the data is open.
  struct Outlook {
    bool possible = true;
    std::string note = {};  // why it is not, or what will be done otherwise than was asked
  };
  virtual Outlook outlook(Method&) { return {}; }
  // Between two steps. The first metric is the headline; none where the data has nothing to measure by.
  virtual std::vector<Metric> measure(Method& method) = 0;
  // The columns of metrics.csv that hold these metrics, in their order: "knn_percent".
  virtual std::vector<std::string> columns() const = 0;
  // Whether the headline is a loss: the less, the better.
  virtual bool is_loss() const = 0;
};

// The probe of a modality, or null where none is linked.
std::unique_ptr<Probe> make_probe(Modality modality);

struct RegisterProbe {
  RegisterProbe(Modality modality, std::unique_ptr<Probe> (*make)());
};

}  // namespace gestalt
