"""`make audit` with real auditors: what is known is named, and silence is no acquittal."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.release.services import Services, standing_in

ROOT = Path(__file__).resolve().parents[2]
LOCK = f"waitress==3.0.2 \\\n    --hash=sha256:{'0' * 64}\n"
NPM = {
    "name": "a-shop",
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "a-shop", "devDependencies": {"terser": "5.51.2"}},
        "node_modules/terser": {"version": "5.51.2", "dev": True},
    },
}
OSV_FAULT = {
    "id": "TEST-2026-1",
    "summary": "of a test",
    "affected": [
        {
            "package": {"name": "waitress", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.0.3"}]}],
            "versions": ["3.0.2"],
        }
    ],
}
NPM_FAULT = {
    "id": 1,
    "url": "https://advisories.example/1",
    "title": "of a test",
    "severity": "high",
    "vulnerable_versions": "<6",
}


@pytest.fixture
def services() -> Iterator[Services]:
    """Services that know of no fault."""
    with standing_in() as services:
        yield services


def audit(services: Services, folder: Path, lock: str = LOCK) -> tuple[int, str]:
    """Run the audit of a small project; return its exit status and what it printed."""
    (folder / "requirements.lock").write_text(lock, "utf-8")
    (folder / "package.json").write_text(json.dumps(NPM["packages"][""]), "utf-8")  # type: ignore[index]
    (folder / "package-lock.json").write_text(json.dumps(NPM), "utf-8")
    words = ["--service", "osv", "--osv-url", f"{services.url}/v1/query", "--npm", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "deploy.audit", "--lock", str(folder / "requirements.lock"), *words],
        cwd=ROOT,
        env={**os.environ, "npm_config_registry": services.url, "npm_config_fetch_retries": "0"},
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


def test_what_is_clean_passes(services: Services, tmp_path: Path) -> None:
    """Both were asked about each package."""
    status, printed = audit(services, tmp_path)

    assert status == 0, printed
    assert "1 Python packages looked up at osv" in printed
    assert "1 npm packages looked up" in printed
    assert len(services.asked) == 2


def test_a_vulnerable_python_package_is_named(services: Services, tmp_path: Path) -> None:
    """With the version that mends it; exit status 1."""
    services.osv["waitress"] = [OSV_FAULT]

    status, printed = audit(services, tmp_path)

    assert status == 1
    assert "VULNERABLE waitress 3.0.2: TEST-2026-1, mended in 3.0.3" in printed


def test_a_vulnerable_npm_package_is_named(services: Services, tmp_path: Path) -> None:
    """A tool that only builds counts too: it makes what customers get."""
    services.npm["terser"] = [NPM_FAULT]

    status, printed = audit(services, tmp_path)

    assert status == 1
    assert "VULNERABLE terser: high" in printed


def test_services_that_are_away_acquit_nobody(services: Services, tmp_path: Path) -> None:
    """Exit status 2, which is neither."""
    services.away = True

    status, printed = audit(services, tmp_path)

    assert status == 2
    assert "osv gave no whole answer" in printed
    assert "npm gave no whole answer" in printed


def test_a_fault_counts_though_the_other_service_is_away(
    services: Services, tmp_path: Path
) -> None:
    """What is known is not lost for what is not."""
    services.osv["waitress"] = [OSV_FAULT]
    services.npm["terser"] = []

    status, _ = audit(services, tmp_path)

    assert status == 1


def test_a_lock_file_without_hashes_is_refused(services: Services, tmp_path: Path) -> None:
    """What is not pinned by its hash can not be spoken of."""
    status, printed = audit(services, tmp_path, "waitress==3.0.2\n")

    assert status == 2
    assert "hash" in printed.lower()
