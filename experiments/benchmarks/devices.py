"""Whether programs on several simulated CPU devices end, or wait for ever.

python -m experiments.benchmarks.devices

The client of a CPU has a pool of one thread for each core, or for each device where there are more. Two kinds of
programs need more of them and wait for ever:

- programs that exchange arrays between devices, where Python starts one after the other without waiting for any;
- calls to the host that get an array of more than 64 KiB, where as many devices call as the pool has threads: JAX puts
  the array on a device first, which a thread of the pool has to do.

The library starts no program on a mesh of CPU devices before its state is there, and calls no host with several of
them. NPROC=16 in the environment makes the pool larger, which cures both.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

from experiments.benchmarks.timing import store

GENERATION = """
@jax.jit
def step(pop, key):
    fitness = ea.population.map(lambda w: jnp.tanh(w @ w).sum(), pop, mesh=mesh)
    parents = jnp.argsort(fitness)[-size // 2:][jax.random.randint(key, (size,), 0, size // 2)]
    return ea.population.spread(pop[parents] + 0.01 * jax.random.normal(key, pop.shape), mesh)
"""
CALL = """
@jax.jit
def step(pop, key):
    def sorted_on_host(w):
        return jax.pure_callback(lambda s: np.sort(np.asarray(s)), jax.ShapeDtypeStruct(w.shape, w.dtype), w @ w)
    return ea.population.map(sorted_on_host, pop, mesh=mesh)
"""
PROGRAM = """
import jax, jax.numpy as jnp, numpy as np, evojax_align as ea
mesh, size, side = ea.population.devices(), 2 * jax.device_count(), {side}
pop = ea.population.spread(jnp.ones((size, side, side)) / side, mesh)
{step}
keys = list(jax.random.split(jax.random.key(0), {steps}))
for key in keys:
    pop = step({pop}, key)
assert np.isfinite(pop).all()
"""
THREADS = {"NPROC": "16"}
EXCHANGE = "generations that exchange members"
CASES = {
    f"{EXCHANGE}, each after the one before has ended": (GENERATION, 64, "jax.block_until_ready(pop)", {}),
    f"{EXCHANGE}": (GENERATION, 64, "pop", {}),
    f"{EXCHANGE}, 16 threads": (GENERATION, 64, "pop", THREADS),
    "calls with 64 KiB": (CALL, 128, "pop", {}),
    "calls with 256 KiB": (CALL, 256, "pop", {}),
    "calls with 256 KiB, 16 threads": (CALL, 256, "pop", THREADS),
}


def main(argv: list[str] | None = None) -> int:
    """Run each program in a process of its own, and print which of them ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=(2, 4, 8))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--limit", type=int, default=30, help="seconds; XLA itself may abort after more of them")
    parser.add_argument("--out")
    arguments = parser.parse_args(argv)
    rows = []
    for name, (step, side, pop, variables) in CASES.items():
        steps = arguments.steps if step is GENERATION else arguments.calls
        for devices in arguments.devices:
            flags = f"--xla_force_host_platform_device_count={devices}"
            env = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, **variables}
            code = PROGRAM.format(side=side, steps=steps, step=step, pop=pop)
            start = time.perf_counter()
            try:
                command = [sys.executable, "-c", code]
                subprocess.run(command, env=env, check=True, timeout=arguments.limit, stderr=subprocess.DEVNULL)
                ended = "ended"
            except subprocess.TimeoutExpired:
                ended = f"still waiting after {arguments.limit} s"
            except subprocess.CalledProcessError as error:
                if error.returncode != -signal.SIGABRT:
                    raise
                ended = "waited until XLA aborted it"
            rows.append({"program": name, "devices": devices, "steps": steps, "outcome": ended})
            print(
                f"{name}, {devices} devices, {steps} steps: {ended} ({time.perf_counter() - start:.0f} s)", flush=True
            )
    store(arguments.out, rows, {"limit": arguments.limit})
    return 0


if __name__ == "__main__":
    sys.exit(main())
