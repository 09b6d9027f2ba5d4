"""A graph of OpenVINO, called as a Keras model is; needs no Keras."""

import os

import numpy as np
import openvino as ov
from numpy.typing import NDArray


class OpenVinoNetwork:
    """A graph compiled for the CPU, called as a Keras model is."""

    def __init__(self, graph: ov.Model, *, precision: str) -> None:
        """Compile a graph.

        Args:
            graph: Of `openvino_graph`.
            precision: `float32`, or `bfloat16` for the inner layers. OpenVINO left to itself takes the latter on CPUs
                that have it.
        """
        hints = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": len(os.sched_getaffinity(0)),
        }
        self._compiled = ov.Core().compile_model(graph, "CPU", hints)
        self.output_shape = (None, *graph.output(0).partial_shape.to_shape()[1:])
        self.input_shape = (None, *graph.input(0).partial_shape.to_shape()[1:])

    def predict_on_batch(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the network gives for inputs (batch, *extent, channel), one after another."""
        outputs = np.empty((len(x), *self.output_shape[1:]), dtype=np.float32)
        for one, output in zip(x, outputs, strict=True):
            # Shared memory is overwritten by the next call, hence the copy into our own.
            output[...] = self._compiled(np.ascontiguousarray(one[None]), share_inputs=True, share_outputs=True)[0][0]
        return outputs
