"""What can be wrong with CIFAR-10 and with image files: the cases of data_mistakes_arrays.py go on."""

from __future__ import annotations

import lzma
import struct
from pathlib import Path

import numpy as np
from cifar_files import (
    array,
    batches,
    binary,
    binary_files,
    dictionary,
    listed,
    packed,
    pickled,
    python_files,
    tar_of,
    text,
    whole,
    within,
    write,
)
from data_mistakes import Loaded, case
from data_mistakes_arrays import CASES as CASES
from image_files import apng, folder_of, jpeg, picture, png, png_chunk, tiff, tree

FIRST = "data_batch_1"


def cifar(**changes: bytes | None) -> Loaded:
    """Write the binary batches, some of them changed or left out."""
    files = {**binary_files(), **{f"{name}.bin": content for name, content in changes.items()}}
    write(Path("set"), {name: content for name, content in files.items() if content is not None})
    return "set", {}


def python(first: bytes, **more: bytes) -> Loaded:
    """Write the Python batches, the first one of them changed."""
    write(Path("set"), {**python_files(), FIRST: first, **more})
    return "set", {}


def archive(content: bytes) -> Loaded:
    """Write an archive of these bytes."""
    Path("set.tar").write_bytes(content)
    return "set.tar", {}


# CIFAR-10 (hostile cases, section C)


@case
def cifar_remainder() -> Loaded:
    return cifar(data_batch_2=binary(*batches()[FIRST])[:-1])


@case
def cifar_is_100() -> Loaded:
    return cifar(data_batch_2=bytes(3074 * 20))


@case
def cifar_empty() -> Loaded:
    return cifar(data_batch_2=b"")


@case
def cifar_html() -> Loaded:
    return cifar(test_batch=b"<!DOCTYPE html><html>not found</html>")


@case
def cifar_label_ten() -> Loaded:
    images, labels = batches()[FIRST]
    labels = labels.copy()
    labels[7] = 10
    return cifar(data_batch_3=binary(images, labels))


@case
def cifar_one_lacking() -> Loaded:
    return cifar(data_batch_4=None)


@case
def cifar_names_lacking() -> Loaded:
    write(Path("set"), {**binary_files(), "batches.meta.txt": b"airplane\nbird\n"})
    return "set", {}


@case
def cifar_not_there() -> Loaded:
    Path("sets").mkdir()
    return "cifar10", {"data_dir": "sets"}


@case
def cifar_no_folder() -> Loaded:
    return "cifar10", {}


@case
def cifar_other_classes() -> Loaded:
    tree(
        "sets/cifar10",
        {
            f"{split}/{name}/1.png": png(picture(k))
            for split in ("train", "test")
            for k, name in enumerate(("cat", "dog"))
        },
    )
    return "cifar10", {"data_dir": "sets"}


@case
def pickle_os_system() -> Loaded:
    return python(b"\x80\x02cos\nsystem\n(S'touch canary'\ntR.")


@case
def pickle_nested_name() -> Loaded:
    return python(b"\x80\x02cnumpy.f2py.crackfortran\nmyeval\nU\x01a\x85R.")


@case
def pickle_terminal_codes() -> Loaded:
    return python(b"\x80\x02cos\x1b[31m\nsys\x07tem\n)R.")


@case
def pickle_inst() -> Loaded:
    return python(b"\x80\x02(U\x02lsios\nsystem\n.")


@case
def pickle_stack_global() -> Loaded:
    return python(b"\x80\x02U\x02osU\x06system\x93.")


@case
def pickle_build() -> Loaded:
    return python(b"\x80\x02}}U\x09__class__K\x01sb.")


@case
def pickle_marks() -> Loaded:
    return python(b"\x80\x02" + b"(" * 1_000_000 + b".")


@case
def pickle_steps() -> Loaded:
    return python(b"\x80\x02" + b"N" * 1_000_000)


@case
def pickle_protocol_six() -> Loaded:
    return python(b"\x80\x06}.")


@case
def pickle_protocol_255() -> Loaded:
    return python(b"\x80\xff}.")


@case
def pickle_cut() -> Loaded:
    return python(pickled(*batches()[FIRST])[:5000])


@case
def pickle_more_behind() -> Loaded:
    return python(pickled(*batches()[FIRST]) + b"cos\nsystem\n")


@case
def pickle_no_data() -> Loaded:
    return python(pickled(*batches()[FIRST], data=b""))


@case
def pickle_no_labels() -> Loaded:
    return python(pickled(*batches()[FIRST], labels=b""))


