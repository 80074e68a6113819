"""An embedded database: its file, its folder, and the disk that both lie on.

A running `serve` and what a crash has left are not touched: what is tried is tried with a file of
our own beside them.
"""

import os
import re
import shutil
import sqlite3
import tempfile
from pathlib import Path
from stat import S_IRWXO, S_IXOTH

from proxy.checks.findings import Finding, Findings, fail, ok, or_ok, refused, warn
from proxy.clocks import wall
from proxy.database import Database
from proxy.errors import ConfigurationError
from proxy.settings import Settings

MOUNTS = Path("/proc/self/mountinfo")
_SAFE_SQLITE = (3, 51, 3)  # https://www.sqlite.org/wal.html#walresetbug
_SHARED = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|ceph|glusterfs|lustre|afs|ncpfs|fuse\.(?!fuse).*"
)
_FLEETING = ("tmpfs", "ramfs", "overlay", "aufs")
_SCARCE = 1 << 30  # bytes: 1,000,000 choices take about this much
_FULL = 100 << 20


def disk_findings(settings: Settings, database: Database) -> Findings:
    """Judge an embedded database."""
    path = Path(database.url.database or "")
    yield _file(database, path)
    folder = next(each for each in path.parents if each.exists())
    yield from or_ok(_folder(folder), "folder", f"{folder} keeps what is committed.")
    usage = shutil.disk_usage(folder)
    yield from space_findings(folder, free=usage.free, total=usage.total)
    yield from or_ok(
        _owners(settings, path), "owners", "Database and keys belong to one user, and to no other."
    )
    if sqlite3.sqlite_version_info < _SAFE_SQLITE:
        yield warn(
            "sqlite",
            f"SQLite {sqlite3.sqlite_version} has a bug with two writers (mended in 3.51.3); "
            "this program writes from one.",
            "Let no other program write to the file.",
        )
    else:
        yield ok("sqlite", f"SQLite {sqlite3.sqlite_version}.")


def _file(database: Database, path: Path) -> Finding:
    if not path.exists() and not path.with_name(f"{path.name}-wal").exists():
        return ok("database", f"{path} will be made by `serve`.")
    try:
        damages = database.damages()
    except ConfigurationError as error:
        found = refused("database", error)
        return fail("database", found.says, found.mend or "Keep it, and restore a backup.")
    if damages:
        more = f" (and {len(damages) - 1} more)" if len(damages) > 1 else ""
        return fail(
            "database",
            f"{path.name} is damaged: {damages[0]}{more}.",
            "Stop `serve`, keep the file and its -wal, restore a backup; "
            "`optout-proxy audit verify` names the rows.",
        )
    return ok("database", f"{path} is whole.")


def _folder(folder: Path) -> Findings:
    kind = file_system_of(folder, MOUNTS.read_text("utf-8") if MOUNTS.exists() else "")
    yield from kind_findings(folder, kind)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".check-") as own:
            trial = Database(f"sqlite:///{Path(own) / 'trial.db'}", wall)
            try:
                trial.check()
            finally:
                trial.dispose()
    except ConfigurationError as error:
        yield refused("folder", error)
    except OSError as error:
        yield fail(
            "folder",
            f"{folder} can not be written ({error.strerror}).",
            f"Let user {os.geteuid()} write there: `chown {os.geteuid()} {folder}`, and mount it "
            "without `ro`.",
        )


def kind_findings(folder: Path, kind: str) -> Findings:
    """Judge the kind of the file system that *folder* lies on, as the kernel calls it."""
    if _SHARED.fullmatch(kind):
        yield fail(
            "folder",
            f"{folder} lies on {kind}, where locks and syncs do not hold what SQLite builds on.",
            "Put the database on a local disk, or take PostgreSQL.",
        )
    elif kind in _FLEETING:
        yield warn(
            "folder",
            f"{folder} lies on {kind}: what is recorded there is gone with the container or "
            "the next start of the machine.",
            "Put the database on a volume.",
        )


def file_system_of(folder: Path, mounts: str) -> str:
    """Return the kind of file system that *folder* lies on by /proc/self/mountinfo; "" unknown."""
    real, found = folder.resolve(), ("", "")
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        place = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
        if real.is_relative_to(place) and len(place) >= len(found[0]):  # the last one is on top
            found = (place, after.split()[0])
    return found[1]


def space_findings(folder: Path, *, free: int, total: int) -> Findings:
    """Judge how much room there is: on a full disk every choice is answered 503."""
    says = f"{folder} has {free / (1 << 30):.1f} GiB free of {total / (1 << 30):.0f}"
    mend = "Make room: `optout-proxy purge --dry-run` counts what is past its retention."
    if free < _FULL:
        yield fail("space", f"{says}: choices are about to be refused.", mend)
    elif free < _SCARCE:
        yield warn("space", f"{says}.", mend)
    else:
        yield ok("space", f"{says}.")


def _owners(settings: Settings, path: Path) -> Findings:
    own = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", ".lock"))]
    there = [each for each in (*own, *_keys(settings)) if each.exists()]
    owners = {each.stat().st_uid: each for each in reversed(there)}
    if len(owners) > 1:
        users = " and ".join(f"{file.name} to user {uid}" for uid, file in sorted(owners.items()))
        yield fail(
            "owners",
            f"The files are not one user's: {users}.",
            "A command was run as another user; `chown` them all to the one that serves.",
        )
    for each in own:
        if each.exists() and each.stat().st_mode & S_IRWXO and _is_passable(each.parent):
            yield warn(
                "owners",
                f"{each} is open to every user of this machine.",
                f"Run `chmod o= {each}`: it holds what customers chose.",
            )


def _is_passable(folder: Path) -> bool:
    """True where others get through *folder* to what it holds."""
    return bool(folder.stat().st_mode & S_IXOTH)


def _keys(settings: Settings) -> tuple[Path, Path]:
    return settings.audit_key_file, settings.signing_key_file
