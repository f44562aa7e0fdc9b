"""What is told of a study, from results made by hand."""

import pytest

from polyglyph.measure.ablation_page import effects, page, rows, summary, table, write_plots

CHANGES = {
    "a": {"resolution": 32, "camera": True},
    "b": {"resolution": 32, "camera": False},
    "c": {"resolution": 64, "camera": True},
    "d": {"resolution": 64, "camera": False},
}


def result(numbers, held_out=None):
    """Of `numbers`: lists of one metric's values by cell; None for a run that diverged."""
    runs = [
        {"cell": cell, "seed": seed, "numbers": {} if value is None else {"FD-x": value}}
        | ({"diverged": "yes"} if value is None else {})
        for cell, values in numbers.items()
        for seed, value in enumerate(values)
    ]
    return {
        "runs": runs,
        "cells": summary(runs, CHANGES),
        "held_out": held_out or {},
        "missing": ["d, seed 1"],
        "protocol": {"extractor": "x"},
        "study": {"title": "<b>&", "seeds": [0, 1], "dataset": "d", "preset": "tiny", "set": {"kimg": 3}},
    }


TOLD = result({"a": [1.0, 3.0], "b": [None, 5.0], "c": [7.0], "d": [None, None]}, {"FD-x": 0.5})


def test_a_cell_has_mean_deviation_and_how_many_diverged():
    a, b, c, d = TOLD["cells"]
    assert a["numbers"]["FD-x"] == {"mean": 2.0, "deviation": pytest.approx(2**0.5), "runs": 2}
    assert (b["numbers"]["FD-x"], b["diverged"]) == ({"mean": 5.0, "deviation": None, "runs": 1}, 1)
    assert (c["numbers"]["FD-x"]["mean"], c["diverged"]) == (7.0, 0)
    assert (d["numbers"], d["diverged"]) == ({}, 2)


def test_the_table_has_a_row_for_each_cell_and_one_for_held_out_renders():
    assert rows(TOLD) == [
        ["resolution", "camera", "runs", "FD-x"],
        ["32", "yes", "2", "2 ± 1.4"],
        ["32", "no", "1, 1 diverged", "5"],
        ["64", "yes", "1", "7"],
        ["64", "no", "0, 2 diverged", ""],
        ["held-out renders", "", "", "0.5"],
    ]
    lines = table(TOLD).splitlines()
    assert lines[1] == "| --- | --- | --- | --- |"
    assert len(lines) == 7


def test_effects_are_means_of_all_cells_with_one_value():
    assert effects(TOLD) == [
        ["setting", "value", "cells", "FD-x"],
        ["resolution", "32", "2", "3.5"],
        ["resolution", "64", "1", "7"],
        ["camera", "yes", "2", "4.5"],
        ["camera", "no", "1", "5"],
    ]


def test_a_study_with_nothing_done_yet_has_a_page(tmp_path):
    empty = result({})
    assert write_plots(empty, tmp_path) == {}
    assert rows(empty)[0] == ["resolution", "camera", "runs"]
    assert "d, seed 1" in page(empty, {}, {})


def test_the_page_escapes_names_and_shows_plots(tmp_path):
    plots = write_plots(TOLD, tmp_path)
    assert plots["FD-x"] == (tmp_path / "FD-x.png").read_bytes()
    assert plots["FD-x"].startswith(b"\x89PNG")
    text = page(TOLD, plots, {"<i>": b"png"})
    assert "<b>" not in text
    assert "<i>" not in text
    assert "&lt;b&gt;&amp;" in text
    assert text.count("data:image/png") == 2
