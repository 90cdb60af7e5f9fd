"""Networks and images as strangers have them, written into a folder, with what palpate does not see of them: the pixels, and the network by hand."""

import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import timm
import torch
import torchvision
from safetensors.torch import save_file
from tests.data.test_dicom import write as write_dicom
from torch import Tensor, nn

SIZE, COUNT = 64, 8
CLASSES = ("absent", "present")
IMAGENET = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1), torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)

MODULE = '''
import dataclasses

import torch
from torch import nn

try:
    from pytorch_lightning import LightningModule
except ImportError:
    LightningModule = nn.Module


class Net(nn.Module):
    def __init__(self, logits=2, channels=3):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 8, 5, 4, 2), nn.Conv2d(8, 8, 3, 2, 1)
        self.fc = nn.Linear(8, logits)

    def forward(self, x):
        return self.fc(self.conv2(self.conv1(x).relu()).relu().mean((2, 3)))


@dataclasses.dataclass
class Output:
    loss: object
    logits: torch.Tensor


class WithLogits(Net):
    def forward(self, x):
        return Output(None, super().forward(x))


class Lit(LightningModule):
    """What Lightning's users write: the network inside, and how it is trained."""

    def __init__(self, rate=0.1):
        super().__init__()
        if LightningModule is not nn.Module:
            self.save_hyperparameters()
        self.net, self.loss = Net(), nn.CrossEntropyLoss(weight=torch.ones(2))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        return self.loss(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.0)


def half():
    return Net().half()
'''


@dataclasses.dataclass(frozen=True)
class Network:
    """How a network is given to palpate, and the same by hand: images (N, C, H, W) in [0, 1] to logits (N, 2)."""

    arguments: list[str]
    channels: int
    reference: Callable[[Tensor], Tensor]


