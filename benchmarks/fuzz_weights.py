"""The input of `fuzz.py` for files with weights of other libraries: PyTorch's in both formats, and safetensors."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Final, final

from fuzz_inputs import Input, OfFiles
from mutations import changed

from layerline.files import state_dict

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random


@final
class WeightsFile(OfFiles):
    """A state dict, alone and in a checkpoint, with strides, every type of float, and every protocol."""

    def prepare(self, folder: Path) -> None:
        """Let PyTorch and the safetensors package write the samples."""
        import safetensors.torch
        import torch

        module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4))
        optimizer = torch.optim.Adam(module.parameters())
        module(torch.ones(2, 3, 4, 4)).sum().backward()
        optimizer.step()
        held = module.state_dict()
        turned = {"a": torch.arange(12.0).reshape(3, 4).t(), "b": torch.ones(3).double(), "c": torch.ones(3).half()}
        samples = []
        for value in (held, turned, {"epoch": 3, "optimizer": optimizer.state_dict(), "state_dict": held}):
            for zipped in (False, True):
                for protocol in (2, 4):
                    file = io.BytesIO()
                    torch.save(value, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
                    samples.append(file.getvalue())
        few = {"a": torch.ones(2, 2).bfloat16(), "b": torch.tensor(3)}
        self.samples = {"weights": (*samples, safetensors.torch.save(held), safetensors.torch.save(few))}
        for k, sample in enumerate(self.samples["weights"]):
            state_dict.parsed(sample, str(k), "")

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate any bytes, or the pickle in a zip archive with its checksum corrected."""
        if not content.startswith(b"PK") or random.random() < 0.3:
            return changed(random, content, others)
        file = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
            for name in old.namelist():
                held = old.read(name)
                new.writestr(name, changed(random, held) if name.endswith("data.pkl") else held)
        return file.getvalue()

    def given(self, random: Random, folder: Path) -> None:
        """Read it."""
        del random
        state_dict.read(folder / "weights")


INPUTS: Final[dict[str, type[Input]]] = {"weights": WeightsFile}
