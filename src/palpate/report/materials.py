"""The bill of materials of a run: software, weights and data with versions and hashes, in the format CycloneDX 1.5."""

import json
import uuid
from typing import Any

from palpate.report.run_data import RunData
from palpate.report.section import text
from palpate.report.stages import MADE_ON


def bill_of_materials(data: RunData) -> dict[str, Any]:
    """What the run's stages recorded: each version of each package, each trained network, each data set.

    The serial number is made from the study, so the same run gives the same document.

    Source: CycloneDX specification 1.5, https://cyclonedx.org/docs/1.5/json/.
    """
    study = data.study
    serial = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{study.name} {study.created}')}"
    made = {"made_with": data.made_with(), "made_on": MADE_ON, "trained": data.complete("train")}
    return json.loads(text("sbom.json", study=study, serial=serial, **made))
