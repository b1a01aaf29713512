"""`layerline predict`: what a model says of image files is, bit for bit, what its training said of them."""

from __future__ import annotations

import csv
import io
import json
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner, Result
from image_files import picture, png, tree
from PIL import Image

import layerline
from layerline.cli.entry_point import layerline as command
from layerline.errors import UserError
from layerline.training import photos
from layerline.training.prediction import files_of

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSES = ("cat", "dog")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with photos of many sizes, some on their side by EXIF, and a run on them."""
    folder = tmp_path_factory.mktemp("predict")
    rng = np.random.default_rng(3)
    for k, name in enumerate(CLASSES):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(24):
            H, W = rng.integers(20, 60, 2)
            pixels = rng.integers(0, 100, (H, W, 3)) + 100 * k
            exif = Image.Exif()
            exif[0x0112] = int(rng.choice([1, 6]))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / name / f"{number:02}.jpg", exif=exif)
    (folder / "net.cnn").write_text("Conv 4 3\nReLU\nPool 2\nFlat\nFC classes\n")
    line = [str(folder / "net.cnn"), "--data", str(folder / "photos"), "--size", "16x20", "--fit", "pad"]
    line += ["--normalize", "standard", "--epochs", "2", "--lr", "0.01", "--cache", "no", "--threads", "1", "--quiet"]
    ended = CliRunner().invoke(command, ["train", *line, "--out", str(folder / "run")], catch_exceptions=False)
    assert ended.exit_code == 0
    return folder


def run(folder: Path, words: Sequence[str], **named: object) -> Result:
    return CliRunner().invoke(command, ["predict", str(folder / "run"), *words], **named)  # type: ignore[arg-type]


def rows(ended: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.mark.smoke
def test_files_give_the_bits_of_the_training(trained: Path) -> None:
    """Every test image, read again from its file, has the probabilities that predictions.npz keeps, to the last bit."""
    with np.load(trained / "run" / "predictions.npz") as file:
        kept = dict(file)
    ended = run(trained, [str(trained / "photos"), "--format", "jsonl", "--top", "2"])
    assert ended.exit_code == 0, ended.output
    said = {str(row["file"]): {t["class"]: t["probability"] for t in row["top"]} for row in rows(ended)}  # type: ignore[attr-defined]
    assert len(said) == 48
    for name, probabilities in zip(kept["names"].tolist(), kept["probabilities"], strict=True):
        found = said[str(trained / "photos" / name)]
        assert [np.float32(found[label]) for label in CLASSES] == probabilities.tolist()


def test_python_gives_the_same_bits(trained: Path) -> None:
    """`load(…).predict_proba` of the decoded pixels, and the command, agree to the last bit, in every memory order."""
    from layerline.data.photos.image_file import decode
    from layerline.data.photos.sizing import Sizing

    path = trained / "photos" / "cat" / "03.jpg"
    pixels = decode(path.read_bytes(), Sizing((16, 20), "pad", gray=False)).pixels[None]
    model = layerline.load(trained / "run")
    (row,) = rows(run(trained, [str(path), "--format", "jsonl", "--top", "2"]))
    said = {t["class"]: np.float32(t["probability"]) for t in row["top"]}  # type: ignore[attr-defined]
    for images, layout in (
        (pixels, "NHWC"),
        (pixels.transpose(0, 3, 1, 2), "NCHW"),
        (pixels.transpose(0, 3, 1, 2).astype(np.float32), "NCHW"),
    ):
        assert model.predict_proba(images, layout)[0].tolist() == [said[label] for label in model.classes]


def test_python_takes_files_and_pillow_images(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths, strings, Pillow images read or not yet, lists of all of them: the command's answer, bit for bit."""
    paths = sorted((trained / "photos").rglob("*.jpg"))
    ended = run(trained, [str(trained / "photos"), "--format", "jsonl", "--top", "2"])
    said = {str(row["file"]): {t["class"]: np.float32(t["probability"]) for t in row["top"]} for row in rows(ended)}  # type: ignore[attr-defined]
    model = layerline.load(trained / "run")
    expected = np.array([[said[str(path)][label] for label in CLASSES] for path in paths])
    unread, read = [Image.open(path) for path in paths], [Image.open(path) for path in paths]
    for image in read:
        image.load()
    mixed = [(str(path), path, unread[k], read[k])[k % 4] for k, path in enumerate(paths)]
    monkeypatch.setattr(photos, "BATCH", 7)
    for given in (paths, list(map(str, paths)), unread, read, mixed, tuple(mixed), np.array(list(map(str, paths)))):
        np.testing.assert_array_equal(model.predict_proba(given), expected)
    for one in (paths[3], str(paths[3]), unread[3], read[3], io.BytesIO(paths[3].read_bytes())):
        given = Image.open(one) if isinstance(one, io.BytesIO) else one
        np.testing.assert_array_equal(model.predict_proba(given), expected[3:4])
    for image in unread:
        image.close()
    assert model.predict(paths[:2]).tolist() == [CLASSES[k] for k in expected[:2].argmax(axis=1)]


