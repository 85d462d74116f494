// Data sets that are folders of pictures: train/<class>/<file> and test/<class>/<file>.
#pragma once

#include <filesystem>

#include "datasets/dataset.h"

namespace cnpd::datasets {

// Reads the folder `options.data`. Classes are the sub-folders' names in byte order, the same in
// train and test; a class's images follow each other in byte order of their names. Files and
// folders whose name begins with a dot are skipped; everything else has to be a .jpg, .jpeg, .png
// or .ppm. Symbolic links may not lead out of the folder. Images that are not `image_size` a side
// (0: as large as the first) are resized.
//
// Normalised with ImageNet's statistics; augmented by a crop with padding of an eighth of the
// height, without mirroring. Throws FileError for anything that is not as described.
Dataset load_image_folder(const LoadOptions& options);

}  // namespace cnpd::datasets
