"""What a Program must be after every pass: a function for each rule, whose docstring is the rule.

What a kernel does with a buffer, and what it expects there, it declares itself (`Kernel.arguments`). Machine code
checks nothing: a Program that breaks a rule would compute something else, or write into a neighbor's memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.kernel import Access, Over
from layerline.compiler.layout import Columns
from layerline.compiler.plane import Places, Plane, room
from layerline.compiler.program import Per

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.program import Buffer, Op, Program


@dataclass(frozen=True)
class Fault:
    """Where a rule is broken."""

    where: str
    """The op's symbol, or the parameter."""
    buffer: Buffer
    what: str


def check(program: Program, after: str) -> None:
    """Raise AssertionError for the first fault, naming the pass, the op, the buffer and the rule."""
    for rule in RULES:
        for fault in rule(program):
            found = f"{fault.where}: buffer {fault.buffer.name} {fault.what}"
            raise AssertionError(f"after {after}: {found} (rule {rule.__name__} of compiler/spec.py)")


def one_buffer_a_name(program: Program) -> Iterator[Fault]:
    """A name is one buffer."""
    names: dict[str, Buffer] = {}
    for op in program.ops:
        for buffer in op.buffers:
            if names.setdefault(buffer.name, buffer) != buffer:
                yield Fault(op.kernel.symbol, buffer, "is not the only one of its name")


def written_before_read(program: Program) -> Iterator[Fault]:
    """What is read was written by an op before, is the caller's, or is a parameter or kept beside one."""
    known = {home for tensor in program.tensors for home, _ in tensor.homes} | _moving(program)
    for op in program.ops:
        for buffer in op.read:
            if buffer.per not in (Per.GIVEN, Per.POSITION) and buffer not in known:
                yield Fault(op.kernel.symbol, buffer, "is read, and nothing wrote it")
        known.update(op.written)


def types(program: Program) -> Iterator[Fault]:
    """A buffer has the type of every argument that it is given as."""
    for op, argument, buffer in _uses(program):
        if buffer.dtype is not argument.dtype:
            what = f"has elements of {buffer.dtype.value}, the argument of {argument.dtype.value}"
            yield Fault(op.kernel.symbol, buffer, what)


def planes(program: Program) -> Iterator[Fault]:
    """An image lies as the argument says, border and all; one without a border may be taken for the list of its
    values, which is what Flat is."""
    for op, argument, buffer in _uses(program):
        lies, plane = argument.lies, buffer.plane
        if isinstance(lies, Plane) and plane != lies and not (plane and plane.bare and lies == plane.listed):
            yield Fault(op.kernel.symbol, buffer, f"lies as {plane and plane.label}, the argument as {lies.label}")
        if isinstance(lies, int) and plane and not (plane.bare and plane.size == lies):
            yield Fault(op.kernel.symbol, buffer, f"lies as {plane.label}, the argument as a list of {lies}")


def sizes(program: Program) -> Iterator[Fault]:
    """A buffer has room for what the argument says; where a kernel goes from item to item, exactly that room, for it
    steps by it. The caller's arrays are given as they are."""
    for op, argument, buffer in _uses(program):
        if (argument.lies is None) is not (buffer.per is Per.GIVEN):
            takes = "an array of the caller's" if argument.lies is None else "so many elements an item"
            yield Fault(op.kernel.symbol, buffer, f"is per {buffer.per.value}, the argument takes {takes}")
        elif argument.lies is not None:
            n, steps = _elements(argument.lies), buffer.per in _STEPPED[op.over]
            least = n if buffer.per in (Per.POSITION, Per.THREAD) else room(n)
            if buffer.size < least or (steps and buffer.size != least):
                what = f"has {buffer.size} elements, the argument takes {least} for {n}"
                yield Fault(op.kernel.symbol, buffer, what)


_STEPPED: Final = {Over.IMAGES: (Per.IMAGE, Per.POSITION), Over.SLICES: (Per.IMAGE, Per.SHARD)}
"""What kernels have several items of in one call."""


def owners(program: Program) -> Iterator[Fault]:
    """A kernel over images writes what an image, a shard, a thread or a position has, and reads no sum that is still
    being made: neither a shard's nor a thread's. A kernel over slices writes only what is there once, and reads nothing
    of a thread or a position, which it does not know."""
    for op, argument, buffer in _uses(program):
        does = "reads" if argument.access is Access.READS else "writes"
        if buffer.per not in _OWN[op.over, does]:
            what = f"is per {buffer.per.value}, which a kernel over {op.over.value} never {does}"
            yield Fault(op.kernel.symbol, buffer, what)


_OWN: Final = {
    (Over.IMAGES, "reads"): (Per.IMAGE, Per.ONCE, Per.GIVEN, Per.POSITION),
    (Over.IMAGES, "writes"): (Per.IMAGE, Per.SHARD, Per.THREAD, Per.POSITION),
    (Over.SLICES, "reads"): (Per.IMAGE, Per.SHARD, Per.ONCE, Per.GIVEN),
    (Over.SLICES, "writes"): (Per.ONCE,),
}


