// See winograd.h. A vector holds 16 channels of one pixel: one register of AVX-512, several elsewhere.
// Compiled for each kind of processor; LCSL_WINOGRAD_KERNELS names what is made of it.

#include "winograd.h"

#include <algorithm>
#include <cstring>

namespace lcsl::winograd {
namespace {

constexpr int kIn = 6;                 // pixels across an input tile
constexpr int kOut = 4;                // pixels across an output tile
constexpr int kPositions = kIn * kIn;  // matrix products

using Vector = float __attribute__((vector_size(64)));
// The same in memory, where nothing promises alignment beyond that of a float.
using Unaligned = float __attribute__((vector_size(64), aligned(4), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<Unaligned*>(to) = value; }

// B' d for one row or column of an input tile.
inline void input_transform(const Vector (&d)[kIn], Vector (&out)[kIn]) {
  const Vector even = d[4] - 4.0F * d[2], odd = d[3] - 4.0F * d[1];
  const Vector even_half = d[4] - d[2], odd_half = 2.0F * (d[3] - d[1]);
  out[0] = 4.0F * d[0] + (d[4] - 5.0F * d[2]);
  out[1] = even + odd;
  out[2] = even - odd;
  out[3] = even_half + odd_half;
  out[4] = even_half - odd_half;
  out[5] = 4.0F * d[1] + (d[5] - 5.0F * d[3]);
}

// A' m for one row or column of products.
inline void output_transform(const Vector (&m)[kIn], Vector (&out)[kOut]) {
  const Vector sum = m[1] + m[2], difference = m[1] - m[2];
  const Vector sum_two = m[3] + m[4], difference_two = m[3] - m[4];
  out[0] = m[0] + sum + sum_two;
  out[1] = difference + 2.0F * difference_two;
  out[2] = sum + 4.0F * sum_two;
  out[3] = difference + 8.0F * difference_two + m[5];
}

// A y: the adjoint of output_transform.
inline void output_adjoint(const Vector (&y)[kOut], Vector (&out)[kIn]) {
  const Vector even = y[0] + y[2], odd = y[1] + y[3];
  const Vector even_two = y[0] + 4.0F * y[2], odd_two = 2.0F * y[1] + 8.0F * y[3];
  out[0] = y[0];
  out[1] = even + odd;
  out[2] = even - odd;
  out[3] = even_two + odd_two;
  out[4] = even_two - odd_two;
  out[5] = y[3];
}

// G g for one row or column of a kernel.
inline void weight_transform(const Vector (&g)[3], Vector (&out)[kIn]) {
  const Vector even = (g[0] + g[2]) * (-1.0F / 6.0F), odd = g[1] * (-1.0F / 6.0F);
  const Vector even_two = g[0] * (1.0F / 24.0F) + g[2] * (1.0F / 6.0F);
  const Vector odd_two = g[1] * (1.0F / 12.0F);
  out[0] = g[0] * 0.25F;
  out[1] = even + odd;
  out[2] = even - odd;
  out[3] = even_two + odd_two;
  out[4] = even_two - odd_two;
  out[5] = g[2];
}

// G' u: the adjoint of weight_transform.
inline void weight_adjoint(const Vector (&u)[kIn], Vector (&out)[3]) {
  const Vector sum = (u[1] + u[2]) * (-1.0F / 6.0F), sum_two = u[3] + u[4];
  out[0] = u[0] * 0.25F + sum + sum_two * (1.0F / 24.0F);
  out[1] = (u[2] - u[1]) * (1.0F / 6.0F) + (u[3] - u[4]) * (1.0F / 12.0F);
  out[2] = sum + sum_two * (1.0F / 6.0F) + u[5];
}

int64_t block_of_tiles(const Shape& shape) {
  // Inputs and products of a block together stay within half a megabyte of second-level cache.
  const int64_t fitting = 131072 / (kPositions * (shape.from + shape.to));
  return std::clamp<int64_t>(fitting / 8 * 8, 16, 32);
}

// Floats from one position of a block to the next. A line more than they need: distances that are a multiple of
// 4096 bytes would put all 36 positions of a tile into the same few lines of the first-level cache.
int64_t position_stride(const Shape& shape, int64_t channels) {
  return block_of_tiles(shape) * channels + kLanes;
}

// Where the first output pixel of a tile lies.
struct TileOrigin {
  int64_t image;
  int64_t row;
  int64_t column;
};

TileOrigin origin(const Shape& shape, int64_t tile) {
  const int64_t across = (shape.width + kOut - 1) / kOut, down = (shape.height + kOut - 1) / kOut;
  return {tile / (across * down), tile / across % down * kOut, tile % across * kOut};
}

// Addresses of size x size pixels whose first one is (row, column); `outside` stands for pixels beyond the
// border.
template <int size>
void pixels(const Shape& shape, int64_t channels, const float* images, TileOrigin first,
            const float* outside, const float* (&at)[size][size]) {
  const float* image = images + first.image * shape.height * shape.width * channels;
  for (int r = 0; r < size; r++) {
    const int64_t row = first.row + r;
    for (int c = 0; c < size; c++) {
      const int64_t column = first.column + c;
      const bool inside = row >= 0 && row < shape.height && column >= 0 && column < shape.width;
      at[r][c] = inside ? image + (row * shape.width + column) * channels : outside;
    }
  }
}

// B' d B of `count` tiles: out is (36, position_stride) of (count, from).
void transform_input(const Shape& shape, const float* x, int64_t first, int64_t count,
                     const float* zeros, float* out) {
  const int64_t from = shape.from, stride = position_stride(shape, from);
  for (int64_t tile = 0; tile < count; tile++) {
    TileOrigin at = origin(shape, first + tile);
    at.row -= 1;
    at.column -= 1;
    const float* d[kIn][kIn];
    pixels<kIn>(shape, from, x, at, zeros, d);
    for (int64_t channel = 0; channel < from; channel += kLanes) {
      Vector half[kIn][kIn];
      for (int c = 0; c < kIn; c++) {
        Vector column[kIn], transformed[kIn];
        for (int r = 0; r < kIn; r++) column[r] = load(d[r][c] + channel);
        input_transform(column, transformed);
        for (int r = 0; r < kIn; r++) half[r][c] = transformed[r];
      }
      float* to = out + tile * from + channel;
      for (int r = 0; r < kIn; r++) {
        Vector transformed[kIn];
        input_transform(half[r], transformed);
        for (int c = 0; c < kIn; c++) store(to + (r * kIn + c) * stride, transformed[c]);
      }
    }
  }
}

// A dy A' of `count` tiles: out is (36, position_stride) of (count, to).
void transform_output_gradient(const Shape& shape, const float* dy, int64_t first, int64_t count,
                               const float* zeros, float* out) {
  const int64_t to = shape.to, stride = position_stride(shape, to);
  for (int64_t tile = 0; tile < count; tile++) {
    const float* y[kOut][kOut];
    pixels<kOut>(shape, to, dy, origin(shape, first + tile), zeros, y);
    for (int64_t channel = 0; channel < to; channel += kLanes) {
      Vector half[kIn][kOut];
      for (int c = 0; c < kOut; c++) {
        Vector column[kOut], transformed[kIn];
        for (int r = 0; r < kOut; r++) column[r] = load(y[r][c] + channel);
        output_adjoint(column, transformed);
        for (int r = 0; r < kIn; r++) half[r][c] = transformed[r];
      }
      float* target = out + tile * to + channel;
      for (int r = 0; r < kIn; r++) {
        Vector transformed[kIn];
        output_adjoint(half[r], transformed);
        for (int c = 0; c < kIn; c++) store(target + (r * kIn + c) * stride, transformed[c]);
      }
    }
  }
}

// A' m A of `count` tiles and the epilogue; m is laid out alike.
void transform_output(const Shape& shape, const float* m, int64_t first, int64_t count,
                      const Epilogue& epilogue, float* y) {
  const int64_t to = shape.to, stride = position_stride(shape, to);
  for (int64_t tile = 0; tile < count; tile++) {
    const TileOrigin at = origin(shape, first + tile);
    const int64_t rows = std::min<int64_t>(kOut, shape.height - at.row);
    const int64_t columns = std::min<int64_t>(kOut, shape.width - at.column);
    const int64_t start = ((at.image * shape.height + at.row) * shape.width + at.column) * to;
    for (int64_t channel = 0; channel < to; channel += kLanes) {
      const float* products = m + tile * to + channel;
      Vector half[kOut][kIn];
      for (int c = 0; c < kIn; c++) {
        Vector column[kIn], transformed[kOut];
        for (int r = 0; r < kIn; r++) column[r] = load(products + (r * kIn + c) * stride);
        output_transform(column, transformed);
        for (int r = 0; r < kOut; r++) half[r][c] = transformed[r];
      }
      const Vector bias = epilogue.bias != nullptr ? load(epilogue.bias + channel) : Vector{};
      for (int r = 0; r < rows; r++) {
        Vector pixels[kOut];
        output_transform(half[r], pixels);
        for (int c = 0; c < columns; c++) {
          const int64_t offset = start + (r * shape.width + c) * to + channel;
          Vector value = pixels[c] + bias;
          if (epilogue.residual != nullptr) value += load(epilogue.residual + offset);
          if (epilogue.relu) value = value > 0.0F ? value : Vector{};
          store(y + offset, value);
        }
      }
    }
  }
}

// `tiles` rows of m = v u: v is (tiles, from), u (from, to) of which 16 * `vectors` columns are taken.
template <int tiles, int vectors>
inline void multiply(const float* v, const float* u, float* m, int64_t from, int64_t to) {
  Vector sums[tiles][vectors] = {};
  for (int64_t channel = 0; channel < from; channel++) {
    Vector weights[vectors];
    for (int n = 0; n < vectors; n++) weights[n] = load(u + channel * to + n * kLanes);
    for (int t = 0; t < tiles; t++) {
      const float value = v[t * from + channel];
      for (int n = 0; n < vectors; n++) sums[t][n] += value * weights[n];
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < tiles; t++) {
#pragma GCC unroll 2
    for (int n = 0; n < vectors; n++) store(m + t * to + n * kLanes, sums[t][n]);
  }
}

// (channels, 16 * vectors) of g += v' w over `count` tiles: v is (count, from), w (count, to).
template <int channels, int vectors>
inline void multiply_transposed(const float* v, const float* w, float* g, int64_t count, int64_t from,
                                int64_t to) {
  Vector sums[channels][vectors];
  for (int k = 0; k < channels; k++) {
    for (int n = 0; n < vectors; n++) sums[k][n] = load(g + k * to + n * kLanes);
  }
  for (int64_t t = 0; t < count; t++) {
    Vector gradients[vectors];
    for (int n = 0; n < vectors; n++) gradients[n] = load(w + t * to + n * kLanes);
    for (int k = 0; k < channels; k++) {
      const float value = v[t * from + k];
      for (int n = 0; n < vectors; n++) sums[k][n] += value * gradients[n];
    }
  }
#pragma GCC unroll 16
  for (int k = 0; k < channels; k++) {
#pragma GCC unroll 2
    for (int n = 0; n < vectors; n++) store(g + k * to + n * kLanes, sums[k][n]);
  }
}

// One kernel for 16 channels at a time: lane l of g[k] is weights[l * lane_stride + k], read
// backwards where `reversed`.
void transform_kernel(const float* weights, int64_t lane_stride, bool reversed, float* out,
                      int64_t position_stride) {
  alignas(64) float lanes[9][kLanes];
  for (int64_t lane = 0; lane < kLanes; lane++) {
    const float* kernel = weights + lane * lane_stride;
    for (int k = 0; k < 9; k++) lanes[k][lane] = kernel[reversed ? 8 - k : k];
  }
  Vector half[kIn][3];
  for (int c = 0; c < 3; c++) {
    const Vector column[3] = {load(lanes[c]), load(lanes[3 + c]), load(lanes[6 + c])};
    Vector transformed[kIn];
    weight_transform(column, transformed);
    for (int r = 0; r < kIn; r++) half[r][c] = transformed[r];
  }
  for (int r = 0; r < kIn; r++) {
    Vector transformed[kIn];
    weight_transform(half[r], transformed);
    for (int c = 0; c < kIn; c++) store(out + (r * kIn + c) * position_stride, transformed[c]);
  }
}

int64_t scratch_floats(const Shape& shape) {
  const int64_t widest = std::max(shape.from, shape.to);
  const int64_t blocks = position_stride(shape, shape.from) + position_stride(shape, shape.to);
  return kPositions * blocks + widest;
}

int64_t kernel_floats(const Shape& shape) { return kPositions * shape.from * shape.to; }

void transform_weights(const Shape& shape, const float* weights, float* kernel) {
  for (int64_t from = 0; from < shape.from; from++) {
    for (int64_t to = 0; to < shape.to; to += kLanes) {
      transform_kernel(weights + (to * shape.from + from) * 9, shape.from * 9, false,
                       kernel + from * shape.to + to, shape.from * shape.to);
    }
  }
}

void transform_weights_reversed(const Shape& shape, const float* weights, float* kernel) {
  for (int64_t from = 0; from < shape.from; from++) {
    for (int64_t to = 0; to < shape.to; to += kLanes) {
      transform_kernel(weights + (from * shape.to + to) * 9, 9, true, kernel + from * shape.to + to,
                       shape.from * shape.to);
    }
  }
}

void forward(const Shape& shape, const float* x, const float* kernel, const Epilogue& epilogue,
             float* y, int64_t begin, int64_t end, float* scratch) {
  const int64_t block = block_of_tiles(shape), from = shape.from, to = shape.to;
  float* const inputs = scratch;
  const int64_t in_stride = position_stride(shape, from), out_stride = position_stride(shape, to);
  float* const products = inputs + kPositions * in_stride;
  float* const zeros = products + kPositions * out_stride;
  std::memset(zeros, 0, static_cast<size_t>(from) * sizeof(float));
  for (int64_t first = begin; first < end; first += block) {
    const int64_t count = std::min(block, end - first);
    transform_input(shape, x, first, count, zeros, inputs);
    for (int position = 0; position < kPositions; position++) {
      const float* v = inputs + position * in_stride;
      const float* u = kernel + position * from * to;
      float* m = products + position * out_stride;
      // Rows beyond `count` hold the previous block's tiles; what comes of them is not stored.
      if (to % (2 * kLanes) == 0) {
        for (int64_t column = 0; column < to; column += 2 * kLanes) {
          for (int64_t t = 0; t < count; t += 8) {
            multiply<8, 2>(v + t * from, u + column, m + t * to + column, from, to);
          }
        }
      } else {
        for (int64_t column = 0; column < to; column += kLanes) {
          for (int64_t t = 0; t < count; t += 8) {
            multiply<8, 1>(v + t * from, u + column, m + t * to + column, from, to);
          }
        }
      }
    }
    transform_output(shape, products, first, count, epilogue, y);
  }
}

void weight_gradient(const Shape& shape, const float* x, const float* y_gradient, int64_t begin,
                     int64_t end, float* kernel_gradient, float* scratch) {
  const int64_t block = block_of_tiles(shape), from = shape.from, to = shape.to;
  float* const inputs = scratch;
  const int64_t in_stride = position_stride(shape, from), out_stride = position_stride(shape, to);
  float* const gradients = inputs + kPositions * in_stride;
  float* const zeros = gradients + kPositions * out_stride;
  std::memset(zeros, 0, static_cast<size_t>(std::max(from, to)) * sizeof(float));
  for (int64_t first = begin; first < end; first += block) {
    const int64_t count = std::min(block, end - first);
    transform_input(shape, x, first, count, zeros, inputs);
    transform_output_gradient(shape, y_gradient, first, count, zeros, gradients);
    for (int position = 0; position < kPositions; position++) {
      const float* v = inputs + position * in_stride;
      const float* w = gradients + position * out_stride;
      float* g = kernel_gradient + position * from * to;
      for (int64_t column = 0; column < to;) {
        if (to - column >= 2 * kLanes) {
          for (int64_t k = 0; k < from; k += 8) {
            multiply_transposed<8, 2>(v + k, w + column, g + k * to + column, count, from, to);
          }
          column += 2 * kLanes;
        } else {
          for (int64_t k = 0; k < from; k += 16) {
            multiply_transposed<16, 1>(v + k, w + column, g + k * to + column, count, from, to);
          }
          column += kLanes;
        }
      }
    }
  }
}

void finish_weight_gradient(const Shape& shape, const float* kernel_gradient, float* gradient) {
  for (int64_t from = 0; from < shape.from; from++) {
    for (int64_t to = 0; to < shape.to; to += kLanes) {
      const float* u = kernel_gradient + from * shape.to + to;
      Vector half[3][kIn];
      for (int c = 0; c < kIn; c++) {
        Vector column[kIn], transformed[3];
        for (int r = 0; r < kIn; r++) {
          column[r] = load(u + (r * kIn + c) * shape.from * shape.to);
        }
        weight_adjoint(column, transformed);
        for (int r = 0; r < 3; r++) half[r][c] = transformed[r];
      }
      for (int r = 0; r < 3; r++) {
        Vector transformed[3];
        weight_adjoint(half[r], transformed);
        for (int c = 0; c < 3; c++) {
          for (int64_t lane = 0; lane < kLanes; lane++) {
            gradient[((to + lane) * shape.from + from) * 9 + r * 3 + c] = transformed[c][lane];
          }
        }
      }
    }
  }
}

}  // namespace

const Kernels LCSL_WINOGRAD_KERNELS = {
    block_of_tiles, scratch_floats,  kernel_floats,          transform_weights, transform_weights_reversed,
    forward,        weight_gradient, finish_weight_gradient,
};

}  // namespace lcsl::winograd
