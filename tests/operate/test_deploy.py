"""What deploy/ ships agrees with the program and with itself, and gives nobody a right too many."""

import copy
import re
import shutil
import subprocess
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from proxy import __version__
from proxy.cli import main
from proxy.errors import ConfigurationError
from proxy.listeners import require_private
from proxy.serve import GRACE_S
from proxy.settings import Settings, load
from tests.operate.shipped import (
    CHART,
    DEPLOY,
    PROFILES,
    UNITS,
    Document,
    commands,
    compose,
    services,
    unit,
)

ROOT = DEPLOY.parent
COMPOSE = compose()
SERVICES: dict[str, Document] = COMPOSE["services"]
OURS = [name for name, one in SERVICES.items() if "optout-proxy" in one["image"]]
FRONTS = {"nginx": "single", "front": "scaled"}
LISTENING = {"single": ["proxy"], "scaled": ["web-1", "web-2"]}
SETTINGS = 'audience = "optout-proxy:test"\npublic_url = "https://proxy.shop.example"\n'
GRACES = {"s": 1, "m": 60}


def parsed(words: list[str]) -> dict[str, Any]:
    """Return what the program makes of a command line; a wrong one raises."""
    command = main.get_command(click.Context(main), words[0])
    assert command is not None, words[0]
    params: dict[str, Any] = command.make_context(words[0], list(words[1:])).params
    return params


def loaded(environ: dict[str, str], folder: Path) -> Settings:
    """Return what the program makes of the variables, every folder of theirs being *folder*."""
    (folder / "secrets").mkdir(exist_ok=True)
    (folder / "optout.toml").write_text(SETTINGS)
    url = folder / "secrets/database-url"
    url.write_text("postgresql+psycopg://optout:word@postgres/optout\n")
    url.chmod(0o600)
    theirs = r"/(?:data|etc/optout/settings|etc/optout|(?:etc|var/lib)/optout-proxy)(?=/)"
    here = {name: re.sub(theirs, str(folder), value) for name, value in environ.items()}
    return load(Path(here.get("OPTOUT_CONFIG", folder / "optout.toml")), here)


def of_ours(environ: dict[str, str]) -> dict[str, str]:
    """Return the variables that the program reads."""
    return {name: value for name, value in environ.items() if name.startswith("OPTOUT_")}


def variables(path: Path) -> dict[str, str]:
    """Return the variables that a systemd unit sets."""
    pairs = (line.partition("=") for line in unit(path)["Environment"])
    return {name: value for name, _, value in pairs}


# -- one version, one program ---------------------------------------------------------------------


def test_the_version_is_the_programs() -> None:
    """In the chart and in the tag that compose builds; `make image` needs none."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert {chart["version"], chart["appVersion"]} == {__version__}
    assert {SERVICES[name]["image"] for name in OURS} == {
        f"${{PROXY_IMAGE:-localhost/optout-proxy:{__version__}}}"
    }


@pytest.mark.parametrize(("place", "words"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_every_command_is_one_of_the_programs(place: str, words: list[str]) -> None:
    """Each option is known and each value fits; the private side is nobody else's."""
    given = parsed(words)

    if "admin_bind" in given:
        host, port = given["admin_bind"]
        assert (port, place) == (8081, place) or place.startswith("optout-proxy-work@")
        assert ip_address(host).is_loopback or ip_address(host) in subnet("private")


def test_an_option_that_does_not_exist_is_found() -> None:
    """The check above can fail."""
    with pytest.raises(click.UsageError):
        parsed(["serve", "--admin", "127.0.0.1:8081"])


@pytest.mark.parametrize("name", OURS)
def test_every_setting_of_compose_exists(name: str, tmp_path: Path) -> None:
    """The program's own loader takes them, and believes the right networks."""
    settings = loaded(of_ours(SERVICES[name]["environment"]), tmp_path)

    fronts = {SERVICES[front]["networks"]["inside"]["ipv4_address"] for front in FRONTS}
    assert {f"{address}/32" for address in fronts} == set(map(str, settings.trusted_proxies))
    assert str(subnet("private")) in set(map(str, settings.admin_networks))
    require_private(settings, "172.30.81.3")
    assert settings.database.startswith("sqlite" if name == "proxy" else "postgresql")


