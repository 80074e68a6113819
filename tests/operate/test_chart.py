"""The Helm chart, rendered by Helm's own engine and judged by the schemas of Kubernetes."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.listeners import require_private
from proxy.serve import GRACE_S
from proxy.settings import load
from tests.operate.shipped import CHART, DEPLOY, Document
from tests.operate.test_deploy import loaded, of_ours, parsed

helm = pytest.importorskip("helm_python", reason="needs helm-python-sdk")
kubernetes = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")

KUBERNETES = ("1.27", "1.31", "1.34")  # Chart.yaml says from which one on
OPEN: Document = {"adminNetworks": ["10.0.0.0/8"], "from": [{"podSelector": {}}]}
MONITORED = {"serviceMonitor": True}
CASES: dict[str, Document] = {
    "single": {},
    "scaled": {"mode": "scaled"},
    "single, open": {"private": OPEN, "monitoring": MONITORED},
    "scaled, all of it": {
        "mode": "scaled",
        "image": {"digest": "sha256:" + "0" * 64},
        "private": OPEN | {"ingress": {"enabled": True, "className": "inside"}},
        "ingress": {"enabled": True, "className": "outside", "annotations": {"a": "b"}},
        "trustedProxies": ["10.1.0.0/16", "fd00::/64"],
        "networkPolicy": {"publicFrom": [{"namespaceSelector": {}}]},
        "web": {"autoscaling": {"enabled": True}},
        "monitoring": MONITORED,
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "podLabels": {"team": "shop"},
        "nodeSelector": {"disk": "fast"},
        "priorityClassName": "high",
    },
}


def rendered(values: Document) -> list[Document]:
    """Return every object that the chart makes of *values*."""
    given = {"existingSecret": "optout-secrets"} | values
    with helm.Chart.load(CHART) as chart:
        texts = chart.render(given, name="shop", namespace="checkout")
    made = [yaml.safe_load_all(text) for name, text in texts.items() if name.endswith(".yaml")]
    return [document for documents in made for document in documents if document]


def of_kind(documents: list[Document], kind: str) -> dict[str, Document]:
    """Return the objects of a kind by name."""
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


def pods(documents: list[Document]) -> dict[str, Document]:
    """Return what every pod is made from, by the object that makes it."""
    makers = [one for one in documents if "template" in one.get("spec", {})]
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in makers}


def container(pod: Document) -> Document:
    """Return the one container of a pod."""
    (only,) = pod["containers"]
    found: Document = only
    return found


def environ(pod: Document) -> dict[str, str]:
    """Return the variables of ours that a pod is given."""
    return of_ours({one["name"]: one["value"] for one in container(pod)["env"]})


def test_helm_finds_no_fault() -> None:
    """`helm lint --strict`; an icon is all that it misses."""
    found = helm.lint(CHART, {"existingSecret": "optout-secrets"}, strict=True)

    assert found["errors"] == []
    assert [one["error"] for one in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field(values: Document, version: str) -> None:
    """Each object of Kubernetes' own, strictly: an unknown field is a fault."""
    for document in rendered(values):
        if not document["apiVersion"].startswith("monitoring.coreos.com"):
            kubernetes.validate(document, version, strict=True)


def test_a_field_that_does_not_exist_is_found() -> None:
    """The check above can fail."""
    document = of_kind(rendered({}), "StatefulSet")["shop-optout-proxy"]
    document["spec"]["template"]["spec"]["hostPort"] = 8081

    with pytest.raises(kubernetes.ValidationError, match="hostPort"):
        kubernetes.validate(document, KUBERNETES[0], strict=True)


# -- what a pod may do ----------------------------------------------------------------------------


def rights(pod: Document) -> list[str]:
    """Return what a pod may do without a need: what the restricted standard forbids, and more."""
    whole, inner = pod["securityContext"], container(pod)["securityContext"]
    judged = {
        "a token": pod.get("automountServiceAccountToken") is not False,
        "root": not whole.get("runAsNonRoot") or not whole.get("runAsUser"),
        "every system call": whole.get("seccompProfile") != {"type": "RuntimeDefault"},
        "the machine's": any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
        "its folders": any("hostPath" in one for one in pod["volumes"]),
        "privileged": inner.get("privileged", False),
        "escalation": inner.get("allowPrivilegeEscalation") is not False,
        "capabilities": inner.get("capabilities") != {"drop": ["ALL"]},
        "a root that can be written": inner.get("readOnlyRootFilesystem") is not True,
        "no limit": "memory" not in container(pod)["resources"].get("limits", {}),
        "a secret for all": any(
            one["secret"].get("defaultMode", 0o644) & 0o007
            for one in pod["volumes"]
            if "secret" in one
        ),
        "a secret in sight": any("valueFrom" in one for one in container(pod)["env"]),
    }
    return [what for what, wrong in judged.items() if wrong]


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_a_pod_has_no_right_without_a_need(values: Document) -> None:
    """Of every kind of pod."""
    kinds = ["-migrate", "-web", "-worker"] if values.get("mode") == "scaled" else [""]
    made = pods(rendered(values))

    assert {name: rights(pod) for name, pod in made.items()} == {
        f"shop-optout-proxy{kind}": [] for kind in kinds
    }


def inner(key: str, value: Any) -> Callable[[Document], None]:
    """Return a change of the container's security context."""
    return lambda pod: pod["containers"][0]["securityContext"].__setitem__(key, value)


