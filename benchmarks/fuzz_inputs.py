"""The inputs of `fuzz.py`: for each parser, valid samples, written by the program itself where it writes such files,
checksums that are fixed after a mutation, and the code path by which a user's file is read.
"""

from __future__ import annotations

import abc
import io
import pickle
import shutil
import tarfile
import time
from typing import TYPE_CHECKING, Final, final

import numpy as np
from fuzz_samples import (
    NETWORK,
    SIDE,
    chunks_right,
    header_changed,
    idx,
    json_changed,
    labels,
    noise,
    npz,
    packed,
    pictures,
    png,
    run,
    tar_of,
    zipped,
)
from mutations import changed
from PIL import Image

import layerline
from layerline import comparison
from layerline.comparison.listing import listing
from layerline.data.photos import label_table
from layerline.data.photos.image_file import decode
from layerline.data.photos.image_format import BadImageError
from layerline.data.photos.sizing import Sizing
from layerline.errors import UserError
from layerline.experiment.experiment import settle
from layerline.files import tensors
from layerline.network import preset, presets
from layerline.network_file import formatted
from layerline.report import page
from layerline.runs import saved
from layerline.runs.checkpoint import Checkpoints
from layerline.runs.record import Record
from layerline.training import Interrupt, Watcher, run_of_model
from layerline.training.loop import Loop
from layerline.training.resuming import reopen

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random


class Input(abc.ABC):
    """A parser and its inputs. A case is a number, whose random generator determines everything."""

    refusals: tuple[type[Exception], ...] = (UserError,)
    """The exceptions that are allowed."""

    @abc.abstractmethod
    def prepare(self, folder: Path) -> None:
        """Create the samples and the unchanged files in an empty folder."""

    @abc.abstractmethod
    def read(self, random: Random, folder: Path) -> None:
        """Mutate a sample and read it."""


class OfFiles(Input):
    """A parser of files that are mutated as bytes."""

    def __init__(self) -> None:
        """Start without samples."""
        self.samples: dict[str, tuple[bytes, ...]] = {}
        """The names of the files that a case writes → their possible contents."""

    def read(self, random: Random, folder: Path) -> None:
        """Write all files, with one or two of them mutated."""
        wrong = set(random.sample(sorted(self.samples), min(len(self.samples), random.choice((1, 1, 2)))))
        for name, samples in self.samples.items():
            content = random.choice(samples)
            (folder / name).write_bytes(self.spoilt(random, content, samples) if name in wrong else content)
        self.given(random, folder)

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Return a mutated sample."""
        return changed(random, content, others)

    @abc.abstractmethod
    def given(self, random: Random, folder: Path) -> None:
        """Read the files."""


@final
class Network(OfFiles):
    """A network file."""

    def prepare(self, _folder: Path) -> None:
        """Use the presets, and their formatted versions."""
        plain = [preset(name) for name in presets()]
        blocks = (
            "Input 3 16 16\nRepeat 2\n  Residual\n    Conv 8 3 1 1\n  Shortcut\n    Conv 8 1\n  End\nEnd\nFlat\nFC 5\n"
        )
        texts = (*plain, *(formatted(text, "net.cnn") for text in plain), NETWORK, blocks)
        self.samples = {"net.cnn": tuple(text.encode() for text in texts)}

    def given(self, random: Random, folder: Path) -> None:
        """Read it with data of some shape, as `train` does, and format it, as `fmt` does."""
        path, shape = folder / "net.cnn", random.choice(((1, 28, 28), (3, 32, 32), (3, 96, 96), None))
        network = layerline.read(path, input_shape=shape, classes=random.choice((2, 10, None)))
        formatted(network.text, "net.cnn")
        network.describe()


@final
class Idx(OfFiles):
    """IDX files of images and labels, compressed with gzip or xz, or uncompressed."""

    def prepare(self, folder: Path) -> None:
        """Create images of bytes, of floats and of three channels."""
        images = pictures(30)[:, 0]
        kinds = (images, images.astype(">f4"), images.astype(">i2"), pictures(30, channels=3))
        (folder / "set").mkdir()
        self.samples = {
            "set/train-images-idx3-ubyte": tuple(map(idx, kinds)),
            "set/train-labels-idx1-ubyte": (
                idx(labels(30)),
                idx(labels(30).astype(">i4")),
            ),
        }

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate it before or after compression."""
        return packed(random, content, others)

    def given(self, random: Random, folder: Path) -> None:
        """Load the folder."""
        layerline.load_data(folder / "set")


