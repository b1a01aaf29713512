"""Optimization passes: each is a function Program → Program, and `spec.check` runs after each that changed it.

fuse_activation  conv; relu             →  conv_relu; the same with ReLU6, and to predict with HardSwish
fuse_pool     conv; pool; … gradients   →  conv_pool; … gradients from the pooled positions only
fuse_norm, fuse_norm_gradient  norm; sum; relu  →  norm_sum_relu, and the same backward (norm_pass.py)
winograd      conv; its gradients       →  Winograd's, by transformed tiles (winograd_pass.py)
fuse_update   reduce; step / fc_weights; step  →  one kernel; the gradient stays in registers
fuse_copies   step; to_columns          →  step that also writes the copy
across        conv                      →  conv_across, with columns in the lanes, if filters would leave lanes empty
filters_in_lanes  conv_filters          →  conv_few_taps, with filters in the lanes, if taps would leave lanes empty
windows_in_lanes  conv_at_filters       →  conv_filters_across, with pool windows in the lanes, likewise for gray images
wide_shards   shards of a few images  →  larger ones, if filters take far more memory than an image
group_images  FC kernels for one image  →  for several images, processed together
remove_dead_ops  removes ops whose results are never read
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from layerline.compiler.def_use import DefUse, replace_ops
from layerline.compiler.dtype import DType
from layerline.compiler.kernels.activations import ActivationBackward
from layerline.compiler.kernels.bias import BiasSum
from layerline.compiler.kernels.conv import ConvForward, conv_tile
from layerline.compiler.kernels.conv_across import ConvAcross, across_tile
from layerline.compiler.kernels.conv_few_taps import few_taps
from layerline.compiler.kernels.conv_filters_across import filters_across
from layerline.compiler.kernels.conv_gradients import ConvFilters, ConvInput
from layerline.compiler.kernels.conv_pooled import pooled_filters, pooled_input
from layerline.compiler.kernels.depthwise import DepthwiseForward
from layerline.compiler.kernels.fc import FCForward, FCInput, FCWeights, forward_tile, input_tile
from layerline.compiler.kernels.pool import PoolBackward, PoolForward, Unpool
from layerline.compiler.kernels.relu import ReLUBackward
from layerline.compiler.kernels.split import SplitPlanes, as_planes
from layerline.compiler.kernels.update import Reduce, Step, ToColumns
from layerline.compiler.kernels.winograd import WinogradForward, WinogradInput
from layerline.compiler.kernels.winograd_filters import WinogradFilters
from layerline.compiler.norm_pass import fusable, fuse_norm, fuse_norm_gradient
from layerline.compiler.plane import capacity
from layerline.compiler.program import Buffer, Op, Per, Program
from layerline.compiler.shards import wide_shard_size
from layerline.compiler.spec import check
from layerline.compiler.winograd_pass import winograd

if TYPE_CHECKING:
    from layerline.compiler.kernel import Kernel
    from layerline.compiler.kernels.conv_formula import Convolution
    from layerline.compiler.machine import Machine


def optimize(program: Program, machine: Machine, *, fuse_updates: bool = True, exact: bool = False) -> Program:
    """Return the Program after all passes; without `fuse_updates`, whole gradients stay in memory; with `exact`, no
    convolution is transformed.

    A pass that changed nothing leaves nothing to check: half of them in resnet20, where each check takes 4 ms.
    """
    check(program, "build")
    for run in PASSES:
        if (run is not fuse_update or fuse_updates) and not (run is winograd and exact):
            after = run(program, machine)
            if after != program:
                check(after, run.__name__)
                program = after
    return program


def fuse_activation(program: Program, _: Machine) -> Program:
    """conv(x → y); relu(y → z)  →  conv_relu(x → z), if nothing else reads y: backward passes that need y do."""
    uses = DefUse(program)
    changes: dict[Op, tuple[Op, ...]] = {}
    for op in program.ops:
        activation = fusable(op)
        conv = uses.writer(op["x"]) if activation else None
        if activation is None or conv is None or uses.readers(op["x"]) != [op] or op["y"].plane is None:
            continue
        kernel: Kernel | None = None
        if isinstance(conv.kernel, ConvForward):
            kernel = replace(conv.kernel, conv=replace(conv.kernel.conv, activation=activation, y=op["y"].plane))
        elif isinstance(conv.kernel, DepthwiseForward):
            kernel = replace(conv.kernel, activation=activation, y=op["y"].plane)
        if kernel:
            changes[conv] = (Op(kernel, tuple(op["y"] if b == op["x"] else b for b in conv.buffers)),)
            changes[op] = ()
    return replace_ops(program, changes)


def _passes_gradient(op: Op) -> bool:
    """Whether an op is the backward pass of a function that may be moved before a pool's."""
    kernel = op.kernel
    return isinstance(kernel, ReLUBackward) or (isinstance(kernel, ActivationBackward) and kernel.function.rises)