PLANTED: dict[str, Callable[[Document], None]] = {
    "a token": lambda pod: pod.pop("automountServiceAccountToken"),
    "root": lambda pod: pod["securityContext"].pop("runAsNonRoot"),
    "every system call": lambda pod: pod["securityContext"].pop("seccompProfile"),
    "the machine's": lambda pod: pod.update(hostNetwork=True),
    "its folders": lambda pod: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    "privileged": inner("privileged", True),  # noqa: FBT003  # a value of Kubernetes
    "escalation": inner("allowPrivilegeEscalation", True),  # noqa: FBT003  # the same
    "capabilities": inner("capabilities", {"drop": ["ALL"], "add": ["NET_ADMIN"]}),
    "a root that can be written": inner("readOnlyRootFilesystem", False),  # noqa: FBT003  # the same
    "no limit": lambda pod: pod["containers"][0]["resources"].pop("limits"),
    "a secret for all": lambda pod: pod["volumes"][1]["secret"].pop("defaultMode"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_right_is_found(what: str) -> None:
    """Each promise of the check above, broken once."""
    pod = copy.deepcopy(pods(rendered({}))["shop-optout-proxy"])
    PLANTED[what](pod)

    assert rights(pod) == [what]


# -- what it starts -------------------------------------------------------------------------------


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_the_program_takes_every_command_and_setting(values: Document, tmp_path: Path) -> None:
    """As its own command line and its own loader judge; the ports are those of the container."""
    for name, pod in pods(rendered(values)).items():
        given = parsed(container(pod)["args"])
        settings = loaded(environ(pod), tmp_path)

        ports = {one["name"]: one["containerPort"] for one in container(pod).get("ports", [])}
        binds = {"public": given.get("bind"), "private": given.get("admin_bind")}
        assert {side: bind[1] for side, bind in binds.items() if bind} == ports, name
        if given.get("admin_bind"):
            require_private(settings, given["admin_bind"][0])
            assert pod["terminationGracePeriodSeconds"] > GRACE_S + 2 + 5  # and `preStop`
        assert settings.database.startswith(
            "postgresql" if values.get("mode") == "scaled" else "sqlite"
        )


@pytest.mark.parametrize("values", [{}, {"mode": "scaled"}], ids=["single", "scaled"])
def test_nobody_reaches_the_private_listener_unless_told(values: Document) -> None:
    """It is on the pod's loopback, the policy lets nobody in, and no ingress leads to it."""
    made = rendered(values)

    binds = [parsed(container(pod)["args"]).get("admin_bind") for pod in pods(made).values()]
    assert {bind[0] for bind in binds if bind} == {"127.0.0.1"}
    (policy,) = of_kind(made, "NetworkPolicy").values()
    assert [rule["ports"] for rule in policy["spec"]["ingress"]] == [
        [{"port": "public", "protocol": "TCP"}]
    ]
    public = of_kind(made, "Service")["shop-optout-proxy"]["spec"]["ports"]
    assert [port["targetPort"] for port in public] == ["public"]
    assert of_kind(made, "Ingress") == {}


def test_sqlite_has_one_pod() -> None:
    """Whatever the values say of replicas; its volume stays when the release goes."""
    values = {"web": {"replicas": 5, "autoscaling": {"enabled": True}}}
    made = rendered(values)

    (only,) = of_kind(made, "StatefulSet").values()
    assert only["spec"]["replicas"] == 1
    assert set(only["spec"]["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}
    assert not {"Deployment", "HorizontalPodAutoscaler", "Job"} & {one["kind"] for one in made}


def test_the_schema_comes_first() -> None:
    """`migrate` is a hook, so it needs nothing that the release brings: no ConfigMap."""
    made = rendered({"mode": "scaled"})

    (job,) = of_kind(made, "Job").values()
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    volumes = job["spec"]["template"]["spec"]["volumes"]
    assert [one for one in volumes if "configMap" in one] == []


REFUSED: dict[str, Document] = {
    "a misspelt value": {"mod": "scaled"},
    "another mode": {"mode": "many"},
    "no network": {"trustedProxies": ["10.0.0.1"]},
    "no secret": {"existingSecret": ""},
    "a dashboard for nobody": {"private": {"ingress": {"enabled": True}}},
    "a dashboard that believes nobody": {"private": OPEN | {"ingress": {"enabled": True}}},
    "figures for nobody": {"monitoring": {"serviceMonitor": True}},
}


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED)
def test_what_can_not_work_is_refused(values: Document) -> None:
    """Before anything is installed."""
    with pytest.raises(helm.HelmError):
        rendered(values)


def test_the_documented_values_work(tmp_path: Path) -> None:
    """What docs/deploying.md shows is taken by the chart, and its settings by the program."""
    shown = (DEPLOY.parent / "docs/deploying.md").read_text().partition("```yaml\n")[2]
    values = yaml.safe_load(shown.partition("```")[0])
    made = rendered(values)

    (settings,) = of_kind(made, "ConfigMap").values()
    (tmp_path / "shown.toml").write_text(settings["data"]["optout.toml"])
    assert set(load(tmp_path / "shown.toml", {}).partners) == {"ACME"}
    assert of_kind(made, "Ingress")["shop-optout-proxy"]["spec"]["ingressClassName"] == "nginx"


def test_the_alerts_are_those_of_the_deployment() -> None:
    """The chart's rules are the file that everybody else takes."""
    made = rendered({"monitoring": {"prometheusRule": True}})

    (rule,) = of_kind(made, "PrometheusRule").values()
    assert rule["spec"] == yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
