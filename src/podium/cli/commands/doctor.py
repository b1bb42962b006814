"""``podium doctor``: look for what is wrong and say what to do."""

from collections import Counter
from collections.abc import Iterator, Sequence

import typer

from podium.cli import doctor_here, doctor_server, output
from podium.cli.failures import Status
from podium.cli.finding import Finding
from podium.cli.options import Json, application

app = application()


@app.command()
def doctor(json: Json = False) -> None:
    """Check this installation and its server; the exit status is 1 when something is wrong.

    Where no server runs, what can be known without one is checked.
    """
    findings: list[Finding] = []
    for finding in _findings():
        findings.append(finding)
        if not json:
            _show(finding)
    wrong = sum(finding.outcome == "failed" for finding in findings)
    if json:
        output.emit({"ok": not wrong, "checks": [finding._asdict() for finding in findings]})
    else:
        output.say(f"\n{_summary(findings)}")
    if wrong:
        raise typer.Exit(Status.FAILED)


def _summary(findings: Sequence[Finding]) -> str:
    found = Counter(finding.outcome for finding in findings)
    if found["failed"]:
        return f"{found['failed']} of {len(findings)} checks failed."
    return f"Nothing failed; warnings: {found['warning']}." if found["warning"] else "All is well."


def _findings() -> Iterator[Finding]:
    for check in doctor_here.CHECKS:
        yield check()
    yield from doctor_server.findings()


def _show(finding: Finding) -> None:
    styles = {"ok": "green", "warning": "yellow", "failed": "bold red"}
    told = output.styled(f"{finding.check}: {finding.detail}")
    if finding.advice:
        told.append_text(output.styled(f"\n{finding.advice}", "dim"))
    output.show_beside(output.styled(f"{finding.outcome:<8}", styles[finding.outcome]), told)