@pytest.mark.parametrize("path", sorted(UNITS.glob("*.service")), ids=lambda path: path.name)
def test_every_setting_of_a_unit_exists(path: Path, tmp_path: Path) -> None:
    """The program's own loader takes them; SQLite lies in the folder that the unit may write."""
    assert unit(path)["StateDirectory"] == ["optout-proxy"]
    environ = of_ours(variables(path))
    settings = loaded(environ, tmp_path)

    if "OPTOUT_DATABASE" in environ:
        assert environ["OPTOUT_DATABASE"] == "sqlite:////var/lib/optout-proxy/optout.db"
        assert environ["OPTOUT_AUDIT_KEY_FILE"].startswith("/var/lib/optout-proxy/")
    else:
        assert settings.database.startswith("postgresql")


def test_a_setting_that_does_not_exist_is_found(tmp_path: Path) -> None:
    """The checks above can fail."""
    with pytest.raises(ConfigurationError, match="has no setting"):
        loaded({"OPTOUT_TRUSTED_PROXY": "127.0.0.1/32"}, tmp_path)


# -- addresses ------------------------------------------------------------------------------------


def subnet(network: str) -> Any:
    """Return the addresses of a network of compose."""
    return ip_network(COMPOSE["networks"][network]["ipam"]["config"][0]["subnet"])


