"""A secret is read only by name, only from a file that is closed to other users."""

import copy
import os
import pickle
from pathlib import Path

import pytest
from pydantic import BaseModel

from proxy.errors import ConfigurationError
from proxy.secret import Secret


class Holder(BaseModel):
    """Something with a secret in it."""

    secret: Secret


def file(folder: Path, raw: bytes, mode: int = 0o600) -> Path:
    """Write a secret file."""
    path = folder / "secret"
    path.write_bytes(raw)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"hush\n", "hush"),
        (b"hush", "hush"),
        (b"hush\r\n", "hush"),
        (b" two words \n", " two words "),
        ("größe\n".encode(), "größe"),
    ],
)
def test_the_text_without_its_final_newline(tmp_path: Path, raw: bytes, text: str) -> None:
    """Nothing but the newline that editors add is taken away."""
    assert Secret(path=file(tmp_path, raw)).read() == text


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o660])
def test_a_group_may_read(tmp_path: Path, mode: int) -> None:
    """A group is how web and worker can run as different users."""
    assert Secret(path=file(tmp_path, b"hush", mode)).read() == "hush"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_file_open_to_all_is_refused(tmp_path: Path, mode: int) -> None:
    """The sentence holds the command that mends it."""
    path = file(tmp_path, b"hush", mode)

    with pytest.raises(ConfigurationError) as refused:
        Secret(path=path).read()

    assert str(refused.value) == (
        f"The secret file {path} is open to every user of this machine; run `chmod 600 {path}`."
    )


def test_a_link_is_judged_by_what_it_leads_to(tmp_path: Path) -> None:
    """Kubernetes and systemd hand secrets over through links."""
    link = tmp_path / "link"
    link.symlink_to(file(tmp_path, b"hush"))

    assert Secret(path=link).read() == "hush"


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "is empty; write the secret into it"),
        (b"\n", "is empty; write the secret into it"),
        (b"  \n", "is empty; write the secret into it"),
        (b"a\nb\n", "has more than one line"),
        (b"a\x00b", "has more than one line, or control characters in it"),
        (b"\xff", "is not UTF-8 text; write the secret into it"),
    ],
)
def test_an_unfit_text_is_refused(tmp_path: Path, raw: bytes, sentence: str) -> None:
    """What can not be a secret is told before upstream refuses it."""
    with pytest.raises(ConfigurationError, match=sentence):
        Secret(path=file(tmp_path, raw)).read()


def test_no_file(tmp_path: Path) -> None:
    """The sentence says what to do."""
    with pytest.raises(ConfigurationError, match="does not exist; write the secret into it"):
        Secret(path=tmp_path / "none").read()


def test_a_folder(tmp_path: Path) -> None:
    """A folder in the place of a file is told as such."""
    with pytest.raises(ConfigurationError, match=r"can not be read \(is a directory\)"):
        Secret(path=tmp_path).read()


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    """A start must not hang because nobody writes."""
    os.mkfifo(tmp_path / "pipe", 0o600)

    with pytest.raises(ConfigurationError, match="is not a file"):
        Secret(path=tmp_path / "pipe").read()


def test_a_path_through_a_file(tmp_path: Path) -> None:
    """Whatever else the system says is passed on in its words."""
    with pytest.raises(ConfigurationError, match=r"can not be read \(not a directory\)"):
        Secret(path=file(tmp_path, b"hush") / "below").read()


def test_it_shows_nothing() -> None:
    """Neither text nor JSON nor a template holds the value."""
    secret = Secret("hush")
    holder = Holder(secret=secret)

    shown = [str(secret), repr(secret), f"{secret}", str(holder), holder.model_dump_json()]

    assert not any("hush" in text for text in shown)


def test_a_file_shows_its_path(tmp_path: Path) -> None:
    """Where a secret lies is not secret, and needed to mend it."""
    assert str(tmp_path) in repr(Secret(path=tmp_path))
    assert str(tmp_path) not in str(Secret(path=tmp_path))


def test_it_can_not_be_pickled() -> None:
    """A pickle would be the secret in the clear."""
    with pytest.raises(TypeError, match="can not be pickled"):
        pickle.dumps(Secret("hush"))


def test_copies_are_the_same_object() -> None:
    """Settings can be copied; the secret is not multiplied."""
    secret = Secret("hush")

    assert copy.copy(secret) is secret
    assert copy.deepcopy(Holder(secret=secret)).secret is secret


def test_equality_is_by_content(tmp_path: Path) -> None:
    """Whoever compares settings sees what has changed."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret(path=tmp_path) != Secret("a")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


@pytest.mark.parametrize("given", [{}, {"value": "a", "path": Path("b")}])
def test_a_secret_has_one_form(given: dict[str, str]) -> None:
    """A value or a file."""
    with pytest.raises(TypeError):
        Secret(**given)  # type: ignore[arg-type]
