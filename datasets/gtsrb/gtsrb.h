// The German Traffic Sign Recognition Benchmark (Stallkamp et al. 2012): photographs of traffic
// signs in 43 classes and many sizes, 39,209 for training and 12,630 for testing.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "datasets/annotations.h"
#include "datasets/dataset.h"

namespace cnpd::datasets::gtsrb {

inline constexpr std::int64_t kSize = 32;  // pixels a side; the default size for resizing
inline constexpr std::int32_t kClasses = 43;
extern const std::array<std::string_view, kClasses> kClassNames;

// Reads the directory or archive `options.data`. A directory may also hold the official archives:
// GTSRB_Final_Training_Images.zip or GTSRB-Training_fixed.zip, GTSRB_Final_Test_Images.zip and
// GTSRB_Final_Test_GT.zip; or Kaggle's, gtsrb-german-traffic-sign.zip. The layouts, at the top or
// inside GTSRB/, gtsrb/ or gtsrb/GTSRB/, are
//   Final_Training/Images/, Training/ or Train/   00000/ .. 00042/, each with images and their
//                                                 table GT-000NN.csv; if all these tables are
//                                                 missing, labels come from the folder names
//   Final_Test/Images/ or Test/                   test images, and their table GT-final_test.csv
//                                                 in the same folder or one above it
// or Kaggle's:
//   Train/ and Train.csv                          0/ .. 42/, and the table of all their images
//   Test/ and Test.csv                            test images and their table
// The rest of Kaggle's archive (Meta/, and the copies train/, test/ and meta/) is ignored. Images
// are .ppm, .jpg, .jpeg or .png and are in the order of their names. They are not cropped to the
// tables' regions of interest.
//
// Pixels are not normalised (mean 0, deviation 1). Augmentation is a crop with padding 4 without
// mirroring, which would change the class of some signs. Throws FileError for any other layout, for
// images without a row, rows without an image and classes without images.
Dataset load(const LoadOptions& options);

// An official table: "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId" and one line for
// each image.
std::vector<Annotation> read_table(std::string_view table, std::string_view name);
// Kaggle's table: "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path" and one line for each
// image. Columns may have any order, and only ClassId and Path are required. An annotation's file
// is its Path: "Train/20/00020_00000_00000.png".
std::vector<Annotation> read_kaggle_table(std::string_view table, std::string_view name);

}  // namespace cnpd::datasets::gtsrb
