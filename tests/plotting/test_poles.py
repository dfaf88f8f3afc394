import numpy as np

from evojax_align import plotting
from evojax_align.plotting import _style


def test_a_pole_is_drawn_at_regular_times_and_its_colour_says_whether_it_stands(ax):
    time = np.arange(0.0, 1.0, 0.05)
    angle = np.where(time < 0.5, np.pi, 0.2)
    plotting.plot_swing(time, np.zeros(20), angle, ax, every=0.1, length=0.5, title="swing")
    *poles, cart = ax.lines
    heights = np.array([np.ptp(pole.get_ydata()) * np.sign(pole.get_ydata()[1]) for pole in poles])
    np.testing.assert_allclose(heights, np.where(np.arange(10) < 5, -0.5, 0.5 * np.cos(0.2)))
    colours = [pole.get_color() for pole in poles]
    assert set(colours[:5]) == {_style.PALETTE[1]} and set(colours[5:]) == {_style.PALETTE[0]}
    np.testing.assert_allclose(cart.get_xdata(), time)
    assert ax.get_title(loc="left") == "swing"
