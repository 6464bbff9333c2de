"""Say what a file is that is taken for weights and holds none: a web page, an archive, a pointer to another file."""

import codecs
import re
import zipfile
from pathlib import Path

from maskrcnn_benchmark.utils.text import is_text, printable
from maskrcnn_benchmark.utils.weights.safetensors_file import is_safetensors
from maskrcnn_benchmark.utils.weights.torch_file import ZIP_START

HEAD = 1 << 16
_UNPACK = "unpack it and give the file in it"
_NO_KERAS = "networks of Keras have other names and layouts: take a PyTorch file"
_FROM_TORCH = "give a PyTorch or safetensors file of the weights"
# (where its bytes stand, these bytes, what a file with them is, the remedy)
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"\x1f\x9d", "a compressed file (.Z)", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (0, b"\x04\x22\x4d\x18", "an LZ4 archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"PK\x05\x06", "an empty zip archive", "fetch it again"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5, as Keras writes it", _NO_KERAS),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", _FROM_TORCH),
    (4, b"TFL3", "a network of TensorFlow Lite", _FROM_TORCH),
    (0, b"MATLAB", "a file of MATLAB", _FROM_TORCH),
    (0, b"GGUF", "GGUF, of language models", _FROM_TORCH),
    (0, b"%PDF", "a PDF document", _FROM_TORCH),
    (0, b"\x7fELF", "a program", _FROM_TORCH),
    *(
        (place, start, "a picture or video", "it belongs where images are asked for; give a file of weights here")
        for place, start in (
            *((0, b"\xff\xd8\xff"), (0, b"\x89PNG"), (0, b"GIF8"), (8, b"WEBP"), (0, b"BM")),
            *((0, b"II*\0"), (0, b"MM\0*"), (4, b"ftyp")),
        )
    ),
)
# Texts that stand for a file which a program keeps elsewhere, and how to have it
_POINTERS = (
    (re.compile(r"version https://git-lfs"), "a Git LFS pointer", "`git lfs pull`, or from the page's download link"),
    (re.compile(r"(\.\./)*(\.git)?/annex/objects/"), "a git-annex pointer", "`git annex get`"),
    (re.compile(r"(?s)outs:.*\bmd5:"), "a DVC pointer", "`dvc pull`"),
)
# Protobuf: the version of ONNX's format, then who wrote it or the network
_ONNX = re.compile(rb"\x08[\x01-\x1f][\x12\x3a]")
_SHARD = re.compile(r'"([\w.-]+\.(?:safetensors|bin|pth|pt))"')
_PROTOCOL_0 = ("(", "c", "]", "}")  # the first characters of a pickle that Python 2 wrote as text
_ENCODINGS = ("utf-8-sig", "utf-16", "latin-1")


def fault_of(path: Path, head: bytes) -> str | None:
    """What a file is that holds no weights, and what to do, to follow "FILE is "; None for one that may hold some.

    Args:
        path: the file.
        head: its first `HEAD` bytes.
    """
    if not head.strip():
        return "empty; fetch it again"
    if not head.strip(b"\0"):
        return "filled with zeros, as an interrupted copy is; fetch it again"
    if head.startswith(ZIP_START):
        return _fault_of_zip(path)
    if is_safetensors(head, ""):
        return None
    found = next(((what, do) for place, start, what, do in _SIGNATURES if head.startswith(start, place)), None)
    if found is None and (path.suffix.lower() == ".onnx" or _ONNX.match(head)):
        found = "an ONNX network, made for running it", "give the checkpoint that it was exported from"
    return _not_weights(*(found or _kind_of_text(head, path.suffix)))


def _not_weights(what=None, remedy=""):
    return f"{what}, not weights; {remedy}" if what else None


def _fault_of_zip(path):
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        return "damaged: it is a PyTorch file or a zip archive without its end, cut off on its way; fetch it again"
    if any(name.count("/") == 1 and name.endswith("/data.pkl") for name in names):
        if not any(name.split("/")[1:2] in (["code"], ["constants.pkl"]) for name in names):
            return None
        return _not_weights(
            "a TorchScript archive, which is a program",
            "where you trust it, save its weights alone: torch.save(torch.jit.load(IN).state_dict(), OUT)",
        )
    if any(name.endswith(".npy") for name in names):
        return _not_weights("NumPy arrays (.npz)", _FROM_TORCH)
    if any(name.endswith(".weights.h5") for name in names):
        return _not_weights("a network of Keras", _NO_KERAS)
    return _not_weights(f"a zip archive of {printable(names[0], 60)}" if names else "an empty zip archive", _UNPACK)


def _kind_of_text(head, suffix):
    """(what it is, what to do) of text, which neither torch nor safetensors write, else ()."""
    text = next(filter(None, (_decoded(head, encoding) for encoding in _ENCODINGS)), None)
    if text is None or (suffix.lower() == ".pkl" and text.startswith(_PROTOCOL_0)):
        return ()
    for pattern, what, command in _POINTERS:
        if pattern.match(text):
            return what, f"fetch the file that it stands for with {command}"
    if text.startswith("<"):
        return (
            "a web page (HTML or XML)",
            "its address leads to a page, a login or an error: download the file itself",
        )
    if text.startswith(("{", "[")):
        shard = _SHARD.search(text) if '"weight_map"' in text else None
        if shard:
            return (
                f"the index (JSON) of weights in several files ({printable(shard[1], 100)}, ...)",
                "load each of them, and save their tensors as one file",
            )
        return "JSON", "it may be a server's message or a description: give the file of the weights themselves"
    if re.search(r"https?://\S", text[:2000]):
        return "a text with a link", "give the link itself, or download the file that it leads to"
    return "a text file", "give the file of the weights themselves"


def _decoded(head, encoding):
    """A text, which may end in the middle of a character; None for what is no text in an encoding."""
    if encoding == "utf-16" and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head).replace("\r", "").lstrip()
    except UnicodeDecodeError:
        return None
    return text if is_text(text[:500], multiline=True) else None
