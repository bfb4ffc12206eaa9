"""The audit of packages takes no silence for an answer."""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / ".ci" / "audit.py"


@pytest.fixture
def audit():
    found = importlib.util.spec_from_file_location("audit", SCRIPT)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_packages_that_nobody_was_asked_about_are_not_called_clean(audit, capsys):
    clean = {"name": "a", "version": "1", "vulns": []}
    assert audit.judged([clean, clean | {"name": "b"}]) == 0
    silent = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}
    assert audit.judged([clean, silent]) == audit.NOT_ASKED
    assert "1 of 2 Python packages not audited" in capsys.readouterr().out
    bad = {"name": "c", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
    assert audit.judged([clean, silent, bad]) == audit.FOUND
    assert "c 2: CVE-1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("", 4),
        ('{"message": "405 Method Not Allowed", "error": {"summary": ""}}', 4),
        (json.dumps({"metadata": {"vulnerabilities": {"total": 0}}}), 0),
        (json.dumps({"metadata": {"vulnerabilities": {"total": 2}}}), 1),
    ],
)
def test_what_the_registry_of_the_page_answers_decides(audit, answer, status, monkeypatch, capsys, tmp_path):
    done = subprocess.CompletedProcess([], 1, answer, "")
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: done)
    assert audit.audit_page(tmp_path) == status
    assert len(capsys.readouterr().out.splitlines()) == 1
