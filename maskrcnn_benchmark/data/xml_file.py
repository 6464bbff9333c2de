"""Reading an XML annotation, which may come from anyone: no entities, and errors that say what is wrong with it."""

import os
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from maskrcnn_benchmark.utils.errors import UserError

MAX_BYTES = 16 * 2**20  # an annotation of a thousand objects has a quarter of one


def read_xml(path: str | os.PathLike) -> Element:
    """The root `Element` of the XML file at `path`.

    Raises `UserError` for a missing, oversized or malformed file and for one that declares a document type: only there
    can entities be declared, whose expansion fills the memory of whoever reads the file.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such annotation file: {path}")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} has more than {MAX_BYTES} bytes, too many for the annotation of an image; remove it")

    def refuse(*declaration):
        raise UserError(
            f"{path} declares a document type (<!DOCTYPE ...>), which no annotation needs; remove that line"
        )

    tree = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise UserError(f"{path} is not valid XML ({error}); it is cut off or damaged, fetch it again") from None
    return tree.close()
