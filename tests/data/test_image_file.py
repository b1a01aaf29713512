"""One image file: which formats are read, what becomes of every kind of pixel, and what is refused."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from image_files import apng, fitted_pixels, jpeg, picture, png, png_chunk, saved, tiff
from PIL import Image, PngImagePlugin, TiffImagePlugin

from layerline.data.photos import image_file, metadata
from layerline.data.photos.image_file import MAX_PIXELS, BadImageError, decode
from layerline.data.photos.sizing import Sizing

pytestmark = pytest.mark.filterwarnings("error")
"""Pillow warns of much that it reads; none of that reaches it."""

GRAY, RGB = picture(0, (6, 5), 1), picture(1)


@pytest.mark.smoke
@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["gray", "RGB"])
def test_lossless_formats_give_back_their_pixels(form, pixels):
    """What was saved without loss is what is read: gray stays (H, W), color (H, W, 3)."""
    found = decode(saved(pixels, form))
    np.testing.assert_array_equal(found.pixels, pixels)
    assert (found.size, found.several) == ((6, 5), False)


@pytest.mark.smoke
def test_jpeg_is_what_pillow_makes_of_it():
    """JPEG is decoded as Pillow does it by itself."""
    for pixels in (GRAY, RGB):
        content = jpeg(pixels)
        np.testing.assert_array_equal(decode(content).pixels, np.asarray(Image.open(io.BytesIO(content))))


def over_white(color, alpha):
    """Return color laid over white, before rounding."""
    share = alpha.astype(float) / 255
    share = share[..., None] if color.ndim == 3 else share
    return color * share + 255 * (1 - share)


@pytest.mark.smoke
def test_transparency_is_laid_over_white():
    """RGBA and gray with alpha are mixed with white by their alpha, within one rounding."""
    alpha = picture(3, (6, 5), 1)
    alpha[0], alpha[1] = 0, 255
    for color in (RGB, GRAY):
        found = decode(png(np.dstack([color, alpha]))).pixels
        assert found.shape == color.shape
        assert np.abs(found - over_white(color, alpha)).max() <= 1
        assert (found[0] == 255).all()
        np.testing.assert_array_equal(found[1], color[1])


@pytest.mark.smoke
def test_a_palette_becomes_its_colors():
    """An image with a palette has the colors of its palette; what the palette makes transparent is white."""
    image = Image.fromarray(GRAY % 4, "P")
    image.putpalette([0, 0, 0, 250, 10, 20, 30, 240, 50, 60, 70, 230])
    colors = np.array([[0, 0, 0], [250, 10, 20], [30, 240, 50], [60, 70, 230]], np.uint8)
    np.testing.assert_array_equal(decode(saved(image, "PNG")).pixels, colors[GRAY % 4])
    colors[2] = 255
    np.testing.assert_array_equal(decode(saved(image, "PNG", transparency=2)).pixels, colors[GRAY % 4])


def test_one_bit_becomes_black_and_white():
    """An image of one bit a pixel is gray, 0 and 255."""
    found = decode(saved(Image.fromarray(GRAY > 128), "PNG")).pixels
    np.testing.assert_array_equal(found, np.where(GRAY > 128, 255, 0))


def deep(content: bytes, **options: Any) -> np.ndarray:
    return decode(content, Sizing(deep=True, **options)).pixels


def test_sixteen_bits_of_gray_are_kept_where_that_is_asked_for():
    """16-bit gray in PNG and TIFF: every value, also as RGB, and resized to whole numbers near Pillow's own float32."""
    wide = np.random.default_rng(0).integers(0, 65536, (24, 20)).astype(np.uint16)
    for content in (png(wide), tiff(wide), saved(wide.astype(">u2"), "TIFF")):
        found = decode(content, Sizing(deep=True))
        assert (found.pixels.dtype, found.halved) == (np.uint16, False)
        np.testing.assert_array_equal(found.pixels, wide)
        np.testing.assert_array_equal(deep(content, gray=False), np.repeat(wide[..., None], 3, axis=2))
    smaller = np.asarray(Image.fromarray(wide.astype(np.float32)).resize((10, 12), Image.Resampling.BILINEAR))
    assert np.abs(deep(png(wide), size=(12, 10)) - smaller).max() <= 0.5
    np.testing.assert_array_equal(deep(png(GRAY)), GRAY)
    np.testing.assert_array_equal(deep(png(GRAY), largest=510.0), GRAY.astype(int) * 2)


