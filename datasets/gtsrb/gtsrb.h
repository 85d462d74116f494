// The German Traffic Sign Recognition Benchmark (Stallkamp et al. 2012): 43 classes of photographed
// signs of all sizes, 39,209 for training and 12,630 for testing.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "datasets/annotations.h"
#include "datasets/dataset.h"

namespace cnpd::datasets::gtsrb {

inline constexpr std::int64_t kSize = 32;  // pixels a side, to which all images are resized
inline constexpr std::int32_t kClasses = 43;
extern const std::array<std::string_view, kClasses> kClassNames;

// Reads the directory or archive `options.data`. A directory may also hold the official archives:
// GTSRB_Final_Training_Images.zip or GTSRB-Training_fixed.zip, GTSRB_Final_Test_Images.zip and
// GTSRB_Final_Test_GT.zip; or Kaggle's, gtsrb-german-traffic-sign.zip. In these, and with or
// without the folder GTSRB/ (or gtsrb/, or both) around them, lie
//   Final_Training/Images/, Training/ or Train/   with 00000/ .. 00042/, each holding images and
//                                                 their table GT-000NN.csv; without any of these
//                                                 tables, a folder's images are of its class,
//   Final_Test/Images/ or Test/                   test images, and their table GT-final_test.csv
//                                                 there, one folder up, or at the top;
// or, as on Kaggle,
//   Train/ and Train.csv                          with 0/ .. 42/ and the table of all their images,
//   Test/ and Test.csv                            test images and their table.
// What else Kaggle's archive holds (Meta/, and train/, test/ and meta/ once more) is ignored.
// Images are .ppm, .jpg or .png, whole (the tables' regions of interest are not cut out), in the
// order of their names.
//
// Pixels stay as they are (mean 0, deviation 1); augmented by a crop with padding 4 and never
// mirrored, which would turn signs into others. Throws FileError for anything that is not as
// described, and for images without a row, rows without an image and classes without images.
Dataset load(const LoadOptions& options);

// A table, "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId" and one line for each image.
std::vector<Annotation> read_table(std::string_view table, std::string_view name);
// Kaggle's, "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path". Columns may come in any order,
// and only the last two have to be there. Files are as Path says: "Train/20/00020_00000_00000.png".
std::vector<Annotation> read_kaggle_table(std::string_view table, std::string_view name);

}  // namespace cnpd::datasets::gtsrb
