"""A file with weights of another library, as one of the backbones: which one follows from its tensors."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from layerline.errors import UserError
from layerline.files import state_dict
from layerline.network.pretrained.backbones import BACKBONES, backbone
from layerline.network.pretrained.matching import Match, MatchError, match
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.files.state_dict import StateDict
    from layerline.network.pretrained.backbones import Backbone, KnownFile

_PROMISED: Final = re.compile(r".*-(?=[0-9]*[a-f])([0-9a-f]{8,64})\.(pth|pt)")
"""PyTorch's convention (torch.hub): the name ends with the first digits of the file's SHA-256. A date has no letter."""
_NOT_STATED: Final = "not stated by the file"


@final
@dataclass(frozen=True, eq=False)
class Candidate:
    """Weights that were read and matched, but not stored yet."""

    backbone: Backbone
    weights: dict[str, NDArray[Any]]
    """By our names."""
    known: KnownFile | None
    """The published file that it is; None if it is another one."""
    source: str
    """The name of the file."""
    digest: str
    """SHA-256 (hex) of the file."""
    notes: tuple[str, ...]
    """What the user should know about them."""

    @property
    def license(self) -> str:
        """Return the license of the weights."""
        return _NOT_STATED if self.known is None else self.known.license

    @property
    def origin(self) -> str:
        """Return who trained and published the weights, as far as it is known."""
        return f"{display.name(self.source)}, added by the user" if self.known is None else self.known.origin


def candidate(path: Path, name: str | None = None) -> Candidate:
    """Return the weights in a file, for the backbone `name`, or for the one that they fit. Raises UserError."""
    known = None if name is None else backbone(name)
    state = state_dict.read(path)
    _check_promise(path, state.digest)
    place = display.name(str(path), 200)
    found, matched = _chosen(state, place) if known is None else (known, match(known, state, place))
    file = found.known(state.digest)
    ambiguous = None if matched.naming is None else matched.naming.ambiguous
    if ambiguous is not None and name is None and file is None:
        raise UserError(
            f"{place}: {ambiguous}", f"if it is, run layerline weights add {shlex.quote(place)} --as {found.name}"
        )
    notes = [f"the tensors are those under {state.taken!r} in the file"] if state.taken is not None else []
    if matched.naming is None:
        notes.append("the layers are named as in no known library, so they were matched by their order and shapes")
    if file is None:
        notes.append(
            "the file is not a known one: its license is that of its publisher, and images are prepared as is usual "
            f"for {found.name}"
        )
    return Candidate(found, matched.weights, file, path.name, state.digest, tuple(notes))


def _chosen(state: StateDict, place: str) -> tuple[Backbone, Match]:
    """Return the one backbone that the tensors fit. Raises UserError with what the closest one expects."""
    found: list[tuple[Backbone, Match]] = []
    refusals: list[MatchError] = []
    for each in BACKBONES.values():
        try:
            found.append((each, match(each, state, place)))
        except MatchError as error:
            refusals.append(error)
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(each.name for each, _ in found)
        raise UserError(f"{place}: the tensors fit {names}", f"choose one: --as {found[0][0].name}")
    closest = max(refusals, key=lambda error: error.agreed)
    if closest.agreed:
        raise closest
    raise UserError(
        f"{place}: its tensors are not those of {', '.join(BACKBONES)}",
        f"to see which one differs, name the network: --as {next(iter(BACKBONES))}",
    )


def _check_promise(path: Path, digest: str) -> None:
    """Raise UserError if the file's name has the first digits of another SHA-256 than that of its content."""
    promised = _PROMISED.fullmatch(path.name)
    if promised is not None and not digest.startswith(promised[1]):
        raise UserError(
            f"{display.name(str(path), 200)}: its SHA-256 is {digest}, but its name promises one that starts with "
            f"{promised[1]}",
            "the file is damaged or was changed: download it again, or rename it if it is yours",
        )
