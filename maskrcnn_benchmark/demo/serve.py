"""Serving the demo: a socket on this machine's own address, a folder that is removed at the end, no call to the net."""

import contextlib
import importlib.util
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.demo.access import Access, access_for
from maskrcnn_benchmark.demo.reader import Reader
from maskrcnn_benchmark.demo.session import Demo
from maskrcnn_benchmark.demo.uploads import read_upload
from maskrcnn_benchmark.predict.sources import IMAGE_SUFFIXES
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.stop_signals import handled_by, heard, set_handlers
from maskrcnn_benchmark.visualization.html_page import encoded

if TYPE_CHECKING:
    from maskrcnn_benchmark.demo.guard import Guard
    from maskrcnn_benchmark.predict.predictor import Predictor

logger = logging.getLogger(__name__)

PORTS_TRIED = 50
SAMPLES_SHOWN = 12
SAMPLES_DRAWN = 8
THUMBNAIL = (224, 168)
MOST_CONNECTIONS = 256  # beyond them requests are refused; an open page holds one or two
GRACE = 3  # seconds for requests at work to end, after a stop signal


def check_gradio() -> None:
    """Raise `UserError` where gradio is missing."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError('the demo needs gradio; pip install "maskrcnn-benchmark[demo]"')


def serve_demo(
    predictor: "Predictor",
    host: str = "127.0.0.1",
    port: int = 7860,
    samples: str = "",
    most_pixels: int | None = None,
    ready: Callable[[str], Any] = print,
    access: Access | None = None,
) -> None:
    """Serve the demo of a `Predictor` until SIGINT, SIGTERM or SIGHUP; to be called in the main thread.

    A request that is at work then has `GRACE` seconds to end; where it does not, the process is left with code 0.

    Args:
        host: the address to listen on; any but this machine's own lets others in.
        port: the first port to try; 0 takes any.
        samples: a folder of images to pick from; "" draws a few of the embedded data set.
        most_pixels: of an upload; None has the usual limit.
        ready: function called with lines for the user, the last of which names the address.
        access: an `Access`, who is let in; None is `access_for(host)`, which draws a token.

    Raises:
        UserError: gradio is missing, no port is free, or a folder holds no image.
    """
    check_gradio()
    access = access or access_for(host)
    server = None
    with _until_stopped(), _own_folder() as folder, contextlib.closing(listening_socket(host, port)) as listener:
        limits = {} if most_pixels is None else {"most_pixels": most_pixels}
        demo = Demo(predictor, sample_files(samples, folder), **limits)
        with contextlib.closing(Reader()) as reader:
            app = build_app(demo, access, Path(folder) / "uploads", reader)
            found = listener.getsockname()[1]
            if port not in (0, found):
                ready(f"port {port} is taken, so {found} is used")
            if not access.is_local:
                whoever = "whoever has the link" if access.token else "whoever can reach this machine"
                ready(f"listening on {host}: {whoever} can use the demo")
            server = _Server(app, listener)
            with contextlib.closing(server):
                ready(f"the demo is at {access.link(host, found)} until Ctrl-C")
                server.run()
    if server is not None and server.is_at_work():  # one of its threads is in the network, and would be waited for
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket at `port` or, if that is taken, one of the next."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reason = "it is taken"
    for candidate in range(port, port + PORTS_TRIED if port else 1):
        if candidate > 65535:
            break
        listener = socket.socket(family, socket.SOCK_STREAM)
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen()
            return listener
        except OSError as error:
            listener.close()
            reason = error.strerror or str(error)
    raise UserError(f"{host} has no port from {port} on to listen on ({reason}); choose others with --host and --port")


def sample_files(folder: str | os.PathLike, scratch: str | os.PathLike) -> list[Path]:
    """Paths of the samples: images of a folder or, without one, a few that are drawn into `scratch`."""
    if not folder:
        drawn = write_mini_detail(Path(scratch) / "samples", num_train=0, num_val=SAMPLES_DRAWN)
        return sorted((drawn / "images").iterdir())
    if not Path(folder).is_dir():
        raise UserError(f"--samples {folder}: no such folder")
    files = [path for path in sorted(Path(folder).iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise UserError(f"--samples {folder}: no image ({', '.join(IMAGE_SUFFIXES)}) in it")
    return files[:SAMPLES_SHOWN]


def thumbnails(demo: Demo) -> list[tuple[str, bytes]]:
    """[(name, JPEG bytes)] of a demo's samples; one that cannot be read is said and left out of them."""
    found, good = [], []
    for path in demo.samples:
        try:
            upload = read_upload(path, demo.most_pixels, demo.most_bytes)
        except UserError as error:
            logger.warning("sample left out: %s", error)
            continue
        upload.image.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
        found.append((upload.name, encoded(np.asarray(upload.image), "JPEG")))
        good.append(path)
    demo.samples = good
    return found


