"""Lines that a log can do without: DVC and TensorFlow print them each time, and nobody can act on them."""

import re
import sys

# DVC's advice is about dvc.lock of a clone that the run removes; the task `push` pushes.
HINTS = (
    r"(?:Generating|Updating) lock file '.*'",
    r"To track the changes with git, run:",
    r"\s+git add .*",
    r"To enable auto staging, run:",
    r"\s+dvc config core\.autostage true",
    r"Use `dvc push` to send your updates to remote storage\.",
)
# TensorFlow's start-up lines, all of level INFO but the first.
START_UP = (
    r"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR",
    r"I\d{4} .*\] oneDNN custom operations are on\..*",
    r"I\d{4} .*\bcpu_feature_guard\.cc:\d+\] .*",
    r"To enable the following instructions: .* rebuild TensorFlow with the appropriate compiler flags\.",
    r"I\d{4} .*\b(?:cudart_stub|cuda_executor|gpu_device|cuda_dnn|service|device_compiler)\.cc:\d+\] .*",
)


def is_dispensable(line: str) -> bool:
    """Return whether a line of a command's output is empty, a hint of DVC or a start-up line of TensorFlow."""
    return not line.strip() or _is_one_of(HINTS, line) or is_start_up(line)


def is_start_up(line: str) -> bool:
    """Return whether a line is a start-up line of TensorFlow."""
    return _is_one_of(START_UP, line)


def _is_one_of(patterns: tuple[str, ...], line: str) -> bool:
    return any(re.fullmatch(pattern, line) for pattern in patterns)


if __name__ == "__main__":
    sys.stdin.reconfigure(errors="surrogateescape", newline="\n")  # type: ignore[union-attr]  # it is a file
    sys.stdout.reconfigure(errors="surrogateescape", newline="\n")  # type: ignore[union-attr]
    for text in sys.stdin:
        if not is_start_up(text.rstrip("\n")):
            sys.stdout.write(text)
            sys.stdout.flush()