@pytest.mark.parametrize(("front", "profile"), FRONTS.items())
def test_nginx_knows_where_each_web_process_listens(front: str, profile: str) -> None:
    """Its servers are the public listeners of the profile, each by its address."""
    told = re.findall(
        r"server (\S+):(\d+)(?: fail_timeout=1s)?;", SERVICES[front]["environment"]["BEHIND"]
    )

    assert told == [
        (one["networks"]["inside"]["ipv4_address"], str(parsed(one["command"])["bind"][1]))
        for name, one in services(profile).items()
        if name in LISTENING[profile]
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_each_listens_where_it_is(profile: str) -> None:
    """The private listener is bound to the service's own address on the private network only."""
    for name, one in services(profile).items():
        if name in OURS and one["command"][0] != "migrate":
            host, _ = parsed(one["command"])["admin_bind"]
            assert host == one["networks"]["private"]["ipv4_address"]
            assert one["environment"].get("LISTENS", f"{host}:8081") == f"{host}:8081"


def test_the_image_and_nginx_know_the_same_port() -> None:
    """What the image exposes, asks and binds is what nginx forwards to, as is the default."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    nginx = (DEPLOY / "nginx.conf").read_text()
    default = parsed(["serve"])["bind"][1]

    assert re.findall(r"^EXPOSE (\d+)", dockerfile, re.MULTILINE) == [str(default)]
    assert re.findall(r"http://127.0.0.1:(\d+)/healthz", dockerfile) == [str(default)]
    assert re.findall(r'"0.0.0.0:(\d+)"', dockerfile) == [str(default)]
    assert re.findall(r"server 127.0.0.1:(\d+);", nginx) == [str(default)]


@pytest.mark.parametrize("front", FRONTS)
def test_nginx_finds_its_files_and_may_write_where_it_does(front: str) -> None:
    """The certificate is mounted where it is read; all that is written lies in memory."""
    service = SERVICES[front]
    text = (DEPLOY / "nginx.conf").read_text()
    read = re.findall(r"^\s*ssl_certificate(?:_key)? (/[^ ;]+)", text, re.MULTILINE)
    asked = ["sed", "-f", str(DEPLOY / "nginx.sed"), str(DEPLOY / "nginx.conf")]
    made = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    written = re.findall(r"\b(?:pid|\w+_path) (/[^ ;]+)", made)

    assert {secret["target"] for secret in service["secrets"]} == set(read)
    assert len(written) == 7
    assert [path for path in written if not path.startswith("/tmp/")] == []  # noqa: S108  # its own
    assert [line.partition(":")[0] for line in service["tmpfs"]] == ["/tmp"]  # noqa: S108  # the same


# -- who reaches what, and who may do what --------------------------------------------------------


def faults(document: Document) -> list[str]:
    """Return what in a compose file gives somebody more than it must."""
    found = [f"{name}: not internal" for name in ("inside", "database") if open_to(document, name)]
    for name, service in document["services"].items():
        found += [f"{name}: {what}" for what in (*rights(service), *reached(name, service))]
    return found


def open_to(document: Document, network: str) -> bool:
    """Tell whether the world can be reached from a network."""
    return not (document["networks"][network] or {}).get("internal")


def rights(service: Document) -> list[str]:
    """Return what a service may do without a need."""
    uid = str(service.get("user", "0")).partition(":")[0]
    forbidden = {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices", "userns_mode"}
    judged = {
        "a right": bool(forbidden & service.keys()),
        "root": uid in {"0", "root"},
        "capabilities": service.get("cap_drop") != ["ALL"],
        "new privileges": "no-new-privileges:true" not in service.get("security_opt", []),
        "a root that can be written": service.get("read_only") is not True,
        "an image without a version": re.search(r":\d+\.\d+[\w.-]*}?$", service["image"]) is None,
        "no limit": not {"mem_limit", "pids_limit"} <= service.keys(),
        "no health": "healthcheck" not in service and "optout-proxy" not in service["image"],
        "the engine": any("docker.sock" in str(one) for one in service.get("volumes", [])),
        "a secret in sight": any(map(is_secret, service.get("environment", {}).items())),
        "an early end": not is_patient(service),
    }
    return [what for what, wrong in judged.items() if wrong]


def is_secret(pair: tuple[str, str]) -> bool:
    """Tell whether a variable holds a secret itself, not the file of one."""
    name, value = pair
    is_file = name.endswith("_FILE")
    is_address = "://" in value and "@" in value
    return is_address or (re.search(r"PASSWORD|SECRET|KEY", name) is not None and not is_file)


def is_patient(service: Document) -> bool:
    """Tell whether a service is given the time that it may need to end."""
    grace = str(service.get("stop_grace_period", "10s"))
    return int(grace[:-1]) * GRACES[grace[-1]] > GRACE_S + 2


def reached(name: str, service: Document) -> list[str]:
    """Return from where a service can be reached though it should not."""
    published = [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")]
    networks = set(service["networks"])
    judged = {
        "published": bool(published) and name not in FRONTS,
        "the database for all": name == "postgres" and networks != {"database"},
        "nginx inside": name in FRONTS and networks != {"edge", "inside"},
        "a loopback port of the database": name == "postgres" and "ports" in service,
    }
    return [what for what, wrong in judged.items() if wrong]


def test_compose_gives_nobody_more_than_it_must() -> None:
    """No root, no capability, no root file system to write, no port too many."""
    assert faults(COMPOSE) == []


def put(name: str, key: str, value: Any) -> Callable[[Document], None]:
    """Return a change of one service."""
    return lambda document: document["services"][name].__setitem__(key, value)


PLANTED = {
    "privileged": put("proxy", "privileged", True),  # noqa: FBT003  # a value of compose
    "a capability": put("nginx", "cap_add", ["NET_BIND_SERVICE"]),
    "every capability": put("web-1", "cap_drop", []),
    "the machine's network": put("work-1", "network_mode", "host"),
    "root": put("postgres", "user", "0:0"),
    "a root to write": put("proxy", "read_only", False),  # noqa: FBT003  # the same
    "new privileges": put("front", "security_opt", []),
    "any version": put("front", "image", "docker.io/library/nginx:latest"),
    "the engine's socket": put("proxy", "volumes", ["/var/run/docker.sock:/var/run/docker.sock"]),
    "a password in sight": put("postgres", "environment", {"POSTGRES_PASSWORD": "word"}),
    "a password in an address": put("web-2", "environment", {"URL": "postgresql://me:word@it/x"}),
    "a published database": put("postgres", "ports", ["5432:5432"]),
    "a published private listener": put("web-1", "ports", ["8081:8081"]),
    "a database on every network": put("postgres", "networks", ["database", "private"]),
    "nginx on the private network": put("front", "networks", {"edge": {}, "private": {}}),
    "an early end": put("web-1", "stop_grace_period", "5s"),
    "a database with a way out": lambda document: document["networks"].update(database={}),
}


@pytest.mark.parametrize("change", PLANTED.values(), ids=PLANTED)
def test_a_planted_right_is_found(change: Callable[[Document], None]) -> None:
    """Each promise of the check above, broken once."""
    document = copy.deepcopy(COMPOSE)
    change(document)

    assert len(faults(document)) >= 1


def test_only_the_embedded_database_may_write_its_folder() -> None:
    """Everybody else reads settings and secrets."""
    for name in OURS:
        assert SERVICES[name]["volumes"] == ["./data:/data" + ("" if name == "proxy" else ":ro")]


def test_the_schema_comes_before_the_processes() -> None:
    """`migrate` after the database is there, and the others after it is done."""
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in set(services("scaled")) & set(OURS) - {"migrate"}:
        done = {"migrate": {"condition": "service_completed_successfully"}}
        assert SERVICES[name]["depends_on"] == done


@pytest.mark.parametrize("profile", PROFILES)
def test_compose_reads_it(profile: str, tmp_path: Path) -> None:
    """The program of that name finds no fault, and sees the services of the profile."""
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("needs docker-compose")
    for name in ("compose.yaml", "nginx.conf", "nginx.sed"):
        shutil.copy(DEPLOY / name, tmp_path)
    asked = [program, "--profile", profile, "config", "--services"]
    done = subprocess.run(asked, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) >= set(services(profile))
