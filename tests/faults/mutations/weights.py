"""Damaged weights of other libraries and bare ones, loaded to begin a training; odd addresses of weights."""

import copy
import pickle

from fuzzing import damage_bytes, odd_value, short

from faults.mutations.attempt import Attempt, mutation_class
from faults.mutations.checkpoints import odd_tensor

_model = []

ADDRESSES = (
    *("http://[::1", "http://", "http:///x", "ftp://localhost/x.pth", "file://elsewhere/x.pth", "file:///etc/passwd"),
    *(
        "http://localhost:99999/x.pth",
        "http://localhost:-1/x",
        "http://localhost:x/x.pth",
        "https://\0/x",
        "://",
        "x://",
    ),
    *(
        "http://localhost/" + "x" * 5000,
        "catalog://",
        "catalog://nothing",
        "catalog://../x",
        "detectron2://",
        "http://é/x",
    ),
    *("http://127.0.0.1:1/x.pth", "HTTP://127.0.0.1:1/x.pth", "file://", "file://localhost/nothing", "http://a b/c"),
    *("gopher://x/y", "data:text/plain,x", "http://user:pass@127.0.0.1:1/x.pth", "http://127.0.0.1:1/..%2f..%2fx"),
)


def warm(workplace):
    """Build the network that takes the weights."""
    import torch

    from maskrcnn_benchmark.predict.trained_network import load_network

    network = load_network(workplace.checkpoint, device="cpu")
    _model.append((network.model, network.cfg, torch.load(workplace.checkpoint, weights_only=True)["model"]))


def weights(case):
    """A file of weights: ours, bare or as arrays, or with the names of Detectron, torchvision or detectron2."""
    import torch

    from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer

    model, cfg, state = _model[0]
    model = copy.deepcopy(model)
    random = case.random
    layout = random.choice(("bare", "model", "blobs", "torchvision", "detectron2"))
    suffix = "pkl" if layout == "blobs" else "pth"
    path = case.out / f"weights.{suffix}"
    tree = _tree_of(layout, state)
    holder = tree.get("model") or tree.get("blobs") or tree
    kind = random.random()
    words = ""
    if kind < 0.6:
        name = random.choice(sorted(holder))
        if random.random() < 0.6:
            tensor, words = odd_tensor(random, torch.as_tensor(holder[name]))
            holder[name] = tensor.numpy() if layout == "blobs" else tensor
            words = f"{name} {words}"
        elif random.random() < 0.5:
            holder[name] = odd_value(random)
            words = f"{name} = {short(holder[name])}"
        else:
            holder[random.choice((1, None, (1, 2), "", "x" * 5000, "\0", "module."))] = holder.pop(name)
            words = f"{name} under an odd name"
    if suffix == "pkl":
        path.write_bytes(pickle.dumps(tree, 2))
    else:
        torch.save(tree, path)
    if kind >= 0.6:
        data, words = damage_bytes(random, path.read_bytes())
        path.write_bytes(data)

    def door():
        DetectronCheckpointer(cfg, model, save_dir="").load(str(path), use_latest=False, only_weights=True)
        if any(not value.isfinite().all() for value in model.state_dict().values() if value.is_floating_point()):
            return ["weights that are not finite are silently taken"]
        return []

    return Attempt(f"{layout}: {words}", door, (path.name,))


def _tree_of(layout, state):
    """A few tensors in the form that a library writes."""
    if layout == "bare":
        return dict(state)
    if layout == "model":
        return {"model": dict(state), "iteration": 3}
    few = {name: value for name, value in state.items() if "backbone.body" in name and value.dim() > 0}
    if layout == "blobs":
        blobs = {"conv1_w": state["backbone.body.stem.conv1.weight"].numpy()}
        for number, value in enumerate(few.values()):
            blobs[f"res{2 + number % 4}_{number % 3}_branch2{'abc'[number % 3]}_{'wb'[number % 2]}"] = value.numpy()
        return {"blobs": blobs}
    if layout == "torchvision":
        renamed = {name.replace("backbone.body.", "").replace("stem.", ""): value for name, value in few.items()}
        return {
            "conv1.weight": state["backbone.body.stem.conv1.weight"],
            **renamed,
            "fc.weight": state["backbone.body.stem.conv1.weight"],
        }
    renamed = {
        name.replace("backbone.body.", "backbone.bottom_up.").replace("layer", "res"): value
        for name, value in few.items()
    }
    return {"model": renamed}


def address(case):
    """An address of weights that nothing good can come of."""
    from maskrcnn_benchmark.utils.model_zoo import local_file
    from maskrcnn_benchmark.utils.weights import download

    download.RETRY_DELAYS = (0, 0)
    text = case.random.choice(ADDRESSES)
    if case.random.random() < 0.3:
        data, _ = damage_bytes(case.random, text.encode())
        text = data.decode(errors="replace")
        if "://" in text and "127.0.0.1" not in text and "localhost" not in text:
            text = "http://127.0.0.1:1/" + text  # nothing is to be asked for outside this machine

    def door():
        found = local_file(text)
        with open(found, "rb"):
            pass

    def missing_is_fine():
        try:
            door()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return []  # it is a path, which whoever reads it checks
        except OSError as error:
            return [] if "://" not in text else [f"{type(error).__name__}: {error}"]
        except ValueError as error:
            return [] if "://" not in text or text.startswith("file://") else [f"{type(error).__name__}: {error}"]

    return Attempt(text[:80], missing_is_fine, ())


CLASSES = [mutation_class("weights", 400, weights, warm=warm), mutation_class("addresses", 60, address)]