@case
def pickle_is_100() -> Loaded:
    return python(pickled(*batches()[FIRST], labels=b"", fine_labels=listed([whole(99)])))


@case
def pickle_data_float64() -> Loaded:
    return python(pickled(*batches()[FIRST], data=array(bytes(20 * 3072 * 8), (20, 3072), b"f8")))


@case
def pickle_data_objects() -> Loaded:
    objects = array(b"", (20, 3072), b"O8")[: -len(text(b"") + b"tb")] + listed([]) + b"tb"
    return python(pickled(*batches()[FIRST], data=objects))


@case
def pickle_data_fortran() -> Loaded:
    return python(pickled(*batches()[FIRST], data=array(bytes(20 * 3072), (20, 3072), fortran=b"\x88")))


@case
def pickle_data_3071() -> Loaded:
    return python(pickled(*batches()[FIRST], data=array(bytes(20 * 3071), (20, 3071))))


@case
def pickle_data_short() -> Loaded:
    return python(pickled(*batches()[FIRST], data=array(bytes(20 * 3072 - 1), (20, 3072))))


@case
def pickle_data_is_text() -> Loaded:
    return python(pickled(*batches()[FIRST], data=text(bytes(20 * 3072))))


@case
def pickle_labels_bytes() -> Loaded:
    return python(pickled(*batches()[FIRST], labels=text(bytes(20))))


@case
def pickle_labels_negative() -> Loaded:
    return python(pickled(*batches()[FIRST], labels=listed([whole(0)] * 19 + [whole(-1)])))


@case
def pickle_labels_short() -> Loaded:
    return python(pickled(*batches()[FIRST], labels=listed([whole(0)] * 19)))


@case
def pickle_labels_of_text() -> Loaded:
    return python(pickled(*batches()[FIRST], labels=listed([whole(0)] * 3 + [text(b"cat")] * 17)))


@case
def pickle_names_no_list() -> Loaded:
    return python(pickled(*batches()[FIRST]), **{"batches.meta": dictionary({b"label_names": whole(10)})})


# Archives


@case
def tar_batch_lacking() -> Loaded:
    files = within("cifar-10-batches-bin", binary_files())
    del files["cifar-10-batches-bin/data_batch_3.bin"]
    return archive(tar_of(files))


@case
def tar_batch_twice() -> Loaded:
    files = binary_files()
    return archive(tar_of({**within("a", files), **within("b", files)}))


@case
def tar_batch_huge() -> Loaded:
    whole_tar = bytearray(tar_of({"test_batch.bin": b""}))
    whole_tar[:512] = header("test_batch.bin", 2**33)
    return archive(packed(bytes(whole_tar)))


@case
def tar_cut() -> Loaded:
    return archive(tar_of(binary_files())[:100_000])


@case
def tar_header_damaged() -> Loaded:
    content = bytearray(tar_of({"a/1.png": png(picture()), "b/1.png": png(picture())}))
    second = content.index(b"b/1.png")
    content[second + 130] ^= 1
    return archive(bytes(content))


@case
def tar_sparse() -> Loaded:
    return archive(header("a/1.png", 2**40, b"S"))


@case
def tar_without_images() -> Loaded:
    return archive(tar_of({"README.md": b"nothing here", "a/b.txt": b"nor here"}))


@case
def tar_image_twice() -> Loaded:
    return archive(tar_of({"a/1.png": png(picture()), "./a/1.png": png(picture())}))


