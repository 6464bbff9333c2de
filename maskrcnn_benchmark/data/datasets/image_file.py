"""Reading one photograph from disk, with errors that name the file."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from maskrcnn_benchmark.utils.errors import UserError


def read_image(path, size=None):
    """The image at `path` as a PIL RGB image.

    Args:
        path: a JPEG, PNG or anything that PIL reads.
        size: (width, height) that the annotations promise, or None. EXIF rotation is not applied: annotations are
            made on the stored pixels.

    Raises `UserError` for a file that is missing, truncated, no image, larger than PIL's limit against decompression
    bombs, or of another size than promised.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such image: {path}; unpack the data set's images into {path.parent}")
    try:
        image = Image.open(path)
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:
            raise UserError(
                f"{path} has {image.width}x{image.height} pixels, more than PIL's limit of {limit} against "
                "decompression bombs; make it smaller"
            )
        if size is not None and image.size != tuple(size):
            raise UserError(
                f"{path} is {image.width}x{image.height} pixels, but its annotations are for {size[0]}x{size[1]}; "
                "take image and annotations from the same release"
            )
        return image.convert("RGB")
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: {error}; make it smaller") from None
    except UnidentifiedImageError:
        raise UserError(f"{path} is not an image that PIL can read; replace it") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} cannot be decoded ({error}); it is truncated or damaged, replace it") from None