def fuse_pool(program: Program, machine: Machine) -> Program:
    """conv(x → z); pool(z → u, at)  →  conv_pool(x → u, at), if windows neither overlap nor are padded.

    Backward:   pool_bwd(du, at → dz); [relu_bwd(dz, z → dy);] conv_filters(x, dy → dw)
             →  [relu_bwd(du, u → g);] conv_pooled_filters(x, g, at → dw); conv_pooled_input(g, at, w → dx),
    or, with few taps, conv_at_filters(x, g, at → dw); unpool(g, at → dy); conv_input(dy, w → dx).
    """
    uses = DefUse(program)
    for pool in [op for op in program.ops if isinstance(op.kernel, PoolForward)]:
        conv = uses.writer(pool["x"])
        if conv and isinstance(conv.kernel, ConvForward) and _can_fuse_pool(uses, conv, pool, machine):
            program = _fuse_pool(program, conv, pool, machine)
            uses = DefUse(program)
    return program


def _can_fuse_pool(uses: DefUse, conv: Op, pool: Op, machine: Machine) -> bool:
    """Whether the pool can be computed in the convolution's registers."""
    assert isinstance(conv.kernel, ConvForward)  # noqa: S101 - checked by the caller
    assert isinstance(pool.kernel, PoolForward)  # noqa: S101 - checked by the caller
    shape = pool.kernel.shape
    fused = conv.kernel.conv
    disjoint = shape.window == shape.stride and shape.inside and fused.pool == (1, 1) and not fused.places
    disjoint = disjoint and (fused.activation is None or fused.activation.rises)
    others = [op for op in uses.readers(pool["x"]) if op != pool and not _passes_gradient(op)]
    return disjoint and not others and conv_tile(conv.kernel.conv.shape, machine, shape.window) is not None


def _fuse_pool(program: Program, conv: Op, pool: Op, machine: Machine) -> Program:
    old, how = conv.kernel, pool.kernel
    assert isinstance(old, ConvForward)  # noqa: S101 - checked by the caller
    assert isinstance(how, PoolForward)  # noqa: S101 - checked by the caller
    tile = conv_tile(old.conv.shape, machine, how.shape.window)
    assert tile is not None  # noqa: S101 - checked by the caller
    kernel = ConvForward(replace(old.conv, y=how.y, pool=how.shape.window, places=how.places), tile)
    inputs = [b for b in conv.buffers if b != pool["x"]]
    places = [pool["at"]] if how.places else []
    backward_ops = [
        op for op in program.ops if isinstance(op.kernel, PoolBackward) and places and op["at"] == places[0]
    ]
    program = replace_ops(program, {conv: (Op(kernel, (*inputs, pool["y"], *places)),), pool: ()})
    for back in backward_ops:
        program = _pooled_backward(program, kernel.conv, pool, back, machine)
    return _change_columns(program, old, kernel, conv["w"])


def _pooled_backward(program: Program, conv: Convolution, pool: Op, back: Op, machine: Machine) -> Program:
    """Move the activation's backward pass before the pool's, and compute the convolution's gradients over the pooled
    positions."""
    u, at, g, dy = pool["y"], pool["at"], back["dy"], back["dx"]
    changes: dict[Op, tuple[Op, ...]] = {back: ()}
    uses = DefUse(program)
    activation = next((op for op in uses.readers(dy) if _passes_gradient(op)), None)
    if activation:
        dy, masked = activation["dx"], Buffer(g.name + "_masked", g.size, Per.IMAGE, plane=conv.y)
        smaller: Kernel = ReLUBackward(conv.y, conv.y)
        if isinstance(activation.kernel, ActivationBackward):
            smaller = ActivationBackward(activation.kernel.function, conv.y, conv.y, conv.y)
        changes[activation] = (Op(smaller, (g, u, masked)),)
        g = masked
    for op in uses.readers(dy):
        if isinstance(op.kernel, BiasSum):
            changes[op] = (Op(BiasSum(conv.y), (g, op["db"])),)
        elif isinstance(op.kernel, ConvFilters):
            changes[op] = (Op(pooled_filters(op.kernel, conv, machine), (op["x"], g, at, op["dw"])),)
        elif isinstance(op.kernel, ConvInput):
            if kernel := pooled_input(op.kernel, conv, machine):
                changes[op] = (Op(kernel, (g, at, op["w"], op["dx"])),)
            else:
                changes[op] = (Op(Unpool(conv.y, op.kernel.dy, conv.pool, conv.shape.steps), (g, at, dy)), op)
    return replace_ops(program, changes)


