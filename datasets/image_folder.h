// Data sets in image folders: train/<class>/<file> and test/<class>/<file>.
#pragma once

#include "datasets/dataset.h"
#include "datasets/files/file_tree.h"

namespace cnpd::datasets {

// Reads the directory or archive `options.data`; train/ and test/ may also be inside its only
// folder. Class names are the names of the sub-folders, the same in train and test, in the order of
// sort_class_names(). Images are ordered by class, and within a class in byte order of their names.
// Clutter (files/names.h) is skipped with a notice. All other files have to be .jpg, .jpeg, .png or
// .ppm; unexpected files are listed in one message. Symbolic links may not lead out of the
// directory. Images are resized to `image_size`; if that is 0, all images must have the first one's
// size.
//
// Normalised with ImageNet's statistics. Augmentation is a crop with padding of an eighth of the
// height, without mirroring. Throws FileError for any other layout.
Dataset load_image_folder(const LoadOptions& options);
// The same for a folder of an open file tree.
Dataset load_image_folder(const FileTree& tree, const std::string& folder,
                          const LoadOptions& options);

}  // namespace cnpd::datasets