@final
class Npz(OfFiles):
    """.npz files, mutated in a member or in the archive."""

    def prepare(self, folder: Path) -> None:
        """Create archives with numbers, one-hot rows and text as labels."""
        images, numbers = pictures(30), labels(30)
        names = np.array(["cat", "dög", "e\u0301"])[numbers]
        arrays = (
            {"x": images[:, 0], "y": numbers},
            {"x": images.astype(np.float32) / 255, "y": np.eye(3)[numbers]},
            {"x_train": images, "y_train": names, "x_test": images[:9], "y_test": names[:9]},
            {"x": images, "y": np.char.encode(names, "utf-8")},
            {"train_images": images, "train_labels": names, "test_images": images[:9], "test_labels": names[:9]},
            {"arr_0": images[:, 0], "arr_1": numbers},
            {"X": images.reshape(30, -1), "Y": numbers},
        )
        self.samples = {
            "set.npz": tuple(npz(each, save) for each in arrays for save in (np.savez, np.savez_compressed))
        }

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate a member, fixing its checksum, or the archive."""
        return zipped(random, content) if random.random() < 0.7 else changed(random, content, others)

    def given(self, random: Random, folder: Path) -> None:
        """Load the file."""
        layerline.load_data(folder / "set.npz")


@final
class Cifar(OfFiles):
    """CIFAR-10 batches, binary, pickled, and in an archive."""

    def __init__(self) -> None:
        """Start without batches."""
        super().__init__()
        self._python: dict[str, tuple[bytes, ...]] = {}
        self._binary: dict[str, tuple[bytes, ...]] = {}

    def prepare(self, folder: Path) -> None:
        """Create both formats with ten images per batch."""
        stems = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")
        images, numbers = pictures(10, channels=3, side=32), np.arange(10, dtype=np.uint8)
        rows = images.reshape(10, -1)
        binary = np.concatenate([numbers[:, None], rows], axis=1).tobytes()
        said = {b"data": rows, b"labels": numbers.tolist(), b"batch_label": b"x", b"filenames": [b"a.png"] * 10}
        pickled = tuple(pickle.dumps(said, protocol) for protocol in range(6))
        names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
        meta = pickle.dumps({b"label_names": [name.encode() for name in names], b"num_vis": 3072}, 2)
        self._python = {**dict.fromkeys(stems, pickled), "batches.meta": (meta,)}
        listed = ("\n".join(names).encode() + b"\n\n",)
        self._binary = {**{f"{stem}.bin": (binary,) for stem in stems}, "batches.meta.txt": listed}

    def read(self, random: Random, folder: Path) -> None:
        """Write one format with one batch mutated, as a folder or an archive."""
        shutil.rmtree(folder / "set", ignore_errors=True)
        (folder / "set").mkdir()
        self.samples = random.choice((self._python, self._binary))
        super().read(random, folder / "set")

    def given(self, random: Random, folder: Path) -> None:
        """Load the folder, or an archive of it."""
        if random.random() < 0.6:
            layerline.load_data(folder)
            return
        members = {name: (folder / name).read_bytes() for name in self.samples}
        path = folder.with_name("cifar-10.tar.gz")
        path.write_bytes(packed(random, tar_of(members), (), 0.3))
        layerline.load_data(path)


@final
class Tar(OfFiles):
    """A tar of images, with fixed header checksums, uncompressed or compressed with gzip or xz."""

    def prepare(self, folder: Path) -> None:
        """Create archives in the three formats that Python writes."""
        files = {f"{name}/{k}.png": png(k) for name in ("cat", "dog") for k in range(12)}
        files |= {
            "cat/" + "long" * 30 + ".png": png(5),
            "dog/ä.png": png(6),
            "notes.txt": b"hello",
        }
        forms = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
        self.samples = {"set.tar": tuple(tar_of(files, form) for form in forms)}

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate a header, fixing its checksum, or any bytes."""
        if random.random() < 0.6:
            content = header_changed(random, content)
        return packed(random, content, others, 0.4)

    def given(self, random: Random, folder: Path) -> None:
        """Load the archive."""
        layerline.load_data(folder / "set.tar", size=SIDE, cache=False)


