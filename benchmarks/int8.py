"""What 8-bit integers cost and gain, compared with float32: accuracy, memory, and time, of four models exported to C.

    python benchmarks/int8.py lenet5 --data mnist --data-dir DIR --models FOLDER
    python benchmarks/int8.py vgg-small resnet20 mobile-small --data cifar10.tar.xz --models FOLDER

A model is FOLDER/NETWORK.safetensors, and is trained for a few epochs if the file is not there. Accuracy is that of the
test images, which neither the ranges of values nor the limit of the loss have seen. Flash and RAM are those of the
object file for a Cortex-M4 (GCC, -O2); instructions are counted by an emulator of one (QEMU), in steps of 40. The time
per image is the least CPU time of eleven rounds, one thread, for `-O2` and for `-O3 -march=native`.
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from conditions import write

import layerline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset
    from layerline.training import Model

CORTEX_M4: Final = Path(__file__).parents[1] / "tests" / "cortex_m4"
M4_OPTIONS: Final = ["-std=gnu99", "-O2", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
HOST_OPTIONS: Final = {"O2": ["-O2"], "O3 native": ["-O3", "-march=native"]}
EPOCHS: Final = 4
ROUNDS: Final = 11
SECONDS: Final = 0.3
MOST_COUNTED: Final = 2_000_000
"""Multiply-adds of the largest network whose instructions fit in the emulated timer."""
PROGRAM: Final = """
#include <stdint.h>
void net(const uint8_t *image, float *probabilities);
static uint8_t image[VALUES];
static float probabilities[CLASSES];
int main(void)
{
    volatile uint32_t *const timer = (volatile uint32_t *)0xE000E010; /* SysTick: 25 MHz */
    char text[12], *digit = text + 11;
    uint32_t ticks, i;
    for (i = 0; i < VALUES; i++) {
        image[i] = (uint8_t)(i * 37 >> 2);
    }
    timer[1] = 0xFFFFFF;
    timer[2] = 0;
    timer[0] = 5;
    ticks = timer[2];
    net(image, probabilities);
    ticks = (ticks - timer[2]) & 0xFFFFFF;
    *digit = 0;
    do {
        *--digit = (char)('0' + ticks % 10);
    } while (ticks /= 10);
    {
        register uint32_t r0 __asm__("r0") = 4; /* semihosting: SYS_WRITE0 */
        register const char *r1 __asm__("r1") = digit;
        __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    }
    return 0;
}
"""


def model_of(network: str, data: Dataset, folder: Path) -> Model:
    """Return a trained model."""
    file = folder / f"{network}.safetensors"
    if not file.exists():
        run = layerline.train(layerline.read(network, data), data, epochs=EPOCHS, learning_rate=0.05, batch_size=64)
        run.model.save(file)
    return layerline.load(file)


def function_of(source: Path, options: list[str]) -> Any:
    """Return the exported function, compiled for this CPU."""
    library = source.with_suffix(".so")
    subprocess.run(["gcc", "-std=c99", *options, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library)).net


def probabilities(function: Any, images: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """Return the probabilities of images (N, C, H, W), one after the other."""
    stored, found = np.ascontiguousarray(images.transpose(0, 2, 3, 1)), np.empty((len(images), classes), np.float32)
    for image, row in zip(stored, found, strict=True):
        function(ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(row.ctypes.data))
    return found


def microseconds(function: Any, image: NDArray[np.uint8], classes: int) -> float:
    """Return the shortest time per image."""
    found = np.empty(classes, np.float32)
    pointers = ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(found.ctypes.data)
    start = time.process_time()
    function(*pointers)
    calls, taken = max(1, int(SECONDS / (time.process_time() - start) / ROUNDS)), []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(calls):
            function(*pointers)
        taken.append((time.process_time() - start) / calls)
    return min(taken) * 1e6


def sizes(source: Path) -> dict[str, int]:
    """Return flash and RAM on a Cortex-M4, in bytes."""
    out = source.with_suffix(".o")
    subprocess.run(["arm-none-eabi-gcc", *M4_OPTIONS, "-c", str(source), "-o", str(out)], check=True)
    told = subprocess.run(["arm-none-eabi-size", str(out)], check=True, capture_output=True, text=True).stdout
    text, data, bss = map(int, told.splitlines()[1].split()[:3])
    return {"flash": text + data, "ram": data + bss}


def instructions(source: Path, values: int, classes: int) -> int:
    """Return the instructions per image on an emulated Cortex-M4."""
    main, program = source.with_name("main.c"), source.with_suffix(".elf")
    main.write_text(PROGRAM)
    linked = ["-nostdlib", "-nostartfiles", "-T", str(CORTEX_M4 / "memory.ld"), str(CORTEX_M4 / "start.c")]
    sizes_ = [f"-DVALUES={values}", f"-DCLASSES={classes}"]
    files = [str(main), str(source), "-o", str(program)]
    subprocess.run(["arm-none-eabi-gcc", *M4_OPTIONS, *sizes_, *linked, *files], check=True)
    machine = ["-M", "mps2-an386", "-nographic", "-semihosting", "-icount", "shift=0", "-kernel", str(program)]
    ran = subprocess.run(
        ["qemu-system-arm", *machine], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=True
    )
    return 40 * int((ran.stdout + ran.stderr).strip())


def measured(model: Model, data: Dataset, folder: Path) -> dict[str, Any]:
    """Return the results of one model, int8 and float32."""
    images, labels = data.splits["test"].images, data.splits["test"].labels
    classes, values = len(model.classes), int(np.prod(model.network.input_shape))
    result: dict[str, Any] = {"images": len(labels), "multiply_adds": model.network.multiply_adds}
    for what, options in (("float32", {}), ("int8", {"int8": True, "data": data, "max_loss": 1.0})):
        source = folder / f"{what}.c"
        model.export(source, name="net", **options)  # type: ignore[arg-type]
        found = result[what] = dict[str, Any]()
        function = function_of(source, HOST_OPTIONS["O2"])
        found["accuracy"] = float((probabilities(function, images, classes).argmax(1) == labels).mean())
        image = np.ascontiguousarray(images[0].transpose(1, 2, 0))
        for name, host_options in HOST_OPTIONS.items():
            (folder / f"{name}{what}.c").write_bytes(source.read_bytes())
            there = function_of(folder / f"{name}{what}.c", host_options)
            found[f"us {name}"] = round(microseconds(there, image, classes), 1)
        if shutil.which("arm-none-eabi-gcc"):
            found |= sizes(source)
            if shutil.which("qemu-system-arm") and model.network.multiply_adds <= MOST_COUNTED:
                found["instructions"] = instructions(source, values, classes)
    return result


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--data-dir")
    parser.add_argument("--models", type=Path, required=True)
    options = parser.parse_args()
    options.models.mkdir(parents=True, exist_ok=True)
    more = {} if options.data_dir is None else {"data_dir": options.data_dir}
    data = layerline.load_data(options.data, group_by="none", **more)
    results = {}
    for network in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            results[network] = found = measured(model_of(network, data, options.models), data, Path(folder))
        floats, int8 = found["float32"], found["int8"]
        print(f"{network}: {found['images']} test images, {found['multiply_adds']} multiply-adds")
        for key, value in floats.items():
            change = f"{int8[key] - value:+.4f}" if key == "accuracy" else f"÷ {value / int8[key]:.2f}"
            print(f"    {key:<14} {value:>12} → {int8[key]:>12}   {change}")
    write(f"int8-{data.name}", results)


if __name__ == "__main__":
    main()