def set_then_added_to(program: Program) -> Iterator[Fault]:
    """The first op that writes an image's values sets them, and every other adds to them. What a shard or a thread sums
    up begins at zero and is only added to; what is at a position is only set."""
    begun: set[Buffer] = set()
    for op, argument, buffer in _uses(program):
        if argument.access is Access.READS or buffer.per is Per.ONCE:
            continue
        sets = argument.access is Access.SETS
        wanted = buffer not in begun if buffer.per is Per.IMAGE else buffer.per is Per.POSITION
        if sets is not wanted:
            what = "is added to, and nothing set it" if wanted else "is set, and what it held is lost"
            yield Fault(op.kernel.symbol, buffer, what)
        begun.add(buffer)


def whole_when_read(program: Program) -> Iterator[Fault]:
    """Nothing writes an image's values after they were read: who reads a gradient reads all of its sum."""
    read: set[Buffer] = set()
    for op in program.ops:
        for buffer in op.written:
            if buffer.per is Per.IMAGE and buffer in read:
                yield Fault(op.kernel.symbol, buffer, "is written after it was read")
        read.update(op.read)


def one_writer(program: Program) -> Iterator[Fault]:
    """What is there once has one op that writes it."""
    writers: dict[Buffer, Op] = {}
    for op in program.ops:
        for buffer in op.written:
            if buffer in writers and buffer.per is Per.ONCE:
                yield Fault(op.kernel.symbol, buffer, f"is written by {writers[buffer].kernel.symbol} already")
            writers[buffer] = op


def parameters_move(program: Program) -> Iterator[Fault]:
    """Parameters, and what is kept beside them, are updated, and nothing else is."""
    moving = _moving(program)
    for op, argument, buffer in _uses(program):
        if argument.access is not Access.READS and (argument.access is Access.UPDATES) is not (buffer in moving):
            what = "is a parameter" if buffer in moving else "is no parameter"
            yield Fault(op.kernel.symbol, buffer, f"{what}, and the op {argument.access.value} it")


def copies_follow(program: Program) -> Iterator[Fault]:
    """A parameter's copies are written by the op that updates it, or from it by one behind that."""
    copies = {tensor.homes[0][0]: [home for home, _ in tensor.homes[1:]] for tensor in program.tensors}
    behind: dict[Buffer, tuple[Op, Buffer]] = {}
    for op in program.ops:
        for buffer in op.written:
            behind.update(dict.fromkeys(copies.get(buffer, ()), (op, buffer)))
            if buffer in behind and behind[buffer][1] in op.buffers:
                del behind[buffer]
    for copy, (op, master) in behind.items():
        yield Fault(op.kernel.symbol, copy, f"is a copy of {master.name}, which moves without it")


def layouts(program: Program) -> Iterator[Fault]:
    """A parameter's buffers, and what is kept beside it, have room for its layout; columns are read and written as the
    layout has them."""
    homes = {home: layout for tensor in program.tensors for home, layout in tensor.homes}
    for op, argument, buffer in _uses(program):
        if isinstance(argument.lies, Columns) and homes.get(buffer) != argument.lies:
            yield Fault(op.kernel.symbol, buffer, f"is taken as {argument.lies}, the layout is {homes.get(buffer)}")
    for tensor in program.tensors:
        beside = [(slot, tensor.homes[0][1]) for _, slot in tensor.slots]
        for buffer, layout in (*tensor.homes, *beside):
            if buffer.size < room(layout.size):
                what = f"has {buffer.size} elements, the layout takes {room(layout.size)}"
                yield Fault(f"parameter {tensor.name}", buffer, what)


def places(program: Program) -> Iterator[Fault]:
    """Places are read as they were written: in the same image, from the same windows."""
    written: dict[Buffer, KernelArgument] = {}
    for op, argument, buffer in _uses(program):
        if argument.access is not Access.READS:
            written[buffer] = argument
        elif isinstance(argument.lies, Places) or (buffer in written and isinstance(written[buffer].lies, Places)):
            found = written[buffer].lies if buffer in written else None
            if found != argument.lies:
                yield Fault(op.kernel.symbol, buffer, f"is read as {argument.lies}, and was written as {found}")


RULES: Final[tuple[Callable[[Program], Iterator[Fault]], ...]] = (
    one_buffer_a_name,
    written_before_read,
    types,
    planes,
    sizes,
    owners,
    set_then_added_to,
    whole_when_read,
    one_writer,
    parameters_move,
    copies_follow,
    layouts,
    places,
)


def _uses(program: Program) -> Iterator[tuple[Op, KernelArgument, Buffer]]:
    return ((op, argument, buffer) for op in program.ops for argument, buffer in op.uses)


def _moving(program: Program) -> set[Buffer]:
    """Return the parameters' first homes, and what is kept beside them."""
    slots = {slot for tensor in program.tensors for _, slot in tensor.slots}
    return slots | {tensor.homes[0][0] for tensor in program.tensors}


def _elements(lies: Plane | Places | Columns | int) -> int:
    if isinstance(lies, int):
        return lies
    return lies.count if isinstance(lies, Places) else lies.size
