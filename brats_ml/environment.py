"""Variables that libraries read as they are imported; whoever starts a process sets them before it imports more."""

import os

DEFAULTS = {
    # Nothing is reported to anybody outside.
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # TensorFlow tells errors alone.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # TensorFlow leaves oneDNN off on CPUs without AVX512-VNNI, where its own 3D convolutions take 30 times as long.
    "TF_ENABLE_ONEDNN_OPTS": "1",
}


def set_defaults() -> None:
    """Set each of `DEFAULTS` that the user has not set."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