@final
class Csv(OfFiles):
    """A label file, with its image files."""

    def prepare(self, folder: Path) -> None:
        """Create images, and files that label them in several ways."""
        names = [f"{k:02d}.png" for k in range(24)]
        (folder / "photos").mkdir()
        for k, name in enumerate(names):
            (folder / "photos" / name).write_bytes(png(k))
        lines = [
            f"{name},{'cat' if k % 2 else 'dog'},{'test' if k % 6 == 0 else 'train'},{k // 3}"
            for k, name in enumerate(names)
        ]
        full = "\n".join(["file,label,split,group", *lines]) + "\n"
        short = "\n".join(["file,label", *(f'"{name}","c, {k % 2}"' for k, name in enumerate(names))]) + "\n"
        self.samples = {
            "labels.csv": tuple(
                text.encode()
                for text in (full, short, full.replace(",", ";"), full.replace(",", "\t").replace("\n", "\r\n"))
            )
        }

    def given(self, random: Random, folder: Path) -> None:
        """Read the file, sometimes with the images."""
        label_table.read(folder / "labels.csv")
        if random.random() < 0.2:
            layerline.load_data(folder / "photos", labels=folder / "labels.csv", size=SIDE, cache=False)


@final
class Toml(OfFiles):
    """experiment.toml, as written by a user and as recorded by a run."""

    def prepare(self, folder: Path) -> None:
        """Train once and use its record, and write others."""
        record = (run(folder / "run") / "experiment.toml").read_bytes()
        plain = (
            b'[network]\nfile = "lenet5"\n\n[data]\ndata = "digits"\nclasses = ["0", "1"]\ntest = 0.2\n\n'
            b"[train]\nepochs = 3\nlearning_rate = 0.1\nclass_weights = [1.0, 2.0]\n"
        )
        text = b'[network]\ntext = """\n' + NETWORK.encode() + b'"""\n[data]\ndata = "digits"\n[train]\nwithin = "5m"\n'
        self.samples = {"experiment.toml": (record, plain, text)}

    def given(self, random: Random, folder: Path) -> None:
        """Read it, as `train` does."""
        settle(str(folder / "experiment.toml"), {})
        Record.read(folder / "experiment.toml")


