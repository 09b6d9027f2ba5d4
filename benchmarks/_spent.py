"""Measure the time and memory of one case. Uses only the standard library, so it runs in any environment."""

import json
import time
from pathlib import Path

Moment = tuple[float, float]


def now() -> Moment:
    """Return the wall-clock time and the processor time, in s."""
    return time.perf_counter(), time.process_time()


def print_spent(loaded: Moment) -> None:
    """Print the times since the network was loaded, the processor time of the process, and its peak memory, as JSON."""
    clock, processor = now()
    with Path("/proc/self/status").open() as status:
        peak = next(line for line in status if line.startswith("VmHWM"))
    found = {
        "case_s": clock - loaded[0],
        "case_cpu_s": processor - loaded[1],
        "process_cpu_s": processor,
        "peak_mib": int(peak.split()[1]) / 1024,
    }
    print(json.dumps(found))
