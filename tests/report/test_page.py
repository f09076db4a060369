import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import polars as pl
import pytest

from r1data.core.errors import InputError, SchemaError, WorkspaceError
from r1data.core.records import EvalRow, polars_schema
from r1data.metrics import summarise
from r1data.report import build_report, page, samples
from tests.report import conftest as world


class Page(HTMLParser):
    """What a browser would act on: tags, attributes, and where text stands."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.ids, self.links = set(), [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            self.attributes.append((tag, name, value))
            if name == "id":
                self.ids.append(value)
            if tag == "a" and name == "href":
                self.links.append(value)


def test_the_page_refers_to_nothing_outside_itself(built):
    html = built[0].read_text(encoding="utf-8")
    found = Page(html)
    fetching = {"script", "link", "img", "iframe", "object", "embed", "video", "audio", "base"}
    assert found.tags & (fetching | {"form", "use", "image", "foreignobject"}) == set()
    for tag, name, value in found.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in {"src", "srcset", "action", "background"}, (tag, name)
        if name in {"href", "xlink:href"}:
            assert value.startswith("#")
        assert "://" not in (value or ""), (tag, name, value)
    assert re.findall(r"url\((?!#)", html) == []
    assert "@import" not in html
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("meta", "content", policy) in found.attributes


def test_ids_are_unique_and_every_link_has_a_target(built):
    found = Page(built[0].read_text(encoding="utf-8"))
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links} <= set(found.ids)
    used = re.findall(r"url\(#([\w-]+)\)", built[0].read_text(encoding="utf-8"))
    assert set(used) <= set(found.ids)


def test_the_same_tables_give_the_same_bytes(run_directory, built, tmp_path):
    again = build_report(run_directory[0], tmp_path / "report.html")
    assert again.read_bytes() == built[0].read_bytes()
    assert (
        again.with_name("report.json").read_bytes()
        == built[0].with_name("report.json").read_bytes()
    )


def test_the_page_shows_the_numbers_of_the_tables(run_directory, built):
    path, rows = run_directory
    html, facts = built[0].read_text(encoding="utf-8"), built[1]
    correct = sum(v["status"] == "correct" for v in rows["verdicts"])
    share = f"{100 * correct / len(rows['verdicts']):.1f}%"
    assert f'<dd class="value">{share}</dd>' in html
    assert f"{correct:,} traces" in html
    part = "part-*.parquet"
    table = pl.read_parquet(path / "02-zero" / "evals" / "test" / part)
    at = summarise(table)["pass@1"]
    cell = f"{100 * at.value:.1f}%</span><small>{100 * at.low:.1f}–{100 * at.high:.1f}</small>"
    assert cell in html
    assert [m["label"] for m in facts["models"]] == ["Base", "R1-Zero", "R1"]
    assert facts["models"][1]["metrics"]["pass@1"] == {
        name: round(value, 6) for name, value in at._asdict().items()
    }
    kept = sum(1 for p in rows["picks"] if p["role"])
    assert facts["phases"][2]["kept"] == kept == facts["phases"][2]["corpora"]["rs"]
    assert f"{kept} of {len(rows['traces'])} traces kept" in facts["verdict"]


def test_the_best_value_of_each_column_is_marked(built):
    html = built[0].read_text(encoding="utf-8")
    table = html[html.index('<table class="models">') :]
    table = table[: table.index("</table>")]
    rows = table.split("<tr>")[2:]
    assert len(rows) == 3
    best = [re.findall(r'class="(?:low )?best" title="[^"]*">([^<]*)<', row) for row in rows]
    r1 = {m["label"]: m for m in built[1]["models"]}["R1"]["metrics"]
    assert f"{100 * r1['pass@1']['value']:.1f}%" == best[2][0]
    assert f"{100 * r1['mixed']['value']:.1f}%" in best[2]
    assert best[0] == ["100.0%"]  # format, where all three tie
    assert "pass@8" in table
    assert "cons@8" in table


def test_a_figure_has_a_picture_with_a_name_and_a_table(built):
    html = built[0].read_text(encoding="utf-8")
    figures = re.findall(r"<figure>.*?</figure>", html, re.DOTALL)
    assert len(figures) == 9  # stages, 3 curves, 5 of the data phase
    for figure in figures:
        assert re.search(
            r'<svg role="img" aria-labelledby="([\w-]+)".*?<title id="\1">[^<]', figure
        )
        assert "<table>" in figure or "in the table above" in figure


def test_a_hostile_trace_stays_text(tmp_path):
    rows = world.write_workspace(tmp_path, problems=4)
    trace = {**rows["traces"][0], "text": f"<think>{world.HOSTILE}</think>{world.HOSTILE}"}
    shutil.rmtree(tmp_path / "traces")
    world.write_table(tmp_path / "traces", world.TABLES["traces"][0], [trace], {})
    problems = [{**p, "prompt": world.HOSTILE, "language": '"><script>'} for p in rows["problems"]]
    problems = [{**p, "source": "</svg><script>", "answer": world.HOSTILE} for p in problems]
    shutil.rmtree(tmp_path / "problems")
    world.write_table(tmp_path / "problems", world.TABLES["problems"][0], problems, {})
    described = {"title": world.HOSTILE, "command": world.HOSTILE}
    (tmp_path / "run.json").write_text(json.dumps(described), encoding="utf-8")
    html = build_report(tmp_path).read_text(encoding="utf-8")
    found = Page(html)
    assert "script" not in found.tags
    assert "img" not in found.tags
    assert "&lt;script&gt;alert(1)" in html
    # The title element is read out, not laid out, so no mark can hide or turn anything there.
    body = html[html.index("<body>") :]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b]", body)
    assert '<span class="control">U+202E</span>' in body


def test_marks_carry_letters_language_and_reason():
    sample = samples.Sample(
        trace_id="t",
        problem_id="p",
        stratum="kept",
        language="ko",
        prompt="",
        gold=None,
        extracted=None,
        status=None,
        model="m",
        tokens=1,
        finish_reason="stop",
        faults=(),
        pieces=(
            samples.Piece("답 ", "thinking"),
            samples.Piece("so & so", "thinking", "LR", "en", "foreign_script"),
            samples.Piece("1234", "gap"),
        ),
        characters=10,
    )
    assert str(page.marked(sample)) == (
        '<span class="thinking">답 </span><span class="thinking">'
        '<mark class="rule-L" data-letters="LR" lang="en" title="foreign script">so &amp; so</mark>'
        '</span><span class="gap">… 1,234 characters left out …</span>'
    )


@pytest.mark.parametrize(
    ("code", "shown"), [("ko", "ko"), ("zh-Hant", "zh-Hant"), ('"x', ""), (None, ""), ("k\n", "")]
)
def test_only_language_codes_become_lang_attributes(code, shown):
    assert page.language_code(code) == shown


def test_visible_names_what_cannot_be_seen_and_cuts_what_is_long():
    assert str(page.visible("a\u202eb<")) == 'a<span class="control">U+202E</span>b&lt;'
    assert str(page.visible("abcdef", 3)) == "abc…"
    assert str(page.visible("한글\n\tok")) == "한글\n\tok"


@pytest.mark.engine  # draws two reports: slow, not an engine
def test_the_size_does_not_grow_with_the_data(tmp_path):
    sizes = []
    for name, problems in (("small", 40), ("large", 400)):
        (tmp_path / name).mkdir()
        world.write_workspace(tmp_path / name, problems=problems)
        sizes.append(build_report(tmp_path / name).stat().st_size)
    assert sizes[1] < 1.1 * sizes[0] < 400_000


def test_a_workspace_is_reported_on_its_own_and_missing_tables_are_left_out(tmp_path):
    world.write_workspace(tmp_path, problems=6)
    for table in ("verdicts", "judgements", "clusters", "picks", "overlaps", "corpora"):
        shutil.rmtree(tmp_path / table)
    out = build_report(tmp_path)
    assert out == tmp_path / "report.html"
    facts = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    names = [step["name"] for step in facts["phases"][0]["funnel"]]
    assert names == ["problems", "sampled", "traces", "finished"]
    assert facts["phases"][0]["mixing"] == []
    assert "16 traces, not judged yet" in facts["verdict"]
    html = out.read_text(encoding="utf-8")
    assert 'id="models"' not in html
    assert "Language mixing" not in html


def test_many_alerts_are_folded(tmp_path):
    for number in range(10):
        path = tmp_path / f"{number:02d}-phase" / "problems"
        world.write_table(
            path, world.TABLES["problems"][0], [world.problem(4 * number + 1, "ko")[0]]
        )
    html = build_report(tmp_path).read_text(encoding="utf-8")
    shown, _, rest = html.partition("<summary>2 more alerts</summary>")
    assert shown.count('<li class="warn">') == 8
    assert rest.count('<li class="warn">') == 2


def test_importing_the_report_loads_nothing_heavy():
    code = "import r1data.report, sys; print({'altair', 'polars', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_an_empty_directory_is_refused(tmp_path):
    with pytest.raises(WorkspaceError, match="holds no table, model or evaluation"):
        build_report(tmp_path)
    with pytest.raises(WorkspaceError, match="no directory"):
        build_report(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def test_tables_that_cannot_be_read_are_named(tmp_path):
    world.write_workspace(tmp_path, problems=4)
    part = tmp_path / "picks" / "part-00000.parquet"
    part.write_bytes(b"no parquet")
    with pytest.raises(InputError, match="picks"):
        build_report(tmp_path)
    pl.DataFrame({"corpus": ["x"]}).write_parquet(part)
    (tmp_path / "picks" / "part-00001.parquet").unlink(missing_ok=True)
    with pytest.raises(SchemaError, match="missing problem_id"):
        build_report(tmp_path)


def test_an_evaluation_without_rows_shows_its_summary(tmp_path):
    at = {"value": 0.5, "low": 0.4, "high": 0.625}
    summary = {"pass@1": at, "pass@16": at, "well_formed": {"value": 1.0}}
    fields = {"label": "M", "summary": summary, "samples": 16}
    world.write_receipt(tmp_path / "evals" / "test", **fields)
    build_report(tmp_path)
    facts = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert facts["models"][0]["metrics"] == {
        "pass@1": at,
        "pass@k": at,
        "format": {"value": 1.0, "low": 1.0, "high": 1.0},
    }


def test_evaluations_are_compared_on_the_problems_they_share(tmp_path):
    for name, order, ids in (("a", 0, ("x", "y", "z")), ("b", 1, ("w", "y", "z"))):
        rows = [
            {**dict.fromkeys(polars_schema(EvalRow).names(), 0), "problem_id": i, "samples": 4}
            | {"language": "ko", "correct": 2 * order + (i == "z"), "consensus_correct": True}
            for i in ids
        ]
        world.write_table(tmp_path / "evals" / name, EvalRow, rows, {"order": order})
    build_report(tmp_path)
    facts = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    (difference,) = facts["differences"]
    assert (difference["label"], difference["against"], difference["problems"]) == ("b", "a", 2)
    assert difference["metrics"]["pass@1"] == {"value": 0.5, "low": 0.5, "high": 0.5}
