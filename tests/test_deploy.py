"""Dockerfile, compose.yaml and docs/deploy: what can be said without Docker."""

import fnmatch
import json
import re
import shlex
import tomllib

import pytest
from support.common import ROOT, needs
from support.programs import program_of

SERVE = "bert_tf.tools.serve"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
IMAGE = f"bert-tf:{PROJECT['version']}"
USER = "10001"
FOLDER = ROOT / "docs" / "deploy"
MANIFESTS = sorted(path.name for path in FOLDER.glob("*.yaml"))
PROBES = {
    "startupProbe": "/livez",
    "livenessProbe": "/livez",
    "readinessProbe": "/readyz",
}


def instructions() -> list[tuple[str, str]]:
    """[("FROM", "python:3.13-slim AS build"), …] of the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    parted = [line.split(maxsplit=1) for line in lines if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in parted]


def values(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def documents(path) -> list[dict]:
    yaml = needs("yaml", "pyyaml")
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def compose() -> dict:
    (document,) = documents(ROOT / "compose.yaml")
    return document["services"]["bert"]


def pods(document: dict) -> list[dict]:
    """The part of a manifest that describes a pod with containers."""
    spec = document["spec"]
    found = (
        spec.get("template", {}).get("spec"),
        spec.get("predictor"),
        spec,
    )
    return [pod for pod in found if pod and "containers" in pod]


def containers(name: str) -> list[tuple[dict, dict]]:
    """[(pod, container)] of a manifest."""
    return [
        (pod, container)
        for document in documents(FOLDER / name)
        for pod in pods(document)
        for container in pod["containers"]
    ]


def parsed(arguments: list[str]) -> dict:
    """The values of the server's flags, with those of the image before."""
    (entry,) = values("ENTRYPOINT")
    command, *first = json.loads(entry)
    assert command in PROJECT["scripts"]
    with program_of(SERVE).flags() as flags:
        assert flags([command, *first, *arguments]) == [command]
        return flags.flag_values_dict()


# ---------------------------------------------------------------------------
# The image.


def test_instructions_are_known_and_given_once():
    names = [name for name, _ in instructions()]
    known = "ARG FROM ENV RUN WORKDIR COPY USER EXPOSE HEALTHCHECK"
    assert {*names} == {*known.split(), "ENTRYPOINT", "CMD"}
    for name in ("USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"):
        assert names.count(name) == 1, name


def test_base_images_have_a_version_that_the_package_takes():
    (version,) = [x for x in values("ARG") if x.startswith("PYTHON=")]
    version = version.removeprefix("PYTHON=")
    for image in values("FROM"):
        name = image.split()[0]
        assert re.fullmatch(r"[\w./-]+:[\w.${}-]+", name), name
        assert "latest" not in name
        assert name == "python:${PYTHON}-slim"
    specifiers = needs("packaging.specifiers", "packaging")
    assert specifiers.SpecifierSet(PROJECT["requires-python"]).contains(version)


def test_the_server_is_no_root_and_gets_its_signals():
    (user,) = values("USER")
    assert user == f"{USER}:{USER}"
    names = [name for name, _ in instructions()]
    assert names.index("USER") > max(
        place for place, name in enumerate(names) if name == "RUN"
    )
    for name in ("ENTRYPOINT", "CMD"):
        (command,) = values(name)
        assert all(isinstance(x, str) for x in json.loads(command)), name


def test_the_health_check_asks_by_python_whether_the_server_lives():
    (check,) = values("HEALTHCHECK")
    options, _, command = check.partition("CMD ")
    python, flag, code = json.loads(command)
    assert (python, flag) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    assert f":{parsed(['--model=a=.'])['port']}/livez'" in code
    assert {"--interval", "--timeout", "--start-period", "--retries"} == {
        option.split("=")[0] for option in options.split()
    }


def test_layers_are_few_and_change_seldom_first():
    runs, copies = values("RUN"), values("COPY")
    assert len(copies) == 3 and copies[1] == ". ."
    order = [x for x in instructions() if x[0] in ("RUN", "COPY")]
    places = {rest: place for place, (_, rest) in enumerate(order)}
    (requirements,) = [x for x in runs if "pip install '.[" in x]
    assert places[copies[0]] < places[requirements] < places[copies[1]]
    assert "PIP_NO_CACHE_DIR=1" in " ".join(values("ENV"))
    for run in runs:
        assert not re.search(r"\b(sudo|curl|wget|cd)\b", run), run
        if "apt-get install" in run:
            assert "--no-install-recommends" in run
            assert "rm -rf /var/lib/apt/lists/*" in run
    assert all(path.startswith("/") for path in values("WORKDIR"))


def test_the_extras_of_the_image_exist():
    (extras,) = re.findall(
        r"pip install '\.\[([\w,]+)\]'", " ".join(values("RUN"))
    )
    assert {*extras.split(",")} <= {*PROJECT["optional-dependencies"]}


