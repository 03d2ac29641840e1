"""A device as a run knows it: plain values, the same on every machine that reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mpitrain.core.arrays import array_module


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where one rank computes.

    A GPU is current in the thread that opened it; another thread that uses CuPy must make it
    current itself (``with device.xp.cuda.Device(device.index)``).

    Attributes:
        kind: "cpu" or "cuda".
        index: of a GPU among those that this process sees.
        name: of a GPU, for example "NVIDIA H100 80GB HBM3".
        pci_bus_id: of a GPU, for example "0000:1B:00.0".
        uuid: of a GPU in hexadecimal digits, maybe cut short; tells parts of one GPU (MIG) apart.
        total_bytes: memory of a GPU.
        free_bytes: what of it was free when this rank opened it.
        num_sharing: ranks of this run on the same GPU.
        share_bytes: memory that this rank may take.
        versions: of CuPy, of its CUDA and of the driver's, by name; empty on the CPU.
    """

    kind: str = "cpu"
    index: int = 0
    name: str = ""
    pci_bus_id: str = ""
    uuid: str = ""
    total_bytes: int = 0
    free_bytes: int = 0
    num_sharing: int = 1
    share_bytes: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def xp(self) -> Any:
        """The array module: NumPy, or CuPy."""
        return array_module(self.kind)

    @property
    def identity(self) -> tuple[str, str]:
        """What two ranks of one host have alike when they are on the same GPU."""
        return self.pci_bus_id, self.uuid

    @property
    def text(self) -> str:
        """What logs say: "cpu", or for example "cuda: NVIDIA H100 80GB HBM3"."""
        return f"{self.kind}: {self.name}" if self.name else self.kind


CPU = Device()
