"""Layers of PyTorch written in NumPy from its documentation: weights and feature maps in PyTorch's order of axes."""

import numpy as np


def linear(state, name, x):
    bias = state.get(f"{name}.bias")
    y = x @ state[f"{name}.weight"].T
    return y if bias is None else y + bias


def channels(vector, x):
    """A value for each channel of feature maps."""
    return np.reshape(vector, (1, -1) + (1,) * (x.ndim - 2))


def conv(state, name, x, groups=1):
    """A convolution over any number of axes, without padding, of stride 1."""
    weight, space = state[f"{name}.weight"], tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=space)
    window = tuple(range(x.ndim, windows.ndim))
    found = [
        np.tensordot(part, filters, ((1, *window), (1, *space)))
        for part, filters in zip(np.split(windows, groups, 1), np.split(weight, groups), strict=True)
    ]
    y = np.moveaxis(np.concatenate(found, -1), -1, 1)
    return y + channels(state[f"{name}.bias"], y)


def conv_transpose(state, name, x, stride=1, groups=1):
    """Each value of the map adds the filters, times itself, at its place; without padding."""
    weight = state[f"{name}.weight"]
    window = weight.shape[2:]
    size = [(n - 1) * stride + k for n, k in zip(x.shape[2:], window, strict=True)]
    found = []
    for part, filters in zip(np.split(x, groups, 1), np.split(weight, groups), strict=True):
        y = np.zeros((len(x), weight.shape[1], *size), x.dtype)
        for place in np.ndindex(*x.shape[2:]):
            at = tuple(slice(n * stride, n * stride + k) for n, k in zip(place, window, strict=True))
            y[:, :, *at] += np.tensordot(part[:, :, *place], filters, 1)
        found.append(y)
    y = np.concatenate(found, 1)
    return y + channels(state[f"{name}.bias"], y)


def batch_norm(state, name, x):
    scale = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"] + 1e-5)
    y = (x - channels(state[f"{name}.running_mean"], x)) * channels(scale, x)
    return y + channels(state[f"{name}.bias"], x)


def max_pool(x):
    """In windows of 2 x 2 that tile the map."""
    n, c, height, width = x.shape
    return x.reshape(n, c, height // 2, 2, width // 2, 2).max((3, 5))


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def recurrent(state, name, x, kind, layer="_l0"):
    """Hidden states of all steps of sequences [n, time, inputs]."""
    w_i, w_h, b_i, b_h = (state[f"{name}.{part}{layer}"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    h = np.zeros((len(x), w_h.shape[1]), x.dtype)
    c, found = h, []
    for t in range(x.shape[1]):
        of_x, of_h = x[:, t] @ w_i.T + b_i, h @ w_h.T + b_h
        if kind == "lstm":
            i, f, g, o = np.split(of_x + of_h, 4, 1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        elif kind == "gru":
            (r, z, n), (r_h, z_h, n_h) = np.split(of_x, 3, 1), np.split(of_h, 3, 1)
            z = sigmoid(z + z_h)
            h = (1 - z) * np.tanh(n + sigmoid(r + r_h) * n_h) + z * h
        else:
            h = np.tanh(of_x + of_h)
        found.append(h)
    return np.stack(found, 1)
