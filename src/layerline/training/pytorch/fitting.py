"""TRAIN: `fit_torch` trains a PyTorch module in place on the compiled engine. PyTorch is imported when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

from layerline.errors.wrong_calls import answered
from layerline.network.pytorch import check_installed
from layerline.training import by_name
from layerline.training.pytorch.fit_options import FitOptions, options_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from layerline.data.dataset import Dataset
    from layerline.runs.history import EpochRow
    from layerline.training.pytorch.fit import Fit

USAGE: Final = "fit_torch(model, train_loader, epochs=14, optimizer=optimizer)"


@by_name.with_options(FitOptions)
@answered(USAGE)
def fit_torch(
    module: nn.Module,
    data: Dataset | Any,
    *,
    epochs: int | None = None,
    optimizer: Optimizer | Literal["sgd", "adamw", "muon"] | None = None,
    scheduler: LRScheduler | None = None,
    scheduler_step: Literal["epoch", "batch"] | None = None,
    validation: Any = None,
    test: Any = None,
    shuffle: bool | None = None,
    read_once: bool = False,
    threads: int | None = None,
    on_epoch: Callable[[EpochRow], object] | None = None,
    **options: Unpack[FitOptions],
) -> Fit:
    """Train a PyTorch module in place, with the cross-entropy of its logits; return the history and test results.

    data: (x, y) of tensors or arrays, a TensorDataset, any Dataset with a length, a DataLoader, or what
        `layerline.load_data` returns. Images are float32 or uint8 (N, C, H, W), as the module gets them; labels are
        class numbers. A Dataset is read once, before the training; of a DataLoader, dataset, batch_size, shuffle and
        drop_last are used.
    validation: the same, evaluated after every epoch. test: the same, evaluated once, at the end.
    optimizer: torch.optim.SGD, AdamW, or Adam without weight decay, with all parameters of the module. Or a name, or
        None: then whatever `options` do not set is chosen or measured as in `layerline.train`, but no augmentation and
        no class weights.
    scheduler: any scheduler of this optimizer whose learning rates depend on the epoch alone. scheduler_step: how often
        it is stepped; None: after every batch for OneCycleLR and CyclicLR, after every epoch for all others.
    shuffle: whether images are shuffled before every epoch; None: as the DataLoader does, without one yes.
    read_once: accept a Dataset with random transforms, and train on the images as first read.
    on_epoch: called with the row of each finished epoch; if it returns True (NumPy's and PyTorch's are fine, too), the
        training finishes with that epoch. Any other result, such as 1, is ignored.
    options: batch_size (by default that of the DataLoader), augment, class_weights, label_smoothing, clip_norm, seed;
        for an optimizer by name also its settings and schedule.

    After every epoch, weights and BatchNorm statistics are written into the module, its state into the optimizer, and
    the scheduler is stepped: PyTorch can continue from there, and so does the next call. If an epoch is stopped
    (Ctrl-C), fails or diverges, all have the state of the last complete epoch. Raises UserError (DataError,
    RecipeError, …) before anything is changed, and DivergedError.
    """
    check_installed("fit_torch()")
    from layerline.training.pytorch.module_fit import fitted

    chosen = options_of(options, fit_torch)
    if epochs is not None:
        chosen["epochs"] = epochs
    return fitted(
        *(module, data, chosen, validation, test),
        optimizer=optimizer,
        scheduler=scheduler,
        scheduler_step=scheduler_step,
        shuffle=shuffle,
        read_once=read_once,
        threads=threads,
        on_epoch=on_epoch,
    )
