// Data sets that are folders of pictures: train/<class>/<file> and test/<class>/<file>.
#pragma once

#include "datasets/dataset.h"
#include "datasets/files/file_tree.h"

namespace cnpd::datasets {

// Reads the directory or archive `options.data`; train and test may also be in the only folder that
// it holds. Classes are the sub-folders' names, the same in train and test, in the order of
// sort_class_names(); a class's images follow each other in byte order of their names. Clutter
// (files/names.h) is skipped, which is noted; everything else has to be a .jpg, .jpeg, .png or
// .ppm, and the message names all that is not. Symbolic links may not lead out of the directory.
// Images that are not `image_size` a side (0: as large as the first) are resized.
//
// Normalised with ImageNet's statistics; augmented by a crop with padding of an eighth of the
// height, without mirroring. Throws FileError for anything that is not as described.
Dataset load_image_folder(const LoadOptions& options);
// The same for a folder of files that have been opened.
Dataset load_image_folder(const FileTree& tree, const std::string& folder,
                          const LoadOptions& options);

}  // namespace cnpd::datasets