@case
def tar_xz_damaged() -> Loaded:
    content = bytearray(lzma.compress(tar_of({"a/1.png": png(picture()), "b/1.png": png(picture())}), preset=0))
    content[len(content) // 2] ^= 1
    return archive(bytes(content))


@case
def tar_gz_checksum() -> Loaded:
    content = bytearray(packed(tar_of({"a/1.png": png(picture()), "b/1.png": png(picture())})))
    content[-5] ^= 1
    return archive(bytes(content))


@case
def tar_gz_trailing() -> Loaded:
    return archive(packed(tar_of({"a/1.png": png(picture()), "b/1.png": png(picture())})) + b"more")


@case
def tar_bomb() -> Loaded:
    images = tar_of({"a/1.png": png(picture()), "b/1.png": png(picture())})
    return archive(packed(images + bytes(2**24)))


@case
def tar_name_huge() -> Loaded:
    return archive(header("././@LongLink", 2**20, b"L") + bytes(2**20 + 1024))


@case
def tar_pax_damaged() -> Loaded:
    return archive(header("x", 512, b"x") + b"99 path=a/1.png\n".ljust(512, b"\0") + bytes(1024))


# Folders of images (section D)


@case
def images_all_bad() -> Loaded:
    good = png(picture())
    damaged = bytearray(good)
    damaged[-20] ^= 1
    many = {f"b/{k}.jpg": jpeg(picture())[:-100] for k in range(3)}
    return folder_of(
        {
            "a/empty.png": b"",
            "a/cut.png": good[: len(good) // 2],
            "a/checksum.png": bytes(damaged),
            "a/good.png": good,
            "b/gif.png": b"GIF89a" + bytes(30),
            "b/svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "b/eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n",
            "b/webp.png": b"RIFF\x24\0\0\0WEBPVP8 " + bytes(30),
            "b/\x1b[31m.png": b"\0\1\2\3",
            **many,
        }
    )


@case
def images_too_many_pixels() -> Loaded:
    big = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 12_000, 10_000, 8, 2, 0, 0, 0))
    rest = png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    return folder_of({"a/1.png": b"\x89PNG\r\n\x1a\n" + big + rest, "b/1.png": png(picture())})


@case
def images_of_floats() -> Loaded:
    return folder_of({"a/1.tif": tiff(np.zeros((5, 6), np.float32)), "b/1.png": png(picture())})


@case
def images_in_one_folder() -> Loaded:
    return folder_of({"1.png": png(picture()), "2.png": png(picture())})


@case
def images_beside_classes() -> Loaded:
    return folder_of({"1.png": png(picture()), "a/1.png": png(picture()), "b/1.png": png(picture())})


@case
def images_right_in_splits() -> Loaded:
    return folder_of({"train/1.png": png(picture()), "test/1.png": png(picture())})


@case
def images_in_another_split() -> Loaded:
    paths = ("train/a", "train/b", "training/a", "training/b")
    return folder_of({f"{path}/1.png": png(picture()) for path in paths})


@case
def images_too_deep() -> Loaded:
    return folder_of({f"{path}/1.png": png(picture()) for path in ("train/a", "train/b", "train/c/d", "train/c/e")})


@case
def images_without_train() -> Loaded:
    return folder_of({f"{split}/{name}/1.png": png(picture()) for split in ("test", "val") for name in "ab"})


@case
def images_for_test_alone() -> Loaded:
    return folder_of({f"test/{name}/1.png": png(picture()) for name in "ab"})


@case
def images_val_and_valid() -> Loaded:
    return folder_of({f"{split}/{name}/1.png": png(picture()) for split in ("train", "val", "Valid") for name in "ab"})


@case
def images_classes_differ() -> Loaded:
    paths = ("train/cat", "train/dog", "train/emu", "test/Cat", "test/dog", "test/emus")
    return folder_of({f"{path}/1.png": png(picture()) for path in paths})


@case
def images_class_lacking() -> Loaded:
    return folder_of({f"{path}/1.png": png(picture()) for path in ("train/cat", "train/dog", "test/cat")})


@case
def images_class_empty() -> Loaded:
    source = folder_of({f"{path}/1.png": png(picture()) for path in ("cat", "dog")})
    Path("set/emu").mkdir()
    return source


@case
def images_twins() -> Loaded:
    return folder_of({f"{path}/1.png": png(picture()) for path in ("caf\u00e9", "cafe\u0301", "dog")})


@case
def images_name_not_text() -> Loaded:
    return folder_of({f"{path}/1.png": png(picture()) for path in ("caf\udce9", "dog")})


@case
def images_class_cut_to_one() -> Loaded:
    source, _ = folder_of({f"{path}/{k}.png": png(picture(k)) for path in ("cat", "dog") for k in range(9)})
    return source, {"classes": "cat"}


@case
def images_link_in_a_circle() -> Loaded:
    source = folder_of({f"{path}/1.png": png(picture()) for path in ("cat", "dog")})
    Path("set/cat/again").symlink_to(Path("set").resolve())
    return source


@case
def images_apng_cut() -> Loaded:
    return folder_of({"a/1.png": apng([picture(), picture(1)])[:-30], "b/1.png": png(picture())})


def header(name: str, size: int, kind: bytes = b"0") -> bytes:
    """Return a tar header that declares any size, its checksum right."""
    field = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    front = name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + field + b"00000000000\0"
    block = front + b" " * 8 + kind + bytes(100) + b"ustar\0" + b"00" + bytes(247)
    block = block.ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
