"""Say what a file is that is taken for weights and holds none: a web page, an archive, a pointer to another file."""

import codecs
import re
import zipfile
from pathlib import Path

from maskrcnn_benchmark.utils.text import is_text, printable
from maskrcnn_benchmark.utils.weights.torch_file import ZIP_START

HEAD = 1 << 16
_UNPACK = "unpack it and give the file in it"
# Where a kind's first bytes stand, these bytes, what it is called, and the remedy
_SIGNATURES = (
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer",
        "fetch the file that it stands for with `git lfs pull`, or from the page's download link",
    ),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (0, b"PK\x05\x06", "an empty zip archive", "fetch it again"),
    (257, b"ustar", "a tar archive", _UNPACK),
    (
        0,
        b"\x89HDF\r\n\x1a\n",
        "HDF5, as Keras writes it",
        "its networks have other names and layouts: take a PyTorch file of them",
    ),
    (
        0,
        b"\x93NUMPY",
        "a NumPy array (.npy)",
        "give a PyTorch or safetensors file that names its tensors",
    ),
    (0, b"GGUF", "GGUF, of language models", "take a PyTorch or safetensors file"),
    (0, b"%PDF", "a PDF page", "fetch the file itself"),
)
# Protobuf: the version of ONNX's format, then who wrote it or the network
_ONNX = re.compile(rb"\x08[\x01-\x1f][\x12\x3a]")
_SHARD = re.compile(r'"([\w.-]+\.(?:safetensors|bin|pth|pt))"')
_PROTOCOL_0 = ("(", "c", "]", "}")  # the first characters of a pickle that Python 2 wrote as text


def other_kind(path: Path, head: bytes) -> tuple[str, str] | None:
    """(what a file is, what to do) for one that holds no weights that can be read, None for one that may hold some.

    Args:
        path: the file.
        head: its first `HEAD` bytes.
    """
    if not head.strip():
        return "empty", "fetch it again"
    if not head.strip(b"\0"):
        return "filled with zeros, as an interrupted copy is", "fetch it again"
    for place, start, what, remedy in _SIGNATURES:
        if head.startswith(start, place):
            return what, remedy
    if head.startswith(ZIP_START):
        return _kind_of_zip(path)
    if path.suffix.lower() == ".onnx" or _ONNX.match(head):
        return "an ONNX network, made for running it", "give the checkpoint that it was exported from"
    return _kind_of_text(head, path.suffix)


def _kind_of_zip(path):
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        return "damaged: a PyTorch file or zip archive without its end", "it was cut off on its way, fetch it again"
    if any(name.count("/") == 1 and name.endswith("/data.pkl") for name in names):
        if any(name.count("/") >= 1 and name.split("/")[1] in ("code", "constants.pkl") for name in names):
            return (
                "a TorchScript archive, a program and its weights",
                "where you trust it, save its weights alone: torch.save(torch.jit.load(IN).state_dict(), OUT)",
            )
        return None
    if any(name.endswith(".npy") for name in names):
        return "NumPy arrays (.npz)", "give a PyTorch or safetensors file of these weights"
    if any(name.endswith(".weights.h5") for name in names):
        return "a network of Keras", "its networks have other names and layouts: take a PyTorch file of them"
    first = f" with {printable(names[0], 60)}" if names else ""
    return f"a zip archive{first}", _UNPACK


def _kind_of_text(head, suffix):
    """Of text in UTF-8, which neither torch nor safetensors write."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head).replace("\r", "").lstrip()
    except UnicodeDecodeError:
        return None
    if not is_text(text[:500], multiline=True) or (suffix == ".pkl" and text.startswith(_PROTOCOL_0)):
        return None
    if text.startswith("<"):
        return (
            "a web page (HTML or XML)",
            "its address leads to a page, a login or an error: download the file itself",
        )
    if text.startswith(("{", "[")):
        if '"weight_map"' in text:
            shards = _SHARD.findall(text)
            such = f" ({printable(shards[0], 100)}, ...)" if shards else ""
            return (
                f"the index of a checkpoint in several files{such}",
                "load each of them, and save their tensors as one file",
            )
        return "JSON", "a description or a server's message; give the file of the weights themselves"
    if re.search(r"https?://\S", text[:2000]):
        return "a text with a link", "give the link itself, or download the file that it leads to"
    return "a text file", "give the file of the weights themselves"
