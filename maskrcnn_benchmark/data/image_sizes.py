"""The sizes of all images of a data set at once, as grouping images by their shape asks for them."""

import numpy as np


def image_sizes(dataset):
    """Width and height in pixels of all N images of a data set: int64 [N, 2].

    A data set that knows them in one go says so by a method `image_sizes`, which returns them; of any other each image
    is asked for by `get_img_info`.
    """
    if hasattr(dataset, "image_sizes"):
        return dataset.image_sizes()
    infos = map(dataset.get_img_info, range(len(dataset)))
    return np.array([(info["width"], info["height"]) for info in infos], np.int64).reshape(-1, 2)
