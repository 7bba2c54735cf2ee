// Classifying by nearest neighbours.
#include "engine/ops/knn.h"

#include <limits>

#include "kernels/knn.h"

namespace gestalt {

std::vector<int32_t> knn_predict(const Tensor& queries, const Tensor& bank, const Tensor& labels, int64_t k,
                                 double temperature, int64_t classes) {
  check(queries.rank() == 2 && bank.rank() == 2 && queries.dim(1) == bank.dim(1) && queries.dim(1) >= 1 &&
            queries.dtype() == bank.dtype() && queries.device() == bank.device(),
        "[knn_predict] got queries {} {} on {} and bank {} {} on {}, expected (Q, D) and (N, D) in one dtype and place",
        name(queries.dtype()), queries.shape().text(), name(queries.device()), name(bank.dtype()), bank.shape().text(),
        name(bank.device()));
  const int64_t rows = bank.dim(0);
  check(rows >= 1 && rows <= std::numeric_limits<int32_t>::max(),
        "[knn_predict] got a bank of {} rows, expected 1 to {}", rows, std::numeric_limits<int32_t>::max());
  check(labels.shape() == Shape{rows} && labels.dtype() == DType::i32,
        "[knn_predict] got labels {} {}, expected i32 ({}), one per row of the bank", name(labels.dtype()),
        labels.shape().text(), rows);
  check(k >= 1 && temperature > 0 && classes >= 1,
        "[knn_predict] got k {}, temperature {} and {} classes, expected positive ones", k, temperature, classes);
  const Tensor host_labels = labels.to(Device::cpu);
  for (int64_t i = 0; i < rows; ++i) {
    const int32_t label = host_labels.data<int32_t>()[i];
    check(label >= 0 && label < classes, "[knn_predict] got label {} in row {}, expected 0 to {}", label, i,
          classes - 1);
  }
  Tensor predictions = Tensor::empty({queries.dim(0)}, DType::i32, queries.device());
  const Tensor voters = labels.to(queries.device());
  kernels::launch(kernels::Knn{.queries = queries.in(),
                               .bank = bank.in(),
                               .labels = voters.in(),
                               .predictions = predictions.out(),
                               .query_count = queries.dim(0),
                               .bank_count = rows,
                               .dim = queries.dim(1),
                               .k = k,
                               .temperature = temperature,
                               .classes = classes},
                  queries.stream());
  const Tensor host = predictions.to(Device::cpu);
  const int32_t* values = host.data<int32_t>();
  return std::vector<int32_t>(values, values + host.count());
}

Tensor nearest_rows(const Tensor& queries, const Tensor& bank) {
  check(queries.rank() == 2 && bank.rank() == 2 && queries.dim(1) == bank.dim(1) && bank.dim(0) >= 1 &&
            bank.dim(0) <= std::numeric_limits<int32_t>::max() && queries.dtype() == bank.dtype(),
        "[nearest_rows] got queries {} {} and bank {} {}, expected (Q, D) and (N, D) in one dtype",
        name(queries.dtype()), queries.shape().text(), name(bank.dtype()), bank.shape().text());
  Tensor nearest = Tensor::empty({queries.dim(0)}, DType::i32, queries.device());
  kernels::launch(kernels::Knn{.queries = queries.in(),
                               .bank = bank.in(),
                               .labels = {},
                               .predictions = nearest.out(),
                               .query_count = queries.dim(0),
                               .bank_count = bank.dim(0),
                               .dim = queries.dim(1),
                               .k = 1,
                               .temperature = 1,
                               .classes = bank.dim(0)},
                  queries.stream());
  return nearest;
}

}  // namespace gestalt
