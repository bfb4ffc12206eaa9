"""One forward pass of everything that a phase learns from."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective, Share, alone
from selfvos.settings import from_dict
from selfvos.training.settings import ObjectiveSpec
from selfvos.types import Clip


class TrainingStep(nn.Module):
    """The network and the objectives of a phase, as the one module that processes have to agree on."""

    def __init__(self, model: Segmenter, specs: tuple[ObjectiveSpec, ...], share: Share = alone) -> None:
        """Make the objectives.

        Args:
            model: The network.
            specs: What is learned from.
            share: See `EncodedClip`.

        Raises:
            UsageError: An objective does not exist, refuses its settings, or does not go with the mask path.
        """
        super().__init__()
        self.model = model
        self.specs = specs
        self._share = share
        self.objectives = nn.ModuleList(_make(spec, model) for spec in specs)
        for spec, objective in zip(specs, self._each(), strict=True):
            _check(spec, objective, model)
            objective.attach(model)

    def after_step(self) -> None:
        """Let objectives follow the weights after an update."""
        for objective in self._each():
            objective.after_step(self.model)

    def inherit(self, state: dict[str, Tensor], specs: tuple[ObjectiveSpec, ...]) -> None:
        """Take over what objectives of the same name and settings had learned in an earlier phase.

        Args:
            state: State of that phase's objectives.
            specs: What that phase learned from.
        """
        for number, objective in enumerate(self.objectives):
            same = [i for i, spec in enumerate(specs) if _alike(spec, self.specs[number])]
            if same:
                prefix = f"{same[0]}."
                own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
                objective.load_state_dict(own)

    @property
    def needs_masks(self) -> bool:
        """Whether any objective learns from pseudo masks."""
        return any(objective.needs_masks for objective in self._each())

    def forward(self, clip: Clip, generator: torch.Generator) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return the weighted sum of all objectives, and their parts by name."""
        encoded = EncodedClip(clip, self.model, self._share)
        terms = [objective(encoded, generator) for objective in self.objectives]
        total = torch.stack([spec.weight * term.total for spec, term in zip(self.specs, terms, strict=True)]).sum()
        return total, {name: part for term in terms for name, part in term.parts.items()}

    def _each(self) -> Iterator[Objective]:
        for objective in self.objectives:
            assert isinstance(objective, Objective)
            yield objective


def _alike(one: ObjectiveSpec, other: ObjectiveSpec) -> bool:
    return (one.name, one.settings) == (other.name, other.settings)


def _check(spec: ObjectiveSpec, objective: Objective, model: Segmenter) -> None:
    system = model.mask_path.system if model.mask_path else objective.system
    if objective.needs_masks and objective.system != system:
        raise UsageError(
            f"objective {spec.name} trains the networks of {objective.system!r}, and mask path "
            f"{model.config.mask_path!r} belongs to {system!r}; change joint.objectives or model.mask_path"
        )


def _make(spec: ObjectiveSpec, model: Segmenter) -> Objective:
    kind = OBJECTIVES.get(spec.name)
    try:
        return kind(_fitted(from_dict(kind.Config, spec.settings), spec, model))
    except UsageError as error:
        raise UsageError(f"objective {spec.name}: {error}") from error


def _fitted(config: Any, spec: ObjectiveSpec, model: Segmenter) -> Any:
    """Make heads as wide as the network's feature that they work on, unless the settings say how wide."""
    encoder = model.encoder
    widths = {"key": model.config.key_channels, "base": encoder.base_channels, **encoder.backbone.channels}
    width = widths.get(getattr(config, "feature", "base"))
    if not hasattr(config, "feature_channels") or "feature_channels" in spec.settings or width is None:
        return config
    return replace(config, feature_channels=width)