class _Signed(OfFiles):
    """A tensor file; after most mutations of its header, length and digest are fixed."""

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate the header, or any bytes."""
        if random.random() < 0.2:
            return changed(random, content, others)
        length = int.from_bytes(content[:8], "little")
        header, body = content[8 : 8 + length].rstrip(), content[8 + length :]
        if random.random() < 0.2:
            body = changed(random, body)
        start = tensors.DIGEST_AT + tensors.DIGEST_LENGTH - 8
        header = header[:start] + json_changed(random, header[start:])
        header += b" " * (-len(header) % 8)
        whole = len(header).to_bytes(8, "little") + header + body
        return tensors.signed(whole)


@final
class ModelFile(_Signed):
    """A model file."""

    def prepare(self, folder: Path) -> None:
        """Train once."""
        self.samples = {"model.safetensors": ((run(folder / "run") / "model.safetensors").read_bytes(),)}

    def given(self, random: Random, folder: Path) -> None:
        """Load it, as `predict` and `describe` do."""
        model = layerline.load(folder / "model.safetensors", threads=1)
        model.network.describe()


@final
class Checkpoint(_Signed):
    """The newest checkpoint of a run that was stopped."""

    def prepare(self, folder: Path) -> None:
        """Train, stop between two epochs and within one, and use both checkpoints."""
        self._data = noise()
        self._name = "run/checkpoints/epoch-2.safetensors"
        whole = run(folder / "run", self._data)
        for name in ("result.json", "report.html"):
            (whole / name).unlink()
        self._kept = {path: path.read_bytes() for path in whole.iterdir() if path.is_file()}
        content = (folder / self._name).read_bytes()
        for path in (whole / "checkpoints").iterdir():
            path.unlink()
        self.samples = {self._name: (content,)}

    def given(self, random: Random, folder: Path) -> None:
        """Find it and prepare to resume from it, as `train --resume` does."""
        Checkpoints(folder / "run" / "checkpoints").latest()
        found = reopen(folder / "run", {"threads": 1}, load=lambda _: self._data)
        found.folder.release()
        Loop(found.prepared, Watcher(), Interrupt(), None, time.perf_counter)


@final
class RunFolder(OfFiles):
    """The folder of a run, with one or two files mutated."""

    def prepare(self, folder: Path) -> None:
        """Train once, with a test and a validation set."""
        made = run(folder / "run")
        names = (
            "experiment.toml",
            "network.cnn",
            "history.jsonl",
            "result.json",
            "predictions.npz",
            "model.safetensors",
        )
        self.samples = {f"run/{name}": ((made / name).read_bytes(),) for name in names}
        ending = b'{"ended": "stopped", "epochs": 1, "steps": 3}\n'
        self.samples["run/ending.json"] = (ending,)
        shutil.copytree(made, folder / "whole")

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate a file according to its format."""
        if content.startswith(b"PK") and random.random() < 0.8:
            return zipped(random, content)
        if content[8:10] == b'{"':
            return _Signed.spoilt(self, random, content, others)  # type: ignore[arg-type]
        return json_changed(random, content) if content.startswith(b"{") else changed(random, content, others)

    def given(self, random: Random, folder: Path) -> None:
        """List it, then report, compare and evaluate as far as its files allow."""
        run = folder / "run"
        (run / random.choice(("ending.json", "result.json", "predictions.npz"))).unlink()
        for row in listing([run]).runs:
            row.as_dict()
        page.render(saved.read(run))
        comparison.compare(folder / "whole", run).as_dict()
        run_of_model.find(run / "model.safetensors")


@final
class ImageFile(OfFiles):
    """An image file in any supported format."""

    refusals = (UserError, BadImageError)

    def prepare(self, folder: Path) -> None:
        """Create PNG, JPEG, BMP and TIFF files in all modes that Pillow writes, with text and EXIF metadata."""
        found = []
        exif = Image.Exif()
        exif[0x0112] = 6
        for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16", "CMYK", "F", "I"):
            pixels = Image.fromarray(pictures(1, channels=3, side=24)[0].transpose(1, 2, 0)).convert(
                mode if mode != "I;16" else "I"
            )
            image = pixels.convert("I;16") if mode == "I;16" else pixels
            for form in ("PNG", "JPEG", "BMP", "TIFF"):
                for more in (
                    {},
                    {"exif": exif},
                    {"compression": "tiff_lzw"} if form == "TIFF" else {"progressive": True},
                ):
                    file = io.BytesIO()
                    try:
                        image.save(file, form, **more)
                    except (OSError, ValueError, KeyError):  # a mode that this format does not have
                        continue
                    found.append(file.getvalue())
        self.samples = {"image": tuple(dict.fromkeys(found))}

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate a file; a PNG's checksums are usually fixed."""
        content = changed(random, content, others)
        return chunks_right(content) if content.startswith(b"\x89PNG") and random.random() < 0.8 else content

    def given(self, random: Random, folder: Path) -> None:
        """Decode it as training does."""
        sizing = Sizing(
            random.choice((None, (16, 16), (7, 40))),
            random.choice(("crop", "pad", "stretch")),
            gray=random.choice((None, True, False)),
        )
        decode((folder / "image").read_bytes(), sizing)


INPUTS: Final[dict[str, type[Input]]] = {
    "network": Network,
    "idx": Idx,
    "npz": Npz,
    "cifar": Cifar,
    "tar": Tar,
    "csv": Csv,
    "toml": Toml,
    "model": ModelFile,
    "checkpoint": Checkpoint,
    "run": RunFolder,
    "image": ImageFile,
}
