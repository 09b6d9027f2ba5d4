"""Compares the locks with the published vulnerabilities of their packages, by pip-audit: `make audit`.

Ends with 0 if nothing is known but what requirements/vulnerabilities.accepted lists, with 1 if more is known, and
with 3 if the audit could not be done.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ACCEPTED = ROOT / "requirements/vulnerabilities.accepted"
LOCKS = ("cpu", "gpu", "build", "audit")
FOUND, NOT_DONE = 1, 3


def accepted(text: str) -> dict[str, str]:
    """Return the reason for each accepted vulnerability; a line is `ID PACKAGE REASON`."""
    lines = [line.split(maxsplit=2) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if wrong := [line[0] for line in lines if len(line) < 3]:
        raise SystemExit(f"{ACCEPTED.name}: {wrong[0]} has no package or no reason")
    return {f"{identifier} {package}": reason for identifier, package, reason in lines}


def judge(report: dict[str, Any], reasons: dict[str, str]) -> tuple[int, list[str]]:
    """Return the exit status for a report of pip-audit, and its sentences."""
    packages = report["dependencies"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    sentences = []
    for package in packages:
        for vulnerability in package.get("vulns", []):
            names = [vulnerability["id"], *vulnerability.get("aliases", [])]
            if not any(f"{name} {package['name']}" in reasons for name in names):
                fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
                sentences.append(f"{package['name']} {package['version']}: {names[0]}, fixed in {fixed}")
    status = FOUND if sentences else 0
    if skipped:
        status = status or NOT_DONE
        share = f"{len(skipped)} of {len(packages)} packages, such as {skipped[0]}"
        sentences.append(f"NOT AUDITED: the service knows nothing of {share}")
    return status, sentences or [f"{len(packages)} packages, nothing known that is not accepted"]


def main() -> int:
    """Audit every lock, and return the exit status."""
    reasons, statuses = accepted(ACCEPTED.read_text()), set()
    for lock in LOCKS:
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner=off", "--format=json"]
        done = subprocess.run(
            [*command, "--requirement", str(ROOT / f"requirements/{lock}.txt")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        try:
            status, sentences = judge(json.loads(done.stdout), reasons)
        except ValueError:
            last = (done.stderr.strip() or "it printed nothing").splitlines()[-1]
            status, sentences = NOT_DONE, [f"NOT AUDITED: pip-audit got no answer from its service: {last}"]
        statuses.add(status)
        print(*(f"{lock}.txt: {sentence}" for sentence in sentences), sep="\n")
    return FOUND if FOUND in statuses else max(statuses)


if __name__ == "__main__":
    sys.exit(main())
