"""The formats beside PNG, JPEG, BMP and TIFF: what is read of each, and what is refused by its first bytes."""

from __future__ import annotations

import contextlib
import io
import struct
from typing import Any

import numpy as np
import pytest
from image_files import folder_of, jpeg, picture, png, saved, tiff, tree
from PIL import Image, TiffImagePlugin

from layerline.data import load_data
from layerline.data.photos import image_file, image_format
from layerline.data.photos.image_file import decode, outline
from layerline.data.photos.image_format import BadImageError
from layerline.data.photos.sizing import Sizing
from layerline.errors import DataError

pytestmark = pytest.mark.filterwarnings("error")

GRAY, RGB = picture(0, (6, 5), 1), picture(1)
FORMATS = ["WEBP", "GIF", "AVIF", "PPM"]


def soft(size: tuple[int, int] = (48, 40)) -> np.ndarray:
    """Return colors that change slowly: all codecs come near them."""
    coarse = Image.fromarray(picture(1, (4, 4))).resize(size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(coarse)


def netpbm(magic: str, header: str, content: bytes) -> bytes:
    return f"{magic}\n{header}\n".encode() + content


@pytest.mark.smoke
@pytest.mark.parametrize(("form", "options"), [("WEBP", {"lossless": True}), ("PPM", {})])
@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["gray", "RGB"])
def test_lossless_formats_give_back_their_pixels(form, options, pixels):
    """What was saved without loss is what is read; WebP has no gray, and gives it as RGB."""
    found = decode(saved(pixels, form, **options)).pixels
    np.testing.assert_array_equal(found, np.dstack([pixels] * 3) if form == "WEBP" and pixels.ndim == 2 else pixels)


