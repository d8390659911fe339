"""AlexNet as SiamFC uses it: five convolutions without padding, so that every cell sees the image alike.

L. Bertinetto, J. Valmadre, J. F. Henriques, A. Vedaldi and P. H. S. Torr, Fully-Convolutional Siamese Networks for
Object Tracking, ECCV workshops 2016, Table 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from backbones.checkpoint import StateSource, load_exactly, state_dict_of

Widths = tuple[int, int, int, int, int]

SIAMFC_WIDTHS: Widths = (96, 256, 384, 384, 256)
FDSIAMFC_WIDTHS: Widths = (28, 76, 114, 114, 76)  # FDSiamFC_30, the distilled net of github.com/conquerhuang/FDSiamFC


class AlexNet(nn.Module):
    """SiamFC's convolutional embedding: stride 8, receptive field 87 pixels, signed features.

    The input is (N, 3, H, W) float in 0-255, without normalisation; 127×127 gives 6×6 cells and 255×255 gives 22×22.
    The modules carry the names of the siamfc-pytorch checkpoints.

    Args:
        widths: output channels of the five convolutions; the second, fourth and fifth have two groups.
    """

    def __init__(self, widths: Widths = SIAMFC_WIDTHS) -> None:
        super().__init__()
        first, second, third, fourth, fifth = widths
        self.conv1 = nn.Sequential(*_layer(3, first, 11, stride=2), nn.MaxPool2d(3, stride=2))
        self.conv2 = nn.Sequential(*_layer(first, second, 5, groups=2), nn.MaxPool2d(3, stride=2))
        self.conv3 = nn.Sequential(*_layer(second, third, 3))
        self.conv4 = nn.Sequential(*_layer(third, fourth, 3, groups=2))
        self.conv5 = nn.Sequential(nn.Conv2d(fourth, fifth, 3, groups=2))
        self.out_channels = fifth
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv5(self.conv4(self.conv3(self.conv2(self.conv1(x)))))


def _layer(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, groups=groups),
        nn.BatchNorm2d(outputs, eps=1e-6, momentum=0.05),  # the constants of siamfc-pytorch and its descendants
        nn.ReLU(inplace=True),
    ]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def alexnet() -> AlexNet:
    """The network of SiamFC."""
    return AlexNet()


def load_siamfc(model: AlexNet, source: StateSource) -> None:
    """Load the backbone from a checkpoint in siamfc-pytorch's layout (FDSiamFC has it too).

    There it lies under ``backbone.``; the head's ``head.*`` is left out. These networks were trained on RGB.

    Args:
        model: an AlexNet of the checkpoint's widths, changed in place.
        source: file or state dict.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of weights, or names or shapes are not those of the model.
    """
    state = {
        name.removeprefix("backbone."): tensor
        for name, tensor in state_dict_of(source).items()
        if not name.startswith("head.")
    }
    load_exactly(model, state, "a SiamFC checkpoint of this width")