def test_a_pillow_image_is_taken_as_it_is_now(trained: Path) -> None:
    """What a program has drawn into an image counts, and its orientation; gray and palette become what files become."""
    model = layerline.load(trained / "run")
    drawn = Image.open(trained / "photos" / "cat" / "00.jpg")
    drawn.paste((255, 0, 0), (0, 0, 9, 9))
    kept = io.BytesIO()
    drawn.save(kept, "PNG", exif=drawn.getexif())
    unread = Image.open(kept)
    place = kept.tell()
    np.testing.assert_array_equal(model.predict_proba(drawn), model.predict_proba(unread))
    assert kept.tell() == place
    np.testing.assert_array_equal(np.asarray(unread), np.asarray(drawn))
    for mode in ("L", "P", "RGBA"):
        changed, file = Image.open(trained / "photos" / "dog" / "01.jpg").convert(mode), io.BytesIO()
        changed.save(file, "PNG", exif=changed.getexif())
        np.testing.assert_array_equal(model.predict_proba(changed), model.predict_proba(Image.open(file)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere.jpg", "nowhere.jpg: no such file"),
        (Path(), "is a folder, not an image file\n  help: list its files in order: sorted("),
        (["text.png", "text.png"], "2 images cannot be read:\n    text.png: found "),
        (Image.new("F", (4, 4)), "a Pillow image: found pixels of mode F"),
        (["text.png", np.zeros((3, 16, 20))], "item 1 is a ndarray, expected a path or a Pillow image"),
    ],
)
def test_files_that_cannot_be_asked_about(
    given: object, message: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Python every image must be readable, for the answer has a row for each; all that are not are told at once."""
    monkeypatch.chdir(tmp_path)
    Path("text.png").write_text("no image")
    with pytest.raises(UserError) as caught:
        layerline.load(trained / "run").predict(given)
    assert message in str(caught.value)


def test_one_image_from_standard_input(trained: Path) -> None:
    """`-` is an image's bytes on standard input; it is said to be what its file is."""
    path = trained / "photos" / "dog" / "05.jpg"
    (piped,) = rows(run(trained, ["-", "--format", "jsonl"], input=path.read_bytes()))
    (named,) = rows(run(trained, [str(path), "--format", "jsonl"]))
    assert piped["file"] == "-"
    assert {**piped, "file": ""} == {**named, "file": ""}


def test_csv_and_table_say_the_same(trained: Path) -> None:
    """CSV has a head and full digits; the table four; --unsure marks what is below the share, and nothing else."""
    words = [str(trained / "photos" / "cat"), "--unsure", "0.6"]
    plain = rows(run(trained, [*words, "--format", "jsonl"]))
    found = list(csv.DictReader(io.StringIO(run(trained, [*words, "--format", "csv"]).stdout)))
    assert [(row["file"], row["class"], float(row["probability"])) for row in found] == [
        (row["file"], row["class"], row["probability"]) for row in plain
    ]
    assert [row["unsure"] == "yes" for row in found] == [row["unsure"] for row in plain]
    assert [row["unsure"] for row in plain] == [row["probability"] < 0.6 for row in plain]  # type: ignore[operator]
    lines = run(trained, words).stdout.splitlines()
    for line, row in zip(lines, plain, strict=True):
        assert line.endswith(f"  {row['file']}")
        assert line.startswith("unsure") == row["unsure"]
        assert f"{row['probability']:.4f}"[:5] in line


def test_what_cannot_be_read_is_listed_and_the_others_predicted(trained: Path, tmp_path: Path) -> None:
    """Damaged and foreign files are listed together at the end, exit 2; every other image has its line."""
    good = (trained / "photos" / "cat" / "00.jpg").read_bytes()
    (tmp_path / "good.jpg").write_bytes(good)
    (tmp_path / "cut.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "notes.txt").write_text("beside")
    ended = run(trained, [str(tmp_path), "--format", "jsonl"])
    assert [row["file"] for row in rows(ended)] == [str(tmp_path / "good.jpg")]
    assert isinstance(ended.exception, UserError)
    assert "2 images cannot be read" in ended.exception.message
    assert "cut.jpg: found a truncated image" in ended.exception.message
    assert "text.png: found " in ended.exception.message
    assert ended.exception.help == "the other one was predicted"


@pytest.mark.parametrize("name", ["set.npz", "set.csv", "set.parquet", "set.zip", "train-images-idx3-ubyte.gz"])
def test_a_data_set_is_refused_with_the_command_that_takes_it(trained: Path, tmp_path: Path, name: str) -> None:
    """Nothing is predicted, so nothing is said to be; `evaluate` takes labeled sets, and Python takes arrays."""
    (tmp_path / name).write_bytes(b"PK\3\4 whatever")
    ended = run(trained, [str(tmp_path / name)])
    assert isinstance(ended.exception, UserError)
    assert ended.stdout == ""
    model = str(trained / "run")
    assert ended.exception.help == (
        "predict takes image files, and folders of images; to evaluate it on labeled data: layerline evaluate "
        f"{model} --data {tmp_path / name} --split all; to predict arrays, in Python: "
        f"layerline.load({model!r}).predict(x)"
    )


def test_one_damaged_image_alone_has_no_others(trained: Path, tmp_path: Path) -> None:
    """The help says what predict takes, and no command for data sets."""
    (tmp_path / "text.png").write_text("no image")
    ended = run(trained, [str(tmp_path / "text.png")])
    assert isinstance(ended.exception, UserError)
    assert ended.exception.help == "predict takes image files, and folders of images"


def test_the_command_for_a_data_set_works(trained: Path, tmp_path: Path) -> None:
    """The command of the help, as it is written there, evaluates an archive of the images of the training."""
    archive = Path(shutil.make_archive(str(tmp_path / "all"), "zip", trained, "photos"))
    ended = run(trained, [str(archive)])
    assert isinstance(ended.exception, UserError)
    line = str(ended.exception.help).split("data: layerline ")[1].split(";")[0]
    evaluated = CliRunner().invoke(command, shlex.split(line), catch_exceptions=False)
    assert evaluated.exit_code == 0
    assert "48 images" in evaluated.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.jpg"], "nowhere.jpg: no such file or folder"),
        ([".", "--top", "3"], "--top 3: must be a whole number from 1 to 2"),
        ([".", "--unsure", "60"], "--unsure 60: must be a number between 0 and 1"),
        ([".", "--format", "xml"], "--format xml: unknown"),
        (["empty"], "empty: no images in this folder"),
    ],
)
def test_mistakes(
    words: list[str], message: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each mistake is told with what is expected, before anything is printed."""
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    ended = run(trained, words)
    assert isinstance(ended.exception, UserError)
    assert message in ended.exception.message
    assert ended.stdout == ""


def test_pixels_come_to_the_scale_of_the_training(tmp_path: Path) -> None:
    """A model of digits, whose largest value is 16, sees an image file's 255 as 16."""
    data = layerline.load_data("digits", limit=200)
    ended = layerline.train(layerline.read("digits", data), data, layerline.Recipe(epochs=2), threads=1)
    ended.model.save(tmp_path / "run")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (row,) = rows(run(tmp_path, [str(tmp_path / "a.png"), "--format", "jsonl"]))
    expected = ended.model.predict_proba((pixels.astype(np.float32) * np.float32(16 / 255))[None])
    assert np.float32(row["probability"]) == expected.max()  # type: ignore[arg-type]


def test_folders_of_runs_are_no_images_to_predict(tmp_path: Path) -> None:
    """Graphs of a run below a folder are left out and counted; a folder behind a link is read once."""
    run_of = {f"a/runs/x-1/{name}": png(picture()) for name in ("loss.png", "checkpoints/b.png")}
    tree(tmp_path, {"a/1.png": png(picture()), "b/2.png": png(picture()), **run_of})
    for name in ("network.cnn", "experiment.toml"):
        (tmp_path / "a/runs/x-1" / name).touch()
    (tmp_path / "a/b").symlink_to(tmp_path / "b")
    (tmp_path / "b/again").symlink_to(tmp_path / "a")
    files, runs = files_of([tmp_path / "a"])
    assert [file.name for file in files] == [str(tmp_path / "a/1.png"), str(tmp_path / "a/b/2.png")]
    assert runs == [tmp_path / "a/runs/x-1"]


def test_names_that_a_terminal_obeys(tmp_path: Path) -> None:
    """A class name of escape codes or markup: exact where a program reads (CSV, JSON), escaped in the table."""
    names = ["\x1b[31mred", "<img src=x onerror=alert(1)>"]
    pixels = np.random.default_rng(0).integers(0, 256, (40, 6, 6), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", x=pixels, y=np.array(names)[np.arange(40) % 2])
    Image.fromarray(pixels[0]).save(tmp_path / "one.png")
    (tmp_path / "net.cnn").write_text("Flat\nFC classes\n")
    line = [str(tmp_path / "net.cnn"), "--data", str(tmp_path / "set.npz"), "--epochs", "1", "--lr", "0.01", "--quiet"]
    ended = CliRunner().invoke(command, ["train", *line, "--out", str(tmp_path / "run")], catch_exceptions=False)
    assert ended.exit_code == 0
    one = [str(tmp_path / "one.png"), "--top", "2"]
    said = run(tmp_path, [*one, "--format", "jsonl"]).stdout
    assert sorted(each["class"] for each in json.loads(said)["top"]) == sorted(names)
    row = next(csv.DictReader(io.StringIO(run(tmp_path, [*one, "--format", "csv"]).stdout)))
    assert {row["class"], row["class_2"]} == set(names)
    table = run(tmp_path, one).stdout
    assert "\\x1b[31mred" in table
    assert "\x1b" not in table
    assert "<img src=x" not in (tmp_path / "run" / "report.html").read_text()
