"""The lists of `docs/architecture.md`, "How to add ...", held to what it takes: no file that they do not name."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hunter_pipeline
from hunter_pipeline.scan.mx import Mx
from hunter_pipeline.scan.providers import CATALOGUE_PATH, decide_provider, load_catalogue
from hunter_pipeline.scoring import rules as rules_module
from hunter_pipeline.scoring.document import RulesError
from hunter_pipeline.scoring.facts import ScoreInputs
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline.scoring.score import score

PACKAGE = Path(hunter_pipeline.__file__).parent
CATALOGUE = CATALOGUE_PATH.read_text(encoding="utf-8")
RULES = Path(rules_module.__file__).with_name("rules.yaml").read_text(encoding="utf-8")

PROVIDER = """mailboxes:
  Fastmail:
    mx:
      messagingengine.com: {}
    spf: [spf.messagingengine.com]
    selectors: [fm1]

"""
POINTS = "providers:\n  Fastmail: {points: 35, label: Fastmail}\n"


def with_provider(folder: Path) -> tuple[Path, Path]:
    """A catalogue and a rules file that know one more provider."""
    catalogue, rules = folder / "providers.yaml", folder / "rules.yaml"
    assert CATALOGUE.count("mailboxes:\n") == RULES.count("providers:\n") == 1
    catalogue.write_text(CATALOGUE.replace("mailboxes:\n", PROVIDER), encoding="utf-8")
    rules.write_text(RULES.replace("providers:\n", POINTS), encoding="utf-8")
    return catalogue, rules


def test_a_mail_provider_takes_the_catalogue_and_the_rules_file(tmp_path: Path):
    catalogue_file, rules_file = with_provider(tmp_path)
    catalogue = load_catalogue(catalogue_file)
    rules = load_rules(rules_file, catalogue.names)
    hosts = ("in1-smtp.messagingengine.com",)
    decision = decide_provider("acme.com", Mx("present", hosts), (), (), {}, catalogue)
    assert (decision.provider, decision.confidence) == ("Fastmail", "high")
    scored = score(ScoreInputs(decision.provider, mx="present"), rules, tenant_score=55, cosell_bonus=15)
    assert (scored.breakdown[0].points, scored.breakdown[0].detail) == (35, "Provider: Fastmail")


def test_one_of_the_two_files_without_the_other_is_refused_with_line_and_fix(tmp_path: Path):
    catalogue_file, rules_file = with_provider(tmp_path)
    catalogue = load_catalogue(catalogue_file)
    line = RULES[: RULES.index("providers:\n")].count("\n") + 2
    with pytest.raises(RulesError, match=rf":{line}: providers lacks the provider 'Fastmail'; add it$"):
        load_rules(None, catalogue.names)
    with pytest.raises(RulesError, match=rf":{line}: unknown provider 'Fastmail' in providers; use M365, Google"):
        load_rules(rules_file, load_catalogue().names)


def test_no_code_names_the_providers():
    """But those that a decision means something by: what a declared tenant counts as, and what no catalogue lists."""
    names = {*load_catalogue().names} - {"M365", "Hosting", "Local", "Unknown"}
    quoted = re.compile(rf"""["']({"|".join(names)})["']""")
    naming = {
        f"{file.relative_to(PACKAGE)}: {found[0]}"
        for file in PACKAGE.rglob("*")
        if file.suffix in {".py", ".html", ".js", ".css"}
        for found in quoted.finditer(file.read_text(encoding="utf-8"))
    }
    assert not naming


FACT = '    lowest_mx: Annotated[Literal["one", "several", "unknown"], Fact("Mail servers", "mx_count")] = "unknown"\n'
NUMBER = '    mx_number: Annotated[int | None, Fact("Number of mail servers", "mx_number")] = None\n'
FIELD = "    has_signals: bool = True\n"
ROWS = """signals:
  - {name: one_server, points: 7, when: {lowest_mx: one}, text: One mail server alone}
  - {name: many_servers, points: 3, when: {mx_number_over: 4}, text: Many mail servers}
"""

USE = """
import json
from hunter_pipeline.orchestration.column_lineage import COLUMN_SOURCES, SCORES
from hunter_pipeline.pipeline.scores import READ_FACTS, score_inputs
from hunter_pipeline.scan.providers import catalogue
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline.scoring.score import score
rules = load_rules(None, catalogue().names)
stored = {"has_signals": True, "azure_tenant": False, "open_types": [], "provider": "Local", "mx": "present",
    "spf": "ok", "dkim": "found", "dmarc": "ok", "dmarc_policy": "reject", "spf_includes": 1}
def parts(**more):
    found = score(score_inputs({**stored, **more}), rules, tenant_score=55, cosell_bonus=15)
    return {part.rule: part.points for part in found.breakdown if part.rule not in ("provider", "clamp")}
print(json.dumps({
    "one": parts(lowest_mx="one", mx_number=1), "many": parts(lowest_mx="several", mx_number=5),
    "failed": parts(lowest_mx="unknown", mx_number=None), "older": parts(),
    "sql": READ_FACTS, "lineage": COLUMN_SOURCES[SCORES]["score"]}))
"""


@pytest.mark.processes
def test_a_rule_on_a_new_fact_takes_the_fact_and_the_rules_file(tmp_path: Path):
    """In a copy of the package, where those two files are edited and no other."""
    copy = tmp_path / "hunter_pipeline"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file, old, new in (
        (copy / "scoring" / "facts.py", FIELD, FACT + NUMBER + FIELD),
        (copy / "scoring" / "rules.yaml", "signals:\n", ROWS),
    ):
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1
        file.write_text(text.replace(old, new), encoding="utf-8")
    run = subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    said: dict[str, Any] = json.loads(run.stdout)
    others = {"spf_present": 10, "dkim_present": 10, "dmarc_reject": 20}
    assert said["one"] == {**others, "one_server": 7}
    assert said["many"] == {**others, "many_servers": 3}
    assert said["failed"] == {**others, "lowest_mx_unknown": 0}
    assert said["older"] == {**others, "lowest_mx_unknown": 0}, "facts that an older release has stored"
    assert "'lowest_mx', s.signals->'mx_count'," in said["sql"]
    assert ["domain_signals", "signals"] in said["lineage"]
