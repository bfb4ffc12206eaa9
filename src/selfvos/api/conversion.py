"""Published checkpoints to weights of this package."""

from pathlib import Path

from selfvos.errors import UsageError
from selfvos.models.convert.base import FORMATS, build, read_state
from selfvos.models.weights import WeightsNotes, save_weights
from selfvos.settings import merged, to_dict
from selfvos.tracking.presets import PRESETS


def convert(checkpoint: str | Path, *, format: str, out: str | Path) -> Path:
    """Turn a published checkpoint into a weights file that `load` reads and that says how its method tracks.

    Args:
        checkpoint: What torch.save wrote, or a ``.safetensors`` file; nothing that it holds is executed.
        format: Whose checkpoint it is: ``crw``, ``dino`` ...
        out: Where to write, a ``.safetensors`` file.

    Returns:
        The written file. Its notes hold the format, the settings to track with, and the names of those parts that
        the checkpoint knows nothing of, which are random.

    Raises:
        UnknownName: No such format.
        UsageError: No such checkpoint, or `out` is no ``.safetensors`` file.
        DataError: The checkpoint is damaged or holds more than tensors.
        WeightsMismatch: Its names or shapes are not those of the format; the first ones are listed.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise UsageError(f"{out} is no .safetensors file; give a name that ends so")
    converter = FORMATS.get(format)
    found = converter(read_state(checkpoint))
    model, untrained = build(found, source=str(checkpoint))
    track = merged(to_dict(PRESETS.get(found.preset)), found.changes)
    save_weights(out, model, notes=WeightsNotes(format=format, track=track, untrained=tuple(untrained)))
    return out
