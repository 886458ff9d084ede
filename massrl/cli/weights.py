"""`massrl weights FILE --backbone NAME`: whether a file of weights fits a backbone, before a run starts from it."""

from __future__ import annotations

import json
from typing import Any

from data_loading.errors import ConfigError
from massrl.parsing.parser import Parser


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    if args.check and args.file is None:
        return check()
    if args.file is None:
        raise ConfigError("say which file: massrl weights FILE --backbone NAME")
    from massrl.backbones.weights_check import check_weights

    found = check_weights(args.file, args.backbone, args.backbone_args, args.weights_key)
    print(json.dumps(found.to_dict(), indent=2) if args.json else found)
    found.check()
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="massrl weights",
        description="Compare the weights in FILE with a backbone, as `massrl pretrain` does with backbone_args: "
        "{weights: FILE}: which match, are missing, or are not used. FILE may be of solo-learn, lightly, MoCo, DINO, "
        "SwAV, Barlow Twins, VICReg, MAE, vissl, mmpretrain, timm, torchvision or massrl. The exit code is 2 where "
        "they do not fit. Only tensors and plain values are read.",
    )
    add = parser.add_argument
    add("file", nargs="?", type=str | None, default=None, help=".pt, .pth, .ckpt, .safetensors, or a folder")
    add("--backbone", type=str, default="resnet50", help="as of `massrl pretrain`: resnet50, timm:NAME, ...")
    add("--backbone_args", type=dict[str, Any] | None, default=None, help="its arguments, as {stem: cifar}")
    add("--weights_key", type=str | None, default=None, help="which state dict of the file, as teacher, or a prefix")
    add("--json", action="store_true", help="print all names, as JSON")
    add("--check", action="store_true", help="without FILE: write, compare and remove a small file")
    return parser


def check() -> int:
    """Compare a file of a ResNet-18 with a ResNet-18."""
    import tempfile
    from pathlib import Path

    import torch

    from massrl.backbones import build, check_weights

    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "resnet18.pth")
        torch.save(build("resnet18").state_dict(), path)
        found = check_weights(path, "resnet18")
        print(found)
        found.check()
    print("check passed: nothing was kept")
    return 0
