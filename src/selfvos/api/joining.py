"""Two weights files as one."""

from pathlib import Path

from selfvos.api.weights import load
from selfvos.errors import UsageError
from selfvos.models import joining
from selfvos.models.weights import save_weights


def join(first: str | Path, second: str | Path, *, out: str | Path) -> Path:
    """Put two encoders that were trained apart into one weights file; frames are matched by both.

    Args:
        first: Weights as `load` takes them; key, V, D and settings are theirs.
        second: Weights whose encoder is put beside it.
        out: Where to write, a ``.safetensors`` file.

    Raises:
        UsageError: The encoders are not alike, or `out` is no ``.safetensors`` file.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise UsageError(f"{out} is no .safetensors file; give a name that ends so")
    model = joining.join(load(first, device="cpu"), load(second, device="cpu"))
    save_weights(out, model, notes=model.notes, half=True)
    return out