def build_app(demo: Demo, access: Access, folder: Path, reader: Callable) -> "Guard":
    """The ASGI application of a `Demo`: gradio's page, uploads and the files to download, behind a `Guard`.

    Args:
        access: an `Access`, who is let in.
        folder: where uploads wait.
        reader: reads uploads, such as a `Reader`.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import gradio
    from fastapi import FastAPI

    from maskrcnn_benchmark.demo.downloads import add_downloads
    from maskrcnn_benchmark.demo.guard import Guard
    from maskrcnn_benchmark.demo.inbox import Inbox, add_inbox
    from maskrcnn_benchmark.demo.page import Page
    from maskrcnn_benchmark.demo.style import head

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    inbox = Inbox(folder, demo.most_bytes)
    add_downloads(app, demo)
    add_inbox(app, inbox)
    page = Page(demo, inbox, reader, thumbnails(demo))
    font = ("system-ui", "sans-serif")
    gradio.mount_gradio_app(
        app,
        page.blocks,
        path="/",
        theme=gradio.themes.Base(primary_hue="blue", font=font, font_mono=("ui-monospace", "monospace")),
        head=head(),
        max_file_size=0,  # uploads do not go its way
        root_path=access.public_url or None,
        footer_links=[],
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=False,
    )
    return Guard(app, access, page.events)


@contextlib.contextmanager
def _own_folder():
    """A folder for all that the demo writes, uploads included, removed when the process ends in any orderly way."""
    before = tempfile.tempdir, os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="maskrcnn-benchmark-demo-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        os.environ["GRADIO_TEMP_DIR"] = os.path.join(folder, "gradio")
        try:
            yield folder
        finally:
            tempfile.tempdir = before[0]
            os.environ.pop("GRADIO_TEMP_DIR")
            if before[1] is not None:
                os.environ["GRADIO_TEMP_DIR"] = before[1]


class _Server:
    """A web server in a thread of its own, so that this one hears signals whatever a request does."""

    def __init__(self, app: Callable, listener: socket.socket) -> None:
        import uvicorn

        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._listener = listener
        # Not `Thread.join`: an exception of a signal's handler that arrives in it marks the thread as ended
        self._ended = threading.Event()
        self._others = set(threading.enumerate())

    def run(self) -> None:
        """Serve until an exception, such as that of a signal, ends it."""
        threading.Thread(target=self._serve, name="web server").start()
        while not self._ended.wait(1):
            pass
        raise RuntimeError("the web server ended by itself")

    def close(self) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it would tell of each page that is open
        self._server.should_exit = True
        end = time.monotonic() + GRACE
        for thread in self._threads():
            thread.join(max(0, end - time.monotonic()))

    def is_at_work(self) -> bool:
        """Whether a thread of it, of those that Python waits for, did not end."""
        return bool(self._threads())

    def _threads(self):
        return [thread for thread in set(threading.enumerate()) - self._others if not thread.daemon]

    def _serve(self):
        try:
            self._server.run(sockets=[self._listener])
        finally:
            self._ended.set()


class _Stopped(BaseException):
    """A signal asked the demo to end."""


@contextlib.contextmanager
def _until_stopped():
    """Leave the block in good order at the first signal; those after it change nothing. Ignored ones stay ignored."""
    numbers = heard()

    def stop(number, frame):
        set_handlers(dict.fromkeys(numbers, signal.SIG_IGN))
        raise _Stopped

    with contextlib.suppress(_Stopped), handled_by(stop):
        yield
