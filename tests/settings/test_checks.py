"""`optout-proxy check`: a good home passes, and each broken one is told what is wrong with it."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from proxy.checks.clocks import clock_finding
from proxy.checks.disks import file_system_of, kind_findings, space_findings
from proxy.checks.findings import CHECKS, Finding, Verdict, refused
from proxy.checks.surroundings import descriptor_findings
from proxy.cli import main
from proxy.errors import ConfigurationError
from tests.settings import broken_files, broken_homes
from tests.settings.broken_homes import VARIABLES, good
from tests.settings.home import Home
from tests.settings.shell import run

NOBODY = "127.0.0.1:9"  # where no private listener is
OF_THE_MACHINE = {"sqlite", "descriptors", "space", "folder"}  # that the tests run on

BROKEN = broken_homes.BROKEN | broken_files.BROKEN

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /dev/shm rw - tmpfs tmpfs rw
24 22 0:50 / /srv/shared rw - nfs4 filer:/export rw
25 22 0:51 / /srv/with\\040space rw - fuse.sshfs far: rw
26 22 0:52 / /srv/local rw - fuseblk /dev/sdb1 rw
27 22 0:53 / /srv/shared/disk rw master:1 - xfs /dev/sdc rw
"""


def findings(home: Home, *words: str, **more: Any) -> list[dict[str, str]]:
    """Check *home*; return what was found to be other than well."""
    done = run(main, "check", "--config", home.config, "--admin", NOBODY, "--json", *words, **more)
    report = json.loads(done.stdout)
    found = [each for each in report["findings"] if each["verdict"] != "ok"]

    assert done.exit_code == (1 if any(each["verdict"] == "fail" for each in found) else 0)
    assert report["ok"] == (done.exit_code == 0)
    assert {each["check"] for each in report["findings"]} <= set(CHECKS)
    return [each for each in found if each["check"] not in OF_THE_MACHINE]


@pytest.fixture
def good_home(home: Home) -> Home:
    """A home that nothing is wrong with."""
    good(home)
    return home


def test_a_good_home_passes_and_is_left_as_it_is(good_home: Home) -> None:
    """No key is made, no database, no lock: that is for who serves."""
    before = sorted(good_home.folder.rglob("*"))

    assert findings(good_home) == []
    assert sorted(good_home.folder.rglob("*")) == before


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_home_is_told_what_is_wrong_and_how_to_mend_it(good_home: Home, name: str) -> None:
    """One finding, by the check that is for it."""
    break_it, check, verdict, says, mend = BROKEN[name]
    break_it(good_home)

    found = findings(good_home)

    assert [(each["check"], each["verdict"]) for each in found] == [(check, verdict)], found
    assert says in found[0]["says"]
    assert mend in found[0]["mend"]


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_that_is_ignored_is_named(good_home: Home, name: str) -> None:
    """By its name; what it says may be a secret."""
    value, says, mend = VARIABLES[name]

    (found,) = findings(good_home, env={name: value})

    assert (found["check"], found["verdict"]) == ("environment", "warn")
    assert says in found["says"]
    assert mend in found["mend"]
    assert not value or value not in str(found)


def test_every_line_is_aligned_and_followed_by_its_mend(good_home: Home) -> None:
    """What was looked at, how it stands, what was found; the mend beneath, set in; then the sum."""
    BROKEN["a secret file that is missing"][0](good_home)
    done = run(main, "check", "--config", good_home.config, "--admin", NOBODY)
    *lines, blank, total = done.stdout.splitlines()

    shape = re.compile(r"[a-z_]+ +(ok    |warn  |fail  )\S")
    told = [line for line in lines if not line.startswith(" ")]
    assert [line for line in told if not shape.match(line)] == []
    assert len({line.index(re.split(r" +(?:ok|warn|fail) +", line)[1]) for line in told}) == 1
    (place,) = (place for place, line in enumerate(lines) if line.startswith("secrets "))
    assert lines[place + 1].strip() == "> Write the secret into it, mode 0600."
    assert blank == ""
    assert re.fullmatch(r"\d+ ok, \d+ warn, 1 fail", total)
    assert max(len(line) for line in lines if line.startswith(" ")) <= 100


def test_without_settings_nothing_is_checked(home: Home) -> None:
    """The sentences of the loader on standard error, exit status 2."""
    home.write("audience = 1")
    done = run(main, "check", "--config", home.config)

    assert done.exit_code == 2
    assert "`audience` must be text in quotes" in done.stderr


