"""The demo's page: gradio's components around `session.Demo`."""

import logging
from collections.abc import Callable, Iterable

import gradio as gr

from maskrcnn_benchmark.demo import markup
from maskrcnn_benchmark.demo.inbox import Inbox
from maskrcnn_benchmark.demo.session import Demo
from maskrcnn_benchmark.demo.style import SAMPLES_SCRIPT, upload_script
from maskrcnn_benchmark.demo.uploads import read_upload
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError

logger = logging.getLogger(__name__)

MOST_WAITING = 64  # events of all users
MOST_SESSIONS = 256  # whose page gradio remembers
READERS = 3  # images at a time that are read; the network takes them one by one, a slow file must not stop the others


class Page:
    """Builds the page of a `Demo`: `blocks` are what gradio serves.

    Args:
        demo: the `Demo`.
        inbox: the `Inbox` of uploads.
        reader: the `Reader` of uploads.
        thumbnails: list of (name, JPEG bytes) of the samples.
    """

    def __init__(self, demo: Demo, inbox: Inbox, reader: Callable, thumbnails: Iterable[tuple[str, bytes]]) -> None:
        self.demo = demo
        self._inbox = inbox
        self._reader = reader
        self._versions = 0
        with gr.Blocks(
            title="One network, many tasks",
            analytics_enabled=False,
            fill_width=True,
        ) as self.blocks:
            gr.HTML(markup.header(demo.predictor.network, demo.tasks), apply_default_css=False)
            with gr.Row(elem_id="columns"):
                with gr.Column(elem_id="controls", scale=0, min_width=370):
                    self._build_controls(thumbnails)
                with gr.Column(elem_id="answers", scale=1, min_width=320):
                    self._build_predictions()
            self._connect()
        self.blocks.queue(max_size=MOST_WAITING, api_open=False)
        self.blocks.state_session_capacity = MOST_SESSIONS
        # gradio's check that a request names no file but an upload waits for this, which mounting does not set
        self.blocks.has_launched = True

    @property
    def events(self) -> dict[int, int]:
        """{number of an event: how many values the page sends with it}."""
        return {number: len(event.inputs) for number, event in self.blocks.fns.items()}

    def _build_controls(self, thumbnails):
        self.upload = gr.HTML(
            markup.upload(), elem_id="upload", apply_default_css=False, js_on_load=upload_script(self.demo.most_bytes)
        )
        self.samples = gr.HTML(
            markup.samples(thumbnails), elem_id="samples", apply_default_css=False, js_on_load=SAMPLES_SCRIPT
        )
        self.switches, self.sliders = [], []
        with gr.Column(elem_id="tasks"):
            gr.HTML("<h2>Tasks and thresholds</h2>", apply_default_css=False)
            for task in self.demo.tasks:
                self._build_task(TASKS[task])
        layouts = self.demo.layouts
        self.layout = gr.Radio(layouts, value=layouts[0], label="Layout", visible=len(layouts) > 1, elem_id="layout")

    def _build_task(self, task):
        threshold = self.demo.predictor.thresholds[task.key]
        with gr.Row(elem_classes="task"):
            self.switches.append(
                gr.Checkbox(True, label=task.title, container=False, min_width=130, elem_id=f"switch-{task.key}")
            )
            self.sliders.append(
                gr.Slider(
                    0,
                    1,
                    threshold,
                    step=0.01,
                    label=f"threshold of {task.title}",
                    show_label=False,
                    container=False,
                    min_width=130,
                    buttons=[],
                    elem_id=f"threshold-{task.key}",
                    visible=self.demo.has_threshold(task.key),
                )
            )

    def _build_predictions(self):
        self.token = gr.State(None, delete_callback=self.demo.kept.drop)
        self.message = gr.HTML("", elem_id="message", apply_default_css=False)
        self.summary = gr.HTML("", elem_id="summary", apply_default_css=False)
        self.pictures = gr.HTML(markup.welcome(), elem_id="pictures", apply_default_css=False)
        self.tables = gr.HTML("", elem_id="tables", apply_default_css=False)

    def _connect(self):
        """Tie events to functions: a few images at a time to predict on, one drawing at a time beside them."""
        shown = [self.message, self.summary, self.pictures, self.tables]
        view = [*self.switches, *self.sliders, self.layout]
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        network = {"concurrency_id": "network", "concurrency_limit": READERS, "api_visibility": "private"}
        self.upload.upload(
            self._on_upload,
            [self.token, *view],
            [self.token, *shown],
            show_progress_on=self.pictures,
            trigger_mode="always_last",
            **network,
        )
        self.samples.click(
            self._on_sample, [self.token, *view], [self.token, *shown], show_progress_on=self.pictures, **network
        )
        for control in view:
            control.input(
                self._on_change,
                [self.token, *view],
                shown,
                trigger_mode="always_last",
                concurrency_id="drawing",
                concurrency_limit=1,
                **quiet,
            )

    def _on_upload(self, event: gr.EventData, request: gr.Request, token, *controls):
        session = request.request.scope["state"]["session"]  # type: ignore[union-attr]
        try:
            with self._inbox.taken(session, getattr(event, "key", None)) as path:
                return self._predicted(path, token, controls, self._reader)
        except UserError as error:
            return [token, *self._after_error(error)]

    def _on_sample(self, event: gr.EventData, token, *controls):
        try:
            path = self.demo.sample(getattr(event, "index", None))
        except UserError as error:
            return [token, *self._after_error(error)]
        return self._predicted(path, token, controls, read_upload)

    def _on_change(self, token, *controls):
        if token is None:
            return [gr.skip()] * 4
        try:
            return self._drawn(token, controls)
        except Exception as error:  # as below
            return self._after_error(error)

    def _predicted(self, path, token, controls, read):
        """[token, what is shown]: of the new image, or of the old one below a sentence about what went wrong."""
        try:
            new = self.demo.predict(path, read)
            drawn = self._drawn(new, controls)
        except Exception as error:  # whatever it is, the page must live on, and the terminal says where it went wrong
            return [token, *self._after_error(error)]
        if token is not None:
            self.demo.kept.drop(token)
        return [new, *drawn]

    def _drawn(self, token, controls):
        """HTML of message, summary, pictures and tables."""
        shown = self.demo.kept.get(token)
        count = len(self.demo.tasks)
        view = shown.view = self.demo.view(controls[:count], controls[count:-1], controls[-1])
        self._versions += 1
        vocabulary = shown.predicted.vocabulary
        panels, objects, labels = shown.panels(view), shown.objects(view), shown.labels(view)
        tables = (
            markup.downloads(token, self._versions)
            + '<div class="tables">'
            + markup.objects_table(objects if "detection" in view.tasks else None, vocabulary)
            + markup.labels_table(labels if "classification" in view.tasks else None, vocabulary)
            + "</div>"
        )
        return [
            markup.message(" ".join(shown.notes), "note"),
            markup.summary(shown, self.demo.passes),
            markup.pictures(panels, markup.describe(shown, view)),
            tables,
        ]

    def _after_error(self, error):
        """A sentence; what is shown stays."""
        sentence = str(error)
        if not isinstance(error, UserError):
            logger.error("an image failed", exc_info=error)
            sentence = f"The network failed on this image ({type(error).__name__}); the terminal of the demo says more."
        return [markup.message(sentence), gr.skip(), gr.skip(), gr.skip()]
