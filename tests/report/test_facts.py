import json
from collections import Counter
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1data.report import alerts, facts, funnel, phase, samples, source, training
from tests.report import conftest as world


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    rows = world.write_workspace(path, problems=30)
    workspace = source.Workspace(path, "data", "Data")
    traces = funnel.trace_facts(workspace)
    return workspace, rows, traces, phase.measure(workspace, traces)


def test_the_funnel_counts_every_trace_once_and_says_why(data):
    _, rows, _, measured = data
    steps = {s.name: s for s in measured.funnel}
    traces = {t["trace_id"]: t for t in rows["traces"]}
    alive = set(traces)
    cut = {t for t in alive if traces[t]["finish_reason"] == "length"}
    assert steps["finished"].lost == len(cut)
    assert steps["finished"].reasons == (("cut at max_tokens", len(cut)),)
    alive -= cut
    lost = Counter(
        v["status"] for v in rows["verdicts"] if v["trace_id"] in alive and v["status"] != "correct"
    )
    assert dict(steps["correct"].reasons) == lost
    alive &= {v["trace_id"] for v in rows["verdicts"] if v["status"] == "correct"}
    for rule in ("repetition", "language_consistency"):
        bad = {j["trace_id"] for j in rows["judgements"] if j["rule"] == rule and not j["passed"]}
        assert steps[f"passed {rule.replace('_', ' ')}"].lost == len(alive & bad) > 0
        alive -= bad
        assert steps[f"passed {rule.replace('_', ' ')}"].rows == len(alive)
    doubles = {c["item_id"] for c in rows["clusters"] if not c["kept"]}
    assert steps["unique"].lost == len(doubles) > 0
    assert steps["unique"].reasons == (("duplicate", len(doubles)),)
    left = sum(p["role"] is None for p in rows["picks"])
    assert steps["picked for rs"].reasons == (("enough_of_this_problem", left),)
    assert steps["picked for rs"].rows == len(alive) - len(doubles) - left
    assert steps["corpus rs"].rows == steps["picked for rs"].rows


def test_every_step_of_traces_adds_up(data):
    steps = [s for s in data[3].funnel if s.unit == "traces"]
    for before, after in pairwise(steps):
        assert before.rows - after.rows == after.lost
        assert sum(count for _, count in after.reasons) == after.lost


def test_problems_are_counted_apart(data):
    steps = {s.name: s for s in data[3].funnel if s.unit == "problems"}
    assert steps["problems"].rows == 30
    assert steps["in no benchmark"].reasons == (("in aime", 1),)
    # Problems 0 and 1 were not sampled, and 0 is lost to the benchmark already.
    assert steps["sampled"].lost == 1
    assert steps["sampled"].rows == 28


def test_pass_bins_count_problems_by_their_number_correct(data):
    _, rows, _, measured = data
    right = Counter(v["problem_id"] for v in rows["verdicts"] if v["status"] == "correct")
    by_count = Counter(right[p["problem_id"]] for p in rows["problems"][2:])
    assert measured.pass_bins == tuple((f"{c}/4", by_count[c]) for c in range(5))


def test_uneven_samples_are_counted_by_tenths(tmp_path):
    rows = world.write_workspace(tmp_path, problems=6)
    rest = rows["traces"][1:]
    for part in (tmp_path / "traces").glob("part-*"):
        part.unlink()
    world.write_table(tmp_path / "traces", world.TABLES["traces"][0], rest)
    workspace = source.Workspace(tmp_path, "data", "Data")
    measured = phase.measure(workspace, funnel.trace_facts(workspace))
    assert [name for name, _ in measured.pass_bins][:2] == ["0", "0.0 to 0.1"]
    assert len(measured.pass_bins) == 12
    assert sum(count for _, count in measured.pass_bins) == 4


def test_lengths_hold_every_trace(data):
    _, rows, _, measured = data
    assert sum(map(sum, measured.lengths.values())) == len(rows["traces"])
    wrong = sum(v["status"] == "wrong" for v in rows["verdicts"])
    assert sum(measured.lengths["wrong"]) == wrong


