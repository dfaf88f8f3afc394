"""Every algorithm on a mesh: one program, a state that stays on the devices, the same bits on any number of them."""

import os
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from evojax_align.evolution import Wann, tasks

ALGORITHMS = """
import hashlib, sys, tempfile, warnings
warnings.simplefilter("error")
from pathlib import Path
import jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import AxisType, PartitionSpec
import evojax_align as ea
from evojax_align import evolution, pruning, training
from evojax_align.lab import checkpoint

net, sgd = ea.models.MLP(hidden=(20, 6), classes=3), optax.sgd(0.1)  # of 20 neurons, one device asks the host
x, y = jax.random.normal(jax.random.key(0), (60, 6)), jax.random.randint(jax.random.key(1), (60,), 0, 3)
data, draw = (x, y), lambda key: net.init(key, x[:1])
params = draw(jax.random.key(0))
synapses = pruning.find(params)

def fitness(key, params, data):
    outputs = net.apply(params, data[0] + jax.random.normal(key, data[0].shape))
    value = -optax.softmax_cross_entropy_with_integer_labels(outputs, data[1]).mean()
    return evolution.Evaluation(value, states=data[0][:5] + value)

def of_neuroevolution(mesh):
    parts = {"crossover": "neurons", "alignment": "correlation", "probe": "visited", "elites": 2, "samples": 2}
    parts |= {"islands": evolution.Islands(2, every=1, align=True), "reevaluate": True, "mesh": mesh}
    ga = evolution.Neuroevolution(net.apply, size=6, **parts)
    return ga.init(jax.random.key(0), draw, fitness, data), lambda key, state: ga.step(key, state, fitness, data)

def of_recombination(mesh):
    parts = {"islands": 2, "parents": 0.7, "migration": 1, "immigrants": 2, "alignment": "correlation"}
    parts |= {"mutation": 0.1, "adaptive": True, "bonus": "cosine", "mesh": mesh}
    r = evolution.Recombination(net.apply, draw, ea.crossover.layer_genes(params), sgd, size=6, **parts)
    return r.init(jax.random.key(2), data), lambda key, state: r.step(key, state, data, data)

def of_synthesis(mesh):
    parts = {"batch_size": 20, "ancestors": "several", "alignment": "correlation", "realigned": True, "mesh": mesh}
    s = evolution.Synthesis(net.apply, draw, synapses, sgd, size=6, shares="fitness", mates="tournament", **parts)
    return s.init(jax.random.key(1), data, data), lambda key, state: s.step(key, state, data, data)

def of_padawann(mesh):
    p = evolution.Padawann(net.apply, synapses, size=6, tournament=2, mesh=mesh)
    kept, judged = ea.population.stack([pruning.basis(synapses, params)]), [pruning.Task(x, y), pruning.Task(-x, y)]
    return p.init(jax.random.key(2), kept, judged), lambda key, state: p.step(key, state, judged)

def of_wann(mesh):
    w = evolution.Wann(6, 3, evolution.tasks.Classification(40), size=6, hidden=6, enabled=0.5, tournament=2, mesh=mesh)
    return w.init(jax.random.key(1), data), lambda key, state: w.step(key, state, data)

def of_fit(mesh):
    members = training.init(ea.population.init(draw, jax.random.key(0), 6), sgd, epochs=3, key=jax.random.key(1))
    settings = {"batch_size": 20, "mesh": mesh}
    return members, lambda key, members: (training.step_epoch(net.apply, members, data, sgd, **settings), ())

PARTS = {
    "neuroevolution": (of_neuroevolution, "members"),
    "recombination": (of_recombination, "population"),
    "synthesis": (of_synthesis, "population"),
    "padawann": (of_padawann, "members"),
    "wann": (of_wann, "members"),
    "fit": (of_fit, "params"),
}

def content(tree):
    plain = lambda of: jax.random.key_data(of) if jnp.issubdtype(of.dtype, jax.dtypes.prng_key) else of
    return [np.asarray(plain(leaf)).tobytes() for leaf in jax.tree.leaves(tree)]

"""

DEVICES = """
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: compiled.append(event) if "backend_compile" in event else None
)
of, members = PARTS[sys.argv[1]]
keys, first, path = list(jax.random.split(jax.random.key(9), 3)), None, Path(tempfile.mkdtemp()) / "state.npz"
MESHES = {
    "one": ((1,), AxisType.Auto), "two": ((2,), AxisType.Auto), "explicit": ((2,), AxisType.Explicit),
    "three": ((3,), AxisType.Auto), "eight": ((8,), AxisType.Auto), "two axes": ((3, 2), AxisType.Auto),
}
for name in ("none", *sys.argv[2:]):
    mesh = None
    if name != "none":
        shape, kind = MESHES[name]
        few = jax.devices()[-int(np.prod(shape)):]  # the default device is not among them
        mesh = jax.make_mesh(shape, ("a", "b")[:len(shape)], devices=few, axis_types=(kind,) * len(shape))
    state, step = of(mesh)
    infos = []
    if path.exists():  # a run goes on with another number of devices
        later = checkpoint.load(path, state)[0]
        for key in keys[1:]:
            later, _ = step(key, later)
        assert content(later) == first[0], name
    for number, key in enumerate(keys):
        before = len(compiled)
        state, info = step(key, state)
        infos.append(info)
        assert number == 0 or len(compiled) == before, name
        if number == 0:
            checkpoint.save(path, state, {})
    found = content(state), content(infos)
    first = first or found
    assert found == first, name
    if mesh is not None:
        axes = PartitionSpec(mesh.axis_names) if mesh.size in (2, 3, 6) else PartitionSpec()
        assert {leaf.sharding.spec for leaf in jax.tree.leaves(getattr(state, members))} == {axes}, name
if mesh is not None:
    again = checkpoint.load(path, state)[0]
    found, _ = jax.jit(lambda state: jax.lax.scan(lambda s, key: step(key, s), state, jnp.stack(keys[1:])))(again)
    assert content(found) == first[0]
"""

