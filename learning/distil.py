"""Learning from a trained tracker: the network is to know what a teacher's features know.

A label says where one target is. A teacher's feature map says of every place in the picture what is there, for labelled
and unlabelled images alike, so that little footage goes a long way (Romero et al., "FitNets", ICLR 2015: the hint). The
teacher is a backbone in an ONNX file, such as the one that OpenCV's model zoo has of NanoTrack v2; it is used in
training only.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Teacher:
    """A backbone in an ONNX file, run by onnxruntime on the CPU.

    It takes (1, 3, S, S) RGB in [0, 255] and pads: its cell i looks at the crop's pixel ``stride · i``.

    Args:
        path: the ONNX file.
        threads: CPU threads for one batch.

    Raises:
        ImportError: onnx or onnxruntime is not installed.
        OSError: no such file.
        ValueError: a model of another kind.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise ImportError("a teacher needs onnxruntime: pip install 'siamtrack[onnx]'") from error
        model = onnx.load(path)
        shapes = [[size.dim_value for size in value.type.tensor_type.shape.dim] for value in model.graph.output]
        if len(model.graph.input) != 1 or len(shapes) != 1 or len(shapes[0]) != 4:
            raise ValueError(f"{path}: a teacher has one image for an input and one feature map for an output")
        self.channels, self.name = shapes[0][1], model.graph.input[0].name
        _free_batch(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the student needs the cores
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])

    def __call__(self, crops: Tensor) -> Tensor:
        """(n, 3, S, S) BGR crops in [0, 255] → (n, C, s, s) features on the crops' device."""
        images = crops.flip(1).float().cpu().contiguous().numpy()
        return torch.from_numpy(self.session.run(None, {self.name: images})[0]).to(crops.device)


def _free_batch(model) -> None:  # type: ignore[no-untyped-def]
    """Let a model that was exported for one image take any number of any size: in place, in its shapes."""
    from onnx import numpy_helper

    for value in [*model.graph.input, *model.graph.output]:
        for index in (0, 2, 3):
            value.type.tensor_type.shape.dim[index].Clear()
    del model.graph.value_info[:]
    reshaped = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    constants = [(node.output[0], node.attribute[0].t) for node in model.graph.node if node.op_type == "Constant"]
    for name, tensor in [*constants, *((value.name, value) for value in model.graph.initializer)]:
        if name in reshaped:
            shape = numpy_helper.to_array(tensor).copy()
            if shape[0] == 1:
                shape[0] = 0  # as many as came in
                tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))


class Hint(nn.Module):
    """The loss of not knowing what the teacher knows.

    Args:
        channels: of the network's features.
        teacher_channels: of the teacher's.
    """

    def __init__(self, channels: int, teacher_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, teacher_channels, 1)
        self.standardise = nn.BatchNorm2d(teacher_channels, affine=False)

    def forward(self, features: Tensor, taught: Tensor, stride: int, size: int) -> Tensor:
        """Mean squared error of a linear guess at the teacher's standardised features, where both have cells.

        Args:
            features: (n, F, s, s) of the network, centred in the crop, `stride` pixels apart.
            taught: (n, C, t, t) of the teacher, whose cell i lies at pixel i · teacher's stride.
            stride: of the network, in pixels of the crop.
            size: side of the crops.
        """
        step = 2 ** round(torch.log2(torch.tensor(size / taught.shape[-1])).item())
        middle = (features.shape[-1] - 1) / 2
        cells = (torch.arange(taught.shape[-1], device=features.device) * step - (size - 1) / 2) / stride  # from middle
        shared = (cells.abs() <= middle + 0.25).nonzero().flatten()  # a quarter of a cell is no other place
        place = cells[shared] / max(middle + 0.5, 1)  # in grid_sample's units: ±1 are the outer edges
        across, down = torch.meshgrid(place, place, indexing="xy")
        grid = torch.stack([across, down], -1).expand(len(features), -1, -1, -1)
        guess = F.grid_sample(
            self.project(features).float(), grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        known = self.standardise(taught[:, :, shared][:, :, :, shared].float())
        return F.mse_loss(guess, known)


class Imitation(nn.Module):
    """The loss of not responding as a teacher does, which correlates as the network does (Hinton et al. 2015).

    A true pair says of one place that it is the target; the teacher's response says of every place, and of foreign
    exemplars too, how alike it is. Only its shape counts: the teacher's scale is standardised, and a gain and an offset
    bring the network's logits to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.offset = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.zeros(()))

    def forward(self, logits: Tensor, taught: Tensor) -> Tensor:
        """Mean squared error.

        Args:
            logits: (n, K, R, R) of the network: K exemplars a search region.
            taught: (n, K, R, R) of the teacher.
        """
        standard = (taught - taught.mean()) / taught.std().clamp(min=1e-6)
        return F.mse_loss(self.gain * logits + self.offset, standard)