class Reference(nn.Module):
    """A function of images as a module, for Foolbox."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)


def pixels(channels: int, top: int, seed: int = 0) -> np.ndarray:
    """Noise on a ramp (COUNT, SIZE, SIZE[, 3]), every second image brighter in a corner."""
    generator = np.random.default_rng(seed)
    shape = (COUNT, SIZE, SIZE) + ((3,) if channels == 3 else ())
    images = generator.integers(0, top // 2, shape) + np.linspace(0, top // 4, SIZE).astype(int).reshape(
        1, SIZE, 1, *[1] * (channels == 3)
    )
    images[1::2, : SIZE // 2, : SIZE // 2] += top // 4
    return images.astype(np.uint8 if top == 255 else np.uint16)


def centred(network: nn.Module, place: nn.Linear, channels: int, prepare: Callable[[Tensor], Tensor]) -> None:
    """Shift and stretch the last layer so that the logits of such images lie around 0, and both answers occur."""
    examples = torch.from_numpy(pixels(channels, 255, 1).astype(np.float32) / 255)
    examples = examples[:, None] if channels == 1 else examples.permute(0, 3, 1, 2)
    network.eval()
    with torch.no_grad():
        seen = network(prepare(examples))
        seen = getattr(seen, "logits", seen)
        place.bias -= seen.mean(0)
        place.weight *= (factor := 2 / seen.std(0).clamp(min=1e-6))[:, None]
        place.bias *= factor


def make(name: str, folder: Path) -> Network:
    """Write a network of a kind into a folder."""
    import their_networks as theirs

    torch.manual_seed(0)
    as_it_is = ["--value-range", "0,1"]
    if name == "torchvision-resnet18":
        network = torchvision.models.resnet18(num_classes=2)
        centred(network, network.fc, 3, lambda x: (x - IMAGENET[0]) / IMAGENET[1])
        torch.save({f"module.{key}": value for key, value in network.state_dict().items()}, folder / "resnet18.pth")
        arguments = ["torchvision:resnet18", "--weights", "resnet18.pth"]
        return Network(arguments, 3, lambda x: network((x - IMAGENET[0]) / IMAGENET[1]))
    if name in ("timm-vit", "timm-convnext"):
        backbone = "test_vit" if name == "timm-vit" else "test_convnext"
        network = timm.create_model(backbone, num_classes=2, **({"img_size": SIZE} if name == "timm-vit" else {}))
        cfg = network.pretrained_cfg
        mean, std = (torch.tensor(cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
        centred(network, network.get_classifier(), 3, lambda x: (x - mean) / std)
        save_file(network.state_dict(), folder / f"{backbone}.safetensors")
        return Network(
            [f"timm:{backbone}", "--weights", f"{backbone}.safetensors"], 3, lambda x: network((x - mean) / std)
        )
    if name == "transformers-vit":
        return _of_transformers(folder / "their_vit")
    if name == "monai-densenet121":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from monai.networks.nets import DenseNet121
        network = DenseNet121(spatial_dims=2, in_channels=1, out_channels=2)
        centred(network, network.class_layers.out, 1, lambda x: x)
        torch.save({"model_state_dict": network.state_dict(), "epoch": 3}, folder / "densenet.pt")
        return Network(["monai:DenseNet121", "--weights", "densenet.pt", "--channels", "1", *as_it_is], 1, network)
    if name == "findings-14":
        network = theirs.Net(14, 1)
        centred(network, network.fc, 1, lambda x: 2048 * x - 1024)
        torch.save(network.state_dict(), folder / "chest.pt")
        findings = ", ".join(f'"f{i}"' for i in range(14))
        arguments = ["their_networks:Net", "--weights", "chest.pt", "--channels", "1", "--value-range=-1024,1024"]
        arguments += ["--set", "model.arguments={ logits = 14, channels = 1 }", "--set", f"model.findings=[{findings}]"]
        return Network([*arguments, "--set", "task.finding=f5"], 1, lambda x: two(network(2048 * x - 1024)[:, 5]))
    if name == "one-logit":
        network = theirs.Net(1)
        centred(network, network.fc, 3, lambda x: 2 * x - 1)
        torch.save(network.state_dict(), folder / "one.pt")
        arguments = [
            "their_networks:Net",
            "--weights",
            "one.pt",
            "--value-range=-1,1",
            "--set",
            "model.arguments={ logits = 1 }",
        ]
        return Network(arguments, 3, lambda x: two(network(2 * x - 1)[:, 0]))
    network = {"logits-object": theirs.WithLogits, "lightning": theirs.Lit}.get(name, theirs.Net)().eval()
    centred(network, network.net.fc if name == "lightning" else network.fc, 3, lambda x: x)
    if name == "logits-object":
        torch.save({"state_dict": network.state_dict()}, folder / "object.ckpt")
        return Network(
            ["their_networks:WithLogits", "--weights", "object.ckpt", *as_it_is], 3, lambda x: network(x).logits
        )
    if name == "lightning":
        _save_as_lightning(network, folder / "lit.ckpt")
        return Network(["their_networks:Lit", "--weights", "lit.ckpt", *as_it_is], 3, network)
    if name == "float16":
        torch.save(network.half().state_dict(), folder / "half.pt")
        return Network(
            ["their_networks:half", "--weights", "half.pt", *as_it_is], 3, lambda x: network(x.half()).float()
        )
    example = torch.rand(2, 3, SIZE, SIZE)
    if name == "torchscript":
        torch.jit.save(torch.jit.trace(network, example, check_trace=False), folder / "program.pt")
        return Network(["program.pt", *as_it_is], 3, network)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, folder / "program.pt2")
    return Network(["program.pt2", *as_it_is], 3, network)


def _of_transformers(folder: Path) -> Network:
    """A folder as save_pretrained writes it, which is used without a network."""
    import transformers

    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=SIZE, patch_size=16,
        num_labels=2, id2label=dict(enumerate(CLASSES)), label2id={name: i for i, name in enumerate(CLASSES)},
    )  # fmt: skip
    network = transformers.ViTForImageClassification(config)
    centred(network, network.classifier, 3, lambda x: (x - 0.5) / 0.25)
    network.save_pretrained(folder)
    prepared = {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.25] * 3, "rescale_factor": 1 / 255}
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    return Network([f"hf-hub:{folder}", "--weights", "hub"], 3, lambda x: network((x - 0.5) / 0.25).logits)


def _save_as_lightning(network: nn.Module, file: Path) -> None:
    """A checkpoint of a Trainer that has just begun; its learning rate is 0, so that the weights stay. Without Lightning, what one would hold."""
    try:
        from pytorch_lightning import Trainer
    except ImportError:
        torch.save({"pytorch-lightning_version": "2.5", "state_dict": network.state_dict(), "callbacks": {}}, file)
        return
    images = torch.utils.data.TensorDataset(torch.rand(2, 3, SIZE, SIZE), torch.tensor([0, 1]))
    silent = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(max_steps=1, accelerator="cpu", **silent)
        trainer.fit(network, torch.utils.data.DataLoader(images, batch_size=2))
        trainer.save_checkpoint(file)
    network.eval()


def two(logit: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(logit), logit], 1)


NETWORKS = (
    *("torchvision-resnet18", "timm-vit", "timm-convnext", "monai-densenet121", "findings-14", "one-logit"),
    *("transformers-vit", "logits-object", "torchscript", "torch-export", "lightning", "float16"),
)


def write(kind: str, folder: Path, channels: int) -> tuple[list[str], dict[str, Tensor]]:
    """Write images of a kind; gives the command's arguments and each image (C, H, W) in [0, 1] by its id."""
    grey = channels == 1
    colour = [] if grey else ["--set", "task.channels=3"]
    top = {"png16": 4095, "dicom": 2048}.get(kind, 255)
    values = pixels(1 if top > 255 else channels, top)
    images = torch.from_numpy(values.astype(np.float64) / top)
    images = images[:, None] if values.ndim == 3 else images.permute(0, 3, 1, 2)
    images = images.expand(-1, channels, -1, -1).float()
    labels = [CLASSES[i % 2] for i in range(COUNT)]
    if kind == "npz":
        nhwc = values[..., None] if grey else values
        np.savez(folder / "images.npz", images=nhwc, labels=np.array(labels), group=np.arange(COUNT) // 2)
        return ["--images", "images.npz", *colour], {f"images/{i:06d}": image for i, image in enumerate(images)} | {
            f"{i:06d}": image for i, image in enumerate(images)
        }
    if kind == "dicom":
        for i, image in enumerate(values):
            write_dicom(folder / "scans" / f"{i}.dcm", image, RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
        lines = ["path,label,patient", *(f"{i}.dcm,{label},P{i // 2}" for i, label in enumerate(labels))]
        (folder / "labels.csv").write_text("\n".join(lines) + "\n")
        arguments = ["--images", "scans", "--labels", "labels.csv", "--set", 'task.columns={ group = "patient" }']
        return [*arguments, "--set", "task.value_range=[-1024, 1024]", *colour], {
            f"{i}.dcm": image for i, image in enumerate(images)
        }
    names = [f"{label}/{i}.png" for i, label in enumerate(labels)]
    for name, image in zip(names, values, strict=True):
        path = folder / "pictures" / (name if kind != "table" else Path(name).name)
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image if image.ndim == 2 else image[..., ::-1])
    if kind == "table":
        lines = [f"{i}.png;{label};P{i // 2};{40 + i};F" for i, label in enumerate(labels)]
        (folder / "labels.csv").write_text("file;dx;patient;age;sex\n" + "\n".join(lines) + "\n")
        columns = 'task.columns={ path = "file", label = "dx", group = "patient" }'
        arguments = ["--images", "pictures", "--labels", "labels.csv", "--set", columns]
        return [*arguments, *colour], {f"{i}.png": image for i, image in enumerate(images)}
    ranged = ["--set", "task.value_range=[0, 4095]"] if kind == "png16" else []
    return ["--images", "pictures", *ranged, *colour], dict(zip(names, images, strict=True))


KINDS = ("folders", "table", "npz", "png16", "dicom")
