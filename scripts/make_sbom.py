"""The software bill of materials: CycloneDX 1.6 JSON of what is installed beside this interpreter.

`python scripts/make_sbom.py > sbom.cdx.json`, or inside the image, whose own list is what counts:
`docker run --rm -i --entrypoint python collage-worker:local - < scripts/make_sbom.py`. Standard library only, no
network, and the same installation gives the same bytes: no time, no random serial number.
"""

import hashlib
import json
import platform
import re
import sys
import uuid
from importlib.metadata import Distribution, distributions
from pathlib import Path

OURS = "collage-worker"


def main() -> None:
    """Print the document."""
    found = {canonical(each.metadata["Name"]): each for each in distributions() if each.metadata["Name"]}
    components = [component(name, each) for name, each in sorted(found.items()) if name != OURS]
    components += [*system_packages(), interpreter()]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": OURS, "name": OURS, "version": version(found)}},
        "components": components,
        "dependencies": [{"ref": OURS, "dependsOn": [each["bom-ref"] for each in components]}],
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"
    json.dump(document, sys.stdout, indent=1)
    sys.stdout.write("\n")


def version(found: dict[str, Distribution]) -> str:
    """Return our own version, where we are installed."""
    return found[OURS].version if OURS in found else "0"


def component(name: str, found: Distribution) -> dict[str, object]:
    """Describe one distribution of Python."""
    purl = f"pkg:pypi/{name}@{found.version}"
    told: dict[str, object] = {
        "type": "library", "bom-ref": purl, "name": name, "version": found.version, "purl": purl
    }  # fmt: skip
    licence = found.metadata.get("License-Expression")
    if licence:
        told["licenses"] = [{"expression": licence}]
    return told


def system_packages(status: Path = Path("/var/lib/dpkg/status")) -> list[dict[str, object]]:
    """Describe the packages of Debian: among them the codecs that Pillow was linked with."""
    if not status.is_file():
        return []
    told = []
    for stanza in status.read_text(errors="replace").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Status|Architecture): (.*)$", stanza, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            purl = f"pkg:deb/debian/{fields['Package']}@{fields['Version']}?arch={fields['Architecture']}"
            told.append(
                {
                    "type": "library",
                    "bom-ref": purl,
                    "name": fields["Package"],
                    "version": fields["Version"],
                    "purl": purl,
                }
            )
    return sorted(told, key=lambda each: str(each["name"]))


def interpreter() -> dict[str, object]:
    """Describe Python itself."""
    purl = f"pkg:generic/python@{platform.python_version()}"
    return {"type": "platform", "bom-ref": purl, "name": "python", "version": platform.python_version(), "purl": purl}


def canonical(name: str) -> str:
    """Return a project's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
