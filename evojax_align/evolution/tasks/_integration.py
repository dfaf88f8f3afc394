"""Numerical integration of equations of motion."""

from collections.abc import Callable

import jax

from evojax_align._types import PyTree


def runge_kutta(derivative: Callable[[PyTree], PyTree], state: PyTree, interval: float) -> PyTree:
    """The state after an interval, by one step of the classical fourth-order Runge-Kutta method."""

    def moved(by: float, slope: PyTree) -> PyTree:
        return jax.tree.map(lambda value, rate: value + by * rate, state, slope)

    first = derivative(state)
    second = derivative(moved(interval / 2, first))
    third = derivative(moved(interval / 2, second))
    fourth = derivative(moved(interval, third))
    return jax.tree.map(
        lambda value, a, b, c, d: value + interval / 6 * (a + 2 * b + 2 * c + d), state, first, second, third, fourth
    )
