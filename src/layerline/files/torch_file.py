"""Read the tensors of a PyTorch file (`.pth`, `.pt`) as data: a state dict, without executing anything.

There are two formats (torch/serialization.py of PyTorch 2.13). Since PyTorch 1.6, a file is a zip archive with a
pickle, `<name>/data.pkl`, and the bytes of every storage, `<name>/data/<key>`. Before, it was four pickles (a magic
number, a protocol number, facts about the machine, the content), the list of the storages' keys as a pickle, and in its
order every storage: its number of elements (8 bytes), then their bytes. In both, the content refers to a storage by a
persistent ID, and to a tensor by a call that gives its storage, offset, sizes and strides.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.errors import UserError
from layerline.files.tensors import from_bfloat16
from layerline.files.torch_zip import TorchZip
from layerline.files.unpickler import BINFLOAT, BINPERSID, LONG1, NEWOBJ, Dialect, PickleFault, Unpickler, text_of
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MOST_OPCODES: Final = 500_000
"""A state dict needs about 30 per tensor; a checkpoint with an optimizer's state four times as many."""
MOST_TENSORS: Final = 20_000
MOST_BYTES: Final = 2**29
"""Maximum size of a file in bytes."""
ZIP: Final = b"PK\x03\x04"
_MAGIC: Final = 0x1950A86A20F9469CFC6C
"""The number that is the first pickle of the old format."""
_PICKLE: Final = b"\x80"
_SHORT: Final = 40
"""Bytes in which the first pickle ends."""
_PROTOCOL: Final = 1001
_COUNT: Final = 8
"""Bytes of a storage's number of elements, in the old format."""
_WRAPPERS: Final = ("state_dict", "model", "model_state_dict", "net")
"""The keys under which training programs and PyTorch's tutorial store a state dict, next to other things."""
SAVE_WEIGHTS: Final = 'save only the weights: torch.save(model.state_dict(), "weights.pth")'
"""What to do about a file with anything else in it."""


class _TorchName(enum.Enum):
    ORDERED_DICT = "collections OrderedDict"
    TENSOR = "torch._utils _rebuild_tensor"
    TENSOR_V2 = "torch._utils _rebuild_tensor_v2"
    REBUILD_PARAMETER = "torch._utils _rebuild_parameter"
    PARAMETER = "torch.nn.parameter Parameter"


