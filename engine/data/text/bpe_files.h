// Reading GPT-2's published vocabulary.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "engine/data/text/bpe.h"

namespace gestalt {

struct BpeFiles {
  std::vector<std::string> bytes_of;  // by id
  std::array<int32_t, 256> id_of_byte;
  std::vector<Merge> merges;
  uint32_t checksum = 0;  // CRC-32 of encoder.json followed by vocab.bpe
};

// Reads `encoder.json` (token → id) and `vocab.bpe` (one merge a line, by rank) in `folder`. Both write bytes as
// printable characters. Throws Error, naming the file and the line, if they are damaged or do not belong together.
BpeFiles read_bpe_files(const std::string& folder);

}  // namespace gestalt
