import signal
import subprocess
import sys
import time
import urllib.request

SERVE = """
import sys
from pathlib import Path
from selfvos.web.serve import serve
from selfvos.web.settings import WebConfig
base = Path(sys.argv[1])
serve(WebConfig(projects=base / "p", root=base, port=0), lambda address: print(address, flush=True))
"""


def test_the_server_stops_at_once_while_a_page_listens(tmp_path):
    command = [sys.executable, "-c", SERVE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{address}api/events", timeout=20) as stream:
            assert stream.readline() == b": here\n"
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)
            assert time.monotonic() - begin < 3
        assert "leaked" not in process.stderr.read()
