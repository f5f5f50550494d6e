"""The software bill of materials: CycloneDX 1.6 JSON of what is installed beside this interpreter.

The image's own is made while it is built, and lies in it (docs/docker.md); `make sbom` prints that of `.venv`.
Standard library only, no network, and the same installation gives the same bytes: no time, no random serial number.
"""

import hashlib
import json
import platform
import re
import sys
import uuid
from importlib import import_module
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import quote

OURS = "collage-worker"


def main() -> None:
    """Print the document."""
    found = {canonical(each.metadata["Name"]): each for each in distributions() if each.metadata["Name"]}
    components = [python_package(name, each) for name, each in sorted(found.items()) if name != OURS]
    components += [*system_packages(), *operating_system(), interpreter()]
    version = import_module("worker").__version__
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": OURS, "name": OURS, "version": version}},
        "components": components,
        "dependencies": [{"ref": OURS, "dependsOn": [each["bom-ref"] for each in components]}],
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"
    json.dump(document, sys.stdout, indent=1)
    sys.stdout.write("\n")


def component(kind: str, name: str, version: str, purl: str) -> dict[str, object]:
    """Describe one thing; its package URL (https://github.com/package-url/purl-spec) tells it from all others."""
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def python_package(name: str, found: Distribution) -> dict[str, object]:
    """Describe one distribution of Python."""
    told = component("library", name, found.version, f"pkg:pypi/{name}@{quote(found.version)}")
    licence = found.metadata.get("License-Expression")
    return told | ({"licenses": [{"expression": licence}]} if licence else {})


def system_packages(status: Path = Path("/var/lib/dpkg/status")) -> list[dict[str, object]]:
    """Describe the packages of Debian: among them the codecs that Pillow was linked with."""
    told = []
    release = os_release()
    distro = f"{release.get('ID', 'debian')}-{release.get('VERSION_ID', '')}"
    for stanza in status.read_text(errors="replace").split("\n\n") if status.is_file() else ():
        fields = dict(re.findall(r"^(Package|Version|Status|Architecture|Source): (.*)$", stanza, re.MULTILINE))
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name, version = fields["Package"], fields["Version"]
        # Debian's advisories name source packages: `upstream` lets scanners find them.
        upstream = f"&upstream={quote(fields['Source'].split()[0])}" if "Source" in fields else ""
        purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={fields['Architecture']}&distro={distro}{upstream}"
        told.append(component("library", name, version, purl))
    return sorted(told, key=lambda each: str(each["bom-ref"]))


def operating_system() -> list[dict[str, object]]:
    """Describe the distribution, where there is one that tells its name."""
    release = os_release()
    if "ID" not in release:
        return []
    name, version = release["ID"], release.get("VERSION_ID", "")
    return [component("operating-system", name, version, f"pkg:generic/{quote(name)}@{quote(version)}")]


def os_release() -> dict[str, str]:
    """Return what os-release(5) says."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def interpreter() -> dict[str, object]:
    """Describe Python itself."""
    version = platform.python_version()
    return component("platform", "python", version, f"pkg:generic/python@{version}")


def canonical(name: str) -> str:
    """Return a project's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