def test_sixteen_bits_that_become_eight_are_counted():
    """`halved` says so of gray and of RGB, and of nothing else."""
    wide = np.random.default_rng(0).integers(0, 65536, (6, 5)).astype(np.uint16)
    assert all(decode(content).halved for content in (png(wide), tiff(wide), rgb_of_sixteen(np.dstack([wide] * 3))))
    assert not any(decode(content).halved for content in (png(GRAY), tiff(RGB), jpeg(RGB)))


def test_white_at_zero_is_turned_round():
    """A TIFF whose 0 is white, of 8 or 16 bits in either order of bytes; white is what its tag for it says, if any."""
    wide = np.random.default_rng(0).integers(0, 4096, (6, 5)).astype(np.uint16)
    for order in "<>":
        for largest, tagged in ((65535, {}), (4095, {0x0119: 4095})):
            info = TiffImagePlugin.ImageFileDirectory_v2()
            for tag, value in tagged.items():
                info[tag] = value
            content = patched(saved(wide.astype(f"{order}u2"), "TIFF", tiffinfo=info), 0x0106, 0)
            np.testing.assert_array_equal(deep(content), largest - wide)
            np.testing.assert_array_equal(decode(content).pixels, (largest - wide) // 256)
    np.testing.assert_array_equal(decode(patched(tiff(GRAY), 0x0106, 0)).pixels, 255 - GRAY)


def test_a_transparent_color_of_sixteen_bits_is_laid_over_white():
    """Of gray the value with all its bits, of RGB the upper bytes; white is 65,535 where 16 bits are kept."""
    wide = np.array([[400, 401, 5], [65535, 400, 0]], np.uint16)
    content = saved(wide, "PNG", transparency=400)
    np.testing.assert_array_equal(deep(content), np.where(wide == 400, 65535, wide))
    np.testing.assert_array_equal(decode(content).pixels, np.where(wide == 400, 255, wide >> 8))
    colors = np.array([[[300, 200, 100], [300, 200, 700]]], np.uint16)
    clear = png_chunk(b"tRNS", struct.pack(">HHH", 300, 200, 100))
    np.testing.assert_array_equal(decode(rgb_of_sixteen(colors, clear)).pixels, [[[255] * 3, [1, 0, 2]]])


def patched(content: bytes, tag: int, value: int) -> bytes:
    """Return a TIFF file that says another whole number under a tag."""
    changed = bytearray(content)
    directory = metadata._Directory(changed)
    for at, found, kind, _ in directory.entries():
        if found == tag:
            struct.pack_into(directory.order + {3: "H", 4: "L"}[kind], changed, at, value)
    return bytes(changed)


@pytest.mark.parametrize("more", [{}, {0x0116: 12}])
@pytest.mark.parametrize("pixels", [RGB, GRAY, GRAY.astype(np.uint16)])
@pytest.mark.parametrize("packed", [{}, {"compression": "tiff_lzw"}, {"compression": "packbits"}])
def test_a_tiff_with_fewer_rows_than_its_header_says_is_bad(packed, pixels, more):
    """Its height doubled, with as many rows in a strip or twice as many, anything behind its pixels: never read."""
    content = saved(pixels, "TIFF", **packed)
    assert decode(content).size == (6, 5)
    for tag, value in {0x0101: 12, **more}.items():
        content = patched(content, tag, value)
    with pytest.raises(BadImageError, match=r"^(6 rows of pixels, expected the 12 of its header|an image that .*)$"):
        decode(content + bytes(1000))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    ("size", "target"), [((1033, 1033), (64, 64)), ((777, 1025), (48, 64)), ((1025, 803), (48, 40))]
)
def test_a_jpeg_in_draft_mode_lies_where_the_whole_one_does(size, target, turn):
    """What of its last row and column is outside the picture is left out: off a full decoding by 4 of 255 at most.

    Without that it was 33 on the first of these pictures.
    """
    exif = Image.Exif()
    exif[0x0112] = turn
    coarse = Image.fromarray(picture(1, (16, 16))).resize(size[::-1], Image.Resampling.BICUBIC)
    content = saved(coarse, "JPEG", quality=92, exif=exif)
    whole = decode(content).pixels
    for fit in ("crop", "pad", "stretch"):
        found = decode(content, Sizing(target, fit)).pixels.astype(int)
        assert np.abs(found - fitted_pixels(whole, target, fit)).max() <= 4


