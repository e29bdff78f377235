"""Inputs that keep their format and say something else: JSON and CBOR documents with changed keys and values."""

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import cbor2

# Values at which readers of numbers, times and names turn.
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -0.0, -1, 1, 0.5, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63,
    -(2**63), 2**64, 10**30, 1e-300, 1e300, "", "0", "-1", "NaN", "Infinity", "1e999", "a" * 80, "tag-01", "ü\u2028",
    [], {}, [[]], [1, 2, 3], {"x": 1}, {"x": {"x": {"x": None}}},
)  # fmt: skip

Reader = Callable[[bytes], Any]
Writer = Callable[[Any], bytes]


def from_trees(corpus: Sequence[bytes]) -> Callable[[random.Random], bytes] | None:
    """Return what makes such inputs out of the corpus' documents; None where it holds none."""
    for read, write in ((_read_json, _write_json), (_read_cbor, cbor2.dumps)):
        trees = [tree for tree in (_read(read, body) for body in corpus) if isinstance(tree, list | dict)]
        if len(trees) * 2 > len(corpus):
            return _maker(trees, write)
    return None


def _maker(trees: Sequence[Any], write: Writer) -> Callable[[random.Random], bytes]:
    def make(rng: random.Random) -> bytes:
        tree = copy.deepcopy(rng.choice(trees))
        for _ in range(rng.randrange(1, 4)):
            _change(tree, trees, rng)
        return write(tree)

    return make


def _change(tree: Any, trees: Sequence[Any], rng: random.Random) -> None:
    """Change one place of a tree: another value, one that stands elsewhere, a key gone, added or renamed."""
    place = rng.choice(list(_containers(tree)))
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    if not keys or rng.random() < 0.1:
        value = copy.deepcopy(rng.choice(_VALUES))
        if isinstance(place, dict):
            place[rng.choice(("x", "n", "t", "v", "u", -1, ""))] = value
        else:
            place.append(value)
        return
    key = rng.choice(keys)
    kind = rng.random()
    if kind < 0.15:
        del place[key]
    elif kind < 0.25 and isinstance(place, dict):
        other = rng.choice(list(_containers(rng.choice(trees))))
        place[rng.choice([*other, "x"]) if isinstance(other, dict) else "x"] = place.pop(key)
    elif kind < 0.45 and isinstance(place[key], int | float) and not isinstance(place[key], bool):
        place[key] = place[key] * rng.choice((-1, 0, 2, 1000, 1e-6, 1e12)) + rng.choice((0, 1, -1, 0.5))
    else:
        place[key] = copy.deepcopy(rng.choice(_VALUES))


def _containers(tree: Any) -> list[Any]:
    found = [tree]
    for place in found:
        children = place.values() if isinstance(place, dict) else place
        found += [child for child in children if isinstance(child, list | dict)]
    return found


def _read(read: Reader, body: bytes) -> Any:
    try:
        return read(body)
    except (ValueError, cbor2.CBORDecodeError):
        return None


def _read_json(body: bytes) -> Any:
    return json.loads(body.decode("utf-8"))


def _read_cbor(body: bytes) -> Any:
    return cbor2.loads(body)


def _write_json(tree: Any) -> bytes:
    return json.dumps({str(k): v for k, v in tree.items()} if isinstance(tree, dict) else tree).encode("utf-8")
