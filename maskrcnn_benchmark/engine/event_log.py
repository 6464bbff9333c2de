"""TensorBoard's log of scalars, written by the training itself, which goes on where the disk takes no more of it."""

import io
import itertools
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from maskrcnn_benchmark.utils.log_file import LogFile

_numbers = itertools.count()  # of the logs of this process: those of one second are read in this order


class EventLog:
    """A file of events in a folder that TensorBoard reads.

    No thread writes it, as those of `SummaryWriter` do, which end the training by an error of the disk at some later
    call. A disk that takes no more is one warning, and each report tries again.

    Args:
        folder: where to; it is made with the first report.
        purge_step: earlier files' points from this iteration on are hidden; None hides nothing.
    """

    def __init__(self, folder: str | os.PathLike, purge_step: int | None = None) -> None:
        self._purge_step = purge_step
        # the name by which TensorBoard knows such files, and the order to read them in
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._file = LogFile(Path(folder) / name, "report")
        self._is_begun = False

    def add(self, values: Mapping[str, float], iteration: int) -> None:
        """Write a report: {name: number} at an iteration."""
        # imported here: it takes a while that no other tool should wait for
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        points = [Summary.Value(tag=name, simple_value=float(value)) for name, value in values.items()]
        events = [] if self._is_begun else self._beginning()
        events.append(Event(wall_time=time.time(), step=int(iteration), summary=Summary(value=points)))
        self._is_begun |= self._file.append(_records(events))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _beginning(self):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        version = Event(wall_time=time.time(), file_version="brain.Event:2")
        if self._purge_step is None:
            return [version]
        start = SessionLog(status=SessionLog.START)
        return [version, Event(wall_time=time.time(), step=self._purge_step, session_log=start)]


def _records(events):
    """Events as the bytes of a file."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    data = io.BytesIO()
    writer = RecordWriter(data)
    for event in events:
        writer.write(event.SerializeToString())
    return data.getvalue()