def _change_columns(program: Program, old: ConvForward, new: ConvForward, w: Buffer) -> Program:
    """Change the layout of the filters' columns to that of the new tile, in all readers and writers."""
    before, after = old.columns, new.columns
    if before == after:
        return program
    buffer = replace(w, size=capacity(after.size))
    ops = []
    for op in program.ops:
        kernel = op.kernel
        if isinstance(kernel, ToColumns) and w in op.buffers:
            kernel = replace(kernel, columns=after)
        ops.append(Op(kernel, tuple(buffer if b == w else b for b in op.buffers)))
    tensors = tuple(
        replace(t, homes=tuple((buffer, after) if b == w else (b, layout) for b, layout in t.homes))
        for t in program.tensors
    )
    return replace(program, ops=tuple(ops), tensors=tensors)


def fuse_update(program: Program, _: Machine) -> Program:
    """reduce(partial → g); step(g → w)  →  step(partial → w);  fc_weights(x, dy → g); step(g → w)  →  fc_weights(… →
    w).

    Only if nothing else reads the whole gradient, as clipping and Muon do.
    """
    uses, removed = DefUse(program), set()
    changes: dict[Op, tuple[Op, ...]] = {}
    for step in [op for op in program.ops if isinstance(op.kernel, Step)]:
        g, kernel = step["g"], step.kernel
        assert isinstance(kernel, Step)  # noqa: S101 - the list has only these
        source = uses.writer(g)
        if source is None or uses.readers(g) != [step]:
            continue
        if isinstance(source.kernel, Reduce):
            fused = Op(replace(kernel, partial=True), (source["partial"], *step.buffers[1:]))
        elif isinstance(source.kernel, FCWeights):
            fused = Op(
                replace(source.kernel, optimizer=kernel.optimizer), (source["x"], source["dy"], *step.buffers[1:])
            )
        else:
            continue
        changes |= {source: (), step: (fused,)}
        removed.add(g)
    tensors = tuple(replace(t, gradient=None) if t.gradient in removed else t for t in program.tensors)
    return replace(replace_ops(program, changes), tensors=tensors)


def fuse_copies(program: Program, _: Machine) -> Program:
    """step(g → w); to_columns(w → c)  →  step(g → w, c), row by row while the row is in the cache."""
    uses = DefUse(program)
    changes: dict[Op, tuple[Op, ...]] = {}
    for copy in [op for op in program.ops if isinstance(op.kernel, ToColumns)]:
        step = uses.writer(copy["w"])
        if step and step not in changes and isinstance(step.kernel, Step) and isinstance(copy.kernel, ToColumns):
            kernel = replace(step.kernel, columns=copy.kernel.columns)
            changes |= {step: (Op(kernel, (*step.buffers, copy["w_columns"])),), copy: ()}
    return replace_ops(program, changes)


def remove_dead_ops(program: Program, _: Machine) -> Program:
    """Remove, from last to first, each op that writes only per-image buffers that no op reads."""
    live: list[Op] = []
    needed: set[Buffer] = set()
    for op in reversed(program.ops):
        if all(b.per != Per.IMAGE for b in op.written) or any(b in needed for b in op.written):
            live.append(op)
            needed.update(op.read)
    return replace(program, ops=tuple(reversed(live)))


def across(program: Program, machine: Machine) -> Program:
    """conv(x → y)  →  conv_across(x → y), if columns fill the lanes better than filters; an x with several channels
    is first split into planes."""
    ops: list[Op] = []
    planes: dict[Buffer, Buffer] = {}
    for op in program.ops:
        kernel = op.kernel
        tile = across_tile(kernel.conv, kernel.tile.blocks, machine) if isinstance(kernel, ConvForward) else None
        if tile is None or not isinstance(kernel, ConvForward):
            ops.append(op)
            continue
        x, layout = op["x"], kernel.conv.shape.x
        if layout.channels > 1 and x not in planes:
            planes[x] = Buffer(x.name + "_planes", x.size, Per.IMAGE, plane=as_planes(layout))
            ops.append(Op(SplitPlanes(layout), (x, planes[x])))
        ops.append(Op(ConvAcross(kernel.conv, kernel.columns, tile), (planes.get(x, x), *op.buffers[1:])))
    return replace(program, ops=tuple(ops))


def filters_in_lanes(program: Program, machine: Machine) -> Program:
    """conv_filters(x, dy → dw)  →  conv_few_taps(x, dy → dw), if filters fill the lanes better than taps."""
    ops = []
    for op in program.ops:
        kernel = few_taps(op.kernel, machine) if isinstance(op.kernel, ConvFilters) else None
        ops.append(Op(kernel, op.buffers) if kernel else op)
    return replace(program, ops=tuple(ops))


