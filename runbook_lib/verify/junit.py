"""The verification as JUnit XML, so that a release can be blocked on it.

In the form that both Ant's and Jenkins' schema take. It holds no measured time and no time of day:
the same verdicts give the same bytes.
"""

import itertools
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from runbook_lib import redact
from runbook_lib.verify.judge import Judged, Verdict

PACKAGE = "fallback_verification"

_NO_TIME = {"time": "0", "timestamp": "1970-01-01T00:00:00", "hostname": "localhost"}


def junit(judged: Sequence[Judged], properties: Mapping[str, str]) -> str:
    """Write verdicts as JUnit XML.

    Args:
        judged: Every cell after its judgement.
        properties: What the run was made with, such as the client, the depth and the seed.

    Returns:
        One suite a case, one test case a cell; an error fails it, a warning stands in the output
        of its suite, a cell that was not played is skipped.
    """
    root = ET.Element("testsuites")
    groups = itertools.groupby(judged, key=lambda one: one.case.name)
    for number, (_, cells) in enumerate(groups):
        root.append(_suite(number, list(cells), properties))
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(number: int, cells: Sequence[Judged], properties: Mapping[str, str]) -> ET.Element:
    case = cells[0].case
    verdicts = [one.verdict for one in cells]
    suite = ET.Element(
        "testsuite",
        {
            "id": str(number),
            "package": PACKAGE,
            "name": case.name,
            "tests": str(len(cells)),
            "failures": str(verdicts.count(Verdict.ERROR)),
            "errors": "0",
            "skipped": str(verdicts.count(Verdict.NOT_PLAYED)),
            **_NO_TIME,
        },
    )
    told = ET.SubElement(suite, "properties")
    for name, value in {**properties, "row": str(case.row), "what": case.what}.items():
        ET.SubElement(told, "property", {"name": name, "value": _safe(value)})
    suite.extend(_test(one) for one in cells)
    warned = [f"{one.cell.id}: {one.seen}" for one in cells if one.verdict is Verdict.WARNING]
    ET.SubElement(suite, "system-out").text = "\n".join(_safe(line) for line in warned)
    ET.SubElement(suite, "system-err").text = ""
    return suite


def _test(one: Judged) -> ET.Element:
    test = ET.Element(
        "testcase",
        {"classname": f"{PACKAGE}.{one.case.name}", "name": one.cell.id, "time": "0"},
    )
    if one.verdict is Verdict.NOT_PLAYED:
        ET.SubElement(test, "skipped", {"message": _safe(one.seen)})
    if one.verdict is Verdict.ERROR:
        rules = ", ".join(deviation.kind.rule for deviation in one.deviations)
        attributes = {"type": rules, "message": _safe(one.seen)}
        ET.SubElement(test, "failure", attributes).text = _safe(
            f"Expected: {one.expected}\nSeen: {one.seen}"
        )
    return test


def _safe(text: str) -> str:
    """Leave out what XML cannot hold, and every secret."""
    lines = redact.secrets(text).split("\n")
    return "\n".join(redact.visible(line) for line in lines)
