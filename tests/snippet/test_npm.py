"""The npm package: what is in it, and that a shop's tools can use it."""

import json
import tarfile
from pathlib import Path

import pytest

from proxy import __version__
from tests.snippet.node import NPM, ROOT, STATIC, node

NAME = f"optout-proxy-choice-{__version__}.tgz"
USE = """
import { offerChoice, type Told } from "@optout-proxy/choice";

offerChoice("session", { endpoint: "https://proxy.example", offer: "OFFER-1", token: "a.token" });
offerChoice("declined");
export const told: Told | undefined = offerChoice("status");
// @ts-expect-error the word is "declined"
if (told) offerChoice("decline");
"""


def pack(workshop: Path) -> bytes:
    """Build the package; return its bytes."""
    node(NPM, "run", "pack", "--silent", folder=workshop)
    return (workshop.parents[1] / "dist" / NAME).read_bytes()


@pytest.fixture(scope="module")
def package(workshop: Path) -> Path:
    """The package, built."""
    pack(workshop)
    return workshop.parents[1] / "dist" / NAME


@pytest.fixture(scope="module")
def shop(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop that has installed the package, with no network."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "package.json").write_text('{"private": true, "type": "module"}', "utf-8")
    (folder / "page.ts").write_text(USE, "utf-8")
    node(NPM, "install", "--silent", "--offline", "--ignore-scripts", package, folder=folder)
    return folder


def test_the_package_is_the_same_whenever_it_is_built(workshop: Path, package: Path) -> None:
    """Whoever builds it gets the published bytes."""
    assert package.read_bytes() == pack(workshop)


def test_the_package_holds_the_snippet_and_little_else(package: Path, tmp_path: Path) -> None:
    """The files of this commit, under this version, and nothing that runs at installation."""
    with tarfile.open(package) as packed:
        names = [name.removeprefix("package/") for name in packed.getnames()]
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # from 3.11.4 on
        packed.extractall(tmp_path)  # noqa: S202  # our own archive
    files = {name: (tmp_path / "package" / name).read_bytes() for name in names}
    manifest = json.loads(files.pop("package.json"))

    assert (manifest["name"], manifest["version"]) == ("@optout-proxy/choice", __version__)
    assert manifest["publishConfig"] == {"access": "public", "provenance": True}
    assert not manifest.keys() & {"scripts", "dependencies"}
    assert files.pop("LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert b"offerChoice" in files.pop("README.md")
    assert sorted(files) == ["choice.d.ts", "choice.js", "choice.min.js", "choice.mjs"]
    assert files == {name: (STATIC / name).read_bytes() for name in files}


def test_it_is_silent_where_there_is_no_page(shop: Path) -> None:
    """A server that renders the shop may import it."""
    script = 'import { offerChoice } from "@optout-proxy/choice"; offerChoice("declined");'

    assert node("--input-type=module", "--eval", script, folder=shop) == ""


@pytest.mark.parametrize(
    "resolution", [("bundler", "es2022"), ("nodenext", "nodenext")], ids=lambda pair: str(pair[0])
)
def test_its_types_are_found(workshop: Path, shop: Path, resolution: tuple[str, str]) -> None:
    """By a bundler's rules and by those of Node.js."""
    tsc = workshop / "node_modules/typescript/bin/tsc"
    rules = ["--moduleResolution", resolution[0], "--module", resolution[1]]
    libraries = ["--lib", "es2020,dom"]

    node(tsc, "--noEmit", "--strict", *rules, *libraries, "page.ts", folder=shop)


@pytest.mark.parametrize("form", ["iife", "esm"])
def test_a_bundle_delivers_a_choice(workshop: Path, shop: Path, form: str) -> None:
    """What a shop's build makes of it says in a page what the customer chose."""
    esbuild = workshop / "node_modules/esbuild/bin/esbuild"
    bundle = shop / f"{form}.js"
    options = ["--bundle", "--minify", f"--format={form}", f"--outfile={bundle}"]
    entry = shop / f"{form}.ts"
    entry.write_text(USE.replace("export const", "const"), "utf-8")
    node(esbuild, entry, *options, "--log-level=error", folder=shop)

    done = json.loads(
        node(workshop.parents[1] / "tests/snippet/bundle.mjs", bundle, folder=workshop)
    )

    assert (done["form"]["offer"], done["form"]["choice"]) == ("OFFER-1", "declined")
    assert done["record"]["done"] == 202
    assert done["told"][-1] == "sent"
