"""TRAIN: prediction of a few images per call in a loop: memory and axis order are set up once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.training import arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.engines.desk import Desk
    from layerline.training.model import Model


_STORED: Final = (np.dtype(np.uint8), np.dtype(np.float32))
"""The types that engines take."""


@dataclass(frozen=True, eq=False)
class _Seat:
    """A desk prepared for arrays of one type and shape."""

    form: tuple[Any, ...]
    """The type, shape and layout argument of the arrays."""
    desk: Desk
    batch: NDArray[Any]
    """The desk's memory for that many images, (N, C, H, W)."""
    view: NDArray[Any]
    """The same memory, with the arrays' axes."""


@final
class ImagePredictor:
    """Predicts like its model, but with less overhead per call: for loops over single images.

    `model.predictor()` returns one. It keeps its memory for the next array of the same type and shape. Results,
    warnings and errors are those of the model's methods, whatever the images are. It is thread-safe, but has memory for
    one call at a time: use one predictor per thread.
    """

    def __init__(self, model: Model) -> None:
        """Prepare; the first call compiles, unless the model has already predicted images of this type."""
        self.model = model
        self._seats: deque[_Seat] = deque(maxlen=1)

    def predict(self, images: Any, layout: str | None = None) -> NDArray[np.str_] | NDArray[np.int64]:
        """Return `model.predict(images, layout)`."""
        return self.model.most_probable(self.predict_proba(images, layout))

    def predict_proba(self, images: Any, layout: str | None = None) -> NDArray[np.float32]:
        """Return `model.predict_proba(images, layout)`."""
        seat = self._seat(images, layout) if type(images) is np.ndarray else None
        if seat is None:
            return self.model.predict_proba(images, layout)
        seat.view[...] = images
        batch = self.model.as_in_training(seat.batch)
        found = seat.desk.probabilities(len(batch)) if batch is seat.batch else self.model.probabilities(batch)
        self._seats.append(seat)
        return found

    def _seat(self, images: NDArray[Any], layout: str | None) -> _Seat | None:
        """Return memory for an array like this that no other call uses; None if the model has to predict it."""
        form = (images.dtype, images.shape, layout)
        try:
            seat = self._seats.pop()
        except IndexError:  # the first call, or one in a signal handler or in another thread
            return self._new_seat(images, form)
        return seat if seat.form == form else self._new_seat(images, form)

    def _new_seat(self, images: NDArray[Any], form: tuple[Any, ...]) -> _Seat | None:
        if images.dtype not in _STORED or not images.size:
            return None
        model = self.model
        axes = arrays.order_of(images, form[2], model.network.input_shape)
        batch = arrays.batch(images, axes, model.network.input_shape)
        desk = model.engine_with_weights().desk(batch)
        if desk is None or len(batch) > len(desk.images):
            return None
        memory = desk.images[: len(batch)]
        return _Seat(form, desk, memory, arrays.as_given(memory, axes))
