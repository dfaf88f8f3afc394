import re

import pytest

from evojax_align.lab.report import report
from evojax_align.lab.run import RunFolder

MANIFEST = {"experiment": "toy", "preset": "demo", "configuration": {"mode": "clean", "dataset": "digits"}, "end": None}
CLAIM = {
    "statement": "a lies above b",
    "paper": 0.5,
    "ours": 0.75,
    "interval": [0.6, 0.9],
    "n": 20,
    "unit": "seeds",
    "test": "Wilcoxon",
    "p": 2e-7,
    "p_corrected": 4e-7,
    "p_reverse_corrected": 1.0,
    "verdict": "holds",
    "replication": "differs",
    "primary": True,
}
REVERSED = CLAIM | {"statement": "c lies above d", "p_corrected": 1.0, "p_reverse_corrected": 0.012}
UNKNOWN = CLAIM | {"statement": "e", "ours": None, "n": 0, "test": None, "p_corrected": None, "verdict": "not tested"}


def png(width):
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + width.to_bytes(4, "big")


@pytest.fixture
def page(tmp_path):
    (tmp_path / "figures").mkdir()
    for name, width in {"course-default": 1000, "course-other": 2000, "plain": 10}.items():
        (tmp_path / "figures" / f"{name}.png").write_bytes(png(width))
    claims = [CLAIM, REVERSED | {"verdict": "reversed"}, UNKNOWN, CLAIM | {"primary": False}]
    results = {"claims": claims, "tables": {"by arm": [{"arm": "a", "accuracy": 0.5}]}}
    captions = {"course": "Every course.", "course-other": "That of the other.", "pl": "No name begins so."}
    return report("A toy.\n\npython -m commands", "python -m toy", RunFolder(tmp_path), results, MANIFEST, captions)


def test_it_begins_with_what_came_out_in_words(page):
    assert "<p>A toy.</p>" in page and "commands" not in page
    outcome = page[: page.index("<h2>Primary claims</h2>")]
    assert "Of 3 primary claims: 1 hold, 1 reversed, 0 undecided, 1 not tested." in outcome
    sentences = re.findall("<li>(.*?)</li>", outcome)
    numbers = "(ours 0.75, the paper&#x27;s 0.5, n = 20 seeds, p &lt; .001)"
    assert sentences[0] == f'<b class="holds">Holds</b>: a lies above b {numbers}.'
    assert "p 0.012 of the opposite" in sentences[1]
    assert sentences[2] == "<b>Not tested</b>: e (this run does not have what it is about)."


def test_every_figure_has_a_caption_of_its_name_or_its_beginning(page):
    found = dict(re.findall(r'<img[^>]* alt="([^"]+)".*?<figcaption>(.*?)</figcaption>', page))
    expected = {"course-default": "Every course.", "course-other": "That of the other.", "plain": "plain"}
    assert found == expected
    assert re.findall(r'<img class="wide" alt="([^"]+)"', page) == ["course-other"]


def test_a_phone_shows_it_in_its_own_width_and_claims_as_cards(page):
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert 'class="claims"' in page and 'data-name="p, corrected">&lt; .001<' in page
    assert "2e-07" not in page and ">of<" not in page
