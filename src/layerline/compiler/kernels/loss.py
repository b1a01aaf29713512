"""Softmax and cross-entropy: the end of forward and the start of backward.

The math.  For the logits z (K) of an image with label y, m the maximum of z:
    p[k] = e^(z[k] − m) / Σ_j e^(z[j] − m)        loss = ln Σ_j e^(z[j] − m) − (z[y] − m)
    dz[k] = (p[k] − [k = y]) / batch
With label smoothing ε and class weights v (PyTorch's cross_entropy), V = Σ_k v[k], lse = m + ln Σ_j e^(z[j] − m):
    loss = (1 − ε) · v[y] · (lse − z[y]) + ε / K · Σ_k v[k] · (lse − z[k])
    dz[k] = (p[k] · ((1 − ε) · v[y] + ε / K · V) − (1 − ε) · v[y] · [k = y] − ε / K · v[k]) / Σ over the batch of v[y]
The logits and p are float32; an image's loss and all sums of losses are float64. The prediction is the first maximal
logit. A NaN logit makes the loss NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds, given, reads, sets
from layerline.compiler.kernels.functions import exp, log
from layerline.compiler.kernels.loops import vectors
from layerline.compiler.kernels.optimizers import hyper
from layerline.compiler.plane import item

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Value


@dataclass(frozen=True, eq=False)
class _Softmax:
    """The results of the first two passes over the logits, which also leave e^(z − m) in `out`."""

    total: Value
    largest: Value
    first_largest: Index


def _label(pen: Pen, n: Index) -> Index:
    """Read the label of image n of the batch."""
    image = pen.as_index(pen.load(pen.pointer("order"), n))
    return pen.as_index(pen.load(pen.pointer("labels"), image))


def _exponentials(pen: Pen, z: Pointer, out: Pointer, K: int) -> _Softmax:
    """Write out[k] = e^(z[k] − m)."""
    lanes = pen.machine.lanes_for(K)
    lowest = pen.constant(float("-inf"), lanes)
    largest = pen.variable(lowest)
    for i, count in vectors(pen, K, lanes):
        value, so_far = pen.first_lanes(pen.load(z, i, lanes), count, lowest), pen.read(largest)
        pen.write(largest, pen.select(pen.greater(value, so_far), value, so_far))
    m = pen.fold(pen.read(largest), "largest")
    all_m, last = pen.splat(m, lanes), pen.constant(K - 1, lanes, DType.I32)
    place, total = pen.variable(last), pen.variable(pen.constant(0.0, lanes))
    for i, count in vectors(pen, K, lanes):
        value = pen.first_lanes(pen.load(z, i, lanes), count, lowest)
        number = pen.add(pen.lane_numbers(lanes), pen.splat(pen.as_value(i, DType.I32), lanes))
        here, so_far = pen.select(pen.equal(value, all_m), number, last), pen.read(place)
        pen.write(place, pen.select(pen.greater(so_far, here), here, so_far))
        power = pen.first_lanes(exp(pen, pen.sub(value, all_m)), count, pen.constant(0.0, lanes))
        pen.write(total, pen.add(pen.read(total), power))
        pen.store(power, out, i, count)
    return _Softmax(pen.fold(pen.read(total)), m, pen.as_index(pen.fold(pen.read(place), "smallest")))


def _loss(pen: Pen, z: Pointer, label: Index, softmax: _Softmax) -> Value:
    """Return the cross-entropy in float64."""
    margin = pen.sub(pen.convert(pen.load(z, label), DType.F64), pen.convert(softmax.largest, DType.F64))
    return pen.sub(log(pen, pen.convert(softmax.total, DType.F64)), margin)


@dataclass(frozen=True)
class Objective:
    """The variant of cross-entropy; ε and the weights are runtime values."""

    smoothing: bool = False
    weighted: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is plain cross-entropy."""
        return not (self.smoothing or self.weighted)


CROSS_ENTROPY: Final = Objective()