def rgb_of_sixteen(wide: np.ndarray, more: bytes = b"") -> bytes:
    """Return a PNG file of RGB of 16 bits, which Pillow cannot write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", wide.shape[1], wide.shape[0], 16, 2, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + more + pixels + png_chunk(b"IEND", b"")


@pytest.mark.smoke
def test_of_sixteen_bits_the_upper_eight_stay_otherwise():
    """16-bit gray in PNG and TIFF, and 16-bit RGB in PNG: the upper byte of each value."""
    wide = np.random.default_rng(0).integers(0, 65536, (6, 5, 3)).astype(np.uint16)
    np.testing.assert_array_equal(decode(png(wide[..., 0])).pixels, wide[..., 0] // 256)
    np.testing.assert_array_equal(decode(tiff(wide[..., 0])).pixels, wide[..., 0] // 256)
    np.testing.assert_array_equal(decode(rgb_of_sixteen(wide)).pixels, wide // 256)


@pytest.mark.smoke
def test_cmyk_becomes_rgb():
    """A CMYK JPEG of one ink is near (255 − ink) in RGB: JPEG's loss on a plain area is below 3."""
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 0] = 200
    found = decode(saved(Image.fromarray(ink, "CMYK"), "JPEG", quality=95)).pixels
    assert found.shape == (16, 16, 3)
    assert np.abs(found.astype(int) - (55, 255, 255)).max() < 3


@pytest.mark.smoke
@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_an_exif_orientation_is_applied(form, turn):
    """Each of EXIF's eight orientations is undone, in all formats that have one, and the size is that of the result."""
    upright = np.repeat(np.repeat(np.array([[0, 90, 180], [255, 30, 130]], np.uint8), 16, axis=0), 16, axis=1)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    content = saved(np.ascontiguousarray(stored), form, exif=exif)
    found = decode(content)
    assert np.abs(found.pixels.astype(int) - upright).max() <= (4 if form == "JPEG" else 0)
    assert found.size == (32, 48)


def test_a_broken_exif_block_changes_nothing():
    """An orientation that is none, and EXIF data that is no EXIF, leave the image as it is."""
    exif = Image.Exif()
    exif[0x0112] = 99
    for block in (exif.tobytes(), b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff"):
        assert decode(saved(RGB, "PNG", exif=block)).size == (6, 5)


def test_of_an_animation_the_first_frame_is_taken():
    """An animated PNG and a TIFF of two pages give their first image, and say that there are more."""
    pages = saved(RGB, "TIFF", save_all=True, append_images=[Image.fromarray(picture(2))])
    for content in (apng([RGB, picture(2)]), pages):
        found = decode(content)
        np.testing.assert_array_equal(found.pixels, RGB)
        assert found.several


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (1, 65500)])
def test_the_smallest_and_longest_images_are_read(size):
    """A single pixel, a row, and JPEG's longest image keep their shape."""
    pixels = picture(0, size)
    np.testing.assert_array_equal(decode(png(pixels)).pixels, pixels)
    assert decode(jpeg(pixels)).size == size


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF"])
def test_a_file_that_is_cut_anywhere_is_refused(form):
    """However many bytes are missing, a cut file is refused, and never anything else is raised.

    BMP and TIFF may have filling behind their pixels, and JPEG ends in two bytes that hold nothing.
    """
    content = saved(picture(0, (20, 20)), form)
    for length in (*range(0, len(content) - 3, 7), len(content) - 3):
        with pytest.raises(BadImageError):
            decode(content[:length])


