"""Reading an upload in a process of its own, which is ended when it takes too long or too much memory.

Decoders run outside of Python's reach: in a thread, one that hangs or crashes would take the demo along.
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from PIL import Image

from maskrcnn_benchmark.demo.uploads import MOST_BYTES, MOST_PIXELS, Upload, read_upload
from maskrcnn_benchmark.utils.errors import UserError

logger = logging.getLogger(__name__)

SECONDS = 30  # for an upload; the largest takes some two
MOST_MEMORY = 2 << 30  # bytes of addresses; the largest upload takes about a third of it
_CODE = "from maskrcnn_benchmark.demo.reader import main; main()"


class Reader:
    """Reads uploads as `read_upload` does, each in a process of its own; `close` ends those that are at work.

    Args:
        seconds: longer ones are ended.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._running: set[Any] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    def __call__(self, path: str | os.PathLike, most_pixels: int = MOST_PIXELS, most_bytes: int = MOST_BYTES) -> Upload:
        """The `Upload` of a file. Raises `UserError` as `read_upload`, and for what takes too long or crashes."""
        name = Path(path).name
        with self._started(path, most_pixels, most_bytes) as process:
            try:
                said, trace = process.communicate(timeout=self._seconds)
            except subprocess.TimeoutExpired:
                raise UserError(f"{name} was not read within {self._seconds:g} seconds; save it anew as JPEG") from None
        if process.returncode < 0:
            logger.warning("the reader of an upload was ended by signal %d", -process.returncode)
            raise UserError(f"{name} cannot be read: its decoder was ended by the system; save it anew as JPEG")
        if process.returncode:
            raise RuntimeError(f"the reader of uploads ended with {process.returncode}:\n{trace.decode()}")
        head, _, pixels = said.partition(b"\n")
        head = json.loads(head)
        if "message" in head:
            raise UserError(head["message"])
        return Upload(Image.frombytes("RGB", head["size"], pixels), head["name"], head["notes"])

    def close(self) -> None:
        """End all that are at work, and read nothing any more."""
        with self._lock:
            self._is_closed = True
            for process in self._running:
                process.kill()

    @contextlib.contextmanager
    def _started(self, path, most_pixels, most_bytes):
        # Isolated: the folder of the upload, whose name a stranger chose, is no place to import modules from
        code = f"import sys; sys.path[:] = {[os.path.abspath(each) for each in sys.path]!r}; {_CODE}"
        arguments = [os.path.abspath(path), most_pixels, most_bytes, self._seconds]
        with self._lock:
            if self._is_closed:
                raise UserError("the demo is about to end")
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", code, *map(str, arguments)],
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # its threads' buffers count as memory
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            self._running.add(process)
        with process:
            try:
                yield process
            finally:
                process.kill()
                with self._lock:
                    self._running.discard(process)


def main() -> None:
    """The process: reads the file of its arguments, writes a line of JSON and the pixels of the image, or a message."""
    path, most_pixels, most_bytes, seconds = sys.argv[1:]
    _limit(float(seconds))
    try:
        upload = read_upload(path, int(most_pixels), int(most_bytes))
    except UserError as error:
        head, pixels = dict[str, Any](message=str(error)), b""
    except MemoryError:
        head, pixels = {"message": f"{Path(path).name} takes too much memory; make it smaller"}, b""
    else:
        head = {"size": upload.image.size, "name": upload.name, "notes": upload.notes}
        pixels = upload.image.tobytes()
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + pixels)


def _limit(seconds):
    """Have the system end this process in time, also when nobody waits for it any more, and keep it from writing."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    import signal

    signal.alarm(int(seconds) + 1)
    if sys.platform != "darwin":  # where a process begins with more addresses than that, and the call is refused
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
