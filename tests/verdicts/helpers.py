"""A small network with every kind of state, and what holds for all verdicts."""

import json

from tests.verdicts.linear import Line
from torch import nn

from palpate.core.records import VerdictRecord
from palpate.verdicts.check import checks


class Net(nn.Module):
    """Small, with everything that has a state: batch norm, dropout, buffers."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.line = Line()
        self.norm, self.drop = nn.BatchNorm2d(3), nn.Dropout(0.3)
        self.outputs = outputs

    def forward(self, x):
        z = self.line(self.drop(self.norm(x)))
        return z[:, 1:] - z[:, :1] if self.outputs == 1 else z


def by_name(verdicts: list[VerdictRecord]) -> dict[str, VerdictRecord]:
    return {verdict.name: verdict for verdict in verdicts}


def sane(verdicts: list[VerdictRecord]) -> None:
    """Every check answered, in words, with numbers that JSON knows."""
    assert [verdict.name for verdict in verdicts] == [check.name for check in checks()]
    text = json.dumps([verdict.to_dict() for verdict in verdicts], allow_nan=False)
    assert json.loads(text)
    for verdict in verdicts:
        assert verdict.status in ("pass", "warn", "fail", "not run")
        assert verdict.advice.endswith(".")
        assert "\n" not in verdict.advice
        assert "robust" not in verdict.advice.lower().replace("robust accuracy", "")
        assert verdict.source
        if verdict.status != "not run":
            assert verdict.figure is not None
