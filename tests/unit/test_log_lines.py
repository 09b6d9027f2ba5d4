"""Which lines of a command's output a task's log leaves out."""

import pytest

from brats_ml.orchestration.dag.log_lines import is_dispensable

# As DVC 3.67 and TensorFlow 2.21 print them.
HINTS = """
Updating lock file 'dvc.lock'

To track the changes with git, run:

	git add dvc.lock

To enable auto staging, run:

	dvc config core.autostage true
Use `dvc push` to send your updates to remote storage.
"""
START_UP = """
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1796059264.746561   28780 port.cc:153] oneDNN custom operations are on. You may see slightly different numerical results due to floating-point round-off errors from different computation orders. To turn them off, set the environment variable `TF_ENABLE_ONEDNN_OPTS=0`.
I0000 00:00:1796059274.687155   29194 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use available CPU instructions in performance-critical operations.
To enable the following instructions: AVX2 AVX512F AVX512_VNNI AVX512_BF16 AVX_VNNI FMA, in other operations, rebuild TensorFlow with the appropriate compiler flags.
I0000 00:00:1796059274.687155   29194 gpu_device.cc:2020] Created device /job:localhost/replica:0/task:0/device:GPU:0 with 131072 MB memory
"""  # noqa: E501 - as printed


@pytest.mark.parametrize("line", [*HINTS.splitlines(), *START_UP.splitlines()])
def test_hints_of_dvc_and_start_up_lines_of_tensorflow_are_left_out(line: str) -> None:
    assert is_dispensable(line)


@pytest.mark.parametrize(
    "line",
    [
        "train: baseline_mini, 8 epochs",
        "WARNING: some of the cached data may be lost",
        "ERROR: failed to push data to the cloud - no remote",
        "W0000 00:00:1796059274.687155   29194 gpu_device.cc:2342] Cannot dlopen some GPU libraries.",
        "E0000 00:00:1796059274.687155   29194 cuda_platform.cc:51] failed call to cuInit: no CUDA-capable device",
        "F0000 00:00:1796059274.687155   29194 cpu_feature_guard.cc:164] TensorFlow was compiled to use AVX",
        "I0000 00:00:1796059274.687155   29194 bfc_allocator.cc:1] ran out of memory",
        "git add dvc.lock failed",
    ],
)
def test_warnings_errors_and_all_other_lines_stay(line: str) -> None:
    assert not is_dispensable(line)
