"""The invariants of a Program, checked after each pass: one function per rule, whose docstring is the rule.

Kernels declare how they access each buffer and the layout they expect (`Kernel.arguments`). Machine code checks
nothing: a Program that violates a rule would compute wrong results or write out of bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.kernel import Access, Over
from layerline.compiler.layout import Layout
from layerline.compiler.plane import Places, Plane, capacity
from layerline.compiler.program import Per

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.program import Buffer, Op, Program


@dataclass(frozen=True)
class Fault:
    """A violation of a rule."""

    where: str
    """The symbol of the op, or the parameter."""
    buffer: Buffer
    what: str


def check(program: Program, after: str) -> None:
    """Raise AssertionError for the first fault, naming the pass, the op, the buffer and the rule."""
    for rule in RULES:
        for fault in rule(program):
            found = f"{fault.where}: buffer {fault.buffer.name} {fault.what}"
            raise AssertionError(f"after {after}: {found} (rule {rule.__name__} of compiler/spec.py)")


def unique_names(program: Program) -> Iterator[Fault]:
    """Buffer names are unique."""
    names: dict[str, Buffer] = {}
    for op in program.ops:
        for buffer in op.buffers:
            if names.setdefault(buffer.name, buffer) != buffer:
                yield Fault(op.kernel.symbol, buffer, "shares its name with another buffer")


def written_before_read(program: Program) -> Iterator[Fault]:
    """A buffer that is read was written by an earlier op, or is the caller's, a parameter, or an optimizer slot."""
    known = {home for tensor in program.tensors for home, _ in tensor.homes} | _parameters(program)
    for op in program.ops:
        for buffer in op.read:
            if buffer.per not in (Per.GIVEN, Per.POSITION) and buffer not in known:
                yield Fault(op.kernel.symbol, buffer, "is read before any op writes it")
        known.update(op.written)


def types(program: Program) -> Iterator[Fault]:
    """A buffer has the element type of each argument it is passed as."""
    for op, argument, buffer in _uses(program):
        if buffer.dtype is not argument.dtype:
            what = f"has type {buffer.dtype.value}, the argument {argument.dtype.value}"
            yield Fault(op.kernel.symbol, buffer, what)


def planes(program: Program) -> Iterator[Fault]:
    """An image has the argument's layout, including the border; without a border it may also be passed as the flat list
    of its values, which is what Flat does."""
    for op, argument, buffer in _uses(program):
        layout, plane = argument.layout, buffer.plane
        if isinstance(layout, Plane) and plane != layout and not (plane and plane.bare and layout == plane.listed):
            yield Fault(op.kernel.symbol, buffer, f"has layout {plane and plane.label}, the argument {layout.label}")
        if isinstance(layout, int) and plane and not (plane.bare and plane.size == layout):
            yield Fault(op.kernel.symbol, buffer, f"has layout {plane.label}, the argument a list of {layout}")


def sizes(program: Program) -> Iterator[Fault]:
    """A buffer is large enough for its argument, and exactly as large if a kernel iterates over its items, because the
    size is also the stride between them. The caller's arrays are passed unchanged."""
    for op, argument, buffer in _uses(program):
        if (argument.layout is None) is not (buffer.per is Per.GIVEN):
            takes = "an array of the caller's" if argument.layout is None else "a fixed number of elements per item"
            yield Fault(op.kernel.symbol, buffer, f"is per {buffer.per.value}, the argument expects {takes}")
        elif argument.layout is not None:
            n, steps = argument.elements, buffer.per in _STEPPED[op.over]
            least = n if buffer.per in (Per.POSITION, Per.THREAD) else capacity(n)
            if buffer.size < least or (steps and buffer.size != least):
                what = f"has {buffer.size} elements, the argument needs {least} for {n}"
                yield Fault(op.kernel.symbol, buffer, what)


_STEPPED: Final = {Over.IMAGES: (Per.IMAGE, Per.POSITION), Over.SLICES: (Per.IMAGE, Per.SHARD)}
"""The buffers of which one kernel call accesses several items."""


def owners(program: Program) -> Iterator[Fault]:
    """A kernel over images writes buffers per image, shard, thread or position, and reads no sum that is still being
    accumulated, per shard or per thread. A kernel over slices writes only buffers that exist once, and reads none per
    thread or position, because it does not know which."""
    for op, argument, buffer in _uses(program):
        does = "reads" if argument.access is Access.READS else "writes"
        if buffer.per not in _ACCESSIBLE[op.over, does]:
            what = f"is per {buffer.per.value}, which a kernel over {op.over.value} never {does}"
            yield Fault(op.kernel.symbol, buffer, what)


_ACCESSIBLE: Final = {
    (Over.IMAGES, "reads"): (Per.IMAGE, Per.ONCE, Per.GIVEN, Per.POSITION),
    (Over.IMAGES, "writes"): (Per.IMAGE, Per.SHARD, Per.THREAD, Per.POSITION),
    (Over.SLICES, "reads"): (Per.IMAGE, Per.SHARD, Per.ONCE, Per.GIVEN),
    (Over.SLICES, "writes"): (Per.ONCE,),
}


