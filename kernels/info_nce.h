// Rows told from many negatives, without the matrix of similarities: info-NCE with a queue, decoupled contrast, hard
// and debiased negatives, supervised contrast.
#pragma once

#include <cmath>

#include "kernels/nt_xent.h"

namespace gestalt::kernels {

// What a row is compared with, and how its loss is made of the similarities. With u = z/‖z‖ and s_ij = u_i·v_j, row i
// has a positive p(i), and negatives: the columns that are neither itself nor p(i).
//   plain      log(e^(s_ip/τ) + Σ_neg e^(s_ij/τ)) − s_ip/τ                      (van den Oord et al. 2018; He et al.
//   2020) decoupled  log Σ_neg e^(s_ij/τ) − w_i s_ip/τ                                (Yeh et al. 2022; w_i = 1, or
//   DCLW's) hard       log(e^(s_ip/τ) + N_i) − s_ip/τ                                   (Robinson et al. 2021), with n
//   negatives,
//              N_i = max((n Σ_neg e^((1+β)s_ij/τ) / Σ_neg e^(βs_ij/τ) − τ⁺ n e^(s_ip/τ)) / (1 − τ⁺), n e^(−1/τ))
//   labelled   log Σ_{j≠i} e^(s_ij/τ) − mean of s_ij/τ over the others of i's label   (Khosla et al. 2020, equation 2)
struct ContrastForm {
  double temperature = 0.1;
  bool self = false;            // the columns are the rows: p(i) = (i + rows/2) mod rows; else p(i) = i of the keys
  bool batch_negatives = true;  // the other keys are negatives; else `extra` alone
  bool decoupled = false;
  double weight_temperature = 0;  // of w = 2 − B·softmax_i(s_ip/σ) over the B images, held still; 0: w = 1
  bool hard = false;
  double beta = 0, tau_plus = 0;

  // Exponentials that are summed: e^(first·s − offset), and for hard negatives e^(second·s).
  double first() const { return (hard ? 1 + beta : 1) / temperature; }
  double second() const { return beta / temperature; }
  double offset() const { return hard ? 0 : nt_xent_offset(temperature); }
  // The positive of a row, among the keys or the rows.
  GESTALT_HOST_DEVICE int64_t positive(int64_t row, int64_t rows) const { return self ? (row + rows / 2) % rows : row; }
};

// Over the columns that a row is compared with. For labels, `second` and `count` are those of its label, and `most` is
// of other labels.
struct ContrastSums {
  double first = 0, second = 0, most = -2, count = 0;

  GESTALT_HOST_DEVICE void add(const ContrastSums& o) {
    first += o.first, second += o.second, count += o.count;
    most = o.most > most ? o.most : most;
  }
};

// A row's loss and its slopes: ∂loss/∂s_ij = first·e^(first·s − offset) − second·e^(second·s) − [same label]·label, and
// at the positive `positive`.
struct ContrastRow {
  double loss, first, second, label, positive;
};
constexpr int contrast_slopes = 4;  // first, second, label, positive: so many arrays of rows

GESTALT_HOST_DEVICE ContrastRow contrast_row(const ContrastForm& f, const ContrastSums& sums, double positive,
                                             double weight, double negatives, bool labelled, double offset) {
  const double t = 1 / f.temperature, logit = positive * t;
  if (labelled) {
    if (!(sums.count > 0)) return {0, 0, 0, 0, 0};
    return {log(sums.first) + offset - sums.second / sums.count * t, t / sums.first, 0, t / sums.count, 0};
  }
  if (f.decoupled) return {log(sums.first) + offset - weight * logit, t / sums.first, 0, 0, -weight * t};
  if (!f.hard) {
    const double own = exp(logit - offset), all = sums.first + own;
    return {log(all) + offset - logit, t / all, 0, 0, (own / all - 1) * t};
  }
  const double own = exp(logit), mean = sums.second / negatives, reweighted = sums.first / mean;
  const double corrected = (reweighted - f.tau_plus * negatives * own) / (1 - f.tau_plus);
  const double least = negatives * exp(-t), all = own + (corrected > least ? corrected : least);
  const double through = corrected > least ? 1 / ((1 - f.tau_plus) * all) : 0;  // ∂loss/∂(what the negatives give)
  return {log(all) - logit, through * (1 + f.beta) * t / mean, through * f.beta * t * reweighted / mean / negatives, 0,
          (own / all - 1) * t - through * f.tau_plus * negatives * own * t};
}

// Into how many parts the columns are cut, each walked apart: few rows alone do not fill a device.
inline int64_t contrast_parts(int64_t rows, int64_t columns, Device device) {
  const int64_t wanted = device == Device::cpu ? 16 : 256, most = device == Device::cpu ? 4 : 64;
  const int64_t tiles = divide_up(columns, nt_xent_tile), even = wanted / divide_up(rows, nt_xent_tile);
  return std::max<int64_t>(1, std::min({even, most, tiles}));
}

// What a pass over the tiles is for: sums of the rows, their gradients, or both.
struct ContrastPass {
  bool sums, gradients;
};

// Working memory of a pass: unit rows and columns, padded with zeros to whole tiles; sums and slopes of S.
template <class T, class S>
struct ContrastScratch {
  int64_t keys, columns, padded_rows, padded_columns, padded_dim, parts;
  T *rows, *column_rows;          // (padded_rows, padded_dim); (padded_columns, padded_dim): the keys, then `extra`
  S *row_panels, *panels;         // CPU: rows and columns as panels
  S* gradient;                    // gradients: (parts, padded_rows, padded_dim), of the unit rows
  S *sums, *positives;            // sums: (parts, 4, padded_rows) and, of each row, similarity, weight, loss, right
  S *row_slopes, *column_slopes;  // gradients: (3, padded_rows) and (3, larger of the paddings)

