"""Which tests run under other clocks: those that read the clock, but for the few that are named here with a reason."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "hunter_pipeline_tests"
CLOCK = re.compile(r"datetime\.now\(|date\.today\(|\btime\.time\(|utcnow")

HELPERS = re.compile(r"\b(told_to_pause|listed_sync|kill_points|synced|synced_rows|synced_template)\b")
"""What others read the clock by. A `Pipeline` reads none: its test gives the time."""

BROWSER_OR_PROCESSES = "takes minutes with each clock, and compares no date with one that was written down"
BULK = "the syncs of test_queue and test_known_failures, in bulk"
LEFT_OUT = {
    "integration/pipeline/test_fault_matrix.py": "an hour from now is sent and read back, nothing else",
    "integration/pipeline/test_growth.py": BULK,
    "integration/pipeline/test_kill.py": BULK,
    "integration/store/test_backup.py": BROWSER_OR_PROCESSES,
    "orchestration/test_erase.py": "a moment 9,999 days ago is older than every other",
    "orchestration/test_operators_view.py": BROWSER_OR_PROCESSES,
    "orchestration/test_spread.py": "a span after the present is handed over",
    "web/test_acting_pages.py": BROWSER_OR_PROCESSES,
}


def under_other_clocks() -> set[str]:
    """The test modules that `.ci/days` runs."""
    listed = re.search(r"^rooms=\(\n.*?^\)$", (ROOT / ".ci/days").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert listed is not None
    said = subprocess.run(
        ["bash", "-c", f'{listed.group()}; printf "%s\\n" "${{rooms[@]}}"'], capture_output=True, text=True, check=True
    ).stdout.split()
    paths = [TESTS / name for name in said]
    assert [path for path in paths if not path.exists()] == []
    found = {file for path in paths for file in ([path] if path.is_file() else path.rglob("test_*.py"))}
    return {str(file.relative_to(TESTS)) for file in found}


def test_every_test_that_reads_the_clock_runs_under_other_clocks_or_is_left_out_for_a_reason():
    texts = {str(file.relative_to(TESTS)): file.read_text("utf-8") for file in TESTS.rglob("test_*.py")}
    texts.pop(str(Path(__file__).relative_to(TESTS)))
    reading = {name for name, text in texts.items() if CLOCK.search(text) or HELPERS.search(text)}
    assert len(reading) > 20
    listed = under_other_clocks()
    assert reading - listed - set(LEFT_OUT) == set()
    assert set(LEFT_OUT) & listed == set(), "listed by now"
    assert set(LEFT_OUT) - reading == set(), "reads no clock any more"
