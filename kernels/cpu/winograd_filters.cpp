// Winograd's gradient of the filters: dw = Gᵀ[Σ (A dy Aᵀ) ⊙ (Bᵀ x B)]G over all tiles.
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd.h"
#include "kernels/cpu/winograd_tiles.h"

namespace gestalt::kernels::cpu::winograd {
namespace {

// sum (filters, I) = or += dᵀ·v for the filters [first, first + filters) of d (rows, O), a panel of it, and v (rows,
// I).
template <bool accumulate>
void add_panel(const float* d, const float* v, int64_t rows, int64_t first, int64_t filters, int64_t ins, float* sum) {
  tile_product<float, Layout::transposed, Layout::panels, accumulate>(d + first * rows, filters, v, 0, filters, ins,
                                                                      rows, sum, ins);
}

// The same over all points of one transformed filter; `anew`: the sum begins with them.
template <class Lines>
void add_points(const Planes& d, const Planes& v, int64_t filter, int64_t rows, int64_t first, int64_t count,
                int64_t ins, bool anew, float* sum) {
  for_each_point<Lines>(filter, [&](int64_t p) {
    (anew ? add_panel<false> : add_panel<true>)(d.at(p), v.at(p), rows, first, count, ins, sum);
    anew = false;
  });
}

// Filters [first, first + count) of dw (O, 3, 3, I) from the `parts` sums whose rows [row, row + count) are theirs.
template <class Lines>
void write_filters(const Planes* sums, int64_t parts, int64_t row, int64_t first, int64_t count, int64_t ins,
                   float* dw) {
  using Line = typename Lines::FilterGradient;
  for (int64_t o = 0; o < count; ++o)
    for (int64_t c = 0; c < ins; c += lanes) {
      Square<Line::in> all = sums[0].gather<Line::in>((row + o) * ins + c);
      for (int64_t part = 1; part < parts; ++part) {
        const Square<Line::in> more = sums[part].gather<Line::in>((row + o) * ins + c);
        for (size_t i = 0; i < Line::in; ++i)
          for (size_t j = 0; j < Line::in; ++j) all[i][j] += more[i][j];
      }
      const Square<3> g = transform<Line>(all);
      for (int64_t tap = 0; tap < 9; ++tap) put(dw + ((first + o) * 9 + tap) * ins + c, g[tap / 3][tap % 3]);
    }
}

// What the filters' gradient is made of.
template <class T>
struct Operands {
  Images<const T> x, dy;
  Tiles tiles;

  // Rows [begin, end) of v and d, in panels of `rows`: the transforms of x and of dy in the tiles from `first` on.
  template <class Lines>
  void read(int64_t first, int64_t begin, int64_t end, int64_t rows, const Planes& v, const Planes& d) const {
    read_tiles<typename Lines::Input, Layout::panels>(x, 1, tiles, first, begin, end, rows, v);
    read_tiles<typename Lines::OutputGradient, Layout::panels>(dy, 0, tiles, first, begin, end, rows, d);
  }
};

// sum = Σ (A dy Aᵀ) ⊙ (Bᵀ x B) over the tiles [begin, end): for each point a product (O × tiles)·(tiles × I), by blocks
// that v and d hold.
template <class Lines, class T>
void add_tiles(const Operands<T>& k, int64_t begin, int64_t end, int64_t block, const Planes& v, const Planes& d,
               const Planes& sum) {
  const int64_t ins = k.x.channels, outs = k.dy.channels, panels = (outs + width - 1) / width;
  for (int64_t first = begin; first < end; first += block) {
    const int64_t count = std::min(block, end - first);
    parallel_ranges(count, 1, [&](int64_t from, int64_t to) { k.template read<Lines>(first, from, to, count, v, d); });
    parallel_ranges(filters<Lines> * panels, panels, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        const int64_t filter = i / panels, o = i % panels * width;
        add_points<Lines>(d, v, filter, count, o, std::min(width, outs - o), ins, first == begin,
                          sum.at(filter) + o * ins);
      }
    });
  }
}