PROCESSES = """
import sys, jax
name, folder, port, count, number = *sys.argv[1:3], *map(int, sys.argv[3:])
jax.config.update("jax_num_cpu_devices", 4 // count)
jax.config.update("jax_cpu_collectives_implementation", "gloo")
if count > 1:
    jax.distributed.initialize(f"127.0.0.1:{port}", count, number)
"""

TOGETHER = """
of, members = PARTS[name]
mesh = jax.make_mesh((4,), ("members",), axis_types=(AxisType.Auto,))
state, step = of(mesh)
first, *others = jax.random.split(jax.random.key(9), 3)
state, info = step(first, state)
checkpoint.save(Path(folder) / f"{count}.npz", state, {"step": 1})
try:
    checkpoint.save(Path(folder) / "missing" / "state.npz", state, {})
except OSError as error:  # in the first process its own error, in the others one that names it
    print("error", error)
state, notes = checkpoint.load(Path(folder) / "1.npz", state)
for key in others:
    state, info = step(key, state)
everywhere = jax.NamedSharding(mesh, PartitionSpec())
state, info = jax.jit(lambda tree: tree, out_shardings=everywhere)((state, info))
print("found", hashlib.sha256(b"".join(content(state) + content(info))).hexdigest())
"""

MANY = """
import jax, jax.numpy as jnp, evojax_align as ea
x = jax.random.normal(jax.random.key(0), (60, 6))
data, keys = (x, (x[:, 0] > 0).astype(int)), list(jax.random.split(jax.random.key(9), 1000))
task = ea.evolution.tasks.Classification(40)
wann = ea.evolution.Wann(6, 2, task, size=8, hidden=6, enabled=0.5, tournament=2, mesh=ea.population.devices())
state = wann.init(jax.random.key(1), data)
for key in keys:
    state, _ = wann.step(key, state, data)
assert int(state.generation) == 1000
"""


def error_of(program, *arguments, devices):
    """The error of a program in a new process with so many devices; "" if it has none."""
    flags = f"--xla_force_host_platform_device_count={devices} " + os.environ.get("XLA_FLAGS", "")
    env, command = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}, [sys.executable, "-c", program]
    done = subprocess.run([*command, *arguments], env=env, capture_output=True, text=True, check=False, timeout=300)
    return "" if done.returncode == 0 else done.stderr or f"exit status {done.returncode}"


NIGHTLY = ("recombination", "synthesis", "wann")
NAMES = [
    pytest.param(name, marks=pytest.mark.nightly if name in NIGHTLY else pytest.mark.slow, id=name)
    for name in ("neuroevolution", "recombination", "synthesis", "padawann", "wann", "fit")
]


@pytest.mark.parametrize("name", NAMES)
def test_two_three_and_eight_devices_give_the_same_bits_by_one_program(name):
    assert error_of(ALGORITHMS + DEVICES, name, "two", "three", "eight", devices=9) == ""


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_go_on_with_what_one_has_saved_and_save_the_same(name, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-c", PROCESSES + ALGORITHMS + TOGETHER, name, str(tmp_path), port]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    settings |= {"env": {**os.environ, "JAX_PLATFORMS": "cpu"}}
    printed = []
    for processes in ([("1", "0")], [("2", "0"), ("2", "1")]):
        started = [subprocess.Popen([*command, *of], **settings) for of in processes]
        try:
            for process in started:
                out, error = process.communicate(timeout=300)
                assert process.returncode == 0, error
                printed.append(
                    dict(line.split(maxsplit=1) for line in out.splitlines() if line[:5] in ("found", "error"))
                )
        finally:
            for process in started:  # without the one that failed, the other would wait
                process.kill()
                process.communicate()
    assert len({str(of["found"]) for of in printed}) == 1
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    assert ["No such file" in str(of["error"]) for of in printed] == [True, True, False]
    assert "process 0 could not write it" in str(printed[2]["error"])


@pytest.mark.slow
def test_meshes_of_every_kind_give_the_same_bits():
    assert error_of(ALGORITHMS + DEVICES, "padawann", "one", "explicit", "two axes", devices=9) == ""


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="it is about devices that wait for each other")
def test_steps_that_python_starts_one_after_the_other_do_not_wait_for_ever():
    assert error_of(MANY, devices=2) == ""


@pytest.mark.slow
def test_a_step_on_a_mesh_can_be_part_of_another_program(key):
    data = jnp.eye(3), jnp.arange(3) % 2
    settings = {"size": 4, "hidden": 2, "enabled": 0.5, "tournament": 2, "mesh": jax.make_mesh((1,), ("devices",))}
    wann = Wann(3, 2, tasks.Classification(3), **settings)

    def evolved(state):
        return jax.lax.scan(lambda s, key: (wann.step(key, s, data)[0], None), state, jax.random.split(key, 2))[0]

    text = str(jax.make_jaxpr(evolved)(wann.empty()))
    assert "shard_map" in text and "sharding_constraint" in text and "callback" not in text
