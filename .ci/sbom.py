"""Writes the SBOM of a wheel next to it: WHEEL.cdx.json, in CycloneDX 1.5.

    python .ci/sbom.py bert_tf-0.1.0-py3-none-any.whl

It lists the packages that the wheel needs without extras, and what these need,
in the versions that are installed for this Python. SOURCE_DATE_EPOCH, if it is
set, is its time; nothing else differs between two calls.
"""

import datetime
import email
import hashlib
import json
import os
import re
import sys
import uuid
import zipfile
from importlib import metadata


def plain(name: str) -> str:
    """A package's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirements: list[str]) -> list[str]:
    """The names of requirements that no extra and no other system asks for."""
    names = []
    for requirement in requirements:
        head, _, marker = requirement.partition(";")
        is_elsewhere = re.search(
            r"extra\s*==|sys_platform\s*==\s*.(win|darwin)"
            r"|platform_system\s*==\s*.(Windows|Darwin)|python_version\s*<",
            marker,
        )
        if not is_elsewhere:
            names.append(plain(re.match(r"\s*([\w.-]+)", head)[1]))
    return sorted({*names})


def closure(names: list[str]) -> dict[str, metadata.Distribution]:
    """{name: distribution} of packages and all that they need."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [*names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            # Such as a package that only some versions of Python need.
            print(f"{name} is not installed, and left out", file=sys.stderr)
            continue
        waiting += needed(found[name].requires or [])
    return dict(sorted(found.items()))


def license_of(about: email.message.Message) -> list[dict]:
    """The licence of a package, as CycloneDX has it; [] if nobody says."""
    if expression := about.get("License-Expression"):
        return [{"expression": expression}]
    name = (about.get("License") or "").strip().split("\n")[0]
    return [{"license": {"name": name}}] if name else []


def component(name: str, version: str, about, **more) -> dict:
    """A package as a component."""
    purl = f"pkg:pypi/{plain(name)}@{version}"
    parts = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        **more,
    }
    if licenses := license_of(about):
        parts["licenses"] = licenses
    return parts


def bom_of(path: str) -> dict:
    """The SBOM of a wheel."""
    with zipfile.ZipFile(path) as wheel:
        (name,) = [n for n in wheel.namelist() if n.endswith("/METADATA")]
        about = email.message_from_string(wheel.read(name).decode("utf-8"))
    with open(path, "rb") as reader:
        digest = hashlib.sha256(reader.read()).hexdigest()
    subject = component(
        about["Name"],
        about["Version"],
        about,
        hashes=[{"alg": "SHA-256", "content": digest}],
    )
    first = needed(about.get_all("Requires-Dist") or [])
    packages = closure(first)
    refs = {
        name: f"pkg:pypi/{name}@{package.version}"
        for name, package in packages.items()
    }
    uses = {subject["bom-ref"]: first}
    for name, package in packages.items():
        uses[refs[name]] = needed(package.requires or [])
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    time = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": subject,
        },
        "components": [
            component(name, package.version, package.metadata)
            for name, package in packages.items()
        ],
        "dependencies": [
            {"ref": ref, "dependsOn": [refs[n] for n in names if n in refs]}
            for ref, names in uses.items()
        ],
    }


if __name__ == "__main__":
    (wheel_path,) = sys.argv[1:]
    with open(f"{wheel_path}.cdx.json", "w", encoding="utf-8") as writer:
        json.dump(bom_of(wheel_path), writer, indent=2)
        writer.write("\n")