// dw = Gᵀ[Σ (A dy Aᵀ) ⊙ (Bᵀ x B)]G where there are more tiles than filters. Where there are many, they are cut into
// parts with sums of their own, so that nothing goes from one core to the other but the sums; else all threads share a
// block of tiles, and each takes some points.
template <class Lines, class T>
void backward_weights_by_tiles(const Operands<T>& k, float* dw) {
  constexpr int64_t n = points<Lines>, kinds = filters<Lines>;
  const int64_t ins = k.x.channels, outs = k.dy.channels, count = k.tiles.count;
  const int64_t parts = std::clamp<int64_t>(count / std::max<int64_t>(512, outs * ins / 32), 1, 16);
  const int64_t most = (parts > 1 ? 64 : std::clamp<int64_t>((ins + outs) / 2, 64, 256) * 36 / n) * 36 / n;
  const int64_t block = whole_rows(std::min(count, most)), size = Planes::size(kinds, outs, ins);
  const int64_t planes = Planes::size(n, block, ins) + Planes::size(n, block, outs);
  float* space = shared_memory().floats(parts * (size + planes));
  std::vector<Planes> sums;
  for (int64_t part = 0; part < parts; ++part) sums.emplace_back(space + part * (size + planes), kinds, outs, ins);
  parallel_ranges(parts, 1, [&](int64_t begin, int64_t end) {  // what is parallel inside stays on its thread
    for (int64_t part = begin; part < end; ++part) {
      const Planes& sum = sums[static_cast<size_t>(part)];
      const Planes v(sum.end(), n, block, ins), d(v.end(), n, block, outs);
      add_tiles<Lines>(k, count * part / parts, count * (part + 1) / parts, block, v, d, sum);
    }
  });
  parallel_ranges(outs, 1, [&](int64_t begin, int64_t end) {
    write_filters<Lines>(sums.data(), parts, begin, begin, end - begin, ins, dw);
  });
}

// The same where there are more filters than tiles: each thread takes filters by the panel, whose sums stay in its
// cache, as in convolve_by_outputs.
template <class Lines, class T>
void backward_weights_by_outputs(const Operands<T>& k, float* dw) {
  constexpr int64_t n = points<Lines>, kinds = filters<Lines>;
  const int64_t ins = k.x.channels, outs = k.dy.channels, count = k.tiles.count;
  const Planes v(shared_memory().floats(Planes::size(n, count, ins) + Planes::size(n, count, outs)), n, count, ins);
  const Planes d(v.end(), n, count, outs);
  parallel_ranges(count, 1, [&](int64_t from, int64_t to) { k.template read<Lines>(0, from, to, count, v, d); });
  parallel_ranges((outs + width - 1) / width, 1, [&](int64_t begin, int64_t end) {
    const Planes sum(own_memory().floats(Planes::size(kinds, width, ins)), kinds, width, ins);
    for (int64_t first = begin * width; first < std::min(end * width, outs); first += width) {
      const int64_t rows = std::min(width, outs - first);
      for (int64_t f = 0; f < kinds; ++f) add_points<Lines>(d, v, f, count, first, rows, ins, true, sum.at(f));
      write_filters<Lines>(&sum, 1, 0, first, rows, ins, dw);
    }
  });
}

}  // namespace

void backward_weights(const ConvBackwardWeights& k) {
  for_stride_and_dtype(k.shape, k.x.dtype, [&]<class Lines, class T>(Lines, T) {
    const Operands<T> of{inputs(k.x.as<T>(), k.shape), outputs(k.dy.as<T>(), k.shape), Tiles(k.shape)};
    const bool by_tiles = of.tiles.count >= k.shape.out_channels;
    (by_tiles ? backward_weights_by_tiles<Lines, T> : backward_weights_by_outputs<Lines, T>)(of, k.dw.as<float>());
  });
}

}  // namespace gestalt::kernels::cpu::winograd