def set_then_accumulated(program: Program) -> Iterator[Fault]:
    """The first op that writes a per-image buffer sets it, and all others accumulate into it. Sums of a shard or a
    thread start at zero and are only accumulated into; a buffer per position is only set."""
    seen: set[Buffer] = set()
    for op, argument, buffer in _uses(program):
        if argument.access in (Access.READS, Access.OWNS) or buffer.per is Per.ONCE:
            continue
        sets = argument.access is Access.SETS
        wanted = buffer not in seen if buffer.per is Per.IMAGE else buffer.per is Per.POSITION
        if sets is not wanted:
            what = "is accumulated into before it is set" if wanted else "is set again, which discards its contents"
            yield Fault(op.kernel.symbol, buffer, what)
        seen.add(buffer)


def complete_when_read(program: Program) -> Iterator[Fault]:
    """A per-image buffer is not written after it is read: a reader of a gradient sees the complete sum."""
    read: set[Buffer] = set()
    for op in program.ops:
        for buffer in op.written:
            if buffer.per is Per.IMAGE and buffer in read:
                yield Fault(op.kernel.symbol, buffer, "is written after it is read")
        read.update(op.read)


def one_writer(program: Program) -> Iterator[Fault]:
    """A buffer that exists once has a single writer."""
    writers: dict[Buffer, Op] = {}
    for op in program.ops:
        for buffer in op.written:
            if buffer in writers and buffer.per is Per.ONCE:
                yield Fault(op.kernel.symbol, buffer, f"is already written by {writers[buffer].kernel.symbol}")
            writers[buffer] = op


def only_parameters_updated(program: Program) -> Iterator[Fault]:
    """Parameters and optimizer slots are updated in place, and no other buffers are."""
    parameters = _parameters(program)
    for op, argument, buffer in _uses(program):
        if argument.access is not Access.READS and (argument.access is Access.UPDATES) is not (buffer in parameters):
            what = "is a parameter" if buffer in parameters else "is not a parameter"
            yield Fault(op.kernel.symbol, buffer, f"{what}, but the op {argument.access.value} it")


def copies_in_sync(program: Program) -> Iterator[Fault]:
    """A parameter's copies are written by the op that updates it, or by a later op that reads it or another copy."""
    copies = {tensor.homes[0][0]: [home for home, _ in tensor.homes[1:]] for tensor in program.tensors}
    homes = {home: {other for other, _ in tensor.homes} for tensor in program.tensors for home, _ in tensor.homes}
    stale: dict[Buffer, tuple[Op, Buffer]] = {}
    for op in program.ops:
        for buffer in op.written:
            stale.update(dict.fromkeys(copies.get(buffer, ()), (op, buffer)))
            if buffer in stale and (homes[buffer] - stale.keys()).intersection(op.buffers):
                del stale[buffer]
    for copy, (op, master) in stale.items():
        yield Fault(op.kernel.symbol, copy, f"is a copy of {master.name} and is not updated with it")


def layouts(program: Program) -> Iterator[Fault]:
    """The buffers of a parameter and its optimizer slots are large enough for its layout, and columns are accessed in
    that layout."""
    homes = {home: layout for tensor in program.tensors for home, layout in tensor.homes}
    for op, argument, buffer in _uses(program):
        if isinstance(argument.layout, Layout) and homes.get(buffer) != argument.layout:
            yield Fault(
                op.kernel.symbol, buffer, f"is accessed as {argument.layout}, its layout is {homes.get(buffer)}"
            )
    for tensor in program.tensors:
        beside = [(slot, tensor.homes[0][1]) for _, slot in tensor.slots]
        for buffer, layout in (*tensor.homes, *beside):
            if buffer.size < capacity(layout.size):
                what = f"has {buffer.size} elements, the layout needs {capacity(layout.size)}"
                yield Fault(f"parameter {tensor.name}", buffer, what)


def places(program: Program) -> Iterator[Fault]:
    """Positions are read as they were written: relative to the same image and the same windows."""
    written: dict[Buffer, KernelArgument] = {}
    for op, argument, buffer in _uses(program):
        if argument.access is not Access.READS:
            written[buffer] = argument
        elif isinstance(argument.layout, Places) or (buffer in written and isinstance(written[buffer].layout, Places)):
            found = written[buffer].layout if buffer in written else None
            if found != argument.layout:
                yield Fault(op.kernel.symbol, buffer, f"is read as {argument.layout}, but was written as {found}")


RULES: Final[tuple[Callable[[Program], Iterator[Fault]], ...]] = (
    unique_names,
    written_before_read,
    types,
    planes,
    sizes,
    owners,
    set_then_accumulated,
    complete_when_read,
    one_writer,
    only_parameters_updated,
    copies_in_sync,
    layouts,
    places,
)


def _uses(program: Program) -> Iterator[tuple[Op, KernelArgument, Buffer]]:
    return ((op, argument, buffer) for op in program.ops for argument, buffer in op.uses)


def _parameters(program: Program) -> set[Buffer]:
    """Return the first homes of the parameters, and their optimizer slots."""
    slots = {slot for tensor in program.tensors for _, slot in tensor.slots}
    return slots | {tensor.homes[0][0] for tensor in program.tensors}