def test_the_build_sees_the_package_and_no_more():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert kept == {
        "bert_tf",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        *(path.name for path in ROOT.glob("*.py")),
    }
    first, *_ = values("COPY")
    assert {*first.split()[:-1]} <= kept
    assert any(fnmatch.fnmatch("a/__pycache__", line) for line in lines)


# ---------------------------------------------------------------------------
# Docker Compose.


def test_compose_runs_the_image_with_flags_of_the_server():
    service = compose()
    assert service["image"] == IMAGE and service["read_only"]
    assert service["tmpfs"] == ["/tmp"] and service["cap_drop"] == ["ALL"]
    flags = parsed(service["command"])
    inside = [port.split(":")[-1] for port in service["ports"]]
    assert inside == [str(flags["port"]), str(flags["grpc_port"])]
    assert {*values("EXPOSE")[0].split()} == {*inside}
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    grace = service["stop_grace_period"].removesuffix("s")
    assert int(grace) > flags["grace_seconds"]
    _, _, _, code = service["healthcheck"]["test"]
    compile(code, "healthcheck", "exec")
    assert f":{flags['port']}/readyz'" in code


# ---------------------------------------------------------------------------
# Kubernetes and KServe.


@pytest.mark.parametrize("name", MANIFESTS)
def test_objects_have_what_they_need(name):
    for document in documents(FOLDER / name):
        assert {*document} == {"apiVersion", "kind", "metadata", "spec"}
        assert re.fullmatch(r"[a-z][a-z0-9-]*", document["metadata"]["name"])
    assert containers(name)


@pytest.mark.parametrize("name", MANIFESTS)
def test_flags_ports_and_times_agree(name):
    for pod, container in containers(name):
        assert container["image"] == IMAGE
        flags = parsed(
            [x.replace("{{.Name}}", "sms") for x in container["args"]]
        )
        ports = {x["name"]: x["containerPort"] for x in container["ports"]}
        known = {flags["port"], flags["grpc_port"]}
        assert {*ports.values()} <= known
        for probe, path in PROBES.items():
            request = container[probe]["httpGet"]
            assert request["path"] == path
            port = ports.get(request["port"], request["port"])
            assert port == flags["port"]
        wait = container.get("lifecycle", {}).get("preStop")
        seconds = int(wait["exec"]["command"][1]) if wait else 0
        if "terminationGracePeriodSeconds" in pod:
            grace = pod["terminationGracePeriodSeconds"]
            assert grace > seconds + flags["grace_seconds"]
        limit = container["resources"]["limits"]
        assert flags["num_threads"] == int(limit["cpu"])
        assert container["resources"]["requests"] == limit


@pytest.mark.parametrize("name", MANIFESTS)
def test_containers_have_no_rights_but_to_write_to_tmp(name):
    for pod, container in containers(name):
        rights = container["securityContext"]
        settings = pod.get("securityContext", {}) | rights
        assert settings["runAsNonRoot"]
        assert settings["runAsUser"] == int(USER)
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["capabilities"] == {"drop": ["ALL"]}
        mounts = container["volumeMounts"]
        writable = [x["mountPath"] for x in mounts if not x.get("readOnly")]
        assert writable == ["/tmp"]
        assert {x["name"] for x in mounts} == {
            x["name"] for x in pod["volumes"]
        }


def test_objects_of_kubernetes_name_each_other():
    found = {x["kind"]: x for x in documents(FOLDER / "kubernetes.yaml")}
    deployment = found["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert (
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]
        == labels
    )
    target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == found["Deployment"]["metadata"]["name"]
    (container,) = deployment["template"]["spec"]["containers"]
    ports = {x["name"] for x in container["ports"]}
    assert {x["targetPort"] for x in found["Service"]["spec"]["ports"]} == ports
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in deployment["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert claims == [found["PersistentVolumeClaim"]["metadata"]["name"]]


def test_the_models_of_kserve_are_what_it_runs():
    runtime, service = documents(FOLDER / "kserve_runtime.yaml")
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    formats = runtime["spec"]["supportedModelFormats"]
    assert model["modelFormat"]["name"] in {x["name"] for x in formats}
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]


# ---------------------------------------------------------------------------
# The page.


def test_the_page_names_the_image_and_the_files():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert {*re.findall(r"bert-tf:[\d.]+", page)} == {IMAGE}
    assert all(f"]({name})" in page for name in MANIFESTS)
    for command in re.findall(r"docker run .* (?:--model=.*)", page):
        words = shlex.split(command)
        parsed([x for x in words[words.index(IMAGE) + 1 :]] + ["--model=a=."])


def test_the_addresses_of_probes_exist():
    code = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "bert_tf" / "serving").rglob("*.py")
    )
    assert all(f'"{path}"' in code for path in {*PROBES.values()})
