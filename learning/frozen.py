"""Layers that do not learn, run by OpenVINO: on a CPU four times as quick as torch, which a training waits for."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from tracker.network import fold_batch_norm


def quicken(part: nn.Module) -> None:
    """Let OpenVINO run a part of a network in fp32, one image at a time, so that what is between two layers stays in
    the processor's cache. The part keeps its tensors; what it makes has no gradient.

    Args:
        part: maps (N, C, H, W) to (N, C', H', W'); as it is now is how it stays.

    Raises:
        ImportError: no OpenVINO.
    """
    import openvino

    folded = copy.deepcopy(part).eval().requires_grad_(False)
    for module in list(folded.modules()):
        fold_batch_norm(module)
    compiled: dict[tuple[int, ...], Any] = {}

    def run(x: Tensor) -> Tensor:
        one = tuple(x.shape[1:])
        if one not in compiled:
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of tracing: that sizes become constants is what is wanted
                graph = openvino.convert_model(folded, example_input=torch.zeros(1, *one), input=[(1, *one)])
            threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
            compiled[one] = openvino.Core().compile_model(graph, "CPU", threads).create_infer_request()
        request = compiled[one]
        made = [torch.from_numpy(request.infer([image[None].contiguous().numpy()])[0].copy()) for image in x.detach()]
        return torch.cat(made)

    part.forward = run