@dataclass(frozen=True)
class SoftmaxLoss(Kernel):
    """dz = the gradient of the loss; accumulates the shard's loss and the thread's tallies."""

    classes: int
    objective: Objective = CROSS_ENTROPY

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        K, plain = self.classes, self.objective.plain
        first = {"z": reads(K), "labels": given(DType.I32), "order": reads(1, DType.I64)}
        objective = {} if plain else {"hyper": given(), "class_weights": given()}
        sums = {"loss": adds(1, DType.F64), "tallies": adds(3 * K, DType.I64)}
        return {**first, **objective, "dz": sets(K), **sums}

    @property
    def symbol(self) -> str:
        objective = "_smooth" * self.objective.smoothing + "_weighted" * self.objective.weighted
        return f"softmax_loss{objective}_k{self.classes}"

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        return ("inverse",)

    def write(self, pen: Pen) -> None:
        K, lanes = self.classes, pen.machine.lanes_for(self.classes)
        one = pen.constant(1.0)
        with pen.loop("n", pen.count("images")) as n:
            z, dz = (pen.at(pen.pointer(name), item(n, K)) for name in ("z", "dz"))
            label = _label(pen, n)
            softmax = _exponentials(pen, z, dz, K)
            loss = pen.pointer("loss")
            weights_of_label = None if self.objective.plain else self._loss_weights(pen, label)
            pen.store(pen.add(pen.load(loss), self._loss(pen, z, label, softmax, weights_of_label)), loss)
            self._tally(pen, label, softmax.first_largest)
            inverse = pen.scalar("inverse")
            share = pen.splat(pen.div(one, softmax.total), lanes)
            for i, count in vectors(pen, K, lanes):
                p = pen.mul(pen.load(dz, i, lanes), share)
                number = pen.add(pen.lane_numbers(lanes), pen.splat(pen.as_value(i, DType.I32), lanes))
                hit = pen.equal(number, pen.splat(pen.as_value(label, DType.I32), lanes))
                if weights_of_label is None:
                    difference = pen.select(hit, pen.sub(p, pen.constant(1.0, lanes)), p)
                else:
                    difference = self._weighted_difference(pen, p, hit, weights_of_label, i)
                pen.store(pen.mul(difference, pen.splat(inverse, lanes)), dz, i, count)

    def _tally(self, pen: Pen, label: Index, predicted: Index) -> None:
        """Count the image by true class, by predicted class, and, if the prediction is correct, as a hit."""
        tallies, one, none = pen.pointer("tallies"), pen.constant(1, 1, DType.I64), pen.constant(0, 1, DType.I64)
        right = pen.select(label.is_(predicted), one, none)
        for place, count in ((label, one), (predicted + self.classes, one), (label + 2 * self.classes, right)):
            pen.store(pen.add(pen.load(tallies, place), count), tallies, place)

    def _loss_weights(self, pen: Pen, label: Index) -> _LossWeights:
        """Return (1 − ε) · v[y], ε / K, and (1 − ε) · v[y] + ε / K · V."""
        K, one, weights = self.classes, pen.constant(1.0), pen.pointer("class_weights")
        v, V = (pen.load(weights, label), pen.load(weights, K)) if self.objective.weighted else (one, pen.constant(K))
        if not self.objective.smoothing:
            return _LossWeights(v, pen.constant(0.0), v)
        smoothing = hyper(pen, "label_smoothing", 1)
        hit, spread = pen.mul(pen.sub(one, smoothing), v), pen.mul(smoothing, pen.constant(1 / K))
        return _LossWeights(hit, spread, pen.fma(spread, V, hit))

    def _loss(
        self, pen: Pen, z: Pointer, label: Index, softmax: _Softmax, weights_of_label: _LossWeights | None
    ) -> Value:
        """Return the image's loss in float64."""
        plain = _loss(pen, z, label, softmax)
        if weights_of_label is None:
            return plain
        loss = pen.mul(pen.convert(weights_of_label.hit, DType.F64), plain)
        if not self.objective.smoothing:
            return loss
        spread = pen.variable(pen.constant(0.0, 1, DType.F64))
        with pen.loop("k", self.classes) as k:
            term = _loss(pen, z, k, softmax)
            if self.objective.weighted:
                term = pen.mul(term, pen.convert(pen.load(pen.pointer("class_weights"), k), DType.F64))
            pen.write(spread, pen.add(pen.read(spread), term))
        return pen.add(loss, pen.mul(pen.convert(weights_of_label.spread, DType.F64), pen.read(spread)))

    def _weighted_difference(self, pen: Pen, p: Value, hit: Value, weights_of_label: _LossWeights, k: Index) -> Value:
        """Return one vector of the gradient of the logits, before division by the loss's denominator."""
        lanes = pen.machine.lanes_for(self.classes)
        total, one, spread = (
            pen.splat(value, lanes) for value in (weights_of_label.total, weights_of_label.hit, weights_of_label.spread)
        )
        share = pen.mul(p, total)
        if self.objective.smoothing:
            if self.objective.weighted:
                spread = pen.mul(spread, pen.load(pen.pointer("class_weights"), k, lanes))
            share = pen.sub(share, spread)
        return pen.select(hit, pen.sub(share, one), share)


