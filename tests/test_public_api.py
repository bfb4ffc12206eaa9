import subprocess
import sys
import textwrap

import pytest

HEAVY = ("torch", "numba", "scipy", "av", "matplotlib", "tensorboard", "sklearn")


def _python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )


def test_importing_the_package_loads_nothing_heavy():
    result = _python(
        f"""
        import sys
        import selfvos
        print(sorted(set({HEAVY}) & set(sys.modules)))
        """
    )
    assert (result.returncode, result.stdout) == (0, "[]\n"), result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["track", "--help"],
        ["train", "--help"],
        ["score", "--help"],
        ["compare", "--help"],
        ["ablate", "--help"],
    ],
)
def test_help_is_printed_without_loading_anything_heavy(arguments):
    result = _python(
        f"""
        import sys
        sys.argv = ["selfvos", *{arguments}]
        from selfvos.cli import main
        try:
            main()
        except SystemExit as end:
            assert end.code in (0, None), end.code
        print("HEAVY", sorted(set({HEAVY}) & set(sys.modules)))
        """
    )
    assert result.returncode == 0, result.stderr
    assert "Usage: selfvos" in result.stdout
    assert result.stdout.splitlines()[-1] == "HEAVY []"


def test_the_package_knows_its_version():
    result = _python("import selfvos; print(selfvos.__version__)")
    assert result.stdout.strip().count(".") == 2
