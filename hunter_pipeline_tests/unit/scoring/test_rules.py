"""What the loader accepts, and every fault that it must name with line and fix."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hunter_pipeline.scan.providers import catalogue
from hunter_pipeline.scoring import rules as rules_module
from hunter_pipeline.scoring.document import RulesError
from hunter_pipeline.scoring.rules_file import load_rules

PACKAGED = Path(rules_module.__file__).with_name("rules.yaml").read_text(encoding="utf-8")


def load(folder: Path, text: str | bytes) -> rules_module.Rules:
    file = folder / "rules.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_rules(file, catalogue().names)


def faults(folder: Path, text: str | bytes) -> list[str]:
    """Return the messages without the folder: `rules.yaml:line: problem; fix`."""
    with pytest.raises(RulesError) as caught:
        load(folder, text)
    messages = str(caught.value).splitlines()
    assert len(messages) == len(caught.value.problems)
    return [message.removeprefix(f"{folder}/") for message in messages]


def edited(old: str, new: str) -> tuple[str, int]:
    """Return the packaged text with one place changed, and the line (from 1) where the change begins."""
    assert PACKAGED.count(old) == 1, old
    return PACKAGED.replace(old, new), PACKAGED[: PACKAGED.index(old)].count("\n") + 1


def test_the_packaged_rules_are_valid():
    rules = load_rules()
    assert re.fullmatch("[0-9a-f]{64}", rules.hash)
    assert set(rules.provider_points) == set(catalogue().names)


def test_comments_layout_and_the_order_of_keys_and_words_do_not_change_the_hash(tmp_path: Path):
    text = re.sub(r"(?m)^ *#.*\n", "", PACKAGED)
    text = text.replace("{points: 50, label: Google Workspace}", "{label: 'Google Workspace', points: +50} # same")
    text = text.replace("[Google, Zoho, Yandex]", "[Yandex, Google, Zoho]")
    text = text.replace("{spf: ok, spf_includes_over: 3}", "{spf_includes_over: 3, spf: ok}")
    local = "  Local:    {points: 10, label: Own mail server}\n"
    text = text.replace(local, "").replace("providers:\n", "providers:\n" + local)
    # The same bands, cut differently.
    text = text.replace(
        "{score: [0, 100], priority: 7}", "{score: [0, 9], priority: 7}\n    - {score: [10, 100], priority: 7}"
    )
    head, base, tail = text.partition("base: 0\n")
    assert load(tmp_path, tail + head + base).hash == load_rules().hash


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_hash_is_the_same_in_every_process(seed: str):
    # Python orders sets of words differently in each process.
    code = "from hunter_pipeline.scoring.rules_file import load_rules; print(load_rules().hash)"
    root = Path(rules_module.__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == load_rules().hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Google:   {points: 50", "Google:   {points: 51"),
        ("label: Zoho Mail", "label: Zoho"),
        ("base: 0", "base: 1"),
        ("spf_includes_over: 3", "spf_includes_over: 4"),
        ("text: No SPF record}", "text: SPF record missing}"),
        ("{segment: Cold, when: {score: [40, 100]}}", "{segment: Cold, when: {score: [41, 100]}}"),
        ("{score: [80, 100], priority: 1}", "{score: [80, 100], priority: 2}"),
        ("{score: [0, 49], heat: MEDIUM}", "{score: [0, 49], heat: LOW}"),
        ("label: Renewal Pressure", "label: Renewals"),
        ("Migration: migration candidate", "Migration: ready to move"),
    ],
)
def test_every_number_and_word_changes_the_hash(tmp_path: Path, old: str, new: str):
    assert load(tmp_path, edited(old, new)[0]).hash != load_rules().hash


def test_swapping_two_rows_of_which_the_first_wins_changes_the_hash(tmp_path: Path):
    one, two = (
        "  - {segment: Existing, when: {azure_tenant: true}}\n",
        "  - {segment: Existing, when: {provider: M365}}\n",
    )
    two_m365 = "  - {segment: Existing, when: {provider: M365, azure_tenant: false}}\n"
    straight = load(tmp_path, edited(one + two, one + two_m365)[0])
    assert load(tmp_path, edited(one + two, two_m365 + one)[0]).hash != straight.hash


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path):
    assert load(tmp_path, ("\ufeff" + PACKAGED.replace("\n", "\r\n")).encode()).hash == load_rules().hash


# Each row: what to change in the packaged file, and the one message that must come out. LINE stands for the line of
# the change, LINE+n for n lines below it.
FAULTS = [
    ("base: 0\n", "base: 0\nbonus: 5\n", "LINE+1: unknown key 'bonus' in the file; use "),
    ("base: 0\n", "base: 0\nbase: 1\n", "LINE+1: key 'base' stands twice in the file (first on line BASE); remove one"),
    ("base: 0\n", "", "the file lacks the key 'base'; add it"),
    (
        "base: 0\n",
        "base: true\n",
        "LINE: base must be a whole number, not true/false (true); write a number from -100 to 100",
    ),
    ("base: 0\n", "base: 0.5\n", "LINE: base must be a whole number, not a decimal number (0.5); "),
    ("base: 0\n", "base: '0'\n", "LINE: base must be a whole number, not text (0); "),
    ("base: 0\n", "base:\n", "LINE: base must be a whole number, not nothing; "),
    ("base: 0\n", "base: 010\n", "LINE: base must be a whole number, not a number (010); "),
    ("base: 0\n", "base: 1:30\n", "LINE: base must be a whole number, not a number (1:30); "),
    ("base: 0\n", "base: 101\n", "LINE: base is 101; write a number from -100 to 100"),
    ("base: 0\n", "base: [0]\n", "LINE: base must be a whole number, not a list; "),
    ("  Google:   {", "  Gmail:    {", "LINE: unknown provider 'Gmail' in providers; use M365, Google, Yandex"),
    (
        "{points: 50, label: Google Workspace}",
        "50",
        "LINE: provider Google must be a mapping, not a number (50); write points or label here",
    ),
    ("label: Google Workspace", "label: ''", "LINE: label of Google must be one line of 1 to 200 characters; "),
    ("label: Google Workspace", 'label: "a\\tb"', "LINE: label of Google must be one line of 1 to 200 characters; "),
    ("label: Google Workspace", "label: yes", "LINE: label of Google must be text, not true/false (yes); "),
    ("when: {spf: none}", "when: {spf: missing}", "LINE: unknown spf 'missing'; use ok, none or permerror"),
    (
        "when: {dmarc: reject}",
        "when: {dmarc: unknown}",
        "LINE: unknown dmarc 'unknown'; use reject, quarantine, none, missing or invalid",
    ),
    (
        "when: {spf: none}",
        "when: {spff: none}",
        "LINE: unknown condition 'spff' in `when` of spf_missing; use provider, spf, dkim, dmarc or spf_includes_over",
    ),
    ("when: {spf: none}", "when: {}", "LINE: `when` of spf_missing has no condition; use "),
    ("when: {spf: none}", "when: spf", "LINE: `when` of spf_missing must be a mapping, not text (spf); "),
    ("when: {spf: permerror}", "when: {spf: []}", "LINE: spf is an empty list; add at least one row"),
    (
        "when: {spf: permerror}",
        "when: {spf: [permerror, permerror]}",
        "LINE: spf names a value twice; remove the repetition",
    ),
    ("name: spf_broken", "name: spf_missing", "LINE: the rule 'spf_missing' stands twice; rename or remove one"),
    ("name: spf_broken", "name: clamp", "LINE: 'clamp' cannot be a rule's name; use another, of a-z, 0-9 and _"),
    ("name: spf_broken", "name: SPF broken", "LINE: 'SPF broken' cannot be a rule's name; "),
    ("name: spf_broken, ", "", "LINE: a row of signals lacks the key 'name'; add it"),
    (
        "spf_includes_over: 3",
        "spf_includes_over: many",
        "LINE: spf_includes_over must be a whole number, not text (many); ",
    ),
    (
        "{spf: ok, spf_includes_over: 3}",
        "{spf: none, spf_includes_over: 3}",
        "LINE: 'spf_many_includes' can never match: without SPF record there is no include; use `spf: ok`",
    ),
    (
        "dmarc: invalid}",
        "dmarc: missing}",
        "no row of signals covers dmarc: invalid alone; add one with `when: {dmarc: invalid}`",
    ),
    ('mx: "null"}', "mx: none}", "'null_mx' can never match: rows above take all its cases; name another mx state"),
    ('mx: "null"}', "mx: null}", 'LINE: mx is nothing; write "null" in quotes'),
    ('mx: "null"}', "mx: unknown}", "LINE: unknown mx 'unknown'; use none or null"),
    (
        "{azure_tenant: true}",
        "{azure_tenant: yes}",
        "LINE: azure_tenant must be true or false, not true/false (yes); write true or false",
    ),
    ("{azure_tenant: true}", "{azure_tenant: 1}", "LINE: azure_tenant must be true or false, not a number (1); "),
    (
        "  - {segment: Skip}\n",
        "",
        "no row of segments covers provider Google, score 0; end the list with a row that has no `when`",
    ),
    (
        "{segment: Cold, when: {score: [40, 100]}}",
        "{segment: Cold}",
        "LINE+1: this row of segments can never match: rows above take all its cases; move it up",
    ),
    (
        "{segment: Cold, when: {score: [40, 100]}}",
        "{segment: Cold, when: {score: [40, 100], provider: M365}}",
        "LINE: this row of segments can never match: ",
    ),
    (
        "{segment: Cold, when: {score: [40, 100]}}",
        "{segment: Warm, when: {score: [40, 100]}}",
        "LINE: unknown segment 'Warm'; use Existing, Migration, Cold or Skip",
    ),
    (
        "{segment: Cold, when: {score: [40, 100]}}",
        "{segment: Cold, when: {score: [100, 40]}}",
        "LINE: score is upside down: [100, 40]; write [40, 100]",
    ),
    (
        "{segment: Cold, when: {score: [40, 100]}}",
        "{segment: Cold, when: {score: [40, 101]}}",
        "LINE: score is 101; write a number from 0 to 100",
    ),
    (
        "{segment: Cold, when: {score: [40, 100]}}",
        "{segment: Cold, when: {score: [40]}}",
        "LINE: score must have two ends; write [from, to], for example [60, 100]",
    ),
    (
        "{segment: Cold, when: {score: [40, 100]}}",
        "{segment: Cold, when: {score: 40}}",
        "LINE: score must be a list, not a number (40); ",
    ),
    (
        "{segment: Existing, when: {azure_tenant: true}}",
        "{segment: Skip, when: {azure_tenant: true}}",
        "a customer with a declared Azure tenant is not always Existing; keep `{segment: Existing",
    ),
    ("  Skip: no lead for now\n", "", "segment_texts lacks the segment 'Skip'; add it"),
    (
        "{score: [70, 79], priority: 2}",
        "{score: [71, 79], priority: 2}",
        "priority of Migration has no row for score 70; widen a range or add a row",
    ),
    (
        "{score: [60, 69], priority: 3}",
        "{score: [60, 75], priority: 3}",
        "LINE: priority of Migration covers scores 70 to 75 twice (also on line LINE-1); let",
    ),
    (
        "{score: [80, 100], priority: 1}",
        "{score: [80, 100], priority: 0}",
        "LINE: priority is 0; write a number from 1 to 7",
    ),
    (
        "{score: [80, 100], priority: 1}",
        "{score: [80, 100]}",
        "LINE: a row of priority of Migration lacks the key 'priority'; add it",
    ),
    (
        "{score: [0, 49], heat: MEDIUM}",
        "{score: [0, 39], heat: MEDIUM}",
        "commercial_heat of WEAK_PARTNER has no row for scores 40 to 49; ",
    ),
    (
        "{score: [0, 49], heat: MEDIUM}",
        "{score: [0, 49], heat: Warm}",
        "LINE: unknown heat 'Warm'; use HIGH, MEDIUM or LOW",
    ),
    ("  - {commercial_segment: NO_GO}\n", "", "no row of commercial_segments covers segment "),
    (
        "when: {segment: Existing, score: [70, 100]}",
        "when: {segment: Existing, score: [60, 69]}",
        "LINE: this row of commercial_segments can never match: ",
    ),
    (
        "  - {commercial_segment: NO_GO}\n",
        "  - {commercial_segment: NO_GO, when: {segment: [Cold, Existing]}}\n"
        "  - {commercial_segment: NO_GO, when: {provider: [Google, Yandex, Zoho, Hosting]}}\n"
        "  - {commercial_segment: NO_GO, when: {provider: [Amazon, SendGrid, Mailgun, Local, Unknown]}}\n",
        "no row of commercial_segments covers segment Skip, provider M365, score 0; end the list",
    ),
    ("  - {heat: Cold}\n", "", "no row of technical_heat covers segment "),
    (
        "commercial_heat: [MEDIUM, HIGH], commercial_segment: WEAK_PARTNER}",
        "commercial_heat: LOW, commercial_segment: WEAK_PARTNER}",
        "LINE-2: this row of categories can never match: ",
    ),
    (
        "  - category: P4\n",
        "  - category: P5\n",
        "categories must be P1 to P6, each once, in this order; add, remove or reorder the rows",
    ),
    ("    label: Renewal Pressure\n", "", "a row of categories lacks the key 'label'; add it"),
    ("categories:\n", "categories: P1\nx:\n", "unknown key 'x' in the file; "),
    ("hard_fail:\n", "hard_fail: &all\n", "LINE: anchors and aliases are not allowed; write the value out"),
    ("base: 0\n", "base: !!python/object/apply:os.getcwd []\n", "LINE: base must be a whole number, not a list; "),
    ("base: 0\n", "base: {a: [[[[[[[[0]]]]]]]]}\n", "LINE: nested too deeply; follow the packaged rules.yaml"),
    ("base: 0\n", "base: 0\n---\nbase: 0\n", "LINE+1: not valid YAML: but found another document; "),
    ("base: 0\n", "base: [0\n", "not valid YAML: "),
    ("base: 0\n", "base: \x070\n", "LINE: the text holds a control character; remove it"),
    ("base: 0\n", "? [base]\n: 0\n", "LINE: unknown key '(not a word)' in the file; "),
]


@pytest.mark.parametrize(
    ("old", "new", "message"), FAULTS, ids=[f"{old.strip()}->{new.strip()}" for old, new, _ in FAULTS]
)
def test_a_fault_is_reported_with_its_line_and_its_fix(tmp_path: Path, old: str, new: str, message: str):
    text, line = edited(old, new)
    message = re.sub(r"LINE([+-]\d+)?", lambda found: str(line + int(found[1] or 0)), message).replace(
        "BASE", str(line)
    )
    found = faults(tmp_path, text)
    assert all(re.match(r"rules\.yaml:[1-9]\d*: .+; .+", fault) for fault in found)
    assert any(message in fault for fault in found), found


def test_several_faults_are_reported_together_in_the_order_of_lines(tmp_path: Path):
    text = PACKAGED.replace("Google:   {points: 50", "Google:   {points: fifty")
    text = text.replace("{score: [80, 100], priority: 1}", "{score: [100, 80], priority: 1}")
    text = text.replace("base: 0\n", "base: 0.5\n")
    found = faults(tmp_path, text)
    assert [fault.split("; ")[0].split(": ", 1)[1] for fault in found] == [
        "base must be a whole number, not a decimal number (0.5)",
        "points of Google must be a whole number, not text (fifty)",
        "score is upside down: [100, 80]",
    ]
    lines = [int(fault.split(":")[1]) for fault in found]
    assert lines == sorted(lines)


def test_a_problem_can_be_read_by_a_program(tmp_path: Path):
    text, line = edited("base: 0\n", "base: x\n")
    with pytest.raises(RulesError) as caught:
        load(tmp_path, text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.fix) == (line, "write a number from -100 to 100")
    assert caught.value.file == str(tmp_path / "rules.yaml")


def test_a_missing_file_says_so(tmp_path: Path):
    with pytest.raises(
        RulesError, match=r"absent\.yaml:1: the file cannot be read \(No such file or directory\); check"
    ):
        load_rules(tmp_path / "absent.yaml")


def test_a_folder_in_place_of_a_file_says_so(tmp_path: Path):
    with pytest.raises(RulesError, match="the file cannot be read"):
        load_rules(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file is empty"),
        (b"# only a comment\n", "the file is empty"),
        (b"- 1\n", "the file must be a mapping, not a list"),
        (b"base: 0\n\xff\n", "rules.yaml:2: the text is not UTF-8"),
        (b"#" * (256 * 1024 + 1), "the file is larger than 256 KiB"),
        (b"[" * 100_000, "nested too deeply"),
        (b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "rules.yaml:1: anchors and aliases are not allowed"),
    ],
)
def test_a_file_that_is_no_rules_file_is_refused(tmp_path: Path, text: bytes, message: str):
    assert message in faults(tmp_path, text)[0]


def test_no_row_can_be_lost_unnoticed_but_those_that_stand_beside_others(tmp_path: Path):
    lines = PACKAGED.splitlines(keepends=True)
    unnoticed = []
    for number, line in enumerate(lines):
        if line.startswith("  - {"):
            try:
                load(tmp_path, "".join(lines[:number] + lines[number + 1 :]))
            except RulesError:
                continue
            unnoticed.append(re.split(r", (points|text)|\}+$", line.strip())[0])
    assert unnoticed == [
        "- {name: no_mx, when: {mx: none}",
        '- {name: null_mx, when: {mx: "null"}',
        "- {name: spf_many_includes",
        "- {name: dkim_missing",
        "- {name: dkim_missing_extra",
        "- {segment: Existing, when: {azure_tenant: true",
        "- {segment: Existing, when: {provider: M365",
        "- {segment: Cold, when: {score: [5, 59], provider: Local",
        "- {commercial_segment: GREENFIELD, when: {segment: Migration, provider: [Local, Hosting]",
        "- {commercial_segment: GREENFIELD, when: {segment: Cold, provider: Local, score: [20, 100]",
    ]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="abc:-[]{}#&*!|>'\"%@`,? \n\t0", max_size=80).map(str.encode))
@example(b"\x00")
@example(b"%YAML 9.9\n---\n{}")
@example(b"!<tag:yaml.org,2002:map> x")
def test_any_bytes_give_a_rules_error_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, text: bytes):
    assert faults(tmp_path_factory.mktemp("rules"), text)
