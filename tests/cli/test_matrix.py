"""Any network on any images, from the command line to the report, and the rows are those of a direct call of Foolbox."""

import sys

import foolbox
import polars as pl
import pytest
import torch
from tests.cli import matrix
from tests.study.helpers import stages_of

from palpate.cli.main import main
from palpate.core import rows

EPSILONS = ("1/255", "4/255", "16/255")
FAST = {
    ("timm-vit", "table"),
    ("timm-convnext", "npz"),
    ("findings-14", "dicom"),
    ("one-logit", "folders"),
    ("logits-object", "table"),
    ("transformers-vit", "folders"),
    ("torchscript", "npz"),
    ("torch-export", "png16"),
    ("lightning", "dicom"),
    ("float16", "folders"),
}
"""Each kind of images and each network but the two large ones; `make test-slow` runs all pairs."""


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning", "ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("network", "kind"),
    [
        pytest.param(network, kind, marks=() if (network, kind) in FAST else pytest.mark.slow)
        for network in matrix.NETWORKS
        for kind in matrix.KINDS
    ],
)
def test_every_network_on_every_kind_of_images(network, kind, tmp_path, monkeypatch, capsys):
    if kind == "dicom":
        pytest.importorskip("pydicom", reason="DICOM files need the extra `dicom`")
    if network == "monai-densenet121":
        pytest.importorskip("monai", reason="MONAI is an extra")
    if network == "transformers-vit":
        pytest.importorskip("transformers", reason="transformers is an extra")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "their_networks.py").write_text(matrix.MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "their_networks", raising=False)
    given = matrix.make(network, tmp_path)
    arguments, images = matrix.write(kind, tmp_path, given.channels)
    few = ["--set", "explain.images=1", "--set", "trust.images=2", "--set", "trust.budget=10"]
    attack = ["--attack", "foolbox-pgd", "--set", "attack.steps=5", "--epsilons", ",".join(EPSILONS)]
    command = [
        "palpate",
        "attack",
        *given.arguments,
        *arguments,
        "--size",
        str(matrix.SIZE),
        *attack,
        *few,
        "--out",
        "run",
    ]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0, capsys.readouterr().err
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000

    table = rows.read(tmp_path / "run" / stages_of(tmp_path / "run", "attack")[0] / "images.parquet")
    clean = table.filter(epsilon_index=0)
    pictures = torch.stack([images[image_id] for image_id in clean["image_id"]])
    labels = torch.tensor(clean["label"].to_list())
    assert len(set(labels.tolist())) == 2
    reference = matrix.Reference(given.reference).eval()
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(clean["logits"].to_list()), reference(pictures), rtol=1e-3, atol=2e-3)
    torch.manual_seed(0)
    model = foolbox.PyTorchModel(reference, bounds=(0, 1), device="cpu")
    _, _, fooled = foolbox.attacks.LinfPGD(steps=5)(model, pictures, labels, epsilons=[eval(each) for each in EPSILONS])
    ours = table.filter(pl.col("epsilon_index") > 0).sort("epsilon_index", maintain_order=True)["correct"].to_list()
    assert ours == [not each for each in fooled.flatten().tolist()]