def test_mixing_is_measured_before_and_after(data):
    _, rows, _, measured = data
    languages = {p["problem_id"]: p["language"] for p in rows["problems"]}
    ko = [
        j
        for j in rows["judgements"]
        if j["rule"] == "language_consistency" and languages[j["problem_id"]] == "ko"
    ]
    (found,) = [m for m in measured.mixing if m.language == "ko"]
    assert found.traces == len(ko)
    assert found.mixed == round(sum(bool(j["spans"]) for j in ko) / len(ko), 6)
    assert found.kept_mixed == 0.0
    assert found.kept_consistency == 1.0
    assert ("ko", "en", sum(bool(j["spans"]) for j in ko)) in measured.intruders


def test_the_matrix_goes_by_the_script_of_the_reasoning(data):
    _, rows, _, measured = data
    assert sum(count for *_, count in measured.matrix) == len(rows["traces"])
    cells = {(prompt, trace): count for prompt, trace, count in measured.matrix}
    assert cells["ko", "ko"] > cells.get(("ko", "en"), 0)
    assert cells["zh", "zh"] > 0


def test_samples_come_from_every_stratum(data):
    workspace, _, traces, _ = data
    chosen = samples.choose(traces)
    assert chosen.height == samples.COUNT
    counts = Counter(chosen["stratum"])
    assert {"kept", "repetition", "language_consistency", "wrong", "no_answer"} <= set(counts)
    assert max(counts.values()) - min(counts.values()) <= 1 or min(counts.values()) == 1
    shown = samples.read(workspace, traces)
    assert [s.trace_id for s in shown] == chosen["trace_id"].to_list()
    mixed = next(s for s in shown if s.stratum == "language_consistency")
    assert mixed.faults[0] == ("language_consistency", "L", "mixed languages (0.8)")
    marks = [p.text for p in mixed.pieces if "L" in p.letters]
    assert "".join(marks) == world.INTRUDERS[mixed.language][0]


SPANS = st.lists(
    st.tuples(st.integers(-5, 9000), st.integers(-5, 9000), st.sampled_from("LR")), max_size=12
)


@given(st.integers(0, 9000), SPANS, st.data())
def test_pieces_join_to_the_text(size, spans, data):
    text = "".join(chr(33 + i % 90) for i in range(size))
    start = data.draw(st.integers(0, size))
    end = data.draw(st.integers(start, size))
    found = [
        ({"start": a, "end": b, "language": None, "reason": "r"}, letter) for a, b, letter in spans
    ]
    pieces = samples.cut(text, (start, end), end, found)
    at = 0
    for piece in pieces:
        if piece.part == "gap":
            at += int(piece.text)
            continue
        assert text[at : at + len(piece.text)] == piece.text
        inside = {letter for a, b, letter in spans if a <= at and at + len(piece.text) <= b}
        assert set(piece.letters) == inside
        at += len(piece.text)
    assert at == size
    shown = sum(len(p.text) for p in pieces if p.part != "gap")
    assert shown <= samples.HEAD + samples.TAIL + 4 * samples.SHOWN_SPANS * samples.AROUND


def test_a_long_text_keeps_its_ends_and_its_first_spans():
    text = "a" * 3000 + "중간" + "b" * 6000
    span = {"start": 3000, "end": 3002, "language": "ko", "reason": "foreign"}
    pieces = samples.cut(text, (None, None), 0, [(span, "L")])
    gaps = [int(p.text) for p in pieces if p.part == "gap"]
    assert gaps == [3000 - 160 - 2400, 9002 - 1200 - 3162]
    assert [p for p in pieces if p.letters] == [
        samples.Piece("중간", "answer", "L", "ko", "foreign")
    ]


def test_an_unknown_rule_gets_a_letter_of_its_own():
    judged = {"t": [{"rule": "length"}, {"rule": "length_ratio"}, {"rule": "loops"}]}
    letters = samples.letters_of(judged)
    assert letters["length"] == "T"
    assert letters["length_ratio"] == "E"
    assert letters["loops"] == "O"
    assert len(set(letters.values())) == len(letters)


def test_curves_keep_the_last_of_doubled_steps_and_are_binned(tmp_path):
    folder = tmp_path / "models" / "m"
    folder.mkdir(parents=True)
    rows = [
        {"step": s, "kind": "grpo", "reward": float(s), "loss": float("nan")} for s in range(240)
    ]
    rows.append({"step": 1, "kind": "grpo", "reward": 3.0})
    lines = [json.dumps(row) for row in rows]
    (folder / "metrics.jsonl").write_text("\n".join([*lines, "{"]), encoding="utf-8")
    (curve,) = training.curves(source.Workspace(tmp_path, "w", "W"))
    assert len(curve.steps) == 120
    assert curve.steps[:2] == (0.5, 2.5)
    assert curve.series["reward"][:2] == (1.5, 2.5)
    assert "loss" not in curve.series