@pytest.mark.smoke
@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_what_pillow_makes_of_it(form):
    """Photo or palette, the pixels are those of Pillow's own conversion to RGB, whatever the file is called."""
    content = saved(soft(), form)
    found = decode(content)
    np.testing.assert_array_equal(found.pixels, np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    assert (found.size, found.several, found.halved) == ((48, 40), False, False)
    assert outline(content) == ((48, 40), False)


@pytest.mark.parametrize("form", ["WEBP", "GIF", "AVIF"])
def test_of_an_animation_the_first_frame_is_taken(form):
    """The first frame, and it is reported that there are more."""
    frames = [Image.fromarray(soft()), Image.fromarray(soft()[::-1])]
    content = saved(frames[0], form, save_all=True, append_images=frames[1:])
    found = decode(content)
    assert found.several
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(found.pixels, np.asarray(image.convert("RGB")))
    off = [np.abs(found.pixels.astype(int) - np.asarray(frame)).mean() for frame in frames]
    assert off[0] < off[1] / 2


@pytest.mark.parametrize(("form", "options"), [("WEBP", {"lossless": True, "exact": True}), ("AVIF", {"quality": 100})])
def test_transparency_is_laid_over_white(form, options):
    """Clear is white, opaque is its color."""
    alpha = np.full((48, 40), 255, np.uint8)
    alpha[:24] = 0
    found = decode(saved(np.dstack([soft(), alpha]), form, **options)).pixels
    assert (found[:20] == 255).all()
    assert np.abs(found[28:].astype(int) - soft()[28:]).max() <= (0 if form == "WEBP" else 24)


def test_what_a_palette_makes_clear_is_white():
    """Of a GIF's palette the transparent entry, gray or colored."""
    for palette in ([0, 0, 0, 250, 10, 20, 30, 240, 50], [0, 0, 0, 1, 1, 1, 2, 2, 2]):
        image = Image.fromarray(GRAY % 3, "P")
        image.putpalette(palette)
        colors = np.array(palette, np.uint8).reshape(3, 3)
        colors[1] = 255
        found = decode(saved(image, "GIF", transparency=1)).pixels
        found = np.dstack([found] * 3) if found.ndim == 2 else found
        np.testing.assert_array_equal(found, colors[GRAY % 3])


@pytest.mark.parametrize("form", ["WEBP", "AVIF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_an_exif_orientation_is_applied(form, turn):
    """As in a JPEG with the same pixels and the same orientation, also in the size from the header."""
    exif = Image.Exif()
    exif[0x0112] = turn
    wanted = decode(saved(soft(), "JPEG", exif=exif.tobytes(), quality=95))
    content = saved(soft(), form, exif=exif.tobytes(), quality=95)
    found = decode(content)
    assert found.size == wanted.size == outline(content)[0]
    assert np.abs(found.pixels.astype(int) - wanted.pixels).mean() < 6


@pytest.mark.smoke
def test_netpbm_is_read_in_all_its_forms():
    """Bits, gray and color, as bytes and as text, with comments; a smaller largest value is scaled to 255."""
    bits = GRAY > 128
    text = " ".join(map(str, RGB.reshape(-1)))
    for content, wanted in (
        (netpbm("P5", "5 6\n255", GRAY.tobytes()), GRAY),
        (netpbm("P5", "# a comment\n5 6 # another\n255", GRAY.tobytes()), GRAY),
        (netpbm("P6", "5 6\n255", RGB.tobytes()), RGB),
        (netpbm("P3", "5 6\n255", text.encode()), RGB),
        (netpbm("P2", "5 6\n15", " ".join(map(str, GRAY.reshape(-1) % 16)).encode()), GRAY % 16 * 17),
        (netpbm("P4", "5 6", np.packbits(~bits, axis=1).tobytes()), bits * 255),
        (netpbm("P1", "5 6", "".join(map(str, (~bits).astype(int).reshape(-1))).encode()), bits * 255),
    ):
        np.testing.assert_array_equal(decode(content).pixels, wanted)


def test_sixteen_bits_of_a_pgm_are_kept_like_those_of_a_png():
    """All bits if requested, else the upper eight; the header says that there are sixteen. Of RGB, eight are used."""
    wide = np.random.default_rng(0).integers(0, 65536, (6, 5)).astype(np.uint16)
    wide[0, :2] = 0, 65535
    content = netpbm("P5", "5 6\n65535", wide.astype(">u2").tobytes())
    np.testing.assert_array_equal(decode(content, Sizing(deep=True)).pixels, wide)
    np.testing.assert_array_equal(decode(content).pixels, wide >> 8)
    assert decode(content).halved
    assert outline(content) == ((6, 5), True)
    colors = decode(netpbm("P6", "5 6\n65535", np.dstack([wide] * 3).astype(">u2").tobytes()))
    assert colors.halved
    assert np.abs(colors.pixels.astype(int) - (wide >> 8)[..., None]).max() <= 1


@pytest.mark.parametrize(("form", "end"), [("WEBP", 1), ("GIF", 3), ("AVIF", 1), ("PPM", 1)])
def test_a_file_that_is_cut_anywhere_is_refused(form, end):
    """However many bytes are missing; a GIF ends in two bytes that hold nothing."""
    content = saved(soft((20, 20)), form)
    for length in (*range(0, len(content) - end, 7), len(content) - end):
        with pytest.raises(BadImageError):
            decode(content[:length])


def test_bombs_are_refused_by_their_header():
    """More pixels than allowed are refused before there is memory for them, and without a warning of Pillow's."""
    webp = bytearray(saved(RGB, "WEBP"))
    webp[26:30] = struct.pack("<HH", 16383, 16383)
    clear = bytearray(saved(np.dstack([RGB, GRAY]), "WEBP", lossless=True))
    at = clear.index(b"VP8L") + 9
    clear[at : at + 4] = struct.pack("<L", 16383 | 16383 << 14)
    canvas = bytearray(saved(RGB, "WEBP", exif=b"Exif\0\0II*\0"))
    assert canvas[12:16] == b"VP8X"
    canvas[24:30] = b"\xff\xff\xff\xff\xff\xff"
    screen = bytearray(saved(GRAY, "GIF"))
    screen[6:10] = struct.pack("<HH", 65535, 65535)
    frame = bytearray(saved(GRAY, "GIF"))
    at = frame.index(b",\0\0\0\0\5\0\6\0")
    frame[at + 5 : at + 9] = struct.pack("<HH", 65535, 65535)
    with pytest.raises(BadImageError, match="99999×99999 pixels, expected at most 80,000,000"):
        decode(netpbm("P6", "99999 99999\n255", b""))
    for content in (webp, clear, canvas, screen, frame):
        for read in (decode, outline):
            with pytest.raises(BadImageError, match="pixels, expected at most 80,000,000"):
                read(bytes(content))


@pytest.mark.parametrize("form", ["WEBP", "GIF", "AVIF"])
def test_every_damaged_byte_raises_nothing_else(form):
    """Whichever byte is changed, there is an image or a BadImageError, and no warning."""
    content = bytearray(saved(soft((12, 12)), form))
    for position in range(len(content)):
        content[position] ^= 0xFF
        with contextlib.suppress(BadImageError):
            decode(bytes(content))
        content[position] ^= 0xFF


def raw_files() -> dict[str, bytes]:
    """Return starts of cameras' raw files, and whole ones whose thumbnail a decoder of TIFF would read."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[0x00FE], info[0x014A] = 1, 8
    version = TiffImagePlugin.ImageFileDirectory_v2()
    version[0xC612] = b"\1\4\0\0"
    return {
        "CR2": b"II*\0\x10\0\0\0CR\2\0" + bytes(40),
        "NEF": saved(RGB, "TIFF", tiffinfo=info),
        "DNG": saved(RGB, "TIFF", tiffinfo=version),
        "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(40),
        "RAF": b"FUJIFILMCCD-RAW 0201" + bytes(40),
    }


@pytest.mark.parametrize("name", raw_files())
def test_a_raw_file_is_called_so_and_never_read(name):
    """By its content, whatever its name; also where its thumbnail could be read."""
    content = raw_files()[name]
    assert image_format.is_image(content[: image_format.START])
    for read in (decode, outline):
        with pytest.raises(BadImageError, match=r"^a RAW camera file, expected PNG"):
            read(content)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "a sound or video file"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(40), "a video"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1vvic" + bytes(40), "an unusual HEIF image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "a JPEG XL image"),
        (b"8BPS\0\1" + bytes(40), "a Photoshop file"),
        (b"P6 is the name of this text", "plain text"),
        (b"P7\nWIDTH 5\nHEIGHT 6\n", "plain text"),
        (b"Pf\n5 6\n-1.0\n" + bytes(120), "unrecognized data"),
    ],
)
def test_other_formats_are_named_before_a_decoder_sees_them(content, what, monkeypatch):
    """Formats that look like supported ones, and are not, never reach a decoder."""
    monkeypatch.setattr(image_file, "_opened", lambda *_: pytest.fail("a decoder was asked"))
    with pytest.raises(BadImageError, match=what):
        decode(content)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)


@pytest.mark.parametrize(
    ("form", "content", "command"),
    [
        ("heic", HEIC, "pip install 'layerline[heic]'"),
        ("avif", saved(RGB, "AVIF"), "pip install --force-reinstall --only-binary :all: pillow"),
        ("webp", saved(RGB, "WEBP"), "pip install --force-reinstall --only-binary :all: pillow"),
    ],
)
def test_without_its_decoder_a_format_names_what_to_install(form, content, command, tmp_path, monkeypatch):
    """HEIC without pillow-heif, AVIF and WebP where Pillow was built without them: the command."""
    image_format.decoder.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("PIL.features.check", lambda _: False)
    monkeypatch.chdir(tmp_path)
    tree("set", {f"{kind}/{k}.{form.upper()}": content for kind in "ab" for k in range(3)})
    with pytest.raises(DataError) as caught:
        load_data("set")
    assert caught.value.help == f"to read them: {command}"
    tree("set", {f"{kind}/{k}.jpg": jpeg(picture(k)) for kind in "ab" for k in range(9)})
    with pytest.raises(DataError) as caught:
        load_data("set")
    more = f"to omit them: layerline data info set --exclude '*.{form.upper()}'"
    assert caught.value.help == f"to read them: {command}; {more}"


def test_heic_is_read_with_pillow_heif():
    """The pixels of pillow-heif, gray and color; a cut file is refused."""
    import pillow_heif as heif

    image_format.decoder.cache_clear()
    for pixels in (soft(), soft()[..., 0]):
        file = io.BytesIO()
        heif.from_pillow(Image.fromarray(pixels)).save(file, quality=-1, chroma=444)
        found = decode(file.getvalue())
        assert found.pixels.shape == pixels.shape
        assert np.abs(found.pixels.astype(int) - pixels).max() <= 2
        assert outline(file.getvalue())[0] == (48, 40)
        for length in range(0, len(file.getvalue()) - 1, 37):
            with pytest.raises(BadImageError):
                decode(file.getvalue()[:length])


def loaded(files: dict[str, bytes], **options: Any) -> Any:
    return load_data(folder_of(files)[0], validation="none", test=0.5, **options)


def test_every_suffix_counts_as_an_image(tmp_path, monkeypatch):
    """A folder of only one of them is read, and one directly in the outer folder is not passed over."""
    monkeypatch.chdir(tmp_path)
    for suffix in image_format.SUFFIXES:
        place = f"set{suffix}"
        tree(place, {f"{kind}/{k}{suffix}": png(picture(k)) for kind in "ab" for k in range(2)})
        assert load_data(place, test=0.5, validation="none").classes == ("a", "b")
    tree("set.gif", {"loose.GIF": png(picture())})
    with pytest.raises(DataError, match="at the top level"):
        load_data("set.gif")


def test_files_of_other_formats_are_omitted_by_the_proposed_command(tmp_path, monkeypatch):
    """RAW beside JPEG, a video: --exclude with every suffix, after the patterns that are there, and it works."""
    monkeypatch.chdir(tmp_path)
    files = {f"{kind}/{k}.jpg": jpeg(picture(k)) for kind in "ab" for k in range(4)}
    files |= {"a/0.CR2": raw_files()["CR2"], "b/1.mp4": b"\0\0\0\x18ftypmp42" + bytes(40), "b/0.cr2": tiff(RGB)}
    with pytest.raises(DataError, match="a RAW camera file") as caught:
        loaded(files | {"b/old/1.jpg": jpeg(RGB)}, exclude="old")
    exclude = "old,*.CR2,*.cr2,*.mp4"
    assert caught.value.help == f"to omit them: layerline data info set --exclude '{exclude}'"
    assert load_data("set", exclude=exclude, validation="none", test=0.5).classes == ("a", "b")
    with pytest.raises(DataError) as caught:
        loaded({"a/cut.jpg": jpeg(RGB)[:-40]}, exclude="old")
    assert str(caught.value.help).endswith("'; fix or remove the others")


def test_a_class_of_which_nothing_can_be_read_is_never_skipped(tmp_path, monkeypatch):
    """--skip-bad is not proposed where a class would be gone; the command that omits it is, and works."""
    monkeypatch.chdir(tmp_path)
    files = {f"{kind}/{k}.jpg": jpeg(picture(k)) for kind in "abc" for k in range(4)}
    with pytest.raises(DataError) as caught:
        loaded(files | {f"d/{k}.cr2": raw_files()["CR2"] for k in range(4)})
    assert caught.value.help == (
        "convert these files to PNG or JPEG; there are no other images of d; "
        "to omit the class: layerline data info set --exclude d"
    )
    assert load_data("set", exclude="d", validation="none", test=0.5).classes == ("a", "b", "c")
    with pytest.raises(DataError, match="no training image of d can be read"):
        load_data("set", skip_bad=0.3)
