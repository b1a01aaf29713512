"""What each kernel computes, as a definition in NumPy: of the values of its arguments, by name, in the order that
formulas have them (docs/conventions.md), whatever their order in memory. `k` is the kernel.

A definition returns what becomes of the arguments that the kernel writes. Nothing here is fast, or shared with the
compiler; `test_kernels.py` has the sizes.
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from layerline.compiler.kernels.optimizers import AdamW, Optimizer, Sgd
from layerline.numbers.randomness import dropout_keep

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

Array = Any
"""float64, but for places, labels and order."""
Results = dict[str, Array]
BESIDE = 12
"""Zeros beside an image, more than any window here reaches out."""


def told(definition: Callable[..., Results], given: dict[str, Any]) -> Results:
    """Return what a definition makes of what it asks for by name."""
    asked = inspect.signature(definition).parameters
    every = any(p.kind is p.VAR_KEYWORD for p in asked.values())
    return definition(**{name: value for name, value in given.items() if every or name in asked})


def reached(s: Any) -> tuple[Array, Array]:
    """Return the rows h = p·sh + r·dh − top (P, 1, R, 1), and the columns (Q, 1, S), that windows reach."""
    window, dilation = (s.kernel, s.dilation) if hasattr(s, "kernel") else (s.window, (1, 1))
    h, w = (
        np.arange(s.out[i])[:, None] * s.stride[i] + np.arange(window[i]) * dilation[i] - s.padding[i] for i in (0, 1)
    )
    return h[:, None, :, None] + BESIDE, w[:, None, :] + BESIDE


def patches(s: Any, x: Array, beside: float = 0.0) -> Array:
    """Return x[n, c, h, w] as (n, c, p, q, r, s)."""
    return np.pad(x, ((0, 0), (0, 0), (BESIDE, BESIDE), (BESIDE, BESIDE)), constant_values=beside)[:, :, *reached(s)]


def put_back(s: Any, terms: Array) -> Array:
    """Return dx[n, c, h, w] = Σ of the terms (n, c, p, q, r, s) whose patches reach it: the way back of `patches`."""
    dx = np.zeros((*terms.shape[:2], s.x.height + 2 * BESIDE, s.x.width + 2 * BESIDE))
    np.add.at(dx, (slice(None), slice(None), *reached(s)), terms)
    return dx[:, :, BESIDE:-BESIDE, BESIDE:-BESIDE]


# -- into the network ---------------------------------------------------------------------------------------------


def load(images: Array, order: Array, scale: Array, shift: Array) -> Results:
    """x = image · scale + shift."""
    return {"x": images[order] * scale[:, None, None] + shift[:, None, None]}


def augment(k: Any, images: Array, order: Array, moves: Array, numbers: Array, scale: Array, shift: Array) -> Results:
    """x[h, w] = (image[h − down, w − right], mirrored where flipped, 0 outside) · gain + offset, scaled."""
    x = np.zeros((len(order), *images.shape[1:]))
    for n, c, h, w in np.ndindex(*x.shape):
        row, column = h - moves[n, 0], w - moves[n, 1]
        if 0 <= row < k.x.height and 0 <= column < k.x.width:
            x[n, c, h, w] = images[order[n], c, row, k.x.width - 1 - column if moves[n, 2] else column]
    x = x * numbers[:, 0, None, None, None] + numbers[:, 1, None, None, None]
    return load(x, np.arange(len(x)), scale, shift)


def split(k: Any, x: Array) -> Results:
    """planes[c·H + h, w] = x[c, h, w], border and all."""
    x = np.pad(x, ((0, 0), (0, 0), (k.x.top, k.x.bottom), (k.x.left, k.x.right)))
    return {"planes": x.reshape(len(x), 1, -1, x.shape[3])}


# -- convolutions -------------------------------------------------------------------------------------------------


def conv(k: Any, x: Array, w: Array, b: Array = 0.0) -> Results:
    """y[o, p, q] = b[o] + Σ w[o, c, r, s] · x[c, p·sh + r·dh, q·sw + s·dw]; the largest of each pool window; ReLU."""
    s, (i, j), (P, Q) = k.conv.shape, k.conv.pool, k.conv.units
    groups = zip(np.split(patches(s, x), s.groups, 1), np.split(w, s.groups), strict=True)
    y = np.concatenate([np.einsum("ncpqrs,ocrs->nopq", *group) for group in groups], 1)
    y = y + np.reshape(b, (-1, 1, 1))
    windows = y[:, :, : P * i, : Q * j].reshape(len(x), -1, P, i, Q, j).swapaxes(3, 4).reshape(len(x), -1, P, Q, i * j)
    largest = windows.max(-1)
    at = np.array([a * s.stride[0] * s.x.pitch + c * s.stride[1] * s.x.channels for a, c in np.ndindex(i, j)])
    return {"y": activated(k.conv.activation, largest), "at": at[windows.argmax(-1)]}


def activated(function: Any, y: Array) -> Array:
    """Return y after the activation that is fused into a convolution."""
    return y if function is None else FUNCTIONS[function.name](function, y)


def conv_filters(k: Any, x: Array, dy: Array, at: Array | None = None, dw: Array = 0.0) -> Results:
    """dw[o, c, r, s] += Σ_n Σ_p Σ_q dy[o, p, q] · x[c, p·sh + r·dh, q·sw + s·dw]; behind a pool, dy at its places."""
    if at is not None:
        dy = at_places(dy, at, k.shape.out, k.window, k.shape.steps)
    groups = zip(np.split(dy, k.shape.groups, 1), np.split(patches(k.shape, x), k.shape.groups, 1), strict=True)
    return {"dw": dw + np.concatenate([np.einsum("nopq,ncpqrs->ocrs", *group) for group in groups])}


def conv_input(k: Any, dy: Array, w: Array, at: Array | None = None, dx: Array = 0.0) -> Results:
    """dx[c, h, w] += Σ dy[o, p, q] · w[o, c, r, s] over the p, q, r, s with p·sh + r·dh = h, q·sw + s·dw = w; after a
    pool, dy at its places."""
    if at is not None:
        dy = at_places(dy, at, k.shape.out, k.window, k.shape.steps)
    groups = zip(np.split(dy, k.shape.groups, 1), np.split(w, k.shape.groups), strict=True)
    terms = np.concatenate([np.einsum("nopq,ocrs->ncpqrs", *group) for group in groups], 1)
    return {"dx": dx + put_back(k.shape, terms)}


def depthwise(k: Any, x: Array, w: Array, b: Array = 0.0) -> Results:
    """y[c, p, q] = b[c] + Σ w[c, r, s] · x[c, p·sh + r·dh, q·sw + s·dw]; the activation."""
    y = np.reshape(b, (-1, 1, 1)) + np.einsum("ncpqrs,cirs->ncpq", patches(k.shape, x), w)
    return {"y": activated(k.activation, y)}


def depthwise_filters(k: Any, x: Array, dy: Array, dw: Array) -> Results:
    """dw[c, r, s] += Σ_n Σ_p Σ_q dy[c, p, q] · x[c, p·sh + r·dh, q·sw + s·dw]."""
    return {"dw": dw + np.einsum("ncpq,ncpqrs->crs", dy, patches(k.shape, x))[:, None]}


def depthwise_input(k: Any, dy: Array, w: Array, dx: Array = 0.0) -> Results:
    """dx[c, h, w] += Σ dy[c, p, q] · w[c, r, s] over the p, q, r, s with p·sh + r·dh = h, q·sw + s·dw = w."""
    return {"dx": dx + put_back(k.shape, np.einsum("ncpq,cirs->ncpqrs", dy, w))}


def bias_sum(dy: Array, db: Array) -> Results:
    """db[c] += Σ_n Σ_p Σ_q dy[c, p, q]."""
    return {"db": db + dy.sum((0, 2, 3))}


# -- pools --------------------------------------------------------------------------------------------------------


def pool(k: Any, x: Array) -> Results:
    """y = the largest of each window, cut off at the image's edge; at = its place in the image with its border."""
    s, lies = k.shape, k.shape.x
    h, w, c = np.indices((lies.height, lies.width, lies.channels))
    place = (((lies.top + h) * lies.pitch + (lies.left + w) * lies.channels) + c).transpose(2, 0, 1)[None]
    windows, places = (patches(s, a, beside).reshape(len(a), *s_shape(s), -1)
                       for a, beside in ((x, -np.inf), (place, 0)))  # fmt: skip
    first = windows.argmax(-1)[..., None]
    places = np.broadcast_to(places, windows.shape)
    return {"y": windows.max(-1), "at": np.take_along_axis(places, first, -1)[..., 0]}


