"""PASCAL in Detail at its full size: preparing, opening, reading and sampling it, beside parsing the whole JSON."""

import shutil
import tempfile
from contextlib import nullcontext
from pathlib import Path

from tqdm import tqdm

from benchmarks.dataset_processes import (
    BATCH_IMAGES,
    BATCH_SIZE,
    SET,
    batch_sizes,
    load_plainly,
    loader_throughput,
    measure_worker,
    prepare_set,
    split_sample,
    time_opening,
)
from benchmarks.full_size import write_full_size
from benchmarks.memory import in_fresh_process
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import mkdir

WORKERS = (0, 1, 2)  # of the loaders whose throughput is measured


def measure(args):
    """Measure each step in a fresh process. Returns the dictionary."""
    _check(args)
    if args.folder:
        mkdir(args.folder)
    with nullcontext(args.folder) if args.folder else tempfile.TemporaryDirectory() as root:
        folder = _lay_out(Path(root).absolute(), args)
        result = _measure_steps(folder, args)
        result["json_mb"] = (folder / "annotations.json").stat().st_size / 1e6
    print(format_figures(result))
    return result


def _check(args):
    if bool(args.annotations) != bool(args.images):
        raise UserError("--annotations FILE and --images DIR belong together; give both or neither")
    for path, kind in ((args.annotations, Path.is_file), (args.images, Path.is_dir)):
        if path and not kind(Path(path)):
            raise UserError(f"{path} is not there")


def _lay_out(root, args):
    """The folder root/SET with annotations.json, images and no index: made, or linked to what there is."""
    folder = root / SET
    if not args.annotations:
        write_full_size(folder, args.full_size)
    else:
        mkdir(folder)
        for name, source in (("annotations.json", args.annotations), ("images", args.images)):
            link = folder / name
            if link.exists() and not link.is_symlink():
                raise UserError(f"{link} is there already; choose another --folder")
            link.unlink(missing_ok=True)
            link.symlink_to(Path(source).absolute())
    for index in folder.glob("*.sqlite*"):  # of an earlier measurement
        index.unlink() if index.is_file() else shutil.rmtree(index)
    return folder


def _measure_steps(folder, args):
    steps = tqdm(total=6 + len(WORKERS), desc="steps", unit="step", disable=None)

    def run(function, *arguments, watch=False):
        found = in_fresh_process(function, folder, *arguments, watch=watch)
        steps.update()
        return found

    prepare_seconds, prepare_peak = run(prepare_set, args.workers, watch=True)
    opening = run(time_opening)
    worker = run(measure_worker, args.read)
    sample = run(split_sample, args.rounds, args.warmup, args.samples)
    batch = run(batch_sizes)
    throughput = {str(number): run(loader_throughput, number, args.loaded) for number in WORKERS}
    plain = run(load_plainly)
    steps.close()
    return {
        "prepare_seconds": prepare_seconds,
        "prepare_peak_mib": prepare_peak,
        "open_seconds": opening["seconds"],
        "open_mib": opening["mib"],
        "worker_mib": worker,
        "sample_ms": sample["total"],
        "json_load_seconds": plain["seconds"],
        "json_load_mib": plain["mib"],
        "sample_split_ms": sample["split"],
        "heads_ms": sample["later"],
        "sample_images": sample["images"],
        "sample_instances": sample["instances"],
        **batch,
        **{f"loader_images_per_second_{number}": speed for number, speed in throughput.items()},
        "loader_scaling_2": throughput["2"] / throughput["0"],
        "images": opening["images"],
        "read_images": args.read,
        "prepare_workers": args.workers,
    }


def format_figures(result):
    """The table of everything that was measured."""
    split = ", ".join(f"{stage} {milliseconds:.1f}" for stage, milliseconds in result["sample_split_ms"].items())
    loaders = ", ".join(f"{number}: {result[f'loader_images_per_second_{number}']:.1f}" for number in WORKERS)
    batch = f"of a batch of {BATCH_IMAGES} images of {BATCH_SIZE[1]}x{BATCH_SIZE[0]}, all tasks"
    rows = [
        ("prepare", f"{result['prepare_seconds']:.1f} s", f"{result['prepare_workers']} workers"),
        ("prepare, peak memory", f"{result['prepare_peak_mib']:.0f} MiB", "all processes, libraries included"),
        ("open", f"{result['open_seconds']:.3f} s", f"{result['images']} images"),
        ("open, memory", f"{result['open_mib']:.1f} MiB", "beyond the imports"),
        ("worker, own memory", f"{result['worker_mib']:.1f} MiB", f"after {result['read_images']} images"),
        ("json.load and dictionaries", f"{result['json_load_seconds']:.1f} s", f"{result['json_mb']:.0f} MB of JSON"),
        ("json.load, memory", f"{result['json_load_mib']:.0f} MiB", "in every process"),
        ("sample", f"{result['sample_ms']:.1f} ms", split),
        ("targets in the heads", f"{result['heads_ms']:.1f} ms", "of a training step on the CPU, after the sample"),
        ("images on their way", f"{result['image_mib']:.1f} MiB", batch),
        ("targets on their way", f"{result['target_mib']:.1f} MiB", batch),
        ("loader", "images/s", f"by workers, {loaders}; one thread each, without workers, too"),
        ("loader, two workers to none", f"{result['loader_scaling_2']:.2f}", "times as many images"),
    ]
    return "\n".join(f"{what:28}{figure:>12}  {remark}" for what, figure, remark in rows)