def test_every_damaged_byte_of_a_png_is_noticed():
    """PNG has checksums: whichever byte is changed, the file is refused."""
    content = bytearray(png(RGB))
    for position in range(len(content)):
        content[position] ^= 0x55
        with pytest.raises(BadImageError):
            decode(bytes(content))
        content[position] ^= 0x55


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "a PostScript file"),
        (b"<svg></svg>", "an XML or HTML page"),
        (b"\xd0\xcf\x11\xe0" + bytes(40), "unrecognized data"),
    ],
)
def test_other_formats_are_named_before_a_decoder_sees_them(content, what, monkeypatch):
    """Only supported formats reach a decoder, whatever the file is called."""
    monkeypatch.setattr(image_file, "_opened", lambda *_: pytest.fail("a decoder was asked"))
    with pytest.raises(BadImageError, match=what):
        decode(content)


def test_bombs_are_refused_by_their_header():
    """More pixels than allowed, and text that unpacks to much, are refused before they are unpacked."""
    side = int(MAX_PIXELS**0.5) + 1
    big = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    end = png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    with pytest.raises(BadImageError, match="pixels, expected at most 80,000,000"):
        decode(b"\x89PNG\r\n\x1a\n" + big + end)
    small = png(RGB)
    unpacked = zlib.compress(bytes(2**26))
    for name, start in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")):
        with pytest.raises(BadImageError, match="text or a color profile that is too large when unpacked"):
            decode(small[:33] + png_chunk(name, start + unpacked) + small[33:])
    assert PngImagePlugin.MAX_TEXT_CHUNK <= 2**20


def test_what_is_behind_the_pixels_of_a_png_is_left_out():
    """Pixel data that unpack to 64 MB more than the header says change nothing."""
    rows = b"".join(b"\0" + row.tobytes() for row in RGB)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", RGB.shape[1], RGB.shape[0], 8, 2, 0, 0, 0))
    content = header + png_chunk(b"IDAT", zlib.compress(rows + bytes(2**26))) + png_chunk(b"IEND", b"")
    np.testing.assert_array_equal(decode(b"\x89PNG\r\n\x1a\n" + content).pixels, RGB)


def in_jpeg(marker: bytes, said: bytes, content: bytes) -> bytes:
    """Return a JPEG file with a segment more at its beginning."""
    return content[:2] + marker + struct.pack(">H", len(said) + 2) + said + content[2:]


