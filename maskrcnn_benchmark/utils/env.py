"""Settings of the whole process, made before anything else runs."""

import os

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file

CUSTOM_MODULE_VARIABLE = "TORCH_DETECTRON_ENV_MODULE"


def setup_environment() -> None:
    """Run the `setup_environment()` of the Python file that TORCH_DETECTRON_ENV_MODULE names, if it names one."""
    path = os.environ.get(CUSTOM_MODULE_VARIABLE)
    if not path:
        return
    # importable: what a worker sends may hold the file's own classes, which are pickled by the name of their module
    module = import_file("maskrcnn_benchmark.utils.env.custom_module", path, make_importable=True)
    if not callable(getattr(module, "setup_environment", None)):
        raise UserError(f"{path}, named by {CUSTOM_MODULE_VARIABLE}, has no function setup_environment()")
    module.setup_environment()
