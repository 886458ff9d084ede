"""`massrl export`: a checkpoint's encoder in the form of another library, checked by that library before it is kept."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from massrl.cli.ends import required
from massrl.parsing.parser import Parser

DESCRIPTION = (
    "Write the encoder of CHECKPOINT, without heads and classifier, for another library: timm (a folder for "
    "timm.create_model), torchvision (a state dict), safetensors (for massrl.load_encoder), onnx, torch-export (a "
    "graph) or detectron2 (a pickle, ResNets only). The library reads the result back, and the largest difference of a "
    "feature is printed and kept in the card; a difference above the tolerance is an error, and nothing is kept."
)
NAMED = ("timm", "torchvision", "detectron2")  # which need a network that they know; the sample run has a ResNet-18


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    with ExitStack() as stack:
        if args.check:
            _use_samples(args, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        required(args, "to", "out", checkpoint="CHECKPOINT")
        from massrl.exporting.export import export

        found = export(args.checkpoint, args.to, args.out, branch=args.branch, part=args.part, size=args.size)
        print(found)
        print("check passed: nothing was kept" if args.check else f"\n{found.use.strip()}")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="massrl export", description=DESCRIPTION)
    add = parser.add_argument
    add("checkpoint", nargs="?", type=str | None, default=None, help="a run folder or a checkpoint file")
    add("--to", type=str | None, default=None, help="timm, torchvision, safetensors, onnx, torch-export or detectron2")
    add("--out", type=str | None, default=None, help="the folder (timm) or file to write; it must not exist")
    add("--branch", type=str | None, default=None, help="online or target (default: the one that is evaluated)")
    add("--part", type=str, default="encoder", help="backbone leaves out the projector's layers, as of SimCLR v2")
    add("--size", type=int | None, default=None, help="side of the images in pixels (default: that of the training)")
    add("--check", action="store_true", help="export a run of two steps, or CHECKPOINT, in a temporary folder")
    return parser


def _use_samples(args, temporary: Path) -> None:
    """Replace a missing checkpoint by a generated one, and write to the temporary folder."""
    from massrl.cli.samples import few_steps, sample_folder
    from massrl.exporting.targets import target

    args.to = args.to or "safetensors"
    args.out = str(temporary / f"export{target(args.to).suffix}")
    network = {"backbone": "resnet18" if args.to in NAMED else "tiny_resnet", "stem": "imagenet"}
    args.checkpoint, said = few_steps(args.checkpoint, temporary, sample_folder(temporary), **network)
    print(f"check: {'; '.join(said) or 'as given'}, to {args.to}", flush=True)