def tags(content: bytes) -> dict[int, int]:
    """Return where the entries of a little-endian TIFF file's first directory are, by their tags."""
    (start,) = struct.unpack_from("<L", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    places = [start + 2 + 12 * k for k in range(count)]
    return {struct.unpack_from("<H", content, at)[0]: at for at in places}


def with_entry(content: bytes, tag: int, entry: bytes) -> bytes:
    at = tags(content)[tag]
    return content[:at] + entry + content[at + 12 :]


def odd_files() -> dict[str, tuple[bytes, bytes]]:
    """Return files that Pillow warns of, each with a plain one of the same pixels."""
    plain, flat = jpeg(RGB), saved(RGB, "TIFF", dpi=(72, 72))
    broken = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHLL", 0x010F, 2, 900, 5000) + bytes(4)
    endless = b"Exif\0\0II*\0\x08\0\0\0\x09\0"
    animation = png_chunk(b"acTL", bytes(8))
    behind = with_entry(flat, 296, struct.pack("<HHLL", 305, 2, 900, len(flat)))
    twice = with_entry(flat, 296, struct.pack("<HHLHH", 296, 3, 2, 2, 2))
    far = with_entry(flat, 296, struct.pack("<HHLL", 296, 3, 3, 8))
    settings = with_entry(flat, 296, struct.pack("<HHLL", 0x8769, 4, 1, 2**31))
    small = png(RGB)
    return {
        "JPEG with EXIF outside its block": (in_jpeg(b"\xff\xe1", broken, plain[:2] + plain[20:]), plain),
        "JPEG with EXIF that is cut": (in_jpeg(b"\xff\xe1", endless, plain[:2] + plain[20:]), plain),
        "JPEG of several images that says it wrong": (in_jpeg(b"\xff\xe2", b"MPF\0II*\0\x08\0\0\0\0\0", plain), plain),
        "PNG of no frames": (small[:33] + animation + small[33:], small),
        "PNG of frames told twice": (small[:33] + png_chunk(b"acTL", b"\0\0\0\2" * 2) * 2 + small[33:], small),
        "PNG with EXIF that is cut": (small[:33] + png_chunk(b"eXIf", endless[6:]) + small[33:], small),
        "TIFF with a tag behind its end": (behind, flat),
        "TIFF with a tag twice": (twice, flat),
        "TIFF with a tag three times elsewhere": (far, flat),
        "TIFF with a camera's settings outside": (settings, flat),
    }


def read_by_pillow(content: bytes) -> None:
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        image.getexif().get(0x0112)
        dict(getattr(image, "tag_v2", {}))


@pytest.mark.parametrize("name", sorted(odd_files()))
def test_what_pillow_warns_of_changes_nothing(name):
    """Odd metadata makes no good image bad, whatever the filters of warnings are, and Pillow does warn of it."""
    content, plain = odd_files()[name]
    np.testing.assert_array_equal(decode(content).pixels, decode(plain).pixels)
    assert not decode(content).several
    with pytest.raises(UserWarning):
        read_by_pillow(content)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_xmp_says_the_orientation_where_exif_does_not(turn):
    """As cameras' software writes it; EXIF comes first."""
    said = f'<rdf:Description tiff:Orientation="{turn}"/>'.encode()
    content = in_jpeg(b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0" + said, jpeg(RGB))
    exif = Image.Exif()
    exif[0x0112] = turn
    np.testing.assert_array_equal(decode(content).pixels, decode(saved(RGB, "JPEG", exif=exif)).pixels)


def test_a_jpeg_of_several_images_says_so():
    """Of a multi-picture file the first image is taken."""
    several = saved(RGB, "MPO", save_all=True, append_images=[Image.fromarray(picture(2))])
    found = decode(several)
    assert found.several
    np.testing.assert_array_equal(found.pixels, decode(jpeg(RGB)).pixels)


@pytest.mark.parametrize("limit", [1, None])
def test_pillow_s_own_limit_is_not_asked(limit, monkeypatch):
    """A program that has set Pillow's limit of pixels, or has none, reads the same images; of a TIFF, whose decoder
    asks for itself, the limit is the program's wish, and the message names it."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    for form in ("PNG", "BMP", "JPEG"):
        assert decode(saved(RGB, form)).size == RGB.shape[:2]
    if limit is None:
        assert decode(tiff(RGB)).size == RGB.shape[:2]
    else:
        with pytest.raises(BadImageError, match="exceeds limit of 2 pixels"):
            decode(tiff(RGB))


def test_a_tiff_of_huge_tiles_is_refused():
    """Tiles of 90 million pixels under a small image are refused before there is memory for them, without a warning."""
    flat = saved(RGB, "TIFF", dpi=(72, 72))
    wide = with_entry(flat, 282, struct.pack("<HHLL", 0x0142, 4, 1, 9000))
    high = with_entry(wide, 283, struct.pack("<HHLL", 0x0143, 4, 1, 10000))
    offsets = with_entry(high, 296, struct.pack("<HHLL", 0x0144, 4, 1, 8))
    strips = with_entry(offsets, 273, struct.pack("<HHLL", 40000, 4, 1, 8))
    with pytest.raises(BadImageError, match="tiles of 9000×10000 pixels, expected at most 80,000,000"):
        decode(strips)