class _Element(enum.Enum):
    """The types of a storage's elements: PyTorch's name, and the type as which they are read."""

    FLOAT = "FloatStorage", "<f4"
    DOUBLE = "DoubleStorage", "<f8"
    HALF = "HalfStorage", "<f2"
    BFLOAT16 = "BFloat16Storage", "<u2"
    LONG = "LongStorage", "<i8"
    INT = "IntStorage", "<i4"
    SHORT = "ShortStorage", "<i2"
    CHAR = "CharStorage", "<i1"
    BYTE = "ByteStorage", "<u1"
    BOOL = "BoolStorage", "<u1"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of its bytes."""
        return np.dtype(self.value[1])


_READ: Final = (_Element.FLOAT, _Element.DOUBLE, _Element.HALF, _Element.BFLOAT16, _Element.LONG)
"""The types that the weights of a network have; a file may have others next to them."""


@final
@dataclass(frozen=True)
class _TorchStorage:
    """A storage that the content refers to."""

    key: str
    element: _Element
    count: int


@final
@dataclass(frozen=True)
class _TorchTensor:
    """A tensor that the content describes; its sizes and strides are those of the file, and inside its storage."""

    storage: _TorchStorage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """Return its number of elements."""
        return math.prod(self.shape)


def is_torch(content: bytes) -> bool:
    """Whether a file starts like one of the two formats."""
    magic = _MAGIC.to_bytes(10, "little")
    return content.startswith(ZIP) or (content.startswith(_PICKLE) and magic in content[:_SHORT])


def tensors(content: bytes, place: str) -> tuple[dict[str, NDArray[Any]], str | None]:
    """Return the tensors of a file's state dict by name, in its order: float32, or int64; nothing is executed.

    Also returns the key under which the state dict is, if the file has more than it. place: the file in messages.
    Raises UserError with place and reason.
    """
    found, storages = _zipped(content, place) if content.startswith(ZIP) else _in_old_format(content, place)
    described, taken = _described(found, place)
    needed = sum(8 * tensor.size for tensor in described.values())
    if needed > 4 * MOST_BYTES:  # many tensors may share a storage
        raise UserError(
            f"{place}: found {display.count(needed // 8)} values in its tensors; "
            f"expected at most {display.count(MOST_BYTES // 2)}",
            SAVE_WEIGHTS,
        )
    read: dict[str, NDArray[Any]] = {}
    arrays = {}
    for name, tensor in described.items():
        storage = tensor.storage
        if storage.key not in read:
            read[storage.key] = storages(storage)
        arrays[name] = _array(tensor, read[storage.key])
    return arrays, taken


def _zipped(content: bytes, place: str) -> tuple[Any, Callable[[_TorchStorage], NDArray[Any]]]:
    """Return the content of a file in the new format, and the function that reads a storage."""
    archive = TorchZip(content, place, MOST_TENSORS)
    pickle, name = archive.pickle()
    found = Unpickler(pickle, f"{place}: {name}", _Content().dialect).load()

    def values(storage: _TorchStorage) -> NDArray[Any]:
        return np.frombuffer(archive.storage(storage.key, _bytes_of(storage)), storage.element.dtype)

    return found, values


def _in_old_format(content: bytes, place: str) -> tuple[Any, Callable[[_TorchStorage], NDArray[Any]]]:
    """Return the content of a file in the old format, and the function that reads a storage."""
    held = _Content()
    at = 0

    def load() -> Any:
        nonlocal at
        reader = Unpickler(content, place, held.dialect, at)
        found = reader.load(alone=False)
        at = reader.at
        return found

    if load() != _MAGIC or load() != _PROTOCOL:
        raise UserError(f"{place}: found an unknown version of the old format; expected {_PROTOCOL}", SAVE_WEIGHTS)
    machine = load()
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise UserError(f"{place}: written on a machine with another byte order", "save it again on this machine")
    found, keys = load(), load()
    if not isinstance(keys, list) or not all(isinstance(key, memoryview) for key in keys):
        raise UserError(f"{place}: found no list of storages after the tensors", "download it again")
    places = _places(content, place, at, [text_of(key) for key in keys], held.declared)

    def values(storage: _TorchStorage) -> NDArray[Any]:
        start = places[storage.key]
        return np.frombuffer(content, storage.element.dtype, storage.count, start)

    return found, values


def _places(content: bytes, place: str, at: int, keys: list[str], declared: dict[str, _TorchStorage]) -> dict[str, int]:
    """Return the position of every storage of the old format, after checking all of them against the file's size."""
    found: dict[str, int] = {}
    for key in keys:
        where = f"{place}:{at}: storage {display.name(key)}"
        storage = declared.get(key)
        if storage is None or key in found:
            raise UserError(f"{where}: {'not used by any tensor' if storage is None else 'listed twice'}", _AGAIN)
        count = int.from_bytes(content[at : at + _COUNT], "little", signed=True)
        start, left = at + _COUNT, max(0, len(content) - at - _COUNT)
        if count != storage.count or _bytes_of(storage) > left:
            raise UserError(
                f"{where}: found {display.count(count)} elements and {display.count(left)} bytes; "
                f"expected {display.count(storage.count)} elements of {storage.element.dtype.itemsize} bytes",
                _AGAIN,
            )
        found[key] = start
        at = start + _bytes_of(storage)
    missing = next((key for key in declared if key not in found), None)
    if missing is not None:
        raise UserError(f"{place}: storage {display.name(missing)} is missing", _AGAIN)
    if at != len(content):
        raise UserError(
            f"{place}:{at}: found {display.count(len(content) - at)} bytes after the end; expected none", _AGAIN
        )
    return found


_AGAIN: Final = "the file is damaged or incomplete: download or copy it again"


def _bytes_of(storage: _TorchStorage) -> int:
    return storage.count * storage.element.dtype.itemsize


def _described(found: Any, place: str) -> tuple[dict[str, _TorchTensor], str | None]:
    """Return the tensors of a state dict, and the key under which it is. Raises UserError if there is none."""
    taken = None
    if isinstance(found, dict) and not any(isinstance(value, _TorchTensor) for value in found.values()):
        taken = next((key for key in _WRAPPERS if isinstance(found.get(key), dict)), None)
        found = found if taken is None else found[taken]
    if not isinstance(found, dict) or not any(isinstance(value, _TorchTensor) for value in found.values()):
        keys = ", ".join(display.name(str(key), 20) for key in list(found)[:8]) if isinstance(found, dict) else ""
        what = f"a dictionary with {keys or 'nothing'}" if isinstance(found, dict) else "no dictionary"
        raise UserError(f"{place}: found {what}; expected tensors by name, as in a state_dict", SAVE_WEIGHTS)
    described = {str(key): value for key, value in found.items() if isinstance(value, _TorchTensor)}
    for name, tensor in described.items():
        if tensor.storage.element not in _READ:
            raise UserError(
                f"{place}: {display.name(name)}: found a torch.{tensor.storage.element.value[0]}; "
                "expected float32, float16, bfloat16, float64 or int64",
                SAVE_WEIGHTS,
            )
    return described, taken


def _array(tensor: _TorchTensor, storage: NDArray[Any]) -> NDArray[Any]:
    """Return a tensor's values: floats as float32, whole numbers as int64."""
    steps = tuple(stride * storage.itemsize for stride in tensor.strides)
    values = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, steps, writeable=False)
    if tensor.storage.element is _Element.BFLOAT16:
        return from_bfloat16(values)
    kind = np.int64 if tensor.storage.element is _Element.LONG else np.float32
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which is refused where it is used
        return np.array(values, kind, order="C")


