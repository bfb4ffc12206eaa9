"""How processes find each other when some of them were started again.

torchrun keeps its store of addresses when it restarts workers, so that a new process may find, and call, the address
of one that is dead. Here all processes first agree on a name that this attempt alone has.
"""

import json
import time
import uuid

from torch.distributed import PrefixStore, Store  # pyright: ignore[reportPrivateImportUsage] - documented there

_POLL_SECONDS = 0.05


def private_store(store: Store, rank: int, size: int, *, seconds: float = 600) -> PrefixStore:
    """Return a part of a store that the living processes alone use.

    Every process signs in under a name of its own. The first one calls the roll, again whenever a name has changed;
    it holds as soon as all those called have answered, which the dead cannot.

    Args:
        store: Shared by all processes, with whatever earlier attempts left in it.
        rank: Number of this process.
        size: How many there are.
        seconds: How long to wait for the others.

    Raises:
        TimeoutError: They did not come.
    """
    me, end = uuid.uuid4().hex, time.monotonic() + seconds
    store.set(_sign(rank), me)
    roll: dict[str, str] = {}
    while time.monotonic() < end:
        roll = _call(store, roll, size) if rank == 0 else json.loads(_read(store, "roll") or "{}")
        if roll.get(str(rank)) == me:
            store.set(_answer(roll, rank), me)
            if rank == 0 and all(_read(store, _answer(roll, other)) for other in range(size)):
                store.set(_done(roll), me)
            if _read(store, _done(roll)):
                return PrefixStore(roll["name"], store)
        time.sleep(_POLL_SECONDS)
    raise TimeoutError(f"process {rank} of {size} waited {seconds:.0f} s for the others; see whether all have started")


def _call(store: Store, roll: dict[str, str], size: int) -> dict[str, str]:
    """Return the roll, called anew where a process has come since."""
    signed = {str(other): _read(store, _sign(other)) for other in range(size)}
    if {**signed, "name": roll.get("name", "")} != roll:
        roll = {**signed, "name": uuid.uuid4().hex}
        store.set("roll", json.dumps(roll))
    return roll


def _sign(rank: int) -> str:
    return f"here/{rank}"


def _answer(roll: dict[str, str], rank: int) -> str:
    return f"{roll['name']}/answer/{rank}"


def _done(roll: dict[str, str]) -> str:
    return f"{roll['name']}/complete"


def _read(store: Store, key: str) -> str:
    return store.get(key).decode() if store.check([key]) else ""
