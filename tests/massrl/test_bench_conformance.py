"""`massrl bench conformance` and the page that it writes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from massrl.bench import conformance
from massrl.bench.cases import CASES, SIZES
from massrl.bench.conformance import Gap
from massrl.cli import main as front

ROOT = Path(__file__).parents[2]
# Relative to the largest entry: float64 keeps 16 digits, of which sums over a few hundred terms cost one or two; a mean
# of cosines can lie near 0.
BOUND = 1e-13


def rows_of_page() -> dict[str, list[str]]:
    text = (ROOT / "docs" / "conformance.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |")) for line in lines]
    return {row[0].strip("`"): row for row in cells}


def test_the_page_has_the_cases_with_their_sources_equations_and_files():
    page = rows_of_page()
    assert list(page) == sorted(CASES), "write it again: massrl bench conformance --out docs/conformance.md"
    for name, (_, source, equation, reference, *_) in page.items():
        assert (source, equation) == (CASES[name].source, conformance.code(CASES[name].equation))
        file = re.search(r"\(\.\./(.*)\)", reference)[1]
        assert CASES[name].reference.__code__.co_filename == str(ROOT / file)


def test_no_difference_on_the_page_is_larger_than_rounding():
    for name, row in rows_of_page().items():
        for cell in row[4:]:
            assert cell == "0" or float(re.search(r"\((.*)\)", cell)[1]) < BOUND, name


def test_measured_anew_on_other_inputs_no_difference_is_larger_than_rounding(monkeypatch):
    monkeypatch.setattr(conformance, "each", lambda sizes, seeds: [(tuple(SIZES[1]), 100)])
    rows = conformance.measure(processes=False)
    assert [row.name for row in rows] == sorted(CASES)
    for row in rows:
        assert row.within and max(row.value.relative, row.gradient.relative) < BOUND, row


@pytest.mark.parametrize("of", ["value", "gradient"])
def test_a_loss_that_is_wrong_by_a_millionth_is_told_with_exit_code_1(of, monkeypatch, capsys):
    case = CASES["cosine_distance"]

    def wrong(p, z):
        off = 1e-6 * (p - p.detach()).sum() if of == "gradient" else 1e-6  # 0 with a gradient, or a number without one
        return case.loss(p, z) + off

    monkeypatch.setattr(conformance, "CASES", {case.name: replace_loss(case, wrong)})
    monkeypatch.setattr(conformance, "over_processes", lambda *_: [])
    monkeypatch.setattr(conformance, "mean_of", lambda case, _: case.measure(case.loss, case.inputs(4, 3)))
    assert front.main(["bench", "conformance", "--check"]) == 1
    assert "outside their tolerance: cosine_distance" in capsys.readouterr().out


def replace_loss(case, loss):
    """The case with another loss; not registered again."""
    CASES.pop(case.name)
    try:
        return replace(case, loss=loss)
    finally:
        CASES[case.name] = case


def test_two_processes_are_started_and_the_figures_and_the_page_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(conformance, "SIZES", SIZES[:1])
    assert front.main(["bench", "conformance", "--seeds", "1", "--json", "a/x.json", "--out", "a/x.md"]) == 0
    found = json.loads((tmp_path / "a" / "x.json").read_text())
    assert [row["name"] for row in found] == sorted(CASES)
    assert all(row["within"] and row["processes"]["relative"] < BOUND for row in found)
    assert (tmp_path / "a" / "x.md").read_text().count("\n| `") == len(CASES)
    assert f"{len(CASES)} cases, all within tolerance" in capsys.readouterr().out


def test_the_halves_of_the_images_are_put_together_as_ddp_does():
    case = CASES["negative_cosine"]
    inputs = case.inputs(4, 3)
    parts = [case.measure(case.loss, case.share(inputs, r, 2)) for r in range(2)]
    value, grads = conformance.mean_of(case, parts)
    one, whole = case.measure(case.loss, inputs)
    torch.testing.assert_close(value, one)
    assert all(torch.allclose(grads[key], whole[key]) for key in case.learns)


def test_a_gap_keeps_the_largest_and_never_loses_nan():
    gap, two = Gap(), torch.tensor([2.0, 1.0])
    gap.add(two + 0.5, two)
    gap.add(two, two)
    assert (gap.absolute, gap.relative) == (0.5, 0.25)
    gap.add(two * float("nan"), two)
    gap.add(two, two)
    assert gap.absolute != gap.absolute


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["conformnce"], "Did you mean 'conformance'?"),
        (["conformance", "--seeds", "0"], "--seeds is 0"),
        (["conformance", "--out", "."], "is a folder"),
    ],
)
def test_bad_input_is_one_sentence(words, said, capsys):
    assert front.main(["bench", *words]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
