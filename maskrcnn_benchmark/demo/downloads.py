"""The files that a user of the demo can take away: the picture as PNG, the predictions as JSON."""

import io
import re

from fastapi import FastAPI, HTTPException
from fastapi.responses import Response

from maskrcnn_benchmark.demo.session import Demo
from maskrcnn_benchmark.utils.errors import UserError


def add_downloads(app: FastAPI, demo: Demo) -> None:
    """Give a FastAPI application the two addresses that `markup.downloads` links to.

    A token, which only the user's own page knows, stands for an image; nothing else can be asked for.
    """

    @app.get("/answers/{token}/picture.png")
    def picture(token: str):
        shown = _shown(demo, token)
        buffer = io.BytesIO()
        shown.picture(shown.view).save(buffer, "PNG", compress_level=3)
        return _file(buffer.getvalue(), "image/png", f"{_safe(shown.predicted.name)}.png")

    @app.get("/answers/{token}/answers.json")
    def predictions(token: str):
        shown = _shown(demo, token)
        return _file(shown.json(), "application/json", f"{_safe(shown.predicted.name)}.json")


def _shown(demo, token):
    try:
        return demo.kept.get(token)
    except UserError as error:
        raise HTTPException(404, str(error)) from None


def _file(content, kind, name):
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(content, media_type=kind, headers=headers)


def _safe(name):
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:80] or "image"
