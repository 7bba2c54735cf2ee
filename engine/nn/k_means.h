// k-means: rows grouped around the means of their groups.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tensor/tensor.h"

namespace gestalt {

enum class Seeding {
  spread,   // greedy k-means++ (Arthur & Vassilvitskii 2007): each centre a row, likelier the farther from those before
  samples,  // distinct rows, all equally likely
};
enum class EmptyCluster {
  farthest,  // gets the row that lies farthest from its own centre
  keep,      // keeps its centre
};

struct KMeansOptions {
  int64_t clusters = 10;
  int64_t iterations = 300, restarts = 1;  // at most so many; of restarts the one with the lowest inertia is taken
  bool spherical =
      false;  // rows and centres have unit length, so that the nearest centre is that of the largest cosine
  Seeding seeding = Seeding::spread;
  EmptyCluster empty = EmptyCluster::farthest;
  // Ends when the centres' squared moves add up to no more than this share of the rows' mean variance; 0: when no
  // assignment changes.
  double tolerance = 1e-4;
  uint64_t seed = 0, round = 0;  // of random numbers: another round of the same seed begins elsewhere
};

struct Clusters {
  Tensor centres;                     // (K, D) f32
  Tensor assignments;                 // (N) i32: the nearest centre, the lowest of equal ones
  Tensor distances;                   // (N) f32: from each row (of unit length where spherical) to that centre
  double inertia = 0;                 // the sum of their squares
  int64_t iterations = 0, empty = 0;  // the latter counts clusters that no row is nearest to
};

// Lloyd's algorithm on rows (N, D), of any float dtype and on any device; it works on the host, in f32 with sums in
// f64, and its results stay there. It holds a copy of the rows, and of the distances between rows and centres a block
// at a time. Results are the same bits whatever the number of threads. The rules are scikit-learn's. Throws Error for
// fewer rows than clusters, and for rows that are not finite.
Clusters k_means(const Tensor& rows, const KMeansOptions& options);
// The same from given centres (K, D); no random number is drawn.
Clusters k_means(const Tensor& rows, const Tensor& start, const KMeansOptions& options);

struct Points;
// The rows that k-means begins with as its centres, as the options say.
std::vector<int64_t> seed_rows(const Points& points, const KMeansOptions& options, int64_t restart);

}  // namespace gestalt
