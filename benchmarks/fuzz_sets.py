"""The inputs of `fuzz.py` for published sets: array files, EMNIST, CIFAR-100, STL-10, MATLAB, pixels, Parquet."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Final, final

import numpy as np
import scipy.io  # type: ignore[import-untyped]
from fuzz_inputs import Input, OfFiles
from fuzz_samples import idx, labels, npz, packed, pictures, png, zipped
from mutations import changed

import layerline

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from numpy.typing import NDArray


def _npy(array: NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@final
class ArrayFiles(OfFiles):
    """Files with one array each, .npy and .npz, that belong together by name."""

    def prepare(self, folder: Path) -> None:
        """Create images as squares and as rows, and labels as numbers and as text."""
        (folder / "set").mkdir()
        images, numbers = pictures(30)[:, 0], labels(30)
        self.samples = {
            "set/a-train-imgs.npz": tuple(npz({"arr_0": x}, np.savez) for x in (images, images.reshape(30, -1))),
            "set/a-train-labels.npz": tuple(npz({"arr_0": y}, np.savez) for y in (numbers, numbers.astype(str))),
            "set/a-test-imgs.npy": (_npy(images[:9]), _npy(np.asfortranarray(images[:9]))),
            "set/a-test-labels.npy": (_npy(numbers[:9]), _npy(numbers[:9, None])),
        }

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate a member, fixing its checksum, or any bytes."""
        if content.startswith(b"PK") and random.random() < 0.7:
            return zipped(random, content)
        head = random.random() < 0.7
        return changed(random, content[:128]) + content[128:] if head else changed(random, content, others)

    def given(self, random: Random, folder: Path) -> None:
        """Load the folder, or a file."""
        layerline.load_data(folder / "set" / random.choice(("", "a-train-imgs.npz", "a-test-imgs.npy")))


@final
class Emnist(OfFiles):
    """EMNIST's letters with their mapping."""

    def prepare(self, folder: Path) -> None:
        """Create a training and a test set."""
        (folder / "set").mkdir()
        images, numbers = pictures(30)[:, 0], labels(30) + np.uint8(1)
        self.samples = {
            "set/emnist-letters-train-images-idx3-ubyte": (idx(images),),
            "set/emnist-letters-train-labels-idx1-ubyte": (idx(numbers),),
            "set/emnist-letters-test-images-idx3-ubyte": (idx(images[:9]),),
            "set/emnist-letters-test-labels-idx1-ubyte": (idx(numbers[:9]),),
            "set/emnist-letters-mapping.txt": (b"1 65 97\n2 66 98\n3 67 99\n", b"1 65\r\n2 66\r\n3 0067\r\n"),
        }

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate the text, or an IDX file before or after compression."""
        return changed(random, content, others) if content[:1] == b"1" else packed(random, content, others)

    def given(self, random: Random, folder: Path) -> None:
        """Load the folder, or the file of training images."""
        name = random.choice(("", "emnist-letters-train-images-idx3-ubyte"))
        layerline.load_data(folder / "set" / name)


@final
class Cifar100(OfFiles):
    """CIFAR-100's Python files, in the protocols of Python 2 and 3, and its binary ones."""

    def prepare(self, folder: Path) -> None:
        """Create both formats."""
        for name in ("python", "binary"):
            (folder / name).mkdir()
        images, numbers = pictures(30, channels=3, side=32), labels(30)
        rows = images.reshape(30, -1)
        said = {b"data": rows, b"fine_labels": numbers.tolist(), b"coarse_labels": [0] * 30, b"filenames": [b"a"] * 30}
        train = tuple(pickle.dumps(said, protocol) for protocol in (2, 3, 4, 5))
        meta = tuple(pickle.dumps({"fine_label_names": ["a", "b", "ü"]}, protocol) for protocol in (2, 3, 4, 5))
        binary = (np.concatenate([numbers[:, None] * 0, numbers[:, None], rows], axis=1).tobytes(),)
        self.samples = {
            "python/train": train,
            "python/test": train,
            "python/meta": meta,
            "binary/train.bin": binary,
            "binary/test.bin": binary,
            "binary/fine_label_names.txt": ("a\nb\nü\n".encode(),),
        }

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate the start, where the opcodes of a pickle are, or any bytes."""
        head = random.random() < 0.5
        return changed(random, content[:400]) + content[400:] if head else changed(random, content, others)

    def given(self, random: Random, folder: Path) -> None:
        """Load one of the folders."""
        layerline.load_data(folder / random.choice(("python", "binary")), group_by="none")


@final
class Stl10(OfFiles):
    """STL-10's binary files."""

    def prepare(self, folder: Path) -> None:
        """Create thirty images for training, and use them as test images too."""
        (folder / "set").mkdir()
        images = (pictures(30, channels=3, side=96).tobytes(),)
        numbers = ((np.arange(30) % 10 + 1).astype(np.uint8).tobytes(),)
        names = ("\n".join(f"c{k}" for k in range(10)).encode(),)
        self.samples = {
            "set/train_X.bin": images,
            "set/test_X.bin": images,
            "set/train_y.bin": numbers,
            "set/test_y.bin": numbers,
            "set/class_names.txt": names,
        }

    def given(self, random: Random, folder: Path) -> None:
        """Load the folder."""
        layerline.load_data(folder / "set", group_by="none")