def test_alerts_name_what_is_wrong(built):
    found = [(a["severity"], a["text"]) for a in built[1]["alerts"]]
    assert found[0] == ("stop", "R1-Zero: gate not met")
    texts = [text for _, text in found]
    assert any(t.startswith("Rejection sampling: cut at max_tokens: ") for t in texts)
    assert any("zero: language consistency fell from 0.59 to 0.46" in t for t in texts)
    assert "10 problems without a known licence" in texts
    ranks = [("stop", "warn", "note").index(severity) for severity, _ in found]
    assert ranks == sorted(ranks)


def quiet(**changes):
    base = {"name": "n", "title": "N", "problems": 1000, "bad_gold_problems": 0}
    base |= {"contaminated": 0, "corpora": {}, "funnel": (), "traces": 1000, "judged": 1000}
    return phase.Phase(**(base | {"correct": 500} | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"bad_gold_problems": 10}, None),
        ({"bad_gold_problems": 11}, "gold answer cannot be read for 1.1% (11 of 1,000) problems"),
        ({"truncated": 101}, "cut at max_tokens: 10.1% (101 of 1,000)"),
        ({"verifier_trouble": 11}, "ran out of time or failed on 1.1%"),
        ({"correct": 0}, "none of 1,000 judged traces is correct"),
        ({"pass_bins": (("0/2", 90), ("1/2", 15), ("2/2", 0))}, "85.7% (90 of 105)"),
        ({"pass_bins": (("0/2", 40), ("1/2", 60), ("2/2", 0))}, None),
        (
            {"kept": 100, "mixing": (phase.Mixing("ko", 200, 0.5, 0.9, 100, 0.02, 0.99),)},
            "kept traces that mix languages: 2.0% (2 of 100)",
        ),
    ],
)
def test_thresholds(tmp_path, changes, words):
    run = source.Run(tmp_path, "t", None, None, (), (source.Workspace(tmp_path, "n", "N"),))
    found = alerts.find_alerts(run, [quiet(**changes)], (), (), ())
    assert [words in alert.text for alert in found] == ([True] if words else [])


def test_unfinished_tables_are_an_alert(tmp_path):
    world.write_workspace(tmp_path, problems=4)
    (tmp_path / "verdicts" / "_receipt.json").unlink()
    read = facts.read_facts(tmp_path)
    assert any(a.text.startswith("table verdicts has no receipt") for a in read.alerts)


def test_slices_are_read_together(tmp_path):
    rows = world.write_workspace(tmp_path, problems=6)
    for part in (tmp_path / "problems").iterdir():
        part.unlink()
    record = world.TABLES["problems"][0]
    for name, some in (("one", rows["problems"][:2]), ("two", rows["problems"][2:])):
        world.write_table(tmp_path / "problems" / name, record, some, {"table": f"problems/{name}"})
    read = facts.read_facts(tmp_path)
    assert read.phases[0].problems == 6
    assert {r["table"] for r in read.receipts} >= {"problems/one", "problems/two"}


def test_two_verifiers_must_agree(tmp_path):
    rows = world.write_workspace(tmp_path, problems=6)
    right = next(v for v in rows["verdicts"] if v["status"] == "correct")
    other = {**right, "verifier": "string", "status": "wrong"}
    frame = pl.DataFrame(
        [other], schema=pl.read_parquet(tmp_path / "verdicts" / "*.parquet").schema
    )
    frame.write_parquet(tmp_path / "verdicts" / "part-00009.parquet")
    traces = funnel.trace_facts(source.Workspace(tmp_path, "d", "D"))
    status = dict(traces.select("trace_id", "status").rows())
    assert status[right["trace_id"]] == "wrong"
    assert len(status) == len(rows["traces"])


def test_sources_are_counted_once_over_phases(tmp_path):
    for name in ("01-a", "02-b"):
        world.write_workspace(tmp_path / name, problems=12)
    read = facts.read_facts(tmp_path)
    assert sum(count for *_, count in read.sources) == 12
    assert [p.name for p in read.phases] == ["01-a", "02-b"]
    assert ("mini:addition", "Apache-2.0", 6) in read.sources
