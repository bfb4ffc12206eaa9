"""Every message that the page of troubleshooting explains is still one that the package has."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
EXPLAINED = re.findall(r"^\| `([^`]+)` \|", PAGE, flags=re.MULTILINE)
FILLED = "\0"
"""What stands in a template for what differs."""


def written(node: ast.AST) -> str | None:
    """Return the text of a string in the code, with a mark for each part that is filled in; None for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(written(part) or FILLED for part in parts)
        case ast.FormattedValue():
            return FILLED
    return None


@pytest.fixture(scope="module")
def templates() -> list[str]:
    trees = [ast.parse(path.read_text()) for path in (ROOT / "src").rglob("*.py")]
    return [text for tree in trees for node in ast.walk(tree) if (text := written(node)) and " " in text]


def fits(message: str, template: str) -> bool:
    """Tell whether a message with its gaps is a part of a template, gap for gap."""
    return re.sub("\0+", FILLED, message.replace("…", FILLED)) in re.sub("\0+", FILLED, template)


def test_there_is_much_to_look_up():
    assert len(EXPLAINED) > 40
    assert len(set(EXPLAINED)) == len(EXPLAINED)


@pytest.mark.parametrize("message", EXPLAINED)
def test_a_message_is_one_of_the_package(message, templates):
    found = [template for template in templates if fits(message, template)]
    assert found, f"{message!r} is no message any more: change or drop its line in docs/troubleshooting.md"


def test_each_line_says_what_it_means_and_what_to_do():
    for line in re.findall(r"^\| `.*$", PAGE, flags=re.MULTILINE):
        assert len([cell for cell in line.split(" | ") if cell.strip(" |")]) == 3, line