@final
class Matlab(OfFiles):
    """MATLAB files, compressed or not."""

    def prepare(self, folder: Path) -> None:
        """Create images of bytes and of floats, with text and a structure next to them."""
        images, numbers = pictures(30, channels=3).transpose(2, 3, 1, 0), labels(30)[:, None]
        found = []
        for x in (images, images / 255, images[:, :, 0]):
            for compressed in (False, True):
                file = io.BytesIO()
                held = {"X": x, "y": numbers, "text": "abc", "more": {"a": 1}}
                scipy.io.savemat(file, held, do_compression=compressed)
                found.append(file.getvalue())
        self.samples = {"train.mat": tuple(found), "test.mat": tuple(found)}

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate the header of the file and of its first array, or any bytes."""
        head = random.random() < 0.6
        return changed(random, content[:260]) + content[260:] if head else changed(random, content, others)

    def given(self, random: Random, folder: Path) -> None:
        """Load the training images, with the test images next to them."""
        layerline.load_data(folder / "train.mat")


@final
class PixelTable(OfFiles):
    """Tables with an image per line, compressed or not."""

    def prepare(self, folder: Path) -> None:
        """Create tables with and without a header, the label first, last or a name, decimals, and pixels as a text."""
        rows, numbers = pictures(30).reshape(30, -1), labels(30)[:, None]
        head = ",".join(["label", *(f"pixel{k}" for k in range(64))])
        plain = "\n".join(",".join(map(str, row)) for row in np.concatenate([numbers, rows], axis=1).tolist())
        last = "\n".join(",".join(map(str, row)) for row in np.concatenate([rows, numbers], axis=1).tolist())
        texts = [plain, f"{head}\n{plain}\n", last, f"{head}\n{plain}\n".replace(",", ";").replace("\n", "\r\n")]
        decimal = (",".join(f"{value:.4e}" for value in row) for row in np.concatenate([numbers, rows], axis=1))
        names = (f"d{label}," + ",".join(map(str, row)) for label, row in zip(numbers[:, 0], rows, strict=True))
        cells = (f"{label},{' '.join(map(str, row))}" for label, row in zip(numbers[:, 0], rows, strict=True))
        texts += ["\n".join(decimal), "\n".join(names), "\n".join(["emotion,pixels", *cells])]
        self.samples = {name: tuple(text.encode() for text in texts) for name in ("a_train.csv", "a_test.csv")}

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate the text before or after compression."""
        return packed(random, content, others)

    def given(self, random: Random, folder: Path) -> None:
        """Load the training images, with the test images next to them."""
        layerline.load_data(folder / "a_train.csv")


@final
class Parquet(OfFiles):
    """Parquet files of images with names of classes in their metadata and in a README."""

    def prepare(self, folder: Path) -> None:
        """Create files with several compressions."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        (folder / "set").mkdir()
        features = b'{"info": {"features": {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}}}'
        rows = [{"bytes": png(k), "path": f"{k}.png"} for k in range(18)]
        found = []
        for metadata in ({}, {b"huggingface": features}):
            table = pa.table({"image": rows, "label": [k % 3 for k in range(18)]}).replace_schema_metadata(metadata)
            for compression in ("none", "snappy", "gzip"):
                file = io.BytesIO()
                pq.write_table(table, file, compression=compression, row_group_size=7)
                found.append(file.getvalue())
        readme = (
            b"---\n  - name: label\n    dtype:\n      names:\n        '0': a\n        '1': b\n        '2': c\n---\n"
        )
        files = dict.fromkeys(("set/train.parquet", "set/test.parquet"), tuple(found))
        self.samples = {**files, "set/README.md": (readme,)}

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate the index at the end of a file, or any bytes."""
        tail = content.startswith(b"PAR1") and random.random() < 0.6
        return content[:-900] + changed(random, content[-900:-8]) + content[-8:] if tail else changed(random, content)

    def given(self, random: Random, folder: Path) -> None:
        """Load the folder."""
        layerline.load_data(folder / "set", size=8)


INPUTS: Final[dict[str, type[Input]]] = {
    "arrays": ArrayFiles,
    "emnist": Emnist,
    "cifar100": Cifar100,
    "stl10": Stl10,
    "matlab": Matlab,
    "pixels": PixelTable,
    "parquet": Parquet,
}
