"""Networks by name, file or run."""

import importlib.resources
from pathlib import Path

import torch

from selfvos.api.hub import SCHEME, fetch, push
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights import WeightsNotes, load_weights, network_digest
from selfvos.training.checkpoint import latest_checkpoint
from selfvos.training.fit import WEIGHTS

BUILT_IN = {
    "default": "the weights that ship with the package",
    "twin": "the same and a second encoder, matched as one: better, for twice the time of `best`",
    "random-resnet18": "an untrained ResNet-18 to layer3: what any training has to beat",
    "lab-patches": "raw Lab colour: what any learning has to beat",
}
_SHIPPED = ("default", "twin")
_ASSETS = importlib.resources.files("selfvos.models") / "assets"


def load(weights: str | Path = "default", *, device: str = "auto") -> Segmenter:
    """Load a network, ready to track.

    Args:
        weights: A built-in name (`BUILT_IN`), a ``.safetensors`` file that selfvos wrote, the folder of a run
            (its final weights, or those of its latest checkpoint), or ``hf://org/name`` on the Hugging Face Hub.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.

    Raises:
        UsageError: No such name, file or device; or nothing at that address.
        MissingExtra: The address is on a hub whose package is not installed.
        ResourceError: The hub cannot be reached.
        WeightsMismatch: Damaged weights, or of another architecture.
    """
    model = _network(weights).to(pick_device(device)).eval()
    model.name = str(weights)
    return model


def weights_digest(model: Segmenter) -> str:
    """Return the SHA-256 over the tensors of a network: equal weights have equal ones, in whatever file."""
    return network_digest(model)


def pick_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``mps`` into a device.

    Raises:
        UsageError: This machine has no such device.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in present.items() if there))
    kind = name.partition(":")[0]
    if not present.get(kind, False):
        have = ", ".join(kind for kind, there in present.items() if there)
        raise UsageError(f"no device {name!r} here; this machine has {have}")
    return torch.device(name)


def weights_file(weights: str | Path) -> Path:
    """Return the file of weights that have one: ``default``, ``twin``, a file, a run, or an address of a hub.

    Raises:
        UsageError: No such weights, or ones that are made when they are loaded.
        MissingExtra, ResourceError: As `load`.
    """
    if weights in _SHIPPED:
        return Path(str(_ASSETS / f"{weights}.safetensors"))
    if str(weights).startswith(SCHEME):
        return fetch(str(weights))
    path = Path(weights)
    if path.is_dir():
        return _run_weights(path)
    if weights in BUILT_IN:
        raise UsageError(f"{weights} is not kept in a file; name a .safetensors file or a run's folder")
    if not path.exists() and path.suffix != ".safetensors":
        raise UsageError(f"no weights called {weights!r}; give a file, a run's folder, or one of {', '.join(BUILT_IN)}")
    return path


def push_weights(weights: str | Path, address: str, *, private: bool = False, license: str | None = None) -> str:
    """Send weights, with a model card made from their notes, to the Hugging Face Hub; see `selfvos.api.hub.push`.

    Args:
        weights: As `load`.
        address: ``hf://org/name``, or ``hf://org/name@branch``.
        private: Make a new repository one that only its owner sees.
        license: Under which licence they are, as the hub spells it (``apache-2.0``).

    Returns:
        The address of the page.

    Raises:
        UsageError: No such weights or address, or the hub does not take them from this token.
        MissingExtra, ResourceError: As `load`.
    """
    return push(weights_file(weights), address, private=private, license=license)


def _network(weights: str | Path) -> Segmenter:
    if weights == "random-resnet18":
        return _random_resnet18()
    if weights == "lab-patches":
        return Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none"))
    return load_weights(weights_file(weights))[0]


def _random_resnet18() -> Segmenter:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="none"))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # Statistics that no training has set would leave all features alike: no fair baseline.
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    model.notes = WeightsNotes(track={"feature": {"stage": "layer3"}, "refine": {"rounds": 0}})
    return model


def _run_weights(run: Path) -> Path:
    if (run / WEIGHTS).is_file():
        return run / WEIGHTS
    found = latest_checkpoint(run)
    if found is None:
        raise UsageError(f"{run} holds neither {WEIGHTS} nor checkpoints; is it the folder of a training run?")
    return found.folder / "model.safetensors"