def windows_in_lanes(program: Program, machine: Machine) -> Program:
    """conv_at_filters(x, dy, at → dw)  →  conv_filters_across(x, dy, at → dw), if windows fill the lanes better than
    taps. conv_across then writes `at` filter by filter, if nothing else reads it."""
    uses = DefUse(program)
    changes: dict[Op, tuple[Op, ...]] = {}
    for op in program.ops:
        kernel = filters_across(op.kernel, machine) if isinstance(op.kernel, ConvFilters) else None
        if kernel is None:
            continue
        at, forward = op["at"], uses.writer(op["at"])
        if forward and isinstance(forward.kernel, ConvAcross) and uses.readers(at) == [op]:
            kernel = replace(kernel, planar=True)
            at = replace(at, size=capacity(kernel.arguments["at"].elements))
            writes = replace(forward.kernel, places=kernel.across)
            changes[forward] = (Op(writes, (*forward.buffers[:-1], at)),)
        work = Buffer(op["dw"].name + "_work", capacity(kernel.workspace), Per.THREAD)
        changes[op] = (Op(kernel, (op["x"], op["dy"], at, op["dw"], work)),)
    return replace_ops(program, changes)


CACHE_BYTES: Final = 512 * 1024
"""Memory budget of a group of images: half of a core's L2 cache on the machines we know (1 MiB, Zen 4 and later)."""
GROUP_BYTES: Final = 8 * 1024 * 1024
"""Memory limit of a group of images that exceeds the cache."""


WINOGRAD_GROUP: Final = range(8, 33)
"""About as many images as a group has with transformed tiles: the filters are four times as large as by the definition,
and are read once for all images of a group."""
WIDE: Final = 16
"""A network is wide if its transformed filters and their gradients have that many times the values of an image."""


def wide_shards(program: Program, _: Machine) -> Program:
    """Split a batch of a wide network into larger shards, each of which goes through all transformed filters.

    Gradients are summed shard by shard, so this changes bits. It depends on the network, the batch and the vector
    width, never on threads.
    """
    if not program.training or _transformed_bytes(program) <= WIDE * _image_bytes(program):
        return program
    return replace(program, shard_size=wide_shard_size(program.batch_size))


def group_images(program: Program, machine: Machine) -> Program:
    """Process as many images together, forward and backward, as fit in a core's cache; at most a shard.

    FC layers then read their weights once for several images. A group that exceeds the cache is chosen if it moves less
    memory: FC's weights once per group, each image's values out of the cache and back. This is scheduling only: the
    results are bit-identical, except with transformed tiles, whose gradients of filters are summed within a group.
    """
    image_bytes = _image_bytes(program)
    weights = sum(op["w"].size * DType.F32.bytes for op in program.ops if isinstance(op.kernel, FCForward | FCInput))
    group, larger = (max(1, min(program.shard_size, limit // image_bytes)) for limit in (CACHE_BYTES, GROUP_BYTES))
    if weights / group > weights / larger + 2 * image_bytes:
        group = larger
    if transformed := _transformed_bytes(program):
        wanted = min(max(transformed // image_bytes, WINOGRAD_GROUP[0]), WINOGRAD_GROUP[-1])
        group = max(group, -(-program.shard_size // max(1, round(program.shard_size / wanted))))
    ops = []
    for op in program.ops:
        kernel = op.kernel
        if isinstance(kernel, FCForward):
            kernel = replace(kernel, tile=forward_tile(kernel.shape, machine, group))
        elif isinstance(kernel, FCInput):
            kernel = replace(kernel, tile=input_tile(kernel.shape, machine, group))
        ops.append(Op(kernel, op.buffers))
    return replace(program, ops=tuple(ops), group=group)


def _image_bytes(program: Program) -> int:
    """Return the size of all values and gradients of an image."""
    return sum(b.size * b.dtype.bytes for b in program.buffers if b.per == Per.IMAGE)


def _transformed_bytes(program: Program) -> int:
    """Return the size of the transformed filters, and of their gradients, that each group of images goes through."""
    elements = 0
    for op in program.ops:
        match op.kernel:
            case WinogradForward() | WinogradInput() as kernel:
                elements += kernel.passage.layout.size
            case WinogradFilters() as kernel:
                elements += kernel.tiling.winograd.products * kernel.shape.filters * kernel.shape.x.channels
    return elements * DType.F32.bytes


PASSES: Final = (
    fuse_activation,
    fuse_pool,
    fuse_activation,
    fuse_norm_gradient,
    fuse_norm,
    winograd,
    fuse_update,
    fuse_copies,
    remove_dead_ops,
    across,
    filters_in_lanes,
    windows_in_lanes,
    wide_shards,
    group_images,
)
"""In order; fuse_activation runs twice, for one after the pool."""
