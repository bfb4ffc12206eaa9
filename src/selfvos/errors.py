"""What can go wrong on the caller's side, and the exit status that goes with it.

Every message is one line that says what is wrong, where, and what to do about it. Anything that is not
a `SelfvosError` is a bug of this package and ends a command with status 1.
"""
# ruff: noqa: N818
# A name that says what happened (`MaskMismatch`) reads better where it is caught than one that ends in Error.


class SelfvosError(Exception):
    """Base of every error that a caller, their data or their machine can cause."""

    exit_status = 1


class UsageError(SelfvosError, ValueError):
    """A wrong argument, name or setting: the call has to change."""

    exit_status = 2


class UnknownName(UsageError):
    """A name that nothing is registered under."""


class MissingExtra(UsageError):
    """A feature whose optional dependency is not installed."""


class DataError(SelfvosError, ValueError):
    """A file or array whose content cannot be used."""

    exit_status = 3


class BrokenVideo(DataError):
    """A video or frame folder that holds no readable frame, or breaks off."""


class MaskMismatch(DataError):
    """A mask that does not fit its frame, or whose object ids cannot be told."""


class WeightsMismatch(DataError):
    """Weights that are damaged, or belong to another architecture."""


class BrokenCheckpoint(DataError):
    """A checkpoint that is incomplete or damaged."""


class ResourceError(SelfvosError, RuntimeError):
    """The machine has run out of something."""

    exit_status = 4


class OutOfSpace(ResourceError):
    """The disk is full; files that were there before are untouched."""


class Diverged(SelfvosError, ArithmeticError):
    """Training gives no finite loss any more; the last good checkpoint is untouched."""

    exit_status = 3


class Stopped(SelfvosError):
    """Whoever watches the work asked it to stop, and it did where nothing is lost."""

    exit_status = 130
