"""The two statements of the sweep. Each finds through the index, judges in whole numbers and moves the rows on at once."""

from __future__ import annotations

from typing import Final

#: Worth is in units of 10^-18 of the currency; a debt is in minor units, of which `minor` make one.


#: A bucket's rows are found by one index scan each. Locked in order of the loan, so that sweeps and runs of interest meet
#: in one order. A step is reached at or below its threshold, a call below it.
FALL_SQL: Final = """
WITH edge AS (
    SELECT * FROM unnest(%(buckets)s::int[], %(lows)s::float8[]) AS edge(bucket, bound)
), near AS MATERIALIZED (
    SELECT p.loan_id, p.stage, p.episode, p.debt, (p.btc_sats::numeric * 10000000000 * %(btc)s + p.eth_wei * %(eth)s) AS worth,
           p.debt::numeric * 100000000000000 / %(minor)s AS owed, -- one basis point of the debt, exact
           p.btc_sats::float8 / 1e8 + %(ratio)s::float8 * (p.eth_wei * 1e-18::numeric)::float8 AS in_btc
    FROM edge JOIN lending_position p
      ON p.currency = %(currency)s AND p.share_bucket = edge.bucket AND p.reach >= edge.bound
    ORDER BY p.loan_id
    FOR UPDATE OF p
), judged AS MATERIALIZED (
    SELECT near.*, t.sale_bps, t.call_bps, t.reminder_second_bps,
           CASE WHEN worth <= owed * t.sale_bps THEN 4
                WHEN worth < owed * t.call_bps THEN 3
                WHEN worth <= owed * t.reminder_second_bps THEN 2
                WHEN worth <= owed * t.reminder_first_bps THEN 1
                ELSE 0 END AS reached
    FROM near
    JOIN lending_loan l ON l.id = near.loan_id
    JOIN lending_productterms t ON t.id = l.terms_id
), moving AS MATERIALIZED (
    SELECT judged.*,
           CASE reached WHEN 1 THEN reminder_second_bps WHEN 2 THEN call_bps WHEN 3 THEN sale_bps ELSE 0 END AS next_bps
    FROM judged WHERE reached >= stage
), moved AS (
    UPDATE lending_position p
    SET stage = CASE WHEN m.reached = 4 THEN 0 ELSE m.reached + 1 END,
        threshold_bps = m.next_bps,
        reach = CASE WHEN m.reached = 4 THEN NULL
                     WHEN m.in_btc = 0 THEN 'Infinity'::float8
                     ELSE (m.debt::float8 / %(minor)s) * m.next_bps / 10000 / m.in_btc * (1 + %(widening)s::float8) END
    FROM moving m WHERE p.loan_id = m.loan_id
), written AS (
    INSERT INTO lending_breach (loan_id, tick_id, kind, stage, episode, debt, worth, state, found_at)
    SELECT loan_id, %(tick)s, 'fall', reached, episode, debt, trunc(worth / 1000000000000000000, 18), 'pending', %(now)s
    FROM moving
    ON CONFLICT (loan_id, kind, stage, episode) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM written
"""

#: Only rows that wait for a recovery have a `cure_reach`. A cure is at or above its coverage.
CURE_SQL: Final = """
WITH edge AS (
    SELECT * FROM unnest(%(buckets)s::int[], %(highs)s::float8[]) AS edge(bucket, bound)
), near AS MATERIALIZED (
    SELECT p.loan_id, p.stage, p.episode, p.debt, p.cure_bps, (p.btc_sats::numeric * 10000000000 * %(btc)s + p.eth_wei * %(eth)s) AS worth,
           p.debt::numeric * 100000000000000 / %(minor)s AS owed
    FROM edge JOIN lending_position p
      ON p.currency = %(currency)s AND p.share_bucket = edge.bucket AND p.cure_reach <= edge.bound
    ORDER BY p.loan_id
    FOR UPDATE OF p
), cured AS MATERIALIZED (
    SELECT * FROM near WHERE worth >= owed * cure_bps
), moved AS (
    UPDATE lending_position p SET cure_bps = NULL, cure_reach = NULL FROM cured WHERE p.loan_id = cured.loan_id
), written AS (
    INSERT INTO lending_breach (loan_id, tick_id, kind, stage, episode, debt, worth, state, found_at)
    SELECT loan_id, %(tick)s, 'cure', stage, episode, debt, trunc(worth / 1000000000000000000, 18), 'pending', %(now)s
    FROM cured
    ON CONFLICT (loan_id, kind, stage, episode) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM written
"""