@final
class _Content:
    """What the pickles of one file may contain, and which storages and how many tensors they had so far."""

    def __init__(self) -> None:
        self.declared: dict[str, _TorchStorage] = {}
        self._tensors = 0
        self.dialect = Dialect(
            purpose="a state dict",
            names={name.value: name for name in _TorchName}
            | {f"torch {element.value[0]}": element for element in _Element},
            only_names="only the names of tensors, storages and dictionaries",
            call=self._call,
            build=_build,
            most_opcodes=lambda _: MOST_OPCODES,
            usual_opcodes="about 30 per tensor",
            refused=lambda reason: UserError(
                reason, f"{SAVE_WEIGHTS}; a file of a stranger can run code in torch.load"
            ),
            more={**LONG1, **BINFLOAT, **NEWOBJ, **BINPERSID},
            keys=int,
            persistent=self._storage,
        )

    def _storage(self, identity: Any) -> _TorchStorage:
        """Return the storage that a persistent ID names. Raises PickleFault."""
        match identity:
            case (
                memoryview() as word,
                _Element() as element,
                memoryview() as key,
                memoryview(),
                int() as count,
                *view,
            ):
                storage = _TorchStorage(text_of(key), element, count)
            case _:
                raise PickleFault("an object outside the file", "a storage: type, key, device and size")
        if bytes(word) != b"storage" or view not in ([], [None]) or not 0 <= count <= MOST_BYTES:
            raise PickleFault("an object outside the file", "a storage: type, key, device and size")
        if self.declared.setdefault(storage.key, storage) != storage:
            raise PickleFault(f"storage {display.name(storage.key)} in two sizes or types", "one")
        return storage

    def _call(self, name: Any, arguments: Any) -> Any:
        match name, arguments:
            case _TorchName.ORDERED_DICT, ():
                return {}
            case _TorchName.ORDERED_DICT, (list() as pairs,) if all(map(_is_pair, pairs)):  # as Python 2 wrote it
                return {text_of(key): value for key, value in pairs}
            case _TorchName.TENSOR, (_TorchStorage() as storage, offset, shape, strides):
                return self._tensor(storage, offset, shape, strides)
            case _TorchName.TENSOR_V2, (_TorchStorage() as storage, offset, shape, strides, bool(), _, *more) if (
                more in ([], [None], [{}])
            ):
                return self._tensor(storage, offset, shape, strides)
            case _TorchName.REBUILD_PARAMETER, (_TorchTensor() as held, bool(), _):
                return held
            case _TorchName.PARAMETER, (_TorchTensor() as held, *more) if more in ([], [True], [False]):
                return held
        raise PickleFault("a call", "only calls that create a tensor or a dictionary")

    def _tensor(self, storage: _TorchStorage, offset: Any, shape: Any, strides: Any) -> _TorchTensor:
        self._tensors += 1
        if self._tensors > MOST_TENSORS:
            raise PickleFault(f"more than {display.count(MOST_TENSORS)} tensors", "fewer")
        return _checked(storage, offset, shape, strides)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], memoryview)


def _checked(storage: _TorchStorage, offset: Any, shape: Any, strides: Any) -> _TorchTensor:
    """Return a tensor. Raises PickleFault if its sizes or strides are invalid, or lead out of its storage."""
    numbers = (offset, *shape, *strides) if isinstance(shape, tuple) and isinstance(strides, tuple) else (None,)
    if not all(type(number) is int and number >= 0 for number in numbers) or len(shape) != len(strides):
        raise PickleFault("a tensor with invalid sizes or strides", "one size and one stride per dimension, 0 or more")
    if len(shape) > _MOST_DIMENSIONS:
        raise PickleFault(f"a tensor with {len(shape)} dimensions", f"at most {_MOST_DIMENSIONS}")
    size = math.prod(shape)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) if size else offset - 1
    if max(last + 1, size, offset) > storage.count:
        raise PickleFault(
            f"a tensor of {_product(shape)} elements that ends at element {display.name(str(last), 30)}",
            f"at most {display.count(storage.count)}, as its storage has",
        )
    return _TorchTensor(storage, offset, shape, strides)


_MOST_DIMENSIONS: Final = 8


def _product(shape: tuple[int, ...]) -> str:
    return display.name("×".join(map(str, shape)), 60) or "1"


def _build(target: Any, state: Any) -> None:
    """Accept what PyTorch stores with a dictionary (versions of modules) or, before 0.4, with a parameter."""
    match target, state:
        case dict(), dict():
            pass
        case _TorchTensor(), tuple():
            pass
        case _:
            raise PickleFault("state for an object that has none", "that of a dictionary or a parameter")
