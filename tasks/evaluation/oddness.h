// How odd an image is among others: by its distance in features, and by what its pixels alone say, which an encoder
// that learned little passes over: noise, blank and very dark or bright pictures.
#pragma once

#include <cstdint>
#include <vector>

namespace gestalt {

struct PixelFigures {
  double brightness = 0;  // mean of its grey values, 0 to 1
  double contrast = 0;    // their standard deviation
  double roughness = 0;   // how much neighbouring ones differ: 0 for a plain surface, about 1 for noise
};
// Of an image (side, side, 3) of values from 0 to 1.
PixelFigures pixel_figures(const float* image, int64_t side);

struct Oddness {
  double deviations = 0;  // from the median, in standard deviations of a normal distribution with the same quartiles
  const char* by = "";    // in which measure: "distance", "roughness", "contrast" or "brightness"
};
// Of each image the measure in which it is farthest from the usual: far from its neighbours in features (mean
// distances; near ones are not odd), and rough, smooth, flat, dark or bright. All but the brightness on a logarithmic
// scale.
std::vector<Oddness> oddness(const std::vector<double>& distances, const std::vector<PixelFigures>& figures);

}  // namespace gestalt
