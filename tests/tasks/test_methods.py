"""`make methods` names every kind that there is, and what it says of each is what the kind declares."""

import pytest

from tasks import kinds, methods


def test_every_kind_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    methods.main()
    lines = capsys.readouterr().out.splitlines()
    for package in (methods.SHAPES, methods.OBJECTIVES, methods.TUNERS):
        for kind in kinds.names(package):
            assert any(line.startswith(f"{kind} ") for line in lines), f"{kind} of {package} is missing"
    assert any(line.endswith("constant_with_warmup, slanted_triangular") for line in lines)
    assert max(map(len, lines)) <= 200 and not any(line != line.rstrip() for line in lines)


def test_each_line_says_what_the_kind_declares() -> None:
    lines = {line[0]: line for line in methods.tuners()}
    assert lines["lora"][2:5] == ["yes", "vLLM, as an adapter or merged", "yes"]
    assert lines["full"][2:4] == ["yes", "vLLM, merged"]
    assert lines["prompt"][2:5] == ["no", "transformers", "no"]
    objectives = {line[0]: line for line in methods.objectives()}
    assert objectives["dpo"][1] == "preference" and objectives["pretrain"][1] == "infill, text"
    assert objectives["classify"][1:3] == ["labelled", "writes or reads"] and objectives["sft"][2] == "writes"
    table = next(line for line in methods.shapes() if line[0] == "table")
    assert table[1] == "chat" and "sft" in table[3]
