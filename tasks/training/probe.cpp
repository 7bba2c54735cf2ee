// The probes that are linked, by modality.
#include "tasks/training/probe.h"

#include <map>

namespace gestalt {
namespace {

std::map<Modality, std::unique_ptr<Probe> (*)()>& registry() {
  static std::map<Modality, std::unique_ptr<Probe> (*)()> makers;
  return makers;
}

}  // namespace

std::unique_ptr<Probe> make_probe(Modality modality) {
  const auto found = registry().find(modality);
  return found == registry().end() ? nullptr : found->second();
}

RegisterProbe::RegisterProbe(Modality modality, std::unique_ptr<Probe> (*make)()) { registry()[modality] = make; }

}  // namespace gestalt
