"""The symmetry of every network of the zoo: what is found, what it covers, and the proof that it is one.

    python -m experiments.benchmarks.symmetry

For each network the groups that are found (those inside others apart), the share of its parameters that lie on a group,
the largest change of an output under ten random permutations of all groups, relative to the largest output, and the
seconds that inference takes. The exit code is 1 if any network's outputs move.
"""

import argparse
import sys
import time

import jax
import jax.numpy as jnp

from evojax_align import symmetry
from evojax_align.lab.report import text_table
from experiments.benchmarks import networks
from experiments.benchmarks.timing import store

LIMIT = 1e-4
DRAWS = 10


def main(argv: list[str] | None = None) -> int:
    """Print the table, and store it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", metavar="FILE", help="store the rows as JSON")
    parser.add_argument("--framework", choices=networks.PACKAGES, help="only the networks of one")
    arguments = parser.parse_args(argv)
    for package in networks.missing():
        print(f"not installed, left out: {package}", file=sys.stderr)
    rows = []
    for framework, name in networks.names(arguments.framework):
        print(f"{framework}/{name}", file=sys.stderr)
        rows.append(examined(networks.network(framework, name)))
    wrong = [row["network"] for row in rows if not row["change"] < LIMIT]
    print(text_table(rows))
    print(f"\n{len(rows)} networks, {len(wrong)} wrong; largest change {max(row['change'] for row in rows)}")
    store(arguments.out, rows, {"draws": DRAWS})
    return int(bool(wrong))


def examined(net: networks.Network) -> dict[str, object]:
    """One row."""
    start = time.perf_counter()
    spec = symmetry.infer(net.apply, net.params, net.x)
    seconds = time.perf_counter() - start  # the first time, so that JAX has nothing in its caches
    size = jnp.max(jnp.abs(net.apply(net.params, net.x)))
    change = symmetry.verify(spec, net.apply, net.params, net.x, key=jax.random.key(0), draws=DRAWS) / size
    return {
        "network": f"{net.framework} {net.name}",
        "groups": len(spec.groups),
        "inside others": len(spec.parents),
        "covered": f"{share(spec, net.params):.0%}",
        "change": float(f"{float(change):.1e}"),
        "seconds": float(f"{seconds:.2g}"),
        "frozen by": ", ".join(sorted({freeze.primitive for freeze in spec.frozen})) or "-",
    }


def share(spec: symmetry.PermutationSpec, params: object) -> float:
    """The share of all parameters in leaves that have a group on any axis."""
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    covered = [any(layout is not None for layout in layouts) for layouts in spec.axes.values()]
    return sum(size for size, held in zip(sizes, covered, strict=True) if held) / sum(sizes)


if __name__ == "__main__":
    sys.exit(main())
