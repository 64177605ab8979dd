"""The architectures and encoders that DeepSeg knows, by segmentation-models-pytorch's names.

A closed list: dialogs offer it, and a model file may name nothing else (the library behind it would
follow some names to the network). ``tests/contract`` compares it with the installed library.

CONTRACT: standard library only; runs on Python 3.9.
"""

from __future__ import annotations

ARCHITECTURES: tuple[str, ...] = (
    "unet",
    "unetplusplus",
    "manet",
    "linknet",
    "fpn",
    "pspnet",
    "deeplabv3",
    "deeplabv3plus",
    "pan",
    "upernet",
    "segformer",
    "dpt",
)
"""Decoders; ``dpt`` goes with the encoders of `VISION_TRANSFORMERS` alone."""

_CONVOLUTIONAL = """
resnet18 resnet34 resnet50 resnet101 resnet152
resnext50_32x4d resnext101_32x4d resnext101_32x8d resnext101_32x16d resnext101_32x32d
resnext101_32x48d
efficientnet-b0 efficientnet-b1 efficientnet-b2 efficientnet-b3 efficientnet-b4 efficientnet-b5
efficientnet-b6 efficientnet-b7
timm-efficientnet-b0 timm-efficientnet-b1 timm-efficientnet-b2 timm-efficientnet-b3
timm-efficientnet-b4 timm-efficientnet-b5 timm-efficientnet-b6 timm-efficientnet-b7
timm-efficientnet-b8 timm-efficientnet-l2
timm-tf_efficientnet_lite0 timm-tf_efficientnet_lite1 timm-tf_efficientnet_lite2
timm-tf_efficientnet_lite3 timm-tf_efficientnet_lite4
mobilenet_v2 mobileone_s0 mobileone_s1 mobileone_s2 mobileone_s3 mobileone_s4
densenet121 densenet161 densenet169 densenet201
senet154 se_resnet50 se_resnet101 se_resnet152 se_resnext50_32x4d se_resnext101_32x4d
timm-skresnet18 timm-skresnet34 timm-skresnext50_32x4d
dpn68 dpn68b dpn92 dpn98 dpn107 dpn131
inceptionresnetv2 inceptionv4 xception
vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn
"""

_MIX_TRANSFORMERS = "mit_b0 mit_b1 mit_b2 mit_b3 mit_b4 mit_b5"

VISION_TRANSFORMERS: tuple[str, ...] = (
    "tu-vit_tiny_patch16_224",
    "tu-vit_small_patch16_224",
    "tu-vit_base_patch16_224",
    "tu-vit_large_patch16_224",
)
"""Encoders that ``dpt`` needs and no other architecture can use."""

ENCODERS: tuple[str, ...] = (
    *_CONVOLUTIONAL.split(),
    *_MIX_TRANSFORMERS.split(),
    *VISION_TRANSFORMERS,
)
"""From the plain to the exotic, as dialogs show them."""
