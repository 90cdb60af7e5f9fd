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
    made_with = data.made_with()
    packages = [(name, each) for name, versions in made_with.items() if name not in MADE_ON for each in versions]
    components: list[dict[str, Any]] = [_package(*one) for one in packages]
    for stage in data.complete("train"):
        components.append(
            {
                "type": "machine-learning-model",
                "bom-ref": stage.id,
                "name": f"{stage.model_id} on {stage.task}",
                **({"hashes": [{"alg": "SHA-256", "content": stage.weights}]} if stage.weights else {}),
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
                {"name": f"palpate:{name}", "value": ", ".join(values)}
                for name, values in {"study": [data.study.name], **made_with}.items()
                if name in ("study", *MADE_ON)
            ],
        },
        "components": components,
    }


def _package(name: str, version: str) -> dict[str, str]:
    if name == "python":
        return {"type": "platform", "bom-ref": f"python@{version}", "name": name, "version": version}
    purl = f"pkg:pypi/{name.lower()}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
