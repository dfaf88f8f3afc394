"""Networks of the papers and a recurrent one, as Flax modules; their convolution and pooling."""

from evojax_align.models.block_cnn import BlockCNN
from evojax_align.models.convolution import Conv, conv, max_pool
from evojax_align.models.deep import VGG, VGG11, ResNet
from evojax_align.models.lenet import LeNet, LeNet5
from evojax_align.models.mlp import MLP, SplitMLP
from evojax_align.models.mnist_net import MnistNet
from evojax_align.models.recurrent import Recurrent

__all__ = [
    "MLP",
    "VGG",
    "VGG11",
    "BlockCNN",
    "Conv",
    "LeNet",
    "LeNet5",
    "MnistNet",
    "Recurrent",
    "ResNet",
    "SplitMLP",
    "conv",
    "max_pool",
]
