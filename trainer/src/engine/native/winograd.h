// 3x3 convolutions with a third of the multiplications: Winograd's F(4x4, 3x3).
//
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), section 4.3: an
// output tile of 4x4 pixels is A'[(G g G') * (B' d B)]A, where d is the 6x6 input tile under it and g
// the 3x3 kernel. The product in the middle is a matrix product over channels for each of the 36
// positions; the transforms around it are additions. Computed in float32 the result differs from a
// direct convolution in the last three to four bits.
//
// Everything here is about plain memory: images are (N, H, W, C) in row-major order, weights
// (C', C, 3, 3) as PyTorch lays them out. Stride 1, padding 1, channels in multiples of 16. A tile is
// numbered by image, row of tiles, column of tiles; callers share out ranges of tiles.
#pragma once

#include <cstdint>

namespace lcsl::winograd {

/// Channels come in vectors of this many.
constexpr int64_t kLanes = 16;

/// One convolution: images of height x width pixels, `from` channels in, `to` channels out.
struct Shape {
  int64_t images;
  int64_t height;
  int64_t width;
  int64_t from;
  int64_t to;

  /// Output tiles of all images.
  int64_t tiles() const { return images * ((height + 3) / 4) * ((width + 3) / 4); }
};

/// What happens to a sum before it is stored; null and false for nothing.
struct Epilogue {
  /// Added to every pixel: one number per output channel.
  const float* bias;
  /// Added to every pixel: an image of the output's shape.
  const float* residual;
  /// Whether negative results become zero.
  bool relu;
};

/// The arithmetic, compiled once for each kind of processor.
struct Kernels {
  /// Tiles that are worked on at a time; ranges that are shared out are multiples of it.
  int64_t (*block_of_tiles)(const Shape& shape);

  /// Floats of scratch memory that one thread needs for `forward`, and for `weight_gradient`.
  int64_t (*scratch_floats)(const Shape& shape);

  /// Floats of a transformed kernel: 36 matrices, from x to.
  int64_t (*kernel_floats)(const Shape& shape);

  /// Weights (to, from, 3, 3) to a transformed kernel for `forward`.
  void (*transform_weights)(const Shape& shape, const float* weights, float* kernel);

  /// Weights (from, to, 3, 3) of the convolution whose gradient by its input this is. `shape` is that of
  /// the backward direction: gradients of `from` channels go in, of `to` channels come out.
  void (*transform_weights_reversed)(const Shape& shape, const float* weights, float* kernel);

  /// Tiles begin..end of y = conv(x) (images, height, width, to).
  void (*forward)(const Shape& shape, const float* x, const float* kernel, const Epilogue& epilogue,
                  float* y, int64_t begin, int64_t end, float* scratch);

  /// Adds what tiles begin..end contribute to the gradient by the transformed kernel (36, from, to).
  void (*weight_gradient)(const Shape& shape, const float* x, const float* y_gradient, int64_t begin,
                          int64_t end, float* kernel_gradient, float* scratch);

  /// Gradient by the transformed kernel to gradient by the weights (to, from, 3, 3).
  void (*finish_weight_gradient)(const Shape& shape, const float* kernel_gradient, float* gradient);
};

/// For any processor. Slower than a direct convolution: it is there so that the arithmetic is tested
/// where the other cannot run.
extern const Kernels kPlain;

#ifdef __x86_64__
/// For processors that have AVX-512.
extern const Kernels kAvx512;
#endif

}  // namespace lcsl::winograd
