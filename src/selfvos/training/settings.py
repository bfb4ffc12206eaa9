"""One complete training run as settings."""

from dataclasses import dataclass, field
from typing import Any, Literal

from selfvos.data.clips import ClipConfig
from selfvos.errors import UsageError
from selfvos.models.segmenter import SegmenterConfig
from selfvos.ops.clustering import ClusterConfig
from selfvos.ops.paste import PasteConfig
from selfvos.ops.pseudo_objects import ObjectChoice
from selfvos.settings import LATER


@dataclass(frozen=True, kw_only=True)
class ObjectiveSpec:
    """One training signal and its weight in the sum."""

    name: str
    """Registered name of the objective."""
    weight: float = 1.0
    """Factor of its total in the loss."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of the objective's own settings that differ from their defaults."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam, as in the released code."""

    lr: float = 1e-4
    """Learning rate of the visual encoder; 0 freezes it, normalisation and all, and costs no gradient."""
    mask_lr: float = 1e-4
    """Learning rate of V and D."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay of Adam's two running means."""
    weight_decay: float = 5e-4
    """L2 penalty on weights; biases and normalisation have none."""
    bias_lr_factor: float = 2.0
    """Learning rate of biases relative to weights."""
    clip_norm: float = 10.0
    """Gradients are scaled down to this norm; 0 leaves them."""
    schedule: Literal["step", "cosine"] = "step"
    """``step`` halves the rate every `halve_epochs`; ``cosine`` falls to a hundredth at the phase's end."""
    halve_epochs: int = 100
    """Epochs between halvings of the ``step`` schedule."""
    warm_steps: int = 0
    """Steps over which the rate rises linearly from zero."""


@dataclass(frozen=True, kw_only=True)
class PhaseConfig:
    """A stretch of training with one set of objectives."""

    epochs: int
    """Passes; an epoch takes one random clip of each video, or `steps_per_epoch` batches."""
    batch_clips: int
    """Clips in one optimiser step, over all processes."""
    objectives: tuple[ObjectiveSpec, ...]
    """Signals that are summed."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How weights are updated."""
    steps_per_epoch: int = 0
    """Steps of an epoch; 0 means videos / batch_clips, rounded up."""

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch_clips < 1:
            raise UsageError("a phase needs epochs >= 0 and batch_clips >= 1")
        if not self.objectives:
            raise UsageError("a phase needs at least one objective")


@dataclass(frozen=True, kw_only=True)
class PseudoMaskConfig:
    """Where the masks of the joint phase come from."""

    refresh_epochs: int = 10
    """Joint epochs between two rounds of clustering; 0 clusters once."""
    clusters: ClusterConfig = field(default_factory=ClusterConfig)
    """Space-time clustering of one video."""
    objects: ObjectChoice = field(default_factory=ObjectChoice)
    """Which clusters a clip takes as objects."""
    paste: PasteConfig = field(default_factory=PasteConfig)
    """Objects that travel between the clips of a batch."""
    feature: str = "key"
    """What is clustered: ``key`` or a stage such as ``layer3``."""
    short_side_px: int = 480
    """Frames are encoded at this size."""
    max_videos: int = 0
    """Videos clustered in a round, drawn anew each time; 0 takes all. Joint clips come from these alone."""
    max_frames: int = 0
    """Consecutive frames of each video, from a start drawn anew each time; 0 takes all."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A recipe: everything that decides a run's result, apart from the videos."""

    model: SegmenterConfig = field(default_factory=SegmenterConfig)
    """The network."""
    clips: ClipConfig = field(default_factory=ClipConfig)
    """How videos are cached and clips are drawn."""
    warmup: PhaseConfig
    """Correspondence alone."""
    joint: PhaseConfig
    """Correspondence and mask embedding."""
    pseudo_masks: PseudoMaskConfig = field(default_factory=PseudoMaskConfig)
    """Clustering between the epochs of the joint phase."""
    true_masks: str = ""
    """Folder of ``<video>/*.png``, a mask for every frame, learned from in place of clusters: a supervised run."""
    seed: int = 32
    """Everything random follows from it."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto`` takes bfloat16 autocast where a short trial shows that it is faster."""
    ema_decay: float | None = None
    """What the mean of the weights keeps of itself at each step, in (0, 1); the weights that a phase, a checkpoint and
    the run end with are then this mean. None takes the weights of the last step."""
    checkpoint_steps: int = 200
    """Steps between checkpoints."""
    picture_steps: int = 500
    """Steps between pictures of affinities, clusters and predictions for those who look on."""
    track: dict[str, Any] = field(default_factory=dict)
    """Tracker settings recommended with the weights."""
    wandb: str = field(default="", metadata={LATER: True})
    """Project of Weights & Biases that numbers and pictures go to as well; empty: nothing leaves the machine."""

    def __post_init__(self) -> None:
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise UsageError(f"ema_decay must be in (0, 1) or None, got {self.ema_decay}")
