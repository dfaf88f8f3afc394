import doctest
import pathlib
import subprocess
import sys

import matplotlib
import matplotlib.pyplot
import numpy as np
import PIL.Image
import pytest

from evojax_align import plotting
from evojax_align.plotting import canvas


def drawing(values):
    fig, axes = plotting.figure()
    plotting.plot_correlations(values, axes[0, 0], title="a drawing")
    return fig


@pytest.mark.parametrize("module", [plotting, canvas])
def test_every_example_in_a_docstring_runs(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = doctest.testmod(module)
    assert outcome.attempted >= 2
    assert outcome.failed == 0


def test_importing_the_package_does_not_import_matplotlib():
    program = "import sys, evojax_align.plotting; print('matplotlib' in sys.modules)"
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert there.strip() == "False"


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'evojax-align\[plotting\]'"):
        plotting.figure()


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 3), (2, 3)])
def test_a_figure_has_a_grid_of_panels_of_the_size_asked_for(rows, columns):
    fig, axes = plotting.figure(rows, columns, width=2.0, height=1.5)
    assert axes.shape == (rows, columns)
    np.testing.assert_allclose(fig.get_size_inches(), [2 * columns, 1.5 * rows])


def test_a_figure_stays_out_of_the_global_list_of_pyplot():
    plotting.figure()
    assert matplotlib.pyplot.get_fignums() == []


@pytest.mark.parametrize("name", ["rows", "columns"])
def test_a_figure_without_panels_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}: got 0"):
        plotting.figure(**{name: 0})


def test_equal_drawings_are_equal_files(tmp_path, rng):
    values = rng.uniform(-1, 1, size=(5, 5))
    first = plotting.save(drawing(values), tmp_path / "first.png")
    again = plotting.save(drawing(values), tmp_path / "again.png")
    other = plotting.save(drawing(-values), tmp_path / "other.png")
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_a_file_says_nothing_of_when_or_with_what_it_was_drawn(tmp_path, rng):
    path = plotting.save(drawing(rng.uniform(-1, 1, size=(5, 5))), tmp_path / "plain.png")
    assert b"tEXt" not in path.read_bytes()


def test_a_picture_has_few_colours_which_are_those_of_the_drawing(tmp_path, rng):
    fig = drawing(rng.uniform(-1, 1, size=(5, 5)))
    path = plotting.save(fig, tmp_path / "small.png")
    fig.savefig(tmp_path / "full.png", dpi=200)
    with PIL.Image.open(path) as small, PIL.Image.open(tmp_path / "full.png") as full:
        assert small.mode == "P" and path.stat().st_size < 0.7 * (tmp_path / "full.png").stat().st_size
        assert np.abs(np.asarray(small.convert("RGB"), int) - np.asarray(full.convert("RGB"), int)).max() < 40


def test_what_is_transparent_stays_so(tmp_path):
    fig, _ = plotting.figure()
    fig.set_facecolor("none")
    with PIL.Image.open(plotting.save(fig, tmp_path / "clear.png")) as image:
        assert image.getchannel("A").getextrema()[0] == 0


def test_saving_replaces_the_file_and_leaves_no_other(tmp_path, rng):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    assert plotting.save(drawing(rng.uniform(-1, 1, size=(5, 5))), path) == path
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]


def test_a_drawing_that_fails_leaves_the_old_file(tmp_path, rng, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    fig = drawing(rng.uniform(-1, 1, size=(5, 5)))
    monkeypatch.setattr(fig, "savefig", lambda file, **_: file.write(b"half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        plotting.save(fig, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_part(tmp_path, rng, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")

    def full_disk(self, data):
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError("no space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space left"):
        plotting.save(drawing(rng.uniform(-1, 1, size=(5, 5))), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_another_format_is_refused_with_the_name_to_use(tmp_path, rng):
    with pytest.raises(ValueError, match=r"path: got .*figure\.pdf'; expected a name ending in \.png.*'figure\.png'"):
        plotting.save(drawing(rng.uniform(-1, 1, size=(5, 5))), tmp_path / "figure.pdf")


def test_drawing_changes_no_global_setting(tmp_path, rng):
    before = dict(matplotlib.rcParams)
    fig, axes = plotting.figure(1, 3)
    values = rng.uniform(size=(4, 5))
    ts = np.linspace(0, 1, 5)
    plotting.plot_correlations(values, axes[0, 0])
    plotting.plot_sweep(ts, values, values, axes[0, 1], label="naive")
    plotting.plot_win_share(np.array([1, 2]), np.array([0.5, 0.6]), axes[0, 2])
    plotting.save(fig, tmp_path / "figure.png")
    assert dict(matplotlib.rcParams) == before


def test_a_notebook_shows_the_figure_as_a_picture():
    fig, axes = plotting.figure(1, 2)
    axes[0, 0].plot([0, 1])
    assert fig._repr_png_().startswith(b"\x89PNG")
    assert type(plotting.figure()[0]) is type(fig)
