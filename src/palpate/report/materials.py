"""The bill of materials of a run: software, weights and data with versions and hashes, in the format CycloneDX 1.5."""

import uuid
from typing import Any

from palpate.report.run_data import RunData
from palpate.report.stages import MADE_ON


def bill_of_materials(data: RunData) -> dict[str, Any]:
    """What the run's stages recorded: each version of each package, each trained network, each data set.

    The serial number is made from the study, so the same run gives the same document.

    Source: CycloneDX specification 1.5, https://cyclonedx.org/docs/1.5/json/.
    """
    made_with, study = data.made_with(), data.study
    packages = [_package(name, each) for name, found in made_with.items() if name not in MADE_ON for each in found]
    parts: list[dict[str, Any]] = list(packages)
    for stage in data.complete("train"):
        model = {"type": "machine-learning-model", "bom-ref": stage.id, "name": f"{stage.model_id} on {stage.task}"}
        parts.append(model | ({"hashes": [{"alg": "SHA-256", "content": stage.weights}]} if stage.weights else {}))
    for task, record in study.tasks.items():
        images = {"type": "data", "bom-ref": f"data-{task}", "name": record.title}
        images["description"] = f"identity of images, labels, groups and splits: {record.identity}"
        parts.append(images | {"licenses": [{"license": {"name": record.licence}}]})
    told = {"study": [study.name]} | {name: made_with[name] for name in MADE_ON if name in made_with}
    properties = [{"name": f"palpate:{name}", "value": ", ".join(values)} for name, values in told.items()]
    palpate = {"type": "application", "name": "palpate", "version": study.palpate, "bom-ref": "palpate-study"}
    serial = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{study.name} {study.created}')}"
    about = {"timestamp": study.created, "component": palpate, "properties": properties}
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": serial, "version": 1}
    return document | {"metadata": about, "components": parts}


def _package(name: str, version: str) -> dict[str, str]:
    if name == "python":
        return {"type": "platform", "bom-ref": f"python@{version}", "name": name, "version": version}
    purl = f"pkg:pypi/{name.lower()}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
