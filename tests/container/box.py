"""Runs a command of the image as a container engine would: root read-only, one volume, no rights.

Needs root, buildah and an image: `make image` builds it.
"""

import os
import shutil
import subprocess
from pathlib import Path

IMAGE = "localhost/optout-proxy"
USER = 10001
_STORE = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}

# Namespaces of its own for mounts and processes; the network is the machine's.
_ENTER = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
mount --bind "$2" "$1/data" && mount -t tmpfs -o size=16m,mode=1777 tmpfs "$1/tmp"
mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev"
root=$1; shift 2
exec chroot --userspec="$USER_ID" "$root" /usr/bin/env -i PATH="$IMAGE_PATH" HOME=/data \
  /bin/sh -c 'cd /data && exec tini -- optout-proxy "$@"' sh "$@"
"""
_BUILDAH = shutil.which("buildah") or "buildah"
_PATH = "/opt/optout-proxy/bin:/usr/local/bin:/usr/bin:/bin"


def buildah(*words: str) -> str:
    """Return what buildah prints."""
    environ = {**os.environ, **_STORE}
    done = subprocess.run(
        [_BUILDAH, *words], env=environ, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


class Box:
    """One container's file system, and its volume."""

    def __init__(self, root: str, volume: Path) -> None:
        self._root = root
        self.volume = volume

    def command(self, *words: str) -> list[str]:
        """Return the command that runs `optout-proxy` with *words* in it, as process 1."""
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        enter = [*apart, "--", "bash", "-ec", _ENTER]
        return [*enter, "box", self._root, str(self.volume), *words]

    @property
    def environ(self) -> dict[str, str]:
        """What the command needs to be told."""
        return {**os.environ, "USER_ID": f"{USER}:{USER}", "IMAGE_PATH": _PATH}

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            self.command(*words), env=self.environ, check=False, capture_output=True, text=True
        )
