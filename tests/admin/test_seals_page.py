"""Seals and verification: what is shown, what is downloaded, and what a run finds."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import psycopg
import pytest

from proxy import verification
from proxy.aside import Aside
from proxy.ledger import Ledger
from proxy.verifier import Run, Verifier
from tests.admin.dashboard import Dashboard, Visitor
from tests.admin.filled import KEY, signer
from tests.admin.full import PATIENCE_S, a_database, a_full_dashboard, words

COUNT = 300


@pytest.fixture(params=["sqlite", "postgresql"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dashboard]:
    """A small dashboard of the test's own, whose facts it may change."""
    url = f"sqlite:///{tmp_path / 'optout.db'}"
    if request.param == "postgresql":
        url = a_database(request.getfixturevalue("postgres"))
    with a_full_dashboard(tmp_path, url, COUNT) as dashboard:
        yield dashboard
        verifier_of(dashboard).wait(PATIENCE_S)


def verifier_of(dashboard: Dashboard) -> Verifier:
    """Return what verifies in the dashboard's process."""
    found: Verifier = dashboard.admin.extensions["verifier"]
    return found


def verified(dashboard: Dashboard, visitor: Visitor, **fields: str) -> str:
    """Press the button; return the page once the run has ended."""
    answer = visitor.post("/admin/seals/verify", **fields)
    assert answer.status_code == 303, answer.text
    assert verifier_of(dashboard).wait(PATIENCE_S)
    return words(visitor.get("/admin/seals").text)


def test_the_newest_seal_of_each_partner(full: Dashboard) -> None:
    """With the length of its chain and its hash; the key is named."""
    page = words(full.signed_in().get("/admin/seals").text)

    for row in full.rows(
        "SELECT partner, max(number) AS n, max(total) AS t FROM blocks GROUP BY 1"
    ):
        assert row["partner"] in page
        assert f" {row['n']} {row['t']:,} " in page
    assert signer().kid in page
    assert "facts not sealed yet" in page


def test_the_download_is_what_the_command_writes(full: Dashboard) -> None:
    """One file that `audit verify --seal` takes, and an action that says who took it."""
    answer = full.signed_in().get("/admin/seals/newest.json")

    with full.database.read() as connection:
        expected = verification.newest(connection)
    assert json.loads(answer.text) == expected
    assert answer.headers["Content-Disposition"] == 'attachment; filename="seals.json"'
    assert len(verification.kept_in(answer.data, signer().public_keys())) == 4
    assert full.rows("SELECT count(*) AS n FROM actions WHERE action = 'took_seals'")[0]["n"] >= 1


def test_there_is_nothing_to_download_before_the_first_seal(viewer: Visitor) -> None:
    """Neither a button nor an empty file."""
    assert "newest.json" not in viewer.get("/admin/seals").text
    assert viewer.get("/admin/seals/newest.json").status_code == 404


def test_a_record_as_it_was_written(own: Dashboard) -> None:
    """What was verified, by whom, and what it does not prove."""
    page = verified(own, own.signed_in("operator"))

    assert "300 offers and all their facts are as they were written" in page
    assert "Without a kept seal it can not be excluded" in page
    assert "By operator-" in page
    done = own.rows("SELECT \"user\", subject FROM actions WHERE action = 'verified'")
    assert done[0]["subject"].endswith("nothing wrong")
    assert done[0]["subject"].startswith("300 offers, ")


def test_a_fact_that_was_changed_is_named(own: Dashboard) -> None:
    """The offer and the fact, on the page and on the first one."""
    spoil(own, "UPDATE facts SET note = 'changed' WHERE id = 7")
    (row,) = own.rows("SELECT offer_id, ordinal FROM facts WHERE id = 7")
    operator = own.signed_in("operator")

    page = verified(own, operator)

    assert f"offer {row['offer_id']}, fact {row['ordinal']}: the digest is wrong" in page
    assert "1 row is not what was written" in page
    assert "The record is not what was written" in operator.get("/admin/").text


