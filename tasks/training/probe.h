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
  // Between two steps. The first metric is the headline; none where the data has nothing to measure by.
  virtual std::vector<Metric> measure(Method& method) = 0;
};

// The probe of a modality, or null where none is linked.
std::unique_ptr<Probe> make_probe(Modality modality);

struct RegisterProbe {
  RegisterProbe(Modality modality, std::unique_ptr<Probe> (*make)());
};

}  // namespace gestalt