def s_shape(s: Any) -> tuple[int, int, int]:
    """Return (C, P, Q)."""
    return s.x.channels, *s.out


def pool_back(k: Any, dy: Array, at: Array, dx: Array = 0.0) -> Results:
    """dx at the places `at` += dy."""
    lies, out = k.dx, np.zeros((len(dy), k.dx.size))
    for n, c, p, q in np.ndindex(*dy.shape):
        out[n, at[n, c, p, q]] += dy[n, c, p, q]
    rows = out.reshape(len(dy), -1, lies.pitch // lies.channels, lies.channels).transpose(0, 3, 1, 2)
    return {"dx": dx + rows[:, :, lies.top :, lies.left :][:, :, : lies.height, : lies.width]}


def unpool(k: Any, g: Array, at: Array) -> Results:
    """dy[p·a + i, q·b + j] = g[p, q] where `at` is the place of output (i, j) of the window, else 0."""
    return {"dy": at_places(g, at, (k.dy.height, k.dy.width), k.pool, k.steps)}


def at_places(g: Array, at: Array, out: tuple[int, int], window: tuple[int, int], steps: tuple[int, int]) -> Array:
    """Return the gradient by all outputs from that by the largest of each window."""
    dy, (a, b), (P, Q) = np.zeros((*g.shape[:2], *out)), window, g.shape[2:]
    for i, j in np.ndindex(a, b):
        dy[:, :, i : P * a : a, j : Q * b : b] = np.where(at == i * steps[0] + j * steps[1], g, 0)
    return dy


def average(k: Any, x: Array) -> Results:
    """y = Σ over each window / its size; outside the image x is 0, and counts."""
    return {"y": patches(k.shape, x).mean((-2, -1))}


def average_back(k: Any, dy: Array, dx: Array = 0.0) -> Results:
    """dx += Σ dy / the window's size, over the windows that cover it."""
    share = dy[..., None, None] / math.prod(k.shape.window) * np.ones(k.shape.window)
    return {"dx": dx + put_back(k.shape, share)}


# -- value by value -----------------------------------------------------------------------------------------------


def relu(x: Array) -> Results:
    """y = max(x, 0)."""
    return {"y": np.maximum(x, 0)}


def relu_back(dy: Array, y: Array, dx: Array = 0.0) -> Results:
    """dx += dy where y > 0."""
    return {"dx": dx + np.where(y > 0, dy, 0)}


def sigmoid(x: Array) -> Array:
    """σ(x) = 1 / (1 + e^−x)."""
    return 1 / (1 + np.exp(-x))


def normal(x: Array) -> Array:
    """Φ(x), the normal distribution."""
    return (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


FUNCTIONS = {
    "leaky_relu": lambda f, x: np.where(x > 0, x, f.negative_slope * x),
    "sigmoid": lambda _, x: sigmoid(x),
    "tanh": lambda _, x: np.tanh(x),
    "silu": lambda _, x: x * sigmoid(x),
    "gelu": lambda _, x: x * normal(x),
    "relu": lambda _, x: np.maximum(x, 0),
    "relu6": lambda _, x: np.clip(x, 0, 6),
    "hard_swish": lambda _, x: x * np.clip(x + 3, 0, 6) / 6,
    "hard_sigmoid": lambda _, x: np.clip(x + 3, 0, 6) / 6,
}
SLOPES = {
    "leaky_relu": lambda f, y: np.where(y > 0, 1, f.negative_slope),
    "sigmoid": lambda _, y: y * (1 - y),
    "tanh": lambda _, y: 1 - y**2,
    "silu": lambda _, x: sigmoid(x) * (1 + x * (1 - sigmoid(x))),
    "relu": lambda _, y: np.where(y > 0, 1, 0),
    "relu6": lambda _, y: np.where((y > 0) & (y < 6), 1, 0),
    "hard_swish": lambda _, x: np.where(x > 3, 1, np.where(x < -3, 0, x / 3 + 0.5)),
    "hard_sigmoid": lambda _, x: np.where(np.abs(x) < 3, 1 / 6, 0),
    "gelu": lambda _, x: normal(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi),
}
"""From y or from x, as `from_result` of the function says."""


def activation(k: Any, x: Array) -> Results:
    """y = f(x)."""
    return {"y": FUNCTIONS[k.function.name](k.function, x)}


def activation_back(k: Any, dy: Array, known: Array, dx: Array = 0.0) -> Results:
    """dx += dy · f′, from x or from y."""
    return {"dx": dx + dy * SLOPES[k.function.name](k.function, known)}


def total(a: Array, b: Array) -> Results:
    """y = a + b."""
    return {"y": a + b}


def product(a: Array, b: Array, y: Array = 0.0) -> Results:
    """y += a · b."""
    return {"y": y + a * b}


def scaled_channels(g: Array, x: Array, y: Array = 0.0) -> Results:
    """y[c] += x[c] · g[c]."""
    return {"y": y + x * g}


def product_sums(dy: Array, x: Array, dg: Array = 0.0) -> Results:
    """dg[c] += Σ_h Σ_w dy[c, h, w] · x[c, h, w]."""
    return {"dg": dg + (dy * x).sum((2, 3), keepdims=True)}


def concatenate(**xs: Array) -> Results:
    """y = the channels of x0, x1, …, one after the other."""
    return {"y": np.concatenate([xs[f"x{i}"] for i in range(sum(name[1:].isdigit() for name in xs))], 1)}


def concatenate_back(k: Any, dy: Array, dx: Array = 0.0) -> Results:
    """dx[c] += dy[first + c]."""
    return {"dx": dx + dy[:, k.first : k.first + k.dx.channels]}


def copy(x: Array, y: Array = 0.0) -> Results:
    """y += x."""
    return {"y": y + x}


def clear_border(y: Array) -> Results:
    """The image stays as it is."""
    return {"y": y}


def deliver(x: Array) -> Results:
    """values[n, c, h, w] = x[n, c, h, w], one after the other."""
    return {"values": x}


def reorder(x: Array) -> Results:
    """y[b, a] = x[a, b]."""
    return {"y": x.swapaxes(1, 2)}


def dropout_mask(k: Any, order: Array, rng_key: Array) -> Results:
    """m = 1 / (1 − p) where the reference keeps an element, else 0."""
    low, high, epoch = (int(number) for number in rng_key)
    keep = dropout_keep(high << 32 | low, epoch, order, k.layer, (k.size, 1, 1), k.p)
    return {"m": keep.reshape(len(order), -1) / (1 - k.p)}


def masked(x: Array, m: Array, y: Array = 0.0) -> Results:
    """y += x · m."""
    return {"y": y + x * m}


def masked_channels(x: Array, m: Array, y: Array = 0.0) -> Results:
    """y[c] += x[c] · m[c]."""
    return {"y": y + x * m[:, :, None, None]}


# -- batch normalization ------------------------------------------------------------------------------------------


def each(channel: Array) -> Array:
    """Return a number a channel for every pixel."""
    return channel[:, None, None]


def norm_sums(x: Array, sums: Array) -> Results:
    """sums += (Σ x, Σ x²)."""
    return {"sums": sums + np.stack([x.sum((0, 2, 3)), (x**2).sum((0, 2, 3))])}


def norm_gradient_sums(k: Any, x: Array, dy: Array, exact: Array, sums: Array, **line: Array) -> Results:
    """sums += (Σ dy, Σ dy · (x − mean)), of a dy that is passed back through the activation first."""
    dy, centered = before_activation(k, dy, x, **line), x - each(exact[0])
    return {"sums": sums + np.stack([dy.sum((0, 2, 3)), (dy * centered).sum((0, 2, 3))])}


def in_halves(value: Array) -> tuple[Array, Array]:
    """Return a number as a float32 and what is left."""
    high = value.astype(np.float32).astype(np.float64)
    return high, value - high


def norm_statistics(
    k: Any, sums: Array, w: Array, running_mean: Array, running_var: Array, images: int, **_: int
) -> Results:
    """mean = Σ x / M; variance = Σ x² / M − mean²; a = w / √(variance + eps); what runs moves by momentum."""
    M, (first, second) = images * k.pixels, sums.sum(0)
    mean, variance = first / M, second / M - (first / M) ** 2
    inverse, (high, rest) = 1 / np.sqrt(variance + k.eps), in_halves(mean)
    moved = {"running_mean": running_mean + k.momentum * (mean - running_mean),
             "running_var": running_var + k.momentum * (variance * M / (M - 1) - running_var)}  # fmt: skip
    return {"exact": np.stack([mean, inverse]), "mean": high, "mean_rest": rest, "a": w * inverse, **moved}


def whole_statistics(k: Any, sums: Array, **given: Any) -> Results:
    """The statistics from the sums over all processes, after which the number of images stands."""
    return told(norm_statistics, {"k": k, "sums": apart(k, sums), "images": sums[-1], **given})


def whole_gradients(k: Any, sums: Array, exact: Array) -> Results:
    """The gradients from the sums over all processes, after which the number of images stands."""
    return norm_gradients(k, apart(k, sums), exact, sums[-1])


def apart(k: Any, sums: Array) -> Array:
    """Return the two lists as those of one shard (1, 2, C)."""
    return sums[:-1].reshape(1, 2, -1)[:, :, : k.channels]


def line(x: Array, mean: Array, mean_rest: Array, a: Array, b: Array) -> Array:
    """(x − mean) · a + b."""
    return (x - each(mean) - each(mean_rest)) * each(a) + each(b)


def norm(k: Any, x: Array, other: Array = 0.0, **of_line: Array) -> Results:
    """y = f((x − mean) · a + b + other)."""
    y = line(x, **of_line) + other
    return {"y": FUNCTIONS[k.activation.name](k.activation, y) if k.activation else y}


def before_activation(k: Any, dy: Array, x: Array, **of_line: Array) -> Array:
    """dy · f′ at the y of x, if there is an activation f."""
    if not k.activation:
        return dy
    f, y = k.activation, line(x, **of_line)
    return dy * SLOPES[f.name](f, FUNCTIONS[f.name](f, y) if f.from_result else y)


def norm_gradients(k: Any, sums: Array, exact: Array, images: int) -> Results:
    """dw = D / √(variance + eps); db = Σ dy; slope = (db / M, D / (M · (variance + eps))), in halves."""
    M, (db, D), inverse = images * k.pixels, sums.sum(0), exact[1]
    return {"dw": D * inverse, "db": db, "slope": np.stack([*in_halves(db / M), *in_halves(D * inverse**2 / M)])}


def norm_back(k: Any, x: Array, dy: Array, mean: Array, mean_rest: Array, a: Array, slope: Array, dx: Array = 0.0,
              b: Array = 0.0) -> Results:  # fmt: skip
    """dx += a · ((dy − slope₀) − (x − mean) · slope₁), of a dy that is passed back through the activation first."""
    even, steep = slope[0] + slope[1], slope[2] + slope[3]
    dy = before_activation(k, dy, x, mean=mean, mean_rest=mean_rest, a=a, b=b)
    return {"dx": dx + each(a) * (dy - each(even) - (x - each(mean + mean_rest)) * each(steep))}


# -- fully connected, and the loss --------------------------------------------------------------------------------


def fc(x: Array, w: Array, b: Array = 0.0) -> Results:
    """y[n, o] = b[o] + Σ_i x[n, i] · w[o, i]."""
    return {"y": x @ w.T + b}


def fc_input(dy: Array, w: Array, dx: Array = 0.0) -> Results:
    """dx[n, i] += Σ_o dy[n, o] · w[o, i]."""
    return {"dx": dx + dy @ w}


def fc_weights(k: Any, x: Array, dy: Array, **step: Any) -> Results:
    """dw[o, i] = Σ_n dy[n, o] · x[n, i]; with an optimizer its step."""
    return stepped(k.optimizer, dy.T @ x, **step) if k.optimizer else {"dw": dy.T @ x}


def softmax_loss(
    k: Any, z: Array, labels: Array, order: Array, inverse: float, loss: Array, tallies: Array, **objective: Any
) -> Results:
    """With targets t = (1 − ε) · v[y] · [k = y] + ε / K · v[k]:  loss += Σ t · −ln p;  dz = (p · Σ t − t) · inverse."""
    y, minus_log = labels[order], np.log(np.exp(z).sum(1, keepdims=True)) - z
    t, p = targets(k, y, **objective), np.exp(-minus_log)
    counted = [y, p.argmax(1), y[p.argmax(1) == y]]
    return {
        "loss": loss + (t * minus_log).sum(),
        "dz": (p * t.sum(1, keepdims=True) - t) * inverse,
        "tallies": tallies + np.stack([np.bincount(some, minlength=k.classes) for some in counted]),
    }


def targets(k: Any, y: Array, hyper: Any = None, class_weights: Array | None = None) -> Array:
    """Return t (N, K)."""
    share = hyper.label_smoothing if k.objective.smoothing else 0.0
    v = class_weights[: k.classes] if k.objective.weighted else np.ones(k.classes)
    return (1 - share) * v[y][:, None] * np.eye(k.classes)[y] + share / k.classes * v


def probabilities(z: Array, labels: Array | None = None, order: Array = 0) -> Results:
    """p[k] = e^z[k] / Σ_j e^z[j];  loss = −ln p[y], where labels are given."""
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    losses = {} if labels is None else {"losses": -np.log(p[np.arange(len(z)), labels[order]])}
    return {"probabilities": p, **losses}


def loss_total(loss: Array, total: Array) -> Results:
    """total[1] = Σ over shards of the loss; total[0] += it."""
    return {"total": np.array([total[0] + loss.sum(), loss.sum()])}


def whole_loss(loss: Array, total: Array) -> Results:
    """total[1] = the loss over all processes, before the number of images; total[0] += it."""
    return {"total": np.array([total[0] + loss[0], loss[0]])}


def shard_sums(partial: Array, images: int) -> Results:
    """here = (Σ over shards, images)."""
    return {"here": np.array([*partial.sum(0), images])}


# -- updates ------------------------------------------------------------------------------------------------------


def reduced(partial: Array) -> Results:
    """g = Σ over shards."""
    return {"g": partial.sum(0)}


def step(k: Any, g: Array, **given: Any) -> Results:
    """The optimizer's step, from the sum over shards where g is partial; columns hold the new weights."""
    found = stepped(k.optimizer, g.sum(0) if k.partial else g, **given)
    return {**found, "w_columns": found["w"]}


def stepped(o: Optimizer, g: Array, factor: Array = 1.0, e: Array = 0.0, **given: Any) -> Results:
    """An optimizer's step with the clipped gradient and its factor of the rates; e = d·e + (1 − d)·w of new weights."""
    kind = sgd if isinstance(o, Sgd) else adamw if isinstance(o, AdamW) else follow
    rates = {name: o.rate_factor * given[name] for name in ("rate", "adam_rate") if name in given}
    found, d = told(kind, {**given, **rates, "o": o, "g": g * factor}), given["hyper"].ema
    return {**found, "e": d * e + (1 - d) * found["w"]}


def sgd(o: Any, g: Array, w: Array, hyper: SimpleNamespace, rate: float, v: Array = 0.0) -> Results:
    """g += λ·w;  v = μ·v + g;  w −= η·v, with Nesterov η·(g + μ·v)."""
    g = g + hyper.weight_decay * w if o.decay else g
    v = hyper.momentum * v + g if o.momentum else g
    return {"v": v, "w": w - rate * (g + hyper.momentum * v if o.nesterov else v)}


def adamw(
    o: Any, g: Array, w: Array, m: Array, s: Array, hyper: SimpleNamespace, rate: float, adam_rate: float,
    adam_scale: float,
) -> Results:  # fmt: skip
    """w −= η·λ·w;  m += (1 − β₁)·(g − m);  s = β₂·s + (1 − β₂)·g²;  w −= η′ · m / (√s · scale + ε)."""
    w = w - rate * hyper.weight_decay * w if o.decay else w
    m, s = m + hyper.one_minus_beta1 * (g - m), hyper.beta2 * s + hyper.one_minus_beta2 * g**2
    return {"m": m, "s": s, "w": w - adam_rate * m / (np.sqrt(s) * adam_scale + hyper.eps)}


def follow(o: Any, g: Array, w: Array, hyper: SimpleNamespace, rate: float) -> Results:
    """w −= η·λ·w;  w −= η·length·g."""
    w = w - rate * hyper.weight_decay * w if o.decay else w
    return {"w": w - rate * o.length * g}


def to_columns(w: Array) -> Results:
    """The same filters."""
    return {"w_columns": w}


def squares(k: Any, g: Array) -> Results:
    """squares[item] = Σ g² over a piece of the rows."""
    return {"squares": (g**2).reshape(k.slices, -1).sum(1)}


def clip_factor(hyper: SimpleNamespace, squares0: Array, squares1: Array) -> Results:
    """factor = min(1, c / (‖g‖ + 10⁻⁶))."""
    return {"factor": np.minimum(1, hyper.clip_norm / (np.sqrt(squares0.sum() + squares1.sum(keepdims=True)) + 1e-6))}


def muon(g: Array, v: Array, hyper: SimpleNamespace, factor: Array = 1.0) -> Results:
    """v = μ·v + g;  u = g + μ·v;  X = u / ‖u‖, five times X = a·X + (b·A + c·A·A)·X with A = X·Xᵀ."""
    v = hyper.momentum * v + g * factor
    u = (g * factor + hyper.momentum * v).reshape(len(g), -1)
    X = (u.T if len(u) > u.shape[1] else u) / (np.linalg.norm(u) + 1e-7)
    for _ in range(5):
        X = 3.4445 * X + (-4.7750 * X @ X.T + 2.0315 * X @ X.T @ X @ X.T) @ X
    return {"v": v, "u": (X.T if len(u) > u.shape[1] else X).reshape(g.shape)}