  ContrastScratch(Scratch& memory, Device device, const ContrastForm& f, int64_t row_count, int64_t extra, int64_t dim,
                  ContrastPass pass)
      : keys(f.self || f.batch_negatives ? row_count : 0), columns(keys + extra) {
    const auto padded = [](int64_t n) { return divide_up(n, nt_xent_tile) * nt_xent_tile; };
    const bool cpu = device == Device::cpu;
    padded_rows = padded(row_count), padded_columns = padded(columns), padded_dim = padded(dim);
    parts = contrast_parts(row_count, std::max(columns, row_count), device);
    const auto wanted = [&](bool is, int64_t count) { return is ? memory.take<S>(count) : nullptr; };
    rows = memory.take<T>(padded_rows * padded_dim);
    column_rows = f.self ? rows : memory.take<T>(padded_columns * padded_dim);
    row_panels = wanted(cpu && (f.self || !pass.sums), padded_rows * padded_dim);
    panels = f.self ? row_panels : wanted(cpu, padded_columns * padded_dim);
    gradient = wanted(pass.gradients, parts * padded_rows * padded_dim);
    sums = wanted(pass.sums, 4 * parts * padded_rows);
    positives = wanted(pass.sums, 4 * padded_rows);
    row_slopes = wanted(pass.gradients, 3 * padded_rows);
    column_slopes = wanted(pass.gradients, 3 * std::max(padded_rows, padded_columns));
  }
};
inline int64_t contrast_scratch_bytes(DType dtype, Device device, const ContrastForm& f, int64_t rows, int64_t extra,
                                      int64_t dim, ContrastPass pass) {
  return dispatch_float(dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    return device == Device::cpu ? bytes_of<ContrastScratch<S, S>>(device, f, rows, extra, dim, pass)
                                 : bytes_of<ContrastScratch<T, S>>(device, f, rows, extra, dim, pass);
  });
}

// loss = mean over the rows of their losses, and what backward needs. A row shorter than 1e-12 counts as zeros and gets
// no gradient: its inverse norm is 0. All that is not q or k has the accumulator's dtype. Where the columns are no
// rows, row i pulls with first_i alone, so that its gradient is gathered in the same walk and similarities are computed
// once.
struct InfoNce {
  In q, k;                     // (rows, dim); k absent in a self contrast
  In extra;                    // (extra_count, dim) more negatives, such as a queue, or absent
  In labels;                   // (rows) i32, or absent; in a self contrast alone
  Out inv_norm_q, inv_norm_k;  // (rows)
  Out slopes;                  // (4, rows)
  Out pulled;                  // (rows, dim) Σ_j e^(first·s_ij − offset) v_j, or absent; not in a self contrast
  Out loss, accuracy;          // (1): the latter the share of rows whose positive is nearer than all negatives
  int64_t rows, dim, extra_count;
  ContrastForm form;
};
GESTALT_KERNEL(InfoNce)
inline double contrast_columns(const ContrastForm& f, int64_t rows, int64_t extra) {
  return real((f.self || f.batch_negatives ? rows : 0) + extra);
}
inline Cost cost(const InfoNce& k) {
  const double products = k.pulled ? 4 : 2;
  return {.flops = products * real(k.rows) * contrast_columns(k.form, k.rows, k.extra_count) * real(k.dim),
          .bytes = traffic(k.rows * k.dim, k.q, k.k, k.pulled) + traffic(k.extra_count * k.dim, k.extra),
          .loss = true};
}
inline int64_t scratch_bytes(const InfoNce& k, Device device) {
  return contrast_scratch_bytes(k.q.dtype, device, k.form, k.rows, k.extra_count, k.dim, {true, bool(k.pulled)});
}

// dq, dk = dloss · ∂loss/∂q, ∂k. What the forward pass did not gather is computed again a tile at a time; each row
// gathers its own gradient. A self contrast has no `extra`, and of two sides those negatives get no gradient.
struct InfoNceBackward {
  In q, k, labels, inv_norm_q, inv_norm_k, slopes, pulled, dloss;
  Out dq, dk;  // either may be absent
  int64_t rows, dim;
  ContrastForm form;

  // Whether dk has more than the positives' share.
  bool keys_pulled() const { return dk && form.batch_negatives; }
};
GESTALT_KERNEL(InfoNceBackward)
inline Cost cost(const InfoNceBackward& k) {
  const double walks = (k.dq && k.form.self ? 1 : 0) + (k.keys_pulled() ? 1 : 0);
  return {.flops = 4 * walks * real(k.rows) * real(k.rows) * real(k.dim),
          .bytes = traffic(k.rows * k.dim, k.q, k.k, k.pulled, k.dq, k.dk),
          .loss = true};
}
inline int64_t scratch_bytes(const InfoNceBackward& k, Device device) {
  return contrast_scratch_bytes(k.q.dtype, device, k.form, k.rows, 0, k.dim, {false, true});
}

}  // namespace gestalt::kernels