@dataclass(frozen=True, eq=False)
class _LossWeights:
    """The scalar factors of the objective that follow from an image's label."""

    hit: Value
    spread: Value
    total: Value


@dataclass(frozen=True)
class Probabilities(Kernel):
    """probabilities = softmax(z) and losses = the cross-entropy of each image: the end of the forward-only Program."""

    classes: int
    losses: bool = True
    """Off: the labels are not read, and there are no losses."""

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        K = self.classes
        if not self.losses:
            return {"z": reads(K), "probabilities": sets(K)}
        first = {"z": reads(K), "labels": given(DType.I32), "order": reads(1, DType.I64)}
        return {**first, "probabilities": sets(K), "losses": sets(1, DType.F64)}

    @property
    def symbol(self) -> str:
        return f"probabilities{'' if self.losses else '_alone'}_k{self.classes}"

    def write(self, pen: Pen) -> None:
        K = self.classes
        with pen.loop("n", pen.count("images")) as n:
            z = pen.at(pen.pointer("z"), item(n, K))
            p = pen.at(pen.pointer("probabilities"), n * K)
            label = _label(pen, n) if self.losses else None
            softmax = _exponentials(pen, z, p, K)
            if label is not None:
                pen.store(_loss(pen, z, label, softmax), pen.pointer("losses"), n)
            share = pen.div(pen.constant(1.0), softmax.total)
            with pen.loop("k", K) as k:
                pen.store(pen.mul(pen.load(p, k), share), p, k)


@dataclass(frozen=True)
class LossTotal(Kernel):
    """total[1] = the step's loss, summed over the shards in order; total[0] += total[1].

    `whole`: the loss is already that of the whole batch, summed over the processes: see exchanging.py.
    """

    whole: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"loss": reads(1 + self.whole, DType.F64), "total": adds(2, DType.F64)}

    @property
    def symbol(self) -> str:
        return "loss_total" + "_whole" * self.whole

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        return () if self.whole else ("shards",)

    @property
    def slices(self) -> int:
        """Return 1: one thread sums it."""
        return 1

    def write(self, pen: Pen) -> None:
        loss, total = pen.pointer("loss"), pen.pointer("total")
        step = pen.variable(pen.constant(0.0, 1, DType.F64))
        if self.whole:
            pen.write(step, pen.load(loss))
        else:
            with pen.loop("shard", pen.count("shards")) as shard:
                pen.write(step, pen.add(pen.read(step), pen.load(loss, item(shard, 1))))
        pen.store(pen.read(step), total, 1)
        pen.store(pen.add(pen.load(total), pen.read(step)), total)
