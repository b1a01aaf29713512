"""What can be wrong with the options of image files: the cases of data_mistakes_zip.py go on."""

from __future__ import annotations

from pathlib import Path

from cifar_files import tar_of
from data_mistakes import Loaded, case
from data_mistakes_zip import CASES as CASES
from image_files import folder_of, picture, png, tree


def photos(**options: object) -> Loaded:
    """Write a folder of two classes, and return it with options."""
    source, _ = folder_of({f"{path}/{k}.png": png(picture(k)) for path in ("cat", "dog") for k in range(4)})
    return source, options


def labels(text: str, **options: object) -> Loaded:
    """Write a folder and labels for it."""
    Path("labels.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    return photos(labels="labels.csv", **options)


@case
def size_word() -> Loaded:
    return photos(size="large")


@case
def size_zero() -> Loaded:
    return photos(size="0x128")


@case
def size_huge() -> Loaded:
    return photos(size=5000)


@case
def size_not_the_networks() -> Loaded:
    return photos(size=64, input_shape=(3, 32, 32))


@case
def gray_not_the_networks() -> Loaded:
    return photos(gray=True, input_shape=(3, 32, 32))


@case
def fit_unknown() -> Loaded:
    return photos(fit="croop")


@case
def gray_word() -> Loaded:
    return photos(gray="maybe")


@case
def image_options_for_arrays() -> Loaded:
    return "digits", {"size": 32, "exclude": "*.png"}


@case
def exclude_nothing() -> Loaded:
    return photos(exclude=" , ")


@case
def exclude_matches_nothing() -> Loaded:
    return photos(exclude="0.png,*_msk.png")


@case
def exclude_matches_nothing_in_a_tar() -> Loaded:
    Path("set.tar").write_bytes(tar_of({f"{name}/1.png": png(picture(k)) for k, name in enumerate("ab")}))
    return "set.tar", {"exclude": "*.jpg"}


@case
def exclude_everything() -> Loaded:
    return photos(exclude="*.png")


@case
def skip_bad_percent() -> Loaded:
    return photos(skip_bad=5.0)


@case
def skip_bad_word() -> Loaded:
    return photos(skip_bad="some")


@case
def skip_bad_too_many() -> Loaded:
    source, _ = photos()
    tree("set", {"cat/5.png": b"", "cat/6.png": png(picture())[:50]})
    return source, {"skip_bad": 0.1}


@case
def skip_bad_might_help() -> Loaded:
    source, _ = photos()
    tree("set", {"cat/5.png": b"", "cat/6.png": png(picture())[:50]})
    return source, {}


@case
def skip_bad_takes_a_class() -> Loaded:
    source, _ = photos()
    tree("set", {"emu/5.png": b""})
    return source, {"skip_bad": 0.5}


@case
def group_by_no_expression() -> Loaded:
    return photos(group_by="p(")


@case
def group_by_matches_not_all() -> Loaded:
    return photos(group_by=r"([1-3])\.png")


@case
def group_by_only_two() -> Loaded:
    return photos(group_by=r"cat|dog")


@case
def group_by_and_the_column() -> Loaded:
    return labels("file,label,group\ncat/0.png,a,x\ndog/0.png,b,y\n", group_by=".")


@case
def labels_file_lacking() -> Loaded:
    return photos(labels="labels.csv")


@case
def labels_is_an_image() -> Loaded:
    Path("labels.csv").write_bytes(png(picture()))
    return photos(labels="labels.csv")


@case
def labels_not_utf8() -> Loaded:
    return labels("file,label\ncat/0.png,a\ncat/1.png,caf\udc81\n")


@case
def labels_without_header() -> Loaded:
    return labels("a/0.png,cat\nb/0.png,dog\n")


@case
def labels_of_other_columns() -> Loaded:
    rows = "".join(f"{name}/{k}.png,{name},{'rg'[k % 2]}\n" for name in ("cat", "dog") for k in range(4))
    return labels(f"bild,klasse,farbe\n{rows}")


@case
def labels_of_two_columns_of_files() -> Loaded:
    rows = "".join(f"{name}/{k}.png,{name}/{3 - k}.png,{name}\n" for name in ("cat", "dog") for k in range(4))
    return labels(f"left,right,class\n{rows}")


@case
def labels_column_unknown() -> Loaded:
    return labels("bild,klasse\ncat/0.png,cat\ndog/0.png,dog\n", label_column="klase")


@case
def labels_columns_the_same() -> Loaded:
    return labels("bild,klasse\ncat/0.png,cat\ndog/0.png,dog\n", label_column="bild", file_column="1")


@case
def labels_without_repetition() -> Loaded:
    return labels("file,a,b\ncat/0.png,1,x\ncat/1.png,2,y\ndog/0.png,3,z\n")


@case
def labels_lists() -> Loaded:
    return labels("file,label\ncat/0.png,cat\ncat/1.png,cat|dog\ndog/0.png,dog\n")


@case
def labels_lists_of_words() -> Loaded:
    return labels("file,label\ncat/0.png,cat\ncat/1.png,cat dog\ndog/0.png,dog\n")


@case
def labels_two_columns_marked() -> Loaded:
    return labels("file,cat,dog\ncat/0.png,1,0\ncat/1.png,1,1\ndog/0.png,0,1\n")


@case
def labels_none_marked() -> Loaded:
    return labels("file,cat,dog\ncat/0.png,1,0\ncat/1.png,0,0\ndog/0.png,0,1\n")


@case
def labels_empty_on_most_lines() -> Loaded:
    return labels("file,label\ncat/0.png,cat\ncat/1.png,\ndog/0.png,dog\ndog/1.png,\ndog/2.png,\n")


@case
def labels_is_a_spreadsheet() -> Loaded:
    Path("labels.xlsx").write_bytes(b"PK\x03\x04" + bytes(26) + b"xl/workbook.xml")
    return photos(labels="labels.xlsx")


@case
def labels_not_json() -> Loaded:
    return labels('{"file_name": "cat/0.png", "label": "cat"}\n[1]\n')


@case
def labels_of_zero_bytes() -> Loaded:
    return labels("file,label\ncat/0.png,c\0t\n")


@case
def file_column_without_labels() -> Loaded:
    return photos(file_column="name")


@case
def label_by_and_labels() -> Loaded:
    return labels("file,label\ncat/0.png,cat\n", label_by="(cat)")


@case
def label_by_no_expression() -> Loaded:
    return photos(label_by="p(")


@case
def label_by_matches_not_all() -> Loaded:
    return photos(label_by="(c)at")


@case
def label_by_not_the_test() -> Loaded:
    names = [f"train/{name}.{k}.png" for name in ("cat", "dog") for k in range(3)] + ["test1/1.png", "test1/2.png"]
    source, _ = folder_of({name: png(picture(k)) for k, name in enumerate(names)})
    return source, {"label_by": r"(\w+)\.\d+\."}


@case
def label_by_nothing_in_train() -> Loaded:
    names = [f"train/{name}.{k}.png" for name in ("cat", "dog") for k in range(3)] + ["val/dig.1.png"]
    source, _ = folder_of({name: png(picture(k)) for k, name in enumerate(names)})
    return source, {"label_by": r"(\w+)\.\d+\."}


@case
def names_with_labels() -> Loaded:
    source, _ = folder_of({f"{name}_{k}.png": png(picture(k)) for name in ("cat", "great_dane") for k in range(3)})
    return source, {}


@case
def names_with_two_labels() -> Loaded:
    source, _ = folder_of({f"{a}_{b}.png": png(picture(a)) for a in range(5) for b in range(6)})
    return source, {}


@case
def names_with_labels_in_train_alone() -> Loaded:
    names = [f"train/{name}.{k}.png" for name in ("cat", "dog") for k in range(3)] + ["test1/1.png", "test1/2.png"]
    source, _ = folder_of({name: png(picture(k)) for k, name in enumerate(names)})
    return source, {}


@case
def tables_in_a_folder_disagree() -> Loaded:
    source, _ = folder_of({f"{k}.png": png(picture(k)) for k in range(4)})
    rows = "".join(f"{k}.png,{'ab'[k % 2]}\n" for k in range(4))
    (Path(source) / "metadata.csv").write_text(f"file_name,label\n{rows}")
    lines = [f'{{"file_name": "{k}.png", "label": "{"ba"[k % 2]}"}}' for k in range(4)]
    (Path(source) / "metadata.jsonl").write_text("\n".join(lines))
    return source, {}


@case
def labels_column_misspelled() -> Loaded:
    return labels("file,label,splitt\ncat/0.png,cat,train\n")


@case
def labels_column_twice() -> Loaded:
    return labels("file,label,label\ncat/0.png,cat,dog\n")


@case
def labels_header_alone() -> Loaded:
    return labels("file,label\n")


@case
def labels_cells_too_many() -> Loaded:
    return labels("file,label\ncat/0.png,cat\ncat/1.png,cat,dog\n")


@case
def labels_quote_open() -> Loaded:
    return labels('file,label\ncat/0.png,"cat\n')


@case
def labels_without_label() -> Loaded:
    return labels("file,label\ncat/0.png,cat\ncat/1.png, \n")


@case
def labels_file_twice() -> Loaded:
    return labels("file,label\ncat/0.png,cat\ndog/0.png,dog\n./cat/0.png,dog\n")


@case
def labels_split_unknown() -> Loaded:
    return labels("file,label,split\ncat/0.png,cat,train\ndog/0.png,dog,tarin\n")


@case
def labels_split_empty() -> Loaded:
    return labels("file,label,split\ncat/0.png,cat,train\ndog/0.png,dog,\n")


@case
def labels_without_train() -> Loaded:
    return labels("file,label,split\ncat/0.png,cat,test\ndog/0.png,dog,val\n")


@case
def labels_class_not_in_train() -> Loaded:
    return labels("file,label,split\ncat/0.png,cat,train\ndog/0.png,dog,train\ncat/1.png,Cat,test\n")


@case
def labels_name_no_file() -> Loaded:
    return labels("file,label\ncat/0.png,cat\n0,dog\ncat/9.png,cat\n")


@case
def labels_name_another_folder() -> Loaded:
    return labels("file,label\nphotos/train/cat/0.png,cat\nphotos/test/dog/0.png,dog\n")


@case
def labels_name_no_file_of_a_tar() -> Loaded:
    Path("set.tar").write_bytes(tar_of({f"{name}/1.png": png(picture(k)) for k, name in enumerate("ab")}))
    Path("labels.csv").write_text("file,label\na/1.png,a\nb/1.png,b\nb/2.png,b\n")
    return "set.tar", {"labels": "labels.csv"}


@case
def labels_of_terminal_codes() -> Loaded:
    return labels("file,label\ncat/0.png,cat\n\x1b[31m.png,dog\n")
