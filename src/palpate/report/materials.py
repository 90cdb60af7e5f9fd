"""The bill of materials of a run: software, weights and data with versions and hashes, in the format CycloneDX 1.5."""

import uuid
from typing import Any

from palpate.report.run_data import RunData


def bill_of_materials(data: RunData) -> dict[str, Any]:
    """What the run's stages recorded: each version of each package, each trained network, each data set.

    The serial number is made from the study, so the same run gives the same document.

    Source: CycloneDX specification 1.5, https://cyclonedx.org/docs/1.5/json/.
    """
    records = [stage.record for stage in data.stages if stage.record]
    versions = dict.fromkeys((name, version) for record in records for name, version in record.versions.items())
    components: list[dict[str, Any]] = [_package(name, version) for name, version in versions]
    for stage in data.complete("train"):
        weights = stage.record.files.get("weights.safetensors") if stage.record else None
        components.append(
            {
                "type": "machine-learning-model",
                "bom-ref": stage.id,
                "name": f"{stage.model_id} on {stage.task}",
                **({"hashes": [{"alg": "SHA-256", "content": weights.sha256}]} if weights else {}),
            }
        )
    for task, record in data.study.tasks.items():
        components.append(
            {
                "type": "data",
                "bom-ref": f"data-{task}",
                "name": record.title,
                "description": f"identity of images, labels, groups and splits: {record.identity}",
                "licenses": [{"license": {"name": record.licence}}],
            }
        )
    commits = ", ".join(dict.fromkeys(record.commit for record in records if record.commit))
    devices = ", ".join(dict.fromkeys(record.device for record in records))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{data.study.name} {data.study.created}')}",
        "version": 1,
        "metadata": {
            "timestamp": data.study.created,
            "component": {
                "type": "application",
                "name": "palpate",
                "version": data.study.palpate,
                "bom-ref": "palpate-study",
            },
            "properties": [
                {"name": f"palpate:{name}", "value": value}
                for name, value in (("study", data.study.name), ("commit", commits), ("device", devices))
                if value
            ],
        },
        "components": components,
    }


def _package(name: str, version: str) -> dict[str, str]:
    if name == "python":
        return {"type": "platform", "bom-ref": f"python@{version}", "name": name, "version": version}
    purl = f"pkg:pypi/{name.lower()}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
