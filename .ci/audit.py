"""Ask the public databases of vulnerabilities about all packages, and take no silence for an answer.

pip-audit says "no known vulnerabilities" and ends with 0 where it could ask about no package at all. The exit status
here is 0 where all were looked up and nothing is known, 1 where something is, and 4 where nobody could be asked.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FOUND, NOT_ASKED = 1, 4


def main() -> int:
    """Ask about Python packages, then about those of the page; return the worst status."""
    return max(audit_python(), audit_page(Path(__file__).parents[1] / "frontend"))


def audit_python() -> int:
    """Ask about what is installed beside this interpreter."""
    command = [sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        return _say(NOT_ASKED, f"Python packages not audited: {lines[-1][:200]}")
    return judged(found)


def judged(packages: list[dict[str, Any]]) -> int:
    """Say what pip-audit's list of packages comes to."""
    for package in packages:
        for one in package.get("vulns", []):
            print(f"{package['name']} {package['version']}: {one['id']}, mended in {one.get('fix_versions')}")
    count = sum(bool(package.get("vulns")) for package in packages)
    # What is installed from a folder is in no registry; that is no reason for silence about the others.
    unknown = [package["name"] for package in packages if "not found on PyPI" in package.get("skip_reason", "")]
    if count:
        return _say(FOUND, f"{count} of {len(packages)} Python packages have known vulnerabilities")
    if unknown:
        return _say(
            NOT_ASKED,
            f"{len(unknown)} of {len(packages)} Python packages not audited: the database does not answer for them; "
            "run again where it can be reached",
        )
    return _say(0, f"{len(packages)} Python packages looked up, nothing known against them")


def audit_page(folder: Path) -> int:
    """Ask about what the page is built from."""
    try:
        done = subprocess.run(["npm", "audit", "--json"], cwd=folder, capture_output=True, text=True, check=False)
        counts = json.loads(done.stdout)["metadata"]["vulnerabilities"]
    except (OSError, ValueError, KeyError, TypeError):
        return _say(NOT_ASKED, "JavaScript packages not audited: npm or its registry does not answer; run again there")
    total = counts["total"]
    return _say(FOUND if total else 0, f"{total} known vulnerabilities in JavaScript packages")


def _say(status: int, text: str) -> int:
    print(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
