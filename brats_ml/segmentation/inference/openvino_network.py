"""Run an OpenVINO graph through the interface of a Keras model, without importing Keras."""

import os

import numpy as np
import openvino as ov
from numpy.typing import NDArray


class OpenVinoNetwork:
    """A graph that is compiled for the CPU and has the interface of a Keras model."""

    def __init__(self, graph: ov.Model, *, precision: str) -> None:
        """Compile a graph.

        Args:
            graph: A graph that `openvino_graph` made.
            precision: `float32`, or `bfloat16` for the inner layers. OpenVINO's own default is bfloat16 on CPUs that
                support it.
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
        """Return the outputs of inputs (batch, *extent, channel), computed one after another."""
        outputs = np.empty((len(x), *self.output_shape[1:]), dtype=np.float32)
        for one, output in zip(x, outputs, strict=True):
            # The next call overwrites the shared memory, so the output is copied.
            output[...] = self._compiled(np.ascontiguousarray(one[None]), share_inputs=True, share_outputs=True)[0][0]
        return outputs
