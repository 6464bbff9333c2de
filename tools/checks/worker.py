"""The process that stages run in: one after the other, until one of them fails."""

import contextlib
import faulthandler
import gc
import multiprocessing
import os
import pkgutil
import signal
import sys
import threading
import traceback
from multiprocessing.connection import wait

import torch
from tqdm import tqdm

from checks.stage import Findings, Skipped, describe
from maskrcnn_benchmark.utils.precision import set_float32_precision as use_tf32

READY, ROW, DONE, SKIPPED, RAISED = "ready", "row", "done", "skipped", "raised"
SHOW_STACKS = signal.SIGUSR1


def work(connection, device, log):
    """Run stages as they come over a connection, and send what they find: pairs of one of the words above and a value.

    The process is a group of its own, so that it can be ended with all that it started. It leaves interruptions to its
    parent and does not outlive it. What it writes goes to a file, from libraries in C, too; on `SHOW_STACKS` the stack
    of each thread does.

    Args:
        connection: of a `multiprocessing.Pipe`; brings pairs (`Stage`, `Setting`).
        device: "cpu" or "cuda:N", made the current one.
        log: path of the file.
    """
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _write_to(log)
    faulthandler.enable()
    faulthandler.register(SHOW_STACKS, all_threads=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tqdm.set_lock(threading.RLock())  # its own is shared by processes, and one that is ended would leave it behind
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    connection.send((READY, None))
    with contextlib.suppress(EOFError):  # the parent has no further stage
        while True:
            stage, setting = connection.recv()
            connection.send(_run(stage, setting, lambda row: connection.send((ROW, row))))


def _run(stage, setting, send):
    torch.manual_seed(0)
    use_tf32(False)
    try:
        pkgutil.resolve_name(stage.check)(setting, Findings(send))
        if setting.on_cuda:
            torch.cuda.synchronize()  # an error of a kernel is raised at the next wait, which should be this stage's
    except Skipped as reason:
        return SKIPPED, str(reason)
    except Exception as error:
        return RAISED, (describe(error), traceback.format_exc())
    finally:
        gc.collect()
    if setting.on_cuda:
        torch.cuda.empty_cache()
    return DONE, None


def _write_to(log):
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _end_with_parent():
    wait([multiprocessing.parent_process().sentinel])
    os.killpg(os.getpgid(0), signal.SIGKILL)
