"""Which upstreams have reports that are due, and since when.

Found by skipping through the index from one name to the next, so that it costs what those
upstreams are, not what waits for them, nor what the settings name.
"""

from sqlalchemy import Connection

Pair = tuple[str, str]  # partner and upstream

_FIRST = """
WITH RECURSIVE
  partners (partner) AS (
    SELECT min(partner) FROM offers WHERE report = 'due'
    UNION ALL
    SELECT (SELECT min(one.partner) FROM offers AS one
            WHERE one.report = 'due' AND one.partner > partners.partner)
    FROM partners WHERE partner IS NOT NULL
  ),
  pairs (partner, upstream) AS (
    SELECT partner, (SELECT min(one.upstream) FROM offers AS one
                     WHERE one.report = 'due' AND one.partner = partners.partner)
    FROM partners WHERE partner IS NOT NULL
    UNION ALL
    SELECT partner, (SELECT min(one.upstream) FROM offers AS one
                     WHERE one.report = 'due' AND one.partner = pairs.partner
                     AND one.upstream > pairs.upstream)
    FROM pairs WHERE upstream IS NOT NULL
  )
SELECT partner, upstream, (SELECT min(one.due_at) FROM offers AS one
                           WHERE one.report = 'due' AND one.partner = pairs.partner
                           AND one.upstream = pairs.upstream)
FROM pairs WHERE upstream IS NOT NULL
"""


def first_due(connection: Connection) -> dict[Pair, int]:
    """Return when the first report of each partner's upstream is due, in Unix milliseconds."""
    found = connection.exec_driver_sql(_FIRST).all()
    return {(partner, upstream): at for partner, upstream, at in found}