def test_a_folder_that_can_not_be_written(good_home: Home) -> None:
    """Not even by root: it is in a file system of the kernel's own."""
    text = good_home.config.read_text("utf-8")
    good_home.write(f'database = "sqlite:////proc/optout/optout.db"\n{text}')
    done = run(main, "check", "--config", good_home.config, "--admin", NOBODY, "--json")
    found = [one for one in json.loads(done.stdout)["findings"] if one["check"] == "folder"]

    assert done.exit_code == 1
    assert "/proc can not be written" in found[-1]["says"]
    assert f"chown {os.geteuid()} /proc" in found[-1]["mend"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="has no such folder")  # noqa: S108
def test_a_folder_that_does_not_outlive_the_machine(good_home: Home) -> None:
    """A real one, of memory."""
    folder = Path("/dev/shm") / f"optout-check-{os.getpid()}"  # noqa: S108
    folder.mkdir()
    try:
        text = good_home.config.read_text("utf-8")
        good_home.write(f'database = "sqlite:///{folder}/optout.db"\n{text}')
        done = run(main, "check", "--config", good_home.config, "--admin", NOBODY)
    finally:
        shutil.rmtree(folder)

    assert re.search(r"^folder +warn +\S+ lies on tmpfs", done.stdout, re.MULTILINE)
    assert "> Put the database on a volume." in done.stdout


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/srv", "ext4"),
        ("/dev/shm", "tmpfs"),  # noqa: S108
        ("/srv/shared/optout", "nfs4"),
        ("/srv/shared2", "ext4"),
        ("/srv/with space/optout", "fuse.sshfs"),
        ("/srv/shared/disk/optout", "xfs"),
    ],
)
def test_a_folder_lies_where_the_kernel_says(folder: str, kind: str) -> None:
    """The innermost mount, by its whole name."""
    assert file_system_of(Path(folder), MOUNTS) == kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "glusterfs"])
def test_a_shared_file_system_is_refused(kind: str) -> None:
    """Its locks are no locks."""
    (found,) = kind_findings(Path("/srv"), kind)

    assert (found.check, found.verdict) == ("folder", Verdict.FAIL)
    assert "take PostgreSQL" in found.mend


@pytest.mark.parametrize("kind", ["", "ext4", "xfs", "btrfs", "zfs", "fuseblk", "apfs"])
def test_a_local_file_system_is_not(kind: str) -> None:
    """Nor is one that nothing is known of."""
    assert list(kind_findings(Path("/srv"), kind)) == []


@pytest.mark.parametrize(
    ("free", "verdict"), [(1 << 20, "fail"), (500 << 20, "warn"), (1 << 30, "ok")]
)
def test_a_disk_that_is_nearly_full(free: int, verdict: str) -> None:
    """Before choices are refused."""
    (found,) = space_findings(Path("/srv"), free=free, total=100 << 30)

    assert (found.check, found.verdict) == ("space", verdict)
    assert ("Make room" in found.mend) == (verdict != "ok")


@pytest.mark.parametrize(("limit", "verdict"), [(1024, "warn"), (4096, "ok"), (-1, "ok")])
def test_too_few_open_files(good_home: Home, limit: int, verdict: str) -> None:
    """-1 is what the system calls no limit."""
    (found,) = descriptor_findings(good_home.load_again(), limit)

    assert (found.check, found.verdict) == ("descriptors", verdict)
    assert ("LimitNOFILE=4096" in found.mend) == (verdict == "warn")


@pytest.mark.parametrize(
    ("ahead", "verdict", "words"),
    [(0.4, "ok", "0.4 s ahead of"), (-7, "warn", "7.0 s behind"), (61, "fail", "61.0 s ahead of")],
)
def test_clocks_that_are_apart(ahead: float, verdict: str, words: str) -> None:
    """A minute is what tokens and signatures may be off."""
    found = clock_finding("clock", ahead, "theirs")

    assert found.verdict == verdict
    assert words in found.says


def test_a_check_is_on_the_list() -> None:
    """A name that the documents do not explain is never printed."""
    with pytest.raises(ValueError, match="not on the list"):
        Finding("mood", Verdict.OK, "Fine.")


def test_a_refusal_is_taken_apart_where_its_mend_begins() -> None:
    """Not within what it quotes."""
    found = refused("database", ConfigurationError("It broke (at 1; then 2); mend it."))

    assert (found.says, found.mend) == ("It broke (at 1; then 2)", "Mend it.")
