"""Serving the demo: a socket on this machine's own address, a folder that is removed at the end, no call to the net."""

import contextlib
import importlib.util
import ipaddress
import logging
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from maskrcnn_benchmark.data.datasets.mini_detail import write_mini_detail
from maskrcnn_benchmark.demo.session import Demo
from maskrcnn_benchmark.demo.uploads import read_upload
from maskrcnn_benchmark.predict.sources import IMAGE_SUFFIXES
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.visualization.html_page import encoded

logger = logging.getLogger(__name__)

PORTS_TRIED = 50
SAMPLES_SHOWN = 12
SAMPLES_DRAWN = 8
THUMBNAIL = (224, 168)


def check_gradio():
    """Raise `UserError` where gradio is missing."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError('the demo needs gradio; pip install "maskrcnn-benchmark[demo]"')


def serve_demo(predictor, host="127.0.0.1", port=7860, samples="", most_pixels=None, ready=print):
    """Serve the demo of a `Predictor` until the process is asked to stop.

    Args:
        host: the address to listen on; any but this machine's own lets others in.
        port: the first port to try; 0 takes any.
        samples: a folder of images to pick from; "" draws a few of the embedded data set.
        most_pixels: of an upload; None has the usual limit.
        ready: function called with lines for the user, the last of which names the address.

    Raises:
        UserError: gradio is missing, no port is free, or a folder holds no image.
    """
    check_gradio()
    with _own_folder() as folder, contextlib.closing(listening_socket(host, port)) as listener:
        limits = {} if most_pixels is None else {"most_pixels": most_pixels}
        demo = Demo(predictor, sample_files(samples, folder), **limits)
        app = build_app(demo, local=_is_local(host))
        found = listener.getsockname()[1]
        if port not in (0, found):
            ready(f"port {port} is taken, so {found} is used")
        if not _is_local(host):
            ready(f"listening on {host}: whoever can reach this machine can use the demo")
        shown_host = f"[{host}]" if ":" in host else host
        # Before anybody knows the address. A stop signal is raised again once the server is down: as an exception, so
        # that the folder is removed
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        ready(f"the demo is at http://{shown_host}:{found}/ until Ctrl-C")
        _run(app, listener)


def listening_socket(host, port):
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


def sample_files(folder, scratch):
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


def thumbnails(demo):
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


def build_app(demo, local=True):
    """The ASGI application of a `Demo`: gradio's page, and the files to download.

    Args:
        local: answer only browsers that address this machine by one of its own names, so that no page of the net can
            reach the demo through a name that it points here.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import gradio
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from maskrcnn_benchmark.demo.downloads import add_downloads
    from maskrcnn_benchmark.demo.page import Page
    from maskrcnn_benchmark.demo.style import head

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if local:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "::1", "[::1]"])
    add_downloads(app, demo)
    font = ("system-ui", "sans-serif")
    return gradio.mount_gradio_app(
        app,
        Page(demo, thumbnails(demo)).blocks,
        path="/",
        theme=gradio.themes.Base(primary_hue="blue", font=font, font_mono=("ui-monospace", "monospace")),
        head=head(demo.most_bytes),
        max_file_size=demo.most_bytes,
        footer_links=[],
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=False,
    )


@contextlib.contextmanager
def _own_folder():
    """A folder for all that the demo writes, uploads included, removed when the process ends in any orderly way."""
    before = tempfile.tempdir, os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="maskrcnn-benchmark-demo-") as folder:
        tempfile.tempdir = os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield folder
        finally:
            tempfile.tempdir = before[0]
            os.environ.pop("GRADIO_TEMP_DIR")
            if before[1] is not None:
                os.environ["GRADIO_TEMP_DIR"] = before[1]


def _run(app, listener):
    import uvicorn

    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1, access_log=False)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _is_local(host):
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