@pytest.mark.parametrize("way", ["pasted", "uploaded"])
def test_a_kept_seal_shows_that_the_end_was_cut_off(own: Dashboard, way: str) -> None:
    """Without it the shorter record looks whole."""
    operator = own.signed_in("operator")
    kept = operator.get("/admin/seals/newest.json").text
    spoil(
        own,
        "DELETE FROM blocks",
        "DELETE FROM facts WHERE offer_id IN (SELECT max(id) FROM offers)",
        "DELETE FROM offers WHERE id = (SELECT max(id) FROM offers)",
    )
    assert "299 offers and all their facts are as they were written" in verified(own, operator)

    if way == "pasted":
        page = verified(own, operator, seals=kept)
    else:
        form = {"csrf_token": operator.token(), "seals_file": (BytesIO(kept.encode()), "s.json")}
        assert operator.ask("POST", "/admin/seals/verify", data=form).status_code == 303
        assert verifier_of(own).wait(PATIENCE_S)
        page = words(operator.get("/admin/seals").text)

    assert "it is gone: the tail was cut" in page
    assert "vouches for" in page


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"seals": "{"}, "What you gave is no JSON object."),
        ({"seals": '{"seals": 5}'}, "What you gave holds no seals"),
        ({"keys": "[]"}, "What you gave as keys is no JSON web key set"),
        ({"seals_file": "text, not a file"}, None),
    ],
)
def test_what_is_no_seal_is_refused(
    dashboard: Dashboard, operator: Visitor, fields: dict[str, str], sentence: str | None
) -> None:
    """In a sentence, and nothing is verified against it."""
    answer = operator.post("/admin/seals/verify", **fields)

    assert answer.status_code == 303
    verifier = verifier_of(dashboard)
    assert verifier.wait(PATIENCE_S)
    if sentence:
        assert verifier.run is None
        assert sentence in words(operator.get("/admin/seals").text)


def test_a_seal_of_another_key_is_refused(full: Dashboard) -> None:
    """It proves nothing; older keys of ours may be given with it."""
    operator = full.signed_in("operator")
    kept = json.loads(operator.get("/admin/seals/newest.json").text)
    kept["seals"][0]["total"] += 1

    operator.post("/admin/seals/verify", seals=json.dumps(kept))

    assert "was changed, or another key has signed it" in operator.get("/admin/seals").text


def test_too_much_is_refused_before_it_is_read(operator: Visitor) -> None:
    """A kept seal has some kilobytes."""
    answer = operator.post("/admin/seals/verify", seals="x" * 1_100_000)

    assert answer.status_code == 413


def test_a_viewer_may_look_but_not_verify(dashboard: Dashboard, viewer: Visitor) -> None:
    """There is no button, and no way around it."""
    assert "Verify now" not in viewer.get("/admin/seals").text

    assert viewer.post("/admin/seals/verify").status_code == 403
    assert verifier_of(dashboard).run is None


def test_one_run_at_a_time(full: Dashboard) -> None:
    """Whoever asks meanwhile is told; the next one may begin when it has ended."""
    hold, ended = threading.Event(), list[Run]()

    def end(run: Run) -> None:
        assert hold.wait(PATIENCE_S)
        ended.append(run)

    verifier = Verifier(Aside(full.database), Ledger(KEY), end, rest=0)
    keys = signer().public_keys()

    assert verifier.begin(keys, [], "odile")
    assert not verifier.begin(keys, [], "odette")
    hold.set()
    assert verifier.wait(PATIENCE_S)

    assert [run.by for run in ended] == ["odile"]
    assert verifier.begin(keys, [], "odette")
    assert verifier.wait(PATIENCE_S)


def test_how_far_it_is_is_shown(own: Dashboard) -> None:
    """While a run is under way, also to whoever did not begin it."""
    hold = threading.Event()
    verifier = Verifier(Aside(own.database), Ledger(KEY), lambda _run: _until(hold), rest=0)
    own.admin.extensions["verifier"] = verifier
    operator, viewer = own.signed_in("operator"), own.signed_in("viewer")

    operator.post("/admin/seals/verify")
    operator.post("/admin/seals/verify")
    page = words(operator.get("/admin/seals").text)
    until_done(verifier)
    seen = viewer.get("/admin/seals").text
    hold.set()

    assert "A verification is under way already." in page
    assert "verifies the record: blocks." in words(seen)
    assert 'value="4"' in seen
    assert "4 of 4 blocks" in words(seen)


def _until(hold: threading.Event) -> None:
    assert hold.wait(PATIENCE_S)


def until_done(verifier: Verifier) -> None:
    """Wait until a run has nothing left to do but to say so."""
    end = time.monotonic() + PATIENCE_S
    while verifier.run is None or verifier.run.ended is None:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_another_process_tells_what_was_found(own: Dashboard) -> None:
    """The page of one that has verified nothing shows what is written down."""
    verified(own, own.signed_in("operator"))
    own.admin.extensions["verifier"] = Verifier(Aside(own.database), Ledger(KEY))

    page = words(own.signed_in().get("/admin/seals").text)

    assert "verified it" in page
    assert "nothing wrong" in page


def spoil(dashboard: Dashboard, *statements: str) -> None:
    """Change what nobody may, past the triggers and the foreign keys."""
    url = dashboard.database.url
    if dashboard.database.is_sqlite:
        with closing(sqlite3.connect(url.database or "", isolation_level=None)) as connection:
            names = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            for (name,) in connection.execute(names).fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                connection.execute(statement)
        return
    where = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(where) as server:
        server.execute("SET session_replication_role = replica")
        for statement in statements:
            server.execute(statement)
