"""The addresses of the files of public sets, and the required size and SHA-256 of each.

The sizes and checksums are those of the folder `url_checksums` of tensorflow-datasets 4.9.10; `tests/data` compares
them if that package is installed. Every address below serves files with these checksums.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Attributes:
        name: its name, which is the end of its address.
        size: its length in bytes.
        sha256: the SHA-256 of its content, in hexadecimal.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Origin:
    """The files of one set.

    Attributes:
        mirrors: beginnings of addresses, tried in this order.
        files: the files to download.
        members: paths inside the one archive in `files`; only these are kept. Empty if the files are not an archive.
    """

    mirrors: tuple[str, ...]
    files: tuple[Remote, ...]
    members: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of the files in the finished folder."""
        return tuple(member.rpartition("/")[2] for member in self.members) or tuple(file.name for file in self.files)


def _idx(*files: tuple[int, str]) -> tuple[Remote, ...]:
    """The four files of MNIST and similar sets, in their usual order."""
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    return tuple(Remote(name, *file) for name, file in zip(names, files, strict=True))


def _archive(name: str, size: int, sha256: str) -> tuple[Remote, ...]:
    return (Remote(name, size, sha256),)


_TORONTO = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")

ORIGINS = {
    "mnist": Origin(
        ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        _idx(
            (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
    ),
    "fashion_mnist": Origin(
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        _idx(
            (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
    ),
    "kmnist": Origin(
        ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
        _idx(
            (18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            (29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            (3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            (5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        ),
    ),
    "emnist_letters": Origin(
        ("https://biometrics.nist.gov/cs_links/EMNIST/", "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/"),
        _archive("gzip.zip", 561753746, "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"),
        tuple(
            f"gzip/emnist-letters-{part}-{kind}-ubyte.gz"
            for part in ("train", "test")
            for kind in ("images-idx3", "labels-idx1")
        ),
    ),
    "cifar10": Origin(
        _TORONTO,
        _archive(
            "cifar-10-binary.tar.gz", 170052171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
        ),
        tuple(f"cifar-10-batches-bin/{name}.bin" for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")),
    ),
    "cifar100": Origin(
        _TORONTO,
        _archive(
            "cifar-100-binary.tar.gz", 168513733, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
        ),
        ("cifar-100-binary/train.bin", "cifar-100-binary/test.bin"),
    ),
}
"""Origins by the name of the set. The two tasks of ten letters are subsets of `emnist_letters`."""
