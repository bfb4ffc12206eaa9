"""Weights on the Hugging Face Hub: `hf://org/name` wherever weights are named, and a model card made from the notes."""

import importlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfvos.api.model_card import model_card
from selfvos.errors import MissingExtra, ResourceError, UsageError
from selfvos.models.weights import load_weights
from selfvos.storage import write_text

SCHEME = "hf://"
WEIGHTS = "weights.safetensors"
"""What the file is called in a repository, and in a run."""
_CARD = "README.md"
_NAME = r"[\w.-]+"
_ADDRESS = re.compile(
    rf"hf://(?P<repo>{_NAME}/{_NAME})(?:/(?P<file>{_NAME}(?:/{_NAME})*))?(?:@(?P<revision>[\w./-]+))?", re.ASCII
)


@dataclass(frozen=True)
class HubAddress:
    """Where weights are on the hub."""

    repo: str
    """Organisation and name."""
    file: str = WEIGHTS
    """Path in the repository."""
    revision: str | None = None
    """Branch, tag or commit; None is the main branch."""


def parse_address(text: str) -> HubAddress:
    """Return what an address means: ``hf://org/name``, with ``/file.safetensors`` and ``@revision`` where wanted.

    Raises:
        UsageError: It is none.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or ".." in text:
        raise UsageError(f"{text!r} is no address of weights; write hf://org/name, or hf://org/name@revision")
    return HubAddress(found["repo"], found["file"] or WEIGHTS, found["revision"])


def fetch(address: str) -> Path:
    """Return the file that an address means; it is fetched once, and kept in the hub's own cache.

    Without a network the cached file will do. What is in the file is checked when it is loaded.

    Raises:
        MissingExtra: The package of the hub is not installed.
        UsageError: No address, or the hub has no such repository, revision or file, or not for this token.
        ResourceError: The hub cannot be reached, and the file is not in the cache.
    """
    where, hub = parse_address(address), _hub()
    with _told(address):
        return Path(hub.hf_hub_download(where.repo, where.file, revision=where.revision, library_name="selfvos"))


def write_for_hub(weights: Path, out: str | Path, *, name: str, license: str | None = None) -> Path:
    """Write what `push` would send, weights and model card, into a folder, and return the folder.

    Args:
        weights: A ``.safetensors`` file that selfvos wrote.
        out: A new or an empty folder.
        name: What the card calls them, such as ``org/name``.
        license: Under which licence they are, as the hub spells it (``apache-2.0``); the card says so.

    Raises:
        UsageError: The folder holds something.
        WeightsMismatch: The weights are damaged.
        OutOfSpace: The disk is full.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} holds something already; choose a new folder")
    _, card = load_weights(weights)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, out / WEIGHTS)
    write_text(out / _CARD, model_card(card, name, license=license))
    return out


def push(weights: Path, address: str, *, private: bool = False, license: str | None = None) -> str:
    """Send weights and a model card made from their notes to the hub, and return the address of the page.

    The repository is made if it is missing. Who may write is settled by the hub's own token (`hf auth login`).

    Args:
        weights: A ``.safetensors`` file that selfvos wrote.
        address: ``hf://org/name``, or ``hf://org/name@branch``.
        private: Make a new repository one that only its owner sees.
        license: See `write_for_hub`.

    Raises:
        MissingExtra: The package of the hub is not installed.
        UsageError: No such address, or the hub does not take it from this token.
        WeightsMismatch: The weights are damaged; nothing is sent.
        ResourceError: The hub cannot be reached.
    """
    where, hub = parse_address(address), _hub()
    if where.file != WEIGHTS:
        raise UsageError(f"weights are sent as {WEIGHTS}; write {SCHEME}{where.repo}")
    with tempfile.TemporaryDirectory(prefix="selfvos-") as folder:
        made = write_for_hub(weights, Path(folder) / "made", name=where.repo, license=license)
        api = hub.HfApi(library_name="selfvos")
        with _told(address):
            api.create_repo(where.repo, private=private, exist_ok=True)
            sent = api.upload_folder(
                repo_id=where.repo, folder_path=made, revision=where.revision, commit_message="Add weights of selfvos"
            )
    return str(getattr(sent, "repo_url", None) or f"https://huggingface.co/{where.repo}")


def _hub() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise MissingExtra(f'{SCHEME} addresses need a package; run: pip install "selfvos[hub]"') from None


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Say in one line what the hub's package raises."""
    errors = importlib.import_module("huggingface_hub.errors")
    unknown = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError)
    try:
        yield
    except unknown as error:
        raise UsageError(
            f"the hub has no {address}, or not for you; mend the address, or log in with 'hf auth login'"
        ) from error
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise UsageError(f"the hub refuses {address} ({status}); log in with 'hf auth login'") from error
        raise ResourceError(f"the hub answered {status} to {address}; try again later") from error
    except OSError as error:
        raise ResourceError(f"{address} cannot be reached and is not in the cache; look after the network") from error
    except ValueError as error:
        raise UsageError(f"the hub takes no {address}: {' '.join(str(error).split())}") from error
