"""What a computation ran on: each of its parts may change the last bits of a result."""

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Their versions may change the last bits of a prediction.
LIBRARIES = ("keras", "numpy", "openvino", "scikit-learn", "scipy", "tensorflow-cpu", "tensorflow")
CPUINFO = Path("/proc/cpuinfo")
GPU_DRIVER = Path("/dev/nvidiactl")


def computer() -> dict[str, Any]:
    """Return what may change the last bits of a prediction: processor, GPU, Python and libraries."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "gpu": GPU_DRIVER.exists(),
        "python": platform.python_version(),
        "libraries": dict(_versions()),
    }


def computer_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two computers, in words, and that a GPU may change bits of its own accord.

    A record of before Python was noted has none.
    """
    changed = [
        f"{words} changed from {before[name]} to {now[name]}"
        for name, words in (("processor", "the processor"), ("python", "Python"))
        if name in before and before[name] != now[name]
    ]
    old, new = before["libraries"], now["libraries"]
    changed += [
        f"{name} changed from {old.get(name, 'none')} to {new.get(name, 'none')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    return changed + ["a GPU adds in no fixed order"] * (before["gpu"] or now["gpu"])


def _versions() -> Iterator[tuple[str, str]]:
    for name in LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
